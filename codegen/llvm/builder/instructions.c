/* One function for each LLVM instruction. The rest of the llvm target builds these instructions only through
 * them. */
#include "codegen/llvm/builder/builder.h"

#define BINARY(name, llvm)                                                                                   \
    LLVMValueRef tn_build_##name(TnBuilder *b, LLVMValueRef x, LLVMValueRef y) {                             \
        return LLVMBuild##llvm(b->b, x, y, "");                                                              \
    }
#define UNARY(name, llvm)                                                                                    \
    LLVMValueRef tn_build_##name(TnBuilder *b, LLVMValueRef x) {                                             \
        return LLVMBuild##llvm(b->b, x, "");                                                                 \
    }
#define CONVERT(name, llvm)                                                                                  \
    LLVMValueRef tn_build_##name(TnBuilder *b, LLVMValueRef x, LLVMTypeRef type) {                           \
        return LLVMBuild##llvm(b->b, x, type, "");                                                           \
    }
#include "codegen/llvm/builder/instructions.def"
#undef BINARY
#undef UNARY
#undef CONVERT

LLVMValueRef tn_build_select(TnBuilder *b, LLVMValueRef cond, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(b->b, cond, x, y, "");
}

LLVMValueRef tn_build_icmp(TnBuilder *b, LLVMIntPredicate how, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildICmp(b->b, how, x, y, "");
}

LLVMValueRef tn_build_fcmp(TnBuilder *b, LLVMRealPredicate how, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFCmp(b->b, how, x, y, "");
}
