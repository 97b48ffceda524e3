/* Writes a graph as a picture (in Graphviz' dot language) and as json. */
#ifndef TN_DOT_H
#define TN_DOT_H

#include "ir/ir.h"

typedef struct TnDotOptions {
    bool fold_layers; /* draw repeated layers (repeat.h) once, "x30" */
    bool one_layer;   /* draw only layer `layer` (layer_label.h), with its inputs and outputs */
    int32_t layer;
    const double *kernel_ms; /* by kernel, colours it by cost; negative: not measured; NULL: no colours */
} TnDotOptions;

/* Ops are boxes, grouped by layer and by kernel (before fuse: by part of the layer). Edges carry types.
 * Caches and the lines to and from them are dashed. Weights are notes with their size, beside their first
 * reader. Values that the whole graph reads (positions, the rope's angles) are named in their readers instead
 * of drawn. options may be NULL. */
void tn_dot(const TnGraph *g, const TnDotOptions *options, TnBuf *out);

/* Writes one json object, one line for each node. docs/inspect.md describes the fields. */
void tn_json(const TnGraph *g, TnBuf *out);

#endif
