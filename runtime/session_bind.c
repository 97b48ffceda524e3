/* Binds a session to its memory: the offsets of the plan become addresses. */
#include <string.h>
#include "runtime/carve.h"
#include "runtime/session.h"

static TnAddress operand_address(const TnSessionPlan *p, const TnMemory *m, uint32_t i,
                                 const TnBlobOperand *o) {
    const TnBases *b = &m->bases;
    size_t layer = (size_t)m->cache.n * tn_cache_page_bytes(&m->cache);
    TnCarve c = {0};
    switch (o->space) {
    case TN_SPACE_ARENA:
        if (o->index == UINT32_MAX) return b->arena + o->offset;
        return b->arena + tn_arena_part(p->variants[i], p->sym_max[i], (int)o->index, &c) +
               o->offset * (uint64_t)p->sym_max[i][o->index];
    case TN_SPACE_WGHT: /* read only; opening the blob refuses a launch that writes here */
        return b->weights + o->offset;
    case TN_SPACE_INPUT:
        return b->inputs + p->input[o->index];
    case TN_SPACE_KEYS:
        return b->keys + o->index * layer;
    case TN_SPACE_VALUES:
        return b->values + o->index * layer;
    default:
        TN_BUG("operand of space %u", o->space);
    }
}

static void bind_program(const TnSessionPlan *p, TernSession *s, uint32_t i) {
    uint8_t *base = (uint8_t *)s;
    const TnVariant *v = p->variants[i];
    TnRunLaunch *launches = (TnRunLaunch *)(void *)(base + p->launches[i]);
    void **pointers = (void **)(void *)(base + p->pointers[i]);
    for (uint32_t j = 0; j < v->prog.n_operands; j++)
        pointers[j] = (void *)operand_address(p, &s->memory, i, &v->operands[j]);
    for (uint32_t j = 0; j < v->prog.n_launches; j++) {
        const TnBlobLaunch *l = &v->launches[j];
        launches[j] = (TnRunLaunch){
            .kernel = s->engine->coded ? tn_model_kernel(s->model, v, l) : 0,
            .args = {pointers + l->first_operand, (const int64_t *)s->memory.bases.inputs},
            .units = (int64_t)l->units,
            .gate_sym = l->gate_sym,
            .unit_sym = l->unit_sym,
            .barrier = l->flags & TN_LAUNCH_BARRIER,
            .lists = l->flags & TN_LAUNCH_LISTS,
        };
    }
    TnProgram *program = &s->programs[i];
    *program = (TnProgram){
        .launches = launches,
        .n = v->prog.n_launches,
        .variant = v,
        .rows_hi = v->prog.rows_hi,
        .topk = v->plan.topk,
        .memory = &s->memory,
        .code_scratch = p->code_scratch[i],
        .pool = s->pool,
    };
    for (int k = 0; k < TN_OUT_COUNT; k++) {
        uint32_t at = v->prog.output[k];
        if (at == UINT32_MAX) continue;
        TnAddress address = (TnAddress)pointers[at];
        program->out[k] = (TnOutput){address, p->apart ? base + p->result[k] : (uint8_t *)address,
                                     v->operands[at].row_bytes};
    }
}

static TnMemory memory_of(const TnSessionPlan *p, const TernModel *m, uint8_t *host, TnAddress own) {
    TnAddress base = p->apart ? own : (TnAddress)host;
    const TnKvType *kv = tn_kv_type(p->kv);
    return (TnMemory){
        .bases = {.arena = base + p->arena,
                  .weights = tn_model_weights(m),
                  .inputs = base + p->inputs,
                  .keys = base + p->keys,
                  .values = base + p->values,
                  .scratch = base + p->scratch},
        .cache = {.n = (uint32_t)p->sym_max[p->n - 1][TN_ABI_N],
                  .layers = m->meta.facts.n_layers,
                  .heads = m->meta.facts.n_kv_heads,
                  .head_dim = m->meta.facts.head_dim,
                  .elem_bytes = kv->elem_bytes,
                  .scale_bytes = kv->scale_bytes},
        .sym = (int64_t *)(void *)(host + p->staged),
        .input_bytes = p->input_bytes,
        .scratch_bytes = p->scratch_bytes,
        .rows_most = p->batch,
        .hidden_most = p->hidden,
        .wants_most = p->wants,
    };
}

static void lay_out_pages(const TnSessionPlan *p, TernSession *s) {
    uint8_t *base = (uint8_t *)s;
    s->pages = (TnPages){
        .table = s->input[TN_IN_TABLE],
        .length = (uint32_t *)(void *)(base + p->length),
        .refs = (uint32_t *)(void *)(base + p->refs),
        .used = base + p->used,
        .counted = base + p->counted,
        .counts = p->kv == TN_KVTYPE_F16 && s->engine->saturated,
        .free = (int32_t *)(void *)(base + p->free),
        .slots = p->slots,
        .per_slot = (uint32_t)p->sym_max[p->n - 1][TN_ABI_P],
        .n = s->memory.cache.n,
        .engine = s->engine,
        .memory = &s->memory,
    };
}

TernStatus tn_session_bind(const TnSessionPlan *p, TernModel *m, TernPool *pool, void *host, bool fresh,
                           TnAddress own, TernError *err) {
    uint8_t *base = host;
    TernSession *s = host;
    if (!fresh) memset(host, 0, p->tables); /* a second session in the same block */
    *s = (TernSession){
        .model = m,
        .engine = m->engine,
        .pool = pool,
        .slots = p->slots,
        .context = p->context,
        .batch = p->batch,
        .wants = p->wants,
        .hidden = p->hidden,
        .own = p->apart ? own : 0,
        .bytes = p->bytes,
        .place = (uint32_t *)(void *)(base + p->place),
        .growth = (uint32_t *)(void *)(base + p->growth),
        .logits_apart = tn_logits_apart(p->variants[0]),
        .kernels_count = p->kv == TN_KVTYPE_F16 && !m->engine->saturated,
        .memory = memory_of(p, m, host, own),
        .n_programs = p->n,
    };
    s->sym = s->memory.sym;
    for (int i = 0; i < TN_IN_COUNT; i++) s->input[i] = (int32_t *)(void *)(base + p->staged + p->input[i]);
    lay_out_pages(p, s);
    for (int i = TN_ABI_S; i <= TN_ABI_N; i++) s->sym[i] = p->sym_max[p->n - 1][i];
    for (uint32_t i = 0; i < p->n; i++) bind_program(p, s, i);
    return m->engine->bind ? m->engine->bind(m->engine, &s->memory, s->programs, s->n_programs, err)
                           : TERN_OK;
}
