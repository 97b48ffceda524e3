/* Where in a model an op stands, for people: the layer and the part of it ("l3.ffn"), read off the names of
 * the weights (blk.3.ffn_up.weight) and caches (k3) that it and the ops before it use. A guess for display: no
 * pass may ask. */
#ifndef TN_LAYER_LABEL_H
#define TN_LAYER_LABEL_H

#include "ir/ir.h"

#define TN_PLACE_ENTRY (-1)      /* before the first layer, or no layers known */
#define TN_PLACE_HEAD  INT32_MAX /* rows chosen for results: behind the last layer */

typedef struct TnPlace {
    int32_t layer;    /* TN_PLACE_ENTRY, 0.., TN_PLACE_HEAD */
    const char *part; /* "attn", "ffn", "embed", "head", or "" */
} TnPlace;

/* One a node, in the arena. */
TnPlace *tn_places(const TnGraph *g, TnArena *arena);
/* "l3.ffn", "head", or "" where nothing is known. */
void tn_place_print(TnPlace p, TnBuf *out);

#endif
