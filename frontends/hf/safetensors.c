/* A file of weights in the format safetensors:
 *
 *   u64      bytes of the head, little-endian
 *   head     JSON: {"name": {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [begin, end]}, .., "__metadata__": {..}},
 *            perhaps with blanks at its end
 *   data     offsets count from here; tensors follow each other without gaps and without alignment
 *
 * The format demands that every byte of the data belong to one tensor. That is checked, so a file that was cut short or had
 * something appended is refused, and so is a tensor whose offsets disagree with its shape. */
#include <stdlib.h>
#include <string.h>
#include "frontends/hf/hf.h"
#include "frontends/json.h"
#include "runtime/base/filekind.h"
#include "runtime/base/reader.h"

#define HEAD_MAX    100000000 /* the limit of the format's own reader */
#define TENSORS_MAX (1 << 17)
#define NAME_MOST   255

static const TnSafeType types[] = {
    {"F32", TN_SAFE_F32, 4},       {"F16", TN_SAFE_F16, 2},       {"BF16", TN_SAFE_BF16, 2},
    {"U8", TN_SAFE_U8, 1},         {"I8", TN_SAFE_OTHER, 1},      {"BOOL", TN_SAFE_OTHER, 1},
    {"U16", TN_SAFE_OTHER, 2},     {"I16", TN_SAFE_OTHER, 2},     {"U32", TN_SAFE_OTHER, 4},
    {"I32", TN_SAFE_OTHER, 4},     {"U64", TN_SAFE_OTHER, 8},     {"I64", TN_SAFE_OTHER, 8},
    {"F64", TN_SAFE_OTHER, 8},     {"F8_E4M3", TN_SAFE_OTHER, 1}, {"F8_E5M2", TN_SAFE_OTHER, 1},
    {"F8_E8M0", TN_SAFE_OTHER, 1},
};

typedef struct Loader {
    TnSafe *s;
    const uint8_t *data;
    size_t data_bytes;
    TernError *err;
} Loader;

static TernStatus bad(const Loader *l, const char *tensor, const char *what) {
    return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensor %s: %s", l->s->path, tensor, what);
}

/* A member that counts something. */
static bool count(const json_t *v, uint64_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static TernStatus read_type(const Loader *l, TnSafeTensor *t, const json_t *entry) {
    const char *says = json_string_value(json_object_get(entry, "dtype"));
    if (!says) return bad(l, t->name, "no text \"dtype\" says its type");
    for (size_t i = 0; i < TN_COUNT(types); i++)
        if (strcmp(says, types[i].name) == 0) {
            t->type = &types[i];
            return TERN_OK;
        }
    return tn_fail(l->err, TERN_ERR_UNSUPPORTED,
                   "%s: tensor %s is of type '%s', expected F32, F16, BF16, U8 or another of the format",
                   l->s->path, t->name, says);
}

/* Also computes the bytes that the shape needs. */
static TernStatus read_shape(const Loader *l, TnSafeTensor *t, const json_t *entry) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) return bad(l, t->name, "no array \"shape\" says its dimensions");
    if (json_array_size(shape) > TN_SAFE_RANK)
        return tn_fail(l->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has %zu dimensions, expected at most %d",
                       l->s->path, t->name, json_array_size(shape), TN_SAFE_RANK);
    t->rank = (uint32_t)json_array_size(shape);
    t->bytes = t->type->bytes;
    for (uint32_t i = 0; i < TN_SAFE_RANK; i++) t->dim[i] = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!count(json_array_get(shape, i), &t->dim[i]))
            return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensor %s: dimension %u is not a count", l->s->path,
                           t->name, i);
        if (!tn_mul(t->bytes, t->dim[i], &t->bytes))
            return bad(l, t->name, "its dimensions multiply to more than any file holds");
    }
    return TERN_OK;
}

static TernStatus read_place(const Loader *l, TnSafeTensor *t, const json_t *entry) {
    const json_t *place = json_object_get(entry, "data_offsets");
    uint64_t begin, end;
    if (!json_is_array(place) || json_array_size(place) != 2 || !count(json_array_get(place, 0), &begin) ||
        !count(json_array_get(place, 1), &end))
        return bad(l, t->name, "no array \"data_offsets\" of two counts says where it lies");
    if (begin > end)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensor %s begins at offset %llu and ends at %llu",
                       l->s->path, t->name, (unsigned long long)begin, (unsigned long long)end);
    if (end - begin != t->bytes)
        return tn_fail(l->err, TERN_ERR_INPUT,
                       "%s: tensor %s has %llu bytes, expected %zu for its shape in %s", l->s->path, t->name,
                       (unsigned long long)(end - begin), t->bytes, t->type->name);
    if (!tn_range_ok(begin, t->bytes, l->data_bytes))
        return tn_fail(l->err, TERN_ERR_INPUT,
                       "%s: tensor %s ends at offset %llu, but the file has %zu bytes of data: "
                       "the download was cut short",
                       l->s->path, t->name, (unsigned long long)end, l->data_bytes);
    t->data = l->data + begin;
    return TERN_OK;
}

static TernStatus read_tensor(const Loader *l, TnSafeTensor *t, const char *name, const json_t *entry) {
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MOST)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: the name of a tensor is %zu bytes long, expected 1 to %d",
                       l->s->path, n, NAME_MOST);
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f || name[i] == '"' || name[i] == '\\')
            return tn_fail(l->err, TERN_ERR_INPUT,
                           "%s: the name of a tensor has the byte 0x%02x at %zu, expected printable text",
                           l->s->path, (uint8_t)name[i], i);
    t->name = tn_strdup(&l->s->arena, name);
    if (!json_is_object(entry)) return bad(l, t->name, "its entry is not an object");
    TN_TRY(read_type(l, t, entry));
    TN_TRY(read_shape(l, t, entry));
    return read_place(l, t, entry);
}

static int by_place(const void *a, const void *b) {
    const TnSafeTensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* an empty one comes first */
    return strcmp(x->name, y->name);
}

/* Every byte belongs to one tensor. */
static TernStatus check_cover(const Loader *l) {
    const TnSafe *s = l->s;
    const uint8_t *at = l->data;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const TnSafeTensor *t = &s->tensors[i];
        if (t->data < at)
            return tn_fail(l->err, TERN_ERR_INPUT, "%s: tensors %s and %s overlap at offset %zu", s->path,
                           s->tensors[i - 1].name, t->name, (size_t)(t->data - l->data));
        if (t->data > at)
            return tn_fail(l->err, TERN_ERR_INPUT,
                           "%s: no tensor has the %zu bytes at offset %zu, before tensor %s", s->path,
                           (size_t)(t->data - at), (size_t)(at - l->data), t->name);
        at += t->bytes;
    }
    size_t rest = l->data_bytes - (size_t)(at - l->data);
    if (rest)
        return tn_fail(l->err, TERN_ERR_INPUT, "%s: no tensor has the last %zu bytes of the file", s->path,
                       rest);
    return TERN_OK;
}

static TernStatus read_tensors(Loader *l, json_t *head) {
    TnSafe *s = l->s;
    const char *name;
    json_t *entry;
    if (json_object_size(head) > TENSORS_MAX)
        return tn_fail(l->err, TERN_ERR_UNSUPPORTED, "%s: %zu tensors, expected at most %d", s->path,
                       json_object_size(head), TENSORS_MAX);
    s->tensors = tn_alloc_array(&s->arena, json_object_size(head) + 1, sizeof *s->tensors);
    json_object_foreach(head, name, entry) {
        if (strcmp(name, "__metadata__") == 0) continue;
        TN_TRY(read_tensor(l, &s->tensors[s->n_tensors], name, entry));
        s->n_tensors++;
    }
    if (s->n_tensors == 0) return tn_fail(l->err, TERN_ERR_INPUT, "%s: the file has no tensors", s->path);
    qsort(s->tensors, s->n_tensors, sizeof *s->tensors, by_place);
    for (size_t i = 0; i < s->n_tensors; i++)
        (void)tn_map_set(&s->map, s->tensors[i].name, strlen(s->tensors[i].name), (uint32_t)i);
    return check_cover(l);
}

static TernStatus load(TnSafe *s, TernError *err) {
    TnReader r = tn_reader(s->file.data, s->file.size);
    uint64_t n;
    if (!tn_read_u64(&r, &n))
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: the file has %zu bytes, expected at least the 8 of a safetensors head", s->path,
                       s->file.size);
    bool begins = tn_left(&r) && r.base[8] == '{';
    if (!begins) { /* another format, or a page that a server sent instead */
        TernStatus st = tn_file_kind_refuse(tn_file_kind(s->file.data, s->file.size), "safetensors", err);
        if (st != TERN_OK) return tn_fail_in(err, st, "%s", s->path);
    }
    if (n > tn_left(&r))
        return tn_fail(err, TERN_ERR_INPUT, "%s: the head is %llu bytes long, but %zu are left in the file",
                       s->path, (unsigned long long)n, tn_left(&r));
    if (n > HEAD_MAX)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: the head is %llu bytes long, expected at most %d",
                       s->path, (unsigned long long)n, HEAD_MAX);
    if (!begins || n < 2)
        return tn_fail(err, TERN_ERR_INPUT, "%s: the head does not begin with {: not a safetensors file",
                       s->path);
    const char *text = tn_read(&r, n);
    Loader l = {s, r.base + r.pos, tn_left(&r), err};
    json_t *head;
    TN_TRY(tn_hf_json(text, n, s->path, &head, err));
    TernStatus st = read_tensors(&l, head);
    json_decref(head);
    return st;
}

static TernStatus open_over(TnFile file, bool owned, const char *name, TnSafe **out, TernError *err) {
    TnSafe *s = tn_xcalloc(1, sizeof *s);
    s->path = tn_strdup(&s->arena, name);
    s->file = file;
    s->owned = owned;
    TernStatus st = load(s, err);
    if (st != TERN_OK) {
        tn_safe_close(s);
        return st;
    }
    *out = s;
    return TERN_OK;
}

TernStatus tn_safe_open(const char *path, TnSafe **out, TernError *err) {
    TnFile file;
    TN_TRY(tn_file_map(path, &file, err));
    return open_over(file, true, path, out, err);
}

TernStatus tn_safe_open_memory(const void *bytes, size_t n, const char *name, TnSafe **out, TernError *err) {
    TnFile file = {.data = bytes, .size = n};
    return open_over(file, false, name, out, err);
}

void tn_safe_close(TnSafe *s) {
    if (!s) return;
    if (s->owned) tn_file_unmap(&s->file);
    tn_map_free(&s->map);
    tn_arena_free(&s->arena);
    free(s);
}

const TnSafeTensor *tn_safe_tensor(const TnSafe *s, const char *name) {
    uint32_t i = tn_map_get(&s->map, name, strlen(name));
    return i == TN_MAP_NONE ? NULL : &s->tensors[i];
}
