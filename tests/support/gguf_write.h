/* Makes a GGUF file for tests, key by key and tensor by tensor: valid ones, and invalid ones on purpose.
 *
 * Keys and tensors stay in the order in which they were added; adding a name again replaces its value. Nothing is
 * checked, so tn_gw_raw and tn_gw_twice can write anything. The writer remembers where every count, length, type,
 * dimension and offset is in the file, so that a test can put extreme values there. */
#ifndef TN_TEST_GGUF_WRITE_H
#define TN_TEST_GGUF_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/buf.h"

/* The numbers of the file format. */
enum {
    GW_U8,
    GW_I8,
    GW_U16,
    GW_I16,
    GW_U32,
    GW_I32,
    GW_F32,
    GW_BOOL,
    GW_STR,
    GW_ARRAY,
    GW_U64,
    GW_I64,
    GW_F64
};
enum {
    GW_T_F32 = 0,
    GW_T_F16 = 1,
    GW_T_Q4_0 = 2,
    GW_T_Q4_1 = 3,
    GW_T_Q5_0 = 6,
    GW_T_Q5_1 = 7,
    GW_T_Q8_0 = 8,
    GW_T_Q4_K = 12,
    GW_T_Q5_K = 13,
    GW_T_Q6_K = 14,
    GW_T_BF16 = 30,
    GW_T_TQ1_0 = 34,
    GW_T_TQ2_0 = 35,
    GW_T_I2_S = 36,
    GW_T_I8_S = 37,
    GW_T_MXFP4 = 39,
    GW_T_TL1 = 38,
    GW_T_Q2_0 = 42,
    GW_T_IQ1_BN = 134,
    GW_T_IQ2_BN = 135,
    GW_T_PQ2_0 = 142,
    GW_T_PTQ1_0 = 143,
    GW_T_IQ2_BN_R4 = 335,
    /* in the file the numbers of two above */
    GW_T_TL2 = 1039,
    GW_T_Q2_0_128 = 1042
};

typedef struct TnGw TnGw;

/* A number in a written file whose value decides how the rest is read. */
typedef struct TnGwMark {
    size_t at;
    uint32_t bytes; /* 4 or 8 */
    const char *what;
} TnGwMark;

TnGw *tn_gw_create(void);
void tn_gw_destroy(TnGw *w);
void tn_gw_version(TnGw *w, uint32_t version); /* default 3 */
void tn_gw_alignment(TnGw *w, uint32_t align); /* of the data, default 32; adds no key */

void tn_gw_u32(TnGw *w, const char *key, uint32_t v);
void tn_gw_u64(TnGw *w, const char *key, uint64_t v);
void tn_gw_i32(TnGw *w, const char *key, int32_t v);
void tn_gw_f32(TnGw *w, const char *key, float v);
void tn_gw_bool(TnGw *w, const char *key, uint8_t v);
void tn_gw_str(TnGw *w, const char *key, const char *v);
void tn_gw_strs(TnGw *w, const char *key, const char *const *v, size_t n);
void tn_gw_array(TnGw *w, const char *key, uint32_t elem, const void *values, size_t n, size_t elem_bytes);
void tn_gw_raw(TnGw *w, const char *key, uint32_t type, const void *value, size_t bytes);
void tn_gw_twice(TnGw *w, const char *name); /* repeats the key or tensor of that name, at the end */
void tn_gw_rename(TnGw *w, const char *name, const char *to);
void tn_gw_drop(TnGw *w, const char *name); /* removes the key or tensor of that name */

/* The bytes of a tensor of this type in a file. A row that does not fill its last block is rounded down. */
size_t tn_gw_tensor_bytes(uint32_t type, uint32_t rank, const uint64_t *ne);
/* Writes the bytes of a tensor when the file is written. */
typedef void TnGwFill(void *ctx, const char *name, uint8_t *out, size_t bytes);
/* ne: innermost first. fill NULL: zeros. */
void tn_gw_tensor(TnGw *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne, TnGwFill *fill,
                  void *ctx);
/* Replaces the bytes of a tensor, and its size in the file. */
void tn_gw_data(TnGw *w, const char *name, const void *bytes, size_t n);
/* Writes this offset for a tensor, whatever its real place. */
void tn_gw_offset(TnGw *w, const char *name, uint64_t offset);
/* Writes another type or shape for a tensor; its bytes stay. */
void tn_gw_claim(TnGw *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne);

/* Appends the file to a buffer. marks may be NULL; otherwise *marks gets an array of *n_marks to free(). Its texts
 * live as long as w. */
void tn_gw_bytes(TnGw *w, TnBuf *out, TnGwMark **marks, size_t *n_marks);
/* Writes the file to disk, tensor by tensor (for models of gigabytes). Returns false and sets errno on failure. */
bool tn_gw_file(TnGw *w, const char *path);

#endif
