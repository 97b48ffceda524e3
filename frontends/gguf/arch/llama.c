/* Llama: the transformer of which most others are variants, here with ternary or dense linears. The converter
 * permutes the weights of q and k, so rope rotates neighbouring columns.
 *
 *   h = rmsnorm(x); q, k, v = linear(h); x += linear(attend(rope(q), rope(k), v))
 *   h = rmsnorm(x); x += linear(silu(gate(h)) * up(h)) */
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
    {"blk.*.attn_output.weight", TN_DIM_HIDDEN, TN_DIM_Q, false},
    {"blk.*.ffn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_gate.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_up.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_down.weight", TN_DIM_HIDDEN, TN_DIM_FFN, false},
};

static void build(TnArchBuild *b) {
    tn_block_decoder(b, tn_block_layer);
}

static bool has_i2s(const TnGguf *file) {
    enum { I2_S = 36 };
    for (size_t i = 0; i < file->n_tensors; i++)
        if (file->tensors[i].type == I2_S) return true;
    return false;
}

static const TnArchTrait traits[] = {{"sub-norms", "none"}};
static const TnArchConverter converters[] = {
    {"Microsoft's convert-hf-to-gguf-bitnet.py, then llama-quantize", " with I2_S weights", has_i2s},
    {"llama.cpp's convert_hf_to_gguf.py, or one after its manner", NULL, NULL},
};
static const TnArchFamily families[] = {
    {"Llama3-8B-1.58-100B-tokens", "HF1BitLLM", NULL, "I2_S"},
    {"Falcon3 1B, 3B, 7B, 10B, 1.58bit", "TII", "tiiuae/Falcon3-*-1.58bit", "I2_S"},
    {"Falcon-E 1B, 3B", "TII", "tiiuae/Falcon-E-*", "I2_S"},
    {"TriLM 99M to 3.9B", "SpectraSuite", NULL, "TQ1_0, TQ2_0, with several scales a matrix"},
    {"BitCPM4 1B, 3B", "OpenBMB", "bitcpm4-3b-tq2_0.gguf", "TQ2_0, with a scale a group"},
    {"Bonsai 0.5B", "DeepGrove", "deepgrove/Bonsai", "I2_S, TQ1_0, TQ2_0"},
};
static const TnArchSpeed speeds[] = {
    {"Falcon-E 3B", "TQ2_0, a scale a matrix; Q6_K", "864 MB", "183", "29"},
};
const TnArch tn_arch_llama = {.name = "llama",
                              .doc = "Llama and models of its graph, with ternary weights",
                              .classes = "LlamaForCausalLM",
                              .activation = TN_OP_silu,
                              .rope = "pair",
                              .tensors = tensors,
                              .n_tensors = TN_COUNT(tensors),
                              .traits = traits,
                              .n_traits = TN_COUNT(traits),
                              .converters = converters,
                              .n_converters = TN_COUNT(converters),
                              .families = families,
                              .n_families = TN_COUNT(families),
                              .speeds = speeds,
                              .n_speeds = TN_COUNT(speeds),
                              .build = build};
