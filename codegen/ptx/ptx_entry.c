#include "codegen/ptx/ptx_emit.h"

const char *tn_ptx_lacks(const TnGraph *g, uint32_t kernel) {
    return tn_ops[g->nodes[g->kernels[kernel].first].op].name;
}

void tn_ptx_entry(TnEmitJob *job, const char *level, TnBuf *out) {
    (void)out;
    TN_BUG("kernel %s: %s has no emitter for level %s", job->g->kernels[job->kernel].name,
           tn_ptx_lacks(job->g, job->kernel), level);
}
