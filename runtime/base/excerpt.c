#include "runtime/base/excerpt.h"

#include <string.h>
#include "runtime/base/escape.h"

enum { WIDTH = 100, BEFORE = 60, BLOCK = 4096 };

void tn_excerpt(const char *line, size_t n, size_t col, TnBuf *out) {
    const unsigned char *s = (const unsigned char *)line;
    size_t at = col ? col - 1 : 0, start = 0, caret = 4, shown = 0;
    if (at > n) at = n;
    if (n > WIDTH && at > WIDTH - 20) {
        start = at - BEFORE;
        while (start && (s[start] & 0xc0) == 0x80 && at - start < BEFORE + 4) start--;
    }
    tn_buf_puts(out, start ? "    .." : "    ");
    shown = start ? 2 : 0;
    caret += shown;
    for (size_t i = start; i < n;) {
        if (shown >= WIDTH) {
            tn_buf_puts(out, "..");
            break;
        }
        size_t len = tn_printable(s + i, n - i), wide = 1;
        if (s[i] == '\t')
            tn_buf_puts(out, " "), len = 1;
        else if (len)
            tn_buf_put(out, line + i, len);
        else
            tn_buf_printf(out, "\\x%02x", s[i]), wide = 4, len = 1;
        i += len;
        shown += wide;
        if (i <= at) caret += wide;
    }
    tn_buf_puts(out, "\n");
    for (; caret; caret--) tn_buf_puts(out, " ");
    tn_buf_puts(out, "^\n");
}

size_t tn_excerpt_of(const char *text, size_t n, uint32_t number, size_t col, TnBuf *out) {
    const char *end = text + n, *line = text;
    uint32_t left = number ? number - 1 : 0;
    while (left && end - line > BLOCK) { /* count newlines block by block: a text may have 2^30 of them */
        uint32_t found = 0;
        for (int i = 0; i < BLOCK; i++) found += line[i] == '\n';
        if (found >= left) break;
        left -= found;
        line += BLOCK;
    }
    for (; left; left--) {
        const char *q = memchr(line, '\n', (size_t)(end - line));
        line = q ? q + 1 : end;
        if (!q) break;
    }
    while (line > text && line < end && line[-1] != '\n') line--;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    size_t len = (size_t)((stop ? stop : end) - line);
    if (!col)
        for (col = 1; col <= len && (line[col - 1] == ' ' || line[col - 1] == '\t'); col++) {
        }
    tn_excerpt(line, len, col, out);
    return col;
}
