#include "runtime/base/fmath.h"

/* ln 2 in two parts: the first has 21 zero bits at its end, so that its product with an exponent is exact. */
static const double LN2_HI = 0x1.62e42fee00000p-1, LN2_LO = 0x1.a39ef35793c76p-33;

static double bits_f64(uint64_t u) {
    double d;
    memcpy(&d, &u, 8);
    return d;
}
static uint64_t f64_bits(double d) {
    uint64_t u;
    memcpy(&u, &d, 8);
    return u;
}

/* x = m * 2^k with m in [sqrt(1/2), sqrt(2)); x > 0 and finite */
static double split(double x, int *out_k) {
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t u = f64_bits(x);
    k += (int)(u >> 52) - 1023;
    u = (u & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    double m = bits_f64(u);
    if (m >= 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        k++;
    }
    *out_k = k;
    return m;
}

/* The logarithm as hi + lo, with a relative error of about 2^-60, because tn_pow multiplies the error by the exponent.
 *
 * With s = (m-1)/(m+1): ln m = 2 artanh s = 2s + 2s (z/3 + z^2/5 + ...), z = s^2 <= 0.0295. Only 2s needs two
 * parts, since the series is at most a hundredth of it. After thirteen terms the rest is 0.0295^14/29. */
static double log_two(double x, double *out_lo) {
    int k;
    double m = split(x, &k);
    double f = m - 1.0, d = m + 1.0; /* f is exact, d may be off by dl */
    double dl = f - (d - 2.0);
    double s = f / d;
    double sl = (fma(-s, d, f) - s * dl) / d;
    double z = s * s, p = 0.0;
    for (int i = 13; i >= 1; i--) p = fma(p, z, 1.0 / (2 * i + 1));
    double tail = 2.0 * (s * (z * p) + sl);
    double a = k * LN2_HI, b = 2.0 * s;
    double hi = a + b; /* |a| > |b| or a == 0: the rest of the sum is exact */
    double lo = (a == 0.0 ? 0.0 : b - (hi - a)) + (tail + k * LN2_LO);
    double sum = hi + lo;
    *out_lo = lo - (sum - hi);
    return sum;
}

double tn_log(double x) {
    if (!(x < INFINITY)) return x; /* infinity, NaN */
    if (x <= 0.0) return x == 0.0 ? -INFINITY : NAN;
    double lo;
    return log_two(x, &lo);
}

double tn_expd(double x) {
    if (x != x) return x;
    if (x > 709.8) return INFINITY;
    if (x < -745.2) return 0.0;
    double n = rint(x * 0x1.71547652b82fep+0);
    double r = fma(n, -LN2_HI, x);
    r = fma(n, -LN2_LO, r);
    /* Taylor to degree 13: |r| <= 0.347, the rest is below 5e-18 */
    double p = 1.0;
    for (int i = 13; i >= 1; i--) p = fma(p, r * (1.0 / i), 1.0);
    /* 2^n in two factors, since n reaches from -1075 to 1024 */
    int h = (int)n / 2;
    return p * bits_f64((uint64_t)(h + 1023) << 52) * bits_f64((uint64_t)((int)n - h + 1023) << 52);
}

double tn_pow(double base, double exponent) {
    if (exponent == 0.0 || base == 1.0) return 1.0;
    double lo, hi = log_two(base, &lo);
    double p = exponent * hi;
    double e = tn_expd(p);
    if (!(e > 0.0 && e < INFINITY)) return e;
    double pl = fma(exponent, hi, -p) + exponent * lo;
    return fma(e, pl, e);
}
