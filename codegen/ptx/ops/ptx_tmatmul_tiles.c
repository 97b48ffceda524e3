/* tmatmul of many rows over p64 as it lies, by mma.sync.m16n8k32.
 *
 * A tile is 16 slots by 8 rows of activations, summed over 32 columns. Where a fragment's columns are is free, as long as
 * both operands agree: lane t of four has, of a line of weights, the 16 bytes t, whose plane q is columns 64 q + 16 t .. + 15.
 * These are its parts of two tiles' 32 columns, and 16 bytes of a row of activations from 64 q + 16 t on are the other
 * operand's. So weights are loaded 16 bytes at a time and not moved between lanes.
 *
 * A CTA does a block of 64 rows of activations, whose lines come by a ring (ptx_ring.h); weights are loaded a line ahead, to
 * registers. A warp has two tiles of slots, which share the loads of activations, and all rows of the block, or, if there are
 * more warps than pairs of tiles, a share of the rows. Codes are w + 1: the sum of a row's activations is subtracted. */
#include "codegen/ptx/ops/ptx_tmatmul.h"
#include "codegen/ptx/skeletons/ptx_ring.h"

enum {
    THREADS = 128,
    WARPS = THREADS / 32,
    TILE_SLOTS = 16,
    TILE_ROWS = 8,
    LINE = 256,      /* columns */
    LINE_BYTES = 64, /* of weights */
    MOST_M = 2,
    MOST_N = TN_PTX_RING_ROWS / TILE_ROWS,
    MOST_SLOTS = WARPS * MOST_M * TILE_SLOTS
};

typedef struct Tiles {
    uint32_t m, n, share;                    /* tiles of a warp: of slots, of rows; warps that share slots */
    TnPxV g, t;                              /* r: lane / 4, lane % 4 */
    TnPxV first_row;                         /* r: the warp's first row of the block */
    TnPxV slot[MOST_M][2], valid[MOST_M][2]; /* rows g and g + 8 of a tile */
    TnPxV row[MOST_M][2];                    /* G: cursors */
    TnPxV w[MOST_M][2][4], next[MOST_M][2][4];
    TnPxV acc[MOST_M][MOST_N][4];
    TnPtxRing ring;
} Tiles;

static TnRef weights_of(const TnPtx *b) {
    return b->g->nodes[b->k->root].args[1];
}

static Tiles tiles_of(const TnPtx *b, const TnPtxUnit *u) {
    uint32_t row_bytes = (uint32_t)tn_row_bytes(&b->g->nodes[weights_of(b)].type);
    uint32_t tiles = (u->slots + TILE_SLOTS - 1) / TILE_SLOTS;
    Tiles o = {.m = tiles > 1 ? MOST_M : 1, .share = 1};
    uint32_t groups = (tiles + o.m - 1) / o.m;
    while (groups * o.share * 2 <= WARPS) o.share *= 2;
    o.n = MOST_N / o.share;
    o.ring = (TnPtxRing){.head = TN_Q8_HEAD, .line = LINE, .lines = row_bytes / LINE_BYTES};
    return o;
}

static void find_slots(TnPtx *b, const TnPtxUnit *u, Tiles *o) {
    TnPx *x = &b->x;
    TnPxV warp = tn_px_warp(x), lane = tn_px_lane(x);
    o->g = PX(x, shr, lane, tn_px_u(2));
    o->t = PX(x, and, lane, tn_px_u(3));
    o->first_row = PX(x, mul, PX(x, and, warp, tn_px_u(o->share - 1)), tn_px_u(o->n * TILE_ROWS));
    TnPxV group = PX(x, div, warp, tn_px_u(o->share));
    uint32_t bytes = (uint32_t)tn_row_bytes(&b->g->nodes[weights_of(b)].type);
    TnPxV mine = tn_px_index(x, tn_ptx_operand(b, weights_of(b)), o->t, 16);
    for (uint32_t m = 0; m < o->m; m++) {
        TnPxV tile = PX(x, mad, group, tn_px_u(o->m), tn_px_u(m));
        TnPxV first = PX(x, mad, tile, tn_px_u(TILE_SLOTS), o->g);
        for (uint32_t h = 0; h < 2; h++) {
            o->slot[m][h] = PX(x, add, first, tn_px_u(h * 8));
            TnPxV row = tn_ptx_slot_row(b, u, o->slot[m][h], &o->valid[m][h]);
            o->row[m][h] = tn_ptx_cursor(b, tn_px_index(x, mine, row, bytes));
        }
    }
}

/* Loads a line of weights, and moves on by `bytes` (d). */
static void load(TnPtx *b, Tiles *o, TnPxV w[MOST_M][2][4], TnPxV bytes) {
    TnPx *x = &b->x;
    for (uint32_t m = 0; m < o->m; m++)
        for (uint32_t h = 0; h < 2; h++) {
            TnPxV at = o->row[m][h], cursor = {.kind = 'd', .reg = at.reg};
            if (w[m][h][0].kind)
                tn_px_op(x, TN_PX_ld4, w[m][h], &at, 1);
            else
                PX_MANY(x, w[m][h], ld4, at);
            PX_TO(x, cursor, add_d, cursor, bytes);
        }
}

/* The products of a line: activations at `from`, the lane's piece of the warp's first row. */
static void multiply_line(TnPtx *b, Tiles *o, TnPxV from) {
    TnPx *x = &b->x;
    for (uint32_t q = 0; q < 4; q++) {
        TnPxV a[MOST_M][2][4], v[4];
        for (uint32_t m = 0; m < o->m; m++)
            for (uint32_t h = 0; h < 2; h++)
                for (uint32_t i = 0; i < 4; i++) {
                    TnPxV s = q ? PX(x, shr, o->w[m][h][i], tn_px_u(2 * q)) : o->w[m][h][i];
                    a[m][h][i] = PX(x, and, s, tn_px_u(0x03030303u));
                }
        for (uint32_t n = 0; n < o->n; n++) {
            TnPxV at = from;
            at.bits += (uint64_t)n * TILE_ROWS * tn_ptx_ring_apart(LINE) + q * 64;
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

/* Loads of the next line's weights are issued before the products of a line; the last line loads itself again. */
static void multiply(TnPtx *b, const TnPtxUnit *u, Tiles *o) {
    TnPx *x = &b->x;
    uint32_t apart = tn_ptx_ring_apart(LINE);
    TnPxV at = PX(x, mad, PX(x, add, o->first_row, o->g), tn_px_u(apart), PX(x, shl, o->t, tn_px_u(4)));
    TnPxV some = PX(x, lt, PX(x, add, u->row0, o->first_row), u->count);
    load(b, o, o->w, tn_px_l(o->ring.lines > 1 ? LINE_BYTES : 0));
    for (uint32_t m = 0; m < o->m; m++)
        for (uint32_t h = 0; h < 2; h++)
            for (uint32_t i = 0; i < 4; i++) o->next[m][h][i] = tn_px_reg(x, 'r');
    tn_ptx_ring_open(b, u, &o->ring, u->words);
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(o->ring.lines), tn_px_u(1));
    TnPxV place = tn_ptx_ring_next(b, &o->ring);
    TnPxV more = PX(x, lt, l.i, tn_px_u(o->ring.lines > 1 ? o->ring.lines - 2 : 0));
    TnPxIf rows = tn_px_if(x, some);
    load(b, o, o->next, PX(x, sel_d, tn_px_l(LINE_BYTES), tn_px_l(0), more));
    multiply_line(b, o, tn_px_index(x, place, at, 1));
    for (uint32_t m = 0; m < o->m; m++)
        for (uint32_t h = 0; h < 2; h++)
            for (uint32_t i = 0; i < 4; i++) tn_px_set(x, o->w[m][h][i], o->next[m][h][i]);
    tn_px_if_end(x, &rows);
    tn_px_loop_end(x, &l);
    tn_ptx_ring_close(b);
}

/* Fragment word i is slot g + 8 (i / 2) of its tile, row 2 t + i % 2. */
static void put_sums(TnPtx *b, const TnPtxUnit *u, const Tiles *o) {
    TnPx *x = &b->x;
    for (uint32_t n = 0; n < o->n; n++)
        for (uint32_t odd = 0; odd < 2; odd++) {
            TnPxV row = PX(x, mad, o->t, tn_px_u(2), PX(x, add, o->first_row, tn_px_u(n * TILE_ROWS + odd)));
            TnPxV minus = PX(x, ld, tn_px_at(tn_ptx_ring_row(b, u, row), 4));
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
    find_slots(b, u, &o);
    for (uint32_t m = 0; m < o.m; m++)
        for (uint32_t n = 0; n < o.n; n++)
            for (uint32_t i = 0; i < 4; i++) o.acc[m][n][i] = tn_px_var(x, tn_px_u(0));
    multiply(b, u, &o);
    put_sums(b, u, &o);
}

bool tn_ptx_tmatmul_takes_tiles(const TnPtx *b) {
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(b->g, b->kernel, parts);
    bool fits = true;
    for (uint32_t i = 0; i < n; i++) fits &= b->k->grain * parts[i].n_bases <= MOST_SLOTS;
    return fits && tn_ptx_most_rows(b) > TN_PTX_ROWS && !tn_ptx_has_prologue(b);
}

void tn_ptx_tmatmul_tiles(TnPtx *b) {
    TnPtxProduct p = {.threads = THREADS,
                      .rows = TN_PTX_RING_ROWS,
                      .scratch = tn_ptx_ring_bytes(LINE, 0),
                      .begin = begin,
                      .finish = finish};
    tn_ptx_by_columns(b, &p);
}
