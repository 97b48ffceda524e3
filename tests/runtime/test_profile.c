/* The profile: every call is counted, and every nanosecond of a run belongs to a launch, a wait or the start.
 * Profiling changes no result, and steps still allocate nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <cmocka.h>
#include "fake_model.h"
#include "support/sanitized.h"
#include "runtime/base/os.h"
#include "runtime/engine.h"

/* Count malloc, if no sanitizer replaces it. */
static atomic_int counted, watching;
#if defined(__GLIBC__) && !TN_SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n) {
    counted += watching;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    counted += watching;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    counted += watching;
    return __libc_realloc(p, n);
}
#endif

static Fake fake;
static Image image;
static TernPool *pool;
static TernModel *model;

static int open_fake(void **state) {
    (void)state;
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernPoolOptions po = {.size = sizeof po, .threads = 3};
    image = fake_image();
    return tern_pool_create(&po, &pool, NULL) ||
           tern_model_open_memory(image.data, image.size, &o, &model, NULL);
}
static int close_fake(void **state) {
    (void)state;
    tern_model_close(model);
    tern_pool_destroy(pool);
    free(image.data);
    return 0;
}

static TernSession *session(void) {
    TernSessionOptions o = {.size = sizeof o, .slots = 3};
    TernSession *s = NULL;
    TernError err = {0};
    if (tern_session_create(model, pool, &o, &s, &err) != TERN_OK) fail_msg("%s", err.text);
    return s;
}

static TernProfile *profile(TernSession *s, uint32_t events) {
    TernProfileOptions o = {.size = sizeof o, .events = events};
    TernProfile *p = NULL;
    TernError err = {0};
    if (tern_profile_create(s, &o, &p, &err) != TERN_OK) fail_msg("%s", err.text);
    return p;
}

static void fold_result(void *user, const TernResult *r) {
    uint64_t *hash = user;
    *hash = fold(*hash, (int32_t)r->row);
    if (r->want == TERN_WANT_HIDDEN)
        for (int i = 0; i < HIDDEN; i++) *hash = fold(*hash, (int32_t)r->hidden[i]);
    else
        *hash = fold(*hash, r->id);
}

/* Takes time for each result; that time belongs to the rest, not to the run. */
static void slowly(void *user, const TernResult *r) {
    uint64_t until = tn_clock_ns() + 200000;
    (void)r;
    while (tn_clock_ns() < until) {
    }
    ++*(int *)user;
}

/* 29 rows over two slots with all wants (chunks of 20 and 9), then one row. */
static uint64_t steps(TernSession *s) {
    uint64_t hash = 1;
    TernRow rows[29];
    TernError err = {0};
    for (uint32_t i = 0; i < 29; i++) rows[i] = (TernRow){(int32_t)(i % POISON), i % 3 == 0, i % 5};
    if (tern_session_step(s, rows, 29, fold_result, &hash, &err) != TERN_OK) fail_msg("%s", err.text);
    if (tern_session_step(s, rows + 1, 1, fold_result, &hash, &err) != TERN_OK) fail_msg("%s", err.text);
    return hash;
}

static uint64_t total(const TernProfile *p, uint32_t program) {
    TernProfileProgram g;
    tern_profile_program(p, program, &g);
    uint64_t ns = g.idle_ns;
    for (uint32_t i = 0; i < g.n_launches; i++) {
        TernProfileLaunch l;
        tern_profile_launch(p, program, i, &l);
        ns += l.ns + l.wait_ns;
        uint64_t busy = 0;
        for (uint32_t w = 0; w < tern_profile_workers(p); w++) busy += l.busy_ns[w];
        assert_int_equal(busy, l.busy_all_ns);
        assert_true(l.slowest_ns <= busy);
    }
    return ns;
}

static void counts_and_times(void **state) {
    (void)state;
    TernSession *plain = session(), *timed = session();
    uint64_t expected = steps(plain);
    memset(&fake, 0, sizeof fake);
    TernProfile *p = profile(timed, 0);
    assert_int_equal(steps(timed), expected);
    assert_int_equal(fake.faults, 0);
    assert_int_equal(tern_profile_programs(p), 3);
    assert_int_equal(tern_profile_workers(p), 1); /* evaluated */
    static const char *const names[LAUNCHES] = {"put", "attend", "head", "top", "hide"};
    for (uint32_t i = 0; i < 3; i++) {
        TernProfileProgram g;
        tern_profile_program(p, i, &g);
        assert_int_equal(g.rows_lo, batch_class[i][0]);
        assert_int_equal(g.rows_hi, batch_class[i][1]);
        assert_int_equal(g.n_launches, LAUNCHES);
        assert_int_equal(g.weight_bytes, 64);
        assert_int_equal(total(p, i), g.ns);
        for (uint32_t k = 0; k < LAUNCHES; k++) {
            TernProfileLaunch l;
            tern_profile_launch(p, i, k, &l);
            assert_string_equal(l.name, names[k]);
            assert_int_equal(l.calls, fake.calls[g.variant][k]);
            assert_true(l.calls ? l.ns > 0 : l.ns == 0 && l.wait_ns == 0);
        }
    }
    tern_profile_destroy(p);
    tern_session_destroy(timed);
    tern_session_destroy(plain);
}

static void sums_of_sizes(void **state) {
    (void)state;
    TernSession *s = session();
    TernProfile *p = profile(s, 0);
    TernRow rows[5] = {{1, 0, 0}, {2, 1, 1}, {3, 0, 2}, {4, 0, 4}, {5, 1, 3}};
    TernProfileProgram g;
    assert_int_equal(tern_session_step(s, rows, 5, NULL, NULL, NULL), TERN_OK);
    assert_int_equal(tern_session_step(s, rows, 4, NULL, NULL, NULL), TERN_OK);
    tern_profile_program(p, 1, &g);
    assert_int_equal(g.runs, 2);
    assert_int_equal(g.sym[TN_ABI_T], 9);
    assert_int_equal(g.sym[TN_ABI_R], 3 + 2);
    assert_int_equal(g.sym[TN_ABI_K], 1 + 1);
    assert_int_equal(g.sym[TN_ABI_H], 1 + 1);
    /* slot 0 grows to 3 and 6, slot 1 to 2 and 3 */
    assert_int_equal(g.held, 3 + 2 + 6 + 3);
    assert_int_equal(g.attended, (1 + 2 + 3) + (1 + 2) + (4 + 5 + 6) + 3);
    tern_profile_reset(p);
    tern_profile_program(p, 1, &g);
    assert_int_equal(g.runs + g.ns + g.idle_ns + g.held + g.attended + g.sym[TN_ABI_T] + total(p, 1), 0);
    assert_int_equal(tern_session_step(s, rows, 2, NULL, NULL, NULL), TERN_OK);
    tern_profile_program(p, 1, &g);
    assert_int_equal(g.held, 7 + 4); /* slot 0 at position 6, slot 1 at position 3 */
    tern_profile_destroy(p);
    tern_session_destroy(s);
}

/* Runs and rests add up to the steps: at most the time on a clock around them, and at least the time of the sink. */
static void around_the_runs(void **state) {
    (void)state;
    TernSession *s = session();
    TernProfile *p = profile(s, 0);
    TernRow rows[29];
    uint64_t seen = 0, rest = 0, before = tn_clock_ns();
    int results = 0;
    for (uint32_t i = 0; i < 29; i++) rows[i] = (TernRow){1, i % 3, TERN_WANT_GREEDY};
    assert_int_equal(tern_session_step(s, rows, 29, slowly, &results, NULL), TERN_OK); /* chunks */
    uint64_t around = tn_clock_ns() - before;
    for (uint32_t i = 0; i < 3; i++) {
        TernProfileProgram g;
        tern_profile_program(p, i, &g);
        seen += g.ns + g.rest_ns;
        rest += g.rest_ns;
        assert_true(g.runs > 0 || g.rest_ns == 0);
    }
    assert_int_equal(results, 29);
    assert_true(seen <= around && rest >= 29 * 200000);
    tern_profile_reset(p);
    for (uint32_t i = 0; i < 3; i++) {
        TernProfileProgram g;
        tern_profile_program(p, i, &g);
        assert_int_equal(g.rest_ns, 0);
    }
    /* a row whose logits are not finite: the run and its rest are counted */
    TernProfileProgram g;
    rows[0].token = POISON;
    assert_int_equal(tern_session_step(s, rows, 1, NULL, NULL, NULL), TERN_ERR_NUMERIC);
    tern_profile_program(p, 0, &g);
    assert_int_equal(g.runs, 1);
    assert_true(g.rest_ns > 0);
    tern_profile_destroy(p);
    tern_session_destroy(s);
}

static void events(void **state) {
    (void)state;
    TernSession *s = session();
    TernProfile *p = profile(s, 7);
    TernRow row = {1, 0, TERN_WANT_GREEDY};
    size_t n;
    uint64_t dropped;
    /* put, attend, head and the run itself; the gates of top and hide are closed */
    assert_int_equal(tern_session_step(s, &row, 1, NULL, NULL, NULL), TERN_OK);
    const TernProfileEvent *e = tern_profile_events(p, &n, &dropped);
    assert_int_equal(n, 4);
    assert_int_equal(dropped, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(e[i].launch, i);
        assert_int_equal(e[i].worker, 0);
        assert_int_equal(e[i].rows, 1);
        assert_true(e[i].begin <= e[i].end && e[i].end <= e[i + 1 < 3 ? i + 1 : i].end);
        assert_true(e[3].begin <= e[i].begin && e[i].end <= e[3].end);
    }
    assert_int_equal(e[3].launch, UINT32_MAX);
    assert_int_equal(tern_session_step(s, &row, 1, NULL, NULL, NULL), TERN_OK);
    tern_profile_events(p, &n, &dropped);
    assert_int_equal(n, 7);
    assert_int_equal(dropped, 1);
    tern_profile_destroy(p);
    tern_session_destroy(s);
}

static void one_at_a_time(void **state) {
    (void)state;
    TernSession *s = session();
    TernProfile *p = profile(s, 0), *q = NULL;
    TernError err = {0};
    assert_int_equal(tern_profile_create(s, NULL, &q, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the session already has a profile");
    assert_int_equal(tern_profile_create(NULL, NULL, &q, &err), TERN_ERR_INPUT);
    tern_profile_destroy(p);
    assert_int_equal(tern_profile_create(s, NULL, &q, &err), TERN_OK);
    tern_profile_destroy(q);
    tern_profile_destroy(NULL);
    steps(s); /* detached */
    tern_session_destroy(s);
}

static void no_allocation(void **state) {
    (void)state;
    TernSession *s = session();
    TernProfile *p = profile(s, 10);
    watching = 1;
    steps(s);
    watching = 0;
    assert_int_equal(counted, 0);
    tern_profile_destroy(p);
    tern_session_destroy(s);
}

/* A program made by hand, so that several workers run C functions. Each launch adds to the cell of every unit. */
enum { CELLS = 11, STEPS = 4 };
static void add_one(const TnLaunch *a, const TnTile *t) {
    int64_t *cells = a->ptr[0];
    for (int64_t i = t->lo; i < t->hi; i++) cells[i] = cells[i] * 3 + 1;
}

static void workers_stamps(void **state) {
    (void)state;
    int64_t cells[CELLS] = {0}, sym[TN_ABI_SYMS] = {[TN_ABI_T] = 2, [TN_ABI_K] = 0};
    void *ptr[1] = {cells};
    /* all cells; two units for three workers; closed; a unit a row */
    TnRunLaunch l[STEPS];
    const int64_t units[STEPS] = {CELLS, 2, CELLS, 1};
    for (int i = 0; i < STEPS; i++)
        l[i] = (TnRunLaunch){.kernel = (TnHandle)add_one,
                             .args = {ptr, sym},
                             .units = units[i],
                             .gate_sym = i == 2 ? TN_ABI_K : UINT32_MAX,
                             .unit_sym = i == 3 ? TN_ABI_T : UINT32_MAX,
                             .barrier = true};
    TnStamp stamps[3 * 8];
    assert_int_equal(tn_stamp_stride(STEPS), 8);
    uint8_t scratch[64];
    TnMemory m = {.bases.scratch = (TnAddress)scratch, .sym = sym};
    TnProgram p = {.launches = l, .n = STEPS, .memory = &m, .pool = pool, .stamps = stamps};
    TnEngine *cpu;
    assert_int_equal(tn_engine_cpu(&cpu, NULL), TERN_OK);
    for (int round = 0; round < 200; round++) {
        memset(stamps, 0xff, sizeof stamps);
        memset(cells, 0, sizeof cells);
        uint64_t before = tn_clock_ns();
        assert_true(tn_pool_acquire(pool));
        assert_int_equal(cpu->run(cpu, &p, NULL, NULL), TERN_OK);
        tn_pool_release(pool);
        uint64_t after = tn_clock_ns(), front = before;
        for (int i = 0; i < CELLS; i++) assert_int_equal(cells[i], i < 2 ? 13 : 1);
        for (int i = 0; i < STEPS; i++) {
            uint64_t last = front;
            int shares = 0;
            for (int w = 0; w < 3; w++) {
                const TnStamp *s = &stamps[w * 8 + i];
                if (s->begin == 0) continue;
                shares++;
                assert_true(front <= s->begin && s->begin <= s->end && s->end <= after);
                if (s->end > last) last = s->end;
            }
            assert_int_equal(shares, i == 0 ? 3 : i == 2 ? 0 : 2);
            front = last;
        }
    }
    cpu->close(cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_times), cmocka_unit_test(sums_of_sizes),
        cmocka_unit_test(around_the_runs),  cmocka_unit_test(events),
        cmocka_unit_test(one_at_a_time),    cmocka_unit_test(no_allocation),
        cmocka_unit_test(workers_stamps),
    };
    return cmocka_run_group_tests(tests, open_fake, close_fake);
}
