/* The shadow product: multiplies limbs of activations by the integer copy of a dense table.
 *
 * A step takes 256 codes of a row as four planes of 64. For s8 these are the four lines as they lie; for s6
 * they are put together from three lines; for s5 a byte shuffle turns the numbers of 128 bytes into magnitudes, and 32 bytes
 * say which are negative, which gives the bytes of s8. Each plane is multiplied by the high and the low limbs in integer
 * dot products, whose sums over the row stay in i32:
 *
 *   VNNI     vpdpbusd: unsigned codes u, signed limbs; sum(c*a) = sum(u*a) - offset*sum(a), and the sums of
 *            the limbs are in the head of the row of activations
 *   MADDUBS  (AVX2) the same. With s8 and s5 a pair of products fills int16 (255 * 64 * 2) and is widened at once;
 *            with s6 four pairs fit (proven by ir/range.h)
 *   SDOT     (NEON) the codes are made signed
 *
 * A row of s8 is padded to 64 codes, so the last step may run into the next row or past the end of the table.
 * The limbs there are 0. At the end both sums and the scales are converted to double, as the op says.
 *
 * Rows of the table stream from memory once for up to 8 rows of activations, in the order of groups.c. More
 * than 4 rows take two passes, which may share a row. With VNNI, 256 codes of s6 take 13 operations to unpack
 * and 8 for each row of activations. */
#include "codegen/llvm/ops/ternary.h"
#include "codegen/llvm/skeletons/cols.h"
#include "codegen/llvm/skeletons/groups.h"

#include <stdio.h>
#include <math.h>
#include "ir/type_layout.h"
#include "ir/shadow.h"

enum { LINE = 64, CODES = 256, PLANES = 4 };

static TnRef arg(TnBuilder *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

static LLVMTypeRef doubles(TnBuilder *b, int lanes) {
    LLVMTypeRef d = LLVMDoubleTypeInContext(b->c);
    return lanes == 1 ? d : LLVMVectorType(d, (unsigned)lanes);
}

/* ---- limbs */

static LLVMValueRef splat_double(TnBuilder *b, double v, int lanes) {
    LLVMValueRef c = LLVMConstReal(doubles(b, 1), v);
    return lanes == 1 ? c : tn_build_splat_const(b, c, lanes);
}

/* Which lanes of the block at `off` belong to the row of n; NULL: all. */
static LLVMValueRef below(TnBuilder *b, int64_t n, LLVMValueRef off) {
    return n % TN_LANES ? tn_build_mask_below(b, tn_build_sub(b, tn_build_i64(b, n), off), TN_LANES) : NULL;
}
static LLVMValueRef only(TnBuilder *b, LLVMValueRef v, LLVMValueRef mask) {
    return mask ? tn_build_select(b, mask, v, LLVMConstNull(LLVMTypeOf(v))) : v;
}

static LLVMValueRef largest_bits(TnBuilder *b, const TnFrame *f, TnRef x, int64_t n) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), TN_LANES);
    LLVMValueRef top = tn_build_carry(b, &l, LLVMConstNull(b->t_i32x));
    LLVMValueRef u = tn_build_bits(b, tn_build_value(b, f, x, l.i, NULL));
    u = only(b, tn_build_and(b, u, tn_build_vi(b, 0x7fffffff)), below(b, n, l.i));
    tn_build_next(&l, 0, tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, u, top), u, top));
    tn_build_loop_end(b, &l);
    LLVMValueRef bits = tn_build_tree(b, l.out[0], TN_FOLD_UMAX),
                 least = tn_build_bits(b, tn_build_f32(b, 0x1p-100f));
    return tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, bits, least), bits, least);
}

/* The double as a float, plus 2^-126; infinity unless the row is finite. */
static LLVMValueRef rounded_up(TnBuilder *b, LLVMValueRef d, LLVMValueRef finite) {
    LLVMValueRef x = tn_build_fptrunc(b, d, b->t_f32);
    x = tn_build_fadd(b, x, tn_build_f32(b, 0x1p-126f));
    return tn_build_select(b, finite, x, tn_build_f32(b, INFINITY));
}

static void limbs(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = arg(b, ref, 0);
    int64_t n = tn_build_cols(b, x);
    int64_t padded = ((int64_t)tn_row_bytes(&b->g->nodes[ref].type) - TN_Q14_HEAD) / 2;
    LLVMTypeRef bytes = LLVMVectorType(b->t_i8, TN_LANES);
    LLVMValueRef bits = largest_bits(b, f, x, n), a = tn_build_float_of(b, bits),
                 zero = tn_build_f32(b, 0.0f);
    LLVMValueRef finite = tn_build_icmp(b, LLVMIntULT, bits, tn_build_i32(b, 0x7f800000));
    LLVMValueRef most = tn_build_f32(b, (float)TN_LIMBS_MOST), most_x = tn_build_vf(b, (float)TN_LIMBS_MOST);
    LLVMValueRef factor = tn_build_select(b, finite, tn_build_fdiv(b, most, a), zero);
    LLVMValueRef d = tn_build_select(b, finite, tn_build_fdiv(b, a, most), zero);
    LLVMValueRef minus = tn_build_fneg(b, tn_build_fpext(b, d, doubles(b, 1)));
    factor = tn_build_splat(b, factor, TN_LANES);
    minus = tn_build_splat(b, minus, TN_LANES);

    LLVMValueRef out = tn_build_result_row(b, f, ref);
    LLVMValueRef high = tn_build_atc(b, out, TN_Q14_HEAD), low = tn_build_atc(b, high, padded);
    TnLoop m = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), TN_LANES);
    LLVMValueRef sum_h = tn_build_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef sum_l = tn_build_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef squares = tn_build_carry(b, &m, LLVMConstNull(doubles(b, TN_LANES)));
    LLVMValueRef errors = tn_build_carry(b, &m, LLVMConstNull(doubles(b, TN_LANES)));
    LLVMValueRef here = only(b, tn_build_value(b, f, x, m.i, NULL), below(b, n, m.i));
    LLVMValueRef v = tn_build_rint(b, tn_build_fmul(b, here, factor));
    LLVMValueRef is_nan = tn_build_fcmp(b, LLVMRealUNO, v, v);
    v = tn_build_fmin(b, v, most_x);
    v = tn_build_fmax(b, v, tn_build_fneg(b, most_x));
    LLVMValueRef q = tn_build_fp_to_si(b, v, b->t_i32x);
    q = tn_build_select(b, is_nan, LLVMConstNull(b->t_i32x), q);
    LLVMValueRef h = tn_build_ashr(b, tn_build_add(b, q, tn_build_vi(b, 64)), tn_build_vi(b, 7));
    LLVMValueRef l = tn_build_sub(b, q, tn_build_shl(b, h, tn_build_vi(b, 7)));
    tn_build_store(b, tn_build_trunc(b, h, bytes), tn_build_at(b, high, m.i), 32);
    tn_build_store(b, tn_build_trunc(b, l, bytes), tn_build_at(b, low, m.i), 32);
    LLVMValueRef wide = tn_build_fpext(b, here, doubles(b, TN_LANES));
    LLVMValueRef e = tn_build_fma(b, minus, tn_build_si_to_fp(b, q, doubles(b, TN_LANES)), wide);
    tn_build_next(&m, 0, tn_build_add(b, sum_h, h));
    tn_build_next(&m, 1, tn_build_add(b, sum_l, l));
    tn_build_next(&m, 2, tn_build_fma(b, wide, wide, squares));
    tn_build_next(&m, 3, tn_build_fma(b, e, e, errors));
    tn_build_loop_end(b, &m);
    for (int64_t i = (n + TN_LANES - 1) / TN_LANES * TN_LANES; i < padded; i += TN_LANES) {
        tn_build_store(b, LLVMConstNull(bytes), tn_build_atc(b, high, i), 32);
        tn_build_store(b, LLVMConstNull(bytes), tn_build_atc(b, low, i), 32);
    }
    for (int64_t i = 0; i < TN_Q14_HEAD; i += TN_LANES)
        tn_build_store(b, LLVMConstNull(bytes), tn_build_atc(b, out, i), 32);
    LLVMValueRef up = splat_double(b, 1.0 + 0x1p-20, 1);
    int64_t steps = (n + 31) / 32 + 16;
    LLVMValueRef places = splat_double(b, (double)steps * 0x1p-24 * 1.01, 1);
    LLVMValueRef norm = tn_build_fmul(b, tn_build_sqrt(b, tn_build_tree(b, m.out[2], TN_FOLD_FADD)), up);
    LLVMValueRef error = tn_build_fmul(b, tn_build_sqrt(b, tn_build_tree(b, m.out[3], TN_FOLD_FADD)), up);
    tn_build_store(b, d, out, 4);
    tn_build_store(b, tn_build_tree(b, m.out[0], TN_FOLD_ADD), tn_build_atc(b, out, 4), 4);
    tn_build_store(b, tn_build_tree(b, m.out[1], TN_FOLD_ADD), tn_build_atc(b, out, 8), 4);
    tn_build_store(b, rounded_up(b, norm, finite), tn_build_atc(b, out, 12), 4);
    tn_build_store(b, rounded_up(b, tn_build_fma(b, places, norm, error), finite), tn_build_atc(b, out, 16),
                   4);
}
const TnLlvmOp tn_llvm_op_limbs = {.can = tn_llvm_yes, .row = limbs};

/* ---- estimate */

enum { MOST_ROWS = 8, PASS_ROWS = 4 };

typedef struct Estimate {
    TnGroups g;
    TnEnc enc;
    int rows;               /* rows of activations in a pass; the second pass ends with the last row */
    int64_t x_bytes, apart; /* bytes of a row of q14; bytes from its high limbs to its low ones */
    /* for each pass: what the codes' offset adds to each sum, i32; then the scale of the row of activations,
     * a double for each row and column */
    LLVMValueRef facts;
    LLVMValueRef scales;         /* of the strip's rows of the table */
    LLVMValueRef out[PASS_ROWS]; /* results of the first pass */
    LLVMValueRef out_pass;       /* bytes from there to the results of the second */
} Estimate;

enum { CORRECTION = 0, SCALE = 128, FACTS = 256 }; /* byte offsets in a pass's facts, and their size */

/* Sums are [limb][row][column]. */
static int sum_of(const Estimate *s, int limb, int row, int column) {
    return (limb * s->rows + row) * s->g.columns + column;
}

static LLVMTypeRef bytes_of(TnBuilder *b) {
    return LLVMVectorType(b->t_i8, (unsigned)b->level->bytes);
}
static LLVMValueRef byte_splat(TnBuilder *b, int v) {
    return tn_build_splat_const(b, LLVMConstInt(b->t_i8, (uint64_t)v, 0), b->level->bytes);
}

/* Bytes shifted left (by > 0) or right in 16-bit lanes. The caller masks away the bits that cross into
 * another byte. */
static LLVMValueRef shifted(TnBuilder *b, LLVMValueRef v, int by) {
    if (by == 0) return v;
    int lanes = b->level->bytes / 2;
    LLVMValueRef w = tn_build_bitcast(b, v, LLVMVectorType(b->t_i16, (unsigned)lanes));
    LLVMValueRef n = tn_build_splat_const(b, LLVMConstInt(b->t_i16, (uint64_t)(by > 0 ? by : -by), 0), lanes);
    w = by > 0 ? tn_build_shl(b, w, n) : tn_build_lshr(b, w, n);
    return tn_build_bitcast(b, w, bytes_of(b));
}

static LLVMValueRef masked(TnBuilder *b, LLVMValueRef v, int mask) {
    return tn_build_and(b, v, byte_splat(b, mask));
}

/* For each byte of v, 0 to 15: the level of s5 with that number; 128 more for unsigned codes. */
static LLVMValueRef levels(TnBuilder *b, LLVMValueRef v) {
    static const char *const names[] = {"llvm.aarch64.neon.tbl1", "llvm.x86.avx2.pshuf.b",
                                        "llvm.x86.avx512.pshuf.b.512"};
    LLVMValueRef table[LINE], args[2];
    int size = b->level->bytes, add = tn_level_signed(b->level) ? 0 : 128;
    for (int i = 0; i < size; i++)
        table[i] = LLVMConstInt(b->t_i8, (unsigned)(tn_s5_levels[i % 16] + add), 0);
    args[0] = LLVMConstVector(table, (unsigned)size);
    args[1] = v;
    LLVMTypeRef bytes = bytes_of(b);
    return tn_build_call(b, names[size / 32], size == 16 ? &bytes : NULL, size == 16, args, 2);
}

/* Whether each code of plane q from byte `at` on is negative. Byte j % 32 of the 32 at w has that of code 64q + j as bit
 * 2q + j / 32. */
static LLVMValueRef negative(TnBuilder *b, LLVMValueRef w, int at, int q) {
    LLVMValueRef bit[LINE], signs;
    int size = b->level->bytes, half[LINE];
    for (int i = 0; i < size; i++) {
        half[i] = i % 32;
        bit[i] = LLVMConstInt(b->t_i8, 1u << (2 * q + (at + i) / 32), 0);
    }
    signs = tn_build_load(b, LLVMVectorType(b->t_i8, (unsigned)(size < 32 ? size : 32)),
                          tn_build_atc(b, w, at % 32), 16);
    if (size > 32) signs = tn_build_shuffle(b, signs, signs, half, size);
    signs = tn_build_and(b, signs, LLVMConstVector(bit, (unsigned)size));
    return tn_build_icmp(b, LLVMIntNE, signs, LLVMConstNull(bytes_of(b)));
}

/* `planes` for s5. 256 minus a magnitude + 128 is 128 minus the magnitude. */
static void planes_s5(TnBuilder *b, LLVMValueRef w, int at, LLVMValueRef c[PLANES]) {
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef line = tn_build_load(b, bytes_of(b), tn_build_atc(b, w, q / 2 * LINE + at), 16);
        LLVMValueRef v = levels(b, masked(b, shifted(b, line, q % 2 ? -4 : 0), 15));
        LLVMValueRef minus = tn_build_sub(b, LLVMConstNull(bytes_of(b)), v);
        c[q] = tn_build_select(b, negative(b, tn_build_atc(b, w, 2 * (int64_t)LINE), at, q), minus, v);
    }
}

/* Loads the vectors at byte `at` of the four planes of the 256 codes at w: unsigned codes, or signed ones on
 * NEON. */
static void planes(TnBuilder *b, TnEnc enc, LLVMValueRef w, int at, LLVMValueRef c[PLANES]) {
    LLVMTypeRef bytes = bytes_of(b);
    unsigned align = (unsigned)b->level->bytes;
    bool is_signed = tn_level_signed(b->level);
    if (enc == TN_ENC_s5) {
        planes_s5(b, w, at, c);
        return;
    }
    if (enc == TN_ENC_s8) {
        for (int q = 0; q < PLANES; q++) {
            c[q] = tn_build_load(b, bytes, tn_build_atc(b, w, q * LINE + at), align);
            if (is_signed) c[q] = tn_build_xor(b, c[q], byte_splat(b, 128));
        }
        return;
    }
    LLVMValueRef line[3];
    for (int i = 0; i < 3; i++) line[i] = tn_build_load(b, bytes, tn_build_atc(b, w, i * LINE + at), align);
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef low = masked(b, shifted(b, line[q / 2], q % 2 ? -4 : 0), 15);
        c[q] = tn_build_or(b, low, masked(b, shifted(b, line[2], 4 - 2 * q), 0x30));
        if (is_signed) c[q] = tn_build_sub(b, c[q], byte_splat(b, 32));
    }
}

/* Multiplies 256 codes of each column by the same limbs of all rows; x points at the high limbs of the first
 * row. */
static void step(TnBuilder *b, const void *user, LLVMValueRef *w, LLVMValueRef x, LLVMValueRef *sum) {
    const Estimate *s = user;
    TnDot how = tn_llvm_estimate_dot(b->level, s->enc);
    int v = b->level->bytes, together = (int)tn_range_adds(&how), columns = s->g.columns;
    bool narrow = tn_level_narrow(b->level);
    for (int at = 0; at < LINE; at += v) {
        LLVMValueRef c[4][PLANES], some[4] = {NULL};
        for (int j = 0; j < columns; j++) planes(b, s->enc, w[j], at, c[j]);
        for (int t = 0; t < 2 * s->rows * PLANES; t++) {
            /* Add to each sum in turn, so that none waits for itself. Sums of int16 must stay together. */
            int i = narrow ? t / PLANES : t % (2 * s->rows), q = narrow ? t % PLANES : t / (2 * s->rows);
            LLVMValueRef from = tn_build_atc(b, x, i / 2 * s->x_bytes + i % 2 * s->apart);
            LLVMValueRef a = tn_build_load(b, bytes_of(b), tn_build_atc(b, from, q * LINE + at), (unsigned)v);
            for (int j = 0; j < columns; j++) {
                LLVMValueRef *to = &sum[sum_of(s, i % 2, i / 2, j)];
                if (!narrow) {
                    *to = tn_tmatmul_dot(b, *to, c[j][q], a);
                    continue;
                }
                some[j] = tn_build_narrow_add(b, q % together ? some[j] : NULL, c[j][q], a);
                if ((q + 1) % together == 0 || q == PLANES - 1) *to = tn_build_narrow_mix(b, *to, some[j]);
            }
        }
    }
}

static LLVMValueRef some_lanes(TnBuilder *b, LLVMValueRef v, int first, int n) {
    return n == (int)LLVMGetVectorSize(LLVMTypeOf(v)) ? v : tn_build_lanes(b, v, first, n);
}

/* Stores (128*H + L) * (scale * d) of the block's columns for all rows. May write columns past the strip's
 * end. */
static void store_estimates(TnBuilder *b, const void *user, LLVMValueRef *sum, LLVMValueRef col,
                            LLVMValueRef pass) {
    const Estimate *s = user;
    int columns = s->g.columns, n = s->rows * columns;
    LLVMTypeRef wide = doubles(b, n), some = LLVMVectorType(b->t_f32, (unsigned)columns);
    LLVMValueRef facts = tn_build_elem(b, s->facts, pass, FACTS), all = tn_build_groups_trees(b, &s->g, sum);
    all = tn_build_sub(b, all, tn_build_load(b, LLVMTypeOf(all), tn_build_atc(b, facts, CORRECTION), 64));
    LLVMValueRef h = some_lanes(b, all, 0, n), l = some_lanes(b, all, n, n);
    LLVMValueRef y = tn_build_fma(b, tn_build_si_to_fp(b, h, wide), splat_double(b, 128.0, n),
                                  tn_build_si_to_fp(b, l, wide));
    int lane[16];
    for (int i = 0; i < n; i++) lane[i] = i % columns;
    LLVMValueRef by = tn_build_load(b, some, tn_build_elem(b, s->scales, col, 4), 4);
    by = tn_build_fpext(b, tn_build_shuffle(b, by, by, lane, n), wide);
    y = tn_build_fmul(b, y, tn_build_fmul(b, by, tn_build_load(b, wide, tn_build_atc(b, facts, SCALE), 64)));
    y = tn_build_fptrunc(b, y, LLVMVectorType(b->t_f32, (unsigned)n));
    LLVMValueRef off = s->g.passes > 1 ? tn_build_mul(b, pass, s->out_pass) : tn_build_i64(b, 0);
    for (int r = 0; r < s->rows; r++) {
        for (int i = 0; i < columns; i++) lane[i] = r * columns + i;
        LLVMValueRef to = tn_build_elem(b, tn_build_at(b, s->out[r], off), col, 4);
        tn_build_store(b, tn_build_shuffle(b, y, y, lane, columns), to, 4);
    }
}

/* How n rows of activations are multiplied by a table. A block has two columns, which share the loads of
 * activations, or four if a pass has two rows. AVX2 has registers for two columns if a pass has up to two
 * rows, else for one. With one row of activations x86 takes four: memory brings more while sums are finished less often,
 * which is worth what AVX2 spills, but not with s5. */
static Estimate estimate_of(TnBuilder *b, const TnType *table, int n) {
    TnType q = tn_type(TN_ENC_q14, 2, (TnDim)1, table->dim[1]);
    int passes = n > PASS_ROWS ? 2 : 1, rows = (n + passes - 1) / passes;
    Estimate s = {.enc = table->enc, .rows = rows, .x_bytes = (int64_t)tn_row_bytes(&q)};
    s.apart = (s.x_bytes - TN_Q14_HEAD) / 2;
    s.g = (TnGroups){.n_x = 2 * rows, .columns = rows == 2 ? 4 : 2, .passes = passes, .by_distance = n == 1};
    if (tn_level_few_registers(b->level)) s.g.columns = rows <= 2 ? 2 : 1;
    if (b->level->dot == TN_DOT_SMLAL) s.g.columns = 2;
    bool spills = tn_level_few_registers(b->level) && table->enc == TN_ENC_s5;
    if (n == 1 && !tn_level_signed(b->level) && !spills) s.g.columns = 4;
    s.g.n_sums = 2 * rows * s.g.columns;
    s.g.steps = ((int64_t)table->dim[1] + CODES - 1) / CODES;
    s.g.row_bytes = (int64_t)tn_row_bytes(table);
    s.g.step_bytes = table->enc == TN_ENC_s8 ? CODES : tn_encs[table->enc].block_bytes;
    s.g.x_bytes = CODES;
    s.g.step = step;
    s.g.finish = store_estimates;
    return s;
}

static int64_t buf_of(TnBuilder *b, const TnType *table) {
    int64_t most = 0;
    for (int n = 1; n <= MOST_ROWS; n++) {
        Estimate s = estimate_of(b, table, n);
        int64_t bytes = tn_build_groups_buf(b, &s.g);
        most = bytes > most ? bytes : most;
    }
    return 2 * FACTS + most;
}

/* Writes the facts one number at a time, in loops: inserting lanes into registers takes far more code. */
static void put_facts(TnBuilder *b, const Estimate *s, LLVMValueRef x) {
    int lanes = b->level->bytes / 4, width = (s->g.n_sums + lanes - 1) / lanes * lanes;
    int columns = s->g.columns;
    LLVMValueRef zero = tn_build_i64(b, 0), none = LLVMConstNull(LLVMVectorType(b->t_i32, (unsigned)width));
    TnLoop p = tn_build_loop(b, zero, tn_build_i64(b, s->g.passes), 1);
    LLVMValueRef to = tn_build_elem(b, s->facts, p.i, FACTS), first = x;
    if (s->g.passes > 1) first = tn_build_at(b, x, tn_build_mul(b, p.i, s->g.pass_bytes));
    tn_build_store(b, none, tn_build_atc(b, to, CORRECTION), 64);
    TnLoop r = tn_build_loop(b, zero, tn_build_i64(b, s->rows), 1);
    LLVMValueRef row = tn_build_elem(b, first, r.i, s->x_bytes);
    LLVMValueRef d = tn_build_fpext(b, tn_build_load(b, b->t_f32, row, 4), doubles(b, 1));
    LLVMValueRef scale = tn_build_elem(b, tn_build_atc(b, to, SCALE), r.i, (int64_t)columns * 8);
    for (int j = 0; j < columns; j++) tn_build_store(b, d, tn_build_atc(b, scale, (int64_t)j * 8), 8);
    for (int limb = 0; !tn_level_signed(b->level) && limb < 2; limb++) {
        LLVMValueRef off = tn_build_load(b, b->t_i32, tn_build_atc(b, row, 4 + 4 * limb), 4);
        off = tn_build_mul(b, off, tn_build_i32(b, s->enc == TN_ENC_s6 ? 32 : 128));
        LLVMValueRef at = tn_build_atc(b, to, CORRECTION + (int64_t)sum_of(s, limb, 0, 0) * 4);
        at = tn_build_elem(b, at, r.i, (int64_t)columns * 4);
        for (int j = 0; j < columns; j++) tn_build_store(b, off, tn_build_atc(b, at, (int64_t)j * 4), 4);
    }
    tn_build_loop_end(b, &r);
    tn_build_loop_end(b, &p);
}

/* The rows that the function for n rows is made for. With two passes it is even; for an odd n the passes
 * overlap by a row. */
static int rows_for(int n) {
    return n > PASS_ROWS ? (n + 1) / 2 * 2 : n;
}

/* void (w, i64 count, x, i64 n_x, acc, i64 stride, buf, scales) for every n_x with rows_for(n_x) == n */
static LLVMValueRef strip_function(TnBuilder *b, const TnType *table, int n) {
    char name[64];
    snprintf(name, sizeof name, "estimate_%s_k%lld_x%d", tn_encs[table->enc].name, (long long)table->dim[1],
             n);
    if (n == 1) tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 8, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), x = LLVMGetParam(fn, 2);
    LLVMValueRef n_x = LLVMGetParam(fn, 3), acc = LLVMGetParam(fn, 4), stride = LLVMGetParam(fn, 5);
    LLVMValueRef buf = LLVMGetParam(fn, 6);
    Estimate s = estimate_of(b, table, n);
    s.g.user = &s;
    s.scales = LLVMGetParam(fn, 7);
    s.facts = buf;
    LLVMValueRef second = tn_build_sub(b, n_x, tn_build_i64(b, s.rows));
    s.g.pass_bytes = tn_build_mul(b, second, tn_build_i64(b, s.x_bytes));
    s.out_pass = tn_build_mul(b, second, stride);
    put_facts(b, &s, x);
    for (int r = 0; r < s.rows; r++)
        s.out[r] = tn_build_at(b, acc, tn_build_mul(b, stride, tn_build_i64(b, r)));
    tn_build_groups(b, &s.g, w, count, tn_build_atc(b, x, TN_Q14_HEAD), tn_build_atc(b, buf, 2 * FACTS));
    return tn_build_shared_end(b, back);
}

/* The address of the scales of the rows from w on. */
static LLVMValueRef scales_of(TnBuilder *b, LLVMValueRef w) {
    TnRef table = arg(b, b->k->root, 1);
    const TnType *t = &b->g->nodes[table].type;
    int64_t row_bytes = (int64_t)tn_row_bytes(t);
    LLVMValueRef base = tn_build_operand(b, table);
    LLVMValueRef bytes =
        tn_build_sub(b, tn_build_ptr_to_int(b, w, b->t_i64), tn_build_ptr_to_int(b, base, b->t_i64));
    LLVMValueRef row = tn_build_udiv(b, bytes, tn_build_i64(b, row_bytes));
    return tn_build_elem(b, tn_build_atc(b, base, t->dim[0] * row_bytes), row, 4);
}

static const TnType *table_of(TnBuilder *b) {
    return &b->g->nodes[arg(b, b->k->root, 1)].type;
}

static void strip(TnBuilder *b, const TnStrip *s) {
    LLVMValueRef args[] = {
        s->w, s->n, s->x, tn_build_i64(b, 1), s->acc, tn_build_i64(b, 0), s->buf, scales_of(b, s->w)};
    tn_build_call_function(b, strip_function(b, table_of(b), 1), args, 8);
}

static void strips(TnBuilder *b, const TnStrip *s) {
    LLVMValueRef args[] = {s->w, s->n, s->x, s->n_x, s->acc, s->stride, s->buf, scales_of(b, s->w)};
    int64_t most = tn_build_most_rows(b, b->k->root);
    for (int i = 1; i <= most && i <= MOST_ROWS; i = rows_for(i) + 1) {
        TnIf is = tn_build_if_between(b, s->n_x, i, rows_for(i));
        tn_build_call_function(b, strip_function(b, table_of(b), rows_for(i)), args, 8);
        tn_build_if_end(b, &is);
    }
}

static void kernel(TnBuilder *b) {
    TnStrips s = {.rows = MOST_ROWS, .buf = buf_of(b, table_of(b)), .strip = strip, .strips = strips};
    tn_build_cols_kernel(b, &s);
}
const TnLlvmOp tn_llvm_op_estimate = {.can = tn_llvm_yes, .kernel = kernel};
