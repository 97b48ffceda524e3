/* What somebody who typed a word probably meant: the nearest of some names, if one is near enough. */
#ifndef TN_BASE_NEAREST_H
#define TN_BASE_NEAREST_H

#include <stddef.h>

/* Start with {.word = .., .len = ..}, give it every name, then look at `best`: borrowed, NULL if none is near. */
typedef struct TnNearest {
    const char *word;
    size_t len;
    const char *best; /* may end at a blank, as the names of a list do */
    size_t best_len, slips;
} TnNearest;

/* A letter too many, missing, another, or two in the wrong order is a slip; capitals count as small letters. Near is
 * at most one slip in three letters; a name's first six letters or more count as one slip. Of names equally near the first stays. Words above 100 bytes are near nothing. */
void tn_nearest_try(TnNearest *n, const char *name, size_t len);

#endif
