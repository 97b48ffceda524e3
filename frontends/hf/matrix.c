/* Ternary matrices of checkpoints.
 *
 * Packed: uint8 [ceil(rows / 4), cols]. A byte has the codes (weight + 1) of four rows that lie a quarter of the rows apart,
 * the first in its lowest two bits. If rows are not a multiple of 4, they were padded.
 *
 * Rope: checkpoints rotate column i of a head with column i + half a head; llama.cpp rotates neighbours. So its converter
 * interleaves the rows of q and k of the models that it calls llama and minicpm, and so does this file, for a row of the
 * GGUF names a row of the checkpoint. */
#include <math.h>
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/half.h"

float tn_safe_float(const TnSafeTensor *t, size_t i) {
    uint16_t h;
    float f;
    switch (t->type->kind) {
    case TN_SAFE_F32:
        memcpy(&f, t->data + 4 * i, 4);
        return f;
    case TN_SAFE_F16:
        memcpy(&h, t->data + 2 * i, 2);
        return tn_f16_to_f32(h);
    case TN_SAFE_BF16:
        memcpy(&h, t->data + 2 * i, 2);
        return tn_bf16_to_f32(h);
    case TN_SAFE_U8:
    case TN_SAFE_OTHER:
        break;
    }
    TN_BUG("a number of type %s", t->type->name);
}

uint64_t tn_matrix_row(const TnMatrix *m, uint64_t r) {
    if (!m->heads) return r;
    uint64_t head = m->rows / m->heads, k = r % head;
    return r - k + k % 2 * (head / 2) + k / 2;
}

void tn_matrix_absmean(TnMatrix *m) {
    size_t n = m->rows * m->cols;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs((double)tn_safe_float(m->t, i));
    m->scale = (float)fmax(sum / (double)n, 1e-5);
}

/* The one magnitude of n numbers apart from 0 (0 if all are 0); -1 if there are several, or one that is not finite. */
static float magnitude(const TnSafeTensor *t, size_t at, size_t n) {
    float s = 0;
    for (size_t i = at; i < at + n; i++) {
        float v = fabsf(tn_safe_float(t, i));
        if (v == 0) continue;
        if (s == 0) s = v;
        if (v != s || !isfinite(v)) return -1;
    }
    return s;
}

/* Joins the magnitudes of neighbours; -1 if they differ. */
static float join(float a, float b) {
    if (a < 0 || b < 0) return -1;
    if (a == 0) return b;
    return b == 0 || a == b ? a : -1;
}

bool tn_matrix_is_ternary(TnMatrix *m) {
    enum { UNIT = 64 };
    size_t unit = m->cols % UNIT ? m->cols : UNIT, units = m->cols / unit;
    float all = 0;
    bool fits[2] = {units % 2 == 0, units % 4 == 0}; /* groups of 128, of 256 */
    for (uint64_t r = 0; r < m->rows; r++) {
        float pair = 0, four = 0;
        for (size_t u = 0; u < units; u++) {
            float s = magnitude(m->t, r * m->cols + u * unit, unit);
            if (s < 0) return false;
            pair = join(u % 2 ? pair : 0, s);
            four = join(u % 4 ? four : 0, s);
            fits[0] = fits[0] && pair >= 0;
            fits[1] = fits[1] && four >= 0;
            all = join(all, s);
        }
        if (all < 0 && unit != UNIT) return false; /* no type has such groups */
    }
    m->form = TN_MATRIX_DENSE;
    m->scale = all > 0 ? all : 0;
    m->group = all >= 0 ? 0 : fits[1] ? 256 : fits[0] ? 128 : UNIT;
    return all != 0; /* a matrix of zeros says nothing */
}

static TernStatus read_packed(const TnMatrix *m, uint64_t row, int8_t *trits, const char *path,
                              TernError *err) {
    uint64_t quarter = (m->rows + 3) / 4;
    const uint8_t *p = m->t->data + row % quarter * m->cols;
    unsigned shift = (unsigned)(row / quarter * 2);
    for (uint64_t i = 0; i < m->cols; i++) {
        unsigned code = p[i] >> shift & 3;
        if (code == 3)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: tensor %s has the code 3 in row %llu, column %llu, expected 0 to 2", path,
                           m->t->name, (unsigned long long)row, (unsigned long long)i);
        trits[i] = (int8_t)((int)code - 1);
    }
    return TERN_OK;
}

static TernStatus read_master(const TnMatrix *m, uint64_t row, int8_t *trits, const char *path,
                              TernError *err) {
    for (uint64_t i = 0; i < m->cols; i++) {
        float v = tn_safe_float(m->t, row * m->cols + i);
        if (!isfinite(v))
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: tensor %s has a number that is not finite in row %llu, column %llu", path,
                           m->t->name, (unsigned long long)row, (unsigned long long)i);
        float q = rintf(v / m->scale);
        trits[i] = (int8_t)(q < -1 ? -1 : q > 1 ? 1 : (int)q);
    }
    return TERN_OK;
}

static void read_dense(const TnMatrix *m, uint64_t row, uint32_t block, int8_t *trits, float *scales) {
    for (uint64_t i = 0; i < m->cols; i++) {
        float v = tn_safe_float(m->t, row * m->cols + i);
        trits[i] = (int8_t)((v > 0) - (v < 0));
        if (block && i % block == 0) scales[i / block] = m->scale;
        if (block && v != 0) scales[i / block] = fabsf(v);
    }
}

TernStatus tn_matrix_read(const TnMatrix *m, uint64_t r, uint64_t n, uint32_t block, int8_t *trits,
                          float *scales, const char *path, TernError *err) {
    size_t blocks = block ? m->cols / block : 0;
    for (uint64_t i = 0; i < n; i++, trits += m->cols, scales += blocks) {
        uint64_t row = tn_matrix_row(m, r + i);
        if (m->form == TN_MATRIX_DENSE) {
            read_dense(m, row, block, trits, scales);
            continue;
        }
        if (m->form == TN_MATRIX_PACKED)
            TN_TRY(read_packed(m, row, trits, path, err));
        else
            TN_TRY(read_master(m, row, trits, path, err));
        for (size_t b = 0; b < blocks; b++) scales[b] = m->scale;
    }
    return TERN_OK;
}
