/* The counts of a model. They are in a frontend's facts (ir/facts.h), in a blob's META (blob.h) and in TernModelInfo,
 * which spells them out for readers of tern.h. Expand this macro to copy them. The order is META's. */
#ifndef TN_ABI_COUNTS_H
#define TN_ABI_COUNTS_H

#define TN_MODEL_COUNTS(X)                                                                                   \
    X(n_vocab) X(n_context) X(n_layers) X(n_hidden) X(n_ffn) X(n_heads) X(n_kv_heads) X(head_dim)

/* As members of a struct. */
#define TN_MODEL_COUNT_MEMBER(count) uint32_t count;

#endif
