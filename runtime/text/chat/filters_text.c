/* Filters of text. They take any value and work on its str(), unless they say otherwise. */
#include "jinja.h"

static TnVal none(void) {
    return (TnVal){.kind = JV_NONE};
}
/* str(v); what was marked safe must not be changed, since jinja2 then escapes what is joined to it. */
static TnStr text(TnJinja *j, TnVal v) {
    if (v.kind == JV_STR && v.safe) tn_j_fail(j, "changing a text that is marked safe is not supported");
    return tn_j_string(j, v).s;
}
static TnVal cased(TnJinja *j, TnVal v, const TnArgs *args, const char *name, TnCase how) {
    tn_j_bind(j, name, args, "", 0, NULL);
    return tn_j_of(tn_j_cased(j, text(j, v), how));
}
static TnVal f_upper(TnJinja *j, TnVal v, const TnArgs *args) {
    return cased(j, v, args, "upper", JC_UPPER);
}
static TnVal f_lower(TnJinja *j, TnVal v, const TnArgs *args) {
    return cased(j, v, args, "lower", JC_LOWER);
}
static TnVal f_capitalize(TnJinja *j, TnVal v, const TnArgs *args) {
    return cased(j, v, args, "capitalize", JC_CAPITALIZE);
}
/* Words are begun by white space, - ( { [ and <; unlike str.title. */
static TnVal f_title(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "title", args, "", 0, NULL);
    TnStr s = text(j, v);
    TnOut *b = tn_j_open(j);
    for (size_t i = 0, k; i < s.n; i = k) {
        bool apart = false;
        for (k = i; k < s.n;) {
            size_t space = tn_j_space(s.p + k, s.n - k);
            bool border = space || strchr("-({[<", s.p[k]) != NULL;
            if (k > i && border != apart) break;
            apart = border;
            k += space ? space : 1;
        }
        size_t first = i + 1;
        while (first < k && (s.p[first] & 0xc0) == 0x80) first++;
        tn_o_put(b, tn_j_cased(j, tn_j_cut(s, i, first), JC_UPPER));
        tn_o_put(b, tn_j_cased(j, tn_j_cut(s, first, k), JC_LOWER));
    }
    return tn_j_close(b);
}
static TnVal f_trim(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[1] = {none()};
    tn_j_bind(j, "trim", args, "chars", 0, a);
    TnStr s = text(j, v);
    if (a[0].kind != JV_NONE && a[0].kind != JV_STR) tn_j_fail(j, "trim: chars is a '%s'", tn_j_type(a[0]));
    return tn_j_of(tn_j_strip(s, a[0].kind == JV_STR ? a[0].s : (TnStr){0}, true, true));
}
static TnVal f_replace(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[3] = {none(), none(), none()};
    tn_j_bind(j, "replace", args, "old new count", 2, a);
    int64_t most = a[2].kind == JV_NONE ? -1 : tn_j_whole(j, a[2], "replace: count");
    return tn_j_replace(j, text(j, v), text(j, a[0]), text(j, a[1]), most);
}
static TnVal f_indent(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[3] = {tn_j_int(4), tn_j_bool(false), tn_j_bool(false)};
    tn_j_bind(j, "indent", args, "width first blank", 0, a);
    if (v.kind == JV_UNDEFINED) tn_j_no_part(j, v);
    if (v.kind != JV_STR) tn_j_fail(j, "indent of a '%s'", tn_j_type(v));
    bool blank = tn_j_truth(a[2]);
    TnStr pad = a[0].kind == JV_STR ? a[0].s : tn_j_binary(j, TN_LIT("*"), tn_j_of(TN_LIT(" ")), a[0]).s;
    TnOut *whole = tn_j_open(j), *b = tn_j_open(j);
    tn_o_put(whole, text(j, v));
    tn_o_puts(whole, "\n");
    TnList *lines = tn_j_lines(j, tn_j_close(whole).s, false).list;
    if (tn_j_truth(a[1])) tn_o_put(b, pad);
    for (size_t i = 0; i < lines->n; i++) {
        if (i) tn_o_puts(b, "\n");
        if (i && (blank || lines->v[i].s.n)) tn_o_put(b, pad);
        tn_o_put(b, lines->v[i].s);
    }
    return tn_j_close(b);
}
static TnVal f_center(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[1] = {tn_j_int(80)};
    tn_j_bind(j, "center", args, "width", 0, a);
    TnArgs width = {a, 1, {0}};
    return tn_j_method(j, tn_j_of(text(j, v)), TN_LIT("center"), &width);
}
static TnVal f_truncate(TnJinja *j, TnVal v, const TnArgs *args) {
    TnVal a[4] = {tn_j_int(255), tn_j_bool(false), tn_j_of(TN_LIT("...")), none()};
    tn_j_bind(j, "truncate", args, "length killwords end leeway", 0, a);
    if (v.kind != JV_STR) tn_j_fail(j, "truncate of a '%s' is not supported", tn_j_type(v));
    if (a[2].kind != JV_STR) tn_j_fail(j, "truncate: the end is a '%s'", tn_j_type(a[2]));
    TnStr s = text(j, v);
    int64_t length = tn_j_whole(j, a[0], "truncate: length"), n = (int64_t)tn_j_chars(s);
    int64_t leeway = a[3].kind == JV_NONE ? 5 : tn_j_whole(j, a[3], "truncate: leeway");
    int64_t end = (int64_t)tn_j_chars(a[2].s);
    if (length < end || leeway < 0) tn_j_fail(j, "truncate: the length or the leeway is too small");
    if (n - leeway <= length) return v;
    TnStr kept = tn_j_char_range(s, 0, (size_t)(length - end));
    size_t cut = kept.n;
    while (!tn_j_truth(a[1]) && cut > 0 && kept.p[cut - 1] != ' ') cut--;
    TnOut *b = tn_j_open(j);
    tn_o_put(b, tn_j_truth(a[1]) || cut == 0 ? kept : tn_j_cut(kept, 0, cut - 1));
    tn_o_put(b, a[2].s);
    return tn_j_close(b);
}
static TnVal f_wordcount(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "wordcount", args, "", 0, NULL);
    TnStr s = text(j, v);
    int64_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c & 0x80) tn_j_fail(j, "wordcount of text beyond ASCII is not supported");
        bool letter = c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        n += letter && !inside;
        inside = letter;
    }
    return tn_j_int(n);
}
static TnVal f_string(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "string", args, "", 0, NULL);
    return tn_j_string(j, v);
}
static TnVal f_safe(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "safe", args, "", 0, NULL);
    v = tn_j_string(j, v);
    v.safe = true;
    return v;
}
static TnVal f_escape(TnJinja *j, TnVal v, const TnArgs *args) {
    tn_j_bind(j, "escape", args, "", 0, NULL);
    if (v.kind == JV_STR && v.safe) return v;
    TnStr s = tn_j_string(j, v).s;
    TnOut *b = tn_j_open(j);
    for (size_t i = 0; i < s.n; i++) {
        static const char from[] = "&<>'\"", *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
        const char *at = s.p[i] ? strchr(from, s.p[i]) : NULL;
        if (at)
            tn_o_bytes(b, to[at - from], strlen(to[at - from]), s.m ? s.m[i] : 0);
        else
            tn_o_put(b, tn_j_cut(s, i, i + 1));
    }
    v = tn_j_close(b);
    v.safe = true;
    return v;
}
static TnVal f_format(TnJinja *j, TnVal v, const TnArgs *args) {
    TnStr s = text(j, v);
    TnVal values = tn_j_list(j, JV_TUPLE);
    if (args->n && args->kw.n)
        tn_j_fail(j, "format: can't handle positional and keyword arguments at the same time");
    if (args->kw.n) {
        values = tn_j_map(j);
        *values.map = args->kw;
    }
    for (size_t i = 0; i < args->n; i++) tn_j_add(j, values.list, args->v[i]);
    return tn_j_format(j, tn_j_of(s), values);
}

const TnFilterRow tn_j_text_filters[] = {
    {"upper", f_upper},
    {"lower", f_lower},
    {"capitalize", f_capitalize},
    {"title", f_title},
    {"trim", f_trim},
    {"replace", f_replace},
    {"indent", f_indent},
    {"center", f_center},
    {"truncate", f_truncate},
    {"wordcount", f_wordcount},
    {"string", f_string},
    {"safe", f_safe},
    {"escape", f_escape},
    {"e", f_escape},
    {"format", f_format},
    {NULL, NULL},
};
