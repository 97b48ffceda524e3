/* The blocks of numbers that ggml stores for tables and heads.
 *
 * A block has a scale d as f16, and codes of a few bits, which are split: the low four bits of two elements share a
 * byte of qs, a fifth and a sixth bit are in qh. An element is d*q, if codes are around 0, or d*q + m, where m is a
 * minimum of the block. The K encodings divide 256 elements into groups, each with a scale of its own, a small integer
 * that multiplies d. The offsets below are those of the file format. */
#include "ir/stored_blocks.h"

#include <math.h>
#include <string.h>
#include "runtime/base/half.h"

static uint32_t u32_at(const uint8_t *p) {
    uint32_t u;
    memcpy(&u, p, 4);
    return u;
}

/* ---- 32 elements: byte j of qs has elements j and 16 + j, bit j of qh the fifth bit of element j */

static void block_q4_0(const uint8_t *b, float *restrict out) {
    const uint8_t *qs = b + 2;
    float d = tn_f16_at(b);
    for (int j = 0; j < 16; j++) out[j] = d * (float)((qs[j] & 15) - 8);
    for (int j = 0; j < 16; j++) out[16 + j] = d * (float)((qs[j] >> 4) - 8);
}

static void block_q4_1(const uint8_t *b, float *restrict out) {
    const uint8_t *qs = b + 4;
    float d = tn_f16_at(b), m = tn_f16_at(b + 2);
    for (int j = 0; j < 16; j++) out[j] = d * (float)(qs[j] & 15) + m;
    for (int j = 0; j < 16; j++) out[16 + j] = d * (float)(qs[j] >> 4) + m;
}

static void five_bits(const uint8_t *qs, uint32_t qh, int q[32]) {
    for (int j = 0; j < 16; j++) q[j] = (qs[j] & 15) | (int)(qh >> j & 1) << 4;
    for (int j = 0; j < 16; j++) q[16 + j] = (qs[j] >> 4) | (int)(qh >> (16 + j) & 1) << 4;
}

static void block_q5_0(const uint8_t *b, float *restrict out) {
    float d = tn_f16_at(b);
    int q[32];
    five_bits(b + 6, u32_at(b + 2), q);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(q[j] - 16);
}

static void block_q5_1(const uint8_t *b, float *restrict out) {
    float d = tn_f16_at(b), m = tn_f16_at(b + 2);
    int q[32];
    five_bits(b + 8, u32_at(b + 4), q);
    for (int j = 0; j < 32; j++) out[j] = d * (float)q[j] + m;
}

static void block_q8_0(const uint8_t *b, float *restrict out) {
    float d = tn_f16_at(b);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)b[2 + i];
}

/* The scale is a power of two, 2^(e - 127); e = 255 is NaN. A code is a float of 4 bits; the table has its double. */
static void block_mxfp4(const uint8_t *b, float *restrict out) {
    static const int8_t twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    float half = b[0] == 255 ? NAN : ldexpf(1.0f, b[0] - 128);
    for (int j = 0; j < 16; j++) out[j] = half * (float)twice[b[1 + j] & 15];
    for (int j = 0; j < 16; j++) out[16 + j] = half * (float)twice[b[1 + j] >> 4];
}

/* ---- 256 elements */

/* Unpacks the twelve bytes of eight groups of 32: six bits of scale and six of minimum for each. */
static void groups_of_32(const uint8_t *b, float scale[8], float least[8]) {
    const uint8_t *s = b + 4;
    float d = tn_f16_at(b), m = tn_f16_at(b + 2);
    for (int g = 0; g < 4; g++) {
        scale[g] = d * (float)(s[g] & 63);
        least[g] = m * (float)(s[4 + g] & 63);
        scale[4 + g] = d * (float)((s[8 + g] & 15) | (s[g] >> 6) << 4);
        least[4 + g] = m * (float)((s[8 + g] >> 4) | (s[4 + g] >> 6) << 4);
    }
}

/* Group g has the low half of 32 bytes of qs if g is even, the high half if it is odd, and bit g of 32 bytes of qh if the
 * encoding has qh. */
static void block_of_groups(const uint8_t *b, const uint8_t *qh, const uint8_t *qs, float *restrict out) {
    float scale[8], least[8];
    groups_of_32(b, scale, least);
    for (int g = 0; g < 8; g++)
        for (int l = 0; l < 32; l++) {
            int q = qs[32 * (g / 2) + l] >> 4 * (g % 2) & 15;
            if (qh) q |= (qh[l] >> g & 1) << 4;
            out[32 * g + l] = scale[g] * (float)q - least[g];
        }
}

static void block_q4_k(const uint8_t *b, float *restrict out) {
    block_of_groups(b, NULL, b + 16, out);
}

static void block_q5_k(const uint8_t *b, float *restrict out) {
    block_of_groups(b, b + 16, b + 48, out);
}

static void block_q6_k(const uint8_t *b, float *restrict out) {
    float d = tn_f16_at(b + 208);
    for (int half = 0; half < 2; half++) {
        const uint8_t *ql = b + 64 * half, *qh = b + 128 + 32 * half;
        float ds[8], *o = out + 128 * half;
        for (int i = 0; i < 8; i++) ds[i] = d * (float)(int8_t)b[192 + 8 * half + i];
        for (int l = 0; l < 32; l++) {
            int g = l / 16;
            o[l] = ds[g] * (float)(((ql[l] & 15) | (qh[l] & 3) << 4) - 32);
            o[l + 32] = ds[g + 2] * (float)(((ql[l + 32] & 15) | (qh[l] >> 2 & 3) << 4) - 32);
            o[l + 64] = ds[g + 4] * (float)(((ql[l] >> 4) | (qh[l] >> 4 & 3) << 4) - 32);
            o[l + 96] = ds[g + 6] * (float)(((ql[l + 32] >> 4) | (qh[l] >> 6) << 4) - 32);
        }
    }
}

TnBlockFloats *tn_block_floats(TnEnc enc) {
    static TnBlockFloats *const of[TN_ENC_COUNT] = {
        [TN_ENC_q4_0] = block_q4_0, [TN_ENC_q4_1] = block_q4_1, [TN_ENC_q5_0] = block_q5_0,
        [TN_ENC_q5_1] = block_q5_1, [TN_ENC_q8_0] = block_q8_0, [TN_ENC_mxfp4] = block_mxfp4,
        [TN_ENC_q4_k] = block_q4_k, [TN_ENC_q5_k] = block_q5_k, [TN_ENC_q6_k] = block_q6_k};
    return of[enc];
}
