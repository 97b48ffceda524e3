/* Blocks of b64, b80 and r64: 64 or 80 rows of a ternary matrix side by side (ir/type_layout.h). Those of r64 have groups of
 * columns with their scales.
 *
 * Products hold different rows of weights in the lanes of a register, so the sums of a group can be multiplied by the scales
 * in the order in which these are stored. With weights row by row, the sums would first have to be added over lanes and
 * transposed, for every group. Without groups (b64) a sum is transposed only once a row, but lanes still need no sum over them,
 * and four columns of activations serve 64 rows of weights. A block is stored in the order in which it is read.
 *
 * Bytes of b80 are numbers in base 3, a fifth fewer bytes than b64. The five digits of a byte belong to five rows, so all of
 * them meet the same columns of activations. Let f_0 be a byte, f_(p+1) = 3 f_p modulo 256, and F_p the sum of f_p times the
 * activations. Then the sum for row p of the codes is (3 F_p - F_(p+1)) / 256: six sums give five rows, and no digit is ever
 * taken out of its byte. */
#ifndef TN_R64_H
#define TN_R64_H

#include "ir/type_layout.h"
#include "runtime/base/reader.h"

/* Bytes of a group of columns in a block: its lines and its scales. */
static inline size_t tn_r64_group_bytes(uint32_t group) {
    return 16 * (size_t)group + 2 * TN_BESIDE;
}
/* Columns of a row in blocks: K with the padding of b64 and b80. */
static inline size_t tn_r64_columns(const TnType *t) {
    size_t pad = t->enc == TN_ENC_b64 ? TN_B64_PAD : t->enc == TN_ENC_b80 ? TN_B80_PAD : 4;
    return tn_round_up((size_t)t->dim[1], pad);
}
/* Makes a block from codes w + 1, tn_rows_together rows of tn_r64_columns bytes, and for r64 from the scales of those rows, which
 * must all be values of f16. */
void tn_r64_encode(const TnType *t, const uint8_t *codes, const float *scales, void *out);
/* Read row `row` of the matrix at data: K weights, and for r64 K / group scales. */
void tn_r64_trits(const TnType *t, const void *data, int64_t row, int8_t *out);
void tn_r64_scales(const TnType *t, const void *data, int64_t row, float *out);

#endif
