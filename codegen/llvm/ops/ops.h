#ifndef TN_LLVM_OPS_H
#define TN_LLVM_OPS_H

#include "codegen/llvm/skeletons/frame.h"

/* ---- The op table has a row `const TnLlvmOp tn_llvm_op_<op>` for every op of ops.def, expanded in table.c.
 * A missing row is a link error; {0} means that the op is never in a kernel. A MAP needs only `can` and
 * `block`. The files:
 *
 *   tmatmul.c, tmatmul_groups.c, matmul.c, embed.c   the op of that name
 *   attend.c                                         attend attend_blocks attend_join
 *   rowops.c                                         rmsnorm headnorm quant quant_groups rope_angle
 *   select.c                                         argmax topk take gather pick
 *   limbs.c, estimate.c                              the op of that name
 *   rerank.c                                         rerank rerank_top
 *   heads.c                                          rope kv_put
 *   activation.c                                     relu gelu gelu_tanh
 *   affine.c                                         bias times
 *   elem.c                                           dequant slice and the other MAP ops
 *   table.c                                          the others
 *
 * The `row` of gather copies to tn_build_result_row if f->mem is set or the value leaves the kernel. Else it
 * only points f->mem at the source row. */
#define OP(name, lo, hi, class, stages, attrs, traits, doc) extern const TnLlvmOp tn_llvm_op_##name;
#include "ir/ops.def"
#undef OP
extern const TnLlvmOp *const tn_llvm_ops[TN_OP_COUNT];
/* A `can` for ops that can always be emitted. */
static inline bool tn_llvm_yes(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)g;
    (void)ref;
    (void)level;
    return true;
}

/* ternary.c: in what the sums of products with ternary weights w are held, in steps of up to `rows` rows. */
TnDot tn_llvm_dot(const TnLevel *level, const TnType *w, int64_t rows);
/* The same for each limb of a shadow product. */
TnDot tn_llvm_estimate_dot(const TnLevel *level, TnEnc enc);

/* reading.c: TnTargetDesc.prefetch and .panels. */
void tn_llvm_prefetch(const TnGraph *g, uint32_t kernel, const char *family, TnPrefetch *out);
TnMerit tn_llvm_panels(const TnGraph *g, uint32_t kernel, const char *family);

#endif
