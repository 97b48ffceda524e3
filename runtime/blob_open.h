/* The outside of a blob: head, section table, hashes, padding. What is inside the sections is variant.h's.
 *
 * Everything here is checked once, at open; afterwards sections are plain ranges of the mapping. */
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

/* Checks size bytes and fills *out, which borrows them. Covers every byte but those of WGHT: those are
 * covered by tn_blob_chunk_ok. Errors name "head", "section KIND" or the padding before a section. */
TernStatus tn_blob_open(const void *data, size_t size, TnBlob *out, TernError *err);

/* The index-th section of a kind, NULL if there are fewer. */
const TnBlobSection *tn_blob_section(const TnBlob *b, uint32_t kind, uint32_t index);
uint32_t tn_blob_count(const TnBlob *b, uint32_t kind);
static inline const uint8_t *tn_blob_bytes(const TnBlob *b, const TnBlobSection *s) {
    return b->data + s->offset;
}
/* "section WGHT", or "section PROG 2" for a kind of which there may be many: the start of every error line.
 */
typedef struct TnSectionName {
    char text[40];
} TnSectionName;
TnSectionName tn_section_name(const TnBlob *b, const TnBlobSection *s);

/* The section's hash once more, over a copy of its bytes. Not for WGHT. */
TernStatus tn_blob_check_copy(const TnBlob *b, const TnBlobSection *s, const void *copy, TernError *err);

uint32_t tn_blob_chunks(const TnBlob *b); /* of WGHT */
/* A chunk of WGHT has the hash that CHNK says; bytes: where it lies, or a copy of it. Thread-safe. */
bool tn_blob_chunk_ok(const TnBlob *b, uint32_t chunk, const void *bytes);
TernStatus tn_blob_chunk_error(const TnBlob *b, uint32_t chunk, TernError *err);

#endif
