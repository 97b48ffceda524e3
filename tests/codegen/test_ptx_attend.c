/* attend, attend_blocks and attend_join as PTX, run by a machine in software, against the evaluator: odd head dims, groups,
 * windows, every type of cache, contexts that cross pages. With TERN_TEST_PTXAS set, ptxas assembles every text too. */
#include "codegen/attend_cases.h"
#include "codegen/ptx_cases.h"

/* attend, or the halves that split makes of it, as kernels 0 and 1. */
static TnGraph *halves(const Case *c) {
    char text[1024];
    snprintf(text, sizeof text,
             "  kernel @blocks0 {root=attend_blocks, target=ptx, axis=rows, grain=1, units=%d, barrier=1}\n"
             "    %%b: f32[P,%d] = attend_blocks %%q, %%k0, %%v0, %%pos, %%slot, %%table {scale=%a, "
             "window=%d, n=%d, off=0}\n"
             "  end\n"
             "  kernel @join0 {root=none, target=ptx, axis=rows, grain=1, units=1, barrier=1}\n"
             "    %%y: f32[T,%d] = attend_join %%b, %%pos {window=%d, n=%d, heads=%d, off=0}\n"
             "  end\n"
             "  %%o: f32[T,%d] = output %%y {name=\"hidden\"}\n",
             c->units, c->t * c->heads * (c->head + 2), (double)(1.0f / sqrtf((float)c->head)), c->window,
             c->t, c->heads * c->head, c->window, c->t, c->heads, c->heads * c->head);
    return graph(c, "ref", text);
}

static void compare(const TnGraph *g, uint32_t kernel, size_t target, const Memory *m, const int64_t *sym,
                    const char *what) {
    TnBuf text = {0};
    TnPtx b = ptx_emit(g, kernel, target, &text, what);
    PtxModule *code = ptx_load(&text, target, what);
    ptx_compare(g, kernel, &b, code, m, sym, what);
    ptx_module_free(code);
    tn_buf_free(&text);
}

/* attend_blocks writes only blocks that rows see; attend_join reads what the evaluator wrote. */
static void compare_halves(const Case *c, size_t target, const Memory *m, const int64_t *sym,
                           const char *what) {
    TnGraph *g = halves(c);
    Memory blocks = parity_memory(g, 0, sym), joined = parity_memory(g, 1, sym);
    for (uint32_t i = 0; i < blocks.n_in; i++) memcpy(blocks.p[i], m->p[i], m->bytes[i]);
    memset(blocks.p[blocks.n_in], 0, blocks.bytes[blocks.n_in]);
    compare(g, 0, target, &blocks, sym, what);
    void *scratch = parity_alloc(tn_eval_kernel_scratch(g, 0, sym), 0xff);
    tn_eval_kernel(g, 0, blocks.p, sym, scratch);
    free(scratch);
    memcpy(parity_named(g, &joined, "b"), blocks.p[blocks.n_in], blocks.bytes[blocks.n_in]);
    memcpy(parity_named(g, &joined, "pos"), parity_named(g, &blocks, "pos"), (size_t)c->t * 4);
    compare(g, 1, target, &joined, sym, what);
    parity_memory_free(&blocks);
    parity_memory_free(&joined);
    tn_graph_destroy(g);
}

static void check(const Case *c, size_t i) {
    int64_t sym[TN_SYM_COUNT];
    char what[200];
    size_t target = i % TN_COUNT(ptx_targets);
    attend_symbols(c, sym);
    attend_name(c, ptx_targets[target].target, what);
    TnGraph *g = whole(c, "ref", "ptx");
    Memory m = parity_memory(g, 0, sym);
    fill(g, &m, c, sym);
    compare(g, 0, target, &m, sym, what);
    if (c->t <= 8) compare_halves(c, target, &m, sym, what);
    parity_memory_free(&m);
    tn_graph_destroy(g);
}

static void matches_the_evaluator(void **state) {
    (void)state;
    static const Case cases[] = {
        {4, 2, 64, 0, 2, 1, "f16", 0, 0},    {4, 2, 64, 0, 2, 1, "f16", 0, 0},
        {20, 5, 128, 0, 5, 2, "f16", 0, 0},  {4, 2, 64, 0, 2, 7, "i8", 0, 0},
        {3, 1, 64, 0, 1, 7, "f32", 0, 0},    {3, 3, 48, 70, 3, 7, "i8", 0, 0},
        {4, 1, 128, 200, 1, 2, "f32", 0, 0}, {6, 2, 64, 64, 2, 33, "f16", 0, 0},
        {4, 2, 32, 1, 2, 7, "f32", 0, 0},    {4, 2, 100, 0, 4, 1, "i8", 0, 0},
        {2, 2, 33, 0, 1, 5, "f16", 0, 0},    {2, 1, 33, 0, 1, 3, "f32", 0, 0},
        {2, 1, 33, 0, 1, 3, "i8", 0, 0},     {9, 1, 20, 0, 1, 5, "f32", 0, 0},
        {8, 2, 96, 90, 8, 2, "f16", 0, 0},   {40, 8, 33, 0, 8, 2, "i8", 0, 0},
        {1, 1, 2, 0, 1, 2, "i8", 0, 0},      {2, 1, 256, 0, 1, 2, "f16", 0, 0},
        {1, 1, 320, 0, 1, 2, "f16", 0, 0},   {1, 1, 1, 0, 1, 2, "f32", 0, 0},
        {6, 2, 64, 0, 2, 7, "f16", 0, 2},    {6, 2, 48, 70, 2, 7, "i8", 0, 2},
        {4, 1, 64, 40, 1, 7, "f16", 0, 1},   {4, 2, 64, 0, 2, 33, "i8", 0, 0},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) check(&cases[i], i);
}

/* A prompt whose rows pass the end of a page. */
static void takes_runs_of_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(attend_runs); i++)
        if (attend_runs[i].t < 40) check(&attend_runs[i], i);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches_the_evaluator),
                                       cmocka_unit_test(takes_runs_of_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
