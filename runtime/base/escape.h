/* Text from outside (names in files, file names, words of a command line), made fit for where it goes: one way for each
 * destination, so that no byte of a file can steer a terminal or end a field. What is generated from a model is no such
 * text and stays as it is.
 *
 *   terminal   printable UTF-8 as it is, every other byte as \xNN, a newline as \n
 *   csv        the same, but a newline stays; in quotes, doubled inside, where the field needs them
 *   json       in quotes; what is not printable as \uNNNN; a byte that is no UTF-8 as ?
 *   xml        (labels of dot, which become svg) four entities; what is not printable as ?
 *
 * A .tir has its own spelling (ir/print.c), which is read back byte for byte. */
#ifndef TN_BASE_ESCAPE_H
#define TN_BASE_ESCAPE_H

#include <stddef.h>
#include "runtime/base/buf.h"

/* Bytes of the UTF-8 character at s, of at most `left` (at least 1); 0: it is none (broken, overlong, a surrogate). */
size_t tn_utf8(const void *s, size_t left);
/* The same; 0 too for controls (C0, DEL, C1), line separators and marks that turn the direction of writing. */
size_t tn_printable(const void *s, size_t left);

/* Terminal. `most`: bytes of s that are shown, the rest as ".."; 0: all. */
void tn_put_shown(const void *s, size_t n, size_t most, TnBuf *out);
void tn_put_csv(const char *s, TnBuf *out);
void tn_put_json(const char *s, TnBuf *out);
void tn_put_xml(const char *s, TnBuf *out);
/* A whole json text of another writer's: what is not printable in its strings becomes \uNNNN. */
void tn_put_json_text(const char *text, size_t n, TnBuf *out);

/* Terminal, as an argument of printf. A quoted value in a message has at most 80 bytes of text, and ".." if it had more; a
 * name in a listing at most 400. */
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
