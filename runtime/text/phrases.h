/* Phrases, as lookups fill and ask them (text.h has what they are). */
#ifndef TN_TEXT_PHRASES_H
#define TN_TEXT_PHRASES_H

#include "runtime/text/text.h"

/* Notes that ids[n] came after the n ids before it. */
void tn_phrases_accept(TernPhrases *p, const uint32_t *ids, size_t n);
/* What came after the last 8, 4 or 2 of these n ids, the most of which anything is known. Returns that number; 0: nothing. */
size_t tn_phrases_find(const TernPhrases *p, const uint32_t *ids, size_t n, uint32_t *out_id);

enum { TN_PHRASE_LONGEST = 8 };

#endif
