/* Guesses which name was meant by a mistyped word: the nearest of some names, if one is near enough. */
#ifndef TN_BASE_NEAREST_H
#define TN_BASE_NEAREST_H

#include <stddef.h>

/* Start with {.word = .., .len = ..}, call tn_nearest_try for every name, then read `best`: borrowed, NULL if no name is
 * near. */
typedef struct TnNearest {
    const char *word;
    size_t len;
    const char *best; /* best_len bytes; not NUL-terminated if the name was part of a list */
    size_t best_len, slips;
} TnNearest;

/* A slip is a letter too many, a missing letter, a wrong letter, or two letters in the wrong order; case does not matter.
 * A name is near if there is at most one slip for every three letters. A word that is the beginning of a name, six letters
 * or more, counts as one slip. Of equally near names the first stays. A word of more than 100 bytes is near no name. */
void tn_nearest_try(TnNearest *n, const char *name, size_t len);

#endif
