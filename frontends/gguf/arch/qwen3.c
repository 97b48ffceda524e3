/* Qwen3, and the ternary models of its graph (PrismML's Bonsai 1.7B, 4B and 8B, Microsoft's embedding model of 0.6B): Llama's transformer, except
 * that queries and keys are normed head by head before rope, with one vector for all heads of a layer. The
 * number of columns of a head need not be hidden / heads. q and k are not permuted: rope rotates columns half
 * a head apart.
 *
 *   h = rmsnorm(x); q, k, v = linear(h); q, k = rope(headnorm(q)), rope(headnorm(k)); x += linear(attend(q, k, v))
 *   h = rmsnorm(x); x += linear(silu(gate(h)) * up(h))
 *
 * In the embedding model each linear norms its input once more, by a vector of its own. */
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
    {"blk.*.ffn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_gate.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_up.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_down.weight", TN_DIM_HIDDEN, TN_DIM_FFN, false},
    TN_ARCH_NORMS_IN, /* only embedding models have these */
};

static void build(TnArchBuild *b) {
    tn_block_decoder(b, tn_block_layer);
}

static const TnArchTrait traits[] = {{"sub-norms", "none"},
                                     {"norms of heads", "of q and k, before rope"},
                                     {"norms before linears", "if the file has them"}};
static const TnArchConverter converters[] = {
    {"Microsoft's convert-bitnet-embedding-to-gguf.py", " with norm_in tensors", tn_arch_has_norms_in},
    {"llama.cpp's convert_hf_to_gguf.py, or one after its manner", NULL, NULL},
};
static const TnArchFamily families[] = {
    {"Ternary Bonsai 1.7B, 4B, 8B", "PrismML", "*-Q2_0.gguf, *-Q2_0_g64.gguf, *-PQ2_0.gguf",
     "Q2_0, PQ2_0; tables too"},
    {"the same, repacked", "others", "vinpix/Bonsai-8B-TQ-GGUF", "TQ1_0, TQ2_0, with a scale a group"},
    {"BitNet embedding 0.6B", "Microsoft", NULL, "I2_S"},
};
static const TnArchSpeed speeds[] = {
    {"Bonsai 1.7B", "PQ2_0", "463 MB", "342", "56"},
    {"Bonsai 8B", "PQ2_0", "2182 MB", "75", "13"},
};
const TnArch tn_arch_qwen3 = {
    .name = "qwen3",
    .doc = "Qwen3 and models of its graph: Bonsai 1.7B, 4B and 8B, BitNet embedding 0.6B",
    .classes = "Qwen3ForCausalLM Qwen3Model",
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
    .speeds = speeds,
    .n_speeds = TN_COUNT(speeds),
    .build = build};
