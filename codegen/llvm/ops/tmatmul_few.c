/* tmatmul with 2 to 8 rows of activations, without tiles (tmatmul_amx_few.c has them). The weights still
 * stream from memory and are unpacked once for all rows, in the order of groups.c.
 *
 * A block has as many columns as a register has lanes for their sums (rows x columns <= lanes), so it ends
 * with one transposing tree. A line of each column gives four planes, shifted down and masked. Each plane is
 * multiplied by 64 activations of every row as they lie, so nothing is transposed. For 8 rows with VNNI, a
 * line of 256 weights takes 7 operations for its planes and 32 products on two ports: 19.5 cycles, of which
 * products alone are 16. The tree takes 45 operations for two columns, which is one more cycle a line at K =
 * 2560.
 *
 *   VNNI, SDOT   sums of i32
 *   MADDUBS      (AVX2) sums of i16, for as many lines as are proved to fit (ir/range.h: 8)
 *   SMLAL        likewise (8 lines); a sum takes two registers
 *
 * With MADDUBS there is a function for each number of rows. The others have a function for each even number;
 * with one row less it computes the last row twice. Up to 4 rows that costs nothing, since the product waits
 * for memory; 5 and 7 rows take as long as 6 and 8. In return, code for a model is made in five sixths of the
 * time. */
#include <stdio.h>
#include "codegen/llvm/ops/ternary.h"
#include "codegen/llvm/skeletons/groups.h"
#include "ir/range.h"

typedef struct Few {
    TnGroups g;
    LLVMValueRef out[TN_FEW], minus; /* rows of acc; -sum(a), with a lane for each sum */
    LLVMValueRef last;               /* bytes from the first row of activations to the last */
} Few;

/* The number of rows of the function that is used for n. */
static int rows_for(TnBuilder *b, int n) {
    return b->level->dot == TN_DOT_MADDUBS ? n : (n + 1) / 2 * 2;
}

static TnGroups groups(TnBuilder *b, int64_t k, int n) {
    TnDot dot = tn_llvm_dot(b->level, tn_tmatmul_weights(b), TN_FEW);
    int64_t lines = tn_tmatmul_lines(k);
    TnGroups g = {.n_x = n, .columns = b->level->bytes / 4 / n, .steps = lines, .x_bytes = TN_CODES};
    if (b->level->dot == TN_DOT_SDOT) g.columns = n <= 6 ? 4 : 2;  /* 24 sums at most */
    if (b->level->dot == TN_DOT_SMLAL) g.columns = n <= 4 ? 2 : 1; /* 8 sums at most */
    if (tn_level_narrow(b->level)) {
        g.narrow = tn_range_widen(&dot, k);
        TN_CHECK(g.narrow > 0);
    }
    g.n_sums = n * g.columns;
    g.step_bytes = TN_LINE;
    g.row_bytes = lines * TN_LINE;
    return g;
}

int64_t tn_tmatmul_few_buf(TnBuilder *b, int64_t k) {
    int64_t most = 64;
    for (int n = 1; n <= TN_FEW; n++) {
        TnGroups g = groups(b, k, rows_for(b, n));
        int64_t bytes = tn_build_groups_buf(b, &g);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Multiplies a line of each column of a block by the rows at x and adds to sum[row * columns + column]. */
static void line(TnBuilder *b, const void *user, LLVMValueRef *w, LLVMValueRef x, LLVMValueRef *sum) {
    const Few *f = user;
    const TnGroups *g = &f->g;
    int size = b->level->bytes;
    int64_t row_bytes = TN_Q8_HEAD + g->steps * TN_CODES;
    for (int at = 0; at < TN_LINE; at += size) {
        LLVMValueRef c[16][4];
        for (int j = 0; j < g->columns; j++) {
            LLVMValueRef codes =
                tn_build_load(b, tn_tmatmul_bytes(b), tn_build_atc(b, w[j], at), (unsigned)size);
            for (int q = 0; q < 4; q++) c[j][q] = tn_tmatmul_plane(b, codes, q);
        }
        for (int q = 0; q < 4; q++) {
            for (int r = 0; r < g->n_x; r++) {
                LLVMValueRef a =
                    r < g->n_x - 1 ? tn_build_atc(b, x, r * row_bytes) : tn_build_at(b, x, f->last);
                a = tn_build_atc(b, a, q * TN_LINE + at);
                a = tn_build_load(b, tn_tmatmul_bytes(b), a, (unsigned)size);
                for (int j = 0; j < g->columns; j++) {
                    LLVMValueRef *s = &sum[r * g->columns + j];
                    *s = tn_level_narrow(b->level) ? tn_build_narrow_add(b, *s, c[j][q], a)
                                                   : tn_tmatmul_dot(b, *s, c[j][q], a);
                }
            }
        }
    }
}

/* Stores the sums in the block's columns of all rows. May write columns past the strip's end. */
static void store_sums(TnBuilder *b, const void *user, LLVMValueRef *sum, LLVMValueRef col) {
    const Few *f = user;
    int columns = f->g.columns;
    LLVMValueRef all = tn_build_add(b, tn_build_groups_trees(b, &f->g, sum), f->minus);
    for (int r = 0; r < f->g.n_x; r++) {
        int lane[16];
        for (int i = 0; i < columns; i++) lane[i] = r * columns + i;
        tn_build_store(b, tn_build_shuffle(b, all, all, lane, columns), tn_build_elem(b, f->out[r], col, 4),
                       4);
    }
}

/* void (w, i64 count, x, i64 n_x, acc, i64 stride, buf) for every n_x with rows_for(n_x) == n */
static LLVMValueRef few_function(TnBuilder *b, int64_t k, int n) {
    char name[64];
    snprintf(name, sizeof name, "tmatmul_k%lld%s_few%d", (long long)k, tn_tmatmul_name(b), n);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 7, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), x = LLVMGetParam(fn, 2);
    LLVMValueRef n_x = LLVMGetParam(fn, 3), acc = LLVMGetParam(fn, 4), stride = LLVMGetParam(fn, 5);
    LLVMValueRef buf = LLVMGetParam(fn, 6), last = tn_build_sub(b, n_x, tn_build_i64(b, 1));
    Few f = {.g = groups(b, k, n)};
    f.g.step = line, f.g.finish = store_sums, f.g.user = &f;
    int lanes = b->level->bytes / 4, width = (f.g.n_sums + lanes - 1) / lanes * lanes;
    int64_t row_bytes = TN_Q8_HEAD + f.g.steps * TN_CODES;
    f.last = tn_build_mul(b, last, tn_build_i64(b, row_bytes));
    LLVMValueRef none = LLVMConstNull(LLVMVectorType(b->t_i32, (unsigned)width));
    f.minus = none; /* first with a lane for each row, then, after the shuffle, for each sum */
    for (int r = 0; r < n; r++) {
        LLVMValueRef row = r < n - 1 ? tn_build_i64(b, r) : last;
        LLVMValueRef a = tn_build_neg(
            b, tn_build_load(b, b->t_i32, tn_build_atc(b, tn_build_elem(b, x, row, row_bytes), 4), 4));
        f.minus = tn_build_insert(b, f.minus, a, r);
        f.out[r] = tn_build_at(b, acc, tn_build_mul(b, stride, row));
    }
    int lane[64];
    for (int i = 0; i < width; i++) lane[i] = i < f.g.n_sums ? i / f.g.columns : width;
    f.minus = tn_build_shuffle(b, f.minus, none, lane, width);
    tn_build_groups(b, &f.g, w, count, tn_build_atc(b, x, TN_Q8_HEAD), buf);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_few(TnBuilder *b, int64_t k, const TnStrip *s) {
    LLVMValueRef args[] = {s->w, s->n, s->x, s->n_x, s->acc, s->stride, s->buf};
    int64_t most = tn_build_most_rows(b, b->k->root);
    TnDim rows = b->g->nodes[b->k->root].type.dim[0];
    bool step = most <= TN_FEW && tn_dim_is_sym(rows) && tn_dim_sym(rows) == TN_T; /* all rows of a step */
    int least = step ? (int)b->g->rows_lo : 1, top = (int)(most < TN_FEW ? most : TN_FEW);
    for (int i = least; i <= top; i = rows_for(b, i) + 1) {
        TnIf is = tn_build_if_between(b, s->n_x, i, rows_for(b, i));
        tn_build_call_function(b, few_function(b, k, rows_for(b, i)), args, 7);
        tn_build_if_end(b, &is);
    }
}
