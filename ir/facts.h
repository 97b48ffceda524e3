/* What a frontend knows about a model besides its graph: for the blob's META, for tables and for limits. */
#ifndef TN_FACTS_H
#define TN_FACTS_H

#include <stddef.h>
#include <stdint.h>
#include "runtime/abi/counts.h"

typedef struct TnFacts {
    const char *arch, *name, *desc; /* desc: e.g. "2B i2_s, head f16" */
    TN_MODEL_COUNTS(TN_MODEL_COUNT_MEMBER)
    uint64_t n_params, source_hash;
    uint32_t pooling;  /* as in META (runtime/abi/blob.h): 0 unsaid, 1 none, 2 mean, 3 cls, 4 last */
    const void *vocab; /* vocabulary image, or NULL */
    size_t vocab_bytes;
} TnFacts; /* everything borrowed from the frontend's object */

#endif
