#include "support/gguf_trits.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"
#include "support/gguf_write.h"

static int at(const TnGtMatrix *m, int64_t row, int64_t col) {
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

void tn_gt_iq2bn(const TnGtMatrix *m) {
    int64_t row_bytes = 4 + m->cols / 4;
    for (int64_t r = 0; r < m->rows; r++) {
        memcpy(m->out + r * row_bytes, &m->scale[r], 4);
        for (int64_t c = 0; c < m->cols; c++)
            m->out[r * row_bytes + 4 + c / 64 * 16 + c % 16] |=
                (uint8_t)((at(m, r, c) + 1) << 2 * (c % 64 / 16));
    }
}

void tn_gt_iq2bn4(const TnGtMatrix *m) {
    int64_t group_bytes = 16 + m->cols;
    for (int64_t r = 0; r < m->rows; r++) {
        uint8_t *group = m->out + r / 4 * group_bytes, *codes = group + 16;
        memcpy(group + r % 4 * 4, &m->scale[r], 4);
        for (int64_t block = 0; block < m->cols / 64; block++)
            for (int64_t l = 0; l < 4; l++)
                for (int64_t i = 0; i < 4; i++)
                    for (int64_t q = 0; q < 4; q++)
                        codes[64 * block + 16 * l + 4 * (r % 4) + i] |=
                            (uint8_t)((at(m, r, 64 * block + 16 * l + i + 4 * q) + 1) << 2 * q);
    }
}

/* The least significant digit first: the number of digits 0 to 4 is that of digits 4 to 0 the other way round. */
void tn_gt_iq1bn(const TnGtMatrix *m) {
    int64_t row_bytes = 2 + m->cols / 64 * 13;
    for (int64_t r = 0; r < m->rows; r++) {
        put_f16(m->out + r * row_bytes, m->scale[r]);
        for (int64_t block = 0; block < m->cols / 64; block++) {
            uint8_t *b = m->out + r * row_bytes + 2 + 13 * block;
            int last[5] = {0};
            for (int64_t g = 0; g < 4; g++) {
                for (int64_t k = 0; k < 3; k++) {
                    int digits[5];
                    for (int64_t j = 0; j < 5; j++)
                        digits[4 - j] = at(m, r, 64 * block + 16 * g + 5 * k + j) + 1;
                    b[3 * g + k] = base3(digits, 5);
                }
                last[4 - g] = at(m, r, 64 * block + 16 * g + 15) + 1;
            }
            b[12] = base3(last, 5);
        }
    }
}

/* 64 codes of the flat matrix in 16 bytes. */
void tn_gt_i2s64(const TnGtMatrix *m) {
    for (int64_t e = 0; e < m->rows * m->cols; e++)
        m->out[e / 64 * 16 + e % 16] |= (uint8_t)((m->w[e] + 1) << (6 - 2 * (e % 64 / 16)));
}

/* Four rows in a byte. */
void tn_gt_i2s4(const TnGtMatrix *m) {
    for (int64_t r = 0; r < m->rows; r++)
        for (int64_t c = 0; c < m->cols; c++)
            m->out[r / 4 * m->cols + c] |= (uint8_t)((at(m, r, c) + 1) << (6 - 2 * (r % 4)));
}

/* f16 d, then code e at bits 2 (e mod 4) of byte e / 4. */
void tn_gt_q2(const TnGtMatrix *m, int64_t block) {
    for (int64_t b = 0; b < m->rows * m->cols / block; b++) {
        uint8_t *p = m->out + b * (2 + block / 4);
        put_f16(p, m->scale[b]);
        for (int64_t e = 0; e < block; e++)
            p[2 + e / 4] |= (uint8_t)((m->w[b * block + e] + 1) << 2 * (e % 4));
    }
}

/* Digit n of byte i of the first 16 is weight 16n + i; of the next 8, 80 + 8n + i; of the last 2, 120 + 2n + i. */
void tn_gt_ptq1(const TnGtMatrix *m) {
    for (int64_t b = 0; b < m->rows * m->cols / 128; b++) {
        uint8_t *p = m->out + b * 28;
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

void tn_gt_tl1(const TnGtMatrix *m, int64_t bm_tile, int64_t bk, int64_t bm) {
    int64_t by = 256 / bm, n = 0;
    for (int64_t row0 = 0; row0 < m->rows; row0 += bm_tile)
        for (int64_t col0 = 0; col0 < m->cols; col0 += bk)
            for (int64_t row1 = row0; row1 < row0 + bm_tile; row1 += bm)
                for (int64_t col1 = col0; col1 < col0 + bk; col1 += by)
                    for (int64_t row2 = row1; row2 < row1 + bm; row2 += 16)
                        for (int64_t col2 = col1; col2 < col1 + by; col2 += 4)
                            for (int64_t r = row2; r < row2 + 16; r++) {
                                int first = 3 * at(m, r, col2) + at(m, r, col2 + 1) + 4,
                                    second = 3 * at(m, r, col2 + 2) + at(m, r, col2 + 3) + 4;
                                m->out[n++] = (uint8_t)(first << 4 | second);
                            }
    memcpy(m->out + n, m->scale, 4);
}

/* 32 rows of a column of bytes: rows 0-7, 16-23, 8-15, 24-31. */
static int64_t in_lane(int64_t lane) {
    return lane / 8 == 1 ? lane + 8 : lane / 8 == 2 ? lane - 8 : lane;
}

static int triple(const TnGtMatrix *m, int64_t row, int64_t col) {
    return 9 * at(m, row, col) + 3 * at(m, row, col + 1) + at(m, row, col + 2);
}

void tn_gt_tl2(const TnGtMatrix *m, int64_t bm, int64_t bk) {
    int64_t k3 = m->cols / bk * bk, n = 0;
    for (int64_t row0 = 0; row0 < m->rows; row0 += bm) /* sizes */
        for (int64_t col0 = 0; col0 < k3; col0 += bk)
            for (int64_t row1 = row0; row1 < row0 + bm; row1 += 32)
                for (int64_t col1 = col0; col1 < col0 + bk; col1 += 6)
                    for (int64_t l = 0; l < 32; l++) {
                        int a = abs(triple(m, row1 + in_lane(l), col1)),
                            b = abs(triple(m, row1 + in_lane(l), col1 + 3));
                        m->out[n++] = (uint8_t)(a << 4 | b);
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
                                word = word << 1 | (triple(m, row1 + 16 * half + j, col1 + 3 * i) < 0);
                        m->out[n++] = (uint8_t)word;
                        m->out[n++] = (uint8_t)(word >> 8);
                    }
    for (int64_t row0 = 0; row0 < m->rows; row0 += bm) /* pairs */
        for (int64_t col0 = k3; col0 < m->cols; col0 += 32)
            for (int64_t row1 = row0; row1 < row0 + bm; row1 += 32)
                for (int64_t col1 = col0; col1 < col0 + 32; col1 += 4)
                    for (int64_t l = 0; l < 32; l++) {
                        int64_t r = row1 + in_lane(l);
                        int a = 3 * at(m, r, col1) + at(m, r, col1 + 1) + 4,
                            b = 3 * at(m, r, col1 + 2) + at(m, r, col1 + 3) + 4;
                        m->out[n++] = (uint8_t)(a << 4 | b);
                    }
    memcpy(m->out + m->bytes - 32, m->scale, 4);
}

/* ---- by the number of the type */

/* The largest power of two that divides n, at most `most`: a tile where bitnet.cpp has none of its own. */
static int64_t tile(uint64_t n, uint64_t most) {
    uint64_t p = 1;
    while (p < most && n % (2 * p) == 0) p *= 2;
    return (int64_t)p;
}

uint64_t tn_gt_group(uint32_t type) {
    if (type == GW_T_TQ1_0 || type == GW_T_TQ2_0) return 256;
    if (type == GW_T_Q2_0) return 64;
    if (type == GW_T_Q2_0_128 || type == GW_T_PQ2_0 || type == GW_T_PTQ1_0) return 128;
    return type == GW_T_IQ1_BN || type == GW_T_IQ2_BN || type == GW_T_IQ2_BN_R4 ? UINT64_MAX : 0;
}

void tn_gt_pack(uint32_t type, const int8_t *t, uint64_t rows, uint64_t cols, const float *scales,
                uint8_t *out) {
    TnGtMatrix m = {(int64_t)rows, (int64_t)cols, t,
                    scales,        out,           tn_gw_tensor_bytes(type, 2, (uint64_t[]){cols, rows})};
    if (type == GW_T_IQ1_BN) tn_gt_iq1bn(&m);
    if (type == GW_T_IQ2_BN) tn_gt_iq2bn(&m);
    if (type == GW_T_IQ2_BN_R4) tn_gt_iq2bn4(&m);
    if (type == GW_T_PTQ1_0) tn_gt_ptq1(&m);
    if (type == GW_T_Q2_0) tn_gt_q2(&m, 64);
    if (type == GW_T_Q2_0_128 || type == GW_T_PQ2_0) tn_gt_q2(&m, 128);
    if (type == GW_T_TL1) tn_gt_tl1(&m, tile(rows, 256), tile(cols, 128), 32);
    if (type == GW_T_TL2) tn_gt_tl2(&m, tile(rows, 256), 96);
}
