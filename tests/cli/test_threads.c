/* Threads of the application: any number may share a model, each with its own pool and session, and several
 * may compile and load at once. Every thread gets the same bits as when it runs alone. Built with
 * TERN_SANITIZE=thread, this test also looks for races. */
#include <pthread.h>
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
#include "support/gguf_model.h"

enum { JOBS = 3, STEPS = 8, PROMPT = 21 };

static char gguf_path[] = "/tmp/tern-threads-XXXXXX", blob_path[] = "/tmp/tern-threads-XXXXXX";
static const char *target; /* NULL where code is compiled */

/* One application thread; no cmocka in here, it knows no threads. */
typedef struct Job {
    TernModel *model; /* NULL: it loads the file itself */
    uint32_t index, threads;
    uint64_t bits; /* of all logits, folded */
    TernStatus status;
    TernError err;
} Job;

typedef struct Fold {
    uint64_t bits;
    uint32_t n_vocab;
} Fold;

static void fold(void *user, const TernResult *r) {
    Fold *f = user;
    for (uint32_t i = 0; i < f->n_vocab; i++) {
        uint32_t bits;
        memcpy(&bits, &r->logits[i], 4);
        f->bits = (f->bits ^ bits) * 0x100000001b3u;
    }
}

static TernStatus generate(Job *j, TernModel *m, TernPool *pool) {
    TernSession *s;
    TernModelInfo info;
    TernSessionOptions o = {.size = sizeof o, .context = 64, .slots = 2};
    tern_model_info(m, &info);
    Fold f = {.n_vocab = info.n_vocab};
    TernStatus st = tern_session_create(m, pool, &o, &s, &j->err);
    if (st != TERN_OK) return st;
    TernRow rows[PROMPT];
    for (uint32_t i = 0; i < PROMPT; i++)
        rows[i] = (TernRow){(int32_t)((i * 7 + j->index) % f.n_vocab), i % 2,
                            i + 2 < PROMPT ? 0 : TERN_WANT_LOGITS};
    st = tern_session_step(s, rows, PROMPT, fold, &f, &j->err);
    for (uint32_t i = 0; i < STEPS && st == TERN_OK; i++) {
        TernRow row = {(int32_t)(f.bits % f.n_vocab), i % 2, TERN_WANT_LOGITS};
        st = tern_session_step(s, &row, 1, fold, &f, &j->err);
    }
    tern_session_destroy(s);
    j->bits = f.bits;
    return st;
}

static TernStatus load(TernModel **out, TernError *err) {
    TerncSource source = {.size = sizeof source, .path = gguf_path};
    TerncOptions o = {.size = sizeof o, .target = target};
    return ternc_load(&source, &o, NULL, out, err);
}

static void *work(void *arg) {
    Job *j = arg;
    TernPoolOptions po = {.size = sizeof po, .threads = j->threads};
    TernPool *pool;
    TernModel *m = j->model;
    j->status = tern_pool_create(&po, &pool, &j->err);
    if (j->status != TERN_OK) return NULL;
    if (!m) j->status = load(&m, &j->err);
    if (j->status == TERN_OK) {
        j->status = generate(j, m, pool);
        if (!j->model) tern_model_close(m);
    }
    tern_pool_destroy(pool);
    return NULL;
}

static TernModel *open_blob(void) {
    TernError err = {0};
    TernModel *m;
    TernStatus st =
        target ? ternc_open_ref(blob_path, NULL, &m, &err) : tern_model_open(blob_path, NULL, &m, &err);
    if (st != TERN_OK) fail_msg("%s", err.text);
    return m;
}

static uint64_t alone[JOBS];

/* All at once; `threads` of the first's pool, one more each for the next. */
static void check_jobs(TernModel *shared, uint32_t threads) {
    Job jobs[JOBS];
    pthread_t t[JOBS];
    for (uint32_t i = 0; i < JOBS; i++) {
        jobs[i] = (Job){.model = shared, .index = i, .threads = threads + i};
        assert_int_equal(pthread_create(&t[i], NULL, work, &jobs[i]), 0);
    }
    for (uint32_t i = 0; i < JOBS; i++) pthread_join(t[i], NULL);
    for (uint32_t i = 0; i < JOBS; i++) {
        if (jobs[i].status != TERN_OK) fail_msg("job %u: %s", i, jobs[i].err.text);
        assert_true(jobs[i].bits == alone[i]);
    }
}

static void test_sessions_of_one_model_at_once(void **state) {
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        TernModel *m = open_blob(); /* its weights are checked by whichever session comes first */
        check_jobs(m, threads);
        tern_model_close(m);
    }
}

static void test_loading_at_once(void **state) {
    (void)state;
    check_jobs(NULL, 1);
}

/* More threads than processors, and more than units of work. */
static void test_any_number_of_threads_gives_the_same_bits(void **state) {
    (void)state;
    TernModel *m = open_blob();
    static const uint32_t counts[] = {1, 2, 3, 5, 17};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        Job j = {.model = m, .index = 1, .threads = counts[i]};
        work(&j);
        if (j.status != TERN_OK) fail_msg("%u threads: %s", counts[i], j.err.text);
        assert_true(j.bits == alone[1]);
    }
    tern_model_close(m);
}

static void test_two_sessions_share_a_pool_in_turn(void **state) {
    (void)state;
    TernModel *m = open_blob();
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    TernPool *pool;
    assert_int_equal(tern_pool_create(&po, &pool, NULL), TERN_OK);
    for (uint32_t i = 0; i < JOBS; i++) {
        Job j = {.index = i};
        assert_int_equal(generate(&j, m, pool), TERN_OK);
        assert_true(j.bits == alone[i]);
    }
    tern_pool_destroy(pool);
    tern_model_close(m);
}

static int setup(void **state) {
    TnBuf file = {0};
    TernError err = {0};
    TnGmSpec spec = tn_gm_small; /* the tiny shape: 256 wide, 2 layers */
    TerncSource source = {.size = sizeof source, .path = gguf_path};
    (void)state;
    if (!*native_levels()) target = "ref";
    TerncOptions o = {.size = sizeof o, .levels = target, .target = target};
    int a = mkstemp(gguf_path), b = mkstemp(blob_path);
    tn_gm_bytes(&spec, &file);
    bool ok = a >= 0 && b >= 0 && write(a, file.data, file.len) == (ssize_t)file.len;
    tn_buf_free(&file);
    if (!ok || close(a) || close(b) || ternc_compile(&source, &o, blob_path, NULL, &err) != TERN_OK) {
        print_error("setup: %s\n", err.text);
        return 1;
    }
    TernModel *m = open_blob();
    for (uint32_t i = 0; i < JOBS; i++) {
        Job j = {.model = m, .index = i, .threads = 1};
        work(&j);
        if (j.status != TERN_OK) return 1;
        alone[i] = j.bits;
    }
    tern_model_close(m);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return unlink(gguf_path) | unlink(blob_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_of_one_model_at_once),
        cmocka_unit_test(test_loading_at_once),
        cmocka_unit_test(test_any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(test_two_sessions_share_a_pool_in_turn),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
