#ifndef TN_WEAVE_H
#define TN_WEAVE_H

#include "codegen/codegen.h"

/* LLVM IR or assembly as text, or an ELF object. */
typedef enum TnShow { TN_SHOW_LLVM, TN_SHOW_ASM, TN_SHOW_OBJ } TnShow;
/* Writes assembly or IR to *out with each job's note above its function and each node's line where its
 * instructions begin, as comments that begin with `sign`. */
void tn_llvm_weave(const char *text, size_t n, const TnEmitJob *jobs, uint32_t n_jobs, TnShow what,
                   const char *sign, TnBuf *out);

#endif
