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
        size_t k = i + 1;
        unsigned char c = (unsigned char)s.p[i];
        uint32_t point = c < 0x80 ? c : c < 0xe0 ? c & 31 : c < 0xf0 ? c & 15 : c & 7;
        for (; k < s.n && (s.p[k] & 0xc0) == 0x80; k++) point = point << 6 | (s.p[k] & 63);
        if (c == (unsigned char)quote || c == '\\')
            tn_o_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            tn_o_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (!hidden(point))
            tn_o_put(out, tn_j_cut(s, i, k));
        else
            tn_o_printf(out, point < 256 ? "\\x%02x" : point < 65536 ? "\\u%04x" : "\\U%08x", point);
        i = k;
    }
    tn_o_bytes(out, &quote, 1, 0);
}
static void repr_list(TnJinja *j, TnVal v, TnOut *out) {
    bool tuple = v.kind == JV_TUPLE;
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
        repr_text(v.s, out);
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
static void json_text(TnStr s, TnOut *out) {
    tn_o_puts(out, "\"");
    for (size_t i = 0; i < s.n; i++) {
        static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
        unsigned char c = (unsigned char)s.p[i];
        const char *at = c ? strchr(from, c) : NULL;
        if (at)
            tn_o_printf(out, "\\%c", to[at - from]);
        else if (c < 32)
            tn_o_printf(out, "\\u%04x", c);
        else
            tn_o_put(out, tn_j_cut(s, i, i + 1));
    }
    tn_o_puts(out, "\"");
}
static void line(int indent, int level, TnOut *out) {
    if (indent < 0) return;
    tn_o_puts(out, "\n");
    for (int k = 0; k < indent * level; k++) tn_o_puts(out, " ");
}
static void json_key(TnJinja *j, TnVal k, TnOut *out) {
    if (k.kind == JV_STR) {
        json_text(k.s, out);
        return;
    }
    if (k.kind < JV_NONE || k.kind > JV_FLOAT) tn_j_fail(j, "tojson: a key is a '%s'", tn_j_type(k));
    tn_o_puts(out, "\"");
    tn_j_tojson(j, k, -1, 0, false, out);
    tn_o_puts(out, "\"");
}
void tn_j_tojson(TnJinja *j, TnVal v, int indent, int level, bool sort, TnOut *out) {
    tn_j_step(j, 1);
    if (level > 400) tn_j_fail(j, "values are nested too deep");
    const char *comma = indent < 0 ? ", " : ",";
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
        json_text(v.s, out);
        return;
    case JV_LIST:
    case JV_TUPLE:
        if (v.list->kind != JL_PLAIN) tn_j_fail(j, "tojson of a '%s'", tn_j_type(v));
        tn_o_puts(out, "[");
        for (size_t i = 0; i < v.list->n; i++) {
            if (i) tn_o_puts(out, comma);
            line(indent, level + 1, out);
            tn_j_tojson(j, v.list->v[i], indent, level + 1, sort, out);
        }
        if (v.list->n) line(indent, level, out);
        tn_o_puts(out, "]");
        return;
    case JV_MAP:
        if (sort) tn_j_fail(j, "tojson: sort_keys is not supported");
        tn_o_puts(out, "{");
        for (size_t i = 0; i < v.map->n; i++) {
            if (i) tn_o_puts(out, comma);
            line(indent, level + 1, out);
            json_key(j, v.map->k[i], out);
            tn_o_puts(out, ": ");
            tn_j_tojson(j, v.map->v[i], indent, level + 1, sort, out);
        }
        if (v.map->n) line(indent, level, out);
        tn_o_puts(out, "}");
        return;
    default:
        tn_j_fail(j, "tojson of a '%s'", tn_j_type(v));
    }
}
