/* A time limit for work that must not grow with the square of a hostile file. Only a hang reaches it, on any machine,
 * sanitized or under valgrind, and beside other work. Correct code takes a hundredth of it. */
#ifndef TN_TESTS_HANG_H
#define TN_TESTS_HANG_H

#include <time.h>

#define TN_HANG_SECONDS 60.0

/* Processor time of this process, not wall-clock time. */
static inline double tn_cpu_seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

#endif
