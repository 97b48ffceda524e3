/* The ops with a loop skeleton of their own, except attention: embed, matmul, tmatmul, tmatmul_groups. A weight row is
 * decoded once and then used for all rows of the step. */
#include "ir/eval_ops.h"

#include <math.h>
#include <string.h>
#include "runtime/base/reader.h"

size_t tn_eval_op_scratch(const TnGraph *g, TnRef ref, const int64_t sym[TN_SYM_COUNT]) {
    const TnNode *n = &g->nodes[ref];
    if (n->op == TN_OP_attend ||
        n->op == TN_OP_attend_blocks) { /* a page of keys, one of values, and the blocks' results of a row */
        size_t head = (size_t)tn_cols(&g->nodes[n->args[1]].type);
        size_t heads = n->op == TN_OP_attend ? (size_t)tn_cols(&n->type) / head : 0;
        return (2 * TN_PAGE * head + heads * (size_t)sym[TN_P] * (head + 2)) * sizeof(float);
    }
    if (n->op == TN_OP_rerank || n->op == TN_OP_rerank_top || n->op == TN_OP_pick || n->op == TN_OP_estimate)
        return tn_round_up((size_t)tn_cols(&g->nodes[n->args[n->n_args - 1]].type), TN_K_PAD) * sizeof(float);
    if (n->op == TN_OP_matmul || n->op == TN_OP_tmatmul || n->op == TN_OP_tmatmul_groups ||
        tn_op_is(n->op, TN_TRAIT_VECTOR2))
        return tn_round_up((size_t)tn_cols(&g->nodes[n->args[1]].type), TN_K_PAD) * sizeof(float);
    return 0;
}

/* embed ids, table: y[t] = table[ids[t]] widened to f32 */
void tn_eval_op_embed(const TnEvalOp *c) {
    const TnType *table = &tn_arg(c, 1)->type;
    const int32_t *ids = tn_arg_data(c, 0);
    for (int64_t t = 0; t < tn_out_rows(c); t++) {
        TN_CHECK(0 <= ids[t] && ids[t] < tn_weight_count(table));
        if (tn_enc_is_ternary(table->enc))
            tn_decode_ternary(table, tn_arg_data(c, 1), ids[t], tn_out_row(c, t));
        else
            tn_decode_row(table, tn_arg_data(c, 1), ids[t], tn_out_row(c, t));
    }
}

/* matmul x, w: y[t,m] = lanes of fma(x[t,k], w[m,k], acc), w widened to f32 */
TN_FMA_CLONES static void matmul(const TnEvalOp *c) {
    const TnType *w = &tn_arg(c, 1)->type;
    int64_t k = tn_cols(w), rows = tn_out_rows(c);
    size_t xs = tn_row_bytes(&tn_arg(c, 0)->type), ys = tn_row_bytes(&c->n->type);
    const uint8_t *x = tn_arg_data(c, 0), *data = tn_arg_data(c, 1);
    uint8_t *y = c->data[c->ref];
    memset(c->scratch + k, 0, (tn_round_up((size_t)k, TN_K_PAD) - (size_t)k) * sizeof(float));
    for (int64_t m = 0; m < tn_weight_count(w); m++) {
        tn_decode_row(w, data, m, c->scratch);
        for (int64_t t = 0; t < rows; t++)
            ((float *)(y + (size_t)t * ys))[m] = tn_dot((const float *)(x + (size_t)t * xs), c->scratch, k);
    }
}
void tn_eval_op_matmul(const TnEvalOp *c) {
    matmul(c);
}

/* tmatmul q, w: y[t,m] = sum over k of q[t,k]*w[m,k], exact, so the order is free */
TN_AVX2_CLONES static void tmatmul(const TnEvalOp *c) {
    const TnType *w = &tn_arg(c, 1)->type;
    int64_t k = tn_cols(w), rows = tn_out_rows(c);
    size_t xs = tn_row_bytes(&tn_arg(c, 0)->type), ys = tn_row_bytes(&c->n->type);
    const uint8_t *x = tn_arg_data(c, 0), *data = tn_arg_data(c, 1);
    uint8_t *y = c->data[c->ref];
    int8_t *trits = (int8_t *)c->scratch;
    memset(trits + k, 0, tn_round_up((size_t)k, TN_K_PAD) - (size_t)k);
    for (int64_t m = 0; m < tn_weight_count(w); m++) {
        tn_decode_trits(w, data, m, trits);
        for (int64_t t = 0; t < rows; t++) {
            const int8_t *q = (const int8_t *)x + (size_t)t * xs + TN_Q8_HEAD;
            int32_t acc = 0;
            for (int64_t i = 0; i < k; i += TN_K_PAD)
                for (int j = 0; j < TN_K_PAD; j++) acc += q[i + j] * trits[i + j];
            ((int32_t *)(y + (size_t)t * ys))[m] = acc;
        }
    }
}
void tn_eval_op_tmatmul(const TnEvalOp *c) {
    tmatmul(c);
}

/* tmatmul_groups q, w: over groups g, rising, from +0: y = fma((float)acc, s(m,g) * d(t,g), y) */
TN_FMA_CLONES static void tmatmul_groups(const TnEvalOp *c) {
    const TnType *w = &tn_arg(c, 1)->type, *x = &tn_arg(c, 0)->type;
    int64_t k = tn_cols(w), n = w->group, rows = tn_out_rows(c);
    size_t xs = tn_row_bytes(x), ys = tn_row_bytes(&c->n->type), part = tn_q8g_part(x);
    const uint8_t *at = tn_arg_data(c, 0), *data = tn_arg_data(c, 1);
    uint8_t *y = c->data[c->ref];
    int8_t *trits = (int8_t *)c->scratch;
    float *scale = c->scratch + tn_round_up((size_t)k, 4) / 4;
    for (int64_t m = 0; m < tn_weight_count(w); m++) {
        tn_decode_trits(w, data, m, trits);
        tn_decode_scales(w, data, m, scale);
        for (int64_t t = 0; t < rows; t++) {
            const float *d = (const float *)(at + (size_t)t * xs);
            const int8_t *q = (const int8_t *)d + 2 * part;
            float sum = 0.0f;
            for (int64_t lo = 0, g = 0; lo < k; lo += n, g++) {
                int32_t acc = 0;
                for (int64_t i = lo; i < lo + n; i++) acc += q[i] * trits[i];
                sum = fmaf((float)acc, scale[g] * d[g], sum);
            }
            ((float *)(y + (size_t)t * ys))[m] = sum;
        }
    }
}
void tn_eval_op_tmatmul_groups(const TnEvalOp *c) {
    tmatmul_groups(c);
}
