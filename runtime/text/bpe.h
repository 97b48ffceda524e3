/* Merges one word by ranked pairs: the core of both tokenizers. */
#ifndef TN_TEXT_BPE_H
#define TN_TEXT_BPE_H

#include "runtime/text/tokenizer.h"

/* The tokenizer's table in the image of a tokenizer that merges. Open addressing by tn_merge_hash(left, right); the number
 * of slots is a power of two, and some are always free. In a free slot, left is TN_EMPTY. */
typedef struct TnMergeSlot {
    uint32_t left, right, rank, merged;
} TnMergeSlot;

#define TN_MERGES_MAX (1u << 26)

static inline TnMergeSlot tn_merge_at(const TernVocab *v, uint32_t slot) {
    TnMergeSlot m;
    memcpy(&m, v->table + (size_t)slot * sizeof m, sizeof m);
    return m;
}
static inline uint32_t tn_merge_hash(uint32_t left, uint32_t right) {
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}
/* False if the pair does not merge. */
static inline bool tn_merge_find(const TernVocab *v, uint32_t left, uint32_t right, TnMergeSlot *out) {
    uint32_t mask = v->head.table_n - 1;
    for (uint32_t i = tn_merge_hash(left, right);; i++) {
        *out = tn_merge_at(v, i & mask);
        if (out->left == left && out->right == right) return true;
        if (out->left == TN_EMPTY) return false;
    }
}

/* tn_merges_make makes b's table with room for n merges, n at most TN_MERGES_MAX; tn_merges_put adds one. If a pair is
 * added twice, the first stays. */
void tn_merges_make(TnVocabBuild *b, size_t n);
void tn_merges_put(TnVocabBuild *b, TnMergeSlot merge);
/* Checks the table of an opened image, so that every look-up ends and gives a symbol. */
TernStatus tn_merges_check(const TernVocab *v, TernError *err);

/* Scratch memory of one tern_encode; zero-initialise to create. */
typedef struct TnBpeOut {
    uint32_t symbol, start; /* the piece's symbol, and the start that tn_bpe_add got for its first part */
} TnBpeOut;
typedef struct TnSplitOf {
    uint32_t left, right; /* TN_EMPTY: none so far */
} TnSplitOf;
typedef struct TnBpe {
    struct TnPiece *pieces;
    uint64_t *heap;
    TnBpeOut *out;
    size_t n, cap;
    TnSplitOf *splits; /* [n_symbols] after tn_bpe_remember: the last pair that could merge to each */
} TnBpe;
#define TN_NO_SYMBOL (TN_EMPTY - 1) /* a piece that merges with nothing */

TernStatus tn_bpe_remember(const TernVocab *v, TnBpe *b, TernError *err);
/* Appends a piece to the word, before any merge. */
TernStatus tn_bpe_add(TnBpe *b, uint32_t symbol, uint32_t start, TernError *err);
/* Merges the word and begins an empty one. The pieces are then in b->out; returns their number. */
size_t tn_bpe_merge(const TernVocab *v, TnBpe *b);
void tn_bpe_free(TnBpe *b);

#endif
