/* Packs ternary weights. All these types store a weight t as the code t + 1, four codes a byte or five digits to the base 3:
 *
 *   i2_s    128 weights in 32 bytes: weight j in byte j % 32, the first 32 in the highest two bits. Blocks run over the whole
 *           matrix. Its one scale follows the last block in f32, in 32 bytes of which the rest is 0
 *   tq2_0   256 weights: 64 bytes, in each half of which weight j is in byte j % 32, the first 32 in the lowest two bits; scale
 *   tq1_0   256 weights: 48 bytes of five digits, 4 bytes of four; scale. A byte is a fraction: its first digit is the highest
 *   q2_0    64 weights: scale; 16 bytes, four neighbours in each, the first in the lowest two bits
 *   pq2_0   the same with 128 weights
 *   ptq1_0  128 weights, as tq1_0: 24 bytes of five digits, 2 bytes of four; scale
 *
 * The scales of blocks are f16. */
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/half.h"
#include "runtime/base/reader.h"

static const TnTritType types[] = {
    {"i2_s", 36, 40, 0, 0, false},  {"tq2_0", 35, 37, 256, 66, false},  {"tq1_0", 34, 36, 256, 54, false},
    {"q2_0", 42, 41, 64, 18, true}, {"pq2_0", 142, 141, 128, 34, true}, {"ptq1_0", 143, 143, 128, 28, false},
};
enum { I2_S = 36, TQ2_0 = 35, TQ1_0 = 34, PTQ1_0 = 143, I2_S_TAIL = 32 };

const TnTritType *tn_trit_type_row(size_t i) {
    return i < TN_COUNT(types) ? &types[i] : NULL;
}

const TnTritType *tn_trit_type(const char *name) {
    for (size_t i = 0; i < TN_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

size_t tn_trit_bytes(const TnTritType *t, uint64_t rows, uint64_t cols) {
    size_t n;
    if (!tn_mul(rows, cols, &n)) return 0;
    if (t->block) return cols % t->block ? 0 : n / t->block * t->bytes;
    return n % 128 ? 0 : n / 4 + I2_S_TAIL;
}

static uint8_t code(int8_t t) {
    return (uint8_t)(t + 1);
}

static void pack_i2s(const int8_t *t, uint8_t *out) {
    for (int m = 0; m < 32; m++)
        out[m] = (uint8_t)(code(t[m]) << 6 | code(t[m + 32]) << 4 | code(t[m + 64]) << 2 | code(t[m + 96]));
}

/* Reads t[at], t[at + step], ..: `n` digits, as a fraction of 243. */
static uint8_t base3(const int8_t *t, int step, int n) {
    uint32_t q = 0;
    for (int i = 0; i < 5; i++) q = q * 3 + (i < n ? code(t[i * step]) : 0);
    return (uint8_t)((q * 256 + 242) / 243);
}

static void pack_tq1(const int8_t *t, uint8_t *out) {
    for (int m = 0; m < 32; m++) out[m] = base3(t + m, 32, 5);
    for (int m = 0; m < 16; m++) out[32 + m] = base3(t + 160 + m, 16, 5);
    for (int m = 0; m < 4; m++) out[48 + m] = base3(t + 240 + m, 4, 4);
}

static void pack_ptq1(const int8_t *t, uint8_t *out) {
    for (int m = 0; m < 16; m++) out[m] = base3(t + m, 16, 5);
    for (int m = 0; m < 8; m++) out[16 + m] = base3(t + 80 + m, 8, 5);
    for (int m = 0; m < 2; m++) out[24 + m] = base3(t + 120 + m, 2, 4);
}

static void pack_tq2(const int8_t *t, uint8_t *out) {
    for (int half = 0; half < 2; half++, t += 128)
        for (int m = 0; m < 32; m++)
            *out++ =
                (uint8_t)(code(t[m]) | code(t[m + 32]) << 2 | code(t[m + 64]) << 4 | code(t[m + 96]) << 6);
}

static void pack_neighbours(const int8_t *t, uint32_t n, uint8_t *out) {
    for (uint32_t i = 0; i < n; i += 4)
        *out++ = (uint8_t)(code(t[i]) | code(t[i + 1]) << 2 | code(t[i + 2]) << 4 | code(t[i + 3]) << 6);
}

static void pack_block(const TnTritType *t, const int8_t *trits, float scale, uint8_t *out) {
    uint16_t d = tn_f32_to_f16(scale);
    if (t->id == TQ2_0 || t->id == TQ1_0 || t->id == PTQ1_0) {
        (t->id == TQ2_0 ? pack_tq2 : t->id == TQ1_0 ? pack_tq1 : pack_ptq1)(trits, out);
        memcpy(out + t->bytes - 2, &d, 2);
        return;
    }
    memcpy(out, &d, 2);
    pack_neighbours(trits, t->block, out + 2);
}

size_t tn_trit_pack(const TnTritType *t, const int8_t *trits, const float *scales, size_t n, uint8_t *out) {
    uint8_t *at = out;
    size_t block = t->block ? t->block : 128;
    TN_CHECK(n % block == 0);
    for (size_t i = 0; i < n; i += block) {
        if (t->id == I2_S)
            pack_i2s(trits + i, at);
        else
            pack_block(t, trits + i, scales[i / block], at);
        at += t->block ? t->bytes : 32;
    }
    return (size_t)(at - out);
}
