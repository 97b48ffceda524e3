#include "runtime/blob_open.h"

#include <stdio.h>
#include <string.h>
#include "runtime/base/filekind.h"
#include "runtime/base/hash.h"
#include "runtime/base/hex.h"
#include "runtime/base/reader.h"

_Static_assert(sizeof(TnBlobHead) == 64 && sizeof(TnBlobSection) == 64, "the file's structs have no holes");

/* Names */

TnSectionName tn_section_name(const TnBlob *b, const TnBlobSection *s) {
    TnSectionName out;
    const TnSectionKind *kind = tn_section_kind(s->kind);
    if (!kind) {
        snprintf(out.text, sizeof out.text, "section of kind %u", s->kind);
    } else if (!kind->many) {
        snprintf(out.text, sizeof out.text, "section %s", kind->name);
    } else {
        unsigned index = 0;
        for (const TnBlobSection *i = b->sections; i < s; i++) index += i->kind == s->kind;
        snprintf(out.text, sizeof out.text, "section %s %u", kind->name, index);
    }
    return out;
}

/* Head: checked before anything else in the file is trusted */

static TernStatus check_head(const TnBlobHead *h, size_t size, TernError *err) {
    if (memcmp(h->magic, TN_BLOB_MAGIC, sizeof h->magic) != 0)
        return tn_fail(err, TERN_ERR_INPUT,
                       "head: not a .tern file: it begins with %02x %02x %02x %02x, expected 89 54 45 52",
                       h->magic[0], h->magic[1], h->magic[2], h->magic[3]);
    if (h->version != TN_BLOB_VERSION || h->abi != TN_BLOB_ABI)
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "head: the file has version %u, abi %u; this library reads version %u, abi %u: "
                       "compile the model again",
                       h->version, h->abi, TN_BLOB_VERSION, TN_BLOB_ABI);
    if (h->head_bytes != sizeof *h)
        return tn_fail(err, TERN_ERR_INPUT, "head: head_bytes is %u, expected %zu", h->head_bytes, sizeof *h);
    if (h->probe_int != 0x01020304u)
        return tn_fail(err, TERN_ERR_INPUT, "head: probe_int is 0x%08x, expected 0x01020304", h->probe_int);
    uint32_t probe;
    memcpy(&probe, &h->probe_float, sizeof probe); /* as bits: -1.5 is 0xbfc00000 */
    if (probe != 0xbfc00000u)
        return tn_fail(err, TERN_ERR_INPUT, "head: probe_float is 0x%08x, expected 0xbfc00000", probe);
    if (h->file_bytes != size)
        return tn_fail(err, TERN_ERR_INPUT, "head: the file has %zu bytes, expected %llu", size,
                       (unsigned long long)h->file_bytes);
    if (h->n_sections == 0 || h->n_sections > TN_BLOB_SECTIONS_MAX)
        return tn_fail(err, TERN_ERR_INPUT, "head: n_sections is %u, expected 1 to %d", h->n_sections,
                       TN_BLOB_SECTIONS_MAX);
    if (h->reserved != 0)
        return tn_fail(err, TERN_ERR_INPUT, "head: reserved is 0x%llx, expected 0",
                       (unsigned long long)h->reserved);
    return TERN_OK;
}

/* The hash is taken over a copy of the head, in which the bytes of the hash itself are zero. */
static TernStatus check_head_hash(const TnBlob *b, TnBlobHead h, TernError *err) {
    uint8_t copy[sizeof(TnBlobHead) + sizeof b->sections];
    uint8_t expected[16];
    memcpy(expected, h.hash, 16);
    memset(h.hash, 0, 16);
    size_t table = b->n_sections * sizeof(TnBlobSection);
    memcpy(copy, &h, sizeof h);
    memcpy(copy + sizeof h, b->sections, table);
    TnHash128 is = tn_hash128(copy, sizeof h + table);
    if (memcmp(is.bytes, expected, 16) != 0)
        return tn_fail(err, TERN_ERR_INPUT, "head: the hash of head and section table is %s, expected %s",
                       tn_hex(is.bytes).s, tn_hex(expected).s);
    return TERN_OK;
}

/* Sections */

static TernStatus check_zero(const uint8_t *data, size_t from, size_t to, const char *where, TernError *err) {
    for (size_t i = from; i < to; i++)
        if (data[i] != 0)
            return tn_fail(err, TERN_ERR_INPUT, "padding %s: byte %zu is 0x%02x, expected 0", where, i,
                           data[i]);
    return TERN_OK;
}

/* Checks a section's row in the table. *end is where the section before it ends. */
static TernStatus check_section(const TnBlob *b, const TnBlobSection *s, size_t *end, TernError *err) {
    TnSectionName name = tn_section_name(b, s);
    unsigned long long offset = s->offset, size = s->size;
    if (s->flags & ~(uint32_t)TN_SECTION_REQUIRED)
        return tn_fail(err, TERN_ERR_INPUT, "%s: flags are 0x%x, expected 0 or 1", name.text, s->flags);
    if (!tn_section_kind(s->kind) && (s->flags & TN_SECTION_REQUIRED))
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: is required, but this library does not know it",
                       name.text);
    if (s->align == 0 || (s->align & (s->align - 1)) || s->align > 1u << 30)
        return tn_fail(err, TERN_ERR_INPUT, "%s: align is %u, expected a power of two up to 2^30", name.text,
                       s->align);
    if (s->offset % s->align != 0)
        return tn_fail(err, TERN_ERR_INPUT, "%s: offset is %llu, expected a multiple of %u", name.text,
                       offset, s->align);
    if (s->reserved[0] || s->reserved[1])
        return tn_fail(err, TERN_ERR_INPUT, "%s: reserved words are not 0", name.text);
    if (s->offset < *end)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: offset is %llu, expected at least %zu, the end of what is before it", name.text,
                       offset, *end);
    if (!tn_range_ok(s->offset, s->size, b->size))
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: offset %llu with size %llu, expected to end within %zu bytes", name.text, offset,
                       size, b->size);
    char where[64];
    snprintf(where, sizeof where, "before %s", name.text);
    TN_TRY(check_zero(b->data, *end, (size_t)s->offset, where, err));
    *end = (size_t)(s->offset + s->size);
    return TERN_OK;
}

static TernStatus check_hash(const TnBlob *b, const TnBlobSection *s, const void *bytes, size_t n,
                             TernError *err) {
    TnHash128 is = tn_hash128(bytes, n);
    if (memcmp(is.bytes, s->hash, 16) != 0)
        return tn_fail(err, TERN_ERR_INPUT, "%s: the hash is %s, expected %s", tn_section_name(b, s).text,
                       tn_hex(is.bytes).s, tn_hex(s->hash).s);
    return TERN_OK;
}

/* The hash of WGHT is taken over the bytes of CHNK, which are the hashes of its chunks. */
static TernStatus check_section_hash(const TnBlob *b, const TnBlobSection *s, TernError *err) {
    const TnBlobSection *of = s->kind == TN_SECTION_WGHT ? tn_blob_section(b, TN_SECTION_CHNK, 0) : s;
    return check_hash(b, s, tn_blob_bytes(b, of), of->size, err);
}

TernStatus tn_blob_check_copy(const TnBlob *b, const TnBlobSection *s, const void *copy, TernError *err) {
    return check_hash(b, s, copy, s->size, err);
}

/* Checks which kinds of section occur, and how often. */
static TernStatus check_counts(const TnBlob *b, TernError *err) {
    for (size_t i = 0; tn_section_row(i); i++) {
        const TnSectionKind *kind = tn_section_row(i);
        uint32_t n = tn_blob_count(b, kind->number);
        if (n == 0 && kind->needed) return tn_fail(err, TERN_ERR_INPUT, "section %s: is missing", kind->name);
        if (n > 1 && !kind->many)
            return tn_fail(err, TERN_ERR_INPUT, "section %s: comes %u times, expected once", kind->name, n);
    }
    uint32_t progs = tn_blob_count(b, TN_SECTION_PROG), plans = tn_blob_count(b, TN_SECTION_PLAN);
    if (plans != progs)
        return tn_fail(err, TERN_ERR_INPUT, "section PLAN: comes %u times, expected %u, once for every PROG",
                       plans, progs);
    uint64_t chunks = tn_blob_chunks(b), bytes = tn_blob_section(b, TN_SECTION_CHNK, 0)->size;
    if (bytes != chunks * 16)
        return tn_fail(err, TERN_ERR_INPUT,
                       "section CHNK: size is %llu, expected %llu: 16 bytes for every chunk of WGHT",
                       (unsigned long long)bytes, (unsigned long long)chunks * 16);
    return TERN_OK;
}

TernStatus tn_blob_open(const void *data, size_t size, TnBlob *out, TernError *err) {
    TnFileKind kind = tn_file_kind(data, size);
    if (kind.kind != TN_KIND_TERN && tn_file_kind_refuse(kind, "a compiled model (.tern)", err) != TERN_OK) {
        tn_fail_in(err, TERN_ERR_INPUT, "head");
        return TERN_ERR_INPUT;
    }
    TnReader r = tn_reader(data, size);
    const void *p = tn_read(&r, sizeof(TnBlobHead));
    if (!p)
        return tn_fail(err, TERN_ERR_INPUT, "head: the file has %zu bytes, expected at least %zu", size,
                       sizeof(TnBlobHead));
    TnBlobHead head;
    memcpy(&head, p, sizeof head);
    TN_TRY(check_head(&head, size, err));
    TnBlob b = {.data = data, .size = size, .n_sections = head.n_sections};
    p = tn_read(&r, head.n_sections * sizeof(TnBlobSection));
    if (!p)
        return tn_fail(err, TERN_ERR_INPUT, "head: the table of %u sections does not fit in %zu bytes",
                       head.n_sections, size);
    memcpy(b.sections, p, head.n_sections * sizeof(TnBlobSection));
    TN_TRY(check_head_hash(&b, head, err));
    size_t end = r.pos;
    for (uint32_t i = 0; i < b.n_sections; i++) TN_TRY(check_section(&b, &b.sections[i], &end, err));
    TN_TRY(check_zero(b.data, end, size, "after the last section", err));
    TN_TRY(check_counts(&b, err));
    for (uint32_t i = 0; i < b.n_sections; i++) TN_TRY(check_section_hash(&b, &b.sections[i], err));
    *out = b;
    return TERN_OK;
}

bool tn_blob_unchanged(const TnBlob *b) {
    return memcmp(b->data + sizeof(TnBlobHead), b->sections, b->n_sections * sizeof(TnBlobSection)) == 0;
}

const TnBlobSection *tn_blob_section(const TnBlob *b, uint32_t kind, uint32_t index) {
    for (uint32_t i = 0; i < b->n_sections; i++)
        if (b->sections[i].kind == kind && index-- == 0) return &b->sections[i];
    return NULL;
}

uint32_t tn_blob_count(const TnBlob *b, uint32_t kind) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_sections; i++) n += b->sections[i].kind == kind;
    return n;
}

/* Chunks of WGHT */

uint32_t tn_blob_chunks(const TnBlob *b) {
    return (uint32_t)((tn_blob_section(b, TN_SECTION_WGHT, 0)->size + TN_BLOB_CHUNK - 1) / TN_BLOB_CHUNK);
}

static TnHash128 chunk_hash(const TnBlob *b, uint32_t chunk, const void *bytes) {
    uint64_t left = tn_blob_section(b, TN_SECTION_WGHT, 0)->size - (uint64_t)chunk * TN_BLOB_CHUNK;
    return tn_hash128(bytes, left < TN_BLOB_CHUNK ? left : TN_BLOB_CHUNK);
}

static const uint8_t *chunk_expected(const TnBlob *b, uint32_t chunk) {
    return tn_blob_bytes(b, tn_blob_section(b, TN_SECTION_CHNK, 0)) + (size_t)chunk * 16;
}

bool tn_blob_chunk_ok(const TnBlob *b, uint32_t chunk, const void *bytes) {
    return memcmp(chunk_hash(b, chunk, bytes).bytes, chunk_expected(b, chunk), 16) == 0;
}

TernStatus tn_blob_chunk_error(const TnBlob *b, uint32_t chunk, TernError *err) {
    const uint8_t *at =
        tn_blob_bytes(b, tn_blob_section(b, TN_SECTION_WGHT, 0)) + (size_t)chunk * TN_BLOB_CHUNK;
    return tn_fail(err, TERN_ERR_INPUT, "section WGHT: the hash of chunk %u of %u is %s, expected %s", chunk,
                   tn_blob_chunks(b), tn_hex(chunk_hash(b, chunk, at).bytes).s,
                   tn_hex(chunk_expected(b, chunk)).s);
}
