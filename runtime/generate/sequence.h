/* One sequence of a generator, without regard to the others. The schedule (schedule.c) asks a sequence for the rows of its
 * next step, gives it the results of those rows, and then calls on it to settle them. A sequence never looks at another. */
#ifndef TN_GENERATE_SEQUENCE_H
#define TN_GENERATE_SEQUENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include "runtime/base/status.h"
#include "runtime/generate/generate.h"
#include "runtime/generate/prefix.h"

/* How long a row took in the last steps of about a size: class i is of 2^i to 2^(i+1) - 1 rows (pause.c). */
enum { TN_PACE_CLASSES = 16 };
typedef struct TnPace {
    double row[TN_PACE_CLASSES]; /* seconds, a moving mean; 0: none yet */
} TnPace;

/* How long steps of so many rows took of late, and how often guesses were right (drafts.c). */
enum { TN_COST_CLASSES = 48 };
typedef struct TnCost {
    double rows[TN_COST_CLASSES], seconds[TN_COST_CLASSES]; /* moving means; 0: none yet */
    uint64_t seen[TN_COST_CLASSES], steps; /* the number of the last step of a class; of all steps */
} TnCost;
typedef struct TnDrafts {
    TnCost cost;
    double hits;          /* as in TernSequence, over all */
    uint64_t choices;     /* made so far */
    bool alone;           /* guesses of one that decodes alone are chosen too */
    TernSequence **order; /* [all] room for a choice */
} TnDrafts;

struct TernGenerator {
    TernModel *model;
    TernSession *session;
    const TernVocab *vocab; /* NULL: ids only */
    TernVocab *own_vocab;
    TernModelInfo info;
    uint32_t slots, context, batch, draft_max;
    uint32_t all; /* slots of the session: those, and as many as options.stored */
    TernKv kv;
    TernSequence **at; /* [all]; NULL: no sequence */
    TernSlot **kept;   /* [all]; NULL: not kept */
    uint32_t turn;     /* the slot whose prompt comes first in the next step */
    int32_t
        *ids; /* [all * context] of which ids each slot's cache is; those beyond its length mean nothing */
    TnPrefix *prefix; /* over ids: what sequences may begin with; NULL: nothing is shared (store.c) */
    uint64_t *used;   /* [all] when the slot's stored beginning was last used, in `uses`; 0: it has none */
    uint64_t uses;
    TernGeneratorCounts counts;
    uint64_t *by_size; /* [1 + slots] */
    double max_pause;  /* seconds; 0: no bound */
    TnPace pace;
    TnDrafts drafts;
    TernPhrases *phrases;    /* of all sequences; NULL: none */
    double (*seconds)(void); /* the clock; tests set their own */
    /* sequences with a number below cancel_below are cancelled; any thread may write it */
    atomic_ullong n_created, cancel_below;

    /* the current step */
    bool stepping;           /* a step is running, so a call now can come only from a piece callback */
    TernRow *rows;           /* [batch] */
    TernSequence **row_of;   /* [batch] the sequence of each row */
    TernSequence **decoding; /* [all] those that decode in it */
    size_t n_rows;
    size_t room;    /* most rows of the step */
    uint32_t first; /* the slot whose prompt comes first in it; UINT32_MAX: none */
    size_t n_seen;  /* rows up to and including the last that gave a result */
};

/* A kept slot. The ids beyond the session's length are of no meaning. */
struct TernSlot {
    TernGenerator *generator;
    uint32_t number;
    int32_t *ids; /* the slot's of the generator */
};

struct TernSequence {
    TernGenerator *generator;
    uint32_t slot;
    TernSlot *kept; /* NULL: the slot is emptied at the end */
    unsigned long long number;
    atomic_bool cancelled, on_hold;
    TernPieceFn *piece;
    void *user;

    int32_t *prompt;
    int32_t *stop_ids;
    size_t n_stop_ids;
    uint32_t max_tokens, draft_max;
    bool ignore_eog, special;
    bool unstored; /* shares nothing with others, though it may take */
    TernSampler *sampler;
    TernSamplerWant want;
    /* constrain.c */
    TernGrammar *grammar;         /* borrowed; NULL: none */
    TernGrammarState state, walk; /* after the ids given out; after the picks of the current step too */
    bool endless;                 /* the grammar's vocabulary has no token that ends an answer */
    bool constrained;             /* a pick needs all logits, or the best 256 if they settle it */
    TernWant least, raised;       /* what a row wants at least; what the next n_raised rows want instead */
    uint32_t n_raised, backoff;   /* backoff: n_raised after the next failure */
    TernDetok *detok;             /* NULL without a tokenizer */
    TernStops *stops;             /* NULL without a tokenizer */
    TernLookup *lookup;           /* NULL without guesses */

    TernGenerated got;
    TernError err; /* for TERN_END_FAILED */
    bool muted;    /* the caller's function returned nonzero: do not call it again */
    double began, prompt_ended;

    /* Of the current step. `next` has the ids picked so far, one for each row, for as long as each pick equals the guess in
     * the next row. `guess` has the guesses, also those that are withheld. */
    int32_t *next, *guess; /* [1 + draft_max], [draft_max] */
    int32_t last;          /* the last id picked in a step that was settled */
    size_t n_next, n_guess;
    size_t n_withheld;     /* guesses that are not run beside other sequences; then n_guess is 0 */
    double hits;           /* how often a guess is right if those before it are, a moving mean */
    size_t trust;          /* most guesses for the next step, from how many were right in the last ones */
    TernLogprob *logprobs; /* [(1 + draft_max) * n_logprobs] of the ids picked so far */
    size_t n_logprobs;     /* of each; 0: none */
    bool missed;       /* the last pick differs from the guess in the next row: ignore the rows after it */
    bool unsettled;    /* the row after the last pick must be run again for all its logits */
    uint32_t held;     /* positions before the step */
    size_t n_chunk;    /* rows of the prompt in the step */
    TernStatus picked; /* not OK: the row after the last pick gave none, for the reason in `wrong` */
    TernError wrong;
};

/* TERN_ERR_INPUT if a step is running: then the call comes from a piece callback, which must not call the generator. */
TernStatus tn_generator_check_idle(const TernGenerator *g, TernError *err);

/* Takes a caller's request of any version; *out holds the defaults. */
TernStatus tn_request_take(const TernRequest *given, TernRequest *out, TernError *err);

static inline bool tn_sequence_runs(const TernSequence *s) {
    return s && s->got.end == TERN_END_NOT;
}
static inline bool tn_sequence_in_prompt(const TernSequence *s) {
    return s->got.n_reused + s->got.n_prefilled < s->got.n_prompt;
}

/* Whether this id ends the answer. */
bool tn_sequence_is_end(const TernSequence *s, int32_t id);

/* ---- constrain.c: picks within a grammar, or with a bias or a penalty */
/* Takes the grammar, or NULL, once the sampler is there. */
TernStatus tn_constrain(TernSequence *s, TernGrammar *grammar, TernError *err);
/* What rows of the next step want. */
TernWant tn_constrain_want(const TernSequence *s);
/* How many of the first n guesses the grammar allows. */
size_t tn_constrain_guesses(TernSequence *s, size_t n);
/* Picks from a row of a constrained sequence. TERN_NO_TOKEN: the result does not settle it, and the row must be run again. */
TernStatus tn_constrain_pick(TernSequence *s, const TernResult *r, int32_t *id, TernError *err);
/* Whether the text is whole and no token can follow, not even one that ends the answer. */
TernStatus tn_constrain_complete(TernSequence *s, bool *out, TernError *err);

/* ---- counts.c: counts a step that has run, before its sequences settle */
void tn_counts_step(TernGenerator *g, double seconds);

/* ---- drafts.c: guesses where they pay */
void tn_cost_note(TnCost *c, size_t rows, double seconds);
/* 0: nothing is known. */
double tn_cost_seconds(const TnCost *c, size_t rows);
TernStatus tn_drafts_open(TnDrafts *d, uint32_t slots, TernError *err);
void tn_drafts_begin(TernSequence *s);
/* Call this when a step of decode has run and so many of its guesses were right. */
void tn_drafts_note(TernSequence *s, size_t right);
/* Withholds guesses of a step in which these n sequences decode. */
void tn_drafts_choose(TnDrafts *d, TernSequence *const *decoding, size_t n);

/* ---- logprobs.c */
TernStatus tn_logprobs(TernSequence *s, uint32_t asked, TernError *err);
/* Writes those of the pick that comes next, from all logits of its row. */
void tn_logprobs_take(TernSequence *s, const float *logits, int32_t id);

/* ---- pause.c: the rows of prompts that others wait for, or may wait for */
enum {
    TN_PROMPT_LEAST = 4,
    TN_PROMPT_ALONE = 16
}; /* of a step, however long it takes; ALONE: none decodes */
void tn_pace_note(TnPace *p, size_t rows, double seconds);
/* The most rows, from `least` to `most`, that a step is expected to run in so many seconds. */
size_t tn_pace_rows(const TnPace *p, double seconds, size_t least, size_t most);

/* ---- sequence.c */
/* Ends the sequence if its grammar's text is whole and no token can follow. */
TernStatus tn_sequence_end_if_complete(TernSequence *s, TernError *err);
/* Whether it would be in a step now, or end there. */
bool tn_sequence_is_due(const TernSequence *s);
/* Ends the sequence if it was cancelled. */
void tn_sequence_heed(TernSequence *s);
/* Looks for the guesses of its next step, if it decodes; at most `most`. Call this before tn_sequence_rows. */
void tn_sequence_guess(TernSequence *s, size_t most);
/* Writes the rows of its next step, at least one and at most `room`, and returns how many. What it changes takes effect
 * only with tn_sequence_settle. */
size_t tn_sequence_rows(TernSequence *s, TernRow *rows, size_t room);
/* Takes the result of one of its rows. */
void tn_sequence_take(TernSequence *s, const TernResult *r);
/* Takes note that its next row has no result, and why. */
void tn_sequence_take_failure(TernSequence *s, TernStatus status, const TernError *err);
/* Call this after the step. Gives out the picks, and ends the sequence if it ends with one of them. If it has not ended and
 * a pick failed, it fails. */
void tn_sequence_settle(TernSequence *s);
/* Call this instead of settle if the step gave nothing for it: the sequence is as if it had not been in the step. */
void tn_sequence_undo(TernSequence *s);
void tn_sequence_fail(TernSequence *s, TernStatus status, const TernError *err);

/* slot.c: gives the sequence its slot, whose cache then holds got.n_reused ids of the prompt, or takes it away. */
TernStatus tn_slot_take(TernSequence *s, TernSlot *kept, TernError *err);
void tn_slot_leave(TernSequence *s);

#endif
