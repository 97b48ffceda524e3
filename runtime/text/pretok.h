/* Pre-tokenizers: the regular expressions that split text into words before BPE of bytes or characters.
 *
 * Everything about a pre-tokenizer is in its row of the table in pretok.c: its names in model files, its defaults and its
 * expressions. Refusals list the names of the table. No other place names a pre-tokenizer. */
#ifndef TN_TEXT_PRETOK_H
#define TN_TEXT_PRETOK_H

#include <stdbool.h>
#include "runtime/base/buf.h"
#include "runtime/base/status.h"
#include "runtime/text/text.h"

#define TN_PRE_REGEXES 6
#define TN_PRE_NONE    UINT32_MAX

/* The number of the row with this name, as vocabulary images have it (head.pre); TN_PRE_NONE: no row has the name. */
uint32_t tn_pre_find(TernText name);
/* The row for a file that names none and has this many tokens. */
uint32_t tn_pre_default(size_t n_tokens);
uint32_t tn_pre_count(void);
const char *tn_pre_name(uint32_t pre);
/* The row's expression number `level`, from 0; NULL after the last. */
const char *tn_pre_regex(uint32_t pre, uint32_t level);
/* The row for merges of characters that need no more than being cut into lines. */
const char *tn_pre_of_characters(void);
/* TN_VOCAB_CHARACTERS: it is for BPE of characters, else for that of bytes. The other flags are what its images have. */
uint16_t tn_pre_flags(uint32_t pre);
/* Appends the main name of every row: "a, b or c". tn_pre_find knows further names. */
void tn_pre_list(TnBuf *out);

/* ---- pretok_authors.c: pre-tokenizers as tokenizer.json of Hugging Face has them */

/* The row for steps, one a line: "regex EXPRESSION" (its matches are pieces), "bytes" (byte level, which brings GPT-2's
 * expression), "punctuation" (runs of it), "digits" (runs) or "digit" (each). `whole`: the tokenizer ignores merges; where
 * rows differ only in that, it decides. TN_PRE_NONE: the steps are of no row. */
uint32_t tn_pre_of_steps(const char *steps, bool whole);

/* ---- pretok_split.c */

/* The expressions of a row, compiled: immutable, shared by threads. */
typedef struct TnPretok TnPretok;
TernStatus tn_pretok_create(uint32_t pre, TnPretok **out, TernError *err);
void tn_pretok_destroy(TnPretok *p); /* NULL is fine */

/* The state of splitting, for one tern_encode of `size` bytes. NULL if out of memory. */
typedef struct TnSplit TnSplit;
TnSplit *tn_split_begin(const TnPretok *p, size_t size);
void tn_split_end(TnSplit *s); /* NULL is fine */
/* Splits well-formed UTF-8 and calls word() on each piece, in order. */
typedef TernStatus TnWordFn(void *user, const char *text, size_t size, TernError *err);
TernStatus tn_split_words(TnSplit *s, const char *text, size_t size, TnWordFn *word, void *user,
                          TernError *err);

#endif
