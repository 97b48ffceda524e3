/* Differential runs of random graphs, counted: what `./dev fuzz diff` does for long and a test for a second.
 *
 * A run is one graph, compiled one way (level; whole pipeline or every op apart), at one row count, with one set of
 * inputs and the caches that the runs before it left, whose outputs and caches have been compared with the
 * evaluator's on the graph as it came, bit for bit. Graph `seed` is rand_small_graph(seed, 1 + seed % 10), one
 * in seven rand_extreme_graph; of it
 * stem its batch class, its cache type and all inputs, so a seed says everything. */
#ifndef TN_TEST_DIFFER_H
#define TN_TEST_DIFFER_H

#include "codegen/check.h"

typedef struct Differ {
    uint32_t batch, sets,
        steps;       /* graphs compiled together; times a graph is run from new caches; steps of each */
    bool passes_too; /* also every model pass alone */
    /* counted */
    uint64_t graphs, compiled, refused, runs, differences; /* refused: no target has code for an op apart */
    double seconds_compiling;
    char first[1200]; /* difference, with its seed */
} Differ;

/* Graphs of seeds [from, from + batch). False, and `first` filled, if something differs or cannot be compiled. */
bool differ_batch(Differ *d, uint64_t from);

#endif
