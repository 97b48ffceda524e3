/* The activations relu, gelu and gelu_tanh; elem.c has relu2 and silu. */
#include "codegen/llvm/ops/ops.h"
#include "runtime/base/fmath.h"

static LLVMValueRef operand(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    return tn_build_value(b, f, b->g->nodes[ref].args[0], off, mask);
}

static LLVMValueRef relu(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    return tn_build_fmax(b, tn_build_vf(b, 0.0f), operand(b, f, ref, off, mask));
}
const TnLlvmOp tn_llvm_op_relu = {.can = tn_llvm_yes, .block = relu};

/* The same steps as tn_gelu in fmath.h. */
static LLVMValueRef gelu(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    static const float poly[] = TN_GELU_POLY;
    LLVMValueRef x = operand(b, f, ref, off, mask), one = tn_build_vf(b, 1.0f);
    LLVMValueRef size = tn_build_fmax(b, x, tn_build_fneg(b, x));
    LLVMValueRef t = tn_build_fdiv(b, one, tn_build_fma(b, size, tn_build_vf(b, TN_GELU_STEP), one));
    LLVMValueRef p = tn_build_vf(b, poly[0]);
    for (size_t i = 1; i < TN_COUNT(poly); i++) p = tn_build_fma(b, p, t, tn_build_vf(b, poly[i]));
    LLVMValueRef square = tn_build_fmul(b, x, x);
    p = tn_build_fmul(b, p, tn_build_exp(b, tn_build_fmul(b, square, tn_build_vf(b, -0.5f))));
    LLVMValueRef left = tn_build_fcmp(b, LLVMRealOLT, x, tn_build_vf(b, 0.0f));
    LLVMValueRef y = tn_build_fmul(b, x, tn_build_select(b, left, p, tn_build_fsub(b, one, p)));
    LLVMValueRef low = tn_build_fcmp(b, LLVMRealOLT, x, tn_build_vf(b, TN_GELU_LO));
    return tn_build_select(b, low, tn_build_vf(b, -0.0f), y);
}
const TnLlvmOp tn_llvm_op_gelu = {.can = tn_llvm_yes, .block = gelu};

/* The same steps as tn_gelu_tanh in fmath.h. */
static LLVMValueRef gelu_tanh(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off,
                              LLVMValueRef mask) {
    LLVMValueRef x = operand(b, f, ref, off, mask), square = tn_build_fmul(b, x, x);
    LLVMValueRef v = tn_build_fma(b, square, tn_build_vf(b, TN_GELU_TANH_3), tn_build_vf(b, TN_GELU_TANH_1));
    v = tn_build_fmul(b, x, v);
    LLVMValueRef y = tn_build_fdiv(b, x, tn_build_fadd(b, tn_build_vf(b, 1.0f), tn_build_exp(b, v)));
    LLVMValueRef low = tn_build_fcmp(b, LLVMRealOGT, v, tn_build_vf(b, TN_EXP_HI));
    return tn_build_select(b, low, tn_build_vf(b, -0.0f), y);
}
const TnLlvmOp tn_llvm_op_gelu_tanh = {.can = tn_llvm_yes, .block = gelu_tanh};
