/* The emitter of `add` with a miscompile for `tern verify` to find (tests/cli/test_plant.sh): column 77 loses its last
 * bit. */
#include <stdlib.h>
#include <string.h>
#define tn_llvm_op_add sound_add
#include "codegen/llvm/ops/elem.c"
#undef tn_llvm_op_add

static LLVMValueRef add_planted(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off,
                                LLVMValueRef mask) {
    LLVMValueRef y = add(b, f, ref, off, mask);
    const char *plant = getenv("TERN_PLANT");
    if (!plant || strcmp(plant, "add") != 0 || tn_build_cols(b, ref) < 100) return y;
    LLVMValueRef col = tn_build_trunc(b, tn_build_add(b, f->col, off), b->t_i32);
    col = tn_build_add(b, tn_build_splat(b, col, TN_LANES), tn_build_iota(b, TN_LANES));
    LLVMValueRef hit = tn_build_icmp(b, LLVMIntEQ, col, tn_build_vi(b, 77));
    LLVMValueRef bits = tn_build_bits(b, y), cut = tn_build_and(b, bits, tn_build_vi(b, ~1));
    return tn_build_float_of(b, tn_build_select(b, hit, cut, bits));
}
extern const TnLlvmOp tn_llvm_op_add;
const TnLlvmOp tn_llvm_op_add = {.can = tn_llvm_yes, .block = add_planted};
