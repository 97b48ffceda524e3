/* Which tensors a GGUF has, and what each is made of.
 *
 * The rows of the architecture say which tensors there are and their shapes; the table below says how checkpoints call
 * them. A tensor that no row asked for is refused: a bias or a norm that was left out would give a silently wrong model.
 *
 * A matrix in uint8 is packed, with its scale or scales beside it, which multiply or divide (TnHfConfig.scale). A scale that makes
 * weights larger than any layer has is refused: then the other rule was meant. A matrix in floats is ternary if its numbers
 * are -s, 0 and s, by matrix or by group; else it holds masters, if the folder or the caller says so. */
#include <math.h>
#include <string.h>
#include "frontends/hf/internal.h"

enum { NAMES = 2, SCALE_MOST = 10 };
/* Layers with a norm after each half call their norms otherwise. */
enum { ANY, PLAIN, AFTER };
static const struct {
    const char *gguf;
    const char *hf[NAMES]; /* of a layer: after "model.layers.N." */
    int layers;            /* of architectures with such layers alone */
} names[] = {
    {"token_embd.weight", {"model.embed_tokens.weight", NULL}, ANY},
    {"output_norm.weight", {"model.norm.weight", NULL}, ANY},
    {"output.weight", {"lm_head.weight", NULL}, ANY},
    {"blk.*.attn_norm.weight", {"input_layernorm.weight", NULL}, ANY},
    {"blk.*.attn_q.weight", {"self_attn.q_proj.weight", NULL}, ANY},
    {"blk.*.attn_k.weight", {"self_attn.k_proj.weight", NULL}, ANY},
    {"blk.*.attn_v.weight", {"self_attn.v_proj.weight", NULL}, ANY},
    {"blk.*.attn_q.bias", {"self_attn.q_proj.bias", NULL}, ANY},
    {"blk.*.attn_k.bias", {"self_attn.k_proj.bias", NULL}, ANY},
    {"blk.*.attn_v.bias", {"self_attn.v_proj.bias", NULL}, ANY},
    {"blk.*.attn_q_norm.weight", {"self_attn.q_norm.weight", NULL}, ANY},
    {"blk.*.attn_k_norm.weight", {"self_attn.k_norm.weight", NULL}, ANY},
    {"blk.*.attn_q_norm_in.weight",
     {"self_attn.q_proj.norm.weight", "self_attn.q_proj.rms_norm.weight"},
     ANY},
    {"blk.*.attn_k_norm_in.weight",
     {"self_attn.k_proj.norm.weight", "self_attn.k_proj.rms_norm.weight"},
     ANY},
    {"blk.*.attn_v_norm_in.weight",
     {"self_attn.v_proj.norm.weight", "self_attn.v_proj.rms_norm.weight"},
     ANY},
    {"blk.*.attn_output_norm_in.weight",
     {"self_attn.o_proj.norm.weight", "self_attn.o_proj.rms_norm.weight"},
     ANY},
    {"blk.*.ffn_gate_norm_in.weight", {"mlp.gate_proj.norm.weight", "mlp.gate_proj.rms_norm.weight"}, ANY},
    {"blk.*.ffn_up_norm_in.weight", {"mlp.up_proj.norm.weight", "mlp.up_proj.rms_norm.weight"}, ANY},
    {"blk.*.ffn_down_norm_in.weight", {"mlp.down_proj.norm.weight", "mlp.down_proj.rms_norm.weight"}, ANY},
    {"blk.*.attn_sub_norm.weight", {"self_attn.attn_sub_norm.weight", "self_attn.inner_attn_ln.weight"}, ANY},
    {"blk.*.attn_output.weight", {"self_attn.o_proj.weight", NULL}, ANY},
    {"blk.*.ffn_norm.weight", {"post_attention_layernorm.weight", NULL}, PLAIN},
    {"blk.*.ffn_norm.weight", {"pre_feedforward_layernorm.weight", NULL}, AFTER},
    {"blk.*.post_attention_norm.weight", {"post_attention_layernorm.weight", NULL}, AFTER},
    {"blk.*.post_ffw_norm.weight", {"post_feedforward_layernorm.weight", NULL}, AFTER},
    {"blk.*.ffn_gate.weight", {"mlp.gate_proj.weight", NULL}, ANY},
    {"blk.*.ffn_up.weight", {"mlp.up_proj.weight", NULL}, ANY},
    {"blk.*.ffn_sub_norm.weight", {"mlp.ffn_sub_norm.weight", "mlp.ffn_layernorm.weight"}, ANY},
    {"blk.*.ffn_down.weight", {"mlp.down_proj.weight", NULL}, ANY},
};

typedef struct Planning {
    TnPlanner *p;
    bool *used; /* by tensor of the folder */
} Planning;

static uint64_t dim(const TnHfConfig *c, TnArchDim d) {
    switch (d) {
    case TN_DIM_NONE:
    case TN_DIM_ONE:
        return 1;
    case TN_DIM_HIDDEN:
        return c->hidden;
    case TN_DIM_FFN:
        return c->ffn;
    case TN_DIM_Q:
        return c->heads * c->head;
    case TN_DIM_KV:
        return c->kv * c->head;
    case TN_DIM_HEAD:
        return c->head;
    case TN_DIM_HALF_HEAD:
        return c->head / 2;
    case TN_DIM_VOCAB:
        return c->vocab;
    case TN_DIM_COUNT:
        break;
    }
    TN_BUG("size %d of a tensor", (int)d);
}

/* ---- Tensors of the folder */

static const TnSafeTensor *take(Planning *g, const char *name) {
    uint32_t i = tn_map_get(&g->p->f->map, name, strlen(name));
    if (i == TN_MAP_NONE) return NULL;
    g->used[i] = true;
    return g->p->f->tensors[i];
}

/* A checkpoint without a head, as those of embedding models, calls its tensors the same without "model." in front. */
static const char *as_called(const Planning *g, const char *name) {
    static const char model[] = "model.", first[] = "embed_tokens.weight";
    bool bare = tn_hf_tensor(g->p->f, first) && strncmp(name, model, sizeof model - 1) == 0;
    return bare ? name + sizeof model - 1 : name;
}

/* The tensor for a row, by either of its names; *out_name is the one found, or the first. */
static const TnSafeTensor *find(Planning *g, const char *row, uint64_t layer, const char **out_name) {
    TnArena *a = &g->p->f->arena;
    int layers = tn_arch_has_tensor(g->p->c->arch, true, "post_attention_norm.weight") ? AFTER : PLAIN;
    *out_name = NULL;
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        if (strcmp(names[i].gguf, row) != 0 || (names[i].layers != ANY && names[i].layers != layers))
            continue;
        for (int k = 0; k < NAMES && names[i].hf[k]; k++) {
            const char *name = names[i].hf[k];
            if (strncmp(row, "blk.", 4) == 0)
                name = tn_sprintf(a, "model.layers.%llu.%s", (unsigned long long)layer, name);
            name = as_called(g, name);
            if (!*out_name) *out_name = name;
            const TnSafeTensor *t = take(g, name);
            if (!t) continue;
            *out_name = name;
            return t;
        }
    }
    return NULL;
}

static TernStatus check_shape(const TnPlanner *p, const TnSafeTensor *t, uint32_t rank, uint64_t rows,
                              uint64_t cols) {
    bool fits = t->rank == rank && t->dim[rank - 1] == cols && (rank == 1 || t->dim[0] == rows);
    if (fits) return TERN_OK;
    const char *is = "";
    for (uint32_t i = 0; i < t->rank; i++)
        is = tn_sprintf(&p->f->arena, "%s%s%llu", is, i ? " x " : "", (unsigned long long)t->dim[i]);
    const char *expected = rank == 1 ? tn_sprintf(&p->f->arena, "%llu", (unsigned long long)cols)
                                     : tn_sprintf(&p->f->arena, "%llu x %llu", (unsigned long long)rows,
                                                  (unsigned long long)cols);
    return tn_fail(p->err, TERN_ERR_INPUT, "%s: tensor %s is %s, expected %s by config.json", p->f->path,
                   t->name, t->rank ? is : "a single number", expected);
}

static TernStatus check_floats(const TnPlanner *p, const TnSafeTensor *t) {
    if (t->type->kind == TN_SAFE_F32 || t->type->kind == TN_SAFE_F16 || t->type->kind == TN_SAFE_BF16)
        return TERN_OK;
    return tn_fail(p->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s is of type %s, expected F32, F16 or BF16",
                   p->f->path, t->name, t->type->name);
}

/* ---- One tensor of the GGUF */

static TernStatus add(TnPlanner *p, TnPlan plan) {
    if (!plan.bytes)
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s has rows of %llu columns, which its type does not divide", p->f->path,
                       plan.name, (unsigned long long)plan.cols);
    TN_PUSH(p->plans, p->n_plans, p->cap_plans, plan);
    return TERN_OK;
}

static TernStatus plan_floats(TnPlanner *p, TnPlan plan, uint32_t id) {
    plan.form = TN_PLAN_TABLE;
    plan.id = id;
    plan.bytes = tn_float_bytes(id, plan.cols) * plan.rows;
    return add(p, plan);
}

static uint32_t stored_as(const TnSafeTensor *t) {
    return t->type->kind == TN_SAFE_F32   ? TN_GGUF_ID_F32
           : t->type->kind == TN_SAFE_F16 ? TN_GGUF_ID_F16
                                          : TN_GGUF_ID_BF16;
}

/* The type that holds the matrix: the one asked for, or the first whose blocks are its groups. */
static TernStatus choose_type(TnPlanner *p, TnPlan *plan) {
    const TnMatrix *m = &plan->m;
    const char *type = p->options->type;
    if (type && !tn_trit_type(type))
        return tn_fail(p->err, TERN_ERR_INPUT,
                       "TerncConvert.type: '%s', expected i2_s, tq1_0, tq2_0, q2_0, pq2_0 or ptq1_0", type);
    for (size_t i = 0; !type && !plan->type && tn_trit_type_row(i); i++)
        if (tn_trit_type_row(i)->block == m->group) plan->type = tn_trit_type_row(i);
    if (type) plan->type = tn_trit_type(type);
    TN_CHECK(plan->type);
    uint32_t block = plan->type->block;
    if (m->group && (block == 0 || block > m->group))
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s has a scale for every %u columns, which %s does not have", p->f->path,
                       m->t->name, m->group, plan->type->name);
    plan->form = TN_PLAN_MATRIX;
    plan->id = plan->type->id;
    plan->bytes = tn_trit_bytes(plan->type, plan->rows, plan->cols);
    p->file_type = plan->type->file_type;
    return add(p, *plan);
}

/* Several scales beside a packed matrix: one for as many rows, or for as many columns of each row. */
static TernStatus share_scales(TnPlanner *p, TnMatrix *m, const TnSafeTensor *t) {
    static const uint32_t groups[] = {256, 128, 64};
    uint64_t n = t->bytes / t->type->bytes, rows = t->rank ? t->dim[0] : 1, cols = rows ? n / rows : 0;
    bool fits = rows && cols && t->rank <= 2 && m->rows % rows == 0 && m->cols % cols == 0 &&
                (cols == 1 || rows == m->rows);
    for (size_t i = 0; fits && !m->group && i < TN_COUNT(groups); i++)
        if (m->cols / cols % groups[i] == 0) m->group = groups[i];
    if (!m->group)
        return tn_fail(p->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s has %llu numbers, expected one, one for as many rows, or one for 64 or "
                       "more columns of each row",
                       p->f->path, t->name, (unsigned long long)n);
    m->scales = t;
    m->scale_rows = rows;
    m->scale_cols = cols;
    m->scale = 0;
    return TERN_OK;
}

static TernStatus read_scale(Planning *g, TnMatrix *m) {
    TnPlanner *p = g->p;
    const char *name = tn_sprintf(&p->f->arena, "%s_scale", m->t->name);
    const TnSafeTensor *t = take(g, name);
    if (!t) return tn_fail(p->err, TERN_ERR_INPUT, "%s: tensor %s is missing", p->f->path, name);
    TN_TRY(check_floats(p, t));
    if (p->c->scale == TN_HF_SCALE_NONE)
        return tn_fail(p->err, TERN_ERR_INPUT,
                       "%s: tensor %s is packed, but config.json has no quantization_config, which says what "
                       "weight_scale means",
                       p->f->path, m->t->name);
    size_t n = t->bytes / t->type->bytes;
    bool same = true;
    m->over = p->c->scale != TN_HF_SCALE_TIMES;
    for (size_t i = 0; i < n; i++) {
        float says;
        tn_safe_floats(t, i, 1, &says);
        float scale = m->over ? 1 / says : says;
        if (!(says > 0) || !isfinite(says) || !(scale > 0) || scale > SCALE_MOST)
            return tn_fail(p->err, TERN_ERR_INPUT,
                           "%s: tensor %s is %g, so weights would be %g, expected up to %d (%s)", p->f->path,
                           name, (double)says, (double)scale, SCALE_MOST, p->c->scale_rule);
        if (i == 0) m->scale = scale;
        same = same && scale == m->scale;
    }
    return n && same ? TERN_OK : share_scales(p, m, t);
}

/* A matrix of a layer, or a table that may be ternary. */
static TernStatus plan_matrix(Planning *g, TnPlan plan, bool table) {
    TnPlanner *p = g->p;
    TnMatrix *m = &plan.m;
    if (m->t->type->kind == TN_SAFE_U8 && !table) {
        m->form = TN_MATRIX_PACKED;
        TN_TRY(check_shape(p, m->t, 2, (plan.rows + 3) / 4, plan.cols));
        TN_TRY(read_scale(g, m));
        return choose_type(p, &plan);
    }
    TN_TRY(check_floats(p, m->t));
    TN_TRY(check_shape(p, m->t, 2, plan.rows, plan.cols));
    bool ternary = !(table && p->options->embd) && tn_matrix_is_ternary(m);
    tn_os_advise_dontneed(m->t->data, m->t->bytes);
    if (ternary) return choose_type(p, &plan);
    if (table) {
        uint32_t id = stored_as(m->t);
        if (p->options->embd && !tn_float_type(p->options->embd, &id))
            return tn_fail(p->err, TERN_ERR_INPUT, "TerncConvert.embd: '%s', expected f32, f16, bf16 or q8_0",
                           p->options->embd);
        return plan_floats(p, plan, id);
    }
    if (!p->c->masters && !p->options->absmean)
        return tn_fail(
            p->err, TERN_ERR_UNSUPPORTED,
            "%s: tensor %s is not ternary, and config.json does not say that it was trained to be rounded; "
            "convert it with TerncConvert.absmean to round it by its mean magnitude",
            p->f->path, m->t->name);
    m->form = TN_MATRIX_MASTER;
    m->group = 0;
    return choose_type(p, &plan);
}

/* Rows of q and k change their order where rope rotates neighbours. */
static uint32_t heads_to_turn(const TnPlanner *p, const TnArchTensor *row) {
    bool q = strncmp(row->name, "blk.*.attn_q.", 13) == 0, k = strncmp(row->name, "blk.*.attn_k.", 13) == 0;
    if (strcmp(p->c->arch->rope, "pair") != 0 || (!q && !k)) return 0;
    return (uint32_t)(q ? p->c->heads : p->c->kv);
}

static TernStatus plan_row(Planning *g, const TnArchTensor *row, uint64_t layer) {
    TnPlanner *p = g->p;
    const char *name = row->name, *hf;
    bool of_layer = strncmp(name, "blk.*.", 6) == 0;
    const TnSafeTensor *t = find(g, name, layer, &hf);
    if (of_layer) name = tn_sprintf(&p->f->arena, "blk.%llu.%s", (unsigned long long)layer, name + 6);
    if (!t && row->optional) return TERN_OK;
    if (!t) return tn_fail(p->err, TERN_ERR_INPUT, "%s: tensor %s is missing", p->f->path, hf ? hf : name);
    if (strcmp(row->name, "output.weight") == 0 && p->c->tied) return TERN_OK; /* a copy of the embedding */
    TnPlan plan = {.name = name, .rank = 2, .rows = dim(p->c, row->rows), .cols = dim(p->c, row->cols)};
    plan.m = (TnMatrix){
        .name = name, .t = t, .rows = plan.rows, .cols = plan.cols, .heads = heads_to_turn(p, row)};
    if (row->rows != TN_DIM_NONE) return plan_matrix(g, plan, !of_layer);
    plan.rank = 1;
    TN_TRY(check_shape(p, t, 1, 1, plan.cols));
    TN_TRY(check_floats(p, t));
    if (plan.m.heads) plan.m.rows = plan.cols; /* numbers change places as rows do */
    if (p->c->arch->norms_less_one && strstr(row->name, "norm.weight")) plan.plus = 1;
    return plan_floats(p, plan, TN_GGUF_ID_F32);
}

static TernStatus plan_factors(TnPlanner *p) {
    TnHfFactors factors;
    TN_TRY(tn_hf_factors(p->f, p->c, &factors, p->err));
    const struct {
        const char *name;
        const float *numbers;
    } list[] = {{"rope_freqs.weight", factors.all},
                {"rope_factors_long.weight", factors.longer},
                {"rope_factors_short.weight", factors.shorter}};
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        if (!list[i].numbers) continue;
        if (!tn_arch_has_tensor(p->c->arch, false, list[i].name))
            return tn_fail(p->err, TERN_ERR_UNSUPPORTED, "%s: rope_scaling needs %s, which %s does not have",
                           p->c->path, list[i].name, p->c->arch->classes);
        TN_TRY(add(p, (TnPlan){.name = list[i].name,
                               .form = TN_PLAN_NUMBERS,
                               .id = TN_GGUF_ID_F32,
                               .rank = 1,
                               .rows = 1,
                               .cols = p->c->head / 2,
                               .bytes = 2 * p->c->head,
                               .numbers = list[i].numbers}));
    }
    return TERN_OK;
}

/* Refuses a tensor without a place. Buffers of rope hold nothing that config.json does not say. */
static TernStatus check_used(const Planning *g) {
    static const char buffer[] = "rotary_emb.inv_freq";
    for (size_t i = 0; i < g->p->f->n_tensors; i++) {
        const char *name = g->p->f->tensors[i]->name;
        size_t n = strlen(name);
        if (g->used[i] || (n > sizeof buffer && strcmp(name + n - (sizeof buffer - 1), buffer) == 0))
            continue;
        return tn_fail(g->p->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has no place in the architecture %s",
                       g->p->f->path, name, g->p->c->arch->name);
    }
    return TERN_OK;
}

TernStatus tn_hf_plan(TnPlanner *p) {
    Planning g = {p, tn_alloc_array(&p->f->arena, p->f->n_tensors + 1, sizeof(bool))};
    const TnArch *arch = p->c->arch;
    if (!p->c->tied && !tn_hf_tensor(p->f, "lm_head.weight"))
        return tn_fail(p->err, TERN_ERR_INPUT,
                       "%s: tensor lm_head.weight is missing, and tie_word_embeddings is false", p->f->path);
    for (uint32_t i = 0; i < arch->n_tensors; i++)
        if (strncmp(arch->tensors[i].name, "blk.", 4) != 0) TN_TRY(plan_row(&g, &arch->tensors[i], 0));
    for (uint64_t layer = 0; layer < p->c->layers; layer++)
        for (uint32_t i = 0; i < arch->n_tensors; i++)
            if (strncmp(arch->tensors[i].name, "blk.", 4) == 0)
                TN_TRY(plan_row(&g, &arch->tensors[i], layer));
    TN_TRY(plan_factors(p));
    return check_used(&g);
}
