/* From keys and tensors to the model-stage graph.
 *
 * Four architectures, one transformer. They differ in the activation, the rope's pairing and the sub-norms:
 *
 *   arch                       activation    rope   sub-norms before attn_output and ffn_down
 *   bitnet-b1.58, bitnet-25    relu squared  half   yes
 *   bitnet                     silu          half   yes
 *   llama                      silu          pair   no
 *
 * The key ARCH.hidden_activation says relu2 or silu where a converter wrote it; otherwise the architecture's name
 * decides (a wrong one still writes plausible text). Per layer: h = rmsnorm(x); q, k, v = linear(h); rope; attend; [sub-norm]; x += linear; h =
 * rmsnorm(x); act(gate(h)) * up(h); [sub-norm]; x += linear. A linear with ternary weights is quant, tmatmul,
 * dequant; with dense weights it is matmul. Then gather the rows that want something, rmsnorm, head.
 *
 * Every tensor of the file must be understood: one that is not (a bias, an expert) would be a silently wrong
 * answer, so it is refused by name. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "runtime/base/hash.h"

typedef struct Arch {
    const char *name;
    bool relu2, pair, sub_norms, scales;
} Arch;
static const Arch archs[] = {
    {"bitnet-b1.58", true, false, true, false},
    {"bitnet-25", true, false, true, false},
    {"bitnet", false, false, true, true}, /* scales: mainline's converter writes blk.N.<proj>.scale */
    {"llama", false, true, false, false},
};

typedef struct Build {
    TnGguf *gg;
    TnGraph *g;
    const TnGgufOptions *options;
    TernError *err;
    const Arch *arch;
    bool *used;       /* by tensor */
    uint32_t n_dense; /* matrices of blocks that are stored dense */
    uint64_t hidden, layers, ffn, heads, kv_heads, head, vocab, context;
    float eps, base, scale;
    bool relu2;
    TnRef ids, pos, slot, rows, hrows, table, angle;
    uint64_t params;
} Build;

/* The architecture's own key, "arch.what". */
static const char *key(Build *b, const char *what) {
    return tn_sprintf(&b->gg->arena, "%s.%s", b->arch->name, what);
}

static TernStatus count(Build *b, const char *what, bool required, uint64_t hi, uint64_t *io) {
    return tn_gguf_uint(b->gg, key(b, what), required, 1, hi, io, b->err);
}
/* One that some converters write layer by layer. */
static TernStatus layer_count(Build *b, const char *what, bool required, uint64_t hi, uint64_t *io) {
    return tn_gguf_uint_layers(b->gg, key(b, what), required, b->layers, 1, hi, io, b->err);
}

/* What the file says of the activation, and otherwise the architecture's name. Of `bitnet` both exist: who converts
 * BitNet b1.58 2B-4T with llama.cpp gets that name for a model of the other activation. */
static TernStatus activation(Build *b) {
    const char *name = key(b, "hidden_activation"), *says;
    TN_TRY(tn_gguf_string(b->gg, name, false, &says, b->err));
    b->relu2 = says ? strcmp(says, "relu2") == 0 : b->arch->relu2;
    if (!says || b->relu2 || strcmp(says, "silu") == 0) return TERN_OK;
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: %s is '%.80s', expected relu2 or silu", b->gg->path,
                   name, says);
}

/* To be called when the vocabulary is known. */
static TernStatus check_activation(Build *b) {
    const char *name = key(b, "hidden_activation");
    if (strcmp(b->arch->name, "bitnet") != 0 || b->vocab != 128256 || tn_gguf_key(b->gg, name))
        return TERN_OK;
    return tn_fail(
        b->err, TERN_ERR_UNSUPPORTED,
        "%s: architecture bitnet with the 128256 tokens of BitNet b1.58 2B-4T, whose activation is relu "
        "squared, and no key says which it is: --override-kv %s=str:relu2 settles it (=str:silu for the "
        "other)",
        b->gg->path, name);
}

/* What attention multiplies its scores by; 0 is llama.cpp's word for the usual. */
static TernStatus attention_scale(Build *b) {
    float v = 0;
    b->scale = (float)(1.0 / sqrt((double)b->head));
    TN_TRY(tn_gguf_float(b->gg, key(b, "attention.scale"), false, 0, 1e6, &v, b->err));
    if (v != 0 && v < 1e-6f)
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %g, expected 0 (the usual), or 1e-6 to 1e+06",
                       b->gg->path, key(b, "attention.scale"), (double)v);
    if (v != 0) b->scale = v;
    return TERN_OK;
}

static TernStatus read_keys(Build *b) {
    const char *arch;
    TN_TRY(tn_gguf_whole(b->gg, b->err));
    TN_TRY(tn_gguf_string(b->gg, "general.architecture", true, &arch, b->err));
    for (size_t i = 0; i < TN_COUNT(archs); i++)
        if (strcmp(arch, archs[i].name) == 0) b->arch = &archs[i];
    if (!b->arch)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: general.architecture is '%s', wanted bitnet-b1.58, bitnet-25, bitnet or llama",
                       b->gg->path, arch);
    TN_TRY(count(b, "embedding_length", true, 1 << 20, &b->hidden));
    TN_TRY(count(b, "block_count", true, 1 << 12, &b->layers));
    TN_TRY(layer_count(b, "feed_forward_length", true, 1 << 22, &b->ffn));
    TN_TRY(count(b, "context_length", true, 1 << 24, &b->context));
    TN_TRY(layer_count(b, "attention.head_count", true, 1 << 12, &b->heads));
    b->kv_heads = b->heads;
    TN_TRY(layer_count(b, "attention.head_count_kv", false, 1 << 12, &b->kv_heads));
    if (b->heads % b->kv_heads)
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %llu, wanted a divisor of the %llu heads",
                       b->gg->path, key(b, "attention.head_count_kv"), (unsigned long long)b->kv_heads,
                       (unsigned long long)b->heads);
    b->head = b->hidden / b->heads;
    if (!tn_gguf_key(b->gg, key(b, "attention.key_length")) && b->hidden % b->heads)
        return tn_fail(b->err, TERN_ERR_INPUT,
                       "%s: %s is %llu, wanted a divisor of the embedding length %llu", b->gg->path,
                       key(b, "attention.head_count"), (unsigned long long)b->heads,
                       (unsigned long long)b->hidden);
    TN_TRY(count(b, "attention.key_length", false, 1024, &b->head));
    uint64_t same = b->head;
    TN_TRY(tn_gguf_uint(b->gg, key(b, "attention.value_length"), false, b->head, b->head, &same, b->err));
    TN_TRY(tn_gguf_uint(b->gg, key(b, "rope.dimension_count"), false, b->head, b->head, &same, b->err));
    if (b->head % 2 || b->head > 1024)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: heads of %llu columns, wanted an even number up to 1024", b->gg->path,
                       (unsigned long long)b->head);
    TN_TRY(tn_gguf_float(b->gg, key(b, "attention.layer_norm_rms_epsilon"), true, 1e-12, 1, &b->eps, b->err));
    b->base = 10000.0f;
    TN_TRY(tn_gguf_float(b->gg, key(b, "rope.freq_base"), false, 1, 1e12, &b->base, b->err));
    TN_TRY(activation(b));
    TN_TRY(attention_scale(b));
    TnGgufNeutral neutral = {.head = (double)b->head, .base = (double)b->base};
    return tn_gguf_check_keys(b->gg, b->arch->name, &neutral, b->err);
}

/* A tensor of the wanted shape ("" rows: a vector); *out is NULL if it is absent and not required. */
static TernStatus tensor(Build *b, const char *name, uint64_t rows, uint64_t cols, bool required,
                         const TnGgufTensor **out) {
    const TnGgufTensor *t = tn_gguf_tensor(b->gg, name);
    *out = NULL;
    if (!t)
        return required ? tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s is missing", b->gg->path, name)
                        : TERN_OK;
    bool vector = rows == 0;
    if (t->ne[0] != cols || t->ne[1] != (vector ? 1 : rows) || t->ne[2] != 1 || t->ne[3] != 1)
        return tn_fail(
            b->err, TERN_ERR_INPUT,
            "%s: tensor %s has %llu x %llu x %llu x %llu elements (columns first), wanted %llu x %llu",
            b->gg->path, name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
            (unsigned long long)t->ne[2], (unsigned long long)t->ne[3], (unsigned long long)cols,
            (unsigned long long)(vector ? 1 : rows));
    b->used[t - b->gg->tensors] = true;
    *out = t;
    return TERN_OK;
}

/* The `gguf` node of a tensor. Hashing goes through the whole file once: what it leaves behind is let go. */
static TnRef source(Build *b, const TnGgufTensor *t, const char *node, const TnType *type) {
    TnAttr attrs[] = {{.key = TN_ATTR_name, .s = t->name},
                      {.key = TN_ATTR_hash, .u = b->options->no_hash ? 0 : tn_hash64(t->data, t->bytes)}};
    if (b->gg->file.data) tn_os_advise_dontneed(t->data, t->bytes);
    b->params += t->ne[0] * t->ne[1];
    return tn_node_add(b->g, TN_OP_gguf, node, type, NULL, 0, attrs, 2);
}

static TernStatus vector(Build *b, const char *name, uint64_t n, const char *node, TnRef *out) {
    const TnGgufTensor *t;
    TN_TRY(tensor(b, name, 0, n, true, &t));
    if (!tn_enc_is_float(t->enc))
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has type %s, wanted f32, f16 or bf16",
                       b->gg->path, name, tn_encs[t->enc].name);
    TnType type = tn_type(t->enc, 1, (TnDim)n);
    *out = source(b, t, node, &type);
    return TERN_OK;
}

/* The embedding or head: a dense table. */
static TernStatus table(Build *b, const TnGgufTensor *t, const char *node, TnRef *out) {
    if (tn_enc_is_ternary(t->enc))
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s has type %s, wanted f32, f16, bf16, q8_0 or q6_k", b->gg->path, t->name,
                       tn_encs[t->enc].name);
    TnType type = tn_type(t->enc, 2, (TnDim)b->vocab, (TnDim)b->hidden);
    *out = source(b, t, node, &type);
    return TERN_OK;
}

/* The scale tensor some converters write beside a projection: multiplies its output. */
static TernStatus extra_scale(Build *b, uint64_t layer, const char *proj, bool ternary, float *io) {
    const TnGgufTensor *t;
    const char *name = tn_sprintf(&b->gg->arena, "blk.%llu.%s.scale", (unsigned long long)layer, proj);
    if (!b->arch->scales) return TERN_OK;
    TN_TRY(tensor(b, name, 0, 1, false, &t));
    if (!t) return TERN_OK;
    float s;
    if (t->enc != TN_ENC_f32)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has type %s, wanted f32", b->gg->path,
                       name, tn_encs[t->enc].name);
    memcpy(&s, t->data, 4);
    if (!isfinite(s))
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s is %g, wanted a number", b->gg->path, name,
                       (double)s);
    if (!ternary && s != 1.0f)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s is %g beside dense weights, wanted 1 (or TerncSource.ternary_dense)",
                       b->gg->path, name, (double)s);
    *io *= s;
    return TERN_OK;
}

/* y = W x for one projection of one layer. */
static TernStatus linear(Build *b, uint64_t layer, const char *proj, uint64_t rows, uint64_t cols, TnRef x,
                         TnRef *out) {
    const TnGgufTensor *t;
    const char *name = tn_sprintf(&b->gg->arena, "blk.%llu.%s.weight", (unsigned long long)layer, proj);
    const char *node = tn_sprintf(&b->gg->arena, "l%llu.%s", (unsigned long long)layer, proj);
    TN_TRY(tensor(b, name, rows, cols, true, &t));
    TnType type = tn_type(t->enc, 2, (TnDim)rows, (TnDim)cols);
    bool dense = tn_enc_is_float(t->enc),
         ternary = tn_enc_is_ternary(t->enc) || (dense && b->options->ternary_dense);
    b->n_dense += dense;
    TnScale scale = {(int64_t)rows, 1.0f};
    if (tn_enc_is_ternary(t->enc)) {
        TernStatus st = tn_stored_scale(&type, t->data, name, &scale.scale, b->err);
        if (st != TERN_OK) return tn_fail_in(b->err, st, "%s", b->gg->path);
    } else if (ternary) {
        TernStatus st = tn_dense_scale(&type, t->data, name, &scale.scale, b->err);
        if (st != TERN_OK) return tn_fail_in(b->err, st, "%s", b->gg->path);
    }
    TN_TRY(extra_scale(b, layer, proj, ternary, &scale.scale));
    if (!isfinite(scale.scale))
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s has the scale %g, wanted a number", b->gg->path,
                       name, (double)scale.scale);
    TnType scaled = type;
    scaled.scales = &scale;
    scaled.n_scales = 1;
    TnRef w;
    if (!ternary) {
        w = source(b, t, node, &type);
        *out = tn_node_add(b->g, TN_OP_matmul, NULL, NULL, (TnRef[]){x, w}, 2, NULL, 0);
        return TERN_OK;
    }
    if (dense) { /* -s, 0, s in float: the trits are its signs */
        w = source(b, t, tn_sprintf(&b->gg->arena, "%s.dense", node), &type);
        scaled.enc = TN_ENC_t8;
        w = tn_node_add(b->g, TN_OP_pack, node, &scaled, &w, 1, NULL, 0);
    } else {
        w = source(b, t, node, &scaled);
    }
    TnRef q = tn_node_add(b->g, TN_OP_quant, NULL, NULL, &x, 1, NULL, 0);
    TnRef acc = tn_node_add(b->g, TN_OP_tmatmul, NULL, NULL, (TnRef[]){q, w}, 2, NULL, 0);
    *out = tn_node_add(b->g, TN_OP_dequant, NULL, NULL, (TnRef[]){acc, q, w}, 3, NULL, 0);
    return TERN_OK;
}

static TernStatus norm(Build *b, TnRef x, const char *name, uint64_t n, TnRef *out) {
    TnRef w;
    const char *dot = strrchr(name, '.'); /* blk.0.attn_norm.weight -> blk.0.attn_norm */
    const char *node = tn_strndup(&b->gg->arena, name, (size_t)(dot - name));
    if (strncmp(node, "blk.", 4) == 0) node = tn_sprintf(&b->gg->arena, "l%s", node + 4);
    TN_TRY(vector(b, name, n, node, &w));
    TnAttr eps = {.key = TN_ATTR_eps, .f = b->eps};
    *out = tn_node_add(b->g, TN_OP_rmsnorm, NULL, NULL, (TnRef[]){x, w}, 2, &eps, 1);
    return TERN_OK;
}
static TernStatus layer_norm(Build *b, uint64_t layer, TnRef x, const char *which, uint64_t n, TnRef *out) {
    return norm(b, x, tn_sprintf(&b->gg->arena, "blk.%llu.%s.weight", (unsigned long long)layer, which), n,
                out);
}

static TnRef input(Build *b, const char *name, TnType type) {
    TnAttr a = {.key = TN_ATTR_name, .s = name};
    return tn_node_add(b->g, TN_OP_input, name, &type, NULL, 0, &a, 1);
}
static void output(Build *b, TnRef value, const char *name) {
    TnAttr a = {.key = TN_ATTR_name, .s = name};
    tn_node_add(b->g, TN_OP_output, tn_sprintf(&b->gg->arena, "out.%s", name), NULL, &value, 1, &a, 1);
}

static TnRef rope(Build *b, TnRef x) {
    TnAttr mode = {.key = TN_ATTR_mode, .s = b->arch->pair ? "pair" : "half"};
    return tn_node_add(b->g, TN_OP_rope, NULL, NULL, (TnRef[]){x, b->angle}, 2, &mode, 1);
}
static TnRef put(Build *b, uint64_t layer, char which, TnRef x) {
    TnType t = tn_type(which == 'k' ? TN_ENC_kc : TN_ENC_vc, 3, tn_sym_dim(TN_N), (TnDim)b->kv_heads,
                       (TnDim)b->head);
    TnRef cache = input(b, tn_sprintf(&b->gg->arena, "%c%llu", which, (unsigned long long)layer), t);
    return tn_node_add(b->g, TN_OP_kv_put, NULL, NULL, (TnRef[]){cache, x, b->pos, b->slot, b->table}, 5,
                       NULL, 0);
}

static TernStatus attention(Build *b, uint64_t layer, TnRef x, TnRef *out) {
    uint64_t wide = b->heads * b->head, narrow = b->kv_heads * b->head;
    TnRef h, q, k, v;
    TN_TRY(layer_norm(b, layer, x, "attn_norm", b->hidden, &h));
    TN_TRY(linear(b, layer, "attn_q", wide, b->hidden, h, &q));
    TN_TRY(linear(b, layer, "attn_k", narrow, b->hidden, h, &k));
    TN_TRY(linear(b, layer, "attn_v", narrow, b->hidden, h, &v));
    q = rope(b, q);
    k = put(b, layer, 'k', rope(b, k));
    v = put(b, layer, 'v', v);
    TnAttr attrs[] = {{.key = TN_ATTR_scale, .f = b->scale}, {.key = TN_ATTR_window, .i = 0}};
    TnRef a = tn_node_add(b->g, TN_OP_attend, NULL, NULL, (TnRef[]){q, k, v, b->pos, b->slot, b->table}, 6,
                          attrs, 2);
    if (b->arch->sub_norms) TN_TRY(layer_norm(b, layer, a, "attn_sub_norm", wide, &a));
    TN_TRY(linear(b, layer, "attn_output", b->hidden, wide, a, &a));
    *out = tn_node_add(b->g, TN_OP_add, NULL, NULL, (TnRef[]){x, a}, 2, NULL, 0);
    return TERN_OK;
}

static TernStatus feed_forward(Build *b, uint64_t layer, TnRef x, TnRef *out) {
    TnRef h, gate, up;
    TN_TRY(layer_norm(b, layer, x, "ffn_norm", b->hidden, &h));
    TN_TRY(linear(b, layer, "ffn_gate", b->ffn, b->hidden, h, &gate));
    TN_TRY(linear(b, layer, "ffn_up", b->ffn, b->hidden, h, &up));
    TnRef act = tn_node_add(b->g, b->relu2 ? TN_OP_relu2 : TN_OP_silu, NULL, NULL, &gate, 1, NULL, 0);
    TnRef f = tn_node_add(b->g, TN_OP_mul, NULL, NULL, (TnRef[]){act, up}, 2, NULL, 0);
    if (b->arch->sub_norms) TN_TRY(layer_norm(b, layer, f, "ffn_sub_norm", b->ffn, &f));
    TN_TRY(linear(b, layer, "ffn_down", b->hidden, b->ffn, f, &f));
    *out = tn_node_add(b->g, TN_OP_add, NULL, NULL, (TnRef[]){x, f}, 2, NULL, 0);
    return TERN_OK;
}

/* The rows of the vocabulary, which keys, tokens and embedding must agree on. */
static TernStatus vocab_size(Build *b, const TnGgufTensor *embd) {
    b->vocab = embd->ne[1];
    if (b->vocab > INT32_MAX)
        return tn_fail(b->err, TERN_ERR_INPUT,
                       "%s: tensor token_embd.weight has %llu rows, wanted fewer than 2^31", b->gg->path,
                       (unsigned long long)b->vocab);
    uint64_t v = b->vocab;
    TN_TRY(tn_gguf_uint(b->gg, key(b, "vocab_size"), false, v, v, &v, b->err));
    const TnGgufKey *tokens = tn_gguf_key(b->gg, "tokenizer.ggml.tokens");
    if (tokens && tokens->type == TN_GGUF_ARRAY && tokens->n != b->vocab)
        return tn_fail(b->err, TERN_ERR_INPUT,
                       "%s: tokenizer.ggml.tokens has %llu tokens, but token_embd.weight has %llu rows",
                       b->gg->path, (unsigned long long)tokens->n, (unsigned long long)b->vocab);
    return TERN_OK;
}

static TernStatus rope_table(Build *b) {
    const TnGgufTensor *t;
    TnRef freqs = TN_NONE;
    TN_TRY(tensor(b, "rope_freqs.weight", 0, b->head / 2, false, &t));
    if (t) {
        if (t->enc != TN_ENC_f32)
            return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                           "%s: tensor rope_freqs.weight has type %s, wanted f32", b->gg->path,
                           tn_encs[t->enc].name);
        for (uint64_t i = 0; i < t->ne[0]; i++) {
            float f;
            memcpy(&f, t->data + 4 * i, 4);
            if (!(f >= 1e-6f && f <= 1e6f))
                return tn_fail(b->err, TERN_ERR_INPUT,
                               "%s: tensor rope_freqs.weight holds %g at %llu, wanted 1e-6 to 1e6",
                               b->gg->path, (double)f, (unsigned long long)i);
        }
        TN_TRY(vector(b, t->name, t->ne[0], "rope_freqs", &freqs));
    }
    TnType type = tn_type(TN_ENC_f32, 2, (TnDim)2, (TnDim)(b->head / 2));
    TnAttr base = {.key = TN_ATTR_base, .f = b->base};
    TnRef table_ref = tn_node_add(b->g, TN_OP_rope_freq, "rope", &type, &freqs, freqs != TN_NONE, &base, 1);
    b->angle = tn_node_add(b->g, TN_OP_rope_angle, "angle", NULL, (TnRef[]){b->pos, table_ref}, 2, NULL, 0);
    return TERN_OK;
}

static TernStatus build(Build *b) {
    const TnGgufTensor *embd, *head;
    TN_TRY(read_keys(b));
    if (!tn_gguf_tensor(b->gg, "token_embd.weight"))
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor token_embd.weight is missing", b->gg->path);
    TN_TRY(tensor(b, "token_embd.weight", tn_gguf_tensor(b->gg, "token_embd.weight")->ne[1], b->hidden, true,
                  &embd));
    TN_TRY(vocab_size(b, embd));
    TN_TRY(check_activation(b));
    TN_TRY(tensor(b, "output.weight", b->vocab, b->hidden, false, &head));

    TnDim t = tn_sym_dim(TN_T);
    b->ids = input(b, "ids", tn_type(TN_ENC_i32, 1, t));
    b->pos = input(b, "pos", tn_type(TN_ENC_i32, 1, t));
    b->slot = input(b, "slot", tn_type(TN_ENC_i32, 1, t));
    b->rows = input(b, "rows", tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_R)));
    b->hrows = input(b, "hrows", tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_H)));
    b->table = input(b, "table", tn_type(TN_ENC_i32, 2, tn_sym_dim(TN_S), tn_sym_dim(TN_P)));
    TnRef emb, x, w;
    TN_TRY(table(b, embd, "token_embd", &emb));
    TN_TRY(rope_table(b));
    x = tn_node_add(b->g, TN_OP_embed, NULL, NULL, (TnRef[]){b->ids, emb}, 2, NULL, 0);
    for (uint64_t i = 0; i < b->layers; i++) {
        TN_TRY(attention(b, i, x, &x));
        TN_TRY(feed_forward(b, i, x, &x));
    }
    if (b->options->ternary_dense && !b->n_dense)
        return tn_fail(b->err, TERN_ERR_INPUT,
                       "%s: no block weight is stored dense: TerncSource.ternary_dense has no effect",
                       b->gg->path);
    TnRef g = tn_node_add(b->g, TN_OP_gather, NULL, NULL, (TnRef[]){x, b->rows}, 2, NULL, 0);
    TnRef gh = tn_node_add(b->g, TN_OP_gather, NULL, NULL, (TnRef[]){x, b->hrows}, 2, NULL, 0);
    TN_TRY(norm(b, g, "output_norm.weight", b->hidden, &g));
    TnAttr eps = {.key = TN_ATTR_eps, .f = b->eps};
    gh = tn_node_add(b->g, TN_OP_rmsnorm, "hidden", NULL, (TnRef[]){gh, b->g->nodes[g].args[1]}, 2, &eps, 1);
    w = emb;
    if (head) TN_TRY(table(b, head, "output", &w));
    TnRef logits = tn_node_add(b->g, TN_OP_matmul, "logits", NULL, (TnRef[]){g, w}, 2, NULL, 0);
    TnRef best = tn_node_add(b->g, TN_OP_argmax, "best", NULL, &logits, 1, NULL, 0);
    TnAttr k = {.key = TN_ATTR_k, .i = 256};
    TnRef top = tn_node_add(b->g, TN_OP_topk, "top", NULL, &logits, 1, &k, 1);
    TnRef toplogit = tn_node_add(b->g, TN_OP_take, "toplogit", NULL, (TnRef[]){logits, top}, 2, NULL, 0);
    output(b, best, "best");
    output(b, top, "top");
    output(b, toplogit, "toplogit");
    output(b, logits, "logits");
    output(b, gh, "hidden");
    for (size_t i = 0; i < b->gg->n_tensors; i++)
        if (!b->used[i])
            return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has no place in the architecture %s",
                           b->gg->path, b->gg->tensors[i].name, b->arch->name);
    return TERN_OK;
}

static void facts(Build *b, TnFacts *f) {
    TernError ignored;
    const char *name = NULL;
    (void)tn_gguf_string(b->gg, "general.name", false, &name, &ignored);
    const TnGgufTensor *w = tn_gguf_tensor(b->gg, "blk.0.ffn_down.weight"),
                       *e = tn_gguf_tensor(b->gg, "output.weight");
    if (!e) e = tn_gguf_tensor(b->gg, "token_embd.weight");
    *f = (TnFacts){.arch = b->arch->name,
                   .name = name ? name : b->gg->path,
                   .desc =
                       tn_sprintf(&b->gg->arena, "%s, %s head", tn_encs[w->enc].name, tn_encs[e->enc].name),
                   .n_vocab = (uint32_t)b->vocab,
                   .n_context = (uint32_t)b->context,
                   .n_layers = (uint32_t)b->layers,
                   .n_hidden = (uint32_t)b->hidden,
                   .n_ffn = (uint32_t)b->ffn,
                   .n_heads = (uint32_t)b->heads,
                   .n_kv_heads = (uint32_t)b->kv_heads,
                   .head_dim = (uint32_t)b->head,
                   .n_params = b->params,
                   .source_hash = b->gg->table_hash};
}

TernStatus tn_gguf_graph(TnGguf *gg, const TnGgufOptions *options, TnGraph **out, TnFacts *out_facts,
                         TernError *err) {
    static const TnGgufOptions defaults;
    Build b = {.gg = gg, .options = options ? options : &defaults, .err = err};
    b.used = tn_alloc_array(&gg->arena, gg->n_tensors + 1, sizeof *b.used);
    b.g = tn_graph_create("step");
    *out_facts = (TnFacts){0};
    TernStatus st = build(&b);
    if (st == TERN_OK) {
        facts(&b, out_facts);
        st = tn_gguf_vocab(gg, &out_facts->vocab, &out_facts->vocab_bytes, err);
    }
    if (st != TERN_OK) {
        tn_graph_destroy(b.g);
        return st;
    }
    *out = b.g;
    return TERN_OK;
}
