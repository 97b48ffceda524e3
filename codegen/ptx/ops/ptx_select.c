/* Ops that take rows or columns out of others: embed, gather, take, argmax, topk. */
#include "codegen/ptx/ops/ptx_best.h"
#include "codegen/ptx/ops/ptx_ops.h"

#include <math.h>
#include "ir/r64.h"

static TnRef arg(const TnPtx *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* ---- embed ids, table: widens rows of floats; for ternary tables, weights times their scale, which is exact */

enum { MOST_RANGES = 64, LINE = 64 };

static bool has_row_scales(const TnType *t) {
    return t->group || (int64_t)t->n_scales == t->dim[0];
}

/* The scale of a row of p64, which lies after all rows. */
static TnPxV row_scale(TnPtx *b, const TnType *t, TnPxV data, TnPxV id) {
    TnPx *x = &b->x;
    TnPxV table = tn_px_at(data, t->dim[0] * (int64_t)tn_row_bytes(t));
    if (has_row_scales(t)) return tn_px_get(x, table, id, TN_PX_F32);
    TnPxV s = PX(x, ld_f, table);
    int64_t start = 0;
    for (uint32_t i = 1; i < t->n_scales; i++) {
        start += t->scales[i - 1].rows;
        TnPxV v = PX(x, ld_f, tn_px_at(table, 4 * (int64_t)i));
        s = PX(x, sel_f, v, s, PX(x, ge, id, tn_px_u((uint32_t)start)));
    }
    return s;
}

/* The weight whose code is in bits `shift` and shift + 1 of a byte, as a float. */
static TnPxV weight(TnPtx *b, TnPxV byte, TnPxV shift) {
    TnPxV code = PX(&b->x, and, PX(&b->x, shr, byte, shift), tn_px_u(3));
    return PX(&b->x, from_s32, PX(&b->x, sub, code, tn_px_u(1)));
}

static TnPxV p64_column(TnPtx *b, const TnType *t, TnPxV data, TnPxV id, TnPxV off) {
    TnPx *x = &b->x;
    TnPxV row = tn_px_index(x, data, id, (uint32_t)tn_row_bytes(t));
    TnPxV line = PX(x, shr, off, tn_px_u(8)), plane = PX(x, bfe, off, tn_px_u(6), tn_px_u(2));
    TnPxV at = PX(x, mad, line, tn_px_u(LINE), PX(x, and, off, tn_px_u(LINE - 1)));
    TnPxV v = weight(b, tn_px_get(x, row, at, TN_PX_U8), PX(x, add, plane, plane));
    return PX(x, mul_f, v, row_scale(b, t, data, id));
}

/* Byte 4r + i of the line of 4 columns has in bits 2q.. the code of row 16q + r and column i (ir/type_layout.h). */
static TnPxV r64_column(TnPtx *b, const TnType *t, TnPxV data, TnPxV id, TnPxV off) {
    TnPx *x = &b->x;
    uint32_t group_bytes = (uint32_t)tn_r64_group_bytes(t->group);
    TnPxV row = PX(x, and, id, tn_px_u(TN_BESIDE - 1)), block = PX(x, shr, id, tn_px_u(6));
    TnPxV p = tn_px_index(x, data, block, TN_BESIDE * (uint32_t)tn_row_bytes(t));
    p = tn_px_index(x, p, PX(x, div, off, tn_px_u(t->group)), group_bytes);
    TnPxV in_group = PX(x, rem, off, tn_px_u(t->group));
    TnPxV s = tn_px_get(x, tn_px_at(p, (int64_t)group_bytes - 2 * TN_BESIDE), row, TN_PX_F16);
    TnPxV at = PX(x, mul, PX(x, shr, in_group, tn_px_u(2)), tn_px_u(LINE));
    at = PX(x, mad, PX(x, and, row, tn_px_u(15)), tn_px_u(4), at);
    at = PX(x, add, at, PX(x, and, in_group, tn_px_u(3)));
    TnPxV quarter = PX(x, shr, row, tn_px_u(4));
    return PX(x, mul_f, weight(b, tn_px_get(x, p, at, TN_PX_U8), PX(x, add, quarter, quarter)), s);
}

static TnPxV embed(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnRef table = arg(b, ref, 1);
    const TnType *t = &b->g->nodes[table].type;
    TnPxV id = tn_px_get(&b->x, tn_ptx_row_mem(b, f, arg(b, ref, 0)), tn_px_u(0), TN_PX_U32);
    TnPxV data = tn_ptx_operand(b, table);
    if (t->enc == TN_ENC_p64) return p64_column(b, t, data, id, off);
    if (t->enc == TN_ENC_r64) return r64_column(b, t, data, id, off);
    return tn_px_get(&b->x, tn_ptx_operand_row(b, table, id), off, tn_ptx_elem(t->enc));
}
static bool can_embed(const TnGraph *g, TnRef ref) {
    const TnType *t = &g->nodes[g->nodes[ref].args[1]].type;
    bool scales = has_row_scales(t) || t->n_scales <= MOST_RANGES;
    return tn_enc_is_float(t->enc) || t->enc == TN_ENC_r64 || (t->enc == TN_ENC_p64 && scales);
}
const TnPtxOp tn_ptx_op_embed = {.can = can_embed, .elem = embed};

/* ---- gather x, rows: copies only if the value has a place already or leaves the kernel */

static bool can_gather(const TnGraph *g, TnRef ref) {
    TnRef x = g->nodes[ref].args[0]; /* it reads other rows of x, so an earlier kernel must have made it */
    return g->nodes[x].kernel == TN_NONE || g->nodes[x].kernel != g->nodes[ref].kernel;
}
static void gather(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    const TnType *t = &b->g->nodes[ref].type;
    TnPxV id = tn_px_get(x, tn_ptx_operand_row(b, arg(b, ref, 1), f->row), tn_px_u(0), TN_PX_U32);
    TnPxV from = tn_ptx_operand_row(b, arg(b, ref, 0), id), *m = &f->mem[ref - b->k->first];
    if (!m->kind && !tn_ptx_leaves(b, ref)) {
        *m = from;
        return;
    }
    size_t words = tn_row_bytes(t) / 4;
    if (tn_encs[t->enc].kind == TN_DENSE)
        words = (size_t)tn_ptx_cols(b, ref) * tn_encs[t->enc].block_bytes / 4;
    TnPxV to = tn_ptx_result(b, f, ref);
    TnPxLoop l = tn_px_strided(x, tn_px_u((uint32_t)words));
    tn_px_put(x, to, l.i, TN_PX_U32, tn_px_get(x, from, l.i, TN_PX_U32));
    tn_px_loop_end(x, &l);
}
const TnPtxOp tn_ptx_op_gather = {.can = can_gather, .row = gather};

/* ---- take x, ids */

static bool reads_floats(const TnGraph *g, TnRef ref) {
    return g->nodes[g->nodes[ref].args[0]].type.enc == TN_ENC_f32;
}
static TnPxV take(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPx *x = &b->x;
    TnPxV id = tn_ptx_value(b, f, arg(b, ref, 1), off), none = PX(x, lt_s, id, tn_px_u(0));
    TnPxV v = tn_px_get(x, tn_ptx_mem(b, f, arg(b, ref, 0)), PX(x, max_s, id, tn_px_u(0)), TN_PX_F32);
    return PX(x, sel_f, tn_px_f(-INFINITY), v, none);
}
const TnPtxOp tn_ptx_op_take = {.can = reads_floats, .elem = take, .mixes = true};

/* ---- argmax and topk */

typedef struct Floats {
    TnPxV row; /* address */
} Floats;

/* No NaN. */
static TnPxV order_of(TnPtx *b, const void *of, TnPxV j) {
    TnPx *x = &b->x;
    const Floats *f = of;
    TnPxV v = tn_px_get(x, f->row, j, TN_PX_F32);
    return PX(x, sel, tn_px_u(0), tn_px_order(x, v), PX(x, nan_f, v, v));
}

static TnPxV finite_order_of(TnPtx *b, const void *of, TnPxV j) {
    TnPx *x = &b->x;
    const Floats *f = of;
    TnPxV v = tn_px_get(x, f->row, j, TN_PX_F32);
    TnPxV finite = PX(x, lt, tn_px_size_bits(x, v), tn_px_u(0x7f800000));
    return PX(x, sel, tn_px_order(x, v), tn_px_u(TN_PTX_WILD), finite);
}

static void argmax(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnRef in = arg(b, ref, 0);
    Floats row = {tn_ptx_mem(b, f, in)};
    TnPxV lo, end;
    tn_ptx_part(b, (uint32_t)tn_ptx_cols(b, in), &lo, &end);
    TnPtxBest best = tn_ptx_best(b, finite_order_of, &row, lo, end, NULL);
    tn_ptx_join(b, &best, tn_ptx_result(b, f, ref));
}
const TnPtxOp tn_ptx_op_argmax = {.can = reads_floats, .row = argmax};

/* A first look gives a number that k columns reach, in k threads. In a second one few others are above it. */
static void topk(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnRef in = arg(b, ref, 0);
    Floats row = {tn_ptx_mem(b, f, in)};
    TnPtxTop t = {.k = (uint32_t)tn_ptx_cols(b, ref),
                  .order = order_of,
                  .of = &row,
                  .lo = tn_px_u(0),
                  .end = tn_px_u((uint32_t)tn_ptx_cols(b, in))};
    TnPxV mine;
    tn_ptx_best(b, order_of, &row, t.lo, t.end, &mine);
    t.least = tn_ptx_reached(b, mine, t.k);
    TnPtxList l = tn_ptx_top(b, &t);
    tn_ptx_put_list(b, &l, t.k, tn_ptx_result(b, f, ref));
}
const TnPtxOp tn_ptx_op_topk = {.can = reads_floats, .row = topk};
