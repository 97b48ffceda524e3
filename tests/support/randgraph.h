/* Random well-typed graphs, for tests that hold a law against thousands of them.
 *
 * rand_graph(seed) makes a model-stage graph over all ops that verifies, and that can be evaluated: its
 * weights are `random` and `const` (no model file), its sizes are small and odd, its values stay finite, and
 * its inputs are the runtime's: ids pos slot rows hrows table k0 v0 k1 v1 .. rand_step(seed, ..) makes a step
 * for it and rand_fill writes an input of that step. rand_kernels and rand_plan take such a graph to the
 * later stages in the dullest way: a kernel a node, a place a value. rand_wild adds what can be written but
 * not run: all encodings, odd names, NaN constants. The same seed gives the same graph on every machine. */
#ifndef TN_TEST_RANDGRAPH_H
#define TN_TEST_RANDGRAPH_H

#include "ir/type_layout.h"

typedef struct Rand {
    uint64_t s;
} Rand;

uint64_t rand_u64(Rand *r);                       /* splitmix64 */
int64_t rand_in(Rand *r, int64_t lo, int64_t hi); /* lo .. hi */
bool rand_one_in(Rand *r, int n);
float rand_float(Rand *r, float lo, float hi);

enum { RAND_LAYERS = 3 };

TnGraph *rand_graph(uint64_t seed);
/* The same with at most that many things in it: what is cheap to compile. */
TnGraph *rand_small_graph(uint64_t seed, int64_t most);
/* The same, but values need not stay finite: some weights are infinite, NaN, huge or tiny, and so are some scales. */
TnGraph *rand_extreme_graph(uint64_t seed, int64_t most);

/* ---- a step for it */

enum { RAND_ROWS = 96, RAND_SLOTS = 4, RAND_PAGES = 3 };

typedef struct RandStep {
    int64_t sym[TN_SYM_COUNT];
    int32_t ids[RAND_ROWS], pos[RAND_ROWS], slot[RAND_ROWS], rows[RAND_ROWS], hrows[RAND_ROWS];
    int32_t table[RAND_SLOTS * RAND_PAGES];
    int32_t used[RAND_SLOTS]; /* positions of each slot that hold something */
} RandStep;

/* A first step (used is zero) or one that goes on where *s stood: T rows spread over the slots, each slot's
 * positions rising. The page table is a random permutation, made by the first step. */
void rand_step(RandStep *s, const TnGraph *g, Rand *r, int64_t rows);
/* Writes the input of that name (not a cache) as ir/type_layout.h wants it. */
void rand_fill(const RandStep *s, const char *name, void *data);

/* ---- later stages, the dull way */
void rand_kernels(TnGraph *g);
/* After rand_kernels: every value has a place of its own. */
void rand_plan(TnGraph *g, Rand *r);
/* Adds what can be written, but not run. */
void rand_wild(TnGraph *g, Rand *r);

#endif
