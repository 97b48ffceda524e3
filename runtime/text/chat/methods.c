/* The methods of strings, lists and maps, and the global functions. What would change a value is refused, as in
 * jinja2's immutable sandbox. */
#include <stdio.h>
#include <time.h>
#include "jinja.h"

TnVal tn_j_arg(const TnArgs *args, size_t at, const char *name, TnVal otherwise) {
    TnVal *named = tn_j_name(&args->kw, name);
    return at < args->n ? args->v[at] : named ? *named : otherwise;
}
static const char *const of_str[] = {"strip",      "lstrip",   "rstrip",  "split", "rsplit", "splitlines",
                                     "startswith", "endswith", "replace", "upper", "lower",  "title",
                                     "capitalize", "find",     "rfind",   "count", "join",   "isdigit",
                                     "isspace",    "index",    NULL};
static const char *const of_map[] = {"get", "items", "keys", "values", "copy", NULL};
static const char *const of_list[] = {"index", "count", NULL};

bool tn_j_has_method(TnVal v, TnStr name) {
    static const char *const none[] = {NULL}, *const next[] = {"next", "reset", NULL};
    const char *const *m = v.kind == JV_STR                          ? of_str
                           : v.kind == JV_MAP                        ? of_map
                           : v.kind == JV_LIST || v.kind == JV_TUPLE ? of_list
                           : v.kind == JV_CYCLER                     ? next
                                                                     : none;
    while (*m && !tn_j_same(name, *m)) m++;
    return *m != NULL;
}
static TnStr text_arg(TnJinja *j, const TnArgs *args, size_t at) {
    if (at >= args->n || args->v[at].kind != JV_STR)
        tn_j_fail(j, "argument %zu of a method of str is no string", at + 1);
    return args->v[at].s;
}
static bool one_of(TnStr set, const char *p, size_t n) {
    return set.p ? memmem(set.p, set.n, p, n) != NULL : tn_j_space(p, n) == n;
}
static TnVal strip(TnStr s, TnStr set, bool left, bool right) {
    while (left && s.n) {
        size_t k = 1;
        while (k < s.n && (s.p[k] & 0xc0) == 0x80) k++;
        if (!one_of(set, s.p, k)) break;
        s = tn_j_cut(s, k, s.n);
    }
    while (right && s.n) {
        size_t k = 1;
        while (k < s.n && (s.p[s.n - k] & 0xc0) == 0x80) k++;
        if (!one_of(set, s.p + s.n - k, k)) break;
        s.n -= k;
    }
    return tn_j_of(s);
}
static TnVal split(TnJinja *j, TnStr s, const TnArgs *args) {
    TnVal sep = tn_j_arg(args, 0, "sep", (TnVal){.kind = JV_NONE}),
          most = tn_j_arg(args, 1, "maxsplit", tn_j_int(-1)), out = tn_j_list(j, JV_LIST);
    if (most.kind != JV_INT || (sep.kind != JV_STR && sep.kind != JV_NONE))
        tn_j_fail(j, "split: got a '%s', expected a string", tn_j_type(sep));
    if (sep.kind == JV_STR && !sep.s.n) tn_j_fail(j, "empty separator");
    size_t limit = most.i < 0 ? SIZE_MAX : (size_t)most.i;
    while (sep.kind == JV_STR) {
        const char *at = out.list->n < limit ? memmem(s.p, s.n, sep.s.p, sep.s.n) : NULL;
        size_t n = at ? (size_t)(at - s.p) : s.n;
        tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, 0, n)));
        if (!at) return out;
        s = tn_j_cut(s, n + sep.s.n, s.n);
    }
    for (;;) {
        s = strip(s, (TnStr){0}, true, false).s;
        if (!s.n) return out;
        size_t n = 0;
        if (out.list->n == limit) n = s.n; /* the rest keeps its white space */
        while (n < s.n && !tn_j_space(s.p + n, s.n - n)) n++;
        tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, 0, n)));
        s = tn_j_cut(s, n, s.n);
    }
}
static TnVal replace(TnJinja *j, TnStr s, TnStr from, TnStr to, int64_t most) {
    TnOut *b = tn_j_open(j);
    for (size_t i = 0; i <= s.n;) {
        bool here = most != 0 && s.n - i >= from.n && (!from.n || memcmp(s.p + i, from.p, from.n) == 0);
        if (here) tn_o_put(b, to), most--;
        if (here && from.n) {
            i += from.n;
            continue;
        }
        if (i == s.n) break;
        do tn_o_put(b, tn_j_cut(s, i, i + 1)), i++;
        while (i < s.n && (s.p[i] & 0xc0) == 0x80);
    }
    tn_j_step(j, s.n / 64);
    return tn_j_close(b);
}
static TnVal letters(TnJinja *j, TnStr s, TnStr how) {
    char *p = tn_j_alloc(j, s.n + 1, 1);
    bool word = false; /* inside a word */
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c & 0x80) tn_j_fail(j, "changing the case of text beyond ASCII is not supported");
        bool low = c >= 'a' && c <= 'z', up = c >= 'A' && c <= 'Z';
        bool big = tn_j_same(how, "upper") || (tn_j_same(how, "capitalize") && i == 0) ||
                   (tn_j_same(how, "title") && !word);
        p[i] = big && low ? (char)(c - 32) : !big && up ? (char)(c + 32) : c;
        word = low || up;
    }
    return tn_j_of((TnStr){p, s.n, s.m});
}
static bool edge(TnJinja *j, TnStr s, TnVal what, bool end) {
    if (what.kind == JV_TUPLE) {
        for (size_t i = 0; i < what.list->n; i++)
            if (edge(j, s, what.list->v[i], end)) return true;
        return false;
    }
    if (what.kind != JV_STR) tn_j_fail(j, "startswith and endswith need a string, not '%s'", tn_j_type(what));
    return s.n >= what.s.n && memcmp(end ? s.p + s.n - what.s.n : s.p, what.s.p, what.s.n) == 0;
}
static TnVal find(TnJinja *j, TnStr s, TnStr what, TnStr how) {
    int64_t found = -1, count = 0;
    for (size_t i = 0; i + what.n <= s.n; i++) {
        if (what.n && memcmp(s.p + i, what.p, what.n)) continue;
        if (i < s.n && (s.p[i] & 0xc0) == 0x80) continue;
        found = (int64_t)tn_j_chars(tn_j_cut(s, 0, i));
        count++;
        if (tn_j_same(how, "find") || tn_j_same(how, "index")) break;
        if (tn_j_same(how, "count") && what.n) i += what.n - 1;
    }
    if (found < 0 && tn_j_same(how, "index")) tn_j_fail(j, "substring not found");
    return tn_j_int(tn_j_same(how, "count") ? count : found);
}
static TnVal of_text(TnJinja *j, TnStr s, TnStr name, const TnArgs *args) {
    if (tn_j_same(name, "strip") || tn_j_same(name, "lstrip") || tn_j_same(name, "rstrip")) {
        TnStr set = {0};
        if (args->n && args->v[0].kind != JV_NONE) set = text_arg(j, args, 0);
        if (args->n > 1 || args->kw.n) tn_j_fail(j, "strip takes at most one argument");
        return strip(s, set, name.p[0] != 'r', name.p[0] != 'l');
    }
    if (tn_j_same(name, "split")) return split(j, s, args);
    if (tn_j_same(name, "startswith") || tn_j_same(name, "endswith")) {
        if (args->n != 1) tn_j_fail(j, "startswith and endswith: got %zu arguments, expected 1", args->n);
        return tn_j_bool(edge(j, s, args->v[0], name.p[0] == 'e'));
    }
    if (tn_j_same(name, "replace")) {
        TnVal most = tn_j_arg(args, 2, "count", tn_j_int(-1));
        if (args->n > 3 || most.kind != JV_INT) tn_j_fail(j, "replace: wrong arguments");
        return replace(j, s, text_arg(j, args, 0), text_arg(j, args, 1), most.i);
    }
    if (tn_j_same(name, "upper") || tn_j_same(name, "lower") || tn_j_same(name, "title") ||
        tn_j_same(name, "capitalize")) {
        if (args->n || args->kw.n) tn_j_fail(j, "'%.*s' takes no arguments", (int)name.n, name.p);
        return letters(j, s, name);
    }
    if (tn_j_same(name, "find") || tn_j_same(name, "rfind") || tn_j_same(name, "count") ||
        tn_j_same(name, "index")) {
        if (args->n != 1) tn_j_fail(j, "find and count from a place are not supported");
        return find(j, s, text_arg(j, args, 0), name);
    }
    if (tn_j_same(name, "join") && args->n == 1) {
        TnList *items = tn_j_iterate(j, args->v[0]);
        TnOut *b = tn_j_open(j);
        for (size_t i = 0; i < items->n; i++) {
            if (items->v[i].kind != JV_STR) tn_j_fail(j, "join: item %zu is no string", i);
            if (i) tn_o_put(b, s);
            tn_o_put(b, items->v[i].s);
        }
        return tn_j_close(b);
    }
    tn_j_fail(j, "the method '%.*s' of str is not supported", (int)name.n, name.p);
}
static TnVal of_dict(TnJinja *j, TnMap *map, TnStr name, const TnArgs *args) {
    if (tn_j_same(name, "get")) {
        if (args->n < 1 || args->n > 2 || args->kw.n)
            tn_j_fail(j, "get: got %zu arguments, expected 1 or 2", args->n);
        TnVal *v = tn_j_get(j, map, args->v[0]);
        return v ? *v : args->n > 1 ? args->v[1] : (TnVal){.kind = JV_NONE};
    }
    if (args->n || args->kw.n) tn_j_fail(j, "'%.*s' takes no arguments", (int)name.n, name.p);
    if (tn_j_same(name, "copy")) {
        TnVal copy = tn_j_map(j);
        for (size_t i = 0; i < map->n; i++) tn_j_put(j, copy.map, map->k[i], map->v[i]);
        return copy;
    }
    TnVal out = tn_j_list(j, JV_LIST);
    for (size_t i = 0; i < map->n; i++) {
        TnVal pair = tn_j_list(j, JV_TUPLE);
        tn_j_add(j, pair.list, map->k[i]);
        tn_j_add(j, pair.list, map->v[i]);
        tn_j_add(j, out.list,
                 tn_j_same(name, "items")  ? pair
                 : tn_j_same(name, "keys") ? map->k[i]
                                           : map->v[i]);
    }
    out.list->kind = JL_VIEW;
    return out;
}
TnVal tn_j_method(TnJinja *j, TnVal self, TnStr name, const TnArgs *args) {
    if (self.kind == JV_STR) return of_text(j, self.s, name, args);
    if (self.kind == JV_MAP) return of_dict(j, self.map, name, args);
    if (self.kind == JV_JOINER) return self.list->at++ ? self.list->v[0] : tn_j_of(TN_LIT(""));
    if (self.kind == JV_CYCLER) {
        if (tn_j_same(name, "reset")) return self.list->at = 0, (TnVal){.kind = JV_NONE};
        TnVal v = self.list->v[self.list->at];
        self.list->at = (self.list->at + 1) % self.list->n;
        return v;
    }
    if (self.kind == JV_LOOP && tn_j_same(name, "cycle")) {
        if (!args->n) tn_j_fail(j, "no items for cycling given");
        return args->v[self.loop->at % args->n];
    }
    if (self.kind == JV_LOOP) {
        TnVal now = tn_j_list(j, JV_TUPLE);
        for (size_t i = 0; i < args->n; i++) tn_j_add(j, now.list, args->v[i]);
        bool same = self.loop->changed_set && tn_j_equal(j, now, self.loop->changed);
        self.loop->changed = now, self.loop->changed_set = true;
        return tn_j_bool(!same);
    }
    int64_t count = 0;
    if (args->n != 1 || self.list->kind != JL_PLAIN)
        tn_j_fail(j, "'%.*s' takes one argument", (int)name.n, name.p);
    for (size_t i = 0; i < self.list->n; i++) {
        if (!tn_j_equal(j, self.list->v[i], args->v[0])) continue;
        if (tn_j_same(name, "index")) return tn_j_int((int64_t)i);
        count++;
    }
    if (tn_j_same(name, "index")) tn_j_fail(j, "the value is not in the list");
    return tn_j_int(count);
}

/* ---- global functions */

bool tn_j_is_global(TnStr name) {
    static const char *const names[] = {"range",           "dict",        "namespace", "cycler", "joiner",
                                        "raise_exception", "strftime_now"};
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (tn_j_same(name, names[i])) return true;
    return false;
}
static TnVal range(TnJinja *j, const TnArgs *args) {
    int64_t v[3] = {0, 0, 1};
    if (args->n < 1 || args->n > 3 || args->kw.n)
        tn_j_fail(j, "range: got %zu arguments, expected 1 to 3", args->n);
    for (size_t i = 0; i < args->n; i++) {
        if (args->v[i].kind != JV_INT && args->v[i].kind != JV_BOOL)
            tn_j_fail(j, "range of a '%s'", tn_j_type(args->v[i]));
        v[args->n == 1 ? 1 : i] = args->v[i].i;
    }
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
    if (args->n > 1 || (args->n && args->v[0].kind != JV_MAP))
        tn_j_fail(j, "dict: expected named arguments or one dict");
    for (size_t i = 0; args->n && i < args->v[0].map->n; i++)
        tn_j_put(j, out.map, args->v[0].map->k[i], args->v[0].map->v[i]);
    for (size_t i = 0; i < args->kw.n; i++) tn_j_put(j, out.map, args->kw.k[i], args->kw.v[i]);
    return out;
}
static TnVal clock_text(TnJinja *j, const TnArgs *args) {
    char format[256], text[1024];
    struct tm tm;
    time_t now = (time_t)j->now;
    TnStr f = text_arg(j, args, 0);
    if (f.n >= sizeof format - 1 || memchr(f.p, 0, f.n)) tn_j_fail(j, "strftime_now: the format is too long");
    if (!gmtime_r(&now, &tm)) tn_j_fail(j, "strftime_now: the clock is out of range");
    snprintf(format, sizeof format, "%.*s.", (int)f.n, f.p); /* the dot: an empty result is not an error */
    size_t n = strftime(text, sizeof text, format, &tm);
    if (!n) tn_j_fail(j, "strftime_now: the result is too long");
    TnOut *b = tn_j_open(j);
    tn_o_bytes(b, text, n - 1, 0);
    return tn_j_close(b);
}
TnVal tn_j_global(TnJinja *j, TnStr name, const TnArgs *args) {
    if (tn_j_same(name, "range")) return range(j, args);
    if (tn_j_same(name, "strftime_now")) return clock_text(j, args);
    if (tn_j_same(name, "raise_exception")) {
        TnVal what = tn_j_string(j, tn_j_arg(args, 0, "message", tn_j_of(TN_LIT(""))));
        tn_j_fail(j, "the template refuses: %.*s", (int)(what.s.n < 400 ? what.s.n : 400), what.s.p);
    }
    if (tn_j_same(name, "cycler") || tn_j_same(name, "joiner")) {
        TnVal out = tn_j_list(j, name.p[0] == 'c' ? JV_CYCLER : JV_JOINER);
        for (size_t i = 0; i < args->n; i++) tn_j_add(j, out.list, args->v[i]);
        if (name.p[0] == 'j') tn_j_add(j, out.list, tn_j_arg(args, 0, "sep", tn_j_of(TN_LIT(", "))));
        if (!out.list->n) tn_j_fail(j, "at least one item has to be provided");
        return out;
    }
    TnVal out = dict(j, args);
    if (tn_j_same(name, "namespace")) out.kind = JV_NAMESPACE;
    return out;
}
TnVal tn_j_format(TnJinja *j, TnVal format, TnVal args) {
    TnOut *b = tn_j_open(j);
    size_t at = 0, n = args.kind == JV_TUPLE ? args.list->n : 1;
    for (size_t i = 0; i < format.s.n; i++) {
        if (format.s.p[i] != '%') {
            tn_o_put(b, tn_j_cut(format.s, i, i + 1));
            continue;
        }
        char c = ++i < format.s.n ? format.s.p[i] : 0;
        if (c == '%') {
            tn_o_puts(b, "%");
            continue;
        }
        if (c != 's' && c != 'd') tn_j_fail(j, "format: only %%s, %%d and %%%% are supported");
        if (at == n) tn_j_fail(j, "not enough arguments for format string");
        TnVal v = args.kind == JV_TUPLE ? args.list->v[at] : args;
        at++;
        if (c == 'd' && v.kind != JV_INT)
            tn_j_fail(j, "format: %%d of a '%s' is not supported", tn_j_type(v));
        tn_j_print(j, v, b);
    }
    if (at < n && args.kind != JV_MAP) tn_j_fail(j, "not all arguments converted during string formatting");
    return tn_j_close(b);
}
