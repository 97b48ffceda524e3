/* Prints values as Python does, and as its json.dumps does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "jinja.h"

void tn_j_float(double f, TnOut *out) {
    char t[40], digits[24];
    int places = 0, exponent;
    if (isnan(f) || isinf(f)) {
        tn_o_puts(out, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    do snprintf(t, sizeof t, "%.*e", places, f);
    while (strtod(t, NULL) != f && ++places < 17);
    exponent = atoi(strchr(t, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        *strchr(t, 'e') = 0;
        tn_o_printf(out, "%se%c%02d", t, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int n = 0;
    for (const char *p = t; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    if (t[0] == '-') tn_o_puts(out, "-");
    if (exponent < 0) tn_o_puts(out, "0.");
    for (int k = -1; k > exponent; k--) tn_o_puts(out, "0");
    for (int k = 0; k < n || k <= exponent; k++) {
        tn_o_bytes(out, k < n ? &digits[k] : "0", 1, 0);
        if (k == exponent) tn_o_puts(out, ".");
    }
    if (exponent >= 0 && n <= exponent + 1) tn_o_puts(out, "0");
}
/* Characters that Python's repr shows by number; of those beyond Latin-1 the usual ones. */
static bool hidden(uint32_t c) {
    return c < 32 || (c >= 0x7f && c <= 0xa0) || c == 0xad || c == 0x1680 || (c >= 0x2000 && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) || c == 0x3000 || c == 0xfeff ||
           (c >= 0xe000 && c <= 0xf8ff) || (c >= 0xfff0 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe ||
           c >= 0xe0000;
}
static void repr_text(TnStr s, TnOut *out) {
    bool single = memchr(s.p, '\'', s.n), twice = memchr(s.p, '"', s.n);
    char quote = single && !twice ? '"' : '\'';
    tn_o_bytes(out, &quote, 1, 0);
    for (size_t i = 0; i < s.n;) {
        char t[16];
        int n = 0;
        size_t k = i + 1;
        unsigned char c = (unsigned char)s.p[i];
        uint32_t point = c < 0x80 ? c : c < 0xe0 ? c & 31 : c < 0xf0 ? c & 15 : c & 7;
        for (; k < s.n && (s.p[k] & 0xc0) == 0x80; k++) point = point << 6 | (s.p[k] & 63);
        if (c == (unsigned char)quote || c == '\\')
            n = snprintf(t, sizeof t, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            n = snprintf(t, sizeof t, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (hidden(point))
            n = snprintf(t, sizeof t, point < 256 ? "\\x%02x" : point < 65536 ? "\\u%04x" : "\\U%08x", point);
        if (n)
            tn_o_bytes(out, t, (size_t)n, s.m ? s.m[i] : 0);
        else
            tn_o_put(out, tn_j_cut(s, i, k));
        i = k;
    }
    tn_o_bytes(out, &quote, 1, 0);
}
static void repr_list(TnJinja *j, TnVal v, TnOut *out) {
    static const char *const views[] = {"dict_keys(", "dict_values(", "dict_items("};
    bool tuple = v.kind == JV_TUPLE;
    if (v.list->kind == JL_VIEW) {
        tn_o_puts(out, views[v.list->at]);
        tn_j_repr(j, (TnVal){.kind = JV_LIST, .list = tn_j_iterate(j, v)}, out);
        tn_o_puts(out, ")");
        return;
    }
    if (v.list->kind != JL_PLAIN) tn_j_fail(j, "printing an iterator is not supported; use the filter list");
    tn_o_puts(out, tuple ? "(" : "[");
    for (size_t i = 0; i < v.list->n; i++) {
        if (i) tn_o_puts(out, ", ");
        tn_j_repr(j, v.list->v[i], out);
    }
    tn_o_puts(out, !tuple ? "]" : v.list->n == 1 ? ",)" : ")");
}
void tn_j_repr(TnJinja *j, TnVal v, TnOut *out) {
    tn_j_step(j, 1);
    tn_j_nest(j);
    switch (v.kind) {
    case JV_UNDEFINED:
        tn_o_puts(out, "Undefined");
        break;
    case JV_NONE:
        tn_o_puts(out, "None");
        break;
    case JV_BOOL:
        tn_o_puts(out, v.i ? "True" : "False");
        break;
    case JV_INT:
        tn_o_printf(out, "%lld", (long long)v.i);
        break;
    case JV_FLOAT:
        tn_j_float(v.f, out);
        break;
    case JV_STR:
        if (v.safe) tn_o_puts(out, "Markup(");
        repr_text(v.s, out);
        if (v.safe) tn_o_puts(out, ")");
        break;
    case JV_LIST:
    case JV_TUPLE:
        repr_list(j, v, out);
        break;
    case JV_MAP:
    case JV_NAMESPACE:
        tn_o_puts(out, v.kind == JV_MAP ? "{" : "<Namespace {");
        for (size_t i = 0; i < v.map->n; i++) {
            if (i) tn_o_puts(out, ", ");
            tn_j_repr(j, v.map->k[i], out);
            tn_o_puts(out, ": ");
            tn_j_repr(j, v.map->v[i], out);
        }
        tn_o_puts(out, v.kind == JV_MAP ? "}" : "}>");
        break;
    default:
        tn_j_fail(j, "printing a '%s' is not supported", tn_j_type(v));
    }
    j->depth--;
}
void tn_j_print(TnJinja *j, TnVal v, TnOut *out) {
    if (v.kind == JV_STR)
        tn_o_put(out, v.s);
    else if (v.kind != JV_UNDEFINED)
        tn_j_repr(j, v, out);
}
TnVal tn_j_string(TnJinja *j, TnVal v) {
    if (v.kind == JV_STR) return v;
    TnOut *b = tn_j_open(j);
    tn_j_print(j, v, b);
    return tn_j_close(b);
}
static void json_text(const TnJson *how, TnStr s) {
    TnOut *out = how->out;
    tn_o_puts(out, "\"");
    for (size_t i = 0, k; i < s.n; i = k) {
        static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
        unsigned char c = (unsigned char)s.p[i];
        const char *at = c ? strchr(from, c) : NULL;
        char t[16];
        int n = 0;
        uint32_t point = tn_j_point(s, i, &k);
        if (at)
            n = snprintf(t, sizeof t, "\\%c", to[at - from]);
        else if (c < 32 || (how->ascii && point >= 0x7f && point < 0x10000 && point != 0x7f))
            n = snprintf(t, sizeof t, "\\u%04x", point);
        else if (how->ascii && point >= 0x10000)
            n = snprintf(t, sizeof t, "\\u%04x\\u%04x", 0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
        if (n)
            tn_o_bytes(out, t, (size_t)n, s.m ? s.m[i] : 0);
        else
            tn_o_put(out, tn_j_cut(s, i, k));
    }
    tn_o_puts(out, "\"");
}
static void json_line(const TnJson *how, int level) {
    if (!how->lines) return;
    tn_o_puts(how->out, "\n");
    for (int k = 0; k < level; k++) tn_o_put(how->out, how->indent);
}
static void json_key(const TnJson *how, TnVal k) {
    if (k.kind == JV_STR) {
        json_text(how, k.s);
        return;
    }
    if (k.kind < JV_NONE || k.kind > JV_FLOAT)
        tn_j_fail(how->j, "tojson: keys must be str, int, float, bool or None, not %s", tn_j_type(k));
    tn_o_puts(how->out, "\"");
    tn_j_tojson(how, k, 0);
    tn_o_puts(how->out, "\"");
}
static void json_map(const TnJson *how, const TnMap *map, int level) {
    TnVal keys = tn_j_list(how->j, JV_LIST);
    for (size_t i = 0; i < map->n; i++) tn_j_add(how->j, keys.list, map->k[i]);
    if (how->sort) {
        TnArgs args = {0};
        TnVal cased = tn_j_bool(true);
        tn_j_put(how->j, &args.kw, tn_j_of(TN_LIT("case_sensitive")), cased);
        keys = tn_j_filter(how->j, TN_LIT("sort"), keys, &args);
    }
    tn_o_puts(how->out, "{");
    for (size_t i = 0; i < map->n; i++) {
        if (i) tn_o_put(how->out, how->item);
        json_line(how, level + 1);
        json_key(how, keys.list->v[i]);
        tn_o_put(how->out, how->key);
        tn_j_tojson(how, *tn_j_get(how->j, map, keys.list->v[i]), level + 1);
    }
    if (map->n) json_line(how, level);
    tn_o_puts(how->out, "}");
}
void tn_j_tojson(const TnJson *how, TnVal v, int level) {
    TnOut *out = how->out;
    tn_j_step(how->j, 1);
    switch (v.kind) {
    case JV_NONE:
        tn_o_puts(out, "null");
        return;
    case JV_BOOL:
        tn_o_puts(out, v.i ? "true" : "false");
        return;
    case JV_INT:
        tn_o_printf(out, "%lld", (long long)v.i);
        return;
    case JV_FLOAT:
        if (isfinite(v.f))
            tn_j_float(v.f, out);
        else
            tn_o_puts(out, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
        return;
    case JV_STR:
        json_text(how, v.s);
        return;
    case JV_LIST:
    case JV_TUPLE:
        if (v.list->kind != JL_PLAIN) break;
        tn_j_nest(how->j);
        tn_o_puts(out, "[");
        for (size_t i = 0; i < v.list->n; i++) {
            if (i) tn_o_put(out, how->item);
            json_line(how, level + 1);
            tn_j_tojson(how, v.list->v[i], level + 1);
        }
        if (v.list->n) json_line(how, level);
        tn_o_puts(out, "]");
        how->j->depth--;
        return;
    case JV_MAP:
        tn_j_nest(how->j);
        json_map(how, v.map, level);
        how->j->depth--;
        return;
    default:
        break;
    }
    tn_j_fail(how->j, "Object of type %s is not JSON serializable", tn_j_type(v));
}
