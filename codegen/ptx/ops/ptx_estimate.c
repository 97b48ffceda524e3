/* estimate q, s: products of both limbs of a row with the codes of a shadow table, exact by dp4a; then in double, as the op is
 * defined, where all but the last rounding is exact. A thread computes a column, since the words of neighbouring rows of the table
 * lie side by side (ir/type_layout.h): the 16 threads of a plane read 64 bytes at once, and all threads the same limbs.
 *
 * The bytes of s8 are c + 128: with the highest bit turned over they are c. Those of s6 are u = c + 32, and the sum over u is
 * the sum over c and 32 times the sum of the limb, which is in the row's head. s5 is refused: its levels need a table of bytes. */
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/skeletons/ptx_cols.h"

#define MOST_ROW_KB 96
enum {
    THREADS = 64, /* a unit has the 64 columns of a block */
    MOST_T = 4,
    MOST_ROW = MOST_ROW_KB << 10,
    MOST_SHARED = 48 << 10,
    TOGETHER = 4, /* steps whose loads are in flight at once; the padding of K is a multiple of them */
    STEP_WORDS = 3
};

/* A column being summed: for each row of the block its two sums. */
typedef struct Sums {
    TnPxV high[MOST_T], low[MOST_T];
} Sums;

static const TnType *table_of(const TnPtx *b) {
    return &b->g->nodes[b->g->nodes[b->k->root].args[1]].type;
}
static const TnType *row_of(const TnPtx *b) {
    return &b->g->nodes[b->g->nodes[b->k->root].args[0]].type;
}

/* Adds four codes, of step i (r). */
static void add_codes(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV codes, TnPxV i) {
    TnPx *x = &b->x;
    int64_t padded = (int64_t)(tn_row_bytes(row_of(b)) - TN_Q14_HEAD) / 2;
    for (uint32_t t = 0; t < u->rows; t++) {
        TnPxV high = tn_px_at(u->x[t], TN_Q14_HEAD), low = tn_px_at(high, padded);
        TnPxV h = tn_px_get(x, high, i, TN_PX_U32), l = tn_px_get(x, low, i, TN_PX_U32);
        PX_TO(x, s->high[t], dp4a_ss, codes, h, s->high[t]);
        PX_TO(x, s->low[t], dp4a_ss, codes, l, s->low[t]);
    }
}

/* A row of the table: its words of a step of four columns are at `words` of that step's lines; the plane q (r) that it is in. */
typedef struct Place {
    TnPxV words, q;
} Place;

static Place place_of(TnPtx *b, TnPxV table, TnPxV r) {
    TnPx *x = &b->x;
    uint32_t block = TN_BESIDE * (uint32_t)tn_row_bytes(table_of(b));
    TnPxV at = tn_px_index(x, table, PX(x, shr, r, tn_px_u(6)), block);
    Place p = {.q = PX(x, and, PX(x, shr, r, tn_px_u(4)), tn_px_u(3))};
    p.words = tn_px_index(x, at, PX(x, and, r, tn_px_u(15)), 4);
    if (table_of(b)->enc == TN_ENC_s8) p.words = tn_px_index(x, p.words, p.q, 64);
    return p;
}

/* The words of step i (r): of s8 the row's own, of s6 those of all three lines. */
static void load_words(TnPtx *b, const Place *p, TnPxV i, TnPxV *out) {
    TnPx *x = &b->x;
    bool six = table_of(b)->enc == TN_ENC_s6;
    TnPxV from = tn_px_index(x, p->words, i, six ? 192 : 256);
    for (int k = 0; k < (six ? 3 : 1); k++)
        out[k] = tn_px_get(x, tn_px_at(from, 64 * k), tn_px_u(0), TN_PX_U32);
}

/* The four codes: of s8 c, of s6 u. */
static TnPxV codes_of(TnPtx *b, const Place *p, const TnPxV *w) {
    TnPx *x = &b->x;
    if (table_of(b)->enc == TN_ENC_s8) return PX(x, xor, *w, tn_px_u(0x80808080u));
    TnPxV own = PX(x, sel, w[1], w[0], PX(x, eq, p->q, tn_px_u(1)));
    own = PX(x, and, PX(x, sel, w[2], own, PX(x, eq, p->q, tn_px_u(2))), tn_px_u(0x3f3f3f3fu));
    TnPxV top = PX(x, and, PX(x, shr, w[0], tn_px_u(2)), tn_px_u(0x30303030u));
    top = PX(x, or, top, PX(x, and, PX(x, shr, w[1], tn_px_u(4)), tn_px_u(0x0c0c0c0cu)));
    top = PX(x, or, top, PX(x, and, PX(x, shr, w[2], tn_px_u(6)), tn_px_u(0x03030303u)));
    return PX(x, sel, top, own, PX(x, eq, p->q, tn_px_u(3)));
}

static void add_row(TnPtx *b, const TnPtxUnit *u, Sums *s, const Place *p) {
    TnPx *x = &b->x;
    const TnEncInfo *e = &tn_encs[table_of(b)->enc];
    uint32_t steps = (uint32_t)tn_row_bytes(table_of(b)) / e->block_bytes * (e->block_elems / 4);
    TnPxV words[TOGETHER][STEP_WORDS], at[TOGETHER];
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(steps), tn_px_u(TOGETHER));
    for (uint32_t i = 0; i < TOGETHER; i++) {
        at[i] = i ? PX(x, add, l.i, tn_px_u(i)) : l.i;
        load_words(b, p, at[i], words[i]);
    }
    for (uint32_t i = 0; i < TOGETHER; i++) add_codes(b, u, s, codes_of(b, p, words[i]), at[i]);
    tn_px_loop_end(x, &l);
}

/* (128 H + L) * (scale * d), rounded once. */
static TnPxV result(TnPtx *b, TnPxV h, TnPxV l, TnPxV scale, TnPxV d) {
    TnPx *x = &b->x;
    TnPxV whole = PX(x, mul_g, PX(x, s32_to_f64, h), tn_px_g(128.0));
    whole = PX(x, add_g, whole, PX(x, s32_to_f64, l));
    return PX(x, to_f32, PX(x, mul_g, whole, PX(x, mul_g, PX(x, to_f64, scale), PX(x, to_f64, d))));
}

static void finish(TnPtx *b, TnPtxUnit *u) {
    TnPx *x = &b->x;
    const TnType *t = table_of(b);
    TnPxV table = tn_ptx_operand(b, b->g->nodes[b->k->root].args[1]), valid;
    TnPxV scales = tn_px_at(table, (int64_t)tn_tail_at(t));
    TnPxLoop slot = tn_px_strided(x, tn_px_u(u->slots));
    TnPxV r = tn_ptx_slot_row(b, u, slot.i, &valid);
    Place place = place_of(b, table, r);
    Sums s;
    for (uint32_t i = 0; i < u->rows; i++) {
        s.high[i] = tn_px_var(x, tn_px_u(0));
        s.low[i] = tn_px_var(x, tn_px_u(0));
    }
    add_row(b, u, &s, &place);
    TnPxV scale = tn_px_get(x, scales, r, TN_PX_F32);
    for (uint32_t i = 0; i < u->rows; i++) {
        TnPxV h = s.high[i], l = s.low[i];
        if (t->enc == TN_ENC_s6) {
            TnPxV minus = tn_px_u((uint32_t)-32);
            h = PX(x, mad, tn_px_get(x, u->x[i], tn_px_u(1), TN_PX_U32), minus, h);
            l = PX(x, mad, tn_px_get(x, u->x[i], tn_px_u(2), TN_PX_U32), minus, l);
        }
        TnPxV v = result(b, h, l, scale, tn_px_get(x, u->x[i], tn_px_u(0), TN_PX_F32));
        tn_px_put_if(x, valid, tn_px_index(x, u->words, tn_px_u(i), u->slots * 4), slot.i, TN_PX_F32, v);
    }
    tn_px_loop_end(x, &slot);
}

static void begin(TnPtx *b, TnPtxUnit *u) {
    (void)b, (void)u; /* the table streams for long: nothing is gained by its first loads */
}

static bool can(const TnGraph *g, TnRef ref) {
    const TnNode *n = &g->nodes[ref];
    TnPart parts[TN_PARTS_MAX];
    return g->nodes[n->args[1]].type.enc != TN_ENC_s5 &&
           tn_row_bytes(&g->nodes[n->args[0]].type) <= MOST_ROW && tn_kernel_parts(g, n->kernel, parts) > 0;
}

static void kernel(TnPtx *b) {
    uint32_t bytes = (uint32_t)tn_row_bytes(row_of(b));
    TnPtxProduct p = {.threads = THREADS,
                      .rows = tn_ptx_most_rows(b) == 1 ? 1 : MOST_T,
                      .copied = bytes,
                      .room = bytes,
                      .begin = begin,
                      .finish = finish};
    while (p.rows > 1 && p.rows * p.room > MOST_SHARED) p.rows /= 2;
    tn_ptx_by_columns(b, &p);
}
const TnPtxOp tn_ptx_op_estimate = {
    .can = can,
    .limit = "estimate by 5 bits, or of rows of more than " TN_PTX_TEXT(MOST_ROW_KB) " KB",
    .kernel = kernel};
