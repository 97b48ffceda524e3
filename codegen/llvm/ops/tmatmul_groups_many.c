/* tmatmul_groups with many rows of activations, without tiles. tmatmul_groups.c describes r64 and the sums.
 *
 * With few rows, the planes of a line are masked for every pass over the weights. With many rows that is a
 * seventh of the work, as masks and products need the same ports. So the lines of a group are unpacked once
 * for a block of rows, with the codes shifted down, into 64 bytes a column of the group. A group of 128 takes
 * 8 KB, which stay in L1 beside the codes and the results of 48 or 64 rows. Each pass multiplies them by as many
 * rows of activations as there are registers for. Where there are 32 registers, the first pass unpacks what it
 * multiplies, which many processors do on other ports, and asks for the next group. Each pass asks for the codes of
 * its rows in the next group: no stream that hardware would see, as they lie a row apart.
 *
 * Since the codes are shifted, so are the sums, and they can begin at -sum(a): one vector for the four sums
 * of a row. A group of 128 columns of 64 rows, 6 rows of activations and VNNI: 768 products, 28 operations
 * for its part of the unpacking, 6 for the vectors, 72 to multiply by scales. On two ports that is 437
 * cycles, of which products alone are 384.
 *
 * If registers are narrower than a line, the pieces of the lines are unpacked and multiplied one after the
 * other. On narrow levels sums are of int16 for 128 columns at most, as in tmatmul_groups.c. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"
#include "ir/r64.h"

enum {
    PLANES = 4,
    TOGETHER = 4,      /* lines of a turn of the inner loop */
    NARROW_MOST = 128, /* columns whose sums fit an int16 */
    SCALES = 4 * TN_BESIDE
};

/* The parameters of a call, and sizes that follow from the types. */
typedef struct Call {
    const TnType *w;
    int64_t row_bytes, part;
    LLVMValueRef x, out, stride; /* the first rows of activations and of the block's results */
    LLVMValueRef n_x;            /* i64 */
    LLVMValueRef scales, codes;  /* of a group: [64] floats; [piece][line][plane] of registers */
} Call;

/* n rows of activations of a call that are multiplied together. The last one may be there twice. */
typedef struct Pass {
    int n;
    LLVMValueRef x;      /* the first row */
    LLVMValueRef last;   /* bytes from it to the last */
    LLVMValueRef lines;  /* the pass unpacks the group that begins here; NULL: it is unpacked */
    LLVMValueRef out[8]; /* the results of each row */
} Pass;

int64_t tn_tmatmul_groups_many_buf(const TnType *w) {
    return SCALES + (int64_t)w->group / 4 * PLANES * TN_LINE;
}

static int most_rows(TnBuilder *b) {
    return tn_level_narrow(b->level) || tn_level_few_registers(b->level) ? 3 : 6;
}

/* Whether a full pass has registers for unpacking. */
static bool unpacks_in_passes(TnBuilder *b) {
    return most_rows(b) == 6;
}

/* The number of rows that are computed for n. */
static int rows_for(TnBuilder *b, int n) {
    return n <= 2 || most_rows(b) == 3 ? n : (n + 1) / 2 * 2;
}

/* What lies as far into row r as x lies into the first one. */
static LLVMValueRef row_of(TnBuilder *b, const Call *c, const Pass *p, LLVMValueRef x, int r) {
    return r && r == p->n - 1 ? tn_build_at(b, x, p->last) : tn_build_atc(b, x, r * c->row_bytes);
}

/* Unpacks the scales of the group at `lines`. */
static void unpack_scales(TnBuilder *b, const Call *c, LLVMValueRef lines) {
    int size = b->level->bytes;
    int64_t n = c->w->group / 4, lanes = size / 4;
    LLVMTypeRef halves = LLVMVectorType(b->t_i16, (unsigned)lanes);
    for (int64_t i = 0; i < TN_BESIDE; i += lanes) {
        LLVMValueRef s = tn_build_load(b, halves, tn_build_atc(b, lines, n * TN_LINE + 2 * i), 2);
        tn_build_store(b, tn_build_widen_f16(b, s), tn_build_atc(b, c->scales, 4 * i), (unsigned)size);
    }
}

/* Unpacks the codes of the group at `lines`. */
static void unpack(TnBuilder *b, const Call *c, LLVMValueRef lines) {
    int size = b->level->bytes, pieces = TN_LINE / size;
    int64_t n = c->w->group / 4;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, n), 1);
    LLVMValueRef from = tn_build_walk(b, &l, lines, TN_LINE),
                 to = tn_build_walk(b, &l, c->codes, (int64_t)PLANES * size);
    for (int h = 0; h < pieces; h++) {
        LLVMValueRef v =
            tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, from, h * size), (unsigned)size);
        for (int q = 0; q < PLANES; q++)
            tn_build_store(b, tn_tmatmul_plane(b, v, q), tn_build_atc(b, to, (h * n * PLANES + q) * size),
                           (unsigned)size);
    }
    tn_build_loop_end(b, &l);
}

static LLVMValueRef add_products(TnBuilder *b, LLVMValueRef acc, LLVMValueRef c, LLVMValueRef a) {
    a = tn_build_bitcast(b, a, tn_tmatmul_bytes(b));
    return tn_level_narrow(b->level) ? tn_build_narrow_add(b, acc, c, a) : tn_tmatmul_dot(b, acc, c, a);
}

/* The planes of a line, unpacked, whose place is `codes`. `packed`: a register of the line; NULL: they are there. */
static void planes(TnBuilder *b, LLVMValueRef packed, LLVMValueRef codes, LLVMValueRef plane[PLANES]) {
    int size = b->level->bytes;
    LLVMValueRef v = packed ? tn_build_load(b, tn_tmatmul_bytes(b), packed, (unsigned)size) : NULL;
    for (int q = 0; q < PLANES; q++) {
        LLVMValueRef at = tn_build_atc(b, codes, (int64_t)q * size);
        plane[q] = v ? tn_tmatmul_plane(b, v, q) : tn_build_load(b, tn_tmatmul_bytes(b), at, (unsigned)size);
        if (v) tn_build_store(b, plane[q], at, (unsigned)size);
    }
}

/* sum[r * PLANES + q] += the products of `columns` columns. x points at the first of them in the first row, `packed`
 * at their piece of the lines if they are to be unpacked. */
static void add_columns(TnBuilder *b, const Call *c, const Pass *p, int64_t columns, LLVMValueRef packed,
                        LLVMValueRef codes, LLVMValueRef x, LLVMValueRef *sum) {
    int size = b->level->bytes, n = p->n * PLANES;
    bool narrow = tn_level_narrow(b->level);
    LLVMValueRef none = narrow ? LLVMConstNull(tn_build_narrow_type(b)) : NULL;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, columns / 4), TOGETHER);
    LLVMValueRef now[TN_LOOP_CARRIES] = {NULL};
    for (int i = 0; i < n; i++) now[i] = tn_build_carry(b, &l, narrow ? none : sum[i]);
    codes = tn_build_walk(b, &l, codes, (int64_t)TOGETHER * PLANES * size);
    x = tn_build_walk(b, &l, x, TOGETHER * 4);
    if (packed) packed = tn_build_walk(b, &l, packed, TOGETHER * TN_LINE);
    for (int j = 0; j < TOGETHER; j++) {
        LLVMValueRef plane[PLANES], line = packed ? tn_build_atc(b, packed, j * TN_LINE) : NULL;
        planes(b, line, tn_build_atc(b, codes, (int64_t)j * PLANES * size), plane);
        if (line)
            tn_build_prefetch(b, tn_build_atc(b, line, (int64_t)tn_r64_group_bytes(c->w->group)), TN_INTO_L1);
        for (int r = 0; r < p->n; r++) {
            LLVMValueRef a = tn_build_load(b, b->t_i32, tn_build_atc(b, row_of(b, c, p, x, r), 4 * j), 4);
            a = tn_build_splat(b, a, size / 4);
            for (int q = 0; q < PLANES; q++)
                now[r * PLANES + q] = add_products(b, now[r * PLANES + q], plane[q], a);
        }
    }
    for (int i = 0; i < n; i++) tn_build_next(&l, i, now[i]);
    tn_build_loop_end(b, &l);
    for (int i = 0; i < n; i++)
        sum[i] = narrow ? tn_build_add(b, sum[i], tn_build_narrow_widen(b, l.out[i])) : l.out[i];
}

/* y = fma((float)acc, s*d, y) for piece h of a group. `head` and `x` are the group's scale and codes in the
 * first row of activations. */
static void piece(TnBuilder *b, const Call *c, const Pass *p, LLVMValueRef head, LLVMValueRef x, int h) {
    int size = b->level->bytes, lanes = size / 4;
    int64_t group = c->w->group, most = group;
    LLVMTypeRef floats = LLVMVectorType(b->t_f32, (unsigned)lanes);
    LLVMValueRef sum[TN_LOOP_CARRIES];
    for (int r = 0; r < p->n; r++) {
        LLVMValueRef at = tn_build_atc(b, row_of(b, c, p, head, r), c->part);
        LLVMValueRef minus = tn_build_neg(b, tn_build_splat(b, tn_build_load(b, b->t_i32, at, 4), lanes));
        for (int q = 0; q < PLANES; q++) sum[r * PLANES + q] = minus;
    }
    if (tn_level_narrow(b->level) && most > NARROW_MOST) most = NARROW_MOST;
    for (int r = 0; h == 0 && r < p->n; r++)
        for (int64_t at = 0; at < group; at += TN_LINE)
            tn_build_prefetch(b, tn_build_atc(b, row_of(b, c, p, x, r), group + at), TN_INTO_L2);
    LLVMValueRef codes = tn_build_atc(b, c->codes, h * group * size);
    for (int64_t lo = 0; lo < group; lo += most) {
        LLVMValueRef packed = p->lines ? tn_build_atc(b, p->lines, lo / 4 * TN_LINE + h * size) : NULL;
        add_columns(b, c, p, most, packed, tn_build_atc(b, codes, lo * size), tn_build_atc(b, x, lo), sum);
    }
    for (int q = 0; q < PLANES; q++) {
        int64_t at = 4 * 16 * q + h * size;
        LLVMValueRef y[8], to[8],
            s = tn_build_load(b, floats, tn_build_atc(b, c->scales, at), (unsigned)size);
        for (int r = 0; r < p->n; r++) { /* read all before any is written: the last row may be there twice */
            LLVMValueRef d = tn_build_load(b, b->t_f32, row_of(b, c, p, head, r), 4);
            to[r] = tn_build_atc(b, p->out[r], at);
            LLVMValueRef acc = tn_build_si_to_fp(b, sum[r * PLANES + q], floats);
            y[r] = tn_build_fma(b, acc, tn_build_fmul(b, s, tn_build_splat(b, d, lanes)),
                                tn_build_load(b, floats, to[r], 4));
        }
        for (int r = 0; r < p->n; r++) tn_build_store(b, y[r], to[r], 4);
    }
}

/* Group number g for n rows of activations from row `first` on, of which `here` (i64) are there. `lines`: as in Pass. */
static void pass(TnBuilder *b, const Call *c, LLVMValueRef lines, LLVMValueRef g, LLVMValueRef first,
                 LLVMValueRef here, int n) {
    LLVMValueRef last = tn_build_sub(b, here, tn_build_i64(b, 1));
    Pass p = {.n = n, .last = tn_build_mul(b, last, tn_build_i64(b, c->row_bytes)), .lines = lines};
    p.x = tn_build_elem(b, c->x, first, c->row_bytes);
    for (int r = 0; r < n; r++) {
        LLVMValueRef row = tn_build_add(b, first, r < n - 1 ? tn_build_i64(b, r) : last);
        p.out[r] = tn_build_at(b, c->out, tn_build_mul(b, c->stride, row));
    }
    LLVMValueRef x = tn_build_atc(b, tn_build_elem(b, p.x, g, c->w->group), 2 * c->part);
    for (int h = 0; h < TN_LINE / b->level->bytes; h++) piece(b, c, &p, tn_build_elem(b, p.x, g, 4), x, h);
}

/* Group number g, which begins at `lines`, for all rows of activations. */
static void passes(TnBuilder *b, const Call *c, LLVMValueRef lines, LLVMValueRef g) {
    int most = most_rows(b);
    LLVMValueRef zero = tn_build_i64(b, 0), full = tn_build_i64(b, most), start = zero;
    unpack_scales(b, c, lines);
    if (unpacks_in_passes(b)) {
        LLVMValueRef whole = tn_build_icmp(b, LLVMIntSGE, c->n_x, full);
        TnIf is = tn_build_if(b, whole);
        pass(b, c, lines, g, zero, full, most);
        tn_build_else(b, &is);
        unpack(b, c, lines);
        tn_build_if_end(b, &is);
        start = tn_build_select(b, whole, full, zero);
    } else {
        unpack(b, c, lines);
    }
    TnLoop l = tn_build_loop(b, start, c->n_x, most);
    LLVMValueRef here = tn_build_min(b, tn_build_sub(b, c->n_x, l.i), tn_build_i64(b, most));
    for (int n = 1; n <= most; n = rows_for(b, n) + 1) {
        TnIf is = tn_build_if_between(b, here, n, rows_for(b, n));
        pass(b, c, NULL, g, l.i, here, rows_for(b, n));
        tn_build_if_end(b, &is);
    }
    tn_build_loop_end(b, &l);
}

static void zero_results(TnBuilder *b, const Call *c) {
    int size = b->level->bytes;
    LLVMValueRef none = LLVMConstNull(LLVMVectorType(b->t_f32, (unsigned)size / 4));
    TnLoop r = tn_build_loop(b, tn_build_i64(b, 0), c->n_x, 1);
    LLVMValueRef to = tn_build_at(b, c->out, tn_build_mul(b, c->stride, r.i));
    for (int at = 0; at < 4 * TN_BESIDE; at += size) tn_build_store(b, none, tn_build_atc(b, to, at), 4);
    tn_build_loop_end(b, &r);
}

/* void (w, i64 blocks, x, i64 n_x, out, i64 stride, buf) */
static LLVMValueRef function(TnBuilder *b) {
    const TnType *x = &b->g->nodes[b->g->nodes[b->k->root].args[0]].type;
    Call c = {.w = tn_tmatmul_weights(b)};
    c.row_bytes = (int64_t)tn_row_bytes(x);
    c.part = (int64_t)tn_q8g_part(x);
    char name[96];
    snprintf(name, sizeof name, "tmatmul_groups_many_k%lld_%u", (long long)c.w->dim[1], c.w->group);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), blocks = LLVMGetParam(fn, 1), zero = tn_build_i64(b, 0);
    c.x = LLVMGetParam(fn, 2), c.n_x = LLVMGetParam(fn, 3), c.stride = LLVMGetParam(fn, 5);
    c.scales = LLVMGetParam(fn, 6), c.codes = tn_build_atc(b, c.scales, SCALES);
    TnLoop l = tn_build_loop(b, zero, blocks, 1);
    c.out = tn_build_elem(b, LLVMGetParam(fn, 4), l.i, 4 * TN_BESIDE);
    zero_results(b, &c);
    LLVMValueRef lines = tn_build_elem(b, w, l.i, TN_BESIDE * (int64_t)tn_row_bytes(c.w));
    TnLoop g = tn_build_loop(b, zero, tn_build_i64(b, tn_type_row_scales(c.w)), 1);
    lines = tn_build_walk(b, &g, lines, (int64_t)tn_r64_group_bytes(c.w->group));
    passes(b, &c, lines, g.i);
    tn_build_loop_end(b, &g);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_groups_many(TnBuilder *b, LLVMValueRef w, LLVMValueRef blocks, LLVMValueRef x,
                            LLVMValueRef rows, LLVMValueRef out, LLVMValueRef stride, LLVMValueRef buf) {
    LLVMValueRef args[] = {w, blocks, x, rows, out, stride, buf};
    tn_build_call_function(b, function(b), args, TN_COUNT(args));
}
