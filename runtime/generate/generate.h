/* Text from a model: a prompt in, pieces of text out, one engine for a program, a chat, a server and bindings. Library
 * libterngenerate, over libtern (tern.h) and libterntext (text/text.h).
 *
 * - generator: TernGenerator, a session of a model with the model's tokenizer, room for `slots` sequences.
 * - sequence: TernSequence, one prompt and the text that follows it: prefill in chunks, sampling, guesses, stop tokens and
 *   stop strings, whole characters out, times. It holds a slot from create to destroy.
 * - step: tern_generator_step runs one step of the model over rows of all sequences that are not at their end. Those that
 *   decode come first; prompts share what room is left. A sequence gives the same ids and the same text whatever runs
 *   beside it, with guesses and without.
 *
 * A whole program but for its headers (tests compile and run it: tests/cli/example_generate.c):
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
 * A server makes a sequence for every request, and steps while there is one that runs:
 *
 *   tern_sequence_create(g, &request, print, client, &sequence, &err);
 *   while (tern_generator_running(g)) tern_generator_step(g, &err);
 *   tern_sequence_get(sequence, &generated, &err);
 *   tern_sequence_destroy(sequence);
 *
 * Errors, option structs and pointers are as in tern.h. A generator and its sequences belong to one thread at a time;
 * tern_generator_cancel and tern_sequence_cancel may be called by any thread and by a signal handler, from create to
 * destroy. All memory of a sequence is taken when it is made (but for stop strings, which may hold back a piece longer
 * than any before); a step takes none. */
#ifndef TERN_GENERATE_H
#define TERN_GENERATE_H

#include "../tern.h"
#include "../text/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TernGenerator TernGenerator;
typedef struct TernSequence TernSequence;

/* ---- generator */
typedef struct TernGeneratorOptions {
    size_t size;
    uint32_t slots;         /* sequences held at once; default 1 */
    uint32_t context;       /* positions of each; default min(4096, the model's) */
    uint32_t batch;         /* most rows of a step; default and most: the model's max_rows */
    uint32_t draft_max;     /* most guesses of a sequence in a step; slots * (1 + draft_max) <= batch */
    TernKv kv;              /* default f16 */
    const TernVocab *vocab; /* the caller's, of this model; default: opened here, if there is one */
} TernGeneratorOptions;

/* The model, the pool and the vocabulary must outlive it. */
TERN_API TernStatus tern_generator_create(TernModel *model, TernPool *pool,
                                          const TernGeneratorOptions *options, TernGenerator **out,
                                          TernError *err);
/* After its sequences. NULL is fine, here and below. */
TERN_API void tern_generator_destroy(TernGenerator *generator);
/* The session that is stepped, for profiles and for what tern.h tells of one; not to be stepped by others. */
TERN_API TernSession *tern_generator_session(TernGenerator *generator);

/* ---- request: start from TERN_REQUEST, all defaults */
typedef struct TernRequest {
    size_t size;
    TernText text; /* the prompt; or, with data NULL, */
    const int32_t *ids;
    size_t n_ids;
    int plain;           /* of a text: do not add the tokens that the model has around one */
    int parse_special;   /* of a text: spelled control tokens become those tokens; not for untrusted text */
    uint32_t max_tokens; /* most ids to generate; default 0: until an end or a full context */
    uint32_t draft_max;  /* guesses a step by prompt lookup, at most the generator's; default 0: none */
    int ignore_eog;      /* the tokens that end an answer (tern_token_is_eog) do not end this one */
    const int32_t *stop_ids; /* more tokens that end it */
    size_t n_stop_ids;
    const TernText *stops; /* stop strings, as tern_stops_create takes them; they need a tokenizer */
    size_t n_stops;
    const TernSamplerOptions *sampler; /* default: text.h's */
} TernRequest;
/* Positional, for C++ too; in the order of the fields. */
#define TERN_REQUEST                                                                                         \
    { sizeof(TernRequest), {NULL, 0}, NULL, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, 0, NULL }

/* What an id gave. The text is whole characters of UTF-8, without tokens that end the answer and control tokens, and without
 * stop strings: what may be the beginning of one is held back, so it may be of earlier ids, or empty. Without a tokenizer it
 * is empty always. After the last id what was held back may come, with id TERN_NO_TOKEN: of the last character of a text
 * there may be a part alone. Borrowed for the call. */
typedef struct TernPiece {
    int32_t id;
    const char *text;
    size_t size;
} TernPiece;
/* Called once for every id, in order, from within a step. Nonzero ends the sequence: TERN_END_CANCELLED, and no piece more.
 * It may call what any thread may call, and nothing else of this header. */
typedef int TernPieceFn(void *user, const TernPiece *piece);

/* ---- result */
typedef enum TernEnd {
    TERN_END_NOT = 0,   /* it runs */
    TERN_END_TOKEN,     /* a token that ends the answer, or one of stop_ids: the last id */
    TERN_END_STOP,      /* a stop string */
    TERN_END_LENGTH,    /* max_tokens */
    TERN_END_CONTEXT,   /* the context is full */
    TERN_END_CANCELLED, /* by a cancel or the caller's function; what there is of an answer was given */
    TERN_END_FAILED     /* tern_sequence_status says why */
} TernEnd;

/* Set its size: it is filled in as far as that. The prompt's time goes from its first step to the end of the step that
 * ended it, or was the last; the rest is decode's. Steps with guesses may decode more ids than are given: those after the
 * end. */
typedef struct TernGenerated {
    size_t size;
    TernEnd end;
    size_t stop;               /* TERN_END_STOP: which; else TERN_NO_STOP */
    size_t n_prompt;           /* ids of the prompt */
    size_t n_prefilled;        /* of them, those that were run */
    size_t n_out;              /* ids given */
    size_t n_decoded;          /* ids that came of steps after the prompt's */
    size_t n_guessed, n_right; /* guesses that were run, and those that were right */
    double prompt_seconds, decode_seconds;
    uint64_t seed; /* of the draws */
} TernGenerated;

/* ---- the short way */
/* Runs one request to its end, in a slot of its own; other sequences go on beside it. Returns the sequence's status: OK
 * unless it failed. *out (may be NULL) is filled whenever the sequence began. */
TERN_API TernStatus tern_generate(TernGenerator *generator, const TernRequest *request, TernPieceFn *piece,
                                  void *user, TernGenerated *out, TernError *err);

/* ---- sequences */
/* Checks the request, encodes its text and takes a free slot; the rest happens in steps. The request is copied.
 * TERN_ERR_INPUT if the prompt is empty or longer than the context, and if all slots are taken. */
TERN_API TernStatus tern_sequence_create(TernGenerator *generator, const TernRequest *request,
                                         TernPieceFn *piece, void *user, TernSequence **out, TernError *err);
TERN_API void tern_sequence_destroy(TernSequence *sequence); /* at any time between steps; frees the slot */
/* How far it is. */
TERN_API TernStatus tern_sequence_get(const TernSequence *sequence, TernGenerated *out, TernError *err);
/* TERN_OK unless it failed: then what went wrong, with its line. */
TERN_API TernStatus tern_sequence_status(const TernSequence *sequence, TernError *err);

/* Sequences that are not at their end. */
TERN_API size_t tern_generator_running(const TernGenerator *generator);
/* One step of all of them; without any it does nothing. A row whose logits hold NaN or infinity fails its own sequence
 * alone. An error here is of the step as a whole. TERN_ERR_INPUT: the pool is busy with another session; nothing has
 * changed, and it may be tried again. Any other: a device failed, and with it all sequences that ran. */
TERN_API TernStatus tern_generator_step(TernGenerator *generator, TernError *err);

/* Ends a sequence, or all that there are now, before their next step. From any thread. */
TERN_API void tern_sequence_cancel(TernSequence *sequence);
TERN_API void tern_generator_cancel(TernGenerator *generator);

#ifdef __cplusplus
}
#endif
#endif
