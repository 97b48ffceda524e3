/* A growing byte buffer, for text and for binary images. Zero-initialise to create; tn_buf_free destroys. */
#ifndef TN_BASE_BUF_H
#define TN_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct TnBuf {
    char *data; /* NUL-terminated after the text calls; NULL while empty */
    size_t len, cap;
} TnBuf;

void tn_buf_put(TnBuf *b, const void *bytes, size_t n);
void tn_buf_puts(TnBuf *b, const char *s);
void tn_buf_printf(TnBuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tn_buf_vprintf(TnBuf *b, const char *fmt, __builtin_va_list ap);
void *tn_buf_grow(TnBuf *b, size_t n);     /* n zeroed bytes at the end; pointer valid until the next call */
void tn_buf_align(TnBuf *b, size_t align); /* appends zero bytes up to a multiple of align */
void tn_buf_free(TnBuf *b);

#endif
