/* tmatmul_groups with many rows on AMX tiles: multiplies up to 32 rows of activations by blocks of 64 rows of
 * weights.
 *
 * A plane of 16 lines of r64 is, byte for byte, a right operand of tdpbsud: 16 rows of weights by 64 columns,
 * with four columns of each row side by side. So a group of n columns is unpacked (shifted and masked) into
 * n/64 x 4 tiles of 1 KB, which stay in L1. For each plane, two tiles of rows of activations, loaded in
 * place, are multiplied by its tiles. The sums of a group go through memory to registers, where they are
 * multiplied by their scales, as in tmatmul_groups.c. For 32 rows by 64 and groups of 128 that takes about
 * 200 cycles; the products take 256 and the unpacking 100.
 *
 * Tiles are values of LLVM's x86_amx type, as in tmatmul_amx.c. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"
#include "ir/r64.h"

enum { ROWS = 16, DEPTH = 64, TILE = ROWS * DEPTH, PLANES = 4, SUMS = PLANES * 2 * TILE };

int64_t tn_tmatmul_groups_amx_buf(const TnType *w) {
    return SUMS + w->group / DEPTH * PLANES * TILE;
}

/* The parameters of a call, and sizes that follow from the types. */
typedef struct Call {
    const TnType *w;
    int64_t row_bytes, part;
    int n;                    /* tiles of rows */
    LLVMValueRef rows;        /* i16: rows of each tile */
    LLVMValueRef n_x;         /* i64: rows of all tiles */
    LLVMValueRef x;           /* the first row of activations */
    LLVMValueRef out, stride; /* the first row of the block's results; bytes to the next one */
    LLVMValueRef sums, tiles; /* [plane][row][16] of i32; [step][plane] of tiles */
} Call;

static LLVMValueRef i16(TnBuilder *b, int v) {
    return LLVMConstInt(b->t_i16, (uint64_t)v, 0);
}

/* Unpacks the lines of a group into tiles. */
static void unpack(TnBuilder *b, const Call *c, LLVMValueRef lines) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, c->w->group / 4), 1);
    LLVMValueRef codes =
        tn_build_load(b, tn_tmatmul_bytes(b), tn_build_elem(b, lines, l.i, TN_LINE), TN_LINE);
    LLVMValueRef step = tn_build_lshr(b, l.i, tn_build_i64(b, 4)),
                 row = tn_build_and(b, l.i, tn_build_i64(b, ROWS - 1));
    LLVMValueRef to = tn_build_elem(b, tn_build_elem(b, c->tiles, step, PLANES * TILE), row, DEPTH);
    for (int q = 0; q < PLANES; q++)
        tn_build_store(b, tn_tmatmul_plane(b, codes, q), tn_build_atc(b, to, q * TILE), TN_LINE);
    tn_build_loop_end(b, &l);
}

/* Computes the sums of a group; its codes of activations begin at x. */
static void products(TnBuilder *b, const Call *c, LLVMValueRef x) {
    LLVMValueRef depth = tn_build_i64(b, DEPTH), x_stride = tn_build_i64(b, c->row_bytes);
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef sum[2] = {NULL};
        for (int i = 0; i < c->n; i++) {
            LLVMValueRef args[] = {c->rows, i16(b, DEPTH)};
            sum[i] = tn_build_call(b, "llvm.x86.tilezero.internal", NULL, 0, args, 2);
        }
        for (int s = 0; s < (int)c->w->group / DEPTH; s++) {
            LLVMValueRef p = tn_build_atc(b, c->tiles, (s * PLANES + q) * TILE);
            p = tn_tile_load(b, i16(b, ROWS), DEPTH, p, depth);
            for (int i = 0; i < c->n; i++) {
                LLVMValueRef from = tn_build_atc(b, x, i * ROWS * c->row_bytes + s * DEPTH);
                LLVMValueRef a = tn_tile_load(b, c->rows, DEPTH, from, x_stride);
                LLVMValueRef args[] = {c->rows, i16(b, DEPTH), i16(b, DEPTH), sum[i], a, p};
                sum[i] = tn_build_call(b, "llvm.x86.tdpbsud.internal", NULL, 0, args, 6);
            }
        }
        for (int i = 0; i < c->n; i++)
            tn_tile_store(b, c->rows, DEPTH, tn_build_atc(b, c->sums, (2 * q + i) * TILE), depth, sum[i]);
    }
}

/* y = fma((float)acc, s*d, y) for the sums of group `number`, which has these scales. */
static void add_sums(TnBuilder *b, const Call *c, LLVMValueRef scales, LLVMValueRef number) {
    LLVMTypeRef halves = LLVMVectorType(b->t_i16, ROWS), floats = LLVMVectorType(b->t_f32, ROWS);
    LLVMValueRef s[PLANES];
    for (int q = 0; q < PLANES; q++)
        s[q] = tn_build_widen_f16(b, tn_build_load(b, halves, tn_build_atc(b, scales, 2 * ROWS * q), 2));
    TnLoop r = tn_build_loop(b, tn_build_i64(b, 0), c->n_x, 1);
    LLVMValueRef head = tn_build_elem(b, tn_build_elem(b, c->x, r.i, c->row_bytes), number, 4);
    LLVMValueRef d = tn_build_splat(b, tn_build_load(b, b->t_f32, head, 4), ROWS);
    LLVMValueRef minus = tn_build_load(b, b->t_i32, tn_build_atc(b, head, c->part), 4);
    LLVMValueRef to = tn_build_at(b, c->out, tn_build_mul(b, c->stride, r.i));
    LLVMValueRef from = tn_build_elem(b, c->sums, r.i, DEPTH);
    minus = tn_build_splat(b, minus, ROWS);
    for (int q = 0; q < PLANES; q++, to = tn_build_atc(b, to, DEPTH)) {
        LLVMValueRef acc = tn_build_load(b, tn_tmatmul_ints(b), tn_build_atc(b, from, 2 * q * TILE), TN_LINE);
        acc = tn_build_si_to_fp(b, tn_build_sub(b, acc, minus), floats);
        LLVMValueRef y = tn_build_load(b, floats, to, 4);
        tn_build_store(b, tn_build_fma(b, acc, tn_build_fmul(b, s[q], d), y), to, 4);
    }
    tn_build_loop_end(b, &r);
}

static void zero_results(TnBuilder *b, const Call *c) {
    LLVMValueRef none = LLVMConstNull(LLVMVectorType(b->t_f32, ROWS));
    TnLoop r = tn_build_loop(b, tn_build_i64(b, 0), c->n_x, 1);
    LLVMValueRef to = tn_build_at(b, c->out, tn_build_mul(b, c->stride, r.i));
    for (int q = 0; q < PLANES; q++) tn_build_store(b, none, tn_build_atc(b, to, q * DEPTH), 4);
    tn_build_loop_end(b, &r);
}

/* void (w, i64 blocks, x, i64 n_x, out, i64 stride, buf): n_x is 32 for two tiles of rows, 1 to 16 for
 * one. */
static LLVMValueRef tiles_function(TnBuilder *b, int n) {
    const TnNode *root = &b->g->nodes[b->k->root];
    const TnType *x = &b->g->nodes[root->args[0]].type;
    Call c = {.w = tn_tmatmul_weights(b), .n = n};
    c.row_bytes = (int64_t)tn_row_bytes(x);
    c.part = (int64_t)tn_q8g_part(x);
    int64_t group_bytes = (int64_t)tn_r64_group_bytes(c.w->group),
            block = TN_BESIDE * (int64_t)tn_row_bytes(c.w);
    char name[96];
    snprintf(name, sizeof name, "tmatmul_groups_amx_k%lld_%u_%d", (long long)c.w->dim[1], c.w->group, n);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), blocks = LLVMGetParam(fn, 1), zero = tn_build_i64(b, 0);
    c.x = LLVMGetParam(fn, 2), c.n_x = LLVMGetParam(fn, 3), c.stride = LLVMGetParam(fn, 5);
    c.rows = n == 1 ? tn_build_trunc(b, c.n_x, b->t_i16) : i16(b, ROWS);
    c.sums = LLVMGetParam(fn, 6), c.tiles = tn_build_atc(b, c.sums, SUMS);
    TnLoop l = tn_build_loop(b, zero, blocks, 1);
    c.out = tn_build_elem(b, LLVMGetParam(fn, 4), l.i, 4 * TN_BESIDE);
    zero_results(b, &c);
    LLVMValueRef lines = tn_build_elem(b, w, l.i, block), codes = tn_build_atc(b, c.x, 2 * c.part);
    TnLoop g = tn_build_loop(b, zero, tn_build_i64(b, tn_type_row_scales(c.w)), 1);
    lines = tn_build_walk(b, &g, lines, group_bytes);
    codes = tn_build_walk(b, &g, codes, c.w->group);
    unpack(b, &c, lines);
    products(b, &c, codes);
    add_sums(b, &c, tn_build_atc(b, lines, group_bytes - 2 * TN_BESIDE), g.i);
    tn_build_loop_end(b, &g);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_groups_amx(TnBuilder *b, LLVMValueRef w, LLVMValueRef blocks, LLVMValueRef x,
                           LLVMValueRef rows, LLVMValueRef out, LLVMValueRef stride, LLVMValueRef buf) {
    const TnNode *root = &b->g->nodes[b->k->root];
    int64_t row_bytes = (int64_t)tn_row_bytes(&b->g->nodes[root->args[0]].type);
    LLVMValueRef full = tn_build_and(b, rows, tn_build_i64(b, -2 * ROWS));
    for (int n = 2; n > 0; n--) { /* pairs of tiles of rows, then the rows that are left */
        TnLoop l = tn_build_loop(b, n == 2 ? tn_build_i64(b, 0) : full, n == 2 ? full : rows, n * ROWS);
        LLVMValueRef here = tn_build_min(b, tn_build_sub(b, rows, l.i), tn_build_i64(b, n * ROWS));
        LLVMValueRef to = tn_build_at(b, out, tn_build_mul(b, stride, l.i));
        LLVMValueRef args[] = {w, blocks, tn_build_elem(b, x, l.i, row_bytes), here, to, stride, buf};
        tn_build_call_function(b, tiles_function(b, n), args, TN_COUNT(args));
        tn_build_loop_end(b, &l);
    }
}
