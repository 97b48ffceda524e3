/* Laws that every pass must keep, held against random graphs:
 *
 *   after any pass the graph verifies (the driver aborts otherwise) and its text parses back to it
 *   outputs and caches are the same before and after, bit for bit, over two steps
 *   a planned graph, run kernel by kernel in an arena of the planned size, gives these bits too, also when
 * the kernels between two barriers run in the opposite order: that is what workers that drift apart may do */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/eval.h"
#include "passes/sample_targets.h"
#include "tests/support/randgraph.h"
#include "support/sanitized.h"

enum { STEPS = 2, GRAPHS = TN_SANITIZED ? 50 : 150 };

/* ---- two steps of a graph: what comes out, as bytes */

typedef struct Steps {
    RandStep step[STEPS];
    int64_t max[TN_SYM_COUNT];
} Steps;

static void make_steps(Steps *s, const TnGraph *g, uint64_t seed, int64_t rows) {
    Rand r = {seed * 77 + 5};
    memset(s, 0, sizeof *s);
    for (int i = 0; i < STEPS; i++) {
        if (i) s->step[i] = s->step[i - 1];
        rand_step(&s->step[i], g, &r, rows ? rows : rand_in(&r, 1, 7));
        for (int k = 0; k < TN_SYM_COUNT; k++)
            if (s->step[i].sym[k] > s->max[k]) s->max[k] = s->step[i].sym[k];
    }
}

/* Rows without their padding, which is not part of the value. */
static void put_value(TnBuf *out, const TnType *t, const void *data, const int64_t *sym) {
    int64_t rows = tn_type_rows(t, sym);
    size_t stride = tn_row_bytes(t), n = (size_t)tn_row_elems(t) * 4;
    for (int64_t i = 0; i < rows; i++) tn_buf_put(out, (const char *)data + (size_t)i * stride, n);
}

/* In an order that passes cannot change: outputs by name, then caches by name. */
static void put_results(TnBuf *out, const TnGraph *g, TnEval *e, const int64_t *sym, const int64_t *max) {
    char name[8];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "o%d", i);
        for (TnRef r = 0; r < g->n; r++)
            if (g->nodes[r].op == TN_OP_output && strcmp(tn_attr_str(&g->nodes[r], TN_ATTR_name), name) == 0)
                put_value(out, &g->nodes[r].type, tn_eval_output(e, name), sym);
    }
    for (int i = 0; i < 2 * RAND_LAYERS; i++) {
        snprintf(name, sizeof name, "%c%d", "kv"[i % 2], i / 2);
        for (TnRef r = 0; r < g->n; r++) /* caches that no kv_put writes may go */
            if (g->nodes[r].op == TN_OP_kv_put &&
                strcmp(tn_attr_str(&g->nodes[tn_alias_root(g, r)], TN_ATTR_name), name) == 0) {
                tn_buf_put(out, tn_eval_input(e, name), tn_type_bytes(&g->nodes[r].type, max));
                break;
            }
    }
}

static void run(const TnGraph *g, const Steps *s, TnBuf *out) {
    TnEval *e;
    TernError err;
    if (tn_eval_create(g, NULL, s->max, &e, &err) != TERN_OK) fail_msg("%s", err.text);
    for (int i = 0; i < STEPS; i++) {
        for (TnRef r = 0; r < g->n; r++)
            if (g->nodes[r].op == TN_OP_input && tn_encs[g->nodes[r].type.enc].kind != TN_CACHE)
                rand_fill(&s->step[i], tn_attr_str(&g->nodes[r], TN_ATTR_name), tn_eval_data(e, r));
        tn_eval_run(e, s->step[i].sym);
        put_results(out, g, e, s->step[i].sym, s->max);
    }
    tn_eval_destroy(e);
}

static void same(const TnBuf *a, const TnBuf *b, uint64_t seed, const char *what, const TnGraph *g) {
    if (a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0)) return;
    TnBuf text = {0};
    tn_print(g, &text);
    print_message("%s\n", text.data);
    fail_msg("seed %llu, %s: other results (%zu and %zu bytes)", (unsigned long long)seed, what, a->len,
             b->len);
}

static void parses_back(void *user, const char *pass, const TnGraph *g, double seconds) {
    (void)seconds;
    TnBuf text = {0};
    TnDiag d = {0};
    TnGraph **back, *one = tn_graph_clone(g);
    uint32_t n;
    tn_print_file(&one, 1, &text);
    if (tn_parse(text.data, text.len, pass, &back, &n, &d) != TERN_OK)
        fail_msg("after %s: %s", pass, d.text.data);
    if (!tn_graph_equal(one, back[0])) fail_msg("after %s: the text parses to another graph", pass);
    tn_graph_destroy(one);
    tn_graph_destroy(back[0]);
    free(back);
    tn_buf_free(&text);
    ++*(int *)user;
}

static TnPassCtx context(int *passes, int64_t lo, int64_t hi) {
    return (TnPassCtx){.level = "avx2",
                       .kv = TN_KV_F32,
                       .rows_lo = lo,
                       .rows_hi = hi,
                       .head = TN_ENC_COUNT,
                       .targets = test_targets,
                       .n_targets = TEST_TARGETS,
                       .after = parses_back,
                       .user = passes};
}

static void must_run(TnGraph *g, const char *list, const TnPassCtx *ctx, uint64_t seed) {
    TernError err;
    if (tn_passes_run(g, list, ctx, &err) != TERN_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
}

/* Each model pass alone, and all of them twice over. */
static void model_passes_keep_the_bits(void **state) {
    (void)state;
    static const char *const lists[] = {"fold",
                                        "cse",
                                        "dce",
                                        "prune",
                                        "prune,prune,merge",
                                        "merge",
                                        "merge,merge",
                                        "merge,dce,cse,fold,merge",
                                        TN_PASSES_MODEL "," TN_PASSES_MODEL};
    uint32_t pruned = 0;
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        TnGraph *g = rand_graph(seed);
        Steps s;
        TnBuf before = {0};
        int passes = 0;
        TnPassCtx ctx = context(&passes, 0, 0);
        make_steps(&s, g, seed, 0);
        run(g, &s, &before);
        for (size_t i = 0; i < TN_COUNT(lists); i++) {
            TnGraph *c = tn_graph_clone(g);
            TnBuf after = {0};
            must_run(c, lists[i], &ctx, seed);
            for (TnRef r = 0; i == 3 && r < c->n; r++) pruned += c->nodes[r].op == TN_OP_keep_cols;
            run(c, &s, &after);
            same(&before, &after, seed, lists[i], c);
            tn_buf_free(&after);
            tn_graph_destroy(c);
        }
        assert_int_equal(passes, 5 + 3 + 2 + 5 + 12);
        tn_buf_free(&before);
        tn_graph_destroy(g);
    }
    assert_true(pruned > GRAPHS / 10); /* there was something to leave out */
}

/* ---- a planned graph in its arena */

typedef struct Arena {
    const TnGraph *g;
    const Steps *s;
    char *space[TN_SYM_COUNT + 1];
    void **data;
} Arena;

static void *zeroed(size_t n) {
    void *p = aligned_alloc(64, (n + 128) / 64 * 64);
    assert_non_null(p);
    memset(p, 0, (n + 128) / 64 * 64);
    return p;
}

static void open_arena(Arena *a, const TnGraph *g, const Steps *s) {
    uint64_t per_row[TN_SYM_COUNT], constant;
    *a = (Arena){.g = g, .s = s, .data = tn_xcalloc(g->n, sizeof *a->data)};
    tn_plan_bytes(g, per_row, &constant);
    for (int i = 0; i <= TN_SYM_COUNT; i++) {
        size_t n = i < TN_SYM_COUNT ? per_row[i] * (uint64_t)s->max[i] : constant;
        a->space[i] = zeroed(n);
        memset(a->space[i], 0xff, n); /* NaN: whoever reads too early shows it */
    }
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        const TnAttr *off = tn_node_attr(n, TN_ATTR_off);
        TernError err;
        if (n->kernel == TN_NONE && tn_ops[n->op].class != TN_SINK) {
            a->data[r] = zeroed(tn_type_bytes(&n->type, s->max));
            if (tn_node_is_source(g, r) && tn_weight_all(g, r, NULL, a->data[r], &err) != TERN_OK)
                fail_msg("%s", err.text);
        } else if (off) {
            int sym = tn_dim_is_sym(n->type.dim[0]) ? (int)tn_dim_sym(n->type.dim[0]) : TN_SYM_COUNT;
            int64_t times = sym < TN_SYM_COUNT ? s->max[sym] : 1;
            a->data[r] = a->space[sym] + off->i * times;
        }
    }
}

static void close_arena(Arena *a) {
    for (TnRef r = 0; r < a->g->n; r++)
        if (a->g->nodes[r].kernel == TN_NONE) free(a->data[r]);
    for (int i = 0; i <= TN_SYM_COUNT; i++) free(a->space[i]);
    free(a->data);
}

static void launch(Arena *a, uint32_t kernel, const int64_t *sym) {
    TnRef ops[64];
    uint32_t n_in, n = tn_kernel_operands(a->g, kernel, ops, &n_in);
    void *ptr[64], *scratch = zeroed(tn_eval_kernel_scratch(a->g, kernel, sym));
    for (uint32_t i = 0; i < n; i++) {
        ptr[i] = a->data[ops[i]];
        assert_non_null(ptr[i]);
    }
    tn_eval_kernel(a->g, kernel, ptr, sym, scratch);
    free(scratch);
}

static void run_planned(const TnGraph *g, const Steps *s, bool backwards, TnBuf *out) {
    Arena a;
    open_arena(&a, g, s);
    TnEval *names; /* for the shape of the results alone; its memory is not used */
    assert_int_equal(tn_eval_create(g, NULL, s->max, &names, NULL), TERN_OK);
    for (int i = 0; i < STEPS; i++) {
        const int64_t *sym = s->step[i].sym;
        for (TnRef r = 0; r < g->n; r++)
            if (g->nodes[r].op == TN_OP_input && tn_encs[g->nodes[r].type.enc].kind != TN_CACHE)
                rand_fill(&s->step[i], tn_attr_str(&g->nodes[r], TN_ATTR_name), a.data[r]);
        for (uint32_t k = 0, end; k < g->n_kernels; k = end) {
            for (end = k + 1; end < g->n_kernels && !g->kernels[end - 1].barrier; end++) {
            }
            for (uint32_t j = k; j < end; j++) launch(&a, backwards ? k + end - 1 - j : j, sym);
        }
        for (TnRef r = 0; r < g->n; r++) {
            const TnNode *n = &g->nodes[r];
            TnRef from = n->op == TN_OP_output ? n->args[0] : r;
            if (n->op != TN_OP_output && n->op != TN_OP_input) continue;
            memcpy(tn_eval_data(names, from), a.data[from],
                   n->op == TN_OP_output ? (size_t)tn_type_rows(&n->type, sym) * tn_row_bytes(&n->type)
                                         : tn_type_bytes(&n->type, s->max));
        }
        put_results(out, g, names, sym, s->max);
    }
    tn_eval_destroy(names);
    close_arena(&a);
}

static void variants_keep_the_bits(void **state) {
    (void)state;
    uint64_t kernels = 0, barriers = 0;
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        for (int variant = 0; variant < 6; variant++) {
            TnGraph *g = rand_graph(seed);
            Steps s;
            TnBuf before = {0}, after = {0}, drifted = {0}, whole = {0};
            int passes = 0;
            bool grid = variant == 5; /* prologues of several rows, other units, no split */
            int64_t rows = grid ? 4 : variant % 2 ? 1 : 0;
            TnPassCtx ctx = context(&passes, rows ? 1 : 2, rows ? rows : 8);
            if (grid) ctx.targets = grid_targets;
            make_steps(&s, g, seed, rows);
            run(g, &s, &before);
            if (variant / 2 == 1 || grid) must_run(g, TN_PASSES_MODEL, &ctx, seed);
            if (variant == 4) rand_kernels(g); /* as a text may group them: a kernel a node */
            must_run(g, variant == 4 ? "layout,tile,plan" : TN_PASSES_VARIANT, &ctx, seed);
            run(g, &s, &whole);
            same(&before, &whole, seed, "node by node", g);
            run_planned(g, &s, false, &after);
            same(&before, &after, seed, "in the arena", g);
            run_planned(g, &s, true, &drifted);
            same(&before, &drifted, seed, "in the arena, workers drifting", g);
            for (uint32_t k = 0; k < g->n_kernels; k++) barriers += g->kernels[k].barrier;
            kernels += g->n_kernels;
            tn_buf_free(&before);
            tn_buf_free(&after);
            tn_buf_free(&drifted);
            tn_buf_free(&whole);
            tn_graph_destroy(g);
        }
    }
    assert_true(barriers * 10 < kernels * 9); /* the order within a stretch was put to the test */
}

/* The same graph and variant give the same text, whatever was done before. */
static void passes_repeat_themselves(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        TnBuf text[2] = {{0}, {0}};
        for (int i = 0; i < 2; i++) {
            TnGraph *g = rand_graph(seed);
            int passes = 0;
            TnPassCtx ctx = context(&passes, 1, 1);
            must_run(g, NULL, &ctx, seed);
            tn_print(g, &text[i]);
            tn_graph_destroy(g);
        }
        assert_string_equal(text[0].data, text[1].data);
        tn_buf_free(&text[0]);
        tn_buf_free(&text[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_passes_keep_the_bits),
        cmocka_unit_test(variants_keep_the_bits),
        cmocka_unit_test(passes_repeat_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
