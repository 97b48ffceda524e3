/* SentencePiece's BPE as GGUF holds it ("llama"): neighbours are merged by the score of the token that they make.
 *
 * Any two neighbours whose text is a token may merge. The token with the highest score comes first, and the leftmost on
 * ties. So the merges are known in advance: they are all ways to divide a token into two symbols, with the rank of the
 * token's score. The image has them in the same table as byte-level BPE. Symbols are the tokens, then the characters of
 * tokens that have no token themselves.
 *
 * Spaces: files write U+2581 for a space, the image has a space. Both mean the same in a text. If the file sets
 * add_space_prefix, each stretch of text is encoded as if a space came before it, and when a text is decoded its first
 * token loses its first space.
 *
 * A text is divided into words before merging, where that does not change the result: at characters that are in no token,
 * and before spaces, unless the vocabulary has a token with a space after something else (TN_VOCAB_WORDS).
 *
 * A character without a token becomes the tokens of its bytes. If one of these is missing, it becomes the unknown token,
 * one for a run of such characters. Tokens of type unused take part in merges, but are then divided again into the two
 * symbols of the last merge that could have made them. */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/text/bpe.h"
#include "runtime/text/pieces.h"
#include "runtime/text/utf8.h"

#define PIECE_BYTES 1024 /* most bytes of a token: each byte costs a look-up over a part of the token */

/* ---- Building ---- */

static TernStatus check_source(const TernVocabSource *s, TernError *err) {
    if (!s->scores)
        return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.scores is absent, expected one number a token");
    if (s->n_scores != s->n_tokens)
        return tn_fail(err, TERN_ERR_INPUT,
                       "tokenizer.ggml.scores holds %zu numbers, expected %zu, one a token", s->n_scores,
                       s->n_tokens);
    for (size_t i = 0; i < s->n_tokens; i++) {
        if (s->scores[i] != s->scores[i])
            return tn_fail(err, TERN_ERR_INPUT, "tokenizer.ggml.scores[%zu] is not a number", i);
        if (s->tokens[i].size > PIECE_BYTES)
            return tn_fail(err, TERN_ERR_INPUT,
                           "tokenizer.ggml.tokens[%zu] has %zu bytes, expected at most %d", i,
                           s->tokens[i].size, PIECE_BYTES);
    }
    return tn_pieces_check_bytes(s, err);
}

typedef struct Scored {
    float score;
    uint32_t id;
} Scored;

static int higher_first(const void *pa, const void *pb) {
    const Scored *a = pa, *b = pb;
    return a->score > b->score ? -1 : a->score < b->score;
}

/* The rank of each token's score. The highest score has rank 0; equal scores have equal ranks. */
static uint32_t *rank_scores(const TnVocabBuild *b) {
    uint32_t n = b->head.n_tokens, rank = 0, *ranks = tn_xcalloc(n, sizeof *ranks);
    Scored *list = tn_xcalloc(n, sizeof *list);
    for (uint32_t i = 0; i < n; i++) list[i] = (Scored){b->src->scores[i], i};
    qsort(list, n, sizeof *list, higher_first);
    for (uint32_t i = 0; i < n; i++) {
        rank += i > 0 && list[i].score < list[i - 1].score;
        ranks[list[i].id] = rank;
    }
    free(list);
    return ranks;
}

/* The bytes of a token that merges can make; size 0 for any other token. */
typedef struct Piece {
    size_t size;
    uint8_t bytes[PIECE_BYTES];
} Piece;
static void take_piece(const TnVocabBuild *b, uint32_t id, Piece *p) {
    p->size = b->offsets[id + 1] - b->offsets[id];
    memcpy(p->bytes, (const char *)b->bytes.data + b->offsets[id], p->size);
    if (tn_build_find(b, p->bytes, p->size) != id) p->size = 0;
}

/* Byte offset of the character after the one at `at`; tokens are UTF-8. */
static size_t next_char(const Piece *p, size_t at) {
    do at++;
    while (at < p->size && (p->bytes[at] & 0xc0) == 0x80);
    return at;
}

static void add_chars(TnVocabBuild *b) {
    bool words = true;
    for (uint32_t id = 0; id < b->head.n_tokens; id++) {
        Piece p;
        take_piece(b, id, &p);
        for (size_t at = 0, end; at < p.size; at = end) {
            end = next_char(&p, at);
            words &= p.bytes[at] != ' ' || at == 0 || p.bytes[at - 1] == ' ';
            tn_buf_put(&b->bytes, p.bytes + at, end - at);
            tn_build_intern(b);
        }
    }
    if (words) b->head.flags |= TN_VOCAB_WORDS;
}

static TernStatus add_merges(TnVocabBuild *b, TernError *err) {
    TnMergeSlot *list = NULL;
    size_t n = 0, cap = 0;
    uint32_t *ranks = rank_scores(b);
    for (uint32_t id = 0; id < b->head.n_tokens && n <= TN_MERGES_MAX; id++) {
        Piece p;
        take_piece(b, id, &p);
        for (size_t at = next_char(&p, 0); at < p.size; at = next_char(&p, at)) {
            uint32_t left = tn_build_find(b, p.bytes, at);
            if (left == TN_EMPTY) continue;
            uint32_t right = tn_build_find(b, p.bytes + at, p.size - at);
            if (right == TN_EMPTY) continue;
            if ((b->attrs[id] & TN_ATTR_TYPE) == TERN_TOKEN_UNUSED) b->head.flags |= TN_VOCAB_UNUSED;
            TN_PUSH(list, n, cap, (TnMergeSlot){left, right, ranks[id], id});
        }
    }
    TernStatus st = TERN_OK;
    if (n > TN_MERGES_MAX)
        st = tn_fail(err, TERN_ERR_INPUT,
                     "tokenizer.ggml.tokens: there are more than %u merges that make them", TN_MERGES_MAX);
    else
        tn_merges_make(b, n);
    for (size_t i = 0; i < n && st == TERN_OK; i++) tn_merges_put(b, list[i]);
    free(list);
    free(ranks);
    return st;
}

static TernStatus build(TnVocabBuild *b, TernError *err) {
    TernVocabSource source = *b->src;
    TnVocabHead *h = &b->head;
    TN_TRY(tn_build_tokens(b, tn_piece_spell, &source, err));
    TN_TRY(check_source(&source, err));
    h->flags = TN_VOCAB_ADD_BOS | TN_VOCAB_SPACE_PREFIX;
    tn_pieces_find_bytes(b);
    add_chars(b);
    if (h->n_tokens > 2) h->unk = 0, h->bos = 1, h->eos = 2;
    return add_merges(b, err);
}

/* ---- Opening ---- */

typedef struct Own {
    uint32_t ascii[128]; /* the symbol of each character, TN_NO_SYMBOL if it is in no token */
} Own;

static uint32_t char_symbol(const TernVocab *v, const void *bytes, size_t size) {
    uint32_t symbol = tn_symbol_find(v, bytes, size);
    return symbol == TN_EMPTY ? TN_NO_SYMBOL : symbol;
}

/* Checks that dividing a token comes to an end: its halves are shorter than it, and it is not long. */
static TernStatus check_parts(const TernVocab *v, TernError *err) {
    for (uint32_t i = 0; i < v->head.table_n; i++) {
        TnMergeSlot m = tn_merge_at(v, i);
        if (m.left == TN_EMPTY) continue;
        size_t left = tn_symbol_bytes(v, m.left).size, right = tn_symbol_bytes(v, m.right).size,
               merged = tn_symbol_bytes(v, m.merged).size;
        if (left == 0 || right == 0 || left + right != merged || merged > PIECE_BYTES)
            return tn_fail(err, TERN_ERR_INPUT,
                           TN_VOCAB_DAMAGED "symbols of %zu and %zu bytes merge to one of %zu", left, right,
                           merged);
    }
    return TERN_OK;
}

static TernStatus check(TernVocab *v, TernError *err) {
    if (v->head.pre != 0)
        return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "pre-tokenizer %u, expected 0", v->head.pre);
    TN_TRY(tn_merges_check(v, err));
    if (v->head.flags & TN_VOCAB_UNUSED) TN_TRY(check_parts(v, err));
    Own *own = malloc(sizeof *own);
    if (!own) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a vocabulary (%zu bytes)", sizeof *own);
    for (int c = 0; c < 128; c++) own->ascii[c] = char_symbol(v, &(char){(char)c}, 1);
    v->own = own;
    v->pre = "";
    return TERN_OK;
}

static void close_vocab(TernVocab *v) {
    free(v->own);
}

/* ---- Encoding ---- */

typedef struct Run {
    TnEncoder *encoder;
    const TernVocab *v;
    const Own *own;
    TnBpe bpe;
    bool after_unknown, after_space; /* the last id was the unknown one; the word ends in a space */
} Run;

static TernStatus emit_unknown(Run *r, const uint8_t *bytes, size_t n, TernError *err) {
    const TnVocabHead *h = &r->v->head;
    bool have = true;
    for (size_t i = 0; i < n; i++) have &= h->byte_symbol[bytes[i]] < h->n_tokens;
    if (!have && h->unk != TN_EMPTY) {
        if (!r->after_unknown) tn_encoder_emit(r->encoder, h->unk);
        r->after_unknown = true;
        return TERN_OK;
    }
    r->after_unknown = false;
    for (size_t i = 0; i < n; i++) TN_TRY(tn_encoder_emit_byte(r->encoder, bytes[i], err));
    return TERN_OK;
}

/* Emits a token, or its parts: an unused token is divided as long as its parts are known, at most once a byte. */
static TernStatus emit_symbol(Run *r, uint32_t symbol, TernError *err) {
    if (symbol >= r->v->head.n_tokens) {
        TernText t = tn_symbol_bytes(r->v, symbol);
        return emit_unknown(r, (const uint8_t *)t.data, t.size, err);
    }
    if (r->bpe.splits && tn_token_type(r->v, symbol) == TERN_TOKEN_UNUSED) {
        TnSplitOf of = r->bpe.splits[symbol];
        if (of.left != TN_EMPTY) {
            TN_TRY(emit_symbol(r, of.left, err));
            return emit_symbol(r, of.right, err);
        }
    }
    r->after_unknown = false;
    tn_encoder_emit(r->encoder, symbol);
    return TERN_OK;
}

/* Merges the word so far and emits its tokens. */
static TernStatus end_word(Run *r, TernError *err) {
    size_t n = tn_bpe_merge(r->v, &r->bpe);
    for (size_t i = 0; i < n; i++) TN_TRY(emit_symbol(r, r->bpe.out[i].symbol, err));
    return TERN_OK;
}

static TernStatus add_char(Run *r, uint32_t symbol, bool space, TernError *err) {
    if (space && !r->after_space && (r->v->head.flags & TN_VOCAB_WORDS)) TN_TRY(end_word(r, err));
    r->after_space = space;
    return tn_bpe_add(&r->bpe, symbol, 0, err);
}

static TernStatus add_space(Run *r, TernError *err) {
    uint32_t symbol = r->own->ascii[' '];
    if (symbol != TN_NO_SYMBOL) return add_char(r, symbol, true, err);
    TN_TRY(end_word(r, err));
    return emit_unknown(r, (const uint8_t *)" ", 1, err);
}

static TernStatus encode_stretch(Run *r, TernText t, TernError *err) {
    const uint8_t *p = (const uint8_t *)t.data;
    r->after_unknown = false;
    r->after_space = true;
    if (r->v->head.flags & TN_VOCAB_SPACE_PREFIX) TN_TRY(add_space(r, err));
    for (size_t i = 0, n; i < t.size; i += n) {
        uint32_t point = 0;
        int partial, len = tn_utf8_next(p + i, t.size - i, &point, &partial);
        n = len ? (size_t)len : 1;
        if (len && (point == ' ' || point == TN_SPACE_POINT)) {
            TN_TRY(add_space(r, err));
            continue;
        }
        uint32_t symbol = len == 0   ? TN_NO_SYMBOL
                          : len == 1 ? r->own->ascii[point]
                                     : char_symbol(r->v, p + i, n);
        if (symbol != TN_NO_SYMBOL) {
            TN_TRY(add_char(r, symbol, false, err));
            continue;
        }
        TN_TRY(end_word(r, err));
        TN_TRY(emit_unknown(r, p + i, n, err));
        r->after_space = true; /* nothing merges across this character */
    }
    return end_word(r, err);
}

static TernStatus encode(TnEncoder *e, TernError *err) {
    const TernVocab *v = tn_encoder_vocab(e);
    Run r = {.encoder = e, .v = v, .own = v->own};
    TernStatus st = TERN_OK;
    if (v->head.flags & TN_VOCAB_UNUSED) st = tn_bpe_remember(v, &r.bpe, err);
    for (TernText t; st == TERN_OK && tn_encoder_next(e, &t);) st = encode_stretch(&r, t, err);
    tn_bpe_free(&r.bpe);
    return st;
}

static TernText decode(const TernVocab *v, uint32_t id, bool first) {
    TernText t = tn_symbol_bytes(v, id);
    TernTokenType type = tn_token_type(v, id);
    bool plain = type == TERN_TOKEN_NORMAL || type == TERN_TOKEN_UNUSED || type == TERN_TOKEN_UNDEFINED;
    if (first && plain && t.size && t.data[0] == ' ' && (v->head.flags & TN_VOCAB_SPACE_PREFIX))
        t = (TernText){t.data + 1, t.size - 1};
    return t;
}

const TnTokenizer tn_sentencepiece = {
    .model = "llama",
    .keys = TN_KEY_SCORES | TN_KEY_SPACE_PREFIX,
    .flags = TN_VOCAB_ADD_BOS | TN_VOCAB_ADD_EOS | TN_VOCAB_SPACE_PREFIX | TN_VOCAB_WORDS | TN_VOCAB_UNUSED,
    .more_ids = 1,
    .table_name = "merge table",
    .table_bytes = sizeof(TnMergeSlot),
    .build = build,
    .check = check,
    .close = close_vocab,
    .encode = encode,
    .decode = decode,
};
