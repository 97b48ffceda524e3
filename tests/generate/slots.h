/* What the tests of slots share: the embedded model, and the ids of an answer. */
#ifndef TN_TEST_SLOTS_H
#define TN_TEST_SLOTS_H

#include "generate/opened.h"

enum { CONTEXT = 192, MOST = CONTEXT + 8 };

typedef struct Heard {
    int32_t ids[MOST];
    size_t n;
    TernGenerated got;
} Heard;

static inline int hear(void *user, const TernPiece *p) {
    Heard *h = user;
    if (p->id != TERN_NO_TOKEN) h->ids[h->n++] = p->id;
    return 0;
}

/* Whether there is no code for this machine. */
static inline bool evaluated(void) {
    return !*native_levels();
}

#endif
