/* limbs: a row as two limbs of codes, with the bounds of its error (ops.def, ir.h). */
#include "codegen/ptx/ops/ptx_ops.h"

#include <math.h>
#include "ir/shadow.h"
#include "runtime/base/half.h"

/* The limbs' code of a value, -8127 .. 8127. */
static TnPxV code(TnPx *x, TnPxV v, TnPxV factor) {
    TnPxV most = tn_px_f((float)TN_LIMBS_MOST), least = tn_px_f(-(float)TN_LIMBS_MOST);
    TnPxV r = PX(x, rint, PX(x, mul_f, v, factor)), wild = PX(x, nan_f, r, r);
    r = tn_px_fmax(x, tn_px_fmin(x, r, most), least);
    return PX(x, sel, tn_px_u(0), PX(x, to_s32, r), wild);
}

/* By a whole warp: the norms of x and of x - x^, in double and in the order "lanes", rounded up; then X and Y at words 3 and 4
 * of the row's head. */
static void bounds(TnPtx *b, TnPxV from, TnPxV out, uint32_t n, TnPxV factor, TnPxV d, TnPxV finite) {
    TnPx *x = &b->x;
    const uint32_t roundings = (n + 31) / 32 + 16;
    const double up = 1.0 + 0x1p-20, places = roundings * 0x1p-24 * 1.01;
    TnPxV squares = tn_px_var(x, tn_px_g(0.0)), errors = tn_px_var(x, tn_px_g(0.0));
    TnPxV minus_d = PX(x, neg_g, PX(x, to_f64, d));
    TnPxLoop l = tn_px_strided_lane(x, tn_px_u(n));
    TnPxV v = tn_px_get(x, from, l.i, TN_PX_F32), w = PX(x, to_f64, v);
    TnPxV e = PX(x, fma_g, minus_d, PX(x, s32_to_f64, code(x, v, factor)), w);
    PX_TO(x, squares, fma_g, w, w, squares);
    PX_TO(x, errors, fma_g, e, e, errors);
    tn_px_loop_end(x, &l);
    TnPxV norm = PX(x, mul_g, PX(x, sqrt_g, tn_px_tree(x, squares)), tn_px_g(up));
    TnPxV error = PX(x, mul_g, PX(x, sqrt_g, tn_px_tree(x, errors)), tn_px_g(up));
    error = PX(x, fma_g, tn_px_g(places), norm, error);
    TnPxV big = PX(x, add_f, PX(x, to_f32, norm), tn_px_f(0x1p-126f));
    TnPxV wide = PX(x, add_f, PX(x, to_f32, error), tn_px_f(0x1p-126f)), all = tn_px_f(INFINITY);
    TnPxV first = PX(x, eq, b->tid, tn_px_u(0));
    tn_px_put_if(x, first, out, tn_px_u(3), TN_PX_F32, PX(x, sel_f, big, all, finite));
    tn_px_put_if(x, first, out, tn_px_u(4), TN_PX_F32, PX(x, sel_f, wide, all, finite));
}

static void limbs(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TN_CHECK(!f->width.kind);
    TnPx *x = &b->x;
    TnRef in = b->g->nodes[ref].args[0];
    uint32_t n = (uint32_t)tn_ptx_cols(b, in);
    uint32_t padded = (uint32_t)(tn_row_bytes(&b->g->nodes[ref].type) - TN_Q14_HEAD) / 2;
    TnPxV from = tn_ptx_mem(b, f, in), out = tn_ptx_result(b, f, ref);
    TnPxV top = tn_px_var(x, tn_px_u(tn_f32_bits(0x1p-100f)));
    TnPxLoop l = tn_px_strided(x, tn_px_u(n));
    PX_TO(x, top, max, top, tn_px_size_bits(x, tn_px_get(x, from, l.i, TN_PX_F32)));
    tn_px_loop_end(x, &l);
    TnPxV a = PX(x, floats, tn_px_block_max(x, top)), most = tn_px_f((float)TN_LIMBS_MOST),
          zero = tn_px_f(0.0f);
    TnPxV finite = PX(x, lt_f, a, tn_px_f(INFINITY));
    TnPxV factor = PX(x, sel_f, PX(x, div_f, most, a), zero, finite);
    TnPxV d = PX(x, sel_f, PX(x, div_f, a, most), zero, finite);
    TnPxV high = tn_px_at(out, TN_Q14_HEAD), low = tn_px_at(out, TN_Q14_HEAD + padded);
    TnPxV sum_h = tn_px_var(x, tn_px_u(0)), sum_l = tn_px_var(x, tn_px_u(0));
    TnPxLoop m = tn_px_strided(x, tn_px_u(padded));
    TnPxV q = tn_px_var(x, tn_px_u(0)); /* of the padding */
    TnPxIf within = tn_px_if(x, PX(x, lt, m.i, tn_px_u(n)));
    tn_px_set(x, q, code(x, tn_px_get(x, from, m.i, TN_PX_F32), factor));
    tn_px_if_end(x, &within);
    TnPxV h = PX(x, sar, PX(x, add, q, tn_px_u(64)), tn_px_u(7)),
          lo = PX(x, sub, q, PX(x, shl, h, tn_px_u(7)));
    PX_TO(x, sum_h, add, sum_h, h);
    PX_TO(x, sum_l, add, sum_l, lo);
    tn_px_put(x, high, m.i, TN_PX_S8, h);
    tn_px_put(x, low, m.i, TN_PX_S8, lo);
    tn_px_loop_end(x, &m);
    sum_h = tn_px_block_sum(x, sum_h);
    sum_l = tn_px_block_sum(x, sum_l);
    TnPxIf first = tn_px_if(x, PX(x, lt, b->tid, tn_px_u(32)));
    bounds(b, from, out, n, factor, d, finite);
    TnPxV zeroth = PX(x, eq, b->tid, tn_px_u(0));
    tn_px_put_if(x, zeroth, out, tn_px_u(0), TN_PX_F32, d);
    tn_px_put_if(x, zeroth, out, tn_px_u(1), TN_PX_U32, sum_h);
    tn_px_put_if(x, zeroth, out, tn_px_u(2), TN_PX_U32, sum_l);
    for (uint32_t i = 5; i < TN_Q14_HEAD / 4; i++)
        tn_px_put_if(x, zeroth, out, tn_px_u(i), TN_PX_U32, tn_px_u(0));
    tn_px_if_end(x, &first);
}
const TnPtxOp tn_ptx_op_limbs = {.can = tn_ptx_yes, .row = limbs};
