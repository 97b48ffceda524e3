/* tmatmul_groups over r64: blocks of 64 rows of weights side by side, by dp4a.
 *
 * A line of 64 bytes has 4 columns of 64 rows: word r has rows 16 q + r in bits 2q of its bytes. A warp takes a group of
 * columns of a block: 16 lanes the words of its first half of lines, 16 lanes those of its second, so that no sum is taken
 * over more than two lanes. Planes are masked where they lie, and sums shifted down at the end of the group, exactly.
 *
 * The floats have an order: group by group. So the sums of TURN groups go to shared memory, and a thread a row continues its
 * chain, y = fma((float)acc, s * d, y). Sums of groups do not wait for each other. */
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/ops/ptx_tmatmul.h"

#include "ir/r64.h"

#define MOST_ROW_KB 64
enum { THREADS = 256, WARPS = THREADS / 32, TURN = 2 * WARPS, PLANES = 4, MOST_T = THREADS / TN_BESIDE };
enum {
    MOST_ROW = MOST_ROW_KB << 10,
    MOST_SHARED = 48 << 10
}; /* bytes of a row of activations, of a block of them */

typedef struct Groups {
    const TnType *w;
    uint32_t n, groups, bytes,
        part;         /* columns of a group; groups; bytes of a block's group; of q8g's scales */
    TnPxV lane, warp; /* r */
    TnPxV sums;       /* S: [row of the block][group of the turn][64] */
} Groups;

static TnRef weights_of(const TnPtx *b) {
    return b->g->nodes[b->k->root].args[1];
}

/* The sums of group `g` (r), at `place` (r) of the turn. block: G. */
static void sum_group(TnPtx *b, const TnPtxUnit *u, const Groups *o, TnPxV block, TnPxV g, TnPxV place) {
    TnPx *x = &b->x;
    uint32_t lines = o->n / 8; /* of a half */
    TnPxV half = PX(x, shr, o->lane, tn_px_u(4)), word = PX(x, and, o->lane, tn_px_u(15));
    TnPxV from = tn_px_index(x, tn_px_index(x, block, g, o->bytes), half, lines * 64);
    from = tn_px_index(x, from, word, 4);
    TnPxV w[32], at[TN_PTX_ROWS], acc[TN_PTX_ROWS][PLANES];
    TN_CHECK(lines <= 32 && lines % 4 == 0);
    for (uint32_t l = 0; l < lines; l++) w[l] = PX(x, ld, tn_px_index(x, from, tn_px_u(l), 64));
    for (uint32_t t = 0; t < u->rows; t++) {
        at[t] = tn_px_index(x, tn_px_index(x, u->x[t], tn_px_u(2), o->part), g, o->n);
        at[t] = tn_px_index(x, at[t], half, lines * 4);
        for (uint32_t q = 0; q < PLANES; q++) acc[t][q] = tn_px_var(x, tn_px_u(0));
    }
    for (uint32_t l = 0; l < lines; l += 4)
        for (uint32_t t = 0; t < u->rows; t++) {
            TnPxV a[4];
            PX_MANY(x, a, lds4, tn_px_index(x, at[t], tn_px_u(l), 4));
            for (uint32_t i = 0; i < 4; i++)
                for (uint32_t q = 0; q < PLANES; q++) {
                    TnPxV m = PX(x, and, w[l + i], tn_px_u(0x03030303u << 2 * q));
                    PX_TO(x, acc[t][q], dp4a_us, m, a[i], acc[t][q]);
                }
        }
    TnPxV second = PX(x, ne, half, tn_px_u(0));
    for (uint32_t t = 0; t < u->rows; t++) {
        TnPxV minus = tn_px_get(x, tn_px_index(x, u->x[t], tn_px_u(1), o->part), g, TN_PX_U32), v[PLANES];
        for (uint32_t q = 0; q < PLANES; q++) {
            v[q] = PX(x, add, acc[t][q], PX(x, bfly, acc[t][q], tn_px_i(16), tn_px_i(31), tn_px_i(-1)));
            if (q) v[q] = PX(x, sar, v[q], tn_px_u(2 * q));
            v[q] = PX(x, sub, v[q], minus);
        }
        /* lanes of the first half store planes 0 and 1, those of the second 2 and 3 */
        TnPxV to =
            tn_px_index(x, tn_px_index(x, o->sums, tn_px_u(t), TURN * TN_BESIDE * 4), place, TN_BESIDE * 4);
        to = tn_px_index(x, tn_px_index(x, to, half, 128), word, 4);
        tn_px_put(x, to, tn_px_u(0), TN_PX_U32, PX(x, sel, v[2], v[0], second));
        tn_px_put(x, to, tn_px_u(16), TN_PX_U32, PX(x, sel, v[3], v[1], second));
    }
}

/* Continues a row's chain by the groups [g0, end) of the turn. */
static void chain(TnPtx *b, const TnPtxUnit *u, const Groups *o, TnPxV block, TnPxV g0, TnPxV end, TnPxV y) {
    TnPx *x = &b->x;
    TnPxV c = PX(x, and, b->tid, tn_px_u(TN_BESIDE - 1)), t = PX(x, shr, b->tid, tn_px_u(6));
    TnPxV sums = tn_px_index(x, tn_px_index(x, o->sums, t, TURN * TN_BESIDE * 4), c, 4), row = u->x[0];
    if (u->rows > 1)
        row = tn_px_index(x, row, t,
                          (uint32_t)tn_row_bytes(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type));
    TnPxV scales = tn_px_index(x, tn_px_index(x, block, tn_px_u(1), o->n * 16), c, 2);
    TnPxLoop g = tn_px_loop(x, g0, end, tn_px_u(1));
    TnPxV acc = tn_px_get(x, tn_px_index(x, sums, PX(x, sub, g.i, g0), TN_BESIDE * 4), tn_px_u(0), TN_PX_U32);
    TnPxV s = tn_px_get(x, tn_px_index(x, scales, g.i, o->bytes), tn_px_u(0), TN_PX_F16);
    TnPxV d = tn_px_get(x, row, g.i, TN_PX_F32);
    PX_TO(x, y, fma_f, PX(x, from_s32, acc), PX(x, mul_f, s, d), y);
    tn_px_loop_end(x, &g);
}

/* The columns of base i of the unit that lie in block `number` (r) of the weights. */
static void multiply_block(TnPtx *b, const TnPtxUnit *u, const Groups *o, uint32_t i, TnPxV number,
                           TnPxV first) {
    TnPx *x = &b->x;
    TnPxV block = PX(x, mul_d, PX(x, widen, number), tn_px_l((int64_t)o->groups * o->bytes));
    block = tn_px_at(PX(x, add_d, block, tn_ptx_operand(b, weights_of(b))), 0);
    TnPxV y = tn_px_var(x, tn_px_f(0.0f)), mine = PX(x, lt, b->tid, tn_px_u(u->rows * TN_BESIDE));
    TnPxLoop turn = tn_px_loop(x, tn_px_u(0), tn_px_u(o->groups), tn_px_u(TURN));
    TnPxV end = PX(x, min, PX(x, add, turn.i, tn_px_u(TURN)), tn_px_u(o->groups));
    TnPxLoop g = tn_px_loop(x, PX(x, add, turn.i, o->warp), end, tn_px_u(WARPS));
    sum_group(b, u, o, block, g.i, PX(x, sub, g.i, turn.i));
    tn_px_loop_end(x, &g);
    tn_px_barrier(x);
    TnPxIf some = tn_px_if(x, mine);
    chain(b, u, o, block, turn.i, end, y);
    tn_px_if_end(x, &some);
    tn_px_barrier(x);
    tn_px_loop_end(x, &turn);
    TnPxV c = PX(x, and, b->tid, tn_px_u(TN_BESIDE - 1)), t = PX(x, shr, b->tid, tn_px_u(6));
    TnPxV column = PX(x, sub, PX(x, mad, number, tn_px_u(TN_BESIDE), c), first);
    TnPxV has = PX(x, both, mine, PX(x, lt, column, u->n)); /* columns before the first are large numbers */
    TnPxV words = tn_px_index(x, tn_px_index(x, u->words, tn_px_u(i), u->grain * 4), t, u->slots * 4);
    tn_px_put_if(x, has, words, column, TN_PX_F32, y);
}

static void begin(TnPtx *b, TnPtxUnit *u) {
    (void)b, (void)u;
}

static void finish(TnPtx *b, TnPtxUnit *u) {
    TnPx *x = &b->x;
    Groups o = {.w = &b->g->nodes[weights_of(b)].type};
    uint32_t used = x->used;
    o.n = (uint32_t)o.w->group;
    o.groups = (uint32_t)(o.w->dim[1] / o.n);
    o.bytes = (uint32_t)tn_r64_group_bytes(o.n);
    o.part = (uint32_t)tn_q8g_part(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type);
    o.lane = tn_px_lane(x);
    o.warp = tn_px_warp(x);
    o.sums = tn_px_shared_at(x, tn_px_shared(x, u->rows * TURN * TN_BESIDE * 4, 16));
    for (uint32_t i = 0; i < u->part->n_bases; i++) {
        TnPxV first = PX(x, add, u->lo, tn_px_u((uint32_t)u->part->base[i]));
        TnPxV last = PX(x, add, first, PX(x, sub, u->n, tn_px_u(1)));
        TnPxV end = PX(x, add, PX(x, shr, last, tn_px_u(6)), tn_px_u(1));
        TnPxLoop block = tn_px_loop(x, PX(x, shr, first, tn_px_u(6)), end, tn_px_u(1));
        multiply_block(b, u, &o, i, block.i, first);
        tn_px_loop_end(x, &block);
    }
    x->used = used;
}

static bool can(const TnGraph *g, TnRef ref) {
    const TnNode *n = &g->nodes[ref];
    TnPart parts[TN_PARTS_MAX];
    return g->nodes[n->args[1]].type.enc == TN_ENC_r64 && tn_kernel_parts(g, n->kernel, parts) > 0 &&
           tn_row_bytes(&g->nodes[n->args[0]].type) <= MOST_ROW;
}

static void kernel(TnPtx *b) {
    if (tn_ptx_groups_take_tiles(b)) {
        tn_ptx_groups_tiles(b);
        return;
    }
    uint32_t row = (uint32_t)tn_row_bytes(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type);
    TnPtxProduct p = {.threads = THREADS,
                      .rows = tn_ptx_most_rows(b) == 1 ? 1 : MOST_T,
                      .copied = row,
                      .room = row,
                      .begin = begin,
                      .finish = finish};
    while (p.rows > 1 && p.rows * row > MOST_SHARED) p.rows /= 2;
    tn_ptx_by_columns(b, &p);
}
const TnPtxOp tn_ptx_op_tmatmul_groups = {
    .can = can,
    .limit = "tmatmul_groups of rows of more than " TN_PTX_TEXT(MOST_ROW_KB) " KB",
    .kernel = kernel};
