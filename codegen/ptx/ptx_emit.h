/* The kernels of the ptx target, one by one. docs/cuda.md says how a kernel is made and what an entry is given. */
#ifndef TN_PTX_EMIT_H
#define TN_PTX_EMIT_H

#include "codegen/codegen.h"

/* The first op of a kernel that has no emitter, or whose emitter does not take it as it stands there; NULL: all have one. */
const char *tn_ptx_lacks(const TnGraph *g, uint32_t kernel);
/* Appends the entry of a job to *out, and fills in the job's threads and shared bytes. job->entry becomes the place in *out
 * where the line ".visible .entry SYMBOL(" begins. */
void tn_ptx_entry(TnEmitJob *job, const char *level, TnBuf *out);

#endif
