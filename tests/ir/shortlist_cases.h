/* For tests of the shortlisted head: tables and rows that stress its bounds. One planned graph has the head over them
 * twice, with a shadow table and in full: its kernels are limbs, estimate, rerank, rerank_top with pick, pick alone,
 * and for comparison matmul, argmax, topk with take. */
#ifndef TN_TEST_SHORTLIST_CASES_H
#define TN_TEST_SHORTLIST_CASES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ir/eval.h"
#include "ir/shadow.h"
#include "runtime/base/half.h"

enum { HEAD_LIMBS, HEAD_SHADOW, HEAD_BEST, HEAD_TOP, HEAD_PICK, HEAD_KERNELS };
enum { HEAD_ROW_KINDS = 11, HEAD_TABLE_KINDS = 7 };

static uint64_t head_state = 1;
static inline uint32_t head_u32(void) {
    head_state = head_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(head_state >> 33);
}
/* About a normal distribution of deviation 1. */
static inline float head_normal(void) {
    float s = 0;
    for (int i = 0; i < 12; i++) s += (float)(head_u32() & 0xffff) * 0x1p-16f;
    return s - 6.0f;
}

typedef struct HeadCase {
    int64_t v, k, top;
    int rows, table; /* table: kind */
    int grain;       /* of the product with the shadow table; 0: 64 */
    TnEnc copy, enc;
    float *w; /* [v][k], the values that `enc` holds */
    void *raw;
    TnGraph *g;
    TnEval *e;
    int64_t sym[TN_SYM_COUNT];
} HeadCase;

static inline float head_round(TnEnc enc, float f) {
    return enc == TN_ENC_f16    ? tn_f16_to_f32(tn_f32_to_f16(f))
           : enc == TN_ENC_bf16 ? tn_bf16_to_f32(tn_f32_to_bf16(f))
                                : f;
}

/* One row of x. Kind 3 has the signs of table row 0: all errors of that row's elements add up. */
static inline void head_row(const HeadCase *c, int kind, float *x) {
    for (int64_t i = 0; i < c->k; i++) {
        float f = head_normal();
        if (kind == 1) f = 0;
        if (kind == 2) f *= i == c->k / 2 ? 1000.0f : 1.0f;
        if (kind == 3) f = c->w[i] < 0 ? -1.0f : 1.0f;
        if (kind == 4) f *= 0x1p-130f;
        if (kind == 5) f *= 0x1p100f;
        if (kind == 6 && i == c->k - 1) f = NAN;
        if (kind == 7 && i == 0) f = INFINITY;
        if (kind == 8) f *= 0x1p-30f;
        if (kind == 9) f *= 0x1p125f; /* sums overflow */
        if (kind == 10) f = floorf(f * 2) * 0.5f;
        x[i] = f;
    }
}

static inline void head_fill(HeadCase *c) {
    for (int64_t r = 0; r < c->v; r++) {
        float *w = c->w + r * c->k, size = 1.0f;
        if (c->table == 3) size = ldexpf(1.0f, (int)(head_u32() % 40) - 20);
        if (c->table == 6) size = r % 3 ? 1.0f : ldexpf(1.0f, c->enc == TN_ENC_f16 ? 10 : 100);
        for (int64_t i = 0; i < c->k; i++) {
            float f = head_normal() * size;
            if (c->table == 1 && r >= 2) f = c->w[(r % 2) * c->k + i]; /* two rows, again and again */
            if (c->table == 2 && r % 7 == 3 && i == r % c->k) f = r % 2 ? NAN : -INFINITY;
            if (c->table == 4 && i == r % c->k) f *= 50.0f;
            if (c->table == 5) f = ((float)(head_u32() % 20) + 0.499f) / 127.0f * (head_u32() & 1 ? 1 : -1);
            if (c->table == 5 && i == 0) f = 1.0f;
            if (c->table == 5 && r % 5 == 0) f = 0;
            w[i] = head_round(c->enc, f);
        }
    }
}

static inline const void *head_find(void *ctx, const char *name, size_t *out) {
    HeadCase *c = ctx;
    (void)name;
    *out = (size_t)(c->v * c->k) / tn_encs[c->enc].block_elems * tn_encs[c->enc].block_bytes;
    return c->raw;
}

/* Fills w with rows of stored blocks: random codes, and scales of about 1 over the largest. */
static inline void head_blocks(HeadCase *c) {
    TnType t = tn_type(c->enc, 2, (TnDim)c->v, (TnDim)c->k);
    size_t bytes = tn_raw_bytes(&t), block = tn_encs[c->enc].block_bytes;
    size_t half = c->enc == TN_ENC_q6_k ? block - 2 : 0;
    uint8_t *raw = c->raw;
    for (size_t i = 0; i < bytes; i++) raw[i] = (uint8_t)head_u32();
    for (size_t i = 0; i < bytes; i += block) {
        uint16_t d =
            tn_f32_to_f16((1.0f + head_normal() * 0.1f) * (c->enc == TN_ENC_q8_0 ? 0x1p-6f : 0x1p-10f));
        memcpy(raw + i + half, &d, 2);
        if (c->enc == TN_ENC_q4_k || c->enc == TN_ENC_q5_k) memcpy(raw + i + 2, &d, 2);
    }
    for (int64_t r = 0; r < c->v; r++) tn_decode_raw(&t, raw, r, c->w + r * c->k);
}

/* The text of the head, planned for a level. */
static inline TnGraph *head_graph(const HeadCase *c, const char *level, int rows_hi) {
    TnBuf b = {0};
    TnDiag diag = {0};
    TnGraph **gs = NULL;
    uint32_t n = 0;
    long long v = c->v, k = c->k, top = c->top, grain = c->grain ? c->grain : 64;
    const char *w = tn_encs[c->enc].name, *s = tn_encs[c->copy].name;
    const char *rows = "target=llvm, axis=rows, grain=1, units=1, barrier=1";
    tn_buf_printf(&b,
                  "tir 1\ngraph @t stage=planned level=%s kv=f16 rows=1..%d\n"
                  "  %%x: f32[R,%lld] = input {name=\"x\"}\n"
                  "  $w: %s[%lld,%lld] = gguf {name=\"w\", hash=0x1}\n"
                  "  $s: %s[%lld,%lld] = pack $w\n",
                  level, rows_hi, k, w, v, k, s, v, k);
    tn_buf_printf(&b, "  kernel @limbs {root=none, %s}\n    %%q: q14[R,%lld] = limbs %%x {off=0}\n  end\n",
                  rows, k);
    tn_buf_printf(
        &b,
        "  kernel @estimate {root=estimate, target=llvm, axis=cols, grain=%lld, units=%lld, barrier=1}\n"
        "    %%y: f32[R,%lld] = estimate %%q, $s {off=1048576}\n  end\n",
        grain, (v + grain - 1) / grain, v);
    tn_buf_printf(
        &b,
        "  kernel @best {root=none, %s}\n    %%best: i32[R] = rerank %%y, %%q, $s, %%x, $w {off=2097152}\n"
        "  end\n",
        rows);
    tn_buf_printf(&b,
                  "  kernel @top {root=none, %s}\n"
                  "    %%top: i32[K,%lld] = rerank_top %%y, %%q, $s, %%x, $w {k=%lld, off=0}\n"
                  "    %%logit: f32[K,%lld] = pick %%x, %%top, $w {off=1048576}\n  end\n"
                  "  kernel @pick {root=none, %s}\n"
                  "    %%alone: f32[K,%lld] = pick %%x, %%top, $w {off=4194304}\n  end\n",
                  rows, top, top, top, rows, top);
    tn_buf_printf(&b,
                  "  kernel @full {root=matmul, target=llvm, axis=cols, grain=64, units=%lld, barrier=1}\n"
                  "    %%full: f32[R,%lld] = matmul %%x, $w {off=3145728}\n  end\n",
                  (v + 63) / 64, v);
    tn_buf_printf(
        &b,
        "  kernel @argmax {root=none, %s}\n    %%want: i32[R] = argmax %%full {off=2097216}\n  end\n"
        "  kernel @topk {root=none, %s}\n    %%wtop: i32[K,%lld] = topk %%full {k=%lld, off=2097152}\n"
        "    %%wlogit: f32[K,%lld] = take %%full, %%wtop {off=3145728}\n  end\n",
        rows, rows, top, top, top);
    static const char *const outs[] = {"best", "top", "logit", "want", "wtop", "wlogit", "alone"};
    for (size_t i = 0; i < TN_COUNT(outs); i++) {
        bool ids = i == 0 || i == 3, floats = strstr(outs[i], "logit") || i == 6;
        tn_buf_printf(&b, "  %%o%zu: %s[%s", i, floats ? "f32" : "i32", ids ? "R" : "K");
        if (!ids) tn_buf_printf(&b, ",%lld", top);
        tn_buf_printf(&b, "] = output %%%s {name=\"%s\"}\n", outs[i], outs[i]);
    }
    tn_buf_puts(&b, "end\n");
    if (tn_parse(b.data, b.len, "head", &gs, &n, &diag) != TERN_OK)
        fail_msg("%s\n%s", diag.text.data, b.data);
    TnGraph *g = gs[0];
    free(gs);
    tn_buf_free(&b);
    tn_diag_free(&diag);
    return g;
}

static inline TnRef head_ref(const HeadCase *c, const char *name) {
    for (TnRef r = 0; r < c->g->n; r++)
        if (!strcmp(c->g->nodes[r].name, name)) return r;
    fail_msg("no value %s", name);
    return 0;
}
static inline void *head_value(const HeadCase *c, const char *name) {
    return tn_eval_data(c->e, head_ref(c, name));
}
static inline const void *head_value_row(const HeadCase *c, const char *name, int64_t row) {
    return (const uint8_t *)head_value(c, name) +
           (size_t)row * tn_row_bytes(&c->g->nodes[head_ref(c, name)].type);
}

/* Makes the case and evaluates all of it; head_close frees. */
static inline void head_open(HeadCase *c, const char *level, int rows_hi) {
    TernError err = {0};
    size_t n = (size_t)(c->v * c->k);
    c->w = calloc(n, sizeof(float));
    c->raw = calloc(n, sizeof(float));
    assert_true(c->w && c->raw);
    if (tn_enc_is_blocks(c->enc))
        head_blocks(c);
    else
        head_fill(c);
    for (size_t i = 0; i < n; i++) {
        if (c->enc == TN_ENC_f32) ((float *)c->raw)[i] = c->w[i];
        if (c->enc == TN_ENC_f16) ((uint16_t *)c->raw)[i] = tn_f32_to_f16(c->w[i]);
        if (c->enc == TN_ENC_bf16) ((uint16_t *)c->raw)[i] = tn_f32_to_bf16(c->w[i]);
    }
    c->g = head_graph(c, level, rows_hi);
    memset(c->sym, 0, sizeof c->sym);
    c->sym[TN_R] = c->sym[TN_K] = c->rows;
    TnWeights weights = {.find = head_find, .ctx = c};
    if (tn_eval_create(c->g, &weights, c->sym, &c->e, &err) != TERN_OK) fail_msg("%s", err.text);
    float *x = tn_eval_input(c->e, "x");
    size_t stride = tn_row_bytes(&c->g->nodes[head_ref(c, "x")].type) / 4;
    for (int r = 0; r < c->rows; r++) {
        for (size_t i = (size_t)c->k; i < stride; i++) x[(size_t)r * stride + i] = NAN;
        head_row(c, r % HEAD_ROW_KINDS, x + (size_t)r * stride);
    }
    tn_eval_run(c->e, c->sym);
}

/* The approximation with the first planes of a copy, from the codes and the planes, as ir.h says. */
static inline float head_finer(const HeadCase *c, const TnType *t, const uint8_t *q, int planes, int64_t r,
                               float y) {
    const TnType *limbs = &c->g->nodes[head_ref(c, "q")].type;
    size_t padded = (tn_row_bytes(limbs) - TN_Q14_HEAD) / 2, bytes = (size_t)(c->k + 511) / 512 * 64;
    const int8_t *high = (const int8_t *)q + TN_Q14_HEAD, *low = high + padded;
    const uint8_t *plane = (const uint8_t *)head_value(c, "s") + tn_tail_at(t);
    TnRowFacts f = tn_shadow_row_facts(t, head_value(c, "s"), r);
    double z = (double)y;
    plane += (size_t)(3 + 2 * tn_shadow_planes(t)) * tn_shadow_array_bytes(t);
    float d;
    memcpy(&d, q, 4);
    for (int p = 0; p < planes; p++, plane += bytes * (size_t)c->v) {
        int64_t sum = 0;
        for (int64_t i = 0; i < c->k; i++) {
            int v = 128 * high[i] + low[i];
            sum += plane[(size_t)r * bytes + (size_t)i / 8] >> (i % 8) & 1 ? v : -v;
        }
        z += (double)sum * ((double)f.step[p] * (double)d);
    }
    return (float)z;
}

static inline void head_close(HeadCase *c) {
    tn_eval_destroy(c->e);
    tn_graph_destroy(c->g);
    free(c->w);
    free(c->raw);
}

#endif
