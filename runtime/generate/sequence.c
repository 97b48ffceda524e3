/* A sequence between steps: which rows it needs next, and what follows from the picks of those rows. */
#include "runtime/generate/sequence.h"
#include <string.h>
#include "runtime/base/options.h"

/* ---- Rows out */

static size_t prompt_rows(TernSequence *s, TernRow *rows, size_t room) {
    size_t at = s->got.n_reused + s->got.n_prefilled, left = s->got.n_prompt - at,
           n = left < room ? left : room;
    for (size_t i = 0; i < n; i++) rows[i] = (TernRow){.token = s->prompt[at + i]};
    if (n == left) rows[n - 1].want = tn_constrain_want(s);
    s->n_chunk = n;
    s->n_guess = s->n_withheld = 0;
    return n;
}

/* Wrong guesses cost time, so there is at most one guess more than were right the last time, or twice as many as before if
 * all were right. */
void tn_sequence_guess(TernSequence *s, size_t most) {
    size_t left = s->generator->context - tern_session_length(s->generator->session, s->slot) - 1;
    if (most > s->trust) most = s->trust;
    if (most > left) most = left;
    s->n_withheld = 0;
    s->n_guess = s->lookup ? tern_lookup_guess(s->lookup, s->guess, most) : 0;
    s->n_guess = tn_constrain_guesses(s, s->n_guess);
}

/* Writes rows for the last id and for the guesses after it. */
static size_t decode_rows(TernSequence *s, TernRow *rows, size_t room) {
    TN_CHECK(s->n_guess < room);
    rows[0] = (TernRow){.token = s->last, .want = tn_constrain_want(s)};
    for (size_t i = 0; i < s->n_guess; i++)
        rows[1 + i] = (TernRow){.token = s->guess[i], .want = rows[0].want};
    s->n_chunk = 0;
    return 1 + s->n_guess;
}

size_t tn_sequence_rows(TernSequence *s, TernRow *rows, size_t room) {
    if (s->began == 0) s->began = s->generator->seconds();
    s->held = tern_session_length(s->generator->session, s->slot);
    s->picked = TERN_OK;
    s->n_next = 0;
    s->missed = s->unsettled = false;
    s->walk = s->state;
    size_t n = tn_sequence_in_prompt(s) ? prompt_rows(s, rows, room) : decode_rows(s, rows, room);
    int32_t *ids = s->generator->ids + (size_t)s->slot * s->generator->context;
    for (size_t i = 0; i < n; i++) ids[s->held + i] = rows[i].token;
    return n;
}

/* ---- Results in */

void tn_sequence_take(TernSequence *s, const TernResult *r) {
    if (s->missed || s->unsettled || s->picked != TERN_OK) return;
    int32_t *id = &s->next[s->n_next];
    if (s->constrained)
        s->picked = tn_constrain_pick(s, r, id, &s->wrong);
    else if (s->want.kind == TERN_SAMPLER_ID)
        s->picked = tern_sampler_pick_id(s->sampler, r->id, id, &s->wrong);
    else if (r->want == TERN_WANT_LOGITS) /* for logprobs; the pick is the same */
        s->picked =
            tern_sampler_pick_allowed(s->sampler, r->logits, s->generator->info.n_vocab, NULL, id, &s->wrong);
    else
        s->picked = tern_sampler_pick_top(s->sampler, r->top_ids, r->top_logits,
                                          s->want.k < r->n_top ? s->want.k : r->n_top, id, &s->wrong);
    if (s->picked != TERN_OK) return;
    s->unsettled = *id == TERN_NO_TOKEN;
    if (s->unsettled) return;
    if (s->n_logprobs) tn_logprobs_take(s, r->logits, *id);
    s->missed = s->n_next < s->n_guess && *id != s->guess[s->n_next];
    s->n_next++;
}

void tn_sequence_take_failure(TernSequence *s, TernStatus status, const TernError *err) {
    if (s->missed || s->unsettled || s->picked != TERN_OK)
        return; /* after a miss, plain decoding would never have run this row */
    s->picked = status;
    s->wrong = *err;
}

/* ---- Text out */

static void give(TernSequence *s, TernPiece piece) {
    if (!s->muted && s->piece && s->piece(s->user, &piece)) {
        s->muted = true;
        if (s->got.end != TERN_END_NOT) return;
        s->got.end = TERN_END_CANCELLED;
        s->generator->counts.n_ended[TERN_END_CANCELLED]++;
    }
}

/* Gives out the text that was held back. There is none after a stop string, and a failure gives none. */
static void give_rest(TernSequence *s) {
    const char *held, *half, *bytes;
    size_t n_held, n_half, n, stop;
    if (!s->detok || s->got.end == TERN_END_STOP || s->got.end == TERN_END_FAILED) return;
    tern_detok_flush(s->detok, &half, &n_half);
    if (n_half && tern_stops_push(s->stops, half, n_half, &bytes, &n, &stop, NULL) == TERN_OK && n)
        give(s, (TernPiece){.id = TERN_NO_TOKEN, .text = bytes, .size = n});
    tern_stops_flush(s->stops, &held, &n_held);
    if (n_held) give(s, (TernPiece){.id = TERN_NO_TOKEN, .text = held, .size = n_held});
}

static void end(TernSequence *s, TernEnd how) {
    if (s->got.end != TERN_END_NOT) return;
    s->got.end = how;
    s->generator->counts.n_ended[how]++;
    give_rest(s);
}

void tn_sequence_fail(TernSequence *s, TernStatus status, const TernError *err) {
    if (err) s->err = *err;
    s->err.code = status;
    end(s, TERN_END_FAILED);
}

bool tn_sequence_is_end(const TernSequence *s, int32_t id) {
    for (size_t i = 0; i < s->n_stop_ids; i++)
        if (s->stop_ids[i] == id) return true;
    const TernVocab *vocab = s->generator->vocab;
    return vocab && !s->ignore_eog && tern_token_is_eog(vocab, id);
}

/* Gives the pick `at` of the step. */
static void give_id(TernSequence *s, size_t at) {
    int32_t id = s->next[at];
    const TernLogprob *logprobs = s->n_logprobs ? s->logprobs + at * s->n_logprobs : NULL;
    const char *bytes = "";
    size_t n = 0, stop = TERN_NO_STOP;
    bool last = tn_sequence_is_end(s, id);
    s->got.n_out++;
    if (s->detok && (!last || s->special)) {
        TernStatus st = tern_detok_push(s->detok, id, &bytes, &n, &s->err);
        if (st == TERN_OK) st = tern_stops_push(s->stops, bytes, n, &bytes, &n, &stop, &s->err);
        if (st != TERN_OK) {
            tn_sequence_fail(s, st, NULL);
            return;
        }
    }
    give(s, (TernPiece){id, bytes, n, logprobs, s->n_logprobs});
    if (s->got.end != TERN_END_NOT) return;
    if (stop != TERN_NO_STOP) s->got.stop = stop;
    if (last)
        end(s, TERN_END_TOKEN);
    else if (stop != TERN_NO_STOP)
        end(s, TERN_END_STOP);
    else if (s->max_tokens && s->got.n_out >= s->max_tokens)
        end(s, TERN_END_LENGTH);
}

/* ---- After a step */

static bool is_cancelled(const TernSequence *s) {
    return atomic_load(&s->cancelled) || s->number < atomic_load(&s->generator->cancel_below);
}

bool tn_sequence_is_due(const TernSequence *s) {
    return tn_sequence_runs(s) && (!atomic_load(&s->on_hold) || is_cancelled(s));
}

void tn_sequence_heed(TernSequence *s) {
    if (tn_sequence_runs(s) && is_cancelled(s)) end(s, TERN_END_CANCELLED);
}

/* What was taken from others is in the phrases already. */
static void read_prompt(TernSequence *s) {
    size_t known = s->got.n_reused;
    tern_lookup_accept(s->lookup, s->prompt, known);
    if (!s->unstored) tern_lookup_share(s->lookup, s->generator->phrases);
    tern_lookup_accept(s->lookup, s->prompt + known, s->got.n_prompt - known);
    tern_lookup_accept(s->lookup, s->next, s->n_next);
}

static void settle_prompt(TernSequence *s) {
    s->got.n_prefilled += s->n_chunk - s->unsettled;
    s->prompt_ended = s->generator->seconds();
    s->got.prompt_seconds = s->prompt_ended - s->began;
    if (s->lookup && s->n_next) read_prompt(s);
}

static void settle_decode(TernSequence *s) {
    s->got.n_decoded += s->n_next;
    s->got.n_guessed += s->n_guess;
    size_t right = s->unsettled ? s->n_next : s->n_next - 1;
    s->got.n_right += right;
    s->generator->counts.n_right += right;
    tn_drafts_note(s, right);
    s->got.decode_seconds = s->generator->seconds() - s->prompt_ended;
    if (s->lookup) tern_lookup_accept(s->lookup, s->next, s->n_next);
    if (s->n_guess == 0 || s->unsettled) return;
    s->trust = s->n_next > s->n_guess ? 2 * s->trust : s->n_next;
    if (s->trust > s->draft_max) s->trust = s->draft_max;
}

/* Takes back the rows that count for nothing: after a wrong guess, and one that must be run again. */
static TernStatus trim(TernSequence *s) {
    size_t used = s->n_chunk ? s->n_chunk - s->unsettled : s->n_next;
    s->got.n_again += s->unsettled;
    if (!s->unsettled && (s->n_chunk || s->n_guess == 0)) return TERN_OK;
    return tern_session_truncate(s->generator->session, s->slot, (uint32_t)(s->held + used), &s->err);
}

TernStatus tn_sequence_end_if_complete(TernSequence *s, TernError *err) {
    bool complete;
    TN_TRY(tn_constrain_complete(s, &complete, err));
    if (complete) end(s, TERN_END_GRAMMAR);
    return TERN_OK;
}

static TernStatus give_picks(TernSequence *s) {
    if (s->n_next) s->last = s->next[s->n_next - 1];
    for (size_t i = 0; i < s->n_next && tn_sequence_runs(s); i++) give_id(s, i);
    s->state = s->walk;
    return s->n_next && tn_sequence_runs(s) ? tn_sequence_end_if_complete(s, &s->err) : TERN_OK;
}

/* If a step with guesses fails at a pick, the picks before it count: plain decoding would have given them, and might have
 * ended with one of them. */
void tn_sequence_settle(TernSequence *s) {
    TernStatus st = TERN_OK;
    if (s->n_chunk && s->picked == TERN_OK)
        settle_prompt(s);
    else if (s->n_next || s->unsettled)
        settle_decode(s);
    if (s->n_next || s->unsettled) st = trim(s);
    if (st == TERN_OK) st = give_picks(s);
    if (st != TERN_OK) {
        tn_sequence_fail(s, st, NULL);
        return;
    }
    tn_sequence_heed(s);
    if (s->picked != TERN_OK && tn_sequence_runs(s)) tn_sequence_fail(s, s->picked, &s->wrong);
    if (tern_session_length(s->generator->session, s->slot) >= s->generator->context)
        end(s, TERN_END_CONTEXT);
}

void tn_sequence_undo(TernSequence *s) {
    TernError ignored;
    s->n_next = s->n_guess = s->n_withheld = s->n_chunk = 0;
    TN_CHECK(tern_session_truncate(s->generator->session, s->slot, s->held, &ignored) == TERN_OK);
}
