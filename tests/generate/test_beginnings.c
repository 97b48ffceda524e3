/* Stored beginnings: what one sequence has run is not run again by the next, whether the first has ended, runs, or has just
 * begun; and no answer shows it. */
#include "generate/opened.h"
#include "generate/still_clock.h"

enum { CONTEXT = 320, PAGES = CONTEXT / TERN_PAGE, OUT = 5, LIVE = 4 };

static TernGenerator *fresh; /* one slot, nothing stored */

static uint32_t draw(uint64_t *seed, uint32_t below) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*seed >> 33) % below);
}

typedef struct Talk {
    int32_t prompt[CONTEXT], ids[CONTEXT];
    size_t n_prompt, n;
    uint64_t seed;
    uint32_t draft;
    bool unstored;
    TernSequence *s;
    TernGenerated got;
} Talk;

static int hear(void *user, const TernPiece *p) {
    Talk *t = user;
    if (p->id != TERN_NO_TOKEN) t->ids[t->n++] = p->id;
    return 0;
}

static void start(TernGenerator *g, Talk *t) {
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    TernError err;
    so.seed = t->seed;
    TernRequest r = {.size = sizeof r,
                     .ids = t->prompt,
                     .n_ids = t->n_prompt,
                     .max_tokens = OUT,
                     .draft_max = t->draft,
                     .sampler = &so,
                     .unstored = t->unstored};
    t->n = 0;
    must(tern_sequence_create(g, &r, hear, t, &t->s, &err), &err);
}

static void finish(TernGenerator *g, Talk *t) {
    TernError err;
    t->got = (TernGenerated){.size = sizeof t->got};
    do {
        must(tern_sequence_get(t->s, &t->got, &err), &err);
        if (t->got.end == TERN_END_NOT) must(tern_generator_step(g, &err), &err);
    } while (t->got.end == TERN_END_NOT);
    tern_sequence_destroy(t->s);
    t->s = NULL;
}

static void check_answer(const Talk *t) {
    static Talk alone;
    alone = *t;
    alone.draft = 0;
    start(fresh, &alone);
    finish(fresh, &alone);
    assert_int_equal(t->got.n_reused + t->got.n_prefilled, t->n_prompt);
    assert_int_equal(alone.got.n_reused, 0);
    assert_int_equal(t->n, alone.n);
    assert_memory_equal(t->ids, alone.ids, t->n * sizeof *t->ids);
}

static void fill(Talk *t, uint64_t *seed, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) t->prompt[i] = (int32_t)draw(seed, 500);
    t->n_prompt = to;
}

static void ask(TernGenerator *g, Talk *t, size_t reused) {
    start(g, t);
    finish(g, t);
    check_answer(t);
    assert_int_equal(t->got.n_reused, reused);
}

/* An ended sequence leaves what it has run, which is all ids but the last pick. */
static void beginnings_are_kept(void **state) {
    (void)state;
    static Talk a, b;
    uint64_t seed = 1;
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = CONTEXT, .slots = 2, .stored = 2});
    fill(&a, &seed, 0, 150);
    ask(g, &a, 0);
    ask(g, &a, 149); /* its last id is always run */
    assert_int_equal(counts_of(g).stored, 1);
    b = a;
    fill(&b, &seed, 100, 180);
    ask(g, &b, 100); /* inside a page */
    assert_int_equal(counts_of(g).stored, 2);
    assert_int_equal(counts_of(g).pages_shared, 1);
    /* the conversation goes on: the longer one takes the place of its beginning */
    memcpy(b.prompt + b.n_prompt, b.ids, OUT * sizeof *b.ids);
    size_t run = b.n_prompt + OUT - 1;
    fill(&b, &seed, b.n_prompt + OUT, b.n_prompt + OUT + 10);
    ask(g, &b, run);
    assert_int_equal(counts_of(g).stored, 2);
    /* a beginning of what is stored adds nothing */
    b.n_prompt = 60;
    fill(&a, &seed, 60, 61);
    memcpy(a.prompt, b.prompt, 60 * sizeof *b.prompt);
    b.unstored = true;
    ask(g, &b, 59);
    assert_int_equal(counts_of(g).stored, 2);
    a.unstored = true;
    ask(g, &a, 60);
    ask(g, &a, 60); /* it left nothing */
    assert_int_equal(counts_of(g).stored, 2);
    assert_int_equal(counts_of(g).n_evicted, 0);
    assert_int_equal(counts_of(g).n_reused, 149 + 100 + run + 59 + 60 + 60);
    assert_int_equal(counts_of(g).n_forks, 6);
    tern_generator_destroy(g);
}

/* From a sequence that runs, in its prompt and after it; and from one that was destroyed on the way. */
static void running_sequences_give(void **state) {
    (void)state;
    static Talk a, b, c;
    uint64_t seed = 2;
    TernError err;
    TernGenerator *g =
        open_generator((TernGeneratorOptions){.context = CONTEXT, .slots = 3, .stored = 1, .batch = 100});
    fill(&a, &seed, 0, 300);
    start(g, &a);
    must(tern_generator_step(g, &err), &err); /* 100 of its 300 rows */
    b = a;
    fill(&b, &seed, 200, 260);
    start(g, &b);
    must(tern_sequence_get(b.s, (b.got.size = sizeof b.got, &b.got), &err), &err);
    assert_int_equal(b.got.n_reused, 100);
    finish(g, &a);
    c = a;
    start(g, &c); /* a is stored, b runs */
    tern_sequence_destroy(c.s);
    finish(g, &b);
    /* one of them let the other go first, and took the rows that both need */
    assert_int_equal(a.got.n_reused + b.got.n_reused, 200);
    check_answer(&a);
    check_answer(&b);
    tern_generator_destroy(g);

    g = open_generator((TernGeneratorOptions){.context = CONTEXT, .slots = 2, .stored = 1, .batch = 100});
    start(g, &a);
    must(tern_generator_step(g, &err), &err);
    tern_sequence_destroy(a.s);
    ask(g, &b, 100);
    a.unstored = true;
    fill(&a, &seed, 0, 300);
    start(g, &a);
    must(tern_generator_step(g, &err), &err);
    c = a;
    c.unstored = false;
    start(g, &c);
    finish(g, &c);
    assert_int_equal(c.got.n_reused, 0); /* nothing from one that is not to be shared */
    finish(g, &a);
    check_answer(&a);
    check_answer(&c);
    tern_generator_destroy(g);
}

/* Prompts that come together are run once as far as they agree, also if a step has only a few rows. */
static void run_once(uint32_t batch) {
    static Talk t[LIVE];
    uint64_t seed = 3;
    TernGenerator *g = open_generator(
        (TernGeneratorOptions){.context = CONTEXT, .slots = LIVE, .stored = 1, .batch = batch});
    fill(&t[0], &seed, 0, 290);
    for (size_t i = 0; i < LIVE; i++) {
        if (i) t[i] = t[0];
        t[i].prompt[280] = (int32_t)i;
        t[i].seed = i;
    }
    for (size_t i = 0; i < LIVE; i++) start(g, &t[i]);
    size_t rows = 0;
    for (size_t i = 0; i < LIVE; i++) {
        finish(g, &t[i]);
        check_answer(&t[i]);
        rows += t[i].got.n_prefilled;
    }
    assert_int_equal(rows, 290 + (LIVE - 1) * 10);
    tern_generator_destroy(g);
}

static void one_runs_for_all(void **state) {
    (void)state;
    run_once(0);
    run_once(40);
    run_once(LIVE + 4);
}

/* A kept slot takes from the store too, if that is longer, and gives. */
static void kept_slots_take_and_give(void **state) {
    (void)state;
    static Talk a, b;
    uint64_t seed = 4;
    TernError err;
    TernSlot *slot;
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = CONTEXT, .slots = 2, .stored = 1});
    fill(&a, &seed, 0, 120);
    ask(g, &a, 0);
    must(tern_slot_create(g, &slot, &err), &err);
    TernRequest r = {
        .size = sizeof r, .ids = a.prompt, .n_ids = 120, .max_tokens = OUT, .slot = slot, .draft_max = 0};
    TernGenerated got = {.size = sizeof got};
    must(tern_generate(g, &r, NULL, NULL, &got, &err), &err);
    assert_int_equal(got.n_reused, 119);
    r.n_ids = 90;
    must(tern_generate(g, &r, NULL, NULL, &got, &err), &err);
    assert_int_equal(got.n_reused, 89);
    fill(&a, &seed, 0, 80);
    r.n_ids = 80;
    must(tern_generate(g, &r, NULL, NULL, &got, &err), &err);
    assert_int_equal(got.n_reused, 0);
    b = a;
    ask(g, &b, 79); /* from the kept slot */
    must(tern_slot_truncate(slot, 10, &err), &err);
    fill(&b, &seed, 0, 70);
    memcpy(b.prompt, a.prompt, 10 * sizeof *a.prompt);
    b.unstored = true;
    ask(g, &b, 10);
    tern_slot_destroy(slot);
    tern_generator_destroy(g);
}

/* Random requests, in a generator with few slots and hardly more pages than running sequences may need: answers are those of
 * an empty generator, and beginnings come and go. */
static void answers_do_not_show_it(void **state) {
    (void)state;
    static Talk t[LIVE], base[3];
    uint64_t seed = 5;
    TernError err;
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = CONTEXT,
                                                             .slots = LIVE,
                                                             .stored = 3,
                                                             .pages = LIVE * PAGES + 3,
                                                             .batch = 64,
                                                             .draft_max = 3});
    uint32_t turns = *native_levels() ? 60 : 12; /* the evaluator is slow */
    stop_clock(g);
    for (size_t i = 0; i < 3; i++) fill(&base[i], &seed, 0, CONTEXT - 10);
    for (uint32_t turn = 0; turn < turns; turn++) {
        for (size_t i = 0; i < LIVE; i++) {
            if (t[i].s) continue;
            t[i] = base[draw(&seed, 3)];
            size_t shared = draw(&seed, CONTEXT - 60);
            fill(&t[i], &seed, shared, shared + 1 + draw(&seed, 50));
            t[i].seed = turn;
            t[i].draft = draw(&seed, 4);
            t[i].unstored = draw(&seed, 5) == 0;
            start(g, &t[i]);
        }
        for (uint32_t steps = draw(&seed, 4); steps > 0; steps--) must(tern_generator_step(g, &err), &err);
        Talk *one = &t[draw(&seed, LIVE)];
        if (draw(&seed, 4) == 0) {
            tern_sequence_destroy(one->s); /* hangs up */
            one->s = NULL;
            continue;
        }
        finish(g, one);
        check_answer(one);
    }
    for (size_t i = 0; i < LIVE; i++)
        if (t[i].s) finish(g, &t[i]), check_answer(&t[i]);
    TernGeneratorCounts c = counts_of(g);
    assert_int_equal(c.pages, LIVE * PAGES + 3);
    assert_true(c.n_forks > 10 && c.n_reused > 500 && c.stored > 0);
    assert_true(c.n_evicted > 0 || turns < 60);
    tern_generator_destroy(g);
}

static void wrong_sizes(void **state) {
    (void)state;
    TernGenerator *g = NULL;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .context = CONTEXT, .slots = 2, .stored = 1, .pages = 9};
    assert_int_equal(tern_generator_create(model, pool, &o, &g, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernGeneratorOptions.pages is 9, expected 10 to 15");
    o.pages = 16;
    assert_int_equal(tern_generator_create(model, pool, &o, &g, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernGeneratorOptions.pages is 16, expected 10 to 15");
    o.stored = 70000;
    assert_int_equal(tern_generator_create(model, pool, &o, &g, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernGeneratorOptions.stored is 70000, expected at most 65534");
}

static int open_all(void **state) {
    open_embedded(state);
    fresh = open_generator((TernGeneratorOptions){.context = CONTEXT, .slots = 1});
    return 0;
}

static int close_all(void **state) {
    tern_generator_destroy(fresh);
    return close_embedded(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beginnings_are_kept),    cmocka_unit_test(running_sequences_give),
        cmocka_unit_test(one_runs_for_all),       cmocka_unit_test(kept_slots_take_and_give),
        cmocka_unit_test(answers_do_not_show_it), cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
