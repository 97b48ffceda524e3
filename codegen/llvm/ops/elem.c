/* The column-by-column ops, of which epilogues are made. */
#include "codegen/llvm/ops/ops.h"
#include "ir/type_layout.h"
#include "runtime/base/fmath.h"

static TnRef arg(TnBuilder *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

static LLVMValueRef add(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    LLVMValueRef x = tn_build_value(b, f, arg(b, ref, 0), off, mask);
    return tn_build_fadd(b, x, tn_build_value(b, f, arg(b, ref, 1), off, mask));
}
const TnLlvmOp tn_llvm_op_add = {.can = tn_llvm_yes, .block = add};

static LLVMValueRef mul(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    LLVMValueRef x = tn_build_value(b, f, arg(b, ref, 0), off, mask);
    return tn_build_fmul(b, x, tn_build_value(b, f, arg(b, ref, 1), off, mask));
}
const TnLlvmOp tn_llvm_op_mul = {.can = tn_llvm_yes, .block = mul};

static LLVMValueRef mulz(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    LLVMValueRef p = mul(b, f, ref, off, mask), zero = tn_build_vf(b, 0.0f);
    return tn_build_select(b, tn_build_fcmp(b, LLVMRealOEQ, p, zero), zero, p);
}
const TnLlvmOp tn_llvm_op_mulz = {.can = tn_llvm_yes, .block = mulz};

static LLVMValueRef relu2(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    LLVMValueRef r = tn_build_fmax(b, tn_build_vf(b, 0.0f), tn_build_value(b, f, arg(b, ref, 0), off, mask));
    return tn_build_fmul(b, r, r);
}
const TnLlvmOp tn_llvm_op_relu2 = {.can = tn_llvm_yes, .block = relu2};

static LLVMValueRef silu(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    LLVMValueRef x = tn_build_value(b, f, arg(b, ref, 0), off, mask);
    LLVMValueRef e = tn_build_exp(b, tn_build_fneg(b, x));
    LLVMValueRef y = tn_build_fdiv(b, x, tn_build_fadd(b, tn_build_vf(b, 1.0f), e));
    LLVMValueRef low = tn_build_fcmp(b, LLVMRealOLT, x, tn_build_vf(b, -TN_EXP_HI));
    return tn_build_select(b, low, tn_build_vf(b, -0.0f), y);
}
const TnLlvmOp tn_llvm_op_silu = {.can = tn_llvm_yes, .block = silu};

/* ---- slice */

/* A slice of a slice in one kernel cannot be emitted; the passes avoid it. */
static bool can_slice(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    TnRef x = g->nodes[ref].args[0];
    return g->nodes[x].op != TN_OP_slice || g->nodes[x].kernel != g->nodes[ref].kernel;
}

static LLVMValueRef slice(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    int64_t lo = tn_attr_int(&b->g->nodes[ref], TN_ATTR_lo), n = tn_attr_int(&b->g->nodes[ref], TN_ATTR_n);
    for (uint32_t i = 0; i < f->n_bases; i++)
        if (f->bases[i].root_base == lo) return tn_build_value(b, &f->bases[i], arg(b, ref, 0), off, mask);
    if (f->width) TN_BUG("kernel @%s: no part has the slice at %lld", b->k->name, (long long)lo);
    mask = tn_build_mask_below(b, tn_build_sub(b, tn_build_i64(b, n), off), TN_LANES);
    LLVMValueRef from = tn_build_add(b, off, tn_build_i64(b, lo));
    TnRef x = arg(b, ref, 0);
    if (!tn_build_inside(b, x) || !f->mem[x - b->k->first]) return tn_build_value(b, f, x, from, mask);
    LLVMValueRef p = tn_build_elem(b, f->mem[x - b->k->first], from, 4);
    return tn_build_load_masked(b, b->t_f32x, p, 4, mask);
}
const TnLlvmOp tn_llvm_op_slice = {.can = can_slice, .block = slice};

/* ---- dequant */

enum { MOST_RANGES = 64 };

static bool can_dequant(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    const TnType *w = &g->nodes[g->nodes[ref].args[2]].type;
    return tn_encs[w->enc].kind == TN_TERNARY &&
           (w->group || w->n_scales <= MOST_RANGES || (int64_t)w->n_scales == w->dim[0]);
}

static bool has_row_scales(const TnType *w) {
    return w->group || w->n_scales > MOST_RANGES;
}

/* The scales of 32 columns from `col` (i64) on. All columns that this code can be asked for are in [from,
 * end); most often one range of scales has them all. */
static LLVMValueRef scales(TnBuilder *b, TnRef ref, LLVMValueRef col, int64_t from, int64_t end,
                           LLVMValueRef mask) {
    const TnType *w = &b->g->nodes[ref].type;
    LLVMValueRef table = tn_build_atc(b, tn_build_operand(b, ref), (int64_t)tn_tail_at(w));
    if (has_row_scales(w))
        return tn_build_load_masked(b, b->t_f32x, tn_build_elem(b, table, col, 4), 4, mask);
    LLVMValueRef cols = NULL, v = NULL;
    int64_t start = 0;
    for (uint32_t i = 0; i < w->n_scales; start += w->scales[i++].rows) {
        int64_t stop = start + w->scales[i].rows;
        if (stop <= from || start >= end) continue;
        LLVMValueRef s = tn_build_load(b, b->t_f32, tn_build_atc(b, table, (int64_t)i * 4), 4);
        s = tn_build_splat(b, s, TN_LANES);
        if (!v) {
            v = s;
            continue;
        }
        if (!cols) {
            LLVMValueRef c = tn_build_splat(b, tn_build_trunc(b, col, b->t_i32), TN_LANES);
            cols = tn_build_add(b, c, tn_build_iota(b, TN_LANES));
        }
        LLVMValueRef here = tn_build_icmp(b, LLVMIntSGE, cols, tn_build_vi(b, (int32_t)start));
        v = tn_build_select(b, here, s, v);
    }
    TN_CHECK(v);
    return v;
}

static LLVMValueRef dequant(TnBuilder *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask) {
    TnRef w = arg(b, ref, 2);
    int64_t rows = b->g->nodes[w].type.dim[0], from = f->root_base;
    int64_t end = f->root_end ? f->root_end : rows;
    LLVMValueRef acc = tn_build_value(b, f, arg(b, ref, 0), off, mask);
    LLVMValueRef d = tn_build_load(b, b->t_f32, tn_build_row_mem(b, f, arg(b, ref, 1)), 4);
    LLVMValueRef col = tn_build_add(b, f->col, off);
    /* There are no scales after the row's end. */
    LLVMValueRef below = mask;
    if (!below && has_row_scales(&b->g->nodes[w].type))
        below = tn_build_mask_below(b, tn_build_sub(b, tn_build_i64(b, rows), col), TN_LANES);
    LLVMValueRef s = tn_build_fmul(b, scales(b, w, col, from, end, below), tn_build_splat(b, d, TN_LANES));
    return tn_build_fmul(b, tn_build_si_to_fp(b, acc, b->t_f32x), s);
}
const TnLlvmOp tn_llvm_op_dequant = {.can = can_dequant, .block = dequant};
