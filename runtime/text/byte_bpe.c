/* Byte-level BPE ("gpt2"): a pre-tokenizer cuts a text into words, and the bytes of each word are merged by rank.
 *
 * Files spell bytes as printable characters; the image holds the bytes themselves. Symbols are the tokens, then single
 * bytes and intermediate results of merges that have no token. */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"
#include "runtime/text/words.h"

/* ---- Spelling ---- */

/* GPT-2 spells each byte as one character: a printable character of Latin-1 as itself, and the other bytes as U+0100,
 * U+0101, ... in increasing order. */
typedef struct Letters {
    int16_t byte_of_point[324];
} Letters;

static void make_letters(Letters *l) {
    int other = 256;
    for (int i = 0; i < 324; i++) l->byte_of_point[i] = -1;
    for (int b = 0; b < 256; b++) {
        bool self = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        l->byte_of_point[self ? b : other++] = (int16_t)b;
    }
}

typedef enum Spelling { SPELLS_BYTES, SPELLS_NOTHING, SPELLS_BADLY } Spelling;

/* Appends the bytes that `text` spells. If it spells none, appends nothing and says whether it is valid UTF-8. */
static Spelling put_unspelled(const Letters *l, TnBuf *out, TernText text) {
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
        if (point >= 324 || l->byte_of_point[point] < 0) {
            spells = false;
        } else {
            char byte = (char)l->byte_of_point[point];
            tn_buf_put(out, &byte, 1);
        }
        i += (size_t)len;
    }
    if (!spells) out->len = start;
    return spells ? SPELLS_BYTES : SPELLS_NOTHING;
}

static TnSpelling spell_token(void *user, TernText text, TernTokenType type, TnBuf *out) {
    (void)type;
    switch (put_unspelled(user, out, text)) {
    case SPELLS_BYTES:
        return TN_SPELLED;
    case SPELLS_NOTHING: /* keeps its text */
        tn_buf_put(out, text.data, text.size);
        return TN_SPELLED_APART;
    case SPELLS_BADLY:
        break;
    }
    return TN_SPELLED_BADLY;
}

/* ---- Building ---- */

static TernStatus choose_pre(TnVocabBuild *b, TernError *err) {
    const TernVocabSource *s = b->src;
    b->head.pre = s->pre.data ? tn_pre_find(s->pre) : tn_pre_default(s->n_tokens);
    if (b->head.pre == TN_PRE_NONE) {
        TnBuf names = {0};
        tn_pre_list(&names);
        TernStatus st = tn_fail(err, TERN_ERR_UNSUPPORTED, "tokenizer.ggml.pre is '%.*s', expected %.*s",
                                TN_SHOW(s->pre), (int)names.len, (const char *)names.data);
        tn_buf_free(&names);
        return st;
    }
    b->head.flags = tn_pre_flags(b->head.pre);
    return TERN_OK;
}

static void add_bytes(TnVocabBuild *b) {
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        tn_buf_put(&b->bytes, &c, 1);
        b->head.byte_symbol[byte] = tn_build_intern(b);
    }
}

static bool intern_spelled(TnVocabBuild *b, const Letters *l, TernText text, uint32_t *out_symbol) {
    if (put_unspelled(l, &b->bytes, text) != SPELLS_BYTES) return false;
    *out_symbol = tn_build_intern(b);
    return true;
}

static TernStatus add_merge(TnVocabBuild *b, void *user, size_t i, TernText left, TernText right,
                            TernError *err) {
    const Letters *l = user;
    TnMergeSlot merge = {.rank = (uint32_t)i};
    if (!intern_spelled(b, l, left, &merge.left) || !intern_spelled(b, l, right, &merge.right))
        return tn_fail(
            err, TERN_ERR_INPUT,
            "tokenizer.ggml.merges[%zu] is '%.*s', expected two texts in the byte spelling of GPT-2", i,
            TN_SHOW(b->src->merges[i]));
    put_unspelled(l, &b->bytes, left);
    put_unspelled(l, &b->bytes, right);
    merge.merged = tn_build_intern(b);
    tn_merges_put(b, merge); /* the better rank stays */
    return TERN_OK;
}

static TernStatus build(TnVocabBuild *b, TernError *err) {
    Letters letters;
    make_letters(&letters);
    TN_TRY(choose_pre(b, err));
    TN_TRY(tn_build_tokens(b, spell_token, &letters, err));
    add_bytes(b);
    /* Without the keys, llama.cpp takes 11, which is right for Falcon; for others it is a comma. */
    if (b->head.n_tokens > 11 && b->attrs[11] == TERN_TOKEN_CONTROL) b->head.bos = b->head.eos = 11;
    return tn_words_build(b, add_merge, &letters, err);
}

static TernStatus check(TernVocab *v, TernError *err) {
    return tn_words_check(v, false, err);
}

/* ---- Encoding ---- */

static TernStatus encode_word(void *user, const char *text, size_t size, TernError *err) {
    TnWords *w = user;
    TnEncoder *e = w->encoder;
    const TernVocab *v = tn_encoder_vocab(e);
    const uint8_t *word = (const uint8_t *)text;
    if (size == 1) return tn_encoder_emit_byte(e, word[0], err);
    if (v->head.flags & TN_VOCAB_IGNORE_MERGES) {
        uint32_t symbol = tn_symbol_find(v, word, size);
        if (symbol < v->head.n_tokens) {
            tn_encoder_emit(e, symbol);
            return TERN_OK;
        }
    }
    for (size_t i = 0; i < size; i++)
        TN_TRY(tn_bpe_add(&w->bpe, v->head.byte_symbol[word[i]], (uint32_t)i, err));
    size_t n = tn_bpe_merge(v, &w->bpe);
    const TnBpeOut *out = w->bpe.out;
    for (size_t i = 0; i < n; i++) {
        if (out[i].symbol < v->head.n_tokens) {
            tn_encoder_emit(e, out[i].symbol);
            continue;
        }
        /* An intermediate result of merges that has no token. */
        size_t end = i + 1 < n ? out[i + 1].start : size;
        for (size_t k = out[i].start; k < end; k++) TN_TRY(tn_encoder_emit_byte(e, word[k], err));
    }
    return TERN_OK;
}

static TernStatus emit_byte(TnWords *w, const uint8_t *byte, TernError *err) {
    return tn_encoder_emit_byte(w->encoder, *byte, err);
}

static TernStatus encode(TnEncoder *e, TernError *err) {
    return tn_words_encode(e, encode_word, emit_byte, err);
}

const TnTokenizer tn_byte_bpe = {
    .model = "gpt2",
    .keys = TN_KEY_MERGES,
    .flags = TN_VOCAB_ADD_BOS | TN_VOCAB_ADD_EOS | TN_VOCAB_IGNORE_MERGES,
    .table_name = "merge table",
    .table_bytes = sizeof(TnMergeSlot),
    .build = build,
    .check = check,
    .close = tn_words_close,
    .encode = encode,
    .decode = tn_words_decode,
};
