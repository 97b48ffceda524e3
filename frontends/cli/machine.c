/* Measures the machine's three rates, from which the floors follow.
 *
 * Reading: every thread walks its own share of a buffer that is too large for any cache, once plainly and
 * once with prefetches at the same distance as in the kernels, since either may be faster. The wall time of
 * all threads together counts. The pages are of the same kind as those of the weights, because small pages
 * cost some percent.
 *
 * Dot products: enough accumulators to hide the instruction's latency, operands in registers. Each thread
 * counts its own processor time, so that a busy machine does not look slow. A level is measured with the
 * instructions of its kernels: vpdpbusd, also on AVX's registers; on AVX2 vpmaddubsw, four results of which are added before vpmaddwd
 * widens them, which exact sums of ternary products allow; tdpbusd on tiles; sdot; smmla; on NEON without it smlal
 * and smlal2, 32 results of which are added before sadalp widens them. Attention is in f32 on every level:
 * fused multiply-adds of the level's widest registers. */
#include "frontends/cli/machine.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "runtime/abi/levels.h"
#include "runtime/base/arena.h"
#include "runtime/base/os.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- a team of threads that does the same work together, several times */

typedef struct Team Team;
typedef void Part(Team *team, uint32_t thread, int round);
struct Team {
    Part *part;
    uint32_t n;
    const Machine *machine; /* the processors to run on */
    int rounds;
    double *seconds; /* [rounds]: wall time of all threads */
    pthread_mutex_t gate;
    pthread_barrier_t step;
    const uint8_t *memory; /* reading */
    size_t share;
    long (*dot)(long turns, uint64_t *sum); /* dot products */
    long turns;
    double *rates; /* [rounds * n]: of each thread */
    uint64_t sum;  /* keeps the compiler from dropping the work as unused */
};
typedef struct Member {
    Team *team;
    uint32_t thread;
} Member;

static void rounds(Team *t, uint32_t thread) {
    for (int r = 0; r < t->rounds; r++) {
        pthread_barrier_wait(&t->step);
        double start = tn_os_seconds();
        t->part(t, thread, r);
        pthread_barrier_wait(&t->step);
        if (thread == 0) t->seconds[r] = tn_os_seconds() - start;
    }
}

/* A pool that is bound has bound the calling thread too, and its threads would run where it does. */
static void bind_member(const Machine *m, uint32_t thread) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (!m->n_cpus || m->cpus[thread % m->n_cpus] >= CPU_SETSIZE) return;
    CPU_SET(m->cpus[thread % m->n_cpus], &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *member(void *arg) {
    Member *m = arg;
    bind_member(m->team->machine, m->thread);
    pthread_mutex_lock(&m->team->gate); /* wait until the number of threads is known */
    pthread_mutex_unlock(&m->team->gate);
    if (m->team->n) rounds(m->team, m->thread);
    return NULL;
}

static bool together(Team *t, uint32_t threads) {
    Member *members = tn_xcalloc(threads, sizeof *members);
    pthread_t *ids = tn_xcalloc(threads, sizeof *ids);
    uint32_t started = 1;
    pthread_mutex_init(&t->gate, NULL);
    pthread_mutex_lock(&t->gate);
    for (; started < threads; started++) {
        members[started] = (Member){t, started};
        if (pthread_create(&ids[started], NULL, member, &members[started])) break;
    }
    t->n = started == threads ? threads : 0;
    pthread_barrier_init(&t->step, NULL, threads);
    pthread_mutex_unlock(&t->gate);
    if (t->n) rounds(t, 0);
    for (uint32_t i = 1; i < started; i++) pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&t->step);
    pthread_mutex_destroy(&t->gate);
    free(ids);
    free(members);
    return t->n != 0;
}

/* ---- reading */

typedef uint64_t Block __attribute__((vector_size(64)));
enum { NEAR_BYTES = 1024, FAR_BYTES = 12288 };

#define READER(name, attributes, ahead)                                                                      \
    attributes static uint64_t name(const uint8_t *p, size_t n) {                                            \
        const Block *from = (const Block *)(const void *)p;                                                  \
        Block a = {0}, b = {0}, c = {0}, d = {0};                                                            \
        for (size_t i = 0; i + 4 <= n / sizeof(Block); i += 4) {                                             \
            for (int j = 0; (ahead) && j < 4; j++) {                                                         \
                __builtin_prefetch((const uint8_t *)&from[i + (size_t)j] + NEAR_BYTES, 0, 3);                \
                __builtin_prefetch((const uint8_t *)&from[i + (size_t)j] + FAR_BYTES, 0, 2);                 \
            }                                                                                                \
            a += from[i];                                                                                    \
            b += from[i + 1];                                                                                \
            c += from[i + 2];                                                                                \
            d += from[i + 3];                                                                                \
        }                                                                                                    \
        a += b;                                                                                              \
        c += d;                                                                                              \
        a += c;                                                                                              \
        return a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];                                        \
    }

#if defined(__x86_64__)
READER(plain_512, __attribute__((target("avx512f"))), 0)
READER(ahead_512, __attribute__((target("avx512f"))), 1)
READER(plain_256, __attribute__((target("avx2"))), 0)
READER(ahead_256, __attribute__((target("avx2"))), 1)
#endif
READER(plain_any, , 0)
READER(ahead_any, , 1)

typedef uint64_t ReaderFn(const uint8_t *, size_t);
static void find_readers(ReaderFn *out[2]) {
    out[0] = plain_any;
    out[1] = ahead_any;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        out[0] = plain_512;
        out[1] = ahead_512;
    } else if (__builtin_cpu_supports("avx2")) {
        out[0] = plain_256;
        out[1] = ahead_256;
    }
#endif
}

/* Even rounds read plainly, odd ones with prefetches. */
static void read_part(Team *t, uint32_t thread, int round) {
    ReaderFn *readers[2];
    find_readers(readers);
    uint64_t sum = readers[round & 1](t->memory + thread * t->share, t->share);
    __atomic_fetch_add(&t->sum, sum, __ATOMIC_RELAXED);
}

double machine_read(const Machine *m) {
    return m->plain > m->prefetching ? m->plain : m->prefetching;
}

bool machine_read_rate(Machine *m, uint32_t threads, size_t bytes, bool huge) {
    enum { ROUNDS = 8 };
    double seconds[ROUNDS];
    size_t share = bytes / threads / 4096 * 4096;
    void *memory;
    if (share == 0 || tn_os_map(share * threads, huge, &memory, NULL) != TERN_OK) return false;
    if (!huge) tn_os_advise_small(memory, share * threads);
    memset(memory, 1, share * threads);
    Team t = {.part = read_part,
              .machine = m,
              .rounds = ROUNDS,
              .seconds = seconds,
              .memory = memory,
              .share = share};
    bool done = together(&t, threads);
    for (int r = 0; done && r < ROUNDS; r++) {
        double rate = (double)(share * threads) / seconds[r], *best = r & 1 ? &m->prefetching : &m->plain;
        if (rate > *best) *best = rate;
    }
    m->threads = threads;
    m->bytes = share * threads;
    m->huge_bytes = tn_os_huge_bytes(memory, share * threads);
    tn_os_unmap(memory, share * threads);
    return done;
}

/* ---- dot products: each function runs `turns` turns and returns the multiply-adds of one */

#if defined(__x86_64__)
/* The sums are separate variables: an array indexed by a loop would lie in memory. The asm keeps the compiler
 * from hoisting the products out of the loop. */
#define STEP(multiply, i)                                                                                    \
    s##i = multiply(a, b, s##i);                                                                             \
    __asm__ volatile("" : "+x"(s##i))
/* A function with twelve sums. A turn adds to each of them the products of a and b, `lanes` pairs. */
#define TWELVE_SUMS(name, attributes, type, lanes, one, two, all0, set1, multiply, add, first)               \
    attributes static long name(long turns, uint64_t *sum) {                                                 \
        type a = set1(one), b = set1(two), all = all0();                                                     \
        type s0 = all, s1 = all, s2 = all, s3 = all, s4 = all, s5 = all, s6 = all, s7 = all, s8 = all,       \
             s9 = all, s10 = all, s11 = all;                                                                 \
        for (long n = 0; n < turns; n++) {                                                                   \
            STEP(multiply, 0);                                                                               \
            STEP(multiply, 1);                                                                               \
            STEP(multiply, 2);                                                                               \
            STEP(multiply, 3);                                                                               \
            STEP(multiply, 4);                                                                               \
            STEP(multiply, 5);                                                                               \
            STEP(multiply, 6);                                                                               \
            STEP(multiply, 7);                                                                               \
            STEP(multiply, 8);                                                                               \
            STEP(multiply, 9);                                                                               \
            STEP(multiply, 10);                                                                              \
            STEP(multiply, 11);                                                                              \
        }                                                                                                    \
        all = add(add(add(s0, s1), add(s2, s3)), add(add(s4, s5), add(s6, s7)));                             \
        all = add(all, add(add(s8, s9), add(s10, s11)));                                                     \
        *sum += first(all) != 0;                                                                             \
        return 12 * (lanes);                                                                                 \
    }

/* Bytes: four products go to each lane of 32 bits. */
#define VNNI_512(a, b, sum) _mm512_dpbusd_epi32(sum, a, b)
#define VNNI_256(a, b, sum) _mm256_dpbusd_avx_epi32(sum, a, b)
#define FIRST_INT_512(v)    _mm_cvtsi128_si32(_mm512_castsi512_si128(v))
#define FIRST_INT_256(v)    _mm_cvtsi128_si32(_mm256_castsi256_si128(v))
TWELVE_SUMS(dot_vnni_512, __attribute__((target("avx512f,avx512bw,avx512vnni"))), __m512i, 64, 1, 2,
            _mm512_setzero_si512, _mm512_set1_epi8, VNNI_512, _mm512_add_epi32, FIRST_INT_512)
TWELVE_SUMS(dot_vnni_256, __attribute__((target("avx2,avxvnni"))), __m256i, 32, 1, 2, _mm256_setzero_si256,
            _mm256_set1_epi8, VNNI_256, _mm256_add_epi32, FIRST_INT_256)

/* Floats. Sums of products of 1 and 2^-126 stay finite. */
TWELVE_SUMS(fma_512, __attribute__((target("avx512f"))), __m512, 16, 1.0f, 0x1p-126f, _mm512_setzero_ps,
            _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_cvtss_f32)
TWELVE_SUMS(fma_256, __attribute__((target("avx2,fma"))), __m256, 8, 1.0f, 0x1p-126f, _mm256_setzero_ps,
            _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_cvtss_f32)
#undef FIRST_INT_256
#undef FIRST_INT_512
#undef VNNI_256
#undef VNNI_512
#undef TWELVE_SUMS
#undef STEP

__attribute__((target("avx2"))) static long dot_maddubs(long turns, uint64_t *sum) {
    __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
    __m256i p0, p1, p2, p3, all = _mm256_setzero_si256(), s0 = all, s1 = all, s2 = all, s3 = all;
/* Each product is of another a, as far as the compiler knows: else one would do for all. */
#define MULTIPLY(p)                                                                                          \
    __asm__ volatile("" : "+x"(a));                                                                          \
    p = _mm256_maddubs_epi16(a, b);                                                                          \
    __asm__ volatile("" : "+x"(p))
#define STEP(s)                                                                                              \
    MULTIPLY(p0);                                                                                            \
    MULTIPLY(p1);                                                                                            \
    MULTIPLY(p2);                                                                                            \
    MULTIPLY(p3);                                                                                            \
    p0 = _mm256_add_epi16(_mm256_add_epi16(p0, p1), _mm256_add_epi16(p2, p3));                               \
    s = _mm256_add_epi32(s, _mm256_madd_epi16(p0, ones))
    for (long n = 0; n < turns; n++) {
        STEP(s0);
        STEP(s1);
        STEP(s2);
        STEP(s3);
    }
#undef STEP
#undef MULTIPLY
    all = _mm256_add_epi32(_mm256_add_epi32(s0, s1), _mm256_add_epi32(s2, s3));
    *sum += (uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(all));
    return 4 * 4 * 32;
}

/* Two by two tiles: the fewest with which each product needs at most one load. The system must first permit
 * the tile state. */
__attribute__((target("amx-tile,amx-int8"))) static long dot_amx(long turns, uint64_t *sum) {
    enum { XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    struct {
        uint8_t palette, row, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config __attribute__((aligned(64))) = {.palette = 1};
    static uint8_t tile[1024] __attribute__((aligned(64)));
    int32_t out[256];
    if (syscall(SYS_arch_prctl, XCOMP_PERM, XTILEDATA) != 0) return 0;
    for (int i = 0; i < 8; i++) config.rows[i] = 16, config.bytes[i] = 64;
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, tile, 64);
    _tile_loadd(5, tile, 64);
    _tile_loadd(6, tile, 64);
    _tile_loadd(7, tile, 64);
    for (long n = 0; n < turns; n++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, out, 64);
    _tile_release();
    *sum += (uint64_t)out[0];
    return 4 * 16 * 16 * 64;
}
#elif defined(__aarch64__)
static long fma_128(long turns, uint64_t *sum) {
    typedef float V __attribute__((vector_size(16)));
    V a = {1}, b = {0x1p-126f}, c[12] = {{0}};
    for (long n = 0; n < turns; n++)
        for (int i = 0; i < 12; i++) __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(c[i]) : "w"(a), "w"(b));
    for (int i = 1; i < 12; i++) c[0] += c[i];
    *sum += c[0][0] != 0;
    return 12 * 4;
}

/* 32 additions are what an int16 takes of products of one row of activations. */
static long dot_smlal(long turns, uint64_t *sum) {
    typedef int32_t V __attribute__((vector_size(16)));
    V a = {1}, b = {2}, half[8], all = {0};
    for (long n = 0; n < turns; n++) {
        memset(half, 0, sizeof half);
        for (int k = 0; k < 32; k++)
            for (int i = 0; i < 4; i++)
                __asm__("smlal %0.8h, %2.8b, %3.8b\n\tsmlal2 %1.8h, %2.16b, %3.16b"
                        : "+w"(half[2 * i]), "+w"(half[2 * i + 1])
                        : "w"(a), "w"(b));
        for (int i = 0; i < 8; i++) __asm__("sadalp %0.4s, %1.8h" : "+w"(all) : "w"(half[i]));
    }
    *sum += (uint64_t)all[0];
    return 32 * 4 * 16;
}

/* Only this function is compiled for the extension: all others must run on processors without it. */
#if defined(__clang__)
__attribute__((target("dotprod"))) /* no plus sign: clang 14 adds it */
#else
__attribute__((target("arch=armv8.2-a+dotprod"))) /* binutils 2.40 accepts the instruction from 8.2 on */
#endif
static long
dot_sdot(long turns, uint64_t *sum) {
    typedef int32_t V __attribute__((vector_size(16)));
    V a = {1}, b = {2}, c[12] = {{0}};
    for (long n = 0; n < turns; n++)
        for (int i = 0; i < 12; i++) __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(c[i]) : "w"(a), "w"(b));
    for (int i = 1; i < 12; i++) c[0] += c[i];
    *sum += (uint64_t)c[0][0];
    return 12 * 16;
}

#if defined(__clang__)
__attribute__((target("i8mm")))
#else
__attribute__((target("arch=armv8.6-a")))
#endif
static long
dot_smmla(long turns, uint64_t *sum) {
    typedef int32_t V __attribute__((vector_size(16)));
    V a = {1}, b = {2}, c[12] = {{0}};
    for (long n = 0; n < turns; n++)
        for (int i = 0; i < 12; i++) __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(c[i]) : "w"(a), "w"(b));
    for (int i = 1; i < 12; i++) c[0] += c[i];
    *sum += (uint64_t)c[0][0];
    return 12 * 32;
}
#endif

typedef long DotFn(long turns, uint64_t *sum);
static DotFn *find_dot(const char *level) {
    switch (tn_level_number(level)) {
#if defined(__x86_64__)
    case TN_LEVEL_AMX:
        return dot_amx;
    case TN_LEVEL_AVX512_VNNI:
        return dot_vnni_512;
    case TN_LEVEL_AVX_VNNI:
        return dot_vnni_256;
    case TN_LEVEL_AVX2:
        return dot_maddubs;
#elif defined(__aarch64__)
    case TN_LEVEL_NEON:
        return dot_smlal;
    case TN_LEVEL_NEON_DOTPROD:
        return dot_sdot;
    case TN_LEVEL_NEON_I8MM:
        return dot_smmla;
#endif
    default:
        return NULL;
    }
}

static DotFn *find_fma(const char *level) {
    switch (tn_level_number(level)) {
#if defined(__x86_64__)
    case TN_LEVEL_AMX:
    case TN_LEVEL_AVX512_VNNI:
        return fma_512;
    case TN_LEVEL_AVX2:
    case TN_LEVEL_AVX_VNNI:
        return fma_256;
#elif defined(__aarch64__)
    case TN_LEVEL_NEON:
    case TN_LEVEL_NEON_DOTPROD:
    case TN_LEVEL_NEON_I8MM:
        return fma_128;
#endif
    default:
        return NULL;
    }
}

static double own_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void dot_part(Team *t, uint32_t thread, int round) {
    uint64_t sum = 0;
    double start = own_seconds();
    long macs = t->dot(t->turns, &sum);
    double took = own_seconds() - start;
    t->rates[(uint32_t)round * t->n + thread] = took > 0 ? 2.0 * (double)macs * (double)t->turns / took : 0;
    __atomic_fetch_add(&t->sum, sum, __ATOMIC_RELAXED);
}

/* Keeps the best rate of all threads together in *best. */
static bool dot_rate(const Machine *m, uint32_t threads, DotFn *dot, double *best) {
    enum { ROUNDS = 5 };
    double seconds[ROUNDS];
    uint64_t sum = 0;
    long macs = dot ? dot(1, &sum) : 0, turns = 1000;
    if (macs == 0) return false;
    for (double took = 0; took < 0.005;
         turns *= 2) { /* until it is long enough for the clock and for the threads to overlap */
        double start = own_seconds();
        dot(turns, &sum);
        took = own_seconds() - start;
    }
    double *rates = tn_xcalloc((size_t)ROUNDS * threads, sizeof *rates);
    Team t = {.part = dot_part,
              .machine = m,
              .rounds = ROUNDS,
              .seconds = seconds,
              .dot = dot,
              .turns = turns,
              .rates = rates};
    bool done = together(&t, threads);
    for (int r = 0; done && r < ROUNDS; r++) {
        double rate = 0;
        for (uint32_t i = 0; i < threads; i++) rate += rates[(uint32_t)r * threads + i];
        if (rate > *best) *best = rate;
    }
    free(rates);
    return done;
}

bool machine_dot_rates(Machine *m, uint32_t threads, const char *level) {
    m->threads = threads;
    return dot_rate(m, threads, find_dot(level), &m->int8) && dot_rate(m, threads, find_fma(level), &m->f32);
}
