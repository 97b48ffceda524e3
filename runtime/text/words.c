#include "runtime/text/words.h"
#include <string.h>
#include "runtime/text/utf8.h"

/* ---- Building ---- */

TernStatus tn_words_build(TnVocabBuild *b, TnMergeFn *add, void *user, TernError *err) {
    const TernVocabSource *s = b->src;
    if (!s->merges)
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.merges is absent, expected one text a merge");
    if (s->n_merges > TN_MERGES_MAX)
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.merges holds %zu texts, expected at most %u",
                       s->n_merges, TN_MERGES_MAX);
    tn_merges_make(b, s->n_merges);
    for (size_t i = 0; i < s->n_merges; i++) {
        TernText text = s->merges[i];
        const char *space = text.data && text.size > 2 ? memchr(text.data + 1, ' ', text.size - 2) : NULL;
        if (!space || text.size > (1u << 21))
            return tn_fail(err, TERN_ERR_INPUT,
                           "tokenizer.ggml.merges[%zu] is '%.*s', expected two texts separated by a space", i,
                           TN_SHOW(text));
        if (b->bytes.len > (1u << 30))
            return tn_fail(err, TERN_ERR_INPUT,
                           "tokenizer.ggml.merges[%zu]: the texts have over %u bytes in all", i, 1u << 30);
        size_t left = (size_t)(space - text.data);
        TN_TRY(
            add(b, user, i, (TernText){text.data, left}, (TernText){space + 1, text.size - left - 1}, err));
    }
    return TERN_OK;
}

/* ---- Opening ---- */

TernStatus tn_words_check(TernVocab *v, bool characters, TernError *err) {
    TnPretok *pretok;
    uint32_t pre = v->head.pre;
    if (pre >= tn_pre_count() || ((tn_pre_flags(pre) & TN_VOCAB_CHARACTERS) != 0) != characters)
        return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "pre-tokenizer %u, expected one of %s below %u",
                       pre, characters ? "characters" : "bytes", tn_pre_count());
    TN_TRY(tn_merges_check(v, err));
    TN_TRY(tn_pretok_create(pre, &pretok, err));
    v->own = pretok;
    v->pre = tn_pre_name(pre);
    return TERN_OK;
}

void tn_words_close(TernVocab *v) {
    tn_pretok_destroy(v->own);
}

/* ---- Encoding and decoding ---- */

/* Encodes a stretch without special tokens: runs of well-formed UTF-8 word by word, other bytes one by one. */
static TernStatus encode_stretch(TnWords *w, TernText t, TnWordFn *word, TnByteFn *byte, TernError *err) {
    const uint8_t *p = (const uint8_t *)t.data;
    size_t start = 0;
    w->after_unknown = false;
    for (size_t i = 0; i < t.size;) {
        uint32_t point;
        int partial, len = tn_utf8_next(p + i, t.size - i, &point, &partial);
        if (len > 0) {
            i += (size_t)len;
            continue;
        }
        TN_TRY(tn_split_words(w->split, t.data + start, i - start, word, w, err));
        TN_TRY(byte(w, p + i, err));
        start = ++i;
    }
    return tn_split_words(w->split, t.data + start, t.size - start, word, w, err);
}

TernStatus tn_words_encode(TnEncoder *e, TnWordFn *word, TnByteFn *byte, TernError *err) {
    size_t size = tn_encoder_size(e);
    const TernVocab *v = tn_encoder_vocab(e);
    TnWords w = {.encoder = e, .v = v, .split = tn_split_begin(v->own, size)};
    if (!w.split) return tn_fail(err, TERN_ERR_MEMORY, "no memory to tokenize a text of %zu bytes", size);
    TernStatus st = TERN_OK;
    for (TernText t; st == TERN_OK && tn_encoder_next(e, &t);) st = encode_stretch(&w, t, word, byte, err);
    tn_bpe_free(&w.bpe);
    tn_split_end(w.split);
    return st;
}

TernText tn_words_decode(const TernVocab *v, uint32_t id, bool first) {
    (void)first;
    return tn_symbol_bytes(v, id);
}
