/* The evaluator: the meaning of every op, one function a row of ops.def, plain loops, no cleverness beyond
 * what keeps it bearable. Every target is held against it bit for bit.
 *
 * Values lie as ir/type_layout.h says. data[ref] is the memory of node `ref`. */
#ifndef TN_EVAL_H
#define TN_EVAL_H

#include "ir/weights.h"

/* Evaluates one non-SOURCE, non-INPUT node: reads data[args], writes data[ref] (room for tn_type_bytes). A
 * kv_put writes through data[args[0]] and needs no data of its own. SINK nodes do nothing. sym holds the
 * symbols' values. */
void tn_eval_node(const TnGraph *g, TnRef ref, void *const *data, const int64_t sym[TN_SYM_COUNT]);

/* A whole graph at any stage, for tests and for `--target ref` on a graph: owns the memory of every value. */
typedef struct TnEval TnEval;
/* sym gives the largest values. Weights are laid out once; caches are allocated (f32 for kc, vc) and
 * zeroed. */
TernStatus tn_eval_create(const TnGraph *g, const TnWeights *w, const int64_t sym[TN_SYM_COUNT], TnEval **out,
                          TernError *err);
/* Before that, of a graph that nobody vouches for: refuses one whose values, so many times over, take more memory than is
 * free. A system may grant it, and end the program once it is used. */
TernStatus tn_eval_fits(const TnGraph *g, const int64_t sym[TN_SYM_COUNT], uint32_t times, TernError *err);
void tn_eval_destroy(TnEval *e);
void *tn_eval_data(TnEval *e, TnRef ref);                /* write inputs here, read outputs here */
void *tn_eval_input(TnEval *e, const char *name);        /* by the name attribute; NULL if there is none */
const void *tn_eval_output(TnEval *e, const char *name); /* the operand of that output */
void tn_eval_run(TnEval *e, const int64_t sym[TN_SYM_COUNT]);
/* The same for a graph that nobody vouches for: refuses, with the place of the op, an index that is beyond what it
 * indexes and a step of more rows than an op has room for; tn_eval_run takes both for granted. */
TernStatus tn_eval_check_inputs(const TnEval *e, const int64_t sym[TN_SYM_COUNT],
                                TernError *err); /* theirs alone */
TernStatus tn_eval_try(TnEval *e, const int64_t sym[TN_SYM_COUNT], TernError *err);

/* Scratch bytes tn_eval_kernel needs for the largest sym. */
size_t tn_eval_kernel_scratch(const TnGraph *g, uint32_t kernel, const int64_t sym[TN_SYM_COUNT]);
/* One kernel, whole, over memory given in the order of tn_kernel_operands: what `ref` runs in a launch. */
void tn_eval_kernel(const TnGraph *g, uint32_t kernel, void *const *operands, const int64_t sym[TN_SYM_COUNT],
                    void *scratch);

#endif
