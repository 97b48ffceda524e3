/* Attention of many rows at once: a run of rows of one slot at consecutive positions, as in prefill and in
 * the verification of guesses.
 *
 * A unit is one row and one kv head, as for single rows, but here the units of a kv head are adjacent, so
 * that a tile is a few long runs of rows. Later rows see more keys, while tiles are cut by the number of
 * units. So chunks of rows are taken from the front and the back in turn (row_of), which gives every stretch
 * of units equal work.
 *
 * For each block of 64 positions there are two matrix products, S = K q and O = V p. Their columns are the
 * query heads, of all rows of the run, that share the kv head; K and V are widened to f32 once for all of
 * them. The two passes over the blocks, the records and the order of every sum are those of attend.c. Masked
 * positions give the same bits too:
 *
 *   - A row that sees nothing of a block that its neighbours see has max -inf, and p and sum +0 there. Its
 *     weight exp(-inf - M) is +0, and adding +0 to sums that began with +0 changes no bit.
 *   - p = +0 times a finite value adds nothing, but times an infinity or a NaN it would. So if some row sees
 *     only part of a block, the block's values are checked first. If one is not finite, every row multiplies
 *     only the positions that it sees.
 *
 * Both products are made of one small GEMM of six columns, which keeps each output one chain in index order.
 * On the target xsmm it is libxsmm's (codegen/xsmm). */
#include "codegen/llvm/ops/attend.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    RUN_COLS = 72,
    LEAST_COLS = 9
}; /* columns of a full run; runs with fewer than the least go row by row */

bool tn_attend_is_blocked(const TnAttend *a, const TnKernel *k) {
    return a->size > 1 && k->units == a->kv_heads; /* not for an int8 cache, which has scales too */
}

static int64_t round_up(int64_t v, int64_t to) {
    return (v + to - 1) / to * to;
}

/* A run's record of a block: p[cols][64], then the max of each column, then the sum of each, both padded to
 * 16. */
static int64_t max_at(const TnAttend *a) {
    return a->cols * TN_PAGE * 4;
}
static int64_t sum_at(const TnAttend *a) {
    return max_at(a) + round_up(a->cols, 16) * 4;
}
int64_t tn_attend_rows_record(const TnAttend *a) {
    return sum_at(a) + round_up(a->cols, 16) * 4;
}

void tn_attend_rows_scratch(TnBuilder *b, TnAttend *a) {
    a->rows = a->group < RUN_COLS ? RUN_COLS / a->group : 1;
    a->cols = round_up(a->rows * a->group, TN_ATTEND_COLS);
    uint64_t heads = (uint64_t)round_up(a->cols * a->head, TN_LANES) * 4,
             page = (uint64_t)(TN_PAGE * a->head) * 4;
    a->query = tn_build_scratch(b, heads);
    a->keys = tn_build_scratch(b, page);
    a->values = tn_build_scratch(b, page);
    a->block = tn_build_scratch(b, heads);
    a->all = tn_build_scratch(b, heads);
    a->divide = tn_build_scratch(b, (uint64_t)round_up(a->cols, 16) * 4);
}

/* ---- The small GEMM */

void tn_attend_symbol(char out[48], const char *whose, int64_t m, int64_t k) {
    snprintf(out, 48, "%s_f32_%lldx%dx%lld", whose, (long long)m, TN_ATTEND_COLS, (long long)k);
}

static bool is_given(const TnBuilder *b, const char *name) {
    for (size_t i = 0; b->given && i < b->given->n; i++)
        if (strcmp(b->given->symbols[i].name, name) == 0) return true;
    return false;
}

/* Columns of C and rows of A in registers: 6 x 4 of 32, or 6 x 2 of 16. */
static LLVMValueRef gemm(TnBuilder *b, int64_t m, int64_t k) {
    char name[48];
    tn_attend_symbol(name, b->k->target ? b->k->target : "", m, k);
    bool given = is_given(b, name);
    if (!given) tn_attend_symbol(name, "gemm", m, k);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr};
    if (given) { /* only declared: the flattener binds it to its code */
        LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
        if (fn) return fn;
        fn = tn_build_function(b, name, params, 3, true);
        LLVMSetVisibility(fn, LLVMHiddenVisibility);
        return fn;
    }
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 3, &fn);
    if (!back) return fn;
    int most = b->level->bytes == 32 ? 16 : b->level->bytes, lanes = 1;
    while (lanes * 2 <= most && lanes * 2 <= m) lanes *= 2;
    LLVMTypeRef type = LLVMVectorType(b->t_f32, (unsigned)lanes);
    /* The last tile may overlap the one before: its sums come out the same. */
    TnLoop tiles = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, m), lanes);
    LLVMValueRef first = tn_build_min(b, tiles.i, tn_build_i64(b, m - lanes));
    LLVMValueRef x = tn_build_elem(b, LLVMGetParam(fn, 0), first, 4);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, k), 1);
    LLVMValueRef acc[TN_ATTEND_COLS];
    for (int c = 0; c < TN_ATTEND_COLS; c++) acc[c] = tn_build_carry(b, &l, LLVMConstNull(type));
    LLVMValueRef at = tn_build_walk(b, &l, x, m * 4), y = tn_build_walk(b, &l, LLVMGetParam(fn, 1), 4);
    LLVMValueRef row = tn_build_load(b, type, at, 4);
    for (int c = 0; c < TN_ATTEND_COLS; c++) {
        LLVMValueRef v = tn_build_load(b, b->t_f32, tn_build_atc(b, y, c * k * 4), 4);
        tn_build_next(&l, c, tn_build_fma(b, tn_build_splat(b, v, lanes), row, acc[c]));
    }
    tn_build_loop_end(b, &l);
    LLVMValueRef out = tn_build_elem(b, LLVMGetParam(fn, 2), first, 4);
    for (int c = 0; c < TN_ATTEND_COLS; c++) tn_build_store(b, l.out[c], tn_build_atc(b, out, c * m * 4), 4);
    tn_build_loop_end(b, &tiles);
    return tn_build_shared_end(b, back);
}

/* The products of all columns of a run: C[col][m] = sum of A[k][m] * B[col][k]. */
static void multiply(TnBuilder *b, int64_t m, int64_t k, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z,
                     LLVMValueRef cols) {
    LLVMValueRef fn = gemm(b, m, k);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), cols, TN_ATTEND_COLS);
    LLVMValueRef args[] = {x, tn_build_elem(b, y, l.i, k * 4), tn_build_elem(b, z, l.i, m * 4)};
    tn_build_call_function(b, fn, args, 3);
    tn_build_loop_end(b, &l);
}

/* ---- Pieces of a run */

typedef struct Run {
    LLVMValueRef row, n, cols;        /* first row, rows, rows * group */
    LLVMValueRef kv_head, pages, pos; /* row of the block table; position of the first row */
    LLVMValueRef b0, end;             /* blocks that any of the rows looks at */
} Run;

static LLVMTypeRef floats(TnBuilder *b, int lanes) {
    return LLVMVectorType(b->t_f32, (unsigned)lanes);
}

/* The new value of `lanes` floats at y, from the floats x and a factor, which may be NULL. */
typedef LLVMValueRef PieceFn(TnBuilder *b, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef by);

static void one_piece(TnBuilder *b, PieceFn *fn, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef by) {
    x = tn_build_load(b, floats(b, lanes), x, 4);
    tn_build_store(b, fn(b, lanes, x, y, by), y, 4);
}

/* Applies fn to n floats at x and y: 64 at a time, then in vectors of falling powers of two. */
static void pieces(TnBuilder *b, PieceFn *fn, int64_t n, LLVMValueRef x, LLVMValueRef y, LLVMValueRef by) {
    int64_t at = n / 64 * 64;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, at), 64);
    one_piece(b, fn, 64, tn_build_elem(b, x, l.i, 4), tn_build_elem(b, y, l.i, 4), by);
    tn_build_loop_end(b, &l);
    for (int lanes = 32; lanes > 0; lanes /= 2) {
        if (at + lanes > n) continue;
        one_piece(b, fn, lanes, tn_build_atc(b, x, at * 4), tn_build_atc(b, y, at * 4), by);
        at += lanes;
    }
}

static LLVMValueRef same(TnBuilder *b, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef by) {
    (void)b, (void)lanes, (void)y, (void)by;
    return x;
}
/* y + (x + 0) * by */
static LLVMValueRef weighed(TnBuilder *b, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef by) {
    x = tn_build_fadd(b, x, LLVMConstNull(floats(b, lanes)));
    x = tn_build_fmul(b, x, tn_build_splat(b, by, lanes));
    return tn_build_fadd(b, tn_build_load(b, floats(b, lanes), y, 4), x);
}
static LLVMValueRef divided(TnBuilder *b, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef by) {
    (void)y;
    return tn_build_fdiv(b, x, tn_build_splat(b, by, lanes));
}

/* First position that the run's row `r` (i64) sees. */
static LLVMValueRef first_of(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef r) {
    if (a->window <= 0) return tn_build_i64(b, 0);
    LLVMValueRef pos = tn_build_add(b, run->pos, r);
    return tn_build_max(b, tn_build_i64(b, 0), tn_build_sub(b, pos, tn_build_i64(b, a->window - 1)));
}

/* The positions lo..hi of block `block` that row r sees; none if lo > hi. */
static void range_of(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef r, LLVMValueRef block,
                     LLVMValueRef *lo, LLVMValueRef *hi) {
    LLVMValueRef start = tn_build_mul(b, block, tn_build_i64(b, TN_PAGE)), pos = tn_build_add(b, run->pos, r);
    *lo = tn_build_max(b, tn_build_i64(b, 0), tn_build_sub(b, first_of(b, a, run, r), start));
    *hi = tn_build_min(b, tn_build_i64(b, TN_PAGE - 1), tn_build_sub(b, pos, start));
}

/* Copies the query heads side by side, so that the columns of all rows have one stride. */
static void pack_queries(TnBuilder *b, const TnAttend *a, const Run *run) {
    TnLoop rows = tn_build_loop(b, tn_build_i64(b, 0), run->n, 1);
    LLVMValueRef from = tn_build_operand_row(b, a->q, tn_build_add(b, run->row, rows.i));
    from = tn_build_elem(b, from, run->kv_head, a->group * a->head * 4);
    LLVMValueRef to = tn_build_elem(b, a->query, rows.i, a->group * a->head * 4);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->group), 1);
    LLVMValueRef x = tn_build_elem(b, from, l.i, a->head * 4), y = tn_build_elem(b, to, l.i, a->head * 4);
    pieces(b, same, a->head, x, y, NULL);
    tn_build_loop_end(b, &l);
    tn_build_loop_end(b, &rows);
}

/* A head's 64 positions as f32: in place, or widened into `room`. */
static LLVMValueRef widen(TnBuilder *b, const TnAttend *a, LLVMValueRef page, LLVMValueRef room) {
    if (a->size == 4) return page;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_PAGE * a->head), 64);
    tn_build_store(b, tn_attend_load(b, a, tn_build_elem(b, page, l.i, a->size), 64),
                   tn_build_elem(b, room, l.i, 4), 64);
    tn_build_loop_end(b, &l);
    return room;
}

/* Which of the positions first, first + 1, ... are in lo..hi (i64). */
static LLVMValueRef unmasked(TnBuilder *b, LLVMValueRef first, LLVMValueRef lo, LLVMValueRef hi, int lanes) {
    LLVMValueRef at[3] = {first, lo, hi};
    for (int i = 0; i < 3; i++) at[i] = tn_build_splat(b, tn_build_trunc(b, at[i], b->t_i32), lanes);
    at[0] = tn_build_add(b, at[0], tn_build_iota(b, lanes));
    return tn_build_and(b, tn_build_icmp(b, LLVMIntSGE, at[0], at[1]),
                        tn_build_icmp(b, LLVMIntSLE, at[0], at[2]));
}

/* Replaces the 64 products q.k at `at` (64-aligned) by p, and stores the max of q.k * scale in *max and the
 * sum of p in *sum. Positions lo..hi (i64) are unmasked. If there are none, the max is -inf, and all p and
 * the sum are +0. */
static void softmax_body(TnBuilder *b, LLVMValueRef fn) {
    LLVMValueRef at = LLVMGetParam(fn, 0), max = LLVMGetParam(fn, 1), sum = LLVMGetParam(fn, 2),
                 lo = LLVMGetParam(fn, 3), hi = LLVMGetParam(fn, 4), scale = LLVMGetParam(fn, 5), p[2];
    for (int i = 0; i < 2; i++) {
        LLVMValueRef x = tn_build_atc(b, at, i * TN_LANES * 4), first = tn_build_i64(b, i * TN_LANES);
        LLVMValueRef s = tn_build_load(b, b->t_f32x, x, 64);
        s = tn_build_fmul(b, s, tn_build_splat(b, scale, TN_LANES));
        tn_build_store(b, s, x, 64);
        p[i] = tn_build_select(b, unmasked(b, first, lo, hi, TN_LANES), s, tn_build_vf(b, -INFINITY));
    }
    LLVMValueRef m = tn_build_tree(b, tn_build_fmax(b, p[0], p[1]), TN_FOLD_FMAX);
    int lanes = b->level->bytes / 2; /* two registers at a time */
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_PAGE), lanes);
    LLVMValueRef x = tn_build_elem(b, at, l.i, 4);
    LLVMValueRef e = tn_build_load(b, LLVMVectorType(b->t_f32, (unsigned)lanes), x, 64), score = e;
    e = tn_build_exp(b, tn_build_fsub(b, e, tn_build_splat(b, m, lanes)));
    e = tn_build_fma(b, score, LLVMConstNull(LLVMTypeOf(e)), e); /* NaN if the score is not finite */
    e = tn_build_select(b, unmasked(b, l.i, lo, hi, lanes), e, LLVMConstNull(LLVMTypeOf(e)));
    tn_build_store(b, e, x, 64);
    tn_build_loop_end(b, &l);
    for (int i = 0; i < 2; i++) p[i] = tn_build_load(b, b->t_f32x, tn_build_atc(b, at, i * TN_LANES * 4), 64);
    tn_build_store(b, m, max, 4);
    tn_build_store(b, tn_build_tree(b, tn_build_fadd(b, p[0], p[1]), TN_FOLD_FADD), sum, 4);
}

static void softmax(TnBuilder *b, const TnAttend *a, LLVMValueRef at, LLVMValueRef lo, LLVMValueRef hi,
                    LLVMValueRef max, LLVMValueRef sum) {
    static const char name[] = "attend_softmax";
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64, b->t_i64, b->t_f32};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (back) {
        softmax_body(b, fn);
        tn_build_shared_end(b, back);
    }
    LLVMValueRef args[] = {at, max, sum, lo, hi, tn_build_f32(b, a->scale)};
    tn_build_call_function(b, fn, args, TN_COUNT(args));
}

static LLVMValueRef record_at(TnBuilder *b, const TnAttend *a, LLVMValueRef block) {
    return tn_build_elem(b, a->records, block, tn_attend_rows_record(a));
}

static void scores(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block) {
    LLVMValueRef record = record_at(b, a, block);
    LLVMValueRef k = tn_attend_page(b, a, a->k, run->pages, block, run->kv_head);
    multiply(b, TN_PAGE, a->head, widen(b, a, k, a->keys), a->query, record, run->cols);
    TnLoop rows = tn_build_loop(b, tn_build_i64(b, 0), run->n, 1);
    LLVMValueRef lo, hi, col = tn_build_mul(b, rows.i, tn_build_i64(b, a->group));
    range_of(b, a, run, rows.i, block, &lo, &hi);
    TnLoop heads = tn_build_loop(b, col, tn_build_add(b, col, tn_build_i64(b, a->group)), 1);
    softmax(b, a, tn_build_elem(b, record, heads.i, TN_PAGE * 4), lo, hi,
            tn_build_elem(b, tn_build_atc(b, record, max_at(a)), heads.i, 4),
            tn_build_elem(b, tn_build_atc(b, record, sum_at(a)), heads.i, 4));
    tn_build_loop_end(b, &heads);
    tn_build_loop_end(b, &rows);
}

/* Turns the maxima into weights exp(m - M) and stores the sums L in a->divide, 16 columns at a time. Columns
 * after the last hold garbage. */
static void weights(TnBuilder *b, const TnAttend *a, const Run *run) {
    LLVMTypeRef type = floats(b, 16);
    TnLoop cols = tn_build_loop(b, tn_build_i64(b, 0), run->cols, 16);
    TnLoop l = tn_build_loop(b, run->b0, run->end, 1);
    LLVMValueRef top = tn_build_carry(b, &l, tn_build_splat_const(b, tn_build_f32(b, -INFINITY), 16));
    LLVMValueRef m = tn_build_elem(b, tn_build_atc(b, record_at(b, a, l.i), max_at(a)), cols.i, 4);
    tn_build_next(&l, 0, tn_build_fmax(b, top, tn_build_load(b, type, m, 64)));
    tn_build_loop_end(b, &l);
    top = l.out[0];
    l = tn_build_loop(b, run->b0, run->end, 1);
    LLVMValueRef sum = tn_build_carry(b, &l, LLVMConstNull(type));
    LLVMValueRef record = tn_build_elem(b, record_at(b, a, l.i), cols.i, 4);
    m = tn_build_atc(b, record, max_at(a));
    LLVMValueRef w = tn_build_exp(b, tn_build_fsub(b, tn_build_load(b, type, m, 64), top));
    tn_build_store(b, w, m, 64);
    LLVMValueRef part = tn_build_load(b, type, tn_build_atc(b, record, sum_at(a)), 64);
    tn_build_next(&l, 0, tn_build_fadd(b, sum, tn_build_fmul(b, part, w)));
    tn_build_loop_end(b, &l);
    tn_build_store(b, l.out[0], tn_build_elem(b, a->divide, cols.i, 4), 64);
    tn_build_loop_end(b, &cols);
}

/* i1: whether a head's values are finite at all 64 positions. */
static LLVMValueRef all_finite(TnBuilder *b, const TnAttend *a, LLVMValueRef v) {
    LLVMTypeRef type = LLVMVectorType(b->t_i32, 64);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_PAGE * a->head), 64);
    LLVMValueRef most = tn_build_carry(b, &l, LLVMConstNull(type));
    LLVMValueRef x = tn_build_load(b, type, tn_build_elem(b, v, l.i, 4), 4);
    x = tn_build_and(b, x, tn_build_splat_const(b, tn_build_i32(b, 0x7fffffff), 64));
    tn_build_next(&l, 0, tn_build_max(b, most, x));
    tn_build_loop_end(b, &l);
    return tn_build_icmp(b, LLVMIntULT, tn_build_tree(b, l.out[0], TN_FOLD_UMAX),
                         tn_build_i32(b, 0x7f800000));
}

/* Computes o of a block, each row from only the positions that it sees. This is rare, so the code is short,
 * not fast. */
static void values_one_by_one(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block,
                              LLVMValueRef v) {
    TnLoop cols = tn_build_loop(b, tn_build_i64(b, 0), run->cols, 1);
    LLVMValueRef lo, hi, record = record_at(b, a, block);
    range_of(b, a, run, tn_build_udiv(b, cols.i, tn_build_i64(b, a->group)), block, &lo, &hi);
    LLVMValueRef p = tn_build_elem(b, record, cols.i, TN_PAGE * 4),
                 o = tn_build_elem(b, a->block, cols.i, a->head * 4);
    TnLoop dims = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->head), 1);
    TnLoop l = tn_build_loop(b, lo, tn_build_add(b, hi, tn_build_i64(b, 1)), 1);
    LLVMValueRef acc = tn_build_carry(b, &l, LLVMConstNull(b->t_f32));
    LLVMValueRef y = tn_build_elem(b, tn_build_elem(b, v, l.i, a->head * 4), dims.i, 4);
    LLVMValueRef x = tn_build_load(b, b->t_f32, tn_build_elem(b, p, l.i, 4), 4);
    tn_build_next(&l, 0, tn_build_fma(b, x, tn_build_load(b, b->t_f32, y, 4), acc));
    tn_build_loop_end(b, &l);
    tn_build_store(b, l.out[0], tn_build_elem(b, o, dims.i, 4), 4);
    tn_build_loop_end(b, &dims);
    tn_build_loop_end(b, &cols);
}

/* O = O + (o + 0) * w. */
static void values(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block) {
    LLVMValueRef record = record_at(b, a, block), lo[2], hi[2];
    LLVMValueRef v = tn_attend_page(b, a, a->v, run->pages, block, run->kv_head);
    v = widen(b, a, v, a->values);
    range_of(b, a, run, tn_build_i64(b, 0), block, &lo[0], &hi[0]);
    range_of(b, a, run, tn_build_sub(b, run->n, tn_build_i64(b, 1)), block, &lo[1], &hi[1]);
    LLVMValueRef whole = tn_build_and(b, tn_build_icmp(b, LLVMIntSGE, hi[0], tn_build_i64(b, TN_PAGE - 1)),
                                      tn_build_icmp(b, LLVMIntSLE, lo[1], tn_build_i64(b, 0)));
    LLVMBasicBlockRef look = tn_build_block(b, "look"), fast = tn_build_block(b, "fast"),
                      slow = tn_build_block(b, "slow"), add = tn_build_block(b, "add");
    tn_build_branch(b, whole, fast, look);
    tn_build_enter(b, look);
    LLVMValueRef finite = all_finite(b, a, v);
    tn_build_branch(b, finite, fast, slow);
    tn_build_enter(b, slow);
    values_one_by_one(b, a, run, block, v);
    tn_build_jump(b, add);
    tn_build_enter(b, fast);
    multiply(b, a->head, TN_PAGE, v, record, a->block, run->cols);
    tn_build_jump(b, add);
    tn_build_enter(b, add);

    TnLoop cols = tn_build_loop(b, tn_build_i64(b, 0), run->cols, 1);
    LLVMValueRef w =
        tn_build_load(b, b->t_f32, tn_build_elem(b, tn_build_atc(b, record, max_at(a)), cols.i, 4), 4);
    LLVMValueRef from = tn_build_elem(b, a->block, cols.i, a->head * 4),
                 to = tn_build_elem(b, a->all, cols.i, a->head * 4);
    pieces(b, weighed, a->head, from, to, w);
    tn_build_loop_end(b, &cols);
}

static void run_rows(TnBuilder *b, const TnAttend *a, Run *run) {
    LLVMValueRef zero = tn_build_i64(b, 0), one = tn_build_i64(b, 1), page = tn_build_i64(b, TN_PAGE);
    LLVMValueRef slot = tn_attend_int(b, tn_build_operand_row(b, a->slot, run->row));
    run->pos = tn_attend_int(b, tn_build_operand_row(b, a->pos, run->row));
    run->pages = tn_build_elem(b, tn_build_operand(b, a->table), tn_build_mul(b, slot, b->sym[TN_P]), 4);
    run->cols = tn_build_mul(b, run->n, tn_build_i64(b, a->group));
    run->b0 = tn_build_udiv(b, first_of(b, a, run, zero), page);
    LLVMValueRef last = tn_build_add(b, run->pos, tn_build_sub(b, run->n, one));
    run->end = tn_build_add(b, tn_build_udiv(b, last, page), one);
    pack_queries(b, a, run);
    TnLoop l = tn_build_loop(b, zero, tn_build_mul(b, run->cols, tn_build_i64(b, a->head)), TN_LANES);
    tn_build_store(b, LLVMConstNull(b->t_f32x), tn_build_elem(b, a->all, l.i, 4), 64);
    tn_build_loop_end(b, &l);
    l = tn_build_loop(b, run->b0, run->end, 1);
    scores(b, a, run, l.i);
    tn_build_loop_end(b, &l);
    weights(b, a, run);
    l = tn_build_loop(b, run->b0, run->end, 1);
    values(b, a, run, l.i);
    tn_build_loop_end(b, &l);

    TnLoop rows = tn_build_loop(b, zero, run->n, 1);
    LLVMValueRef y = tn_build_operand_row(b, b->k->root, tn_build_add(b, run->row, rows.i));
    y = tn_build_elem(b, y, run->kv_head, a->group * a->head * 4);
    TnLoop heads = tn_build_loop(b, zero, tn_build_i64(b, a->group), 1);
    LLVMValueRef col = tn_build_add(b, tn_build_mul(b, rows.i, tn_build_i64(b, a->group)), heads.i);
    LLVMValueRef sum = tn_build_load(b, b->t_f32, tn_build_elem(b, a->divide, col, 4), 4);
    LLVMValueRef from = tn_build_elem(b, a->all, col, a->head * 4),
                 to = tn_build_elem(b, y, heads.i, a->head * 4);
    pieces(b, divided, a->head, from, to, sum);
    tn_build_loop_end(b, &heads);
    tn_build_loop_end(b, &rows);
}

/* ---- Units to runs */

/* The row of unit s of a kv head. Whole chunks of a->rows rows come from the front and from the back in turn;
 * the rows after the last whole chunk come at the end. */
static LLVMValueRef row_of(TnBuilder *b, const TnAttend *a, LLVMValueRef s, LLVMValueRef whole) {
    LLVMValueRef rows = tn_build_i64(b, a->rows), one = tn_build_i64(b, 1);
    LLVMValueRef chunk = tn_build_udiv(b, s, rows), half = tn_build_lshr(b, chunk, one);
    LLVMValueRef back = tn_build_sub(b, tn_build_sub(b, whole, one), half);
    LLVMValueRef odd = tn_build_trunc(b, chunk, b->t_i1);
    LLVMValueRef from = tn_build_select(b, odd, back, half);
    LLVMValueRef row = tn_build_add(b, tn_build_mul(b, from, rows), tn_build_urem(b, s, rows));
    return tn_build_select(b, tn_build_icmp(b, LLVMIntSLT, chunk, whole), row, s);
}

/* How many of the `most` rows from `row` on form a run: one slot, consecutive positions. */
static LLVMValueRef run_length(TnBuilder *b, const TnAttend *a, LLVMValueRef row, LLVMValueRef most) {
    LLVMValueRef one = tn_build_i64(b, 1);
    LLVMValueRef slot = tn_attend_int(b, tn_build_operand_row(b, a->slot, row)),
                 pos = tn_attend_int(b, tn_build_operand_row(b, a->pos, row));
    LLVMBasicBlockRef before = tn_build_here(b), head = tn_build_block(b, "scan"),
                      body = tn_build_block(b, "same"), done = tn_build_block(b, "run");
    tn_build_jump(b, head);
    tn_build_enter(b, head);
    LLVMValueRef n = tn_build_phi(b, b->t_i64, "n");
    tn_build_branch(b, tn_build_icmp(b, LLVMIntSLT, n, most), body, done);
    tn_build_enter(b, body);
    LLVMValueRef at = tn_build_add(b, row, n), more = tn_build_add(b, n, one);
    LLVMValueRef same = tn_build_and(
        b, tn_build_icmp(b, LLVMIntEQ, tn_attend_int(b, tn_build_operand_row(b, a->slot, at)), slot),
        tn_build_icmp(b, LLVMIntEQ, tn_attend_int(b, tn_build_operand_row(b, a->pos, at)),
                      tn_build_add(b, pos, n)));
    tn_build_branch(b, same, head, done);
    LLVMAddIncoming(n, &one, &before, 1);
    LLVMAddIncoming(n, &more, &body, 1);
    tn_build_enter(b, done);
    return n;
}

void tn_attend_rows(TnBuilder *b, const TnAttend *a) {
    LLVMValueRef total = tn_build_rows(b, b->k->root), rows = tn_build_i64(b, a->rows);
    LLVMValueRef whole = tn_build_udiv(b, total, rows);
    LLVMBasicBlockRef before = tn_build_here(b), next = tn_build_block(b, "next"),
                      body = tn_build_block(b, "body"), many = tn_build_block(b, "many"),
                      single = tn_build_block(b, "single"), exit = tn_build_block(b, "exit");
    tn_build_jump(b, next);
    tn_build_enter(b, next);
    LLVMValueRef u = tn_build_phi(b, b->t_i64, "u");
    LLVMAddIncoming(u, &b->lo, &before, 1);
    tn_build_branch(b, tn_build_icmp(b, LLVMIntSLT, u, b->hi), body, exit);

    tn_build_enter(b, body);
    Run run = {.kv_head = tn_build_udiv(b, u, total)};
    LLVMValueRef s = tn_build_urem(b, u, total);
    run.row = row_of(b, a, s, whole);
    /* A run stays within its tile, its kv head and its chunk. */
    LLVMValueRef most = tn_build_min(b, tn_build_sub(b, b->hi, u), tn_build_sub(b, total, s));
    most = tn_build_min(b, most, tn_build_sub(b, rows, tn_build_urem(b, s, rows)));
    run.n = run_length(b, a, run.row, most);
    LLVMValueRef enough = tn_build_i64(b, (LEAST_COLS + a->group - 1) / a->group);
    tn_build_branch(b, tn_build_icmp(b, LLVMIntSGE, run.n, enough), many, single);

    tn_build_enter(b, many);
    run_rows(b, a, &run);
    LLVMValueRef u_many = tn_build_add(b, u, run.n);
    LLVMBasicBlockRef many_end = tn_build_here(b);
    tn_build_jump(b, next);
    tn_build_enter(b, single);
    tn_attend_row(b, a, run.row, run.kv_head);
    LLVMValueRef u_single = tn_build_add(b, u, tn_build_i64(b, 1));
    LLVMBasicBlockRef single_end = tn_build_here(b);
    tn_build_jump(b, next);
    LLVMAddIncoming(u, &u_many, &many_end, 1);
    LLVMAddIncoming(u, &u_single, &single_end, 1);
    tn_build_enter(b, exit);
}
