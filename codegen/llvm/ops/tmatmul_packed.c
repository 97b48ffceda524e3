/* tmatmul with many rows of activations on AVX-512: the product over b64 of few rows (tmatmul_beside.c), six rows of
 * activations at a time, straight from packed bytes. A line of 64 bytes, one load and three masks serve 24 products, where
 * panels (tmatmul_rows.c) take four loads. A block of 64 rows of weights is a quarter of its panels, so it stays in L2 however
 * long its rows are. Where masks and products share ports, panels are faster (codegen/llvm/reading.c).
 *
 * Weights of b64 are multiplied where they lie. Those of p64 and b80 are turned into blocks of b64 first, once for all rows of
 * a step.
 *
 *   p64  Words of 16 rows are transposed, so that a register holds the bytes at 4d of 16 rows. Bits 2q of them are the columns
 *        64 q + 4 d .. + 3. Of four such registers, of 64 rows, the pairs of bits are transposed: plane q of all of them makes the
 *        line of those columns.
 *   b80  The four panels of 64 rows (tmatmul_base3.c) become one line of each four registers. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"

enum { PANELS = 4 }; /* of a block */

bool tn_tmatmul_packs(const TnLevel *level) {
    return level->dot == TN_DOT_VNNI && level->bytes == TN_LINE && !level->amx;
}

static int64_t columns_of(int64_t k) {
    return tn_tmatmul_lines(k) * TN_CODES;
}

/* The blocks that are multiplied. */
static TnType blocks_of(TnBuilder *b, int64_t k) {
    const TnType *w = tn_tmatmul_weights(b);
    return w->enc == TN_ENC_b64 ? *w : tn_type(TN_ENC_b64, 2, (TnDim)TN_BESIDE, (TnDim)columns_of(k));
}

/* Blocks of a strip as wide as a unit. */
static int64_t most_blocks(TnBuilder *b) {
    return (b->k->grain + TN_BESIDE - 1) / TN_BESIDE;
}

/* After the blocks comes room to make one: as many bytes again, or its panels and a spare one (tn_tmatmul_base3_prepare). */
int64_t tn_tmatmul_packed_bytes(TnBuilder *b, int64_t k) {
    if (tn_tmatmul_weights(b)->enc == TN_ENC_b64) return 64;
    int64_t block = TN_BESIDE / 4 * columns_of(k), panels = (PANELS + 1) * tn_tmatmul_panel_bytes(b, k);
    return most_blocks(b) * block + (tn_tmatmul_weights(b)->enc == TN_ENC_b80 ? panels : block);
}

/* The bits of each byte that are in the mask. */
static LLVMValueRef masked(TnBuilder *b, LLVMValueRef v, int mask) {
    LLVMValueRef bytes = tn_build_splat_const(b, LLVMConstInt(b->t_i8, (uint64_t)mask, 0), TN_LINE);
    v = tn_build_and(b, tn_build_bitcast(b, v, tn_tmatmul_bytes(b)), bytes);
    return tn_build_bitcast(b, v, tn_tmatmul_ints(b));
}

/* void (panels, block): packs four panels. Panels after the last column hold any bytes. */
static LLVMValueRef pack_function(TnBuilder *b, int64_t k) {
    char name[64];
    snprintf(name, sizeof name, "tmatmul_pack_k%lld", (long long)k);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    int64_t panel = tn_tmatmul_panel_bytes(b, k);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, columns_of(k) / 4), 1);
    LLVMValueRef from = tn_build_walk(b, &l, LLVMGetParam(fn, 0), TN_LINE),
                 to = tn_build_walk(b, &l, LLVMGetParam(fn, 1), TN_LINE), line = NULL;
    for (int q = 0; q < PANELS; q++) {
        LLVMValueRef by = tn_build_splat_const(b, tn_build_i32(b, 2 * q), TN_LINE / 4);
        LLVMValueRef v = tn_build_load(b, tn_tmatmul_ints(b), tn_build_atc(b, from, q * panel), TN_LINE);
        v = masked(b, q ? tn_build_shl(b, v, by) : v, 3 << 2 * q);
        line = line ? tn_build_or(b, line, v) : v;
    }
    tn_build_store(b, line, to, TN_LINE);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

/* The words of 16 rows from row `first` on, side by side: register d of a line goes to `to` + 4 d registers. Rows after `last`
 * are copies of it. */
static void transpose_rows(TnBuilder *b, LLVMValueRef w, LLVMValueRef first, LLVMValueRef last,
                           LLVMValueRef lines, LLVMValueRef to) {
    enum { LANES = TN_LINE / 4 };
    LLVMValueRef row[LANES], v[LANES], bytes = tn_build_mul(b, lines, tn_build_i64(b, TN_LINE));
    LLVMValueRef next =
        tn_build_at(b, w, tn_build_mul(b, tn_build_add(b, first, tn_build_i64(b, LANES)), bytes));
    for (int i = 0; i < LANES; i++) {
        LLVMValueRef r = tn_build_min(b, tn_build_add(b, first, tn_build_i64(b, i)), last);
        row[i] = tn_build_at(b, w, tn_build_mul(b, r, bytes));
    }
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), lines, 1);
    LLVMValueRef at = tn_build_walk(b, &l, to, LANES * PANELS * TN_LINE);
    tn_tmatmul_fetch(b, tn_build_walk(b, &l, next, LANES * TN_LINE), LANES);
    for (int i = 0; i < LANES; i++)
        v[i] = tn_build_load(b, tn_tmatmul_ints(b), tn_build_elem(b, row[i], l.i, TN_LINE), TN_LINE);
    tn_tmatmul_transpose(b, v, LANES);
    for (int d = 0; d < LANES; d++)
        tn_build_store(b, v[d], tn_build_atc(b, at, (int64_t)d * PANELS * TN_LINE), TN_LINE);
    tn_build_loop_end(b, &l);
}

/* The bits of x that are in the mask, a byte's, and those of y that are not. */
static LLVMValueRef merge(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, int mask) {
    return tn_build_or(b, masked(b, x, mask), masked(b, y, 0xff ^ mask));
}

/* Swaps bits `by` .. of x with bits 0 .. of y, in groups of `by` bits of which the mask has the lower ones. */
static void swap_bits(TnBuilder *b, LLVMValueRef *x, LLVMValueRef *y, int by, int mask) {
    LLVMValueRef n = tn_build_splat_const(b, tn_build_i32(b, by), TN_LINE / 4);
    LLVMValueRef low = merge(b, *x, tn_build_shl(b, *y, n), mask),
                 high = merge(b, tn_build_lshr(b, *x, n), *y, mask);
    *x = low, *y = high;
}

/* void (w, i64 last, i64 lines, room, block): makes a block of rows of p64; row `last` is the last one. */
static LLVMValueRef rows_function(TnBuilder *b) {
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_i64, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, "tmatmul_pack_rows", params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef lines = LLVMGetParam(fn, 2), room = LLVMGetParam(fn, 3), zero = tn_build_i64(b, 0);
    TnLoop g = tn_build_loop(b, zero, tn_build_i64(b, PANELS), 1);
    transpose_rows(b, LLVMGetParam(fn, 0), tn_build_mul(b, g.i, tn_build_i64(b, TN_LINE / 4)),
                   LLVMGetParam(fn, 1), lines, tn_build_elem(b, room, g.i, TN_LINE));
    tn_build_loop_end(b, &g);
    TnLoop l = tn_build_loop(b, zero, lines, 1), d = tn_build_loop(b, zero, tn_build_i64(b, TN_LINE / 4), 1);
    LLVMValueRef at = tn_build_add(b, tn_build_mul(b, l.i, tn_build_i64(b, TN_LINE / 4)), d.i), v[PANELS];
    LLVMValueRef from = tn_build_elem(b, room, at, PANELS * TN_LINE);
    for (int i = 0; i < PANELS; i++)
        v[i] = tn_build_load(b, tn_tmatmul_ints(b), tn_build_atc(b, from, i * TN_LINE), TN_LINE);
    for (int i = 0; i < PANELS; i += 2) swap_bits(b, &v[i], &v[i + 1], 2, 0x33);
    for (int i = 0; i < 2; i++) swap_bits(b, &v[i], &v[i + 2], 4, 0x0f);
    LLVMValueRef to = tn_build_elem(b, LLVMGetParam(fn, 4), l.i, TN_CODES / 4 * TN_LINE);
    to = tn_build_elem(b, to, d.i, TN_LINE);
    for (int q = 0; q < PANELS; q++)
        tn_build_store(b, v[q], tn_build_atc(b, to, q * TN_LINE / 4 * TN_LINE), TN_LINE);
    tn_build_loop_end(b, &d);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_packed_prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef blocks) {
    const TnType *w = tn_tmatmul_weights(b);
    int64_t k = w->dim[1], bytes = TN_BESIDE / 4 * columns_of(k);
    LLVMValueRef room = tn_build_atc(b, blocks, most_blocks(b) * bytes), most = tn_build_i64(b, TN_BESIDE);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), s->n, TN_BESIDE);
    TnStrip part = {.w = tn_build_elem(b, s->w, l.i, (int64_t)tn_row_bytes(w)),
                    .col = tn_build_add(b, s->col, l.i),
                    .n = tn_build_min(b, tn_build_sub(b, s->n, l.i), most)};
    LLVMValueRef block = tn_build_elem(b, blocks, l.i, bytes / TN_BESIDE);
    if (w->enc == TN_ENC_b80) {
        tn_tmatmul_base3_prepare(b, &part, room);
        LLVMValueRef args[] = {room, block};
        tn_build_call_function(b, pack_function(b, k), args, TN_COUNT(args));
    } else {
        LLVMValueRef last = tn_build_sub(b, part.n, tn_build_i64(b, 1));
        LLVMValueRef args[] = {part.w, last, tn_build_i64(b, tn_tmatmul_lines(k)), room, block};
        tn_build_call_function(b, rows_function(b), args, TN_COUNT(args));
    }
    tn_build_loop_end(b, &l);
}

/* The last rows, `least` to `most` of them: the last one is there twice if they are fewer than `most`. */
static void last_rows(TnBuilder *b, const TnType *w, LLVMValueRef *args, int least, int most) {
    TnIf is = tn_build_if_between(b, args[3], least, most);
    tn_build_call_function(b, tn_tmatmul_beside_function(b, w, most), args, 6);
    tn_build_if_end(b, &is);
}

void tn_tmatmul_packed(TnBuilder *b, int64_t k, const TnStrip *s) {
    TnType w = blocks_of(b, k);
    int64_t row_bytes = TN_Q8_HEAD + columns_of(k);
    LLVMValueRef zero = tn_build_i64(b, 0), six = tn_build_i64(b, TN_BESIDE_PASS);
    LLVMValueRef blocks =
        tn_build_sdiv(b, tn_build_add(b, s->n, tn_build_i64(b, TN_BESIDE - 1)), tn_build_i64(b, TN_BESIDE));
    LLVMValueRef whole = tn_build_mul(b, tn_build_sdiv(b, s->n_x, six), six);
    TnLoop l = tn_build_loop(b, zero, whole, TN_BESIDE_PASS);
    LLVMValueRef to = tn_build_at(b, s->acc, tn_build_mul(b, s->stride, l.i));
    LLVMValueRef args[] = {s->w, blocks, tn_build_elem(b, s->x, l.i, row_bytes), six, to, s->stride};
    tn_build_call_function(b, tn_tmatmul_beside_function(b, &w, TN_BESIDE_PASS), args, TN_COUNT(args));
    tn_build_loop_end(b, &l);
    LLVMValueRef rest[] = {s->w,
                           blocks,
                           tn_build_elem(b, s->x, whole, row_bytes),
                           tn_build_sub(b, s->n_x, whole),
                           tn_build_at(b, s->acc, tn_build_mul(b, s->stride, whole)),
                           s->stride};
    for (int most = 2; most <= TN_BESIDE_PASS; most += 2) last_rows(b, &w, rest, most - 1, most);
}
