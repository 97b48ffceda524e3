/* Reads the container: head, keys, tensor table. Every count is compared with the bytes left before anything
 * is allocated, every size is computed with checked arithmetic, and tensors must not leave the file or
 * overlap. */
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "runtime/base/filekind.h"
#include "runtime/base/hash.h"
#include "runtime/base/reader.h"

#define NAME_MAX_BYTES 255 /* of a tensor name; ggml allows 63 */
#define KEY_MAX_BYTES  65535
#define COUNT_MAX      (1 << 17) /* keys, tensors: limits memory for a large file of tiny entries */

static const struct {
    const char *name;
    size_t bytes;
} types[TN_GGUF_TYPES] = {
    [TN_GGUF_U8] = {"u8", 1},       [TN_GGUF_I8] = {"i8", 1},     [TN_GGUF_U16] = {"u16", 2},
    [TN_GGUF_I16] = {"i16", 2},     [TN_GGUF_U32] = {"u32", 4},   [TN_GGUF_I32] = {"i32", 4},
    [TN_GGUF_F32] = {"f32", 4},     [TN_GGUF_BOOL] = {"bool", 1}, [TN_GGUF_STRING] = {"string", 0},
    [TN_GGUF_ARRAY] = {"array", 0}, [TN_GGUF_U64] = {"u64", 8},   [TN_GGUF_I64] = {"i64", 8},
    [TN_GGUF_F64] = {"f64", 8},
};
const char *tn_gguf_type_name(TnGgufType t) {
    return types[t].name;
}
size_t tn_gguf_type_bytes(TnGgufType t) {
    return types[t].bytes;
}

typedef struct Loader {
    TnGguf *g;
    TnReader r;
    const TnGguf *first; /* the first part, if this is another; else NULL */
    TernError *err;
} Loader;

static TernStatus cut(Loader *l, const char *what) {
    return tn_fail(l->err, TERN_ERR_INPUT, "%s: the file ends at byte %zu inside %s", l->g->path, l->r.size,
                   what);
}

/* Reads a length-prefixed string; the bytes stay in the file. */
static TernStatus read_string(Loader *l, const char *what, size_t max, const uint8_t **out, uint64_t *out_n) {
    uint64_t n;
    if (!tn_read_u64(&l->r, &n)) return cut(l, what);
    if (n > tn_left(&l->r))
        return tn_fail(l->err, TERN_ERR_INPUT,
                       "%s: %s is %llu bytes long, but %zu bytes are left in the file", l->g->path, what,
                       (unsigned long long)n, tn_left(&l->r));
    if (n > max)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: %s is %llu bytes long, expected at most %zu", l->g->path,
                       what, (unsigned long long)n, max);
    *out = tn_read(&l->r, n);
    *out_n = n;
    return TERN_OK;
}

/* Names are copied, NUL-terminated; a NUL or control byte inside one is refused. */
static TernStatus read_name(Loader *l, const char *what, size_t max, const char **out) {
    const uint8_t *p;
    uint64_t n;
    TN_TRY(read_string(l, what, max, &p, &n));
    if (n == 0) return tn_fail(l->err, TERN_ERR_INPUT, "%s: %s is empty", l->g->path, what);
    for (uint64_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '"' || p[i] == '\\')
            return tn_fail(l->err, TERN_ERR_INPUT,
                           "%s: %s has the byte 0x%02x at %llu, expected printable text", l->g->path, what,
                           p[i], (unsigned long long)i);
    *out = tn_strndup(&l->g->arena, (const char *)p, n);
    return TERN_OK;
}

static TernStatus read_array(Loader *l, TnGgufKey *k) {
    uint32_t elem;
    if (!tn_read_u32(&l->r, &elem) || !tn_read_u64(&l->r, &k->n)) return cut(l, k->name);
    if (elem >= TN_GGUF_TYPES || elem == TN_GGUF_ARRAY)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: %s is an array of type %u, expected 0 to 12 without 9",
                       l->g->path, k->name, elem);
    k->elem = (TnGgufType)elem;
    k->data = l->r.base + l->r.pos;
    size_t least = k->elem == TN_GGUF_STRING ? 8 : types[k->elem].bytes;
    if (k->n > tn_left(&l->r) / least)
        return tn_fail(l->err, TERN_ERR_INPUT,
                       "%s: %s has %llu elements, more than the %zu bytes left in the file hold", l->g->path,
                       k->name, (unsigned long long)k->n, tn_left(&l->r));
    if (k->elem != TN_GGUF_STRING) {
        (void)tn_read(&l->r, k->n * least);
        return TERN_OK;
    }
    for (uint64_t i = 0; i < k->n; i++) {
        const uint8_t *p;
        uint64_t n;
        TN_TRY(read_string(l, k->name, SIZE_MAX, &p, &n));
    }
    return TERN_OK;
}

static TernStatus read_key(Loader *l, TnGgufKey *k) {
    uint32_t type;
    TN_TRY(read_name(l, "a key's name", KEY_MAX_BYTES, &k->name));
    if (!tn_read_u32(&l->r, &type)) return cut(l, k->name);
    if (type >= TN_GGUF_TYPES)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: %s has value type %u, expected 0 to 12", l->g->path,
                       k->name, type);
    k->type = (TnGgufType)type;
    k->n = 1;
    if (k->type == TN_GGUF_ARRAY) return read_array(l, k);
    if (k->type == TN_GGUF_STRING) return read_string(l, k->name, SIZE_MAX, &k->data, &k->n);
    k->data = tn_read(&l->r, types[type].bytes);
    if (!k->data) return cut(l, k->name);
    if (k->type == TN_GGUF_BOOL && *k->data > 1)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: %s is a bool of value %u, expected 0 or 1", l->g->path,
                       k->name, *k->data);
    return TERN_OK;
}

static TernStatus read_tensor(Loader *l, TnGgufTensor *t) {
    TN_TRY(read_name(l, "a tensor's name", NAME_MAX_BYTES, &t->name));
    if (!tn_read_u32(&l->r, &t->rank)) return cut(l, t->name);
    if (t->rank < 1 || t->rank > 4)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensor %s has %u dimensions, expected 1 to 4", l->g->path,
                       t->name, t->rank);
    for (uint32_t i = 0; i < 4; i++) t->ne[i] = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!tn_read_u64(&l->r, &t->ne[i])) return cut(l, t->name);
        if (t->ne[i] < 1)
            return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensor %s has dimension %u of 0, expected at least 1",
                           l->g->path, t->name, i);
    }
    if (!tn_read_u32(&l->r, &t->type) || !tn_read_u64(&l->r, &t->offset)) return cut(l, t->name);
    return TERN_OK;
}

/* Checks where the last tensor ends, so that the message for an incomplete download comes first and names no
 * tensor. */
static TernStatus check_length(Loader *l, size_t data, size_t align) {
    TnGguf *g = l->g;
    size_t end = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        TnGgufTensor *t = &g->tensors[i];
        size_t e;
        if (t->offset % align || !tn_add(t->offset, t->bytes, &e) || !tn_add(e, data, &e) ||
            e > (size_t)1 << 50)
            return TERN_OK;
        if (e > end) end = e;
    }
    if (end <= g->file.size) return TERN_OK;
    return tn_fail(l->err, TERN_ERR_INPUT,
                   "%s: the file has %zu bytes, its tensors need %zu: the download was cut short", g->path,
                   g->file.size, end);
}

static int by_offset(const void *a, const void *b) {
    const TnGgufTensor *x = *(TnGgufTensor *const *)a, *y = *(TnGgufTensor *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Turns offsets from the start of the data into pointers into the file, and checks them. */
static TernStatus place_tensors(Loader *l, size_t data, size_t align) {
    TnGguf *g = l->g;
    TnGgufTensor **order = tn_alloc_array(&g->arena, g->n_tensors, sizeof *order);
    for (size_t i = 0; i < g->n_tensors; i++) {
        TnGgufTensor *t = order[i] = &g->tensors[i];
        if (t->offset % align)
            return tn_fail(l->err, TERN_ERR_INPUT,
                           "%s: tensor %s starts at offset %llu, expected a multiple of %zu", g->path,
                           t->name, (unsigned long long)t->offset, align);
        if (!tn_range_ok(t->offset, t->bytes, g->file.size - data))
            return tn_fail(
                l->err, TERN_ERR_INPUT,
                "%s: tensor %s needs %zu bytes at offset %llu, but the file has %zu bytes of tensor data",
                g->path, t->name, t->bytes, (unsigned long long)t->offset, g->file.size - data);
        t->offset += data;
        t->data = g->file.data + t->offset;
    }
    qsort(order, g->n_tensors, sizeof *order, by_offset);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes)
            return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensors %s and %s overlap at byte %llu", g->path,
                           order[i - 1]->name, order[i]->name, (unsigned long long)order[i]->offset);
    return TERN_OK;
}

static TernStatus read_counts(Loader *l, uint64_t *n_keys, uint64_t *n_tensors) {
    const char *path = l->g->path;
    const uint8_t *magic = tn_read(&l->r, 4);
    uint32_t version;
    if (!magic || memcmp(magic, "GGUF", 4) != 0) {
        TernStatus st = tn_file_kind_refuse(tn_file_kind(l->r.base, l->r.size), "a GGUF model", l->err);
        if (st != TERN_OK) return tn_fail_in(l->err, st, "%s", path);
    }
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: not a GGUF file: it does not begin with GGUF", path);
    if (!tn_read_u32(&l->r, &version)) return cut(l, "the version");
    if (version && (version & 0xffff) == 0)
        return tn_fail(l->err, TERN_ERR_UNSUPPORTED,
                       "%s: GGUF version 0x%08x: a big-endian file, expected little-endian", path, version);
    if (version < 2 || version > 3)
        return tn_fail(l->err, TERN_ERR_UNSUPPORTED, "%s: GGUF version %u, expected 2 or 3", path, version);
    if (!tn_read_u64(&l->r, n_tensors) || !tn_read_u64(&l->r, n_keys)) return cut(l, "the counts");
    /* the least a key (8 length, 1 name, 4 type, 1 value) and a tensor (8, 1, 4, 8, 4, 8) can take */
    if (*n_keys > tn_left(&l->r) / 14)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: %llu keys do not fit in a file of %zu bytes", path,
                       (unsigned long long)*n_keys, l->r.size);
    if (*n_tensors > tn_left(&l->r) / 33)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: %llu tensors do not fit in a file of %zu bytes", path,
                       (unsigned long long)*n_tensors, l->r.size);
    if (*n_keys > COUNT_MAX || *n_tensors > COUNT_MAX)
        return tn_fail(l->err, TERN_ERR_UNSUPPORTED,
                       "%s: %llu keys and %llu tensors, expected at most %d of each", path,
                       (unsigned long long)*n_keys, (unsigned long long)*n_tensors, COUNT_MAX);
    return TERN_OK;
}

/* Keys that decide what types of tensors mean; only the first part of a model has them. */
static const char *const of_whole[] = {"general.file_type", "general.quantization_version"};
static void take_keys(Loader *l) {
    for (size_t i = 0; l->first && i < TN_COUNT(of_whole); i++) {
        const TnGgufKey *k = tn_gguf_key(l->first, of_whole[i]);
        if (!k || tn_map_get(&l->g->key_map, k->name, strlen(k->name)) != TN_MAP_NONE) continue;
        (void)tn_map_set(&l->g->key_map, k->name, strlen(k->name), (uint32_t)l->g->n_keys);
        l->g->keys[l->g->n_keys++] = *k;
    }
}

static TernStatus load(Loader *l, bool vocab_only) {
    TnGguf *g = l->g;
    uint64_t n_keys = 0, n_tensors = 0;
    TN_TRY(read_counts(l, &n_keys, &n_tensors));
    g->keys = tn_alloc_array(&g->arena, n_keys + TN_COUNT(of_whole), sizeof *g->keys);
    for (; g->n_keys < n_keys; g->n_keys++) {
        TnGgufKey *k = &g->keys[g->n_keys];
        TN_TRY(read_key(l, k));
        if (tn_map_set(&g->key_map, k->name, strlen(k->name), (uint32_t)g->n_keys) != TN_MAP_NONE)
            return tn_fail(l->err, TERN_ERR_INPUT, "%s: the key %s is given twice", g->path, k->name);
    }
    take_keys(l);
    g->tensors = tn_alloc_array(&g->arena, n_tensors, sizeof *g->tensors);
    for (; g->n_tensors < n_tensors; g->n_tensors++) {
        TnGgufTensor *t = &g->tensors[g->n_tensors];
        TN_TRY(read_tensor(l, t));
        if (tn_map_set(&g->tensor_map, t->name, strlen(t->name), (uint32_t)g->n_tensors) != TN_MAP_NONE)
            return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensor %s is given twice", g->path, t->name);
    }
    g->table_hash = tn_hash64(g->file.data, l->r.pos);

    uint64_t align = 32;
    const TnGgufKey *k = tn_gguf_key(g, "general.alignment");
    if (k && k->type != TN_GGUF_U32)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: general.alignment is of type %s, expected u32", g->path,
                       types[k->type].name);
    TN_TRY(tn_gguf_uint(g, "general.alignment", false, 1, 65536, &align, l->err));
    if (align & (align - 1))
        return tn_fail(l->err, TERN_ERR_INPUT,
                       "%s: general.alignment is %llu, expected a power of two up to 65536", g->path,
                       (unsigned long long)align);
    if (n_tensors == 0) return TERN_OK;
    size_t data;
    bool whole = tn_align_up(l->r.pos, align, &data) && data <= g->file.size;
    if (vocab_only) { /* a report names the types even if tensors are faulty */
        TernError ignored;
        if (whole) (void)tn_gguf_size_tensors(g, data, align, &ignored);
        return TERN_OK;
    }
    if (!whole) return cut(l, "the tensor table");
    TN_TRY(tn_gguf_size_tensors(g, data, align, l->err));
    TN_TRY(check_length(l, data, align));
    return place_tensors(l, data, align);
}

static TernStatus open_over(TnFile file, bool owned, const char *name, bool vocab_only, const TnGguf *first,
                            TnGguf **out, TernError *err) {
    TnGguf *g = tn_xcalloc(1, sizeof *g);
    g->path = tn_strdup(&g->arena, name);
    g->absent = tn_xcalloc(1, sizeof *g->absent);
    Loader l = {g, tn_reader(file.data, file.size), first, err};
    g->file = file;
    TernStatus st = load(&l, vocab_only);
    if (!owned) g->file.data = NULL; /* tensors keep their pointers; the bytes belong to the caller */
    if (st != TERN_OK) {
        tn_gguf_close(g);
        return st;
    }
    *out = g;
    return TERN_OK;
}

TernStatus tn_gguf_open_mapped(TnFile file, const char *name, bool vocab_only, TnGguf **out, TernError *err) {
    return open_over(file, true, name, vocab_only, NULL, out, err);
}

TernStatus tn_gguf_open_part(const char *path, bool vocab_only, const TnGguf *first, TnGguf **out,
                             TernError *err) {
    TnFile file;
    TN_TRY(tn_file_map(path, &file, err));
    return open_over(file, true, path, vocab_only, first, out, err);
}

TernStatus tn_gguf_open_memory(const void *bytes, size_t n, const char *name, bool vocab_only, TnGguf **out,
                               TernError *err) {
    TnFile file = {.data = bytes, .size = n};
    return open_over(file, false, name, vocab_only, NULL, out, err);
}

void tn_gguf_close(TnGguf *g) {
    if (!g) return;
    tn_map_free(&g->key_map);
    tn_map_free(&g->tensor_map);
    if (g->file.data) tn_file_unmap(&g->file);
    for (size_t i = 0; i < g->n_parts; i++) tn_gguf_close(g->parts[i]);
    free(g->parts);
    free(g->vocab);
    tn_map_free(&g->absent->map);
    tn_arena_free(&g->absent->arena);
    free(g->absent->names);
    free(g->absent);
    tn_arena_free(&g->arena);
    free(g);
}

const TnGgufTensor *tn_gguf_tensor(const TnGguf *g, const char *name) {
    uint32_t i = tn_map_get(&g->tensor_map, name, strlen(name));
    return i == TN_MAP_NONE ? NULL : &g->tensors[i];
}

static const void *find_bytes(void *ctx, const char *name, size_t *out_bytes) {
    const TnGgufTensor *t = tn_gguf_tensor(ctx, name);
    if (!t) return NULL;
    *out_bytes = t->bytes;
    return t->data;
}

static void rest(void *ctx) {
    const TnGguf *g = ctx;
    tn_os_advise_dontneed(g->file.data, g->file.size);
    for (size_t i = 0; i < g->n_parts; i++) rest(g->parts[i]);
}

TnWeights tn_gguf_weights(const TnGguf *g) {
    if (!g) return (TnWeights){0};
    return (TnWeights){.find = find_bytes, .ctx = (void *)g, .rest = g->file.data ? rest : NULL};
}
