/* Kept slots: a prompt that begins as the cache does runs only its other ids, and gives what an empty slot gives. */
#include "slots.h"

static TernGenerator *generator(uint32_t slots) {
    TernGenerator *g;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .slots = slots, .context = CONTEXT, .draft_max = 3};
    must(tern_generator_create(model, pool, &o, &g, &err), &err);
    return g;
}

static Heard ask(TernGenerator *g, TernSlot *slot, const int32_t *ids, size_t n, uint32_t draft) {
    Heard h = {.got = {.size = sizeof h.got}};
    TernError err;
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    so.seed = n;
    TernRequest r = {.size = sizeof r,
                     .ids = ids,
                     .n_ids = n,
                     .max_tokens = 6,
                     .draft_max = draft,
                     .sampler = &so,
                     .slot = slot};
    must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
    assert_int_equal(h.got.n_reused + h.got.n_prefilled, n);
    return h;
}

static size_t common(const int32_t *a, size_t n, const int32_t *b, size_t m) {
    size_t i = 0;
    while (i < n && i < m && a[i] == b[i]) i++;
    return i;
}

/* Prompts that go on, go back, branch off, and begin anew. */
static void only_new_ids_are_run(void **state) {
    (void)state;
    TernError err;
    TernSlot *slot;
    TernGenerator *kept = generator(2), *fresh = generator(1);
    must(tern_slot_create(kept, &slot, &err), &err);
    int32_t ids[CONTEXT];
    size_t n = 0, reused = 0;
    unsigned draw = 7;
    for (int turn = 0; turn < 24; turn++) {
        size_t held, keep = draw % 3 == 0 ? draw / 3 % (n + 1) : n;
        for (n = keep; n < keep + 1 + draw % 9 && n < CONTEXT - 8; n++)
            ids[n] = (int32_t)((draw = draw * 1103515245u + 12345u) >> 16) % 500;
        if (n == CONTEXT - 8) n = 3;
        const int32_t *before = tern_slot_ids(slot, &held);
        size_t same = common(before, held, ids, n), want = same < n ? same : n - 1;
        Heard a = ask(kept, slot, ids, n, turn % 2 ? 3 : 0), b = ask(fresh, NULL, ids, n, 0);
        assert_int_equal(a.got.n_reused, want);
        assert_int_equal(b.got.n_reused, 0);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.ids, b.ids, a.n * sizeof *a.ids);
        const int32_t *now = tern_slot_ids(slot, &held);
        assert_true(held >= n && held < n + a.n); /* the last pick is not run */
        assert_memory_equal(now, ids, n * sizeof *ids);
        assert_memory_equal(now + n, a.ids, (held - n) * sizeof *ids);
        reused += a.got.n_reused;
        /* the next prompt goes on after the answer */
        if (n + a.n < CONTEXT - 20) memcpy(ids + n, a.ids, a.n * sizeof *ids), n += a.n;
    }
    assert_true(reused > 200);
    must(tern_slot_truncate(slot, 2, &err), &err);
    tern_slot_ids(slot, &n);
    assert_int_equal(n, 2);
    tern_slot_destroy(slot);
    tern_generator_destroy(kept);
    tern_generator_destroy(fresh);
}

static void refuse(TernStatus st, const TernError *err, const char *line) {
    assert_int_equal(st, TERN_ERR_INPUT);
    assert_string_equal(err->text, line);
}

static void wrong_uses(void **state) {
    (void)state;
    static const int32_t ids[] = {1, 2, 3};
    TernError err;
    TernSlot *slot, *none = NULL;
    TernSequence *s, *t = NULL;
    TernGenerator *g = generator(1), *other = generator(1);
    must(tern_slot_create(g, &slot, &err), &err);
    refuse(tern_slot_create(g, &none, &err), &err,
           "all slots of the generator are taken, expected at most 1 sequences at once");
    TernRequest r = {.size = sizeof r, .ids = ids, .n_ids = 3};
    refuse(tern_sequence_create(g, &r, NULL, NULL, &t, &err), &err,
           "all slots of the generator are taken, expected at most 1 sequences at once");
    r.slot = slot;
    refuse(tern_sequence_create(other, &r, NULL, NULL, &t, &err), &err,
           "TernRequest.slot is of another generator, expected this one's");
    must(tern_sequence_create(g, &r, NULL, NULL, &s, &err), &err);
    refuse(tern_sequence_create(g, &r, NULL, NULL, &t, &err), &err,
           "TernRequest.slot has a sequence, expected one that was destroyed before the next");
    refuse(tern_slot_truncate(slot, 0, &err), &err, "a sequence is in the slot, expected none");
    must(tern_generator_step(g, &err), &err);
    tern_sequence_destroy(s);
    refuse(tern_slot_truncate(slot, 4, &err), &err, "n is 4, expected at most the 3 positions of the slot");
    /* a slot that goes before its sequence is freed with it */
    must(tern_sequence_create(g, &r, NULL, NULL, &s, &err), &err);
    tern_slot_destroy(slot);
    must(tern_generator_step(g, &err), &err);
    tern_sequence_destroy(s);
    must(tern_slot_create(g, &slot, &err), &err);
    size_t n;
    tern_slot_ids(slot, &n);
    assert_int_equal(n, 0);
    tern_slot_destroy(slot);
    tern_slot_destroy(NULL);
    assert_null(tern_slot_ids(NULL, &n));
    tern_generator_destroy(g);
    tern_generator_destroy(other);
}

static int open_all(void **state) {
    (void)state;
    open_model(NULL, 1u << TERN_KV_F16);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    close_model();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_new_ids_are_run),
        cmocka_unit_test(wrong_uses),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
