/* The promise of --head q8, q6 and q5: whatever a row wants, its result has the same bits as with the whole
 * table. The trained model generates 256 tokens with and without a shortlisted head, in memory and from a
 * file, with 1 to 3 threads, in steps of one row and in steps that mix all wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"

enum { TOKENS = 256, SLOTS = 5, TOP = 256, MOST = 4096 };

static void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

/* What a step gave, row by row. */
typedef struct Given {
    uint32_t n, want[SLOTS], n_top[SLOTS], n_vocab, n_hidden;
    int32_t id[SLOTS], top[SLOTS][TOP];
    float top_logits[SLOTS][TOP], wide[SLOTS][MOST];
} Given;

static void take(void *user, const TernResult *r) {
    Given *g = user;
    uint32_t at = g->n++;
    g->want[at] = r->want;
    g->id[at] = r->id;
    g->n_top[at] = r->want == TERN_WANT_TOP ? r->n_top : 0;
    memset(g->wide[at], 0, sizeof g->wide[at]);
    if (r->want == TERN_WANT_TOP) {
        memcpy(g->top[at], r->top_ids, r->n_top * sizeof(int32_t));
        memcpy(g->top_logits[at], r->top_logits, r->n_top * sizeof(float));
    }
    if (r->want == TERN_WANT_LOGITS) memcpy(g->wide[at], r->logits, g->n_vocab * sizeof(float));
    if (r->want == TERN_WANT_HIDDEN) memcpy(g->wide[at], r->hidden, g->n_hidden * sizeof(float));
}

static void same(const Given *a, const Given *b, int step) {
    assert_int_equal(a->n, b->n);
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->want[i] != b->want[i] || a->id[i] != b->id[i] || a->n_top[i] != b->n_top[i])
            fail_msg("step %d, result %u: want %u id %d, expected %d", step, i, a->want[i], b->id[i],
                     a->id[i]);
        assert_memory_equal(a->top[i], b->top[i], a->n_top[i] * sizeof(int32_t));
        assert_memory_equal(a->top_logits[i], b->top_logits[i], a->n_top[i] * sizeof(float));
        assert_memory_equal(a->wide[i], b->wide[i], sizeof a->wide[i]);
    }
}

typedef struct Side {
    TernModel *m;
    TernPool *p;
    TernSession *s;
    Given given;
} Side;

static void open_side(Side *side, const char *head, const char *blob, uint32_t threads) {
    TernError err = {0};
    TerncOptions o = {.size = sizeof o, .head = head};
    TernModelOptions mo = {.size = sizeof mo};
    TernPoolOptions po = {.size = sizeof po, .threads = threads};
    TernSessionOptions so = {.size = sizeof so, .context = 1024, .slots = SLOTS};
    TernModelInfo info;
    if (blob)
        must(tern_model_open(blob, &mo, &side->m, &err), &err);
    else
        must(ternc_load(NULL, &o, NULL, &side->m, &err), &err);
    must(tern_pool_create(&po, &side->p, &err), &err);
    must(tern_session_create(side->m, side->p, &so, &side->s, &err), &err);
    tern_model_info(side->m, &info);
    side->given.n_vocab = info.n_vocab;
    side->given.n_hidden = info.n_hidden;
    assert_true(info.n_vocab <= MOST && info.n_hidden <= MOST);
}

static void close_side(Side *side) {
    tern_session_destroy(side->s);
    tern_pool_destroy(side->p);
    tern_model_close(side->m);
}

static void step(Side *side, const TernRow *rows, size_t n) {
    TernError err = {0};
    side->given.n = 0;
    must(tern_session_step(side->s, rows, n, take, &side->given, &err), &err);
}

static void compare(Side *a, Side *b) {
    int32_t id[SLOTS] = {5, 6, 7, 8, 9};
    for (int i = 0; i < TOKENS; i++) {
        TernRow rows[SLOTS];
        size_t n = i % 8 == 7 ? SLOTS : i % 8 == 3 ? 3 : 1;
        for (uint32_t j = 0; j < n; j++)
            rows[j] = (TernRow){id[j], j, n == 1 ? 1 + (uint32_t)i % 4 : ((uint32_t)i / 8 + j) % 5};
        step(a, rows, n);
        step(b, rows, n);
        same(&a->given, &b->given, i);
        uint32_t at = 0;
        for (uint32_t j = 0; j < n; j++) {
            if (rows[j].want == TERN_WANT_NOTHING) continue;
            if (rows[j].want != TERN_WANT_HIDDEN) id[j] = a->given.id[at];
            at++;
        }
    }
}

static void heads(void **state) {
    (void)state;
    static const char *const names[] = {"q8", "q6", "q5"};
    static Side full, shortlisted;
    for (int h = 0; h < 3; h++) {
        char path[] = "/tmp/tern-head-XXXXXX";
        int fd = mkstemp(path);
        TernError err = {0};
        TerncOptions o = {.size = sizeof o, .head = names[h]};
        assert_true(fd >= 0);
        close(fd);
        must(ternc_compile(NULL, &o, path, NULL, &err), &err);
        for (uint32_t threads = 1; threads <= 3; threads++) {
            open_side(&full, NULL, NULL, 2);
            open_side(&shortlisted, names[h], threads == 2 ? path : NULL, threads);
            compare(&full, &shortlisted);
            close_side(&full);
            close_side(&shortlisted);
        }
        unlink(path);
    }
}

int main(void) {
    if (!*native_levels()) {
        puts("skipped: no code for this machine in this build");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(heads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
