/* The ops that work head by head: rope, and kv_put, which stores rows in the cache's pages. They read and
 * write strips or rows in memory. */
#include "codegen/llvm/ops/ops.h"

#include <string.h>

static TnRef arg(TnBuilder *b, TnRef ref, uint32_t i) {
    return b->g->nodes[ref].args[i];
}

static LLVMValueRef width_of(TnBuilder *b, const TnFrame *f, TnRef ref) {
    return f->width ? f->width : tn_build_i64(b, tn_build_cols(b, ref));
}

/* a' = a*cos - b*sin, b' = a*sin + b*cos */
static LLVMValueRef rotate(TnBuilder *b, LLVMValueRef x, LLVMValueRef c, LLVMValueRef y, LLVMValueRef s,
                           bool minus) {
    LLVMValueRef p = tn_build_fmul(b, x, c), q = tn_build_fmul(b, y, s);
    return minus ? tn_build_fsub(b, p, q) : tn_build_fadd(b, p, q);
}

/* Rotates 32 pairs from x to y. The second element of a pair lies n columns after the first. */
static void rope_block(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, LLVMValueRef angle, int64_t n,
                       LLVMValueRef mask) {
    LLVMValueRef u = tn_build_load_masked(b, b->t_f32x, x, 4, mask);
    LLVMValueRef v = tn_build_load_masked(b, b->t_f32x, tn_build_atc(b, x, n * 4), 4, mask);
    LLVMValueRef c = tn_build_load(b, b->t_f32x, angle, 4);
    LLVMValueRef s = tn_build_load(b, b->t_f32x, tn_build_atc(b, angle, n * 4), 4);
    tn_build_store_masked(b, rotate(b, u, c, v, s, true), y, 4, mask);
    tn_build_store_masked(b, rotate(b, u, s, v, c, false), tn_build_atc(b, y, n * 4), 4, mask);
}

static void rope_half(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, LLVMValueRef angle, int64_t n) {
    int64_t whole = n / TN_LANES * TN_LANES;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, whole), TN_LANES);
    rope_block(b, tn_build_elem(b, x, l.i, 4), tn_build_elem(b, y, l.i, 4), tn_build_elem(b, angle, l.i, 4),
               n, NULL);
    tn_build_loop_end(b, &l);
    if (whole == n) return;
    rope_block(b, tn_build_atc(b, x, whole * 4), tn_build_atc(b, y, whole * 4),
               tn_build_atc(b, angle, whole * 4), n, tn_build_mask_block(b, n, whole, TN_LANES));
}

/* A block of 32 columns holds 16 adjacent pairs. Sums and differences are computed for all lanes, and the
 * right ones are kept. */
static void rope_pair(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, LLVMValueRef angle, int64_t n) {
    int twice[TN_LANES], even[TN_LANES], odd[TN_LANES], merge[TN_LANES];
    for (int j = 0; j < TN_LANES; j++) {
        twice[j] = j / 2;
        even[j] = j / 2 * 2;
        odd[j] = j / 2 * 2 + 1;
        merge[j] = j % 2 ? TN_LANES + j : j;
    }
    LLVMTypeRef half = LLVMVectorType(b->t_f32, TN_LANES / 2);
    for (int64_t i = 0; i < 2 * n; i += TN_LANES) {
        LLVMValueRef mask = tn_build_mask_block(b, 2 * n, i, TN_LANES);
        LLVMValueRef v = tn_build_load_masked(b, b->t_f32x, tn_build_atc(b, x, i * 4), 4, mask);
        LLVMValueRef c = tn_build_load(b, half, tn_build_atc(b, angle, i / 2 * 4), 4);
        LLVMValueRef s = tn_build_load(b, half, tn_build_atc(b, angle, (n + i / 2) * 4), 4);
        c = tn_build_shuffle(b, c, NULL, twice, TN_LANES);
        s = tn_build_shuffle(b, s, NULL, twice, TN_LANES);
        LLVMValueRef p = tn_build_shuffle(b, v, NULL, even, TN_LANES),
                     q = tn_build_shuffle(b, v, NULL, odd, TN_LANES);
        LLVMValueRef first = rotate(b, p, c, q, s, true), second = rotate(b, p, s, q, c, false);
        LLVMValueRef r = tn_build_shuffle(b, first, second, merge, TN_LANES);
        tn_build_store_masked(b, r, tn_build_atc(b, y, i * 4), 4, mask);
    }
}

static void rope(TnBuilder *b, TnFrame *f, TnRef ref) {
    TnRef angle = arg(b, ref, 1);
    int64_t head = tn_build_cols(b, angle);
    tn_build_check_heads(b, f, head);
    bool pair = !strcmp(tn_attr_str(&b->g->nodes[ref], TN_ATTR_mode), "pair");
    LLVMValueRef a = tn_build_row_mem(b, f, angle), x = tn_build_mem(b, f, arg(b, ref, 0));
    LLVMValueRef y = f->width ? tn_build_result_strip(b, f, ref) : tn_build_result_row(b, f, ref);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), width_of(b, f, ref), head);
    (pair ? rope_pair : rope_half)(b, tn_build_elem(b, x, l.i, 4), tn_build_elem(b, y, l.i, 4), a, head / 2);
    tn_build_loop_end(b, &l);
    if (f->width && tn_build_leaves(b, ref)) tn_build_copy_out(b, f, ref);
}
const TnLlvmOp tn_llvm_op_rope = {.can = tn_llvm_yes, .row = rope};

/* ---- kv_put */

/* A row that is being stored at its position in a page. */
typedef struct Put {
    bool keys;
    int64_t head, size;     /* head dim; bytes of an element */
    LLVMValueRef at, block; /* position in the page; room for 32 elements */
} Put;

/* For an int8 cache: stores the head's scale and returns 127/a. */
static LLVMValueRef quant_head(TnBuilder *b, const Put *p, LLVMValueRef from, LLVMValueRef part) {
    LLVMValueRef top = LLVMConstNull(b->t_i32x), scale;
    for (int64_t i = 0; i < p->head; i += TN_LANES) {
        LLVMValueRef v = tn_build_load_masked(b, b->t_f32x, tn_build_atc(b, from, i * 4), 4,
                                              tn_build_mask_block(b, p->head, i, TN_LANES));
        LLVMValueRef u = tn_build_and(b, tn_build_bits(b, v), tn_build_vi(b, 0x7fffffff));
        top = tn_build_select(b, tn_build_icmp(b, LLVMIntUGT, u, top), u, top);
    }
    LLVMValueRef factor = tn_build_quant_factor(b, tn_build_tree(b, top, TN_FOLD_UMAX), &scale);
    tn_build_store(b, scale, tn_build_elem(b, tn_build_atc(b, part, p->head * TN_PAGE), p->at, 4), 4);
    return tn_build_splat(b, factor, TN_LANES);
}

/* Converts 32 floats to elements of the cache. */
static LLVMValueRef narrow(TnBuilder *b, const Put *p, LLVMValueRef v, LLVMValueRef factor) {
    if (p->size == 4) return v;
    if (p->size == 2) return tn_build_narrow_f16_sat(b, v);
    return tn_build_trunc(b, tn_build_quant(b, v, factor), LLVMVectorType(b->t_i8, TN_LANES));
}

/* Stores n elements. Keys lie [head dim][position], so the elements of a row are 64 positions apart: they are
 * converted as a block and stored one by one. Values lie [position][head dim], so a head of a row is
 * contiguous. */
static void put_block(TnBuilder *b, const Put *p, LLVMValueRef factor, LLVMValueRef from, LLVMValueRef to,
                      int n) {
    LLVMTypeRef elem = p->size == 4 ? b->t_f32 : p->size == 2 ? b->t_i16 : b->t_i8;
    LLVMValueRef v = tn_build_load_masked(b, b->t_f32x, from, 4, tn_build_mask_block(b, n, 0, TN_LANES));
    v = narrow(b, p, v, factor);
    if (!p->keys) {
        tn_build_store_first(b, v, to, n);
        return;
    }
    tn_build_store(b, v, p->block, 4);
    TnLoop j = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), 1);
    LLVMValueRef at = tn_build_walk(b, &j, to, TN_PAGE * p->size);
    LLVMValueRef e = tn_build_load(b, elem, tn_build_elem(b, p->block, j.i, p->size), (unsigned)p->size);
    tn_build_store(b, e, at, (unsigned)p->size);
    tn_build_loop_end(b, &j);
}

static void put_head(TnBuilder *b, const Put *p, LLVMValueRef from, LLVMValueRef part) {
    LLVMValueRef factor = p->size == 1 ? quant_head(b, p, from, part) : NULL;
    LLVMValueRef to = tn_build_elem(b, part, p->at, p->keys ? p->size : p->head * p->size);
    int64_t apart = p->keys ? TN_PAGE * p->size : p->size, whole = p->head / TN_LANES * TN_LANES;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, whole), TN_LANES);
    put_block(b, p, factor, tn_build_elem(b, from, l.i, 4), tn_build_elem(b, to, l.i, apart), TN_LANES);
    tn_build_loop_end(b, &l);
    if (whole == p->head) return;
    from = tn_build_atc(b, from, whole * 4);
    put_block(b, p, factor, from, tn_build_atc(b, to, whole * apart), (int)(p->head - whole));
}

static void kv_put(TnBuilder *b, TnFrame *f, TnRef ref) {
    const TnType *t = &b->g->nodes[ref].type;
    Put p = {.keys = tn_enc_is_kcache(t->enc), .head = t->dim[2], .size = tn_enc_bytes(t->enc)};
    int64_t part = (int64_t)tn_page_head_bytes(t);
    tn_build_check_heads(b, f, p.head);
    LLVMValueRef x = tn_build_mem(b, f, arg(b, ref, 1));
    LLVMValueRef pos = tn_build_load(b, b->t_i32, tn_build_row_mem(b, f, arg(b, ref, 2)), 4);
    LLVMValueRef slot = tn_build_load(b, b->t_i32, tn_build_row_mem(b, f, arg(b, ref, 3)), 4);
    pos = tn_build_sext(b, pos, b->t_i64);
    slot = tn_build_sext(b, slot, b->t_i64);
    LLVMValueRef entry = tn_build_mul(b, slot, b->sym[TN_P]);
    entry = tn_build_add(b, entry, tn_build_ashr(b, pos, tn_build_i64(b, 6)));
    LLVMValueRef number =
        tn_build_load(b, b->t_i32, tn_build_elem(b, tn_build_operand(b, arg(b, ref, 4)), entry, 4), 4);
    number = tn_build_sext(b, number, b->t_i64);
    LLVMValueRef page = tn_build_elem(b, tn_build_operand(b, ref), number, (int64_t)tn_page_bytes(t));
    p.at = tn_build_and(b, pos, tn_build_i64(b, TN_PAGE - 1));
    p.block = tn_build_scratch(b, TN_LANES * 4);
    page = tn_build_elem(b, page, tn_build_sdiv(b, f->col, tn_build_i64(b, p.head)), part);
    LLVMValueRef heads = tn_build_sdiv(b, width_of(b, f, arg(b, ref, 1)), tn_build_i64(b, p.head));
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), heads, 1);
    put_head(b, &p, tn_build_elem(b, x, l.i, p.head * 4), tn_build_elem(b, page, l.i, part));
    tn_build_loop_end(b, &l);
}
const TnLlvmOp tn_llvm_op_kv_put = {.can = tn_llvm_yes, .row = kv_put};
