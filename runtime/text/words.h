/* What the tokenizers share that cut a text into words and merge the parts of each: BPE of bytes and of characters. */
#ifndef TN_TEXT_WORDS_H
#define TN_TEXT_WORDS_H

#include "runtime/text/bpe.h"
#include "runtime/text/pretok.h"

/* Calls `add` for every merge of the file, in order, with the texts of its two parts; `i` is its rank. */
typedef TernStatus TnMergeFn(TnVocabBuild *b, void *user, size_t i, TernText left, TernText right,
                             TernError *err);
TernStatus tn_words_build(TnVocabBuild *b, TnMergeFn *add, void *user, TernError *err);

/* Checks the merges of an opened image and compiles its pre-tokenizer, which must be one of characters, or one of bytes. */
TernStatus tn_words_check(TernVocab *v, bool characters, TernError *err);
void tn_words_close(TernVocab *v);

/* One tern_encode. */
typedef struct TnWords {
    TnEncoder *encoder;
    const TernVocab *v;
    TnSplit *split;
    TnBpe bpe;
    bool after_unknown; /* the last id of this stretch is the unknown one; false when a stretch begins */
} TnWords;
/* `word` gets each word, `byte` each byte that is no part of well-formed UTF-8. `user` of `word` is the TnWords. */
typedef TernStatus TnByteFn(TnWords *w, const uint8_t *byte, TernError *err);
TernStatus tn_words_encode(TnEncoder *e, TnWordFn *word, TnByteFn *byte, TernError *err);
TernText tn_words_decode(const TernVocab *v, uint32_t id, bool first);

#endif
