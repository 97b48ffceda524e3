/* estimate q, s: products of both limbs of a row with the codes of a shadow table, exact by dp4a; then in double, as the op is
 * defined, where all but the last rounding is exact. A warp computes a column; its lanes share the words of the row of codes.
 *
 * The bytes of s8 are c + 128: with the highest bit turned over they are c. Those of s6 are u = c + 32, and the sum over u is
 * the sum over c and 32 times the sum of the limb, which is in the row's head. s5 is refused: its levels need a table of bytes. */
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/skeletons/ptx_cols.h"

#define MOST_ROW_KB 96
enum {
    THREADS = 128,
    MOST_T = 4,
    MOST_ROW = MOST_ROW_KB << 10,
    MOST_SHARED = 48 << 10,
    WORDS = 16,
    S6_BLOCK = 192,
    TOGETHER = 5,
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

/* Adds four codes at byte `at` (r) of the limbs. */
static void add_codes(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV codes, TnPxV at) {
    TnPx *x = &b->x;
    int64_t padded = (int64_t)(tn_row_bytes(row_of(b)) - TN_Q14_HEAD) / 2;
    for (uint32_t t = 0; t < u->rows; t++) {
        TnPxV high = tn_px_at(tn_px_index(x, u->x[t], at, 1), TN_Q14_HEAD), low = tn_px_at(high, padded);
        TnPxV h = tn_px_get(x, high, tn_px_u(0), TN_PX_U32), l = tn_px_get(x, low, tn_px_u(0), TN_PX_U32);
        PX_TO(x, s->high[t], dp4a_ss, codes, h, s->high[t]);
        PX_TO(x, s->low[t], dp4a_ss, codes, l, s->low[t]);
    }
}

/* Words of the table that a lane takes in one step: `load` loads those of step i (r), `add` adds their products. */
typedef struct Step {
    uint32_t n; /* steps of all lanes */
    void (*load)(TnPtx *b, TnPxV row, TnPxV i, TnPxV *out);
    void (*add)(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV i, const TnPxV *words);
} Step;

/* All steps of a row, the loads of TOGETHER of them in flight at once. */
static void add_row(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV row, const Step *step) {
    TnPx *x = &b->x;
    TnPxV words[TOGETHER][STEP_WORDS], at[TOGETHER], lane = tn_px_lane(x);
    uint32_t together = step->n / 32 < TOGETHER ? step->n / 32 : TOGETHER, whole = 0;
    if (together) {
        whole = step->n / (32 * together) * (32 * together);
        TnPxLoop l = tn_px_loop(x, lane, tn_px_u(whole), tn_px_u(32 * together));
        for (uint32_t i = 0; i < together; i++) {
            at[i] = i ? PX(x, add, l.i, tn_px_u(32 * i)) : l.i;
            step->load(b, row, at[i], words[i]);
        }
        for (uint32_t i = 0; i < together; i++) step->add(b, u, s, at[i], words[i]);
        tn_px_loop_end(x, &l);
    }
    if (whole == step->n) return;
    TnPxLoop l = tn_px_loop(x, PX(x, add, lane, tn_px_u(whole)), tn_px_u(step->n), tn_px_u(32));
    step->load(b, row, l.i, words[0]);
    step->add(b, u, s, l.i, words[0]);
    tn_px_loop_end(x, &l);
}

static void load_s8(TnPtx *b, TnPxV row, TnPxV i, TnPxV *out) {
    *out = tn_px_get(&b->x, row, i, TN_PX_U32);
}
static void add_s8(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV i, const TnPxV *words) {
    TnPx *x = &b->x;
    add_codes(b, u, s, PX(x, xor, *words, tn_px_u(0x80808080u)), PX(x, shl, i, tn_px_u(2)));
}

/* Word j of a block has codes 64q + 4j .. 64q + 4j + 3 for q = 0 .. 3 (ir/type_layout.h). */
static void load_s6(TnPtx *b, TnPxV row, TnPxV i, TnPxV *out) {
    TnPx *x = &b->x;
    TnPxV from = tn_px_index(x, row, PX(x, shr, i, tn_px_u(4)), S6_BLOCK);
    TnPxV j = PX(x, and, i, tn_px_u(WORDS - 1));
    for (int k = 0; k < 3; k++) out[k] = tn_px_get(x, tn_px_at(from, 64 * k), j, TN_PX_U32);
}
static void add_s6(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV i, const TnPxV *words) {
    TnPx *x = &b->x;
    TnPxV at = PX(x, shl, PX(x, and, i, tn_px_u(WORDS - 1)), tn_px_u(2));
    at = PX(x, mad, PX(x, shr, i, tn_px_u(4)), tn_px_u(256), at);
    for (uint32_t q = 0; q < 4; q++) {
        TnPxV nibbles = q % 2 ? PX(x, shr, words[q / 2], tn_px_u(4)) : words[q / 2];
        TnPxV pairs = q ? PX(x, shr, words[2], tn_px_u(2 * q)) : words[2];
        nibbles = PX(x, and, nibbles, tn_px_u(0x0f0f0f0f));
        pairs = PX(x, shl, PX(x, and, pairs, tn_px_u(0x03030303)), tn_px_u(4));
        add_codes(b, u, s, PX(x, or, nibbles, pairs), PX(x, add, at, tn_px_u(64 * q)));
    }
}

static Step step_of(const TnPtx *b) {
    const TnType *t = table_of(b);
    uint32_t bytes = (uint32_t)tn_row_bytes(t);
    if (t->enc == TN_ENC_s8) return (Step){.n = bytes / 4, .load = load_s8, .add = add_s8};
    return (Step){.n = bytes / S6_BLOCK * WORDS, .load = load_s6, .add = add_s6};
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
    TnPxV scales = tn_px_at(table, t->dim[0] * (int64_t)tn_row_bytes(t));
    TnPxV first = PX(x, eq, tn_px_lane(x), tn_px_u(0));
    TnPxLoop slot = tn_px_loop(x, tn_px_warp(x), tn_px_u(u->slots), tn_px_u(THREADS / 32));
    TnPxV r = tn_ptx_slot_row(b, u, slot.i, &valid),
          row = tn_px_index(x, table, r, (uint32_t)tn_row_bytes(t));
    Sums s;
    for (uint32_t i = 0; i < u->rows; i++) {
        s.high[i] = tn_px_var(x, tn_px_u(0));
        s.low[i] = tn_px_var(x, tn_px_u(0));
    }
    Step step = step_of(b);
    add_row(b, u, &s, row, &step);
    TnPxV scale = tn_px_get(x, scales, r, TN_PX_F32), put = PX(x, both, first, valid);
    for (uint32_t i = 0; i < u->rows; i++) {
        TnPxV h = tn_px_warp_sum(x, s.high[i]), l = tn_px_warp_sum(x, s.low[i]);
        if (t->enc == TN_ENC_s6) {
            TnPxV minus = tn_px_u((uint32_t)-32);
            h = PX(x, mad, tn_px_get(x, u->x[i], tn_px_u(1), TN_PX_U32), minus, h);
            l = PX(x, mad, tn_px_get(x, u->x[i], tn_px_u(2), TN_PX_U32), minus, l);
        }
        TnPxV v = result(b, h, l, scale, tn_px_get(x, u->x[i], tn_px_u(0), TN_PX_F32));
        tn_px_put_if(x, put, tn_px_index(x, u->words, tn_px_u(i), u->slots * 4), slot.i, TN_PX_F32, v);
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
