/* What the files of codegen/ share: the parts of a blob. */
#ifndef TN_CODEGEN_INTERNAL_H
#define TN_CODEGEN_INTERNAL_H

#include "codegen/codegen.h"
#include "codegen/weights_store.h"
#include "runtime/base/hash.h"

/* ---- listing.c: appends the lines of a kernel from `printed`, the text of its graph. The kernel stands for `times` equal
 * ones. */
void tn_listing_kernel(const TnGraph *g, uint32_t kernel, const TnBuf *printed, uint32_t times, TnBuf *out);

/* ---- cancel.c: the caller's progress callback; NULL fn is fine. */
typedef struct TnProgress {
    TnProgressFn *fn;
    void *user;
} TnProgress;
/* Fails with TERN_ERR_CANCELLED if the callback cancels. */
TernStatus tn_progress(const TnProgress *p, const char *phase, uint64_t done, uint64_t total, TernError *err);

/* ---- weights_store.c: writing. Makes the store's bytes chunk by chunk on a few threads. Calls `put` in rising order of
 * chunks, never twice at once. With `memory` it makes the bytes there and does not call `put`. hashes has room for every
 * chunk. */
typedef struct TnStoreSink {
    uint8_t *memory;
    TernStatus (*put)(void *user, const void *bytes, size_t n, TernError *err);
    void *user;
} TnStoreSink;
TernStatus tn_store_write(const TnWeightStore *s, const TnWeights *source, const TnStoreSink *sink,
                          TnHash128 *hashes, const TnProgress *progress, TernError *err);
uint64_t tn_store_chunks(const TnWeightStore *s);

/* ---- blob_writer.c */
typedef struct TnBlobParts {
    TnBlobSection *table;
    TnBuf *bodies; /* owned; NULL data for WGHT */
    size_t n, cap;
} TnBlobParts;
/* Adds a section, takes ownership of its bytes, and returns its index. */
uint32_t tn_blob_add(TnBlobParts *p, uint32_t kind, uint32_t flags, uint32_t level, uint32_t align,
                     TnBuf *body);
void tn_blob_meta(const TnFacts *facts, uint32_t context, TnBuf *out);
/* Adds CHNK and WGHT, lays everything out and writes it. */
TernStatus tn_blob_write(TnBlobParts *p, const TnWeightStore *store, const TnWeights *source,
                         const TnBlobDest *dest, const TnProgress *progress, uint64_t *out_bytes,
                         TernError *err);
void tn_blob_free(TnBlobParts *p);

#endif
