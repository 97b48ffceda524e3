/* What targets say of a level: the first that has an answer is heard, else what is usual on a CPU goes. (How kernels come out
 * that a target cuts and fuses otherwise: golden/hooks_*.tir.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "passes/internal.h"
#include "passes/sample_targets.h"

static void are(const TnTargetDesc *const *targets, uint32_t n, int64_t most, const char *expected) {
    TnBatchClass c[TN_BATCH_CLASSES];
    char text[80] = "";
    uint32_t count = tn_batch_classes(targets, n, "l", most, c);
    for (uint32_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d..%d", i ? " " : "", (int)c[i].lo,
                 (int)c[i].hi);
    assert_string_equal(text, expected);
}

static void batch_classes(void **state) {
    (void)state;
    are(NULL, 0, 512, "1..1 2..8 9..512");
    are(test_targets, TEST_TARGETS, 512, "1..1 2..8 9..512");
    are(test_targets, TEST_TARGETS, 8, "1..1 2..8");
    are(test_targets, TEST_TARGETS, 1, "1..1");
    are(grid_targets, TEST_TARGETS, 512, "1..4 5..512");
    are(grid_targets, TEST_TARGETS, 4, "1..4");
    const TnTargetDesc *both[] = {&target_wide, &target_grid};
    are(both, 2, 64, "1..4 5..64"); /* wide says nothing of them */
}

/* What a kernel may hold: all values, unless a target of the level says otherwise. golden/hooks_holds.tir shows the kernels. */
static void holds(void **state) {
    (void)state;
    static const char text[] = "tir 1\n"
                               "graph @g stage=model\n"
                               "  %x: f32[T,512] = input {name=\"x\"}\n"
                               "  %y: f32[T,513] = input {name=\"y\"}\n"
                               "end\n";
    TnGraph **gs;
    uint32_t n;
    TnDiag d = {0};
    assert_int_equal(tn_parse(text, sizeof text - 1, "text", &gs, &n, &d), TERN_OK);
    TnRef short_row = TN_NONE, long_row = TN_NONE;
    for (TnRef r = 0; r < gs[0]->n; r++)
        *(tn_row_bytes(&gs[0]->nodes[r].type) <= 2048 ? &short_row : &long_row) = r;
    const TnTargetDesc *const both[] = {&target_wide, &target_grid};
    const struct {
        const TnTargetDesc *const *targets;
        uint32_t n;
        bool long_rows;
    } cases[] = {{NULL, 0, true},
                 {test_targets, TEST_TARGETS, true},
                 {grid_targets, TEST_TARGETS, false},
                 {both, 2, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TnPassCtx ctx = {.targets = cases[i].targets, .n_targets = cases[i].n};
        assert_true(tn_holds(&ctx, gs[0], short_row));
        assert_int_equal(tn_holds(&ctx, gs[0], long_row), cases[i].long_rows);
    }
    tn_graph_destroy(gs[0]);
    free(gs);
    tn_diag_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(batch_classes), cmocka_unit_test(holds)};
    return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
