/* What a tokenizer is: one const struct, found by the name that a model file gives or by the number in an image.
 *
 * Common to all of them, and done outside: the keys' ranges, special tokens and which of them end an answer, the image
 * and its checks, cutting special tokens out of a text, streams of whole characters. A tokenizer adds how tokens are
 * spelled in a file, a table of its own, which ids a stretch of text becomes, and which bytes an id becomes.
 * A new one is a file with such a struct and a row of the table in tokenizer.c. */
#ifndef TN_TEXT_TOKENIZER_H
#define TN_TEXT_TOKENIZER_H

#include "runtime/base/buf.h"
#include "runtime/text/vocab.h"

typedef struct TnVocabBuild TnVocabBuild;
typedef struct TnEncoder TnEncoder;

/* Keys of a file that only some tokenizers read; the others pass them over, as they do any key they do not know. */
enum {
    TN_KEY_MERGES = 1,       /* tokenizer.ggml.merges */
    TN_KEY_SCORES = 2,       /* tokenizer.ggml.scores */
    TN_KEY_SPACE_PREFIX = 4, /* tokenizer.ggml.add_space_prefix */
};

typedef struct TnTokenizer {
    const char *model; /* tokenizer.ggml.model */
    uint32_t keys;     /* TN_KEY_* that build reads */
    uint16_t flags;    /* the TN_VOCAB_* that an image of it may have */
    uint32_t more_ids; /* a stretch of n bytes gives at most n + more_ids ids */
    /* its own table: what an error line calls it, and the bytes of an entry */
    const char *table_name;
    size_t table_bytes;

    /* From the source, whose pointers and counts are checked: all tokens and symbols, byte_symbol, the table, pre,
     * and the defaults that keys of the source override: flags and the ids of special tokens. */
    TernStatus (*build)(TnVocabBuild *b, TernError *err);
    /* The image is open and everything common is checked. Checks pre and the table, so that encode and decode need
     * not; sets v->pre and v->own. */
    TernStatus (*check)(TernVocab *v, TernError *err);
    void (*close)(TernVocab *v); /* after check, even one that failed: frees v->own */
    /* All of a text: takes tn_encoder_next until there is no more, and emits the ids. */
    TernStatus (*encode)(TnEncoder *e, TernError *err);
    /* What an id below n_tokens adds to a text; `first`: nothing stands before it. */
    TernText (*decode)(const TernVocab *v, uint32_t id, bool first);
} TnTokenizer;

/* NULL if there is none of this name (`kind`: of this number). */
const TnTokenizer *tn_tokenizer_find(TernText model);
const TnTokenizer *tn_tokenizer_at(uint32_t kind);
uint32_t tn_tokenizer_kind(const TnTokenizer *t);
/* Appends "'a', 'b' or 'c'": every name that there is. */
void tn_tokenizer_list(TnBuf *out);

extern const TnTokenizer tn_byte_bpe, tn_sentencepiece;

/* ---- build: symbols while they are collected, found by a table that grows with them (vocab_build.c) */

struct TnVocabBuild {
    const TernVocabSource *src;
    TnVocabHead head;
    TnBuf bytes;
    uint32_t *offsets; /* n + 1 of them */
    size_t n, cap;
    uint32_t *slots;
    uint32_t n_slots, n_used;
    uint8_t *attrs;
    void *table; /* head.table_n entries, by malloc */
    uint32_t *specials;
};

/* for %.*s between quotes, where messages cut it */
#define TN_SHOW(t) (int)((t).size < 400 ? (t).size : 400), (t).data ? (t).data : ""

/* How a token's text was taken: as bytes by which it is found in a text, as bytes that it stands for without being
 * found by them, or not at all. */
typedef enum TnSpelling { TN_SPELLED, TN_SPELLED_APART, TN_SPELLED_BADLY } TnSpelling;
typedef TnSpelling TnSpellFn(void *user, TernText text, TernTokenType type, TnBuf *out);
/* Checks and adds all tokens of the source; spell() appends the bytes that a text stands for (nothing if it is no
 * UTF-8). Names of special tokens stand for themselves and are not found by the tokenizer. */
TernStatus tn_build_tokens(TnVocabBuild *b, TnSpellFn *spell, void *user, TernError *err);
/* The symbol with the bytes appended to b->bytes since the last one; it is made if there is none. */
uint32_t tn_build_intern(TnVocabBuild *b);
/* The symbol with these bytes, or TN_EMPTY. */
uint32_t tn_build_find(const TnVocabBuild *b, const void *bytes, size_t size);

/* ---- encode: the stretches of a text between special tokens, and the ids that come of it (encode.c) */

/* Emits the special tokens before the next stretch of raw text; false if there is no more text. */
bool tn_encoder_next(TnEncoder *e, TernText *out);
const TernVocab *tn_encoder_vocab(const TnEncoder *e);
size_t tn_encoder_size(const TnEncoder *e); /* bytes of the whole text */
void tn_encoder_emit(TnEncoder *e, uint32_t id);
/* The token of a single byte; TERN_ERR_INPUT if it has none. */
TernStatus tn_encoder_emit_byte(TnEncoder *e, uint8_t byte, TernError *err);

#endif
