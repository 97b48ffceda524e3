/* Cuts a template into tokens, as jinja2 does with trim_blocks and lstrip_blocks.
 *
 * Text is cut at {{, {% and {#. A block or comment that stands first on its line loses the white space before it; one
 * newline after it is dropped. A minus at either side of a tag strips all white space there; a plus keeps what the two
 * rules would take. */
#include <math.h>
#include <stdlib.h>
#include "jinja.h"
#include "runtime/base/hex.h"

size_t tn_j_space(const char *p, size_t n) {
    const unsigned char *u = (const unsigned char *)p;
    if (!n) return 0;
    if ((u[0] >= 9 && u[0] <= 13) || (u[0] >= 28 && u[0] <= 32)) return 1;
    if (n >= 2 && u[0] == 0xc2 && (u[1] == 0x85 || u[1] == 0xa0)) return 2;
    if (n < 3) return 0;
    if (u[0] == 0xe1 && u[1] == 0x9a && u[2] == 0x80) return 3;
    if (u[0] == 0xe2 && u[1] == 0x80 &&
        ((u[2] >= 0x80 && u[2] <= 0x8a) || u[2] == 0xa8 || u[2] == 0xa9 || u[2] == 0xaf))
        return 3;
    if (u[0] == 0xe2 && u[1] == 0x81 && u[2] == 0x9f) return 3;
    return u[0] == 0xe3 && u[1] == 0x80 && u[2] == 0x80 ? 3 : 0;
}
size_t tn_j_space_back(const char *p, size_t n) {
    for (size_t k = 1; k <= 3 && k <= n; k++)
        if (tn_j_space(p + n - k, k) == k) return k;
    return 0;
}

typedef struct Lexer {
    TnJinja *j;
    const char *p;
    size_t n, i;
    int line;
} Lexer;

static void add(Lexer *x, TnToken t) {
    t.line = x->line;
    TnJinja *j = x->j;
    if (j->n_tokens == j->cap_tokens) {
        size_t cap = j->cap_tokens ? j->cap_tokens * 2 : 64;
        TnToken *more = tn_j_alloc(j, cap, sizeof *more);
        if (j->n_tokens) memcpy(more, j->tokens, j->n_tokens * sizeof *more);
        j->tokens = more, j->cap_tokens = cap;
    }
    j->tokens[j->n_tokens++] = t;
}
static bool at(const Lexer *x, const char *s) {
    size_t n = strlen(s);
    return x->n - x->i >= n && memcmp(x->p + x->i, s, n) == 0;
}
static void skip(Lexer *x, size_t n) {
    for (; n && x->i < x->n; n--) x->line += x->p[x->i++] == '\n';
}
static _Noreturn void fail(Lexer *x, const char *what) {
    x->j->line = x->line;
    tn_j_fail(x->j, "%s", what);
}
size_t tn_j_utf8(uint32_t c, char t[4]) {
    size_t n = 0;
    if (c < 0x80)
        t[n++] = (char)c;
    else if (c < 0x800)
        t[n++] = (char)(0xc0 | c >> 6);
    else if (c < 0x10000)
        t[n++] = (char)(0xe0 | c >> 12), t[n++] = (char)(0x80 | (c >> 6 & 63));
    else
        t[n++] = (char)(0xf0 | c >> 18), t[n++] = (char)(0x80 | (c >> 12 & 63)),
        t[n++] = (char)(0x80 | (c >> 6 & 63));
    if (c >= 0x80) t[n++] = (char)(0x80 | (c & 63));
    return n;
}
static void put_point(TnOut *b, uint32_t c) {
    char t[4];
    tn_o_bytes(b, t, tn_j_utf8(c, t), 0);
}
/* One escape, at the character after the backslash. */
static void escape(Lexer *x, TnOut *b) {
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = x->p[x->i];
    const char *known = strchr(from, c);
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c && known) {
        tn_o_bytes(b, &to[known - from], 1, 0), skip(x, 1);
    } else if (c == '\n') {
        skip(x, 1);
    } else if (digits) {
        uint32_t point = 0;
        skip(x, 1);
        size_t n = tn_hex_read(x->p + x->i, x->n - x->i, digits, &point);
        skip(x, n);
        if (n < digits) fail(x, "an escape of a string has too few digits");
        if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            fail(x, "an escape of a string is no character");
        put_point(b, point);
    } else if (c >= '0' && c <= '7') {
        uint32_t point = 0;
        for (int k = 0; k < 3 && x->i < x->n && x->p[x->i] >= '0' && x->p[x->i] <= '7'; k++, skip(x, 1))
            point = point * 8 + (uint32_t)(x->p[x->i] - '0');
        put_point(b, point);
    } else if (c == 'N') {
        fail(x, "characters by name are not supported");
    } else {
        tn_o_puts(b, "\\");
    }
}
static void string(Lexer *x) {
    char quote = x->p[x->i];
    TnToken t = {.kind = JT_STR};
    TnOut *b = tn_j_open(x->j);
    int line = x->line;
    skip(x, 1);
    for (;;) {
        if (x->i >= x->n) fail(x, "a string has no end");
        char c = x->p[x->i];
        if (c == quote) break;
        if (c == '\\' && x->i + 1 < x->n) {
            skip(x, 1);
            escape(x, b);
        } else {
            tn_o_bytes(b, &c, 1, 0), skip(x, 1);
        }
    }
    skip(x, 1);
    t.s = tn_j_close(b).s;
    int end = x->line;
    x->line = line;
    add(x, t);
    x->line = end;
}
static bool is_digit(char c, int base) {
    int d = tn_hex_digit(c);
    return d >= 0 && d < base;
}
static void number(Lexer *x) {
    char text[400];
    size_t n = 0, k = x->i;
    TnToken t = {.kind = JT_INT};
    int base = 10;
    if (x->p[k] == '0' && k + 2 < x->n)
        base = strchr("xX", x->p[k + 1])   ? 16
               : strchr("oO", x->p[k + 1]) ? 8
               : strchr("bB", x->p[k + 1]) ? 2
                                           : 10;
    if (base != 10 && is_digit(x->p[k + 2], base))
        k += 2;
    else
        base = 10;
    for (;; k++) {
        if (k < x->n && x->p[k] == '_' && k + 1 < x->n && is_digit(x->p[k + 1], base)) continue;
        if (k >= x->n || !is_digit(x->p[k], base)) break;
        if (n < 380) text[n++] = x->p[k];
    }
    if (base == 10 && k + 1 < x->n && x->p[k] == '.' && is_digit(x->p[k + 1], 10)) {
        t.kind = JT_FLOAT;
        do {
            if (n < 380) text[n++] = x->p[k];
            k++;
        } while (k < x->n && is_digit(x->p[k], 10));
    }
    size_t e = k + 1;
    if (base == 10 && k < x->n && (x->p[k] == 'e' || x->p[k] == 'E')) {
        if (e < x->n && (x->p[e] == '+' || x->p[e] == '-')) e++;
        if (e < x->n && is_digit(x->p[e], 10)) {
            t.kind = JT_FLOAT;
            for (; k < e || (k < x->n && is_digit(x->p[k], 10)); k++)
                if (n < 390) text[n++] = x->p[k];
        }
    }
    text[n] = 0;
    if (t.kind == JT_FLOAT) {
        t.f = strtod(text, NULL);
    } else {
        for (size_t d = 0; d < n; d++)
            if (__builtin_mul_overflow(t.i, base, &t.i) ||
                __builtin_add_overflow(t.i, tn_hex_digit(text[d]), &t.i))
                fail(x, "an integer beyond 64 bits");
        if (base == 10 && n > 1 && text[0] == '0' && t.i != 0) fail(x, "an integer begins with 0");
    }
    add(x, t);
    skip(x, k - x->i);
}
static bool name_char(char c, bool first) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9');
}
/* The inside of a tag, up to its end, which is passed. Gives the mark before the end: '-', '+' or 0. */
static char inside(Lexer *x, const char *end) {
    static const char *const ops[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    char stack[256];
    size_t open = 0;
    for (;;) {
        size_t space;
        while ((space = tn_j_space(x->p + x->i, x->n - x->i))) skip(x, space);
        if (x->i >= x->n) fail(x, "a tag has no end");
        char c = x->p[x->i];
        char marked[4] = {c, end[0], end[1], 0};
        if (!open && at(x, end)) return skip(x, 2), (char)0;
        if (!open && (c == '-' || (c == '+' && end[0] == '%')) && at(x, marked)) return skip(x, 3), c;
        if (c == '\'' || c == '"') {
            string(x);
        } else if (c >= '0' && c <= '9') {
            number(x);
        } else if (name_char(c, true)) {
            size_t k = x->i;
            while (k < x->n && name_char(x->p[k], false)) k++;
            add(x, (TnToken){.kind = JT_NAME, .s = tn_j_plain(x->p + x->i, k - x->i)});
            skip(x, k - x->i);
        } else {
            size_t k = 0;
            while (k < TN_COUNT(ops) && !at(x, ops[k])) k++;
            if (k == TN_COUNT(ops)) fail(x, "a character that no expression has");
            if (strchr("([{", c)) {
                if (open == sizeof stack) fail(x, "brackets are nested too deep");
                stack[open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
            } else if (strchr(")]}", c)) {
                if (!open || stack[--open] != c) fail(x, "a closing bracket without its opening one");
            }
            add(x, (TnToken){.kind = JT_OP, .s = tn_j_plain(ops[k], strlen(ops[k]))});
            skip(x, strlen(ops[k]));
        }
    }
}
static void text(Lexer *x, size_t from, size_t to) {
    if (to > from) add(x, (TnToken){.kind = JT_TEXT, .s = tn_j_plain(x->p + from, to - from)});
}
static size_t stripped(const Lexer *x, size_t from, size_t to, char mark, bool lstrip, bool line_start) {
    size_t k = to, s;
    if (mark == '-') {
        while (k > from && (s = tn_j_space_back(x->p + from, k - from))) k -= s;
        return k;
    }
    if (!lstrip || mark == '+') return to;
    while (k > from && x->p[k - 1] != '\n' && (s = tn_j_space_back(x->p + from, k - from))) k -= s;
    return (k == from ? line_start : x->p[k - 1] == '\n') ? k : to;
}
static void after(Lexer *x, char mark, bool trim) {
    size_t s;
    if (mark == '-')
        while ((s = tn_j_space(x->p + x->i, x->n - x->i))) skip(x, s);
    else if (trim && mark != '+' && x->i < x->n && x->p[x->i] == '\n')
        skip(x, 1);
}
/* {% raw %}: the text up to {% endraw %} is a token. x->i is after the begin mark; false: some other block. */
static bool raw(Lexer *x) {
    Lexer y = *x;
    size_t s;
    while ((s = tn_j_space(y.p + y.i, y.n - y.i))) skip(&y, s);
    if (!at(&y, "raw")) return false;
    skip(&y, 3);
    while ((s = tn_j_space(y.p + y.i, y.n - y.i))) skip(&y, s);
    char mark = at(&y, "-%}") ? '-' : 0;
    if (!mark && !at(&y, "%}")) return false;
    skip(&y, mark ? 3 : 2);
    after(&y, mark, true);
    *x = y;
    for (size_t from = x->i;; skip(x, 1)) {
        if (x->i >= x->n) fail(x, "raw without endraw");
        if (!at(x, "{%")) continue;
        size_t to = x->i;
        y = *x;
        skip(&y, 2);
        char before = at(&y, "-") ? '-' : at(&y, "+") ? '+' : 0;
        if (before) skip(&y, 1);
        while ((s = tn_j_space(y.p + y.i, y.n - y.i))) skip(&y, s);
        if (!at(&y, "endraw")) continue;
        skip(&y, 6);
        while ((s = tn_j_space(y.p + y.i, y.n - y.i))) skip(&y, s);
        char end = at(&y, "-%}") ? '-' : at(&y, "+%}") ? '+' : 0;
        if (!end && !at(&y, "%}")) continue;
        skip(&y, end ? 3 : 2);
        text(x, from, stripped(x, from, to, before, true, false));
        after(&y, end, true);
        *x = y;
        return true;
    }
}
void tn_j_lex(TnJinja *j, TnStr source) {
    char *copy = tn_j_alloc(j, source.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++) { /* newlines as in jinja2 */
        if (source.p[i] == '\r' && i + 1 < source.n && source.p[i + 1] == '\n') continue;
        copy[n++] = source.p[i] == '\r' ? '\n' : source.p[i];
    }
    if (n && copy[n - 1] == '\n') n--;
    Lexer x = {j, copy, n, 0, 1};
    while (x.i < n) {
        size_t from = x.i, to;
        bool line_start = from == 0 || copy[from - 1] == '\n';
        int line = x.line;
        while (x.i < n && !at(&x, "{{") && !at(&x, "{%") && !at(&x, "{#")) skip(&x, 1);
        to = x.i;
        int tag_line = x.line;
        x.line = line;
        if (to == n) {
            text(&x, from, to);
            break;
        }
        char kind = copy[to + 1], mark = to + 2 < n ? copy[to + 2] : 0;
        if (mark != '-' && mark != '+') mark = 0;
        text(&x, from, stripped(&x, from, to, mark, kind != '{', line_start));
        x.line = tag_line;
        skip(&x, mark ? 3 : 2);
        if (kind == '#') {
            while (x.i < n && !at(&x, "#}")) skip(&x, 1);
            if (x.i >= n) fail(&x, "a comment has no end");
            char end = copy[x.i - 1] == '-' ? '-' : copy[x.i - 1] == '+' ? '+' : 0;
            skip(&x, 2);
            after(&x, end, true);
        } else if (kind == '{') {
            add(&x, (TnToken){.kind = JT_VAR});
            char end = inside(&x, "}}");
            add(&x, (TnToken){.kind = JT_VAR_END});
            after(&x, end, false);
        } else if (!raw(&x)) {
            add(&x, (TnToken){.kind = JT_BEGIN});
            char end = inside(&x, "%}");
            add(&x, (TnToken){.kind = JT_END});
            after(&x, end, true);
        }
    }
    add(&x, (TnToken){.kind = JT_EOF});
}
