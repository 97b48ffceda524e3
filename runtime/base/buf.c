#include "runtime/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"

/* Makes room for n more bytes and a NUL after them. Growing by half keeps the cost of appending linear in the total. */
static char *reserve(TnBuf *b, size_t n) {
    size_t want;
    if (__builtin_add_overflow(b->len, n, &want) || want == SIZE_MAX) tn_out_of_memory(SIZE_MAX);
    want++;
    if (want > b->cap) {
        size_t cap = b->cap + b->cap / 2;
        if (cap < want) cap = want;
        if (cap < 64) cap = 64;
        b->data = tn_xrealloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void tn_buf_put(TnBuf *b, const void *bytes, size_t n) {
    char *p = reserve(b, n);
    if (n) memcpy(p, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void tn_buf_puts(TnBuf *b, const char *s) {
    tn_buf_put(b, s, strlen(s));
}

void tn_buf_vprintf(TnBuf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    char *p = reserve(b, 0);
    size_t room = b->cap - b->len;
    int n = vsnprintf(p, room, fmt, ap);
    if (n > 0 && (size_t)n >= room) {
        p = reserve(b, (size_t)n);
        vsnprintf(p, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0) b->len += (size_t)n;
    b->data[b->len] = '\0';
}

void tn_buf_printf(TnBuf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    tn_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void *tn_buf_grow(TnBuf *b, size_t n) {
    char *p = reserve(b, n);
    memset(p, 0, n + 1);
    b->len += n;
    return p;
}

void tn_buf_align(TnBuf *b, size_t align) {
    size_t over = b->len % align;
    if (over) tn_buf_grow(b, align - over);
}

void tn_buf_free(TnBuf *b) {
    free(b->data);
    *b = (TnBuf){0};
}
