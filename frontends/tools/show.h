/* Evaluates a graph on made-up inputs and prints its results. Used by `tern eval` and for the examples of
 * docs/ir.md. */
#ifndef TN_SHOW_H
#define TN_SHOW_H

#include "ir/eval.h"

/* Symbols: T, R, K and H are `rows` (1 to 64); S, P and N are 1. Inputs: element i of an i32 input is i,
 * except that `slot` is 0 and that counting starts again from 0 where a table has no more rows; element i of
 * an f32 input is ((7*i) mod 13 - 6) / 4; caches are zero. Prints the values that nothing reads or that an
 * output reads, one line a row:
 *
 *     %y[0] = 1 0 0.25 0
 *
 * Floats are printed as %.9g, which identifies them exactly, q8 rows as d, sum and codes, and q8g rows as those of
 * each group with its first eight codes. Caches are not printed, and only the first 64 rows and columns are. Sources are printed only if something reads them. rows
 * 0: the number that the graph is for, or 2 if it takes any. Fails if a weight is missing, if the graph is
 * for fewer rows, or if it computes an index out of range. */
TernStatus tn_eval_show(const TnGraph *g, const TnWeights *w, int64_t rows, TnBuf *out, TernError *err);

#endif
