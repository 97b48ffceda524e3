/* Guesses from what all sequences of a generator have read and written: the answers are those without, whatever ran before and
 * beside; a text that was written before is guessed; one that is not to be shared is not. */
#include "generate/heard.h"
#include "generate/opened.h"
#include "generate/still_clock.h"

enum { SLOTS = 3, OUT = 60, DRAFT = 4, TABLE = 1 << 16 };
static const char *const texts[] = {"And the LORD said unto Moses, ", "KING RICHARD:\n",
                                    "The children of Israel went up ", "And the LORD said unto Aaron, ",
                                    "HAMLET:\nTo be"};
enum { TEXTS = TN_COUNT(texts) };

typedef struct Asked {
    size_t text;
    float temp;
    uint64_t seed;
    bool unstored;
} Asked;

static TernSequence *start(TernGenerator *g, Asked a, uint32_t draft, Heard *h) {
    TernSequence *s;
    TernError err;
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    so.temp = a.temp;
    so.seed = a.seed;
    TernRequest r = {.size = sizeof r,
                     .text = {texts[a.text], strlen(texts[a.text])},
                     .max_tokens = OUT,
                     .draft_max = draft,
                     .sampler = &so,
                     .unstored = a.unstored,
                     .ignore_eog = 1};
    h->n = 0;
    must(tern_sequence_create(g, &r, hear, h, &s, &err), &err);
    return s;
}

/* Runs n of them side by side, one after the other begun a step later, and returns how many guesses were right. */
static size_t run(TernGenerator *g, const Asked *a, size_t n, uint32_t draft, Heard *h) {
    TernSequence *s[SLOTS];
    TernError err;
    size_t right = 0;
    for (size_t i = 0; i < n; i++) {
        s[i] = start(g, a[i], draft, &h[i]);
        must(tern_generator_step(g, &err), &err);
    }
    while (tern_generator_running(g)) must(tern_generator_step(g, &err), &err);
    for (size_t i = 0; i < n; i++) {
        TernGenerated got = {.size = sizeof got};
        must(tern_sequence_get(s[i], &got, &err), &err);
        right += got.n_right;
        tern_sequence_destroy(s[i]);
        assert_int_equal(h[i].n, OUT);
    }
    return right;
}

static void check_same(const Heard *a, const Heard *b, size_t n) {
    for (size_t i = 0; i < n; i++) assert_memory_equal(a[i].ids, b[i].ids, OUT * sizeof *a[i].ids);
}

/* Three at once, round after round, of a few texts and seeds, so that some come again. Tables of all sizes, stored beginnings or none. */
static void answers_are_the_same(void **state) {
    (void)state;
    static const struct {
        uint32_t stored;
        uint64_t bytes;
    } cases[] = {{0, 64}, {0, 5000}, {2, TABLE}};
    for (size_t c = 0; c < TN_COUNT(cases); c++) {
        TernGenerator *plain = open_generator((TernGeneratorOptions){.slots = SLOTS, .context = 128});
        TernGenerator *g = open_generator((TernGeneratorOptions){.slots = SLOTS,
                                                                 .context = 128,
                                                                 .stored = cases[c].stored,
                                                                 .draft_max = DRAFT,
                                                                 .draft_memory = cases[c].bytes});
        uint32_t rng = 3;
        stop_clock(g);
        for (int round = 0; round < 8; round++) {
            static Heard want[SLOTS], h[SLOTS];
            Asked a[SLOTS];
            for (size_t i = 0; i < SLOTS; i++) {
                rng = rng * 1664525u + 1013904223u;
                a[i] = (Asked){(rng >> 16) % TEXTS, rng >> 30 ? 0.8f : 0, rng >> 29 & 1, rng >> 9 & 1};
            }
            run(plain, a, SLOTS, 0, want);
            run(g, a, SLOTS, DRAFT, h);
            check_same(want, h, SLOTS);
        }
        assert_true(counts_of(g).n_right > 0);
        tern_generator_destroy(plain);
        tern_generator_destroy(g);
    }
}

/* How many guesses of the second of two are right, with such a table. */
static size_t right_in_second(uint64_t bytes, Asked first, Asked second) {
    static Heard h, plain;
    TernGenerator *g = open_generator(
        (TernGeneratorOptions){.slots = 1, .context = 128, .draft_max = DRAFT, .draft_memory = bytes});
    stop_clock(g);
    run(g, &first, 1, DRAFT, &h);
    size_t right = run(g, &second, 1, DRAFT, &h);
    run(g, &second, 1, 0, &plain);
    check_same(&plain, &h, 1);
    tern_generator_destroy(g);
    return right;
}

/* With a temperature, so that the text hardly repeats itself. At most 4 of 5 ids are guesses, and the first is none. */
static void what_was_written_is_guessed(void **state) {
    (void)state;
    Asked one = {.text = 0, .temp = 0.9f, .seed = 11}, other = {.text = 1, .temp = 0.9f, .seed = 12},
          hidden = one;
    size_t without = right_in_second(0, one, one);
    hidden.unstored = true;
    assert_true(right_in_second(TABLE, one, one) >= 40);
    assert_true(without < 20);
    assert_int_equal(right_in_second(TABLE, hidden, hidden), without);
    assert_int_equal(right_in_second(TABLE, one, hidden), without); /* it takes no phrases either */
    assert_true(right_in_second(TABLE, hidden, one) < 20);
    assert_true(right_in_second(64, one, one) < 40); /* what is read is forgotten again */
    (void)right_in_second(TABLE, other, one);
}

/* Of two that run side by side, the one that is behind guesses what the other writes. */
static void running_ones_share(void **state) {
    (void)state;
    static Heard h[2], plain[2];
    Asked a[2] = {{.text = 0, .temp = 0.9f, .seed = 11}, {.text = 0, .temp = 0.9f, .seed = 11}};
    TernGenerator *g = open_generator(
        (TernGeneratorOptions){.slots = 2, .context = 128, .draft_max = DRAFT, .draft_memory = TABLE});
    TernSequence *first = start(g, a[0], 0, &plain[0]);
    TernError err;
    stop_clock(g);
    while (tern_generator_running(g)) must(tern_generator_step(g, &err), &err);
    tern_sequence_destroy(first); /* without guesses nothing of it is noted */
    plain[1] = plain[0];
    first = start(g, a[0], DRAFT, &h[0]);
    for (int i = 0; i < 40; i++) must(tern_generator_step(g, &err), &err);
    TernSequence *second = start(g, a[1], DRAFT, &h[1]);
    TernGenerated got = {.size = sizeof got};
    size_t steps = 0;
    for (; tern_generator_running(g); steps++) must(tern_generator_step(g, &err), &err);
    must(tern_sequence_get(second, &got, &err), &err);
    check_same(plain, h, 2);
    assert_true(got.n_right >= 20);
    tern_sequence_destroy(first);
    tern_sequence_destroy(second);
    tern_generator_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same),
        cmocka_unit_test(what_was_written_is_guessed),
        cmocka_unit_test(running_ones_share),
    };
    return cmocka_run_group_tests(tests, open_embedded, close_embedded);
}
