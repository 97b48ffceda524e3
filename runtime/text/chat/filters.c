/* Filters and tests. */
#include <math.h>
#include <stdlib.h>
#include "jinja.h"

static bool is(TnStr a, const char *b) {
    return tn_j_same(a, b);
}
static TnVal none(void) {
    return (TnVal){.kind = JV_NONE};
}
bool tn_j_test(TnJinja *j, TnStr t, TnVal v, const TnArgs *args) {
    bool whole = v.kind == JV_INT || v.kind == JV_BOOL, list = v.kind == JV_LIST || v.kind == JV_TUPLE;
    TnVal other = args->n ? args->v[0] : none();
    if (is(t, "defined")) return v.kind != JV_UNDEFINED;
    if (is(t, "undefined")) return v.kind == JV_UNDEFINED;
    if (is(t, "none")) return v.kind == JV_NONE;
    if (is(t, "boolean")) return v.kind == JV_BOOL;
    if (is(t, "true") || is(t, "false")) return v.kind == JV_BOOL && v.i == (t.p[0] == 't');
    if (is(t, "integer")) return v.kind == JV_INT;
    if (is(t, "float")) return v.kind == JV_FLOAT;
    if (is(t, "number")) return whole || v.kind == JV_FLOAT;
    if (is(t, "string")) return v.kind == JV_STR;
    if (is(t, "mapping")) return v.kind == JV_MAP;
    if (is(t, "iterable"))
        return list || v.kind == JV_MAP || v.kind == JV_STR || v.kind == JV_UNDEFINED || v.kind == JV_LOOP;
    if (is(t, "sequence"))
        return (list && v.list->kind != JL_GENERATOR && v.list->kind != JL_VIEW) || v.kind == JV_MAP ||
               v.kind == JV_STR || v.kind == JV_UNDEFINED;
    if (is(t, "callable")) return v.kind >= JV_MACRO && v.kind != JV_LOOP;
    if (is(t, "odd") || is(t, "even")) {
        TnVal r = tn_j_binary(j, TN_LIT("%"), v, tn_j_int(2));
        return tn_j_equal(j, r, tn_j_int(t.p[0] == 'o'));
    }
    if (is(t, "lower") || is(t, "upper")) {
        TnVal s = tn_j_string(j, v), same = tn_j_method(j, s, t, &(TnArgs){0});
        TnVal up = tn_j_method(j, s, TN_LIT("upper"), &(TnArgs){0}),
              low = tn_j_method(j, s, TN_LIT("lower"), &(TnArgs){0});
        return tn_j_equal(j, same, s) && !tn_j_equal(j, up, low);
    }
    if (args->n != 1) tn_j_fail(j, "the test '%.*s' is not known with %zu arguments", (int)t.n, t.p, args->n);
    if (is(t, "eq") || is(t, "equalto")) return tn_j_equal(j, v, other);
    if (is(t, "ne")) return !tn_j_equal(j, v, other);
    if (is(t, "in")) return tn_j_contains(j, v, other);
    if (is(t, "sameas") && v.kind != JV_STR && v.kind != JV_FLOAT && v.kind != JV_INT)
        return v.kind == other.kind && tn_j_equal(j, v, other);
    if (is(t, "divisibleby")) return tn_j_equal(j, tn_j_binary(j, TN_LIT("%"), v, other), tn_j_int(0));
    static const char *const orders[] = {"lt", "lessthan", "le", "gt", "greaterthan", "ge"};
    for (size_t k = 0; k < TN_COUNT(orders); k++) {
        if (!is(t, orders[k])) continue;
        int c = tn_j_order(j, v, other);
        return c != 2 && (k < 2 ? c < 0 : k == 2 ? c <= 0 : k < 5 ? c > 0 : c >= 0);
    }
    tn_j_fail(j, "No test named '%.*s'", (int)(t.n < 60 ? t.n : 60), t.p);
}

/* "a.b.0" of a value, as the arguments `attribute` have it; an integer is an item. */
static TnVal attribute(TnJinja *j, TnVal v, TnVal path) {
    if (path.kind != JV_STR) return tn_j_item(j, v, path);
    for (TnStr s = path.s;;) {
        const char *dot = memchr(s.p, '.', s.n);
        size_t n = dot ? (size_t)(dot - s.p) : s.n;
        bool digits = n > 0 && n < 10;
        int64_t index = 0;
        for (size_t k = 0; digits && k < n; k++)
            digits = s.p[k] >= '0' && s.p[k] <= '9', index = index * 10 + s.p[k] - '0';
        v = tn_j_item(j, v, digits ? tn_j_int(index) : tn_j_of(tn_j_cut(s, 0, n)));
        if (!dot) return v;
        s = tn_j_cut(s, n + 1, s.n);
    }
}
static TnVal generator(TnVal list) {
    list.list->kind = JL_GENERATOR;
    return list;
}
static TnArgs rest(const TnArgs *args, size_t skip) {
    return (TnArgs){args->v + skip, args->n - skip, args->kw};
}
static TnVal chosen(TnJinja *j, TnVal v, const TnArgs *args, bool keep, bool attr) {
    TnVal out = tn_j_list(j, JV_LIST);
    size_t skip = attr;
    if (args->n < skip) tn_j_fail(j, "selectattr needs the name of an attribute");
    TnList *items = tn_j_iterate(j, v);
    for (size_t i = 0; i < items->n; i++) {
        TnVal x = attr ? attribute(j, items->v[i], args->v[0]) : items->v[i];
        bool yes;
        if (args->n > skip) {
            TnArgs more = rest(args, skip + 1);
            if (args->v[skip].kind != JV_STR) tn_j_fail(j, "the name of a test is no string");
            yes = tn_j_test(j, args->v[skip].s, x, &more);
        } else {
            yes = tn_j_truth(x);
        }
        if (yes == keep) tn_j_add(j, out.list, items->v[i]);
    }
    return generator(out);
}
static TnVal map(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal out = tn_j_list(j, JV_LIST), *attr = tn_j_name(&args->kw, "attribute"),
          *otherwise = tn_j_name(&args->kw, "default");
    TnList *items = tn_j_iterate(j, v);
    if (!attr && (!args->n || args->v[0].kind != JV_STR)) tn_j_fail(j, "map requires a filter argument");
    for (size_t i = 0; i < items->n; i++) {
        TnVal x;
        if (attr && !args->n) {
            x = attribute(j, items->v[i], *attr);
            if (x.kind == JV_UNDEFINED && otherwise) x = *otherwise;
        } else {
            TnArgs more = rest(args, 1);
            x = tn_j_filter(j, args->v[0].s, items->v[i], &more);
        }
        tn_j_add(j, out.list, x);
    }
    return generator(out);
}
static TnVal join(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal d = tn_j_string(j, tn_j_arg(args, 0, "d", tn_j_of(TN_LIT("")))),
          attr = tn_j_arg(args, 1, "attribute", none());
    TnList *items = tn_j_iterate(j, v);
    TnOut *b = tn_j_open(j);
    for (size_t i = 0; i < items->n; i++) {
        if (i) tn_o_put(b, d.s);
        tn_j_print(j, attr.kind == JV_NONE ? items->v[i] : attribute(j, items->v[i], attr), b);
    }
    return tn_j_close(b);
}
/* As jinja2 compares when case does not count. */
static TnVal folded(TnJinja *j, TnVal v, bool cased) {
    return v.kind == JV_STR && !cased ? tn_j_method(j, v, TN_LIT("lower"), &(TnArgs){0}) : v;
}
static TnVal sorted(TnJinja *j, TnVal v, TnVal attr, bool cased, bool reverse) {
    TnVal out = tn_j_list(j, JV_LIST);
    TnList keys = {0}, *items = tn_j_iterate(j, v);
    for (size_t i = 0; i < items->n; i++) {
        TnVal key = folded(j, attr.kind == JV_NONE ? items->v[i] : attribute(j, items->v[i], attr), cased);
        tn_j_add(j, out.list, items->v[i]);
        tn_j_add(j, &keys, key);
        for (size_t k = i; k > 0; k--) { /* insertion: stable, and the lists are short */
            tn_j_step(j, 1);
            int c = tn_j_order(j, keys.v[k - 1], keys.v[k]);
            if (c == 2 || (reverse ? c >= 0 : c <= 0)) break;
            TnVal t = keys.v[k], w = out.list->v[k];
            keys.v[k] = keys.v[k - 1], out.list->v[k] = out.list->v[k - 1];
            keys.v[k - 1] = t, out.list->v[k - 1] = w;
        }
    }
    return out;
}
static TnVal dictsort(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal by = tn_j_arg(args, 1, "by", tn_j_of(TN_LIT("key")));
    if (v.kind != JV_MAP) tn_j_fail(j, "dictsort of a '%s'", tn_j_type(v));
    TnVal items = tn_j_method(j, v, TN_LIT("items"), &(TnArgs){0});
    bool value = by.kind == JV_STR && is(by.s, "value");
    return sorted(j, items, tn_j_int(value),
                  tn_j_truth(tn_j_arg(args, 0, "case_sensitive", tn_j_bool(false))),
                  tn_j_truth(tn_j_arg(args, 2, "reverse", tn_j_bool(false))));
}
static TnVal indented(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal width = tn_j_arg(args, 0, "width", tn_j_int(4));
    bool first = tn_j_truth(tn_j_arg(args, 1, "first", tn_j_bool(false))),
         blank = tn_j_truth(tn_j_arg(args, 2, "blank", tn_j_bool(false)));
    TnVal pad = width.kind == JV_STR ? width : tn_j_binary(j, TN_LIT("*"), tn_j_of(TN_LIT(" ")), width);
    if (v.kind != JV_STR) tn_j_fail(j, "indent of a '%s'", tn_j_type(v));
    TnOut *b = tn_j_open(j);
    for (size_t i = 0, start = 0; i <= v.s.n; i++) {
        if (i < v.s.n && v.s.p[i] != '\n') continue;
        if (start ? i > start || blank : first) tn_o_put(b, pad.s);
        tn_o_put(b, tn_j_cut(v.s, start, i + (i < v.s.n)));
        start = i + 1;
    }
    return tn_j_close(b);
}
static TnVal json(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal indent = tn_j_name(&args->kw, "indent") ? *tn_j_name(&args->kw, "indent")
                   : args->n > 1                  ? args->v[1]
                                                  : none();
    for (size_t i = 0; i < args->kw.n; i++)
        if (!is(args->kw.k[i].s, "indent") &&
            !(is(args->kw.k[i].s, "ensure_ascii") && !tn_j_truth(args->kw.v[i])))
            tn_j_fail(j, "tojson: '%.*s' is not supported", (int)args->kw.k[i].s.n, args->kw.k[i].s.p);
    if (indent.kind != JV_NONE && (indent.kind != JV_INT || indent.i < 0 || indent.i > 100))
        tn_j_fail(j, "tojson: the indent must be 0 to 100");
    if (args->n && tn_j_truth(args->v[0])) tn_j_fail(j, "tojson: ensure_ascii is not supported");
    TnOut *b = tn_j_open(j);
    tn_j_tojson(j, v, indent.kind == JV_NONE ? -1 : (int)indent.i, 0, false, b);
    return tn_j_close(b);
}
static TnVal number(TnJinja *j, TnVal v, const TnArgs *args, bool whole) {
    TnVal otherwise = tn_j_arg(args, 0, "default", whole ? tn_j_int(0) : (TnVal){.kind = JV_FLOAT});
    double f;
    if (v.kind == JV_STR) {
        if (!v.s.n || v.s.n > 60 || memchr(v.s.p, '_', v.s.n) || memchr(v.s.p, 'x', v.s.n)) return otherwise;
        char t[64], *end;
        memcpy(t, v.s.p, v.s.n), t[v.s.n] = 0;
        f = strtod(t, &end);
        while (tn_j_space(end, strlen(end))) end += tn_j_space(end, strlen(end));
        if (end == t || *end) return otherwise;
        if (whole && !strpbrk(t, ".eEnN") && fabs(f) < 9e18) return tn_j_int(strtoll(t, NULL, 10));
    } else if (!tn_j_number(v, &f)) {
        return otherwise;
    } else if (whole && v.kind != JV_FLOAT) {
        return tn_j_int(v.i);
    }
    if (!whole) return (TnVal){.kind = JV_FLOAT, .f = f};
    if (!(fabs(f) < 9e18)) tn_j_fail(j, "an integer beyond 64 bits");
    return tn_j_int((int64_t)f);
}
static TnVal extreme(TnJinja *j, TnVal v, bool most) {
    TnList *items = tn_j_iterate(j, v);
    TnVal best = items->n ? items->v[0] : tn_j_undefined(TN_LIT("an item of an empty sequence"));
    for (size_t i = 1; i < items->n; i++) {
        int c = tn_j_order(j, folded(j, items->v[i], false), folded(j, best, false));
        if (most ? c == 1 || (c > 0 && c != 2) : c < 0) best = items->v[i];
    }
    return best;
}
static TnVal reversed(TnJinja *j, TnVal v) {
    if (v.kind == JV_STR) return tn_j_slice(j, v, none(), none(), tn_j_int(-1));
    TnVal out = tn_j_list(j, JV_LIST);
    TnList *items = tn_j_iterate(j, v);
    for (size_t i = items->n; i-- > 0;) tn_j_add(j, out.list, items->v[i]);
    return generator(out);
}
static TnVal unique(TnJinja *j, TnVal v) {
    TnVal out = tn_j_list(j, JV_LIST), seen = tn_j_map(j);
    TnList *items = tn_j_iterate(j, v);
    for (size_t i = 0; i < items->n; i++) {
        TnVal key = folded(j, items->v[i], false);
        if (tn_j_get(j, seen.map, key)) continue;
        tn_j_put(j, seen.map, key, none());
        tn_j_add(j, out.list, items->v[i]);
    }
    return generator(out);
}
static TnVal method(TnJinja *j, TnVal v, const char *name, const TnArgs *args) {
    return tn_j_method(j, tn_j_string(j, v), tn_j_plain(name, strlen(name)), args);
}
static TnVal texts(TnJinja *j, TnStr f, TnVal v, const TnArgs *args) {
    static const char *const cases[] = {"upper", "lower", "capitalize"};
    for (size_t k = 0; k < TN_COUNT(cases); k++)
        if (is(f, cases[k])) return method(j, v, cases[k], args);
    if (is(f, "trim")) return method(j, v, "strip", args);
    if (is(f, "replace")) {
        TnArgs a = *args;
        TnVal s[3] = {none(), none(), tn_j_int(-1)};
        if (args->n < 2) tn_j_fail(j, "replace: got %zu arguments, expected 2", args->n);
        s[0] = tn_j_string(j, args->v[0]), s[1] = tn_j_string(j, args->v[1]);
        TnVal most = tn_j_arg(args, 2, "count", none());
        if (most.kind != JV_NONE) s[2] = most;
        a.v = s, a.n = 3;
        return method(j, v, "replace", &a);
    }
    if (is(f, "string") || is(f, "safe")) return tn_j_string(j, v);
    if (is(f, "indent")) return indented(j, v, args);
    if (is(f, "tojson")) return json(j, v, args);
    if (is(f, "format")) {
        TnVal t = tn_j_list(j, JV_TUPLE);
        for (size_t i = 0; i < args->n; i++) tn_j_add(j, t.list, args->v[i]);
        return tn_j_format(j, tn_j_string(j, v), t);
    }
    tn_j_fail(j, "No filter named '%.*s'", (int)(f.n < 60 ? f.n : 60), f.p);
}
TnVal tn_j_filter(TnJinja *j, TnStr f, TnVal v, const TnArgs *args) {
    if (is(f, "default") || is(f, "d")) {
        bool empty = tn_j_truth(tn_j_arg(args, 1, "boolean", tn_j_bool(false)));
        bool use = v.kind == JV_UNDEFINED || (empty && !tn_j_truth(v));
        return use ? tn_j_arg(args, 0, "default_value", tn_j_of(TN_LIT(""))) : v;
    }
    if (is(f, "length") || is(f, "count")) return tn_j_int((int64_t)tn_j_length(j, v));
    if (is(f, "join")) return join(j, v, args);
    if (is(f, "list")) return (TnVal){.kind = JV_LIST, .list = tn_j_iterate(j, v)};
    if (is(f, "select") || is(f, "reject")) return chosen(j, v, args, f.p[0] == 's', false);
    if (is(f, "selectattr") || is(f, "rejectattr")) return chosen(j, v, args, f.p[0] == 's', true);
    if (is(f, "map")) return map(j, v, args);
    if (is(f, "int")) return number(j, v, args, true);
    if (is(f, "float")) return number(j, v, args, false);
    if (is(f, "min") || is(f, "max")) return extreme(j, v, f.p[1] == 'a');
    if (is(f, "reverse")) return reversed(j, v);
    if (is(f, "unique")) return unique(j, v);
    if (is(f, "dictsort")) return dictsort(j, v, args);
    if (is(f, "sort"))
        return sorted(j, v, tn_j_arg(args, 2, "attribute", none()),
                      tn_j_truth(tn_j_arg(args, 1, "case_sensitive", tn_j_bool(false))),
                      tn_j_truth(tn_j_arg(args, 0, "reverse", tn_j_bool(false))));
    if (is(f, "items")) {
        if (v.kind != JV_MAP && v.kind != JV_UNDEFINED)
            tn_j_fail(j, "Can only get item pairs from a mapping.");
        return generator(v.kind == JV_MAP ? tn_j_method(j, v, f, args) : tn_j_list(j, JV_LIST));
    }
    if (is(f, "first") || is(f, "last")) {
        if (is(f, "last") && (v.kind == JV_LIST || v.kind == JV_TUPLE) && v.list->kind == JL_GENERATOR)
            tn_j_fail(j, "'generator' object is not reversible");
        TnList *items = tn_j_iterate(j, v);
        if (!items->n) return tn_j_undefined(TN_LIT("an item of an empty sequence"));
        return items->v[is(f, "first") ? 0 : items->n - 1];
    }
    if (is(f, "sum")) {
        TnVal sum = tn_j_arg(args, 1, "start", tn_j_int(0)), attr = tn_j_arg(args, 0, "attribute", none());
        TnList *items = tn_j_iterate(j, v);
        for (size_t i = 0; i < items->n; i++)
            sum = tn_j_binary(j, TN_LIT("+"), sum,
                              attr.kind == JV_NONE ? items->v[i] : attribute(j, items->v[i], attr));
        return sum;
    }
    if (is(f, "abs")) {
        bool minus = v.kind == JV_FLOAT ? v.f < 0 : v.i < 0;
        if (v.kind == JV_FLOAT) return v.f = fabs(v.f), v;
        return minus ? tn_j_binary(j, TN_LIT("*"), v, tn_j_int(-1))
                     : tn_j_binary(j, TN_LIT("+"), v, tn_j_int(0));
    }
    return texts(j, f, v, args);
}
