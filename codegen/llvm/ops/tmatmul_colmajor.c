/* tmatmul of one row by columns: the weights of a column are read only if its activation is not 0 (pass
 * colmajor).
 *
 * A worker's first tile notes which codes of the row are not 0: a list of their places, and the codes
 * themselves. If more than half are not 0, the product by rows is faster (tmatmul.c). Else a unit is a block
 * of TN_COLMAJOR_ROWS columns of the result. It goes through the list and reads a line of 64 bytes for each
 * place; byte j has the code of column 64q + j in bits 2q and 2q + 1. The sums stay in registers.
 *
 *   VNNI, SDOT   four lines at a time. The bytes of the four lines are interleaved, so that one dot product
 *                of four takes a plane of them, with the four activations in all lanes: 16 sums of i32
 *   MADDUBS      two lines at a time, likewise, by vpmaddubsw: 8 sums of i16, widened after as many as are
 *                proved to fit (ir/range.h). A register has half a line, so there are two turns
 *   SMLAL        one line at a time: 16 sums of i16, likewise; four turns
 *
 * Lines lie 64 bytes apart and are read in rising order. The lines of the places that are the kernel's distances
 * of columns further on in the list are prefetched. What is best differs: on a Cascade Lake past the second-level
 * cache, which would also fetch the neighbour of each line, 32 places ahead; on a Zen 4 into that cache, 64 ahead
 * (codegen/families.c). With the former the time over that of the product by rows, for 30 matrices of 2560 x
 * 6912 in turn (two cores, AVX-512 VNNI): 0.8 at 50 % zeros, 0.6 at 65 %, 0.4 at 80 %, 0.2 at 90 %. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"

enum {
    SLACK = 128
}; /* in places; up to SLACK places after the list may be read: the farthest prefetch and a turn */

/* What is noted: the number of codes that are not 0 (i64), the byte offsets of their lines (i32), and the
 * codes. */
enum { LIST = 64 };
static int64_t codes_at(int64_t k) {
    return LIST + ((k + SLACK) * 4 + 63) / 64 * 64;
}
int64_t tn_tmatmul_noted_bytes(int64_t k) {
    return codes_at(k) + k + SLACK;
}

/* void (codes of the row, i64 their number with padding, noted, list, codes) */
static LLVMValueRef note_function(TnBuilder *b) {
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, "tmatmul_note", params, 5, &fn);
    if (!back) return fn;
    LLVMValueRef x = LLVMGetParam(fn, 0), k = LLVMGetParam(fn, 1), noted = LLVMGetParam(fn, 2);
    LLVMValueRef list = LLVMGetParam(fn, 3), codes = LLVMGetParam(fn, 4), zero = tn_build_i64(b, 0);
    LLVMValueRef one = tn_build_i64(b, 1);
    LLVMTypeRef bits = LLVMIntTypeInContext(b->c, (unsigned)b->level->bytes);
    tn_build_store(b, tn_build_i32(b, 0), list, 4); /* read below if all codes are 0 */
    TnLoop i = tn_build_loop(b, zero, k, b->level->bytes);
    LLVMValueRef n = tn_build_carry(b, &i, zero),
                 v = tn_build_load(b, tn_tmatmul_bytes(b), tn_build_at(b, x, i.i), 1);
    LLVMValueRef some = tn_build_icmp(b, LLVMIntNE, v, LLVMConstNull(tn_tmatmul_bytes(b)));
    some = tn_build_zext_any(b, tn_build_bitcast(b, some, bits), b->t_i64);
    LLVMValueRef more = tn_build_add(b, n, tn_build_call(b, "llvm.ctpop", &b->t_i64, 1, &some, 1));
    TnLoop j = tn_build_loop(b, n, more, 1);
    LLVMValueRef left = tn_build_carry(b, &j, some);
    LLVMValueRef lowest[] = {left, LLVMConstInt(b->t_i1, 1, 0)};
    LLVMValueRef at = tn_build_add(b, i.i, tn_build_call(b, "llvm.cttz", &b->t_i64, 1, lowest, 2));
    LLVMValueRef line = tn_build_mul(b, at, tn_build_i64(b, TN_LINE));
    tn_build_store(b, tn_build_trunc(b, line, b->t_i32), tn_build_elem(b, list, j.i, 4), 4);
    tn_build_store(b, tn_build_load(b, b->t_i8, tn_build_at(b, x, at), 1), tn_build_at(b, codes, j.i), 1);
    tn_build_next(&j, 0, tn_build_and(b, left, tn_build_sub(b, left, one)));
    tn_build_loop_end(b, &j);
    tn_build_next(&i, 0, more);
    tn_build_loop_end(b, &i);
    n = i.out[0];
    tn_build_store(b, n, noted, 8);
    /* Fill the entries that may be read after the list: the last line again, times 0. */
    LLVMValueRef last = tn_build_max(b, tn_build_sub(b, n, one), zero);
    last = tn_build_load(b, b->t_i32, tn_build_elem(b, list, last, 4), 4);
    tn_build_store(b, tn_build_splat(b, last, SLACK), tn_build_elem(b, list, n, 4), 4);
    tn_build_store(b, tn_build_i32(b, 0), tn_build_at(b, codes, n), 1);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_note(TnBuilder *b, int64_t k, LLVMValueRef x, LLVMValueRef noted) {
    LLVMValueRef args[] = {tn_build_atc(b, x, TN_Q8_HEAD), tn_build_i64(b, tn_tmatmul_lines(k) * TN_CODES),
                           noted, tn_build_atc(b, noted, LIST), tn_build_atc(b, noted, codes_at(k))};
    tn_build_call_function(b, note_function(b), args, 5);
}

LLVMValueRef tn_tmatmul_is_sparse(TnBuilder *b, int64_t k, LLVMValueRef noted) {
    LLVMValueRef n = tn_build_load(b, b->t_i64, noted, 8);
    return tn_build_icmp(b, LLVMIntSLE, n, tn_build_i64(b, k / 2));
}

/* The number of lines whose bytes are interleaved. */
static int together(TnBuilder *b) {
    return b->level->dot == TN_DOT_MADDUBS ? 2 : b->level->dot == TN_DOT_SMLAL ? 1 : 4;
}

/* From each 16 bytes of two registers, interleaves the lower or the upper halves, `size` bytes from each in
 * turn. */
static LLVMValueRef zip(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, int size, bool upper) {
    int lane[64], n = b->level->bytes;
    for (int i = 0; i < n; i++) {
        int piece = i % 16 / size;
        lane[i] = i / 16 * 16 + (upper ? 8 : 0) + piece / 2 * size + i % size + (piece % 2 ? n : 0);
    }
    return tn_build_shuffle(b, x, y, lane, n);
}

/* Interleaves the bytes of the registers of n lines. From each 16 bytes, v[j] then has the j-th 16 / n bytes
 * of all. */
static void join(TnBuilder *b, LLVMValueRef *v, int n) {
    if (n == 1) return;
    LLVMValueRef x[2] = {zip(b, v[0], v[1], 1, false), zip(b, v[0], v[1], 1, true)};
    if (n == 2) {
        v[0] = x[0];
        v[1] = x[1];
        return;
    }
    LLVMValueRef y[2] = {zip(b, v[2], v[3], 1, false), zip(b, v[2], v[3], 1, true)};
    for (int j = 0; j < 4; j++) v[j] = zip(b, x[j / 2], y[j / 2], 2, j % 2);
}

/* The 16 sums for bytes 16 g .. 16 g + 15 of a plane, as i32, gathered from v[n]. */
static LLVMValueRef sixteen(TnBuilder *b, LLVMValueRef *v, int n, int g) {
    if (n == 1) return tn_build_sext_any(b, v[0], LLVMVectorType(b->t_i32, 16)); /* a register has 16 */
    int lane[16], each = 16 / n, all = b->level->bytes / n;
    LLVMValueRef half[2] = {v[0], v[1]};
    for (int i = 0; n == 4 && i < 2; i++) {
        for (int j = 0; j < 8; j++) lane[j] = j % each + g * each + j / each * all;
        half[i] = tn_build_shuffle(b, v[2 * i], v[2 * i + 1], lane, 8);
    }
    for (int j = 0; j < 16; j++) lane[j] = n == 4 ? j : j % each + g * each + j / each * all;
    LLVMValueRef sums = tn_build_shuffle(b, half[0], half[1], lane, 16);
    return tn_build_sext_any(b, sums, LLVMVectorType(b->t_i32, 16));
}

/* The line of the place that is `further` after the one at `at` in the list. */
static LLVMValueRef line_at(TnBuilder *b, LLVMValueRef w, LLVMValueRef at, int64_t further) {
    LLVMValueRef place = tn_build_load(b, b->t_i32, tn_build_atc(b, at, 4 * further), 4);
    return tn_build_at(b, w, tn_build_zext(b, place, b->t_i64));
}

/* The sums over the lines list[from] to list[to - 1], `n` lines a turn. It takes one register of each line; w
 * is the block's first line, at that register's offset. */
static void sums_of(TnBuilder *b, LLVMValueRef w, LLVMValueRef list, LLVMValueRef codes, LLVMValueRef from,
                    LLVMValueRef to, int n, LLVMValueRef *sum) {
    bool narrow = tn_level_narrow(b->level);
    const int64_t *ahead = b->k->prefetch.ahead[TN_STREAM_COLUMNS];
    LLVMTypeRef type = narrow ? tn_build_narrow_type(b) : tn_tmatmul_ints(b);
    TnLoop l = tn_build_loop(b, from, to, n);
    for (int i = 0; i < 4 * n; i++) sum[i] = tn_build_carry(b, &l, LLVMConstNull(type));
    LLVMValueRef v[4], at = tn_build_elem(b, list, l.i, 4);
    for (int i = 0; i < n; i++) {
        for (TnInto into = 0; into < TN_INTO_COUNT; into++)
            if (ahead[into]) tn_build_prefetch(b, line_at(b, w, at, i + ahead[into]), into);
        v[i] = tn_build_load(b, tn_tmatmul_bytes(b), line_at(b, w, at, i), (unsigned)b->level->bytes);
    }
    join(b, v, n);
    LLVMTypeRef some = LLVMIntTypeInContext(b->c, 8 * (unsigned)n);
    LLVMValueRef a = tn_build_load(b, some, tn_build_at(b, codes, l.i), 1);
    a = tn_build_bitcast(b, tn_build_splat(b, a, b->level->bytes / n), tn_tmatmul_bytes(b));
    for (int q = 0; q < 4; q++)
        for (int j = 0; j < n; j++) {
            LLVMValueRef c = tn_tmatmul_plane(b, v[j], q), s = sum[q * n + j];
            LLVMValueRef now = narrow ? tn_build_narrow_add(b, s, c, a) : tn_tmatmul_dot(b, s, c, a);
            tn_build_next(&l, q * n + j, now);
        }
    tn_build_loop_end(b, &l);
    for (int i = 0; i < 4 * n; i++) sum[i] = l.out[i];
}

/* void (lines of the block, list, codes, i64 number of codes, x, acc) */
static LLVMValueRef columns_function(TnBuilder *b) {
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    char name[64];
    snprintf(name, sizeof name, "tmatmul_colmajor%s", tn_tmatmul_name(b));
    tn_build_ahead_name(b, TN_STREAM_COLUMNS, name, sizeof name);
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 6, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), list = LLVMGetParam(fn, 1), codes = LLVMGetParam(fn, 2);
    LLVMValueRef count = LLVMGetParam(fn, 3), x = LLVMGetParam(fn, 4), acc = LLVMGetParam(fn, 5);
    LLVMValueRef zero = tn_build_i64(b, 0), sum[16];
    int n = together(b), size = b->level->bytes;
    LLVMValueRef minus = tn_build_neg(b, tn_build_load(b, b->t_i32, tn_build_atc(b, x, 4), 4));
    TnLoop i = tn_build_loop(b, zero, tn_build_i64(b, TN_COLMAJOR_ROWS), 16);
    tn_build_store(b, tn_build_splat(b, minus, 16), tn_build_elem(b, acc, i.i, 4), 4);
    tn_build_loop_end(b, &i);
    TnDot dot = {.code = tn_tmatmul_weights(b)->two ? 3 : 2,
                 .value = TN_RANGE_CODE,
                 .pair = tn_level_narrow_pair(b->level)};
    int64_t chunk = dot.pair ? n * tn_range_adds(&dot) : INT32_MAX; /* lines that the sums have room for */
    TnLoop p = tn_build_loop(b, zero, tn_build_i64(b, TN_LINE), size);
    TnLoop c = tn_build_loop(b, zero, count, chunk);
    LLVMValueRef end = tn_build_min(b, tn_build_add(b, c.i, tn_build_i64(b, chunk)), count);
    sums_of(b, tn_build_at(b, w, p.i), list, codes, c.i, end, n, sum);
    for (int q = 0; q < 4; q++)
        for (int g = 0; g < size / 16; g++) {
            LLVMValueRef to = tn_build_atc(b, tn_build_elem(b, acc, p.i, 4), 4 * (TN_LINE * q + 16 * g));
            LLVMValueRef old = tn_build_load(b, LLVMVectorType(b->t_i32, 16), to, 4);
            tn_build_store(b, tn_build_add(b, old, sixteen(b, sum + q * n, n, g)), to, 4);
        }
    tn_build_loop_end(b, &c);
    tn_build_loop_end(b, &p);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_colmajor(TnBuilder *b, int64_t k, LLVMValueRef lines, LLVMValueRef x, LLVMValueRef noted,
                         LLVMValueRef acc) {
    LLVMValueRef args[] = {lines,
                           tn_build_atc(b, noted, LIST),
                           tn_build_atc(b, noted, codes_at(k)),
                           tn_build_load(b, b->t_i64, noted, 8),
                           x,
                           acc};
    tn_build_call_function(b, columns_function(b), args, 6);
}
