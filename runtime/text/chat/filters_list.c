/* Filters of lists. Those that are lazy (filters.c) give the whole list here. */
#include "jinja.h"

static TnVal none(void) {
    return (TnVal){.kind = JV_NONE};
}
/* "a.b.0" of a value, as the arguments `attribute` have it; an integer is an item. */
static TnVal attribute(TnJinja *j, TnVal v, TnVal path, TnVal otherwise) {
    if (path.kind == JV_NONE) return v;
    if (path.kind != JV_STR) {
        v = tn_j_item(j, v, path);
        return v.kind == JV_UNDEFINED && otherwise.kind != JV_NONE ? otherwise : v;
    }
    for (TnStr s = path.s;;) {
        const char *dot = memchr(s.p, '.', s.n);
        size_t n = dot ? (size_t)(dot - s.p) : s.n;
        bool digits = n > 0 && n < 10;
        int64_t index = 0;
        for (size_t k = 0; digits && k < n; k++)
            digits = s.p[k] >= '0' && s.p[k] <= '9', index = index * 10 + s.p[k] - '0';
        v = tn_j_item(j, v, digits ? tn_j_int(index) : tn_j_of(tn_j_cut(s, 0, n)));
        if (v.kind == JV_UNDEFINED && otherwise.kind != JV_NONE) v = otherwise;
        if (!dot) return v;
        s = tn_j_cut(s, n + 1, s.n);
    }
}
/* As jinja2 compares when case does not count. */
static TnVal folded(TnJinja *j, TnVal v, bool cased) {
    return v.kind == JV_STR && !cased ? tn_j_of(tn_j_cased(j, v.s, JC_LOWER)) : v;
}

/* ---- order */

/* Sorts v by keys, merging runs; equal ones keep their order. Fails if two keys have no order. */
static void merge_sort(TnJinja *j, TnVal *v, TnVal *keys, size_t n, bool reverse, TnVal *room) {
    if (n < 2) return;
    size_t half = n / 2, a = 0, b = half, k = 0;
    merge_sort(j, v, keys, half, reverse, room);
    merge_sort(j, v + half, keys + half, n - half, reverse, room);
    tn_j_step(j, n);
    while (a < half || b < n) {
        bool second = a == half;
        if (a < half && b < n) {
            int c = reverse ? tn_j_order(j, keys[a], keys[b]) : tn_j_order(j, keys[b], keys[a]);
            second = c == -1;
        }
        size_t from = second ? b++ : a++;
        room[k] = v[from], room[n + k++] = keys[from];
    }
    memcpy(v, room, n * sizeof *v);
    memcpy(keys, room + n, n * sizeof *v);
}
/* Several attributes, "a,b": a list of their values. */
static TnVal attributes(TnJinja *j, TnVal v, TnVal path, bool cased) {
    TnVal out = tn_j_list(j, JV_LIST);
    if (path.kind != JV_STR) {
        tn_j_add(j, out.list, folded(j, attribute(j, v, path, none()), cased));
        return out;
    }
    for (TnStr s = path.s;;) {
        const char *comma = memchr(s.p, ',', s.n);
        size_t n = comma ? (size_t)(comma - s.p) : s.n;
        TnVal part = attribute(j, v, tn_j_of(tn_j_cut(s, 0, n)), none());
        tn_j_add(j, out.list, folded(j, part, cased));
        if (!comma) return out;
        s = tn_j_cut(s, n + 1, s.n);
    }
}
/* A new list. */
static TnVal sorted(TnJinja *j, const TnList *items, const TnList *keys, bool reverse) {
    TnVal out = tn_j_list(j, JV_LIST);
    for (size_t i = 0; i < items->n; i++) tn_j_add(j, out.list, items->v[i]);
    TnVal *room = tn_j_alloc(j, items->n * 2, sizeof *room);
    merge_sort(j, out.list->v, keys->v, out.list->n, reverse, room);
    return out;
}
static TnVal f_sort(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[3] = {tn_j_bool(false), tn_j_bool(false), none()};
    tn_j_bind(j, "sort", args, "reverse case_sensitive attribute", 0, a);
    TnList *items = tn_j_iterate(j, v), *keys = tn_j_list(j, JV_LIST).list;
    for (size_t i = 0; i < items->n; i++)
        tn_j_add(j, keys, attributes(j, items->v[i], a[2], tn_j_truth(a[1])));
    return sorted(j, items, keys, tn_j_truth(a[0]));
}
static TnVal f_dictsort(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[3] = {tn_j_bool(false), tn_j_of(TN_LIT("key")), tn_j_bool(false)};
    tn_j_bind(j, "dictsort", args, "case_sensitive by reverse", 0, a);
    bool value = a[1].kind == JV_STR && tn_j_same(a[1].s, "value");
    if (!value && !(a[1].kind == JV_STR && tn_j_same(a[1].s, "key")))
        tn_j_fail(j, "dictsort: 'by' must be key or value");
    if (v.kind == JV_UNDEFINED) tn_j_no_part(j, v);
    if (v.kind != JV_MAP) tn_j_fail(j, "dictsort of a '%s'", tn_j_type(v));
    TnVal items = tn_j_method(j, v, TN_LIT("items"), &(TnArgs){0});
    TnList *keys = tn_j_list(j, JV_LIST).list;
    for (size_t i = 0; i < items.list->n; i++)
        tn_j_add(j, keys, folded(j, value ? v.map->v[i] : v.map->k[i], tn_j_truth(a[0])));
    return sorted(j, items.list, keys, tn_j_truth(a[2]));
}
static TnVal f_groupby(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[3] = {none(), none(), tn_j_bool(false)}, out = tn_j_list(j, JV_LIST), last = none();
    tn_j_bind(j, "groupby", args, "attribute default case_sensitive", 1, a);
    bool cased = tn_j_truth(a[2]);
    TnList *items = tn_j_iterate(j, v), *keys = tn_j_list(j, JV_LIST).list;
    for (size_t i = 0; i < items->n; i++)
        tn_j_add(j, keys, folded(j, attribute(j, items->v[i], a[0], a[1]), cased));
    TnVal list = sorted(j, items, keys, false);
    for (size_t i = 0; i < list.list->n; i++) {
        TnVal key = attribute(j, list.list->v[i], a[0], a[1]), fold = folded(j, key, cased);
        if (i == 0 || !tn_j_equal(j, fold, last)) {
            TnVal pair = tn_j_list(j, JV_TUPLE);
            pair.list->group = true;
            tn_j_add(j, pair.list, key);
            tn_j_add(j, pair.list, tn_j_list(j, JV_LIST));
            tn_j_add(j, out.list, pair);
        }
        tn_j_add(j, out.list->v[out.list->n - 1].list->v[1].list, list.list->v[i]);
        last = fold;
    }
    return out;
}
static TnVal extreme(TnJinja *j, TnVal v, const TnArgs *args, const char *name, bool most) {
    TnVal a[2] = {tn_j_bool(false), none()};
    tn_j_bind(j, name, args, "case_sensitive attribute", 0, a);
    TnList *items = tn_j_iterate(j, v);
    if (!items->n) return tn_j_undefined(TN_LIT("an item of an empty sequence"));
    TnVal best = items->v[0], key = none();
    for (size_t i = 0; i < items->n; i++) {
        TnVal now = folded(j, attribute(j, items->v[i], a[1], none()), tn_j_truth(a[0]));
        int c = i ? tn_j_order(j, now, key) : most ? 1 : -1;
        if (c == (most ? 1 : -1)) best = items->v[i], key = now;
    }
    return best;
}
static TnVal f_min(TnJinja *j, TnVal v, const TnArgs *args) {
    return extreme(j, v, args, "min", false);
}
static TnVal f_max(TnJinja *j, TnVal v, const TnArgs *args) {
    return extreme(j, v, args, "max", true);
}
static TnVal f_unique(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {tn_j_bool(false), none()}, out = tn_j_list(j, JV_LIST), seen = tn_j_map(j);
    tn_j_bind(j, "unique", args, "case_sensitive attribute", 0, a);
    TnList *items = tn_j_iterate(j, v);
    for (size_t i = 0; i < items->n; i++) {
        TnVal key = folded(j, attribute(j, items->v[i], a[1], none()), tn_j_truth(a[0]));
        if (tn_j_get(j, seen.map, key)) continue;
        tn_j_put(j, seen.map, key, none());
        tn_j_add(j, out.list, items->v[i]);
    }
    return out;
}

/* ---- each item */

static TnArgs rest(const TnArgs *args, size_t skip) {
    return (TnArgs){args->v + skip, args->n - skip, args->kw};
}
static TnVal chosen(TnJinja *j, TnVal v, const TnArgs *args, bool keep, bool attr) {
    TnVal out = tn_j_list(j, JV_LIST);
    size_t skip = attr;
    if (!tn_j_truth(v)) return out;
    if (args->n < skip) tn_j_fail(j, "Missing parameter for attribute name");
    TnList *items = tn_j_iterate(j, v);
    for (size_t i = 0; i < items->n; i++) {
        TnVal x = attr ? attribute(j, items->v[i], args->v[0], none()) : items->v[i];
        bool yes = false;
        if (args->n > skip) {
            TnArgs more = rest(args, skip + 1);
            if (args->v[skip].kind != JV_STR) tn_j_fail(j, "the name of a test is no string");
            yes = tn_j_test(j, args->v[skip].s, x, &more);
        } else {
            yes = tn_j_truth(x);
        }
        if (yes == keep) tn_j_add(j, out.list, items->v[i]);
    }
    return out;
}
static TnVal f_select(TnJinja *j, TnVal v, const TnArgs *args) {
    return chosen(j, v, args, true, false);
}
static TnVal f_reject(TnJinja *j, TnVal v, const TnArgs *args) {
    return chosen(j, v, args, false, false);
}
static TnVal f_selectattr(TnJinja *j, TnVal v, const TnArgs *args) {
    return chosen(j, v, args, true, true);
}
static TnVal f_rejectattr(TnJinja *j, TnVal v, const TnArgs *args) {
    return chosen(j, v, args, false, true);
}
static TnVal f_map(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal out = tn_j_list(j, JV_LIST), *attr = tn_j_name(&args->kw, "attribute"),
          *otherwise = tn_j_name(&args->kw, "default");
    if (!tn_j_truth(v)) return out;
    if (args->n) attr = NULL;
    if (!attr && (!args->n || args->v[0].kind != JV_STR)) tn_j_fail(j, "map requires a filter argument");
    if (attr && args->kw.n > 1u + (otherwise != NULL)) tn_j_fail(j, "map: unexpected keyword argument");
    TnList *items = tn_j_iterate(j, v);
    for (size_t i = 0; i < items->n; i++) {
        TnArgs more = attr ? (TnArgs){0} : rest(args, 1);
        tn_j_add(j, out.list,
                 attr ? attribute(j, items->v[i], *attr, otherwise ? *otherwise : none())
                      : tn_j_filter(j, args->v[0].s, items->v[i], &more));
    }
    return out;
}

/* ---- parts and wholes */

static TnVal f_list(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "list", args, "", 0, NULL);
    return (TnVal){.kind = JV_LIST, .list = tn_j_iterate(j, v)};
}
static TnVal f_first(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "first", args, "", 0, NULL);
    TnList *items = tn_j_iterate(j, v);
    return items->n ? items->v[0] : tn_j_undefined(TN_LIT("the first item of an empty sequence"));
}
static TnVal f_last(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "last", args, "", 0, NULL);
    bool list = v.kind == JV_LIST || v.kind == JV_TUPLE;
    if ((list && v.list->kind == JL_GENERATOR) || v.kind == JV_LOOP)
        tn_j_fail(j, "'%s' object is not reversible", tn_j_type(v));
    TnList *items = tn_j_iterate(j, v);
    return items->n ? items->v[items->n - 1] : tn_j_undefined(TN_LIT("the last item of an empty sequence"));
}
static TnVal f_reverse(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "reverse", args, "", 0, NULL);
    if (v.kind == JV_STR) return tn_j_slice(j, v, none(), none(), tn_j_int(-1));
    bool generator = (v.kind == JV_LIST || v.kind == JV_TUPLE) && v.list->kind == JL_GENERATOR;
    TnVal out = tn_j_list(j, JV_LIST);
    TnList *items = tn_j_iterate(j, v);
    for (size_t i = items->n; i-- > 0;) tn_j_add(j, out.list, items->v[i]);
    if (!generator) out.list->kind = JL_GENERATOR;
    return out;
}
static TnVal f_sum(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {none(), tn_j_int(0)};
    tn_j_bind(j, "sum", args, "attribute start", 0, a);
    TnList *items = tn_j_iterate(j, v);
    if (a[1].kind == JV_STR) tn_j_fail(j, "sum() can't sum strings");
    TnVal sum = a[1];
    for (size_t i = 0; i < items->n; i++)
        sum = tn_j_binary(j, TN_LIT("+"), sum, attribute(j, items->v[i], a[0], none()));
    return sum;
}
static TnVal f_join(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {tn_j_of(TN_LIT("")), none()};
    tn_j_bind(j, "join", args, "d attribute", 0, a);
    TnVal d = tn_j_string(j, a[0]);
    TnList *items = tn_j_iterate(j, v);
    TnOut *b = tn_j_open(j);
    for (size_t i = 0; i < items->n; i++) {
        TnVal x = attribute(j, items->v[i], a[1], none());
        if (i) tn_o_put(b, d.s);
        tn_j_print(j, x, b);
    }
    return tn_j_close(b);
}
static TnVal f_batch(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {none(), none()}, out = tn_j_list(j, JV_LIST), part = none();
    tn_j_bind(j, "batch", args, "linecount fill_with", 1, a);
    TnList *items = tn_j_iterate(j, v);
    double count;
    bool number = tn_j_number(a[0], &count);
    for (size_t i = 0; i < items->n; i++) {
        if (i == 0 || (number && (double)part.list->n == count)) {
            part = tn_j_list(j, JV_LIST);
            tn_j_add(j, out.list, part);
            if (i == 0 && number && count == 0) { /* the first batch is then empty */
                part = tn_j_list(j, JV_LIST);
                tn_j_add(j, out.list, part);
            }
        }
        tn_j_add(j, part.list, items->v[i]);
    }
    if (!items->n || a[1].kind == JV_NONE) return out;
    for (int64_t most = tn_j_whole(j, a[0], "batch"); (int64_t)part.list->n < most;)
        tn_j_add(j, part.list, a[1]);
    return out;
}
static TnVal f_slice(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[2] = {none(), none()}, out = tn_j_list(j, JV_LIST);
    tn_j_bind(j, "slice", args, "slices fill_with", 1, a);
    TnList *items = tn_j_iterate(j, v);
    int64_t slices = tn_j_whole(j, a[0], "slice");
    if (slices == 0) tn_j_fail(j, "integer division or modulo by zero");
    for (int64_t s = 0, at = 0; s < slices; s++) {
        bool extra = s < (int64_t)items->n % slices;
        int64_t n = (int64_t)items->n / slices + extra;
        TnVal part = tn_j_list(j, JV_LIST);
        for (; n > 0; n--) tn_j_add(j, part.list, items->v[at++]);
        if (a[1].kind != JV_NONE && !extra) tn_j_add(j, part.list, a[1]);
        tn_j_add(j, out.list, part);
    }
    return out;
}

const TnFilterRow tn_j_list_filters[] = {
    {"sort", f_sort},
    {"dictsort", f_dictsort},
    {"groupby", f_groupby},
    {"min", f_min},
    {"max", f_max},
    {"unique", f_unique},
    {"select", f_select},
    {"reject", f_reject},
    {"selectattr", f_selectattr},
    {"map", f_map},
    {"rejectattr", f_rejectattr},
    {"list", f_list},
    {"first", f_first},
    {"last", f_last},
    {"reverse", f_reverse},
    {"sum", f_sum},
    {"join", f_join},
    {"batch", f_batch},
    {"slice", f_slice},
    {NULL, NULL},
};
