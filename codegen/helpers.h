/* Threads that share the caller's work. */
#ifndef TN_HELPERS_H
#define TN_HELPERS_H

#include <pthread.h>
#include <stdint.h>

/* Starts threads besides the caller, which works too before it joins them: together at most as many as there are processors
 * and as there are pieces, and at most TN_HELPERS besides the caller. */
enum { TN_HELPERS = 3 };
typedef struct TnHelpers {
    pthread_t threads[TN_HELPERS];
    uint32_t n;
} TnHelpers;
void tn_helpers_start(TnHelpers *h, uint64_t pieces, void *(*work)(void *), void *arg);
void tn_helpers_join(TnHelpers *h);

#endif
