/* tokenizer.json of SentencePiece's BPE, where tokenizer.model is not beside it.
 *
 * Hugging Face writes such a model as BPE of characters with byte_fallback. What SentencePiece does with scores is a list of
 * merges there: for each piece, from the best to the worst, all ways to divide it into two pieces. So the scores are the
 * order of the pieces in that list, and the vocabulary becomes SentencePiece's again (tokenizer.ggml.model llama), if
 *   - the merges of a piece stand side by side, and
 *   - no way to divide a piece into two is missing.
 * Otherwise the merges are not SentencePiece's but somebody's own, and are written as they are, for BPE of characters.
 *
 *   model          {"type": "BPE", "byte_fallback": true, "vocab": .., "merges": .., "unk_token": text}
 *   normalizer     none, Replace of " " by U+2581, Prepend of U+2581, or several of these
 *   pre_tokenizer  none, Metaspace, or Split at " ", which the normalizer has left none of
 *   decoder        none, Replace, ByteFallback, Fuse, Strip, Metaspace, or several of these: the same the other way
 *
 * Everything else is refused by name. */
#include <stdlib.h>
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/map.h"
#include "runtime/text/pieces.h"
#include "runtime/text/pretok.h"

#define SPACE "\xe2\x96\x81"

typedef struct Pieces {
    TnHfFolder *f;
    const TnHfOptions *options;
    const char *path;
    const json_t *tokenizer, *model;
    TnGgufWriter *w;
    TnHfTokens t;
    TnMap ids;   /* of all tokens */
    bool prefix; /* a space is put in front of a text */
    bool words;  /* a piece ends before a space */
    TernError *err;
} Pieces;

/* ---- What is around the model */

static const char *text_in(const json_t *v, const char *member) {
    const char *text = json_string_value(json_object_get(v, member));
    return text ? text : "";
}

static TernStatus refuse(const Pieces *p, const char *what, const json_t *v, const char *expected) {
    return tn_fail(p->err, TERN_ERR_UNSUPPORTED, "%s: the %s is of type '%s', expected %s", p->path, what,
                   text_in(v, "type"), expected);
}

/* Calls step() on v, or on each member of a Sequence. */
typedef TernStatus Step(Pieces *p, const json_t *v);
static TernStatus each(Pieces *p, const char *member, const char *list_name, Step *step) {
    const json_t *v = json_object_get(p->tokenizer, member);
    if (!v || json_is_null(v)) return TERN_OK;
    if (strcmp(text_in(v, "type"), "Sequence") != 0) return step(p, v);
    const json_t *list = json_object_get(v, list_name);
    for (size_t i = 0; i < json_array_size(list); i++) TN_TRY(step(p, json_array_get(list, i)));
    return TERN_OK;
}

static bool replaces(const json_t *v, const char *from, const char *to) {
    return strcmp(text_in(json_object_get(v, "pattern"), "String"), from) == 0 &&
           strcmp(text_in(v, "content"), to) == 0;
}

static TernStatus normalizer(Pieces *p, const json_t *v) {
    const char *type = text_in(v, "type");
    if (strcmp(type, "Replace") == 0 && replaces(v, " ", SPACE)) return TERN_OK;
    if (strcmp(type, "Prepend") == 0 && strcmp(text_in(v, "prepend"), SPACE) == 0) {
        p->prefix = true;
        return TERN_OK;
    }
    return refuse(p, "normalizer", v, "none, Prepend of U+2581, or Replace of a space by it");
}

static TernStatus metaspace(Pieces *p, const json_t *v) {
    const json_t *old = json_object_get(v, "add_prefix_space"), *split = json_object_get(v, "split");
    const char *scheme = text_in(v, "prepend_scheme");
    if (!*scheme) scheme = json_is_false(old) ? "never" : "always";
    if (strcmp(text_in(v, "replacement"), SPACE) != 0)
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED, "%s: Metaspace replaces spaces by '%s', expected U+2581",
                       p->path, text_in(v, "replacement"));
    if (strcmp(scheme, "never") != 0 && strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0)
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED,
                       "%s: prepend_scheme is '%s', expected always, first or never", p->path, scheme);
    p->words = !json_is_false(split);
    if (strcmp(scheme, "never") == 0) return TERN_OK;
    p->prefix = true;
    tn_hf_note(p->options,
               "%s: Metaspace puts a space in front of %s that has none; as SentencePiece, Tern puts one in "
               "front of every stretch of text",
               p->path, scheme[0] == 'f' ? "the first word" : "a stretch of text");
    return TERN_OK;
}

static TernStatus pre_tokenizer(Pieces *p, const json_t *v) {
    const char *type = text_in(v, "type");
    if (strcmp(type, "Metaspace") == 0) return metaspace(p, v);
    if (strcmp(type, "Split") == 0 && strcmp(text_in(json_object_get(v, "pattern"), "String"), " ") == 0)
        return TERN_OK;
    return refuse(p, "pre-tokenizer", v, "none, Metaspace, or Split at a space");
}

static TernStatus decoder(Pieces *p, const json_t *v) {
    static const char *const known[] = {"ByteFallback", "Fuse", "Strip", "Metaspace"};
    const char *type = text_in(v, "type");
    for (size_t i = 0; i < TN_COUNT(known); i++)
        if (strcmp(type, known[i]) == 0) return TERN_OK;
    if (strcmp(type, "Replace") == 0 && replaces(v, SPACE, " ")) return TERN_OK;
    return refuse(p, "decoder", v,
                  "none, Replace of U+2581 by a space, ByteFallback, Fuse, Strip or Metaspace");
}

/* Members of the model that change what it does. */
static TernStatus check_model(const Pieces *p) {
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *dropout = json_object_get(p->model, "dropout");
    for (size_t i = 0; i < TN_COUNT(texts); i++)
        if (*text_in(p->model, texts[i]))
            return tn_fail(p->err, TERN_ERR_UNSUPPORTED, "%s: %s is '%s', expected none", p->path, texts[i],
                           text_in(p->model, texts[i]));
    if (json_is_true(json_object_get(p->model, "ignore_merges")))
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED,
                       "%s: ignore_merges is true in a model with byte_fallback, expected false", p->path);
    if (json_is_number(dropout) && json_number_value(dropout) != 0)
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED, "%s: dropout is %g, expected none", p->path,
                       json_number_value(dropout));
    return TERN_OK;
}

/* ---- Merges and scores */

typedef struct Merge {
    uint32_t left, right, merged;
} Merge;

static uint32_t id_of(const Pieces *p, const char *text, size_t n) {
    return tn_map_get(&p->ids, text, n);
}

static TernStatus read_merge(const Pieces *p, size_t i, const TernText *both, Merge *m) {
    const char *space = memchr(both->data, ' ', both->size);
    *m = (Merge){TN_MAP_NONE, TN_MAP_NONE, TN_MAP_NONE};
    if (space) {
        size_t left = (size_t)(space - both->data), right = both->size - left - 1;
        const char *merged = tn_sprintf(&p->f->arena, "%.*s%s", (int)left, both->data, space + 1);
        *m = (Merge){id_of(p, both->data, left), id_of(p, space + 1, right), id_of(p, merged, left + right)};
    }
    if (m->left != TN_MAP_NONE && m->right != TN_MAP_NONE && m->merged != TN_MAP_NONE) return TERN_OK;
    return tn_fail(p->err, TERN_ERR_INPUT, "%s: merge %zu is '%.*s', expected two tokens that make a third",
                   p->path, i, TN_SHOW(*both));
}

static int by_pair(const void *pa, const void *pb) {
    const Merge *a = pa, *b = pb;
    if (a->left != b->left) return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

/* Whether every way to divide a piece into two is a merge; list is sorted by pairs. */
static bool is_whole(const Pieces *p, const Merge *list, size_t n) {
    for (size_t id = 0; id < p->t.n; id++) {
        TernText t = p->t.texts[id];
        if (p->t.types[id] != TN_HF_NORMAL || !t.data) continue;
        for (size_t at = 1; at < t.size; at++) {
            if ((t.data[at] & 0xc0) == 0x80) continue;
            Merge m = {id_of(p, t.data, at), id_of(p, t.data + at, t.size - at), 0};
            bool plain = m.left != TN_MAP_NONE && m.right != TN_MAP_NONE &&
                         p->t.types[m.left] == TN_HF_NORMAL && p->t.types[m.right] == TN_HF_NORMAL;
            if (plain && !bsearch(&m, list, n, sizeof m, by_pair)) return false;
        }
    }
    return true;
}

/* Gives each piece the place of its merges for a score. False: the merges of some piece do not stand side by side. */
static bool score(Pieces *p, const Merge *list, size_t n) {
    uint32_t place = 0;
    for (size_t i = 0; i < p->t.n; i++) p->t.scores[i] = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && list[i].merged == list[i - 1].merged) continue;
        if (p->t.scores[list[i].merged] != 0) return false;
        p->t.scores[list[i].merged] = -(float)++place;
    }
    for (size_t i = 0; i < p->t.n; i++) /* characters, which no merge makes */
        if (p->t.scores[i] == 0) p->t.scores[i] = -(float)(place + 1);
    return true;
}

/* Whether lines can be merged one by one, as BPE of characters does. */
static bool keeps_lines(const Pieces *p) {
    for (size_t id = 0; id < p->t.n; id++) {
        TernText t = p->t.texts[id];
        if (p->t.types[id] != TN_HF_NORMAL || !t.data) continue;
        for (size_t i = 1; i < t.size; i++)
            if ((t.data[i] == '\n') != (t.data[0] == '\n')) return false;
    }
    return true;
}

static bool ends_words(const Pieces *p) {
    for (size_t id = 0; id < p->t.n; id++) {
        TernText t = p->t.texts[id];
        if (p->t.types[id] != TN_HF_NORMAL || !t.data) continue;
        for (size_t i = 1; i + 2 < t.size; i++)
            if (memcmp(t.data + i, SPACE, 3) == 0) return false;
    }
    return true;
}

/* ---- All of it */

static TernStatus put_merges(const Pieces *p, const TernText *texts, size_t n) {
    const char *model = tn_byte_bpe.model, *pre = tn_pre_of_characters();
    if (p->prefix || !keeps_lines(p))
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED,
                       "%s: the merges are not those of SentencePiece, and %s: expected one or the other",
                       p->path, p->prefix ? "a space is put in front of texts" : "tokens cross line ends");
    tn_gguf_put_str(p->w, "tokenizer.ggml.model", model, strlen(model));
    tn_gguf_put_str(p->w, "tokenizer.ggml.pre", pre, strlen(pre));
    tn_gguf_put_strs(p->w, "tokenizer.ggml.merges", texts, n);
    return TERN_OK;
}

static TernStatus put_scores(const Pieces *p) {
    const char *model = tn_sentencepiece.model;
    tn_gguf_put_str(p->w, "tokenizer.ggml.model", model, strlen(model));
    tn_gguf_put_bool(p->w, "tokenizer.ggml.add_space_prefix", p->prefix);
    tn_gguf_put_array(p->w, "tokenizer.ggml.scores", TN_GGUF_F32, p->t.scores, p->t.n);
    return TERN_OK;
}

static TernStatus put_model(Pieces *p) {
    const TernText *texts;
    size_t n;
    for (size_t i = 0; i < p->t.n; i++)
        if (p->t.texts[i].data) tn_map_set(&p->ids, p->t.texts[i].data, p->t.texts[i].size, (uint32_t)i);
    TN_TRY(tn_hf_merges(p->f, p->path, p->model, &texts, &n, p->err));
    Merge *list = tn_alloc_array(&p->f->arena, n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) TN_TRY(read_merge(p, i, &texts[i], &list[i]));
    bool side_by_side = score(p, list, n);
    qsort(list, n, sizeof *list, by_pair);
    return side_by_side && is_whole(p, list, n) ? put_scores(p) : put_merges(p, texts, n);
}

/* Bytes and the unknown token, by their texts. */
static void set_types(Pieces *p) {
    const char *unk = text_in(p->model, "unk_token");
    for (size_t i = 0; i < p->t.n; i++) {
        TernText t = p->t.texts[i];
        if (!t.data) continue;
        if (p->t.types[i] == TN_HF_NORMAL && tn_piece_byte(t) >= 0) p->t.types[i] = TN_HF_BYTE;
        if (!*unk || t.size != strlen(unk) || memcmp(t.data, unk, t.size) != 0) continue;
        p->t.types[i] = TN_HF_UNKNOWN;
        if (!tn_gguf_put_has(p->w, "tokenizer.ggml.unknown_token_id"))
            tn_gguf_put_u32(p->w, "tokenizer.ggml.unknown_token_id", (uint32_t)i);
    }
}

TernStatus tn_hf_pieces(TnHfFolder *f, const TnHfConfig *c, const TnHfOptions *options, const char *path,
                        const json_t *tokenizer, TnGgufWriter *w, TernError *err) {
    Pieces p = {.f = f, .options = options, .path = path, .tokenizer = tokenizer, .w = w, .err = err};
    p.model = json_object_get(tokenizer, "model");
    tn_hf_tokens_create(f, c->vocab, true, &p.t);
    TN_TRY(check_model(&p));
    TN_TRY(each(&p, "normalizer", "normalizers", normalizer));
    TN_TRY(each(&p, "pre_tokenizer", "pretokenizers", pre_tokenizer));
    TN_TRY(each(&p, "decoder", "decoders", decoder));
    TN_TRY(tn_hf_vocab(f, path, tokenizer, &p.t, err));
    set_types(&p);
    if (p.words && !ends_words(&p))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "%s: Metaspace cuts texts before every space, but tokens have a space after something "
                       "else",
                       path);
    TernStatus st = put_model(&p);
    tn_map_free(&p.ids);
    TN_TRY(st);
    tn_hf_put_tokens(f, &p.t, w);
    tn_hf_around(tokenizer, w);
    return TERN_OK;
}
