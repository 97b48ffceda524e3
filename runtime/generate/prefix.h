/* Which slot begins like this? A radix tree over the ids that slots hold.
 *
 * Row i of a table of ids belongs to slot i. The first n ids of a row may be an entry of the tree, one for each slot. The tree
 * copies no ids: an edge is read from the row of any slot after it, so an edge is two depths and a slot. A node has an entry
 * or at least two children, the root excepted, so there are at most two nodes for each slot, and they are made with the tree:
 * nothing here but tn_prefix_create allocates. */
#ifndef TN_GENERATE_PREFIX_H
#define TN_GENERATE_PREFIX_H

#include <stddef.h>
#include <stdint.h>

typedef struct TnPrefix TnPrefix;
enum { TN_PREFIX_NONE = UINT32_MAX };

/* `ids` has `slots` rows of `width` ids and must outlive the tree. NULL: no memory. */
TnPrefix *tn_prefix_create(uint32_t slots, size_t width, const int32_t *ids);
void tn_prefix_destroy(TnPrefix *t); /* NULL is fine */
/* Makes the first n ids of the slot's row its entry; 0: it has none. A row must not change below the length of its entry. */
void tn_prefix_set(TnPrefix *t, uint32_t slot, size_t n);
size_t tn_prefix_length(const TnPrefix *t, uint32_t slot);
/* The length of the longest beginning that `ids` has in common with an entry, at most n, and in *slot a slot whose entry it
 * is of. 0: none. */
size_t tn_prefix_find(const TnPrefix *t, const int32_t *ids, size_t n, uint32_t *slot);
/* Entries that are beginnings of this slot's, equal ones included, itself not: the longest for slot `after` == this slot, and
 * then the next one after `after`. TN_PREFIX_NONE: there is no other. The slot has an entry. */
uint32_t tn_prefix_shorter(const TnPrefix *t, uint32_t slot, uint32_t after);
/* Some other slot whose entry begins with this slot's, equal ones included; TN_PREFIX_NONE: none. The slot has an entry. */
uint32_t tn_prefix_longer(const TnPrefix *t, uint32_t slot);

#endif
