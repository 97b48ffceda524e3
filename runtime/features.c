#include "runtime/cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include "runtime/base/os.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

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

uint32_t tn_cpu_features(uint32_t *refused) {
    Regs one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, seven.a ? 1 : 0),
         ext = cpuid(0x80000001u, 0);
    /* SSE3 SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT OSXSAVE AVX F16C; BMI1 AVX2 BMI2; LAHF LZCNT */
    uint32_t v3 = BIT(0) | BIT(9) | BIT(12) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(27) |
                  BIT(28) | BIT(29);
    *refused = 0;
    if (!has(one.c, v3)) return 0;
    uint64_t saved = saved_state();
    bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
    uint32_t f = 0;
    if (ymm && has(seven.b, BIT(3) | BIT(5) | BIT(8)) && has(ext.c, BIT(0) | BIT(5))) f |= TN_CPU_X86_V3;
    if (ymm && seven.a && has(more.a, BIT(4))) f |= TN_CPU_AVX_VNNI;
    /* F DQ CD BW VL, if the system saves the mask registers and all of zmm */
    if (zmm && has(seven.b, BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31))) f |= TN_CPU_AVX512;
    if (zmm && has(seven.c, BIT(11))) f |= TN_CPU_AVX512_VNNI;
    /* AMX-TILE and AMX-INT8, if the system saves tiles and lets us use them */
    if (tiles && has(seven.d, BIT(24) | BIT(25))) {
        if (tn_os_allow_amx())
            f |= TN_CPU_AMX_INT8;
        else
            *refused = TN_CPU_AMX_INT8;
    }
    return f;
}

#elif defined(__aarch64__)

uint32_t tn_cpu_features(uint32_t *refused) {
    unsigned long asimd = 1ul << 1, asimddp = 1ul << 20; /* HWCAP_ASIMD, HWCAP_ASIMDDP */
    unsigned long i8mm = 1ul << 13;                      /* HWCAP2_I8MM */
    *refused = 0;
    unsigned long caps = getauxval(AT_HWCAP), more = getauxval(AT_HWCAP2);
    return (caps & asimd ? TN_CPU_NEON : 0u) | (caps & asimddp ? TN_CPU_NEON_DOTPROD : 0u) |
           (more & i8mm ? TN_CPU_NEON_I8MM : 0u);
}

#else

uint32_t tn_cpu_features(uint32_t *refused) {
    *refused = 0;
    return 0;
}

#endif
