/* From a model's graph to the graphs of programs: runs the first half of the passes once, and the second half once a variant,
 * on a clone. The compiler and the tools that show or compare its graphs all lower here. */
#include "codegen/codegen.h"
#include "runtime/base/arena.h"

TernStatus tn_lower_model(TnGraph *g, const TnWeights *weights, TnEnc head, TernError *err) {
    return tn_passes_run(g, TN_PASSES_MODEL, &(TnPassCtx){.head = head, .weights = weights}, err);
}

TernStatus tn_lower_level(const TnGraph *model, const TnPassCtx *level, const TnBatchClass *classes,
                          uint32_t n_classes, uint32_t kvs, TnLoweredFn *take, void *user, TernError *err) {
    TnPassCtx ctx = *level;
    for (ctx.kv = TN_KV_F16; ctx.kv < TN_KV_COUNT; ctx.kv++)
        for (uint32_t i = 0; (kvs >> ctx.kv & 1) && i < n_classes; i++) {
            ctx.rows_lo = classes[i].lo;
            ctx.rows_hi = classes[i].hi;
            TnGraph *g = tn_graph_clone(model);
            TernStatus st = tn_passes_run(g, TN_PASSES_VARIANT, &ctx, err);
            if (st != TERN_OK) {
                tn_graph_destroy(g);
                return st;
            }
            TN_TRY(take(user, g, err));
        }
    return TERN_OK;
}

TnMerit tn_levels_suit(TnPassCtx *ctx, const char *const *levels, uint32_t n) {
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TnMerit least = TN_MERIT_GAINS;
    ctx->beside = true;
    ctx->whole = false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t n_targets = tn_targets_for(levels[i], ctx->first, targets);
        TnMerit is = tn_base3_of(targets, n_targets, levels[i], ctx->family);
        ctx->beside &= tn_beside_suits(targets, n_targets, levels[i]);
        ctx->whole |= tn_whole_suits(targets, n_targets, levels[i], ctx->family);
        if (is < least) least = is;
    }
    ctx->base3 = least == TN_MERIT_GAINS;
    return least;
}

TernStatus tn_graph_lower(TnGraph *g, TnStage stage, const TnPassCtx *variant, TernError *err) {
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TnPassCtx ctx = *variant;
    ctx.level = tn_strdup(&g->arena, variant->level);
    ctx.targets = targets;
    ctx.n_targets = tn_targets_asked(ctx.level, targets);
    if (g->stage == TN_STAGE_MODEL) TN_TRY(tn_lower_model(g, ctx.weights, ctx.head, err));
    if (stage == TN_STAGE_MODEL) return TERN_OK;
    if (g->stage == TN_STAGE_MODEL) TN_TRY(tn_passes_run(g, TN_PASSES_FUSE, &ctx, err));
    if (stage == TN_STAGE_PLANNED && g->stage == TN_STAGE_FUSED)
        TN_TRY(tn_passes_run(g, TN_PASSES_PLAN, &ctx, err));
    return TERN_OK;
}
