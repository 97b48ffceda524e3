/* tokenizer.json of byte-level BPE.
 *
 *   model           {"type": "BPE", "vocab": {text: id}, "merges": ["a b", ..] or [["a", "b"], ..], "ignore_merges": ..}
 *   added_tokens    [{"id": .., "content": text, "special": ..}]
 *   pre_tokenizer   steps that split a text before merging; recognised as a whole (runtime/text/pretok_authors.c)
 *   normalizer      none, or NFC, which Tern does not do
 *   post_processor  what is put around a text: a begin of text, or nothing */
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/buf.h"
#include "runtime/text/pretok.h"
#include "runtime/text/tokenizer.h"

#define MERGES_MAX (1 << 20)

typedef struct Bpe {
    TnHfFolder *f;
    const TnHfOptions *options;
    const char *path;
    const json_t *tokenizer, *model;
    TnGgufWriter *w;
    TernError *err;
} Bpe;

TernStatus tn_hf_put_token(TnHfFolder *f, const char *path, TnHfTokens *t, uint64_t id, const char *text,
                           size_t n, int32_t type, TernError *err) {
    if (id >= t->n)
        return tn_fail(err, TERN_ERR_INPUT, "%s: token '%.*s' has the id %llu, but vocab_size is %zu", path,
                       (int)(n < 80 ? n : 80), text, (unsigned long long)id, t->n);
    TernText *old = &t->texts[id];
    bool same = old->data && old->size == n && memcmp(old->data, text, n) == 0;
    if (old->data && !same)
        return tn_fail(err, TERN_ERR_INPUT, "%s: tokens '%.*s' and '%.*s' have the same id %llu", path,
                       (int)(old->size < 80 ? old->size : 80), old->data, (int)(n < 80 ? n : 80), text,
                       (unsigned long long)id);
    *old = (TernText){tn_strndup(&f->arena, text, n), n};
    t->types[id] = type;
    return TERN_OK;
}

TernStatus tn_hf_added(TnHfFolder *f, const char *path, TnHfTokens *t, const json_t *list, TernError *err) {
    if (list && !json_is_null(list) && !json_is_array(list))
        return tn_fail(err, TERN_ERR_INPUT, "%s: added_tokens is not an array", path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *id = json_object_get(entry, "id"),
                     *text = json_object_get(entry, "content");
        if (!json_is_integer(id) || json_integer_value(id) < 0 || !json_is_string(text))
            return tn_fail(err, TERN_ERR_INPUT, "%s: added token %zu has no id and content", path, i);
        int32_t type = json_is_true(json_object_get(entry, "special")) ? TN_HF_CONTROL : TN_HF_USER;
        TN_TRY(tn_hf_put_token(f, path, t, (uint64_t)json_integer_value(id), json_string_value(text),
                               json_string_length(text), type, err));
    }
    return TERN_OK;
}

TernStatus tn_hf_vocab(TnHfFolder *f, const char *path, const json_t *tokenizer, TnHfTokens *t,
                       TernError *err) {
    json_t *vocab = json_object_get(json_object_get(tokenizer, "model"), "vocab"), *id;
    const char *text;
    if (!json_is_object(vocab) || !json_object_size(vocab))
        return tn_fail(err, TERN_ERR_INPUT, "%s: model has no object \"vocab\" with tokens", path);
    json_object_foreach(vocab, text, id) {
        if (!json_is_integer(id) || json_integer_value(id) < 0)
            return tn_fail(err, TERN_ERR_INPUT, "%s: token '%s' has no id", path, text);
        TN_TRY(tn_hf_put_token(f, path, t, (uint64_t)json_integer_value(id), text, strlen(text), TN_HF_NORMAL,
                               err));
    }
    return tn_hf_added(f, path, t, json_object_get(tokenizer, "added_tokens"), err);
}

/* "a b", or the two parts of an array. */
static TernStatus merge(TnHfFolder *f, const char *path, size_t i, const json_t *v, TernText *out,
                        TernError *err) {
    if (json_is_string(v)) {
        *out = (TernText){json_string_value(v), json_string_length(v)};
        return TERN_OK;
    }
    const char *left = json_string_value(json_array_get(v, 0)),
               *right = json_string_value(json_array_get(v, 1));
    if (json_array_size(v) != 2 || !left || !right)
        return tn_fail(err, TERN_ERR_INPUT, "%s: merge %zu is not a text, nor an array of two", path, i);
    const char *text = tn_sprintf(&f->arena, "%s %s", left, right);
    *out = (TernText){text, strlen(text)};
    return TERN_OK;
}

TernStatus tn_hf_merges(TnHfFolder *f, const char *path, const json_t *model, const TernText **out,
                        size_t *out_n, TernError *err) {
    const json_t *list = json_object_get(model, "merges");
    size_t n = json_array_size(list);
    if (!json_is_array(list)) return tn_fail(err, TERN_ERR_INPUT, "%s: model has no array \"merges\"", path);
    if (n > MERGES_MAX)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %zu merges, expected at most %d", path, n, MERGES_MAX);
    TernText *texts = tn_alloc_array(&f->arena, n + 1, sizeof *texts);
    for (size_t i = 0; i < n; i++) TN_TRY(merge(f, path, i, json_array_get(list, i), &texts[i], err));
    *out = texts;
    *out_n = n;
    return TERN_OK;
}

/* ---- The pre-tokenizer */

static const char *type_of(const json_t *v) {
    const char *type = json_string_value(json_object_get(v, "type"));
    return type ? type : "";
}

/* Appends the line for a step; false if it is of a kind that no row has. */
static bool step(const json_t *v, TnBuf *out) {
    const char *type = type_of(v),
               *regex = json_string_value(json_object_get(json_object_get(v, "pattern"), "Regex"));
    const char *behavior = json_string_value(json_object_get(v, "behavior"));
    const char *comma = out->len ? "\n" : "";
    if (strcmp(type, "ByteLevel") == 0) {
        if (json_is_true(json_object_get(v, "add_prefix_space"))) return false;
        if (!json_is_false(json_object_get(v, "use_regex"))) tn_buf_printf(out, "%sbytes", comma);
        return true;
    }
    if (strcmp(type, "Digits") == 0) {
        bool each = json_is_true(json_object_get(v, "individual_digits"));
        tn_buf_printf(out, "%s%s", comma, each ? "digit" : "digits");
        return true;
    }
    if (strcmp(type, "Punctuation") == 0) {
        tn_buf_printf(out, "%spunctuation", comma);
        return behavior && strcmp(behavior, "Contiguous") == 0;
    }
    if (strcmp(type, "Split") != 0 || !regex || !behavior) return false;
    bool inverted = json_is_true(json_object_get(v, "invert"));
    tn_buf_printf(out, "%sregex %s", comma, regex);
    return strcmp(behavior, inverted ? "Removed" : "Isolated") == 0;
}

static bool steps(const json_t *v, TnBuf *out) {
    const json_t *list = json_object_get(v, "pretokenizers");
    if (strcmp(type_of(v), "Sequence") != 0) return step(v, out);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!step(json_array_get(list, i), out)) return false;
    return true;
}

static TernStatus refuse_pre(const Bpe *b, const char *says) {
    TnBuf names = {0};
    tn_pre_list(&names);
    TernStatus st = tn_fail(
        b->err, TERN_ERR_UNSUPPORTED,
        "%s: the pre-tokenizer is not known: '%s'; convert the folder with TerncConvert.pre, one of %s",
        b->path, says, names.data);
    tn_buf_free(&names);
    return st;
}

static TernStatus pre(const Bpe *b) {
    bool whole = json_is_true(json_object_get(b->model, "ignore_merges"));
    const json_t *v = json_object_get(b->tokenizer, "pre_tokenizer");
    const char *name = b->options->pre;
    if (!name) {
        TnBuf says = {0};
        bool known = steps(v, &says);
        tn_buf_puts(&says, "");
        uint32_t row = known ? tn_pre_of_steps(says.data, whole) : TN_PRE_NONE;
        TernStatus st = row == TN_PRE_NONE ? refuse_pre(b, says.len ? says.data : type_of(v)) : TERN_OK;
        tn_buf_free(&says);
        TN_TRY(st);
        name = tn_pre_name(row);
    }
    uint32_t row = tn_pre_find((TernText){name, strlen(name)});
    if (row == TN_PRE_NONE || (tn_pre_flags(row) & TN_VOCAB_CHARACTERS)) return refuse_pre(b, name);
    if (whole && !(tn_pre_flags(row) & TN_VOCAB_IGNORE_MERGES))
        tn_hf_note(b->options, "%s: ignore_merges is true, which pre-tokenizer %s does not do", b->path,
                   name);
    tn_gguf_put_str(b->w, "tokenizer.ggml.pre", name, strlen(name));
    return TERN_OK;
}

static TernStatus normalizer(const Bpe *b) {
    const json_t *v = json_object_get(b->tokenizer, "normalizer");
    if (!v || json_is_null(v)) return TERN_OK;
    if (strcmp(type_of(v), "NFC") != 0)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: the normalizer is of type '%s', expected none or NFC", b->path, type_of(v));
    tn_hf_note(b->options, "%s: the normalizer NFC is not applied: compose characters before Tern reads them",
               b->path);
    return TERN_OK;
}

/* ---- What is put around a text */

static const json_t *template_of(const json_t *v) {
    const json_t *list = json_object_get(v, "processors");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(type_of(json_array_get(list, i)), "TemplateProcessing") == 0)
            return json_array_get(list, i);
    return v;
}

static bool is_special(const json_t *piece) {
    return json_is_object(json_object_get(piece, "SpecialToken"));
}

void tn_hf_around(const json_t *tokenizer, TnGgufWriter *w) {
    static const char add_bos[] = "tokenizer.ggml.add_bos_token", add_eos[] = "tokenizer.ggml.add_eos_token";
    const json_t *v = template_of(json_object_get(tokenizer, "post_processor")), *single;
    if (!json_is_object(v)) return;
    single = json_object_get(v, "single");
    size_t n = json_array_size(single);
    if (!tn_gguf_put_has(w, add_bos))
        tn_gguf_put_bool(w, add_bos, n && is_special(json_array_get(single, 0)));
    if (!tn_gguf_put_has(w, add_eos))
        tn_gguf_put_bool(w, add_eos, n > 1 && is_special(json_array_get(single, n - 1)));
}

void tn_hf_put_tokens(TnHfFolder *f, TnHfTokens *t, TnGgufWriter *w) {
    for (size_t i = 0; i < t->n; i++) {
        if (t->texts[i].data) continue;
        const char *text = tn_sprintf(&f->arena, "[PAD%zu]", i);
        t->texts[i] = (TernText){text, strlen(text)};
    }
    tn_gguf_put_strs(w, "tokenizer.ggml.tokens", t->texts, t->n);
    tn_gguf_put_array(w, "tokenizer.ggml.token_type", TN_GGUF_I32, t->types, t->n);
}

TernStatus tn_hf_bpe(TnHfFolder *f, const TnHfConfig *c, const TnHfOptions *options, const char *path,
                     const json_t *tokenizer, TnGgufWriter *w, TernError *err) {
    Bpe b = {f, options, path, tokenizer, json_object_get(tokenizer, "model"), w, err};
    const char *model = tn_byte_bpe.model;
    TnHfTokens t;
    tn_hf_tokens_create(f, c->vocab, false, &t);
    TN_TRY(normalizer(&b));
    TN_TRY(tn_hf_vocab(f, path, tokenizer, &t, err));
    tn_gguf_put_str(w, "tokenizer.ggml.model", model, strlen(model));
    TN_TRY(pre(&b));
    tn_hf_put_tokens(f, &t, w);
    const TernText *merges;
    size_t n_merges;
    TN_TRY(tn_hf_merges(f, path, b.model, &merges, &n_merges, err));
    tn_gguf_put_strs(w, "tokenizer.ggml.merges", merges, n_merges);
    tn_hf_around(tokenizer, w);
    return TERN_OK;
}
