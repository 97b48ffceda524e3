/* A session's memory: one block of host memory, laid out by session_plan.c and filled by session_bind.c, holding the
 * session itself, the tables of a step and the bound programs; after these lie arena, scratch and caches, or they lie in
 * a block of the engine's own (engine.h: apart). Nothing is allocated elsewhere, ever. */
#ifndef TN_SESSION_H
#define TN_SESSION_H

#include "runtime/model.h"
#include "runtime/pages.h"

#define TN_PROGRAMS_MAX 16 /* batch classes */

struct TernSession {
    TernModel *model;
    TnEngine *engine; /* the model's */
    TernPool *pool;
    uint32_t slots, context, batch, wants;
    bool logits_apart;    /* rows with want 3 are counted by L, not by R */
    bool watched;         /* the cache is f16: what saturates is counted */
    bool stepping;        /* a step is under way: calls from inside the sink are refused */
    uint64_t saturated;   /* values */
    TernProfile *profile; /* the caller's; NULL: none attached */
    TernSessionBytes bytes;
    bool owned;    /* the block is the session's, not the caller's */
    TnAddress own; /* the engine's block, if it is apart */
    TnMemory memory;
    int64_t *sym;                /* the staged inputs: symbols */
    int32_t *input[TN_IN_COUNT]; /* and the rest; TABLE is pages.table */
    TnAsked asked;               /* of the run under way */
    uint32_t *place;             /* [batch] of a row: its index among the results of its kind */
    uint32_t *growth;            /* [slots] rows of a step */
    TnPages pages;
    uint32_t n_programs;
    TnProgram programs[]; /* by rising rows */
};

/* Everything about a session's size, from options and model. Offsets are from the start of the host's block; those of
 * inputs, arena, scratch, keys and values from the start of the engine's, if it is apart; those of input from the start
 * of the inputs. */
typedef struct TnSessionPlan {
    uint32_t slots, context, batch, wants, kv;
    bool apart;
    uint32_t n;
    const TnVariant *variants[TN_PROGRAMS_MAX];
    int64_t sym_max[TN_PROGRAMS_MAX][TN_ABI_SYMS];
    size_t scratch_bytes;                 /* of one worker */
    size_t code_scratch[TN_PROGRAMS_MAX]; /* of it, before the code's part */
    size_t input[TN_IN_COUNT], input_bytes;
    size_t staged, result[TN_OUT_COUNT], place, growth, length, refs, used, free;
    size_t launches[TN_PROGRAMS_MAX], pointers[TN_PROGRAMS_MAX], tables;
    size_t inputs, arena, scratch, keys, values;
    TernSessionBytes bytes;
} TnSessionPlan;

TernStatus tn_session_plan(const TernModel *m, const TernPool *pool, const TernSessionOptions *o,
                           TnSessionPlan *out, TernError *err);
/* Fills the session at the start of plan->bytes.total bytes, zeroed; `fresh`: known to be so, as mapped. own: the
 * engine's plan->bytes.device bytes, if it is apart. */
TernStatus tn_session_bind(const TnSessionPlan *plan, TernModel *m, TernPool *pool, void *host, bool fresh,
                           TnAddress own, TernError *err);

#endif
