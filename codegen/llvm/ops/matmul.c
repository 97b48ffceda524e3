/* matmul over rows of floats (f32, f16, bf16, or stored blocks), in the defined order: 32 lanes of fma along the row, then the
 * halving tree. Lanes are independent until the tree, and each lane adds in the order of k. So K may be cut
 * into chunks, with the lanes' sums stored between them, and a part of the lanes may be computed at a time.
 *
 * One row of activations: the rows of weights stream, one after the other.
 *
 * More rows: each weight that is loaded and widened should be multiplied by as many rows as there are
 * registers for sums. The rows should be in L1, since every product loads its activation: 8 rows of 2560 are
 * 80 KB, and L2 would limit the speed. So 16 rows of weights are multiplied together, over chunks of 512
 * elements, in which 8 rows of activations are 16 KB. Between chunks the lanes' sums are kept in `buf`, at
 * the cost of a load and a store for 16 products. The weights of a chunk are pieces of 1 or 2 KB of each row.
 * They are prefetched 16 rows ahead and read once for all rows of activations.
 *
 * The tree first adds lanes j and j + 16. The 16 sums that are left of each of 16 rows share one transposing
 * tree, which adds in the same order as a tree for each row.
 *
 * Rows of stored blocks are unpacked as they stream, for one row of activations. For more, a strip of them is unpacked to
 * f32 once for all rows of the step. */
#include "codegen/llvm/ops/ops.h"
#include "codegen/llvm/ops/table_rows.h"
#include "codegen/llvm/skeletons/cols.h"

#include <stdio.h>
#include "ir/type_layout.h"

enum { HALF = TN_LANES / 2, GROUP = 16, CHUNK = 512, MOST = 8 };
enum { BLOCK = TN_LANES * 4 }; /* bytes of a row's lanes */

/* Of a product of `x` rows: `w` weight rows share the loads of activations, `lanes` at a time. The sums fill
 * the registers. */
typedef struct Shape {
    int x, w, lanes;
} Shape;

static Shape shape(TnBuilder *b, int x) {
    int w = x <= 2 ? 4 : x <= 6 ? 2 : 1;
    if (b->level->bytes == 64) return (Shape){x, w, TN_LANES};
    return x > 6 ? (Shape){x, 1, 8} : (Shape){x, x <= 2 ? 2 : 1, 16};
}

static LLVMValueRef load_wide(TnBuilder *b, TnEnc enc, LLVMValueRef ptr, int lanes) {
    if (lanes == TN_LANES) return tn_build_load_wide(b, enc, ptr);
    if (enc == TN_ENC_f32) return tn_build_load(b, LLVMVectorType(b->t_f32, (unsigned)lanes), ptr, 4);
    LLVMValueRef v = tn_build_load(b, LLVMVectorType(b->t_i16, (unsigned)lanes), ptr, 2);
    return enc == TN_ENC_f16 ? tn_build_widen_f16(b, v) : tn_build_widen_bf16(b, v);
}

/* Adds the products of the elements from `at` on, of all weight rows and rows, to acc[w][x]. mask: the lanes
 * that belong to the row; NULL: all. */
static void block(TnBuilder *b, TnEnc enc, Shape s, LLVMValueRef *w, LLVMValueRef *x, LLVMValueRef at,
                  LLVMValueRef mask, LLVMValueRef *acc) {
    LLVMTypeRef t = LLVMVectorType(b->t_f32, (unsigned)s.lanes);
    LLVMValueRef v[4];
    for (int i = 0; i < s.w; i++)
        v[i] = load_wide(b, enc, tn_build_elem(b, w[i], at, tn_enc_bytes(enc)), s.lanes);
    for (int r = 0; r < s.x; r++) {
        LLVMValueRef a = tn_build_load(b, t, tn_build_elem(b, x[r], at, 4), 4);
        if (mask) a = tn_build_select(b, mask, a, LLVMConstNull(t));
        for (int i = 0; i < s.w; i++) acc[i * s.x + r] = tn_build_fma(b, a, v[i], acc[i * s.x + r]);
    }
}

/* ---- One row of activations: void (w, i64 count, acc, buf, x) */
static LLVMValueRef one_function(TnBuilder *b, TnEnc enc, int64_t k) {
    char name[64];
    snprintf(name, sizeof name, "matmul_%s_k%lld", tn_encs[enc].name, (long long)k);
    tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 5, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), out = LLVMGetParam(fn, 2);
    LLVMValueRef buf = LLVMGetParam(fn, 3), x = LLVMGetParam(fn, 4), zero = tn_build_i64(b, 0);
    TnType t = tn_type(enc, 2, (TnDim)1, (TnDim)k);
    LLVMTypeRef half = LLVMVectorType(b->t_f32, HALF);
    TnLoop g = tn_build_loop(b, zero, count, HALF);
    LLVMValueRef left = tn_build_sub(b, count, g.i);
    TnLoop m = tn_build_loop(b, zero, tn_build_min(b, left, tn_build_i64(b, HALF)), 1);
    LLVMValueRef row = tn_build_elem(b, w, tn_build_add(b, g.i, m.i), (int64_t)tn_row_bytes(&t));
    LLVMValueRef acc = tn_build_table_lanes(b, enc, row, x, k, true);
    LLVMValueRef lo = tn_build_lanes(b, acc, 0, HALF), hi = tn_build_lanes(b, acc, HALF, HALF);
    tn_build_store(b, tn_build_fadd(b, lo, hi), tn_build_elem(b, buf, m.i, HALF * 4), 64);
    tn_build_loop_end(b, &m);
    LLVMValueRef part[HALF];
    for (int j = 0; j < HALF; j++)
        part[j] = tn_build_load(b, half, tn_build_atc(b, buf, (int64_t)j * HALF * 4), 64);
    tn_build_store(b, tn_build_trees(b, part, HALF, TN_FOLD_FADD), tn_build_elem(b, out, g.i, 4), 4);
    tn_build_loop_end(b, &g);
    return tn_build_shared_end(b, back);
}

/* ---- More rows */

typedef struct Some {
    TnEnc enc;
    Shape s;
    int64_t k, row_bytes; /* of weights */
    LLVMValueRef w,
        last; /* first weight row of the group; the number, counted from it, of the last row there is */
    LLVMValueRef x[MOST], buf;
} Some;

/* Weight rows m .. m + w - 1 of the group. Past the end it takes the last row again; the sums of that have a
 * place but are not read. */
static void weight_rows(TnBuilder *b, const Some *c, LLVMValueRef m, LLVMValueRef *rows) {
    for (int j = 0; j < c->s.w; j++) {
        LLVMValueRef r = tn_build_add(b, m, tn_build_i64(b, j));
        rows[j] = tn_build_elem(b, c->w, j ? tn_build_min(b, r, c->last) : r, c->row_bytes);
    }
}

/* Where the sums of weight row m + j and row r are kept: buf[16][x][32]. */
static LLVMValueRef place(TnBuilder *b, const Some *c, LLVMValueRef m, int j, int r) {
    LLVMValueRef at = tn_build_elem(b, c->buf, m, (int64_t)c->s.x * BLOCK);
    return tn_build_atc(b, at, (int64_t)(j * c->s.x + r) * BLOCK);
}

/* Adds the products of elements [from, to) of weight rows m .. m + w - 1 to the sums' lanes from `lane` (i64)
 * on. */
static void sums(TnBuilder *b, const Some *c, LLVMValueRef m, LLVMValueRef lane, LLVMValueRef from,
                 LLVMValueRef to) {
    Shape s = c->s;
    int64_t size = tn_enc_bytes(c->enc);
    LLVMTypeRef t = LLVMVectorType(b->t_f32, (unsigned)s.lanes);
    LLVMValueRef rows[4], x[MOST], acc[24];
    weight_rows(b, c, m, rows);
    for (int j = 0; j < s.w; j++) rows[j] = tn_build_elem(b, rows[j], lane, size);
    for (int r = 0; r < s.x; r++) x[r] = tn_build_elem(b, c->x[r], lane, 4);
    for (int i = 0; i < s.w * s.x; i++)
        acc[i] = tn_build_load(b, t, tn_build_elem(b, place(b, c, m, i / s.x, i % s.x), lane, 4), 4);
    TnLoop k = tn_build_loop(b, from, to, TN_LANES);
    for (int i = 0; i < s.w * s.x; i++) acc[i] = tn_build_carry(b, &k, acc[i]);
    for (int j = 0; j < s.w; j++)
        for (int64_t line = 0; line < s.lanes * size; line += 64)
            tn_build_prefetch(
                b, tn_build_atc(b, tn_build_elem(b, rows[j], k.i, size), GROUP * c->row_bytes + line),
                TN_INTO_L2);
    block(b, c->enc, s, rows, x, k.i, NULL, acc);
    for (int i = 0; i < s.w * s.x; i++) tn_build_next(&k, i, acc[i]);
    tn_build_loop_end(b, &k);
    for (int i = 0; i < s.w * s.x; i++)
        tn_build_store(b, k.out[i], tn_build_elem(b, place(b, c, m, i / s.x, i % s.x), lane, 4), 4);
}

/* Adds the elements after the last whole block of 32 lanes. */
static void tail(TnBuilder *b, const Some *c, LLVMValueRef m) {
    int64_t full = c->k / TN_LANES * TN_LANES;
    Some whole = *c;
    whole.s = (Shape){c->s.x, 1, TN_LANES};
    LLVMValueRef row, acc[MOST];
    weight_rows(b, &whole, m, &row);
    for (int r = 0; r < c->s.x; r++) acc[r] = tn_build_load(b, b->t_f32x, place(b, c, m, 0, r), 4);
    block(b, c->enc, whole.s, &row, whole.x, tn_build_i64(b, full),
          tn_build_mask_const(b, c->k - full, TN_LANES), acc);
    for (int r = 0; r < c->s.x; r++) tn_build_store(b, acc[r], place(b, c, m, 0, r), 4);
}

/* void (buf, i64 row_bytes, i64 n_x, out, i64 stride): the trees of 16 weight rows, whose sums lie
 * `row_bytes` apart, for each of n_x rows. Past the last weight row the sums are zeros or old ones; the strip
 * has room for their results. */
static LLVMValueRef trees_function(TnBuilder *b) {
    static const char name[] = "matmul_trees";
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_i64, b->t_ptr, b->t_i64};
    LLVMTypeRef half = LLVMVectorType(b->t_f32, HALF);
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 5, &fn);
    if (!back) return fn;
    TnLoop r = tn_build_loop(b, tn_build_i64(b, 0), LLVMGetParam(fn, 2), 1);
    LLVMValueRef part[GROUP], lo = tn_build_elem(b, LLVMGetParam(fn, 0), r.i, BLOCK);
    for (int j = 0; j < GROUP; j++) {
        LLVMValueRef hi = tn_build_atc(b, lo, HALF * 4);
        part[j] = tn_build_fadd(b, tn_build_load(b, half, lo, 64), tn_build_load(b, half, hi, 64));
        lo = tn_build_at(b, lo, LLVMGetParam(fn, 1));
    }
    LLVMValueRef out = tn_build_at(b, LLVMGetParam(fn, 3), tn_build_mul(b, LLVMGetParam(fn, 4), r.i));
    tn_build_store(b, tn_build_trees(b, part, GROUP, TN_FOLD_FADD), out, 4);
    tn_build_loop_end(b, &r);
    return tn_build_shared_end(b, back);
}

/* void (w, i64 count, x, i64 n_x, acc, i64 stride, buf): x rows; with `apart`, n_x may be less than x. */
static LLVMValueRef some_function(TnBuilder *b, TnEnc enc, int64_t k, int x, bool apart) {
    char name[64];
    snprintf(name, sizeof name, "matmul_%s_k%lld_x%d%s", tn_encs[enc].name, (long long)k, x,
             apart ? "_last" : "");
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 7, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), rows = LLVMGetParam(fn, 2);
    LLVMValueRef n_x = LLVMGetParam(fn, 3), acc = LLVMGetParam(fn, 4), stride = LLVMGetParam(fn, 5);
    LLVMValueRef zero = tn_build_i64(b, 0), one = tn_build_i64(b, 1);
    int64_t padded = (k + TN_PAD - 1) / TN_PAD * TN_PAD, full = k / TN_LANES * TN_LANES;
    Some c = {.enc = enc, .s = shape(b, x), .k = k, .row_bytes = padded * tn_enc_bytes(enc)};
    c.buf = LLVMGetParam(fn, 6);
    LLVMValueRef last_x = tn_build_sub(b, n_x, one);
    for (int r = 0; r < x; r++) {
        LLVMValueRef i = apart && r ? tn_build_min(b, tn_build_i64(b, r), last_x) : tn_build_i64(b, r);
        c.x[r] = tn_build_elem(b, rows, i, padded * 4);
    }
    TnLoop g = tn_build_loop(b, zero, count, GROUP);
    LLVMValueRef left = tn_build_sub(b, count, g.i), here = tn_build_min(b, left, tn_build_i64(b, GROUP));
    c.w = tn_build_elem(b, w, g.i, c.row_bytes);
    c.last = tn_build_sub(b, left, one);
    TnLoop z = tn_build_loop(b, zero, tn_build_i64(b, (int64_t)GROUP * x), 1);
    tn_build_store(b, tn_build_vf(b, 0.0f), tn_build_elem(b, c.buf, z.i, BLOCK), 64);
    tn_build_loop_end(b, &z);
    TnLoop chunk = tn_build_loop(b, zero, tn_build_i64(b, full), CHUNK);
    LLVMValueRef to =
        tn_build_min(b, tn_build_add(b, chunk.i, tn_build_i64(b, CHUNK)), tn_build_i64(b, full));
    TnLoop m = tn_build_loop(b, zero, here, c.s.w);
    if (c.s.lanes == TN_LANES) {
        sums(b, &c, m.i, zero, chunk.i, to);
    } else {
        TnLoop lane = tn_build_loop(b, zero, tn_build_i64(b, TN_LANES), c.s.lanes);
        sums(b, &c, m.i, lane.i, chunk.i, to);
        tn_build_loop_end(b, &lane);
    }
    tn_build_loop_end(b, &m);
    tn_build_loop_end(b, &chunk);
    if (full < k) {
        TnLoop t = tn_build_loop(b, zero, here, 1);
        tail(b, &c, t.i);
        tn_build_loop_end(b, &t);
    }
    LLVMValueRef args[] = {c.buf, tn_build_i64(b, (int64_t)x * BLOCK), n_x, tn_build_elem(b, acc, g.i, 4),
                           stride};
    tn_build_call_function(b, trees_function(b), args, 5);
    tn_build_loop_end(b, &g);
    return tn_build_shared_end(b, back);
}

/* ---- Strips */

static const TnType *weight(TnBuilder *b) {
    return &b->g->nodes[b->g->nodes[b->k->root].args[1]].type;
}

static void one_row(TnBuilder *b, const TnStrip *s, TnEnc enc) {
    LLVMValueRef args[] = {s->w, s->n, s->acc, s->buf, s->x};
    tn_build_call_function(b, one_function(b, enc, weight(b)->dim[1]), args, 5);
}

static void strip(TnBuilder *b, const TnStrip *s) {
    one_row(b, s, weight(b)->enc);
}

/* The encoding in which `strips` finds the weights: `prepare` unpacks blocks. */
static TnEnc read_enc(TnBuilder *b) {
    return tn_enc_is_blocks(weight(b)->enc) ? TN_ENC_f32 : weight(b)->enc;
}

static int64_t panel_row(TnBuilder *b) {
    TnType t = tn_type(TN_ENC_f32, 2, (TnDim)1, weight(b)->dim[1]);
    return (int64_t)tn_row_bytes(&t);
}

/* Unpacks n weight rows. No reader looks at what pads a row, since k is a multiple of 32. */
static void prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef panels) {
    const TnType *t = weight(b);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), s->n, 1);
    LLVMValueRef to = tn_build_elem(b, panels, l.i, panel_row(b));
    tn_build_unpack_row(b, t->enc, tn_build_elem(b, s->w, l.i, (int64_t)tn_row_bytes(t)), t->dim[1], to);
    tn_build_loop_end(b, &l);
}

/* Rows of a block if there are many rows. */
static int most(TnBuilder *b) {
    return b->level->bytes == 64 ? 6 : 8;
}

static void strips(TnBuilder *b, const TnStrip *s) {
    LLVMValueRef args[] = {s->w, s->n, s->x, s->n_x, s->acc, s->stride, s->buf};
    TnEnc enc = read_enc(b);
    int64_t k = weight(b)->dim[1], many = tn_build_most_rows(b, b->k->root) > MOST ? most(b) : MOST + 1;
    static const int sizes[] = {2, 4, 6, 8};
    int64_t below = 1;
    TnIf one = tn_build_if(b, tn_build_icmp(b, LLVMIntEQ, s->n_x, tn_build_i64(b, 1)));
    one_row(b, s, enc); /* of a prompt, only one row needs the head */
    tn_build_if_end(b, &one);
    /* Take the least size that holds n_x rows. If there are many rows, only the last block is not full. */
    for (size_t i = 0; i < TN_COUNT(sizes) && below < many - 1; i++) {
        int64_t from = below + 1;
        below = sizes[i] < many ? sizes[i] : many - 1;
        TnIf is = tn_build_if_between(b, s->n_x, from, below);
        tn_build_call_function(b, some_function(b, enc, k, sizes[i], true), args, 7);
        tn_build_if_end(b, &is);
    }
    if (many > MOST) return;
    TnIf is = tn_build_if(b, tn_build_icmp(b, LLVMIntEQ, s->n_x, tn_build_i64(b, many)));
    tn_build_call_function(b, some_function(b, enc, k, (int)many, false), args, 7);
    tn_build_if_end(b, &is);
}

static void kernel(TnBuilder *b) {
    int64_t rows = tn_build_most_rows(b, b->k->root);
    int block = rows > MOST ? most(b) : MOST;
    TnStrips s = {.rows = block,
                  .buf = rows == 1 ? HALF * HALF * 4 : (int64_t)GROUP * MOST * BLOCK,
                  .strip = strip,
                  .strips = strips};
    if (tn_enc_is_blocks(weight(b)->enc)) {
        s.prepare = prepare;
        s.panels = b->k->grain * panel_row(b);
    }
    tn_build_cols_kernel(b, &s);
}

static bool can_matmul(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_llvm_reads_table(&g->nodes[g->nodes[ref].args[1]].type);
}
const TnLlvmOp tn_llvm_op_matmul = {.can = can_matmul, .kernel = kernel};
