/* The blocks of ternary weights: those of files, and p64.
 *
 * Two bits hold a code w + 1. Code 3 is not a ternary weight; encodings that allow it use it for +2. Base 3 puts five
 * weights into a byte: their digits w + 1 form a number q below 243, and the byte is the fraction q/243 of 256, rounded up.
 * So the most significant digit is the integer part of three times the fraction, and the rest is a fraction again. */
#include "ir/stored_blocks.h"

/* ---- two bits */

static void block_i2s(const uint8_t *b, int8_t *restrict out) {
    for (int m = 0; m < 32; m++) out[m] = (int8_t)((b[m] >> 6) - 1);
    for (int m = 0; m < 32; m++) out[32 + m] = (int8_t)((b[m] >> 4 & 3) - 1);
    for (int m = 0; m < 32; m++) out[64 + m] = (int8_t)((b[m] >> 2 & 3) - 1);
    for (int m = 0; m < 32; m++) out[96 + m] = (int8_t)((b[m] & 3) - 1);
}

static void block_i2s64(const uint8_t *b, int8_t *restrict out) {
    for (int q = 0; q < 4; q++)
        for (int m = 0; m < 16; m++) out[16 * q + m] = (int8_t)((b[m] >> (6 - 2 * q) & 3) - 1);
}

static void block_tq2(const uint8_t *b, int8_t *restrict out) {
    for (int h = 0; h < 2; h++)
        for (int l = 0; l < 4; l++)
            for (int m = 0; m < 32; m++)
                out[128 * h + 32 * l + m] = (int8_t)((b[32 * h + m] >> 2 * l & 3) - 1);
}

static void block_p64(const uint8_t *b, int8_t *restrict out) {
    for (int q = 0; q < 4; q++)
        for (int j = 0; j < 64; j++) out[64 * q + j] = (int8_t)((b[j] >> 2 * q & 3) - 1);
}

static void block_iq2bn(const uint8_t *b, int8_t *restrict out) {
    for (int l = 0; l < 4; l++)
        for (int j = 0; j < 16; j++) out[16 * l + j] = (int8_t)((b[j] >> 2 * l & 3) - 1);
}

/* After the scale, each byte has four neighbours. */
static inline void neighbours(const uint8_t *b, int n, int8_t *restrict out) {
    for (int i = 0; i < n; i += 4, out += 4) {
        int c = b[2 + i / 4];
        out[0] = (int8_t)((c & 3) - 1);
        out[1] = (int8_t)((c >> 2 & 3) - 1);
        out[2] = (int8_t)((c >> 4 & 3) - 1);
        out[3] = (int8_t)((c >> 6) - 1);
    }
}

static void block_q2g64(const uint8_t *b, int8_t *restrict out) {
    neighbours(b, 64, out);
}

static void block_q2g128(const uint8_t *b, int8_t *restrict out) {
    neighbours(b, 128, out);
}

/* ---- base 3 */

static const uint8_t pow3[5] = {1, 3, 9, 27, 81};

/* Digit n of a byte as a weight; the most significant digit is number 0. */
static int8_t digit(uint8_t b, int n) {
    return (int8_t)(((uint8_t)(b * pow3[n]) * 3 >> 8) - 1);
}

/* Decodes digits * width weights from `width` bytes: first the first digit of every byte, then the second, and so on. */
static inline void by_digits(const uint8_t *b, int digits, int width, int8_t *restrict out) {
    for (int n = 0; n < digits; n++)
        for (int m = 0; m < width; m++) out[n * width + m] = digit(b[m], n);
}

static void block_tq1(const uint8_t *b, int8_t *restrict out) {
    by_digits(b, 5, 32, out);
    by_digits(b + 32, 5, 16, out + 160);
    by_digits(b + 48, 4, 4, out + 240);
}

static void block_ptq1(const uint8_t *b, int8_t *restrict out) {
    by_digits(b, 5, 16, out);
    by_digits(b + 16, 5, 8, out + 80);
    by_digits(b + 24, 4, 2, out + 120);
}

/* The first digit is the least significant. For every 16 weights, three bytes hold five each; the last byte of the block
 * holds the sixteenth weight of all four sixteens. */
static void block_iq1bn(const uint8_t *b, int8_t *restrict out) {
    for (int g = 0; g < 4; g++) {
        for (int i = 0; i < 15; i++) out[16 * g + i] = digit(b[3 * g + i / 5], 4 - i % 5);
        out[16 * g + 15] = digit(b[12], 4 - g);
    }
}

TnBlockTrits *tn_block_trits(TnEnc enc) {
    static TnBlockTrits *const of[TN_ENC_COUNT] = {
        [TN_ENC_i2s] = block_i2s,     [TN_ENC_i2s64] = block_i2s64, [TN_ENC_tq1] = block_tq1,
        [TN_ENC_tq2] = block_tq2,     [TN_ENC_p64] = block_p64,     [TN_ENC_iq1bn] = block_iq1bn,
        [TN_ENC_iq2bn] = block_iq2bn, [TN_ENC_q2g64] = block_q2g64, [TN_ENC_q2g128] = block_q2g128,
        [TN_ENC_ptq1] = block_ptq1};
    return of[enc];
}
