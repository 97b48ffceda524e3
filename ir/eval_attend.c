/* The cache: kv_put stores rows, attend reads them; both through the block table. */
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
        for (int64_t h = 0; h < heads; h++)
            for (int64_t d = 0; d < head; d++) {
                int64_t i = keys ? (h * head + d) * TN_PAGE + p : (h * TN_PAGE + p) * head + d;
                if (is_f16(type->enc))
                    ((uint16_t *)page)[i] = tn_f32_to_f16_sat(x[h * head + d]);
                else
                    ((float *)page)[i] = x[h * head + d];
            }
    }
}

/* One head's 64*head values of a page, as f32. */
static const float *head_of(const TnType *type, const uint8_t *cache, int64_t page, int64_t h, float *room) {
    int64_t n = TN_PAGE * type->dim[2];
    const uint8_t *p = cache + (size_t)page * tn_page_bytes(type);
    if (!is_f16(type->enc)) return (const float *)p + h * n;
    TnType row = tn_type(TN_ENC_f16, 1, (TnDim)n);
    tn_decode_row(&row, (const uint16_t *)p + h * n, 0, room);
    return room;
}

/* Block: positions [lo, hi] of 64 are unmasked. Gives max, sum of p and the unnormalised output. */
TN_HOT void block(const float *q, const float *k, const float *v, int64_t head, int lo, int hi, float scale,
                  float *out_m, float *out_l, float *out_o) {
    float s[TN_PAGE] = {0}, p[TN_PAGE] = {0}, lane[TN_LANES] = {0};
    for (int64_t d = 0; d < head; d++)
        for (int j = 0; j < TN_PAGE; j++) s[j] = fmaf(q[d], k[d * TN_PAGE + j], s[j]);
    for (int j = 0; j < TN_PAGE; j++) s[j] = s[j] * scale;
    float m = s[lo];
    for (int j = lo + 1; j <= hi; j++) m = m > s[j] ? m : s[j];
    for (int j = lo; j <= hi; j++) p[j] = tn_exp(s[j] - m);
    for (int j = 0; j < TN_PAGE; j++) lane[j % TN_LANES] = lane[j % TN_LANES] + p[j];
    for (int64_t d = 0; d < head; d++) out_o[d] = 0.0f;
    for (int j = lo; j <= hi; j++)
        for (int64_t d = 0; d < head; d++) out_o[d] = fmaf(p[j], v[j * head + d], out_o[d]);
    for (int64_t d = 0; d < head; d++) out_o[d] = out_o[d] + 0.0f;
    *out_m = m;
    *out_l = tn_lanes_sum(lane);
}

/* attend q, kc, vc, pos, slot, table: ir.h has the formula */
TN_FMA_CLONES static void attend(const TnEvalOp *c) {
    const TnType *kt = &tn_arg(c, 1)->type, *vt = &tn_arg(c, 2)->type;
    int64_t kv_heads = kt->dim[1], head = kt->dim[2], group = tn_cols(&c->n->type) / head / kv_heads;
    float scale = tn_attr_float(c->n, TN_ATTR_scale);
    int64_t window = tn_attr_int(c->n, TN_ATTR_window), most = c->sym[TN_P];
    const uint8_t *kc = tn_arg_data(c, 1), *vc = tn_arg_data(c, 2);
    const int32_t *pos = tn_arg_data(c, 3), *slot = tn_arg_data(c, 4), *table = tn_arg_data(c, 5);
    float *k_room = c->scratch, *v_room = k_room + TN_PAGE * head;
    float *m = v_room + TN_PAGE * head, *l = m + group * most, *o = l + group * most; /* [group][block] */
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        TN_CHECK(pos[t] >= 0);
        int64_t last = pos[t], first = window > 0 && last >= window ? last - window + 1 : 0;
        int64_t b0 = first / TN_PAGE, b1 = last / TN_PAGE;
        const float *q = tn_arg_row(c, 0, t);
        float *y = tn_out_row(c, t);
        for (int64_t kh = 0; kh < kv_heads; kh++) {
            for (int64_t b = b0; b <= b1; b++) {
                int64_t page = page_of(c, table, slot[t], b);
                const float *k = head_of(kt, kc, page, kh, k_room), *v = head_of(vt, vc, page, kh, v_room);
                int lo = b == b0 ? (int)(first % TN_PAGE) : 0,
                    hi = b == b1 ? (int)(last % TN_PAGE) : TN_PAGE - 1;
                for (int64_t i = 0; i < group; i++)
                    block(q + (kh * group + i) * head, k, v, head, lo, hi, scale, &m[i * most + b],
                          &l[i * most + b], &o[(i * most + b) * head]);
            }
            for (int64_t i = 0; i < group; i++) {
                float *out = y + (kh * group + i) * head, top = m[i * most + b0], sum = 0.0f;
                for (int64_t b = b0 + 1; b <= b1; b++) top = top > m[i * most + b] ? top : m[i * most + b];
                for (int64_t d = 0; d < head; d++) out[d] = 0.0f;
                for (int64_t b = b0; b <= b1; b++) {
                    float w = tn_exp(m[i * most + b] - top);
                    sum = sum + l[i * most + b] * w;
                    for (int64_t d = 0; d < head; d++) out[d] = out[d] + o[(i * most + b) * head + d] * w;
                }
                for (int64_t d = 0; d < head; d++) out[d] = out[d] / sum;
            }
        }
    }
}
void tn_eval_op_attend(const TnEvalOp *c) {
    attend(c);
}
