/* What texts of one schema have in common: the masks of the first text serve for later ones. docs/grammar.md has the figures
 * that this prints. */
#include "vocab_file.h"
#include "runtime/text/grammar.h"

static const char schema[] =
    "{\"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 40}, \"id\": {\"type\": \"integer\", "
    "\"minimum\": 1, \"maximum\": 9999}, \"active\": {\"type\": \"boolean\"}, \"kind\": {\"enum\": "
    "[\"person\", "
    "\"place\", \"thing\"]}, \"where\": {\"type\": \"object\", \"properties\": {\"street\": {\"type\": "
    "\"string\"}, "
    "\"town\": {\"type\": \"string\"}}, \"required\": [\"street\", \"town\"]}, \"tags\": {\"type\": "
    "\"array\", "
    "\"items\": {\"type\": \"string\"}}, \"score\": {\"type\": \"number\"}}, \"required\": [\"name\", "
    "\"id\", "
    "\"active\", \"kind\", \"where\", \"tags\", \"score\"]}";

static const char *const texts[] = {
    "{\"name\": \"Falstaff\", \"id\": 1597, \"active\": true, \"kind\": \"person\", \"where\": {\"street\": "
    "\"Eastcheap 12\", \"town\": \"London\"}, \"tags\": [\"knight\", \"fat old man\"], \"score\": 7.25}",
    "{\"name\": \"Forest of Arden\", \"id\": 23, \"active\": false, \"kind\": \"place\", \"where\": "
    "{\"street\": \"the road to the north\", \"town\": \"Stratford\"}, \"tags\": [\"green\", \"deer\", "
    "\"exile\"], \"score\": -0.5}",
    "{\"name\": \"A handkerchief\", \"id\": 8, \"active\": true, \"kind\": \"thing\", \"where\": "
    "{\"street\": "
    "\"Harbour 3\", \"town\": \"Famagusta\"}, \"tags\": [], \"score\": 12}",
};
enum { TEXTS = sizeof texts / sizeof *texts, MOST = 200 };
/* Change the page with them. */
static const struct { size_t tokens, made; } counted[TEXTS] = {{61, 50}, {68, 8}, {56, 6}};

/* Asks for the mask before each token of the text. Gives the number of tokens. */
static size_t walk(const TernVocab *v, TernGrammar *g, const char *text) {
    int32_t ids[MOST];
    size_t n;
    TernError err;
    TernGrammarState s = TERN_GRAMMAR_START;
    if (tern_encode(v, text, strlen(text), 0, ids, MOST, &n, &err) != TERN_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        TernGrammarMask mask;
        if (tern_grammar_get_mask(g, s, &mask, &err) != TERN_OK) fail_msg("%s", err.text);
        assert_true(mask.words[ids[i] / 64] >> (ids[i] % 64) & 1);
        if (tern_grammar_accept(g, s, ids[i], &s, &err) != TERN_OK) fail_msg("%s", err.text);
    }
    assert_true(tern_grammar_may_end(g, s));
    return n;
}

static void later_texts_find_masks(void **state) {
    (void)state;
    Fixture f;
    TernError err;
    char *gbnf;
    size_t size;
    TernGrammar *g;
    fixture_read(&f, "gpt-2.vocab");
    if (tern_grammar_of_schema(schema, strlen(schema), &gbnf, &size, &err) != TERN_OK)
        fail_msg("%s", err.text);
    if (tern_grammar_create(f.vocab, gbnf, size, &g, &err) != TERN_OK) fail_msg("%s", err.text);
    uint64_t before = 0;
    for (int i = 0; i < 2 * TEXTS; i++) {
        size_t n = walk(f.vocab, g, texts[i % TEXTS]);
        TernGrammarCounts c = tern_grammar_get_counts(g);
        size_t made = (size_t)(c.made - before);
        before = c.made;
        printf("text %d: %zu tokens, %zu masks made\n", i % TEXTS + 1, n, made);
        assert_int_equal(n, counted[i % TEXTS].tokens);
        assert_int_equal(made, i < TEXTS ? counted[i].made : 0);
    }
    tern_grammar_destroy(g);
    free(gbnf);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(later_texts_find_masks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
