/* tmatmul with 2 to 8 rows of activations on AMX tiles.
 *
 * Here the weights are the left operand, 16 rows of them by 64 codes. The four planes of a line of each row,
 * shifted down and masked, are four tiles as they lie, so no weights are transposed. The right operand is the
 * rows of activations, [k/4][8 rows][4 codes]. Each worker arranges them so once a launch; rows after the
 * last are copies of it. Sums come out as [16 columns][8 rows]. They are far fewer than weights (one for 80
 * at K = 2560), so the sums are transposed instead, at the end of a block. The products are unsigned codes
 * times signed activations, less sum(a).
 *
 * These are predictions, since there was no machine with AMX. A line of 256 weights takes 7 operations and 4
 * stores for its planes, and a sixteenth of four products of 16 cycles and of their loads, which are 64 lines
 * of weights and 32 of activations; L1 gives two lines a cycle. That makes 4 to 5 cycles for any number of
 * rows from 2 to 8. Above a K of some 3,500 the arranged rows do not stay in L1 beside the planes. Then two
 * of their lines come from L2 for each line of weights, which is 3 of those cycles. One core reads a line
 * from memory in some 15 cycles, so the code waits for memory. The same product by vpdpbusd (tmatmul_few.c)
 * takes 20 cycles for 8 rows.
 *
 * Planes of CHUNK lines are stored before tiles are loaded from them, since a tile load waits until the
 * stores that it needs have reached the cache. Each plane has its own tile of sums, since 52 cycles pass
 * before the next product can add to the same tile. Weights are prefetched into L2 one block ahead, in the
 * order in which they are read.
 *
 * K is an argument, and all eight rows are always computed, so a module has each of the functions once. */
#include <llvm-c/Core.h>
#include "codegen/llvm/ops/ternary.h"

enum {
    COLS = 16,
    PLANES = 4,
    CHUNK = 4,                    /* lines of a row of weights that are unpacked before they are used */
    X_ROWS = TN_LINE / 4,         /* rows of a tile of activations: four codes of each row of activations */
    X_TILE = X_ROWS * TN_FEW * 4, /* bytes of such a tile: 64 codes of all rows */
    TILE = COLS * TN_LINE,        /* bytes of a plane */
    HEAD = 64,                    /* bytes before the arranged rows: -sum(a) of each, i32 */
    SUMS = CHUNK * PLANES * TILE, /* offset in buf, after the planes: [plane][column], a line each */
    BUF = SUMS + PLANES * TILE,
};

int64_t tn_tmatmul_tiles_x(int64_t k) {
    return HEAD + tn_tmatmul_lines(k) * PLANES * X_TILE;
}

int64_t tn_tmatmul_tiles_buf(void) {
    return BUF;
}

static LLVMTypeRef eight(TnBuilder *b) {
    return LLVMVectorType(b->t_i32, TN_FEW);
}

/* void (x, i64 lines, i64 n_x, to) */
static LLVMValueRef arrange_function(TnBuilder *b) {
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, "tmatmul_tiles_x", params, 4, &fn);
    if (!back) return fn;
    LLVMValueRef lines = LLVMGetParam(fn, 1), n_x = LLVMGetParam(fn, 2), to = LLVMGetParam(fn, 3);
    LLVMValueRef codes = tn_build_mul(b, lines, tn_build_i64(b, TN_CODES));
    LLVMValueRef row_bytes = tn_build_add(b, codes, tn_build_i64(b, TN_Q8_HEAD));
    LLVMValueRef last = tn_build_sub(b, n_x, tn_build_i64(b, 1));
    LLVMValueRef row[TN_FEW];
    for (int r = 0; r < TN_FEW; r++) {
        LLVMValueRef i = tn_build_min(b, tn_build_i64(b, r), last);
        row[r] = tn_build_at(b, LLVMGetParam(fn, 0), tn_build_mul(b, i, row_bytes));
        LLVMValueRef sum = tn_build_load(b, b->t_i32, tn_build_atc(b, row[r], 4), 4);
        tn_build_store(b, tn_build_neg(b, sum), tn_build_atc(b, to, 4 * r), 4);
    }
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), codes, TN_FEW * 4);
    LLVMValueRef at = tn_build_elem(b, tn_build_atc(b, to, HEAD), l.i, TN_FEW), v[TN_FEW];
    for (int r = 0; r < TN_FEW; r++)
        v[r] =
            tn_build_load(b, eight(b), tn_build_atc(b, tn_build_at(b, row[r], l.i), TN_Q8_HEAD), TN_FEW * 4);
    tn_tmatmul_transpose(b, v, TN_FEW);
    for (int i = 0; i < TN_FEW; i++)
        tn_build_store(b, v[i], tn_build_atc(b, at, (int64_t)i * TN_FEW * 4), TN_FEW * 4);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_tiles_arrange(TnBuilder *b, int64_t k, LLVMValueRef x, LLVMValueRef n_x, LLVMValueRef to) {
    LLVMValueRef args[] = {x, tn_build_i64(b, tn_tmatmul_lines(k)), n_x, to};
    tn_build_call_function(b, arrange_function(b), args, 4);
}

/* Unpacks the planes of `here` lines, from byte `from` on, of each of the block's rows into buf:
 * [line][plane][row]. */
static void unpack(TnBuilder *b, LLVMValueRef w, LLVMValueRef row_bytes, LLVMValueRef col, LLVMValueRef last,
                   LLVMValueRef from, LLVMValueRef here, LLVMValueRef buf) {
    LLVMValueRef zero = tn_build_i64(b, 0), block = tn_build_mul(b, row_bytes, tn_build_i64(b, COLS));
    TnLoop m = tn_build_loop(b, zero, tn_build_i64(b, COLS), 1);
    LLVMValueRef row = tn_build_min(b, tn_build_add(b, col, m.i), last);
    row = tn_build_at(b, tn_build_at(b, w, tn_build_mul(b, row, row_bytes)), from);
    TnLoop i = tn_build_loop(b, zero, here, 1);
    LLVMValueRef at = tn_build_elem(b, row, i.i, TN_LINE);
    tn_build_prefetch(b, tn_build_at(b, at, block), TN_INTO_L2);
    LLVMValueRef codes = tn_build_load(b, tn_tmatmul_bytes(b), at, TN_LINE);
    LLVMValueRef to = tn_build_elem(b, tn_build_elem(b, buf, m.i, TN_LINE), i.i, PLANES * TILE);
    for (int q = 0; q < PLANES; q++)
        tn_build_store(b, tn_tmatmul_plane(b, codes, q), tn_build_atc(b, to, q * TILE), TN_LINE);
    tn_build_loop_end(b, &i);
    tn_build_loop_end(b, &m);
}

/* Adds up the block's sums at `sums` and stores them as rows of 16 columns at acc. */
static void store_block(TnBuilder *b, LLVMValueRef sums, LLVMValueRef minus, LLVMValueRef acc,
                        LLVMValueRef stride) {
    for (int half = 0; half < COLS; half += TN_FEW) {
        LLVMValueRef v[TN_FEW];
        for (int i = 0; i < TN_FEW; i++) {
            v[i] = minus;
            for (int q = 0; q < PLANES; q++) {
                LLVMValueRef at = tn_build_atc(b, sums, q * TILE + (half + i) * TN_LINE);
                v[i] = tn_build_add(b, v[i], tn_build_load(b, eight(b), at, TN_LINE));
            }
        }
        tn_tmatmul_transpose(b, v, TN_FEW);
        for (int r = 0; r < TN_FEW; r++) {
            LLVMValueRef to = tn_build_at(b, acc, tn_build_mul(b, stride, tn_build_i64(b, r)));
            tn_build_store(b, v[r], tn_build_atc(b, to, half * 4), 4);
        }
    }
}

/* void (w, i64 count, i64 lines, x, acc, i64 stride, buf) */
static LLVMValueRef tiles_function(TnBuilder *b) {
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_i64, b->t_ptr, b->t_ptr, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, "tmatmul_tiles", params, 7, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), lines = LLVMGetParam(fn, 2);
    LLVMValueRef x = LLVMGetParam(fn, 3), acc = LLVMGetParam(fn, 4), stride = LLVMGetParam(fn, 5);
    LLVMValueRef buf = LLVMGetParam(fn, 6), sums = tn_build_atc(b, buf, SUMS), zero = tn_build_i64(b, 0);
    LLVMValueRef row_bytes = tn_build_mul(b, lines, tn_build_i64(b, TN_LINE));
    LLVMValueRef last = tn_build_sub(b, count, tn_build_i64(b, 1));
    LLVMValueRef minus = tn_build_load(b, eight(b), x, 64);
    LLVMValueRef sixteen = LLVMConstInt(b->t_i16, COLS, 0), wide = LLVMConstInt(b->t_i16, TN_FEW * 4, 0),
                 x_rows = LLVMConstInt(b->t_i16, X_ROWS, 0), deep = LLVMConstInt(b->t_i16, TN_LINE, 0);
    x = tn_build_atc(b, x, HEAD);
    TnLoop c = tn_build_loop(b, zero, count, COLS);
    LLVMValueRef sum[PLANES], shape[] = {sixteen, wide};
    for (int q = 0; q < PLANES; q++)
        sum[q] = tn_build_call(b, "llvm.x86.tilezero.internal", NULL, 0, shape, 2);
    TnLoop l = tn_build_loop(b, zero, lines, CHUNK);
    for (int q = 0; q < PLANES; q++) sum[q] = tn_build_carry(b, &l, sum[q]);
    LLVMValueRef here = tn_build_min(b, tn_build_sub(b, lines, l.i), tn_build_i64(b, CHUNK));
    unpack(b, w, row_bytes, c.i, last, tn_build_mul(b, l.i, tn_build_i64(b, TN_LINE)), here, buf);
    TnLoop i = tn_build_loop(b, zero, here, 1);
    for (int q = 0; q < PLANES; q++) sum[q] = tn_build_carry(b, &i, sum[q]);
    LLVMValueRef codes = tn_build_elem(b, buf, i.i, PLANES * TILE);
    LLVMValueRef a = tn_build_elem(b, x, tn_build_add(b, l.i, i.i), PLANES * X_TILE);
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef left =
            tn_tile_load(b, sixteen, TN_LINE, tn_build_atc(b, codes, q * TILE), tn_build_i64(b, TN_LINE));
        LLVMValueRef right =
            tn_tile_load(b, x_rows, TN_FEW * 4, tn_build_atc(b, a, q * X_TILE), tn_build_i64(b, TN_FEW * 4));
        LLVMValueRef args[] = {sixteen, wide, deep, sum[q], left, right};
        tn_build_next(&i, q, tn_build_call(b, "llvm.x86.tdpbusd.internal", NULL, 0, args, 6));
    }
    tn_build_loop_end(b, &i);
    for (int q = 0; q < PLANES; q++) tn_build_next(&l, q, i.out[q]);
    tn_build_loop_end(b, &l);
    for (int q = 0; q < PLANES; q++)
        tn_tile_store(b, sixteen, TN_FEW * 4, tn_build_atc(b, sums, q * TILE), tn_build_i64(b, TN_LINE),
                      l.out[q]);
    store_block(b, sums, minus, tn_build_elem(b, acc, c.i, 4), stride);
    tn_build_loop_end(b, &c);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_tiles(TnBuilder *b, int64_t k, const TnStrip *s) {
    LLVMValueRef args[] = {s->w, s->n, tn_build_i64(b, tn_tmatmul_lines(k)), s->x, s->acc, s->stride, s->buf};
    tn_build_call_function(b, tiles_function(b), args, 7);
}
