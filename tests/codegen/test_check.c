/* The differential check on random graphs: it finds nothing. (That it finds what is there, test_check_planted.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/check.h"
#include "tests/support/randgraph.h"
#include "runtime/cpu.h"

static void one_way(const char *level, bool apart) {
    static const int64_t rows[3][3] = {{1, 1, 1}, {2, 7, 8}, {33, 9, 20}}, lo[] = {1, 2, 9}, hi[] = {1, 8, 40};
    if (strcmp(level, "ref") && !tn_level_runs_here(tn_level_parse(level))) return;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        TnGraph *g = rand_small_graph(seed, 6);
        TnCheckHow how = {.level = level,
                          .apart = apart,
                          .passes = apart ? TN_CHECK_PLAN : NULL,
                          .kv = seed % 2 ? TN_KV_F16 : TN_KV_F32,
                          .rows_lo = lo[seed % 3],
                          .rows_hi = hi[seed % 3]};
        TnDifference d;
        TernError err;
        bool same;
        if (tn_check_graph(g, NULL, &how, seed, rows[seed % 3], 3, &same, &d, &err) != TERN_OK)
            fail_msg("seed %d: %s", (int)seed, err.text);
        if (!same) fail_msg("seed %d: %s", (int)seed, d.text);
        tn_graph_destroy(g);
    }
}

static void ref_agrees(void **state) {
    (void)state;
    one_way("ref", false);
    one_way("ref", true);
}

static void code_agrees(void **state) {
    (void)state;
#ifdef TERN_LLVM
    static const char *const levels[] = {"avx2", "avx512-vnni", "neon-dotprod"};
    for (size_t i = 0; i < TN_COUNT(levels); i++) {
        one_way(levels[i], false);
        one_way(levels[i], true);
    }
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ref_agrees), cmocka_unit_test(code_agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
