/* Shadow tables (ir/shadow.h): one scale a row, codes rounded to nearest, 64 rows side by side.
 *
 * In s8 and s6 a row's scale is its largest magnitude divided by the largest code. The codes of s5 are no even steps: they lie
 * closer where normally distributed weights are, and magnitudes above the largest are clipped. Of the scale that clips nothing
 * and of the one that is best for normal weights it takes the geometric mean, which is near the best for both kinds of rows that
 * were tried, normal ones and ones with heavy tails. With 2,560 normal weights the error is 0.051 of a row's norm, where
 * 5 bits in even steps have 0.071 and s6 has 0.035.
 *
 * A scale for each group of columns would make the error
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
    return t->enc == TN_ENC_s6 ? 31.0f : 127.0f;
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

/* ---- s5 */

const uint8_t tn_s5_levels[16] = {3, 7, 11, 17, 23, 29, 35, 41, 47, 53, 61, 69, 79, 91, 105, 127};
#define S5_UNIT 0.025555 /* in standard deviations: the best scale for normal weights */

/* For magnitudes from v to below v + 1: the number of the nearest level. All bounds between levels are integers. */
static const uint8_t nearest_level[128] = {
    0,  0,  0,  0,  0,  1,  1,  1,  1,  2,  2,  2,  2,  2,  3,  3,  3,  3,  3,  3,  4,  4,  4,  4,  4,  4,
    5,  5,  5,  5,  5,  5,  6,  6,  6,  6,  6,  6,  7,  7,  7,  7,  7,  7,  8,  8,  8,  8,  8,  8,  9,  9,
    9,  9,  9,  9,  9,  10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 12, 12, 12, 12,
    12, 12, 12, 12, 12, 12, 12, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 14, 14, 14, 14, 14, 14,
    14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15};

static const int8_t codes_s5[32] = {3,   7,   11,  17,  23,  29,  35,  41,  47,   53,  61,
                                    69,  79,  91,  105, 127, -3,  -7,  -11, -17,  -23, -29,
                                    -35, -41, -47, -53, -61, -69, -79, -91, -105, -127};

/* The numbers of the levels of n finite weights times f; 16 more for those below 0. Without branches, which nobody could
 * foretell. */
static void numbers_s5(const float *row, size_t n, float f, uint8_t *restrict out) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u = tn_f32_bits(row[i] * f);
        float m = tn_bits_f32(u & 0x7fffffffu);
        out[i] = (uint8_t)(nearest_level[(int)(m < 127.0f ? m : 127.0f)] | u >> 31 << 4);
    }
}

TN_AVX2_CLONES static double squares_of(const float *row, size_t k) {
    enum { LANES = 8 };
    double sum[LANES] = {0}, all = 0;
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (size_t j = 0; j < LANES; j++) sum[j] += (double)row[i + j] * (double)row[i + j];
    for (; i < k; i++) sum[0] += (double)row[i] * (double)row[i];
    for (int j = 0; j < LANES; j++) all += sum[j];
    return all;
}

static float scale_s5(const float *row, size_t k, float a) {
    return (float)sqrt(sqrt(squares_of(row, k) / (double)k) * S5_UNIT * ((double)a / 127.0));
}

/* ---- Rows of codes */

/* A row's scale, and what its weights are multiplied by; both are 0 if it has no codes. */
typedef struct Fit {
    float scale, f;
} Fit;

static Fit fit(const TnType *t, const float *row, size_t k, float a) {
    if (!has_codes(a)) return (Fit){0};
    if (t->enc != TN_ENC_s5) return (Fit){.scale = a / most_code(t), .f = most_code(t) / a};
    float scale = scale_s5(row, k, a);
    return (Fit){.scale = scale, .f = 1.0f / scale};
}

/* ---- Rows in blocks. A step is four columns of 64 rows; a word has those of a row, a code a byte. */

enum { STEP = 4, LINE = 64, WORDS = 16, TOGETHER = 256 /* columns that are made at once */ };

/* Where a row's words of a block are: of plane q, the r-th. */
typedef struct Place {
    TnEnc enc;
    unsigned q;
    size_t r, row_bytes;
} Place;

static Place place_of(const TnType *t, int64_t row) {
    size_t r = (size_t)(row % TN_BESIDE);
    return (Place){.enc = t->enc, .q = (unsigned)(r / WORDS), .r = r % WORDS, .row_bytes = tn_row_bytes(t)};
}

static uint32_t word_at(const uint8_t *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

static void add_word(uint8_t *p, uint32_t w) {
    w |= word_at(p);
    memcpy(p, &w, 4);
}

/* Line i of step s of a block, at the row's word. */
static size_t word_of(const Place *p, size_t s, size_t i) {
    size_t lines = p->enc == TN_ENC_s8 ? 4 * s : p->enc == TN_ENC_s6 ? 3 * s : s / 2 * 5;
    return LINE * (lines + i) + STEP * p->r;
}

/* Puts the codes u of a step into a block whose bits there are 0. */
static void put_word(const Place *p, uint8_t *block, size_t s, uint32_t u) {
    unsigned q = p->q, odd = s % 2;
    if (p->enc == TN_ENC_s8 || (p->enc == TN_ENC_s6 && q < 3)) {
        add_word(block + word_of(p, s, q), u);
    } else if (p->enc == TN_ENC_s6) {
        for (unsigned i = 0; i < 3; i++) add_word(block + word_of(p, s, i), u << (2 + 2 * i) & 0xc0c0c0c0u);
    } else {
        add_word(block + word_of(p, s, 2 * odd + q / 2), (u & 0x0f0f0f0fu) << 4 * (q % 2));
        add_word(block + word_of(p, s, 4), (u >> 4 & 0x01010101u) << (4 * odd + q));
    }
}

/* The reverse. */
static uint32_t get_word(const Place *p, const uint8_t *block, size_t s) {
    unsigned q = p->q, odd = s % 2;
    if (p->enc == TN_ENC_s8) return word_at(block + word_of(p, s, q));
    if (p->enc == TN_ENC_s6 && q < 3) return word_at(block + word_of(p, s, q)) & 0x3f3f3f3fu;
    uint32_t u = 0;
    if (p->enc == TN_ENC_s6) {
        for (unsigned i = 0; i < 3; i++)
            u |= (word_at(block + word_of(p, s, i)) & 0xc0c0c0c0u) >> (2 + 2 * i);
        return u;
    }
    u = word_at(block + word_of(p, s, 2 * odd + q / 2)) >> 4 * (q % 2) & 0x0f0f0f0fu;
    return u | (word_at(block + word_of(p, s, 4)) >> (4 * odd + q) & 0x01010101u) << 4;
}

/* The bytes of the codes of n weights, as they are put. */
static void bytes_of(TnEnc enc, const float *row, size_t n, float f, uint8_t *out) {
    int8_t c[TOGETHER] = {0};
    if (enc == TN_ENC_s5) {
        memset(out, 0, n);
        if (f > 0.0f) numbers_s5(row, n, f, out);
        return;
    }
    if (f > 0.0f) quantise(row, n, f, c);
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)(c[i] + (enc == TN_ENC_s6 ? 32 : 128));
}

void tn_shadow_encode(const TnType *t, const float *row, int64_t r, void *block) {
    size_t k = (size_t)t->dim[1];
    float f = fit(t, row, k, largest(row, k)).f;
    Place p = place_of(t, r);
    for (size_t i = 0; i < k; i += TOGETHER) {
        uint8_t u[TOGETHER] = {0};
        size_t n = k - i < TOGETHER ? k - i : TOGETHER;
        bytes_of(t->enc, row + i, n, f, u);
        for (size_t j = 0; j < n; j += STEP) put_word(&p, block, (i + j) / STEP, word_at(u + j));
    }
}

void tn_shadow_codes(const TnType *t, const void *table, int64_t r, int8_t *out) {
    size_t k = (size_t)t->dim[1];
    Place p = place_of(t, r);
    const uint8_t *block = (const uint8_t *)table + (size_t)(r / TN_BESIDE * TN_BESIDE) * p.row_bytes;
    for (size_t i = 0; i < k; i += STEP) {
        uint32_t w = get_word(&p, block, i / STEP);
        uint8_t u[STEP];
        memcpy(u, &w, STEP);
        for (size_t j = 0; j < STEP && i + j < k; j++)
            out[i + j] =
                t->enc == TN_ENC_s5 ? codes_s5[u[j]] : (int8_t)(u[j] - (t->enc == TN_ENC_s6 ? 32 : 128));
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

/* The same for copies with planes, where the error is what the codes and then the planes before this one leave, and the sum of its
 * magnitudes. */
typedef struct Sums {
    double w[8], codes[8], error[8], magnitude[8];
} Sums;

/* What a block of weights leaves after its codes and, unless step is below 0, after a plane with that step. Each loop here does one
 * thing, so that the compiler makes vectors of it. */
TN_AVX2_CLONES static void left_after(const float *row, const int8_t *code, size_t n, double scale,
                                      double step, double *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = (double)row[i] - (double)code[i] * scale;
    if (step < 0.0) return;
    for (size_t i = 0; i < n; i++) out[i] -= out[i] >= 0.0 ? step : -step;
}

/* Adds a block: row and rest have zeros up to a multiple of 8. */
TN_AVX2_CLONES static void add_block(const float *row, const double *rest, size_t n, Sums *out) {
    double w2[8], c2[8], e2[8], m[8];
    memcpy(w2, out->w, sizeof w2), memcpy(c2, out->codes, sizeof c2);
    memcpy(e2, out->error, sizeof e2), memcpy(m, out->magnitude, sizeof m);
    for (size_t i = 0; i < n; i += 8)
        for (size_t j = 0; j < 8; j++) {
            double w = (double)row[i + j], e = rest[i + j], c = w - e;
            w2[j] += w * w;
            c2[j] += c * c;
            e2[j] += e * e;
            m[j] += fabs(e);
        }
    memcpy(out->w, w2, sizeof w2), memcpy(out->codes, c2, sizeof c2);
    memcpy(out->error, e2, sizeof e2), memcpy(out->magnitude, m, sizeof m);
}

/* Bit i is 1 if 0 or more is left of weight i. */
static void signs_of(const double *rest, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i += 8) {
        unsigned set = 0;
        for (size_t j = 0; j < 8 && i + j < n; j++) set |= (rest[i + j] >= 0.0 ? 1u : 0u) << j;
        out[i / 8] = (uint8_t)set;
    }
}

/* The codes of n weights of a block. */
static void codes_of(const TnType *t, const float *row, size_t n, float f, int8_t *out) {
    uint8_t number[256];
    if (t->enc != TN_ENC_s5) {
        quantise(row, n, f, out);
        return;
    }
    numbers_s5(row, n, f, number);
    for (size_t j = 0; j < n; j++) out[j] = codes_s5[number[j]];
}

/* Sums over a row. Returns the sum of the magnitudes. out_bits, if not NULL, gets the bits. */
static double add_squares_left(const TnType *t, const float *row, size_t k, const Fit *fit, double step,
                               Squares *out, uint8_t *out_bits) {
    Sums s;
    memset(&s, 0, sizeof s);
    for (size_t i = 0, n; i < k; i += n) {
        int8_t code[256];
        float w[256] = {0};
        double rest[256] = {0};
        n = k - i < 256 ? k - i : 256;
        memcpy(w, row + i, n * sizeof *w);
        codes_of(t, w, n, fit->f, code);
        left_after(w, code, n, (double)fit->scale, step, rest);
        add_block(w, rest, n, &s);
        if (out_bits) signs_of(rest, n, out_bits + i / 8);
    }
    for (int j = 1; j < 8; j++) {
        s.w[0] += s.w[j], s.codes[0] += s.codes[j];
        s.error[0] += s.error[j], s.magnitude[0] += s.magnitude[j];
    }
    *out = (Squares){s.w[0], s.codes[0], s.error[0]};
    return s.magnitude[0];
}

/* The root of a sum of squares, rounded up; the addend covers roots too small for a float. */
static float root_up(double squares) {
    return (float)(sqrt(squares) * UP) + 0x1p-126f;
}

/* The step that leaves least of the squares is the mean magnitude r/K of what was left before: E - 2 step r + K step^2. Each of
 * the three is at most 2E and a little, and has a relative error of at most 2^-35; 2^-30 E covers that. */
static float fine_error(const Squares *s, double magnitudes, size_t k, float step) {
    double left = s->error - (double)step * (2.0 * magnitudes - (double)k * (double)step);
    return root_up((left > 0.0 ? left : 0.0) + 0x1p-30 * s->error);
}

static TnRowFacts facts_with_planes(const TnType *t, const float *row, size_t k, const Fit *by,
                                    uint8_t *const *out_bits) {
    TnRowFacts r = {.scale = by->scale};
    Squares s;
    for (int p = 0; p < tn_shadow_planes(t); p++) {
        double before = p ? (double)r.step[p - 1] : -1.0;
        double magnitudes = add_squares_left(t, row, k, by, before, &s, out_bits ? out_bits[p] : NULL);
        if (p == 0) {
            r.error = root_up(s.error);
            r.norm = root_up(s.w > s.codes ? s.w : s.codes);
        }
        r.step[p] = (float)(magnitudes / (double)k);
        r.fine[p] = fine_error(&s, magnitudes, k, r.step[p]);
    }
    r.norm = (float)(((double)r.norm + (double)r.fine[0]) * UP); /* |w~| <= |w| + |w - w~| */
    return r;
}
_Static_assert(TN_PLANES_MOST == 2, "left_after takes away one step");

TnRowFacts tn_shadow_facts(const TnType *t, const float *row, uint8_t *const *out_bits) {
    size_t k = (size_t)t->dim[1];
    float a = largest(row, k);
    TnRowFacts r = {.error = INFINITY, .norm = INFINITY};
    for (int p = 0; p < tn_shadow_planes(t); p++) {
        if (out_bits) memset(out_bits[p], 0, tn_shadow_plane_bytes(t));
        r.fine[p] = INFINITY;
    }
    if (!(a < INFINITY)) return r;
    Fit by = fit(t, row, k, a);
    if (tn_shadow_planes(t) && by.f > 0.0f) return facts_with_planes(t, row, k, &by, out_bits);
    Squares s;
    add_squares(row, k, by.f, (double)by.scale, &s);
    r.scale = by.scale;
    r.error = root_up(s.error);
    r.norm = root_up(s.w > s.codes ? s.w : s.codes);
    for (int p = 0; p < tn_shadow_planes(t); p++) r.fine[p] = r.error;
    return r;
}

TnRowFacts tn_shadow_row_facts(const TnType *t, const void *table, int64_t r) {
    size_t array = tn_shadow_array_bytes(t);
    const uint8_t *p = (const uint8_t *)table + tn_tail_at(t) + 4 * (size_t)r;
    TnRowFacts f = {0};
    memcpy(&f.scale, p, 4);
    memcpy(&f.error, p + array, 4);
    memcpy(&f.norm, p + 2 * array, 4);
    for (int i = 0; i < tn_shadow_planes(t); i++) {
        memcpy(&f.step[i], p + (size_t)(3 + 2 * i) * array, 4);
        memcpy(&f.fine[i], p + (size_t)(4 + 2 * i) * array, 4);
    }
    return f;
}

const uint8_t *tn_shadow_row_bits(const TnType *t, const void *table, int plane, int64_t r) {
    return (const uint8_t *)table + tn_shadow_plane_at(t, plane) + (size_t)r * tn_shadow_plane_bytes(t);
}

float tn_shadow_radius(float x, float y, float error, float norm) {
    return x * norm < 0x1p126f ? fmaf(y, norm, fmaf(x, error, 0x1p-120f)) : INFINITY;
}
