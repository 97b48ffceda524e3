/* Kernels over columns as code of every level: all ways to cut the units. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else
#define CHECK case_check
#include "codegen/cols_cases.h"

int main(void) {
    return cmocka_run_group_tests(cols_tests, NULL, NULL);
}
#endif
