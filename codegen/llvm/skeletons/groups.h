#ifndef TN_LLVM_GROUPS_H
#define TN_LLVM_GROUPS_H

#include "codegen/llvm/builder/builder.h"

/* groups.c: integer products of a few rows of activations with `count` (i64, above 0) rows of weights from w
 * on, block by block. The caller's functions are called once or twice and get `user`:
 *
 *   step     emits a step of a block along K: multiplies its weights at w[columns] by the activations, those
 *            of the first row at x, and adds to sum[n_sums], which are registers of i32 lanes, or of i16 with
 *            `narrow`
 *   finish   takes sum[n_sums], in i32, of the block whose first column is col (i64).
 *            Columns after `count` are copies of the last one.
 *
 * buf: scratch of tn_build_groups_buf bytes. */
typedef struct TnGroups {
    int n_x, columns, n_sums; /* rows of activations; columns of a block; sums */
    int64_t steps, narrow; /* steps of a row; steps after which i16 sums must be widened, 0: sums are i32 */
    int64_t row_bytes, step_bytes; /* bytes of a row of weights, and of a step, a multiple of 32 */
    int64_t x_bytes;               /* bytes that a step reads of each row of activations */
    void (*step)(TnBuilder *b, const void *user, LLVMValueRef *w, LLVMValueRef x, LLVMValueRef *sum);
    void (*finish)(TnBuilder *b, const void *user, LLVMValueRef *sum, LLVMValueRef col);
    const void *user;
} TnGroups;
int64_t tn_build_groups_buf(TnBuilder *b, const TnGroups *g);
void tn_build_groups(TnBuilder *b, const TnGroups *g, LLVMValueRef w, LLVMValueRef count, LLVMValueRef x,
                     LLVMValueRef buf);
/* Adds up the lanes of each sum: lane i of the result belongs to sum[i]. The result fills whole registers;
 * lanes after n_sums are 0. */
LLVMValueRef tn_build_groups_trees(TnBuilder *b, const TnGroups *g, LLVMValueRef *sum);

#endif
