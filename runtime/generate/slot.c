/* The slots of a generator: who has which, and what a kept one holds.
 *
 * A slot is free, kept (its TernSlot exists), or has a sequence; a kept one may have a sequence too. The cache of a kept
 * slot is described by its ids alone. A sequence writes the ids of its rows at their positions before the step, and the
 * session says how many positions there are, so an undone or shortened step needs no bookkeeping here. */
#include <stdlib.h>
#include "runtime/base/options.h"
#include "runtime/generate/sequence.h"

static TernStatus find_free(const TernGenerator *g, uint32_t *out, TernError *err) {
    for (uint32_t i = 0; i < g->slots; i++)
        if (!g->at[i] && !g->kept[i]) return *out = i, TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "all slots of the generator are taken, expected at most %u sequences at once", g->slots);
}

/* ---- Kept slots */

static TernStatus keep(TernGenerator *g, TernSlot *k, TernError *err) {
    TN_TRY(find_free(g, &k->number, err));
    k->ids = calloc(g->context, sizeof *k->ids);
    if (!k->ids) return tn_fail(err, TERN_ERR_MEMORY, "no memory for the %u ids of a slot", g->context);
    TN_TRY(tern_session_truncate(g->session, k->number, 0, err));
    g->kept[k->number] = k;
    return TERN_OK;
}

TernStatus tern_slot_create(TernGenerator *g, TernSlot **out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out, err);
    if (!g) return tn_fail_null("generator", err);
    TN_TRY(tn_generator_check_idle(g, err));
    TernSlot *k = calloc(1, sizeof *k);
    if (!k) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a slot");
    k->generator = g;
    TernStatus st = keep(g, k, err);
    if (st == TERN_OK) {
        *out = k;
        return TERN_OK;
    }
    free(k->ids);
    free(k);
    return st;
}

void tern_slot_destroy(TernSlot *k) {
    if (!k) return;
    TernError ignored;
    TernGenerator *g = k->generator;
    g->kept[k->number] = NULL;
    if (g->at[k->number])
        g->at[k->number]->kept = NULL; /* it goes on, and empties the slot */
    else
        tern_session_truncate(g->session, k->number, 0, &ignored);
    free(k->ids);
    free(k);
}

const int32_t *tern_slot_ids(const TernSlot *k, size_t *out_n) {
    size_t n = k ? tern_session_length(k->generator->session, k->number) : 0;
    if (out_n) *out_n = n;
    return k ? k->ids : NULL;
}

TernStatus tern_slot_truncate(TernSlot *k, size_t n, TernError *err) {
    tn_error_clear(err);
    if (!k) return tn_fail_null("slot", err);
    TN_TRY(tn_generator_check_idle(k->generator, err));
    uint32_t held = tern_session_length(k->generator->session, k->number);
    if (k->generator->at[k->number])
        return tn_fail(err, TERN_ERR_INPUT, "a sequence is in the slot, expected none");
    if (n > held)
        return tn_fail(err, TERN_ERR_INPUT, "n is %zu, expected at most the %u positions of the slot", n,
                       held);
    return tern_session_truncate(k->generator->session, k->number, (uint32_t)n, err);
}

/* ---- A sequence in a slot */

/* The last id of a prompt is always run: its row gives the first pick. */
static size_t count_reused(const TernSequence *s, const TernSlot *k) {
    size_t held, n = 0;
    const int32_t *ids = tern_slot_ids(k, &held);
    while (n < held && n + 1 < s->got.n_prompt && ids[n] == s->prompt[n]) n++;
    return n;
}

static TernStatus check_kept(const TernSequence *s, const TernSlot *k, TernError *err) {
    if (k->generator != s->generator)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.slot is of another generator, expected this one's");
    if (s->generator->at[k->number])
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernRequest.slot has a sequence, expected one that was destroyed before the next");
    return TERN_OK;
}

TernStatus tn_slot_take(TernSequence *s, TernSlot *kept, TernError *err) {
    TernGenerator *g = s->generator;
    uint32_t number;
    if (kept) {
        TN_TRY(check_kept(s, kept, err));
        number = kept->number;
        s->got.n_reused = count_reused(s, kept);
    } else {
        TN_TRY(find_free(g, &number, err));
    }
    TN_TRY(tern_session_truncate(g->session, number, (uint32_t)s->got.n_reused, err));
    s->kept = kept;
    s->slot = number;
    g->at[number] = s;
    return TERN_OK;
}

void tn_slot_leave(TernSequence *s) {
    TernGenerator *g = s->generator;
    TernError ignored;
    if (s->slot >= g->slots || g->at[s->slot] != s) return;
    g->at[s->slot] = NULL;
    if (!s->kept || s->got.end == TERN_END_FAILED) tern_session_truncate(g->session, s->slot, 0, &ignored);
}
