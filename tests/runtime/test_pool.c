/* Workers, barrier and walker: every unit runs once for any number of threads, barriers order launches, a thread
 * that waits for long sleeps, and the float environment is the promised one inside and the caller's outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>
#include "runtime/base/os.h"
#include "runtime/engine.h"

static TernPool *pool_of(uint32_t threads) {
    TernPool *p;
    TernError err = {0};
    TernPoolOptions o = {.size = sizeof o, .threads = threads};
    assert_int_equal(tern_pool_create(&o, &p, &err), TERN_OK);
    assert_int_equal(tern_pool_threads(p), threads);
    return p;
}

/* Barriers: in each round one worker raises a plain (not atomic) counter and all read it. TSan checks the order. */

enum { ROUNDS = 3000 };
typedef struct Stress {
    TernPool *pool;
    uint32_t n;
    uint64_t turn, seen[8], wrong[8];
} Stress;

static void stress(void *user, uint32_t w) {
    Stress *s = user;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        if (round % s->n == w) s->turn++;
        tn_pool_barrier(s->pool, w);
        s->wrong[w] += s->turn != round + 1;
        tn_pool_barrier(s->pool, w);
    }
    s->seen[w]++;
}

static void barrier_orders(void **state) {
    (void)state;
    for (uint32_t n = 1; n <= 5; n++) {
        Stress s = {.pool = pool_of(n), .n = n};
        assert_true(tn_pool_acquire(s.pool));
        assert_false(tn_pool_acquire(s.pool));
        double t = 1e9;
        /* before the first the workers may have parked; take the best, because the machine may be busy */
        for (int i = 0; i < 3; i++) {
            s.turn = 0;
            double start = tn_os_seconds();
            tn_pool_run(s.pool, stress, &s);
            if (tn_os_seconds() - start < t) t = tn_os_seconds() - start;
        }
        tn_pool_release(s.pool);
        for (uint32_t w = 0; w < n; w++) {
            assert_int_equal(s.wrong[w], 0);
            assert_int_equal(s.seen[w], 3);
        }
        print_message("  %u threads on %u processors: %.2f us a barrier\n", n, tn_os_cpus(),
                      t / (2 * ROUNDS) * 1e6);
        tern_pool_destroy(s.pool);
    }
}

/* A worker that waits for long goes to sleep. If there were more workers than processors, blind spinning would cost whole
 * time slices (milliseconds) at each barrier. Here one worker is late until the system says that all others sleep, first
 * at the barrier and then between two jobs. If they never sleep, this test never ends. */
typedef struct Late {
    TernPool *pool;
    uint32_t n;
    _Atomic long tid[8];
} Late;

static bool asleep(long tid) {
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", tid);
    FILE *f = tid ? fopen(path, "r") : NULL;
    if (!f) return false;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    const char *name_ends = strrchr(line, ')');
    return name_ends && strncmp(name_ends, ") S", 3) == 0;
}

static void until_all_sleep(Late *l) {
    for (uint32_t w = 1; w < l->n; w++)
        while (!asleep(l->tid[w])) sched_yield();
}

static void late(void *user, uint32_t w) {
    Late *l = user;
    l->tid[w] = syscall(SYS_gettid);
    if (w == 0) until_all_sleep(l);
    tn_pool_barrier(l->pool, w);
}

static void whoever_waits_sleeps(void **state) {
    (void)state;
    if (access("/proc/self/task", X_OK) != 0) {
        print_message("  skipped: no /proc to see who sleeps\n");
        skip();
    }
    for (uint32_t n = 2; n <= 5; n++) {
        Late l = {.pool = pool_of(n), .n = n};
        assert_true(tn_pool_acquire(l.pool));
        for (int i = 0; i < 3; i++) {
            tn_pool_run(l.pool, late, &l);
            until_all_sleep(&l);
        }
        tn_pool_release(l.pool);
        tern_pool_destroy(l.pool);
    }
}

static void count_workers(void *user, uint32_t w) {
    atomic_fetch_add((_Atomic uint64_t *)user, 1ull << 8 * w);
}

static void many_short_jobs(void **state) {
    (void)state;
    for (uint32_t n = 1; n <= 4; n++) {
        TernPool *p = pool_of(n);
        _Atomic uint64_t seen = 0;
        for (int i = 0; i < 200; i++) {
            if (i % 50 == 49) { /* long enough for the workers to park */
                double until = tn_os_seconds() + 0.002;
                while (tn_os_seconds() < until) {
                }
            }
            tn_pool_run(p, count_workers, &seen);
        }
        uint64_t all = n == 1   ? 200
                       : n == 2 ? 200 * 0x101ull
                       : n == 3 ? 200 * 0x10101ull
                                : 200 * 0x1010101ull;
        assert_int_equal(seen, all);
        tern_pool_destroy(p);
    }
}

static void refusals(void **state) {
    (void)state;
    TernPool *p = NULL;
    TernError err = {0};
    TernPoolOptions o = {.size = sizeof o, .threads = 2000};
    assert_int_equal(tern_pool_create(&o, &p, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernPoolOptions.threads is 2000, expected at most 1024");
    uint32_t cpus[] = {0, 1023};
    o = (TernPoolOptions){.size = sizeof o, .threads = 2, .cpus = cpus};
    assert_int_equal(tern_pool_create(&o, &p, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernPoolOptions.n_cpus is 0 although cpus are given");
    if (tn_os_cpus() < 1000) {
        o.n_cpus = 2;
        assert_int_equal(tern_pool_create(&o, &p, &err), TERN_ERR_ENV);
        assert_string_equal(err.text, "cannot bind worker 1 to processor 1023: Invalid argument");
    }
    assert_null(p);
    tern_pool_destroy(NULL);
}

/* Binding covers all workers, including the caller, and ends with the pool. */
static void binding(void **state) {
    (void)state;
    uint32_t before = tn_os_cpus(), cpu = 0;
    TernPool *p;
    TernError err = {0};
    TernPoolOptions o = {.size = sizeof o, .threads = 2, .cpus = &cpu, .n_cpus = 1};
    if (tern_pool_create(&o, &p, &err) != TERN_OK) skip(); /* processor 0 is not ours */
    assert_int_equal(tn_os_cpus(), 1);
    _Atomic uint64_t seen = 0;
    for (int i = 0; i < 20; i++) tn_pool_run(p, count_workers, &seen);
    assert_int_equal(seen, 20 * 0x101);
    tern_pool_destroy(p);
    assert_int_equal(tn_os_cpus(), before);
}

/* The walker. Launches differ in units, gates and barriers; each unit counts itself. */

enum { UNITS = 301, N = 7 };
typedef struct Launch {
    _Atomic uint32_t ran[UNITS];
    _Atomic uint32_t done; /* units */
} Launch;
static Launch launches[N];
static _Atomic uint32_t faults, later_tiles;
static bool inside_wrong(void);

static void kernel(const TnLaunch *l, const TnTile *tile) {
    Launch *self = l->ptr[0];
    const Launch *before = l->ptr[1]; /* must have ended, because there is a barrier between them */
    const uint32_t *before_units = l->ptr[2];
    if (before && before->done != *before_units) faults++;
    if (tile->lo >= tile->hi || ((uintptr_t)tile->scratch & 63)) faults++;
    if (inside_wrong()) faults++;
    const TnLaunch **mark = tile->scratch; /* a shared scratch would be a race, and TSan would say so */
    if (tile->scratch_valid && *mark != l) faults++;
    *mark = l;
    if (tile->scratch_valid) later_tiles++;
    for (int64_t u = tile->lo; u < tile->hi; u++) self->ran[u]++;
    self->done += (uint32_t)(tile->hi - tile->lo);
}

static void walk_once(TernPool *pool, int64_t T, int64_t R) {
    static _Alignas(64) uint8_t scratch[8][64];
    int64_t sym[TN_ABI_SYMS] = {[TN_ABI_T] = T, [TN_ABI_R] = R};
    /* units, unit symbol, gate, barrier, launch that must be over */
    const struct {
        int64_t units;
        uint32_t unit_sym, gate;
        bool barrier;
        int after;
    } plan[N] = {
        {1, UINT32_MAX, UINT32_MAX, true, -1},   {5, TN_ABI_T, UINT32_MAX, false, 0},
        {3, UINT32_MAX, TN_ABI_R, true, 0},      {7, TN_ABI_R, TN_ABI_R, true, 1},
        {301, UINT32_MAX, UINT32_MAX, false, 1}, {2, UINT32_MAX, TN_ABI_R, true, 1},
        {64, UINT32_MAX, UINT32_MAX, true, 4},
    };
    void *pointers[N][3];
    uint32_t units[N];
    TnRunLaunch run[N];
    memset(launches, 0, sizeof launches);
    for (int i = 0; i < N; i++) {
        int after = plan[i].after;
        bool open = plan[i].gate == UINT32_MAX || sym[plan[i].gate] > 0;
        units[i] =
            open ? (uint32_t)(plan[i].units * (plan[i].unit_sym == UINT32_MAX ? 1 : sym[plan[i].unit_sym]))
                 : 0;
        pointers[i][0] = &launches[i];
        pointers[i][1] = after < 0 ? NULL : &launches[after];
        pointers[i][2] = after < 0 ? NULL : &units[after];
        run[i] = (TnRunLaunch){.kernel = (TnHandle)kernel,
                               .args = {pointers[i], sym},
                               .units = plan[i].units,
                               .gate_sym = plan[i].gate,
                               .unit_sym = plan[i].unit_sym,
                               .barrier = plan[i].barrier};
    }
    TnMemory m = {.bases.scratch = (TnAddress)scratch[0], .sym = sym, .scratch_bytes = 64};
    TnProgram p = {.launches = run, .n = N, .memory = &m, .pool = pool};
    TnEngine *cpu;
    assert_int_equal(tn_engine_cpu(&cpu, NULL), TERN_OK);
    for (uint32_t run = 1; run <= 3; run++) { /* each run finds what the one before has taken */
        for (int i = 0; i < N; i++) launches[i].done = 0;
        assert_int_equal(cpu->run(cpu, &p, NULL, NULL), TERN_OK);
        for (int i = 0; i < N; i++) {
            assert_int_equal(launches[i].done, units[i]);
            for (uint32_t u = 0; u < UNITS; u++) assert_int_equal(launches[i].ran[u], u < units[i] ? run : 0);
        }
    }
    cpu->close(cpu);
}

/* The control registers, and bad values for them. */
#if defined(__x86_64__)
static uint32_t control(void) {
    return __builtin_ia32_stmxcsr() & ~0x3fu;
}
static void set_control(uint32_t c) {
    __builtin_ia32_ldmxcsr(c);
}
enum { PLAIN = 0x1f80, SPOILT = 0x1f80 | 0x8040 | 0x2000 }; /* FTZ, DAZ, round down */
#elif defined(__aarch64__)
static uint32_t control(void) {
    uint64_t c;
    __asm__ volatile("mrs %0, fpcr" : "=r"(c));
    return (uint32_t)c;
}
static void set_control(uint32_t c) {
    uint64_t wide = c;
    __asm__ volatile("msr fpcr, %0" : : "r"(wide));
}
enum { PLAIN = 0, SPOILT = 1 << 24 | 2 << 22 }; /* FZ, round to minus infinity */
#else
static uint32_t control(void) {
    return 0;
}
static void set_control(uint32_t c) {
    (void)c;
}
enum { PLAIN = 0, SPOILT = 0 };
#endif
static bool inside_wrong(void) {
    return control() != PLAIN;
}

static void every_unit_once(void **state) {
    (void)state;
    for (uint32_t n = 1; n <= 4; n++) {
        TernPool *p = pool_of(n);
        for (int i = 0; i < 60; i++) walk_once(p, 1 + i % 60, i % 3 == 0 ? 0 : 1 + i % 43);
        set_control(SPOILT);
        uint32_t spoilt = control(); /* not SPOILT under valgrind, which has no flush-to-zero */
        walk_once(p, 3, 1);
        uint32_t after = control();
        set_control(PLAIN);
        assert_int_equal(after, spoilt);
        assert_int_equal(faults, 0);
        assert_true((later_tiles > 0) == (n > 1)); /* the last eighth of launches of many units */
        tern_pool_destroy(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barrier_orders),  cmocka_unit_test(whoever_waits_sleeps),
        cmocka_unit_test(many_short_jobs), cmocka_unit_test(refusals),
        cmocka_unit_test(binding),         cmocka_unit_test(every_unit_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
