#ifndef TN_LLVM_COLS_H
#define TN_LLVM_COLS_H

#include "codegen/llvm/builder/builder.h"

/* The strip that a call of a product fills: n columns of some rows. */
typedef struct TnStrip {
    LLVMValueRef w;      /* the weight rows from the first column on, or what `prepare` made of them */
    LLVMValueRef col;    /* i64: the first column */
    LLVMValueRef n;      /* i64: columns */
    LLVMValueRef x;      /* the first row of activations, or what `arrange` made of all */
    LLVMValueRef n_x;    /* i64: rows; NULL if there is one */
    LLVMValueRef acc;    /* 4-byte sums of the first row */
    LLVMValueRef stride; /* i64: bytes from a row's sums to those of the next; NULL if there is one row */
    LLVMValueRef buf;    /* scratch of `buf` bytes */
    LLVMValueRef list;   /* for `listed`: the columns, i32; else NULL */
} TnStrip;

/* cols.c: the skeleton of products: the prologue, then for each unit strips of root columns and their
 * epilogue. An emitter fills the table. Its functions emit calls that fill strips of 4-byte root values.
 *
 *   strip      the columns of the only row x, for the batch class of one row
 *   strips     the same for n_x (1..rows) rows from x on, which are adjacent in memory; may write all `rows`
 *              rows of acc
 *   prepare    may be NULL. Turns the n weight rows of a strip (w, col and n are set) into what `strips` then
 *              gets as w, once for all rows of the step, in `panels` bytes of scratch
 *   listed     may be NULL. Like `strip`, for n of the columns after w: those in `list` (i32, rising).
 *              as many more entries follow as the kernel's largest distance of listed rows, which may be read
 *              ahead. It leaves the rest of acc as it is
 *   arrange    may be NULL. Turns the n_x (1..rows) rows of a step, which are one block, into what `strips`
 *              then gets as x, once for each worker and launch, in `arranged` bytes of scratch
 *   note       may be NULL. Notes which values of the row x are not 0, once for each worker and launch, in
 *              `noted` bytes of scratch
 *   is_sparse  with `note`. i1: whether they are so few that `columns` is faster
 *   columns    with `note`. Fills a strip of TN_COLMAJOR_ROWS columns from the lines of their block in the
 *              third operand, the column-major copy of the weights
 *   ahead      whether to fetch into L2 what the epilogues of a block of rows will read and write
 *
 * acc has room for 32 columns after n rounded up to 32. */
typedef struct TnStrips {
    int rows;
    int64_t buf, panels, arranged, noted;
    bool ahead;
    void (*strip)(TnBuilder *b, const TnStrip *s);
    void (*strips)(TnBuilder *b, const TnStrip *s);
    void (*prepare)(TnBuilder *b, const TnStrip *s, LLVMValueRef panels);
    void (*listed)(TnBuilder *b, const TnStrip *s);
    void (*arrange)(TnBuilder *b, LLVMValueRef x, LLVMValueRef n_x, LLVMValueRef to);
    void (*note)(TnBuilder *b, LLVMValueRef x, LLVMValueRef noted);
    LLVMValueRef (*is_sparse)(TnBuilder *b, LLVMValueRef noted);
    void (*columns)(TnBuilder *b, LLVMValueRef lines, LLVMValueRef x, LLVMValueRef noted, LLVMValueRef acc);
} TnStrips;
void tn_build_cols_kernel(TnBuilder *b, const TnStrips *s);

#endif
