/* Weights as bytes: decoding what GGUF stores, and laying it out for compute (the SOURCE ops).
 *
 * All values of stored encodings (ir/types.def) are decoded exactly. */
#ifndef TN_WEIGHTS_H
#define TN_WEIGHTS_H

#include "ir/type_layout.h"

/* The source of the bytes of `gguf` nodes. find returns the tensor's bytes as stored, which stay valid, or NULL if there is
 * no tensor of that name. Functions that take a pointer to a TnWeights accept NULL, and a NULL find: there are no
 * tensors then. */
typedef struct TnWeights {
    const void *(*find)(void *ctx, const char *name, size_t *out_bytes);
    void *ctx;
    /* Optional: releases the memory in which found bytes are resident. They are read again when they are used again.
     * May be called while other threads call find or read. */
    void (*rest)(void *ctx);
} TnWeights;

/* ---- decode.c: decodes one row. Rank-1 weights are one row, rank-3 weights are dim[0]*dim[1] rows.
 *
 * Decodes row `row` of a dense or stored weight matrix, in the layout of type_layout.h, to K f32 values. */
void tn_decode_row(const TnType *t, const void *data, int64_t row, float *out);
/* The same from the file's bytes, where dense rows are not padded. */
void tn_decode_raw(const TnType *t, const void *raw, int64_t row, float *out);
/* Decodes a row of a ternary matrix to int8 trits in {-1, 0, 1}, without the scale. (A code 3 gives 2; tn_stored_scale
 * refuses it first, unless it means 2.) The layouts of ternary tensors in files and of type_layout.h are the same, except
 * that t8 is padded. */
void tn_decode_trits(const TnType *t, const void *data, int64_t row, int8_t *out);
/* Reads the scales that are stored with the weights of a row (tn_type_row_scales of them), for any ternary encoding. In
 * encodings of files they are the d of the blocks. */
void tn_decode_scales(const TnType *t, const void *data, int64_t row, float *out);
/* Decodes a row of a ternary matrix to numbers: weights times their scales. */
void tn_decode_ternary(const TnType *t, const void *data, int64_t row, float *out);
/* Encodes a row in the layout of type_layout.h, with its padding. t is f32, f16 or bf16 (rounded to nearest
 * even), i32 or i8 (rounded, clamped, NaN is 0). */
void tn_encode_row(const TnType *t, const float *in, void *out_row);
/* The same from trits. t is t8 or p64. */
void tn_encode_trits(const TnType *t, const int8_t *in, void *out_row);
/* Bytes of a tensor of this type in a file, with rows unpadded. */
size_t tn_raw_bytes(const TnType *t);
/* Rows and row length of a weight. */
int64_t tn_weight_count(const TnType *t);
int64_t tn_weight_len(const TnType *t);
/* How a stored ternary tensor is scaled. */
typedef struct TnStoredScale {
    uint32_t group; /* 0: by `scale`; else as TnType.group, and the scales are stored with the weights */
    float scale;
    bool two; /* some weight is 2 */
} TnStoredScale;
/* Finds how a tensor is scaled. It has one scale if its encoding has one, or if all rows or blocks have the same (rows or
 * blocks of zeros may have any); else one scale a row (iq1bn, iq2bn, iq2bn4) or a block. Also checks that scales are finite
 * and that every code is a weight: a code 3 of two bits is valid, as +2, only in q2g64 and q2g128. `name` is for
 * messages. */
TernStatus tn_stored_scale(const TnType *t, const void *raw, const char *name, TnStoredScale *out,
                           TernError *err);
/* Finds the scale s of a dense matrix whose every value is -s, 0 or s (s > 0; s = 0 if all are zero). For any other matrix
 * fails with TERN_ERR_INPUT; the message names tensor, row, column and value. */
TernStatus tn_dense_scale(const TnType *t, const void *raw, const char *name, float *out, TernError *err);

/* ---- weights.c: SOURCE values.
 *
 * `random`: element i (row by row, unpadded) is the i-th number z of splitmix64 started at the seed:
 *   z = seed + (i+1)*0x9e3779b97f4a7c15; z = (z ^ z>>30)*0xbf58476d1ce4e5b9; z = (z ^
 *   z>>27)*0x94d049bb133111eb; z ^= z>>31
 * a float is (z>>40)*2^-23 - 1, then rounded to its type; a trit is ((z>>32)*3 >> 32) - 1, with most=2
 *   ((z>>32)*4 >> 32) - 1; scales that are not in the type are numbered after all trits, row by row:
 *   ((z>>54) + 1)*2^-10.
 * `const` for a ternary type: the sign of the value. `pack` of a dense matrix to t8 or p64: the sign (the
 * frontend has checked it by tn_dense_scale).
 *
 * Writes rows [lo, hi) of the SOURCE value `ref` to out, in the layout of its type (type_layout.h). out has room for those
 * rows. lo must be a multiple of tn_rows_together, and so must hi unless it is the end. tn_weight_tail writes the bytes
 * after the rows. Works in a stream: it needs memory for a few rows, and calls may run in parallel. Not for the stored
 * encodings themselves, whose raw bytes are used as they are. */
TernStatus tn_weight_rows(const TnGraph *g, TnRef ref, const TnWeights *w, int64_t lo, int64_t hi, void *out,
                          TernError *err);
/* Sets out[r] to whether row r of a ternary SOURCE value of any encoding is all zero. Reads every row. */
TernStatus tn_weight_dead_rows(const TnGraph *g, TnRef ref, const TnWeights *w, bool *out, TernError *err);
/* Writes the tn_tail_bytes bytes after the rows. Those of a shadow table need a read of every row. */
TernStatus tn_weight_tail(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err);
/* Writes everything: tn_type_bytes(type) bytes, including the tail. Stored encodings are copied as they are. */
TernStatus tn_weight_all(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err);

#endif
