/* The vocabulary image and its opened form.
 *
 * Image: the head, then the sections the head names, in any order, at byte offsets from the head's start.
 * All numbers are little-endian; nothing in it is aligned for sure, so words are read with tn_word.
 *
 *   offsets   u32[n_symbols + 1]  symbol i is bytes[offsets[i] .. offsets[i + 1])
 *   bytes     the symbols' bytes, no longer in the GPT-2 spelling
 *   attrs     u8[n_tokens]        low 3 bits: TernTokenType; TN_ATTR_*
 *   hash      u32[hash_slots]     open addressing by TN_HASH of the bytes: symbol or TN_EMPTY
 *   merges    TnMergeSlot[merge_slots]  open addressing by tn_merge_hash(left, right); left TN_EMPTY: free
 *   specials  u32[n_specials]     tokens that are found in raw text, longest first, then by id
 *   template  chat template text
 *
 * A *symbol* is what BPE merges: tokens are the symbols below n_tokens; behind them come the pieces that
 * merges or single bytes need but that have no token. */
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

typedef enum TnPre { TN_PRE_LLAMA_BPE, TN_PRE_GPT2, TN_PRE_DEFAULT, TN_PRE_COUNT } TnPre;
extern const char *const tn_pre_names[TN_PRE_COUNT];

enum { TN_VOCAB_ADD_BOS = 1, TN_VOCAB_ADD_EOS = 2, TN_VOCAB_IGNORE_MERGES = 4, TN_VOCAB_FLAGS = 7 };

typedef struct TnVocabHead {
    char magic[8];
    uint32_t version, head_bytes;
    uint64_t image_bytes;
    uint32_t n_tokens, n_symbols, n_specials, hash_slots, merge_slots; /* slots: powers of two, never full */
    uint32_t pre, flags;
    uint32_t bos, eos, eot, eom, unk, pad;
    uint32_t offsets_at, bytes_at, bytes_size, attrs_at, hash_at, merges_at, specials_at, template_at,
        template_size;
    uint32_t byte_symbol[256];
} TnVocabHead;
_Static_assert(sizeof(TnVocabHead) == 24 + 22 * 4 + 1024, "the image's head has no holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are used in place");

typedef struct TnMergeSlot {
    uint32_t left, right, rank, merged;
} TnMergeSlot;

#define TN_MAX_REGEXES 4
struct pcre2_real_code_8;

struct TernVocab {
    TnVocabHead head;
    const uint8_t *offsets, *bytes, *attrs, *hash, *merges, *specials, *chat_template;
    uint32_t max_token_bytes;
    uint8_t special_first[256]; /* can start: 1 a user-defined token, 2 a control or unknown one */
    uint32_t n_regexes;
    struct pcre2_real_code_8 *regexes[TN_MAX_REGEXES];
};

static inline uint32_t tn_word(const uint8_t *base, size_t index) {
    uint32_t v;
    memcpy(&v, base + 4 * index, 4);
    return v;
}
static inline uint32_t tn_merge_hash(uint32_t left, uint32_t right) {
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}
static inline TernText tn_symbol_bytes(const TernVocab *v, uint32_t symbol) {
    uint32_t at = tn_word(v->offsets, symbol);
    return (TernText){(const char *)v->bytes + at, tn_word(v->offsets, (size_t)symbol + 1) - at};
}
static inline TernTokenType tn_token_type(const TernVocab *v, uint32_t id) {
    return (TernTokenType)(v->attrs[id] & TN_ATTR_TYPE);
}
/* Cut out of raw text only when the caller asks, and hidden when decoding. */
static inline bool tn_type_is_control(TernTokenType type) {
    return type == TERN_TOKEN_CONTROL || type == TERN_TOKEN_UNKNOWN;
}

/* The symbol with these bytes, or TN_EMPTY. */
uint32_t tn_symbol_find(const TernVocab *v, const void *bytes, size_t size);
/* False if the pair does not merge. */
static inline bool tn_merge_find(const TernVocab *v, uint32_t left, uint32_t right, TnMergeSlot *out) {
    uint32_t mask = v->head.merge_slots - 1;
    for (uint32_t i = tn_merge_hash(left, right);; i++) {
        memcpy(out, v->merges + (size_t)(i & mask) * sizeof *out, sizeof *out);
        if (out->left == left && out->right == right) return true;
        if (out->left == TN_EMPTY) return false;
    }
}

/* pretok.c: the regular expressions of a pre-tokenizer. */
TernStatus tn_pretok_compile(TernVocab *v, TernError *err);
void tn_pretok_free(TernVocab *v);
typedef struct TnPretok TnPretok;
/* Made for one tern_encode of `size` bytes; NULL if memory is out. */
TnPretok *tn_pretok_begin(size_t size);
void tn_pretok_end(TnPretok *p);
/* Calls word() on each piece of well-formed UTF-8, in order. */
typedef TernStatus TnWordFn(void *user, const char *text, size_t size, TernError *err);
TernStatus tn_pretok_split(const TernVocab *v, TnPretok *p, const char *text, size_t size, TnWordFn *word,
                           void *user, TernError *err);

/* bpe.c: scratch memory of one tern_encode; zero-initialise to create. */
typedef struct TnBpeOut {
    uint32_t symbol, start; /* of the piece: what it is, and its first byte */
} TnBpeOut;
typedef struct TnBpe {
    struct TnPiece *pieces;
    uint64_t *heap;
    TnBpeOut *out;
    size_t cap;
} TnBpe;
/* Merges one word; the pieces are in b->out. */
TernStatus tn_bpe_word(const TernVocab *v, TnBpe *b, const uint8_t *word, size_t size, size_t *out_n,
                       TernError *err);
void tn_bpe_free(TnBpe *b);

#endif
