/* rerank, rerank_top and pick: elements of a dense product, for the rows of the table that the bounds of its shadow leave
 * (ir.h). A first look over the estimates finds promising rows, whose elements give a threshold. A second one lists the rows
 * that may still reach it, and a warp computes the element of each. */
#include "codegen/ptx/ops/ptx_best.h"
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

/* By each warp for itself: lanes of fma(x[i], w[r,i], acc). The loads of TOGETHER steps are in flight at once. */
static TnPxV element(TnPtx *b, const Table *t, TnPxV r) {
    enum { TOGETHER = 8 };
    TnPx *x = &b->x;
    TnPxV row = tn_px_index(x, t->rows, r, t->row_bytes), acc = tn_px_var(x, tn_px_f(0.0f));
    TnPxV lane = tn_px_lane(x), v[TOGETHER], w[TOGETHER];
    uint32_t whole = t->k / (32 * TOGETHER) * (32 * TOGETHER);
    if (whole) {
        TnPxLoop l = tn_px_loop(x, lane, tn_px_u(whole), tn_px_u(32 * TOGETHER));
        for (uint32_t i = 0; i < TOGETHER; i++) {
            TnPxV at = i ? PX(x, add, l.i, tn_px_u(32 * i)) : l.i;
            v[i] = tn_px_get(x, t->x, at, TN_PX_F32);
            w[i] = tn_px_get(x, row, at, t->enc);
        }
        for (uint32_t i = 0; i < TOGETHER; i++) PX_TO(x, acc, fma_f, v[i], w[i], acc);
        tn_px_loop_end(x, &l);
    }
    TnPxLoop l = tn_px_loop(x, PX(x, add, lane, tn_px_u(whole)), tn_px_u(t->k), tn_px_u(32));
    TnPxV last = tn_px_get(x, t->x, l.i, TN_PX_F32);
    PX_TO(x, acc, fma_f, last, tn_px_get(x, row, l.i, t->enc), acc);
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
    h.errors = tn_px_at(tn_ptx_operand(b, arg(b, ref, 2)), (int64_t)tn_tail_at(s) + array);
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

/* ---- what rows are ordered by. `of`: a Search. */
typedef struct Search {
    Head h;
    TnPxV threshold; /* f */
} Search;

/* y - rad; no NaN. */
static TnPxV promise(TnPtx *b, const void *of, TnPxV r) {
    TnPx *x = &b->x;
    const Search *s = of;
    TnPxV low = PX(x, sub_f, tn_px_get(x, s->h.y, r, TN_PX_F32), radius(b, &s->h, r));
    return PX(x, sel, tn_px_u(0), tn_px_order(x, low), PX(x, nan_f, low, low));
}

/* 1 if y + rad is not below the threshold. */
static TnPxV is_left(TnPtx *b, const void *of, TnPxV r) {
    TnPx *x = &b->x;
    const Search *s = of;
    TnPxV high = PX(x, add_f, tn_px_get(x, s->h.y, r, TN_PX_F32), radius(b, &s->h, r));
    return PX(x, sel, tn_px_u(0), tn_px_u(1), PX(x, lt_f, high, s->threshold));
}

static TnPxV weigh(TnPtx *b, const void *of, TnPxV r) {
    TnPx *x = &b->x;
    TnPxV v = element(b, &((const Search *)of)->h.table, r);
    return PX(x, sel, tn_px_u(0), tn_px_order(x, v), PX(x, nan_f, v, v));
}

static TnPxV weigh_finite(TnPtx *b, const void *of, TnPxV r) {
    TnPx *x = &b->x;
    TnPxV v = element(b, &((const Search *)of)->h.table, r);
    TnPxV finite = PX(x, lt, tn_px_size_bits(x, v), tn_px_u(0x7f800000));
    return PX(x, sel, tn_px_order(x, v), tn_px_u(TN_PTX_WILD), finite);
}

/* ---- rerank. The threshold of the definition rises with each element; here it is the element of the most promising row of
 * the part. So more rows may be left, none of which is the best: bounds hold, and rows with elements that are not finite have
 * none, so they are left in any case. */
static void rerank(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    Search s = {.h = head_of(b, f, ref)};
    TnPtxTop t = {.k = 1, .order = is_left, .weigh = weigh_finite, .of = &s, .least = tn_px_u(1)};
    tn_ptx_part(b, s.h.n, &t.lo, &t.end);
    TnPtxBest first = tn_ptx_best(b, promise, &s, t.lo, t.end, NULL);
    s.threshold = element(b, &s.h.table, PX(x, min, first.column, PX(x, sub, t.end, tn_px_u(1))));
    TnPxV wild = PX(x, ge, tn_px_size_bits(x, s.threshold), tn_px_u(0x7f800000));
    s.threshold = PX(x, sel_f, tn_px_f(-INFINITY), s.threshold, wild); /* then all are left, and it is one */
    TnPtxList l = tn_ptx_top(b, &t);
    TnPtxBest best = {tn_px_var(x, tn_px_u(0)), tn_px_var(x, tn_px_u(UINT32_MAX))};
    TnPxIf some = tn_px_if(x, PX(x, ne, l.n, tn_px_u(0))); /* always, unless the bounds are false */
    PX_TO(x, best.order, lds, l.orders);
    PX_TO(x, best.column, lds, l.columns);
    tn_px_if_end(x, &some);
    tn_ptx_join(b, &best, tn_ptx_result(b, f, ref));
}
const TnPtxOp tn_ptx_op_rerank = {.can = can_rerank, .row = rerank};

/* ---- rerank_top */

/* The least element of the k most promising rows; -infinity if one is NaN or there are fewer. A warp an element. */
static TnPxV threshold_of(TnPtx *b, const Search *s, const TnPtxList *low, uint32_t k) {
    TnPx *x = &b->x;
    TnPxV least = tn_px_var(x, tn_px_f(INFINITY)), slots = tn_px_shared_at(x, tn_px_shared(x, 128, 16));
    TnPxV none = tn_px_f(-INFINITY), warps = tn_px_u(x->threads / 32);
    TnPxLoop l = tn_px_loop(x, tn_px_warp(x), low->n, warps);
    TnPxV v = element(b, &s->h.table, tn_px_get(x, low->columns, l.i, TN_PX_U32));
    v = PX(x, sel_f, none, v, PX(x, nan_f, v, v));
    tn_px_set(x, least, tn_px_fmin(x, v, least));
    tn_px_loop_end(x, &l);
    tn_px_put_if(x, PX(x, eq, tn_px_lane(x), tn_px_u(0)), slots, tn_px_warp(x), TN_PX_F32, least);
    tn_px_barrier(x);
    for (uint32_t w = 0; w < x->threads / 32; w++)
        tn_px_set(x, least, tn_px_fmin(x, PX(x, lds_f, tn_px_index(x, slots, tn_px_u(w), 4)), least));
    return PX(x, sel_f, none, least, PX(x, lt, low->n, tn_px_u(k)));
}

static void rerank_top(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    Search s = {.h = head_of(b, f, ref)};
    uint32_t k = (uint32_t)tn_ptx_cols(b, ref), used = x->used;
    TnPtxTop t = {.k = k, .order = promise, .of = &s, .lo = tn_px_u(0), .end = tn_px_u(s.h.n)};
    TnPxV mine;
    tn_ptx_best(b, promise, &s, t.lo, t.end, &mine);
    t.least = tn_ptx_reached(b, mine, k);
    TnPtxList low = tn_ptx_top(b, &t);
    s.threshold = threshold_of(b, &s, &low, k);
    x->used = used;
    tn_px_barrier(x);
    t.order = is_left;
    t.weigh = weigh;
    t.least = tn_px_u(1);
    TnPtxList top = tn_ptx_top(b, &t);
    tn_ptx_put_list(b, &top, k, tn_ptx_result(b, f, ref));
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
