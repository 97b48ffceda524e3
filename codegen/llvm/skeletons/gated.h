#ifndef TN_LLVM_GATED_H
#define TN_LLVM_GATED_H

#include "codegen/llvm/builder/builder.h"

/* gated.c: whether a part's values are all mulz(relu2(gate), up), so that columns of `up` are not needed where gate
 * is not positive. Gives which of the part's slices are the two. */
bool tn_build_gated(TnBuilder *b, const TnPart *p, uint32_t part, uint32_t *out_gate, uint32_t *out_up);
/* Makes the list (TnStrips) of the columns needed, of `width` (i64), in list[grain + TN_AHEAD]; returns their
 * number (i64). acc: the sums of the gate's strip; x: the q8 row. All of them are needed where a column left out
 * could be told from a zero. */
LLVMValueRef tn_build_needed(TnBuilder *b, const TnPart *p, uint32_t gate, uint32_t up, LLVMValueRef acc,
                             LLVMValueRef width, LLVMValueRef x, LLVMValueRef list);

#endif
