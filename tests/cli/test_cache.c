/* The history of a cache must not show: a slot that was cut short, forked or refilled continues like a fresh
 * one, and a prompt may be stored in steps of any size, by any number of threads. Ids and logits are compared
 * bit for bit, with f16 and with int8 elements, whose scales must move with the codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "runtime/base/arena.h"

enum {
    TEXT = 150, /* two whole pages and a part */
    MORE = 20,  /* other tokens, from a cut on */
    SLOTS = 4
};
/* Lengths at which the text changes to the other tokens: page borders and both ends. */
static const uint32_t cuts[] = {TEXT, TEXT - 1, 129, 128, 127, 65, 64, 63, 1, 0};
enum { CUTS = sizeof cuts / sizeof *cuts };

static TernModel *model;
static uint32_t n_vocab, most_threads;
static int32_t text[TEXT], more[MORE];

/* Results of rows, [n] ids and [n, n_vocab] logits. */
typedef struct Rows {
    int32_t *ids;
    float *logits;
} Rows;
/* From a fresh session of one thread, all rows in one step: the expected results of all other runs. */
static Rows of_text, of_more[CUTS];

static Rows rows_alloc(size_t n) {
    return (Rows){tn_xcalloc(n, sizeof(int32_t)), tn_xcalloc(n * n_vocab, sizeof(float))};
}

static void rows_free(Rows r) {
    free(r.ids);
    free(r.logits);
}

static void keep(void *user, const TernResult *r) {
    const Rows *out = user;
    out->ids[r->row] = r->id;
    memcpy(out->logits + (size_t)r->row * n_vocab, r->logits, n_vocab * sizeof(float));
}

/* Feeds tokens to a slot in steps of `chunk`. */
static void feed(TernSession *s, uint32_t slot, const int32_t *ids, size_t n, size_t chunk, Rows out) {
    TernRow rows[TEXT];
    TernError err = {0};
    for (size_t at = 0; at < n; at += chunk) {
        size_t m = n - at < chunk ? n - at : chunk;
        for (size_t i = 0; i < m; i++) rows[i] = (TernRow){ids[at + i], slot, TERN_WANT_LOGITS};
        Rows part = {out.ids + at, out.logits + at * n_vocab};
        if (tern_session_step(s, rows, m, keep, &part, &err) != TERN_OK) fail_msg("%s", err.text);
    }
}

static void same(Rows got, Rows want, size_t n, const char *what, size_t of, uint32_t threads) {
    for (size_t i = 0; i < n; i++) {
        bool equal =
            memcmp(got.logits + i * n_vocab, want.logits + i * n_vocab, n_vocab * sizeof(float)) == 0;
        if (got.ids[i] != want.ids[i] || !equal)
            fail_msg("%s %zu, %u threads: row %zu of %zu: id %d, expected %d; its logits are %s", what, of,
                     threads, i, n, got.ids[i], want.ids[i], equal ? "equal" : "not equal");
    }
}

typedef struct Place {
    TernPool *pool;
    TernSession *s;
} Place;

static Place place(TernKv kv, uint32_t threads, uint32_t slots) {
    Place p;
    TernError err = {0};
    TernPoolOptions po = {.size = sizeof po, .threads = threads};
    TernSessionOptions so = {.size = sizeof so, .kv = kv, .context = TEXT + MORE, .slots = slots};
    if (tern_pool_create(&po, &p.pool, &err) != TERN_OK ||
        tern_session_create(model, p.pool, &so, &p.s, &err) != TERN_OK)
        fail_msg("%s", err.text);
    return p;
}

static void leave(Place p) {
    tern_session_destroy(p.s);
    tern_pool_destroy(p.pool);
}

static void cut_at(TernSession *s, uint32_t slot, uint32_t n) {
    assert_int_equal(tern_session_truncate(s, slot, n, NULL), TERN_OK);
}

static void prompt_in_steps_of_any_size(TernKv kv) {
    static const size_t chunks[] = {TEXT, 64, 7, 1};
    Rows got = rows_alloc(TEXT);
    for (uint32_t threads = 1; threads <= most_threads; threads++)
        for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
            Place p = place(kv, threads, 1);
            feed(p.s, 0, text, TEXT, chunks[c], got);
            same(got, of_text, TEXT, "steps of", chunks[c], threads);
            leave(p);
        }
    rows_free(got);
}

static void truncated(TernKv kv) {
    static const size_t chunks[] = {MORE, 7, 1};
    Rows got = rows_alloc(TEXT);
    for (uint32_t threads = 1; threads <= most_threads; threads++) {
        Place p = place(kv, threads, 1);
        feed(p.s, 0, text, TEXT, TEXT, got);
        for (size_t c = 0; c < CUTS; c++) { /* they fall: what is kept is always the text's */
            cut_at(p.s, 0, cuts[c]);
            feed(p.s, 0, more, MORE, chunks[c % 3], got);
            same(got, of_more[c], MORE, "cut at", cuts[c], threads);
        }
        cut_at(p.s, 0, 0);
        feed(p.s, 0, text, TEXT, 7, got); /* into pages that all had another life */
        same(got, of_text, TEXT, "filled again from", 0, threads);
        leave(p);
    }
    rows_free(got);
}

/* Slot 0 holds the text; the others are forks of it, cut at different lengths, and slot 0 then begins anew.
 * All go on together, one row each a step, so that every shared page is copied while others still read it. */
static void forked(TernKv kv) {
    static const size_t at[SLOTS][SLOTS] = {{9, 0, 3, 5}, {1, 2, 4, 8}, {0, 0, 0, 0}, {9, 6, 7, 0}};
    Rows got = rows_alloc(TEXT), each[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++) each[i] = rows_alloc(MORE);
    for (uint32_t threads = 1; threads <= most_threads; threads++) {
        Place p = place(kv, threads, SLOTS);
        for (size_t round = 0; round < SLOTS; round++) {
            cut_at(p.s, 0, 0);
            feed(p.s, 0, text, TEXT, TEXT, got);
            for (uint32_t i = 1; i < SLOTS; i++) /* of the one before: a page may have four owners */
                assert_int_equal(tern_session_fork(p.s, i - 1, i, NULL), TERN_OK);
            for (uint32_t i = 0; i < SLOTS; i++) cut_at(p.s, i, cuts[at[round][i]]);
            for (size_t k = 0; k < MORE; k++) {
                TernRow rows[SLOTS];
                Rows one = rows_alloc(SLOTS);
                for (uint32_t i = 0; i < SLOTS; i++) rows[i] = (TernRow){more[k], i, TERN_WANT_LOGITS};
                assert_int_equal(tern_session_step(p.s, rows, SLOTS, keep, &one, NULL), TERN_OK);
                for (uint32_t i = 0; i < SLOTS; i++) {
                    each[i].ids[k] = one.ids[i];
                    memcpy(each[i].logits + k * n_vocab, one.logits + (size_t)i * n_vocab,
                           n_vocab * sizeof(float));
                }
                rows_free(one);
            }
            for (uint32_t i = 0; i < SLOTS; i++)
                same(each[i], of_more[at[round][i]], MORE, "fork cut at", cuts[at[round][i]], threads);
        }
        leave(p);
    }
    for (uint32_t i = 0; i < SLOTS; i++) rows_free(each[i]);
    rows_free(got);
}

/* Runs all tests of a cache type; its fresh sessions come first. */
static void check(TernKv kv) {
    of_text = rows_alloc(TEXT);
    Place p = place(kv, 1, 1);
    feed(p.s, 0, text, TEXT, TEXT, of_text);
    leave(p);
    for (size_t c = 0; c < CUTS; c++) {
        Rows all = rows_alloc(TEXT + MORE);
        of_more[c] = rows_alloc(MORE);
        p = place(kv, 1, 1);
        if (cuts[c]) feed(p.s, 0, text, cuts[c], cuts[c], all);
        feed(p.s, 0, more, MORE, MORE, of_more[c]);
        leave(p);
        rows_free(all);
    }
    /* the test would prove nothing if the two texts gave the same results, or if a cut did not matter */
    assert_memory_not_equal(of_more[0].logits, of_more[1].logits, n_vocab * sizeof(float));
    assert_memory_not_equal(of_more[CUTS - 1].logits, of_text.logits, n_vocab * sizeof(float));
    prompt_in_steps_of_any_size(kv);
    truncated(kv);
    forked(kv);
    rows_free(of_text);
    for (size_t c = 0; c < CUTS; c++) rows_free(of_more[c]);
}

static void test_f16(void **state) {
    (void)state;
    check(TERN_KV_F16);
}

static void test_i8(void **state) {
    (void)state;
    check(TERN_KV_I8);
}

static int setup(void **state) {
    (void)state;
    json_error_t why;
    TernError err = {0};
    TernModelInfo info;
    json_t *vectors = json_load_file(TERN_SOURCE_DIR "/models/vectors.json", 0, &why);
    json_t *ids = json_object_get(json_object_get(vectors, "perplexity"), "tokens");
    if (json_array_size(ids) < 500 + MORE) return 1;
    for (size_t i = 0; i < TEXT; i++) text[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    for (size_t i = 0; i < MORE; i++) more[i] = (int32_t)json_integer_value(json_array_get(ids, 500 + i));
    json_decref(vectors);
    bool native = *native_levels() != 0;
    most_threads = native ? 4 : 2; /* evaluating takes its time */
    TerncOptions o = {
        .size = sizeof o, .target = native ? NULL : "ref", .kvs = 1u << TERN_KV_F16 | 1u << TERN_KV_I8};
    if (ternc_load(NULL, &o, NULL, &model, &err) != TERN_OK) {
        print_error("setup: %s\n", err.text);
        return 1;
    }
    tern_model_info(model, &info);
    n_vocab = info.n_vocab;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tern_model_close(model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f16), cmocka_unit_test(test_i8)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
