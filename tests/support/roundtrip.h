/* The law of the text form, for one random graph. */
#ifndef TN_TEST_ROUNDTRIP_H
#define TN_TEST_ROUNDTRIP_H

#include "tests/support/randgraph.h"

/* Makes a graph from the seed, which also decides its stage and whether it has odd things in it. It verifies. */
TnGraph *stage_graph(uint64_t seed);
/* Checks that parse(print(g)) equals g, node for node, and prints the same text, and that a clone does too. Counts the ops
 * it meets in `ops`, unless that is NULL. If it returns false, `why` says what broke. */
bool roundtrip(uint64_t seed, uint32_t ops[TN_OP_COUNT], char *why, size_t room);

#endif
