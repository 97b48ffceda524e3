/* tmatmul with 2 to 8 rows of activations: the weights still stream from memory and are unpacked once for all
 * rows.
 *
 * `lanes` columns go together. A line of each is transposed as for panels (tmatmul_rows.c), but only as far as
 * one line: 1 KB that stays in L1, from which the codes are shifted and masked straight into the products.
 * So no sums over lanes are needed, a row's activations are read 4 bytes at a time and need no more of L1 than
 * they are long, and a line of 256 weights costs 4 shuffles, 8 loads and stores, 7 for its planes, and 4
 * products a row. While a group of columns is worked on, the next group's lines are fetched in the order in
 * which they lie in memory; this one's are found in L2 in any order.
 *
 * There is one function for each number of rows: a row that is not there costs nothing. */
#include <stdio.h>
#include "codegen/llvm/ternary.h"

static int lanes_of(TnLb *b) {
    return b->level->bytes / 4;
}

/* Sums of a row, so that there are enough in flight: products have a latency of 5 and go two a cycle. */
static int sums_of(TnLb *b, int n) {
    return b->level->dot == TN_DOT_MADDUBS ? 1 : n <= 4 ? 4 : 2;
}

enum { WORDS = TN_LINE / 4 };

int64_t tn_tm_few_buf(TnLb *b) {
    return (int64_t)WORDS * b->level->bytes + 16 * 8;
}

/* Where in buf the addresses of the columns stand, behind the words. */
static LLVMValueRef column(TnLb *b, LLVMValueRef buf, int i) {
    return tn_lb_atc(b, buf, (int64_t)WORDS * b->level->bytes + 8 * i);
}

/* void (buf, i64 off): the lines of `lanes` columns that are `off` bytes from their addresses, to buf: word d of
 * every column. A function of its own, since it is half of the code. */
static LLVMValueRef stage_function(TnLb *b) {
    static const char name[] = "tmatmul_stage";
    LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
    if (fn) return fn;
    LLVMBasicBlockRef back = tn_lb_here(b);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64};
    fn = tn_lb_function(b, name, params, 2, false);
    LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->c, fn, ""));
    LLVMValueRef buf = LLVMGetParam(fn, 0), off = LLVMGetParam(fn, 1), row[16];
    int size = b->level->bytes, lanes = lanes_of(b);
    for (int i = 0; i < lanes; i++) row[i] = tn_lb_load(b, b->t_ptr, column(b, buf, i), 8);
    for (int at = 0; at < TN_LINE; at += size) {
        LLVMValueRef v[16];
        for (int i = 0; i < lanes; i++)
            v[i] = tn_lb_load(b, tn_tm_ints(b), tn_lb_atc(b, tn_lb_at(b, row[i], off), at), (unsigned)size);
        tn_tm_transpose(b, v, lanes);
        for (int d = 0; d < lanes; d++)
            tn_lb_store(b, v[d], tn_lb_atc(b, buf, (int64_t)(at / 4 + d) * size), (unsigned)size);
    }
    LLVMBuildRetVoid(b->b);
    LLVMPositionBuilderAtEnd(b->b, back);
    return fn;
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
    LLVMValueRef zero = tn_lb_i64(b, 0), last = LLVMBuildSub(b->b, count, tn_lb_i64(b, 1), "");
    bool maddubs = b->level->dot == TN_DOT_MADDUBS;
    TnDot dot = tn_llvm_dot(b->level, TN_FEW);
    TN_CHECK(tn_range_widen(&dot, k) > 0); /* an i16 takes a line, and is widened behind it */
    int lanes = lanes_of(b), size = b->level->bytes, per = sums_of(b, n), n_sums = n * per;
    int64_t lines = (k + TN_CODES - 1) / TN_CODES, line_bytes = lines * TN_LINE;
    int64_t row_bytes = TN_Q8_HEAD + lines * TN_CODES;
    LLVMTypeRef ints = tn_tm_ints(b), shorts = LLVMVectorType(b->t_i16, (unsigned)lanes * 2);
    LLVMTypeRef sum_type = maddubs ? shorts : ints;
    LLVMValueRef out[TN_FEW], minus[TN_FEW];
    for (int r = 0; r < n; r++) {
        out[r] = tn_lb_at(b, acc, LLVMBuildMul(b->b, stride, tn_lb_i64(b, r), ""));
        minus[r] = LLVMBuildNeg(b->b, tn_lb_load(b, b->t_i32, tn_lb_atc(b, x, r * row_bytes + 4), 4), "");
    }
    TnLoop g = tn_lb_loop(b, zero, count, lanes);
    LLVMValueRef to[TN_FEW], next = tn_lb_elem(b, w, g.i, line_bytes);
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef r =
            tn_lb_elem(b, w, tn_lb_min(b, LLVMBuildAdd(b->b, g.i, tn_lb_i64(b, i), ""), last), line_bytes);
        tn_lb_store(b, r, column(b, buf, i), 8);
    }
    next = tn_lb_atc(b, next, line_bytes * lanes);
    for (int r = 0; r < n; r++) {
        to[r] = tn_lb_elem(b, out[r], g.i, 4);
        if (maddubs) tn_lb_store(b, tn_lb_splat(b, minus[r], lanes), to[r], 4);
    }
    TnLoop l = tn_lb_loop(b, zero, tn_lb_i64(b, lines), 1);
    LLVMValueRef sum[TN_LOOP_CARRIES];
    for (int i = 0; i < n_sums; i++)
        sum[i] = maddubs ? LLVMConstNull(sum_type) : tn_lb_carry(b, &l, LLVMConstNull(sum_type));
    LLVMValueRef args[] = {buf, LLVMBuildMul(b->b, l.i, tn_lb_i64(b, TN_LINE), "")};
    tn_lb_call_function(b, stage_function(b), args, 2);
    for (int i = 0; i < lanes; i++)
        tn_lb_prefetch(b, tn_lb_atc(b, tn_lb_elem(b, next, l.i, (int64_t)TN_LINE * lanes), i * TN_LINE), 2);
    LLVMValueRef first = tn_lb_atc(b, tn_lb_elem(b, x, l.i, TN_CODES), TN_Q8_HEAD);
    TnLoop d = tn_lb_loop(b, zero, tn_lb_i64(b, WORDS), 1);
    for (int i = 0; i < n_sums; i++) sum[i] = tn_lb_carry(b, &d, sum[i]);
    LLVMValueRef code = tn_lb_carry(b, &d, buf);
    LLVMValueRef from = tn_lb_carry(b, &d, first);
    LLVMValueRef words = tn_lb_load(b, ints, code, (unsigned)size);
    LLVMValueRef three = tn_lb_splat_const(b, LLVMConstInt(b->t_i8, 3, 0), size);
    for (int q = 0; q < 4; q++) {
        LLVMValueRef c =
            q ? LLVMBuildLShr(b->b, words, tn_lb_splat_const(b, tn_lb_i32(b, 2 * q), lanes), "") : words;
        c = LLVMBuildAnd(b->b, LLVMBuildBitCast(b->b, c, tn_tm_bytes(b), ""), three, "");
        for (int r = 0; r < n; r++) {
            LLVMValueRef four = tn_lb_load(b, b->t_i32, tn_lb_atc(b, from, r * row_bytes + q * TN_LINE), 4);
            LLVMValueRef a = LLVMBuildBitCast(b->b, tn_lb_splat(b, four, lanes), tn_tm_bytes(b), "");
            LLVMValueRef *s = &sum[r * per + q % per], args[] = {c, a};
            *s = maddubs ? LLVMBuildAdd(b->b, *s,
                                        tn_lb_call(b, "llvm.x86.avx2.pmadd.ub.sw", NULL, 0, args, 2), "")
                         : tn_tm_dot(b, *s, c, a);
        }
    }
    for (int i = 0; i < n_sums; i++) tn_lb_next(&d, i, sum[i]);
    tn_lb_next(&d, n_sums, tn_lb_opaque(b, tn_lb_atc(b, code, size)));
    tn_lb_next(&d, n_sums + 1, tn_lb_opaque(b, tn_lb_atc(b, from, 4)));
    tn_lb_loop_end(b, &d);
    LLVMValueRef ones = tn_lb_splat_const(b, LLVMConstInt(b->t_i16, 1, 0), size / 2);
    for (int i = 0; i < n_sums; i++) {
        if (!maddubs) {
            tn_lb_next(&l, i, d.out[i]);
            continue;
        }
        LLVMValueRef args[] = {d.out[i], ones}, old = tn_lb_load(b, ints, to[i], 4);
        LLVMValueRef wide = tn_lb_call(b, "llvm.x86.avx2.pmadd.wd", NULL, 0, args, 2);
        tn_lb_store(b, LLVMBuildAdd(b->b, old, wide, ""), to[i], 4);
    }
    tn_lb_loop_end(b, &l);
    for (int r = 0; !maddubs && r < n; r++) {
        LLVMValueRef v = tn_lb_splat(b, minus[r], lanes);
        for (int i = 0; i < per; i++) v = LLVMBuildAdd(b->b, v, l.out[r * per + i], "");
        tn_lb_store(b, v, to[r], 4);
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
