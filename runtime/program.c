#include "runtime/program.h"

/* The float environment, straight in the control register: fesetenv does not know of flush-to-zero. */
#if defined(__x86_64__)
typedef uint32_t FloatEnv;
static inline FloatEnv enter_floats(void) {
    FloatEnv before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x1f80); /* exceptions masked, round to nearest, FTZ and DAZ off */
    return before;
}
static inline void leave_floats(FloatEnv before) {
    __builtin_ia32_ldmxcsr(before);
}
#elif defined(__aarch64__)
typedef uint64_t FloatEnv;
static inline FloatEnv enter_floats(void) {
    FloatEnv before, plain = 0; /* no traps, round to nearest, FZ and FZ16 off */
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(plain));
    return before;
}
static inline void leave_floats(FloatEnv before) {
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
}
#else
#include <fenv.h>
typedef int FloatEnv;
static inline FloatEnv enter_floats(void) {
    FloatEnv before = fegetround();
    fesetround(FE_TONEAREST);
    return before;
}
static inline void leave_floats(FloatEnv before) {
    fesetround(before);
}
#endif

static inline bool is_open(const TnRunLaunch *l, const int64_t *sym) {
    return l->gate_sym == UINT32_MAX || sym[l->gate_sym] > 0;
}

static inline int64_t units_of(const TnRunLaunch *l, const int64_t *sym) {
    return l->unit_sym == UINT32_MAX ? l->units : l->units * sym[l->unit_sym];
}

/* ---- the last eighth
 *
 * TnRunLaunch.taken is run * 2^24 + how many of the last units have been taken; of another run it means none, so that
 * nothing has to be reset. Units are handed over by it alone: what they write is seen behind the next barrier. */

enum { COUNT_BITS = 24 };

static inline int64_t last_units(int64_t units, int64_t n_workers) {
    int64_t last = units / 8;
    return n_workers > 1 && units >= 8 * n_workers && last < 1 << COUNT_BITS ? last : 0;
}

/* Some of the `last` units from `first` on that nobody has yet; false: there are none. */
static inline bool take(TnRunLaunch *l, uint64_t run, int64_t first, int64_t last, int64_t n_workers,
                        TnTile *tile) {
    int64_t most = last / (4 * n_workers) + 1, next, n;
    uint64_t seen = atomic_load_explicit(&l->taken, memory_order_relaxed);
    do {
        next = seen >> COUNT_BITS == run ? (int64_t)(seen & ((1 << COUNT_BITS) - 1)) : 0;
        n = last - next < most ? last - next : most;
        if (n <= 0) return false;
    } while (!atomic_compare_exchange_weak_explicit(&l->taken, &seen,
                                                    run << COUNT_BITS | (uint64_t)(next + n),
                                                    memory_order_relaxed, memory_order_relaxed));
    tile->lo = first + next;
    tile->hi = tile->lo + n;
    return true;
}

static inline __attribute__((always_inline)) void run_share(const TnProgram *p, TnRunLaunch *l,
                                                            uint32_t worker, int64_t n_workers, TnTile *tile,
                                                            TnStamp *stamp) {
    int64_t units = units_of(l, p->sym), last = last_units(units, n_workers), dealt = units - last;
    tile->lo = dealt * worker / n_workers;
    tile->hi = dealt * (worker + 1) / n_workers;
    tile->again = 0;
    bool any = tile->lo < tile->hi || (last && take(l, p->run, dealt, last, n_workers, tile));
    if (stamp) stamp->begin = any ? tn_clock_ns() : 0;
    while (any) {
        l->fn(&l->args, tile);
        tile->again = 1;
        any = last && take(l, p->run, dealt, last, n_workers, tile);
        if (stamp && !any) stamp->end = tn_clock_ns();
    }
}

/* All of a worker's part. Whether a launch runs and whether a barrier is needed depends on symbols alone, so
 * that all workers decide alike. A barrier behind a closed launch still closes what ran before it; a second
 * one in a row does nothing. */
static inline __attribute__((always_inline)) void walk_with(const TnProgram *p, uint32_t worker,
                                                            TnStamp *stamps) {
    const int64_t *sym = p->sym, n_workers = tern_pool_threads(p->pool);
    TnTile tile = {.scratch = p->scratch + worker * p->scratch_bytes};
    FloatEnv before = enter_floats();
    bool ran = false;
    for (TnRunLaunch *l = p->launches, *end = l + p->n; l < end; l++) {
        if (is_open(l, sym)) {
            run_share(p, l, worker, n_workers, &tile, stamps ? &stamps[l - p->launches] : NULL);
            ran = true;
        } else if (stamps) {
            stamps[l - p->launches].begin = 0;
        }
        if (l->barrier && ran && l + 1 < end) { /* the end of the job is a barrier too */
            tn_pool_barrier(p->pool, worker);
            ran = false;
        }
    }
    leave_floats(before);
}

static void walk(void *user, uint32_t worker) {
    walk_with(user, worker, NULL);
}

static void walk_timed(void *user, uint32_t worker) {
    const TnProgram *p = user;
    walk_with(p, worker, p->stamps + (size_t)worker * tn_stamp_stride(p->n));
}

static void call_back(const TnProgram *p, uint32_t i) {
    const TnRunLaunch *l = &p->launches[i];
    const TernKernels *k = p->kernels;
    if (!k->watch) {
        k->run(k->user, p->variant, i, &l->args, p->scratch);
        return;
    }
    TernWatch w = {.variant = p->variant,
                   .launch = i,
                   .args = &l->args,
                   .code = (void (*)(void))l->fn,
                   .units = units_of(l, p->sym),
                   .scratch = p->scratch,
                   .code_scratch = p->scratch + p->watch_scratch};
    k->watch(k->user, &w);
}

/* Evaluated kernels are launches in one piece: the caller's thread runs them all. */
static void evaluate(const TnProgram *p) {
    FloatEnv before = enter_floats();
    for (uint32_t i = 0; i < p->n; i++) {
        const TnRunLaunch *l = &p->launches[i];
        bool open = is_open(l, p->sym) && units_of(l, p->sym) > 0;
        if (p->stamps) p->stamps[i].begin = open ? tn_clock_ns() : 0;
        if (open) call_back(p, i);
        if (p->stamps && open) p->stamps[i].end = tn_clock_ns();
    }
    leave_floats(before);
}

void tn_program_run(TnProgram *p) {
    p->run++;
    if (p->kernels)
        evaluate(p);
    else
        tn_pool_run(p->pool, p->stamps ? walk_timed : walk, p);
}
