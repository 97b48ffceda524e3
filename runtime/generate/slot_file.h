/* The file of a slot: ids and the cache that they left. docs/prompt_cache.md is the manual of the format. */
#ifndef TN_GENERATE_SLOT_FILE_H
#define TN_GENERATE_SLOT_FILE_H

#include "runtime/base/status.h"
#include "runtime/tern.h"

typedef struct TnSlotFile {
    uint32_t n, n_pages, n_vocab;
    TernKv kv;
    size_t page_bytes;
    TernHash model;
    const uint8_t *ids; /* n of 4 bytes */
    const uint8_t *pages;
} TnSlotFile;

/* Checks all bytes of a file and fills in *out, which borrows them. The line does not name the file. */
TernStatus tn_slot_file_read(const void *bytes, size_t size, TnSlotFile *out, TernError *err);
/* i < n */
int32_t tn_slot_file_id(const TnSlotFile *f, uint32_t i);

#endif
