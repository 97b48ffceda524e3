/* The evaluator: the meaning of every op. It has one function for each row of ops.def, with plain loops, and is only as
 * clever as it must be to be fast enough for tests. Every target is compared with it bit for bit.
 *
 * Values have the layout of ir/type_layout.h. data[ref] is the memory of node `ref`. */
#ifndef TN_EVAL_H
#define TN_EVAL_H

#include "ir/weights.h"

/* Evaluates one non-SOURCE, non-INPUT node: reads data[args], writes data[ref] (room for tn_type_bytes). A
 * kv_put writes through data[args[0]] and needs no data of its own. SINK nodes do nothing. sym holds the
 * symbols' values. */
void tn_eval_node(const TnGraph *g, TnRef ref, void *const *data, const int64_t sym[TN_SYM_COUNT]);

/* Evaluates a whole graph at any stage, for tests and for `--target ref` on a graph. Owns the memory of every value. */
typedef struct TnEval TnEval;
/* sym holds the largest values. Lays the weights out once; allocates the caches (f32 for kc, vc) and zeroes them. */
TernStatus tn_eval_create(const TnGraph *g, const TnWeights *w, const int64_t sym[TN_SYM_COUNT], TnEval **out,
                          TernError *err);
/* For untrusted graphs, before tn_eval_create: refuses a graph whose values, `times` times over, take more memory than is
 * free. A system may grant too much memory and then end the program when it is used. */
TernStatus tn_eval_fits(const TnGraph *g, const int64_t sym[TN_SYM_COUNT], uint32_t times, TernError *err);
void tn_eval_destroy(TnEval *e);
void *tn_eval_data(TnEval *e, TnRef ref);                /* write inputs here, read outputs here */
void *tn_eval_input(TnEval *e, const char *name);        /* by the name attribute; NULL if there is none */
const void *tn_eval_output(TnEval *e, const char *name); /* the operand of that output */
void tn_eval_run(TnEval *e, const int64_t sym[TN_SYM_COUNT]);
/* For untrusted graphs: both refuse, with the place of the op, an index out of range and a step of more rows than an op has
 * room for. tn_eval_run checks neither. tn_eval_try also runs the step. */
TernStatus tn_eval_check_inputs(const TnEval *e, const int64_t sym[TN_SYM_COUNT],
                                TernError *err); /* checks only ops whose indices are inputs */
TernStatus tn_eval_try(TnEval *e, const int64_t sym[TN_SYM_COUNT], TernError *err);

/* Scratch bytes tn_eval_kernel needs for the largest sym. */
size_t tn_eval_kernel_scratch(const TnGraph *g, uint32_t kernel, const int64_t sym[TN_SYM_COUNT]);
/* Evaluates a whole kernel on memory in the order of tn_kernel_operands. `ref` runs this in a launch. */
void tn_eval_kernel(const TnGraph *g, uint32_t kernel, void *const *operands, const int64_t sym[TN_SYM_COUNT],
                    void *scratch);

#endif
