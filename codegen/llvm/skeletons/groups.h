#ifndef TN_LLVM_GROUPS_H
#define TN_LLVM_GROUPS_H

#include "codegen/llvm/builder/builder.h"

/* groups.c: integer products of a few rows of activations with `count` (i64, above 0) rows of weights from w on, block by
 * block. An emitter's functions are called once or twice and get `user`:
 *
 *   step     a step along K of a block: w[columns] its weights, x the activations of the first row at that step; adds to
 *            sum[n_sums], registers of i32 lanes, or of i16 with `narrow`
 *   finish   sum[n_sums] of i32, of the block whose first column is col (i64): columns behind `count` are copies of the last;
 *            in which pass (i64)
 *
 * buf: scratch of tn_build_groups_buf bytes. */
typedef struct TnGroups {
    int n_x, columns, n_sums; /* rows of activations in a pass; columns of a block; sums */
    int64_t passes;           /* of a group; 0 is as 1 */
    LLVMValueRef pass_bytes;  /* i64, with passes: from one's activations to the next one's */
    int64_t steps, narrow;    /* of a row; i16 sums must be widened after so many steps, 0: they are i32 */
    int64_t row_bytes, step_bytes; /* of weights; a step is a multiple of 64 */
    int64_t x_bytes;               /* of a row of activations that a step reads */
    bool by_distance;              /* what is fetched is so far ahead as the kernel says (tn_build_ahead) */
    void (*step)(TnBuilder *b, const void *user, LLVMValueRef *w, LLVMValueRef x, LLVMValueRef *sum);
    void (*finish)(TnBuilder *b, const void *user, LLVMValueRef *sum, LLVMValueRef col, LLVMValueRef pass);
    const void *user;
} TnGroups;
int64_t tn_build_groups_buf(TnBuilder *b, const TnGroups *g);
void tn_build_groups(TnBuilder *b, const TnGroups *g, LLVMValueRef w, LLVMValueRef count, LLVMValueRef x,
                     LLVMValueRef buf);
/* The sums over lanes: lane i is that of sum[i]; whole registers, lanes behind n_sums are 0. */
LLVMValueRef tn_build_groups_trees(TnBuilder *b, const TnGroups *g, LLVMValueRef *sum);

#endif
