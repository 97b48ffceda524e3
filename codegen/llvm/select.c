#include "codegen/llvm/build.h"

const TnLlvmOp tn_llvm_op_argmax = {0};
const TnLlvmOp tn_llvm_op_topk = {0};
const TnLlvmOp tn_llvm_op_take = {0};
const TnLlvmOp tn_llvm_op_gather = {0};
