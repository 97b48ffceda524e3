/* Attention (ir.h has the formula). A warp computes blocks of one query head (ptx_attend_block.c).
 *
 * attend: a unit is one row and some of its query heads, usually those of one kv head. The weights exp(m_b - M) need the
 * maximum over all blocks, so scores are computed twice: once for M, and again block by block for the sums. Nothing is kept
 * for each block, so contexts of any length fit.
 *
 * attend_blocks: a unit is one block and some of the query heads, for all rows of the step that see it. attend_join: a column
 * by itself; blocks in their order. */
#include "codegen/ptx/ops/ptx_attend.h"

#include <math.h>
#include "ir/type_layout.h"

#define LIMIT "heads of more than " TN_PTX_TEXT(TN_PTX_ATTEND_HEAD) " columns"

static bool can_attend(const TnGraph *g, TnRef ref) {
    return g->nodes[g->nodes[ref].args[1]].type.dim[2] <= TN_PTX_ATTEND_HEAD;
}

/* The query heads of part number `part` (r) of a row, one a warp at a time: to be ended by tn_px_loop_end. */
static TnPxLoop heads(TnPx *x, const TnPtxAttend *a, TnPxV part) {
    TnPxV first = PX(x, mul, part, tn_px_u(a->each));
    return tn_px_loop(x, PX(x, add, first, a->warp), PX(x, add, first, tn_px_u(a->each)),
                      tn_px_u(x->threads / 32));
}

static TnPtxSpan row_span(TnPtx *b, const TnPtxAttend *a, TnPxV row) {
    return tn_ptx_attend_span(&b->x, PX(&b->x, ld, tn_ptx_operand_row(b, a->pos, row)), a->window);
}

/* ---- attend */

/* The largest score of all blocks. */
static TnPxV most_of_all(TnPtx *b, const TnPtxAttend *a, const TnPtxSpan *span, TnPxV row, TnPxV h) {
    TnPx *x = &b->x;
    TnPxV top = tn_px_var(x, tn_px_f(-INFINITY));
    TnPxLoop l = tn_px_loop(x, span->b0, PX(x, add, span->b1, tn_px_u(1)), tn_px_u(1));
    TnPtxBlock k = tn_ptx_attend_block(b, a, span, row, l.i, h);
    TnPtxScores s = tn_ptx_attend_scores(b, a, &k);
    PX_TO(x, top, sel_f, top, s.most, PX(x, gt_f, top, s.most));
    tn_px_loop_end(x, &l);
    return top;
}

static void attend(TnPtx *b) {
    TnPx *x = &b->x;
    TnPtxAttend a = tn_ptx_attend_of(b);
    tn_ptx_gate(b);
    TnPxV units = tn_px_u((uint32_t)b->k->units), row = PX(x, div, b->unit, units);
    TnPtxSpan span = row_span(b, &a, row);
    TnPxLoop h = heads(x, &a, PX(x, rem, b->unit, units));
    TnPxV top = most_of_all(b, &a, &span, row, h.i), sum = tn_px_var(x, tn_px_f(0.0f));
    TnPtxDims y = tn_ptx_attend_dims(b, &a), o = tn_ptx_attend_dims(b, &a);
    TnPxLoop l = tn_px_loop(x, span.b0, PX(x, add, span.b1, tn_px_u(1)), tn_px_u(1));
    TnPtxBlock k = tn_ptx_attend_block(b, &a, &span, row, l.i, h.i);
    TnPtxScores s = tn_ptx_attend_scores(b, &a, &k);
    TnPxV total = tn_ptx_attend_values(b, &a, &k, &s, &o);
    TnPxV w = tn_px_exp(x, PX(x, sub_f, s.most, top));
    PX_TO(x, sum, add_f, sum, PX(x, mul_f, total, w));
    for (uint32_t i = 0; i < y.n * y.wide; i++)
        PX_TO(x, y.value[i], add_f, y.value[i], PX(x, mul_f, o.value[i], w));
    tn_px_loop_end(x, &l);
    for (uint32_t i = 0; i < y.n * y.wide; i++) PX_TO(x, y.value[i], div_f, y.value[i], sum);
    TnPxV out = tn_ptx_operand_row(b, b->k->root, row);
    tn_ptx_attend_store(b, &a, &y, tn_px_index(x, out, h.i, a.head * 4));
    tn_px_loop_end(x, &h);
}
const TnPtxOp tn_ptx_op_attend = {.can = can_attend, .limit = LIMIT, .kernel = attend};

/* ---- attend_blocks */

/* Row t of a block: o[heads][head], m[heads], l[heads]. */
static TnPxV record(TnPtx *b, TnPxV block, TnPxV row, uint32_t n_heads, uint32_t head, TnRef blocks) {
    return tn_px_index(&b->x, tn_ptx_operand_row(b, blocks, block), row, n_heads * (head + 2) * 4);
}

static void attend_blocks(TnPtx *b) {
    TnPx *x = &b->x;
    TnPtxAttend a = tn_ptx_attend_of(b);
    tn_ptx_gate(b);
    TnPxV units = tn_px_u((uint32_t)b->k->units), block = PX(x, div, b->unit, units);
    TnPxV part = PX(x, rem, b->unit, units), first = PX(x, eq, a.lane, tn_px_u(0));
    const TnType *q = &b->g->nodes[a.q].type;
    TnPxV rows =
        tn_dim_is_sym(q->dim[0]) ? tn_ptx_sym(b, tn_dim_sym(q->dim[0])) : tn_px_u((uint32_t)q->dim[0]);
    TnPtxDims o = tn_ptx_attend_dims(b, &a);
    TnPxLoop t = tn_px_loop(x, tn_px_u(0), rows, tn_px_u(1));
    TnPtxSpan span = row_span(b, &a, t.i);
    TnPxIf sees = tn_px_if(x, PX(x, both, PX(x, ge, block, span.b0), PX(x, le, block, span.b1)));
    TnPxLoop h = heads(x, &a, part);
    TnPtxBlock k = tn_ptx_attend_block(b, &a, &span, t.i, block, h.i);
    TnPtxScores s = tn_ptx_attend_scores(b, &a, &k);
    TnPxV total = tn_ptx_attend_values(b, &a, &k, &s, &o),
          to = record(b, block, t.i, a.heads, a.head, b->k->root);
    tn_ptx_attend_store(b, &a, &o, tn_px_index(x, to, h.i, a.head * 4));
    TnPxV most = tn_px_at(to, 4 * (int64_t)a.heads * a.head);
    tn_px_put_if(x, first, most, h.i, TN_PX_F32, s.most);
    tn_px_put_if(x, first, tn_px_at(most, 4 * (int64_t)a.heads), h.i, TN_PX_F32, total);
    tn_px_loop_end(x, &h);
    tn_px_if_end(x, &sees);
    tn_px_loop_end(x, &t);
}
const TnPtxOp tn_ptx_op_attend_blocks = {.can = can_attend, .limit = LIMIT, .kernel = attend_blocks};

/* ---- attend_join */

static TnPxV attend_join(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPx *x = &b->x;
    const TnNode *n = &b->g->nodes[ref];
    uint32_t n_heads = (uint32_t)tn_attr_int(n, TN_ATTR_heads),
             head = (uint32_t)tn_ptx_cols(b, ref) / n_heads;
    uint32_t bytes = (uint32_t)tn_row_bytes(&b->g->nodes[n->args[0]].type);
    TnPxV column = f->width.kind ? PX(x, add, f->col, off) : off, h = PX(x, div, column, tn_px_u(head));
    TnPxV pos = PX(x, ld, tn_ptx_operand_row(b, n->args[1], f->row));
    TnPtxSpan span = tn_ptx_attend_span(x, pos, tn_attr_int(n, TN_ATTR_window));
    TnPxV count = PX(x, sub, PX(x, add, span.b1, tn_px_u(1)), span.b0);
    TnPxV at = record(b, span.b0, f->row, n_heads, head, n->args[0]);
    TnPxV o = tn_px_index(x, at, column, 4);
    TnPxV m = tn_px_index(x, tn_px_at(at, 4 * (int64_t)n_heads * head), h, 4);
    TnPxV top = tn_px_var(x, PX(x, ld_f, m)), sum = tn_px_var(x, tn_px_f(0.0f)),
          y = tn_px_var(x, tn_px_f(0.0f));
    TnPxLoop l = tn_px_loop(x, tn_px_u(1), count, tn_px_u(1));
    TnPxV other = PX(x, ld_f, tn_px_index(x, m, l.i, bytes));
    PX_TO(x, top, sel_f, top, other, PX(x, gt_f, top, other));
    tn_px_loop_end(x, &l);
    TnPxLoop k = tn_px_loop(x, tn_px_u(0), count, tn_px_u(1));
    TnPxV mb = tn_px_index(x, m, k.i, bytes), w = tn_px_exp(x, PX(x, sub_f, PX(x, ld_f, mb), top));
    TnPxV l_b = PX(x, ld_f, tn_px_at(mb, 4 * (int64_t)n_heads));
    PX_TO(x, sum, add_f, sum, PX(x, mul_f, l_b, w));
    PX_TO(x, y, add_f, y, PX(x, mul_f, PX(x, ld_f, tn_px_index(x, o, k.i, bytes)), w));
    tn_px_loop_end(x, &k);
    return PX(x, div_f, y, sum);
}
const TnPtxOp tn_ptx_op_attend_join = {.can = tn_ptx_yes, .elem = attend_join};
