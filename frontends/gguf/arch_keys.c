/* Reads the keys that every architecture has: sizes, heads, and the parameters of norms, rope and attention.
 * Each is looked up under the architecture's name and checked against its range and against the keys that it
 * must agree with. */
#include <math.h>
#include "frontends/gguf/arch.h"

const char *tn_arch_key(const TnArchBuild *b, const char *what) {
    return tn_sprintf(&b->gg->arena, "%s.%s", b->arch->name, what);
}

float tn_arch_float(TnArchBuild *b, const char *what, float otherwise, double lo, double hi) {
    float v = otherwise;
    if (b->status == TERN_OK)
        b->status = tn_gguf_float(b->gg, tn_arch_key(b, what), false, lo, hi, &v, b->err);
    return v;
}

/* Reads a count. All ranges end below 2^32. */
static TernStatus count(TnArchBuild *b, const char *what, bool required, uint64_t hi, uint32_t *io) {
    uint64_t v = *io;
    TN_TRY(tn_gguf_uint(b->gg, tn_arch_key(b, what), required, 1, hi, &v, b->err));
    *io = (uint32_t)v;
    return TERN_OK;
}
/* Reads a count that some converters write for each layer. */
static TernStatus layer_count(TnArchBuild *b, const char *what, bool required, uint64_t hi, uint32_t *io) {
    uint64_t v = *io;
    TN_TRY(tn_gguf_uint_layers(b->gg, tn_arch_key(b, what), required, b->facts.n_layers, 1, hi, &v, b->err));
    *io = (uint32_t)v;
    return TERN_OK;
}
/* Checks that a key, if it is there, has this value. */
static TernStatus equal(TnArchBuild *b, const char *what, uint64_t value) {
    return tn_gguf_uint(b->gg, tn_arch_key(b, what), false, value, value, &value, b->err);
}

static TernStatus heads(TnArchBuild *b) {
    TnFacts *f = &b->facts;
    TN_TRY(layer_count(b, "attention.head_count", true, 1 << 12, &f->n_heads));
    f->n_kv_heads = f->n_heads;
    TN_TRY(layer_count(b, "attention.head_count_kv", false, 1 << 12, &f->n_kv_heads));
    if (f->n_heads % f->n_kv_heads)
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %u, expected a divisor of the %u heads",
                       b->gg->path, tn_arch_key(b, "attention.head_count_kv"), f->n_kv_heads, f->n_heads);
    f->head_dim = f->n_hidden / f->n_heads;
    if (!tn_gguf_key(b->gg, tn_arch_key(b, "attention.key_length")) && f->n_hidden % f->n_heads)
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %u, expected a divisor of the embedding length %u",
                       b->gg->path, tn_arch_key(b, "attention.head_count"), f->n_heads, f->n_hidden);
    TN_TRY(count(b, "attention.key_length", false, 1024, &f->head_dim));
    TN_TRY(equal(b, "attention.value_length", f->head_dim));
    TN_TRY(equal(b, "rope.dimension_count", f->head_dim));
    if (f->head_dim % 2 || f->head_dim > 1024)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: heads of %u columns, expected an even number up to 1024", b->gg->path,
                       f->head_dim);
    return TERN_OK;
}

/* Takes the activation from the file's key, or else from the architecture. The names are those of Hugging
 * Face, whose `gelu` is the exact one, and of llama.cpp. */
static TernStatus activation(TnArchBuild *b) {
    static const struct {
        const char *name;
        TnOp op;
    } names[] = {
        {"relu2", TN_OP_relu2},         {"relu_squared", TN_OP_relu2},
        {"squared_relu", TN_OP_relu2},  {"silu", TN_OP_silu},
        {"swish", TN_OP_silu},          {"relu", TN_OP_relu},
        {"gelu", TN_OP_gelu},           {"gelu_tanh", TN_OP_gelu_tanh},
        {"gelu_new", TN_OP_gelu_tanh},  {"gelu_pytorch_tanh", TN_OP_gelu_tanh},
        {"gelu_fast", TN_OP_gelu_tanh},
    };
    const char *name = tn_arch_key(b, "hidden_activation"), *says;
    TN_TRY(tn_gguf_string(b->gg, name, false, &says, b->err));
    b->activation = b->arch->activation;
    if (!says) return TERN_OK;
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(says, names[i].name) == 0) {
            b->activation = names[i].op;
            return TERN_OK;
        }
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                   "%s: %s is '%.80s', expected relu2, silu, relu, gelu or gelu_tanh", b->gg->path, name,
                   says);
}

/* The factor of attention's scores; in llama.cpp 0 means the usual one. */
static TernStatus attention_scale(TnArchBuild *b) {
    float v = 0;
    const char *name = tn_arch_key(b, "attention.scale");
    b->attn_scale = (float)(1.0 / sqrt((double)b->facts.head_dim));
    TN_TRY(tn_gguf_float(b->gg, name, false, 0, 1e6, &v, b->err));
    if (v != 0 && v < 1e-6f)
        return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %g, expected 0 (the usual), or 1e-6 to 1e+06",
                       b->gg->path, name, (double)v);
    if (v != 0) b->attn_scale = v;
    return TERN_OK;
}

/* A window as long as the context is no window, but a layer that has it may differ in its angles too. */
static TernStatus window(TnArchBuild *b) {
    static const char what[] = "attention.sliding_window", which[] = "attention.sliding_window_pattern";
    uint64_t v = 0;
    TN_TRY(tn_gguf_uint(b->gg, tn_arch_key(b, what), false, 0, 1 << 24, &v, b->err));
    b->window = v < b->facts.n_context ? (uint32_t)v : 0;
    if (!v) return TERN_OK;
    b->period = b->arch->period;
    if (b->period) return count(b, which, false, 1 << 12, &b->period);
    if (!tn_gguf_key(b->gg, tn_arch_key(b, which))) return TERN_OK;
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                   "%s: %s_pattern says that some layers have no window, expected one for all of them",
                   b->gg->path, tn_arch_key(b, what));
}

/* What a text's rows become. Files number it from none on; 4 is a ranking, which needs a head of its own. */
static TernStatus pooling(TnArchBuild *b) {
    const char *name = tn_arch_key(b, "pooling_type");
    uint64_t v = 0;
    TN_TRY(tn_gguf_uint(b->gg, name, false, 0, 4, &v, b->err));
    if (v == 4)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: %s is 4 (rank), expected 0 to 3 (none, mean, cls or last)", b->gg->path, name);
    b->facts.pooling = tn_gguf_key(b->gg, name) ? 1 + (uint32_t)v : 0;
    return TERN_OK;
}

TernStatus tn_arch_read_keys(TnArchBuild *b) {
    TnFacts *f = &b->facts;
    f->arch = b->arch->name;
    TN_TRY(count(b, "embedding_length", true, 1 << 20, &f->n_hidden));
    TN_TRY(count(b, "block_count", true, 1 << 12, &f->n_layers));
    TN_TRY(layer_count(b, "feed_forward_length", true, 1 << 22, &f->n_ffn));
    TN_TRY(count(b, "context_length", true, 1 << 24, &f->n_context));
    TN_TRY(heads(b));
    TN_TRY(tn_gguf_float(b->gg, tn_arch_key(b, "attention.layer_norm_rms_epsilon"), true, 1e-12, 1, &b->eps,
                         b->err));
    TN_TRY(activation(b));
    TN_TRY(attention_scale(b));
    TN_TRY(window(b));
    TN_TRY(pooling(b));
    return tn_arch_read_rope(b);
}

TernStatus tn_arch_read_vocab(TnArchBuild *b) {
    const TnGgufTensor *embd = tn_gguf_tensor(b->gg, "token_embd.weight");
    if (!embd) return tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor token_embd.weight is missing", b->gg->path);
    if (embd->ne[1] > INT32_MAX)
        return tn_fail(b->err, TERN_ERR_INPUT,
                       "%s: tensor token_embd.weight has %llu rows, expected fewer than 2^31", b->gg->path,
                       (unsigned long long)embd->ne[1]);
    b->facts.n_vocab = (uint32_t)embd->ne[1];
    if (!tn_arch_tensor(b, TN_NO_LAYER, "token_embd.weight")) return b->status;
    TN_TRY(equal(b, "vocab_size", b->facts.n_vocab));
    const TnGgufKey *tokens = tn_gguf_key(b->gg, "tokenizer.ggml.tokens");
    if (tokens && tokens->type == TN_GGUF_ARRAY && tokens->n != b->facts.n_vocab)
        return tn_fail(b->err, TERN_ERR_INPUT,
                       "%s: tokenizer.ggml.tokens has %llu tokens, but token_embd.weight has %u rows",
                       b->gg->path, (unsigned long long)tokens->n, b->facts.n_vocab);
    return TERN_OK;
}
