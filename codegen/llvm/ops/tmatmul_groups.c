/* tmatmul_groups over r64. Rows of weights are lanes, so a group's sums lie in the same order as their
 * scales.
 *
 * beside.c has the lines and the sums of a group, for every kind of dot product. After the lines of a group come its scales,
 * f16, in the order of rows. y = fma((float)acc, s*d, y) is three operations for 16 rows and a group, in the order that the op
 * defines.
 *
 * This file has the kernels of one to TN_FEW rows. A pass multiplies the planes of a line by some rows of
 * activations, with four sums in registers for each. Up to six rows, or two where registers are few or sums narrow,
 * are a single pass. More rows take several passes over each group, of which the later ones read its weights from
 * L1, so that memory is read during all of them. The results are kept in memory, in L1, since they are touched only
 * once a group. If registers are narrower than a line, each takes a piece of it: all pieces at once for one row of
 * activations, one after the other for more.
 *
 * Kernels of more rows unpack the weights first (tmatmul_groups_many.c). On level amx they use tiles
 * (tmatmul_groups_amx.c); kernels of one to TN_FEW rows use the code for VNNI. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"
#include "ir/r64.h"
#include "ir/range.h"

enum {
    SMALL_ROWS = 48, /* rows of activations of a block where passes take 3 rows */
    BLOCK_ROWS = 64  /* and on the other levels */
};

/* Rows of activations of a pass; if there are several passes. */
static int most_rows(TnBuilder *b) {
    return tn_level_narrow(b->level) || tn_level_few_registers(b->level) ? 2 : 4;
}

/* Whether n rows are a single pass. 6 rows of 16 lanes have 24 sums. */
static bool single(TnBuilder *b, int n) {
    return n <= (most_rows(b) == 4 ? TN_BESIDE_PASS : 2);
}

static int lanes_of(TnBuilder *b) {
    return b->level->bytes / 4;
}

/* The sums over a group of columns. */
static void group_sums(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef *sum) {
    int group = (int)p->w->group, n = p->n_x * p->pieces * 4;
    int most = tn_level_narrow(b->level) && group > TN_BESIDE_NARROW ? TN_BESIDE_NARROW : group;
    tn_beside_sums(b, p, most, w, x, sum);
    for (int lo = most; lo < group; lo += most) {
        LLVMValueRef more[TN_LOOP_CARRIES];
        tn_beside_sums(b, p, most, tn_build_atc(b, w, lo / 4 * TN_LINE), tn_build_atc(b, x, lo), more);
        for (int i = 0; i < n; i++) sum[i] = tn_build_add(b, sum[i], more[i]);
    }
}

/* y = fma((float)acc, s*d, y) for each sum. `scales`, and `at` in each row of results, belong to the first
 * lane of the pieces. */
static void add_group(TnBuilder *b, const TnBeside *p, LLVMValueRef x, LLVMValueRef number,
                      LLVMValueRef scales, LLVMValueRef at, LLVMValueRef *sum) {
    int lanes = lanes_of(b), n = p->pieces * 4;
    LLVMTypeRef halves = LLVMVectorType(b->t_i16, (unsigned)lanes),
                floats = LLVMVectorType(b->t_f32, (unsigned)lanes);
    LLVMValueRef s[16];
    for (int i = 0; i < n; i++) { /* i = 4h + q: rows of weights from 16q + h * lanes on */
        int64_t row = 16 * (i % 4) + i / 4 * lanes;
        s[i] = tn_build_widen_f16(b, tn_build_load(b, halves, tn_build_atc(b, scales, 2 * row), 2));
    }
    for (int i = 0; i < n; i++) {
        LLVMValueRef y[8], to[8];
        int q = i % 4;
        for (int r = 0; r < p->n_x;
             r++) { /* read all before any is written: the last row may be there twice */
            LLVMValueRef head = tn_build_elem(b, tn_beside_row(b, p, x, r), number, 4), acc = sum[r * n + i];
            LLVMValueRef d = tn_build_splat(b, tn_build_load(b, b->t_f32, head, 4), lanes);
            LLVMValueRef minus = tn_build_load(b, b->t_i32, tn_build_atc(b, head, p->head / 2), 4);
            if (q && b->level->dot == TN_DOT_VNNI)
                acc = tn_build_ashr(b, acc, tn_build_splat_const(b, tn_build_i32(b, 2 * q), lanes));
            acc = tn_build_si_to_fp(b, tn_build_sub(b, acc, tn_build_splat(b, minus, lanes)), floats);
            to[r] = tn_build_at(b, tn_build_atc(b, p->out[r], 4 * (16 * q + i / 4 * lanes)), at);
            y[r] = tn_build_fma(b, acc, tn_build_fmul(b, s[i], d), tn_build_load(b, floats, to[r], 4));
        }
        for (int r = 0; r < p->n_x; r++) tn_build_store(b, y[r], to[r], 4);
    }
}

static void zero(TnBuilder *b, const TnBeside *p, LLVMValueRef at) {
    int lanes = lanes_of(b);
    LLVMValueRef none = LLVMConstNull(LLVMVectorType(b->t_f32, (unsigned)lanes));
    for (int r = 0; r < p->n_x; r++)
        for (int i = 0; i < p->pieces * 4; i++) {
            LLVMValueRef to = tn_build_atc(b, p->out[r], 4 * (16 * (i % 4) + i / 4 * lanes));
            tn_build_store(b, none, tn_build_at(b, to, at), 4);
        }
}

/* The next group for the rows of a pass; its weights begin at w, its codes in the first row at `codes`. `at`: bytes in
 * each row of results, `piece` of them within the block. */
static void pass(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef codes,
                 LLVMValueRef number, LLVMValueRef at, LLVMValueRef piece) {
    int64_t bytes = (int64_t)tn_r64_group_bytes(p->w->group);
    LLVMValueRef sum[TN_LOOP_CARRIES], scales = tn_build_atc(b, w, bytes - 2 * TN_BESIDE);
    group_sums(b, p, tn_build_at(b, w, piece), codes, sum);
    for (int i = 0; i < 2 * TN_BESIDE; i += TN_LINE) tn_build_ahead(b, tn_build_atc(b, scales, i));
    scales =
        tn_build_at(b, scales, tn_build_lshr(b, piece, tn_build_i64(b, 1))); /* 2 bytes each, sums have 4 */
    add_group(b, p, x, number, scales, at, sum);
}

/* A TnBesideBlockFn. */
static void block(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef at) {
    TnLoop h = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LINE), p->pieces * b->level->bytes);
    LLVMValueRef here = tn_build_add(b, at, h.i), codes = tn_build_atc(b, x, p->head);
    zero(b, p, here);
    TnLoop g = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, tn_type_row_scales(p->w)), 1);
    LLVMValueRef from = tn_build_walk(b, &g, w, (int64_t)tn_r64_group_bytes(p->w->group));
    codes = tn_build_walk(b, &g, codes, p->w->group);
    pass(b, p, from, x, codes, g.i, here, h.i);
    tn_build_loop_end(b, &g);
    tn_build_loop_end(b, &h);
}

static TnBeside product_of(TnBuilder *b, int n_x) {
    TnBeside p = tn_beside_of(b, tn_tmatmul_weights(b), n_x);
    p.head = 2 * (int64_t)tn_q8g_part(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type);
    return p;
}

/* The function for n rows in a single pass. */
static LLVMValueRef function(TnBuilder *b, int n) {
    TnBeside p = product_of(b, n);
    char name[96];
    snprintf(name, sizeof name, "tmatmul_groups_k%lld_%u_%d", (long long)p.w->dim[1], p.w->group, n);
    return tn_beside_function(b, &p, name, sizeof name, block);
}

/* Where the rows of a function with several passes begin. */
typedef struct Turns {
    LLVMValueRef x, codes, out, stride; /* codes: of the group at hand */
    LLVMValueRef w, number, at, piece;  /* as in `pass` */
} Turns;

/* A pass of n rows from row `first` (i64) on; without w, the results of these rows become zero. */
static void turn(TnBuilder *b, const Turns *t, LLVMValueRef first, int n) {
    TnBeside p = product_of(b, n);
    p.pieces = 1;
    p.last = tn_build_i64(b, (n - 1) * p.row_bytes);
    for (int r = 0; r < n; r++) {
        LLVMValueRef row = tn_build_add(b, first, tn_build_i64(b, r));
        p.out[r] = tn_build_at(b, t->out, tn_build_mul(b, t->stride, row));
    }
    if (!t->w) {
        zero(b, &p, t->at);
        return;
    }
    pass(b, &p, t->w, tn_build_elem(b, t->x, first, p.row_bytes),
         tn_build_elem(b, t->codes, first, p.row_bytes), t->number, t->at, t->piece);
}

/* The passes over a group: as many rows at a time as a pass takes, then the rest. */
static void turns(TnBuilder *b, const Turns *t, LLVMValueRef rows) {
    int most = most_rows(b);
    LLVMValueRef rest = tn_build_and(b, rows, tn_build_i64(b, most - 1)), whole = tn_build_sub(b, rows, rest);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), whole, most);
    turn(b, t, l.i, most);
    tn_build_loop_end(b, &l);
    for (int n = 1; n < most; n++) {
        bool some = false; /* numbers of rows that leave n */
        for (int all = n; all <= TN_FEW; all += most) some |= !single(b, all);
        if (!some) continue;
        TnIf is = tn_build_if_between(b, rest, n, n);
        turn(b, t, whole, n);
        tn_build_if_end(b, &is);
    }
}

/* The function for more rows than a single pass takes, up to TN_FEW, with the parameters of tn_beside_function. */
static LLVMValueRef turns_function(TnBuilder *b) {
    TnBeside p = product_of(b, 1);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64};
    LLVMValueRef fn, none = tn_build_i64(b, 0);
    char name[96];
    snprintf(name, sizeof name, "tmatmul_groups_k%lld_%u_turns", (long long)p.w->dim[1], p.w->group);
    tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    Turns t = {.x = LLVMGetParam(fn, 2), .out = LLVMGetParam(fn, 4), .stride = LLVMGetParam(fn, 5)};
    LLVMValueRef rows = LLVMGetParam(fn, 3), codes = tn_build_atc(b, t.x, p.head);
    TnLoop l = tn_build_loop(b, none, LLVMGetParam(fn, 1), 1);
    LLVMValueRef w = tn_build_walk(b, &l, LLVMGetParam(fn, 0), TN_BESIDE * (int64_t)tn_row_bytes(p.w));
    TnLoop h = tn_build_loop(b, none, tn_build_i64(b, TN_LINE), b->level->bytes);
    t.at = tn_build_add(b, tn_build_mul(b, l.i, tn_build_i64(b, 4 * TN_BESIDE)), h.i), t.piece = h.i;
    TnLoop r = tn_build_loop(b, none, rows, 1);
    turn(b, &t, r.i, 1);
    tn_build_loop_end(b, &r);
    TnLoop g = tn_build_loop(b, none, tn_build_i64(b, tn_type_row_scales(p.w)), 1);
    t.w = tn_build_walk(b, &g, w, (int64_t)tn_r64_group_bytes(p.w->group));
    t.codes = tn_build_walk(b, &g, codes, p.w->group), t.number = g.i;
    turns(b, &t, rows);
    tn_build_loop_end(b, &g);
    tn_build_loop_end(b, &h);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

static bool has_many(TnBuilder *b) {
    return tn_build_most_rows(b, b->k->root) > TN_FEW;
}
static bool uses_tiles(TnBuilder *b) {
    return b->level->amx && has_many(b);
}

/* Rows of activations of a block. */
static int block_rows(TnBuilder *b) {
    bool small = tn_level_narrow(b->level) || tn_level_few_registers(b->level);
    int64_t most = tn_build_most_rows(b, b->k->root), rows = small ? SMALL_ROWS : BLOCK_ROWS;
    return (int)(most < rows ? most : rows);
}

/* Calls what multiplies n rows of activations, at most TN_FEW, for each n that the step may have. */
static void few(TnBuilder *b, LLVMValueRef *args, unsigned n_args) {
    TnDim rows = b->g->nodes[b->k->root].type.dim[0];
    bool step = tn_dim_is_sym(rows) && tn_dim_sym(rows) == TN_T;
    int most = (int)tn_build_most_rows(b, b->k->root);
    for (int n = step ? (int)b->g->rows_lo : 1, last; n <= most; n = last + 1) {
        for (last = n; !single(b, n) && last < most && !single(b, last + 1);) last++;
        TnIf is = tn_build_if_between(b, args[3], n, last);
        tn_build_call_function(b, single(b, n) ? function(b, n) : turns_function(b), args, n_args);
        tn_build_if_end(b, &is);
    }
}

static void product(TnBuilder *b, LLVMValueRef w, LLVMValueRef columns, const TnStrip *s, LLVMValueRef out,
                    LLVMValueRef stride) {
    LLVMValueRef blocks = tn_build_add(b, columns, tn_build_i64(b, TN_BESIDE - 1)), one = tn_build_i64(b, 1);
    blocks = tn_build_lshr(b, blocks, tn_build_i64(b, 6));
    if (has_many(b)) {
        LLVMValueRef buf = tn_build_atc(b, s->buf, tn_beside_buf(b, block_rows(b)));
        if (uses_tiles(b))
            tn_tmatmul_groups_amx(b, w, blocks, s->x, s->n_x, out, stride, buf);
        else
            tn_tmatmul_groups_many(b, w, blocks, s->x, s->n_x, out, stride, buf);
        return;
    }
    if (s->n_x) {
        LLVMValueRef args[] = {w, blocks, s->x, s->n_x, out, stride};
        few(b, args, TN_COUNT(args));
        return;
    }
    LLVMValueRef args[] = {w, blocks, s->x, one, out, one};
    tn_build_call_function(b, function(b, 1), args, TN_COUNT(args));
}

static void strips(TnBuilder *b, const TnStrip *s) {
    tn_beside_strips(b, s, product);
}

static void kernel(TnBuilder *b) {
    const TnType *w = tn_tmatmul_weights(b);
    int64_t buf = tn_beside_buf(b, block_rows(b));
    if (has_many(b)) buf += uses_tiles(b) ? tn_tmatmul_groups_amx_buf(w) : tn_tmatmul_groups_many_buf(w);
    TnStrips s = {.rows = block_rows(b), .buf = buf, .strip = strips, .strips = strips};
    tn_build_cols_kernel(b, &s);
}

static bool can_tmatmul_groups(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return g->nodes[g->nodes[ref].args[1]].type.enc == TN_ENC_r64;
}
const TnLlvmOp tn_llvm_op_tmatmul_groups = {.can = can_tmatmul_groups, .kernel = kernel};
