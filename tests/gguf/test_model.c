/* From a file to a graph: what the graph looks like, and the message for every key that contradicts another
 * or asks for something unsupported. test_tensors.c tests the tensors, test_numbers.c the numbers. */
#include "gguf/eval_model.h"
#include <math.h>
#include "gguf/refuse.h"
#include "runtime/base/hash.h"

#define P "m.gguf: "
#define A "bitnet-b1.58."

static TnGw *good(void) {
    return tn_gm_create(&tn_gm_tiny);
}

static TnRef named(const TnGraph *g, const char *name) {
    TnRef r = tn_map_get(&g->names, name, strlen(name));
    if (r == TN_MAP_NONE) fail_msg("no value %s", name);
    return r;
}

static void the_graph_and_its_facts(void **state) {
    (void)state;
    TnBuf file = {0};
    TnGguf *gg;
    TnGraph *g;
    TnFacts f;
    TernError err;
    tn_gm_bytes(&tn_gm_tiny, &file);
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &gg, &err), TERN_OK);
    assert_int_equal(tn_gguf_graph(gg, NULL, &g, &f, &err), TERN_OK);
    assert_verified(g);
    assert_string_equal(f.arch, "bitnet-b1.58");
    assert_string_equal(f.name, "random");
    assert_string_equal(f.desc, "i2s, f16 head");
    assert_int_equal(f.n_vocab, 100);
    assert_int_equal(f.n_context, 64);
    assert_int_equal(f.n_layers, 2);
    assert_int_equal(f.n_hidden, 128);
    assert_int_equal(f.n_ffn, 256);
    assert_int_equal(f.n_heads, 4);
    assert_int_equal(f.n_kv_heads, 2);
    assert_int_equal(f.head_dim, 32);
    /* embedding, output norm, and per layer q o, k v, gate up down, norms */
    assert_int_equal(f.n_params,
                     100 * 128 + 128 + 2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 128 * 256 + 3 * 128 + 256));
    assert_int_equal(f.source_hash, gg->table_hash);
    assert_non_null(f.vocab);

    const TnNode *q = &g->nodes[named(g, "l1.attn_q")];
    const TnGgufTensor *t = tn_gguf_tensor(gg, "blk.1.attn_q.weight");
    assert_int_equal(q->op, TN_OP_gguf);
    assert_string_equal(tn_attr_str(q, TN_ATTR_name), "blk.1.attn_q.weight");
    assert_true(tn_node_attr(q, TN_ATTR_hash)->u == tn_hash64(t->data, t->bytes));
    assert_int_equal(q->type.enc, TN_ENC_i2s);
    double scale, *w = tn_xcalloc(128 * 128, sizeof *w);
    tn_gm_values(&tn_gm_tiny, "blk.1.attn_q.weight", 128, 128, w, &scale);
    free(w);
    assert_true((double)tn_type_scale(&q->type, 0) == scale);
    const TnNode *logits = &g->nodes[named(g, "logits")];
    assert_int_equal(logits->args[1], named(g, "token_embd")); /* tied */
    static const char *const outputs[] = {"best", "top", "toplogit", "logits", "hidden"};
    for (size_t i = 0; i < TN_COUNT(outputs); i++) {
        size_t found = 0;
        for (TnRef r = 0; r < g->n; r++)
            found += g->nodes[r].op == TN_OP_output &&
                     !strcmp(tn_attr_str(&g->nodes[r], TN_ATTR_name), outputs[i]);
        assert_int_equal(found, 1);
    }
    tn_graph_destroy(g);
    tn_gguf_close(gg);

    /* without hashes no tensor is read; the graph is the same otherwise */
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &gg, &err), TERN_OK);
    assert_int_equal(tn_gguf_graph(gg, &(TnGgufOptions){.no_hash = true}, &g, &f, &err), TERN_OK);
    assert_true(tn_node_attr(&g->nodes[named(g, "l1.attn_q")], TN_ATTR_hash)->u == 0);
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    tn_buf_free(&file);
}

/* The model in the repository, as the program embeds it. */
static void the_model_that_comes_along(void **state) {
    (void)state;
    TnGguf *gg;
    TnGraph *g;
    TnFacts f;
    TernError err;
    if (tn_gguf_open(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", false, &gg, &err) != TERN_OK)
        fail_msg("%s", err.text);
    if (tn_gguf_graph(gg, NULL, &g, &f, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_verified(g);
    assert_int_equal(f.n_layers, 6);
    assert_int_equal(f.n_vocab, 1792);
    tn_graph_destroy(g);
    tn_gguf_close(gg);
}

static void a_name_is_not_needed(void **state) {
    (void)state;
    TnGw *w = good();
    tn_gw_drop(w, "general.name");
    assert_string_equal(graph_says(w, false), "");
}

static void integer_keys(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *want;
    } list[] = {
        {A "embedding_length", 0, P A "embedding_length is 0, expected 1 to 1048576"},
        {A "embedding_length", 1 << 21, P A "embedding_length is 2097152, expected 1 to 1048576"},
        {A "embedding_length", 126,
         P A "attention.head_count is 4, expected a divisor of the embedding length 126"},
        {A "embedding_length", 256, P A "rope.dimension_count is 32, expected 64"},
        {A "block_count", 0, P A "block_count is 0, expected 1 to 4096"},
        {A "block_count", 4097, P A "block_count is 4097, expected 1 to 4096"},
        {A "block_count", 3, P "tensor blk.2.attn_norm.weight is missing"},
        {A "block_count", 1, P "tensor blk.1.attn_norm.weight has no place in the architecture bitnet-b1.58"},
        {A "feed_forward_length", 0, P A "feed_forward_length is 0, expected 1 to 4194304"},
        {A "feed_forward_length", 255,
         P "tensor blk.0.ffn_gate.weight has 128 x 256 x 1 x 1 elements (columns first), expected 128 x 255"},
        {A "context_length", 0, P A "context_length is 0, expected 1 to 16777216"},
        {A "context_length", 1 << 25, P A "context_length is 33554432, expected 1 to 16777216"},
        {A "attention.head_count", 0, P A "attention.head_count is 0, expected 1 to 4096"},
        {A "attention.head_count", 4097, P A "attention.head_count is 4097, expected 1 to 4096"},
        {A "attention.head_count", 3, P A "attention.head_count_kv is 2, expected a divisor of the 3 heads"},
        {A "attention.head_count_kv", 0, P A "attention.head_count_kv is 0, expected 1 to 4096"},
        {A "attention.head_count_kv", 3,
         P A "attention.head_count_kv is 3, expected a divisor of the 4 heads"},
        {A "attention.head_count_kv", 4,
         P "tensor blk.0.attn_k.weight has 128 x 64 x 1 x 1 elements (columns first), expected 128 x 128"},
        {A "attention.key_length", 0, P A "attention.key_length is 0, expected 1 to 1024"},
        {A "attention.key_length", 1025, P A "attention.key_length is 1025, expected 1 to 1024"},
        {A "attention.key_length", 64, P A "rope.dimension_count is 32, expected 64"},
        {A "attention.value_length", 64, P A "attention.value_length is 64, expected 32"},
        {A "rope.dimension_count", 16, P A "rope.dimension_count is 16, expected 32"},
        {A "vocab_size", 99, P A "vocab_size is 99, expected 100"},
        {A "expert_count", 8, P A "expert_count is 8 (a mixture of experts), expected 0"},
        {A "expert_count", 0, ""},
        {A "attention.sliding_window", 512, ""},
        {A "attention.sliding_window", (1 << 24) + 1,
         P A "attention.sliding_window is 16777217, expected 0 to 16777216"},
        {A "rope.scaling.original_context_length", 0,
         P A "rope.scaling.original_context_length is 0, expected 1 to 16777216"},
        {"split.count", 2,
         P "part 1 of 2 of a model that was split, expected a name that ends in "
           "-00001-of-00002.gguf, and the other parts beside it"},
        {"split.count", 1, ""},
        {"something.else", 5, ""},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        TnGw *w = good();
        tn_gw_u32(w, list[i].key, list[i].value);
        assert_string_equal(graph_says(w, false), list[i].want);
    }
}

/* 2B-4T under the name that llama.cpp's converter gives it: nothing in the file names the activation. */
static void bitnet_of_llama3_tokens(void **state) {
    (void)state;
    static const char *const says[] = {NULL, "relu2", "silu"};
    for (size_t i = 0; i < 4; i++) {
        TnGmSpec s = tn_gm_small;
        s.arch = "bitnet";
        s.hidden = 128, s.heads = 2, s.kv_heads = 1, s.ffn = 128, s.no_vocab = true;
        s.vocab = i < 3 ? 128256 : 128255;
        TnGw *w = tn_gm_create(&s);
        const char *want =
            i == 0 ? P "architecture bitnet with the 128256 tokens of BitNet b1.58 2B-4T, whose "
                       "activation is relu squared, and no key says which it is: set it by --override-kv "
                       "bitnet.hidden_activation=str:relu2 (or silu); the converter that writes such files "
                       "may also have inverted the scales"
                   : "";
        if (i && i < 3) tn_gw_str(w, "bitnet.hidden_activation", says[i]);
        assert_string_equal(graph_says(w, false), want);
    }
}

static void float_keys(void **state) {
    (void)state;
    static const struct {
        const char *key;
        float value;
        const char *want;
    } list[] = {
        {A "attention.layer_norm_rms_epsilon", 0.0f,
         P A "attention.layer_norm_rms_epsilon is 0, expected 1e-12 to 1"},
        {A "attention.layer_norm_rms_epsilon", NAN,
         P A "attention.layer_norm_rms_epsilon is nan, expected 1e-12 to 1"},
        {A "rope.freq_base", 0.5f, P A "rope.freq_base is 0.5, expected 1 to 1e+12"},
        {A "rope.freq_base", INFINITY, P A "rope.freq_base is inf, expected 1 to 1e+12"},
        {A "rope.scaling.factor", 4.0f, ""},
        {A "rope.scaling.factor", -4.0f, P A "rope.scaling.factor is -4, expected 0 to 1e+06"},
        {A "rope.scaling.factor", 1e-9f,
         P A "rope.scaling.factor is 1e-09, expected 0 (none) or at least 1e-06"},
        {A "rope.scaling.attn_factor", 2.0f, ""},
        {A "rope.scaling.attn_factor", NAN, P A "rope.scaling.attn_factor is nan, expected 0.001 to 1000"},
        {A "rope.scaling.yarn_ext_factor", 0, P A "rope.scaling.yarn_ext_factor is 0, expected 1"},
        {A "rope.scale_linear", 2.0f, ""},
        {A "logit_scale", 0.5f, P A "logit_scale is 0.5, expected 1"},
        {A "embedding_scale", 12.0f, P A "embedding_scale is 12, expected 1"},
        {A "residual_scale", 0.5f, P A "residual_scale is 0.5, expected 1"},
        {A "attn_logit_softcapping", 50.0f, P A "attn_logit_softcapping is 50, expected 0"},
        {A "final_logit_softcapping", 30.0f, P A "final_logit_softcapping is 30, expected 0"},
        {A "attention.clamp_kqv", 8.0f, P A "attention.clamp_kqv is 8, expected 0"},
        {A "attention.max_alibi_bias", 8.0f, P A "attention.max_alibi_bias is 8, expected 0"},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        TnGw *w = good();
        tn_gw_f32(w, list[i].key, list[i].value);
        assert_string_equal(graph_says(w, false), list[i].want);
    }
}

static void other_keys(void **state) {
    (void)state;
    static const struct {
        const char *key, *value, *want;
    } texts[] = {
        {"general.architecture", "bitnet-25", P "the key bitnet-25.embedding_length is missing"},
        {A "rope.scaling.type", "dynamic",
         P A "rope.scaling.type is 'dynamic', expected none, linear, yarn, llama3 or longrope"},
        {A "rope.scaling.type", "yarn", ""},
        {A "rope.scaling.type", "llama3", ""},
        {A "rope.scaling.type", "longrope",
         P A "rope.scaling.type is longrope, whose factors have no place in architecture bitnet-b1.58"},
        {A "rope.scaling.type", "linear", ""},
        {A "rope.scaling.type", "none", ""},
        {A "hidden_activation", "relu2", ""},
        {A "hidden_activation", "silu", ""},
        {A "hidden_activation", "gelu", ""},
        {A "hidden_activation", "gelu_pytorch_tanh", ""},
        {A "hidden_activation", "quick_gelu",
         P A "hidden_activation is 'quick_gelu', expected relu2, silu, relu, gelu or gelu_tanh"},
        {A "hidden_activation", "",
         P A "hidden_activation is '', expected relu2, silu, relu, gelu or gelu_tanh"},
        {A "rope.scaling.factor", "", P A "rope.scaling.factor is of type string, expected a float"},
        {"prism.hadamard.transform", "x",
         P "prism.hadamard.transform is a Hadamard transform of the weights (Bonsai 2), expected none"},
        {"general.type", "model", ""},
        {"general.type", "adapter", P "general.type is 'adapter', expected model"},
        {A "block_count", "2", P A "block_count is of type string, expected an integer"},
    };
    for (size_t i = 0; i < TN_COUNT(texts); i++) {
        TnGw *w = good();
        tn_gw_str(w, texts[i].key, texts[i].value);
        assert_string_equal(graph_says(w, false), texts[i].want);
    }
    TnGw *w = good();
    tn_gw_bool(w, A "attention.causal", 0);
    assert_string_equal(graph_says(w, false), P A "attention.causal is false, expected true");
    w = good();
    tn_gw_bool(w, A "attention.causal", 1);
    tn_gw_bool(w, A "use_parallel_residual", 0);
    assert_string_equal(graph_says(w, false), "");
    w = good();
    tn_gw_bool(w, A "use_parallel_residual", 1);
    assert_string_equal(graph_says(w, false), P A "use_parallel_residual is true, expected false");

    static const char *const required[] = {"embedding_length",     "block_count",
                                           "feed_forward_length",  "context_length",
                                           "attention.head_count", "attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < TN_COUNT(required); i++) {
        char key[64], want[128];
        snprintf(key, sizeof key, A "%s", required[i]);
        snprintf(want, sizeof want, P "the key %s is missing", key);
        w = good();
        tn_gw_drop(w, key);
        assert_string_equal(graph_says(w, false), want);
    }
    w = good();
    tn_gw_drop(w, "general.architecture");
    assert_string_equal(graph_says(w, false), P "the key general.architecture is missing");
    /* defaults: rope base, rope dimensions, vocabulary size; kv heads as many as heads */
    w = good();
    tn_gw_drop(w, A "rope.freq_base");
    tn_gw_drop(w, A "rope.dimension_count");
    tn_gw_drop(w, A "vocab_size");
    assert_string_equal(graph_says(w, false), "");
    w = good();
    tn_gw_drop(w, A "attention.head_count_kv");
    assert_string_equal(
        graph_says(w, false),
        P "tensor blk.0.attn_k.weight has 128 x 64 x 1 x 1 elements (columns first), expected 128 x 128");
}

static void per_layer_keys(void **state) {
    (void)state;
    static const char *const keys[] = {A "feed_forward_length", A "attention.head_count",
                                       A "attention.head_count_kv"};
    static const uint32_t values[] = {256, 4, 2};
    for (size_t i = 0; i < TN_COUNT(keys); i++) {
        char want[128];
        uint32_t v[3] = {values[i], values[i], values[i]};
        TnGw *w = good();
        tn_gw_array(w, keys[i], GW_U32, v, 2, 4);
        assert_string_equal(graph_says(w, false), "");
        w = good();
        tn_gw_array(w, keys[i], GW_U32, v, 3, 4);
        snprintf(want, sizeof want, P "%s has 3 values, expected one, or one for each of 2 layers", keys[i]);
        assert_string_equal(graph_says(w, false), want);
    }
    TnGw *w = good(); /* this one is not a matter of layers */
    tn_gw_array(w, A "embedding_length", GW_U32, (uint32_t[]){128, 128}, 2, 4);
    assert_string_equal(graph_says(w, false), P A "embedding_length is an array of u32, expected an integer");
}

static void heads_are_even(void **state) {
    (void)state;
    TnGmSpec s = tn_gm_tiny;
    s.hidden = 128;
    s.heads = s.kv_heads = 128; /* heads of one column */
    assert_string_equal(graph_says(tn_gm_create(&s), false),
                        P "heads of 1 columns, expected an even number up to 1024");
    s = tn_gm_tiny;
    s.hidden = 2560;
    s.ffn = 128;
    s.layers = 1;
    s.heads = s.kv_heads = 1;
    assert_string_equal(graph_says(tn_gm_create(&s), false),
                        P "heads of 2560 columns, expected an even number up to 1024");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_graph_and_its_facts),
        cmocka_unit_test(the_model_that_comes_along),
        cmocka_unit_test(a_name_is_not_needed),
        cmocka_unit_test(integer_keys),
        cmocka_unit_test(bitnet_of_llama3_tokens),
        cmocka_unit_test(float_keys),
        cmocka_unit_test(other_keys),
        cmocka_unit_test(per_layer_keys),
        cmocka_unit_test(heads_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
