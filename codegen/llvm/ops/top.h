#ifndef TN_LLVM_TOP_H
#define TN_LLVM_TOP_H

#include "codegen/llvm/builder/builder.h"

/* The list of the k largest values with their ids (select.c), k <= 256. It is sorted; equal values keep the
 * order in which they came. Free places hold NaN and -1. */
typedef struct TnTopList {
    LLVMValueRef values, ids; /* scratch; there is one more element before each */
    int64_t k, room;          /* room: k rounded up to 32 */
} TnTopList;
TnTopList tn_build_top_list(TnBuilder *b,
                            int64_t k); /* only its scratch: call tn_build_top_clear before use */
void tn_build_top_clear(TnBuilder *b, const TnTopList *t);
LLVMValueRef tn_build_top_last(TnBuilder *b,
                               const TnTopList *t); /* f32: the k-th value, NaN if there is none yet */
/* Whether the list would take a value (f32) or each of 32: it is not NaN, and it is above `last` or `last` is
 * NaN. */
LLVMValueRef tn_build_top_takes(TnBuilder *b, LLVMValueRef value, LLVMValueRef last);
void tn_build_top_insert(TnBuilder *b, const TnTopList *t, LLVMValueRef value,
                         LLVMValueRef id); /* only a value that the list takes */
/* 32 values of an f32 row of n, from column `at` on. Values past its end are replaced by `instead`. */
LLVMValueRef tn_build_load_block(TnBuilder *b, LLVMValueRef x, LLVMValueRef at, int64_t n, float instead);

#endif
