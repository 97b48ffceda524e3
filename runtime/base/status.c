#include "runtime/base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many bytes of printable UTF-8 start at p, or 0: what is not (controls, C1 controls, broken sequences)
 * is shown in hex, so that a file name or a tensor name cannot drive the reader's terminal. */
static size_t printable(const unsigned char *p, size_t left) {
    unsigned c = p[0];
    if (c >= 0x20 && c < 0x7f) return 1;
    size_t n = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (n == 0 || n > left) return 0;
    uint32_t code = c & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[5] = {0, 0, 0xa0, 0x800, 0x10000}; /* 0xa0: below are the C1 controls */
    bool surrogate = code >= 0xd800 && code < 0xe000;
    bool steering = code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
                    (code >= 0x2066 && code <= 0x2069);
    return code < least[n] || code > 0x10ffff || surrogate || steering ? 0 : n;
}

static void sanitise(char *out, size_t cap, const char *in) {
    size_t len = strlen(in), i = 0, o = 0, mark = 0; /* mark: where "..." still fits */
    while (i < len) {
        size_t n = printable((const unsigned char *)in + i, len - i);
        size_t want = n ? n : 4;
        if (o + want >= cap) {
            memcpy(out + mark, "...", 4);
            return;
        }
        if (n)
            memcpy(out + o, in + i, n);
        else
            snprintf(out + o, cap - o, "\\x%02x", (unsigned char)in[i]);
        o += want;
        i += n ? n : 1;
        if (o + 3 < cap) mark = o;
    }
    out[o] = '\0';
}

TernStatus(tn_fail)(TernError *err, TernStatus code, const char *fmt, ...) {
    if (!err) return code;
    char text[2048]; /* beside err: an argument may point into err->text */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err->code = code;
    sanitise(err->text, sizeof err->text, text);
    return code;
}

TernStatus(tn_fail_in)(TernError *err, TernStatus code, const char *fmt, ...) {
    if (!err) return code;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    snprintf(text + at, sizeof text - at, ": %s", err->text);
    sanitise(err->text, sizeof err->text, text);
    return err->code;
}

void tn_bug(const char *file, int line, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "tern: bug: %s:%d: %s\n", file, line, text);
    abort();
}
