/* Frames, and the functions that an op gives to a skeleton. */
#ifndef TN_LLVM_FRAME_H
#define TN_LLVM_FRAME_H

#include "codegen/llvm/builder/builder.h"

/* ---- Frames. A frame is row `row` of the kernel's values: a strip of its columns, or the whole row.
 *
 * A strip is columns [col, col + width) of the values after the slices of an epilogue. The values before the
 * slices have one frame for each slice (`bases`), whose columns begin elsewhere. A slice finds its frame by
 * root_base. */
typedef struct TnFrame {
    LLVMValueRef row;   /* i64 */
    LLVMValueRef col;   /* i64; 0 for whole rows */
    LLVMValueRef width; /* i64; NULL for whole rows */
    int64_t grain;      /* most columns of a strip; 0 for whole rows */
    bool masked;        /* the last block of a strip may reach columns that must not be touched */
    int64_t root_base; /* columns of the root that the frame can cover: [root_base, root_end), 0, 0 for all */
    int64_t root_end;
    const struct TnFrame *bases;
    uint32_t n_bases;  /* 0: there are no slices, or the frame is whole rows */
    LLVMValueRef *mem; /* [k->n]: where each node's columns from `col` on lie, or NULL: not in memory (yet) */
} TnFrame;
/* The address of a value's columns from the frame's first column on: f->mem for a node of the kernel, which
 * must be in memory, else the operand. */
LLVMValueRef tn_build_mem(TnBuilder *b, const TnFrame *f, TnRef ref);
/* The same, but an operand's address is that of its column 0. For operands that do not go column by column
 * (q8 rows, angles, positions). */
LLVMValueRef tn_build_row_mem(TnBuilder *b, const TnFrame *f, TnRef ref);
/* 32 columns of an f32 value (<32 x float>) or an i32 value (<32 x i32>), from column `off` (i64) of the
 * frame on. They are loaded if the value is in memory, else computed by its op's `block`. mask (NULL: none)
 * applies to operands, which are memory outside the kernel. */
LLVMValueRef tn_build_value(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask);
/* The mask of a strip's block at `off`, or NULL if all of it may be touched. */
LLVMValueRef tn_build_frame_mask(TnBuilder *b, const TnFrame *f, LLVMValueRef off);
/* Where to write a node's whole row: f->mem if that is set already, else its operand row if it leaves the
 * kernel, else new scratch. Sets f->mem. */
LLVMValueRef tn_build_result_row(TnBuilder *b, TnFrame *f, TnRef ref);
/* Scratch for a strip of 4-byte elements, with room for blocks that run past its end. Sets f->mem. */
LLVMValueRef tn_build_result_strip(TnBuilder *b, TnFrame *f, TnRef ref);
/* Aborts unless a strip holds whole heads of `head` columns: its grain is a multiple of them, or covers all columns of the
 * root, so that a strip is a whole part. */
void tn_build_check_heads(TnBuilder *b, const TnFrame *f, int64_t head);
/* Copies the frame's strip of `ref` from f->mem to its operand. */
void tn_build_copy_out(TnBuilder *b, const TnFrame *f, TnRef ref);

/* ---- How an op is emitted: a row of the table in codegen/llvm/ops/. {0} is for an op that is never in a
 * kernel. */
typedef struct TnLlvmOp {
    /* Whether this node can be emitted for the level. It answers only for this node, not for the kernel's
     * other ops. NULL: no. */
    bool (*can)(const TnGraph *g, TnRef ref, const TnLevel *level);
    /* For ROOT ops with a skeleton of their own (tmatmul, matmul, attend): emits the whole body of the
     * function after its entry. */
    void (*kernel)(TnBuilder *b);
    /* Emits the op on a whole row (ROW) or on a strip (rope, kv_put). It reads its operands by tn_build_mem
     * or tn_build_value, writes its result and sets f->mem[ref - k->first]. It may write into the padding of
     * whole rows. */
    void (*row)(TnBuilder *b, TnFrame *f, TnRef ref);
    /* Emits 32 columns from `off` on. Values of ops with `block` and without `row` are computed where they
     * are used. */
    LLVMValueRef (*block)(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask);
} TnLlvmOp;

/* frame.c: emits the nodes [first, end) of the kernel in order, except those for which skip[ref - k->first]
 * is set (NULL: none). A column-by-column value is written to memory if it leaves the kernel, if an op with
 * `row` reads it, or if it is used twice; else it is computed where it is used. f->mem must be set for values
 * made before. */
void tn_build_frame(TnBuilder *b, TnFrame *f, TnRef first, TnRef end, const bool *skip);
/* rows.c: the skeleton of kernels with axis=rows that have no root, or a root with only a `block` (embed). A
 * unit is a row; all nodes are emitted for it in order. */
void tn_build_rows_kernel(TnBuilder *b);

#endif
