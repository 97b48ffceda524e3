/* Ops that reduce a row: rmsnorm, quant, quant_groups, limbs; and headnorm, for which each head is a row.
 *
 * A sum in the order "lanes" is made by one warp: lane j adds its chain j, j + 32, .. and shuffles are the tree. Largest values
 * and sums of integers have no order, so all threads take part.
 *
 * A chain of additions cannot be shortened, but its loads need not wait for each other: all threads bring the row to shared
 * memory at once, and the warp's loads are written out in batches. Rows of a multiple of four columns go by fours. Rows too long
 * for shared memory come in stretches. */
#include "codegen/ptx/ops/ptx_fours.h"
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/skeletons/ptx_cols.h"

#include <math.h>
#include "ir/places.h"
#include "runtime/base/fmath.h"

static TnRef arg(const TnPtx *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* ---- norms */

/* The norm of a row, or of a head of a row. */
typedef struct Norm {
    TnPxV weights; /* d */
    TnPxElem enc;  /* of weights */
    TnPxV places;  /* d; kind 0: the sum is over all columns */
    int64_t count; /* elements of the sum */
    float n, eps;
} Norm;

/* acc becomes fma(v, v, acc) for the elements of this lane's chain: batches of loads, then the additions that wait for each
 * other. */
static void chain(TnPtx *b, TnPxV from, uint32_t count, TnPxV acc) {
    enum { BATCH = 16, BLOCK = 32 };
    TnPx *x = &b->x;
    TnPxV lane = tn_px_lane(x), v[BATCH], mine = tn_px_index(x, from, lane, 4);
    uint32_t blocks = count / BLOCK, rest = count % BLOCK;
    for (uint32_t i = 0; i < blocks; i += BATCH) {
        uint32_t n = blocks - i < BATCH ? blocks - i : BATCH;
        for (uint32_t j = 0; j < n; j++) v[j] = tn_px_get(x, mine, tn_px_u((i + j) * BLOCK), TN_PX_F32);
        for (uint32_t j = 0; j < n; j++) PX_TO(x, acc, fma_f, v[j], v[j], acc);
    }
    if (!rest) return;
    TnPxIf some = tn_px_if(x, PX(x, lt, lane, tn_px_u(rest)));
    TnPxV last = tn_px_get(x, mine, tn_px_u(blocks * BLOCK), TN_PX_F32);
    PX_TO(x, acc, fma_f, last, last, acc);
    tn_px_if_end(x, &some);
}

/* The same in a loop, for places, for long rows and for what is rarely run; v = x * by. */
static void chain_loop(TnPtx *b, const Norm *o, TnPxV from, float by, TnPxV acc) {
    TnPx *x = &b->x;
    TnPxLoop l = tn_px_strided_lane(x, tn_px_u((uint32_t)o->count));
    TnPxV at = o->places.kind ? tn_px_get(x, o->places, l.i, TN_PX_U32) : l.i;
    TnPxV v = tn_px_get(x, from, at, TN_PX_F32);
    if (by != 1.0f) v = PX(x, mul_f, v, tn_px_f(by));
    PX_TO(x, acc, fma_f, v, v, acc);
    tn_px_loop_end(x, &l);
}

/* By a whole warp: the lanes' chains, added, over n, plus eps. */
static TnPxV mean_of(TnPtx *b, const Norm *o, TnPxV acc, float by) {
    TnPx *x = &b->x;
    float eps = by != 1.0f ? (o->eps * by) * by : o->eps;
    return PX(x, add_f, PX(x, div_f, tn_px_tree(x, acc), tn_px_f(o->n)), tn_px_f(eps));
}

/* The same with chains of fma(v, v, acc), v = x * by. */
static TnPxV mean(TnPtx *b, const Norm *o, TnPxV from, float by) {
    TnPx *x = &b->x;
    TnPxV acc = tn_px_var(x, tn_px_f(0.0f));
    enum { WRITTEN_OUT = 16384 };
    if (by == 1.0f && !o->places.kind && o->count <= WRITTEN_OUT)
        chain(b, from, (uint32_t)o->count, acc);
    else
        chain_loop(b, o, from, by, acc);
    return mean_of(b, o, acc, by);
}

/* By a whole warp: the mean, and the factor by which values are multiplied before all else: 1, or TN_NORM_SCALE if the mean
 * would not be finite without it. acc: the chains that are there already, of values times 1, or kind 0. */
static void scaled_mean(TnPtx *b, const Norm *o, TnPxV from, TnPxV acc, TnPxV *out_mean, TnPxV *out_by) {
    TnPx *x = &b->x;
    *out_by = tn_px_var(x, tn_px_f(1.0f));
    *out_mean = tn_px_var(x, acc.kind ? mean_of(b, o, acc, 1.0f) : mean(b, o, from, 1.0f));
    TnPxV done = tn_px_label(x);
    tn_px_go_if(x, PX(x, lt_f, *out_mean, tn_px_f(INFINITY)), done);
    tn_px_set(x, *out_by, tn_px_f(TN_NORM_SCALE));
    tn_px_set(x, *out_mean, mean(b, o, from, TN_NORM_SCALE));
    tn_px_place(x, done);
}

static TnPxV root_of(TnPtx *b, TnPxV m) {
    TnPx *x = &b->x;
    TnPxV r = PX(x, div_f, tn_px_f(1.0f), PX(x, sqrt_f, m));
    return PX(x, sel_f, r, tn_px_f(NAN), PX(x, lt_f, m, tn_px_f(INFINITY)));
}

static void put_normed(TnPtx *b, const Norm *o, TnPxV from, TnPxV to, TnPxV i, TnPxV by, TnPxV r) {
    TnPx *x = &b->x;
    TnPxV v = PX(x, mul_f, PX(x, mul_f, tn_px_get(x, from, i, TN_PX_F32), by), r);
    tn_px_put(x, to, i, TN_PX_F32, PX(x, mul_f, v, tn_px_get(x, o->weights, i, o->enc)));
}

static Norm norm_of(TnPtx *b, TnRef ref) {
    const TnNode *n = &b->g->nodes[ref];
    Norm o = {.eps = tn_attr_float(n, TN_ATTR_eps), .count = tn_ptx_cols(b, n->args[1])};
    o.n = (float)o.count;
    o.weights = tn_ptx_operand(b, n->args[1]);
    o.enc = tn_ptx_elem(b->g->nodes[n->args[1]].type.enc);
    return o;
}

/* Warp 0 continues its chains by `count` columns from `at` (G) on, which all threads bring to `place` (S) first. */
static void stretch(TnPtx *b, TnPxV at, TnPxV place, uint32_t count, TnPxV acc) {
    TnPx *x = &b->x;
    TnPtxFours c = tn_ptx_fours(b, count);
    TnPxV v[4];
    for (uint32_t i = 0; i < c.n; i++) {
        bool some = tn_ptx_four(b, &c, i);
        tn_ptx_get4(b, tn_ptx_four_at(b, at, i, 16), v);
        tn_ptx_put4(b, tn_ptx_four_at(b, place, i, 16), v);
        tn_ptx_four_end(b, &c, some);
    }
    tn_px_barrier(x);
    TnPxIf first = tn_px_if(x, PX(x, lt, b->tid, tn_px_u(32)));
    chain(b, place, count, acc);
    tn_px_if_end(x, &first);
    tn_px_barrier(x);
}

/* The chains of warp 0 over a long row in device memory, of a multiple of four columns. */
static TnPxV chains_by_stretches(TnPtx *b, TnPxV from, uint32_t columns) {
    enum { STRETCH = 8192 };
    TnPx *x = &b->x;
    TnPxV acc = tn_px_var(x, tn_px_f(0.0f)), at = tn_ptx_cursor(b, from);
    TnPxV place = tn_px_shared_at(x, tn_px_shared(x, STRETCH * 4, 16));
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(columns / STRETCH), tn_px_u(1));
    stretch(b, at, place, STRETCH, acc);
    tn_ptx_advance(b, at, STRETCH * 4);
    tn_px_loop_end(x, &l);
    if (columns % STRETCH) stretch(b, at, place, columns % STRETCH, acc);
    return acc;
}

/* By warp 0, for all: the mean and the factor. There is a barrier inside. */
static void shared_mean(TnPtx *b, const Norm *o, TnPxV from, TnPxV acc, TnPxV *out_mean, TnPxV *out_by) {
    TnPx *x = &b->x;
    TnPxV slots = tn_px_shared_at(x, tn_px_shared(x, 8, 8));
    TnPxIf first = tn_px_if(x, PX(x, lt, b->tid, tn_px_u(32)));
    TnPxV m, by;
    scaled_mean(b, o, from, acc, &m, &by);
    TnPxV zeroth = PX(x, eq, b->tid, tn_px_u(0));
    tn_px_put_if(x, zeroth, slots, tn_px_u(0), TN_PX_F32, m);
    tn_px_put_if(x, zeroth, slots, tn_px_u(1), TN_PX_F32, by);
    tn_px_if_end(x, &first);
    tn_px_barrier(x);
    *out_mean = tn_px_get(x, slots, tn_px_u(0), TN_PX_F32);
    *out_by = tn_px_get(x, slots, tn_px_u(1), TN_PX_F32);
}

/* Weights that are loaded before the sum is known: as many fours of a thread as registers allow. */
enum { EARLY = 8 };

/* A row in device memory, by fours: it comes to shared memory first, where its results may overwrite it, unless it is too
 * long. */
static void norm_by_fours(TnPtx *b, const Norm *o, TnPxV from, TnPxV to, int64_t columns) {
    TnPx *x = &b->x;
    enum { LONG = 64 << 10 };
    TnPtxFours c = tn_ptx_fours(b, columns);
    TnPxV row = from, w[EARLY][4], v[4], m, by, acc = {0};
    uint32_t early = c.n < EARLY ? c.n : EARLY;
    bool brought = from.kind == 'G' && (to.kind == 'S' || columns * 4 <= LONG);
    if (brought) {
        row = to.kind == 'S' ? to : tn_px_shared_at(x, tn_px_shared(x, (uint32_t)columns * 4, 16));
        for (uint32_t i = 0; i < c.n; i++) {
            bool some = tn_ptx_four(b, &c, i);
            tn_ptx_get4(b, tn_ptx_four_at(b, from, i, 16), v);
            tn_ptx_put4(b, tn_ptx_four_at(b, row, i, 16), v);
            tn_ptx_four_end(b, &c, some);
        }
    }
    for (uint32_t i = 0; i < early; i++) {
        bool some = tn_ptx_four(b, &c, i);
        tn_ptx_get4(b, tn_ptx_four_at(b, o->weights, i, 16), w[i]);
        tn_ptx_four_end(b, &c, some);
    }
    if (brought) tn_px_barrier(x);
    if (from.kind == 'G' && !brought && !o->places.kind)
        acc = chains_by_stretches(b, from, (uint32_t)columns);
    shared_mean(b, o, row, acc, &m, &by);
    TnPxV r = root_of(b, m);
    for (uint32_t i = 0; i < c.n; i++) {
        bool some = tn_ptx_four(b, &c, i);
        TnPxV late[4], *g = i < early ? w[i] : late;
        if (i >= early) tn_ptx_get4(b, tn_ptx_four_at(b, o->weights, i, 16), late);
        tn_ptx_get4(b, tn_ptx_four_at(b, row, i, 16), v);
        for (int j = 0; j < 4; j++) v[j] = PX(x, mul_f, PX(x, mul_f, PX(x, mul_f, v[j], by), r), g[j]);
        tn_ptx_put4(b, tn_ptx_four_at(b, to, i, 16), v);
        tn_ptx_four_end(b, &c, some);
    }
}

static void rmsnorm(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TN_CHECK(!f->width.kind);
    TnPx *x = &b->x;
    const TnNode *n = &b->g->nodes[ref];
    const TnAttr *divisor = tn_node_attr(n, TN_ATTR_n);
    Norm o = norm_of(b, ref);
    if (divisor) o.n = (float)divisor->i;
    if (n->n_args > 2) {
        o.places = tn_ptx_operand(b, n->args[2]);
        o.count = tn_type_rows(&b->g->nodes[n->args[2]].type, NULL) * TN_PLACES;
    }
    TnPxV from = tn_ptx_mem(b, f, n->args[0]), to = tn_ptx_result(b, f, ref), m, by;
    if (tn_ptx_by_fours(tn_ptx_cols(b, ref)) && o.enc == TN_PX_F32) {
        norm_by_fours(b, &o, from, to, tn_ptx_cols(b, ref));
        return;
    }
    shared_mean(b, &o, from, (TnPxV){0}, &m, &by);
    TnPxV r = root_of(b, m);
    TnPxLoop l = tn_px_strided(x, tn_px_u((uint32_t)tn_ptx_cols(b, ref)));
    put_normed(b, &o, from, to, l.i, by, r);
    tn_px_loop_end(x, &l);
}
static bool can_norm(const TnGraph *g, TnRef ref) {
    return tn_enc_is_float(g->nodes[g->nodes[ref].args[1]].type.enc);
}
const TnPtxOp tn_ptx_op_rmsnorm = {.can = can_norm, .row = rmsnorm};

/* for (h = this warp of the team; h < columns / n; h += its warps) */
static TnPxLoop heads(TnPtx *b, TnPxV columns, int64_t n) {
    TnPx *x = &b->x;
    TnPxV count = columns.number ? tn_px_u((uint32_t)(columns.bits / (uint64_t)n))
                                 : PX(x, div, columns, tn_px_u((uint32_t)n));
    return tn_px_strided_warp(x, count);
}

static void headnorm(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    Norm o = norm_of(b, ref);
    TnPxV from = tn_ptx_mem(b, f, arg(b, ref, 0)), to = tn_ptx_result(b, f, ref);
    TnPxLoop h = heads(b, tn_ptx_width(b, f, ref), o.count);
    TnPxV head = tn_px_index(x, from, h.i, (uint32_t)o.count * 4), m, by;
    TnPxV out = tn_px_index(x, to, h.i, (uint32_t)o.count * 4);
    scaled_mean(b, &o, head, (TnPxV){0}, &m, &by);
    TnPxV r = root_of(b, m);
    TnPxLoop l = tn_px_strided_lane(x, tn_px_u((uint32_t)o.count));
    put_normed(b, &o, head, out, l.i, by, r);
    tn_px_loop_end(x, &l);
    tn_px_loop_end(x, &h);
    if (!f->width.kind || !tn_ptx_leaves(b, ref)) return;
    tn_px_meet(x);
    tn_ptx_copy_out(b, f, ref);
}
const TnPtxOp tn_ptx_op_headnorm = {.can = can_norm, .row = headnorm};

/* ---- codes */

/* The largest bits among the columns that the loop of this thread, or lane, sees. */
static TnPxV most(TnPtx *b, TnPxV from, uint32_t n, bool warp) {
    TnPx *x = &b->x;
    TnPxV top = tn_px_var(x, tn_px_u(0));
    TnPxLoop l = warp ? tn_px_strided_lane(x, tn_px_u(n)) : tn_px_strided(x, tn_px_u(n));
    PX_TO(x, top, max, top, tn_px_size_bits(x, tn_px_get(x, from, l.i, TN_PX_F32)));
    tn_px_loop_end(x, &l);
    return warp ? tn_px_warp_max(x, top) : tn_px_block_max(x, top);
}

/* Writes zeros to bytes [lo, hi) of a row; multiples of 4. */
static void zeros(TnPtx *b, TnPxV out, size_t lo, size_t hi) {
    if (lo >= hi) return;
    TN_CHECK(lo % 4 == 0 && hi % 4 == 0);
    TnPxLoop l = tn_px_strided(&b->x, tn_px_u((uint32_t)((hi - lo) / 4)));
    tn_px_put(&b->x, tn_px_at(out, (int64_t)lo), l.i, TN_PX_U32, tn_px_u(0));
    tn_px_loop_end(&b->x, &l);
}
/* The same for bytes, from any place on. */
static void zero_codes(TnPtx *b, TnPxV out, size_t lo, size_t hi) {
    size_t whole = (lo + 3) & ~(size_t)3;
    TnPxV first = PX(&b->x, eq, b->tid, tn_px_u(0));
    for (size_t i = lo; i < whole && i < hi; i++)
        tn_px_put_if(&b->x, first, out, tn_px_u((uint32_t)i), TN_PX_U8, tn_px_u(0));
    zeros(b, out, whole, hi);
}

/* Writes codes of n columns from `codes` on, by this thread's, or lane's, loop; returns the sum of those that it wrote. */
static TnPxV put_codes(TnPtx *b, TnPxV from, TnPxV codes, uint32_t n, TnPxV factor, bool warp) {
    TnPx *x = &b->x;
    TnPxV sum = tn_px_var(x, tn_px_u(0));
    TnPxLoop l = warp ? tn_px_strided_lane(x, tn_px_u(n)) : tn_px_strided(x, tn_px_u(n));
    TnPxV q = tn_px_quant(x, tn_px_get(x, from, l.i, TN_PX_F32), factor);
    PX_TO(x, sum, add, sum, q);
    tn_px_put(x, codes, l.i, TN_PX_S8, q);
    tn_px_loop_end(x, &l);
    return sum;
}

/* Four codes as a word, the first in the lowest byte. */
static TnPxV packed(TnPx *x, const TnPxV q[4]) {
    TnPxV low = PX(x, prmt, q[0], q[1], tn_px_u(0x0040)), high = PX(x, prmt, q[2], q[3], tn_px_u(0x0040));
    return PX(x, prmt, low, high, tn_px_u(0x5410));
}

/* The largest bits of a row, and its first fours, which stay in registers. */
static TnPxV most_by_fours(TnPtx *b, TnPtxFours *c, TnPxV from, TnPxV held[EARLY][4]) {
    TnPx *x = &b->x;
    TnPxV top = tn_px_var(x, tn_px_u(0)), v[4];
    for (uint32_t i = 0; i < c->n; i++) {
        bool some = tn_ptx_four(b, c, i);
        TnPxV *four = i < EARLY ? held[i] : v;
        tn_ptx_get4(b, tn_ptx_four_at(b, from, i, 16), four);
        for (int j = 0; j < 4; j++) PX_TO(x, top, max, top, tn_px_size_bits(x, four[j]));
        tn_ptx_four_end(b, c, some);
    }
    return tn_px_block_max(x, top);
}

static TnPxV codes_by_fours(TnPtx *b, TnPtxFours *c, TnPxV from, TnPxV codes, TnPxV factor,
                            TnPxV held[EARLY][4]) {
    TnPx *x = &b->x;
    TnPxV sum = tn_px_var(x, tn_px_u(0)), v[4], q[4];
    for (uint32_t i = 0; i < c->n; i++) {
        bool some = tn_ptx_four(b, c, i);
        const TnPxV *four = i < EARLY ? held[i] : v;
        if (i >= EARLY) tn_ptx_get4(b, tn_ptx_four_at(b, from, i, 16), v);
        for (int j = 0; j < 4; j++) {
            q[j] = tn_px_quant(x, four[j], factor);
            PX_TO(x, sum, add, sum, q[j]);
        }
        TnPxV word = packed(x, q);
        tn_px_put(x, tn_ptx_four_at(b, codes, i, 4), tn_px_u(0), TN_PX_U32, word);
        tn_ptx_four_end(b, c, some);
    }
    return sum;
}

static void quant(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TN_CHECK(!f->width.kind);
    TnPx *x = &b->x;
    TnRef in = arg(b, ref, 0);
    uint32_t n = (uint32_t)tn_ptx_cols(b, in);
    TnPxV from = tn_ptx_mem(b, f, in), out = tn_ptx_result(b, f, ref), scale, sum;
    TnPxV codes = tn_px_at(out, TN_Q8_HEAD);
    if (tn_ptx_by_fours(n)) {
        TnPxV held[EARLY][4];
        TnPtxFours c = tn_ptx_fours(b, n);
        TnPxV factor = tn_px_quant_factor(x, most_by_fours(b, &c, from, held), &scale);
        sum = codes_by_fours(b, &c, from, codes, factor, held);
    } else {
        TnPxV factor = tn_px_quant_factor(x, most(b, from, n, false), &scale);
        sum = put_codes(b, from, codes, n, factor, false);
    }
    sum = tn_px_block_sum(x, sum);
    zeros(b, out, 8, TN_Q8_HEAD);
    zero_codes(b, out, TN_Q8_HEAD + n, tn_row_bytes(&b->g->nodes[ref].type));
    TnPxV first = PX(x, eq, b->tid, tn_px_u(0));
    tn_px_put_if(x, first, out, tn_px_u(0), TN_PX_F32, scale);
    tn_px_put_if(x, first, out, tn_px_u(1), TN_PX_U32, sum);
}
const TnPtxOp tn_ptx_op_quant = {.can = tn_ptx_yes, .row = quant};

static void quant_groups(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TN_CHECK(!f->width.kind);
    TnPx *x = &b->x;
    const TnType *t = &b->g->nodes[ref].type;
    TnRef in = arg(b, ref, 0);
    size_t part = tn_q8g_part(t), groups = (size_t)tn_type_row_scales(t), n = t->group;
    TnPxV from = tn_ptx_mem(b, f, in), out = tn_ptx_result(b, f, ref);
    TnPxLoop g = heads(b, tn_px_u((uint32_t)(groups * n)), (int64_t)n);
    TnPxV values = tn_px_index(x, from, g.i, (uint32_t)n * 4), scale;
    TnPxV codes = tn_px_index(x, tn_px_at(out, 2 * (int64_t)part), g.i, (uint32_t)n);
    TnPxV factor = tn_px_quant_factor(x, most(b, values, (uint32_t)n, true), &scale);
    TnPxV sum = tn_px_warp_sum(x, put_codes(b, values, codes, (uint32_t)n, factor, true));
    TnPxV place = tn_px_index(x, out, g.i, 4), first = PX(x, eq, tn_px_lane(x), tn_px_u(0));
    tn_px_put_if(x, first, place, tn_px_u(0), TN_PX_F32, scale);
    tn_px_put_if(x, first, place, tn_px_u((uint32_t)part / 4), TN_PX_U32, sum);
    tn_px_loop_end(x, &g);
    zeros(b, out, 4 * groups, part);
    zeros(b, out, part + 4 * groups, 2 * part);
    zeros(b, out, 2 * part + groups * n, tn_row_bytes(t));
}
const TnPtxOp tn_ptx_op_quant_groups = {.can = tn_ptx_yes, .row = quant_groups};
