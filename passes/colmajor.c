/* colmajor: products of a row that is mostly zeros get a second copy of their weights, by columns.
 *
 * After relu2 more than half of a row is zero. After quant even more of it is, since values that are small beside the
 * largest become 0 too. In the trained models measured, 77 to 90 % of the codes at the input of `down` are 0. A row of
 * weights gains nothing from that: each of its lines of 256 weights meets some code that is not 0. A column does gain: if
 * its code is 0, it need not be read, and reading weights is what takes the time in decoding.
 *
 *   %b: i32[T,m] = tmatmul %q, $down          $c: t8[(m/256)*k,256] = colmajor $down
 *                                             %b: i32[T,m] = tmatmul %q, $down, $c
 *
 * In each step the generated code counts the codes that are not 0 and takes the copy that it can read faster
 * (codegen/llvm/ops/tmatmul_colmajor.c). Sums are integers, so the bits are the same.
 *
 * Does: the above in a batch class where it pays (usually the class of one row), in kernels whose root multiplies a quant
 * of a `mulz`, or a quant of an rmsnorm of one (see pass gate: the `mulz` is relu2(gate) * up). The matrix must have at
 * least LEAST blocks of 256 rows. A worker takes whole blocks, since a line of a column holds 256 rows, and a small matrix
 * would leave most workers idle. The coarse units cost time in steps that read by rows after all: with 8 workers, the
 * slowest takes two of 10 blocks, which are eight units of 64, while 40 units of 64 are five for each.
 * Needs: a fused graph, gate before it, and a target whose code uses the copy. The copy takes as much of the blob as the
 * matrix itself, so a target that does not use it answers that the pass never pays.
 * Breaks: nothing.
 * Stops: each kernel is looked at once. Left alone: a root that has three operands already, a kernel that reads and writes
 * as many values as a kernel may, and a matrix whose copy would have more elements than a value may have. */
#include "passes/internal.h"

enum { LEAST = 8 };

static bool is_sparse(const TnGraph *g, TnRef q) {
    if (g->nodes[q].op != TN_OP_quant) return false;
    TnRef x = g->nodes[q].args[0];
    if (g->nodes[x].op == TN_OP_rmsnorm) x = g->nodes[x].args[0];
    return g->nodes[x].op == TN_OP_mulz;
}

/* Whether the kernel can have one more operand, and the copy is small enough to be a value. */
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
        if (!is_sparse(g, q) || t->two || t->dim[0] < LEAST * TN_COLMAJOR_ROWS || !has_room(g, i, t))
            continue;
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
