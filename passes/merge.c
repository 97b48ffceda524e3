/* merge: multiplications of one input become one multiplication.
 *
 * Does: tmatmuls that share their first operand (q|k|v, gate|up) become one tmatmul over the concat of their weights,
 * with one dequant after it and a slice in place of each former dequant:
 *
 *   %a: i32[T,96] = tmatmul %h, $cat          one root to schedule, one pass over the quantised rows
 *   %d: f32[T,96] = dequant %a, %h, $cat      each column keeps the scale of its weight row, so the bits stay
 *   %q: f32[T,64] = slice %d {lo=0, n=64}
 *
 * Dense matmuls and tmatmul_groups are merged likewise; their slices read the product itself. The dot product of a column does not depend on
 * the other columns, so the bits stay.
 * Needs: a verified graph of stage model; cse before it, or equal inputs are not seen to be equal.
 * Breaks: nothing. Of the merged nodes only the concat still reads the parts' weights.
 * Stops: each multiplication is looked at once and merged at most once.
 *
 * Left alone: a tmatmul whose result has another reader than one dequant of the same rows and weight; dense
 * weights of different encodings (a table has one encoding); the head, that is a matmul whose weight an embed reads or
 * whose result goes to an output or to an op with the trait CHOOSES (argmax, topk, take): its weight is too large to be
 * stored twice; parts beyond eight. */
#include "passes/internal.h"
#include <stdlib.h>

#define PARTS_MAX  8
#define SCALES_MAX (1u << 20)

typedef struct Merge {
    TnGraph *g;
    TnReaders readers;
    TnEdit edit;
    bool *done;
} Merge;

static uint32_t n_readers(const Merge *m, TnRef r) {
    return m->readers.at[r + 1] - m->readers.at[r];
}

/* Returns the dequant that is the only reader of the sums, or TN_NONE. */
static TnRef only_dequant(const Merge *m, TnRef r) {
    const TnNode *n = &m->g->nodes[r];
    if (n_readers(m, r) != 1) return TN_NONE;
    TnRef d = m->readers.list[m->readers.at[r]];
    const TnNode *dn = &m->g->nodes[d];
    bool fits =
        dn->op == TN_OP_dequant && dn->args[0] == r && dn->args[1] == n->args[0] && dn->args[2] == n->args[1];
    return fits ? d : TN_NONE;
}

static bool is_head(const Merge *m, TnRef r) {
    const TnReaders *u = &m->readers;
    TnRef w = m->g->nodes[r].args[1];
    for (uint32_t i = u->at[w]; i < u->at[w + 1]; i++)
        if (tn_op_is(m->g->nodes[u->list[i]].op, TN_TRAIT_INDEX1)) return true; /* embed */
    for (uint32_t i = u->at[r]; i < u->at[r + 1]; i++) {
        TnOp op = m->g->nodes[u->list[i]].op;
        if (tn_op_is(op, TN_TRAIT_CHOOSES) || tn_ops[op].class == TN_SINK) return true;
    }
    return false;
}

static bool mergeable(const Merge *m, TnRef r) {
    const TnNode *n = &m->g->nodes[r];
    if (m->done[r] || !tn_is_matmul(n) || n->n_args != 2) return false;
    if (n->op == TN_OP_tmatmul) return only_dequant(m, r) != TN_NONE;
    if (n->op == TN_OP_tmatmul_groups) return n_readers(m, r) && !is_head(m, r);
    return tn_enc_is_float(m->g->nodes[n->args[1]].type.enc) && n_readers(m, r) && !is_head(m, r);
}

/* Collects the multiplications to merge with r: r first, the others in order. */
static uint32_t collect(const Merge *m, TnRef r, TnRef parts[PARTS_MAX]) {
    const TnGraph *g = m->g;
    const TnNode *n = &g->nodes[r];
    TnRef x = n->args[0];
    const TnType *first = &g->nodes[n->args[1]].type;
    int64_t rows = 0;
    uint32_t count = 0, scales = 0;
    for (uint32_t i = m->readers.at[x]; i < m->readers.at[x + 1] && count < PARTS_MAX; i++) {
        TnRef p = m->readers.list[i];
        if (p < r || g->nodes[p].op != n->op || g->nodes[p].args[0] != x || !mergeable(m, p)) continue;
        const TnType *w = &g->nodes[g->nodes[p].args[1]].type;
        if (n->op == TN_OP_matmul && w->enc != first->enc) continue;
        if (w->group != first->group)
            continue; /* of scales that lie with the weights and scales that do not */
        if (w->dim[0] > TN_ELEMENTS_MAX / w->dim[1] - rows || w->n_scales > SCALES_MAX - scales) continue;
        rows += w->dim[0];
        scales += w->n_scales;
        parts[count++] = p;
    }
    return count;
}

static void merge(Merge *m, const TnRef *parts, uint32_t n) {
    TnGraph *g = m->g;
    TnOp op = g->nodes[parts[0]].op;
    TnRef x = g->nodes[parts[0]].args[0], w[PARTS_MAX];
    for (uint32_t i = 0; i < n; i++) w[i] = g->nodes[parts[i]].args[1];
    TnRef cat = tn_node_add(g, TN_OP_concat, NULL, NULL, w, n, NULL, 0);
    TnRef y = tn_node_add(g, op, NULL, NULL, (TnRef[]){x, cat}, 2, NULL, 0);
    if (op == TN_OP_tmatmul) y = tn_node_add(g, TN_OP_dequant, NULL, NULL, (TnRef[]){y, x, cat}, 3, NULL, 0);
    int64_t lo = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t cols = g->nodes[w[i]].type.dim[0];
        TnAttr attrs[] = {{.key = TN_ATTR_lo, .i = lo}, {.key = TN_ATTR_n, .i = cols}};
        TnRef slice = tn_node_add(g, TN_OP_slice, NULL, NULL, &y, 1, attrs, 2);
        lo += cols;
        TnRef was = parts[i];
        if (op == TN_OP_tmatmul) {
            was = only_dequant(m, parts[i]);
            tn_edit_replace(&m->edit, parts[i], y); /* its one reader goes with it */
        }
        tn_edit_become(&m->edit, was, slice);
        m->done[parts[i]] = true;
    }
}

TernStatus pass_merge(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    (void)err;
    Merge m = {.g = g};
    tn_readers_create(g, &m.readers);
    m.done = tn_xcalloc((size_t)g->n + 1, sizeof *m.done);
    tn_edit_begin(&m.edit, g);
    for (TnRef r = 0; r < m.edit.n; r++) {
        TnRef parts[PARTS_MAX];
        if (!mergeable(&m, r)) continue;
        uint32_t n = collect(&m, r, parts);
        if (n >= 2) merge(&m, parts, n);
    }
    tn_edit_end(&m.edit, false);
    tn_readers_destroy(&m.readers);
    free(m.done);
    return TERN_OK;
}
