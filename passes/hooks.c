/* Asks the targets of a level about that level. The first target with an answer decides; if none has one, the usual answer
 * for a CPU holds. */
#include "passes/internal.h"

uint32_t tn_batch_classes(const TnTargetDesc *const *targets, uint32_t n, const char *level, int64_t most,
                          TnBatchClass out[TN_BATCH_CLASSES]) {
    uint32_t i = 0;
    while (i < n && !targets[i]->classes) i++;
    uint32_t count = i < n ? targets[i]->classes(level, most, out) : tn_batch_classes_usual(most, out);
    TN_CHECK(count >= 1 && count <= TN_BATCH_CLASSES);
    for (uint32_t c = 0; c < count; c++)
        TN_CHECK(out[c].lo == (c ? out[c - 1].hi + 1 : 1) && out[c].hi >= out[c].lo);
    TN_CHECK(out[count - 1].hi == most);
    return count;
}

/* The target that answers for products of the level, if b64 suits its code; else NULL. */
static const TnTargetDesc *beside_of(const TnTargetDesc *const *targets, uint32_t n, const char *level) {
    for (uint32_t i = 0; i < n; i++)
        if (targets[i]->beside) return targets[i]->beside(level) ? targets[i] : NULL;
    return NULL;
}

bool tn_beside_suits(const TnTargetDesc *const *targets, uint32_t n, const char *level) {
    return beside_of(targets, n, level) != NULL;
}

bool tn_whole_suits(const TnTargetDesc *const *targets, uint32_t n, const char *level, const char *family) {
    const TnTargetDesc *t = beside_of(targets, n, level);
    return t && t->whole && t->whole(level, family);
}

TnMerit tn_base3_of(const TnTargetDesc *const *targets, uint32_t n, const char *level, const char *family) {
    const TnTargetDesc *t = beside_of(targets, n, level);
    return t && t->base3 ? t->base3(level, family) : TN_MERIT_NONE;
}

bool tn_repeats(const TnPassCtx *ctx, const TnGraph *g, TnRef r) {
    for (uint32_t i = 0; i < ctx->n_targets; i++)
        if (ctx->targets[i]->repeats) return ctx->targets[i]->repeats(g, r);
    return g->rows_hi == 1;
}

bool tn_holds(const TnPassCtx *ctx, const TnGraph *g, TnRef r) {
    for (uint32_t i = 0; i < ctx->n_targets; i++)
        if (ctx->targets[i]->holds) return ctx->targets[i]->holds(g, r);
    return true;
}

bool tn_pays(const TnPassCtx *ctx, const TnPass *pass, const TnGraph *g) {
    if (!pass->pays_to) return true;
    bool usual = g->rows_hi <= pass->pays_to;
    for (uint32_t i = 0; i < ctx->n_targets; i++)
        if (ctx->targets[i]->pays) return ctx->targets[i]->pays(pass->name, g, usual);
    return usual;
}
