/* tmatmul_groups of many rows over r64 as it lies, by mma.sync.m16n8k32.
 *
 * A word of r64 has 4 columns of 4 rows of weights, 16 apart: one in each plane of two bits. So a plane of a word is a part of
 * a fragment as it is. Lane (g, t) of a warp has words 2 g and 2 g + 1 of a line: rows 16 q + 2 g and 16 q + 2 g + 1 of plane q
 * are rows g and g + 8 of a tile. Where a fragment's columns are is free, as long as both operands agree: of 64 columns lane t
 * has 16 t .. 16 t + 15, which are 16 bytes of a row of activations and 4 lines of weights.
 *
 * A CTA does a block of 64 rows of activations, a group at a time: codes, scales and sums of a group come by a ring (ptx_ring.h),
 * weights a group ahead to registers. Of four warps two share the planes and two the rows.
 *
 * The sum of a group is exact, and each element continues its chain of floats with it: y = fma((float)acc, s * d, y). Products
 * are added to the bits of MAGIC, less the sum of the activations, since codes are w + 1. The result is below 2^23 in size, so
 * its bits are those of MAGIC + acc as a float, and subtracting MAGIC is exact: this is the conversion. */
#include "codegen/ptx/ops/ptx_tmatmul.h"
#include "codegen/ptx/skeletons/ptx_ring.h"
#include "ir/r64.h"

enum {
    THREADS = 128,
    M = 2, /* tiles of slots of a warp: planes */
    N = 4, /* tiles of rows */
    TILE_ROWS = 8,
    PART = 64,      /* columns that a lane has 16 bytes of */
    MOST_PARTS = 4, /* of a group */
    MAGIC_BITS = 0x4b400000,
    MOST_SHARED = 92 << 10
};
static const float magic = 12582912.0f; /* 1.5 * 2^23 */

typedef TnPxV Words[MOST_PARTS][4][2]; /* [part of the group][line of the lane's four][row of the tile] */

typedef struct Groups {
    uint32_t n, groups, bytes; /* columns of a group; groups; bytes of a group in a block */
    TnPxV g, t;                /* r: lane / 4, lane % 4 */
    TnPxV pair;                /* r: the warp's planes are 2 pair and 2 pair + 1 */
    TnPxV first_row;           /* r: of the warp in the block */
    TnPxV some;                /* p: whether the step has it */
    TnPxV from, from_scales;   /* G: the lane's first words and scales of the group to load; a cursor */
    Words w, next;
    TnPxV s[M], next_s[M]; /* r: two scales in f16 each */
    TnPxV y[M][N][4];
    TnPtxRing ring;
    uint32_t room;
} Groups;

static const TnType *type_of(const TnPtx *b, uint32_t arg) {
    return &b->g->nodes[b->g->nodes[b->k->root].args[arg]].type;
}

/* ---- loads */

static void find_lane(TnPtx *b, const TnPtxUnit *u, Groups *o) {
    TnPx *x = &b->x;
    TnPxV warp = tn_px_warp(x), lane = tn_px_lane(x);
    o->g = PX(x, shr, lane, tn_px_u(2));
    o->t = PX(x, and, lane, tn_px_u(3));
    o->pair = PX(x, and, warp, tn_px_u(1));
    o->first_row = PX(x, mul, PX(x, shr, warp, tn_px_u(1)), tn_px_u(N * TILE_ROWS));
    o->some = PX(x, lt, PX(x, add, u->row0, o->first_row), u->count);
}

/* Makes the registers that a group is loaded into. */
static void make_registers(TnPtx *b, Groups *o, Words w, TnPxV s[M]) {
    for (uint32_t p = 0; p < o->n / PART; p++)
        for (uint32_t l = 0; l < 4; l++)
            for (uint32_t h = 0; h < 2; h++) w[p][l][h] = tn_px_reg(&b->x, 'r');
    for (uint32_t m = 0; m < M; m++) s[m] = tn_px_reg(&b->x, 'r');
}

/* Loads a group of weights with its scales, and moves on by `bytes` (d). */
static void load(TnPtx *b, Groups *o, Words w, TnPxV s[M], TnPxV bytes) {
    TnPx *x = &b->x;
    for (uint32_t p = 0; p < o->n / PART; p++)
        for (uint32_t l = 0; l < 4; l++) {
            TnPxV at = tn_px_index(x, o->from, tn_px_u(p * PART / 4 + l), 64);
            tn_px_op(x, TN_PX_ld2, w[p][l], &at, 1);
        }
    for (uint32_t m = 0; m < M; m++) {
        TnPxV at = tn_px_index(x, o->from_scales, tn_px_u(m), 32);
        tn_px_op(x, TN_PX_ld, &s[m], &at, 1);
    }
    TnPxV cursors[] = {{.kind = 'd', .reg = o->from.reg}, {.kind = 'd', .reg = o->from_scales.reg}};
    for (int i = 0; i < 2; i++) PX_TO(x, cursors[i], add_d, cursors[i], bytes);
}

/* ---- a group */

/* The part `p` of the group for all tiles: c is what the products are added to, init[n][row % 2] at first. */
static void multiply_part(TnPtx *b, Groups *o, uint32_t p, TnPxV from, TnPxV init[N][2], TnPxV c[M][N][4]) {
    TnPx *x = &b->x;
    TnPxV a[M][4][2], v[4], shift = PX(x, shl, o->pair, tn_px_u(2));
    for (uint32_t l = 0; l < 4; l++)
        for (uint32_t h = 0; h < 2; h++) {
            TnPxV mine = PX(x, shr, o->w[p][l][h], shift);
            for (uint32_t m = 0; m < M; m++)
                a[m][l][h] = PX(x, and, m ? PX(x, shr, mine, tn_px_u(2)) : mine, tn_px_u(0x03030303u));
        }
    for (uint32_t n = 0; n < N; n++) {
        TnPxV at = from;
        at.bits += (uint64_t)n * TILE_ROWS * tn_ptx_ring_apart(o->n) + p * PART;
        PX_MANY(x, v, lds4, at);
        for (uint32_t l = 0; l < 4; l += 2)
            for (uint32_t m = 0; m < M; m++) {
                bool first = p == 0 && l == 0;
                TnPxV in[] = {a[m][l][0], a[m][l][1], a[m][l + 1][0], a[m][l + 1][1], v[l],
                              v[l + 1],   init[n][0], init[n][1],     init[n][0],     init[n][1]};
                for (uint32_t i = 0; i < 4 && !first; i++) in[6 + i] = c[m][n][i];
                if (first)
                    tn_px_many(x, TN_PX_mma_u8s8, c[m][n], in, 10);
                else
                    tn_px_op(x, TN_PX_mma_u8s8, c[m][n], in, 10);
            }
    }
}

/* Continues the chains. Fragment word i is row g + 8 (i / 2) of the tile and row 2 t + i % 2 of the activations. */
static void chain(TnPtx *b, Groups *o, TnPxV d[N][2], TnPxV c[M][N][4]) {
    TnPx *x = &b->x;
    for (uint32_t m = 0; m < M; m++) {
        TnPxV s[2];
        PX_MANY(x, s, halves, o->s[m]);
        for (uint32_t h = 0; h < 2; h++) s[h] = PX(x, from_f16, s[h]);
        for (uint32_t n = 0; n < N; n++)
            for (uint32_t i = 0; i < 4; i++) {
                TnPxV acc = PX(x, sub_f, PX(x, floats, c[m][n][i]), tn_px_f(magic));
                PX_TO(x, o->y[m][n][i], fma_f, acc, PX(x, mul_f, s[i / 2], d[n][i % 2]), o->y[m][n][i]);
            }
    }
}

/* The group whose activations lie at `place` (S) and whose weights are loaded. */
static void multiply_group(TnPtx *b, Groups *o, TnPxV place) {
    TnPx *x = &b->x;
    uint32_t apart = tn_ptx_ring_apart(o->n), words = TN_PTX_RING_ROWS * apart;
    TnPxV c[M][N][4], d[N][2], init[N][2];
    TnPxV pair = tn_px_index(x, place, PX(x, mad, o->t, tn_px_u(2), o->first_row), 4);
    for (uint32_t n = 0; n < N; n++) {
        TnPxV at = pair, w[2];
        at.bits += words + n * TILE_ROWS * 4;
        PX_MANY(x, w, lds2, at);
        for (int i = 0; i < 2; i++) d[n][i] = PX(x, floats, w[i]);
        at.bits += TN_PTX_RING_ROWS * 4;
        PX_MANY(x, w, lds2, at);
        for (int i = 0; i < 2; i++) init[n][i] = PX(x, sub, tn_px_u(MAGIC_BITS), w[i]);
    }
    TnPxV from = tn_px_index(x, place, PX(x, add, o->first_row, o->g), apart);
    from = tn_px_index(x, from, o->t, 16);
    for (uint32_t p = 0; p < o->n / PART; p++) multiply_part(b, o, p, from, init, c);
    chain(b, o, d, c);
}

/* ---- blocks of weights */

/* The chains of a block's rows of weights to their end. block: G. */
static void multiply_block(TnPtx *b, const TnPtxUnit *u, Groups *o, TnPxV block) {
    TnPx *x = &b->x;
    TnPxV lane = PX(x, mad, o->t, tn_px_u(256), PX(x, shl, o->g, tn_px_u(3)));
    TnPxV scales = PX(x, mad, o->pair, tn_px_u(64), PX(x, shl, o->g, tn_px_u(2)));
    o->from = tn_ptx_cursor(b, tn_px_index(x, block, lane, 1));
    o->from_scales = tn_ptx_cursor(b, tn_px_index(x, tn_px_index(x, block, tn_px_u(o->n), 16), scales, 1));
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++)
            for (uint32_t i = 0; i < 4; i++) tn_px_set(x, o->y[m][n][i], tn_px_f(0.0f));
    load(b, o, o->w, o->s, tn_px_l(o->groups > 1 ? o->bytes : 0));
    tn_ptx_ring_open(b, u, &o->ring, tn_px_shared_at(x, o->room));
    TnPxLoop g = tn_px_loop(x, tn_px_u(0), tn_px_u(o->groups), tn_px_u(1));
    TnPxV place = tn_ptx_ring_next(b, &o->ring);
    TnPxV more = PX(x, lt, g.i, tn_px_u(o->groups > 1 ? o->groups - 2 : 0));
    TnPxIf rows = tn_px_if(x, o->some);
    load(b, o, o->next, o->next_s, PX(x, sel_d, tn_px_l(o->bytes), tn_px_l(0), more));
    multiply_group(b, o, place);
    for (uint32_t p = 0; p < o->n / PART; p++)
        for (uint32_t l = 0; l < 4; l++)
            for (uint32_t h = 0; h < 2; h++) tn_px_set(x, o->w[p][l][h], o->next[p][l][h]);
    for (uint32_t m = 0; m < M; m++) tn_px_set(x, o->s[m], o->next_s[m]);
    tn_px_if_end(x, &rows);
    tn_px_loop_end(x, &g);
    tn_ptx_ring_close(b);
}

/* Words of base i, of which the unit's columns begin at `first` (r) of all, from block `number` (r). */
static void put_block(TnPtx *b, const TnPtxUnit *u, const Groups *o, uint32_t i, TnPxV number, TnPxV first) {
    TnPx *x = &b->x;
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t h = 0; h < 2; h++) {
            TnPxV plane = PX(x, add, PX(x, shl, o->pair, tn_px_u(1)), tn_px_u(m));
            TnPxV row = PX(x, mad, plane, tn_px_u(16), PX(x, mad, o->g, tn_px_u(2), tn_px_u(h)));
            TnPxV column = PX(x, sub, PX(x, mad, number, tn_px_u(TN_BESIDE), row), first);
            TnPxV has = PX(x, lt, column, u->n); /* columns before the first are large numbers */
            for (uint32_t n = 0; n < N; n++)
                for (uint32_t odd = 0; odd < 2; odd++) {
                    TnPxV at =
                        PX(x, mad, o->t, tn_px_u(2), PX(x, add, o->first_row, tn_px_u(n * TILE_ROWS + odd)));
                    TnPxV words =
                        tn_px_index(x, tn_px_index(x, u->words, tn_px_u(i), u->grain * 4), at, u->slots * 4);
                    tn_px_put_if(x, has, words, column, TN_PX_F32, o->y[m][n][2 * h + odd]);
                }
        }
}

static void begin(TnPtx *b, TnPtxUnit *u) {
    (void)b, (void)u;
}

static void finish(TnPtx *b, TnPtxUnit *u) {
    TnPx *x = &b->x;
    const TnType *w = type_of(b, 1);
    uint32_t used = x->used, part = (uint32_t)tn_q8g_part(type_of(b, 0));
    Groups o = {.n = (uint32_t)w->group};
    o.groups = (uint32_t)(w->dim[1] / o.n);
    o.bytes = (uint32_t)tn_r64_group_bytes(o.n);
    o.ring = (TnPtxRing){.head = 2 * part, .line = o.n, .lines = o.groups, .words = 2, .part = part};
    o.room = tn_px_shared(x, tn_ptx_ring_bytes(o.n, o.ring.words), 16);
    find_lane(b, u, &o);
    make_registers(b, &o, o.w, o.s);
    make_registers(b, &o, o.next, o.next_s);
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++)
            for (uint32_t i = 0; i < 4; i++) o.y[m][n][i] = tn_px_reg(x, 'f');
    for (uint32_t i = 0; i < u->part->n_bases; i++) {
        TnPxV first = PX(x, add, u->lo, tn_px_u((uint32_t)u->part->base[i]));
        TnPxV last = PX(x, add, first, PX(x, sub, u->n, tn_px_u(1)));
        TnPxV end = PX(x, add, PX(x, shr, last, tn_px_u(6)), tn_px_u(1));
        TnPxLoop block = tn_px_loop(x, PX(x, shr, first, tn_px_u(6)), end, tn_px_u(1));
        TnPxV at = PX(x, mul_d, PX(x, widen, block.i), tn_px_l((int64_t)o.groups * o.bytes));
        at = PX(x, add_d, at, tn_ptx_operand(b, b->g->nodes[b->k->root].args[1]));
        multiply_block(b, u, &o, tn_px_at(at, 0));
        put_block(b, u, &o, i, block.i, first);
        tn_px_loop_end(x, &block);
    }
    x->used = used;
}

bool tn_ptx_groups_take_tiles(const TnPtx *b) {
    uint32_t n = (uint32_t)type_of(b, 1)->group, most = 0;
    TnPart parts[TN_PARTS_MAX];
    uint32_t count = tn_kernel_parts(b->g, b->kernel, parts);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slots = (uint32_t)b->k->grain * parts[i].n_bases;
        most = slots > most ? slots : most;
    }
    return (n == 64 || n == 128 || n == 256) && tn_ptx_most_rows(b) > TN_PTX_ROWS &&
           !tn_ptx_has_prologue(b) &&
           tn_ptx_ring_bytes(n, 2) + (uint64_t)TN_PTX_RING_ROWS * 4 * most <= MOST_SHARED;
}

void tn_ptx_groups_tiles(TnPtx *b) {
    TnPtxProduct p = {.threads = THREADS, .rows = TN_PTX_RING_ROWS, .begin = begin, .finish = finish};
    tn_ptx_by_columns(b, &p);
}
