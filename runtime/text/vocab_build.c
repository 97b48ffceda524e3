/* Makes the vocabulary image from the arrays of a GGUF file. The file may hold anything; each error names its key. */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/base/options.h"
#include "runtime/text/tokenizer.h"

/* ---- Symbols ---- */

static const uint8_t *symbol_at(const TnVocabBuild *b, uint32_t symbol, size_t *out_size) {
    *out_size = b->offsets[symbol + 1] - b->offsets[symbol];
    return (const uint8_t *)b->bytes.data + b->offsets[symbol];
}

/* The slot that holds these bytes, or the free one where they belong. */
static uint32_t slot_of(const TnVocabBuild *b, const void *bytes, size_t size) {
    uint32_t mask = b->n_slots - 1;
    for (uint32_t i = (uint32_t)tn_hash64(bytes, size);; i++) {
        uint32_t symbol = b->slots[i & mask];
        if (symbol == TN_EMPTY) return i & mask;
        size_t n;
        const uint8_t *p = symbol_at(b, symbol, &n);
        if (n == size && memcmp(p, bytes, n) == 0) return i & mask;
    }
}

static void grow_slots(TnVocabBuild *b) {
    uint32_t n_old = b->n_slots, *old = b->slots;
    b->n_slots = n_old ? n_old * 2 : 1024;
    b->slots = tn_xrealloc(NULL, (size_t)b->n_slots * 4);
    memset(b->slots, 0xff, (size_t)b->n_slots * 4);
    for (uint32_t i = 0; i < n_old; i++) {
        if (old[i] == TN_EMPTY) continue;
        size_t n;
        const uint8_t *p = symbol_at(b, old[i], &n);
        b->slots[slot_of(b, p, n)] = old[i];
    }
    free(old);
}

/* Makes the bytes appended since the last symbol the next symbol. Only an indexed symbol can be found; of equal ones the
 * last is found, as in llama.cpp. */
static uint32_t end_symbol(TnVocabBuild *b, bool indexed) {
    uint32_t symbol = (uint32_t)b->n - 1;
    TN_PUSH(b->offsets, b->n, b->cap, (uint32_t)b->bytes.len);
    size_t n;
    const uint8_t *p = symbol_at(b, symbol, &n);
    if (!indexed || n == 0) return symbol;
    if (b->n_used >= b->n_slots / 2) grow_slots(b);
    uint32_t slot = slot_of(b, p, n);
    if (b->slots[slot] == TN_EMPTY) b->n_used++;
    b->slots[slot] = symbol;
    return symbol;
}

uint32_t tn_build_find(const TnVocabBuild *b, const void *bytes, size_t size) {
    return b->slots[slot_of(b, bytes, size)];
}

uint32_t tn_build_intern(TnVocabBuild *b) {
    size_t at = b->offsets[b->n - 1];
    uint32_t symbol = b->slots[slot_of(b, b->bytes.data + at, b->bytes.len - at)];
    if (symbol == TN_EMPTY) return end_symbol(b, true);
    b->bytes.len = at;
    return symbol;
}

/* ---- Keys ---- */

static bool text_is(TernText t, const char *s) {
    return t.size == strlen(s) && memcmp(t.data, s, t.size) == 0;
}

static TernStatus choose_tokenizer(const TernVocabSource *s, const TnTokenizer **out, TernError *err) {
    *out = s->model.data ? tn_tokenizer_find(s->model, s->pre) : NULL;
    if (*out) return TERN_OK;
    TnBuf names = {0};
    tn_tokenizer_list(&names);
    const char *list = (const char *)names.data;
    int n = (int)names.len;
    TernStatus st =
        s->model.data
            ? tn_fail(err, TERN_ERR_UNSUPPORTED, "tokenizer.ggml.model is '%.*s', expected %.*s",
                      TN_SHOW(s->model), n, list)
            : tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.model is absent, expected %.*s", n, list);
    tn_buf_free(&names);
    return st;
}

/* A key of the file overrides the tokenizer's default. */
static TernStatus choose_flag(TnVocabBuild *b, const char *key, int32_t given, uint16_t flag,
                              TernError *err) {
    if (given < -1 || given > 1)
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.%s is %d, expected 0 or 1", key, (int)given);
    if (given == 1) b->head.flags |= flag;
    if (given == 0) b->head.flags &= (uint16_t)~flag;
    return TERN_OK;
}

TernStatus tn_build_tokens(TnVocabBuild *b, TnSpellFn *spell, void *user, TernError *err) {
    const TernVocabSource *s = b->src;
    if (!s->tokens || s->n_tokens == 0)
        return tn_fail(err, TERN_ERR_INPUT,
                       "tokenizer.ggml.tokens is absent or empty, expected one text a token");
    if (s->n_tokens > (1u << 24))
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.tokens holds %zu texts, expected at most %u",
                       s->n_tokens, 1u << 24);
    if (s->types && s->n_types != s->n_tokens)
        return tn_fail(err, TERN_ERR_INPUT,
                       "tokenizer.ggml.token_type holds %zu numbers, expected %zu, one a token", s->n_types,
                       s->n_tokens);
    b->head.n_tokens = (uint32_t)s->n_tokens;
    b->attrs = tn_xcalloc(s->n_tokens, 1);
    for (size_t i = 0; i < s->n_tokens; i++) {
        int32_t type = s->types ? s->types[i] : TERN_TOKEN_NORMAL;
        if (type < 0 || type > TERN_TOKEN_BYTE)
            return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.token_type[%zu] is %d, expected 0 to %d", i,
                           (int)type, (int)TERN_TOKEN_BYTE);
        TernText text = s->tokens[i];
        if ((text.size && !text.data) || text.size > (1u << 20) || b->bytes.len > (1u << 30))
            return tn_fail(
                err, TERN_ERR_INPUT,
                "tokenizer.ggml.tokens[%zu] has %zu bytes, expected at most %u and at most %u in all", i,
                text.size, 1u << 20, 1u << 30);
        size_t start = b->bytes.len;
        TnSpelling spelling = spell(user, text, (TernTokenType)type, &b->bytes);
        if (spelling == TN_SPELLED_BADLY)
            return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.tokens[%zu] is '%.*s', expected UTF-8", i,
                           TN_SHOW(text));
        /* Text must not become a control token by chance. */
        bool by_name = tn_type_is_control((TernTokenType)type) || type == TERN_TOKEN_USER_DEFINED;
        if (by_name) {
            b->bytes.len = start;
            tn_buf_put(&b->bytes, text.data, text.size);
        }
        b->attrs[i] = (uint8_t)type;
        end_symbol(b, spelling == TN_SPELLED && !by_name);
    }
    return TERN_OK;
}

/* ---- Special tokens ---- */

static TernStatus choose_id(TnVocabBuild *b, const char *key, int64_t given, uint32_t *io, TernError *err) {
    if (given != -1 && (given < 0 || given >= b->head.n_tokens))
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.%s is %lld, expected an id below the %u tokens",
                       key, (long long)given, b->head.n_tokens);
    if (given != -1) *io = (uint32_t)given;
    return TERN_OK;
}

static bool token_is(const TnVocabBuild *b, uint32_t id, const char *name) {
    return text_is(b->src->tokens[id], name);
}

static uint32_t find_named(const TnVocabBuild *b, const char *const *names, size_t n) {
    for (size_t k = 0; k < n; k++)
        for (uint32_t id = 0; id < b->head.n_tokens; id++)
            if (token_is(b, id, names[k])) return id;
    return TN_EMPTY;
}

static bool has(const TnVocabBuild *b, const char *one, const char *other) {
    return find_named(b, &one, 1) != TN_EMPTY && find_named(b, &other, 1) != TN_EMPTY;
}

/* Whether a token ends an answer by its text, if it is a control token, or user-defined, which converters write by mistake. In a
 * vocabulary of messages with several parts, <|end|> ends a part: one that has both <|return|> and <|call|>, or both <|calls|>
 * and <|flush|>. </s> is also a tag of HTML, which some vocabularies have as a user-defined token, and beside <|tool_response>
 * it is ordinary. */
static bool ends_by_name(const TnVocabBuild *b, uint32_t id, bool parts, bool tools) {
    static const char deepseek[] = "<\xef\xbd\x9c" /* apart, lest e be a hexadecimal digit */
                                   "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>";
    static const char *const always[] = {
        "<|eot_id|>",
        "<|im_end|>",
        "<end_of_turn>",
        "<|eom_id|>",
        "<|endoftext|>",
        "<EOT>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<eos>",
        "<turn|>",
        "<|end_of_text|>",
        "<end_of_utterance>",
        "<|tool_response>",
        "[e~[",
        deepseek,
    };
    enum { ANY_TYPE = 6 }; /* the first of them, whatever their type is */
    TernTokenType type = (TernTokenType)(b->attrs[id] & TN_ATTR_TYPE);
    bool control = type == TERN_TOKEN_CONTROL, added = control || type == TERN_TOKEN_USER_DEFINED;
    for (size_t k = 0; k < (added ? TN_COUNT(always) : ANY_TYPE); k++)
        if (token_is(b, id, always[k])) return true;
    return (token_is(b, id, "<|end|>") && !parts) || (control && token_is(b, id, "</s>") && !tools);
}

/* Sets the ids that keys give, and the EOG set: eos, eot, eom and all tokens that are spelled like one of them. */
static TernStatus choose_specials(TnVocabBuild *b, TernError *err) {
    static const char *const eot_names[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
                                            "<|endoftext|>"};
    static const char *const eom_names[] = {"<|eom_id|>"};
    const TernVocabSource *s = b->src;
    TnVocabHead *h = &b->head;
    TN_TRY(choose_id(b, "bos_token_id", s->bos, &h->bos, err));
    TN_TRY(choose_id(b, "eos_token_id", s->eos, &h->eos, err));
    TN_TRY(choose_id(b, "eot_token_id", s->eot, &h->eot, err));
    TN_TRY(choose_id(b, "eom_token_id", s->eom, &h->eom, err));
    TN_TRY(choose_id(b, "unknown_token_id", s->unk, &h->unk, err));
    TN_TRY(choose_id(b, "padding_token_id", s->pad, &h->pad, err));
    bool parts = has(b, "<|return|>", "<|call|>") || has(b, "<|calls|>", "<|flush|>");
    bool tools = has(b, "<|tool_response>", "<|tool_response>");
    if (s->eot == -1) h->eot = find_named(b, eot_names, TN_COUNT(eot_names));
    if (s->eot == -1 && parts && h->eot != TN_EMPTY && token_is(b, h->eot, "<|end|>")) h->eot = TN_EMPTY;
    if (s->eom == -1) h->eom = find_named(b, eom_names, TN_COUNT(eom_names));
    for (uint32_t id = 0; id < h->n_tokens; id++) {
        bool named = ends_by_name(b, id, parts, tools);
        if (named && (b->attrs[id] & TN_ATTR_TYPE) == TERN_TOKEN_USER_DEFINED)
            b->attrs[id] = TERN_TOKEN_CONTROL; /* else any text could hold it */
        if (named || id == h->eos || id == h->eot || id == h->eom) b->attrs[id] |= TN_ATTR_EOG;
    }
    return TERN_OK;
}

typedef struct Special {
    uint32_t id, size;
} Special;

static int longer_first(const void *pa, const void *pb) {
    const Special *a = pa, *b = pb;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void sort_specials(TnVocabBuild *b) {
    Special *list = NULL;
    size_t n = 0, cap = 0;
    for (uint32_t id = 0; id < b->head.n_tokens; id++) {
        TernTokenType type = (TernTokenType)(b->attrs[id] & TN_ATTR_TYPE);
        uint32_t size = b->offsets[id + 1] - b->offsets[id];
        if ((tn_type_is_control(type) || type == TERN_TOKEN_USER_DEFINED) && size)
            TN_PUSH(list, n, cap, (Special){id, size});
    }
    if (n) qsort(list, n, sizeof *list, longer_first);
    b->specials = tn_xcalloc(n + 1, sizeof *b->specials);
    for (size_t i = 0; i < n; i++) b->specials[i] = list[i].id;
    b->head.n_specials = (uint32_t)n;
    free(list);
}

/* ---- The image ---- */

static uint32_t put_section(TnBuf *out, const void *data, size_t bytes) {
    tn_buf_align(out, 16);
    uint32_t at = (uint32_t)out->len;
    tn_buf_put(out, data, bytes);
    return at;
}

static TernStatus put_image(TnVocabBuild *b, size_t table_bytes, TnBuf *out, TernError *err) {
    TnVocabHead *h = &b->head;
    TernText chat = b->src->chat_template;
    if (chat.size > (1u << 24))
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.chat_template has %zu bytes, expected at most %u",
                       chat.size, 1u << 24);
    memcpy(h->magic, TN_VOCAB_MAGIC, 8);
    h->version = TN_VOCAB_VERSION;
    h->head_bytes = sizeof *h;
    h->n_symbols = (uint32_t)b->n - 1;
    h->hash_slots = b->n_slots;
    h->bytes_size = (uint32_t)b->bytes.len;
    h->template_size = (uint32_t)chat.size;
    tn_buf_grow(out, sizeof *h);
    h->offsets_at = put_section(out, b->offsets, b->n * 4);
    h->hash_at = put_section(out, b->slots, (size_t)b->n_slots * 4);
    h->table_at = put_section(out, b->table, (size_t)h->table_n * table_bytes);
    h->specials_at = put_section(out, b->specials, (size_t)h->n_specials * 4);
    h->attrs_at = put_section(out, b->attrs, h->n_tokens);
    h->bytes_at = put_section(out, b->bytes.data, b->bytes.len);
    h->template_at = put_section(out, chat.data, chat.size);
    tn_buf_align(out, 16);
    if (out->len > UINT32_MAX)
        return tn_fail(err, TERN_ERR_INPUT, "the vocabulary takes %zu bytes, expected less than 4 GiB",
                       out->len);
    h->image_bytes = out->len;
    memcpy(out->data, h, sizeof *h);
    return TERN_OK;
}

static TernStatus build(TnVocabBuild *b, TnBuf *out, TernError *err) {
    const TnTokenizer *t;
    TnVocabHead *h = &b->head;
    TN_TRY(choose_tokenizer(b->src, &t, err));
    h->kind = (uint16_t)tn_tokenizer_kind(t);
    h->bos = h->eos = h->eot = h->eom = h->unk = h->pad = TN_EMPTY;
    TN_TRY(t->build(b, err));
    TN_TRY(choose_flag(b, "add_bos_token", b->src->add_bos, TN_VOCAB_ADD_BOS, err));
    TN_TRY(choose_flag(b, "add_eos_token", b->src->add_eos, TN_VOCAB_ADD_EOS, err));
    if (t->keys & TN_KEY_SPACE_PREFIX)
        TN_TRY(choose_flag(b, "add_space_prefix", b->src->add_space_prefix, TN_VOCAB_SPACE_PREFIX, err));
    TN_TRY(choose_specials(b, err));
    sort_specials(b);
    return put_image(b, t->table_bytes, out, err);
}

static const TnField source_fields[] = {
    TN_FIELD(TernVocabSource, model),         TN_FIELD(TernVocabSource, pre),
    TN_FIELD(TernVocabSource, tokens),        TN_FIELD(TernVocabSource, n_tokens),
    TN_FIELD(TernVocabSource, types),         TN_FIELD(TernVocabSource, n_types),
    TN_FIELD(TernVocabSource, merges),        TN_FIELD(TernVocabSource, n_merges),
    TN_FIELD(TernVocabSource, bos),           TN_FIELD(TernVocabSource, eos),
    TN_FIELD(TernVocabSource, eot),           TN_FIELD(TernVocabSource, eom),
    TN_FIELD(TernVocabSource, unk),           TN_FIELD(TernVocabSource, pad),
    TN_FIELD(TernVocabSource, add_bos),       TN_FIELD(TernVocabSource, add_eos),
    TN_FIELD(TernVocabSource, chat_template), TN_FIELD(TernVocabSource, scores),
    TN_FIELD(TernVocabSource, n_scores),      TN_FIELD(TernVocabSource, add_space_prefix)};
static const TnShape source_shape = TN_SHAPE(TernVocabSource, source_fields);

static TernStatus check_list(const void *list, size_t n, const char *field, const char *count,
                             TernError *err) {
    if (list || n == 0) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "TernVocabSource.%s is NULL although %s is %zu", field, count, n);
}

static TernStatus check_bytes(TernText t, const char *field, TernError *err) {
    return check_list(t.data, t.size, field, "its size", err);
}

static TernStatus check_source(const TernVocabSource *s, TernError *err) {
    TN_TRY(check_bytes(s->model, "model", err));
    TN_TRY(check_bytes(s->pre, "pre", err));
    TN_TRY(check_bytes(s->chat_template, "chat_template", err));
    TN_TRY(check_list(s->tokens, s->n_tokens, "tokens", "n_tokens", err));
    TN_TRY(check_list(s->types, s->n_types, "types", "n_types", err));
    TN_TRY(check_list(s->merges, s->n_merges, "merges", "n_merges", err));
    TN_TRY(check_list(s->scores, s->n_scores, "scores", "n_scores", err));
    for (size_t i = 0; i < s->n_tokens; i++) TN_TRY(check_bytes(s->tokens[i], "tokens[i].data", err));
    for (size_t i = 0; i < s->n_merges; i++) TN_TRY(check_bytes(s->merges[i], "merges[i].data", err));
    return TERN_OK;
}

TernStatus tern_vocab_build(const TernVocabSource *source, void **out_image, size_t *out_size,
                            TernError *err) {
    TernVocabSource own = TERN_VOCAB_SOURCE;
    tn_error_clear(err);
    TN_NEED(out_image, err);
    TN_NEED(out_size, err);
    *out_image = NULL;
    *out_size = 0;
    TN_TRY(tn_options_take(&source_shape, source, &own, err));
    TN_TRY(check_source(&own, err));
    TnVocabBuild b = {.src = &own};
    TnBuf out = {0};
    TN_PUSH(b.offsets, b.n, b.cap, 0);
    grow_slots(&b);
    TernStatus status = build(&b, &out, err);
    free(b.offsets);
    free(b.slots);
    free(b.attrs);
    free(b.table);
    free(b.specials);
    tn_buf_free(&b.bytes);
    if (status != TERN_OK) {
        tn_buf_free(&out);
        return status;
    }
    *out_image = out.data;
    *out_size = out.len;
    return TERN_OK;
}
