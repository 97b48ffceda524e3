/* tmatmul with many rows of activations, where tmatmul_packed.c does not take them (AVX-512 VNNI without tiles, unless the
 * kernel has panels and more rows than a few dozen): the strip's weights are unpacked once, then every block of rows is
 * multiplied by them with its sums in registers. With tiles tmatmul_amx.c has the product over these panels.
 *
 * Panels. A p64 line of one column holds 64 bytes x 4 planes of codes. Take the 4 bytes at 4d of the lines of
 * `lanes` columns, side by side: that is one register. Its plane q, shifted down and masked, holds the codes
 * of k = 256 L + 64 q + 4 d .. + 3 of each column. So the packed words (a quarter of the bytes) are
 * transposed, then shifted, masked and stored. These registers, stored one after the other over k, are the
 * panel.
 *
 * Product. A block multiplies 4 codes of every column by 4 activations of one row, which the load itself repeats in all lanes.
 * It has `panels` x `rows` registers of sums, and one load for each operand. With 16 registers (AVX-VNNI) a block is 2 x 6: it
 * keeps 12 sums, so that no product waits (latency 5, two a cycle), and 6 row loads and 2 panel loads serve 12 products. With
 * 32 of them (AVX-512) it is 4 x 6: 10 loads serve 24 products. With both the last rows of a step go three at a time; rows
 * after the last are copies of it.
 *
 * MADDUBS: the magnitude of a sum of two products is at most 2 * 2 * 127 = 508, so 64 of them fit int16
 * (proven by ir/range.h), which is a stretch of 256 k. Then they are widened and added to the strip in
 * memory.
 *
 * SMLAL: likewise, an i16 for each byte of a register, whose 64 products of 2 * 127 = 254 are half as much.
 *
 * MMLA: smmla multiplies 2 rows by 2 columns, 8 codes of each, in one instruction, twice as many products as sdot. Panels
 * have the words of two steps interleaved: first those of columns 0 and 1, then those of columns 2 and 3. A sum has two
 * rows of two columns, and is split at the end. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"

enum { STEPS = 4, MOST_ROWS = 6 }; /* products along k in each turn of the inner loop; rows of a shape */

typedef struct Shape {
    int panels, rows;
} Shape;

/* Panels of a shape with VNNI. */
static int vnni_panels(TnBuilder *b) {
    return b->level->bytes == TN_LINE ? 4 : 2;
}
static Shape full_shape(TnBuilder *b) {
    if (b->level->dot == TN_DOT_VNNI) return (Shape){vnni_panels(b), MOST_ROWS};
    return b->level->dot == TN_DOT_SDOT ? (Shape){4, 4} : (Shape){2, 4};
}
/* For the last rows of a step. */
static Shape last_shape(TnBuilder *b) {
    return b->level->dot == TN_DOT_VNNI ? (Shape){vnni_panels(b), 3} : full_shape(b);
}

static int lanes_of(TnBuilder *b) {
    return b->level->bytes / 4;
}

/* Panels of b64 (tmatmul_beside.c) have their words in order, for sdot. */
static bool uses_mmla(TnBuilder *b) {
    return b->level->mmla && tn_tmatmul_weights(b)->enc == TN_ENC_p64;
}

static int64_t padded(int64_t k) {
    return tn_tmatmul_lines(k) * TN_CODES;
}

int64_t tn_tmatmul_panel_bytes(TnBuilder *b, int64_t k) {
    return padded(k) * lanes_of(b);
}

/* ---- Panels */

static LLVMValueRef pick(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, int n, const int *block, int width) {
    int lane[16];
    for (int i = 0; i < n; i++) lane[i] = block[i / width] * width + i % width;
    return tn_build_shuffle(b, x, y, lane, n);
}

/* Transposes 4 x 4 words in each 128-bit block first, then the blocks: both are shuffles that AVX2 and
 * AVX-512 have. */
void tn_tmatmul_transpose(TnBuilder *b, LLVMValueRef *v, int n) {
    int blocks = n / 4;
    for (int size = 1; size <= 2; size *= 2) /* rows i and i + size: interleave words, then pairs of words */
        for (int i = 0; i < n; i++) {
            if (i & size) continue;
            int lo[16], hi[16];
            for (int j = 0; j < n; j++) {
                int base = j / 4 * 4, at = j % 4;
                int from = size == 1 ? at / 2 : at % 2, second = size == 1 ? at % 2 : at / 2;
                lo[j] = second * n + base + from;
                hi[j] = lo[j] + 2;
            }
            LLVMValueRef x = v[i], y = v[i + size];
            v[i] = tn_build_shuffle(b, x, y, lo, n);
            v[i + size] = tn_build_shuffle(b, x, y, hi, n);
        }
    /* now v[4g + s], block j: column 4j + c of rows 4g .. 4g + 3, where s is c with its bits swapped */
    LLVMValueRef t[16] = {NULL};
    static const int swap[] = {0, 2, 1, 3};
    for (int c = 0; c < 4; c++) {
        LLVMValueRef u[4] = {NULL}, m[4] = {NULL};
        for (int g = 0; g < blocks; g++) u[g] = v[4 * g + swap[c]];
        if (blocks == 1) t[c] = u[0];
        for (int j = 0; blocks == 2 && j < 2; j++)
            t[4 * j + c] = pick(b, u[0], u[1], n, (int[]){j, 2 + j}, 4);
        if (blocks != 4) continue;
        for (int g = 0; g < 2; g++) {
            m[2 * g] = pick(b, u[2 * g], u[2 * g + 1], n, (int[]){0, 1, 4, 5}, 4);
            m[2 * g + 1] = pick(b, u[2 * g], u[2 * g + 1], n, (int[]){2, 3, 6, 7}, 4);
        }
        for (int j = 0; j < 4; j++) {
            int at = j % 2;
            t[4 * j + c] = pick(b, m[j / 2], m[2 + j / 2], n, (int[]){at, 2 + at, 4 + at, 6 + at}, 4);
        }
    }
    for (int i = 0; i < n; i++) v[i] = t[i];
}

/* MMLA: of two registers with a word of each column, one with the words of columns 0 and 1, and one with the others. */
static void interleave(TnBuilder *b, LLVMValueRef v[2]) {
    static const int low[] = {0, 4, 1, 5}, high[] = {2, 6, 3, 7};
    LLVMValueRef x = v[0], y = v[1];
    v[0] = tn_build_shuffle(b, x, y, low, 4);
    v[1] = tn_build_shuffle(b, x, y, high, 4);
}

/* void (w, i64 count, i64 lines, panels) */
static LLVMValueRef prepare_function(TnBuilder *b) {
    static const char name[] = "tmatmul_panels";
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 4, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), lines = LLVMGetParam(fn, 2);
    LLVMValueRef panels = LLVMGetParam(fn, 3), zero = tn_build_i64(b, 0);
    LLVMValueRef row_bytes = tn_build_mul(b, lines, tn_build_i64(b, TN_LINE));
    int lanes = lanes_of(b), size = b->level->bytes;
    LLVMValueRef last = tn_build_sub(b, count, tn_build_i64(b, 1));
    TnLoop p = tn_build_loop(b, zero, count, lanes);
    LLVMValueRef row[16];
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef r = tn_build_min(b, tn_build_add(b, p.i, tn_build_i64(b, i)), last);
        row[i] = tn_build_at(b, w, tn_build_mul(b, r, row_bytes));
    }
    LLVMValueRef next =
        tn_build_at(b, w, tn_build_mul(b, tn_build_add(b, p.i, tn_build_i64(b, lanes)), row_bytes));
    LLVMValueRef all = tn_build_mul(b, p.i, lines); /* codes of a column before this panel */
    LLVMValueRef panel = tn_build_elem(b, panels, all, TN_CODES);
    TnLoop l = tn_build_loop(b, zero, lines, 1);
    next = tn_build_walk(b, &l, next, (int64_t)lanes * TN_LINE);
    LLVMValueRef off = tn_build_mul(b, l.i, tn_build_i64(b, TN_LINE));
    LLVMValueRef to = tn_build_elem(b, panel, l.i, (int64_t)TN_CODES * lanes);
    tn_tmatmul_fetch(b, next, lanes);
    LLVMValueRef three = tn_build_splat_const(b, LLVMConstInt(b->t_i8, 3, 0), size);
    for (int at = 0; at < TN_LINE; at += size) {
        LLVMValueRef v[16] = {NULL};
        for (int i = 0; i < lanes; i++)
            v[i] = tn_build_load(b, tn_tmatmul_ints(b), tn_build_atc(b, tn_build_at(b, row[i], off), at),
                                 (unsigned)size);
        tn_tmatmul_transpose(b, v, lanes);
        for (int d = 0; uses_mmla(b) && d < lanes; d += 2) interleave(b, &v[d]);
        for (int d = 0; d < lanes; d++)
            tn_build_store(b, v[d], tn_build_atc(b, to, (int64_t)(at / 4 + d) * size), (unsigned)size);
    }
    /* Plane 0 overwrites the packed words. This is a loop, since that takes an eighth of the code. */
    TnLoop d = tn_build_loop(b, zero, tn_build_i64(b, TN_LINE / 4), 1);
    LLVMValueRef here = tn_build_walk(b, &d, to, size),
                 v = tn_build_load(b, tn_tmatmul_ints(b), here, (unsigned)size);
    for (int q = 0; q < 4; q++) {
        LLVMValueRef by = tn_build_splat_const(b, tn_build_i32(b, 2 * q), lanes);
        LLVMValueRef c = q ? tn_build_lshr(b, v, by) : v;
        c = tn_build_and(b, tn_build_bitcast(b, c, tn_tmatmul_bytes(b)), three);
        tn_build_store(b, c, tn_build_atc(b, here, (int64_t)16 * q * size), (unsigned)size);
    }
    tn_build_loop_end(b, &d);
    tn_build_loop_end(b, &l);
    tn_build_loop_end(b, &p);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_prepare(TnBuilder *b, LLVMValueRef w, LLVMValueRef n, int64_t k, LLVMValueRef panels) {
    LLVMValueRef args[] = {w, n, tn_build_i64(b, padded(k) / TN_CODES), panels};
    tn_build_call_function(b, prepare_function(b), args, 4);
}

/* ---- Product */

/* STEPS products along k of all panels and rows. Adds to sum[panel * rows + row], which have i32 lanes, or
 * i16 lanes on narrow levels. */
static void steps(TnBuilder *b, Shape s, int64_t panel_bytes, LLVMValueRef panel, LLVMValueRef *x,
                  LLVMValueRef *sum) {
    int size = b->level->bytes, lanes = lanes_of(b);
    for (int k = 0; k < STEPS; k++) {
        LLVMValueRef c[4];
        for (int p = 0; p < s.panels; p++)
            c[p] = tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, panel, p * panel_bytes + k * size),
                                 (unsigned)size);
        for (int r = 0; r < s.rows; r++) {
            LLVMValueRef four = tn_build_load(b, b->t_i32, tn_build_atc(b, x[r], 4 * k), 4);
            LLVMValueRef a = tn_build_bitcast(b, tn_build_splat(b, four, lanes), tn_tmatmul_bytes(b));
            for (int p = 0; p < s.panels; p++) {
                LLVMValueRef *to = &sum[p * s.rows + r];
                *to = tn_level_narrow(b->level) ? tn_build_narrow_add(b, *to, c[p], a)
                                                : tn_tmatmul_dot(b, *to, c[p], a);
            }
        }
    }
}

/* The same with smmla: sum[panel * rows + row] has columns 0 and 1 of rows `row` and `row` + 1 if `row` is even, else columns
 * 2 and 3 of rows `row` - 1 and `row`. */
static void steps_mmla(TnBuilder *b, Shape s, int64_t panel_bytes, LLVMValueRef panel, LLVMValueRef *x,
                       LLVMValueRef *sum) {
    LLVMTypeRef overload[] = {tn_tmatmul_ints(b), tn_tmatmul_bytes(b)};
    int size = b->level->bytes;
    TN_CHECK(s.rows % 2 == 0);
    for (int k = 0; k < STEPS; k += 2) {
        LLVMValueRef a[MOST_ROWS / 2];
        for (int r = 0; r < s.rows; r += 2) {
            LLVMValueRef both = LLVMGetPoison(LLVMVectorType(b->t_i64, 2));
            for (int i = 0; i < 2; i++)
                both = tn_build_insert(b, both,
                                       tn_build_load(b, b->t_i64, tn_build_atc(b, x[r + i], 4 * k), 4), i);
            a[r / 2] = tn_build_bitcast(b, both, tn_tmatmul_bytes(b));
        }
        for (int p = 0; p < s.panels; p++)
            for (int half = 0; half < 2; half++) {
                LLVMValueRef at = tn_build_atc(b, panel, p * panel_bytes + (k + half) * size);
                LLVMValueRef c = tn_build_load(b, tn_tmatmul_bytes(b), at, (unsigned)size);
                for (int r = 0; r < s.rows; r += 2) {
                    LLVMValueRef *to = &sum[p * s.rows + r + half], args[] = {*to, a[r / 2], c};
                    *to = tn_build_call(b, "llvm.aarch64.neon.smmla", overload, 2, args, 3);
                }
            }
    }
}

/* Makes of two sums of smmla those of two rows: the four columns of each. */
static void split_mmla(TnBuilder *b, Shape s, LLVMValueRef *sum) {
    static const int first[] = {0, 1, 4, 5}, second[] = {2, 3, 6, 7};
    for (int i = 0; i < s.panels * s.rows; i += 2) {
        LLVMValueRef x = sum[i], y = sum[i + 1];
        sum[i] = tn_build_shuffle(b, x, y, first, 4);
        sum[i + 1] = tn_build_shuffle(b, x, y, second, 4);
    }
}

typedef struct Block {
    Shape shape;
    bool apart; /* each row has an address of its own; else the rows are adjacent */
    int64_t row_bytes, panel_bytes;
} Block;
/* `turns` times `steps` from *panel and x[] on, with sums that begin at zero. Moves the pointers to where it
 * ended. */
static void stretch(TnBuilder *b, const Block *of, int64_t turns, LLVMValueRef *panel, LLVMValueRef *x,
                    LLVMValueRef *sum) {
    Shape s = of->shape;
    int n = s.panels * s.rows, n_x = of->apart ? s.rows : 1;
    LLVMTypeRef t = tn_level_narrow(b->level) ? tn_build_narrow_type(b) : tn_tmatmul_ints(b);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, turns), 1);
    for (int i = 0; i < n; i++) sum[i] = tn_build_carry(b, &l, LLVMConstNull(t));
    LLVMValueRef at = tn_build_walk(b, &l, *panel, STEPS * b->level->bytes), from[MOST_ROWS] = {NULL};
    for (int r = 0; r < n_x; r++) from[r] = tn_build_walk(b, &l, x[r], 4 * STEPS);
    for (int r = n_x; r < s.rows; r++) from[r] = tn_build_atc(b, from[0], r * of->row_bytes);
    (uses_mmla(b) ? steps_mmla : steps)(b, s, of->panel_bytes, at, from, sum);
    for (int i = 0; i < n; i++) tn_build_next(&l, i, sum[i]);
    tn_build_loop_end(b, &l);
    for (int i = 0; i < n; i++) sum[i] = l.out[i];
    if (uses_mmla(b)) split_mmla(b, s, sum);
    *panel = l.out[n];
    for (int r = 0; r < n_x; r++) x[r] = l.out[n + 1 + r];
}

/* The function for K = k and blocks of a shape: void (panels, i64 count, x, i64 n_x, acc, i64 stride). With
 * `apart`, n_x may be less than the rows of the shape. */
static LLVMValueRef block_function(TnBuilder *b, int64_t k, Shape s, bool apart) {
    char name[64];
    snprintf(name, sizeof name, "tmatmul_k%lld_%dx%d%s%s", (long long)k, s.panels, s.rows,
             uses_mmla(b) ? "_mmla" : "", apart ? "_last" : "");
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 6, &fn);
    if (!back) return fn;
    LLVMValueRef panels = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), x = LLVMGetParam(fn, 2);
    LLVMValueRef n_x = LLVMGetParam(fn, 3), acc = LLVMGetParam(fn, 4), stride = LLVMGetParam(fn, 5);
    int64_t all = padded(k), row_bytes = TN_Q8_HEAD + all;
    Block of = {s, apart, row_bytes, .panel_bytes = all * lanes_of(b)};
    int lanes = lanes_of(b), size = b->level->bytes;
    bool narrow = tn_level_narrow(b->level);
    LLVMValueRef row[MOST_ROWS], out[MOST_ROWS], minus[MOST_ROWS],
        last = tn_build_sub(b, n_x, tn_build_i64(b, 1));
    for (int r = 0; r < s.rows; r++) {
        LLVMValueRef i = apart && r ? tn_build_min(b, tn_build_i64(b, r), last) : tn_build_i64(b, r);
        row[r] = tn_build_elem(b, x, i, row_bytes);
        out[r] = tn_build_at(b, acc, tn_build_mul(b, stride, tn_build_i64(b, r)));
        minus[r] = tn_build_neg(b, tn_build_load(b, b->t_i32, tn_build_atc(b, row[r], 4), 4));
        row[r] = tn_build_atc(b, row[r], TN_Q8_HEAD);
    }
    TnLoop c = tn_build_loop(b, tn_build_i64(b, 0), count, s.panels * lanes);
    LLVMValueRef panel = tn_build_elem(b, panels, c.i, all), sum[TN_LOOP_CARRIES], to[TN_LOOP_CARRIES];
    for (int r = 0; r < s.rows; r++)
        for (int p = 0; p < s.panels; p++) {
            LLVMValueRef at = tn_build_atc(b, tn_build_elem(b, out[r], c.i, 4), (int64_t)p * size);
            to[p * s.rows + r] = at;
            if (narrow) tn_build_store(b, tn_build_splat(b, minus[r], lanes), at, 4);
        }
    int n = s.panels * s.rows;
    if (narrow) {
        TnDot dot = tn_llvm_dot(b->level, tn_tmatmul_weights(b), TN_FEW + 1);
        TN_CHECK(tn_range_widen(&dot, k) > 0); /* an i16 has room for a stretch, and is widened after it */
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, all / TN_CODES), 1);
        LLVMValueRef at = tn_build_elem(b, panel, l.i, (int64_t)TN_CODES * lanes), from[MOST_ROWS];
        for (int r = 0; r < s.rows; r++) from[r] = tn_build_elem(b, row[r], l.i, TN_CODES);
        stretch(b, &of, TN_CODES / 4 / STEPS, &at, from, sum);
        for (int i = 0; i < n; i++) {
            LLVMValueRef old = tn_build_load(b, tn_tmatmul_ints(b), to[i], 4);
            tn_build_store(b, tn_build_add(b, old, tn_build_narrow_widen(b, sum[i])), to[i], 4);
        }
        tn_build_loop_end(b, &l);
    } else {
        LLVMValueRef from[MOST_ROWS];
        for (int r = 0; r < s.rows; r++) from[r] = row[r];
        stretch(b, &of, all / 4 / STEPS, &panel, from, sum);
        for (int i = 0; i < n; i++)
            tn_build_store(b, tn_build_add(b, sum[i], tn_build_splat(b, minus[i % s.rows], lanes)), to[i], 4);
    }
    tn_build_loop_end(b, &c);
    return tn_build_shared_end(b, back);
}

int tn_tmatmul_block(TnBuilder *b) {
    return b->level->amx ? 128 : 12;
}

void tn_tmatmul_strips(TnBuilder *b, int64_t k, const TnStrip *s) {
    if (b->level->amx) {
        tn_tmatmul_amx_strips(b, k, s);
        return;
    }
    Shape full = full_shape(b), last = last_shape(b);
    int64_t row_bytes = TN_Q8_HEAD + padded(k);
    TN_CHECK(tn_tmatmul_block(b) % full.rows == 0 && full.rows % last.rows == 0);
    LLVMValueRef zero = tn_build_i64(b, 0), done = zero;
    if (full.rows > last.rows) {
        LLVMValueRef whole = tn_build_sdiv(b, s->n_x, tn_build_i64(b, full.rows));
        done = tn_build_mul(b, whole, tn_build_i64(b, full.rows));
        TnLoop l = tn_build_loop(b, zero, done, full.rows);
        LLVMValueRef args[] = {s->w,
                               s->n,
                               tn_build_elem(b, s->x, l.i, row_bytes),
                               tn_build_i64(b, full.rows),
                               tn_build_at(b, s->acc, tn_build_mul(b, s->stride, l.i)),
                               s->stride};
        tn_build_call_function(b, block_function(b, k, full, false), args, 6);
        tn_build_loop_end(b, &l);
    }
    TnLoop l = tn_build_loop(b, done, s->n_x, last.rows);
    LLVMValueRef args[] = {s->w,
                           s->n,
                           tn_build_elem(b, s->x, l.i, row_bytes),
                           tn_build_sub(b, s->n_x, l.i),
                           tn_build_at(b, s->acc, tn_build_mul(b, s->stride, l.i)),
                           s->stride};
    tn_build_call_function(b, block_function(b, k, last, true), args, 6);
    tn_build_loop_end(b, &l);
}
