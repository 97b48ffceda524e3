/* How the code of a kernel reads its weights, where nobody has measured that kernel on the machine at hand: how far ahead it
 * prefetches them, and whether it unpacks them for many rows.
 *
 * Products that stream the weights for one row of activations prefetch by distance, and so do those of any number of rows over
 * b64 and b80: their first pass, or what unpacks the weights, reads memory. Others of more rows prefetch by rows of weights. Of
 * a prompt only one row needs the head, so dense products always have distances. They are the ones that --tune found best most
 * often (docs/notebook.md). Those of listed rows and of columns differ between families of processors (codegen/families.c,
 * docs/performance.md).
 *
 * With AVX-512 VNNI, products of many rows go over packed bytes (tmatmul_packed.c) or over panels (tmatmul_rows.c). A pass over
 * packed bytes has 3 masks for 24 products. Where both share two ports, as on processors of Intel, it reaches 8/9 of the peak at
 * most, and panels all of it. */
#include "codegen/families.h"
#include "codegen/llvm/ops/ops.h"
#include "codegen/llvm/ops/ternary.h"

#include <string.h>

/* Lines of columns: if each is read only once, past the second-level cache, which would also fetch its neighbour. */
static const int64_t listed[TN_INTO_COUNT] = {[TN_INTO_L1] = 4}, once[TN_INTO_COUNT] = {[TN_INTO_PAST] = 32},
                     beside[TN_INTO_COUNT] = {[TN_INTO_L1] = 2048, [TN_INTO_L2] = 8192},
                     in_turns[TN_INTO_COUNT] = {[TN_INTO_L1] = 32};

static void set(TnPrefetch *out, TnStream stream, const int64_t *own, const int64_t *without_row) {
    memcpy(out->ahead[stream], own ? own : without_row, sizeof out->ahead[stream]);
}

static int64_t most_rows(const TnGraph *g, uint32_t kernel) {
    TnDim rows = g->nodes[g->kernels[kernel].root].type.dim[0];
    return tn_dim_is_sym(rows) ? g->rows_hi : rows;
}

static bool is_gated(const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    for (TnRef r = k->root + 1; r < k->first + k->n; r++)
        if (g->nodes[r].op == TN_OP_mulz) return true;
    return false;
}

void tn_llvm_prefetch(const TnGraph *g, uint32_t kernel, const char *family, TnPrefetch *out) {
    const TnNode *root = &g->nodes[g->kernels[kernel].root];
    const TnFamily *f = tn_family_named(family);
    TnOp op = root->op;
    int64_t most = most_rows(g, kernel), *dense = out->ahead[TN_STREAM_DENSE];
    bool estimate = op == TN_OP_estimate,
         by_lines = op == TN_OP_tmatmul && tn_rows_together(&g->nodes[root->args[1]].type) > 1;
    if (op == TN_OP_tmatmul && most > 1 && !by_lines) return;
    if (op == TN_OP_tmatmul_groups && most > TN_FEW) return; /* most of its passes read weights from L2 */
    dense[TN_INTO_L1] = op == TN_OP_matmul ? 4096 : op == TN_OP_tmatmul_groups ? 2048 : 1024;
    dense[TN_INTO_L2] = op == TN_OP_matmul ? 0 : op == TN_OP_tmatmul_groups ? 8192 : 12288;
    if (by_lines || estimate) set(out, TN_STREAM_DENSE, f ? f->beside : NULL, beside);
    for (TnInto i = 0; estimate && i < TN_INTO_COUNT; i++)
        dense[i] *= 2; /* a product has two to four times the bytes */
    if (op != TN_OP_tmatmul) return;
    bool one_line = tn_llvm_level(g->level)->bytes == TN_LINE;
    if (is_gated(g, kernel) && !by_lines) set(out, TN_STREAM_LISTED, f ? f->listed : NULL, listed);
    if (root->n_args > 2) set(out, TN_STREAM_COLUMNS, f ? f->columns : NULL, one_line ? once : in_turns);
}

TnMerit tn_llvm_panels(const TnGraph *g, uint32_t kernel, const char *family) {
    const TnNode *root = &g->nodes[g->kernels[kernel].root];
    const TnLevel *level = tn_llvm_level(g->level);
    const TnFamily *f = tn_family_named(family);
    if (root->op != TN_OP_tmatmul || most_rows(g, kernel) <= TN_FEW || !tn_tmatmul_packs(level) ||
        !tn_tmatmul_unpacks(level, &g->nodes[root->args[1]].type))
        return TN_MERIT_NONE;
    return f && f->panels ? TN_MERIT_GAINS : TN_MERIT_CAN;
}
