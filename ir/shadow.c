/* Shadow tables (ir/shadow.h): one scale a row, codes rounded to nearest.
 *
 * A row's scale is its largest magnitude divided by the largest code. A scale for each group of columns would make the error
 * of six bits a third smaller, but the sums a third more expensive. Reranking begins with the most promising row, so the
 * larger error costs only a few more rows (docs/decisions.md). */
#include "ir/shadow.h"

#include <math.h>
#include <string.h>
#include "ir/eval_ops.h"
#include "runtime/base/half.h"
#include "runtime/base/reader.h"

#define TINY 0x1p-100f /* below this 127 / a could overflow; the codes of such rows are 0 */
#define UP   (1.0 + 0x1p-20)

static float most_code(const TnType *t) {
    return t->enc == TN_ENC_s8 ? 127.0f : 31.0f;
}

/* The largest magnitude; infinity for NaN. */
static float largest(const float *row, size_t k) {
    uint32_t top = 0;
    for (size_t i = 0; i < k; i++) {
        uint32_t u = tn_f32_bits(row[i]) & 0x7fffffffu;
        top = u > top ? u : top;
    }
    return top < 0x7f800000u ? tn_bits_f32(top) : INFINITY;
}

static bool has_codes(float a) {
    return a >= TINY && a < INFINITY;
}

/* Nearest integer of a small number, without a call. */
TN_HOT float nearest(float x) {
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

TN_AVX2_CLONES static void quantise(const float *row, size_t k, float f, int8_t *restrict out) {
    for (size_t i = 0; i < k; i++) out[i] = (int8_t)nearest(row[i] * f);
}

static void put_s6(const int8_t *c, uint8_t *o) {
    uint8_t u[256];
    for (int i = 0; i < 256; i++) u[i] = (uint8_t)(c[i] + 32);
    for (int j = 0; j < 64; j++) {
        o[j] = (uint8_t)((u[j] & 15) | (u[64 + j] & 15) << 4);
        o[64 + j] = (uint8_t)((u[128 + j] & 15) | (u[192 + j] & 15) << 4);
        o[128 + j] = (uint8_t)(u[j] >> 4 | u[64 + j] >> 4 << 2 | u[128 + j] >> 4 << 4 | u[192 + j] >> 4 << 6);
    }
}

static void get_s6(const uint8_t *o, int8_t *c) {
    for (int j = 0; j < 64; j++)
        for (int q = 0; q < 4; q++) {
            int low = o[64 * (q / 2) + j] >> 4 * (q % 2) & 15, high = o[128 + j] >> 2 * q & 3;
            c[64 * q + j] = (int8_t)((low | high << 4) - 32);
        }
}

void tn_shadow_encode(const TnType *t, const float *row, void *out_row) {
    size_t k = (size_t)t->dim[1], step = tn_encs[t->enc].block_elems;
    float a = largest(row, k), f = has_codes(a) ? most_code(t) / a : 0.0f;
    uint8_t *out = out_row;
    for (size_t i = 0; i < k; i += step) {
        int8_t c[256] = {0};
        if (f > 0.0f) quantise(row + i, k - i < step ? k - i : step, f, c);
        if (t->enc == TN_ENC_s8)
            for (size_t j = 0; j < step; j++) *out++ = (uint8_t)(c[j] + 128);
        else
            put_s6(c, out), out += 192;
    }
}

void tn_shadow_codes(const TnType *t, const void *row, int8_t *out) {
    size_t k = (size_t)t->dim[1];
    const uint8_t *p = row;
    if (t->enc == TN_ENC_s8) {
        for (size_t i = 0; i < k; i++) out[i] = (int8_t)(p[i] - 128);
        return;
    }
    for (size_t i = 0; i < k; i += 256, p += 192) {
        int8_t c[256];
        get_s6(p, c);
        memcpy(out + i, c, k - i < 256 ? k - i : 256);
    }
}

/* Sums of squares of the row, of the values of its codes, and of the difference. In double the square of a float is
 * exact, and the relative error of a sum of 2^17 of them is at most 2^-35; rounding up by 2^-20 covers it. */
typedef struct Squares {
    double w, codes, error;
} Squares;

TN_AVX2_CLONES static void add_squares(const float *row, size_t k, float f, double scale, Squares *out) {
    enum { LANES = 8 };
    double w2[LANES] = {0}, c2[LANES] = {0}, e2[LANES] = {0};
    for (size_t i = 0; i + LANES <= k; i += LANES)
        for (int j = 0; j < LANES; j++) {
            double w = (double)row[i + (size_t)j], c = (double)nearest(row[i + (size_t)j] * f) * scale,
                   e = w - c;
            w2[j] += w * w;
            c2[j] += c * c;
            e2[j] += e * e;
        }
    for (size_t i = k / LANES * LANES; i < k; i++) {
        double w = (double)row[i], c = (double)nearest(row[i] * f) * scale, e = w - c;
        w2[0] += w * w;
        c2[0] += c * c;
        e2[0] += e * e;
    }
    *out = (Squares){0};
    for (int j = 0; j < LANES; j++) {
        out->w += w2[j];
        out->codes += c2[j];
        out->error += e2[j];
    }
}

/* The root of a sum of squares, rounded up; the addend covers roots too small for a float. */
static float root_up(double squares) {
    return (float)(sqrt(squares) * UP) + 0x1p-126f;
}

TnRowFacts tn_shadow_facts(const TnType *t, const float *row) {
    size_t k = (size_t)t->dim[1];
    float a = largest(row, k), f = 0.0f;
    TnRowFacts r = {0.0f, INFINITY, INFINITY};
    if (!(a < INFINITY)) return r;
    if (has_codes(a)) {
        f = most_code(t) / a;
        r.scale = a / most_code(t);
    }
    Squares s;
    add_squares(row, k, f, (double)r.scale, &s);
    r.error = root_up(s.error);
    r.norm = root_up(s.w > s.codes ? s.w : s.codes);
    return r;
}

TnRowFacts tn_shadow_row_facts(const TnType *t, const void *table, int64_t r) {
    size_t array = tn_shadow_array_bytes(t);
    const uint8_t *p = (const uint8_t *)table + (size_t)t->dim[0] * tn_row_bytes(t) + 4 * (size_t)r;
    TnRowFacts f;
    memcpy(&f.scale, p, 4);
    memcpy(&f.error, p + array, 4);
    memcpy(&f.norm, p + 2 * array, 4);
    return f;
}

float tn_shadow_radius(float x, float y, float error, float norm) {
    return x * norm < 0x1p126f ? fmaf(y, norm, fmaf(x, error, 0x1p-120f)) : INFINITY;
}
