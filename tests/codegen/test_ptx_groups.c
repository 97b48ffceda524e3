/* Products by groups of columns as PTX, run by a machine in software, against the evaluator. */
#include "codegen/ptx_cases.h"

#define CHECK ptx_check
#include "codegen/groups_cases.h"

/* Steps around blocks of rows, each with CTAs of its own; one group and several; units that straddle blocks of weights. */
static void test_blocks(void **state) {
    (void)state;
    static const int sizes[][4] = {
        {64, 64, 33, 64}, {192, 64, 97, 48}, {128, 128, 130, 128}, {384, 128, 70, 64}, {256, 256, 20, 64}};
    static const int rows[] = {9, 16, 33, 64, 65, 129};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        say_product(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], i % 2);
        for (size_t j = i % 2; j < TN_COUNT(rows); j += 2) CHECK(200, rows[j], 0, false, "blocks");
        case_done();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {GROUPS_TESTS, cmocka_unit_test_teardown(test_blocks, case_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
