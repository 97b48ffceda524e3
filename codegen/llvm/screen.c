/* The screening product: limbs of activations against the integer copy of a dense table.
 *
 * A step takes 256 codes of a row, four planes of 64: of s8 the four lines as they lie, of s6 put together from
 * three. A plane meets the high and the low limbs in integer dot products, whose sums over the row stay in i32:
 *
 *   VNNI     vpdpbusd: unsigned codes u, signed limbs; sum(c*a) = sum(u*a) - offset*sum(a), and the sums of the
 *            limbs stand in the row's head
 *   MADDUBS  (AVX2) the same. A pair of products of s8 fills int16 (255 * 64 * 2) and is widened at once; of s6
 *            four pairs fit (ir/range.h says so)
 *   SDOT     (NEON) the codes are made signed
 *
 * A row of s8 is padded to 64 codes, so a last step may run into the next row or into what lies behind the table:
 * there the limbs are 0. At the end both sums and the scales are taken to double, as the op says.
 *
 * Rows stream from memory as in tmatmul.c. */
#include "codegen/llvm/build.h"

#include <stdio.h>
#include <math.h>
#include "ir/layout.h"
#include "ir/screen.h"

enum { LINE = 64, CODES = 256, PLANES = 4 };

static TnRef arg(TnLb *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

static LLVMTypeRef doubles(TnLb *b, int lanes) {
    LLVMTypeRef d = LLVMDoubleTypeInContext(b->c);
    return lanes == 1 ? d : LLVMVectorType(d, (unsigned)lanes);
}

/* ---- limbs */

static LLVMValueRef splat_double(TnLb *b, double v, int lanes) {
    LLVMValueRef c = LLVMConstReal(doubles(b, 1), v);
    return lanes == 1 ? c : tn_lb_splat_const(b, c, lanes);
}

/* Lanes of the block at `off` that are of the row; NULL: all. */
static LLVMValueRef below(TnLb *b, int64_t n, LLVMValueRef off) {
    return n % TN_LANES ? tn_lb_mask_below(b, LLVMBuildSub(b->b, tn_lb_i64(b, n), off, ""), TN_LANES) : NULL;
}
static LLVMValueRef only(TnLb *b, LLVMValueRef v, LLVMValueRef mask) {
    return mask ? LLVMBuildSelect(b->b, mask, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static LLVMValueRef largest_bits(TnLb *b, const TnFrame *f, TnRef x, int64_t n) {
    TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, n), TN_LANES);
    LLVMValueRef top = tn_lb_carry(b, &l, LLVMConstNull(b->t_i32x));
    LLVMValueRef u = tn_lb_bits(b, tn_lb_value(b, f, x, l.i, NULL));
    u = only(b, LLVMBuildAnd(b->b, u, tn_lb_vi(b, 0x7fffffff), ""), below(b, n, l.i));
    tn_lb_next(&l, 0, LLVMBuildSelect(b->b, LLVMBuildICmp(b->b, LLVMIntUGT, u, top, ""), u, top, ""));
    tn_lb_loop_end(b, &l);
    LLVMValueRef bits = tn_lb_tree(b, l.out[0], TN_FOLD_UMAX), least = tn_lb_bits(b, tn_lb_f32(b, 0x1p-100f));
    return LLVMBuildSelect(b->b, LLVMBuildICmp(b->b, LLVMIntUGT, bits, least, ""), bits, least, "");
}

/* The float of a double, and 2^-126; infinity unless the row is finite. */
static LLVMValueRef rounded_up(TnLb *b, LLVMValueRef d, LLVMValueRef finite) {
    LLVMValueRef x = LLVMBuildFPTrunc(b->b, d, b->t_f32, "");
    x = LLVMBuildFAdd(b->b, x, tn_lb_f32(b, 0x1p-126f), "");
    return LLVMBuildSelect(b->b, finite, x, tn_lb_f32(b, INFINITY), "");
}

static void limbs(TnLb *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = arg(b, ref, 0);
    int64_t n = tn_lb_cols(b, x);
    int64_t padded = ((int64_t)tn_row_bytes(&b->g->nodes[ref].type) - TN_Q14_HEAD) / 2;
    LLVMTypeRef bytes = LLVMVectorType(b->t_i8, TN_LANES);
    LLVMValueRef bits = largest_bits(b, f, x, n), a = tn_lb_float_of(b, bits), zero = tn_lb_f32(b, 0.0f);
    LLVMValueRef finite = LLVMBuildICmp(b->b, LLVMIntULT, bits, tn_lb_i32(b, 0x7f800000), "");
    LLVMValueRef most = tn_lb_f32(b, (float)TN_LIMBS_MOST), most_x = tn_lb_vf(b, (float)TN_LIMBS_MOST);
    LLVMValueRef factor = LLVMBuildSelect(b->b, finite, LLVMBuildFDiv(b->b, most, a, ""), zero, "");
    LLVMValueRef d = LLVMBuildSelect(b->b, finite, LLVMBuildFDiv(b->b, a, most, ""), zero, "");
    LLVMValueRef minus = LLVMBuildFNeg(b->b, LLVMBuildFPExt(b->b, d, doubles(b, 1), ""), "");
    factor = tn_lb_splat(b, factor, TN_LANES);
    minus = tn_lb_splat(b, minus, TN_LANES);

    LLVMValueRef out = tn_lb_result_row(b, f, ref);
    LLVMValueRef high = tn_lb_atc(b, out, TN_Q14_HEAD), low = tn_lb_atc(b, high, padded);
    TnLoop m = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, n), TN_LANES);
    LLVMValueRef sum_h = tn_lb_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef sum_l = tn_lb_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef squares = tn_lb_carry(b, &m, LLVMConstNull(doubles(b, TN_LANES)));
    LLVMValueRef errors = tn_lb_carry(b, &m, LLVMConstNull(doubles(b, TN_LANES)));
    LLVMValueRef here = only(b, tn_lb_value(b, f, x, m.i, NULL), below(b, n, m.i));
    LLVMValueRef v = tn_lb_rint(b, LLVMBuildFMul(b->b, here, factor, ""));
    LLVMValueRef is_nan = LLVMBuildFCmp(b->b, LLVMRealUNO, v, v, "");
    v = tn_lb_fmin(b, v, most_x);
    v = tn_lb_fmax(b, v, LLVMBuildFNeg(b->b, most_x, ""));
    LLVMValueRef q = LLVMBuildFPToSI(b->b, v, b->t_i32x, "");
    q = LLVMBuildSelect(b->b, is_nan, LLVMConstNull(b->t_i32x), q, "");
    LLVMValueRef h = LLVMBuildAShr(b->b, LLVMBuildAdd(b->b, q, tn_lb_vi(b, 64), ""), tn_lb_vi(b, 7), "");
    LLVMValueRef l = LLVMBuildSub(b->b, q, LLVMBuildShl(b->b, h, tn_lb_vi(b, 7), ""), "");
    tn_lb_store(b, LLVMBuildTrunc(b->b, h, bytes, ""), tn_lb_at(b, high, m.i), 32);
    tn_lb_store(b, LLVMBuildTrunc(b->b, l, bytes, ""), tn_lb_at(b, low, m.i), 32);
    LLVMValueRef wide = LLVMBuildFPExt(b->b, here, doubles(b, TN_LANES), "");
    LLVMValueRef e = tn_lb_fma(b, minus, LLVMBuildSIToFP(b->b, q, doubles(b, TN_LANES), ""), wide);
    tn_lb_next(&m, 0, LLVMBuildAdd(b->b, sum_h, h, ""));
    tn_lb_next(&m, 1, LLVMBuildAdd(b->b, sum_l, l, ""));
    tn_lb_next(&m, 2, tn_lb_fma(b, wide, wide, squares));
    tn_lb_next(&m, 3, tn_lb_fma(b, e, e, errors));
    tn_lb_loop_end(b, &m);
    for (int64_t i = (n + TN_LANES - 1) / TN_LANES * TN_LANES; i < padded; i += TN_LANES) {
        tn_lb_store(b, LLVMConstNull(bytes), tn_lb_atc(b, high, i), 32);
        tn_lb_store(b, LLVMConstNull(bytes), tn_lb_atc(b, low, i), 32);
    }
    for (int64_t i = 0; i < TN_Q14_HEAD; i += TN_LANES)
        tn_lb_store(b, LLVMConstNull(bytes), tn_lb_atc(b, out, i), 32);
    LLVMValueRef up = splat_double(b, 1.0 + 0x1p-20, 1);
    int64_t steps = (n + 31) / 32 + 16;
    LLVMValueRef places = splat_double(b, (double)steps * 0x1p-24 * 1.01, 1);
    LLVMValueRef norm = LLVMBuildFMul(b->b, tn_lb_sqrt(b, tn_lb_tree(b, m.out[2], TN_FOLD_FADD)), up, "");
    LLVMValueRef error = LLVMBuildFMul(b->b, tn_lb_sqrt(b, tn_lb_tree(b, m.out[3], TN_FOLD_FADD)), up, "");
    tn_lb_store(b, d, out, 4);
    tn_lb_store(b, tn_lb_tree(b, m.out[0], TN_FOLD_ADD), tn_lb_atc(b, out, 4), 4);
    tn_lb_store(b, tn_lb_tree(b, m.out[1], TN_FOLD_ADD), tn_lb_atc(b, out, 8), 4);
    tn_lb_store(b, rounded_up(b, norm, finite), tn_lb_atc(b, out, 12), 4);
    tn_lb_store(b, rounded_up(b, tn_lb_fma(b, places, norm, error), finite), tn_lb_atc(b, out, 16), 4);
}
const TnLlvmOp tn_llvm_op_limbs = {.can = tn_llvm_yes, .row = limbs};

/* ---- screen */

typedef struct Shape {
    TnEnc enc;
    int64_t k;
    int rows;  /* of activations at a time */
    int extra; /* accumulators a sum: two where there would be few, so that they do not wait for each other */
} Shape;

static int extra_of(int64_t rows) {
    return rows == 1 ? 2 : 1;
}

static LLVMTypeRef bytes_of(TnLb *b) {
    return LLVMVectorType(b->t_i8, (unsigned)b->level->bytes);
}
static LLVMTypeRef ints_of(TnLb *b) {
    return LLVMVectorType(b->t_i32, (unsigned)b->level->bytes / 4);
}
static LLVMValueRef byte_splat(TnLb *b, int v) {
    return tn_lb_splat_const(b, LLVMConstInt(b->t_i8, (uint64_t)v, 0), b->level->bytes);
}

/* Bytes shifted by whole 16-bit lanes, left (by > 0) or right: what crosses into a neighbour is masked away. */
static LLVMValueRef shifted(TnLb *b, LLVMValueRef v, int by) {
    if (by == 0) return v;
    int lanes = b->level->bytes / 2;
    LLVMValueRef w = LLVMBuildBitCast(b->b, v, LLVMVectorType(b->t_i16, (unsigned)lanes), "");
    LLVMValueRef n = tn_lb_splat_const(b, LLVMConstInt(b->t_i16, (uint64_t)(by > 0 ? by : -by), 0), lanes);
    w = by > 0 ? LLVMBuildShl(b->b, w, n, "") : LLVMBuildLShr(b->b, w, n, "");
    return LLVMBuildBitCast(b->b, w, bytes_of(b), "");
}

static LLVMValueRef masked(TnLb *b, LLVMValueRef v, int mask) {
    return LLVMBuildAnd(b->b, v, byte_splat(b, mask), "");
}

/* The vectors at byte `at` of the four planes of 256 codes at w: unsigned codes, or signed ones for SDOT. */
static void planes(TnLb *b, const Shape *s, LLVMValueRef w, int at, LLVMValueRef c[PLANES]) {
    LLVMTypeRef bytes = bytes_of(b);
    unsigned align = (unsigned)b->level->bytes;
    bool is_signed = b->level->dot == TN_DOT_SDOT;
    if (s->enc == TN_ENC_s8) {
        for (int q = 0; q < PLANES; q++) {
            c[q] = tn_lb_load(b, bytes, tn_lb_atc(b, w, q * LINE + at), align);
            if (is_signed) c[q] = LLVMBuildXor(b->b, c[q], byte_splat(b, 128), "");
        }
        return;
    }
    LLVMValueRef line[3];
    for (int i = 0; i < 3; i++) line[i] = tn_lb_load(b, bytes, tn_lb_atc(b, w, i * LINE + at), align);
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef low = masked(b, shifted(b, line[q / 2], q % 2 ? -4 : 0), 15);
        c[q] = LLVMBuildOr(b->b, low, masked(b, shifted(b, line[2], 4 - 2 * q), 0x30), "");
        if (is_signed) c[q] = LLVMBuildSub(b->b, c[q], byte_splat(b, 32), "");
    }
}

static LLVMValueRef dot(TnLb *b, LLVMValueRef acc, LLVMValueRef c, LLVMValueRef a) {
    LLVMValueRef args[] = {acc, c, a};
    if (b->level->dot == TN_DOT_VNNI) return tn_lb_call(b, "llvm.x86.avx512.vpdpbusd.512", NULL, 0, args, 3);
    LLVMTypeRef overload[] = {ints_of(b), bytes_of(b)};
    return tn_lb_call(b, "llvm.aarch64.neon.sdot", overload, 2, args, 3);
}

/* acc + int16 pairs, widened */
static LLVMValueRef widen(TnLb *b, LLVMValueRef acc, LLVMValueRef pairs) {
    LLVMValueRef ones = tn_lb_splat_const(b, LLVMConstInt(b->t_i16, 1, 0), b->level->bytes / 2);
    LLVMValueRef args[] = {pairs, ones};
    return LLVMBuildAdd(b->b, acc, tn_lb_call(b, "llvm.x86.avx2.pmadd.wd", NULL, 0, args, 2), "");
}

TnDot tn_llvm_screen_dot(const TnLevel *level, TnEnc enc, int64_t rows) {
    bool wide = enc == TN_ENC_s8;
    int code = level->dot == TN_DOT_SDOT ? (wide ? 127 : 31) : (wide ? 255 : 63), lanes = level->bytes / 4;
    bool pairs = level->dot == TN_DOT_MADDUBS;
    return (TnDot){.code = code,
                   .value = TN_RANGE_LIMB,
                   .meets = CODES / lanes / extra_of(rows),
                   .pair = pairs ? 2 : 0,
                   .adds = pairs ? PLANES : 0};
}

/* 256 codes at w against those limbs of all rows: adds to acc[row][limb][extra]. x: the high limbs; the low ones
 * lie `apart` behind. */
static void step(TnLb *b, const Shape *s, LLVMValueRef w, LLVMValueRef *x, int64_t apart, LLVMValueRef *acc) {
    TnDot how = tn_llvm_screen_dot(b->level, s->enc, s->rows);
    int v = b->level->bytes, together = (int)tn_range_adds(&how);
    for (int at = 0; at < LINE; at += v) {
        LLVMValueRef c[PLANES];
        planes(b, s, w, at, c);
        for (int i = 0; i < 2 * s->rows; i++) {
            LLVMValueRef from = tn_lb_atc(b, x[i / 2], i % 2 ? apart : 0), pairs = NULL;
            for (int q = 0; q < PLANES; q++) {
                LLVMValueRef *to = &acc[i * s->extra + q % s->extra];
                LLVMValueRef a = tn_lb_load(b, bytes_of(b), tn_lb_atc(b, from, q * LINE + at), (unsigned)v);
                if (b->level->dot != TN_DOT_MADDUBS) {
                    *to = dot(b, *to, c[q], a);
                    continue;
                }
                LLVMValueRef args[] = {c[q], a};
                LLVMValueRef p = tn_lb_call(b, "llvm.x86.avx2.pmadd.ub.sw", NULL, 0, args, 2);
                pairs = pairs ? LLVMBuildAdd(b->b, pairs, p, "") : p;
                if ((q + 1) % together && q < PLANES - 1) continue;
                *to = widen(b, *to, pairs);
                pairs = NULL;
            }
        }
    }
}

/* sum(c*a) of some rows of the table from sum(u*a): the offset's part goes. */
static LLVMValueRef corrected(TnLb *b, const Shape *s, LLVMValueRef sums, LLVMValueRef limbs, int n) {
    if (b->level->dot == TN_DOT_SDOT) return sums;
    LLVMValueRef off = LLVMBuildMul(b->b, limbs, tn_lb_i32(b, s->enc == TN_ENC_s8 ? 128 : 32), "");
    return LLVMBuildSub(b->b, sums, n == 1 ? off : tn_lb_splat(b, off, n), "");
}

static LLVMValueRef some_lanes(TnLb *b, LLVMValueRef v, int first, int n) {
    if (n == 1) return tn_lb_extract(b, v, first);
    return n == (int)LLVMGetVectorSize(LLVMTypeOf(v)) ? v : tn_lb_lanes(b, v, first, n);
}

/* (128*H + L) * (scale * d), n rows of the table */
static LLVMValueRef scaled(TnLb *b, LLVMValueRef h, LLVMValueRef l, LLVMValueRef scales, LLVMValueRef d,
                           int n) {
    LLVMTypeRef wide = doubles(b, n);
    LLVMTypeRef narrow = n == 1 ? b->t_f32 : LLVMVectorType(b->t_f32, (unsigned)n);
    LLVMValueRef y = tn_lb_fma(b, LLVMBuildSIToFP(b->b, h, wide, ""), splat_double(b, 128.0, n),
                               LLVMBuildSIToFP(b->b, l, wide, ""));
    LLVMValueRef by = LLVMBuildFPExt(b->b, tn_lb_load(b, narrow, scales, 4), wide, "");
    by = LLVMBuildFMul(b->b, by, n == 1 ? d : tn_lb_splat(b, d, n), "");
    return LLVMBuildFPTrunc(b->b, LLVMBuildFMul(b->b, y, by, ""), narrow, "");
}

/* void (w, i64 count, acc, i64 stride, buf, scales, x0 .. xn-1) */
static LLVMValueRef strip_function(TnLb *b, Shape s) {
    char name[64];
    snprintf(name, sizeof name, "screen_%s_k%lld_x%d", tn_encs[s.enc].name, (long long)s.k, s.rows);
    tn_lb_ahead_name(b, name, sizeof name);
    LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
    if (fn) return fn;
    LLVMBasicBlockRef back = tn_lb_here(b);
    LLVMTypeRef params[16] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr};
    for (int r = 0; r < s.rows; r++) params[6 + r] = b->t_ptr;
    fn = tn_lb_function(b, name, params, (unsigned)(6 + s.rows), false);
    LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->c, fn, ""));
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), out = LLVMGetParam(fn, 2);
    LLVMValueRef stride = LLVMGetParam(fn, 3), buf = LLVMGetParam(fn, 4), scales = LLVMGetParam(fn, 5);
    LLVMValueRef zero = tn_lb_i64(b, 0), x[8], d[8], sum[8][2];
    TnType t = tn_type(s.enc, 2, (TnDim)1, (TnDim)s.k), q = tn_type(TN_ENC_q14, 2, (TnDim)1, (TnDim)s.k);
    int64_t row_bytes = (int64_t)tn_row_bytes(&t), apart = ((int64_t)tn_row_bytes(&q) - TN_Q14_HEAD) / 2;
    int64_t step_bytes = s.enc == TN_ENC_s8 ? CODES : CODES / 4 * 3;
    int v = b->level->bytes, lanes = v / 4, group = lanes / s.rows, n_acc = 2 * s.rows * s.extra;
    for (int r = 0; r < s.rows; r++) {
        LLVMValueRef row = LLVMGetParam(fn, (unsigned)(6 + r));
        d[r] = LLVMBuildFPExt(b->b, tn_lb_load(b, b->t_f32, row, 4), doubles(b, 1), "");
        for (int i = 0; i < 2; i++) sum[r][i] = tn_lb_load(b, b->t_i32, tn_lb_atc(b, row, 4 + 4 * i), 4);
        x[r] = tn_lb_atc(b, row, TN_Q14_HEAD);
    }
    TnLoop g = tn_lb_loop(b, zero, count, group);
    LLVMValueRef here = tn_lb_min(b, LLVMBuildSub(b->b, count, g.i, ""), tn_lb_i64(b, group));
    TnLoop m = tn_lb_loop(b, zero, here, 1);
    LLVMValueRef row = tn_lb_elem(b, w, LLVMBuildAdd(b->b, g.i, m.i, ""), row_bytes);
    TnLoop i = tn_lb_loop(b, zero, tn_lb_i64(b, (s.k + CODES - 1) / CODES), 1);
    LLVMValueRef acc[32], at[8];
    TN_CHECK(n_acc <= (int)TN_COUNT(acc));
    for (int a = 0; a < n_acc; a++) acc[a] = tn_lb_carry(b, &i, LLVMConstNull(ints_of(b)));
    for (int r = 0; r < s.rows; r++) at[r] = tn_lb_carry(b, &i, x[r]);
    LLVMValueRef from = tn_lb_elem(b, row, i.i, step_bytes);
    for (int64_t line = 0; line < step_bytes; line += LINE) tn_lb_ahead(b, tn_lb_atc(b, from, line));
    step(b, &s, from, at, apart, acc);
    for (int r = 0; r < s.rows; r++) tn_lb_next(&i, n_acc + r, tn_lb_opaque(b, tn_lb_atc(b, at[r], CODES)));
    for (int a = 0; a < n_acc; a++) tn_lb_next(&i, a, acc[a]);
    tn_lb_loop_end(b, &i);
    for (int a = 0; a < 2 * s.rows; a++) { /* buf[limb][row of x][row of the group] */
        LLVMValueRef total = i.out[a * s.extra];
        for (int e = 1; e < s.extra; e++) total = LLVMBuildAdd(b->b, total, i.out[a * s.extra + e], "");
        LLVMValueRef to = tn_lb_atc(b, buf, (int64_t)(a % 2 * lanes + a / 2 * group) * v);
        tn_lb_store(b, total, tn_lb_elem(b, to, m.i, v), (unsigned)v);
    }
    tn_lb_loop_end(b, &m);
    LLVMValueRef sums[2], part[64];
    for (int limb = 0; limb < 2; limb++) {
        for (int j = 0; j < lanes; j++)
            part[j] =
                tn_lb_load(b, ints_of(b), tn_lb_atc(b, buf, (int64_t)(limb * lanes + j) * v), (unsigned)v);
        sums[limb] = tn_lb_trees(b, part, lanes, TN_FOLD_ADD);
    }
    for (int r = 0; r < s.rows; r++) {
        LLVMValueRef both[2];
        for (int limb = 0; limb < 2; limb++)
            both[limb] = corrected(b, &s, some_lanes(b, sums[limb], r * group, group), sum[r][limb], group);
        LLVMValueRef y = scaled(b, both[0], both[1], tn_lb_elem(b, scales, g.i, 4), d[r], group);
        LLVMValueRef to = tn_lb_at(b, out, LLVMBuildMul(b->b, stride, tn_lb_i64(b, r), ""));
        tn_lb_store(b, y, tn_lb_elem(b, to, g.i, 4), 4);
    }
    tn_lb_loop_end(b, &g);
    LLVMBuildRetVoid(b->b);
    LLVMPositionBuilderAtEnd(b->b, back);
    return fn;
}

/* Where the scales of the rows from w on lie. */
static LLVMValueRef scales_of(TnLb *b, LLVMValueRef w) {
    TnRef table = arg(b, b->k->root, 1);
    const TnType *t = &b->g->nodes[table].type;
    int64_t row_bytes = (int64_t)tn_row_bytes(t);
    LLVMValueRef base = tn_lb_operand(b, table);
    LLVMValueRef bytes = LLVMBuildSub(b->b, LLVMBuildPtrToInt(b->b, w, b->t_i64, ""),
                                      LLVMBuildPtrToInt(b->b, base, b->t_i64, ""), "");
    LLVMValueRef row = LLVMBuildUDiv(b->b, bytes, tn_lb_i64(b, row_bytes), "");
    return tn_lb_elem(b, tn_lb_atc(b, base, t->dim[0] * row_bytes), row, 4);
}

static void call(TnLb *b, int rows, LLVMValueRef w, LLVMValueRef n, LLVMValueRef *x, LLVMValueRef acc,
                 LLVMValueRef stride, LLVMValueRef buf) {
    const TnType *t = &b->g->nodes[arg(b, b->k->root, 1)].type;
    LLVMValueRef args[16] = {w, n, acc, stride, buf, scales_of(b, w)};
    for (int r = 0; r < rows; r++) args[6 + r] = x[r];
    Shape s = {t->enc, t->dim[1], rows, extra_of(rows)};
    tn_lb_call_function(b, strip_function(b, s), args, (unsigned)(6 + rows));
}

static void strip(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef acc,
                  LLVMValueRef buf) {
    call(b, 1, w, n, &x, acc, tn_lb_i64(b, 0), buf);
}

/* Rows of activations that a pass over a row of the table serves. */
static int rows_at_once(TnLb *b) {
    return b->level->dot == TN_DOT_MADDUBS ? 2 : 4;
}

/* Rows that are not there are copies of the last. */
static void strips(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef n_x,
                   LLVMValueRef acc, LLVMValueRef stride, LLVMValueRef buf) {
    LLVMValueRef rows[8], last = LLVMBuildSub(b->b, n_x, tn_lb_i64(b, 1), "");
    int64_t row = (int64_t)tn_row_bytes(&b->g->nodes[arg(b, b->k->root, 0)].type);
    for (int r = 0; r < rows_at_once(b); r++)
        rows[r] = tn_lb_elem(b, x, tn_lb_min(b, tn_lb_i64(b, r), last), row);
    call(b, rows_at_once(b), w, n, rows, acc, stride, buf);
}

static void kernel(TnLb *b) {
    TnStrips s = {.rows = rows_at_once(b), .buf = 2048, .strip = strip, .strips = strips};
    tn_lb_cols_kernel(b, &s);
}
const TnLlvmOp tn_llvm_op_screen = {.can = tn_llvm_yes, .kernel = kernel};
