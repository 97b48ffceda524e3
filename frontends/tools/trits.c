#include "frontends/tools/trits.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"

typedef struct Counts {
    uint64_t zero, plus, bad, all;
} Counts;

/* Counts bytes of four 2-bit codes (0: -1, 1: 0, 2: +1, 3: invalid), in any order. */
static void count_codes(const uint8_t *p, size_t n, Counts *c) {
    const uint64_t low = 0x5555555555555555u;
    c->all += 4 * n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t one = w & low, two = w >> 1 & low;
        c->bad += (uint64_t)__builtin_popcountll(one & two);
        c->zero += (uint64_t)__builtin_popcountll(one & ~two);
        c->plus += (uint64_t)__builtin_popcountll(two & ~one);
    }
    for (; n; p++, n--)
        for (int s = 0; s < 8; s += 2) {
            int code = *p >> s & 3;
            c->zero += code == 1, c->plus += code == 2, c->bad += code == 3;
        }
}

/* Counts the first `digits` base-3 digits of a byte of TQ1_0: zeros in the low byte of the result, ones above
 * it. */
static uint16_t count_fraction(uint8_t b, int digits) {
    uint16_t n = 0;
    for (int i = 0; i < digits; i++, b = (uint8_t)(b * 3)) {
        int digit = b * 3 >> 8;
        n = (uint16_t)(n + (digit == 1) + 256 * (digit == 2));
    }
    return n;
}

static void count_tq1(const uint8_t *p, const uint16_t five[256], const uint16_t four[256], Counts *c) {
    uint32_t zero = 0, plus = 0;
    for (int i = 0; i < 52; i++) {
        uint16_t n = i < 48 ? five[p[i]] : four[p[i]];
        zero += n & 255, plus += n >> 8;
    }
    c->all += 256, c->zero += zero, c->plus += plus;
}

static void count_trits(const int8_t *t, size_t n, Counts *c) {
    uint64_t zero = 0, plus = 0, bad = 0;
    for (size_t i = 0; i < n; i++) zero += t[i] == 0, plus += t[i] == 1, bad += t[i] == 2;
    c->all += n, c->zero += zero, c->plus += plus, c->bad += bad;
}

static void end_row(TnTrits *s, uint64_t row, const Counts *c) {
    s->zero += c->zero, s->plus += c->plus, s->bad += c->bad;
    s->minus += c->all - c->zero - c->plus - c->bad;
    s->dead[row] = c->zero == c->all;
    s->dead_rows += s->dead[row];
}

static void add_scale(TnTrits *s, float d) {
    if (!s->n_scales || d < s->scale_lo) s->scale_lo = d;
    if (!s->n_scales || d > s->scale_hi) s->scale_hi = d;
    s->n_scales++;
}

/* Blocks of 256, each followed by an f16 scale. */
static void read_blocks(const TnGgufTensor *t, TnTrits *s) {
    uint16_t five[256], four[256];
    size_t bytes = tn_encs[t->enc].block_bytes;
    uint8_t *seen = tn_xcalloc(1 << 16, 1);
    for (int b = 0; b < 256; b++) {
        five[b] = count_fraction((uint8_t)b, 5);
        four[b] = count_fraction((uint8_t)b, 4);
    }
    const uint8_t *p = t->data;
    for (uint64_t r = 0; r < s->rows; r++) {
        Counts row = {0};
        for (uint64_t i = 0; i < s->cols; i += 256, p += bytes) {
            Counts one = {0};
            uint16_t h;
            if (t->enc == TN_ENC_tq1)
                count_tq1(p, five, four, &one);
            else
                count_codes(p, 64, &one);
            memcpy(&h, p + bytes - 2, 2);
            if (one.zero != one.all && !seen[h]) {
                seen[h] = 1;
                add_scale(s, tn_f16_to_f32(h));
            }
            row.zero += one.zero, row.plus += one.plus, row.bad += one.bad, row.all += one.all;
        }
        end_row(s, r, &row);
    }
    free(seen);
}

static int by_bits(const void *a, const void *b) {
    uint32_t x = tn_f32_bits(*(const float *)a), y = tn_f32_bits(*(const float *)b);
    return x < y ? -1 : x > y;
}

/* The different ones of n scales. */
static void add_scales(TnTrits *s, float *scales, size_t n) {
    if (n) qsort(scales, n, sizeof *scales, by_bits);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || tn_f32_bits(scales[i]) != tn_f32_bits(scales[i - 1])) add_scale(s, scales[i]);
}

/* Any encoding whose rows have one scale each, or have those of their blocks: row by row, those of a row first. */
static void read_scaled(const TnGgufTensor *t, TnTrits *s) {
    TnType type = tn_type(t->enc, 2, (TnDim)s->rows, (TnDim)s->cols);
    bool blocks = tn_row_head(t->enc) == 0 && tn_encs[t->enc].block_elems;
    type.group = blocks ? tn_encs[t->enc].block_elems : TN_GROUP_ROW;
    size_t groups = (size_t)tn_type_row_scales(&type), n = s->cols / groups, found = 0, cap = 0;
    int8_t *row = tn_xcalloc(s->cols, 1);
    float *scales = tn_xcalloc(groups, sizeof *scales), *all = NULL, last = 0;
    uint8_t *seen = tn_xcalloc(1 << 16, 1); /* of values of f16, which those of blocks are */
    for (uint64_t r = 0; r < s->rows; r++) {
        Counts c = {0};
        tn_decode_trits(&type, t->data, (int64_t)r, row);
        tn_decode_scales(&type, t->data, (int64_t)r, scales);
        for (size_t g = 0; g < groups; g++) {
            Counts one = {0};
            count_trits(row + g * n, n, &one);
            c.zero += one.zero, c.plus += one.plus, c.bad += one.bad, c.all += one.all;
            if (one.zero == one.all) continue;
            uint16_t h = tn_f32_to_f16(scales[g]);
            if (blocks && !seen[h]) add_scale(s, scales[g]);
            seen[h] = 1;
            if (!blocks && (!found || tn_f32_bits(scales[g]) != tn_f32_bits(last))) {
                TN_PUSH(all, found, cap, scales[g]);
                last = scales[g];
            }
        }
        end_row(s, r, &c);
    }
    if (!blocks) add_scales(s, all, found);
    free(seen);
    free(all);
    free(scales);
    free(row);
}

/* One scale after the codes. */
static void read_whole(const TnGgufTensor *t, TnTrits *s) {
    TnType type = tn_type(t->enc, 2, (TnDim)s->rows, (TnDim)s->cols);
    int8_t *row = tn_xcalloc(s->cols, 1);
    for (uint64_t r = 0; r < s->rows; r++) {
        Counts c = {0};
        if (t->enc == TN_ENC_i2s && s->cols % 128 == 0) { /* rows are whole blocks */
            count_codes(t->data + r * s->cols / 4, s->cols / 4, &c);
        } else {
            tn_decode_trits(&type, t->data, (int64_t)r, row);
            count_trits(row, s->cols, &c);
        }
        end_row(s, r, &c);
    }
    free(row);
    float scale;
    memcpy(&scale, t->data + t->bytes - 32, 4);
    if (s->zero != s->rows * s->cols) add_scale(s, scale);
}

static bool read_dense(const TnGgufTensor *t, TnTrits *s) {
    TnType type = tn_type(t->enc, 2, (TnDim)s->rows, (TnDim)s->cols);
    float *row = tn_xcalloc(s->cols, sizeof *row), scale = 0.0f;
    bool ternary = true;
    for (uint64_t r = 0; r < s->rows && ternary; r++) {
        Counts c = {.all = s->cols};
        tn_decode_raw(&type, t->data, (int64_t)r, row);
        for (uint64_t i = 0; i < s->cols; i++) {
            float a = fabsf(row[i]);
            if (a != 0.0f && scale == 0.0f && a < INFINITY) scale = a;
            ternary &= a == 0.0f || a == scale;
            c.zero += a == 0.0f, c.plus += row[i] > 0.0f;
        }
        end_row(s, r, &c);
    }
    free(row);
    if (ternary && scale != 0.0f) add_scale(s, scale);
    return ternary;
}

bool tn_trits_read(const TnGgufTensor *t, TnTrits *out) {
    *out = (TnTrits){.rows = t->ne[1] * t->ne[2] * t->ne[3], .cols = t->ne[0]};
    bool ternary = tn_enc_is_ternary(t->enc);
    if (!ternary && !tn_enc_is_float(t->enc)) return false;
    out->dead = tn_xcalloc(out->rows, sizeof *out->dead);
    out->dense = !ternary;
    out->two = t->enc == TN_ENC_q2g64 || t->enc == TN_ENC_q2g128;
    if (!ternary)
        ternary = read_dense(t, out);
    else if (t->enc == TN_ENC_tq1 || t->enc == TN_ENC_tq2)
        read_blocks(t, out);
    else if (tn_encs[t->enc].block_elems || t->enc == TN_ENC_iq2bn4)
        read_scaled(t, out);
    else
        read_whole(t, out);
    if (!ternary) tn_trits_free(out);
    return ternary;
}

void tn_trits_free(TnTrits *s) {
    free(s->dead);
    *s = (TnTrits){0};
}
