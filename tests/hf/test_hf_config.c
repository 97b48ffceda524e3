/* config.json: every member that means something, and every way it can be wrong; and tensors that do not fit it. */
#include "hf/small_folder.h"

#define C       "/config.json: "
#define Q(text) "\"quantization_config\":" text
static const char quant[] =
    "\"quantization_config\":{\"quant_method\":\"bitnet\",\"linear_class\":\"autobitlinear\","
    "\"quantization_mode\":\"offline\"}";
static const char rope[] = "\"rope_scaling\":null";
#define R(text) "\"rope_scaling\":" text

static const struct {
    const char *from, *to;
    const char *want; /* a beginning of the line; "" if it is fine */
} list[] = {
    {"{", "[", C "line "},
    {"\"architectures\":[\"LlamaForCausalLM\"]", "\"a\":1", C "no array \"architectures\" of one text"},
    {"[\"LlamaForCausalLM\"]", "[]", C "no array \"architectures\" of one text"},
    {"[\"LlamaForCausalLM\"]", "[1]", C "no array \"architectures\" of one text"},
    {"[\"LlamaForCausalLM\"]", "null", C "no array \"architectures\" of one text"},
    {"[\"LlamaForCausalLM\"]", "\"LlamaForCausalLM\"", C "no array \"architectures\" of one text"},
    {"[\"LlamaForCausalLM\"]", "[\"LlamaForCausalLM\",\"X\"]", C "no array \"architectures\" of one text"},
    {"LlamaForCausalLM", "",
     C "class '', expected one of BitNetForCausalLM, BitnetForCausalLM, LlamaForCausalLM"},
    {"LlamaForCausalLM", "Llama", C "class 'Llama', expected one of "},
    {"LlamaForCausalLM", "Qwen3MoeForCausalLM", C "class 'Qwen3MoeForCausalLM', expected one of "},
    {"LlamaForCausalLM", "BitNetForCausalLM BitnetForCausalLM",
     C "class 'BitNetForCausalLM BitnetForCausalLM', "},
    {"\"hidden_size\":64,", "", C "the member hidden_size is missing"},
    {"\"hidden_size\":64", "\"hidden_size\":null", C "the member hidden_size is missing"},
    {"\"hidden_size\":64", "\"hidden_size\":\"64\"", C "hidden_size is a text, expected a whole number"},
    {"\"hidden_size\":64", "\"hidden_size\":64.0", C "hidden_size is a number, expected a whole number"},
    {"\"hidden_size\":64", "\"hidden_size\":[64]", C "hidden_size is an array, expected a whole number"},
    {"\"hidden_size\":64", "\"hidden_size\":{}", C "hidden_size is an object, expected a whole number"},
    {"\"hidden_size\":64", "\"hidden_size\":true", C "hidden_size is true, expected a whole number"},
    {"\"hidden_size\":64", "\"hidden_size\":0", C "hidden_size is 0, expected 1 to 16777216"},
    {"\"hidden_size\":64", "\"hidden_size\":-64", C "hidden_size is -64, expected 1 to 16777216"},
    {"\"hidden_size\":64", "\"hidden_size\":16777217", C "hidden_size is 16777217, expected 1 to 16777216"},
    {"\"hidden_size\":64", "\"hidden_size\":32",
     ": tensor model.embed_tokens.weight is 32 x 64, expected 32 x 32"},
    {"\"intermediate_size\":128,", "", C "the member intermediate_size is missing"},
    {"\"intermediate_size\":128", "\"intermediate_size\":0", C "intermediate_size is 0, "},
    {"\"intermediate_size\":128", "\"intermediate_size\":256",
     ": tensor model.layers.0.mlp.gate_proj.weight is 32 x 64, expected 64 x 64 by config.json"},
    {"\"num_hidden_layers\":1,", "", C "the member num_hidden_layers is missing"},
    {"\"num_hidden_layers\":1", "\"num_hidden_layers\":0", C "num_hidden_layers is 0, "},
    {"\"num_hidden_layers\":1", "\"num_hidden_layers\":2",
     ": tensor model.layers.1.input_layernorm.weight is missing"},
    {"\"num_hidden_layers\":1", "\"num_hidden_layers\":16777216",
     ": tensor model.layers.1.input_layernorm.weight is missing"},
    {"\"num_attention_heads\":2,", "", C "the member num_attention_heads is missing"},
    {"\"num_attention_heads\":2", "\"num_attention_heads\":3",
     ": tensor model.layers.0.self_attn.q_proj.weight is 16 x 64, expected 24 x 64"},
    {"\"num_key_value_heads\":1", "\"num_key_value_heads\":\"1\"", C "num_key_value_heads is a text"},
    {"\"num_key_value_heads\":1,", "",
     ": tensor model.layers.0.self_attn.k_proj.weight is 8 x 64, expected 16 x 64"},
    {"\"head_dim\":32,", "", ""},
    {"\"head_dim\":32", "\"head_dim\":null", ""},
    {"\"head_dim\":32", "\"head_dim\":33", C "a head has 33 columns, expected an even number"},
    {"\"head_dim\":32", "\"head_dim\":16",
     ": tensor model.layers.0.self_attn.q_proj.weight is 16 x 64, expected 8 x 64"},
    {"\"head_dim\":32,\n\"vocab_size\":32", "\"num_attention_heads\":5", C "line 7, column "},
    {"\"vocab_size\":32,", "", C "the member vocab_size is missing"},
    {"\"vocab_size\":32", "\"vocab_size\":33",
     ": tensor model.embed_tokens.weight is 32 x 64, expected 33 x 64"},
    {"\"max_position_embeddings\":128,", "", C "the member max_position_embeddings is missing"},
    {"\"max_position_embeddings\":128", "\"max_position_embeddings\":1e3",
     C "max_position_embeddings is a number, "},
    {"\"hidden_act\":\"silu\",", "", C "the member hidden_act is missing"},
    {"\"hidden_act\":\"silu\"", "\"hidden_act\":1", C "hidden_act is a number, expected a text"},
    {"\"hidden_act\":\"silu\"", "\"hidden_act\":\"relu2\"", ""},
    {"\"rms_norm_eps\":1e-5,", "", ""},
    {"\"rms_norm_eps\":1e-5", "\"rms_norm_eps\":0", C "rms_norm_eps is 0, expected 1e-12 to 1"},
    {"\"rms_norm_eps\":1e-5", "\"rms_norm_eps\":\"1\"", C "rms_norm_eps is a text, expected a number"},
    {"\"rms_norm_eps\":1e-5", "\"rms_norm_eps\":2", C "rms_norm_eps is 2, expected"},
    {"\"rope_theta\":10000.0,", "", ""},
    {"\"rope_theta\":10000.0", "\"rope_theta\":0.5", C "rope_theta is 0.5, expected 1 to 1e+12"},
    {"\"rope_theta\":10000.0", "\"rope_theta\":[]", C "rope_theta is an array, expected a number"},
    {"\"rope_theta\":10000.0", "\"rope_theta\":10000.0,\"partial_rotary_factor\":0.5",
     C "partial_rotary_factor is 0.5, expected 1"},
    {rope, R("{}"), ""},
    {rope, R("1"), C "rope_scaling is a number, expected an object"},
    {rope, R("\"yarn\""), C "rope_scaling is a text, expected an object"},
    {rope, R("[]"), C "rope_scaling is an array, expected an object"},
    {rope, R("{\"factor\":2}"),
     C "rope_scaling is of type '', expected default, linear, yarn, llama3 or longrope"},
    {rope, R("{\"type\":\"dynamic\",\"factor\":2}"), C "rope_scaling is of type 'dynamic', expected "},
    {rope, R("{\"type\":1}"), C "rope_scaling is of type '', expected "},
    {rope, R("{\"rope_type\":\"default\"}"), ""},
    {rope, R("{\"type\":\"linear\",\"factor\":2}"), ""},
    {rope, R("{\"type\":\"linear\",\"factor\":0}"), C "factor is 0, expected 1e-06 to 1e+06"},
    {rope, R("{\"type\":\"linear\",\"factor\":\"2\"}"), C "factor is a text, expected a number"},
    {rope, R("{\"type\":\"yarn\",\"factor\":4}"), ""},
    {rope, R("{\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":0}"),
     C "original_max_position_embeddings is 0, expected"},
    {rope, R("{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":0}"), C "beta_fast is 0, expected"},
    {rope, R("{\"type\":\"yarn\",\"factor\":4,\"mscale\":1}"),
     C "rope_scaling has mscale, which is not supported"},
    {rope, R("{\"rope_type\":\"llama3\",\"factor\":8}"), ""},
    {rope, R("{\"rope_type\":\"llama3\",\"low_freq_factor\":4,\"high_freq_factor\":1}"),
     C "low_freq_factor is 4, expected less than high_freq_factor, 1"},
    {rope, R("{\"rope_type\":\"longrope\"}"), C "long_factor of rope_scaling is not an array of 16 numbers"},
    {rope, R("{\"rope_type\":\"longrope\",\"long_factor\":[1]}"),
     C "long_factor of rope_scaling is not an array"},
    {rope, R("{\"rope_type\":\"longrope\",\"long_factor\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,0]}"),
     C "long_factor of rope_scaling: number 15 is not from 1e-06 to 1e+06"},
    {rope,
     R("{\"rope_type\":\"longrope\",\"long_factor\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"short_factor\":{}}"),
     C "short_factor of rope_scaling is not an array of 16 numbers"},
    {rope,
     R("{\"rope_type\":\"longrope\",\"long_factor\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"short_factor\":[1,1,"
       "1,1,1,1,1,"
       "1,1,1,1,1,1,1,1,1]}"),
     C "rope_scaling needs rope_factors_long.weight, which LlamaForCausalLM does not have"},
    {"\"tie_word_embeddings\":true", "\"tie_word_embeddings\":1",
     C "tie_word_embeddings is a number, expected true or"},
    {"\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false",
     ": tensor lm_head.weight is missing, and"},
    {"\"tie_word_embeddings\":true,", "", ""},
    {"\"eos_token_id\":2", "\"scale_emb\":12",
     C "scale_emb, scale_depth or dim_model_base, which LlamaForCausalLM does"},
    {"\"eos_token_id\":2", "\"sliding_window\":64", ""},
    {"\"eos_token_id\":2", "\"sliding_window\":0", C "sliding_window is 0, expected 1"},
    {"\"eos_token_id\":2", "\"sliding_window\":64,\"use_sliding_window\":1",
     C "use_sliding_window is a number, expected"},
    {"\"eos_token_id\":2", "\"sliding_window\":64,\"use_sliding_window\":false", ""},
    {"\"num_hidden_layers\":1",
     "\"num_hidden_layers\":2,\"layer_types\":[\"full_attention\",\"sliding_attention\"]",
     C "layer_types differ, expected one kind of attention"},
    {"\"num_hidden_layers\":1", "\"num_hidden_layers\":4,\"sliding_window\":64,\"max_window_layers\":2",
     C "only the layers after max_window_layers, 2, have a window"},
    {quant, Q("1"), C "quantization_config is a number, expected an object"},
    {quant, Q("[]"), C "quantization_config is an array, expected an object"},
    {quant, Q("null"),
     ": tensor model.layers.0.self_attn.q_proj.weight is packed, but config.json has no quant"},
    {quant, Q("{}"), C "quant_method is '', expected bitnet"},
    {quant, Q("{\"quant_method\":\"gptq\"}"), C "quant_method is 'gptq', expected bitnet"},
    {quant, Q("{\"quant_method\":1}"), C "quant_method is a number, expected a text"},
    {quant, Q("{\"quant_method\":\"bitnet\"}"), ""},
    {quant, Q("{\"quant_method\":\"bitnet\",\"linear_class\":\"x\"}"),
     C "linear_class is 'x', expected bitlinear or"},
    {quant, Q("{\"quant_method\":\"bitnet\",\"linear_class\":{}}"),
     C "linear_class is an object, expected a text"},
    {quant, Q("{\"quant_method\":\"bitnet\",\"quantization_mode\":\"x\"}"),
     C "quantization_mode is 'x', expected online"},
    {quant, Q("{\"quant_method\":\"bitnet\",\"use_rms_norm\":true}"),
     C "use_rms_norm: a norm before every linear is"},
};

static void members(void **state) {
    (void)state;
    size_t n = sizeof list / sizeof *list, differ = 0;
    put_weights(PACKED, 0, false);
    for (size_t i = 0; i < n; i++) {
        char *config = replaced(good_config, list[i].from, list[i].to);
        put_text("config.json", config);
        const char *says = convert_says(NULL, NULL);
        if (strncmp(says, list[i].want, strlen(list[i].want)) != 0 || (!*list[i].want && *says)) {
            print_error("%s\n  says   %s\n  expected %s\n", list[i].to, says, list[i].want);
            differ++;
        }
        free(config);
    }
    assert_int_equal(differ, 0);
}

/* Cut at every byte, and every byte replaced: read or refused in a line. */
static void damage(void **state) {
    (void)state;
    put_weights(PACKED, 0, false);
    size_t n = strlen(good_config);
    char *config = tn_xcalloc(n + 1, 1);
    for (size_t cut = 0; cut < n; cut++) {
        memcpy(config, good_config, n + 1);
        put_file("config.json", config, cut);
        if (!*convert_says(NULL, NULL)) fail_msg("cut at byte %zu: read", cut);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(config, good_config, n + 1);
        config[i] = "\"0-{"[i % 4];
        put_file("config.json", config, n);
        (void)convert_says(NULL, NULL);
    }
    free(config);
}

static void tensors(void **state) {
    (void)state;
    uint16_t half[HIDDEN] = {0};
    float one = 1;
    static const struct {
        int left_out; /* this matrix is replaced by a tensor of the given type and shape */
        const char *dtype, *shape;
        size_t bytes;
        const char *want;
    } faults[] = {
        {2, "I8", "32,64", 2048,
         ": tensor model.layers.0.self_attn.v_proj.weight is of type I8, expected F32, F16 or"},
        {2, "U8", "8,64,1", 512,
         ": tensor model.layers.0.self_attn.v_proj.weight is 8 x 64 x 1, expected 8 x 64"},
        {2, "U8", "512", 512, ": tensor model.layers.0.self_attn.v_proj.weight is 512, expected 8 x 64"},
        {2, "U8", "", 1,
         ": tensor model.layers.0.self_attn.v_proj.weight is a single number, expected 8 x 64"},
        {2, "U8", "64,8", 512, ": tensor model.layers.0.self_attn.v_proj.weight is 64 x 8, expected 8 x 64"},
        {2, "U8", "8,64", 512, ": tensor model.layers.0.self_attn.v_proj.weight_scale is missing"},
        {2, "BF16", "8,64", 1024,
         ": tensor model.layers.0.self_attn.v_proj.weight is 8 x 64, expected 32 x 64"},
        {2, NULL, NULL, 0, ": tensor model.layers.0.self_attn.v_proj.weight is missing"},
    };
    put_text("config.json", good_config);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        Weights w = {0};
        uint8_t *zeros = tn_xcalloc(faults[i].bytes + 1, 1);
        add_rest(&w);
        for (int m = 0; m < MATRICES; m++)
            if (m != faults[i].left_out) add_matrix(&w, m, PACKED, 0, false);
        if (faults[i].dtype)
            add(&w, "model.layers.0.self_attn.v_proj.weight", faults[i].dtype, faults[i].shape, zeros,
                faults[i].bytes);
        finish(&w);
        const char *says = convert_says(NULL, NULL);
        if (strncmp(says, faults[i].want, strlen(faults[i].want)) != 0)
            fail_msg("fault %zu\n  says   %s\n  expected %s", i, says, faults[i].want);
        free(zeros);
    }
    static const struct {
        const char *name, *dtype, *shape;
        const void *bytes;
        size_t n;
        const char *want;
    } more[] = {
        {"model.layers.0.self_attn.q_proj.bias", "F16", "64", NULL, 128,
         ": tensor model.layers.0.self_attn.q_proj.bias has no place in the architecture llama"},
        {"model.layers.1.input_layernorm.weight", "F16", "64", NULL, 128,
         ": tensor model.layers.1.input_layernorm.weight has no place in the architecture llama"},
        {"x", "I64", "", NULL, 8, ": tensor x has no place in the architecture llama"},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", "1", NULL, 4, ""},
        {"lm_head.weight", "F16", "64", NULL, 128, ""}, /* tied: a copy */
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        Weights w = {0};
        add_rest(&w);
        for (int m = 0; m < MATRICES; m++) add_matrix(&w, m, PACKED, 0, false);
        add(&w, more[i].name, more[i].dtype, more[i].shape, more[i].n == 4 ? (void *)&one : (void *)half,
            more[i].n);
        finish(&w);
        assert_string_equal(convert_says(NULL, NULL), more[i].want);
    }
}

/* A scale that the other rule would make plausible. */
static void scales(void **state) {
    (void)state;
    static const struct {
        uint16_t bits;
        const char *want;
    } faults[] = {
        {0x4248, "is 50, so weights would be 50, expected up to 10 (linear_class autobitlinear: weights are "
                 "multiplied by"},
        {0x0000, "is 0, so weights would be 0, expected up to 10"},
        {0xbf80, "is -1, so weights would be -1, expected up to 10"},
        {0x7f80, "is inf, so weights would be inf, expected up to 10"},
        {0x7fc0, "is nan, so weights would be nan, expected up to 10"},
    };
    put_text("config.json", good_config);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        Weights w = {0};
        uint8_t zeros[8 * 64] = {0};
        add_rest(&w);
        for (int m = 0; m < MATRICES; m++)
            if (m != 2) add_matrix(&w, m, PACKED, 0, false);
        add(&w, "model.layers.0.self_attn.v_proj.weight", "U8", "8,64", zeros, sizeof zeros);
        add(&w, "model.layers.0.self_attn.v_proj.weight_scale", "BF16", "1", &faults[i].bits, 2);
        finish(&w);
        const char *says = convert_says(NULL, NULL);
        if (!strstr(says, faults[i].want)) fail_msg("says %s, expected %s", says, faults[i].want);
    }
    /* divided: a scale that is no reciprocal */
    char *config = replaced(good_config, "autobitlinear", "bitlinear");
    put_text("config.json", config);
    free(config);
    Weights w = {0};
    uint8_t zeros[8 * 64] = {0};
    uint16_t small = tn_f32_to_bf16(0.015625f);
    add_rest(&w);
    for (int m = 0; m < MATRICES; m++)
        if (m != 2) add_matrix(&w, m, PACKED, 0, false);
    add(&w, "model.layers.0.self_attn.v_proj.weight", "U8", "8,64", zeros, sizeof zeros);
    add(&w, "model.layers.0.self_attn.v_proj.weight_scale", "BF16", "1", &small, 2);
    finish(&w);
    assert_non_null(strstr(convert_says(NULL, NULL),
                           "is 0.015625, so weights would be 64, expected up to 10 (linear_class "
                           "bitlinear: weights are divided by it)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(members), cmocka_unit_test(damage),
                                       cmocka_unit_test(tensors), cmocka_unit_test(scales)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
