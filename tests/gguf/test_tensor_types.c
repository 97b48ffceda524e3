/* Numbers of tensor types that forks use for different things: what the places of the tensors say, and what is refused with
 * the name of the type that it is. */
#include "gguf/refuse.h"

/* A tensor of a number, of so many bytes, between two others. Data is of anything. */
static TnGw *between(uint32_t type, uint64_t cols, uint64_t rows, size_t bytes) {
    TnGw *w = tn_gw_create();
    uint8_t *data = tn_xcalloc(bytes, 1);
    uint64_t ne[] = {cols, rows};
    tn_gw_tensor(w, "a", GW_T_F32, 1, (uint64_t[]){4}, NULL, NULL);
    tn_gw_tensor(w, "x", type, 2, ne, NULL, NULL);
    tn_gw_data(w, "x", data, bytes);
    tn_gw_tensor(w, "z", GW_T_F32, 1, (uint64_t[]){4}, NULL, NULL);
    free(data);
    return w;
}

/* The name and rule of the only number that had to be settled. */
static void expect_settled(TnGw *w, const char *name, const char *rule) {
    TnBuf file = {0};
    TnGguf *g = NULL;
    tn_gw_bytes(w, &file, NULL, NULL);
    tn_gw_destroy(w);
    TernError err = {0};
    if (tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err) != TERN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(g->n_settled, 1);
    assert_string_equal(g->settled[0].name, name);
    assert_string_equal(g->settled[0].rule, rule);
    tn_gguf_close(g);
    tn_buf_free(&file);
}

#define ALONE "the bytes between tensors fit it alone"

static void named(uint32_t type, uint64_t cols, uint64_t rows, size_t bytes, const char *name) {
    char want[512];
    snprintf(want, sizeof want, "m.gguf: tensor x has type %u (%s), expected one of " TYPES_READ, type, name);
    expect_open(between(type, cols, rows, bytes), want);
}

static void bytes_decide(void **state) {
    (void)state;
    expect_settled(between(39, 256, 64, 256 * 64 / 32 * 17), "MXFP4 of llama.cpp", ALONE);
    expect_settled(between(39, 512, 64, 7552), "TL2 of bitnet.cpp", ALONE);
    expect_settled(between(42, 256, 64, 256 * 64 / 64 * 18), "Q2_0 of llama.cpp", ALONE);
    expect_settled(between(42, 256, 64, 256 * 64 / 128 * 34), "Q2_0 in blocks of 128 of PrismML's llama.cpp",
                   ALONE);
    expect_settled(between(142, 512, 64, 512 * 64 / 128 * 34), "PQ2_0 of PrismML's llama.cpp", ALONE);
    expect_settled(between(143, 512, 64, 512 * 64 / 128 * 28), "PTQ1_0 of PrismML's llama.cpp", ALONE);
    /* any room below an alignment is padding */
    expect_settled(between(39, 32, 3, 51), "MXFP4 of llama.cpp", ALONE);
}

static void others_are_named(void **state) {
    (void)state;
    named(39, 256, 64, 256 * 64, "I8_V of vlut.cpp");
    named(42, 256, 64, 256 * 64 / 256 * 42, "STQ1_0 of Tencent's AngelSlim");
    named(43, 256, 64, 256 * 64 / 256 * 42, "STQ1_0 of Tencent's AngelSlim");
    named(40, 256, 64, 256 * 64 / 64 * 36, "NVFP4 of llama.cpp");
    named(40, 256, 64, 256 * 64 / 4, "I2_V of vlut.cpp");
    named(41, 256, 64, 256 * 64 / 128 * 18, "Q1_0 of llama.cpp");
    named(41, 256, 64, 256 * 64 / 4, "I2_V_2 of vlut.cpp");
    named(42, 256, 64, 256 * 64 / 4, "I2_V_4 of vlut.cpp");
    named(43, 256, 64, 256 * 64 / 4, "I2_V_8 of vlut.cpp");
    named(44, 256, 64, 256 * 64 / 4, "I2_V_16 of vlut.cpp");
    named(45, 260, 64, 13 * 4 * 64, "I1_V of vlut.cpp");
    named(142, 512, 64, 64 * (4 + 128), "IQ2_TN of ik_llama.cpp");
    named(143, 256, 64, 64 * (2 + 52), "IQ1_TN of ik_llama.cpp");
    TnGw *w = between(42, 256, 64,
                      256 * 64 / 128 * 34); /* the bytes are those of PrismML's, and a key says otherwise */
    tn_gw_str(w, "general.quantization_version", "TQ2_0_G128");
    expect_open(w, "m.gguf: tensor x has type 42 (TQ2_0_g128 of OxiBonsai), expected one of " TYPES_READ);
}

static void what_fits_nothing_is_refused(void **state) {
    (void)state;
    expect_open(
        between(39, 256, 64, 8000),
        "m.gguf: tensor x has type 39: got 8000 bytes up to the next tensor, expected 8704 for MXFP4 of "
        "llama.cpp, 4128 for TL2 of bitnet.cpp, 16384 for I8_V of vlut.cpp");
    expect_open(between(42, 30, 64, 480),
                "m.gguf: tensor x has type 42: got 480 bytes up to the next tensor, "
                "expected rows that divide into blocks");
    /* all tensors of the number, not one */
    TnGw *w = between(39, 256, 64, 8704);
    tn_gw_tensor(w, "y", 39, 2, (uint64_t[]){256, 64}, NULL, NULL);
    tn_gw_data(w, "y", (uint8_t[4128]){0}, 4128);
    tn_gw_tensor(w, "zz", GW_T_F32, 1, (uint64_t[]){4}, NULL, NULL);
    expect_open(
        w, "m.gguf: tensor x has type 39: got 8704 bytes up to the next tensor, expected 8704 for MXFP4 of "
           "llama.cpp, 4128 for TL2 of bitnet.cpp, 16384 for I8_V of vlut.cpp");
}

/* Small tensors leave it open, as alignment pads them alike. */
static void what_fits_twice_is_refused(void **state) {
    (void)state;
    expect_open(between(41, 128, 1, 32),
                "m.gguf: tensor x has type 41: got 32 bytes up to the next tensor, which suit "
                "more than one type: 18 for Q1_0 of llama.cpp, 32 for I2_V_2 of vlut.cpp");
    expect_open(between(42, 128, 1, 36),
                "m.gguf: tensor x has type 42: got 64 bytes up to the next tensor, which suit "
                "more than one type: 36 for Q2_0 of llama.cpp, 34 for Q2_0 in blocks of 128 of "
                "PrismML's llama.cpp");
    expect_open(between(142, 256, 64, 64 * 68),
                "m.gguf: tensor x has type 142: got 4352 bytes up to the next tensor, "
                "which suit more than one type: 4352 for PQ2_0 of PrismML's "
                "llama.cpp, 4352 for IQ2_TN of ik_llama.cpp");
    TnGw *w = between(142, 256, 64, 64 * 68);
    tn_gw_u32(w, "general.file_type", 141);
    expect_settled(w, "PQ2_0 of PrismML's llama.cpp", "general.file_type, of those that the bytes fit");
    w = between(39, 32, 1, 32);
    tn_gw_u32(w, "general.file_type", 38);
    expect_settled(w, "MXFP4 of llama.cpp", "general.file_type, of those that the bytes fit");
}

/* The last tensor of a file that was cut short says nothing; the line is the one about the download. */
static void a_short_file(void **state) {
    (void)state;
    TnGw *w = between(39, 256, 64, 8704);
    TnBuf file = {0};
    tn_gw_tensor(w, "zz", 39, 2, (uint64_t[]){256, 64}, NULL, NULL);
    tn_gw_data(w, "zz", (uint8_t[8704]){0}, 8704);
    tn_gw_bytes(w, &file, NULL, NULL);
    const char *says = open_says(file.data, file.len - 6000, false, NULL);
    assert_non_null(strstr(says, "the download was cut short"));
    tn_buf_free(&file);
    tn_gw_destroy(w);
}

/* ---- layouts of I2_S */

/* The same weights laid out in 16 bytes for 64, or a byte for four rows. */
static void relay(TnGw *w, const TnGgufTensor *t, TnEnc enc) {
    uint64_t cols = t->ne[0], rows = t->ne[1];
    TnType type = tn_type(TN_ENC_i2s, 2, (TnDim)rows, (TnDim)cols);
    int8_t *row = tn_xcalloc(cols, 1);
    uint8_t *to = tn_xcalloc(t->bytes, 1);
    memcpy(to + t->bytes - 32, t->data + t->bytes - 32, 32);
    for (uint64_t r = 0; r < rows; r++) {
        tn_decode_trits(&type, t->data, (int64_t)r, row);
        for (uint64_t c = 0; c < cols; c++) {
            uint64_t e = r * cols + c, byte = enc == TN_ENC_i2s64 ? e / 64 * 16 + e % 16 : r / 4 * cols + c;
            uint64_t place = enc == TN_ENC_i2s64 ? e % 64 / 16 : r % 4;
            to[byte] |= (uint8_t)((row[c] + 1) << (6 - 2 * place));
        }
    }
    tn_gw_data(w, t->name, to, t->bytes);
    free(to);
    free(row);
}

static void layouts_of_i2s(void **state) {
    (void)state;
    static const struct {
        const char *name;
        TnEnc enc;
    } layouts[] = {{"64x16", TN_ENC_i2s64}, {"1x4", TN_ENC_i2s4}};
    TnBuf plain = {0}, laid = {0};
    TnGguf *a = NULL, *b = NULL;
    TernError err = {0};
    int8_t x[512], y[512];
    tn_gm_bytes(&tn_gm_small, &plain);
    assert_int_equal(tn_gguf_open_memory(plain.data, plain.len, "m.gguf", false, &a, &err), TERN_OK);
    for (size_t i = 0; i < TN_COUNT(layouts); i++) {
        TnGw *w = tn_gm_create(&tn_gm_small);
        for (size_t k = 0; k < a->n_tensors; k++)
            if (a->tensors[k].enc == TN_ENC_i2s) relay(w, &a->tensors[k], layouts[i].enc);
        tn_gw_bytes(w, &laid, NULL, NULL);
        tn_gw_destroy(w);
        assert_int_equal(tn_gguf_open_memory(laid.data, laid.len, "m.gguf", false, &b, &err), TERN_OK);
        assert_int_equal(tn_gguf_i2s_layout(b, layouts[i].name, &err), TERN_OK);
        size_t checked = 0;
        for (size_t k = 0; k < a->n_tensors; k++) {
            const TnGgufTensor *s = &a->tensors[k], *t = &b->tensors[k];
            if (s->enc != TN_ENC_i2s) continue;
            assert_int_equal(t->enc, layouts[i].enc);
            TnType ts = tn_type(s->enc, 2, (TnDim)s->ne[1], (TnDim)s->ne[0]), tt = ts;
            tt.enc = t->enc;
            for (int64_t r = 0; r < (int64_t)s->ne[1]; r++, checked++) {
                tn_decode_trits(&ts, s->data, r, x);
                tn_decode_trits(&tt, t->data, r, y);
                assert_memory_equal(x, y, s->ne[0]);
            }
        }
        assert_true(checked > 1000);
        TnGraph *g = NULL;
        TnFacts facts;
        assert_int_equal(tn_gguf_graph(b, &(TnGgufOptions){.no_hash = true}, &g, &facts, &err), TERN_OK);
        tn_graph_destroy(g);
        tn_gguf_close(b);
    }
    assert_int_equal(tn_gguf_i2s_layout(a, "128x32", &err), TERN_OK);
    assert_int_equal(tn_gguf_i2s_layout(a, "4x1", &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TerncSource.i2s_layout: got '4x1', expected 128x32, 64x16 or 1x4");
    tn_gguf_close(a);
    tn_buf_free(&plain);
    tn_buf_free(&laid);
    TnGmSpec s = tn_gm_small;
    s.weights = GW_T_TQ2_0;
    tn_gm_bytes(&s, &plain);
    assert_int_equal(tn_gguf_open_memory(plain.data, plain.len, "m.gguf", false, &a, &err), TERN_OK);
    assert_int_equal(tn_gguf_i2s_layout(a, "1x4", &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "m.gguf: no tensor is I2_S: TerncSource.i2s_layout has no effect");
    tn_gguf_close(a);
    tn_buf_free(&plain);
}

/* docs/models.md and README.md name every type that is read. */
static void the_pages_name_them(void **state) {
    (void)state;
    static const char *const pages[] = {TERN_SOURCE_DIR "/docs/models.md", TERN_SOURCE_DIR "/README.md"};
    for (size_t i = 0; i < TN_COUNT(pages); i++) {
        char *text, types[] = TYPES_READ;
        size_t n;
        TernError err = {0};
        if (tn_file_read(pages[i], 1 << 20, &text, &n, &err) != TERN_OK) fail_msg("%s", err.text);
        for (char *word = strtok(types, ", "); word; word = strtok(NULL, ", ")) {
            size_t m = strlen(word);
            const char *p = strstr(text, word);
            while (p && (p[m] == '_' || (p[m] >= '0' && p[m] <= '9'))) p = strstr(p + 1, word);
            if (!p) fail_msg("%s does not name the type %s", pages[i], word);
        }
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_decide),
        cmocka_unit_test(others_are_named),
        cmocka_unit_test(what_fits_nothing_is_refused),
        cmocka_unit_test(what_fits_twice_is_refused),
        cmocka_unit_test(a_short_file),
        cmocka_unit_test(layouts_of_i2s),
        cmocka_unit_test(the_pages_name_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
