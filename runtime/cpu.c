#include "runtime/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include "runtime/abi/kernel.h"
#include "runtime/base/os.h"
#include "runtime/base/status.h"
#include "runtime/tern.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

static const struct {
    uint32_t level;
    const char *name;
} levels[] = {
    {TN_LEVEL_REF, "ref"},
    {TN_LEVEL_AVX2, "avx2"},
    {TN_LEVEL_AVX512_VNNI, "avx512-vnni"},
    {TN_LEVEL_AMX, "amx"},
    {TN_LEVEL_NEON_DOTPROD, "neon-dotprod"},
};

const char *tn_level_name(uint32_t level) {
    for (size_t i = 0; i < TN_COUNT(levels); i++)
        if (levels[i].level == level) return levels[i].name;
    return NULL;
}

uint32_t tn_level_parse(const char *name) {
    for (size_t i = 0; i < TN_COUNT(levels); i++)
        if (strcmp(levels[i].name, name) == 0) return levels[i].level;
    return UINT32_MAX;
}

static bool is_arm(uint32_t level) {
    return level >= TN_LEVEL_NEON_DOTPROD;
}

bool tn_level_foreign(uint32_t level) {
#if defined(__aarch64__)
    return level != TN_LEVEL_REF && !is_arm(level);
#else
    return is_arm(level);
#endif
}

bool tn_level_under(uint32_t level, uint32_t cap) {
    return level == TN_LEVEL_REF || (is_arm(level) == is_arm(cap) && level <= cap);
}

static bool refused; /* the machine has AMX, the system does not let us */

#if defined(__x86_64__)

typedef struct Regs {
    uint32_t a, b, c, d;
} Regs;

static Regs cpuid(uint32_t leaf, uint32_t sub) {
    Regs r = {0};
    if ((uint32_t)__get_cpuid_max(leaf & 0x80000000u, NULL) >= leaf)
        __cpuid_count(leaf, sub, r.a, r.b, r.c, r.d);
    return r;
}

/* Which register sets the system saves on a task switch. */
static uint64_t saved_state(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has(uint32_t reg, uint32_t mask) {
    return (reg & mask) == mask;
}
#define BIT(n) (1u << (n))

static uint32_t find_best(void) {
    Regs one = cpuid(1, 0), seven = cpuid(7, 0), ext = cpuid(0x80000001u, 0);
    /* SSE3 SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT OSXSAVE AVX F16C; BMI1 AVX2 BMI2; LAHF LZCNT */
    uint32_t v3 = BIT(0) | BIT(9) | BIT(12) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(27) |
                  BIT(28) | BIT(29);
    if (!has(one.c, v3) || !has(seven.b, BIT(3) | BIT(5) | BIT(8)) || !has(ext.c, BIT(0) | BIT(5)))
        return TN_LEVEL_REF;
    uint64_t saved = saved_state();
    if ((saved & 0x6) != 0x6) return TN_LEVEL_REF; /* xmm, ymm */
    /* F DQ CD BW VL; VNNI; and the system saves mask registers and all of zmm */
    if (!has(seven.b, BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31)) || !has(seven.c, BIT(11)) ||
        (saved & 0xe6) != 0xe6)
        return TN_LEVEL_AVX2;
    /* AMX-TILE and AMX-INT8, the system saves tiles, and gives them to us */
    if (!has(seven.d, BIT(24) | BIT(25)) || (saved & 0x60000) != 0x60000) return TN_LEVEL_AVX512_VNNI;
    refused = !tn_os_allow_amx();
    return refused ? TN_LEVEL_AVX512_VNNI : TN_LEVEL_AMX;
}

#elif defined(__aarch64__)

static uint32_t find_best(void) {
    unsigned long asimd = 1ul << 1, asimddp = 1ul << 20; /* HWCAP_ASIMD, HWCAP_ASIMDDP */
    unsigned long caps = getauxval(AT_HWCAP);
    return (caps & asimd) && (caps & asimddp) ? TN_LEVEL_NEON_DOTPROD : TN_LEVEL_REF;
}

#else

static uint32_t find_best(void) {
    return TN_LEVEL_REF;
}

#endif

/* Asked of the machine once: a permission is a process's, and the rest does not change. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t best;
static atomic_uint pretended = TN_LEVEL_REF;

static void look(void) {
    best = find_best();
}

static uint32_t best_level(void) {
    pthread_once(&once, look);
    uint32_t p = atomic_load(&pretended);
    return p == TN_LEVEL_REF ? best : p;
}

void tn_level_pretend(uint32_t level) {
    atomic_store(&pretended, level);
}

const char *tern_cpu_refused(void) {
    pthread_once(&once, look);
    return refused ? "amx" : "";
}

bool tn_level_runs_here(uint32_t level) {
    return level != TN_LEVEL_REF && tn_level_name(level) && tn_level_under(level, best_level());
}

const char *tern_cpu_levels(void) {
    switch (best_level()) {
    case TN_LEVEL_AVX2:
        return "avx2";
    case TN_LEVEL_AVX512_VNNI:
        return "avx512-vnni,avx2";
    case TN_LEVEL_AMX:
        return "amx,avx512-vnni,avx2";
    case TN_LEVEL_NEON_DOTPROD:
        return "neon-dotprod";
    default:
        return "";
    }
}

const char *tern_version(void) {
    return TERN_VERSION;
}
