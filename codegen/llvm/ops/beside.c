/* Sums of products with weights of which rows lie side by side, for b64 (tmatmul_beside.c) and r64
 * (tmatmul_groups.c). tmatmul_base3.c has those of b80.
 *
 * A line of 64 bytes has 4 columns of 64 rows. The bytes of word r are those columns, and bits 2q and 2q + 1
 * of each byte belong to row 16q + r. So a masked plane of a line, multiplied by 4 broadcast codes of
 * activations, adds to the sums of 16 rows, and no sum is ever taken over lanes.
 *
 *   VNNI     planes are masked, not shifted: sum q is 4^q times the sum, exact, and is shifted at the end. Plane 0 is not
 *            even masked where that pays: what the sum of whole bytes has too much are the other three, modulo 2^32
 *   MADDUBS  (AVX2) planes are shifted down; pairs of products are added in int16, over 128 columns at most
 *            (32 additions of 762), then widened
 *   SDOT     (NEON) planes are shifted down, since codes must be signed
 *   SMLAL    likewise, with sums of int16 over 128 columns
 *
 * The planes of a line are multiplied by as many rows of activations as there are registers for, with four sums each: with
 * AVX-512 and SDOT six. Seven and eight rows of b64 take two passes there, of two planes each, so that a mask serves eight
 * products. If registers are narrower than a line, each takes a piece of it: all pieces at once for one row of activations,
 * one after the other for more. */
#include "codegen/llvm/ops/ternary.h"

enum { TOGETHER = 4, STRETCH = 256 }; /* lines of a turn of the inner loop; columns of a pass of two planes */

static int lanes_of(TnBuilder *b) {
    return b->level->bytes / 4;
}

TnBeside tn_beside_of(TnBuilder *b, const TnType *w, int n_x) {
    const TnNode *root = &b->g->nodes[b->k->root];
    int pieces = b->level->dot == TN_DOT_SMLAL ? 2 : TN_LINE / b->level->bytes; /* whose sums fit registers */
    return (TnBeside){.w = w,
                      .n_x = n_x,
                      .rows = tn_rows_together(w),
                      .pieces = n_x == 1 ? pieces : 1,
                      .masked = b->level->dot == TN_DOT_VNNI,
                      .row_bytes = (int64_t)tn_row_bytes(&b->g->nodes[root->args[0]].type)};
}

LLVMValueRef tn_beside_row(TnBuilder *b, const TnBeside *p, LLVMValueRef x, int r) {
    return r && r == p->n_x - 1 ? tn_build_at(b, x, p->last) : tn_build_atc(b, x, r * p->row_bytes);
}

static LLVMValueRef plane(TnBuilder *b, const TnBeside *p, LLVMValueRef codes, int q) {
    if (!p->masked) return tn_tmatmul_plane(b, codes, q);
    LLVMValueRef mask = LLVMConstInt(b->t_i8, 3ull << 2 * q, 0);
    return tn_build_and(b, codes, tn_build_splat_const(b, mask, b->level->bytes));
}

/* acc + the products of a plane and 4 codes; in int16 on narrow levels. */
static LLVMValueRef add_products(TnBuilder *b, LLVMValueRef acc, LLVMValueRef c, LLVMValueRef a) {
    a = tn_build_bitcast(b, a, tn_tmatmul_bytes(b));
    return tn_level_narrow(b->level) ? tn_build_narrow_add(b, acc, c, a) : tn_tmatmul_dot(b, acc, c, a);
}

/* Planes of a pass. */
typedef struct Planes {
    int n, of[4];
    bool bare;  /* plane 0 is the whole byte */
    bool again; /* the lines were read just before */
} Planes;

/* Where sum i of a pass is among all. */
static int place_of(const Planes *planes, int i) {
    return i / planes->n * 4 + planes->of[i % planes->n];
}

/* Adds products to the sums of these planes, or begins them where they are NULL. */
static void sums_of(TnBuilder *b, const TnBeside *p, const Planes *planes, int64_t columns, LLVMValueRef w,
                    LLVMValueRef x, LLVMValueRef *sum) {
    int size = b->level->bytes, each = p->pieces * planes->n, n = p->n_x * each;
    bool narrow = tn_level_narrow(b->level);
    LLVMValueRef s[TN_LOOP_CARRIES] = {NULL};
    TN_CHECK(columns % (4 * TOGETHER) == 0 && (!narrow || columns <= TN_BESIDE_NARROW));
    LLVMTypeRef type = narrow ? tn_build_narrow_type(b) : tn_tmatmul_ints(b);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, columns / 4), TOGETHER);
    for (int i = 0; i < n; i++) {
        LLVMValueRef first = sum[place_of(planes, i)];
        s[i] = tn_build_carry(b, &l, first ? first : LLVMConstNull(type));
    }
    w = tn_build_walk(b, &l, w, TOGETHER * TN_LINE);
    x = tn_build_walk(b, &l, x, TOGETHER * 4);
    for (int j = 0; j < TOGETHER; j++) {
        LLVMValueRef c[4][4] = {{NULL}}, line = tn_build_atc(b, w, j * TN_LINE);
        if (!planes->again && !p->near) tn_build_ahead(b, line);
        for (int h = 0; h < p->pieces; h++) {
            LLVMValueRef v =
                tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, line, h * size), (unsigned)size);
            for (int i = 0; i < planes->n; i++)
                c[h][i] = planes->bare && !planes->of[i] ? v : plane(b, p, v, planes->of[i]);
        }
        for (int r = 0; r < p->n_x; r++) {
            LLVMValueRef a = tn_build_load(b, b->t_i32, tn_build_atc(b, tn_beside_row(b, p, x, r), 4 * j), 4);
            a = tn_build_splat(b, a, lanes_of(b));
            for (int i = 0; i < each; i++)
                s[r * each + i] = add_products(b, s[r * each + i], c[i / planes->n][i % planes->n], a);
        }
    }
    for (int i = 0; i < n; i++) tn_build_next(&l, i, s[i]);
    tn_build_loop_end(b, &l);
    for (int i = 0; i < n; i++)
        sum[place_of(planes, i)] = narrow ? tn_build_narrow_widen(b, l.out[i]) : l.out[i];
}

/* A pass of planes 0 and 3, and one of the others. */
static void two_passes(TnBuilder *b, const TnBeside *p, bool bare, int64_t columns, LLVMValueRef w,
                       LLVMValueRef x, LLVMValueRef *sum) {
    sums_of(b, p, &(Planes){2, {0, 3}, .bare = bare}, columns, w, x, sum);
    sums_of(b, p, &(Planes){2, {1, 2}, .again = true}, columns, w, x, sum);
}

/* Two planes at a time, stretch by stretch, so that memory is asked for evenly and the second pass finds its lines in L1. */
static void sums_by_pairs(TnBuilder *b, const TnBeside *p, bool bare, int64_t columns, LLVMValueRef w,
                          LLVMValueRef x, LLVMValueRef *sum) {
    int64_t whole = columns / STRETCH, rest = columns % STRETCH;
    int n = p->n_x * 4;
    if (whole) {
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, whole), 1);
        for (int i = 0; i < n; i++) sum[i] = tn_build_carry(b, &l, LLVMConstNull(tn_tmatmul_ints(b)));
        LLVMValueRef from = tn_build_walk(b, &l, w, STRETCH / 4 * TN_LINE),
                     a = tn_build_walk(b, &l, x, STRETCH);
        two_passes(b, p, bare, STRETCH, from, a, sum);
        for (int i = 0; i < n; i++) tn_build_next(&l, i, sum[i]);
        tn_build_loop_end(b, &l);
        for (int i = 0; i < n; i++) sum[i] = l.out[i];
    }
    if (rest)
        two_passes(b, p, bare, rest, tn_build_atc(b, w, whole * STRETCH / 4 * TN_LINE),
                   tn_build_atc(b, x, whole * STRETCH), sum);
}

void tn_beside_sums(TnBuilder *b, const TnBeside *p, int64_t columns, LLVMValueRef w, LLVMValueRef x,
                    LLVMValueRef *sum) {
    int n = p->n_x * p->pieces;
    bool bare =
        p->masked && columns / 4 > 3 * p->n_x; /* a mask a line costs more than three subtractions a row */
    for (int i = 0; i < 4 * n; i++) sum[i] = NULL;
    if (p->n_x > TN_BESIDE_PASS)
        sums_by_pairs(b, p, bare, columns, w, x, sum);
    else
        sums_of(b, p, &(Planes){4, {0, 1, 2, 3}, .bare = bare}, columns, w, x, sum);
    for (int i = 0; bare && i < n; i++)
        for (int q = 1; q < 4; q++) sum[4 * i] = tn_build_sub(b, sum[4 * i], sum[4 * i + q]);
}

LLVMValueRef tn_beside_function(TnBuilder *b, TnBeside *p, char *name, size_t size, TnBesideBlockFn *block) {
    if (!p->near) tn_build_ahead_name(b, TN_STREAM_DENSE, name, size);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), blocks = LLVMGetParam(fn, 1), x = LLVMGetParam(fn, 2);
    LLVMValueRef last = tn_build_sub(b, LLVMGetParam(fn, 3), tn_build_i64(b, 1)), out = LLVMGetParam(fn, 4);
    p->last = tn_build_mul(b, last, tn_build_i64(b, p->row_bytes));
    for (int r = 0; r < p->n_x; r++) {
        LLVMValueRef row = r < p->n_x - 1 ? tn_build_i64(b, r) : last;
        p->out[r] = tn_build_at(b, out, tn_build_mul(b, LLVMGetParam(fn, 5), row));
    }
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), blocks, 1);
    LLVMValueRef at = tn_build_walk(b, &l, w, p->rows * (int64_t)tn_row_bytes(p->w));
    block(b, p, at, x, tn_build_mul(b, l.i, tn_build_i64(b, 4 * p->rows)));
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

/* ---- Strips */

bool tn_beside_aligned(TnBuilder *b, int64_t rows) {
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(b->g, b->kernel, parts);
    bool whole = b->k->grain % rows == 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < parts[i].n_bases; j++) whole &= parts[i].base[j] % rows == 0;
    return whole;
}

/* Rows of weights of a block of the root's. */
static int64_t block_rows(TnBuilder *b) {
    return tn_rows_together(tn_tmatmul_weights(b));
}

/* Results of a row of `buf`, for strips that do not begin at a block. */
static int64_t wide(TnBuilder *b) {
    int64_t rows = block_rows(b);
    return (b->k->grain + 2 * rows - 2) / rows * rows;
}

/* Copies read whole blocks of 32 columns. */
int64_t tn_beside_buf(TnBuilder *b, int rows) {
    return tn_beside_aligned(b, block_rows(b)) ? 64 : (4 * (wide(b) * rows + TN_LANES) + 63) / 64 * 64;
}

/* Copies n columns of each row of `from`, from column `lead` on, to acc. */
static void copy_rows(TnBuilder *b, const TnStrip *s, LLVMValueRef from, LLVMValueRef from_stride,
                      LLVMValueRef lead) {
    LLVMValueRef zero = tn_build_i64(b, 0), rows = s->n_x ? s->n_x : tn_build_i64(b, 1);
    TnLoop r = tn_build_loop(b, zero, rows, 1);
    LLVMValueRef in = tn_build_elem(b, tn_build_at(b, from, tn_build_mul(b, r.i, from_stride)), lead, 4),
                 out = s->acc;
    if (s->stride) out = tn_build_at(b, out, tn_build_mul(b, r.i, s->stride));
    TnLoop l = tn_build_loop(b, zero, s->n, TN_LANES);
    LLVMValueRef v = tn_build_load(b, b->t_f32x, tn_build_elem(b, in, l.i, 4), 4);
    tn_build_store(b, v, tn_build_elem(b, out, l.i, 4), 4);
    tn_build_loop_end(b, &l);
    tn_build_loop_end(b, &r);
}

void tn_beside_strips(TnBuilder *b, const TnStrip *s, TnBesideFn *product) {
    LLVMValueRef block = tn_build_i64(b, block_rows(b));
    if (tn_beside_aligned(b, block_rows(b))) {
        product(b, s->w, s->n, s, s->acc, s->stride);
        return;
    }
    LLVMValueRef before = tn_build_mul(b, tn_build_sdiv(b, s->col, block), block),
                 lead = tn_build_sub(b, s->col, before), stride = tn_build_i64(b, 4 * wide(b));
    int64_t bytes = (int64_t)tn_row_bytes(tn_tmatmul_weights(b));
    LLVMValueRef w = tn_build_at(b, s->w, tn_build_neg(b, tn_build_mul(b, lead, tn_build_i64(b, bytes))));
    product(b, w, tn_build_add(b, lead, s->n), s, s->buf, stride);
    copy_rows(b, s, s->buf, stride, lead);
}
