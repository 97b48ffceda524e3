/* The small GEMM of attention over many rows, whose columns are the query heads of a run (attend_rows.c): S = K q and
 * O = O + V p * w. A tile has 32 positions of K, or 32 dims of V, on levels with registers of 64 bytes, else 16. It is widened to
 * floats, which take 16 KB at most in heads of up to 128 dims and stay in L1, and multiplied by all columns, 12 or 6 at a time.
 * Sums are in registers, so that each is one chain in index order.
 *
 * Of the last block a run may see only some positions. S has no more tiles than they take, and O ends at the last one: a step
 * more with p = 0 would change no bit.
 *
 * On the target xsmm the GEMM is libxsmm's (codegen/xsmm). It takes whole pages and 6 columns and has no weights, so O is added
 * up in a second pass. */
#include <stdio.h>
#include <string.h>
#include "codegen/llvm/ops/attend.h"

void tn_attend_symbol(char out[48], const char *target, int64_t m, int64_t k) {
    snprintf(out, 48, "%s_f32_%lldx%dx%lld", target, (long long)m, TN_ATTEND_GIVEN_COLS, (long long)k);
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

/* ---- A tile by some columns */

enum { NARROW_COLS = 6 }; /* on levels with narrower registers */

typedef struct Gemm {
    int64_t m, k;
    int cols, lanes; /* at a time; lanes are rows of a tile, a power of two */
    int64_t stride;  /* bytes from one of the tile's columns to the next */
    bool weighed;
} Gemm;

/* y + (x + 0) * w */
static LLVMValueRef weighed(TnBuilder *b, int lanes, LLVMValueRef x, LLVMValueRef y, LLVMValueRef w) {
    x = tn_build_fadd(b, x, LLVMConstNull(LLVMTypeOf(x)));
    return tn_build_fadd(b, y, tn_build_fmul(b, x, tn_build_splat(b, w, lanes)));
}

/* void (x, y, z, i64 depth, w): C = z has the tile's rows of its m, sums `depth` steps of its k, and is stored; or, if weighed, it
 * is multiplied by the weight of its column in w and added to what is there. */
enum { X, Y, Z, DEPTH, WEIGHTS, PARAMS };

static LLVMValueRef gemm_function(TnBuilder *b, const Gemm *g) {
    char name[64];
    snprintf(name, sizeof name, "gemm_f32_%lldx%dx%lld_%d_%lld%s", (long long)g->m, g->cols, (long long)g->k,
             g->lanes, (long long)g->stride, g->weighed ? "_weighed" : "");
    LLVMTypeRef params[PARAMS] = {b->t_ptr, b->t_ptr, b->t_ptr, b->t_i64, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, PARAMS, &fn);
    if (!back) return fn;
    LLVMTypeRef type = LLVMVectorType(b->t_f32, (unsigned)g->lanes);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), LLVMGetParam(fn, DEPTH), 1);
    LLVMValueRef acc[TN_ATTEND_MOST_COLS];
    for (int c = 0; c < g->cols; c++) acc[c] = tn_build_carry(b, &l, LLVMConstNull(type));
    LLVMValueRef x = tn_build_walk(b, &l, LLVMGetParam(fn, X), g->stride);
    LLVMValueRef y = tn_build_walk(b, &l, LLVMGetParam(fn, Y), 4);
    LLVMValueRef row = tn_build_load(b, type, x, 4);
    for (int c = 0; c < g->cols; c++) {
        LLVMValueRef v = tn_build_load(b, b->t_f32, tn_build_atc(b, y, c * g->k * 4), 4);
        tn_build_next(&l, c, tn_build_fma(b, tn_build_splat(b, v, g->lanes), row, acc[c]));
    }
    tn_build_loop_end(b, &l);
    for (int c = 0; c < g->cols; c++) {
        LLVMValueRef to = tn_build_atc(b, LLVMGetParam(fn, Z), c * g->m * 4), v = l.out[c];
        if (g->weighed) {
            LLVMValueRef w = tn_build_load(b, b->t_f32, tn_build_atc(b, LLVMGetParam(fn, WEIGHTS), c * 4), 4);
            v = weighed(b, g->lanes, v, tn_build_load(b, type, to, 4), w);
        }
        tn_build_store(b, v, to, 4);
    }
    return tn_build_shared_end(b, back);
}

/* ---- Over the columns of a run */

typedef struct Columns {
    LLVMValueRef x, y, z, depth, weights; /* `weights` may be NULL */
    LLVMValueRef n;
} Columns;

/* Calls fn, which has the first n_args of these parameters, for all columns, `at_once` at a time. */
static void columns(TnBuilder *b, const Columns *c, int64_t m, int64_t k, LLVMValueRef fn, int at_once,
                    unsigned n_args) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), c->n, at_once);
    LLVMValueRef args[PARAMS] = {
        c->x,
        tn_build_elem(b, c->y, l.i, k * 4),
        tn_build_elem(b, c->z, l.i, m * 4),
        c->depth,
        c->weights ? tn_build_elem(b, c->weights, l.i, 4) : LLVMConstNull(b->t_ptr),
    };
    tn_build_call_function(b, fn, args, n_args);
    tn_build_loop_end(b, &l);
}

/* Rows first .. first + lanes - 1 of m: widens them if they are not floats, and multiplies them by all columns. */
static void tile(TnBuilder *b, const TnAttend *a, Gemm g, Columns c, LLVMValueRef first, int lanes) {
    c.x = tn_build_elem(b, c.x, first, a->size);
    c.z = tn_build_elem(b, c.z, first, 4);
    g.lanes = lanes;
    g.stride = g.m * 4;
    if (a->size < 4) {
        g.stride = lanes * 4;
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), c.depth, 1);
        LLVMValueRef from = tn_build_walk(b, &l, c.x, g.m * a->size),
                     to = tn_build_walk(b, &l, a->wide, g.stride);
        tn_build_store(b, tn_attend_load(b, a, from, lanes), to, 4);
        tn_build_loop_end(b, &l);
        c.x = a->wide;
    }
    columns(b, &c, g.m, g.k, gemm_function(b, &g), g.cols, PARAMS);
}

/* The first `rows` (i64) of m rows, or some more. */
static void tiles(TnBuilder *b, const TnAttend *a, Gemm g, const Columns *c, LLVMValueRef rows) {
    bool wide = b->level->bytes == 64;
    int lanes = 1;
    while (lanes * 2 <= (wide ? 32 : 16) && lanes * 2 <= g.m) lanes *= 2;
    g.cols = wide ? TN_ATTEND_MOST_COLS : NARROW_COLS;
    int64_t done = g.m / lanes * lanes;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_min(b, rows, tn_build_i64(b, done)), lanes);
    tile(b, a, g, *c, l.i, lanes);
    tn_build_loop_end(b, &l);
    for (lanes /= 2; lanes > 0; lanes /= 2) {
        if (done + lanes > g.m) continue;
        tile(b, a, g, *c, tn_build_i64(b, done), lanes);
        done += lanes;
    }
}

LLVMValueRef tn_attend_widen(TnBuilder *b, const TnAttend *a, LLVMValueRef page) {
    if (a->size == 4) return page;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, TN_PAGE * a->head), 64);
    tn_build_store(b, tn_attend_load(b, a, tn_build_elem(b, page, l.i, a->size), 64),
                   tn_build_elem(b, a->wide, l.i, 4), 64);
    tn_build_loop_end(b, &l);
    return a->wide;
}

bool tn_attend_gives(TnBuilder *b, const TnAttend *a) {
    return given_gemm(b, a->head, TN_PAGE) != NULL;
}

void tn_attend_multiply_keys(TnBuilder *b, const TnAttend *a, LLVMValueRef keys, LLVMValueRef s,
                             LLVMValueRef n, LLVMValueRef seen) {
    int64_t m = TN_PAGE, k = a->head;
    Columns c = {keys, a->query, s, tn_build_i64(b, k), NULL, n};
    LLVMValueRef given = given_gemm(b, m, k);
    if (!given) {
        tiles(b, a, (Gemm){.m = m, .k = k}, &c, seen);
        return;
    }
    c.x = tn_attend_widen(b, a, keys);
    columns(b, &c, m, k, given, TN_ATTEND_GIVEN_COLS, Z + 1);
}

/* a->all = a->all + (a->block + 0) * weights, for n columns. */
static void add_block(TnBuilder *b, const TnAttend *a, LLVMValueRef weights, LLVMValueRef n) {
    int lanes = 1;
    while (lanes < TN_LANES && a->head % (lanes * 2) == 0) lanes *= 2;
    LLVMTypeRef type = LLVMVectorType(b->t_f32, (unsigned)lanes);
    TnLoop cols = tn_build_loop(b, tn_build_i64(b, 0), n, 1);
    LLVMValueRef w = tn_build_load(b, b->t_f32, tn_build_elem(b, weights, cols.i, 4), 4);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->head), lanes);
    LLVMValueRef x = tn_build_elem(b, tn_build_elem(b, a->block, cols.i, a->head * 4), l.i, 4);
    LLVMValueRef y = tn_build_elem(b, tn_build_elem(b, a->all, cols.i, a->head * 4), l.i, 4);
    x = tn_build_load(b, type, x, 4);
    tn_build_store(b, weighed(b, lanes, x, tn_build_load(b, type, y, 4), w), y, 4);
    tn_build_loop_end(b, &l);
    tn_build_loop_end(b, &cols);
}

void tn_attend_multiply_values(TnBuilder *b, const TnAttend *a, LLVMValueRef values, LLVMValueRef p,
                               LLVMValueRef weights, LLVMValueRef n, LLVMValueRef seen) {
    int64_t m = a->head, k = TN_PAGE;
    Columns c = {values, p, a->all, seen, weights, n};
    LLVMValueRef given = given_gemm(b, m, k);
    if (!given) {
        tiles(b, a, (Gemm){.m = m, .k = k, .weighed = true}, &c, tn_build_i64(b, m));
        return;
    }
    c.x = tn_attend_widen(b, a, values);
    c.z = a->block;
    columns(b, &c, m, k, given, TN_ATTEND_GIVEN_COLS, Z + 1);
    add_block(b, a, weights, n);
}
