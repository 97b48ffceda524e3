/* Finds repeated layers by structure alone: the longest stretch of a graph that repeats one piece. */
#ifndef TN_REPEAT_H
#define TN_REPEAT_H

#include "ir/ir.h"

typedef struct TnRepeat {
    uint32_t period, count; /* ops in a piece; number of pieces, at least 2; count 0: nothing repeats */
    /* By node: the piece that an op belongs to (TN_NONE: none), and the op of piece 0 at the same place
     * (itself if there is none). Sources and inputs belong to no piece and stand for themselves. */
    uint32_t *piece;
    TnRef *first;
} TnRepeat;

/* The arrays are in the arena. Two ops are at the same place if op, attributes (except names, hashes and
 * offsets), type (except scales) and their places in their kernels agree, and each operand is the same value,
 * a weight or cache of the same kind, or at the same distance before them. */
void tn_repeat_find(const TnGraph *g, TnArena *arena, TnRepeat *out);

#endif
