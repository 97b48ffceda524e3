/* What the files of `tern verify` share: comparing values, finding an op, evaluating whole graphs.
 *
 *   verify_cases.c   ternc_verify: what is held against what, and the words
 *   verify_steps.c   the steps of a session, and every launch of them: code against evaluator
 *   verify_values.c  two buffers of a type: the first value that differs
 *   verify_locate.c  a kernel cut behind each op: the first op that differs
 *   verify_whole.c   whole graphs by the evaluator: a graph against another
 *   verify_bisect.c  the graph after each pass against the graph before all
 *   verify_blob.c    a blob's  programs against its text
 *   verify_reduce.c  what fails made a graph of a few ops
 *   verify_random.c  a graph that stands alone, on random inputs */
#ifndef TN_VERIFY_H
#define TN_VERIFY_H

#include "codegen/check.h"
#include "frontends/api/source.h"
#include "frontends/tools/graphs.h"
#include "ir/eval.h"
#include "ir/print.h"

/* ---- verify_values.c */
typedef struct TnTally {
    uint64_t values, bytes;
} TnTally;

/* Two buffers of one type. */
typedef struct TnMismatch {
    uint64_t n, of;  /* values that differ, of how many */
    int64_t row;     /* of the first; of a cache its page */
    char place[128]; /* "row 3, column 17" */
    char a[64], b[64], apart[48];
} TnMismatch;
/* The columns (and codes, and cache elements) of a and b bit for bit; padding is not compared. Returns whether
 * all are equal, else *out has the first that is not. */
bool tn_values_compare(const TnType *t, const int64_t *sym, const void *a, const void *b, TnTally *tally,
                       TnMismatch *out);
/* The same, but 0 and -0 are equal; *zeros grows by the floats that are told apart by that alone. */
bool tn_values_alike(const TnType *t, const int64_t *sym, const void *a, const void *b, TnTally *tally,
                     uint64_t *zeros, TnMismatch *out);
/* ---- verify_locate.c */
/* A kernel's first nodes, up to `last`, as a graph of one kernel; what they read from outside are inputs and
 * sources of the same names and types, what nobody of them reads is an output. */
TnGraph *tn_kernel_cut(const TnGraph *g, uint32_t kernel, TnRef last);
/* The first op of a kernel whose value comes out of the code other than out of the evaluator, when the kernel is
 * compiled anew cut behind it; TN_NONE if no cut kernel differs. reads: the operands before the launch. */
TnRef tn_kernel_locate(const TnGraph *g, uint32_t kernel, TnRef last, void *const *reads, const int64_t *sym);

/* ---- verify_whole.c */
/* The graph's caches as kv has them, if no pass has chosen yet. */
void tn_graph_set_caches(TnGraph *g, TnKv kv);
/* A graph of any stage under evaluation: the tokens of one slot, most_rows of them at a time (16; fewer where the graph is
 * of a class of fewer), all kinds of results for the rows of the last step. */
enum { TN_WHOLE_ROWS = 16 };
typedef struct TnWhole {
    const TnGraph *g;
    TnEval *e;
    const int32_t *tokens;
    uint32_t n, most;     /* rows of a step */
    uint32_t first, rows; /* of the last one: positions [first, first + rows) */
    int64_t sym[TN_SYM_COUNT];
} TnWhole;
TernStatus tn_whole_create(const TnGraph *g, const TnWeights *w, const int32_t *tokens, uint32_t n,
                           uint32_t most_rows, TnWhole *out, TernError *err);
void tn_whole_destroy(TnWhole *w);
bool tn_whole_step(TnWhole *w); /* false: there are no more tokens */
/* For each value of a the one of b that it is held against, or TN_NONE. by_name: that of its name (inputs and outputs:
 * as the runtime knows them); else matched as for a diff. */
void tn_wholes_match(const TnGraph *a, const TnGraph *b, bool by_name, TnArena *arena, TnRef **out);
/* The first value of a that differs from its match, both behind the same step. A zero's sign makes no difference between
 * values as long as what leaves the graph agrees, bit for bit. */
typedef struct TnPair {
    TnRef a, b;     /* TN_NONE: all are equal */
    uint32_t n;     /* compared */
    bool leaves;    /* an output or a cache differs */
    uint64_t zeros; /* values that differ in a zero's sign */
    TnMismatch first;
} TnPair;
void tn_wholes_compare(const TnWhole *a, const TnWhole *b, const TnRef *match, TnTally *tally, TnPair *out);

/* ---- verify_steps.c */
/* The results of the rows that want some, one of each kind a row. */
typedef struct TnResults {
    uint32_t first, n;                  /* positions [first, first + n) */
    uint32_t vocab, hidden, topk;       /* values a row */
    int32_t *best, *top;                /* [n], [n][topk]; NULL: the graph has no such output */
    float *toplogit, *logits, *hiddens; /* [n][topk], [n][vocab], [n][hidden] */
    bool *known[4];                     /* by kind as in results, [n]: what is there to compare with */
    bool from_model; /* they are those of the model's graph, else of the first step that gave any */
} TnResults;
/* Room for the outputs that g has. */
void tn_results_create(const TnGraph *g, uint32_t first, uint32_t n, TnResults *out);
void tn_results_free(TnResults *r);
/* From a graph behind its last step. */
void tn_results_take(TnResults *r, const TnWhole *w);

/* Every launch of a model, checked while it runs. */
typedef struct TnWatch {
    TnGraph **graphs; /* by variant */
    uint32_t n_graphs;
    bool ref;         /* nothing but the evaluator: launches are counted and their results kept */
    uint32_t threads; /* a launch is cut into so many tiles */
    TnResults *results;
    /* of the step under way */
    const int32_t *tokens;
    uint32_t first, rows;
    const TernRow *row;
    /* what came out */
    bool **seen;                                       /* by variant and kernel */
    uint32_t n_kernels, n_launches, n_classes, n_rows; /* kernels that ran; n_rows: results compared */
    uint32_t classes[8][2];
    TnTally tally;
    uint64_t saturated; /* keys and values of the tokens' positions, each looked at once */
    bool differ;
    TnBuf text; /* what differs */
    const TnGraph
        *g; /* the kernel that does, NULL: a result differs, and all kernels agree with the evaluator */
    uint32_t kernel;
    TnRef op; /* that explains it, or the value that leaves and differs */
} TnWatch;
void tn_watch_kernels(TnWatch *w, TernKernels *out);
/* All tokens in one step (as far as a step takes them), the last 16 again two to eight at a time, the last eight
 * again one by one; stops at the first difference. */
TernStatus tn_watch_steps(TnWatch *w, TernModel *m, const int32_t *tokens, uint32_t n, TernKv kv,
                          int (*progress)(void *, const char *, uint64_t, uint64_t), void *user,
                          TernError *err);
void tn_watch_free(TnWatch *w);

/* ---- verify_bisect.c */
typedef struct TnBroken {
    const char *pass;         /* NULL: no pass changes what leaves the graph */
    TnGraph *before;          /* the graph that it breaks; tn_graph_destroy */
    const char *lost;         /* the first value that is another behind it; may be NULL */
    int64_t rows_lo, rows_hi; /* of a variant's pass */
} TnBroken;
/* Runs the pipeline pass by pass, for each batch class, on a graph of stage=model; ctx: level, kv, head, targets. Appends
 * to *text what the broken pass did. */
TernStatus tn_passes_bisect(const TnGraph *model, const TnWeights *w, const TnPassCtx *ctx,
                            const uint32_t (*classes)[2], uint32_t n_classes, const int32_t *tokens,
                            uint32_t n, TnBuf *text, TnBroken *out, uint32_t *n_stages, TernError *err);

/* ---- verify_blob.c */
/* Whether the launches, operands and places of a blob's programs are those of its text (section TIR), given graph by
 * graph: *same, or what differs first in *text. Sizes of scratch and which code a launch runs are not of the text. */
TernStatus tn_blob_check_text(const TernModel *m, TnGraph *const *graphs, uint32_t n, bool *same, TnBuf *text,
                              TernError *err);

/* ---- verify_random.c */
/* One way to run a graph on random inputs. */
typedef struct TnRandom {
    const char *level; /* "ref": the passes alone */
    TnKv kv;
    int64_t rows_lo, rows_hi; /* the batch class; 0: each */
    uint64_t seed;            /* of the inputs */
    bool seeded;              /* asked for: else the first two */
} TnRandom;
/* Compiled and evaluated, three steps (TnCheck). */
TernStatus tn_random_run(const TnGraph *g, const TnWeights *w, const TnRandom *how, bool *same,
                         TnDifference *out, TernError *err);
/* Whether it differs with one of two seeds, which is left in how->seed. Not if it cannot be compiled. */
bool tn_random_differs(const TnGraph *g, TnRandom *how);
/* The flags of `tern verify` that do the same again. */
void tn_random_put_flags(const TnRandom *how, TnBuf *out);
/* A graph of stage=model, of a level and, behind it, of level ref, in all ways that `asked` leaves open: a line of proof or
 * the first difference in *text, and *out the way that differed. Refuses a graph whose indices are computed. */
TernStatus tn_random_verify(const TnGraph *g, const TnWeights *w, const char *level, const TnRandom *asked,
                            bool *same, TnRandom *out, TnBuf *text, TernError *err);

/* ---- verify_reduce.c: a graph of stage=model with random weights, as small as it can be and still come out of the
 * pipeline other than the evaluator has it. NULL: on random inputs nothing differs. *out: how it was run. */
/* From a kernel that differs, its ops up to `op`. */
TnGraph *tn_reduce_kernel(const TnGraph *g, uint32_t kernel, TnRef op, TnRandom *out);
/* From a model's graph that a pass breaks; lost: the first value that is another behind it, or NULL. */
TnGraph *tn_reduce_model(const TnGraph *model, const char *lost, const char *level, TnKv kv, int64_t rows_lo,
                         int64_t rows_hi, TnRandom *out);
/* From a graph that tn_random_verify found to differ in this way. */
TnGraph *tn_reduce_random(const TnGraph *g, TnRandom *how);

#endif
