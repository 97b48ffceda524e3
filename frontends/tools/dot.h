/* A graph as a picture (Graphviz' dot language) and as json. */
#ifndef TN_DOT_H
#define TN_DOT_H

#include "ir/ir.h"

typedef struct TnDotOptions {
    bool fold_layers; /* repeated layers (repeat.h) are drawn once, "x30" */
    bool one_layer;   /* only layer number `layer` (layer_label.h), with what comes in and goes out */
    int32_t layer;
    const double *kernel_ms; /* by kernel: colours by cost; negative: not measured; NULL: none */
} TnDotOptions;

/* Ops are boxes, grouped by layer and by kernel (before fuse: by part of the layer); edges carry types; caches and
 * what goes through them are dashed; weights are notes with their size beside their first reader; what the whole
 * graph reads (positions, the rope's angles) is named in its readers instead of drawn. options may be NULL. */
void tn_dot(const TnGraph *g, const TnDotOptions *options, TnBuf *out);

/* One json object, a node a line: docs/inspect.md has the fields. */
void tn_json(const TnGraph *g, TnBuf *out);

#endif
