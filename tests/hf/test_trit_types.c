/* The packers of all ternary types: each is held against Tern's decoder of that type, on whole rows of 1,024. */
#include <math.h>
#include "frontends/hf/internal.h"
#include "hf/small_folder.h"
#include "ir/weights.h"

static const struct {
    const char *name;
    TnEnc enc;
} encs[] = {{"i2_s", TN_ENC_i2s},   {"tq2_0", TN_ENC_tq2},    {"tq1_0", TN_ENC_tq1},
            {"q2_0", TN_ENC_q2g64}, {"pq2_0", TN_ENC_q2g128}, {"ptq1_0", TN_ENC_ptq1}};

static void decodes_what_was_packed(void **state) {
    (void)state;
    enum { ROWS = 6, COLS = 1024, N = ROWS * COLS };
    static int8_t trits[N], got[N + 4096];
    static float scales[N / 64];
    static uint8_t out[N];
    for (size_t e = 0; e < sizeof encs / sizeof *encs; e++) {
        const TnTritType *t = tn_trit_type(encs[e].name);
        uint32_t block = t->block ? t->block : 128;
        for (int i = 0; i < N; i++) trits[i] = (int8_t)trit_at(3, i / COLS, i);
        for (int i = 0; i < N / (int)block; i++) scales[i] = 0.5f + (float)(i % 7) / 8;
        size_t bytes = tn_trit_bytes(t, ROWS, COLS);
        assert_true(bytes <= sizeof out);
        memset(out, 0xee, sizeof out);
        assert_int_equal(tn_trit_pack(t, trits, scales, N, out), t->block ? bytes : bytes - 32);
        if (!t->block) memset(out + bytes - 32, 0, 32);
        TnType type = tn_type(encs[e].enc, 2, ROWS, COLS);
        assert_int_equal(tn_raw_bytes(&type), bytes);
        for (int r = 0; r < ROWS; r++) {
            tn_decode_trits(&type, out, r, got);
            assert_memory_equal(got, trits + r * COLS, COLS);
        }
        for (int i = 0; t->block && i < N / (int)block; i++) {
            uint16_t h; /* q2 begins with it, tq ends with it */
            memcpy(&h, out + (size_t)i * t->bytes + (strstr(encs[e].name, "tq") ? t->bytes - 2 : 0), 2);
            assert_true(tn_f16_to_f32(h) == scales[i]);
        }
        assert_ptr_equal(tn_trit_type_row(e), t);
    }
    assert_null(tn_trit_type_row(sizeof encs / sizeof *encs));
    assert_null(tn_trit_type("tl1"));
}

static void sizes(void **state) {
    (void)state;
    assert_int_equal(tn_trit_bytes(tn_trit_type("i2_s"), 2560, 2560), 1638432);
    assert_int_equal(tn_trit_bytes(tn_trit_type("i2_s"), 64, 3200), 51232); /* blocks straddle rows */
    assert_int_equal(tn_trit_bytes(tn_trit_type("i2_s"), 1, 64), 0);
    assert_int_equal(tn_trit_bytes(tn_trit_type("i2_s"), UINT64_MAX, 128), 0);
    assert_int_equal(tn_trit_bytes(tn_trit_type("tq2_0"), 2, 128), 0);
    assert_int_equal(tn_trit_bytes(tn_trit_type("tq1_0"), 2, 512), 216);
}

/* Groups are found, the largest that fit; anything else is not ternary. */
static void groups(void **state) {
    (void)state;
    enum { COLS = 512, ROWS = 3 };
    static float values[ROWS * COLS];
    static const TnSafeType f32 = {"F32", TN_SAFE_F32, 4};
    TnSafeTensor t = {.name = "w",
                      .type = &f32,
                      .rank = 2,
                      .dim = {ROWS, COLS},
                      .data = (uint8_t *)values,
                      .bytes = sizeof values};
    for (int group = 32; group <= 1024; group *= 2) {
        for (int i = 0; i < ROWS * COLS; i++)
            values[i] = (float)trit_at(1, 0, i) * (group == 1024 ? 0.5f : 0.5f + (float)(i / group % 3));
        TnMatrix m = {.name = "w", .t = &t, .rows = ROWS, .cols = COLS};
        bool is = tn_matrix_is_ternary(&m);
        assert_int_equal(is, group >= 64);
        if (!is) continue;
        assert_int_equal(m.group, group == 1024 ? 0 : group > 256 ? 256 : group);
        assert_true(m.scale == (group == 1024 ? 0.5f : 0));
        values[700] = NAN;
        assert_false(tn_matrix_is_ternary(&m));
        values[700] = INFINITY;
        assert_false(tn_matrix_is_ternary(&m));
    }
    memset(values, 0, sizeof values);
    TnMatrix m = {.name = "w", .t = &t, .rows = ROWS, .cols = COLS};
    assert_false(tn_matrix_is_ternary(&m));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(decodes_what_was_packed), cmocka_unit_test(sizes),
                                       cmocka_unit_test(groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
