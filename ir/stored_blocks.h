/* Blocks of the stored encodings: a fixed number of bytes that give a fixed number of values (ir/types.def has both
 * numbers). Loops of constant length, which compilers turn into vector code. A block's bytes need not be aligned. */
#ifndef TN_STORED_BLOCKS_H
#define TN_STORED_BLOCKS_H

#include "ir/ir.h"

/* Gives the block_elems floats of a block. Each is the value of its formula rounded once: no product in it
 * has more than 24 significant bits, so only the addition of a minimum rounds. */
typedef void TnBlockFloats(const uint8_t *block, float *restrict out);
/* The function for an encoding that stores floats in blocks (tn_enc_is_blocks); NULL for all others. */
TnBlockFloats *tn_block_floats(TnEnc enc);
/* Gives the block_elems weights of a block (i2s: 128, i2s64: 64), in {-1, 0, 1}, or 2 for a code 3. */
typedef void TnBlockTrits(const uint8_t *block, int8_t *restrict out);
/* The function for a ternary encoding whose rows are blocks; NULL for all others. */
TnBlockTrits *tn_block_trits(TnEnc enc);

/* ---- stored_scale.c: the scales of a row (tn_type_row_scales of them), where the type says that they lie with the weights */
void tn_stored_row_scales(const TnType *t, const void *raw, int64_t row, float *out);

#endif
