/* Checks indices before they are used. The evaluator itself does not, since a session checks its inputs. A graph that was
 * written by hand may compute its indices or get made-up inputs, and its ops may have room for fewer rows than a step has. */
#include "ir/eval_ops.h"

static TernStatus place(const TnEvalOp *c, TernError *err) {
    return tn_fail_in(err, TERN_ERR_INPUT, "%s:%u: %%%s", c->g->file ? c->g->file : c->g->name, c->n->line,
                      c->n->name);
}

static TernStatus in_range(const TnEvalOp *c, const char *what, uint32_t arg, int64_t got, int64_t lo,
                           int64_t n, TernError *err) {
    if (lo <= got && got < n) return TERN_OK;
    if (n <= lo)
        tn_fail(err, TERN_ERR_INPUT, "%s of %%%s: got %s %lld, but there is none", tn_ops[c->n->op].name,
                tn_arg(c, arg)->name, what, (long long)got);
    else
        tn_fail(err, TERN_ERR_INPUT, "%s of %%%s: got %s %lld, expected %lld to %lld", tn_ops[c->n->op].name,
                tn_arg(c, arg)->name, what, (long long)got, (long long)lo, (long long)n - 1);
    return place(c, err);
}

/* Checks every element of a value of i32. */
static TernStatus elements(const TnEvalOp *c, uint32_t arg, int64_t lo, int64_t n, TernError *err) {
    const TnType *t = &tn_arg(c, arg)->type;
    int64_t cols = t->rank > 1 ? tn_cols(t) : 1;
    for (int64_t r = 0; r < tn_type_rows(t, c->sym); r++) {
        const int32_t *row = tn_arg_row(c, arg, r);
        for (int64_t j = 0; j < cols; j++) TN_TRY(in_range(c, "index", arg, row[j], lo, n, err));
    }
    return TERN_OK;
}

/* Checks blocks b0 to b1 of a slot, and their pages in the table. */
static TernStatus pages(const TnEvalOp *c, uint32_t arg, int32_t slot, int64_t b0, int64_t b1,
                        TernError *err) {
    const int32_t *table = tn_arg_data(c, arg + 1);
    TN_TRY(in_range(c, "slot", arg, slot, 0, c->sym[TN_S], err));
    for (int64_t b = b0; b <= b1; b++)
        TN_TRY(in_range(c, "page", arg + 1, table[slot * c->sym[TN_P] + b], 0, c->sym[TN_N], err));
    return TERN_OK;
}

/* Checks pos, slot and table, which are operands arg, arg + 1 and arg + 2. */
static TernStatus positions(const TnEvalOp *c, uint32_t arg, bool reads, TernError *err) {
    const int32_t *pos = tn_arg_data(c, arg), *slot = tn_arg_data(c, arg + 1);
    for (int64_t t = 0; t < tn_type_rows(&tn_arg(c, arg)->type, c->sym); t++) {
        int64_t window = reads ? tn_attr_int(c->n, TN_ATTR_window) : 1;
        int64_t first = window > 0 && pos[t] >= window ? pos[t] - window + 1 : 0;
        TN_TRY(in_range(c, "position", arg, pos[t], 0, c->sym[TN_P] * TN_PAGE, err));
        TN_TRY(pages(c, arg + 1, slot[t], first / TN_PAGE, pos[t] / TN_PAGE, err));
    }
    return TERN_OK;
}

/* Checks that an op has room for the rows of operand 0 (attend_join: of the result). */
static TernStatus room(const TnEvalOp *c, int64_t rows, TernError *err) {
    int64_t n = tn_attr_int(c->n, TN_ATTR_n);
    if (rows <= n) return TERN_OK;
    tn_fail(err, TERN_ERR_INPUT, "%s has room for %lld row%s, got %lld", tn_ops[c->n->op].name, (long long)n,
            n == 1 ? "" : "s", (long long)rows);
    return place(c, err);
}

/* The number of columns of operand 1, or of rows of the table, among which ids choose. */
static int64_t most_picked(const TnEvalOp *c) {
    if (!tn_op_is(c->n->op, TN_TRAIT_TABLE_ROWS)) return tn_cols(&tn_arg(c, 0)->type);
    return tn_weight_count(&tn_arg(c, c->n->n_args - 1)->type);
}

TernStatus tn_eval_op_check(const TnEvalOp *c, TernError *err) {
    TnOp op = c->n->op;
    uint32_t at = tn_op_places(op);
    if (tn_op_is(op, TN_TRAIT_INDEX1))
        return elements(c, 0, 0, tn_weight_count(&tn_arg(c, c->n->n_args - 1)->type), err);
    if (tn_op_is(op, TN_TRAIT_INDEX2))
        return elements(c, 1, 0, tn_type_rows(&tn_arg(c, 0)->type, c->sym), err);
    if (tn_op_is(op, TN_TRAIT_PICKS2)) return elements(c, 1, -1, most_picked(c), err);
    if (op == TN_OP_attend_blocks) TN_TRY(room(c, tn_type_rows(&tn_arg(c, 0)->type, c->sym), err));
    if (op == TN_OP_attend_join) return room(c, tn_out_rows(c), err);
    return at ? positions(c, at, tn_op_is(op, TN_TRAIT_ATTENDS), err) : TERN_OK;
}
