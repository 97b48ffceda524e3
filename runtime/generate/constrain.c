/* Picks that by definition need all logits: within a grammar, with a bias or a penalty, or without top-k.
 *
 * A head with a shortlist gives the best 256 logits for much less than all of them, and those usually settle the pick
 * (tern_sampler_try_top). So such a row wants the best 256. If they do not settle it, the row is taken back and run again for
 * all its logits, in the next step; a row has the same bits every time. Where that happens often, running rows twice costs
 * more than it saves. So after a row that was not settled the next ones want all logits at once: one, then two, four .. up
 * to 16 while tries go on to fail; each success halves that. None of this changes an id.
 *
 * Without a shortlist the step has all logits anyway, and gives them with the best 256 (TernResult.logits). */
#include "runtime/base/options.h"
#include "runtime/generate/sequence.h"

enum { BACKOFF_MOST = 16 };

/* ---- The grammar as a filter, in the state after the last pick */

static TernStatus allows(void *user, int32_t id, bool *out, TernError *err) {
    const TernSequence *s = user;
    return tern_grammar_allows(s->grammar, s->walk, id, out, err);
}

static TernStatus mask(void *user, TernAllowed *out, TernError *err) {
    const TernSequence *s = user;
    TernGrammarMask m;
    TN_TRY(tern_grammar_get_mask(s->grammar, s->walk, &m, err));
    *out = (TernAllowed){m.words, m.n_words, m.n_allowed};
    if (m.n_allowed == 0)
        return tn_fail(err, TERN_ERR_INPUT, "no token of the vocabulary goes on within the grammar");
    return TERN_OK;
}

static bool has_end(const TernVocab *vocab) {
    int32_t n = (int32_t)tern_vocab_get_facts(vocab).n_tokens;
    for (int32_t id = 0; id < n; id++)
        if (tern_token_is_eog(vocab, id)) return true;
    return false;
}

/* ---- */

TernStatus tn_constrain(TernSequence *s, TernGrammar *grammar, TernError *err) {
    const TernSession *session = s->generator->session;
    s->grammar = grammar;
    s->state = s->walk = TERN_GRAMMAR_START;
    s->endless = grammar && !has_end(s->generator->vocab);
    s->backoff = 1;
    s->constrained = grammar || s->want.kind == TERN_SAMPLER_LOGITS;
    s->tries =
        s->constrained && tern_sampler_tries_top(s->sampler) && tern_session_gives(session, TERN_WANT_TOP);
    if (s->constrained && !tern_session_gives(session, TERN_WANT_LOGITS))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "TernRequest.%s needs an output that the model was compiled without",
                       grammar ? "grammar" : "sampler");
    return TERN_OK;
}

TernWant tn_constrain_want(const TernSequence *s) {
    if (!s->constrained) return (TernWant)s->want.kind;
    return s->tries && s->direct == 0 ? TERN_WANT_TOP : TERN_WANT_LOGITS;
}

size_t tn_constrain_guesses(TernSequence *s, size_t n) {
    TernGrammarState at = s->state;
    if (!s->grammar) return n;
    for (size_t i = 0; i < n; i++)
        if (tn_sequence_is_end(s, s->guess[i]) ||
            tern_grammar_accept(s->grammar, at, s->guess[i], &at, NULL) != TERN_OK)
            return i;
    return n;
}

static TernStatus pick(TernSequence *s, const TernResult *r, int32_t *id, TernError *err) {
    TernFilter grammar = {s, allows, mask}, *filter = s->grammar ? &grammar : NULL;
    *id = TERN_NO_TOKEN;
    if (r->want == TERN_WANT_TOP) {
        TN_TRY(tern_sampler_try_top(s->sampler, r->top_ids, r->top_logits, r->n_top, filter, id, err));
        if (*id != TERN_NO_TOKEN) {
            s->got.n_from_best++;
            if (s->backoff > 1) s->backoff /= 2;
            return TERN_OK;
        }
    }
    if (!r->logits) {
        s->direct = s->backoff;
        if (s->backoff < BACKOFF_MOST) s->backoff *= 2;
        return TERN_OK;
    }
    TN_TRY(tern_sampler_pick_allowed(s->sampler, r->logits, s->generator->info.n_vocab, filter, id, err));
    s->got.n_from_all++;
    if (s->direct) s->direct--;
    return TERN_OK;
}

TernStatus tn_constrain_pick(TernSequence *s, const TernResult *r, int32_t *id, TernError *err) {
    TN_TRY(pick(s, r, id, err));
    if (*id == TERN_NO_TOKEN || !s->grammar) return TERN_OK;
    return tern_grammar_accept(s->grammar, s->walk, *id, &s->walk, err);
}

TernStatus tn_constrain_complete(TernSequence *s, bool *out, TernError *err) {
    TernGrammarMask m = {NULL, 0, 1};
    if (s->endless && tern_grammar_may_end(s->grammar, s->state))
        TN_TRY(tern_grammar_get_mask(s->grammar, s->state, &m, err));
    *out = m.n_allowed == 0;
    return TERN_OK;
}
