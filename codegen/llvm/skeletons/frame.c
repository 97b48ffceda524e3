/* Frames: where the ops of a prologue or an epilogue find and leave the values of one row. */
#include "codegen/llvm/skeletons/frame.h"

LLVMValueRef tn_build_row_mem(TnBuilder *b, const TnFrame *f, TnRef ref) {
    if (!tn_build_inside(b, ref)) return tn_build_operand_row(b, ref, f->row);
    LLVMValueRef m = f->mem[ref - b->k->first];
    if (!m)
        TN_BUG("kernel @%s: %%%s is needed in memory but is not there", b->k->name, b->g->nodes[ref].name);
    return m;
}

static LLVMValueRef operand_strip(TnBuilder *b, const TnFrame *f, TnRef ref) {
    LLVMValueRef row = tn_build_operand_row(b, ref, f->row);
    if (!f->width) return row;
    return tn_build_elem(b, row, f->col, tn_enc_bytes(b->g->nodes[ref].type.enc));
}

LLVMValueRef tn_build_mem(TnBuilder *b, const TnFrame *f, TnRef ref) {
    return tn_build_inside(b, ref) ? tn_build_row_mem(b, f, ref) : operand_strip(b, f, ref);
}

static LLVMTypeRef block_type(TnBuilder *b, TnRef ref) {
    TnEnc e = b->g->nodes[ref].type.enc;
    TN_CHECK(e == TN_ENC_f32 || e == TN_ENC_i32);
    return e == TN_ENC_f32 ? b->t_f32x : b->t_i32x;
}

LLVMValueRef tn_build_value(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    if (!tn_build_inside(b, ref)) {
        LLVMValueRef p = tn_build_elem(b, operand_strip(b, f, ref), off, 4);
        return tn_build_load_masked(b, block_type(b, ref), p, 4, mask);
    }
    LLVMValueRef m = f->mem[ref - b->k->first];
    if (m) return tn_build_load(b, block_type(b, ref), tn_build_elem(b, m, off, 4), 4);
    const TnLlvmOp *op = b->table[b->g->nodes[ref].op];
    TN_CHECK(op->block);
    LLVMMetadataRef before = tn_build_op(b, ref);
    LLVMValueRef v = op->block(b, f, ref, off, mask);
    tn_build_op_back(b, before);
    return v;
}

LLVMValueRef tn_build_frame_mask(TnBuilder *b, const TnFrame *f, LLVMValueRef off) {
    if (!f->masked) return NULL;
    return tn_build_mask_below(b, tn_build_sub(b, f->width, off), TN_LANES);
}

LLVMValueRef tn_build_result_row(TnBuilder *b, TnFrame *f, TnRef ref) {
    LLVMValueRef *m = &f->mem[ref - b->k->first];
    if (*m) return *m;
    *m = tn_build_leaves(b, ref) ? tn_build_operand_row(b, ref, f->row)
                                 : tn_build_scratch(b, tn_row_bytes_aligned(&b->g->nodes[ref].type));
    return *m;
}

LLVMValueRef tn_build_result_strip(TnBuilder *b, TnFrame *f, TnRef ref) {
    LLVMValueRef *m = &f->mem[ref - b->k->first];
    if (!*m) *m = tn_build_scratch(b, (uint64_t)(f->grain + TN_LANES) * 4);
    return *m;
}

void tn_build_check_heads(TnBuilder *b, const TnFrame *f, int64_t head) {
    TN_CHECK(f->grain % head == 0 || f->grain >= tn_build_cols(b, b->k->root));
}

void tn_build_copy_out(TnBuilder *b, const TnFrame *f, TnRef ref) {
    LLVMValueRef from = tn_build_row_mem(b, f, ref), to = operand_strip(b, f, ref);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), f->width, TN_LANES);
    LLVMValueRef v = tn_build_load(b, block_type(b, ref), tn_build_elem(b, from, l.i, 4), 4);
    tn_build_store_masked(b, v, tn_build_elem(b, to, l.i, 4), 4, tn_build_frame_mask(b, f, l.i));
    tn_build_loop_end(b, &l);
}

/* How often a node is read inside its kernel, and whether an op there needs it in memory. */
static uint32_t readers(TnBuilder *b, TnRef ref, bool *out_memory) {
    uint32_t n = 0;
    *out_memory = false;
    for (TnRef r = ref + 1; r < b->k->first + b->k->n; r++)
        for (uint32_t a = 0; a < b->g->nodes[r].n_args; a++)
            if (b->g->nodes[r].args[a] == ref) {
                n++;
                if (b->table[b->g->nodes[r].op]->row || b->table[b->g->nodes[r].op]->kernel)
                    *out_memory = true;
            }
    return n;
}

/* Writes a column-by-column value to memory if it is needed there. A strip that leaves the kernel and is also
 * read in it is kept in scratch too, where blocks may run past its end. */
static void settle(TnBuilder *b, TnFrame *f, TnRef ref) {
    LLVMValueRef *mem = &f->mem[ref - b->k->first];
    bool memory, leaves = tn_build_leaves(b, ref);
    uint32_t n = readers(b, ref, &memory);
    if (!memory && n <= 1 && !*mem && !leaves) return;
    LLVMValueRef end = f->width ? f->width : tn_build_i64(b, tn_build_cols(b, ref)), kept = NULL, out = NULL;
    if (!f->width) {
        kept = tn_build_result_row(b, f, ref);
    } else {
        if (n) kept = tn_build_result_strip(b, f, ref);
        if (leaves) out = operand_strip(b, f, ref);
    }
    *mem = NULL; /* so that tn_build_value computes it and does not load it */
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), end, TN_LANES);
    LLVMValueRef mask = tn_build_frame_mask(b, f, l.i);
    LLVMValueRef v = tn_build_value(b, f, ref, l.i, mask);
    if (kept) tn_build_store(b, v, tn_build_elem(b, kept, l.i, 4), 4);
    if (out) tn_build_store_masked(b, v, tn_build_elem(b, out, l.i, 4), 4, mask);
    tn_build_loop_end(b, &l);
    *mem = kept;
}

void tn_build_frame(TnBuilder *b, TnFrame *f, TnRef first, TnRef end, const bool *skip) {
    for (TnRef r = first; r < end; r++) {
        if (skip && skip[r - b->k->first]) continue;
        const TnLlvmOp *op = b->table[b->g->nodes[r].op];
        tn_llvm_note(b->k->name, tn_ops[b->g->nodes[r].op].name);
        LLVMMetadataRef before = tn_build_op(b, r);
        if (op->row)
            op->row(b, f, r);
        else if (op->block)
            settle(b, f, r);
        else
            TN_BUG("kernel @%s: %s has no emitter for a row", b->k->name, tn_ops[b->g->nodes[r].op].name);
        tn_build_op_back(b, before);
    }
}
