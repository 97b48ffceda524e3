/* Regular expressions of `pattern` as GBNF.
 *
 * The expression must be anchored on both sides: ^...$. It may have characters, classes, ., groups, |, and repeats. What
 * it matches is written as it stands in a JSON string: quotes and backslashes with an escape, of the controls only those
 * that have a short one. The negated classes of letters, \D \W \S, stand for ASCII only: engines differ about the rest. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/hex.h"
#include "runtime/text/grammar/rules.h"
#include "runtime/text/grammar/schema.h"
#include "runtime/text/utf8.h"

enum { DEPTH_MOST = 64, REPEAT_MOST = 1000000 };

typedef struct Pattern {
    TnSchemas *s;
    const TnSchemaPath *path;
    const char *text;
    size_t n, at;
    int depth;
    struct TnPointRange *ranges; /* of the class being read */
    size_t n_ranges, cap_ranges;
    TnBuf *out;
} Pattern;

static TernStatus refuse(Pattern *p, const char *what) {
    return tn_schema_refuse(p->s, p->path, "at byte %zu of '%.80s': %s", p->at + 1, p->text, what);
}
static int peek(const Pattern *p, size_t ahead) {
    return p->at + ahead < p->n ? (unsigned char)p->text[p->at + ahead] : -1;
}

/* ---- Sets of characters */

static void add(Pattern *p, uint32_t lo, uint32_t hi) {
    TN_PUSH(p->ranges, p->n_ranges, p->cap_ranges, ((struct TnPointRange){lo, hi}));
}

/* \d \w \s, and \D \W \S within the printable characters of ASCII. */
static bool add_named(Pattern *p, int name) {
    switch (name) {
    case 'd':
        add(p, '0', '9');
        return true;
    case 'w':
        add(p, '0', '9'), add(p, 'A', 'Z'), add(p, 'a', 'z'), add(p, '_', '_');
        return true;
    case 's':
        add(p, ' ', ' '), add(p, '\t', '\r');
        return true;
    case 'D':
        add(p, ' ', '0' - 1), add(p, '9' + 1, '~');
        return true;
    case 'W':
        add(p, ' ', '0' - 1), add(p, '9' + 1, 'A' - 1), add(p, 'Z' + 1, '_' - 1), add(p, '_' + 1, 'a' - 1);
        add(p, 'z' + 1, '~');
        return true;
    case 'S':
        add(p, '!', '~');
        return true;
    default:
        return false;
    }
}

static bool hex(Pattern *p, size_t digits, uint32_t *out) {
    size_t n = tn_hex_read(p->text + p->at, p->n - p->at, digits, out);
    p->at += n;
    return n == digits;
}

/* After a backslash: one character. */
static TernStatus escaped(Pattern *p, uint32_t *out) {
    static const char names[] = "tnrfv", values[] = "\t\n\r\f\v";
    int c = peek(p, 0);
    const char *found = c > 0 ? strchr(names, c) : NULL;
    if (found) {
        p->at++;
        *out = (unsigned char)values[found - names];
        return TERN_OK;
    }
    if (c == 'x' || c == 'u') {
        p->at++;
        if (!hex(p, c == 'x' ? 2 : 4, out) || (*out >= 0xd800 && *out < 0xe000))
            return refuse(p, "expected the hex digits of a character");
        return TERN_OK;
    }
    if (c < 0x21 || c > 0x7e || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return refuse(p, "this escape is not supported");
    p->at++;
    *out = (uint32_t)c;
    return TERN_OK;
}

static TernStatus character(Pattern *p, uint32_t *out) {
    int partial, n;
    if (peek(p, 0) == '\\') {
        p->at++;
        return escaped(p, out);
    }
    n = tn_utf8_next((const uint8_t *)p->text + p->at, p->n - p->at, out, &partial);
    if (n == 0) return refuse(p, "expected UTF-8");
    p->at += (size_t)n;
    return TERN_OK;
}

static void put_range(Pattern *p, uint32_t lo, uint32_t hi) {
    tn_buf_printf(p->out, lo == hi ? "\\U%08X" : "\\U%08X-\\U%08X", lo, hi);
}

/* Writes a set as JSON's strings have its characters. False if none of it can be written. */
static bool put_set(Pattern *p, const TnPoints *set) {
    static const struct TnPointRange gaps[] = {{0, 0x1f}, {'"', '"'}, {'\\', '\\'}, {0x7f, 0x7f}};
    static const char letters[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
    TnBuf plain = {0}, other = {0}, *out = p->out;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t lo = set->ranges[i].lo, hi = set->ranges[i].hi;
        p->out = &plain;
        for (size_t g = 0; g < TN_COUNT(gaps) && lo <= hi; g++) {
            if (gaps[g].hi < lo || gaps[g].lo > hi) continue;
            if (gaps[g].lo > lo) put_range(p, lo, gaps[g].lo - 1);
            lo = gaps[g].hi + 1;
        }
        if (lo <= hi) put_range(p, lo, hi);
        for (size_t k = 0; letters[k]; k++)
            if (set->ranges[i].lo <= (unsigned char)letters[k] &&
                (unsigned char)letters[k] <= set->ranges[i].hi)
                tn_buf_printf(&other, names[k] == '"' || names[k] == '\\' ? "\\%c" : "%c", names[k]);
    }
    p->out = out;
    bool any = plain.len || other.len, choice = plain.len && other.len;
    if (choice) tn_buf_puts(out, "(");
    if (plain.len) tn_buf_printf(out, "[%.*s]", (int)plain.len, plain.data);
    if (choice) tn_buf_puts(out, " | ");
    if (other.len)
        tn_buf_printf(out, "%s\"\\\\\" [%.*s]%s", choice ? "" : "(", (int)other.len, other.data,
                      choice ? "" : ")");
    if (choice) tn_buf_puts(out, ")");
    tn_buf_free(&plain);
    tn_buf_free(&other);
    return any;
}

static TernStatus finish_set(Pattern *p, bool negated, bool ascii) {
    static const struct TnPointRange printable = {' ', '~'};
    TnArena *arena = &p->s->arena;
    TnPoints set = {tn_alloc_array(arena, p->n_ranges + 2, sizeof *set.ranges), (uint32_t)p->n_ranges};
    if (set.n) memcpy(set.ranges, p->ranges, set.n * sizeof *set.ranges);
    if (negated && ascii) { /* the complement of a class of letters: within ASCII */
        set.ranges[set.n++] = (struct TnPointRange){0, printable.lo - 1};
        set.ranges[set.n++] = (struct TnPointRange){printable.hi + 1, 0x10ffff};
    }
    if (negated && ascii) { /* tn_points_tidy wants room for one more */
        struct TnPointRange *more = tn_alloc_array(arena, set.n + 1, sizeof *more);
        memcpy(more, set.ranges, set.n * sizeof *more);
        set.ranges = more;
    }
    tn_points_tidy(&set);
    if (negated) set = tn_points_not(&set, arena);
    return put_set(p, &set) ? TERN_OK : refuse(p, "no character can stand here");
}

static TernStatus char_class(Pattern *p) {
    bool negated = peek(p, 0) == '^', ascii = false;
    p->n_ranges = 0;
    p->at += negated;
    while (peek(p, 0) != ']') {
        uint32_t lo = 0, hi;
        if (peek(p, 0) < 0) return refuse(p, "expected ']'");
        if (peek(p, 0) == '\\' && add_named(p, peek(p, 1))) {
            p->at += 2;
            ascii = true;
            if (peek(p, 0) == '-' && peek(p, 1) != ']')
                return refuse(p, "a range from a class is not supported");
            continue;
        }
        if (peek(p, 0) == '[') return refuse(p, "'[' in a class is not supported; write \\[");
        TN_TRY(character(p, &lo));
        hi = lo;
        if (peek(p, 0) == '-' && peek(p, 1) >= 0 && peek(p, 1) != ']') {
            p->at++;
            if (peek(p, 0) == '\\' && peek(p, 1) > 0 && strchr("dwsDWS", peek(p, 1)))
                return refuse(p, "a range to a class is not supported");
            TN_TRY(character(p, &hi));
        }
        if (lo > hi) return refuse(p, "expected the lower end of the range first");
        add(p, lo, hi);
    }
    if (p->n_ranges == 0) return refuse(p, "an empty class is not supported");
    p->at++;
    return finish_set(p, negated, ascii);
}

static TernStatus dot(Pattern *p) {
    p->n_ranges = 0;
    add(p, '\n', '\n'), add(p, '\r', '\r'), add(p, 0x2028, 0x2029);
    p->at++;
    return finish_set(p, true, false);
}

/* ---- The expression */

static TernStatus choice(Pattern *p);

static TernStatus group(Pattern *p) {
    if (++p->depth > DEPTH_MOST) return refuse(p, "too many groups in each other");
    p->at++;
    if (peek(p, 0) == '?') {
        if (peek(p, 1) != ':') return refuse(p, "only (?:..) is supported of the groups with '?'");
        p->at += 2;
    }
    tn_buf_puts(p->out, "(");
    TN_TRY(choice(p));
    if (peek(p, 0) != ')') return refuse(p, "expected ')'");
    p->at++;
    p->depth--;
    tn_buf_puts(p->out, ")");
    return TERN_OK;
}

static TernStatus atom(Pattern *p) {
    int c = peek(p, 0);
    if (c == '(') return group(p);
    if (c == '.') return dot(p);
    if (c == '[') {
        p->at++;
        return char_class(p);
    }
    if (c > 0 && strchr("*+?{", c)) return refuse(p, "expected a character before the repeat");
    if (c == '^' || c == '$' || c == ']' || c == '}')
        return refuse(p, "this is supported only with a backslash");
    p->n_ranges = 0;
    if (c == '\\' && add_named(p, peek(p, 1))) {
        p->at += 2;
    } else {
        uint32_t point = 0;
        TN_TRY(character(p, &point));
        add(p, point, point);
    }
    return finish_set(p, false, false);
}

static bool count(Pattern *p, uint32_t *out) {
    uint64_t v = 0;
    size_t start = p->at;
    while (peek(p, 0) >= '0' && peek(p, 0) <= '9' && v <= REPEAT_MOST)
        v = v * 10 + (uint64_t)(p->text[p->at++] - '0');
    *out = (uint32_t)v;
    return p->at > start && v <= REPEAT_MOST;
}

static TernStatus repeat(Pattern *p) {
    int c = peek(p, 0);
    if (c <= 0 || !strchr("*+?{", c)) return TERN_OK;
    p->at++;
    if (c != '{') {
        tn_buf_printf(p->out, "%c", c);
    } else {
        uint32_t least, most;
        if (!count(p, &least)) return refuse(p, "expected a count");
        tn_buf_printf(p->out, "{%u", least);
        if (peek(p, 0) == ',') {
            p->at++;
            tn_buf_puts(p->out, ",");
            if (peek(p, 0) != '}') {
                if (!count(p, &most) || most < least)
                    return refuse(p, "expected a count that is not smaller");
                tn_buf_printf(p->out, "%u", most);
            }
        }
        if (peek(p, 0) != '}') return refuse(p, "expected '}'");
        p->at++;
        tn_buf_puts(p->out, "}");
    }
    if (peek(p, 0) == '?') p->at++; /* lazy: the same texts */
    if (peek(p, 0) > 0 && strchr("*+?{", peek(p, 0)))
        return refuse(p, "a repeat of a repeat is not supported");
    return TERN_OK;
}

static TernStatus choice(Pattern *p) {
    bool any = false;
    for (; p->at < p->n && peek(p, 0) != ')';) {
        if (peek(p, 0) == '|') {
            if (p->depth == 0) return refuse(p, "'|' is supported only in parentheses, between ^ and $");
            tn_buf_puts(p->out, any ? " | " : "\"\" | ");
            p->at++;
            any = false;
            continue;
        }
        if (any) tn_buf_puts(p->out, " ");
        TN_TRY(atom(p));
        TN_TRY(repeat(p));
        any = true;
    }
    if (!any) tn_buf_puts(p->out, "\"\"");
    return TERN_OK;
}

/* Whether the last character is a $ that no backslash takes. */
static bool ends(const char *text, size_t n) {
    size_t slashes = 0;
    if (n < 2 || text[n - 1] != '$') return false;
    while (slashes + 2 <= n && text[n - 2 - slashes] == '\\') slashes++;
    return slashes % 2 == 0;
}

TernStatus tn_schema_pattern(TnSchemas *s, const TnSchemaPath *path, const char *text, size_t n,
                             TnBuf *body) {
    if (n < 2 || text[0] != '^' || !ends(text, n))
        return tn_schema_refuse(s, path, "got '%.80s', expected a pattern from ^ to $", text);
    Pattern p = {.s = s, .path = path, .text = text, .n = n - 1, .at = 1, .out = body};
    TernStatus st = choice(&p);
    if (st == TERN_OK && p.at < p.n) st = refuse(&p, "expected '(' before ')'");
    free(p.ranges);
    return st;
}
