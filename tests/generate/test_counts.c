/* What a generator counts, beside the results of its sequences; sequences on hold; and the memory that it takes. */
#include "generate/opened.h"

enum { CONTEXT = 200, OUT = 12, SLOTS = 3 };

typedef struct Heard {
    int32_t ids[CONTEXT];
    size_t n, hold_at; /* hold_at: go on hold with this id; 0: never */
    TernSequence *s;
} Heard;

static int hear(void *user, const TernPiece *p) {
    Heard *h = user;
    if (p->id == TERN_NO_TOKEN) return 0;
    h->ids[h->n++] = p->id;
    if (h->n == h->hold_at) tern_sequence_hold(h->s, 1);
    return 0;
}

static TernGenerated state_of(const TernSequence *s) {
    TernGenerated got = {.size = sizeof got};
    TernError err;
    must(tern_sequence_get(s, &got, &err), &err);
    return got;
}

static void start(TernGenerator *g, Heard *h, size_t n_prompt, uint32_t draft) {
    static int32_t ids[CONTEXT];
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    TernError err;
    so.temp = 0;
    for (size_t i = 0; i < n_prompt; i++) ids[i] = (int32_t)(7 * n_prompt + i % 5);
    TernRequest r = {.size = sizeof r,
                     .ids = ids,
                     .n_ids = n_prompt,
                     .max_tokens = OUT,
                     .draft_max = draft,
                     .sampler = &so,
                     .ignore_eog = 1};
    static const char text[] = "And the LORD said unto Moses, And the LORD said unto"; /* makes it guess */
    if (draft) {
        r.text = (TernText){text, sizeof text - 1};
        r.ids = NULL;
        r.n_ids = 0;
    }
    h->n = 0;
    must(tern_sequence_create(g, &r, hear, h, &h->s, &err), &err);
}

static uint64_t sum(const uint64_t *x, size_t n) {
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) all += x[i];
    return all;
}

static void counts_are_those_of_the_sequences(void **state) {
    (void)state;
    static Heard h[SLOTS];
    TernError err;
    TernGenerator *g = open_generator(
        (TernGeneratorOptions){.context = CONTEXT, .slots = SLOTS, .batch = 30, .draft_max = 4});
    uint64_t prefilled = 0, decoded = 0, guessed = 0, right = 0, steps = 0;
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < SLOTS; i++) start(g, &h[i], 20 + 25 * i, i == 1 ? 0 : 4);
        for (; tern_generator_running(g); steps++) must(tern_generator_step(g, &err), &err);
        for (uint32_t i = 0; i < SLOTS; i++) {
            TernGenerated got = state_of(h[i].s);
            prefilled += got.n_prefilled;
            decoded += got.n_decoded;
            guessed += got.n_guessed;
            right += got.n_right;
            tern_sequence_destroy(h[i].s);
        }
    }
    start(g, &h[0], 20, 0);
    tern_sequence_cancel(h[0].s);
    must(tern_generator_step(g, &err), &err); /* has no rows */
    tern_sequence_destroy(h[0].s);
    start(g, &h[0], 20, 0);
    tern_sequence_destroy(h[0].s);
    TernGeneratorCounts c = counts_of(g);
    assert_int_equal(c.steps, steps);
    assert_int_equal(c.n_by_size, SLOTS + 1);
    assert_int_equal(sum(c.by_size, c.n_by_size), steps);
    assert_int_equal(c.by_size[0], 0);
    assert_true(c.by_size[SLOTS] > 0 && c.seconds > 0);
    assert_int_equal(c.n_prompt_rows, prefilled);
    assert_int_equal(c.n_decode_rows, decoded - right);
    assert_int_equal(c.n_guessed, guessed);
    assert_int_equal(c.n_right, right);
    assert_true(guessed > 0 && c.n_cut > 0);
    assert_int_equal(c.n_begun, 2 * SLOTS + 2);
    assert_int_equal(c.n_ended[TERN_END_LENGTH], 2 * SLOTS);
    assert_int_equal(c.n_ended[TERN_END_CANCELLED], 1);
    assert_int_equal(c.n_ended[TERN_END_NOT], 1);
    assert_int_equal(sum(c.n_ended, TERN_ENDS), c.n_begun);
    assert_int_equal(c.n_reused + c.n_forks + c.n_waits + c.n_stored + c.n_evicted + c.stored, 0);
    assert_int_equal(c.pages, SLOTS * 4);
    assert_int_equal(c.pages_free, c.pages);
    tern_generator_destroy(g);
}

/* One that is on hold stays where it is, whatever the others do, and then goes on as if nothing had been. */
static void held_sequences_wait(void **state) {
    (void)state;
    static Heard a, b, alone;
    TernError err;
    TernGenerator *g =
        open_generator((TernGeneratorOptions){.context = CONTEXT, .slots = 2, .stored = 1, .draft_max = 3});
    start(g, &alone, 40, 0);
    while (tern_generator_running(g)) must(tern_generator_step(g, &err), &err);
    tern_sequence_destroy(alone.s);
    a.hold_at = 4;
    start(g, &a, 40, 0);
    start(g, &b, 30, 0);
    while (tern_generator_running(g)) must(tern_generator_step(g, &err), &err);
    assert_int_equal(a.n, 4);
    assert_int_equal(state_of(a.s).end, TERN_END_NOT);
    assert_int_equal(b.n, OUT);
    TernGeneratorCounts before = counts_of(g);
    must(tern_generator_step(g, &err), &err); /* runs nothing */
    assert_int_equal(counts_of(g).steps, before.steps);
    tern_sequence_hold(a.s, 0);
    while (tern_generator_running(g)) must(tern_generator_step(g, &err), &err);
    assert_int_equal(a.n, OUT);
    assert_memory_equal(a.ids, alone.ids, OUT * sizeof *a.ids);
    tern_sequence_destroy(a.s);
    tern_sequence_destroy(b.s);
    /* in its prompt, and cancelled there */
    start(g, &a, 50, 0);
    tern_sequence_hold(a.s, 1);
    assert_int_equal(tern_generator_running(g), 0);
    tern_sequence_cancel(a.s);
    assert_int_equal(tern_generator_running(g), 1);
    must(tern_generator_step(g, &err), &err);
    assert_int_equal(state_of(a.s).end, TERN_END_CANCELLED);
    assert_int_equal(tern_generator_running(g), 0);
    tern_sequence_destroy(a.s);
    tern_generator_destroy(g);
}

/* Prompts share the steps in turn, also if their slots lie apart among stored ones. */
static void prompts_take_turns(void **state) {
    (void)state;
    static Heard h[SLOTS];
    TernError err;
    TernGenerator *g =
        open_generator((TernGeneratorOptions){.context = CONTEXT, .slots = SLOTS, .stored = 20, .batch = 10});
    for (uint32_t i = 0; i < 3; i++) {
        start(g, &h[i], 9, 0); /* takes slots in the middle, in the end */
        while (tern_generator_running(g)) must(tern_generator_step(g, &err), &err);
        tern_sequence_destroy(h[i].s);
    }
    for (uint32_t i = 0; i < SLOTS; i++) start(g, &h[i], 100 + i, 0);
    for (uint32_t i = 0; i < 2 * SLOTS; i++) must(tern_generator_step(g, &err), &err);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(state_of(h[i].s).n_prefilled, 20);
        tern_sequence_destroy(h[i].s);
    }
    tern_generator_destroy(g);
}

static uint64_t taken(void) {
    TernModelMemory m = {.size = sizeof m};
    TernError err;
    must(tern_model_memory(model, &m, &err), &err);
    return m.sessions;
}

/* What a generator or an embedder will take is known before it is made. */
static void bytes_are_what_is_taken(void **state) {
    (void)state;
    TernSessionBytes b = {.size = sizeof b};
    TernError err;
    static const TernGeneratorOptions options[] = {
        {.size = sizeof *options},
        {.size = sizeof *options, .slots = 3, .context = 131, .draft_max = 4, .stored = 5, .pages = 17},
        {.size = sizeof *options, .slots = 7, .context = 64, .batch = 9, .kv = TERN_KV_F16}};
    for (size_t i = 0; i < 3; i++) {
        uint64_t before = taken();
        must(tern_generator_bytes(model, pool, &options[i], &b, &err), &err);
        assert_int_equal(taken(), before);
        TernGenerator *g = open_generator(options[i]);
        assert_int_equal(taken(), before + b.total);
        tern_generator_destroy(g);
        assert_int_equal(taken(), before);
    }
    TernEmbedderOptions eo = {
        .size = sizeof eo, .slots = 3, .context = 77, .pooling = TERN_POOLING_MEAN, .kv = TERN_KV_F16};
    TernEmbedder *e;
    uint64_t before = taken();
    for (int last = 0; last < 2; last++) {
        if (last) eo.pooling = TERN_POOLING_LAST; /* fewer rows are hidden ones */
        must(tern_embedder_bytes(model, pool, &eo, &b, &err), &err);
        must(tern_embedder_create(model, pool, &eo, &e, &err), &err);
        assert_int_equal(taken(), before + b.total);
        tern_embedder_destroy(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_sequences),
        cmocka_unit_test(held_sequences_wait),
        cmocka_unit_test(prompts_take_turns),
        cmocka_unit_test(bytes_are_what_is_taken),
    };
    return cmocka_run_group_tests(tests, open_embedded, close_embedded);
}
