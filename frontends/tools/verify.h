/* What the files of `tern verify` share: comparing values, finding an op, evaluating whole graphs.
 *
 *   verify_cases.c   ternc_verify: chooses what to compare and writes the messages
 *   verify_steps.c   runs steps of a session and compares the code of every launch with the evaluator
 *   verify_device.c  runs single launches on a GPU
 *   verify_values.c  compares two buffers of a type and finds the first value that differs
 *   verify_locate.c  cuts a kernel after each op to find the first op that differs
 *   verify_whole.c   evaluates whole graphs and compares one with another
 *   verify_bisect.c  compares the graph after each pass with the graph before it
 *   verify_blob.c    compares a blob's programs with its text
 *   verify_reduce.c  reduces a failure to a graph of a few ops
 *   verify_random.c  runs a graph that stands alone on random inputs */
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

/* How two buffers of one type differ. */
typedef struct TnMismatch {
    uint64_t n, of;  /* values that differ, and values in all */
    int64_t row;     /* of the first one; in a cache its page */
    char place[128]; /* "row 3, column 17" */
    char a[64], b[64], apart[48];
} TnMismatch;
/* Compares the columns, codes and cache elements of a and b bit for bit, but not the padding. Returns whether
 * all are equal; if not, *out has the first difference. */
bool tn_values_compare(const TnType *t, const int64_t *sym, const void *a, const void *b, TnTally *tally,
                       TnMismatch *out);
/* The same, but 0 and -0 are equal; adds to *zeros the floats that differ only in that. */
bool tn_values_alike(const TnType *t, const int64_t *sym, const void *a, const void *b, TnTally *tally,
                     uint64_t *zeros, TnMismatch *out);
/* ---- verify_device.c */
enum { TN_LAB_OPERANDS = 64 };
typedef struct TnLab {
    TernLab *lab;           /* NULL: none */
    const TernModel *model; /* whose text is loaded */
} TnLab;
/* The operands of a kernel, in the host's memory, and the step's symbols. */
typedef struct TnLabRun {
    void *const *ptr;
    const size_t *bytes;
    const bool *written;
    uint32_t n;
    const int64_t *sym;
} TnLabRun;
TernStatus tn_lab_create(const char *device, TnLab *out, TernError *err);
void tn_lab_destroy(TnLab *l);
/* A launch of a model that has code for `level`. */
TernStatus tn_lab_launch(TnLab *l, const TernModel *m, const char *level, uint32_t variant, uint32_t launch,
                         const TnLabRun *r, TernError *err);
/* A kernel that was emitted just now as `text`, which ends in a NUL byte. */
TernStatus tn_lab_job(TnLab *l, const TnEmitJob *job, const char *text, uint64_t units, const TnLabRun *r,
                      TernError *err);

/* ---- verify_locate.c */
/* Makes a graph of one kernel from a kernel's first nodes, up to `last`. What they read from outside becomes
 * inputs and sources of the same names and types; what none of them reads becomes an output. */
TnGraph *tn_kernel_cut(const TnGraph *g, uint32_t kernel, TnRef last);
/* Finds the first op of a kernel for which the kernel, compiled again and cut after it, differs from the
 * evaluator. TN_NONE if no cut kernel differs. reads: the operands before the launch. lab: the GPU that runs the
 * cut kernels; NULL: this machine does. */
TnRef tn_kernel_locate(const TnGraph *g, uint32_t kernel, TnRef last, void *const *reads, const int64_t *sym,
                       TnLab *lab);

/* ---- verify_whole.c */
/* Sets the type of the graph's caches to kv, if no pass has chosen one yet. */
void tn_graph_set_caches(TnGraph *g, TnKv kv);
/* Evaluates a graph of any stage on the tokens of one slot, most_rows at a time (16, or fewer if the graph's
 * batch class has fewer), with all kinds of results for the rows of the last step. */
enum { TN_WHOLE_ROWS = 16 };
typedef struct TnWhole {
    const TnGraph *g;
    TnEval *e;
    const int32_t *tokens;
    uint32_t n, most;     /* tokens; most rows of a step */
    uint32_t first, rows; /* of the last step: positions [first, first + rows) */
    int64_t sym[TN_SYM_COUNT];
} TnWhole;
TernStatus tn_whole_create(const TnGraph *g, const TnWeights *w, const int32_t *tokens, uint32_t n,
                           uint32_t most_rows, TnWhole *out, TernError *err);
void tn_whole_destroy(TnWhole *w);
bool tn_whole_step(TnWhole *w); /* false: there are no more tokens */
/* For each value of a, finds the value of b to compare it with, or TN_NONE. by_name: the one with the same
 * name (for inputs and outputs the name that the runtime uses); else matched as in a diff. */
void tn_wholes_match(const TnGraph *a, const TnGraph *b, bool by_name, TnArena *arena, TnRef **out);
/* Finds the first value of a that differs from its match, after the same step of both. The sign of a zero
 * does not count as a difference between values as long as outputs and caches agree bit for bit. */
typedef struct TnPair {
    TnRef a, b;     /* TN_NONE: all are equal */
    uint32_t n;     /* compared */
    bool leaves;    /* an output or a cache differs */
    uint64_t zeros; /* values that differ only in the sign of a zero */
    TnMismatch first;
} TnPair;
void tn_wholes_compare(const TnWhole *a, const TnWhole *b, const TnRef *match, TnTally *tally, TnPair *out);

/* ---- verify_steps.c */
/* The results of the rows that ask for some, one of each kind per row. */
typedef struct TnResults {
    uint32_t first, n;                  /* positions [first, first + n) */
    uint32_t vocab, hidden, topk;       /* values per row */
    int32_t *best, *top;                /* [n], [n][topk]; NULL: the graph has no such output */
    float *toplogit, *logits, *hiddens; /* [n][topk], [n][vocab], [n][hidden] */
    bool *known[4];  /* by kind as in results, [n]: whether there is a value to compare with */
    bool from_model; /* they come from the model's graph, not from the first step that gave any */
} TnResults;
/* Allocates room for the outputs of g. */
void tn_results_create(const TnGraph *g, uint32_t first, uint32_t n, TnResults *out);
void tn_results_free(TnResults *r);
/* Takes the results of a graph after its last step. */
void tn_results_take(TnResults *r, const TnWhole *w);

/* Checks every launch of a model while it runs. */
typedef struct TnWatch {
    TnGraph **graphs; /* by variant */
    uint32_t n_graphs;
    TnLab *lab;             /* the GPU that runs the launches; NULL: this machine does */
    const TernModel *model; /* for the lab */
    bool ref;               /* only the evaluator runs: launches are counted and their results kept */
    uint32_t threads;       /* number of tiles that a launch is cut into */
    TnResults *results;
    /* the current step */
    const int32_t *tokens;
    uint32_t first, rows;
    const TernRow *row;
    /* the outcome */
    bool **seen;                                       /* by variant and kernel */
    uint32_t n_kernels, n_launches, n_classes, n_rows; /* kernels that ran; n_rows: results compared */
    uint32_t classes[8][2];
    TnTally tally;
    uint64_t saturated; /* saturated keys and values at the tokens' positions, each counted once */
    bool differ;
    TernStatus failed; /* a launch on the device, with its line */
    TernError error;
    TnBuf text; /* what differs */
    const TnGraph
        *g; /* of the kernel that differs; NULL: all kernels agree with the evaluator, but a result differs */
    uint32_t kernel;
    TnRef op; /* the op that explains it, or the output of the kernel that differs */
} TnWatch;
void tn_watch_kernels(TnWatch *w, TernKernels *out);
/* Runs all tokens in one step (or in as few as possible), then the last 16 two to eight at a time, then the
 * last eight one by one. Stops at the first difference. */
TernStatus tn_watch_steps(TnWatch *w, TernModel *m, const int32_t *tokens, uint32_t n, TernKv kv,
                          int (*progress)(void *, const char *, uint64_t, uint64_t), void *user,
                          TernError *err);
void tn_watch_free(TnWatch *w);

/* ---- verify_bisect.c */
typedef struct TnBroken {
    const char *pass;         /* NULL: no pass changes an output or a cache */
    TnGraph *before;          /* the graph before that pass; tn_graph_destroy */
    const char *lost;         /* the first value that differs after it; may be NULL */
    int64_t rows_lo, rows_hi; /* the batch class, if the pass runs per variant */
} TnBroken;
/* Runs the pipeline pass by pass, for each batch class, on a graph of stage=model. ctx gives level, kv, head
 * and targets. Appends to *text what the broken pass changed. */
TernStatus tn_passes_bisect(const TnGraph *model, const TnWeights *w, const TnPassCtx *ctx,
                            const uint32_t (*classes)[2], uint32_t n_classes, const int32_t *tokens,
                            uint32_t n, TnBuf *text, TnBroken *out, uint32_t *n_stages, TernError *err);

/* ---- verify_blob.c */
/* Checks that the launches, operands and offsets of a blob's programs are those of its text (section TIR),
 * which is given as graphs. Sets *same, or puts the first difference into *text. Sizes of scratch, and the
 * code that a launch runs, are not in the text. */
TernStatus tn_blob_check_text(const TernModel *m, TnGraph *const *graphs, uint32_t n, bool *same, TnBuf *text,
                              TernError *err);

/* ---- verify_random.c */
/* One way to run a graph on random inputs. */
typedef struct TnRandom {
    const char *level; /* "ref": only the passes */
    TnKv kv;
    int64_t rows_lo, rows_hi; /* the batch class; 0: each */
    uint64_t seed;            /* of the inputs */
    bool seeded;              /* seed was asked for; else the first two are tried */
} TnRandom;
/* Compiles and evaluates a graph over three steps (TnCheck). */
TernStatus tn_random_run(const TnGraph *g, const TnWeights *w, const TnRandom *how, bool *same,
                         TnDifference *out, TernError *err);
/* Returns whether the graph differs with one of two seeds, and leaves that seed in how->seed. False if it
 * cannot be compiled. */
bool tn_random_differs(const TnGraph *g, TnRandom *how);
/* Appends the flags of `tern verify` that repeat the run. */
void tn_random_put_flags(const TnRandom *how, TnBuf *out);
/* Tries a graph of stage=model on a level and then on level ref, in all ways that `asked` leaves open. *text
 * gets a line that says how much was compared, or the first difference, and *out the run that differed.
 * Refuses a graph whose indices are computed. */
TernStatus tn_random_verify(const TnGraph *g, const TnWeights *w, const char *level, const TnRandom *asked,
                            bool *same, TnRandom *out, TnBuf *text, TernError *err);

/* ---- verify_reduce.c: each makes a graph of stage=model with random weights that still differs from the
 * evaluator when it goes through the pipeline, and is as small as possible. NULL: on random inputs nothing
 * differs. *out: how it was run. */
/* From a kernel that differs, its ops up to `op`. */
TnGraph *tn_reduce_kernel(const TnGraph *g, uint32_t kernel, TnRef op, TnRandom *out);
/* From a model's graph that a pass breaks; lost: the first value that differs after it, or NULL. */
TnGraph *tn_reduce_model(const TnGraph *model, const char *lost, const char *level, TnKv kv, int64_t rows_lo,
                         int64_t rows_hi, TnRandom *out);
/* From a graph that tn_random_verify found to differ in this way. */
TnGraph *tn_reduce_random(const TnGraph *g, TnRandom *how);

#endif
