/* Grammars over a vocabulary without a token that ends an answer: the answer ends where the grammar's text is whole and
 * nothing can follow. And dead ends: texts that the vocabulary cannot spell to the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/base/status.h"
#include "runtime/generate/generate.h"
#include "generate/load_scripted.h"
#include "text/vocab_file.h"

static TernPool *pool;
static TernModel *model;
static TernVocab *vocab;

static void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

/* Says what the grammar wants: all logits are 0, but "b" follows "a", and "a" follows "b". */
static TnScripted *bytes_alone(void) {
    TnScripted *s = tn_scripted_create();
    int32_t a = tn_scripted_byte(s, 'a'), b = tn_scripted_byte(s, 'b');
    tn_scripted_after(s, a, b, 5);
    tn_scripted_after(s, b, a, 5);
    return s;
}

static int append(void *user, const TernPiece *p) {
    tn_buf_put(user, p->text, p->size);
    return 0;
}

/* Generates within a grammar; the answer's text with a NUL in *text. */
static TernStatus answer(const TernVocab *v, const char *grammar, const char *stop, uint32_t most,
                         uint32_t draft, TnBuf *text, TernGenerated *got, TernError *err) {
    TernGeneratorOptions o = {.size = sizeof o, .context = 128, .draft_max = draft, .vocab = v};
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    TernText stops = {stop, stop ? strlen(stop) : 0};
    TernGenerator *g;
    TernGrammar *rules;
    int32_t prompt[] = {tern_token_find(vocab, "a", 1), tern_token_find(vocab, "b", 1)};
    so.temp = 0;
    *got = (TernGenerated){.size = sizeof *got};
    text->len = 0;
    must(tern_generator_create(model, pool, &o, &g, err), err);
    must(tern_grammar_create(v, grammar, strlen(grammar), &rules, err), err);
    TernRequest r = {.size = sizeof r,
                     .ids = prompt,
                     .n_ids = 2,
                     .max_tokens = most,
                     .draft_max = draft,
                     .stops = &stops,
                     .n_stops = stop != NULL,
                     .sampler = &so,
                     .grammar = rules};
    TernStatus st = tern_generate(g, &r, append, text, got, err);
    tn_buf_put(text, "", 1);
    tern_generator_destroy(g);
    tern_grammar_destroy(rules);
    return st;
}

static const struct {
    const char *grammar, *text, *stop;
    TernEnd end;
} cases[] = {
    {"root ::= \"ab\"", "ab", NULL, TERN_END_GRAMMAR},
    {"root ::= \"ab\"{6}", "abababababab", NULL, TERN_END_GRAMMAR},
    {"root ::= \"a\" | \"ab\"", "ab", NULL, TERN_END_GRAMMAR}, /* whole after one id, but more can follow */
    {"root ::= [\xc3\xa9] \"x\"?", "\xc3\xa9x", NULL, TERN_END_GRAMMAR},
    {"root ::= \"ab\"*", "abababababababababab", NULL, TERN_END_LENGTH},
    {"root ::= \"ab\"*", "", "a", TERN_END_STOP},
    {"root ::= \"\"", "", NULL, TERN_END_GRAMMAR},
    {"root ::= \"abab\"", "a", "bab", TERN_END_STOP},      /* the stop string and the grammar end at once */
    {"root ::= \"abab\"", "abab", "b!", TERN_END_GRAMMAR}, /* a beginning of one that was held back */
};

static void a_whole_text_ends_the_answer(void **state) {
    (void)state;
    TnBuf text = {0};
    TernGenerated got;
    TernError err;
    for (size_t i = 0; i < TN_COUNT(cases); i++)
        for (uint32_t draft = 0; draft <= 4; draft += 4) {
            must(answer(vocab, cases[i].grammar, cases[i].stop, 20, draft, &text, &got, &err), &err);
            if (got.end != cases[i].end || strcmp(text.data, cases[i].text) != 0)
                fail_msg("%s, %u guesses: end %d, '%s'; expected %d, '%s'", cases[i].grammar, draft, got.end,
                         text.data, cases[i].end, cases[i].text);
            if (i == 1 && draft) assert_true(got.n_guessed > 0);
        }
    tn_buf_free(&text);
}

/* A vocabulary that has no "z": one line, whether at once or later. */
static void a_dead_end_is_an_error(void **state) {
    (void)state;
    static const char *const grammars[] = {"root ::= \"z\"", "root ::= \"abz\""};
    Fixture f;
    TnBuf text = {0};
    TernGenerated got;
    TernError err;
    fixture_start(&f, "gpt-2");
    uint32_t n = tern_vocab_get_facts(vocab).n_tokens;
    for (uint32_t id = 0; id < n; id++) {
        TernText t = tern_token_get_bytes(vocab, (int32_t)id);
        bool plain = t.size == 1 && (t.data[0] == 'a' || t.data[0] == 'b');
        char other[16];
        snprintf(other, sizeof other, "(%u)", id);
        fixture_token(&f, TERN_TOKEN_NORMAL, plain ? (t.data[0] == 'a' ? "a" : "b") : other);
    }
    fixture_open(&f);
    for (size_t i = 0; i < TN_COUNT(grammars); i++)
        for (uint32_t draft = 0; draft <= 4; draft += 4) {
            assert_int_equal(answer(f.vocab, grammars[i], NULL, 20, draft, &text, &got, &err),
                             TERN_ERR_INPUT);
            assert_string_equal(err.text, "no token of the vocabulary goes on within the grammar");
            assert_int_equal(got.end, TERN_END_FAILED);
            assert_string_equal(text.data, i ? "ab" : "");
        }
    fixture_close(&f);
    tn_buf_free(&text);
}

static int open_all(void **state) {
    (void)state;
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    TernError err;
    size_t size;
    must(tern_pool_create(&po, &pool, &err), &err);
    TnScripted *s = bytes_alone();
    model = load_scripted(s);
    tn_scripted_destroy(s);
    const void *image = tern_model_vocab(model, &size);
    must(tern_vocab_open(image, size, &vocab, &err), &err);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    tern_vocab_close(vocab);
    tern_model_close(model);
    tern_pool_destroy(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_text_ends_the_answer),
        cmocka_unit_test(a_dead_end_is_an_error),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
