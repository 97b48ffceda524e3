/* fold: values that are known now are computed now.
 *
 * Does: evaluates a ROW, ELEM or MAP op whose operands are all `const`, and makes it a `const` (f32, at most 1,024
 * values, as the text allows). The evaluator computes it, so the bits are those that the step would have made.
 * Removes ops that copy their operand bit by bit (traits COPIES and ONES of ir/traits.def): a slice of all columns, a pack
 * to the encoding that the operand has, and a mul by a const of all ones. A slice of a slice becomes one slice. A pack of a
 * ternary pack reads the inner operand, since ternary packs are exact and only the last one counts.
 * Needs: a verified graph of stage model.
 * Breaks: nothing; weights under folded packs may be left unread, for dce.
 * Stops: one pass in order; operands are folded before their readers, so nothing new to fold appears earlier.
 *
 * Not applied, because the bits would differ:
 *   x + 0      turns -0 into +0
 *   x * 0      is NaN for infinity and NaN, and -0 for negative x
 *   x * 1      of a value that was loaded, not computed: it would make a signalling NaN quiet.
 *              After arithmetic (trait QUIET) there are no signalling NaNs, so there it is applied
 *   results with a NaN other than the one that the text can spell
 *   a dense pack of a dense pack: two roundings are not one
 *
 * A fold or an identity that would make an output read a weight is not applied either: outputs are computed values.
 * rope_freq is not folded: it is a source already, made once. */
#include "passes/internal.h"
#include "ir/eval.h"
#include "runtime/base/half.h"
#include <stdlib.h>
#include <string.h>

#define FOLD_MAX  1024
#define TEXT_NAN  0x7fc00000u
#define FLOAT_ONE 0x3f800000u

typedef struct Fold {
    TnGraph *g;
    TnEdit edit;
    bool *output; /* for each node from before the pass: whether an output reads it */
} Fold;

static bool is_const(const TnGraph *g, TnRef r) {
    return g->nodes[r].op == TN_OP_const;
}

static bool foldable(const Fold *f, TnRef r) {
    const TnNode *n = &f->g->nodes[r];
    if (!tn_op_is_row(n->op) || !n->n_args || n->type.enc != TN_ENC_f32 || f->output[r]) return false;
    for (uint32_t i = 0; i < n->n_args; i++)
        if (!is_const(f->g, n->args[i])) return false;
    int64_t count = 1;
    for (int i = 0; i < n->type.rank; i++) {
        if (tn_dim_is_sym(n->type.dim[i]) || n->type.dim[i] > FOLD_MAX) return false;
        count *= n->type.dim[i];
    }
    return count <= FOLD_MAX;
}

/* Returns a new const with r's value, or TN_NONE if the text has no spelling for it. */
static TnRef evaluate(Fold *f, TnRef r) {
    static const int64_t no_sym[TN_SYM_COUNT] = {0};
    TnGraph *g = f->g;
    TnType type = g->nodes[r].type;
    TnArena mem = {0};
    void **data = tn_xcalloc(g->n, sizeof *data);
    for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
        TnRef a = g->nodes[r].args[i];
        data[a] = tn_alloc(&mem, tn_type_bytes(&g->nodes[a].type, no_sym) + 64);
        TernError err;
        if (tn_weight_all(g, a, NULL, data[a], &err) != TERN_OK)
            TN_BUG("const $%s : %s", g->nodes[a].name, err.text);
    }
    data[r] = tn_alloc(&mem, tn_type_bytes(&type, no_sym) + 64);
    tn_eval_node(g, r, data, no_sym);
    int64_t rows = type.rank == 2 ? type.dim[0] : 1, cols = type.dim[type.rank - 1];
    float values[FOLD_MAX] = {0};
    bool spelled = true;
    for (int64_t i = 0; i < rows; i++) {
        const char *row = (const char *)data[r] + (size_t)i * tn_row_bytes(&type);
        memcpy(values + i * cols, row, (size_t)cols * sizeof *values);
    }
    for (int64_t i = 0; i < rows * cols; i++)
        if (values[i] != values[i] && tn_f32_bits(values[i]) != TEXT_NAN) spelled = false;
    tn_arena_free(&mem);
    free(data);
    if (!spelled) return TN_NONE;
    TnAttr attr = {.key = TN_ATTR_values, .n = (uint32_t)(rows * cols), .fs = values};
    return tn_node_add(g, TN_OP_const, NULL, &type, NULL, 0, &attr, 1);
}

static bool all_ones(const TnNode *n) {
    if (n->op != TN_OP_const) return false;
    const TnAttr *v = tn_node_attr(n, TN_ATTR_values);
    for (uint32_t i = 0; i < v->n; i++)
        if (tn_f32_bits(v->fs[i]) != FLOAT_ONE) return false;
    return true;
}

/* Returns the value of which r is a copy, or r. */
static TnRef identity(const TnGraph *g, TnRef r) {
    const TnNode *n = &g->nodes[r];
    if (tn_op_is(n->op, TN_TRAIT_COPIES) && tn_type_equal(&n->type, &g->nodes[n->args[0]].type))
        return n->args[0];
    for (uint32_t i = 0; i < 2 && tn_op_is(n->op, TN_TRAIT_ONES); i++) {
        const TnNode *ones = &g->nodes[n->args[1 - i]], *other = &g->nodes[n->args[i]];
        if (all_ones(ones) && tn_op_is(other->op, TN_TRAIT_QUIET)) return n->args[i];
    }
    return r;
}

/* Makes a slice of a slice, or a pack of a ternary pack, read what the inner one reads. */
static void shorten(Fold *f, TnRef r) {
    TnGraph *g = f->g;
    TnNode *n = &g->nodes[r];
    if (n->op == TN_OP_slice && g->nodes[n->args[0]].op == TN_OP_slice) {
        const TnNode *inner = &g->nodes[n->args[0]];
        TnAttr lo = {.key = TN_ATTR_lo, .i = tn_attr_int(n, TN_ATTR_lo) + tn_attr_int(inner, TN_ATTR_lo)};
        n->args[0] = inner->args[0];
        tn_node_set_attr(g, r, lo);
    } else if (n->op == TN_OP_pack && g->nodes[n->args[0]].op == TN_OP_pack) {
        const TnNode *inner = &g->nodes[n->args[0]];
        if (tn_enc_is_ternary(g->nodes[inner->args[0]].type.enc)) n->args[0] = inner->args[0];
    }
}

static void visit(Fold *f, TnRef r) {
    TnGraph *g = f->g;
    for (uint32_t i = 0; i < g->nodes[r].n_args; i++)
        g->nodes[r].args[i] = tn_edit_find(&f->edit, g->nodes[r].args[i]);
    shorten(f, r);
    TnRef to = identity(g, r);
    if (to != r) {
        if (!(f->output[r] && tn_node_is_source(g, to))) tn_edit_replace(&f->edit, r, to);
        /* an output that now reads `to` must still find a computed value */
        if (f->output[r] && to < f->edit.n) f->output[to] = true;
    } else if (foldable(f, r)) {
        to = evaluate(f, r);
        if (to != TN_NONE) tn_edit_become(&f->edit, r, to);
    }
}

TernStatus pass_fold(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    (void)err;
    Fold f = {.g = g};
    f.output = tn_xcalloc((size_t)g->n + 1, sizeof *f.output);
    for (TnRef r = 0; r < g->n; r++)
        if (tn_class_of(g, r) == TN_SINK) f.output[g->nodes[r].args[0]] = true;
    tn_edit_begin(&f.edit, g);
    for (TnRef r = 0; r < f.edit.n; r++) visit(&f, r);
    tn_edit_end(&f.edit, false);
    free(f.output);
    return TERN_OK;
}
