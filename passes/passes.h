/* The passes turn the frontend's graph into a planned variant. The pipeline is a plain list:
 *
 *   fold cse dce prune merge shortlist         once, on stage=model
 *   split fuse gate colmajor layout tile plan   once per variant (feature level, cache type, batch class), on a clone
 *
 * Each pass is one file with one exported pass_<verb> and an essay above it. The driver runs and times the passes and
 * verifies the graph after each. The graph is verified before the first pass, so a fault found later is a bug of ours. */
#ifndef TN_PASSES_H
#define TN_PASSES_H

#include "ir/type_layout.h"
#include "ir/range.h"
#include "ir/weights.h"
#include "passes/batch_classes.h"

typedef struct TnCut TnCut;

/* What another way of doing a thing is to a target, rising. */
typedef enum TnMerit {
    TN_MERIT_NONE, /* there is no choice: it has code for one way only */
    TN_MERIT_CAN,  /* it has code, and nobody has measured that it is faster */
    TN_MERIT_GAINS /* that code is faster */
} TnMerit;

/* What the passes ask of a code generator. codegen's TnTarget begins with it. "No" is a valid answer. */
typedef struct TnTargetDesc {
    const char *name; /* "ref", "llvm" */
    /* Scores a fused kernel on this level; 0 if the target cannot make it. The best score wins, and the first target of the
     * list wins a tie. */
    int (*can)(const TnGraph *g, uint32_t kernel, const char *level);
    /* Names the op for which the target cannot make a kernel, for messages. NULL, as a hook or an answer: not known. */
    const char *(*lacks)(const TnGraph *g, uint32_t kernel, const char *level);
    /* The encoding in which the target's code for `reader` (tmatmul, matmul, embed) reads a weight of this type. It may be
     * the one that the weight has already; TN_ENC_COUNT: no opinion. matmul stands for the reranking ops too. Blocks of
     * floats stay as they are stored if that is the answer; another one must not lose bits, or they become f32. */
    TnEnc (*prefer)(const TnType *weight, TnOp reader, const char *level);
    /* Whether its code for tmatmul is at least as fast with b64 as with p64 on this level, where no rows are left out. The
     * first target of a level that sets it answers; NULL: it is not. */
    bool (*beside)(const char *level);
    /* Whether that code is faster with all rows of b64 than with p64 of which it leaves out rows (pass gate), on a machine of
     * that family. NULL: it is not. */
    bool (*whole)(const char *level, const char *family);
    /* What b80 is to that code in steps of one row, where it could have b64, on a machine of that family. NULL: TN_MERIT_NONE. */
    TnMerit (*base3)(const char *level, const char *family);
    /* How the target sums a tmatmul on the graph's level, for the ranges shown. NULL, or false: as the IR does. */
    TnDotOf *dot_of;
    /* Sets how far ahead the code should prefetch a kernel's weights on a machine of that family (TnPassCtx.family). *out is
     * zero. NULL: it prefetches nothing. Asked only for kernels with axis=cols. */
    void (*prefetch)(const TnGraph *g, uint32_t kernel, const char *family, TnPrefetch *out);
    /* What panels (TnKernel.panels) are to its code for a kernel with axis=cols, on a machine of that family. NULL: TN_MERIT_NONE. */
    TnMerit (*panels)(const TnGraph *g, uint32_t kernel, const char *family);
    /* Cuts a kernel, with its weights in their final encodings, into units. NULL: tn_cut_usual. Called before `can`, which
     * sees the kernel cut this way. */
    TnCut (*cut)(const TnGraph *g, uint32_t kernel);
    /* The rest concerns a level, not one kernel. The first target of the list that sets such a hook answers for all. A target
     * that makes only some kernels leaves these hooks NULL. `g` has its level, kv and rows. */
    /* The batch classes of the level, rising without a gap from 1 to `most` rows. Returns their number. NULL:
     * tn_batch_classes_usual. */
    uint32_t (*classes)(const char *level, int64_t most, TnBatchClass out[TN_BATCH_CLASSES]);
    /* Whether every tile of a kernel may recompute node `r`, one of those that fuse puts before a root. Otherwise a kernel of
     * its own computes it once and stores it in memory. NULL: only in the class of one row. */
    bool (*repeats)(const TnGraph *g, TnRef r);
    /* Whether a kernel without a root may hold the value of node `r` for others of its nodes, without memory of its own. NULL:
     * always. */
    bool (*holds)(const TnGraph *g, TnRef r);
    /* Whether an optional pass (TnPass.pays_to) pays for the code of this target. `usual` is the answer for a CPU in this
     * batch class, and NULL stands for that answer. */
    bool (*pays)(const char *pass, const TnGraph *g, bool usual);
} TnTargetDesc;

/* The rows and columns of a weight. */
typedef struct TnDims {
    TnDim rows, columns;
} TnDims;

typedef struct TnPassCtx {
    /* the variant; the first six passes do not use it */
    const char *level;
    const char *family; /* of processors, for distances of prefetches, panels and base3; NULL: any */
    TnKv kv;
    int64_t rows_lo, rows_hi;
    TnEnc
        head; /* encoding for embed and dense matmul tables: f16, f32, or TN_ENC_COUNT: lossless (f32 f16 bf16 stay, blocks
                   of floats stay or become f32, as the target reads them); s8, s6, s5: lossless, with a shadow table for the
                   shortlist */
    bool
        beside; /* weights of products may become b64 (tn_beside_suits): all levels of a blob have one answer, so
                    that it holds each weight once */
    bool whole; /* with beside: b64 also for weights of which p64 could leave out rows (tn_levels_suit) */
    bool
        base3; /* with beside: b80 in place of b64, for products that read all their rows in a step of one row */
    const TnDims *base3_dims; /* with base3: for weights of these dimensions alone; NULL: for all */
    uint32_t n_base3_dims;
    const TnTargetDesc *const
        *targets; /* in order of preference: layout asks the first that has an opinion */
    uint32_t n_targets;
    const char
        *first; /* name of the target that takes every kernel it can make, whatever the scores; NULL: none */
    const TnWeights *weights; /* of the model file, for prune; NULL: not available */
    /* Called after every pass; may be NULL. */
    void (*after)(void *user, const char *pass, const TnGraph *g, double seconds);
    void *user;
} TnPassCtx;

typedef TernStatus TnPassFn(TnGraph *g, const TnPassCtx *ctx, TernError *err);
TnPassFn pass_fold, pass_cse, pass_dce, pass_prune, pass_merge, pass_shortlist, pass_split, pass_fuse,
    pass_gate, pass_colmajor, pass_layout, pass_tile, pass_plan;

typedef struct TnPass {
    const char *name;
    TnPassFn *run;
    TnStage needs, gives;
    bool variant; /* depends on the variant's facts */
    int64_t
        pays_to; /* an optional pass usually pays in classes of at most this many rows; 0: the pass always runs */
    const char *doc;
} TnPass;
extern const TnPass tn_passes[];
extern const uint32_t tn_n_passes;

/* Runs a comma-separated list of passes in the given order ("" only verifies, NULL runs all). Refuses graphs that do not
 * verify, unknown names (before it changes anything), passes at the wrong stage, and variant passes without level, kv or
 * rows. A graph's own text may state these three; then they replace those of ctx. */
TernStatus tn_passes_run(TnGraph *g, const char *list, const TnPassCtx *ctx, TernError *err);
/* The two halves of the pipeline. */
#define TN_PASSES_MODEL "fold,cse,dce,prune,merge,shortlist"
/* The passes of the second half that every program needs. */
#define TN_PASSES_LEAST   "fuse,layout,tile,plan"
#define TN_PASSES_FUSED   "gate,colmajor"
#define TN_PASSES_FUSE    "split,fuse," TN_PASSES_FUSED
#define TN_PASSES_PLAN    "layout,tile,plan"
#define TN_PASSES_VARIANT TN_PASSES_FUSE "," TN_PASSES_PLAN

/* ---- hooks.c: the batch classes of a level that has these targets. Aborts if TnTargetDesc.classes breaks its rules. */
uint32_t tn_batch_classes(const TnTargetDesc *const *targets, uint32_t n, const char *level, int64_t most,
                          TnBatchClass out[TN_BATCH_CLASSES]);

/* Whether weights with 64 rows side by side suit the level (TnTargetDesc.beside). */
bool tn_beside_suits(const TnTargetDesc *const *targets, uint32_t n, const char *level);
/* Whether to read all rows of such weights where some could be left out (TnTargetDesc.whole). */
bool tn_whole_suits(const TnTargetDesc *const *targets, uint32_t n, const char *level, const char *family);
/* What base 3 is to the level, on a machine of that family (TnTargetDesc.base3). */
TnMerit tn_base3_of(const TnTargetDesc *const *targets, uint32_t n, const char *level, const char *family);

/* ---- layout.c: whether the code of a kernel may leave out rows of its root's weights, now or in another batch class (pass
 * gate), if its target reads them as p64. */
bool tn_may_leave_out(const TnGraph *g, const TnKernel *k);

/* ---- plan.c: the memory of a planned graph.
 *
 * The size of the arena: bytes = constant + sum of per_row[s] * s over the leading symbols s. `constant` is the part of
 * values without a leading symbol. */
void tn_plan_bytes(const TnGraph *g, uint64_t per_row[TN_SYM_COUNT], uint64_t *constant);
/* The same as a table for people. For each leading symbol it shows the bytes per row with and without reuse, and every
 * buffer with its offset, its size and its kernels (numbered from 0), from the writer to the last reader. */
void tn_plan_table(const TnGraph *g, TnBuf *out);

/* ---- parts.c: the column parts of a kernel with axis=cols, which tile and the emitters share.
 *
 * The epilogue of a (t)matmul of M columns may slice its result. Slices joined by element-wise ops of the same width
 * run together: q|k|v gives three parts of one base each, gate|up one part of two bases. Without slices there
 * is one part {n = M, base 0}. A unit is `grain` columns of one part, at each of its bases. Units are numbered part
 * by part, and the last unit of a part may be narrower. */
typedef struct TnPart {
    int64_t n; /* columns */
    uint32_t n_bases;
    int64_t base[4]; /* first root column of each slice, rising */
} TnPart;
#define TN_PARTS_MAX 8
/* Writes the parts in the order of their first slices and returns their number. Returns 0 if the kernel has no columns or
 * its slices do not form parts: more than 8 parts, more than 4 slices in one, slices of slices, or a sliced value that is
 * also read whole. fuse makes no such kernel, but a text may hold one; no target has to take it. */
uint32_t tn_kernel_parts(const TnGraph *g, uint32_t kernel, TnPart out[TN_PARTS_MAX]);
/* The least number of columns that are whole heads, and whole blocks of `rows` rows of weights. */
int64_t tn_whole_columns(const TnGraph *g, const TnKernel *k, int64_t rows);
int64_t tn_head_columns(const TnGraph *g,
                        const TnKernel *k); /* columns that must stay together; 1: any cut will do */
enum {
    TN_CUT_COLUMNS = 64, /* the usual number */
    TN_CUT_MOST = 4096   /* a larger number is reduced to this, for a worker's scratch grows with it */
};
struct TnCut {
    int64_t grain, units;
};
/* Whether a kernel is cut by columns; if not, it is cut by rows, and `units` counts the units of one row. */
bool tn_cut_by_columns(const TnGraph *g, uint32_t kernel);
/* The usual cut for a CPU: TN_CUT_COLUMNS columns a unit, attention by key-value heads, all else one row a unit. */
TnCut tn_cut_usual(const TnGraph *g, uint32_t kernel);
/* Cuts a kernel with axis=cols into units of at least `columns` columns of a part, if the part has that many. If its weights
 * have rows side by side (b64, b80, r64, shadow tables), that number is rounded up to whole blocks of them; b80 in a class of more than
 * TN_ROWS_FEW rows to whole planes. If the epilogue rotates or stores heads, a unit has whole heads. */
TnCut tn_cut_of(const TnGraph *g, uint32_t kernel, int64_t columns);
/* Writes that cut into the kernel: axis, grain, units. */
void tn_cut_columns(TnGraph *g, uint32_t kernel, int64_t columns);
/* The part of an epilogue node after a slice; TN_NONE for nodes before the slices, which belong to all parts. */
uint32_t tn_node_part(const TnGraph *g, uint32_t kernel, TnRef node);

#endif
