/* Log probabilities beside a double loop over the logits of the run interface. */
#include <math.h>
#include "generate/opened.h"

enum { MOST = 1 + TERN_LOGPROBS_MOST, OUT = 10, VOCAB_MOST = 4096 };

static uint32_t n_vocab;
static const TernText prompt = {"And the LORD said unto Moses, And the LORD said unto", 52};

typedef struct Heard {
    int32_t ids[OUT];
    TernLogprob logprobs[OUT][MOST];
    size_t n, n_logprobs, without; /* without: pieces without an id */
} Heard;

static int hear(void *user, const TernPiece *p) {
    Heard *h = user;
    if (p->id == TERN_NO_TOKEN) {
        assert_true(!p->logprobs && p->n_logprobs == 0);
        h->without++;
        return 0;
    }
    assert_true(h->n < OUT && !p->logprobs == !p->n_logprobs && p->n_logprobs <= MOST);
    if (p->n_logprobs) memcpy(h->logprobs[h->n], p->logprobs, p->n_logprobs * sizeof *p->logprobs);
    h->n_logprobs = p->n_logprobs;
    h->ids[h->n++] = p->id;
    return 0;
}

static Heard ask(uint32_t logprobs, uint32_t draft, const TernSamplerOptions *so) {
    Heard h = {.n = 0};
    TernGenerator *g;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .context = 128, .draft_max = draft};
    static const TernText stop = {"never said", 10};
    must(tern_generator_create(model, pool, &o, &g, &err), &err);
    TernRequest r = {.size = sizeof r,
                     .text = prompt,
                     .max_tokens = OUT,
                     .draft_max = draft,
                     .sampler = so,
                     .stops = &stop,
                     .n_stops = 1,
                     .ignore_eog = 1,
                     .logprobs = logprobs};
    TernGenerated got = {.size = sizeof got};
    must(tern_generate(g, &r, hear, &h, &got, &err), &err);
    assert_true(draft == 0 || got.n_guessed > 0 || so->temp > 0);
    assert_int_equal(h.n, OUT);
    assert_int_equal(h.n_logprobs, logprobs);
    tern_generator_destroy(g);
    return h;
}

static void keep(void *user, const TernResult *r) {
    memcpy(user, r->logits, n_vocab * sizeof(float));
}

static void check_place(const TernLogprob *got, size_t n, int32_t id, const float *logits) {
    bool seen[VOCAB_MOST] = {false};
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++) most = fmax(most, (double)logits[i]);
    for (uint32_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - most);
    assert_int_equal(got[0].id, id);
    for (size_t j = 0; j < n; j++) {
        double expected = (double)logits[got[j].id] - most - log(sum);
        if (fabs(got[j].logprob - expected) > 1e-11)
            fail_msg("of id %d: %.17g, expected %.17g", got[j].id, got[j].logprob, expected);
    }
    for (size_t j = 1; j < n; j++) {
        int32_t best = -1;
        for (uint32_t i = 0; i < n_vocab; i++)
            if (!seen[i] && (best < 0 || logits[i] > logits[best])) best = (int32_t)i;
        seen[best] = true;
        assert_int_equal(got[j].id, best);
    }
}

/* The logits of each place come from the run interface, fed with the ids that were picked. */
static void check_all(const Heard *h) {
    static float logits[VOCAB_MOST];
    int32_t ids[128];
    size_t n, size;
    TernError err;
    TernVocab *v;
    TernSession *s;
    const void *image = tern_model_vocab(model, &size);
    must(tern_vocab_open(image, size, &v, &err), &err);
    must(tern_encode(v, prompt.data, prompt.size, TERN_ENCODE_ADD_SPECIAL, ids, 64, &n, &err), &err);
    must(tern_session_create(model, pool, NULL, &s, &err), &err);
    for (size_t i = 0; i + 1 < n + OUT; i++) {
        TernRow row = {i < n ? ids[i] : h->ids[i - n], 0, TERN_WANT_LOGITS};
        must(tern_session_step(s, &row, 1, keep, logits, &err), &err);
        if (i + 1 >= n) check_place(h->logprobs[i + 1 - n], h->n_logprobs, h->ids[i + 1 - n], logits);
    }
    tern_session_destroy(s);
    tern_vocab_close(v);
}

static void they_are_right_and_change_no_pick(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 2, 6, MOST};
    TernSamplerOptions so[4] = {TERN_SAMPLER_OPTIONS, TERN_SAMPLER_OPTIONS, TERN_SAMPLER_OPTIONS,
                                TERN_SAMPLER_OPTIONS};
    static const TernLogitBias bias = {7, 30.0f};
    so[0].temp = 0;
    so[1].seed = 3;
    so[2].seed = 4;
    so[2].repeat_penalty = 1.3f;
    so[3].seed = 5;
    so[3].bias = &bias; /* the pick is often 7, whose probability is that of the model */
    so[3].n_bias = 1;
    for (size_t i = 0; i < TN_COUNT(so); i++) {
        Heard plain = ask(0, 0, &so[i]), h = ask(counts[i], 0, &so[i]), drafted = ask(counts[i], 4, &so[i]);
        assert_memory_equal(plain.ids, h.ids, sizeof h.ids);
        assert_memory_equal(plain.ids, drafted.ids, sizeof h.ids);
        for (size_t j = 0; j < OUT; j++)
            for (size_t k = 0; k < h.n_logprobs; k++) {
                assert_int_equal(h.logprobs[j][k].id, drafted.logprobs[j][k].id);
                assert_true(h.logprobs[j][k].logprob == drafted.logprobs[j][k].logprob);
            }
        check_all(&h);
    }
}

static int open_all(void **state) {
    TernModelInfo info;
    open_embedded(state);
    tern_model_info(model, &info);
    n_vocab = info.n_vocab;
    return n_vocab > VOCAB_MOST;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_right_and_change_no_pick),
    };
    return cmocka_run_group_tests(tests, open_all, close_embedded);
}
