/* From every type that can be written to every other: the same weights and scales, or a line that says why not. */
#include <unistd.h>
#include "frontends/hf/internal.h"
#include "hf/small_folder.h"
#include "ir/weights.h"
#include "support/gguf_write.h"

enum { ROWS_ALL = 6, COLS_ALL = 512, N = ROWS_ALL * COLS_ALL };

/* A file with one matrix of this type, with a scale for each `group` columns (0: one), and an embedding. */
static void make(const TnTritType *t, uint32_t group, float scale, TnBuf *out) {
    static int8_t trits[N];
    static float scales[N], table[64 * 3];
    static uint8_t packed[N];
    uint32_t block = t->block ? t->block : 128;
    for (int i = 0; i < N; i++) trits[i] = (int8_t)trit_at(2, i / COLS_ALL, i);
    for (uint32_t i = 0; i < N / block; i++)
        scales[i] = group ? 0.5f + (float)(i * block / group % 5) / 8 : scale;
    size_t n = tn_trit_pack(t, trits, scales, N, packed);
    if (!t->block) {
        memset(packed + n, 0, 32);
        memcpy(packed + n, &scale, 4);
        n += 32;
    }
    for (int i = 0; i < 64 * 3; i++) table[i] = (float)i / 16;
    TnGw *w = tn_gw_create();
    tn_gw_str(w, "general.name", "a model");
    tn_gw_u32(w, "general.file_type", t->file_type);
    tn_gw_u32(w, "another.key", 5);
    tn_gw_str(w, TN_HF_PACKER, TN_HF_SELF); /* as a file that was converted has it, at its end */
    tn_gw_tensor(w, "token_embd.weight", GW_T_F32, 2, (uint64_t[]){64, 3}, NULL, NULL);
    tn_gw_data(w, "token_embd.weight", table, sizeof table);
    tn_gw_tensor(w, "a.weight", t->id, 2, (uint64_t[]){COLS_ALL, ROWS_ALL}, NULL, NULL);
    tn_gw_data(w, "a.weight", packed, n);
    tn_gw_bytes(w, out, NULL, NULL);
    tn_gw_destroy(w);
}

static const char *between(const TnBuf *file, const TnHfOptions *o, TnBuf *out) {
    static TernError err;
    TnGguf *g;
    err = (TernError){0};
    if (tn_gguf_open_memory(file->data, file->len, "m.gguf", false, &g, &err) != TERN_OK)
        fail_msg("%s", err.text);
    if (tn_hf_between(g, o, append, out, &err) == TERN_OK) err.text[0] = 0;
    tn_gguf_close(g);
    return err.text;
}

static void there_and_back(void **state) {
    (void)state;
    const TnTritType *from, *to;
    for (size_t i = 0; (from = tn_trit_type_row(i)); i++)
        for (size_t k = 0; (to = tn_trit_type_row(k)); k++) {
            TnBuf a = {0}, b = {0}, c = {0}, want = {0};
            make(from, 0, 0.375f, &a);
            make(to, 0, 0.375f, &want);
            assert_string_equal(between(&a, &(TnHfOptions){.type = to->name}, &b), "");
            assert_int_equal(b.len, want.len);
            assert_memory_equal(b.data, want.data, want.len);
            assert_string_equal(between(&b, &(TnHfOptions){.type = from->name}, &c), "");
            assert_int_equal(c.len, a.len);
            assert_memory_equal(c.data, a.data, a.len);
            tn_buf_free(&a);
            tn_buf_free(&b);
            tn_buf_free(&c);
            tn_buf_free(&want);
        }
}

/* Groups stay groups, in types whose blocks are not larger. */
static void groups(void **state) {
    (void)state;
    const TnTritType *from, *to;
    for (size_t i = 0; (from = tn_trit_type_row(i)); i++)
        for (size_t k = 0; from->block && (to = tn_trit_type_row(k)); k++) {
            TnBuf a = {0}, b = {0}, want = {0};
            char line[160];
            make(from, from->block, 0, &a);
            const char *says = between(&a, &(TnHfOptions){.type = to->name}, &b);
            snprintf(line, sizeof line,
                     "m.gguf: tensor a.weight has scales for smaller groups, which %s cannot hold", to->name);
            if (to->block && to->block <= from->block) {
                make(to, from->block, 0, &want);
                assert_string_equal(says, "");
                assert_int_equal(b.len, want.len);
                assert_memory_equal(b.data, want.data, want.len);
            } else {
                assert_string_equal(says, line);
            }
            tn_buf_free(&a);
            tn_buf_free(&b);
            tn_buf_free(&want);
        }
}

/* As numbers, every weight is the trit times its scale: of the matrix, or of its group. */
static void numbers(void **state) {
    (void)state;
    static const struct {
        const char *name;
        TnEnc enc;
    } to[] = {{"f32", TN_ENC_f32}, {"f16", TN_ENC_f16}};
    const TnTritType *from;
    for (size_t i = 0; (from = tn_trit_type_row(i)); i++)
        for (size_t k = 0; k < 4; k++) {
            TnBuf a = {0}, b = {0};
            TnGguf *g;
            TernError err;
            float row[COLS_ALL];
            uint32_t group = k < 2 ? 0 : from->block;
            make(from, group, 0.375f, &a);
            assert_string_equal(between(&a, &(TnHfOptions){.type = to[k % 2].name}, &b), "");
            if (tn_gguf_open_memory(b.data, b.len, "m.gguf", false, &g, &err) != TERN_OK)
                fail_msg("%s", err.text);
            const TnGgufTensor *t = tn_gguf_tensor(g, "a.weight");
            assert_int_equal(t->enc, to[k % 2].enc);
            TnType type = tn_type(t->enc, 2, ROWS_ALL, COLS_ALL);
            for (int at = 0; at < N; at++) {
                if (at % COLS_ALL == 0) tn_decode_raw(&type, t->data, at / COLS_ALL, row);
                float s = group ? 0.5f + (float)(at / (int)group % 5) / 8 : 0.375f;
                assert_true(row[at % COLS_ALL] == s * (float)trit_at(2, at / COLS_ALL, at));
            }
            tn_gguf_close(g);
            tn_buf_free(&a);
            tn_buf_free(&b);
        }
}

static void tables_and_copies(void **state) {
    (void)state;
    TnBuf a = {0}, b = {0};
    make(tn_trit_type("i2_s"), 0, 0.3f, &a);
    assert_string_equal(between(&a, &(TnHfOptions){0}, &b), "");
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    static const struct {
        const char *embd;
        TnEnc enc;
        float error;
    } list[] = {{"f32", TN_ENC_f32, 0},
                {"f16", TN_ENC_f16, 0},
                {"bf16", TN_ENC_bf16, 0},
                {"q8_0", TN_ENC_q8_0, 0.05f}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        TnGguf *g;
        TernError err;
        float row[64];
        b.len = 0;
        assert_string_equal(between(&a, &(TnHfOptions){.embd = list[i].embd}, &b), "");
        assert_int_equal(tn_gguf_open_memory(b.data, b.len, "m.gguf", false, &g, &err), TERN_OK);
        const TnGgufTensor *t = tn_gguf_tensor(g, "token_embd.weight");
        assert_int_equal(t->enc, list[i].enc);
        TnType type = tn_type(t->enc, 2, 3, 64);
        for (int r = 0; r < 3; r++) {
            tn_decode_raw(&type, t->data, r, row);
            for (int c = 0; c < 64; c++) {
                float v = (float)(r * 64 + c) / 16, d = row[c] > v ? row[c] - v : v - row[c];
                assert_true(d <= list[i].error);
            }
        }
        tn_gguf_close(g);
    }
    tn_buf_free(&a);
    tn_buf_free(&b);
}

static void refusals(void **state) {
    (void)state;
    TnBuf a = {0}, out = {0};
    make(tn_trit_type("i2_s"), 0, 0.3f, &a);
    static const struct {
        TnHfOptions o;
        const char *want;
    } list[] = {
        {{.type = "tq2_0"},
         "m.gguf: tensor a.weight has the scale 0.300000012, which is no f16, as tq2_0 needs"},
        {{.type = "q2_0"},
         "m.gguf: tensor a.weight has the scale 0.300000012, which is no f16, as q2_0 needs"},
        {{.type = "f16"}, "m.gguf: tensor a.weight has the weight -0.300000012, which is no f16"},
        {{.type = "x"},
         "TerncConvert.type: 'x', expected i2_s, tq1_0, tq2_0, q2_0, pq2_0, ptq1_0, f16 or f32"},
        {{.type = "q8_0"},
         "TerncConvert.type: 'q8_0', expected i2_s, tq1_0, tq2_0, q2_0, pq2_0, ptq1_0, f16 or f32"},
        {{.embd = "x"}, "TerncConvert.embd: 'x', expected f32, f16, bf16 or q8_0"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        assert_string_equal(between(&a, &list[i].o, &out), list[i].want);
    tn_buf_free(&a);
    TnGw *w = tn_gw_create();
    tn_gw_tensor(w, "a.weight", GW_T_F32, 2, (uint64_t[]){64, 3}, NULL, NULL);
    tn_gw_bytes(w, &a, NULL, NULL);
    tn_gw_destroy(w);
    assert_string_equal(between(&a, &(TnHfOptions){.type = "i2_s"}, &out),
                        "TerncConvert.type: m.gguf has no ternary matrices");
    assert_string_equal(between(&a, &(TnHfOptions){.embd = "f16"}, &out),
                        "TerncConvert.embd: m.gguf has no embedding or head");
    tn_buf_free(&a);
    tn_buf_free(&out);
}

/* A ternary embedding becomes what --embd says where it becomes numbers; where it stays ternary, that is the reason. */
static void ternary_tables(void **state) {
    (void)state;
    static const struct {
        const char *embd;
        TnEnc enc;
        float value; /* of the weight 1, whose scale is 0.3 */
    } list[] = {
        {"f32", TN_ENC_f32, 0.3f}, {"f16", TN_ENC_f16, 0x1.334p-2f}, {"bf16", TN_ENC_bf16, 0x1.34p-2f}};
    static const char *const stays[] = {NULL, "tq2_0", "i2_s"};
    static int8_t trits[256];
    uint8_t packed[64 + 32] = {0};
    float scale = 0.3f, row[256];
    TnBuf a = {0}, b = {0};
    for (int i = 0; i < 256; i++) trits[i] = (int8_t)(i % 3 - 1);
    memcpy(packed + tn_trit_pack(tn_trit_type("i2_s"), trits, NULL, 256, packed), &scale, sizeof scale);
    TnGw *w = tn_gw_create();
    tn_gw_tensor(w, "output.weight", GW_T_I2_S, 2, (uint64_t[]){128, 2}, NULL, NULL);
    tn_gw_data(w, "output.weight", packed, sizeof packed);
    tn_gw_bytes(w, &a, NULL, NULL);
    tn_gw_destroy(w);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        TnGguf *g;
        TernError err;
        b.len = 0;
        assert_string_equal(between(&a, &(TnHfOptions){.type = "f32", .embd = list[i].embd}, &b), "");
        assert_int_equal(tn_gguf_open_memory(b.data, b.len, "m.gguf", false, &g, &err), TERN_OK);
        const TnGgufTensor *t = tn_gguf_tensor(g, "output.weight");
        assert_int_equal(t->enc, list[i].enc);
        TnType type = tn_type(t->enc, 2, 2, 128);
        for (int r = 0; r < 2; r++) {
            tn_decode_raw(&type, t->data, r, row);
            for (int c = 0; c < 128; c++) assert_true(row[c] == list[i].value * (float)trits[r * 128 + c]);
        }
        tn_gguf_close(g);
    }
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++)
        assert_string_equal(between(&a, &(TnHfOptions){.type = stays[i], .embd = "f32"}, &b),
                            "TerncConvert.embd: tensor output.weight of m.gguf is ternary, expected numbers");
    tn_buf_free(&a);
    tn_buf_free(&b);
}

/* Ternary tensors of more than two dimensions are not copied as if they were what the caller asks for. */
static void three_dimensions(void **state) {
    (void)state;
    static const char *const types[] = {"f16", "f32", "tq2_0"};
    TnBuf a = {0}, out = {0};
    TnGw *w = tn_gw_create();
    tn_gw_tensor(w, "a.weight", GW_T_TQ2_0, 3, (uint64_t[]){256, 2, 2}, NULL, NULL);
    tn_gw_bytes(w, &a, NULL, NULL);
    tn_gw_destroy(w);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        assert_string_equal(between(&a, &(TnHfOptions){.type = types[i]}, &out),
                            "m.gguf: tensor a.weight is ternary and has 3 dimensions, expected at most 2");
    assert_string_equal(between(&a, &(TnHfOptions){0}, &out), "");
    assert_int_equal(out.len, a.len);
    assert_memory_equal(out.data, a.data, a.len);
    tn_buf_free(&a);
    tn_buf_free(&out);
}

/* A weight of 2 stays one where the type has it, or becomes its number. */
static void weights_of_two(void **state) {
    (void)state;
    TnBuf a = {0}, b = {0};
    make(tn_trit_type("pq2_0"), 0, 0.5f, &a);
    a.data[a.len - 17] = (char)0xff; /* the last codes, before 16 bytes up to the alignment */
    assert_string_equal(between(&a, &(TnHfOptions){.type = "q2_0"}, &b), "");
    assert_int_equal((uint8_t)b.data[b.len - 1], 0xff);
    assert_string_equal(between(&a, &(TnHfOptions){.type = "i2_s"}, &b),
                        "m.gguf: tensor a.weight has weights of 2, which i2_s cannot hold");
    b.len = 0;
    float last[5];
    assert_string_equal(between(&a, &(TnHfOptions){.type = "f32"}, &b), "");
    memcpy(last, b.data + b.len - sizeof last, sizeof last);
    assert_true(last[1] == 1 && last[2] == 1 && last[3] == 1 && last[4] == 1); /* 2 x 0.5 */
    assert_true(last[0] != 1);
    tn_buf_free(&a);
    tn_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),   cmocka_unit_test(groups),
        cmocka_unit_test(numbers),          cmocka_unit_test(tables_and_copies),
        cmocka_unit_test(refusals),         cmocka_unit_test(weights_of_two),
        cmocka_unit_test(three_dimensions), cmocka_unit_test(ternary_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
