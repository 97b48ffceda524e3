/* The passes: from the frontend's graph to a planned variant. The pipeline is a plain list:
 *
 *   fold cse dce prune merge shortlist         once, on stage=model
 *   split fuse gate colmajor layout tile plan   once per variant (feature level, cache type, batch class), on a clone
 *
 * Each is one file with one exported pass_<verb> and an essay above it. The driver runs them, verifies after
 * every one (a fault there is a bug of ours: the graph was verified before the first), reports and times. */
#ifndef TN_PASSES_H
#define TN_PASSES_H

#include "ir/type_layout.h"
#include "ir/range.h"
#include "ir/weights.h"
#include "passes/batch_classes.h"

typedef struct TnCut TnCut;

/* What the passes ask of a code generator; codegen's TnTarget begins with it. "No" is an answer. */
typedef struct TnTargetDesc {
    const char *name; /* "ref", "llvm" */
    /* The score of a fused kernel on this level, 0 if it cannot be done. The best score wins, ties go to the
     * first. */
    int (*can)(const TnGraph *g, uint32_t kernel, const char *level);
    /* How it wants a weight of this type read by an op (tmatmul, matmul, embed): an encoding, maybe the one
     * it has; TN_ENC_COUNT: no opinion. */
    TnEnc (*prefer)(const TnType *weight, TnOp reader, const char *level);
    /* How it sums a tmatmul on the graph's level, for the ranges shown; NULL, or false: as the IR does. */
    TnDotOf *dot_of;
    /* How far ahead it best fetches a kernel's weights where nothing is known of the machine (TnKernel.prefetch_l1 and prefetch_l2);
     * NULL, or 0: its code fetches nothing. Of kernels with axis=cols. */
    void (*prefetch)(const TnGraph *g, uint32_t kernel, int64_t *l1, int64_t *l2);
    /* How a kernel, with its weights in their final encodings, is cut into units; NULL: tn_cut_usual. Asked before `can`,
     * which sees the kernel so cut. */
    TnCut (*cut)(const TnGraph *g, uint32_t kernel);
    /* The rest is about a level and not about one kernel: of the targets of a list the first that has an answer gives it. One
     * that does only some kernels leaves these to the others. `g` has its level, kv and rows. */
    /* The batch classes of the level, rising without a gap from 1 to `most` rows; returns how many. NULL: tn_batch_classes_usual. */
    uint32_t (*classes)(const char *level, int64_t most, TnBatchClass out[TN_BATCH_CLASSES]);
    /* Whether every tile of a kernel may compute this op on its input anew, instead of one kernel making it once, in memory;
     * of the ops that fuse puts before a root. NULL: in the class of one row alone. */
    bool (*repeats)(TnOp op, const TnGraph *g);
    /* Whether a pass that may be left out (TnPass.pays_to) pays for its code; usual: in this batch class that of a CPU. NULL:
     * then it does. */
    bool (*pays)(const char *pass, const TnGraph *g, bool usual);
} TnTargetDesc;

typedef struct TnPassCtx {
    /* the variant; for the first six passes unused */
    const char *level;
    TnKv kv;
    int64_t rows_lo, rows_hi;
    TnEnc head; /* encoding for embed and dense matmul tables: f16, f32, or TN_ENC_COUNT: lossless (f32 f16
                   bf16 stay, q8_0 and q6_k become f32); s8, s6: lossless, with a shadow table to shortlist by */
    const TnTargetDesc *const *targets; /* best liked first: layout asks the first that has an opinion */
    uint32_t n_targets;
    const char
        *first; /* this one of them takes every kernel that it can do, whatever the scores; NULL: none does */
    const TnWeights *weights; /* of the model file, for prune; NULL: not at hand */
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
        pays_to; /* one that may be left out: it usually pays in classes of up to so many rows; 0: it always runs */
    const char *doc;
} TnPass;
extern const TnPass tn_passes[];
extern const uint32_t tn_n_passes;

/* Runs a comma list of passes in the given order ("" only verifies, NULL runs all). Refuses graphs that do
 * not verify, unknown names (before anything is changed), passes at the wrong stage and variant passes
 * without level, kv or rows, which a graph's own text may say too (then those hold, not ctx's). */
TernStatus tn_passes_run(TnGraph *g, const char *list, const TnPassCtx *ctx, TernError *err);
/* The two halves of the pipeline. */
#define TN_PASSES_MODEL "fold,cse,dce,prune,merge,shortlist"
/* Those of the second half without which there is no program. */
#define TN_PASSES_LEAST   "fuse,layout,tile,plan"
#define TN_PASSES_FUSED   "gate,colmajor"
#define TN_PASSES_FUSE    "split,fuse," TN_PASSES_FUSED
#define TN_PASSES_PLAN    "layout,tile,plan"
#define TN_PASSES_VARIANT TN_PASSES_FUSE "," TN_PASSES_PLAN

/* ---- hooks.c: the batch classes of a level that has these targets (TnTargetDesc.classes), which a wrong answer aborts. */
uint32_t tn_batch_classes(const TnTargetDesc *const *targets, uint32_t n, const char *level, int64_t most,
                          TnBatchClass out[TN_BATCH_CLASSES]);

/* ---- plan.c: the memory of a planned graph.
 *
 * The arena's bytes per row of each leading symbol, and of values without one: bytes = constant + sum
 * per_row[s] * s. */
void tn_plan_bytes(const TnGraph *g, uint64_t per_row[TN_SYM_COUNT], uint64_t *constant);
/* The same as a table for people: per leading symbol the bytes a row, what they would be without reuse, and
 * every buffer with offset, size and the kernels (numbered from 0) from its writer to its last reader. */
void tn_plan_table(const TnGraph *g, TnBuf *out);

/* ---- parts.c: the column parts of a kernel with axis=cols, which tile and the emitters share.
 *
 * Behind a (t)matmul of M columns the epilogue may slice. Slices joined by element-wise ops of the same width
 * run together: q|k|v gives three parts of one base each, gate|up one part of two bases. Without slices there
 * is one part {n = M, base 0}. A unit is `grain` columns of one part, all its bases; units are numbered part
 * by part, and the last unit of a part may be narrower. */
typedef struct TnPart {
    int64_t n; /* columns */
    uint32_t n_bases;
    int64_t base[4]; /* first root column of each slice, rising */
} TnPart;
#define TN_PARTS_MAX 8
/* Returns how many parts, in the order of their first slices, or 0 if the kernel has no columns or its slices do not make
 * parts: more than 8, more than 4 slices in one, slices of slices, or values that are read whole besides (fuse makes
 * no such kernel, but a text may; no target needs to take it). */
uint32_t tn_kernel_parts(const TnGraph *g, uint32_t kernel, TnPart out[TN_PARTS_MAX]);
int64_t tn_head_columns(const TnGraph *g, const TnKernel *k); /* that must stay together; 1: any */
enum {
    TN_CUT_COLUMNS = 64, /* what is usual */
    TN_CUT_MOST = 4096   /* larger ones are taken for this: a worker's scratch grows with it */
};
struct TnCut {
    int64_t grain, units;
};
/* Whether a kernel is cut by columns; else by rows, and units are those of a row. */
bool tn_cut_by_columns(const TnGraph *g, uint32_t kernel);
/* How a CPU wants any kernel cut: columns TN_CUT_COLUMNS at a time, attention by key-value heads, all else a row a unit. */
TnCut tn_cut_usual(const TnGraph *g, uint32_t kernel);
/* How a kernel of columns is cut into units of at least `colmajor` of a part each, where there are as many: into whole
 * heads, if the epilogue rotates heads or stores them. */
TnCut tn_cut_of(const TnGraph *g, uint32_t kernel, int64_t columns);
/* Cuts it so: axis, grain, units. */
void tn_cut_columns(TnGraph *g, uint32_t kernel, int64_t columns);
/* The part an epilogue node behind a slice belongs to, or TN_NONE for nodes before the slices (they belong to
 * all). */
uint32_t tn_node_part(const TnGraph *g, uint32_t kernel, TnRef node);

#endif
