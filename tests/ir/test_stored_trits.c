/* Stored ternary matrices, written element by element from the formats alone (tests/support/gguf_trits.h) and read back. */
#include <math.h>
#include "ir/internal.h"
#include "ir/stored_tiles.h"
#include "support/gguf_trits.h"
#include "tests/ir/tir_text.h"

typedef struct Matrix {
    TnEnc enc;
    int64_t rows, cols;
    int8_t *w;    /* row by row */
    float *scale; /* by row, or by group of a row */
    uint8_t *raw;
    size_t bytes;
} Matrix;

static TnGtMatrix plain(const Matrix *x) {
    return (TnGtMatrix){x->rows, x->cols, x->w, x->scale, x->raw, x->bytes};
}

static void write_by(const Matrix *x, void (*write)(const TnGtMatrix *m)) {
    TnGtMatrix g = plain(x);
    write(&g);
}

static void write_q2(const Matrix *x, int64_t block) {
    TnGtMatrix g = plain(x);
    tn_gt_q2(&g, block);
}

static void put_f16(uint8_t *p, float f) {
    uint16_t h = tn_f32_to_f16(f);
    memcpy(p, &h, 2);
}

/* ---- there and back */

static TnType type_of(const Matrix *x, TnScale *whole) {
    TnType t = tn_type(x->enc, 2, (TnDim)x->rows, (TnDim)x->cols);
    *whole = (TnScale){x->rows, 1.0f};
    t.n_scales = 1, t.scales = whole;
    return t;
}

/* most: 1, or 2 for codes of 3. */
static Matrix *matrix(TnEnc enc, int64_t rows, int64_t cols, int most) {
    Matrix *x = calloc(1, sizeof *x);
    TnScale whole;
    *x = (Matrix){.enc = enc, .rows = rows, .cols = cols};
    TnType t = type_of(x, &whole);
    x->bytes = tn_raw_bytes(&t);
    x->raw = calloc(1, x->bytes);
    x->w = malloc((size_t)(rows * cols));
    x->scale = malloc((size_t)(rows * cols / 64 + rows) * sizeof(float));
    for (int64_t i = 0; i < rows * cols; i++)
        x->w[i] = (int8_t)((int)(random_u32() % (2u + (unsigned)most)) - 1);
    for (int64_t i = 0; i < rows * cols / 64 + rows; i++) /* values of f16 */
        x->scale[i] = tn_f16_to_f32((uint16_t)(0x2000 + random_u32() % 0x1000));
    return x;
}

static void destroy(Matrix *x) {
    free(x->w), free(x->scale), free(x->raw), free(x);
}

static void expect_back(Matrix *x) {
    TnScale whole;
    TnType t = type_of(x, &whole);
    int8_t *out = malloc((size_t)x->cols);
    TernError err = {0};
    if (tn_type_check(&t, &err) != TERN_OK) fail_msg("%s", err.text);
    for (int64_t r = 0; r < x->rows; r++) {
        memset(out, 0x55, (size_t)x->cols);
        tn_decode_trits(&t, x->raw, r, out);
        for (int64_t c = 0; c < x->cols; c++)
            if (out[c] != x->w[r * x->cols + c])
                fail_msg("%s %d x %d: row %d column %d is %d, expected %d", tn_encs[x->enc].name,
                         (int)x->rows, (int)x->cols, (int)r, (int)c, out[c], x->w[r * x->cols + c]);
    }
    free(out);
}

static void rows_and_blocks(void **state) {
    (void)state;
    Matrix *x = matrix(TN_ENC_iq2bn, 5, 192, 1);
    assert_int_equal(x->bytes, 5 * (4 + 48));
    write_by(x, tn_gt_iq2bn);
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_iq1bn, 5, 192, 1);
    assert_int_equal(x->bytes, 5 * (2 + 39));
    write_by(x, tn_gt_iq1bn);
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_iq2bn4, 8, 192, 1);
    assert_int_equal(x->bytes, 2 * (16 + 192));
    write_by(x, tn_gt_iq2bn4);
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_q2g64, 5, 192, 2);
    assert_int_equal(x->bytes, 15 * 18);
    write_q2(x, 64);
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_q2g128, 5, 384, 2);
    assert_int_equal(x->bytes, 15 * 34);
    write_q2(x, 128);
    expect_back(x);
    destroy(x);
    static const TnEnc i2s[] = {TN_ENC_i2s64, TN_ENC_i2s4};
    for (int i = 0; i < 2; i++) {
        x = matrix(i2s[i], 8, 208, 1); /* rows begin inside blocks */
        assert_int_equal(x->bytes, 2 * 208 + 32);
        write_by(x, i ? tn_gt_i2s4 : tn_gt_i2s64);
        expect_back(x);
        destroy(x);
    }
    x = matrix(TN_ENC_ptq1, 5, 384, 1);
    assert_int_equal(x->bytes, 15 * 28);
    write_by(x, tn_gt_ptq1);
    expect_back(x);
    destroy(x);
}

static void tiles(void **state) {
    (void)state;
    static const struct {
        int64_t rows, cols, tl1[3], tl2[2];
    } shapes[] = {
        {1536, 1536, {128, 64, 64}, {128, 192}}, /* shapes that bitnet.cpp has kernels for */
        {3200, 3200, {320, 128, 64}, {320, 96}}, {1024, 4096, {256, 128, 32}, {256, 96}},
        {256, 256, {256, 128, 32}, {256, 96}}, /* and others: powers of two that divide them */
        {96, 320, {32, 64, 32}, {32, 96}},       {64, 768, {64, 128, 32}, {64, 96}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        Matrix *x = matrix(TN_ENC_tl1, shapes[i].rows, shapes[i].cols, 1);
        assert_int_equal(x->bytes, x->rows * x->cols / 4 + 32);
        TnGtMatrix g = plain(x);
        tn_gt_tl1(&g, shapes[i].tl1[0], shapes[i].tl1[1], shapes[i].tl1[2]);
        expect_back(x);
        destroy(x);
        x = matrix(TN_ENC_tl2, shapes[i].rows, shapes[i].cols, 1);
        g = plain(x);
        tn_gt_tl2(&g, shapes[i].tl2[0], shapes[i].tl2[1]);
        expect_back(x);
        destroy(x);
    }
    TnTlTiles t;
    assert_true(tn_tl_tiles(TN_ENC_tl1, 1536, 1536, &t) && t.known);
    assert_true(tn_tl_tiles(TN_ENC_tl2, 64, 768, &t) && !t.known);
    assert_false(tn_tl_tiles(TN_ENC_tl1, 48, 256, &t)); /* bands of 32 rows do not divide it */
    assert_false(tn_tl_tiles(TN_ENC_tl1, 64, 260, &t));
    assert_false(tn_tl_tiles(TN_ENC_tl2, 64, 192, &t)); /* its size has 256 columns of pairs */
    assert_false(tn_tl_tiles(TN_ENC_tl2, 64, 304,
                             &t)); /* 16 columns are left of the triples, a half of a pairs' tile */
}

/* Codes that stand for no weight. */
static void bad_codes(void **state) {
    (void)state;
    static const struct {
        TnEnc enc;
        size_t byte;
        uint8_t value;
        const char *line;
    } list[] = {
        {TN_ENC_tl1, 77, 0x19, "tensor w: byte 77 is 0x19, expected two codes of at most 8"},
        {TN_ENC_tl1, 78, 0x91, "tensor w: byte 78 is 0x91, expected two codes of at most 8"},
        {TN_ENC_tl2, 5, 0xe0, "tensor w: byte 5 is 0xe0, expected two codes of at most 13"},
        {TN_ENC_tl2, 64 * 192 / 6 + 64 * 192 / 24 + 3, 0x0f,
         "tensor w: byte 2563 is 0x0f, expected two codes of at most 8"},
        {TN_ENC_iq2bn4, 20, 0x31, "tensor w: byte 20 is 0x31, which holds code 3; ternary codes are 0 to 2"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        Matrix *x = matrix(list[i].enc, 64, 256, 1);
        TnScale whole;
        TnType t = type_of(x, &whole);
        TernError err = {0};
        assert_int_equal(tn_tiled_check(&t, x->raw, "w", &err), TERN_OK);
        x->raw[list[i].byte] = list[i].value;
        assert_int_equal(tn_tiled_check(&t, x->raw, "w", &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, list[i].line);
        destroy(x);
    }
}

/* ---- scales */

static TnStoredScale scale_of(const Matrix *x) {
    TnScale whole;
    TnType t = type_of(x, &whole);
    TnStoredScale s;
    TernError err = {0};
    if (tn_stored_scale(&t, x->raw, "w", &s, &err) != TERN_OK) fail_msg("%s", err.text);
    return s;
}

static void expect_refused(const Matrix *x, const char *line) {
    TnScale whole;
    TnType t = type_of(x, &whole);
    TnStoredScale s;
    TernError err = {0};
    assert_int_equal(tn_stored_scale(&t, x->raw, "w", &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
}

/* The scales of every row, as decoding gives them. */
static void expect_scales(const Matrix *x, uint32_t group) {
    TnType t = tn_type(x->enc, 2, (TnDim)x->rows, (TnDim)x->cols);
    TernError err = {0};
    t.group = group;
    if (tn_type_check(&t, &err) != TERN_OK) fail_msg("%s", err.text);
    int64_t n = tn_type_row_scales(&t);
    float *got = malloc((size_t)n * sizeof *got);
    for (int64_t r = 0; r < x->rows; r++) {
        tn_decode_scales(&t, x->raw, r, got);
        assert_memory_equal(got, x->scale + r * n, (size_t)n * sizeof *got);
    }
    free(got);
}

static const struct {
    TnEnc enc;
    void (*write)(const TnGtMatrix *m);
} of_rows[] = {{TN_ENC_iq1bn, tn_gt_iq1bn}, {TN_ENC_iq2bn, tn_gt_iq2bn}, {TN_ENC_iq2bn4, tn_gt_iq2bn4}};

static void a_scale_a_row(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof of_rows / sizeof *of_rows; i++) {
        Matrix *x = matrix(of_rows[i].enc, 8, 128, 1);
        write_by(x, of_rows[i].write);
        assert_int_equal(scale_of(x).group, TN_GROUP_ROW);
        expect_scales(x, TN_GROUP_ROW);
        for (int r = 0; r < 8; r++) x->scale[r] = r == 5 ? 0.0f : 0.75f;
        memset(x->w + 5 * 128, 0, 128);
        memset(x->raw, 0, x->bytes);
        write_by(x, of_rows[i].write); /* one scale, but for a row of zeros */
        assert_int_equal(scale_of(x).group, 0);
        assert_true(scale_of(x).scale == 0.75f);
        x->scale[2] = INFINITY;
        memset(x->raw, 0, x->bytes);
        write_by(x, of_rows[i].write);
        expect_refused(x, "tensor w: scale of row 2 is inf, expected a finite number");
        destroy(x);
    }
    Matrix *x = matrix(TN_ENC_iq2bn, 8, 128, 2);
    memset(x->w, 0, 2 * 128);
    x->w[2 * 128 + 9] = 2;
    write_by(x, tn_gt_iq2bn);
    expect_refused(x, "tensor w: row 2 holds code 3; ternary codes are 0 to 2");
    destroy(x);
}

static void a_scale_a_block(void **state) {
    (void)state;
    for (int b = 64; b <= 128; b += 64) {
        Matrix *x = matrix(b == 64 ? TN_ENC_q2g64 : TN_ENC_q2g128, 4, 256, 1);
        write_q2(x, b);
        assert_int_equal(scale_of(x).group, b);
        assert_false(scale_of(x).two);
        expect_scales(x, (uint32_t)b);
        x->raw[7] |= 0xc0;
        assert_true(scale_of(x).two); /* a code 3 is a weight here */
        for (int i = 0; i < 1024 / b; i++) x->scale[i] = 0.5f;
        memset(x->raw, 0, x->bytes);
        write_q2(x, b);
        assert_int_equal(scale_of(x).group, 0);
        assert_true(scale_of(x).scale == 0.5f);
        destroy(x);
    }
    Matrix *x = matrix(TN_ENC_ptq1, 4, 256, 1);
    write_by(x, tn_gt_ptq1);
    assert_int_equal(scale_of(x).group, 128);
    expect_scales(x, 128);
    put_f16(x->raw + 28 * 3 + 26, NAN);
    expect_refused(x, "tensor w: scale of block 3 is nan, expected a finite number");
    destroy(x);
}

static void a_scale_a_tensor(void **state) {
    (void)state;
    Matrix *x = matrix(TN_ENC_tl2, 64, 256, 1);
    TnGtMatrix g = plain(x);
    tn_gt_tl2(&g, 64, 96);
    assert_int_equal(scale_of(x).group, 0);
    assert_true(scale_of(x).scale == x->scale[0]);
    memset(x->raw + x->bytes - 32, 0xff, 4);
    expect_refused(x, "tensor w: scale is -nan, expected a finite number");
    destroy(x);
    x = matrix(TN_ENC_i2s4, 8, 128, 2);
    x->w[3 * 128 + 100] = 2;
    memset(x->w, 0, 3 * 128);
    memset(x->w + 4 * 128, 0, 4 * 128);
    memset(x->w + 3 * 128, 0, 100);
    write_by(x, tn_gt_i2s4);
    expect_refused(x, "tensor w: byte 100 is 0x57, which holds code 3; ternary codes are 0 to 2");
    destroy(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_blocks), cmocka_unit_test(tiles),
        cmocka_unit_test(bad_codes),       cmocka_unit_test(a_scale_a_row),
        cmocka_unit_test(a_scale_a_block), cmocka_unit_test(a_scale_a_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
