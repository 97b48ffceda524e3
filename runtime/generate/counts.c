/* What a generator counts. */
#include "runtime/base/options.h"
#include "runtime/generate/sequence.h"

static const TnField counts_fields[] = {
    TN_FIELD(TernGeneratorCounts, n_reused),    TN_FIELD(TernGeneratorCounts, n_forks),
    TN_FIELD(TernGeneratorCounts, n_evicted),   TN_FIELD(TernGeneratorCounts, stored),
    TN_FIELD(TernGeneratorCounts, pages),       TN_FIELD(TernGeneratorCounts, pages_free),
    TN_FIELD(TernGeneratorCounts, pages_shared)};
static const TnShape counts_shape = TN_SHAPE(TernGeneratorCounts, counts_fields);

TernStatus tern_generator_counts(const TernGenerator *g, TernGeneratorCounts *out, TernError *err) {
    TernSessionPages pages = {.size = sizeof pages};
    tn_error_clear(err);
    if (!g) return tn_fail_null("generator", err);
    TN_NEED(out, err);
    TN_TRY(tern_session_pages(g->session, &pages, err));
    TernGeneratorCounts all = g->counts;
    all.pages = pages.total;
    all.pages_free = pages.free;
    all.pages_shared = pages.shared;
    return tn_options_give(&counts_shape, &all, out, err);
}
