/* What a generator counts. Sequences count their ends and their right guesses, the store its beginnings, and the schedule the
 * rest, step by step. */
#include "runtime/base/options.h"
#include "runtime/generate/sequence.h"

_Static_assert((int)TERN_END_GRAMMAR < (int)TERN_ENDS, "each end has its counter");

static const TnField counts_fields[] = {
    TN_FIELD(TernGeneratorCounts, steps),         TN_FIELD(TernGeneratorCounts, by_size),
    TN_FIELD(TernGeneratorCounts, n_by_size),     TN_FIELD(TernGeneratorCounts, seconds),
    TN_FIELD(TernGeneratorCounts, n_prompt_rows), TN_FIELD(TernGeneratorCounts, n_decode_rows),
    TN_FIELD(TernGeneratorCounts, n_guessed),     TN_FIELD(TernGeneratorCounts, n_right),
    TN_FIELD(TernGeneratorCounts, n_cut),         TN_FIELD(TernGeneratorCounts, n_begun),
    TN_FIELD(TernGeneratorCounts, n_ended),       TN_FIELD(TernGeneratorCounts, n_reused),
    TN_FIELD(TernGeneratorCounts, n_forks),       TN_FIELD(TernGeneratorCounts, n_waits),
    TN_FIELD(TernGeneratorCounts, n_stored),      TN_FIELD(TernGeneratorCounts, n_evicted),
    TN_FIELD(TernGeneratorCounts, stored),        TN_FIELD(TernGeneratorCounts, pages),
    TN_FIELD(TernGeneratorCounts, pages_free),    TN_FIELD(TernGeneratorCounts, pages_shared),
    TN_FIELD(TernGeneratorCounts, n_withheld)};
static const TnShape counts_shape = TN_SHAPE(TernGeneratorCounts, counts_fields);

void tn_counts_step(TernGenerator *g, double seconds) {
    TernGeneratorCounts *c = &g->counts;
    size_t n = 0;
    for (size_t row = 0; row < g->n_rows; row++) {
        const TernSequence *s = g->row_of[row];
        if (row > 0 && g->row_of[row - 1] == s) continue;
        n++;
        c->n_prompt_rows += s->n_chunk;
        c->n_cut += s->n_chunk && s->got.n_reused + s->got.n_prefilled + s->n_chunk < s->got.n_prompt;
        c->n_decode_rows += s->n_chunk == 0;
        c->n_guessed += s->n_guess;
        c->n_withheld += s->n_withheld;
    }
    c->steps++;
    c->seconds += seconds;
    g->by_size[n]++;
}

TernStatus tern_generator_counts(const TernGenerator *g, TernGeneratorCounts *out, TernError *err) {
    TernSessionPages pages = {.size = sizeof pages};
    tn_error_clear(err);
    if (!g) return tn_fail_null("generator", err);
    TN_NEED(out, err);
    TN_TRY(tern_session_pages(g->session, &pages, err));
    TernGeneratorCounts all = g->counts;
    all.by_size = g->by_size;
    all.n_by_size = 1 + (size_t)g->slots;
    all.pages = pages.total;
    all.pages_free = pages.free;
    all.pages_shared = pages.shared;
    return tn_options_give(&counts_shape, &all, out, err);
}
