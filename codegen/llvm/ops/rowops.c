/* Ops on whole rows: rmsnorm, quant, rope_angle.
 *
 * Where a row lies in memory and is whole blocks of 32 columns, rmsnorm and quant are calls of a function that the module's
 * kernels share: a model has a dozen of each. */
#include "codegen/llvm/ops/ops.h"

#include <math.h>
#include <stdio.h>
#include "ir/layout.h"
#include "ir/places.h"
#include "runtime/base/fmath.h"

static TnRef arg(TnLb *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* The lanes of the block at `off` that a reduction over n columns may see; NULL: all, or it is not known that
 * some are not. */
static LLVMValueRef below(TnLb *b, int64_t n, LLVMValueRef off) {
    if (n % TN_LANES == 0) return NULL;
    return tn_lb_mask_below(b, tn_lb_sub(b, tn_lb_i64(b, n), off), TN_LANES);
}

/* With +0 in the lanes that are off. */
static LLVMValueRef only(TnLb *b, LLVMValueRef v, LLVMValueRef mask) {
    return mask ? tn_lb_select(b, mask, v, LLVMConstNull(LLVMTypeOf(v))) : v;
}

/* x at the 32 indices of places from `off` on. */
static LLVMValueRef at_places(TnLb *b, LLVMValueRef x, LLVMValueRef places, LLVMValueRef off) {
    LLVMValueRef index = tn_lb_load(b, b->t_i32x, tn_lb_elem(b, places, off, 4), 4);
    return tn_lb_gather(b, x, index);
}

/* A row that is read: n columns of a value in a frame, or of a function's row. */
typedef struct Source {
    const TnFrame *f;
    TnRef x;
    LLVMValueRef row; /* not NULL: whole blocks of columns, from here on; the others are of no account */
    int64_t n;        /* without a row */
    LLVMValueRef end; /* n as i64 */
    bool scaled;      /* what is read is multiplied by TN_NORM_SCALE */
} Source;

static LLVMValueRef times_scale(TnLb *b, const Source *s, LLVMValueRef v) {
    return s->scaled ? tn_lb_fmul(b, v, tn_lb_vf(b, TN_NORM_SCALE)) : v;
}
static LLVMValueRef block_of(TnLb *b, const Source *s, LLVMValueRef off) {
    LLVMValueRef v = s->row ? tn_lb_load(b, b->t_f32x, tn_lb_elem(b, s->row, off, 4), 4)
                            : tn_lb_value(b, s->f, s->x, off, NULL);
    return times_scale(b, s, v);
}
static LLVMValueRef below_end(TnLb *b, const Source *s, LLVMValueRef off) {
    return s->row ? NULL : below(b, s->n, off);
}

/* The row of a value if a function can take it, or NULL. */
static LLVMValueRef whole_row(TnLb *b, const TnFrame *f, TnRef x) {
    if (tn_lb_cols(b, x) % TN_LANES) return NULL;
    return tn_lb_inside(b, x) && !f->mem[x - b->k->first] ? NULL : tn_lb_mem(b, f, x);
}

/* What rmsnorm does to a row: the sum of squares, of the row at `places` if there are some, divided by the divisor, eps,
 * weights. */
typedef struct Norm {
    LLVMValueRef divisor, eps, weights, out;
    LLVMValueRef x, places; /* NULL, or the row in memory and `count` places */
    int64_t count;
    TnEnc enc; /* of weights */
} Norm;

static LLVMValueRef is_finite(TnLb *b, LLVMValueRef mean) {
    return tn_lb_fcmp(b, LLVMRealOLT, mean, tn_lb_f32(b, INFINITY));
}

static LLVMValueRef squares(TnLb *b, const Source *s) {
    TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), s->end, TN_LANES);
    LLVMValueRef acc = tn_lb_carry(b, &l, tn_lb_vf(b, 0.0f));
    LLVMValueRef v = only(b, block_of(b, s, l.i), below_end(b, s, l.i));
    tn_lb_next(&l, 0, tn_lb_fma(b, v, v, acc));
    tn_lb_loop_end(b, &l);
    return l.out[0];
}

static LLVMValueRef squares_at(TnLb *b, const Source *s, const Norm *norm) {
    TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, norm->count), TN_LANES);
    LLVMValueRef acc = tn_lb_carry(b, &l, tn_lb_vf(b, 0.0f)), v = at_places(b, norm->x, norm->places, l.i);
    v = times_scale(b, s, v);
    tn_lb_next(&l, 0, tn_lb_fma(b, v, v, acc));
    tn_lb_loop_end(b, &l);
    return l.out[0];
}

static LLVMValueRef mean_of(TnLb *b, const Source *s, const Norm *norm) {
    LLVMValueRef sums = norm->places ? squares_at(b, s, norm) : squares(b, s), eps = norm->eps;
    for (int i = 0; s->scaled && i < 2; i++) eps = tn_lb_fmul(b, eps, tn_lb_f32(b, TN_NORM_SCALE));
    LLVMValueRef mean = tn_lb_fdiv(b, tn_lb_tree(b, sums, TN_FOLD_FADD), norm->divisor);
    return tn_lb_fadd(b, mean, eps);
}

static void put_normed(TnLb *b, const Source *s, const Norm *norm, LLVMValueRef mean) {
    LLVMValueRef r = tn_lb_fdiv(b, tn_lb_f32(b, 1.0f), tn_lb_sqrt(b, mean));
    if (s->scaled) r = tn_lb_select(b, is_finite(b, mean), r, tn_lb_f32(b, NAN));
    r = tn_lb_splat(b, r, TN_LANES);
    TnLoop m = tn_lb_loop(b, tn_lb_i64(b, 0), s->end, TN_LANES);
    LLVMValueRef v = tn_lb_fmul(b, block_of(b, s, m.i), r), at = m.i;
    LLVMValueRef g = tn_lb_load_wide(b, norm->enc, tn_lb_elem(b, norm->weights, at, tn_enc_bytes(norm->enc)));
    tn_lb_store(b, tn_lb_fmul(b, v, g), tn_lb_elem(b, norm->out, at, 4), 4);
    tn_lb_loop_end(b, &m);
}

enum { FUNCTION_PARAMS = 6 };
static LLVMValueRef rmsnorm_function(TnLb *b, TnEnc enc, bool scaled);

/* The row's values; of a row whose mean is not finite by the scaled source: a function if the row lies in memory. */
static void normed(TnLb *b, const Source *s, const Norm *norm) {
    LLVMValueRef mean = mean_of(b, s, norm);
    TnIf finite = tn_lb_if(b, is_finite(b, mean));
    put_normed(b, s, norm, mean);
    tn_lb_else(b, &finite);
    if (s->row) {
        LLVMValueRef args[FUNCTION_PARAMS] = {s->row, norm->weights, norm->out,
                                              s->end, norm->divisor, norm->eps};
        tn_lb_call_function(b, rmsnorm_function(b, norm->enc, true), args, FUNCTION_PARAMS);
    } else {
        Source again = *s;
        again.scaled = true;
        put_normed(b, &again, norm, mean_of(b, &again, norm));
    }
    tn_lb_if_end(b, &finite);
}

/* void (x, weights, out, i64 n, f32 divisor, f32 eps) */
static LLVMValueRef rmsnorm_function(TnLb *b, TnEnc enc, bool scaled) {
    char name[64];
    snprintf(name, sizeof name, "rmsnorm_%s%s", tn_encs[enc].name, scaled ? "_scaled" : "");
    LLVMTypeRef params[FUNCTION_PARAMS] = {b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64, b->t_f32, b->t_f32};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_lb_shared(b, name, params, FUNCTION_PARAMS, &fn);
    if (!back) return fn;
    Source s = {.row = LLVMGetParam(fn, 0), .end = LLVMGetParam(fn, 3), .scaled = scaled};
    Norm norm = {.divisor = LLVMGetParam(fn, 4),
                 .eps = LLVMGetParam(fn, 5),
                 .weights = LLVMGetParam(fn, 1),
                 .out = LLVMGetParam(fn, 2),
                 .enc = enc};
    if (scaled)
        put_normed(b, &s, &norm, mean_of(b, &s, &norm));
    else
        normed(b, &s, &norm);
    return tn_lb_shared_end(b, back);
}

static void rmsnorm(TnLb *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = arg(b, ref, 0), w = arg(b, ref, 1);
    const TnNode *node = &b->g->nodes[ref];
    const TnAttr *divisor = tn_node_attr(node, TN_ATTR_n);
    TnRef places = node->n_args > 2 ? node->args[2] : TN_NONE;
    int64_t n = tn_lb_cols(b, x);
    Source s = {.f = f, .x = x, .n = n, .end = tn_lb_i64(b, n)};
    Norm norm = {.divisor = tn_lb_f32(b, (float)(divisor ? divisor->i : n)),
                 .eps = tn_lb_f32(b, tn_attr_float(node, TN_ATTR_eps)),
                 .weights = tn_lb_operand(b, w),
                 .enc = b->g->nodes[w].type.enc};
    LLVMValueRef row = places == TN_NONE ? whole_row(b, f, x) : NULL;
    if (places != TN_NONE) {
        norm.x = tn_lb_mem(b, f, x);
        norm.places = tn_lb_operand(b, places);
        norm.count = tn_type_rows(&b->g->nodes[places].type, NULL) * TN_PLACES;
    }
    norm.out = tn_lb_result_row(b, f, ref);
    if (row) {
        LLVMValueRef args[FUNCTION_PARAMS] = {row, norm.weights, norm.out, s.end, norm.divisor, norm.eps};
        tn_lb_call_function(b, rmsnorm_function(b, norm.enc, false), args, FUNCTION_PARAMS);
        return;
    }
    normed(b, &s, &norm);
}
static bool can_rmsnorm(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_enc_is_float(g->nodes[g->nodes[ref].args[1]].type.enc);
}
const TnLlvmOp tn_llvm_op_rmsnorm = {.can = can_rmsnorm, .row = rmsnorm};

/* To q8 at `out`; codes behind n rounded up to 32, up to `padded` (i64) of them, are 0. */
static void quantised(TnLb *b, const Source *s, LLVMValueRef out, LLVMValueRef padded) {
    LLVMValueRef zero = tn_lb_i64(b, 0);
    TnLoop l = tn_lb_loop(b, zero, s->end, TN_LANES);
    LLVMValueRef top = tn_lb_carry(b, &l, LLVMConstNull(b->t_i32x));
    LLVMValueRef u = tn_lb_bits(b, block_of(b, s, l.i));
    u = only(b, tn_lb_and(b, u, tn_lb_vi(b, 0x7fffffff)), below_end(b, s, l.i));
    tn_lb_next(&l, 0, tn_lb_select(b, tn_lb_icmp(b, LLVMIntUGT, u, top), u, top));
    tn_lb_loop_end(b, &l);
    LLVMValueRef scale, factor = tn_lb_quant_factor(b, tn_lb_tree(b, l.out[0], TN_FOLD_UMAX), &scale);
    factor = tn_lb_splat(b, factor, TN_LANES);

    LLVMValueRef codes = tn_lb_atc(b, out, TN_Q8_HEAD);
    TnLoop m = tn_lb_loop(b, zero, s->end, TN_LANES);
    LLVMValueRef sum = tn_lb_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef q = tn_lb_quant(b, block_of(b, s, m.i), factor);
    q = only(b, q, below_end(b, s, m.i));
    LLVMValueRef q8 = tn_lb_trunc(b, q, LLVMVectorType(b->t_i8, TN_LANES));
    tn_lb_store(b, q8, tn_lb_at(b, codes, m.i), 32);
    tn_lb_next(&m, 0, tn_lb_add(b, sum, q));
    tn_lb_loop_end(b, &m);
    LLVMTypeRef bytes32 = LLVMVectorType(b->t_i8, TN_LANES);
    LLVMValueRef blocks = tn_lb_add(b, s->end, tn_lb_i64(b, TN_LANES - 1));
    TnLoop z = tn_lb_loop(b, tn_lb_and(b, blocks, tn_lb_i64(b, -TN_LANES)), padded, TN_LANES);
    tn_lb_store(b, LLVMConstNull(bytes32), tn_lb_at(b, codes, z.i), 32);
    tn_lb_loop_end(b, &z);
    for (int64_t i = 0; i < TN_Q8_HEAD; i += TN_LANES)
        tn_lb_store(b, LLVMConstNull(bytes32), tn_lb_atc(b, out, i), 32);
    tn_lb_store(b, scale, out, 4);
    tn_lb_store(b, tn_lb_tree(b, m.out[0], TN_FOLD_ADD), tn_lb_atc(b, out, 4), 4);
}

/* void (x, out, i64 n, i64 padded) */
static LLVMValueRef quant_function(TnLb *b) {
    static const char name[] = "quant_row";
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_i64, b->t_i64};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_lb_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    Source s = {.row = LLVMGetParam(fn, 0), .end = LLVMGetParam(fn, 2)};
    quantised(b, &s, LLVMGetParam(fn, 1), LLVMGetParam(fn, 3));
    return tn_lb_shared_end(b, back);
}

static void quant(TnLb *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = arg(b, ref, 0);
    int64_t n = tn_lb_cols(b, x);
    LLVMValueRef padded = tn_lb_i64(b, (int64_t)tn_row_bytes(&b->g->nodes[ref].type) - TN_Q8_HEAD);
    LLVMValueRef row = whole_row(b, f, x), end = tn_lb_i64(b, n);
    if (row) {
        LLVMValueRef args[] = {row, tn_lb_result_row(b, f, ref), end, padded};
        tn_lb_call_function(b, quant_function(b), args, TN_COUNT(args));
        return;
    }
    Source s = {.f = f, .x = x, .n = n, .end = end};
    quantised(b, &s, tn_lb_result_row(b, f, ref), padded);
}
const TnLlvmOp tn_llvm_op_quant = {.can = tn_llvm_yes, .row = quant};

/* cos and sin of the angles of 32 frequencies. */
static void angles(TnLb *b, LLVMValueRef p, LLVMValueRef freq, int64_t apart, LLVMValueRef at,
                   LLVMValueRef *out_sin, LLVMValueRef *out_cos) {
    LLVMValueRef f0 = tn_lb_load(b, b->t_f32x, tn_lb_elem(b, freq, at, 4), 4);
    LLVMValueRef f1 = tn_lb_load(b, b->t_f32x, tn_lb_elem(b, tn_lb_atc(b, freq, apart), at, 4), 4);
    LLVMValueRef c = tn_lb_fmul(b, p, f0);
    LLVMValueRef e = tn_lb_fma(b, p, f0, tn_lb_fneg(b, c));
    LLVMValueRef g = tn_lb_fsub(b, c, tn_lb_rint(b, c));
    LLVMValueRef h = tn_lb_fadd(b, g, tn_lb_fma(b, p, f1, e));
    LLVMValueRef u = tn_lb_fsub(b, h, tn_lb_rint(b, h));
    LLVMValueRef ok = tn_lb_and(b, tn_lb_fcmp(b, LLVMRealOGE, u, tn_lb_vf(b, -0.5f)),
                                tn_lb_fcmp(b, LLVMRealOLE, u, tn_lb_vf(b, 0.5f)));
    tn_lb_sincos_turn(b, tn_lb_select(b, ok, u, tn_lb_vf(b, 0.0f)), out_sin, out_cos);
    *out_sin = tn_lb_select(b, ok, *out_sin, tn_lb_vf(b, NAN));
    *out_cos = tn_lb_select(b, ok, *out_cos, tn_lb_vf(b, NAN));
}

/* All cosines first: where n is no multiple of 32 their last block runs over into the sines, which are
 * written later. */
static void rope_angle(TnLb *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef freq = arg(b, ref, 1);
    int64_t n = tn_lb_cols(b, freq), apart = (int64_t)tn_row_bytes(&b->g->nodes[freq].type);
    LLVMValueRef pos = tn_lb_load(b, b->t_i32, tn_lb_row_mem(b, f, arg(b, ref, 0)), 4);
    LLVMValueRef p = tn_lb_splat(b, tn_lb_si_to_fp(b, pos, b->t_f32), TN_LANES);
    LLVMValueRef table = tn_lb_operand(b, freq), out = tn_lb_result_row(b, f, ref), s, c;
    for (int sines = 0; sines < 2; sines++) {
        LLVMValueRef to = tn_lb_atc(b, out, sines ? n * 4 : 0);
        TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, n), TN_LANES);
        angles(b, p, table, apart, l.i, &s, &c);
        tn_lb_store(b, sines ? s : c, tn_lb_elem(b, to, l.i, 4), 4);
        tn_lb_loop_end(b, &l);
    }
}
const TnLlvmOp tn_llvm_op_rope_angle = {.can = tn_llvm_yes, .row = rope_angle};
