/* The global functions, and % on strings. */
#include <stdio.h>
#include <time.h>
#include "jinja.h"

static const char *const names[] = {"range",           "dict",         "namespace", "cycler", "joiner",
                                    "raise_exception", "strftime_now", "lipsum"};
bool tn_j_is_global(TnStr name) {
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (tn_j_same(name, names[i])) return true;
    return false;
}
static TnVal range(TnJinja *j, const TnArgs *args) {
    TnVal a[3];
    int64_t v[3] = {0, 0, 1};
    tn_j_positional(j, "range", args, 1, 3, a);
    for (size_t i = 0; i < args->n; i++) v[args->n == 1 ? 1 : i] = tn_j_whole(j, a[i], "range");
    if (!v[2]) tn_j_fail(j, "range: the step is zero");
    TnVal out = tn_j_list(j, JV_LIST);
    for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1];) {
        if (out.list->n == 100000) tn_j_fail(j, "range too big, expected at most 100000 items");
        tn_j_add(j, out.list, tn_j_int(i));
        if (__builtin_add_overflow(i, v[2], &i)) break;
    }
    out.list->kind = JL_RANGE;
    return out;
}
static TnVal dict(TnJinja *j, const TnArgs *args) {
    TnVal out = tn_j_map(j);
    if (args->n > 1) tn_j_fail(j, "dict: got %zu arguments, expected at most 1", args->n);
    if (args->n && (args->v[0].kind == JV_MAP)) {
        for (size_t i = 0; i < args->v[0].map->n; i++)
            tn_j_put(j, out.map, args->v[0].map->k[i], args->v[0].map->v[i]);
    } else if (args->n) {
        if (args->v[0].kind == JV_UNDEFINED) tn_j_no_part(j, args->v[0]);
        TnList *pairs = tn_j_iterate(j, args->v[0]);
        for (size_t i = 0; i < pairs->n; i++) {
            TnList *pair = tn_j_iterate(j, pairs->v[i]);
            if (pair->n != 2) tn_j_fail(j, "dict: item %zu has %zu parts, expected 2", i, pair->n);
            tn_j_put(j, out.map, pair->v[0], pair->v[1]);
        }
    }
    for (size_t i = 0; i < args->kw.n; i++) tn_j_put(j, out.map, args->kw.k[i], args->kw.v[i]);
    return out;
}
static TnVal clock_text(TnJinja *j, const TnArgs *args) {
    char format[256], text[1024];
    TnVal a[1];
    struct tm tm;
    time_t now = (time_t)j->now;
    tn_j_bind(j, "strftime_now", args, "format", 1, a);
    if (a[0].kind != JV_STR) tn_j_fail(j, "strftime_now: got a '%s', expected a string", tn_j_type(a[0]));
    TnStr f = a[0].s;
    if (f.n >= sizeof format - 1 || memchr(f.p, 0, f.n)) tn_j_fail(j, "strftime_now: the format is too long");
    if (!gmtime_r(&now, &tm)) tn_j_fail(j, "strftime_now: the clock is out of range");
    snprintf(format, sizeof format, "%.*s.", (int)f.n, f.p); /* the dot: an empty result is not an error */
    size_t n = strftime(text, sizeof text, format, &tm);
    if (!n) tn_j_fail(j, "strftime_now: the result is too long");
    TnOut *b = tn_j_open(j);
    tn_o_bytes(b, text, n - 1, f.m && memchr(f.m, 1, f.n));
    return tn_j_close(b);
}
TnVal tn_j_global(TnJinja *j, TnStr name, const TnArgs *args) {
    TnVal a[1] = {tn_j_of(TN_LIT(", "))};
    if (tn_j_same(name, "range")) return range(j, args);
    if (tn_j_same(name, "strftime_now")) return clock_text(j, args);
    if (tn_j_same(name, "lipsum")) tn_j_fail(j, "the function 'lipsum' is not supported");
    if (tn_j_same(name, "raise_exception")) {
        tn_j_bind(j, "raise_exception", args, "message", 1, a);
        TnStr what = tn_j_string(j, a[0]).s;
        tn_j_fail(j, "the template refuses: %.*s", (int)(what.n < 400 ? what.n : 400), what.p);
    }
    if (tn_j_same(name, "joiner")) {
        TnVal out = tn_j_list(j, JV_JOINER);
        tn_j_bind(j, "joiner", args, "sep", 0, a);
        tn_j_add(j, out.list, a[0]);
        return out;
    }
    if (tn_j_same(name, "cycler")) {
        TnVal out = tn_j_list(j, JV_CYCLER);
        if (args->kw.n) tn_j_fail(j, "cycler takes no named arguments");
        for (size_t i = 0; i < args->n; i++) tn_j_add(j, out.list, args->v[i]);
        if (!out.list->n) tn_j_fail(j, "at least one item has to be provided");
        return out;
    }
    TnVal out = dict(j, args);
    if (tn_j_same(name, "namespace")) out.kind = JV_NAMESPACE;
    return out;
}

/* ---- % */

typedef struct Spec {
    bool left, zero, plus, blank, alternate;
    int64_t width, places; /* places -1: none */
    char kind;
} Spec;

static void pad(TnJinja *j, TnOut *b, TnStr s, const Spec *how) {
    int64_t n = (int64_t)tn_j_chars(s), left = how->width - n;
    if (left > 0) tn_j_step(j, (uint64_t)left);
    for (int64_t i = 0; !how->left && i < left; i++) tn_o_puts(b, " ");
    tn_o_put(b, s);
    for (int64_t i = 0; how->left && i < left; i++) tn_o_puts(b, " ");
}
static void put_number(TnJinja *j, TnOut *b, TnVal v, const Spec *how) {
    char format[24], text[1400];
    size_t k = 0;
    double f;
    bool real = strchr("eEfFgG", how->kind) != NULL;
    if (how->width > 1000 || how->places > 300) tn_j_fail(j, "format: the width is too large");
    format[k++] = '%';
    if (how->left) format[k++] = '-';
    if (how->zero) format[k++] = '0';
    if (how->plus) format[k++] = '+';
    if (how->blank) format[k++] = ' ';
    if (how->alternate) format[k++] = '#';
    if (!tn_j_number(v, &f))
        tn_j_fail(j, "%%%c format: a real number is required, not %s", how->kind, tn_j_type(v));
    if (real) {
        strcpy(format + k, how->places < 0 ? "*f" : "*.*f");
        format[strlen(format) - 1] = how->kind;
        int n = how->places < 0 ? snprintf(text, sizeof text, format, (int)how->width, f)
                                : snprintf(text, sizeof text, format, (int)how->width, (int)how->places, f);
        tn_o_bytes(b, text, (size_t)n, 0);
        return;
    }
    if (how->alternate || how->places >= 0 || (how->zero && how->left))
        tn_j_fail(j, "format: such an integer format is not supported");
    if (v.kind == JV_FLOAT) {
        if (how->kind != 'd' && how->kind != 'i' && how->kind != 'u')
            tn_j_fail(j, "%%%c format: an integer is required, not float", how->kind);
        if (!(f > -9.2e18 && f < 9.2e18)) tn_j_fail(j, "format: an integer beyond 64 bits is not supported");
        v = tn_j_int((int64_t)f);
    }
    bool decimal = strchr("diu", how->kind) != NULL;
    if (!decimal && v.i < 0) tn_j_fail(j, "format: %%%c of a negative number is not supported", how->kind);
    strcpy(format + k, decimal ? "*lld" : how->kind == 'x' ? "*llx" : how->kind == 'X' ? "*llX" : "*llo");
    int n = snprintf(text, sizeof text, format, (int)how->width, (long long)v.i);
    tn_o_bytes(b, text, (size_t)n, 0);
}
static void put_spec(TnJinja *j, TnOut *b, TnVal v, const Spec *how) {
    if (strchr("diueEfFgGxXo", how->kind)) {
        put_number(j, b, v, how);
        return;
    }
    if (how->zero && how->width) tn_j_fail(j, "format: such a string format is not supported");
    TnOut *own = tn_j_open(j);
    if (how->kind == 's') {
        tn_j_print(j, v, own);
    } else if (how->kind == 'r') {
        tn_j_repr(j, v, own);
    } else if (v.kind == JV_STR && tn_j_chars(v.s) == 1) {
        tn_o_put(own, v.s);
    } else {
        tn_j_fail(j, "format: %%c of a '%s' is not supported", tn_j_type(v));
    }
    TnStr s = tn_j_close(own).s;
    if (how->places >= 0) s = tn_j_char_range(s, 0, (size_t)how->places);
    pad(j, b, s, how);
}
static int64_t digits(TnStr s, size_t *i) {
    int64_t n = 0;
    for (; *i < s.n && s.p[*i] >= '0' && s.p[*i] <= '9' && n < 1000000; ++*i) n = n * 10 + s.p[*i] - '0';
    return n;
}
TnVal tn_j_format(TnJinja *j, TnVal format, TnVal args) {
    TnStr s = format.s;
    TnOut *b = tn_j_open(j);
    size_t at = 0, n = args.kind == JV_TUPLE ? args.list->n : 1;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') {
            tn_o_put(b, tn_j_cut(s, i, i + 1));
            continue;
        }
        Spec how = {.places = -1};
        TnVal *named = NULL;
        i++;
        if (i < s.n && s.p[i] == '(') {
            const char *end = memchr(s.p + i, ')', s.n - i);
            if (args.kind != JV_MAP) tn_j_fail(j, "format requires a mapping");
            if (!end) tn_j_fail(j, "incomplete format key");
            TnStr key = tn_j_cut(s, i + 1, (size_t)(end - s.p));
            named = tn_j_get(j, args.map, tn_j_of(key));
            if (!named) tn_j_fail(j, "format: there is no '%.*s'", (int)key.n, key.p);
            i += key.n + 2;
            at = n;
        }
        for (; i < s.n && s.p[i] && strchr("-0+ #", s.p[i]); i++) {
            how.left |= s.p[i] == '-', how.zero |= s.p[i] == '0', how.plus |= s.p[i] == '+';
            how.blank |= s.p[i] == ' ', how.alternate |= s.p[i] == '#';
        }
        how.width = digits(s, &i);
        if (i < s.n && s.p[i] == '.') i++, how.places = digits(s, &i);
        if (i >= s.n) tn_j_fail(j, "incomplete format");
        how.kind = s.p[i];
        if (how.kind == '%') {
            tn_o_put(b, tn_j_cut(s, i, i + 1));
            continue;
        }
        if (!how.kind || !strchr("srcdiueEfFgGxXo", how.kind))
            tn_j_fail(j, "format: %%%c is not supported", how.kind);
        if (!named && at >= n) tn_j_fail(j, "not enough arguments for format string");
        TnVal v = named ? *named : args.kind == JV_TUPLE ? args.list->v[at++] : (at++, args);
        put_spec(j, b, v, &how);
    }
    bool mapping =
        args.kind == JV_MAP || args.kind == JV_LIST || args.kind == JV_UNDEFINED; /* can be subscripted */
    if (at < n && !mapping) tn_j_fail(j, "not all arguments converted during string formatting");
    return tn_j_close(b);
}
