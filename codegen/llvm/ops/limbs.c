/* limbs: a row of floats as two limbs of int8 for the shadow product (estimate.c), with the bounds of its error (ir.h). */
#include "codegen/llvm/ops/ops.h"

#include <math.h>
#include "ir/shadow.h"

static LLVMTypeRef doubles(TnBuilder *b, int lanes) {
    LLVMTypeRef d = LLVMDoubleTypeInContext(b->c);
    return lanes == 1 ? d : LLVMVectorType(d, (unsigned)lanes);
}

/* Which lanes of the block at `off` belong to the row of n; NULL: all. */
static LLVMValueRef below(TnBuilder *b, int64_t n, LLVMValueRef off) {
    return n % TN_LANES ? tn_build_mask_below(b, tn_build_sub(b, tn_build_i64(b, n), off), TN_LANES) : NULL;
}
static LLVMValueRef only(TnBuilder *b, LLVMValueRef v, LLVMValueRef mask) {
    return mask ? tn_build_select(b, mask, v, LLVMConstNull(LLVMTypeOf(v))) : v;
}

static LLVMValueRef largest_bits(TnBuilder *b, const TnFrame *f, TnRef x, int64_t n) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), TN_LANES);
    LLVMValueRef top = tn_build_carry(b, &l, LLVMConstNull(b->t_i32x));
    LLVMValueRef u = tn_build_bits(b, tn_build_value(b, f, x, l.i, NULL));
    u = only(b, tn_build_and(b, u, tn_build_vi(b, 0x7fffffff)), below(b, n, l.i));
    tn_build_next(&l, 0, tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, u, top), u, top));
    tn_build_loop_end(b, &l);
    LLVMValueRef bits = tn_build_tree(b, l.out[0], TN_FOLD_UMAX),
                 least = tn_build_bits(b, tn_build_f32(b, 0x1p-100f));
    return tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, bits, least), bits, least);
}

/* The double as a float, plus 2^-126; infinity unless the row is finite. */
static LLVMValueRef rounded_up(TnBuilder *b, LLVMValueRef d, LLVMValueRef finite) {
    LLVMValueRef x = tn_build_fptrunc(b, d, b->t_f32);
    x = tn_build_fadd(b, x, tn_build_f32(b, 0x1p-126f));
    return tn_build_select(b, finite, x, tn_build_f32(b, INFINITY));
}

static void limbs(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = b->g->nodes[ref].args[0];
    int64_t n = tn_build_cols(b, x);
    int64_t padded = ((int64_t)tn_row_bytes(&b->g->nodes[ref].type) - TN_Q14_HEAD) / 2;
    LLVMTypeRef bytes = LLVMVectorType(b->t_i8, TN_LANES);
    LLVMValueRef bits = largest_bits(b, f, x, n), a = tn_build_float_of(b, bits),
                 zero = tn_build_f32(b, 0.0f);
    LLVMValueRef finite = tn_build_icmp(b, LLVMIntULT, bits, tn_build_i32(b, 0x7f800000));
    LLVMValueRef most = tn_build_f32(b, (float)TN_LIMBS_MOST), most_x = tn_build_vf(b, (float)TN_LIMBS_MOST);
    LLVMValueRef factor = tn_build_select(b, finite, tn_build_fdiv(b, most, a), zero);
    LLVMValueRef d = tn_build_select(b, finite, tn_build_fdiv(b, a, most), zero);
    LLVMValueRef minus = tn_build_fneg(b, tn_build_fpext(b, d, doubles(b, 1)));
    factor = tn_build_splat(b, factor, TN_LANES);
    minus = tn_build_splat(b, minus, TN_LANES);

    LLVMValueRef out = tn_build_result_row(b, f, ref);
    LLVMValueRef high = tn_build_atc(b, out, TN_Q14_HEAD), low = tn_build_atc(b, high, padded);
    TnLoop m = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), TN_LANES);
    LLVMValueRef sum_h = tn_build_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef sum_l = tn_build_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef squares = tn_build_carry(b, &m, LLVMConstNull(doubles(b, TN_LANES)));
    LLVMValueRef errors = tn_build_carry(b, &m, LLVMConstNull(doubles(b, TN_LANES)));
    LLVMValueRef here = only(b, tn_build_value(b, f, x, m.i, NULL), below(b, n, m.i));
    LLVMValueRef v = tn_build_rint(b, tn_build_fmul(b, here, factor));
    LLVMValueRef is_nan = tn_build_fcmp(b, LLVMRealUNO, v, v);
    v = tn_build_fmin(b, v, most_x);
    v = tn_build_fmax(b, v, tn_build_fneg(b, most_x));
    LLVMValueRef q = tn_build_fp_to_si(b, v, b->t_i32x);
    q = tn_build_select(b, is_nan, LLVMConstNull(b->t_i32x), q);
    LLVMValueRef h = tn_build_ashr(b, tn_build_add(b, q, tn_build_vi(b, 64)), tn_build_vi(b, 7));
    LLVMValueRef l = tn_build_sub(b, q, tn_build_shl(b, h, tn_build_vi(b, 7)));
    tn_build_store(b, tn_build_trunc(b, h, bytes), tn_build_at(b, high, m.i), 32);
    tn_build_store(b, tn_build_trunc(b, l, bytes), tn_build_at(b, low, m.i), 32);
    LLVMValueRef wide = tn_build_fpext(b, here, doubles(b, TN_LANES));
    LLVMValueRef e = tn_build_fma(b, minus, tn_build_si_to_fp(b, q, doubles(b, TN_LANES)), wide);
    tn_build_next(&m, 0, tn_build_add(b, sum_h, h));
    tn_build_next(&m, 1, tn_build_add(b, sum_l, l));
    tn_build_next(&m, 2, tn_build_fma(b, wide, wide, squares));
    tn_build_next(&m, 3, tn_build_fma(b, e, e, errors));
    tn_build_loop_end(b, &m);
    for (int64_t i = (n + TN_LANES - 1) / TN_LANES * TN_LANES; i < padded; i += TN_LANES) {
        tn_build_store(b, LLVMConstNull(bytes), tn_build_atc(b, high, i), 32);
        tn_build_store(b, LLVMConstNull(bytes), tn_build_atc(b, low, i), 32);
    }
    for (int64_t i = 0; i < TN_Q14_HEAD; i += TN_LANES)
        tn_build_store(b, LLVMConstNull(bytes), tn_build_atc(b, out, i), 32);
    LLVMValueRef up = LLVMConstReal(doubles(b, 1), 1.0 + 0x1p-20);
    int64_t steps = (n + 31) / 32 + 16;
    LLVMValueRef places = LLVMConstReal(doubles(b, 1), (double)steps * 0x1p-24 * 1.01);
    LLVMValueRef norm = tn_build_fmul(b, tn_build_sqrt(b, tn_build_tree(b, m.out[2], TN_FOLD_FADD)), up);
    LLVMValueRef error = tn_build_fmul(b, tn_build_sqrt(b, tn_build_tree(b, m.out[3], TN_FOLD_FADD)), up);
    tn_build_store(b, d, out, 4);
    tn_build_store(b, tn_build_tree(b, m.out[0], TN_FOLD_ADD), tn_build_atc(b, out, 4), 4);
    tn_build_store(b, tn_build_tree(b, m.out[1], TN_FOLD_ADD), tn_build_atc(b, out, 8), 4);
    tn_build_store(b, rounded_up(b, norm, finite), tn_build_atc(b, out, 12), 4);
    tn_build_store(b, rounded_up(b, tn_build_fma(b, places, norm, error), finite), tn_build_atc(b, out, 16),
                   4);
}
const TnLlvmOp tn_llvm_op_limbs = {.can = tn_llvm_yes, .row = limbs};
