/* Compares two graphs and reports, op by op, differences in ops, operands, types, attributes, kernels and
 * weights.
 *
 * Names and order are not compared, so renumbering or another topological order is not a difference. Ops are
 * paired first by the value they compute (op, attributes, type and operands, all the way up to weights by
 * name), then outward from existing pairs, through operands and readers of the same kind. So an op that is
 * inserted, removed or changed is reported as such and leaves its neighbours alone. Takes about n log n. */
#ifndef TN_DIFF_GRAPHS_H
#define TN_DIFF_GRAPHS_H

#include "ir/ir.h"

typedef struct TnDiffOptions {
    /* Called for two tensors of the same name whose hash, type or scale differ; may append ", words" that say
     * how. */
    void (*weights)(void *user, const TnNode *a, const TnNode *b, TnBuf *out);
    void *user;
    bool names; /* also report values whose names differ */
} TnDiffOptions;

typedef struct TnDiff {
    TnBuf text;       /* one line a difference: "~ ", "+ " or "- ", then the name */
    uint32_t changed; /* ops, kernels and facts of the graph */
    uint32_t added, removed, weights;
    uint32_t renamed, alike; /* ops: paired under another name; paired without a difference */
    uint32_t n_a, n_b;       /* ops */
} TnDiff;

/* options may be NULL. tn_buf_free(&out->text). */
void tn_diff(const TnGraph *a, const TnGraph *b, const TnDiffOptions *options, TnDiff *out);
/* Appends "1 changed, 0 added, 0 removed" and the other counts. */
void tn_diff_summary(const TnDiff *d, TnBuf *out);
static inline bool tn_diff_any(const TnDiff *d) {
    return d->changed + d->added + d->removed + d->weights > 0;
}

#endif
