/* matmul over dense rows (f32, f16, bf16), in the defined order: 32 chains of fma along the row, then the halving tree.
 *
 * Four lanes share a row of weights. Each has 8 of the 32 chains, neighbours, so that it loads 8 elements at once and its
 * chains do not wait for each other. The tree's first two steps are shuffles between the four lanes, the other three stay in
 * a lane. A lane does up to two rows of weights, which share the loads of activations. Rows of activations that are too long for
 * shared memory are read where they are. */
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/skeletons/ptx_cols.h"

#include <stdlib.h>
#include "runtime/base/arena.h"

enum { LANES = 4, CHAINS = 8, BLOCK = LANES * CHAINS, MOST_R = 2, MOST_T = 4, TOGETHER = 8 };
enum {
    THREADS = 128,
    LONG_ROW = 64 << 10,
    MOST_SHARED = 48 << 10
}; /* bytes: from here on a row is long; of a block of rows in shared memory */

typedef struct State {
    TnPxV sub, group;                     /* r: the lane's place among the four, and which four */
    uint32_t r, rounds;                   /* rows of weights of a lane; times through K */
    TnPxV row[MOST_R], from[TN_PTX_ROWS]; /* G, S: the lane's first elements */
    TnPxV slot[MOST_R], valid[MOST_R];
    TnPxV acc[MOST_R][MOST_T][CHAINS];
} State;

static const TnType *weights_of(const TnPtx *b) {
    return &b->g->nodes[b->g->nodes[b->k->root].args[1]].type;
}

/* A row of activations is read where it is. Shorter rows are padded with zeros in shared memory, so K may be any number. */
static bool is_long(const TnType *w) {
    return w->dim[1] * 4 > LONG_ROW && w->dim[1] % BLOCK == 0;
}

/* Loads the lane's 8 elements of a block, as the words in which they lie. Returns their number. */
static uint32_t load(TnPtx *b, TnEnc enc, TnPxV at, TnPxV words[CHAINS]) {
    PX_MANY(&b->x, words, ld4, at);
    if (enc != TN_ENC_f32) return 4;
    at.bits += 16;
    PX_MANY(&b->x, words + 4, ld4, at);
    return 8;
}

static void widen(TnPtx *b, TnEnc enc, const TnPxV *words, TnPxV out[CHAINS]) {
    TnPx *x = &b->x;
    for (uint32_t i = 0; i < CHAINS; i++) {
        if (enc == TN_ENC_f32) {
            out[i] = PX(x, floats, words[i]);
        } else if (enc == TN_ENC_bf16) {
            TnPxV w = words[i / 2];
            out[i] = PX(x, floats, i % 2 ? PX(x, and, w, tn_px_u(0xffff0000u)) : PX(x, shl, w, tn_px_u(16)));
        } else if (i % 2 == 0) {
            TnPxV halves[2];
            PX_MANY(x, halves, halves, words[i / 2]);
            out[i] = PX(x, from_f16, halves[0]);
            out[i + 1] = PX(x, from_f16, halves[1]);
        }
    }
}

/* Multiplies `n` blocks from the cursors on: all loads of weights first. */
static void multiply(TnPtx *b, const TnPtxUnit *u, State *st, const TnPxV *row, const TnPxV *from,
                     uint32_t n) {
    TnPx *x = &b->x;
    TnEnc enc = weights_of(b)->enc;
    uint32_t size = tn_encs[enc].block_bytes;
    TnPxV words[TOGETHER][MOST_R][CHAINS], w[MOST_R][CHAINS], a[CHAINS];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t r = 0; r < st->r; r++)
            load(b, enc, tn_px_index(x, row[r], tn_px_u(i), BLOCK * size), words[i][r]);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t r = 0; r < st->r; r++) widen(b, enc, words[i][r], w[r]);
        for (uint32_t t = 0; t < u->rows; t++) {
            TnPxV at = tn_px_index(x, from[t], tn_px_u(i), BLOCK * 4);
            bool global = at.kind == 'G';
            for (int i = 0; i < CHAINS; i += 4, at.bits += 16)
                tn_px_many(x, global ? TN_PX_ld4_f : TN_PX_lds4_f, a + i, &at, 1);
            for (uint32_t r = 0; r < st->r; r++)
                for (uint32_t c = 0; c < CHAINS; c++) {
                    TnPxV acc = st->acc[r][t][c];
                    PX_TO(x, acc, fma_f, a[c], w[r][c], acc);
                }
        }
    }
}

/* The tree: chains 16 and 8 apart are another lane's, those 4, 2 and 1 apart the lane's own. */
static TnPxV tree(TnPtx *b, const TnPxV *chains) {
    TnPx *x = &b->x;
    TnPxV v[CHAINS];
    for (uint32_t c = 0; c < CHAINS; c++) {
        v[c] = chains[c];
        for (uint32_t apart = LANES / 2; apart; apart /= 2)
            v[c] = PX(x, add_f, v[c], PX(x, bfly_f, v[c], tn_px_i(apart), tn_px_i(31), tn_px_i(-1)));
    }
    for (uint32_t n = CHAINS / 2; n; n /= 2)
        for (uint32_t c = 0; c < n; c++) v[c] = PX(x, add_f, v[c], v[c + n]);
    return v[0];
}

static void put_sums(TnPtx *b, const TnPtxUnit *u, const State *st) {
    TnPx *x = &b->x;
    TnPxV first = PX(x, eq, st->sub, tn_px_u(0));
    for (uint32_t t = 0; t < u->rows; t++)
        for (uint32_t r = 0; r < st->r; r++) {
            TnPxV sum = tree(b, st->acc[r][t]), words = tn_px_index(x, u->words, tn_px_u(t), u->slots * 4);
            tn_px_put_if(x, PX(x, both, first, st->valid[r]), words, st->slot[r], TN_PX_F32, sum);
        }
}

/* Row t of the block: in shared memory, or a long one. Rows after the step's last are that one. */
static TnPxV row_of(TnPtx *b, const TnPtxUnit *u, uint32_t t) {
    TnPx *x = &b->x;
    if (!is_long(weights_of(b))) return u->x[t];
    TnPxV row = PX(x, min, PX(x, add, u->row0, tn_px_u(t)), PX(x, sub, u->count, tn_px_u(1)));
    return tn_ptx_operand_row(b, b->g->nodes[b->k->root].args[0], row);
}

static void multiply_round(TnPtx *b, const TnPtxUnit *u, State *st, uint32_t round) {
    TnPx *x = &b->x;
    const TnType *w = weights_of(b);
    uint32_t size = tn_encs[w->enc].block_bytes, blocks = (uint32_t)((w->dim[1] + BLOCK - 1) / BLOCK);
    TnPxV first = tn_px_index(x, tn_ptx_operand(b, b->g->nodes[b->k->root].args[1]), st->sub, CHAINS * size);
    for (uint32_t r = 0; r < st->r; r++) {
        st->slot[r] = PX(x, add, st->group, tn_px_u((round * st->r + r) * (THREADS / LANES)));
        TnPxV row = tn_ptx_slot_row(b, u, st->slot[r], &st->valid[r]);
        st->row[r] = tn_ptx_cursor(b, tn_px_index(x, first, row, (uint32_t)tn_row_bytes(w)));
        for (uint32_t t = 0; t < u->rows; t++)
            for (uint32_t c = 0; c < CHAINS; c++) st->acc[r][t][c] = tn_px_var(x, tn_px_f(0.0f));
    }
    for (uint32_t t = 0; t < u->rows; t++)
        st->from[t] = tn_ptx_cursor(b, tn_px_index(x, row_of(b, u, t), st->sub, CHAINS * 4));
    uint32_t together = TOGETHER / (u->rows > 1 ? 2 : 1) / (w->enc == TN_ENC_f32 ? 2 : 1);
    if (blocks >= together) {
        TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(blocks / together), tn_px_u(1));
        multiply(b, u, st, st->row, st->from, together);
        for (uint32_t r = 0; r < st->r; r++) tn_ptx_advance(b, st->row[r], together * BLOCK * size);
        for (uint32_t t = 0; t < u->rows; t++) tn_ptx_advance(b, st->from[t], together * BLOCK * 4);
        tn_px_loop_end(x, &l);
    }
    multiply(b, u, st, st->row, st->from, blocks % together);
    put_sums(b, u, st);
}

static void begin(TnPtx *b, TnPtxUnit *u) {
    (void)b, (void)u; /* the head streams for long: nothing is gained by its first loads */
}

static void finish(TnPtx *b, TnPtxUnit *u) {
    TnPx *x = &b->x;
    State *st = u->state;
    uint32_t groups = THREADS / LANES;
    st->r = u->slots > groups ? MOST_R : 1;
    st->rounds = (u->slots + groups * st->r - 1) / (groups * st->r);
    st->sub = PX(x, and, b->tid, tn_px_u(LANES - 1));
    st->group = PX(x, div, b->tid, tn_px_u(LANES));
    for (uint32_t round = 0; round < st->rounds; round++) multiply_round(b, u, st, round);
}

static bool can(const TnGraph *g, TnRef ref) {
    const TnNode *n = &g->nodes[ref];
    const TnType *w = &g->nodes[n->args[1]].type;
    TnPart parts[TN_PARTS_MAX];
    bool inside = n->args[0] >= g->kernels[n->kernel].first;
    return tn_enc_is_float(w->enc) && !(inside && is_long(w)) && tn_kernel_parts(g, n->kernel, parts) > 0;
}

static void kernel(TnPtx *b) {
    uint32_t k = (uint32_t)weights_of(b)->dim[1];
    TnPtxProduct p = {.threads = THREADS,
                      .rows = tn_ptx_most_rows(b) == 1 ? 1 : MOST_T,
                      .copied = k * 4,
                      .room = (k + BLOCK - 1) / BLOCK * BLOCK * 4,
                      .begin = begin,
                      .finish = finish};
    if (is_long(weights_of(b))) p.copied = p.room = 0;
    while (p.rows > 1 && p.rows * p.room > MOST_SHARED) p.rows /= 2;
    p.state = tn_xcalloc(1, sizeof(State));
    tn_ptx_by_columns(b, &p);
    free(p.state);
}
const TnPtxOp tn_ptx_op_matmul = {.can = can, .kernel = kernel};
