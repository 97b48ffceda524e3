/* Failures in an engine: every call that can fail does so once. Its own line is reported, and nothing leaks. The engine has
 * memory of its own (support/far_engine.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "fake_model.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "support/far_engine.h"

static Fake fake;
static FarControl far;
static Image image;
static TernPool *pool;

static TernModel *open_far(const TernModelOptions *o) {
    TernKernels k = fake_kernels(&fake);
    TnEngine *inner;
    TernModel *m;
    TernError err = {0};
    memset(&fake, 0, sizeof fake);
    far = (FarControl){0};
    assert_int_equal(tn_engine_evaluated(&k, &inner, &err), TERN_OK);
    if (tn_model_open_on(far_engine(inner, &far), image.data, image.size, o, &m, &err))
        fail_msg("%s", err.text);
    return m;
}

static void close_far(TernModel *m) {
    assert_int_equal(far.sessions, 0);
    tern_model_close(m);
    assert_int_equal(far.closed, 1);
    assert_int_equal(far.blocks, 0);
    assert_int_equal(far.strangers, 0);
    assert_int_equal(fake.faults, 0);
}

static void expect(TernModel *m, TernStatus status, const char *line) {
    TernSession *s = NULL;
    TernError err = {0};
    assert_int_equal(tern_session_create(m, pool, NULL, &s, &err), status);
    assert_string_equal(err.text, line);
    assert_null(s);
    assert_int_equal(far.sessions, 0);
}

/* The weights' memory is allocated first, then the session's. After a failure it is released, and a second try works. */
static void making_a_session_fails(void **state) {
    (void)state;
    TernModel *m = open_far(NULL);
    far.fail_allocate = 1;
    expect(m, TERN_ERR_MEMORY, "model in memory: memory for the weights: far: no memory for 300 bytes");
    assert_int_equal(far.blocks, 0);
    far.fail_upload = 1;
    expect(m, TERN_ERR_ENV, "model in memory: weights: far: cannot upload 300 bytes");
    assert_int_equal(far.blocks, 0);
    TernSessionBytes b = {.size = sizeof b};
    char line[100];
    assert_int_equal(tern_session_bytes(m, pool, NULL, &b, NULL), TERN_OK);
    snprintf(line, sizeof line, "far: no memory for %zu bytes", (size_t)b.device);
    far.fail_allocate = 2;
    expect(m, TERN_ERR_MEMORY, line);
    assert_int_equal(far.blocks, 1); /* the weights have been copied */
    far.fail_bind = 1;
    expect(m, TERN_ERR_ENV, "far: cannot bind");
    assert_int_equal(far.blocks, 1);
    TernSession *s;
    assert_int_equal(tern_session_create(m, pool, NULL, &s, NULL), TERN_OK);
    assert_int_equal(far.blocks, 2);
    assert_int_equal(far.sessions, 1);
    assert_int_equal(far.uploads, 2); /* one of them failed */
    tern_session_destroy(s);
    close_far(m);
}

static void sink(void *user, const TernResult *r) {
    *(int32_t *)user = r->id;
}

/* If a device does not finish a step, the step returns the device's line. The session works again once its slots are
 * empty. */
static void a_run_fails(void **state) {
    (void)state;
    TernModel *m = open_far(NULL);
    TernSession *s;
    TernError err = {0};
    TernRow rows[30];
    int32_t id = -1, again = -1;
    for (uint32_t i = 0; i < 30; i++)
        rows[i] = (TernRow){(int32_t)(i % POISON), 0, i == 29 ? TERN_WANT_GREEDY : TERN_WANT_NOTHING};
    assert_int_equal(tern_session_create(m, pool, NULL, &s, &err), TERN_OK);
    assert_int_equal(tern_session_step(s, rows, 30, sink, &id, &err), TERN_OK);
    assert_int_equal(tern_session_truncate(s, 0, 0, &err), TERN_OK);
    far.fail_run = 2; /* of chunks of 20 and 10 rows */
    assert_int_equal(tern_session_step(s, rows, 30, sink, &again, &err), TERN_ERR_ENV);
    assert_string_equal(err.text, "far: the device has fallen off");
    assert_int_equal(again, -1);
    assert_int_equal(tern_session_length(s, 0), 30); /* up to the end of that chunk */
    assert_int_equal(tern_session_truncate(s, 0, 0, &err), TERN_OK);
    assert_int_equal(tern_session_step(s, rows, 30, sink, &again, &err), TERN_OK);
    assert_int_equal(again, id);
    tern_session_destroy(s);
    close_far(m);
}

/* If the second run of a step fails, a profile has counted only the first. */
/* A page that the device does not take leaves the slot as it was. */
static void a_page_fails(void **state) {
    (void)state;
    TernModel *m = open_far(NULL);
    TernSession *s;
    TernError err = {0};
    assert_int_equal(tern_session_create(m, pool, NULL, &s, &err), TERN_OK);
    void *page = calloc(1, tern_session_page_bytes(s));
    assert_int_equal(tern_session_append_page(s, 0, page, TERN_PAGE, &err), TERN_OK);
    far.fail_write = 1;
    assert_int_equal(tern_session_append_page(s, 0, page, 3, &err), TERN_ERR_ENV);
    assert_string_equal(err.text, "far: cannot write a page");
    assert_int_equal(tern_session_length(s, 0), TERN_PAGE);
    assert_int_equal(tern_session_append_page(s, 0, page, 3, &err), TERN_OK);
    assert_int_equal(tern_session_length(s, 0), TERN_PAGE + 3);
    free(page);
    tern_session_destroy(s);
    close_far(m);
}

static void a_failed_run_is_not_profiled(void **state) {
    (void)state;
    TernModel *m = open_far(NULL);
    TernSession *s;
    TernProfile *p;
    TernError err = {0};
    TernRow rows[30];
    TernProfileProgram g;
    for (uint32_t i = 0; i < 30; i++) rows[i] = (TernRow){(int32_t)(i % POISON), 0, TERN_WANT_NOTHING};
    assert_int_equal(tern_session_create(m, pool, NULL, &s, &err), TERN_OK);
    assert_int_equal(tern_profile_create(s, NULL, &p, &err), TERN_OK);
    far.fail_run = 2;
    assert_int_equal(tern_session_step(s, rows, 30, NULL, NULL, &err), TERN_ERR_ENV);
    tern_profile_program(p, 2, &g); /* of 7 to 20 rows */
    assert_int_equal(g.runs, 1);
    assert_int_equal(g.sym[TN_ABI_T], 20);
    assert_int_equal(g.held, 20);
    assert_int_equal(g.attended, 20 * 21 / 2);
    tern_profile_destroy(p);
    tern_session_destroy(s);
    close_far(m);
}

/* The two blocks of a session together take as much as the one block on an engine that shares the host's memory. */
static void two_blocks(void **state) {
    (void)state;
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernSessionBytes near = {.size = sizeof near}, apart = near;
    TernModel *m;
    assert_int_equal(tern_model_open_memory(image.data, image.size, &o, &m, NULL), TERN_OK);
    assert_int_equal(tern_session_bytes(m, pool, NULL, &near, NULL), TERN_OK);
    tern_model_close(m);
    m = open_far(NULL);
    assert_int_equal(tern_session_bytes(m, pool, NULL, &apart, NULL), TERN_OK);
    assert_int_equal(near.device, 0);
    assert_int_equal(near.total, near.tables + near.arena + near.scratch + near.cache);
    assert_int_equal(apart.total, apart.tables);
    assert_true(apart.device >= apart.arena + apart.scratch + apart.cache);
    assert_int_equal(apart.scratch, near.scratch);
    assert_int_equal(apart.cache, near.cache);
    assert_int_equal(apart.arena, near.arena);

    /* the caller's memory holds the host's part */
    TernSessionOptions so = {.size = sizeof so, .memory_bytes = apart.total};
    so.memory = aligned_alloc(64, apart.total + 64);
    memset(so.memory, 0, apart.total);
    memset((char *)so.memory + apart.total, 0x5a, 64);
    TernSession *s;
    TernError err = {0};
    if (tern_session_create(m, pool, &so, &s, &err)) fail_msg("%s", err.text);
    assert_ptr_equal(s, so.memory);
    TernRow rows[5];
    int32_t id;
    for (uint32_t i = 0; i < 5; i++) rows[i] = (TernRow){3, 0, i};
    assert_int_equal(tern_session_step(s, rows, 5, sink, &id, &err), TERN_OK);
    for (int i = 0; i < 64; i++) assert_int_equal(((uint8_t *)so.memory)[apart.total + (size_t)i], 0x5a);
    tern_session_destroy(s);
    free(so.memory);
    close_far(m);
}

static void names(void **state) {
    (void)state;
    TnEngine *e = NULL;
    TernError err = {0};
    assert_int_equal(tn_engine_named("warp", &e, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "device 'warp' is unknown, expected cpu, cuda or cuda:N");
    assert_null(e);
    assert_int_equal(tn_engine_named(NULL, &e, &err), TERN_OK);
    assert_string_equal(e->name, "cpu");
    assert_false(e->apart);
    assert_string_equal(e->levels, tern_cpu_levels());
    e->close(e);
}

static int setup(void **state) {
    (void)state;
    TernPoolOptions o = {.size = sizeof o, .threads = 2};
    image = fake_image();
    return tern_pool_create(&o, &pool, NULL) != TERN_OK;
}

static int teardown(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    free(image.data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making_a_session_fails),
        cmocka_unit_test(a_run_fails),
        cmocka_unit_test(a_page_fails),
        cmocka_unit_test(a_failed_run_is_not_profiled),
        cmocka_unit_test(two_blocks),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
