#include "ir/range.h"

int64_t tn_range_sum(int64_t k) {
    return TN_RANGE_CODE * k;
}

int64_t tn_range_sum_most_k(void) {
    return INT32_MAX / TN_RANGE_CODE;
}

/* ---- values */

static TnRange between(int64_t lo, int64_t hi) {
    return (TnRange){true, lo, hi};
}

/* i32 inputs are ids, positions, slots, rows or the block table. An id that indexes a table lies in it. */
static TnRange input_range(const TnGraph *g, TnRef r) {
    TnRange range = between(0, INT32_MAX);
    for (TnRef i = r + 1; i < g->n; i++) {
        const TnNode *n = &g->nodes[i];
        if (n->op != TN_OP_embed || n->args[0] != r) continue;
        int64_t last = g->nodes[n->args[1]].type.dim[0] - 1;
        if (last < range.hi) range.hi = last;
    }
    return range;
}

static int64_t last_column(const TnGraph *g, TnRef r) {
    const TnType *t = &g->nodes[r].type;
    return t->dim[t->rank - 1] - 1;
}

TnRange tn_range_of(const TnGraph *g, TnRef r) {
    static const TnRange unknown = {false, 0, 0};
    const TnNode *n = &g->nodes[r];
    if (n->type.enc == TN_ENC_q8) return between(-TN_RANGE_CODE, TN_RANGE_CODE);
    if (n->type.enc == TN_ENC_q14) return between(-64, 64);
    if (n->type.enc == TN_ENC_s8) return between(-127, 127);
    if (n->type.enc == TN_ENC_s6) return between(-31, 31);
    if (tn_enc_is_ternary(n->type.enc)) return between(-1, 1);
    if (n->type.enc == TN_ENC_i8) return between(-128, 127);
    if (n->type.enc != TN_ENC_i32) return unknown;
    switch (n->op) {
    case TN_OP_input:
        return input_range(g, r);
    case TN_OP_tmatmul: {
        int64_t most = tn_range_sum(last_column(g, n->args[0]) + 1);
        return between(-most, most);
    }
    case TN_OP_argmax:
    case TN_OP_topk:
    case TN_OP_rescore:
    case TN_OP_rescore_top: /* -1: none */
        return between(-1, last_column(g, n->args[0]));
    case TN_OP_slice:
    case TN_OP_gather:
    case TN_OP_output:
        return tn_range_of(g, n->args[0]);
    default:
        return unknown;
    }
}

/* ---- targets */

enum { LINE = 256, CODE_MOST = 2 };

static int64_t lines_of(int64_t k) {
    return (k + LINE - 1) / LINE;
}

/* Codes that a lane meets in a line. */
static int64_t met(const TnDot *d) {
    return (int64_t)LINE / 4 * d->planes / d->lanes;
}

int64_t tn_range_lane(const TnDot *d, int64_t k) {
    return lines_of(k) * met(d) * CODE_MOST * d->factor * TN_RANGE_CODE;
}

int64_t tn_range_narrow(const TnDot *d) {
    return (int64_t)d->narrow * CODE_MOST * d->factor * TN_RANGE_CODE;
}

int64_t tn_range_most_k(const TnDot *d) {
    if (tn_range_narrow(d) > INT16_MAX || CODE_MOST * d->factor > UINT8_MAX) return 0;
    int64_t whole = tn_range_sum_most_k();
    if (!d->exact32) return whole;
    int64_t k = INT32_MAX / tn_range_lane(d, LINE) * LINE;
    return k < whole ? k : whole;
}

/* ---- text */

static void put_note(const TnGraph *g, TnRef r, TnDotOf *dot_of, TnBuf *out) {
    TnRange range = tn_range_of(g, r);
    const TnNode *n = &g->nodes[r];
    if (!range.known || n->op == TN_OP_output || tn_enc_is_ternary(n->type.enc)) return;
    if (range.lo == -range.hi)
        tn_buf_printf(out, " ; |y| <= %lld", (long long)range.hi);
    else
        tn_buf_printf(out, " ; %lld <= y <= %lld", (long long)range.lo, (long long)range.hi);
    if (n->op == TN_OP_quant)
        tn_buf_printf(out, ", |sum| <= %lld", (long long)tn_range_sum(last_column(g, r) + 1));
    TnDot d;
    if (n->op != TN_OP_tmatmul || !dot_of || !dot_of(g, r, &d)) return;
    int64_t k = last_column(g, n->args[0]) + 1;
    tn_buf_printf(out, "; a lane <= %lld", (long long)tn_range_lane(&d, k));
    if (d.narrow) tn_buf_printf(out, ", an i16 <= %lld", (long long)tn_range_narrow(&d));
    tn_buf_printf(out, "; exact up to K = %lld", (long long)tn_range_most_k(&d));
}

/* Lines of nodes begin, behind their indent, with the sigil, and stand in the order of nodes. */
void tn_print_ranges(const TnGraph *g, TnDotOf *dot_of, TnBuf *out) {
    TnBuf text = {0};
    TnGraph *one = (TnGraph *)g;
    TnRef r = 0;
    tn_print_file(&one, 1, &text);
    for (const char *p = text.data, *end = p + text.len; p < end;) {
        size_t n = 0, indent = 0;
        while (p + n < end && p[n] != '\n') n++;
        while (indent < n && p[indent] == ' ') indent++;
        tn_buf_put(out, p, n);
        if (indent < n && (p[indent] == '%' || p[indent] == '$')) put_note(g, r++, dot_of, out);
        tn_buf_puts(out, "\n");
        p += n + 1;
    }
    TN_CHECK(r == g->n);
    tn_buf_free(&text);
}
