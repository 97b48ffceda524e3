/* The weights that a blob's programs read, and the programs that refer to them. */
#ifndef TN_WEIGHTS_STORE_H
#define TN_WEIGHTS_STORE_H

#include "codegen/codegen.h"

/* A weight in WGHT. Equal SOURCE expressions (of any variant) are stored once. */
typedef struct TnStoredWeight {
    const TnGraph *g; /* borrowed: lives until the blob is written */
    TnRef ref;
    char *key; /* canonical text of the expression and its type */
    uint64_t offset, size;
} TnStoredWeight;

typedef struct TnWeightStore {
    TnStoredWeight *w;
    size_t n, cap;
    uint64_t bytes;
    TnMap by_key;
} TnWeightStore;

/* Returns the index of the SOURCE value in the store. A new one is added at the end, 64-aligned. */
uint32_t tn_store_add(TnWeightStore *s, const TnGraph *g, TnRef ref);
/* Appends the WDIR section. */
void tn_store_directory(const TnWeightStore *s, TnBuf *out);
void tn_store_free(TnWeightStore *s);

/* program.c: makes PROG and PLAN of one planned variant. jobs[exports[kernel]] is the code of a kernel; both are NULL for
 * level ref. Adds the weights that the program reads to the store. */
typedef struct TnProgramCode {
    uint32_t level, section; /* the CODE section's index in the blob */
    const TnEmitJob *jobs;
    const uint32_t *exports;
} TnProgramCode;
TernStatus tn_program_build(const TnGraph *g, const TnProgramCode *code, TnWeightStore *store, TnBuf *prog,
                            TnBuf *plan, TernError *err);

#endif
