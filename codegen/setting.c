/* A kernel as tuning sees it: its shape and its setting. */
#include "codegen/tune.h"

#include "ir/print.h"

bool tn_tune_can(const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    const TnTarget *target = k->target ? tn_target_find(k->target) : NULL;
    TnPart parts[TN_PARTS_MAX];
    return target && target->section == TN_SECTION_CODE && k->axis == TN_AXIS_COLS &&
           tn_kernel_parts(g, kernel, parts);
}

bool tn_tune_has_panels(const TnGraph *g, uint32_t kernel) {
    if (!tn_tune_can(g, kernel)) return false;
    const TnTargetDesc *t = &tn_target_find(g->kernels[kernel].target)->desc;
    return t->panels && t->panels(g, kernel, NULL) != TN_MERIT_NONE;
}

void tn_tune_shape(const TnGraph *g, uint32_t kernel, TnBuf *out) {
    const TnKernel *k = &g->kernels[kernel];
    const TnNode *root = &g->nodes[k->root];
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(g, kernel, parts);
    tn_buf_printf(out, "%s %s ", g->level, tn_ops[root->op].name);
    tn_print_shape(&g->nodes[root->args[1]].type, out);
    tn_buf_printf(out, " rows=%lld..%lld", (long long)g->rows_lo, (long long)g->rows_hi);
    if (root->op == TN_OP_tmatmul && root->n_args > 2) tn_buf_puts(out, " by columns");
    for (uint32_t i = 0; i < n && (n > 1 || parts[0].n_bases > 1); i++) {
        tn_buf_printf(out, "%s%lld", i ? "," : " parts=", (long long)parts[i].n);
        if (parts[i].n_bases > 1) tn_buf_printf(out, "*%u", parts[i].n_bases);
    }
    int64_t heads = tn_head_columns(g, k);
    if (heads > 1) tn_buf_printf(out, " heads=%lld", (long long)heads);
    for (TnRef r = k->root + 1; r < k->first + k->n; r++)
        if (g->nodes[r].op == TN_OP_mulz) {
            tn_buf_puts(out, " gated");
            break;
        }
}

TnSetting tn_tune_get(const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    return (TnSetting){k->grain, k->prefetch, k->panels};
}

void tn_tune_set(TnGraph *g, uint32_t kernel, TnSetting s) {
    TN_CHECK(s.grain > 0);
    for (TnStream stream = 0; stream < TN_STREAM_COUNT; stream++)
        for (TnInto i = 0; i < TN_INTO_COUNT; i++)
            TN_CHECK(tn_prefetch_ok(stream, s.prefetch.ahead[stream][i]));
    tn_cut_columns(g, kernel, s.grain);
    g->kernels[kernel].prefetch = s.prefetch;
    g->kernels[kernel].panels = s.panels;
}
