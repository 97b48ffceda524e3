/* The walker: runs a bound program's launches on a pool.
 *
 * Every worker walks the whole list and takes its share of every launch's units, the same share each time;
 * there is no queue and no task. A barrier stands where the plan put one. Results do not depend on the split
 * (abi/kernel.h). */
#ifndef TN_PROGRAM_H
#define TN_PROGRAM_H

#include <stdbool.h>
#include "runtime/abi/kernel.h"
#include "runtime/pool.h"

/* A launch of one session: addresses are in place. */
typedef struct TnRunLaunch {
    TnKernelFn *fn; /* NULL if the program is evaluated */
    TnLaunch args;
    int64_t units;
    uint32_t gate_sym, unit_sym; /* UINT32_MAX: none */
    bool barrier;
} TnRunLaunch;

typedef struct TnProgram {
    const TnRunLaunch *launches;
    uint32_t n;
    uint32_t variant;   /* for the callback */
    const int64_t *sym; /* [TN_ABI_SYMS], set before every run */
    uint8_t *scratch;   /* of worker w: + w * scratch_bytes */
    size_t scratch_bytes;
    TernPool *pool;
    const TernKernels *kernels; /* NULL: run the code */
} TnProgram;

/* Runs all launches whose gate is open; the pool is acquired. The float environment is that of the promise
 * (round to nearest, no flush to zero) on every worker, and the caller's is put back. */
void tn_program_run(const TnProgram *p);

#endif
