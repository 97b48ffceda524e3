/* rescore, rescore_top, pick: elements of a dense product one by one, for those rows that a bound leaves.
 *
 * Two walks over the approximations. The first finds the rows that promise most and, beside it, the widest radius;
 * their elements give a threshold. The second looks at blocks of 32: nearly all are ruled out by that radius alone,
 * without their errors and norms being read. What is left is computed in the order of matmul, and raises the
 * threshold. State that ifs change lies in scratch: there are a few dozen changes a row. */
#include "codegen/llvm/ops/ops.h"
#include "codegen/llvm/ops/top.h"

#include <math.h>
#include <stdio.h>
#include "ir/layout.h"

enum {
    VALUE = 0,
    ID = 4,
    BAD = 8,
    STATE = 64,
    BLOCK = 64
}; /* of the state: bytes; BLOCK: where it keeps 32 floats */

typedef struct Head {
    int64_t n;
    LLVMValueRef y, x, errors, norms, table; /* rows of this frame, arrays, and the dense table */
    LLVMValueRef x_norm, x_slack;            /* X and Y of the row, in 32 lanes */
    TnEnc enc;
    int64_t k;
    LLVMValueRef state;
} Head;

static TnRef arg(TnLb *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* void (row of the table, row of x, float *out): an element of matmul. */
static LLVMValueRef dot_function(TnLb *b, TnEnc enc, int64_t k) {
    char name[64];
    snprintf(name, sizeof name, "element_%s_k%lld", tn_encs[enc].name, (long long)k);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_lb_shared(b, name, params, 3, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), x = LLVMGetParam(fn, 1);
    int64_t full = k / TN_LANES * TN_LANES, size = tn_enc_bytes(enc);
    TnLoop i = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, full), TN_LANES);
    LLVMValueRef acc = tn_lb_carry(b, &i, tn_lb_vf(b, 0.0f));
    LLVMValueRef v = tn_lb_load_wide(b, enc, tn_lb_elem(b, w, i.i, size));
    LLVMValueRef a = tn_lb_load(b, b->t_f32x, tn_lb_elem(b, x, i.i, 4), 4);
    tn_lb_next(&i, 0, tn_lb_fma(b, a, v, acc));
    tn_lb_loop_end(b, &i);
    acc = i.out[0];
    if (full < k) {
        v = tn_lb_load_wide(b, enc, tn_lb_atc(b, w, full * size));
        a = tn_lb_load(b, b->t_f32x, tn_lb_atc(b, x, full * 4), 4);
        a = tn_lb_select(b, tn_lb_mask_const(b, k - full, TN_LANES), a, tn_lb_vf(b, 0.0f));
        acc = tn_lb_fma(b, a, v, acc);
    }
    tn_lb_store(b, tn_lb_tree(b, acc, TN_FOLD_FADD), LLVMGetParam(fn, 2), 4);
    return tn_lb_shared_end(b, back);
}

/* The element of row `id` (i64); out is 4 bytes of scratch. */
static LLVMValueRef element(TnLb *b, const Head *h, LLVMValueRef id, LLVMValueRef out) {
    TnType t = tn_type(h->enc, 2, (TnDim)1, (TnDim)h->k);
    LLVMValueRef args[] = {tn_lb_elem(b, h->table, id, (int64_t)tn_row_bytes(&t)), h->x, out};
    tn_lb_call_function(b, dot_function(b, h->enc, h->k), args, 3);
    return tn_lb_load(b, b->t_f32, out, 4);
}

static Head open_head(TnLb *b, TnFrame *f, TnRef ref) {
    const TnType *s = &b->g->nodes[arg(b, ref, 2)].type, *w = &b->g->nodes[arg(b, ref, 4)].type;
    Head h = {.n = s->dim[0], .enc = w->enc, .k = w->dim[1]};
    int64_t array = (int64_t)tn_screen_array_bytes(s);
    LLVMValueRef scales =
        tn_lb_atc(b, tn_lb_operand(b, arg(b, ref, 2)), s->dim[0] * (int64_t)tn_row_bytes(s));
    LLVMValueRef limbs = tn_lb_row_mem(b, f, arg(b, ref, 1));
    h.y = tn_lb_mem(b, f, arg(b, ref, 0));
    h.x = tn_lb_mem(b, f, arg(b, ref, 3));
    h.errors = tn_lb_atc(b, scales, array);
    h.norms = tn_lb_atc(b, scales, 2 * array);
    h.table = tn_lb_operand(b, arg(b, ref, 4));
    h.x_norm = tn_lb_splat(b, tn_lb_load(b, b->t_f32, tn_lb_atc(b, limbs, 12), 4), TN_LANES);
    h.x_slack = tn_lb_splat(b, tn_lb_load(b, b->t_f32, tn_lb_atc(b, limbs, 16), 4), TN_LANES);
    h.state = tn_lb_scratch(b, STATE + TN_LANES * 4);
    return h;
}

/* The radii of 32 rows. The arrays are padded to 64 rows. */
static LLVMValueRef radii(TnLb *b, const Head *h, LLVMValueRef at) {
    LLVMValueRef e = tn_lb_load(b, b->t_f32x, tn_lb_elem(b, h->errors, at, 4), 4);
    LLVMValueRef n = tn_lb_load(b, b->t_f32x, tn_lb_elem(b, h->norms, at, 4), 4);
    LLVMValueRef r = tn_lb_fma(b, h->x_slack, n, tn_lb_fma(b, h->x_norm, e, tn_lb_vf(b, 0x1p-120f)));
    LLVMValueRef size = tn_lb_fmul(b, h->x_norm, n);
    LLVMValueRef small = tn_lb_fcmp(b, LLVMRealOLT, size, tn_lb_vf(b, 0x1p126f));
    return tn_lb_select(b, small, r, tn_lb_vf(b, INFINITY));
}

/* The larger of 32 radii and those before, as bits: none is negative, and NaN stays. */
static LLVMValueRef wider(TnLb *b, LLVMValueRef widest, LLVMValueRef radii) {
    LLVMValueRef bits = tn_lb_bits(b, radii);
    return tn_lb_select(b, tn_lb_icmp(b, LLVMIntUGT, bits, widest), bits, widest);
}

static LLVMValueRef widest_of(TnLb *b, LLVMValueRef bits) {
    return tn_lb_float_of(b, tn_lb_tree(b, bits, TN_FOLD_UMAX));
}

static LLVMValueRef any(TnLb *b, LLVMValueRef lanes) {
    return tn_lb_icmp(b, LLVMIntNE, tn_lb_bitcast(b, lanes, b->t_i32), tn_lb_i32(b, 0));
}

static LLVMValueRef state(TnLb *b, const Head *h, int what) {
    return tn_lb_load(b, what == VALUE ? b->t_f32 : b->t_i32, tn_lb_atc(b, h->state, what), 4);
}

static LLVMValueRef is_finite(TnLb *b, LLVMValueRef x) {
    LLVMValueRef bits = tn_lb_and(b, tn_lb_bits(b, x), tn_lb_i32(b, 0x7fffffff));
    return tn_lb_icmp(b, LLVMIntULT, bits, tn_lb_i32(b, 0x7f800000));
}

static LLVMValueRef narrow(TnLb *b, LLVMValueRef i) {
    return tn_lb_trunc(b, i, b->t_i32);
}

/* The second walk: for every row whose upper bound is not below the threshold in the state, in order, what
 * `candidate` emits. */
typedef void Candidate(TnLb *b, const Head *h, LLVMValueRef id, const void *user);
static void walk(TnLb *b, const Head *h, LLVMValueRef widest, Candidate *candidate, const void *user) {
    LLVMValueRef end = tn_lb_i64(b, h->n), wide = tn_lb_splat(b, widest, TN_LANES);
    TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), end, TN_LANES);
    LLVMValueRef y = tn_lb_load_block(b, h->y, l.i, h->n, -INFINITY);
    LLVMValueRef top = tn_lb_fadd(b, y, wide);
    LLVMValueRef threshold = tn_lb_splat(b, state(b, h, VALUE), TN_LANES);
    TnIf some = tn_lb_if(b, any(b, tn_lb_fcmp(b, LLVMRealUGE, top, threshold)));
    LLVMValueRef block = tn_lb_atc(b, h->state, BLOCK);
    tn_lb_store(b, tn_lb_fadd(b, y, radii(b, h, l.i)), block, 4);
    LLVMValueRef left = tn_lb_min(b, tn_lb_sub(b, end, l.i), tn_lb_i64(b, TN_LANES));
    TnLoop j = tn_lb_loop(b, tn_lb_i64(b, 0), left, 1);
    LLVMValueRef high = tn_lb_load(b, b->t_f32, tn_lb_elem(b, block, j.i, 4), 4);
    LLVMValueRef open = tn_lb_fcmp(b, LLVMRealUGE, high, state(b, h, VALUE));
    LLVMValueRef good = tn_lb_icmp(b, LLVMIntEQ, state(b, h, BAD), tn_lb_i32(b, 0));
    TnIf one = tn_lb_if(b, tn_lb_and(b, open, good));
    candidate(b, h, tn_lb_add(b, l.i, j.i), user);
    tn_lb_if_end(b, &one);
    tn_lb_loop_end(b, &j);
    tn_lb_if_end(b, &some);
    tn_lb_loop_end(b, &l);
}

/* ---- rescore */

/* Keeps the element of row id if it is better than the best so far. */
static void keep_best(TnLb *b, const Head *h, LLVMValueRef id, const void *out) {
    LLVMValueRef v = element(b, h, id, (LLVMValueRef)(uintptr_t)out);
    LLVMValueRef best = state(b, h, VALUE), at = state(b, h, ID), finite = is_finite(b, v);
    LLVMValueRef before =
        tn_lb_and(b, tn_lb_fcmp(b, LLVMRealOEQ, v, best), tn_lb_icmp(b, LLVMIntSLT, narrow(b, id), at));
    LLVMValueRef better = tn_lb_or(b, tn_lb_fcmp(b, LLVMRealOGT, v, best), before);
    tn_lb_store(b, tn_lb_select(b, better, v, best), tn_lb_atc(b, h->state, VALUE), 4);
    tn_lb_store(b, tn_lb_select(b, better, narrow(b, id), at), tn_lb_atc(b, h->state, ID), 4);
    tn_lb_store(b, tn_lb_zext(b, tn_lb_not(b, finite), b->t_i32), tn_lb_atc(b, h->state, BAD), 4);
}

/* The row with the largest lower bound (i64), and the widest radius. Lane j looks at rows j, j+32, ... */
static LLVMValueRef most_promising(TnLb *b, const Head *h, LLVMValueRef *out_widest) {
    TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, h->n), TN_LANES);
    LLVMValueRef best = tn_lb_carry(b, &l, tn_lb_vf(b, -INFINITY));
    LLVMValueRef index = tn_lb_carry(b, &l, tn_lb_vi(b, 0)), widest = tn_lb_carry(b, &l, tn_lb_vi(b, 0));
    LLVMValueRef y = tn_lb_load_block(b, h->y, l.i, h->n, NAN), r = radii(b, h, l.i);
    LLVMValueRef low = tn_lb_fsub(b, y, r);
    LLVMValueRef more = tn_lb_fcmp(b, LLVMRealOGT, low, best);
    LLVMValueRef at = tn_lb_add(b, tn_lb_splat(b, narrow(b, l.i), TN_LANES), tn_lb_iota(b, TN_LANES));
    tn_lb_next(&l, 0, tn_lb_select(b, more, low, best));
    tn_lb_next(&l, 1, tn_lb_select(b, more, at, index));
    tn_lb_next(&l, 2, wider(b, widest, r));
    tn_lb_loop_end(b, &l);
    *out_widest = widest_of(b, l.out[2]);
    LLVMValueRef top = tn_lb_splat(b, tn_lb_tree(b, l.out[0], TN_FOLD_FMAX), TN_LANES);
    LLVMValueRef has = tn_lb_fcmp(b, LLVMRealOEQ, l.out[0], top);
    LLVMValueRef inverse = tn_lb_select(b, has, tn_lb_not(b, l.out[1]), tn_lb_vi(b, 0));
    LLVMValueRef id = tn_lb_not(b, tn_lb_tree(b, inverse, TN_FOLD_UMAX));
    return tn_lb_zext(b, id, b->t_i64);
}

static void rescore(TnLb *b, TnFrame *f, TnRef ref) {
    Head h = open_head(b, f, ref);
    LLVMValueRef out = tn_lb_scratch(b, 64), widest;
    LLVMValueRef first = most_promising(b, &h, &widest), v = element(b, &h, first, out);
    LLVMValueRef bad = tn_lb_not(b, is_finite(b, v));
    tn_lb_store(b, v, tn_lb_atc(b, h.state, VALUE), 4);
    tn_lb_store(b, narrow(b, first), tn_lb_atc(b, h.state, ID), 4);
    tn_lb_store(b, tn_lb_zext(b, bad, b->t_i32), tn_lb_atc(b, h.state, BAD), 4);
    walk(b, &h, widest, keep_best, out);
    LLVMValueRef good = tn_lb_icmp(b, LLVMIntEQ, state(b, &h, BAD), tn_lb_i32(b, 0));
    LLVMValueRef id = tn_lb_select(b, good, state(b, &h, ID), tn_lb_i32(b, -1));
    tn_lb_store(b, id, tn_lb_result_row(b, f, ref), 4);
}

static bool can(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    const TnNode *n = &g->nodes[ref];
    return tn_enc_is_float(g->nodes[n->args[n->n_args - 1]].type.enc);
}
const TnLlvmOp tn_llvm_op_rescore = {.can = can, .row = rescore};

/* ---- rescore_top */

typedef struct Top {
    TnTopList list;
    LLVMValueRef out;
} Top;

static void offer(TnLb *b, const Top *t, LLVMValueRef v, LLVMValueRef id) {
    TnIf one = tn_lb_if(b, tn_lb_top_takes(b, v, tn_lb_top_last(b, &t->list)));
    tn_lb_top_insert(b, &t->list, v, narrow(b, id));
    tn_lb_if_end(b, &one);
}

static void keep_top(TnLb *b, const Head *h, LLVMValueRef id, const void *user) {
    const Top *t = user;
    offer(b, t, element(b, h, id, t->out), id);
}

/* The list of the largest lower bounds; the widest radius. */
static LLVMValueRef list_promising(TnLb *b, const Head *h, const Top *t) {
    LLVMValueRef end = tn_lb_i64(b, h->n), block = tn_lb_atc(b, h->state, BLOCK);
    LLVMValueRef widest = tn_lb_scratch(b, TN_LANES * 4);
    tn_lb_store(b, tn_lb_vi(b, 0), widest, 64);
    TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), end, TN_LANES);
    LLVMValueRef y = tn_lb_load_block(b, h->y, l.i, h->n, NAN), r = radii(b, h, l.i);
    LLVMValueRef low = tn_lb_fsub(b, y, r);
    tn_lb_store(b, wider(b, tn_lb_load(b, b->t_i32x, widest, 64), r), widest, 64);
    TnIf some = tn_lb_if(b, any(b, tn_lb_top_takes(b, low, tn_lb_top_last(b, &t->list))));
    tn_lb_store(b, low, block, 4);
    TnLoop j = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, TN_LANES), 1);
    offer(b, t, tn_lb_load(b, b->t_f32, tn_lb_elem(b, block, j.i, 4), 4), tn_lb_add(b, l.i, j.i));
    tn_lb_loop_end(b, &j);
    tn_lb_if_end(b, &some);
    tn_lb_loop_end(b, &l);
    return widest_of(b, tn_lb_load(b, b->t_i32x, widest, 64));
}

/* The least element of the listed rows, into the state. */
static void find_threshold(TnLb *b, const Head *h, const Top *t) {
    tn_lb_store(b, tn_lb_f32(b, INFINITY), tn_lb_atc(b, h->state, VALUE), 4);
    TnLoop j = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, t->list.k), 1);
    LLVMValueRef id = tn_lb_load(b, b->t_i32, tn_lb_elem(b, t->list.ids, j.i, 4), 4);
    id = tn_lb_sext(b, id, b->t_i64);
    LLVMValueRef v = element(b, h, tn_lb_max(b, id, tn_lb_i64(b, 0)), t->out);
    LLVMValueRef there =
        tn_lb_and(b, tn_lb_icmp(b, LLVMIntSGE, id, tn_lb_i64(b, 0)), tn_lb_fcmp(b, LLVMRealORD, v, v));
    v = tn_lb_select(b, there, v, tn_lb_f32(b, -INFINITY));
    tn_lb_store(b, tn_lb_fmin(b, v, state(b, h, VALUE)), tn_lb_atc(b, h->state, VALUE), 4);
    tn_lb_loop_end(b, &j);
}

static void rescore_top(TnLb *b, TnFrame *f, TnRef ref) {
    Head h = open_head(b, f, ref);
    Top t = {tn_lb_top_list(b, tn_lb_cols(b, ref)), tn_lb_scratch(b, 64)};
    tn_lb_store(b, tn_lb_i32(b, 0), tn_lb_atc(b, h.state, BAD), 4);
    tn_lb_top_clear(b, &t.list);
    LLVMValueRef widest = list_promising(b, &h, &t);
    find_threshold(b, &h, &t);
    tn_lb_top_clear(b, &t.list);
    walk(b, &h, widest, keep_top, &t);
    LLVMValueRef y = tn_lb_result_row(b, f, ref);
    TnLoop out = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, t.list.room), TN_LANES);
    tn_lb_store(b, tn_lb_load(b, b->t_i32x, tn_lb_elem(b, t.list.ids, out.i, 4), 4),
                tn_lb_elem(b, y, out.i, 4), 4);
    tn_lb_loop_end(b, &out);
}
const TnLlvmOp tn_llvm_op_rescore_top = {.can = can, .row = rescore_top};

/* ---- pick */

static void pick(TnLb *b, TnFrame *f, TnRef ref) {
    const TnType *w = &b->g->nodes[arg(b, ref, 2)].type;
    Head h = {.enc = w->enc, .k = w->dim[1], .x = tn_lb_mem(b, f, arg(b, ref, 0))};
    h.table = tn_lb_operand(b, arg(b, ref, 2));
    LLVMValueRef ids = tn_lb_mem(b, f, arg(b, ref, 1)), y = tn_lb_result_row(b, f, ref);
    TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, tn_lb_cols(b, ref)), 1);
    LLVMValueRef id = tn_lb_sext(b, tn_lb_load(b, b->t_i32, tn_lb_elem(b, ids, l.i, 4), 4), b->t_i64);
    LLVMValueRef out = tn_lb_elem(b, y, l.i, 4), zero = tn_lb_i64(b, 0);
    LLVMValueRef v = element(b, &h, tn_lb_max(b, id, zero), out);
    LLVMValueRef none = tn_lb_icmp(b, LLVMIntSLT, id, zero);
    tn_lb_store(b, tn_lb_select(b, none, tn_lb_f32(b, -INFINITY), v), out, 4);
    tn_lb_loop_end(b, &l);
}
const TnLlvmOp tn_llvm_op_pick = {.can = can, .row = pick};
