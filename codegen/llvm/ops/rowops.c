/* Ops on whole rows: rmsnorm, quant, quant_groups, rope_angle, and headnorm, for which each head is a row.
 *
 * If a row is in memory and consists of whole blocks of 32 columns, these ops call a function that the
 * module's kernels share, since a model has a dozen of each. rope_angle has no function.
 *
 * The first of a norm's two passes waits for memory, so the second fetches the row after it. */
#include "codegen/llvm/ops/ops.h"

#include <math.h>
#include <stdio.h>
#include "ir/type_layout.h"
#include "ir/places.h"
#include "runtime/base/fmath.h"

static TnRef arg(TnBuilder *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* The lanes of the block at `off` that belong to the n columns of a reduction; NULL: all. */
static LLVMValueRef below(TnBuilder *b, int64_t n, LLVMValueRef off) {
    if (n % TN_LANES == 0) return NULL;
    return tn_build_mask_below(b, tn_build_sub(b, tn_build_i64(b, n), off), TN_LANES);
}

/* v with +0 in the lanes that the mask turns off. */
static LLVMValueRef only(TnBuilder *b, LLVMValueRef v, LLVMValueRef mask) {
    return mask ? tn_build_select(b, mask, v, LLVMConstNull(LLVMTypeOf(v))) : v;
}

/* The values of x at the 32 indices in `places` from `off` on. */
static LLVMValueRef at_places(TnBuilder *b, LLVMValueRef x, LLVMValueRef places, LLVMValueRef off) {
    LLVMValueRef index = tn_build_load(b, b->t_i32x, tn_build_elem(b, places, off, 4), 4);
    return tn_build_gather(b, x, index);
}

/* A row to read: n columns of a value in a frame, or the row of a function. */
typedef struct Source {
    const TnFrame *f;
    TnRef x;
    LLVMValueRef row; /* if not NULL, a row in memory; f and x are not used */
    bool partial;     /* `row` ends after n columns, and other columns follow; else it is whole blocks */
    int64_t n;        /* only without a row or with a partial one */
    LLVMValueRef end; /* n as i64 */
    bool scaled;      /* values are multiplied by TN_NORM_SCALE when they are read */
} Source;

static LLVMValueRef times_scale(TnBuilder *b, const Source *s, LLVMValueRef v) {
    return s->scaled ? tn_build_fmul(b, v, tn_build_vf(b, TN_NORM_SCALE)) : v;
}
static LLVMValueRef block_of(TnBuilder *b, const Source *s, LLVMValueRef off) {
    if (!s->row) return times_scale(b, s, tn_build_value(b, s->f, s->x, off, NULL));
    LLVMValueRef mask = s->partial ? below(b, s->n, off) : NULL;
    return times_scale(b, s, tn_build_load_masked(b, b->t_f32x, tn_build_elem(b, s->row, off, 4), 4, mask));
}
static LLVMValueRef below_end(TnBuilder *b, const Source *s, LLVMValueRef off) {
    return s->row && !s->partial ? NULL : below(b, s->n, off);
}

/* The address of a value's row if a function can take it, else NULL. */
static LLVMValueRef whole_row(TnBuilder *b, const TnFrame *f, TnRef x) {
    if (tn_build_cols(b, x) % TN_LANES) return NULL;
    return tn_build_inside(b, x) && !f->mem[x - b->k->first] ? NULL : tn_build_mem(b, f, x);
}

/* The arguments of rmsnorm for one row. The sum of squares is over the whole row, or over its elements at
 * `places`. */
typedef struct Norm {
    LLVMValueRef divisor, eps, weights, out;
    LLVMValueRef next;      /* NULL, or the row to fetch meanwhile; it may be this one */
    LLVMValueRef x, places; /* NULL, or the row in memory and `count` places */
    int64_t count;
    TnEnc enc; /* of weights */
} Norm;

static LLVMValueRef is_finite(TnBuilder *b, LLVMValueRef mean) {
    return tn_build_fcmp(b, LLVMRealOLT, mean, tn_build_f32(b, INFINITY));
}

static LLVMValueRef squares(TnBuilder *b, const Source *s) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), s->end, TN_LANES);
    LLVMValueRef acc = tn_build_carry(b, &l, tn_build_vf(b, 0.0f));
    LLVMValueRef v = only(b, block_of(b, s, l.i), below_end(b, s, l.i));
    tn_build_next(&l, 0, tn_build_fma(b, v, v, acc));
    tn_build_loop_end(b, &l);
    return l.out[0];
}

static LLVMValueRef squares_at(TnBuilder *b, const Source *s, const Norm *norm) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, norm->count), TN_LANES);
    LLVMValueRef acc = tn_build_carry(b, &l, tn_build_vf(b, 0.0f)),
                 v = at_places(b, norm->x, norm->places, l.i);
    v = times_scale(b, s, v);
    tn_build_next(&l, 0, tn_build_fma(b, v, v, acc));
    tn_build_loop_end(b, &l);
    return l.out[0];
}

static LLVMValueRef mean_of(TnBuilder *b, const Source *s, const Norm *norm) {
    LLVMValueRef sums = norm->places ? squares_at(b, s, norm) : squares(b, s), eps = norm->eps;
    for (int i = 0; s->scaled && i < 2; i++) eps = tn_build_fmul(b, eps, tn_build_f32(b, TN_NORM_SCALE));
    LLVMValueRef mean = tn_build_fdiv(b, tn_build_tree(b, sums, TN_FOLD_FADD), norm->divisor);
    return tn_build_fadd(b, mean, eps);
}

static void put_normed(TnBuilder *b, const Source *s, const Norm *norm, LLVMValueRef mean) {
    LLVMValueRef r = tn_build_fdiv(b, tn_build_f32(b, 1.0f), tn_build_sqrt(b, mean));
    if (s->scaled) r = tn_build_select(b, is_finite(b, mean), r, tn_build_f32(b, NAN));
    r = tn_build_splat(b, r, TN_LANES);
    TnLoop m = tn_build_loop(b, tn_build_i64(b, 0), s->end, TN_LANES);
    LLVMValueRef v = tn_build_fmul(b, block_of(b, s, m.i), r), at = m.i;
    LLVMValueRef next = norm->next ? tn_build_elem(b, norm->next, at, 4) : NULL;
    for (int64_t i = 0; next && i < TN_LANES * 4; i += 64)
        tn_build_prefetch(b, tn_build_atc(b, next, i), TN_INTO_L2);
    LLVMValueRef g =
        tn_build_load_wide(b, norm->enc, tn_build_elem(b, norm->weights, at, tn_enc_bytes(norm->enc)));
    LLVMValueRef mask = s->partial ? below(b, s->n, at) : NULL;
    tn_build_store_masked(b, tn_build_fmul(b, v, g), tn_build_elem(b, norm->out, at, 4), 4, mask);
    tn_build_loop_end(b, &m);
}

enum { FUNCTION_PARAMS = 7 };
static LLVMValueRef rmsnorm_function(TnBuilder *b, TnEnc enc, bool scaled);

/* Writes the row's values. If the mean is not finite, they are computed again from the scaled source, by a
 * function if the row is in memory. */
static void normed(TnBuilder *b, const Source *s, const Norm *norm) {
    LLVMValueRef mean = mean_of(b, s, norm);
    TnIf finite = tn_build_if(b, is_finite(b, mean));
    put_normed(b, s, norm, mean);
    tn_build_else(b, &finite);
    if (s->row && !s->partial) {
        LLVMValueRef args[FUNCTION_PARAMS] = {s->row,        norm->weights, norm->out, s->end,
                                              norm->divisor, norm->eps,     s->row};
        tn_build_call_function(b, rmsnorm_function(b, norm->enc, true), args, FUNCTION_PARAMS);
    } else {
        Source again = *s;
        again.scaled = true;
        put_normed(b, &again, norm, mean_of(b, &again, norm));
    }
    tn_build_if_end(b, &finite);
}

/* void (x, weights, out, i64 n, f32 divisor, f32 eps, next) */
static LLVMValueRef rmsnorm_function(TnBuilder *b, TnEnc enc, bool scaled) {
    char name[64];
    snprintf(name, sizeof name, "rmsnorm_%s%s", tn_encs[enc].name, scaled ? "_scaled" : "");
    LLVMTypeRef params[FUNCTION_PARAMS] = {b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64,
                                           b->t_f32, b->t_f32, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, FUNCTION_PARAMS, &fn);
    if (!back) return fn;
    Source s = {.row = LLVMGetParam(fn, 0), .end = LLVMGetParam(fn, 3), .scaled = scaled};
    Norm norm = {.divisor = LLVMGetParam(fn, 4),
                 .eps = LLVMGetParam(fn, 5),
                 .weights = LLVMGetParam(fn, 1),
                 .out = LLVMGetParam(fn, 2),
                 .next = scaled ? NULL : LLVMGetParam(fn, 6),
                 .enc = enc};
    if (scaled)
        put_normed(b, &s, &norm, mean_of(b, &s, &norm));
    else
        normed(b, &s, &norm);
    return tn_build_shared_end(b, back);
}

/* The row of x that this worker comes to next, if a unit is a row and x is not of this kernel; else `row`. */
static LLVMValueRef row_after(TnBuilder *b, const TnFrame *f, TnRef x, LLVMValueRef row) {
    if (b->k->axis != TN_AXIS_ROWS || b->k->root != TN_NONE || tn_build_inside(b, x)) return row;
    LLVMValueRef one = tn_build_i64(b, 1);
    return tn_build_operand_row(b, x,
                                tn_build_min(b, tn_build_add(b, f->row, one), tn_build_sub(b, b->hi, one)));
}

static void rmsnorm(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = arg(b, ref, 0), w = arg(b, ref, 1);
    const TnNode *node = &b->g->nodes[ref];
    const TnAttr *divisor = tn_node_attr(node, TN_ATTR_n);
    TnRef places = node->n_args > 2 ? node->args[2] : TN_NONE;
    int64_t n = tn_build_cols(b, x);
    Source s = {.f = f, .x = x, .n = n, .end = tn_build_i64(b, n)};
    Norm norm = {.divisor = tn_build_f32(b, (float)(divisor ? divisor->i : n)),
                 .eps = tn_build_f32(b, tn_attr_float(node, TN_ATTR_eps)),
                 .weights = tn_build_operand(b, w),
                 .enc = b->g->nodes[w].type.enc};
    LLVMValueRef row = places == TN_NONE ? whole_row(b, f, x) : NULL;
    if (places != TN_NONE) {
        norm.x = tn_build_mem(b, f, x);
        norm.places = tn_build_operand(b, places);
        norm.count = tn_type_rows(&b->g->nodes[places].type, NULL) * TN_PLACES;
    }
    norm.out = tn_build_result_row(b, f, ref);
    if (row) {
        LLVMValueRef next = row_after(b, f, x, row);
        LLVMValueRef args[FUNCTION_PARAMS] = {row,          norm.weights, norm.out, s.end,
                                              norm.divisor, norm.eps,     next};
        tn_build_call_function(b, rmsnorm_function(b, norm.enc, false), args, FUNCTION_PARAMS);
        return;
    }
    normed(b, &s, &norm);
}
static bool can_rmsnorm(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_enc_is_float(g->nodes[g->nodes[ref].args[1]].type.enc);
}
const TnLlvmOp tn_llvm_op_rmsnorm = {.can = can_rmsnorm, .row = rmsnorm};

/* Norms each head of the strip as rmsnorm norms a row. */
static void headnorm(TnBuilder *b, TnFrame *f, TnRef ref) {
    const TnNode *node = &b->g->nodes[ref];
    TnRef w = node->args[1];
    int64_t head = tn_build_cols(b, w);
    tn_build_check_heads(b, f, head);
    LLVMValueRef x = tn_build_mem(b, f, node->args[0]), cols = f->width;
    if (!cols) cols = tn_build_i64(b, tn_build_cols(b, ref));
    LLVMValueRef y = f->width ? tn_build_result_strip(b, f, ref) : tn_build_result_row(b, f, ref);
    Norm norm = {.divisor = tn_build_f32(b, (float)head),
                 .eps = tn_build_f32(b, tn_attr_float(node, TN_ATTR_eps)),
                 .weights = tn_build_operand(b, w),
                 .enc = b->g->nodes[w].type.enc};
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), cols, head);
    Source s = {.row = tn_build_elem(b, x, l.i, 4), .partial = head % TN_LANES != 0, .n = head};
    s.end = tn_build_i64(b, head);
    norm.out = tn_build_elem(b, y, l.i, 4);
    if (s.partial) {
        normed(b, &s, &norm);
    } else {
        LLVMValueRef args[FUNCTION_PARAMS] = {s.row,        norm.weights, norm.out, s.end,
                                              norm.divisor, norm.eps,     s.row};
        tn_build_call_function(b, rmsnorm_function(b, norm.enc, false), args, FUNCTION_PARAMS);
    }
    tn_build_loop_end(b, &l);
    if (f->width && tn_build_leaves(b, ref)) tn_build_copy_out(b, f, ref);
}
const TnLlvmOp tn_llvm_op_headnorm = {.can = can_rmsnorm, .row = headnorm};

/* Writes q8 to `out`. Codes after n rounded up to 32 are 0, up to `padded` (i64) codes in all. */
static void quantised(TnBuilder *b, const Source *s, LLVMValueRef out, LLVMValueRef padded) {
    LLVMValueRef zero = tn_build_i64(b, 0);
    TnLoop l = tn_build_loop(b, zero, s->end, TN_LANES);
    LLVMValueRef top = tn_build_carry(b, &l, LLVMConstNull(b->t_i32x));
    LLVMValueRef u = tn_build_bits(b, block_of(b, s, l.i));
    u = only(b, tn_build_and(b, u, tn_build_vi(b, 0x7fffffff)), below_end(b, s, l.i));
    tn_build_next(&l, 0, tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, u, top), u, top));
    tn_build_loop_end(b, &l);
    LLVMValueRef scale, factor = tn_build_quant_factor(b, tn_build_tree(b, l.out[0], TN_FOLD_UMAX), &scale);
    factor = tn_build_splat(b, factor, TN_LANES);

    LLVMValueRef codes = tn_build_atc(b, out, TN_Q8_HEAD);
    TnLoop m = tn_build_loop(b, zero, s->end, TN_LANES);
    LLVMValueRef sum = tn_build_carry(b, &m, LLVMConstNull(b->t_i32x));
    LLVMValueRef q = tn_build_quant(b, block_of(b, s, m.i), factor);
    q = only(b, q, below_end(b, s, m.i));
    LLVMValueRef q8 = tn_build_trunc(b, q, LLVMVectorType(b->t_i8, TN_LANES));
    tn_build_store(b, q8, tn_build_at(b, codes, m.i), 32);
    tn_build_next(&m, 0, tn_build_add(b, sum, q));
    tn_build_loop_end(b, &m);
    LLVMTypeRef bytes32 = LLVMVectorType(b->t_i8, TN_LANES);
    LLVMValueRef blocks = tn_build_add(b, s->end, tn_build_i64(b, TN_LANES - 1));
    TnLoop z = tn_build_loop(b, tn_build_and(b, blocks, tn_build_i64(b, -TN_LANES)), padded, TN_LANES);
    tn_build_store(b, LLVMConstNull(bytes32), tn_build_at(b, codes, z.i), 32);
    tn_build_loop_end(b, &z);
    for (int64_t i = 0; i < TN_Q8_HEAD; i += TN_LANES)
        tn_build_store(b, LLVMConstNull(bytes32), tn_build_atc(b, out, i), 32);
    tn_build_store(b, scale, out, 4);
    tn_build_store(b, tn_build_tree(b, m.out[0], TN_FOLD_ADD), tn_build_atc(b, out, 4), 4);
}

/* void (x, out, i64 n, i64 padded) */
static LLVMValueRef quant_function(TnBuilder *b) {
    static const char name[] = "quant_row";
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_i64, b->t_i64};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    Source s = {.row = LLVMGetParam(fn, 0), .end = LLVMGetParam(fn, 2)};
    quantised(b, &s, LLVMGetParam(fn, 1), LLVMGetParam(fn, 3));
    return tn_build_shared_end(b, back);
}

static void quant(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = arg(b, ref, 0);
    int64_t n = tn_build_cols(b, x);
    LLVMValueRef padded = tn_build_i64(b, (int64_t)tn_row_bytes(&b->g->nodes[ref].type) - TN_Q8_HEAD);
    LLVMValueRef row = whole_row(b, f, x), end = tn_build_i64(b, n);
    if (row) {
        LLVMValueRef args[] = {row, tn_build_result_row(b, f, ref), end, padded};
        tn_build_call_function(b, quant_function(b), args, TN_COUNT(args));
        return;
    }
    Source s = {.f = f, .x = x, .n = n, .end = end};
    quantised(b, &s, tn_build_result_row(b, f, ref), padded);
}
const TnLlvmOp tn_llvm_op_quant = {.can = tn_llvm_yes, .row = quant};

/* Writes q8g to `out`, group by group of n columns; s->end is the number of all columns. */
static void quantised_groups(TnBuilder *b, const Source *s, LLVMValueRef out, int64_t n, LLVMValueRef part,
                             LLVMValueRef padded) {
    LLVMTypeRef bytes32 = LLVMVectorType(b->t_i8, TN_LANES);
    LLVMValueRef zero = tn_build_i64(b, 0), head = tn_build_add(b, part, part),
                 codes = tn_build_at(b, out, head);
    TnLoop h = tn_build_loop(b, zero, head, TN_LANES);
    tn_build_store(b, LLVMConstNull(bytes32), tn_build_at(b, out, h.i), 32);
    tn_build_loop_end(b, &h);
    TnLoop z = tn_build_loop(b, s->end, padded, TN_LANES);
    tn_build_store(b, LLVMConstNull(bytes32), tn_build_at(b, codes, z.i), 32);
    tn_build_loop_end(b, &z);
    TnLoop g = tn_build_loop(b, zero, s->end, n);
    LLVMValueRef at = tn_build_walk(b, &g, out, 4), top = NULL, sum = NULL;
    for (int64_t i = 0; i < n; i += TN_LANES) {
        LLVMValueRef u = tn_build_bits(b, block_of(b, s, tn_build_add(b, g.i, tn_build_i64(b, i))));
        u = tn_build_and(b, u, tn_build_vi(b, 0x7fffffff));
        top = top ? tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, u, top), u, top) : u;
    }
    LLVMValueRef scale, factor = tn_build_quant_factor(b, tn_build_tree(b, top, TN_FOLD_UMAX), &scale);
    factor = tn_build_splat(b, factor, TN_LANES);
    for (int64_t i = 0; i < n; i += TN_LANES) {
        LLVMValueRef col = tn_build_add(b, g.i, tn_build_i64(b, i));
        LLVMValueRef q = tn_build_quant(b, block_of(b, s, col), factor);
        tn_build_store(b, tn_build_trunc(b, q, bytes32), tn_build_at(b, codes, col), 32);
        sum = sum ? tn_build_add(b, sum, q) : q;
    }
    tn_build_store(b, scale, at, 4);
    tn_build_store(b, tn_build_tree(b, sum, TN_FOLD_ADD), tn_build_at(b, at, part), 4);
    tn_build_loop_end(b, &g);
}

/* void (x, out, i64 columns, i64 part, i64 padded) */
static LLVMValueRef quant_groups_function(TnBuilder *b, int64_t n) {
    char name[64];
    snprintf(name, sizeof name, "quant_groups_%lld", (long long)n);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_i64, b->t_i64, b->t_i64};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    Source s = {.row = LLVMGetParam(fn, 0), .end = LLVMGetParam(fn, 2)};
    quantised_groups(b, &s, LLVMGetParam(fn, 1), n, LLVMGetParam(fn, 3), LLVMGetParam(fn, 4));
    return tn_build_shared_end(b, back);
}

static void quant_groups(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef x = arg(b, ref, 0);
    const TnType *t = &b->g->nodes[ref].type;
    int64_t k = tn_build_cols(b, x), bytes = (int64_t)tn_q8g_part(t);
    LLVMValueRef part = tn_build_i64(b, bytes),
                 padded = tn_build_i64(b, (int64_t)tn_row_bytes(t) - 2 * bytes);
    LLVMValueRef row = whole_row(b, f, x), end = tn_build_i64(b, k);
    if (row) {
        LLVMValueRef args[] = {row, tn_build_result_row(b, f, ref), end, part, padded};
        tn_build_call_function(b, quant_groups_function(b, t->group), args, TN_COUNT(args));
        return;
    }
    Source s = {.f = f, .x = x, .n = k, .end = end};
    quantised_groups(b, &s, tn_build_result_row(b, f, ref), t->group, part, padded);
}
const TnLlvmOp tn_llvm_op_quant_groups = {.can = tn_llvm_yes, .row = quant_groups};

/* cos and sin of the angles of 32 frequencies. */
static void angles(TnBuilder *b, LLVMValueRef p, LLVMValueRef freq, int64_t apart, LLVMValueRef at,
                   LLVMValueRef *out_sin, LLVMValueRef *out_cos) {
    LLVMValueRef f0 = tn_build_load(b, b->t_f32x, tn_build_elem(b, freq, at, 4), 4);
    LLVMValueRef f1 = tn_build_load(b, b->t_f32x, tn_build_elem(b, tn_build_atc(b, freq, apart), at, 4), 4);
    LLVMValueRef c = tn_build_fmul(b, p, f0);
    LLVMValueRef e = tn_build_fma(b, p, f0, tn_build_fneg(b, c));
    LLVMValueRef g = tn_build_fsub(b, c, tn_build_rint(b, c));
    LLVMValueRef h = tn_build_fadd(b, g, tn_build_fma(b, p, f1, e));
    LLVMValueRef u = tn_build_fsub(b, h, tn_build_rint(b, h));
    LLVMValueRef ok = tn_build_and(b, tn_build_fcmp(b, LLVMRealOGE, u, tn_build_vf(b, -0.5f)),
                                   tn_build_fcmp(b, LLVMRealOLE, u, tn_build_vf(b, 0.5f)));
    tn_build_sincos_turn(b, tn_build_select(b, ok, u, tn_build_vf(b, 0.0f)), out_sin, out_cos);
    *out_sin = tn_build_select(b, ok, *out_sin, tn_build_vf(b, NAN));
    *out_cos = tn_build_select(b, ok, *out_cos, tn_build_vf(b, NAN));
}

/* Writes all cosines first: if n is not a multiple of 32, their last block runs into the sines, which are
 * written afterwards. */
static void rope_angle(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef freq = arg(b, ref, 1);
    int64_t n = tn_build_cols(b, freq), apart = (int64_t)tn_row_bytes(&b->g->nodes[freq].type);
    LLVMValueRef pos = tn_build_load(b, b->t_i32, tn_build_row_mem(b, f, arg(b, ref, 0)), 4);
    LLVMValueRef p = tn_build_splat(b, tn_build_si_to_fp(b, pos, b->t_f32), TN_LANES);
    LLVMValueRef table = tn_build_operand(b, freq), out = tn_build_result_row(b, f, ref), s, c;
    for (int sines = 0; sines < 2; sines++) {
        LLVMValueRef to = tn_build_atc(b, out, sines ? n * 4 : 0);
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), TN_LANES);
        angles(b, p, table, apart, l.i, &s, &c);
        tn_build_store(b, sines ? s : c, tn_build_elem(b, to, l.i, 4), 4);
        tn_build_loop_end(b, &l);
    }
}
const TnLlvmOp tn_llvm_op_rope_angle = {.can = tn_llvm_yes, .row = rope_angle};
