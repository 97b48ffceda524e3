/* Writes GGUF (version 3), so that memory never holds more of the data than its caller does: first all keys, then every
 * tensor's name, type and shape, then the head is written, and then the bytes of the tensors, one after the other, in
 * pieces of any size.
 *
 *   tn_gguf_put_str(w, "general.architecture", "llama", 5);
 *   tn_gguf_put_tensor(w, "output_norm.weight", 0, 1, (uint64_t[]){64}, 256);
 *   TN_TRY(tn_gguf_put_head(w, put, ctx, err));
 *   TN_TRY(tn_gguf_put_data(w, bytes, 256, err));
 *   tn_gguf_put_end(w);
 *
 * A key or tensor that is added twice, and bytes that are more or fewer than a tensor has, are bugs of the caller. */
#ifndef TN_GGUF_WRITER_H
#define TN_GGUF_WRITER_H

#include "frontends/gguf/gguf.h"
#include "runtime/text/text.h"

typedef struct TnGgufWriter TnGgufWriter;
/* Takes the next n bytes of the file. */
typedef TernStatus TnGgufSink(void *ctx, const void *bytes, size_t n, TernError *err);

TnGgufWriter *tn_gguf_writer_create(void);
void tn_gguf_writer_destroy(TnGgufWriter *w); /* NULL is fine */

/* Keys. The values are copied. */
void tn_gguf_put_u32(TnGgufWriter *w, const char *key, uint32_t v);
void tn_gguf_put_f32(TnGgufWriter *w, const char *key, float v);
void tn_gguf_put_bool(TnGgufWriter *w, const char *key, bool v);
void tn_gguf_put_str(TnGgufWriter *w, const char *key, const char *v, size_t n);
void tn_gguf_put_strs(TnGgufWriter *w, const char *key, const TernText *v, size_t n);
/* An array of numbers of this type. */
void tn_gguf_put_array(TnGgufWriter *w, const char *key, TnGgufType elem, const void *values, size_t n);
/* A key as another file has it. */
void tn_gguf_put_key(TnGgufWriter *w, const TnGgufKey *key);
bool tn_gguf_put_has(const TnGgufWriter *w, const char *key);

/* A tensor of this type (the file's number) and size. ne: innermost first. */
void tn_gguf_put_tensor(TnGgufWriter *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne,
                        size_t bytes);
/* The bytes of the whole file, once all keys and tensors are added. */
size_t tn_gguf_put_size(const TnGgufWriter *w);
/* Writes all that precedes the data. From now on only the calls below. */
TernStatus tn_gguf_put_head(TnGgufWriter *w, TnGgufSink *sink, void *ctx, TernError *err);
/* The next n bytes of the data, all of the tensor that is not complete yet. */
TernStatus tn_gguf_put_data(TnGgufWriter *w, const void *bytes, size_t n, TernError *err);
/* Checks that all tensors are complete. */
void tn_gguf_put_end(const TnGgufWriter *w);

#endif
