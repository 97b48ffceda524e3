/* tile: each kernel gets a target and is cut into units, the pieces that workers take.
 *
 * Does: (t)matmul kernels are cut by output columns (axis=cols), 64 a unit; where the epilogue rotates heads
 * or stores them, by whole heads, as many as reach 64. Units do not cross parts. attend is cut by rows and
 * key-value heads, attend_blocks by blocks and key-value heads, everything else by rows. Then every target says how well it would do the kernel, and the
 * best takes it; of equals the first.
 * Needs: a fused graph in its final encodings (layout), for targets judge what they would read. Level.
 * Breaks: nothing.
 * Stops: each kernel is looked at once. A kernel that no target takes is TERN_ERR_UNSUPPORTED: the line
 * names op and level. */
#include "passes/internal.h"

#define COLUMNS 64

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Columns that must stay together: the least common multiple of the heads that the epilogue speaks of. */
static int64_t head_columns(const TnGraph *g, const TnKernel *k) {
    int64_t head = 1, most = g->nodes[k->root].type.dim[1];
    for (TnRef r = k->root + 1; r < k->first + k->n; r++) {
        const TnNode *n = &g->nodes[r];
        int64_t h = n->op == TN_OP_rope     ? g->nodes[n->args[1]].type.dim[1]
                    : n->op == TN_OP_kv_put ? n->type.dim[2]
                                            : 1;
        h /= gcd(head, h);
        TN_CHECK(h > 0);                          /* verified: heads have columns */
        head = head > most / h ? most : head * h; /* all columns hold whole heads of any size */
    }
    return head;
}

static void cut_columns(TnGraph *g, uint32_t kernel) {
    TnKernel *k = &g->kernels[kernel];
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(g, kernel, parts);
    int64_t head = head_columns(g, k);
    k->axis = TN_AXIS_COLS;
    k->grain = (COLUMNS + head - 1) / head * head;
    k->units = 0;
    for (uint32_t i = 0; i < n; i++) k->units += (parts[i].n + k->grain - 1) / k->grain;
    if (n == 0) { /* no parts: only who does a kernel whole can do it */
        k->grain = g->nodes[k->root].type.dim[1];
        k->units = 1;
    }
}

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
    for (uint32_t i = 0; i < ctx->n_targets; i++) {
        int score = ctx->targets[i]->can(g, kernel, g->level);
        if (score <= best) continue;
        best = score;
        k->target = ctx->targets[i]->name;
    }
    if (best > 0) {
        k->target = tn_strdup(&g->arena, k->target);
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
            cut_columns(g, i);
        else
            cut_rows(g, k);
        TN_TRY(choose(g, i, ctx, err));
    }
    return TERN_OK;
}
