/* Kernels being emitted, frames, and what an op gives to a skeleton.
 *
 * A CTA computes one unit. All its threads go through the nodes of a row one after another. Values that ops make column by
 * column are computed where they are used (`elem`: a thread, a column); they get memory if an op needs other columns of them
 * (its row or mixes), if they are used twice or if they leave the kernel. Memory is shared memory, or the operand of a value
 * that leaves the kernel. After each node that stored something there is a barrier. */
#ifndef TN_PTX_FRAME_H
#define TN_PTX_FRAME_H

#include "codegen/ptx/ptx_arithmetic.h"
#include "ir/ir.h"
#include "ir/type_layout.h"

struct TnPtxOp;

/* A kernel being emitted. */
typedef struct TnPtx {
    TnPx x;
    const TnGraph *g;
    uint32_t kernel;
    const TnKernel *k;
    const char *level;
    const struct TnPtxOp *const *table; /* tn_ptx_ops */
    TnRef ops[TN_OPERANDS_MAX];
    TnPxV op_ptr[TN_OPERANDS_MAX]; /* d */
    uint32_t n_ops, n_in;
    TnPxV sym;       /* d: address of the step's symbols */
    TnPxV tid, unit; /* r: the thread; the CTA's unit */
    uint32_t block;  /* a CTA does rows %ctaid.y * block on, as many; 0: all rows. Left for the launch */
} TnPtx;

/* ---- the launch */
TnPxV tn_ptx_sym(TnPtx *b, TnSym s); /* r: a symbol's value, loaded here */
/* d: address of an operand of the launch. Any kv_put into a cache names that cache. */
TnPxV tn_ptx_operand(TnPtx *b, TnRef ref);
/* G: the row `row` (r) of an operand: a row of a matrix, an element of ids or pos. */
TnPxV tn_ptx_operand_row(TnPtx *b, TnRef ref, TnPxV row);
bool tn_ptx_inside(const TnPtx *b, TnRef ref); /* whether it is a node of the kernel */
bool tn_ptx_leaves(const TnPtx *b, TnRef ref); /* whether a value of the kernel is used outside it */
int64_t tn_ptx_cols(const TnPtx *b, TnRef ref);
/* f32 or i32, f16 or bf16 values, f or r. */
TnPxElem tn_ptx_elem(TnEnc enc);

/* ---- A frame is row `row` of the kernel's values: a strip of its columns, or the whole row.
 *
 * A strip is columns [col, col + width) of the values after the slices of an epilogue. The values before the slices have one
 * frame for each slice (`bases`), whose columns begin elsewhere. A slice finds its frame by root_base. */
typedef struct TnPtxFrame {
    TnPxV row;                   /* r */
    TnPxV col;                   /* r; the number 0 for whole rows */
    TnPxV width;                 /* r, at most grain; kind 0 for whole rows */
    uint32_t grain;              /* most columns of a strip */
    int64_t root_base, root_end; /* columns of the root that the frame can cover; 0, 0 for all */
    const struct TnPtxFrame *bases;
    uint32_t n_bases; /* 0: there are no slices, or the frame is whole rows */
    bool own;         /* every CTA computes this row: no value may be written to its operand */
    TnPxV *
        mem; /* [k->n]: the address (G or S) of each node's columns from `col` on, or kind 0: not in memory (yet) */
} TnPtxFrame;
/* The address of a value's columns from the frame's first column on: f->mem of a node of the kernel, which must be in memory,
 * or the operand. */
TnPxV tn_ptx_mem(TnPtx *b, const TnPtxFrame *f, TnRef ref);
/* The same, but an operand's address is that of its column 0: for operands that do not go column by column (q8 rows,
 * angles, positions). */
TnPxV tn_ptx_row_mem(TnPtx *b, const TnPtxFrame *f, TnRef ref);
/* The column `off` (r) of the frame of an f32 (f) or i32 (r) value: loaded if it is in memory, else computed. */
TnPxV tn_ptx_value(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off);
/* r: columns of the frame: its width, or all columns of `ref`. */
TnPxV tn_ptx_width(TnPtx *b, const TnPtxFrame *f, TnRef ref);
/* Where to write a node's whole row or strip: f->mem if it is set already, else the operand if the value leaves the kernel
 * and the frame is whole rows, else new shared memory. Sets f->mem. */
TnPxV tn_ptx_result(TnPtx *b, TnPtxFrame *f, TnRef ref);
/* Copies a strip of `ref` from f->mem to its operand, if it leaves the kernel and is not there already. */
void tn_ptx_copy_out(TnPtx *b, const TnPtxFrame *f, TnRef ref);

/* A number that is a macro, as text: for TnPtxOp.limit. */
#define TN_PTX_TEXT_(n) #n
#define TN_PTX_TEXT(n)  TN_PTX_TEXT_(n)

/* ---- How an op is emitted: a row of the table in codegen/ptx/ops/. {0}: never in a kernel. */
typedef struct TnPtxOp {
    /* Whether this node can be emitted. NULL: no. */
    bool (*can)(const TnGraph *g, TnRef ref);
    /* What `can` refuses because it is too large, as words after "lacks". NULL: the op's name. */
    const char *limit;
    /* For ROOT ops with a skeleton of their own: emits the kernel's body. b->tid and b->unit are set, and no gate has been
     * asked: tn_ptx_gate does that. It sets b->x.threads first of all. */
    void (*kernel)(TnPtx *b);
    /* Emits the op on a frame, by all threads, in uniform control flow. It reads its operands by tn_ptx_mem or tn_ptx_value,
     * writes tn_ptx_result and leaves no barrier to itself: one follows. */
    void (*row)(TnPtx *b, TnPtxFrame *f, TnRef ref);
    /* Emits the column `off` (r) of the frame. */
    TnPxV (*elem)(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off);
    bool mixes; /* elem reads other columns of its first operand, which must be in memory */
} TnPtxOp;

/* Emits the nodes [first, end) of the kernel in order, except those for which skip[ref - k->first] is set (NULL: none).
 * f->mem must be set for values made before, and visible to all threads. Ends with a barrier if anything was stored. */
void tn_ptx_frame(TnPtx *b, TnPtxFrame *f, TnRef first, TnRef end, const bool *skip);

/* ---- for the skeletons of products (codegen/ptx/skeletons, ops/)
 *
 * The nodes before the root for row `row` (r). The root's first operand, if it is a node of the kernel, is written to `x`, an
 * address of tn_row_bytes bytes, 16-aligned; if it leaves the kernel too, CTA 0 also writes its operand. */
void tn_ptx_prologue(TnPtx *b, TnPxV row, TnPxV x);
/* The nodes after the root for one row of one unit, whose root values lie in shared memory: words (f32 or i32) of base i from
 * `words` + i * `stride` on. All threads call it, after a barrier; it ends with one if it stored anything in memory that it
 * may read. */
typedef struct TnPtxCols {
    TnPxV row;       /* r */
    uint32_t part;   /* of tn_kernel_parts, known here: one branch a part */
    TnPxV lo, n;     /* r: first column of the unit in the part; its columns, at most `grain` */
    TnPxV words;     /* S */
    uint32_t stride; /* bytes */
    TnPxV
        x; /* where the root's input row lies if it is a node of the kernel (tn_ptx_prologue); else kind 0 */
} TnPtxCols;
void tn_ptx_epilogue(TnPtx *b, const TnPtxCols *c);
/* While b->x.by_warps is set, each warp does a row of its own: all lanes of a warp call it, after a barrier, and strips lie in
 * shared memory once for each warp. Returns how many strips an epilogue keeps there at most, of tn_ptx_strip_bytes each. */
uint32_t tn_ptx_strips(TnPtx *b);
static inline uint32_t tn_ptx_strip_bytes(uint32_t grain) {
    return (grain * 4 + 15) / 16 * 16;
}

/* ---- the skeleton of kernels over rows: a unit is a row. For kernels without a root, or with one that has only an elem. */
void tn_ptx_rows(TnPtx *b);
/* Returns from the kernel unless this CTA's unit is one of the step: `units` (of a row, if by_rows) times the rows of the
 * kernel's first result. */
void tn_ptx_gate(TnPtx *b);
/* Opens an entry: parameters, tid, unit. Closes it. */
void tn_ptx_open(TnPtx *b, const char *symbol);
void tn_ptx_close(TnPtx *b);

#endif
