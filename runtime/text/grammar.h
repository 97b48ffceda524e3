/* Constrained output: which ids may come next so that the text stays within a grammar. Part of libterntext.
 *
 * A grammar is a text in GBNF, the notation of llama.cpp; tern_grammar_of_schema makes such a text from a JSON schema.
 * docs/grammar.md describes both. A TernGrammar is a grammar over one vocabulary. It answers for a *state* of the output:
 * which ids may follow (a mask), whether one id may follow, and what the state after an id is.
 *
 *     TernGrammar *g;  tern_grammar_create(vocab, text, n, &g, &err);
 *     TernGrammarState s = TERN_GRAMMAR_START;
 *     for (;;) {
 *         tern_grammar_get_mask(g, s, &mask, &err);          // or tern_grammar_allows for the few ids that matter
 *         id = the best id whose bit in mask.words is set
 *         tern_grammar_accept(g, s, id, &s, &err);
 *         if (tern_token_is_eog(vocab, id)) break;
 *     }
 *
 * States are plain numbers, valid as long as their grammar. Copy one to fork an output, keep one for each id to go back,
 * and walk over guesses without any to take back: no call changes what another call answers.
 *
 * Text means characters of UTF-8: a token may end inside a character, but no token may follow that cannot become UTF-8.
 * The first token of an output counts without the space that decoding takes from it. Control and unknown tokens have no
 * text, so only token references of the grammar match them. A token that ends a generation (tern_token_is_eog) may come
 * where the grammar may end; after it, nothing may come.
 *
 * The answers depend on the grammar, the vocabulary and the ids alone. Masks are kept, a few MB of them, and each is
 * computed when it is first asked for. An answer that needs too much (a grammar that can be read in very many ways at once,
 * or more than TERN_GRAMMAR_STATES_MOST states) is TERN_ERR_INPUT with a line. A grammar belongs to one thread at a time.
 *
 * The first grammar of a vocabulary makes a tree of its tokens, which takes longest; the others share it, on any threads. The
 * vocabulary frees it when it is closed. */
#ifndef TERN_GRAMMAR_H
#define TERN_GRAMMAR_H

#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TernGrammar TernGrammar;
typedef uint32_t TernGrammarState;
#define TERN_GRAMMAR_START       ((TernGrammarState)0) /* nothing has been generated yet */
#define TERN_GRAMMAR_STATES_MOST (1u << 22)

/* Reads `size` bytes of GBNF. The vocabulary is borrowed; the text is not. An error in the grammar is TERN_ERR_INPUT and
 * begins with "line L, column C: " (columns count bytes, from 1). */
TERN_API TernStatus tern_grammar_create(const TernVocab *vocab, const char *text, size_t size,
                                        TernGrammar **out_grammar, TernError *err);
TERN_API void tern_grammar_destroy(TernGrammar *grammar); /* NULL is fine */

/* Bit id % 64 of words[id / 64] is set if the id may come next. There are n_words words, (n_tokens + 63) / 64; the bits
 * above the last id are 0. n_allowed is the number of bits that are set. If it is 0, no token of the vocabulary spells what
 * the grammar expects, or the output has ended. */
typedef struct TernGrammarMask {
    const uint64_t *words;
    size_t n_words, n_allowed;
} TernGrammarMask;
/* The words are borrowed until the next call that takes this grammar. */
TERN_API TernStatus tern_grammar_get_mask(TernGrammar *grammar, TernGrammarState state,
                                          TernGrammarMask *out_mask, TernError *err);

/* Whether this id may come next: its bit in the mask, without making the mask. False for an id out of range. */
TERN_API TernStatus tern_grammar_allows(TernGrammar *grammar, TernGrammarState state, int32_t id,
                                        bool *out_allowed, TernError *err);

/* The state after `id`; `out_state` may point to `state`'s variable. An id that may not come is TERN_ERR_INPUT; then
 * *out_state is `state`. */
TERN_API TernStatus tern_grammar_accept(TernGrammar *grammar, TernGrammarState state, int32_t id,
                                        TernGrammarState *out_state, TernError *err);

/* Whether the output may end here: the text so far is a whole text of the grammar. True after a token that ended it. */
TERN_API bool tern_grammar_may_end(const TernGrammar *grammar, TernGrammarState state);

/* What the grammar has done, for timings. */
typedef struct TernGrammarCounts {
    uint64_t masks, made; /* masks that were asked for; those that were computed */
    uint64_t steps;       /* bytes of tokens that were tried to compute them */
    uint32_t states;      /* states so far */
    size_t bytes;         /* memory of the grammar, without what it shares */
} TernGrammarCounts;
TERN_API TernGrammarCounts tern_grammar_get_counts(const TernGrammar *grammar);

/* Makes GBNF from a JSON schema (text in UTF-8): its root rule matches JSON texts that are valid by the schema. *out_text is
 * `*out_size` bytes and a NUL; free() it. A part that cannot be expressed is TERN_ERR_UNSUPPORTED and the line names its
 * path: "#/properties/a/not: ..". JSON that is broken, or no schema, is TERN_ERR_INPUT. */
TERN_API TernStatus tern_grammar_of_schema(const char *json, size_t size, char **out_text, size_t *out_size,
                                           TernError *err);

#ifdef __cplusplus
}
#endif
#endif
