#include "ir/r64.h"

#include <string.h>
#include "runtime/base/half.h"

enum { LINE = 64, WORDS = 16, DIGITS = 5 }; /* of a line; a word is 4 columns of 4 rows */

/* Makes the line of 4 columns; `codes` are those of row 0. */
static void put_line(const uint8_t *codes, size_t k, uint8_t *out) {
    for (size_t r = 0; r < WORDS; r++) {
        uint32_t word = 0;
        for (size_t q = 0; q < 4; q++) {
            uint32_t row; /* four codes, each at most 3, so the shift keeps each in its byte */
            memcpy(&row, codes + (WORDS * q + r) * k, 4);
            word |= row << 2 * q;
        }
        memcpy(out + 4 * r, &word, 4);
    }
}

/* The same in base 3, for five times 16 rows. */
static void put_digits(const uint8_t *codes, size_t k, uint8_t *out) {
    for (size_t r = 0; r < WORDS; r++) {
        uint32_t word = 0;
        for (size_t p = 0; p < DIGITS; p++) {
            uint32_t row; /* a byte of the word is 242 at most */
            memcpy(&row, codes + (WORDS * p + r) * k, 4);
            word = 3 * word + row;
        }
        memcpy(out + 4 * r, &word, 4);
    }
    for (size_t j = 0; j < LINE; j++) out[j] = (uint8_t)((256u * out[j] + 242) / 243);
}

void tn_r64_encode(const TnType *t, const uint8_t *codes, const float *scales, void *out) {
    bool grouped = t->enc == TN_ENC_r64;
    size_t k = tn_r64_columns(t), n = grouped ? t->group : k, groups = k / n;
    uint8_t *to = out;
    for (size_t g = 0; g < groups; g++) {
        for (size_t i = g * n; i < (g + 1) * n; i += 4, to += LINE)
            (t->enc == TN_ENC_b80 ? put_digits : put_line)(codes + i, k, to);
        for (size_t r = 0; grouped && r < TN_BESIDE; r++, to += 2) {
            uint16_t half = tn_f32_to_f16(scales[r * groups + g]);
            memcpy(to, &half, 2);
        }
    }
}

static const uint8_t *block_of(const TnType *t, const void *data, int64_t row) {
    int64_t together = tn_rows_together(t);
    return (const uint8_t *)data + (size_t)(row / together * together) * tn_row_bytes(t);
}

/* The weights of n columns from the line on that `word`, the row's, belongs to. */
static void get_trits(const uint8_t *word, size_t plane, size_t n, int8_t *out) {
    for (size_t i = 0; i < n; i += 4, word += LINE)
        for (size_t j = 0; j < 4 && i + j < n; j++) *out++ = (int8_t)((word[j] >> 2 * plane & 3) - 1);
}

/* The same in base 3. */
static void get_digits(const uint8_t *word, size_t digit, size_t n, int8_t *out) {
    static const uint8_t power[DIGITS] = {1, 3, 9, 27, 81};
    for (size_t i = 0; i < n; i += 4, word += LINE)
        for (size_t j = 0; j < 4 && i + j < n; j++)
            *out++ = (int8_t)((3 * (uint8_t)(power[digit] * word[j]) >> 8) - 1);
}

void tn_r64_trits(const TnType *t, const void *data, int64_t row, int8_t *out) {
    size_t r = (size_t)(row % tn_rows_together(t)), k = (size_t)t->dim[1],
           n = t->enc == TN_ENC_r64 ? t->group : k;
    const uint8_t *word = block_of(t, data, row) + 4 * (r % WORDS);
    if (t->enc == TN_ENC_b80) {
        get_digits(word, r / WORDS, k, out);
        return;
    }
    for (size_t i = 0; i < k; i += n, out += n, word += tn_r64_group_bytes((uint32_t)n))
        get_trits(word, r / WORDS, n, out);
}

void tn_r64_scales(const TnType *t, const void *data, int64_t row, float *out) {
    const uint8_t *block = block_of(t, data, row);
    size_t groups = (size_t)tn_type_row_scales(t), r = (size_t)(row % TN_BESIDE);
    for (size_t g = 0; g < groups; g++) {
        out[g] = tn_f16_at(block + (g + 1) * tn_r64_group_bytes(t->group) - 2 * TN_BESIDE + 2 * r);
    }
}
