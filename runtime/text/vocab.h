/* The vocabulary image and its opened form.
 *
 * Image: the head, then the sections that the head names, in any order, at byte offsets from the head's start.
 * All numbers are little-endian. The image may have any alignment, so words are read with tn_word.
 *
 *   offsets   u32[n_symbols + 1]  symbol i is bytes[offsets[i] .. offsets[i + 1])
 *   bytes     the symbols' bytes, as a text holds them
 *   attrs     u8[n_tokens]        low 3 bits: TernTokenType; TN_ATTR_*
 *   hash      u32[hash_slots]     open addressing by tn_hash64 of the bytes: symbol or TN_EMPTY
 *   table     entries[table_n]    the tokenizer's own table; its TnTokenizer gives the size of an entry
 *   specials  u32[n_specials]     tokens that are found in raw text, longest first, then by id
 *   template  chat template text
 *
 * A *symbol* is a piece of text that the tokenizer works with. The symbols below n_tokens are the tokens; after them come
 * pieces without a token (byte-level BPE: intermediate results of merges, and bytes; the others: characters too). All of
 * this is the same for every tokenizer. `kind` says which tokenizer the image is for (tokenizer.h); `pre`, `table` and the
 * bits of `flags` above the first two mean what that tokenizer says. */
#ifndef TN_TEXT_VOCAB_H
#define TN_TEXT_VOCAB_H

#include <string.h>
#include "runtime/base/hash.h"
#include "runtime/base/status.h"
#include "runtime/text/text.h"

#define TN_VOCAB_MAGIC   "TNVOCAB\n"
#define TN_VOCAB_VERSION 1u
#define TN_EMPTY         UINT32_MAX
#define TN_ATTR_TYPE     0x07u
#define TN_ATTR_EOG      0x80u

enum {
    TN_VOCAB_ADD_BOS = 1,
    TN_VOCAB_ADD_EOS = 2,
    TN_VOCAB_IGNORE_MERGES = 4, /* byte-level BPE: a word that is a token is not merged */
    TN_VOCAB_SPACE_PREFIX = 8,  /* SentencePiece: a stretch of text is encoded with a space before it */
    TN_VOCAB_WORDS = 16,        /* SentencePiece: no token has a space after another character */
    TN_VOCAB_UNUSED = 32,       /* SentencePiece: merges can make unused tokens */
    TN_VOCAB_CHARACTERS = 64,   /* BPE of characters, always */
    TN_VOCAB_WHOLE_LINES = 128, /* BPE of characters: a run of line ends that is a token is not merged */
    TN_VOCAB_DROP_SPACE = 256,  /* BPE of characters: white space has no tokens */
};

typedef struct TnVocabHead {
    char magic[8];
    uint32_t version, head_bytes;
    uint64_t image_bytes;
    uint32_t n_tokens, n_symbols, n_specials, hash_slots, table_n; /* slots: a power of two, never full */
    uint32_t pre;
    uint16_t flags, kind; /* kind 0: byte-level BPE, 1: SentencePiece, 2: BPE of characters */
    uint32_t bos, eos, eot, eom, unk, pad;
    uint32_t offsets_at, bytes_at, bytes_size, attrs_at, hash_at, table_at, specials_at, template_at,
        template_size;
    uint32_t byte_symbol[256]; /* the symbol of a byte that is not part of another symbol */
} TnVocabHead;
_Static_assert(sizeof(TnVocabHead) == 24 + 22 * 4 + 1024, "the image's head has no holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are used in place");

struct TnTokenizer;
struct TnShared; /* what tn_vocab_shared has made, and its lock */

struct TernVocab {
    TnVocabHead head;
    const struct TnTokenizer *tokenizer;
    const uint8_t *offsets, *bytes, *attrs, *hash, *table, *specials, *chat_template;
    uint32_t max_token_bytes;
    uint8_t special_first[256]; /* can start: 1 a user-defined token, 2 a control or unknown one */
    uint32_t *special_order;    /* rows of specials, in their order of size, then ordered by bytes */
    const char *pre;            /* the pre-tokenizer's name, "" if the tokenizer has none */
    void *own;                  /* made by the tokenizer's check, freed by its close */
    struct TnShared *shared;
};

static inline uint32_t tn_word(const uint8_t *base, size_t index) {
    uint32_t v;
    memcpy(&v, base + 4 * index, 4);
    return v;
}
static inline TernText tn_symbol_bytes(const TernVocab *v, uint32_t symbol) {
    uint32_t at = tn_word(v->offsets, symbol);
    return (TernText){(const char *)v->bytes + at, tn_word(v->offsets, (size_t)symbol + 1) - at};
}
static inline TernText tn_special_text(const TernVocab *v, uint32_t row) {
    return tn_symbol_bytes(v, tn_word(v->specials, row));
}
static inline TernTokenType tn_token_type(const TernVocab *v, uint32_t id) {
    return (TernTokenType)(v->attrs[id] & TN_ATTR_TYPE);
}
/* The image holds ids as u32 and no id as TN_EMPTY. The calls of text.h use int32_t, with the same bits. */
static inline bool tn_is_token(const TernVocab *v, int32_t id) {
    return id >= 0 && (uint32_t)id < v->head.n_tokens;
}
/* True for types that are found in raw text only when the caller asks, and hidden when decoding. */
static inline bool tn_type_is_control(TernTokenType type) {
    return type == TERN_TOKEN_CONTROL || type == TERN_TOKEN_UNKNOWN;
}

/* The beginning of every error about the contents of an image. */
#define TN_VOCAB_DAMAGED "the vocabulary image is damaged: "
/* Whether a hash table in an image may have n slots. That one of them is free is checked elsewhere. */
static inline bool tn_vocab_slots_ok(uint32_t n) {
    return n >= 2 && n <= (1u << 28) && (n & (n - 1)) == 0;
}
/* The symbol with these bytes, or TN_EMPTY. */
uint32_t tn_symbol_find(const TernVocab *v, const void *bytes, size_t size);

/* What grammars need of a vocabulary. It takes long to make and is the same for all of them, so the first call makes it and
 * later ones get the same; the vocabulary frees it when it is closed. Any thread may call at any time: others wait while it
 * is made, and after that it does not change. There is one such thing, so all calls have the same functions. */
const void *tn_vocab_shared(const TernVocab *v, void *(*make)(const TernVocab *v),
                            void (*release)(void *made));

#endif
