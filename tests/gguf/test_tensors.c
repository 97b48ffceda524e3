/* The tensors of a model: all that are needed and no others, with the right shapes, types and values; each
 * fault with its message. */
#include "gguf/refuse.h"
#include <math.h>
#include <unistd.h>

#define P "m.gguf: "
#define A "bitnet-b1.58."

static TnGw *good(void) {
    return tn_gm_create(&tn_gm_tiny);
}

static void every_tensor_is_needed(void **state) {
    (void)state;
    static const char *const names[] = {
        "token_embd.weight",          "output_norm.weight",       "blk.0.attn_norm.weight",
        "blk.1.attn_q.weight",        "blk.0.attn_k.weight",      "blk.1.attn_v.weight",
        "blk.0.attn_sub_norm.weight", "blk.1.attn_output.weight", "blk.0.ffn_norm.weight",
        "blk.1.ffn_gate.weight",      "blk.0.ffn_up.weight",      "blk.1.ffn_sub_norm.weight",
        "blk.0.ffn_down.weight"};
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        char want[128];
        TnGw *w = good();
        tn_gw_drop(w, names[i]);
        snprintf(want, sizeof want, P "tensor %s is missing", names[i]);
        assert_string_equal(graph_says(w, false), want);
    }
}

static void every_tensor_has_a_place(void **state) {
    (void)state;
    static const char *const names[] = {"blk.0.attn_q.bias", "blk.0.ffn_gate_inp.weight",
                                        "blk.2.attn_norm.weight",
                                        "blk.0.attn_q.scale", /* of arch bitnet only */
                                        "position_embd.weight"};
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        char want[128];
        TnGw *w = good();
        tn_gw_tensor(w, names[i], GW_T_F32, 1, (uint64_t[]){1}, NULL, NULL);
        snprintf(want, sizeof want, P "tensor %s has no place in the architecture bitnet-b1.58", names[i]);
        assert_string_equal(graph_says(w, false), want);
    }
    TnGmSpec s = tn_gm_tiny;
    s.arch = "llama"; /* which has no sub-norms */
    TnGw *w = tn_gm_create(&s);
    tn_gw_tensor(w, "blk.0.attn_sub_norm.weight", GW_T_F32, 1, (uint64_t[]){128}, NULL, NULL);
    assert_string_equal(graph_says(w, false),
                        P "tensor blk.0.attn_sub_norm.weight has no place in the architecture llama");
}

static void shapes_of_tensors(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t type, rank;
        uint64_t ne[3];
        const char *want;
    } list[] = {
        {"output_norm.weight",
         GW_T_F32,
         1,
         {64},
         P "tensor output_norm.weight has 64 x 1 x 1 x 1 elements (columns first), expected 128 x 1"},
        {"output_norm.weight",
         GW_T_F32,
         2,
         {64, 2},
         P "tensor output_norm.weight has 64 x 2 x 1 x 1 elements (columns first), expected 128 x 1"},
        {"output_norm.weight", GW_T_F32, 2, {128, 1}, ""},
        {"blk.0.attn_q.weight",
         GW_T_I2_S,
         2,
         {256, 64},
         P "tensor blk.0.attn_q.weight has 256 x 64 x 1 x 1 elements (columns first), expected 128 x 128"},
        {"blk.0.attn_q.weight",
         GW_T_I2_S,
         3,
         {128, 64, 2},
         P "tensor blk.0.attn_q.weight has 128 x 64 x 2 x 1 elements (columns first), expected 128 x 128"},
        {"token_embd.weight",
         GW_T_F16,
         2,
         {100, 128},
         P "tensor token_embd.weight has 100 x 128 x 1 x 1 elements (columns first), expected 128 x 128"},
        {"token_embd.weight", GW_T_F16, 2, {128, 99}, P A "vocab_size is 100, expected 99"},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        TnGw *w = good();
        tn_gw_claim(w, list[i].name, list[i].type, list[i].rank, list[i].ne);
        assert_string_equal(graph_says(w, false), list[i].want);
    }
    TnGw *w = good();
    tn_gw_tensor(w, "output_norm.weight", GW_T_F32, 3, (uint64_t[]){128, 1, 2}, NULL, NULL);
    assert_string_equal(
        graph_says(w, false),
        P "tensor output_norm.weight has 128 x 1 x 2 x 1 elements (columns first), expected 128 x 1");
    w = good();
    tn_gw_tensor(w, "output_norm.weight", GW_T_F32, 4, (uint64_t[]){128, 1, 1, 2}, NULL, NULL);
    assert_string_equal(
        graph_says(w, false),
        P "tensor output_norm.weight has 128 x 1 x 1 x 2 elements (columns first), expected 128 x 1");
    w = good();
    tn_gw_tensor(w, "output.weight", GW_T_F16, 2, (uint64_t[]){128, 99}, NULL, NULL);
    assert_string_equal(
        graph_says(w, false),
        P "tensor output.weight has 128 x 99 x 1 x 1 elements (columns first), expected 128 x 100");
}

static void types_of_tensors(void **state) {
    (void)state;
    TnGw *w = good();
    tn_gw_tensor(w, "output_norm.weight", GW_T_Q8_0, 1, (uint64_t[]){128}, NULL, NULL);
    assert_string_equal(graph_says(w, false),
                        P "tensor output_norm.weight has type q8_0, expected f32, f16 or bf16");
    w = good();
    tn_gw_tensor(w, "token_embd.weight", GW_T_I2_S, 2, (uint64_t[]){128, 100}, NULL, NULL);
    assert_string_equal(graph_says(w, false), ""); /* tables may be ternary */
    w = good();
    tn_gw_tensor(w, "output.weight", GW_T_I2_S, 2, (uint64_t[]){128, 100}, NULL, NULL);
    assert_string_equal(graph_says(w, false), "");
}

static void sizes_of_vocabularies(void **state) {
    (void)state;
    TnGmSpec s = tn_gm_tiny, fewer = tn_gm_tiny;
    TnGw *w = tn_gm_create(&s);
    fewer.vocab = 99;
    TnGw *small = tn_gm_create(&fewer);
    tn_gw_u32(small, A "vocab_size", 100);
    tn_gw_tensor(small, "token_embd.weight", GW_T_F16, 2, (uint64_t[]){128, 100}, NULL, NULL);
    assert_string_equal(graph_says(small, false),
                        P "tokenizer.ggml.tokens has 99 tokens, but token_embd.weight has 100 rows");
    tn_gw_drop(w, A "vocab_size");
    assert_string_equal(graph_says(w, false), "");
    s.no_vocab = true; /* a model may come without its tokenizer */
    assert_string_equal(graph_says(tn_gm_create(&s), false), "");
}

/* Ids are 31 bits wide. The file is 8 GB, all hole. */
static void more_tokens_than_ids(void **state) {
    (void)state;
    TnGmSpec s = tn_gm_tiny;
    s.hidden = 2;
    s.heads = s.kv_heads = 1;
    s.vocab = 4;
    s.weights = GW_T_F32;
    s.no_vocab = true;
    TnGw *w = tn_gm_create(&s);
    tn_gw_drop(w, A "vocab_size");
    tn_gw_drop(w, "token_embd.weight");
    tn_gw_tensor(w, "token_embd.weight", GW_T_F16, 2, (uint64_t[]){2, 4}, NULL, NULL); /* last in the file */
    tn_gw_claim(w, "token_embd.weight", GW_T_F16, 2, (uint64_t[]){2, 1ull << 31});
    char path[] = "/tmp/tern-gguf-XXXXXX", want[160];
    int fd = mkstemp(path);
    TnGguf *gg = NULL;
    TnGraph *g;
    TnFacts f;
    TernError err;
    assert_true(fd >= 0 && tn_gw_file(w, path));
    tn_gw_destroy(w);
    if (ftruncate(fd, 9ll << 30) == 0) { /* else a file system without holes */
        assert_int_equal(tn_gguf_open(path, false, &gg, &err), TERN_OK);
        assert_int_equal(tn_gguf_graph(gg, &(TnGgufOptions){.no_hash = true}, &g, &f, &err), TERN_ERR_INPUT);
        snprintf(want, sizeof want,
                 "%s: tensor token_embd.weight has 2147483648 rows, expected fewer than 2^31", path);
        assert_string_equal(err.text, want);
    }
    tn_gguf_close(gg);
    close(fd);
    unlink(path);
}

static void rope_factors(void **state) {
    (void)state;
    TnGmSpec s = tn_gm_tiny;
    s.rope_freqs = true;
    assert_string_equal(graph_says(tn_gm_create(&s), false), "");
    TnGw *w = tn_gm_create(&s);
    tn_gw_tensor(w, "rope_freqs.weight", GW_T_F32, 1, (uint64_t[]){32}, NULL, NULL);
    assert_string_equal(
        graph_says(w, false),
        P "tensor rope_freqs.weight has 32 x 1 x 1 x 1 elements (columns first), expected 16 x 1");
    w = tn_gm_create(&s);
    tn_gw_tensor(w, "rope_freqs.weight", GW_T_F16, 1, (uint64_t[]){16}, NULL, NULL);
    assert_string_equal(graph_says(w, false), P "tensor rope_freqs.weight has type f16, expected f32");
    static const struct {
        float value;
        const char *want;
    } list[] = {{0.0f, "0"}, {-1.0f, "-1"}, {NAN, "nan"}, {1e7f, "1e+07"}, {INFINITY, "inf"}};
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        float f[16];
        char want[128];
        for (int k = 0; k < 16; k++) f[k] = 1.0f;
        f[15] = list[i].value;
        w = tn_gm_create(&s);
        tn_gw_data(w, "rope_freqs.weight", f, sizeof f);
        snprintf(want, sizeof want, P "tensor rope_freqs.weight holds %s at 15, expected 1e-6 to 1e6",
                 list[i].want);
        assert_string_equal(graph_says(w, false), want);
    }
}

static void ternary_weights(void **state) {
    (void)state;
    static const char *const name = "blk.1.ffn_up.weight";
    size_t n = 128 * 256 / 4 + 32;
    uint8_t *codes = tn_xcalloc(n, 1);
    float bad = INFINITY;
    codes[5] = 0x30;
    TnGw *w = good();
    tn_gw_data(w, name, codes, n);
    assert_string_equal(graph_says(w, false),
                        P "tensor blk.1.ffn_up.weight: byte 5 is 0x30, which holds code 3; "
                          "ternary codes are 0 to 2");
    codes[5] = 0x20;
    w = good();
    tn_gw_data(w, name, codes, n);
    assert_string_equal(graph_says(w, false), "");
    memcpy(codes + n - 32, &bad, 4);
    w = good();
    tn_gw_data(w, name, codes, n);
    assert_string_equal(graph_says(w, false),
                        P "tensor blk.1.ffn_up.weight: scale is inf, expected a finite number");
    free(codes);

    TnGmSpec s = tn_gm_tiny; /* blocks with scales of their own */
    s.hidden = 256;
    s.weights = GW_T_TQ2_0;
    static const char *const q = "blk.0.attn_q.weight";
    n = 256 * 256 / 256 * 66;
    codes = tn_xcalloc(n, 1);                                   /* code 0: all weights -1 */
    for (size_t b = 0; b < 256; b++) codes[66 * b + 65] = 0x3c; /* 1.0 */
    w = tn_gm_create(&s);
    tn_gw_data(w, q, codes, n);
    assert_string_equal(graph_says(w, false), "");
    codes[66 * 7 + 65] = 0x40; /* 2.0 */
    w = tn_gm_create(&s);
    tn_gw_data(w, q, codes, n);
    assert_string_equal(graph_says(w, false), ""); /* in groups then */
    free(codes);
}

static void dense_weights_as_ternary(void **state) {
    (void)state;
    TnGmSpec s = tn_gm_tiny;
    s.weights = GW_T_F32;
    s.ternary = true;
    assert_string_equal(graph_says(tn_gm_create(&s), true), "");
    assert_string_equal(graph_says(tn_gm_create(&s), false), "");
    s.ternary = false;
    assert_string_equal(graph_says(tn_gm_create(&s), false), "");
    const char *says = graph_says(tn_gm_create(&s), true);
    assert_non_null(strstr(says, P "tensor blk.0.attn_q.weight: row 0 column 1 is "));
    assert_non_null(strstr(says, "; a ternary matrix holds only 0 and +-"));
}

static void extra_scales(void **state) {
    (void)state;
    TnGmSpec s = tn_gm_tiny;
    s.arch = "bitnet";
    s.scales = true;
    assert_string_equal(graph_says(tn_gm_create(&s), false), "");
    static const char *const name = "blk.0.attn_q.scale";
    TnGw *w = tn_gm_create(&s);
    tn_gw_data(w, name, &(float){NAN}, 4);
    assert_string_equal(graph_says(w, false), P "tensor blk.0.attn_q.scale is nan, expected a number");
    w = tn_gm_create(&s);
    tn_gw_data(w, name, &(float){3e38f}, 4);
    assert_string_equal(graph_says(w, false), "");
    w = tn_gm_create(&s);
    tn_gw_tensor(w, name, GW_T_F16, 1, (uint64_t[]){1}, NULL, NULL);
    assert_string_equal(graph_says(w, false), P "tensor blk.0.attn_q.scale has type f16, expected f32");
    w = tn_gm_create(&s);
    tn_gw_tensor(w, name, GW_T_F32, 1, (uint64_t[]){128}, NULL, NULL);
    assert_string_equal(
        graph_says(w, false),
        P "tensor blk.0.attn_q.scale has 128 x 1 x 1 x 1 elements (columns first), expected 1 x 1");
    w = tn_gm_create(&s); /* both finite, their product is not */
    uint8_t codes[128 * 128 / 4 + 32] = {0};
    memcpy(codes + sizeof codes - 32, &(float){1e30f}, 4);
    tn_gw_data(w, "blk.0.attn_q.weight", codes, sizeof codes);
    tn_gw_data(w, name, &(float){1e30f}, 4);
    assert_string_equal(graph_says(w, false),
                        P "tensor blk.0.attn_q.weight has the scale inf, expected a number");
    s.weights = GW_T_F16;
    assert_string_equal(graph_says(tn_gm_create(&s), false), ""); /* dense, scales of one */
    w = tn_gm_create(&s);
    tn_gw_data(w, name, &(float){2.0f}, 4);
    assert_string_equal(
        graph_says(w, false),
        P "tensor blk.0.attn_q.scale is 2 beside dense weights, expected 1 (or TerncSource.ternary_dense)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_is_needed),
        cmocka_unit_test(every_tensor_has_a_place),
        cmocka_unit_test(shapes_of_tensors),
        cmocka_unit_test(types_of_tensors),
        cmocka_unit_test(sizes_of_vocabularies),
        cmocka_unit_test(more_tokens_than_ids),
        cmocka_unit_test(rope_factors),
        cmocka_unit_test(ternary_weights),
        cmocka_unit_test(dense_weights_as_ternary),
        cmocka_unit_test(extra_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
