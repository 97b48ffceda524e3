/* Text to ids: special tokens are cut out, the rest is split into words, words are merged into tokens. */
#include <stdlib.h>
#include "runtime/text/utf8.h"
#include "runtime/base/options.h"
#include "runtime/text/vocab.h"

typedef struct Encoder {
    const TernVocab *v;
    TnPretok *pretok;
    TnBpe bpe;
    uint32_t *ids;
    size_t cap, n;
} Encoder;

static void emit(Encoder *e, uint32_t id) {
    if (e->ids && e->n < e->cap) e->ids[e->n] = id;
    e->n++;
}

/* ---- Words ---- */

static TernStatus emit_byte(Encoder *e, uint8_t byte, TernError *err) {
    uint32_t symbol = e->v->head.byte_symbol[byte];
    if (symbol >= e->v->head.n_tokens)
        return tn_fail(err, TERN_ERR_INPUT,
                       "the text has a byte 0x%02x, for which the vocabulary has no token", byte);
    emit(e, symbol);
    return TERN_OK;
}

static TernStatus encode_word(void *user, const char *text, size_t size, TernError *err) {
    Encoder *e = user;
    const TernVocab *v = e->v;
    const uint8_t *word = (const uint8_t *)text;
    if (size == 1) return emit_byte(e, word[0], err);
    if (v->head.flags & TN_VOCAB_IGNORE_MERGES) {
        uint32_t symbol = tn_symbol_find(v, word, size);
        if (symbol < v->head.n_tokens) {
            emit(e, symbol);
            return TERN_OK;
        }
    }
    size_t n;
    TN_TRY(tn_bpe_word(v, &e->bpe, word, size, &n, err));
    const TnBpeOut *out = e->bpe.out;
    for (size_t i = 0; i < n; i++) {
        if (out[i].symbol < v->head.n_tokens) {
            emit(e, out[i].symbol);
            continue;
        }
        /* A piece that merges make and that has no token of its own. */
        size_t end = i + 1 < n ? out[i + 1].start : size;
        for (size_t k = out[i].start; k < end; k++) TN_TRY(emit_byte(e, word[k], err));
    }
    return TERN_OK;
}

/* Text without special tokens: runs of well-formed UTF-8 through the pre-tokenizer, other bytes one by one.
 */
static TernStatus encode_raw(Encoder *e, const char *text, size_t size, TernError *err) {
    const uint8_t *p = (const uint8_t *)text;
    size_t start = 0;
    for (size_t i = 0; i < size;) {
        uint32_t point;
        int partial, len = tn_utf8_next(p + i, size - i, &point, &partial);
        if (len > 0) {
            i += (size_t)len;
            continue;
        }
        TN_TRY(tn_pretok_split(e->v, e->pretok, text + start, i - start, encode_word, e, err));
        TN_TRY(emit_byte(e, p[i], err));
        start = ++i;
    }
    return tn_pretok_split(e->v, e->pretok, text + start, size - start, encode_word, e, err);
}

/* ---- Special tokens ---- */

/* A stretch of the text: raw, or one special token. */
typedef struct Part {
    size_t start, size;
    uint32_t token; /* TERN_NO_TOKEN: raw */
} Part;
typedef struct Parts {
    Part *v;
    size_t n, cap;
} Parts;

static bool put_part(Parts *list, size_t start, size_t size, uint32_t token) {
    if (size == 0) return true;
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        Part *v = realloc(list->v, cap * sizeof *v);
        if (!v) return false;
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = (Part){start, size, token};
    return true;
}

static bool is_wanted(const TernVocab *v, uint32_t id, uint32_t flags) {
    return (flags & TERN_ENCODE_PARSE_SPECIAL) || !tn_type_is_control(tn_token_type(v, id));
}

/* Marks the special tokens that occur anywhere, so that the many that do not cost one glance at the text. */
static void mark_occurring(const TernVocab *v, const char *text, size_t size, uint32_t flags,
                           uint8_t *occurs) {
    uint8_t mask = flags & TERN_ENCODE_PARSE_SPECIAL ? 3 : 1;
    for (size_t i = 0; i < size; i++) {
        if (!(v->special_first[(uint8_t)text[i]] & mask)) continue;
        for (uint32_t s = 0; s < v->head.n_specials; s++) {
            if (occurs[s]) continue;
            uint32_t id = tn_word(v->specials, s);
            TernText t = tn_symbol_bytes(v, id);
            if (t.data[0] == text[i] && t.size <= size - i && memcmp(t.data, text + i, t.size) == 0)
                occurs[s] = is_wanted(v, id, flags);
        }
    }
}

/* Cuts one token out of all raw parts, left to right. */
static bool cut_out(const char *text, TernText token, uint32_t id, const Parts *from, Parts *to) {
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        Part part = from->v[i];
        if (part.token != TERN_NO_TOKEN) {
            if (!put_part(to, part.start, part.size, part.token)) return false;
            continue;
        }
        size_t at = part.start, end = part.start + part.size;
        const char *hit;
        while (at < end && (hit = memmem(text + at, end - at, token.data, token.size))) {
            size_t start = (size_t)(hit - text);
            if (!put_part(to, at, start - at, TERN_NO_TOKEN) || !put_part(to, start, token.size, id))
                return false;
            at = start + token.size;
        }
        if (!put_part(to, at, end - at, TERN_NO_TOKEN)) return false;
    }
    return true;
}

/* The longest tokens are cut out of the whole text first, so a short one never breaks a longer one up. */
static bool partition(const TernVocab *v, const char *text, size_t size, uint32_t flags, Parts *parts) {
    if (!put_part(parts, 0, size, TERN_NO_TOKEN)) return false;
    if (v->head.n_specials == 0 || size == 0) return true;
    uint8_t *occurs = calloc(v->head.n_specials, 1);
    if (!occurs) return false;
    mark_occurring(v, text, size, flags, occurs);
    Parts other = {0};
    bool ok = true;
    for (uint32_t s = 0; s < v->head.n_specials && ok; s++) {
        if (!occurs[s]) continue;
        uint32_t id = tn_word(v->specials, s);
        ok = cut_out(text, tn_symbol_bytes(v, id), id, parts, &other);
        Parts swap = *parts;
        *parts = other;
        other = swap;
    }
    free(other.v);
    free(occurs);
    return ok;
}

static TernStatus encode(Encoder *e, const char *text, size_t size, uint32_t flags, Parts *parts,
                         TernError *err) {
    const TnVocabHead *h = &e->v->head;
    e->pretok = tn_pretok_begin(size);
    if (!e->pretok || !partition(e->v, text, size, flags, parts))
        return tn_fail(err, TERN_ERR_MEMORY, "no memory to tokenize a text of %zu bytes", size);
    bool around = flags & TERN_ENCODE_ADD_SPECIAL;
    if (around && (h->flags & TN_VOCAB_ADD_BOS) && h->bos != TERN_NO_TOKEN) emit(e, h->bos);
    for (size_t i = 0; i < parts->n; i++) {
        Part part = parts->v[i];
        if (part.token != TERN_NO_TOKEN)
            emit(e, part.token);
        else
            TN_TRY(encode_raw(e, text + part.start, part.size, err));
    }
    if (around && (h->flags & TN_VOCAB_ADD_EOS) && h->eos != TERN_NO_TOKEN) emit(e, h->eos);
    return TERN_OK;
}

TernStatus tern_encode(const TernVocab *vocab, const char *text, size_t size, uint32_t flags, uint32_t *ids,
                       size_t cap, size_t *out_n, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_n, err);
    *out_n = 0;
    TN_NEED(vocab, err);
    if (size) TN_NEED(text, err);
    if (flags & ~(uint32_t)(TERN_ENCODE_ADD_SPECIAL | TERN_ENCODE_PARSE_SPECIAL))
        return tn_fail(err, TERN_ERR_INPUT, "flags is 0x%x, expected some of 0x3", flags);
    if (size > (1u << 30))
        return tn_fail(err, TERN_ERR_INPUT, "the text has %zu bytes, wanted at most %u", size, 1u << 30);
    Encoder e = {.v = vocab, .ids = ids, .cap = cap};
    Parts parts = {0};
    TernStatus status = encode(&e, text, size, flags, &parts, err);
    free(parts.v);
    tn_bpe_free(&e.bpe);
    tn_pretok_end(e.pretok);
    if (status != TERN_OK) return status;
    *out_n = e.n;
    if (ids && e.n > cap)
        return tn_fail(err, TERN_ERR_INPUT, "the text has %zu tokens, and there is room for %zu", e.n, cap);
    return TERN_OK;
}
