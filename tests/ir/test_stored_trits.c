/* Stored ternary matrices, written here element by element from the descriptions of the formats alone and read back by ir/:
 * those whose blocks and rows ir/decode.c finds, and those in tiles. */
#include <math.h>
#include "ir/internal.h"
#include "ir/stored_tiles.h"
#include "tests/ir/tir_text.h"

typedef struct Matrix {
    TnEnc enc;
    int64_t rows, cols;
    int8_t *w;    /* row by row */
    float *scale; /* by row, or by group of a row */
    uint8_t *raw;
    size_t bytes;
} Matrix;

static Matrix *m; /* of the test that runs */

static int at(int64_t row, int64_t col) {
    return m->w[row * m->cols + col];
}

/* A byte of base-3 digits, the most significant first. */
static uint8_t base3(const int *digits, int n) {
    unsigned q = 0;
    for (int i = 0; i < 5; i++) q = q * 3 + (unsigned)(i < n ? digits[i] : 0);
    return (uint8_t)((q * 256 + 242) / 243);
}

static void put_f16(uint8_t *p, float f) {
    uint16_t h = tn_f32_to_f16(f);
    memcpy(p, &h, 2);
}

/* ---- blocks and rows */

static void write_iq2bn(void) {
    int64_t row_bytes = 4 + m->cols / 4;
    for (int64_t r = 0; r < m->rows; r++) {
        memcpy(m->raw + r * row_bytes, &m->scale[r], 4);
        for (int64_t c = 0; c < m->cols; c++)
            m->raw[r * row_bytes + 4 + c / 64 * 16 + c % 16] |=
                (uint8_t)((at(r, c) + 1) << 2 * (c % 64 / 16));
    }
}

static void write_iq2bn4(void) {
    int64_t group_bytes = 16 + m->cols;
    for (int64_t r = 0; r < m->rows; r++) {
        uint8_t *group = m->raw + r / 4 * group_bytes, *codes = group + 16;
        memcpy(group + r % 4 * 4, &m->scale[r], 4);
        for (int64_t block = 0; block < m->cols / 64; block++)
            for (int64_t l = 0; l < 4; l++)
                for (int64_t i = 0; i < 4; i++)
                    for (int64_t q = 0; q < 4; q++)
                        codes[64 * block + 16 * l + 4 * (r % 4) + i] |=
                            (uint8_t)((at(r, 64 * block + 16 * l + i + 4 * q) + 1) << 2 * q);
    }
}

/* The least significant digit first: the number of digits 0 to 4 is that of digits 4 to 0 the other way round. */
static void write_iq1bn(void) {
    int64_t row_bytes = 2 + m->cols / 64 * 13;
    for (int64_t r = 0; r < m->rows; r++) {
        put_f16(m->raw + r * row_bytes, m->scale[r]);
        for (int64_t block = 0; block < m->cols / 64; block++) {
            uint8_t *b = m->raw + r * row_bytes + 2 + 13 * block;
            int last[5] = {0};
            for (int64_t g = 0; g < 4; g++) {
                for (int64_t k = 0; k < 3; k++) {
                    int digits[5];
                    for (int64_t j = 0; j < 5; j++)
                        digits[4 - j] = at(r, 64 * block + 16 * g + 5 * k + j) + 1;
                    b[3 * g + k] = base3(digits, 5);
                }
                last[4 - g] = at(r, 64 * block + 16 * g + 15) + 1;
            }
            b[12] = base3(last, 5);
        }
    }
}

/* i2s64: 64 codes of the flat matrix in 16 bytes; i2s4: four rows in a byte. */
static void write_i2s(void) {
    for (int64_t e = 0; e < m->rows * m->cols; e++) {
        int64_t r = e / m->cols, c = e % m->cols;
        if (m->enc == TN_ENC_i2s64)
            m->raw[e / 64 * 16 + e % 16] |= (uint8_t)((m->w[e] + 1) << (6 - 2 * (e % 64 / 16)));
        else
            m->raw[r / 4 * m->cols + c] |= (uint8_t)((m->w[e] + 1) << (6 - 2 * (r % 4)));
    }
}

/* f16 d, then code e at bits 2 (e mod 4) of byte e / 4. */
static void write_q2(int64_t block) {
    for (int64_t b = 0; b < m->rows * m->cols / block; b++) {
        uint8_t *p = m->raw + b * (2 + block / 4);
        put_f16(p, m->scale[b]);
        for (int64_t e = 0; e < block; e++)
            p[2 + e / 4] |= (uint8_t)((m->w[b * block + e] + 1) << 2 * (e % 4));
    }
}

/* Digit n of byte i of the first 16 is weight 16n + i; of the next 8, 80 + 8n + i; of the last 2, 120 + 2n + i. */
static void write_ptq1(void) {
    for (int64_t b = 0; b < m->rows * m->cols / 128; b++) {
        uint8_t *p = m->raw + b * 28;
        const int8_t *w = m->w + 128 * b;
        for (int i = 0; i < 26; i++) {
            int digits[5], n = i < 24 ? 5 : 4;
            for (int k = 0; k < n; k++)
                digits[k] = 1 + (i < 16   ? w[16 * k + i]
                                 : i < 24 ? w[80 + 8 * k + i - 16]
                                          : w[120 + 2 * k + i - 24]);
            p[i] = base3(digits, n);
        }
        put_f16(p + 26, m->scale[b]);
    }
}

/* ---- tiles: the packers of bitnet.cpp walk tile by tile, block by block, and append a byte at a time */

static void write_tl1(int64_t bm_tile, int64_t bk, int64_t bm) {
    int64_t by = 256 / bm, n = 0;
    for (int64_t row0 = 0; row0 < m->rows; row0 += bm_tile)
        for (int64_t col0 = 0; col0 < m->cols; col0 += bk)
            for (int64_t row1 = row0; row1 < row0 + bm_tile; row1 += bm)
                for (int64_t col1 = col0; col1 < col0 + bk; col1 += by)
                    for (int64_t row2 = row1; row2 < row1 + bm; row2 += 16)
                        for (int64_t col2 = col1; col2 < col1 + by; col2 += 4)
                            for (int64_t r = row2; r < row2 + 16; r++) {
                                int first = 3 * at(r, col2) + at(r, col2 + 1) + 4,
                                    second = 3 * at(r, col2 + 2) + at(r, col2 + 3) + 4;
                                m->raw[n++] = (uint8_t)(first << 4 | second);
                            }
    assert_int_equal(n, m->rows * m->cols / 4);
    memcpy(m->raw + n, m->scale, 4);
}

/* 32 rows of a column of bytes: rows 0-7, 16-23, 8-15, 24-31. */
static int64_t in_lane(int64_t lane) {
    return lane / 8 == 1 ? lane + 8 : lane / 8 == 2 ? lane - 8 : lane;
}

static int triple(int64_t row, int64_t col) {
    return 9 * at(row, col) + 3 * at(row, col + 1) + at(row, col + 2);
}

static void write_tl2(int64_t bm, int64_t bk) {
    int64_t k3 = m->cols / bk * bk, n = 0;
    for (int64_t row0 = 0; row0 < m->rows; row0 += bm) /* sizes */
        for (int64_t col0 = 0; col0 < k3; col0 += bk)
            for (int64_t row1 = row0; row1 < row0 + bm; row1 += 32)
                for (int64_t col1 = col0; col1 < col0 + bk; col1 += 6)
                    for (int64_t l = 0; l < 32; l++) {
                        int a = abs(triple(row1 + in_lane(l), col1)),
                            b = abs(triple(row1 + in_lane(l), col1 + 3));
                        m->raw[n++] = (uint8_t)(a << 4 | b);
                    }
    for (int64_t row0 = 0; row0 < m->rows;
         row0 += bm) /* signs: of 8 triples, a bit for the row and one for the row 16 on */
        for (int64_t col0 = 0; col0 < k3; col0 += bk)
            for (int64_t row1 = row0; row1 < row0 + bm; row1 += 32)
                for (int64_t col1 = col0; col1 < col0 + bk; col1 += 24)
                    for (int64_t j = 0; j < 16; j++) {
                        unsigned word = 0;
                        for (int64_t i = 0; i < 8; i++)
                            for (int64_t half = 0; half < 2; half++)
                                word = word << 1 | (triple(row1 + 16 * half + j, col1 + 3 * i) < 0);
                        m->raw[n++] = (uint8_t)word;
                        m->raw[n++] = (uint8_t)(word >> 8);
                    }
    for (int64_t row0 = 0; row0 < m->rows; row0 += bm) /* pairs */
        for (int64_t col0 = k3; col0 < m->cols; col0 += 32)
            for (int64_t row1 = row0; row1 < row0 + bm; row1 += 32)
                for (int64_t col1 = col0; col1 < col0 + 32; col1 += 4)
                    for (int64_t l = 0; l < 32; l++) {
                        int64_t r = row1 + in_lane(l);
                        int a = 3 * at(r, col1) + at(r, col1 + 1) + 4,
                            b = 3 * at(r, col1 + 2) + at(r, col1 + 3) + 4;
                        m->raw[n++] = (uint8_t)(a << 4 | b);
                    }
    assert_true(n <= (int64_t)m->bytes - 32);
    memcpy(m->raw + m->bytes - 32, m->scale, 4);
}

/* ---- write and read back */

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
    m = x;
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
            if (out[c] != at(r, c))
                fail_msg("%s %d x %d: row %d column %d is %d, expected %d", tn_encs[x->enc].name,
                         (int)x->rows, (int)x->cols, (int)r, (int)c, out[c], at(r, c));
    }
    free(out);
}

static void rows_and_blocks(void **state) {
    (void)state;
    Matrix *x = matrix(TN_ENC_iq2bn, 5, 192, 1);
    assert_int_equal(x->bytes, 5 * (4 + 48));
    write_iq2bn();
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_iq1bn, 5, 192, 1);
    assert_int_equal(x->bytes, 5 * (2 + 39));
    write_iq1bn();
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_iq2bn4, 8, 192, 1);
    assert_int_equal(x->bytes, 2 * (16 + 192));
    write_iq2bn4();
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_q2g64, 5, 192, 2);
    assert_int_equal(x->bytes, 15 * 18);
    write_q2(64);
    expect_back(x);
    destroy(x);
    x = matrix(TN_ENC_q2g128, 5, 384, 2);
    assert_int_equal(x->bytes, 15 * 34);
    write_q2(128);
    expect_back(x);
    destroy(x);
    static const TnEnc i2s[] = {TN_ENC_i2s64, TN_ENC_i2s4};
    for (int i = 0; i < 2; i++) {
        x = matrix(i2s[i], 8, 208, 1); /* rows begin inside blocks */
        assert_int_equal(x->bytes, 2 * 208 + 32);
        write_i2s();
        expect_back(x);
        destroy(x);
    }
    x = matrix(TN_ENC_ptq1, 5, 384, 1);
    assert_int_equal(x->bytes, 15 * 28);
    write_ptq1();
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
        write_tl1(shapes[i].tl1[0], shapes[i].tl1[1], shapes[i].tl1[2]);
        expect_back(x);
        destroy(x);
        x = matrix(TN_ENC_tl2, shapes[i].rows, shapes[i].cols, 1);
        write_tl2(shapes[i].tl2[0], shapes[i].tl2[1]);
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
    void (*write)(void);
} of_rows[] = {{TN_ENC_iq1bn, write_iq1bn}, {TN_ENC_iq2bn, write_iq2bn}, {TN_ENC_iq2bn4, write_iq2bn4}};

static void a_scale_a_row(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof of_rows / sizeof *of_rows; i++) {
        Matrix *x = matrix(of_rows[i].enc, 8, 128, 1);
        of_rows[i].write();
        assert_int_equal(scale_of(x).group, TN_GROUP_ROW);
        expect_scales(x, TN_GROUP_ROW);
        for (int r = 0; r < 8; r++) x->scale[r] = r == 5 ? 0.0f : 0.75f;
        memset(x->w + 5 * 128, 0, 128);
        memset(x->raw, 0, x->bytes);
        of_rows[i].write(); /* one scale, but for a row of zeros */
        assert_int_equal(scale_of(x).group, 0);
        assert_true(scale_of(x).scale == 0.75f);
        x->scale[2] = INFINITY;
        memset(x->raw, 0, x->bytes);
        of_rows[i].write();
        expect_refused(x, "tensor w: scale of row 2 is inf, expected a finite number");
        destroy(x);
    }
    Matrix *x = matrix(TN_ENC_iq2bn, 8, 128, 2);
    memset(x->w, 0, 2 * 128);
    x->w[2 * 128 + 9] = 2;
    write_iq2bn();
    expect_refused(x, "tensor w: row 2 holds code 3; ternary codes are 0 to 2");
    destroy(x);
}

static void a_scale_a_block(void **state) {
    (void)state;
    for (int b = 64; b <= 128; b += 64) {
        Matrix *x = matrix(b == 64 ? TN_ENC_q2g64 : TN_ENC_q2g128, 4, 256, 1);
        write_q2(b);
        assert_int_equal(scale_of(x).group, b);
        assert_false(scale_of(x).two);
        expect_scales(x, (uint32_t)b);
        x->raw[7] |= 0xc0;
        assert_true(scale_of(x).two); /* a code 3 is a weight here */
        for (int i = 0; i < 1024 / b; i++) x->scale[i] = 0.5f;
        memset(x->raw, 0, x->bytes);
        write_q2(b);
        assert_int_equal(scale_of(x).group, 0);
        assert_true(scale_of(x).scale == 0.5f);
        destroy(x);
    }
    Matrix *x = matrix(TN_ENC_ptq1, 4, 256, 1);
    write_ptq1();
    assert_int_equal(scale_of(x).group, 128);
    expect_scales(x, 128);
    put_f16(x->raw + 28 * 3 + 26, NAN);
    expect_refused(x, "tensor w: scale of block 3 is nan, expected a finite number");
    destroy(x);
}

static void a_scale_a_tensor(void **state) {
    (void)state;
    Matrix *x = matrix(TN_ENC_tl2, 64, 256, 1);
    write_tl2(64, 96);
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
    write_i2s();
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
