/* rerank, rerank_top and pick: elements of a dense product, for the rows of the table that the bounds of its shadow leave
 * (ir.h). The rows are looked at in the order of the definitions: a CTA tests a block of rows, one a thread, and takes those
 * that are left one by one. Every warp computes the element by itself, so that all threads have it without a barrier. */
#include "codegen/ptx/ops/ptx_ops.h"

#include <math.h>

static TnRef arg(const TnPtx *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}
static bool can_rerank(const TnGraph *g, TnRef ref) {
    const TnNode *n = &g->nodes[ref];
    return tn_enc_is_float(g->nodes[n->args[n->n_args - 1]].type.enc);
}

/* A row of x and the table w. */
typedef struct Table {
    TnPxV x, rows; /* addresses */
    TnPxElem enc;
    uint32_t k, row_bytes;
} Table;

static Table table_of(TnPtx *b, const TnPtxFrame *f, TnRef x, TnRef w) {
    const TnType *t = &b->g->nodes[w].type;
    TN_CHECK(tn_row_bytes(t) <= UINT32_MAX);
    return (Table){.x = tn_ptx_mem(b, f, x),
                   .rows = tn_ptx_operand(b, w),
                   .enc = tn_ptx_elem(t->enc),
                   .k = (uint32_t)t->dim[1],
                   .row_bytes = (uint32_t)tn_row_bytes(t)};
}

/* By each warp for itself: lanes of fma(x[i], w[r,i], acc). */
static TnPxV element(TnPtx *b, const Table *t, TnPxV r) {
    TnPx *x = &b->x;
    TnPxV row = tn_px_index(x, t->rows, r, t->row_bytes), acc = tn_px_var(x, tn_px_f(0.0f));
    TnPxLoop l = tn_px_strided_lane(x, tn_px_u(t->k));
    TnPxV v = tn_px_get(x, t->x, l.i, TN_PX_F32);
    PX_TO(x, acc, fma_f, v, tn_px_get(x, row, l.i, t->enc), acc);
    tn_px_loop_end(x, &l);
    return tn_px_tree(x, acc);
}

/* One row of the operands y, q, s, x, w. */
typedef struct Head {
    Table table;
    uint32_t n;             /* rows of the tables */
    TnPxV y, errors, norms; /* addresses */
    TnPxV limbs_x, limbs_y; /* f: X and Y of the row of q */
} Head;

static Head head_of(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    const TnType *s = &b->g->nodes[arg(b, ref, 2)].type;
    int64_t array = (int64_t)tn_shadow_array_bytes(s);
    Head h = {.table = table_of(b, f, arg(b, ref, 3), arg(b, ref, 4)), .n = (uint32_t)s->dim[0]};
    h.y = tn_ptx_mem(b, f, arg(b, ref, 0));
    TnPxV q = tn_ptx_row_mem(b, f, arg(b, ref, 1));
    h.limbs_x = tn_px_get(x, q, tn_px_u(3), TN_PX_F32);
    h.limbs_y = tn_px_get(x, q, tn_px_u(4), TN_PX_F32);
    h.errors = tn_px_at(tn_ptx_operand(b, arg(b, ref, 2)), s->dim[0] * (int64_t)tn_row_bytes(s) + array);
    h.norms = tn_px_at(h.errors, array);
    return h;
}

/* tn_shadow_radius of row r (r), which there must be. */
static TnPxV radius(TnPtx *b, const Head *h, TnPxV r) {
    TnPx *x = &b->x;
    TnPxV e = tn_px_get(x, h->errors, r, TN_PX_F32), n = tn_px_get(x, h->norms, r, TN_PX_F32);
    TnPxV inner = PX(x, fma_f, h->limbs_x, e, tn_px_f(0x1p-120f));
    TnPxV small = PX(x, lt_f, PX(x, mul_f, h->limbs_x, n), tn_px_f(0x1p126f));
    return PX(x, sel_f, PX(x, fma_f, h->limbs_y, n, inner), tn_px_f(INFINITY), small);
}

/* ---- the rows that are left: for each block of rows, for each that is not below the threshold, rising
 *
 *   Walk w = walk(b, &h, threshold);     the threshold is a register that the body may raise
 *   .. w.row ..                          the same in all threads
 *   walk_end(b, &w);                     */
typedef struct Walk {
    TnPxLoop blocks;
    TnPxV row, next, again, done;
} Walk;

static Walk walk(TnPtx *b, const Head *h, TnPxV threshold) {
    TnPx *x = &b->x;
    Walk w = {.blocks = tn_px_loop(x, tn_px_u(0), tn_px_u(h->n), tn_px_u(x->threads))};
    TnPxV mine = PX(x, add, w.blocks.i, b->tid), is = PX(x, lt, mine, tn_px_u(h->n));
    TnPxV high = tn_px_var(x, tn_px_f(-INFINITY));
    TnPxIf within = tn_px_if(x, is);
    TnPxV rad = radius(b, h, mine);
    PX_TO(x, high, add_f, tn_px_get(x, h->y, mine, TN_PX_F32), rad);
    tn_px_if_end(x, &within);
    w.next = tn_px_var(x, w.blocks.i);
    w.again = tn_px_label(x);
    w.done = tn_px_label(x);
    tn_px_place(x, w.again);
    TnPxV left = PX(x, both, is, PX(x, no, PX(x, lt_f, high, threshold)));
    left = PX(x, both, left, PX(x, ge, mine, w.next));
    w.row = tn_px_block_min(x, PX(x, sel, mine, tn_px_u(UINT32_MAX), left));
    tn_px_barrier(x);
    tn_px_go_if(x, PX(x, eq, w.row, tn_px_u(UINT32_MAX)), w.done);
    PX_TO(x, w.next, add, w.row, tn_px_u(1));
    return w;
}
static void walk_end(TnPtx *b, Walk *w) {
    tn_px_go(&b->x, w->again);
    tn_px_place(&b->x, w->done);
    tn_px_loop_end(&b->x, &w->blocks);
}

/* ---- the most promising row after one, by y - rad falling, then by index: order and index, as in topk */
typedef struct Low {
    TnPxV order, index; /* r; index UINT32_MAX: there is none */
} Low;

/* Among all rows, or only those after `after` (NULL: all) whose y - rad is no NaN and in order above `least`. */
static Low lowest(TnPtx *b, const Head *h, const Low *after, uint32_t least) {
    TnPx *x = &b->x;
    TnPxV best = tn_px_var(x, tn_px_u(least)), index = tn_px_var(x, tn_px_u(UINT32_MAX));
    TnPxLoop l = tn_px_strided(x, tn_px_u(h->n));
    TnPxV rad = radius(b, h, l.i);
    TnPxV low = PX(x, sub_f, tn_px_get(x, h->y, l.i, TN_PX_F32), rad), order = tn_px_order(x, low);
    TnPxV more = PX(x, both, PX(x, gt, order, best), PX(x, eq_f, low, low));
    if (after) {
        TnPxV beside = PX(x, both, PX(x, eq, order, after->order), PX(x, gt, l.i, after->index));
        more = PX(x, both, more, PX(x, either, PX(x, lt, order, after->order), beside));
    }
    PX_TO(x, best, sel, order, best, more);
    PX_TO(x, index, sel, l.i, index, more);
    tn_px_loop_end(x, &l);
    Low r = {.order = tn_px_block_max(x, best)};
    r.index = tn_px_block_min(x, PX(x, sel, index, tn_px_u(UINT32_MAX), PX(x, eq, best, r.order)));
    tn_px_barrier(x);
    return r;
}

/* ---- rerank */

static void rerank(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    Head h = head_of(b, f, ref);
    enum {
        OF_MINUS_INFINITY = 0x007fffff
    }; /* tn_px_order(-INFINITY): a row must be above it to be the first */
    Low first = lowest(b, &h, NULL, OF_MINUS_INFINITY);
    TnPxV none = PX(x, eq, first.index, tn_px_u(UINT32_MAX));
    TnPxV best = PX(x, sel, tn_px_u(0), first.index, none);
    TnPxV value = element(b, &h.table, best), wild = tn_px_label(x), end = tn_px_label(x);
    TnPxV infinite = tn_px_u(0x7f800000);
    tn_px_go_if(x, PX(x, ge, tn_px_size_bits(x, value), infinite), wild);
    Walk w = walk(b, &h, value);
    TnPxV v = element(b, &h.table, w.row);
    tn_px_go_if(x, PX(x, ge, tn_px_size_bits(x, v), infinite), wild);
    TnPxV beside = PX(x, both, PX(x, eq_f, v, value), PX(x, lt, w.row, best));
    TnPxV better = PX(x, either, PX(x, gt_f, v, value), beside);
    PX_TO(x, best, sel, w.row, best, better);
    PX_TO(x, value, sel_f, v, value, better);
    walk_end(b, &w);
    tn_px_go(x, end);
    tn_px_place(x, wild);
    tn_px_set(x, best, tn_px_u(UINT32_MAX));
    tn_px_place(x, end);
    TnPxV zeroth = PX(x, eq, b->tid, tn_px_u(0));
    tn_px_put_if(x, zeroth, tn_ptx_result(b, f, ref), tn_px_u(0), TN_PX_U32, best);
}
const TnPtxOp tn_ptx_op_rerank = {.can = can_rerank, .row = rerank};

/* ---- rerank_top */

/* The least element of the k most promising rows; -infinity if one is NaN or there are fewer. */
static TnPxV threshold_of(TnPtx *b, const Head *h, uint32_t k) {
    TnPx *x = &b->x;
    TnPxV t = tn_px_var(x, tn_px_f(INFINITY)), few = tn_px_label(x), end = tn_px_label(x);
    Low last = {tn_px_var(x, tn_px_u(UINT32_MAX)), tn_px_var(x, tn_px_u(UINT32_MAX))};
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(k), tn_px_u(1));
    Low low = lowest(b, h, &last, 0);
    tn_px_go_if(x, PX(x, eq, low.index, tn_px_u(UINT32_MAX)), few);
    tn_px_set(x, last.order, low.order);
    tn_px_set(x, last.index, low.index);
    TnPxV v = element(b, &h->table, low.index);
    v = PX(x, sel_f, tn_px_f(-INFINITY), v, PX(x, nan_f, v, v));
    PX_TO(x, t, sel_f, v, t, PX(x, lt_f, v, t));
    tn_px_loop_end(x, &l);
    tn_px_go(x, end);
    tn_px_place(x, few);
    tn_px_set(x, t, tn_px_f(-INFINITY));
    tn_px_place(x, end);
    return t;
}

/* Thread j holds place j of a list by value falling, then by index rising. A new row, whose index is above all others, goes
 * after all values that are >= its own; those after it move on by one place through shared memory. Free places have the
 * index -1. */
static void rerank_top(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    Head h = head_of(b, f, ref);
    uint32_t k = (uint32_t)tn_ptx_cols(b, ref);
    TN_CHECK(k <= x->threads);
    TnPxV none = tn_px_u(UINT32_MAX), t = threshold_of(b, &h, k);
    TnPxV value = tn_px_var(x, tn_px_f(0.0f)), id = tn_px_var(x, none);
    TnPxV list = tn_px_shared_at(x, tn_px_shared(x, 8 * x->threads, 16));
    TnPxV before_me = PX(x, max_s, PX(x, sub, b->tid, tn_px_u(1)), tn_px_u(0));
    TnPxV ids = tn_px_at(list, 4 * (int64_t)x->threads), is_first = PX(x, eq, b->tid, tn_px_u(0));
    Walk w = walk(b, &h, t);
    TnPxV v = element(b, &h.table, w.row);
    tn_px_go_if(x, PX(x, nan_f, v, v), w.again);
    tn_px_put(x, list, b->tid, TN_PX_F32, value);
    tn_px_put(x, ids, b->tid, TN_PX_U32, id);
    tn_px_barrier(x);
    TnPxV left = tn_px_get(x, list, before_me, TN_PX_F32), left_id = tn_px_get(x, ids, before_me, TN_PX_U32);
    TnPxV stays = PX(x, both, PX(x, ne, id, none), PX(x, ge_f, value, v));
    TnPxV left_stays = PX(x, both, PX(x, ne, left_id, none), PX(x, ge_f, left, v));
    TnPxV here = PX(x, either, is_first, left_stays);
    left = PX(x, sel_f, v, left, here);
    left_id = PX(x, sel, w.row, left_id, here);
    PX_TO(x, value, sel_f, value, left, stays);
    PX_TO(x, id, sel, id, left_id, stays);
    tn_px_barrier(x);
    walk_end(b, &w);
    TnPxV place = PX(x, lt, b->tid, tn_px_u(k));
    tn_px_put_if(x, place, tn_ptx_result(b, f, ref), b->tid, TN_PX_U32, id);
}
const TnPtxOp tn_ptx_op_rerank_top = {.can = can_rerank, .row = rerank_top};

/* ---- pick: a warp an element */

static void pick(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    TnRef chosen = arg(b, ref, 1);
    Table t = table_of(b, f, arg(b, ref, 0), arg(b, ref, 2));
    TnPxV ids = tn_ptx_mem(b, f, chosen), y = tn_ptx_result(b, f, ref);
    TnPxV n = tn_px_u((uint32_t)tn_ptx_cols(b, ref)), first = PX(x, eq, tn_px_lane(x), tn_px_u(0));
    TnPxLoop j = tn_px_loop(x, tn_px_warp(x), n, tn_px_u(x->threads / 32));
    TnPxV id = tn_px_get(x, ids, j.i, TN_PX_U32), v = element(b, &t, PX(x, max_s, id, tn_px_u(0)));
    v = PX(x, sel_f, tn_px_f(-INFINITY), v, PX(x, lt_s, id, tn_px_u(0)));
    tn_px_put_if(x, first, y, j.i, TN_PX_F32, v);
    tn_px_loop_end(x, &j);
}
const TnPtxOp tn_ptx_op_pick = {.can = can_rerank, .row = pick};
