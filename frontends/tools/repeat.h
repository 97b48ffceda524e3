/* Repeated layers, found by structure alone: the longest stretch of a graph that is one piece over and over. */
#ifndef TN_REPEAT_H
#define TN_REPEAT_H

#include "ir/ir.h"

typedef struct TnRepeat {
    uint32_t period, count; /* ops a piece; pieces, at least 2; count 0: nothing repeats */
    /* By node: the piece an op belongs to (TN_NONE: none), and the op of piece 0 in the same place (itself where there
     * is none). Sources and inputs belong to no piece and stand for themselves. */
    uint32_t *piece;
    TnRef *first;
} TnRepeat;

/* Arrays in the arena. Two ops are in the same place if op, attributes (but names, hashes and offsets), type (but
 * scales) and their place in their kernels agree, and each operand is the same value, or a weight or cache of the same
 * kind, or lies as far before them. */
void tn_repeat_find(const TnGraph *g, TnArena *arena, TnRepeat *out);

#endif
