#include "runtime/session.h"

#include "runtime/base/options.h"

/* Making and ending */

static const TnField session_fields[] = {
    TN_FIELD(TernSessionOptions, slots),        TN_FIELD(TernSessionOptions, context),
    TN_FIELD(TernSessionOptions, batch),        TN_FIELD(TernSessionOptions, wants),
    TN_FIELD(TernSessionOptions, kv),           TN_FIELD(TernSessionOptions, memory),
    TN_FIELD(TernSessionOptions, memory_bytes), TN_FIELD(TernSessionOptions, hidden),
    TN_FIELD(TernSessionOptions, pages)};
static const TnShape session_shape = TN_SHAPE(TernSessionOptions, session_fields);

static const TnField bytes_fields[] = {
    TN_FIELD(TernSessionBytes, total),   TN_FIELD(TernSessionBytes, arena),
    TN_FIELD(TernSessionBytes, scratch), TN_FIELD(TernSessionBytes, cache),
    TN_FIELD(TernSessionBytes, tables),  TN_FIELD(TernSessionBytes, device)};
static const TnField pages_fields[] = {TN_FIELD(TernSessionPages, total), TN_FIELD(TernSessionPages, free),
                                       TN_FIELD(TernSessionPages, shared)};
static const TnShape pages_shape = TN_SHAPE(TernSessionPages, pages_fields);

static const TnShape bytes_shape = TN_SHAPE(TernSessionBytes, bytes_fields);

static TernStatus take_options(const TernModel *m, const TernPool *pool, const TernSessionOptions *options,
                               TernSessionOptions *o, TernError *err) {
    tn_error_clear(err);
    if (!m || !pool)
        return tn_fail(err, TERN_ERR_INPUT, "a session needs a model and a pool, the %s is NULL",
                       m ? "pool" : "model");
    TN_TRY(tn_options_take(&session_shape, options, o, err));
    if (!o->memory && o->memory_bytes)
        return tn_fail(err, TERN_ERR_INPUT, "TernSessionOptions.memory is NULL although memory_bytes is %zu",
                       o->memory_bytes);
    return TERN_OK;
}

TernStatus tern_session_bytes(const TernModel *m, const TernPool *pool, const TernSessionOptions *options,
                              TernSessionBytes *out, TernError *err) {
    TernSessionOptions o = {0};
    TnSessionPlan plan;
    TN_TRY(take_options(m, pool, options, &o, err));
    TN_NEED(out, err);
    TN_TRY(tn_session_plan(m, pool, &o, &plan, err));
    return tn_options_give(&bytes_shape, &plan.bytes, out, err);
}

/* The blocks that a session has allocated. */
typedef struct Blocks {
    TnAddress host, own; /* 0: none */
} Blocks;

static void release(TnEngine *e, const TernSessionBytes *b, Blocks blocks) {
    if (blocks.host && e->apart && e->unpin) e->unpin(e, (void *)blocks.host, b->total);
    if (blocks.host && e->apart && !e->unpin) tn_os_unmap((void *)blocks.host, b->total);
    if (blocks.host && !e->apart) e->release(e, blocks.host, b->total);
    if (blocks.own) e->release(e, blocks.own, b->device);
}

/* A huge page is resident whole once a byte of it is used. A layer has its keys in one place and its values in another, so
 * short texts would use one huge page of each: hundreds of megabytes of an 8B for a single position. So the first part of
 * each lies in small pages, and only texts that are longer than it use huge ones. */
static void spare_first_pages(const TernModel *m, const TnSessionPlan *p, uint8_t *host) {
    enum { FIRST = 2 << 20, SMALL = 4096 };
    uint32_t n = m->meta.facts.n_layers;
    size_t end = p->bytes.total, layer = (p->values - p->keys) / (n ? n : 1);
    for (uint32_t i = 0; i < 2 * n; i++) {
        size_t at = (i < n ? p->keys : p->values) + i % n * layer, from = at / SMALL * SMALL;
        size_t bytes = at - from + (layer < FIRST ? layer : FIRST);
        tn_os_advise_small(host + from, bytes < end - from ? bytes : end - from);
    }
}

static TernStatus allocate(const TernModel *m, const TnSessionPlan *p, bool given, Blocks *out,
                           TernError *err) {
    const TernSessionBytes *b = &p->bytes;
    TnEngine *e = m->engine;
    void *host = NULL;
    if (!e->apart) {
        if (given) return TERN_OK;
        TN_TRY(e->allocate(e, b->total, m->huge, &out->host, err));
        if (m->huge) spare_first_pages(m, p, (uint8_t *)out->host);
        return TERN_OK;
    }
    if (!given) TN_TRY(e->pin ? e->pin(e, b->total, &host, err) : tn_os_map(b->total, false, &host, err));
    out->host = (TnAddress)host;
    return e->allocate(e, b->device, m->huge, &out->own, err);
}

/* How many slots can be full at once: fewer than there are if others only keep beginnings. */
static uint32_t whole_slots(const TnSessionPlan *p) {
    uint32_t pages = (p->context + TERN_PAGE - 1) / TERN_PAGE, n = p->pages / pages;
    return n < p->slots ? n + (n == 0) : p->slots;
}

TernStatus tern_session_create(TernModel *m, TernPool *pool, const TernSessionOptions *options,
                               TernSession **out, TernError *err) {
    TernSessionOptions o = {0};
    TnSessionPlan plan;
    TN_TRY(take_options(m, pool, options, &o, err));
    TN_NEED(out, err);
    TN_TRY(tn_session_plan(m, pool, &o, &plan, err));
    if (o.memory && ((uintptr_t)o.memory % 64 != 0 || o.memory_bytes < plan.bytes.total))
        return tn_fail(
            err, TERN_ERR_INPUT,
            "TernSessionOptions.memory: %zu bytes at an address with remainder %u, expected %llu at "
            "a multiple of 64",
            o.memory_bytes, (unsigned)((uintptr_t)o.memory % 64), (unsigned long long)plan.bytes.total);
    TN_TRY(tn_model_add_session(m, &plan.bytes, whole_slots(&plan), plan.context, err));
    Blocks blocks = {0};
    TernStatus status = tn_model_check_weights(m, pool, err);
    if (status == TERN_OK) status = allocate(m, &plan, o.memory, &blocks, err);
    TernSession *s = o.memory ? o.memory : (void *)blocks.host;
    if (status == TERN_OK) status = tn_session_bind(&plan, m, pool, s, !o.memory, blocks.own, err);
    if (status != TERN_OK) {
        release(m->engine, &plan.bytes, blocks);
        tn_model_remove_session(m, &plan.bytes);
        return status;
    }
    s->owned = blocks.host != 0;
    *out = s;
    return TERN_OK;
}

void tern_session_destroy(TernSession *s) {
    if (!s) return;
    TnEngine *e = s->engine;
    TernSessionBytes bytes = s->bytes; /* s lies in what is released */
    Blocks blocks = {s->owned ? (TnAddress)s : 0, s->own};
    if (e->unbind) e->unbind(e, &s->memory);
    tn_model_remove_session(s->model, &bytes);
    release(e, &bytes, blocks);
}

/* Slots */

uint32_t tern_session_length(const TernSession *s, uint32_t slot) {
    return s && slot < s->slots ? s->pages.length[slot] : 0;
}

uint64_t tern_session_saturated(const TernSession *s) {
    return s->saturated + tn_pages_saturated(&s->pages);
}

static TernStatus check_slot(const TernSession *s, uint32_t slot, TernError *err) {
    tn_error_clear(err);
    if (!s) return tn_fail_null("session", err);
    if (s->stepping) return tn_fail(err, TERN_ERR_INPUT, "a step of this session is under way");
    if (slot < s->slots) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "slot is %u, expected 0 to %u", slot, s->slots - 1);
}

TernStatus tern_session_truncate(TernSession *s, uint32_t slot, uint32_t n, TernError *err) {
    TN_TRY(check_slot(s, slot, err));
    if (n > s->pages.length[slot])
        return tn_fail(err, TERN_ERR_INPUT, "slot %u holds %u positions, expected at least the %u to keep",
                       slot, s->pages.length[slot], n);
    tn_pages_truncate(&s->pages, slot, n);
    return TERN_OK;
}

TernStatus tern_session_fork(TernSession *s, uint32_t from, uint32_t to, TernError *err) {
    TN_TRY(check_slot(s, from, err));
    TN_TRY(check_slot(s, to, err));
    tn_pages_fork(&s->pages, from, to);
    return TERN_OK;
}

TernStatus tern_session_pages(const TernSession *s, TernSessionPages *out, TernError *err) {
    tn_error_clear(err);
    if (!s) return tn_fail_null("session", err);
    TN_NEED(out, err);
    TernSessionPages full = {
        .total = s->pages.n, .free = tn_pages_free(&s->pages), .shared = s->pages.n_shared};
    return tn_options_give(&pages_shape, &full, out, err);
}

/* Pages in and out */

_Static_assert((int)TERN_PAGE == TN_PAGE_POSITIONS, "tern.h and program.h agree");

size_t tern_session_page_bytes(const TernSession *s) {
    return s ? 2 * (size_t)s->memory.cache.layers * tn_cache_page_bytes(&s->memory.cache) : 0;
}

static TernStatus check_count(uint32_t n, TernError *err) {
    if (n && n <= TN_PAGE_POSITIONS) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "n is %u, expected 1 to %u positions", n, TN_PAGE_POSITIONS);
}

TernStatus tern_session_read_page(TernSession *s, uint32_t slot, uint32_t page, uint32_t n, void *out,
                                  TernError *err) {
    TN_TRY(check_slot(s, slot, err));
    TN_TRY(check_count(n, err));
    TN_NEED(out, err);
    uint64_t first = (uint64_t)page * TN_PAGE_POSITIONS, held = s->pages.length[slot];
    if (first + n > held)
        return tn_fail(err, TERN_ERR_INPUT, "slot %u holds %u positions, expected at least %llu", slot,
                       (uint32_t)held, (unsigned long long)(first + n));
    TnCache *c = &s->memory.cache;
    TN_TRY(
        s->engine->read_page(s->engine, &s->memory, tn_pages_at(&s->pages, slot, (uint32_t)first), out, err));
    for (uint32_t layer = 0; n < TN_PAGE_POSITIONS && layer < c->layers; layer++)
        tn_cache_clear(c, (uint8_t *)out + tn_cache_page_offset(c, layer, 0),
                       (uint8_t *)out + tn_cache_page_offset(c, layer, 1), n, TN_PAGE_POSITIONS);
    return TERN_OK;
}

TernStatus tern_session_append_page(TernSession *s, uint32_t slot, const void *bytes, uint32_t n,
                                    TernError *err) {
    TN_TRY(check_slot(s, slot, err));
    TN_TRY(check_count(n, err));
    TN_NEED(bytes, err);
    TnPages *p = &s->pages;
    uint32_t held = p->length[slot];
    if (held % TN_PAGE_POSITIONS || n > s->context - held)
        return tn_fail(err, TERN_ERR_INPUT,
                       "slot %u holds %u of %u positions, expected a multiple of %u and room for %u more",
                       slot, held, s->context, TN_PAGE_POSITIONS, n);
    if (tn_pages_free(p) == 0)
        return tn_fail(err, TERN_ERR_INPUT, "no page of the cache is free, expected 1 of its %u", p->n);
    int32_t page = tn_pages_append_page(p, slot, n);
    TernStatus st = s->engine->write_page(s->engine, &s->memory, page, bytes, err);
    if (st != TERN_OK) {
        tn_pages_truncate(p, slot, held);
        return st;
    }
    if (n < TN_PAGE_POSITIONS) s->engine->clear_page(s->engine, &s->memory, page, n, TN_PAGE_POSITIONS);
    p->used[page] = (uint8_t)n;
    return TERN_OK;
}
