/* Where bytes lie: every encoding's row, page, tail and total, against numbers worked out by hand. */
#include "tests/ir/tir_text.h"

static int64_t sym[TN_SYM_COUNT] = {
    [TN_T] = 5, [TN_R] = 3, [TN_K] = 2, [TN_H] = 1, [TN_S] = 4, [TN_P] = 7, [TN_N] = 9};

static TnType ternary(TnEnc enc, int64_t rows, int64_t k, const TnScale *s, uint32_t n) {
    TnType t = tn_type(enc, 2, (TnDim)rows, (TnDim)k);
    t.scales = s;
    t.n_scales = n;
    return t;
}

static void dense_rows_are_padded(void **state) {
    (void)state;
    TnType t = tn_type(TN_ENC_f32, 2, tn_sym_dim(TN_T), (TnDim)65);
    assert_int_equal(tn_row_bytes(&t), 128 * 4);
    assert_int_equal(tn_type_rows(&t, sym), 5);
    assert_int_equal(tn_type_bytes(&t, sym), 5 * 128 * 4);
    t = tn_type(TN_ENC_f16, 2, (TnDim)3, (TnDim)64);
    assert_int_equal(tn_row_bytes(&t), 64 * 2);
    assert_int_equal(tn_type_bytes(&t, NULL), 3 * 64 * 2);
    t = tn_type(TN_ENC_t8, 2, (TnDim)3, (TnDim)1);
    assert_int_equal(tn_row_bytes(&t), 64);
}

static void vectors(void **state) {
    (void)state;
    TnType ids = tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_T));
    assert_int_equal(tn_row_bytes(&ids), 4);
    assert_int_equal(tn_row_bytes_aligned(&ids), 64);
    assert_int_equal(tn_type_bytes(&ids, sym), 20);
    TnType three = tn_type(TN_ENC_i32, 1, (TnDim)3); /* rows too, a constant number of them */
    assert_int_equal(tn_row_bytes(&three), 4);
    assert_int_equal(tn_row_elems(&three), 1);
    assert_int_equal(tn_type_rows(&three, NULL), 3);
    assert_int_equal(tn_type_bytes(&three, NULL), 12);
    TnType norm = tn_type(TN_ENC_f32, 1, (TnDim)100);
    assert_int_equal(tn_row_bytes(&norm), 512);
    assert_int_equal(tn_type_rows(&norm, NULL), 1);
    assert_int_equal(tn_row_elems(&norm), 100);
    assert_int_equal(tn_type_bytes(&norm, NULL), 512);
    TnType table = tn_type(TN_ENC_i32, 2, tn_sym_dim(TN_S), tn_sym_dim(TN_P));
    assert_int_equal(tn_type_bytes(&table, sym), 4 * 7 * 4);
}

static void q8_rows_have_a_head(void **state) {
    (void)state;
    TnType t = tn_type(TN_ENC_q8, 2, tn_sym_dim(TN_T), (TnDim)257);
    assert_int_equal(tn_row_bytes(&t), 64 + 512);
    assert_int_equal(tn_type_bytes(&t, sym), 5 * (64 + 512));
}

static void p64_carries_its_scales(void **state) {
    (void)state;
    TnScale s[2] = {{3, 1.0f}, {4, 2.0f}};
    TnType t = ternary(TN_ENC_p64, 7, 257, s, 2);
    assert_int_equal(tn_row_bytes(&t), 128);
    assert_int_equal(tn_tail_bytes(&t), 8);
    assert_int_equal(tn_type_bytes(&t, NULL), 7 * 128 + 8);
}

static void stored_encodings_lie_as_in_the_file(void **state) {
    (void)state;
    TnScale s = {4, 1.0f};
    TnType t = ternary(TN_ENC_i2s, 4, 96, &s, 1); /* 384 codes: 3 blocks, no row of whole ones */
    assert_int_equal(tn_type_bytes(&t, NULL), 96 + 32);
    assert_int_equal(tn_raw_bytes(&t), 96 + 32);
    assert_int_equal(tn_row_bytes(&t), 0);
    t = ternary(TN_ENC_tq1, 4, 512, &s, 1);
    assert_int_equal(tn_row_bytes(&t), 108);
    assert_int_equal(tn_type_bytes(&t, NULL), 4 * 108);
    t = ternary(TN_ENC_tq2, 4, 512, &s, 1);
    assert_int_equal(tn_type_bytes(&t, NULL), 4 * 132);
    t = tn_type(TN_ENC_q8_0, 2, (TnDim)3, (TnDim)96);
    assert_int_equal(tn_raw_bytes(&t), 3 * 3 * 34);
    t = tn_type(TN_ENC_q6_k, 2, (TnDim)3, (TnDim)256);
    assert_int_equal(tn_type_bytes(&t, NULL), 3 * 210);
    t = tn_type(TN_ENC_f16, 2, (TnDim)3, (TnDim)65);
    assert_int_equal(tn_raw_bytes(&t), 3 * 65 * 2);
}

static void caches_are_pages(void **state) {
    (void)state;
    TnType k = tn_type(TN_ENC_kc_f16, 3, tn_sym_dim(TN_N), (TnDim)2, (TnDim)6);
    assert_int_equal(tn_page_bytes(&k), 2 * 6 * 64 * 2);
    assert_int_equal(tn_type_rows(&k, sym), 9);
    assert_int_equal(tn_type_bytes(&k, sym), 9 * 2 * 6 * 64 * 2);
    TnType v = tn_type(TN_ENC_vc, 3, tn_sym_dim(TN_N), (TnDim)2, (TnDim)6);
    assert_int_equal(tn_page_bytes(&v), 2 * 6 * 64 * 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_rows_are_padded),
        cmocka_unit_test(vectors),
        cmocka_unit_test(q8_rows_have_a_head),
        cmocka_unit_test(p64_carries_its_scales),
        cmocka_unit_test(stored_encodings_lie_as_in_the_file),
        cmocka_unit_test(caches_are_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
