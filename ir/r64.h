/* Blocks of r64: 64 rows of a ternary matrix in groups, side by side, with their scales (ir/type_layout.h).
 *
 * Products over it have rows of weights in the lanes of a register, so that a group's sums meet their scales as they lie:
 * row by row they would first have to be added over lanes and transposed, group by group. All of a block follows in the
 * order in which it is read. */
#ifndef TN_R64_H
#define TN_R64_H

#include "ir/type_layout.h"

/* Bytes of a group of columns: its lines, and its scales. */
static inline size_t tn_r64_group_bytes(uint32_t group) {
    return 16 * (size_t)group + 2 * TN_BESIDE;
}
/* The block from codes w + 1, TN_BESIDE rows of K bytes, and the scales of those rows, which are all values of f16. */
void tn_r64_encode(const TnType *t, const uint8_t *codes, const float *scales, void *out);
/* Row `row` of the matrix at data: K weights; K / group scales. */
void tn_r64_trits(const TnType *t, const void *data, int64_t row, int8_t *out);
void tn_r64_scales(const TnType *t, const void *data, int64_t row, float *out);

#endif
