/* For tests: what can be compiled and run here. */
#ifndef TN_TEST_NATIVE_H
#define TN_TEST_NATIVE_H

#include "runtime/tern.h"

/* The levels that this machine has, "" if there are none or this build cannot compile: then tests evaluate. */
static inline const char *native_levels(void) {
#ifdef TERN_LLVM
    return tern_cpu_levels();
#else
    return "";
#endif
}

#endif
