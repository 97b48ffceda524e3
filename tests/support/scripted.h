/* A model that says what a test has written down. Chats, tools, thinking, stop strings and grammars can then be tested to
 * the byte, by the product itself and through every layer of it, without a trained model and without a hook.
 *
 * It is an ordinary GGUF file of architecture llama with a single layer, whose weights are made by hand:
 *
 *   embedding   each token that matters has a column of its own, the others share one
 *   attention   finds the latest trigger of the context: a token that the script names
 *   head        logit of `next` = after(last token, next) + during(latest trigger, next), exact in f32
 *
 * So a logit depends on the last token and on the latest trigger, and what is not written down is 0. Prompts, caches,
 * forks, truncation and guesses work as in any model; all targets give the same bits. Two triggers must be at least four
 * tokens apart in the context (of at most 2,048 positions), and the cache must be f16 or f32.
 *
 * A vocabulary has the 256 bytes, and no merges, so a text is its bytes, one token each, except for control tokens and
 * triggers. The pieces that the model says are tokens of their own, which no text encodes to. Two pieces may have the same
 * bytes. */
#ifndef TN_TEST_SCRIPTED_H
#define TN_TEST_SCRIPTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/buf.h"

typedef struct TnScripted TnScripted;
typedef enum TnScriptedKind {
    TN_SCRIPTED_PIECE,   /* something to say; always a new token */
    TN_SCRIPTED_CONTROL, /* a control token */
    TN_SCRIPTED_END,     /* the same, and it ends an answer: eos, or eot if there is one already */
    TN_SCRIPTED_TRIGGER  /* found in any text as a whole */
} TnScriptedKind;

TnScripted *tn_scripted_create(void);
void tn_scripted_destroy(TnScripted *s);

/* Returns an id, counted from 0; the ids of bytes come after all of these (tn_scripted_byte). A control token or a trigger
 * that exists is found again. At most 63 triggers. */
int32_t tn_scripted_token(TnScripted *s, TnScriptedKind kind, const char *bytes, size_t size);
/* What was given for it; borrowed. */
void tn_scripted_spelling(const TnScripted *s, int32_t id, const char **bytes, size_t *size);
/* The id of a byte. No token may be added after this. */
int32_t tn_scripted_byte(TnScripted *s, uint8_t byte);
/* The logit of `next` right after token `id`. -1: after any token that no rule names. The last rule for a pair counts. */
void tn_scripted_after(TnScripted *s, int32_t id, int32_t next, float logit);
/* What is added to the logit of `next` while `trigger` is the latest one; -1: while there is none. */
void tn_scripted_during(TnScripted *s, int32_t trigger, int32_t next, float logit);
/* The key tokenizer.chat_template. */
void tn_scripted_template(TnScripted *s, const char *text);

/* Reads a script, line by line:
 *
 *   # a comment
 *   control <|im_start|>          a control token
 *   end <|im_end|>                one that ends an answer; required before answers
 *   say: Hello|! How can I help?  the answer while there is no trigger: pieces separated by |
 *   say sun: It| shines|.         the answer after a text with "sun" in it; the latest trigger counts
 *   say sun: Clouds|.             another answer to the same, as likely
 *
 * After an answer comes the end token. A piece spelled like a control token that was named above is that token. In pieces
 * and triggers \n, \t, \\, \|, \: and \xNN stand for bytes; blanks around a trigger, and one blank after the colon, do not count.
 * An answer begins after any token that is not in the middle of one. The rules are logits of 10 for what may begin, 100 for
 * what follows, and 5 more for all tokens of the answers of the latest trigger.
 *
 * False if a line is not understood; *line is its number from 1. */
bool tn_scripted_read(TnScripted *s, const char *text, size_t *line);

/* Appends the GGUF file to a buffer. */
void tn_scripted_bytes(TnScripted *s, TnBuf *out);

#endif
