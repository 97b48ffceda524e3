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

/* All of a worker's part. Whether a launch runs and whether a barrier is needed depends on symbols alone, so
 * that all workers decide alike. A barrier behind a closed launch still closes what ran before it; a second
 * one in a row does nothing. */
static inline __attribute__((always_inline)) void walk_with(const TnProgram *p, uint32_t worker,
                                                            TnStamp *stamps) {
    const int64_t *sym = p->sym, n_workers = tern_pool_threads(p->pool);
    void *scratch = p->scratch + worker * p->scratch_bytes;
    FloatEnv before = enter_floats();
    bool ran = false;
    for (const TnRunLaunch *l = p->launches, *end = l + p->n; l < end; l++) {
        if (is_open(l, sym)) {
            int64_t units = units_of(l, sym);
            TnTile tile = {units * worker / n_workers, units * (worker + 1) / n_workers, scratch};
            if (stamps) stamps[l - p->launches].begin = tile.lo < tile.hi ? tn_clock_ns() : 0;
            if (tile.lo < tile.hi) l->fn(&l->args, &tile);
            if (stamps && tile.lo < tile.hi) stamps[l - p->launches].end = tn_clock_ns();
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

void tn_program_run(const TnProgram *p) {
    if (p->kernels)
        evaluate(p);
    else
        tn_pool_run(p->pool, p->stamps ? walk_timed : walk, (void *)(uintptr_t)p);
}
