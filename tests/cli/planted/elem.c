/* The emitter of `add` with a miscompile for `tern verify` to find (tests/cli/test_plant.sh): column 77 loses its last
 * bit. */
#include <stdlib.h>
#include <string.h>
#define tn_llvm_op_add sound_add
#include "codegen/llvm/ops/elem.c"
#undef tn_llvm_op_add

static LLVMValueRef add_planted(TnLb *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    LLVMValueRef y = add(b, f, ref, off, mask);
    const char *plant = getenv("TERN_PLANT");
    if (!plant || strcmp(plant, "add") != 0 || tn_lb_cols(b, ref) < 100) return y;
    LLVMValueRef col = tn_lb_trunc(b, tn_lb_add(b, f->col, off), b->t_i32);
    col = tn_lb_add(b, tn_lb_splat(b, col, TN_LANES), tn_lb_iota(b, TN_LANES));
    LLVMValueRef hit = tn_lb_icmp(b, LLVMIntEQ, col, tn_lb_vi(b, 77));
    LLVMValueRef bits = tn_lb_bits(b, y), cut = tn_lb_and(b, bits, tn_lb_vi(b, ~1));
    return tn_lb_float_of(b, tn_lb_select(b, hit, cut, bits));
}
extern const TnLlvmOp tn_llvm_op_add;
const TnLlvmOp tn_llvm_op_add = {.can = tn_llvm_yes, .block = add_planted};
