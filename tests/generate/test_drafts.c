/* Guesses beside other sequences: in a step only where they pay, by a clock of the test's own; and the same answers always. */
#include <math.h>
#include "generate/heard.h"
#include "generate/opened.h"
#include "runtime/generate/sequence.h"

/* ---- Seconds of a step */

static void check_seconds(const TnCost *c, size_t rows, double expected) {
    double got = tn_cost_seconds(c, rows);
    if (!(fabs(got - expected) < 1e-9)) fail_msg("%zu rows: %g s, expected %g", rows, got, expected);
}

static void seconds_lie_between_neighbours(void **state) {
    (void)state;
    TnCost c = {.rows = {0}};
    check_seconds(&c, 5, 0);
    tn_cost_note(&c, 2, 0.02);
    check_seconds(&c, 1, 0.02);
    check_seconds(&c, 2, 0.02);
    check_seconds(&c, 700, 0.02);
    tn_cost_note(&c, 12, 0.07);
    check_seconds(&c, 6, 0.04);
    check_seconds(&c, 11, 0.065);
    check_seconds(&c, 13, 0.07);
    tn_cost_note(&c, 6, 0.03);
    check_seconds(&c, 4, 0.025);
    check_seconds(&c, 9, 0.05);
    tn_cost_note(&c, 100000, 1); /* beyond all classes */
    check_seconds(&c, 100000, 1);
    assert_true(tn_cost_seconds(&c, 1000) > 0.07 && tn_cost_seconds(&c, 1000) < 0.1);
}

/* Every size from 1 on has the seconds of a line, when all were seen. */
static void a_line_stays_one(void **state) {
    (void)state;
    TnCost c = {.rows = {0}};
    for (int round = 0; round < 40; round++)
        for (size_t rows = 1; rows <= 200; rows++) tn_cost_note(&c, rows, 0.01 + 0.001 * (double)rows);
    for (size_t rows = 1; rows <= 160; rows++) {
        double line = 0.01 + 0.001 * (double)rows;
        assert_true(fabs(tn_cost_seconds(&c, rows) - line) < 1e-9 + 0.05 * line);
    }
}

static void slow_steps_pass(void **state) {
    (void)state;
    TnCost c = {.rows = {0}};
    tn_cost_note(&c, 3, 9); /* the first one, which reads the weights */
    for (int i = 0; i < 40; i++) tn_cost_note(&c, 3, 0.01);
    assert_true(tn_cost_seconds(&c, 3) < 0.0101);
    tn_cost_note(&c, 3, 60);
    assert_true(tn_cost_seconds(&c, 3) < 0.013);
    tn_cost_note(&c, 3, 0); /* a clock that stands still says nothing */
    tn_cost_note(&c, 3, -1);
    assert_true(tn_cost_seconds(&c, 3) > 0.01);
}

static void what_was_not_seen_for_long_is_forgotten(void **state) {
    (void)state;
    TnCost c = {.rows = {0}};
    tn_cost_note(&c, 20, 1);
    for (int i = 0; i < 255; i++) tn_cost_note(&c, 4, 0.01);
    assert_true(tn_cost_seconds(&c, 20) > 0.99);
    tn_cost_note(&c, 4, 0.01);
    check_seconds(&c, 20, 0.01);
    tn_cost_note(&c, 20, 0.5);
    check_seconds(&c, 20, 0.5);
}

/* ---- The choice */

enum { FOUR = 4 };
typedef struct Choice {
    TernSequence of[FOUR], *decoding[FOUR], *order[FOUR];
    TnDrafts drafts;
} Choice;

/* Steps take a + b * rows; the sequences have so many guesses, right with such chances. */
static void choose(Choice *c, size_t n, double a, double b, const double *hits, const size_t *guesses) {
    c->drafts.order = c->order;
    for (size_t rows = 1; rows < 60; rows++) tn_cost_note(&c->drafts.cost, rows, a + b * (double)rows);
    for (size_t i = 0; i < n; i++) {
        c->of[i].hits = hits[i];
        c->of[i].n_guess = guesses[i];
        c->of[i].n_withheld = 0;
        c->decoding[i] = &c->of[i];
    }
    tn_drafts_choose(&c->drafts, c->decoding, n);
}

static void check_used(const Choice *c, const size_t *guesses, unsigned used) {
    for (size_t i = 0; i < FOUR; i++) {
        bool is = used >> i & 1;
        assert_int_equal(c->of[i].n_guess, is ? guesses[i] : 0);
        assert_int_equal(c->of[i].n_withheld, is ? 0 : guesses[i]);
    }
}

static void the_best_guesses_are_taken(void **state) {
    (void)state;
    static const double hits[FOUR] = {0.1, 0.95, 0.5, 0.0};
    static const size_t guesses[FOUR] = {3, 3, 3, 0};
    static const struct {
        double a, b;
        unsigned used;
    } cases[] = {
        {1, 0, 7},     /* rows are free */
        {0, 1, 0},     /* rows are all: a right guess is as dear as a token */
        {1, 0.1, 2},   /* only the one that is nearly always right */
        {1, 0.04, 6},  /* the one that is half the time too */
        {1, 0.001, 7}, /* even the poorest gives 0.1 tokens for three rows */
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        Choice c = {.drafts = {.choices = 0}};
        choose(&c, FOUR, cases[i].a, cases[i].b, hits, guesses);
        check_used(&c, guesses, cases[i].used);
    }
}

/* One sequence that decodes alone always guesses, and one choice of 64 is turned round. */
static void choices_are_turned_round(void **state) {
    (void)state;
    static const double hits[FOUR] = {0.5, 0.5, 0.5, 0.5};
    static const size_t guesses[FOUR] = {2, 0, 1, 3}, none[FOUR] = {0};
    Choice c = {.drafts = {.choices = 0}};
    for (int i = 1; i <= 192; i++) {
        choose(&c, FOUR, 0, 1, hits, guesses);
        check_used(&c, guesses, i % 64 == 0 ? 15 : 0);
        choose(&c, 1, 0, 1, hits, guesses);
        assert_int_equal(c.of[0].n_guess, 2);
        choose(&c, FOUR, 0, 1, hits, none); /* is no choice */
    }
    assert_int_equal(c.drafts.choices, 192);
    for (int i = 1; i <= 64; i++) {
        choose(&c, FOUR, 1, 0, hits, guesses);
        c.drafts.cost = (TnCost){.rows = {0}};
        check_used(&c, guesses, i % 64 == 0 ? 0 : 15);
    }
}

/* With phrases, the guesses of one that decodes alone are chosen too. */
static void one_alone_may_be_chosen(void **state) {
    (void)state;
    static const double hits[FOUR] = {0.3};
    static const size_t guesses[FOUR] = {3};
    Choice c = {.drafts = {.alone = true}};
    choose(&c, 1, 0, 1, hits, guesses);
    check_used(&c, guesses, 0);
    c = (Choice){.drafts = {.alone = true}};
    choose(&c, 1, 1, 0.01, hits, guesses);
    check_used(&c, guesses, 1);
}

/* ---- In a generator */

enum { OUT = HEARD_MOST, SEQUENCES = 3, DRAFT = 4 };

static TernGenerator *timed;
static double now, each_row, each_step;
/* Between two calls of a step lies the time of the step. */
static double of_rows(void) {
    return now += timed->stepping ? each_step + each_row * (double)timed->n_rows : 0;
}

static void begin(uint32_t slots, uint64_t draft_memory) {
    TernError err;
    TernGeneratorOptions o = {
        .size = sizeof o, .slots = slots, .context = 256, .draft_max = DRAFT, .draft_memory = draft_memory};
    must(tern_generator_create(model, pool, &o, &timed, &err), &err);
    timed->seconds = of_rows;
}

/* Runs n sequences beside each other. */
static void run(Heard *h, size_t n, uint32_t draft) {
    static const char text[] = "And the LORD said unto Moses, And the LORD said unto Moses, And the LORD";
    TernSequence *s[SEQUENCES];
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    TernError err;
    so.temp = 0;
    for (size_t i = 0; i < n; i++) {
        TernRequest r = {.size = sizeof r,
                         .text = {text, sizeof text - 1 - 7 * i},
                         .max_tokens = OUT,
                         .draft_max = draft,
                         .sampler = &so,
                         .ignore_eog = 1};
        h[i].n = 0;
        must(tern_sequence_create(timed, &r, hear, &h[i], &s[i], &err), &err);
    }
    while (tern_generator_running(timed)) must(tern_generator_step(timed, &err), &err);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(h[i].n, OUT);
        tern_sequence_destroy(s[i]);
    }
}

static void check_same(const Heard *a, const Heard *b, size_t n) {
    for (size_t i = 0; i < n; i++) assert_memory_equal(a[i].ids, b[i].ids, OUT * sizeof *a[i].ids);
}

/* The same answers with steps of every kind. Guesses cost nothing: all are used. They cost as much as ids: only the first ones are,
 * when nothing is known, and some that are tried again. */
static void guesses_are_used_where_they_pay(void **state) {
    (void)state;
    static Heard plain[SEQUENCES], h[SEQUENCES];
    each_step = 0.01, each_row = 0;
    begin(SEQUENCES, 0);
    run(plain, SEQUENCES, 0);
    assert_int_equal(counts_of(timed).n_guessed + counts_of(timed).n_withheld, 0);
    run(h, SEQUENCES, DRAFT);
    TernGeneratorCounts free = counts_of(timed);
    check_same(plain, h, SEQUENCES);
    assert_true(free.n_right > 0 && free.n_guessed > 4 * free.n_withheld);
    tern_generator_destroy(timed);

    each_step = 0, each_row = 0.01;
    begin(SEQUENCES, 0);
    run(h, SEQUENCES, DRAFT);
    TernGeneratorCounts dear = counts_of(timed);
    check_same(plain, h, SEQUENCES);
    assert_true(dear.n_guessed > 0 && dear.n_withheld > 4 * dear.n_guessed);

    /* time passes, and now rows are free: found out, since what is old is forgotten */
    each_step = 0.01, each_row = 0;
    for (int i = 0; i < 4; i++) run(h, SEQUENCES, DRAFT);
    TernGeneratorCounts before = counts_of(timed);
    run(h, SEQUENCES, DRAFT);
    check_same(plain, h, SEQUENCES);
    TernGeneratorCounts after = counts_of(timed);
    assert_true(after.n_guessed - before.n_guessed > 4 * (after.n_withheld - before.n_withheld));
    tern_generator_destroy(timed);
}

static void one_alone_always_guesses(void **state) {
    (void)state;
    static Heard plain, h;
    each_step = 0, each_row = 0.01;
    begin(SEQUENCES, 0);
    run(&plain, 1, 0);
    run(&h, 1, DRAFT);
    check_same(&plain, &h, 1);
    assert_true(counts_of(timed).n_guessed > 0);
    assert_int_equal(counts_of(timed).n_withheld, 0);
    tern_generator_destroy(timed);
}

static void one_alone_with_phrases(void **state) {
    (void)state;
    static Heard plain, h;
    each_step = 0, each_row = 0.01;
    begin(SEQUENCES, 1 << 16);
    run(&plain, 1, 0);
    for (int i = 0; i < 3; i++) {
        run(&h, 1, DRAFT);
        check_same(&plain, &h, 1);
    }
    TernGeneratorCounts dear = counts_of(timed);
    assert_true(dear.n_withheld > 4 * dear.n_guessed);
    tern_generator_destroy(timed);

    each_step = 0.01, each_row = 0;
    begin(SEQUENCES, 1 << 16);
    for (int i = 0; i < 3; i++) {
        run(&h, 1, DRAFT);
        check_same(&plain, &h, 1);
    }
    TernGeneratorCounts free = counts_of(timed);
    assert_true(free.n_guessed > 4 * free.n_withheld && free.n_right > OUT);
    tern_generator_destroy(timed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_lie_between_neighbours),
        cmocka_unit_test(a_line_stays_one),
        cmocka_unit_test(slow_steps_pass),
        cmocka_unit_test(what_was_not_seen_for_long_is_forgotten),
        cmocka_unit_test(the_best_guesses_are_taken),
        cmocka_unit_test(choices_are_turned_round),
        cmocka_unit_test(guesses_are_used_where_they_pay),
        cmocka_unit_test(one_alone_may_be_chosen),
        cmocka_unit_test(one_alone_always_guesses),
        cmocka_unit_test(one_alone_with_phrases),
    };
    return cmocka_run_group_tests(tests, open_embedded, close_embedded);
}
