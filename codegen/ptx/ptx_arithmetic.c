#include "codegen/ptx/ptx_arithmetic.h"

#include "runtime/base/fmath.h"
#include "runtime/base/status.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static TnPxV f32(float v) {
    return tn_px_f(v);
}

/* ---- a lane by itself */

TnPxV tn_px_fmax(TnPx *x, TnPxV a, TnPxV b) {
    return PX(x, sel_f, a, b, PX(x, gt_f, a, b));
}
TnPxV tn_px_fmin(TnPx *x, TnPxV a, TnPxV b) {
    return PX(x, sel_f, a, b, PX(x, lt_f, a, b));
}

/* The polynomial c[0] r^(n-1) + .. + c[n-1], by Horner's rule with fma. */
static TnPxV horner(TnPx *x, const float *c, size_t n, TnPxV r) {
    TnPxV p = f32(c[0]);
    for (size_t i = 1; i < n; i++) p = PX(x, fma_f, p, r, f32(c[i]));
    return p;
}

TnPxV tn_px_exp(TnPx *x, TnPxV v) {
    static const float poly[] = TN_EXP_POLY;
    TnPxV y = tn_px_fmax(x, tn_px_fmin(x, v, f32(TN_EXP_HI)), f32(TN_EXP_LO));
    TnPxV n = PX(x, rint, PX(x, mul_f, y, f32(TN_EXP_LOG2E)));
    TnPxV r = PX(x, fma_f, n, f32(-TN_EXP_LN2_HI), y);
    r = PX(x, fma_f, n, f32(-TN_EXP_LN2_LO), r);
    TnPxV p = horner(x, poly, COUNT(poly), r);
    TnPxV e = PX(x, add, PX(x, to_s32, n), tn_px_u(127));
    p = PX(x, mul_f, p, PX(x, floats, PX(x, shl, e, tn_px_u(23))));
    p = PX(x, sel_f, f32(0.0f), p, PX(x, lt_f, v, f32(TN_EXP_LO)));
    return PX(x, sel_f, v, p, PX(x, nan_f, v, v));
}

TnPxV tn_px_gelu(TnPx *x, TnPxV v) {
    static const float poly[] = TN_GELU_POLY;
    TnPxV one = f32(1.0f), size = tn_px_fmax(x, v, PX(x, neg_f, v));
    TnPxV t = PX(x, div_f, one, PX(x, fma_f, size, f32(TN_GELU_STEP), one));
    TnPxV p = horner(x, poly, COUNT(poly), t);
    p = PX(x, mul_f, p, tn_px_exp(x, PX(x, mul_f, PX(x, mul_f, v, v), f32(-0.5f))));
    TnPxV left = PX(x, lt_f, v, f32(0.0f));
    TnPxV y = PX(x, mul_f, v, PX(x, sel_f, p, PX(x, sub_f, one, p), left));
    return PX(x, sel_f, f32(-0.0f), y, PX(x, lt_f, v, f32(TN_GELU_LO)));
}

TnPxV tn_px_gelu_tanh(TnPx *x, TnPxV v) {
    TnPxV u = PX(x, fma_f, PX(x, mul_f, v, v), f32(TN_GELU_TANH_3), f32(TN_GELU_TANH_1));
    u = PX(x, mul_f, v, u);
    TnPxV y = PX(x, div_f, v, PX(x, add_f, f32(1.0f), tn_px_exp(x, u)));
    return PX(x, sel_f, f32(-0.0f), y, PX(x, gt_f, u, f32(TN_EXP_HI)));
}

TnPxV tn_px_silu(TnPx *x, TnPxV v) {
    TnPxV y = PX(x, div_f, v, PX(x, add_f, f32(1.0f), tn_px_exp(x, PX(x, neg_f, v))));
    return PX(x, sel_f, f32(-0.0f), y, PX(x, lt_f, v, f32(-TN_EXP_HI)));
}

void tn_px_sincos_turn(TnPx *x, TnPxV f, TnPxV *out_sin, TnPxV *out_cos) {
    static const float sins[] = TN_SIN_POLY, coss[] = TN_COS_POLY;
    TnPxV k = PX(x, rint, PX(x, mul_f, f, f32(4.0f)));
    TnPxV y = PX(x, mul_f, PX(x, fma_f, k, f32(-0.25f), f), f32(TN_TWO_PI)), z = PX(x, mul_f, y, y);
    TnPxV ps = horner(x, sins, COUNT(sins), z), pc = horner(x, coss, COUNT(coss), z);
    ps = PX(x, fma_f, PX(x, mul_f, ps, z), y, y);
    TnPxV q = PX(x, to_s32, k), zero = tn_px_u(0);
    TnPxV odd = PX(x, ne, PX(x, and, q, tn_px_u(1)), zero);
    TnPxV minus_s = PX(x, ne, PX(x, and, q, tn_px_u(2)), zero);
    TnPxV minus_c = PX(x, ne, PX(x, and, PX(x, add, q, tn_px_u(1)), tn_px_u(2)), zero);
    TnPxV s = PX(x, sel_f, pc, ps, odd), c = PX(x, sel_f, ps, pc, odd);
    *out_sin = PX(x, sel_f, PX(x, neg_f, s), s, minus_s);
    *out_cos = PX(x, sel_f, PX(x, neg_f, c), c, minus_c);
}

TnPxV tn_px_size_bits(TnPx *x, TnPxV v) {
    return PX(x, and, PX(x, bits, v), tn_px_u(0x7fffffff));
}

TnPxV tn_px_quant_factor(TnPx *x, TnPxV bits, TnPxV *out_scale) {
    TnPxV a = PX(x, floats, PX(x, max, bits, tn_px_u(tn_f32_bits(1e-5f))));
    *out_scale = PX(x, div_f, a, f32(127.0f));
    return PX(x, div_f, f32(127.0f), a);
}

TnPxV tn_px_quant(TnPx *x, TnPxV v, TnPxV factor) {
    TnPxV r = PX(x, rint, PX(x, mul_f, v, factor)), wild = PX(x, nan_f, r, r);
    /* a NaN becomes 127 here and 0 below */
    r = tn_px_fmax(x, tn_px_fmin(x, r, f32(127.0f)), f32(-127.0f));
    return PX(x, sel, tn_px_u(0), PX(x, to_s32, r), wild);
}

TnPxV tn_px_narrow_f16_sat(TnPx *x, TnPxV v) {
    TnPxV wild = PX(x, eq, tn_px_size_bits(x, v), tn_px_u(0x7f800000));
    TnPxV y = PX(x, sel_f, f32(65504.0f), v, PX(x, gt_f, v, f32(65504.0f))); /* NaN stays */
    y = PX(x, sel_f, f32(-65504.0f), y, PX(x, lt_f, y, f32(-65504.0f)));
    return PX(x, to_f16, PX(x, sel_f, v, y, wild));
}

TnPxV tn_px_order(TnPx *x, TnPxV v) {
    TnPxV u = PX(x, bits, PX(x, add_f, v, f32(0.0f))); /* -0 + 0 = +0 */
    TnPxV minus = PX(x, lt_s, u, tn_px_u(0));
    return PX(x, sel, PX(x, not, u), PX(x, or, u, tn_px_u(0x80000000u)), minus);
}

/* ---- elements */

TnPxV tn_px_index(TnPx *x, TnPxV base, TnPxV index, uint32_t bytes) {
    TnPxV at = base.kind == 'd' || base.kind == 'r' ? tn_px_at(base, 0) : base;
    TN_CHECK(at.kind == 'G' || at.kind == 'S');
    if (index.number) return tn_px_at(at, (int64_t)(uint32_t)index.bits * bytes);
    TnPxV reg = {.kind = at.kind == 'G' ? 'd' : 'r', .reg = at.reg};
    if (at.kind == 'G')
        reg = PX(x, mad_wide, index, tn_px_u(bytes), reg);
    else
        reg = bytes == 1 ? PX(x, add, index, reg) : PX(x, mad, index, tn_px_u(bytes), reg);
    return tn_px_at(reg, (int64_t)at.bits);
}

static const uint32_t elem_bytes[] = {4, 4, 2, 2, 1, 1};

TnPxV tn_px_get(TnPx *x, TnPxV base, TnPxV index, TnPxElem e) {
    TnPxV at = tn_px_index(x, base, index, elem_bytes[e]);
    bool global = at.kind == 'G';
    switch (e) {
    case TN_PX_F32:
        return global ? PX(x, ld_f, at) : PX(x, lds_f, at);
    case TN_PX_U32:
        return global ? PX(x, ld, at) : PX(x, lds, at);
    case TN_PX_F16:
        return PX(x, from_f16, global ? PX(x, ld_h, at) : PX(x, lds_h, at));
    case TN_PX_BF16: {
        TnPxV h = PX(x, from_half, global ? PX(x, ld_h, at) : PX(x, lds_h, at));
        return PX(x, floats, PX(x, shl, h, tn_px_u(16)));
    }
    case TN_PX_S8:
        return global ? PX(x, ld_s8, at) : PX(x, lds_s8, at);
    case TN_PX_U8:
        return global ? PX(x, ld_u8, at) : PX(x, lds_u8, at);
    }
    TN_BUG("element %d", (int)e);
}

void tn_px_put(TnPx *x, TnPxV base, TnPxV index, TnPxElem e, TnPxV v) {
    TnPxV at = tn_px_index(x, base, index, elem_bytes[e]);
    bool global = at.kind == 'G';
    switch (e) {
    case TN_PX_F32:
        (void)(global ? PX(x, st_f, at, v) : PX(x, sts_f, at, v));
        return;
    case TN_PX_U32:
        (void)(global ? PX(x, st, at, v) : PX(x, sts, at, v));
        return;
    case TN_PX_F16:
        (void)(global ? PX(x, st_h, at, v) : PX(x, sts_h, at, v));
        return;
    case TN_PX_S8:
    case TN_PX_U8:
        (void)(global ? PX(x, st_u8, at, v) : PX(x, sts_u8, at, v));
        return;
    case TN_PX_BF16:
        break;
    }
    TN_BUG("element %d is not written by kernels", (int)e);
}

void tn_px_put_if(TnPx *x, TnPxV p, TnPxV base, TnPxV index, TnPxElem e, TnPxV v) {
    TnPxV at = tn_px_index(x, base, index, elem_bytes[e]);
    tn_px_when(x, p);
    tn_px_put(x, at, tn_px_u(0), e, v);
}

/* ---- warps */

TnPxV tn_px_lane(TnPx *x) {
    return PX(x, and, tn_px_special(x, TN_PX_tid), tn_px_u(31));
}
TnPxV tn_px_warp(TnPx *x) {
    return PX(x, shr, tn_px_special(x, TN_PX_tid), tn_px_u(5));
}

/* v of the lane whose number differs in the bits `apart`. */
static TnPxV other(TnPx *x, TnPxV v, int apart) {
    TnPxV i = tn_px_i(apart), last = tn_px_i(31), all = tn_px_i(-1);
    if (v.kind == 'f') return PX(x, bfly_f, v, i, last, all);
    if (v.kind == 'r') return PX(x, bfly, v, i, last, all);
    TN_CHECK(v.kind == 'g');
    TnPxV words[2];
    PX_MANY(x, words, words, PX(x, bits_g, v));
    TnPxV lo = PX(x, bfly, words[0], i, last, all), hi = PX(x, bfly, words[1], i, last, all);
    return PX(x, doubles, PX(x, join_d, lo, hi));
}

TnPxV tn_px_tree(TnPx *x, TnPxV v) {
    for (int apart = 16; apart; apart /= 2)
        v = v.kind == 'f' ? PX(x, add_f, v, other(x, v, apart)) : PX(x, add_g, v, other(x, v, apart));
    return v;
}

typedef enum Fold { SUM, MAX, MIN } Fold;

static TnPxV fold2(TnPx *x, Fold fold, TnPxV a, TnPxV b) {
    return fold == SUM ? PX(x, add, a, b) : fold == MAX ? PX(x, max, a, b) : PX(x, min, a, b);
}
static TnPxV fold_warp(TnPx *x, Fold fold, TnPxV v) {
    for (int apart = 16; apart; apart /= 2) v = fold2(x, fold, v, other(x, v, apart));
    return v;
}
TnPxV tn_px_warp_sum(TnPx *x, TnPxV v) {
    return fold_warp(x, SUM, v);
}
TnPxV tn_px_warp_max(TnPx *x, TnPxV v) {
    return fold_warp(x, MAX, v);
}
TnPxV tn_px_warp_min(TnPx *x, TnPxV v) {
    return fold_warp(x, MIN, v);
}

/* ---- CTAs */

static TnPxV fold_block(TnPx *x, Fold fold, TnPxV v) {
    TN_CHECK(x->threads && x->threads % 32 == 0 && !x->by_warps);
    v = fold_warp(x, fold, v);
    if (x->threads == 32) return v;
    uint32_t warps = x->threads / 32, slots = tn_px_shared(x, 4 * warps, 4);
    TnPxV first = PX(x, eq, tn_px_lane(x), tn_px_u(0));
    tn_px_put_if(x, first, tn_px_shared_at(x, slots), tn_px_warp(x), TN_PX_U32, v);
    tn_px_barrier(x);
    TnPxV all = PX(x, lds, tn_px_shared_at(x, slots));
    for (uint32_t i = 1; i < warps; i++)
        all = fold2(x, fold, all, PX(x, lds, tn_px_shared_at(x, slots + 4 * i)));
    return all;
}
TnPxV tn_px_block_sum(TnPx *x, TnPxV v) {
    return fold_block(x, SUM, v);
}
TnPxV tn_px_block_max(TnPx *x, TnPxV v) {
    return fold_block(x, MAX, v);
}
TnPxV tn_px_block_min(TnPx *x, TnPxV v) {
    return fold_block(x, MIN, v);
}

TnPxLoop tn_px_strided(TnPx *x, TnPxV end) {
    TN_CHECK(x->threads);
    if (x->by_warps) return tn_px_strided_lane(x, end);
    return tn_px_loop(x, tn_px_special(x, TN_PX_tid), end, tn_px_u(x->threads));
}
TnPxLoop tn_px_strided_lane(TnPx *x, TnPxV end) {
    return tn_px_loop(x, tn_px_lane(x), end, tn_px_u(32));
}
TnPxLoop tn_px_strided_warp(TnPx *x, TnPxV end) {
    if (x->by_warps) return tn_px_loop(x, tn_px_u(0), end, tn_px_u(1));
    return tn_px_loop(x, tn_px_warp(x), end, tn_px_u(x->threads / 32));
}
void tn_px_meet(TnPx *x) {
    (x->by_warps ? tn_px_barrier_warp : tn_px_barrier)(x);
}
TnPxV tn_px_team_shared(TnPx *x, uint32_t bytes) {
    uint32_t teams = x->by_warps ? x->threads / 32 : 1;
    TN_CHECK(bytes % 16 == 0 || teams == 1);
    TnPxV first = tn_px_shared_at(x, tn_px_shared(x, teams * bytes, 16));
    return x->by_warps ? tn_px_index(x, first, tn_px_warp(x), bytes) : first;
}
