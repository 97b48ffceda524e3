/* JSON as values, as Python's json.loads reads it: keys keep their order, the last of equal keys counts, NaN and Infinity
 * are numbers. What Python accepts and this refuses: integers beyond 64 bits, and half of a surrogate pair. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "jinja.h"

typedef struct Reader {
    TnJinja *j;
    const char *what, *p;
    size_t n, at;
    uint8_t mark;
    const uint8_t *marks; /* [n] of the text, if it is the user's */
} Reader;

static _Noreturn void fail(Reader *r, const char *expected) {
    char got[8] = "the end";
    if (r->at < r->n) snprintf(got, sizeof got, "'%c'", r->p[r->at] < 32 ? '?' : r->p[r->at]);
    tn_j_fail(r->j, "%s: got %s at byte %zu, expected %s", r->what, got, r->at, expected);
}
static char peek(const Reader *r) {
    return r->at < r->n ? r->p[r->at] : 0;
}
static char skip_space(Reader *r) {
    while (r->at < r->n && strchr(" \t\n\r", r->p[r->at]) && r->p[r->at]) r->at++;
    return peek(r);
}
static uint32_t hex4(Reader *r) {
    uint32_t v = 0;
    for (int k = 0; k < 4; k++, r->at++) {
        char c = peek(r);
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) fail(r, "four hexadecimal digits after \\u");
        v = v << 4 | (uint32_t)d;
    }
    return v;
}
/* At the character after the backslash. */
static void escape(Reader *r, TnOut *o) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = peek(r), bytes[4];
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        tn_o_bytes(o, &to[known - from], 1, r->mark), r->at++;
        return;
    }
    if (c != 'u') fail(r, "an escape of JSON");
    r->at++;
    uint32_t point = hex4(r);
    if (point >= 0xd800 && point < 0xdc00 && r->n - r->at >= 6 && r->p[r->at] == '\\' &&
        r->p[r->at + 1] == 'u') {
        r->at += 2;
        uint32_t low = hex4(r);
        if (low < 0xdc00 || low > 0xdfff) fail(r, "the other half of a surrogate pair");
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    if (point >= 0xd800 && point < 0xe000) fail(r, "the other half of a surrogate pair");
    tn_o_bytes(o, bytes, tn_j_utf8(point, bytes), r->mark);
}
static TnStr string(Reader *r) {
    size_t from = ++r->at;
    TnOut *o = NULL;
    for (;; r->at++) {
        while (r->at < r->n && r->p[r->at] != '"' && r->p[r->at] != '\\' && (unsigned char)r->p[r->at] >= 32)
            r->at++;
        if (r->at >= r->n || (unsigned char)r->p[r->at] < 32) fail(r, "the end of a string");
        if (!o && r->p[r->at] == '\\') o = tn_j_open(r->j);
        if (o) tn_o_bytes(o, r->p + from, r->at - from, r->mark);
        if (r->p[r->at] == '"') break;
        r->at++;
        escape(r, o);
        from = r->at--;
    }
    size_t to = r->at++;
    if (o) return tn_j_close(o).s;
    return (TnStr){r->p + from, to - from, r->marks ? r->marks + from : NULL};
}
static bool word(Reader *r, const char *w) {
    size_t n = strlen(w);
    if (r->n - r->at < n || memcmp(r->p + r->at, w, n) != 0) return false;
    r->at += n;
    return true;
}
static void digits(Reader *r) {
    if (peek(r) < '0' || peek(r) > '9') fail(r, "a digit");
    while (peek(r) >= '0' && peek(r) <= '9') r->at++;
}
static TnVal number(Reader *r) {
    size_t from = r->at;
    bool real = false;
    int64_t whole = 0;
    bool minus = peek(r) == '-';
    r->at += minus;
    if (word(r, "Infinity")) return (TnVal){.kind = JV_FLOAT, .f = minus ? -HUGE_VAL : HUGE_VAL};
    if (peek(r) == '0')
        r->at++;
    else
        digits(r);
    if (peek(r) == '.') r->at++, digits(r), real = true;
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++, real = true;
        if (peek(r) == '+' || peek(r) == '-') r->at++;
        digits(r);
    }
    size_t n = r->at - from;
    if (real) {
        char *text = tn_j_alloc(r->j, n + 1, 1);
        memcpy(text, r->p + from, n);
        return (TnVal){.kind = JV_FLOAT, .f = strtod(text, NULL)};
    }
    for (size_t k = from + minus; k < r->at; k++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, minus ? '0' - r->p[k] : r->p[k] - '0', &whole))
            tn_j_fail(r->j, "%s: an integer beyond 64 bits at byte %zu", r->what, from);
    return tn_j_int(whole);
}
static TnVal value(Reader *r);
static TnVal list(Reader *r) {
    TnVal out = tn_j_list(r->j, JV_LIST);
    r->at++;
    if (skip_space(r) == ']') return r->at++, out;
    for (;;) {
        tn_j_add(r->j, out.list, value(r));
        char c = skip_space(r);
        if (c != ',' && c != ']') fail(r, "',' or ']'");
        r->at++;
        if (c == ']') return out;
    }
}
static TnVal object(Reader *r) {
    TnVal out = tn_j_map(r->j);
    r->at++;
    if (skip_space(r) == '}') return r->at++, out;
    for (;;) {
        if (skip_space(r) != '"') fail(r, "a key in quotes");
        TnVal key = tn_j_of(string(r));
        if (skip_space(r) != ':') fail(r, "':'");
        r->at++;
        tn_j_put(r->j, out.map, key, value(r));
        char c = skip_space(r);
        if (c != ',' && c != '}') fail(r, "',' or '}'");
        r->at++;
        if (c == '}') return out;
    }
}
static TnVal value(Reader *r) {
    TnVal v;
    tn_j_step(r->j, 1);
    if (++r->j->depth > 200) tn_j_fail(r->j, "%s: nested too deep, expected at most 200 levels", r->what);
    switch (skip_space(r)) {
    case '[':
        v = list(r);
        break;
    case '{':
        v = object(r);
        break;
    case '"':
        v = tn_j_of(string(r));
        break;
    default:
        if (word(r, "null"))
            v = (TnVal){.kind = JV_NONE};
        else if (word(r, "true"))
            v = tn_j_bool(true);
        else if (word(r, "false"))
            v = tn_j_bool(false);
        else if (word(r, "NaN"))
            v = (TnVal){.kind = JV_FLOAT, .f = NAN};
        else if (word(r, "Infinity"))
            v = (TnVal){.kind = JV_FLOAT, .f = HUGE_VAL};
        else if (peek(r) == '-' || (peek(r) >= '0' && peek(r) <= '9'))
            v = number(r);
        else
            fail(r, "a value of JSON");
    }
    r->j->depth--;
    return v;
}
TnVal tn_j_json(TnJinja *j, TernText text, bool user, const char *what) {
    TnStr s = tn_j_checked(j, text, what);
    Reader r = {.j = j, .what = what, .p = s.p, .n = s.n, .mark = user};
    if (user && s.n) {
        uint8_t *marks = tn_j_alloc(j, s.n, 1);
        memset(marks, 1, s.n);
        r.marks = marks;
    }
    TnVal v = value(&r);
    skip_space(&r);
    if (r.at < r.n) fail(&r, "the end");
    return v;
}
