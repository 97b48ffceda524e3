/* How much memory a model takes, and the limit on it.
 *
 * Weights lie in a mapped file, so what they take is what stays in memory: the weights that each token reads whole. The
 * rest is read now and then and given back (model_weights.c). Sessions take what they have allocated, all of it, since a
 * session whose context is full uses it. */
#include <stdio.h>
#include "runtime/base/options.h"
#include "runtime/model.h"

#define MB(bytes) ((double)(bytes) / 1e6)

static uint64_t resident(const TernModel *m, const TernModelMemory *sums) {
    if (m->engine->apart) return 0;
    if (m->file.size && !m->carry_weights) return sums->whole;
    return tn_blob_section(&m->blob, TN_SECTION_WGHT, 0)->size;
}

static uint64_t code_bytes(const TernModel *m) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->blob.n_sections && !m->engine->apart; i++) {
        const TnBlobSection *s = &m->blob.sections[i];
        if (s->kind == TN_SECTION_CODE && s->level == m->level) sum += s->size;
    }
    return sum;
}

static TernModelMemory count(const TernModel *m) {
    TernModelMemory all = {.size = sizeof all, .code = code_bytes(m), .sessions = atomic_load(&m->sessions)};
    tn_model_sum_weights(m, &all);
    all.resident = resident(m, &all);
    return all;
}

static const TnField memory_fields[] = {
    TN_FIELD(TernModelMemory, whole),    TN_FIELD(TernModelMemory, rows),
    TN_FIELD(TernModelMemory, longer),   TN_FIELD(TernModelMemory, unused),
    TN_FIELD(TernModelMemory, resident), TN_FIELD(TernModelMemory, code),
    TN_FIELD(TernModelMemory, sessions),
};
static const TnShape memory_shape = TN_SHAPE(TernModelMemory, memory_fields);

TernStatus tern_model_memory(const TernModel *model, TernModelMemory *out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(model, err);
    TN_NEED(out, err);
    TernModelMemory all = count(model);
    return tn_options_give(&memory_shape, &all, out, err);
}

void tern_model_limit(TernModel *model, uint64_t bytes) {
    if (model) atomic_store(&model->limit, bytes);
}

static TernStatus over_limit(const TernModel *m, const TernModelMemory *has, const TernSessionBytes *b,
                             uint32_t slots, uint32_t context, uint64_t limit, TernError *err) {
    char others[64] = "";
    uint64_t cache = m->engine->apart ? 0 : b->cache;
    if (has->sessions) snprintf(others, sizeof others, ", %.1f MB for other sessions", MB(has->sessions));
    return tn_fail(
        err, TERN_ERR_MEMORY,
        "%s: needs %.1f MB of memory (%.1f MB for weights, %.1f MB for code, %.1f MB for the cache of "
        "%u slot%s of %u positions, %.1f MB for steps%s), expected at most the limit, %.1f MB",
        m->name, MB(has->resident + has->code + has->sessions + b->total), MB(has->resident), MB(has->code),
        MB(cache), slots, slots == 1 ? "" : "s", context, MB(b->total - cache), others, MB(limit));
}

TernStatus tn_model_add_session(TernModel *m, const TernSessionBytes *b, uint32_t slots, uint32_t context,
                                TernError *err) {
    uint64_t limit = atomic_load(&m->limit), before = atomic_load(&m->sessions);
    do {
        if (!limit) continue;
        TernModelMemory has = count(m);
        has.sessions = before;
        if (has.resident + has.code + before + b->total > limit)
            return over_limit(m, &has, b, slots, context, limit, err);
    } while (!atomic_compare_exchange_weak(&m->sessions, &before, before + b->total));
    return TERN_OK;
}

void tn_model_remove_session(TernModel *m, const TernSessionBytes *b) {
    atomic_fetch_sub(&m->sessions, b->total);
}
