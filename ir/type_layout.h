/* Where the bytes of a value lie: one rule for the evaluator, every emitter, the plan and the blob writer.
 *
 * Dense matrices: rows padded to TN_PAD elements. Rank-1 values with a leading symbol (ids, pos, best), and all rank-1
 * values of i32, are plain arrays with an element a row; other rank-1 constants (norm weights) are one padded row. Padding
 * of weights is zero; padding of activations is unspecified, so a reduction must not read it.
 * q8: TN_Q8_HEAD bytes (float d at 0, int32 sum at 4), then codes padded with zeros to TN_K_PAD.
 * q8g: a float d for each group, then an int32 sum for each group, both padded with zeros to 64 bytes (tn_q8g_part), then
 * codes as in q8.
 * q14: TN_Q14_HEAD bytes (float d at 0, int32 sum of h at 4, int32 sum of l at 8, float X at 12, float Y at 16,
 * zeros), then the codes h and then the codes l, each padded with zeros to TN_K_PAD.
 * s8, s6, s5: blocks of 64 rows, tn_row_bytes * 64 bytes each; of missing rows and columns (to a multiple of 16) all bits are 0,
 * which are codes that no limb meets. Let j = 4r + i be the place of row 16q + r of a block, of plane q, and of column i of four.
 * s8: four lines of 64 bytes for every 4 columns; byte j of line q is c + 128. s6: three lines for every 4 columns, and the codes
 * are u = c + 32; bits 0 to 5 of byte j of line q are that of plane q, and bits 6 and 7 of the three are, from the highest on, the
 * six bits of that of plane 3. s5: five lines for every 8 columns, and c = tn_s5_levels[i] or its negative; byte j of the first line
 * has in its low four bits i of plane 0 and above them that of plane 1, the second line those of planes 2 and 3, and the next two
 * lines those of the next four columns; bit q of byte j of the fifth tells whether c of plane q is negative, bit 4 + q that of the
 * next four columns. Only whole blocks can be addressed.
 * After the blocks come three arrays of f32, each of round_up(rows, 64): scale, e and n of each row (ir.h), then zeros;
 * for each plane of bits, of which s6 has one and s5 two, its step and f, and then the planes, each for each row round_up(K, 512)
 * bits: bit k % 8 of byte k / 8 is 1 if s_k is 1.
 * p64: rows of round_up(K, 256)/4 bytes, padding codes are 1 (weight zero); then, 64-aligned, one f32 for each
 * scale range, or for each row if every row has a scale.
 * b64: blocks of 64 rows, tn_row_bytes * 64 bytes each; missing rows and columns (to a multiple of 16) have weight zero. A
 * block has a line of 64 bytes for every 4 columns, whose byte 4r + i has in bits 2q.. the code of row 16q + r and column i.
 * Only whole blocks can be addressed. After the blocks come the scales of p64.
 * b80: blocks of 80 rows, tn_row_bytes * 80 bytes each; missing rows and columns (to a multiple of 20) have weight zero. A
 * block has a line of 64 bytes for every 4 columns. Byte 4r + i is ceil(256 v / 243), with v = 81 c0 + 27 c1 + 9 c2 + 3 c3 + c4,
 * where cp is the code w + 1 of row 16p + r and column i. A digit p is 0 if f < 86, 1 if f < 171, else 2, with f = 3^p times the
 * byte, modulo 256. Blocks are addressed as those of b64, and are followed by the same scales.
 * t8 with a scale a row or a group: after the rows, one f32 for each, row by row.
 * r64: blocks of 64 rows, tn_row_bytes * 64 bytes each; missing rows are zeros of scale 0. A block goes group by
 * group: a line of 64 bytes for every 4 columns, whose byte 4r + i has in bits 2q.. the code of row 16q + r and column i,
 * then the scales of the 64 rows as f16. Only whole blocks can be addressed.
 * i2s: n/4 bytes of codes over the flat tensor, then the f32 scale and 28 bytes of anything, as in
 * the file (a row cannot be addressed: tn_row_bytes is 0). n is rounded up to 128 here; a file whose n is not
 * a multiple is refused (tn_stored_needs). Blocks of floats, tq1, tq2: as in the file, rows unpadded.
 * Block tables i32[S,P]: a plain array, table[s*P + j]; tn_row_bytes is that of one element.
 * Key cache page: [heads][head][64 positions]; value cache page: [heads][64 positions][head]; in int8 caches
 * the 64 f32 scales of a head's positions follow its codes. Page p of a cache starts at p * tn_page_bytes.
 * Position j of slot s is in page table[s*P + j/64], place j%64. */
#ifndef TN_TYPE_LAYOUT_H
#define TN_TYPE_LAYOUT_H

#include "ir/ir.h"

#define TN_PAD        64
#define TN_K_PAD      256
#define TN_Q8_HEAD    64
#define TN_Q14_HEAD   64
#define TN_PAGE       64
#define TN_BESIDE     64 /* rows of a block of b64, r64 and shadow tables */
#define TN_B64_PAD    16 /* columns of b64 */
#define TN_B80_ROWS   80 /* rows of a block of b80: five planes of 16 */
#define TN_B80_PLANES 5
#define TN_B80_PLANE  16
#define TN_B80_PAD    20    /* columns of b80 */
#define TN_B80_MOST   32768 /* columns of b80: 256 times the sum of so many products fits an i32 */
#define TN_COLMAJOR_ROWS                                                                                     \
    256 /* rows of a block of `colmajor`, in which the elements of a column lie side by side */
#define TN_COLUMNS_MOST 65536 /* columns of such a matrix: a block is made whole, 16 MB of trits */

/* Bytes from one row to the next: a matrix row, or one element of a plain array. */
size_t tn_row_bytes(const TnType *t);
/* The number of rows that are stored together: TN_BESIDE for b64, r64 and shadow tables, TN_B80_ROWS for b80, else 1. */
int64_t tn_rows_together(const TnType *t);
/* q8g: bytes of a row's scales, and also of its sums, which follow them. The codes come after both. */
size_t tn_q8g_part(const TnType *t);
/* Bytes of a stored row before its blocks: its scale, if it has one. */
size_t tn_row_head(TnEnc enc);
/* Checks the shape of a stored matrix whose rule is not "a multiple of block_elems columns". Returns NULL if it fits, else
 * the rule as a text, such as "a multiple of 128 elements". */
const char *tn_stored_needs(TnEnc enc, int64_t rows, int64_t cols);
/* The elements of that row, without padding. */
int64_t tn_row_elems(const TnType *t);
/* Bytes of an arena buffer per row of the leading symbol: tn_row_bytes rounded up to 64. */
size_t tn_row_bytes_aligned(const TnType *t);
size_t tn_page_bytes(const TnType *cache);
size_t tn_page_head_bytes(const TnType *cache); /* one head's part of a page */
/* All bytes of a value for these symbols. sym may be NULL for weights, whose size is constant. */
size_t tn_type_bytes(const TnType *t, const int64_t sym[TN_SYM_COUNT]);
/* Bytes after the rows: the scales of p64, b64 and b80, and of t8 if they are not in its type; the arrays of s8, s6 and s5. Else 0. */
size_t tn_tail_bytes(const TnType *t);
/* Where they begin: bytes of all rows of a value of constant size. */
size_t tn_tail_at(const TnType *t);
/* Bytes of one of the arrays after the rows of s8, s6 and s5. */
size_t tn_shadow_array_bytes(const TnType *t);
/* The number of planes of bits, bytes of a row of one, and where each begins; after the last: the end. */
enum { TN_PLANES_MOST = 2 };
int tn_shadow_planes(const TnType *t);
size_t tn_shadow_plane_bytes(const TnType *t);
size_t tn_shadow_plane_at(const TnType *t, int plane);
/* Bytes that a product reads: not the planes, and of the arrays the three that all have. */
size_t tn_shadow_read_bytes(const TnType *t);
/* The leading dim; 1 for a rank-1 constant that is one row. For caches the number of pages. */
int64_t tn_type_rows(const TnType *t, const int64_t sym[TN_SYM_COUNT]);

#endif
