/* A bound program: a variant's launches with a session's addresses in place, for an engine (engine.h) to run. */
#ifndef TN_PROGRAM_H
#define TN_PROGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include "runtime/pool.h"
#include "runtime/variant.h"

/* A place in an engine's memory. Only the engine may follow it: to the host it is a number. */
typedef uintptr_t TnAddress;
/* A kernel that an engine has loaded, in whatever form it keeps them. */
typedef uintptr_t TnHandle;

/* Where operands lie, by space, and the workers' scratch. */
typedef struct TnBases {
    TnAddress arena, weights, inputs, keys, values, scratch;
} TnBases;

/* The shape of a cache. Key page: [heads][head_dim][64], value page: [heads][64][head_dim], per layer n of each; where
 * positions have scales, those of a head's 64 follow its elements. Layer l's pages begin at base + l * n * page bytes. */
typedef struct TnCache {
    uint32_t n, layers, heads, head_dim, elem_bytes, scale_bytes; /* scale: 0 or 4 a position and head */
} TnCache;
#define TN_PAGE_POSITIONS 64
size_t tn_cache_page_bytes(const TnCache *c);

/* A session's memory as its engine sees it.
 *
 * The inputs are one block: the symbols first (TN_ABI_SYMS values of 64 bits), then ids, positions and the rest of
 * TN_IN_*, each at a multiple of 64. The host writes it in host memory, where it is `staged`; an engine whose memory is
 * not the host's takes it over at the beginning of each run. Otherwise both are the same bytes. */
typedef struct TnMemory {
    TnBases bases;
    TnCache cache;
    int64_t *sym; /* [TN_ABI_SYMS], the beginning of the staged inputs */
    size_t input_bytes;
    size_t scratch_bytes; /* of worker w: bases.scratch + w * scratch_bytes */
    void *own;            /* the engine's, between bind and unbind */
} TnMemory;

/* A launch of one session. */
typedef struct TnRunLaunch {
    TnHandle kernel; /* 0 if nothing is loaded: the program is evaluated and nobody watches */
    TnLaunch args;   /* addresses of the engine's memory */
    int64_t units;
    uint32_t gate_sym, unit_sym; /* UINT32_MAX: none */
    bool barrier;
    _Atomic uint64_t taken; /* the walker's: number of the run, and how many of its last units are taken */
} TnRunLaunch;

static inline bool tn_launch_open(const TnRunLaunch *l, const int64_t *sym) {
    return l->gate_sym == UINT32_MAX || sym[l->gate_sym] > 0;
}
static inline int64_t tn_launch_units(const TnRunLaunch *l, const int64_t *sym) {
    return l->unit_sym == UINT32_MAX ? l->units : l->units * sym[l->unit_sym];
}

/* A result: row r lies at + r * stride, and at staged + r * stride in host memory once a run that was asked for it has
 * ended. staged NULL: the program has none. */
typedef struct TnOutput {
    TnAddress at;
    uint8_t *staged;
    size_t stride;
} TnOutput;

/* When a worker began and ended its share of a launch; begin 0: it had none. */
typedef struct TnStamp {
    uint64_t begin, end;
} TnStamp;

typedef struct TnProgram {
    TnRunLaunch *launches;
    uint64_t run; /* its number, from 1 */
    uint32_t n;
    uint32_t rows_hi, topk;
    const TnVariant *variant; /* what it was bound from: of launch i, variant->launches[i] has the rest */
    TnMemory *memory;
    size_t code_scratch; /* in a worker's scratch, where the code's part begins (TernKernels.watch) */
    TernPool *pool;      /* acquired while the program runs */
    TnStamp *stamps;     /* NULL: not profiled; of worker w and launch i: [w * tn_stamp_stride(n) + i] */
    TnOutput out[TN_OUT_COUNT];
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

#endif
