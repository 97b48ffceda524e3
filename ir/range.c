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

/* i32 inputs are ids, positions, slots, rows or the block table. An id that indexes a table is less than its rows. */
static TnRange input_range(const TnGraph *g, TnRef r) {
    TnRange range = between(0, INT32_MAX);
    for (TnRef i = r + 1; i < g->n; i++) {
        const TnNode *n = &g->nodes[i];
        if (!tn_op_is(n->op, TN_TRAIT_INDEX1) || n->args[0] != r) continue;
        int64_t last = g->nodes[n->args[n->n_args - 1]].type.dim[0] - 1;
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
    if (n->type.enc == TN_ENC_q8 || n->type.enc == TN_ENC_q8g) return between(-TN_RANGE_CODE, TN_RANGE_CODE);
    if (n->type.enc == TN_ENC_q14) return between(-TN_RANGE_LIMB, TN_RANGE_LIMB);
    if (n->type.enc == TN_ENC_s8 || n->type.enc == TN_ENC_s5) return between(-127, 127);
    if (n->type.enc == TN_ENC_s6) return between(-31, 31);
    if (tn_enc_is_ternary(n->type.enc)) return between(-1, n->type.two ? 2 : 1);
    if (n->type.enc == TN_ENC_i8) return between(-128, 127);
    if (n->type.enc != TN_ENC_i32) return unknown;
    if (n->op == TN_OP_input) return input_range(g, r);
    if (n->op == TN_OP_tmatmul) {
        int64_t most = tn_range_sum(last_column(g, n->args[0]) + 1);
        most *= tn_range_of(g, n->args[1]).hi;
        return between(-most, most);
    }
    if (tn_op_is(n->op, TN_TRAIT_COLUMN_IDS)) return between(-1, last_column(g, n->args[0]));
    if (tn_op_is(n->op, TN_TRAIT_SELECTS)) return tn_range_of(g, n->args[0]);
    return unknown;
}

/* ---- targets */

enum { LINE = 256 };

static int64_t lines_of(int64_t k) {
    return (k + LINE - 1) / LINE;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t product(const TnDot *d) {
    TN_CHECK(d->code <= UINT8_MAX);
    return (int64_t)d->code * d->value;
}

int64_t tn_range_pair(const TnDot *d) {
    return d->pair * product(d);
}

int64_t tn_range_adds(const TnDot *d) {
    return d->pair ? INT16_MAX / tn_range_pair(d) : 0;
}

int64_t tn_range_widen(const TnDot *d, int64_t k) {
    return d->pair ? least(tn_range_adds(d) / d->adds, lines_of(k)) : lines_of(k);
}

int64_t tn_range_split(const TnDot *d, int64_t k) {
    return d->exact32 ? least(INT32_MAX / (d->meets * product(d)), lines_of(k)) : lines_of(k);
}

int64_t tn_range_lane(const TnDot *d, int64_t k) {
    return tn_range_split(d, k) * d->meets * product(d);
}

static int64_t additions(const TnDot *d, int64_t k) {
    int64_t lines = tn_range_widen(d, k);
    return lines ? lines * d->adds : tn_range_adds(d);
}

int64_t tn_range_narrow(const TnDot *d, int64_t k) {
    return d->pair ? additions(d, k) * tn_range_pair(d) : 0;
}

/* ---- text */

static void put_bounds(TnRange range, TnBuf *out) {
    if (range.lo == -range.hi)
        tn_buf_printf(out, "|y| <= %lld", (long long)range.hi);
    else
        tn_buf_printf(out, "%lld <= y <= %lld", (long long)range.lo, (long long)range.hi);
}

static void put_dot(const TnDot *d, int64_t k, TnBuf *out) {
    int64_t split = tn_range_split(d, k), lines = lines_of(k), lane = tn_range_lane(d, k);
    tn_buf_printf(out, "; a lane <= %lld", (long long)lane);
    if (lane > INT32_MAX) tn_buf_puts(out, " modulo 2^32"); /* of which the result is a part that fits */
    if (split < lines)
        tn_buf_printf(out, ", put elsewhere after %lld of %lld lines", (long long)split, (long long)lines);
    if (!d->pair) return;
    int64_t n = additions(d, k), fit = tn_range_adds(d);
    tn_buf_printf(out, "; an i16 <= %lld: %lld addition%s of %lld, ", (long long)tn_range_narrow(d, k),
                  (long long)n, n == 1 ? "" : "s", (long long)tn_range_pair(d));
    if (n < fit)
        tn_buf_printf(out, "of %lld that fit", (long long)fit);
    else
        tn_buf_puts(out, "all that fit");
}

static void put_note(const TnGraph *g, TnRef r, TnDotOf *dot_of, TnBuf *out) {
    TnRange range = tn_range_of(g, r);
    const TnNode *n = &g->nodes[r];
    TnDot d;
    if (n->op == TN_OP_estimate) {
        int64_t k = last_column(g, n->args[1]) + 1, code = tn_range_of(g, n->args[1]).hi;
        tn_buf_printf(out, " ; |sum| <= %lld of each limb", (long long)(code * TN_RANGE_LIMB * k));
        if (dot_of && dot_of(g, r, &d)) put_dot(&d, k, out);
        return;
    }
    if (n->op == TN_OP_tmatmul_groups) {
        const TnType *w = &g->nodes[n->args[1]].type;
        tn_buf_printf(out, " ; |acc| <= %lld of a group",
                      (long long)(tn_range_sum(w->group) * tn_range_of(g, n->args[1]).hi));
        return;
    }
    if (!range.known || n->op == TN_OP_output || tn_enc_is_ternary(n->type.enc)) return;
    tn_buf_puts(out, " ; ");
    put_bounds(range, out);
    if (n->op == TN_OP_quant)
        tn_buf_printf(out, ", |sum| <= %lld", (long long)tn_range_sum(last_column(g, r) + 1));
    if (n->op == TN_OP_tmatmul && dot_of && dot_of(g, r, &d))
        put_dot(&d, last_column(g, n->args[0]) + 1, out);
}

/* Lines of nodes begin, after their indent, with the sigil, and are in the order of the nodes. */
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
