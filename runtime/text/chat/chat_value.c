/* Values: making them, comparing them, going through them. */
#include <math.h>
#include <stdlib.h>
#include "jinja.h"
#include "runtime/text/utf8.h"

TnVal tn_j_of(TnStr s) {
    return (TnVal){.kind = JV_STR, .s = s};
}
TnVal tn_j_int(int64_t i) {
    return (TnVal){.kind = JV_INT, .i = i};
}
TnVal tn_j_bool(bool b) {
    return (TnVal){.kind = JV_BOOL, .i = b};
}
TnVal tn_j_undefined(TnStr name) {
    return (TnVal){.kind = JV_UNDEFINED, .s = name};
}
TnVal tn_j_list(TnJinja *j, TnKind kind) {
    return (TnVal){.kind = kind, .list = tn_j_alloc(j, 1, sizeof(TnList))};
}
TnVal tn_j_map(TnJinja *j) {
    return (TnVal){.kind = JV_MAP, .map = tn_j_alloc(j, 1, sizeof(TnMap))};
}
static TnVal *grown(TnJinja *j, const TnVal *v, size_t n, size_t cap) {
    TnVal *more = tn_j_alloc(j, cap, sizeof *more);
    if (n) memcpy(more, v, n * sizeof *v);
    return more;
}
void tn_j_add(TnJinja *j, TnList *list, TnVal v) {
    tn_j_step(j, 1);
    if (list->n == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 8;
        list->v = grown(j, list->v, list->n, list->cap);
    }
    list->v[list->n++] = v;
}
bool tn_j_same(TnStr s, const char *text) {
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}
/* A tuple deeper than 1000 levels counts as not hashable, for the sake of the stack. */
static bool hashable(TnVal v, int depth) {
    if (v.kind == JV_MAP || depth > 1000) return false;
    if (v.kind == JV_LIST) return v.list->kind != JL_PLAIN && v.list->kind != JL_VIEW;
    for (size_t i = 0; v.kind == JV_TUPLE && i < v.list->n; i++)
        if (!hashable(v.list->v[i], depth + 1)) return false;
    return true;
}
bool tn_j_hashable(TnVal v) {
    return hashable(v, 0);
}
/* Where the key is; map->n: nowhere. */
static size_t place(TnJinja *j, const TnMap *map, TnVal key) {
    size_t i = 0;
    if (!tn_j_hashable(key)) tn_j_fail(j, "unhashable type: '%s'", tn_j_type(key));
    tn_j_step(j, map->n / 8);
    while (i < map->n && !tn_j_equal(j, map->k[i], key)) i++;
    return i;
}
TnVal *tn_j_get(TnJinja *j, const TnMap *map, TnVal key) {
    size_t i = place(j, map, key);
    return i < map->n ? &map->v[i] : NULL;
}
TnVal *tn_j_name(const TnMap *map, const char *name) {
    for (size_t i = 0; i < map->n; i++)
        if (map->k[i].kind == JV_STR && tn_j_same(map->k[i].s, name)) return &map->v[i];
    return NULL;
}
void tn_j_put(TnJinja *j, TnMap *map, TnVal key, TnVal v) {
    size_t i = place(j, map, key);
    if (i < map->n) {
        map->v[i] = v;
        return;
    }
    if (map->n == map->cap) {
        map->cap = map->cap ? map->cap * 2 : 8;
        map->k = grown(j, map->k, map->n, map->cap);
        map->v = grown(j, map->v, map->n, map->cap);
    }
    map->k[map->n] = key;
    map->v[map->n++] = v;
}
bool tn_j_number(TnVal v, double *out) {
    if (v.kind == JV_FLOAT)
        *out = v.f;
    else if (v.kind == JV_INT || v.kind == JV_BOOL)
        *out = (double)v.i;
    else
        return false;
    return true;
}
static int compare_text(TnStr a, TnStr b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0; /* UTF-8 has the order of its characters */
    return c ? (c > 0) - (c < 0) : (a.n > b.n) - (a.n < b.n);
}
static bool deeper(TnJinja *j) {
    tn_j_nest(j);
    tn_j_step(j, 1);
    return true;
}
static bool equal_parts(TnJinja *j, TnVal a, TnVal b) {
    bool same = true;
    if (a.kind == JV_MAP) {
        same = a.map->n == b.map->n;
        for (size_t i = 0; same && i < a.map->n; i++) {
            TnVal *other = tn_j_get(j, b.map, a.map->k[i]);
            same = other && tn_j_equal(j, a.map->v[i], *other);
        }
        return same;
    }
    if (a.list->kind != JL_PLAIN || b.list->kind != JL_PLAIN) return a.list == b.list;
    same = a.list->n == b.list->n;
    for (size_t i = 0; same && i < a.list->n; i++) same = tn_j_equal(j, a.list->v[i], b.list->v[i]);
    return same;
}
bool tn_j_equal(TnJinja *j, TnVal a, TnVal b) {
    double x, y;
    if ((a.kind == JV_INT || a.kind == JV_BOOL) && (b.kind == JV_INT || b.kind == JV_BOOL)) return a.i == b.i;
    if (tn_j_number(a, &x) && tn_j_number(b, &y)) return x == y;
    if (a.kind != b.kind) return false;
    if (a.kind == JV_STR && a.s.n != b.s.n) return false;
    if (a.kind == JV_STR) return tn_j_step(j, a.s.n / 64), compare_text(a.s, b.s) == 0;
    if (a.kind <= JV_NONE) return true;
    if (a.kind == JV_LIST || a.kind == JV_TUPLE || a.kind == JV_MAP) {
        deeper(j);
        bool same = equal_parts(j, a, b);
        j->depth--;
        return same;
    }
    return a.map == b.map;
}
int tn_j_order(TnJinja *j, TnVal a, TnVal b) {
    double x, y;
    if ((a.kind == JV_INT || a.kind == JV_BOOL) && (b.kind == JV_INT || b.kind == JV_BOOL))
        return (a.i > b.i) - (a.i < b.i);
    if (tn_j_number(a, &x) && tn_j_number(b, &y)) return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2; /* 2: NaN */
    if (a.kind == JV_STR && b.kind == JV_STR) return compare_text(a.s, b.s);
    if (a.kind == b.kind && (a.kind == JV_LIST || a.kind == JV_TUPLE) && a.list->kind == JL_PLAIN &&
        b.list->kind == JL_PLAIN) {
        int c = 0;
        deeper(j);
        for (size_t i = 0; !c && i < a.list->n && i < b.list->n; i++)
            if (!tn_j_equal(j, a.list->v[i], b.list->v[i])) c = tn_j_order(j, a.list->v[i], b.list->v[i]);
        j->depth--;
        return c ? c : (a.list->n > b.list->n) - (a.list->n < b.list->n);
    }
    tn_j_fail(j, "cannot order '%s' and '%s'", tn_j_type(a), tn_j_type(b));
}
bool tn_j_truth(TnVal v) {
    switch (v.kind) {
    case JV_UNDEFINED:
    case JV_NONE:
        return false;
    case JV_BOOL:
    case JV_INT:
        return v.i != 0;
    case JV_FLOAT:
        return v.f != 0;
    case JV_STR:
        return v.s.n != 0;
    case JV_LIST:
    case JV_TUPLE:
        return v.list->kind == JL_GENERATOR || v.list->n != 0;
    case JV_MAP:
        return v.map->n != 0;
    default:
        return true;
    }
}
size_t tn_j_chars(TnStr s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += (s.p[i] & 0xc0) != 0x80;
    return n;
}
TnStr tn_j_char_range(TnStr s, size_t from, size_t to) {
    size_t i = 0, c = 0, start;
    for (; i < s.n && c < from; c++)
        for (i++; i < s.n && (s.p[i] & 0xc0) == 0x80;) i++;
    for (start = i; i < s.n && c < to; c++)
        for (i++; i < s.n && (s.p[i] & 0xc0) == 0x80;) i++;
    return tn_j_cut(s, start, i);
}
TnList *tn_j_iterate(TnJinja *j, TnVal v) {
    TnList *out = tn_j_alloc(j, 1, sizeof *out);
    if (v.kind == JV_UNDEFINED) return out;
    if (v.kind == JV_LIST || v.kind == JV_TUPLE) {
        if (v.list->lazy) {
            TnLazy *lazy = v.list->lazy;
            v.list->lazy = NULL;
            tn_j_nest(j);
            *out = *tn_j_iterate(j, lazy->filter->run(j, lazy->v, &lazy->args));
            j->depth--;
            return out;
        }
        *out = *v.list;
        out->kind = JL_PLAIN;
        out->group = false;
        out->cap = out->n; /* what is added later goes elsewhere */
        if (v.list->kind == JL_GENERATOR) v.list->n = 0;
        return out;
    }
    if (v.kind == JV_MAP) {
        for (size_t i = 0; i < v.map->n; i++) tn_j_add(j, out, v.map->k[i]);
        return out;
    }
    if (v.kind == JV_LOOP) tn_j_fail(j, "going through 'loop' is not supported");
    if (v.kind != JV_STR) tn_j_fail(j, "'%s' object is not iterable", tn_j_type(v));
    for (size_t i = 0; i < v.s.n;) {
        size_t k = i + 1;
        while (k < v.s.n && (v.s.p[k] & 0xc0) == 0x80) k++;
        tn_j_add(j, out, tn_j_of(tn_j_cut(v.s, i, k)));
        i = k;
    }
    return out;
}
size_t tn_j_length(TnJinja *j, TnVal v) {
    if (v.kind == JV_UNDEFINED) return 0;
    if (v.kind == JV_STR) return tn_j_step(j, v.s.n / 64), tn_j_chars(v.s);
    if (v.kind == JV_MAP) return v.map->n;
    if ((v.kind == JV_LIST || v.kind == JV_TUPLE) && v.list->kind != JL_GENERATOR) return v.list->n;
    if (v.kind == JV_LOOP) return v.loop->items->n;
    tn_j_fail(j, "object of type '%s' has no len()", tn_j_type(v));
}
const char *tn_j_type(TnVal v) {
    static const char *const names[] = {
        "Undefined", "NoneType",  "bool",  "int",         "float",    "str",    "list",   "tuple",
        "dict",      "Namespace", "Macro", "LoopContext", "function", "method", "Cycler", "Joiner"};
    if (v.kind == JV_LIST && v.list->kind == JL_GENERATOR) return "generator";
    return names[v.kind];
}
