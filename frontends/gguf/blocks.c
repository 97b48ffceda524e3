/* The blocks from which architectures build their graphs. arch.h describes each. */
#include <math.h>
#include <string.h>
#include "frontends/gguf/arch.h"

TnRef tn_block_op_attrs(TnArchBuild *b, TnOp op, const char *name, const TnRef *args, uint32_t n_args,
                        const TnAttr *attrs, uint32_t n_attrs) {
    if (b->status != TERN_OK) return TN_NONE;
    return tn_node_add(b->g, op, name, NULL, args, n_args, attrs, n_attrs);
}
TnRef tn_block_op(TnArchBuild *b, TnOp op, const TnRef *args, uint32_t n_args) {
    return tn_block_op_attrs(b, op, NULL, args, n_args, NULL, 0);
}
TnRef tn_block_add(TnArchBuild *b, TnRef x, TnRef y) {
    return tn_block_op(b, TN_OP_add, (TnRef[]){x, y}, 2);
}

TnRef tn_block_times(TnArchBuild *b, TnRef x, float by) {
    TnAttr scale = {.key = TN_ATTR_scale, .f = by};
    return tn_block_op_attrs(b, TN_OP_times, NULL, &x, 1, &scale, 1);
}

static TnRef input(TnArchBuild *b, const char *name, TnType type) {
    TnAttr a = {.key = TN_ATTR_name, .s = name};
    return tn_node_add(b->g, TN_OP_input, name, &type, NULL, 0, &a, 1);
}

void tn_block_inputs(TnArchBuild *b) {
    if (b->status != TERN_OK) return;
    TnDim t = tn_sym_dim(TN_T);
    b->ids = input(b, "ids", tn_type(TN_ENC_i32, 1, t));
    b->pos = input(b, "pos", tn_type(TN_ENC_i32, 1, t));
    b->slot = input(b, "slot", tn_type(TN_ENC_i32, 1, t));
    b->rows = input(b, "rows", tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_R)));
    b->hrows = input(b, "hrows", tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_H)));
    b->table = input(b, "table", tn_type(TN_ENC_i32, 2, tn_sym_dim(TN_S), tn_sym_dim(TN_P)));
    b->embd = tn_arch_table(b, "token_embd.weight");
}

TnRef tn_block_embed(TnArchBuild *b) {
    return tn_block_op(b, TN_OP_embed, (TnRef[]){b->ids, b->embd}, 2);
}

/* ---- Norms */

static TnRef norm_by(TnArchBuild *b, const char *name, TnRef x, TnRef weight) {
    TnAttr eps = {.key = TN_ATTR_eps, .f = b->eps};
    return tn_block_op_attrs(b, TN_OP_rmsnorm, name, (TnRef[]){x, weight}, 2, &eps, 1);
}
static TnRef norm_weight(TnArchBuild *b, uint32_t layer, const char *what) {
    return tn_arch_vector(b, layer, tn_sprintf(&b->gg->arena, "%s.weight", what));
}
TnRef tn_block_norm(TnArchBuild *b, uint32_t layer, const char *what, TnRef x) {
    return norm_by(b, NULL, x, norm_weight(b, layer, what));
}
TnRef tn_block_head_norm(TnArchBuild *b, uint32_t layer, const char *what, TnRef x) {
    TnAttr eps = {.key = TN_ATTR_eps, .f = b->eps};
    TnRef w = norm_weight(b, layer, what);
    return tn_block_op_attrs(b, TN_OP_headnorm, NULL, (TnRef[]){x, w}, 2, &eps, 1);
}

/* ---- Linears */

/* Reads the scale tensor that some converters write beside a matrix; it multiplies the output. */
static TernStatus extra_scale(TnArchBuild *b, uint32_t layer, const char *what, bool ternary, float *io) {
    const char *name = tn_sprintf(&b->gg->arena, "%s.scale", what);
    if (!tn_arch_has_tensor(b->arch, layer != TN_NO_LAYER, name)) return TERN_OK;
    const TnGgufTensor *t = tn_arch_tensor(b, layer, name);
    if (!t) return b->status;
    float s;
    if (t->enc != TN_ENC_f32)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has type %s, expected f32", b->gg->path,
                       t->name, tn_encs[t->enc].name);
    memcpy(&s, t->data, 4);
    if (!isfinite(s))
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s is %g, expected a number", b->gg->path, t->name,
                       (double)s);
    if (!ternary && s != 1.0f)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s is %g beside dense weights, expected 1 (or TerncSource.ternary_dense)",
                       b->gg->path, t->name, (double)s);
    *io *= s;
    return TERN_OK;
}

/* The matrix's own scale times that of its scale tensor. */
static TernStatus scale_of(TnArchBuild *b, uint32_t layer, const char *what, const TnGgufTensor *t,
                           bool ternary, TnStoredScale *out) {
    TnType type = tn_type(t->enc, 2, (TnDim)t->ne[1], (TnDim)t->ne[0]);
    TernStatus st = TERN_OK;
    float extra = 1.0f;
    *out = (TnStoredScale){.scale = 1.0f};
    if (tn_enc_is_ternary(t->enc))
        st = tn_stored_scale(&type, t->data, t->name, out, b->err);
    else if (ternary)
        st = tn_dense_scale(&type, t->data, t->name, &out->scale, b->err);
    if (st != TERN_OK) return tn_fail_in(b->err, st, "%s", b->gg->path);
    TN_TRY(extra_scale(b, layer, what, ternary, &extra));
    if (out->group && extra != 1.0f)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: a .scale of %g beside %s, which has scales of its own, expected 1", b->gg->path,
                       (double)extra, t->name);
    out->scale *= extra;
    if (!isfinite(out->scale))
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s has the scale %g, expected a number",
                       b->gg->path, t->name, (double)out->scale);
    return TERN_OK;
}

/* The matrix in a form that tmatmul accepts. Dense matrices hold -s, 0 and s, so their signs are the
 * trits. */
static TnRef ternary_weight(TnArchBuild *b, const TnGgufTensor *t, const char *node, TnStoredScale scale) {
    TnScale whole = {(int64_t)t->ne[1], scale.scale};
    TnType plain = tn_type(t->enc, 2, (TnDim)t->ne[1], (TnDim)t->ne[0]), scaled = plain;
    scaled.group = scale.group;
    scaled.two = scale.two;
    scaled.scales = scale.group ? NULL : &whole;
    scaled.n_scales = !scale.group;
    if (tn_enc_is_ternary(t->enc)) return tn_arch_source(b, t, node, &scaled);
    TnRef w = tn_arch_source(b, t, tn_sprintf(&b->gg->arena, "%s.dense", node), &plain);
    scaled.enc = TN_ENC_t8;
    return tn_node_add(b->g, TN_OP_pack, node, &scaled, &w, 1, NULL, 0);
}

/* x times a ternary matrix. If the matrix has one scale, or one for each row, the model was trained with x
 * rounded to int8 by rows. Otherwise it was not, and x is rounded in groups as fine as those of the weights'
 * scales. */
static TnRef ternary_product(TnArchBuild *b, const char *name, TnRef x, TnRef w) {
    if (b->status != TERN_OK) return TN_NONE;
    const TnType *t = &b->g->nodes[w].type;
    if (tn_type_in_groups(t)) {
        TnAttr n = {.key = TN_ATTR_n, .i = t->group};
        TnRef q = tn_block_op_attrs(b, TN_OP_quant_groups, NULL, &x, 1, &n, 1);
        return tn_block_op_attrs(b, TN_OP_tmatmul_groups, name, (TnRef[]){q, w}, 2, NULL, 0);
    }
    TnRef q = tn_block_op(b, TN_OP_quant, &x, 1);
    TnRef acc = tn_block_op(b, TN_OP_tmatmul, (TnRef[]){q, w}, 2);
    return tn_block_op_attrs(b, TN_OP_dequant, name, (TnRef[]){acc, q, w}, 3, NULL, 0);
}

static TnRef product(TnArchBuild *b, uint32_t layer, const char *what, TnRef x) {
    const char *name = tn_sprintf(&b->gg->arena, "%s.weight", what);
    const TnGgufTensor *t = tn_arch_tensor(b, layer, name);
    if (!t) return TN_NONE;
    const char *node = tn_arch_node_name(b, layer, name);
    bool dense = tn_enc_is_float(t->enc),
         ternary = tn_enc_is_ternary(t->enc) || (dense && b->options->ternary_dense);
    TnStoredScale scale;
    b->n_dense += dense;
    if (layer == 0) b->matrix_enc = t->enc;
    b->status = scale_of(b, layer, what, t, ternary, &scale);
    if (b->status != TERN_OK) return TN_NONE;
    if (!ternary) {
        TnType type = tn_type(t->enc, 2, (TnDim)t->ne[1], (TnDim)t->ne[0]);
        return tn_block_op(b, TN_OP_matmul, (TnRef[]){x, tn_arch_source(b, t, node, &type)}, 2);
    }
    return ternary_product(b, NULL, x, ternary_weight(b, t, node, scale));
}

/* The norm in front of a linear, if the file has such norms. */
static TnRef norm_in(TnArchBuild *b, uint32_t layer, const char *what, TnRef x) {
    const char *name = tn_sprintf(&b->gg->arena, "%s_norm_in.weight", what);
    if (!b->norms_in || layer == TN_NO_LAYER || !tn_arch_has_tensor(b->arch, true, name)) return x;
    TnRef w = tn_arch_vector(b, layer, name);
    if (w == TN_NONE && b->status == TERN_OK)
        b->status =
            tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor blk.%u.%s is missing", b->gg->path, layer, name);
    return norm_by(b, NULL, x, w);
}

TnRef tn_block_linear(TnArchBuild *b, uint32_t layer, const char *what, TnRef x) {
    const char *bias = tn_sprintf(&b->gg->arena, "%s.bias", what);
    TnRef y = product(b, layer, what, norm_in(b, layer, what, x));
    if (!tn_arch_has_tensor(b->arch, layer != TN_NO_LAYER, bias)) return y;
    TnRef v = tn_arch_vector(b, layer, bias);
    return v == TN_NONE ? y : tn_block_op(b, TN_OP_bias, (TnRef[]){y, v}, 2);
}

/* ---- Attention and feed-forward */

static TnRef put(TnArchBuild *b, uint32_t layer, char which, TnRef x) {
    if (b->status != TERN_OK) return TN_NONE;
    TnType t = tn_type(which == 'k' ? TN_ENC_kc : TN_ENC_vc, 3, tn_sym_dim(TN_N), (TnDim)b->facts.n_kv_heads,
                       (TnDim)b->facts.head_dim);
    TnRef cache = input(b, tn_sprintf(&b->gg->arena, "%c%u", which, layer), t);
    return tn_block_op(b, TN_OP_kv_put, (TnRef[]){cache, x, b->pos, b->slot, b->table}, 5);
}

TnRef tn_block_attend(TnArchBuild *b, uint32_t layer, const TnBlockAttend *a) {
    TnRef k = put(b, layer, 'k', a->k);
    TnRef v = put(b, layer, 'v', a->v);
    TnAttr attrs[] = {{.key = TN_ATTR_scale, .f = a->scale != 0 ? a->scale : b->attn_scale},
                      {.key = TN_ATTR_window, .i = a->window}};
    return tn_block_op_attrs(b, TN_OP_attend, NULL, (TnRef[]){a->q, k, v, b->pos, b->slot, b->table}, 6,
                             attrs, 2);
}

TnRef tn_block_attention_within(TnArchBuild *b, uint32_t layer, TnRef angle, int64_t window, TnRef h) {
    TnBlockAttend a = {.window = window};
    a.q = tn_block_linear(b, layer, "attn_q", h);
    a.k = tn_block_linear(b, layer, "attn_k", h);
    a.v = tn_block_linear(b, layer, "attn_v", h);
    if (tn_arch_has_tensor(b->arch, true, "attn_q_norm.weight")) {
        a.q = tn_block_head_norm(b, layer, "attn_q_norm", a.q);
        a.k = tn_block_head_norm(b, layer, "attn_k_norm", a.k);
    }
    a.q = tn_block_rope(b, angle, a.q);
    a.k = tn_block_rope(b, angle, a.k);
    return tn_block_attend(b, layer, &a);
}

TnRef tn_block_attention(TnArchBuild *b, uint32_t layer, TnRef angle, TnRef h) {
    return tn_block_attention_within(b, layer, angle, b->window, h);
}

bool tn_block_is_local(const TnArchBuild *b, uint32_t layer) {
    return b->period && layer % b->period + 1 < b->period;
}

TnRef tn_block_gated(TnArchBuild *b, uint32_t layer, TnOp activation, TnRef h) {
    TnRef gate = tn_block_linear(b, layer, "ffn_gate", h);
    TnRef up = tn_block_linear(b, layer, "ffn_up", h);
    TnRef act = tn_block_op(b, activation, &gate, 1);
    return tn_block_op(b, TN_OP_mul, (TnRef[]){act, up}, 2);
}

TnRef tn_block_layer(TnArchBuild *b, uint32_t layer, TnRef angle, TnRef x) {
    TnRef h = tn_block_norm(b, layer, "attn_norm", x);
    h = tn_block_attention(b, layer, angle, h);
    x = tn_block_add(b, x, tn_block_linear(b, layer, "attn_output", h));
    h = tn_block_norm(b, layer, "ffn_norm", x);
    h = tn_block_gated(b, layer, b->activation, h);
    return tn_block_add(b, x, tn_block_linear(b, layer, "ffn_down", h));
}

/* ---- The end, and the whole */

TnBlockFinal tn_block_final(TnArchBuild *b, TnRef x) {
    TnRef rows = tn_block_op(b, TN_OP_gather, (TnRef[]){x, b->rows}, 2);
    TnRef hidden = tn_block_op(b, TN_OP_gather, (TnRef[]){x, b->hrows}, 2);
    TnRef weight = tn_arch_vector(b, TN_NO_LAYER, "output_norm.weight");
    rows = norm_by(b, NULL, rows, weight);
    return (TnBlockFinal){rows, norm_by(b, "hidden", hidden, weight)};
}

TnRef tn_block_logits(TnArchBuild *b, TnRef rows) {
    bool has_row = tn_arch_has_tensor(b->arch, false, "output.weight");
    TnRef w = has_row ? tn_arch_table(b, "output.weight") : TN_NONE;
    if (w == TN_NONE) w = b->embd;
    if (b->status == TERN_OK && tn_enc_is_ternary(b->g->nodes[w].type.enc))
        return ternary_product(b, "logits", rows, w);
    return tn_block_op_attrs(b, TN_OP_matmul, "logits", (TnRef[]){rows, w}, 2, NULL, 0);
}

static void output(TnArchBuild *b, TnRef value, const char *name) {
    TnAttr a = {.key = TN_ATTR_name, .s = name};
    tn_block_op_attrs(b, TN_OP_output, tn_sprintf(&b->gg->arena, "out.%s", name), &value, 1, &a, 1);
}

void tn_block_outputs(TnArchBuild *b, TnRef logits, TnRef hidden) {
    enum { MOST = 256 }; /* ids of a top-k */
    TnAttr k = {.key = TN_ATTR_k, .i = MOST};
    TnRef best = tn_block_op_attrs(b, TN_OP_argmax, "best", &logits, 1, NULL, 0);
    TnRef top = tn_block_op_attrs(b, TN_OP_topk, "top", &logits, 1, &k, 1);
    TnRef toplogit = tn_block_op_attrs(b, TN_OP_take, "toplogit", (TnRef[]){logits, top}, 2, NULL, 0);
    output(b, best, "best");
    output(b, top, "top");
    output(b, toplogit, "toplogit");
    output(b, logits, "logits");
    output(b, hidden, "hidden");
}

void tn_block_head(TnArchBuild *b, TnRef x) {
    TnBlockFinal f = tn_block_final(b, x);
    tn_block_outputs(b, tn_block_logits(b, f.rows), f.hidden);
}

void tn_block_decoder(TnArchBuild *b, TnRef (*layer)(TnArchBuild *b, uint32_t i, TnRef angle, TnRef x)) {
    TnRef angle = tn_block_angle(b, b->rope_base);
    TnRef x = tn_block_embed(b);
    for (uint32_t i = 0; i < b->facts.n_layers; i++) x = layer(b, i, angle, x);
    tn_block_head(b, x);
}
