#include "codegen/ptx/skeletons/ptx_ring.h"

enum { PIECE = 16 };

/* The root's input. */
static TnRef input(const TnPtx *b) {
    return b->g->nodes[b->k->root].args[0];
}

TnPxV tn_ptx_ring_row(TnPtx *b, const TnPtxUnit *u, TnPxV i) {
    TnPx *x = &b->x;
    TnPxV row = PX(x, min, PX(x, add, u->row0, i), PX(x, sub, u->count, tn_px_u(1)));
    return tn_ptx_operand_row(b, input(b), row);
}

static uint32_t place_bytes(const TnPtxRing *o) {
    return tn_ptx_ring_bytes(o->line, o->words) / TN_PTX_RING_PLACES;
}

/* The offset of the place after that of `at`. */
static void step(TnPtx *b, const TnPtxRing *o, TnPxV at) {
    TnPx *x = &b->x;
    TnPxV next = PX(x, add, at, tn_px_u(place_bytes(o)));
    TnPxV end = PX(x, eq, next, tn_px_u(TN_PTX_RING_PLACES * place_bytes(o)));
    PX_TO(x, at, sel, tn_px_u(0), next, end);
}

/* Starts the copy of the next line, if there is one. A group without copies keeps the count of groups. */
static void start(TnPtx *b, TnPtxRing *o) {
    TnPx *x = &b->x;
    uint32_t at_once = x->threads / (o->line / PIECE);
    TnPxIf more = tn_px_if(x, PX(x, ne, o->left, tn_px_u(0)));
    TnPxV place = tn_px_index(x, o->to, o->fill, 1);
    for (uint32_t i = 0; i < o->pieces; i++) {
        TnPxV at = place;
        at.bits += (uint64_t)i * at_once * tn_ptx_ring_apart(o->line);
        PX(x, copy16, at, o->from[i], tn_px_i(PIECE));
        tn_ptx_advance(b, o->from[i], o->line);
    }
    if (o->words) {
        PX(x, copy4, tn_px_index(x, o->word_to, o->fill, 1), o->word, tn_px_i(4));
        tn_ptx_advance(b, o->word, 4);
    }
    PX_TO(x, o->left, sub, o->left, tn_px_u(1));
    tn_px_if_end(x, &more);
    PX(x, copy_commit);
    step(b, o, o->fill);
}

void tn_ptx_ring_open(TnPtx *b, const TnPtxUnit *u, TnPtxRing *o, TnPxV place) {
    TnPx *x = &b->x;
    uint32_t across = o->line / PIECE, at_once = x->threads / across;
    o->pieces = TN_PTX_RING_ROWS / at_once;
    TN_CHECK(o->pieces * at_once == TN_PTX_RING_ROWS && o->pieces <= TN_PTX_RING_PIECES);
    TnPxV piece = PX(x, and, b->tid, tn_px_u(across - 1)), row = PX(x, div, b->tid, tn_px_u(across));
    for (uint32_t i = 0; i < o->pieces; i++) {
        TnPxV from = tn_ptx_ring_row(b, u, PX(x, add, row, tn_px_u(i * at_once)));
        o->from[i] = tn_ptx_cursor(b, tn_px_at(tn_px_index(x, from, piece, PIECE), o->head));
    }
    if (o->words) {
        TN_CHECK(o->words * TN_PTX_RING_ROWS == x->threads);
        TnPxV r = PX(x, and, b->tid, tn_px_u(TN_PTX_RING_ROWS - 1));
        TnPxV number = PX(x, div, b->tid, tn_px_u(TN_PTX_RING_ROWS));
        o->word = tn_ptx_cursor(b, tn_px_index(x, tn_ptx_ring_row(b, u, r), number, o->part));
        o->word_to = tn_px_index(x, place, b->tid, 4);
        o->word_to.bits += TN_PTX_RING_ROWS * tn_ptx_ring_apart(o->line);
    }
    o->place = place;
    o->to = tn_px_index(x, tn_px_index(x, place, row, tn_ptx_ring_apart(o->line)), piece, PIECE);
    o->full = tn_px_var(x, tn_px_u(0));
    o->fill = tn_px_var(x, tn_px_u(0));
    o->left = tn_px_var(x, tn_px_u(o->lines));
    for (int i = 0; i < TN_PTX_RING_PLACES - 1; i++) start(b, o);
}

TnPxV tn_ptx_ring_next(TnPtx *b, TnPtxRing *o) {
    TnPx *x = &b->x;
    PX(x, copy_wait, tn_px_i(TN_PTX_RING_PLACES - 2));
    tn_px_barrier(x);
    start(b, o);
    TnPxV at = tn_ptx_cursor(b, tn_px_index(x, o->place, o->full, 1));
    step(b, o, o->full);
    return at;
}

void tn_ptx_ring_close(TnPtx *b) {
    PX(&b->x, copy_wait, tn_px_i(0));
    tn_px_barrier(&b->x);
}
