/* MiniCPM, and the ternary models of its graph (OpenBMB's BitCPM4 0.5B and 8B): Llama's transformer with
 * three scales. The embedding is multiplied by the first, the addition of each half of a layer by the second,
 * and the logits are divided by the third. Here the normed row is divided instead of the logits, so that the
 * head is a product like any other. The converter permutes the weights of q and k, so rope rotates
 * neighbouring columns. Some files scale rope by longrope.
 *
 *   x = embedding * embedding_scale
 *   h = rmsnorm(x); q, k, v = linear(h); x += linear(attend(rope(q), rope(k), v)) * residual_scale
 *   h = rmsnorm(x); x += linear(silu(gate(h)) * up(h)) * residual_scale
 *   logits = linear(rmsnorm(x) / logit_scale)
 *
 * A file without these keys is of the first MiniCPM, with 12, 1.4 / sqrt(layers) and hidden / 256. */
#include <math.h>
#include "frontends/gguf/arch.h"

static const TnArchTensor tensors[] = {
    {"token_embd.weight", TN_DIM_VOCAB, TN_DIM_HIDDEN, false},
    {"rope_freqs.weight", TN_DIM_NONE, TN_DIM_HALF_HEAD, true},
    {"rope_factors_long.weight", TN_DIM_NONE, TN_DIM_HALF_HEAD, true},
    {"rope_factors_short.weight", TN_DIM_NONE, TN_DIM_HALF_HEAD, true},
    {"output_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"output.weight", TN_DIM_VOCAB, TN_DIM_HIDDEN, true},
    {"blk.*.attn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.attn_q.weight", TN_DIM_Q, TN_DIM_HIDDEN, false},
    {"blk.*.attn_k.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_v.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_output.weight", TN_DIM_HIDDEN, TN_DIM_Q, false},
    {"blk.*.ffn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_gate.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_up.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_down.weight", TN_DIM_HIDDEN, TN_DIM_FFN, false},
};

static const TnKeyRow keys[] = {{".embedding_scale", TN_RULE_HARMLESS, 0, NULL},
                                {".residual_scale", TN_RULE_HARMLESS, 0, NULL},
                                {".logit_scale", TN_RULE_HARMLESS, 0, NULL}};

static void build(TnArchBuild *b) {
    float usual = (float)(1.4 / sqrt((double)b->facts.n_layers));
    float embedding = tn_arch_float(b, "embedding_scale", 12.0f, 1e-6, 1e6);
    float residual = tn_arch_float(b, "residual_scale", usual, 1e-6, 1e6);
    float logit = tn_arch_float(b, "logit_scale", (float)b->facts.n_hidden / 256.0f, 1e-6, 1e6);
    TnRef angle = tn_block_angle(b, b->rope_base);
    TnRef x = tn_block_times(b, tn_block_embed(b), embedding);
    for (uint32_t i = 0; i < b->facts.n_layers; i++) {
        TnRef h = tn_block_norm(b, i, "attn_norm", x);
        h = tn_block_linear(b, i, "attn_output", tn_block_attention(b, i, angle, h));
        x = tn_block_add(b, x, tn_block_times(b, h, residual));
        h = tn_block_gated(b, i, b->activation, tn_block_norm(b, i, "ffn_norm", x));
        h = tn_block_linear(b, i, "ffn_down", h);
        x = tn_block_add(b, x, tn_block_times(b, h, residual));
    }
    TnBlockFinal f = tn_block_final(b, x);
    TnRef rows = tn_block_times(b, f.rows, (float)(1.0 / (double)logit));
    tn_block_outputs(b, tn_block_logits(b, rows), f.hidden);
}

static const TnArchTrait traits[] = {{"sub-norms", "none"}, {"scales", "of embedding, residual and logits"}};
static const TnArchConverter converters[] = {
    {"llama.cpp's convert_hf_to_gguf.py, or one after its manner", NULL, NULL},
};
static const TnArchFamily families[] = {
    {"BitCPM4 0.5B, BitCPM 8B", "OpenBMB", NULL, "TQ2_0, with a scale a group"},
};
const TnArch tn_arch_minicpm = {.name = "minicpm",
                                .doc = "MiniCPM and models of its graph: BitCPM4 0.5B and 8B",
                                .classes = "MiniCPMForCausalLM",
                                .activation = TN_OP_silu,
                                .rope = "pair",
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
                                .build = build};
