/* Blocks of r64: 64 rows of a ternary matrix in groups, side by side, with their scales (ir/type_layout.h).
 *
 * Products hold different rows of weights in the lanes of a register, so the sums of a group can be multiplied by the scales
 * in the order in which these are stored. With weights row by row, the sums would first have to be added over lanes and
 * transposed, for every group. A block is stored in the order in which it is read. */
#ifndef TN_R64_H
#define TN_R64_H

#include "ir/type_layout.h"

/* Bytes of a group of columns in a block: its lines and its scales. */
static inline size_t tn_r64_group_bytes(uint32_t group) {
    return 16 * (size_t)group + 2 * TN_BESIDE;
}
/* Makes a block from codes w + 1, TN_BESIDE rows of K bytes, and from the scales of those rows, which must all be values of
 * f16. */
void tn_r64_encode(const TnType *t, const uint8_t *codes, const float *scales, void *out);
/* Read row `row` of the matrix at data: K weights, and K / group scales. */
void tn_r64_trits(const TnType *t, const void *data, int64_t row, int8_t *out);
void tn_r64_scales(const TnType *t, const void *data, int64_t row, float *out);

#endif
