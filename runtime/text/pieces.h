/* Tokens as SentencePiece spells them: U+2581 for a space, <0x00> to <0xFF> for bytes. Its own tokenizer and BPE of characters
 * share this. */
#ifndef TN_TEXT_PIECES_H
#define TN_TEXT_PIECES_H

#include "runtime/text/tokenizer.h"

#define TN_SPACE_POINT 0x2581

/* The byte that <0x00> to <0xFF> spell; -1 for any other text. */
int tn_piece_byte(TernText t);
/* Whether a token stands for one byte. In a file without types, it is known only by its text. */
bool tn_piece_is_byte(const TernVocabSource *s, size_t id);
/* Appends the text with a space for every U+2581. A text that has a space itself can be decoded but not found. */
TnSpelling tn_piece_put(TnBuf *out, TernText text);
/* A TnSpellFn over a TernVocabSource: bytes and spaces as above. */
TnSpelling tn_piece_spell(void *source, TernText text, TernTokenType type, TnBuf *out);
/* Refuses a token of type byte that spells none. */
TernStatus tn_pieces_check_bytes(const TernVocabSource *s, TernError *err);
/* Sets byte_symbol, after the tokens. A byte without a byte token gets the token of that character, if there is one. */
void tn_pieces_find_bytes(TnVocabBuild *b);

#endif
