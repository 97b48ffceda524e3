/* The best columns of a row: what argmax, topk, rerank and rerank_top have in common.
 *
 * Columns are compared by their order, a number of 32 bits, the larger the better; of equal ones the lower column comes first.
 * Order 0 means that the column does not count, TN_PTX_WILD that the row has no best one.
 *
 * One row does not fill a GPU. So in the class of one row a long row is cut into parts, one a CTA. Each CTA leaves the best of
 * its part in the words after the step's symbols (runtime/abi/kernel.h) and counts itself done; the last one to do so
 * compares them. Which one that is does not matter to the result. */
#ifndef TN_PTX_BEST_H
#define TN_PTX_BEST_H

#include "codegen/ptx/skeletons/ptx_frame.h"

#define TN_PTX_WILD UINT32_MAX /* above tn_px_order of all floats */

/* r: the order of column j (r), by each lane for itself. */
typedef TnPxV TnPtxOrder(TnPtx *b, const void *of, TnPxV j);

/* In how many parts the kernel's rows are cut: 1, or as many as there are CTAs for one row. */
uint32_t tn_ptx_parts(const TnGraph *g, uint32_t kernel);
/* The columns [*lo, *end) of this CTA's part of a row of n. */
void tn_ptx_part(TnPtx *b, uint32_t n, TnPxV *lo, TnPxV *end);

/* A column and its order, the same in all threads; order 0: there is none, and the column is UINT32_MAX. */
typedef struct TnPtxBest {
    TnPxV order, column; /* r */
} TnPtxBest;
/* The best of columns [lo, end), which are some. Every thread also gets the best order among its own in *mine, if that is not
 * NULL. No barrier at the end. */
TnPtxBest tn_ptx_best(TnPtx *b, TnPtxOrder *order, const void *of, TnPxV lo, TnPxV end, TnPxV *mine);
/* The best of all parts goes to *to (an i32): its column, or -1 if there is none or one is wild. By all threads. */
void tn_ptx_join(TnPtx *b, const TnPtxBest *part, TnPxV to);

/* The k best of columns [lo, end).
 *
 * Columns whose `order` is at least `least` (r, above 0) are put on a list, a block of columns at a time, by any thread in any
 * place. `weigh`, if it is not NULL, then gives the order that counts, by a warp: all lanes of it call it with the same
 * column. Before the list overflows, and at the end, each entry of it counts those before it, which is its place; the first k
 * stay. The list and so the result do not depend on the order in which threads ran. */
typedef struct TnPtxTop {
    uint32_t k;
    TnPtxOrder *order, *weigh;
    const void *of;
    TnPxV least, lo, end;
} TnPtxTop;
/* Their columns and orders, in shared memory; *out_n (r) of them, at most k. Ends with a barrier. */
typedef struct TnPtxList {
    TnPxV columns, orders; /* S */
    TnPxV n;
} TnPtxList;
TnPtxList tn_ptx_top(TnPtx *b, const TnPtxTop *t);
/* r: a number that at least k threads reach with their `mine`, as large as it can be; 1 if there are not that many. */
TnPxV tn_ptx_reached(TnPtx *b, TnPxV mine, uint32_t k);
/* Writes the columns of a list to `to` (i32), and -1 after them up to k. */
void tn_ptx_put_list(TnPtx *b, const TnPtxList *l, uint32_t k, TnPxV to);

#endif
