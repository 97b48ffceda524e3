/* Qwen2 and 2.5, and the ternary models of their graph (the language model of VibeVoice-ASR-BitNet): Llama's
 * transformer with a bias on queries, keys and values. q and k are not permuted: rope rotates columns half a
 * head apart.
 *
 *   h = rmsnorm(x); q, k, v = linear(h) + bias; x += linear(attend(rope(q), rope(k), v))
 *   h = rmsnorm(x); x += linear(silu(gate(h)) * up(h)) */
#include "frontends/gguf/arch.h"

static const TnArchTensor tensors[] = {
    {"token_embd.weight", TN_DIM_VOCAB, TN_DIM_HIDDEN, false},
    {"rope_freqs.weight", TN_DIM_NONE, TN_DIM_HALF_HEAD, true},
    {"output_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"output.weight", TN_DIM_VOCAB, TN_DIM_HIDDEN, true},
    {"blk.*.attn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.attn_q.weight", TN_DIM_Q, TN_DIM_HIDDEN, false},
    {"blk.*.attn_q.bias", TN_DIM_NONE, TN_DIM_Q, false},
    {"blk.*.attn_k.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_k.bias", TN_DIM_NONE, TN_DIM_KV, false},
    {"blk.*.attn_v.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_v.bias", TN_DIM_NONE, TN_DIM_KV, false},
    {"blk.*.attn_output.weight", TN_DIM_HIDDEN, TN_DIM_Q, false},
    {"blk.*.ffn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_gate.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_up.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_down.weight", TN_DIM_HIDDEN, TN_DIM_FFN, false},
};

static void build(TnArchBuild *b) {
    tn_block_decoder(b, tn_block_layer);
}

static const TnArchTrait traits[] = {{"sub-norms", "none"}, {"biases", "of q, k and v"}};
static const TnArchConverter converters[] = {
    {"llama.cpp's convert_hf_to_gguf.py, or one after its manner", NULL, NULL},
};
static const TnArchFamily families[] = {
    {"VibeVoice-ASR-BitNet, the language model", "Microsoft", "vibeasr-lm-i2_s-embed-q6_k.gguf", "I2_S"},
};
const TnArch tn_arch_qwen2 = {.name = "qwen2",
                              .doc =
                                  "Qwen2, Qwen2.5 and models of their graph: VibeVoice-ASR's language model",
                              .classes = "Qwen2ForCausalLM",
                              .activation = TN_OP_silu,
                              .rope = "half",
                              .tensors = tensors,
                              .n_tensors = TN_COUNT(tensors),
                              .traits = traits,
                              .n_traits = TN_COUNT(traits),
                              .converters = converters,
                              .n_converters = TN_COUNT(converters),
                              .families = families,
                              .n_families = TN_COUNT(families),
                              .build = build};
