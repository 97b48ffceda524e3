/* Passes the tokenizer keys to runtime/text unchanged; runtime/text checks their values. */
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "runtime/base/escape.h"
#include "runtime/base/reader.h"
#include "runtime/text/tokenizer.h"

/* Limits memory for a large file of empty strings; the largest vocabularies have 2^18 tokens. */
#define TEXTS_MAX (1 << 20)

static TernStatus not_array(const TnGguf *g, const TnGgufKey *k, const char *of, TernError *err) {
    bool array = k->type == TN_GGUF_ARRAY;
    return tn_fail(err, TERN_ERR_INPUT, "%s: %s is %s%s, expected an array of %s", g->path, k->name,
                   array ? "an array of " : "of type ", tn_gguf_type_name(array ? k->elem : k->type), of);
}

/* An array of strings as borrowed texts. The container has checked that every element lies in the file. */
static TernStatus texts(TnGguf *g, const char *name, const TernText **out, size_t *out_n, TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    if (!k) return TERN_OK;
    if (k->type != TN_GGUF_ARRAY || k->elem != TN_GGUF_STRING) return not_array(g, k, "string", err);
    if (k->n > TEXTS_MAX)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %s has %llu strings, expected at most %d", g->path,
                       name, (unsigned long long)k->n, TEXTS_MAX);
    TernText *t = tn_alloc_array(&g->arena, k->n + 1, sizeof *t);
    const uint8_t *p = k->data;
    for (uint64_t i = 0; i < k->n; i++) {
        uint64_t n;
        memcpy(&n, p, 8);
        t[i] = (TernText){(const char *)p + 8, n};
        p += 8 + n;
    }
    *out = t;
    *out_n = k->n;
    return TERN_OK;
}

static TernStatus token_types(TnGguf *g, const char *name, const int32_t **out, size_t *out_n,
                              TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    if (!k) return TERN_OK;
    if (k->type != TN_GGUF_ARRAY || (k->elem != TN_GGUF_I32 && k->elem != TN_GGUF_U32))
        return not_array(g, k, "i32", err);
    int32_t *v = tn_alloc_array(&g->arena, k->n + 1, sizeof *v);
    memcpy(v, k->data, k->n * sizeof *v);
    *out = v;
    *out_n = k->n;
    return TERN_OK;
}

static TernStatus scores(TnGguf *g, const char *name, const float **out, size_t *out_n, TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    if (!k) return TERN_OK;
    if (k->type != TN_GGUF_ARRAY || (k->elem != TN_GGUF_F32 && k->elem != TN_GGUF_I32))
        return not_array(g, k, "f32", err);
    float *v = tn_alloc_array(&g->arena, k->n + 1, sizeof *v);
    memcpy(v, k->data, k->n * sizeof *v);
    for (uint64_t i = 0; k->elem == TN_GGUF_I32 && i < k->n; i++) { /* integers are ranks, not scores */
        int32_t rank;
        memcpy(&rank, v + i, sizeof rank);
        v[i] = (float)rank;
    }
    *out = v;
    *out_n = k->n;
    return TERN_OK;
}

static TernStatus text(TnGguf *g, const char *name, TernText *out, TernError *err) {
    return tn_gguf_bytes(g, name, false, &out->data, &out->size, err);
}

static TernStatus id(TnGguf *g, const char *name, int64_t *out, TernError *err) {
    uint64_t v = 0;
    if (!tn_gguf_key(g, name)) return TERN_OK;
    TN_TRY(tn_gguf_uint(g, name, true, 0, UINT32_MAX, &v, err));
    if (v != UINT32_MAX) *out = (int64_t)v; /* -1, which some converters write for none */
    return TERN_OK;
}

static TernStatus flag(TnGguf *g, const char *name, int32_t *out, TernError *err) {
    bool v = false;
    if (!tn_gguf_key(g, name)) return TERN_OK;
    TN_TRY(tn_gguf_bool(g, name, true, &v, err));
    *out = v;
    return TERN_OK;
}

/* Does not read keys that the file's tokenizer does not use: they are then ignored, or named in the note,
 * like any other key (known.c). */
static TernStatus read_keys(TnGguf *g, TernVocabSource *s, TernError *err) {
    TN_TRY(text(g, "tokenizer.ggml.model", &s->model, err));
    TN_TRY(text(g, "tokenizer.ggml.pre", &s->pre, err));
    const TnTokenizer *t = s->model.data ? tn_tokenizer_find(s->model, s->pre) : NULL;
    uint32_t keys = t ? t->keys : 0;
    TN_TRY(text(g, "tokenizer.chat_template", &s->chat_template, err));
    TN_TRY(texts(g, "tokenizer.ggml.tokens", &s->tokens, &s->n_tokens, err));
    if (keys & TN_KEY_MERGES) TN_TRY(texts(g, "tokenizer.ggml.merges", &s->merges, &s->n_merges, err));
    if (keys & TN_KEY_SCORES) TN_TRY(scores(g, "tokenizer.ggml.scores", &s->scores, &s->n_scores, err));
    TN_TRY(token_types(g, "tokenizer.ggml.token_type", &s->types, &s->n_types, err));
    TN_TRY(id(g, "tokenizer.ggml.bos_token_id", &s->bos, err));
    TN_TRY(id(g, "tokenizer.ggml.eos_token_id", &s->eos, err));
    TN_TRY(id(g, "tokenizer.ggml.eot_token_id", &s->eot, err));
    TN_TRY(id(g, "tokenizer.ggml.eom_token_id", &s->eom, err));
    TN_TRY(id(g, "tokenizer.ggml.unknown_token_id", &s->unk, err));
    TN_TRY(id(g, "tokenizer.ggml.padding_token_id", &s->pad, err));
    TN_TRY(flag(g, "tokenizer.ggml.add_bos_token", &s->add_bos, err));
    TN_TRY(flag(g, "tokenizer.ggml.add_eos_token", &s->add_eos, err));
    if (keys & TN_KEY_SPACE_PREFIX)
        TN_TRY(flag(g, "tokenizer.ggml.add_space_prefix", &s->add_space_prefix, err));
    return TERN_OK;
}

/* A token that ends an answer by its name is a control token, whatever the file says. */
static void note_ends(TnGguf *g, const TernVocabSource *s) {
    TnVocabHead head;
    uint32_t n = 0, first = 0;
    memcpy(&head, g->vocab, sizeof head);
    const uint8_t *attrs = (const uint8_t *)g->vocab + head.attrs_at;
    for (uint32_t id = head.n_tokens; s->types && id-- > 0;)
        if (s->types[id] == TERN_TOKEN_USER_DEFINED && (attrs[id] & TN_ATTR_TYPE) == TERN_TOKEN_CONTROL)
            n++, first = id;
    if (n == 0) return;
    const char *more = n > 1 ? tn_sprintf(&g->arena, ", and %u more token%s", n - 1, n > 2 ? "s" : "") : "";
    g->vocab_note = tn_sprintf(
        &g->arena, "%s: token %u is '%s'%s: of type user-defined, but by the name an end, so a control token",
        g->path, first, tn_shown_n(s->tokens[first].data, s->tokens[first].size).s, more);
}

TernStatus tn_gguf_vocab(TnGguf *g, const void **out, size_t *out_bytes, TernError *err) {
    *out = NULL;
    *out_bytes = 0;
    if (!g->vocab) {
        if (!tn_gguf_key(g, "tokenizer.ggml.model") && !tn_gguf_key(g, "tokenizer.ggml.tokens"))
            return TERN_OK;
        TernVocabSource s = TERN_VOCAB_SOURCE;
        TN_TRY(read_keys(g, &s, err));
        TernStatus st = tern_vocab_build(&s, &g->vocab, &g->vocab_bytes, err);
        if (st == TERN_ERR_UNSUPPORTED) /* the file names what nobody knows; another name may do */
            return tn_fail_in(err, st, "%s: TerncSource.overrides can replace this", g->path);
        if (st != TERN_OK) return tn_fail_in(err, st, "%s", g->path);
        note_ends(g, &s);
    }
    *out = g->vocab;
    *out_bytes = g->vocab_bytes;
    return TERN_OK;
}
