/* A token with an infinite embedding makes the logits of its row NaN: its sequence fails, and the others are not affected.
 */
#include <math.h>
#include <unistd.h>
#include "generate/heard.h"
#include "generate/opened.h"
#include "runtime/base/arena.h"
#include "support/gguf_model.h"

enum { BAD = 200, OUT = 6 };

static char path[] = "/tmp/tern-nonfinite-XXXXXX";

/* A small model in a file, in which the row of token BAD of its table (not of its head) is infinite. */
static void write_model(void) {
    TnGmSpec spec = tn_gm_small;
    TnBuf file = {0};
    spec.untied = true;
    spec.embd = tn_gm_type("f32");
    tn_gm_bytes(&spec, &file);
    size_t n = (size_t)spec.vocab * spec.hidden;
    double scale, *values = tn_xcalloc(n, sizeof *values);
    tn_gm_values(&spec, "token_embd.weight", spec.vocab, spec.hidden, values, &scale);
    float *row = tn_xcalloc(spec.hidden, sizeof *row);
    for (uint32_t i = 0; i < spec.hidden; i++) row[i] = (float)values[(size_t)BAD * spec.hidden + i];
    uint8_t *at = memmem(file.data, file.len, row, spec.hidden * sizeof *row);
    assert_non_null(at);
    for (uint32_t i = 0; i < spec.hidden; i++) memcpy(at + i * sizeof *row, &(float){INFINITY}, sizeof *row);
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, file.data, file.len) == (ssize_t)file.len);
    close(fd);
    free(row);
    free(values);
    tn_buf_free(&file);
}

static const int32_t good[3][8] = {
    {1, 2, 3, 1, 2, 3, 1, 2}, {9, 8, 7, 6, 5, 4, 3, 2}, {50, 60, 50, 60, 50, 60, 50, 60}};
static const int32_t bad[3] = {7, BAD, 7};

static TernSequence *start(TernGenerator *g, const int32_t *ids, size_t n, uint32_t draft, Heard *h) {
    static TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    TernSequence *s;
    TernError err;
    so.temp = 0;
    TernRequest r = {.size = sizeof r,
                     .ids = ids,
                     .n_ids = n,
                     .max_tokens = OUT,
                     .draft_max = draft,
                     .ignore_eog = 1,
                     .sampler = &so};
    must(tern_sequence_create(g, &r, hear, h, &s, &err), &err);
    return s;
}

static TernGenerator *generator(uint32_t slots) {
    TernGenerator *g;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .slots = slots, .context = 64, .batch = 40, .draft_max = 3};
    must(tern_generator_create(model, pool, &o, &g, &err), &err);
    return g;
}

static void run_to_end(TernGenerator *g) {
    TernError err;
    while (tern_generator_running(g)) must(tern_generator_step(g, &err), &err);
}

static TernEnd end_of(const TernSequence *s) {
    TernGenerated got = {.size = sizeof got};
    TernError err;
    must(tern_sequence_get(s, &got, &err), &err);
    return got.end;
}

/* The bad sequence is in the second slot: the first has got its result, the third and the fourth have not. */
static void others_go_on(void **state) {
    (void)state;
    for (uint32_t draft = 0; draft <= 3; draft += 3)
        for (size_t late = 0; late <= 3; late++) {
            Heard alone[3] = {0}, h[3] = {0}, failed = {0};
            TernError err;
            for (size_t i = 0; i < 3; i++) {
                TernGenerator *g = generator(1);
                TernSequence *s = start(g, good[i], 8, draft, &alone[i]);
                run_to_end(g);
                tern_sequence_destroy(s);
                tern_generator_destroy(g);
                assert_int_equal(alone[i].n, OUT);
            }
            TernGenerator *g = generator(4);
            TernSequence *first = start(g, good[0], 8, draft, &h[0]), *place = start(g, bad, 1, 0, &failed),
                         *third = start(g, good[1], 8, draft, &h[1]);
            for (size_t i = 0; i < late; i++) must(tern_generator_step(g, &err), &err);
            tern_sequence_destroy(place);
            failed.n = 0;
            TernSequence *second = start(g, bad, 3, 0, &failed), *fourth = start(g, good[2], 8, draft, &h[2]);
            must(tern_generator_step(g, &err), &err);
            assert_int_equal(end_of(second), TERN_END_FAILED);
            assert_int_equal(tern_sequence_status(second, &err), TERN_ERR_NUMERIC);
            assert_non_null(strstr(err.text, "hold NaN or infinity"));
            run_to_end(g);
            assert_int_equal(failed.n, 0);
            TernSequence *all[] = {first, second, third, fourth};
            for (size_t i = 0; i < 3; i++) {
                assert_int_equal(h[i].n, OUT);
                assert_memory_equal(h[i].ids, alone[i].ids, sizeof alone[i].ids);
            }
            for (size_t i = 0; i < 4; i++) {
                assert_int_equal(end_of(all[i]), i == 1 ? TERN_END_FAILED : TERN_END_LENGTH);
                tern_sequence_destroy(all[i]);
            }
            tern_generator_destroy(g);
        }
}

static void the_short_way_says_so(void **state) {
    (void)state;
    TernGenerator *g = generator(1);
    TernRequest r = {.size = sizeof r, .ids = bad, .n_ids = 3, .max_tokens = OUT, .ignore_eog = 1};
    TernGenerated got = {.size = sizeof got};
    Heard h = {0};
    TernError err;
    assert_int_equal(tern_generate(g, &r, hear, &h, &got, &err), TERN_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "hold NaN or infinity"));
    assert_int_equal(got.end, TERN_END_FAILED);
    assert_int_equal(h.n, 0);
    r.ids = good[0];
    must(tern_generate(g, &r, hear, &h, &got, &err), &err); /* the slot is free again, and clean */
    assert_int_equal(h.n, OUT);
    tern_generator_destroy(g);
}

/* What has failed leaves nothing for others, even the rows before the bad one; what it had taken stays where it was. */
static void nothing_of_a_failure_is_stored(void **state) {
    (void)state;
    TernGenerator *g;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .slots = 2, .context = 64, .stored = 2};
    TernGeneratorCounts c = {.size = sizeof c};
    Heard h = {0}, failed = {0};
    must(tern_generator_create(model, pool, &o, &g, &err), &err);
    for (int i = 0; i < 3; i++) {
        int32_t ids[9];
        memcpy(ids, good[0], sizeof good[0]);
        ids[8] = BAD;
        TernSequence *s = start(g, good[0], 8, 0, &h), *f = start(g, ids, i ? 9 : 3, 0, &failed);
        if (i == 0) tern_sequence_cancel(f);
        run_to_end(g);
        assert_int_equal(end_of(s), TERN_END_LENGTH);
        assert_int_equal(end_of(f), i ? TERN_END_FAILED : TERN_END_CANCELLED);
        tern_sequence_destroy(f);
        tern_sequence_destroy(s);
        must(tern_generator_counts(g, &c, &err), &err);
        assert_int_equal(c.stored, 1);
    }
    assert_int_equal(h.n, 3 * OUT);
    for (size_t i = 0; i < OUT; i++)
        assert_true(h.ids[i] == h.ids[OUT + i] && h.ids[i] == h.ids[2 * OUT + i]);
    assert_int_equal(failed.n, 0);
    assert_int_equal(c.n_ended[TERN_END_FAILED], 2);
    assert_int_equal(c.n_forks, 4);
    tern_generator_destroy(g);
}

static int open_all(void **state) {
    (void)state;
    write_model();
    open_model(path, 1u << TERN_KV_F16);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    close_model();
    unlink(path);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_go_on),
        cmocka_unit_test(the_short_way_says_so),
        cmocka_unit_test(nothing_of_a_failure_is_stored),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
