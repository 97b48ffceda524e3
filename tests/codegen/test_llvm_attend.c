/* attend: code against the evaluator, for odd head dims, groups, windows, both cache types and every level.
 */
#include "codegen/attend_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

/* The halves: one kernel with n = rows, as split makes it. */
static TnGraph *cut(const Case *c, const char *level) {
    char text[1024];
    snprintf(text, sizeof text,
             "  kernel @blocks0 {root=attend_blocks, target=llvm, axis=rows, grain=1, units=%d, barrier=1}\n"
             "    %%b: f32[P,%d] = attend_blocks %%q, %%k0, %%v0, %%pos, %%slot, %%table {scale=%a, "
             "window=%d, n=%d, off=0}\n"
             "  end\n"
             "  kernel @join0 {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
             "    %%y: f32[T,%d] = attend_join %%b, %%pos {window=%d, n=%d, heads=%d, off=0}\n"
             "  end\n"
             "  %%o: f32[T,%d] = output %%y {name=\"hidden\"}\n",
             c->kv_heads, c->t * c->heads * (c->head + 2), (double)(1.0f / sqrtf((float)c->head)), c->window,
             c->t, c->heads * c->head, c->window, c->t, c->heads, c->heads * c->head);
    return graph(c, level, text);
}

static void same_row(const float *x, const float *y, int n) {
    for (int i = 0; i < n; i++)
        if (x[i] == x[i] || y[i] == y[i]) assert_int_equal(tn_f32_bits(x[i]), tn_f32_bits(y[i]));
}

/* The halves: each against the evaluator, and both together against the whole. */
static void check_cut(const Case *c, const char *level, const Memory *m, const int64_t *sym,
                      const char *what) {
    TnGraph *g = cut(c, level), *uncut = whole(c, level, "llvm");
    Memory blocks = parity_memory(g, 0, sym), joined = parity_memory(g, 1, sym), y = parity_copy(m);
    assert_int_equal(blocks.n, m->n);
    for (uint32_t i = 0; i + 1 < m->n; i++) memcpy(blocks.p[i], m->p[i], m->bytes[i]);
    memset(blocks.p[blocks.n_in], 0, blocks.bytes[blocks.n_in]);
    parity_check(g, level, 0, &blocks, sym, what);
    void *scratch = parity_alloc(tn_eval_kernel_scratch(g, 0, sym), 0xff);
    tn_eval_kernel(g, 0, blocks.p, sym, scratch);
    memcpy(parity_named(g, &joined, "b"), blocks.p[blocks.n_in], blocks.bytes[blocks.n_in]);
    memcpy(parity_named(g, &joined, "pos"), parity_named(g, &blocks, "pos"), (size_t)c->t * 4);
    parity_check(g, level, 1, &joined, sym, what);
    tn_eval_kernel(g, 1, joined.p, sym, scratch);
    free(scratch);
    scratch = parity_alloc(tn_eval_kernel_scratch(uncut, 0, sym), 0xff);
    tn_eval_kernel(uncut, 0, y.p, sym, scratch);
    free(scratch);
    size_t row = tn_row_bytes(&g->nodes[joined.ref[joined.n_in]].type);
    for (int t = 0; t < c->t; t++)
        same_row((float *)joined.p[joined.n_in] + (size_t)t * row / 4,
                 (float *)y.p[y.n_in] + (size_t)t * row / 4, c->heads * c->head);
    parity_memory_free(&blocks);
    parity_memory_free(&joined);
    parity_memory_free(&y);
    tn_graph_destroy(g);
    tn_graph_destroy(uncut);
}

/* What a case is checked in besides the whole kernel at x86's levels: every one costs compiling and, for neon, an
 * emulator's time. */
enum { CUT = 1, /* also in the halves that split makes */ NEON = 2 };

static void check(const Case *c, int how) {
    int64_t sym[TN_SYM_COUNT];
    attend_symbols(c, sym);
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        if (!parity_turn(parity_levels[i])) continue;
        if (!strncmp(parity_levels[i], "neon", 4) && !(how & NEON)) continue;
        TnGraph *g = whole(c, parity_levels[i], "llvm");
        Memory m = parity_memory(g, 0, sym);
        fill(g, &m, c, sym);
        char what[200];
        attend_name(c, parity_levels[i], what);
        parity_check(g, parity_levels[i], 0, &m, sym, what);
        if (how & CUT) check_cut(c, parity_levels[i], &m, sym, what);
        parity_memory_free(&m);
        tn_graph_destroy(g);
    }
}

static void matches_the_evaluator(void **state) {
    (void)state;
    static const struct {
        Case c;
        int how;
    } cases[] = {
        {{20, 5, 128, 0, 5, 1, "f16", 0, 0}, CUT | NEON},
        {{20, 5, 128, 0, 5, 33, "i8", 0, 0}, 0},
        {{20, 5, 64, 100, 5, 2, "f32", 0, 0}, CUT},
        {{3, 1, 64, 0, 1, 7, "f32", 0, 0}, CUT | NEON},
        {{3, 1, 64, 0, 1, 7, "i8", 0, 0}, CUT | NEON},
        {{3, 3, 48, 70, 3, 7, "i8", 0, 0}, CUT},
        {{3, 3, 48, 0, 3, 2, "f16", 0, 0}, CUT},
        {{4, 1, 128, 200, 1, 7, "f32", 0, 0}, 0},
        {{6, 2, 64, 64, 2, 33, "f16", 0, 0}, NEON},
        {{4, 2, 32, 1, 2, 7, "f32", 0, 0}, 0},
        {{4, 2, 100, 0, 4, 1, "i8", 0, 0}, NEON},
        {{2, 2, 33, 0, 1, 5, "f16", 0, 0}, CUT | NEON},
        {{2, 1, 100, 0, 1, 6, "f32", 0, 0}, NEON},
        {{9, 1, 20, 0, 1, 5, "f32", 0, 0}, 0},
        {{8, 2, 96, 90, 8, 8, "f16", 0, 0}, 0},
        {{40, 8, 33, 0, 8, 2, "i8", 0, 0}, CUT | NEON},
        {{1, 1, 2, 0, 1, 2, "i8", 0, 0}, CUT},
        {{6, 2, 64, 0, 2, 7, "f16", 0, 2}, CUT | NEON},
        {{6, 2, 48, 70, 2, 7, "i8", 0, 2}, CUT},
        {{20, 5, 128, 0, 5, 33, "f32", 0, 2}, CUT},
        {{4, 1, 64, 0, 2, 5, "f16", 0, 0}, 0},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) check(&cases[i].c, cases[i].how);
}

static void takes_runs_of_rows_at_once(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(attend_runs); i++) check(&attend_runs[i], i % 4 ? 0 : NEON);
}

int main(int argc, char **argv) {
    if (argc >= 3 &&
        !strcmp(argv[1], "--speed")) { /* by hand: GFLOP/s of one core over a prompt of 512 rows */
        Case c = {20, 5, 128, 0, 5, 512, argc > 3 ? argv[3] : "f16", 0, 0};
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = 512, [TN_S] = 1, [TN_P] = 8, [TN_N] = 8};
        TnGraph *g = whole(&c, argv[2], "llvm");
        Memory m = parity_memory(g, 0, sym);
        fill(g, &m, &c, sym);
        double flop = 0;
        for (int t = 0; t < 512; t++)
            ((int32_t *)parity_named(g, &m, "pos"))[t] = t, flop += 4.0 * 20 * 128 * (t + 1);
        Compiled k = parity_compile(g, 0, argv[2]);
        void *scratch = parity_alloc((size_t)(k.job.scratch + k.job.scratch_page * 8), 0);
        for (int i = 0; i < 4; i++) {
            double start = tn_os_seconds();
            parity_call(&k, &m, sym, 0, 512 * 5, scratch, false);
            double s = tn_os_seconds() - start;
            printf("prefill 512: %.2f ms, %.1f GFLOP/s\n", s * 1e3, flop / s * 1e-9);
            start = tn_os_seconds();
            for (int r = 0; r < 100; r++) parity_call(&k, &m, sym, 511 * 5, 512 * 5, scratch, false);
            s = (tn_os_seconds() - start) / 100;
            printf("decode at 512: %.1f us, %.1f GB/s\n", s * 1e6, 2.0 * 512 * 5 * 128 * 2 / s * 1e-9);
        }
        Case d = {20, 5, 128, 0, 5, 1, c.kv, 0, 0};
        int64_t deep[TN_SYM_COUNT] = {[TN_T] = 1, [TN_S] = 1, [TN_P] = 32, [TN_N] = 32};
        for (int way = 0; way < 2; way++) { /* a row at depth 2,047: whole, and its blocks */
            TnGraph *one = way ? cut(&d, argv[2]) : whole(&d, argv[2], "llvm");
            Memory mem = parity_memory(one, 0, deep);
            fill(one, &mem, &d, deep);
            Compiled code = parity_compile(one, 0, argv[2]);
            void *room = parity_alloc((size_t)(code.job.scratch + code.job.scratch_page * 32), 0);
            for (int i = 0; i < 3; i++) {
                double start = tn_os_seconds();
                for (int r = 0; r < 50; r++) parity_call(&code, &mem, deep, 0, way ? 5 * 32 : 5, room, false);
                double s = (tn_os_seconds() - start) / 50;
                printf("%s at 2047: %.1f us, %.1f GB/s\n", way ? "attend_blocks" : "attend", s * 1e6,
                       (double)(mem.bytes[1] + mem.bytes[2]) / s * 1e-9);
            }
        }
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches_the_evaluator),
                                       cmocka_unit_test(takes_runs_of_rows_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
