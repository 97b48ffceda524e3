#include "codegen/ptx/ops/ptx_ops.h"

/* Ops that are never in a kernel: sources, inputs, outputs. */
#define NO(name) const TnPtxOp tn_ptx_op_##name = {0};
NO(input)
NO(gguf)
NO(random)
NO(const)
NO(concat)
NO(pack)
NO(places)
NO(keep_rows)
NO(keep_cols)
NO(colmajor)
NO(rope_freq)
NO(output)

const TnPtxOp *const tn_ptx_ops[TN_OP_COUNT] = {
#define OP(name, lo, hi, class, stages, attrs, traits, doc) &tn_ptx_op_##name,
#include "ir/ops.def"
#undef OP
};

bool tn_ptx_can(const TnGraph *g, uint32_t kernel, const char **op) {
    const TnKernel *k = &g->kernels[kernel];
    for (TnRef r = k->first; r < k->first + k->n; r++) {
        const TnPtxOp *row = tn_ptx_ops[g->nodes[r].op];
        if (row->can && row->can(g, r)) continue;
        *op = tn_ops[g->nodes[r].op].name;
        return false;
    }
    return true;
}

void tn_ptx_kernel(TnPtx *b, const char *symbol) {
    b->table = tn_ptx_ops;
    tn_ptx_open(b, symbol);
    TnRef root = b->k->root;
    const TnPtxOp *op = root == TN_NONE ? NULL : tn_ptx_ops[b->g->nodes[root].op];
    if (op && op->kernel)
        op->kernel(b);
    else
        tn_ptx_rows(b);
    tn_ptx_close(b);
}
