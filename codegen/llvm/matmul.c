/* matmul over dense rows (f32, f16, bf16), in the defined order: 32 lanes of fma along the row, then the
 * halving tree.
 *
 * The lanes j and j + 16 are added at once; the 16 sums of a row wait in `buf` until 16 rows (or rows times
 * activation rows) share one transposing tree, which adds in the same order as one by one. */
#include "codegen/llvm/build.h"

#include <stdio.h>

enum { NEAR = 1024, FAR = 12288, HALF = TN_LANES / 2 };

/* Adds the block of 32 at element `at` of weight row w to acc[] of n activation rows. mask: lanes that are of
 * the row. */
static void block(TnLb *b, TnEnc enc, LLVMValueRef w, LLVMValueRef *x, int n, LLVMValueRef at,
                  LLVMValueRef mask, LLVMValueRef *acc) {
    LLVMValueRef v = tn_lb_load_wide(b, enc, tn_lb_elem(b, w, at, tn_enc_bytes(enc)));
    for (int r = 0; r < n; r++) {
        LLVMValueRef a = tn_lb_load(b, b->t_f32x, tn_lb_elem(b, x[r], at, 4), 4);
        if (mask) a = LLVMBuildSelect(b->b, mask, a, tn_lb_vf(b, 0.0f), "");
        acc[r] = tn_lb_fma(b, a, v, acc[r]);
    }
}

/* void (w, i64 count, acc, i64 stride, buf, x0 .. xn-1) */
static LLVMValueRef strip_function(TnLb *b, TnEnc enc, int64_t k, int n) {
    char name[64];
    snprintf(name, sizeof name, "matmul_%s_k%lld_x%d", tn_encs[enc].name, (long long)k, n);
    LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
    if (fn) return fn;
    LLVMBasicBlockRef back = tn_lb_here(b);
    LLVMTypeRef params[16] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr};
    for (int r = 0; r < n; r++) params[5 + r] = b->t_ptr;
    fn = tn_lb_function(b, name, params, (unsigned)(5 + n), false);
    LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->c, fn, ""));
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), out = LLVMGetParam(fn, 2);
    LLVMValueRef stride = LLVMGetParam(fn, 3), buf = LLVMGetParam(fn, 4), zero = tn_lb_i64(b, 0), x[8];
    for (int r = 0; r < n; r++) x[r] = LLVMGetParam(fn, (unsigned)(5 + r));
    int group = HALF / n;
    int64_t row_bytes = (k + TN_PAD - 1) / TN_PAD * TN_PAD * tn_enc_bytes(enc),
            full = k / TN_LANES * TN_LANES;
    LLVMTypeRef half = LLVMVectorType(b->t_f32, HALF);

    TnLoop g = tn_lb_loop(b, zero, count, group);
    LLVMValueRef here = tn_lb_min(b, LLVMBuildSub(b->b, count, g.i, ""), tn_lb_i64(b, group));
    TnLoop m = tn_lb_loop(b, zero, here, 1);
    LLVMValueRef row = tn_lb_elem(b, w, LLVMBuildAdd(b->b, g.i, m.i, ""), row_bytes);
    TnLoop i = tn_lb_loop(b, zero, tn_lb_i64(b, full), TN_LANES);
    LLVMValueRef acc[8];
    for (int r = 0; r < n; r++) acc[r] = tn_lb_carry(b, &i, tn_lb_vf(b, 0.0f));
    LLVMValueRef from = tn_lb_elem(b, row, i.i, tn_enc_bytes(enc));
    for (int64_t line = 0; line < TN_LANES * tn_enc_bytes(enc); line += 64) {
        tn_lb_prefetch(b, tn_lb_atc(b, from, NEAR + line), 1);
        tn_lb_prefetch(b, tn_lb_atc(b, from, FAR + line), 2);
    }
    block(b, enc, row, x, n, i.i, NULL, acc);
    for (int r = 0; r < n; r++) tn_lb_next(&i, r, acc[r]);
    tn_lb_loop_end(b, &i);
    for (int r = 0; r < n; r++) acc[r] = i.out[r];
    if (full < k) block(b, enc, row, x, n, tn_lb_i64(b, full), tn_lb_mask_const(b, k - full, TN_LANES), acc);
    for (int r = 0; r < n; r++) {
        LLVMValueRef s =
            LLVMBuildFAdd(b->b, tn_lb_lanes(b, acc[r], 0, HALF), tn_lb_lanes(b, acc[r], HALF, HALF), "");
        tn_lb_store(b, s, tn_lb_elem(b, tn_lb_atc(b, buf, (int64_t)r * group * HALF * 4), m.i, HALF * 4), 64);
    }
    tn_lb_loop_end(b, &m);
    LLVMValueRef part[HALF];
    for (int j = 0; j < HALF; j++)
        part[j] = tn_lb_load(b, half, tn_lb_atc(b, buf, (int64_t)j * HALF * 4), 64);
    LLVMValueRef all = tn_lb_trees(b, part, HALF, TN_FOLD_FADD);
    for (int r = 0; r < n; r++) {
        LLVMValueRef v = n == 1 ? all : tn_lb_lanes(b, all, r * group, group);
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
    tn_lb_call_function(b, strip_function(b, weight(b)->enc, weight(b)->dim[1], 1), args, 6);
}

static void strips(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef *x, LLVMValueRef acc,
                   LLVMValueRef stride, LLVMValueRef buf) {
    int rows = b->level->tokens;
    LLVMValueRef args[16] = {w, n, acc, stride, buf};
    for (int r = 0; r < rows; r++) args[5 + r] = x[r];
    tn_lb_call_function(b, strip_function(b, weight(b)->enc, weight(b)->dim[1], rows), args,
                        (unsigned)(5 + rows));
}

static void kernel(TnLb *b) {
    static const TnStrips s = {strip, strips};
    tn_lb_cols_kernel(b, &s);
}

static bool can(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_enc_is_float(g->nodes[g->nodes[ref].args[1]].type.enc);
}
const TnLlvmOp tn_llvm_op_matmul = {.can = can, .kernel = kernel};
