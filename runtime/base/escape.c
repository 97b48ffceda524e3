#include "runtime/base/escape.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The character at s, or -1. *n gets the number of its bytes. */
static int32_t decode(const unsigned char *s, size_t left, size_t *n) {
    unsigned c = s[0];
    *n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (*n == 0 || *n > left) return -1;
    if (*n == 1) return (int32_t)c;
    uint32_t code = c & (0xffu >> (*n + 1));
    for (size_t i = 1; i < *n; i++) {
        if ((s[i] & 0xc0) != 0x80) return -1;
        code = code << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[*n] || code > 0x10ffff || surrogate ? -1 : (int32_t)code;
}

size_t tn_utf8(const void *s, size_t left) {
    size_t n;
    return decode(s, left, &n) < 0 ? 0 : n;
}

size_t tn_printable(const void *s, size_t left) {
    size_t n;
    int32_t c = decode(s, left, &n);
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool steering = c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
                    (c >= 0x2066 && c <= 0x2069) || (c >= 0xfff9 && c <= 0xfffb) || c == 0xfeff;
    return control || steering ? 0 : n;
}

/* How many bytes of s, at most `most`, end at the end of a character. */
static size_t cut(const unsigned char *s, size_t n, size_t most) {
    if (n <= most) return n;
    size_t end = 0;
    for (size_t i = 0; i < most; end = i) {
        size_t k = tn_utf8(s + i, n - i);
        i += k ? k : 1;
        if (i > most) break;
    }
    return end;
}

/* Writes the byte or character at s to `to` as a terminal gets it (at most 4 bytes) and returns that length. *n gets its
 * length in s. */
static size_t shown(const unsigned char *s, size_t left, char to[5], size_t *n) {
    size_t k = tn_printable(s, left);
    *n = k ? k : 1;
    if (k) {
        memcpy(to, s, k);
        return k;
    }
    return (size_t)snprintf(to, 5, *s == '\n' ? "\\n" : "\\x%02x", *s);
}

static void show(const unsigned char *s, size_t n, size_t most, char *out) {
    size_t end = cut(s, n, most), step;
    char one[5];
    for (size_t i = 0; i < end; i += step) {
        size_t k = shown(s + i, end - i, one, &step);
        memcpy(out, one, k);
        out += k;
    }
    memcpy(out, end < n ? ".." : "", end < n ? 3 : 1);
}

TnShownText tn_shown_n(const void *s, size_t n) {
    TnShownText t;
    show(s, n, TN_SHOWN_MOST, t.s);
    return t;
}
TnShownText tn_shown(const char *s) {
    return tn_shown_n(s, strlen(s));
}
TnListedText tn_listed_n(const void *s, size_t n) {
    TnListedText t;
    show(s, n, TN_LISTED_MOST, t.s);
    return t;
}
TnListedText tn_listed(const char *s) {
    return tn_listed_n(s, strlen(s));
}

void tn_put_shown(const void *text, size_t n, size_t most, TnBuf *out) {
    const unsigned char *s = text;
    size_t end = most ? cut(s, n, most) : n, step;
    char one[5];
    for (size_t i = 0; i < end; i += step) {
        size_t k = shown(s + i, end - i, one, &step);
        tn_buf_put(out, one, k);
    }
    tn_buf_puts(out, end < n ? ".." : "");
}

void tn_put_csv(const char *s, TnBuf *out) {
    size_t n = strlen(s), step;
    bool quotes = strpbrk(s, ",\"\n\r") != NULL || *s == ' ' || (n && s[n - 1] == ' ');
    char one[5];
    tn_buf_puts(out, quotes ? "\"" : "");
    for (size_t i = 0; i < n; i += step) {
        size_t k = shown((const unsigned char *)s + i, n - i, one, &step);
        if (s[i] == '\n')
            tn_buf_puts(out, "\n");
        else
            tn_buf_put(out, one, k);
        if (s[i] == '"') tn_buf_puts(out, "\"");
    }
    tn_buf_puts(out, quotes ? "\"" : "");
}

static void put_code(int32_t c, TnBuf *out) {
    if (c >= 0x10000)
        tn_buf_printf(out, "\\u%04x\\u%04x", 0xd800 + (unsigned)((c - 0x10000) >> 10),
                      0xdc00 + (unsigned)(c & 0x3ff));
    else
        tn_buf_printf(out, "\\u%04x", (unsigned)c);
}

void tn_put_json(const char *text, TnBuf *out) {
    const unsigned char *s = (const unsigned char *)text;
    size_t left = strlen(text);
    tn_buf_puts(out, "\"");
    while (left) {
        size_t n;
        int32_t c = decode(s, left, &n);
        if (c < 0) {
            tn_buf_puts(out, "?");
            n = 1;
        } else if (c == '"' || c == '\\') {
            tn_buf_printf(out, "\\%c", (char)c);
        } else if (tn_printable(s, left)) {
            tn_buf_put(out, s, n);
        } else {
            put_code(c, out);
        }
        s += n;
        left -= n;
    }
    tn_buf_puts(out, "\"");
}

void tn_put_json_text(const char *text, size_t n, TnBuf *out) {
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0, k; i < n; i += k) {
        int32_t c = decode(s + i, n - i, &k);
        if (c == '\n' || (c >= 0 && tn_printable(s + i, n - i)))
            tn_buf_put(out, s + i, k);
        else if (c >= 0)
            put_code(c, out);
        else
            tn_buf_puts(out, "?"), k = 1;
    }
}

void tn_put_xml(const char *s, TnBuf *out) {
    for (size_t left = strlen(s), n; left; s += n, left -= n) {
        n = tn_printable(s, left);
        const char *entity = *s == '&'   ? "&amp;"
                             : *s == '<' ? "&lt;"
                             : *s == '>' ? "&gt;"
                             : *s == '"' ? "&quot;"
                                         : NULL;
        if (entity)
            tn_buf_puts(out, entity);
        else if (n)
            tn_buf_put(out, s, n);
        else
            tn_buf_puts(out, "?");
        if (!n) n = 1;
    }
}
