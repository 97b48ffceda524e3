/* matmul over dense rows (f32, f16, bf16), in the defined order: 32 lanes of fma along the row, then the
 * halving tree.
 *
 * The lanes j and j + 16 are added at once; the 16 sums of a row wait in `buf` until 16 rows (or rows times
 * activation rows) share one transposing tree, which adds in the same order as one by one. */
#include "codegen/llvm/build.h"

#include <stdio.h>
#include "ir/layout.h"

enum { NEAR = 1024, FAR = 12288, HALF = TN_LANES / 2 };

/* Rows of activations, and rows of weights, that a pass over the row length serves: their accumulators fill
 * the registers. */
typedef struct Shape {
    int x, w;
} Shape;
static Shape shape(TnLb *b, bool one) {
    if (one) return (Shape){1, 1};
    return b->level->bytes == 64 ? (Shape){4, 2} : (Shape){2, 1};
}

/* Adds the block of 32 at element `at` of the weight rows w[] to acc[w][x]. mask: lanes that are of the row.
 */
static void block(TnLb *b, TnEnc enc, Shape s, LLVMValueRef *w, LLVMValueRef *x, LLVMValueRef at,
                  LLVMValueRef mask, LLVMValueRef *acc) {
    LLVMValueRef v[2];
    for (int i = 0; i < s.w; i++) v[i] = tn_lb_load_wide(b, enc, tn_lb_elem(b, w[i], at, tn_enc_bytes(enc)));
    for (int r = 0; r < s.x; r++) {
        LLVMValueRef a = tn_lb_load(b, b->t_f32x, tn_lb_elem(b, x[r], at, 4), 4);
        if (mask) a = LLVMBuildSelect(b->b, mask, a, tn_lb_vf(b, 0.0f), "");
        for (int i = 0; i < s.w; i++) acc[i * s.x + r] = tn_lb_fma(b, a, v[i], acc[i * s.x + r]);
    }
}

/* The lane sums of weight rows [m, m + s.w) of a group against all rows of activations, into
 * buf[x][group][16]. */
static void sums(TnLb *b, TnEnc enc, Shape s, int64_t k, LLVMValueRef *w, LLVMValueRef *x, LLVMValueRef buf,
                 int group, LLVMValueRef m) {
    int64_t full = k / TN_LANES * TN_LANES, size = tn_enc_bytes(enc);
    int n = s.x * s.w;
    LLVMValueRef acc[16];
    TnLoop i = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, full), TN_LANES);
    for (int j = 0; j < n; j++) acc[j] = tn_lb_carry(b, &i, tn_lb_vf(b, 0.0f));
    for (int j = 0; j < s.w; j++)
        for (int64_t line = 0; line < TN_LANES * size; line += 64) {
            LLVMValueRef from = tn_lb_elem(b, w[j], i.i, size);
            tn_lb_prefetch(b, tn_lb_atc(b, from, NEAR + line), 1);
            if (s.x == 1) tn_lb_prefetch(b, tn_lb_atc(b, from, FAR + line), 2);
        }
    block(b, enc, s, w, x, i.i, NULL, acc);
    for (int j = 0; j < n; j++) tn_lb_next(&i, j, acc[j]);
    tn_lb_loop_end(b, &i);
    for (int j = 0; j < n; j++) acc[j] = i.out[j];
    if (full < k) block(b, enc, s, w, x, tn_lb_i64(b, full), tn_lb_mask_const(b, k - full, TN_LANES), acc);
    for (int j = 0; j < n; j++) {
        LLVMValueRef lo = tn_lb_lanes(b, acc[j], 0, HALF), hi = tn_lb_lanes(b, acc[j], HALF, HALF);
        LLVMValueRef to = tn_lb_atc(b, buf, (int64_t)(j % s.x * group + j / s.x) * HALF * 4);
        tn_lb_store(b, LLVMBuildFAdd(b->b, lo, hi, ""), tn_lb_elem(b, to, m, HALF * 4), 64);
    }
}

/* void (w, i64 count, acc, i64 stride, buf, x0 .. xn-1) */
static LLVMValueRef strip_function(TnLb *b, TnEnc enc, int64_t k, Shape s) {
    char name[64];
    snprintf(name, sizeof name, "matmul_%s_k%lld_x%d", tn_encs[enc].name, (long long)k, s.x);
    LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
    if (fn) return fn;
    LLVMBasicBlockRef back = tn_lb_here(b);
    LLVMTypeRef params[16] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr};
    for (int r = 0; r < s.x; r++) params[5 + r] = b->t_ptr;
    fn = tn_lb_function(b, name, params, (unsigned)(5 + s.x), false);
    LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->c, fn, ""));
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), out = LLVMGetParam(fn, 2);
    LLVMValueRef stride = LLVMGetParam(fn, 3), buf = LLVMGetParam(fn, 4), zero = tn_lb_i64(b, 0), x[8];
    for (int r = 0; r < s.x; r++) x[r] = LLVMGetParam(fn, (unsigned)(5 + r));
    int group = HALF / s.x;
    int64_t row_bytes = (k + TN_PAD - 1) / TN_PAD * TN_PAD * tn_enc_bytes(enc);
    LLVMTypeRef half = LLVMVectorType(b->t_f32, HALF);

    TnLoop g = tn_lb_loop(b, zero, count, group);
    LLVMValueRef left = LLVMBuildSub(b->b, count, g.i, ""),
                 last = LLVMBuildSub(b->b, count, tn_lb_i64(b, 1), "");
    TnLoop m = tn_lb_loop(b, zero, tn_lb_min(b, left, tn_lb_i64(b, group)), s.w);
    LLVMValueRef rows[2];
    for (int j = 0; j < s.w;
         j++) { /* past the end: the last row again, its sums have a place and no reader */
        LLVMValueRef r = LLVMBuildAdd(b->b, LLVMBuildAdd(b->b, g.i, m.i, ""), tn_lb_i64(b, j), "");
        rows[j] = tn_lb_elem(b, w, j ? tn_lb_min(b, r, last) : r, row_bytes);
    }
    sums(b, enc, s, k, rows, x, buf, group, m.i);
    tn_lb_loop_end(b, &m);
    LLVMValueRef part[HALF];
    for (int j = 0; j < HALF; j++)
        part[j] = tn_lb_load(b, half, tn_lb_atc(b, buf, (int64_t)j * HALF * 4), 64);
    LLVMValueRef all = tn_lb_trees(b, part, HALF, TN_FOLD_FADD);
    for (int r = 0; r < s.x; r++) {
        LLVMValueRef v = s.x == 1 ? all : tn_lb_lanes(b, all, r * group, group);
        LLVMValueRef at = tn_lb_at(b, out, LLVMBuildMul(b->b, stride, tn_lb_i64(b, r), ""));
        tn_lb_store(b, v, tn_lb_elem(b, at, g.i, 4), 4);
    }
    tn_lb_loop_end(b, &g);
    LLVMBuildRetVoid(b->b);
    LLVMPositionBuilderAtEnd(b->b, back);
    return fn;
}

static const TnType *weight(TnLb *b) {
    return &b->g->nodes[b->g->nodes[b->k->root].args[1]].type;
}

static void strip(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef acc,
                  LLVMValueRef buf) {
    LLVMValueRef args[] = {w, n, acc, tn_lb_i64(b, 0), buf, x};
    tn_lb_call_function(b, strip_function(b, weight(b)->enc, weight(b)->dim[1], shape(b, true)), args, 6);
}

static void strips(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef n_x,
                   LLVMValueRef acc, LLVMValueRef stride, LLVMValueRef buf) {
    Shape s = shape(b, false);
    LLVMValueRef args[16] = {w, n, acc, stride, buf}, last = LLVMBuildSub(b->b, n_x, tn_lb_i64(b, 1), "");
    int64_t row = (int64_t)tn_row_bytes(&b->g->nodes[b->g->nodes[b->k->root].args[0]].type);
    for (int r = 0; r < s.x; r++) args[5 + r] = tn_lb_elem(b, x, tn_lb_min(b, tn_lb_i64(b, r), last), row);
    tn_lb_call_function(b, strip_function(b, weight(b)->enc, weight(b)->dim[1], s), args,
                        (unsigned)(5 + s.x));
}

static void kernel(TnLb *b) {
    TnStrips s = {shape(b, false).x, 2048, 0, strip, strips, NULL, NULL};
    tn_lb_cols_kernel(b, &s);
}

static bool can(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_enc_is_float(g->nodes[g->nodes[ref].args[1]].type.enc);
}
const TnLlvmOp tn_llvm_op_matmul = {.can = can, .kernel = kernel};
