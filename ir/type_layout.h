/* Where the bytes of a value lie: one rule for the evaluator, every emitter, the plan and the blob writer.
 *
 * Dense matrices: rows padded to TN_PAD elements. Rank-1 values with a leading symbol (ids, pos, best), and all of
 * i32, are plain arrays, an element a row; other rank-1 constants (norm weights) are one padded row. Padding of
 * weights is zero; padding of activations is unspecified, so a reduction must not read it.
 * q8: TN_Q8_HEAD bytes (float d at 0, int32 sum at 4), then codes padded with zeros to TN_K_PAD.
 * q8g: a float d for each group, an int32 sum for each, both padded with zeros to 64 bytes (tn_q8g_part), then codes as
 * q8 has them.
 * q14: TN_Q14_HEAD bytes (float d at 0, int32 sum of h at 4, int32 sum of l at 8, float X at 12, float Y at 16,
 * zeros), then the codes h and then the codes l, each padded with zeros to TN_K_PAD.
 * s8: rows of round_up(K, 64) bytes c + 128; s6: of 192 bytes for every 256 codes u = c + 32, the padding being
 * c = 0: byte j below 64 has the low four bits of u[j] and above them those of u[64+j], byte 64+j those of
 * u[128+j] and u[192+j], byte 128+j bits 2q.. the high two bits of u[64q+j]. Behind the rows (64-aligned) three
 * arrays of f32, each of round_up(rows, 64): scale, e and n of each row (ir.h), zeros.
 * p64: rows of round_up(K, 256)/4 bytes, padding codes are 1 (weight zero); then, 64-aligned, one f32 a
 * scale range, or a row where the type says that each has one. t8 with scales a row or group: behind the rows one f32
 * for each, row by row.
 * r64: blocks of 64 rows, tn_row_bytes * 64 each, rows that are not there being zeros of scale 0. In a block group by
 * group: a line of 64 bytes for each 4 columns, byte 4r + i, bits 2q.. the code of row 16q + r and column i, then 64
 * f16, the scales of the rows. Only whole blocks stand alone.
 * i2s: n/4 bytes of codes over the flat tensor, then f32 scale and 28 bytes of anything, as in
 * the file (rows do not stand alone: tn_row_bytes is 0). n is rounded up to 128 here; a file whose n is not
 * a multiple is refused by its size. Blocks of floats, tq1, tq2: as in the file, rows unpadded.
 * Block tables i32[S,P]: a plain array, table[s*P + j]; tn_row_bytes is that of one element.
 * Key cache page: [heads][head][64 positions]; value cache page: [heads][64 positions][head]; in int8 caches
 * the 64 f32 scales of a head's positions follow its codes. Page p of a cache starts at p * tn_page_bytes.
 * Position j of slot s is in page table[s*P + j/64], place j%64. */
#ifndef TN_TYPE_LAYOUT_H
#define TN_TYPE_LAYOUT_H

#include "ir/ir.h"

#define TN_PAD      64
#define TN_K_PAD    256
#define TN_Q8_HEAD  64
#define TN_Q14_HEAD 64
#define TN_PAGE     64
#define TN_BESIDE   64 /* rows of a block of r64 */
#define TN_COLMAJOR_ROWS                                                                                     \
    256 /* rows of a matrix whose elements of a column stand side by side in its `colmajor` */
#define TN_COLUMNS_MOST 65536 /* columns it may have: a block is made whole, 16 MB of trits */

/* Bytes from one row to the next: a matrix row, or one element of a plain array. */
size_t tn_row_bytes(const TnType *t);
/* Rows that are written, and found, together: TN_BESIDE of r64, else 1. */
int64_t tn_rows_together(const TnType *t);
/* q8g: bytes of a row's scales, and of its sums, which follow; the codes are behind both. */
size_t tn_q8g_part(const TnType *t);
/* Bytes of a stored row before its blocks: its scale, where it has one. */
size_t tn_row_head(TnEnc enc);
/* What the shape of a stored matrix must be, where that is not a multiple of block_elems columns: a text such as "a
 * multiple of 128 elements" for one that is not so, NULL for one that is. */
const char *tn_stored_needs(TnEnc enc, int64_t rows, int64_t cols);
/* Elements of such a row, without padding. */
int64_t tn_row_elems(const TnType *t);
/* Bytes an arena buffer takes per row of the leading symbol: tn_row_bytes rounded up to 64. */
size_t tn_row_bytes_aligned(const TnType *t);
size_t tn_page_bytes(const TnType *cache);
size_t tn_page_head_bytes(const TnType *cache); /* one head's part of a page */
/* All bytes of a value, given the symbols. Weights: constant. */
size_t tn_type_bytes(const TnType *t, const int64_t sym[TN_SYM_COUNT]);
/* What lies behind the rows: scales of p64, and of t8 where its type has none; the three arrays of s8 and s6. Else 0. */
size_t tn_tail_bytes(const TnType *t);
/* Of one of the three arrays behind the rows of s8 and s6. */
size_t tn_shadow_array_bytes(const TnType *t);
/* The leading dim; 1 for a rank-1 constant that is one row. Caches: pages. */
int64_t tn_type_rows(const TnType *t, const int64_t sym[TN_SYM_COUNT]);

#endif
