#ifndef TN_LLVM_OPS_H
#define TN_LLVM_OPS_H

#include "codegen/llvm/skeletons/frame.h"

/* ---- The op table: a row `const TnLlvmOp tn_llvm_op_<op>` for every op of ops.def, expanded in table.c; a
 * missing one is a link error, {0} is "no". A MAP needs a `can` and a `block` alone (elem.c). Which file has which: tmatmul.c, matmul.c, attend.c;
 * attend_blocks and attend_join in attend.c too; tmatmul_groups in tmatmul_groups.c; rmsnorm quant quant_groups rope_angle in rowops.c; argmax topk
 * take gather in select.c; embed in embed.c; limbs estimate in estimate.c; rerank rerank_top pick in rerank.c; rope kv_put in heads.c;
 * dequant slice and the MAP ops in elem.c; the others in table.c.
 *
 * gather: `row` copies to tn_build_result_row if f->mem is set or the value leaves; else it only points f->mem
 * at the source row. */
#define OP(name, lo, hi, class, stages, attrs, traits, doc) extern const TnLlvmOp tn_llvm_op_##name;
#include "ir/ops.def"
#undef OP
extern const TnLlvmOp *const tn_llvm_ops[TN_OP_COUNT];
/* A `can` that always can. */
static inline bool tn_llvm_yes(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)g;
    (void)ref;
    (void)level;
    return true;
}

/* ternary.c: how sums of ternary products are held, for steps of up to so many rows. */
TnDot tn_llvm_dot(const TnLevel *level, int64_t rows);
/* The same of each limb of a shadow product. */
TnDot tn_llvm_estimate_dot(const TnLevel *level, TnEnc enc);

#endif
