#ifndef TN_LLVM_GATED_H
#define TN_LLVM_GATED_H

#include "codegen/llvm/builder/builder.h"

/* gated.c: whether a part's values are all mulz(relu2(gate), up), so that a column of `up` is not needed
 * where gate is not positive. Sets *out_gate and *out_up to the numbers of these slices in the part. */
bool tn_build_gated(TnBuilder *b, const TnPart *p, uint32_t part, uint32_t *out_gate, uint32_t *out_up);
/* Writes the needed columns, of `width` (i64), to list[grain and more] as TnStrips has them, and returns
 * their number (i64). acc: the sums of the gate's strip; x: the q8 row. If leaving a column out could change
 * a bit, all columns are needed. */
LLVMValueRef tn_build_needed(TnBuilder *b, const TnPart *p, uint32_t gate, uint32_t up, LLVMValueRef acc,
                             LLVMValueRef width, LLVMValueRef x, LLVMValueRef list);

#endif
