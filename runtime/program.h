/* A bound program: the launches of a variant with the addresses of a session filled in. An engine (engine.h) runs it. */
#ifndef TN_PROGRAM_H
#define TN_PROGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include "runtime/base/os.h"
#include "runtime/pool.h"
#include "runtime/variant.h"

/* An address in an engine's memory. Only the engine may dereference it; to the host it is just a number. */
typedef uintptr_t TnAddress;
/* A kernel that an engine has loaded, in the engine's own form. */
typedef uintptr_t TnHandle;

/* The base address of each space of operands, and of the workers' scratch. */
typedef struct TnBases {
    TnAddress arena, weights, inputs, keys, values, scratch;
} TnBases;

/* The shape of a cache. A key page is [heads][head_dim][64], a value page [heads][64][head_dim]; each layer has n of each.
 * If positions have scales, the 64 scales of a head follow its elements. The pages of layer l begin at
 * base + l * n * page bytes. */
typedef struct TnCache {
    uint32_t n, layers, heads, head_dim, elem_bytes, scale_bytes; /* scale: 0 or 4 a position and head */
} TnCache;
#define TN_PAGE_POSITIONS 64
size_t tn_cache_page_bytes(const TnCache *c);
/* Where a layer's keys (0) or values (1) begin in a page outside the cache: layer by layer, keys and then values. */
static inline size_t tn_cache_page_offset(const TnCache *c, uint32_t layer, uint32_t values) {
    return (2 * (size_t)layer + values) * tn_cache_page_bytes(c);
}
/* Makes positions lo to hi - 1 zero in the keys and the values of a layer and page, in host memory. */
void tn_cache_clear(const TnCache *c, uint8_t *keys, uint8_t *values, uint32_t lo, uint32_t hi);

/* A session's memory as its engine sees it.
 *
 * The inputs are one block: first the symbols (TN_ABI_SYMS values of 64 bits; TN_ABI_WORDS if the engine has its own memory), then ids, positions and the rest of
 * TN_IN_*, each at a multiple of 64. The host writes the `staged` copy in host memory. An engine with its own memory
 * copies it over at the beginning of each run; for other engines the two are the same bytes. */
typedef struct TnMemory {
    TnBases bases;
    TnCache cache;
    int64_t *sym; /* the beginning of the staged inputs */
    size_t input_bytes;
    size_t scratch_bytes; /* of a worker; that of worker w is at bases.scratch + w * scratch_bytes */
    /* of a run: rows, rows with hidden rows as results, and rows with results of any other kind */
    uint32_t rows_most, hidden_most, wants_most;
    void *own; /* for the engine's use, between bind and unbind */
} TnMemory;

/* A launch, bound to one session. */
typedef struct TnRunLaunch {
    TnHandle kernel; /* 0 if no code is loaded: the program is evaluated and there is no watch */
    TnLaunch args;   /* addresses in the engine's memory */
    int64_t units;
    uint32_t gate_sym, unit_sym; /* UINT32_MAX: none */
    bool barrier, lists;         /* TN_LAUNCH_* */
    _Atomic uint64_t taken; /* for engine_cpu.c: the run's number, and how many of its last units are taken */
} TnRunLaunch;

static inline bool tn_launch_open(const TnRunLaunch *l, const int64_t *sym) {
    return l->gate_sym == UINT32_MAX || sym[l->gate_sym] > 0;
}
static inline int64_t tn_launch_units(const TnRunLaunch *l, const int64_t *sym) {
    return l->unit_sym == UINT32_MAX ? l->units : l->units * sym[l->unit_sym];
}

/* A result. Row r is at `at` + r * stride in the engine's memory and, after a run that was asked for it, at `staged` +
 * r * stride in host memory. staged NULL: the program does not have this output. */
typedef struct TnOutput {
    TnAddress at;
    uint8_t *staged;
    size_t stride;
} TnOutput;

/* When a worker began and ended its share of a launch; begin 0: it had no share. */
typedef struct TnStamp {
    uint64_t begin, end;
} TnStamp;

typedef struct TnProgram {
    TnRunLaunch *launches;
    uint64_t run; /* the number of the current run, from 1 */
    uint32_t n;
    uint32_t rows_hi, topk;
    const TnVariant *variant; /* what it was bound from; variant->launches[i] has the rest about launch i */
    TnMemory *memory;
    size_t code_scratch; /* offset in a worker's scratch where the code's part begins (TernKernels.watch) */
    TernPool *pool;      /* acquired while the program runs */
    TnStamp *stamps;     /* worker w, launch i: [w * tn_stamp_stride(n) + i]; NULL: not profiled */
    TnOutput out[TN_OUT_COUNT];
    /* If kernels list rows of tables: the file that they are read from, or NULL; and whether they are likely to be on the disk,
     * so that they are asked for before they are read. */
    const TnFile *file;
    bool scarce;
    /* For engine_cpu.c, which deals out fewer units in advance if a worker is slower than the others. */
    uint32_t held; /* eighths of the units that are held back beside the last */
    int32_t lag;   /* how late the slowest worker was in recent runs */
    /* in this run: what the slowest worker took of the last units; TN_EVEN: as much as the others */
    _Atomic uint32_t least;
} TnProgram;
enum { TN_EVEN = 256 };

/* Stamps of one worker, rounded up so that workers do not share a cache line. */
static inline uint32_t tn_stamp_stride(uint32_t n) {
    return (n + 4) & ~3u;
}
/* A monotonic clock, never 0. */
static inline uint64_t tn_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + 1;
}

#endif
