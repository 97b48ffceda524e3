/* The mask of the op `places`, which tells which rows or columns of a matrix are kept. It is a string of hex digits; the
 * highest bit of the first digit is number 0. */
#ifndef TN_PLACES_H
#define TN_PLACES_H

#include "ir/ir.h"

#define TN_PLACES     64         /* columns of a value of places */
#define TN_PLACES_MAX (4096 * 4) /* numbers in the longest string */

bool tn_mask_get(const char *mask, int64_t i); /* false after the end */
int64_t tn_mask_count(const char *mask);
/* One more than the last number that is kept; 0 if none is. */
int64_t tn_mask_end(const char *mask);
/* Makes the mask of n flags, in the arena. */
const char *tn_mask_new(TnArena *arena, const bool *kept, int64_t n);
/* The numbers that are kept, rising: tn_mask_count of them, malloc'ed. */
int32_t *tn_mask_list(const char *mask);

#endif
