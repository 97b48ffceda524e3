/* One step over rows of several sequences.
 *
 * Sequences that decode come first, with guesses that pay, because their readers wait for a token from each. The generator
 * has room for all of them. The room that is left goes to prompts, in turn; with max_pause it may be less (pause.c). A
 * step never has more rows or wants than the session runs at once, so it is a single run. If the logits of a row are not
 * finite, the rows before it have given results and those after it have not. Then the sequence of that row gives out what
 * its earlier rows gave and fails. The sequences after it are taken back to where they were; their next step gives the
 * same bits.
 *
 * Before a prompt's rows are chosen, the sequence takes what others have run of it (store.c). Before the step runs, stored
 * beginnings make room for its pages. */
#include "runtime/base/options.h"
#include "runtime/generate/store.h"

static void add_rows(TernGenerator *g, TernSequence *s) {
    if (g->n_rows >= g->room) return;
    size_t n = tn_sequence_rows(s, g->rows + g->n_rows, g->room - g->n_rows);
    for (size_t i = 0; i < n; i++) {
        g->rows[g->n_rows].slot = s->slot;
        g->row_of[g->n_rows++] = s;
    }
}

static void add_prompt(TernGenerator *g, TernSequence *s) {
    tn_store_share(s);
    if (tn_store_waits(s))
        g->counts.n_waits++;
    else
        add_rows(g, s);
}

/* Prompts get what can be run within the longest pause (pause.c): beside sequences that decode, and also if there are none,
 * because a sequence that comes now waits for this step. With one slot, none can come. */
static size_t find_room(const TernGenerator *g) {
    size_t least = g->n_rows + (g->n_rows ? TN_PROMPT_LEAST : TN_PROMPT_ALONE);
    if (g->max_pause <= 0 || least >= g->batch || (g->n_rows == 0 && g->slots == 1)) return g->batch;
    return tn_pace_rows(&g->pace, g->max_pause, least, g->batch);
}

/* The sequences that decode, each with its guesses, or those that pay (drafts.c). */
static void add_decoding(TernGenerator *g) {
    size_t n = 0;
    for (uint32_t i = 0; i < g->all; i++) {
        TernSequence *s = g->at[i];
        if (!s || !tn_sequence_is_due(s) || tn_sequence_in_prompt(s)) continue;
        tn_sequence_guess(s, g->batch);
        g->decoding[n++] = s;
    }
    tn_drafts_choose(&g->drafts, g->decoding, n);
    for (size_t i = 0; i < n; i++) add_rows(g, g->decoding[i]);
}

static void gather(TernGenerator *g) {
    g->n_rows = g->n_seen = 0;
    g->room = g->batch;
    g->first = UINT32_MAX;
    for (uint32_t i = 0; i < g->all; i++)
        if (g->at[i]) tn_sequence_heed(g->at[i]);
    add_decoding(g);
    g->room = find_room(g);
    for (uint32_t i = 0; i < g->all; i++) {
        TernSequence *s = g->at[(g->turn + i) % g->all];
        size_t before = g->n_rows;
        if (s && tn_sequence_is_due(s) && tn_sequence_in_prompt(s)) add_prompt(g, s);
        if (g->first == UINT32_MAX && g->n_rows > before) g->first = s->slot;
    }
}

static void sink(void *user, const TernResult *r) {
    TernGenerator *g = user;
    tn_sequence_take(g->row_of[r->row], r);
    g->n_seen = r->row + 1;
}

/* The first row that wants a result and has none; n_rows if there is no such row. */
static size_t find_unseen(const TernGenerator *g) {
    size_t row = g->n_seen;
    while (row < g->n_rows && g->rows[row].want == TERN_WANT_NOTHING) row++;
    return row;
}

/* Whether a sequence has a row at or after `row` that wants a result. */
static bool waits(const TernGenerator *g, const TernSequence *s, size_t row) {
    for (; row < g->n_rows; row++)
        if (g->row_of[row] == s && g->rows[row].want != TERN_WANT_NOTHING) return true;
    return false;
}

static void settle(TernGenerator *g, TernStatus status, const TernError *err) {
    size_t unseen = find_unseen(g);
    TernSequence *culprit = status == TERN_OK ? NULL : g->row_of[unseen];
    for (size_t row = 0; row < g->n_rows; row++) {
        TernSequence *s = g->row_of[row];
        TN_CHECK(s);
        if (row > 0 && g->row_of[row - 1] == s) continue;
        if (s == culprit) tn_sequence_take_failure(s, status, err);
        if (s != culprit && waits(g, s, unseen))
            tn_sequence_undo(s);
        else
            tn_sequence_settle(s);
        tn_store_show(g, s->slot, !s->unstored && s->got.end != TERN_END_FAILED);
    }
}

TernStatus tn_generator_check_idle(const TernGenerator *g, TernError *err) {
    if (!g->stepping) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "the generator is in a step: the function that gets pieces must not call it");
}

size_t tern_generator_running(const TernGenerator *g) {
    size_t n = 0;
    for (uint32_t i = 0; g && i < g->all; i++) n += tn_sequence_is_due(g->at[i]);
    return n;
}

TernStatus tern_generator_step(TernGenerator *g, TernError *err) {
    TernError own = {0};
    tn_error_clear(err);
    if (!g) return tn_fail_null("generator", err);
    TN_TRY(tn_generator_check_idle(g, err));
    g->stepping = true;
    gather(g);
    if (g->n_rows == 0) {
        g->stepping = false;
        return TERN_OK;
    }
    tn_store_make_room(g);
    double from = g->seconds();
    TernStatus status = tern_session_step(g->session, g->rows, g->n_rows, sink, g, &own);
    double took = g->seconds() - from;
    if (status == TERN_OK) tn_pace_note(&g->pace, g->n_rows, took);
    if (status == TERN_OK && g->first == UINT32_MAX) tn_cost_note(&g->drafts.cost, g->n_rows, took);
    if (status != TERN_ERR_INPUT) tn_counts_step(g, took);
    bool settled = status == TERN_OK || (status == TERN_ERR_NUMERIC && find_unseen(g) < g->n_rows);
    if (settled) settle(g, status, &own);
    g->stepping = false;
    if (status != TERN_ERR_INPUT && g->first != UINT32_MAX) g->turn = g->first + 1;
    if (settled) return TERN_OK;
    if (err) *err = own;
    if (status == TERN_ERR_INPUT) return status; /* refused: nothing has run */
    for (uint32_t i = 0; i < g->all; i++)        /* a device failed: all slots are lost */
        if (tn_sequence_runs(g->at[i])) tn_sequence_fail(g->at[i], status, &own);
    tn_store_lose(g);
    return status;
}
