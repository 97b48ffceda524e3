/* For work that must not grow with the square of a hostile file: so long that only a hang takes it, on whatever machine,
 * sanitized or under valgrind, and with others beside it. What is right takes a hundredth. */
#ifndef TN_TESTS_HANG_H
#define TN_TESTS_HANG_H

#include <time.h>

#define TN_HANG_SECONDS 60.0

/* Of this process's processors, not of the clock on the wall. */
static inline double tn_cpu_seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

#endif
