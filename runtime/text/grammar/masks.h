/* Masks: which tokens may come for a set of stacks.
 *
 * The tokens lie in a tree of bytes, which is walked together with the stacks: where the stacks end, a whole subtree of
 * tokens is out. For a place like the inside of a string that is nearly all tokens, and many places are like it. So a
 * mask is put together from *tables*, one for each stack's top. A table is for a top position and the loops right below
 * it, without what is below them: it has the tokens that may come whatever is below, and the nodes of the tree, the
 * *exits*, at which the known part of the stack is complete. From the exits, which are few, the walk goes on with what
 * really is below.
 *
 * How often a loop has turned makes a difference only near its bounds, so tables of far counts are the same. Tables and
 * masks are kept up to a number of bytes; the one that was used longest ago goes. */
#ifndef TN_GRAMMAR_MASKS_H
#define TN_GRAMMAR_MASKS_H

#include "runtime/text/grammar/stacks.h"
#include "runtime/text/grammar/trie.h"

/* Bits by token and what was computed for them, found by a key of words. */
typedef struct TnKept {
    uint32_t *key;
    uint32_t n_key, chain;
    uint64_t *words;
    uint32_t *exits;
    size_t n_exits, n_allowed;
    uint64_t used; /* when */
} TnKept;

typedef struct TnKeep {
    TnKept *v;
    size_t n, cap, most, n_words;
    uint32_t *slots;
    uint32_t mask;
    uint64_t clock;
} TnKeep;

void tn_keep_start(TnKeep *k, size_t most, size_t n_words);
void tn_keep_free(TnKeep *k);
/* The entry with this key, or NULL. */
TnKept *tn_keep_find(TnKeep *k, const uint32_t *key, uint32_t n);
/* A new entry, its bits 0, in place of the oldest if there are `most`. Valid until the next one. */
TnKept *tn_keep_new(TnKeep *k, const uint32_t *key, uint32_t n);
void tn_keep_drop(TnKeep *k, TnKept *v); /* of the newest: as if it had not been made */

typedef struct TnMasks {
    const TernVocab *vocab;
    const TnPositions *p;
    TnStacks stacks;
    const TnTrie *trie; /* the vocabulary's */
    TnKeep tables, masks;
    size_t n_words;
    struct TnStep {
        uint32_t set, byte_round, after, work;
    } * memo; /* steps of walks: a hash table without chains */
    uint32_t round;
    uint32_t *path; /* sets by depth */
    uint64_t n_steps, n_made;
} TnMasks;

void tn_masks_start(TnMasks *m, const TernVocab *vocab, const TnPositions *p);
void tn_masks_free(TnMasks *m);
size_t tn_masks_bytes(const TnMasks *m);

/* The mask of a set; `first`: of the first token of an output, `may_end` as it is for the set. NULL if it takes too much
 * work. Leaves the stacks as they were. Valid until the next one. */
const TnKept *tn_mask_of(TnMasks *m, uint32_t set, bool first, bool may_end);

#endif
