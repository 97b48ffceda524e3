/* A tokenizer is one const struct. It is found by the name in a model file or by the number in an image.
 *
 * Common code handles what all tokenizers share: the ranges of keys, special tokens and which of them end an answer, the
 * image and its checks, cutting special tokens out of a text, and streams of whole characters. The tokenizer itself knows
 * how tokens are spelled in a file, has a table of its own, and says which ids a stretch of text becomes and which bytes
 * an id becomes. To add a tokenizer, write a file with such a struct and add a row to the table in tokenizer.c. */
#ifndef TN_TEXT_TOKENIZER_H
#define TN_TEXT_TOKENIZER_H

#include "runtime/base/buf.h"
#include "runtime/text/vocab.h"

typedef struct TnVocabBuild TnVocabBuild;
typedef struct TnEncoder TnEncoder;

/* Keys of a file that only some tokenizers read. The others ignore them, like any key that they do not know. */
enum {
    TN_KEY_MERGES = 1,       /* tokenizer.ggml.merges */
    TN_KEY_SCORES = 2,       /* tokenizer.ggml.scores */
    TN_KEY_SPACE_PREFIX = 4, /* tokenizer.ggml.add_space_prefix */
};

typedef struct TnTokenizer {
    const char *model; /* tokenizer.ggml.model */
    const char *also;  /* another name of it; may be NULL */
    uint32_t keys;     /* TN_KEY_* that build reads */
    uint16_t flags;    /* the TN_VOCAB_* that its images may have */
    uint32_t more_ids; /* a stretch of n bytes gives at most n + more_ids ids */
    /* its own table: the name for error lines, and the bytes of an entry */
    const char *table_name;
    size_t table_bytes;

    /* Makes all tokens and symbols, byte_symbol, the table and pre from the source, whose pointers and counts have been
     * checked. Sets the defaults of flags and special ids, which keys of the source override later. */
    TernStatus (*build)(TnVocabBuild *b, TernError *err);
    /* Called when the image is open and everything common has been checked. Checks pre and the table, so that encode and
     * decode need not; sets v->pre and v->own. */
    TernStatus (*check)(TernVocab *v, TernError *err);
    void (*close)(TernVocab *v); /* frees v->own; called after check, even if that failed */
    /* Encodes a whole text: calls tn_encoder_next until there is no more, and emits the ids. */
    TernStatus (*encode)(TnEncoder *e, TernError *err);
    /* The bytes that an id below n_tokens adds to a text; `first`: it is the first of the text. */
    TernText (*decode)(const TernVocab *v, uint32_t id, bool first);
} TnTokenizer;

/* Find a tokenizer by its name and the pre-tokenizer's, which may be NULL, or by number (`kind`); NULL if there is none. */
const TnTokenizer *tn_tokenizer_find(TernText model, TernText pre);
const TnTokenizer *tn_tokenizer_at(uint32_t kind);
uint32_t tn_tokenizer_kind(const TnTokenizer *t);
/* Appends the names of all tokenizers: "'a', 'b' or 'c'". */
void tn_tokenizer_list(TnBuf *out);

extern const TnTokenizer tn_byte_bpe, tn_sentencepiece, tn_char_bpe;

/* ---- build: symbols as they are collected, with a hash table that grows (vocab_build.c) */

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

/* arguments for %.*s between quotes, which messages cut anyway */
#define TN_SHOW(t) (int)((t).size < 400 ? (t).size : 400), (t).data ? (t).data : ""

/* What became of a token's text: bytes by which the tokenizer finds it in a text, bytes that it stands for but is not found
 * by, or nothing, because it is badly spelled. */
typedef enum TnSpelling { TN_SPELLED, TN_SPELLED_APART, TN_SPELLED_BADLY } TnSpelling;
typedef TnSpelling TnSpellFn(void *user, TernText text, TernTokenType type, TnBuf *out);
/* Checks and adds all tokens of the source. spell() appends the bytes that a text stands for, or nothing if it is not
 * UTF-8. The names of special tokens stand for themselves, and the tokenizer does not find them. */
TernStatus tn_build_tokens(TnVocabBuild *b, TnSpellFn *spell, void *user, TernError *err);
/* The symbol with the bytes that were appended to b->bytes since the last symbol; makes it if there is none. */
uint32_t tn_build_intern(TnVocabBuild *b);
/* The symbol with these bytes, or TN_EMPTY. */
uint32_t tn_build_find(const TnVocabBuild *b, const void *bytes, size_t size);

/* ---- encode: takes the stretches of a text between special tokens, and collects the ids (encode.c) */

/* Emits the special tokens before the next stretch of raw text; false if there is no more text. */
bool tn_encoder_next(TnEncoder *e, TernText *out);
const TernVocab *tn_encoder_vocab(const TnEncoder *e);
size_t tn_encoder_size(const TnEncoder *e); /* bytes of the whole text */
void tn_encoder_emit(TnEncoder *e, uint32_t id);
/* The token of a single byte; TERN_ERR_INPUT if it has none. */
TernStatus tn_encoder_emit_byte(TnEncoder *e, uint8_t byte, TernError *err);

#endif
