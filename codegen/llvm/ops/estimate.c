/* The shadow product: multiplies limbs of activations by the integer copy of a dense table, whose rows lie side by side in blocks
 * of 64 (ir/type_layout.h).
 *
 * Four columns of a row of activations are one broadcast of a limb, which meets the four planes of a block's four columns, 64 bytes
 * each: those are four lines of s8, are taken out of three lines of s6, and out of two and a half of s5, where a byte shuffle turns
 * the numbers of levels into magnitudes. Each product adds to the sums of 16 rows of the table. No sum is taken over lanes, and 16
 * results lie side by side at the end, where both sums and the scales are converted to double, as the op says.
 *
 *   VNNI     vpdpbusd: unsigned codes u, signed limbs; sum(c*a) = sum(u*a) - offset*sum(a), and the sums of
 *            the limbs are in the head of the row of activations. The codes of plane 3 of s6 are left where the lines have them,
 *            two bits higher: the sum is 4 times as large, exactly, and is shifted at the end
 *   MADDUBS  (AVX2) the same, without that. With s8 and s5 a pair of products fills int16 (255 * 64 * 2) and is widened at once;
 *            with s6 four pairs fit (proven by ir/range.h)
 *   SDOT     (NEON) the codes are made signed
 *   SMLAL    likewise, with four products in an int16
 *
 * A pass goes over a block with a few rows of activations, as many as there are registers for: a row has two limbs and thus eight
 * sums. Between passes the sums are in memory, [row][limb][row of the table], 512 bytes a row. If all rows fit into a pass, it goes
 * over whole rows of the table. Else K is cut into stretches that stay in L1: the first pass over a stretch keeps the planes that it
 * unpacks, which the others read. So a code is unpacked once, and comes from memory once. Registers that are narrower than a line
 * take a piece of it in each pass.
 *
 * Prefetches: a single pass prefetches by the kernel's distances. With more, each prefetches its part of the stretch after this one
 * into L2, so that memory is read at the pace of the products and not of the first pass. */
#include "codegen/llvm/ops/ternary.h"
#include "codegen/llvm/skeletons/cols.h"

#include <stdio.h>
#include "ir/range.h"
#include "ir/shadow.h"

enum {
    PLANES = 4,
    MOST_ROWS = 8,
    TURN = 16,          /* columns that the padding of K is a multiple of */
    STRETCH = 256,      /* columns */
    PIECES = 64,        /* columns of a stretch of one row, where it takes more than one pass */
    ROW_SUMS = 512,     /* bytes of the sums of a row of activations */
    LIMB_SUMS = 256,    /* of one of its limbs */
    KEPT = 64 * STRETCH /* bytes of the unpacked planes of a stretch */
};

static LLVMTypeRef doubles(TnBuilder *b, int lanes) {
    return LLVMVectorType(LLVMDoubleTypeInContext(b->c), (unsigned)lanes);
}

static LLVMTypeRef bytes_of(TnBuilder *b) {
    return tn_tmatmul_bytes(b);
}

static LLVMValueRef byte_splat(TnBuilder *b, int v) {
    return tn_build_splat_const(b, LLVMConstInt(b->t_i8, (uint64_t)v, 0), b->level->bytes);
}

static const TnType *table_of(TnBuilder *b) {
    return tn_tmatmul_weights(b);
}

/* ---- Planes */

/* Bytes shifted right in 16-bit lanes. The caller masks away the bits that cross into another byte. */
static LLVMValueRef shifted(TnBuilder *b, LLVMValueRef v, int by) {
    if (by == 0) return v;
    int lanes = b->level->bytes / 2;
    LLVMValueRef w = tn_build_bitcast(b, v, LLVMVectorType(b->t_i16, (unsigned)lanes));
    w = tn_build_lshr(b, w, tn_build_splat_const(b, LLVMConstInt(b->t_i16, (uint64_t)by, 0), lanes));
    return tn_build_bitcast(b, w, bytes_of(b));
}

static LLVMValueRef masked(TnBuilder *b, LLVMValueRef v, int mask) {
    return tn_build_and(b, v, byte_splat(b, mask));
}

/* Part `i` of a line of a block, of the piece that `lines` points at. */
static LLVMValueRef line(TnBuilder *b, LLVMValueRef lines, int i) {
    return tn_build_load(b, bytes_of(b), tn_build_atc(b, lines, (int64_t)i * TN_LINE),
                         (unsigned)b->level->bytes);
}

/* For each byte of v, 0 to 15: the level of s5 with that number; 128 more for unsigned codes. */
static LLVMValueRef levels(TnBuilder *b, LLVMValueRef v) {
    static const char *const names[] = {"llvm.aarch64.neon.tbl1", "llvm.x86.avx2.pshuf.b",
                                        "llvm.x86.avx512.pshuf.b.512"};
    LLVMValueRef table[TN_LINE], args[2];
    int size = b->level->bytes, add = tn_level_signed(b->level) ? 0 : 128;
    for (int i = 0; i < size; i++)
        table[i] = LLVMConstInt(b->t_i8, (unsigned)(tn_s5_levels[i % 16] + add), 0);
    args[0] = LLVMConstVector(table, (unsigned)size);
    args[1] = v;
    LLVMTypeRef bytes = bytes_of(b);
    return tn_build_call(b, names[size / 32], size == 16 ? &bytes : NULL, size == 16, args, 2);
}

/* Step `odd` of the two of five lines of s5. 256 - (magnitude + 128) is 128 - magnitude. */
static void planes_s5(TnBuilder *b, LLVMValueRef lines, int odd, LLVMValueRef c[PLANES]) {
    LLVMValueRef signs = line(b, lines, 4), none = LLVMConstNull(bytes_of(b));
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef v = line(b, lines, 2 * odd + q / 2);
        v = levels(b, masked(b, shifted(b, v, q % 2 ? 4 : 0), 15));
        LLVMValueRef negative = tn_build_icmp(b, LLVMIntNE, masked(b, signs, 1 << (4 * odd + q)), none);
        c[q] = tn_build_select(b, negative, tn_build_sub(b, none, v), v);
    }
}

/* Whether the codes of plane 3 are four times as large, so that its sums are. */
static bool is_high(const TnLevel *level, TnEnc enc) {
    return tn_llvm_estimate_dot(level, enc).exact32;
}

static void planes_s6(TnBuilder *b, LLVMValueRef lines, LLVMValueRef c[PLANES]) {
    int down = is_high(b->level, TN_ENC_s6) ? 0 : 2;
    c[3] = NULL;
    for (int q = 0; q < 3; q++) {
        LLVMValueRef v = line(b, lines, q), high = shifted(b, masked(b, v, 0xc0), 2 * q + down);
        c[q] = masked(b, v, 63);
        c[3] = c[3] ? tn_build_or(b, c[3], high) : high;
    }
    for (int q = 0; q < PLANES && tn_level_signed(b->level); q++)
        c[q] = tn_build_sub(b, c[q], byte_splat(b, 32));
}

/* The four planes of step s of those that begin at `lines`: unsigned codes, or signed ones on NEON. */
static void planes(TnBuilder *b, TnEnc enc, LLVMValueRef lines, int s, LLVMValueRef c[PLANES]) {
    if (enc == TN_ENC_s5) {
        planes_s5(b, tn_build_atc(b, lines, s / 2 * 5 * (int64_t)TN_LINE), s % 2, c);
    } else if (enc == TN_ENC_s6) {
        planes_s6(b, tn_build_atc(b, lines, s * 3 * (int64_t)TN_LINE), c);
    } else {
        for (int q = 0; q < PLANES; q++) {
            c[q] = line(b, lines, 4 * s + q);
            if (tn_level_signed(b->level)) c[q] = tn_build_xor(b, c[q], byte_splat(b, 128));
        }
    }
}

/* ---- A pass */

/* What a pass does with the planes of a block: takes them out of the lines; the same, and keeps them; or reads those that were
 * kept. Nothing is kept of s8, whose lines are planes. */
typedef enum Mode { ALONE, FIRST, LATER } Mode;

typedef struct Pass {
    const TnType *table;
    int rows; /* of activations */
    Mode mode;
    int columns;            /* of a turn of the loop */
    int64_t x_bytes, apart; /* bytes of a row of q14; bytes from its high limbs to its low ones */
    int64_t column_bytes;   /* of a block */
    bool narrow, held;      /* sums of int16 first; sums that stay in registers over the turns */
} Pass;

/* The most rows of a pass. */
static int most_rows(const TnLevel *level) {
    return tn_level_narrow(level) || tn_level_few_registers(level) ? 1 : 3;
}

static Pass pass_of(TnBuilder *b, int rows, Mode mode) {
    const TnType *t = table_of(b);
    TnType q = tn_type(TN_ENC_q14, 2, (TnDim)1, t->dim[1]);
    TnDot how = tn_llvm_estimate_dot(b->level, t->enc);
    TN_CHECK(tn_range_split(&how, t->dim[1]) * TN_CODES >= t->dim[1]);
    if (t->enc == TN_ENC_s8 && mode == FIRST) mode = LATER; /* the same code */
    Pass p = {.table = t, .rows = rows, .mode = mode, .x_bytes = (int64_t)tn_row_bytes(&q)};
    p.apart = (p.x_bytes - TN_Q14_HEAD) / 2;
    p.column_bytes = TN_BESIDE * (int64_t)tn_encs[t->enc].block_bytes / (int64_t)tn_encs[t->enc].block_elems;
    p.narrow = tn_level_narrow(b->level);
    p.held = !p.narrow || tn_range_adds(&how) < TURN / 4;
    p.columns = p.held ? 8 : TURN;
    return p;
}

static int n_sums(const Pass *p) {
    return p->rows * 2 * PLANES;
}

/* Where sum i of [row][limb][plane] is in memory. */
static LLVMValueRef sum_at(TnBuilder *b, LLVMValueRef sums, int i) {
    return tn_build_atc(b, sums, (int64_t)(i / PLANES) * LIMB_SUMS + i % PLANES * (int64_t)TN_LINE);
}

static LLVMValueRef load_sum(TnBuilder *b, LLVMValueRef sums, int i) {
    return tn_build_load(b, tn_tmatmul_ints(b), sum_at(b, sums, i), (unsigned)b->level->bytes);
}

static void store_sum(TnBuilder *b, LLVMValueRef sum, LLVMValueRef sums, int i) {
    tn_build_store(b, sum, sum_at(b, sums, i), (unsigned)b->level->bytes);
}

/* The planes of step s of a turn. */
static void planes_of(TnBuilder *b, const Pass *p, LLVMValueRef lines, LLVMValueRef kept, int s,
                      LLVMValueRef c[PLANES]) {
    bool keeps = p->mode != ALONE && p->table->enc != TN_ENC_s8;
    if (!keeps || p->mode == FIRST) planes(b, p->table->enc, lines, s, c);
    for (int q = 0; keeps && q < PLANES; q++)
        if (p->mode == FIRST)
            tn_build_store(b, c[q], tn_build_atc(b, kept, (4 * s + q) * (int64_t)TN_LINE),
                           (unsigned)b->level->bytes);
        else
            c[q] = line(b, kept, 4 * s + q);
}

/* sum and the products of four columns of a plane. */
static LLVMValueRef add_products(TnBuilder *b, const Pass *p, LLVMValueRef sum, LLVMValueRef c,
                                 LLVMValueRef a) {
    a = tn_build_bitcast(b, a, bytes_of(b));
    if (!p->narrow) return tn_tmatmul_dot(b, sum, c, a);
    if (!p->held) return tn_build_narrow_add(b, sum, c, a);
    return tn_build_add(b, sum, tn_build_narrow_widen(b, tn_build_narrow_add(b, NULL, c, a)));
}

/* Four columns of limb i, of step s. */
static LLVMValueRef limb(TnBuilder *b, const Pass *p, LLVMValueRef x, int i, int s) {
    LLVMValueRef from = tn_build_atc(b, x, i / 2 * p->x_bytes + i % 2 * p->apart + 4 * s);
    return tn_build_splat(b, tn_build_load(b, b->t_i32, from, 4), b->level->bytes / 4);
}

/* Adds a sum of int16 to sum i in memory. */
static void add_narrow(TnBuilder *b, LLVMValueRef sum, LLVMValueRef sums, int i) {
    store_sum(b, tn_build_add(b, load_sum(b, sums, i), tn_build_narrow_widen(b, sum)), sums, i);
}

/* A turn of kept planes whose sums are not held: plane by plane, so that the limbs and two sums fill the 16 registers of AVX2. */
static void turn_by_planes(TnBuilder *b, const Pass *p, LLVMValueRef kept, LLVMValueRef x,
                           LLVMValueRef sums) {
    LLVMValueRef a[2 * MOST_ROWS][TURN / 4];
    for (int i = 0; i < 2 * p->rows; i++)
        for (int s = 0; s < p->columns / 4; s++) a[i][s] = limb(b, p, x, i, s);
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef sum[2 * MOST_ROWS] = {NULL};
        for (int s = 0; s < p->columns / 4; s++) {
            LLVMValueRef c = line(b, kept, 4 * s + q);
            for (int i = 0; i < 2 * p->rows; i++) sum[i] = add_products(b, p, sum[i], c, a[i][s]);
        }
        for (int i = 0; i < 2 * p->rows; i++) add_narrow(b, sum[i], sums, i * PLANES + q);
    }
}

/* Adds the products of a turn to sum[n_sums]; those that are not held begin as NULL. */
static void turn(TnBuilder *b, const Pass *p, LLVMValueRef lines, LLVMValueRef kept, LLVMValueRef x,
                 LLVMValueRef *sum) {
    for (int s = 0; s < p->columns / 4; s++) {
        LLVMValueRef c[PLANES];
        planes_of(b, p, lines, kept, s, c);
        for (int i = 0; i < 2 * p->rows; i++) {
            LLVMValueRef a = limb(b, p, x, i, s);
            for (int q = 0; q < PLANES; q++)
                sum[i * PLANES + q] = add_products(b, p, sum[i * PLANES + q], c[q], a);
        }
    }
}

/* Prefetches the part of a pass. A pass alone goes by the kernel's distances. One of several goes `step` bytes a turn: its share of
 * the next turn, of which it has most where there are fewest rows, five with passes of three and else twice those of a pass. */
static void prefetch(TnBuilder *b, const Pass *p, LLVMValueRef ahead) {
    int pieces = TN_LINE / b->level->bytes;
    int64_t bytes = p->columns * p->column_bytes / pieces;
    if (p->mode != ALONE) bytes = bytes * p->rows / (p->rows == 3 ? 5 : 2 * p->rows);
    for (int64_t i = 0; i < (bytes + TN_LINE - 1) / TN_LINE; i++) {
        LLVMValueRef at = tn_build_atc(b, ahead, i * TN_LINE);
        if (p->mode == ALONE)
            tn_build_ahead(b, at);
        else
            tn_build_prefetch(b, at, TN_INTO_L2);
    }
}

/* void (lines, kept, i64 columns, x, sums, ahead, i64 step): adds the products of some columns, a multiple of 16, of a piece of a
 * block to the sums of p->rows rows. */
static LLVMValueRef pass_function(TnBuilder *b, const Pass *p) {
    static const char *const modes[] = {"alone", "first", "later"};
    char name[96];
    snprintf(name, sizeof name, "estimate_%s_k%lld_%s%d", tn_encs[p->table->enc].name,
             (long long)p->table->dim[1], modes[p->mode], p->rows);
    if (p->mode == ALONE) tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64};
    LLVMValueRef fn, sum[TN_LOOP_CARRIES] = {NULL};
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef sums = LLVMGetParam(fn, 4), ahead = LLVMGetParam(fn, 5), step = LLVMGetParam(fn, 6);
    int n = n_sums(p);
    for (int i = 0; p->held && i < n; i++) sum[i] = load_sum(b, sums, i);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), LLVMGetParam(fn, 2), p->columns);
    for (int i = 0; p->held && i < n; i++) sum[i] = tn_build_carry(b, &l, sum[i]);
    LLVMValueRef at = tn_build_carry(b, &l, ahead);
    LLVMValueRef lines = tn_build_walk(b, &l, LLVMGetParam(fn, 0), p->columns * p->column_bytes),
                 kept = tn_build_walk(b, &l, LLVMGetParam(fn, 1), p->columns * (int64_t)TN_LINE),
                 x = tn_build_walk(b, &l, LLVMGetParam(fn, 3), p->columns);
    prefetch(b, p, at);
    if (!p->held && p->mode == LATER && p->table->enc != TN_ENC_s8) {
        turn_by_planes(b, p, kept, x, sums);
    } else {
        turn(b, p, lines, kept, x, sum);
        for (int i = 0; !p->held && i < n; i++) add_narrow(b, sum[i], sums, i);
    }
    for (int i = 0; p->held && i < n; i++) tn_build_next(&l, i, sum[i]);
    tn_build_next(&l, p->held ? n : 0, tn_build_at(b, at, step));
    tn_build_loop_end(b, &l);
    for (int i = 0; p->held && i < n; i++) store_sum(b, l.out[i], sums, i);
    return tn_build_shared_end(b, back);
}

/* ---- Blocks */

/* A strip: its rows of activations, and the stretch of a block that passes go over. */
typedef struct Strip {
    LLVMValueRef x, n_x, out, stride, sums, kept;
    LLVMValueRef share;                /* bytes of a turn that a row and piece of a later pass prefetches */
    LLVMValueRef lines, from, columns; /* the stretch: where it begins, its first column, its columns */
} Strip;

/* A pass over the stretch with the rows from `first` (i64) on. */
static void put_pass(TnBuilder *b, const Strip *s, int rows, Mode mode, LLVMValueRef first) {
    Pass p = pass_of(b, rows, mode);
    int size = b->level->bytes, pieces = TN_LINE / size;
    LLVMValueRef x = tn_build_at(b, tn_build_elem(b, tn_build_atc(b, s->x, TN_Q14_HEAD), first, p.x_bytes),
                                 s->from),
                 sums = tn_build_elem(b, s->sums, first, ROW_SUMS), pass = pass_function(b, &p);
    LLVMValueRef step = mode == ALONE ? tn_build_i64(b, p.columns * p.column_bytes / pieces)
                                      : tn_build_mul(b, s->share, tn_build_i64(b, rows));
    LLVMValueRef begin = s->lines;
    LLVMValueRef turns = tn_build_sdiv(b, s->columns, tn_build_i64(b, p.columns));
    if (mode != ALONE)
        begin = tn_build_at(b, tn_build_atc(b, begin, STRETCH * p.column_bytes),
                            tn_build_mul(b, tn_build_mul(b, turns, s->share),
                                         tn_build_mul(b, first, tn_build_i64(b, pieces))));
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LINE), size);
    LLVMValueRef ahead = tn_build_carry(b, &l, begin);
    LLVMValueRef args[] = {tn_build_at(b, s->lines, l.i),
                           tn_build_at(b, s->kept, l.i),
                           s->columns,
                           x,
                           tn_build_at(b, sums, l.i),
                           ahead,
                           step};
    tn_build_call_function(b, pass, args, TN_COUNT(args));
    tn_build_next(&l, 0, tn_build_at(b, ahead, tn_build_mul(b, turns, step)));
    tn_build_loop_end(b, &l);
}

/* The passes of n rows that need more than one: three at a time, but never three and one. */
static void put_rows(TnBuilder *b, const Strip *s, int n) {
    for (int r = 0, rows; r < n; r += rows) {
        rows = n - r == 3 || n - r > 4 ? 3 : 2;
        put_pass(b, s, rows, r ? LATER : FIRST, tn_build_i64(b, r));
    }
}

/* The passes over a stretch with more rows than one takes. */
static void put_passes(TnBuilder *b, const Strip *s, int most) {
    int together = most_rows(b->level);
    if (together == 1) {
        put_pass(b, s, 1, FIRST, tn_build_i64(b, 0));
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 1), s->n_x, 1);
        put_pass(b, s, 1, LATER, l.i);
        tn_build_loop_end(b, &l);
        return;
    }
    for (int n = together + 1; n <= most; n++) {
        TnIf is = tn_build_if_between(b, s->n_x, n, n);
        put_rows(b, s, n);
        tn_build_if_end(b, &is);
    }
}

/* Goes over the block at w in stretches of at most `longest` columns; most: 0 for a pass alone, else the most rows. */
static void put_stretches(TnBuilder *b, Strip *s, LLVMValueRef w, int64_t longest, int most) {
    Pass p = pass_of(b, 1, ALONE);
    int64_t columns = (p.table->dim[1] + TURN - 1) / TURN * TURN;
    TnLoop l =
        tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, columns), longest < columns ? longest : columns);
    s->from = l.i;
    s->columns = tn_build_min(b, tn_build_sub(b, tn_build_i64(b, columns), l.i), tn_build_i64(b, longest));
    s->lines = tn_build_elem(b, w, l.i, p.column_bytes);
    if (most) {
        put_passes(b, s, most);
    } else {
        for (int n = 1; n <= most_rows(b->level); n++) {
            TnIf is = tn_build_if_between(b, s->n_x, n, n);
            put_pass(b, s, n, ALONE, tn_build_i64(b, 0));
            tn_build_if_end(b, &is);
        }
    }
    tn_build_loop_end(b, &l);
}

/* Stores (128*H + L) * (scale * d) of a block for row r. */
static void put_estimates(TnBuilder *b, const Strip *s, LLVMValueRef r, LLVMValueRef scales,
                          LLVMValueRef out) {
    enum { LANES = TN_BESIDE / PLANES };
    TnEnc enc = table_of(b)->enc;
    LLVMTypeRef ints = LLVMVectorType(b->t_i32, LANES), floats = LLVMVectorType(b->t_f32, LANES),
                wide = doubles(b, LANES);
    LLVMValueRef row = tn_build_elem(b, s->x, r, pass_of(b, 1, ALONE).x_bytes), sum[2], off[2];
    LLVMValueRef d = tn_build_fpext(b, tn_build_load(b, b->t_f32, row, 4), LLVMDoubleTypeInContext(b->c));
    LLVMValueRef hundred =
        tn_build_splat_const(b, LLVMConstReal(LLVMDoubleTypeInContext(b->c), 128.0), LANES);
    d = tn_build_splat(b, d, LANES);
    for (int i = 0; i < 2; i++) {
        LLVMValueRef by = tn_build_i32(b, tn_level_signed(b->level) ? 0 : enc == TN_ENC_s6 ? 32 : 128);
        off[i] = tn_build_mul(b, tn_build_load(b, b->t_i32, tn_build_atc(b, row, 4 + 4 * i), 4), by);
        off[i] = tn_build_splat(b, off[i], LANES);
    }
    for (int q = 0; q < PLANES; q++) {
        for (int i = 0; i < 2; i++) {
            sum[i] =
                tn_build_load(b, ints, sum_at(b, tn_build_elem(b, s->sums, r, ROW_SUMS), i * PLANES + q), 64);
            if (q == 3 && is_high(b->level, enc))
                sum[i] = tn_build_ashr(b, sum[i], tn_build_splat_const(b, tn_build_i32(b, 2), LANES));
            sum[i] = tn_build_si_to_fp(b, tn_build_sub(b, sum[i], off[i]), wide);
        }
        LLVMValueRef by = tn_build_load(b, floats, tn_build_atc(b, scales, q * (int64_t)TN_LINE), 4);
        LLVMValueRef y = tn_build_fma(b, sum[0], hundred, sum[1]);
        y = tn_build_fmul(b, y, tn_build_fmul(b, tn_build_fpext(b, by, wide), d));
        tn_build_store(b, tn_build_fptrunc(b, y, floats), tn_build_atc(b, out, q * (int64_t)TN_LINE), 4);
    }
}

static void clear_sums(TnBuilder *b, const Strip *s) {
    TnLoop l =
        tn_build_loop(b, tn_build_i64(b, 0), tn_build_mul(b, s->n_x, tn_build_i64(b, ROW_SUMS)), TN_LINE);
    LLVMValueRef to = tn_build_at(b, s->sums, l.i);
    for (int at = 0; at < TN_LINE; at += b->level->bytes)
        tn_build_store(b, LLVMConstNull(tn_tmatmul_ints(b)), tn_build_atc(b, to, at),
                       (unsigned)b->level->bytes);
    tn_build_loop_end(b, &l);
}

/* One block at w, for at most `most` rows. */
static void block(TnBuilder *b, Strip *s, LLVMValueRef w, LLVMValueRef scales, LLVMValueRef out, int most) {
    int together = most_rows(b->level);
    clear_sums(b, s);
    TnIf alone = tn_build_if_between(b, s->n_x, 1, together);
    put_stretches(b, s, w, b->level->bytes == TN_LINE ? INT32_MAX : PIECES, 0);
    if (most > together) {
        tn_build_else(b, &alone);
        put_stretches(b, s, w, STRETCH, most);
    }
    tn_build_if_end(b, &alone);
    TnLoop r = tn_build_loop(b, tn_build_i64(b, 0), s->n_x, 1);
    put_estimates(b, s, r.i, scales, tn_build_at(b, out, tn_build_mul(b, s->stride, r.i)));
    tn_build_loop_end(b, &r);
}

/* void (w, i64 blocks, x, i64 n_x, out, i64 stride, buf, scales) for up to `most` rows */
static LLVMValueRef strip_function(TnBuilder *b, int most) {
    const TnType *t = table_of(b);
    char name[96];
    snprintf(name, sizeof name, "estimate_%s_k%lld_x%d", tn_encs[t->enc].name, (long long)t->dim[1], most);
    tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    Strip s = {.x = LLVMGetParam(fn, 2), .n_x = LLVMGetParam(fn, 3), .stride = LLVMGetParam(fn, 5)};
    Pass p = pass_of(b, 1, FIRST);
    int64_t turn_bytes = p.columns * p.column_bytes / (TN_LINE / b->level->bytes);
    s.share = tn_build_sdiv(b, tn_build_i64(b, turn_bytes), s.n_x);
    s.sums = LLVMGetParam(fn, 6);
    s.kept = tn_build_atc(b, s.sums, MOST_ROWS * ROW_SUMS);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), LLVMGetParam(fn, 1), 1);
    LLVMValueRef w = tn_build_walk(b, &l, LLVMGetParam(fn, 0), TN_BESIDE * (int64_t)tn_row_bytes(t)),
                 scales = tn_build_walk(b, &l, LLVMGetParam(fn, 7), 4 * TN_BESIDE),
                 out = tn_build_walk(b, &l, LLVMGetParam(fn, 4), 4 * TN_BESIDE);
    block(b, &s, w, scales, out, most);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

/* The address of the scales of the rows from w on. */
static LLVMValueRef scales_of(TnBuilder *b, LLVMValueRef w) {
    const TnType *t = table_of(b);
    LLVMValueRef base = tn_build_operand(b, b->g->nodes[b->k->root].args[1]);
    LLVMValueRef bytes =
        tn_build_sub(b, tn_build_ptr_to_int(b, w, b->t_i64), tn_build_ptr_to_int(b, base, b->t_i64));
    LLVMValueRef row = tn_build_udiv(b, bytes, tn_build_i64(b, (int64_t)tn_row_bytes(t)));
    return tn_build_elem(b, tn_build_atc(b, base, (int64_t)tn_tail_at(t)), row, 4);
}

/* Bytes of a strip's scratch before that of its own. */
static int64_t results_buf(TnBuilder *b) {
    return (tn_beside_buf(b, MOST_ROWS) + 63) / 64 * 64;
}

/* A TnBesideFn. */
static void product(TnBuilder *b, LLVMValueRef w, LLVMValueRef columns, const TnStrip *s, LLVMValueRef out,
                    LLVMValueRef stride) {
    int64_t most = s->n_x ? tn_build_most_rows(b, b->k->root) : 1;
    LLVMValueRef blocks = tn_build_add(b, columns, tn_build_i64(b, TN_BESIDE - 1)), one = tn_build_i64(b, 1);
    LLVMValueRef args[] = {w,
                           tn_build_sdiv(b, blocks, tn_build_i64(b, TN_BESIDE)),
                           s->x,
                           s->n_x ? s->n_x : one,
                           out,
                           stride ? stride : one,
                           tn_build_atc(b, s->buf, results_buf(b)),
                           scales_of(b, w)};
    LLVMValueRef fn = strip_function(b, most < MOST_ROWS ? (int)most : MOST_ROWS);
    tn_build_call_function(b, fn, args, TN_COUNT(args));
}

static void strips(TnBuilder *b, const TnStrip *s) {
    tn_beside_strips(b, s, product);
}

static void kernel(TnBuilder *b) {
    TnStrips s = {.rows = MOST_ROWS,
                  .buf = results_buf(b) + MOST_ROWS * ROW_SUMS + KEPT,
                  .strip = strips,
                  .strips = strips};
    tn_build_cols_kernel(b, &s);
}
const TnLlvmOp tn_llvm_op_estimate = {.can = tn_llvm_yes, .kernel = kernel};
