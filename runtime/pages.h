/* The paged KV cache: which physical page holds which positions of which slot.
 *
 * A page holds 64 positions of every layer's keys and values. table[slot * P + j] is the page of positions
 * 64j .. 64j + 63. Pages may be shared by slots (after a fork); a shared page is copied when one of them is
 * about to write into it, so there is one rule for forked and for truncated slots. N = S * P pages always
 * suffice: a slot never holds more than P, and when it must copy a shared page, fewer than N are in use.
 *
 * In a page a kernel reads, positions behind the slot's last read as zero: memory is zero as mapped (and
 * untouched memory stays out of the resident set); used[page] says how far a page was ever written, and what
 * is left over from another life is cleared when a position is appended before it. So a kernel may multiply
 * masked positions by zero, and a NaN that one sequence stored never reaches another. */
#ifndef TN_PAGES_H
#define TN_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TN_PAGE_POSITIONS 64

/* The memory is the session's. Key page: [heads][head_dim][64], value page: [heads][64][head_dim], per layer
 * N of each; where positions have scales, those of a head's 64 follow its elements. */
typedef struct TnPages {
    int32_t *table;           /* [slots * per_slot] */
    uint32_t *length;         /* [slots] positions held */
    uint32_t *refs;           /* [n] slots that hold the page */
    uint8_t *used;            /* [n] positions written since last cleared */
    int32_t *free;            /* [n] a stack of pages that were used before */
    uint32_t n_free, n_fresh; /* fresh: pages from here on were never used */
    uint32_t slots, per_slot, n;
    uint32_t layers, heads, head_dim, elem_bytes, scale_bytes; /* scale: 0 or 4 a position and head */
    uint8_t *keys, *values; /* layer l's pages begin at + l * n * page_bytes */
} TnPages;

size_t tn_pages_bytes_a_page(const TnPages *p);
/* One more position for a slot that has room; returns it. Its page is there and the slot's own. */
uint32_t tn_pages_append(TnPages *p, uint32_t slot);
/* Forgets positions from n on; n <= length. */
void tn_pages_truncate(TnPages *p, uint32_t slot, uint32_t n);
/* Of positions from..to-1 of a slot, all in one page of an f16 cache: how many keys and values of all layers are +-65504,
 * as stores make of anything larger. */
uint64_t tn_pages_saturated(const TnPages *p, uint32_t slot, uint32_t from, uint32_t to);
/* Makes `to` hold what `from` holds. */
void tn_pages_fork(TnPages *p, uint32_t from, uint32_t to);

#endif
