/* Laws that hold for every graph, checked on thousands of random graphs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/eval.h"
#include "tests/support/roundtrip.h"
#include "tests/support/sanitized.h"

static void test_round_trip(void **state) {
    (void)state;
    uint32_t ops[TN_OP_COUNT] = {0};
    char why[1000];
    for (uint64_t seed = 1; seed <= (TN_SANITIZED ? 1000 : 10000); seed++)
        if (!roundtrip(seed, ops, why, sizeof why)) fail_msg("seed %llu: %s", (unsigned long long)seed, why);
    for (int op = 0; op < TN_OP_COUNT; op++)
        if (!ops[op]) fail_msg("no random graph holds the op %s", tn_ops[op].name);
}

/* tn_graph_equal notices every single change of a graph's text. */
static void test_equality_sees(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        Rand r = {seed};
        TnGraph *g = stage_graph(seed), *c = tn_graph_clone(g);
        TnRef i = (TnRef)rand_in(&r, 0, c->n - 1);
        TnNode *n = &c->nodes[i];
        if (n->n_attrs && tn_attrs[n->attrs[0].key].kind != TN_ASTR &&
            tn_attrs[n->attrs[0].key].kind != TN_AIDENT && tn_attrs[n->attrs[0].key].kind != TN_AFLOATS)
            n->attrs[0].u ^= 1;
        else if (n->n_args)
            n->args[0]++;
        else if (n->type.n_scales)
            n->type.n_scales--;
        else
            n->type.dim[0]--;
        assert_false(tn_graph_equal(g, c));
        tn_graph_destroy(c);
        tn_graph_destroy(g);
    }
}

/* A random order that keeps operands before their readers and drops some unread values. */
static uint32_t shuffle(const TnGraph *g, Rand *r, TnRef *order, bool drop) {
    uint32_t n = 0, left = g->n;
    uint32_t *uses = tn_xcalloc(g->n, sizeof *uses);
    bool *done = tn_xcalloc(g->n, sizeof *done);
    tn_count_uses(g, uses);
    while (left) {
        TnRef i = (TnRef)rand_in(r, 0, g->n - 1);
        while (done[i]) i = (i + 1) % g->n;
        bool ready = true;
        for (uint32_t a = 0; a < g->nodes[i].n_args; a++) ready &= done[g->nodes[i].args[a]];
        if (!ready) continue;
        done[i] = true;
        left--;
        if (drop && !uses[i] && rand_one_in(r, 2)) continue;
        order[n++] = i;
    }
    free(uses);
    free(done);
    return n;
}

/* Reordered graphs hold the same nodes under the same names; kernels follow and are numbered in their new
 * order. (They need not verify: caches bind their readers to an order that operands do not show.) */
static void test_reorder(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        Rand r = {seed};
        TnGraph *g = rand_graph(seed), *was = tn_graph_clone(g);
        bool drop = seed % 3 == 0;
        if (seed % 2) rand_kernels(g);
        TnRef *order = tn_xcalloc(g->n, sizeof *order);
        uint32_t n = shuffle(g, &r, order, drop);
        tn_graph_reorder(g, order, n);
        assert_int_equal(g->n, n);
        if (!drop) assert_int_equal(n, was->n);
        for (TnRef i = 0; i < n; i++) {
            const TnNode *a = &g->nodes[i], *b = &was->nodes[order[i]];
            assert_string_equal(a->name, b->name);
            assert_int_equal(tn_map_get(&g->names, a->name, strlen(a->name)), i);
            assert_int_equal(a->op, b->op);
            for (uint32_t j = 0; j < a->n_args; j++)
                assert_string_equal(g->nodes[a->args[j]].name, was->nodes[b->args[j]].name);
        }
        for (uint32_t k = 0; k < g->n_kernels; k++) {
            assert_int_equal(g->kernels[k].n, 1);
            assert_int_equal(g->nodes[g->kernels[k].first].kernel, k);
            if (k) assert_true(g->kernels[k].first > g->kernels[k - 1].first);
            if (g->kernels[k].root != TN_NONE) assert_int_equal(g->kernels[k].root, g->kernels[k].first);
        }
        free(order);
        tn_graph_destroy(was);
        tn_graph_destroy(g);
    }
}

/* The generator keeps its promise: its graphs run, and values stay finite (argmax is -1 for a row that is
 * not). */
static void test_runs(void **state) {
    (void)state;
    int outputs = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        Rand r = {seed};
        TnGraph *g = rand_graph(seed);
        RandStep s = {.sym = {0}};
        TnEval *e;
        TernError err;
        rand_step(&s, g, &r, rand_in(&r, 1, 9));
        assert_int_equal(tn_eval_create(g, NULL, s.sym, &e, &err), TERN_OK);
        for (TnRef i = 0; i < g->n; i++)
            if (g->nodes[i].op == TN_OP_input && tn_encs[g->nodes[i].type.enc].kind != TN_CACHE)
                rand_fill(&s, tn_attr_str(&g->nodes[i], TN_ATTR_name), tn_eval_data(e, i));
        tn_eval_run(e, s.sym);
        for (TnRef i = 0; i < g->n; i++) {
            if (g->nodes[i].op != TN_OP_argmax) continue;
            const int32_t *best = tn_eval_data(e, i);
            for (int64_t t = 0; t < s.sym[TN_R]; t++) {
                if (best[t] < 0)
                    fail_msg("seed %llu: %s is not finite", (unsigned long long)seed, g->nodes[i].name);
                outputs++;
            }
        }
        tn_eval_destroy(e);
        tn_graph_destroy(g);
    }
    assert_true(outputs > 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_equality_sees),
        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
