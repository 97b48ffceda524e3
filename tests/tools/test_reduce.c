/* The reducer: only what the failure needs is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "ir/eval.h"
#include "frontends/tools/reduce.h"
#include "tests/support/randgraph.h"

static void must_verify(const TnGraph *g) {
    TnDiag d = {0};
    if (tn_verify(g, &d) != TERN_OK) fail_msg("%s", d.text.data);
    tn_diag_free(&d);
}

static void show(const TnGraph *g) {
    TnBuf b = {0};
    tn_print(g, &b);
    print_message("%s\n", b.data);
    tn_buf_free(&b);
}

/* ---- structural questions */

typedef struct Pair {
    TnOp reader, maker;
    uint32_t asked;
} Pair;

static bool has_pair(void *user, const TnGraph *g) {
    Pair *p = user;
    p->asked++;
    must_verify(g);
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; g->nodes[r].op == p->reader && i < g->nodes[r].n_args; i++)
            if (g->nodes[g->nodes[r].args[i]].op == p->maker) return true;
    return false;
}

static void two_ops_are_left(void **state) {
    const TnDim least = 18; /* attention: 3 heads of two columns, read by 3 query heads each */
    (void)state;
    static const struct {
        TnOp reader, maker;
        uint32_t most;
    } pairs[] = {{TN_OP_relu2, TN_OP_add, 2},       {TN_OP_mul, TN_OP_silu, 2},
                 {TN_OP_quant, TN_OP_rmsnorm, 3},   {TN_OP_dequant, TN_OP_tmatmul, 3},
                 {TN_OP_attend, TN_OP_kv_put, 2},   {TN_OP_take, TN_OP_topk, 2},
                 {TN_OP_rope, TN_OP_rope_angle, 2}, {TN_OP_gather, TN_OP_embed, 2},
                 {TN_OP_silu, TN_OP_slice, 2},      {TN_OP_tmatmul, TN_OP_colmajor, 2}};
    for (size_t i = 0; i < TN_COUNT(pairs); i++) {
        int found = 0;
        for (uint64_t seed = 1; seed <= 200 && found < 3; seed++) {
            TnGraph *g = rand_graph(seed);
            Pair p = {.reader = pairs[i].reader, .maker = pairs[i].maker};
            if (has_pair(&p, g)) {
                TnGraph *small = tn_reduce(g, has_pair, &p);
                must_verify(small);
                assert_true(has_pair(&p, small));
                if (tn_count_ops(small) > pairs[i].most) {
                    show(small);
                    fail_msg("seed %d: %u ops are left of %s after %s, with %u calls", (int)seed,
                             tn_count_ops(small), tn_ops[p.reader].name, tn_ops[p.maker].name, p.asked);
                }
                TnDim most = least; /* a matrix with a scale for each group is at least one group wide */
                for (TnRef r = 0; r < small->n; r++)
                    if (tn_type_in_groups(&small->nodes[r].type) && small->nodes[r].type.group > most)
                        most = small->nodes[r].type.group;
                for (TnRef r = 0; r < small->n; r++)
                    for (int d = 0; d < small->nodes[r].type.rank; d++)
                        if (small->nodes[r].type.dim[d] > most && small->nodes[r].op != TN_OP_colmajor) {
                            show(small);
                            fail_msg("seed %d: a dim of %lld is left", (int)seed,
                                     (long long)small->nodes[r].type.dim[d]);
                        }
                tn_graph_destroy(small);
                found++;
            }
            tn_graph_destroy(g);
        }
        if (!found)
            fail_msg("no graph has %s after %s", tn_ops[pairs[i].reader].name, tn_ops[pairs[i].maker].name);
    }
}

/* ---- a wrong evaluator: it takes one op for another */

typedef struct Wrong {
    TnOp op, instead;
    uint64_t seed;
} Wrong;

static void evaluate(const TnGraph *g, uint64_t seed, TnBuf *out) {
    TnEval *e;
    Rand r = {seed};
    int64_t sym[TN_SYM_COUNT] = {
        [TN_T] = 3, [TN_R] = 3, [TN_K] = 3, [TN_H] = 3, [TN_S] = 1, [TN_P] = 2, [TN_N] = 2};
    assert_int_equal(tn_eval_create(g, NULL, sym, &e, NULL), TERN_OK);
    for (TnRef i = 0; i < g->n; i++) {
        const TnNode *n = &g->nodes[i];
        if (n->op != TN_OP_input) continue;
        bool known = !strcmp(n->name, "pos") || !strcmp(n->name, "rows") || !strcmp(n->name, "hrows") ||
                     !strcmp(n->name, "table");
        size_t count = tn_type_bytes(&n->type, sym) / 4;
        for (size_t k = 0; k < count; k++)
            if (n->type.enc == TN_ENC_i32)
                ((int32_t *)tn_eval_data(e, i))[k] = known ? (int32_t)k : 0;
            else
                ((float *)tn_eval_data(e, i))[k] = rand_float(&r, -1, 1);
    }
    tn_eval_run(e, sym);
    for (TnRef i = 0; i < g->n; i++) {
        const TnNode *n = &g->nodes[i];
        if (n->op != TN_OP_output) continue;
        int64_t rows = tn_type_rows(&n->type, sym);
        for (int64_t k = 0; k < rows; k++)
            tn_buf_put(out, (const char *)tn_eval_data(e, n->args[0]) + (size_t)k * tn_row_bytes(&n->type),
                       (size_t)tn_row_elems(&n->type) * 4);
    }
    tn_eval_destroy(e);
}

static bool evaluates_wrongly(void *user, const TnGraph *g) {
    const Wrong *w = user;
    TnGraph *bad = tn_graph_clone(g);
    TnBuf a = {0}, b = {0};
    for (TnRef r = 0; r < bad->n; r++)
        if (bad->nodes[r].op == w->op) bad->nodes[r].op = w->instead;
    evaluate(g, w->seed, &a);
    evaluate(bad, w->seed, &b);
    bool differ = a.len != b.len || (a.len && memcmp(a.data, b.data, a.len));
    tn_buf_free(&a);
    tn_buf_free(&b);
    tn_graph_destroy(bad);
    return differ;
}

static void a_wrong_op_is_left_alone(void **state) {
    (void)state;
    static const TnOp ops[][2] = {
        {TN_OP_relu2, TN_OP_silu}, {TN_OP_add, TN_OP_mul}, {TN_OP_silu, TN_OP_relu2}};
    for (size_t i = 0; i < TN_COUNT(ops); i++) {
        int found = 0;
        for (uint64_t seed = 1; seed <= 100 && found < 3; seed++) {
            TnGraph *g = rand_graph(seed);
            Wrong w = {ops[i][0], ops[i][1], seed};
            if (evaluates_wrongly(&w, g)) {
                TnGraph *small = tn_reduce(g, evaluates_wrongly, &w);
                assert_true(evaluates_wrongly(&w, small));
                if (tn_count_ops(small) > 2) {
                    show(small);
                    fail_msg("seed %d: %u ops are left", (int)seed, tn_count_ops(small));
                }
                tn_graph_destroy(small);
                found++;
            }
            tn_graph_destroy(g);
        }
        assert_true(found > 0);
    }
}

static bool never(void *user, const TnGraph *g) {
    (void)user, (void)g;
    return false;
}

static void what_does_not_fail_stays(void **state) {
    (void)state;
    TnGraph *g = rand_graph(1), *same = tn_reduce(g, never, NULL);
    assert_true(tn_graph_equal(g, same));
    tn_graph_destroy(same);
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_ops_are_left),
                                       cmocka_unit_test(a_wrong_op_is_left_alone),
                                       cmocka_unit_test(what_does_not_fail_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
