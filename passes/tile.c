/* tile: each kernel gets a target and is cut into units, the pieces that workers take.
 *
 * Does: every target cuts the kernel (TnTargetDesc.cut) and scores the result. The best score takes the kernel; of equal
 * scores the first target does, and a target that the user names comes before all others. The usual cuts: (t)matmul
 * kernels are cut by output columns (axis=cols), 64 a unit, or 256 if there is a copy of the weights by columns. If the
 * epilogue rotates or stores heads, a unit has whole heads, as many as reach 64 columns. Units do not cross parts. attend
 * is cut by rows and key-value heads, attend_blocks by blocks and key-value heads, everything else by rows. The target
 * also sets how far ahead its code prefetches weights and whether it unpacks them to panels for many rows, by the family of
 * processors if one is named. The tuner chooses these and the grain of columns for a machine (codegen/tune.h); without a family
 * they are good everywhere.
 * Needs: a fused graph in its final encodings (layout), since targets judge what they would read; the level.
 * Breaks: nothing.
 * Stops: each kernel is looked at once. A kernel that no target takes is TERN_ERR_UNSUPPORTED; the message names op and
 * level. */
#include "passes/internal.h"
#include <limits.h>
#include <string.h>

static void cut_as(TnGraph *g, uint32_t kernel, const TnTargetDesc *target) {
    TnKernel *k = &g->kernels[kernel];
    TnCut cut = target->cut ? target->cut(g, kernel) : tn_cut_usual(g, kernel);
    k->axis = tn_cut_by_columns(g, kernel) ? TN_AXIS_COLS : TN_AXIS_ROWS;
    k->grain = cut.grain;
    k->units = cut.units;
}

static TernStatus choose(TnGraph *g, uint32_t kernel, const TnPassCtx *ctx, TernError *err) {
    TnKernel *k = &g->kernels[kernel];
    int best = 0;
    k->target = NULL;
    k->prefetch = (TnPrefetch){0};
    k->panels = false;
    const TnTargetDesc *of = NULL, *cut = NULL;
    for (uint32_t i = 0; i < ctx->n_targets; i++) {
        const TnTargetDesc *t = ctx->targets[i];
        if (!cut || cut->cut != t->cut) cut_as(g, kernel, cut = t);
        int score = t->can(g, kernel, g->level);
        if (score > 0 && ctx->first && strcmp(t->name, ctx->first) == 0) score = INT_MAX;
        if (score <= best) continue;
        best = score;
        of = t;
    }
    if (best > 0) {
        if (cut->cut != of->cut) cut_as(g, kernel, of);
        k->target = tn_strdup(&g->arena, of->name);
        bool by_columns = k->axis == TN_AXIS_COLS;
        if (by_columns && of->prefetch) of->prefetch(g, kernel, ctx->family, &k->prefetch);
        k->panels = by_columns && of->panels && of->panels(g, kernel, ctx->family) == TN_MERIT_GAINS;
        return TERN_OK;
    }
    TnBuf ops = {0};
    const char *lacking = NULL, *by = NULL;
    for (uint32_t i = 0; i < ctx->n_targets && !lacking; i++) {
        by = ctx->targets[i]->name;
        if (ctx->targets[i]->lacks) lacking = ctx->targets[i]->lacks(g, kernel, g->level);
    }
    for (TnRef r = k->first; r < k->first + k->n && r < k->first + 12; r++)
        tn_buf_printf(&ops, "%s%s", r > k->first ? " " : "", tn_ops[g->nodes[r].op].name);
    TernStatus status =
        tn_fail(err, TERN_ERR_UNSUPPORTED,
                "kernel @%s (%s) of graph @%s: no target of this build can do it on level %s%s%s%s%s",
                k->name, k->root == TN_NONE ? ops.data : tn_ops[g->nodes[k->root].op].name, g->name, g->level,
                lacking ? ": " : "", lacking ? by : "", lacking ? " lacks " : "", lacking ? lacking : "");
    tn_buf_free(&ops);
    return status;
}

TernStatus pass_tile(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    for (uint32_t i = 0; i < g->n_kernels; i++) TN_TRY(choose(g, i, ctx, err));
    return TERN_OK;
}
