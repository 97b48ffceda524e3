/* Rows of a table of floats, plain or in the blocks in which files store them, as 32 lanes at a time. */
#ifndef TN_LLVM_TABLE_ROWS_H
#define TN_LLVM_TABLE_ROWS_H

#include "codegen/llvm/ops/ops.h"

/* Whether embed, matmul, rerank, rerank_top and pick read a table of this type as it is: floats, and rows of blocks that
 * are unpacked as they are read, if they are not so long that a strip of them, unpacked, would not stay in a cache. */
bool tn_llvm_reads_table(const TnType *t);

/* Whether a pick takes what a rerank_top before it in its kernel found, with their elements, so that it reads no table. */
bool tn_llvm_picks_found(const TnGraph *g, TnRef pick);

/* Emits a call that unpacks a row (stored blocks) to k floats at `out`. */
void tn_build_unpack_row(TnBuilder *b, TnEnc enc, LLVMValueRef row, int64_t k, LLVMValueRef out);

/* The 32 sums of a dot product, in the defined order: for each lane, an fma chain over the k elements of a row of the table
 * (w) and of activations (x). ahead: also prefetch as tn_build_ahead does. */
LLVMValueRef tn_build_table_lanes(TnBuilder *b, TnEnc enc, LLVMValueRef w, LLVMValueRef x, int64_t k,
                                  bool ahead);
/* Stores at `out` (f32) the element of matmul of row `id` of the table and x; `index` as tn_build_listed_row takes it. */
void tn_build_element(TnBuilder *b, TnRef table, LLVMValueRef id, LLVMValueRef index, LLVMValueRef x,
                      LLVMValueRef out);

#endif
