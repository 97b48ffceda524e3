/* tmatmul over p64 as it lies, by dp4a.
 *
 * A few lanes share a row of weights: lane i of G takes the pieces of 16 bytes i, i + G, .. A piece is 64 codes of one line,
 * four planes of 16, and belongs to activations 64 q + 16 p of the line, p its place. Codes are w + 1, so the sum of the
 * activations, which their row has, is subtracted at the end. A lane does R rows of weights at once, which share the loads of
 * activations.
 *
 * With one row of activations a plane is masked where it lies: codes at bits 2q of a byte are the codes times 4^q, and an
 * accumulator for each plane is shifted at the end, exactly. With more rows planes are shifted down first, once for all
 * rows, and there is one accumulator.
 *
 * All loads of weights of a block are issued before any product, and those of the first block before the prologue. */
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/ops/ptx_tmatmul.h"

#include <stdlib.h>
#include "runtime/base/arena.h"

#define MOST_ROW_KB 96
enum { PIECE = 16, WORDS = 4, PLANES = 4, MOST_R = 4, MOST_PIECES = 28 };
enum {
    MOST_ROW = MOST_ROW_KB << 10,
    MOST_SHARED = 48 << 10
}; /* bytes of a row of activations, of a block of them */

/* How a CTA goes through its slots and through K. */
typedef struct Shape {
    uint32_t lanes, groups; /* lanes of a row; rows that the CTA's lanes hold at once */
    uint32_t r, rounds;     /* rows of a lane; times that the CTA goes through K */
    uint32_t pieces;        /* of a row */
    uint32_t mine, block;   /* pieces of a lane; those that are loaded together */
    bool masked;
} Shape;

typedef struct State {
    TnPxV sub, group;  /* r: the lane's place among those of its row; its row */
    TnPxV row[MOST_R]; /* G: the lane's first piece of each row */
    TnPxV valid[MOST_R], slot[MOST_R];
    TnPxV w[MOST_R][MOST_PIECES][WORDS];
    TnPxV from[TN_PTX_ROWS]; /* S: the activations of the lane's first piece */
    TnPxV acc[MOST_R][TN_PTX_ROWS];
    bool loaded;
} State;

static TnRef weights_of(const TnPtx *b) {
    return b->g->nodes[b->k->root].args[1];
}

/* ---- shapes */

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
static uint32_t up(uint32_t a, uint32_t b) {
    return (a + b - 1) / b;
}

static Shape shape_of(const TnPtx *b, const TnPtxUnit *u) {
    const TnType *w = &b->g->nodes[weights_of(b)].type;
    Shape s = {.pieces = (uint32_t)(tn_row_bytes(w) / PIECE)};
    s.lanes = s.pieces <= 4 ? 4 : 8;
    s.groups = b->x.threads / s.lanes;
    s.r = least(up(u->slots, s.groups), u->rows > 1 ? 2 : MOST_R);
    s.rounds = up(u->slots, s.groups * s.r);
    s.mine = up(s.pieces, s.lanes);
    s.block = least(s.mine, (u->rows > 1 ? 8 : MOST_PIECES) / s.r);
    /* a plane's accumulator: K / 4 products of 3 * 64 and 127 */
    s.masked = u->rows == 1 && w->dim[1] < 350000;
    return s;
}

/* Whether the blocks of a round would be too much text one after another. */
static bool is_long(const Shape *s, uint32_t rows) {
    enum {
        MOST = 64
    }; /* pieces times rows of weights: 32 instructions each for one row of activations, more for more */
    return s->r * s->mine * (rows + 1) / 2 > MOST && s->pieces / s->lanes / s->block > 1;
}

/* ---- loads */

/* Places the lane's rows of a round. */
static void find_rows(TnPtx *b, const TnPtxUnit *u, const Shape *s, uint32_t round, State *st) {
    TnPx *x = &b->x;
    uint32_t bytes = (uint32_t)tn_row_bytes(&b->g->nodes[weights_of(b)].type);
    TnPxV first = tn_px_index(x, tn_ptx_operand(b, weights_of(b)), st->sub, PIECE);
    for (uint32_t r = 0; r < s->r; r++) {
        st->slot[r] = PX(x, add, st->group, tn_px_u((round * s->r + r) * s->groups));
        TnPxV row = tn_ptx_slot_row(b, u, st->slot[r], &st->valid[r]);
        st->row[r] = tn_px_index(x, first, row, bytes);
    }
}

/* Loads `n` pieces of each row, from the lane's piece `from` on. A lane that has no such piece gets zeros: codes that add
 * nothing. */
static void load(TnPtx *b, const Shape *s, State *st, uint32_t from, uint32_t n) {
    TnPx *x = &b->x;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t piece = (from + i) * s->lanes;
        bool all = piece + s->lanes <= s->pieces;
        TnPxV has = {0};
        if (!all) has = PX(x, lt, st->sub, tn_px_u(s->pieces - piece));
        for (uint32_t r = 0; r < s->r; r++) {
            TnPxV *w = st->w[r][i];
            if (!all)
                for (int k = 0; k < WORDS; k++) w[k] = tn_px_var(x, tn_px_u(0));
            if (!all) tn_px_when(x, has);
            TnPxV at = tn_px_at(st->row[r], (int64_t)piece * PIECE);
            if (all)
                PX_MANY(x, w, ld4, at);
            else
                tn_px_op(x, TN_PX_ld4, w, &at, 1);
        }
    }
}

/* ---- products */

static void products(TnPtx *b, const TnPtxUnit *u, const Shape *s, State *st, const TnPxV *from,
                     uint32_t piece, uint32_t i) {
    TnPx *x = &b->x;
    TnPxV m[MOST_R][WORDS];
    for (uint32_t q = 0; q < PLANES; q++) {
        for (uint32_t r = 0; r < s->r; r++)
            for (uint32_t k = 0; k < WORDS; k++) {
                TnPxV w = st->w[r][i][k];
                if (!s->masked && q) w = PX(x, shr, w, tn_px_u(2 * q));
                m[r][k] = PX(x, and, w, tn_px_u(s->masked ? 0x03030303u << 2 * q : 0x03030303u));
            }
        for (uint32_t t = 0; t < u->rows; t++) {
            TnPxV a[WORDS], at = from[t];
            at.bits += (uint64_t)piece * s->lanes / 4 * 256 + q * 64;
            PX_MANY(x, a, lds4, at);
            for (uint32_t r = 0; r < s->r; r++)
                for (uint32_t k = 0; k < WORDS; k++) {
                    TnPxV acc = st->acc[r][s->masked ? q : t];
                    PX_TO(x, acc, dp4a_us, m[r][k], a[k], acc);
                }
        }
    }
}

/* Where the activations of the lane's piece begin in each row: piece sub of a line is part sub % 4 of line sub / 4. */
static void find_activations(TnPtx *b, const TnPtxUnit *u, TnPxV sub, TnPxV *out) {
    TnPx *x = &b->x;
    TnPxV line = PX(x, shr, sub, tn_px_u(2)), part = PX(x, and, sub, tn_px_u(3));
    TnPxV at = PX(x, mad, line, tn_px_u(256), PX(x, mul, part, tn_px_u(PIECE)));
    for (uint32_t t = 0; t < u->rows; t++) out[t] = tn_px_at(tn_px_index(x, u->x[t], at, 1), TN_Q8_HEAD);
}

/* Multiplies the block of pieces from `from` on, of which `n` are loaded. Lanes without a last piece multiply zeros by the
 * activations of the first lane. */
static void multiply(TnPtx *b, const TnPtxUnit *u, const Shape *s, State *st, uint32_t from, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t piece = (from + i) * s->lanes;
        const TnPxV *at = st->from;
        TnPxV last[TN_PTX_ROWS];
        if (piece + s->lanes > s->pieces) {
            TnPxV has = PX(&b->x, lt, st->sub, tn_px_u(s->pieces - piece));
            find_activations(b, u, PX(&b->x, sel, st->sub, tn_px_u(0), has), last);
            at = last;
        }
        products(b, u, s, st, at, from + i, i);
    }
}

/* Sums of a row's lanes, each 4^q times too large for plane q if masked, less the activations' sum, to the words. */
static void sum_up(TnPtx *b, const TnPtxUnit *u, const Shape *s, const State *st) {
    TnPx *x = &b->x;
    TnPxV first = PX(x, eq, st->sub, tn_px_u(0));
    for (uint32_t t = 0; t < u->rows; t++) {
        TnPxV minus = tn_px_get(x, u->x[t], tn_px_u(1), TN_PX_U32);
        TnPxV words = tn_px_index(x, u->words, tn_px_u(t), u->slots * 4);
        for (uint32_t r = 0; r < s->r; r++) {
            TnPxV sum = st->acc[r][s->masked ? 0 : t];
            for (uint32_t q = 1; s->masked && q < PLANES; q++)
                sum = PX(x, add, sum, PX(x, sar, st->acc[r][q], tn_px_u(2 * q)));
            for (uint32_t apart = s->lanes / 2; apart; apart /= 2)
                sum = PX(x, add, sum, PX(x, bfly, sum, tn_px_i(apart), tn_px_i(31), tn_px_i(-1)));
            TnPxV p = PX(x, both, first, st->valid[r]);
            tn_px_put_if(x, p, words, st->slot[r], TN_PX_U32, PX(x, sub, sum, minus));
        }
    }
}

/* Blocks that all lanes have whole, in a loop: weights and activations are addressed by registers that move on. */
static void loop_blocks(TnPtx *b, const TnPtxUnit *u, const Shape *s, State *st, uint32_t blocks) {
    TnPx *x = &b->x;
    State in = *st;
    for (uint32_t r = 0; r < s->r; r++) in.row[r] = tn_ptx_cursor(b, st->row[r]);
    for (uint32_t t = 0; t < u->rows; t++) in.from[t] = tn_ptx_cursor(b, st->from[t]);
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(blocks), tn_px_u(1));
    load(b, s, &in, 0, s->block);
    multiply(b, u, s, &in, 0, s->block);
    for (uint32_t r = 0; r < s->r; r++) tn_ptx_advance(b, in.row[r], s->block * s->lanes * PIECE);
    for (uint32_t t = 0; t < u->rows; t++) tn_ptx_advance(b, in.from[t], s->block * s->lanes / 4 * 256);
    tn_px_loop_end(x, &l);
}

static void multiply_round(TnPtx *b, const TnPtxUnit *u, const Shape *s, State *st) {
    find_activations(b, u, st->sub, st->from);
    for (uint32_t r = 0; r < s->r; r++)
        for (uint32_t i = 0; i < (s->masked ? PLANES : u->rows); i++)
            st->acc[r][i] = tn_px_var(&b->x, tn_px_u(0));
    uint32_t whole = s->pieces / s->lanes / s->block, done = 0;
    if (is_long(s, u->rows)) {
        loop_blocks(b, u, s, st, whole);
        done = whole * s->block;
    }
    for (; done < s->mine; done += s->block) {
        uint32_t n = least(s->block, s->mine - done);
        if (done || !st->loaded) load(b, s, st, done, n);
        multiply(b, u, s, st, done, n);
    }
    sum_up(b, u, s, st);
}

/* ---- the kernel */

static void begin(TnPtx *b, TnPtxUnit *u) {
    TnPx *x = &b->x;
    Shape s = shape_of(b, u);
    State *st = u->state;
    *st = (State){.loaded = false};
    st->sub = PX(x, and, b->tid, tn_px_u(s.lanes - 1));
    st->group = PX(x, div, b->tid, tn_px_u(s.lanes));
    find_rows(b, u, &s, 0, st);
    if (is_long(&s, u->rows)) return;
    load(b, &s, st, 0, s.block);
    st->loaded = true;
}

static void finish(TnPtx *b, TnPtxUnit *u) {
    Shape s = shape_of(b, u);
    State *st = u->state;
    for (uint32_t round = 0; round < s.rounds; round++) {
        if (round) find_rows(b, u, &s, round, st);
        multiply_round(b, u, &s, st);
        st->loaded = false;
    }
}

/* A third operand has the same weights by columns, which need not be read. */
static bool can(const TnGraph *g, TnRef ref) {
    const TnNode *n = &g->nodes[ref];
    TnPart parts[TN_PARTS_MAX];
    return g->nodes[n->args[1]].type.enc == TN_ENC_p64 && tn_kernel_parts(g, n->kernel, parts) > 0 &&
           tn_row_bytes(&g->nodes[n->args[0]].type) <= MOST_ROW;
}

static void kernel(TnPtx *b) {
    uint32_t row = (uint32_t)tn_row_bytes(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type);
    int64_t most = tn_ptx_most_rows(b);
    if (tn_ptx_tmatmul_takes_tiles(b)) {
        tn_ptx_tmatmul_tiles(b);
        return;
    }
    TnPtxProduct p = {
        .rows = most == 1 ? 1 : TN_PTX_ROWS, .copied = row, .room = row, .begin = begin, .finish = finish};
    while (p.rows > 1 && p.rows * row > MOST_SHARED) p.rows /= 2;
    p.threads = b->k->grain >= 64 ? 256 : 128;
    State *st = tn_xcalloc(1, sizeof *st);
    p.state = st;
    tn_ptx_by_columns(b, &p);
    free(st);
}
const TnPtxOp tn_ptx_op_tmatmul = {
    .can = can, .limit = "tmatmul of rows of more than " TN_PTX_TEXT(MOST_ROW_KB) " KB", .kernel = kernel};
