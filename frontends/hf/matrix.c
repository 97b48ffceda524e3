/* Ternary matrices of checkpoints.
 *
 * Packed: uint8 [ceil(rows / 4), cols]. A byte has the codes (weight + 1) of four rows that lie a quarter of the rows apart,
 * the first in its lowest two bits. If rows are not a multiple of 4, they were padded.
 *
 * Rope: checkpoints rotate column i of a head with column i + half a head; llama.cpp rotates neighbours. So its converter
 * interleaves the rows of q and k of the models that it calls llama and minicpm, and so does this file, for a row of the
 * GGUF names a row of the checkpoint. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/half.h"

void tn_safe_floats(const TnSafeTensor *t, size_t at, size_t n, float *out) {
    const uint8_t *p = t->data + at * t->type->bytes;
    uint16_t h;
    switch (t->type->kind) {
    case TN_SAFE_F32:
        memcpy(out, p, 4 * n);
        return;
    case TN_SAFE_F16:
        for (size_t i = 0; i < n; i++) out[i] = tn_f16_at(p + 2 * i);
        return;
    case TN_SAFE_BF16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&h, p + 2 * i, 2);
            out[i] = tn_bf16_to_f32(h);
        }
        return;
    case TN_SAFE_U8:
    case TN_SAFE_OTHER:
        break;
    }
    TN_BUG("numbers of type %s", t->type->name);
}

uint64_t tn_matrix_row(const TnMatrix *m, uint64_t r) {
    if (!m->heads) return r;
    uint64_t head = m->rows / m->heads, k = r % head;
    return r - k + k % 2 * (head / 2) + k / 2;
}

void tn_matrix_absmean(TnMatrix *m) {
    float *row = tn_xcalloc(m->cols, sizeof *row);
    double sum = 0;
    for (uint64_t r = 0; r < m->rows; r++) {
        tn_safe_floats(m->t, r * m->cols, m->cols, row);
        for (uint64_t i = 0; i < m->cols; i++) sum += fabs((double)row[i]);
    }
    free(row);
    m->scale = (float)fmax(sum / (double)(m->rows * m->cols), 1e-5);
}

/* The one magnitude of n numbers apart from 0 (0 if all are 0); -1 if there are several, or one that is not finite. */
static float magnitude(const float *x, size_t n) {
    float s = 0;
    for (size_t i = 0; i < n; i++) {
        float v = fabsf(x[i]);
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

/* What is known of a matrix while its rows are read. */
typedef struct Groups {
    size_t unit, units; /* columns that are looked at together; in a row */
    float all;          /* the magnitude of all so far; -1: there are several */
    bool fits[2];       /* groups of 128, of 256 */
} Groups;

static bool row_is_ternary(const float *row, Groups *g) {
    float pair = 0, four = 0;
    for (size_t u = 0; u < g->units; u++) {
        float s = magnitude(row + u * g->unit, g->unit);
        if (s < 0) return false;
        pair = join(u % 2 ? pair : 0, s);
        four = join(u % 4 ? four : 0, s);
        g->fits[0] = g->fits[0] && pair >= 0;
        g->fits[1] = g->fits[1] && four >= 0;
        g->all = join(g->all, s);
    }
    return true;
}

bool tn_matrix_is_ternary(TnMatrix *m) {
    enum { UNIT = 64 };
    Groups g = {.unit = m->cols % UNIT ? m->cols : UNIT};
    g.units = m->cols / g.unit;
    g.fits[0] = g.units % 2 == 0;
    g.fits[1] = g.units % 4 == 0;
    float *row = tn_xcalloc(m->cols, sizeof *row);
    bool is = true;
    for (uint64_t r = 0; is && r < m->rows; r++) {
        tn_safe_floats(m->t, r * m->cols, m->cols, row);
        is = row_is_ternary(row, &g);
        if (g.all < 0 && g.unit != UNIT) is = false; /* no type has such groups */
    }
    free(row);
    if (!is) return false;
    m->form = TN_MATRIX_DENSE;
    m->scale = g.all > 0 ? g.all : 0;
    m->group = g.all >= 0 ? 0 : g.fits[1] ? 256 : g.fits[0] ? 128 : UNIT;
    return g.all != 0; /* a matrix of zeros says nothing */
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

static TernStatus read_master(const TnMatrix *m, uint64_t row, const float *x, int8_t *trits,
                              const char *path, TernError *err) {
    for (uint64_t i = 0; i < m->cols; i++) {
        if (!isfinite(x[i]))
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: tensor %s has a number that is not finite in row %llu, column %llu", path,
                           m->t->name, (unsigned long long)row, (unsigned long long)i);
        float q = rintf(x[i] / m->scale);
        trits[i] = (int8_t)(q < -1 ? -1 : q > 1 ? 1 : (int)q);
    }
    return TERN_OK;
}

static void read_dense(const TnMatrix *m, const float *x, uint32_t block, int8_t *trits, float *scales) {
    for (uint64_t i = 0; i < m->cols; i++) {
        trits[i] = (int8_t)((x[i] > 0) - (x[i] < 0));
        if (block && i % block == 0) scales[i / block] = m->scale;
        if (block && x[i] != 0) scales[i / block] = fabsf(x[i]);
    }
}

static float packed_scale(const TnMatrix *m, uint64_t row, uint64_t col) {
    float says;
    uint64_t r = row / (m->rows / m->scale_rows), c = col / (m->cols / m->scale_cols);
    tn_safe_floats(m->scales, r * m->scale_cols + c, 1, &says);
    return m->over ? 1 / says : says;
}

static TernStatus read_row(const TnMatrix *m, uint64_t row, float *x, uint32_t block, int8_t *trits,
                           float *scales, const char *path, TernError *err) {
    size_t blocks = block ? m->cols / block : 0;
    for (size_t b = 0; b < blocks; b++) scales[b] = m->scales ? packed_scale(m, row, b * block) : m->scale;
    if (m->form == TN_MATRIX_PACKED) return read_packed(m, row, trits, path, err);
    tn_safe_floats(m->t, row * m->cols, m->cols, x);
    if (m->form == TN_MATRIX_MASTER) return read_master(m, row, x, trits, path, err);
    read_dense(m, x, block, trits, scales);
    return TERN_OK;
}

TernStatus tn_matrix_read(const TnMatrix *m, uint64_t r, uint64_t n, uint32_t block, int8_t *trits,
                          float *scales, const char *path, TernError *err) {
    size_t blocks = block ? m->cols / block : 0;
    float *x = tn_xcalloc(m->cols, sizeof *x);
    TernStatus st = TERN_OK;
    for (uint64_t i = 0; i < n && st == TERN_OK; i++)
        st = read_row(m, tn_matrix_row(m, r + i), x, block, trits + i * m->cols, scales + i * blocks, path,
                      err);
    free(x);
    return st;
}
