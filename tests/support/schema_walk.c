/* Random texts of the grammars of JSON schemas, for tests/support/schemas.py.
 *
 * Reads a schema on each line. For each it writes "refused LINE", or "made N" and then N texts, each as its count of bytes,
 * a newline, the bytes, a newline. A text is a random walk through the masks; one that does not end is left out. */
#include "runtime/base/buf.h"
#include "runtime/text/grammar.h"
#include "text/vocab_file.h"

enum { TEXTS = 3, SHORT = 250, LONG = 1500 };

static const char *const pieces[] = {"\":",
                                     "\",",
                                     "\"}",
                                     "\":\xc4\xa0",
                                     "\",\xc4\xa0\"",
                                     "}]",
                                     "}}",
                                     "]}",
                                     "true",
                                     "false",
                                     "null",
                                     "{\"",
                                     "[\"",
                                     "[]",
                                     "{}",
                                     "0.",
                                     "12",
                                     "-1",
                                     "the",
                                     "\\u00",
                                     "\\n",
                                     "\xc3\x83\xc2\xa9",
                                     "\xc3\xa2\xc4\xab",
                                     "20",
                                     "-0",
                                     "e+",
                                     "name",
                                     "\xc4\x8a",
                                     "\xc4\x8a\xc4\xa0\xc4\xa0"};

static TernVocab *make_vocab(Fixture *f) {
    fixture_start(f, "gpt-2");
    fixture_bytes(f);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        fixture_token(f, TERN_TOKEN_NORMAL, pieces[i]);
    fixture_open(f);
    return f->vocab;
}

static bool has(const TernGrammarMask *m, int32_t id) {
    return m->words[id / 64] >> (id % 64) & 1;
}

/* Likes what JSON is made of, and after a while what closes it. */
static int32_t next_id(const TernGrammarMask *m, int32_t n_tokens, int n, uint64_t *seed) {
    static const char closing[] = "\"}]e5", usual[] = "\",:{}[]019tfn-.aT";
    if (n > SHORT)
        for (const char *c = closing; *c; c++)
            if (has(m, *c) && test_random(seed) % 8) return *c;
    for (int tries = 0; tries < 6 && test_random(seed) % 2; tries++) {
        char c = usual[test_random(seed) % (sizeof usual - 1)];
        if (has(m, c)) return c;
    }
    int32_t id = -1, seen = 0;
    for (int32_t i = 0; i < n_tokens; i++)
        if (has(m, i) && test_random(seed) % (uint32_t)++seen == 0) id = i;
    return id;
}

/* Alternatives that overlap and nest have more readings at each level: such a walk is left out too. */
static bool too_many(const TernError *err) {
    if (!strstr(err->text, "needs too much")) fail_msg("%s", err->text);
    return false;
}

/* A walk; false if it did not end. */
static bool walk(const TernVocab *v, TernGrammar *g, uint64_t *seed, TnBuf *out) {
    TernGrammarState s = TERN_GRAMMAR_START;
    int32_t n_tokens = (int32_t)tern_vocab_get_facts(v).n_tokens;
    out->len = 0;
    for (int n = 0; n < LONG; n++) {
        TernGrammarMask mask;
        TernError err;
        if (tern_grammar_get_mask(g, s, &mask, &err) != TERN_OK) return too_many(&err);
        bool may_end = tern_grammar_may_end(g, s);
        if (may_end && (mask.n_allowed == 0 || n > SHORT || test_random(seed) % 3 == 0)) return true;
        int32_t id = next_id(&mask, n_tokens, n, seed);
        if (id < 0) fail_msg("no token after '%.*s'", (int)out->len, out->data);
        if (tern_grammar_accept(g, s, id, &s, &err) != TERN_OK) return too_many(&err);
        TernText t = tern_token_get_bytes(v, id);
        tn_buf_put(out, t.data, t.size);
    }
    return false;
}

static void do_schema(const TernVocab *v, const char *line, size_t size, uint64_t *seed) {
    TernError err;
    char *text;
    size_t n_text;
    TernGrammar *g;
    TnBuf texts = {0}, one = {0};
    int n = 0;
    if (tern_grammar_of_schema(line, size, &text, &n_text, &err) != TERN_OK) {
        printf("refused %s\n", err.text);
        return;
    }
    if (tern_grammar_create(v, text, n_text, &g, &err) != TERN_OK) fail_msg("%s\n%s", err.text, text);
    for (int i = 0; i < TEXTS; i++) {
        if (!walk(v, g, seed, &one)) continue;
        n++;
        tn_buf_printf(&texts, "%zu\n", one.len);
        tn_buf_put(&texts, one.data, one.len);
        tn_buf_puts(&texts, "\n");
    }
    printf("made %d\n", n);
    if (n) fwrite(texts.data, 1, texts.len, stdout);
    tern_grammar_destroy(g);
    free(text);
    tn_buf_free(&texts);
    tn_buf_free(&one);
}

int main(int argc, char **argv) {
    Fixture f;
    const TernVocab *v = make_vocab(&f);
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) do_schema(v, line, (size_t)n, &seed);
    free(line);
    fixture_close(&f);
    return 0;
}
