/* What targets say of a level: the first that has an answer is heard, else what is usual on a CPU goes. (How kernels come out
 * that a target cuts and fuses otherwise: golden/hooks_*.tir.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(batch_classes)};
    return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
