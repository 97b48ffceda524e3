/* embed ids, table: widens rows of floats, or unpacks them from stored blocks. For ternary tables it multiplies weights by their scale, which is
 * exact since the weights are -1, 0 and 1. A row of r64 is one word of every line of its block, so 16 times
 * as many bytes are touched as are read, for one row a token. */
#include "codegen/llvm/ops/ops.h"
#include "codegen/llvm/ops/table_rows.h"
#include "ir/r64.h"

enum { MOST_RANGES = 64, LINE = 64, WORDS = 16, LINE_CODES = 256 };

/* 32 weights, from the codes in bits `shift` (i32) and `shift` + 1 of each byte. */
static LLVMValueRef weights(TnBuilder *b, LLVMValueRef bytes, LLVMValueRef shift) {
    LLVMValueRef v = tn_build_zext(b, bytes, b->t_i32x);
    v = tn_build_and(b, tn_build_lshr(b, v, tn_build_splat(b, shift, TN_LANES)), tn_build_vi(b, 3));
    return tn_build_si_to_fp(b, tn_build_sub(b, v, tn_build_vi(b, 1)), b->t_f32x);
}

static bool has_row_scales(const TnType *t) {
    return t->group || (int64_t)t->n_scales == t->dim[0];
}

/* The scale of a row, which lies after all rows. */
static LLVMValueRef row_scale(TnBuilder *b, const TnType *t, LLVMValueRef data, LLVMValueRef id) {
    LLVMValueRef table = tn_build_atc(b, data, t->dim[0] * (int64_t)tn_row_bytes(t));
    if (has_row_scales(t)) return tn_build_load(b, b->t_f32, tn_build_elem(b, table, id, 4), 4);
    LLVMValueRef s = tn_build_load(b, b->t_f32, table, 4);
    int64_t start = 0;
    for (uint32_t i = 1; i < t->n_scales; i++) {
        start += t->scales[i - 1].rows;
        LLVMValueRef here = tn_build_icmp(b, LLVMIntSGE, id, tn_build_i64(b, start));
        s = tn_build_select(b, here, tn_build_load(b, b->t_f32, tn_build_atc(b, table, 4 * (int64_t)i), 4),
                            s);
    }
    return s;
}

static LLVMValueRef p64_columns(TnBuilder *b, const TnType *t, LLVMValueRef data, LLVMValueRef id,
                                LLVMValueRef off) {
    LLVMTypeRef bytes32 = LLVMVectorType(b->t_i8, TN_LANES);
    LLVMValueRef line = tn_build_lshr(b, off, tn_build_i64(b, 8)),
                 at = tn_build_and(b, off, tn_build_i64(b, LINE - 1));
    LLVMValueRef plane =
        tn_build_and(b, tn_build_lshr(b, off, tn_build_i64(b, 6)), tn_build_i64(b, LINE_CODES / LINE - 1));
    LLVMValueRef p = tn_build_elem(b, tn_build_elem(b, data, id, (int64_t)tn_row_bytes(t)), line, LINE);
    LLVMValueRef v = tn_build_load(b, bytes32, tn_build_at(b, p, at), 32);
    LLVMValueRef shift = tn_build_trunc(b, tn_build_add(b, plane, plane), b->t_i32);
    v = weights(b, v, shift);
    return tn_build_fmul(b, v, tn_build_splat(b, row_scale(b, t, data, id), TN_LANES));
}

static LLVMValueRef r64_columns(TnBuilder *b, const TnType *t, LLVMValueRef data, LLVMValueRef id,
                                LLVMValueRef off) {
    int64_t group_bytes = (int64_t)tn_r64_group_bytes(t->group), block = TN_BESIDE * (int64_t)tn_row_bytes(t);
    LLVMValueRef n = tn_build_i64(b, t->group), group = tn_build_udiv(b, off, n);
    LLVMValueRef in_group = tn_build_sub(b, off, tn_build_mul(b, group, n));
    LLVMValueRef row = tn_build_and(b, id, tn_build_i64(b, TN_BESIDE - 1));
    LLVMValueRef p = tn_build_elem(b, data, tn_build_lshr(b, id, tn_build_i64(b, 6)), block);
    p = tn_build_elem(b, p, group, group_bytes);
    LLVMValueRef s = tn_build_elem(b, tn_build_atc(b, p, group_bytes - 2 * TN_BESIDE), row, 2);
    s = tn_build_widen_f16(b, tn_build_load(b, b->t_i16, s, 2));
    p = tn_build_elem(b, p, in_group, LINE / 4);
    p = tn_build_elem(b, p, tn_build_and(b, row, tn_build_i64(b, WORDS - 1)), 4);
    LLVMValueRef v = LLVMGetUndef(LLVMVectorType(b->t_i32, TN_LANES / 4));
    for (int i = 0; i < TN_LANES / 4; i++)
        v = tn_build_insert(b, v, tn_build_load(b, b->t_i32, tn_build_atc(b, p, i * LINE), 4), i);
    v = tn_build_bitcast(b, v, LLVMVectorType(b->t_i8, TN_LANES));
    LLVMValueRef shift = tn_build_lshr(b, row, tn_build_i64(b, 4));
    shift = tn_build_trunc(b, tn_build_add(b, shift, shift), b->t_i32);
    return tn_build_fmul(b, weights(b, v, shift), tn_build_splat(b, s, TN_LANES));
}

/* 32 columns of row `id` of the table, from `off` on; `row`: where that row lies, if it lies in one piece. Rows are padded. */
static LLVMValueRef columns(TnBuilder *b, TnRef table, LLVMValueRef id, LLVMValueRef row, LLVMValueRef off) {
    const TnType *t = &b->g->nodes[table].type;
    if (t->enc == TN_ENC_p64) return p64_columns(b, t, tn_build_operand(b, table), id, off);
    if (t->enc == TN_ENC_r64) return r64_columns(b, t, tn_build_operand(b, table), id, off);
    return tn_build_load_wide(b, t->enc, tn_build_elem(b, row, off, tn_enc_bytes(t->enc)));
}

static void embed(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    TnRef table = b->g->nodes[ref].args[1];
    const TnType *t = &b->g->nodes[table].type;
    LLVMValueRef out = tn_build_result_row(b, f, ref);
    LLVMValueRef id = tn_build_load(b, b->t_i32, tn_build_row_mem(b, f, b->g->nodes[ref].args[0]), 4);
    id = tn_build_sext(b, id, b->t_i64);
    TnIf work = tn_build_if(b, tn_build_and(b, tn_build_lists(b), tn_build_not(b, tn_build_goes_on(b))));
    tn_build_list_row(b, table, id);
    tn_build_else(b, &work);
    /* a kernel that lists has only such ops before this one, and each lists a row */
    LLVMValueRef row = tn_build_listed_row(b, table, id, tn_build_i64(b, ref - b->k->first));
    if (tn_enc_is_blocks(t->enc)) {
        tn_build_unpack_row(b, t->enc, row, t->dim[1], out);
    } else {
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, t->dim[1]), TN_LANES);
        tn_build_store(b, columns(b, table, id, row, l.i), tn_build_elem(b, out, l.i, 4), 4);
        tn_build_loop_end(b, &l);
    }
    tn_build_if_end(b, &work);
}

static bool can_embed(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    const TnType *t = &g->nodes[g->nodes[ref].args[1]].type;
    bool scales = has_row_scales(t) || t->n_scales <= MOST_RANGES;
    return tn_llvm_reads_table(t) || t->enc == TN_ENC_r64 || (t->enc == TN_ENC_p64 && scales);
}
const TnLlvmOp tn_llvm_op_embed = {.can = can_embed, .row = embed};
