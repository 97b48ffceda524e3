/* The slots of a generator: who has which, and what a kept one holds.
 *
 * A slot is free, kept (its TernSlot exists), or has a sequence; a kept one may have a sequence too. The cache of a kept
 * slot is described by its ids alone. A sequence writes the ids of its rows at their positions before the step, and the
 * session says how many positions there are, so an undone or shortened step needs no bookkeeping here. What else may be in
 * a slot, and what sequences take from others, is in store.c. */
#include <stdlib.h>
#include "runtime/base/options.h"
#include "runtime/generate/store.h"

static TernStatus check_free(const TernGenerator *g, TernError *err) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < g->all; i++) taken += g->at[i] || g->kept[i];
    if (taken < g->slots) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "all slots of the generator are taken, expected at most %u sequences at once", g->slots);
}

/* ---- Kept slots */

TernStatus tern_slot_create(TernGenerator *g, TernSlot **out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out, err);
    if (!g) return tn_fail_null("generator", err);
    TN_TRY(tn_generator_check_idle(g, err));
    TN_TRY(check_free(g, err));
    TernSlot *k = calloc(1, sizeof *k);
    if (!k) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a slot");
    uint32_t number = tn_store_place(g, TN_PREFIX_NONE);
    *k = (TernSlot){g, number, g->ids + (size_t)number * g->context};
    tn_store_drop(g, number);
    g->kept[number] = k;
    *out = k;
    return TERN_OK;
}

void tern_slot_destroy(TernSlot *k) {
    if (!k) return;
    TernGenerator *g = k->generator;
    g->kept[k->number] = NULL;
    if (g->at[k->number])
        g->at[k->number]->kept = NULL; /* it goes on, and leaves the slot as any sequence does */
    else
        tn_store_drop(g, k->number);
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
    tn_store_fork(k->generator, k->number, k->number, n);
    return TERN_OK;
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
    uint32_t from = TN_PREFIX_NONE, number;
    TN_TRY(kept ? check_kept(s, kept, err) : check_free(g, err));
    size_t own = kept ? count_reused(s, kept) : 0,
           n = tn_store_find(g, s->prompt, s->got.n_prompt - 1, &from);
    if (n <= own) n = own, from = TN_PREFIX_NONE;
    number = kept ? kept->number : tn_store_place(g, from);
    tn_store_fork(g, from == TN_PREFIX_NONE ? number : from, number, n);
    tn_store_show(g, number, !s->unstored);
    s->got.n_reused = n;
    g->counts.n_reused += n;
    g->counts.n_forks += from != TN_PREFIX_NONE;
    s->kept = kept;
    s->slot = number;
    g->at[number] = s;
    g->counts.n_begun++;
    return TERN_OK;
}

void tn_slot_leave(TernSequence *s) {
    TernGenerator *g = s->generator;
    if (s->slot >= g->all || g->at[s->slot] != s) return;
    g->at[s->slot] = NULL;
    g->counts.n_ended[TERN_END_NOT] += tn_sequence_runs(s);
    if (s->got.end == TERN_END_FAILED)
        tn_store_drop(g, s->slot);
    else if (!s->kept)
        tn_store_keep(g, s->slot);
}
