/* A block of attention: 64 positions of one query head, by one warp (ir.h has the formula).
 *
 * Keys lie [dim][position], so lanes are positions: a lane has two neighbours, and the chain over the dims is its own. Values
 * lie [position][dim], so lanes are dims then, and the chain over the positions is their own. Between the two, p goes through
 * shared memory. Loads come several at a time, so that a chain does not wait for each. Masked positions have scores that
 * nobody uses; their values are not read. */
#include "codegen/ptx/ops/ptx_attend.h"

#include <math.h>
#include "ir/type_layout.h"

enum { AT_ONCE = 8 }; /* dims of keys, or loads of values, in flight */

TnPtxAttend tn_ptx_attend_of(TnPtx *b) {
    const TnNode *n = &b->g->nodes[b->k->root];
    const TnType *k = &b->g->nodes[n->args[1]].type;
    TnPtxAttend a = {.q = n->args[0],
                     .k = n->args[1],
                     .v = n->args[2],
                     .pos = n->args[3],
                     .slot = n->args[4],
                     .table = n->args[5]};
    a.head = (uint32_t)k->dim[2];
    a.heads = (uint32_t)(tn_ptx_cols(b, a.q) / k->dim[2]);
    a.group = a.heads / (uint32_t)k->dim[1];
    a.each = a.heads / (uint32_t)b->k->units;
    TN_CHECK(a.each * (uint32_t)b->k->units == a.heads && a.head <= TN_PTX_ATTEND_HEAD);
    a.size = tn_encs[k->enc].block_bytes;
    a.window = tn_attr_int(n, TN_ATTR_window);
    a.scale = tn_attr_float(n, TN_ATTR_scale);
    TnPx *x = &b->x;
    uint32_t warps = a.each < TN_PTX_ATTEND_WARPS ? a.each : TN_PTX_ATTEND_WARPS, room = TN_PAGE * 4;
    x->threads = 32 * warps;
    a.lane = tn_px_lane(x);
    a.warp = tn_px_warp(x);
    a.p = tn_px_index(x, tn_px_shared_at(x, tn_px_shared(x, warps * room, 16)), a.warp, room);
    a.weight = a.p;
    if (a.size == 1)
        a.weight = tn_px_index(x, tn_px_shared_at(x, tn_px_shared(x, warps * room, 16)), a.warp, room);
    return a;
}

TnPtxSpan tn_ptx_attend_span(TnPx *x, TnPxV pos, int64_t window) {
    TnPtxSpan s = {.first = tn_px_var(x, tn_px_u(0)), .last = pos};
    if (window > 0 && window <= INT32_MAX) {
        TnPxV w = tn_px_u((uint32_t)window);
        tn_px_when(x, PX(x, ge, pos, w));
        PX_TO(x, s.first, sub, pos, tn_px_u((uint32_t)window - 1));
    }
    s.b0 = PX(x, shr, s.first, tn_px_u(6));
    s.b1 = PX(x, shr, pos, tn_px_u(6));
    return s;
}

/* The kv head's part of the page that holds the block. */
static TnPxV page(TnPtx *b, TnRef cache, TnPxV number, TnPxV kv_head) {
    const TnType *t = &b->g->nodes[cache].type;
    TN_CHECK(tn_page_bytes(t) <= UINT32_MAX);
    TnPxV at = tn_px_index(&b->x, tn_ptx_operand(b, cache), number, (uint32_t)tn_page_bytes(t));
    return tn_px_index(&b->x, at, kv_head, (uint32_t)tn_page_head_bytes(t));
}

TnPtxBlock tn_ptx_attend_block(TnPtx *b, const TnPtxAttend *a, const TnPtxSpan *span, TnPxV row, TnPxV block,
                               TnPxV h) {
    TnPx *x = &b->x;
    TnPxV slot = PX(x, ld, tn_ptx_operand_row(b, a->slot, row));
    TnPxV entry = PX(x, mad, slot, tn_ptx_sym(b, TN_P), block);
    TnPxV number = tn_px_get(x, tn_ptx_operand(b, a->table), entry, TN_PX_U32);
    TnPxV kv = a->group == 1 ? h : PX(x, div, h, tn_px_u(a->group)), last = tn_px_u(TN_PAGE - 1);
    TnPtxBlock k = {.k = page(b, a->k, number, kv), .v = page(b, a->v, number, kv)};
    k.q = tn_px_index(x, tn_ptx_operand_row(b, a->q, row), h, a->head * 4);
    k.lo = PX(x, sel, PX(x, and, span->first, last), tn_px_u(0), PX(x, eq, block, span->b0));
    k.hi = PX(x, sel, PX(x, and, span->last, last), last, PX(x, eq, block, span->b1));
    return k;
}

/* n (1 or 2) neighbouring elements of a cache, as floats. */
static void load(TnPx *x, const TnPtxAttend *a, TnPxV at, uint32_t n, TnPxV guard, TnPxV out[2]) {
#define GUARDED(to, ...)                                                                                     \
    do {                                                                                                     \
        if (guard.kind) tn_px_when(x, guard);                                                                \
        to = PX(x, __VA_ARGS__);                                                                             \
    } while (0)
    TnPxV part[2], word;
    if (a->size == 4 && n == 1) {
        GUARDED(out[0], ld_f, at);
    } else if (a->size == 4) {
        if (guard.kind) tn_px_when(x, guard);
        PX_MANY(x, part, ld2, at);
        for (int i = 0; i < 2; i++) GUARDED(out[i], floats, part[i]);
    } else if (a->size == 2 && n == 1) {
        GUARDED(word, ld_h, at);
        GUARDED(out[0], from_f16, word);
    } else if (a->size == 2) {
        GUARDED(word, ld, at);
        if (guard.kind) tn_px_when(x, guard);
        PX_MANY(x, part, halves, word);
        for (int i = 0; i < 2; i++) GUARDED(out[i], from_f16, part[i]);
    } else if (n == 1) {
        GUARDED(word, ld_s8, at);
        GUARDED(out[0], from_s32, word);
    } else {
        GUARDED(word, ld_h, at);
        GUARDED(word, from_half, word);
        for (int i = 0; i < 2; i++) {
            GUARDED(part[0], bfe_s, word, tn_px_u(8 * (uint32_t)i), tn_px_u(8));
            GUARDED(out[i], from_s32, part[0]);
        }
    }
#undef GUARDED
}

/* Dims [d, d + n) of the chain of both positions, from the addresses q and k on. */
static void chain(TnPx *x, const TnPtxAttend *a, TnPxV q, TnPxV k, uint32_t n, TnPxV s[2]) {
    TnPxV key[AT_ONCE][2], query[AT_ONCE];
    for (uint32_t d = 0; d < n; d++) {
        load(x, a, tn_px_at(k, (int64_t)d * TN_PAGE * a->size), 2, (TnPxV){0}, key[d]);
        query[d] = PX(x, ld_f, tn_px_at(q, 4 * (int64_t)d));
    }
    for (uint32_t d = 0; d < n; d++)
        for (int i = 0; i < 2; i++) PX_TO(x, s[i], fma_f, query[d], key[d][i], s[i]);
}

/* The address as a register that a loop moves. */
static TnPxV moving(TnPx *x, TnPxV at) {
    TnPxV reg = {.kind = at.kind == 'G' ? 'd' : 'r', .reg = at.reg};
    if (reg.kind == 'd') return PX(x, add_d, reg, tn_px_l((int64_t)at.bits));
    return PX(x, add, reg, tn_px_u((uint32_t)at.bits));
}

/* The scale of int8 elements of the lane's positions. */
static void position_scales(TnPx *x, const TnPtxAttend *a, TnPxV page_part, TnPxV out[2]) {
    TnPxV words[2];
    TnPxV at = tn_px_index(x, tn_px_at(page_part, (int64_t)a->head * TN_PAGE), a->lane, 8);
    PX_MANY(x, words, ld2, at);
    for (int i = 0; i < 2; i++) out[i] = PX(x, floats, words[i]);
}

TnPtxScores tn_ptx_attend_scores(TnPtx *b, const TnPtxAttend *a, const TnPtxBlock *k) {
    TnPx *x = &b->x;
    TnPtxScores r = {.s = {tn_px_var(x, tn_px_f(0.0f)), tn_px_var(x, tn_px_f(0.0f))}};
    TnPxV q = moving(x, k->q), keys = moving(x, tn_px_index(x, k->k, a->lane, 2 * a->size)), scale[2];
    uint32_t whole = a->head / AT_ONCE * AT_ONCE;
    if (whole) {
        TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(whole), tn_px_u(AT_ONCE));
        chain(x, a, tn_px_at(q, 0), tn_px_at(keys, 0), AT_ONCE, r.s);
        PX_TO(x, q, add_d, q, tn_px_l(4 * AT_ONCE));
        PX_TO(x, keys, add_d, keys, tn_px_l((int64_t)AT_ONCE * TN_PAGE * a->size));
        tn_px_loop_end(x, &l);
    }
    chain(x, a, tn_px_at(q, 0), tn_px_at(keys, 0), a->head - whole, r.s);
    if (a->size == 1) position_scales(x, a, k->k, scale);
    TnPxV first = PX(x, shl, a->lane, tn_px_u(1)), count = PX(x, sub, k->hi, k->lo), seen[2];
    for (uint32_t i = 0; i < 2; i++) {
        if (a->size == 1) r.s[i] = PX(x, mul_f, r.s[i], scale[i]);
        r.s[i] = PX(x, mul_f, r.s[i], tn_px_f(a->scale));
        r.in[i] = PX(x, le, PX(x, sub, i ? PX(x, add, first, tn_px_u(1)) : first, k->lo), count);
        seen[i] = PX(x, sel_f, r.s[i], tn_px_f(-INFINITY), r.in[i]);
    }
    r.most = tn_px_fmax(x, seen[0], seen[1]);
    for (int apart = 16; apart; apart /= 2)
        r.most = tn_px_fmax(x, r.most, PX(x, bfly_f, r.most, tn_px_i(apart), tn_px_i(31), tn_px_i(-1)));
    return r;
}

TnPtxDims tn_ptx_attend_dims(TnPtx *b, const TnPtxAttend *a) {
    TnPtxDims o = {.wide = a->head % 2 ? 1 : 2};
    o.n = (a->head + 32 * o.wide - 1) / (32 * o.wide);
    for (uint32_t i = 0; i < o.n * o.wide; i++) o.value[i] = tn_px_var(&b->x, tn_px_f(0.0f));
    return o;
}

/* Whether run c of the dims exists in this lane: kind 0 if it does in all. */
static TnPxV run_exists(TnPx *x, const TnPtxAttend *a, const TnPtxDims *o, uint32_t c) {
    uint32_t left = (a->head - c * 32 * o->wide) / o->wide;
    return left >= 32 ? (TnPxV){0} : PX(x, lt, a->lane, tn_px_u(left));
}

void tn_ptx_attend_store(TnPtx *b, const TnPtxAttend *a, const TnPtxDims *o, TnPxV to) {
    TnPx *x = &b->x;
    TnPxV at = tn_px_index(x, to, a->lane, 4 * o->wide);
    for (uint32_t c = 0; c < o->n; c++) {
        TnPxV there = run_exists(x, a, o, c);
        for (uint32_t i = 0; i < o->wide; i++) {
            if (there.kind) tn_px_when(x, there);
            PX(x, st_f, tn_px_at(at, 4 * (int64_t)(c * 32 * o->wide + i)), o->value[c * o->wide + i]);
        }
    }
}

/* o += weight * v for the positions j + u, u < n, that lie within lo .. hi. */
static void add_values(TnPx *x, const TnPtxAttend *a, const TnPtxBlock *k, TnPxV j, TnPxV at, TnPxV weights,
                       uint32_t n, TnPtxDims *o) {
    TnPxV v[AT_ONCE][2 * (TN_PTX_ATTEND_HEAD / 32)], w[AT_ONCE], in[AT_ONCE];
    TnPxV from = PX(x, sub, j, k->lo), count = PX(x, sub, k->hi, k->lo), there[TN_PTX_ATTEND_HEAD / 32];
    for (uint32_t c = 0; c < o->n; c++) there[c] = run_exists(x, a, o, c);
    for (uint32_t u = 0; u < n; u++) {
        in[u] = PX(x, le, u ? PX(x, add, from, tn_px_u(u)) : from, count);
        w[u] = PX(x, lds_f, tn_px_at(weights, 4 * (int64_t)u));
        for (uint32_t c = 0; c < o->n; c++) {
            TnPxV guard = there[c].kind ? PX(x, both, there[c], in[u]) : in[u];
            int64_t offset = ((int64_t)u * a->head + c * 32 * o->wide) * a->size;
            load(x, a, tn_px_at(at, offset), o->wide, guard, &v[u][c * o->wide]);
        }
    }
    for (uint32_t u = 0; u < n; u++)
        for (uint32_t c = 0; c < o->n; c++) {
            TnPxV guard = there[c].kind ? PX(x, both, there[c], in[u]) : in[u];
            for (uint32_t i = c * o->wide; i < (c + 1) * o->wide; i++) {
                tn_px_when(x, guard);
                PX_TO(x, o->value[i], fma_f, w[u], v[u][i], o->value[i]);
            }
        }
}

TnPxV tn_ptx_attend_values(TnPtx *b, const TnPtxAttend *a, const TnPtxBlock *k, const TnPtxScores *s,
                           TnPtxDims *o) {
    TnPx *x = &b->x;
    TnPxV scale[2], mine = tn_px_index(x, a->p, a->lane, 8), weights = tn_px_index(x, a->weight, a->lane, 8);
    if (a->size == 1) position_scales(x, a, k->v, scale);
    for (int i = 0; i < 2; i++) {
        /* a score of -inf is an overflow, whose true value is not known, so it gives NaN and not 0 */
        TnPxV p = PX(x, fma_f, s->s[i], tn_px_f(0.0f), tn_px_exp(x, PX(x, sub_f, s->s[i], s->most)));
        p = PX(x, sel_f, p, tn_px_f(0.0f), s->in[i]);
        PX(x, sts_f, tn_px_at(mine, 4 * i), p);
        if (a->size == 1) PX(x, sts_f, tn_px_at(weights, 4 * i), PX(x, mul_f, p, scale[i]));
    }
    tn_px_barrier_warp(x);
    TnPxV own = tn_px_index(x, a->p, a->lane, 4);
    TnPxV l = tn_px_tree(x, PX(x, add_f, PX(x, lds_f, own), PX(x, lds_f, tn_px_at(own, 128))));
    uint32_t n = AT_ONCE / o->n ? AT_ONCE / o->n : 1;
    while (n & (n - 1)) n &= n - 1; /* a power of two, so that a group of positions does not leave the page */
    TnPxV start = n == 1 ? k->lo : PX(x, and, k->lo, tn_px_u(~(n - 1)));
    TnPxV at =
        moving(x, tn_px_index(x, tn_px_index(x, k->v, start, a->head * a->size), a->lane, o->wide * a->size));
    TnPxV weight = moving(x, tn_px_index(x, a->weight, start, 4));
    for (uint32_t i = 0; i < o->n * o->wide; i++) PX_TO(x, o->value[i], mov_f, tn_px_f(0.0f));
    TnPxLoop j = tn_px_loop(x, start, PX(x, add, k->hi, tn_px_u(1)), tn_px_u(n));
    add_values(x, a, k, j.i, tn_px_at(at, 0), tn_px_at(weight, 0), n, o);
    PX_TO(x, at, add_d, at, tn_px_l((int64_t)n * a->head * a->size));
    PX_TO(x, weight, add, weight, tn_px_u(4 * n));
    tn_px_loop_end(x, &j);
    for (uint32_t i = 0; i < o->n * o->wide; i++) PX_TO(x, o->value[i], add_f, o->value[i], tn_px_f(0.0f));
    tn_px_barrier_warp(x);
    return l;
}
