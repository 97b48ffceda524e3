/* Byte-pair merging of one word: always the pair with the lowest rank, the leftmost of equals.
 *
 * Pieces form a list over the word's bytes; a heap holds the candidate pairs as rank and left piece. A
 * candidate whose pieces have since merged with others is known by its rank, which belongs to one pair of
 * symbols, and is dropped when it surfaces. Each merge adds at most two candidates, so the whole takes
 * O(n log n) steps whatever the word; a megabyte without a space is no attack. */
#include <stdlib.h>
#include "runtime/text/bpe.h"

#define NONE UINT32_MAX

typedef struct TnPiece {
    uint32_t symbol; /* NONE: merged into a piece on its left */
    uint32_t prev, next;
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

static bool reserve(TnBpe *b, size_t size) {
    if (size <= b->cap) return true;
    size_t cap = size < 64 ? 64 : size + size / 2;
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
    *b = (TnBpe){0};
}

TernStatus tn_bpe_word(const TernVocab *v, TnBpe *b, const uint8_t *word, size_t size, size_t *out_n,
                       TernError *err) {
    *out_n = 0;
    if (!reserve(b, size))
        return tn_fail(err, TERN_ERR_MEMORY, "no memory to merge a word of %zu bytes", size);
    TnPiece *p = b->pieces;
    size_t n_heap = 0;
    TnMergeSlot m;
    for (size_t i = 0; i < size; i++)
        p[i] = (TnPiece){v->head.byte_symbol[word[i]], i ? (uint32_t)i - 1 : NONE,
                         i + 1 < size ? (uint32_t)i + 1 : NONE};
    for (size_t i = 0; i + 1 < size; i++)
        if (tn_merge_find(v, p[i].symbol, p[i + 1].symbol, &m))
            heap_push(b->heap, &n_heap, (uint64_t)m.rank << 32 | i);
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
        if (prev != NONE && tn_merge_find(v, p[prev].symbol, m.merged, &m))
            heap_push(b->heap, &n_heap, (uint64_t)m.rank << 32 | prev);
        if (next != NONE && tn_merge_find(v, p[left].symbol, p[next].symbol, &m))
            heap_push(b->heap, &n_heap, (uint64_t)m.rank << 32 | left);
    }
    size_t n = 0;
    for (uint32_t i = 0; i != NONE && size; i = p[i].next) b->out[n++] = (TnBpeOut){p[i].symbol, i};
    *out_n = n;
    return TERN_OK;
}
