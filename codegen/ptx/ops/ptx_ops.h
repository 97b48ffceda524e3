/* The op table of the ptx target: a row `const TnPtxOp tn_ptx_op_<op>` for every op of ops.def. A missing one is a link
 * error; {0} means that the op is never in a kernel. */
#ifndef TN_PTX_OPS_H
#define TN_PTX_OPS_H

#include "codegen/ptx/skeletons/ptx_frame.h"

#define OP(name, lo, hi, class, stages, attrs, traits, doc) extern const TnPtxOp tn_ptx_op_##name;
#include "ir/ops.def"
#undef OP
extern const TnPtxOp *const tn_ptx_ops[TN_OP_COUNT];

static inline bool tn_ptx_yes(const TnGraph *g, TnRef ref) {
    (void)g;
    (void)ref;
    return true;
}

/* Whether every op of the kernel has an emitter that takes it there, and there is enough shared memory; if not, *op is the
 * name of the first without, or says what is too large. */
bool tn_ptx_can(const TnGraph *g, uint32_t kernel, const char **op);
/* Appends the entry `symbol` of a kernel to b->x.out. b: x.out, g, kernel and level are set, all else is 0; afterwards
 * b->x.threads and b->x.shared are what its launch needs. */
void tn_ptx_kernel(TnPtx *b, const char *symbol);

#endif
