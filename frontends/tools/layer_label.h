/* Labels ops with the layer and its part ("l3.ffn") for people. The label comes from the names of the weights
 * (blk.3.ffn_up.weight) and caches (k3) that the op and the ops before it use. It is a guess for display:
 * passes must not use it. */
#ifndef TN_LAYER_LABEL_H
#define TN_LAYER_LABEL_H

#include "ir/ir.h"

#define TN_PLACE_ENTRY (-1)      /* before the first layer, or no layers known */
#define TN_PLACE_HEAD  INT32_MAX /* after the last layer: rows chosen for results */

typedef struct TnPlace {
    int32_t layer;    /* TN_PLACE_ENTRY, 0.., TN_PLACE_HEAD */
    const char *part; /* "attn", "ffn", "embed", "head", or "" */
} TnPlace;

/* Returns one label for each node, in the arena. */
TnPlace *tn_places(const TnGraph *g, TnArena *arena);
/* Appends "l3.ffn", "head", or "" if nothing is known. */
void tn_place_print(TnPlace p, TnBuf *out);

#endif
