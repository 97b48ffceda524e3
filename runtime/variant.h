/* Reads the contents of a blob's META, PROG, PLAN and CODE sections: copies them out and checks them against each
 * other and against the sizes of WGHT and CODE. After that, no launch has an operand outside the memory it may
 * touch. */
#ifndef TN_VARIANT_H
#define TN_VARIANT_H

#include "runtime/abi/kernel.h"
#include "runtime/base/arena.h"
#include "runtime/blob_open.h"

typedef struct TnMeta {
    TnBlobMeta facts;
    const char *arch, *name, *producer, *desc; /* NUL-terminated, in the arena */
    const void *vocab;                         /* in the blob, or NULL */
    size_t vocab_bytes;
} TnMeta;

/* One program with its plan, for steps of rows_lo to rows_hi rows. The arrays lie in the arena. */
typedef struct TnVariant {
    uint32_t index; /* among the PROG sections */
    TnBlobProg prog;
    TnBlobPlan plan;
    const TnBlobLaunch *launches;
    const TnBlobOperand *operands;
} TnVariant;

/* Bounds that keep every later product within 64 bits. */
#define TN_CONTEXT_MAX (1u << 24)
#define TN_ROWS_MAX    (1u << 16)
#define TN_UNITS_MAX   (1ull << 31)
#define TN_BYTES_MAX   (1ull << 40) /* any single size in a plan */

TernStatus tn_meta_read(const TnBlob *b, TnArena *arena, TnMeta *out, TernError *err);
/* Reads every variant, in the blob's order. The variants of one level and cache type must cover rows 1 .. max
 * without a gap. */
TernStatus tn_variants_read(const TnBlob *b, const TnMeta *meta, TnArena *arena, TnVariant **out,
                            uint32_t *out_n, TernError *err);
/* Whether rows that want all logits are counted apart from the other rows with logits (by symbol L). */
bool tn_logits_apart(const TnVariant *v);
/* Bytes of a page of 64 positions of one layer's key (or value) cache. */
uint64_t tn_page_size(const TnMeta *meta, uint32_t kv);

/* The kind of the section that has the code of a level: TN_SECTION_PTXT for levels of GPUs, else TN_SECTION_CODE. */
uint32_t tn_code_kind(uint32_t level);

/* A CODE or PTXT section: an image, and the place in it where each export begins. Borrows the section's bytes. */
typedef struct TnCode {
    const uint8_t *section; /* the name of export i is at section + exports[i].name.offset */
    const TnBlobExport *exports;
    uint32_t n;
    const uint8_t *image; /* PTXT: a text that ends in a 0, which is the only one in it */
    size_t bytes;
} TnCode;
/* Checks the section's tables, and that the entries of a PTXT have their names, in `bytes` (the section or a copy of it) and copies the exports to the arena. */
TernStatus tn_code_read(const TnBlob *b, const TnBlobSection *s, const uint8_t *bytes, TnArena *arena,
                        TnCode *out, TernError *err);

#endif
