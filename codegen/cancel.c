/* The progress callback, with which the caller may cancel. */
#include "codegen/internal.h"

TernStatus tn_progress(const TnProgress *p, const char *phase, uint64_t done, uint64_t total,
                       TernError *err) {
    if (!p->fn || !p->fn(p->user, phase, done, total)) return TERN_OK;
    return tn_fail(err, TERN_ERR_CANCELLED, "cancelled by the progress callback while at %s", phase);
}
