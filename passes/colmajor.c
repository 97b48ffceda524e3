/* colmajor: products of a row that is mostly zeros get their weights by columns too.
 *
 * Behind relu2 more than half of a row is zero, and behind quant still more: all that is small beside the largest. In the
 * trained models that were looked at 77 to 90 of 100 codes at the input of `down` are 0. A row of weights cannot use
 * that: its every line of 256 weights meets some code that is not 0. A column can: where its code is 0 it need not be
 * read, which in decoding is what costs.
 *
 *   %b: i32[T,m] = tmatmul %q, $down          $c: t8[(m/256)*k,256] = colmajor $down
 *                                             %b: i32[T,m] = tmatmul %q, $down, $c
 *
 * The code counts the codes that are not 0 and takes the copy that is read faster, step by step
 * (codegen/llvm/ops/tmatmul_colmajor.c). Sums are integers: the bits are the same.
 *
 * Does: the above in a batch class where it pays (usually that of one row), in kernels whose root multiplies a quant of a `mulz`, or of an rmsnorm
 * of one (pass gate: that is relu2(gate) * up). The matrix has at least LEAST blocks of 256 rows, for a block is what a
 * worker takes, a line of it being what is read of a column: few workers would find work in a small one. That is the
 * price where rows are read after all: of 10 blocks 8 workers take two each at most, of 40 units of 64 five.
 * Needs: a fused graph, gate before it. A target whose code looks at the copy, which takes as much of the blob as the
 * matrix itself: one that does not says that the pass never pays.
 * Breaks: nothing.
 * Stops: each kernel is looked at once; one with three operands is left alone, as is one that reads and writes as many
 * values as a kernel may already, or whose copy would have more elements than a value may have. */
#include "passes/internal.h"

enum { LEAST = 8 };

static bool is_sparse(const TnGraph *g, TnRef q) {
    if (g->nodes[q].op != TN_OP_quant) return false;
    TnRef x = g->nodes[q].args[0];
    if (g->nodes[x].op == TN_OP_rmsnorm) x = g->nodes[x].args[0];
    return g->nodes[x].op == TN_OP_mulz;
}

/* Room for one more operand, and for the copy. */
static bool has_room(const TnGraph *g, uint32_t kernel, const TnType *w) {
    TnRef operands[TN_OPERANDS_MAX];
    uint32_t n_in;
    int64_t blocks = (w->dim[0] + TN_COLMAJOR_ROWS - 1) / TN_COLMAJOR_ROWS;
    return w->dim[1] <= TN_COLUMNS_MOST && blocks <= TN_ELEMENTS_MAX / TN_COLMAJOR_ROWS / w->dim[1] &&
           tn_kernel_operands(g, kernel, operands, &n_in) < TN_OPERANDS_MAX;
}

TernStatus pass_colmajor(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    (void)err;
    TnEdit edit;
    tn_edit_begin(&edit, g);
    for (uint32_t i = 0; i < g->n_kernels; i++) {
        TnRef root = g->kernels[i].root;
        if (root == TN_NONE || g->nodes[root].op != TN_OP_tmatmul || g->nodes[root].n_args != 2) continue;
        TnRef q = g->nodes[root].args[0], w = g->nodes[root].args[1];
        const TnType *t = &g->nodes[w].type;
        if (!is_sparse(g, q) || t->dim[0] < LEAST * TN_COLMAJOR_ROWS || !has_room(g, i, t)) continue;
        TnRef *args = tn_alloc_array(&g->arena, 3, sizeof *args);
        args[0] = q;
        args[1] = w;
        args[2] = tn_node_add(g, TN_OP_colmajor, NULL, NULL, &w, 1, NULL, 0);
        g->nodes[root].args = args;
        g->nodes[root].n_args = 3;
    }
    tn_edit_end(&edit, true);
    return TERN_OK;
}
