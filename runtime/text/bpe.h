/* Merging one word by ranked pairs: the middle of both tokenizers. */
#ifndef TN_TEXT_BPE_H
#define TN_TEXT_BPE_H

#include "runtime/text/tokenizer.h"

/* The image's own table of a tokenizer that merges: open addressing by tn_merge_hash(left, right), a power of two of
 * slots, never full; left TN_EMPTY: free. */
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

/* Makes b's table, free for n merges, n at most TN_MERGES_MAX; then puts each. A pair put twice keeps the first. */
void tn_merges_make(TnVocabBuild *b, size_t n);
void tn_merges_put(TnVocabBuild *b, TnMergeSlot merge);
/* Of an opened image: look-ups end, and all of them give symbols. */
TernStatus tn_merges_check(const TernVocab *v, TernError *err);

/* Scratch memory of one tern_encode; zero-initialise to create. */
typedef struct TnBpeOut {
    uint32_t symbol, start; /* of the piece: what it is, and what tn_bpe_add said of its first one */
} TnBpeOut;
typedef struct TnSplitOf {
    uint32_t left, right; /* TN_EMPTY: none yet */
} TnSplitOf;
typedef struct TnBpe {
    struct TnPiece *pieces;
    uint64_t *heap;
    TnBpeOut *out;
    size_t n, cap;
    TnSplitOf *splits; /* after tn_bpe_remember, n_symbols: the pair that last could merge to a symbol */
} TnBpe;
#define TN_NO_SYMBOL (TN_EMPTY - 1) /* a piece that merges with nothing */

TernStatus tn_bpe_remember(const TernVocab *v, TnBpe *b, TernError *err);
/* The next piece of the word, before any merge. */
TernStatus tn_bpe_add(TnBpe *b, uint32_t symbol, uint32_t start, TernError *err);
/* Merges the word, whose n pieces are then in b->out, and begins an empty one. */
size_t tn_bpe_merge(const TernVocab *v, TnBpe *b);
void tn_bpe_free(TnBpe *b);

#endif
