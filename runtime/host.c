#include "runtime/host.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/os.h"
#include "runtime/base/reader.h"

/* Memory: an address is a pointer */

static void *at(TnAddress address) {
    return (void *)address;
}

static TernStatus allocate(TnEngine *e, size_t bytes, bool huge, TnAddress *out, TernError *err) {
    (void)e;
    void *memory;
    TN_TRY(tn_os_map(bytes, huge, &memory, err));
    *out = (TnAddress)memory;
    return TERN_OK;
}

static void release(TnEngine *e, TnAddress address, size_t bytes) {
    (void)e;
    tn_os_unmap(at(address), bytes);
}

static TernStatus upload(TnEngine *e, TnAddress to, const void *from, size_t bytes, TernError *err) {
    (void)e, (void)err;
    memcpy(at(to), from, bytes);
    return TERN_OK;
}

/* Pages */

static uint8_t *page_at(const TnCache *c, TnAddress base, uint32_t layer, int32_t page) {
    return (uint8_t *)at(base) + ((size_t)layer * c->n + (size_t)page) * tn_cache_page_bytes(c);
}

static void copy_page(TnEngine *e, TnMemory *m, int32_t to, int32_t from) {
    (void)e;
    const TnCache *c = &m->cache;
    size_t bytes = tn_cache_page_bytes(c);
    for (uint32_t layer = 0; layer < c->layers; layer++) {
        memcpy(page_at(c, m->bases.keys, layer, to), page_at(c, m->bases.keys, layer, from), bytes);
        memcpy(page_at(c, m->bases.values, layer, to), page_at(c, m->bases.values, layer, from), bytes);
    }
}

static void clear_page(TnEngine *e, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi) {
    (void)e;
    const TnCache *c = &m->cache;
    for (uint32_t layer = 0; layer < c->layers; layer++)
        tn_cache_clear(c, page_at(c, m->bases.keys, layer, page), page_at(c, m->bases.values, layer, page),
                       lo, hi);
}

static TernStatus read_page(TnEngine *e, TnMemory *m, int32_t page, void *to, TernError *err) {
    (void)e, (void)err;
    const TnCache *c = &m->cache;
    const TnAddress bases[] = {m->bases.keys, m->bases.values};
    for (uint32_t i = 0; i < 2 * c->layers; i++)
        memcpy((uint8_t *)to + tn_cache_page_offset(c, i / 2, i % 2), page_at(c, bases[i % 2], i / 2, page),
               tn_cache_page_bytes(c));
    return TERN_OK;
}

static TernStatus write_page(TnEngine *e, TnMemory *m, int32_t page, const void *from, TernError *err) {
    (void)e, (void)err;
    const TnCache *c = &m->cache;
    const TnAddress bases[] = {m->bases.keys, m->bases.values};
    for (uint32_t i = 0; i < 2 * c->layers; i++)
        memcpy(page_at(c, bases[i % 2], i / 2, page),
               (const uint8_t *)from + tn_cache_page_offset(c, i / 2, i % 2), tn_cache_page_bytes(c));
    return TERN_OK;
}

/* Counts the values +-65504 among n halves, four at a time. The subtraction is arranged so that no half carries into its
 * neighbour. */
static uint64_t saturated_row(const uint8_t *p, size_t n) {
    const uint64_t sign = 0x8000800080008000u, most = 0x7bff7bff7bff7bffu;
    uint64_t count = 0, w;
    for (; n >= 4; n -= 4, p += 8) {
        memcpy(&w, p, 8);
        w = (((w & ~sign) ^ most) + ~sign) & sign; /* set where it is another value */
        if (w != sign)
            for (uint64_t rest = ~w & sign; rest; rest &= rest - 1) count++;
    }
    for (; n; n--, p += 2) {
        uint16_t h;
        memcpy(&h, p, 2);
        count += (h & 0x7fff) == 0x7bff;
    }
    return count;
}

static uint64_t saturated(TnEngine *e, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi) {
    (void)e;
    const TnCache *c = &m->cache;
    TN_CHECK(c->elem_bytes == 2 && lo < hi && hi <= TN_PAGE_POSITIONS);
    size_t dims = c->head_dim, n = hi - lo;
    uint64_t count = 0;
    for (uint32_t layer = 0; layer < c->layers; layer++) {
        const uint8_t *k = page_at(c, m->bases.keys, layer, page);
        const uint8_t *v = page_at(c, m->bases.values, layer, page);
        for (size_t i = 0; i < c->heads * dims; i++)
            count += saturated_row(k + (i * TN_PAGE_POSITIONS + lo) * 2, n);
        for (uint32_t h = 0; h < c->heads; h++)
            count += saturated_row(v + (h * TN_PAGE_POSITIONS + lo) * dims * 2, n * dims);
    }
    return count;
}

void tn_host_memory(TnEngine *e) {
    e->allocate = allocate;
    e->release = release;
    e->upload = upload;
    e->copy_page = copy_page;
    e->clear_page = clear_page;
    e->read_page = read_page;
    e->write_page = write_page;
    e->saturated = saturated;
}

/* Code */

TernStatus tn_host_load(TnHostCode *c, const TnCode *code, TnHandle *handles, TernError *err) {
    if (code->bytes == 0) return TERN_OK; /* then there are no exports either */
    struct TnHostImage image = {.bytes = code->bytes};
    TN_TRY(tn_os_map_code(code->image, code->bytes, &image.memory, err));
    TN_PUSH(c->images, c->n, c->cap, image);
    for (uint32_t i = 0; i < code->n; i++) handles[i] = (TnHandle)image.memory + code->exports[i].entry;
    return TERN_OK;
}

void tn_host_unload(TnHostCode *c) {
    for (size_t i = 0; i < c->n; i++) tn_os_unmap(c->images[i].memory, c->images[i].bytes);
    free(c->images);
}

bool tn_host_code_scratch(const TnVariant *v, const int64_t *sym_max, size_t *out) {
    size_t pages;
    return tn_mul((size_t)sym_max[TN_ABI_P], (size_t)v->plan.scratch_page, &pages) &&
           tn_add(pages, (size_t)v->plan.scratch, out);
}
