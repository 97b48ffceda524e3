/* Frames, and what a skeleton asks of an op in one. */
#ifndef TN_LLVM_FRAME_H
#define TN_LLVM_FRAME_H

#include "codegen/llvm/builder/builder.h"

/* ---- Frames: row `row` of the kernel's values; a strip of columns of them, or whole rows.
 *
 * A strip is columns [col, col + width) of the values after the slices of an epilogue. Values before the
 * slices have a frame for each slice (`bases`), whose columns start elsewhere; a slice finds its own by
 * root_base. */
typedef struct TnFrame {
    LLVMValueRef row;   /* i64 */
    LLVMValueRef col;   /* i64; 0 for whole rows */
    LLVMValueRef width; /* i64; NULL for whole rows */
    int64_t grain;      /* most columns of a strip; 0 for whole rows */
    bool masked;        /* the last block of a strip may have neighbours that must not be touched */
    int64_t root_base; /* columns of the root that the frame can cover: [root_base, root_end), 0, 0 for all */
    int64_t root_end;
    const struct TnFrame *bases;
    uint32_t n_bases; /* 0: there are no slices, or the frame is whole rows */
    LLVMValueRef
        *mem; /* [k->n]: where the node's columns lie (from `col` on), or NULL: not in memory (yet) */
} TnFrame;
/* Memory of a value at the frame's first column: mem of the kernel's own nodes (it must be there), operand
 * memory of others. */
LLVMValueRef tn_build_mem(TnBuilder *b, const TnFrame *f, TnRef ref);
/* The same, but from its column 0 on, for operands that do not go column by column (q8 rows, angles,
 * positions). */
LLVMValueRef tn_build_row_mem(TnBuilder *b, const TnFrame *f, TnRef ref);
/* 32 columns, from column `off` (i64) of the frame on, of an f32 value (<32 x float>) or an i32 one (<32 x
 * i32>): loaded if it is in memory, else computed by its op's `block`. mask (NULL: none) is for memory
 * outside the kernel. */
LLVMValueRef tn_build_value(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask);
/* The mask of a strip's block at `off`, or NULL if all of it may be touched. */
LLVMValueRef tn_build_frame_mask(TnBuilder *b, const TnFrame *f, LLVMValueRef off);
/* Where a node's whole row goes: f->mem if that is set already, else its operand row if it leaves, else new
 * scratch; recorded in f->mem. */
LLVMValueRef tn_build_result_row(TnBuilder *b, TnFrame *f, TnRef ref);
/* Scratch for a strip of 4-byte elements, room for blocks behind its end included; recorded in f->mem. */
LLVMValueRef tn_build_result_strip(TnBuilder *b, TnFrame *f, TnRef ref);
/* The frame's strip of `ref` from f->mem to its operand. */
void tn_build_copy_out(TnBuilder *b, const TnFrame *f, TnRef ref);

/* ---- How an op is emitted: a row of the table in codegen/llvm/ops/, {0} for an op that is in no kernel. */
typedef struct TnLlvmOp {
    /* Whether this node of a kernel can be done on the level; the kernel's other ops answer for themselves.
     * NULL: no. */
    bool (*can)(const TnGraph *g, TnRef ref, const TnLevel *level);
    /* ROOT ops with a skeleton of their own: the whole function body behind the entry (tmatmul, matmul,
     * attend). */
    void (*kernel)(TnBuilder *b);
    /* The op on a whole row (ROW) or on a strip (rope, kv_put): reads tn_build_mem or tn_build_value of its
     * operands, writes its result and sets f->mem[ref - k->first]. Of whole rows, writing into the padding is
     * fine. */
    void (*row)(TnBuilder *b, TnFrame *f, TnRef ref);
    /* Column by column: 32 columns from `off` on. Values with this and without `row` are computed where they
     * are used. */
    LLVMValueRef (*block)(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask);
} TnLlvmOp;

/* frame.c: emits the nodes [first, end) of the kernel into the frame, in order; nodes for which skip[ref -
 * k->first] is set are left out (NULL: none). Column-by-column values go to memory where they leave the
 * kernel, where an op with `row` wants them, or where they are used twice; the rest is computed where it is
 * used. f->mem of values made before must be set. */
void tn_build_frame(TnBuilder *b, TnFrame *f, TnRef first, TnRef end, const bool *skip);
/* rows.c: the skeleton of kernels with axis=rows whose root is none or has only a `block` (embed): a unit is
 * a row, all nodes are emitted for it in order. */
void tn_build_rows_kernel(TnBuilder *b);

#endif
