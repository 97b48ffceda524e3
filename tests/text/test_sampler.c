/* The sampler is compared with values worked out by hand, and with itself: it gives the same ids in every way. */
#include <math.h>
#include "vocab_file.h"

static TernSampler *make(TernSamplerOptions o, size_t n_vocab) {
    TernSampler *s;
    TernError err;
    if (tern_sampler_create(&o, n_vocab, &s, &err) != TERN_OK) fail_msg("%s", err.text);
    return s;
}

/* Everything off, temperature 1. */
static TernSamplerOptions plain(void) {
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    o.temp = 1.0f;
    o.top_k = 0;
    o.top_p = 1.0f;
    o.min_p = 0.0f;
    o.seed = 1;
    return o;
}

static int32_t pick(TernSampler *s, const float *logits, size_t n) {
    int32_t id;
    TernError err;
    if (tern_sampler_pick_logits(s, logits, n, &id, &err) != TERN_OK) fail_msg("%s", err.text);
    return id;
}

/* ---- What it wants ---- */

static void check_want(TernSamplerOptions o, uint32_t kind, uint32_t k) {
    TernSampler *s = make(o, 1000);
    assert_int_equal(tern_sampler_want(s).kind, kind);
    assert_int_equal(tern_sampler_want(s).k, k);
    tern_sampler_destroy(s);
}

static void test_want(void **state) {
    (void)state;
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    check_want(o, TERN_SAMPLER_TOP, 40);
    o.top_k = 256;
    check_want(o, TERN_SAMPLER_TOP, 256);
    o.top_k = 257;
    check_want(o, TERN_SAMPLER_LOGITS, 0);
    o.top_k = 0;
    check_want(o, TERN_SAMPLER_LOGITS, 0);
    o.top_k = 1;
    check_want(o, TERN_SAMPLER_ID, 0);
    o.top_k = 40;
    o.temp = 0.0f;
    check_want(o, TERN_SAMPLER_ID, 0);
    o.repeat_penalty = 1.1f;
    check_want(o, TERN_SAMPLER_LOGITS, 0);
    o.repeat_last_n = 0;
    check_want(o, TERN_SAMPLER_ID, 0);
    o.presence_penalty = 0.5f;
    check_want(o, TERN_SAMPLER_LOGITS, 0);
    o.presence_penalty = 0.0f;
    o.temp = 0.8f;
    TernSampler *s = make(o, 7); /* fewer tokens than top_k */
    assert_int_equal(tern_sampler_want(s).k, 7);
    tern_sampler_destroy(s);
}

/* ---- The chain, one link at a time ---- */

/* Draws often; the shares must be near `want` (0: never). */
static void check_shares(TernSamplerOptions o, const float *logits, const double *want, size_t n) {
    enum { draws = 20000 };
    size_t count[16] = {0};
    TernSampler *s = make(o, n);
    for (int i = 0; i < draws; i++) count[pick(s, logits, n)]++;
    for (size_t i = 0; i < n; i++) {
        double share = (double)count[i] / draws;
        if (want[i] == 0.0 ? count[i] != 0 : fabs(share - want[i]) > 0.012)
            fail_msg("token %zu: share %.4f, expected %.4f", i, share, want[i]);
    }
    tern_sampler_destroy(s);
}

static void test_chain(void **state) {
    (void)state;
    /* Probabilities 0.1, 0.4, 0.2, 0.25, 0.05. */
    const float l[] = {logf(0.1f), logf(0.4f), logf(0.2f), logf(0.25f), logf(0.05f)};
    TernSamplerOptions o = plain();
    check_shares(o, l, (double[]){0.1, 0.4, 0.2, 0.25, 0.05}, 5);
    o.top_k = 2; /* 0.4 and 0.25 of 0.65 */
    check_shares(o, l, (double[]){0, 0.6154, 0, 0.3846, 0}, 5);
    o = plain();
    o.top_p = 0.6f; /* 0.4 does not reach it, 0.65 does */
    check_shares(o, l, (double[]){0, 0.6154, 0, 0.3846, 0}, 5);
    o.top_p = 0.7f;
    check_shares(o, l, (double[]){0, 0.4706, 0.2353, 0.2941, 0}, 5);
    o.top_p = 0.01f; /* at least one is kept */
    check_shares(o, l, (double[]){0, 1, 0, 0, 0}, 5);
    o = plain();
    o.min_p = 0.45f; /* at least 0.18 */
    check_shares(o, l, (double[]){0, 0.4706, 0.2353, 0.2941, 0}, 5);
    o = plain();
    o.temp = 0.5f; /* squares: 0.01 0.16 0.04 0.0625 0.0025 of 0.275 */
    check_shares(o, l, (double[]){0.0364, 0.5818, 0.1455, 0.2273, 0.0091}, 5);
    /* In order: top-p counts within the k best. */
    o = plain();
    o.top_k = 3;     /* 0.4 0.25 0.2 of 0.85 */
    o.top_p = 0.75f; /* 0.4706 + 0.2941 = 0.7647 reach it; of all tokens 0.65 would not */
    check_shares(o, l, (double[]){0, 0.6154, 0, 0.3846, 0}, 5);
    o.top_p = 0.77f;
    o.temp = 0.5f; /* top-p comes before the temperature: it still keeps three. 0.16 0.0625 0.04 of 0.2625 */
    check_shares(o, l, (double[]){0, 0.6095, 0.1524, 0.2381, 0}, 5);
    /* A masked token. */
    const float m[] = {-INFINITY, 0.0f, 0.0f};
    check_shares(plain(), m, (double[]){0, 0.5, 0.5}, 3);
}

static void test_penalty(void **state) {
    (void)state;
    TernSamplerOptions o = plain();
    o.temp = 0.0f;
    o.repeat_penalty = 2.0f;
    o.repeat_last_n = 3;
    TernSampler *s = make(o, 4);
    const float l[] = {4.0f, 3.0f, -1.0f, -1.5f};
    assert_int_equal(pick(s, l, 4), 0); /* 4 3 -1 -1.5 */
    assert_int_equal(pick(s, l, 4), 1); /* 2 3 */
    assert_int_equal(pick(s, l, 4),
                     0); /* 2 1.5: penalised once, though the last three hold 0 once and 1 once */
    const int32_t prompt[] = {9, 2, 2, 2};
    tern_sampler_accept(s, prompt, 4); /* the window is full of 2: 0 and 1 are forgotten */
    const float low[] = {-1.9f, -9.0f, -1.0f, -3.0f};
    assert_int_equal(pick(s, low, 4),
                     0); /* -1 became -2, not -4 or -8; had 0 not been forgotten it were -3.8 */
    const float unknown[] = {-4.0f, -9.0f, -1.0f, -3.0f};
    assert_int_equal(pick(s, unknown, 4), 2);
    tern_sampler_accept(s, (const int32_t[]){-7}, 1); /* beyond the vocabulary: no harm */
    assert_int_equal(pick(s, l, 4), 1);
    tern_sampler_destroy(s);
}

static void test_counts(void **state) {
    (void)state;
    TernSamplerOptions o = plain();
    o.temp = 0.0f;
    o.frequency_penalty = 0.5f;
    o.presence_penalty = 1.0f;
    TernSampler *s = make(o, 3);
    tern_sampler_accept(s, (const int32_t[]){0, 0, 0}, 3); /* what was not picked does not count */
    const float l[] = {4.0f, 2.25f, 1.0f};
    assert_int_equal(pick(s, l, 3), 0); /* 4 2.25 1 */
    assert_int_equal(pick(s, l, 3), 0); /* 2.5 2.25 1 */
    assert_int_equal(pick(s, l, 3), 1); /* 2 2.25 1 */
    assert_int_equal(pick(s, l, 3), 0); /* 2 0.75 1 */
    assert_int_equal(pick(s, l, 3), 0); /* 1.5 0.75 1 */
    assert_int_equal(pick(s, l, 3), 0); /* 1 0.75 1 */
    assert_int_equal(pick(s, l, 3), 2); /* 0.5 0.75 1 */
    tern_sampler_destroy(s);
    o.presence_penalty = -3.0f;
    o.frequency_penalty = 0.0f;
    s = make(o, 3); /* below 0 they help */
    assert_int_equal(pick(s, (const float[]){0.0f, 1.0f, 0.0f}, 3), 1);
    assert_int_equal(pick(s, (const float[]){3.5f, 1.0f, 3.0f}, 3), 1);
    tern_sampler_destroy(s);
}

static void test_greedy(void **state) {
    (void)state;
    const float l[] = {1.0f, 3.0f, 3.0f, -0.0f, 3.0f};
    TernSamplerOptions o = plain();
    for (int way = 0; way < 3; way++) {
        o = plain();
        if (way == 0) o.temp = 0.0f;
        if (way == 1) o.temp = -1.0f;
        if (way == 2) o.top_k = 1;
        TernSampler *s = make(o, 5);
        int32_t id;
        TernError err;
        assert_int_equal(pick(s, l, 5), 1); /* the lowest of equals */
        assert_int_equal(tern_sampler_pick_id(s, 4, &id, &err), TERN_OK);
        assert_int_equal(id, 4);
        const int32_t ids[] = {4, 2, 0};
        const float top[] = {3.0f, 3.0f, 1.0f};
        assert_int_equal(tern_sampler_pick_top(s, ids, top, 3, &id, &err), TERN_OK);
        assert_int_equal(id, 2);
        tern_sampler_destroy(s);
    }
}

/* ---- The same ids by every way ---- */

static void make_logits(float *logits, size_t n, uint64_t *seed) {
    for (size_t i = 0; i < n; i++) logits[i] = (float)(test_random(seed) % 400) / 40.0f; /* with many ties */
}

/* Top-k results, in any order and with more than was asked for, give the same pick as full logits. */
static void test_top_equals_logits(void **state) {
    (void)state;
    enum { n = 301 };
    float logits[n], top[64];
    int32_t ids[64];
    uint64_t seed = 4;
    const int32_t ks[] = {2, 5, 40, 63};
    for (int c = 0; c < 8; c++) {
        TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
        o.seed = 77 + (uint64_t)c;
        o.top_k = ks[c % 4];
        if (c >= 4) o.top_p = 1.0f, o.min_p = 0.0f, o.temp = 2.0f;
        TernSampler *a = make(o, n), *b = make(o, n);
        for (int step = 0; step < 200; step++) {
            make_logits(logits, n, &seed);
            bool used[n] = {false};
            for (int k = 0; k < 64; k++) {
                uint32_t best = UINT32_MAX;
                for (uint32_t i = 0; i < n; i++)
                    if (!used[i] && (best == UINT32_MAX || logits[i] > logits[best])) best = i;
                used[best] = true;
                ids[k] = best;
            }
            for (int k = 63; k > 0; k--) { /* shuffled */
                int other = (int)(test_random(&seed) % (uint32_t)(k + 1));
                int32_t id = ids[k];
                ids[k] = ids[other];
                ids[other] = id;
            }
            for (int k = 0; k < 64; k++) top[k] = logits[ids[k]];
            int32_t id;
            TernError err;
            assert_int_equal(tern_sampler_pick_top(a, ids, top, 64, &id, &err), TERN_OK);
            assert_int_equal(id, pick(b, logits, n));
        }
        tern_sampler_destroy(a);
        tern_sampler_destroy(b);
    }
}

/* Top-p without top-k uses a heap and must keep what sorting would keep: a top_k of all but one sorts. */
static void test_heap_equals_sort(void **state) {
    (void)state;
    enum { n = 600 };
    float logits[n];
    uint64_t seed = 8;
    TernSamplerOptions o = plain();
    o.top_p = 0.9f;
    o.min_p = 0.02f;
    TernSamplerOptions sorted = o;
    sorted.top_k = n - 1;
    TernSampler *a = make(o, n), *b = make(sorted, n);
    for (int step = 0; step < 300; step++) {
        make_logits(logits, n, &seed);
        logits[step] = -1000.0f; /* the one that top_k drops */
        assert_int_equal(pick(a, logits, n), pick(b, logits, n));
    }
    tern_sampler_destroy(a);
    tern_sampler_destroy(b);
}

/* These ids are part of the contract: every machine, compiler and release must draw them. */
static void test_fixed_draws(void **state) {
    (void)state;
    enum { n = 1000 };
    float logits[n];
    uint64_t seed = 123;
    static const int32_t want[2][8] = {{598, 355, 473, 180, 307, 421, 463, 261},
                                       {71, 390, 676, 921, 992, 782, 727, 842}};
    for (int c = 0; c < 2; c++) {
        TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
        o.seed = 42;
        if (c == 1) o.top_k = 0, o.top_p = 1.0f, o.min_p = 0.0f, o.temp = 1.5f;
        TernSampler *s = make(o, n);
        assert_int_equal(tern_sampler_get_seed(s), 42);
        for (int step = 0; step < 8; step++) {
            make_logits(logits, n, &seed);
            int32_t id = pick(s, logits, n);
            if (id != want[c][step]) print_message("case %d step %d: %u\n", c, step, id);
            assert_int_equal(id, want[c][step]);
        }
        tern_sampler_destroy(s);
    }
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS; /* random seeds differ */
    TernSampler *a = make(o, n), *b = make(o, n);
    assert_true(tern_sampler_get_seed(a) != tern_sampler_get_seed(b));
    tern_sampler_destroy(a);
    tern_sampler_destroy(b);
}

/* ---- Refusals ---- */

static void check_option(TernSamplerOptions o, const char *want) {
    TernSampler *s;
    TernError err;
    assert_int_equal(tern_sampler_create(&o, 10, &s, &err), TERN_ERR_INPUT);
    assert_null(s);
    assert_string_equal(err.text, want);
}

static void test_refusals(void **state) {
    (void)state;
    TernSamplerOptions o = plain();
    o.temp = NAN;
    check_option(o, "TernSamplerOptions.temp is nan, expected a number");
    o = plain();
    o.top_p = INFINITY;
    check_option(o, "TernSamplerOptions.top_p is inf, expected 0 to 1");
    o = plain();
    o.min_p = 1.5f;
    check_option(o, "TernSamplerOptions.min_p is 1.5, expected at most 1");
    o = plain();
    o.repeat_penalty = 0.0f;
    check_option(o, "TernSamplerOptions.repeat_penalty is 0, expected above 0");
    o = plain();
    o.repeat_last_n = -1;
    check_option(o, "TernSamplerOptions.repeat_last_n is -1, expected 0 to 1048576");
    o = plain();
    o.frequency_penalty = 101.0f;
    check_option(o, "TernSamplerOptions.frequency_penalty is 101, expected -100 to 100");
    o = plain();
    o.presence_penalty = NAN;
    check_option(o, "TernSamplerOptions.presence_penalty is nan, expected -100 to 100");
    TernSampler *s = make(plain(), 3);
    int32_t id;
    TernError err;
    float l[] = {0.0f, NAN, 0.0f};
    assert_int_equal(tern_sampler_pick_logits(s, l, 3, &id, &err), TERN_ERR_NUMERIC);
    assert_string_equal(err.text, "the logit of token 1 is nan, expected a number");
    l[0] = l[1] = l[2] = -INFINITY;
    assert_int_equal(tern_sampler_pick_logits(s, l, 3, &id, &err), TERN_ERR_NUMERIC);
    assert_int_equal(tern_sampler_pick_logits(s, l, 2, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the sampler got 2 logits, expected 3");
    assert_int_equal(tern_sampler_pick_id(s, 0, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the sampler got only the best id, expected all logits");
    tern_sampler_destroy(s);
    o = plain();
    o.top_k = 2;
    s = make(o, 3);
    const int32_t ids[] = {1, 3};
    const float top[] = {0.0f, 0.0f};
    assert_int_equal(tern_sampler_pick_top(s, ids, top, 1, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the sampler got the top 1 ids, expected 2");
    assert_int_equal(tern_sampler_pick_top(s, ids, top, 2, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "top id 1 is 3, expected one below 3");
    tern_sampler_destroy(s);
    tern_sampler_destroy(NULL);
}

/* Logits and temperatures at the ends of their ranges still give an id. */
static void test_extremes(void **state) {
    (void)state;
    const float l[] = {-3e38f, 3e38f, 3e38f, 0.0f};
    const float temps[] = {1e-38f, 1.0f, 3e38f};
    for (int i = 0; i < 3; i++) {
        TernSamplerOptions o = plain();
        o.temp = temps[i];
        for (int p = 0; p < 2; p++) {
            if (p) o.top_p = 0.999999f, o.min_p = 1.0f;
            TernSampler *s = make(o, 4);
            for (int k = 0; k < 50; k++) {
                int32_t id = pick(s, l, 4);
                assert_true(id < 4 && (i == 2 || id == 1 || id == 2));
            }
            tern_sampler_destroy(s);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_penalty),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_top_equals_logits),
        cmocka_unit_test(test_heap_equals_sort),
        cmocka_unit_test(test_fixed_draws),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
