/* What the files of tmatmul share. Activations are q8 rows. The codes of weights are c = w + 1 in 0..2,
 * or in 0..3 if weights may be 2. So sum(w*a) = sum(c*a) - sum(a), and sum(a) is in the head of a q8 row. */
#ifndef TN_LLVM_TERNARY_H
#define TN_LLVM_TERNARY_H

#include "codegen/llvm/ops/ops.h"
#include "codegen/llvm/skeletons/cols.h"
#include "ir/type_layout.h"

enum { TN_LINE = 64, TN_CODES = 256 }; /* bytes of a p64 line, and weights in it */

/* Lines of a row of k weights. A q8 row is padded to the codes of as many lines. */
static inline int64_t tn_tmatmul_lines(int64_t k) {
    return (k + TN_CODES - 1) / TN_CODES;
}

/* ---- tmatmul.c. The type of the weights of the kernel's root, and what to append to the name of a function
 * that depends on how large the weights can be. */
static inline const TnType *tn_tmatmul_weights(TnBuilder *b) {
    return &b->g->nodes[b->g->nodes[b->k->root].args[1]].type;
}
static inline const char *tn_tmatmul_name(TnBuilder *b) {
    return tn_tmatmul_weights(b)->two ? "_two" : "";
}
LLVMTypeRef tn_tmatmul_bytes(TnBuilder *b); /* the type of a vector register of i8, and of i32 */
LLVMTypeRef tn_tmatmul_ints(TnBuilder *b);
/* Adds to each i32 lane of acc the products of four unsigned codes and four signed activations. VNNI and SDOT
 * only. */
LLVMValueRef tn_tmatmul_dot(TnBuilder *b, LLVMValueRef acc, LLVMValueRef c, LLVMValueRef a);
/* Asks for so many lines of weights from w on, into L2: what is unpacked next, while other rows are unpacked. */
void tn_tmatmul_fetch(TnBuilder *b, LLVMValueRef w, int lines);

/* ---- tmatmul_rows.c: many rows of activations. Rows of weights are turned into panels, one after the other.
 * A panel has `lanes` columns (the i32 lanes of a register) and is [k/4][column][4 codes], with K rounded up
 * to 256. */
int64_t tn_tmatmul_panel_bytes(TnBuilder *b, int64_t k);
/* Emits a call that makes the panels of the n (i64) weight rows from w on. In the last panel, columns after n
 * are copies of the last one. */
void tn_tmatmul_prepare(TnBuilder *b, LLVMValueRef w, LLVMValueRef n, int64_t k, LLVMValueRef panels);
/* The best number of rows of a block, and the product of a block of n_x rows, at most that many; see
 * TnStrips. */
int tn_tmatmul_block(TnBuilder *b);
void tn_tmatmul_strips(TnBuilder *b, int64_t k, const TnStrip *s);

/* ---- tmatmul_packed.c: the same straight from packed bytes, on levels of which tn_tmatmul_packs says so (AVX-512 VNNI
 * without tiles), unless the kernel has panels and more rows than a few dozen. The weights of a strip must begin at a block, as
 * for panels. tn_tmatmul_packed_prepare turns those of p64 and b80 into blocks of b64, in tn_tmatmul_packed_bytes bytes; b64
 * itself is multiplied where it lies. */
bool tn_tmatmul_packs(const TnLevel *level);
int64_t tn_tmatmul_packed_bytes(TnBuilder *b, int64_t k);
void tn_tmatmul_packed_prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef blocks);
void tn_tmatmul_packed(TnBuilder *b, int64_t k, const TnStrip *s);

/* ---- tmatmul_amx.c: the same with tiles, over panels of 16 columns. */
void tn_tmatmul_amx_strips(TnBuilder *b, int64_t k, const TnStrip *s);

/* Load and store a tile of `rows` (i16) rows of `bytes` bytes, which lie `stride` (i64) bytes apart in
 * memory. */
LLVMValueRef tn_tile_load(TnBuilder *b, LLVMValueRef rows, int bytes, LLVMValueRef ptr, LLVMValueRef stride);
void tn_tile_store(TnBuilder *b, LLVMValueRef rows, int bytes, LLVMValueRef ptr, LLVMValueRef stride,
                   LLVMValueRef tile);

/* ---- tmatmul_amx_few.c: up to TN_FEW rows with tiles. tn_tmatmul_tiles_arrange emits a call that arranges
 * the step's n_x rows of q8 as the product reads them, in tn_tmatmul_tiles_x bytes. */
int64_t tn_tmatmul_tiles_x(int64_t k);
int64_t tn_tmatmul_tiles_buf(void); /* scratch for a call */
void tn_tmatmul_tiles_arrange(TnBuilder *b, int64_t k, LLVMValueRef x, LLVMValueRef n_x, LLVMValueRef to);
void tn_tmatmul_tiles(TnBuilder *b, int64_t k, const TnStrip *s);

/* ---- beside.c: weights of which rows lie side by side (b64, b80, r64; for its strips also shadow tables). A line of 64 bytes has 4 columns of 64 or 80 rows. */
enum {
    TN_BESIDE_NARROW = 128, /* columns whose sums fit an int16 */
    TN_BESIDE_PASS = 6      /* rows of activations that have registers for all four planes */
};
/* A product of n_x rows of activations with blocks of rows of weights. */
typedef struct TnBeside {
    const TnType *w;
    int n_x, pieces;         /* rows of activations; pieces of a line (registers) that are summed together */
    int64_t rows;            /* of weights, in a block */
    bool near;               /* the weights are in a cache: nothing is prefetched */
    bool masked;             /* sum q is 4^q times the sum: planes are masked and not shifted */
    int64_t row_bytes, head; /* from a row of activations to the next one, and to its codes */
    LLVMValueRef last;   /* bytes from the first row of activations to the last, which may be there twice */
    LLVMValueRef out[8]; /* the rows of results */
} TnBeside;
/* The product of the kernel's activations with weights w, without its head; masked where that is fast. */
TnBeside tn_beside_of(TnBuilder *b, const TnType *w, int n_x);
/* What lies as far into row r as x lies into the first one. */
LLVMValueRef tn_beside_row(TnBuilder *b, const TnBeside *p, LLVMValueRef x, int r);
/* The sums over `columns` columns, a multiple of 16: sum[(r * pieces + piece) * 4 + q] has a lane for each of the rows of
 * weights from 16q + piece * lanes on. w and x point at the first column. On narrow levels at most TN_BESIDE_NARROW. */
void tn_beside_sums(TnBuilder *b, const TnBeside *p, int64_t columns, LLVMValueRef w, LLVMValueRef x,
                    LLVMValueRef *sum);
/* Multiplies one block of rows of weights at w by the rows x; the results go to p->out[r] + at (i64 bytes). */
typedef void TnBesideBlockFn(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x,
                             LLVMValueRef at);
/* The function void (w, i64 blocks, x, i64 rows, out, i64 stride), which multiplies the blocks from w on by p->n_x rows, or by
 * one fewer, of which it then computes the last one twice. Results are `stride` bytes apart. Sets p->last and p->out. Appends
 * the prefetch distances to the name, of `size` bytes. */
LLVMValueRef tn_beside_function(TnBuilder *b, TnBeside *p, char *name, size_t size, TnBesideBlockFn *block);
/* Whether the strips of all units begin at a multiple of `rows` rows of weights. */
bool tn_beside_aligned(TnBuilder *b, int64_t rows);
/* Fills a strip by a product that makes whole blocks of columns: `columns` (i64) of those from w on, in rows of `out` that
 * are `stride` (i64) bytes apart. Strips that do not begin at a block go through tn_beside_buf bytes of s->buf; `rows`: the
 * most rows of activations of a call. */
typedef void TnBesideFn(TnBuilder *b, LLVMValueRef w, LLVMValueRef columns, const TnStrip *s,
                        LLVMValueRef out, LLVMValueRef stride);
int64_t tn_beside_buf(TnBuilder *b, int rows);
void tn_beside_strips(TnBuilder *b, const TnStrip *s, TnBesideFn *product);

enum {
    TN_MASKED_MOST = 65536
}; /* columns of b64 that are summed masked: 127 * 3 * 64 times as many fit an i32 */
/* ---- tmatmul_beside.c: tmatmul over b64 or b80: one row, or the n_x rows of a strip. tn_tmatmul_beside_prepare makes the
 * panels of tmatmul_rows.c from b64; the strip must begin at a block. */
void tn_tmatmul_beside(TnBuilder *b, const TnStrip *s);
LLVMValueRef tn_tmatmul_beside_function(TnBuilder *b, const TnType *w,
                                        int n); /* that of tn_beside_function, for these weights */
void tn_tmatmul_beside_prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef panels);

/* ---- tmatmul_base3.c: b80. A TnBesideBlockFn, and the most rows of activations of a pass; tn_tmatmul_base3_prepare makes
 * the panels of a strip that begins at a multiple of TN_B80_PLANE rows, and one more after them. */
TnBesideBlockFn tn_base3_block;
int tn_base3_most_rows(TnBuilder *b);
void tn_tmatmul_base3_prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef panels);

/* ---- Products by groups for kernels of more than TN_FEW rows: tmatmul_groups_amx.c with tiles,
 * tmatmul_groups_many.c without. They multiply `blocks` (i64) blocks of 64 rows of weights from w on by `rows`
 * (i64) rows x. The results are rows of floats, `stride` (i64) bytes apart. buf: scratch, 64-aligned, of
 * tn_tmatmul_groups_amx_buf or tn_tmatmul_groups_many_buf bytes. */
int64_t tn_tmatmul_groups_amx_buf(const TnType *w);
void tn_tmatmul_groups_amx(TnBuilder *b, LLVMValueRef w, LLVMValueRef blocks, LLVMValueRef x,
                           LLVMValueRef rows, LLVMValueRef out, LLVMValueRef stride, LLVMValueRef buf);
int64_t tn_tmatmul_groups_many_buf(const TnType *w);
void tn_tmatmul_groups_many(TnBuilder *b, LLVMValueRef w, LLVMValueRef blocks, LLVMValueRef x,
                            LLVMValueRef rows, LLVMValueRef out, LLVMValueRef stride, LLVMValueRef buf);

/* ---- tmatmul_colmajor.c: one row, by a column-major copy of the weights. tn_tmatmul_note emits a call that
 * notes which codes of the q8 row x are not 0, in tn_tmatmul_noted_bytes bytes. tn_tmatmul_is_sparse (i1):
 * whether the copy is faster. tn_tmatmul_colmajor: TN_COLMAJOR_ROWS sums, from the lines of their block. */
int64_t tn_tmatmul_noted_bytes(int64_t k);
void tn_tmatmul_note(TnBuilder *b, int64_t k, LLVMValueRef x, LLVMValueRef noted);
LLVMValueRef tn_tmatmul_is_sparse(TnBuilder *b, int64_t k, LLVMValueRef noted);
void tn_tmatmul_colmajor(TnBuilder *b, int64_t k, LLVMValueRef lines, LLVMValueRef x, LLVMValueRef noted,
                         LLVMValueRef acc);

/* ---- tmatmul_few.c: 2 to 8 rows, with weights that stream from memory. */
enum { TN_FEW = 8 };
/* ternary.c: whether more rows have a strip's weights unpacked or packed anew for all of them, in scratch. Else they go TN_FEW
 * at a time: if rows of weights are so long that this would take too much scratch, or if an i16 cannot hold a line of a panel,
 * whose weights may be 2. */
enum { TN_UNPACKED_MOST = 1 << 19 };
bool tn_tmatmul_unpacks(const TnLevel *level, const TnType *w);
int64_t tn_tmatmul_few_buf(TnBuilder *b, int64_t k); /* scratch for a call */
void tn_tmatmul_few(TnBuilder *b, int64_t k, const TnStrip *s);
/* Plane q of a register of code bytes: one code a byte, shifted down and masked. */
LLVMValueRef tn_tmatmul_plane(TnBuilder *b, LLVMValueRef w, int q);
/* Transposes n vectors of n i32 lanes, n = 4, 8 or 16: lane i of v[j] moves to lane j of v[i]. */
void tn_tmatmul_transpose(TnBuilder *b, LLVMValueRef *v, int n);

#endif
