/* Text in and out of a model: vocabulary, tokenizer, detokenizer, sampler. Library libterntext, which also has chat templates
 * (chat.h) and grammars (grammar.h).
 *
 * The library needs libc, PCRE2 and jansson, but no model, no compiler and no threads. The objects are:
 *
 * - vocabulary: TernVocab, immutable, shared by any number of threads. It is opened over an *image*: one block of
 *   bytes without pointers. tern_vocab_build makes the image once, from the arrays of a GGUF file, and a compiled model
 *   carries it. Opening builds nothing but the pre-tokenizer's regular expressions and an order of the special tokens;
 *   tables are used where they lie.
 * - tokenizer: tern_encode and tern_decode, functions of the vocabulary, without state.
 * - detokenizer: TernDetok takes ids one by one and gives bytes. Before the end it never gives part of a UTF-8 character.
 * - stop strings: TernStops passes a text through until a stop string is complete.
 * - sampler: TernSampler says what it needs from each step (one id, the best k, or all logits) and picks the next id.
 *   The same options and seed pick the same ids on every machine.
 * - lookup: TernLookup guesses the next ids from the ids so far, and from phrases (TernPhrases) of all texts.
 *
 * To list the tokenizers and pre-tokenizers that are known, give tern_vocab_build another name: its error lists them.
 *
 * From a prompt to a streamed answer, without error handling (tern_step stands for the model's step):
 *
 *     TernVocab *vocab;   tern_vocab_open(image, image_bytes, &vocab, &err);
 *     size_t most = tern_encode_most(vocab, n);
 *     int32_t *ids = malloc(most * sizeof *ids);
 *     tern_encode(vocab, text, n, TERN_ENCODE_ADD_SPECIAL, ids, most, &n_ids, &err);
 *
 *     TernSamplerOptions options = TERN_SAMPLER_OPTIONS;                   // the defaults
 *     options.seed = 7;
 *     TernSampler *sampler; tern_sampler_create(&options, n_vocab, &sampler, &err);
 *     tern_sampler_accept(sampler, ids, n_ids);                            // the penalty looks back at them
 *     TernSamplerWant want = tern_sampler_want(sampler);                   // here: kind 2, k 40
 *
 *     TernDetok *detok;   tern_detok_create(vocab, 0, &detok, &err);
 *     for (;;) {
 *         tern_step(..., want.kind, want.k, top_ids, top_logits);
 *         tern_sampler_pick_top(sampler, top_ids, top_logits, want.k, &id, &err);
 *         if (tern_token_is_eog(vocab, id)) break;
 *         tern_detok_push(detok, id, &bytes, &size, &err);
 *         fwrite(bytes, 1, size, stdout);
 *     }
 *     tern_detok_flush(detok, &bytes, &size);
 *
 * Rules for all calls. If the status is not TERN_OK, *err has one line and the out parameters are zero, unless the call
 * says otherwise. After TERN_OK *err is empty. `err` may be NULL. Option structs are as in tern.h: the size may be that of
 * an older or newer version, NULL means the defaults (those of the macros), and an error names the field. Text is bytes
 * with a length; a NUL is a byte like any other. An object other than TernVocab belongs to one thread at a time. */
#ifndef TERN_TEXT_H
#define TERN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Token ids are int32_t, as in tern.h. */
#define TERN_NO_TOKEN (-1)

/* Borrowed bytes. */
typedef struct TernText {
    const char *data;
    size_t size;
} TernText;

/* ---- The vocabulary --------------------------------------------------------------------------------- */

/* The values of GGUF's tokenizer.ggml.token_type. */
typedef enum TernTokenType {
    TERN_TOKEN_UNDEFINED = 0, /* counts as normal */
    TERN_TOKEN_NORMAL = 1,
    TERN_TOKEN_UNKNOWN = 2,
    TERN_TOKEN_CONTROL = 3,      /* found in text only with TERN_ENCODE_PARSE_SPECIAL; hidden when decoding */
    TERN_TOKEN_USER_DEFINED = 4, /* always found in text, as a whole */
    TERN_TOKEN_UNUSED = 5,
    TERN_TOKEN_BYTE = 6,
} TernTokenType;

/* What a GGUF file says about its tokenizer, key by key; the keys are the names below after "tokenizer.ggml.".
 * Everything is borrowed for the call. Start from TERN_VOCAB_SOURCE, in which all keys are absent. */
typedef struct TernVocabSource {
    size_t size;    /* sizeof(TernVocabSource) */
    TernText model; /* which tokenizer: "gpt2" is byte-level BPE, "llama" SentencePiece */
    TernText pre;   /* gpt2; data NULL: absent, then llama-bpe if there are 128,256 tokens, else default */
    /* Spelled as in GGUF. gpt2: bytes as printable characters; llama: U+2581 for a space. */
    const TernText *tokens;
    size_t n_tokens;
    const int32_t *types; /* token_type; NULL: absent, all are normal */
    size_t n_types;
    /* gpt2: "left right", best first. NULL: absent, which is an error; an empty list is not NULL. */
    const TernText *merges;
    size_t n_merges;
    int64_t bos, eos, eot, eom, unk, pad; /* bos_token_id ... padding_token_id; -1: absent */
    int32_t add_bos, add_eos;             /* add_bos_token, add_eos_token: 0 or 1; -1: absent */
    TernText chat_template;               /* tokenizer.chat_template; data NULL: absent */
    const float *scores;                  /* llama: one for each token; NULL: absent, which is an error */
    size_t n_scores;
    int32_t add_space_prefix; /* llama: 0 or 1; -1: absent, which means 1 */
} TernVocabSource;
/* Positional, so that C++ accepts it; in the order of the fields. */
#define TERN_VOCAB_SOURCE                                                                                    \
    {                                                                                                        \
        sizeof(TernVocabSource), {NULL, 0}, {NULL, 0}, NULL, 0, NULL, 0, NULL, 0, -1, -1, -1, -1, -1, -1,    \
            -1, -1, {NULL, 0}, NULL, 0, -1                                                                   \
    }

/* Checks the source and makes the image; free() it. Equal sources give equal bytes. Ids must name tokens, the spellings of
 * tokens and merges must be UTF-8, and a merge must be two spellings separated by one space.
 *
 * If a key is absent:
 * - all tokenizers: eot and eom are found by their usual texts.
 * - gpt2: bos and eos are token 11 if that is a control token (llama.cpp's rule, for Falcon), else none. add_bos is as
 *   the pre-tokenizer's row in the table says (true for llama-bpe); add_eos is false. Merges are required.
 * - llama: unk, bos and eos are the tokens 0, 1 and 2. add_bos is true, add_eos false. Scores are required.
 *
 * gpt2: a normal token that no byte sequence spells keeps its text, and encoding never gives it. llama: byte tokens are
 * spelled <0x00> to <0xFF>, and a token has at most 1,024 bytes.
 *
 * TERN_ERR_UNSUPPORTED for another model or pre-tokenizer, TERN_ERR_INPUT for all other errors. The line names the key,
 * its value and what was expected. */
TERN_API TernStatus tern_vocab_build(const TernVocabSource *source, void **out_image, size_t *out_size,
                                     TernError *err);

typedef struct TernVocab TernVocab;

/* Borrows the image until tern_vocab_close. The image may have any alignment. Every offset, id and length in it is checked
 * here, so a damaged or hostile image gives TERN_ERR_INPUT or odd tokens, but never a read outside it. */
TERN_API TernStatus tern_vocab_open(const void *image, size_t size, TernVocab **out_vocab, TernError *err);
TERN_API void tern_vocab_close(TernVocab *vocab); /* NULL is fine */

typedef struct TernVocabFacts {
    uint32_t n_tokens;
    int32_t bos, eos, eot, eom, unk, pad; /* TERN_NO_TOKEN if there is none */
    bool add_bos, add_eos;                /* what TERN_ENCODE_ADD_SPECIAL adds */
    const char *pre;          /* pre-tokenizer, such as "llama-bpe"; "" if the tokenizer has none */
    TernText chat_template;   /* borrowed from the image; size 0: none */
    uint32_t max_token_bytes; /* bytes of the longest token */
} TernVocabFacts;
TERN_API TernVocabFacts tern_vocab_get_facts(const TernVocab *vocab);

/* The bytes that a token stands for, or the name of a control token; borrowed. Empty for an id out of range. */
TERN_API TernText tern_token_get_bytes(const TernVocab *vocab, int32_t id);
TERN_API TernTokenType tern_token_get_type(const TernVocab *vocab, int32_t id);
/* True if the token ends a generation: eos, eot, eom and tokens that are spelled like one of them. False for an id out of
 * range. */
TERN_API bool tern_token_is_eog(const TernVocab *vocab, int32_t id);
/* The token with exactly these bytes, or TERN_NO_TOKEN. Special tokens are looked for first. */
TERN_API int32_t tern_token_find(const TernVocab *vocab, const char *bytes, size_t size);

/* ---- Encoding and decoding --------------------------------------------------------------------------- */

enum {
    TERN_ENCODE_ADD_SPECIAL = 1, /* add bos before and eos after the text, if add_bos and add_eos say so */
    /* "<|eot_id|>" in the text becomes that control token; not for untrusted text */
    TERN_ENCODE_PARSE_SPECIAL = 2,
};

/* Text to ids, in time O(n log n). Writes up to `cap` ids; *out_n is always the number of ids of the text. More than cap is
 * TERN_ERR_INPUT, unless ids is NULL: then it only counts. Room for tern_encode_most ids is always enough.
 *
 * Special tokens are cut out first, the longest text first. The tokenizer then encodes the stretches between them. gpt2:
 * the pre-tokenizer splits a stretch into words, whose bytes are merged. llama: a stretch gets a space before it unless
 * add_space_prefix is 0. A character without a token becomes the tokens of its bytes; if a byte has no token, a run of
 * such characters becomes one unknown token.
 *
 * Any bytes are allowed. A byte that is not part of well-formed UTF-8 ends the text before it, as if the text stopped
 * there, and becomes the token of that single byte. A byte without a token is TERN_ERR_INPUT.
 *
 * So decoding gives the text back, unless special tokens were added or parsed. With llama there are further exceptions:
 * U+2581 in the text, the unknown token, and a space that was added after a special token. */
TERN_API TernStatus tern_encode(const TernVocab *vocab, const char *text, size_t size, uint32_t flags,
                                int32_t *ids, size_t cap, size_t *out_n, TernError *err);
/* An upper bound of the number of ids of any text of `size` bytes; 0 without a vocabulary. */
TERN_API size_t tern_encode_most(const TernVocab *vocab, size_t size);

enum {
    TERN_DECODE_CONTROL = 1, /* show control and unknown tokens by their names; without it they are hidden */
};

/* Ids to bytes. Writes up to `cap` bytes and no NUL; *out_n is always the number needed. More than cap is TERN_ERR_INPUT,
 * unless out is NULL: then it only counts. An id out of range is TERN_ERR_INPUT. */
TERN_API TernStatus tern_decode(const TernVocab *vocab, const int32_t *ids, size_t n, uint32_t flags,
                                char *out, size_t cap, size_t *out_n, TernError *err);

typedef struct TernDetok TernDetok;

/* Borrows the vocabulary. Flags are as for tern_decode. The other calls of a detokenizer do not allocate. */
TERN_API TernStatus tern_detok_create(const TernVocab *vocab, uint32_t flags, TernDetok **out_detok,
                                      TernError *err);
TERN_API void tern_detok_destroy(TernDetok *detok); /* NULL is fine */
/* Gives the bytes that this id completes, perhaps none; borrowed until the next call. The last one to three bytes are held
 * back while they may still become a character. Bytes that cannot become one pass through unchanged, so all pieces and
 * the flush together equal tern_decode of all ids. */
TERN_API TernStatus tern_detok_push(TernDetok *detok, int32_t id, const char **out_bytes, size_t *out_size,
                                    TernError *err);
/* Gives the bytes that were held back, unchanged, and starts a new text. */
TERN_API void tern_detok_flush(TernDetok *detok, const char **out_bytes, size_t *out_size);

/* ---- Stop strings --------------------------------------------------------------------------------------
 *
 * A growing text goes in piece by piece and comes out again. Bytes that may be the beginning of a stop string are held
 * back until they no longer can be. The first stop string to be complete ends the text; of several that end at the same
 * byte, the longest. So the text that comes out does not depend on how it was cut into pieces. */
typedef struct TernStops TernStops;
#define TERN_NO_STOP SIZE_MAX

/* Copies n stop strings, 0 to 256, each of 1 to 4,096 bytes of UTF-8. */
TERN_API TernStatus tern_stops_create(const TernText *stops, size_t n, TernStops **out_stops, TernError *err);
TERN_API void tern_stops_destroy(TernStops *stops); /* NULL is fine */
/* Takes the next bytes and gives those that are not held back, borrowed until the next push or flush. *out_stop is the
 * index of the stop string that ended the text, or TERN_NO_STOP. The stop string and what follows it never come out. */
TERN_API TernStatus tern_stops_push(TernStops *stops, const char *bytes, size_t size, const char **out_bytes,
                                    size_t *out_size, size_t *out_stop, TernError *err);
/* Ends the text and gives the bytes that were held back. */
TERN_API void tern_stops_flush(TernStops *stops, const char **out_bytes, size_t *out_size);

/* ---- The sampler --------------------------------------------------------------------------------------- */

/* Added to the logit of an id. -infinity: the id is never picked. */
typedef struct TernLogitBias {
    int32_t id;
    float bias;
} TernLogitBias;

/* The chain, in llama-cli's order: bias, repeat penalty, top-k, top-p, min-p, temperature, draw. */
typedef struct TernSamplerOptions {
    size_t size;               /* sizeof(TernSamplerOptions) */
    float temp;                /* <= 0: always pick the best id; the lowest id on ties */
    int32_t top_k;             /* keep the k best; <= 0: all */
    float top_p;               /* keep the fewest best whose probabilities add up to top_p, 0 to 1; 1: all */
    float min_p;               /* keep those at least min_p times as probable as the best; <= 0: all */
    float repeat_penalty;      /* divides positive logits of recent ids, multiplies the others; 1: off */
    int32_t repeat_last_n;     /* how many ids are recent; 0: off */
    uint64_t seed;             /* TERN_SEED_RANDOM: get one from the system */
    const TernLogitBias *bias; /* copied; biases of one id add up, to less than infinity */
    size_t n_bias;
    /* Each id that was picked before loses presence_penalty, and frequency_penalty for each time it was: OpenAI's two
     * penalties. They are about picks alone, not about tern_sampler_accept. -100 to 100; 0: off */
    float frequency_penalty, presence_penalty;
} TernSamplerOptions;
#define TERN_SEED_RANDOM UINT64_MAX
/* temp, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed, bias, frequency_penalty, presence_penalty */
#define TERN_SAMPLER_OPTIONS                                                                                 \
    { sizeof(TernSamplerOptions), 0.8f, 40, 0.95f, 0.05f, 1.0f, 64, TERN_SEED_RANDOM, NULL, 0, 0.0f, 0.0f }

typedef struct TernSampler TernSampler;

/* The sampler picks ids below n_vocab. All memory is allocated here; picks allocate none. An option that is NaN or out of
 * range is TERN_ERR_INPUT, and the line names it. */
TERN_API TernStatus tern_sampler_create(const TernSamplerOptions *options, size_t n_vocab,
                                        TernSampler **out_sampler, TernError *err);
TERN_API void tern_sampler_destroy(TernSampler *sampler); /* NULL is fine */
TERN_API uint64_t tern_sampler_get_seed(const TernSampler *sampler);

/* The least that a step must give for these options; it never changes. The kinds equal the TERN_WANT_* of tern.h. */
enum {
    TERN_SAMPLER_ID = 1,     /* the best id */
    TERN_SAMPLER_TOP = 2,    /* the k best ids and their logits, k <= 256 */
    TERN_SAMPLER_LOGITS = 3, /* all logits: top_k off or over 256, a penalty, or a bias */
};
typedef struct TernSamplerWant {
    uint32_t kind;
    uint32_t k; /* TERN_SAMPLER_TOP: at most n_vocab; else 0 */
} TernSamplerWant;
TERN_API TernSamplerWant tern_sampler_want(const TernSampler *sampler);

/* Adds ids that the sampler did not pick, those of the prompt, to the recent ones. Picks are added automatically. */
TERN_API void tern_sampler_accept(TernSampler *sampler, const int32_t *ids, size_t n);

/* Pick the next id from what the step gave. If it gave more than tern_sampler_want says, the pick is the same; if it gave
 * less, that is TERN_ERR_INPUT. Top ids may be in any order. A logit of -infinity is never picked. NaN, +infinity or
 * nothing to pick from is TERN_ERR_NUMERIC, and then no random number is drawn. */
TERN_API TernStatus tern_sampler_pick_id(TernSampler *sampler, int32_t id, int32_t *out_id, TernError *err);
TERN_API TernStatus tern_sampler_pick_top(TernSampler *sampler, const int32_t *ids, const float *logits,
                                          size_t k, int32_t *out_id, TernError *err);
TERN_API TernStatus tern_sampler_pick_logits(TernSampler *sampler, const float *logits, size_t n_vocab,
                                             int32_t *out_id, TernError *err);

/* Restricts the next pick to some ids. The functions belong to the caller; an error of theirs becomes the pick's. A filter
 * answers for one state of the output, so a new pick usually needs a new one. */
typedef struct TernAllowed {
    const uint64_t
        *words; /* bit id % 64 of words[id / 64]: the id is allowed; ids beyond the last word are not */
    size_t n_words;
    size_t n; /* bits that are set */
} TernAllowed;
typedef struct TernFilter {
    void *user;
    TernStatus (*allows)(void *user, int32_t id, bool *out_allowed, TernError *err); /* one id */
    TernStatus (*mask)(void *user, TernAllowed *out, TernError *err); /* all; borrowed until the next call */
} TernFilter;

/* Like tern_sampler_pick_logits, from the ids that the filter allows; NULL: all. If it allows none, TERN_ERR_INPUT. If it
 * allows one, that is the pick whatever its logit is, -infinity too, unless its bias is -infinity. */
TERN_API TernStatus tern_sampler_pick_allowed(TernSampler *sampler, const float *logits, size_t n_vocab,
                                              const TernFilter *filter, int32_t *out_id, TernError *err);
/* Tries to make the same pick from the k <= 256 best ids and their logits alone, best first, as TERN_WANT_TOP gives them.
 * They settle it if no logits that the others could have would change it: greedy, if an allowed id is among them that no
 * other can overtake by its bias; top-k, if k such ids are; top-p and min-p, if the ids that they keep are the same
 * whatever the others weigh. Otherwise *out_id is TERN_NO_TOKEN, nothing was picked and no random number drawn, and the
 * caller must get all logits. It asks the filter for single ids, and for the mask only if they do not settle it. */
TERN_API TernStatus tern_sampler_try_top(TernSampler *sampler, const int32_t *ids, const float *logits,
                                         size_t k, const TernFilter *filter, int32_t *out_id, TernError *err);
/* Whether a try makes sense: false for options with which the best 256 can hardly ever settle a pick. */
TERN_API bool tern_sampler_tries_top(const TernSampler *sampler);

/* ---- Prompt lookup ---------------------------------------------------------------------------------------
 *
 * Text that repeats itself (an answer that quotes its question, code, lists) can be guessed: if the last ids occurred
 * before, what followed them then may follow again. A step over the last id and its guesses costs little more than a
 * step over one row, and gives what the model really says at each of them:
 *
 *     n = tern_lookup_guess(lookup, guess, 7);
 *     step over the rows id, guess[0] .. guess[n-1], all with the sampler's want
 *     pick from row 0, row 1, ... as long as the id picked from row i is guess[i]
 *     tern_session_truncate to the rows that were used; tern_lookup_accept the ids picked
 *
 * A step gives the same bits for a row whatever rows are beside it, so the ids picked are those of plain decoding, with
 * any sampler. (Saxena 2023, "prompt lookup decoding".) */
typedef struct TernLookup TernLookup;

/* Remembers the first `capacity` ids (1 to 2^24) that it is given. All memory is allocated here. */
TERN_API TernStatus tern_lookup_create(size_t capacity, TernLookup **out_lookup, TernError *err);
TERN_API void tern_lookup_destroy(TernLookup *lookup); /* NULL is fine */
/* Takes the ids of prompt and picks, in order. Once an id does not fit any more, nothing is guessed. */
TERN_API void tern_lookup_accept(TernLookup *lookup, const int32_t *ids, size_t n);
/* Finds the longest earlier run of ids that equals the last ids (2 to 16 of them; the latest such run on ties). Writes up to
 * `most` of the ids that followed it and returns their number, which may be 0. */
TERN_API size_t tern_lookup_guess(const TernLookup *lookup, int32_t *out_ids, size_t most);

/* What came after what in the texts of many lookups: for the last 2, 4 and 8 ids, the id that came next most of late. A lookup that
 * shares phrases enters the ids that it accepts from then on, and guesses by phrases if they know more of the last ids than
 * its own longest run has. Then each guess is what came after the ids and guesses before it. Lookups and the phrases that
 * they share belong to one thread at a time. */
typedef struct TernPhrases TernPhrases;

/* Takes so many bytes (64 to 2^36), rounded down to a power of two, and never more: what was not seen for longest is forgotten,
 * 24 bytes an id of a text that is all new. All memory is allocated here. */
TERN_API TernStatus tern_phrases_create(size_t bytes, TernPhrases **out_phrases, TernError *err);
TERN_API void
tern_phrases_destroy(TernPhrases *phrases); /* after the lookups that share it, or when they share none */
/* phrases NULL: the lookup shares none from now on. */
TERN_API void tern_lookup_share(TernLookup *lookup, TernPhrases *phrases);

#ifdef __cplusplus
}
#endif
#endif
