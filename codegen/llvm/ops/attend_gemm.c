/* The small GEMM of attention over many rows, whose columns are the query heads of a run (attend_rows.c): S = K q and
 * O = O + V p * w. Six columns at a time, in registers with 64 rows (6 x 4 of 32 registers) or 16 (6 x 2 of 16), so that each
 * output is one chain in index order.
 *
 * Of the last block a run may see only some positions. Of these S and the steps of O end there: S at a multiple of the rows in
 * registers (of half of them where they are all 64), O at the position itself. A step more with p = 0 would change no bit.
 *
 * On the target xsmm the GEMM is libxsmm's (codegen/xsmm), which has no weights; then O is added up in a second pass. */
#include <stdio.h>
#include <string.h>
#include "codegen/llvm/ops/attend.h"

void tn_attend_symbol(char out[48], const char *target, int64_t m, int64_t k) {
    snprintf(out, 48, "%s_f32_%lldx%dx%lld", target, (long long)m, TN_ATTEND_COLS, (long long)k);
}

/* The target's function for C[6][m]. It is only declared: the flattener binds it to its code. NULL if the target has none. */
static LLVMValueRef given_gemm(TnBuilder *b, int64_t m, int64_t k) {
    char name[48];
    tn_attend_symbol(name, b->k->target ? b->k->target : "", m, k);
    bool given = false;
    for (size_t i = 0; b->given && i < b->given->n; i++)
        given = given || strcmp(b->given->symbols[i].name, name) == 0;
    if (!given) return NULL;
    LLVMValueRef fn = LLVMGetNamedFunction(b->m, name);
    if (fn) return fn;
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr};
    fn = tn_build_function(b, name, params, TN_COUNT(params), true);
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
    return fn;
}

/* ---- Our own. void (x, y, z, i64 rows, i64 depth, w): C = z has `rows` rows of its m, sums `depth` steps of its k, and a
 * weight of each column in w, by which it is multiplied and added to what is there; without weights it is stored. */

enum { X, Y, Z, ROWS, DEPTH, WEIGHTS, PARAMS };

typedef struct Gemm {
    int64_t m, k;
    int lanes; /* rows in registers: a power of two */
    bool weighed;
} Gemm;

/* y + (x + 0) * w */
static LLVMValueRef weighed(TnBuilder *b, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef w) {
    x = tn_build_fadd(b, x, LLVMConstNull(LLVMTypeOf(x)));
    return tn_build_fadd(b, y, tn_build_fmul(b, x, tn_build_splat(b, w, lanes)));
}

/* Rows first .. first + lanes - 1 of C. */
static void tile(TnBuilder *b, const Gemm *g, LLVMValueRef fn, LLVMValueRef first, int lanes) {
    LLVMTypeRef type = LLVMVectorType(b->t_f32, (unsigned)lanes);
    LLVMValueRef x = tn_build_elem(b, LLVMGetParam(fn, X), first, 4);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), LLVMGetParam(fn, DEPTH), 1);
    LLVMValueRef acc[TN_ATTEND_COLS];
    for (int c = 0; c < TN_ATTEND_COLS; c++) acc[c] = tn_build_carry(b, &l, LLVMConstNull(type));
    LLVMValueRef at = tn_build_walk(b, &l, x, g->m * 4), y = tn_build_walk(b, &l, LLVMGetParam(fn, Y), 4);
    LLVMValueRef row = tn_build_load(b, type, at, 4);
    for (int c = 0; c < TN_ATTEND_COLS; c++) {
        LLVMValueRef v = tn_build_load(b, b->t_f32, tn_build_atc(b, y, c * g->k * 4), 4);
        tn_build_next(&l, c, tn_build_fma(b, tn_build_splat(b, v, lanes), row, acc[c]));
    }
    tn_build_loop_end(b, &l);
    LLVMValueRef z = tn_build_elem(b, LLVMGetParam(fn, Z), first, 4);
    for (int c = 0; c < TN_ATTEND_COLS; c++) {
        LLVMValueRef to = tn_build_atc(b, z, c * g->m * 4), v = l.out[c];
        if (g->weighed) {
            LLVMValueRef w = tn_build_load(b, b->t_f32, tn_build_atc(b, LLVMGetParam(fn, WEIGHTS), c * 4), 4);
            v = weighed(b, lanes, v, tn_build_load(b, type, to, 4), w);
        }
        tn_build_store(b, v, to, 4);
    }
}

static LLVMValueRef gemm_function(TnBuilder *b, const Gemm *g) {
    char name[64];
    snprintf(name, sizeof name, "gemm_f32_%lldx%dx%lld_%d%s", (long long)g->m, TN_ATTEND_COLS,
             (long long)g->k, g->lanes, g->weighed ? "_weighed" : "");
    LLVMTypeRef params[PARAMS] = {b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, PARAMS, &fn);
    if (!back) return fn;
    int64_t done = g->m / g->lanes * g->lanes;
    LLVMValueRef end = tn_build_min(b, LLVMGetParam(fn, ROWS), tn_build_i64(b, done));
    TnLoop tiles = tn_build_loop(b, tn_build_i64(b, 0), end, g->lanes);
    tile(b, g, fn, tiles.i, g->lanes);
    tn_build_loop_end(b, &tiles);
    for (int lanes = g->lanes / 2; lanes > 0; lanes /= 2) {
        if (done + lanes > g->m) continue;
        tile(b, g, fn, tn_build_i64(b, done), lanes);
        done += lanes;
    }
    return tn_build_shared_end(b, back);
}

static int lanes_of(const TnBuilder *b, int64_t m) {
    int most = b->level->bytes == 32 ? 16 : b->level->bytes, lanes = 1;
    while (lanes * 2 <= most && lanes * 2 <= m) lanes *= 2;
    return lanes;
}

/* ---- Over the columns of a run */

typedef struct Columns {
    LLVMValueRef x, y, z, rows, depth, weights; /* `weights` may be NULL */
    LLVMValueRef n;
} Columns;

/* Calls fn, which has n_args of its parameters, for six columns after six. */
static void columns(TnBuilder *b, const Columns *c, int64_t m, int64_t k, LLVMValueRef fn, unsigned n_args) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), c->n, TN_ATTEND_COLS);
    LLVMValueRef args[PARAMS] = {
        c->x,
        tn_build_elem(b, c->y, l.i, k * 4),
        tn_build_elem(b, c->z, l.i, m * 4),
        c->rows,
        c->depth,
        c->weights ? tn_build_elem(b, c->weights, l.i, 4) : LLVMConstNull(b->t_ptr),
    };
    tn_build_call_function(b, fn, args, n_args);
    tn_build_loop_end(b, &l);
}

void tn_attend_multiply_keys(TnBuilder *b, const TnAttend *a, LLVMValueRef keys, LLVMValueRef s,
                             LLVMValueRef n, LLVMValueRef seen) {
    int64_t m = TN_PAGE, k = a->head;
    Columns c = {keys, a->query, s, seen, tn_build_i64(b, k), NULL, n};
    LLVMValueRef given = given_gemm(b, m, k);
    if (given) {
        columns(b, &c, m, k, given, Z + 1);
        return;
    }
    Gemm whole = {m, k, lanes_of(b, m), false}, half = {m, k, TN_PAGE / 2, false};
    if (whole.lanes < TN_PAGE) {
        columns(b, &c, m, k, gemm_function(b, &whole), PARAMS);
        return;
    }
    TnIf few = tn_build_if(b, tn_build_icmp(b, LLVMIntSLE, seen, tn_build_i64(b, half.lanes)));
    columns(b, &c, m, k, gemm_function(b, &half), PARAMS);
    tn_build_else(b, &few);
    columns(b, &c, m, k, gemm_function(b, &whole), PARAMS);
    tn_build_if_end(b, &few);
}

void tn_attend_multiply_values(TnBuilder *b, const TnAttend *a, LLVMValueRef values, LLVMValueRef p,
                               LLVMValueRef weights, LLVMValueRef n, LLVMValueRef seen) {
    int64_t m = a->head, k = TN_PAGE;
    Columns c = {values, p, a->all, tn_build_i64(b, m), seen, weights, n};
    LLVMValueRef given = given_gemm(b, m, k);
    if (!given) {
        Gemm g = {m, k, lanes_of(b, m), true};
        columns(b, &c, m, k, gemm_function(b, &g), PARAMS);
        return;
    }
    c.z = a->block;
    columns(b, &c, m, k, given, Z + 1);
    int lanes = lanes_of(b, m & -m); /* divides m */
    TnLoop cols = tn_build_loop(b, tn_build_i64(b, 0), n, 1);
    LLVMValueRef w = tn_build_load(b, b->t_f32, tn_build_elem(b, weights, cols.i, 4), 4);
    LLVMValueRef from = tn_build_elem(b, a->block, cols.i, m * 4),
                 to = tn_build_elem(b, a->all, cols.i, m * 4);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, m), lanes);
    LLVMTypeRef type = LLVMVectorType(b->t_f32, (unsigned)lanes);
    LLVMValueRef y = tn_build_elem(b, to, l.i, 4),
                 x = tn_build_load(b, type, tn_build_elem(b, from, l.i, 4), 4);
    tn_build_store(b, weighed(b, lanes, x, tn_build_load(b, type, y, 4), w), y, 4);
    tn_build_loop_end(b, &l);
    tn_build_loop_end(b, &cols);
}
