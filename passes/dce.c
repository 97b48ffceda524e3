/* dce: values that nothing reads are not computed.
 *
 * Does: keeps outputs, every kv_put (state outlives the step, so writing it is a result), and everything that these
 * read, directly or not. Removes the rest, weights and inputs too: the runtime binds only the inputs that it finds.
 * Needs: a verified graph of stage model.
 * Breaks: nothing.
 * Stops: one pass backwards; readers come after what they read. */
#include "passes/internal.h"
#include <stdlib.h>

TernStatus pass_dce(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    (void)err;
    bool *live = tn_xcalloc((size_t)g->n + 1, sizeof *live);
    TnRef *order = tn_xcalloc((size_t)g->n + 1, sizeof *order);
    for (TnRef r = g->n; r-- > 0;) {
        if (tn_class_of(g, r) == TN_SINK || tn_op_is(g->nodes[r].op, TN_TRAIT_STATE)) live[r] = true;
        if (!live[r]) continue;
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) live[g->nodes[r].args[i]] = true;
    }
    uint32_t n = 0;
    for (TnRef r = 0; r < g->n; r++)
        if (live[r]) order[n++] = r;
    tn_graph_reorder(g, order, n);
    free(order);
    free(live);
    return TERN_OK;
}
