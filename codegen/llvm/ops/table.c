/* The op table: every op of ops.def has a row, here or with its emitter. tests/codegen/test_ops.c names every
 * op that kernels compute and that has a NO here. */
#include "codegen/llvm/ops/ops.h"

/* These ops are never in a kernel. */
#define NO(name) const TnLlvmOp tn_llvm_op_##name = {0};
NO(input)
NO(gguf)
NO(random)
NO(const)
NO(concat)
NO(pack)
NO(places)
NO(keep_rows)
NO(keep_cols)
NO(colmajor)
NO(rope_freq)
NO(output)

const TnLlvmOp *const tn_llvm_ops[TN_OP_COUNT] = {
#define OP(name, lo, hi, class, stages, attrs, traits, doc) &tn_llvm_op_##name,
#include "ir/ops.def"
#undef OP
};
