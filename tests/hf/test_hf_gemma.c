/* Folders of Gemma 3, whose class has norms, windows and defaults of its own, and of sentence-transformers. */
#include <sys/stat.h>
#include "hf/small_folder.h"

#define C "/config.json: "
static const char gemma[] =
    "{\"architectures\":[\"Gemma3TextModel\"],\n"
    "\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":1,\"num_attention_heads\":2,\n"
    "\"num_key_value_heads\":1,\"head_dim\":32,\"vocab_size\":32,\"max_position_embeddings\":8192,\n"
    "\"query_pre_attn_scalar\":32,\"hidden_activation\":\"gelu_pytorch_tanh\",\"hidden_act\":\"silu\",\n"
    "\"sliding_window\":512,\"rope_theta\":1e6,\"rope_local_base_freq\":10000,\n"
    "\"layer_types\":[\"sliding_attention\"],\"final_logit_softcapping\":null,\n"
    "\"use_bidirectional_attention\":false,\n"
    "\"quantization_config\":{\"quant_method\":\"bitnet\",\"linear_class\":\"autobitlinear\"}}";

static void put_gemma(void) {
    static const char *const norms[] = {"input_layernorm", "post_attention_layernorm",
                                        "pre_feedforward_layernorm", "post_feedforward_layernorm"};
    static float numbers[VOCAB * HIDDEN];
    char name[100];
    Weights w = {0};
    for (int i = 0; i < VOCAB * HIDDEN; i++) numbers[i] = (float)i / 64;
    add(&w, "model.embed_tokens.weight", "F32", "32,64", numbers, sizeof numbers);
    add(&w, "model.norm.weight", "F32", "64", numbers, HIDDEN * 4);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "model.layers.0.%s.weight", norms[i]);
        add(&w, name, "F32", "64", numbers + i + 1, HIDDEN * 4);
    }
    add(&w, "model.layers.0.self_attn.q_norm.weight", "F32", "32", numbers + 5, HEAD * 4);
    add(&w, "model.layers.0.self_attn.k_norm.weight", "F32", "32", numbers + 6, HEAD * 4);
    for (int m = 0; m < MATRICES; m++) {
        add_matrix(&w, m, PACKED, 0, false);
        snprintf(name, sizeof name, "model.layers.0.%s.norm.weight", matrices[m].name);
        add(&w, name, "F32", matrices[m].cols == HIDDEN ? "64" : "128", numbers + 7,
            (size_t)matrices[m].cols * 4);
    }
    finish(&w);
}

static float first_of(const TnGguf *g, const char *name) {
    float x;
    const TnGgufTensor *t = tn_gguf_tensor(g, name);
    if (!t) {
        fail_msg("no tensor %s", name);
        return 0;
    }
    memcpy(&x, t->data, sizeof x);
    return x;
}

static void norms_get_one_more(void **state) {
    (void)state;
    static const struct {
        const char *name;
        float first;
    } list[] = {
        {"token_embd.weight", 0},
        {"output_norm.weight", 1},
        {"blk.0.attn_norm.weight", 1 + 1.0f / 64},
        {"blk.0.post_attention_norm.weight", 1 + 2.0f / 64},
        {"blk.0.ffn_norm.weight", 1 + 3.0f / 64},
        {"blk.0.post_ffw_norm.weight", 1 + 4.0f / 64},
        {"blk.0.attn_q_norm.weight", 1 + 5.0f / 64},
        {"blk.0.attn_k_norm.weight", 1 + 6.0f / 64},
        {"blk.0.attn_q_norm_in.weight", 7.0f / 64},
        {"blk.0.ffn_down_norm_in.weight", 7.0f / 64},
    };
    TnBuf file = {0};
    TnGguf *g;
    TernError err;
    put_text("config.json", gemma);
    assert_string_equal(convert_says(NULL, &file), "");
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err), TERN_OK);
    for (size_t i = 0; i < TN_COUNT(list); i++)
        if (first_of(g, list[i].name) != list[i].first)
            fail_msg("%s begins with %g, expected %g", list[i].name, (double)first_of(g, list[i].name),
                     (double)list[i].first);
    tn_gguf_close(g);
    tn_buf_free(&file);
}

/* What the GGUF of a changed config.json says: a whole number, a number, or 0 for no such key. */
static double says(const char *from, const char *to, const char *key) {
    TnBuf file = {0};
    TnGguf *g;
    TernError err;
    char *text = replaced(gemma, from, to), name[100];
    put_text("config.json", text);
    free(text);
    const char *fault = convert_says(NULL, &file);
    if (*fault) fail_msg("%s: %s", to, fault);
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err), TERN_OK);
    snprintf(name, sizeof name, "gemma3.%s", key);
    const TnGgufKey *k = tn_gguf_key(g, name);
    float real = 0;
    uint64_t whole = 0;
    bool is_real = k && k->type == TN_GGUF_F32;
    if (is_real)
        assert_int_equal(tn_gguf_float(g, name, true, 0, 1e12, &real, &err), TERN_OK);
    else if (k)
        assert_int_equal(tn_gguf_uint(g, name, true, 0, UINT32_MAX, &whole, &err), TERN_OK);
    tn_gguf_close(g);
    tn_buf_free(&file);
    return is_real ? (double)real : (double)whole;
}

static void keys_and_defaults(void **state) {
    (void)state;
    static const char window[] = "attention.sliding_window", pattern[] = "attention.sliding_window_pattern",
                      types[] = "\"layer_types\":[\"sliding_attention\"]";
    assert_true(says("512", "512", window) == 512);
    assert_true(says("512", "null", window) == 4096);
    assert_true(says("512", "512", pattern) == 2);     /* its one layer is local */
    assert_true(says(types, "\"x\":1", pattern) == 0); /* six, as the class says */
    assert_true(says(types, "\"sliding_window_pattern\":3", pattern) == 3);
    assert_true(says(types, "\"layer_types\":[\"full_attention\"]", pattern) == 1);
    assert_true(says("512", "512", "rope.freq_base") == 1e6);
    assert_true(says("\"rope_theta\":1e6,", "", "rope.freq_base") == 1e6);
    assert_true(says("512", "512", "rope.freq_base_swa") == 0);
    assert_true(says("10000", "5000", "rope.freq_base_swa") == 5000);
    assert_true(says("\"rope_theta\":1e6",
                     "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":3e5,\"rope_type\":"
                     "\"default\"},\"sliding_attention\":{\"rope_theta\":7000}}",
                     "rope.freq_base_swa") == 7000);
    assert_true(says("\"rope_theta\":1e6",
                     "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":3e5,\"rope_type\":"
                     "\"default\"},\"sliding_attention\":{\"rope_theta\":7000}}",
                     "rope.freq_base") == 3e5);
    assert_true(says("512", "512", "attention.scale") == 0);
    assert_true(says("\"query_pre_attn_scalar\":32", "\"query_pre_attn_scalar\":64", "attention.scale") ==
                0.125);
    assert_true(says("\"query_pre_attn_scalar\":32,", "", "attention.scale") == 0.0625);
    assert_true(says("512", "512", "hidden_activation") == 0);
    assert_true(says("\"hidden_activation\":\"gelu_pytorch_tanh\",\"hidden_act\":\"silu\",", "",
                     "hidden_activation") == 0);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *want;
    } list[] = {
        {"attention\":false", "attention\":true",
         C "use_bidirectional_attention is true: attention that is not causal is not supported"},
        {"\"use_bidirectional_attention\"", "\"is_causal\"",
         C "is_causal is false: attention that is not causal is not supported"},
        {"\"final_logit_softcapping\":null", "\"final_logit_softcapping\":30.0",
         C "final_logit_softcapping is 30, expected none"},
        {"\"final_logit_softcapping\":null", "\"attn_logit_softcapping\":50",
         C "attn_logit_softcapping is 50, expected none"},
        {"[\"sliding_attention\"]", "[\"sliding_attention\",\"full_attention\"]",
         C "layer_types, expected one full_attention after the same number of others, 1 in all"},
        {"[\"sliding_attention\"]", "[7]",
         C "layer_types, expected one full_attention after the same number of others, 1 in all"},
        {"\"sliding_window\":512", "\"sliding_window\":-1", C "sliding_window is -1, expected 1 to 16777216"},
        {"\"head_dim\":32,", "",
         ": tensor model.layers.0.self_attn.q_proj.weight is 16 x 64, expected 128 x 64 by "
         "config.json"},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        char *text = replaced(gemma, list[i].from, list[i].to);
        put_text("config.json", text);
        assert_string_equal(convert_says(NULL, NULL), list[i].want);
        free(text);
    }
    put_text("config.json", gemma);
}

/* ---- sentence-transformers */

static void poolings(void **state) {
    (void)state;
#define P            "/1_Pooling/config.json: "
#define M            "/modules.json: "
#define MODULE(name) "{\"idx\":0,\"type\":\"sentence_transformers.models." name "\",\"path\":\"1_Pooling\"}"
    static const struct {
        const char *modules, *config, *want;
        double type; /* 0: no key */
    } list[] = {
        {NULL, NULL, "", 0},
        {NULL, "{\"pooling_mode_mean_tokens\":true}", "", 1},
        {NULL, "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false}", "", 2},
        {NULL, "{\"pooling_mode_lasttoken\":true,\"word_embedding_dimension\":64}", "", 3},
        {NULL, "{\"pooling_mode\":\"cls\"}", "", 2},
        {NULL, "{\"pooling_mode\":\"max\"}", P "pooling is 'max', expected mean, cls or lasttoken", 0},
        {NULL, "{\"pooling_mode\":\"x\"}", P "pooling is 'x', expected mean, cls or lasttoken", 0},
        {NULL, "{\"pooling_mode_max_tokens\":true}", P "pooling is 'max', expected mean, cls or lasttoken",
         0},
        {NULL, "{}", P "pooling is 'none', expected mean, cls or lasttoken", 0},
        {NULL, "{\"pooling_mode_mean_tokens\":true,\"pooling_mode_cls_token\":true}",
         P "both mean and cls, expected one way to pool", 0},
        {NULL, "[]", P "its json is not an object", 0},
        {"[" MODULE("Transformer") "," MODULE("Pooling") "," MODULE("Normalize") "]",
         "{\"pooling_mode_mean_tokens\":true}", "", 1},
        {"[]", "{\"pooling_mode_mean_tokens\":true}", "", 0},
        {"[" MODULE("Pooling") "," MODULE("Dense") "]", "{\"pooling_mode_mean_tokens\":true}",
         M "module 1 is of type 'Dense', expected Transformer, Pooling or Normalize", 0},
        {"[1]", "{}", M "module 0 is of type '', expected Transformer, Pooling or Normalize", 0},
        {"[{\"type\":\"Pooling\",\"path\":\"../x\"}]", "{}", M "module 0 has no folder for its path", 0},
        {"[{\"type\":\"Pooling\"}]", "{}", M "module 0 has no folder for its path", 0},
        {"{}", "{}", M "its json is not an array", 0},
    };
    assert_int_equal(mkdir(path_in_dir("1_Pooling"), 0700), 0);
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        unlink(path_in_dir("modules.json"));
        unlink(path_in_dir("1_Pooling/config.json"));
        if (list[i].modules) put_text("modules.json", list[i].modules);
        if (list[i].config) put_text("1_Pooling/config.json", list[i].config);
        if (*list[i].want)
            assert_string_equal(convert_says(NULL, NULL), list[i].want);
        else
            assert_true(says("512", "512", "pooling_type") == list[i].type);
    }
    unlink(path_in_dir("modules.json"));
    unlink(path_in_dir("1_Pooling/config.json"));
    assert_int_equal(rmdir(path_in_dir("1_Pooling")), 0);
}

static int begin(void **state) {
    if (make_dir(state)) return 1;
    put_gemma();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_get_one_more),
        cmocka_unit_test(keys_and_defaults),
        cmocka_unit_test(refusals),
        cmocka_unit_test(poolings),
    };
    return cmocka_run_group_tests(tests, begin, remove_dir);
}
