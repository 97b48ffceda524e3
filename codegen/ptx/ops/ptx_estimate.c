/* estimate q, s: products of both limbs of a row with the codes of a shadow table, exact by dp4a; then in double, as the op is
 * defined, where all but the last rounding is exact. A warp computes a column; its lanes share the words of the row of codes.
 *
 * The bytes of s8 are c + 128: with the highest bit turned over they are c. Those of s6 are u = c + 32, and the sum over u is
 * the sum over c and 32 times the sum of the limb, which is in the row's head. */
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/skeletons/ptx_cols.h"

#define MOST_ROW_KB 96
enum {
    THREADS = 128,
    MOST_T = 4,
    MOST_ROW = MOST_ROW_KB << 10,
    MOST_SHARED = 48 << 10,
    WORDS = 16,
    S6_BLOCK = 192
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

static void add_s8(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV row) {
    TnPx *x = &b->x;
    TnPxLoop l = tn_px_strided_lane(x, tn_px_u((uint32_t)tn_row_bytes(table_of(b)) / 4));
    TnPxV codes = PX(x, xor, tn_px_get(x, row, l.i, TN_PX_U32), tn_px_u(0x80808080u));
    add_codes(b, u, s, codes, PX(x, shl, l.i, tn_px_u(2)));
    tn_px_loop_end(x, &l);
}

/* Word j of a block has codes 64q + 4j .. 64q + 4j + 3 for q = 0 .. 3 (ir/type_layout.h). */
static void add_s6(TnPtx *b, const TnPtxUnit *u, Sums *s, TnPxV row) {
    TnPx *x = &b->x;
    TnPxLoop l = tn_px_strided_lane(x, tn_px_u((uint32_t)tn_row_bytes(table_of(b)) / S6_BLOCK * WORDS));
    TnPxV block = PX(x, shr, l.i, tn_px_u(4)), j = PX(x, and, l.i, tn_px_u(WORDS - 1)), low[2];
    TnPxV from = tn_px_index(x, row, block, S6_BLOCK), at = PX(x, shl, j, tn_px_u(2));
    for (int i = 0; i < 2; i++) low[i] = tn_px_get(x, tn_px_at(from, 64 * i), j, TN_PX_U32);
    TnPxV high = tn_px_get(x, tn_px_at(from, 128), j, TN_PX_U32);
    at = PX(x, mad, block, tn_px_u(256), at);
    for (uint32_t q = 0; q < 4; q++) {
        TnPxV nibbles = q % 2 ? PX(x, shr, low[q / 2], tn_px_u(4)) : low[q / 2];
        TnPxV pairs = q ? PX(x, shr, high, tn_px_u(2 * q)) : high;
        nibbles = PX(x, and, nibbles, tn_px_u(0x0f0f0f0f));
        pairs = PX(x, shl, PX(x, and, pairs, tn_px_u(0x03030303)), tn_px_u(4));
        add_codes(b, u, s, PX(x, or, nibbles, pairs), PX(x, add, at, tn_px_u(64 * q)));
    }
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
    (t->enc == TN_ENC_s8 ? add_s8 : add_s6)(b, u, &s, row);
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
    return tn_row_bytes(&g->nodes[n->args[0]].type) <= MOST_ROW && tn_kernel_parts(g, n->kernel, parts) > 0;
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
    .can = can, .limit = "estimate of rows of more than " TN_PTX_TEXT(MOST_ROW_KB) " KB", .kernel = kernel};
