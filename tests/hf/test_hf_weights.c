/* Weights of every layout, in every type that they may be written in: the GGUF is read back by Tern's own decoders. */
#include "hf/small_folder.h"
#include "ir/weights.h"

/* The row of the checkpoint that lies in row r of the GGUF: within a head, halves become pairs. */
static int source_row(int m, int r) {
    if (!matrices[m].heads) return r;
    int k = r % HEAD;
    return r - k + (k % 2) * (HEAD / 2) + k / 2;
}

static TnType type_of(const TnGgufTensor *t) {
    return tn_type(t->enc, 2, (TnDim)t->ne[1], (TnDim)t->ne[0]);
}

static void check_matrix(const TnGguf *g, int m, int group, double scale, bool exact) {
    char name[64];
    snprintf(name, sizeof name, "blk.0.%s.weight", matrices[m].gguf);
    const TnGgufTensor *t = tn_gguf_tensor(g, name);
    assert_non_null(t);
    assert_int_equal(t->ne[0], matrices[m].cols);
    assert_int_equal(t->ne[1], matrices[m].rows);
    TnType type = type_of(t);
    int8_t trits[FFN + 1024];
    for (int r = 0; r < matrices[m].rows; r++) {
        int from = source_row(m, r);
        tn_decode_trits(&type, t->data, r, trits);
        for (int c = 0; c < matrices[m].cols; c++) assert_int_equal(trits[c], trit_at(m, from, c));
        if (!group) continue;
        for (int c = 0; c < matrices[m].cols; c += 64) { /* the scale before each block of Q2_0 */
            uint16_t h;
            bool zeros = true;
            memcpy(&h, t->data + (r * matrices[m].cols + c) / 64 * 18, 2);
            for (int i = c; i < c + 64; i++) zeros = zeros && trit_at(m, from, i) == 0;
            float want = group > 0 ? scale_at(m, from, c, group) : scale_at(m, from / -group, 0, 1);
            assert_true(zeros || tn_f16_to_f32(h) == want);
        }
    }
    if (group) return;
    TnStoredScale s = {0};
    TernError err;
    assert_int_equal(tn_stored_scale(&type, t->data, name, &s, &err), TERN_OK);
    assert_int_equal(s.group, 0);
    if (exact && t->enc == TN_ENC_i2s) assert_true((double)s.scale == scale);
    assert_true((double)s.scale > scale * 0.995 && (double)s.scale < scale * 1.005);
}

static void check_rest(const TnGguf *g, TnEnc table) {
    const TnGgufTensor *t = tn_gguf_tensor(g, "token_embd.weight");
    assert_int_equal(t->enc, table);
    TnType type = type_of(t);
    float row[HIDDEN];
    for (int r = 0; r < VOCAB; r++) {
        tn_decode_raw(&type, t->data, r, row);
        for (int c = 0; c < HIDDEN; c++) {
            float v = (float)(r * HIDDEN + c) / 64;
            assert_true(row[c] >= v - 0.15f && row[c] <= v + 0.15f);
            if (table == TN_ENC_f32) assert_true(row[c] == v);
        }
    }
    t = tn_gguf_tensor(g, "blk.0.ffn_norm.weight");
    assert_int_equal(t->enc, TN_ENC_f32);
    memcpy(row, t->data, sizeof row);
    assert_true(row[0] == 2.0f / 64 && row[63] == 65.0f / 64);
    assert_null(tn_gguf_tensor(g, "output.weight"));
}

/* The mean magnitude of the masters, as add_matrix makes them. */
static double mean_of(int m) {
    double sum = 0;
    for (int r = 0; r < matrices[m].rows; r++)
        for (int c = 0; c < matrices[m].cols; c++) {
            float near = 0.8f + 0.1f * (float)((r + c) % 5);
            sum += (double)(trit_at(m, r, c) ? near : 0.1f * near);
        }
    return sum / (matrices[m].rows * matrices[m].cols);
}

typedef struct Case {
    Layout layout;
    int group;
    bool over;
    const char *type, *embd;
    uint32_t id; /* of the matrices */
    TnEnc table;
} Case;

static void check_case(const Case *k) {
    char *config = replaced(good_config, "autobitlinear", k->over ? "bitlinear" : "autobitlinear");
    TnBuf file = {0};
    TnGguf *g;
    TernError err;
    put_text("config.json", config);
    free(config);
    put_weights(k->layout, k->group, k->over);
    assert_string_equal(convert_says(&(TnHfOptions){.type = k->type, .embd = k->embd}, &file), "");
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err), TERN_OK);
    for (int m = 0; m < MATRICES; m++) {
        double scale = k->layout == MASTERS ? (double)(float)mean_of(m) : (double)scale_at(m, 0, 0, 0);
        check_matrix(g, m, k->group, scale, !k->over);
    }
    assert_int_equal(tn_gguf_tensor(g, "blk.0.attn_q.weight")->type, k->id);
    check_rest(g, k->table);
    tn_gguf_close(g);
    tn_buf_free(&file);
}

static void layouts(void **state) {
    (void)state;
    static const Case cases[] = {
        {PACKED, 0, false, NULL, NULL, 36, TN_ENC_f32},
        {PACKED, 0, true, NULL, NULL, 36, TN_ENC_f32},
        {PACKED, 0, false, "i2_s", "f16", 36, TN_ENC_f16},
        {PACKED, 0, false, "q2_0", "bf16", 42, TN_ENC_bf16},
        {PACKED, 0, true, "q2_0", "q8_0", 42, TN_ENC_q8_0},
        {PACKED, 64, false, NULL, NULL, 42, TN_ENC_f32},
        {PACKED, -1, false, "q2_0", NULL, 42, TN_ENC_f32},
        {PACKED, -16, false, "q2_0", NULL, 42, TN_ENC_f32},
        {DENSE, 0, false, NULL, NULL, 36, TN_ENC_f32},
        {DENSE, 0, false, "q2_0", NULL, 42, TN_ENC_f32},
        {DENSE, 64, false, NULL, NULL, 42, TN_ENC_f32},
        {DENSE, 64, false, "q2_0", NULL, 42, TN_ENC_f32},
        {MASTERS, 0, false, NULL, NULL, 36, TN_ENC_f32},
        {MASTERS, 0, false, "q2_0", "f32", 42, TN_ENC_f32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(&cases[i]);
}

static void refusals(void **state) {
    (void)state;
    put_text("config.json", good_config);
    put_weights(PACKED, 0, false);
    assert_string_equal(convert_says(&(TnHfOptions){.type = "x"}, NULL),
                        "TerncConvert.type: 'x', expected i2_s, tq1_0, tq2_0, q2_0, pq2_0 or ptq1_0");
    assert_string_equal(convert_says(&(TnHfOptions){.embd = "x"}, NULL),
                        "TerncConvert.embd: 'x', expected f32, f16, bf16 or q8_0");
    assert_string_equal(
        convert_says(&(TnHfOptions){.type = "tq2_0"}, NULL),
        ": tensor blk.0.attn_q.weight has rows of 64 columns, which its type does not divide");
    put_weights(DENSE, 64, false);
    assert_string_equal(convert_says(&(TnHfOptions){.type = "i2_s"}, NULL),
                        ": tensor model.layers.0.self_attn.q_proj.weight has a scale for every 64 columns, "
                        "which i2_s does not have");
    put_weights(PACKED, 32, false);
    assert_string_equal(
        convert_says(NULL, NULL),
        ": tensor model.layers.0.self_attn.q_proj.weight_scale has 128 numbers, expected one, one for "
        "as many rows, or one for 64 or more columns of each row");
    put_weights(PACKED, -60, false);
    assert_string_equal(
        convert_says(NULL, NULL),
        ": tensor model.layers.0.mlp.gate_proj.weight_scale has 3 numbers, expected one, one for "
        "as many rows, or one for 64 or more columns of each row");
    put_weights(DENSE, 32, false); /* no type has such groups, and rounding is not an answer to that */
    char *plain = replaced(good_config, "quantization_config", "other");
    put_text("config.json", plain);
    free(plain);
    assert_string_equal(
        convert_says(NULL, NULL),
        ": tensor model.layers.0.self_attn.q_proj.weight is not ternary, and config.json does not say that "
        "it was trained to be rounded; convert it with TerncConvert.absmean to round it by its mean "
        "magnitude");
    put_weights(MASTERS, 0, false);
    assert_non_null(strstr(convert_says(NULL, NULL), "is not ternary"));
    assert_string_equal(convert_says(&(TnHfOptions){.absmean = true}, NULL), "");
}

/* A checkpoint without a head leaves "model." out. */
static void bare_names(void **state) {
    (void)state;
    TnBuf file[2] = {{0}, {0}};
    put_text("config.json", good_config);
    for (int i = 0; i < 2; i++) {
        bare = i;
        put_weights(PACKED, 0, false);
        assert_string_equal(convert_says(NULL, &file[i]), "");
    }
    bare = false;
    assert_int_equal(file[0].len, file[1].len);
    assert_memory_equal(file[0].data, file[1].data, file[0].len);
    tn_buf_free(&file[0]);
    tn_buf_free(&file[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bare_names), cmocka_unit_test(layouts),
                                       cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
