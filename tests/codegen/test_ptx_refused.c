/* What a GPU's level cannot hold is refused in a line that says what is too large, and the levels of processors take it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/codegen.h"
#include "frontends/gguf/gguf.h"
#include "runtime/base/os.h"
#include "support/gguf_model.h"

typedef struct Large {
    const char *arch, *line;
    uint32_t weights, head_dim, ffn;
    bool grouped, q5;
} Large;

static TernStatus compile(const Large *l, const char *level, TernError *err) {
    TnGmSpec s = tn_gm_small;
    TnBuf file = {0};
    TnGguf *gg;
    TnGraph *g = NULL;
    TnFacts facts;
    void *bytes = NULL;
    size_t size = 0;
    TnCompileOptions o = {
        .levels = &level, .n_levels = 1, .head = l->q5 ? TN_ENC_s5 : TN_ENC_COUNT, .kvs = 1u << TN_KV_F16};
    TnBlobDest dest = {.memory = &bytes, .bytes = &size};
    s.arch = l->arch;
    s.weights = l->weights;
    s.heads = 2;
    s.kv_heads = 1;
    s.head_dim = l->head_dim;
    s.ffn = l->ffn;
    s.layers = 1;
    s.grouped = l->grouped;
    tn_gm_bytes(&s, &file);
    if (tn_gguf_open_memory(file.data, file.len, "large", false, &gg, err) ||
        tn_gguf_graph(gg, &(TnGgufOptions){.no_hash = true}, &g, &facts, err))
        fail_msg("%s", err->text);
    TnWeights weights = tn_gguf_weights(gg);
    TernStatus st = tn_compile(g, &weights, &facts, &o, &dest, NULL, err);
    if (st == TERN_OK) tn_os_unmap(bytes, size);
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    tn_buf_free(&file);
    return st;
}

static void too_large_for_a_gpu(void **state) {
    (void)state;
    static const Large cases[] = {
        {"qwen3", NULL, GW_T_I2_S, 512, 512, false, false},
        {"qwen3", "heads of more than 512 columns", GW_T_I2_S, 576, 512, false, false},
        {"qwen3", NULL, GW_T_F16, 64, 24576, false, false},
        {"qwen3", NULL, GW_T_F16, 64, 28672, false, false},
        {"qwen3", "tmatmul of rows of more than 96 KB", GW_T_I2_S, 64, 98560, false, false},
        {"qwen3", "tmatmul_groups of rows of more than 64 KB", GW_T_Q2_0, 64, 65536, true, false},
        {"bitnet-b1.58", NULL, GW_T_I2_S, 64, 16384, false, false},
        {"bitnet-b1.58", NULL, GW_T_I2_S, 64, 28672, false, false},
        {"bitnet-b1.58", "estimate by 5 bits, or of rows of more than 96 KB", GW_T_I2_S, 64, 512, false,
         true},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TernError err = {0};
        TernStatus st = compile(&cases[i], "sm_80", &err);
        if (!cases[i].line) {
            if (st != TERN_OK) fail_msg("case %zu: %s", i, err.text);
            continue;
        }
        const char *why = strstr(err.text, ": ptx lacks ");
        assert_int_equal(st, TERN_ERR_UNSUPPORTED);
        if (!why || strcmp(why + strlen(": ptx lacks "), cases[i].line))
            fail_msg("case %zu: %s", i, err.text);
        if (compile(&cases[i], "ref", &err) != TERN_OK) fail_msg("case %zu: %s", i, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(too_large_for_a_gpu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
