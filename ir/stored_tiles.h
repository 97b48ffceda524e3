/* Ternary encodings of files whose rows do not lie one after the other: tl1 and tl2 are in tiles, iq2bn4 and
 * i2s4 have four rows together.
 *
 * bitnet.cpp lays tl1 and tl2 out for the lookup kernels that it generates for a shape. A tile is bm rows by bk columns.
 * These sizes belong to the kernels and are not in the file, so they are derived from the shape of the matrix: for the
 * shapes of the models that bitnet.cpp knows, those that it generates; for any other, those that its generators would try
 * first. */
#ifndef TN_STORED_TILES_H
#define TN_STORED_TILES_H

#include "ir/ir.h"

typedef struct TnTlTiles {
    int64_t tile_rows, tile_cols, block_rows; /* tl2: block_rows is 32 */
    bool known;                               /* bitnet.cpp has kernels of this shape */
} TnTlTiles;
/* Finds the tiles of tl1 or tl2. Returns false if no tiles divide a matrix of this shape. */
bool tn_tl_tiles(TnEnc enc, int64_t rows, int64_t cols, TnTlTiles *out);

/* Whether tiles divide such a matrix. */
bool tn_tl_divides(TnEnc enc, const TnTlTiles *tiles, int64_t rows, int64_t cols);
/* Row `row` of tl1 or tl2 in tiles that are not those of its shape, and a check of all its codes. Tiles must divide the matrix. */
void tn_tl_trits(const TnType *t, const TnTlTiles *tiles, const uint8_t *raw, int64_t row, int8_t *out);
TernStatus tn_tl_check(const TnType *t, const TnTlTiles *tiles, const uint8_t *raw, const char *name,
                       TernError *err);

/* Whether an encoding is one of these. */
bool tn_enc_is_tiled(TnEnc e);
/* Bytes of the weights of such a matrix. A scale that is one f32 after them is not counted; the scales of iq2bn4 are. */
size_t tn_tiled_bytes(TnEnc enc, int64_t rows, int64_t cols);
/* Decodes row `row` to weights. tl1 and tl2: tiles must divide the matrix. */
void tn_tiled_trits(const TnType *t, const uint8_t *raw, int64_t row, int8_t *out);
/* Refuses codes that stand for no weight. `name` is for the message. */
TernStatus tn_tiled_check(const TnType *t, const uint8_t *raw, const char *name, TernError *err);

#endif
