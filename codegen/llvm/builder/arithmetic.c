/* Arithmetic on scalars and vectors, as runtime/base/fmath.h defines it, and operations on lanes. */
#include "codegen/llvm/builder/builder.h"

#include <string.h>
#include "runtime/base/fmath.h"

/* ---- Arithmetic */

LLVMValueRef tn_build_call(TnBuilder *b, const char *intrinsic, LLVMTypeRef *overload, unsigned n_overload,
                           LLVMValueRef *args, unsigned n) {
    unsigned id = LLVMLookupIntrinsicID(intrinsic, strlen(intrinsic));
    if (!id) TN_BUG("LLVM has no intrinsic %s", intrinsic);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(b->m, id, overload, n_overload);
    LLVMTypeRef type = LLVMGlobalGetValueType(fn), params[8];
    TN_CHECK(n <= 8 && LLVMCountParamTypes(type) == n);
    LLVMGetParamTypes(type, params);
    LLVMValueRef a[8];
    for (unsigned i = 0; i < n; i++)
        a[i] = LLVMTypeOf(args[i]) == params[i] ? args[i] : tn_build_bitcast(b, args[i], params[i]);
    return LLVMBuildCall2(b->b, type, fn, a, n, "");
}

LLVMValueRef tn_build_fma(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z) {
    LLVMTypeRef t = LLVMTypeOf(x);
    LLVMValueRef args[] = {x, y, z};
    return tn_build_call(b, "llvm.fma", &t, 1, args, 3);
}

LLVMValueRef tn_build_rint(TnBuilder *b, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    return tn_build_call(b, "llvm.rint", &t, 1, &x, 1);
}

LLVMValueRef tn_build_sqrt(TnBuilder *b, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    return tn_build_call(b, "llvm.sqrt", &t, 1, &x, 1);
}

LLVMValueRef tn_build_fmax(TnBuilder *b, LLVMValueRef x, LLVMValueRef y) {
    return tn_build_select(b, tn_build_fcmp(b, LLVMRealOGT, x, y), x, y);
}

LLVMValueRef tn_build_fmin(TnBuilder *b, LLVMValueRef x, LLVMValueRef y) {
    return tn_build_select(b, tn_build_fcmp(b, LLVMRealOLT, x, y), x, y);
}

static bool is_vector(LLVMTypeRef t) {
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind;
}

/* `elem`, or a vector of it if `like` is a vector. */
static LLVMTypeRef shaped(LLVMTypeRef like, LLVMTypeRef elem) {
    return is_vector(like) ? LLVMVectorType(elem, LLVMGetVectorSize(like)) : elem;
}

/* The constant, splatted if `like` is a vector. */
static LLVMValueRef shaped_const(TnBuilder *b, LLVMTypeRef like, LLVMValueRef scalar) {
    return is_vector(like) ? tn_build_splat_const(b, scalar, (int)LLVMGetVectorSize(like)) : scalar;
}

LLVMValueRef tn_build_bits(TnBuilder *b, LLVMValueRef x) {
    return tn_build_bitcast(b, x, shaped(LLVMTypeOf(x), b->t_i32));
}

LLVMValueRef tn_build_float_of(TnBuilder *b, LLVMValueRef bits) {
    return tn_build_bitcast(b, bits, shaped(LLVMTypeOf(bits), b->t_f32));
}

LLVMValueRef tn_build_widen_f16(TnBuilder *b, LLVMValueRef i16s) {
    LLVMTypeRef t = LLVMTypeOf(i16s);
    LLVMValueRef h = tn_build_bitcast(b, i16s, shaped(t, b->t_f16));
    return tn_build_fpext(b, h, shaped(t, b->t_f32));
}

LLVMValueRef tn_build_widen_bf16(TnBuilder *b, LLVMValueRef i16s) {
    LLVMTypeRef t = LLVMTypeOf(i16s);
    LLVMValueRef w = tn_build_zext(b, i16s, shaped(t, b->t_i32));
    return tn_build_float_of(b, tn_build_shl(b, w, shaped_const(b, t, tn_build_i32(b, 16))));
}

LLVMValueRef tn_build_widen_i8(TnBuilder *b, LLVMValueRef i8s) {
    LLVMTypeRef t = LLVMTypeOf(i8s);
    return tn_build_si_to_fp(b, i8s, shaped(t, b->t_f32));
}

LLVMValueRef tn_build_quant_factor(TnBuilder *b, LLVMValueRef bits, LLVMValueRef *out_scale) {
    LLVMValueRef least = tn_build_bits(b, tn_build_f32(b, 1e-5f)), k127 = tn_build_f32(b, 127.0f);
    bits = tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, bits, least), bits, least);
    LLVMValueRef a = tn_build_float_of(b, bits);
    *out_scale = tn_build_fdiv(b, a, k127);
    return tn_build_fdiv(b, k127, a);
}

LLVMValueRef tn_build_quant(TnBuilder *b, LLVMValueRef x, LLVMValueRef factor) {
    LLVMTypeRef t = LLVMTypeOf(x), ti = shaped(t, b->t_i32);
    LLVMValueRef v = tn_build_rint(b, tn_build_fmul(b, x, factor));
    LLVMValueRef is_nan = tn_build_fcmp(b, LLVMRealUNO, v, v);
    /* A NaN becomes 127 here and 0 below, so the conversion never sees it. */
    v = tn_build_fmin(b, v, shaped_const(b, t, tn_build_f32(b, 127.0f)));
    v = tn_build_fmax(b, v, shaped_const(b, t, tn_build_f32(b, -127.0f)));
    return tn_build_select(b, is_nan, LLVMConstNull(ti), tn_build_fp_to_si(b, v, ti));
}

LLVMValueRef tn_build_narrow_f16_sat(TnBuilder *b, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    LLVMValueRef hi = shaped_const(b, t, tn_build_f32(b, 65504.0f)),
                 lo = shaped_const(b, t, tn_build_f32(b, -65504.0f));
    LLVMValueRef mask = shaped_const(b, t, tn_build_i32(b, 0x7fffffff)), wild = x;
    wild = tn_build_and(b, tn_build_bits(b, wild), mask);
    wild = tn_build_icmp(b, LLVMIntEQ, wild, shaped_const(b, t, tn_build_i32(b, 0x7f800000)));
    /* NaN compares false and stays */
    LLVMValueRef y = tn_build_select(b, tn_build_fcmp(b, LLVMRealOGT, x, hi), hi, x);
    y = tn_build_select(b, tn_build_fcmp(b, LLVMRealOLT, y, lo), lo, y);
    x = tn_build_select(b, wild, x, y);
    LLVMValueRef h = tn_build_fptrunc(b, x, shaped(t, b->t_f16));
    return tn_build_bitcast(b, h, shaped(t, b->t_i16));
}

/* The polynomial c[0] r^(n-1) + .. + c[n-1], by Horner's rule with fma. */
static LLVMValueRef horner(TnBuilder *b, const float *c, int n, LLVMValueRef r) {
    LLVMTypeRef t = LLVMTypeOf(r);
    LLVMValueRef p = shaped_const(b, t, tn_build_f32(b, c[0]));
    for (int i = 1; i < n; i++) p = tn_build_fma(b, p, r, shaped_const(b, t, tn_build_f32(b, c[i])));
    return p;
}

#define K(v)  shaped_const(b, t, tn_build_f32(b, v))
#define KI(v) shaped_const(b, t, tn_build_i32(b, v))

/* Two shortcuts give the bits of fmath.h with fewer operations. 1.5 * 2^23 + v has the integer nearest to v in its low bits, ties to
 * even as by rint. And p is 0.7 to 1.42 (1.39 or more where n is -126), so adding n to its exponent multiplies it by 2^n. */
LLVMValueRef tn_build_exp(TnBuilder *b, LLVMValueRef x) {
    static const float poly[] = TN_EXP_POLY;
    LLVMTypeRef t = LLVMTypeOf(x);
    LLVMValueRef y = tn_build_fmin(b, x, K(TN_EXP_HI));
    y = tn_build_fmax(b, y, K(TN_EXP_LO));
    LLVMValueRef shifted = tn_build_fadd(b, tn_build_fmul(b, y, K(TN_EXP_LOG2E)), K(0x1.8p23f));
    LLVMValueRef n = tn_build_fsub(b, shifted, K(0x1.8p23f));
    LLVMValueRef r = tn_build_fma(b, n, K(-TN_EXP_LN2_HI), y);
    r = tn_build_fma(b, n, K(-TN_EXP_LN2_LO), r);
    LLVMValueRef p = horner(b, poly, (int)TN_COUNT(poly), r);
    LLVMValueRef e = tn_build_shl(b, tn_build_bits(b, shifted), KI(23));
    p = tn_build_float_of(b, tn_build_add(b, tn_build_bits(b, p), e));
    p = tn_build_select(b, tn_build_fcmp(b, LLVMRealOLT, x, K(TN_EXP_LO)), K(0.0f), p);
    return tn_build_select(b, tn_build_fcmp(b, LLVMRealUNO, x, x), x, p);
}

void tn_build_sincos_turn(TnBuilder *b, LLVMValueRef f, LLVMValueRef *out_sin, LLVMValueRef *out_cos) {
    static const float sins[] = TN_SIN_POLY, coss[] = TN_COS_POLY;
    LLVMTypeRef t = LLVMTypeOf(f), ti = shaped(t, b->t_i32);
    LLVMValueRef k = tn_build_rint(b, tn_build_fmul(b, f, K(4.0f)));
    LLVMValueRef g = tn_build_fma(b, k, K(-0.25f), f);
    LLVMValueRef y = tn_build_fmul(b, g, K(TN_TWO_PI)), z = tn_build_fmul(b, y, y);
    LLVMValueRef ps = horner(b, sins, (int)TN_COUNT(sins), z), pc = horner(b, coss, (int)TN_COUNT(coss), z);
    ps = tn_build_fma(b, tn_build_fmul(b, ps, z), y, y);
    LLVMValueRef q = tn_build_fp_to_si(b, k, ti), zero = LLVMConstNull(ti);
    LLVMValueRef odd = tn_build_icmp(b, LLVMIntNE, tn_build_and(b, q, KI(1)), zero);
    LLVMValueRef q1 = tn_build_add(b, q, KI(1));
    LLVMValueRef neg_s = tn_build_icmp(b, LLVMIntNE, tn_build_and(b, q, KI(2)), zero);
    LLVMValueRef neg_c = tn_build_icmp(b, LLVMIntNE, tn_build_and(b, q1, KI(2)), zero);
    LLVMValueRef s = tn_build_select(b, odd, pc, ps), c = tn_build_select(b, odd, ps, pc);
    *out_sin = tn_build_select(b, neg_s, tn_build_fneg(b, s), s);
    *out_cos = tn_build_select(b, neg_c, tn_build_fneg(b, c), c);
#undef K
#undef KI
}

/* ---- Lanes */

LLVMValueRef tn_build_extract(TnBuilder *b, LLVMValueRef v, int lane) {
    return LLVMBuildExtractElement(b->b, v, tn_build_i32(b, lane), "");
}

LLVMValueRef tn_build_insert(TnBuilder *b, LLVMValueRef v, LLVMValueRef x, int lane) {
    return LLVMBuildInsertElement(b->b, v, x, tn_build_i32(b, lane), "");
}

LLVMValueRef tn_build_shuffle(TnBuilder *b, LLVMValueRef v, LLVMValueRef w, const int *lane, int n) {
    LLVMValueRef e[128];
    TN_CHECK(n <= 128);
    for (int i = 0; i < n; i++) e[i] = tn_build_i32(b, lane[i]);
    if (!w) w = LLVMGetPoison(LLVMTypeOf(v));
    return LLVMBuildShuffleVector(b->b, v, w, LLVMConstVector(e, (unsigned)n), "");
}

LLVMValueRef tn_build_lanes(TnBuilder *b, LLVMValueRef v, int first, int n) {
    int lane[64];
    TN_CHECK(n <= 64);
    for (int i = 0; i < n; i++) lane[i] = first + i;
    return tn_build_shuffle(b, v, NULL, lane, n);
}

static LLVMValueRef fold2(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, TnFold fold) {
    switch (fold) {
    case TN_FOLD_FADD:
        return tn_build_fadd(b, x, y);
    case TN_FOLD_ADD:
        return tn_build_add(b, x, y);
    case TN_FOLD_UMAX:
        return tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, x, y), x, y);
    case TN_FOLD_FMAX:
        return tn_build_fmax(b, x, y);
    }
    TN_BUG("fold %d", (int)fold);
}

LLVMValueRef tn_build_tree(TnBuilder *b, LLVMValueRef v, TnFold fold) {
    int n = (int)LLVMGetVectorSize(LLVMTypeOf(v));
    for (; n > 2; n /= 2)
        v = fold2(b, tn_build_lanes(b, v, 0, n / 2), tn_build_lanes(b, v, n / 2, n / 2), fold);
    return fold2(b, tn_build_extract(b, v, 0), tn_build_extract(b, v, 1), fold);
}

/* Each vector holds segments of `seg` lanes; each segment belongs to one of the n inputs. A step folds the
 * halves of every segment of two vectors and puts the results into one vector. */
LLVMValueRef tn_build_trees(TnBuilder *b, LLVMValueRef *v, int n, TnFold fold) {
    TN_CHECK(n >= 2 && n <= 64);
    for (int seg = n, m = n; m > 1; seg /= 2, m /= 2)
        for (int i = 0; i < m / 2; i++) {
            int lo[64], hi[64];
            for (int j = 0; j < n; j++) {
                int segment = j / (seg / 2), at = j % (seg / 2);
                lo[j] = segment * seg + at;
                hi[j] = lo[j] + seg / 2;
            }
            LLVMValueRef x = v[2 * i], y = v[2 * i + 1];
            v[i] = fold2(b, tn_build_shuffle(b, x, y, lo, n), tn_build_shuffle(b, x, y, hi, n), fold);
        }
    return v[0];
}
