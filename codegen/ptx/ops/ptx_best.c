#include "codegen/ptx/ops/ptx_best.h"

#include "runtime/abi/kernel.h"

/* Columns that a thread looks at between two tests of the loop, so that their loads are in flight together. */
enum { TOGETHER = 4 };
enum { LEFT = 512 }; /* entries that may stay on a list while a block of columns is added */

static bool at_most_one(const TnGraph *g, TnRef ref) {
    const TnType *t = &g->nodes[ref].type;
    return g->rows_hi == 1 && tn_dim_is_sym(t->dim[0]);
}

uint32_t tn_ptx_parts(const TnGraph *g, uint32_t kernel) {
    enum { COLUMNS = 512 }; /* of a part, at least */
    const TnKernel *k = &g->kernels[kernel];
    const TnNode *n = &g->nodes[k->first];
    if (k->n != 1 || (n->op != TN_OP_argmax && n->op != TN_OP_rerank) || !at_most_one(g, k->first)) return 1;
    const TnType *t = &g->nodes[n->args[0]].type;
    int64_t parts = t->dim[t->rank - 1] / COLUMNS;
    if (parts < 1) return 1;
    return parts < TN_ABI_PARTS_MOST ? (uint32_t)parts : TN_ABI_PARTS_MOST;
}

void tn_ptx_part(TnPtx *b, uint32_t n, TnPxV *lo, TnPxV *end) {
    TnPx *x = &b->x;
    *lo = tn_px_u(0);
    *end = tn_px_u(n);
    if (b->k->units == 1) return;
    uint32_t parts = (uint32_t)b->k->units, columns = (n + parts - 1) / parts;
    TN_CHECK(parts <= TN_ABI_PARTS_MOST && columns * (parts - 1) < n);
    *lo = PX(x, mul, b->unit, tn_px_u(columns));
    *end = PX(x, min, PX(x, add, *lo, tn_px_u(columns)), tn_px_u(n));
}

/* ---- the best */

static TnPtxBest best_of_block(TnPtx *b, TnPxV order, TnPxV column) {
    TnPx *x = &b->x;
    TnPtxBest r = {.order = tn_px_block_max(x, order)};
    TnPxV none = tn_px_u(UINT32_MAX), here = PX(x, eq, order, r.order);
    r.column = tn_px_block_min(x, PX(x, sel, column, none, here));
    return r;
}

TnPtxBest tn_ptx_best(TnPtx *b, TnPtxOrder *order, const void *of, TnPxV lo, TnPxV end, TnPxV *mine) {
    TnPx *x = &b->x;
    TnPxV best = tn_px_var(x, tn_px_u(0)), column = tn_px_var(x, tn_px_u(UINT32_MAX));
    TnPxV last = PX(x, sub, end, tn_px_u(1));
    TnPxLoop l = tn_px_loop(x, PX(x, add, lo, b->tid), end, tn_px_u(x->threads * TOGETHER));
    TnPxV at[TOGETHER], found[TOGETHER];
    for (uint32_t i = 0; i < TOGETHER; i++) {
        at[i] = i ? PX(x, add, l.i, tn_px_u(i * x->threads)) : l.i;
        found[i] = order(b, of, i ? PX(x, min, at[i], last) : l.i);
        if (i) found[i] = PX(x, sel, found[i], tn_px_u(0), PX(x, lt, at[i], end));
    }
    for (uint32_t i = 0; i < TOGETHER; i++) {
        TnPxV more = PX(x, gt, found[i], best);
        PX_TO(x, best, sel, found[i], best, more);
        PX_TO(x, column, sel, at[i], column, more);
    }
    tn_px_loop_end(x, &l);
    if (mine) *mine = best;
    return best_of_block(b, best, column);
}

/* ---- parts */

/* The last CTA, by its first warp: lane i has part i. The words are 0 again afterwards. */
static void join_parts(TnPtx *b, TnPxV words, TnPxV done, TnPxV to) {
    TnPx *x = &b->x;
    uint32_t parts = (uint32_t)b->k->units;
    TnPxV lane = tn_px_lane(x), mine = tn_px_index(x, words, lane, 8);
    TnPxV order = tn_px_var(x, tn_px_u(0)), above = tn_px_var(x, tn_px_u(0));
    TnPxIf is = tn_px_if(x, PX(x, lt, lane, tn_px_u(parts)));
    PX_TO(x, order, ld_acquire, mine);
    PX_TO(x, above, ld_acquire, tn_px_at(mine, 4));
    PX(x, atom_add, mine, PX(x, sub, tn_px_u(0), order));
    PX(x, atom_add, tn_px_at(mine, 4), PX(x, sub, tn_px_u(0), above));
    tn_px_if_end(x, &is);
    TnPxV none = tn_px_u(UINT32_MAX), most = tn_px_warp_max(x, order);
    TnPxV column = PX(x, sub, above, tn_px_u(1)); /* -1 if there is none */
    column = tn_px_warp_min(x, PX(x, sel, column, none, PX(x, eq, order, most)));
    column = PX(x, sel, none, column, PX(x, eq, most, tn_px_u(TN_PTX_WILD)));
    TnPxV first = PX(x, eq, lane, tn_px_u(0));
    tn_px_put_if(x, first, to, tn_px_u(0), TN_PX_U32, column);
    tn_px_when(x, first);
    PX(x, atom_add, done, tn_px_u(0u - parts));
}

void tn_ptx_join(TnPtx *b, const TnPtxBest *part, TnPxV to) {
    TnPx *x = &b->x;
    TnPxV zeroth = PX(x, eq, b->tid, tn_px_u(0));
    if (b->k->units == 1) {
        TnPxV none = tn_px_u(UINT32_MAX), wild = PX(x, eq, part->order, tn_px_u(TN_PTX_WILD));
        tn_px_put_if(x, zeroth, to, tn_px_u(0), TN_PX_U32, PX(x, sel, none, part->column, wild));
        return;
    }
    TnPxV words = tn_px_at(b->sym, TN_ABI_PARTS * 8), done = tn_px_at(b->sym, TN_ABI_DONE * 8);
    TnPxV mine = tn_px_index(x, words, b->unit, 8);
    TnPxV last = tn_px_shared_at(x, tn_px_shared(x, 4, 4));
    TnPxIf one = tn_px_if(x, zeroth);
    PX(x, atom_max, mine, part->order);
    PX(x, atom_max, tn_px_at(mine, 4), PX(x, add, part->column, tn_px_u(1)));
    PX(x, fence);
    PX(x, sts, last, PX(x, atom_add, done, tn_px_u(1)));
    PX(x, fence);
    tn_px_if_end(x, &one);
    tn_px_barrier(x);
    TnPxV is_last = PX(x, eq, PX(x, lds, last), tn_px_u((uint32_t)b->k->units - 1));
    TnPxIf joins = tn_px_if(x, PX(x, both, is_last, PX(x, lt, b->tid, tn_px_u(32))));
    join_parts(b, words, done, to);
    tn_px_if_end(x, &joins);
}

/* ---- the first k */

/* Bit by bit from the highest: it stays if enough threads reach the number with it. */
TnPxV tn_ptx_reached(TnPtx *b, TnPxV mine, uint32_t k) {
    TnPx *x = &b->x;
    TnPxV least = tn_px_var(x, tn_px_u(0));
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(32), tn_px_u(1));
    TnPxV with = PX(x, or, least, PX(x, shr, tn_px_u(1u << 31), l.i)), one = tn_px_u(1), none = tn_px_u(0);
    TnPxV n = tn_px_block_sum(x, PX(x, sel, one, none, PX(x, ge, mine, with)));
    PX_TO(x, least, sel, with, least, PX(x, ge, n, tn_px_u(k)));
    tn_px_barrier(x);
    tn_px_loop_end(x, &l);
    return PX(x, max, least, one);
}

/* A list being filled in. */
typedef struct Filling {
    const TnPtxTop *t;
    TnPxV columns, orders; /* S: entries in any order */
    TnPtxList first;       /* S: of tidy */
    TnPxV count;           /* S: entries, also those from `weighed` on that weigh has not seen */
    TnPxV n, weighed;      /* r */
    TnPxV least;           /* r */
} Filling;

/* Adds the columns of this block that count: threads * TOGETHER from i (r) on. */
static void add_block(TnPtx *b, const Filling *f, TnPxV i) {
    TnPx *x = &b->x;
    const TnPtxTop *t = f->t;
    TnPxV last = PX(x, sub, t->end, tn_px_u(1)), at[TOGETHER], found[TOGETHER];
    for (uint32_t u = 0; u < TOGETHER; u++) {
        at[u] = PX(x, add, i, PX(x, add, b->tid, tn_px_u(u * x->threads)));
        found[u] = t->order(b, t->of, PX(x, min, at[u], last));
    }
    for (uint32_t u = 0; u < TOGETHER; u++) {
        TnPxV counts = PX(x, both, PX(x, ge, found[u], f->least), PX(x, lt, at[u], t->end));
        TnPxIf is = tn_px_if(x, counts);
        TnPxV place = PX(x, atoms_add, f->count, tn_px_u(1));
        tn_px_put(x, f->columns, place, TN_PX_U32, at[u]);
        tn_px_put(x, f->orders, place, TN_PX_U32, found[u]);
        tn_px_if_end(x, &is);
    }
    tn_px_barrier(x);
    PX_TO(x, f->n, lds, f->count);
    tn_px_barrier(x);
}

/* A warp an entry. */
static void weigh_new(TnPtx *b, const Filling *f) {
    TnPx *x = &b->x;
    TnPxV first = PX(x, eq, tn_px_lane(x), tn_px_u(0));
    TnPxLoop l = tn_px_loop(x, PX(x, add, f->weighed, tn_px_warp(x)), f->n, tn_px_u(x->threads / 32));
    TnPxV order = f->t->weigh(b, f->t->of, tn_px_get(x, f->columns, l.i, TN_PX_U32));
    tn_px_put_if(x, first, f->orders, l.i, TN_PX_U32, order);
    tn_px_loop_end(x, &l);
    tn_px_barrier(x);
}

/* r: how many entries come before this one. */
static TnPxV place_of(TnPtx *b, const Filling *f, TnPxV order, TnPxV column) {
    TnPx *x = &b->x;
    TnPxV place = tn_px_var(x, tn_px_u(0));
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), f->n, tn_px_u(1));
    TnPxV other = tn_px_get(x, f->orders, l.i, TN_PX_U32), at = tn_px_get(x, f->columns, l.i, TN_PX_U32);
    TnPxV beside = PX(x, both, PX(x, eq, other, order), PX(x, lt, at, column));
    TnPxV before = PX(x, either, PX(x, gt, other, order), beside);
    PX_TO(x, place, add, place, PX(x, sel, tn_px_u(1), tn_px_u(0), before));
    tn_px_loop_end(x, &l);
    return place;
}

/* Puts the first k that count in their places and leaves only them. With k of them, and orders that are final, later columns
 * must be above the last one. */
static void tidy(TnPtx *b, const Filling *f) {
    TnPx *x = &b->x;
    const TnPtxTop *t = f->t;
    if (t->weigh) weigh_new(b, f);
    TnPxV k = tn_px_u(t->k), some = tn_px_var(x, tn_px_u(0)), one = tn_px_u(1), none = tn_px_u(0);
    TnPxLoop l = tn_px_strided(x, f->n);
    TnPxV order = tn_px_get(x, f->orders, l.i, TN_PX_U32), column = tn_px_get(x, f->columns, l.i, TN_PX_U32);
    TnPxV place = place_of(b, f, order, column), counts = PX(x, ne, order, none);
    PX_TO(x, some, add, some, PX(x, sel, one, none, counts));
    TnPxIf stays = tn_px_if(x, PX(x, both, counts, PX(x, lt, place, k)));
    tn_px_put(x, f->first.columns, place, TN_PX_U32, column);
    tn_px_put(x, f->first.orders, place, TN_PX_U32, order);
    tn_px_if_end(x, &stays);
    tn_px_loop_end(x, &l);
    tn_px_barrier(x);
    tn_px_set(x, f->n, PX(x, min, tn_px_block_sum(x, some), k));
    TnPxLoop c = tn_px_strided(x, f->n);
    tn_px_put(x, f->columns, c.i, TN_PX_U32, tn_px_get(x, f->first.columns, c.i, TN_PX_U32));
    tn_px_put(x, f->orders, c.i, TN_PX_U32, tn_px_get(x, f->first.orders, c.i, TN_PX_U32));
    tn_px_loop_end(x, &c);
    TnPxV zeroth = PX(x, eq, b->tid, none);
    tn_px_put_if(x, zeroth, f->count, none, TN_PX_U32, f->n);
    tn_px_set(x, f->weighed, f->n);
    if (!t->weigh) {
        TnPxIf full = tn_px_if(x, PX(x, eq, f->n, k));
        TnPxV last = PX(x, lds, tn_px_index(x, f->first.orders, tn_px_u(t->k - 1), 4));
        PX_TO(x, f->least, add, last, one); /* a later column that is equal comes after it */
        tn_px_if_end(x, &full);
    }
    tn_px_barrier(x);
}

TnPtxList tn_ptx_top(TnPtx *b, const TnPtxTop *t) {
    TnPx *x = &b->x;
    TN_CHECK(t->k >= 1 && t->k < LEFT);
    uint32_t room = x->threads * TOGETHER + LEFT, used = 4 * t->k;
    Filling f = {.t = t};
    f.first.columns = tn_px_shared_at(x, tn_px_shared(x, used, 16));
    f.first.orders = tn_px_shared_at(x, tn_px_shared(x, used, 16));
    f.columns = tn_px_shared_at(x, tn_px_shared(x, 4 * room, 16));
    f.orders = tn_px_shared_at(x, tn_px_shared(x, 4 * room, 16));
    f.count = tn_px_shared_at(x, tn_px_shared(x, 4, 4));
    f.n = tn_px_var(x, tn_px_u(0));
    f.weighed = tn_px_var(x, tn_px_u(0));
    f.least = tn_px_var(x, t->least);
    tn_px_put_if(x, PX(x, eq, b->tid, tn_px_u(0)), f.count, tn_px_u(0), TN_PX_U32, tn_px_u(0));
    tn_px_barrier(x);
    TnPxLoop l = tn_px_loop(x, t->lo, t->end, tn_px_u(x->threads * TOGETHER));
    add_block(b, &f, l.i);
    TnPxV many = PX(x, gt, f.n, tn_px_u(LEFT)), last = PX(x, add, l.i, l.step);
    TnPxIf is = tn_px_if(x, PX(x, either, many, PX(x, ge, last, t->end)));
    tidy(b, &f);
    tn_px_if_end(x, &is);
    tn_px_loop_end(x, &l);
    f.first.n = f.n;
    return f.first;
}

void tn_ptx_put_list(TnPtx *b, const TnPtxList *l, uint32_t k, TnPxV to) {
    TnPx *x = &b->x;
    TnPxLoop j = tn_px_strided(x, tn_px_u(k));
    TnPxV id = tn_px_var(x, tn_px_u(UINT32_MAX));
    TnPxIf is = tn_px_if(x, PX(x, lt, j.i, l->n));
    PX_TO(x, id, lds, tn_px_index(x, l->columns, j.i, 4));
    tn_px_if_end(x, &is);
    tn_px_put(x, to, j.i, TN_PX_U32, id);
    tn_px_loop_end(x, &j);
}
