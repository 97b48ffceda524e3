/* Opens a vocabulary image. Checks once everything that later code relies on: ranges, ids, free slots. */
#include <pthread.h>
#include <stdlib.h>
#include "runtime/base/options.h"
#include "runtime/base/reader.h"
#include "runtime/text/tokenizer.h"

/* Checks that a section lies within the image, and gives its start. */
static bool section(const TernVocab *v, const uint8_t *image, uint32_t at, uint64_t count, uint64_t bytes,
                    const uint8_t **out) {
    *out = image + at;
    return at >= sizeof v->head && tn_range_ok(at, count * bytes, v->head.image_bytes);
}

static bool id_ok(uint32_t id, uint32_t n) {
    return id < n || id == TN_EMPTY;
}

static TernStatus check_head(TernVocab *v, const uint8_t *image, size_t size, TernError *err) {
    TnVocabHead *h = &v->head;
    TnReader r = tn_reader(image, size);
    const void *p = image ? tn_read(&r, sizeof *h) : NULL;
    if (!p)
        return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "it has %zu bytes, expected at least %zu", size,
                       sizeof *h);
    memcpy(h, p, sizeof *h);
    if (memcmp(h->magic, TN_VOCAB_MAGIC, 8) != 0)
        return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "it starts with '%.8s', expected TNVOCAB",
                       h->magic);
    if (h->version != TN_VOCAB_VERSION)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "the vocabulary image has version %u, expected %u",
                       h->version, TN_VOCAB_VERSION);
    if (h->head_bytes != sizeof *h || h->image_bytes > size || h->image_bytes > UINT32_MAX)
        return tn_fail(err, TERN_ERR_INPUT,
                       TN_VOCAB_DAMAGED "it says %llu bytes with a head of %u, expected at most %zu and %zu",
                       (unsigned long long)h->image_bytes, h->head_bytes, size, sizeof *h);
    v->tokenizer = tn_tokenizer_at(h->kind);
    if (!v->tokenizer)
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "the vocabulary image is of tokenizer %u, which this Tern does not know", h->kind);
    if (h->flags & ~v->tokenizer->flags)
        return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "flags 0x%x, expected some of 0x%x", h->flags,
                       v->tokenizer->flags);
    if (h->n_tokens == 0 || h->n_symbols < h->n_tokens || h->n_symbols == TN_EMPTY)
        return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "%u tokens among %u symbols", h->n_tokens,
                       h->n_symbols);
    uint32_t ids[] = {h->bos, h->eos, h->eot, h->eom, h->unk, h->pad};
    for (size_t i = 0; i < TN_COUNT(ids); i++)
        if (!id_ok(ids[i], h->n_tokens))
            return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "special token id %u, expected below %u",
                           ids[i], h->n_tokens);
    for (int i = 0; i < 256; i++)
        if (h->byte_symbol[i] >= h->n_symbols)
            return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "byte %d is symbol %u, expected below %u", i,
                           h->byte_symbol[i], h->n_symbols);
    if (!tn_vocab_slots_ok(h->hash_slots))
        return tn_fail(err, TERN_ERR_INPUT,
                       TN_VOCAB_DAMAGED "a hash table of %u slots, expected a power of two", h->hash_slots);
    return TERN_OK;
}

static TernStatus check_sections(TernVocab *v, const uint8_t *image, TernError *err) {
    const TnVocabHead *h = &v->head;
    const TnTokenizer *t = v->tokenizer;
    const char *bad =
        !section(v, image, h->offsets_at, (uint64_t)h->n_symbols + 1, 4, &v->offsets) ? "offsets"
        : !section(v, image, h->bytes_at, h->bytes_size, 1, &v->bytes)                ? "bytes"
        : !section(v, image, h->attrs_at, h->n_tokens, 1, &v->attrs)                  ? "attributes"
        : !section(v, image, h->hash_at, h->hash_slots, 4, &v->hash)                  ? "hash table"
        : !section(v, image, h->table_at, h->table_n, t->table_bytes, &v->table)      ? t->table_name
        : !section(v, image, h->specials_at, h->n_specials, 4, &v->specials)          ? "special tokens"
        : !section(v, image, h->template_at, h->template_size, 1, &v->chat_template)  ? "chat template"
                                                                                      : NULL;
    if (bad)
        return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "its %s lie outside its %llu bytes", bad,
                       (unsigned long long)h->image_bytes);
    uint32_t at = tn_word(v->offsets, 0);
    for (uint32_t i = 0; i < h->n_symbols; i++) {
        uint32_t end = tn_word(v->offsets, (size_t)i + 1);
        if (end < at || end > h->bytes_size)
            return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "symbol %u has bytes %u to %u of %u", i, at,
                           end, h->bytes_size);
        if (i < h->n_tokens && end - at > v->max_token_bytes) v->max_token_bytes = end - at;
        at = end;
    }
    for (uint32_t i = 0; i < h->n_tokens; i++)
        if ((v->attrs[i] & TN_ATTR_TYPE) > TERN_TOKEN_BYTE)
            return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "token %u has type %u, expected at most %u",
                           i, v->attrs[i] & TN_ATTR_TYPE, (unsigned)TERN_TOKEN_BYTE);
    return TERN_OK;
}

/* Look-ups end at a free slot, so there must be one. The loop has no branches: it runs over half a million
 * slots of a large vocabulary each time a model is opened. */
static TernStatus check_tables(TernVocab *v, TernError *err) {
    const TnVocabHead *h = &v->head;
    uint32_t n_free = 0, n_bad = 0;
    for (uint32_t i = 0; i < h->hash_slots; i++) {
        uint32_t symbol = tn_word(v->hash, i);
        n_free += symbol == TN_EMPTY;
        n_bad += (symbol >= h->n_symbols) & (symbol != TN_EMPTY);
    }
    if (n_bad)
        return tn_fail(err, TERN_ERR_INPUT,
                       TN_VOCAB_DAMAGED "%u slots of its hash table name symbols beyond its %u", n_bad,
                       h->n_symbols);
    if (n_free == 0) return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "its hash table is full");
    uint32_t before = UINT32_MAX;
    for (uint32_t i = 0; i < h->n_specials; i++) {
        uint32_t id = tn_word(v->specials, i);
        TernText t = id < h->n_tokens ? tn_symbol_bytes(v, id) : (TernText){0};
        if (t.size == 0 || t.size > before)
            return tn_fail(err, TERN_ERR_INPUT,
                           TN_VOCAB_DAMAGED "special token %u is id %u with %zu bytes, expected 1 to %u", i,
                           id, t.size, before);
        before = (uint32_t)t.size;
        v->special_first[(uint8_t)t.data[0]] |= tn_type_is_control(tn_token_type(v, id)) ? 2 : 1;
    }
    return TERN_OK;
}

static int compare_specials(const void *pa, const void *pb, void *user) {
    const TernVocab *v = user;
    uint32_t ra, rb;
    memcpy(&ra, pa, sizeof ra);
    memcpy(&rb, pb, sizeof rb);
    TernText a = tn_special_text(v, ra), b = tn_special_text(v, rb);
    if (a.size != b.size) return a.size > b.size ? -1 : 1;
    int order = memcmp(a.data, b.data, a.size);
    return order ? order : ra < rb ? -1 : ra > rb;
}

/* Orders the special tokens, so that one pass over a text can look for thousands of them. */
static TernStatus order_specials(TernVocab *v, TernError *err) {
    uint32_t n = v->head.n_specials;
    if (n == 0) return TERN_OK;
    v->special_order = malloc(n * sizeof *v->special_order);
    if (!v->special_order)
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for a vocabulary (%u special tokens)", n);
    for (uint32_t i = 0; i < n; i++) v->special_order[i] = i;
    qsort_r(v->special_order, n, sizeof *v->special_order, compare_specials, v);
    return TERN_OK;
}

/* ---- What grammars share */

struct TnShared {
    pthread_mutex_t lock;
    void *made;
    void (*release)(void *made);
};

static TernStatus open_shared(TernVocab *v, TernError *err) {
    v->shared = calloc(1, sizeof *v->shared);
    if (!v->shared)
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for a vocabulary (%zu bytes)", sizeof *v->shared);
    pthread_mutex_init(&v->shared->lock, NULL);
    return TERN_OK;
}

static void close_shared(struct TnShared *s) {
    if (!s) return;
    if (s->made) s->release(s->made);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const void *tn_vocab_shared(const TernVocab *v, void *(*make)(const TernVocab *v),
                            void (*release)(void *made)) {
    struct TnShared *s = v->shared;
    pthread_mutex_lock(&s->lock);
    if (!s->made) {
        s->made = make(v);
        s->release = release;
    }
    TN_CHECK(s->release == release);
    pthread_mutex_unlock(&s->lock);
    return s->made;
}

/* ---- Open and close */

static TernStatus open_image(TernVocab *v, const uint8_t *image, size_t size, TernError *err) {
    TN_TRY(check_head(v, image, size, err));
    TN_TRY(check_sections(v, image, err));
    TN_TRY(check_tables(v, err));
    TN_TRY(order_specials(v, err));
    TN_TRY(open_shared(v, err));
    return v->tokenizer->check(v, err);
}

TernStatus tern_vocab_open(const void *image, size_t size, TernVocab **out_vocab, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_vocab, err);
    *out_vocab = NULL;
    TN_NEED(image, err);
    TernVocab *v = calloc(1, sizeof *v);
    if (!v) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a vocabulary (%zu bytes)", sizeof *v);
    TernStatus status = open_image(v, image, size, err);
    if (status != TERN_OK) {
        tern_vocab_close(v);
        return status;
    }
    *out_vocab = v;
    return TERN_OK;
}

void tern_vocab_close(TernVocab *vocab) {
    if (!vocab) return;
    if (vocab->tokenizer) vocab->tokenizer->close(vocab);
    close_shared(vocab->shared);
    free(vocab->special_order);
    free(vocab);
}

uint32_t tn_symbol_find(const TernVocab *v, const void *bytes, size_t size) {
    uint32_t mask = v->head.hash_slots - 1;
    for (uint32_t i = (uint32_t)tn_hash64(bytes, size);; i++) {
        uint32_t symbol = tn_word(v->hash, i & mask);
        if (symbol == TN_EMPTY) return TN_EMPTY;
        TernText t = tn_symbol_bytes(v, symbol);
        if (t.size == size && memcmp(t.data, bytes, size) == 0) return symbol;
    }
}

/* ---- What the image says ---- */

TernVocabFacts tern_vocab_get_facts(const TernVocab *v) {
    const TnVocabHead *h = &v->head;
    return (TernVocabFacts){
        .n_tokens = h->n_tokens,
        .bos = (int32_t)h->bos,
        .eos = (int32_t)h->eos,
        .eot = (int32_t)h->eot,
        .eom = (int32_t)h->eom,
        .unk = (int32_t)h->unk,
        .pad = (int32_t)h->pad,
        .add_bos = h->flags & TN_VOCAB_ADD_BOS,
        .add_eos = h->flags & TN_VOCAB_ADD_EOS,
        .pre = v->pre,
        .chat_template = {(const char *)v->chat_template, h->template_size},
        .max_token_bytes = v->max_token_bytes,
    };
}

TernText tern_token_get_bytes(const TernVocab *v, int32_t id) {
    return tn_is_token(v, id) ? tn_symbol_bytes(v, (uint32_t)id) : (TernText){"", 0};
}

TernTokenType tern_token_get_type(const TernVocab *v, int32_t id) {
    return tn_is_token(v, id) ? tn_token_type(v, (uint32_t)id) : TERN_TOKEN_UNDEFINED;
}

bool tern_token_is_eog(const TernVocab *v, int32_t id) {
    return tn_is_token(v, id) && (v->attrs[id] & TN_ATTR_EOG);
}

int32_t tern_token_find(const TernVocab *v, const char *bytes, size_t size) {
    if (size == 0) return TERN_NO_TOKEN;
    for (uint32_t i = 0; i < v->head.n_specials; i++) {
        TernText t = tn_symbol_bytes(v, tn_word(v->specials, i));
        if (t.size == size && memcmp(t.data, bytes, size) == 0) return (int32_t)tn_word(v->specials, i);
    }
    uint32_t symbol = tn_symbol_find(v, bytes, size);
    return symbol < v->head.n_tokens ? (int32_t)symbol : TERN_NO_TOKEN;
}
