/* Memory of the device, the way of weights to it, and pages of the cache.
 *
 * Weights arrive chunk by chunk from the workers that check them. Each chunk is cut into pieces that go through a ring of
 * pinned memory: a thread copies a piece into a place of the ring and starts its transfer, and does not wait for it until
 * that place is needed again. The first session waits for the rest (tn_cuda_settle). */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/reader.h"
#include "runtime/cuda/cuda_engine.h"

enum { REGION = 4096 }; /* TnEngine.allocate: the driver promises less */

/* ---- memory */

/* Says the sizes, if the driver still answers. */
static TernStatus no_memory(TnCudaEngine *e, TnCudaCall call, int result, size_t bytes, TernError *err) {
    size_t left = 0, total = 0;
    if (result != TN_CUDA_OUT_OF_MEMORY || e->device.cu.MemGetInfo(&left, &total) != 0)
        return tn_cuda_failed(&e->device.cu, e->engine.name, call, result, err);
    return tn_fail(err, TERN_ERR_MEMORY, "%s: no memory for %zu bytes, %zu of %zu are free", e->engine.name,
                   bytes, left, total);
}

static TernStatus take(TnCudaEngine *e, size_t bytes, TnCudaBlock *out, TernError *err) {
    TnCudaDevice *d = &e->device;
    size_t padded;
    if (!tn_add(bytes, REGION, &padded)) padded = SIZE_MAX;
    int result = d->cu.MemAlloc(&out->base, padded);
    if (result != 0) return no_memory(e, TN_CUDA_MemAlloc, result, bytes, err);
    out->at = (out->base + REGION - 1) / REGION * REGION;
    TernStatus s = TN_CU(d, err, Fill, (out->at, 0, bytes, NULL));
    if (s == TERN_OK) s = TN_CU(d, err, StreamWait, (NULL));
    if (s != TERN_OK) d->cu.MemFree(out->base);
    return s;
}

static TernStatus allocate(TnEngine *engine, size_t bytes, bool huge, TnAddress *out, TernError *err) {
    (void)huge; /* the driver chooses the pages */
    TnCudaEngine *e = (TnCudaEngine *)engine;
    TnCudaBlock block;
    TN_TRY(tn_cuda_enter(&e->device, err));
    TernStatus s = take(e, bytes, &block, err);
    tn_cuda_leave(&e->device);
    if (s != TERN_OK) return s;
    pthread_mutex_lock(&e->lock);
    TN_PUSH(e->blocks, e->n_blocks, e->cap_blocks, block);
    pthread_mutex_unlock(&e->lock);
    *out = (TnAddress)block.at;
    return TERN_OK;
}

static void release(TnEngine *engine, TnAddress at, size_t bytes) {
    (void)bytes;
    TnCudaEngine *e = (TnCudaEngine *)engine;
    pthread_mutex_lock(&e->lock);
    size_t i = 0;
    while (i < e->n_blocks && e->blocks[i].at != at) i++;
    TN_CHECK(i < e->n_blocks);
    uint64_t base = e->blocks[i].base;
    e->blocks[i] = e->blocks[--e->n_blocks];
    pthread_mutex_unlock(&e->lock);
    if (tn_cuda_enter(&e->device, NULL) != TERN_OK) return; /* then the context is gone, with its memory */
    e->device.cu.MemFree(base);
    tn_cuda_leave(&e->device);
}

static TernStatus pin(TnEngine *engine, size_t bytes, void **out, TernError *err) {
    TnCudaEngine *e = (TnCudaEngine *)engine;
    TN_TRY(tn_cuda_enter(&e->device, err));
    int result = e->device.cu.MemHostAlloc(out, bytes, 0);
    TernStatus s = result == 0 ? TERN_OK : no_memory(e, TN_CUDA_MemHostAlloc, result, bytes, err);
    tn_cuda_leave(&e->device);
    if (s == TERN_OK) memset(*out, 0, bytes);
    return s;
}

static void unpin(TnEngine *engine, void *memory, size_t bytes) {
    (void)bytes;
    TnCudaEngine *e = (TnCudaEngine *)engine;
    if (tn_cuda_enter(&e->device, NULL) != TERN_OK) return;
    e->device.cu.MemFreeHost(memory);
    tn_cuda_leave(&e->device);
}

/* ---- uploads */

/* The lock is held, and the context entered. */
static void free_ring(TnCudaEngine *e) {
    const TnCuda *cu = &e->device.cu;
    TnCudaRing *r = &e->ring;
    for (int i = 0; i < TN_CUDA_RING; i++)
        if (r->pieces[i].sent) cu->EventDestroy(r->pieces[i].sent);
    if (r->stream) cu->StreamDestroy(r->stream);
    if (r->memory) cu->MemFreeHost(r->memory);
    *r = (TnCudaRing){0};
}

/* The lock is held. */
static TernStatus make_ring(TnCudaEngine *e, TernError *err) {
    TnCudaDevice *d = &e->device;
    TnCudaRing *r = &e->ring;
    void *memory;
    if (r->memory) return TERN_OK;
    TernStatus s = TN_CU(d, err, StreamCreate, (&r->stream, TN_CUDA_STREAM_APART));
    for (int i = 0; s == TERN_OK && i < TN_CUDA_RING; i++)
        s = TN_CU(d, err, EventCreate, (&r->pieces[i].sent, TN_CUDA_EVENT_WITHOUT_TIME));
    if (s == TERN_OK)
        s = TN_CU(d, err, MemHostAlloc, (&memory, (size_t)TN_CUDA_RING * TN_CUDA_RING_BYTES, 0));
    if (s == TERN_OK)
        r->memory = memory;
    else
        free_ring(e);
    return s;
}

/* Waits for a piece that no thread fills in. The lock is held. */
static TernStatus take_piece(TnCudaEngine *e, uint32_t *out, TernError *err) {
    TnCudaRing *r = &e->ring;
    TN_TRY(make_ring(e, err));
    uint32_t i = r->next++ % TN_CUDA_RING;
    while (r->pieces[i].busy) pthread_cond_wait(&e->piece_free, &e->lock);
    r->pieces[i].busy = true;
    *out = i;
    return TERN_OK;
}

static TernStatus send(TnCudaEngine *e, uint32_t i, uint64_t to, const uint8_t *from, size_t bytes,
                       TernError *err) {
    TnCudaDevice *d = &e->device;
    TnCudaRing *r = &e->ring;
    uint8_t *piece = r->memory + (size_t)i * TN_CUDA_RING_BYTES;
    TN_TRY(TN_CU(d, err, EventWait, (r->pieces[i].sent))); /* at once if it was never recorded */
    memcpy(piece, from, bytes);
    TN_TRY(TN_CU(d, err, ToDevice, (to, piece, bytes, r->stream)));
    return TN_CU(d, err, EventRecord, (r->pieces[i].sent, r->stream));
}

static TernStatus upload_piece(TnCudaEngine *e, uint64_t to, const uint8_t *from, size_t bytes,
                               TernError *err) {
    uint32_t i;
    pthread_mutex_lock(&e->lock);
    TernStatus s = take_piece(e, &i, err);
    pthread_mutex_unlock(&e->lock);
    if (s != TERN_OK) return s;
    s = send(e, i, to, from, bytes, err);
    pthread_mutex_lock(&e->lock);
    e->ring.pieces[i].busy = false;
    pthread_cond_broadcast(&e->piece_free);
    pthread_mutex_unlock(&e->lock);
    return s;
}

static TernStatus upload(TnEngine *engine, TnAddress to, const void *from, size_t bytes, TernError *err) {
    TnCudaEngine *e = (TnCudaEngine *)engine;
    TN_TRY(tn_cuda_enter(&e->device, err));
    TernStatus s = TERN_OK;
    for (size_t at = 0, n; s == TERN_OK && at < bytes; at += n) {
        n = bytes - at < TN_CUDA_RING_BYTES ? bytes - at : TN_CUDA_RING_BYTES;
        s = upload_piece(e, to + at, (const uint8_t *)from + at, n, err);
    }
    tn_cuda_leave(&e->device);
    return s;
}

TernStatus tn_cuda_settle(TnCudaEngine *e, TernError *err) {
    pthread_mutex_lock(&e->lock);
    TernStatus s = e->ring.stream ? TN_CU(&e->device, err, StreamWait, (e->ring.stream)) : TERN_OK;
    free_ring(e);
    pthread_mutex_unlock(&e->lock);
    return s;
}

/* ---- pages */

/* A failure is kept for the next run. */
static void keep(TnCudaSession *s, TernStatus status, const TernError *error) {
    if (status == TERN_OK || s->failed != TERN_OK) return;
    s->failed = status;
    s->error = *error;
}

static uint64_t page_at(const TnCache *c, TnAddress base, uint32_t layer, int32_t page) {
    return base + ((size_t)layer * c->n + (size_t)page) * tn_cache_page_bytes(c);
}

static TernStatus copy_layers(TnCudaDevice *d, const TnMemory *m, int32_t to, int32_t from, TernError *err) {
    const TnCache *c = &m->cache;
    const TnCudaSession *s = m->own;
    const TnAddress bases[] = {m->bases.keys, m->bases.values};
    for (uint32_t i = 0; i < 2 * c->layers; i++)
        TN_TRY(TN_CU(d, err, Within,
                     (page_at(c, bases[i % 2], i / 2, to), page_at(c, bases[i % 2], i / 2, from),
                      tn_cache_page_bytes(c), s->stream)));
    return TERN_OK;
}

static void copy_page(TnEngine *engine, TnMemory *m, int32_t to, int32_t from) {
    TnCudaDevice *d = &((TnCudaEngine *)engine)->device;
    TernError error = {0};
    TernStatus s = tn_cuda_enter(d, &error);
    if (s == TERN_OK) {
        s = copy_layers(d, m, to, from, &error);
        tn_cuda_leave(d);
    }
    keep(m->own, s, &error);
}

/* Clears `width` bytes in each of n rows. */
static TernStatus clear_rows(TnCudaDevice *d, const TnMemory *m, uint64_t at, size_t pitch, size_t width,
                             size_t n, TernError *err) {
    if (width == 0) return TERN_OK;
    return TN_CU(d, err, FillRows, (at, pitch, 0, width, n, ((TnCudaSession *)m->own)->stream));
}

/* A head's keys are rows of dimensions with 64 positions each, its values rows of positions; scales follow both. */
static TernStatus clear_head(TnCudaDevice *d, const TnMemory *m, uint64_t key, uint64_t value, uint32_t lo,
                             uint32_t hi, TernError *err) {
    const TnCache *c = &m->cache;
    size_t elem = c->elem_bytes, row = TN_PAGE_POSITIONS * elem, column = c->head_dim * elem, n = hi - lo;
    size_t codes = c->head_dim * row, scale = c->scale_bytes;
    TN_TRY(clear_rows(d, m, key + lo * elem, row, n * elem, c->head_dim, err));
    TN_TRY(clear_rows(d, m, value + lo * column, n * column, n * column, 1, err));
    TN_TRY(clear_rows(d, m, key + codes + lo * scale, n * scale, n * scale, 1, err));
    return clear_rows(d, m, value + codes + lo * scale, n * scale, n * scale, 1, err);
}

static TernStatus clear_layers(TnCudaDevice *d, const TnMemory *m, int32_t page, uint32_t lo, uint32_t hi,
                               TernError *err) {
    const TnCache *c = &m->cache;
    size_t head = tn_cache_page_bytes(c) / c->heads;
    for (uint32_t layer = 0; layer < c->layers; layer++)
        for (uint32_t h = 0; h < c->heads; h++)
            TN_TRY(clear_head(d, m, page_at(c, m->bases.keys, layer, page) + h * head,
                              page_at(c, m->bases.values, layer, page) + h * head, lo, hi, err));
    return TERN_OK;
}

static void clear_page(TnEngine *engine, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi) {
    TnCudaDevice *d = &((TnCudaEngine *)engine)->device;
    TernError error = {0};
    TernStatus s = tn_cuda_enter(d, &error);
    if (s == TERN_OK) {
        s = clear_layers(d, m, page, lo, hi, &error);
        tn_cuda_leave(d);
    }
    keep(m->own, s, &error);
}

/* Waits for the page: the caller's memory need not be pinned. */
static TernStatus read_layers(TnCudaDevice *d, const TnMemory *m, int32_t page, uint8_t *to, TernError *err) {
    const TnCache *c = &m->cache;
    const TnCudaSession *s = m->own;
    const TnAddress bases[] = {m->bases.keys, m->bases.values};
    for (uint32_t i = 0; i < 2 * c->layers; i++)
        TN_TRY(TN_CU(d, err, ToHost,
                     (to + tn_cache_page_offset(c, i / 2, i % 2), page_at(c, bases[i % 2], i / 2, page),
                      tn_cache_page_bytes(c), s->stream)));
    return TN_CU(d, err, StreamWait, (s->stream));
}

static TernStatus write_layers(TnCudaDevice *d, const TnMemory *m, int32_t page, const uint8_t *from,
                               TernError *err) {
    const TnCache *c = &m->cache;
    const TnCudaSession *s = m->own;
    const TnAddress bases[] = {m->bases.keys, m->bases.values};
    for (uint32_t i = 0; i < 2 * c->layers; i++)
        TN_TRY(TN_CU(d, err, ToDevice,
                     (page_at(c, bases[i % 2], i / 2, page), from + tn_cache_page_offset(c, i / 2, i % 2),
                      tn_cache_page_bytes(c), s->stream)));
    return TN_CU(d, err, StreamWait, (s->stream));
}

static TernStatus read_page(TnEngine *engine, TnMemory *m, int32_t page, void *to, TernError *err) {
    TnCudaDevice *d = &((TnCudaEngine *)engine)->device;
    TN_TRY(tn_cuda_enter(d, err));
    TernStatus s = read_layers(d, m, page, to, err);
    tn_cuda_leave(d);
    return s;
}

static TernStatus write_page(TnEngine *engine, TnMemory *m, int32_t page, const void *from, TernError *err) {
    TnCudaDevice *d = &((TnCudaEngine *)engine)->device;
    TN_TRY(tn_cuda_enter(d, err));
    TernStatus s = write_layers(d, m, page, from, err);
    tn_cuda_leave(d);
    return s;
}

void tn_cuda_memory(TnCudaEngine *e) {
    e->engine.allocate = allocate;
    e->engine.release = release;
    e->engine.pin = pin;
    e->engine.unpin = unpin;
    e->engine.upload = upload;
    e->engine.copy_page = copy_page;
    e->engine.clear_page = clear_page;
    e->engine.read_page = read_page;
    e->engine.write_page = write_page;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->piece_free, NULL);
}

void tn_cuda_memory_close(TnCudaEngine *e) {
    TN_CHECK(e->n_blocks == 0); /* memory is released before */
    if (tn_cuda_enter(&e->device, NULL) == TERN_OK) {
        free_ring(e);
        tn_cuda_leave(&e->device);
    }
    free(e->blocks);
    pthread_cond_destroy(&e->piece_free);
    pthread_mutex_destroy(&e->lock);
}
