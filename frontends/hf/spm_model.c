/* tokenizer.model of SentencePiece: a message of protocol buffers.
 *
 * A message is fields, each a number (field << 3 | wire type) and a value: a number of 7-bit groups (0), 8 bytes (1), a length
 * and that many bytes (2), or 4 bytes (5). Of the fields of sentencepiece_model.proto these are read:
 *
 *   1  a piece: 1 its text, 2 its score, 3 its type (the numbers of GGUF are the same)
 *   2  how it was trained: 3 the algorithm, 40 to 43 the ids of unk, bos, eos and pad (-1: none)
 *   3  how texts are prepared: 1 a name, 3 a space put before a text, 4 runs of spaces become one, 5 spaces become U+2581
 *
 * All else is passed over, as protocol buffers ask of their readers. */
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/reader.h"
#include "runtime/text/tokenizer.h"

#define FILE_MOST ((size_t)64 << 20)
enum { ALGORITHM_BPE = 2 };

typedef struct Field {
    uint32_t number, wire;
    uint64_t value; /* of wire 0; bits of 1 and 5 */
    TnReader bytes; /* of wire 2 */
} Field;

typedef struct Spm {
    TnHfFolder *f;
    const char *path;
    TnHfTokens *tokens;
    size_t n;
    uint64_t algorithm;
    int64_t unk, bos, eos, pad;
    bool prefix, squeeze, escape;
    char name[32];
    TernError *err;
} Spm;

static TernStatus damaged(const Spm *s, const char *what) {
    return tn_fail(s->err, TERN_ERR_INPUT, "%s: %s: not a model of SentencePiece, or damaged", s->path, what);
}

static bool varint(TnReader *r, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b;
        if (!tn_read_u8(r, &b)) return false;
        *out |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) return true;
    }
    return false;
}

static TernStatus next(const Spm *s, TnReader *r, Field *f) {
    uint64_t tag, n;
    uint32_t four;
    *f = (Field){0};
    if (!varint(r, &tag) || tag >> 3 == 0 || tag >> 3 >= 1u << 29)
        return damaged(s, "a field without a number");
    f->number = (uint32_t)(tag >> 3);
    f->wire = (uint32_t)(tag & 7);
    switch (f->wire) {
    case 0:
        return varint(r, &f->value) ? TERN_OK : damaged(s, "a number is cut short");
    case 1:
        return tn_read_u64(r, &f->value) ? TERN_OK : damaged(s, "a number is cut short");
    case 2: {
        const void *p = varint(r, &n) ? tn_read(r, n) : NULL;
        if (!p) return damaged(s, "a field is longer than what holds it");
        f->bytes = tn_reader(p, n);
        return TERN_OK;
    }
    case 5:
        if (!tn_read_u32(r, &four)) return damaged(s, "a number is cut short");
        f->value = four;
        return TERN_OK;
    default:
        return damaged(s, "a field of unknown wire type");
    }
}

static TernStatus piece(Spm *s, TnReader r) {
    TernText text = {"", 0};
    float score = 0;
    uint64_t type = TN_HF_NORMAL;
    while (tn_left(&r)) {
        Field f;
        TN_TRY(next(s, &r, &f));
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1 && f.wire == 2) text = (TernText){(const char *)f.bytes.base, f.bytes.size};
        if (f.number == 2 && f.wire == 5) memcpy(&score, &bits, 4);
        if (f.number == 3 && f.wire == 0) type = f.value;
    }
    if (type < TN_HF_NORMAL || type > TN_HF_BYTE)
        return tn_fail(s->err, TERN_ERR_INPUT, "%s: piece %zu is of type %llu, expected 1 to 6", s->path,
                       s->n, (unsigned long long)type);
    if (!(score >= -1e30f && score <= 1e30f))
        return tn_fail(s->err, TERN_ERR_INPUT, "%s: the score of piece %zu is not a number", s->path, s->n);
    TN_TRY(tn_hf_put_token(s->f, s->path, s->tokens, s->n, text.data, text.size, (int32_t)type, s->err));
    s->tokens->scores[s->n++] = score;
    return TERN_OK;
}

static TernStatus trainer(Spm *s, TnReader r) {
    while (tn_left(&r)) {
        Field f;
        TN_TRY(next(s, &r, &f));
        if (f.wire != 0) continue;
        int64_t v = (int32_t)f.value;
        if (f.number == 3) s->algorithm = f.value;
        if (f.number == 40) s->unk = v;
        if (f.number == 41) s->bos = v;
        if (f.number == 42) s->eos = v;
        if (f.number == 43) s->pad = v;
    }
    return TERN_OK;
}

static TernStatus normalizer(Spm *s, TnReader r) {
    while (tn_left(&r)) {
        Field f;
        TN_TRY(next(s, &r, &f));
        if (f.number == 1 && f.wire == 2) {
            size_t n = f.bytes.size < sizeof s->name - 1 ? f.bytes.size : sizeof s->name - 1;
            memcpy(s->name, f.bytes.base, n);
            s->name[n] = 0;
        }
        if (f.wire != 0) continue;
        if (f.number == 3) s->prefix = f.value;
        if (f.number == 4) s->squeeze = f.value;
        if (f.number == 5) s->escape = f.value;
    }
    return TERN_OK;
}

static TernStatus parse(Spm *s, TnReader r) {
    while (tn_left(&r)) {
        Field f;
        TN_TRY(next(s, &r, &f));
        if (f.wire != 2) continue;
        if (f.number == 1) TN_TRY(piece(s, f.bytes));
        if (f.number == 2) TN_TRY(trainer(s, f.bytes));
        if (f.number == 3) TN_TRY(normalizer(s, f.bytes));
    }
    if (s->n == 0) return damaged(s, "no pieces");
    if (s->algorithm != ALGORITHM_BPE)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED, "%s: algorithm %llu of SentencePiece, expected 2 (BPE)",
                       s->path, (unsigned long long)s->algorithm);
    if (*s->name && strcmp(s->name, "identity") != 0)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED, "%s: texts are prepared by '%s', expected identity",
                       s->path, s->name);
    if (!s->escape)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED, "%s: escape_whitespaces is false, expected true",
                       s->path);
    return TERN_OK;
}

static void put_id(const Spm *s, TnGgufWriter *w, const char *key, int64_t id) {
    if (id >= 0 && (size_t)id < s->n && !tn_gguf_put_has(w, key)) tn_gguf_put_u32(w, key, (uint32_t)id);
}

TernStatus tn_hf_spm(TnHfFolder *f, const TnHfConfig *c, const char *path, TnGgufWriter *w,
                     TnHfTokens *tokens, TernError *err) {
    TnFile file;
    Spm s = {.f = f,
             .path = path,
             .tokens = tokens,
             .algorithm = 1,
             .unk = 0,
             .bos = 1,
             .eos = 2,
             .pad = -1,
             .prefix = true,
             .squeeze = true,
             .escape = true,
             .err = err}; /* the format's defaults */
    const char *model = tn_sentencepiece.model;
    TN_TRY(tn_file_map(path, &file, err));
    tn_hf_tokens_create(f, c->vocab, true, tokens);
    TernStatus st =
        file.size > FILE_MOST ? damaged(&s, "more than 64 MB") : parse(&s, tn_reader(file.data, file.size));
    tn_file_unmap(&file);
    TN_TRY(st);
    tn_gguf_put_str(w, "tokenizer.ggml.model", model, strlen(model));
    tn_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", s.prefix);
    if (s.squeeze) tn_gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", true);
    put_id(&s, w, "tokenizer.ggml.unknown_token_id", s.unk);
    put_id(&s, w, "tokenizer.ggml.bos_token_id", s.bos);
    put_id(&s, w, "tokenizer.ggml.eos_token_id", s.eos);
    put_id(&s, w, "tokenizer.ggml.padding_token_id", s.pad);
    return TERN_OK;
}
