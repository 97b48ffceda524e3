/* Threads that do the same work as the caller, piece by piece. */
#include "codegen/helpers.h"

#include "runtime/base/cpus.h"

void tn_helpers_start(TnHelpers *h, uint64_t pieces, void *(*work)(void *), void *arg) {
    uint64_t want = tn_os_threads();
    if (want > pieces) want = pieces;
    h->n = 0;
    while (h->n < TN_HELPERS && h->n + 1 < want && pthread_create(&h->threads[h->n], NULL, work, arg) == 0)
        h->n++; /* fewer threads are only slower */
}

void tn_helpers_join(TnHelpers *h) {
    for (uint32_t i = 0; i < h->n; i++) pthread_join(h->threads[i], NULL);
}
