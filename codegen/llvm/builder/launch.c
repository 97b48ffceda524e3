/* The kernel being emitted: its operands, its scratch, and the op that the builder is at. */
#include "codegen/llvm/builder/builder.h"

/* ---- Where the builder is */

static _Thread_local const char *now_kernel = "?", *now_op = "?";

void tn_llvm_note(const char *kernel, const char *op) {
    now_kernel = kernel;
    now_op = op;
}

/* LLVM gives up when it cannot select an instruction; the message should name the kernel. */
void tn_llvm_fatal(const char *reason) {
    TN_BUG("LLVM, kernel @%s, %s: %s", now_kernel, now_op, reason);
}

LLVMMetadataRef tn_build_op(TnBuilder *b, TnRef ref) {
    if (!b->di) return NULL;
    LLVMMetadataRef before = LLVMGetCurrentDebugLocation2(b->b);
    unsigned line = b->di_line + (ref - b->k->first) + 1;
    LLVMSetCurrentDebugLocation2(b->b, LLVMDIBuilderCreateDebugLocation(b->c, line, 0, b->di_scope, NULL));
    return before;
}
void tn_build_op_back(TnBuilder *b, LLVMMetadataRef before) {
    if (b->di) LLVMSetCurrentDebugLocation2(b->b, before);
}

/* ---- The launch */
bool tn_build_inside(TnBuilder *b, TnRef ref) {
    return ref >= b->k->first && ref < b->k->first + b->k->n;
}

int64_t tn_build_cols(TnBuilder *b, TnRef ref) {
    const TnType *t = &b->g->nodes[ref].type;
    return t->dim[t->rank - 1];
}

LLVMValueRef tn_build_operand(TnBuilder *b, TnRef ref) {
    TnRef root = tn_alias_root(b->g, ref);
    for (uint32_t i = 0; i < b->n_ops; i++)
        if (b->ops[i] == ref || b->ops[i] == root) return b->op_ptr[i];
    TN_BUG("kernel @%s: %%%s is not one of its operands", b->k->name, b->g->nodes[ref].name);
}

bool tn_build_leaves(TnBuilder *b, TnRef ref) {
    for (uint32_t i = b->n_in; i < b->n_ops; i++)
        if (b->ops[i] == ref) return true;
    return false;
}

LLVMValueRef tn_build_operand_row(TnBuilder *b, TnRef ref, LLVMValueRef row) {
    return tn_build_elem(b, tn_build_operand(b, ref), row, (int64_t)tn_row_bytes(&b->g->nodes[ref].type));
}

LLVMValueRef tn_build_rows(TnBuilder *b, TnRef ref) {
    TnDim d = b->g->nodes[ref].type.dim[0];
    return tn_dim_is_sym(d) ? b->sym[tn_dim_sym(d)] : tn_build_i64(b, d);
}

int64_t tn_build_most_rows(TnBuilder *b, TnRef ref) {
    TnDim d = b->g->nodes[ref].type.dim[0];
    return tn_dim_is_sym(d) ? b->g->rows_hi : d;
}

LLVMValueRef tn_build_scratch(TnBuilder *b, uint64_t bytes) {
    TN_CHECK(!b->scratch_page);
    LLVMValueRef p = tn_build_atc(b, b->scratch, (int64_t)b->scratch_bytes);
    b->scratch_bytes += (bytes + 63) / 64 * 64;
    return p;
}

LLVMValueRef tn_build_scratch_pages(TnBuilder *b, uint64_t bytes_per_page) {
    bytes_per_page = (bytes_per_page + 63) / 64 * 64;
    LLVMValueRef p = tn_build_atc(b, b->scratch, (int64_t)b->scratch_bytes);
    p = tn_build_elem(b, p, b->sym[TN_P], (int64_t)b->scratch_page);
    b->scratch_page += bytes_per_page;
    return p;
}

/* ---- Rows that are listed: TnRowList */

static LLVMValueRef field(TnBuilder *b, LLVMValueRef list, size_t at) {
    return tn_build_atc(b, list, (int64_t)at);
}

/* Of the calls of a tile whose rows are listed the first has the lower number. */
_Static_assert(TN_TILE_LISTS > 1 && TN_TILE_LISTED == TN_TILE_LISTS + 1,
               "tn_build_lists tells them from 0 and 1");

LLVMValueRef tn_build_lists(TnBuilder *b) {
    if (!b->row_list) return LLVMConstInt(b->t_i1, 0, 0);
    return tn_build_icmp(b, LLVMIntSGE, b->scratch_valid, tn_build_i64(b, TN_TILE_LISTS));
}

LLVMValueRef tn_build_goes_on(TnBuilder *b) {
    if (!b->row_list) return LLVMConstInt(b->t_i1, 0, 0);
    return tn_build_icmp(b, LLVMIntEQ, b->scratch_valid, tn_build_i64(b, TN_TILE_LISTED));
}

LLVMValueRef tn_build_waits(TnBuilder *b) {
    if (!b->row_list) return LLVMConstInt(b->t_i1, 0, 0);
    LLVMValueRef n = tn_build_load(b, b->t_i64, field(b, b->row_list, offsetof(TnRowList, n)), 8);
    return tn_build_and(b, tn_build_lists(b), tn_build_icmp(b, LLVMIntSGT, n, tn_build_i64(b, 0)));
}

int64_t tn_build_most_listed(TnBuilder *b, TnRef table) {
    int64_t rows = (int64_t)(b->row_room / tn_row_bytes(&b->g->nodes[table].type));
    return rows < TN_ROWS_LISTED ? rows : TN_ROWS_LISTED;
}

LLVMValueRef tn_build_list_has_room(TnBuilder *b, TnRef table) {
    if (!b->row_list) return LLVMConstInt(b->t_i1, 0, 0);
    LLVMValueRef n = tn_build_load(b, b->t_i64, field(b, b->row_list, offsetof(TnRowList, n)), 8);
    LLVMValueRef most = tn_build_i64(b, tn_build_most_listed(b, table));
    return tn_build_and(b, tn_build_lists(b), tn_build_icmp(b, LLVMIntSLT, n, most));
}

void tn_build_list_row(TnBuilder *b, TnRef table, LLVMValueRef row) {
    if (!b->row_list) return;
    LLVMValueRef at = field(b, b->row_list, offsetof(TnRowList, n)), n = tn_build_load(b, b->t_i64, at, 8);
    LLVMValueRef rows = field(b, b->row_list, offsetof(TnRowList, row));
    tn_build_store(b, tn_build_operand_row(b, table, row), tn_build_elem(b, rows, n, 8), 8);
    tn_build_store(b, tn_build_i64(b, (int64_t)tn_row_bytes(&b->g->nodes[table].type)),
                   field(b, b->row_list, offsetof(TnRowList, row_bytes)), 8);
    tn_build_store(b, tn_build_i64(b, (int64_t)b->row_room), field(b, b->row_list, offsetof(TnRowList, room)),
                   8);
    tn_build_store(b, tn_build_add(b, n, tn_build_i64(b, 1)), at, 8);
}

LLVMValueRef tn_build_listed_row(TnBuilder *b, TnRef table, LLVMValueRef row, LLVMValueRef index) {
    LLVMValueRef mapped = tn_build_operand_row(b, table, row);
    if (!b->row_list || !index) return mapped;
    LLVMValueRef n = tn_build_load(b, b->t_i64, field(b, b->row_list, offsetof(TnRowList, brought)), 8);
    LLVMValueRef there = tn_build_and(b, tn_build_goes_on(b), tn_build_icmp(b, LLVMIntSLT, index, n));
    LLVMValueRef room = field(b, b->row_list, sizeof(TnRowList));
    int64_t bytes = (int64_t)tn_row_bytes(&b->g->nodes[table].type);
    return tn_build_select(b, there, tn_build_elem(b, room, index, bytes), mapped);
}
