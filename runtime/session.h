/* A session's memory: one block, laid out by memory.c, holding the session itself, the tables of a step, the
 * bound programs, arena, scratch and caches. Nothing is allocated elsewhere, ever. */
#ifndef TN_SESSION_H
#define TN_SESSION_H

#include "runtime/model.h"
#include "runtime/pages.h"
#include "runtime/program.h"

#define TN_PROGRAMS_MAX 16 /* row classes */

/* A result's place: row r is at data + r * stride. */
typedef struct TnOutput {
    const uint8_t *data; /* NULL: the program has none */
    size_t stride;
} TnOutput;

typedef struct TnBound {
    TnProgram program;
    uint32_t rows_hi, topk;
    TnOutput out[TN_OUT_COUNT];
} TnBound;

struct TernSession {
    TernModel *model;
    TernPool *pool;
    uint32_t slots, context, batch, wants;
    bool logits_apart;    /* rows with want 3 are counted by L, not by R */
    bool watched;         /* the cache is f16: what saturates is counted */
    uint64_t saturated;   /* values */
    bool stepping;        /* a step is under way: calls from inside the sink are refused */
    TernProfile *profile; /* the caller's; NULL: none attached */
    void *owned;          /* mapping to unmap, NULL if the memory is the caller's */
    size_t total;
    int64_t sym[TN_ABI_SYMS];
    int32_t *input[TN_IN_COUNT]; /* TABLE is pages.table */
    uint32_t *place;             /* [batch] of a row: its index among the results of its kind */
    uint32_t *growth;            /* [slots] rows of a step */
    TnPages pages;
    uint32_t n_programs;
    TnBound programs[TN_PROGRAMS_MAX]; /* by rising rows */
};

/* Everything about a session's size, from options and model. Offsets are from the start of the memory. */
typedef struct TnSessionPlan {
    uint32_t slots, context, batch, wants, kv, workers;
    uint32_t n;
    const TnVariant *variants[TN_PROGRAMS_MAX];
    int64_t sym_max[TN_PROGRAMS_MAX][TN_ABI_SYMS];
    size_t scratch_bytes;                  /* of one worker */
    size_t watch_scratch[TN_PROGRAMS_MAX]; /* of it, before the code's part (TernKernels.watch) */
    size_t input[TN_IN_COUNT], place, growth, length, refs, used, free;
    size_t launches[TN_PROGRAMS_MAX], pointers[TN_PROGRAMS_MAX];
    size_t arena, scratch, keys, values;
    TernSessionBytes bytes;
} TnSessionPlan;

TernStatus tn_session_plan(const TernModel *m, const TernPool *pool, const TernSessionOptions *o,
                           TnSessionPlan *out, TernError *err);
/* Fills the session at the start of plan->bytes.total bytes, zeroed; `fresh`: known to be so, as mapped. */
TernSession *tn_session_bind(const TnSessionPlan *plan, TernModel *m, TernPool *pool, void *memory,
                             bool fresh);

#endif
