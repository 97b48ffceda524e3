/* BitNet: Llama's transformer with one more norm before each projection that leads back into the residual,
 * and in most files with relu squared instead of silu. Three names of one graph:
 *
 *   bitnet-b1.58   BitNet b1.58 2B-4T and its like, as Microsoft's converters write them
 *   bitnet-25      the same before April 2025
 *   bitnet         llama.cpp's name for the models of 1bitLLM, whose activation is silu; a matrix may have its scale in
 *                  a tensor beside it
 *
 * llama.cpp's converter gives the last name to 2B-4T too. Its activation is relu squared, and with the wrong
 * one a model still writes plausible text. So such a file is refused unless a key names the activation.
 *
 *   h = rmsnorm(x); q, k, v = linear(h); x += linear(rmsnorm(attend(rope(q), rope(k), v)))
 *   h = rmsnorm(x); x += linear(rmsnorm(act(gate(h)) * up(h))) */
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
    {"blk.*.attn_sub_norm.weight", TN_DIM_NONE, TN_DIM_Q, false},
    {"blk.*.attn_output.weight", TN_DIM_HIDDEN, TN_DIM_Q, false},
    {"blk.*.ffn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_gate.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_up.weight", TN_DIM_FFN, TN_DIM_HIDDEN, false},
    {"blk.*.ffn_sub_norm.weight", TN_DIM_NONE, TN_DIM_FFN, false},
    {"blk.*.ffn_down.weight", TN_DIM_HIDDEN, TN_DIM_FFN, false},
    /* only `bitnet` has the last seven */
    {"blk.*.attn_q.scale", TN_DIM_NONE, TN_DIM_ONE, true},
    {"blk.*.attn_k.scale", TN_DIM_NONE, TN_DIM_ONE, true},
    {"blk.*.attn_v.scale", TN_DIM_NONE, TN_DIM_ONE, true},
    {"blk.*.attn_output.scale", TN_DIM_NONE, TN_DIM_ONE, true},
    {"blk.*.ffn_gate.scale", TN_DIM_NONE, TN_DIM_ONE, true},
    {"blk.*.ffn_up.scale", TN_DIM_NONE, TN_DIM_ONE, true},
    {"blk.*.ffn_down.scale", TN_DIM_NONE, TN_DIM_ONE, true},
};
enum { N_TENSORS = TN_COUNT(tensors), N_WITHOUT_SCALES = N_TENSORS - 7 };

static TnRef layer(TnArchBuild *b, uint32_t i, TnRef angle, TnRef x) {
    TnRef h = tn_block_norm(b, i, "attn_norm", x);
    h = tn_block_attention(b, i, angle, h);
    h = tn_block_norm(b, i, "attn_sub_norm", h);
    x = tn_block_add(b, x, tn_block_linear(b, i, "attn_output", h));
    h = tn_block_norm(b, i, "ffn_norm", x);
    h = tn_block_gated(b, i, b->activation, h);
    h = tn_block_norm(b, i, "ffn_sub_norm", h);
    return tn_block_add(b, x, tn_block_linear(b, i, "ffn_down", h));
}

static void build(TnArchBuild *b) {
    tn_block_decoder(b, layer);
}

/* Refuses `bitnet` with the vocabulary of 2B-4T: the activation is unknown. */
static TernStatus refuse(const TnArchBuild *b) {
    const char *name = tn_arch_key(b, "hidden_activation");
    if (b->facts.n_vocab != 128256 || tn_gguf_key(b->gg, name)) return TERN_OK;
    return tn_fail(
        b->err, TERN_ERR_UNSUPPORTED,
        "%s: architecture bitnet with the 128256 tokens of BitNet b1.58 2B-4T, whose activation is relu "
        "squared, and no key says which it is: set it by --override-kv %s=str:relu2 (or silu); the converter "
        "that writes such files may also have inverted the scales",
        b->gg->path, name);
}

static bool has_no_pre_tokenizer(const TnGguf *file) {
    return tn_gguf_key(file, "tokenizer.ggml.tokens") && !tn_gguf_key(file, "tokenizer.ggml.pre");
}
static bool has_scales(const TnGguf *file) {
    for (size_t i = 0; i < file->n_tensors; i++) {
        const char *dot = strrchr(file->tensors[i].name, '.');
        if (dot && strcmp(dot, ".scale") == 0) return true;
    }
    return false;
}

static const TnArchTrait traits[] = {{"sub-norms", "before attn_output and ffn_down"}};
static const TnArchConverter microsoft[] = {
    {"Microsoft's convert-ms-to-gguf-bitnet.py", "; the key tokenizer.ggml.pre is absent",
     has_no_pre_tokenizer},
    {"Microsoft's convert-hf-to-gguf-bitnet.py, or one after its manner", NULL, NULL},
};
static const TnArchConverter microsoft_25[] = {
    {"Microsoft's convert-ms-to-gguf-bitnet.py, before April 2025", NULL, NULL},
};
static const TnArchConverter mainline[] = {
    {"llama.cpp's convert_hf_to_gguf.py", "; .scale tensors beside the weights", has_scales},
    {"llama.cpp's convert_hf_to_gguf.py", NULL, NULL},
};

static const TnArchFamily families_2b4t[] = {
    {"BitNet b1.58 2B-4T", "Microsoft", "microsoft/bitnet-b1.58-2B-4T-gguf", "I2_S"},
};

static const TnArchFamily families_1bitllm[] = {
    {"bitnet_b1_58 large, xl, 3B", "1bitLLM", "gianni-cor/bitnet_b1_58-large-TQ2_0",
     "I2_S, TQ1_0, TQ2_0, TL1, TL2"},
};

/* 2B-4T in 1bitLLM's naming, with relu squared: llama.cpp reads it as such. */
static const TnArchSpeed speeds_2b4t[] = {
    {"BitNet b1.58 2B-4T", "TQ2_0, a scale a matrix; Q6_K", "813 MB", "236", "46"},
};
static const TnArchSpeed speeds_1bitllm[] = {
    {"BitNet 3B, with rows of whole blocks (3328, 8704)", "TQ2_0, a scale a matrix; Q6_K", "970 MB", "153",
     "24"},
};
const TnArch tn_arch_bitnet_b158 = {.name = "bitnet-b1.58",
                                    .doc = "BitNet b1.58 2B-4T and its like, as Microsoft's converters write "
                                           "them",
                                    .classes = "BitNetForCausalLM",
                                    .activation = TN_OP_relu2,
                                    .rope = "half",
                                    .tensors = tensors,
                                    .n_tensors = N_WITHOUT_SCALES,
                                    .traits = traits,
                                    .n_traits = TN_COUNT(traits),
                                    .converters = microsoft,
                                    .n_converters = TN_COUNT(microsoft),
                                    .families = families_2b4t,
                                    .n_families = TN_COUNT(families_2b4t),
                                    .speeds = speeds_2b4t,
                                    .n_speeds = TN_COUNT(speeds_2b4t),
                                    .build = build};
const TnArch tn_arch_bitnet_25 = {.name = "bitnet-25",
                                  .doc = "the same before April 2025",
                                  .activation = TN_OP_relu2,
                                  .rope = "half",
                                  .tensors = tensors,
                                  .n_tensors = N_WITHOUT_SCALES,
                                  .traits = traits,
                                  .n_traits = TN_COUNT(traits),
                                  .converters = microsoft_25,
                                  .n_converters = TN_COUNT(microsoft_25),
                                  .build = build};
const TnArch tn_arch_bitnet = {.name = "bitnet",
                               .doc = "the models of 1bitLLM, as llama.cpp's converter writes them",
                               .classes = "BitnetForCausalLM",
                               .activation = TN_OP_silu,
                               .rope = "half",
                               .tensors = tensors,
                               .n_tensors = N_TENSORS,
                               .traits = traits,
                               .n_traits = TN_COUNT(traits),
                               .converters = mainline,
                               .n_converters = TN_COUNT(mainline),
                               .refuse = refuse,
                               .families = families_1bitllm,
                               .n_families = TN_COUNT(families_1bitllm),
                               .speeds = speeds_1bitllm,
                               .n_speeds = TN_COUNT(speeds_1bitllm),
                               .build = build};
