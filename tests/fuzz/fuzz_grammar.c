/* Any bytes are GBNF or are refused, any bytes are a schema or are refused; and masks say what single ids say. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "runtime/text/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static TernVocab *good(void) {
    static TernVocab *vocab;
    if (vocab) return vocab;
    static TnGguf *gguf; /* the vocabulary borrows from it */
    const void *image;
    size_t bytes;
    TernError err = {0};
    if (tn_gguf_open(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", true, &gguf, &err) ||
        tn_gguf_vocab(gguf, &image, &bytes, &err) || tern_vocab_open(image, bytes, &vocab, &err))
        TN_BUG("%s", err.text);
    return vocab;
}

/* A few steps, each to the allowed id that a byte of the input picks. */
static void walk(TernGrammar *g, const uint8_t *data, size_t n) {
    TernGrammarState s = TERN_GRAMMAR_START;
    TernError err = {0};
    for (size_t step = 0; step < 6 && step < n; step++) {
        TernGrammarMask mask;
        if (tern_grammar_get_mask(g, s, &mask, &err) != TERN_OK || mask.n_allowed == 0) return;
        size_t which = data[step] % mask.n_allowed;
        int32_t id = 0;
        while (!(mask.words[id / 64] >> (id % 64) & 1) || which-- > 0) id++;
        bool allowed = false;
        TernStatus st = tern_grammar_allows(g, s, id, &allowed, &err);
        TN_CHECK(st != TERN_OK || allowed);
        st = tern_grammar_accept(g, s, id, &s, &err);
        if (st != TERN_OK) return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TernError err = {0};
    TernGrammar *g = NULL;
    char *text = NULL;
    size_t size = 0;
    if (n == 0) return 0;
    bool schema = data[0] & 1;
    const char *rest = (const char *)data + 1;
    if (schema && tern_grammar_of_schema(rest, n - 1, &text, &size, &err) != TERN_OK) return 0;
    TernStatus st = tern_grammar_create(good(), schema ? text : rest, schema ? size : n - 1, &g, &err);
    if (schema && st != TERN_OK) TN_BUG("%s\n%s", err.text, text);
    if (st == TERN_OK) walk(g, data + 1, n - 1);
    tern_grammar_destroy(g);
    free(text);
    return 0;
}
