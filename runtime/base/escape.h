/* Escapes text from outside (names in files, file names, words of a command line) for the place where it is written. There
 * is one way for each kind of place, so that no byte of a file can control a terminal or end a field. Text that a model
 * generates is not escaped.
 *
 *   terminal   printable UTF-8 as it is, every other byte as \xNN, a newline as \n
 *   csv        the same, but a newline stays; a field that needs quotes gets them, and quotes inside are doubled
 *   json       in quotes; unprintable characters as \uNNNN, bytes that are not UTF-8 as ?
 *   xml        (labels of dot, which become svg) four entities; unprintable characters as ?
 *
 * A .tir has its own spelling (ir/print.c), which is read back byte for byte. */
#ifndef TN_BASE_ESCAPE_H
#define TN_BASE_ESCAPE_H

#include <stddef.h>
#include "runtime/base/buf.h"

/* The number of bytes of the UTF-8 character at s, with `left` (at least 1) bytes left; 0 if there is no valid character
 * (broken, overlong, a surrogate). */
size_t tn_utf8(const void *s, size_t left);
/* The same, but also 0 for controls (C0, DEL, C1), line separators and marks that change the direction of writing. */
size_t tn_printable(const void *s, size_t left);

/* Terminal. Shows at most `most` bytes of s and then ".." for the rest; 0: all. */
void tn_put_shown(const void *s, size_t n, size_t most, TnBuf *out);
void tn_put_csv(const char *s, TnBuf *out);
void tn_put_json(const char *s, TnBuf *out);
void tn_put_xml(const char *s, TnBuf *out);
/* For a whole json text that another library wrote: unprintable characters in its strings become \uNNNN. */
void tn_put_json_text(const char *text, size_t n, TnBuf *out);

/* Terminal, as an argument of printf. Shows at most 80 bytes of a quoted value in a message, or 400 of a name in a listing,
 * and then ".." if there were more. */
enum { TN_SHOWN_MOST = 80, TN_LISTED_MOST = 400 };
typedef struct TnShownText {
    char s[4 * TN_SHOWN_MOST + 3];
} TnShownText;
typedef struct TnListedText {
    char s[4 * TN_LISTED_MOST + 3];
} TnListedText;
TnShownText tn_shown_n(const void *s, size_t n);
TnShownText tn_shown(const char *s);
TnListedText tn_listed_n(const void *s, size_t n);
TnListedText tn_listed(const char *s);

#endif
