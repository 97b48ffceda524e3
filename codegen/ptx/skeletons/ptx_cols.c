#include "codegen/ptx/skeletons/ptx_cols.h"

#include "runtime/base/reader.h"

bool tn_ptx_has_prologue(const TnPtx *b) {
    return tn_ptx_inside(b, b->g->nodes[b->k->root].args[0]);
}

int64_t tn_ptx_most_rows(const TnPtx *b) {
    TnDim rows = b->g->nodes[b->k->root].type.dim[0];
    return tn_dim_is_sym(rows) ? b->g->rows_hi : rows;
}

static TnPxV count_rows(TnPtx *b) {
    TnDim rows = b->g->nodes[b->k->root].type.dim[0];
    return tn_dim_is_sym(rows) ? tn_ptx_sym(b, tn_dim_sym(rows)) : tn_px_u((uint32_t)rows);
}

TnPxV tn_ptx_slot_row(TnPtx *b, const TnPtxUnit *u, TnPxV s, TnPxV *out_valid) {
    TnPx *x = &b->x;
    TnPxV column = s, base = tn_px_u((uint32_t)u->part->base[0]);
    for (uint32_t i = 1; i < u->part->n_bases; i++) {
        TnPxV from = tn_px_u(i * u->grain), in = PX(x, ge, s, from);
        column = PX(x, sel, PX(x, sub, s, from), column, in);
        base = PX(x, sel, tn_px_u((uint32_t)u->part->base[i]), base, in);
    }
    *out_valid = PX(x, both, PX(x, lt, column, u->n), PX(x, lt, s, tn_px_u(u->slots)));
    TnPxV last = PX(x, sub, u->n, tn_px_u(1));
    return PX(x, add, PX(x, add, base, u->lo), PX(x, min, column, last));
}

static TnPxV register_of(TnPxV at) {
    return (TnPxV){.kind = at.kind == 'S' ? 'r' : 'd', .reg = at.reg};
}

TnPxV tn_ptx_cursor(TnPtx *b, TnPxV at) {
    TnPx *x = &b->x;
    TnPxV reg = register_of(at);
    reg = at.kind == 'S' ? PX(x, add, reg, tn_px_u((uint32_t)at.bits))
                         : PX(x, add_d, reg, tn_px_l((int64_t)at.bits));
    return tn_px_at(reg, 0);
}

void tn_ptx_advance(TnPtx *b, TnPxV cursor, uint32_t bytes) {
    TnPx *x = &b->x;
    TnPxV reg = register_of(cursor);
    if (cursor.kind == 'S')
        PX_TO(x, reg, add, reg, tn_px_u(bytes));
    else
        PX_TO(x, reg, add_d, reg, tn_px_l(bytes));
}

/* ---- rows of the input */

/* Zeros after the copied bytes of a row. */
static void pad_row(TnPtx *b, const TnPtxProduct *p, TnPxV to) {
    TnPx *x = &b->x;
    if (p->copied == p->room) return;
    TnPxLoop z = tn_px_strided(x, tn_px_u((p->room - p->copied) / 4));
    tn_px_put(x, tn_px_index(x, to, tn_px_u(1), p->copied), z.i, TN_PX_U32, tn_px_u(0));
    tn_px_loop_end(x, &z);
}

/* Copies the block's rows in one loop, each from the operand's row of that number, or from the step's last row. */
static void copy_rows(TnPtx *b, const TnPtxProduct *p, const TnPtxUnit *u, TnPxV row0, TnPxV count,
                      TnPxV to) {
    TnPx *x = &b->x;
    uint32_t size = p->copied % 16 == 0 ? 16 : 4, n = p->copied / size;
    TnPxV last = PX(x, sub, count, tn_px_u(1)), w[4];
    TnPxLoop l = tn_px_strided(x, tn_px_u(u->rows * n));
    TnPxV r = u->rows > 1 ? PX(x, div, l.i, tn_px_u(n)) : tn_px_u(0);
    TnPxV i = u->rows > 1 ? PX(x, sub, l.i, PX(x, mul, r, tn_px_u(n))) : l.i;
    TnPxV row = u->rows > 1 ? PX(x, min, PX(x, add, row0, r), last) : row0;
    TnPxV from = tn_px_index(x, tn_ptx_operand_row(b, b->g->nodes[b->k->root].args[0], row), i, size);
    TnPxV place = tn_px_index(x, tn_px_index(x, to, r, p->room), i, size);
    if (size == 16) {
        PX_MANY(x, w, ld4, from);
        PX(x, sts4, place, w[0], w[1], w[2], w[3]);
    } else {
        PX(x, sts, place, PX(x, ld, from));
    }
    tn_px_loop_end(x, &l);
    for (uint32_t t = 0; t < u->rows; t++) pad_row(b, p, tn_px_index(x, to, tn_px_u(t), p->room));
}

/* Sets u->x for the rows from row0 (r) on, of `count` (r). */
static void fetch_rows(TnPtx *b, const TnPtxProduct *p, TnPtxUnit *u, TnPxV row0, TnPxV count, TnPxV place) {
    TnPx *x = &b->x;
    if (tn_ptx_has_prologue(b)) {
        u->x[0] = place;
        tn_ptx_prologue(b, row0, place);
        pad_row(b, p, place);
        tn_px_barrier(x);
        return;
    }
    if (!p->copied) return;
    for (uint32_t r = 0; r < u->rows; r++) u->x[r] = tn_px_index(x, place, tn_px_u(r), p->room);
    copy_rows(b, p, u, row0, count, place);
    tn_px_barrier(x);
}

/* ---- rows of results */

/* Whether shared memory has room for the strips of as many rows as there are warps: as much as the kernel has anyway, or a bit. */
static bool room_for_warps(TnPtx *b, const TnPtxUnit *u) {
    enum { A_BIT = 48 << 10 };
    TnPx *x = &b->x;
    uint64_t strips = (uint64_t)tn_ptx_strips(b) * tn_ptx_strip_bytes(u->grain) * (x->threads / 32);
    return x->used + strips <= (x->shared > A_BIT ? x->shared : A_BIT);
}

/* Many rows are divided among the warps, which then need not meet. */
static void put_rows(TnPtx *b, const TnPtxUnit *u, uint32_t part, TnPxV row0, TnPxV count) {
    TnPx *x = &b->x;
    TnPtxCols c = {
        .row = row0, .part = part, .lo = u->lo, .n = u->n, .words = u->words, .stride = u->grain * 4};
    if (tn_ptx_has_prologue(b)) c.x = u->x[0];
    if (u->rows == 1) {
        tn_ptx_epilogue(b, &c);
        return;
    }
    TnPxV left = PX(x, sub, count, row0);
    x->by_warps = room_for_warps(b, u);
    TnPxV first = x->by_warps ? tn_px_warp(x) : tn_px_u(0);
    TnPxV step = tn_px_u(x->by_warps ? x->threads / 32 : 1);
    TnPxLoop r = tn_px_loop(x, first, PX(x, min, left, tn_px_u(u->rows)), step);
    c.row = PX(x, add, row0, r.i);
    c.words = tn_px_index(x, u->words, r.i, u->slots * 4);
    tn_ptx_epilogue(b, &c);
    tn_px_meet(x);
    tn_px_loop_end(x, &r);
    x->by_warps = false;
}

static void put_part(TnPtx *b, const TnPtxProduct *p, TnPtxUnit *u, uint32_t part, TnPxV rows) {
    TnPx *x = &b->x;
    uint32_t used = x->used;
    size_t room = tn_ptx_has_prologue(b) ? tn_row_bytes(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type)
                                         : (size_t)p->room * u->rows;
    if (room < p->room) room = p->room;
    TN_CHECK(room <= 1u << 20);
    TnPxV place = tn_px_shared_at(x, tn_px_shared(x, (uint32_t)room, 16));
    uint32_t words = u->rows * u->slots * 4;
    u->words = tn_px_shared_at(x, tn_px_shared(x, words > p->scratch ? words : p->scratch, 16));
    TnPxV row0 = tn_px_u(0);
    if (b->block) {
        row0 = PX(x, mul, tn_px_special(x, TN_PX_ctaid_y), tn_px_u(b->block));
        tn_px_when(x, PX(x, ge, row0, rows));
        PX(x, ret);
    }
    u->row0 = row0;
    u->count = rows;
    p->begin(b, u);
    fetch_rows(b, p, u, row0, rows, place);
    p->finish(b, u);
    tn_px_barrier(x);
    x->used = (uint32_t)u->words.bits + words;
    put_rows(b, u, part, row0, rows);
    x->used = used;
}

void tn_ptx_by_columns(TnPtx *b, const TnPtxProduct *p) {
    TnPx *x = &b->x;
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(b->g, b->kernel, parts);
    TN_CHECK(n > 0 && b->k->axis == TN_AXIS_COLS && p->rows >= 1 && (p->rows <= TN_PTX_ROWS || !p->copied));
    x->threads = p->threads;
    tn_ptx_gate(b);
    TnPxV rows = count_rows(b);
    uint32_t together = tn_ptx_has_prologue(b) ? 1 : p->rows;
    if (tn_ptx_most_rows(b) > together) b->block = together;
    uint32_t first = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t grain = (uint32_t)b->k->grain, units = (uint32_t)((parts[i].n + grain - 1) / grain);
        TnPtxUnit u = {.part = &parts[i],
                       .grain = grain,
                       .rows = together,
                       .slots = grain * parts[i].n_bases,
                       .state = p->state};
        TnPxV next = tn_px_label(x);
        if (i + 1 < n) tn_px_go_if(x, PX(x, ge, b->unit, tn_px_u(first + units)), next);
        u.lo = PX(x, mul, first ? PX(x, sub, b->unit, tn_px_u(first)) : b->unit, tn_px_u(grain));
        u.n = PX(x, min, PX(x, sub, tn_px_u((uint32_t)parts[i].n), u.lo), tn_px_u(grain));
        put_part(b, p, &u, i, rows);
        if (i + 1 < n) {
            PX(x, ret);
            tn_px_place(x, next);
        }
        first += units;
    }
}
