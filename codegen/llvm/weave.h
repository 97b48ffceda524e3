#ifndef TN_WEAVE_H
#define TN_WEAVE_H

#include "codegen/codegen.h"

/* LLVM IR or assembly as text, or an ELF object. */
typedef enum TnShow { TN_SHOW_LLVM, TN_SHOW_ASM, TN_SHOW_OBJ } TnShow;
/* Assembly or IR with every job's note as comments (after `sign`) above its function; in assembly also the line of a
 * node where its instructions begin. */
void tn_llvm_weave(const char *text, size_t n, const TnEmitJob *jobs, uint32_t n_jobs, TnShow what,
                   const char *sign, TnBuf *out);

#endif
