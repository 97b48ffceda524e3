/* tile: each kernel gets a target and is cut into units, the pieces that workers take.
 *
 * Does: (t)matmul kernels are cut by output columns (axis=cols), 64 a unit, or 256 where weights are there by columns too;
 * where the epilogue rotates heads or stores them, by whole heads, as many as reach 64. Units do not cross parts. attend is
 * cut by rows and key-value heads, attend_blocks by blocks and key-value heads, everything else by rows. Then every target
 * says how well it would do the kernel, and the best takes it; of equals the first. It also says how far ahead it fetches
 * weights (near, far). These two distances and the grain of columns are what is tuned (codegen/tune.h); here they get the
 * numbers that are good everywhere.
 * Needs: a fused graph in its final encodings (layout), for targets judge what they would read. Level.
 * Breaks: nothing.
 * Stops: each kernel is looked at once. A kernel that no target takes is TERN_ERR_UNSUPPORTED: the line
 * names op and level. */
#include "passes/internal.h"

static void cut_rows(TnGraph *g, TnKernel *k) {
    TnOp root = k->root == TN_NONE ? TN_OP_input : g->nodes[k->root].op;
    bool attend = root == TN_OP_attend || root == TN_OP_attend_blocks;
    k->axis = TN_AXIS_ROWS;
    k->grain = k->units = attend ? g->nodes[g->nodes[k->root].args[1]].type.dim[1] : 1;
}

static TernStatus choose(TnGraph *g, uint32_t kernel, const TnPassCtx *ctx, TernError *err) {
    TnKernel *k = &g->kernels[kernel];
    int best = 0;
    k->target = NULL;
    k->near = k->far = 0;
    const TnTargetDesc *of = NULL;
    for (uint32_t i = 0; i < ctx->n_targets; i++) {
        int score = ctx->targets[i]->can(g, kernel, g->level);
        if (score <= best) continue;
        best = score;
        of = ctx->targets[i];
    }
    if (best > 0) {
        k->target = tn_strdup(&g->arena, of->name);
        if (k->axis == TN_AXIS_COLS && of->ahead) of->ahead(g, kernel, &k->near, &k->far);
        return TERN_OK;
    }
    TnBuf ops = {0};
    for (TnRef r = k->first; r < k->first + k->n && r < k->first + 12; r++)
        tn_buf_printf(&ops, "%s%s", r > k->first ? " " : "", tn_ops[g->nodes[r].op].name);
    TernStatus status =
        tn_fail(err, TERN_ERR_UNSUPPORTED,
                "kernel @%s (%s) of graph @%s: no target of this build can do it on level %s", k->name,
                k->root == TN_NONE ? ops.data : tn_ops[g->nodes[k->root].op].name, g->name, g->level);
    tn_buf_free(&ops);
    return status;
}

TernStatus pass_tile(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    for (uint32_t i = 0; i < g->n_kernels; i++) {
        TnKernel *k = &g->kernels[i];
        if (k->root != TN_NONE && tn_is_matmul(&g->nodes[k->root]))
            tn_cut_columns(g, i, TN_CUT_COLUMNS);
        else
            cut_rows(g, k);
        TN_TRY(choose(g, i, ctx, err));
    }
    return TERN_OK;
}
