/* The ops at the end of a step: gather takes the rows that need the head, argmax finds the best logit, topk
 * the best k, and take gets their values; pick computes them. */
#include "codegen/llvm/ops/table_rows.h"
#include "codegen/llvm/ops/top.h"

#include <math.h>
#include <stdio.h>
#include "ir/type_layout.h"

static int64_t cols(TnBuilder *b, TnRef ref) {
    const TnType *t = &b->g->nodes[ref].type;
    return t->dim[t->rank - 1];
}

static TnRef arg(TnBuilder *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

static bool reads_floats(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return g->nodes[g->nodes[ref].args[0]].type.enc == TN_ENC_f32;
}

/* ---- gather x, rows: copies only if the value must be in f->mem or leaves the kernel */
static bool can_gather(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    TnRef x =
        g->nodes[ref].args[0]; /* gather reads other rows of x, so an earlier kernel must have made it */
    return g->nodes[x].kernel == TN_NONE || g->nodes[x].kernel != g->nodes[ref].kernel;
}

static void gather(TnBuilder *b, TnFrame *f, TnRef ref) {
    LLVMValueRef at = tn_build_load(b, b->t_i32, tn_build_operand_row(b, arg(b, ref, 1), f->row), 4);
    LLVMValueRef x = tn_build_operand_row(b, arg(b, ref, 0), tn_build_sext(b, at, b->t_i64));
    if (!f->mem[ref - b->k->first] && !tn_build_leaves(b, ref)) {
        f->mem[ref - b->k->first] = x;
        return;
    }
    enum { PIECE = 64 };
    int64_t bytes = (int64_t)tn_row_bytes(&b->g->nodes[ref].type);
    LLVMValueRef y = tn_build_result_row(b, f, ref);
    TN_CHECK(bytes % PIECE == 0);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, bytes), PIECE);
    LLVMValueRef v = tn_build_load(b, LLVMVectorType(b->t_i32, PIECE / 4), tn_build_at(b, x, l.i), 4);
    tn_build_store(b, v, tn_build_at(b, y, l.i), 4);
    tn_build_loop_end(b, &l);
}

const TnLlvmOp tn_llvm_op_gather = {.can = can_gather, .row = gather};

/* The last, partial block of a row is read in full, since rows are padded to 64 values. */
LLVMValueRef tn_build_load_block(TnBuilder *b, LLVMValueRef x, LLVMValueRef at, int64_t n, float instead) {
    LLVMValueRef v = tn_build_load(b, b->t_f32x, tn_build_elem(b, x, at, 4), 4);
    if (n % TN_LANES == 0) return v;
    LLVMValueRef mask = tn_build_mask_below(b, tn_build_sub(b, tn_build_i64(b, n), at), TN_LANES);
    return tn_build_select(b, mask, v, tn_build_vf(b, instead));
}

/* ---- argmax: lane j looks at columns j, j+32, ... and keeps the first of its largest values. NaN and
 * infinity show up in the largest magnitude. */
static void argmax(TnBuilder *b, TnFrame *f, TnRef ref) {
    int64_t n = cols(b, arg(b, ref, 0)), whole = n / TN_LANES * TN_LANES;
    LLVMValueRef x = tn_build_mem(b, f, arg(b, ref, 0)), iota = tn_build_iota(b, TN_LANES);
    LLVMValueRef v[3] = {tn_build_vf(b, -INFINITY), tn_build_vi(b, 0),
                         tn_build_vi(b, 0)}; /* value, index, magnitude */
    for (int tail = 0; tail < 2; tail++) {
        int64_t start = tail ? whole : 0, end = tail ? n : whole;
        if (start == end) continue;
        TnLoop l = tn_build_loop(b, tn_build_i64(b, start), tn_build_i64(b, end), TN_LANES);
        LLVMValueRef best = tn_build_carry(b, &l, v[0]), index = tn_build_carry(b, &l, v[1]),
                     most = tn_build_carry(b, &l, v[2]);
        LLVMValueRef here = tn_build_load_block(b, x, l.i, tail ? n : whole, -INFINITY);
        LLVMValueRef bits = tn_build_and(b, tn_build_bits(b, here), tn_build_vi(b, 0x7fffffff));
        if (tail)
            bits = tn_build_select(b, tn_build_mask_const(b, n - whole, TN_LANES), bits, tn_build_vi(b, 0));
        LLVMValueRef at = tn_build_splat(b, tn_build_trunc(b, l.i, b->t_i32), TN_LANES);
        at = tn_build_add(b, at, iota);
        LLVMValueRef more = tn_build_fcmp(b, LLVMRealOGT, here, best);
        tn_build_next(&l, 0, tn_build_select(b, more, here, best));
        tn_build_next(&l, 1, tn_build_select(b, more, at, index));
        LLVMValueRef larger = tn_build_icmp(b, LLVMIntUGT, bits, most);
        tn_build_next(&l, 2, tn_build_select(b, larger, bits, most));
        tn_build_loop_end(b, &l);
        for (int i = 0; i < 3; i++) v[i] = l.out[i];
    }
    /* The lowest index among the lanes that have the largest value. Its complement is the largest. */
    LLVMValueRef top = tn_build_splat(b, tn_build_tree(b, v[0], TN_FOLD_FMAX), TN_LANES);
    LLVMValueRef has = tn_build_fcmp(b, LLVMRealOEQ, v[0], top);
    LLVMValueRef inverse = tn_build_select(b, has, tn_build_not(b, v[1]), tn_build_vi(b, 0));
    LLVMValueRef id = tn_build_not(b, tn_build_tree(b, inverse, TN_FOLD_UMAX));
    LLVMValueRef good =
        tn_build_icmp(b, LLVMIntULT, tn_build_tree(b, v[2], TN_FOLD_UMAX), tn_build_i32(b, 0x7f800000));
    id = tn_build_select(b, good, id, tn_build_i32(b, -1));
    tn_build_store(b, id, tn_build_result_row(b, f, ref), 4);
}

const TnLlvmOp tn_llvm_op_argmax = {.can = reads_floats, .row = argmax};

/* ---- topk: a sorted list of values and one of indices in scratch. Free places hold NaN and -1. A value is
 * taken unless the list's last is >= it (a free place never is). It goes after all values that are >= it, so
 * equal values keep their order. Nearly all blocks of 32 have no such value; one comparison skips them. */
TnTopList tn_build_top_list(TnBuilder *b, int64_t k) {
    TnTopList t = {.k = k, .room = (k + TN_LANES - 1) / TN_LANES * TN_LANES};
    t.values = tn_build_atc(b, tn_build_scratch(b, (uint64_t)(64 + t.room * 4)), 64);
    t.ids = tn_build_atc(b, tn_build_scratch(b, (uint64_t)(64 + t.room * 4)), 64);
    return t;
}

void tn_build_top_clear(TnBuilder *b, const TnTopList *t) {
    TnLoop clear = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, t->room), TN_LANES);
    tn_build_store(b, tn_build_vf(b, NAN), tn_build_elem(b, t->values, clear.i, 4), 4);
    tn_build_store(b, tn_build_vi(b, -1), tn_build_elem(b, t->ids, clear.i, 4), 4);
    tn_build_loop_end(b, &clear);
}

LLVMValueRef tn_build_top_last(TnBuilder *b, const TnTopList *t) {
    return tn_build_load(b, b->t_f32, tn_build_atc(b, t->values, (t->k - 1) * 4), 4);
}

LLVMValueRef tn_build_top_takes(TnBuilder *b, LLVMValueRef value, LLVMValueRef last) {
    if (LLVMTypeOf(value) == b->t_f32x) last = tn_build_splat(b, last, TN_LANES);
    return tn_build_and(b, tn_build_fcmp(b, LLVMRealORD, value, value),
                        tn_build_fcmp(b, LLVMRealUGT, value, last));
}

/* void (values, ids, f32 value, i32 id): a loop over vectors counts the values >= it, another one shifts from
 * the end. */
static LLVMValueRef insert_function(TnBuilder *b, int64_t room) {
    char name[64];
    snprintf(name, sizeof name, "top_insert_%lld", (long long)room);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_f32, b->t_i32};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef values = LLVMGetParam(fn, 0), ids = LLVMGetParam(fn, 1);
    LLVMValueRef value = LLVMGetParam(fn, 2), id = LLVMGetParam(fn, 3);
    LLVMValueRef value_x = tn_build_splat(b, value, TN_LANES), id_x = tn_build_splat(b, id, TN_LANES);
    TnLoop c = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, room), TN_LANES);
    LLVMValueRef count = tn_build_carry(b, &c, tn_build_vi(b, 0));
    LLVMValueRef v = tn_build_load(b, b->t_f32x, tn_build_elem(b, values, c.i, 4), 4);
    LLVMValueRef before = tn_build_fcmp(b, LLVMRealOGE, v, value_x);
    tn_build_next(&c, 0, tn_build_add(b, count, tn_build_zext(b, before, b->t_i32x)));
    tn_build_loop_end(b, &c);
    LLVMValueRef place = tn_build_splat(b, tn_build_tree(b, c.out[0], TN_FOLD_ADD), TN_LANES);

    TnLoop s = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, room), TN_LANES);
    LLVMValueRef at = tn_build_sub(b, tn_build_i64(b, room - TN_LANES), s.i);
    LLVMValueRef index = tn_build_add(b, tn_build_splat(b, tn_build_trunc(b, at, b->t_i32), TN_LANES),
                                      tn_build_iota(b, TN_LANES));
    LLVMValueRef after = tn_build_icmp(b, LLVMIntSGT, index, place),
                 here = tn_build_icmp(b, LLVMIntEQ, index, place);
    for (int i = 0; i < 2; i++) {
        LLVMValueRef p = tn_build_elem(b, i ? ids : values, at, 4);
        LLVMTypeRef type = i ? b->t_i32x : b->t_f32x;
        LLVMValueRef old = tn_build_load(b, type, p, 4),
                     moved = tn_build_load(b, type, tn_build_atc(b, p, -4), 4);
        LLVMValueRef now = tn_build_select(b, here, i ? id_x : value_x, old);
        tn_build_store(b, tn_build_select(b, after, moved, now), p, 4);
    }
    tn_build_loop_end(b, &s);
    return tn_build_shared_end(b, back);
}

void tn_build_top_insert(TnBuilder *b, const TnTopList *t, LLVMValueRef value, LLVMValueRef id) {
    LLVMValueRef args[] = {t->values, t->ids, value, id};
    tn_build_call_function(b, insert_function(b, t->room), args, TN_COUNT(args));
}

static void topk(TnBuilder *b, TnFrame *f, TnRef ref) {
    int64_t n = cols(b, arg(b, ref, 0));
    TnTopList t = tn_build_top_list(b, cols(b, ref));
    LLVMValueRef block = tn_build_scratch(b, TN_LANES * 4), x = tn_build_mem(b, f, arg(b, ref, 0));
    tn_build_top_clear(b, &t);
    TnLoop blocks = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), TN_LANES);
    LLVMValueRef here = tn_build_load_block(b, x, blocks.i, n, NAN);
    LLVMValueRef taken = tn_build_top_takes(b, here, tn_build_top_last(b, &t));
    LLVMValueRef bits = tn_build_bitcast(b, taken, b->t_i32);
    TnIf some = tn_build_if(b, tn_build_icmp(b, LLVMIntNE, bits, tn_build_i32(b, 0)));
    tn_build_store(b, here, block, 64);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LANES), 1);
    LLVMValueRef value = tn_build_load(b, b->t_f32, tn_build_elem(b, block, l.i, 4), 4);
    TnIf one = tn_build_if(b, tn_build_top_takes(b, value, tn_build_top_last(b, &t)));
    tn_build_top_insert(b, &t, value, tn_build_trunc(b, tn_build_add(b, blocks.i, l.i), b->t_i32));
    tn_build_if_end(b, &one);
    tn_build_loop_end(b, &l);
    tn_build_if_end(b, &some);
    tn_build_loop_end(b, &blocks);

    LLVMValueRef y = tn_build_result_row(b, f, ref);
    TnLoop out = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, t.room), TN_LANES);
    tn_build_store(b, tn_build_load(b, b->t_i32x, tn_build_elem(b, t.ids, out.i, 4), 4),
                   tn_build_elem(b, y, out.i, 4), 4);
    tn_build_loop_end(b, &out);
}

const TnLlvmOp tn_llvm_op_topk = {.can = reads_floats, .row = topk};

/* ---- take: at most 256 values a row */
static void emit_take(TnBuilder *b, TnFrame *f, TnRef ref) {
    LLVMValueRef x = tn_build_mem(b, f, arg(b, ref, 0)), ids = tn_build_mem(b, f, arg(b, ref, 1)),
                 y = tn_build_result_row(b, f, ref);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, cols(b, ref)), 1);
    LLVMValueRef id =
        tn_build_sext(b, tn_build_load(b, b->t_i32, tn_build_elem(b, ids, l.i, 4), 4), b->t_i64);
    LLVMValueRef value =
        tn_build_load(b, b->t_f32, tn_build_elem(b, x, tn_build_max(b, id, tn_build_i64(b, 0)), 4), 4);
    LLVMValueRef none = tn_build_icmp(b, LLVMIntSLT, id, tn_build_i64(b, 0));
    value = tn_build_select(b, none, tn_build_f32(b, -INFINITY), value);
    tn_build_store(b, value, tn_build_elem(b, y, l.i, 4), 4);
    tn_build_loop_end(b, &l);
}

const TnLlvmOp tn_llvm_op_take = {.can = reads_floats, .row = emit_take};

/* ---- pick: elements of a product, for the rows of its table whose ids are given */

bool tn_llvm_picks_found(const TnGraph *g, TnRef pick) {
    const TnNode *n = &g->nodes[pick];
    if (n->op != TN_OP_pick) return false;
    const TnNode *top = &g->nodes[n->args[1]];
    return top->op == TN_OP_rerank_top && top->kernel == n->kernel && top->args[3] == n->args[0] &&
           top->args[4] == n->args[2];
}

static LLVMValueRef picked_id(TnBuilder *b, LLVMValueRef ids, LLVMValueRef i) {
    return tn_build_sext(b, tn_build_load(b, b->t_i32, tn_build_elem(b, ids, i, 4), 4), b->t_i64);
}

/* The elements are those that rerank_top computed. */
static void pick_found(TnBuilder *b, LLVMValueRef ids, LLVMValueRef y, int64_t k) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, k), TN_LANES);
    LLVMValueRef id = tn_build_load(b, b->t_i32x, tn_build_elem(b, ids, l.i, 4), 4);
    LLVMValueRef v = tn_build_load(b, b->t_f32x, tn_build_elem(b, b->top_values, l.i, 4), 4);
    LLVMValueRef none = tn_build_icmp(b, LLVMIntSLT, id, tn_build_vi(b, 0));
    v = tn_build_select(b, none, tn_build_vf(b, -INFINITY), v);
    tn_build_store(b, v, tn_build_elem(b, y, l.i, 4), 4);
    tn_build_loop_end(b, &l);
}

/* Computes those elements whose rows are there, and lists the rows of the next. Which they are is in scratch: from place
 * AT on, ASKED of them. Places without a row are done at once. */
typedef struct Pick {
    TnRef table;
    int64_t k;
    LLVMValueRef ids, x, y, state;
} Pick;
enum { AT = 0, ASKED = 8 };

static LLVMValueRef asked_and_there(TnBuilder *b, const Pick *p) {
    LLVMValueRef at = tn_build_atc(b, p->state, AT), asked = tn_build_atc(b, p->state, ASKED);
    LLVMValueRef zero = tn_build_i64(b, 0), all = tn_build_i64(b, p->k);
    TnIf begins = tn_build_if(b, tn_build_not(b, tn_build_goes_on(b)));
    tn_build_store(b, zero, at, 8);
    tn_build_store(b, tn_build_select(b, tn_build_lists(b), zero, all), asked, 8);
    tn_build_if_end(b, &begins);
    LLVMValueRef from = tn_build_load(b, b->t_i64, at, 8);
    LLVMValueRef end = tn_build_add(b, from, tn_build_load(b, b->t_i64, asked, 8));
    TnLoop l = tn_build_loop(b, from, end, 1);
    LLVMValueRef index = tn_build_carry(b, &l, zero), id = picked_id(b, p->ids, l.i);
    LLVMValueRef out = tn_build_elem(b, p->y, l.i, 4), is_row = tn_build_icmp(b, LLVMIntSGE, id, zero);
    tn_build_store(b, tn_build_f32(b, -INFINITY), out, 4);
    TnIf row = tn_build_if(b, is_row);
    tn_build_element(b, p->table, id, index, p->x, out);
    tn_build_if_end(b, &row);
    tn_build_next(&l, 0, tn_build_add(b, index, tn_build_zext(b, is_row, b->t_i64)));
    tn_build_loop_end(b, &l);
    return end;
}

static void pick_read(TnBuilder *b, const Pick *p) {
    LLVMValueRef zero = tn_build_i64(b, 0), end = asked_and_there(b, p);
    if (!b->row_list) return;
    TnLoop l = tn_build_loop(b, end, tn_build_i64(b, p->k), 1);
    LLVMValueRef upto = tn_build_carry(b, &l, end), id = picked_id(b, p->ids, l.i);
    LLVMValueRef none = tn_build_icmp(b, LLVMIntSLT, id, zero), next = tn_build_icmp(b, LLVMIntEQ, upto, l.i);
    LLVMValueRef room = tn_build_or(b, none, tn_build_list_has_room(b, p->table));
    LLVMValueRef takes = tn_build_and(b, next, room);
    TnIf empty = tn_build_if(b, none);
    tn_build_store(b, tn_build_f32(b, -INFINITY), tn_build_elem(b, p->y, l.i, 4), 4);
    tn_build_else(b, &empty);
    TnIf row = tn_build_if(b, takes);
    tn_build_list_row(b, p->table, id);
    tn_build_if_end(b, &row);
    tn_build_if_end(b, &empty);
    tn_build_next(&l, 0, tn_build_add(b, upto, tn_build_zext(b, takes, b->t_i64)));
    tn_build_loop_end(b, &l);
    tn_build_store(b, end, tn_build_atc(b, p->state, AT), 8);
    tn_build_store(b, tn_build_sub(b, l.out[0], end), tn_build_atc(b, p->state, ASKED), 8);
}

static void pick(TnBuilder *b, TnFrame *f, TnRef ref) {
    Pick p = {.table = arg(b, ref, 2), .k = cols(b, ref), .x = tn_build_mem(b, f, arg(b, ref, 0))};
    p.ids = tn_build_mem(b, f, arg(b, ref, 1));
    p.y = tn_build_result_row(b, f, ref);
    if (!tn_llvm_picks_found(b->g, ref) || arg(b, ref, 1) != b->top) {
        p.state = tn_build_scratch(b, 64);
        pick_read(b, &p);
        return;
    }
    TnIf done = tn_build_if(b, tn_build_not(b, tn_build_waits(b)));
    pick_found(b, p.ids, p.y, p.k);
    tn_build_if_end(b, &done);
}

static bool can_pick(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_llvm_reads_table(&g->nodes[g->nodes[ref].args[2]].type);
}

const TnLlvmOp tn_llvm_op_pick = {.can = can_pick, .row = pick};
