/* What the tests of the models in models/ share: ids of vectors, pools and sessions, and the score of a text. */
#ifndef TN_TEST_SHIPPED_H
#define TN_TEST_SHIPPED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "runtime/base/fmath.h"
#include "runtime/text/text.h"

static inline void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

static inline size_t ids_of(json_t *array, int32_t *out, size_t cap) {
    size_t n = json_array_size(array);
    assert_true(n <= cap);
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return n;
}

/* A compiled model; its evaluation where nothing can be compiled. */
static inline TernModel *open_shipped(const char *blob, const char *cpu) {
    TernError err = {0};
    TernModel *m = NULL;
    TernModelOptions o = {.size = sizeof o, .cpu = cpu};
    must(*native_levels() ? tern_model_open(blob, &o, &m, &err) : ternc_open_ref(blob, &o, &m, &err), &err);
    return m;
}

static inline TernPool *threads(uint32_t n) {
    TernError err = {0};
    TernPool *p = NULL;
    TernPoolOptions o = {.size = sizeof o, .threads = n};
    must(tern_pool_create(&o, &p, &err), &err);
    return p;
}

static inline TernSession *session(TernModel *m, TernPool *p, TernKv kv, uint32_t context) {
    TernError err = {0};
    TernSession *s = NULL;
    TernSessionOptions o = {.size = sizeof o, .kv = kv, .context = context};
    must(tern_session_create(m, p, &o, &s, &err), &err);
    return s;
}

typedef struct Score {
    const int32_t *ids;
    uint32_t n_vocab;
    double sum; /* of -log softmax of each next token */
    size_t n;
    uint64_t bits; /* of all logits seen, folded */
} Score;

static inline void score_row(void *user, const TernResult *r) {
    Score *s = user;
    double max = r->logits[0], sum = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (r->logits[i] > max) max = r->logits[i];
        s->bits = (s->bits ^ tn_f32_bits(r->logits[i])) * 0x100000001b3u;
    }
    for (uint32_t i = 0; i < s->n_vocab; i++) sum += tn_expd(r->logits[i] - max);
    s->sum += tn_log(sum) - (r->logits[s->ids[r->row + 1]] - max);
    s->n++;
}

/* Scores a text of at most 1,024 tokens as one step of an empty session, adding to `s`. */
static inline void score_step(TernSession *session, const int32_t *ids, size_t n, Score *s) {
    TernRow rows[1024];
    TernError err = {0};
    assert_true(n <= 1024);
    s->ids = ids;
    for (size_t i = 0; i < n; i++)
        rows[i] = (TernRow){ids[i], 0, i + 1 < n ? TERN_WANT_LOGITS : TERN_WANT_NOTHING};
    must(tern_session_truncate(session, 0, 0, &err), &err);
    must(tern_session_step(session, rows, n, score_row, s, &err), &err);
}

#endif
