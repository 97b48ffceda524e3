/* rerank, rerank_top, pick: compute single elements of a dense product, for the rows that a bound cannot rule
 * out.
 *
 * There are two walks over the estimates. The first finds the most promising rows and the widest radius. The
 * elements of these rows give a threshold. The second walk looks at blocks of 32 rows. The widest radius
 * alone rules out nearly all of them, so that their errors and norms are not read. Rows that are left are noted,
 * and what is read of them next is prefetched: their bits of the first plane of s5, else the beginning of their
 * rows of the table. After SWATH rows those noted are looked at again, since the threshold may have risen. With s5
 * they must pass the bound of each plane, which takes about 0.1 us a row. The elements of those still left are
 * computed in the order of matmul, and raise the threshold. State that changes within an if is kept in scratch; it
 * changes a few dozen times a row.
 *
 * Where rows are only listed, estimates stand for elements: they are far more exact than the bound. */
#include "codegen/llvm/ops/ternary.h"
#include "codegen/llvm/ops/table_rows.h"
#include "codegen/llvm/ops/top.h"

#include <math.h>
#include <stdio.h>
#include "ir/type_layout.h"

enum {
    VALUE = 0,
    ID = 4,
    BAD = 8,
    NOTED = 16,
    SWATH = 1024,
    BLOCK = 64,
    IDS = BLOCK + TN_LANES * 4,
    HIGHS = IDS + SWATH * 4,
    STATE = HIGHS + SWATH * 4
}; /* byte offsets in the state; BLOCK: room for 32 floats; IDS, HIGHS: the rows noted (NOTED of them) and their upper bounds */

typedef struct Head {
    int64_t n;
    LLVMValueRef y, x, errors, norms; /* estimates and activations of this row, two arrays */
    LLVMValueRef x_norm, x_slack;     /* X and Y of the row */
    TnEnc enc;
    int64_t k;
    TnRef weights;      /* the table's node */
    LLVMValueRef limbs; /* the row of q14 */
    int planes;         /* of s5: their bits, the arrays of steps and of errors that are left */
    LLVMValueRef plane[TN_PLANES_MOST], step[TN_PLANES_MOST], fine[TN_PLANES_MOST];
    int64_t plane_bytes; /* of a row */
    LLVMValueRef state;
} Head;

static TnRef arg(TnBuilder *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* void (row of the table, row of x, float *out): one element of matmul. */
static LLVMValueRef dot_function(TnBuilder *b, TnEnc enc, int64_t k) {
    char name[64];
    snprintf(name, sizeof name, "element_%s_k%lld", tn_encs[enc].name, (long long)k);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 3, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), x = LLVMGetParam(fn, 1);
    LLVMValueRef acc = tn_build_table_lanes(b, enc, w, x, k, false);
    tn_build_store(b, tn_build_tree(b, acc, TN_FOLD_FADD), LLVMGetParam(fn, 2), 4);
    return tn_build_shared_end(b, back);
}

/* The element of row `id` (i64); out is 4 bytes of scratch. */
static LLVMValueRef element(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef out) {
    LLVMValueRef args[] = {tn_build_listed_row(b, h->weights, id), h->x, out};
    tn_build_call_function(b, dot_function(b, h->enc, h->k), args, 3);
    return tn_build_load(b, b->t_f32, out, 4);
}

static Head open_head(TnBuilder *b, TnFrame *f, TnRef ref) {
    const TnType *s = &b->g->nodes[arg(b, ref, 2)].type, *w = &b->g->nodes[arg(b, ref, 4)].type;
    Head h = {.n = s->dim[0], .enc = w->enc, .k = w->dim[1], .weights = arg(b, ref, 4)};
    int64_t array = (int64_t)tn_shadow_array_bytes(s);
    LLVMValueRef scales =
        tn_build_atc(b, tn_build_operand(b, arg(b, ref, 2)), s->dim[0] * (int64_t)tn_row_bytes(s));
    LLVMValueRef limbs = h.limbs = tn_build_row_mem(b, f, arg(b, ref, 1));
    h.y = tn_build_mem(b, f, arg(b, ref, 0));
    h.x = tn_build_mem(b, f, arg(b, ref, 3));
    h.errors = tn_build_atc(b, scales, array);
    h.norms = tn_build_atc(b, scales, 2 * array);
    h.x_norm = tn_build_load(b, b->t_f32, tn_build_atc(b, limbs, 12), 4);
    h.x_slack = tn_build_load(b, b->t_f32, tn_build_atc(b, limbs, 16), 4);
    h.state = tn_build_scratch(b, STATE);
    h.plane_bytes = (int64_t)tn_shadow_plane_bytes(s);
    h.planes = tn_shadow_planes(s);
    LLVMValueRef table = tn_build_operand(b, arg(b, ref, 2));
    for (int p = 0; p < h.planes; p++) {
        h.step[p] = tn_build_atc(b, scales, (3 + 2 * p) * array);
        h.fine[p] = tn_build_atc(b, scales, (4 + 2 * p) * array);
        h.plane[p] = tn_build_atc(b, table, (int64_t)tn_shadow_plane_at(s, p));
    }
    return h;
}

/* The radii of rows with these errors and norms, as many as they have lanes. */
static LLVMValueRef radii_of(TnBuilder *b, const Head *h, LLVMValueRef e, LLVMValueRef n) {
    int lanes = LLVMGetTypeKind(LLVMTypeOf(e)) == LLVMVectorTypeKind ? TN_LANES : 1;
    LLVMValueRef tiny = tn_build_f32(b, 0x1p-120f), most = tn_build_f32(b, 0x1p126f);
    LLVMValueRef none = tn_build_f32(b, INFINITY), norm = h->x_norm, slack = h->x_slack;
    if (lanes > 1) {
        tiny = tn_build_splat(b, tiny, lanes), most = tn_build_splat(b, most, lanes);
        none = tn_build_splat(b, none, lanes);
        norm = tn_build_splat(b, norm, lanes), slack = tn_build_splat(b, slack, lanes);
    }
    LLVMValueRef r = tn_build_fma(b, slack, n, tn_build_fma(b, norm, e, tiny));
    LLVMValueRef small = tn_build_fcmp(b, LLVMRealOLT, tn_build_fmul(b, norm, n), most);
    return tn_build_select(b, small, r, none);
}

/* The radii of 32 rows. The arrays are padded to 64 rows. */
static LLVMValueRef radii(TnBuilder *b, const Head *h, LLVMValueRef at) {
    LLVMValueRef e = tn_build_load(b, b->t_f32x, tn_build_elem(b, h->errors, at, 4), 4);
    return radii_of(b, h, e, tn_build_load(b, b->t_f32x, tn_build_elem(b, h->norms, at, 4), 4));
}

/* The larger of 32 radii and the widest so far, compared as bits: none is negative, and a NaN stays. */
static LLVMValueRef wider(TnBuilder *b, LLVMValueRef widest, LLVMValueRef radii) {
    LLVMValueRef bits = tn_build_bits(b, radii);
    return tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, bits, widest), bits, widest);
}

static LLVMValueRef widest_of(TnBuilder *b, LLVMValueRef bits) {
    return tn_build_float_of(b, tn_build_tree(b, bits, TN_FOLD_UMAX));
}

static LLVMValueRef any(TnBuilder *b, LLVMValueRef lanes) {
    return tn_build_icmp(b, LLVMIntNE, tn_build_bitcast(b, lanes, b->t_i32), tn_build_i32(b, 0));
}

static LLVMValueRef state(TnBuilder *b, const Head *h, int what) {
    return tn_build_load(b, what == VALUE ? b->t_f32 : b->t_i32, tn_build_atc(b, h->state, what), 4);
}

static LLVMValueRef is_finite(TnBuilder *b, LLVMValueRef x) {
    LLVMValueRef bits = tn_build_and(b, tn_build_bits(b, x), tn_build_i32(b, 0x7fffffff));
    return tn_build_icmp(b, LLVMIntULT, bits, tn_build_i32(b, 0x7f800000));
}

static LLVMValueRef narrow(TnBuilder *b, LLVMValueRef i) {
    return tn_build_trunc(b, i, b->t_i32);
}

/* ---- the plane of s5 */

/* Adds the limbs at `from` whose bits at `bits` are set to sum, as many as a register has bytes. Codes are 0 or 1, so sums
 * of int16 have room. */
static LLVMValueRef add_set(TnBuilder *b, LLVMValueRef sum, LLVMValueRef bits, LLVMValueRef from) {
    unsigned v = (unsigned)b->level->bytes;
    LLVMTypeRef mask = LLVMVectorType(LLVMInt1TypeInContext(b->c), v);
    LLVMValueRef c = tn_build_zext(b, tn_build_bitcast(b, bits, mask), tn_tmatmul_bytes(b));
    LLVMValueRef a = tn_build_load(b, tn_tmatmul_bytes(b), from, v);
    if (!tn_level_narrow(b->level)) return tn_tmatmul_dot(b, sum, c, a);
    return tn_build_narrow_mix(b, sum, tn_build_narrow_add(b, NULL, c, a));
}

/* void (bits of a row of the plane, row of q14, i32 *out): 128*H + L, where the sums over the set bits are taken twice and
 * those over all bits once from them. */
static LLVMValueRef plane_function(TnBuilder *b, int64_t k) {
    enum { CODES = 256 };
    char name[64];
    snprintf(name, sizeof name, "plane_k%lld", (long long)k);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 3, &fn);
    if (!back) return fn;
    TnType q = tn_type(TN_ENC_q14, 2, (TnDim)1, (TnDim)k);
    int64_t padded = ((int64_t)tn_row_bytes(&q) - TN_Q14_HEAD) / 2;
    int v = b->level->bytes;
    LLVMValueRef zero = LLVMConstNull(tn_tmatmul_ints(b)), sum[4], all[2];
    LLVMValueRef row = LLVMGetParam(fn, 1), high = tn_build_atc(b, row, TN_Q14_HEAD);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, padded), CODES);
    for (int i = 0; i < 4; i++) sum[i] = tn_build_carry(b, &l, zero);
    LLVMValueRef bits = tn_build_walk(b, &l, LLVMGetParam(fn, 0), CODES / 8);
    LLVMValueRef at = tn_build_walk(b, &l, high, CODES);
    for (int i = 0; i < CODES / v; i++) {
        LLVMValueRef set =
            tn_build_load(b, LLVMIntTypeInContext(b->c, (unsigned)v), tn_build_atc(b, bits, i * v / 8), 2);
        for (int limb = 0; limb < 2; limb++) {
            LLVMValueRef *to = &sum[2 * limb + i % 2];
            *to = add_set(b, *to, set, tn_build_atc(b, at, limb * padded + i * v));
        }
    }
    for (int i = 0; i < 4; i++) tn_build_next(&l, i, sum[i]);
    tn_build_loop_end(b, &l);
    for (int limb = 0; limb < 2; limb++) {
        LLVMValueRef set =
            tn_build_tree(b, tn_build_add(b, l.out[2 * limb], l.out[2 * limb + 1]), TN_FOLD_ADD);
        LLVMValueRef each = tn_build_load(b, b->t_i32, tn_build_atc(b, row, 4 + 4 * limb), 4);
        all[limb] = tn_build_sub(b, tn_build_shl(b, set, tn_build_i32(b, 1)), each);
    }
    all[0] = tn_build_shl(b, all[0], tn_build_i32(b, 7));
    tn_build_store(b, tn_build_add(b, all[0], all[1]), LLVMGetParam(fn, 2), 4);
    return tn_build_shared_end(b, back);
}

static LLVMValueRef fact(TnBuilder *b, LLVMValueRef array, LLVMValueRef id) {
    return tn_build_load(b, b->t_f32, tn_build_elem(b, array, id, 4), 4);
}

/* Adds to *z, a double, what plane p says of row id, and returns the upper bound that this gives. */
static LLVMValueRef fine_bound(TnBuilder *b, const Head *h, int p, LLVMValueRef id, LLVMValueRef *z) {
    LLVMTypeRef wide = LLVMDoubleTypeInContext(b->c);
    LLVMValueRef out = tn_build_atc(b, h->state, BLOCK);
    LLVMValueRef args[] = {tn_build_elem(b, h->plane[p], id, h->plane_bytes), h->limbs, out};
    tn_build_call_function(b, plane_function(b, h->k), args, 3);
    LLVMValueRef sum = tn_build_si_to_fp(b, tn_build_load(b, b->t_i32, out, 4), wide);
    LLVMValueRef d = tn_build_fpext(b, tn_build_load(b, b->t_f32, h->limbs, 4), wide);
    LLVMValueRef by = tn_build_fmul(b, tn_build_fpext(b, fact(b, h->step[p], id), wide), d);
    *z = tn_build_fadd(b, *z, tn_build_fmul(b, sum, by));
    LLVMValueRef radius = radii_of(b, h, fact(b, h->fine[p], id), fact(b, h->norms, id));
    return tn_build_fadd(b, tn_build_fptrunc(b, *z, b->t_f32), radius);
}

/* ---- the second walk. For each row, in order, whose upper bound is not below the threshold in the state, it runs
 * the code that `candidate` emits. */
typedef void Candidate(TnBuilder *b, const Head *h, LLVMValueRef id, const void *user);

/* Whether a row with this upper bound is still to be looked at. */
static LLVMValueRef is_open(TnBuilder *b, const Head *h, LLVMValueRef high) {
    LLVMValueRef open = tn_build_fcmp(b, LLVMRealUGE, high, state(b, h, VALUE));
    return tn_build_and(b, open, tn_build_icmp(b, LLVMIntEQ, state(b, h, BAD), tn_build_i32(b, 0)));
}

static void note(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef high) {
    enum { LINE = 64, MOST = 8 }; /* further lines come by themselves */
    TnType t = tn_type(h->enc, 2, (TnDim)1, (TnDim)h->k);
    int64_t bytes = h->planes ? h->plane_bytes : (int64_t)tn_row_bytes(&t);
    LLVMValueRef from =
        tn_build_elem(b, h->planes ? h->plane[0] : tn_build_operand(b, h->weights), id, bytes);
    for (int64_t at = 0; at < bytes && at < MOST * LINE; at += LINE)
        tn_build_prefetch(b, tn_build_atc(b, from, at), TN_INTO_L1);
    LLVMValueRef n = state(b, h, NOTED), at = tn_build_sext(b, n, b->t_i64);
    tn_build_store(b, narrow(b, id), tn_build_elem(b, tn_build_atc(b, h->state, IDS), at, 4), 4);
    tn_build_store(b, high, tn_build_elem(b, tn_build_atc(b, h->state, HIGHS), at, 4), 4);
    tn_build_store(b, tn_build_add(b, n, tn_build_i32(b, 1)), tn_build_atc(b, h->state, NOTED), 4);
}

/* Notes the rows from `at` to below `end` that the first bound leaves. */
static void note_swath(TnBuilder *b, const Head *h, LLVMValueRef at, LLVMValueRef end, LLVMValueRef wide) {
    tn_build_store(b, tn_build_i32(b, 0), tn_build_atc(b, h->state, NOTED), 4);
    TnLoop l = tn_build_loop(b, at, end, TN_LANES);
    LLVMValueRef y = tn_build_load_block(b, h->y, l.i, h->n, -INFINITY);
    LLVMValueRef top = tn_build_fadd(b, y, wide);
    LLVMValueRef threshold = tn_build_splat(b, state(b, h, VALUE), TN_LANES);
    TnIf some = tn_build_if(b, any(b, tn_build_fcmp(b, LLVMRealUGE, top, threshold)));
    LLVMValueRef block = tn_build_atc(b, h->state, BLOCK);
    tn_build_store(b, tn_build_fadd(b, y, radii(b, h, l.i)), block, 4);
    LLVMValueRef left = tn_build_min(b, tn_build_sub(b, end, l.i), tn_build_i64(b, TN_LANES));
    TnLoop j = tn_build_loop(b, tn_build_i64(b, 0), left, 1);
    LLVMValueRef high = tn_build_load(b, b->t_f32, tn_build_elem(b, block, j.i, 4), 4);
    TnIf one = tn_build_if(b, is_open(b, h, high));
    note(b, h, tn_build_add(b, l.i, j.i), high);
    tn_build_if_end(b, &one);
    tn_build_loop_end(b, &j);
    tn_build_if_end(b, &some);
    tn_build_loop_end(b, &l);
}

/* Looks at row id, if all planes leave it. */
static void look_at(TnBuilder *b, const Head *h, LLVMValueRef id, Candidate *candidate, const void *user) {
    TnIf still[TN_PLANES_MOST];
    LLVMValueRef z = h->planes ? tn_build_fpext(b, fact(b, h->y, id), LLVMDoubleTypeInContext(b->c)) : NULL;
    for (int p = 0; p < h->planes; p++) still[p] = tn_build_if(b, is_open(b, h, fine_bound(b, h, p, id, &z)));
    TnIf listing = tn_build_if(b, tn_build_listing(b));
    tn_build_list_row(b, h->weights, id);
    tn_build_else(b, &listing);
    candidate(b, h, id, user);
    tn_build_if_end(b, &listing);
    for (int p = h->planes - 1; p >= 0; p--) tn_build_if_end(b, &still[p]);
}

static void walk(TnBuilder *b, const Head *h, LLVMValueRef widest, Candidate *candidate, const void *user) {
    LLVMValueRef n = tn_build_i64(b, h->n), wide = tn_build_splat(b, widest, TN_LANES);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), n, SWATH);
    note_swath(b, h, l.i, tn_build_min(b, tn_build_add(b, l.i, tn_build_i64(b, SWATH)), n), wide);
    LLVMValueRef noted = tn_build_sext(b, state(b, h, NOTED), b->t_i64);
    TnLoop j = tn_build_loop(b, tn_build_i64(b, 0), noted, 1);
    LLVMValueRef high = fact(b, tn_build_atc(b, h->state, HIGHS), j.i);
    TnIf one = tn_build_if(b, is_open(b, h, high));
    LLVMValueRef id = tn_build_elem(b, tn_build_atc(b, h->state, IDS), j.i, 4);
    id = tn_build_zext(b, tn_build_load(b, b->t_i32, id, 4), b->t_i64);
    look_at(b, h, id, candidate, user);
    tn_build_if_end(b, &one);
    tn_build_loop_end(b, &j);
    tn_build_loop_end(b, &l);
}

/* ---- rerank */

/* Keeps the element of row id if it is better than the best so far. */
static void keep_best(TnBuilder *b, const Head *h, LLVMValueRef id, const void *out) {
    LLVMValueRef v = element(b, h, id, (LLVMValueRef)(uintptr_t)out);
    LLVMValueRef best = state(b, h, VALUE), at = state(b, h, ID), finite = is_finite(b, v);
    LLVMValueRef before = tn_build_and(b, tn_build_fcmp(b, LLVMRealOEQ, v, best),
                                       tn_build_icmp(b, LLVMIntSLT, narrow(b, id), at));
    LLVMValueRef better = tn_build_or(b, tn_build_fcmp(b, LLVMRealOGT, v, best), before);
    tn_build_store(b, tn_build_select(b, better, v, best), tn_build_atc(b, h->state, VALUE), 4);
    tn_build_store(b, tn_build_select(b, better, narrow(b, id), at), tn_build_atc(b, h->state, ID), 4);
    tn_build_store(b, tn_build_zext(b, tn_build_not(b, finite), b->t_i32), tn_build_atc(b, h->state, BAD), 4);
}

/* The row with the largest lower bound (i64), and the widest radius. Lane j looks at rows j, j+32, ... */
static LLVMValueRef most_promising(TnBuilder *b, const Head *h, LLVMValueRef *out_widest) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, h->n), TN_LANES);
    LLVMValueRef best = tn_build_carry(b, &l, tn_build_vf(b, -INFINITY));
    LLVMValueRef index = tn_build_carry(b, &l, tn_build_vi(b, 0)),
                 widest = tn_build_carry(b, &l, tn_build_vi(b, 0));
    LLVMValueRef y = tn_build_load_block(b, h->y, l.i, h->n, NAN), r = radii(b, h, l.i);
    LLVMValueRef low = tn_build_fsub(b, y, r);
    LLVMValueRef more = tn_build_fcmp(b, LLVMRealOGT, low, best);
    LLVMValueRef at =
        tn_build_add(b, tn_build_splat(b, narrow(b, l.i), TN_LANES), tn_build_iota(b, TN_LANES));
    tn_build_next(&l, 0, tn_build_select(b, more, low, best));
    tn_build_next(&l, 1, tn_build_select(b, more, at, index));
    tn_build_next(&l, 2, wider(b, widest, r));
    tn_build_loop_end(b, &l);
    *out_widest = widest_of(b, l.out[2]);
    LLVMValueRef top = tn_build_splat(b, tn_build_tree(b, l.out[0], TN_FOLD_FMAX), TN_LANES);
    LLVMValueRef has = tn_build_fcmp(b, LLVMRealOEQ, l.out[0], top);
    LLVMValueRef inverse = tn_build_select(b, has, tn_build_not(b, l.out[1]), tn_build_vi(b, 0));
    LLVMValueRef id = tn_build_not(b, tn_build_tree(b, inverse, TN_FOLD_UMAX));
    return tn_build_zext(b, id, b->t_i64);
}

/* Sets out from the most promising row. */
static void begin_best(TnBuilder *b, const Head *h, LLVMValueRef first, LLVMValueRef out) {
    TnIf listing = tn_build_if(b, tn_build_listing(b));
    LLVMValueRef y = tn_build_load(b, b->t_f32, tn_build_elem(b, h->y, first, 4), 4);
    tn_build_store(b, y, tn_build_atc(b, h->state, VALUE), 4);
    tn_build_store(b, tn_build_i32(b, 0), tn_build_atc(b, h->state, BAD), 4);
    tn_build_else(b, &listing);
    LLVMValueRef v = element(b, h, first, out), bad = tn_build_not(b, is_finite(b, v));
    tn_build_store(b, v, tn_build_atc(b, h->state, VALUE), 4);
    tn_build_store(b, narrow(b, first), tn_build_atc(b, h->state, ID), 4);
    tn_build_store(b, tn_build_zext(b, bad, b->t_i32), tn_build_atc(b, h->state, BAD), 4);
    tn_build_if_end(b, &listing);
}

static void rerank(TnBuilder *b, TnFrame *f, TnRef ref) {
    Head h = open_head(b, f, ref);
    LLVMValueRef out = tn_build_scratch(b, 64), y = tn_build_result_row(b, f, ref), widest;
    LLVMValueRef first = most_promising(b, &h, &widest);
    begin_best(b, &h, first, out);
    walk(b, &h, widest, keep_best, out);
    TnIf work = tn_build_if(b, tn_build_not(b, tn_build_listing(b)));
    LLVMValueRef good = tn_build_icmp(b, LLVMIntEQ, state(b, &h, BAD), tn_build_i32(b, 0));
    LLVMValueRef id = tn_build_select(b, good, state(b, &h, ID), tn_build_i32(b, -1));
    tn_build_store(b, id, y, 4);
    tn_build_if_end(b, &work);
}

static bool can_rerank(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    const TnNode *n = &g->nodes[ref];
    return tn_llvm_reads_table(&g->nodes[n->args[n->n_args - 1]].type);
}
const TnLlvmOp tn_llvm_op_rerank = {.can = can_rerank, .row = rerank};

/* ---- rerank_top */

typedef struct Top {
    TnTopList list;
    LLVMValueRef out;
} Top;

static void offer(TnBuilder *b, const Top *t, LLVMValueRef v, LLVMValueRef id) {
    TnIf one = tn_build_if(b, tn_build_top_takes(b, v, tn_build_top_last(b, &t->list)));
    tn_build_top_insert(b, &t->list, v, narrow(b, id));
    tn_build_if_end(b, &one);
}

static void keep_top(TnBuilder *b, const Head *h, LLVMValueRef id, const void *user) {
    const Top *t = user;
    offer(b, t, element(b, h, id, t->out), id);
}

/* Fills the list with the largest lower bounds and returns the widest radius. */
static LLVMValueRef list_promising(TnBuilder *b, const Head *h, const Top *t) {
    LLVMValueRef end = tn_build_i64(b, h->n), block = tn_build_atc(b, h->state, BLOCK);
    LLVMValueRef widest = tn_build_scratch(b, TN_LANES * 4);
    tn_build_store(b, tn_build_vi(b, 0), widest, 64);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), end, TN_LANES);
    LLVMValueRef y = tn_build_load_block(b, h->y, l.i, h->n, NAN), r = radii(b, h, l.i);
    LLVMValueRef low = tn_build_fsub(b, y, r);
    tn_build_store(b, wider(b, tn_build_load(b, b->t_i32x, widest, 64), r), widest, 64);
    TnIf some = tn_build_if(b, any(b, tn_build_top_takes(b, low, tn_build_top_last(b, &t->list))));
    tn_build_store(b, low, block, 4);
    TnLoop j = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LANES), 1);
    offer(b, t, tn_build_load(b, b->t_f32, tn_build_elem(b, block, j.i, 4), 4), tn_build_add(b, l.i, j.i));
    tn_build_loop_end(b, &j);
    tn_build_if_end(b, &some);
    tn_build_loop_end(b, &l);
    return widest_of(b, tn_build_load(b, b->t_i32x, widest, 64));
}

/* Stores the least element of the listed rows in the state, as the threshold. */
static void find_threshold(TnBuilder *b, const Head *h, const Top *t) {
    tn_build_store(b, tn_build_f32(b, INFINITY), tn_build_atc(b, h->state, VALUE), 4);
    TnLoop j = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, t->list.k), 1);
    LLVMValueRef id = tn_build_load(b, b->t_i32, tn_build_elem(b, t->list.ids, j.i, 4), 4);
    id = tn_build_sext(b, id, b->t_i64);
    LLVMValueRef v = element(b, h, tn_build_max(b, id, tn_build_i64(b, 0)), t->out);
    LLVMValueRef there = tn_build_and(b, tn_build_icmp(b, LLVMIntSGE, id, tn_build_i64(b, 0)),
                                      tn_build_fcmp(b, LLVMRealORD, v, v));
    v = tn_build_select(b, there, v, tn_build_f32(b, -INFINITY));
    tn_build_store(b, tn_build_fmin(b, v, state(b, h, VALUE)), tn_build_atc(b, h->state, VALUE), 4);
    tn_build_loop_end(b, &j);
}

static void rerank_top(TnBuilder *b, TnFrame *f, TnRef ref) {
    Head h = open_head(b, f, ref);
    Top t = {tn_build_top_list(b, tn_build_cols(b, ref)), tn_build_scratch(b, 64)};
    tn_build_store(b, tn_build_i32(b, 0), tn_build_atc(b, h.state, BAD), 4);
    tn_build_top_clear(b, &t.list);
    LLVMValueRef widest = list_promising(b, &h, &t), y = tn_build_result_row(b, f, ref);
    TnIf listing = tn_build_if(b, tn_build_listing(b));
    LLVMValueRef about = tn_build_fadd(b, tn_build_top_last(b, &t.list), widest);
    tn_build_store(b, about, tn_build_atc(b, h.state, VALUE), 4);
    tn_build_else(b, &listing);
    find_threshold(b, &h, &t);
    tn_build_if_end(b, &listing);
    tn_build_top_clear(b, &t.list);
    walk(b, &h, widest, keep_top, &t);
    TnIf work = tn_build_if(b, tn_build_not(b, tn_build_listing(b)));
    TnLoop out = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, t.list.room), TN_LANES);
    tn_build_store(b, tn_build_load(b, b->t_i32x, tn_build_elem(b, t.list.ids, out.i, 4), 4),
                   tn_build_elem(b, y, out.i, 4), 4);
    tn_build_loop_end(b, &out);
    tn_build_if_end(b, &work);
}
const TnLlvmOp tn_llvm_op_rerank_top = {.can = can_rerank, .row = rerank_top};

/* ---- pick */

static void pick(TnBuilder *b, TnFrame *f, TnRef ref) {
    const TnType *w = &b->g->nodes[arg(b, ref, 2)].type;
    Head h = {
        .enc = w->enc, .k = w->dim[1], .weights = arg(b, ref, 2), .x = tn_build_mem(b, f, arg(b, ref, 0))};
    LLVMValueRef ids = tn_build_mem(b, f, arg(b, ref, 1)), y = tn_build_result_row(b, f, ref);
    TnIf work =
        tn_build_if(b, tn_build_not(b, tn_build_listing(b))); /* the op that gives ids lists their rows */
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, tn_build_cols(b, ref)), 1);
    LLVMValueRef id =
        tn_build_sext(b, tn_build_load(b, b->t_i32, tn_build_elem(b, ids, l.i, 4), 4), b->t_i64);
    LLVMValueRef out = tn_build_elem(b, y, l.i, 4), zero = tn_build_i64(b, 0);
    LLVMValueRef v = element(b, &h, tn_build_max(b, id, zero), out);
    LLVMValueRef none = tn_build_icmp(b, LLVMIntSLT, id, zero);
    tn_build_store(b, tn_build_select(b, none, tn_build_f32(b, -INFINITY), v), out, 4);
    tn_build_loop_end(b, &l);
    tn_build_if_end(b, &work);
}
const TnLlvmOp tn_llvm_op_pick = {.can = can_rerank, .row = pick};
