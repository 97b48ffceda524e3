/* tmatmul with 2 to 8 rows of activations: the weights still stream from memory and are unpacked once for all rows.
 *
 * A block of `columns` rows of weights meets all rows of activations, as many as its sums have lanes for in one
 * register: n x columns <= lanes, so that one transposing tree ends a block. A line of each gives its four planes,
 * shifted down and masked, and a plane meets 64 activations of every row as they lie. Nothing is transposed: sums over
 * lanes wait until K is through. For 8 rows with VNNI, a line of 256 weights is 7 operations for its planes and 32
 * products on two ports, 19.5 cycles where products alone take 16; the tree is 45 operations for two columns, one
 * cycle a line more at K = 2560.
 *
 * L1 has to hold the activations (32 loads for each line and its neighbour), and 8 rows of 6912 are 55 KB. So K is
 * cut into stretches of which all rows take up to MOST_CODES, and a group of blocks goes through one stretch after
 * the other; its sums stand in memory meanwhile, a register for each. A stretch comes from L2 once a group.
 *
 *   VNNI, SDOT   sums of i32
 *   MADDUBS      (AVX2) sums of i16: a stretch is as many lines as they are proved to take (ir/range.h: 8), and
 *                ends with vpmaddwd
 *
 * Prefetches: the same lines of the next block into L1; and, as far as the work in a group has come, so far in the
 * next one into L2, in the order in which the lines lie in memory.
 *
 * There is one function for each number of rows: a row that is not there costs nothing. */
#include <stdio.h>
#include "codegen/llvm/ternary.h"
#include "ir/range.h"

enum {
    MOST_CODES = 22 << 10,  /* bytes of activations that stay in L1 */
    GROUP_BYTES = 16 << 10, /* weights of a group at least: how far ahead L2 is filled */
    LEAST_BLOCKS = 16,      /* of a group with stretches: so many share what a stretch costs to fetch */
};

typedef struct Plan {
    int n, columns, n_sums;            /* rows; columns of a block; sums, n * columns */
    int64_t lines, stretch, stretches; /* of a row; of a stretch, the last may have less */
    int64_t blocks;                    /* of a group */
} Plan;

static int lanes_of(TnLb *b) {
    return b->level->bytes / 4;
}

static int64_t at_least(int64_t n, int64_t d) {
    return (n + d - 1) / d;
}

static Plan plan_of(TnLb *b, int64_t k, int n) {
    TnDot dot = tn_llvm_dot(b->level, TN_FEW);
    int lanes = lanes_of(b);
    Plan p = {.n = n, .columns = lanes / n, .lines = at_least(k, TN_CODES)};
    if (b->level->dot == TN_DOT_SDOT) p.columns = n <= 6 ? 4 : 2; /* several trees: each has whole rows */
    p.n_sums = n * p.columns;
    int64_t most = MOST_CODES / (TN_CODES * n), fit = tn_range_widen(&dot, k);
    TN_CHECK(fit > 0);
    p.stretches = at_least(p.lines, fit < most ? fit : most);
    p.stretch = at_least(p.lines, p.stretches);
    p.blocks = at_least(GROUP_BYTES, p.columns * p.lines * TN_LINE);
    if (p.stretches > 1 && p.blocks < LEAST_BLOCKS) p.blocks = LEAST_BLOCKS;
    return p;
}

int64_t tn_tm_few_buf(TnLb *b, int64_t k) {
    int64_t most = 0;
    for (int n = 1; n <= TN_FEW; n++) {
        Plan p = plan_of(b, k, n);
        int64_t bytes = p.blocks * p.n_sums * b->level->bytes;
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Plane q of code bytes. */
static LLVMValueRef plane(TnLb *b, LLVMValueRef w, int q) {
    int size = b->level->bytes;
    if (q && b->level->dot == TN_DOT_SDOT) {
        w = LLVMBuildLShr(b->b, w, tn_lb_splat_const(b, LLVMConstInt(b->t_i8, 2 * (unsigned)q, 0), size), "");
        if (q == 3) return w;
    } else if (q) { /* no byte shifts; what comes in from the neighbour is masked away */
        LLVMTypeRef wide = LLVMVectorType(b->t_i16, (unsigned)size / 2);
        LLVMValueRef by = tn_lb_splat_const(b, LLVMConstInt(b->t_i16, 2 * (unsigned)q, 0), size / 2);
        w = LLVMBuildLShr(b->b, LLVMBuildBitCast(b->b, w, wide, ""), by, "");
        w = LLVMBuildBitCast(b->b, w, tn_tm_bytes(b), "");
    }
    return LLVMBuildAnd(b->b, w, tn_lb_splat_const(b, LLVMConstInt(b->t_i8, 3, 0), size), "");
}

/* A line of each column of a block against the rows at x: adds to sum[row * columns + column]. */
static void line(TnLb *b, const Plan *p, LLVMValueRef *w, LLVMValueRef x, LLVMValueRef *sum) {
    int size = b->level->bytes;
    int64_t row_bytes = TN_Q8_HEAD + p->lines * TN_CODES;
    for (int at = 0; at < TN_LINE; at += size) {
        LLVMValueRef codes[16], c[16];
        for (int j = 0; j < p->columns; j++)
            codes[j] = tn_lb_load(b, tn_tm_bytes(b), tn_lb_atc(b, w[j], at), (unsigned)size);
        for (int q = 0; q < 4; q++) {
            for (int j = 0; j < p->columns; j++) c[j] = plane(b, codes[j], q);
            for (int r = 0; r < p->n; r++) {
                LLVMValueRef a = tn_lb_load(
                    b, tn_tm_bytes(b), tn_lb_atc(b, x, r * row_bytes + q * TN_LINE + at), (unsigned)size);
                for (int j = 0; j < p->columns; j++) {
                    LLVMValueRef *s = &sum[r * p->columns + j], args[] = {c[j], a};
                    *s = b->level->dot == TN_DOT_MADDUBS
                             ? LLVMBuildAdd(b->b, *s,
                                            tn_lb_call(b, "llvm.x86.avx2.pmadd.ub.sw", NULL, 0, args, 2), "")
                             : tn_tm_dot(b, *s, c[j], a);
                }
            }
        }
    }
}

/* The end of a block: the sums over lanes of all its sums, and what they begin with, to its columns of all rows. Behind
 * them more may be written, which the next block puts right. */
static void finish(TnLb *b, const Plan *p, LLVMValueRef *sum, LLVMValueRef *minus, LLVMValueRef *to) {
    int lanes = lanes_of(b), wide = p->columns;
    while (wide & (wide - 1)) wide++; /* 3 and 5 columns: as 4 and 8 */
    for (int first = 0; first < p->n_sums; first += lanes) {
        LLVMValueRef part[16];
        for (int i = 0; i < lanes; i++)
            part[i] = first + i < p->n_sums ? sum[first + i] : LLVMConstNull(tn_tm_ints(b));
        LLVMValueRef all =
            LLVMBuildAdd(b->b, tn_lb_trees(b, part, lanes, TN_FOLD_ADD), minus[first / lanes], "");
        for (int r = first / p->columns; r < p->n && r * p->columns < first + lanes; r++) {
            int lane[16];
            for (int i = 0; i < wide; i++) lane[i] = (r * p->columns - first + i) % lanes;
            tn_lb_store(b, tn_lb_shuffle(b, all, all, lane, wide), to[r], 4);
        }
    }
}

/* void (w, i64 count, x, acc, i64 stride, buf) for n rows x */
static LLVMValueRef few_function(TnLb *b, int64_t k, int n) {
    char name[64];
    snprintf(name, sizeof name, "tmatmul_k%lld_few%d", (long long)k, n);
    LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
    if (fn) return fn;
    LLVMBasicBlockRef back = tn_lb_here(b);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr, b->t_i64, b->t_ptr};
    fn = tn_lb_function(b, name, params, 6, false);
    LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->c, fn, ""));
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), x = LLVMGetParam(fn, 2);
    LLVMValueRef acc = LLVMGetParam(fn, 3), stride = LLVMGetParam(fn, 4), buf = LLVMGetParam(fn, 5);
    Plan p = plan_of(b, k, n);
    bool narrow = b->level->dot == TN_DOT_MADDUBS, one = p.stretches == 1;
    int size = b->level->bytes, lanes = lanes_of(b);
    int64_t line_bytes = p.lines * TN_LINE, row_bytes = TN_Q8_HEAD + p.lines * TN_CODES;
    int64_t sums_bytes = (int64_t)p.n_sums * size, block_bytes = p.columns * line_bytes;
    LLVMTypeRef ints = tn_tm_ints(b),
                sum_type = narrow ? LLVMVectorType(b->t_i16, (unsigned)lanes * 2) : ints;
    LLVMValueRef zero = tn_lb_i64(b, 0), none = LLVMConstNull(ints);
    LLVMValueRef last = LLVMBuildSub(b->b, count, tn_lb_i64(b, 1), "");
    LLVMValueRef out[TN_FEW], minus[TN_FEW];
    for (int i = 0; i < TN_FEW; i++) minus[i] = none;
    for (int r = 0; r < n; r++) {
        out[r] = tn_lb_at(b, acc, LLVMBuildMul(b->b, stride, tn_lb_i64(b, r), ""));
        LLVMValueRef a =
            LLVMBuildNeg(b->b, tn_lb_load(b, b->t_i32, tn_lb_atc(b, x, r * row_bytes + 4), 4), "");
        for (int i = r * p.columns; i < (r + 1) * p.columns; i++)
            minus[i / lanes] = tn_lb_insert(b, minus[i / lanes], a, i % lanes);
    }
    x = tn_lb_atc(b, x, TN_Q8_HEAD);

    TnLoop g = tn_lb_loop(b, zero, count, p.blocks * p.columns);
    LLVMValueRef end = tn_lb_min(b, LLVMBuildAdd(b->b, g.i, tn_lb_i64(b, p.blocks * p.columns), ""), count);
    LLVMValueRef next =
        tn_lb_elem(b, w, LLVMBuildAdd(b->b, g.i, tn_lb_i64(b, p.blocks * p.columns), ""), line_bytes);
    LLVMValueRef sum[TN_LOOP_CARRIES], to[TN_FEW], row[16];
    TnLoop s = tn_lb_loop(b, zero, tn_lb_i64(b, p.stretches), 1);
    LLVMValueRef far = tn_lb_carry(b, &s, next);
    LLVMValueRef from = LLVMBuildMul(b->b, s.i, tn_lb_i64(b, p.stretch), "");
    LLVMValueRef upto = LLVMBuildAdd(b->b, from, tn_lb_i64(b, p.stretch), "");
    upto = tn_lb_min(b, upto, tn_lb_i64(b, p.lines));

    TnLoop j = tn_lb_loop(b, g.i, end, p.columns);
    LLVMValueRef far_block = tn_lb_carry(b, &j, far), held = tn_lb_carry(b, &j, buf);
    LLVMValueRef first_line = LLVMBuildMul(b->b, from, tn_lb_i64(b, TN_LINE), "");
    for (int i = 0; i < p.columns; i++) {
        LLVMValueRef c = i ? tn_lb_min(b, LLVMBuildAdd(b->b, j.i, tn_lb_i64(b, i), ""), last) : j.i;
        row[i] = tn_lb_at(b, tn_lb_elem(b, w, c, line_bytes), first_line);
    }
    LLVMValueRef again = LLVMBuildICmp(b->b, LLVMIntNE, s.i, zero, "");
    for (int i = 0; i < p.n_sums; i++) {
        sum[i] = LLVMConstNull(sum_type);
        if (one || narrow) continue;
        LLVMValueRef old = tn_lb_load(b, ints, tn_lb_atc(b, held, (int64_t)i * size), (unsigned)size);
        sum[i] = LLVMBuildSelect(b->b, again, old, none, "");
    }
    LLVMValueRef first_codes = tn_lb_elem(b, x, from, TN_CODES);
    TnLoop l = tn_lb_loop(b, from, upto, 1);
    for (int i = 0; i < p.n_sums; i++) sum[i] = tn_lb_carry(b, &l, sum[i]);
    LLVMValueRef codes = tn_lb_carry(b, &l, first_codes), ahead = tn_lb_carry(b, &l, far_block);
    LLVMValueRef off = LLVMBuildMul(b->b, LLVMBuildSub(b->b, l.i, from, ""), tn_lb_i64(b, TN_LINE), "");
    LLVMValueRef here[16];
    for (int i = 0; i < p.columns; i++) {
        here[i] = tn_lb_at(b, row[i], off);
        tn_lb_prefetch(b, tn_lb_atc(b, here[i], block_bytes), 1);
        tn_lb_prefetch(b, tn_lb_atc(b, ahead, i * TN_LINE), 2);
    }
    line(b, &p, here, codes, sum);
    for (int i = 0; i < p.n_sums; i++) tn_lb_next(&l, i, sum[i]);
    tn_lb_next(&l, p.n_sums, tn_lb_opaque(b, tn_lb_atc(b, codes, TN_CODES)));
    tn_lb_next(&l, p.n_sums + 1, tn_lb_opaque(b, tn_lb_atc(b, ahead, p.columns * TN_LINE)));
    tn_lb_loop_end(b, &l);
    LLVMValueRef ones = tn_lb_splat_const(b, LLVMConstInt(b->t_i16, 1, 0), size / 2);
    for (int i = 0; i < p.n_sums; i++) {
        LLVMValueRef at = tn_lb_atc(b, held, (int64_t)i * size), args[] = {l.out[i], ones};
        sum[i] = narrow ? tn_lb_call(b, "llvm.x86.avx2.pmadd.wd", NULL, 0, args, 2) : l.out[i];
        if (one) continue;
        if (narrow) {
            LLVMValueRef old =
                LLVMBuildSelect(b->b, again, tn_lb_load(b, ints, at, (unsigned)size), none, "");
            sum[i] = LLVMBuildAdd(b->b, sum[i], old, "");
        }
        tn_lb_store(b, sum[i], at, (unsigned)size);
    }
    for (int r = 0; r < n; r++) to[r] = tn_lb_elem(b, out[r], j.i, 4);
    if (one) finish(b, &p, sum, minus, to);
    tn_lb_next(&j, 0, l.out[p.n_sums + 1]);
    tn_lb_next(&j, 1, tn_lb_opaque(b, tn_lb_atc(b, held, sums_bytes)));
    tn_lb_loop_end(b, &j);
    tn_lb_next(&s, 0, j.out[0]);
    tn_lb_loop_end(b, &s);

    if (!one) {
        TnLoop e = tn_lb_loop(b, g.i, end, p.columns);
        LLVMValueRef at = tn_lb_carry(b, &e, buf);
        for (int i = 0; i < p.n_sums; i++)
            sum[i] = tn_lb_load(b, ints, tn_lb_atc(b, at, (int64_t)i * size), (unsigned)size);
        for (int r = 0; r < n; r++) to[r] = tn_lb_elem(b, out[r], e.i, 4);
        finish(b, &p, sum, minus, to);
        tn_lb_next(&e, 0, tn_lb_atc(b, at, sums_bytes));
        tn_lb_loop_end(b, &e);
    }
    tn_lb_loop_end(b, &g);
    LLVMBuildRetVoid(b->b);
    LLVMPositionBuilderAtEnd(b->b, back);
    return fn;
}

void tn_tm_few(TnLb *b, int64_t k, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef n_x,
               LLVMValueRef acc, LLVMValueRef stride, LLVMValueRef buf) {
    LLVMValueRef args[] = {w, n, x, acc, stride, buf};
    int64_t most = tn_lb_most_rows(b, b->k->root);
    TnDim rows = b->g->nodes[b->k->root].type.dim[0];
    bool step = most <= TN_FEW && tn_dim_is_sym(rows) && tn_dim_sym(rows) == TN_T; /* all of its rows */
    int least = step ? (int)b->g->rows_lo : 1;
    for (int i = least; i <= most && i <= TN_FEW; i++) {
        TnIf is = tn_lb_if(b, LLVMBuildICmp(b->b, LLVMIntEQ, n_x, tn_lb_i64(b, i), ""));
        tn_lb_call_function(b, few_function(b, k, i), args, 6);
        tn_lb_if_end(b, &is);
    }
}
