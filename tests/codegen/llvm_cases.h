/* For tests of the llvm target's own kernels: the last kernel of a text, run by the evaluator and as code of
 * every level that runs here, compared bit for bit; levels that do not run are cross-compiled. */
#ifndef TN_TEST_LLVM_CASES_H
#define TN_TEST_LLVM_CASES_H

#include <math.h>
#include "codegen/parity.h"
#include "codegen/tune.h"
#include "ir/type_layout.h"

enum { CASE_SLOTS = 3, CASE_PAGES = 3, CASE_CACHE_PAGES = 11 };

/* Texts are put together from lines with a %-format each. */
static TnBuf case_text;
static inline void say(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    tn_buf_vprintf(&case_text, fmt, ap);
    va_end(ap);
}

/* %q, a row of k codes, from a kernel before the one that is run. */
static inline void say_q8(int k) {
    say("%%x: f32[T,%d] = input {name=\"x\"}\n", k);
    say("kernel @before {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
        "%%q: q8[T,%d] = quant %%x {off=0}\nend\n",
        k);
}

static inline TnGraph *case_graph(const char *level, int rows_hi) {
    TnBuf b = {0};
    TnDiag diag = {0};
    TnGraph **gs = NULL;
    uint32_t n = 0;
    tn_buf_printf(&b, "tir 1\ngraph @t stage=planned level=%s kv=f16 rows=1..%d\n%send\n", level, rows_hi,
                  case_text.data);
    if (tn_parse(b.data, b.len, "case", &gs, &n, &diag) != TERN_OK)
        fail_msg("%s\n%s", diag.text.data, b.data);
    TnGraph *g = gs[0];
    parity_outputs(g);
    free(gs);
    tn_buf_free(&b);
    tn_diag_free(&diag);
    return g;
}

/* Rows of floats with NaN in the padding, which nobody may let into a result. Wild ones are of a dozen kinds by turns, a
 * single one of any. */
static inline void case_floats(float *x, int64_t rows, int64_t n, size_t stride, bool wild) {
    for (int64_t r = 0; r < rows; r++, x += stride) {
        int64_t kind = rows == 1 ? parity_u32() % 16 : r;
        for (size_t i = (size_t)n; i < stride; i++) x[i] = NAN;
        for (int64_t i = 0; i < n; i++) {
            x[i] = parity_float() * 3;
            if (wild && parity_u32() % 16 == 0) x[i] *= 1e6f;
            if (wild && parity_u32() % 16 == 0) x[i] *= 1e-38f;
            if (wild && kind == 3 && i == n / 2) x[i] = NAN;
            if (wild && kind == 4 && i == n - 1) x[i] = INFINITY;
            if (wild && kind == 5) x[i] = 0;
            if (wild && kind == 6) x[i] *= 0x1p64f;
            if (wild && kind == 7) x[i] *= 0x1p120f;
            if (wild && kind == 8 && i == 0) x[i] = -INFINITY;
            if (wild && kind == 9 && i == n - 1) x[i] = -0x1p127f;
            if (wild && kind == 10 && i % 3 == 0) x[i] = i % 2 ? -INFINITY : INFINITY;
            if (wild && kind == 11) x[i] *= 0x1p61f;
        }
    }
}

static inline void case_q8(uint8_t *row, int64_t rows, int64_t n, size_t stride) {
    for (int64_t r = 0; r < rows; r++, row += stride) {
        float d = (parity_float() + 1.5f) / 127;
        int32_t sum = 0;
        memset(row, 0, stride);
        for (int64_t i = 0; i < n; i++) {
            int8_t q = (int8_t)(r == 1 ? 127 : r == 2 ? -127 : (int)(parity_u32() % 255) - 127);
            row[TN_Q8_HEAD + i] = (uint8_t)q;
            sum += q;
        }
        memcpy(row, &d, 4);
        memcpy(row + 4, &sum, 4);
    }
}

/* Rows of q8g: wild scales, some NaN. */
static inline void case_q8g(uint8_t *row, const TnType *t, int64_t rows, bool wild) {
    size_t part = tn_q8g_part(t);
    for (int64_t r = 0; r < rows; r++, row += tn_row_bytes(t)) {
        memset(row, 0, tn_row_bytes(t));
        for (int64_t g = 0; g < tn_type_row_scales(t); g++) {
            float d = (parity_float() + 1.5f) / 127;
            int32_t sum = 0;
            if (wild && parity_u32() % 32 == 0) d = NAN;
            for (int64_t i = g * t->group; i < (g + 1) * t->group; i++) {
                int8_t q = (int8_t)(r == 1 ? 127 : r == 2 ? -127 : (int)(parity_u32() % 255) - 127);
                row[2 * part + (size_t)i] = (uint8_t)q;
                sum += q;
            }
            memcpy(row + 4 * g, &d, 4);
            memcpy(row + part + 4 * (size_t)g, &sum, 4);
        }
    }
}

/* A stored table of floats: any codes, with scales and minima of all sizes. Wild ones are any halves, numbers or not. */
static inline void case_blocks(uint8_t *at, const TnType *t, bool wild) {
    static const struct {
        TnEnc enc;
        size_t d, m; /* where the halves lie; equal: there is one */
    } halves[] = {{TN_ENC_q8_0, 0, 0}, {TN_ENC_q4_k, 0, 2}, {TN_ENC_q5_k, 0, 2}, {TN_ENC_q6_k, 208, 208}};
    size_t bytes = tn_type_bytes(t, NULL), block = tn_encs[t->enc].block_bytes, i = 0;
    while (i < TN_COUNT(halves) && halves[i].enc != t->enc) i++;
    assert_true(i < TN_COUNT(halves));
    for (size_t k = 0; k < bytes; k++) at[k] = (uint8_t)parity_u32();
    for (uint8_t *b = at; b < at + bytes && !wild; b += block) {
        uint16_t d = tn_f32_to_f16(ldexpf(parity_float(), -(int)(parity_u32() % 18)));
        uint16_t m = tn_f32_to_f16(ldexpf(parity_float(), -(int)(parity_u32() % 18)));
        memcpy(b + halves[i].m, &m, 2);
        memcpy(b + halves[i].d, &d, 2);
    }
}

static inline void case_fill(const TnGraph *g, Memory *m, const int64_t *sym, bool wild) {
    TernError err;
    for (uint32_t k = 0; k < m->n_in; k++) {
        const TnNode *n = &g->nodes[m->ref[k]];
        const TnType *t = &n->type;
        int64_t rows = tn_encs[t->enc].kind == TN_CACHE ? 0 : tn_type_rows(t, sym),
                cols = t->dim[t->rank - 1];
        int32_t *ints = m->p[k];
        if (tn_enc_is_blocks(t->enc)) {
            case_blocks(m->p[k], t, wild);
        } else if (tn_node_is_source(g, m->ref[k])) {
            if (tn_weight_all(g, m->ref[k], NULL, m->p[k], &err) != TERN_OK) fail_msg("%s", err.text);
        } else if (tn_encs[t->enc].kind == TN_CACHE) {
            for (size_t i = 0; i < m->bytes[k]; i++) ((uint8_t *)m->p[k])[i] = (uint8_t)parity_u32();
        } else if (t->enc == TN_ENC_q8) {
            case_q8(m->p[k], rows, cols, tn_row_bytes(t));
        } else if (t->enc == TN_ENC_q8g) {
            case_q8g(m->p[k], t, rows, wild);
        } else if (t->enc == TN_ENC_f32) {
            case_floats(m->p[k], rows, cols, tn_row_bytes(t) / 4, wild);
        } else if (t->rank == 2) { /* a table: pages of all slots differ */
            for (int i = 0; i < CASE_SLOTS * CASE_PAGES; i++) ints[i] = i * 7 % CASE_CACHE_PAGES;
        } else if (!strcmp(n->name, "slot")) {
            for (int64_t i = 0; i < rows; i++) ints[i] = (int32_t)(i % CASE_SLOTS);
        } else if (!strcmp(n->name, "pos")) {
            for (int64_t i = 0; i < rows; i++) ints[i] = (int32_t)((i * 53 + 61) % (CASE_PAGES * TN_PAGE));
        } else if (!strcmp(n->name, "rows")) {
            for (int64_t i = 0; i < rows; i++) ints[i] = (int32_t)((i * 5 + 2) % rows);
        } else {
            for (int64_t i = 0; i < rows; i++) ints[i] = (int32_t)(parity_u32() % 7);
        }
    }
}

/* One compiled kernel with `rows` rows, in each way (parity_ways). */
static inline void case_run(const TnGraph *g, uint32_t kernel, const Compiled *c, int rows, bool wild,
                            const char *what) {
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows,
                                 [TN_R] = rows,
                                 [TN_K] = rows,
                                 [TN_H] = rows,
                                 [TN_S] = CASE_SLOTS,
                                 [TN_P] = CASE_PAGES,
                                 [TN_N] = CASE_CACHE_PAGES};
    const TnKernel *k = &g->kernels[kernel];
    char line[200];
    snprintf(line, sizeof line, "%s %s, %d rows of %d", g->level, what, rows, (int)g->rows_hi);
    Memory m = parity_memory(g, kernel, sym), want;
    case_fill(g, &m, sym, wild);
    want = parity_copy(&m);
    void *scratch = parity_alloc(tn_eval_kernel_scratch(g, kernel, sym), 0xff);
    tn_eval_kernel(g, kernel, want.p, sym, scratch);
    free(scratch);
    int64_t units = k->axis == TN_AXIS_ROWS ? k->units * rows : k->units;
    assert_int_equal(c->job.scratch_page, 0);
    parity_ways(g, c, &m, &want, sym, units, line);
    parity_memory_free(&want);
    parity_memory_free(&m);
}

/* With panels too, where the target has code for both. */
static inline void case_check_level(const char *level, int rows_hi, int rows, int more, bool wild,
                                    const char *what) {
    TnGraph *g = case_graph(level, rows_hi);
    uint32_t kernel = g->n_kernels - 1;
    bool both = tn_tune_has_panels(g, kernel);
    for (int panels = 0; panels <= both; panels++) {
        g->kernels[kernel].panels = panels;
        Compiled c = parity_compile(g, kernel, level);
        if (parity_works(&c)) case_run(g, kernel, &c, rows, wild, what);
        if (parity_works(&c) && more) case_run(g, kernel, &c, more, wild, what);
        parity_free(&c);
    }
    tn_graph_destroy(g);
}

/* The text said so far, as of the batch class 1..rows_hi, with up to two row counts (0: none). Levels that do
 * not run here take turns, with the class 1..8 alone: their code differs by class no more than others'. */
static inline void case_check(int rows_hi, int rows, int more, bool wild, const char *what) {
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        if (!parity_runs(parity_levels[i]) && rows_hi != 8) continue;
        if (!parity_due(parity_levels[i])) continue;
        case_check_level(parity_levels[i], rows_hi, rows, more, wild, what);
    }
}

static inline void case_done(void) {
    tn_buf_free(&case_text);
    case_text = (TnBuf){0};
}

/* A failed test leaves its text behind. */
static inline int case_teardown(void **state) {
    (void)state;
    case_done();
    return 0;
}

#endif
