/* Pre-tokenizers: the regular expressions that split text into words before byte-level BPE.
 *
 * All that is known of one is its row of the table in pretok.c: how model files call it, what it brings along, and its
 * expressions. Refusals list the table's names, and a file's defaults are the row's; nothing else names one. */
#ifndef TN_TEXT_PRETOK_H
#define TN_TEXT_PRETOK_H

#include "runtime/base/buf.h"
#include "runtime/base/status.h"
#include "runtime/text/text.h"

#define TN_PRE_REGEXES 6
#define TN_PRE_NONE    UINT32_MAX

/* The row's number stands in vocabulary images (head.pre); TN_PRE_NONE: no row has this name. */
uint32_t tn_pre_find(TernText name);
/* The row of a file that names none and has this many tokens. */
uint32_t tn_pre_default(size_t n_tokens);
uint32_t tn_pre_count(void);
const char *tn_pre_name(uint32_t pre);
/* NULL after the last. */
const char *tn_pre_regex(uint32_t pre, uint32_t level);
/* TN_VOCAB_ADD_BOS and TN_VOCAB_IGNORE_MERGES, where a file does not say otherwise. */
uint16_t tn_pre_flags(uint32_t pre);
/* Appends "a, b or c": the name of every row; tn_pre_find knows more. */
void tn_pre_list(TnBuf *out);

/* ---- pretok_split.c */

/* The expressions of a row, compiled: immutable, shared by threads. */
typedef struct TnPretok TnPretok;
TernStatus tn_pretok_create(uint32_t pre, TnPretok **out, TernError *err);
void tn_pretok_destroy(TnPretok *p); /* NULL is fine */

/* What splitting needs; made for one tern_encode of `size` bytes. NULL if memory is out. */
typedef struct TnSplit TnSplit;
TnSplit *tn_split_begin(const TnPretok *p, size_t size);
void tn_split_end(TnSplit *s); /* NULL is fine */
/* Calls word() on each piece of well-formed UTF-8, in order. */
typedef TernStatus TnWordFn(void *user, const char *text, size_t size, TernError *err);
TernStatus tn_split_words(TnSplit *s, const char *text, size_t size, TnWordFn *word, void *user,
                          TernError *err);

#endif
