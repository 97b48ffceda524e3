/* What the evaluator's files share. */
#ifndef TN_EVAL_OPS_H
#define TN_EVAL_OPS_H

#include <math.h>
#include <string.h>
#include "ir/eval.h"
#include "ir/places.h"
#include "runtime/base/half.h"

/* One node being evaluated. */
typedef struct TnEvalOp {
    const TnGraph *g;
    const TnNode *n;
    TnRef ref;
    void *const *data;
    const int64_t *sym;
    float *scratch; /* tn_eval_op_scratch bytes, 64-aligned */
} TnEvalOp;

typedef void TnEvalFn(const TnEvalOp *c);

/* The functions of the table: each op that computes something has tn_eval_op_NAME. weights.c makes SOURCE values,
 * the runtime makes INPUTs, and a SINK is its operand. */
#define TN_EVAL_SOURCE(apply, name)
#define TN_EVAL_INPUT(apply, name)
#define TN_EVAL_SINK(apply, name)
#define TN_EVAL_ROW(apply, name)                            apply(name)
#define TN_EVAL_ELEM(apply, name)                           apply(name)
#define TN_EVAL_MAP(apply, name)                            apply(name)
#define TN_EVAL_ROOT(apply, name)                           apply(name)
#define TN_EVAL_DECLARE(name)                               TnEvalFn tn_eval_op_##name;
#define OP(name, lo, hi, class, stages, attrs, traits, doc) TN_EVAL_##class(TN_EVAL_DECLARE, name)
#include "ir/ops.def"
#undef OP

size_t tn_eval_op_scratch(const TnGraph *g, TnRef ref, const int64_t sym[TN_SYM_COUNT]);
/* The same as tn_eval_node, with given scratch. */
void tn_eval_node_in(const TnGraph *g, TnRef ref, void *const *data, const int64_t sym[TN_SYM_COUNT],
                     void *scratch);

/* Checks that the node's indices are within its operands and its rows within its room. If not, *err has the place and the
 * numbers. */
TernStatus tn_eval_op_check(const TnEvalOp *c, TernError *err);

/* Operand i, and its memory (a cache: that of its alias root). */
static inline const TnNode *tn_arg(const TnEvalOp *c, uint32_t i) {
    return &c->g->nodes[c->n->args[i]];
}
static inline void *tn_arg_data(const TnEvalOp *c, uint32_t i) {
    TnRef r = c->n->args[i];
    if (tn_encs[c->g->nodes[r].type.enc].kind == TN_CACHE) r = tn_alias_root(c->g, r);
    TN_CHECK(c->data[r]);
    return c->data[r];
}
/* Row of operand i as floats or ints; the caller knows the type. */
static inline const void *tn_arg_row(const TnEvalOp *c, uint32_t i, int64_t row) {
    return (const uint8_t *)tn_arg_data(c, i) + (size_t)row * tn_row_bytes(&tn_arg(c, i)->type);
}
static inline void *tn_out_row(const TnEvalOp *c, int64_t row) {
    return (uint8_t *)c->data[c->ref] + (size_t)row * tn_row_bytes(&c->n->type);
}
static inline int64_t tn_out_rows(const TnEvalOp *c) {
    return tn_type_rows(&c->n->type, c->sym);
}
static inline int64_t tn_cols(const TnType *t) {
    return t->dim[t->rank - 1];
}

/* Hot loops have a second body that uses the machine's fma. Baseline x86-64 lacks it and would call libm for each element.
 * fma is exact either way, so the bits are the same. Not under sanitizers, whose runtimes have not started yet when the body
 * is chosen. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TN_NO_CLONES
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TN_NO_CLONES
#endif
#endif
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__FMA__) && !defined(TN_NO_CLONES)
#define TN_FMA_CLONES  __attribute__((target_clones("fma", "default")))
#define TN_AVX2_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define TN_FMA_CLONES
#define TN_AVX2_CLONES
#endif

/* Helpers of such functions must be part of both bodies. */
#define TN_HOT static inline __attribute__((always_inline))

enum { TN_LANES = 32 };

/* quant of n values: 127/a, and the scale a/127, for a = max over |x| as bit patterns, at least 1e-5. */
static inline float tn_eval_quant_factor(const float *x, int64_t n, float *out_scale) {
    uint32_t top = tn_f32_bits(1e-5f);
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = tn_f32_bits(x[i]) & 0x7fffffffu;
        top = u > top ? u : top;
    }
    float a = tn_bits_f32(top);
    *out_scale = a / 127.0f;
    return 127.0f / a;
}
/* One code: rounded, clamped to +-127; NaN gives 0. */
static inline int8_t tn_eval_quant(float x, float factor) {
    float r = rintf(x * factor);
    r = r > 127.0f ? 127.0f : r;
    r = r < -127.0f ? -127.0f : r;
    return r == r ? (int8_t)r : 0;
}

/* The end of every row reduction: lanes j and j+16 are added, then 8, 4, 2, 1. */
TN_HOT float tn_lanes_sum(const float lane[TN_LANES]) {
    float a[TN_LANES];
    for (int j = 0; j < TN_LANES; j++) a[j] = lane[j];
    for (int h = TN_LANES / 2; h > 0; h /= 2)
        for (int j = 0; j < h; j++) a[j] = a[j] + a[j + h];
    return a[0];
}

/* Lanes of fma(x, w, acc). w must be padded with zeros to a multiple of 32; x need not be. */
TN_HOT float tn_dot(const float *x, const float *w, int64_t k) {
    float lane[TN_LANES] = {0}, last[TN_LANES] = {0};
    int64_t i = 0;
    for (; i + TN_LANES <= k; i += TN_LANES)
        for (int j = 0; j < TN_LANES; j++) lane[j] = fmaf(x[i + j], w[i + j], lane[j]);
    if (i < k) {
        memcpy(last, x + i, (size_t)(k - i) * sizeof(float));
        for (int j = 0; j < TN_LANES; j++) lane[j] = fmaf(last[j], w[i + j], lane[j]);
    }
    return tn_lanes_sum(lane);
}

#endif
