/* Compares two buffers of one type, laid out as in type_layout.h, value by value. */
#include <stdio.h>
#include <string.h>
#include "frontends/tools/verify.h"
#include "runtime/base/half.h"

/* How a value is printed; codes are those of q8 rows. */
typedef enum Kind { KIND_F32, KIND_F16, KIND_BF16, KIND_I32, KIND_I8 } Kind;

static Kind kind_of(TnEnc e) {
    switch (e) {
    case TN_ENC_f16:
    case TN_ENC_kc_f16:
    case TN_ENC_vc_f16:
        return KIND_F16;
    case TN_ENC_bf16:
        return KIND_BF16;
    case TN_ENC_i32:
        return KIND_I32;
    case TN_ENC_i8:
    case TN_ENC_kc_i8:
    case TN_ENC_vc_i8:
        return KIND_I8;
    default:
        return KIND_F32;
    }
}

static size_t bytes_of(Kind k) {
    return k == KIND_I8 ? 1 : k == KIND_F16 || k == KIND_BF16 ? 2 : 4;
}

/* Maps floats to integers so that neighbours are 1 apart. */
static int64_t rank_of(uint32_t bits, uint32_t sign) {
    return bits & sign ? -(int64_t)(bits & ~sign) : (int64_t)bits;
}

static void put_float(float f, char *out, size_t n) {
    TnBuf hex = {0};
    tn_print_float(f, &hex);
    snprintf(out, n, "%.9g (%s)", (double)f, hex.data);
    tn_buf_free(&hex);
}

static void put_apart(int64_t d, const char *unit, char *out, size_t n) {
    snprintf(out, n, "%lld%s apart", (long long)(d < 0 ? -d : d), unit);
}

static void put_values(Kind k, const void *x, const void *y, TnMismatch *out) {
    if (k == KIND_I8 || k == KIND_I32) {
        int32_t a = 0, b = 0;
        if (k == KIND_I8) {
            a = *(const int8_t *)x;
            b = *(const int8_t *)y;
        } else {
            memcpy(&a, x, 4);
            memcpy(&b, y, 4);
        }
        snprintf(out->a, sizeof out->a, "%d", a);
        snprintf(out->b, sizeof out->b, "%d", b);
        put_apart((int64_t)a - b, "", out->apart, sizeof out->apart);
        return;
    }
    uint32_t a = 0, b = 0, sign = k == KIND_F32 ? 1u << 31 : 1u << 15;
    memcpy(&a, x, bytes_of(k));
    memcpy(&b, y, bytes_of(k));
    float f = k == KIND_F32   ? tn_bits_f32(a)
              : k == KIND_F16 ? tn_f16_to_f32((uint16_t)a)
                              : tn_bf16_to_f32((uint16_t)a);
    float g = k == KIND_F32   ? tn_bits_f32(b)
              : k == KIND_F16 ? tn_f16_to_f32((uint16_t)b)
                              : tn_bf16_to_f32((uint16_t)b);
    put_float(f, out->a, sizeof out->a);
    put_float(g, out->b, sizeof out->b);
    if (f != f || g != g)
        snprintf(out->apart, sizeof out->apart, "bits 0x%x and 0x%x", a, b);
    else
        put_apart(rank_of(a, sign) - rank_of(b, sign), " ulp", out->apart, sizeof out->apart);
}

/* ---- one run of values of a kind */

typedef struct Compare {
    TnMismatch *out;
    bool signs; /* whether 0 and -0 differ */
    uint64_t differ, of, zeros;
} Compare;

static bool both_zero(Kind k, const uint8_t *a, const uint8_t *b) {
    uint32_t x = 0, y = 0;
    if (k == KIND_I8 || k == KIND_I32) return false;
    memcpy(&x, a, bytes_of(k));
    memcpy(&y, b, bytes_of(k));
    return ((x | y) << (k == KIND_F32 ? 1 : 17)) == 0;
}

/* Returns the first place in the run that differs, if it is the first difference of all, else -1. */
static int64_t compare_run(Compare *c, Kind k, const uint8_t *a, const uint8_t *b, int64_t n) {
    size_t size = bytes_of(k);
    c->of += (uint64_t)n;
    if (memcmp(a, b, (size_t)n * size) == 0) return -1;
    int64_t first = -1;
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(a + (size_t)i * size, b + (size_t)i * size, size) == 0) continue;
        if (!c->signs && both_zero(k, a + (size_t)i * size, b + (size_t)i * size)) {
            c->zeros++;
            continue;
        }
        if (first < 0) first = i;
        c->differ++;
    }
    if (first < 0 || c->out->place[0]) return -1;
    put_values(k, a + (size_t)first * size, b + (size_t)first * size, c->out);
    return first;
}

static void caches(Compare *c, const TnType *t, const int64_t *sym, const uint8_t *a, const uint8_t *b) {
    int64_t pages = tn_type_rows(t, sym), heads = t->dim[1], dim = t->dim[2];
    bool keys = tn_enc_is_kcache(t->enc);
    Kind k = kind_of(t->enc);
    int64_t outer = keys ? dim : TN_PAGE, inner = keys ? TN_PAGE : dim;
    for (int64_t p = 0; p < pages; p++)
        for (int64_t h = 0; h < heads; h++) {
            size_t at = (size_t)p * tn_page_bytes(t) + (size_t)h * tn_page_head_bytes(t);
            for (int64_t o = 0; o < outer; o++, at += (size_t)inner * bytes_of(k)) {
                int64_t i = compare_run(c, k, a + at, b + at, inner);
                if (i < 0) continue;
                c->out->row = p;
                snprintf(c->out->place, sizeof c->out->place, "page %lld, head %lld, place %lld, column %lld",
                         (long long)p, (long long)h, (long long)(keys ? i : o), (long long)(keys ? o : i));
            }
            int64_t i = k == KIND_I8 ? compare_run(c, KIND_F32, a + at, b + at, TN_PAGE) : -1;
            if (i < 0) continue;
            c->out->row = p;
            snprintf(c->out->place, sizeof c->out->place, "page %lld, head %lld, place %lld, the scale",
                     (long long)p, (long long)h, (long long)i);
        }
}

static void say(Compare *c, int64_t row, const char *fmt, int64_t col) {
    int n = snprintf(c->out->place, sizeof c->out->place, "row %lld, ", (long long)row);
    snprintf(c->out->place + n, sizeof c->out->place - (size_t)n, fmt, (long long)col);
    c->out->row = row;
}

static void q8_rows(Compare *c, const TnType *t, int64_t rows, const uint8_t *a, const uint8_t *b) {
    size_t stride = tn_row_bytes(t);
    for (int64_t r = 0; r < rows; r++, a += stride, b += stride) {
        int64_t i;
        if (compare_run(c, KIND_F32, a, b, 1) >= 0) say(c, r, "the scale of the row", 0);
        if (compare_run(c, KIND_I32, a + 4, b + 4, 1) >= 0) say(c, r, "the sum of the row", 0);
        if ((i = compare_run(c, KIND_I8, a + TN_Q8_HEAD, b + TN_Q8_HEAD, t->dim[t->rank - 1])) >= 0)
            say(c, r, "code %lld", i);
    }
}

/* Scales and sums of groups, then codes. */
static void q8g_rows(Compare *c, const TnType *t, int64_t rows, const uint8_t *a, const uint8_t *b) {
    size_t stride = tn_row_bytes(t), part = tn_q8g_part(t);
    int64_t groups = tn_type_row_scales(t), i;
    for (int64_t r = 0; r < rows; r++, a += stride, b += stride) {
        if ((i = compare_run(c, KIND_F32, a, b, groups)) >= 0) say(c, r, "the scale of group %lld", i);
        if ((i = compare_run(c, KIND_I32, a + part, b + part, groups)) >= 0)
            say(c, r, "the sum of group %lld", i);
        i = compare_run(c, KIND_I8, a + 2 * part, b + 2 * part, t->dim[1]);
        if (i >= 0) say(c, r, "code %lld", i);
    }
}

/* Compares rows of q14: head and both limbs. */
static void q14_rows(Compare *c, const TnType *t, int64_t rows, const uint8_t *a, const uint8_t *b) {
    size_t stride = tn_row_bytes(t);
    for (int64_t r = 0; r < rows; r++, a += stride, b += stride) {
        int64_t i;
        if (compare_run(c, KIND_I32, a, b, TN_Q14_HEAD / 4) >= 0) say(c, r, "the head of the row", 0);
        if ((i = compare_run(c, KIND_I8, a + TN_Q14_HEAD, b + TN_Q14_HEAD, (int64_t)stride - TN_Q14_HEAD)) >=
            0)
            say(c, r, "limb %lld", i);
    }
}

static void matrix_rows(Compare *c, const TnType *t, int64_t rows, const uint8_t *a, const uint8_t *b) {
    size_t stride = tn_row_bytes(t);
    int64_t cols = tn_row_elems(t);
    if (t->rank == 2 && tn_dim_is_sym(t->dim[1])) return; /* a table of pages: only ever an input */
    for (int64_t r = 0; r < rows; r++, a += stride, b += stride) {
        int64_t i = compare_run(c, kind_of(t->enc), a, b, cols);
        if (i >= 0) say(c, r, "column %lld", i);
    }
}

static bool compare(const TnType *t, const int64_t *sym, const void *a, const void *b, TnTally *tally,
                    uint64_t *zeros, TnMismatch *out) {
    TnMismatch none;
    Compare c = {.out = out ? out : &none, .signs = !zeros};
    memset(c.out, 0, sizeof *c.out);
    TnEncKind kind = tn_encs[t->enc].kind;
    if (kind == TN_CACHE)
        caches(&c, t, sym, a, b);
    else if (kind == TN_Q8)
        q8_rows(&c, t, tn_type_rows(t, sym), a, b);
    else if (kind == TN_Q8_GROUPS)
        q8g_rows(&c, t, tn_type_rows(t, sym), a, b);
    else if (kind == TN_LIMBS)
        q14_rows(&c, t, tn_type_rows(t, sym), a, b);
    else
        matrix_rows(&c, t, tn_type_rows(t, sym), a, b);
    c.out->n = c.differ;
    c.out->of = c.of;
    if (tally) {
        tally->values += c.of;
        tally->bytes += tn_type_bytes(t, sym);
    }
    if (zeros) *zeros += c.zeros;
    return c.differ == 0;
}

bool tn_values_compare(const TnType *t, const int64_t *sym, const void *a, const void *b, TnTally *tally,
                       TnMismatch *out) {
    return compare(t, sym, a, b, tally, NULL, out);
}

bool tn_values_alike(const TnType *t, const int64_t *sym, const void *a, const void *b, TnTally *tally,
                     uint64_t *zeros, TnMismatch *out) {
    return compare(t, sym, a, b, tally, zeros, out);
}
