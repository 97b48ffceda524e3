/* rerank, rerank_top: compute single elements of a dense product, for the rows that a bound cannot rule
 * out.
 *
 * There are two walks over the estimates. The first finds the most promising rows and the widest radius. The
 * elements of these rows give a threshold. The second walk looks at blocks of 32 rows. The widest radius
 * alone rules out nearly all of them, so that their errors and norms are not read. Rows that are left are noted,
 * and what is read of them next is prefetched: their bits of the first plane, or without planes the beginning of their
 * rows of the table. After SWATH rows those noted are looked at again, since the threshold may have risen. Where
 * there are planes they must pass the bound of each, which takes about 0.1 us a row. The elements of those still left are
 * computed in the order of matmul, and raise the threshold. State that changes within an if is kept in scratch; it
 * changes a few dozen times a row.
 *
 * Where rows are listed (TnRowList), no row of the table is read before it was brought. So a unit takes some calls, and what it
 * has found stays in scratch between them. The first call finds the most promising rows and lists them. The second takes the
 * threshold from them, and its walk lists rows where else it would compute elements, until the list is full. The next
 * computes the elements of these, unless the threshold has risen above their bounds, and the walk goes on where it stopped. The
 * call whose walk lists nothing ends the unit: mostly the third. */
#include "codegen/llvm/ops/ternary.h"
#include "codegen/llvm/ops/table_rows.h"
#include "codegen/llvm/ops/top.h"

#include <math.h>
#include <stdio.h>
#include "ir/type_layout.h"

/* Byte offsets in the state. VALUE: the threshold. STOP: why no more rows are looked at, or 0. PHASE: see below. AT: where the
 * walk over the promising rows, then that over all, goes on. ASKED: how many rows were listed. BLOCK: room for 32 floats. IDS,
 * HIGHS: the rows noted (NOTED of them) and their upper bounds. */
enum {
    VALUE = 0,
    ID = 4,
    STOP = 8,
    NOTED = 12,
    WIDEST = 16,
    FIRST = 20,
    PHASE = 24,
    AT = 28,
    ASKED = 32,
    SWATH = 1024,
    BLOCK = 64,
    IDS = BLOCK + TN_LANES * 4,
    HIGHS = IDS + SWATH * 4,
    STATE = HIGHS + SWATH * 4
};
enum { BAD = 1, FULL = 2 };      /* STOP: an element is not finite; the list of rows takes no more */
enum { PROMISING = 0, ALL = 1 }; /* PHASE: the rows that are looked at */

typedef struct Head {
    int64_t n;
    LLVMValueRef y, x, errors, norms; /* estimates and activations of this row, two arrays */
    LLVMValueRef x_norm, x_slack;     /* X and Y of the row */
    int64_t k;
    TnRef weights;      /* the table's node */
    LLVMValueRef limbs; /* the row of q14 */
    int planes;         /* of the copy: their bits, the arrays of steps and of errors that are left */
    LLVMValueRef plane[TN_PLANES_MOST], step[TN_PLANES_MOST], fine[TN_PLANES_MOST];
    int64_t plane_bytes; /* of a row */
    LLVMValueRef state;
    LLVMValueRef asked_ids, asked_highs; /* of rows that were listed; NULL: the kernel lists none */
} Head;

static TnRef arg(TnBuilder *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

/* The element of row `id` (i64), which was entry `index` of the list, or NULL; out is 4 bytes of scratch. */
static LLVMValueRef element(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef index,
                            LLVMValueRef out) {
    tn_build_element(b, h->weights, id, index, h->x, out);
    return tn_build_load(b, b->t_f32, out, 4);
}

static Head open_head(TnBuilder *b, TnFrame *f, TnRef ref) {
    const TnType *s = &b->g->nodes[arg(b, ref, 2)].type, *w = &b->g->nodes[arg(b, ref, 4)].type;
    Head h = {.n = s->dim[0], .k = w->dim[1], .weights = arg(b, ref, 4)};
    int64_t array = (int64_t)tn_shadow_array_bytes(s);
    LLVMValueRef scales = tn_build_atc(b, tn_build_operand(b, arg(b, ref, 2)), (int64_t)tn_tail_at(s));
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
    if (!b->row_list) return h;
    uint64_t asked = 4 * (uint64_t)tn_build_most_listed(b, h.weights);
    h.asked_ids = tn_build_scratch(b, asked);
    h.asked_highs = tn_build_scratch(b, asked);
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
    LLVMTypeRef t = what == VALUE || what == WIDEST ? b->t_f32 : b->t_i32;
    return tn_build_load(b, t, tn_build_atc(b, h->state, what), 4);
}

static void set(TnBuilder *b, const Head *h, int what, LLVMValueRef value) {
    tn_build_store(b, value, tn_build_atc(b, h->state, what), 4);
}

static void set_number(TnBuilder *b, const Head *h, int what, int32_t value) {
    set(b, h, what, tn_build_i32(b, value));
}

static LLVMValueRef is_number(TnBuilder *b, const Head *h, int what, int32_t value) {
    return tn_build_icmp(b, LLVMIntEQ, state(b, h, what), tn_build_i32(b, value));
}

/* The number in the state as i64; none of these is negative. */
static LLVMValueRef count(TnBuilder *b, const Head *h, int what) {
    return tn_build_zext(b, state(b, h, what), b->t_i64);
}

static LLVMValueRef is_finite(TnBuilder *b, LLVMValueRef x) {
    LLVMValueRef bits = tn_build_and(b, tn_build_bits(b, x), tn_build_i32(b, 0x7fffffff));
    return tn_build_icmp(b, LLVMIntULT, bits, tn_build_i32(b, 0x7f800000));
}

static LLVMValueRef narrow(TnBuilder *b, LLVMValueRef i) {
    return tn_build_trunc(b, i, b->t_i32);
}

/* ---- planes */

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
 * the code that `candidate` emits: with `index` as element takes it. */
typedef void Candidate(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef index, const void *user);

/* Whether a row with this upper bound is still to be looked at. */
static LLVMValueRef is_open(TnBuilder *b, const Head *h, LLVMValueRef high) {
    LLVMValueRef open = tn_build_fcmp(b, LLVMRealUGE, high, state(b, h, VALUE));
    return tn_build_and(b, open, is_number(b, h, STOP, 0));
}

static void prefetch(TnBuilder *b, LLVMValueRef from, int64_t bytes) {
    enum { LINE = 64, MOST = 8 }; /* further lines come by themselves */
    for (int64_t at = 0; at < bytes && at < MOST * LINE; at += LINE)
        tn_build_prefetch(b, tn_build_atc(b, from, at), TN_INTO_L1);
}

static void note(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef high) {
    if (h->planes) {
        prefetch(b, tn_build_elem(b, h->plane[0], id, h->plane_bytes), h->plane_bytes);
    } else {
        TnIf here = tn_build_if(b, tn_build_not(b, tn_build_lists(b)));
        int64_t bytes = (int64_t)tn_row_bytes(&b->g->nodes[h->weights].type);
        prefetch(b, tn_build_operand_row(b, h->weights, id), bytes);
        tn_build_if_end(b, &here);
    }
    LLVMValueRef at = count(b, h, NOTED);
    tn_build_store(b, narrow(b, id), tn_build_elem(b, tn_build_atc(b, h->state, IDS), at, 4), 4);
    tn_build_store(b, high, tn_build_elem(b, tn_build_atc(b, h->state, HIGHS), at, 4), 4);
    set(b, h, NOTED, narrow(b, tn_build_add(b, at, tn_build_i64(b, 1))));
}

/* Notes the rows from `at` to below `end` that the first bound leaves, except those before `from`. */
static void note_swath(TnBuilder *b, const Head *h, LLVMValueRef at, LLVMValueRef end, LLVMValueRef from) {
    set_number(b, h, NOTED, 0);
    LLVMValueRef wide = tn_build_splat(b, state(b, h, WIDEST), TN_LANES);
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
    LLVMValueRef id = tn_build_add(b, l.i, j.i), later = tn_build_icmp(b, LLVMIntSGE, id, from);
    TnIf one = tn_build_if(b, tn_build_and(b, later, is_open(b, h, high)));
    note(b, h, id, high);
    tn_build_if_end(b, &one);
    tn_build_loop_end(b, &j);
    tn_build_if_end(b, &some);
    tn_build_loop_end(b, &l);
}

/* Lists row id, or stops before it. */
static void ask(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef high) {
    TnIf room = tn_build_if(b, tn_build_list_has_room(b, h->weights));
    LLVMValueRef at = count(b, h, ASKED);
    tn_build_store(b, narrow(b, id), tn_build_elem(b, h->asked_ids, at, 4), 4);
    tn_build_store(b, high, tn_build_elem(b, h->asked_highs, at, 4), 4);
    set(b, h, ASKED, narrow(b, tn_build_add(b, at, tn_build_i64(b, 1))));
    tn_build_list_row(b, h->weights, id);
    tn_build_else(b, &room);
    set(b, h, AT, narrow(b, id));
    set_number(b, h, STOP, FULL);
    tn_build_if_end(b, &room);
}

/* Looks at row id, if all planes leave it. */
static void look_at(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef high, Candidate *candidate,
                    const void *user) {
    TnIf still[TN_PLANES_MOST];
    LLVMValueRef z = h->planes ? tn_build_fpext(b, fact(b, h->y, id), LLVMDoubleTypeInContext(b->c)) : NULL;
    for (int p = 0; p < h->planes; p++) {
        LLVMValueRef finer = fine_bound(b, h, p, id, &z);
        still[p] = tn_build_if(b, is_open(b, h, finer));
        high = tn_build_fmin(b, finer, high);
    }
    if (b->row_list) {
        TnIf lists = tn_build_if(b, tn_build_lists(b));
        ask(b, h, id, high);
        tn_build_else(b, &lists);
        candidate(b, h, id, NULL, user);
        tn_build_if_end(b, &lists);
    } else {
        candidate(b, h, id, NULL, user);
    }
    for (int p = h->planes - 1; p >= 0; p--) tn_build_if_end(b, &still[p]);
}

/* The walk from row AT on. */
static void walk(TnBuilder *b, const Head *h, Candidate *candidate, const void *user) {
    LLVMValueRef n = tn_build_i64(b, h->n), from = count(b, h, AT);
    LLVMValueRef start = tn_build_and(b, from, tn_build_i64(b, -TN_LANES));
    set(b, h, AT, narrow(b, n));
    TnLoop l = tn_build_loop(b, start, n, SWATH);
    TnIf goes_on = tn_build_if(b, is_number(b, h, STOP, 0));
    note_swath(b, h, l.i, tn_build_min(b, tn_build_add(b, l.i, tn_build_i64(b, SWATH)), n), from);
    TnLoop j = tn_build_loop(b, tn_build_i64(b, 0), count(b, h, NOTED), 1);
    LLVMValueRef high = fact(b, tn_build_atc(b, h->state, HIGHS), j.i);
    TnIf one = tn_build_if(b, is_open(b, h, high));
    LLVMValueRef id = tn_build_elem(b, tn_build_atc(b, h->state, IDS), j.i, 4);
    id = tn_build_zext(b, tn_build_load(b, b->t_i32, id, 4), b->t_i64);
    look_at(b, h, id, high, candidate, user);
    tn_build_if_end(b, &one);
    tn_build_loop_end(b, &j);
    tn_build_if_end(b, &goes_on);
    tn_build_loop_end(b, &l);
}

/* Looks at the rows that were listed and brought. */
static void look_at_asked(TnBuilder *b, const Head *h, Candidate *candidate, const void *user) {
    TnIf full = tn_build_if(b, is_number(b, h, STOP, FULL));
    set_number(b, h, STOP, 0);
    tn_build_if_end(b, &full);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), count(b, h, ASKED), 1);
    TnIf one = tn_build_if(b, is_open(b, h, fact(b, h->asked_highs, l.i)));
    LLVMValueRef id = tn_build_load(b, b->t_i32, tn_build_elem(b, h->asked_ids, l.i, 4), 4);
    candidate(b, h, tn_build_zext(b, id, b->t_i64), l.i, user);
    tn_build_if_end(b, &one);
    tn_build_loop_end(b, &l);
    set_number(b, h, ASKED, 0);
}

/* ---- both walks. The first runs only in the first call of a unit, and leaves the most promising rows in `ids`. */
typedef struct Work {
    LLVMValueRef ids; /* k i32, -1 after the last */
    int64_t k;
    Candidate *promising, *candidate; /* what is done with each row */
    void (*between)(TnBuilder *b, const Head *h, const struct Work *w);
    const void *user;
} Work;

/* After the first walk. */
static void begin(TnBuilder *b, const Head *h, int64_t k, LLVMValueRef widest) {
    LLVMValueRef none = tn_build_i32(b, 0), all = tn_build_i32(b, k);
    set(b, h, VALUE, tn_build_f32(b, INFINITY));
    set(b, h, WIDEST, widest);
    set_number(b, h, STOP, 0);
    set_number(b, h, PHASE, PROMISING);
    set_number(b, h, AT, 0);
    set(b, h, ASKED, tn_build_select(b, tn_build_lists(b), none, all)); /* all are there */
}

static LLVMValueRef promising_id(TnBuilder *b, const Work *w, LLVMValueRef i) {
    return tn_build_sext(b, tn_build_load(b, b->t_i32, tn_build_elem(b, w->ids, i, 4), 4), b->t_i64);
}

/* Looks at those promising rows that are there, and lists the next. If there are none, the second walk begins. */
static void look_at_promising(TnBuilder *b, const Head *h, const Work *w) {
    LLVMValueRef zero = tn_build_i64(b, 0), at = count(b, h, AT);
    LLVMValueRef end = tn_build_add(b, at, count(b, h, ASKED));
    TnLoop l = tn_build_loop(b, at, end, 1);
    LLVMValueRef id = promising_id(b, w, l.i);
    TnIf is_row = tn_build_if(b, tn_build_icmp(b, LLVMIntSGE, id, zero));
    w->promising(b, h, id, tn_build_sub(b, l.i, at), w->user);
    tn_build_if_end(b, &is_row);
    tn_build_loop_end(b, &l);
    set(b, h, AT, narrow(b, end));
    set_number(b, h, ASKED, 0);
    if (b->row_list) {
        TnLoop next = tn_build_loop(b, end, tn_build_i64(b, w->k), 1);
        id = promising_id(b, w, next.i);
        LLVMValueRef more = tn_build_icmp(b, LLVMIntSGE, id, zero);
        TnIf takes = tn_build_if(b, tn_build_and(b, more, tn_build_list_has_room(b, h->weights)));
        tn_build_list_row(b, h->weights, id);
        set(b, h, ASKED, tn_build_add(b, state(b, h, ASKED), tn_build_i32(b, 1)));
        tn_build_if_end(b, &takes);
        tn_build_loop_end(b, &next);
    }
    TnIf all = tn_build_if(b, is_number(b, h, ASKED, 0));
    set_number(b, h, PHASE, ALL);
    set_number(b, h, AT, 0);
    if (w->between) w->between(b, h, w);
    tn_build_if_end(b, &all);
}

/* What a call does of the work: all of it, or where rows are listed what it can. */
static void do_work(TnBuilder *b, const Head *h, const Work *w) {
    TnIf promising = tn_build_if(b, is_number(b, h, PHASE, PROMISING));
    look_at_promising(b, h, w);
    tn_build_if_end(b, &promising);
    TnIf all = tn_build_if(b, is_number(b, h, PHASE, ALL));
    if (b->row_list) look_at_asked(b, h, w->candidate, w->user);
    walk(b, h, w->candidate, w->user);
    tn_build_if_end(b, &all);
}

/* ---- rerank */

/* Keeps the element of row id if it is better than the best so far. */
static void keep_best(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef index, const void *out) {
    LLVMValueRef v = element(b, h, id, index, (LLVMValueRef)(uintptr_t)out);
    LLVMValueRef best = state(b, h, VALUE), at = state(b, h, ID), bad = tn_build_not(b, is_finite(b, v));
    LLVMValueRef before = tn_build_and(b, tn_build_fcmp(b, LLVMRealOEQ, v, best),
                                       tn_build_icmp(b, LLVMIntSLT, narrow(b, id), at));
    LLVMValueRef better = tn_build_or(b, tn_build_fcmp(b, LLVMRealOGT, v, best), before);
    set(b, h, VALUE, tn_build_select(b, better, v, best));
    set(b, h, ID, tn_build_select(b, better, narrow(b, id), at));
    set(b, h, STOP, tn_build_select(b, bad, tn_build_i32(b, BAD), tn_build_i32(b, 0)));
}

/* Sets out from the most promising row. */
static void keep_first(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef index, const void *out) {
    LLVMValueRef v = element(b, h, id, index, (LLVMValueRef)(uintptr_t)out);
    set(b, h, VALUE, v);
    set(b, h, ID, narrow(b, id));
    set(b, h, STOP, tn_build_select(b, is_finite(b, v), tn_build_i32(b, 0), tn_build_i32(b, BAD)));
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

static void rerank(TnBuilder *b, TnFrame *f, TnRef ref) {
    Head h = open_head(b, f, ref);
    LLVMValueRef out = tn_build_scratch(b, 64), y = tn_build_result_row(b, f, ref), widest;
    Work w = {tn_build_atc(b, h.state, FIRST), 1, keep_first, keep_best, NULL, out};
    TnIf begins = tn_build_if(b, tn_build_not(b, tn_build_goes_on(b)));
    set(b, &h, FIRST, narrow(b, most_promising(b, &h, &widest)));
    begin(b, &h, 1, widest);
    tn_build_if_end(b, &begins);
    do_work(b, &h, &w);
    TnIf done = tn_build_if(b, tn_build_not(b, tn_build_waits(b)));
    LLVMValueRef good = is_number(b, &h, STOP, 0);
    tn_build_store(b, tn_build_select(b, good, state(b, &h, ID), tn_build_i32(b, -1)), y, 4);
    tn_build_if_end(b, &done);
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

static void keep_top(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef index, const void *user) {
    const Top *t = user;
    offer(b, t, element(b, h, id, index, t->out), id);
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

/* The threshold is the least element of the promising rows, */
static void lower_threshold(TnBuilder *b, const Head *h, LLVMValueRef id, LLVMValueRef index,
                            const void *user) {
    LLVMValueRef v = element(b, h, id, index, ((const Top *)user)->out);
    v = tn_build_select(b, tn_build_fcmp(b, LLVMRealORD, v, v), v, tn_build_f32(b, -INFINITY));
    set(b, h, VALUE, tn_build_fmin(b, v, state(b, h, VALUE)));
}

/* if there are k of them. Their list becomes that of the best. */
static void begin_top(TnBuilder *b, const Head *h, const Work *w) {
    const Top *t = w->user;
    LLVMValueRef last = promising_id(b, w, tn_build_i64(b, w->k - 1));
    TnIf fewer = tn_build_if(b, tn_build_icmp(b, LLVMIntSLT, last, tn_build_i64(b, 0)));
    set(b, h, VALUE, tn_build_f32(b, -INFINITY));
    tn_build_if_end(b, &fewer);
    tn_build_top_clear(b, &t->list);
}

static void rerank_top(TnBuilder *b, TnFrame *f, TnRef ref) {
    Head h = open_head(b, f, ref);
    Top t = {tn_build_top_list(b, tn_build_cols(b, ref)), tn_build_scratch(b, 64)};
    LLVMValueRef y = tn_build_result_row(b, f, ref);
    Work w = {t.list.ids, t.list.k, lower_threshold, keep_top, begin_top, &t};
    TnIf begins = tn_build_if(b, tn_build_not(b, tn_build_goes_on(b)));
    tn_build_top_clear(b, &t.list);
    begin(b, &h, t.list.k, list_promising(b, &h, &t));
    tn_build_if_end(b, &begins);
    do_work(b, &h, &w);
    TnIf done = tn_build_if(b, tn_build_not(b, tn_build_waits(b)));
    TnLoop out = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, t.list.room), TN_LANES);
    tn_build_store(b, tn_build_load(b, b->t_i32x, tn_build_elem(b, t.list.ids, out.i, 4), 4),
                   tn_build_elem(b, y, out.i, 4), 4);
    tn_build_loop_end(b, &out);
    tn_build_if_end(b, &done);
    b->top = ref;
    b->top_values = t.list.values;
}
const TnLlvmOp tn_llvm_op_rerank_top = {.can = can_rerank, .row = rerank_top};
