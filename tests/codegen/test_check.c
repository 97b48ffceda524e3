/* Differential runs in the tests: one second of `./dev fuzz diff`, and every seed that ever failed
 * (tests/data/seeds.txt), so that it fails again if its fault comes back. Also tests the check itself: it finds and
 * locates code with one wrong operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/reduce.h"
#include "runtime/cpu.h"
#include "tests/support/differ.h"
#include "tests/support/randgraph.h"
#include "tests/support/sanitized.h"

static void random_graphs_agree(void **state) {
    (void)state;
    Differ d = {.batch = TN_SANITIZED ? 4 : 12, .sets = 2, .steps = 20};
    if (!differ_batch(&d, 20000)) fail_msg("%s", d.first);
    print_message("%d runs of %d graphs compiled %d ways\n", (int)d.runs, (int)d.graphs, (int)d.compiled);
#ifdef TERN_LLVM
    assert_true(d.runs >= d.graphs * 40);
#else
    assert_true(d.graphs > 0); /* the evaluator after the passes is all there is */
#endif
}

/* Lines "SEED what it was", comments with '#'. */
static void old_seeds_agree(void **state) {
    (void)state;
    FILE *f = fopen(TERN_SOURCE_DIR "/tests/data/seeds.txt", "r");
    char line[200];
    int n = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        Differ d = {.batch = 1, .sets = 1, .steps = 8, .passes_too = true};
        if (!differ_batch(&d, strtoull(line, NULL, 10))) fail_msg("%s", d.first);
        n++;
    }
    fclose(f);
    assert_true(n > 0);
}

/* Weights in base 3, which no random graph has: its shapes do not suit them. */
static void base3_agrees(void **state) {
    (void)state;
    static const char text[] = "tir 1\ngraph @g stage=model\n"
                               "  $w: t8[160,300] scale=0x1p-3 = random {seed=5}\n"
                               "  %x: f32[T,300] = input {name=\"x\"}\n"
                               "  %q: q8[T,300] = quant %x\n"
                               "  %a: i32[T,160] = tmatmul %q, $w\n"
                               "  %d: f32[T,160] = dequant %a, %q, $w\n"
                               "  %y: f32[T,160] = output %d {name=\"y\"}\nend\n";
    static const char *const levels[] = {"avx-vnni", "avx512-vnni"};
    const int64_t rows[] = {1, 8, 3};
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TnGraph **gs;
    uint32_t n, item;
    TnDiag diag = {0};
    if (tn_parse(text, strlen(text), "base3", &gs, &n, &diag) != TERN_OK) fail_msg("%s", diag.text.data);
    for (size_t i = 0; i < TN_COUNT(levels); i++) {
        TnCheckHow how = {.level = levels[i], .family = "zen5", .kv = TN_KV_F16, .rows_lo = 1, .rows_hi = 8};
        if (!tn_level_runs_here(tn_level_number(how.level)) || !tn_targets_for(how.level, NULL, targets)) {
            print_message("left out: %s, which does not run here\n", how.level);
            continue;
        }
        TnCheck *c = tn_check_create(NULL);
        TernError err;
        TnDifference d;
        bool same = false, found = false;
        if (tn_check_add(c, gs[0], &how, &item, &err) || tn_check_build(c, &err)) fail_msg("%s", err.text);
        const TnGraph *g = tn_check_planned(c, item);
        for (TnRef r = 0; r < g->n; r++) found |= g->nodes[r].type.enc == TN_ENC_b80;
        assert_true(found);
        if (tn_check_run(c, &item, 1, &(TnCheckSteps){5, rows, 3}, &same, &d, &err)) fail_msg("%s", err.text);
        if (!same) fail_msg("%s", d.text);
        tn_check_destroy(c);
    }
    tn_graph_destroy(gs[0]);
    free(gs);
}

/* A wrong pipeline: what is compiled has one op taken for another. */
typedef struct Planted {
    TnOp op, instead;
    TnDifference d;
} Planted;

static bool planted_differs(void *user, const TnGraph *g) {
    Planted *p = user;
    TnGraph *wrong = tn_graph_clone(g);
    TnCheckHow how = {.level = "ref", .kv = TN_KV_F32, .rows_lo = 2, .rows_hi = 8};
    TnCheck *c = tn_check_create(NULL);
    static const int64_t rows[] = {2, 7};
    uint32_t item;
    TernError err;
    for (TnRef r = 0; r < wrong->n; r++)
        if (wrong->nodes[r].op == p->op) wrong->nodes[r].op = p->instead;
    bool same = true;
    if (tn_check_add_as(c, wrong, g, &how, &item, &err) != TERN_OK || tn_check_build(c, &err) != TERN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(tn_check_run(c, &item, 1, &(TnCheckSteps){5, rows, 2}, &same, &p->d, &err), TERN_OK);
    tn_check_destroy(c);
    tn_graph_destroy(wrong);
    return !same;
}

static void what_is_planted_is_found_and_reduced(void **state) {
    (void)state;
    int found = 0;
    for (uint64_t seed = 1; seed <= 60 && found < 4; seed++) {
        TnGraph *g = rand_graph(seed);
        Planted p = {.op = TN_OP_relu2, .instead = TN_OP_silu};
        if (planted_differs(&p, g)) {
            assert_string_equal(p.d.kernel, "");
            assert_non_null(strstr(p.d.text, "passes: %"));
            TnGraph *small = tn_reduce(g, planted_differs, &p);
            if (!planted_differs(&p, small) || tn_count_ops(small) > 3)
                fail_msg("seed %d: %u ops are left", (int)seed, tn_count_ops(small));
            tn_graph_destroy(small);
            found++;
        }
        tn_graph_destroy(g);
    }
    assert_true(found > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_graphs_agree),
                                       cmocka_unit_test(old_seeds_agree), cmocka_unit_test(base3_agrees),
                                       cmocka_unit_test(what_is_planted_is_found_and_reduced)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
