#include "frontends/tools/show.h"
#include <stdlib.h>
#include <string.h>
#include "ir/range.h"
#include "runtime/base/half.h"

enum { SHOWN = 64, SHOWN_OF_GROUP = 8 };

static void fill_inputs(const TnGraph *g, TnEval *e, const int64_t sym[TN_SYM_COUNT]) {
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        if (n->op != TN_OP_input || tn_encs[n->type.enc].kind == TN_CACHE) continue;
        bool ints = n->type.enc == TN_ENC_i32, slot = strcmp(tn_attr_str(n, TN_ATTR_name), "slot") == 0;
        int64_t count = tn_range_of(g, r).hi + 1, rows = tn_type_rows(&n->type, sym), cols = 1;
        if (n->type.rank > 1) {
            TnDim d = n->type.dim[n->type.rank - 1];
            cols = tn_dim_is_sym(d) ? sym[tn_dim_sym(d)] : d;
        }
        size_t stride = tn_row_bytes(&n->type);
        for (int64_t i = 0; i < rows * cols; i++) {
            uint8_t *at =
                (uint8_t *)tn_eval_data(e, r) + (size_t)(i / cols) * stride + (size_t)(i % cols) * 4;
            int32_t v = slot ? 0 : (int32_t)(i % count);
            float f = (float)(7 * i % 13 - 6) / 4;
            memcpy(at, ints ? (void *)&v : (void *)&f, 4);
        }
    }
}

static void put_float(float f, TnBuf *out) {
    if (f == f)
        tn_buf_printf(out, " %.9g", (double)f);
    else
        tn_buf_puts(out, " nan"); /* of either sign */
}

static void put_q8(const uint8_t *row, int64_t n, TnBuf *out) {
    float d;
    int32_t sum;
    memcpy(&d, row, 4);
    memcpy(&sum, row + 4, 4);
    tn_buf_printf(out, " d %.9g sum %d:", (double)d, (int)sum);
    for (int64_t i = 0; i < n && i < SHOWN; i++) tn_buf_printf(out, " %d", (int8_t)row[TN_Q8_HEAD + i]);
}

static void put_q8g(const uint8_t *row, const TnType *t, TnBuf *out) {
    int64_t groups = tn_type_row_scales(t), shown = groups < SHOWN ? groups : SHOWN;
    size_t part = tn_q8g_part(t);
    for (int64_t g = 0; g < shown; g++) {
        const int8_t *code = (const int8_t *)row + 2 * part + g * t->group;
        float d;
        int32_t sum;
        memcpy(&d, row + 4 * g, 4);
        memcpy(&sum, row + part + 4 * (size_t)g, 4);
        tn_buf_printf(out, "%s d %.9g sum %d:", g ? " |" : "", (double)d, (int)sum);
        for (int i = 0; i < SHOWN_OF_GROUP; i++) tn_buf_printf(out, " %d", code[i]);
        tn_buf_puts(out, " ...");
    }
    tn_buf_puts(out, groups > SHOWN ? " | ...\n" : "\n");
}

static void put_q14(const uint8_t *row, const TnType *t, TnBuf *out) {
    int64_t n = t->dim[1], apart = ((int64_t)tn_row_bytes(t) - TN_Q14_HEAD) / 2;
    const int8_t *high = (const int8_t *)row + TN_Q14_HEAD;
    float f[3];
    memcpy(f, row, 4);
    memcpy(f + 1, row + 12, 8);
    tn_buf_printf(out, " d %.9g X %.9g Y %.9g:", (double)f[0], (double)f[1], (double)f[2]);
    for (int64_t i = 0; i < n && i < SHOWN; i++) tn_buf_printf(out, " %d", 128 * high[i] + high[apart + i]);
}

static void put_row(const TnType *t, const uint8_t *row, int64_t n, TnBuf *out) {
    if (t->enc == TN_ENC_q8g) {
        put_q8g(row, t, out);
        return;
    }
    if (t->enc == TN_ENC_q8) {
        put_q8(row, n, out);
    } else if (t->enc == TN_ENC_q14) {
        put_q14(row, t, out);
    } else {
        for (int64_t i = 0; i < n && i < SHOWN; i++) {
            int32_t v;
            float f;
            memcpy(&v, row + 4 * i, 4);
            memcpy(&f, row + 4 * i, 4);
            if (t->enc == TN_ENC_i32)
                tn_buf_printf(out, " %d", (int)v);
            else
                put_float(f, out);
        }
    }
    tn_buf_puts(out, n > SHOWN ? " ...\n" : "\n");
}

static void put_value(const TnGraph *g, TnEval *e, TnRef r, const int64_t sym[TN_SYM_COUNT], TnBuf *out) {
    const TnNode *n = &g->nodes[r];
    const TnType *t = &n->type;
    if (t->enc != TN_ENC_q8 && t->enc != TN_ENC_q8g && t->enc != TN_ENC_q14 && t->enc != TN_ENC_i32 &&
        t->enc != TN_ENC_f32)
        return;
    TnDim last = t->dim[t->rank - 1];
    int64_t rows = tn_type_rows(t, sym), cols = tn_dim_is_sym(last) ? sym[tn_dim_sym(last)] : last;
    const uint8_t *data = tn_eval_data(e, r);
    if (t->rank == 1) {
        tn_buf_printf(out, "%%%s =", n->name);
        put_row(t, data, cols, out);
        return;
    }
    for (int64_t i = 0; i < rows && i < SHOWN; i++) {
        tn_buf_printf(out, "%%%s[%lld] =", n->name, (long long)i);
        put_row(t, data + (size_t)i * tn_row_bytes(t), cols, out);
    }
    if (rows > SHOWN) tn_buf_printf(out, "%%%s ...\n", n->name);
}

/* Two, unless the graph's batch class or the limits of its ops ask for another number. */
static int64_t own_rows(const TnGraph *g) {
    int64_t rows = g->rows_lo > 2 ? g->rows_lo : 2;
    if (g->rows_hi && rows > g->rows_hi) rows = g->rows_hi;
    for (TnRef r = 0; r < g->n; r++)
        if (g->nodes[r].op == TN_OP_attend_blocks && rows > tn_attr_int(&g->nodes[r], TN_ATTR_n))
            rows = tn_attr_int(&g->nodes[r], TN_ATTR_n);
    return rows < TN_PAGE ? rows : TN_PAGE;
}

static TernStatus check_class(const TnGraph *g, int64_t rows, TernError *err) {
    if (!g->rows_hi || rows <= g->rows_hi) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s: graph @%s is for rows %lld..%lld, got %lld rows",
                   g->file ? g->file : "the text", g->name, (long long)g->rows_lo, (long long)g->rows_hi,
                   (long long)rows);
}

TernStatus tn_eval_show(const TnGraph *g, const TnWeights *w, int64_t rows, TnBuf *out, TernError *err) {
    if (!rows) rows = own_rows(g);
    TN_CHECK(rows >= 1 && rows <= TN_PAGE);
    TN_TRY(check_class(g, rows, err));
    const int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows, [TN_R] = rows, [TN_K] = rows, [TN_H] = rows,
                                       [TN_L] = rows, [TN_S] = 1,    [TN_P] = 1,    [TN_N] = 1};
    TnEval *e;
    TN_TRY(tn_eval_fits(g, sym, 1, err));
    TN_TRY(tn_eval_create(g, w, sym, &e, err));
    fill_inputs(g, e, sym);
    TernStatus st = tn_eval_try(e, sym, err);
    uint32_t *uses = tn_xcalloc(g->n + 1u, sizeof *uses);
    bool *shown = tn_xcalloc(g->n + 1u, sizeof *shown); /* whether an output shows it */
    tn_count_uses(g, uses);
    for (TnRef r = 0; r < g->n; r++)
        if (g->nodes[r].op == TN_OP_output) shown[g->nodes[r].args[0]] = true;
    for (TnRef r = 0; r < g->n && st == TERN_OK; r++) {
        TnOpClass class = tn_ops[g->nodes[r].op].class;
        bool made = class != TN_SOURCE && class != TN_INPUT && class != TN_SINK;
        if (shown[r] || (uses[r] == 0 && made)) put_value(g, e, r, sym, out);
    }
    free(uses);
    free(shown);
    tn_eval_destroy(e);
    return st;
}
