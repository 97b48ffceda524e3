/* tmatmul over b80: 80 rows of weights side by side, five weights a byte (ir/r64.h has the arithmetic).
 *
 * A line of 64 bytes has 4 columns of 80 rows, which all meet the same four codes of activations. No digit is taken
 * out of its byte: the byte is multiplied as it is, then three times itself modulo 256, and so on. That gives the
 * six sums F_0 .. F_5 of 16 rows each, and (3 F_p - F_(p+1)) / 256 is the sum of plane p, exactly: it fits an i32
 * for TN_B80_MOST columns, and whatever overflows before it is equal modulo 2^32. So a line costs a load, 10
 * additions of bytes and 6 products for each row of activations: 320 weights, where b64 takes 3 masks and 4 products
 * for 256. It is meant for code that waits for memory, which brings a fifth fewer bytes.
 *
 * Bytes go up to 255, so that it takes products of unsigned and signed bytes without saturation (VNNI): other levels
 * have no code for b80.
 *
 * Kernels of many rows unpack a strip to the panels of tmatmul_rows.c; with AVX-512 VNNI, unless the kernel has panels, 64
 * rows of weights at a time, of which tmatmul_packed.c makes blocks of b64. A plane of a block is a panel of 16 columns, so
 * strips need not begin at a block, but at a plane: a block that a strip shares with its neighbour is unpacked by both, its
 * planes outside the strip into a panel that nobody reads. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"
#include "ir/r64.h"

enum { SUMS = TN_B80_PLANES + 1 };

static int lanes_of(TnBuilder *b) {
    return b->level->bytes / 4;
}

int tn_base3_most_rows(TnBuilder *b) {
    return tn_level_few_registers(b->level) ? 2 : 4;
}

static LLVMValueRef three_times(TnBuilder *b, LLVMValueRef v) {
    return tn_build_add(b, tn_build_add(b, v, v), v);
}

/* The bytes of f for the next digit: 3f modulo 256. LLVM would make 27f of three such steps, which no processor multiplies. */
static LLVMValueRef next_digit(TnBuilder *b, LLVMValueRef f) {
    return tn_build_opaque(b, three_times(b, f));
}

/* Adds the products of n lines from w on; sum[(row * pieces + piece) * SUMS + p]. */
static void add_lines(TnBuilder *b, const TnBeside *p, int64_t n, LLVMValueRef w, LLVMValueRef x,
                      LLVMValueRef *sum) {
    int size = b->level->bytes;
    for (int64_t j = 0; j < n; j++) {
        LLVMValueRef line = tn_build_atc(b, w, j * TN_LINE), a[8];
        tn_build_ahead(b, line);
        for (int r = 0; r < p->n_x; r++) {
            LLVMValueRef four =
                tn_build_load(b, b->t_i32, tn_build_atc(b, tn_beside_row(b, p, x, r), 4 * j), 4);
            a[r] = tn_build_bitcast(b, tn_build_splat(b, four, lanes_of(b)), tn_tmatmul_bytes(b));
        }
        for (int h = 0; h < p->pieces; h++) {
            LLVMValueRef f =
                tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, line, h * size), (unsigned)size);
            for (int q = 0; q < SUMS; q++) {
                for (int r = 0; r < p->n_x; r++) {
                    LLVMValueRef *s = &sum[(r * p->pieces + h) * SUMS + q];
                    *s = tn_tmatmul_dot(b, *s, f, a[r]);
                }
                if (q < SUMS - 1) f = next_digit(b, f);
            }
        }
    }
}

/* Lines of a turn of the loop. With 18 or 24 sums LLVM would begin lines of which it can hold no bytes, and spill. */
static int64_t lines_together(const TnBeside *p) {
    return p->n_x * p->pieces > 2 ? 1 : 4;
}

/* The sums of a whole row of weights. */
static void sums(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef *sum) {
    int n = p->n_x * p->pieces * SUMS;
    int64_t lines = (p->w->dim[1] + 3) / 4, together = lines_together(p), whole = lines / together * together;
    for (int i = 0; i < n; i++) sum[i] = LLVMConstNull(tn_tmatmul_ints(b));
    if (whole) {
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, whole), together);
        for (int i = 0; i < n; i++) sum[i] = tn_build_carry(b, &l, sum[i]);
        LLVMValueRef from = tn_build_walk(b, &l, w, together * TN_LINE),
                     codes = tn_build_walk(b, &l, x, together * 4);
        add_lines(b, p, together, from, codes, sum);
        for (int i = 0; i < n; i++) tn_build_next(&l, i, sum[i]);
        tn_build_loop_end(b, &l);
        for (int i = 0; i < n; i++) sum[i] = l.out[i];
    }
    add_lines(b, p, lines - whole, tn_build_atc(b, w, whole * TN_LINE), tn_build_atc(b, x, whole * 4), sum);
}

/* The results of row r, less the sum of its codes; `at`: bytes in the row of results. */
static void put(TnBuilder *b, const TnBeside *p, int r, const LLVMValueRef *sum, LLVMValueRef x,
                LLVMValueRef at) {
    LLVMValueRef codes = tn_build_load(b, b->t_i32, tn_build_atc(b, tn_beside_row(b, p, x, r), 4), 4),
                 minus = tn_build_splat(b, codes, lanes_of(b)),
                 eight = tn_build_splat_const(b, tn_build_i32(b, 8), lanes_of(b));
    for (int h = 0; h < p->pieces; h++)
        for (int q = 0; q < TN_B80_PLANES; q++) {
            const LLVMValueRef *f = &sum[(r * p->pieces + h) * SUMS + q];
            LLVMValueRef v = tn_build_ashr(b, tn_build_sub(b, three_times(b, f[0]), f[1]), eight);
            LLVMValueRef to = tn_build_atc(b, p->out[r], 4 * (TN_B80_PLANE * q + h * lanes_of(b)));
            tn_build_store(b, tn_build_sub(b, v, minus), tn_build_at(b, to, at), 4);
        }
}

void tn_base3_block(TnBuilder *b, const TnBeside *p, LLVMValueRef w, LLVMValueRef x, LLVMValueRef at) {
    LLVMValueRef sum[TN_LOOP_CARRIES] = {NULL};
    TN_CHECK(b->level->dot == TN_DOT_VNNI);
    TnLoop h = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_LINE), p->pieces * b->level->bytes);
    sums(b, p, tn_build_at(b, w, h.i), tn_build_atc(b, x, p->head), sum);
    for (int r = 0; r < p->n_x; r++) put(b, p, r, sum, x, tn_build_add(b, at, h.i));
    tn_build_loop_end(b, &h);
}

/* ---- Panels */

/* The digit that a byte begins with, 0 to 2. */
static LLVMValueRef digit(TnBuilder *b, LLVMValueRef f) {
    int size = b->level->bytes;
    LLVMValueRef least[2];
    for (int i = 0; i < 2; i++) {
        LLVMValueRef bound = tn_build_splat_const(b, LLVMConstInt(b->t_i8, i ? 171 : 86, 0), size);
        least[i] = tn_build_zext(b, tn_build_icmp(b, LLVMIntUGE, f, bound), tn_tmatmul_bytes(b));
    }
    return tn_build_add(b, least[0], least[1]);
}

/* The panels of the planes and pieces of a block, whose row 0 is the strip's column `first` (i64, maybe negative):
 * those of columns 0 to n - 1, else the one after them all. */
static void find_panels(TnBuilder *b, LLVMValueRef panels, LLVMValueRef first, LLVMValueRef n,
                        int64_t panel_bytes, LLVMValueRef to[TN_B80_PLANES][4]) {
    int lanes = lanes_of(b), pieces = TN_LINE / b->level->bytes;
    LLVMValueRef spare = tn_build_sdiv(b, tn_build_add(b, n, tn_build_i64(b, lanes - 1)),
                                       tn_build_i64(b, lanes)); /* past the last one */
    for (int q = 0; q < TN_B80_PLANES; q++)
        for (int h = 0; h < pieces; h++) {
            LLVMValueRef c = tn_build_add(b, first, tn_build_i64(b, TN_B80_PLANE * q + lanes * h));
            LLVMValueRef number = tn_build_sdiv(b, c, tn_build_i64(b, lanes));
            number = tn_build_select(b, tn_build_icmp(b, LLVMIntULT, c, n), number, spare);
            to[q][h] = tn_build_elem(b, panels, number, panel_bytes);
        }
}

/* Unpacks a block of weights at w to these panels. */
static void unpack(TnBuilder *b, LLVMValueRef w, LLVMValueRef to[TN_B80_PLANES][4]) {
    int64_t k = tn_tmatmul_weights(b)->dim[1], lines = (k + 3) / 4,
            steps = tn_tmatmul_lines(k) * TN_CODES / 4;
    int size = b->level->bytes, pieces = TN_LINE / size;
    TnLoop i = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, lines), 1);
    LLVMValueRef from = tn_build_walk(b, &i, w, TN_LINE), at = tn_build_mul(b, i.i, tn_build_i64(b, size));
    tn_build_ahead(b, from);
    for (int h = 0; h < pieces; h++) {
        LLVMValueRef f =
            tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, from, h * size), (unsigned)size);
        for (int q = 0; q < TN_B80_PLANES; q++) {
            tn_build_store(b, digit(b, f), tn_build_at(b, to[q][h], at), (unsigned)size);
            if (q < TN_B80_PLANES - 1) f = next_digit(b, f);
        }
    }
    tn_build_loop_end(b, &i);
    if (steps == lines) return;
    TnLoop j = tn_build_loop(b, tn_build_i64(b, lines), tn_build_i64(b, steps), 1);
    LLVMValueRef none = LLVMConstNull(tn_tmatmul_bytes(b)); /* the codes of activations there are 0 */
    for (int q = 0; q < TN_B80_PLANES; q++)
        for (int h = 0; h < pieces; h++)
            tn_build_store(b, none, tn_build_elem(b, to[q][h], j.i, size), (unsigned)size);
    tn_build_loop_end(b, &j);
}

/* void (w, i64 lead, i64 n, panels): w is the block in which the strip begins, `lead` rows after its first one. */
static LLVMValueRef prepare_function(TnBuilder *b) {
    const TnType *t = tn_tmatmul_weights(b);
    char name[96];
    snprintf(name, sizeof name, "tmatmul_base3_panels_k%lld", (long long)t->dim[1]);
    tn_build_ahead_name(b, TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, TN_COUNT(params), &fn);
    if (!back) return fn;
    LLVMValueRef lead = LLVMGetParam(fn, 1), n = LLVMGetParam(fn, 2), to[TN_B80_PLANES][4];
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_add(b, lead, n), TN_B80_ROWS);
    LLVMValueRef w = tn_build_walk(b, &l, LLVMGetParam(fn, 0), TN_B80_ROWS * (int64_t)tn_row_bytes(t));
    find_panels(b, LLVMGetParam(fn, 3), tn_build_sub(b, l.i, lead), n, tn_tmatmul_panel_bytes(b, t->dim[1]),
                to);
    unpack(b, w, to);
    tn_build_loop_end(b, &l);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_base3_prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef panels) {
    LLVMValueRef rows = tn_build_i64(b, TN_B80_ROWS),
                 lead = tn_build_sub(b, s->col, tn_build_mul(b, tn_build_sdiv(b, s->col, rows), rows));
    int64_t bytes = (int64_t)tn_row_bytes(tn_tmatmul_weights(b));
    LLVMValueRef w = tn_build_at(b, s->w, tn_build_neg(b, tn_build_mul(b, lead, tn_build_i64(b, bytes))));
    LLVMValueRef args[] = {w, lead, s->n, panels};
    tn_build_call_function(b, prepare_function(b), args, TN_COUNT(args));
}
