/* The paged KV cache: which physical page holds which positions of which slot.
 *
 * A page holds 64 positions of every layer's keys and values. table[slot * P + j] is the page of positions
 * 64j .. 64j + 63. Pages may be shared by slots (after a fork); a shared page is copied when one of them is
 * about to write into it, so there is one rule for forked and for truncated slots. N = S * P pages always
 * suffice: a slot never holds more than P, and when it must copy a shared page, fewer than N are in use.
 *
 * In a page a kernel reads, positions after the slot's last read as zero: memory is zero as allocated (and
 * untouched memory stays out of the resident set); used[page] says how far a page was ever written, and what
 * is left over from another life is cleared when a position is appended before it. So a kernel may multiply
 * masked positions by zero, and a NaN that one sequence stored never reaches another.
 *
 * Here are tables and counts alone: what is in a page is the engine's, which copies and clears it. */
#ifndef TN_PAGES_H
#define TN_PAGES_H

#include "runtime/engine.h"

/* The tables are the session's. */
typedef struct TnPages {
    int32_t *table;           /* [slots * per_slot] */
    uint32_t *length;         /* [slots] positions held */
    uint32_t *refs;           /* [n] slots that hold the page */
    uint8_t *used;            /* [n] positions written since last cleared */
    int32_t *free;            /* [n] a stack of pages that were used before */
    uint32_t n_free, n_fresh; /* fresh: pages from here on were never used */
    uint32_t slots, per_slot, n;
    TnEngine *engine;
    TnMemory *memory;
} TnPages;

/* One more position for a slot that has room; returns it. Its page is there and the slot's own. */
uint32_t tn_pages_append(TnPages *p, uint32_t slot);
/* Forgets positions from n on; n <= length. */
void tn_pages_truncate(TnPages *p, uint32_t slot, uint32_t n);
/* The page of a position that the slot holds. */
static inline int32_t tn_pages_at(const TnPages *p, uint32_t slot, uint32_t position) {
    return p->table[(size_t)slot * p->per_slot + position / TN_PAGE_POSITIONS];
}
/* Makes `to` hold what `from` holds. */
void tn_pages_fork(TnPages *p, uint32_t from, uint32_t to);

#endif
