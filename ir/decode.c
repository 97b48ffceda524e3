/* Decodes and encodes weights, one row at a time. Blocks of every encoding decode to a fixed number of values
 * in loops of constant length, which compilers turn into vector code. */
#include "ir/weights.h"

#include "ir/r64.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/stored_blocks.h"
#include "ir/stored_tiles.h"
#include "runtime/base/half.h"
#include "runtime/base/reader.h"

int64_t tn_weight_len(const TnType *t) {
    TN_CHECK(t->rank >= 1 && t->dim[t->rank - 1] >= 0);
    return t->dim[t->rank - 1];
}

int64_t tn_weight_count(const TnType *t) {
    int64_t n = 1;
    for (int i = 0; i + 1 < t->rank; i++) {
        TN_CHECK(t->dim[i] >= 0);
        n *= t->dim[i];
    }
    return n;
}

size_t tn_raw_bytes(const TnType *t) {
    size_t rows = (size_t)tn_weight_count(t), k = (size_t)tn_weight_len(t);
    if (tn_encs[t->enc].kind == TN_STORED) return tn_type_bytes(t, NULL);
    if (tn_encs[t->enc].kind == TN_DENSE) return rows * k * tn_encs[t->enc].block_bytes;
    return rows * tn_row_bytes(t);
}

/* ---- floats */

/* The same as tn_f16_to_f32, without branches. */
static void widen_f16(const void *src, size_t n, float *restrict out) {
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2); /* tensors in files need not be aligned */
        uint32_t a = (uint32_t)(h & 0x7fff) << 13;
        uint32_t finite = tn_f32_bits(tn_bits_f32(a) * 0x1p112f);
        uint32_t rest = a | 0x7f800000u | (a > 0x0f800000u ? 0x400000u : 0);
        out[i] = tn_bits_f32((a >= 0x0f800000u ? rest : finite) | (uint32_t)(h & 0x8000) << 16);
    }
}

static void widen_bf16(const void *src, size_t n, float *restrict out) {
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = tn_bf16_to_f32(h);
    }
}

/* The same as tn_f32_to_f16, without branches. */
static void narrow_f16(const float *in, size_t n, uint16_t *restrict out) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u = tn_f32_bits(in[i]), a = u & 0x7fffffffu;
        uint32_t r = a - (112u << 23), normal = (r + 0xfff + (r >> 13 & 1)) >> 13;
        /* the last place of 0.5f is that of a subnormal half, so the addition rounds */
        uint32_t small = tn_f32_bits(tn_bits_f32(a) + 0.5f) - tn_f32_bits(0.5f);
        uint32_t nan = 0x7e00 | (a >> 13 & 0x3ff);
        uint32_t h = a < 0x38800000u ? small : normal;
        h = a >= 0x47800000u ? 0x7c00 : h;
        h = a > 0x7f800000u ? nan : h;
        out[i] = (uint16_t)(u >> 16 & 0x8000) | (uint16_t)h;
    }
}

static void narrow_bf16(const float *in, size_t n, uint16_t *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = tn_f32_to_bf16(in[i]);
}

static void decode_floats(const TnType *t, const uint8_t *row, float *out) {
    size_t k = (size_t)tn_weight_len(t), step = tn_encs[t->enc].block_elems,
           bytes = tn_encs[t->enc].block_bytes;
    switch (t->enc) {
    case TN_ENC_f32:
        memcpy(out, row, k * 4);
        return;
    case TN_ENC_f16:
        widen_f16(row, k, out);
        return;
    case TN_ENC_bf16:
        widen_bf16(row, k, out);
        return;
    default:
        break;
    }
    TnBlockFloats *block = tn_block_floats(t->enc);
    if (!block) TN_BUG("%s rows are not floats", tn_encs[t->enc].name);
    for (size_t i = 0; i < k; i += step, row += bytes) {
        float part[256], *o = k - i < step ? part : out + i;
        block(row, o);
        if (o == part) memcpy(out + i, part, (k - i) * sizeof(float));
    }
}

/* Codes of the whole tensor come before its scale. */
static void decode_i8s(const TnType *t, const uint8_t *raw, int64_t row, float *restrict out) {
    size_t k = (size_t)tn_weight_len(t), rows = (size_t)tn_weight_count(t);
    const uint8_t *codes = raw + (size_t)row * k;
    float d;
    memcpy(&d, raw + rows * k, 4);
    for (size_t i = 0; i < k; i++) out[i] = d * (float)(int8_t)codes[i];
}

void tn_decode_row(const TnType *t, const void *data, int64_t row, float *out) {
    if (t->enc == TN_ENC_i8s)
        decode_i8s(t, data, row, out);
    else
        decode_floats(t, (const uint8_t *)data + (size_t)row * tn_row_bytes(t), out);
}

void tn_decode_raw(const TnType *t, const void *raw, int64_t row, float *out) {
    if (t->enc == TN_ENC_i8s)
        decode_i8s(t, raw, row, out);
    else
        decode_floats(t, (const uint8_t *)raw + (size_t)row * (tn_raw_bytes(t) / (size_t)tn_weight_count(t)),
                      out);
}

static int32_t to_int(float f, float lo, float hi) {
    float r = rintf(f);
    if (!(r > lo)) return r == r ? (int32_t)lo : 0;
    return r < hi ? (int32_t)r : hi > 127.0f ? INT32_MAX : 127;
}

void tn_encode_row(const TnType *t, const float *in, void *out_row) {
    size_t k = (size_t)tn_weight_len(t), e = tn_encs[t->enc].block_bytes;
    TN_CHECK(tn_encs[t->enc].kind == TN_DENSE);
    memset((uint8_t *)out_row + k * e, 0, (tn_round_up(k, TN_PAD) - k) * e);
    switch (t->enc) {
    case TN_ENC_f32:
        memcpy(out_row, in, k * 4);
        return;
    case TN_ENC_f16:
        narrow_f16(in, k, out_row);
        return;
    case TN_ENC_bf16:
        narrow_bf16(in, k, out_row);
        return;
    case TN_ENC_i32:
        for (size_t i = 0; i < k; i++) ((int32_t *)out_row)[i] = to_int(in[i], -0x1p31f, 0x1p31f);
        return;
    case TN_ENC_i8:
        for (size_t i = 0; i < k; i++) ((int8_t *)out_row)[i] = (int8_t)to_int(in[i], -128.0f, 127.0f);
        return;
    default:
        TN_BUG("%s rows are not made of floats", tn_encs[t->enc].name);
    }
}

/* ---- trits */

static void decode_block(TnEnc enc, const uint8_t *b, int8_t *restrict out) {
    TnBlockTrits *block = tn_block_trits(enc);
    if (!block) TN_BUG("%s has no ternary blocks", tn_encs[enc].name);
    block(b, out);
}

void tn_decode_trits(const TnType *t, const void *data, int64_t row, int8_t *out) {
    size_t k = (size_t)tn_weight_len(t), skip = 0;
    size_t step = tn_encs[t->enc].block_elems, bytes = tn_encs[t->enc].block_bytes;
    if (tn_enc_is_tiled(t->enc)) {
        tn_tiled_trits(t, data, row, out);
        return;
    }
    const uint8_t *p = (const uint8_t *)data + (size_t)row * tn_row_bytes(t) + tn_row_head(t->enc);
    if (t->enc == TN_ENC_t8) {
        memcpy(out, p, k);
        return;
    }
    if (tn_rows_together(t) > 1) {
        tn_r64_trits(t, data, row, out);
        return;
    }
    bool flat = t->enc == TN_ENC_i2s || t->enc == TN_ENC_i2s64;
    if (flat) { /* blocks run over the flat tensor: a row may begin inside one */
        step = t->enc == TN_ENC_i2s ? 128 : 64, bytes = step / 4;
        skip = (size_t)row * k % step;
        p = (const uint8_t *)data + (size_t)row * k / step * bytes;
    }
    for (size_t i = 0; i < k; p += bytes) {
        size_t n = step - skip < k - i ? step - skip : k - i;
        if (n == step)
            decode_block(t->enc, p, out + i);
        else {
            int8_t part[256];
            decode_block(t->enc, p, part);
            memcpy(out + i, part + skip, n);
        }
        i += n;
        skip = 0;
    }
}

void tn_encode_trits(const TnType *t, const int8_t *in, void *out_row) {
    size_t k = (size_t)tn_weight_len(t);
    if (t->enc == TN_ENC_t8) {
        memcpy(out_row, in, k);
        memset((uint8_t *)out_row + k, 0, tn_round_up(k, TN_PAD) - k);
        return;
    }
    TN_CHECK(t->enc == TN_ENC_p64);
    uint8_t *restrict o = out_row;
    for (size_t i = 0; i < k; i += 256, o += 64) {
        int8_t part[256] = {0};
        const int8_t *s = in + i;
        if (k - i < 256) s = memcpy(part, s, k - i);
        for (int j = 0; j < 64; j++)
            o[j] =
                (uint8_t)((s[j] + 1) | (s[64 + j] + 1) << 2 | (s[128 + j] + 1) << 4 | (s[192 + j] + 1) << 6);
    }
}

/* ---- scales */

void tn_decode_scales(const TnType *t, const void *data, int64_t row, float *out) {
    const uint8_t *p = data;
    size_t n = (size_t)tn_type_row_scales(t) * sizeof(float);
    switch (t->enc) {
    case TN_ENC_r64:
        tn_r64_scales(t, data, row, out);
        return;
    case TN_ENC_t8: /* after all rows */
    case TN_ENC_p64:
    case TN_ENC_b64:
    case TN_ENC_b80:
        memcpy(out, p + tn_tail_at(t) + (size_t)row * n, n);
        return;
    default:
        tn_stored_row_scales(t, data, row, out);
    }
}

void tn_decode_ternary(const TnType *t, const void *data, int64_t row, float *out) {
    int64_t k = tn_weight_len(t), groups = tn_type_row_scales(t), n = groups > 1 ? k / groups : k;
    int8_t *trits = tn_xcalloc((size_t)k, 1);
    float one = groups ? 0.0f : tn_type_scale(t, row),
          *scales = tn_xcalloc((size_t)groups + 1, sizeof *scales);
    tn_decode_trits(t, data, row, trits);
    if (groups) tn_decode_scales(t, data, row, scales);
    for (int64_t i = 0; i < k; i++) out[i] = (float)trits[i] * (groups ? scales[i / n] : one);
    free(scales);
    free(trits);
}

TernStatus tn_dense_scale(const TnType *t, const void *raw, const char *name, float *out, TernError *err) {
    int64_t rows = tn_weight_count(t), k = tn_weight_len(t);
    float *row = tn_xcalloc((size_t)k, sizeof *row), s = 0.0f;
    TernStatus st = TERN_OK;
    for (int64_t r = 0; r < rows && st == TERN_OK; r++) {
        tn_decode_raw(t, raw, r, row);
        for (int64_t i = 0; i < k; i++) {
            float a = fabsf(row[i]);
            if (a == s || a == 0.0f) continue;
            if (s == 0.0f && a < INFINITY) {
                s = a;
                continue;
            }
            st = tn_fail(err, TERN_ERR_INPUT,
                         "tensor %s: row %lld column %lld is %.9g; a ternary matrix holds only 0 and +-%.9g",
                         name, (long long)r, (long long)i, (double)row[i], (double)s);
            break;
        }
    }
    free(row);
    *out = s;
    return st;
}
