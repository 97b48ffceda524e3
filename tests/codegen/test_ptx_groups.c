/* Products by groups of columns as PTX, run by a machine in software, against the evaluator. */
#include "codegen/ptx_cases.h"

#define CHECK ptx_check
#include "codegen/groups_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {GROUPS_TESTS};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
