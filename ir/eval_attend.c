/* The cache: kv_put stores rows and attend reads them, both through the block table. */
#include "ir/eval_ops.h"

#include <math.h>
#include <string.h>
#include "runtime/base/fmath.h"

/* The page of block `b` of a slot. */
static int64_t page_of(const TnEvalOp *c, const int32_t *table, int32_t slot, int64_t b) {
    TN_CHECK(0 <= slot && slot < c->sym[TN_S] && 0 <= b && b < c->sym[TN_P]);
    int32_t page = table[slot * c->sym[TN_P] + b];
    TN_CHECK(0 <= page && page < c->sym[TN_N]);
    return page;
}

static bool is_f16(TnEnc e) {
    return e == TN_ENC_kc_f16 || e == TN_ENC_vc_f16;
}
static bool is_i8(TnEnc e) {
    return e == TN_ENC_kc_i8 || e == TN_ENC_vc_i8;
}

/* kv_put cache, x, pos, slot, table */
void tn_eval_op_kv_put(const TnEvalOp *c) {
    const TnType *type = &c->n->type;
    int64_t heads = type->dim[1], head = type->dim[2];
    bool keys = tn_enc_is_kcache(type->enc);
    uint8_t *cache = tn_arg_data(c, 0);
    const int32_t *pos = tn_arg_data(c, 2), *slot = tn_arg_data(c, 3), *table = tn_arg_data(c, 4);
    for (int64_t t = 0; t < tn_type_rows(&tn_arg(c, 1)->type, c->sym); t++) {
        const float *x = tn_arg_row(c, 1, t);
        TN_CHECK(pos[t] >= 0);
        uint8_t *page = cache + (size_t)page_of(c, table, slot[t], pos[t] / TN_PAGE) * tn_page_bytes(type);
        int64_t p = pos[t] % TN_PAGE;
        for (int64_t h = 0; h < heads; h++, page += tn_page_head_bytes(type)) {
            float *scales = (float *)(page + TN_PAGE * head), factor = 1.0f; /* for int8 */
            if (is_i8(type->enc)) factor = tn_eval_quant_factor(x + h * head, head, &scales[p]);
            for (int64_t d = 0; d < head; d++) {
                int64_t i = keys ? d * TN_PAGE + p : p * head + d;
                float v = x[h * head + d];
                if (is_i8(type->enc))
                    ((int8_t *)page)[i] = tn_eval_quant(v, factor);
                else if (is_f16(type->enc))
                    ((uint16_t *)page)[i] = tn_f32_to_f16_sat(v);
                else
                    ((float *)page)[i] = v;
            }
        }
    }
}

/* The part of one head in a page: 64*head values (int8: codes) as f32, and the scales of its positions or NULL. */
typedef struct Head {
    const float *x, *scale;
} Head;

static Head head_of(const TnType *type, const uint8_t *cache, int64_t page, int64_t h, float *room) {
    int64_t n = TN_PAGE * type->dim[2];
    const uint8_t *p = cache + (size_t)page * tn_page_bytes(type) + (size_t)h * tn_page_head_bytes(type);
    if (is_i8(type->enc)) {
        for (int64_t i = 0; i < n; i++) room[i] = (float)((const int8_t *)p)[i];
        return (Head){room, (const float *)(p + n)};
    }
    if (!is_f16(type->enc)) return (Head){(const float *)p, NULL};
    TnType row = tn_type(TN_ENC_f16, 1, (TnDim)n);
    tn_decode_row(&row, p, 0, room);
    return (Head){room, NULL};
}

/* The positions that a row sees, and their first and last block. */
typedef struct Span {
    int64_t first, last, b0, b1;
} Span;

TN_HOT Span span_of(int64_t pos, int64_t window) {
    TN_CHECK(pos >= 0);
    int64_t first = window > 0 && pos >= window ? pos - window + 1 : 0;
    return (Span){first, pos, first / TN_PAGE, pos / TN_PAGE};
}

/* Computes a block of one head: the maximum, the sum of p and the unnormalised output. */
TN_HOT void block(const float *q, Head k, Head v, int64_t head, const Span *span, int64_t b, float scale,
                  float *out_m, float *out_l, float *out_o) {
    int lo = b == span->b0 ? (int)(span->first % TN_PAGE) : 0,
        hi = b == span->b1 ? (int)(span->last % TN_PAGE) : TN_PAGE - 1;
    float s[TN_PAGE] = {0}, p[TN_PAGE] = {0}, lane[TN_LANES] = {0};
    for (int64_t d = 0; d < head; d++)
        for (int j = 0; j < TN_PAGE; j++) s[j] = fmaf(q[d], k.x[d * TN_PAGE + j], s[j]);
    for (int j = 0; k.scale && j < TN_PAGE; j++) s[j] = s[j] * k.scale[j];
    for (int j = 0; j < TN_PAGE; j++) s[j] = s[j] * scale;
    float m = s[lo];
    for (int j = lo + 1; j <= hi; j++) m = m > s[j] ? m : s[j];
    /* a score of -inf is an overflow, whose true value is not known, so it gives NaN and not 0 */
    for (int j = lo; j <= hi; j++) p[j] = fmaf(s[j], 0.0f, tn_exp(s[j] - m));
    for (int j = 0; j < TN_PAGE; j++) lane[j % TN_LANES] = lane[j % TN_LANES] + p[j];
    for (int64_t d = 0; d < head; d++) out_o[d] = 0.0f;
    for (int j = lo; j <= hi; j++) {
        float weight = v.scale ? p[j] * v.scale[j] : p[j];
        for (int64_t d = 0; d < head; d++) out_o[d] = fmaf(weight, v.x[j * head + d], out_o[d]);
    }
    for (int64_t d = 0; d < head; d++) out_o[d] = out_o[d] + 0.0f;
    *out_m = m;
    *out_l = tn_lanes_sum(lane);
}

/* Computes y of one head from its blocks: block b has max m[b * apart], sum l[b * apart], output o + b * o_apart. */
TN_HOT void join(const Span *span, const float *m, const float *l, int64_t apart, const float *o,
                 int64_t o_apart, int64_t head, float *y) {
    float top = m[span->b0 * apart], sum = 0.0f;
    for (int64_t b = span->b0 + 1; b <= span->b1; b++) top = top > m[b * apart] ? top : m[b * apart];
    for (int64_t d = 0; d < head; d++) y[d] = 0.0f;
    for (int64_t b = span->b0; b <= span->b1; b++) {
        float w = tn_exp(m[b * apart] - top);
        sum = sum + l[b * apart] * w;
        for (int64_t d = 0; d < head; d++) y[d] = y[d] + o[b * o_apart + d] * w;
    }
    for (int64_t d = 0; d < head; d++) y[d] = y[d] / sum;
}

/* The destination of the blocks of a row: max and sum of head h, block b go to m and l[h * apart[0] + b * apart[1]], the
 * output goes to o + h * o_apart[0] + b * o_apart[1]. */
typedef struct Out {
    float *m, *l, *o;
    int64_t apart[2], o_apart[2];
} Out;

/* attend and attend_blocks: q, kc, vc, pos, slot, table */
TN_HOT void blocks(const TnEvalOp *c, int64_t t, const Span *span, const Out *out) {
    const TnType *kt = &tn_arg(c, 1)->type, *vt = &tn_arg(c, 2)->type;
    int64_t kv_heads = kt->dim[1], head = kt->dim[2], group = tn_cols(&tn_arg(c, 0)->type) / head / kv_heads;
    const int32_t *slot = tn_arg_data(c, 4), *table = tn_arg_data(c, 5);
    float scale = tn_attr_float(c->n, TN_ATTR_scale), *k_room = c->scratch, *v_room = k_room + TN_PAGE * head;
    const float *q = tn_arg_row(c, 0, t);
    for (int64_t b = span->b0; b <= span->b1; b++)
        for (int64_t kh = 0; kh < kv_heads; kh++) {
            int64_t page = page_of(c, table, slot[t], b);
            Head k = head_of(kt, tn_arg_data(c, 1), page, kh, k_room),
                 v = head_of(vt, tn_arg_data(c, 2), page, kh, v_room);
            for (int64_t h = kh * group; h < (kh + 1) * group; h++) {
                int64_t at = h * out->apart[0] + b * out->apart[1];
                block(q + h * head, k, v, head, span, b, scale, &out->m[at], &out->l[at],
                      &out->o[h * out->o_apart[0] + b * out->o_apart[1]]);
            }
        }
}

/* ir.h has the formula */
TN_FMA_CLONES static void attend(const TnEvalOp *c) {
    int64_t head = tn_cols(&tn_arg(c, 1)->type), heads = tn_cols(&c->n->type) / head, most = c->sym[TN_P];
    const int32_t *pos = tn_arg_data(c, 3);
    float *m = c->scratch + 2 * TN_PAGE * head, *l = m + heads * most, *o = l + heads * most;
    Out out = {m, l, o, {most, 1}, {most * head, head}};
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        Span span = span_of(pos[t], tn_attr_int(c->n, TN_ATTR_window));
        blocks(c, t, &span, &out);
        float *y = tn_out_row(c, t);
        for (int64_t h = 0; h < heads; h++)
            join(&span, m + h * most, l + h * most, 1, o + h * most * head, head, head, y + h * head);
    }
}
void tn_eval_op_attend(const TnEvalOp *c) {
    attend(c);
}

/* In row b of the result, for each row t: o[heads][head], m[heads], l[heads]. */
TN_FMA_CLONES static void attend_blocks(const TnEvalOp *c) {
    const TnType *type = &c->n->type;
    int64_t head = tn_cols(&tn_arg(c, 1)->type), heads = tn_cols(&tn_arg(c, 0)->type) / head;
    int64_t row = (int64_t)tn_row_bytes(type) / 4, plane = heads * (head + 2);
    const int32_t *pos = tn_arg_data(c, 3);
    int64_t rows = tn_type_rows(&tn_arg(c, 0)->type, c->sym);
    TN_CHECK(rows <= tn_attr_int(c->n, TN_ATTR_n));
    for (int64_t t = 0; t < rows; t++) {
        Span span = span_of(pos[t], tn_attr_int(c->n, TN_ATTR_window));
        float *o = (float *)tn_out_row(c, 0) + t * plane, *m = o + heads * head;
        Out out = {m, m + heads, o, {1, row}, {head, row}};
        blocks(c, t, &span, &out);
    }
}
void tn_eval_op_attend_blocks(const TnEvalOp *c) {
    attend_blocks(c);
}

/* attend_join blocks, pos */
TN_FMA_CLONES static void attend_join(const TnEvalOp *c) {
    const TnType *type = &tn_arg(c, 0)->type;
    int64_t heads = tn_attr_int(c->n, TN_ATTR_heads), head = tn_cols(&c->n->type) / heads;
    int64_t row = (int64_t)tn_row_bytes(type) / 4, plane = heads * (head + 2);
    const int32_t *pos = tn_arg_data(c, 1);
    TN_CHECK(tn_out_rows(c) <= tn_attr_int(c->n, TN_ATTR_n));
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        Span span = span_of(pos[t], tn_attr_int(c->n, TN_ATTR_window));
        const float *o = (const float *)tn_arg_row(c, 0, 0) + t * plane, *m = o + heads * head;
        float *y = tn_out_row(c, t);
        for (int64_t h = 0; h < heads; h++)
            join(&span, m + h, m + heads + h, row, o + h * head, row, head, y + h * head);
    }
}
void tn_eval_op_attend_join(const TnEvalOp *c) {
    attend_join(c);
}
