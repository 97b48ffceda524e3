/* A graph tried out: evaluated on inputs made up here, its results as text. For `tern eval`, and for the examples of
 * docs/ir.md. */
#ifndef TN_SHOW_H
#define TN_SHOW_H

#include "ir/eval.h"

/* Symbols: T, R, K and H are `rows` (1 to 64), S, P and N are 1. Inputs: element i of an i32 one is i, but 0 for `slot`
 * and counted anew from 0 where a table has no more rows; element i of an f32 one is ((7*i) mod 13 - 6) / 4; caches are
 * zero. Shown are the values that nothing reads or an output does, a line a row,
 *
 *     %y[0] = 1 0 0.25 0
 *
 * floats as %.9g, which names them exactly; q8 rows as d, sum and codes; caches not at all; of rows and columns the
 * first 64. Sources need a reader to be shown. rows 0: as many as the graph is for, 2 where any number is. Fails where a
 * weight is missing, where the graph is for fewer rows, and where it computes an index that is beyond what it indexes. */
TernStatus tn_eval_show(const TnGraph *g, const TnWeights *w, int64_t rows, TnBuf *out, TernError *err);

#endif
