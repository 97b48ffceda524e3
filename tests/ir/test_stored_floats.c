/* Blocks of stored numbers with random bits, compared with decoders of one element at a time that were written from the
 * descriptions of the formats alone. */
#include <math.h>
#include "tests/ir/tir_text.h"

static double half_at(const uint8_t *p) {
    return (double)tn_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* Nibble e of 32: the low halves of 16 bytes, then the high ones. */
static int nibble(const uint8_t *qs, size_t e) {
    return e < 16 ? qs[e] & 15 : qs[e - 16] >> 4;
}
static int fifth(const uint8_t *qh, size_t e) {
    return (qh[e / 8] >> e % 8 & 1) * 16;
}

static double q4_0_at(const uint8_t *b, size_t e) {
    return half_at(b) * (nibble(b + 2, e) - 8);
}
static double q4_1_at(const uint8_t *b, size_t e) {
    return half_at(b) * nibble(b + 4, e) + half_at(b + 2);
}
static double q5_0_at(const uint8_t *b, size_t e) {
    return half_at(b) * (nibble(b + 6, e) + fifth(b + 2, e) - 16);
}
static double q5_1_at(const uint8_t *b, size_t e) {
    return half_at(b) * (nibble(b + 8, e) + fifth(b + 4, e)) + half_at(b + 2);
}
static double q8_0_at(const uint8_t *b, size_t e) {
    return half_at(b) * (int8_t)b[2 + e];
}

/* Sign, two bits of exponent, one of mantissa. */
static double mxfp4_at(const uint8_t *b, size_t e) {
    int code = nibble(b + 1, e), exponent = code >> 1 & 3, mantissa = code & 1;
    double x = exponent ? ldexp(1 + mantissa / 2.0, exponent - 1) : mantissa / 2.0;
    return b[0] == 255 ? (double)NAN : ldexp(code & 8 ? -x : x, b[0] - 127);
}

/* The j-th 6-bit scale and minimum of the twelve bytes at s. */
static void scale_min(const uint8_t *s, size_t j, int *scale, int *least) {
    if (j < 4) {
        *scale = s[j] & 63;
        *least = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) + (s[j - 4] >> 6) * 16;
        *least = (s[j + 4] >> 4) + (s[j] >> 6) * 16;
    }
}
static double k_at(const uint8_t *b, size_t e, const uint8_t *high, const uint8_t *qs) {
    int scale, least;
    size_t pair = e / 64, in = e % 64;
    scale_min(b + 4, e / 32, &scale, &least);
    int q = in < 32 ? qs[32 * pair + in] & 15 : qs[32 * pair + in - 32] >> 4;
    if (high) q += (high[e % 32] >> e / 32 & 1) * 16;
    return half_at(b) * scale * q - half_at(b + 2) * least;
}
static double q4_k_at(const uint8_t *b, size_t e) {
    return k_at(b, e, NULL, b + 16);
}
static double q5_k_at(const uint8_t *b, size_t e) {
    return k_at(b, e, b + 16, b + 48);
}
static double q6_k_at(const uint8_t *b, size_t e) {
    size_t h = e / 128, in = e % 128, l = in % 32, part = in / 32;
    unsigned low = b[64 * h + l + 32 * (part & 1)] >> 4 * (part / 2) & 15;
    unsigned high = b[128 + 32 * h + l] >> 2 * part & 3;
    return half_at(b + 208) * (int8_t)b[192 + 8 * h + l / 16 + 2 * part] * ((int)(low | high << 4) - 32);
}

static const struct {
    TnEnc enc;
    double (*at)(const uint8_t *block, size_t e);
} formats[] = {{TN_ENC_q4_0, q4_0_at}, {TN_ENC_q4_1, q4_1_at}, {TN_ENC_q5_0, q5_0_at},
               {TN_ENC_q5_1, q5_1_at}, {TN_ENC_q8_0, q8_0_at}, {TN_ENC_mxfp4, mxfp4_at},
               {TN_ENC_q4_k, q4_k_at}, {TN_ENC_q5_k, q5_k_at}, {TN_ENC_q6_k, q6_k_at}};

/* Scales are any halves, numbers or not; for MXFP4 every exponent comes in turn. */
static void blocks_decode(void **state) {
    (void)state;
    enum { ROWS = 300, K = 768 };
    float *out = malloc(K * sizeof *out);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        TnType t = tn_type(formats[i].enc, 2, (TnDim)ROWS, (TnDim)K);
        size_t elems = tn_encs[t.enc].block_elems, bytes = tn_encs[t.enc].block_bytes,
               row = K / elems * bytes;
        uint8_t *raw = malloc(ROWS * row);
        assert_int_equal(tn_raw_bytes(&t), ROWS * row);
        random_bytes(raw, ROWS * row);
        for (size_t r = 0; r < ROWS && t.enc == TN_ENC_mxfp4; r++) raw[r * row] = (uint8_t)r;
        for (int64_t r = 0; r < ROWS; r++) {
            memset(out, 0x55, K * sizeof *out);
            tn_decode_raw(&t, raw, r, out);
            for (size_t c = 0; c < K; c++) {
                double want = formats[i].at(raw + (size_t)r * row + c / elems * bytes, c % elems);
                if (want != want ? out[c] == out[c] : out[c] != (float)want)
                    fail_msg("%s: row %d column %zu is %g, expected %g", tn_encs[t.enc].name, (int)r, c,
                             (double)out[c], want);
            }
        }
        free(raw);
    }
    free(out);
}

/* I8_S has no blocks: codes of the whole tensor, then their scale. */
static void one_scale_after_all_codes(void **state) {
    (void)state;
    enum { ROWS = 5, K = 37 };
    TnType t = tn_type(TN_ENC_i8s, 2, (TnDim)ROWS, (TnDim)K);
    uint8_t raw[ROWS * K + 32];
    const float scale = 0.03125f * 1.3f;
    assert_int_equal(tn_raw_bytes(&t), sizeof raw);
    for (int i = 0; i < ROWS * K; i++) raw[i] = (uint8_t)(i * 83);
    memset(raw + sizeof raw - 32, 0xff, 32);
    memcpy(raw + sizeof raw - 32, &scale, 4);
    for (int r = 0; r < ROWS; r++) {
        float out[K];
        if (r % 2)
            tn_decode_raw(&t, raw, r, out);
        else
            tn_decode_row(&t, raw, r, out);
        for (int c = 0; c < K; c++) {
            int code = (r * K + c) * 83 % 256;
            assert_true(out[c] == scale * (float)(code < 128 ? code : code - 256));
        }
    }
}

/* Each of them as the table of an embedding and of a head. */
static void tables_of_blocks(void **state) {
    (void)state;
    for (TnEnc e = 0; e < TN_ENC_COUNT; e++) {
        if (!tn_enc_is_blocks(e)) continue;
        size_t known = e == TN_ENC_i8s;
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) known += formats[i].enc == e;
        if (!known) fail_msg("%s has no reader here", tn_encs[e].name);
        TnBuf body = {0};
        tn_buf_printf(&body,
                      "  %%ids: i32[T] = input {name=\"ids\"}\n"
                      "  $w: %s[3,256] = gguf {name=\"w\", hash=0x0}\n"
                      "  %%x: f32[T,256] = embed %%ids, $w\n"
                      "  %%y: f32[T,3] = matmul %%x, $w\n"
                      "  $f: f32[3,256] = pack $w\n",
                      tn_encs[e].name);
        tn_graph_destroy(graph_of(body.data));
        tn_buf_free(&body);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_decode),
        cmocka_unit_test(one_scale_after_all_codes),
        cmocka_unit_test(tables_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
