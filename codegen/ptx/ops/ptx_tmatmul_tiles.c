/* tmatmul of many rows over p64 as it lies, by mma.sync.m16n8k32.
 *
 * A tile is 16 slots by 8 rows of activations, summed over 32 columns. Where a fragment's columns are is free, as long as
 * both operands agree: lane t of four has, of a line of weights, the 16 bytes t, whose plane q is columns 64 q + 16 t .. + 15.
 * These are its parts of two tiles' 32 columns, and 16 bytes of a row of activations from 64 q + 16 t on are the other
 * operand's. So weights are loaded 16 bytes at a time and not moved between lanes.
 *
 * A block is 64 rows of activations. Their lines come to shared memory by cp.async, one ahead of the products; 320 bytes
 * apart, so that lanes do not meet in a bank. A warp has one or two tiles of slots and all rows of the block, or, if there are
 * more warps than tiles of slots, a share of the rows. Codes are w + 1: the sum of a row's activations is subtracted. */
#include "codegen/ptx/ops/ptx_tmatmul.h"

enum {
    ROWS = 64,
    TILE_SLOTS = 16,
    TILE_ROWS = 8,
    LINE = 256,
    APART = 320,
    MOST_M = 2,
    MOST_N = ROWS / TILE_ROWS
};

typedef struct Tiles {
    uint32_t m, n, share;    /* tiles of a warp: of slots, of rows; warps that share a tile of slots */
    uint32_t across, rounds; /* tiles of slots that the CTA has at once; times through K */
    uint32_t lines;
    TnPxV g, t, warp;                        /* r: lane / 4, lane % 4, warp */
    TnPxV first_row;                         /* r: the warp's first row of the block */
    TnPxV slot[MOST_M][2], valid[MOST_M][2]; /* rows g and g + 8 of a tile */
    TnPxV row[MOST_M][2];                    /* G: cursors */
    TnPxV acc[MOST_M][MOST_N][4];
    uint32_t room; /* shared: two lines of the block */
} Tiles;

static TnRef arg(const TnPtx *b, uint32_t i) {
    return b->g->nodes[b->k->root].args[i];
}

static Tiles tiles_of(const TnPtx *b, const TnPtxUnit *u) {
    Tiles o = {.share = 1, .lines = (uint32_t)(tn_row_bytes(&b->g->nodes[arg(b, 1)].type) / 64)};
    uint32_t warps = b->x.threads / 32, tiles = (u->slots + TILE_SLOTS - 1) / TILE_SLOTS;
    while (o.share < MOST_N && tiles * o.share * 2 <= warps) o.share *= 2;
    o.n = MOST_N / o.share;
    o.across = warps / o.share;
    o.m = tiles > o.across ? MOST_M : 1;
    o.rounds = (tiles + o.across * o.m - 1) / (o.across * o.m);
    return o;
}

/* Row `i` (r) of the block in the operand; rows after the step's last are that one. */
static TnPxV input_row(TnPtx *b, const TnPtxUnit *u, TnPxV i) {
    TnPx *x = &b->x;
    TnPxV row = PX(x, min, PX(x, add, u->row0, i), PX(x, sub, u->count, tn_px_u(1)));
    return tn_ptx_operand_row(b, arg(b, 0), row);
}

/* Starts the copy of a line of all rows of the block; `from`: G cursors of this thread's pieces. */
static void copy_line(TnPtx *b, const TnPxV *from, uint32_t n, TnPxV to) {
    for (uint32_t i = 0; i < n; i++) {
        TnPxV at = to;
        at.bits += (uint64_t)i * (b->x.threads / 16) * APART;
        PX(&b->x, copy16, at, from[i], tn_px_i(16));
        tn_ptx_advance(b, from[i], LINE);
    }
    PX(&b->x, copy_commit);
}

static void find_slots(TnPtx *b, const TnPtxUnit *u, Tiles *o, uint32_t round) {
    TnPx *x = &b->x;
    const TnType *w = &b->g->nodes[arg(b, 1)].type;
    TnPxV tile = o->share > 1 ? PX(x, div, o->warp, tn_px_u(o->share)) : o->warp;
    TnPxV lane = tn_px_index(x, tn_ptx_operand(b, arg(b, 1)), o->t, 16);
    for (uint32_t m = 0; m < o->m; m++) {
        TnPxV first =
            PX(x, mad, PX(x, add, tile, tn_px_u((round * o->m + m) * o->across)), tn_px_u(TILE_SLOTS), o->g);
        for (uint32_t h = 0; h < 2; h++) {
            o->slot[m][h] = PX(x, add, first, tn_px_u(h * 8));
            TnPxV row = tn_ptx_slot_row(b, u, o->slot[m][h], &o->valid[m][h]);
            o->row[m][h] = tn_ptx_cursor(b, tn_px_index(x, lane, row, (uint32_t)tn_row_bytes(w)));
        }
        for (uint32_t n = 0; n < o->n; n++)
            for (uint32_t i = 0; i < 4; i++) o->acc[m][n][i] = tn_px_var(x, tn_px_u(0));
    }
}

/* The products of a line: weights in w, activations at `from`, the lane's piece of the warp's first row. */
static void multiply_line(TnPtx *b, Tiles *o, TnPxV w[MOST_M][2][4], TnPxV from) {
    TnPx *x = &b->x;
    for (uint32_t q = 0; q < 4; q++) {
        TnPxV a[MOST_M][2][4], v[4];
        for (uint32_t m = 0; m < o->m; m++)
            for (uint32_t h = 0; h < 2; h++)
                for (uint32_t i = 0; i < 4; i++) {
                    TnPxV s = q ? PX(x, shr, w[m][h][i], tn_px_u(2 * q)) : w[m][h][i];
                    a[m][h][i] = PX(x, and, s, tn_px_u(0x03030303u));
                }
        for (uint32_t n = 0; n < o->n; n++) {
            TnPxV at = from;
            at.bits += (uint64_t)n * TILE_ROWS * APART + q * 64;
            PX_MANY(x, v, lds4, at);
            for (uint32_t s = 0; s < 4; s += 2)
                for (uint32_t m = 0; m < o->m; m++) {
                    TnPxV *c = o->acc[m][n];
                    TnPxV in[] = {a[m][0][s], a[m][1][s], a[m][0][s + 1], a[m][1][s + 1], v[s],
                                  v[s + 1],   c[0],       c[1],           c[2],           c[3]};
                    tn_px_op(x, TN_PX_mma_u8s8, c, in, 10);
                }
        }
    }
}

static void multiply(TnPtx *b, const TnPtxUnit *u, Tiles *o) {
    TnPx *x = &b->x;
    uint32_t pieces = ROWS * 16 / x->threads;
    TnPxV from[ROWS * 16 / 32], w[MOST_M][2][4];
    TnPxV piece = PX(x, and, b->tid, tn_px_u(15)), first = PX(x, shr, b->tid, tn_px_u(4));
    for (uint32_t i = 0; i < pieces; i++) {
        TnPxV row = input_row(b, u, PX(x, add, first, tn_px_u(i * (x->threads / 16))));
        from[i] = tn_ptx_cursor(b, tn_px_at(tn_px_index(x, row, piece, 16), TN_Q8_HEAD));
    }
    TnPxV room = tn_px_shared_at(x, o->room),
          to = tn_px_index(x, tn_px_index(x, room, first, APART), piece, 16);
    TnPxV at = tn_px_index(x, tn_px_index(x, room, PX(x, add, o->first_row, o->g), APART), o->t, 16);
    copy_line(b, from, pieces, to);
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(o->lines), tn_px_u(1));
    for (uint32_t m = 0; m < o->m; m++)
        for (uint32_t h = 0; h < 2; h++) {
            PX_MANY(x, w[m][h], ld4, o->row[m][h]);
            tn_ptx_advance(b, o->row[m][h], 64);
        }
    TnPxV odd = PX(x, and, l.i, tn_px_u(1));
    TnPxIf more = tn_px_if(x, PX(x, lt, l.i, tn_px_u(o->lines - 1)));
    copy_line(b, from, pieces, tn_px_index(x, to, PX(x, xor, odd, tn_px_u(1)), ROWS * APART));
    PX(x, copy_wait, tn_px_i(1));
    tn_px_else(x, &more);
    PX(x, copy_wait, tn_px_i(0));
    tn_px_if_end(x, &more);
    tn_px_barrier(x);
    multiply_line(b, o, w, tn_px_index(x, at, odd, ROWS * APART));
    tn_px_barrier(x);
    tn_px_loop_end(x, &l);
}

/* Fragment word i is slot g + 8 (i / 2) of its tile, row 2 t + i % 2. */
static void put_sums(TnPtx *b, const TnPtxUnit *u, const Tiles *o) {
    TnPx *x = &b->x;
    for (uint32_t n = 0; n < o->n; n++)
        for (uint32_t odd = 0; odd < 2; odd++) {
            TnPxV row = PX(x, mad, o->t, tn_px_u(2), PX(x, add, o->first_row, tn_px_u(n * TILE_ROWS + odd)));
            TnPxV minus = PX(x, ld, tn_px_at(input_row(b, u, row), 4));
            TnPxV words = tn_px_index(x, u->words, row, u->slots * 4);
            for (uint32_t m = 0; m < o->m; m++)
                for (uint32_t h = 0; h < 2; h++)
                    tn_px_put_if(x, o->valid[m][h], words, o->slot[m][h], TN_PX_U32,
                                 PX(x, sub, o->acc[m][n][2 * h + odd], minus));
        }
}

static void begin(TnPtx *b, TnPtxUnit *u) {
    (void)b, (void)u;
}

static void finish(TnPtx *b, TnPtxUnit *u) {
    TnPx *x = &b->x;
    Tiles o = tiles_of(b, u);
    uint32_t used = x->used;
    TnPxV lane = tn_px_lane(x);
    o.warp = tn_px_warp(x);
    o.g = PX(x, shr, lane, tn_px_u(2));
    o.t = PX(x, and, lane, tn_px_u(3));
    TnPxV share = o.share > 1 ? PX(x, and, o.warp, tn_px_u(o.share - 1)) : tn_px_var(x, tn_px_u(0));
    o.first_row = PX(x, mul, share, tn_px_u(o.n * TILE_ROWS));
    o.room = tn_px_shared(x, 2 * ROWS * APART, 16);
    for (uint32_t round = 0; round < o.rounds; round++) {
        find_slots(b, u, &o, round);
        multiply(b, u, &o);
        put_sums(b, u, &o);
    }
    x->used = used;
}

void tn_ptx_tmatmul_tiles(TnPtx *b) {
    TnPtxProduct p = {
        .threads = b->k->grain >= 64 ? 256 : 128, .rows = ROWS, .begin = begin, .finish = finish};
    tn_ptx_by_columns(b, &p);
}
