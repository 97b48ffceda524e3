/* The file of a slot: what `tern run --prompt-cache` keeps of a prompt.
 *
 *   head     128 bytes: what it is, of which model, how much
 *   ids      4 bytes each, then zeros up to a multiple of 64
 *   hashes   16 bytes for each page, then zeros up to a multiple of 64
 *   pages    tern_session_page_bytes each, as tern_session_read_page gives them
 *
 * A cache belongs to the model that made it, and to the code, since another version of Tern may lay a page out differently
 * or fix a bug in a kernel: the head has tern_model_hash. It has no sizes of the session, so the context may be another one.
 * Every byte is covered by a hash: the head by its own, ids and hashes by one in the head, each page by its row. So damage is
 * always noticed, and a file whose hashes are right is one that this program wrote. (A hash is no signature: who can write the
 * file can make the model answer from another beginning than the prompt, which he could do with the prompt as well.)
 * A page is written once and never read back, so the hashes of the pages are only known at the end; they and the head are
 * filled in then, before the file gets its name. */
#include "runtime/generate/slot_file.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/abi/kvs.h"
#include "runtime/base/filekind.h"
#include "runtime/base/hash.h"
#include "runtime/base/options.h"
#include "runtime/base/os.h"
#include "runtime/base/reader.h"
#include "runtime/generate/store.h"

enum { VERSION = 1, ALIGN = 64, POSITIONS_MOST = 1 << 24 };

typedef struct Head {
    uint8_t magic[8];
    uint32_t version, head_bytes;
    uint64_t file_bytes;
    uint32_t n, kv;
    uint64_t page_bytes;
    uint32_t n_vocab, reserved;
    uint8_t model[16], table_hash[16], hash[16];
    uint8_t zeros[32];
} Head;
_Static_assert(sizeof(Head) == 128, "the head has no holes");

static const uint8_t magic[8] = {0x89, 'T', 'P', 'C', '\r', '\n', 0x1a, '\n'};

static uint32_t pages_of(uint32_t n) {
    return (n + TERN_PAGE - 1) / TERN_PAGE;
}

/* Where the parts are, for n positions (at most POSITIONS_MOST). False if that is more than can be addressed. */
typedef struct Layout {
    size_t ids_bytes, table_bytes; /* table: ids and hashes, with their zeros */
    size_t pages, end;
} Layout;
static bool lay_out(uint32_t n, uint64_t page_bytes, Layout *out) {
    size_t pages;
    out->ids_bytes = tn_round_up((size_t)n * 4, ALIGN);
    out->table_bytes = out->ids_bytes + tn_round_up((size_t)pages_of(n) * 16, ALIGN);
    out->pages = sizeof(Head) + out->table_bytes;
    return page_bytes <= SIZE_MAX && tn_mul((size_t)page_bytes, pages_of(n), &pages) &&
           tn_add(out->pages, pages, &out->end);
}

static TnHash128 hash_of_head(const Head *h) {
    Head copy = *h;
    memset(copy.hash, 0, sizeof copy.hash);
    return tn_hash128(&copy, sizeof copy);
}

/* ---- reading */

static TernStatus check_head(const Head *h, size_t size, TernError *err) {
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return tn_fail(err, TERN_ERR_INPUT,
                       "not a prompt cache: it begins with %02x %02x %02x %02x, expected 89 54 50 43",
                       h->magic[0], h->magic[1], h->magic[2], h->magic[3]);
    if (h->version != VERSION)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "version is %u, expected %u", h->version, VERSION);
    TnHash128 hash = hash_of_head(h);
    if (memcmp(hash.bytes, h->hash, sizeof h->hash) != 0)
        return tn_fail(err, TERN_ERR_INPUT, "damaged: the head has another hash than it says");
    if (h->head_bytes != sizeof *h)
        return tn_fail(err, TERN_ERR_INPUT, "head_bytes is %u, expected %zu", h->head_bytes, sizeof *h);
    if (h->file_bytes != size)
        return tn_fail(err, TERN_ERR_INPUT, "has %zu bytes, expected %llu", size,
                       (unsigned long long)h->file_bytes);
    if (h->n == 0 || h->n > POSITIONS_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "n is %u positions, expected 1 to %d", h->n, POSITIONS_MOST);
    if (!tn_kv_type(h->kv))
        return tn_fail(err, TERN_ERR_INPUT, "kv is %u, expected the number of one of %s", h->kv,
                       TN_KVTYPE_NAMES);
    for (size_t i = 0; i < sizeof h->zeros; i++)
        if (h->zeros[i] || h->reserved) return tn_fail(err, TERN_ERR_INPUT, "reserved bytes are not 0");
    return TERN_OK;
}

static TernStatus check_zeros(const uint8_t *p, size_t from, size_t to, TernError *err) {
    for (size_t i = from; i < to; i++)
        if (p[i])
            return tn_fail(err, TERN_ERR_INPUT, "byte %zu is 0x%02x, expected 0", sizeof(Head) + i, p[i]);
    return TERN_OK;
}

static TernStatus check_table(const TnSlotFile *f, const Layout *l, const Head *h, TernError *err) {
    TnHash128 hash = tn_hash128(f->ids, l->table_bytes);
    if (memcmp(hash.bytes, h->table_hash, sizeof h->table_hash) != 0)
        return tn_fail(err, TERN_ERR_INPUT, "damaged: the ids have another hash than the head says");
    TN_TRY(check_zeros(f->ids, (size_t)f->n * 4, l->ids_bytes, err));
    TN_TRY(check_zeros(f->ids, l->ids_bytes + (size_t)f->n_pages * 16, l->table_bytes, err));
    for (uint32_t i = 0; i < f->n; i++)
        if (tn_slot_file_id(f, i) < 0 || (uint32_t)tn_slot_file_id(f, i) >= f->n_vocab)
            return tn_fail(err, TERN_ERR_INPUT, "id %u is %d, expected 0 to %u", i, tn_slot_file_id(f, i),
                           f->n_vocab - 1);
    for (uint32_t i = 0; i < f->n_pages; i++) {
        hash = tn_hash128(f->pages + i * f->page_bytes, f->page_bytes);
        if (memcmp(hash.bytes, f->ids + l->ids_bytes + (size_t)i * 16, 16) != 0)
            return tn_fail(err, TERN_ERR_INPUT, "damaged: page %u of %u has another hash than it should", i,
                           f->n_pages);
    }
    return TERN_OK;
}

TernStatus tn_slot_file_read(const void *bytes, size_t size, TnSlotFile *out, TernError *err) {
    TnReader r = tn_reader(bytes, size);
    Head h;
    Layout l;
    TN_TRY(tn_file_kind_refuse(tn_file_kind(bytes, size), "a prompt cache", err));
    const void *head = tn_read(&r, sizeof h);
    if (!head)
        return tn_fail(err, TERN_ERR_INPUT, "not a prompt cache: it has %zu bytes, expected at least %zu",
                       size, sizeof h);
    memcpy(&h, head, sizeof h);
    TN_TRY(check_head(&h, size, err));
    if (!lay_out(h.n, h.page_bytes, &l) || l.end != size)
        return tn_fail(err, TERN_ERR_INPUT, "has %zu bytes, which do not fit %u positions in pages of %llu",
                       size, h.n, (unsigned long long)h.page_bytes);
    TnSlotFile f = {.n = h.n,
                    .n_pages = pages_of(h.n),
                    .n_vocab = h.n_vocab,
                    .kv = (TernKv)h.kv,
                    .page_bytes = (size_t)h.page_bytes};
    memcpy(f.model.bytes, h.model, sizeof f.model.bytes);
    f.ids = tn_read(&r, l.table_bytes);
    f.pages = tn_read(&r, l.end - l.pages);
    TN_CHECK(f.ids && f.pages);
    TN_TRY(check_table(&f, &l, &h, err));
    *out = f;
    return TERN_OK;
}

int32_t tn_slot_file_id(const TnSlotFile *f, uint32_t i) {
    int32_t id;
    memcpy(&id, f->ids + (size_t)i * 4, sizeof id);
    return id;
}

static TernStatus check_origin(const TnSlotFile *f, const TernGenerator *g, TernError *err) {
    TernHash model = tern_model_hash(g->model);
    if (f->kv != g->kv)
        return tn_fail(err, TERN_ERR_INPUT, "its cache is %s, expected %s", tn_kv_type(f->kv)->name,
                       tn_kv_type(g->kv)->name);
    if (memcmp(model.bytes, f->model.bytes, sizeof model.bytes) != 0)
        return tn_fail(err, TERN_ERR_INPUT,
                       "it was made with another model, or by another build of Tern, expected those in use");
    if (f->n_vocab == g->info.n_vocab && f->page_bytes == tern_session_page_bytes(g->session)) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "it has %u ids in pages of %zu bytes, expected %u and %zu",
                   f->n_vocab, f->page_bytes, g->info.n_vocab, tern_session_page_bytes(g->session));
}

static TernStatus take(TernSlot *k, const TnSlotFile *f, const int32_t *ids, size_t n_ids, TernError *err) {
    TernGenerator *g = k->generator;
    uint32_t n = 0, most = f->n < g->context ? f->n : g->context;
    if (!ids && f->n > g->context)
        return tn_fail(err, TERN_ERR_INPUT, "it has %u positions, but the context has %u", f->n, g->context);
    for (; n < most && (!ids || (n < n_ids && ids[n] == tn_slot_file_id(f, n))); n++)
        k->ids[n] = tn_slot_file_id(f, n);
    for (uint32_t at = 0; at < n; at += TERN_PAGE) {
        tn_store_free_page(g);
        TN_TRY(tern_session_append_page(g->session, k->number, f->pages + at / TERN_PAGE * f->page_bytes,
                                        n - at < TERN_PAGE ? n - at : TERN_PAGE, err));
    }
    tn_store_show(g, k->number, true);
    return TERN_OK;
}

TernStatus tern_slot_load(TernSlot *k, const char *path, const int32_t *ids, size_t n_ids, size_t *out_n,
                          TernError *err) {
    TnFile file;
    TnSlotFile f;
    TN_NEED(path, err);
    if (n_ids && !ids) return tn_fail(err, TERN_ERR_INPUT, "ids is NULL although n_ids is %zu", n_ids);
    TN_TRY(tern_slot_truncate(k, 0, err));
    TN_TRY(tn_file_map(path, &file, err));
    TernStatus st = tn_slot_file_read(file.data, file.size, &f, err);
    if (st == TERN_OK) st = check_origin(&f, k->generator, err);
    if (st == TERN_OK) st = take(k, &f, ids, n_ids, err);
    if (st == TERN_OK && out_n) *out_n = f.n;
    tn_file_unmap(&file);
    if (st == TERN_OK) return TERN_OK;
    tern_session_truncate(k->generator->session, k->number, 0, NULL);
    return tn_fail_in(err, st, "%s", path);
}

/* ---- writing */

/* Writes the pages, and their hashes to `hashes`. */
static TernStatus put_pages(const TernSlot *k, uint32_t n, TnWriter *w, uint8_t *hashes, TernError *err) {
    TernSession *s = k->generator->session;
    size_t bytes = tern_session_page_bytes(s);
    void *page = malloc(bytes);
    if (!page) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a page of %zu bytes", bytes);
    TernStatus st = TERN_OK;
    for (uint32_t i = 0; i < pages_of(n) && st == TERN_OK; i++) {
        uint32_t left = n - i * TERN_PAGE;
        st = tern_session_read_page(s, k->number, i, left < TERN_PAGE ? left : TERN_PAGE, page, err);
        TnHash128 hash = tn_hash128(page, bytes);
        memcpy(hashes + (size_t)i * 16, hash.bytes, sizeof hash.bytes);
        if (st == TERN_OK) st = tn_writer_put(w, page, bytes, err);
    }
    free(page);
    return st;
}

/* table: room for head, ids and hashes, all zero. */
static TernStatus put_all(const TernSlot *k, uint32_t n, const Layout *l, TnWriter *w, uint8_t *table,
                          TernError *err) {
    const TernGenerator *g = k->generator;
    TernHash model = tern_model_hash(g->model);
    Head h = {.version = VERSION,
              .head_bytes = sizeof h,
              .file_bytes = l->end,
              .n = n,
              .kv = (uint32_t)g->kv,
              .page_bytes = tern_session_page_bytes(g->session),
              .n_vocab = g->info.n_vocab};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.model, model.bytes, sizeof model.bytes);
    memcpy(table + sizeof h, k->ids, (size_t)n * 4);
    TN_TRY(tn_writer_put(w, table, l->pages, err));
    TN_TRY(put_pages(k, n, w, table + sizeof h + l->ids_bytes, err));
    TnHash128 hash = tn_hash128(table + sizeof h, l->table_bytes);
    memcpy(h.table_hash, hash.bytes, sizeof hash.bytes);
    hash = hash_of_head(&h);
    memcpy(h.hash, hash.bytes, sizeof hash.bytes);
    memcpy(table, &h, sizeof h);
    TN_TRY(tn_writer_put_at(w, 0, table, l->pages, err));
    return tn_writer_commit(w, err);
}

static TernStatus check_save(const TernSlot *k, size_t n, TernError *err) {
    size_t held;
    tn_error_clear(err);
    if (!k) return tn_fail_null("slot", err);
    TN_TRY(tn_generator_check_idle(k->generator, err));
    (void)tern_slot_ids(k, &held);
    if (n && n <= held) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "n is %zu, expected 1 to the %zu positions of the slot", n, held);
}

TernStatus tern_slot_save(const TernSlot *k, size_t n, const char *path, TernError *err) {
    Layout l;
    TnWriter w;
    TN_TRY(check_save(k, n, err));
    TN_NEED(path, err);
    TN_CHECK(lay_out((uint32_t)n, tern_session_page_bytes(k->generator->session), &l));
    uint8_t *table = calloc(1, l.pages);
    if (!table) return tn_fail(err, TERN_ERR_MEMORY, "no memory for the %zu ids of a slot", n);
    TernStatus st = tn_writer_open(path, &w, err);
    if (st == TERN_OK && w.direct)
        st = tn_fail(err, TERN_ERR_INPUT, "%s: is a pipe or device, expected a file", path);
    if (st == TERN_OK) st = put_all(k, (uint32_t)n, &l, &w, table, err);
    if (st != TERN_OK) tn_writer_abort(&w);
    free(table);
    return st;
}
