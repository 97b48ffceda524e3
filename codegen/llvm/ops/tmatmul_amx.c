/* tmatmul with many rows on AMX tiles. A panel (tmatmul_rows.c) is [k/4][16 columns][4 codes]. 64 codes of
 * its k are 16 lines of 64 bytes, which are the right operand of tdpbsud as they lie. The left operand is 16
 * q8 rows by 64 codes, loaded in place. The distance of q8 rows is an odd number of lines, so the 16 lines of
 * a tile fall into 16 sets of the cache. Sums are 16 rows by 16 columns and are stored where the strip has
 * them, so the epilogue sees no difference. The products are signed activations times unsigned codes, less
 * sum(a), with which the strip is filled first.
 *
 * There are 2 x 2 tiles of sums. Their 4 products of 16 cycles need 4 tiles of 1 KB, so 64 bytes a cycle. L1
 * gives that (two lines a cycle: 32 cycles in 64), L2 does not (48 bytes at best). So K is cut into chunks of
 * 512. A chunk of a strip of 64 columns is 32 KB and stays in L1 (48 KB) while all rows of the block are
 * multiplied by it. For 32 rows x 64 columns x 512, which is 1024 cycles of products, L2 gives 16 KB of rows,
 * and twice 8 KB of sums go there and back. The chunk itself comes from L2 once for each block. With 128 rows
 * in a block that is 40 KB in 1024 cycles, most of it while the tiles are busy. A longer chunk means fewer
 * sums to move, but leaves less room for rows.
 *
 * If the last rows are fewer than 32, they go one tile of rows at a time. The last tile has as many rows as
 * are left: its shape is an argument, so it goes into the tile configuration.
 *
 * Tiles are values of LLVM's x86_amx type. LLVM assigns registers to them and configures them once a call. */
#include <llvm-c/Core.h>
#include "codegen/llvm/ops/ternary.h"

enum { ROWS = 16, DEPTH = 64, CHUNK = 8, TILE = ROWS * DEPTH }; /* CHUNK: in units of DEPTH codes */

static LLVMValueRef i16(TnBuilder *b, int v) {
    return LLVMConstInt(b->t_i16, (uint64_t)v, 0);
}

LLVMValueRef tn_tile_load(TnBuilder *b, LLVMValueRef rows, int bytes, LLVMValueRef ptr, LLVMValueRef stride) {
    LLVMValueRef args[] = {rows, i16(b, bytes), ptr, stride};
    return tn_build_call(b, "llvm.x86.tileloadd64.internal", NULL, 0, args, 4);
}

void tn_tile_store(TnBuilder *b, LLVMValueRef rows, int bytes, LLVMValueRef ptr, LLVMValueRef stride,
                   LLVMValueRef tile) {
    LLVMValueRef args[] = {rows, i16(b, bytes), ptr, stride, tile};
    tn_build_call(b, "llvm.x86.tilestored64.internal", NULL, 0, args, 5);
}

static LLVMValueRef tile_load(TnBuilder *b, LLVMValueRef rows, LLVMValueRef ptr, LLVMValueRef stride) {
    return tn_tile_load(b, rows, DEPTH, ptr, stride);
}

static LLVMValueRef tile_dot(TnBuilder *b, LLVMValueRef rows, LLVMValueRef sum, LLVMValueRef x,
                             LLVMValueRef c) {
    LLVMValueRef args[] = {rows, i16(b, DEPTH), i16(b, DEPTH), sum, x, c};
    return tn_build_call(b, "llvm.x86.tdpbsud.internal", NULL, 0, args, 6);
}

/* Sets all columns of rows [0, n_x) to -sum(a). */
static void fill(TnBuilder *b, LLVMValueRef count, LLVMValueRef x, int64_t row_bytes, LLVMValueRef n_x,
                 LLVMValueRef acc, LLVMValueRef stride) {
    LLVMValueRef zero = tn_build_i64(b, 0);
    TnLoop r = tn_build_loop(b, zero, n_x, 1);
    LLVMValueRef sum = tn_build_load(b, b->t_i32, tn_build_atc(b, tn_build_elem(b, x, r.i, row_bytes), 4), 4);
    LLVMValueRef minus = tn_build_splat(b, tn_build_neg(b, sum), TN_LANES);
    LLVMValueRef to = tn_build_at(b, acc, tn_build_mul(b, stride, r.i));
    TnLoop c = tn_build_loop(b, zero, count, TN_LANES);
    tn_build_store(b, minus, tn_build_elem(b, to, c.i, 4), 4);
    tn_build_loop_end(b, &c);
    tn_build_loop_end(b, &r);
}

typedef struct Call {
    LLVMValueRef panels, count, all, x, n_x, acc,
        stride; /* parameters; all: codes of a row, a multiple of 256 */
} Call;

/* Like tn_build_shared, for void (panels, i64 count, i64 all, x, i64 n_x, acc, i64 stride). */
static LLVMBasicBlockRef begin(TnBuilder *b, const char *name, Call *c, LLVMValueRef *out_fn) {
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_i64, b->t_ptr, b->t_i64, b->t_ptr, b->t_i64};
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 7, out_fn);
    LLVMValueRef fn = *out_fn;
    *c = (Call){LLVMGetParam(fn, 0), LLVMGetParam(fn, 1), LLVMGetParam(fn, 2), LLVMGetParam(fn, 3),
                LLVMGetParam(fn, 4), LLVMGetParam(fn, 5), LLVMGetParam(fn, 6)};
    return back;
}

/* Tiles of rows and of sums, for two panels. */
typedef struct Tiles {
    int n;                    /* tiles of rows */
    LLVMValueRef rows;        /* i16: rows of each tile */
    LLVMValueRef panel;       /* the first of two adjacent panels */
    LLVMValueRef x, x_stride; /* rows of activations, and i64 bytes from one to the next */
    LLVMValueRef out;         /* rows of sums, c->stride bytes apart */
} Tiles;

/* Multiplies codes [from, to) of the rows, in units of DEPTH, by the panels and adds the products to the
 * sums. */
static void product(TnBuilder *b, const Call *c, const Tiles *t, LLVMValueRef from, LLVMValueRef to) {
    LLVMValueRef at[4], sum[4], sixteen = i16(b, ROWS), depth = tn_build_i64(b, DEPTH);
    LLVMValueRef next_rows = tn_build_mul(b, t->x_stride, tn_build_i64(b, ROWS));
    LLVMValueRef next_out = tn_build_mul(b, c->stride, tn_build_i64(b, ROWS));
    for (int i = 0; i < 2 * t->n; i++) {
        at[i] = tn_build_atc(b, i / 2 ? tn_build_at(b, t->out, next_out) : t->out, i % 2 * DEPTH);
        sum[i] = tile_load(b, t->rows, at[i], c->stride);
    }
    TnLoop k = tn_build_loop(b, from, to, 1);
    for (int i = 0; i < 2 * t->n; i++) sum[i] = tn_build_carry(b, &k, sum[i]);
    LLVMValueRef p0 = tn_build_elem(b, t->panel, k.i, TILE);
    LLVMValueRef p1 = tn_build_at(b, p0, tn_build_mul(b, c->all, tn_build_i64(b, ROWS)));
    LLVMValueRef codes[] = {tile_load(b, sixteen, p0, depth), tile_load(b, sixteen, p1, depth)};
    LLVMValueRef row = tn_build_elem(b, t->x, k.i, DEPTH);
    for (int i = 0; i < t->n; i++) {
        LLVMValueRef a = tile_load(b, t->rows, i ? tn_build_at(b, row, next_rows) : row, t->x_stride);
        for (int p = 0; p < 2; p++)
            tn_build_next(&k, 2 * i + p, tile_dot(b, t->rows, sum[2 * i + p], a, codes[p]));
    }
    tn_build_loop_end(b, &k);
    for (int i = 0; i < 2 * t->n; i++) tn_tile_store(b, t->rows, DEPTH, at[i], c->stride, k.out[i]);
}

/* For n_x rows, a multiple of 32. */
static LLVMValueRef full_function(TnBuilder *b) {
    static const char name[] = "tmatmul_amx";
    Call c;
    LLVMValueRef fn;
    LLVMBasicBlockRef back = begin(b, name, &c, &fn);
    if (!back) return fn;
    LLVMValueRef zero = tn_build_i64(b, 0), end = tn_build_lshr(b, c.all, tn_build_i64(b, 6));
    LLVMValueRef x_stride = tn_build_add(b, c.all, tn_build_i64(b, TN_Q8_HEAD));
    TnLoop k = tn_build_loop(b, zero, end, CHUNK);
    LLVMValueRef to = tn_build_min(b, tn_build_add(b, k.i, tn_build_i64(b, CHUNK)), end);
    TnLoop r = tn_build_loop(b, zero, c.n_x, 2 * ROWS);
    LLVMValueRef x = tn_build_at(b, c.x, tn_build_mul(b, x_stride, r.i));
    LLVMValueRef acc = tn_build_at(b, c.acc, tn_build_mul(b, c.stride, r.i));
    TnLoop n = tn_build_loop(b, zero, c.count, 2 * ROWS);
    Tiles t = {.n = 2, .rows = i16(b, ROWS), .x_stride = x_stride};
    t.out = tn_build_elem(b, acc, n.i, 4);
    t.x = tn_build_atc(b, x, TN_Q8_HEAD);
    t.panel = tn_build_at(b, c.panels, tn_build_mul(b, c.all, n.i));
    product(b, &c, &t, k.i, to);
    tn_build_loop_end(b, &n);
    tn_build_loop_end(b, &r);
    tn_build_loop_end(b, &k);
    return tn_build_shared_end(b, back);
}

/* For 1 to 16 rows. */
static LLVMValueRef last_function(TnBuilder *b) {
    static const char name[] = "tmatmul_amx_last";
    Call c;
    LLVMValueRef fn;
    LLVMBasicBlockRef back = begin(b, name, &c, &fn);
    if (!back) return fn;
    LLVMValueRef rows = tn_build_trunc(b, c.n_x, b->t_i16);
    LLVMValueRef zero = tn_build_i64(b, 0), end = tn_build_lshr(b, c.all, tn_build_i64(b, 6));
    LLVMValueRef x_stride = tn_build_add(b, c.all, tn_build_i64(b, TN_Q8_HEAD));
    TnLoop n = tn_build_loop(b, zero, c.count, 2 * ROWS);
    Tiles t = {.n = 1, .rows = rows, .x_stride = x_stride};
    t.out = tn_build_elem(b, c.acc, n.i, 4);
    t.x = tn_build_atc(b, c.x, TN_Q8_HEAD);
    t.panel = tn_build_at(b, c.panels, tn_build_mul(b, c.all, n.i));
    product(b, &c, &t, zero, end);
    tn_build_loop_end(b, &n);
    return tn_build_shared_end(b, back);
}

void tn_tmatmul_amx_strips(TnBuilder *b, int64_t k, const TnStrip *s) {
    int64_t all = tn_tmatmul_lines(k) * TN_CODES, row_bytes = TN_Q8_HEAD + all;
    LLVMValueRef zero = tn_build_i64(b, 0), codes = tn_build_i64(b, all);
    LLVMValueRef full = tn_build_and(b, s->n_x, tn_build_i64(b, -2 * ROWS));
    fill(b, s->n, s->x, row_bytes, s->n_x, s->acc, s->stride);
    TnIf any = tn_build_if(b, tn_build_icmp(b, LLVMIntSGT, full, zero));
    LLVMValueRef args[] = {s->w, s->n, codes, s->x, full, s->acc, s->stride};
    tn_build_call_function(b, full_function(b), args, 7);
    tn_build_if_end(b, &any);
    TnLoop l = tn_build_loop(b, full, s->n_x, ROWS);
    LLVMValueRef here = tn_build_min(b, tn_build_sub(b, s->n_x, l.i), tn_build_i64(b, ROWS));
    LLVMValueRef rest[] = {s->w,     s->n,
                           codes,    tn_build_elem(b, s->x, l.i, row_bytes),
                           here,     tn_build_at(b, s->acc, tn_build_mul(b, s->stride, l.i)),
                           s->stride};
    tn_build_call_function(b, last_function(b), rest, 7);
    tn_build_loop_end(b, &l);
}
