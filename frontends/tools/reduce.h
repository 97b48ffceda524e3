/* A failing graph made small: what is left when everything that the failure does not need is gone. */
#ifndef TN_REDUCE_H
#define TN_REDUCE_H

#include "ir/ir.h"

/* Whether the thing looked for still happens with g, a verified graph of stage model. */
typedef bool TnFailsFn(void *user, const TnGraph *g);

/* A graph of stage model on which fails() is true, as small as could be found; names of the values that are left
 * are those of g. Every graph that fails() is asked about verifies. If fails(g) is false, or g is of a later stage,
 * that is a clone of g. `gguf` weights become `random` ones where the failure allows. At most 3,000 questions. */
TnGraph *tn_reduce(const TnGraph *g, TnFailsFn *fails, void *user);

/* The ops of a graph that do something: all but sources, inputs and outputs. */
uint32_t tn_count_ops(const TnGraph *g);

#endif
