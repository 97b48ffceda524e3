/* A GGUF file put together key by key and tensor by tensor, for tests: right ones, and wrong ones on purpose.
 *
 * Keys and tensors keep the order they were added in; adding a name again replaces what it had. Nothing is
 * checked: tn_gw_raw and tn_gw_twice can say anything. The writer remembers where every count, length, type,
 * dimension and offset went, so that a test can put extreme values into each of them. */
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
    GW_T_MXFP4 = 39
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
void tn_gw_alignment(TnGw *w, uint32_t align); /* where data goes, default 32; says nothing in the keys */

void tn_gw_u32(TnGw *w, const char *key, uint32_t v);
void tn_gw_u64(TnGw *w, const char *key, uint64_t v);
void tn_gw_i32(TnGw *w, const char *key, int32_t v);
void tn_gw_f32(TnGw *w, const char *key, float v);
void tn_gw_bool(TnGw *w, const char *key, uint8_t v);
void tn_gw_str(TnGw *w, const char *key, const char *v);
void tn_gw_strs(TnGw *w, const char *key, const char *const *v, size_t n);
void tn_gw_array(TnGw *w, const char *key, uint32_t elem, const void *values, size_t n, size_t elem_bytes);
void tn_gw_raw(TnGw *w, const char *key, uint32_t type, const void *value, size_t bytes);
void tn_gw_twice(TnGw *w, const char *name); /* the key or tensor of that name once more, at the end */
void tn_gw_rename(TnGw *w, const char *name, const char *to);
void tn_gw_drop(TnGw *w, const char *name); /* the key or tensor of that name */

/* Bytes of a tensor of this type in a file; rows that do not fill blocks are rounded down. */
size_t tn_gw_tensor_bytes(uint32_t type, uint32_t rank, const uint64_t *ne);
/* Writes the bytes of a tensor when the file is written. */
typedef void TnGwFill(void *ctx, const char *name, uint8_t *out, size_t bytes);
/* ne: innermost first. fill NULL: zeros. */
void tn_gw_tensor(TnGw *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne, TnGwFill *fill,
                  void *ctx);
/* Other bytes for a tensor that is there (its size in the file follows). */
void tn_gw_data(TnGw *w, const char *name, const void *bytes, size_t n);
/* An offset for it instead of the place it gets. */
void tn_gw_offset(TnGw *w, const char *name, uint64_t offset);
/* Another type or shape, its bytes staying as they are. */
void tn_gw_claim(TnGw *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne);

/* The file in memory. marks may be NULL; else *marks is an array of *n_marks to free(), its texts live as
 * long as w. */
void tn_gw_bytes(TnGw *w, TnBuf *out, TnGwMark **marks, size_t *n_marks);
/* The file on disk, tensor by tensor (for models of gigabytes). False with errno set. */
bool tn_gw_file(TnGw *w, const char *path);

#endif
