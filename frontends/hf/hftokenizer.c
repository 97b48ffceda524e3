/* The vocabulary of a folder.
 *
 *   tokenizer.json                     byte-level BPE (hfbpe.c), if that is what it holds
 *   tokenizer.model                    otherwise: SentencePiece (spm_model.c)
 *   tokenizer.json                     SentencePiece's BPE, if there is no tokenizer.model (hfpieces.c)
 *   tokenizer_config.json              what is put around texts, the chat template, added tokens
 *   added_tokens.json                  the same in an older form, for SentencePiece
 *   chat_template.jinja                the chat template of newer folders, which wins
 *   generation_config.json, config.json   the ids of special tokens; the first of them that says one wins
 *
 * A model may end an answer with several tokens: the first is eos, the others become eot and eom. */
#include <stdlib.h>
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/text/tokenizer.h"

#define TEMPLATE_MOST ((size_t)1 << 20)

typedef struct Tok {
    TnHfFolder *f;
    const TnHfConfig *c;
    const TnHfOptions *options;
    TnGgufWriter *w;
    json_t *json, *config, *generation; /* NULL: absent */
    const char *config_path;
    TernError *err;
} Tok;

void tn_hf_tokens_create(TnHfFolder *f, size_t n, bool scores, TnHfTokens *out) {
    *out = (TnHfTokens){.n = n};
    out->texts = tn_alloc_array(&f->arena, n, sizeof *out->texts);
    out->types = tn_alloc_array(&f->arena, n, sizeof *out->types);
    if (scores) out->scores = tn_alloc_array(&f->arena, n, sizeof *out->scores);
    for (size_t i = 0; i < n; i++) out->types[i] = TN_HF_UNUSED;
}

/* ---- Ids */

static TernStatus put_id(const Tok *t, const char *key, const json_t *v, const char *path) {
    if (!v || json_is_null(v) || tn_gguf_put_has(t->w, key)) return TERN_OK;
    if (json_is_integer(v) && json_integer_value(v) == -1) return TERN_OK; /* none */
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) >= t->c->vocab)
        return tn_fail(t->err, TERN_ERR_INPUT,
                       "%s: the id for %s is not a whole number below vocab_size, %llu", path, key,
                       (unsigned long long)t->c->vocab);
    tn_gguf_put_u32(t->w, key, (uint32_t)json_integer_value(v));
    return TERN_OK;
}

static TernStatus put_ends(const Tok *t, const json_t *v, const char *path) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    if (!json_is_array(v)) return put_id(t, keys[0], v, path);
    if (tn_gguf_put_has(t->w, keys[0])) return TERN_OK;
    if (json_array_size(v) > TN_COUNT(keys))
        tn_hf_note(t->options, "%s: eos_token_id has %zu ids; those after the third do not end an answer",
                   path, json_array_size(v));
    for (size_t i = 0; i < json_array_size(v) && i < TN_COUNT(keys); i++)
        TN_TRY(put_id(t, keys[i], json_array_get(v, i), path));
    return TERN_OK;
}

static TernStatus put_ids(const Tok *t, const json_t *from, const char *path) {
    TN_TRY(put_ends(t, json_object_get(from, "eos_token_id"), path));
    TN_TRY(put_id(t, "tokenizer.ggml.bos_token_id", json_object_get(from, "bos_token_id"), path));
    return put_id(t, "tokenizer.ggml.padding_token_id", json_object_get(from, "pad_token_id"), path);
}

/* ---- tokenizer_config.json */

static TernStatus put_flags(const Tok *t) {
    static const char *const names[][2] = {{"add_bos_token", "tokenizer.ggml.add_bos_token"},
                                           {"add_eos_token", "tokenizer.ggml.add_eos_token"}};
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        const json_t *v = json_object_get(t->config, names[i][0]);
        if (!v || json_is_null(v)) continue;
        if (!json_is_boolean(v))
            return tn_fail(t->err, TERN_ERR_INPUT, "%s: %s is not true or false", t->config_path,
                           names[i][0]);
        tn_gguf_put_bool(t->w, names[i][1], json_is_true(v));
    }
    return TERN_OK;
}

/* A text, or an array of templates with names. */
static const json_t *template_of(const json_t *config) {
    const json_t *v = json_object_get(config, "chat_template");
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        const json_t *entry = json_array_get(v, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0) return json_object_get(entry, "template");
    }
    return v;
}

static TernStatus put_template(const Tok *t) {
    static const char key[] = "tokenizer.chat_template";
    const char *path = tn_hf_path(t->f, "chat_template.jinja");
    const json_t *v = template_of(t->config);
    if (tn_os_exists(path)) {
        char *text;
        size_t n;
        TN_TRY(tn_file_read(path, TEMPLATE_MOST, &text, &n, t->err));
        tn_gguf_put_str(t->w, key, text, n);
        free(text);
    } else if (json_is_string(v)) {
        tn_gguf_put_str(t->w, key, json_string_value(v), json_string_length(v));
    }
    return TERN_OK;
}

/* ---- Tokens */

static const char *model_type(const json_t *tokenizer) {
    const json_t *model = json_object_get(tokenizer, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    return type ? type : json_is_array(json_object_get(model, "merges")) ? "BPE" : "";
}

/* Whether a tokenizer.json of BPE is byte-level. SentencePiece's BPE is written into such files too: with tokens for bytes. */
static bool is_byte_level(const json_t *tokenizer) {
    return !json_is_true(json_object_get(json_object_get(tokenizer, "model"), "byte_fallback"));
}

/* {"32000": {"content": .., "special": ..}}, for tokens that tokenizer.model does not have. */
static TernStatus put_decoder(const Tok *t, TnHfTokens *tokens) {
    json_t *decoder = json_object_get(t->config, "added_tokens_decoder"), *entry;
    const char *id;
    json_object_foreach(decoder, id, entry) {
        char *end;
        unsigned long long n = strtoull(id, &end, 10);
        const json_t *text = json_object_get(entry, "content");
        if (*end || end == id || *id == '-' || !json_is_string(text))
            return tn_fail(t->err, TERN_ERR_INPUT,
                           "%s: added_tokens_decoder has '%s' without an id or content", t->config_path, id);
        if (n < tokens->n && tokens->texts[n].data) continue; /* a piece that is listed again */
        int32_t type = json_is_true(json_object_get(entry, "special")) ? TN_HF_CONTROL : TN_HF_USER;
        TN_TRY(tn_hf_put_token(t->f, t->config_path, tokens, n, json_string_value(text),
                               json_string_length(text), type, t->err));
    }
    return TERN_OK;
}

/* {"<pad>": 32000}, the older form. */
static TernStatus put_old_added(const Tok *t, TnHfTokens *tokens) {
    const char *path = tn_hf_path(t->f, "added_tokens.json"), *text;
    json_t *all, *id;
    TN_TRY(tn_hf_json_file(path, false, &all, t->err));
    TernStatus st = TERN_OK;
    json_object_foreach(all, text, id) {
        json_int_t n = json_integer_value(id);
        if (!json_is_integer(id) || n < 0)
            st = tn_fail(t->err, TERN_ERR_INPUT, "%s: token '%s' has no id", path, text);
        else if ((size_t)n >= tokens->n ||
                 !tokens->texts[n].data) /* else listed in tokenizer_config.json, too */
            st = tn_hf_put_token(t->f, path, tokens, (uint64_t)n, text, strlen(text), TN_HF_USER, t->err);
        if (st != TERN_OK) break;
    }
    json_decref(all);
    return st;
}

static TernStatus put_sentencepiece(const Tok *t, const char *path) {
    const float unused = -10000; /* never the best merge */
    TnHfTokens tokens;
    TN_TRY(tn_hf_spm(t->f, t->c, path, t->w, &tokens, t->err));
    TN_TRY(put_decoder(t, &tokens));
    TN_TRY(put_old_added(t, &tokens));
    for (size_t i = 0; i < tokens.n; i++)
        if (tokens.types[i] == TN_HF_UNUSED || (tokens.scores[i] == 0 && tokens.types[i] == TN_HF_USER))
            tokens.scores[i] = unused;
    tn_gguf_put_array(t->w, "tokenizer.ggml.scores", TN_GGUF_F32, tokens.scores, tokens.n);
    tn_hf_put_tokens(t->f, &tokens, t->w);
    return TERN_OK;
}

static TernStatus put_all(Tok *t) {
    const char *json = tn_hf_path(t->f, "tokenizer.json"), *spm = tn_hf_path(t->f, "tokenizer.model");
    const char *generation = tn_hf_path(t->f, "generation_config.json");
    TN_TRY(tn_hf_json_file(json, false, &t->json, t->err));
    TN_TRY(tn_hf_json_file(t->config_path, false, &t->config, t->err));
    TN_TRY(tn_hf_json_file(generation, false, &t->generation, t->err));
    bool bpe = t->json && strcmp(model_type(t->json), "BPE") == 0, bytes = bpe && is_byte_level(t->json);
    bool pieces = !bytes && tn_os_exists(spm);
    if (!bpe && !pieces && t->json)
        return tn_fail(t->err, TERN_ERR_UNSUPPORTED,
                       "%s: the model is of type '%s', expected BPE, or %s beside it", json,
                       model_type(t->json), spm);
    if (!bpe && !pieces) {
        tn_hf_note(t->options, "%s: the folder has no tokenizer: no tokenizer.json or tokenizer.model",
                   t->f->path);
        return TERN_OK;
    }
    TN_TRY(put_ids(t, t->generation, generation));
    TN_TRY(put_ids(t, t->c->json, t->c->path));
    TN_TRY(put_flags(t));
    TN_TRY(put_template(t));
    if (pieces) return put_sentencepiece(t, spm);
    return (bytes ? tn_hf_bpe : tn_hf_pieces)(t->f, t->c, t->options, json, t->json, t->w, t->err);
}

TernStatus tn_hf_tokenizer(TnHfFolder *f, const TnHfConfig *c, const TnHfOptions *options, TnGgufWriter *w,
                           TernError *err) {
    Tok t = {.f = f, .c = c, .options = options, .w = w, .err = err};
    t.config_path = tn_hf_path(f, "tokenizer_config.json");
    TernStatus st = put_all(&t);
    json_decref(t.json);
    json_decref(t.config);
    json_decref(t.generation);
    return st;
}
