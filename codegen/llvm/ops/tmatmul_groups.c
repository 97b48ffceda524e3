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
    TOGETHER = 4,      /* lines of a turn of the inner loop */
    NARROW_MOST = 128, /* columns whose sums fit an int16 */
    BLOCK_ROWS = 48,   /* rows of activations; whole passes on every level */
    TILE_ROWS = 64     /* the same with tiles */
};

/* A product of n_x rows of activations with rows of w. */
typedef struct Product {
    const TnType *w;
    int n_x, pieces; /* rows of activations; pieces of a line that are summed together */
    int64_t row_bytes, part;
    LLVMValueRef last; /* bytes from the first row of activations to the last */
    LLVMValueRef out[8];
} Product;

/* Rows of activations of a pass. */
static int most_rows(TnBuilder *b) {
    return tn_level_narrow(b->level) ? 2 : 6;
}

/* The number of rows of the function that is used for n. */
static int rows_for(TnBuilder *b, int n) {
    return n <= 2 ? n : (n + 1) / 2 * 2 < most_rows(b) ? (n + 1) / 2 * 2 : most_rows(b);
}

static int lanes_of(TnBuilder *b) {
    return b->level->bytes / 4;
}

static LLVMValueRef row_of(TnBuilder *b, const Product *p, LLVMValueRef x, int r) {
    return r && r == p->n_x - 1 ? tn_build_at(b, x, p->last) : tn_build_atc(b, x, r * p->row_bytes);
}

static LLVMValueRef plane(TnBuilder *b, LLVMValueRef codes, int q) {
    if (b->level->dot != TN_DOT_VNNI) return tn_tmatmul_plane(b, codes, q);
    LLVMValueRef mask = LLVMConstInt(b->t_i8, 3ull << 2 * q, 0);
    return tn_build_and(b, codes, tn_build_splat_const(b, mask, b->level->bytes));
}

/* acc + the products of a plane and 4 codes; in int16 on narrow levels. */
static LLVMValueRef add_products(TnBuilder *b, LLVMValueRef acc, LLVMValueRef c, LLVMValueRef a) {
    a = tn_build_bitcast(b, a, tn_tmatmul_bytes(b));
    return tn_level_narrow(b->level) ? tn_build_narrow_add(b, acc, c, a) : tn_tmatmul_dot(b, acc, c, a);
}

/* The sums over `columns` columns: sum[(r * pieces + piece) * 4 + q]. w and x point at the first of them. */
static void sums_of(TnBuilder *b, const Product *p, int columns, LLVMValueRef w, LLVMValueRef x,
                    LLVMValueRef *sum) {
    int size = b->level->bytes, n = p->n_x * p->pieces * 4;
    bool narrow = tn_level_narrow(b->level);
    LLVMTypeRef type = narrow ? tn_build_narrow_type(b) : tn_tmatmul_ints(b);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, columns / 4), TOGETHER);
    for (int i = 0; i < n; i++) sum[i] = tn_build_carry(b, &l, LLVMConstNull(type));
    w = tn_build_walk(b, &l, w, TOGETHER * TN_LINE);
    x = tn_build_walk(b, &l, x, TOGETHER * 4);
    for (int j = 0; j < TOGETHER; j++) {
        LLVMValueRef c[4][4] = {{NULL}}, line = tn_build_atc(b, w, j * TN_LINE);
        tn_build_ahead(b, line);
        for (int h = 0; h < p->pieces; h++) {
            LLVMValueRef v =
                tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, line, h * size), (unsigned)size);
            for (int q = 0; q < 4; q++) c[h][q] = plane(b, v, q);
        }
        for (int r = 0; r < p->n_x; r++) {
            LLVMValueRef a = tn_build_load(b, b->t_i32, tn_build_atc(b, row_of(b, p, x, r), 4 * j), 4);
            a = tn_build_splat(b, a, lanes_of(b));
            for (int i = 0; i < p->pieces * 4; i++) {
                LLVMValueRef *s = &sum[r * p->pieces * 4 + i];
                *s = add_products(b, *s, c[i / 4][i % 4], a);
            }
        }
    }
    for (int i = 0; i < n; i++) tn_build_next(&l, i, sum[i]);
    tn_build_loop_end(b, &l);
    for (int i = 0; i < n; i++) sum[i] = narrow ? tn_build_narrow_widen(b, l.out[i]) : l.out[i];
}

/* The sums over a group of columns. */
static void group_sums(TnBuilder *b, const Product *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef *sum) {
    int group = (int)p->w->group, n = p->n_x * p->pieces * 4;
    int most = tn_level_narrow(b->level) && group > NARROW_MOST ? NARROW_MOST : group;
    sums_of(b, p, most, w, x, sum);
    for (int lo = most; lo < group; lo += most) {
        LLVMValueRef more[TN_LOOP_CARRIES];
        sums_of(b, p, most, tn_build_atc(b, w, lo / 4 * TN_LINE), tn_build_atc(b, x, lo), more);
        for (int i = 0; i < n; i++) sum[i] = tn_build_add(b, sum[i], more[i]);
    }
}

/* y = fma((float)acc, s*d, y) for each sum. `scales`, and `at` in each row of results, belong to the first
 * lane of the pieces. */
static void add_group(TnBuilder *b, const Product *p, LLVMValueRef x, LLVMValueRef number,
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
            LLVMValueRef head = tn_build_elem(b, row_of(b, p, x, r), number, 4), acc = sum[r * n + i];
            LLVMValueRef d = tn_build_splat(b, tn_build_load(b, b->t_f32, head, 4), lanes);
            LLVMValueRef minus = tn_build_load(b, b->t_i32, tn_build_atc(b, head, p->part), 4);
            if (q && b->level->dot == TN_DOT_VNNI)
                acc = tn_build_ashr(b, acc, tn_build_splat_const(b, tn_build_i32(b, 2 * q), lanes));
            acc = tn_build_si_to_fp(b, tn_build_sub(b, acc, tn_build_splat(b, minus, lanes)), floats);
            to[r] = tn_build_at(b, tn_build_atc(b, p->out[r], 4 * (16 * q + i / 4 * lanes)), at);
            y[r] = tn_build_fma(b, acc, tn_build_fmul(b, s[i], d), tn_build_load(b, floats, to[r], 4));
        }
        for (int r = 0; r < p->n_x; r++) tn_build_store(b, y[r], to[r], 4);
    }
}

static void zero(TnBuilder *b, const Product *p, LLVMValueRef at) {
    int lanes = lanes_of(b);
    LLVMValueRef none = LLVMConstNull(LLVMVectorType(b->t_f32, (unsigned)lanes));
    for (int r = 0; r < p->n_x; r++)
        for (int i = 0; i < p->pieces * 4; i++) {
            LLVMValueRef to = tn_build_atc(b, p->out[r], 4 * (16 * (i % 4) + i / 4 * lanes));
            tn_build_store(b, none, tn_build_at(b, to, at), 4);
        }
}

/* One block of 64 rows of weights at w; its results go to p->out[r] + at (i64 bytes). */
static void block(TnBuilder *b, const Product *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef at) {
    int64_t groups = tn_type_row_scales(p->w), bytes = (int64_t)tn_r64_group_bytes(p->w->group);
    LLVMValueRef sum[TN_LOOP_CARRIES];
    TnLoop h = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LINE), p->pieces * b->level->bytes);
    LLVMValueRef here = tn_build_add(b, at, h.i);
    LLVMValueRef from = tn_build_at(b, w, h.i), codes = tn_build_atc(b, x, 2 * p->part);
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

static Product product_of(TnBuilder *b, int n_x) {
    const TnNode *root = &b->g->nodes[b->k->root];
    const TnType *x = &b->g->nodes[root->args[0]].type;
    int pieces = b->level->dot == TN_DOT_SMLAL ? 2 : TN_LINE / b->level->bytes; /* whose sums fit registers */
    return (Product){.w = &b->g->nodes[root->args[1]].type,
                     .n_x = n_x,
                     .pieces = n_x == 1 ? pieces : 1,
                     .row_bytes = (int64_t)tn_row_bytes(x),
                     .part = (int64_t)tn_q8g_part(x)};
}

/* void (w, i64 blocks, x, i64 n_x, out, i64 stride): multiplies the blocks of 64 rows from w on by n_x rows
 * x, for every n_x with rows_for(n_x) == n. */
static LLVMValueRef function(TnBuilder *b, int n) {
    Product p = product_of(b, n);
    char name[96];
    snprintf(name, sizeof name, "tmatmul_groups_k%lld_%u_%d", (long long)p.w->dim[1], p.w->group, n);
    tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), blocks = LLVMGetParam(fn, 1), x = LLVMGetParam(fn, 2);
    LLVMValueRef last = tn_build_sub(b, LLVMGetParam(fn, 3), tn_build_i64(b, 1)), out = LLVMGetParam(fn, 4);
    p.last = tn_build_mul(b, last, tn_build_i64(b, p.row_bytes));
    for (int r = 0; r < n; r++)
        p.out[r] =
            tn_build_at(b, out, tn_build_mul(b, LLVMGetParam(fn, 5), r < n - 1 ? tn_build_i64(b, r) : last));
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), blocks, 1);
    LLVMValueRef at = tn_build_walk(b, &l, w, TN_BESIDE * (int64_t)tn_row_bytes(p.w));
    block(b, &p, at, x, tn_build_mul(b, l.i, tn_build_i64(b, 4 * TN_BESIDE)));
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

/* Whether the strips of all units begin at a block of rows of weights. */
static bool is_aligned(TnBuilder *b) {
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(b->g, b->kernel, parts);
    bool whole = b->k->grain % TN_BESIDE == 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < parts[i].n_bases; j++) whole &= parts[i].base[j] % TN_BESIDE == 0;
    return whole;
}

/* Floats of a row of `buf`, for strips that do not begin at a block. */
static int64_t wide(TnBuilder *b) {
    return (b->k->grain + 2 * TN_BESIDE - 2) / TN_BESIDE * TN_BESIDE;
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

/* Bytes of `buf` for strips that do not begin at a block: copies read whole blocks of 32 columns. */
static int64_t strip_buf(TnBuilder *b) {
    return is_aligned(b) ? 64 : (4 * (wide(b) * block_rows(b) + TN_LANES) + 63) / 64 * 64;
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
        LLVMValueRef buf = tn_build_atc(b, s->buf, strip_buf(b));
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

/* Copies n columns of each row of `from`, from column `lead` on, to acc. */
static void copy_rows(TnBuilder *b, const TnStrip *s, LLVMValueRef from, LLVMValueRef from_stride,
                      LLVMValueRef lead) {
    LLVMValueRef zero = tn_build_i64(b, 0), rows = s->n_x ? s->n_x : tn_build_i64(b, 1);
    TnLoop r = tn_build_loop(b, zero, rows, 1);
    LLVMValueRef in = tn_build_elem(b, tn_build_at(b, from, tn_build_mul(b, r.i, from_stride)), lead, 4),
                 out = s->acc;
    if (s->stride) out = tn_build_at(b, out, tn_build_mul(b, r.i, s->stride));
    TnLoop l = tn_build_loop(b, zero, s->n, TN_LANES);
    LLVMValueRef v = tn_build_load(b, b->t_f32x, tn_build_elem(b, in, l.i, 4), 4);
    tn_build_store(b, v, tn_build_elem(b, out, l.i, 4), 4);
    tn_build_loop_end(b, &l);
    tn_build_loop_end(b, &r);
}

static void strips(TnBuilder *b, const TnStrip *s) {
    if (is_aligned(b)) {
        product(b, s->w, s->n, s, s->acc, s->stride);
        return;
    }
    LLVMValueRef lead = tn_build_and(b, s->col, tn_build_i64(b, TN_BESIDE - 1)),
                 stride = tn_build_i64(b, 4 * wide(b));
    int64_t bytes = (int64_t)tn_row_bytes(product_of(b, 1).w);
    LLVMValueRef w = tn_build_at(b, s->w, tn_build_neg(b, tn_build_mul(b, lead, tn_build_i64(b, bytes))));
    product(b, w, tn_build_add(b, lead, s->n), s, s->buf, stride);
    copy_rows(b, s, s->buf, stride, lead);
}

static void kernel(TnBuilder *b) {
    const TnType *w = tn_tmatmul_weights(b);
    int64_t buf = strip_buf(b);
    if (has_many(b)) buf += uses_tiles(b) ? tn_tmatmul_groups_amx_buf(w) : tn_tmatmul_groups_many_buf(w);
    TnStrips s = {.rows = block_rows(b), .buf = buf, .strip = strips, .strips = strips};
    tn_build_cols_kernel(b, &s);
}

static bool can_tmatmul_groups(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return g->nodes[g->nodes[ref].args[1]].type.enc == TN_ENC_r64;
}
const TnLlvmOp tn_llvm_op_tmatmul_groups = {.can = can_tmatmul_groups, .kernel = kernel};
