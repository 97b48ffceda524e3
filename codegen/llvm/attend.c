#include "codegen/llvm/build.h"

const TnLlvmOp tn_llvm_op_attend = {0};
