/* Lays a blob out and writes it, to a file or to memory, with the same code.
 *
 * All sizes are known before the first byte of WGHT is made, so the head and the table are complete except for the hashes of
 * the chunks. Those are filled in after WGHT, the last section, has been written. A pipe cannot go back, so for a pipe the
 * weights are made twice: once for their hashes, once to be written. */
#include "codegen/internal.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/os.h"
#include "runtime/base/reader.h"

uint32_t tn_blob_add(TnBlobParts *p, uint32_t kind, uint32_t flags, uint32_t level, uint32_t align,
                     TnBuf *body) {
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 32;
        p->table = tn_xrealloc(p->table, p->cap * sizeof *p->table);
        p->bodies = tn_xrealloc(p->bodies, p->cap * sizeof *p->bodies);
    }
    p->table[p->n] =
        (TnBlobSection){.kind = kind, .flags = flags, .level = level, .align = align, .size = body->len};
    p->bodies[p->n] = *body;
    *body = (TnBuf){0};
    return (uint32_t)p->n++;
}

void tn_blob_free(TnBlobParts *p) {
    for (size_t i = 0; i < p->n; i++) tn_buf_free(&p->bodies[i]);
    free(p->bodies);
    free(p->table);
    *p = (TnBlobParts){0};
}

static TnBlobRange put_string(TnBuf *b, const char *s) {
    TnBlobRange r = {(uint32_t)b->len, s ? (uint32_t)strlen(s) : 0};
    if (s) tn_buf_put(b, s, r.size);
    return r;
}

void tn_blob_meta(const TnFacts *f, uint32_t context, TnBuf *out) {
    TnBlobMeta m = {.n_params = f->n_params, .source_hash = f->source_hash, .pooling = f->pooling};
#define TAKE(count) m.count = f->count;
    TN_MODEL_COUNTS(TAKE)
#undef TAKE
    m.n_context = context;
    tn_buf_grow(out, sizeof m);
    m.arch = put_string(out, f->arch);
    m.name = put_string(out, f->name);
    m.producer = put_string(out, "tern " TERN_VERSION);
    m.desc = put_string(out, f->desc);
    if (f->vocab && f->vocab_bytes) {
        tn_buf_align(out, 64);
        m.vocab = (TnBlobRange){(uint32_t)out->len, (uint32_t)f->vocab_bytes};
        tn_buf_put(out, f->vocab, f->vocab_bytes);
    }
    memcpy(out->data, &m, sizeof m);
}

/* ---- writing */

typedef struct Output {
    TnWriter file;
    uint8_t *memory;     /* NULL: the file */
    TnBuf before, after; /* the blob, in the file */
} Output;

/* Writes bytes at an offset that is not before the end of what was written so far; fills the gap with zeros. */
static TernStatus put(Output *o, uint64_t offset, const void *bytes, size_t n, TernError *err) {
    if (o->memory) {
        if (n) memcpy(o->memory + offset, bytes, n);
        return TERN_OK;
    }
    offset += o->before.len;
    TN_CHECK(offset >= o->file.pos);
    if (offset > o->file.pos) {
        uint64_t gap = offset - o->file.pos;
        static const uint8_t zeros[4096];
        while (gap) {
            size_t k = gap < sizeof zeros ? (size_t)gap : sizeof zeros;
            TN_TRY(tn_writer_put(&o->file, zeros, k, err));
            gap -= k;
        }
    }
    return tn_writer_put(&o->file, bytes, n, err);
}

static TernStatus put_back(Output *o, uint64_t offset, const void *bytes, size_t n, TernError *err) {
    if (!o->memory) return tn_writer_put_at(&o->file, o->before.len + offset, bytes, n, err);
    memcpy(o->memory + offset, bytes, n);
    return TERN_OK;
}

static TernStatus put_chunk(void *user, const void *bytes, size_t n, TernError *err) {
    return tn_writer_put(user, bytes, n, err);
}

static uint64_t lay_out(TnBlobParts *p) {
    uint64_t pos = sizeof(TnBlobHead) + p->n * sizeof(TnBlobSection);
    for (size_t i = 0; i < p->n; i++) {
        pos = tn_round_up(pos, p->table[i].align);
        p->table[i].offset = pos;
        pos += p->table[i].size;
    }
    return pos;
}

static TnBlobHead make_head(const TnBlobParts *p, uint64_t bytes) {
    TnBlobHead h = {.version = TN_BLOB_VERSION,
                    .head_bytes = sizeof h,
                    .probe_int = 0x01020304,
                    .probe_float = -1.5f,
                    .file_bytes = bytes,
                    .n_sections = (uint32_t)p->n,
                    .abi = TN_BLOB_ABI};
    memcpy(h.magic, TN_BLOB_MAGIC, sizeof h.magic);
    TnBuf all = {0};
    tn_buf_put(&all, &h, sizeof h);
    tn_buf_put(&all, p->table, p->n * sizeof *p->table);
    TnHash128 hash = tn_hash128(all.data, all.len);
    tn_buf_free(&all);
    memcpy(h.hash, hash.bytes, sizeof h.hash);
    return h;
}

static TernStatus drop_chunk(void *user, const void *bytes, size_t n, TernError *err) {
    (void)user, (void)bytes, (void)n, (void)err;
    return TERN_OK;
}

static void hash_sections(TnBlobParts *p) {
    size_t chnk = p->n - 2, wght = p->n - 1;
    for (size_t i = 0; i < p->n; i++) {
        const TnBuf *body = &p->bodies[i == wght ? chnk : i];
        TnHash128 h = tn_hash128(body->data, body->len);
        memcpy(p->table[i].hash, h.bytes, sizeof h.bytes);
    }
}

/* Writes everything; CHNK and WGHT are the last two sections. */
static TernStatus write_all(TnBlobParts *p, Output *o, const TnWeightStore *store, const TnWeights *source,
                            const TnProgress *progress, uint64_t bytes, TernError *err) {
    size_t chnk = p->n - 2, wght = p->n - 1, table_bytes = p->n * sizeof *p->table;
    bool once = o->memory || !o->file.direct;
    TnHash128 *hashes = (TnHash128 *)p->bodies[chnk].data;
    TnBlobHead head = {0};
    if (!once) {
        TnStoreSink nowhere = {.put = drop_chunk};
        TN_TRY(tn_store_write(store, source, &nowhere, hashes, progress, err));
        hash_sections(p);
        head = make_head(p, bytes);
    }
    if (o->before.len) TN_TRY(tn_writer_put(&o->file, o->before.data, o->before.len, err));
    TN_TRY(put(o, 0, &head, sizeof head, err));
    TN_TRY(put(o, sizeof head, p->table, table_bytes, err));
    for (size_t i = 0; i < wght; i++)
        TN_TRY(put(o, p->table[i].offset, p->bodies[i].data, p->bodies[i].len, err));
    TN_TRY(put(o, p->table[wght].offset, NULL, 0, err));

    TnStoreSink sink = {
        .memory = o->memory ? o->memory + p->table[wght].offset : NULL, .put = put_chunk, .user = &o->file};
    TN_TRY(tn_store_write(store, source, &sink, hashes, progress, err));
    if (o->after.len) TN_TRY(tn_writer_put(&o->file, o->after.data, o->after.len, err));
    if (!once) return TERN_OK;

    hash_sections(p);
    head = make_head(p, bytes);
    if (p->bodies[chnk].len)
        TN_TRY(put_back(o, p->table[chnk].offset, p->bodies[chnk].data, p->bodies[chnk].len, err));
    TN_TRY(put_back(o, sizeof head, p->table, table_bytes, err));
    return put_back(o, 0, &head, sizeof head, err);
}

TernStatus tn_blob_write(TnBlobParts *p, const TnWeightStore *store, const TnWeights *source,
                         const TnBlobDest *dest, const TnProgress *progress, uint64_t *out_bytes,
                         TernError *err) {
    TN_CHECK(!dest->path != !dest->memory);
    TnBuf hashes = {0}, none = {0};
    size_t n = (size_t)tn_store_chunks(store) * sizeof(TnHash128);
    if (n) tn_buf_grow(&hashes, n);
    tn_blob_add(p, TN_SECTION_CHNK, TN_SECTION_REQUIRED, 0, 64, &hashes);
    uint32_t wght = tn_blob_add(p, TN_SECTION_WGHT, TN_SECTION_REQUIRED, 0,
                                store->bytes >= 8u << 20 ? 2u << 20 : 4096, &none);
    p->table[wght].size = store->bytes;
    if (p->n > TN_BLOB_SECTIONS_MAX)
        return tn_fail(err, TERN_ERR_INPUT,
                       "blob: %zu sections, expected at most %d; compile for fewer feature levels", p->n,
                       TN_BLOB_SECTIONS_MAX);
    uint64_t bytes = lay_out(p);
    Output o = {0};
    if (dest->path) {
        TN_TRY(tn_writer_open(dest->path, &o.file, err));
        if (dest->wrap) dest->wrap->around(dest->wrap->user, bytes, &o.before, &o.after);
        if (dest->wrap && dest->wrap->executable) tn_writer_executable(&o.file);
    } else {
        void *memory;
        TN_TRY(tn_os_map((size_t)bytes, true, &memory, err));
        o.memory = memory;
    }
    TernStatus s = write_all(p, &o, store, source, progress, bytes, err);
    if (dest->path) {
        if (s == TERN_OK) s = tn_writer_commit(&o.file, err);
        if (s != TERN_OK) tn_writer_abort(&o.file);
    } else if (s == TERN_OK) {
        *dest->memory = o.memory;
        *dest->bytes = (size_t)bytes;
    } else {
        tn_os_unmap(o.memory, (size_t)bytes);
    }
    *out_bytes = o.before.len + bytes + o.after.len;
    tn_buf_free(&o.before);
    tn_buf_free(&o.after);
    return s;
}
