/* The outside of a blob: head, section table, hashes, padding. variant.h reads what is inside the sections.
 *
 * Everything here is checked once, at open. After that, sections are plain ranges of the mapping. */
#ifndef TN_BLOB_OPEN_H
#define TN_BLOB_OPEN_H

#include <stdbool.h>
#include <stddef.h>
#include "runtime/abi/blob.h"
#include "runtime/base/status.h"

typedef struct TnBlob {
    const uint8_t *data;
    size_t size;
    uint32_t n_sections;
    TnBlobSection sections[TN_BLOB_SECTIONS_MAX]; /* copied out of the file */
} TnBlob;

/* Checks `size` bytes and fills *out, which borrows them. Every byte is checked but those of WGHT, which
 * tn_blob_chunk_ok checks. Errors name "head", "section KIND" or the padding before a section. */
TernStatus tn_blob_open(const void *data, size_t size, TnBlob *out, TernError *err);

/* Whether the section table, which has the hashes of all sections, is still what it was when the blob was opened. It is not
 * if another blob was written over the mapped file. Reads a few KB. */
bool tn_blob_unchanged(const TnBlob *b);

/* The index-th section of a kind, NULL if there are fewer. */
const TnBlobSection *tn_blob_section(const TnBlob *b, uint32_t kind, uint32_t index);
uint32_t tn_blob_count(const TnBlob *b, uint32_t kind);
static inline const uint8_t *tn_blob_bytes(const TnBlob *b, const TnBlobSection *s) {
    return b->data + s->offset;
}
/* "section WGHT", or "section PROG 2" for a kind that may occur several times. Every error line begins with it. */
typedef struct TnSectionName {
    char text[40];
} TnSectionName;
TnSectionName tn_section_name(const TnBlob *b, const TnBlobSection *s);

/* Checks the section's hash again, over a copy of its bytes. Not for WGHT. */
TernStatus tn_blob_check_copy(const TnBlob *b, const TnBlobSection *s, const void *copy, TernError *err);

/* The number of chunks of WGHT. */
uint32_t tn_blob_chunks(const TnBlob *b);
/* True if `bytes`, a chunk of WGHT or a copy of it, have the hash that CHNK gives for that chunk. Thread-safe. */
bool tn_blob_chunk_ok(const TnBlob *b, uint32_t chunk, const void *bytes);
/* The error for a damaged chunk. */
TernStatus tn_blob_chunk_error(const TnBlob *b, uint32_t chunk, TernError *err);

#endif
