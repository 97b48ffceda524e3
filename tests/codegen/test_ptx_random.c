/* Random graphs for PTX levels: each kernel of a planned graph, run by a machine in software on what the evaluator has made so
 * far, gives the evaluator's bits. TERN_TEST_GRAPHS=n runs n graphs instead of a few, TERN_TEST_FROM=s begins with seed s. */
#include "codegen/ptx_cases.h"
#include "support/randgraph.h"

enum { GRAPHS = 60, LEAD_MOST = 128 };

static uint32_t refused, kernels, graphs;

/* A block of attention whose sum is NaN makes its row NaN whatever its max is, and a max over NaN depends on the order of a
 * reduction: clears such maxima. */
static void forget_maxima(const TnGraph *g, Memory *m, const int64_t *sym) {
    for (uint32_t i = m->n_in; i < m->n; i++) {
        const TnNode *n = &g->nodes[m->ref[i]];
        if (n->op != TN_OP_attend_blocks) continue;
        int64_t head = g->nodes[n->args[1]].type.dim[2], heads = g->nodes[n->args[0]].type.dim[1] / head;
        int64_t rows = tn_attr_int(n, TN_ATTR_n);
        for (int64_t b = 0; b < tn_type_rows(&n->type, sym); b++)
            for (int64_t at = 0; at < rows * heads; at++) {
                float *row = (float *)((char *)m->p[i] + (size_t)b * tn_row_bytes(&n->type));
                float *most = row + at / heads * heads * (head + 2) + heads * head + at % heads;
                if (most[heads] != most[heads]) *most = 0;
            }
    }
}

/* Runs kernel k both ways; the evaluator's results stay in *e. */
static void check_kernel(const TnGraph *g, uint32_t k, TnEval *e, const int64_t *sym, const char *what) {
    TnBuf text = {0};
    size_t target = !strcmp(g->level, ptx_targets[1].target);
    TnPtx b = ptx_emit(g, k, target, &text, what);
    PtxModule *code = ptx_load(&text, target, what);
    Memory in = parity_memory(g, k, sym), want;
    void *operands[TN_OPERANDS_MAX];
    for (uint32_t i = 0; i < in.n; i++) {
        operands[i] = tn_eval_data(e, in.ref[i]);
        if (in.bytes[i]) memcpy(in.p[i], operands[i], in.bytes[i]);
    }
    void *scratch = parity_alloc(tn_eval_kernel_scratch(g, k, sym), 0xff);
    tn_eval_kernel(g, k, operands, sym, scratch);
    want = parity_copy(&in);
    for (uint32_t i = 0; i < in.n; i++)
        if (in.bytes[i]) memcpy(want.p[i], operands[i], in.bytes[i]);
    Memory got = ptx_launch_kernel(g, k, &b, code, &in, sym, LEAD_MOST, what);
    forget_maxima(g, &want, sym);
    forget_maxima(g, &got, sym);
    parity_compare(g, &want, &got, sym, what);
    free(scratch);
    parity_memory_free(&got);
    parity_memory_free(&want);
    parity_memory_free(&in);
    ptx_module_free(code);
    tn_buf_free(&text);
    kernels++;
}

static void check_step(const TnGraph *g, TnEval *e, const RandStep *s, uint64_t seed) {
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        if (n->op == TN_OP_input && tn_encs[n->type.enc].kind != TN_CACHE)
            rand_fill(s, tn_attr_str(n, TN_ATTR_name), tn_eval_data(e, r));
    }
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        char what[160];
        snprintf(what, sizeof what, "seed %llu, %s, kernel @%s, %lld rows of %lld", (unsigned long long)seed,
                 g->level, g->kernels[k].name, (long long)s->sym[TN_T], (long long)g->rows_hi);
        check_kernel(g, k, e, s->sym, what);
    }
}

static void check_graph(uint64_t seed) {
    static const struct { int64_t lo, hi; } classes[] = {{1, 1}, {2, 8}, {9, 40}};
    size_t class = seed % 3;
    TnKv kv = (TnKv)(TN_KV_F16 + seed / 3 % (TN_KV_COUNT - TN_KV_F16));
    TnGraph *g = (seed % 7 == 6 ? rand_extreme_graph : rand_small_graph)(seed, 1 + (int64_t)(seed % 10));
    TernError err;
    Rand r = {seed * 31 + 7};
    RandStep s = {.sym = {0}};
    TnPassCtx ctx = {.level = ptx_targets[seed / 9 % 2].target,
                     .kv = kv,
                     .rows_lo = classes[class].lo,
                     .rows_hi = classes[class].hi,
                     .head = TN_ENC_f16};
    TernStatus status = tn_graph_lower(g, TN_STAGE_PLANNED, &ctx, &err);
    if (status == TERN_ERR_UNSUPPORTED) {
        if (!refused++) printf("refused: %s\n", err.text);
        tn_graph_destroy(g);
        return;
    }
    if (status != TERN_OK) fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
    for (int step = 0; step < 2; step++) {
        TnEval *e = NULL;
        if (step == 0) memset(&s, 0, sizeof s);
        rand_step(&s, g, &r, rand_in(&r, classes[class].lo, classes[class].hi));
        if (tn_eval_create(g, NULL, s.sym, &e, &err) != TERN_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
        check_step(g, e, &s, seed);
        tn_eval_destroy(e);
    }
    graphs++;
    tn_graph_destroy(g);
}

static void test_graphs(void **state) {
    (void)state;
    const char *count = getenv("TERN_TEST_GRAPHS"), *from = getenv("TERN_TEST_FROM");
    uint64_t n = count ? strtoull(count, NULL, 10) : GRAPHS, first = from ? strtoull(from, NULL, 10) : 0;
    for (uint64_t seed = first; seed < first + n; seed++) check_graph(seed);
    if (!from) {
        check_graph(5000031); /* its f32 table has a shadow, so it must not become f16 */
        check_graph(
            5003319); /* a product of one row that is multiplied by the row from which its codes were made */
    }
    printf("%u graphs, %u kernels, %u graphs refused\n", graphs, kernels, refused);
    assert_true(graphs > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_graphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
