/* The ops of heads and positions: rope_angle, rope, and kv_put, which stores rows in the cache's pages. */
#include "codegen/ptx/ops/ptx_ops.h"

#include <math.h>
#include <string.h>
#include "runtime/abi/kernel.h"

static TnRef arg(const TnPtx *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* Cosines in the first half of the columns, sines in the second. */
static TnPxV rope_angle(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPx *x = &b->x;
    TnRef freq = arg(b, ref, 1);
    uint32_t n = (uint32_t)tn_ptx_cols(b, freq);
    TnPxV first = PX(x, lt, off, tn_px_u(n));
    TnPxV i = PX(x, sel, off, PX(x, sub, off, tn_px_u(n)), first);
    TnPxV rows = tn_ptx_operand(b, freq);
    TnPxV f0 = tn_px_get(x, rows, i, TN_PX_F32);
    TnPxV f1 = tn_px_get(x, tn_px_at(rows, (int64_t)tn_row_bytes(&b->g->nodes[freq].type)), i, TN_PX_F32);
    TnPxV p = PX(x, from_s32, tn_px_get(x, tn_ptx_row_mem(b, f, arg(b, ref, 0)), tn_px_u(0), TN_PX_U32));
    TnPxV a = PX(x, mul_f, p, f0), e = PX(x, fma_f, p, f0, PX(x, neg_f, a));
    TnPxV g = PX(x, sub_f, a, PX(x, rint, a)), h = PX(x, add_f, g, PX(x, fma_f, p, f1, e));
    TnPxV u = PX(x, sub_f, h, PX(x, rint, h)), s, c;
    TnPxV known = PX(x, both, PX(x, ge_f, u, tn_px_f(-0.5f)), PX(x, le_f, u, tn_px_f(0.5f)));
    tn_px_sincos_turn(x, PX(x, sel_f, u, tn_px_f(0.0f), known), &s, &c);
    return PX(x, sel_f, PX(x, sel_f, c, s, first), tn_px_f(NAN), known);
}
const TnPtxOp tn_ptx_op_rope_angle = {.can = tn_ptx_yes, .elem = rope_angle};

/* a' = a*cos - b*sin, b' = a*sin + b*cos; the frame begins with a head. */
static TnPxV rope(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPx *x = &b->x;
    TnRef angle = arg(b, ref, 1);
    uint32_t n = (uint32_t)tn_ptx_cols(b, angle) / 2;
    bool pair = !strcmp(tn_attr_str(&b->g->nodes[ref], TN_ATTR_mode), "pair");
    TnPxV in_head = PX(x, rem, off, tn_px_u(2 * n)), first, j, ia;
    if (pair) {
        TnPxV odd = PX(x, and, in_head, tn_px_u(1));
        first = PX(x, eq, odd, tn_px_u(0));
        j = PX(x, shr, in_head, tn_px_u(1));
        ia = PX(x, sub, off, odd);
    } else {
        first = PX(x, lt, in_head, tn_px_u(n));
        j = PX(x, sel, in_head, PX(x, sub, in_head, tn_px_u(n)), first);
        ia = PX(x, add, PX(x, sub, off, in_head), j);
    }
    TnPxV row = tn_ptx_mem(b, f, arg(b, ref, 0)), angles = tn_ptx_row_mem(b, f, angle);
    TnPxV va = tn_px_get(x, row, ia, TN_PX_F32);
    TnPxV vb = tn_px_get(x, row, PX(x, add, ia, tn_px_u(pair ? 1 : n)), TN_PX_F32);
    TnPxV c = tn_px_get(x, angles, j, TN_PX_F32),
          s = tn_px_get(x, tn_px_at(angles, 4 * (int64_t)n), j, TN_PX_F32);
    TnPxV one = PX(x, sub_f, PX(x, mul_f, va, c), PX(x, mul_f, vb, s));
    TnPxV two = PX(x, add_f, PX(x, mul_f, va, s), PX(x, mul_f, vb, c));
    return PX(x, sel_f, one, two, first);
}
const TnPtxOp tn_ptx_op_rope = {.can = tn_ptx_yes, .elem = rope, .mixes = true};

/* ---- kv_put */

/* A row that is being stored at its position in a page. */
typedef struct Put {
    bool keys;
    uint32_t head, size, part; /* head dim; bytes of an element, of a head's part of a page */
    TnPxV at, page;            /* r: position in the page; G: the page, from the frame's first head on */
} Put;

/* The address of element d (r) of head h (r). Keys lie [head dim][position], values [position][head dim]. */
static TnPxV element(TnPtx *b, const Put *p, TnPxV h, TnPxV d) {
    TnPx *x = &b->x;
    TnPxV i = p->keys ? PX(x, mad, d, tn_px_u(TN_PAGE), p->at) : PX(x, mad, p->at, tn_px_u(p->head), d);
    return tn_px_index(x, tn_px_index(x, p->page, h, p->part), i, p->size);
}

/* Adds to count if a value of f16 (h) is the largest. */
static void count_saturated(TnPtx *b, TnPxV count, TnPxV half) {
    TnPx *x = &b->x;
    TnPxV size = PX(x, and, PX(x, from_half, half), tn_px_u(0x7fff));
    PX_TO(x, count, add, count, PX(x, sel, tn_px_u(1), tn_px_u(0), PX(x, eq, size, tn_px_u(0x7bff))));
}

/* Values that saturate are few or none, so a thread that has seen one adds its number by itself. */
static void put_floats(TnPtx *b, const Put *p, const TnPtxFrame *f, TnRef from) {
    TnPx *x = &b->x;
    TnPxV saturated = tn_px_var(x, tn_px_u(0));
    TnPxLoop l = tn_px_strided(x, tn_ptx_width(b, f, from));
    TnPxV h = PX(x, div, l.i, tn_px_u(p->head)), d = PX(x, rem, l.i, tn_px_u(p->head));
    TnPxV to = element(b, p, h, d), v = tn_ptx_value(b, f, from, l.i);
    if (p->size == 4) {
        PX(x, st_f, to, v);
    } else {
        TnPxV half = tn_px_narrow_f16_sat(x, v);
        PX(x, st_h, to, half);
        count_saturated(b, saturated, half);
    }
    tn_px_loop_end(x, &l);
    if (p->size == 4) return;
    tn_px_when(x, PX(x, ne, saturated, tn_px_u(0)));
    PX(x, atom_add, tn_px_at(b->sym, TN_ABI_SATURATED * 8), saturated);
}

/* int8: a warp a head; the scale of a position follows the codes. */
static void put_codes(TnPtx *b, const Put *p, const TnPtxFrame *f, TnRef from) {
    TnPx *x = &b->x;
    TnPxV columns = tn_ptx_width(b, f, from), row = tn_ptx_mem(b, f, from), scale;
    TnPxV count =
        columns.number ? tn_px_u((uint32_t)columns.bits / p->head) : PX(x, div, columns, tn_px_u(p->head));
    TnPxLoop h = tn_px_strided_warp(x, count);
    TnPxV values = tn_px_index(x, row, h.i, p->head * 4), top = tn_px_var(x, tn_px_u(0));
    TnPxLoop l = tn_px_strided_lane(x, tn_px_u(p->head));
    PX_TO(x, top, max, top, tn_px_size_bits(x, tn_px_get(x, values, l.i, TN_PX_F32)));
    tn_px_loop_end(x, &l);
    TnPxV factor = tn_px_quant_factor(x, tn_px_warp_max(x, top), &scale);
    TnPxV scales = tn_px_at(tn_px_index(x, p->page, h.i, p->part), (int64_t)p->head * TN_PAGE);
    tn_px_put_if(x, PX(x, eq, tn_px_lane(x), tn_px_u(0)), scales, p->at, TN_PX_F32, scale);
    TnPxLoop m = tn_px_strided_lane(x, tn_px_u(p->head));
    TnPxV q = tn_px_quant(x, tn_px_get(x, values, m.i, TN_PX_F32), factor);
    PX(x, st_u8, element(b, p, h.i, m.i), q);
    tn_px_loop_end(x, &m);
    tn_px_loop_end(x, &h);
}

static void kv_put(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPx *x = &b->x;
    const TnType *t = &b->g->nodes[ref].type;
    Put p = {.keys = tn_enc_is_kcache(t->enc),
             .head = (uint32_t)t->dim[2],
             .part = (uint32_t)tn_page_head_bytes(t)};
    p.size = tn_encs[t->enc].block_bytes;
    TN_CHECK(tn_page_bytes(t) <= UINT32_MAX && !f->own); /* a value is counted once */
    TnPxV pos = tn_px_get(x, tn_ptx_row_mem(b, f, arg(b, ref, 2)), tn_px_u(0), TN_PX_U32);
    TnPxV slot = tn_px_get(x, tn_ptx_row_mem(b, f, arg(b, ref, 3)), tn_px_u(0), TN_PX_U32);
    TnPxV entry = PX(x, mad, slot, tn_ptx_sym(b, TN_P), PX(x, shr, pos, tn_px_u(6)));
    TnPxV number = tn_px_get(x, tn_ptx_operand(b, arg(b, ref, 4)), entry, TN_PX_U32);
    p.at = PX(x, and, pos, tn_px_u(TN_PAGE - 1));
    p.page = tn_px_index(x, tn_ptx_operand(b, ref), number, (uint32_t)tn_page_bytes(t));
    if (f->width.kind) p.page = tn_px_index(x, p.page, PX(x, div, f->col, tn_px_u(p.head)), p.part);
    (p.size == 1 ? put_codes : put_floats)(b, &p, f, arg(b, ref, 1));
}
const TnPtxOp tn_ptx_op_kv_put = {.can = tn_ptx_yes, .row = kv_put};
