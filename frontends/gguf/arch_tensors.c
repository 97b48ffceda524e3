/* Finds tensors by the rows of an architecture's table, checks them against the row's shape, marks them as
 * used, and makes `gguf` nodes of them. */
#include <stdio.h>
#include "frontends/gguf/arch.h"
#include "runtime/base/hash.h"

const char *const tn_dim_names[TN_DIM_COUNT] = {[TN_DIM_NONE] = "",           [TN_DIM_ONE] = "1",
                                                [TN_DIM_HIDDEN] = "hidden",   [TN_DIM_FFN] = "ffn",
                                                [TN_DIM_Q] = "heads x head",  [TN_DIM_KV] = "kv heads x head",
                                                [TN_DIM_HEAD] = "head",       [TN_DIM_HALF_HEAD] = "head / 2",
                                                [TN_DIM_VOCAB] = "vocabulary"};

uint64_t tn_arch_dim(const TnArchBuild *b, TnArchDim dim) {
    const TnFacts *f = &b->facts;
    switch (dim) {
    case TN_DIM_NONE:
    case TN_DIM_ONE:
        return 1;
    case TN_DIM_HIDDEN:
        return f->n_hidden;
    case TN_DIM_FFN:
        return f->n_ffn;
    case TN_DIM_Q:
        return (uint64_t)f->n_heads * f->head_dim;
    case TN_DIM_KV:
        return (uint64_t)f->n_kv_heads * f->head_dim;
    case TN_DIM_HEAD:
        return f->head_dim;
    case TN_DIM_HALF_HEAD:
        return f->head_dim / 2;
    case TN_DIM_VOCAB:
        return f->n_vocab;
    case TN_DIM_COUNT:
        break;
    }
    TN_BUG("size %d of a tensor", (int)dim);
}

#define LAYER "blk.*."
static const TnArchTensor *row_of(const TnArch *arch, bool layer, const char *what) {
    size_t n = layer ? strlen(LAYER) : 0;
    for (uint32_t i = 0; i < arch->n_tensors; i++) {
        const char *name = arch->tensors[i].name;
        if (strncmp(name, LAYER, n) == 0 && strcmp(name + n, what) == 0) return &arch->tensors[i];
    }
    return NULL;
}

bool tn_arch_has_tensor(const TnArch *arch, bool layer, const char *what) {
    return row_of(arch, layer, what) != NULL;
}

static TernStatus find_tensor(TnArchBuild *b, uint32_t layer, const char *what, const TnGgufTensor **out) {
    const TnArchTensor *row = row_of(b->arch, layer != TN_NO_LAYER, what);
    const char *name = layer == TN_NO_LAYER ? what : tn_sprintf(&b->gg->arena, "blk.%u.%s", layer, what);
    if (!row) TN_BUG("architecture %s has no row for tensor %s", b->arch->name, name);
    const TnGgufTensor *t = tn_gguf_tensor(b->gg, name);
    if (!t)
        return row->optional ? TERN_OK
                             : tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s is missing", b->gg->path, name);
    uint64_t rows = tn_arch_dim(b, row->rows), cols = tn_arch_dim(b, row->cols);
    if (t->ne[0] != cols || t->ne[1] != rows || t->ne[2] != 1 || t->ne[3] != 1)
        return tn_fail(
            b->err, TERN_ERR_INPUT,
            "%s: tensor %s has %llu x %llu x %llu x %llu elements (columns first), expected %llu x %llu",
            b->gg->path, name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
            (unsigned long long)t->ne[2], (unsigned long long)t->ne[3], (unsigned long long)cols,
            (unsigned long long)rows);
    b->used[t - b->gg->tensors] = true;
    *out = t;
    return TERN_OK;
}

const TnGgufTensor *tn_arch_tensor(TnArchBuild *b, uint32_t layer, const char *what) {
    const TnGgufTensor *t = NULL;
    if (b->status == TERN_OK) b->status = find_tensor(b, layer, what, &t);
    return t;
}

/* Hashing reads the whole file once, so its pages are released afterwards. */
TnRef tn_arch_source(TnArchBuild *b, const TnGgufTensor *t, const char *node, const TnType *type) {
    TnRef *made = &b->nodes[t - b->gg->tensors];
    if (b->status != TERN_OK) return TN_NONE;
    if (*made != TN_NONE) return *made;
    TnAttr attrs[] = {{.key = TN_ATTR_name, .s = t->name},
                      {.key = TN_ATTR_hash, .u = b->options->no_hash ? 0 : tn_hash64(t->data, t->bytes)}};
    if (b->gg->file.data) tn_os_advise_dontneed(t->data, t->bytes);
    b->facts.n_params += t->ne[0] * t->ne[1];
    return *made = tn_node_add(b->g, TN_OP_gguf, node, type, NULL, 0, attrs, 2);
}

/* attn_norm.weight of layer 0 is called l0.attn_norm. attn_q.bias keeps its ending, l0.attn_q.bias, since
 * l0.attn_q is the matrix. */
const char *tn_arch_node_name(TnArchBuild *b, uint32_t layer, const char *what) {
    size_t n = strlen(what), end = strlen(".weight");
    if (n > end && strcmp(what + n - end, ".weight") == 0) n -= end;
    return layer == TN_NO_LAYER ? tn_strndup(&b->gg->arena, what, n)
                                : tn_sprintf(&b->gg->arena, "l%u.%.*s", layer, (int)n, what);
}

TnRef tn_arch_vector(TnArchBuild *b, uint32_t layer, const char *what) {
    const TnGgufTensor *t = tn_arch_tensor(b, layer, what);
    if (!t) return TN_NONE;
    if (!tn_enc_is_float(t->enc)) {
        b->status =
            tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has type %s, expected f32, f16 or bf16",
                    b->gg->path, t->name, tn_encs[t->enc].name);
        return TN_NONE;
    }
    TnType type = tn_type(t->enc, 1, (TnDim)t->ne[0]);
    return tn_arch_source(b, t, tn_arch_node_name(b, layer, what), &type);
}

TnRef tn_arch_table(TnArchBuild *b, const char *what) {
    const TnGgufTensor *t = tn_arch_tensor(b, TN_NO_LAYER, what);
    if (!t) return TN_NONE;
    TnType type = tn_type(t->enc, 2, (TnDim)t->ne[1], (TnDim)t->ne[0]);
    TnScale whole = {.rows = (int64_t)t->ne[1]};
    if (tn_enc_is_ternary(t->enc)) {
        TnStoredScale s;
        TernStatus st = tn_stored_scale(&type, t->data, t->name, &s, b->err);
        if (st != TERN_OK) {
            b->status = tn_fail_in(b->err, st, "%s", b->gg->path);
            return TN_NONE;
        }
        whole.scale = s.scale;
        type.group = s.group;
        type.two = s.two;
        type.scales = s.group ? NULL : &whole;
        type.n_scales = !s.group;
    }
    return tn_arch_source(b, t, tn_arch_node_name(b, TN_NO_LAYER, what), &type);
}
