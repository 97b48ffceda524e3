/* Makes blobs by hand for the runtime's tests. Sections are byte buffers until they are sealed, so a test can damage
 * anything and then seal it with correct hashes. */
#ifndef BLOB_MAKER_H
#define BLOB_MAKER_H

#include <stdlib.h>
#include <string.h>
#include "runtime/abi/blob.h"
#include "runtime/abi/kernel.h"
#include "runtime/base/buf.h"
#include "runtime/base/hash.h"
#include "runtime/base/reader.h"

typedef struct Section {
    TnBlobSection row; /* kind, flags, level, align, reserved; the rest is set by sealing */
    TnBuf bytes;
} Section;

typedef struct Maker {
    uint32_t n;
    Section s[64];
} Maker;

/* A sealed blob, 64-aligned; free(data). */
typedef struct Image {
    uint8_t *data;
    size_t size;
} Image;

static inline uint32_t maker_add(Maker *m, uint32_t kind, uint32_t level, uint32_t align) {
    m->s[m->n].row =
        (TnBlobSection){.kind = kind, .level = level, .align = align, .flags = TN_SECTION_REQUIRED};
    return m->n++;
}

static inline void maker_free(Maker *m) {
    for (uint32_t i = 0; i < m->n; i++) tn_buf_free(&m->s[i].bytes);
}

static inline Section *maker_find(Maker *m, uint32_t kind, uint32_t index) {
    for (uint32_t i = 0; i < m->n; i++)
        if (m->s[i].row.kind == kind && index-- == 0) return &m->s[i];
    return NULL;
}

/* Computes the head's hash again, after a test has changed head or table. */
static inline void image_rehash_head(Image *image) {
    TnBlobHead head;
    memcpy(&head, image->data, sizeof head);
    memset(image->data + offsetof(TnBlobHead, hash), 0, 16);
    TnHash128 h = tn_hash128(image->data, sizeof head + head.n_sections * sizeof(TnBlobSection));
    memcpy(image->data + offsetof(TnBlobHead, hash), h.bytes, 16);
}

/* CHNK is filled here from WGHT, unless the test filled it. */
static inline Image maker_seal(Maker *m) {
    Section *weights = maker_find(m, TN_SECTION_WGHT, 0), *chunks = maker_find(m, TN_SECTION_CHNK, 0);
    if (weights && chunks && chunks->bytes.len == 0)
        for (size_t at = 0; at < weights->bytes.len; at += TN_BLOB_CHUNK) {
            size_t left = weights->bytes.len - at;
            TnHash128 h = tn_hash128(weights->bytes.data + at, left < TN_BLOB_CHUNK ? left : TN_BLOB_CHUNK);
            tn_buf_put(&chunks->bytes, h.bytes, 16);
        }
    size_t at = sizeof(TnBlobHead) + m->n * sizeof(TnBlobSection);
    TnBlobSection rows[64];
    for (uint32_t i = 0; i < m->n; i++) {
        const TnBuf *bytes = &m->s[i].bytes;
        const TnBuf *hashed = m->s[i].row.kind == TN_SECTION_WGHT && chunks ? &chunks->bytes : bytes;
        rows[i] = m->s[i].row;
        at = tn_round_up(at, rows[i].align ? rows[i].align : 1);
        rows[i].offset = at;
        rows[i].size = bytes->len;
        TnHash128 h = tn_hash128(hashed->len ? hashed->data : "", hashed->len);
        memcpy(rows[i].hash, h.bytes, 16);
        at += bytes->len;
    }
    Image image = {aligned_alloc(64, tn_round_up(at, 64)), at};
    memset(image.data, 0, tn_round_up(at, 64));
    TnBlobHead head = {.magic = {0},
                       .version = TN_BLOB_VERSION,
                       .head_bytes = sizeof head,
                       .probe_int = 0x01020304u,
                       .probe_float = -1.5f,
                       .file_bytes = at,
                       .n_sections = m->n,
                       .abi = TN_BLOB_ABI};
    memcpy(head.magic, TN_BLOB_MAGIC, 8);
    memcpy(image.data, &head, sizeof head);
    memcpy(image.data + sizeof head, rows, m->n * sizeof *rows);
    for (uint32_t i = 0; i < m->n; i++)
        if (m->s[i].bytes.len) memcpy(image.data + rows[i].offset, m->s[i].bytes.data, m->s[i].bytes.len);
    image_rehash_head(&image);
    return image;
}

static inline TnBlobRange put_name(TnBuf *b, const char *name) {
    TnBlobRange r = {(uint32_t)b->len, (uint32_t)strlen(name)};
    tn_buf_put(b, name, r.size);
    return r;
}

#endif
