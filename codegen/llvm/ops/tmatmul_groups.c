/* tmatmul_groups over r64. Rows of weights are lanes, so a group's sums lie in the same order as their
 * scales.
 *
 * A line of 64 bytes has 4 columns of 64 rows. The bytes of word r are those columns, and bits 2q and 2q + 1
 * of each byte belong to row 16q + r. So a masked plane of a line, multiplied by 4 broadcast codes of
 * activations, adds to the sums of 16 rows, and no sum is ever taken over lanes. After the lines of a group
 * come its scales, f16, in the order of rows. y = fma((float)acc, s*d, y) is three operations for 16 rows and
 * a group, in the order that the op defines.
 *
 *   VNNI     planes are masked, not shifted: acc[q] is 4^q times the sum, exact, and is shifted at the end of
 *            the group
 *   MADDUBS  (AVX2) planes are shifted down; pairs of products are added in int16, over 128 columns at most
 *            (32 additions of 762), then widened
 *   SDOT     (NEON) planes are shifted down, since codes must be signed
 *   SMLAL    likewise, with sums of int16 over 128 columns
 *
 * This file has the kernels of one to TN_FEW rows. The planes of a line are multiplied by as many rows of
 * activations as there are registers for, with four sums each. More rows take passes over the strip; the
 * later passes read its weights from L2. The results are kept in memory, in L1, since they are touched only
 * once a group. If registers are narrower than a line, each takes a piece of it: all pieces at once for one
 * row of activations, one after the other for more.
 *
 * Kernels of more rows unpack the weights first (tmatmul_groups_many.c). On level amx they use tiles
 * (tmatmul_groups_amx.c); kernels of one to TN_FEW rows use the code for VNNI. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"
#include "ir/r64.h"
#include "ir/range.h"

enum {
    BLOCK_ROWS = 48, /* rows of activations; whole passes on every level */
    TILE_ROWS = 64   /* the same with tiles */
};

/* Rows of activations of a pass. */
static int most_rows(TnBuilder *b) {
    return tn_level_narrow(b->level) || tn_level_few_registers(b->level) ? 2 : 6;
}

/* The number of rows of the function that is used for n. */
static int rows_for(TnBuilder *b, int n) {
    return n <= 2 ? n : (n + 1) / 2 * 2 < most_rows(b) ? (n + 1) / 2 * 2 : most_rows(b);
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

/* A TnBesideBlockFn. */
static void block(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef at) {
    int64_t groups = tn_type_row_scales(p->w), bytes = (int64_t)tn_r64_group_bytes(p->w->group);
    LLVMValueRef sum[TN_LOOP_CARRIES];
    TnLoop h = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LINE), p->pieces * b->level->bytes);
    LLVMValueRef here = tn_build_add(b, at, h.i);
    LLVMValueRef from = tn_build_at(b, w, h.i), codes = tn_build_atc(b, x, p->head);
    zero(b, p, here);
    TnLoop g = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, groups), 1);
    from = tn_build_walk(b, &g, from, bytes);
    codes = tn_build_walk(b, &g, codes, p->w->group);
    group_sums(b, p, from, codes, sum);
    LLVMValueRef scales = tn_build_at(b, w, tn_build_mul(b, g.i, tn_build_i64(b, bytes)));
    scales = tn_build_atc(b, scales, bytes - 2 * TN_BESIDE);
    for (int at = 0; at < 2 * TN_BESIDE; at += TN_LINE) tn_build_ahead(b, tn_build_atc(b, scales, at));
    scales =
        tn_build_at(b, scales, tn_build_lshr(b, h.i, tn_build_i64(b, 1))); /* 2 bytes each, sums have 4 */
    add_group(b, p, x, g.i, scales, here, sum);
    tn_build_loop_end(b, &g);
    tn_build_loop_end(b, &h);
}

static TnBeside product_of(TnBuilder *b, int n_x) {
    TnBeside p = tn_beside_of(b, n_x);
    p.head = 2 * (int64_t)tn_q8g_part(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type);
    return p;
}

/* The function for every n_x with rows_for(n_x) == n. */
static LLVMValueRef function(TnBuilder *b, int n) {
    TnBeside p = product_of(b, n);
    char name[96];
    snprintf(name, sizeof name, "tmatmul_groups_k%lld_%u_%d", (long long)p.w->dim[1], p.w->group, n);
    return tn_beside_function(b, &p, name, sizeof name, block);
}

static bool has_many(TnBuilder *b) {
    return tn_build_most_rows(b, b->k->root) > TN_FEW;
}
static bool uses_tiles(TnBuilder *b) {
    return b->level->amx && has_many(b);
}

/* Rows of activations of a block. */
static int block_rows(TnBuilder *b) {
    int64_t most = tn_build_most_rows(b, b->k->root), rows = uses_tiles(b) ? TILE_ROWS : BLOCK_ROWS;
    return (int)(most < rows ? most : rows);
}

/* The product with a few rows of activations, in passes. */
static void passes(TnBuilder *b, LLVMValueRef w, LLVMValueRef blocks, LLVMValueRef x, LLVMValueRef rows,
                   LLVMValueRef out, LLVMValueRef stride) {
    int most = most_rows(b);
    int64_t row_bytes = product_of(b, 1).row_bytes;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), rows, most);
    LLVMValueRef here = tn_build_min(b, tn_build_sub(b, rows, l.i), tn_build_i64(b, most));
    LLVMValueRef args[] = {w,
                           blocks,
                           tn_build_elem(b, x, l.i, row_bytes),
                           here,
                           tn_build_at(b, out, tn_build_mul(b, l.i, stride)),
                           stride};
    for (int i = 1; i <= most; i = rows_for(b, i) + 1) {
        TnIf is = tn_build_if_between(b, here, i, rows_for(b, i));
        tn_build_call_function(b, function(b, rows_for(b, i)), args, TN_COUNT(args));
        tn_build_if_end(b, &is);
    }
    tn_build_loop_end(b, &l);
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
        passes(b, w, blocks, s->x, s->n_x, out, stride);
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
