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

/* Shared memory that every GPU from compute capability 8.0 on gives a CTA. */
#define SHARED_MOST_KB 99
enum { SHARED_MOST = SHARED_MOST_KB << 10 };

/* A bound on the shared memory of a kernel: the values before its root, or all of a kernel without one, a row that is staged,
 * and ROOM for the words of a product or for lists of columns, which limit themselves. */
static uint64_t shared_bound(const TnGraph *g, const TnKernel *k) {
    enum { ROOM = 44 << 10 };
    uint64_t bytes = ROOM, most = 0;
    for (TnRef r = k->first; r < (k->root == TN_NONE ? k->first + k->n : k->root); r++) {
        const TnType *t = &g->nodes[r].type;
        uint64_t row = tn_encs[t->enc].kind == TN_CACHE ? 0 : tn_row_bytes(t);
        bytes += row;
        most = row > most ? row : most;
    }
    return bytes + most;
}

/* Whether the kernel's shared memory is there on every GPU. Only kernels of long rows are emitted to know it. */
static bool fits(const TnGraph *g, uint32_t kernel) {
    if (shared_bound(g, &g->kernels[kernel]) <= SHARED_MOST) return true;
    TnBuf text = {0};
    TnPtx b = {.x = {.out = &text}, .g = g, .kernel = kernel, .level = g->level};
    tn_ptx_kernel(&b, "k");
    tn_buf_free(&text);
    return b.x.shared <= SHARED_MOST;
}

bool tn_ptx_can(const TnGraph *g, uint32_t kernel, const char **op) {
    const TnKernel *k = &g->kernels[kernel];
    for (TnRef r = k->first; r < k->first + k->n; r++) {
        const TnPtxOp *row = tn_ptx_ops[g->nodes[r].op];
        if (row->can && row->can(g, r)) continue;
        *op = row->can && row->limit ? row->limit : tn_ops[g->nodes[r].op].name;
        return false;
    }
    *op = "rows so long that a kernel needs more than " TN_PTX_TEXT(SHARED_MOST_KB) " KB of shared memory";
    return fits(g, kernel);
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
