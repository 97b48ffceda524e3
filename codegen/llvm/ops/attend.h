/* What the two ways to compute attention share: row by row (attend.c) and many rows at once
 * (attend_rows.c). */
#ifndef TN_LLVM_ATTEND_H
#define TN_LLVM_ATTEND_H

#include "codegen/llvm/ops/ops.h"
#include "ir/type_layout.h"

#define TN_ATTEND_HEAD 2048 /* the longest head */

/* The sizes and operands of an attend, as its emitters use them. */
typedef struct TnAttend {
    int64_t heads, kv_heads, group, head; /* query heads, kv heads, query heads computed together, head dim */
    int64_t parts;                        /* units into which the query heads of one kv head are cut */
    int64_t window;
    float scale;
    int64_t size;            /* bytes of an element of the caches */
    int64_t page, page_head; /* bytes of a page, and of one head's part of it */
    int lanes, at_once;      /* positions or dims, and query heads, in registers */
    int v_lanes, n_tiles;    /* the tiles of a head's dims */
    int many;                /* lanes of a vector with one value for each query head of the group */
    int64_t max_at, sum_at,
        record; /* offsets in a block's record, and its bytes: p[group][64], then max and sum of
                                       each head */
    TnRef q, k, v, pos, slot, table;
    LLVMValueRef records, out, sums; /* scratch: the records, O[group][tile][lanes], `many` floats */
    /* many rows at once (attend_rows.c) */
    int64_t rows;                    /* of a full run */
    int64_t cols;                    /* their query heads, rounded up to TN_ATTEND_MOST_COLS */
    LLVMValueRef query, all, divide; /* scratch */
    LLVMValueRef wide, block;        /* scratch: not for f32 caches; for given code alone */
} TnAttend;

/* ---- attend.c */
/* Aborts if `units` does not divide the heads evenly. */
TnAttend tn_attend_of(const TnGraph *g, TnRef ref, int64_t units, const TnLevel *level);
/* Loads `lanes` elements of a cache as floats. */
LLVMValueRef tn_attend_load(TnBuilder *b, const TnAttend *a, LLVMValueRef ptr, int lanes);
/* Loads an i32 as i64. */
LLVMValueRef tn_attend_int(TnBuilder *b, LLVMValueRef ptr);
/* Address of the kv head's part of the page that holds block `block`; `pages` is the slot's row of the page
 * table. */
LLVMValueRef tn_attend_page(TnBuilder *b, const TnAttend *a, TnRef cache, LLVMValueRef pages,
                            LLVMValueRef block, LLVMValueRef kv_head);
/* The lanes of `of` whose positions first, first + 1, ... are in lo..hi (i64), and `other` in the rest. */
LLVMValueRef tn_attend_unmasked(TnBuilder *b, LLVMValueRef of, LLVMValueRef first, LLVMValueRef lo,
                                LLVMValueRef hi, float other);
/* Computes part number `group` of a row's query heads. */
void tn_attend_row(TnBuilder *b, const TnAttend *a, LLVMValueRef row, LLVMValueRef group);

/* ---- attend_rows.c */
/* Whether a kernel can take many rows at once. */
bool tn_attend_is_blocked(const TnAttend *a, const TnKernel *k);
/* Requests the scratch for many rows. The caller must request a->records after it, with at least
 * tn_attend_rows_record bytes a page. */
void tn_attend_rows_scratch(TnBuilder *b, TnAttend *a);
int64_t tn_attend_rows_record(const TnAttend *a);
/* Emits the body of the function after its entry: runs of rows at once, other rows by tn_attend_row. */
void tn_attend_rows(TnBuilder *b, const TnAttend *a);

/* ---- attend_gemm.c */
#define TN_ATTEND_MOST_COLS 12 /* at a time; a run has room for a multiple of them */
/* A head's 64 positions as f32: in place, or widened into a->wide. */
LLVMValueRef tn_attend_widen(TnBuilder *b, const TnAttend *a, LLVMValueRef page);
/* The products of n columns (i64) of a run, of whose rows none sees position `seen` (i64, 1 to 64) of the block or a later one.
 *
 *   keys     s[col][64] = q.k, for `seen` positions or more
 *   values   a->all[col] = a->all[col] + (p[col].v + 0) * weights[col]; p is 0 from `seen` on */
void tn_attend_multiply_keys(TnBuilder *b, const TnAttend *a, LLVMValueRef keys, LLVMValueRef s,
                             LLVMValueRef n, LLVMValueRef seen);
void tn_attend_multiply_values(TnBuilder *b, const TnAttend *a, LLVMValueRef values, LLVMValueRef p,
                               LLVMValueRef weights, LLVMValueRef n, LLVMValueRef seen);
/* A target may give the code of both (codegen/llvm/llvm.h), for some columns at a time: C[cols][m] = sum over k of A[k][m] *
 * B[cols][k]. Its kernels only declare that, as a function of three pointers by the name "<target>_f32_<m>x<cols>x<k>", which
 * tn_attend_symbol writes. tn_attend_gives: whether it does. */
#define TN_ATTEND_GIVEN_COLS 6
void tn_attend_symbol(char out[48], const char *target, int64_t m, int64_t k);
bool tn_attend_gives(TnBuilder *b, const TnAttend *a);

#endif
