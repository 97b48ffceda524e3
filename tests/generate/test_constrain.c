/* Answers within a grammar, with biases and with penalties. Against the definition: a plain loop that takes all logits of
 * every row from a session, and picks among the ids that the grammar allows. Heads with a shortlist and without, slots
 * beside each other and guesses must give the same ids. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "generate/still_clock.h"
#include "runtime/base/status.h"
#include "runtime/generate/generate.h"

enum { MOST = 24, SLOTS = 8, BIASES = 8, HEADS = 3 };

static const char *const heads[HEADS] = {"f16", "q8", "q6"};
static TernModel *models[HEADS];
static TernPool *pool;
static TernVocab *vocab;
static uint32_t n_vocab;

static void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

static uint64_t rng = 3;
static uint32_t below(uint32_t n) {
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % n;
}

/* ---- Cases */

typedef struct Case {
    char text[600];
    TernGrammar *grammar; /* may be NULL */
    TernLogitBias bias[BIASES];
    TernSamplerOptions o; /* bias: that above */
    char prompt[80];
} Case;

/* What the model likes to say, and what it would never say. */
static const char *const fixed[] = {
    "root ::= [a-zA-Z ,.;:\\n]+",
    "root ::= (\"And \" | \"The \") [a-z]{2,9} (\" \" [a-z]+)* \".\"",
    "root ::= \"{\\\"\" [a-z]+ \"\\\": \" [0-9]{1,4} \"}\"",
    "root ::= [^e]+",
    "root ::= word (\" \" word)*\nword ::= \"lord\" | \"LORD\" | \"god\" | [x-z]{3}",
    "root ::= ([0-9] | [\xc3\xa0-\xc3\xbf])+",
    "root ::= \"Z\"{5} \"q\"+",
};

/* A random rule: a few parts, each a literal or a class, repeated or not. */
static void random_grammar(char *out, size_t size) {
    static const char *const parts[] = {
        "[a-z]", "[A-Z]",       "[ ,.]", "\"the\"", "\" and \"",
        "[0-9]", "\"unto\\n\"", "[^a]",  "[aeiou]", "(\"he\" | \"she\" | \" \")"};
    static const char *const often[] = {"", "*", "+", "?", "{2}", "{1,3}"};
    size_t n = (size_t)snprintf(out, size, "root ::= ");
    for (uint32_t i = 0, most = 1 + below(6); i < most; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s ", parts[below(TN_COUNT(parts))],
                              often[below(TN_COUNT(often))]);
    snprintf(out + n, size - n, "[a-z]*");
}

static void draw_case(Case *c, uint32_t i) {
    static const char *const prompts[] = {"And the LORD said unto Moses, ", "KING RICHARD:\n", "7 8 9 ",
                                          "the sea, and the sea, and the sea, and the "};
    TernError err;
    *c = (Case){.o = TERN_SAMPLER_OPTIONS};
    c->o.temp = 0;
    c->o.seed = i;
    snprintf(c->prompt, sizeof c->prompt, "%s", prompts[below(TN_COUNT(prompts))]);
    if (i < TN_COUNT(fixed))
        snprintf(c->text, sizeof c->text, "%s", fixed[i]);
    else
        random_grammar(c->text, sizeof c->text);
    if (i % 5 != 4) must(tern_grammar_create(vocab, c->text, strlen(c->text), &c->grammar, &err), &err);
    if (i % 3 == 1 || !c->grammar) {
        c->o.n_bias = 1 + below(BIASES);
        for (size_t b = 0; b < c->o.n_bias; b++)
            c->bias[b] =
                (TernLogitBias){(int32_t)below(n_vocab), below(4) ? (float)below(24) - 12 : -INFINITY};
    }
    if (i % 4 == 2) c->o.repeat_penalty = 1.1f + (float)below(8) / 10;
    if (i % 7 == 3) c->o.repeat_penalty = 0.8f;
    if (i % 5 == 1) c->o.frequency_penalty = (float)below(16) / 4 - 2;
    if (i % 6 == 5) c->o.presence_penalty = (float)below(16) / 4 - 2;
}

static void free_case(Case *c) {
    tern_grammar_destroy(c->grammar);
}

/* ---- The definition */

typedef struct Answer {
    int32_t ids[MOST];
    size_t n;
    TernGenerated got;
    TernStatus status;
} Answer;

static void keep_logits(void *user, const TernResult *r) {
    memcpy(user, r->logits, n_vocab * sizeof(float));
}

/* The last n_out of the n ids were picked. */
static float adjusted(const Case *c, const int32_t *ids, size_t n, size_t n_out, int32_t id, float l) {
    float sum = 0, times = 0;
    for (size_t b = 0; b < c->o.n_bias; b++)
        if (c->bias[b].id == id) sum += c->bias[b].bias;
    l += sum;
    for (size_t i = n > 64 ? n - 64 : 0; i < n; i++)
        if (ids[i] == id && c->o.repeat_penalty != 1.0f) {
            l = l > 0 ? l / c->o.repeat_penalty : l * c->o.repeat_penalty;
            break;
        }
    for (size_t i = n - n_out; i < n; i++) times += ids[i] == id;
    if (times == 0) return l;
    l -= times * c->o.frequency_penalty;
    return l - c->o.presence_penalty;
}

/* Greedy over all logits; -1: nothing is allowed. */
static int32_t best_of(const Case *c, TernGrammarState state, const float *x, const int32_t *ids, size_t n,
                       size_t n_out) {
    TernError err;
    TernGrammarMask m = {NULL, 0, 0};
    int32_t best = -1;
    float most = 0;
    if (c->grammar) must(tern_grammar_get_mask(c->grammar, state, &m, &err), &err);
    for (int32_t id = 0; id < (int32_t)n_vocab; id++) {
        if (c->grammar && ((size_t)id / 64 >= m.n_words || !(m.words[id / 64] >> (id % 64) & 1))) continue;
        float l = adjusted(c, ids, n, n_out, id, x[id]);
        if (l > -INFINITY && (best < 0 || l > most)) best = id, most = l;
    }
    return best;
}

static Answer by_definition(TernModel *model, const Case *c) {
    Answer a = {.n = 0};
    TernError err;
    TernSession *s;
    int32_t ids[200];
    size_t n;
    float *x = calloc(n_vocab, sizeof *x);
    TernGrammarState state = TERN_GRAMMAR_START;
    TernRow rows[200];
    must(tern_session_create(model, pool, NULL, &s, &err), &err);
    must(tern_encode(vocab, c->prompt, strlen(c->prompt), TERN_ENCODE_ADD_SPECIAL, ids, 100, &n, &err), &err);
    for (size_t i = 0; i < n; i++) rows[i] = (TernRow){ids[i], 0, i + 1 == n ? TERN_WANT_LOGITS : 0};
    must(tern_session_step(s, rows, n, keep_logits, x, &err), &err);
    while (a.n < MOST) {
        int32_t id = best_of(c, state, x, ids, n, a.n);
        if (id < 0) break;
        a.ids[a.n++] = ids[n++] = id;
        if (tern_token_is_eog(vocab, id)) break;
        if (c->grammar) must(tern_grammar_accept(c->grammar, state, id, &state, &err), &err);
        TernRow row = {id, 0, TERN_WANT_LOGITS};
        must(tern_session_step(s, &row, 1, keep_logits, x, &err), &err);
    }
    tern_session_destroy(s);
    free(x);
    return a;
}

/* ---- The generator */

static int hear(void *user, const TernPiece *p) {
    Answer *a = user;
    if (p->id != TERN_NO_TOKEN) a->ids[a->n++] = p->id;
    return 0;
}

static TernRequest request_of(Case *c, uint32_t draft) {
    c->o.bias = c->o.n_bias ? c->bias : NULL;
    return (TernRequest){.size = sizeof(TernRequest),
                         .text = {c->prompt, strlen(c->prompt)},
                         .max_tokens = MOST,
                         .draft_max = draft,
                         .sampler = &c->o,
                         .grammar = c->grammar};
}

/* All cases, as many beside each other as there are slots. */
static void generate_all(TernModel *model, Case *c, Answer *a, size_t n, uint32_t slots, uint32_t draft) {
    TernGenerator *g;
    TernSequence *s[SLOTS] = {NULL};
    size_t at[SLOTS] = {0}, next = 0, ended = 0;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .slots = slots, .draft_max = draft, .context = 256};
    must(tern_generator_create(model, pool, &o, &g, &err), &err);
    stop_clock(g);
    while (ended < n) {
        for (uint32_t i = 0; i < slots && next < n; i++) {
            if (s[i]) continue;
            TernRequest r = request_of(&c[next], draft);
            a[next] = (Answer){.got = {.size = sizeof(TernGenerated)}};
            must(tern_sequence_create(g, &r, hear, &a[next], &s[i], &err), &err);
            at[i] = next++;
        }
        must(tern_generator_step(g, &err), &err);
        for (uint32_t i = 0; i < slots; i++) {
            if (!s[i]) continue;
            must(tern_sequence_get(s[i], &a[at[i]].got, &err), &err);
            if (a[at[i]].got.end == TERN_END_NOT) continue;
            a[at[i]].status = tern_sequence_status(s[i], &err);
            tern_sequence_destroy(s[i]);
            s[i] = NULL;
            ended++;
        }
    }
    tern_generator_destroy(g);
}

static void check_answer(const Case *c, const Answer *a, const Answer *by, const char *how) {
    for (size_t i = 0; i < a->n && i < by->n; i++)
        if (a->ids[i] != by->ids[i])
            fail_msg("%s: id %zu is %d, expected %d; grammar %s", how, i, a->ids[i], by->ids[i], c->text);
    if (a->n != by->n) fail_msg("%s: %zu ids, expected %zu; grammar %s", how, a->n, by->n, c->text);
    assert_int_equal(a->got.n_out, a->n);
    assert_true(a->got.n_from_best + a->got.n_from_all >= a->n);
    if (a->n < MOST && !tern_token_is_eog(vocab, a->ids[a->n - 1]))
        assert_int_equal(a->got.end, TERN_END_FAILED);
    if (a->got.end == TERN_END_FAILED) assert_true(a->status != TERN_OK);
}

static void greedy_is_the_best_of_all_that_is_allowed(void **state) {
    (void)state;
    uint32_t n = *native_levels() ? 56 : 3;
    Case *c = calloc(n, sizeof *c);
    Answer *by = calloc(n, sizeof *by), *a = calloc(n, sizeof *a);
    size_t best = 0, all = 0, again = 0, guessed = 0;
    for (uint32_t i = 0; i < n; i++) {
        draw_case(&c[i], i);
        by[i] = by_definition(models[0], &c[i]);
    }
    for (size_t h = 0; h < HEADS && models[h]; h++)
        for (uint32_t slots = 1; slots <= SLOTS; slots += SLOTS - 1)
            for (uint32_t draft = 0; draft <= 5; draft += 5) {
                generate_all(models[h], c, a, n, slots, draft);
                for (uint32_t i = 0; i < n; i++) {
                    char how[64];
                    snprintf(how, sizeof how, "case %u, head %s, %u slots, %u guesses", i, heads[h], slots,
                             draft);
                    check_answer(&c[i], &a[i], &by[i], how);
                    guessed += a[i].got.n_guessed;
                    if (h == 0) assert_int_equal(a[i].got.n_again, 0); /* the logits are there anyway */
                    if (h == 0) continue;
                    best += a[i].got.n_from_best;
                    all += a[i].got.n_from_all;
                    again += a[i].got.n_again;
                }
            }
    if (models[1]) assert_true(best > all && all >= again && again > 0 && guessed > 0);
    print_message("with a shortlist: %zu picks from the best, %zu from all logits, %zu rows again\n", best,
                  all, again);
    for (uint32_t i = 0; i < n; i++) free_case(&c[i]);
    free(c);
    free(by);
    free(a);
}

/* Sampled answers too are those of a pick from all logits, with the same seed. */
static void sampled_answers_are_those_of_all_logits(void **state) {
    (void)state;
    uint32_t n = *native_levels() ? 24 : 1;
    Case *c = calloc(n, sizeof *c);
    Answer *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b);
    for (uint32_t i = 0; i < n; i++) {
        draw_case(&c[i], i);
        c[i].o.temp = 0.4f + (float)below(12) / 10;
        c[i].o.top_k = below(2) ? 40 : (int32_t)below(300);
        c[i].o.top_p = below(2) ? 0.95f : 1.0f;
        c[i].o.min_p = below(2) ? 0.05f : 0.0f;
    }
    generate_all(models[0], c, a, n, 1, 0);
    for (size_t h = 0; h < HEADS && models[h]; h++) {
        generate_all(models[h], c, b, n, SLOTS, 3);
        for (uint32_t i = 0; i < n; i++) check_answer(&c[i], &b[i], &a[i], heads[h]);
    }
    for (uint32_t i = 0; i < n; i++) free_case(&c[i]);
    free(c);
    free(a);
    free(b);
}

/* A text that the grammar makes again and again is guessed; guesses that the grammar does not allow are not run. */
static void guesses_stay_within_the_grammar(void **state) {
    (void)state;
    if (!*native_levels()) return;
    Case c = {.o = TERN_SAMPLER_OPTIONS, .text = "root ::= (\"the sea \" [a-d])+"};
    Answer plain, drafted;
    TernError err;
    c.o.temp = 0;
    snprintf(c.prompt, sizeof c.prompt, "the sea z the sea z the sea z ");
    must(tern_grammar_create(vocab, c.text, strlen(c.text), &c.grammar, &err), &err);
    for (size_t h = 0; h < HEADS; h++) {
        generate_all(models[h], &c, &plain, 1, 1, 0);
        generate_all(models[h], &c, &drafted, 1, 1, 6);
        check_answer(&c, &drafted, &plain, heads[h]);
        assert_true(drafted.got.n_right > 0);
        assert_true(drafted.got.n_right <= drafted.got.n_guessed);
    }
    free_case(&c);
}

static void wrong_requests(void **state) {
    (void)state;
    Case c = {.o = TERN_SAMPLER_OPTIONS, .prompt = "a"};
    TernGenerator *g;
    TernSequence *s;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .context = 64};
    must(tern_generator_create(models[0], pool, &o, &g, &err), &err);
    must(tern_grammar_create(vocab, "root ::= \"a\"", 12, &c.grammar, &err), &err);
    TernRequest r = request_of(&c, 0);
    r.ignore_eog = 1;
    assert_int_equal(tern_sequence_create(g, &r, NULL, NULL, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernRequest.ignore_eog is set, expected 0 beside a grammar");
    free_case(&c);
    tern_generator_destroy(g);
}

static int open_all(void **state) {
    (void)state;
    TernError err;
    TernModelInfo info;
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    bool native = *native_levels();
    for (size_t h = 0; h < (native ? HEADS : 1); h++) {
        TerncOptions o = {
            .size = sizeof o, .target = native ? NULL : "ref", .kvs = 1u << TERN_KV_F16, .head = heads[h]};
        must(ternc_load(NULL, &o, NULL, &models[h], &err), &err);
    }
    size_t size;
    const void *image = tern_model_vocab(models[0], &size);
    must(tern_vocab_open(image, size, &vocab, &err), &err);
    tern_model_info(models[0], &info);
    n_vocab = info.n_vocab;
    must(tern_pool_create(&po, &pool, &err), &err);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    tern_vocab_close(vocab);
    for (size_t h = 0; h < HEADS; h++) tern_model_close(models[h]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_is_the_best_of_all_that_is_allowed),
        cmocka_unit_test(sampled_answers_are_those_of_all_logits),
        cmocka_unit_test(guesses_stay_within_the_grammar),
        cmocka_unit_test(wrong_requests),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
