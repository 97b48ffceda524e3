/* Gemma 3, and the ternary model of its graph (Microsoft's embedding model of 270M): Llama's transformer with the
 * norms of heads that qwen3 has, a norm after each half of a layer too, an embedding that is multiplied by the
 * square root of its width, and gelu by tanh. q and k are not permuted: rope rotates columns half a head apart.
 * The converter adds 1 to the weights of norms, so they are norms like any other.
 *
 *   x = embedding * sqrt(hidden)
 *   h = rmsnorm(x); q, k, v = linear(h); q, k = rope(headnorm(q)), rope(headnorm(k)); x += rmsnorm(linear(attend(q, k, v)))
 *   h = rmsnorm(x); x += rmsnorm(linear(gelu(gate(h)) * up(h)))
 *
 * In a file with a window, five layers of six are local: they have the window, and angles of their own base that
 * nothing scales. In the embedding model each linear norms its input once more, by a vector of its own. */
#include <math.h>
#include "frontends/gguf/arch.h"

static const TnArchTensor tensors[] = {
    {"token_embd.weight", TN_DIM_VOCAB, TN_DIM_HIDDEN, false},
    {"rope_freqs.weight", TN_DIM_NONE, TN_DIM_HALF_HEAD, true},
    {"output_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"output.weight", TN_DIM_VOCAB, TN_DIM_HIDDEN, true},
    {"blk.*.attn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.attn_q.weight", TN_DIM_Q, TN_DIM_HIDDEN, false},
    {"blk.*.attn_k.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_v.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_q_norm.weight", TN_DIM_NONE, TN_DIM_HEAD, false},
    {"blk.*.attn_k_norm.weight", TN_DIM_NONE, TN_DIM_HEAD, false},
    {"blk.*.attn_output.weight", TN_DIM_HIDDEN, TN_DIM_Q, false},
    {"blk.*.post_attention_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_gate.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_up.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_down.weight", TN_DIM_HIDDEN, TN_DIM_FFN, false},
    {"blk.*.post_ffw_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    TN_ARCH_NORMS_IN, /* only embedding models have these */
};

static const TnKeyRow keys[] = {{".rope.freq_base_swa", TN_RULE_HARMLESS, 0, NULL}};

static TnRef layer(TnArchBuild *b, uint32_t i, TnRef angle, int64_t window, TnRef x) {
    TnRef h = tn_block_norm(b, i, "attn_norm", x);
    h = tn_block_linear(b, i, "attn_output", tn_block_attention_within(b, i, angle, window, h));
    x = tn_block_add(b, x, tn_block_norm(b, i, "post_attention_norm", h));
    h = tn_block_gated(b, i, b->activation, tn_block_norm(b, i, "ffn_norm", x));
    h = tn_block_linear(b, i, "ffn_down", h);
    return tn_block_add(b, x, tn_block_norm(b, i, "post_ffw_norm", h));
}

/* Scores are divided by the square root of a head's columns, except in the model of 27 billion weights, which no
 * key tells apart: there a head counts as many columns as the row has for each head. */
static void scale_scores(TnArchBuild *b) {
    enum { LAYERS_27B = 62 };
    if (b->facts.n_layers != LAYERS_27B || tn_gguf_key(b->gg, tn_arch_key(b, "attention.scale"))) return;
    b->attn_scale = (float)(1 / sqrt((double)b->facts.n_hidden / b->facts.n_heads));
}

static void build(TnArchBuild *b) {
    float base = tn_arch_float(b, "rope.freq_base_swa", 10000.0f, 1, 1e12);
    scale_scores(b);
    TnRef all = tn_block_angle(b, b->rope_base);
    TnRef near = b->period ? tn_block_angle_unscaled(b, base) : TN_NONE;
    TnRef x = tn_block_times(b, tn_block_embed(b), (float)sqrt((double)b->facts.n_hidden));
    for (uint32_t i = 0; i < b->facts.n_layers; i++) {
        bool local = tn_block_is_local(b, i);
        x = layer(b, i, local ? near : all, local ? b->window : 0, x);
    }
    tn_block_head(b, x);
}

/* Yarn and its like change the scale of attention in all layers, and here local layers are not scaled. */
static TernStatus refuse(const TnArchBuild *b) {
    if (!b->period || b->rope.scaling == TN_ROPE_PLAIN || b->rope.scaling == TN_ROPE_LINEAR) return TERN_OK;
    const char *says = "", *name = tn_arch_key(b, "rope.scaling.type");
    TN_TRY(tn_gguf_string(b->gg, name, false, &says, b->err));
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                   "%s: %s is '%s' in a model with local layers, expected none or linear", b->gg->path, name,
                   says);
}

static const TnArchTrait traits[] = {{"sub-norms", "none"},
                                     {"norms of heads", "of q and k, before rope"},
                                     {"norms after halves of layers", "before they are added"},
                                     {"norms before linears", "if the file has them"},
                                     {"scales", "of the embedding"},
                                     {"local layers", "five of six, if there is a window"}};
static const TnArchConverter converters[] = {
    {"Microsoft's convert-bitnet-embedding-to-gguf.py", " with norm_in tensors", tn_arch_has_norms_in},
    {"llama.cpp's convert_hf_to_gguf.py, or one after its manner", NULL, NULL},
};
static const TnArchFamily families[] = {
    {"BitNet embedding 270M", "Microsoft", NULL, "I2_S"},
};
const TnArch tn_arch_gemma3 = {.name = "gemma3",
                               .doc = "Gemma 3 and models of its graph: BitNet embedding 270M",
                               .classes = "Gemma3ForCausalLM Gemma3TextModel",
                               .norms_less_one = true,
                               .activation = TN_OP_gelu_tanh,
                               .rope = "half",
                               .tensors = tensors,
                               .n_tensors = TN_COUNT(tensors),
                               .traits = traits,
                               .n_traits = TN_COUNT(traits),
                               .converters = converters,
                               .n_converters = TN_COUNT(converters),
                               .keys = keys,
                               .n_keys = TN_COUNT(keys),
                               .families = families,
                               .n_families = TN_COUNT(families),
                               .period = 6,
                               .refuse = refuse,
                               .build = build};
