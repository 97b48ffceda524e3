/* What the tests of slots share: the embedded model, and the ids of an answer. */
#ifndef TN_TEST_SLOTS_H
#define TN_TEST_SLOTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "runtime/base/status.h"
#include "runtime/generate/generate.h"

enum { CONTEXT = 192, MOST = CONTEXT + 8 };

static TernModel *model;
static TernPool *pool;
static bool evaluated; /* there is no code for this machine */

static inline void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

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

/* kvs: as in TerncOptions; 0: its default. */
static inline void open_model(uint32_t kvs) {
    TernError err;
    evaluated = !*native_levels();
    TerncOptions o = {.size = sizeof o, .target = evaluated ? "ref" : NULL, .kvs = kvs};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    must(ternc_load(NULL, &o, NULL, &model, &err), &err);
    must(tern_pool_create(&po, &pool, &err), &err);
}

static inline void close_model(void) {
    tern_pool_destroy(pool);
    tern_model_close(model);
}

#endif
