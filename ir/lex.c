/* Tokens of the text form, and what numbers and strings mean. */
#include "ir/lex.h"
#include "ir/print.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"
#include "runtime/base/hex.h"

#define FAIL(...) tn_fail(err, TERN_ERR_INPUT, __VA_ARGS__)

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_word(char c) {
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '.' ||
           c == '+' || c == '-';
}

/* ---- bytes */

/* Length of the UTF-8 sequence at s, or 0. */
static size_t utf8_len(const unsigned char *s, size_t left) {
    size_t n = s[0] >= 0xc2 && s[0] < 0xe0   ? 2
               : (s[0] & 0xf0) == 0xe0       ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
    if (!n || n > left) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0; /* overlong; surrogate */
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0; /* overlong; past U+10FFFF */
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return n;
}

TernStatus tn_lex_text(const char *text, size_t n, size_t *out_at, TernError *err) {
    const unsigned char *s = (const unsigned char *)text;
    *out_at = 0;
    if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
        return FAIL("the text starts with a byte order mark, expected none");
    for (size_t i = 0; i < n;) {
        for (uint64_t w; n - i >= 8; i += 8) { /* eight bytes of 0x20 to 0x7e at once */
            memcpy(&w, s + i, 8);
            const uint64_t ones = 0x0101010101010101u, high = ones * 0x80;
            if ((w | (w + ones) | (w - 0x20 * ones)) & high) break;
        }
        if (i == n) break;
        *out_at = i;
        if (s[i] >= 0x80) {
            size_t len = utf8_len(s + i, n - i);
            if (!len) return FAIL("byte 0x%02x is not UTF-8", s[i]);
            i += len;
            continue;
        }
        if (s[i] == '\r') return FAIL("carriage return; lines end with a line feed alone");
        if ((s[i] < 0x20 && s[i] != '\n' && s[i] != '\t') || s[i] == 0x7f)
            return FAIL("control byte 0x%02x", s[i]);
        do i++; /* skip a run of newlines, which may be long */
        while (i < n && s[i] == '\n');
    }
    return TERN_OK;
}

void tn_lex_place(const char *text, size_t at, uint32_t *out_line, uint32_t *out_col) {
    size_t line = at; /* a hostile text may be 2^30 newlines, or one line of 2^30 bytes */
    *out_line = 1;
    for (size_t i = 0; i < at; i++) *out_line += text[i] == '\n';
    while (line > 0 && text[line - 1] != '\n') line--;
    *out_col = (uint32_t)(at - line) + 1;
}

/* ---- tokens */

TnShown tn_lex_shown(const TnTok *t) {
    TnShown out;
    const char *sigil = t->kind == TN_TOK_VALUE    ? "%"
                        : t->kind == TN_TOK_WEIGHT ? "$"
                        : t->kind == TN_TOK_AT     ? "@"
                        : t->kind == TN_TOK_STRING ? "\""
                                                   : "";
    size_t n = t->n < 40 ? t->n : 40;
    while (n < t->n && n && ((unsigned char)t->s[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    if (t->kind == TN_TOK_END)
        snprintf(out.s, sizeof out.s, "the end of the line");
    else if (t->kind < 256)
        snprintf(out.s, sizeof out.s, "'%c'", t->kind);
    else
        snprintf(out.s, sizeof out.s, "'%s%.*s%s'", sigil, (int)n, t->s, n < t->n ? ".." : "");
    return out;
}

static TernStatus next_string(TnLex *l, TnTok *t, TernError *err) {
    t->kind = TN_TOK_STRING;
    t->s = ++l->p;
    for (; l->p < l->end && *l->p != '"'; l->p++)
        if (*l->p == '\\' && l->p + 1 < l->end) l->p++;
    if (l->p == l->end) return FAIL("string without its closing quote");
    t->n = (size_t)(l->p++ - t->s);
    return TERN_OK;
}

TernStatus tn_lex_next(TnLex *l, TnTok *t, TernError *err) {
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\t')) l->p++;
    *t = (TnTok){.kind = TN_TOK_END, .col = (uint32_t)(l->p - l->line) + 1, .s = l->p};
    if (l->p == l->end || *l->p == ';') {
        l->p = l->end;
        return TERN_OK;
    }
    char c = *l->p;
    if (c == '"') return next_string(l, t, err);
    if (strchr(":=,{}[]", c)) {
        t->kind = (unsigned char)c;
        t->n = 1;
        l->p++;
        return TERN_OK;
    }
    t->kind = c == '%' ? TN_TOK_VALUE : c == '$' ? TN_TOK_WEIGHT : c == '@' ? TN_TOK_AT : TN_TOK_WORD;
    if (t->kind != TN_TOK_WORD) t->s = ++l->p;
    while (l->p < l->end && is_word(*l->p)) l->p++;
    t->n = (size_t)(l->p - t->s);
    if (t->kind == TN_TOK_WORD && !t->n) {
        unsigned char u = (unsigned char)c;
        return u < 0x80 ? FAIL("unexpected '%c'", c)
                        : FAIL("unexpected byte 0x%02x; text beyond ASCII belongs in strings", u);
    }
    if (t->n > TN_NAME_MAX)
        return FAIL("%s is %zu bytes long, at most %d are allowed", tn_lex_shown(t).s, t->n, TN_NAME_MAX);
    if (t->kind != TN_TOK_WORD && !tn_name_ok(t->s, t->n))
        return FAIL("%s is not a name, expected letters, digits, '_' and '.', or digits alone",
                    tn_lex_shown(t).s);
    return TERN_OK;
}

/* ---- numbers */

TernStatus tn_lex_int(const TnTok *t, int64_t *out, TernError *err) {
    size_t i = 0;
    bool negative = t->kind == TN_TOK_WORD && t->s[0] == '-';
    if (negative) i++;
    if (t->kind != TN_TOK_WORD || i == t->n) return FAIL("%s is not an integer", tn_lex_shown(t).s);
    int64_t v = 0;
    for (; i < t->n; i++) {
        if (!is_digit(t->s[i])) return FAIL("%s is not an integer", tn_lex_shown(t).s);
        int d = t->s[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, negative ? -d : d, &v))
            return FAIL("%s does not fit in 64 bits", tn_lex_shown(t).s);
    }
    *out = v;
    return TERN_OK;
}

TernStatus tn_lex_hex(const TnTok *t, uint64_t *out, TernError *err) {
    if (t->kind != TN_TOK_WORD || t->n < 3 || t->s[0] != '0' || t->s[1] != 'x')
        return FAIL("%s is not a hexadecimal number (0x..)", tn_lex_shown(t).s);
    uint64_t v = 0;
    for (size_t i = 2; i < t->n; i++) {
        int d = tn_hex_digit(t->s[i]);
        if (d < 0) return FAIL("%s is not a hexadecimal number (0x..)", tn_lex_shown(t).s);
        if (v >> 60) return FAIL("%s does not fit in 64 bits", tn_lex_shown(t).s);
        v = v << 4 | (uint64_t)d;
    }
    *out = v;
    return TERN_OK;
}

/* Reads the exponent in [p, end) and clamps it: beyond a million it is out of range anyway. */
static bool exponent(const char *p, const char *end, int64_t *out) {
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if (p == end) return false;
    int64_t v = 0;
    for (; p < end; p++) {
        if (!is_digit(*p)) return false;
        if (v < 1000000) v = v * 10 + (*p - '0');
    }
    *out = negative ? -v : v;
    return true;
}

/* Reads a hex float after its 0x: hex digits with at most one point, then p and an exponent. Refuses a value that is not
 * exactly an f32. */
static TernStatus hex_float(const TnTok *t, const char *p, bool negative, float *out, TernError *err) {
    const char *end = t->s + t->n;
    uint64_t m = 0;
    int64_t e = 0, written;
    bool point = false, lost = false;
    int digits = 0;
    for (; p < end; p++) {
        if (*p == '.' && !point) {
            point = true;
            continue;
        }
        int d = tn_hex_digit(*p);
        if (d < 0) break;
        digits++;
        if (m >> 60) {
            lost |= d != 0;
            e += 4;
        } else {
            m = m << 4 | (uint64_t)d;
        }
        if (point) e -= 4;
    }
    if (!digits || p == end || *p != 'p' || !exponent(p + 1, end, &written))
        return FAIL("%s is not a float, expected such as 0x1.8p-3", tn_lex_shown(t).s);
    e += written;
    while (m && !(m & 1)) m >>= 1, e++;
    int bits = m ? 64 - __builtin_clzll(m) : 0;
    if (m && e + bits > 128) return FAIL("%s does not fit in f32", tn_lex_shown(t).s);
    if (lost || bits > 24 || (m && e < -149)) return FAIL("%s is not an f32 exactly", tn_lex_shown(t).s);
    float f = m ? (float)ldexp((double)m, (int)e) : 0.0f;
    *out = negative ? -f : f;
    return TERN_OK;
}

static bool decimal_ok(const char *p, const char *end) {
    if (p == end || !is_digit(*p)) return false;
    while (p < end && is_digit(*p)) p++;
    if (p < end && *p == '.') {
        if (++p == end || !is_digit(*p)) return false;
        while (p < end && is_digit(*p)) p++;
    }
    int64_t e;
    return p == end || (*p == 'e' && exponent(p + 1, end, &e));
}

static TernStatus decimal_float(const TnTok *t, float *out, TernError *err) {
    char text[TN_NAME_MAX + 1];
    memcpy(text, t->s, t->n);
    text[t->n] = '\0';
    /* strtof would use the decimal point of the process's locale */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return FAIL("%s: decimal floats cannot be read here, write it in hex", tn_lex_shown(t).s);
    errno = 0;
    *out = strtof_l(text, NULL, c);
    bool lost = errno == ERANGE && isinf(*out); /* small values are rounded, even to 0 */
    freelocale(c);
    if (lost) return FAIL("%s does not fit in f32", tn_lex_shown(t).s);
    return TERN_OK;
}

static bool is(const TnTok *t, const char *s) {
    return strlen(s) == t->n && memcmp(t->s, s, t->n) == 0;
}

TernStatus tn_lex_float(const TnTok *t, float *out, TernError *err) {
    if (t->kind != TN_TOK_WORD)
        return FAIL("%s is not a float, expected such as 0x1.8p-3", tn_lex_shown(t).s);
    const char *p = t->s, *end = t->s + t->n;
    bool negative = *p == '-';
    if (is(t, "nan"))
        *out = tn_bits_f32(0x7fc00000u);
    else if (is(t, "inf") || is(t, "-inf"))
        *out = tn_bits_f32(negative ? 0xff800000u : 0x7f800000u);
    else if (negative + 2 < end - p && p[negative] == '0' && p[negative + 1] == 'x')
        return hex_float(t, p + negative + 2, negative, out, err);
    else if (decimal_ok(p + negative, end))
        return decimal_float(t, out, err);
    else
        return FAIL("%s is not a float, expected such as 0x1.8p-3", tn_lex_shown(t).s);
    return TERN_OK;
}

/* ---- strings */

TernStatus tn_lex_string(const TnTok *t, char *out, TernError *err) {
    if (t->kind != TN_TOK_STRING) return FAIL("%s is not a string", tn_lex_shown(t).s);
    size_t n = 0;
    for (size_t i = 0; i < t->n; n++) {
        if (n == TN_STR_MAX) return FAIL("%s is longer than %d bytes", tn_lex_shown(t).s, TN_STR_MAX);
        char c = t->s[i++];
        if (c != '\\') {
            out[n] = c;
            continue;
        }
        c = i < t->n ? t->s[i++] : '\0';
        int hi = c == 'x' && i + 1 < t->n ? tn_hex_digit(t->s[i]) : -1;
        int lo = hi >= 0 ? tn_hex_digit(t->s[i + 1]) : -1;
        if (lo >= 0) {
            if (hi * 16 + lo == 0) return FAIL("a string cannot hold \\x00");
            out[n] = (char)(hi * 16 + lo);
            i += 2;
        } else if (c == '"' || c == '\\') {
            out[n] = c;
        } else {
            return FAIL("unknown escape in a string, expected \\\" \\\\ or \\xNN");
        }
    }
    out[n] = '\0';
    return TERN_OK;
}
