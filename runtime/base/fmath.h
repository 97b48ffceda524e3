/* Our own float routines. libm differs between machines, so every target computes exactly these steps, in this order,
 * with IEEE operations only (fma where it is written). Inputs must be finite, but tn_exp takes any.
 *
 * The code emitters read the tables below too, so the two cannot differ. */
#ifndef TN_BASE_FMATH_H
#define TN_BASE_FMATH_H

#include <math.h>
#include <stdint.h>
#include "runtime/base/half.h"

/* exp: n = rint(x * log2e); r = x - n ln2 in two parts; a polynomial of degree 6 by Horner in fma, fitted at
 * Chebyshev points (1e-8 before rounding); scaled by 2^n built from bits. Below TN_EXP_LO the result is +0; x above
 * TN_EXP_HI counts as TN_EXP_HI. The relative error is below 1.5e-7. NaN gives NaN. */
#define TN_EXP_LO     (-87.0f)
#define TN_EXP_HI     88.0f
#define TN_EXP_LOG2E  0x1.715476p+0f
#define TN_EXP_LN2_HI 0x1.62e4p-1f
#define TN_EXP_LN2_LO 0x1.7f7d1cp-20f
#define TN_EXP_POLY                                                                                          \
    { 0x1.6d1254p-10f, 0x1.120cbap-7f, 0x1.555518p-5f, 0x1.5554dcp-3f, 0.5f, 1.0f, 1.0f }
static inline float tn_exp(float x) {
    static const float c[7] = TN_EXP_POLY;
    float y = x < TN_EXP_HI ? x : TN_EXP_HI; /* NaN becomes HI: the conversion below needs finite values */
    y = y > TN_EXP_LO ? y : TN_EXP_LO;
    float n = rintf(y * TN_EXP_LOG2E);
    float r = fmaf(n, -TN_EXP_LN2_HI, y);
    r = fmaf(n, -TN_EXP_LN2_LO, r);
    float p = c[0];
    for (int i = 1; i < 7; i++) p = fmaf(p, r, c[i]);
    float s = tn_bits_f32((uint32_t)((int32_t)n + 127) << 23);
    p = p * s;
    p = x < TN_EXP_LO ? 0.0f : p;
    return x != x ? x : p;
}

/* gelu: x * phi(x), phi being the normal distribution's integral. On the left of 0, and mirrored on the right, phi is
 * exp(-x*x/2) times a polynomial in t = 1 / (1 + 11/32 |x|) that begins with t (least squares, reweighted until the largest
 * relative error is least: 3e-8 before rounding). Relative error under 1e-6 from -5 up; -0 below -14. */
#define TN_GELU_LO   (-14.0f)
#define TN_GELU_STEP 0x1.6p-2f
#define TN_GELU_POLY                                                                                         \
    {                                                                                                        \
        -0x1.c7a0bep-6f, 0x1.269a5ap-3f, -0x1.163c2cp-2f, 0x1.87018cp-3f, -0x1.420112p-5f, 0x1.cd7276p-4f,   \
            0x1.de2b3cp-4f, 0x1.19afc4p-3f, 0x1.18d232p-3f, 0.0f                                             \
    }
static inline float tn_gelu(float x) {
    static const float c[10] = TN_GELU_POLY;
    float t = 1.0f / fmaf(x > -x ? x : -x, TN_GELU_STEP, 1.0f), p = c[0];
    for (int i = 1; i < 10; i++) p = fmaf(p, t, c[i]);
    p = p * tn_exp((x * x) * -0.5f);
    float y = x * (x < 0.0f ? p : 1.0f - p);
    return x < TN_GELU_LO ? -0.0f : y;
}

/* gelu's approximation by tanh, (1 + tanh(u)) / 2 being 1 / (1 + exp(-2 u)): v = -2 sqrt(2/pi) (x + 0.044715 x^3). */
#define TN_GELU_TANH_1 (-0x1.988454p+0f)
#define TN_GELU_TANH_3 (-0x1.2444f2p-4f)
static inline float tn_gelu_tanh(float x) {
    float v = x * fmaf(x * x, TN_GELU_TANH_3, TN_GELU_TANH_1);
    return v > TN_EXP_HI ? -0.0f : x / (1.0f + tn_exp(v));
}

/* sin and cos of 2 pi f, |f| <= 0.5: k = rint(4 f), g = f - k/4, y = 2 pi g in [-pi/4, pi/4]; odd polynomial
 * for sin, even for cos, by Horner in fma over z = y*y; quadrant k & 3 swaps and negates. The absolute error is
 * below 1e-7. */
#define TN_TWO_PI 0x1.921fb6p+2f
#define TN_SIN_POLY                                                                                          \
    { 0x1.71de3ap-19f, -0x1.a01a02p-13f, 0x1.111112p-7f, -0x1.555556p-3f }
#define TN_COS_POLY                                                                                          \
    { -0x1.27e4fcp-22f, 0x1.a01a02p-16f, -0x1.6c16c2p-10f, 0x1.555556p-5f, -0.5f, 1.0f }
static inline void tn_sincos_turn(float f, float *out_sin, float *out_cos) {
    static const float s[4] = TN_SIN_POLY, c[6] = TN_COS_POLY;
    float k = rintf(f * 4.0f);
    float g = fmaf(k, -0.25f, f);
    float y = g * TN_TWO_PI, z = y * y;
    float ps = s[0], pc = c[0];
    for (int i = 1; i < 4; i++) ps = fmaf(ps, z, s[i]);
    for (int i = 1; i < 6; i++) pc = fmaf(pc, z, c[i]);
    ps = fmaf(ps * z, y, y);
    int q = (int)k & 3;
    float a = (q & 1) ? pc : ps, b = (q & 1) ? ps : pc;
    *out_sin = (q & 2) ? -a : a;
    *out_cos = ((q + 1) & 2) ? -b : b;
}

/* rmsnorm multiplies a row by this if its sum of squares is not finite. After that no square is above 2^64, so the sum does
 * not overflow; and if the sum was infinite, the largest square is still above 2^-64 divided by the number of values. */
#define TN_NORM_SCALE 0x1p-96f

/* Double routines for compile time (rope frequencies), without libm; the relative error is below 1e-14. */
double tn_pow(double base, double exponent); /* base > 0 */
/* Natural logarithm and exponential in double, also for perplexity and sampling. */
double tn_log(double x); /* x > 0 */
double tn_expd(double x);

#endif
