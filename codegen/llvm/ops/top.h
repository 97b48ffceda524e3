#ifndef TN_LLVM_TOP_H
#define TN_LLVM_TOP_H

#include "codegen/llvm/builder/builder.h"

/* select.c: the k largest values with their ids, sorted, equal ones in the order they came in; k <= 256. Free
 * places hold NaN and -1. */
typedef struct TnTopList {
    LLVMValueRef values, ids; /* scratch; one more element stands in front of each */
    int64_t k, room;          /* room: k rounded up to 32 */
} TnTopList;
TnTopList tn_build_top_list(TnBuilder *b, int64_t k); /* scratch alone: tn_build_top_clear it */
void tn_build_top_clear(TnBuilder *b, const TnTopList *t);
LLVMValueRef tn_build_top_last(TnBuilder *b,
                               const TnTopList *t); /* f32: the k-th value, NaN if there is none yet */
/* Whether a value (f32) or 32 of them would be taken: not NaN, and above the last or there is none. */
LLVMValueRef tn_build_top_takes(TnBuilder *b, LLVMValueRef value, LLVMValueRef last);
void tn_build_top_insert(TnBuilder *b, const TnTopList *t, LLVMValueRef value,
                         LLVMValueRef id); /* one that is taken */
/* 32 values of an f32 row of n from column `at` on; what lies past its end is replaced. */
LLVMValueRef tn_build_load_block(TnBuilder *b, LLVMValueRef x, LLVMValueRef at, int64_t n, float instead);

#endif
