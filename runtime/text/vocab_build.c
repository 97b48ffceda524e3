/* Makes the vocabulary image from a GGUF file's arrays. The file may hold anything: each fault names its key.
 */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/base/options.h"
#include "runtime/text/utf8.h"
#include "runtime/text/vocab.h"

/* Symbols while they are collected; found by a table of their own that grows with them. */
typedef struct Build {
    const TernVocabSource *src;
    TnVocabHead head;
    TnBuf bytes;
    uint32_t *offsets; /* n + 1 of them */
    size_t n, cap;
    uint32_t *slots;
    uint32_t n_slots, n_used;
    uint8_t *attrs;
    TnMergeSlot *merges;
    uint32_t *specials;
    int16_t byte_of_point[324];
} Build;

/* ---- Spelling ---- */

/* GPT-2 spells byte b as one character: the printable ones of Latin-1 as themselves, the others as U+0100,
 * U+0101, ... in increasing order. */
static void make_spelling(int16_t byte_of_point[324]) {
    int other = 256;
    for (int i = 0; i < 324; i++) byte_of_point[i] = -1;
    for (int b = 0; b < 256; b++) {
        bool self = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        byte_of_point[self ? b : other++] = (int16_t)b;
    }
}

typedef enum Spelling { SPELLS_BYTES, SPELLS_NONE, SPELLS_BADLY } Spelling;

/* Appends the bytes that `text` spells. Otherwise appends nothing and says whether it is at least UTF-8. */
static Spelling put_unspelled(const Build *b, TnBuf *out, TernText text) {
    size_t start = out->len;
    bool spells = true;
    for (size_t i = 0; i < text.size;) {
        uint32_t point;
        int partial;
        int len = tn_utf8_next((const uint8_t *)text.data + i, text.size - i, &point, &partial);
        if (len == 0) {
            out->len = start;
            return SPELLS_BADLY;
        }
        if (point >= 324 || b->byte_of_point[point] < 0) {
            spells = false;
        } else {
            char byte = (char)b->byte_of_point[point];
            tn_buf_put(out, &byte, 1);
        }
        i += (size_t)len;
    }
    if (!spells) out->len = start;
    return spells ? SPELLS_BYTES : SPELLS_NONE;
}

/* The start of a text for an error line. */
/* for %.*s between quotes, where messages cut it */
#define SHOW(t) (int)((t).size < 400 ? (t).size : 400), (t).data ? (t).data : ""

/* ---- Symbols ---- */

static const uint8_t *symbol_at(const Build *b, uint32_t symbol, size_t *out_size) {
    *out_size = b->offsets[symbol + 1] - b->offsets[symbol];
    return (const uint8_t *)b->bytes.data + b->offsets[symbol];
}

/* The slot that holds these bytes, or the free one where they belong. */
static uint32_t slot_of(const Build *b, const void *bytes, size_t size) {
    uint32_t mask = b->n_slots - 1;
    for (uint32_t i = (uint32_t)tn_hash64(bytes, size);; i++) {
        uint32_t symbol = b->slots[i & mask];
        if (symbol == TN_EMPTY) return i & mask;
        size_t n;
        const uint8_t *p = symbol_at(b, symbol, &n);
        if (n == size && memcmp(p, bytes, n) == 0) return i & mask;
    }
}

static void grow_slots(Build *b) {
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

/* Makes the bytes appended since the last symbol the next symbol; indexed ones can be found. Of equal ones
 * the last is found, as in llama.cpp. */
static uint32_t end_symbol(Build *b, bool indexed) {
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

/* The symbol with the bytes appended since the last symbol, which are taken back if it exists, else it is
 * made. */
static uint32_t intern_tail(Build *b) {
    size_t at = b->offsets[b->n - 1];
    uint32_t symbol = b->slots[slot_of(b, b->bytes.data + at, b->bytes.len - at)];
    if (symbol == TN_EMPTY) return end_symbol(b, true);
    b->bytes.len = at;
    return symbol;
}

/* ---- Keys ---- */

static TernStatus check_text(TernText t, const char *key, TernError *err) {
    if (t.size && !t.data)
        return tn_fail(err, TERN_ERR_INPUT, "%s has a size of %zu and no data", key, t.size);
    return TERN_OK;
}

static bool text_is(TernText t, const char *s) {
    return t.size == strlen(s) && memcmp(t.data, s, t.size) == 0;
}

static TernStatus choose_pre(Build *b, TernError *err) {
    static const struct {
        const char *name;
        TnPre pre;
    } names[] = {{"llama-bpe", TN_PRE_LLAMA_BPE},
                 {"llama3", TN_PRE_LLAMA_BPE},
                 {"llama-v3", TN_PRE_LLAMA_BPE},
                 {"gpt-2", TN_PRE_GPT2},
                 {"default", TN_PRE_DEFAULT}};
    const TernVocabSource *s = b->src;
    TN_TRY(check_text(s->model, "tokenizer.ggml.model", err));
    TN_TRY(check_text(s->pre, "tokenizer.ggml.pre", err));
    if (!s->model.data) return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.model is absent, wanted 'gpt2'");
    if (!text_is(s->model, "gpt2"))
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "tokenizer.ggml.model is '%.*s', wanted 'gpt2'",
                       SHOW(s->model));
    size_t found = TN_COUNT(names);
    if (!s->pre.data) {
        /* Converters of BitNet 2B-4T leave the key out; its vocabulary is Llama 3's, known by its size. */
        b->head.pre = s->n_tokens == 128256 ? TN_PRE_LLAMA_BPE : TN_PRE_DEFAULT;
    } else {
        for (found = 0; found < TN_COUNT(names) && !text_is(s->pre, names[found].name);) found++;
        if (found == TN_COUNT(names))
            return tn_fail(
                err, TERN_ERR_UNSUPPORTED,
                "tokenizer.ggml.pre is '%.*s', wanted llama-bpe, llama3, llama-v3, gpt-2 or default",
                SHOW(s->pre));
        b->head.pre = names[found].pre;
    }
    bool llama = b->head.pre == TN_PRE_LLAMA_BPE;
    if (llama) b->head.flags |= TN_VOCAB_IGNORE_MERGES;
    if (s->add_bos < -1 || s->add_bos > 1)
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.add_bos_token is %d, wanted 0 or 1",
                       (int)s->add_bos);
    if (s->add_eos < -1 || s->add_eos > 1)
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.add_eos_token is %d, wanted 0 or 1",
                       (int)s->add_eos);
    if (s->add_bos >= 0 ? s->add_bos : llama) b->head.flags |= TN_VOCAB_ADD_BOS;
    if (s->add_eos == 1) b->head.flags |= TN_VOCAB_ADD_EOS;
    return TERN_OK;
}

static TernStatus add_tokens(Build *b, TernError *err) {
    const TernVocabSource *s = b->src;
    if (!s->tokens || s->n_tokens == 0)
        return tn_fail(err, TERN_ERR_INPUT,
                       "tokenizer.ggml.tokens is absent or empty, wanted one text a token");
    if (s->n_tokens > (1u << 24))
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.tokens holds %zu texts, wanted at most %u",
                       s->n_tokens, 1u << 24);
    if (s->types && s->n_types != s->n_tokens)
        return tn_fail(err, TERN_ERR_INPUT,
                       "tokenizer.ggml.token_type holds %zu numbers, wanted %zu, one a token", s->n_types,
                       s->n_tokens);
    b->head.n_tokens = (uint32_t)s->n_tokens;
    b->attrs = tn_xcalloc(s->n_tokens, 1);
    for (size_t i = 0; i < s->n_tokens; i++) {
        int32_t type = s->types ? s->types[i] : TERN_TOKEN_NORMAL;
        if (type < 0 || type > TERN_TOKEN_BYTE)
            return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.token_type[%zu] is %d, wanted 0 to %d", i,
                           (int)type, (int)TERN_TOKEN_BYTE);
        TernText text = s->tokens[i];
        if ((text.size && !text.data) || text.size > (1u << 20) || b->bytes.len > (1u << 30))
            return tn_fail(
                err, TERN_ERR_INPUT,
                "tokenizer.ggml.tokens[%zu] has %zu bytes, wanted at most %u and at most %u in all", i,
                text.size, 1u << 20, 1u << 30);
        size_t start = b->bytes.len;
        Spelling spelling = put_unspelled(b, &b->bytes, text);
        if (spelling == SPELLS_BADLY)
            return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.tokens[%zu] is '%.*s', wanted UTF-8", i,
                           SHOW(text));
        /* Names of special tokens stand for themselves, and BPE must not form a control token from text. */
        bool by_name = tn_type_is_control((TernTokenType)type) || type == TERN_TOKEN_USER_DEFINED;
        if (by_name || spelling == SPELLS_NONE) {
            b->bytes.len = start;
            tn_buf_put(&b->bytes, text.data, text.size);
        }
        b->attrs[i] = (uint8_t)type;
        end_symbol(b, spelling == SPELLS_BYTES && !by_name);
    }
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        tn_buf_put(&b->bytes, &c, 1);
        b->head.byte_symbol[byte] = intern_tail(b);
    }
    return TERN_OK;
}

static bool intern_spelled(Build *b, TernText text, uint32_t *out_symbol) {
    if (put_unspelled(b, &b->bytes, text) != SPELLS_BYTES) return false;
    *out_symbol = intern_tail(b);
    return true;
}

static TernStatus add_merges(Build *b, TernError *err) {
    const TernVocabSource *s = b->src;
    if (!s->merges)
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.merges is absent, wanted one text a merge");
    if (s->n_merges > (1u << 26))
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.merges holds %zu texts, wanted at most %u",
                       s->n_merges, 1u << 26);
    b->head.merge_slots = 2;
    while (b->head.merge_slots < s->n_merges + s->n_merges / 2 + 1) b->head.merge_slots *= 2;
    b->merges = tn_xcalloc(b->head.merge_slots, sizeof *b->merges);
    memset(b->merges, 0xff, b->head.merge_slots * sizeof *b->merges);
    uint32_t mask = b->head.merge_slots - 1;
    for (size_t i = 0; i < s->n_merges; i++) {
        TernText text = s->merges[i];
        const char *space = text.data && text.size > 2 ? memchr(text.data + 1, ' ', text.size - 2) : NULL;
        if (!space || text.size > (1u << 21))
            return tn_fail(err, TERN_ERR_INPUT,
                           "tokenizer.ggml.merges[%zu] is '%.*s', wanted two texts parted by a space", i,
                           SHOW(text));
        if (b->bytes.len > (1u << 30))
            return tn_fail(err, TERN_ERR_INPUT,
                           "tokenizer.ggml.merges[%zu]: the texts have over %u bytes in all", i, 1u << 30);
        TernText left = {text.data, (size_t)(space - text.data)};
        TernText right = {space + 1, text.size - left.size - 1};
        uint32_t left_symbol, right_symbol, merged;
        if (!intern_spelled(b, left, &left_symbol) || !intern_spelled(b, right, &right_symbol))
            return tn_fail(
                err, TERN_ERR_INPUT,
                "tokenizer.ggml.merges[%zu] is '%.*s', wanted two texts in the byte spelling of GPT-2", i,
                SHOW(text));
        put_unspelled(b, &b->bytes, left);
        put_unspelled(b, &b->bytes, right);
        merged = intern_tail(b);
        TnMergeSlot *slot;
        for (uint32_t h = tn_merge_hash(left_symbol, right_symbol);; h++) {
            slot = &b->merges[h & mask];
            if (slot->left == TN_EMPTY || (slot->left == left_symbol && slot->right == right_symbol)) break;
        }
        /* A merge said twice keeps its better rank. */
        if (slot->left == TN_EMPTY) *slot = (TnMergeSlot){left_symbol, right_symbol, (uint32_t)i, merged};
    }
    return TERN_OK;
}

/* ---- Special tokens ---- */

static TernStatus choose_id(Build *b, const char *key, int64_t given, uint32_t fallback, uint32_t *out,
                            TernError *err) {
    if (given != -1 && (given < 0 || given >= b->head.n_tokens))
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.%s is %lld, wanted an id below the %u tokens",
                       key, (long long)given, b->head.n_tokens);
    *out = given == -1 ? fallback : (uint32_t)given;
    return TERN_OK;
}

static bool token_is(const Build *b, uint32_t id, const char *name) {
    return text_is(b->src->tokens[id], name);
}

static uint32_t find_named(const Build *b, const char *const *names, size_t n) {
    for (size_t k = 0; k < n; k++)
        for (uint32_t id = 0; id < b->head.n_tokens; id++)
            if (token_is(b, id, names[k])) return id;
    return TERN_NO_TOKEN;
}

/* The ids of the keys, and the EOG set: eos, eot, eom and all tokens spelled like one. */
static TernStatus choose_specials(Build *b, TernError *err) {
    static const char *const eot_names[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
                                            "<|endoftext|>"};
    static const char *const eom_names[] = {"<|eom_id|>"};
    static const char *const eog_names[] = {"<|eot_id|>", "<|im_end|>",    "<|end|>", "<end_of_turn>",
                                            "<|eom_id|>", "<|endoftext|>", "<EOT>"};
    const TernVocabSource *s = b->src;
    TnVocabHead *h = &b->head;
    /* Without the keys llama.cpp takes 11, right for Falcon and a comma for others. */
    uint32_t eleven = h->n_tokens > 11 && b->attrs[11] == TERN_TOKEN_CONTROL ? 11 : TERN_NO_TOKEN;
    TN_TRY(choose_id(b, "bos_token_id", s->bos, eleven, &h->bos, err));
    TN_TRY(choose_id(b, "eos_token_id", s->eos, eleven, &h->eos, err));
    TN_TRY(choose_id(b, "eot_token_id", s->eot, TERN_NO_TOKEN, &h->eot, err));
    TN_TRY(choose_id(b, "eom_token_id", s->eom, TERN_NO_TOKEN, &h->eom, err));
    TN_TRY(choose_id(b, "unknown_token_id", s->unk, TERN_NO_TOKEN, &h->unk, err));
    TN_TRY(choose_id(b, "padding_token_id", s->pad, TERN_NO_TOKEN, &h->pad, err));
    if (s->eot == -1) h->eot = find_named(b, eot_names, TN_COUNT(eot_names));
    if (s->eom == -1) h->eom = find_named(b, eom_names, TN_COUNT(eom_names));
    for (uint32_t id = 0; id < h->n_tokens; id++) {
        bool eog = id == h->eos || id == h->eot || id == h->eom;
        for (size_t k = 0; k < TN_COUNT(eog_names) && !eog; k++) eog = token_is(b, id, eog_names[k]);
        if (eog) b->attrs[id] |= TN_ATTR_EOG;
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

static void sort_specials(Build *b) {
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

static TernStatus put_image(Build *b, TnBuf *out, TernError *err) {
    TnVocabHead *h = &b->head;
    TernText chat = b->src->chat_template;
    TN_TRY(check_text(chat, "tokenizer.chat_template", err));
    if (chat.size > (1u << 24))
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.chat_template has %zu bytes, wanted at most %u",
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
    h->merges_at = put_section(out, b->merges, (size_t)h->merge_slots * sizeof *b->merges);
    h->specials_at = put_section(out, b->specials, (size_t)h->n_specials * 4);
    h->attrs_at = put_section(out, b->attrs, h->n_tokens);
    h->bytes_at = put_section(out, b->bytes.data, b->bytes.len);
    h->template_at = put_section(out, chat.data, chat.size);
    tn_buf_align(out, 16);
    if (out->len > UINT32_MAX)
        return tn_fail(err, TERN_ERR_INPUT, "the vocabulary takes %zu bytes, wanted less than 4 GiB",
                       out->len);
    h->image_bytes = out->len;
    memcpy(out->data, h, sizeof *h);
    return TERN_OK;
}

static TernStatus build(Build *b, TnBuf *out, TernError *err) {
    TN_TRY(choose_pre(b, err));
    TN_TRY(add_tokens(b, err));
    TN_TRY(add_merges(b, err));
    TN_TRY(choose_specials(b, err));
    sort_specials(b);
    return put_image(b, out, err);
}

static const TnField source_fields[] = {
    TN_FIELD(TernVocabSource, model),        TN_FIELD(TernVocabSource, pre),
    TN_FIELD(TernVocabSource, tokens),       TN_FIELD(TernVocabSource, n_tokens),
    TN_FIELD(TernVocabSource, types),        TN_FIELD(TernVocabSource, n_types),
    TN_FIELD(TernVocabSource, merges),       TN_FIELD(TernVocabSource, n_merges),
    TN_FIELD(TernVocabSource, bos),          TN_FIELD(TernVocabSource, eos),
    TN_FIELD(TernVocabSource, eot),          TN_FIELD(TernVocabSource, eom),
    TN_FIELD(TernVocabSource, unk),          TN_FIELD(TernVocabSource, pad),
    TN_FIELD(TernVocabSource, add_bos),      TN_FIELD(TernVocabSource, add_eos),
    TN_FIELD(TernVocabSource, chat_template)};
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
    Build b = {.src = &own};
    TnBuf out = {0};
    make_spelling(b.byte_of_point);
    TN_PUSH(b.offsets, b.n, b.cap, 0);
    grow_slots(&b);
    TernStatus status = build(&b, &out, err);
    free(b.offsets);
    free(b.slots);
    free(b.attrs);
    free(b.merges);
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
