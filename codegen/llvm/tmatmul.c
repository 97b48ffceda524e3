/* tmatmul over p64 weights: the exact integer sums.
 *
 * A line of 64 bytes holds 256 codes c = w + 1 of one row, byte j and bits 2q.. being weight 64q + j. The
 * code bits are masked, not shifted: accumulator q sums c * 4^q * a and is shifted once at the end, which is
 * exact since every lane of it is a multiple of 4^q. sum(w*a) = sum(c*a) - sum(a), and sum(a) stands in the
 * row's head.
 *
 *   VNNI     vpdpbusd: unsigned codes, signed activations, four accumulators
 *   MADDUBS  (AVX2) planes 2 and 3 are shifted by 4 once, so that two planes share a scale; pairs of products
 *            and whole lines fit int16 (4 planes' halves: 4 * 2 * 8 * 127), then vpmaddwd widens: two
 *            accumulators
 *   SDOT     (NEON) signed: plane 3 is shifted down instead of masked, four accumulators
 *
 * Rows of weights stream from memory one after the other, with prefetches far ahead: near into L1, far into
 * L2. Sums over lanes wait in `buf` until there are enough for one transposing tree. */
#include "codegen/llvm/build.h"

#include "runtime/base/arena.h"
#include <stdio.h>

enum { NEAR = 1024, FAR = 12288, LINE = 64, CODES = 256 };
/* Of a lane of accumulator 3: 4^3 * 2 * 127 * K/64 must fit i32. */
enum { MOST_K = 1 << 19 };

static LLVMTypeRef bytes_of(TnLb *b) {
    return LLVMVectorType(b->t_i8, (unsigned)b->level->bytes);
}
static LLVMTypeRef ints_of(TnLb *b) {
    return LLVMVectorType(b->t_i32, (unsigned)b->level->bytes / 4);
}
static int accumulators(TnLb *b) {
    return b->level->dot == TN_DOT_MADDUBS ? 2 : 4;
}

static LLVMValueRef byte_splat(TnLb *b, int v) {
    return tn_lb_splat_const(b, LLVMConstInt(b->t_i8, (uint64_t)v, 0), b->level->bytes);
}

/* The four planes of a vector of code bytes, scaled as the accumulators want them. */
static void planes(TnLb *b, LLVMValueRef w, LLVMValueRef c[4]) {
    if (b->level->dot == TN_DOT_MADDUBS) {
        LLVMTypeRef shorts = LLVMVectorType(b->t_i16, (unsigned)b->level->bytes / 2);
        LLVMValueRef four = tn_lb_splat_const(b, LLVMConstInt(b->t_i16, 4, 0), b->level->bytes / 2);
        LLVMValueRef high = LLVMBuildLShr(b->b, LLVMBuildBitCast(b->b, w, shorts, ""), four, "");
        high = LLVMBuildBitCast(b->b, high, bytes_of(b), "");
        for (int q = 0; q < 4; q++)
            c[q] = LLVMBuildAnd(b->b, q < 2 ? w : high, byte_splat(b, 3 << (2 * (q & 1))), "");
        return;
    }
    for (int q = 0; q < 4; q++)
        c[q] = q == 3 && b->level->dot == TN_DOT_SDOT
                   ? LLVMBuildLShr(b->b, w, byte_splat(b, 6), "")
                   : LLVMBuildAnd(b->b, w, byte_splat(b, 3 << (2 * q)), "");
}

static LLVMValueRef dot(TnLb *b, LLVMValueRef acc, LLVMValueRef c, LLVMValueRef a) {
    LLVMValueRef args[] = {acc, c, a};
    if (b->level->dot == TN_DOT_VNNI) return tn_lb_call(b, "llvm.x86.avx512.vpdpbusd.512", NULL, 0, args, 3);
    LLVMTypeRef overload[] = {ints_of(b), bytes_of(b)};
    return tn_lb_call(b, "llvm.aarch64.neon.sdot", overload, 2, args, 3);
}

/* One line of weights at w against the same 256 codes of n rows of activations at x[]: adds to
 * acc[row][accumulators]. */
static void line(TnLb *b, LLVMValueRef w, LLVMValueRef *x, int n, LLVMValueRef *acc) {
    int v = b->level->bytes, k = accumulators(b);
    LLVMTypeRef bytes = bytes_of(b);
    LLVMValueRef pair[8][2] = {{NULL}};
    for (int at = 0; at < LINE; at += v) {
        LLVMValueRef c[4];
        planes(b, tn_lb_load(b, bytes, tn_lb_atc(b, w, at), (unsigned)v), c);
        for (int r = 0; r < n; r++)
            for (int q = 0; q < 4; q++) {
                LLVMValueRef a = tn_lb_load(b, bytes, tn_lb_atc(b, x[r], q * LINE + at), (unsigned)v);
                if (b->level->dot != TN_DOT_MADDUBS) {
                    acc[r * k + q] = dot(b, acc[r * k + q], c[q], a);
                    continue;
                }
                LLVMValueRef args[] = {c[q], a}, *sum = &pair[r][q & 1];
                LLVMValueRef p = tn_lb_call(b, "llvm.x86.avx2.pmadd.ub.sw", NULL, 0, args, 2);
                *sum = *sum ? LLVMBuildAdd(b->b, *sum, p, "") : p;
            }
    }
    if (b->level->dot != TN_DOT_MADDUBS) return;
    LLVMValueRef ones = tn_lb_splat_const(b, LLVMConstInt(b->t_i16, 1, 0), v / 2);
    for (int r = 0; r < n; r++)
        for (int q = 0; q < 2; q++) {
            LLVMValueRef args[] = {pair[r][q], ones};
            LLVMValueRef wide = tn_lb_call(b, "llvm.x86.avx2.pmadd.wd", NULL, 0, args, 2);
            acc[r * k + q] = LLVMBuildAdd(b->b, acc[r * k + q], wide, "");
        }
}

/* The accumulators of a row, shifted down and added. */
static LLVMValueRef combine(TnLb *b, LLVMValueRef *acc) {
    LLVMValueRef sum = acc[0];
    for (int q = 1; q < accumulators(b); q++) {
        bool plain = q == 3 && b->level->dot == TN_DOT_SDOT;
        LLVMValueRef by = tn_lb_splat_const(b, tn_lb_i32(b, 2 * q), b->level->bytes / 4);
        sum = LLVMBuildAdd(b->b, sum, plain ? acc[q] : LLVMBuildAShr(b->b, acc[q], by, ""), "");
    }
    return sum;
}

/* The function of the module for K = k and n rows of activations at a time:
 *   void (w, i64 count, acc, i64 stride, buf, x0 .. xn-1) */
static LLVMValueRef strip_function(TnLb *b, int64_t k, int n) {
    char name[64];
    snprintf(name, sizeof name, "tmatmul_k%lld_x%d", (long long)k, n);
    LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
    if (fn) return fn;
    LLVMBasicBlockRef back = tn_lb_here(b);
    LLVMTypeRef params[16] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr};
    for (int r = 0; r < n; r++) params[5 + r] = b->t_ptr;
    fn = tn_lb_function(b, name, params, (unsigned)(5 + n), false);
    LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->c, fn, ""));
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), out = LLVMGetParam(fn, 2);
    LLVMValueRef stride = LLVMGetParam(fn, 3), buf = LLVMGetParam(fn, 4), zero = tn_lb_i64(b, 0);
    LLVMTypeRef ints = ints_of(b);
    int lanes = b->level->bytes / 4, group = lanes / n; /* weight rows that share a tree */
    int64_t lines = (k + CODES - 1) / CODES, row_bytes = lines * LINE;
    LLVMValueRef x[8], sum[8];
    for (int r = 0; r < n; r++) {
        LLVMValueRef row = LLVMGetParam(fn, (unsigned)(5 + r));
        sum[r] = tn_lb_load(b, b->t_i32, tn_lb_atc(b, row, 4), 4);
        x[r] = tn_lb_atc(b, row, TN_Q8_HEAD);
    }
    TnLoop g = tn_lb_loop(b, zero, count, group);
    LLVMValueRef here = tn_lb_min(b, LLVMBuildSub(b->b, count, g.i, ""), tn_lb_i64(b, group));
    TnLoop m = tn_lb_loop(b, zero, here, 1);
    LLVMValueRef row = tn_lb_elem(b, w, LLVMBuildAdd(b->b, g.i, m.i, ""), row_bytes);
    TnLoop i = tn_lb_loop(b, zero, tn_lb_i64(b, lines), 1);
    LLVMValueRef acc[32];
    int n_acc = n * accumulators(b);
    for (int a = 0; a < n_acc; a++) acc[a] = tn_lb_carry(b, &i, LLVMConstNull(ints));
    LLVMValueRef codes[8];
    for (int r = 0; r < n; r++) codes[r] = tn_lb_carry(b, &i, x[r]);
    LLVMValueRef from = tn_lb_elem(b, row, i.i, LINE);
    tn_lb_prefetch(b, tn_lb_atc(b, from, NEAR), 1);
    tn_lb_prefetch(b, tn_lb_atc(b, from, FAR), 2);
    line(b, from, codes, n, acc);
    for (int r = 0; r < n; r++) tn_lb_next(&i, n_acc + r, tn_lb_opaque(b, tn_lb_atc(b, codes[r], CODES)));
    for (int a = 0; a < n_acc; a++) tn_lb_next(&i, a, acc[a]);
    tn_lb_loop_end(b, &i);
    for (int r = 0; r < n; r++) {
        LLVMValueRef at =
            tn_lb_elem(b, tn_lb_atc(b, buf, (int64_t)r * group * b->level->bytes), m.i, b->level->bytes);
        tn_lb_store(b, combine(b, &i.out[r * accumulators(b)]), at, (unsigned)b->level->bytes);
    }
    tn_lb_loop_end(b, &m);
    /* lanes of weight rows that are not there are old bytes; the strip has room for them */
    LLVMValueRef part[64];
    for (int j = 0; j < lanes; j++)
        part[j] =
            tn_lb_load(b, ints, tn_lb_atc(b, buf, (int64_t)j * b->level->bytes), (unsigned)b->level->bytes);
    LLVMValueRef all = tn_lb_trees(b, part, lanes, TN_FOLD_ADD);
    for (int r = 0; r < n; r++) {
        LLVMValueRef v = n == 1       ? all
                         : group == 1 ? tn_lb_extract(b, all, r)
                                      : tn_lb_lanes(b, all, r * group, group);
        v = LLVMBuildSub(b->b, v, group == 1 ? sum[r] : tn_lb_splat(b, sum[r], group), "");
        LLVMValueRef at = tn_lb_at(b, out, LLVMBuildMul(b->b, stride, tn_lb_i64(b, r), ""));
        tn_lb_store(b, v, tn_lb_elem(b, at, g.i, 4), 4);
    }
    tn_lb_loop_end(b, &g);
    LLVMBuildRetVoid(b->b);
    LLVMPositionBuilderAtEnd(b->b, back);
    return fn;
}

static int64_t root_k(TnLb *b) {
    return tn_lb_cols(b, b->g->nodes[b->k->root].args[1]);
}

static void strip(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef acc,
                  LLVMValueRef buf) {
    LLVMValueRef args[] = {w, n, acc, tn_lb_i64(b, 0), buf, x};
    tn_lb_call_function(b, strip_function(b, root_k(b), 1), args, 6);
}

static void strips(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef *x, LLVMValueRef acc,
                   LLVMValueRef stride, LLVMValueRef buf) {
    LLVMValueRef args[16] = {w, n, acc, stride, buf};
    for (int r = 0; r < b->level->tokens; r++) args[5 + r] = x[r];
    tn_lb_call_function(b, strip_function(b, root_k(b), b->level->tokens), args,
                        (unsigned)(5 + b->level->tokens));
}

static void kernel(TnLb *b) {
    TnStrips s = {b->level->tokens, strip, strips};
    tn_lb_cols_kernel(b, &s);
}

static bool can(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    const TnType *w = &g->nodes[g->nodes[ref].args[1]].type;
    return w->enc == TN_ENC_p64 && w->dim[1] <= MOST_K;
}
const TnLlvmOp tn_llvm_op_tmatmul = {.can = can, .kernel = kernel};
