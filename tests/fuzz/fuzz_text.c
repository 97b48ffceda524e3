/* Any bytes are a vocabulary image or are refused; any text encodes and decodes to itself with a good one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "runtime/text/text.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TernError err = {0};
    TernVocab *vocab = NULL;
    size_t n_ids = 0, n_text = 0;
    if (n && data[0] & 1) {
        size_t rest = n - 1;
        void *image = aligned_alloc(64, (rest + 64) & ~(size_t)63);
        memcpy(image, data + 1, rest);
        if (tern_vocab_open(image, rest, &vocab, &err) == TERN_OK) {
            int32_t ids[64];
            (void)tern_encode(vocab, "fuzz the 12 vocabularies", 24, 0, ids, 64, &n_ids, &err);
            for (size_t i = 0; i < n_ids && i < 64; i++) (void)tern_token_get_bytes(vocab, ids[i]);
            tern_vocab_close(vocab);
        }
        free(image);
        return 0;
    }
    const char *text = (const char *)data + (n > 0);
    size_t size = n - (n > 0);
    vocab = good();
    if (tern_encode(vocab, text, size, 0, NULL, 0, &n_ids, &err) != TERN_OK && n_ids == 0) return 0;
    int32_t *ids = calloc(n_ids + 1, sizeof *ids);
    char *back = calloc(size + 64, 1);
    TN_CHECK(tern_encode(vocab, text, size, 0, ids, n_ids, &n_ids, &err) == TERN_OK);
    TernStatus s = tern_decode(vocab, ids, n_ids, 0, back, size + 64, &n_text, &err);
    if (s == TERN_OK) TN_CHECK(n_text == size && memcmp(back, text, size) == 0);
    free(ids);
    free(back);
    return 0;
}
