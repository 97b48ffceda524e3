/* The row and elementwise ops, one function for each row of ops.def, and the table that leads to all ops. */
#include "ir/eval_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/fmath.h"
#include "runtime/base/reader.h"

#define EVAL_SOURCE(name) NULL
#define EVAL_INPUT(name)  NULL
#define EVAL_SINK(name)   NULL
#define EVAL_ROW(name)    tn_eval_op_##name
#define EVAL_ELEM(name)   tn_eval_op_##name
#define EVAL_MAP(name)    tn_eval_op_##name
#define EVAL_ROOT(name)   tn_eval_op_##name
static TnEvalFn *const evals[TN_OP_COUNT] = {
#define OP(name, lo, hi, class, stages, attrs, traits, doc) EVAL_##class(name),
#include "ir/ops.def"
#undef OP
};

void tn_eval_node_in(const TnGraph *g, TnRef ref, void *const *data, const int64_t sym[TN_SYM_COUNT],
                     void *scratch) {
    const TnNode *n = &g->nodes[ref];
    TN_CHECK(tn_ops[n->op].class != TN_SOURCE && tn_ops[n->op].class != TN_INPUT);
    if (!evals[n->op]) return;
    TnEvalOp c = {.g = g, .n = n, .ref = ref, .data = data, .sym = sym, .scratch = scratch};
    evals[n->op](&c);
}

void tn_eval_node(const TnGraph *g, TnRef ref, void *const *data, const int64_t sym[TN_SYM_COUNT]) {
    void *scratch = aligned_alloc(64, tn_round_up(tn_eval_op_scratch(g, ref, sym) + 1, 64));
    if (!scratch) tn_out_of_memory(tn_eval_op_scratch(g, ref, sym));
    tn_eval_node_in(g, ref, data, sym, scratch);
    free(scratch);
}

/* ---- rows */

/* gather x, rows: y[r] = x[rows[r]] */
void tn_eval_op_gather(const TnEvalOp *c) {
    const int32_t *rows = tn_arg_data(c, 1);
    int64_t limit = tn_type_rows(&tn_arg(c, 0)->type, c->sym);
    for (int64_t r = 0; r < tn_out_rows(c); r++) {
        TN_CHECK(0 <= rows[r] && rows[r] < limit);
        memcpy(tn_out_row(c, r), tn_arg_row(c, 0, rows[r]), tn_row_bytes(&c->n->type));
    }
}

/* Lanes of fma(v,v,acc) with v = x * by: over x[places] if there are places, else over all k elements. */
TN_HOT float squares(const float *x, int64_t k, const int32_t *places, int64_t count, float by) {
    float lane[TN_LANES] = {0};
    for (int64_t i = 0; i < count; i += TN_LANES)
        for (int j = 0; j < TN_LANES; j++) {
            float v = places ? x[places[i + j]] : i + j < k ? x[i + j] : 0.0f;
            lane[j] = fmaf(v * by, v * by, lane[j]);
        }
    return tn_lanes_sum(lane);
}

/* The norm of a row, or of a head of a row. */
typedef struct Norm {
    const float *w;
    const int32_t *places; /* NULL: the sum is over all columns */
    int64_t k, count;      /* columns; elements of the sum */
    float n, eps;
} Norm;

/* ss = lanes of fma(x,x,acc), of x[places] if given; m = ss/n + eps; y = (x/sqrt(m))*w. If m is not finite, the
 * same with x*2^-96 and eps*2^-192; if that m is not finite either, NaN */
TN_HOT void normed(const Norm *o, const float *x, float *y) {
    float by = 1.0f, m = squares(x, o->k, o->places, o->count, by) / o->n + o->eps;
    if (!(m < INFINITY)) {
        by = TN_NORM_SCALE;
        m = squares(x, o->k, o->places, o->count, by) / o->n + (o->eps * by) * by;
    }
    float r = m < INFINITY ? 1.0f / sqrtf(m) : NAN;
    for (int64_t i = 0; i < o->k; i++) y[i] = ((x[i] * by) * r) * o->w[i];
}

/* rmsnorm x, w [, places] */
TN_FMA_CLONES static void rmsnorm(const TnEvalOp *c) {
    int64_t k = tn_cols(&c->n->type);
    const TnAttr *divisor = tn_node_attr(c->n, TN_ATTR_n);
    Norm o = {.w = c->scratch, .k = k, .count = k, .n = (float)(divisor ? divisor->i : k)};
    o.eps = tn_attr_float(c->n, TN_ATTR_eps);
    if (c->n->n_args > 2) { /* rows of 64: a list */
        o.places = tn_arg_data(c, 2);
        o.count = tn_type_rows(&tn_arg(c, 2)->type, c->sym) * TN_PLACES;
    }
    tn_decode_row(&tn_arg(c, 1)->type, tn_arg_data(c, 1), 0, c->scratch);
    for (int64_t t = 0; t < tn_out_rows(c); t++) normed(&o, tn_arg_row(c, 0, t), tn_out_row(c, t));
}
void tn_eval_op_rmsnorm(const TnEvalOp *c) {
    rmsnorm(c);
}

/* headnorm x, w: rmsnorm of each head */
TN_FMA_CLONES static void headnorm(const TnEvalOp *c) {
    int64_t head = tn_cols(&tn_arg(c, 1)->type), cols = tn_cols(&c->n->type);
    Norm o = {.w = c->scratch, .k = head, .count = head, .n = (float)head};
    o.eps = tn_attr_float(c->n, TN_ATTR_eps);
    tn_decode_row(&tn_arg(c, 1)->type, tn_arg_data(c, 1), 0, c->scratch);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < cols; i += head) normed(&o, x + i, y + i);
    }
}
void tn_eval_op_headnorm(const TnEvalOp *c) {
    headnorm(c);
}

/* quant: a = max over |x| as bit patterns, at least 1e-5; q = rint(x*(127/a)) clamped to +-127, NaN gives 0;
 * d = a/127 */
void tn_eval_op_quant(const TnEvalOp *c) {
    int64_t k = tn_cols(&c->n->type);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        uint8_t *out = tn_out_row(c, t);
        int8_t *q = (int8_t *)out + TN_Q8_HEAD;
        float d, f = tn_eval_quant_factor(x, k, &d);
        int32_t sum = 0;
        memset(out, 0, tn_row_bytes(&c->n->type));
        for (int64_t i = 0; i < k; i++) {
            q[i] = tn_eval_quant(x[i], f);
            sum += q[i];
        }
        memcpy(out, &d, 4);
        memcpy(out + 4, &sum, 4);
    }
}

/* quant_groups: quant of each group of n columns by itself */
void tn_eval_op_quant_groups(const TnEvalOp *c) {
    const TnType *t = &c->n->type;
    int64_t groups = tn_type_row_scales(t), n = t->group;
    size_t part = tn_q8g_part(t);
    for (int64_t r = 0; r < tn_out_rows(c); r++) {
        const float *x = tn_arg_row(c, 0, r);
        uint8_t *out = tn_out_row(c, r);
        float *d = (float *)out;
        int32_t *sum = (int32_t *)(out + part);
        int8_t *q = (int8_t *)out + 2 * part;
        memset(out, 0, tn_row_bytes(t));
        for (int64_t g = 0; g < groups; g++) {
            float f = tn_eval_quant_factor(x + g * n, n, &d[g]);
            for (int64_t i = g * n; i < (g + 1) * n; i++) {
                q[i] = tn_eval_quant(x[i], f);
                sum[g] += q[i];
            }
        }
    }
}

/* rope_angle pos, freq: p*f in turns without its integer part, to about 2^-48 of p*f; then cos and sin */
void tn_eval_op_rope_angle(const TnEvalOp *c) {
    int64_t n = tn_cols(&tn_arg(c, 1)->type);
    const int32_t *pos = tn_arg_data(c, 0);
    const float *f0 = tn_arg_row(c, 1, 0), *f1 = tn_arg_row(c, 1, 1);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        float *y = tn_out_row(c, t), p = (float)pos[t];
        for (int64_t i = 0; i < n; i++) {
            float a = p * f0[i], e = fmaf(p, f0[i], -a);
            float g = a - rintf(a), h = g + fmaf(p, f1[i], e);
            float u = h - rintf(h);
            bool known = u >= -0.5f && u <= 0.5f; /* false only for frequencies that rope_freq never gives */
            tn_sincos_turn(known ? u : 0.0f, &y[n + i], &y[i]);
            if (!known) y[i] = y[n + i] = NAN;
        }
    }
}

/* argmax: lowest index of the largest value; -1 if the row holds NaN or infinity */
void tn_eval_op_argmax(const TnEvalOp *c) {
    int64_t k = tn_cols(&tn_arg(c, 0)->type);
    int32_t *y = c->data[c->ref];
    for (int64_t r = 0; r < tn_out_rows(c); r++) {
        const float *x = tn_arg_row(c, 0, r);
        int64_t best = k ? 0 : -1;
        for (int64_t i = 0; i < k && best >= 0; i++) {
            if (!(fabsf(x[i]) < INFINITY))
                best = -1;
            else if (x[i] > x[best])
                best = i;
        }
        y[r] = (int32_t)best;
    }
}

/* topk: inserts into a sorted list; equal values keep their order */
void tn_eval_op_topk(const TnEvalOp *c) {
    int64_t n = tn_cols(&tn_arg(c, 0)->type), k = tn_attr_int(c->n, TN_ATTR_k);
    for (int64_t r = 0; r < tn_out_rows(c); r++) {
        const float *x = tn_arg_row(c, 0, r);
        int32_t *y = tn_out_row(c, r);
        int64_t have = 0;
        for (int64_t i = 0; i < n; i++) {
            if (x[i] != x[i] || (have == k && !(x[i] > x[y[k - 1]]))) continue;
            int64_t j = have < k ? have++ : k - 1;
            for (; j > 0 && x[i] > x[y[j - 1]]; j--) y[j] = y[j - 1];
            y[j] = (int32_t)i;
        }
        while (have < k) y[have++] = -1;
    }
}

/* take x, ids: y[r,j] = x[r, ids[r,j]], -inf for index -1 */
void tn_eval_op_take(const TnEvalOp *c) {
    int64_t k = tn_cols(&c->n->type), n = tn_cols(&tn_arg(c, 0)->type);
    for (int64_t r = 0; r < tn_out_rows(c); r++) {
        const float *x = tn_arg_row(c, 0, r);
        const int32_t *id = tn_arg_row(c, 1, r);
        float *y = tn_out_row(c, r);
        for (int64_t j = 0; j < k; j++) {
            TN_CHECK(-1 <= id[j] && id[j] < n);
            y[j] = id[j] < 0 ? -INFINITY : x[id[j]];
        }
    }
}

/* ---- elementwise */

/* dequant acc, q, w: y[t,m] = (float)acc[t,m] * (scale(w, m) * d(q, t)) */
void tn_eval_op_dequant(const TnEvalOp *c) {
    int64_t cols = tn_cols(&c->n->type);
    const TnType *w = &tn_arg(c, 2)->type;
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const int32_t *acc = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t), d;
        memcpy(&d, tn_arg_row(c, 1, t), 4);
        int64_t m = 0;
        for (; w->group && m < cols; m++) {
            float s;
            tn_decode_scales(w, tn_arg_data(c, 2), m, &s);
            y[m] = (float)acc[m] * (s * d);
        }
        for (uint32_t i = 0; i < w->n_scales; i++) {
            int64_t end = m + w->scales[i].rows < cols ? m + w->scales[i].rows : cols;
            float s = w->scales[i].scale * d;
            for (; m < end; m++) y[m] = (float)acc[m] * s;
        }
    }
}

/* rope x, angle: each head of 2n columns; a' = a*cos - b*sin, b' = a*sin + b*cos */
void tn_eval_op_rope(const TnEvalOp *c) {
    int64_t cols = tn_cols(&c->n->type), n = tn_cols(&tn_arg(c, 1)->type) / 2;
    bool pair = strcmp(tn_attr_str(c->n, TN_ATTR_mode), "pair") == 0;
    int64_t step = pair ? 2 : 1, apart = pair ? 1 : n;
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t), *cs = tn_arg_row(c, 1, t), *sn = cs + n;
        float *y = tn_out_row(c, t);
        for (int64_t head = 0; head < cols; head += 2 * n)
            for (int64_t i = 0; i < n; i++) {
                int64_t ia = head + i * step, ib = ia + apart;
                float a = x[ia], b = x[ib];
                y[ia] = a * cs[i] - b * sn[i];
                y[ib] = a * sn[i] + b * cs[i];
            }
    }
}

/* slice: columns lo .. lo+n-1 */
void tn_eval_op_slice(const TnEvalOp *c) {
    size_t e = tn_encs[c->n->type.enc].block_bytes, n = (size_t)tn_cols(&c->n->type);
    TN_CHECK(tn_encs[c->n->type.enc].kind == TN_DENSE);
    size_t lo = (size_t)tn_attr_int(c->n, TN_ATTR_lo);
    for (int64_t t = 0; t < tn_out_rows(c); t++)
        memcpy(tn_out_row(c, t), (const uint8_t *)tn_arg_row(c, 0, t) + lo * e, n * e);
}

/* bias x, w: y[t,i] = x[t,i] + w[i] */
void tn_eval_op_bias(const TnEvalOp *c) {
    float *w = c->scratch;
    tn_decode_row(&tn_arg(c, 1)->type, tn_arg_data(c, 1), 0, w);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) y[i] = x[i] + w[i];
    }
}

void tn_eval_op_times(const TnEvalOp *c) {
    float by = tn_attr_float(c->n, TN_ATTR_scale);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) y[i] = x[i] * by;
    }
}

void tn_eval_op_add(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *a = tn_arg_row(c, 0, t), *b = tn_arg_row(c, 1, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) y[i] = a[i] + b[i];
    }
}

void tn_eval_op_mul(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *a = tn_arg_row(c, 0, t), *b = tn_arg_row(c, 1, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) y[i] = a[i] * b[i];
    }
}

void tn_eval_op_mulz(const TnEvalOp *c) {
    tn_eval_op_mul(c);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++)
            if (y[i] == 0.0f) y[i] = 0.0f; /* -0 too */
    }
}

void tn_eval_op_relu2(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) {
            float r = 0.0f > x[i] ? 0.0f : x[i]; /* NaN stays */
            y[i] = r * r;
        }
    }
}

void tn_eval_op_relu(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) y[i] = 0.0f > x[i] ? 0.0f : x[i]; /* NaN stays */
    }
}

TN_FMA_CLONES static void gelu(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) y[i] = tn_gelu(x[i]);
    }
}
void tn_eval_op_gelu(const TnEvalOp *c) {
    gelu(c);
}

TN_FMA_CLONES static void gelu_tanh(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++) y[i] = tn_gelu_tanh(x[i]);
    }
}
void tn_eval_op_gelu_tanh(const TnEvalOp *c) {
    gelu_tanh(c);
}

TN_FMA_CLONES static void silu(const TnEvalOp *c) {
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        const float *x = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t i = 0; i < tn_cols(&c->n->type); i++)
            y[i] = x[i] < -TN_EXP_HI ? -0.0f : x[i] / (1.0f + tn_exp(-x[i]));
    }
}
void tn_eval_op_silu(const TnEvalOp *c) {
    silu(c);
}
