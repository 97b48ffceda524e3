/* The import report: the embedded model word for word, the traces that each fork leaves in a file, refusals,
 * and statistics compared with the values that the file was made from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/api/ternc_tools.h"
#include "runtime/base/arena.h"
#include "runtime/base/os.h"
#include "support/gguf_model.h"

static void take(void *user, const char *what, const char *text, size_t n) {
    assert_string_equal(what, "result");
    tn_buf_put(user, text, n);
    tn_buf_puts(user, "");
}

static char *report(const char *path, int json, int dense) {
    TerncSource source = {.size = sizeof source, .path = path, .ternary_dense = dense};
    TerncImport o = {.size = sizeof o, .source = &source, .json = json};
    TnBuf b = {0};
    TernError err = {0};
    if (ternc_import(&o, take, &b, &err) != TERN_OK) fail_msg("%s", err.text);
    return b.data;
}

static const char *scratch(void) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/tern-report-%d.gguf", (int)getpid());
    return path;
}

/* The report of a file that is written for it. */
static char *report_of(TnGw *w, int json, int dense) {
    assert_true(tn_gw_file(w, scratch()));
    char *text = report(scratch(), json, dense);
    unlink(scratch());
    tn_gw_destroy(w);
    return text;
}

static void says(const char *text, const char *lines) {
    if (!strstr(text, lines)) fail_msg("the report does not say\n%s\nbut\n%s", lines, text);
}
static void silent(const char *text, const char *words) {
    if (strstr(text, words)) fail_msg("the report says %s:\n%s", words, text);
}

/* What would run depends on the machine: the rest is golden. */
static void test_verse(void **state) {
    (void)state;
    static const char golden[] = TERN_SOURCE_DIR "/tests/data/report/verse.txt";
    char *text = report(NULL, 0, 0), *want;
    size_t n;
    TernError err;
    char *end = strstr(text, "\nwhat would run here, level ");
    assert_non_null(end);
    assert_non_null(strstr(end, "\n  steps of 1 row\n"));
    assert_non_null(strstr(end, "\n  steps of 2 to 8 rows\n"));
    assert_non_null(strstr(end, "\n  steps of 9 to 512 rows\n"));
    assert_non_null(strstr(end, "by cols  tmatmul "));
    *end = 0;
    if (getenv("TERN_REFRESH")) {
        FILE *f = fopen(golden, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
    }
    assert_int_equal(tn_file_read(golden, 1 << 20, &want, &n, &err), TERN_OK);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(text, want, n);
    free(want);
    free(text);
}

static void test_forks(void **state) {
    (void)state;
    TnGmSpec s = tn_gm_small;
    char *text;
    /* Microsoft's first converter: an old name, no pre-tokenizer */
    s.arch = "bitnet-25";
    TnGw *w = tn_gm_create(&s);
    tn_gw_drop(w, "tokenizer.ggml.pre");
    tn_gw_u32(w, "general.file_type", 40);
    tn_gw_u32(w, "general.quantization_version", 2);
    text = report_of(w, 0, 0);
    says(text, "  packed by          Microsoft BitNet (bitnet.cpp, a fork of llama.cpp)\n"
               "                       from tensor type 36 (I2_S); general.file_type 40 (I2_S)\n"
               "  converted by       Microsoft's convert-ms-to-gguf-bitnet.py, before April 2025\n"
               "                       from architecture bitnet-25\n"
               "  quantized by       llama-quantize, or a fork's\n");
    says(text, "  pre-tokenizer      default\n                       from its default (no key "
               "tokenizer.ggml.pre)\n");
    says(text, "\nignored\n  keys      general.file_type\n            general.quantization_version\n  "
               "tensors   none\n");
    free(text);
    /* mainline: TQ2_0, .scale tensors, silu; a file type that belongs to another fork; unknown keys */
    s.arch = "bitnet", s.weights = GW_T_TQ2_0, s.scales = true;
    w = tn_gm_create(&s);
    tn_gw_u32(w, "general.file_type", 137);
    tn_gw_str(w, "general.url", "nowhere");
    tn_gw_str(w, "tokenizer.chat_template", "{% Human: BITNETAssistant: %}");
    text = report_of(w, 0, 0);
    says(text, "  packed by          llama.cpp\n                       from tensor type 35 (TQ2_0)\n"
               "  converted by       llama.cpp's convert_hf_to_gguf.py\n"
               "                       from architecture bitnet; .scale tensors beside the weights\n");
    says(text, "  general.file_type  general.file_type 137 (IQ2_BN)\n"
               "                       the tensors say otherwise\n");
    says(text, "  activation         silu\n");
    says(text,
         "  weight scale       times the .scale tensor\n                       from the tensor is there\n");
    says(text, "is a Human/BITNETAssistant form\n");
    says(text, "\nignored\n  keys      general.file_type\n            general.url\n  tensors   none\n");
    silent(text, "I2_S  ");
    silent(text, "  pooling ");
    free(text);
    /* Microsoft's embedding models: a norm in front of every linear */
    static const char *const embedding[] = {"qwen3", "gemma3"};
    for (size_t i = 0; i < 2; i++) {
        s = tn_gm_small;
        s.arch = embedding[i], s.norms_in = true;
        w = tn_gm_create(&s);
        char key[40], lines[160];
        snprintf(key, sizeof key, "%s.pooling_type", s.arch);
        tn_gw_u32(w, key, i ? 1 : 3);
        snprintf(lines, sizeof lines, "  pooling            %s\n                       from the key %s\n",
                 i ? "mean" : "last", key);
        text = report_of(w, 0, 0);
        says(text, lines);
        says(text, "  converted by       Microsoft's convert-bitnet-embedding-to-gguf.py\n");
        says(text, " with norm_in tensors\n");
        free(text);
    }
    /* llama: pairs of neighbours, own head, frequencies; i2_s means Microsoft's converter */
    s = tn_gm_small;
    s.arch = "llama", s.untied = s.rope_freqs = true, s.no_vocab = true, s.head_dim = 32;
    text = report_of(tn_gm_create(&s), 0, 0);
    says(text, "  converted by       Microsoft's convert-hf-to-gguf-bitnet.py, then llama-quantize\n"
               "                       from architecture llama with I2_S weights\n");
    says(text, "  tokenizer          none: ids in, ids out\n");
    says(text, "  rope pairs         columns 2i and 2i + 1 (weights are permuted)\n");
    says(text, "  rope base          10000, divided by rope_freqs.weight\n");
    says(text, "  sub-norms          none\n");
    says(text, "  head               output.weight\n                       from the tensor is there\n");
    says(text, "  columns a head     32\n                       from the key llama.attention.key_length\n");
    free(text);
    /* dense floats that are ternary after all */
    s = tn_gm_small;
    s.weights = GW_T_F16, s.ternary = true;
    text = report_of(tn_gm_create(&s), 0, 0);
    says(text, "  packed by          not told\n                       from its tensor types are the same in "
               "all forks");
    says(text, "  dense weights      hold only -s, 0 and s\n"
               "                       with --ternary-dense they run as ternary\n");
    says(text, "  weights            dense floats\n");
    free(text);
    text = report_of(tn_gm_create(&s), 0, 1);
    says(text, "  weights            ternary, activations rounded to 8 bits a row\n"
               "                       from --ternary-dense: every value is -s, 0 or s\n");
    silent(text, "with --ternary-dense they run");
    free(text);
    s.ternary = false; /* and that are not */
    text = report_of(tn_gm_create(&s), 0, 0);
    says(text, "\ndense matrices\n  14 of the layers, 2.2 MiB, not ternary\n");
    silent(text, "ternary matrices");
    free(text);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        uint32_t type, file_type, bytes;
        const char *packer, *line;
    } cases[] = {
        {142, 137, 256 * (4 + 128),
         "ik_llama.cpp (a fork of llama.cpp)\n                       from tensor type 142 (IQ2_TN); "
         "general.file_type 137 (IQ2_BN)\n",
         "blk.1.ffn_up.weight has type 142 (IQ2_TN of ik_llama.cpp), expected one of "},
        {43, 39, 256 * 2 * 42, "Tencent's AngelSlim\n                       from tensor type 43 (STQ1_0)\n",
         "blk.1.ffn_up.weight has type 43 (STQ1_0 of Tencent's AngelSlim), expected one of "},
        {32, 2, 73728, "Microsoft", "blk.1.ffn_up.weight has type 32 (Q4_0_4_8), expected one of "},
    };
    char want[300];
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TnGw *w = tn_gm_create(&tn_gm_small);
        uint64_t ne[] = {512, 256};
        uint8_t *data = calloc(1, cases[i].bytes);
        tn_gw_data(w, "blk.1.ffn_up.weight", data, cases[i].bytes);
        free(data);
        tn_gw_claim(w, "blk.1.ffn_up.weight", cases[i].type, 2, ne);
        tn_gw_u32(w, "general.file_type", cases[i].file_type);
        char *text = report_of(w, 0, 0);
        says(text, cases[i].packer);
        snprintf(want, sizeof want, "\nmodel\n  does not run: %s: tensor %s", scratch(), cases[i].line);
        says(text, want);
        silent(text, "what would run");
        silent(text, "\nignored\n");
        free(text);
    }
    /* a sound file of an architecture nobody knows, and one with a tensor too many: statistics all the same
     */
    TnGw *w = tn_gm_create(&tn_gm_small);
    tn_gw_str(w, "general.architecture", "mamba");
    char *text = report_of(w, 0, 0);
    TnBuf list = {0};
    tn_gm_arch_list(&list);
    snprintf(
        want, sizeof want,
        "\nmodel\n  does not run: %s: general.architecture is 'mamba' (a state space model), expected %s\n",
        scratch(), list.data);
    tn_buf_free(&list);
    says(text, want);
    says(text, "\nternary matrices\n");
    free(text);
    w = tn_gm_create(&tn_gm_small);
    tn_gw_tensor(w, "blk.0.attn_q.bias", GW_T_F32, 1, (uint64_t[]){256}, NULL, NULL);
    text = report_of(w, 1, 0);
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    assert_true(json_is_false(json_object_get(j, "runs")));
    snprintf(want, sizeof want, "%s: tensor blk.0.attn_q.bias has no place in the architecture bitnet-b1.58",
             scratch());
    assert_string_equal(json_string_value(json_object_get(j, "refused")), want);
    json_decref(j);
    free(text);
    /* no report of what is no model */
    TerncSource source = {.size = sizeof source, .path = TERN_SOURCE_DIR "/README.md"};
    TerncImport o = {.size = sizeof o, .source = &source};
    TnBuf b = {0};
    TernError err;
    assert_int_equal(ternc_import(&o, take, &b, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, TERN_SOURCE_DIR "/README.md: the file is a text; expected a GGUF model");
}

/* Rows 3 and 5 of the gate and 5 and 6 of the up matrix are zero: three neurons are dead. And two TQ2_0
 * scales are one too many, and a code that means nothing is counted. */
static void test_dead(void **state) {
    (void)state;
    uint8_t data[512 * 64 + 32] = {0};
    float half = 0.5f;
    memcpy(data + 512 * 64, &half, 4);
    TnGw *w = tn_gm_create(&tn_gm_small);
    memset(data + 3 * 64, 0x55, 64);
    memset(data + 5 * 64, 0x55, 64);
    tn_gw_data(w, "blk.1.ffn_gate.weight", data, sizeof data);
    uint8_t up[sizeof data];
    memcpy(up, data, sizeof data);
    memset(up + 3 * 64, 0xaa, 64);
    memset(up + 6 * 64, 0x55, 64);
    tn_gw_data(w, "blk.1.ffn_up.weight", up, sizeof up);
    char *text = report_of(w, 0, 0);
    says(text, "\n  3 of 1024\n  layer 1         3 of 512: gate 2, up 2\n");
    says(text, "  blk.1.ffn_gate.weight        i2s        512 x 256   99.61    0.39    0.00      2  0.5\n");
    says(text, "  blk.1.ffn_up.weight          i2s        512 x 256   99.41    0.39    0.20      2  0.5\n");
    free(text);
    data[0] = 0xc0;
    w = tn_gm_create(&tn_gm_small);
    tn_gw_data(w, "blk.1.ffn_gate.weight", data, sizeof data);
    text = report_of(w, 0, 0);
    says(text,
         "tensor blk.1.ffn_gate.weight: byte 0 is 0xc0, which holds code 3; ternary codes are 0 to 2\n");
    says(text, "      2  0.5; 1 invalid codes (3)\n");
    free(text);
    TnGmSpec s = tn_gm_small;
    s.weights = GW_T_TQ2_0;
    uint8_t blocks[128 * 66];
    for (int i = 0; i < 128; i++) { /* 128 rows of one block, all -1 */
        uint16_t d = i % 2 ? 0x3c00 : 0x3800;
        memset(blocks + 66 * i, 0, 64);
        memcpy(blocks + 66 * i + 64, &d, 2);
    }
    w = tn_gm_create(&s);
    tn_gw_data(w, "blk.0.attn_k.weight", blocks, sizeof blocks);
    text = report_of(w, 0, 0);
    says(text, "2 scales, 0.5 to 1\n");
    says(text,
         "ternary, activations rounded to 8 bits a row, and where scales differ a group of 256 columns\n");
    says(text, "one for 256 columns of a row\n");
    free(text);
}

static uint64_t number(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    assert_true(json_is_integer(v));
    return (uint64_t)json_integer_value(v);
}

/* Every ternary type, and rows that begin inside a block: counts are those of the values the file was made
 * from. */
static void test_statistics(void **state) {
    (void)state;
    static const struct {
        uint32_t type, hidden, ffn, heads;
    } cases[] = {{GW_T_I2_S, 256, 512, 4},  {GW_T_I2_S, 192, 448, 3}, {GW_T_TQ1_0, 256, 512, 4},
                 {GW_T_TQ2_0, 256, 768, 4}, {GW_T_F32, 192, 448, 3},  {GW_T_BF16, 64, 96, 2}};
    for (size_t c = 0; c < TN_COUNT(cases); c++) {
        TnGmSpec s = tn_gm_small;
        s.weights = cases[c].type, s.hidden = cases[c].hidden, s.ffn = cases[c].ffn, s.heads = cases[c].heads;
        s.kv_heads = 1, s.ternary = true;
        bool dense = s.weights == GW_T_F32 || s.weights == GW_T_BF16;
        char *text = report_of(tn_gm_create(&s), 1, dense);
        json_t *j = json_loads(text, 0, NULL), *one;
        assert_non_null(j);
        json_t *list = json_object_get(j, "ternary");
        assert_int_equal(json_array_size(list), 14);
        size_t i;
        json_array_foreach(list, i, one) {
            uint64_t rows = number(one, "rows"), cols = number(one, "cols"), minus = 0, zero = 0, plus = 0,
                     dead = 0;
            double *v = tn_xcalloc(rows * cols, sizeof *v), scale;
            tn_gm_values(&s, json_string_value(json_object_get(one, "name")), rows, cols, v, &scale);
            for (uint64_t r = 0; r < rows; r++) {
                uint64_t before = zero;
                for (uint64_t k = r * cols; k < (r + 1) * cols; k++)
                    minus += v[k]<0, zero += v[k] == 0, plus += v[k]> 0;
                dead += zero - before == cols;
            }
            assert_int_equal(number(one, "minus"), minus);
            assert_int_equal(number(one, "zero"), zero);
            assert_int_equal(number(one, "plus"), plus);
            assert_int_equal(number(one, "dead_rows"), dead);
            assert_int_equal(number(one, "scales"), 1);
            assert_true(json_real_value(json_object_get(one, "scale_lo")) == scale);
            assert_true(json_real_value(json_object_get(one, "scale_hi")) == scale);
            free(v);
        }
        uint64_t values = 2 * 2 * 1 * tn_gm_head_dim(&s); /* layers, key and value, heads */
        json_t *cache = json_array_get(json_object_get(json_object_get(j, "memory"), "caches"), 0);
        assert_int_equal(number(cache, "context"), 128);
        assert_int_equal(number(cache, "f32"), 128 * values * 4);
        assert_int_equal(number(cache, "f16"), 128 * values * 2);
        assert_int_equal(number(cache, "i8"), 128 * (values + 2 * 2 * 1 * 4));
        json_decref(j);
        free(text);
    }
}

static int stop(void *user, const char *phase, uint64_t done, uint64_t total) {
    assert_string_equal(phase, "report");
    assert_true(done <= total);
    return ++*(int *)user == 3;
}

static void test_cancel(void **state) {
    (void)state;
    int calls = 0;
    TerncImport o = {.size = sizeof o, .progress = stop, .user = &calls};
    TernError err;
    TnBuf b = {0};
    assert_int_equal(ternc_import(&o, take, &b, &err), TERN_ERR_CANCELLED);
    assert_string_equal(err.text, "report cancelled");
    assert_int_equal(calls, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verse), cmocka_unit_test(test_forks),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_dead),  cmocka_unit_test(test_statistics), cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
