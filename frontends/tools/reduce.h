/* Makes a failing graph small by removing everything that the failure does not need. */
#ifndef TN_REDUCE_H
#define TN_REDUCE_H

#include "ir/ir.h"

/* Returns whether the failure still happens with g, a verified graph of stage model. */
typedef bool TnFailsFn(void *user, const TnGraph *g);

/* Returns a graph of stage model on which fails() is true, as small as could be found; the values that are
 * left keep their names. Every graph passed to fails() verifies. If fails(g) is false, or g is of a later
 * stage, returns a clone of g. `gguf` weights become `random` ones if the failure stays. Calls fails() at
 * most 3,000 times. */
TnGraph *tn_reduce(const TnGraph *g, TnFailsFn *fails, void *user);

/* Counts the ops of a graph except sources, inputs and outputs. */
uint32_t tn_count_ops(const TnGraph *g);

#endif
