#include <stdio.h>
#include <string.h>
#include "runtime/base/reader.h"
#include "runtime/session.h"

#define CHECK_TERN_KV(id, number, ...)                                                                       \
    _Static_assert((int)TERN_KV_##id == (number), "tern.h and abi/kvs.def must agree");
TN_KVS(CHECK_TERN_KV)

enum { LINE = 64, REGION = 4096 };
#define UNITS_IN_ALL (1ull << 50) /* of one launch: times 1024 workers still fits in 63 bits */

/* Options, with the defaults of tern.h */

static TernStatus size_option(uint32_t value, uint32_t fallback, uint32_t most, const char *name,
                              uint32_t *out, TernError *err) {
    *out = value ? value : fallback;
    if (*out <= most) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s is %u, wanted 1 to %u", name, value, most);
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

static TernStatus resolve(const TernModel *m, const TernSessionOptions *o, TnSessionPlan *p, TernError *err) {
    p->kv = o->kv ? o->kv : TERN_KV_F16;
    if (!tn_kv_type(p->kv))
        return tn_fail(err, TERN_ERR_INPUT, "kv is %u, expected the number of one of %s", p->kv,
                       TN_KVTYPE_NAMES);
    p->n = tn_model_variants(m, p->kv, p->variants, TN_PROGRAMS_MAX);
    if (p->n == 0) return not_for_kv(m, p->kv, err);
    if (p->n > TN_PROGRAMS_MAX)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: has %u row classes, wanted at most %d", m->name, p->n,
                       TN_PROGRAMS_MAX);
    uint32_t rows = p->variants[p->n - 1]->prog.rows_hi, context = m->meta.facts.n_context;
    TN_TRY(size_option(o->slots, 1, 1u << 16, "slots", &p->slots, err));
    TN_TRY(size_option(o->context, least(4096, context), context, "context", &p->context, err));
    TN_TRY(size_option(o->batch, rows, rows, "batch", &p->batch, err));
    return size_option(o->wants, least(p->batch, 16), p->batch, "wants", &p->wants, err);
}

/* Layout: a cursor that only goes up, and remembers an overflow until the end */

typedef struct Carve {
    size_t at;
    bool over;
} Carve;

static size_t carve(Carve *c, size_t align, uint64_t count, uint64_t elem) {
    size_t bytes, start;
    if (!tn_align_up(c->at, align, &start) || !tn_mul(count, elem, &bytes) || !tn_add(start, bytes, &c->at)) {
        c->over = true;
        return 0;
    }
    return start;
}

/* The value that a symbol reaches at most while this variant runs. */
static void symbol_limits(const TnSessionPlan *p, const TnVariant *v, int64_t out[TN_ABI_SYMS]) {
    int64_t rows = least(p->batch, v->prog.rows_hi), wants = least(p->wants, v->prog.rows_hi);
    int64_t per_slot = (p->context + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS;
    int64_t values[TN_ABI_SYMS] = {
        [TN_ABI_T] = rows,
        [TN_ABI_R] = wants,
        [TN_ABI_K] = wants,
        [TN_ABI_H] = wants,
        [TN_ABI_S] = p->slots,
        [TN_ABI_P] = per_slot,
        [TN_ABI_N] = p->slots * per_slot,
        [TN_ABI_L] = wants,
    };
    memcpy(out, values, sizeof values);
}

/* Where the arena's part of a symbol begins (constant part first, then by symbol; TN_ABI_SYMS: its end). */
static size_t arena_part(const TnVariant *v, const int64_t sym_max[TN_ABI_SYMS], int until, Carve *c) {
    carve(c, LINE, v->plan.arena_const, 1);
    for (int s = 0; s < until; s++) carve(c, LINE, v->plan.arena[s], (uint64_t)sym_max[s]);
    return carve(c, LINE, 0, 0);
}

static size_t code_scratch_of(const TnVariant *v, const int64_t sym_max[TN_ABI_SYMS], Carve *c) {
    Carve one = {0};
    carve(&one, LINE, v->plan.scratch, 1);
    carve(&one, 1, v->plan.scratch_page, (uint64_t)sym_max[TN_ABI_P]);
    c->over |= one.over;
    return one.at;
}

static size_t called_scratch_of(const TernModel *m, const TnVariant *v, const int64_t sym_max[TN_ABI_SYMS]) {
    size_t most = 0;
    for (uint32_t i = 0; i < v->prog.n_launches; i++) {
        size_t bytes = m->kernels.scratch(m->kernels.user, v->index, i, sym_max);
        if (bytes > most) most = bytes;
    }
    return most;
}

static TernStatus check_units(const TernModel *m, const TnVariant *v, const int64_t sym_max[TN_ABI_SYMS],
                              TernError *err) {
    for (uint32_t i = 0; i < v->prog.n_launches; i++) {
        const TnBlobLaunch *l = &v->launches[i];
        uint64_t most = l->unit_sym == UINT32_MAX ? 1 : (uint64_t)sym_max[l->unit_sym];
        if (l->units > UNITS_IN_ALL / most)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: section PROG %u: launch %u has %llu units times %llu, wanted at most 2^50",
                           m->name, v->index, i, (unsigned long long)l->units, (unsigned long long)most);
    }
    return TERN_OK;
}

TernStatus tn_session_plan(const TernModel *m, const TernPool *pool, const TernSessionOptions *o,
                           TnSessionPlan *out, TernError *err) {
    TnSessionPlan p = {0};
    TN_TRY(resolve(m, o, &p, err));
    p.workers = m->evaluated ? 1 : tern_pool_threads(pool); /* who needs scratch */
    Carve c = {sizeof(TernSession), false};
    size_t arena = 0;
    for (uint32_t i = 0; i < p.n; i++) {
        const TnVariant *v = p.variants[i];
        int64_t *sym_max = p.sym_max[i];
        symbol_limits(&p, v, sym_max);
        TN_TRY(check_units(m, v, sym_max, err));
        p.launches[i] = carve(&c, LINE, v->prog.n_launches, sizeof(TnRunLaunch));
        p.pointers[i] = carve(&c, LINE, v->prog.n_operands, sizeof(void *));
        Carve a = {0};
        size_t bytes = arena_part(v, sym_max, TN_ABI_SYMS, &a), scratch = 0;
        if (m->evaluated) scratch = called_scratch_of(m, v, sym_max);
        if (m->evaluated && m->coded && !tn_align_up(scratch, LINE, &scratch)) c.over = true;
        p.watch_scratch[i] = scratch;
        if (m->coded && !tn_add(scratch, code_scratch_of(v, sym_max, &c), &scratch)) c.over = true;
        c.over |= a.over;
        if (bytes > arena) arena = bytes;
        if (scratch > p.scratch_bytes) p.scratch_bytes = scratch;
    }
    const int64_t *most = p.sym_max[p.n - 1];
    uint64_t n_pages = (uint64_t)most[TN_ABI_N];
    if (n_pages > INT32_MAX)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%u slots of %u positions make %llu pages, wanted at most 2^31 - 1", p.slots,
                       p.context, (unsigned long long)n_pages);
    const uint64_t inputs[TN_IN_COUNT] = {p.batch, p.batch, p.batch, p.wants, p.wants, n_pages, p.wants};
    for (int i = 0; i < TN_IN_COUNT; i++) p.input[i] = carve(&c, LINE, inputs[i], sizeof(int32_t));
    p.place = carve(&c, LINE, p.batch, sizeof(uint32_t));
    p.growth = carve(&c, LINE, p.slots, sizeof(uint32_t));
    p.length = carve(&c, LINE, p.slots, sizeof(uint32_t));
    p.refs = carve(&c, LINE, n_pages, sizeof(uint32_t));
    p.free = carve(&c, LINE, n_pages, sizeof(int32_t));
    p.used = carve(&c, LINE, n_pages, 1);

    p.arena = carve(&c, REGION, arena, 1);
    if (!tn_align_up(p.scratch_bytes, REGION, &p.scratch_bytes)) c.over = true;
    p.scratch = carve(&c, REGION, p.scratch_bytes, p.workers);
    size_t layer;
    if (!tn_mul(n_pages, tn_page_size(&m->meta, p.kv), &layer)) c.over = true;
    p.keys = carve(&c, REGION, m->meta.facts.n_layers, layer);
    p.values = carve(&c, LINE, m->meta.facts.n_layers, layer);
    size_t end = carve(&c, REGION, 0, 0);
    if (c.over)
        return tn_fail(err, TERN_ERR_MEMORY,
                       "%s: a session with %u slots of %u positions is larger than addresses", m->name,
                       p.slots, p.context);
    p.bytes = (TernSessionBytes){
        .total = end,
        .tables = p.arena,
        .arena = p.scratch - p.arena,
        .scratch = p.keys - p.scratch,
        .cache = end - p.keys,
    };
    *out = p;
    return TERN_OK;
}

/* Binding: offsets become addresses */

static void *operand_address(const TnSessionPlan *p, TernSession *s, uint32_t i, const TnBlobOperand *o) {
    uint8_t *base = (uint8_t *)s;
    const TnVariant *v = p->variants[i];
    size_t cache = (size_t)s->pages.n * tn_pages_bytes_a_page(&s->pages);
    Carve c = {0};
    switch (o->space) {
    case TN_SPACE_ARENA:
        if (o->index == UINT32_MAX) return base + p->arena + o->offset;
        return base + p->arena + arena_part(v, p->sym_max[i], (int)o->index, &c) +
               o->offset * (uint64_t)p->sym_max[i][o->index];
    case TN_SPACE_WGHT: /* read only: a launch that writes here was refused at open */
        return (void *)(uintptr_t)(tn_model_weights(s->model) + o->offset);
    case TN_SPACE_INPUT:
        return s->input[o->index];
    case TN_SPACE_KEYS:
        return s->pages.keys + o->index * cache;
    case TN_SPACE_VALUES:
        return s->pages.values + o->index * cache;
    default:
        TN_BUG("operand of space %u", o->space);
    }
}

static void bind_program(const TnSessionPlan *p, TernSession *s, uint32_t i) {
    uint8_t *base = (uint8_t *)s;
    const TnVariant *v = p->variants[i];
    TnRunLaunch *launches = (TnRunLaunch *)(void *)(base + p->launches[i]);
    void **pointers = (void **)(void *)(base + p->pointers[i]);
    for (uint32_t j = 0; j < v->prog.n_operands; j++) pointers[j] = operand_address(p, s, i, &v->operands[j]);
    for (uint32_t j = 0; j < v->prog.n_launches; j++) {
        const TnBlobLaunch *l = &v->launches[j];
        launches[j] = (TnRunLaunch){
            .fn = s->model->coded ? tn_model_kernel(s->model, v, l) : NULL,
            .args = {pointers + l->first_operand, s->sym},
            .units = (int64_t)l->units,
            .gate_sym = l->gate_sym,
            .unit_sym = l->unit_sym,
            .barrier = l->flags & TN_LAUNCH_BARRIER,
        };
    }
    TnBound *bound = &s->programs[i];
    *bound = (TnBound){
        .program = {.launches = launches,
                    .n = v->prog.n_launches,
                    .variant = v->index,
                    .sym = s->sym,
                    .scratch = base + p->scratch,
                    .scratch_bytes = p->scratch_bytes,
                    .watch_scratch = p->watch_scratch[i],
                    .pool = s->pool,
                    .kernels = s->model->evaluated ? &s->model->kernels : NULL},
        .rows_hi = v->prog.rows_hi,
        .topk = v->plan.topk,
    };
    for (int k = 0; k < TN_OUT_COUNT; k++) {
        uint32_t at = v->prog.output[k];
        if (at != UINT32_MAX) bound->out[k] = (TnOutput){pointers[at], v->operands[at].row_bytes};
    }
}

TernSession *tn_session_bind(const TnSessionPlan *p, TernModel *m, TernPool *pool, void *memory, bool fresh) {
    uint8_t *base = memory;
    TernSession *s = memory;
    if (!fresh) memset(memory, 0, p->arena); /* a second session in the same block */
    const int64_t *most = p->sym_max[p->n - 1];
    *s = (TernSession){
        .model = m,
        .pool = pool,
        .slots = p->slots,
        .context = p->context,
        .batch = p->batch,
        .wants = p->wants,
        .total = p->bytes.total,
        .place = (uint32_t *)(void *)(base + p->place),
        .growth = (uint32_t *)(void *)(base + p->growth),
        .logits_apart = tn_logits_apart(p->variants[0]),
        .watched = p->kv == TN_KVTYPE_F16,
        .n_programs = p->n,
    };
    for (int i = 0; i < TN_IN_COUNT; i++) s->input[i] = (int32_t *)(void *)(base + p->input[i]);
    s->pages = (TnPages){
        .table = s->input[TN_IN_TABLE],
        .length = (uint32_t *)(void *)(base + p->length),
        .refs = (uint32_t *)(void *)(base + p->refs),
        .used = base + p->used,
        .free = (int32_t *)(void *)(base + p->free),
        .slots = p->slots,
        .per_slot = (uint32_t)most[TN_ABI_P],
        .n = (uint32_t)most[TN_ABI_N],
        .layers = m->meta.facts.n_layers,
        .heads = m->meta.facts.n_kv_heads,
        .head_dim = m->meta.facts.head_dim,
        .elem_bytes = tn_kv_type(p->kv)->elem_bytes,
        .scale_bytes = tn_kv_type(p->kv)->scale_bytes,
        .keys = base + p->keys,
        .values = base + p->values,
    };
    for (int i = TN_ABI_S; i <= TN_ABI_N; i++) s->sym[i] = most[i];
    for (uint32_t i = 0; i < p->n; i++) bind_program(p, s, i);
    return s;
}
