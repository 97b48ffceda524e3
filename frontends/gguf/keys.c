/* Reads keys by type and range. GGUF writers disagree on integer widths, so a count may have any integer
 * type. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "runtime/base/nearest.h"

static void note_absent(TnGgufAbsent *a, const char *name) {
    size_t len = strlen(name);
    if (!a || tn_map_get(&a->map, name, len) != TN_MAP_NONE) return;
    const char *copy = tn_strndup(&a->arena, name, len);
    tn_map_set(&a->map, copy, len, 0);
    TN_PUSH(a->names, a->n, a->cap, copy);
}

const TnGgufKey *tn_gguf_key(const TnGguf *g, const char *name) {
    uint32_t i = tn_map_get(&g->key_map, name, strlen(name));
    if (i == TN_MAP_NONE) {
        note_absent(g->absent, name);
        return NULL;
    }
    g->keys[i].asked = true;
    return &g->keys[i];
}

static TernStatus missing(const TnGguf *g, const char *name, bool required, TernError *err) {
    return required ? tn_fail(err, TERN_ERR_INPUT, "%s: the key %s is missing", g->path, name) : TERN_OK;
}

static TernStatus wrong_type(const TnGguf *g, const TnGgufKey *k, const char *expected, TernError *err) {
    if (k->type == TN_GGUF_ARRAY)
        return tn_fail(err, TERN_ERR_INPUT, "%s: %s is an array of %s, expected %s", g->path, k->name,
                       tn_gguf_type_name(k->elem), expected);
    return tn_fail(err, TERN_ERR_INPUT, "%s: %s is of type %s, expected %s", g->path, k->name,
                   tn_gguf_type_name(k->type), expected);
}

/* An integer of any width as sign and magnitude. */
bool tn_gguf_int_at(TnGgufType type, const uint8_t *p, bool *out_negative, uint64_t *out) {
    int64_t s = 0;
    uint64_t u = 0;
    switch (type) {
    case TN_GGUF_U8:
        u = p[0];
        break;
    case TN_GGUF_I8:
        s = (int8_t)p[0];
        break;
    case TN_GGUF_U16: {
        uint16_t v;
        memcpy(&v, p, 2);
        u = v;
        break;
    }
    case TN_GGUF_I16: {
        int16_t v;
        memcpy(&v, p, 2);
        s = v;
        break;
    }
    case TN_GGUF_U32: {
        uint32_t v;
        memcpy(&v, p, 4);
        u = v;
        break;
    }
    case TN_GGUF_I32: {
        int32_t v;
        memcpy(&v, p, 4);
        s = v;
        break;
    }
    case TN_GGUF_U64:
        memcpy(&u, p, 8);
        break;
    case TN_GGUF_I64:
        memcpy(&s, p, 8);
        break;
    default:
        return false;
    }
    if (s) u = s < 0 ? 0 - (uint64_t)s : (uint64_t)s;
    *out_negative = s < 0;
    *out = u;
    return true;
}

static TernStatus out_of_range(const TnGguf *g, const char *name, bool negative, uint64_t v, uint64_t lo,
                               uint64_t hi, TernError *err) {
    if (lo == hi)
        return tn_fail(err, TERN_ERR_INPUT, "%s: %s is %s%llu, expected %llu", g->path, name,
                       negative ? "-" : "", (unsigned long long)v, (unsigned long long)lo);
    return tn_fail(err, TERN_ERR_INPUT, "%s: %s is %s%llu, expected %llu to %llu", g->path, name,
                   negative ? "-" : "", (unsigned long long)v, (unsigned long long)lo,
                   (unsigned long long)hi);
}

TernStatus tn_gguf_uint(const TnGguf *g, const char *name, bool required, uint64_t lo, uint64_t hi,
                        uint64_t *io_value, TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    if (!k) return missing(g, name, required, err);
    bool negative;
    uint64_t v;
    if (!tn_gguf_int_at(k->type, k->data, &negative, &v)) return wrong_type(g, k, "an integer", err);
    if (negative || v < lo || v > hi) return out_of_range(g, name, negative, v, lo, hi, err);
    *io_value = v;
    return TERN_OK;
}

TernStatus tn_gguf_uint_layers(const TnGguf *g, const char *name, bool required, uint64_t layers, uint64_t lo,
                               uint64_t hi, uint64_t *io_value, TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    if (!k || k->type != TN_GGUF_ARRAY) return tn_gguf_uint(g, name, required, lo, hi, io_value, err);
    if (k->n != layers)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: %s has %llu values, expected one, or one for each of %llu layers", g->path, name,
                       (unsigned long long)k->n, (unsigned long long)layers);
    for (uint64_t i = 0; i < k->n; i++) {
        bool negative;
        uint64_t v;
        if (!tn_gguf_int_at(k->elem, k->data + i * tn_gguf_type_bytes(k->elem), &negative, &v))
            return wrong_type(g, k, "integers", err);
        if (negative || v < lo || v > hi) return out_of_range(g, name, negative, v, lo, hi, err);
        if (i && v != *io_value)
            return tn_fail(err, TERN_ERR_UNSUPPORTED,
                           "%s: %s is %llu for layer 0 and %llu for layer %llu, expected one value", g->path,
                           name, (unsigned long long)*io_value, (unsigned long long)v, (unsigned long long)i);
        *io_value = v;
    }
    return TERN_OK;
}

TernStatus tn_gguf_float(const TnGguf *g, const char *name, bool required, double lo, double hi,
                         float *io_value, TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    if (!k) return missing(g, name, required, err);
    double v;
    if (k->type == TN_GGUF_F32) {
        float f;
        memcpy(&f, k->data, 4);
        v = f;
    } else if (k->type == TN_GGUF_F64) {
        memcpy(&v, k->data, 8);
    } else {
        return wrong_type(g, k, "a float", err);
    }
    if (!(v >= lo && v <= hi) && lo == hi)
        return tn_fail(err, TERN_ERR_INPUT, "%s: %s is %g, expected %g", g->path, name, v, lo);
    if (!(v >= lo && v <= hi))
        return tn_fail(err, TERN_ERR_INPUT, "%s: %s is %g, expected %g to %g", g->path, name, v, lo, hi);
    *io_value = (float)v;
    return TERN_OK;
}

TernStatus tn_gguf_bool(const TnGguf *g, const char *name, bool required, bool *io_value, TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    if (!k) return missing(g, name, required, err);
    if (k->type != TN_GGUF_BOOL) return wrong_type(g, k, "a bool", err);
    *io_value = *k->data;
    return TERN_OK;
}

TernStatus tn_gguf_bytes(const TnGguf *g, const char *name, bool required, const char **out, size_t *out_n,
                         TernError *err) {
    const TnGgufKey *k = tn_gguf_key(g, name);
    *out = NULL;
    *out_n = 0;
    if (!k) return missing(g, name, required, err);
    if (k->type != TN_GGUF_STRING) return wrong_type(g, k, "a string", err);
    *out = (const char *)k->data;
    *out_n = k->n;
    return TERN_OK;
}

TernStatus tn_gguf_string(TnGguf *g, const char *name, bool required, const char **out, TernError *err) {
    const char *s;
    size_t n;
    *out = NULL;
    TN_TRY(tn_gguf_bytes(g, name, required, &s, &n, err));
    if (!s) return TERN_OK;
    if (memchr(s, 0, n))
        return tn_fail(err, TERN_ERR_INPUT, "%s: %s holds a NUL byte, expected text", g->path, name);
    *out = tn_strndup(&g->arena, s, n);
    return TERN_OK;
}

TernStatus tn_gguf_override(TnGguf *g, const char *spec, TernError *err) {
    const char *eq = strchr(spec, '='), *colon = eq ? strchr(eq, ':') : NULL;
    if (!colon || eq == spec)
        return tn_fail(err, TERN_ERR_INPUT, "TerncSource.overrides: '%s', expected KEY=TYPE:VALUE", spec);
    TnGgufKey k = {.name = tn_strndup(&g->arena, spec, (size_t)(eq - spec)), .n = 1};
    const char *type = eq + 1, *value = colon + 1;
    size_t type_len = (size_t)(colon - type);
    uint8_t *data = tn_alloc(&g->arena, 8);
    char *end = NULL;
    /* strtod and strtoll also accept blanks, a +, 0x10 and nan */
    bool bad = !*value || *value == '+' || value[strspn(value, "0123456789+-.eE")];
    errno = 0;
    if (type_len == 3 && !memcmp(type, "int", 3)) {
        int64_t v = strtoll(value, &end, 10);
        bad |= *end != 0 || errno != 0;
        k.type = TN_GGUF_I64;
        memcpy(data, &v, 8);
    } else if (type_len == 5 && !memcmp(type, "float", 5)) {
        double v = strtod(value, &end);
        bad |= *end != 0;
        k.type = TN_GGUF_F64;
        memcpy(data, &v, 8);
    } else if (type_len == 4 && !memcmp(type, "bool", 4)) {
        bad = strcmp(value, "true") != 0 && strcmp(value, "false") != 0;
        k.type = TN_GGUF_BOOL;
        data[0] = value[0] == 't';
    } else if (type_len == 3 && !memcmp(type, "str", 3)) {
        bad = false;
        k.type = TN_GGUF_STRING;
        k.n = strlen(value);
        data = (uint8_t *)tn_strdup(&g->arena, value);
    } else {
        return tn_fail(err, TERN_ERR_INPUT,
                       "TerncSource.overrides: type '%.*s', expected int, float, bool or str", (int)type_len,
                       type);
    }
    if (bad)
        return tn_fail(err, TERN_ERR_INPUT, "TerncSource.overrides: %s: '%s' is not a value of type %.*s",
                       k.name, value, (int)type_len, type);
    if (strcmp(k.name, "general.alignment") == 0)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "TerncSource.overrides: general.alignment cannot be replaced: the file is laid out by its own");
    k.data = data;
    k.overridden = true;
    uint32_t at = tn_map_get(&g->key_map, k.name, strlen(k.name));
    if (at == TN_MAP_NONE) {
        TnGgufKey *keys = tn_alloc_array(&g->arena, g->n_keys + 1, sizeof *keys);
        memcpy(keys, g->keys, g->n_keys * sizeof *keys);
        g->keys = keys;
        at = (uint32_t)g->n_keys++;
        tn_map_set(&g->key_map, k.name, strlen(k.name), at);
    } else if (g->keys[at].overridden) {
        return tn_fail(err, TERN_ERR_INPUT, "TerncSource.overrides: %s is given twice", k.name);
    }
    g->keys[at] = k;
    return TERN_OK;
}

static TernStatus nobody_reads(const TnGguf *g, const TnGgufKey *k, TernError *err) {
    TnNearest near = {.word = k->name, .len = strlen(k->name)};
    for (size_t i = 0; i < g->n_keys; i++)
        if (g->keys[i].asked) tn_nearest_try(&near, g->keys[i].name, strlen(g->keys[i].name));
    for (size_t i = 0; i < g->absent->n; i++)
        if (strcmp(g->absent->names[i], k->name) != 0)
            tn_nearest_try(&near, g->absent->names[i], strlen(g->absent->names[i]));
    const char *known = near.best ? near.best : "";
    return tn_fail(err, TERN_ERR_INPUT, "TerncSource.overrides: %s: nothing here reads this key%s%s%s",
                   k->name, *known ? ", did you mean " : "", known, *known ? "?" : "");
}

TernStatus tn_gguf_overrides_read(const TnGguf *g, TernError *err) {
    for (size_t i = 0; i < g->n_keys; i++) {
        const TnGgufKey *k = &g->keys[i];
        if (!k->overridden) continue;
        if (!k->asked) return nobody_reads(g, k, err);
        /* its reader ignores a wrong type, which a file may have */
        if (strcmp(k->name, "general.name") == 0 && k->type != TN_GGUF_STRING)
            return wrong_type(g, k, "a string", err);
    }
    return TERN_OK;
}
