/* Text from a model: a prompt in, pieces of text out. One engine for a program, a chat, a server and bindings. This is
 * library libterngenerate, on top of libtern (tern.h) and libterntext (text/text.h).
 *
 * - generator: TernGenerator, a session of a model with the model's tokenizer and room for `slots` sequences.
 * - sequence: TernSequence, one prompt and the text that follows it. It does prefill in chunks, sampling, guesses, stop
 *   tokens and stop strings, gives out whole characters, and measures times. It holds a slot from create to destroy.
 * - step: tern_generator_step runs one step of the model over rows of all sequences that have not ended. Sequences that
 *   decode come first; prompts share the room that is left. A sequence gives the same ids and the same text whatever runs
 *   beside it, with guesses or without.
 *
 * A whole program without its includes (tests compile and run it: tests/cli/example_generate.c):
 *
 *   static int print(void *user, const TernPiece *p) { return fwrite(p->text, 1, p->size, (FILE *)user) != p->size; }
 *
 *   TernError err;
 *   TernPool *pool; TernModel *model; TernGenerator *g;
 *   if (tern_pool_create(NULL, &pool, &err) || tern_model_open("m.tern", NULL, &model, &err) ||
 *       tern_generator_create(model, pool, NULL, &g, &err)) { fprintf(stderr, "%s\n", err.text); return 1; }
 *   TernRequest request = TERN_REQUEST;
 *   request.text.data = "Once upon a time", request.text.size = 16;
 *   if (tern_generate(g, &request, print, stdout, NULL, &err)) fprintf(stderr, "%s\n", err.text);
 *   tern_generator_destroy(g); tern_model_close(model); tern_pool_destroy(pool);
 *
 * A server makes a sequence for every request, and steps while any sequence runs:
 *
 *   tern_sequence_create(g, &request, print, client, &sequence, &err);
 *   while (tern_generator_running(g)) tern_generator_step(g, &err);
 *   tern_sequence_get(sequence, &generated, &err);
 *   tern_sequence_destroy(sequence);
 *
 * Errors, option structs and pointers are as in tern.h. A generator and its sequences belong to one thread at a time, but
 * any thread or signal handler may call tern_generator_cancel, tern_sequence_cancel and tern_sequence_hold, from create to
 * destroy. A sequence
 * allocates all its memory when it is made, and steps allocate none; only stop strings may, when they hold back a longer
 * piece than any before. */
#ifndef TERN_GENERATE_H
#define TERN_GENERATE_H

#include "../tern.h"
#include "../text/grammar.h"
#include "../text/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TernGenerator TernGenerator;
typedef struct TernSequence TernSequence;
typedef struct TernSlot TernSlot;

/* ---- generator */
typedef struct TernGeneratorOptions {
    size_t size;
    uint32_t slots;   /* sequences held at once; default 1 */
    uint32_t context; /* positions of each sequence; default min(4096, the model's n_context) */
    uint32_t batch;   /* most rows of a step; default and maximum: the model's max_rows */
    /* Most guesses of a sequence in a step; slots * (1 + draft_max) <= batch. If several sequences decode, a step has only those
     * with which it is expected to give more ids a second, by the time of earlier steps and by how many guesses were right. */
    uint32_t draft_max;
    TernKv kv;              /* default f16 */
    const TernVocab *vocab; /* the model's, opened by the caller; default: opened here if there is one */
    uint32_t stored;        /* slots beside the others, for what sequences leave (below); default 0: none */
    /* Pages of the cache, of TERN_PAGE positions: at least as many as let `slots` be full; default: as many as let all be. */
    uint32_t pages;
    /* A step gets as many rows of prompts as are expected to keep it below so many seconds, by the time of earlier steps, and
     * at least a few, so that prompts go on. So nobody waits longer for the next token, nor a new sequence for its first step.
     * Not with one slot unless its sequence decodes. Default 0: no bound. */
    double max_pause;
    /* Bytes of a table of phrases (tern_phrases_create, which rounds them): sequences then guess from what all of them have read and
     * written, also those that have ended, and not from their own text alone. Those whose TernRequest.draft_max is 0, or that are
     * not stored, add nothing to it. And guesses that do not pay are left out also where one decodes
     * alone. Needs draft_max. Default 0: none. */
    uint64_t draft_memory;
} TernGeneratorOptions;

/* The model, the pool and the vocabulary must outlive the generator. */
TERN_API TernStatus tern_generator_create(TernModel *model, TernPool *pool,
                                          const TernGeneratorOptions *options, TernGenerator **out,
                                          TernError *err);
/* Destroy a generator after its sequences. NULL is fine, here and below. */
TERN_API void tern_generator_destroy(TernGenerator *generator);
/* The memory of the session that a generator with these options makes, which is nearly all that it takes but for the table of
 * draft_memory. Set `size` before the call. Fails as tern_generator_create does, which also checks the size of that table. */
TERN_API TernStatus tern_generator_bytes(const TernModel *model, const TernPool *pool,
                                         const TernGeneratorOptions *options, TernSessionBytes *out,
                                         TernError *err);
/* The generator's session, for profiles and for the queries of tern.h. The caller must not step it. */
TERN_API TernSession *tern_generator_session(TernGenerator *generator);

/* ---- request: start from TERN_REQUEST, which is all defaults */
typedef struct TernRequest {
    size_t size;
    TernText text;      /* the prompt as text; data NULL: the prompt is ids */
    const int32_t *ids; /* the prompt as ids */
    size_t n_ids;
    int plain;         /* text: do not add the tokens that the model expects around one (bos, eos) */
    int parse_special; /* text: control tokens that are spelled out become those tokens; not for untrusted text */
    uint32_t max_tokens; /* most ids to generate; default 0: until an end or a full context */
    uint32_t draft_max;  /* most guesses a step, at most the generator's; default 0: none */
    int ignore_eog; /* the tokens that end an answer (tern_token_is_eog) do not end this one; not with a grammar */
    const int32_t *stop_ids; /* further tokens that end the answer */
    size_t n_stop_ids;
    const TernText *stops; /* stop strings, as tern_stops_create takes them; they need a tokenizer */
    size_t n_stops;
    const TernSamplerOptions *sampler; /* default: the sampler's defaults (text.h) */
    TernSlot *slot; /* the sequence runs in this slot and leaves its cache there; default: a free one */
    /* The answer is a text of this grammar, which is of the generator's vocabulary and must outlive the sequence. Sequences
     * of one generator may share it. A token that ends the answer comes only where the grammar may end. If the vocabulary
     * has none, a grammar of the empty text alone ends the sequence before its first step. */
    TernGrammar *grammar;
    int special; /* the answer's text has control tokens and the token that ends it, as they are spelled */
    /* Other sequences get nothing of this one, neither while it runs nor later; it may take from others, but not phrases. */
    int unstored;
    /* 0: none. 1 + n: pieces have the log probability of their id and of the n best, n at most TERN_LOGPROBS_MOST. They take
     * all logits of every step. */
    uint32_t logprobs;
} TernRequest;
enum { TERN_LOGPROBS_MOST = 20 };
/* Positional, so that C++ accepts it; in the order of the fields. */
#define TERN_REQUEST                                                                                         \
    { sizeof(TernRequest), {NULL, 0}, NULL, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 0, 0, 0 }

/* The log of an id's probability as the model gave it, before biases, penalties, grammar, top-k and temperature. Float order:
 *
 *   m = the largest logit; s = sum over ids, in order, of exp(logit - m); logprob = (logit - m) - log(s); all in double */
typedef struct TernLogprob {
    int32_t id;
    double logprob;
} TernLogprob;

/* An id and the text that became ready with it. The text is whole characters of UTF-8, without control tokens, tokens that
 * end the answer, and stop strings. Bytes that may begin a stop string or are part of a character are held back, so a text
 * may come from earlier ids, or be empty. Without a tokenizer it is always empty. After the last id there may be one more
 * piece, with id TERN_NO_TOKEN and the text that was still held back; that may end in part of a character. Borrowed for
 * the call. */
typedef struct TernPiece {
    int32_t id;
    const char *text;
    size_t size;
    /* With TernRequest.logprobs: of the id, and then of the best ids of its place, the best first and the lowest first on ties;
     * 1 + n, or fewer if the vocabulary is smaller. NULL without, and for text without an id. */
    const TernLogprob *logprobs;
    size_t n_logprobs;
} TernPiece;
/* Called once for every id, in order, during a step. If it returns nonzero, the sequence ends as TERN_END_CANCELLED and
 * gets no further piece. Of this header it must call nothing but the functions that any thread may call; a step or a new
 * sequence is refused. */
typedef int TernPieceFn(void *user, const TernPiece *piece);

/* ---- result */
typedef enum TernEnd {
    TERN_END_NOT = 0,   /* it still runs */
    TERN_END_TOKEN,     /* the last id is a token that ends the answer, or one of stop_ids */
    TERN_END_STOP,      /* a stop string is complete */
    TERN_END_LENGTH,    /* max_tokens was reached */
    TERN_END_CONTEXT,   /* the context is full */
    TERN_END_CANCELLED, /* by a cancel or by the caller's function, which has got the answer so far */
    TERN_END_FAILED,    /* tern_sequence_status says why */
    TERN_END_GRAMMAR    /* the grammar's text is whole, and neither a token nor an end can follow it */
} TernEnd;

/* Set `size` before the call; the struct is filled in up to it. The prompt's time is from its first step to the end of the
 * step that ran its last row (or of the last step, if none did); the rest is decode's. A step with guesses may decode more
 * ids than are given out, if the sequence ends among them. */
typedef struct TernGenerated {
    size_t size;
    TernEnd end;
    size_t stop;               /* TERN_END_STOP: the index of the stop string; else TERN_NO_STOP */
    size_t n_prompt;           /* ids of the prompt */
    size_t n_prefilled;        /* how many of those were run */
    size_t n_out;              /* ids given out */
    size_t n_decoded;          /* ids from the steps after the prompt's */
    size_t n_guessed, n_right; /* guesses that were run, and how many were right */
    double prompt_seconds, decode_seconds;
    uint64_t seed;   /* of the sampler */
    size_t n_reused; /* ids of the prompt that its TernSlot or other slots held, which were not run */
    /* With a grammar, a bias, a penalty or without top-k: the picks that the best id or the best 256 settled, those that took all
     * logits, and the rows that were run a second time for them. */
    size_t n_from_best, n_from_all, n_again;
} TernGenerated;

/* ---- kept slots: what was computed once is not computed again
 *
 * A TernSlot holds one of the generator's slots until it is destroyed, and remembers which ids its cache is of. A sequence
 * whose request names it keeps the positions of the longest beginning that the prompt and the cache have in common, drops
 * those after it, and runs the rest of the prompt, at least its last id. Rows have the same bits however a prompt is cut,
 * so the answer is that of an empty slot. One sequence at a time runs in a slot; it leaves all ids that were run there.
 * After a failure the slot is empty. */
/* TERN_ERR_INPUT if all slots are taken. */
TERN_API TernStatus tern_slot_create(TernGenerator *generator, TernSlot **out, TernError *err);
TERN_API void
tern_slot_destroy(TernSlot *slot); /* between steps, before the generator; its sequence goes on */
/* The ids that the cache holds, one for each position; borrowed until the next step, truncation or sequence. */
TERN_API const int32_t *tern_slot_ids(const TernSlot *slot, size_t *out_n);
/* Keeps the first n positions; no more than it holds. No sequence may be in the slot. */
TERN_API TernStatus tern_slot_truncate(TernSlot *slot, size_t n, TernError *err);
/* Writes the first n ids of the slot (1 to those it holds) and their cache to a file (docs/prompt_cache.md), which appears
 * whole or not at all. A sequence may be in the slot, between steps. */
TERN_API TernStatus tern_slot_save(const TernSlot *slot, size_t n, const char *path, TernError *err);
/* Empties the slot, which must have no sequence, and fills it from such a file: with the longest beginning that its ids and
 * `ids` have in common, or, if ids is NULL, with all of it. *out_n is the number of ids in the file; out_n may be NULL.
 * TERN_ERR_INPUT if the file is damaged, of another model, build of Tern or cache type, or longer than the context; the slot
 * is empty then. */
TERN_API TernStatus tern_slot_load(TernSlot *slot, const char *path, const int32_t *ids, size_t n_ids,
                                   size_t *out_n, TernError *err);

/* ---- stored beginnings: what one sequence has computed serves the next
 *
 * With TernGeneratorOptions.stored, a sequence's slot keeps what it holds when the sequence is destroyed, unless the sequence
 * has failed. A new sequence takes the longest beginning of its prompt, except the last id, from what was stored or what other
 * sequences have run by now, while they go on; a request with a TernSlot does so if that is more than its slot holds. A
 * prompt that runs takes more as soon as others have it, and lets another sequence go first if both would run the same rows.
 * Whole pages are shared. Beginnings that were used least recently go when a slot or a page is needed; sequences never lack
 * either. Answers are the same as without. */

/* ---- counters: what a generator has done since it was made. Set `size` before the call. */
enum { TERN_ENDS = 16 }; /* room for all of TernEnd */
typedef struct TernGeneratorCounts {
    size_t size;
    uint64_t steps; /* that ran */
    const uint64_t
        *by_size; /* of those, how many had rows of i sequences: by_size[i]; valid while the generator is */
    size_t n_by_size; /* 1 + slots */
    double seconds;   /* in the model's part of those steps */
    /* Rows that ran: of prompts, of ids that were picked, and of guesses at the next ones; and how many guesses were right. */
    uint64_t n_prompt_rows, n_decode_rows, n_guessed, n_right;
    uint64_t n_cut;              /* how often a step ran a part of a prompt that was not its end */
    uint64_t n_begun;            /* sequences that got a slot */
    uint64_t n_ended[TERN_ENDS]; /* of those, by TernEnd; TERN_END_NOT: destroyed while they ran */
    uint64_t n_reused;           /* ids of prompts that were not run, because a slot held them */
    uint64_t n_forks;            /* how often a sequence took a beginning from another slot */
    uint64_t n_waits;            /* how often one let another run rows that both need */
    uint64_t n_stored;           /* beginnings that were stored */
    uint64_t n_evicted;          /* stored ones that had to go */
    uint32_t stored;             /* beginnings that are stored now */
    uint32_t pages, pages_free, pages_shared; /* now, as in TernSessionPages */
    uint64_t n_withheld; /* guesses that were not run beside other sequences (drafts.c) */
} TernGeneratorCounts;
TERN_API TernStatus tern_generator_counts(const TernGenerator *generator, TernGeneratorCounts *out,
                                          TernError *err);

/* ---- the short way */
/* Runs one request to its end, in a slot of its own; the generator's other sequences run beside it. Returns the sequence's
 * status, which is TERN_OK unless it failed. *out is filled in if the sequence was made; out may be NULL. */
TERN_API TernStatus tern_generate(TernGenerator *generator, const TernRequest *request, TernPieceFn *piece,
                                  void *user, TernGenerated *out, TernError *err);

/* ---- sequences */
/* Checks the request, encodes its text and takes a free slot; steps do the rest. The request is copied.
 * TERN_ERR_INPUT if the prompt is empty or longer than the context, or if all slots are taken. */
TERN_API TernStatus tern_sequence_create(TernGenerator *generator, const TernRequest *request,
                                         TernPieceFn *piece, void *user, TernSequence **out, TernError *err);
TERN_API void tern_sequence_destroy(TernSequence *sequence); /* at any time between steps; frees the slot */
/* How far the sequence has come. */
TERN_API TernStatus tern_sequence_get(const TernSequence *sequence, TernGenerated *out, TernError *err);
/* TERN_OK unless the sequence failed; then the status and the line of that failure. */
TERN_API TernStatus tern_sequence_status(const TernSequence *sequence, TernError *err);

/* The number of sequences that have not ended, without those on hold, except cancelled ones. */
TERN_API size_t tern_generator_running(const TernGenerator *generator);
/* Runs one step of all those sequences; does nothing if there is none. If the logits of a row hold NaN or infinity, only
 * that row's sequence fails. An error returned here is about the whole step:
 * - TERN_ERR_INPUT: the pool is busy with another session. Nothing has changed; try again.
 * - Any other: a device failed, and all sequences in the step have failed with it. */
TERN_API TernStatus tern_generator_step(TernGenerator *generator, TernError *err);

/* While a sequence is on hold (on: 1), steps run no rows of it, and it keeps its slot; 0 lets it go on. Of a step that runs,
 * it may still give out pieces. May be called from any thread, and by the function that gets pieces. */
TERN_API void tern_sequence_hold(TernSequence *sequence, int on);

/* Ends a sequence, or all sequences that exist now, before their next step. May be called from any thread. */
TERN_API void tern_sequence_cancel(TernSequence *sequence);
TERN_API void tern_generator_cancel(TernGenerator *generator);

/* ---- embeddings: a text in, one vector out
 *
 * An embedder is a session that runs texts and pools the normed hidden rows of each. A vector has the same bits whatever
 * runs beside its text, and on every machine, as rows have (tern.h). Float order:
 *
 *   mean       s[i] = sum over rows, in order, of the row's i-th number, in double; y[i] = s[i] / rows, rounded to f32 once
 *   normalize  n = sum over i, in order, of y[i]^2, in double; y[i] = y[i] / sqrt(n), rounded once; zeros stay as they are
 *
 *   TernText text = {"a text", 6};
 *   TernEmbedText one = {sizeof one, text, NULL, 0, 0};
 *   tern_embedder_create(model, pool, NULL, &embedder, &err);
 *   tern_embed(embedder, &one, 1, take, user, &err);
 *   tern_embedder_destroy(embedder); */
typedef struct TernEmbedder TernEmbedder;
typedef enum TernNormalize {
    TERN_NORMALIZE_DEFAULT = 0, /* yes, unless the pooling is none */
    TERN_NORMALIZE_YES = 1,     /* vectors of length 1 */
    TERN_NORMALIZE_NO = 2
} TernNormalize;
typedef struct TernEmbedderOptions {
    size_t size;
    uint32_t slots;      /* texts that run side by side; default 1; at most the rows of a step */
    uint32_t context;    /* most ids of a text; default min(4096, the model's n_context) */
    uint32_t batch;      /* most rows of a step; default and maximum: the model's max_rows */
    TernKv kv;           /* default f16 */
    TernPooling pooling; /* default: what the model's file says; if it says nothing, an error */
    TernNormalize normalize;
    const TernVocab *vocab; /* the model's, opened by the caller; default: opened here if there is one */
} TernEmbedderOptions;
/* The model, the pool and the vocabulary must outlive the embedder. */
TERN_API TernStatus tern_embedder_create(TernModel *model, TernPool *pool, const TernEmbedderOptions *options,
                                         TernEmbedder **out, TernError *err);
TERN_API void tern_embedder_destroy(TernEmbedder *embedder);
/* The memory of the session that an embedder with these options makes, as tern_generator_bytes. */
TERN_API TernStatus tern_embedder_bytes(const TernModel *model, const TernPool *pool,
                                        const TernEmbedderOptions *options, TernSessionBytes *out,
                                        TernError *err);
/* The embedder's session, for profiles and for the queries of tern.h. The caller must not step it. */
TERN_API TernSession *tern_embedder_session(TernEmbedder *embedder);

typedef struct TernEmbedText {
    size_t size;
    TernText text;      /* data NULL: the text is ids */
    const int32_t *ids; /* to which nothing is added */
    size_t n_ids;
    int parse_special; /* text: control tokens that are spelled out become those tokens; not for untrusted text */
} TernEmbedText;
typedef struct TernVector {
    size_t text;    /* index of its text */
    size_t row;     /* pooling none: of the text's rows; else 0 */
    size_t n_ids;   /* of the text, with the tokens that the model expects around one */
    const float *x; /* n numbers, the model's n_hidden; borrowed for the call */
    uint32_t n;
} TernVector;
/* Gets the vectors in the order of the texts, of a text in the order of its rows. If it returns nonzero, no further step is
 * run and tern_embed fails as TERN_ERR_CANCELLED. It must not call the embedder. */
typedef int TernVectorFn(void *user, const TernVector *vector);
/* Every text is checked before the first step. TERN_ERR_INPUT if one has no ids or more than the context; the line says
 * which text. After any failure the embedder can be used again. */
TERN_API TernStatus tern_embed(TernEmbedder *embedder, const TernEmbedText *texts, size_t n,
                               TernVectorFn *vector, void *user, TernError *err);
/* The same a step at a time, for a caller that has other work between steps: begin checks and copies the texts' ids, step runs
 * at most `rows` rows (0: as many as fit) and says whether there are more, and end lets go, also in the middle. An embedder has
 * one call at a time. After a failed step there is nothing more to run. */
TERN_API TernStatus tern_embed_begin(TernEmbedder *embedder, const TernEmbedText *texts, size_t n,
                                     TernVectorFn *vector, void *user, TernError *err);
TERN_API TernStatus tern_embed_step(TernEmbedder *embedder, size_t rows, int *more, TernError *err);
TERN_API void tern_embed_end(TernEmbedder *embedder);

#ifdef __cplusplus
}
#endif
#endif
