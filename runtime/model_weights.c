/* The weights. The workers of a pool check them chunk by chunk, and copy them to the engine's memory if they are not to be
 * used where the file is mapped. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/cgroup.h"
#include "runtime/base/map.h"
#include "runtime/model.h"

/* ---- what is read, and how */

static void mark_chunks(TernModel *m, const TnBlobOperand *o) {
    size_t first = (size_t)(o->offset / TN_BLOB_CHUNK);
    size_t last = (size_t)((o->offset + o->row_bytes - 1) / TN_BLOB_CHUNK);
    memset(m->chunk_used + first, 1, last - first + 1);
}

enum { BY_DECODING = 1, BY_LONG_STEPS = 2 };

static int reading(const TnVariant *v, const TnBlobLaunch *l, const TnBlobOperand *o) {
    if (o->index == TN_WGHT_ROWS || (tn_logits_apart(v) && l->gate_sym == TN_ABI_L)) return 0;
    return v->prog.rows_lo == 1 && o->index != TN_WGHT_EITHER ? BY_DECODING : BY_LONG_STEPS;
}

/* A weight that operands name, and who reads it whole. */
typedef struct Use {
    const TnBlobOperand *of;
    int by;
} Use;
typedef struct Uses {
    TnMap by_place; /* keys: offset and row_bytes of an operand */
    Use *v;
    size_t n, cap;
} Uses;

static void note_use(Uses *u, const TnBlobOperand *o, int by) {
    const char *key = (const char *)o + offsetof(TnBlobOperand, offset);
    size_t bytes = sizeof *o - offsetof(TnBlobOperand, offset);
    uint32_t at = tn_map_get(&u->by_place, key, bytes);
    if (at == TN_MAP_NONE) {
        at = (uint32_t)u->n;
        tn_map_set(&u->by_place, key, bytes, at);
        TN_PUSH(u->v, u->n, u->cap, (Use){o, 0});
    }
    TN_CHECK(u->v);
    u->v[at].by |= by;
}

static void take_rare(TernModel *m, const Uses *u) {
    m->rare = tn_alloc_array(&m->arena, u->n + 1, sizeof *m->rare);
    for (size_t i = 0; i < u->n; i++)
        if (!(u->v[i].by & BY_DECODING)) {
            m->rare[m->n_rare++] =
                (TnRare){(size_t)u->v[i].of->offset, (size_t)u->v[i].of->row_bytes, u->v[i].by == 0};
            m->has_tables = m->has_tables || u->v[i].by == 0;
        }
}

static void each_use(const TernModel *m, Uses *u) {
    for (uint32_t i = 0; i < m->n_variants; i++) {
        const TnVariant *v = &m->variants[i];
        if (v->prog.level != m->level) continue;
        for (uint32_t j = 0; j < v->prog.n_launches; j++) {
            const TnBlobLaunch *l = &v->launches[j];
            for (uint32_t k = 0; k < l->n_reads; k++) {
                const TnBlobOperand *o = &v->operands[l->first_operand + k];
                if (o->space != TN_SPACE_WGHT || o->row_bytes == 0) continue;
                note_use(u, o, reading(v, l, o));
            }
        }
    }
}

static void free_uses(Uses *u) {
    tn_map_free(&u->by_place);
    free(u->v);
}

void tn_model_find_chunks(TernModel *m) {
    Uses u = {0};
    m->chunk_used = tn_alloc(&m->arena, tn_blob_chunks(&m->blob) + 1u);
    each_use(m, &u);
    for (size_t i = 0; i < u.n; i++) mark_chunks(m, u.v[i].of);
    take_rare(m, &u);
    free_uses(&u);
}

/* Where a reader's bytes begin or end. */
typedef struct Edge {
    uint64_t at;
    int reader, step; /* reader: 0 rows, 1 decoding, 2 long steps; step: 1 begins, -1 ends */
} Edge;

static int by_place(const void *a, const void *b) {
    const Edge *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static Edge *edges_of(const Uses *u) {
    Edge *e = tn_xcalloc(2 * u->n + 1, sizeof *e);
    for (size_t i = 0; i < u->n; i++) {
        const TnBlobOperand *o = u->v[i].of;
        int reader = u->v[i].by & BY_DECODING ? 1 : u->v[i].by ? 2 : 0;
        e[2 * i] = (Edge){o->offset, reader, 1};
        e[2 * i + 1] = (Edge){o->offset + o->row_bytes, reader, -1};
    }
    qsort(e, 2 * u->n, sizeof *e, by_place);
    return e;
}

/* Weights may overlap, so each byte counts once, for the reader that keeps it in memory longest. */
void tn_model_sum_weights(const TernModel *m, TernModelMemory *out) {
    Uses u = {0};
    each_use(m, &u);
    Edge *e = edges_of(&u);
    int64_t readers[3] = {0};
    uint64_t at = 0, sums[3] = {0}, total = tn_blob_section(&m->blob, TN_SECTION_WGHT, 0)->size;
    for (size_t i = 0; i < 2 * u.n; at = e[i++].at) {
        int kept = readers[1] ? 1 : readers[2] ? 2 : 0;
        if (readers[kept]) sums[kept] += e[i].at - at;
        readers[e[i].reader] += e[i].step;
    }
    out->rows = sums[0];
    out->whole = sums[1];
    out->longer = sums[2];
    out->unused = total - sums[0] - sums[1] - sums[2];
    free(e);
    free_uses(&u);
}

/* ---- what need not stay in memory
 *
 * Checking a hash reads everything, and what was read is in the process's memory and in the system's cache of files. Most of
 * it is read again for each token; a table of which a token reads a few rows is not, nor are weights of other levels. The
 * process gives such pages back as soon as they are checked. Where the blob does not fit in memory easily, they leave the
 * cache of files too, since they would push out weights that the next token needs. Where there is room they stay there, and
 * the next start does not read them from the disk. */

static bool is_tight(const TernModel *m) {
    uint64_t room = tn_os_free_memory(), limit = tn_memory_limit("");
    uint64_t bytes = tn_blob_section(&m->blob, TN_SECTION_WGHT, 0)->size;
    if (limit && limit < room) room = limit;
    return room < bytes + bytes / 4;
}

static void let_go(const TernModel *m, size_t at, size_t bytes, bool forget) {
    const uint8_t *p = tn_blob_bytes(&m->blob, tn_blob_section(&m->blob, TN_SECTION_WGHT, 0)) + at;
    tn_os_advise_dontneed(p, bytes);
    if (forget) tn_file_forget(&m->file, p, bytes);
}

/* Lets go of what is rare within [at, at + bytes). */
static void let_go_rare(const TernModel *m, size_t at, size_t bytes, bool forget) {
    for (uint32_t i = 0; i < m->n_rare; i++) {
        const TnRare *r = &m->rare[i];
        size_t lo = r->at > at ? r->at : at, end = r->at + r->bytes, hi = end < at + bytes ? end : at + bytes;
        if (lo < hi) let_go(m, lo, hi - lo, forget);
    }
}

static void advise_tables(const TernModel *m, bool random) {
    const uint8_t *stored = tn_blob_bytes(&m->blob, tn_blob_section(&m->blob, TN_SECTION_WGHT, 0));
    for (uint32_t i = 0; i < m->n_rare; i++)
        if (m->rare[i].rows) tn_os_advise_random(stored + m->rare[i].at, m->rare[i].bytes, random);
}

/* Not before the check, which reads tables from end to end. */
static void settle_rare(TernModel *m) {
    if (!m->file.size || m->carried) return;
    let_go_rare(m, 0, SIZE_MAX, m->tight);
    advise_tables(m, true);
    atomic_store(&m->random, true);
}

void tn_model_read_tables(TernModel *m) {
    if (atomic_load_explicit(&m->random, memory_order_relaxed) && atomic_exchange(&m->random, false))
        advise_tables(m, false);
}

void tn_model_let_go(TernModel *m, bool all) {
    if (!atomic_load_explicit(&m->random, memory_order_relaxed)) return;
    for (uint32_t i = 0; i < m->n_rare; i++)
        if (all || m->rare[i].rows) let_go(m, m->rare[i].at, m->rare[i].bytes, false);
    atomic_store(&m->let_go_at, tn_os_file_resident());
}

bool tn_model_has_grown(TernModel *m) {
    const uint64_t most = (uint64_t)32 << 20;
    if (!m->has_tables || !atomic_load_explicit(&m->random, memory_order_relaxed)) return false;
    uint64_t now = tn_os_file_resident(), then = atomic_load(&m->let_go_at);
    if (now < then) atomic_store(&m->let_go_at, now);
    return now > then + most;
}

const TnFile *tn_model_rows_file(const TernModel *m) {
    return atomic_load_explicit(&m->random, memory_order_relaxed) ? &m->file : NULL;
}

/* ---- the check */

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
        size_t bytes = left < TN_BLOB_CHUNK ? left : TN_BLOB_CHUNK;
        bool move = m->carried && m->chunk_used[i];
        if (m->check_weights && !tn_blob_chunk_ok(b, i, stored + at)) note_damage(c, i);
        if (move) carry(c, at, stored + at, bytes);
        if (!m->file.size) continue;
        if (move || !m->chunk_used[i]) /* else only other levels read it */
            let_go(m, at, bytes, m->tight);
        else
            let_go_rare(m, at, bytes, m->tight);
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
    m->tight = m->file.size && is_tight(m);
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
    settle_rare(m);
    return TERN_OK;
}

TernStatus tn_model_check_weights(TernModel *m, TernPool *pool, TernError *err) {
    TernStatus status = TERN_OK;
    pthread_mutex_lock(&m->lock);
    if (m->weights == TN_UNCHECKED && !m->check_weights && !m->carry_weights) {
        m->weights = TN_SOUND;
        m->tight = m->file.size && is_tight(m);
        settle_rare(m);
    }
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
