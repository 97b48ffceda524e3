/* Kernels that go over rows: a unit is one row of the leading symbol, its ops are emitted in order. */
#include "codegen/llvm/build.h"

#include "runtime/base/arena.h"
#include <stdlib.h>

void tn_lb_rows_kernel(TnLb *b) {
    TN_CHECK(b->k->axis == TN_AXIS_ROWS && b->k->units == 1);
    TnLoop l = tn_lb_loop(b, b->lo, b->hi, 1);
    TnFrame f = {.row = l.i, .col = tn_lb_i64(b, 0)};
    f.mem = tn_xcalloc(b->k->n, sizeof *f.mem);
    tn_lb_frame(b, &f, b->k->first, b->k->first + b->k->n, NULL);
    tn_lb_loop_end(b, &l);
    free(f.mem);
}

/* embed ids, table: y[t] = table[ids[t]] widened to f32 */
static LLVMValueRef embed(TnLb *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    (void)mask; /* table rows are padded, and embed only stands in whole rows */
    TN_CHECK(!f->width);
    TnRef table = b->g->nodes[ref].args[1];
    TnEnc enc = b->g->nodes[table].type.enc;
    LLVMValueRef id = tn_lb_load(b, b->t_i32, tn_lb_row_mem(b, f, b->g->nodes[ref].args[0]), 4);
    LLVMValueRef row = tn_lb_operand_row(b, table, LLVMBuildSExt(b->b, id, b->t_i64, ""));
    return tn_lb_load_wide(b, enc, tn_lb_elem(b, row, off, tn_enc_bytes(enc)));
}
static bool can_embed(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_enc_is_float(g->nodes[g->nodes[ref].args[1]].type.enc);
}
const TnLlvmOp tn_llvm_op_embed = {.can = can_embed, .block = embed};
