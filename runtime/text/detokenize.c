/* Ids to bytes, all at once or as a stream that never cuts a character in two. */
#include <stdlib.h>
#include "runtime/base/options.h"
#include "runtime/text/utf8.h"
#include "runtime/text/tokenizer.h"

/* Gives the bytes of a token that appear in the text. The first token that appears at all clears *first. */
static TernStatus shown_bytes(const TernVocab *v, int32_t id, uint32_t flags, bool *first, TernText *out,
                              TernError *err) {
    *out = (TernText){"", 0};
    if (!tn_is_token(v, id))
        return tn_fail(err, TERN_ERR_INPUT, "token id %d is not in the vocabulary of %u", id,
                       v->head.n_tokens);
    if (!(flags & TERN_DECODE_CONTROL) && tn_type_is_control(tn_token_type(v, (uint32_t)id))) return TERN_OK;
    *out = v->tokenizer->decode(v, (uint32_t)id, *first);
    *first = false;
    return TERN_OK;
}

static TernStatus check_flags(uint32_t flags, TernError *err) {
    if (flags & ~(uint32_t)TERN_DECODE_CONTROL)
        return tn_fail(err, TERN_ERR_INPUT, "flags is 0x%x, expected 0 or 0x1", flags);
    return TERN_OK;
}

TernStatus tern_decode(const TernVocab *vocab, const int32_t *ids, size_t n, uint32_t flags, char *out,
                       size_t cap, size_t *out_n, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_n, err);
    *out_n = 0;
    TN_NEED(vocab, err);
    if (n) TN_NEED(ids, err);
    TN_TRY(check_flags(flags, err));
    size_t total = 0;
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        TernText t;
        TN_TRY(shown_bytes(vocab, ids[i], flags, &first, &t, err));
        if (out && total < cap) memcpy(out + total, t.data, t.size < cap - total ? t.size : cap - total);
        total += t.size;
    }
    *out_n = total;
    if (out && total > cap)
        return tn_fail(err, TERN_ERR_INPUT, "the tokens have %zu bytes, and there is room for %zu", total,
                       cap);
    return TERN_OK;
}

/* ---- The stream ---- */

struct TernDetok {
    const TernVocab *vocab;
    uint32_t flags;
    size_t n_held,
        shown;    /* bytes[shown .. shown + n_held) are held back; the caller may still read those before */
    char bytes[]; /* room for the bytes held back and one token */
};

TernStatus tern_detok_create(const TernVocab *vocab, uint32_t flags, TernDetok **out_detok, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_detok, err);
    *out_detok = NULL;
    TN_NEED(vocab, err);
    TN_TRY(check_flags(flags, err));
    size_t bytes = sizeof(TernDetok) + 4 + vocab->max_token_bytes;
    TernDetok *d = calloc(1, bytes);
    if (!d) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a detokenizer (%zu bytes)", bytes);
    d->vocab = vocab;
    d->flags = flags;
    *out_detok = d;
    return TERN_OK;
}

void tern_detok_destroy(TernDetok *detok) {
    free(detok);
}

TernStatus tern_detok_push(TernDetok *d, int32_t id, const char **out_bytes, size_t *out_size,
                           TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_bytes, err);
    TN_NEED(out_size, err);
    if (!d) return tn_fail_null("detok", err);
    *out_bytes = "";
    *out_size = 0;
    TernText t;
    bool first = false; /* a stream continues a prompt, so its first token is not the first of a text */
    TN_TRY(shown_bytes(d->vocab, id, d->flags, &first, &t, err));
    memmove(d->bytes, d->bytes + d->shown, d->n_held);
    memcpy(d->bytes + d->n_held, t.data, t.size);
    size_t n = d->n_held + t.size;
    d->n_held = tn_utf8_partial_tail(d->bytes, n);
    d->shown = n - d->n_held;
    *out_bytes = d->bytes;
    *out_size = d->shown;
    return TERN_OK;
}

void tern_detok_flush(TernDetok *d, const char **out_bytes, size_t *out_size) {
    if (!d || !out_bytes || !out_size) {
        if (out_bytes) *out_bytes = "";
        if (out_size) *out_size = 0;
        return;
    }
    *out_bytes = d->bytes + d->shown;
    *out_size = d->n_held;
    d->shown = d->n_held = 0;
}
