/* The weights that a blob's programs read, and the programs that name them. */
#ifndef TN_WEIGHTS_STORE_H
#define TN_WEIGHTS_STORE_H

#include "codegen/codegen.h"

/* What lies in WGHT. Equal SOURCE expressions (of any variant) are stored once. */
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

/* Index of the SOURCE value in the store; added at the end if new, 64-aligned. */
uint32_t tn_store_add(TnWeightStore *s, const TnGraph *g, TnRef ref);
/* The WDIR section. */
void tn_store_directory(const TnWeightStore *s, TnBuf *out);
void tn_store_free(TnWeightStore *s);

/* program.c: PROG and PLAN of one planned variant. exports[kernel] and jobs give each kernel's code
 * (NULL for level ref). Adds the weights it reads to the store. */
typedef struct TnProgramCode {
    uint32_t level, section; /* the CODE section's index in the blob */
    const TnEmitJob *jobs;
    const uint32_t *exports;
} TnProgramCode;
TernStatus tn_program_build(const TnGraph *g, const TnProgramCode *code, TnWeightStore *store, TnBuf *prog,
                            TnBuf *plan, TernError *err);

#endif
