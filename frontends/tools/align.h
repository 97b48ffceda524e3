/* Pairs the nodes of two graphs: the first half of a diff. */
#ifndef TN_ALIGN_H
#define TN_ALIGN_H

#include "ir/ir.h"

/* One graph, and its side of the pairing. */
typedef struct TnAligned {
    const TnGraph *g;
    TnRef *match;    /* the other graph's node, or TN_NONE */
    uint32_t *value; /* equal numbers, in either graph, mean equal values, apart from names and offsets */
    uint64_t *exact, *kind;     /* hashes of the node alone: op, attributes and type; op and arity */
    uint32_t *first_use, *uses; /* readers of r: uses[first_use[r] .. first_use[r + 1]), rising */
} TnAligned;

/* Pairs the nodes. Everything is allocated in the arena. */
void tn_align(const TnGraph *a, const TnGraph *b, TnArena *arena, TnAligned *out_a, TnAligned *out_b);
/* Whether an attribute says what an op does: not where its value lies, nor a tensor's hash. */
static inline bool tn_attr_structural(TnAttrKey k) {
    return k != TN_ATTR_off && k != TN_ATTR_hash;
}

#endif
