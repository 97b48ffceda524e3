#include "codegen/llvm/build.h"
#include "codegen/llvm/llvm.h"

#include <stdio.h>
#include <string.h>
#include "runtime/base/fmath.h"

/* How LLVM's code of each level is made; levels.def has the rest. */
static const TnLevel levels[] = {
    {TN_LEVEL_AVX2, TN_DOT_MADDUBS, 32, false},
    {TN_LEVEL_AVX512_VNNI, TN_DOT_VNNI, 64, false},
    {TN_LEVEL_AMX, TN_DOT_VNNI, 64, true},
    {TN_LEVEL_NEON_DOTPROD, TN_DOT_SDOT, 16, false},
};

const TnLevel *tn_llvm_level(const char *name) {
    const TnLevelRow *row = name ? tn_level_named(name) : NULL;
    for (size_t i = 0; row && i < TN_COUNT(levels); i++)
        if (levels[i].number == row->number) return &levels[i];
    return NULL;
}

const char *tn_llvm_triple(const TnLevel *level) {
    return tn_level_numbered(level->number)->arch == TN_ARCH_AARCH64 ? "aarch64-unknown-linux-gnu"
                                                                     : "x86_64-unknown-linux-gnu";
}

int tn_llvm_x86_bytes(const char *level) {
    const TnLevel *l = tn_llvm_level(level);
    return l && tn_level_numbered(l->number)->arch == TN_ARCH_X86_64 ? l->bytes : 0;
}

/* ---- Values */

LLVMValueRef tn_lb_i64(TnLb *b, int64_t v) {
    return LLVMConstInt(b->t_i64, (uint64_t)v, 0);
}

LLVMValueRef tn_lb_i32(TnLb *b, int64_t v) {
    return LLVMConstInt(b->t_i32, (uint64_t)v, 0);
}

LLVMValueRef tn_lb_f32(TnLb *b, float v) {
    return LLVMConstBitCast(LLVMConstInt(b->t_i32, tn_f32_bits(v), 0), b->t_f32);
}

LLVMValueRef tn_lb_splat_const(TnLb *b, LLVMValueRef scalar, int lanes) {
    (void)b;
    LLVMValueRef e[256];
    TN_CHECK(lanes <= 256 && LLVMIsConstant(scalar));
    for (int i = 0; i < lanes; i++) e[i] = scalar;
    return LLVMConstVector(e, (unsigned)lanes);
}

LLVMValueRef tn_lb_splat(TnLb *b, LLVMValueRef scalar, int lanes) {
    if (LLVMIsConstant(scalar)) return tn_lb_splat_const(b, scalar, lanes);
    LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    LLVMValueRef v = LLVMBuildInsertElement(b->b, LLVMGetPoison(t), scalar, tn_lb_i32(b, 0), "");
    return LLVMBuildShuffleVector(b->b, v, LLVMGetPoison(t),
                                  LLVMConstNull(LLVMVectorType(b->t_i32, (unsigned)lanes)), "");
}

LLVMValueRef tn_lb_vf(TnLb *b, float v) {
    return tn_lb_splat_const(b, tn_lb_f32(b, v), TN_LANES);
}

LLVMValueRef tn_lb_vi(TnLb *b, int32_t v) {
    return tn_lb_splat_const(b, tn_lb_i32(b, v), TN_LANES);
}

LLVMValueRef tn_lb_iota(TnLb *b, int lanes) {
    LLVMValueRef e[64];
    TN_CHECK(lanes <= 64);
    for (int i = 0; i < lanes; i++) e[i] = tn_lb_i32(b, i);
    return LLVMConstVector(e, (unsigned)lanes);
}

LLVMValueRef tn_lb_min(TnLb *b, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(b->b, LLVMBuildICmp(b->b, LLVMIntSLT, x, y, ""), x, y, "");
}

LLVMValueRef tn_lb_max(TnLb *b, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(b->b, LLVMBuildICmp(b->b, LLVMIntSGT, x, y, ""), x, y, "");
}

/* ---- Memory */

LLVMValueRef tn_lb_at(TnLb *b, LLVMValueRef ptr, LLVMValueRef bytes) {
    return LLVMBuildGEP2(b->b, b->t_i8, ptr, &bytes, 1, "");
}

LLVMValueRef tn_lb_atc(TnLb *b, LLVMValueRef ptr, int64_t bytes) {
    return bytes ? tn_lb_at(b, ptr, tn_lb_i64(b, bytes)) : ptr;
}

LLVMValueRef tn_lb_elem(TnLb *b, LLVMValueRef ptr, LLVMValueRef index, int64_t elem_bytes) {
    return tn_lb_at(b, ptr, LLVMBuildMul(b->b, index, tn_lb_i64(b, elem_bytes), ""));
}

LLVMValueRef tn_lb_load(TnLb *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align) {
    LLVMValueRef v = LLVMBuildLoad2(b->b, type, ptr, "");
    LLVMSetAlignment(v, align);
    return v;
}

void tn_lb_store(TnLb *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align) {
    LLVMSetAlignment(LLVMBuildStore(b->b, value, ptr), align);
}

LLVMValueRef tn_lb_load_masked(TnLb *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align,
                               LLVMValueRef mask) {
    if (!mask) return tn_lb_load(b, type, ptr, align);
    LLVMTypeRef overload[] = {type, b->t_ptr};
    LLVMValueRef args[] = {ptr, tn_lb_i32(b, align), mask, LLVMConstNull(type)};
    return tn_lb_call(b, "llvm.masked.load", overload, 2, args, 4);
}

void tn_lb_store_masked(TnLb *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align, LLVMValueRef mask) {
    if (!mask) {
        tn_lb_store(b, value, ptr, align);
        return;
    }
    LLVMTypeRef overload[] = {LLVMTypeOf(value), b->t_ptr};
    LLVMValueRef args[] = {value, ptr, tn_lb_i32(b, align), mask};
    tn_lb_call(b, "llvm.masked.store", overload, 2, args, 4);
}

static int64_t elem_bytes(TnLb *b, LLVMTypeRef vector) {
    LLVMTypeRef e = LLVMGetElementType(vector);
    if (e == b->t_f32) return 4;
    TN_CHECK(LLVMGetTypeKind(e) == LLVMIntegerTypeKind);
    return LLVMGetIntTypeWidth(e) / 8;
}

void tn_lb_store_first(TnLb *b, LLVMValueRef value, LLVMValueRef ptr, int n) {
    int lanes = (int)LLVMGetVectorSize(LLVMTypeOf(value)), at = 0;
    int64_t bytes = elem_bytes(b, LLVMTypeOf(value));
    for (int piece = lanes; piece > 0; piece /= 2) {
        if (at + piece > n) continue;
        LLVMValueRef part = piece == lanes ? value
                            : piece == 1   ? tn_lb_extract(b, value, at)
                                           : tn_lb_lanes(b, value, at, piece);
        tn_lb_store(b, part, tn_lb_atc(b, ptr, at * bytes), (unsigned)bytes);
        at += piece;
    }
}

void tn_lb_prefetch(TnLb *b, LLVMValueRef ptr, int level) {
    static const int locality[] = {0, 3, 2};
    LLVMValueRef args[] = {ptr, tn_lb_i32(b, 0), tn_lb_i32(b, locality[level]), tn_lb_i32(b, 1)};
    tn_lb_call(b, "llvm.prefetch", &b->t_ptr, 1, args, 4);
}

void tn_lb_ahead(TnLb *b, LLVMValueRef ptr) {
    if (b->k->near) tn_lb_prefetch(b, tn_lb_atc(b, ptr, b->k->near), 1);
    if (b->k->far) tn_lb_prefetch(b, tn_lb_atc(b, ptr, b->k->far), 2);
}

void tn_lb_ahead_name(const TnLb *b, char *name, size_t size) {
    size_t n = strlen(name);
    snprintf(name + n, size - n, "_%lld_%lld", (long long)b->k->near, (long long)b->k->far);
}

LLVMValueRef tn_lb_mask_below(TnLb *b, LLVMValueRef n, int lanes) {
    LLVMValueRef n32 = LLVMBuildTrunc(b->b, n, b->t_i32, "");
    return LLVMBuildICmp(b->b, LLVMIntSLT, tn_lb_iota(b, lanes), tn_lb_splat(b, n32, lanes), "");
}

LLVMValueRef tn_lb_mask_const(TnLb *b, int64_t n, int lanes) {
    LLVMValueRef e[64];
    TN_CHECK(lanes <= 64);
    for (int i = 0; i < lanes; i++) e[i] = LLVMConstInt(b->t_i1, i < n, 0);
    return LLVMConstVector(e, (unsigned)lanes);
}

LLVMValueRef tn_lb_mask_block(TnLb *b, int64_t n, int64_t at, int lanes) {
    return n - at >= lanes ? NULL : tn_lb_mask_const(b, n - at, lanes);
}

int64_t tn_enc_bytes(TnEnc enc) {
    TN_CHECK(tn_encs[enc].block_elems == 1);
    return tn_encs[enc].block_bytes;
}

LLVMValueRef tn_lb_load_wide(TnLb *b, TnEnc enc, LLVMValueRef ptr) {
    if (enc == TN_ENC_f32) return tn_lb_load(b, b->t_f32x, ptr, 4);
    LLVMValueRef v = tn_lb_load(b, LLVMVectorType(b->t_i16, TN_LANES), ptr, 2);
    TN_CHECK(enc == TN_ENC_f16 || enc == TN_ENC_bf16);
    return enc == TN_ENC_f16 ? tn_lb_widen_f16(b, v) : tn_lb_widen_bf16(b, v);
}

/* ---- Arithmetic */

LLVMValueRef tn_lb_call(TnLb *b, const char *intrinsic, LLVMTypeRef *overload, unsigned n_overload,
                        LLVMValueRef *args, unsigned n) {
    unsigned id = LLVMLookupIntrinsicID(intrinsic, strlen(intrinsic));
    if (!id) TN_BUG("LLVM has no intrinsic %s", intrinsic);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(b->m, id, overload, n_overload);
    LLVMTypeRef type = LLVMGlobalGetValueType(fn), params[8];
    TN_CHECK(n <= 8 && LLVMCountParamTypes(type) == n);
    LLVMGetParamTypes(type, params);
    LLVMValueRef a[8];
    for (unsigned i = 0; i < n; i++)
        a[i] = LLVMTypeOf(args[i]) == params[i] ? args[i] : LLVMBuildBitCast(b->b, args[i], params[i], "");
    return LLVMBuildCall2(b->b, type, fn, a, n, "");
}

LLVMValueRef tn_lb_fma(TnLb *b, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z) {
    LLVMTypeRef t = LLVMTypeOf(x);
    LLVMValueRef args[] = {x, y, z};
    return tn_lb_call(b, "llvm.fma", &t, 1, args, 3);
}

LLVMValueRef tn_lb_rint(TnLb *b, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    return tn_lb_call(b, "llvm.rint", &t, 1, &x, 1);
}

LLVMValueRef tn_lb_sqrt(TnLb *b, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    return tn_lb_call(b, "llvm.sqrt", &t, 1, &x, 1);
}

LLVMValueRef tn_lb_fmax(TnLb *b, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(b->b, LLVMBuildFCmp(b->b, LLVMRealOGT, x, y, ""), x, y, "");
}

LLVMValueRef tn_lb_fmin(TnLb *b, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(b->b, LLVMBuildFCmp(b->b, LLVMRealOLT, x, y, ""), x, y, "");
}

static bool is_vector(LLVMTypeRef t) {
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind;
}

/* The type `elem` in the shape of `like`. */
static LLVMTypeRef shaped(LLVMTypeRef like, LLVMTypeRef elem) {
    return is_vector(like) ? LLVMVectorType(elem, LLVMGetVectorSize(like)) : elem;
}

/* A constant in the shape of `like`. */
static LLVMValueRef shaped_const(TnLb *b, LLVMTypeRef like, LLVMValueRef scalar) {
    return is_vector(like) ? tn_lb_splat_const(b, scalar, (int)LLVMGetVectorSize(like)) : scalar;
}

LLVMValueRef tn_lb_bits(TnLb *b, LLVMValueRef x) {
    return LLVMBuildBitCast(b->b, x, shaped(LLVMTypeOf(x), b->t_i32), "");
}

LLVMValueRef tn_lb_float_of(TnLb *b, LLVMValueRef bits) {
    return LLVMBuildBitCast(b->b, bits, shaped(LLVMTypeOf(bits), b->t_f32), "");
}

LLVMValueRef tn_lb_widen_f16(TnLb *b, LLVMValueRef i16s) {
    LLVMTypeRef t = LLVMTypeOf(i16s);
    LLVMValueRef h = LLVMBuildBitCast(b->b, i16s, shaped(t, b->t_f16), "");
    return LLVMBuildFPExt(b->b, h, shaped(t, b->t_f32), "");
}

LLVMValueRef tn_lb_widen_bf16(TnLb *b, LLVMValueRef i16s) {
    LLVMTypeRef t = LLVMTypeOf(i16s);
    LLVMValueRef w = LLVMBuildZExt(b->b, i16s, shaped(t, b->t_i32), "");
    return tn_lb_float_of(b, LLVMBuildShl(b->b, w, shaped_const(b, t, tn_lb_i32(b, 16)), ""));
}

LLVMValueRef tn_lb_widen_i8(TnLb *b, LLVMValueRef i8s) {
    LLVMTypeRef t = LLVMTypeOf(i8s);
    return LLVMBuildSIToFP(b->b, i8s, shaped(t, b->t_f32), "");
}

LLVMValueRef tn_lb_quant_factor(TnLb *b, LLVMValueRef bits, LLVMValueRef *out_scale) {
    LLVMValueRef least = tn_lb_bits(b, tn_lb_f32(b, 1e-5f)), k127 = tn_lb_f32(b, 127.0f);
    bits = LLVMBuildSelect(b->b, LLVMBuildICmp(b->b, LLVMIntUGT, bits, least, ""), bits, least, "");
    LLVMValueRef a = tn_lb_float_of(b, bits);
    *out_scale = LLVMBuildFDiv(b->b, a, k127, "");
    return LLVMBuildFDiv(b->b, k127, a, "");
}

LLVMValueRef tn_lb_quant(TnLb *b, LLVMValueRef x, LLVMValueRef factor) {
    LLVMTypeRef t = LLVMTypeOf(x), ti = shaped(t, b->t_i32);
    LLVMValueRef v = tn_lb_rint(b, LLVMBuildFMul(b->b, x, factor, ""));
    LLVMValueRef is_nan = LLVMBuildFCmp(b->b, LLVMRealUNO, v, v, "");
    /* NaN becomes 127 here and 0 below: no conversion sees it */
    v = tn_lb_fmin(b, v, shaped_const(b, t, tn_lb_f32(b, 127.0f)));
    v = tn_lb_fmax(b, v, shaped_const(b, t, tn_lb_f32(b, -127.0f)));
    return LLVMBuildSelect(b->b, is_nan, LLVMConstNull(ti), LLVMBuildFPToSI(b->b, v, ti, ""), "");
}

LLVMValueRef tn_lb_narrow_f16_sat(TnLb *b, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    LLVMValueRef hi = shaped_const(b, t, tn_lb_f32(b, 65504.0f)),
                 lo = shaped_const(b, t, tn_lb_f32(b, -65504.0f));
    LLVMValueRef mask = shaped_const(b, t, tn_lb_i32(b, 0x7fffffff)), wild = x;
    wild = LLVMBuildAnd(b->b, tn_lb_bits(b, wild), mask, "");
    wild = LLVMBuildICmp(b->b, LLVMIntEQ, wild, shaped_const(b, t, tn_lb_i32(b, 0x7f800000)), "");
    /* NaN compares false and stays */
    LLVMValueRef y = LLVMBuildSelect(b->b, LLVMBuildFCmp(b->b, LLVMRealOGT, x, hi, ""), hi, x, "");
    y = LLVMBuildSelect(b->b, LLVMBuildFCmp(b->b, LLVMRealOLT, y, lo, ""), lo, y, "");
    x = LLVMBuildSelect(b->b, wild, x, y, "");
    LLVMValueRef h = LLVMBuildFPTrunc(b->b, x, shaped(t, b->t_f16), "");
    return LLVMBuildBitCast(b->b, h, shaped(t, b->t_i16), "");
}

/* The polynomial c[0] r^(n-1) + .. + c[n-1] by Horner in fma. */
static LLVMValueRef horner(TnLb *b, const float *c, int n, LLVMValueRef r) {
    LLVMTypeRef t = LLVMTypeOf(r);
    LLVMValueRef p = shaped_const(b, t, tn_lb_f32(b, c[0]));
    for (int i = 1; i < n; i++) p = tn_lb_fma(b, p, r, shaped_const(b, t, tn_lb_f32(b, c[i])));
    return p;
}

LLVMValueRef tn_lb_exp(TnLb *b, LLVMValueRef x) {
    static const float poly[] = TN_EXP_POLY;
    LLVMTypeRef t = LLVMTypeOf(x), ti = shaped(t, b->t_i32);
#define K(v)  shaped_const(b, t, tn_lb_f32(b, v))
#define KI(v) shaped_const(b, t, tn_lb_i32(b, v))
    LLVMValueRef y = tn_lb_fmin(b, x, K(TN_EXP_HI));
    y = tn_lb_fmax(b, y, K(TN_EXP_LO));
    LLVMValueRef n = tn_lb_rint(b, LLVMBuildFMul(b->b, y, K(TN_EXP_LOG2E), ""));
    LLVMValueRef r = tn_lb_fma(b, n, K(-TN_EXP_LN2_HI), y);
    r = tn_lb_fma(b, n, K(-TN_EXP_LN2_LO), r);
    LLVMValueRef p = horner(b, poly, (int)TN_COUNT(poly), r);
    LLVMValueRef e = LLVMBuildAdd(b->b, LLVMBuildFPToSI(b->b, n, ti, ""), KI(127), "");
    p = LLVMBuildFMul(b->b, p, tn_lb_float_of(b, LLVMBuildShl(b->b, e, KI(23), "")), "");
    p = LLVMBuildSelect(b->b, LLVMBuildFCmp(b->b, LLVMRealOLT, x, K(TN_EXP_LO), ""), K(0.0f), p, "");
    return LLVMBuildSelect(b->b, LLVMBuildFCmp(b->b, LLVMRealUNO, x, x, ""), x, p, "");
}

void tn_lb_sincos_turn(TnLb *b, LLVMValueRef f, LLVMValueRef *out_sin, LLVMValueRef *out_cos) {
    static const float sins[] = TN_SIN_POLY, coss[] = TN_COS_POLY;
    LLVMTypeRef t = LLVMTypeOf(f), ti = shaped(t, b->t_i32);
    LLVMValueRef k = tn_lb_rint(b, LLVMBuildFMul(b->b, f, K(4.0f), ""));
    LLVMValueRef g = tn_lb_fma(b, k, K(-0.25f), f);
    LLVMValueRef y = LLVMBuildFMul(b->b, g, K(TN_TWO_PI), ""), z = LLVMBuildFMul(b->b, y, y, "");
    LLVMValueRef ps = horner(b, sins, (int)TN_COUNT(sins), z), pc = horner(b, coss, (int)TN_COUNT(coss), z);
    ps = tn_lb_fma(b, LLVMBuildFMul(b->b, ps, z, ""), y, y);
    LLVMValueRef q = LLVMBuildFPToSI(b->b, k, ti, ""), zero = LLVMConstNull(ti);
    LLVMValueRef odd = LLVMBuildICmp(b->b, LLVMIntNE, LLVMBuildAnd(b->b, q, KI(1), ""), zero, "");
    LLVMValueRef q1 = LLVMBuildAdd(b->b, q, KI(1), "");
    LLVMValueRef neg_s = LLVMBuildICmp(b->b, LLVMIntNE, LLVMBuildAnd(b->b, q, KI(2), ""), zero, "");
    LLVMValueRef neg_c = LLVMBuildICmp(b->b, LLVMIntNE, LLVMBuildAnd(b->b, q1, KI(2), ""), zero, "");
    LLVMValueRef s = LLVMBuildSelect(b->b, odd, pc, ps, ""), c = LLVMBuildSelect(b->b, odd, ps, pc, "");
    *out_sin = LLVMBuildSelect(b->b, neg_s, LLVMBuildFNeg(b->b, s, ""), s, "");
    *out_cos = LLVMBuildSelect(b->b, neg_c, LLVMBuildFNeg(b->b, c, ""), c, "");
#undef K
#undef KI
}

/* ---- Lanes */

LLVMValueRef tn_lb_extract(TnLb *b, LLVMValueRef v, int lane) {
    return LLVMBuildExtractElement(b->b, v, tn_lb_i32(b, lane), "");
}

LLVMValueRef tn_lb_insert(TnLb *b, LLVMValueRef v, LLVMValueRef x, int lane) {
    return LLVMBuildInsertElement(b->b, v, x, tn_lb_i32(b, lane), "");
}

LLVMValueRef tn_lb_shuffle(TnLb *b, LLVMValueRef v, LLVMValueRef w, const int *lane, int n) {
    LLVMValueRef e[128];
    TN_CHECK(n <= 128);
    for (int i = 0; i < n; i++) e[i] = tn_lb_i32(b, lane[i]);
    if (!w) w = LLVMGetPoison(LLVMTypeOf(v));
    return LLVMBuildShuffleVector(b->b, v, w, LLVMConstVector(e, (unsigned)n), "");
}

LLVMValueRef tn_lb_lanes(TnLb *b, LLVMValueRef v, int first, int n) {
    int lane[64];
    TN_CHECK(n <= 64);
    for (int i = 0; i < n; i++) lane[i] = first + i;
    return tn_lb_shuffle(b, v, NULL, lane, n);
}

static LLVMValueRef fold2(TnLb *b, LLVMValueRef x, LLVMValueRef y, TnFold fold) {
    switch (fold) {
    case TN_FOLD_FADD:
        return LLVMBuildFAdd(b->b, x, y, "");
    case TN_FOLD_ADD:
        return LLVMBuildAdd(b->b, x, y, "");
    case TN_FOLD_UMAX:
        return LLVMBuildSelect(b->b, LLVMBuildICmp(b->b, LLVMIntUGT, x, y, ""), x, y, "");
    case TN_FOLD_FMAX:
        return tn_lb_fmax(b, x, y);
    }
    TN_BUG("fold %d", (int)fold);
}

LLVMValueRef tn_lb_tree(TnLb *b, LLVMValueRef v, TnFold fold) {
    int n = (int)LLVMGetVectorSize(LLVMTypeOf(v));
    for (; n > 2; n /= 2) v = fold2(b, tn_lb_lanes(b, v, 0, n / 2), tn_lb_lanes(b, v, n / 2, n / 2), fold);
    return fold2(b, tn_lb_extract(b, v, 0), tn_lb_extract(b, v, 1), fold);
}

/* Each vector holds segments of `seg` lanes, one a row; a step folds the halves of all segments of two
 * vectors into one. */
LLVMValueRef tn_lb_trees(TnLb *b, LLVMValueRef *v, int n, TnFold fold) {
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
            v[i] = fold2(b, tn_lb_shuffle(b, x, y, lo, n), tn_lb_shuffle(b, x, y, hi, n), fold);
        }
    return v[0];
}
