/* The scales of stored ternary matrices: where they lie, and what they say of the matrix.
 *
 * A file of one scale a block may well hold the same one in all of them, since its type was chosen for its size. Then the
 * model is one of a scale a tensor. Blocks of zeros do not count: their writers put 0 there, or nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/stored_blocks.h"
#include "ir/stored_tiles.h"
#include "ir/weights.h"
#include "runtime/base/half.h"

static float f32_at(const uint8_t *p) {
    float f;
    memcpy(&f, p, 4);
    return f;
}

/* Of an encoding of blocks that have one each. */
static float block_scale(TnEnc enc, const uint8_t *block) {
    bool first = enc == TN_ENC_q2g64 || enc == TN_ENC_q2g128;
    return tn_f16_at(first ? block : block + tn_encs[enc].block_bytes - 2);
}

static bool has_row_scale(TnEnc enc) {
    return enc == TN_ENC_iq1bn || enc == TN_ENC_iq2bn || enc == TN_ENC_iq2bn4;
}

static float row_scale(const TnType *t, const uint8_t *raw, int64_t row) {
    if (t->enc == TN_ENC_iq2bn4) return f32_at(raw + row / 4 * (16 + t->dim[1]) + row % 4 * 4);
    const uint8_t *p = raw + (size_t)row * tn_row_bytes(t);
    return t->enc == TN_ENC_iq1bn ? tn_f16_at(p) : f32_at(p);
}

void tn_stored_row_scales(const TnType *t, const void *raw, int64_t row, float *out) {
    if (has_row_scale(t->enc)) {
        *out = row_scale(t, raw, row);
        return;
    }
    const uint8_t *p = (const uint8_t *)raw + (size_t)row * tn_row_bytes(t);
    for (int64_t i = 0; i < tn_type_row_scales(t); i++)
        out[i] = block_scale(t->enc, p + (size_t)i * tn_encs[t->enc].block_bytes);
}

/* ---- Codes of two bits */

/* Whether one of n bytes holds a code 3. */
static bool has_three(const uint8_t *p, size_t n) {
    uint8_t bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (uint8_t)(p[i] & p[i] >> 1 & 0x55);
    return bad;
}

/* Of all n bytes at raw: i2s and its like. */
static TernStatus check_codes(const uint8_t *raw, size_t n, const char *name, TernError *err) {
    for (size_t lo = 0; lo < n; lo += 32) {
        size_t some = n - lo < 32 ? n - lo : 32;
        if (!has_three(raw + lo, some)) continue;
        for (size_t i = lo; i < lo + some; i++)
            if (has_three(raw + i, 1))
                return tn_fail(err, TERN_ERR_INPUT,
                               "tensor %s: byte %zu is 0x%02x, which holds code 3; ternary codes are 0 to 2",
                               name, i, raw[i]);
    }
    return TERN_OK;
}

/* ---- One scale for the tensor, after its codes */

static TernStatus tensor_scale(const TnType *t, const uint8_t *raw, const char *name, TnStoredScale *out,
                               TernError *err) {
    size_t bytes = tn_raw_bytes(t) - 32;
    TN_TRY(tn_enc_is_tiled(t->enc) ? tn_tiled_check(t, raw, name, err) : check_codes(raw, bytes, name, err));
    out->scale = f32_at(raw + bytes);
    if (!(fabsf(out->scale) < INFINITY))
        return tn_fail(err, TERN_ERR_INPUT, "tensor %s: scale is %g, expected a finite number", name,
                       (double)out->scale);
    return TERN_OK;
}

/* ---- One a row or block */

/* What was found so far. */
typedef struct Seen {
    bool any;         /* a scale that counts; it is in out->scale */
    bool differ;      /* and another one */
    int64_t odd;      /* of a row or block of zeros whose scale is no finite number; -1: none */
    const char *what; /* "row", "block" */
    const char *name;
    TernError *err;
} Seen;

static TernStatus not_finite(const Seen *s, int64_t number, float scale) {
    return tn_fail(s->err, TERN_ERR_INPUT, "tensor %s: scale of %s %lld is %g, expected a finite number",
                   s->name, s->what, (long long)number, (double)scale);
}

/* Whatever the weights are. */
static bool says_nothing(const Seen *s, float scale, const TnStoredScale *out) {
    return s->any && (scale == out->scale || (s->differ && fabsf(scale) < INFINITY));
}

/* `zero`: all its weights are. */
static TernStatus see(Seen *s, int64_t number, float scale, bool zero, TnStoredScale *out) {
    bool finite = fabsf(scale) < INFINITY;
    if (zero) {
        if (!finite && s->odd < 0) s->odd = number;
        return TERN_OK;
    }
    if (!finite) return not_finite(s, number, scale);
    if (s->any && scale != out->scale) s->differ = true;
    if (!s->any) out->scale = scale;
    s->any = true;
    return TERN_OK;
}

static bool all_zero(const int8_t *trits, int64_t n) {
    int8_t any = 0;
    for (int64_t i = 0; i < n; i++) any |= trits[i];
    return !any;
}

static TernStatus row_scales(const TnType *t, const uint8_t *raw, Seen *s, TnStoredScale *out) {
    int64_t k = t->dim[1];
    size_t head = tn_row_head(t->enc), bytes = tn_row_bytes(t);
    int8_t *trits = tn_xcalloc((size_t)k, 1);
    TernStatus st = t->enc == TN_ENC_iq2bn4 ? tn_tiled_check(t, raw, s->name, s->err) : TERN_OK;
    for (int64_t r = 0; r < t->dim[0] && st == TERN_OK; r++) {
        if (t->enc == TN_ENC_iq2bn && has_three(raw + (size_t)r * bytes + head, bytes - head)) {
            st = tn_fail(s->err, TERN_ERR_INPUT, "tensor %s: row %lld holds code 3; ternary codes are 0 to 2",
                         s->name, (long long)r);
            break;
        }
        float scale = row_scale(t, raw, r);
        if (says_nothing(s, scale, out)) continue;
        tn_decode_trits(t, raw, r, trits);
        st = see(s, r, scale, all_zero(trits, k), out);
    }
    free(trits);
    return st;
}

static TernStatus block_scales(const TnType *t, const uint8_t *raw, Seen *s, TnStoredScale *out) {
    size_t bytes = tn_encs[t->enc].block_bytes;
    int64_t blocks = (int64_t)(tn_raw_bytes(t) / bytes), elems = tn_encs[t->enc].block_elems;
    bool may_two = t->enc == TN_ENC_q2g64 || t->enc == TN_ENC_q2g128;
    TnBlockTrits *decode = tn_block_trits(t->enc);
    for (int64_t b = 0; b < blocks; b++, raw += bytes) {
        bool three =
            (may_two && has_three(raw + 2, bytes - 2)) || (t->enc == TN_ENC_tq2 && has_three(raw, bytes - 2));
        if (three && !may_two)
            return tn_fail(s->err, TERN_ERR_INPUT,
                           "tensor %s: block %lld holds code 3; ternary codes are 0 to 2", s->name,
                           (long long)b);
        out->two |= three;
        float scale = block_scale(t->enc, raw);
        if (says_nothing(s, scale, out)) continue;
        int8_t trits[256];
        decode(raw, trits);
        TN_TRY(see(s, b, scale, all_zero(trits, elems), out));
    }
    return TERN_OK;
}

TernStatus tn_stored_scale(const TnType *t, const void *raw, const char *name, TnStoredScale *out,
                           TernError *err) {
    TN_CHECK(tn_encs[t->enc].kind == TN_STORED && tn_enc_is_ternary(t->enc));
    *out = (TnStoredScale){0};
    Seen s = {.odd = -1, .what = has_row_scale(t->enc) ? "row" : "block", .name = name, .err = err};
    if (has_row_scale(t->enc)) {
        TN_TRY(row_scales(t, raw, &s, out));
        if (s.differ) out->group = TN_GROUP_ROW;
    } else if (tn_encs[t->enc].block_elems) {
        TN_TRY(block_scales(t, raw, &s, out));
        if (s.differ) out->group = tn_encs[t->enc].block_elems;
    } else {
        return tensor_scale(t, raw, name, out, err);
    }
    return s.differ && s.odd >= 0 ? not_finite(&s, s.odd, NAN) : TERN_OK; /* it would be multiplied with */
}
