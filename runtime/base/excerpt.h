/* A line of a text and a caret under one of its columns, for messages that name a place. */
#ifndef TN_BASE_EXCERPT_H
#define TN_BASE_EXCERPT_H

#include "runtime/base/buf.h"

/* Appends two lines, indented by four: the n bytes at `line` (without its newline) and a '^' under column `col`
 * (bytes from 1). Of a long line 100 columns around the caret, with .. where it is cut; a tab becomes a blank, other
 * control bytes and what is not UTF-8 become \xNN. */
void tn_excerpt(const char *line, size_t n, size_t col, TnBuf *out);
/* The same for line `number` (from 1) of a text. col 0: the first column that is not blank, returned. */
size_t tn_excerpt_of(const char *text, size_t n, uint32_t number, size_t col, TnBuf *out);

#endif
