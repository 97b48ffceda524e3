/* Counted differential runs of random graphs. `./dev fuzz diff` does them for long, a test for a second.
 *
 * A run takes one graph, compiled in one way (a level, and the whole pipeline or every op apart), at one number of rows,
 * with one set of inputs and the caches that earlier runs left. It compares outputs and caches, bit for bit, with those
 * that the evaluator gives for the original graph. Graph `seed` is rand_small_graph(seed, 1 + seed % 10), and one in
 * seven is rand_extreme_graph. Its batch class, its cache type and all inputs follow from the seed too, so the seed is
 * enough to repeat a run. */
#ifndef TN_TEST_DIFFER_H
#define TN_TEST_DIFFER_H

#include "codegen/check.h"

typedef struct Differ {
    uint32_t batch, sets,
        steps;       /* graphs compiled together; times a graph is run from new caches; steps of each */
    bool passes_too; /* also every model pass alone */
    /* counted */
    uint64_t graphs, compiled, refused, runs, differences; /* refused: no target has code for an op alone */
    double seconds_compiling;
    char first[1200]; /* the first difference, with its seed */
} Differ;

/* Runs the graphs of seeds [from, from + batch). Returns false and fills in `first` if something differs or cannot be
 * compiled. */
bool differ_batch(Differ *d, uint64_t from);

#endif
