/* Text to ids: cuts special tokens out and gives the stretches between them to the tokenizer. */
#include <stdlib.h>
#include "runtime/base/options.h"
#include "runtime/text/chat.h"
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

/* A special token that occurs in the text, by its row of specials: longer ones have lower rows. */
typedef struct Hit {
    size_t start;
    uint32_t row;
} Hit;

typedef struct Hits {
    Hit *v;
    size_t n, cap;
} Hits;

static bool put_hit(Hits *hits, size_t start, uint32_t row) {
    if (hits->n == hits->cap) {
        size_t cap = hits->cap ? hits->cap * 2 : 16;
        Hit *v = realloc(hits->v, cap * sizeof *v);
        if (!v) return false;
        hits->v = v;
        hits->cap = cap;
    }
    hits->v[hits->n++] = (Hit){start, row};
    return true;
}

/* Adds the token of the group that stands at text[at], if there is one. */
static bool hit_group(const TernVocab *v, const Group *g, const char *text, size_t at, uint32_t flags,
                      Hits *hits) {
    size_t low = 0, high = g->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(tn_special_text(v, g->rows[middle]).data, text + at, g->size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < g->n && memcmp(tn_special_text(v, g->rows[low]).data, text + at, g->size) == 0; low++)
        if (is_asked_for(v, tn_word(v->specials, g->rows[low]), flags))
            return put_hit(hits, at, g->rows[low]); /* of equal ones the first counts */
    return true;
}

/* Finds the special tokens of the text. Most bytes begin none, and one look rules those out. */
static bool find_hits(const TernVocab *v, const char *text, size_t size, uint32_t flags, Hits *hits) {
    uint8_t mask = flags & TERN_ENCODE_PARSE_SPECIAL ? 3 : 1;
    size_t n = 0;
    Group *groups = group_specials(v, flags, &n);
    bool ok = groups != NULL;
    for (size_t i = 0; ok && i < size; i++) {
        if (!(v->special_first[(uint8_t)text[i]] & mask)) continue;
        for (size_t k = 0; k < n && ok; k++)
            if (groups[k].begins[(uint8_t)text[i]] && groups[k].size <= size - i)
                ok = hit_group(v, &groups[k], text, i, flags, hits);
    }
    free(groups);
    return ok;
}

static int by_row(const void *a, const void *b) {
    const Hit *x = a, *y = b;
    if (x->row != y->row) return x->row < y->row ? -1 : 1;
    return (x->start > y->start) - (x->start < y->start);
}

static int by_start(const void *a, const void *b) {
    const Hit *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Keeps the hits that count. A longer token goes before a shorter one, so that a short one never breaks up a longer one,
 * and of one token the first goes first. What is taken already is thus at least as long as a hit, and covers its first or
 * its last byte if it overlaps it. */
static bool keep_longest(const TernVocab *v, size_t size, Hits *hits) {
    bool *taken = calloc(size, sizeof *taken);
    if (!taken) return false;
    qsort(hits->v, hits->n, sizeof *hits->v, by_row);
    size_t n = 0;
    for (size_t i = 0; i < hits->n; i++) {
        Hit h = hits->v[i];
        size_t last = h.start + tn_special_text(v, h.row).size - 1;
        if (taken[h.start] || taken[last]) continue;
        memset(taken + h.start, true, last + 1 - h.start);
        hits->v[n++] = h;
    }
    hits->n = n;
    qsort(hits->v, n, sizeof *hits->v, by_start);
    free(taken);
    return true;
}

static bool put_parts(const TernVocab *v, size_t size, const Hits *hits, Parts *parts) {
    size_t at = 0;
    for (size_t i = 0; i < hits->n; i++) {
        Hit h = hits->v[i];
        size_t n = tn_special_text(v, h.row).size;
        if (!put_part(parts, at, h.start - at, TN_EMPTY) ||
            !put_part(parts, h.start, n, tn_word(v->specials, h.row)))
            return false;
        at = h.start + n;
    }
    return put_part(parts, at, size - at, TN_EMPTY);
}

/* Drops control tokens that have a byte of the user's. The hits are in the order of the text, and so are the spans. */
static void drop_users(const TernVocab *v, const TernChatText *chat, Hits *hits) {
    size_t n = 0, span = 0, end = 0; /* end: of the spans before `span` */
    for (size_t i = 0; i < hits->n; i++) {
        Hit h = hits->v[i];
        bool control = tn_type_is_control(tn_token_type(v, tn_word(v->specials, h.row))), user = false;
        while (span < chat->n_spans && end + chat->spans[span].size <= h.start)
            end += chat->spans[span++].size;
        size_t last = h.start + tn_special_text(v, h.row).size;
        for (size_t k = span, at = end; k < chat->n_spans && at < last; at += chat->spans[k++].size)
            user |= chat->spans[k].user;
        if (!control || !user) hits->v[n++] = h;
    }
    hits->n = n;
}

/* Cuts the special tokens out of the text. chat NULL: all of it is trusted. */
static bool partition(const TernVocab *v, const TernText *t, uint32_t flags, const TernChatText *chat,
                      Parts *parts) {
    const char *text = t->data;
    size_t size = t->size;
    Hits hits = {0};
    bool ok = v->head.n_specials == 0 || find_hits(v, text, size, flags, &hits);
    if (ok && chat) drop_users(v, chat, &hits);
    ok = ok && (hits.n == 0 || keep_longest(v, size, &hits)) && put_parts(v, size, &hits, parts);
    free(hits.v);
    return ok;
}

/* ---- The whole ---- */

struct TnEncoder {
    const TernVocab *v;
    TernText text;
    const TernChatText *chat; /* NULL: none */
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
    if (!partition(e->v, &e->text, flags, e->chat, &e->parts))
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

static TernStatus whole(TnEncoder e, uint32_t flags, size_t *out_n, TernError *err) {
    TernStatus status = encode(&e, flags, err);
    free(e.parts.v);
    if (status != TERN_OK) return status;
    *out_n = e.n;
    if (e.ids && e.n > e.cap)
        return tn_fail(err, TERN_ERR_INPUT, "the text has %zu tokens, and there is room for %zu", e.n, e.cap);
    return TERN_OK;
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
    return whole((TnEncoder){.v = vocab, .text = {text, size}, .ids = ids, .cap = cap}, flags, out_n, err);
}
TernStatus tern_chat_encode(const TernVocab *vocab, const TernChatText *chat, int32_t *ids, size_t cap,
                            size_t *out_n, TernError *err) {
    size_t sum = 0;
    tn_error_clear(err);
    TN_NEED(out_n, err);
    *out_n = 0;
    TN_NEED(vocab, err);
    TN_NEED(chat, err);
    if (chat->size) TN_NEED(chat->data, err);
    if (chat->n_spans) TN_NEED(chat->spans, err);
    if (chat->size > (1u << 30))
        return tn_fail(err, TERN_ERR_INPUT, "the text has %zu bytes, expected at most %u", chat->size,
                       1u << 30);
    for (size_t i = 0; i < chat->n_spans; i++)
        if (__builtin_add_overflow(sum, chat->spans[i].size, &sum)) sum = SIZE_MAX;
    if (sum != chat->size)
        return tn_fail(err, TERN_ERR_INPUT, "the spans cover %zu bytes, expected %zu", sum, chat->size);
    TnEncoder e = {.v = vocab, .text = {chat->data, chat->size}, .chat = chat, .ids = ids, .cap = cap};
    return whole(e, TERN_ENCODE_PARSE_SPECIAL, out_n, err);
}
