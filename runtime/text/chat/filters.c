/* Filters: which there are, and those of single values. What jinja2 makes lazily is made when it is first gone through, so
 * that an error in what nobody reads stays unseen here too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "jinja.h"

static TnVal none(void) {
    return (TnVal){.kind = JV_NONE};
}

/* ---- arguments */

static const char *word(const char *names, size_t at, size_t *n) {
    for (; at; at--) names = strchr(names, ' ') + 1;
    *n = strcspn(names, " ");
    return names;
}
void tn_j_bind(TnJinja *j, const char *what, const TnArgs *args, const char *names, size_t required,
               TnVal *out) {
    size_t most = names[0] != 0, n, used = 0;
    for (const char *p = names; *p; p++) most += *p == ' ';
    if (args->n > most) tn_j_fail(j, "%s: got %zu arguments, expected at most %zu", what, args->n, most);
    for (size_t i = 0; i < most; i++) {
        const char *name = word(names, i, &n);
        TnVal *named = tn_j_get(j, &args->kw, tn_j_of(tn_j_plain(name, n)));
        if (named && i < args->n) tn_j_fail(j, "%s: got two values for '%.*s'", what, (int)n, name);
        if (!named && i >= args->n && i < required)
            tn_j_fail(j, "%s: the argument '%.*s' is missing", what, (int)n, name);
        if (i < args->n) out[i] = args->v[i];
        if (named) out[i] = *named, used++;
    }
    if (used < args->kw.n) tn_j_fail(j, "%s: got a named argument that it does not have", what);
}
void tn_j_positional(TnJinja *j, const char *what, const TnArgs *args, size_t required, size_t most,
                     TnVal *out) {
    if (args->kw.n) tn_j_fail(j, "%s takes no named arguments", what);
    if (args->n < required || args->n > most)
        tn_j_fail(j, "%s: got %zu arguments, expected %zu to %zu", what, args->n, required, most);
    for (size_t i = 0; i < args->n; i++) out[i] = args->v[i];
}
int64_t tn_j_whole(TnJinja *j, TnVal v, const char *what) {
    if (v.kind != JV_INT && v.kind != JV_BOOL)
        tn_j_fail(j, "%s: got a '%s', expected an integer", what, tn_j_type(v));
    return v.i;
}

/* ---- numbers */

static int digit_of(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'z' ? c - 'a' + 10
           : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                                  : 99;
}
/* As Python's int(text, base). */
static bool int_of(TnJinja *j, TnStr s, int64_t base, int64_t *out) {
    s = tn_j_strip(s, (TnStr){0}, true, true);
    bool minus = s.n && s.p[0] == '-';
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
    if (base != 0 && (base < 2 || base > 36)) return false;
    char mark = s.n - i > 2 && s.p[i] == '0' ? (char)(s.p[i + 1] | 32) : 0;
    int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    bool prefix = marked && (base == 0 || base == marked);
    if (prefix) i += 2, base = marked;
    bool zero_only = base == 0 && i < s.n && s.p[i] == '0';
    if (base == 0) base = 10;
    size_t from = i;
    *out = 0;
    for (; i < s.n; i++) {
        if (s.p[i] == '_' && (i > from || prefix) && i + 1 < s.n && s.p[i + 1] != '_') continue;
        int d = digit_of(s.p[i]);
        if (d >= base) return false;
        if (__builtin_mul_overflow(*out, base, out) || __builtin_add_overflow(*out, minus ? -d : d, out))
            tn_j_fail(j, "an integer beyond 64 bits is not supported");
    }
    return i > from && !(zero_only && *out != 0);
}
/* As Python's float(text). */
static bool float_of(TnJinja *j, TnStr s, double *out) {
    s = tn_j_strip(s, (TnStr){0}, true, true);
    char *t = tn_j_alloc(j, s.n + 1, 1), *end;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool between = i > 0 && i + 1 < s.n && digit_of(s.p[i - 1]) < 10 && digit_of(s.p[i + 1]) < 10;
        if (s.p[i] == '_' && between) continue;
        if (!strchr("0123456789+-.eEinfatyINFATY", s.p[i]) || !s.p[i]) return false;
        t[n++] = s.p[i];
    }
    *out = strtod(t, &end);
    return n > 0 && *end == 0;
}
static TnVal whole_of(TnJinja *j, double f) {
    if (!(fabs(f) < 9.2e18)) tn_j_fail(j, "an integer beyond 64 bits is not supported");
    return tn_j_int((int64_t)f);
}
static TnVal f_int(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {tn_j_int(0), tn_j_int(10)};
    int64_t whole;
    double f;
    tn_j_bind(j, "int", args, "default base", 0, a);
    if (v.kind == JV_STR) {
        if (int_of(j, v.s, tn_j_whole(j, a[1], "int: base"), &whole)) return tn_j_int(whole);
        return float_of(j, v.s, &f) && isfinite(f) ? whole_of(j, f) : a[0];
    }
    if (v.kind == JV_UNDEFINED) tn_j_no_part(j, v);
    if (v.kind == JV_FLOAT) {
        if (isinf(v.f)) tn_j_fail(j, "cannot convert float infinity to integer");
        return isnan(v.f) ? a[0] : whole_of(j, v.f);
    }
    return v.kind == JV_INT || v.kind == JV_BOOL ? tn_j_int(v.i) : a[0];
}
static TnVal f_float(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[1] = {{.kind = JV_FLOAT}};
    double f;
    tn_j_bind(j, "float", args, "default", 0, a);
    if (v.kind == JV_UNDEFINED) tn_j_no_part(j, v);
    bool known = v.kind == JV_STR ? float_of(j, v.s, &f) : tn_j_number(v, &f);
    return known ? (TnVal){.kind = JV_FLOAT, .f = f} : a[0];
}
static TnVal f_abs(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "abs", args, "", 0, NULL);
    if (v.kind == JV_FLOAT) return v.f = fabs(v.f), v;
    if (v.kind == JV_UNDEFINED || (v.kind != JV_INT && v.kind != JV_BOOL))
        tn_j_fail(j, "bad operand type for abs(): '%s'", tn_j_type(v));
    return v.i < 0 ? tn_j_binary(j, TN_LIT("*"), v, tn_j_int(-1)) : tn_j_int(v.i);
}
static TnVal f_round(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {tn_j_int(0), tn_j_of(TN_LIT("common"))};
    double f;
    tn_j_bind(j, "round", args, "precision method", 0, a);
    bool up = a[1].kind == JV_STR && tn_j_same(a[1].s, "ceil"),
         down = a[1].kind == JV_STR && tn_j_same(a[1].s, "floor");
    if (!up && !down && !(a[1].kind == JV_STR && tn_j_same(a[1].s, "common")))
        tn_j_fail(j, "round: the method must be common, ceil or floor");
    int64_t places = tn_j_whole(j, a[0], "round: precision");
    if (!tn_j_number(v, &f)) tn_j_fail(j, "round of a '%s'", tn_j_type(v));
    if (up || down) {
        double p = pow(10, (double)places), r = f * p;
        if (!isfinite(r)) tn_j_fail(j, "round: cannot convert it to an integer");
        return (TnVal){.kind = JV_FLOAT, .f = (up ? ceil(r) : floor(r)) / p};
    }
    if (v.kind != JV_FLOAT) {
        if (places >= 0) return tn_j_int(v.i);
        tn_j_fail(j, "round of an integer to a negative precision is not supported");
    }
    if (places < 0) tn_j_fail(j, "round to a negative precision is not supported");
    if (!isfinite(f) || places > 300) return v;
    char text[800]; /* at most 309 digits before the point */
    snprintf(text, sizeof text, "%.*f", (int)places, f);
    return (TnVal){.kind = JV_FLOAT, .f = strtod(text, NULL)};
}

/* ---- others */

static TnVal f_default(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {tn_j_of(TN_LIT("")), tn_j_bool(false)};
    tn_j_bind(j, "default", args, "default_value boolean", 0, a);
    return v.kind == JV_UNDEFINED || (tn_j_truth(a[1]) && !tn_j_truth(v)) ? a[0] : v;
}
static TnVal f_length(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "length", args, "", 0, NULL);
    return tn_j_int((int64_t)tn_j_length(j, v));
}
static TnVal f_attr(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[1];
    tn_j_bind(j, "attr", args, "name", 1, a);
    TnVal name = tn_j_string(j, a[0]);
    if (v.kind == JV_MAP && !tn_j_has_method(v, name.s)) return tn_j_undefined(name.s);
    return tn_j_attr(j, v, name.s);
}
static TnVal f_items(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "items", args, "", 0, NULL);
    if (v.kind == JV_UNDEFINED) return tn_j_list(j, JV_LIST);
    if (v.kind != JV_MAP) tn_j_fail(j, "Can only get item pairs from a mapping.");
    return tn_j_method(j, v, TN_LIT("items"), &(TnArgs){0});
}
static TnVal f_tojson(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[4] = {tn_j_bool(false), none(), none(), tn_j_bool(false)};
    TnJson how = {.j = j, .item = TN_LIT(", "), .key = TN_LIT(": ")};
    tn_j_bind(j, "tojson", args, "ensure_ascii indent separators sort_keys", 0, a);
    how.ascii = tn_j_truth(a[0]), how.sort = tn_j_truth(a[3]);
    if (a[1].kind == JV_STR)
        how.indent = a[1].s;
    else if (a[1].kind != JV_NONE) {
        int64_t n = tn_j_whole(j, a[1], "tojson: indent");
        if (n > 1000) tn_j_fail(j, "tojson: the indent is %lld, expected at most 1000", (long long)n);
        how.indent = n > 0 ? tn_j_binary(j, TN_LIT("*"), tn_j_of(TN_LIT(" ")), tn_j_int(n)).s : TN_LIT("");
    }
    if (a[1].kind != JV_NONE) how.lines = true, how.item = TN_LIT(",");
    if (a[2].kind != JV_NONE) {
        TnList *parts = tn_j_iterate(j, a[2]);
        if (parts->n != 2 || parts->v[0].kind != JV_STR || parts->v[1].kind != JV_STR)
            tn_j_fail(j, "tojson: the separators must be two strings");
        how.item = parts->v[0].s, how.key = parts->v[1].s;
    }
    how.out = tn_j_open(j);
    tn_j_tojson(&how, v, 0);
    return tn_j_close(how.out);
}

const TnFilterRow tn_j_value_filters[] = {
    {"default", f_default}, {"d", f_default},   {"length", f_length}, {"count", f_length},
    {"int", f_int},         {"float", f_float}, {"abs", f_abs},       {"round", f_round},
    {"attr", f_attr},       {"items", f_items}, {"tojson", f_tojson}, {NULL, NULL},
};

static const char *const lacking[] = {"filesizeformat", "forceescape", "pprint",   "random", "striptags",
                                      "urlencode",      "urlize",      "wordwrap", "xmlattr"};
static const char *const lazy[] = {"map",   "select", "reject", "selectattr", "rejectattr",
                                   "batch", "slice",  "unique", "items"};

static const TnFilterRow *row_of(TnStr name) {
    const TnFilterRow *const tables[] = {tn_j_value_filters, tn_j_list_filters, tn_j_text_filters};
    for (size_t t = 0; t < TN_COUNT(tables); t++)
        for (const TnFilterRow *r = tables[t]; r->name; r++)
            if (tn_j_same(name, r->name)) return r;
    return NULL;
}
bool tn_j_filter_known(TnStr name) {
    for (size_t i = 0; i < TN_COUNT(lacking); i++)
        if (tn_j_same(name, lacking[i])) return true;
    return row_of(name) != NULL;
}
TnVal tn_j_filter(TnJinja *j, TnStr name, TnVal v, const TnArgs *args) {
    const TnFilterRow *r = row_of(name);
    int n = (int)(name.n < 60 ? name.n : 60);
    if (!r && tn_j_filter_known(name)) tn_j_fail(j, "the filter '%.*s' is not supported", n, name.p);
    if (!r) tn_j_fail(j, "No filter named '%.*s'.", n, name.p);
    for (size_t i = 0; i < TN_COUNT(lazy); i++) {
        if (!tn_j_same(name, lazy[i])) continue;
        TnVal out = tn_j_list(j, JV_LIST);
        out.list->kind = JL_GENERATOR;
        out.list->lazy = tn_j_alloc(j, 1, sizeof *out.list->lazy);
        *out.list->lazy = (TnLazy){r, v, *args};
        return out;
    }
    return r->run(j, v, args);
}
