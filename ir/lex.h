/* Tokens of the text form, line by line. Columns are bytes from 1. Nothing here allocates or keeps state
 * between lines; errors are returned as one line of text without file and line. */
#ifndef TN_IR_LEX_H
#define TN_IR_LEX_H

#include "ir/ir.h"

/* Punctuation is its own character: : = , { } [ ] */
enum { TN_TOK_END = 256, TN_TOK_WORD, TN_TOK_VALUE, TN_TOK_WEIGHT, TN_TOK_AT, TN_TOK_STRING };

typedef struct TnTok {
    int kind;
    uint32_t col;
    const char *s; /* words; names without their sigil; strings between their quotes, still escaped */
    size_t n;
} TnTok;

typedef struct TnLex {
    const char *line, *p, *end; /* one line, without its newline */
} TnLex;

/* Checks the bytes of a whole text: UTF-8 without a byte order mark, and without control bytes except tab and newline (so no
 * NUL, no carriage return). On failure *out_at is the place of the first bad byte. */
TernStatus tn_lex_text(const char *text, size_t n, size_t *out_at, TernError *err);
/* The line and the column, both from 1, of byte `at` of a text, which may be its end. */
void tn_lex_place(const char *text, size_t at, uint32_t *out_line, uint32_t *out_col);
/* Reads the next token. On failure t->col is its place, and the rest of the line must not be read. */
TernStatus tn_lex_next(TnLex *l, TnTok *t, TernError *err);

/* The values of words and strings. */
TernStatus tn_lex_int(const TnTok *t, int64_t *out, TernError *err);  /* decimal, i64 */
TernStatus tn_lex_hex(const TnTok *t, uint64_t *out, TernError *err); /* 0x.., u64 */
/* Reads a float: hex, which must be an f32 exactly; decimal, which is rounded to nearest; nan, inf or -inf. */
TernStatus tn_lex_float(const TnTok *t, float *out, TernError *err);
/* out has room for TN_STR_MAX + 1 bytes; the escapes are \" \\ and \xNN. */
TernStatus tn_lex_string(const TnTok *t, char *out, TernError *err);

/* A token as messages show it: quoted, and cut if it is long. */
typedef struct TnShown {
    char s[64];
} TnShown;
TnShown tn_lex_shown(const TnTok *t);

#endif
