/* bias adds a vector of weights to a value; times multiplies a value by a number. */
#include "codegen/llvm/ops/ops.h"

/* Pass layout packs the vector to f32. */
static bool can_bias(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return g->nodes[g->nodes[ref].args[1]].type.enc == TN_ENC_f32;
}

/* The weights are padded to 64 columns. A block may run past their end only if strips begin at multiples of
 * 32; otherwise there is a mask. */
static LLVMValueRef bias(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    const TnNode *n = &b->g->nodes[ref];
    LLVMValueRef x = tn_build_value(b, f, n->args[0], off, mask);
    LLVMValueRef from = tn_build_elem(b, tn_build_operand(b, n->args[1]), tn_build_add(b, f->col, off), 4);
    return tn_build_fadd(b, x, tn_build_load_masked(b, b->t_f32x, from, 4, mask));
}
const TnLlvmOp tn_llvm_op_bias = {.can = can_bias, .block = bias};

static LLVMValueRef times(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    const TnNode *n = &b->g->nodes[ref];
    LLVMValueRef x = tn_build_value(b, f, n->args[0], off, mask);
    return tn_build_fmul(b, x, tn_build_vf(b, tn_attr_float(n, TN_ATTR_scale)));
}
const TnLlvmOp tn_llvm_op_times = {.can = tn_llvm_yes, .block = times};
