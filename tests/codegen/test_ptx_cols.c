/* Kernels over columns as PTX, run by a machine in software, against the evaluator. */
#include "codegen/ptx_cases.h"

#define CHECK ptx_check
#include "codegen/cols_cases.h"

int main(void) {
    return cmocka_run_group_tests(cols_tests, NULL, NULL);
}
