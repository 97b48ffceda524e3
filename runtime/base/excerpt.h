/* Shows a line of a text with a caret under one column, for messages that point at a place. */
#ifndef TN_BASE_EXCERPT_H
#define TN_BASE_EXCERPT_H

#include "runtime/base/buf.h"

/* Appends two lines, indented by four: the n bytes at `line` (without a newline), and a '^' under column `col`, which
 * counts bytes from 1. A long line is cut to 100 columns around the caret, with .. at each cut. A tab becomes a blank;
 * other control bytes and bytes that are not UTF-8 become \xNN. */
void tn_excerpt(const char *line, size_t n, size_t col, TnBuf *out);
/* The same for line `number` (from 1) of a text. col 0 means the first column that is not blank. Returns the column. */
size_t tn_excerpt_of(const char *text, size_t n, uint32_t number, size_t col, TnBuf *out);

#endif
