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

LLVMValueRef tn_build_listing(TnBuilder *b) {
    if (!b->row_list) return LLVMConstInt(b->t_i1, 0, 0);
    return tn_build_icmp(b, LLVMIntEQ, b->scratch_valid, tn_build_i64(b, TN_TILE_LISTS));
}

void tn_build_list_row(TnBuilder *b, TnRef table, LLVMValueRef row) {
    if (!b->row_list) return;
    LLVMValueRef n = tn_build_load(b, b->t_i64, b->row_list, 8);
    TnIf room = tn_build_if(b, tn_build_icmp(b, LLVMIntSLT, n, tn_build_i64(b, TN_ROWS_LISTED)));
    LLVMValueRef rows = field(b, b->row_list, offsetof(TnRowList, row));
    tn_build_store(b, tn_build_operand_row(b, table, row), tn_build_elem(b, rows, n, 8), 8);
    tn_build_store(b, tn_build_i64(b, (int64_t)tn_row_bytes(&b->g->nodes[table].type)),
                   field(b, b->row_list, offsetof(TnRowList, row_bytes)), 8);
    tn_build_store(b, tn_build_i64(b, (int64_t)b->row_room), field(b, b->row_list, offsetof(TnRowList, room)),
                   8);
    tn_build_store(b, tn_build_add(b, n, tn_build_i64(b, 1)), b->row_list, 8);
    tn_build_if_end(b, &room);
}

/* void (list, row of the table): sets list->found to where the bytes of that row were brought, if they were. The last of the
 * addresses that is not above it is found by halves. */
static LLVMValueRef find_function(TnBuilder *b) {
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, "listed_row", params, 2, &fn);
    if (!back) return fn;
    LLVMValueRef list = LLVMGetParam(fn, 0), row = LLVMGetParam(fn, 1), one = tn_build_i64(b, 1);
    LLVMValueRef n = tn_build_load(b, b->t_i64, field(b, list, offsetof(TnRowList, brought)), 8);
    LLVMValueRef rows = field(b, list, offsetof(TnRowList, row));
    enum { HALVES = 12 };
    _Static_assert(TN_ROWS_LISTED < 1 << HALVES, "a list is found by that many halves");
    TnLoop l = tn_build_loop(b, one, tn_build_i64(b, HALVES + 1), 1);
    LLVMValueRef at = tn_build_carry(b, &l, tn_build_i64(b, 0));
    LLVMValueRef half = tn_build_lshr(b, tn_build_i64(b, 1 << HALVES), l.i), next = tn_build_add(b, at, half);
    LLVMValueRef within = tn_build_min(b, next, tn_build_sub(b, n, one));
    LLVMValueRef seen = tn_build_load(b, b->t_ptr, tn_build_elem(b, rows, within, 8), 8);
    LLVMValueRef up =
        tn_build_and(b, tn_build_icmp(b, LLVMIntSLT, next, n), tn_build_icmp(b, LLVMIntULE, seen, row));
    tn_build_next(&l, 0, tn_build_select(b, up, next, at));
    tn_build_loop_end(b, &l);
    seen = tn_build_load(b, b->t_ptr, tn_build_elem(b, rows, l.out[0], 8), 8);
    TnIf same = tn_build_if(b, tn_build_icmp(b, LLVMIntEQ, seen, row));
    LLVMValueRef bytes = tn_build_load(b, b->t_i64, field(b, list, offsetof(TnRowList, row_bytes)), 8);
    LLVMValueRef brought =
        tn_build_at(b, field(b, list, sizeof(TnRowList)), tn_build_mul(b, l.out[0], bytes));
    tn_build_store(b, brought, field(b, list, offsetof(TnRowList, found)), 8);
    tn_build_if_end(b, &same);
    return tn_build_shared_end(b, back);
}

LLVMValueRef tn_build_listed_row(TnBuilder *b, TnRef table, LLVMValueRef row) {
    LLVMValueRef mapped = tn_build_operand_row(b, table, row);
    if (!b->row_list) return mapped;
    LLVMValueRef found = field(b, b->row_list, offsetof(TnRowList, found));
    tn_build_store(b, mapped, found, 8);
    TnIf listed =
        tn_build_if(b, tn_build_icmp(b, LLVMIntEQ, b->scratch_valid, tn_build_i64(b, TN_TILE_LISTED)));
    LLVMValueRef args[] = {b->row_list, mapped};
    tn_build_call_function(b, find_function(b), args, 2);
    tn_build_if_end(b, &listed);
    return tn_build_load(b, b->t_ptr, found, 8);
}
