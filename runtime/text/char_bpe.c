/* BPE of characters: merges by rank as in byte-level BPE, over a text as it is ("gemma4", "whitespace", and "gpt2" with a
 * pre-tokenizer of theirs).
 *
 * A pre-tokenizer cuts a text into lines or words. The characters of a piece are the first symbols. What is no token after
 * all merges becomes the tokens of its bytes, <0x00> to <0xFF>, or else the unknown token, one for a run. The rows of
 * pretok.c choose the rest by flags:
 * - Spaces: files write U+2581, the image has a space, and both mean the same in a text; without a token they become the
 *   byte of a space. Or (TN_VOCAB_DROP_SPACE) white space only separates words and has no tokens.
 * - TN_VOCAB_WHOLE_LINES: a run of line ends that is a token is not merged.
 * Symbols are the tokens, then characters and intermediate results of merges that have no token. */
#include <stdlib.h>
#include "runtime/text/pieces.h"
#include "runtime/text/utf8.h"
#include "runtime/text/words.h"

/* ---- Building ---- */

static bool is_ours(uint32_t pre) {
    return pre < tn_pre_count() && (tn_pre_flags(pre) & TN_VOCAB_CHARACTERS);
}

/* A tokenizer's name may be that of a pre-tokenizer; the key is then not asked. */
static TernStatus choose_pre(TnVocabBuild *b, TernError *err) {
    const TernVocabSource *s = b->src;
    uint32_t pre = tn_pre_find(s->model);
    b->head.pre = is_ours(pre) ? pre : tn_pre_find(s->pre);
    if (!is_ours(b->head.pre))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "tokenizer.ggml.pre is '%.*s', expected a pre-tokenizer of characters",
                       TN_SHOW(s->pre));
    b->head.flags = tn_pre_flags(b->head.pre);
    return TERN_OK;
}

typedef struct Speller {
    const TernVocabSource *source;
    bool drops; /* spaces are dropped, and U+2581 is like any character */
} Speller;

static TnSpelling put_plain(TnBuf *out, TernText text) {
    uint32_t point;
    int partial, len;
    for (size_t i = 0; i < text.size; i += (size_t)len)
        if (!(len = tn_utf8_next((const uint8_t *)text.data + i, text.size - i, &point, &partial)))
            return TN_SPELLED_BADLY;
    tn_buf_put(out, text.data, text.size);
    return TN_SPELLED;
}

static TnSpelling put(const Speller *s, TnBuf *out, TernText text) {
    return s->drops ? put_plain(out, text) : tn_piece_put(out, text);
}

static TnSpelling spell_token(void *user, TernText text, TernTokenType type, TnBuf *out) {
    const Speller *s = user;
    bool byte = type == TERN_TOKEN_BYTE || (!s->source->types && tn_piece_byte(text) >= 0);
    return byte ? tn_piece_spell((void *)s->source, text, type, out) : put(s, out, text);
}

static TernStatus add_merge(TnVocabBuild *b, void *user, size_t i, TernText left, TernText right,
                            TernError *err) {
    const Speller *s = user;
    const TernText part[2] = {left, right};
    TnMergeSlot merge = {.rank = (uint32_t)i};
    uint32_t *const symbols[] = {&merge.left, &merge.right};
    for (int k = 0; k < 2; k++) {
        size_t start = b->bytes.len;
        TnSpelling says = put(s, &b->bytes, part[k]);
        if (says == TN_SPELLED_BADLY)
            return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.merges[%zu] is '%.*s', expected UTF-8", i,
                           TN_SHOW(b->src->merges[i]));
        if (says == TN_SPELLED_APART) { /* a space that is one: no text has it when merges begin */
            b->bytes.len = start;
            return TERN_OK;
        }
        *symbols[k] = tn_build_intern(b);
    }
    put(s, &b->bytes, left);
    put(s, &b->bytes, right);
    merge.merged = tn_build_intern(b);
    tn_merges_put(b, merge);
    return TERN_OK;
}

static TernStatus build(TnVocabBuild *b, TernError *err) {
    const TernVocabSource *source = b->src;
    TN_TRY(choose_pre(b, err));
    Speller s = {source, b->head.flags & TN_VOCAB_DROP_SPACE};
    TN_TRY(tn_build_tokens(b, spell_token, &s, err));
    TN_TRY(tn_pieces_check_bytes(source, err));
    tn_pieces_find_bytes(b);
    return tn_words_build(b, add_merge, &s, err);
}

static TernStatus check(TernVocab *v, TernError *err) {
    return tn_words_check(v, true, err);
}

/* ---- Encoding ---- */

static void emit(TnWords *w, uint32_t id) {
    tn_encoder_emit(w->encoder, id);
    w->after_unknown = false;
}

static TernStatus emit_bytes(TnWords *w, const uint8_t *bytes, size_t n, TernError *err) {
    const TnVocabHead *h = &w->v->head;
    bool have = true;
    for (size_t i = 0; i < n; i++) have &= h->byte_symbol[bytes[i]] < h->n_tokens;
    if (!have && h->unk != TN_EMPTY) {
        if (!w->after_unknown) tn_encoder_emit(w->encoder, h->unk);
        w->after_unknown = true;
        return TERN_OK;
    }
    w->after_unknown = false;
    for (size_t i = 0; i < n; i++) TN_TRY(tn_encoder_emit_byte(w->encoder, bytes[i], err));
    return TERN_OK;
}

static TernStatus emit_byte(TnWords *w, const uint8_t *byte, TernError *err) {
    return emit_bytes(w, byte, 1, err);
}

static uint32_t find(const TernVocab *v, const void *bytes, size_t size) {
    uint32_t symbol = tn_symbol_find(v, bytes, size);
    return symbol == TN_EMPTY ? TN_NO_SYMBOL : symbol;
}

/* White space of Unicode: the classes Z, and the controls of text. */
static bool is_space(uint32_t c) {
    return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

static bool is_lines(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] != '\n') return false;
    return true;
}

static TernStatus encode_word(void *user, const char *text, size_t size, TernError *err) {
    TnWords *w = user;
    const TernVocab *v = w->v;
    const uint8_t *word = (const uint8_t *)text;
    bool drops = v->head.flags & TN_VOCAB_DROP_SPACE;
    if ((v->head.flags & TN_VOCAB_WHOLE_LINES) && is_lines(text, size)) {
        uint32_t symbol = tn_symbol_find(v, word, size);
        if (symbol < v->head.n_tokens) {
            emit(w, symbol);
            return TERN_OK;
        }
    }
    for (size_t i = 0, n; i < size; i += n) {
        uint32_t point = 0;
        int partial;
        n = (size_t)tn_utf8_next(word + i, size - i, &point, &partial);
        if (drops && is_space(point)) return TERN_OK; /* the gap between two words, which have none */
        bool space = !drops && point == TN_SPACE_POINT;
        TN_TRY(tn_bpe_add(&w->bpe, space ? find(v, " ", 1) : find(v, word + i, n), (uint32_t)i, err));
    }
    size_t n = tn_bpe_merge(v, &w->bpe);
    const TnBpeOut *out = w->bpe.out;
    for (size_t i = 0; i < n; i++) {
        if (out[i].symbol < v->head.n_tokens) {
            emit(w, out[i].symbol);
            continue;
        }
        size_t end = i + 1 < n ? out[i + 1].start : size;
        TernText t = {text + out[i].start, end - out[i].start};
        if (out[i].symbol != TN_NO_SYMBOL) t = tn_symbol_bytes(v, out[i].symbol); /* with spaces as spaces */
        TN_TRY(emit_bytes(w, (const uint8_t *)t.data, t.size, err));
    }
    return TERN_OK;
}

static TernStatus encode(TnEncoder *e, TernError *err) {
    return tn_words_encode(e, encode_word, emit_byte, err);
}

const TnTokenizer tn_char_bpe = {
    .model = "gemma4",
    .also = "whitespace",
    .keys = TN_KEY_MERGES,
    .flags = TN_VOCAB_ADD_BOS | TN_VOCAB_ADD_EOS | TN_VOCAB_CHARACTERS | TN_VOCAB_WHOLE_LINES |
             TN_VOCAB_DROP_SPACE,
    .table_name = "merge table",
    .table_bytes = sizeof(TnMergeSlot),
    .build = build,
    .check = check,
    .close = tn_words_close,
    .encode = encode,
    .decode = tn_words_decode,
};
