/* The paged KV cache: which physical page holds which positions of which slot.
 *
 * A page holds 64 positions of every layer's keys and values. table[slot * P + j] is the page of positions
 * 64j .. 64j + 63. After a fork, slots share pages. When a slot is about to write into a shared page, the page is
 * copied first; that one rule serves forked and truncated slots alike. N = S * P pages always suffice: a slot
 * never holds more than P, and when it must copy a shared page, fewer than N are in use. There may be fewer. Then
 * the session asks how many pages its rows take (tn_pages_needed) and refuses them before any is appended.
 *
 * In every page that a kernel reads, positions after the slot's last one read as zero. Memory is zero as allocated,
 * and untouched memory stays out of the resident set. used[page] says how far a page was ever written; what an
 * earlier use of the page left there is cleared when a position before it is appended. So a kernel may multiply
 * masked positions by zero, and a NaN that one sequence stored never reaches another.
 *
 * Saturated values are counted where they lie, not as they are stored: a position has its keys in a line of memory for
 * each dim, so that a look at each new position would take 1 to 4 % of a step. counted[page] says how far a page was
 * counted. The rest is counted before it is cleared, or when someone asks.
 *
 * This file keeps only tables and counts. The contents of pages belong to the engine, which copies and clears
 * them. */
#ifndef TN_PAGES_H
#define TN_PAGES_H

#include "runtime/engine.h"

/* The arrays lie in the session's memory. */
typedef struct TnPages {
    int32_t *table;     /* [slots * per_slot] */
    uint32_t *length;   /* [slots] positions held */
    uint32_t *refs;     /* [n] how many slots hold the page */
    uint8_t *used;      /* [n] positions written since the page was last cleared */
    uint8_t *counted;   /* [n] positions below this were counted, or came from elsewhere */
    uint64_t saturated; /* in the positions counted so far */
    bool counts;        /* whether the engine counts them in pages: the cache is f16, and kernels do not */
    int32_t *free;      /* [n] a stack of free pages that were used before */
    uint32_t n_free, n_fresh; /* pages from n_fresh on were never used */
    uint32_t n_shared;        /* pages that more than one slot holds */
    uint32_t slots, per_slot, n;
    TnEngine *engine;
    TnMemory *memory;
} TnPages;

/* The number of pages that no slot holds. */
static inline uint32_t tn_pages_free(const TnPages *p) {
    return p->n_free + (p->n - p->n_fresh);
}
/* How many free pages it takes to append growth[slot] positions to each slot. Nothing is freed on the way, so it is exact.
 * `growth` is as before afterwards; its values are below 2^31. */
uint64_t tn_pages_needed(TnPages *p, uint32_t *growth);

/* The next two take free pages, and the caller has made sure that there are enough.
 * Appends a position to a slot that has room, and returns it. The slot then has a page for it that no other slot shares. */
uint32_t tn_pages_append(TnPages *p, uint32_t slot);
/* Appends n positions, 1 to 64, to a slot that has room and whose pages are all full. Returns their page, whose contents are
 * the caller's to write; until then every position of it counts as written. */
int32_t tn_pages_append_page(TnPages *p, uint32_t slot, uint32_t n);
/* Removes the positions from n on; n <= length. */
void tn_pages_truncate(TnPages *p, uint32_t slot, uint32_t n);
/* The saturated values that were stored in all positions so far. 0 unless p->counts. */
uint64_t tn_pages_saturated(const TnPages *p);
/* The page of a position that the slot holds. */
static inline int32_t tn_pages_at(const TnPages *p, uint32_t slot, uint32_t position) {
    return p->table[(size_t)slot * p->per_slot + position / TN_PAGE_POSITIONS];
}
/* Empties `to`, then makes it share all pages of `from`. Does nothing if they are the same slot. */
void tn_pages_fork(TnPages *p, uint32_t from, uint32_t to);

#endif
