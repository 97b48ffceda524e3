/* What is in an opened blob, for the compiler library's ternc_inspect and for a program without that library. The blob has
 * been checked when it was opened (tern_model_open), so its tables are read as they lie. */
#ifndef TN_BLOB_LIST_H
#define TN_BLOB_LIST_H

#include "runtime/abi/levels.h"
#include "runtime/base/buf.h"
#include "runtime/tern.h"

/* Appends tables of all that needs no compiler library: facts, levels, sections, variants, code, weights. */
void tn_blob_list(const char *path, const TernModel *m, TnBuf *out);
/* The machines that run a level, in words: "Intel servers since Sapphire Rapids"; "" if nothing is known of it. */
const char *tn_level_machines(uint32_t level);
/* The levels of a blob, in the order of its variants; returns how many. */
uint32_t tn_blob_levels(const TernModel *m, uint32_t out[TN_LEVEL_COUNT + 1]);
/* The bytes of scratch that the compiled code of a variant needs for each worker, if no symbol exceeds its sym_max: for
 * TernKernels.scratch of a model that is opened to be looked at. */
size_t tn_blob_scratch(const TernModel *m, uint32_t variant, const int64_t *sym_max);

#endif
