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
 * Both products are made of one small GEMM (attend_gemm.c). */
#include "codegen/llvm/ops/attend.h"

#include <math.h>

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
    a->cols = round_up(a->rows * a->group, TN_ATTEND_MOST_COLS);
    uint64_t heads = (uint64_t)round_up(a->cols * a->head, TN_LANES) * 4,
             page = (uint64_t)(TN_PAGE * a->head) * 4;
    a->query = tn_build_scratch(b, heads);
    if (a->size < 4) a->wide = tn_build_scratch(b, page);
    if (tn_attend_gives(b, a)) a->block = tn_build_scratch(b, heads);
    a->all = tn_build_scratch(b, heads);
    a->divide = tn_build_scratch(b, (uint64_t)round_up(a->cols, 16) * 4);
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

/* Copies n floats from x to y, and divides them by `divisor` if it is not NULL: 64 at a time, then in vectors of falling powers
 * of two. */
static void copy_lanes(TnBuilder *b, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef divisor) {
    x = tn_build_load(b, floats(b, lanes), x, 4);
    if (divisor) x = tn_build_fdiv(b, x, tn_build_splat(b, divisor, lanes));
    tn_build_store(b, x, y, 4);
}
static void copy_head(TnBuilder *b, int64_t n, LLVMValueRef x, LLVMValueRef y, LLVMValueRef divisor) {
    int64_t at = n / 64 * 64;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, at), 64);
    copy_lanes(b, 64, tn_build_elem(b, x, l.i, 4), tn_build_elem(b, y, l.i, 4), divisor);
    tn_build_loop_end(b, &l);
    for (int lanes = 32; lanes > 0; lanes /= 2) {
        if (at + lanes > n) continue;
        copy_lanes(b, lanes, tn_build_atc(b, x, at * 4), tn_build_atc(b, y, at * 4), divisor);
        at += lanes;
    }
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
    copy_head(b, a->head, x, y, NULL);
    tn_build_loop_end(b, &l);
    tn_build_loop_end(b, &rows);
}

/* Of n columns: replaces the 64 products q.k at `at` (64-aligned) by p, and stores the max of q.k * scale in *max and the
 * sum of p in *sum. If `masked`, positions lo..hi (i64) are unmasked; the others may hold anything. If there are none, the max
 * is -inf, and all p and the sum are +0. */
enum { AT, MAX, SUM, N, SCALE, LO, HI, PARAMS };
static void softmax_body(TnBuilder *b, LLVMValueRef fn, bool masked) {
    LLVMValueRef zero = tn_build_i64(b, 0), lo = masked ? LLVMGetParam(fn, LO) : NULL,
                 hi = masked ? LLVMGetParam(fn, HI) : NULL, x[2], s[2];
    /* Three loops, in which the trees of many columns overlap: a tree is a long chain of few operations. */
    TnLoop l = tn_build_loop(b, zero, LLVMGetParam(fn, N), 1);
    LLVMValueRef at = tn_build_elem(b, LLVMGetParam(fn, AT), l.i, TN_PAGE * 4);
    for (int i = 0; i < 2; i++) {
        x[i] = tn_build_atc(b, at, i * TN_LANES * 4);
        s[i] = tn_build_load(b, b->t_f32x, x[i], 64);
        s[i] = tn_build_fmul(b, s[i], tn_build_splat(b, LLVMGetParam(fn, SCALE), TN_LANES));
        tn_build_store(b, s[i], x[i], 64);
        if (masked) s[i] = tn_attend_unmasked(b, s[i], tn_build_i64(b, i * TN_LANES), lo, hi, -INFINITY);
    }
    LLVMValueRef m = tn_build_tree(b, tn_build_fmax(b, s[0], s[1]), TN_FOLD_FMAX);
    tn_build_store(b, m, tn_build_elem(b, LLVMGetParam(fn, MAX), l.i, 4), 4);
    tn_build_loop_end(b, &l);

    l = tn_build_loop(b, zero, LLVMGetParam(fn, N), 1);
    at = tn_build_elem(b, LLVMGetParam(fn, AT), l.i, TN_PAGE * 4);
    m = tn_build_load(b, b->t_f32, tn_build_elem(b, LLVMGetParam(fn, MAX), l.i, 4), 4);
    int lanes = b->level->bytes / 2; /* two registers at a time */
    TnLoop part = tn_build_loop(b, zero, tn_build_i64(b, TN_PAGE), lanes);
    at = tn_build_elem(b, at, part.i, 4);
    LLVMValueRef score = tn_build_load(b, LLVMVectorType(b->t_f32, (unsigned)lanes), at, (unsigned)lanes * 4);
    LLVMValueRef e = tn_build_exp(b, tn_build_fsub(b, score, tn_build_splat(b, m, lanes)));
    e = tn_build_fma(b, score, LLVMConstNull(LLVMTypeOf(e)), e); /* NaN if the score is not finite */
    if (masked) e = tn_attend_unmasked(b, e, part.i, lo, hi, 0.0f);
    tn_build_store(b, e, at, (unsigned)lanes * 4);
    tn_build_loop_end(b, &part);
    tn_build_loop_end(b, &l);

    l = tn_build_loop(b, zero, LLVMGetParam(fn, N), 1);
    at = tn_build_elem(b, LLVMGetParam(fn, AT), l.i, TN_PAGE * 4);
    for (int i = 0; i < 2; i++) s[i] = tn_build_load(b, b->t_f32x, tn_build_atc(b, at, i * TN_LANES * 4), 64);
    tn_build_store(b, tn_build_tree(b, tn_build_fadd(b, s[0], s[1]), TN_FOLD_FADD),
                   tn_build_elem(b, LLVMGetParam(fn, SUM), l.i, 4), 4);
    tn_build_loop_end(b, &l);
}

static void softmax(TnBuilder *b, LLVMValueRef args[PARAMS], bool masked) {
    LLVMTypeRef params[PARAMS] = {b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64, b->t_f32, b->t_i64, b->t_i64};
    unsigned n = masked ? PARAMS : LO;
    LLVMValueRef fn;
    LLVMBasicBlockRef back =
        tn_build_shared(b, masked ? "attend_softmax_masked" : "attend_softmax", params, n, &fn);
    if (back) {
        softmax_body(b, fn, masked);
        tn_build_shared_end(b, back);
    }
    tn_build_call_function(b, fn, args, n);
}

static LLVMValueRef record_at(TnBuilder *b, const TnAttend *a, LLVMValueRef block) {
    return tn_build_elem(b, a->records, block, tn_attend_rows_record(a));
}

/* i1: whether all rows of a run see all 64 positions of a block. */
static LLVMValueRef sees_all(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block) {
    LLVMValueRef lo[2], hi[2];
    range_of(b, a, run, tn_build_i64(b, 0), block, &lo[0], &hi[0]);
    range_of(b, a, run, tn_build_sub(b, run->n, tn_build_i64(b, 1)), block, &lo[1], &hi[1]);
    return tn_build_and(b, tn_build_icmp(b, LLVMIntSGE, hi[0], tn_build_i64(b, TN_PAGE - 1)),
                        tn_build_icmp(b, LLVMIntSLE, lo[1], tn_build_i64(b, 0)));
}

/* How many positions of a block the last row of a run sees, or more where there is a window. */
static LLVMValueRef seen(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block) {
    LLVMValueRef lo, hi, one = tn_build_i64(b, 1);
    range_of(b, a, run, tn_build_sub(b, run->n, one), block, &lo, &hi);
    return tn_build_add(b, hi, one);
}

static void scores(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block) {
    LLVMValueRef record = record_at(b, a, block), zero = tn_build_i64(b, 0);
    LLVMValueRef k = tn_attend_page(b, a, a->k, run->pages, block, run->kv_head);
    tn_attend_multiply_keys(b, a, k, record, run->cols, seen(b, a, run, block));
    LLVMValueRef maxima = tn_build_atc(b, record, max_at(a)), sums = tn_build_atc(b, record, sum_at(a));
    LLVMValueRef args[PARAMS] = {record, maxima, sums, run->cols, tn_build_f32(b, a->scale)};
    TnIf whole = tn_build_if(b, sees_all(b, a, run, block));
    softmax(b, args, false);
    tn_build_else(b, &whole);
    TnLoop rows = tn_build_loop(b, zero, run->n, 1);
    LLVMValueRef col = tn_build_mul(b, rows.i, tn_build_i64(b, a->group));
    args[AT] = tn_build_elem(b, record, col, TN_PAGE * 4);
    args[MAX] = tn_build_elem(b, maxima, col, 4);
    args[SUM] = tn_build_elem(b, sums, col, 4);
    args[N] = tn_build_i64(b, a->group);
    range_of(b, a, run, rows.i, block, &args[LO], &args[HI]);
    softmax(b, args, true);
    tn_build_loop_end(b, &rows);
    tn_build_if_end(b, &whole);
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
    LLVMValueRef x = tn_build_bits(b, tn_attend_load(b, a, tn_build_elem(b, v, l.i, a->size), 64));
    x = tn_build_and(b, x, tn_build_splat_const(b, tn_build_i32(b, 0x7fffffff), 64));
    tn_build_next(&l, 0, tn_build_max(b, most, x));
    tn_build_loop_end(b, &l);
    return tn_build_icmp(b, LLVMIntULT, tn_build_tree(b, l.out[0], TN_FOLD_UMAX),
                         tn_build_i32(b, 0x7f800000));
}

/* O = O + (o + 0) * w, each row from only the positions that it sees. This is rare, so the code is short, not fast. */
static void values_one_by_one(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block,
                              LLVMValueRef v) {
    TnLoop cols = tn_build_loop(b, tn_build_i64(b, 0), run->cols, 1);
    LLVMValueRef lo, hi, record = record_at(b, a, block);
    range_of(b, a, run, tn_build_udiv(b, cols.i, tn_build_i64(b, a->group)), block, &lo, &hi);
    LLVMValueRef p = tn_build_elem(b, record, cols.i, TN_PAGE * 4),
                 o = tn_build_elem(b, a->all, cols.i, a->head * 4);
    LLVMValueRef w =
        tn_build_load(b, b->t_f32, tn_build_elem(b, tn_build_atc(b, record, max_at(a)), cols.i, 4), 4);
    TnLoop dims = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->head), 1);
    TnLoop l = tn_build_loop(b, lo, tn_build_add(b, hi, tn_build_i64(b, 1)), 1);
    LLVMValueRef acc = tn_build_carry(b, &l, LLVMConstNull(b->t_f32));
    LLVMValueRef y = tn_build_elem(b, tn_build_elem(b, v, l.i, a->head * 4), dims.i, 4);
    LLVMValueRef x = tn_build_load(b, b->t_f32, tn_build_elem(b, p, l.i, 4), 4);
    tn_build_next(&l, 0, tn_build_fma(b, x, tn_build_load(b, b->t_f32, y, 4), acc));
    tn_build_loop_end(b, &l);
    LLVMValueRef to = tn_build_elem(b, o, dims.i, 4);
    acc = tn_build_fmul(b, tn_build_fadd(b, l.out[0], tn_build_f32(b, 0.0f)), w);
    tn_build_store(b, tn_build_fadd(b, tn_build_load(b, b->t_f32, to, 4), acc), to, 4);
    tn_build_loop_end(b, &dims);
    tn_build_loop_end(b, &cols);
}

/* O = O + (o + 0) * w. */
static void values(TnBuilder *b, const TnAttend *a, const Run *run, LLVMValueRef block) {
    LLVMValueRef record = record_at(b, a, block);
    LLVMValueRef v = tn_attend_page(b, a, a->v, run->pages, block, run->kv_head);
    LLVMBasicBlockRef look = tn_build_block(b, "look"), fast = tn_build_block(b, "fast"),
                      slow = tn_build_block(b, "slow"), done = tn_build_block(b, "done");
    tn_build_branch(b, sees_all(b, a, run, block), fast, look);
    tn_build_enter(b, look);
    LLVMValueRef finite = all_finite(b, a, v);
    tn_build_branch(b, finite, fast, slow);
    tn_build_enter(b, slow);
    values_one_by_one(b, a, run, block, tn_attend_widen(b, a, v));
    tn_build_jump(b, done);
    tn_build_enter(b, fast);
    tn_attend_multiply_values(b, a, v, record, tn_build_atc(b, record, max_at(a)), run->cols,
                              seen(b, a, run, block));
    tn_build_jump(b, done);
    tn_build_enter(b, done);
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
    copy_head(b, a->head, from, to, sum);
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
