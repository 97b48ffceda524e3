/* Weights as bytes: decoding what GGUF stores, and laying it out for compute (the SOURCE ops).
 *
 * All values of stored encodings (ir/types.def) are decoded exactly. */
#ifndef TN_WEIGHTS_H
#define TN_WEIGHTS_H

#include "ir/type_layout.h"

/* Where the bytes of `gguf` nodes come from. find returns the tensor's bytes as stored, which stay valid,
 * or NULL if there is none of that name. Where a pointer to one is taken, NULL and one without find mean: no
 * tensors. */
typedef struct TnWeights {
    const void *(*find)(void *ctx, const char *name, size_t *out_bytes);
    void *ctx;
    /* Optional: lets go of memory that found bytes are resident in, since they were just read; they come back when
     * touched. May be called beside find and readers. */
    void (*rest)(void *ctx);
} TnWeights;

/* ---- decode.c: one row from bytes. Rank-1 weights are one row; rank-3 ones are dim[0]*dim[1] rows.
 *
 * Row `row` of a dense or stored weight matrix in type_layout.h's form, as K f32 values. */
void tn_decode_row(const TnType *t, const void *data, int64_t row, float *out);
/* The same from the file's bytes, where dense rows are not padded. */
void tn_decode_raw(const TnType *t, const void *raw, int64_t row, float *out);
/* Row of a ternary matrix as int8 trits in {-1, 0, 1} (a code 3 gives 2: tn_stored_scale refuses it first);
 * the scale is in the type. Ternary files' bytes and type_layout.h's form are the same, but for t8, which is
 * padded. */
void tn_decode_trits(const TnType *t, const void *data, int64_t row, int8_t *out);
/* The scales of a row that lie with its weights (tn_type_row_scales of them), of any ternary encoding; of the files'
 * these are the d of its blocks. */
void tn_decode_scales(const TnType *t, const void *data, int64_t row, float *out);
/* A row of a ternary matrix as numbers: weights times their scale. */
void tn_decode_ternary(const TnType *t, const void *data, int64_t row, float *out);
/* The other way, into a row of type_layout.h's form with its padding. t is f32, f16 or bf16 (rounded to nearest
 * even), i32 or i8 (rounded, clamped, NaN is 0). */
void tn_encode_row(const TnType *t, const float *in, void *out_row);
/* t is t8 or p64. */
void tn_encode_trits(const TnType *t, const int8_t *in, void *out_row);
/* Bytes of a tensor of this type as it lies in the file: rows unpadded. */
size_t tn_raw_bytes(const TnType *t);
/* Rows and row length of a weight. */
int64_t tn_weight_count(const TnType *t);
int64_t tn_weight_len(const TnType *t);
/* How a stored ternary tensor is scaled. */
typedef struct TnStoredScale {
    uint32_t group; /* 0: by `scale`; else as TnType.group, and the scales lie with the weights */
    float scale;
    bool two; /* a weight is 2 */
} TnStoredScale;
/* One scale if the encoding has one, or if all rows or blocks have the same one, but for those of zeros, which may have
 * any; else one a row (iq1bn and its like) or a block. Also checks that scales are finite and that codes stand for weights:
 * a code 3 of two bits is +2 in q2g64 and q2g128 alone. `name` is for messages. */
TernStatus tn_stored_scale(const TnType *t, const void *raw, const char *name, TnStoredScale *out,
                           TernError *err);
/* If every value of a dense matrix is -s, 0 or s (s > 0, or all zero: s = 0): the scale. Else TERN_ERR_INPUT
 * naming tensor, row, column and value. */
TernStatus tn_dense_scale(const TnType *t, const void *raw, const char *name, float *out, TernError *err);

/* ---- weights.c: SOURCE values.
 *
 * `random`: element i (row by row, unpadded) is the i-th number z of splitmix64 started at the seed:
 *   z = seed + (i+1)*0x9e3779b97f4a7c15; z = (z ^ z>>30)*0xbf58476d1ce4e5b9; z = (z ^
 *   z>>27)*0x94d049bb133111eb; z ^= z>>31
 * a float is (z>>40)*2^-23 - 1, then rounded to its type; a trit is ((z>>32)*3 >> 32) - 1, with most=2
 *   ((z>>32)*4 >> 32) - 1; scales that the type has not are numbered after all trits, row by row: ((z>>54) + 1)*2^-10.
 * `const` for a ternary type: the sign of the value. `pack` of a dense matrix to t8 or p64: the sign (the
 * frontend has checked it by tn_dense_scale).
 *
 * Writes rows [lo, hi) of the SOURCE value `ref`, in type_layout.h's form of its type, to out (as many bytes as
 * those rows take; of encodings of rows that lie together, lo is a multiple of tn_rows_together, and so is hi, or all
 * rows; what lies behind the rows is written by tn_weight_tail). Streams: needs memory for a few
 * rows; calls may run side by side. Not for the stored encodings themselves (their raw bytes
 * are used as they are). */
TernStatus tn_weight_rows(const TnGraph *g, TnRef ref, const TnWeights *w, int64_t lo, int64_t hi, void *out,
                          TernError *err);
/* out[r]: row r of a ternary SOURCE value of any encoding is all zero. Reads every row. */
TernStatus tn_weight_dead_rows(const TnGraph *g, TnRef ref, const TnWeights *w, bool *out, TernError *err);
/* The tn_tail_bytes bytes behind the rows. A shadow table's take a look at every row. */
TernStatus tn_weight_tail(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err);
/* Everything: tn_type_bytes(type) bytes, tail included. Stored encodings are copied as they are. */
TernStatus tn_weight_all(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err);

#endif
