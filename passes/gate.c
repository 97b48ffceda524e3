/* gate: products with a squared relu lose their negative zeros, so that code may skip elements that relu made zero.
 *
 * A feed-forward layer computes relu2(gate) * up. Where gate is not positive the product is a zero, whatever up is. The
 * rows of up's weights need not be read there, and reading weights is what takes the time in decoding. Only the sign of
 * the zero still depends on up. This pass makes the product a `mulz`, whose zeros are all +0:
 *
 *   %r: f32[T,n] = relu2 %g            %g, %u: slices of one dequant, and so of one multiplication
 *   %y: f32[T,n] = mul %r, %u          becomes   %y: f32[T,n] = mulz %r, %u
 *
 * The code generator then does the skipping (codegen/llvm/skeletons/cols.c), if a row of the weights lies by itself. A NaN
 * gate still gives NaN. An infinite or NaN up is not hidden: the product is NaN, as before, and code that skips must check for this.
 *
 * Does: the above in a batch class where it pays (usually the class of one row), if every reader of y is a `quant`, or an
 * `rmsnorm` that only `quant` reads (traits ZEROS_MERGE and ZEROS_STAY). quant rounds both zeros to the code 0, and
 * neither the largest magnitude nor the sum of squares depends on a zero's sign, so no bit that leaves those ops changes.
 * Needs: a fused graph; merge before it, or gate and up have no root in common. The batch class: with more rows, nearly
 * every row of weights is needed by one of them.
 * Breaks: nothing.
 * Stops: each node is looked at once. */
#include "passes/internal.h"

static bool is(const TnGraph *g, TnRef r, TnOp op, uint32_t kernel) {
    return g->nodes[r].op == op && g->nodes[r].kernel == kernel;
}

/* Returns the dequant of the kernel's root of which r is a slice, or TN_NONE. */
static TnRef sliced(const TnGraph *g, TnRef r, uint32_t kernel) {
    if (!is(g, r, TN_OP_slice, kernel)) return TN_NONE;
    TnRef d = g->nodes[r].args[0];
    return is(g, d, TN_OP_dequant, kernel) && g->nodes[d].args[0] == g->kernels[kernel].root ? d : TN_NONE;
}

static bool is_gated(const TnGraph *g, TnRef y) {
    const TnNode *n = &g->nodes[y];
    if (n->op != TN_OP_mul || n->kernel == TN_NONE) return false;
    TnRef root = g->kernels[n->kernel].root, r = n->args[0], u = n->args[1];
    if (root == TN_NONE || g->nodes[root].op != TN_OP_tmatmul) return false;
    if (!is(g, r, TN_OP_relu2, n->kernel)) {
        r = n->args[1];
        u = n->args[0];
    }
    if (!is(g, r, TN_OP_relu2, n->kernel)) return false;
    TnRef d = sliced(g, u, n->kernel);
    return d != TN_NONE && sliced(g, g->nodes[r].args[0], n->kernel) == d;
}

/* Whether all readers of r read it as operand 0 alone and give the same bits for both zeros. */
static bool sign_is_lost(const TnGraph *g, const TnReaders *u, TnRef r, bool through) {
    for (uint32_t i = u->at[r]; i < u->at[r + 1]; i++) {
        const TnNode *n = &g->nodes[u->list[i]];
        if (n->args[0] != r) return false;
        for (uint32_t a = 1; a < n->n_args; a++)
            if (n->args[a] == r) return false;
        bool stays = through && tn_op_is(n->op, TN_TRAIT_ZEROS_STAY) && sign_is_lost(g, u, u->list[i], false);
        if (!stays && !tn_op_is(n->op, TN_TRAIT_ZEROS_MERGE)) return false;
    }
    return true;
}

TernStatus pass_gate(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    (void)err;
    TnReaders u;
    tn_readers_create(g, &u);
    for (TnRef r = 0; r < g->n; r++)
        if (is_gated(g, r) && sign_is_lost(g, &u, r, true)) g->nodes[r].op = TN_OP_mulz;
    tn_readers_destroy(&u);
    return TERN_OK;
}
