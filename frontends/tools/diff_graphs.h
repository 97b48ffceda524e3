/* What differs between two graphs: ops, operands, types, attributes, kernels and weights, told op by op.
 *
 * Names and order are not compared, so renumbering and other topological orders are no difference. Ops are
 * paired first by the value they compute (op, attributes, type and operands, all the way up to weights by name),
 * then outward from pairs already made through operands and readers of the same kind, so one op inserted, removed
 * or changed shows as that and leaves its neighbours alone. About n log n. */
#ifndef TN_DIFF_GRAPHS_H
#define TN_DIFF_GRAPHS_H

#include "ir/ir.h"

typedef struct TnDiffOptions {
    /* Called for two tensors of one name whose hash, type or scale differ; may append ", words" on how. */
    void (*weights)(void *user, const TnNode *a, const TnNode *b, TnBuf *out);
    void *user;
    bool names; /* values with other names are told too */
} TnDiffOptions;

typedef struct TnDiff {
    TnBuf text;       /* one line a difference: "~ ", "+ " or "- ", then the name */
    uint32_t changed; /* ops, kernels and facts of the graph */
    uint32_t added, removed, weights;
    uint32_t renamed, alike; /* ops: paired under another name; paired without a difference */
    uint32_t n_a, n_b;       /* ops */
} TnDiff;

/* options may be NULL. Frees nothing; tn_buf_free(&out->text). */
void tn_diff(const TnGraph *a, const TnGraph *b, const TnDiffOptions *options, TnDiff *out);
/* "1 changed, 0 added, 0 removed of 310 ops", with what else there is to say. */
void tn_diff_summary(const TnDiff *d, TnBuf *out);
static inline bool tn_diff_any(const TnDiff *d) {
    return d->changed + d->added + d->removed + d->weights > 0;
}

#endif
