/* split: attention of few rows is cut in two, so that all workers have a part of it.
 *
 * Does: in a batch class where it pays (usually those of 1 row and of 2 to 8 rows), y = attend q, k, v, .. becomes
 * b = attend_blocks q, k, v, .. and y = attend_join b, pos. The first computes the blocks of 64 positions, each by itself;
 * the second sums them in the order of the blocks. attend is defined in that order (ir.h), so the bits are the same.
 * With one row, attend has as many units as there are key-value heads: five units leave three of eight workers idle, and
 * two workers get 3 and 2. Blocks are numerous as soon as there is much to do. The price is that a block's sums go through
 * memory, 6 floats for every 100 of keys and values. With many rows there are enough units anyway, and the sums would be
 * as large as the cache.
 * Needs: a graph of stage model; the batch class. Runs before fuse, which puts attend_join before the
 * multiplication that reads it, in one kernel.
 * Breaks: nothing; y keeps its name.
 * Stops: each node is looked at once; one whose blocks would have more elements than a value may have is left alone. */
#include "passes/internal.h"
#include <stdlib.h>

/* Adds the two halves of y = attend .. to the graph. Returns the second, which takes y's name. */
static TnRef halves(TnGraph *g, TnRef y) {
    const TnNode n = g->nodes[y]; /* a copy: adding nodes moves the node, but not its arrays */
    int64_t heads = n.type.dim[1] / g->nodes[n.args[1]].type.dim[2];
    TnAttr window = *tn_node_attr(&n, TN_ATTR_window), scale = *tn_node_attr(&n, TN_ATTR_scale);
    TnAttr rows = {.key = TN_ATTR_n, .i = g->rows_hi}, of = {.key = TN_ATTR_heads, .i = heads};
    TnRef blocks =
        tn_node_add(g, TN_OP_attend_blocks, NULL, NULL, n.args, n.n_args, (TnAttr[]){scale, window, rows}, 3);
    TnRef join = tn_node_add(g, TN_OP_attend_join, NULL, NULL, (TnRef[]){blocks, n.args[3]}, 2,
                             (TnAttr[]){window, rows, of}, 3);
    g->nodes[blocks].line = g->nodes[join].line = n.line;
    g->nodes[y].name = g->nodes[join].name;
    g->nodes[join].name = n.name;
    return join;
}

/* Whether the blocks of y are small enough to be a value. */
static bool has_halves(const TnGraph *g, TnRef y) {
    const TnNode *n = &g->nodes[y];
    if (n->op != TN_OP_attend) return false;
    int64_t head = g->nodes[n->args[1]].type.dim[2], heads = n->type.dim[1] / head;
    return heads <= TN_ELEMENTS_MAX / (head + 2) / g->rows_hi;
}

TernStatus pass_split(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    (void)err;
    uint32_t n_old = g->n, n = 0;
    TnRef *to = tn_xcalloc((size_t)n_old + 1, sizeof *to); /* the replacement of each old node */
    TnRef *order = tn_xcalloc((size_t)n_old * 2 + 1, sizeof *order);
    for (TnRef r = 0; r < n_old; r++) {
        to[r] = has_halves(g, r) ? halves(g, r) : r;
        if (to[r] != r) order[n++] = to[r] - 1; /* at y's place: a later kv_put may change what it reads */
        order[n++] = to[r];
    }
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef *arg = &g->nodes[r].args[i];
            if (*arg < n_old) *arg = to[*arg];
        }
    tn_graph_reorder(g, order, n);
    free(to);
    free(order);
    return TERN_OK;
}
