/* The law of the text form, for one random graph. */
#ifndef TN_TEST_ROUNDTRIP_H
#define TN_TEST_ROUNDTRIP_H

#include "tests/support/randgraph.h"

/* A graph of that seed at a stage, with odd things in it or without, as the seed has it. It verifies. */
TnGraph *stage_graph(uint64_t seed);
/* parse(print(g)) equals g, node for node, and prints the same; so does a clone. ops, if not NULL, counts the ops
 * met. False: `why` says what broke. */
bool roundtrip(uint64_t seed, uint32_t ops[TN_OP_COUNT], char *why, size_t room);

#endif
