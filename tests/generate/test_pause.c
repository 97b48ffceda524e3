/* The rows of a step beside sequences that decode: bounded by the time that earlier steps took, by a clock of the test's own. */
#include "generate/heard.h"
#include "generate/opened.h"
#include "runtime/generate/sequence.h"

/* ---- How many rows */

/* With a step of a + b * rows seconds, the rows of later steps come close to what fits, from below. */
static void rows_come_close_to_what_fits(void **state) {
    (void)state;
    static const struct {
        double a, b, pause;
        size_t most, fits;
    } cases[] = {
        {0.010, 0.001, 0.050, 512, 40},    {0.100, 0.010, 0.250, 512, 15}, {0.0, 0.001, 10, 512, 512},
        {0.050, 0.00025, 0.150, 512, 400}, {0.300, 0.001, 0.250, 512, 6},  {0.0, 0.1, 0.25, 512, 6},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TnPace p = {0};
        size_t rows = 0;
        assert_int_equal(tn_pace_rows(&p, cases[i].pause, 6, cases[i].most), 6); /* nothing is known */
        tn_pace_note(&p, 2, cases[i].a + 2 * cases[i].b);
        for (int step = 0; step < 60; step++) {
            rows = tn_pace_rows(&p, cases[i].pause, 6, cases[i].most);
            assert_true(rows >= 6 && rows <= cases[i].fits);
            tn_pace_note(&p, rows, cases[i].a + (double)rows * cases[i].b);
        }
        assert_true(4 * rows >= 3 * cases[i].fits);
    }
}

/* One slow step changes little, and is forgotten even if it was the first of its size. */
static void outliers_pass(void **state) {
    (void)state;
    for (int slow = 0; slow < 12; slow++) {
        TnPace p = {0};
        for (int step = 0; step < 400; step++) {
            size_t rows = tn_pace_rows(&p, 0.1, 4, 200);
            tn_pace_note(&p, rows, step == slow ? 5.0 : 0.001 * (double)rows);
            tn_pace_note(&p, rows, 0.0); /* a clock that stands still says nothing */
        }
        assert_true(tn_pace_rows(&p, 0.1, 4, 200) >= 90);
    }
}

/* ---- In a generator */

static TernGenerator *timed;
static double now;
static double cost(size_t rows) {
    return 0.010 + 0.001 * (double)rows;
}
/* Between two calls of a step lies the time of the step. */
static double of_rows(void) {
    return now += timed->stepping ? cost(timed->n_rows) : 0;
}

enum { OUT = 40, N = 240 };

typedef struct Run {
    Heard a, b;
    size_t steps, most; /* in which both had rows; their most rows */
} Run;

/* One sequence decodes, and then a long prompt comes. */
static Run run(double max_pause) {
    Run r = {.most = 0};
    TernError err;
    int32_t ids[N];
    TernSequence *a, *b;
    TernGenerated got = {.size = sizeof got};
    TernGeneratorOptions o = {.size = sizeof o, .slots = 2, .context = N + OUT, .max_pause = max_pause};
    must(tern_generator_create(model, pool, &o, &timed, &err), &err);
    timed->seconds = of_rows;
    for (int32_t i = 0; i < N; i++) ids[i] = i % 97 + 3;
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    so.seed = 1;
    TernRequest q = {
        .size = sizeof q, .ids = ids, .n_ids = 5, .max_tokens = OUT, .sampler = &so, .ignore_eog = 1};
    must(tern_sequence_create(timed, &q, hear, &r.a, &a, &err), &err);
    for (int i = 0; i < 3; i++) must(tern_generator_step(timed, &err), &err);
    q.n_ids = N;
    q.max_tokens = 5;
    must(tern_sequence_create(timed, &q, hear, &r.b, &b, &err), &err);
    while (tern_generator_running(timed)) {
        size_t n = r.a.n;
        must(tern_sequence_get(b, &got, &err), &err);
        must(tern_generator_step(timed, &err), &err);
        if (got.n_prefilled == N) continue;
        assert_int_equal(r.a.n, n + 1); /* nobody is held up */
        r.steps++;
        if (timed->n_rows > r.most) r.most = timed->n_rows;
    }
    tern_sequence_destroy(a);
    tern_sequence_destroy(b);
    tern_generator_destroy(timed);
    return r;
}

static void pauses_are_short(void **state) {
    (void)state;
    Run free = run(0), bound = run(0.050);
    assert_int_equal(free.steps, 1);
    assert_int_equal(free.most, N + 1);
    assert_true(bound.most <= 40 && bound.most >= 30); /* 50 ms */
    assert_true(bound.steps >= 6 && bound.steps < 15);
    assert_memory_equal(free.a.ids, bound.a.ids, OUT * sizeof *free.a.ids);
    assert_int_equal(free.b.n, 5);
    assert_memory_equal(free.b.ids, bound.b.ids, 5 * sizeof *free.b.ids);
}

/* The rows of the largest step of a prompt that no sequence decodes beside. */
static size_t largest_alone(uint32_t slots, double max_pause) {
    TernError err;
    int32_t ids[N];
    size_t most = 0, steps = 0;
    TernGenerated got = {.size = sizeof got};
    TernGeneratorOptions o = {.size = sizeof o, .slots = slots, .context = N + OUT, .max_pause = max_pause};
    must(tern_generator_create(model, pool, &o, &timed, &err), &err);
    timed->seconds = of_rows;
    for (int32_t i = 0; i < N; i++) ids[i] = i % 97 + 3;
    TernSequence *s;
    TernRequest q = {.size = sizeof q, .ids = ids, .n_ids = N, .max_tokens = 1};
    must(tern_sequence_create(timed, &q, NULL, NULL, &s, &err), &err);
    for (; tern_generator_running(timed); steps++) {
        must(tern_generator_step(timed, &err), &err);
        if (timed->n_rows > most) most = timed->n_rows;
    }
    must(tern_sequence_get(s, &got, &err), &err);
    assert_int_equal(got.n_prefilled, N);
    assert_true(steps >= N / most && steps <= N / most + 8);
    tern_sequence_destroy(s);
    tern_generator_destroy(timed);
    return most;
}

/* A sequence that comes during a step waits for its end; nobody can come where there is one slot. */
static void a_prompt_alone_leaves_room_for_who_comes(void **state) {
    (void)state;
    size_t bound = largest_alone(2, 0.050);
    assert_true(bound <= 40 && bound >= 30); /* 50 ms */
    assert_int_equal(largest_alone(2, 0.001), TN_PROMPT_ALONE);
    assert_int_equal(largest_alone(2, 0), N);
    assert_int_equal(largest_alone(1, 0.001), N);
}

/* A short prompt that comes while a long one runs has its first token after the step that runs and one more. */
static void a_short_prompt_comes_next(void **state) {
    (void)state;
    TernError err;
    int32_t ids[N];
    TernSequence *a, *b;
    TernGenerated got = {.size = sizeof got};
    TernGeneratorOptions o = {.size = sizeof o, .slots = 2, .context = N + OUT, .max_pause = 0.050};
    must(tern_generator_create(model, pool, &o, &timed, &err), &err);
    timed->seconds = of_rows;
    for (int32_t i = 0; i < N; i++) ids[i] = i % 97 + 3;
    TernRequest q = {.size = sizeof q, .ids = ids, .n_ids = N, .max_tokens = 2};
    must(tern_sequence_create(timed, &q, NULL, NULL, &a, &err), &err);
    for (int i = 0; i < 4; i++) must(tern_generator_step(timed, &err), &err);
    q.n_ids = 20;
    must(tern_sequence_create(timed, &q, NULL, NULL, &b, &err), &err);
    must(tern_generator_step(timed, &err), &err);
    assert_true(cost(timed->n_rows) <= 0.050);
    must(tern_sequence_get(b, &got, &err), &err);
    assert_int_equal(got.n_out, 1);
    must(tern_sequence_get(a, &got, &err), &err);
    assert_true(got.n_prefilled < N);
    tern_sequence_destroy(a);
    tern_sequence_destroy(b);
    tern_generator_destroy(timed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_close_to_what_fits),
        cmocka_unit_test(outliers_pass),
        cmocka_unit_test(pauses_are_short),
        cmocka_unit_test(a_prompt_alone_leaves_room_for_who_comes),
        cmocka_unit_test(a_short_prompt_comes_next),
    };
    return cmocka_run_group_tests(tests, open_embedded, close_embedded);
}
