/* tmatmul over weights whose rows lie side by side. beside.c describes the lines of b64 and their sums,
 * tmatmul_base3.c those of b80, whose kernels differ in the block alone.
 *
 * Four columns of a row of activations are one broadcast, and serve 64 rows of weights. No sum is taken over
 * lanes, and a row of activations is read once for a block of weights, not once for each row of them. So one
 * row of activations costs 3 masks (with VNNI), a load of a line and 4 products for 256 weights, and N rows 3 masks and
 * 4 N products. Where masks and products share two ports, N = 6, with 24 sums, fills them to 8/9, and wholly where they do
 * not (AMD). 7 and 8 rows go in two passes, of two planes each, which make 3 masks and 32 products (beside.c).
 *
 *   VNNI     a sum over a whole row of weights, as long as 4^3 times it fits an i32; longer rows are shifted
 *   MADDUBS  (AVX2) and SMLAL: sums of int16 over 128 columns at most are added to those in the results
 *
 * Kernels of more rows unpack a strip first, as for p64 (tmatmul_rows.c). A plane of a line is a register of a panel already,
 * so that takes neither a transpose nor a second turn. With AVX-512 VNNI, unless the kernel has panels and more rows than a few
 * dozen, they unpack nothing: passes of six rows go over the packed bytes (tmatmul_packed.c). Strips that do not begin at a
 * block go in passes of a few rows. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"
#include "ir/r64.h"

static int lanes_of(TnBuilder *b) {
    return b->level->bytes / 4;
}

static int64_t columns_of(const TnType *w) {
    return (int64_t)tn_r64_columns(w);
}

static bool is_base3(TnBuilder *b) {
    return tn_tmatmul_weights(b)->enc == TN_ENC_b80;
}

/* Rows of activations of a pass. */
static int most_rows(TnBuilder *b) {
    if (is_base3(b)) return tn_base3_most_rows(b);
    return tn_level_narrow(b->level) || tn_level_few_registers(b->level) ? 2 : TN_BESIDE_PASS;
}

/* Stores a sum of products, of plane q, less the sum of the codes of activations. */
static void put(TnBuilder *b, const TnBeside *p, LLVMValueRef sum, LLVMValueRef minus, int q,
                LLVMValueRef to) {
    if (q && p->masked)
        sum = tn_build_ashr(b, sum, tn_build_splat_const(b, tn_build_i32(b, 2 * q), lanes_of(b)));
    tn_build_store(b, tn_build_sub(b, sum, minus), to, 4);
}

/* Where sum i of row r goes; `at`: bytes in each row of results. */
static LLVMValueRef place(TnBuilder *b, const TnBeside *p, int r, int i, LLVMValueRef at) {
    return tn_build_at(b, tn_build_atc(b, p->out[r], 4 * (16 * (i % 4) + i / 4 * lanes_of(b))), at);
}

/* The splat sum of codes of row r. */
static LLVMValueRef sum_of_codes(TnBuilder *b, const TnBeside *p, LLVMValueRef x, int r) {
    LLVMValueRef sum = tn_build_load(b, b->t_i32, tn_build_atc(b, tn_beside_row(b, p, x, r), 4), 4);
    return tn_build_splat(b, sum, lanes_of(b));
}

/* Adds the sums of `columns` columns to the results. */
static void add_narrow(TnBuilder *b, const TnBeside *p, int64_t columns, LLVMValueRef w, LLVMValueRef codes,
                       LLVMValueRef at) {
    LLVMValueRef sum[TN_LOOP_CARRIES];
    int n = p->pieces * 4;
    tn_beside_sums(b, p, columns, w, codes, sum);
    for (int r = 0; r < p->n_x; r++)
        for (int i = 0; i < n; i++) {
            LLVMValueRef to = place(b, p, r, i, at), old = tn_build_load(b, tn_tmatmul_ints(b), to, 4);
            tn_build_store(b, tn_build_add(b, old, sum[r * n + i]), to, 4);
        }
}

static void narrow_sums(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef at) {
    int64_t columns = columns_of(p->w), whole = columns / TN_BESIDE_NARROW, rest = columns % TN_BESIDE_NARROW;
    LLVMValueRef codes = tn_build_atc(b, x, p->head);
    for (int r = 0; r < p->n_x; r++) {
        LLVMValueRef first = tn_build_neg(b, sum_of_codes(b, p, x, r));
        for (int i = 0; i < p->pieces * 4; i++) tn_build_store(b, first, place(b, p, r, i, at), 4);
    }
    if (whole) {
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, whole), 1);
        LLVMValueRef from = tn_build_walk(b, &l, w, TN_BESIDE_NARROW / 4 * TN_LINE),
                     a = tn_build_walk(b, &l, codes, TN_BESIDE_NARROW);
        add_narrow(b, p, TN_BESIDE_NARROW, from, a, at);
        tn_build_loop_end(b, &l);
    }
    if (rest)
        add_narrow(b, p, rest, tn_build_atc(b, w, whole * TN_BESIDE_NARROW / 4 * TN_LINE),
                   tn_build_atc(b, codes, whole * TN_BESIDE_NARROW), at);
}

/* A TnBesideBlockFn. */
static void block(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef at) {
    LLVMValueRef sum[TN_LOOP_CARRIES];
    int n = p->pieces * 4;
    TnLoop h = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LINE), p->pieces * b->level->bytes);
    LLVMValueRef here = tn_build_add(b, at, h.i), from = tn_build_at(b, w, h.i);
    if (tn_level_narrow(b->level)) {
        narrow_sums(b, p, from, x, here);
    } else {
        tn_beside_sums(b, p, columns_of(p->w), from, tn_build_atc(b, x, p->head), sum);
        for (int r = 0; r < p->n_x; r++) {
            LLVMValueRef minus = sum_of_codes(b, p, x, r);
            for (int i = 0; i < n; i++) put(b, p, sum[r * n + i], minus, i % 4, place(b, p, r, i, here));
        }
    }
    tn_build_loop_end(b, &h);
}

LLVMValueRef tn_tmatmul_beside_function(TnBuilder *b, const TnType *w, int n) {
    TnBeside p = tn_beside_of(b, w, n);
    char name[96];
    p.head = TN_Q8_HEAD;
    p.near = w->enc != tn_tmatmul_weights(b)->enc; /* blocks made of p64 or b80 */
    p.masked &= w->dim[1] <= TN_MASKED_MOST;
    bool base3 = w->enc == TN_ENC_b80;
    snprintf(name, sizeof name, "tmatmul_%s_k%lld_%d", base3 ? "base3" : "beside", (long long)w->dim[1], n);
    return tn_beside_function(b, &p, name, sizeof name, base3 ? tn_base3_block : block);
}

/* The function for n rows. */
static LLVMValueRef function(TnBuilder *b, int n) {
    return tn_tmatmul_beside_function(b, tn_tmatmul_weights(b), n);
}

/* The `rows` (i64) rows of a strip from row `first` on, at least `least` and at most `most` of them. */
static void rows_from(TnBuilder *b, const TnStrip *s, LLVMValueRef w, LLVMValueRef blocks, LLVMValueRef first,
                      LLVMValueRef rows, int least, int most, LLVMValueRef out, LLVMValueRef stride) {
    int64_t row_bytes = tn_beside_of(b, tn_tmatmul_weights(b), 1).row_bytes;
    LLVMValueRef x = tn_build_elem(b, s->x, first, row_bytes),
                 to = tn_build_at(b, out, tn_build_mul(b, first, stride));
    LLVMValueRef args[] = {w, blocks, x, rows, to, stride};
    for (int i = least; i <= most; i++) {
        TnIf is = tn_build_if_between(b, rows, i, i);
        tn_build_call_function(b, function(b, i), args, TN_COUNT(args));
        tn_build_if_end(b, &is);
    }
}

/* The least number of rows of a pass. 6 rows at a time, at most 8 of a step, of which 7 and 8 are one pass, leave no others. */
static int least_rows(TnBuilder *b) {
    TnDim rows = b->g->nodes[b->k->root].type.dim[0];
    bool step =
        tn_build_most_rows(b, b->k->root) <= TN_FEW && tn_dim_is_sym(rows) && tn_dim_sym(rows) == TN_T;
    return step && most_rows(b) == TN_BESIDE_PASS ? (int)b->g->rows_lo : 1;
}

static void passes(TnBuilder *b, const TnStrip *s, LLVMValueRef w, LLVMValueRef blocks, LLVMValueRef out,
                   LLVMValueRef stride, int64_t top) {
    int most = most_rows(b);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), s->n_x, most);
    LLVMValueRef here = tn_build_min(b, tn_build_sub(b, s->n_x, l.i), tn_build_i64(b, most));
    rows_from(b, s, w, blocks, l.i, here, least_rows(b), top < most ? (int)top : most, out, stride);
    tn_build_loop_end(b, &l);
}

static void product(TnBuilder *b, LLVMValueRef w, LLVMValueRef columns, const TnStrip *s, LLVMValueRef out,
                    LLVMValueRef stride) {
    int64_t rows = tn_rows_together(tn_tmatmul_weights(b));
    LLVMValueRef blocks = tn_build_add(b, columns, tn_build_i64(b, rows - 1)), one = tn_build_i64(b, 1);
    blocks = tn_build_sdiv(b, blocks, tn_build_i64(b, rows));
    if (!s->n_x) {
        LLVMValueRef args[] = {w, blocks, s->x, one, out, one};
        tn_build_call_function(b, function(b, 1), args, TN_COUNT(args));
        return;
    }
    int64_t top = tn_build_most_rows(b, b->k->root);
    if (most_rows(b) < TN_BESIDE_PASS) {
        passes(b, s, w, blocks, out, stride, top);
        return;
    }
    TnIf is = tn_build_if_between(b, s->n_x, TN_BESIDE_PASS + 1, TN_FEW);
    rows_from(b, s, w, blocks, tn_build_i64(b, 0), s->n_x, TN_BESIDE_PASS + 1, TN_FEW, out, stride);
    tn_build_else(b, &is);
    passes(b, s, w, blocks, out, stride, top);
    tn_build_if_end(b, &is);
}

void tn_tmatmul_beside(TnBuilder *b, const TnStrip *s) {
    tn_beside_strips(b, s, product);
}

/* void (w, i64 blocks, panels) */
static LLVMValueRef prepare_function(TnBuilder *b) {
    int64_t k = tn_tmatmul_weights(b)->dim[1], panel = tn_tmatmul_panel_bytes(b, k),
            columns = columns_of(tn_tmatmul_weights(b));
    int64_t steps = tn_tmatmul_lines(k) * TN_CODES / 4, lines = columns / 4;
    int size = b->level->bytes, pieces = TN_LINE / size;
    char name[96];
    snprintf(name, sizeof name, "tmatmul_beside_panels_k%lld", (long long)k);
    tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef zero = tn_build_i64(b, 0);
    TnLoop l = tn_build_loop(b, zero, LLVMGetParam(fn, 1), 1);
    LLVMValueRef w = tn_build_walk(b, &l, LLVMGetParam(fn, 0), lines * TN_LINE),
                 to = tn_build_walk(b, &l, LLVMGetParam(fn, 2), 4 * pieces * panel);
    TnLoop i = tn_build_loop(b, zero, tn_build_i64(b, lines), 1);
    LLVMValueRef from = tn_build_walk(b, &i, w, TN_LINE), at = tn_build_walk(b, &i, to, size);
    tn_build_ahead(b, from);
    for (int h = 0; h < pieces; h++) {
        LLVMValueRef v =
            tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, from, h * size), (unsigned)size);
        for (int q = 0; q < 4; q++)
            tn_build_store(b, tn_tmatmul_plane(b, v, q), tn_build_atc(b, at, (q * pieces + h) * panel),
                           (unsigned)size);
    }
    tn_build_loop_end(b, &i);
    if (steps > lines) { /* the codes of activations there are 0 */
        TnLoop j = tn_build_loop(b, tn_build_i64(b, lines), tn_build_i64(b, steps), 1);
        LLVMValueRef end = tn_build_elem(b, to, j.i, size), none = LLVMConstNull(tn_tmatmul_bytes(b));
        for (int p = 0; p < 4 * pieces; p++)
            tn_build_store(b, none, tn_build_atc(b, end, p * panel), (unsigned)size);
        tn_build_loop_end(b, &j);
    }
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_beside_prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef panels) {
    LLVMValueRef blocks = tn_build_add(b, s->n, tn_build_i64(b, TN_BESIDE - 1));
    LLVMValueRef args[] = {s->w, tn_build_lshr(b, blocks, tn_build_i64(b, 6)), panels};
    tn_build_call_function(b, prepare_function(b), args, TN_COUNT(args));
}
