/* The methods of strings, lists and maps. What would change a value is refused, as in jinja2's immutable sandbox: such a
 * method is undefined. */
#include <stdio.h>
#include "jinja.h"

static TnVal none(void) {
    return (TnVal){.kind = JV_NONE};
}
static TnStr text_arg(TnJinja *j, const char *what, TnVal v) {
    if (v.kind != JV_STR) tn_j_fail(j, "%s: got a '%s', expected a string", what, tn_j_type(v));
    return v.s;
}

/* ---- strip, split, replace */

static size_t char_at(TnStr s, size_t at) {
    size_t k = at + 1;
    while (k < s.n && (s.p[k] & 0xc0) == 0x80) k++;
    return k;
}
static size_t char_before(TnStr s, size_t at) {
    do at--;
    while (at > 0 && (s.p[at] & 0xc0) == 0x80);
    return at;
}
static bool one_of(TnStr set, TnStr c) {
    return set.p ? memmem(set.p, set.n, c.p, c.n) != NULL : tn_j_space(c.p, c.n) == c.n;
}
TnStr tn_j_strip(TnStr s, TnStr set, bool left, bool right) {
    size_t from = 0, to = s.n, k;
    for (; left && from < to; from = k) {
        k = char_at(s, from);
        if (!one_of(set, tn_j_cut(s, from, k))) break;
    }
    for (; right && from < to; to = k) {
        k = char_before(s, to);
        if (!one_of(set, tn_j_cut(s, k, to))) break;
    }
    return tn_j_cut(s, from, to);
}
static TnVal strip(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[1] = {none()};
    tn_j_positional(j, name, args, 0, 1, a);
    TnStr set = a[0].kind == JV_NONE ? (TnStr){0} : text_arg(j, name, a[0]);
    return tn_j_of(tn_j_strip(s, set, name[0] != 'r', name[0] != 'l'));
}
/* The last occurrence before byte `end`, or NULL. */
static const char *last_of(TnStr s, TnStr what) {
    for (size_t i = s.n < what.n ? 0 : s.n - what.n + 1; i-- > 0;)
        if (memcmp(s.p + i, what.p, what.n) == 0 && (i == s.n || (s.p[i] & 0xc0) != 0x80)) return s.p + i;
    return NULL;
}
static void flip(TnList *list) {
    for (size_t i = 0; i < list->n / 2; i++) {
        TnVal v = list->v[i];
        list->v[i] = list->v[list->n - 1 - i];
        list->v[list->n - 1 - i] = v;
    }
}
static TnVal split_at(TnJinja *j, TnStr s, TnStr sep, size_t limit, bool right) {
    TnVal out = tn_j_list(j, JV_LIST);
    if (!sep.n) tn_j_fail(j, "empty separator");
    for (;;) {
        const char *at = out.list->n >= limit ? NULL
                         : right              ? last_of(s, sep)
                                              : memmem(s.p, s.n, sep.p, sep.n);
        size_t n = at ? (size_t)(at - s.p) : 0;
        tn_j_step(j, 1 + s.n / 256);
        if (!at) break;
        tn_j_add(j, out.list, tn_j_of(right ? tn_j_cut(s, n + sep.n, s.n) : tn_j_cut(s, 0, n)));
        s = right ? tn_j_cut(s, 0, n) : tn_j_cut(s, n + sep.n, s.n);
    }
    tn_j_add(j, out.list, tn_j_of(s));
    if (right) flip(out.list);
    return out;
}
static TnVal split_blank(TnJinja *j, TnStr s, size_t limit, bool right) {
    TnVal out = tn_j_list(j, JV_LIST);
    for (;;) {
        s = tn_j_strip(s, (TnStr){0}, !right, right);
        if (!s.n) break;
        if (out.list->n == limit) { /* the rest keeps its white space inside */
            tn_j_add(j, out.list, tn_j_of(s));
            break;
        }
        size_t at = right ? s.n : 0, k;
        if (right) {
            for (; at > 0; at = k) {
                k = char_before(s, at);
                if (tn_j_space(s.p + k, at - k)) break;
            }
            tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, at, s.n)));
            s = tn_j_cut(s, 0, at);
        } else {
            while (at < s.n && !tn_j_space(s.p + at, s.n - at)) at = char_at(s, at);
            tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, 0, at)));
            s = tn_j_cut(s, at, s.n);
        }
    }
    if (right) flip(out.list);
    return out;
}
static TnVal split(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[2] = {none(), tn_j_int(-1)};
    tn_j_bind(j, name, args, "sep maxsplit", 0, a);
    int64_t most = tn_j_whole(j, a[1], name);
    size_t limit = most < 0 ? SIZE_MAX : (size_t)most;
    if (a[0].kind == JV_NONE) return split_blank(j, s, limit, name[0] == 'r');
    return split_at(j, s, text_arg(j, name, a[0]), limit, name[0] == 'r');
}
TnVal tn_j_lines(TnJinja *j, TnStr s, bool keep) {
    TnVal out = tn_j_list(j, JV_LIST);
    for (size_t from = 0, i = 0, end; i < s.n; from = i) {
        const unsigned char *u = (const unsigned char *)s.p;
        for (end = 0; i < s.n && !end; i += end ? end : 1) {
            if ((u[i] >= 10 && u[i] <= 13) || (u[i] >= 28 && u[i] <= 30))
                end = u[i] == 13 && i + 1 < s.n && u[i + 1] == 10 ? 2 : 1;
            else if (u[i] == 0xc2 && i + 1 < s.n && u[i + 1] == 0x85)
                end = 2;
            else if (u[i] == 0xe2 && i + 2 < s.n && u[i + 1] == 0x80 && (u[i + 2] | 1) == 0xa9)
                end = 3;
        }
        tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, from, keep ? i : i - end)));
    }
    return out;
}
TnVal tn_j_replace(TnJinja *j, TnStr s, TnStr from, TnStr to, int64_t most) {
    TnOut *b = tn_j_open(j);
    tn_j_step(j, 1 + s.n / 64);
    for (size_t i = 0; from.n && i <= s.n;) {
        const char *at = most != 0 ? memmem(s.p + i, s.n - i, from.p, from.n) : NULL;
        size_t n = at ? (size_t)(at - s.p) : s.n;
        tn_o_put(b, tn_j_cut(s, i, n));
        if (!at) break;
        tn_o_put(b, to);
        i = n + from.n, most--;
    }
    for (size_t i = 0, k; !from.n && i <= s.n; i = k) { /* before every character, and at the end */
        if (most != 0) tn_o_put(b, to), most--;
        if (i == s.n) break;
        k = char_at(s, i);
        tn_o_put(b, tn_j_cut(s, i, k));
    }
    return tn_j_close(b);
}
static TnVal partition(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[1], out = tn_j_list(j, JV_TUPLE);
    bool right = name[0] == 'r';
    tn_j_positional(j, name, args, 1, 1, a);
    TnStr sep = text_arg(j, name, a[0]);
    if (!sep.n) tn_j_fail(j, "empty separator");
    const char *at = right ? last_of(s, sep) : memmem(s.p, s.n, sep.p, sep.n);
    size_t n = at ? (size_t)(at - s.p) : right ? 0 : s.n, end = at ? n + sep.n : n;
    tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, 0, n)));
    tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, n, end)));
    tn_j_add(j, out.list, tn_j_of(tn_j_cut(s, end, s.n)));
    return out;
}

/* ---- looking */

/* The part from character a[1] to a[2]; *from is its start in characters, *none: the start is beyond the text. */
static TnStr window(TnJinja *j, TnStr s, const char *name, const TnVal *a, int64_t *from, bool *outside) {
    int64_t n = (int64_t)tn_j_chars(s), at[2] = {0, n};
    for (int k = 0; k < 2; k++) {
        if (a[k + 1].kind == JV_NONE) continue;
        at[k] = tn_j_whole(j, a[k + 1], name);
        if (at[k] < 0) at[k] = at[k] + n < 0 ? 0 : at[k] + n;
    }
    *from = at[0];
    *outside = at[0] > n || at[0] > at[1];
    if (*outside) return TN_LIT("");
    return tn_j_char_range(s, (size_t)at[0], (size_t)(at[1] < n ? at[1] : n));
}
static bool edge(TnJinja *j, TnStr s, const char *name, TnVal what, bool outside) {
    if (what.kind == JV_TUPLE) {
        for (size_t i = 0; i < what.list->n; i++) {
            text_arg(j, name, what.list->v[i]);
            if (edge(j, s, name, what.list->v[i], outside)) return true;
        }
        return false;
    }
    TnStr t = text_arg(j, name, what);
    return !outside && s.n >= t.n && memcmp(name[0] == 'e' ? s.p + s.n - t.n : s.p, t.p, t.n) == 0;
}
static TnVal look(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[3] = {none(), none(), none()};
    int64_t from, count = 0;
    bool outside, right = name[0] == 'r', index = strstr(name, "index") != NULL;
    tn_j_positional(j, name, args, 1, 3, a);
    TnStr part = window(j, s, name, a, &from, &outside);
    if (strstr(name, "with")) return tn_j_bool(edge(j, part, name, a[0], outside));
    TnStr what = text_arg(j, name, a[0]);
    tn_j_step(j, 1 + s.n / 64);
    if (strcmp(name, "count") == 0) {
        if (!what.n) return tn_j_int(outside ? 0 : (int64_t)tn_j_chars(part) + 1);
        for (const char *at; (at = memmem(part.p, part.n, what.p, what.n)); count++)
            part = tn_j_cut(part, (size_t)(at - part.p) + what.n, part.n);
        return tn_j_int(count);
    }
    const char *at = outside ? NULL : right ? last_of(part, what) : memmem(part.p, part.n, what.p, what.n);
    if (!at && !outside && !what.n) at = part.p;
    if (!at && index) tn_j_fail(j, "substring not found");
    return tn_j_int(at ? from + (int64_t)tn_j_chars(tn_j_cut(part, 0, (size_t)(at - part.p))) : -1);
}
/* isdigit and so on, of text in ASCII. */
static TnVal all_are(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    bool all = s.n > 0;
    tn_j_positional(j, name, args, 0, 0, NULL);
    if (strcmp(name, "isspace") == 0) return tn_j_bool(s.n && !tn_j_strip(s, (TnStr){0}, true, false).n);
    if (strcmp(name, "isascii") == 0) all = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool digit = c >= '0' && c <= '9', letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (strcmp(name, "isascii") == 0)
            all &= !(c & 0x80);
        else if (c & 0x80)
            tn_j_fail(j, "%s of text beyond ASCII is not supported", name);
        else
            all &= strcmp(name, "isalpha") == 0   ? letter
                   : strcmp(name, "isalnum") == 0 ? letter || digit
                                                  : digit;
    }
    return tn_j_bool(all);
}

/* ---- making */

static TnVal padded(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[2] = {none(), tn_j_of(TN_LIT(" "))};
    tn_j_positional(j, name, args, 1, name[0] == 'z' ? 1 : 2, a);
    int64_t width = tn_j_whole(j, a[0], name), n = (int64_t)tn_j_chars(s), left = 0;
    TnStr fill = name[0] == 'z' ? TN_LIT("0") : text_arg(j, name, a[1]);
    if (tn_j_chars(fill) != 1)
        tn_j_fail(j, "%s: the fill character must be exactly one character long", name);
    if (width <= n) return tn_j_of(s);
    int64_t pad = width - n;
    if ((uint64_t)pad > j->max_output) tn_j_fail(j, "%s: the width is too large", name);
    if (name[0] == 'c') left = pad / 2 + (pad & width & 1);
    if (name[0] == 'r' || name[0] == 'z') left = pad;
    TnOut *b = tn_j_open(j);
    size_t sign = name[0] == 'z' && s.n && (s.p[0] == '-' || s.p[0] == '+');
    tn_j_step(j, (uint64_t)pad);
    tn_o_put(b, tn_j_cut(s, 0, sign));
    for (int64_t i = 0; i < left; i++) tn_o_put(b, fill);
    tn_o_put(b, tn_j_cut(s, sign, s.n));
    for (int64_t i = left; i < pad; i++) tn_o_put(b, fill);
    return tn_j_close(b);
}
static TnVal joined(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[1];
    tn_j_positional(j, name, args, 1, 1, a);
    TnList *items = tn_j_iterate(j, a[0]);
    TnOut *b = tn_j_open(j);
    for (size_t i = 0; i < items->n; i++) {
        if (items->v[i].kind != JV_STR)
            tn_j_fail(j, "join: item %zu is a '%s', expected a string", i, tn_j_type(items->v[i]));
        if (i) tn_o_put(b, s);
        tn_o_put(b, items->v[i].s);
    }
    return tn_j_close(b);
}
/* str.format with {}, {0} and {name}. */
static TnVal braces(TnJinja *j, TnStr s, const char *method, const TnArgs *args) {
    (void)method;
    TnOut *b = tn_j_open(j);
    size_t next = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c != '{' && c != '}') {
            tn_o_put(b, tn_j_cut(s, i, i + 1));
            continue;
        }
        if (i + 1 < s.n && s.p[i + 1] == c) {
            tn_o_put(b, tn_j_cut(s, i, i + 1)), i++;
            continue;
        }
        const char *end = c == '{' ? memchr(s.p + i, '}', s.n - i) : NULL;
        if (!end) tn_j_fail(j, "format: a brace without its other");
        TnStr name = tn_j_cut(s, i + 1, (size_t)(end - s.p));
        TnVal *named = tn_j_get(j, &args->kw, tn_j_of(name));
        size_t index = 0, k = 0;
        for (; k < name.n && k < 9 && name.p[k] >= '0' && name.p[k] <= '9'; k++)
            index = index * 10 + (size_t)(name.p[k] - '0');
        if (!named && k < name.n) tn_j_fail(j, "format: '{%.*s}' is not supported", (int)name.n, name.p);
        if (!name.n) index = next++;
        if (!named && index >= args->n) tn_j_fail(j, "format: there is no argument %zu", index);
        tn_j_print(j, named ? *named : args->v[index], b);
        i += name.n + 1;
    }
    return tn_j_close(b);
}
static TnVal without(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[1];
    tn_j_positional(j, name, args, 1, 1, a);
    TnStr t = text_arg(j, name, a[0]);
    bool suffix = name[6] == 's';
    if (!t.n || s.n < t.n || memcmp(suffix ? s.p + s.n - t.n : s.p, t.p, t.n) != 0) return tn_j_of(s);
    return tn_j_of(suffix ? tn_j_cut(s, 0, s.n - t.n) : tn_j_cut(s, t.n, s.n));
}
static TnVal cased(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    static const char *const names[] = {"upper", "lower", "capitalize", "title"};
    tn_j_positional(j, name, args, 0, 0, NULL);
    for (int how = 0; how < 4; how++)
        if (strcmp(name, names[how]) == 0) return tn_j_of(tn_j_cased(j, s, (TnCase)how));
    return tn_j_bool(tn_j_is_cased(j, s, name[2] == 'u' ? JC_UPPER : JC_LOWER));
}
static TnVal lines(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[1] = {tn_j_bool(false)};
    tn_j_bind(j, name, args, "keepends", 0, a);
    return tn_j_lines(j, s, tn_j_truth(a[0]));
}
static TnVal replace(TnJinja *j, TnStr s, const char *name, const TnArgs *args) {
    TnVal a[3] = {none(), none(), tn_j_int(-1)};
    tn_j_positional(j, name, args, 2, 3, a);
    int64_t most = tn_j_whole(j, a[2], name);
    return tn_j_replace(j, s, text_arg(j, name, a[0]), text_arg(j, name, a[1]), most);
}

/* Python's methods of str. Those that are not supported are refused when they are called. */
typedef struct TextMethod {
    const char *name;
    TnVal (*call)(TnJinja *j, TnStr s, const char *name, const TnArgs *args); /* NULL: not supported */
} TextMethod;
static const TextMethod text_methods[] = {
    {"strip", strip},          {"lstrip", strip},
    {"rstrip", strip},         {"split", split},
    {"rsplit", split},         {"splitlines", lines},
    {"replace", replace},      {"partition", partition},
    {"rpartition", partition}, {"removeprefix", without},
    {"removesuffix", without}, {"startswith", look},
    {"endswith", look},        {"find", look},
    {"rfind", look},           {"index", look},
    {"rindex", look},          {"count", look},
    {"isdigit", all_are},      {"isdecimal", all_are},
    {"isnumeric", all_are},    {"isalpha", all_are},
    {"isalnum", all_are},      {"isspace", all_are},
    {"isascii", all_are},      {"isupper", cased},
    {"islower", cased},        {"upper", cased},
    {"lower", cased},          {"title", cased},
    {"capitalize", cased},     {"zfill", padded},
    {"ljust", padded},         {"rjust", padded},
    {"center", padded},        {"join", joined},
    {"format", braces},        {"casefold", NULL},
    {"swapcase", NULL},        {"encode", NULL},
    {"expandtabs", NULL},      {"format_map", NULL},
    {"isidentifier", NULL},    {"isprintable", NULL},
    {"istitle", NULL},         {"maketrans", NULL},
    {"translate", NULL},
};

static const TextMethod *text_method(TnStr name) {
    for (size_t i = 0; i < TN_COUNT(text_methods); i++)
        if (tn_j_same(name, text_methods[i].name)) return &text_methods[i];
    return NULL;
}
static TnVal of_text(TnJinja *j, TnVal self, TnStr name, const TnArgs *args) {
    const TextMethod *m = text_method(name);
    TN_CHECK(m);
    if (self.safe) tn_j_fail(j, "changing a text that is marked safe is not supported");
    if (!m->call) tn_j_fail(j, "the method '%s' of str is not supported", m->name);
    return m->call(j, self.s, m->name, args);
}

/* ---- the others */

static TnVal of_dict(TnJinja *j, TnMap *map, TnStr name, const TnArgs *args) {
    TnVal a[2] = {none(), none()};
    if (tn_j_same(name, "get")) {
        tn_j_positional(j, "get", args, 1, 2, a);
        TnVal *v = tn_j_get(j, map, a[0]);
        return v ? *v : a[1];
    }
    if (tn_j_same(name, "fromkeys")) tn_j_fail(j, "the method 'fromkeys' of dict is not supported");
    tn_j_positional(j, "a method of dict", args, 0, 0, NULL);
    if (tn_j_same(name, "copy")) {
        TnVal copy = tn_j_map(j);
        for (size_t i = 0; i < map->n; i++) tn_j_put(j, copy.map, map->k[i], map->v[i]);
        return copy;
    }
    TnVal out = tn_j_list(j, JV_LIST);
    bool keys = tn_j_same(name, "keys"), values = tn_j_same(name, "values");
    for (size_t i = 0; i < map->n; i++) {
        TnVal pair = keys ? map->k[i] : map->v[i];
        if (!keys && !values) {
            pair = tn_j_list(j, JV_TUPLE);
            tn_j_add(j, pair.list, map->k[i]);
            tn_j_add(j, pair.list, map->v[i]);
        }
        tn_j_add(j, out.list, pair);
    }
    out.list->kind = JL_VIEW;
    out.list->at = keys ? 0 : values ? 1 : 2;
    return out;
}
static TnVal of_loops(TnJinja *j, TnLoop *loop, TnStr name, const TnArgs *args) {
    if (args->kw.n) tn_j_fail(j, "a method of loop takes no named arguments");
    if (tn_j_same(name, "cycle")) {
        if (!args->n) tn_j_fail(j, "no items for cycling given");
        return args->v[loop->at % args->n];
    }
    TnVal now = tn_j_list(j, JV_TUPLE);
    for (size_t i = 0; i < args->n; i++) tn_j_add(j, now.list, args->v[i]);
    bool same = loop->changed_set && tn_j_equal(j, now, loop->changed);
    loop->changed = now, loop->changed_set = true;
    return tn_j_bool(!same);
}
static TnVal of_row(TnJinja *j, TnVal self, TnStr name, const TnArgs *args) {
    int64_t count = 0;
    TnVal a[1];
    if (tn_j_same(name, "copy")) {
        tn_j_positional(j, "copy", args, 0, 0, NULL);
        return (TnVal){.kind = JV_LIST, .list = tn_j_iterate(j, self)};
    }
    tn_j_positional(j, "index or count", args, 1, 1, a);
    for (size_t i = 0; i < self.list->n; i++) {
        if (!tn_j_equal(j, self.list->v[i], a[0])) continue;
        if (tn_j_same(name, "index")) return tn_j_int((int64_t)i);
        count++;
    }
    if (tn_j_same(name, "index")) tn_j_fail(j, "the value is not in the list");
    return tn_j_int(count);
}

/* ---- all of them */

bool tn_j_has_method(TnVal v, TnStr name) {
    static const char *const of_map[] = {"get", "items", "keys", "values", "copy", "fromkeys", NULL};
    static const char *const of_list[] = {"index", "count", "copy", NULL};
    static const char *const of_tuple[] = {"index", "count", NULL};
    static const char *const of_loop[] = {"cycle", "changed", NULL};
    static const char *const of_cycler[] = {"next", "reset", NULL};
    static const char *const nothing[] = {NULL};
    if (v.kind == JV_STR) return text_method(name) != NULL;
    bool plain = (v.kind == JV_LIST || v.kind == JV_TUPLE) && v.list->kind == JL_PLAIN;
    bool is_range = v.kind == JV_LIST && v.list->kind == JL_RANGE;
    const char *const *m = v.kind == JV_MAP              ? of_map
                           : v.kind == JV_LIST && plain  ? of_list
                           : v.kind == JV_TUPLE && plain ? of_tuple
                           : is_range                    ? of_tuple
                           : v.kind == JV_LOOP           ? of_loop
                           : v.kind == JV_CYCLER         ? of_cycler
                                                         : nothing;
    while (*m && !tn_j_same(name, *m)) m++;
    return *m != NULL;
}
TnVal tn_j_method(TnJinja *j, TnVal self, TnStr name, const TnArgs *args) {
    if (self.kind == JV_STR) return of_text(j, self, name, args);
    if (self.kind == JV_MAP) return of_dict(j, self.map, name, args);
    if (self.kind == JV_LOOP) return of_loops(j, self.loop, name, args);
    if (self.kind == JV_LIST || self.kind == JV_TUPLE) return of_row(j, self, name, args);
    tn_j_positional(j, "a method of a cycler or joiner", args, 0, 0, NULL);
    if (self.kind == JV_JOINER) return self.list->at++ ? self.list->v[0] : tn_j_of(TN_LIT(""));
    if (tn_j_same(name, "reset")) return self.list->at = 0, none();
    TnVal v = self.list->v[self.list->at];
    self.list->at = (self.list->at + 1) % self.list->n;
    return v;
}
