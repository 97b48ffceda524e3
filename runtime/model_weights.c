/* The weights. The workers of a pool check them chunk by chunk, and copy them to the engine's memory if they are not to be
 * used where the file is mapped. */
#include <stdatomic.h>
#include <string.h>
#include "runtime/model.h"

void tn_model_find_chunks(TernModel *m) {
    m->chunk_used = tn_alloc(&m->arena, tn_blob_chunks(&m->blob) + 1u);
    for (uint32_t i = 0; i < m->n_variants; i++) {
        const TnVariant *v = &m->variants[i];
        if (v->prog.level != m->level) continue;
        for (uint32_t j = 0; j < v->prog.n_operands; j++) {
            const TnBlobOperand *o = &v->operands[j];
            if (o->space != TN_SPACE_WGHT || o->row_bytes == 0) continue;
            size_t first = (size_t)(o->offset / TN_BLOB_CHUNK);
            size_t last = (size_t)((o->offset + o->row_bytes - 1) / TN_BLOB_CHUNK);
            memset(m->chunk_used + first, 1, last - first + 1);
        }
    }
}

typedef struct Check {
    const TernModel *m;
    uint32_t n;
    _Atomic uint32_t next, damaged; /* damaged: the first chunk whose hash is wrong, or n */
    atomic_flag failed;             /* an upload has failed; the first to fail fills in the two below */
    TernStatus status;
    TernError error;
} Check;

static void note_damage(Check *c, uint32_t chunk) {
    uint32_t seen = atomic_load(&c->damaged);
    while (chunk < seen && !atomic_compare_exchange_weak(&c->damaged, &seen, chunk)) {
    }
}

static void carry(Check *c, size_t at, const uint8_t *from, size_t bytes) {
    const TernModel *m = c->m;
    TernError error = {0};
    TernStatus s = m->engine->upload(m->engine, m->carried + at, from, bytes, &error);
    if (s == TERN_OK || atomic_flag_test_and_set(&c->failed)) return;
    c->status = s;
    c->error = error;
}

/* Takes chunks one by one: verifies each, copies it, and releases its pages in the file. So the weights are never resident
 * twice, except for one chunk for each worker. */
static void check_chunks(void *user, uint32_t worker) {
    (void)worker;
    Check *c = user;
    const TernModel *m = c->m;
    const TnBlob *b = &m->blob;
    const TnBlobSection *wght = tn_blob_section(b, TN_SECTION_WGHT, 0);
    const uint8_t *stored = tn_blob_bytes(b, wght);
    for (uint32_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;) {
        size_t at = (size_t)i * TN_BLOB_CHUNK, left = (size_t)wght->size - at;
        bool move = m->carried && m->chunk_used[i];
        if (m->check_weights && !tn_blob_chunk_ok(b, i, stored + at)) note_damage(c, i);
        if (move) carry(c, at, stored + at, left < TN_BLOB_CHUNK ? left : TN_BLOB_CHUNK);
        /* A chunk that only other levels read need not stay in memory. The last chunk is shorter and stays. */
        if (m->file.size && (move || !m->chunk_used[i]) && i + 1 < c->n)
            tn_os_advise_dontneed(stored + at, TN_BLOB_CHUNK);
    }
}

TnAddress tn_model_weights(const TernModel *m) {
    if (m->carried) return m->carried;
    return (TnAddress)tn_blob_bytes(&m->blob, tn_blob_section(&m->blob, TN_SECTION_WGHT, 0));
}

void tn_model_drop_weights(TernModel *m) {
    if (m->carried) m->engine->release(m->engine, m->carried, m->carried_bytes);
    m->carried = 0;
}

/* The pool must be acquired. */
static TernStatus check_weights(TernModel *m, TernPool *pool, TernError *err) {
    uint32_t n = tn_blob_chunks(&m->blob);
    if (m->carry_weights && n) {
        m->carried_bytes = (size_t)tn_blob_section(&m->blob, TN_SECTION_WGHT, 0)->size;
        TernStatus s = m->engine->allocate(m->engine, m->carried_bytes, m->huge, &m->carried, err);
        if (s != TERN_OK)
            return tn_fail_in(err, s, "%s: %s for the weights", m->name,
                              m->engine->apart ? "memory" : "huge pages");
    }
    Check c = {.m = m, .n = n, .failed = ATOMIC_FLAG_INIT};
    atomic_init(&c.next, 0);
    atomic_init(&c.damaged, n);
    tn_pool_run(pool, check_chunks, &c);
    if (c.status != TERN_OK) {
        tn_model_drop_weights(m);
        return tn_fail(err, c.status, "%s: weights: %s", m->name, c.error.text);
    }
    m->damaged_chunk = atomic_load(&c.damaged);
    m->weights = m->damaged_chunk < n ? TN_DAMAGED : TN_SOUND;
    return TERN_OK;
}

TernStatus tn_model_check_weights(TernModel *m, TernPool *pool, TernError *err) {
    if (!m->check_weights && !m->carry_weights) return TERN_OK;
    TernStatus status = TERN_OK;
    pthread_mutex_lock(&m->lock);
    if (m->weights == TN_UNCHECKED && !tn_pool_acquire(pool)) {
        status = tn_fail(err, TERN_ERR_INPUT, "the pool is busy with another session's step");
    } else if (m->weights == TN_UNCHECKED) {
        status = check_weights(m, pool, err);
        tn_pool_release(pool);
    }
    if (m->weights == TN_DAMAGED) {
        tn_blob_chunk_error(&m->blob, m->damaged_chunk, err);
        status = tn_fail_in(err, TERN_ERR_INPUT, "%s", m->name);
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}
