/* Random well-typed graphs, for tests that check a law on thousands of them.
 *
 * rand_graph(seed) makes a model-stage graph over all ops. It verifies and can be evaluated: its weights are
 * `random` and `const` (no model file), its sizes are small and odd, its values stay finite, and its inputs are
 * the runtime's: ids pos slot rows hrows table k0 v0 k1 v1 .. rand_step makes a step for it, and rand_fill writes
 * an input of that step. rand_kernels and rand_plan take the graph to the later stages in the simplest way: one
 * kernel for each node, one place for each value. rand_wild adds things that can be written but not run: all
 * encodings, odd names, NaN constants. The same seed gives the same graph on every machine. */
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
/* The same, grown in at most `most` steps, so that it is cheap to compile. */
TnGraph *rand_small_graph(uint64_t seed, int64_t most);
/* The same, but values need not stay finite: some weights are infinite, NaN, huge or tiny, and so are some scales. */
TnGraph *rand_extreme_graph(uint64_t seed, int64_t most);

/* ---- a step for it */

enum { RAND_ROWS = 96, RAND_SLOTS = 4, RAND_PAGES = 3 };

typedef struct RandStep {
    int64_t sym[TN_SYM_COUNT];
    int32_t ids[RAND_ROWS], pos[RAND_ROWS], slot[RAND_ROWS], rows[RAND_ROWS], hrows[RAND_ROWS];
    int32_t table[RAND_SLOTS * RAND_PAGES];
    int32_t used[RAND_SLOTS]; /* positions that each slot holds */
} RandStep;

/* Makes a first step (used is zero) or the step after *s: T rows spread over the slots, with rising positions in
 * each slot. The page table is a random permutation, made by the first step. */
void rand_step(RandStep *s, const TnGraph *g, Rand *r, int64_t rows);
/* Writes the input of that name (not a cache), laid out as in ir/type_layout.h. */
void rand_fill(const RandStep *s, const char *name, void *data);

/* ---- later stages, in the simplest way */
void rand_kernels(TnGraph *g);
/* Call it after rand_kernels. Gives every value a place of its own. */
void rand_plan(TnGraph *g, Rand *r);
/* Adds things that can be written but not run. */
void rand_wild(TnGraph *g, Rand *r);

#endif
