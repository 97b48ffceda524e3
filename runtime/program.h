/* The walker: runs a bound program's launches on a pool.
 *
 * Every worker walks the whole list and takes its share of every launch's units: seven eighths of the units are dealt
 * out beforehand, the same share each time, and whoever has done his takes from the last eighth, a few at a time.
 * Cores that share memory and caches with others never run evenly, and a barrier waits for the slowest. A launch of
 * few units is dealt out whole. A barrier stands where the plan put one. Results do not depend on the split
 * (abi/kernel.h). */
#ifndef TN_PROGRAM_H
#define TN_PROGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include "runtime/abi/kernel.h"
#include "runtime/pool.h"

/* A launch of one session: addresses are in place. */
typedef struct TnRunLaunch {
    TnKernelFn *fn; /* NULL if the program is evaluated and nobody watches */
    TnLaunch args;
    int64_t units;
    uint32_t gate_sym, unit_sym; /* UINT32_MAX: none */
    bool barrier;
    _Atomic uint64_t taken; /* number of the run, and how many of its last units are taken: see program.c */
} TnRunLaunch;

/* When a worker began and ended its share of a launch; begin 0: it had none. */
typedef struct TnStamp {
    uint64_t begin, end;
} TnStamp;

typedef struct TnProgram {
    TnRunLaunch *launches;
    uint64_t run; /* its number, from 1 */
    uint32_t n;
    uint32_t variant;   /* for the callback */
    const int64_t *sym; /* [TN_ABI_SYMS], set before every run */
    uint8_t *scratch;   /* of worker w: + w * scratch_bytes */
    size_t scratch_bytes;
    size_t watch_scratch; /* where the code's part begins, if somebody watches */
    TernPool *pool;
    const TernKernels *kernels; /* NULL: run the code */
    TnStamp *stamps; /* NULL: not profiled; of worker w and launch i: [w * tn_stamp_stride(n) + i] */
} TnProgram;

/* A worker's stamps end on a cache line of their own. */
static inline uint32_t tn_stamp_stride(uint32_t n) {
    return (n + 4) & ~3u;
}
/* A monotonic clock, never 0. */
static inline uint64_t tn_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + 1;
}

/* Runs all launches whose gate is open; the pool is acquired. The float environment is that of the promise
 * (round to nearest, no flush to zero) on every worker, and the caller's is put back. */
void tn_program_run(TnProgram *p);

#endif
