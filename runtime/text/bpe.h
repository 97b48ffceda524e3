/* Merging one word by ranked pairs: the middle of byte-level BPE. */
#ifndef TN_TEXT_BPE_H
#define TN_TEXT_BPE_H

#include "runtime/text/vocab.h"

/* The image's own table of a tokenizer that merges: open addressing by tn_merge_hash(left, right), a power of two of
 * slots, never full; left TN_EMPTY: free. */
typedef struct TnMergeSlot {
    uint32_t left, right, rank, merged;
} TnMergeSlot;

static inline uint32_t tn_merge_hash(uint32_t left, uint32_t right) {
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}
/* False if the pair does not merge. */
static inline bool tn_merge_find(const TernVocab *v, uint32_t left, uint32_t right, TnMergeSlot *out) {
    uint32_t mask = v->head.table_n - 1;
    for (uint32_t i = tn_merge_hash(left, right);; i++) {
        memcpy(out, v->table + (size_t)(i & mask) * sizeof *out, sizeof *out);
        if (out->left == left && out->right == right) return true;
        if (out->left == TN_EMPTY) return false;
    }
}

/* Scratch memory of one tern_encode; zero-initialise to create. */
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
