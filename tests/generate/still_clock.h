/* For tests whose guesses must run whatever the machine's speed: while the clock stands still, no step is measured, and guesses
 * beside other sequences are never withheld (runtime/generate/drafts.c). */
#ifndef TN_TEST_STILL_CLOCK_H
#define TN_TEST_STILL_CLOCK_H

#include "runtime/generate/sequence.h"

static inline double still_seconds(void) {
    return 1;
}
static inline void stop_clock(TernGenerator *g) {
    g->seconds = still_seconds;
}

#endif
