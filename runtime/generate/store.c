/* Beginnings are computed once and then shared.
 *
 * A slot of the session is in use (a sequence or a TernSlot has it), stored, or free. There are `slots` + `stored` of them, and
 * at most `slots` are in use. When a sequence leaves its slot, the slot keeps its ids and pages and becomes stored. A new
 * sequence looks for the longest beginning of its prompt in all slots, stored or in use, by a radix tree (prefix.h), and
 * forks it: whole pages are shared, and the last one is copied once somebody writes into it. Rows have the same bits however a
 * prompt is cut and whoever ran them, so no answer depends on any of this.
 *
 * Stored beginnings go by least recent use, when a slot or a page is needed. Slots in use never lack pages: without stored
 * ones, slots * P pages always suffice (runtime/pages.h), and there are at least so many. A beginning that another slot holds
 * too is not stored, so the turns of a conversation take one slot.
 *
 * Two sequences with the same new prompt have nothing to share when they begin. The later one lets the other run the rows
 * that both need, and forks them in the next step. */
#include "runtime/generate/store.h"

#include <string.h>
#include "runtime/base/options.h"

/* A fork costs the copy of a page, which is soon less than a row. It must not be more than the least rows that a prompt gets
 * in a step: then two would run the same rows side by side to their end. */
enum { NONE = TN_PREFIX_NONE, GAIN_LEAST = TN_PROMPT_LEAST };

static int32_t *ids_of(const TernGenerator *g, uint32_t slot) {
    return g->ids + (size_t)slot * g->context;
}

static void cut(TernGenerator *g, uint32_t slot, size_t n) {
    TernError ignored;
    TN_CHECK(tern_session_truncate(g->session, slot, (uint32_t)n, &ignored) == TERN_OK);
}

uint32_t tn_store_find(const TernGenerator *g, const int32_t *ids, size_t n, uint32_t *slot) {
    return g->prefix ? (uint32_t)tn_prefix_find(g->prefix, ids, n, slot) : 0;
}

void tn_store_show(TernGenerator *g, uint32_t slot, bool shown) {
    if (g->prefix) tn_prefix_set(g->prefix, slot, shown ? tern_session_length(g->session, slot) : 0);
}

void tn_store_fork(TernGenerator *g, uint32_t from, uint32_t to, size_t n) {
    TernError ignored;
    if (from != to) {
        tn_store_show(g, to, false);
        TN_CHECK(tern_session_fork(g->session, from, to, &ignored) == TERN_OK);
        memcpy(ids_of(g, to), ids_of(g, from), n * sizeof *g->ids);
        if (g->used[from]) g->used[from] = ++g->uses;
    }
    cut(g, to, n);
    tn_store_show(g, to, true);
}

void tn_store_drop(TernGenerator *g, uint32_t slot) {
    tn_store_show(g, slot, false);
    g->counts.stored -= g->used[slot] != 0;
    g->used[slot] = 0;
    cut(g, slot, 0);
}

void tn_store_keep(TernGenerator *g, uint32_t slot) {
    size_t n = g->prefix ? tn_prefix_length(g->prefix, slot) : 0;
    if (n == 0) {
        tn_store_drop(g, slot);
        return;
    }
    TN_CHECK(n == tern_session_length(g->session, slot));
    uint32_t longer = tn_prefix_longer(g->prefix, slot);
    if (longer != NONE) {
        if (g->used[longer]) g->used[longer] = ++g->uses;
        tn_store_drop(g, slot);
        return;
    }
    for (uint32_t i = tn_prefix_shorter(g->prefix, slot, slot), next; i != NONE; i = next) {
        next = tn_prefix_shorter(g->prefix, slot, i);
        if (g->used[i]) tn_store_drop(g, i);
    }
    g->used[slot] = ++g->uses;
    g->counts.stored++;
    g->counts.n_stored++;
}

/* Drops the stored beginning that was used least recently, but not `spared`, and returns its slot. */
static uint32_t evict(TernGenerator *g, uint32_t spared) {
    uint32_t oldest = NONE;
    for (uint32_t i = 0; i < g->all; i++)
        if (g->used[i] && i != spared && (oldest == NONE || g->used[i] < g->used[oldest])) oldest = i;
    if (oldest == NONE) return NONE;
    tn_store_drop(g, oldest);
    g->counts.n_evicted++;
    return oldest;
}

uint32_t tn_store_place(TernGenerator *g, uint32_t source) {
    for (uint32_t i = 0; i < g->all; i++)
        if (!g->at[i] && !g->kept[i] && !g->used[i]) return i;
    uint32_t place = evict(g, source);
    if (place != NONE) return place;
    TN_CHECK(source != NONE && g->used[source]);
    g->used[source] = 0;
    g->counts.stored--;
    return source;
}

void tn_store_make_room(TernGenerator *g) {
    while (tern_session_lacks(g->session, g->rows, g->n_rows)) TN_CHECK(evict(g, NONE) != NONE);
}

void tn_store_free_page(TernGenerator *g) {
    TernSessionPages pages = {.size = sizeof pages};
    TernError ignored;
    while (tern_session_pages(g->session, &pages, &ignored) == TERN_OK && pages.free == 0)
        TN_CHECK(evict(g, NONE) != NONE);
}

void tn_store_lose(TernGenerator *g) {
    for (uint32_t i = 0; i < g->all; i++) {
        tn_store_show(g, i, false);
        if (g->used[i]) tn_store_drop(g, i);
    }
}

/* ---- Sequences side by side */

static size_t position(const TernSequence *s) {
    return s->got.n_reused + s->got.n_prefilled;
}

void tn_store_share(TernSequence *s) {
    TernGenerator *g = s->generator;
    uint32_t from = NONE;
    size_t at = position(s), n = tn_store_find(g, s->prompt, s->got.n_prompt - 1, &from);
    if (n < at + GAIN_LEAST) return;
    tn_store_fork(g, from, s->slot, n);
    tn_store_show(g, s->slot, !s->unstored);
    s->got.n_reused += n - at;
    g->counts.n_forks++;
    g->counts.n_reused += n - at;
}

/* A sequence in the step may be far ahead, and its rows of this step decide only how much of the prompt it will hold. */
static bool gives(const TernSequence *other, const TernSequence *s, size_t n) {
    return !other->unstored && other->n_chunk && position(other) + other->n_chunk >= n &&
           memcmp(other->prompt, s->prompt, n * sizeof *s->prompt) == 0;
}

bool tn_store_waits(const TernSequence *s) {
    const TernGenerator *g = s->generator;
    size_t n = position(s) + GAIN_LEAST;
    if (!g->prefix || n >= s->got.n_prompt) return false;
    for (size_t row = 0; row < g->n_rows; row++) {
        const TernSequence *other = g->row_of[row];
        if ((row == 0 || g->row_of[row - 1] != other) && gives(other, s, n)) return true;
    }
    return false;
}
