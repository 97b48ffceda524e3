/* The head with a shadow table: limbs, estimate, rerank, rerank_top, pick (ir.h has the mathematics).
 *
 * The definitions of rerank and rerank_top say which rows they look at, so that every target looks at the same rows. The
 * bound guarantees that these are enough, and the tests check it. */
#include "ir/eval_ops.h"

#include <math.h>
#include <string.h>
#include "ir/shadow.h"
#include "runtime/base/fmath.h"

/* The head of a row of q14. */
typedef struct Limbs {
    float d;
    int32_t sum_h, sum_l;
    float x, y;
} Limbs;
_Static_assert(sizeof(Limbs) == 20, "the head of a row of q14 has no holes");

/* Lanes of fma(v, v, acc) in double. */
typedef struct Sum {
    double lane[TN_LANES];
} Sum;

TN_HOT double sum_of(const Sum *s) {
    double a[TN_LANES];
    memcpy(a, s->lane, sizeof a);
    for (int h = TN_LANES / 2; h > 0; h /= 2)
        for (int j = 0; j < h; j++) a[j] = a[j] + a[j + h];
    return a[0];
}

/* limbs x: see ops.def. x - x^ is exact except for one rounding in double. */
TN_FMA_CLONES static void limbs(const TnEvalOp *c) {
    int64_t k = tn_cols(&c->n->type), padded = ((int64_t)tn_row_bytes(&c->n->type) - TN_Q14_HEAD) / 2;
    const int64_t steps = (k + 31) / 32 + 16;
    const double up = 1.0 + 0x1p-20, places = (double)steps * 0x1p-24 * 1.01;
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        uint8_t *out = tn_out_row(c, t);
        int8_t *high = (int8_t *)out + TN_Q14_HEAD, *low = high + padded;
        Sum squares = {{0}}, errors = {{0}};
        Limbs r = {0};
        uint32_t top = tn_f32_bits(0x1p-100f);
        for (int64_t i = 0; i < k; i++) {
            uint32_t u = tn_f32_bits(x[i]) & 0x7fffffffu;
            top = u > top ? u : top;
        }
        memset(out, 0, tn_row_bytes(&c->n->type));
        float a = tn_bits_f32(top), most = (float)TN_LIMBS_MOST;
        bool finite = a < INFINITY;
        float f = finite ? most / a : 0.0f;
        r.d = finite ? a / most : 0.0f;
        for (int64_t i = 0; i < k; i++) {
            float v = rintf(x[i] * f);
            v = v > most ? most : v;
            v = v < -most ? -most : v;
            int32_t q = v == v ? (int32_t)v : 0, h = (q + 64) >> 7, l = q - 128 * h;
            double e = fma(-(double)r.d, (double)q, (double)x[i]), w = (double)x[i];
            squares.lane[i % TN_LANES] = fma(w, w, squares.lane[i % TN_LANES]);
            errors.lane[i % TN_LANES] = fma(e, e, errors.lane[i % TN_LANES]);
            high[i] = (int8_t)h;
            low[i] = (int8_t)l;
            r.sum_h += h;
            r.sum_l += l;
        }
        double norm = sqrt(sum_of(&squares)) * up;
        r.x = finite ? (float)norm + 0x1p-126f : INFINITY;
        r.y = finite ? (float)fma(places, norm, sqrt(sum_of(&errors)) * up) + 0x1p-126f : INFINITY;
        memcpy(out, &r, sizeof r);
    }
}
void tn_eval_op_limbs(const TnEvalOp *c) {
    limbs(c);
}

/* estimate q, s: exact sums of both limbs; then in double, where 128*H + L and the product of the two scales are exact */
TN_AVX2_CLONES static void estimate(const TnEvalOp *c) {
    const TnType *q = &tn_arg(c, 0)->type, *s = &tn_arg(c, 1)->type;
    int64_t k = tn_cols(s), rows = tn_out_rows(c);
    size_t padded = (tn_row_bytes(q) - TN_Q14_HEAD) / 2;
    const uint8_t *table = tn_arg_data(c, 1);
    int8_t *codes = (int8_t *)c->scratch;
    for (int64_t m = 0; m < s->dim[0]; m++) {
        tn_shadow_codes(s, table, m, codes);
        double scale = (double)tn_shadow_row_facts(s, table, m).scale;
        for (int64_t t = 0; t < rows; t++) {
            const uint8_t *x = tn_arg_row(c, 0, t);
            const int8_t *high = (const int8_t *)x + TN_Q14_HEAD, *low = high + padded;
            int32_t h = 0, l = 0;
            float d;
            memcpy(&d, x, 4);
            for (int64_t i = 0; i < k; i++) {
                h += high[i] * codes[i];
                l += low[i] * codes[i];
            }
            ((float *)tn_out_row(c, t))[m] = (float)(((double)h * 128.0 + (double)l) * (scale * (double)d));
        }
    }
}
void tn_eval_op_estimate(const TnEvalOp *c) {
    estimate(c);
}

/* ---- one row of the operands y, q, s, x, w */

typedef struct Head {
    const TnEvalOp *c;
    int64_t n; /* rows of the tables */
    const float *y, *x;
    Limbs limbs;
    const int8_t *high, *low;
    const uint8_t *shadow;
} Head;

static Head head_of(const TnEvalOp *c, int64_t row) {
    Head h = {.c = c, .n = tn_cols(&tn_arg(c, 0)->type)};
    h.y = tn_arg_row(c, 0, row);
    const uint8_t *q = tn_arg_row(c, 1, row);
    memcpy(&h.limbs, q, sizeof h.limbs);
    h.high = (const int8_t *)q + TN_Q14_HEAD;
    h.low = h.high + (tn_row_bytes(&tn_arg(c, 1)->type) - TN_Q14_HEAD) / 2;
    h.shadow = tn_arg_data(c, 2);
    h.x = tn_arg_row(c, 3, row);
    return h;
}

static float radius(const Head *h, int64_t r) {
    TnRowFacts f = tn_shadow_row_facts(&tn_arg(h->c, 2)->type, h->shadow, r);
    return tn_shadow_radius(h->limbs.x, h->limbs.y, f.error, f.norm);
}

/* 128*H + L, where H and L are sums of limbs with the signs of row r in a plane. */
static int32_t signed_sum(const Head *h, int plane, int64_t r) {
    const TnType *t = &tn_arg(h->c, 2)->type;
    const uint8_t *bits = tn_shadow_row_bits(t, h->shadow, plane, r);
    int32_t high = 0, low = 0;
    for (int64_t i = 0; i < t->dim[1]; i++) {
        int32_t sign = bits[i / 8] >> i % 8 & 1 ? 1 : -1;
        high += sign * h->high[i];
        low += sign * h->low[i];
    }
    return 128 * high + low;
}

/* Whether the element of row r may reach `least`: by the first bound, then by that of each plane. */
static bool may_reach(const Head *h, int64_t r, float least) {
    const TnType *t = &tn_arg(h->c, 2)->type;
    if (h->y[r] + radius(h, r) < least) return false;
    TnRowFacts f = tn_shadow_row_facts(t, h->shadow, r);
    double z = (double)h->y[r];
    for (int p = 0; p < tn_shadow_planes(t); p++) {
        z += (double)signed_sum(h, p, r) * ((double)f.step[p] * (double)h->limbs.d);
        if ((float)z + tn_shadow_radius(h->limbs.x, h->limbs.y, f.fine[p], f.norm) < least) return false;
    }
    return true;
}

/* Element r of a row of matmul x, w. */
TN_FMA_CLONES static float element(const TnEvalOp *c, uint32_t w, const float *x, int64_t r) {
    const TnType *t = &tn_arg(c, w)->type;
    int64_t k = tn_cols(t);
    for (int64_t i = k; i < (k + TN_LANES - 1) / TN_LANES * TN_LANES; i++) c->scratch[i] = 0.0f;
    tn_decode_row(t, tn_arg_data(c, w), r, c->scratch);
    return tn_dot(x, c->scratch, k);
}

static int64_t best_of(const Head *h) {
    int64_t best = 0;
    float most = -INFINITY;
    for (int64_t r = 0; r < h->n; r++) {
        float low = h->y[r] - radius(h, r);
        if (low > most) best = r, most = low;
    }
    float value = element(h->c, 4, h->x, best);
    if (!(fabsf(value) < INFINITY)) return -1;
    for (int64_t r = 0; r < h->n; r++) {
        if (!may_reach(h, r, value)) continue;
        float v = element(h->c, 4, h->x, r);
        if (!(fabsf(v) < INFINITY)) return -1;
        if (v > value || (v == value && r < best)) best = r, value = v;
    }
    return best;
}

/* rerank y, q, s, x, w */
void tn_eval_op_rerank(const TnEvalOp *c) {
    int32_t *out = c->data[c->ref];
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        Head h = head_of(c, t);
        out[t] = (int32_t)best_of(&h);
    }
}

/* The k largest elements so far, in the order of topk. */
typedef struct List {
    float value[256];
    int32_t id[256];
    int64_t k, have;
} List;

static void list_add(List *l, float v, int64_t id) {
    if (v != v || (l->have == l->k && !(v > l->value[l->k - 1]))) return;
    int64_t j = l->have < l->k ? l->have++ : l->k - 1;
    for (; j > 0 && v > l->value[j - 1]; j--) {
        l->value[j] = l->value[j - 1];
        l->id[j] = l->id[j - 1];
    }
    l->value[j] = v;
    l->id[j] = (int32_t)id;
}

/* rerank_top y, q, s, x, w */
void tn_eval_op_rerank_top(const TnEvalOp *c) {
    int64_t k = tn_attr_int(c->n, TN_ATTR_k);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        Head h = head_of(c, t);
        List low = {.k = k}, top = {.k = k};
        for (int64_t r = 0; r < h.n; r++) list_add(&low, h.y[r] - radius(&h, r), r);
        float threshold = low.have < k ? -INFINITY : INFINITY;
        for (int64_t j = 0; j < low.have; j++) {
            float v = element(c, 4, h.x, low.id[j]);
            if (v != v) v = -INFINITY;
            if (v < threshold) threshold = v;
        }
        for (int64_t r = 0; r < h.n; r++)
            if (may_reach(&h, r, threshold)) list_add(&top, element(c, 4, h.x, r), r);
        int32_t *out = tn_out_row(c, t);
        for (int64_t j = 0; j < k; j++) out[j] = j < top.have ? top.id[j] : -1;
    }
}

/* pick x, ids, w */
void tn_eval_op_pick(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const int32_t *id = tn_arg_row(c, 1, t);
        float *y = tn_out_row(c, t);
        for (int64_t j = 0; j < tn_cols(&c->n->type); j++) {
            TN_CHECK(-1 <= id[j] && id[j] < tn_weight_count(&tn_arg(c, 2)->type));
            y[j] = id[j] < 0 ? -INFINITY : element(c, 2, tn_arg_row(c, 0, t), id[j]);
        }
    }
}
