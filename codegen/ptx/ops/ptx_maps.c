/* The ops that go column by column: a thread computes a column. */
#include "codegen/ptx/ops/ptx_ops.h"

static TnRef arg(const TnPtx *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}
static TnPxV operand(TnPtx *b, const TnPtxFrame *f, TnRef ref, uint32_t i, TnPxV off) {
    return tn_ptx_value(b, f, arg(b, ref, i), off);
}

static TnPxV add(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPxV x = operand(b, f, ref, 0, off);
    return PX(&b->x, add_f, x, operand(b, f, ref, 1, off));
}
const TnPtxOp tn_ptx_op_add = {.can = tn_ptx_yes, .elem = add};

static TnPxV mul(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPxV x = operand(b, f, ref, 0, off);
    return PX(&b->x, mul_f, x, operand(b, f, ref, 1, off));
}
const TnPtxOp tn_ptx_op_mul = {.can = tn_ptx_yes, .elem = mul};

static TnPxV mulz(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPxV p = mul(b, f, ref, off), zero = tn_px_f(0.0f);
    return PX(&b->x, sel_f, zero, p, PX(&b->x, eq_f, p, zero));
}
const TnPtxOp tn_ptx_op_mulz = {.can = tn_ptx_yes, .elem = mulz};

static TnPxV relu(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    return tn_px_fmax(&b->x, tn_px_f(0.0f), operand(b, f, ref, 0, off)); /* NaN stays */
}
const TnPtxOp tn_ptx_op_relu = {.can = tn_ptx_yes, .elem = relu};

static TnPxV relu2(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPxV r = relu(b, f, ref, off);
    return PX(&b->x, mul_f, r, r);
}
const TnPtxOp tn_ptx_op_relu2 = {.can = tn_ptx_yes, .elem = relu2};

static TnPxV gelu(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    return tn_px_gelu(&b->x, operand(b, f, ref, 0, off));
}
const TnPtxOp tn_ptx_op_gelu = {.can = tn_ptx_yes, .elem = gelu};

static TnPxV gelu_tanh(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    return tn_px_gelu_tanh(&b->x, operand(b, f, ref, 0, off));
}
const TnPtxOp tn_ptx_op_gelu_tanh = {.can = tn_ptx_yes, .elem = gelu_tanh};

static TnPxV silu(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    return tn_px_silu(&b->x, operand(b, f, ref, 0, off));
}
const TnPtxOp tn_ptx_op_silu = {.can = tn_ptx_yes, .elem = silu};

static TnPxV times(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    return PX(&b->x, mul_f, operand(b, f, ref, 0, off),
              tn_px_f(tn_attr_float(&b->g->nodes[ref], TN_ATTR_scale)));
}
const TnPtxOp tn_ptx_op_times = {.can = tn_ptx_yes, .elem = times};

/* The column of the frame's values that `off` is. */
static TnPxV column(TnPtx *b, const TnPtxFrame *f, TnPxV off) {
    return f->width.kind ? PX(&b->x, add, f->col, off) : off;
}

static bool can_bias(const TnGraph *g, TnRef ref) {
    return tn_enc_is_float(g->nodes[g->nodes[ref].args[1]].type.enc);
}
static TnPxV bias(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnRef w = arg(b, ref, 1);
    TnPxV x = operand(b, f, ref, 0, off);
    TnPxElem e = tn_ptx_elem(b->g->nodes[w].type.enc);
    return PX(&b->x, add_f, x, tn_px_get(&b->x, tn_ptx_operand(b, w), column(b, f, off), e));
}
const TnPtxOp tn_ptx_op_bias = {.can = can_bias, .elem = bias};

/* ---- slice. A slice of a slice in one kernel cannot be emitted; the passes avoid it. */

static bool can_slice(const TnGraph *g, TnRef ref) {
    TnRef x = g->nodes[ref].args[0];
    TnEnc enc = g->nodes[ref].type.enc;
    bool known = enc == TN_ENC_f32 || enc == TN_ENC_i32;
    return known && (g->nodes[x].op != TN_OP_slice || g->nodes[x].kernel != g->nodes[ref].kernel);
}
static TnPxV slice(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    int64_t lo = tn_attr_int(&b->g->nodes[ref], TN_ATTR_lo);
    for (uint32_t i = 0; i < f->n_bases; i++)
        if (f->bases[i].root_base == lo) return tn_ptx_value(b, &f->bases[i], arg(b, ref, 0), off);
    if (f->width.kind) TN_BUG("kernel @%s: no part has the slice at %lld", b->k->name, (long long)lo);
    return operand(b, f, ref, 0, lo ? PX(&b->x, add, off, tn_px_u((uint32_t)lo)) : off);
}
const TnPtxOp tn_ptx_op_slice = {.can = can_slice, .elem = slice};

/* ---- dequant */

enum { MOST_RANGES = 64 };

static bool has_row_scales(const TnType *w) {
    return w->group || w->n_scales > MOST_RANGES;
}
static bool can_dequant(const TnGraph *g, TnRef ref) {
    const TnType *w = &g->nodes[g->nodes[ref].args[2]].type;
    return w->enc == TN_ENC_p64 &&
           (w->group || w->n_scales <= MOST_RANGES || (int64_t)w->n_scales == w->dim[0]);
}

/* The scale of a column that is in [from, end); most often one range of scales has them all. */
static TnPxV scale_of(TnPtx *b, TnRef ref, TnPxV col, int64_t from, int64_t end) {
    const TnType *w = &b->g->nodes[ref].type;
    TnPxV table = tn_px_at(tn_ptx_operand(b, ref), w->dim[0] * (int64_t)tn_row_bytes(w)), s = {0};
    if (has_row_scales(w)) return tn_px_get(&b->x, table, col, TN_PX_F32);
    int64_t start = 0;
    for (uint32_t i = 0; i < w->n_scales; start += w->scales[i++].rows) {
        if (start + w->scales[i].rows <= from || start >= end) continue;
        TnPxV v = PX(&b->x, ld_f, tn_px_at(table, 4 * (int64_t)i));
        s = s.kind ? PX(&b->x, sel_f, v, s, PX(&b->x, ge, col, tn_px_u((uint32_t)start))) : v;
    }
    TN_CHECK(s.kind);
    return s;
}

static TnPxV dequant(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnRef w = arg(b, ref, 2);
    int64_t end = f->root_end ? f->root_end : b->g->nodes[w].type.dim[0];
    TnPxV acc = operand(b, f, ref, 0, off);
    TnPxV d = tn_px_get(&b->x, tn_ptx_row_mem(b, f, arg(b, ref, 1)), tn_px_u(0), TN_PX_F32);
    TnPxV s = scale_of(b, w, column(b, f, off), f->root_base, end);
    return PX(&b->x, mul_f, PX(&b->x, from_s32, acc), PX(&b->x, mul_f, s, d));
}
const TnPtxOp tn_ptx_op_dequant = {.can = can_dequant, .elem = dequant};
