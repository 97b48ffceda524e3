/* Weights as bytes: decoding what GGUF stores, and laying it out for compute (the SOURCE ops).
 *
 * All values of stored encodings are decoded exactly (FORMATS: F32 F16 BF16 Q8_0 Q6_K I2_S TQ1_0 TQ2_0). */
#ifndef TN_WEIGHTS_H
#define TN_WEIGHTS_H

#include "ir/layout.h"

/* Where the bytes of `gguf` nodes come from. find returns the tensor's bytes as stored, which stay valid,
 * or NULL if there is none of that name. */
typedef struct TnWeights {
    const void *(*find)(void *ctx, const char *name, size_t *out_bytes);
    void *ctx;
} TnWeights;

/* Row `row` of a dense or stored weight matrix (float meaning), K f32 values. data lies as tn_weight_raw says. */
void tn_decode_row(const TnType *t, const void *data, int64_t row, float *out);
/* Row of a ternary matrix as int8 trits in {-1, 0, 1}; the scale is in the type. */
void tn_decode_trits(const TnType *t, const void *data, int64_t row, int8_t *out);
/* The stored form as it lies in the file: bytes of a tensor of this type, rows unpadded (raw == true), or in layout.h's form. */
size_t tn_raw_bytes(const TnType *t);
/* The scale(s) of a stored ternary tensor: i2s from behind the codes; tq1/tq2: all blocks' d, where zero blocks
 * may have any; err names block and both values when they differ. Also checks that no code is invalid (3). `name` is for messages. */
TernStatus tn_stored_scale(const TnType *t, const void *raw, const char *name, float *out, TernError *err);
/* If every value of a dense matrix is -s, 0 or s (s > 0, or all zero: s = 0): the scale. Else TERN_ERR_INPUT
 * naming tensor, row, column and value. */
TernStatus tn_dense_scale(const TnType *t, const void *raw, const char *name, float *out, TernError *err);

/* Writes rows [lo, hi) of the SOURCE value `ref`, in layout.h's form of its type, to out (as many bytes as those rows take;
 * for p64 and the other ternary encodings the scale table is written by tn_weight_tail). Streams: needs memory for a few rows.
 * Not for the i2s, tq1, tq2, q8_0, q6_k encodings themselves (their raw bytes are used as they are). */
TernStatus tn_weight_rows(const TnGraph *g, TnRef ref, const TnWeights *w, int64_t lo, int64_t hi, void *out,
                          TernError *err);
/* Everything: tn_type_bytes(type) bytes, tail included. Stored encodings are copied as they are. */
TernStatus tn_weight_all(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err);

#endif
