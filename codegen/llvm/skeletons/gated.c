/* Gated parts: y = mulz(relu2(gate), up), where gate and up are slices of one ternary product.
 *
 * Where gate is not positive, relu2(gate) is +0, and y is +0 for every finite up. (Pass `gate` made sure that
 * no reader can tell this +0 from a -0.) So the row of weights for that column of up need not be read; in
 * decoding, reading it would be the whole cost. The sign of gate is known from its integer sum and the sign
 * of the factor that will multiply it. In the columns that are left out, the strip of up holds whatever was
 * there before. Any i32 times a finite factor is finite, so that does no harm. If up's factor is too large
 * for that, or gate's factor is zero or NaN, all columns are needed. */
#include "codegen/llvm/skeletons/cols.h"
#include "codegen/llvm/skeletons/gated.h"

#include "ir/type_layout.h"

/* The number of readers of a value, or UINT32_MAX if it leaves the kernel. */
static uint32_t readers(TnBuilder *b, TnRef ref) {
    if (tn_build_leaves(b, ref)) return UINT32_MAX;
    uint32_t n = 0;
    for (TnRef r = ref + 1; r < b->k->first + b->k->n; r++)
        for (uint32_t i = 0; i < b->g->nodes[r].n_args; i++) n += b->g->nodes[r].args[i] == ref;
    return n;
}

/* If operand i of r is a slice of the root's only dequant: the number of that slice in the part, else -1. */
static int slice_of(TnBuilder *b, const TnPart *p, TnRef r, uint32_t i) {
    TnRef s = b->g->nodes[r].args[i];
    if (!tn_build_inside(b, s) || b->g->nodes[s].op != TN_OP_slice) return -1;
    TnRef d = b->g->nodes[s].args[0];
    if (!tn_build_inside(b, d) || b->g->nodes[d].op != TN_OP_dequant || b->g->nodes[d].args[0] != b->k->root)
        return -1;
    if (tn_build_leaves(b, d) || readers(b, b->k->root) != 1) return -1;
    for (uint32_t j = 0; j < p->n_bases; j++)
        if (p->base[j] == tn_attr_int(&b->g->nodes[s], TN_ATTR_lo)) return (int)j;
    return -1;
}

/* The number of the range of scales that has all of the part's columns of a slice, or -1. */
static int range_of(TnBuilder *b, const TnPart *p, int slice) {
    const TnType *w = &b->g->nodes[b->g->nodes[b->k->root].args[1]].type;
    int64_t start = 0;
    for (uint32_t i = 0; i < w->n_scales; start += w->scales[i++].rows)
        if (start <= p->base[slice] && p->base[slice] + p->n <= start + w->scales[i].rows) return (int)i;
    return -1;
}

bool tn_build_gated(TnBuilder *b, const TnPart *p, uint32_t part, uint32_t *out_gate, uint32_t *out_up) {
    for (TnRef y = b->k->root + 1; p->n_bases == 2 && y < b->k->first + b->k->n; y++) {
        const TnNode *n = &b->g->nodes[y];
        if (n->op != TN_OP_mulz || tn_node_part(b->g, b->kernel, y) != part) continue;
        for (uint32_t i = 0; i < 2; i++) {
            TnRef r = n->args[i], u = n->args[1 - i];
            if (!tn_build_inside(b, r) || b->g->nodes[r].op != TN_OP_relu2) continue;
            int gate = slice_of(b, p, r, 0), up = slice_of(b, p, y, 1 - i);
            if (gate < 0 || up < 0 || gate == up || readers(b, u) != 1) continue;
            if (range_of(b, p, gate) < 0 || range_of(b, p, up) < 0) continue;
            *out_gate = (uint32_t)gate;
            *out_up = (uint32_t)up;
            return true;
        }
    }
    return false;
}

/* The factor that multiplies the sums of a slice. */
static LLVMValueRef factor(TnBuilder *b, const TnPart *p, uint32_t slice, LLVMValueRef d) {
    TnRef w = b->g->nodes[b->k->root].args[1];
    const TnType *t = &b->g->nodes[w].type;
    int64_t at = (int64_t)tn_tail_at(t) + 4 * (int64_t)range_of(b, p, (int)slice);
    return tn_build_fmul(b, tn_build_load(b, b->t_f32, tn_build_atc(b, tn_build_operand(b, w), at), 4), d);
}

LLVMValueRef tn_build_needed(TnBuilder *b, const TnPart *p, uint32_t gate, uint32_t up, LLVMValueRef acc,
                             LLVMValueRef width, LLVMValueRef x, LLVMValueRef list) {
    LLVMValueRef d = tn_build_load(b, b->t_f32, x, 4), none = tn_build_i32(b, 0);
    LLVMValueRef fg = factor(b, p, gate, d), fu = factor(b, p, up, d), zero = tn_build_f32(b, 0.0f);
    LLVMValueRef plus = tn_build_fcmp(b, LLVMRealOGT, fg, zero);
    LLVMValueRef minus = tn_build_fcmp(b, LLVMRealOLT, fg, zero);
    LLVMValueRef most = tn_build_f32(b, 0x1p90f),
                 least = tn_build_f32(b, -0x1p90f); /* finite after a product with 2^31 */
    LLVMValueRef small =
        tn_build_and(b, tn_build_fcmp(b, LLVMRealOLT, fu, most), tn_build_fcmp(b, LLVMRealOGT, fu, least));
    LLVMValueRef all = tn_build_not(b, tn_build_and(b, small, tn_build_or(b, plus, minus)));
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), width, 1);
    LLVMValueRef n = tn_build_carry(b, &l, tn_build_i64(b, 0));
    LLVMValueRef sum = tn_build_load(b, b->t_i32, tn_build_elem(b, acc, l.i, 4), 4);
    LLVMValueRef open = tn_build_select(b, plus, tn_build_icmp(b, LLVMIntSGT, sum, none),
                                        tn_build_icmp(b, LLVMIntSLT, sum, none));
    open = tn_build_or(b, open, all);
    tn_build_store(b, tn_build_trunc(b, l.i, b->t_i32), tn_build_elem(b, list, n, 4), 4);
    tn_build_next(&l, 0, tn_build_add(b, n, tn_build_zext(b, open, b->t_i64)));
    tn_build_loop_end(b, &l);
    n = l.out[0];
    LLVMValueRef last = tn_build_max(b, tn_build_sub(b, n, tn_build_i64(b, 1)), tn_build_i64(b, 0));
    last = tn_build_load(b, b->t_i32, tn_build_elem(b, list, last, 4), 4);
    int64_t more = tn_prefetch_most(&b->k->prefetch, TN_STREAM_LISTED);
    if (more) tn_build_store(b, tn_build_splat(b, last, (int)more), tn_build_elem(b, list, n, 4), 4);
    return n;
}
