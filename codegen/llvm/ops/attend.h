/* What the two ways of attention share: row by row (attend.c) and many rows at once (attend_rows.c). */
#ifndef TN_LLVM_ATTEND_H
#define TN_LLVM_ATTEND_H

#include "codegen/llvm/ops/ops.h"
#include "ir/type_layout.h"

#define TN_ATTEND_HEAD 2048 /* the longest head */

/* An attend as its skeletons see it. */
typedef struct TnAttend {
    int64_t heads, kv_heads, group, head; /* query heads, kv heads, query heads taken together, head dim */
    int64_t parts;                        /* units that the query heads of a kv head are cut into */
    int64_t window;
    float scale;
    int64_t size;                   /* bytes of an element of the caches */
    int64_t page, page_head;        /* bytes of a page, and of one head's part of it */
    int lanes, at_once;             /* positions or dims, and query heads, in registers */
    int v_lanes, n_tiles;           /* the tiles of a head's dims */
    int many;                       /* lanes of a vector with one value a query head of the group */
    int64_t max_at, sum_at, record; /* in a block's record: p[group][64], then max and sum of each head */
    TnRef q, k, v, pos, slot, table;
    LLVMValueRef records, out, sums; /* scratch: the records, O[group][tile][lanes], many floats */
    /* many rows at once (attend_rows.c) */
    int64_t rows; /* most of them */
    int64_t cols; /* their query heads, rounded up to TN_ATTEND_COLS */
    LLVMValueRef query, keys, values, block, all, divide; /* scratch */
} TnAttend;

/* ---- attend.c */
/* Aborts if `units` do not cut the heads. */
TnAttend tn_attend_of(const TnGraph *g, TnRef ref, int64_t units, const TnLevel *level);
/* `lanes` elements of a cache, as floats. */
LLVMValueRef tn_attend_load(TnBuilder *b, const TnAttend *a, LLVMValueRef ptr, int lanes);
/* An i32 as i64. */
LLVMValueRef tn_attend_int(TnBuilder *b, LLVMValueRef ptr);
/* The kv head's part of the page that holds block `block` of a slot whose row of the table is `pages`. */
LLVMValueRef tn_attend_page(TnBuilder *b, const TnAttend *a, TnRef cache, LLVMValueRef pages,
                            LLVMValueRef block, LLVMValueRef kv_head);
/* One row, the group'th part of its query heads. */
void tn_attend_row(TnBuilder *b, const TnAttend *a, LLVMValueRef row, LLVMValueRef group);

/* ---- attend_rows.c */
/* Whether a kernel can take many rows at once. */
bool tn_attend_is_blocked(const TnAttend *a, const TnKernel *k);
/* Asks for the scratch of that way; a->records must be asked afterwards, tn_attend_rows_record bytes a page at least. */
void tn_attend_rows_scratch(TnBuilder *b, TnAttend *a);
int64_t tn_attend_rows_record(const TnAttend *a);
/* The function body behind the entry: runs of rows at once, other rows by tn_attend_row. */
void tn_attend_rows(TnBuilder *b, const TnAttend *a);
/* The small GEMM both products are made of, C[6][m] = sum over k of A[k][m] * B[6][k], each output one chain of fma
 * from +0 in the order of k; a function of three pointers. Kernels of a target that gives code call one that is
 * declared only, by this name: "<target>_f32_<m>x6x<k>". */
#define TN_ATTEND_COLS 6
void tn_attend_symbol(char out[48], const char *target, int64_t m, int64_t k); /* that name */

#endif
