/* Merges one word by pairs: always the pair with the lowest rank, and the leftmost on ties.
 *
 * The pieces form a list over the word. A heap holds the candidate pairs, each as rank and left piece. A candidate from the
 * top of the heap is valid if the pair that is now at its left piece has its rank; then it is that pair's own candidate
 * or equivalent to it. Otherwise its pieces have merged with others since, and it is dropped. Each merge adds at most two
 * candidates, so a word takes O(n log n) steps whatever it is, even a megabyte without a space. */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/text/bpe.h"

#define NONE UINT32_MAX

/* ---- The table ---- */

void tn_merges_make(TnVocabBuild *b, size_t n) {
    b->head.table_n = 2;
    while (b->head.table_n < n + n / 2 + 1) b->head.table_n *= 2;
    b->table = tn_xcalloc(b->head.table_n, sizeof(TnMergeSlot));
    memset(b->table, 0xff, b->head.table_n * sizeof(TnMergeSlot));
}

void tn_merges_put(TnVocabBuild *b, TnMergeSlot merge) {
    TnMergeSlot *slots = b->table;
    for (uint32_t h = tn_merge_hash(merge.left, merge.right);; h++) {
        TnMergeSlot *slot = &slots[h & (b->head.table_n - 1)];
        if (slot->left == merge.left && slot->right == merge.right) return;
        if (slot->left != TN_EMPTY) continue;
        *slot = merge;
        return;
    }
}

/* Look-ups end at a free slot, so there must be one. The loop has no branches: it runs over a million slots of a
 * large vocabulary each time a model is opened. */
TernStatus tn_merges_check(const TernVocab *v, TernError *err) {
    const TnVocabHead *h = &v->head;
    uint32_t n_free = 0, n_bad = 0;
    if (!tn_vocab_slots_ok(h->table_n))
        return tn_fail(err, TERN_ERR_INPUT,
                       TN_VOCAB_DAMAGED "a merge table of %u slots, expected a power of two", h->table_n);
    for (uint32_t i = 0; i < h->table_n; i++) {
        TnMergeSlot m = tn_merge_at(v, i);
        n_free += m.left == TN_EMPTY;
        n_bad += (m.left != TN_EMPTY) &
                 ((m.left >= h->n_symbols) | (m.right >= h->n_symbols) | (m.merged >= h->n_symbols));
    }
    if (n_bad)
        return tn_fail(err, TERN_ERR_INPUT,
                       TN_VOCAB_DAMAGED "%u slots of its merge table name symbols beyond its %u", n_bad,
                       h->n_symbols);
    if (n_free == 0) return tn_fail(err, TERN_ERR_INPUT, TN_VOCAB_DAMAGED "its merge table is full");
    return TERN_OK;
}

/* ---- Merging ---- */

typedef struct TnPiece {
    uint32_t symbol; /* NONE: it was merged into a piece on its left */
    uint32_t start, prev, next;
} TnPiece;

static void heap_push(uint64_t *heap, size_t *n, uint64_t key) {
    size_t i = (*n)++;
    while (i > 0 && heap[(i - 1) / 2] > key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = key;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n) {
    uint64_t top = heap[0], key = heap[--*n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= *n) break;
        if (child + 1 < *n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= key) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
    return top;
}

static bool grow(TnBpe *b) {
    size_t cap = b->cap ? b->cap * 2 : 64;
    TnPiece *pieces = realloc(b->pieces, cap * sizeof *pieces);
    if (pieces) b->pieces = pieces;
    uint64_t *heap = pieces ? realloc(b->heap, cap * 2 * sizeof *heap) : NULL;
    if (heap) b->heap = heap;
    TnBpeOut *out = heap ? realloc(b->out, cap * sizeof *out) : NULL;
    if (!out) return false;
    b->out = out;
    b->cap = cap;
    return true;
}

void tn_bpe_free(TnBpe *b) {
    free(b->pieces);
    free(b->heap);
    free(b->out);
    free(b->splits);
    *b = (TnBpe){0};
}

TernStatus tn_bpe_remember(const TernVocab *v, TnBpe *b, TernError *err) {
    size_t bytes = v->head.n_symbols * sizeof *b->splits;
    b->splits = malloc(bytes);
    if (!b->splits) return tn_fail(err, TERN_ERR_MEMORY, "no memory to tokenize a text (%zu bytes)", bytes);
    memset(b->splits, 0xff, bytes);
    return TERN_OK;
}

TernStatus tn_bpe_add(TnBpe *b, uint32_t symbol, uint32_t start, TernError *err) {
    if (b->n == b->cap && !grow(b))
        return tn_fail(err, TERN_ERR_MEMORY, "no memory to merge a word of over %zu pieces", b->n);
    uint32_t i = (uint32_t)b->n++;
    b->pieces[i] = (TnPiece){symbol, start, i ? i - 1 : NONE, NONE};
    if (i) b->pieces[i - 1].next = i;
    return TERN_OK;
}

/* Makes the piece and its right neighbour a candidate if they merge. */
static void try_pair(const TernVocab *v, TnBpe *b, size_t *n_heap, uint32_t left) {
    const TnPiece *p = b->pieces;
    TnMergeSlot m;
    if (!tn_merge_find(v, p[left].symbol, p[p[left].next].symbol, &m)) return;
    heap_push(b->heap, n_heap, (uint64_t)m.rank << 32 | left);
    if (b->splits) b->splits[m.merged] = (TnSplitOf){m.left, m.right};
}

size_t tn_bpe_merge(const TernVocab *v, TnBpe *b) {
    TnPiece *p = b->pieces;
    size_t n_heap = 0, n = 0;
    TnMergeSlot m;
    for (uint32_t i = 0; i + 1 < b->n; i++) try_pair(v, b, &n_heap, i);
    while (n_heap) {
        uint64_t key = heap_pop(b->heap, &n_heap);
        uint32_t left = (uint32_t)key, right = p[left].next;
        if (p[left].symbol == NONE || right == NONE) continue;
        if (!tn_merge_find(v, p[left].symbol, p[right].symbol, &m) || m.rank != (uint32_t)(key >> 32))
            continue;
        p[left].symbol = m.merged;
        p[left].next = p[right].next;
        p[right].symbol = NONE;
        uint32_t prev = p[left].prev, next = p[left].next;
        if (next != NONE) p[next].prev = left;
        if (prev != NONE) try_pair(v, b, &n_heap, prev);
        if (next != NONE) try_pair(v, b, &n_heap, left);
    }
    for (uint32_t i = 0; i != NONE && b->n; i = p[i].next) b->out[n++] = (TnBpeOut){p[i].symbol, p[i].start};
    b->n = 0;
    return n;
}
