/* Text to ids: cuts special tokens out and gives the stretches between them to the tokenizer. */
#include <stdlib.h>
#include "runtime/base/options.h"
#include "runtime/text/tokenizer.h"

/* ---- Special tokens ---- */

/* A stretch of the text: raw, or one special token. */
typedef struct Part {
    size_t start, size;
    uint32_t token; /* TN_EMPTY: raw */
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

static bool is_asked_for(const TernVocab *v, uint32_t id, uint32_t flags) {
    return (flags & TERN_ENCODE_PARSE_SPECIAL) || !tn_type_is_control(tn_token_type(v, id));
}

/* The special tokens of one size, ordered by their bytes, and the first bytes of those that are asked for. */
typedef struct Group {
    const uint32_t *rows; /* of specials */
    size_t n, size;
    bool begins[256];
} Group;

static Group *group_specials(const TernVocab *v, uint32_t flags, size_t *out_n) {
    Group *groups = NULL;
    size_t n = 0, cap = 0;
    for (uint32_t i = 0; i < v->head.n_specials; i++) {
        uint32_t row = v->special_order[i];
        TernText t = tn_special_text(v, row);
        if (n == 0 || groups[n - 1].size != t.size) {
            if (n == cap) {
                cap = cap ? cap * 2 : 8;
                Group *more = realloc(groups, cap * sizeof *groups);
                if (!more) {
                    free(groups);
                    return NULL;
                }
                groups = more;
            }
            groups[n++] = (Group){.rows = v->special_order + i, .size = t.size};
        }
        groups[n - 1].n++;
        if (is_asked_for(v, tn_word(v->specials, row), flags))
            groups[n - 1].begins[(uint8_t)t.data[0]] = true;
    }
    *out_n = n;
    return groups;
}

/* Marks the tokens of the group with which the text begins. */
static void mark_group(const TernVocab *v, const Group *g, const char *text, uint32_t flags,
                       uint8_t *occurs) {
    size_t low = 0, high = g->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(tn_special_text(v, g->rows[middle]).data, text, g->size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < g->n && memcmp(tn_special_text(v, g->rows[low]).data, text, g->size) == 0; low++)
        occurs[g->rows[low]] = is_asked_for(v, tn_word(v->specials, g->rows[low]), flags);
}

/* Marks the special tokens that occur anywhere in the text. Most do not, and one look at the text rules them all out. */
static bool mark_occurring(const TernVocab *v, const char *text, size_t size, uint32_t flags,
                           uint8_t *occurs) {
    uint8_t mask = flags & TERN_ENCODE_PARSE_SPECIAL ? 3 : 1;
    size_t n = 0;
    Group *groups = group_specials(v, flags, &n);
    for (size_t i = 0; groups && i < size; i++) {
        if (!(v->special_first[(uint8_t)text[i]] & mask)) continue;
        for (size_t k = 0; k < n; k++)
            if (groups[k].begins[(uint8_t)text[i]] && groups[k].size <= size - i)
                mark_group(v, &groups[k], text + i, flags, occurs);
    }
    bool ok = groups != NULL;
    free(groups);
    return ok;
}

/* Cuts one token out of all raw parts, left to right. */
static bool cut_out(const char *text, TernText token, uint32_t id, const Parts *from, Parts *to) {
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        Part part = from->v[i];
        if (part.token != TN_EMPTY) {
            if (!put_part(to, part.start, part.size, part.token)) return false;
            continue;
        }
        size_t at = part.start, end = part.start + part.size;
        const char *hit;
        while (at < end && (hit = memmem(text + at, end - at, token.data, token.size))) {
            size_t start = (size_t)(hit - text);
            if (!put_part(to, at, start - at, TN_EMPTY) || !put_part(to, start, token.size, id)) return false;
            at = start + token.size;
        }
        if (!put_part(to, at, end - at, TN_EMPTY)) return false;
    }
    return true;
}

/* Cuts the longest tokens out of the whole text first, so that a short one never breaks up a longer one. */
static bool partition(const TernVocab *v, const char *text, size_t size, uint32_t flags, Parts *parts) {
    if (!put_part(parts, 0, size, TN_EMPTY)) return false;
    if (v->head.n_specials == 0 || size == 0) return true;
    uint8_t *occurs = calloc(v->head.n_specials, 1);
    if (!occurs) return false;
    Parts other = {0};
    bool ok = mark_occurring(v, text, size, flags, occurs);
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

/* ---- The whole ---- */

struct TnEncoder {
    const TernVocab *v;
    TernText text;
    Parts parts;
    size_t part;
    int32_t *ids;
    size_t cap, n;
};

const TernVocab *tn_encoder_vocab(const TnEncoder *e) {
    return e->v;
}

size_t tn_encoder_size(const TnEncoder *e) {
    return e->text.size;
}

void tn_encoder_emit(TnEncoder *e, uint32_t id) {
    if (e->ids && e->n < e->cap) e->ids[e->n] = (int32_t)id;
    e->n++;
}

TernStatus tn_encoder_emit_byte(TnEncoder *e, uint8_t byte, TernError *err) {
    uint32_t symbol = e->v->head.byte_symbol[byte];
    if (symbol >= e->v->head.n_tokens)
        return tn_fail(err, TERN_ERR_INPUT,
                       "the text has a byte 0x%02x, for which the vocabulary has no token", byte);
    tn_encoder_emit(e, symbol);
    return TERN_OK;
}

bool tn_encoder_next(TnEncoder *e, TernText *out) {
    while (e->part < e->parts.n) {
        Part part = e->parts.v[e->part++];
        *out = (TernText){e->text.data + part.start, part.size};
        if (part.token == TN_EMPTY) return true;
        tn_encoder_emit(e, part.token);
    }
    return false;
}

static TernStatus encode(TnEncoder *e, uint32_t flags, TernError *err) {
    const TnVocabHead *h = &e->v->head;
    if (!partition(e->v, e->text.data, e->text.size, flags, &e->parts))
        return tn_fail(err, TERN_ERR_MEMORY, "no memory to tokenize a text of %zu bytes", e->text.size);
    bool around = flags & TERN_ENCODE_ADD_SPECIAL;
    if (around && (h->flags & TN_VOCAB_ADD_BOS) && h->bos != TN_EMPTY) tn_encoder_emit(e, h->bos);
    TN_TRY(e->v->tokenizer->encode(e, err));
    if (around && (h->flags & TN_VOCAB_ADD_EOS) && h->eos != TN_EMPTY) tn_encoder_emit(e, h->eos);
    return TERN_OK;
}

size_t tern_encode_most(const TernVocab *vocab, size_t size) {
    return vocab ? size + 2 + (size_t)vocab->tokenizer->more_ids * (size + 1) : 0;
}

TernStatus tern_encode(const TernVocab *vocab, const char *text, size_t size, uint32_t flags, int32_t *ids,
                       size_t cap, size_t *out_n, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_n, err);
    *out_n = 0;
    TN_NEED(vocab, err);
    if (size) TN_NEED(text, err);
    if (flags & ~(uint32_t)(TERN_ENCODE_ADD_SPECIAL | TERN_ENCODE_PARSE_SPECIAL))
        return tn_fail(err, TERN_ERR_INPUT, "flags is 0x%x, expected some of 0x3", flags);
    if (size > (1u << 30))
        return tn_fail(err, TERN_ERR_INPUT, "the text has %zu bytes, expected at most %u", size, 1u << 30);
    TnEncoder e = {.v = vocab, .text = {text, size}, .ids = ids, .cap = cap};
    TernStatus status = encode(&e, flags, err);
    free(e.parts.v);
    if (status != TERN_OK) return status;
    *out_n = e.n;
    if (ids && e.n > cap)
        return tn_fail(err, TERN_ERR_INPUT, "the text has %zu tokens, and there is room for %zu", e.n, cap);
    return TERN_OK;
}
