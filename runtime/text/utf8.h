/* Strict UTF-8, as PCRE2 also requires it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef TN_TEXT_UTF8_H
#define TN_TEXT_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Returns the length of the character at p (1 to 4) and gives its code point; returns 0 if the bytes are not a character.
 * Then *out_partial is set if more bytes after them could make them one. n >= 1. */
static inline int tn_utf8_next(const uint8_t *p, size_t n, uint32_t *out_point, int *out_partial) {
    *out_partial = 0;
    uint32_t lead = p[0], lo = 0x80, hi = 0xbf, point;
    int len;
    if (lead < 0x80) {
        *out_point = lead;
        return 1;
    } else if (lead >= 0xc2 && lead <= 0xdf) {
        len = 2, point = lead & 0x1f;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        len = 3, point = lead & 0x0f;
        if (lead == 0xe0) lo = 0xa0;
        if (lead == 0xed) hi = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        len = 4, point = lead & 0x07;
        if (lead == 0xf0) lo = 0x90;
        if (lead == 0xf4) hi = 0x8f;
    } else {
        return 0;
    }
    for (int i = 1; i < len; i++) {
        if ((size_t)i == n) {
            *out_partial = 1;
            return 0;
        }
        if (p[i] < lo || p[i] > hi) return 0;
        point = point << 6 | (p[i] & 0x3f);
        lo = 0x80, hi = 0xbf;
    }
    *out_point = point;
    return len;
}

/* How many bytes at the end of the n could be the start of a character: 0 to 3. */
static inline size_t tn_utf8_partial_tail(const char *bytes, size_t n) {
    for (size_t back = n < 3 ? n : 3; back > 0; back--) {
        uint32_t point;
        int partial;
        tn_utf8_next((const uint8_t *)bytes + n - back, back, &point, &partial);
        if (partial) return back;
    }
    return 0;
}

#endif
