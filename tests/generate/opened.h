/* What tests of generation share: a model, compiled for this machine or evaluated, and a pool of two workers. */
#ifndef TN_TEST_OPENED_H
#define TN_TEST_OPENED_H

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

static TernModel *model;
static TernPool *pool;

static inline void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

/* path NULL: the embedded model. kvs: as in TerncOptions; 0: its default. */
static inline void open_model(const char *path, uint32_t kvs) {
    TernError err;
    TerncSource source = {.size = sizeof source, .path = path};
    TerncOptions o = {.size = sizeof o, .target = *native_levels() ? NULL : "ref", .kvs = kvs};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    must(ternc_load(path ? &source : NULL, &o, NULL, &model, &err), &err);
    must(tern_pool_create(&po, &pool, &err), &err);
}

static inline void close_model(void) {
    tern_pool_destroy(pool);
    tern_model_close(model);
}

/* Sets the size of the options. */
static inline TernGenerator *open_generator(TernGeneratorOptions o) {
    TernGenerator *g;
    TernError err;
    o.size = sizeof o;
    must(tern_generator_create(model, pool, &o, &g, &err), &err);
    return g;
}

static inline TernGeneratorCounts counts_of(const TernGenerator *g) {
    TernGeneratorCounts c = {.size = sizeof c};
    TernError err;
    must(tern_generator_counts(g, &c, &err), &err);
    return c;
}

/* For cmocka: the embedded model with an f16 cache. */
static inline int open_embedded(void **state) {
    (void)state;
    open_model(NULL, 1u << TERN_KV_F16);
    return 0;
}

static inline int close_embedded(void **state) {
    (void)state;
    close_model();
    return 0;
}

#endif
