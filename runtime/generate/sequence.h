/* One sequence of a generator: everything about it but the rows of others. The schedule (schedule.c) asks it for rows,
 * hands it the results of those rows, and lets it settle what came of them; it never looks at another sequence. */
#ifndef TN_GENERATE_SEQUENCE_H
#define TN_GENERATE_SEQUENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include "runtime/base/status.h"
#include "runtime/generate/generate.h"

struct TernGenerator {
    TernModel *model;
    TernSession *session;
    const TernVocab *vocab; /* NULL: ids only */
    TernVocab *own_vocab;
    TernModelInfo info;
    uint32_t slots, context, batch, draft_max;
    TernSequence **at; /* [slots]; NULL: free */
    uint32_t turn;     /* the slot whose prompt goes first in the next step */
    /* cancel_below is written by any thread: sequences with a lower number are cancelled */
    atomic_ullong n_created, cancel_below;

    /* of a step */
    TernRow *rows;         /* [batch] */
    TernSequence **row_of; /* [batch] */
    size_t n_rows;
    size_t n_seen; /* rows up to and with the last that gave a result */
};

struct TernSequence {
    TernGenerator *generator;
    uint32_t slot;
    unsigned long long number;
    atomic_bool cancelled;
    TernPieceFn *piece;
    void *user;

    int32_t *prompt;
    int32_t *stop_ids;
    size_t n_stop_ids;
    uint32_t max_tokens, draft_max;
    bool ignore_eog;
    TernSampler *sampler;
    TernSamplerWant want;
    TernDetok *detok;   /* NULL without a tokenizer */
    TernStops *stops;   /* the same */
    TernLookup *lookup; /* NULL without guesses */

    TernGenerated got;
    TernError err; /* of TERN_END_FAILED */
    bool muted;    /* the caller's function wants no more */
    double began, prompt_ended;

    /* The last ids picked, one a row as long as each is what the next row guessed; guesses of the step under way. */
    int32_t *next, *guess; /* [1 + draft_max], [draft_max] */
    int32_t last;          /* the last id picked in a step that was settled */
    size_t n_next, n_guess;
    size_t trust;      /* how many guesses are worth a row, going by the last ones */
    bool missed;       /* the last pick was not what the next row guessed: the rows after it mean nothing */
    uint32_t held;     /* positions before the step */
    size_t n_chunk;    /* rows of the prompt in the step */
    TernStatus picked; /* not OK: the row after the last pick gave none, and wrong says why */
    TernError wrong;
};

static inline bool tn_sequence_runs(const TernSequence *s) {
    return s && s->got.end == TERN_END_NOT;
}
static inline bool tn_sequence_in_prompt(const TernSequence *s) {
    return s->got.n_prefilled < s->got.n_prompt;
}

/* Ends it if somebody has asked for that. */
void tn_sequence_heed(TernSequence *s);
/* Writes the rows of its next step, at most `room` and at least one; returns how many. Changes nothing that counts until
 * tn_sequence_settle. */
size_t tn_sequence_rows(TernSequence *s, TernRow *rows, size_t room);
/* The result of one of its rows. */
void tn_sequence_take(TernSequence *s, const TernResult *r);
/* Its next row has none. */
void tn_sequence_take_failure(TernSequence *s, TernStatus status, const TernError *err);
/* After the step: gives out what the picks say, and ends it where it ends; if a pick failed and it has not ended before
 * that, it fails. */
void tn_sequence_settle(TernSequence *s);
/* Instead: the step gave nothing for it, as if it had not been in it. */
void tn_sequence_undo(TernSequence *s);
void tn_sequence_fail(TernSequence *s, TernStatus status, const TernError *err);

#endif
