/* Text in and out of a model: vocabulary, tokenizer, detokenizer, sampler. Library libterntext.
 *
 * It stands alone: no model, no compiler, no threads; libc and PCRE2 only. The objects are
 *
 * - vocabulary: TernVocab, immutable, shared by any number of threads. It is opened over an *image*: one block of
 *   bytes, without pointers, that tern_vocab_build makes once from the arrays of a GGUF file and that travels inside a
 *   compiled model. Opening builds nothing but the pre-tokenizer's regular expressions; all tables are used where they
 *   lie.
 * - tokenizer: tern_encode and tern_decode, functions of the vocabulary, without state.
 * - detokenizer: TernDetok, ids one by one in, bytes out, never half a UTF-8 character before the end.
 * - stop strings: TernStops lets a text through until one of them is complete.
 * - sampler: TernSampler says what it needs from each step (one id, the best k, or all logits) and picks the next id.
 *   The same options and seed pick the same ids on every machine.
 * - lookup: TernLookup guesses the next ids from what was said before.
 *
 * Which tokenizers and pre-tokenizers there are is told by what refuses others: tern_vocab_build.
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
 * Rules for all calls. A status other than TERN_OK leaves one line in *err and the out parameters at zero,
 * unless the call says otherwise; after TERN_OK *err is empty. `err` may be NULL. Option structs are as in tern.h: a size
 * that may be an older or newer caller's, NULL for the defaults (the macros), fields checked by name. Text is bytes with a length; a NUL is a byte like any
 * other. Objects other than TernVocab belong to one thread at a time. */
#ifndef TERN_TEXT_H
#define TERN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A token id is an int32_t, here as in tern.h. */
#define TERN_NO_TOKEN (-1)

/* Borrowed bytes. */
typedef struct TernText {
    const char *data;
    size_t size;
} TernText;

/* ---- The vocabulary --------------------------------------------------------------------------------- */

/* As in GGUF's tokenizer.ggml.token_type. */
typedef enum TernTokenType {
    TERN_TOKEN_UNDEFINED = 0, /* counts as normal */
    TERN_TOKEN_NORMAL = 1,
    TERN_TOKEN_UNKNOWN = 2,
    TERN_TOKEN_CONTROL = 3,      /* found in text only with TERN_ENCODE_PARSE_SPECIAL; hidden when decoding */
    TERN_TOKEN_USER_DEFINED = 4, /* always found in text, whole */
    TERN_TOKEN_UNUSED = 5,
    TERN_TOKEN_BYTE = 6,
} TernTokenType;

/* What a GGUF file says about its tokenizer, key by key ("tokenizer.ggml." in front of the names below).
 * Everything is borrowed for the call. Start from TERN_VOCAB_SOURCE: all keys absent. */
typedef struct TernVocabSource {
    size_t size;    /* sizeof(TernVocabSource) */
    TernText model; /* which tokenizer: "gpt2" is byte-level BPE, "llama" SentencePiece */
    TernText pre;   /* gpt2: data NULL: absent, then llama-bpe for 128,256 tokens, else default */
    const TernText *
        tokens; /* spelled as GGUF has them; gpt2: bytes as printable characters; llama: U+2581 for a space */
    size_t n_tokens;
    const int32_t *types; /* token_type; NULL: absent, all normal */
    size_t n_types;
    const TernText
        *merges; /* gpt2: "left right", best first; NULL: absent, an error (an empty list is not NULL) */
    size_t n_merges;
    int64_t bos, eos, eot, eom, unk, pad; /* bos_token_id ... padding_token_id; -1: absent */
    int32_t add_bos, add_eos;             /* add_bos_token, add_eos_token: 0 or 1; -1: absent */
    TernText chat_template;               /* tokenizer.chat_template; data NULL: absent */
    const float *scores;                  /* llama: one a token; NULL: absent, an error */
    size_t n_scores;
    int32_t add_space_prefix; /* llama: 0 or 1; -1: absent, then 1 */
} TernVocabSource;
/* Positional, for C++ too; in the order of the fields. */
#define TERN_VOCAB_SOURCE                                                                                    \
    {                                                                                                        \
        sizeof(TernVocabSource), {NULL, 0}, {NULL, 0}, NULL, 0, NULL, 0, NULL, 0, -1, -1, -1, -1, -1, -1,    \
            -1, -1, {NULL, 0}, NULL, 0, -1                                                                   \
    }

/* Checks the source and makes the image; free() it. Equal sources give equal bytes. Ids must name tokens,
 * token and merge spellings must be UTF-8, merges must be two spellings parted by one space.
 * Absent keys: eot and eom are found by their usual texts; the rest is the tokenizer's. gpt2: bos and eos are token 11
 * if that is a control token (llama.cpp's rule, for Falcon), else none; add_bos is what the pre-tokenizer's row says
 * (true for llama-bpe); add_eos is false; merges must be there. A normal token that no byte sequence spells keeps its
 * text and is never the result of encoding. llama: unk, bos and eos are the tokens 0, 1 and 2, add_bos is true, add_eos
 * false; scores must be there; byte tokens are spelled <0x00> to <0xFF>, and a token has at most 1,024 bytes.
 * TERN_ERR_UNSUPPORTED for another model or pre-tokenizer, TERN_ERR_INPUT for the rest; the line names the
 * key, what it holds and what was expected. */
TERN_API TernStatus tern_vocab_build(const TernVocabSource *source, void **out_image, size_t *out_size,
                                     TernError *err);

typedef struct TernVocab TernVocab;

/* Borrows the image until tern_vocab_close; any alignment will do. Every offset, id and length in it is
 * checked here, so a damaged or hostile image gives TERN_ERR_INPUT or odd tokens, never a stray read. */
TERN_API TernStatus tern_vocab_open(const void *image, size_t size, TernVocab **out_vocab, TernError *err);
TERN_API void tern_vocab_close(TernVocab *vocab); /* NULL is fine */

typedef struct TernVocabFacts {
    uint32_t n_tokens;
    int32_t bos, eos, eot, eom, unk, pad; /* TERN_NO_TOKEN where there is none */
    bool add_bos, add_eos;                /* what TERN_ENCODE_ADD_SPECIAL does */
    const char *pre;                      /* such as "llama-bpe"; "" if the tokenizer has none */
    TernText chat_template;               /* borrowed from the image; size 0: none */
    uint32_t max_token_bytes;             /* the longest token */
} TernVocabFacts;
TERN_API TernVocabFacts tern_vocab_get_facts(const TernVocab *vocab);

/* The bytes a token stands for, control tokens by their name; borrowed. Empty for an id out of range. */
TERN_API TernText tern_token_get_bytes(const TernVocab *vocab, int32_t id);
TERN_API TernTokenType tern_token_get_type(const TernVocab *vocab, int32_t id);
/* Ends a generation: eos, eot, eom and the tokens that are spelled like one. False out of range. */
TERN_API bool tern_token_is_eog(const TernVocab *vocab, int32_t id);
/* The token with exactly these bytes, special ones first, or TERN_NO_TOKEN. */
TERN_API int32_t tern_token_find(const TernVocab *vocab, const char *bytes, size_t size);

/* ---- Encoding and decoding --------------------------------------------------------------------------- */

enum {
    TERN_ENCODE_ADD_SPECIAL = 1, /* bos in front and eos behind, where the vocabulary says add_bos, add_eos */
    TERN_ENCODE_PARSE_SPECIAL =
        2, /* "<|eot_id|>" in the text is that control token; not for untrusted text */
};

/* Text to ids, in time O(n log n). Writes up to `cap` ids; *out_n is always the number the text has. More
 * than cap is TERN_ERR_INPUT, unless ids is NULL: then it only counts. tern_encode_most ids are always enough.
 *
 * Special tokens are cut out first, longest text first; the stretches between them are the tokenizer's. gpt2: they
 * are split by the pre-tokenizer and merged. llama: each gets a space in front unless add_space_prefix is 0; characters
 * without a token become the tokens of their bytes, or if a byte has none, one unknown token a run.
 * Any bytes may come. A byte that is not part of well-formed UTF-8 ends the text before it, as if the text
 * stopped there, and becomes the token of that single byte. A byte for which the vocabulary has no token is
 * TERN_ERR_INPUT. So decoding gives the text back, unless special tokens were added or parsed; with
 * llama also not where U+2581 or the unknown token stands for something else, or a space was put after a special token. */
TERN_API TernStatus tern_encode(const TernVocab *vocab, const char *text, size_t size, uint32_t flags,
                                int32_t *ids, size_t cap, size_t *out_n, TernError *err);
/* More ids than any text of `size` bytes gives; 0 without a vocabulary. */
TERN_API size_t tern_encode_most(const TernVocab *vocab, size_t size);

enum {
    TERN_DECODE_CONTROL = 1, /* control and unknown tokens by their names instead of not at all */
};

/* Ids to bytes. Writes up to `cap` bytes, no NUL behind; *out_n is always the number needed. More than cap is
 * TERN_ERR_INPUT, unless out is NULL: then it only counts. An id out of range is TERN_ERR_INPUT. */
TERN_API TernStatus tern_decode(const TernVocab *vocab, const int32_t *ids, size_t n, uint32_t flags,
                                char *out, size_t cap, size_t *out_n, TernError *err);

typedef struct TernDetok TernDetok;

/* Borrows the vocabulary; flags as for tern_decode. Nothing else here allocates. */
TERN_API TernStatus tern_detok_create(const TernVocab *vocab, uint32_t flags, TernDetok **out_detok,
                                      TernError *err);
TERN_API void tern_detok_destroy(TernDetok *detok); /* NULL is fine */
/* Gives the bytes that this id completes, perhaps none, borrowed until the next call: the last one to three
 * bytes stay back while they may still become a character. What cannot become one passes through as it is,
 * so all pieces and the flush together equal tern_decode of all ids. */
TERN_API TernStatus tern_detok_push(TernDetok *detok, int32_t id, const char **out_bytes, size_t *out_size,
                                    TernError *err);
/* Gives what stayed back, as it is, and starts afresh. */
TERN_API void tern_detok_flush(TernDetok *detok, const char **out_bytes, size_t *out_size);

/* ---- Stop strings --------------------------------------------------------------------------------------
 *
 * A text that is still being made goes in piece by piece and comes out again, but for what may be the beginning of a
 * stop string: that is held back until it cannot be one any more. The stop string that is complete first ends the text,
 * of several that end at the same byte the longest. So what comes out in all does not depend on how the text was cut. */
typedef struct TernStops TernStops;
#define TERN_NO_STOP SIZE_MAX

/* n stop strings, copied: each of 1 to 4,096 bytes of UTF-8, 256 at most; n may be 0. */
TERN_API TernStatus tern_stops_create(const TernText *stops, size_t n, TernStops **out_stops, TernError *err);
TERN_API void tern_stops_destroy(TernStops *stops); /* NULL is fine */
/* Takes the next bytes and gives those that are settled (borrowed until the next push or flush). *out_stop is the index of
 * the stop string that ended the text, else TERN_NO_STOP; the stop string and what follows it never come out. */
TERN_API TernStatus tern_stops_push(TernStops *stops, const char *bytes, size_t size, const char **out_bytes,
                                    size_t *out_size, size_t *out_stop, TernError *err);
/* The text ends here: gives what was held back. */
TERN_API void tern_stops_flush(TernStops *stops, const char **out_bytes, size_t *out_size);

/* ---- The sampler --------------------------------------------------------------------------------------- */

/* The chain, in llama-cli's order: repeat penalty, top-k, top-p, min-p, temperature, draw. */
typedef struct TernSamplerOptions {
    size_t size;           /* sizeof(TernSamplerOptions) */
    float temp;            /* <= 0: the best id, the lowest of equals */
    int32_t top_k;         /* keep the k best; <= 0: all */
    float top_p;           /* keep the fewest best whose probabilities reach top_p, 0 to 1; 1: all */
    float min_p;           /* keep those at least min_p times as probable as the best; <= 0: all */
    float repeat_penalty;  /* divides (if positive, else multiplies) the logits of recent ids; 1: off */
    int32_t repeat_last_n; /* how many recent ids; 0: off */
    uint64_t seed;         /* TERN_SEED_RANDOM: from the system */
} TernSamplerOptions;
#define TERN_SEED_RANDOM UINT64_MAX
/* temp, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed */
#define TERN_SAMPLER_OPTIONS                                                                                 \
    { sizeof(TernSamplerOptions), 0.8f, 40, 0.95f, 0.05f, 1.0f, 64, TERN_SEED_RANDOM }

typedef struct TernSampler TernSampler;

/* n_vocab: ids below it may be picked. All memory is taken here; draws take none. An option that is not a
 * number or out of its range is TERN_ERR_INPUT, by name. */
TERN_API TernStatus tern_sampler_create(const TernSamplerOptions *options, size_t n_vocab,
                                        TernSampler **out_sampler, TernError *err);
TERN_API void tern_sampler_destroy(TernSampler *sampler); /* NULL is fine */
TERN_API uint64_t tern_sampler_get_seed(const TernSampler *sampler);

/* The least that a step must give for these options; it never changes. The kinds are a row's wants of tern.h.
 */
enum {
    TERN_SAMPLER_ID = 1,     /* the best id */
    TERN_SAMPLER_TOP = 2,    /* the k best ids and logits, k <= 256 */
    TERN_SAMPLER_LOGITS = 3, /* all logits: top_k off or over 256, or a repeat penalty */
};
typedef struct TernSamplerWant {
    uint32_t kind;
    uint32_t k; /* TERN_SAMPLER_TOP: at most n_vocab; else 0 */
} TernSamplerWant;
TERN_API TernSamplerWant tern_sampler_want(const TernSampler *sampler);

/* Tells the sampler of ids that it did not pick: the prompt. A pick is remembered by itself. */
TERN_API void tern_sampler_accept(TernSampler *sampler, const int32_t *ids, size_t n);

/* Pick the next id from what the step gave. More than was asked for gives the same id; less is TERN_ERR_INPUT.
 * Top ids may come in any order. A logit of -infinity is never picked; TERN_ERR_NUMERIC for NaN, +infinity,
 * or nothing to pick from; then nothing is drawn. */
TERN_API TernStatus tern_sampler_pick_id(TernSampler *sampler, int32_t id, int32_t *out_id, TernError *err);
TERN_API TernStatus tern_sampler_pick_top(TernSampler *sampler, const int32_t *ids, const float *logits,
                                          size_t k, int32_t *out_id, TernError *err);
TERN_API TernStatus tern_sampler_pick_logits(TernSampler *sampler, const float *logits, size_t n_vocab,
                                             int32_t *out_id, TernError *err);

/* ---- Prompt lookup ---------------------------------------------------------------------------------------
 *
 * Text that repeats itself (an answer that quotes its question, code, lists) can be guessed: where the last
 * ids stood before, what followed them then may follow again. A step over the last id and its guesses costs
 * little more than a step over one row, and gives what the model really says at each of them:
 *
 *     n = tern_lookup_guess(lookup, guess, 7);
 *     step over the rows id, guess[0] .. guess[n-1], all with the sampler's want
 *     pick from row 0, row 1, ... as long as the id picked from row i is guess[i]
 *     tern_session_truncate to the rows that were used; tern_lookup_accept the ids picked
 *
 * Since a step gives the same bits for a row whatever rows stand beside it, the ids picked are those of plain
 * decoding, for any sampler. (Saxena 2023, "prompt lookup decoding".) */
typedef struct TernLookup TernLookup;

/* Remembers up to `capacity` ids (1 to 2^24), those accepted first; all memory is taken here. */
TERN_API TernStatus tern_lookup_create(size_t capacity, TernLookup **out_lookup, TernError *err);
TERN_API void tern_lookup_destroy(TernLookup *lookup); /* NULL is fine */
/* Ids in their order: prompt and picks alike. What does not fit any more is not remembered, and then nothing
 * is guessed. */
TERN_API void tern_lookup_accept(TernLookup *lookup, const int32_t *ids, size_t n);
/* Writes up to `most` ids that followed the longest earlier stretch equal to the last ids (two at least, 16 at
 * most; of equal ones the latest) and returns their number, maybe 0. */
TERN_API size_t tern_lookup_guess(const TernLookup *lookup, int32_t *out_ids, size_t most);

#ifdef __cplusplus
}
#endif
#endif
