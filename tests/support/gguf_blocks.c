#include "support/gguf_blocks.h"

#include <math.h>
#include <string.h>
#include "runtime/base/half.h"
#include "support/gguf_write.h"

static const struct {
    uint32_t type;
    TnGbBlock block;
} blocks[] = {{GW_T_Q4_0, {32, 18}},  {GW_T_Q4_1, {32, 20}},   {GW_T_Q5_0, {32, 22}},  {GW_T_Q5_1, {32, 24}},
              {GW_T_MXFP4, {32, 17}}, {GW_T_Q4_K, {256, 144}}, {GW_T_Q5_K, {256, 176}}};

TnGbBlock tn_gb_block(uint32_t type) {
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i].type == type) return blocks[i].block;
    return (TnGbBlock){0};
}

static int nearest(double v, int lo, int hi) {
    double r = rint(v);
    return r < lo ? lo : r > hi ? hi : (int)r;
}

static void range(const float *x, size_t n, float *lo, float *hi) {
    *lo = *hi = x[0];
    for (size_t i = 1; i < n; i++) {
        if (x[i] < *lo) *lo = x[i];
        if (x[i] > *hi) *hi = x[i];
    }
}

static double put_half(uint8_t *out, double v) {
    uint16_t h = tn_f32_to_f16((float)v);
    memcpy(out, &h, 2);
    return (double)tn_f16_to_f32(h);
}

/* Codes of `bits` around 0, or from the least number on where the type has one. */
static void pack_32(uint32_t type, const float *x, uint8_t *out, double *values) {
    bool five = type == GW_T_Q5_0 || type == GW_T_Q5_1, least = type == GW_T_Q4_1 || type == GW_T_Q5_1;
    int top = five ? 31 : 15, zero = least ? 0 : (top + 1) / 2;
    float lo, hi;
    range(x, 32, &lo, &hi);
    if (!least && -lo > hi) hi = -lo;
    double d = put_half(out, least ? ((double)hi - (double)lo) / top : (double)hi / (zero - 1)), m = 0.0;
    uint8_t *high = out + (least ? 4 : 2), *low = high + (five ? 4 : 0);
    if (least) m = put_half(out + 2, (double)lo);
    memset(high, 0, five ? 20 : 16);
    for (size_t i = 0; i < 32; i++) {
        int q = nearest(d > 0 ? ((double)x[i] - m) / d + zero : zero, 0, top);
        low[i % 16] |= (uint8_t)((q & 15) << (i < 16 ? 0 : 4));
        if (five) high[i / 8] |= (uint8_t)(q >> 4 << i % 8);
        if (values) values[i] = (double)(float)(d * (q - zero) + m);
    }
}

static void pack_mxfp4(const float *x, uint8_t *out, double *values) {
    static const double steps[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    float lo, hi;
    range(x, 32, &lo, &hi);
    int e = 0;
    (void)frexpf(-lo > hi ? -lo : hi, &e);
    double unit = ldexp(1.0, e - 3); /* the largest is below 8 units */
    memset(out, 0, 17);
    out[0] = (uint8_t)(e - 3 + 127);
    for (size_t i = 0; i < 32; i++) {
        int best = 0;
        double a = fabs((double)x[i]);
        for (int k = 1; k < 8; k++)
            if (fabs(a - unit * steps[k]) < fabs(a - unit * steps[best])) best = k;
        double v = x[i] < 0 ? -unit * steps[best] : unit * steps[best];
        out[1 + i % 16] |= (uint8_t)((best | (x[i] < 0) << 3) << (i < 16 ? 0 : 4));
        if (values) values[i] = v;
    }
}

/* 8 groups of 32; a group's scale and minimum are 6 bits each, its minimum at most 0. */
static void pack_k(uint32_t type, const float *x, uint8_t *out, double *values) {
    bool five = type == GW_T_Q5_K;
    int top = five ? 31 : 15;
    double step[8], low[8], most_step = 0, most_low = 0;
    for (size_t g = 0; g < 8; g++) {
        float lo, hi;
        range(x + 32 * g, 32, &lo, &hi);
        low[g] = lo < 0 ? -(double)lo : 0;
        step[g] = ((double)hi + low[g]) / top;
        most_step = fmax(most_step, step[g]);
        most_low = fmax(most_low, low[g]);
    }
    memset(out, 0, five ? 176 : 144);
    double d = put_half(out, most_step / 63), m = put_half(out + 2, most_low / 63);
    uint8_t *s = out + 4, *qh = out + 16, *qs = out + (five ? 48 : 16);
    for (size_t g = 0; g < 8; g++) {
        int sc = nearest(d > 0 ? step[g] / d : 1, 1, 63), mn = nearest(m > 0 ? low[g] / m : 0, 0, 63);
        if (g < 4) {
            s[g] |= (uint8_t)sc;
            s[4 + g] |= (uint8_t)mn;
        } else {
            s[8 + g - 4] = (uint8_t)((sc & 15) | (mn & 15) << 4);
            s[g - 4] |= (uint8_t)(sc >> 4 << 6);
            s[g] |= (uint8_t)(mn >> 4 << 6);
        }
        for (size_t l = 0; l < 32; l++) {
            size_t i = 32 * g + l;
            int q = nearest(d > 0 ? ((double)x[i] + m * mn) / (d * sc) : 0, 0, top);
            qs[32 * (g / 2) + l] |= (uint8_t)((q & 15) << 4 * (g % 2));
            if (five) qh[l] |= (uint8_t)(q >> 4 << g);
            if (values) values[i] = (double)(float)(d * sc * q - m * mn);
        }
    }
}

void tn_gb_pack(uint32_t type, const float *x, size_t n, uint8_t *out, double *values) {
    TnGbBlock b = tn_gb_block(type);
    for (size_t i = 0; i < n; i += b.elems, out += b.bytes) {
        double *v = values ? values + i : NULL;
        if (type == GW_T_Q4_K || type == GW_T_Q5_K)
            pack_k(type, x + i, out, v);
        else if (type == GW_T_MXFP4)
            pack_mxfp4(x + i, out, v);
        else
            pack_32(type, x + i, out, v);
    }
}
