#include "support/gguf_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "support/gguf_blocks.h"

typedef struct Key {
    const char *name;
    uint32_t type, elem;
    uint64_t n;   /* of an array */
    bool counted; /* array: elem and n are written before the bytes */
    bool strings; /* the bytes are length-prefixed strings, whose lengths are marks */
    TnBuf value;
} Key;

typedef struct Tensor {
    const char *name;
    uint32_t type, rank;
    uint64_t ne[4], offset;
    bool placed; /* offset was given */
    size_t bytes;
    TnGwFill *fill;
    void *ctx;
    uint8_t *data; /* instead of fill */
} Tensor;

struct TnGw {
    TnArena arena;
    uint32_t version, align;
    Key *keys;
    size_t n_keys, cap_keys;
    Tensor *tensors;
    size_t n_tensors, cap_tensors;
    TnGwMark *marks;
    size_t n_marks, cap_marks;
};

TnGw *tn_gw_create(void) {
    TnGw *w = tn_xcalloc(1, sizeof *w);
    w->version = 3;
    w->align = 32;
    return w;
}

void tn_gw_destroy(TnGw *w) {
    if (!w) return;
    for (size_t i = 0; i < w->n_keys; i++) tn_buf_free(&w->keys[i].value);
    for (size_t i = 0; i < w->n_tensors; i++) free(w->tensors[i].data);
    free(w->keys);
    free(w->tensors);
    free(w->marks);
    tn_arena_free(&w->arena);
    free(w);
}

void tn_gw_version(TnGw *w, uint32_t version) {
    w->version = version;
}
void tn_gw_alignment(TnGw *w, uint32_t align) {
    w->align = align;
}

static Key *find_key(TnGw *w, const char *name) {
    for (size_t i = 0; i < w->n_keys; i++)
        if (strcmp(w->keys[i].name, name) == 0) return &w->keys[i];
    return NULL;
}
static Tensor *find_tensor(TnGw *w, const char *name) {
    for (size_t i = 0; i < w->n_tensors; i++)
        if (strcmp(w->tensors[i].name, name) == 0) return &w->tensors[i];
    return NULL;
}

static Key *set_key(TnGw *w, const char *name, uint32_t type, const void *value, size_t bytes) {
    Key *k = find_key(w, name);
    if (k) {
        tn_buf_free(&k->value);
    } else {
        TN_PUSH(w->keys, w->n_keys, w->cap_keys, (Key){0});
        k = &w->keys[w->n_keys - 1];
    }
    *k = (Key){.name = tn_strdup(&w->arena, name), .type = type};
    tn_buf_put(&k->value, value, bytes);
    return k;
}

void tn_gw_raw(TnGw *w, const char *key, uint32_t type, const void *value, size_t bytes) {
    set_key(w, key, type, value, bytes);
}
void tn_gw_u32(TnGw *w, const char *key, uint32_t v) {
    set_key(w, key, GW_U32, &v, sizeof v);
}
void tn_gw_u64(TnGw *w, const char *key, uint64_t v) {
    set_key(w, key, GW_U64, &v, sizeof v);
}
void tn_gw_i32(TnGw *w, const char *key, int32_t v) {
    set_key(w, key, GW_I32, &v, sizeof v);
}
void tn_gw_f32(TnGw *w, const char *key, float v) {
    set_key(w, key, GW_F32, &v, sizeof v);
}
void tn_gw_bool(TnGw *w, const char *key, uint8_t v) {
    set_key(w, key, GW_BOOL, &v, sizeof v);
}

static void put_string(TnBuf *b, const char *s) {
    uint64_t n = strlen(s);
    tn_buf_put(b, &n, sizeof n);
    tn_buf_put(b, s, n);
}

void tn_gw_str(TnGw *w, const char *key, const char *v) {
    Key *k = set_key(w, key, GW_STR, NULL, 0);
    put_string(&k->value, v);
    k->strings = true;
}

void tn_gw_strs(TnGw *w, const char *key, const char *const *v, size_t n) {
    Key *k = set_key(w, key, GW_ARRAY, NULL, 0);
    k->elem = GW_STR;
    k->n = n;
    k->counted = k->strings = true;
    for (size_t i = 0; i < n; i++) put_string(&k->value, v[i]);
}

void tn_gw_array(TnGw *w, const char *key, uint32_t elem, const void *values, size_t n, size_t elem_bytes) {
    Key *k = set_key(w, key, GW_ARRAY, values, n * elem_bytes);
    k->elem = elem;
    k->n = n;
    k->counted = true;
}

void tn_gw_twice(TnGw *w, const char *name) {
    Key *k = find_key(w, name);
    if (k) {
        Key copy = *k;
        copy.value = (TnBuf){0};
        tn_buf_put(&copy.value, k->value.data, k->value.len);
        TN_PUSH(w->keys, w->n_keys, w->cap_keys, copy);
        return;
    }
    Tensor copy = *find_tensor(w, name);
    copy.data = NULL;
    TN_PUSH(w->tensors, w->n_tensors, w->cap_tensors, copy);
}

void tn_gw_rename(TnGw *w, const char *name, const char *to) {
    Key *k = find_key(w, name);
    Tensor *t = find_tensor(w, name);
    if (k) k->name = tn_strdup(&w->arena, to);
    if (t) t->name = tn_strdup(&w->arena, to);
}

void tn_gw_drop(TnGw *w, const char *name) {
    Key *k = find_key(w, name);
    Tensor *t = find_tensor(w, name);
    if (k) {
        tn_buf_free(&k->value);
        memmove(k, k + 1, (size_t)(w->keys + --w->n_keys - k) * sizeof *k);
    }
    if (t) {
        free(t->data);
        memmove(t, t + 1, (size_t)(w->tensors + --w->n_tensors - t) * sizeof *t);
    }
}

static size_t round_up(size_t n, size_t align) {
    return (n + align - 1) / align * align;
}

size_t tn_gw_tensor_bytes(uint32_t type, uint32_t rank, const uint64_t *ne) {
    size_t n = 1;
    for (uint32_t i = 0; i < rank; i++) n *= ne[i];
    switch (type) {
    case GW_T_F32:
        return 4 * n;
    case GW_T_F16:
    case GW_T_BF16:
        return 2 * n;
    case GW_T_Q8_0:
        return n / 32 * 34;
    case GW_T_Q6_K:
        return n / 256 * 210;
    case GW_T_TQ1_0:
        return n / 256 * 54;
    case GW_T_TQ2_0:
        return n / 256 * 66;
    case GW_T_I2_S:
        return n / 4 + 32;
    case GW_T_I8_S:
        return n + 32;
    case GW_T_TL1:
        return n / 4 + 32;
    case GW_T_TL2:
        return round_up((ne[0] - 256) * ne[1] / 3 * 5 / 8 + 64 * ne[1], 32) + 32;
    case GW_T_IQ1_BN:
        return n / ne[0] * 2 + n / 64 * 13;
    case GW_T_IQ2_BN:
    case GW_T_IQ2_BN_R4:
        return n / ne[0] * 4 + n / 4;
    case GW_T_Q2_0:
        return n / 64 * 18;
    case GW_T_Q2_0_128:
    case GW_T_PQ2_0:
        return n / 128 * 34;
    case GW_T_PTQ1_0:
        return n / 128 * 28;
    default:
        break;
    }
    TnGbBlock b = tn_gb_block(type);
    return b.elems ? n / b.elems * b.bytes : n;
}

void tn_gw_tensor(TnGw *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne, TnGwFill *fill,
                  void *ctx) {
    Tensor *t = find_tensor(w, name);
    if (t) {
        free(t->data);
    } else {
        TN_PUSH(w->tensors, w->n_tensors, w->cap_tensors, (Tensor){0});
        t = &w->tensors[w->n_tensors - 1];
    }
    *t = (Tensor){.name = tn_strdup(&w->arena, name), .type = type, .rank = rank, .fill = fill, .ctx = ctx};
    for (uint32_t i = 0; i < rank && i < 4; i++) t->ne[i] = ne[i];
    t->bytes = tn_gw_tensor_bytes(type, rank, ne);
}

void tn_gw_data(TnGw *w, const char *name, const void *bytes, size_t n) {
    Tensor *t = find_tensor(w, name);
    free(t->data);
    t->data = tn_xcalloc(n, 1);
    memcpy(t->data, bytes, n);
    t->bytes = n;
}

void tn_gw_offset(TnGw *w, const char *name, uint64_t offset) {
    Tensor *t = find_tensor(w, name);
    t->offset = offset;
    t->placed = true;
}

void tn_gw_claim(TnGw *w, const char *name, uint32_t type, uint32_t rank, const uint64_t *ne) {
    Tensor *t = find_tensor(w, name);
    t->type = type;
    t->rank = rank;
    for (uint32_t i = 0; i < rank && i < 4; i++) t->ne[i] = ne[i];
}

/* ---- writing */

static void mark(TnGw *w, const TnBuf *b, uint32_t bytes, const char *what, const char *name) {
    TnGwMark m = {b->len, bytes, tn_sprintf(&w->arena, "%s of %s", what, name)};
    TN_PUSH(w->marks, w->n_marks, w->cap_marks, m);
}
static void put_u32(TnGw *w, TnBuf *b, uint32_t v, const char *what, const char *name) {
    mark(w, b, 4, what, name);
    tn_buf_put(b, &v, 4);
}
static void put_u64(TnGw *w, TnBuf *b, uint64_t v, const char *what, const char *name) {
    mark(w, b, 8, what, name);
    tn_buf_put(b, &v, 8);
}
static void put_name(TnGw *w, TnBuf *b, const char *name) {
    put_u64(w, b, strlen(name), "name length", name);
    tn_buf_puts(b, name);
}

static void put_key(TnGw *w, TnBuf *b, const Key *k) {
    put_name(w, b, k->name);
    put_u32(w, b, k->type, "type", k->name);
    if (k->counted) {
        put_u32(w, b, k->elem, "element type", k->name);
        put_u64(w, b, k->n, "count", k->name);
    }
    size_t start = b->len;
    tn_buf_put(b, k->value.data, k->value.len);
    if (!k->strings) return;
    size_t n = k->counted ? (size_t)k->n : 1, at = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t len;
        memcpy(&len, k->value.data + at, 8);
        if (i < 2 || i + 1 == n) {
            mark(w, b, 8, "string length", k->name);
            w->marks[w->n_marks - 1].at = start + at;
        }
        at += 8 + (size_t)len;
    }
}

/* Everything before the tensor data, padding included. */
static void put_head(TnGw *w, TnBuf *b) {
    uint64_t offset = 0;
    w->n_marks = 0;
    tn_buf_puts(b, "GGUF");
    put_u32(w, b, w->version, "version", "the file");
    put_u64(w, b, w->n_tensors, "tensor count", "the file");
    put_u64(w, b, w->n_keys, "key count", "the file");
    for (size_t i = 0; i < w->n_keys; i++) put_key(w, b, &w->keys[i]);
    for (size_t i = 0; i < w->n_tensors; i++) {
        Tensor *t = &w->tensors[i];
        put_name(w, b, t->name);
        put_u32(w, b, t->rank, "rank", t->name);
        for (uint32_t d = 0; d < t->rank && d < 4; d++) put_u64(w, b, t->ne[d], "dimension", t->name);
        bool shared = t->type == GW_T_TL2 || t->type == GW_T_Q2_0_128;
        put_u32(w, b, shared ? t->type - 1000 : t->type, "type", t->name);
        put_u64(w, b, t->placed ? t->offset : offset, "offset", t->name);
        offset += round_up(t->bytes, w->align);
    }
    if (w->n_tensors) (void)tn_buf_grow(b, round_up(b->len, w->align) - b->len);
}

static void fill(const Tensor *t, uint8_t *out) {
    if (t->data)
        memcpy(out, t->data, t->bytes);
    else if (t->fill)
        t->fill(t->ctx, t->name, out, t->bytes);
}

void tn_gw_bytes(TnGw *w, TnBuf *out, TnGwMark **marks, size_t *n_marks) {
    out->len = 0;
    put_head(w, out);
    for (size_t i = 0; i < w->n_tensors; i++)
        fill(&w->tensors[i], tn_buf_grow(out, round_up(w->tensors[i].bytes, w->align)));
    if (!marks) return;
    *n_marks = w->n_marks;
    *marks = tn_xcalloc(w->n_marks, sizeof **marks);
    memcpy(*marks, w->marks, w->n_marks * sizeof **marks);
}

bool tn_gw_file(TnGw *w, const char *path) {
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    TnBuf head = {0};
    put_head(w, &head);
    bool ok = fwrite(head.data, 1, head.len, f) == head.len;
    tn_buf_free(&head);
    for (size_t i = 0; i < w->n_tensors && ok; i++) {
        size_t n = round_up(w->tensors[i].bytes, w->align);
        uint8_t *bytes = tn_xcalloc(n, 1);
        fill(&w->tensors[i], bytes);
        ok = fwrite(bytes, 1, n, f) == n;
        free(bytes);
    }
    return fclose(f) == 0 && ok;
}
