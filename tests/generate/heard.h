/* For tests that compare the ids that sequences give: a callback that keeps them. */
#ifndef TN_TEST_HEARD_H
#define TN_TEST_HEARD_H

#include "runtime/generate/generate.h"

enum { HEARD_MOST = 140 };
typedef struct Heard {
    int32_t ids[HEARD_MOST];
    size_t n;
} Heard;

static inline int hear(void *user, const TernPiece *p) {
    Heard *h = user;
    if (p->id != TERN_NO_TOKEN) h->ids[h->n++] = p->id;
    return 0;
}

#endif
