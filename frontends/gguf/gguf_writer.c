/* Keys and the tensor table are kept as the bytes that the file will have; a tensor's offset is known as soon as it is
 * added, because the sizes of those before it are. */
#include "frontends/gguf/gguf_writer.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/buf.h"
#include "runtime/base/reader.h"

#define ALIGN 32 /* what a file without general.alignment has */

typedef struct Entry {
    size_t bytes; /* of its data, without what fills up to the alignment */
} Entry;

struct TnGgufWriter {
    TnArena arena; /* names */
    TnMap keys, tensors;
    TnBuf key_bytes, table;
    Entry *entries;
    size_t n_entries, cap_entries;
    size_t data; /* offset of the next tensor */
    /* while data is written */
    TnGgufSink *sink;
    void *ctx;
    size_t at, done; /* tensors completed; bytes of the next */
};

TnGgufWriter *tn_gguf_writer_create(void) {
    return tn_xcalloc(1, sizeof(TnGgufWriter));
}

void tn_gguf_writer_destroy(TnGgufWriter *w) {
    if (!w) return;
    tn_map_free(&w->keys);
    tn_map_free(&w->tensors);
    tn_buf_free(&w->key_bytes);
    tn_buf_free(&w->table);
    free(w->entries);
    tn_arena_free(&w->arena);
    free(w);
}

static void put_u32(TnBuf *b, uint32_t v) {
    tn_buf_put(b, &v, 4);
}
static void put_u64(TnBuf *b, uint64_t v) {
    tn_buf_put(b, &v, 8);
}
static void put_string(TnBuf *b, const char *s, size_t n) {
    put_u64(b, n);
    tn_buf_put(b, s, n);
}

/* Adds a name that must be new. */
static void claim(TnGgufWriter *w, TnMap *map, const char *name) {
    const char *copy = tn_strdup(&w->arena, name);
    TN_CHECK(!w->sink);
    TN_CHECK(tn_map_set(map, copy, strlen(copy), 1) == TN_MAP_NONE);
}

static TnBuf *begin_key(TnGgufWriter *w, const char *key, TnGgufType type) {
    claim(w, &w->keys, key);
    put_string(&w->key_bytes, key, strlen(key));
    put_u32(&w->key_bytes, type);
    return &w->key_bytes;
}

void tn_gguf_put_u32(TnGgufWriter *w, const char *key, uint32_t v) {
    put_u32(begin_key(w, key, TN_GGUF_U32), v);
}
void tn_gguf_put_f32(TnGgufWriter *w, const char *key, float v) {
    tn_buf_put(begin_key(w, key, TN_GGUF_F32), &v, 4);
}
void tn_gguf_put_bool(TnGgufWriter *w, const char *key, bool v) {
    tn_buf_put(begin_key(w, key, TN_GGUF_BOOL), &(uint8_t){v}, 1);
}
void tn_gguf_put_str(TnGgufWriter *w, const char *key, const char *v, size_t n) {
    put_string(begin_key(w, key, TN_GGUF_STRING), v, n);
}

static TnBuf *begin_array(TnGgufWriter *w, const char *key, TnGgufType elem, size_t n) {
    TnBuf *b = begin_key(w, key, TN_GGUF_ARRAY);
    put_u32(b, elem);
    put_u64(b, n);
    return b;
}
void tn_gguf_put_strs(TnGgufWriter *w, const char *key, const TernText *v, size_t n) {
    TnBuf *b = begin_array(w, key, TN_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) put_string(b, v[i].data, v[i].size);
}
void tn_gguf_put_array(TnGgufWriter *w, const char *key, TnGgufType elem, const void *values, size_t n) {
    TN_CHECK(tn_gguf_type_bytes(elem) > 0);
    tn_buf_put(begin_array(w, key, elem, n), values, n * tn_gguf_type_bytes(elem));
}

/* Bytes of n values that lie in a checked file. */
static size_t bytes_of_values(TnGgufType type, const uint8_t *p, uint64_t n) {
    if (type != TN_GGUF_STRING) return n * tn_gguf_type_bytes(type);
    const uint8_t *at = p;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t size;
        memcpy(&size, at, 8);
        at += 8 + size;
    }
    return (size_t)(at - p);
}

void tn_gguf_put_key(TnGgufWriter *w, const TnGgufKey *k) {
    if (k->type == TN_GGUF_STRING)
        tn_gguf_put_str(w, k->name, (const char *)k->data, k->n);
    else if (k->type == TN_GGUF_ARRAY)
        tn_buf_put(begin_array(w, k->name, k->elem, k->n), k->data, bytes_of_values(k->elem, k->data, k->n));
    else
        tn_buf_put(begin_key(w, k->name, k->type), k->data, tn_gguf_type_bytes(k->type));
}

bool tn_gguf_put_has(const TnGgufWriter *w, const char *key) {
    return tn_map_get(&w->keys, key, strlen(key)) != TN_MAP_NONE;
}

void tn_gguf_put_tensor(TnGgufWriter *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne,
                        size_t bytes) {
    TN_CHECK(rank >= 1 && rank <= 4 && bytes > 0);
    claim(w, &w->tensors, name);
    put_string(&w->table, name, strlen(name));
    put_u32(&w->table, rank);
    for (uint32_t i = 0; i < rank; i++) put_u64(&w->table, ne[i]);
    put_u32(&w->table, type);
    put_u64(&w->table, w->data);
    TN_PUSH(w->entries, w->n_entries, w->cap_entries, (Entry){bytes});
    w->data += tn_round_up(bytes, ALIGN);
}

/* 24: magic, version and the two counts. */
static size_t head_size(const TnGgufWriter *w) {
    return 24 + w->key_bytes.len + w->table.len;
}

size_t tn_gguf_put_size(const TnGgufWriter *w) {
    size_t head = head_size(w);
    return w->n_entries ? tn_round_up(head, ALIGN) + w->data : head;
}

static TernStatus fill(TnGgufWriter *w, size_t n, TernError *err) {
    static const uint8_t zeros[ALIGN];
    return n ? w->sink(w->ctx, zeros, n, err) : TERN_OK;
}

TernStatus tn_gguf_put_head(TnGgufWriter *w, TnGgufSink *sink, void *ctx, TernError *err) {
    TnBuf first = {0};
    w->sink = sink;
    w->ctx = ctx;
    tn_buf_put(&first, "GGUF\3\0\0\0", 8);
    put_u64(&first, w->n_entries);
    put_u64(&first, w->keys.n);
    TernStatus st = sink(ctx, first.data, first.len, err);
    tn_buf_free(&first);
    TN_TRY(st);
    if (w->key_bytes.len) TN_TRY(sink(ctx, w->key_bytes.data, w->key_bytes.len, err));
    if (!w->n_entries) return TERN_OK;
    TN_TRY(sink(ctx, w->table.data, w->table.len, err));
    return fill(w, tn_round_up(head_size(w), ALIGN) - head_size(w), err);
}

TernStatus tn_gguf_put_data(TnGgufWriter *w, const void *bytes, size_t n, TernError *err) {
    TN_CHECK(w->sink && w->at < w->n_entries && n <= w->entries[w->at].bytes - w->done);
    TN_TRY(w->sink(w->ctx, bytes, n, err));
    size_t all = w->entries[w->at].bytes;
    w->done += n;
    if (w->done < all) return TERN_OK;
    w->at++;
    w->done = 0;
    return fill(w, tn_round_up(all, ALIGN) - all, err);
}

void tn_gguf_put_end(const TnGgufWriter *w) {
    TN_CHECK(w->sink && w->at == w->n_entries);
}
