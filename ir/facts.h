/* What a frontend knows of a model beside its graph: for the blob's META, for tables and for limits. */
#ifndef TN_FACTS_H
#define TN_FACTS_H

#include <stddef.h>
#include <stdint.h>

/* The counts, by the names that they have in a blob's META and in TernModelInfo too; to copy them, expand this. */
#define TN_FACTS_COUNTS(X)                                                                                   \
    X(n_vocab) X(n_context) X(n_layers) X(n_hidden) X(n_ffn) X(n_heads) X(n_kv_heads) X(head_dim)

typedef struct TnFacts {
    const char *arch, *name, *desc; /* desc: e.g. "2B i2_s, head f16" */
#define TN_FACTS_MEMBER(count) uint32_t count;
    TN_FACTS_COUNTS(TN_FACTS_MEMBER)
#undef TN_FACTS_MEMBER
    uint64_t n_params, source_hash;
    const void *vocab; /* vocabulary image, or NULL */
    size_t vocab_bytes;
} TnFacts; /* everything borrowed from the frontend's object */

#endif
