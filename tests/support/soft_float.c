#include "support/soft_float.h"

#include <limits.h>

const SoftFormat soft_f16 = {5, 10}, soft_f32 = {8, 23}, soft_f64 = {11, 52};

typedef unsigned __int128 Wide;

/* A number: mantissa * 2^exponent, or infinity, or NaN. */
typedef struct Number {
    bool minus, infinite, nan;
    Wide mantissa;
    int exponent;
} Number;

static int bias(SoftFormat f) {
    return (1 << (f.exponent - 1)) - 1;
}

static uint64_t sign_bit(SoftFormat f) {
    return (uint64_t)1 << (f.exponent + f.fraction);
}
static uint64_t infinity(SoftFormat f) {
    return (((uint64_t)1 << f.exponent) - 1) << f.fraction;
}
uint64_t soft_nan(SoftFormat f) {
    return sign_bit(f) - 1;
}
bool soft_is_nan(SoftFormat f, uint64_t a) {
    return (a & (sign_bit(f) - 1)) > infinity(f);
}

static Number decode(SoftFormat f, uint64_t a) {
    Number n = {.minus = (a & sign_bit(f)) != 0};
    uint64_t size = a & (sign_bit(f) - 1), fraction = size & (((uint64_t)1 << f.fraction) - 1);
    int exponent = (int)(size >> f.fraction);
    n.nan = soft_is_nan(f, a);
    n.infinite = size == infinity(f);
    n.mantissa = exponent ? fraction | (uint64_t)1 << f.fraction : fraction;
    n.exponent = (exponent ? exponent : 1) - bias(f) - f.fraction;
    return n;
}

static int top_bit(Wide x) { /* -1 for 0 */
    int n = -1;
    for (; x; x >>= 1) n++;
    return n;
}

/* x / 2^n; the lowest bit says whether anything was lost. */
static Wide shifted(Wide x, int n) {
    if (n <= 0) return x << -n;
    if (n > 127) return x != 0;
    return x >> n | ((x & (((Wide)1 << n) - 1)) != 0);
}

/* Rounds a number whose lowest bit may stand for all that was cut off. */
static uint64_t encode(SoftFormat f, Number n) {
    uint64_t sign = n.minus ? sign_bit(f) : 0;
    if (n.nan) return soft_nan(f);
    if (n.infinite) return sign | infinity(f);
    if (!n.mantissa) return sign;
    int least = 1 - bias(f) - f.fraction; /* exponent of the last place of the smallest numbers */
    int place = n.exponent + top_bit(n.mantissa) - f.fraction;
    if (place < least) place = least;
    /* two more bits than the fraction has, so that a half can be recognised */
    Wide m = shifted(n.mantissa, place - 2 - n.exponent);
    uint64_t whole = (uint64_t)(m >> 2), rest = (uint64_t)m & 3;
    whole += rest > 2 || (rest == 2 && (whole & 1));
    if (whole >> (f.fraction + 1)) {
        whole >>= 1;
        place++;
    }
    if (!(whole >> f.fraction)) return sign | whole; /* subnormal */
    int64_t exponent = place + f.fraction + bias(f);
    if (exponent >= ((int64_t)1 << f.exponent) - 1) return sign | infinity(f);
    return sign | ((uint64_t)exponent << f.fraction) | (whole & (((uint64_t)1 << f.fraction) - 1));
}

static Number sum(Number a, Number b) {
    if (a.nan || b.nan || (a.infinite && b.infinite && a.minus != b.minus)) return (Number){.nan = true};
    if (a.infinite) return a;
    if (b.infinite) return b;
    if (!a.mantissa && !b.mantissa) {
        a.minus = a.minus && b.minus;
        return a;
    }
    if (!b.mantissa) return a;
    if (!a.mantissa) return b;
    /* both with their highest bit at 124; the smaller is shifted, with a mark for what is lost. Bits are lost only if the
     * larger one is far larger, and then a difference keeps all but one of its places. */
    int up = 124 - top_bit(a.mantissa);
    a.mantissa <<= up;
    a.exponent -= up;
    up = 124 - top_bit(b.mantissa);
    b.mantissa <<= up;
    b.exponent -= up;
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.mantissa < b.mantissa)) {
        Number t = a;
        a = b;
        b = t;
    }
    b.mantissa = shifted(b.mantissa, a.exponent - b.exponent);
    if (a.minus == b.minus)
        a.mantissa += b.mantissa;
    else
        a.mantissa -= b.mantissa;
    if (!a.mantissa) a.minus = false;
    return a;
}

static Number product(Number a, Number b) {
    Number p = {.minus = a.minus != b.minus, .infinite = a.infinite || b.infinite};
    bool zero = (!a.infinite && !a.mantissa) || (!b.infinite && !b.mantissa);
    p.nan = a.nan || b.nan || (p.infinite && zero);
    p.mantissa = a.mantissa * b.mantissa;
    p.exponent = a.exponent + b.exponent;
    return p;
}

uint64_t soft_add(SoftFormat f, uint64_t a, uint64_t b) {
    return encode(f, sum(decode(f, a), decode(f, b)));
}
uint64_t soft_neg(SoftFormat f, uint64_t a) {
    return a ^ sign_bit(f);
}
uint64_t soft_mul(SoftFormat f, uint64_t a, uint64_t b) {
    return encode(f, product(decode(f, a), decode(f, b)));
}
uint64_t soft_fma(SoftFormat f, uint64_t a, uint64_t b, uint64_t c) {
    return encode(f, sum(product(decode(f, a), decode(f, b)), decode(f, c)));
}

uint64_t soft_div(SoftFormat f, uint64_t a, uint64_t b) {
    Number x = decode(f, a), y = decode(f, b), q = {.minus = x.minus != y.minus};
    bool x_zero = !x.infinite && !x.mantissa, y_zero = !y.infinite && !y.mantissa;
    q.nan = x.nan || y.nan || (x.infinite && y.infinite) || (x_zero && y_zero);
    q.infinite = x.infinite || y_zero;
    if (q.nan || q.infinite || x_zero || y.infinite) return encode(f, q);
    int up = 126 - top_bit(x.mantissa); /* a quotient of at least 73 bits */
    Wide top = x.mantissa << up;
    q.mantissa = top / y.mantissa | (top % y.mantissa != 0);
    q.exponent = x.exponent - up - y.exponent;
    return encode(f, q);
}

uint64_t soft_sqrt(SoftFormat f, uint64_t a) {
    Number x = decode(f, a), r = {.minus = x.minus, .nan = x.nan};
    bool zero = !x.infinite && !x.mantissa;
    if (!x.nan && !zero && x.minus) r.nan = true;
    r.infinite = x.infinite;
    if (r.nan || r.infinite || zero) return encode(f, r);
    int up = 125 - top_bit(x.mantissa);
    if ((x.exponent - up) % 2) up--;
    Wide square = x.mantissa << up, root = 0;
    for (int bit = 63; bit >= 0; bit--) { /* the largest root whose square is not larger */
        Wide with = root | (Wide)1 << bit;
        if (with * with <= square) root = with;
    }
    r.mantissa = root << 1 | (root * root != square);
    r.exponent = (x.exponent - up) / 2 - 1;
    return encode(f, r);
}

uint64_t soft_rint(SoftFormat f, uint64_t a) {
    Number x = decode(f, a);
    if (x.nan) return soft_nan(f);
    if (x.infinite || x.exponent >= 0) return a;
    int n = -x.exponent;
    Wide whole = n > 100 ? 0 : x.mantissa >> n, rest = n > 100 ? x.mantissa : x.mantissa - (whole << n);
    Wide half = n > 100 ? (Wide)1 << 120 : (Wide)1 << (n - 1);
    whole += rest > half || (rest == half && (whole & 1));
    x.mantissa = whole;
    x.exponent = 0;
    return encode(f, x);
}

uint64_t soft_convert(SoftFormat from, SoftFormat to, uint64_t a) {
    return encode(to, decode(from, a));
}

uint64_t soft_from_int(SoftFormat f, int64_t a) {
    Number n = {.minus = a < 0, .mantissa = a < 0 ? -(uint64_t)a : (uint64_t)a};
    return encode(f, n);
}

int32_t soft_to_s32(SoftFormat f, uint64_t a) {
    Number x = decode(f, a);
    if (x.nan) return 0;
    bool large = x.infinite || (x.mantissa && x.exponent + top_bit(x.mantissa) >= 31);
    if (large) return x.minus ? INT32_MIN : INT32_MAX;
    int64_t whole = (int64_t)(x.exponent >= 0     ? x.mantissa << x.exponent
                              : x.exponent < -100 ? 0
                                                  : x.mantissa >> -x.exponent);
    return (int32_t)(x.minus ? -whole : whole);
}

int soft_compare(SoftFormat f, uint64_t a, uint64_t b) {
    if (soft_is_nan(f, a) || soft_is_nan(f, b)) return 2;
    uint64_t most = sign_bit(f) - 1;
    int64_t x = (int64_t)(a & most), y = (int64_t)(b & most);
    if (a & sign_bit(f)) x = -x;
    if (b & sign_bit(f)) y = -y;
    return (x > y) - (x < y);
}
