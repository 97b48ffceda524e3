/* A session's memory is one block of host memory, laid out by session_plan.c and filled in by session_bind.c. It holds the
 * session itself, the tables of a step and the bound programs. Arena, scratch and caches follow them, or lie in a second
 * block in the engine's memory (engine.h: apart). Nothing is allocated elsewhere. */
#ifndef TN_SESSION_H
#define TN_SESSION_H

#include "runtime/model.h"
#include "runtime/pages.h"

#define TN_PROGRAMS_MAX 16 /* batch classes */

struct TernSession {
    TernModel *model;
    TnEngine *engine; /* the model's */
    TernPool *pool;
    uint32_t slots, context, batch, wants, hidden;
    bool logits_apart;    /* rows that want all logits are counted by L, not by R */
    bool kernels_count;   /* the cache is f16, and kernels count saturated values; else `pages` does */
    bool stepping;        /* a step is under way: calls from inside the sink are refused */
    uint32_t single;      /* runs of the first program since tn_model_let_go or a run of another one */
    bool longer;          /* another program has run since everything was let go of */
    bool prompt;          /* and it ran for a prompt */
    uint64_t saturated;   /* the number that kernels counted */
    TernProfile *profile; /* owned by the caller; NULL: none attached */
    TernSessionBytes bytes;
    bool owned;    /* the session allocated its block; false: it is the caller's */
    TnAddress own; /* the block in the engine's memory, if the engine is apart */
    TnMemory memory;
    int64_t *sym;                /* symbols, in the staged inputs */
    int32_t *input[TN_IN_COUNT]; /* the other staged inputs; TABLE is pages.table */
    TnAsked asked;               /* in the current run */
    uint32_t *place;             /* [batch] index of a row among the results of its kind */
    uint32_t *growth;            /* [slots] how many rows of the step go to the slot */
    TnPages pages;
    uint32_t n_programs;
    TnProgram programs[]; /* in rising order of rows */
};

/* All sizes and offsets of a session, from options and model. Offsets count from the start of the host's block, with two
 * exceptions: if the engine is apart, inputs, arena, scratch, keys and values count from the start of the engine's block;
 * `input` counts from the start of the inputs. */
typedef struct TnSessionPlan {
    uint32_t slots, context, batch, wants, hidden, pages, kv;
    bool apart;
    uint32_t n;
    const TnVariant *variants[TN_PROGRAMS_MAX];
    int64_t sym_max[TN_PROGRAMS_MAX][TN_ABI_SYMS];
    size_t scratch_bytes;                 /* of one worker */
    size_t code_scratch[TN_PROGRAMS_MAX]; /* where the code's part begins in it */
    size_t input[TN_IN_COUNT], input_bytes;
    size_t staged, result[TN_OUT_COUNT], place, growth, length, refs, used, counted, free;
    size_t launches[TN_PROGRAMS_MAX], pointers[TN_PROGRAMS_MAX], tables;
    size_t inputs, arena, scratch, keys, values;
    TernSessionBytes bytes;
} TnSessionPlan;

TernStatus tn_session_plan(const TernModel *m, const TernPool *pool, const TernSessionOptions *o,
                           TnSessionPlan *out, TernError *err);
/* Fills in the session at the start of `host`, which is plan->bytes.total bytes of zeros. `fresh` says that the system has
 * just mapped them, so that the tables need not be cleared. `own` is plan->bytes.device bytes of the engine's memory, if
 * the engine is apart. */
TernStatus tn_session_bind(const TnSessionPlan *plan, TernModel *m, TernPool *pool, void *host, bool fresh,
                           TnAddress own, TernError *err);

#endif
