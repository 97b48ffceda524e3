/* A pick from the best ids alone is the pick from all logits, or none: with random logits, masks, biases, penalties and
 * options. Greedy picks are also compared with a plain loop over all ids. */
#include <math.h>
#include "vocab_file.h"

enum { MOST = 700, WORDS = (MOST + 63) / 64, TOP = 256 };

static uint64_t rng = 7;
static uint32_t below(uint32_t n) {
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % n;
}
static float uniform(void) {
    return (float)below(1 << 20) / (1 << 20);
}

/* ---- A step: logits, the best of them, and a mask */

typedef struct Step {
    size_t n, k;
    float logits[MOST], top[TOP];
    int32_t ids[TOP];
    uint64_t words[WORDS];
    size_t n_allowed, n_asked, n_masks;
    bool filtered;
} Step;

static TernStatus allows(void *user, int32_t id, bool *out, TernError *err) {
    Step *x = user;
    (void)err;
    x->n_asked++;
    *out = x->words[id / 64] >> (id % 64) & 1;
    return TERN_OK;
}
static TernStatus mask(void *user, TernAllowed *out, TernError *err) {
    Step *x = user;
    (void)err;
    x->n_masks++;
    *out = (TernAllowed){x->words, (x->n + 63) / 64, x->n_allowed};
    return TERN_OK;
}

static bool infinities; /* steps may have logits of -infinity */

static void list_best(Step *x) {
    bool taken[MOST] = {false};
    for (size_t i = 0; i < x->k; i++) {
        int32_t best = -1;
        for (size_t v = 0; v < x->n; v++)
            if (!taken[v] && (best < 0 || x->logits[v] > x->logits[best])) best = (int32_t)v;
        taken[best] = true;
        x->ids[i] = best;
        x->top[i] = x->logits[best];
    }
}

/* Some steps have many equal logits, some a few that stand out; masks go from a single id to all. */
static void draw_step(Step *x, bool filtered) {
    float wide = below(3) ? 12.0f : 2.0f;
    bool ties = below(4) == 0;
    for (size_t v = 0; v < x->n; v++) {
        x->logits[v] = wide * (uniform() + uniform() + uniform() - 1.5f);
        if (below(40) == 0) x->logits[v] += wide;
        if (ties) x->logits[v] = rintf(x->logits[v]);
        if (below(50) == 0) x->logits[v] = 0.0f;
    }
    for (size_t v = 0, rare = 1 + below(9); infinities && v < x->n; v++)
        if (below((uint32_t)rare) == 0) x->logits[v] = -INFINITY;
    memset(x->words, 0, sizeof x->words);
    uint32_t share = below(4) ? below(256) : 255, only = below((uint32_t)x->n);
    x->filtered = filtered;
    x->n_allowed = 0;
    for (uint32_t v = 0; v < x->n; v++)
        if (v == only || below(256) < share) x->words[v / 64] |= (uint64_t)1 << v % 64, x->n_allowed++;
    if (below(8) == 0) {
        memset(x->words, 0, sizeof x->words);
        x->words[only / 64] = (uint64_t)1 << only % 64;
        x->n_allowed = 1;
    }
    list_best(x);
}

/* ---- Two samplers that must stay alike */

static TernSampler *make(const TernSamplerOptions *o, size_t n) {
    TernSampler *s;
    TernError err;
    if (tern_sampler_create(o, n, &s, &err) != TERN_OK) fail_msg("%s", err.text);
    return s;
}

/* TERN_NO_TOKEN: all that is allowed has a bias or a logit of -infinity. */
static int32_t pick_of_all(TernSampler *s, Step *x, const TernFilter *f) {
    int32_t id;
    TernError err;
    TernStatus st = tern_sampler_pick_allowed(s, x->logits, x->n, f, &id, &err);
    if (st != TERN_OK && st != TERN_ERR_NUMERIC) fail_msg("%s", err.text);
    return st == TERN_OK ? id : TERN_NO_TOKEN;
}

static int32_t pick_of_best(TernSampler *s, Step *x, const TernFilter *f, size_t *settled) {
    int32_t id;
    TernError err;
    if (tern_sampler_try_top(s, x->ids, x->top, x->k, f, &id, &err) != TERN_OK) fail_msg("%s", err.text);
    if (id == TERN_NO_TOKEN) return pick_of_all(s, x, f);
    ++*settled;
    return id;
}

/* Runs both through `n` picks and returns how many the best ids settled. */
static size_t compare(const TernSamplerOptions *o, size_t n_vocab, size_t k, size_t n, bool filtered) {
    TernSampler *a = make(o, n_vocab), *b = make(o, n_vocab);
    static Step x;
    size_t settled = 0;
    x.n = n_vocab;
    x.k = k < n_vocab ? k : n_vocab;
    for (size_t i = 0; i < n; i++) {
        draw_step(&x, filtered);
        TernFilter f = {&x, allows, mask}, *filter = filtered ? &f : NULL;
        int32_t from_all = pick_of_all(a, &x, filter), from_best = pick_of_best(b, &x, filter, &settled);
        if (from_all != from_best)
            fail_msg("pick %zu of %zu ids (the best %zu): %d, expected %d", i, n_vocab, x.k, from_best,
                     from_all);
        assert_true(!filtered || from_all < 0 || x.words[from_all / 64] >> (from_all % 64) & 1);
    }
    tern_sampler_destroy(a);
    tern_sampler_destroy(b);
    return settled;
}

static void any_options(void **state) {
    (void)state;
    size_t settled = 0, all = 0;
    for (int round = 0; round < 800; round++) {
        TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
        TernLogitBias bias[6];
        size_t n_vocab = 20 + below(MOST - 20), k = below(2) ? TOP : 1 + below(60);
        infinities = round % 4 == 3;
        if (below(3) == 0) o.temp = 0;
        if (below(2)) o.temp = 0.1f + 2 * uniform();
        if (below(2)) o.top_k = (int32_t)below(300);
        if (below(2)) o.top_p = below(2) ? 1.0f : uniform();
        if (below(2)) o.min_p = below(2) ? 0.0f : uniform() / 4;
        if (below(3) == 0) o.repeat_penalty = below(3) ? 1 + uniform() : 0.5f + uniform() / 2;
        if (below(3) == 0) o.frequency_penalty = 4 * uniform() - 2;
        if (below(3) == 0) o.presence_penalty = 4 * uniform() - 2;
        if (below(3) == 0) {
            o.bias = bias;
            o.n_bias = 1 + below(6);
            for (size_t i = 0; i < o.n_bias; i++)
                bias[i] = (TernLogitBias){(int32_t)below((uint32_t)n_vocab),
                                          below(4) ? 16 * uniform() - 8 : -INFINITY};
        }
        o.seed = below(1000);
        settled += compare(&o, n_vocab, k, 20, below(3) != 0);
        all += 20;
    }
    infinities = false;
    assert_true(settled > all / 3 && settled < all);
}

/* A single allowed id is the pick, whatever its logit, from the best ids and from all logits, unless its bias forbids it. */
static void the_only_id(void **state) {
    (void)state;
    static Step x;
    for (int i = 0; i < 400; i++) {
        TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
        TernLogitBias bias[2];
        TernError err;
        int32_t id, only;
        bool forbidden = below(4) == 0;
        x.n = 20 + below(60);
        x.k = below(2) ? x.n : 1 + below(20);
        infinities = below(2);
        draw_step(&x, true);
        infinities = false;
        memset(x.words, 0, sizeof x.words);
        only = (int32_t)below((uint32_t)x.n);
        x.words[only / 64] = (uint64_t)1 << only % 64;
        x.n_allowed = 1;
        x.logits[only] = below(3) ? -INFINITY : 1.0f;
        list_best(&x);
        if (below(2)) o.temp = 0;
        if (below(2)) o.top_k = 0;
        if (below(2)) o.repeat_penalty = 1.5f;
        bias[0] = (TernLogitBias){only, -2.0f}, bias[1] = (TernLogitBias){only, -INFINITY};
        o.bias = bias;
        o.n_bias = forbidden ? 2 : below(2);
        TernSampler *s = make(&o, x.n);
        TernFilter f = {&x, allows, mask};
        if (tern_sampler_try_top(s, x.ids, x.top, x.k, &f, &id, &err) != TERN_OK) fail_msg("%s", err.text);
        assert_int_equal(id, forbidden ? TERN_NO_TOKEN : only);
        assert_int_equal(pick_of_all(s, &x, &f), forbidden ? TERN_NO_TOKEN : only);
        tern_sampler_destroy(s);
    }
}

/* The exact rule: greedy is settled if an allowed id is on the list, or only one is allowed. */
static void greedy_is_settled_by_an_allowed_id(void **state) {
    (void)state;
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    static Step x;
    o.temp = 0;
    for (int i = 0; i < 3000; i++) {
        TernError err;
        int32_t id, expected = -1;
        bool listed = false;
        x.n = 20 + below(MOST - 20);
        x.k = 1 + below(20);
        x.n_masks = x.n_asked = 0;
        draw_step(&x, true);
        TernSampler *s = make(&o, x.n);
        TernFilter f = {&x, allows, mask};
        for (int32_t v = 0; v < (int32_t)x.n; v++)
            if (x.words[v / 64] >> (v % 64) & 1 && (expected < 0 || x.logits[v] > x.logits[expected]))
                expected = v;
        for (size_t j = 0; j < x.k; j++) listed = listed || x.words[x.ids[j] / 64] >> (x.ids[j] % 64) & 1;
        if (tern_sampler_try_top(s, x.ids, x.top, x.k, &f, &id, &err) != TERN_OK) fail_msg("%s", err.text);
        assert_int_equal(id, listed || x.n_allowed == 1 ? expected : TERN_NO_TOKEN);
        assert_int_equal(x.n_masks, !listed); /* masks are dear: only if the list does not settle it */
        if (listed) assert_true(x.n_asked <= x.k);
        assert_int_equal(pick_of_all(s, &x, &f), expected);
        tern_sampler_destroy(s);
    }
}

/* Two ids of which one is biased: a tie goes to the lower id, on the list or not. */
static void a_bias_may_lift_an_id_from_the_tail(void **state) {
    (void)state;
    static const struct {
        TernLogitBias bias;
        int32_t tried; /* from the best two */
    } cases[] = {
        {{3, 0.5f}, 2}, /* 1.5 at most: not above 4 */
        {{3, 3.5f}, TERN_NO_TOKEN},
        {{3, 2.0f}, TERN_NO_TOKEN}, /* 4 if its logit were 2, and it has the lower id */
        {{7, 2.0f}, 5},             /* the same with the higher id */
        {{2, -9.0f}, 5},
        {{2, -INFINITY}, 5},
    };
    static Step x = {.n = 9, .k = 2, .logits = {-1, -1, 0, 1, -1, 4, -1, 1, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
        TernLogitBias bias = cases[i].bias;
        TernError err;
        int32_t id;
        o.temp = 0;
        o.bias = &bias;
        o.n_bias = 1;
        x.logits[2] = i < 2 || i >= 4 ? 5 : 2;
        if (i < 2) x.logits[2] = 4, x.logits[5] = 1.5f;
        if (i >= 2) x.logits[5] = 4;
        list_best(&x);
        TernSampler *s = make(&o, x.n);
        if (tern_sampler_try_top(s, x.ids, x.top, x.k, NULL, &id, &err) != TERN_OK) fail_msg("%s", err.text);
        if (id != cases[i].tried) fail_msg("case %zu: %d, expected %d", i, id, cases[i].tried);
        tern_sampler_destroy(s);
    }
}

static TernStatus refuse(void *user, int32_t id, bool *out, TernError *err) {
    (void)user, (void)id, (void)out;
    return tern_sampler_pick_id(NULL, 0, &(int32_t){0}, err); /* any error */
}

static void wrong_calls(void **state) {
    (void)state;
    static Step x = {.n = 5, .k = 3, .logits = {1, 2, 3, 4, 5}};
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    TernSampler *s = make(&o, 5);
    TernFilter f = {&x, allows, mask}, bad = {&x, refuse, mask};
    TernError err;
    int32_t id, wrong[] = {4, 3, 5}, reversed[] = {2, 3, 4};
    float rising[] = {3, 4, 5};
    list_best(&x);
    assert_int_equal(tern_sampler_try_top(s, x.ids, x.top, 0, NULL, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the sampler got the top 0 ids, expected 1 to 256");
    assert_int_equal(tern_sampler_try_top(s, wrong, x.top, 3, NULL, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "top id 2 is 5, expected one below 5");
    assert_int_equal(tern_sampler_try_top(s, reversed, rising, 3, NULL, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "top id 1 is 3, expected the best first");
    rising[2] = NAN;
    assert_int_equal(tern_sampler_try_top(s, reversed, rising, 3, NULL, &id, &err), TERN_ERR_INPUT);
    assert_int_equal(tern_sampler_try_top(s, x.ids, x.top, 3, &f, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "no token is allowed here");
    assert_int_equal(tern_sampler_pick_allowed(s, x.logits, 5, &f, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "no token is allowed here");
    assert_int_equal(tern_sampler_try_top(s, x.ids, x.top, 3, &bad, &id, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "sampler is NULL, expected an address");
    assert_int_equal(tern_sampler_try_top(s, x.ids, x.top, 3, NULL, &id, &err),
                     TERN_OK); /* nothing is left over */
    tern_sampler_destroy(s);
    const TernLogitBias far = {5, 1}, endless = {1, INFINITY}, none = {1, NAN};
    const TernLogitBias *list[] = {&far, &endless, &none};
    static const char *const lines[] = {
        "TernSamplerOptions.bias[0].id is 5, expected 0 to 4",
        "TernSamplerOptions.bias[0].bias is inf, expected a number or -infinity",
        "TernSamplerOptions.bias[0].bias is nan, expected a number or -infinity"};
    o.n_bias = 1;
    for (size_t i = 0; i < 3; i++) {
        o.bias = list[i];
        assert_int_equal(tern_sampler_create(&o, 5, &s, &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, lines[i]);
    }
    o.bias = NULL;
    assert_int_equal(tern_sampler_create(&o, 5, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernSamplerOptions.bias is NULL although n_bias is 1");
    static const TernLogitBias sum[] = {{1, 3e38f}, {2, 3e38f}, {1, 3e38f}, {2, -INFINITY}};
    o.bias = sum;
    o.n_bias = 4;
    assert_int_equal(tern_sampler_create(&o, 5, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text,
                        "TernSamplerOptions.bias adds up to inf for id 1, expected a number or -infinity");
    assert_null(s);
    o.n_bias = 2;
    assert_int_equal(tern_sampler_create(&o, 5, &s, &err), TERN_OK);
    tern_sampler_destroy(s);
}

static void what_is_tried(void **state) {
    (void)state;
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    TernSampler *s = make(&o, 1000);
    assert_false(tern_sampler_tries_top(s));
    tern_sampler_destroy(s);
    o.min_p = 0.05f;
    s = make(&o, 1000);
    assert_true(tern_sampler_tries_top(s));
    tern_sampler_destroy(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_options),
        cmocka_unit_test(the_only_id),
        cmocka_unit_test(greedy_is_settled_by_an_allowed_id),
        cmocka_unit_test(a_bias_may_lift_an_id_from_the_tail),
        cmocka_unit_test(wrong_calls),
        cmocka_unit_test(what_is_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
