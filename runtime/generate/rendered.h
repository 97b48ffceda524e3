/* The text of a conversation as it was last rendered, and its ids.
 *
 * A text that grows must keep the ids of its beginning, or their cache would be lost. The ids of an answer are those that
 * were picked, which the tokenizer would not always choose for the same text. So a text has marks, pairs of a place in it
 * and a place in its ids, where it may be cut: before and after each answer. A new text keeps the ids up to the last mark
 * within the beginning that it shares with the old one, and only the rest is encoded. Two texts share a byte if it is the
 * same and in both the template's or in both the user's, because only the template's bytes become control tokens. */
#ifndef TN_GENERATE_RENDERED_H
#define TN_GENERATE_RENDERED_H

#include <stdbool.h>
#include "runtime/base/buf.h"
#include "runtime/base/status.h"
#include "runtime/text/chat.h"

typedef struct TnMark {
    size_t text, ids;
} TnMark;

typedef struct TnRendered {
    const TernVocab *vocab;
    bool adds_bos;   /* the model expects it before a text; the template may have put it there */
    bool adds_space; /* the tokenizer puts a space before a text that follows no control token */
    int32_t bos;
    TnBuf text;
    TernChatSpan *spans;
    size_t n_spans, cap_spans;
    int32_t *ids;
    size_t n_ids, cap_ids;
    TnMark *marks; /* in ascending order */
    size_t n_marks, cap_marks;
} TnRendered;

void tn_rendered_open(TnRendered *r, const TernVocab *vocab);
void tn_rendered_free(TnRendered *r);
/* Replaces the text. If that fails, the old one stays. */
TernStatus tn_rendered_set(TnRendered *r, const TernChatText *text, TernError *err);
/* Adds an answer, the user's text as the template sees it, with the ids that made it. */
void tn_rendered_add(TnRendered *r, TernText answer, const int32_t *ids, size_t n_ids);

#endif
