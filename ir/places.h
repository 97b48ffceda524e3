/* Which rows or columns of a matrix are kept: the mask of the op `places`, hex digits, of which the highest bit of
 * the first is number 0. */
#ifndef TN_PLACES_H
#define TN_PLACES_H

#include "ir/ir.h"

#define TN_PLACES     64         /* columns of a value of places */
#define TN_PLACES_MAX (4096 * 4) /* what the longest string can tell apart */

bool tn_mask_get(const char *mask, int64_t i); /* false behind the end */
int64_t tn_mask_count(const char *mask);
/* One more than the last that is kept, 0 if none is. */
int64_t tn_mask_end(const char *mask);
/* The mask of n flags, in the arena. */
const char *tn_mask_new(TnArena *arena, const bool *kept, int64_t n);
/* The numbers of those that are kept, rising: tn_mask_count of them, malloc'ed. */
int32_t *tn_mask_list(const char *mask);

#endif
