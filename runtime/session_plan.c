#include <stdio.h>
#include <string.h>
#include "runtime/carve.h"
#include "runtime/session.h"

#define CHECK_TERN_KV(id, number, ...)                                                                       \
    _Static_assert((int)TERN_KV_##id == (number), "tern.h and abi/kvs.def must agree");
TN_KVS(CHECK_TERN_KV)

enum { REGION = 4096 };
#define UNITS_IN_ALL (1ull << 50) /* of one launch: times 1024 workers still fits in 63 bits */

/* Options, with the defaults of tern.h */

static TernStatus size_option(uint32_t value, uint32_t fallback, uint32_t most, const char *name,
                              uint32_t *out, TernError *err) {
    *out = value ? value : fallback;
    if (*out <= most) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s is %u, expected 1 to %u", name, value, most);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static TernStatus not_for_kv(const TernModel *m, uint32_t kv, TernError *err) {
    char has[64] = "";
    const TnKvType *type;
    for (size_t i = 0; (type = tn_kv_row(i)); i++)
        if (tn_model_variants(m, type->number, NULL, 0))
            snprintf(has + strlen(has), sizeof has - strlen(has), "%s%s", *has ? ", " : "", type->name);
    return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: was not compiled for kv %s; its cache types are: %s",
                   m->name, tn_kv_type(kv)->name, has);
}

/* Most pages of a slot. */
static uint32_t per_slot(const TnSessionPlan *p) {
    return (p->context + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS;
}

static TernStatus resolve(const TernModel *m, const TernSessionOptions *o, TnSessionPlan *p, TernError *err) {
    p->kv = o->kv ? o->kv : TERN_KV_F16;
    if (!tn_kv_type(p->kv))
        return tn_fail(err, TERN_ERR_INPUT, "kv is %u, expected the number of one of %s", p->kv,
                       TN_KVTYPE_NAMES);
    p->n = tn_model_variants(m, p->kv, p->variants, TN_PROGRAMS_MAX);
    if (p->n == 0) return not_for_kv(m, p->kv, err);
    if (p->n > TN_PROGRAMS_MAX)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: has %u batch classes, expected at most %d", m->name,
                       p->n, TN_PROGRAMS_MAX);
    uint32_t rows = p->variants[p->n - 1]->prog.rows_hi, context = m->meta.facts.n_context;
    TN_TRY(size_option(o->slots, 1, 1u << 16, "slots", &p->slots, err));
    TN_TRY(size_option(o->context, least(4096, context), context, "context", &p->context, err));
    TN_TRY(size_option(o->batch, rows, rows, "batch", &p->batch, err));
    TN_TRY(size_option(o->wants, least(p->batch, 16), p->batch, "wants", &p->wants, err));
    TN_TRY(size_option(o->hidden, p->wants, p->batch, "hidden", &p->hidden, err));
    uint64_t all = (uint64_t)p->slots * per_slot(p);
    if (all > INT32_MAX)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%u slots of %u positions make %llu pages, expected at most 2^31 - 1", p->slots,
                       p->context, (unsigned long long)all);
    return size_option(o->pages, (uint32_t)all, (uint32_t)all, "pages", &p->pages, err);
}

/* Layout */

/* Gives the largest value that each symbol can have while this variant runs. */
static void symbol_limits(const TnSessionPlan *p, const TnVariant *v, int64_t out[TN_ABI_SYMS]) {
    int64_t rows = least(p->batch, v->prog.rows_hi), wants = least(p->wants, v->prog.rows_hi);
    int64_t values[TN_ABI_SYMS] = {
        [TN_ABI_T] = rows,     [TN_ABI_R] = wants,
        [TN_ABI_K] = wants,    [TN_ABI_H] = least(p->hidden, v->prog.rows_hi),
        [TN_ABI_S] = p->slots, [TN_ABI_P] = per_slot(p),
        [TN_ABI_N] = p->pages, [TN_ABI_L] = wants,
    };
    memcpy(out, values, sizeof values);
}

static TernStatus check_units(const TernModel *m, const TnVariant *v, const int64_t sym_max[TN_ABI_SYMS],
                              TernError *err) {
    for (uint32_t i = 0; i < v->prog.n_launches; i++) {
        const TnBlobLaunch *l = &v->launches[i];
        uint64_t most = l->unit_sym == UINT32_MAX ? 1 : (uint64_t)sym_max[l->unit_sym];
        if (l->units > UNITS_IN_ALL / most)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: section PROG %u: launch %u has %llu units times %llu, expected at most 2^50",
                           m->name, v->index, i, (unsigned long long)l->units, (unsigned long long)most);
    }
    return TERN_OK;
}

/* Lays out the launches of every variant, and finds the largest arena and scratch. */
static TernStatus plan_programs(const TernModel *m, TnSessionPlan *p, TnCarve *host, size_t *arena,
                                TernError *err) {
    for (uint32_t i = 0; i < p->n; i++) {
        const TnVariant *v = p->variants[i];
        int64_t *sym_max = p->sym_max[i];
        symbol_limits(p, v, sym_max);
        TN_TRY(check_units(m, v, sym_max, err));
        p->launches[i] = tn_carve(host, TN_LINE, v->prog.n_launches, sizeof(TnRunLaunch));
        p->pointers[i] = tn_carve(host, TN_LINE, v->prog.n_operands, sizeof(void *));
        TnCarve a = {0};
        size_t bytes = tn_arena_part(v, sym_max, TN_ABI_SYMS, &a), scratch = 0;
        host->over |= a.over || !m->engine->scratch(m->engine, v, sym_max, &scratch, &p->code_scratch[i]);
        if (bytes > *arena) *arena = bytes;
        if (!host->over && scratch > p->scratch_bytes) p->scratch_bytes = scratch;
    }
    return TERN_OK;
}

/* Lays out the block of symbols and inputs. */
static void plan_inputs(TnSessionPlan *p, TnCarve *host) {
    const uint64_t table = (uint64_t)p->slots * per_slot(p);
    const uint64_t counts[TN_IN_COUNT] = {p->batch, p->batch, p->batch, p->wants, p->hidden, table, p->wants};
    TnCarve block = {(p->apart ? TN_ABI_WORDS : TN_ABI_SYMS) * sizeof(int64_t), false};
    for (int i = 0; i < TN_IN_COUNT; i++) p->input[i] = tn_carve(&block, TN_LINE, counts[i], sizeof(int32_t));
    p->input_bytes = block.at;
    host->over |= block.over;
    p->staged = tn_carve(host, TN_LINE, block.at, 1);
}

/* Lays out host memory for results, if they come from an engine's own memory. All programs share it. */
static void plan_results(TnSessionPlan *p, TnCarve *host) {
    for (int k = 0; k < TN_OUT_COUNT; k++) {
        uint64_t row = 0;
        for (uint32_t i = 0; i < p->n; i++) {
            uint32_t at = p->variants[i]->prog.output[k];
            if (at != UINT32_MAX && p->variants[i]->operands[at].row_bytes > row)
                row = p->variants[i]->operands[at].row_bytes;
        }
        p->result[k] = tn_carve(host, TN_LINE, k == TN_OUT_HIDDEN ? p->hidden : p->wants, row);
    }
}

TernStatus tn_session_plan(const TernModel *m, const TernPool *pool, const TernSessionOptions *o,
                           TnSessionPlan *out, TernError *err) {
    TnSessionPlan p = {.apart = m->engine->apart};
    TN_TRY(resolve(m, o, &p, err));
    TnCarve host = {sizeof(TernSession) + p.n * sizeof(TnProgram), false}, own = {0},
            *engine = p.apart ? &own : &host;
    size_t arena = 0;
    TN_TRY(plan_programs(m, &p, &host, &arena, err));
    uint64_t n_pages = p.pages;
    plan_inputs(&p, &host);
    p.inputs = p.apart ? tn_carve(engine, TN_LINE, p.input_bytes, 1) : p.staged;
    p.place = tn_carve(&host, TN_LINE, p.batch, sizeof(uint32_t));
    p.growth = tn_carve(&host, TN_LINE, p.slots, sizeof(uint32_t));
    p.length = tn_carve(&host, TN_LINE, p.slots, sizeof(uint32_t));
    p.refs = tn_carve(&host, TN_LINE, n_pages, sizeof(uint32_t));
    p.free = tn_carve(&host, TN_LINE, n_pages, sizeof(int32_t));
    p.used = tn_carve(&host, TN_LINE, n_pages, 1);
    p.counted = tn_carve(&host, TN_LINE, n_pages, 1);
    if (p.apart) plan_results(&p, &host);
    p.tables = tn_carve(&host, REGION, 0, 0);

    p.arena = tn_carve(engine, REGION, arena, 1);
    if (!tn_align_up(p.scratch_bytes, REGION, &p.scratch_bytes)) host.over = true;
    p.scratch = tn_carve(engine, REGION, p.scratch_bytes, m->engine->workers(m->engine, pool));
    size_t layer;
    if (!tn_mul(n_pages, tn_page_size(&m->meta, p.kv), &layer)) host.over = true;
    p.keys = tn_carve(engine, REGION, m->meta.facts.n_layers, layer);
    p.values = tn_carve(engine, TN_LINE, m->meta.facts.n_layers, layer);
    size_t end = tn_carve(engine, REGION, 0, 0);
    if (host.over || own.over)
        return tn_fail(err, TERN_ERR_MEMORY,
                       "%s: a session with %u slots of %u positions is larger than addresses", m->name,
                       p.slots, p.context);
    p.bytes = (TernSessionBytes){
        .total = host.at,
        .tables = p.tables,
        .arena = p.scratch - p.arena,
        .scratch = p.keys - p.scratch,
        .cache = end - p.keys,
        .device = own.at,
    };
    *out = p;
    return TERN_OK;
}
