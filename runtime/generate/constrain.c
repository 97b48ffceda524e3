/* Picks that by definition need all logits: within a grammar, with a bias or a penalty, or without top-k.
 *
 * A head with a shortlist gives the best id, or the best 256 logits, for much less than all of them, and those usually
 * settle the pick. The best id settles it if the pick is greedy and only the grammar restricts it: then it is the pick if
 * the grammar allows it. The best 256 settle more (tern_sampler_try_top). So a row wants the least that may do. If that does
 * not settle the pick, the row is taken back and run again in the next step, and wants more; a row has the same bits every
 * time. Where that happens often, running rows twice costs more than it saves. So after a row that was not settled the next
 * rows want as much as that one took: one, then two, four, eight while failures go on; each success halves that. None of
 * this changes an id.
 *
 * Without a shortlist the step has all logits anyway, and gives them with the best 256 (TernResult.logits). The first row
 * shows whether it does. */
#include "runtime/base/options.h"
#include "runtime/generate/sequence.h"

enum { BACKOFF_MOST = 8 };

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
    bool tries = tern_sampler_tries_top(s->sampler) && tern_session_gives(session, TERN_WANT_TOP);
    s->least = tries ? TERN_WANT_TOP : TERN_WANT_LOGITS;
    if (s->constrained && !tern_session_gives(session, TERN_WANT_LOGITS))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "TernRequest.%s needs an output that the model was compiled without",
                       grammar ? "grammar" : "sampler");
    return TERN_OK;
}

TernWant tn_constrain_want(const TernSequence *s) {
    if (s->n_logprobs) return TERN_WANT_LOGITS;
    if (!s->constrained) return (TernWant)s->want.kind;
    return s->n_raised ? s->raised : s->least;
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

/* The best of all ids, or the only one that is allowed. */
static TernStatus try_best(TernSequence *s, int32_t best, int32_t *id, TernError *err) {
    TernAllowed all = {NULL, 0, 0};
    bool allowed;
    size_t w = 0;
    TN_TRY(allows(s, best, &allowed, err));
    if (!allowed) {
        TN_TRY(mask(s, &all, err));
        if (all.n != 1) return TERN_OK;
        while (!all.words[w]) w++;
        best = (int32_t)(64 * w) + __builtin_ctzll(all.words[w]);
    }
    return tern_sampler_pick_id(s->sampler, best, id, err);
}

static void settled(TernSequence *s, const TernResult *r) {
    if (r->want == (uint32_t)s->least && s->backoff > 1) s->backoff /= 2;
    if (s->n_raised) s->n_raised--;
    /* with a shortlist, and if a best id can be enough */
    if (r->want == TERN_WANT_TOP && !r->logits && s->want.kind == TERN_SAMPLER_ID)
        s->least = TERN_WANT_GREEDY;
}

static void unsettled(TernSequence *s, const TernResult *r) {
    s->raised = r->want == TERN_WANT_GREEDY ? TERN_WANT_TOP : TERN_WANT_LOGITS;
    s->n_raised = s->backoff;
    if (s->backoff < BACKOFF_MOST) s->backoff *= 2;
}

static TernStatus pick(TernSequence *s, const TernResult *r, int32_t *id, TernError *err) {
    TernFilter grammar = {s, allows, mask}, *filter = s->grammar ? &grammar : NULL;
    *id = TERN_NO_TOKEN;
    if (r->want == TERN_WANT_GREEDY) TN_TRY(try_best(s, r->id, id, err));
    if (r->want == TERN_WANT_TOP)
        TN_TRY(tern_sampler_try_top(s->sampler, r->top_ids, r->top_logits, r->n_top, filter, id, err));
    s->got.n_from_best += *id != TERN_NO_TOKEN;
    if (*id == TERN_NO_TOKEN && r->logits) {
        TN_TRY(tern_sampler_pick_allowed(s->sampler, r->logits, s->generator->info.n_vocab, filter, id, err));
        s->got.n_from_all++;
    }
    if (*id == TERN_NO_TOKEN)
        unsettled(s, r);
    else
        settled(s, r);
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
