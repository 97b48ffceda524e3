/* The skeleton of kernels that go over rows: a CTA is one row of the leading symbol, and the ops are emitted in order. Where
 * there is one row at most, it may have more CTAs (ops/ptx_best.h). */
#include "codegen/ptx/skeletons/ptx_frame.h"

#include "runtime/base/arena.h"
#include "runtime/base/reader.h"
#include <stdlib.h>

/* The type whose rows a kernel's work is counted in: that of its first result, or of what it stores in a cache. */
static const TnType *lead(const TnPtx *b) {
    if (b->n_ops > b->n_in) return &b->g->nodes[b->ops[b->n_in]].type;
    for (TnRef r = b->k->first; r < b->k->first + b->k->n; r++)
        if (tn_op_is(b->g->nodes[r].op, TN_TRAIT_STATE)) return &b->g->nodes[b->g->nodes[r].args[1]].type;
    return NULL;
}

static void return_unless(TnPtx *b, TnPxV p) {
    tn_px_unless(&b->x, p);
    PX(&b->x, ret);
}

void tn_ptx_gate(TnPtx *b) {
    const TnType *t = lead(b);
    if (!t) {
        PX(&b->x, ret);
        return;
    }
    bool by_rows = b->k->axis == TN_AXIS_ROWS, sym = tn_dim_is_sym(t->dim[0]);
    TnPxV rows = sym ? tn_ptx_sym(b, tn_dim_sym(t->dim[0])) : tn_px_u((uint32_t)tn_type_rows(t, NULL));
    TnPxV units = tn_px_u((uint32_t)b->k->units);
    if (by_rows) units = PX(&b->x, mul, rows, units);
    if (!by_rows && sym) return_unless(b, PX(&b->x, gt_s, rows, tn_px_u(0)));
    return_unless(b, PX(&b->x, lt, b->unit, units));
}

void tn_ptx_open(TnPtx *b, const char *symbol) {
    b->k = &b->g->kernels[b->kernel];
    b->n_ops = tn_kernel_operands(b->g, b->kernel, b->ops, &b->n_in);
    tn_px_open(&b->x, symbol, b->n_ops + 1);
    for (uint32_t i = 0; i < b->n_ops; i++) b->op_ptr[i] = PX(&b->x, ld_param, tn_px_param(i));
    b->sym = PX(&b->x, ld_param, tn_px_param(b->n_ops));
    b->tid = tn_px_special(&b->x, TN_PX_tid);
    b->unit = tn_px_special(&b->x, TN_PX_ctaid);
}

void tn_ptx_close(TnPtx *b) {
    PX(&b->x, ret);
    tn_px_close(&b->x);
}

/* Enough threads for the widest row that the kernel reads or writes, by the hundred and not by the thousand, except for rows
 * of logits. */
static uint32_t threads(const TnPtx *b) {
    int64_t widest = 1;
    for (TnRef r = b->k->first; r < b->k->first + b->k->n; r++) {
        const TnNode *n = &b->g->nodes[r];
        if (tn_encs[n->type.enc].kind != TN_CACHE && tn_ptx_cols(b, r) > widest) widest = tn_ptx_cols(b, r);
        TnRef x = n->n_args ? n->args[0] : r;
        if (tn_encs[b->g->nodes[x].type.enc].kind == TN_DENSE && tn_ptx_cols(b, x) > widest)
            widest = tn_ptx_cols(b, x);
    }
    if (widest > 16384) return 1024;
    return widest > 256 ? 256 : (uint32_t)(widest + 31) / 32 * 32;
}

void tn_ptx_rows(TnPtx *b) {
    TN_CHECK(b->k->axis == TN_AXIS_ROWS && (b->k->units == 1 || b->g->rows_hi == 1));
    b->x.threads = threads(b);
    tn_ptx_gate(b);
    TnPtxFrame f = {.row = b->k->units == 1 ? b->unit : tn_px_u(0), .col = tn_px_u(0)};
    f.mem = tn_xcalloc(b->k->n, sizeof *f.mem);
    tn_ptx_frame(b, &f, b->k->first, b->k->first + b->k->n, NULL);
    free(f.mem);
}
