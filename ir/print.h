/* How names, types, attributes and nodes are spelled: in the text form and in messages. */
#ifndef TN_PRINT_H
#define TN_PRINT_H

#include "ir/ir.h"

/* [A-Za-z_][A-Za-z0-9_.]* or digits, at most TN_NAME_MAX bytes. */
bool tn_name_ok(const char *s, size_t n);
/* Bare words (levels, targets, identifiers): [A-Za-z0-9_][A-Za-z0-9_.+-]*. */
bool tn_word_ok(const char *s, size_t n);

void tn_print_shape(const TnType *t, TnBuf *out); /* "i2s[2560,640]" */
void tn_print_type(const TnType *t,
                   TnBuf *out); /* the same with its scales; only equal types have equal texts */
/* The type for a message; a long type is cut and ends in "...". */
typedef struct TnTypeText {
    char s[160];
} TnTypeText;
TnTypeText tn_type_text(const TnType *t);
void tn_print_float(float f, TnBuf *out);
void tn_print_attr(const TnAttr *a, TnBuf *out); /* "eps=0x1p-17" */
void tn_print_value(const TnAttr *a, TnBuf *out);
void tn_print_node(const TnGraph *g, TnRef r, TnBuf *out); /* its line, without indent and newline */
char tn_sigil(const TnGraph *g, TnRef r);                  /* '$' or '%' */

#endif
