/* attend: code against the evaluator, for odd head dims, groups, windows, both cache types and every level.
 */
#include "codegen/parity.h"
#include <math.h>
#include "ir/layout.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

typedef struct Case {
    int heads, kv_heads, head, window, units, t;
    const char *kv;
} Case;

/* Caches of shuffled pages; slots of different lengths; NaN in every place that no row may look at. */
static void fill(const TnGraph *g, const Memory *m, const Case *c, const int64_t *sym) {
    float *q = parity_named(g, m, "q");
    int32_t *pos = parity_named(g, m, "pos"), *slot = parity_named(g, m, "slot"),
            *table = parity_named(g, m, "table");
    size_t stride = tn_row_bytes(&g->nodes[m->ref[0]].type) / 4;
    for (int64_t t = 0; t < sym[TN_T]; t++) {
        for (size_t i = 0; i < stride; i++) q[(size_t)t * stride + i] = parity_float();
        slot[t] = (int32_t)(t % sym[TN_S]);
        pos[t] = (int32_t)(parity_u32() % (uint32_t)(sym[TN_P] * TN_PAGE));
    }
    pos[0] = (int32_t)(sym[TN_P] * TN_PAGE - 1);
    if (sym[TN_T] > 1) pos[1] = 0;
    if (sym[TN_T] > 2) pos[2] = 63;
    if (sym[TN_T] > 3) pos[3] = 64;
    for (int64_t i = 0; i < sym[TN_N]; i++) table[i] = (int32_t)(sym[TN_N] - 1 - i);
    for (int which = 0; which < 2; which++) {
        const char *name = which ? "v0" : "k0";
        uint8_t *cache = parity_named(g, m, name);
        size_t n = (size_t)(sym[TN_N] * c->kv_heads * c->head) * TN_PAGE;
        bool half = !strcmp(c->kv, "f16");
        for (size_t i = 0; i < n; i++) {
            float x = parity_float() * 3.0f;
            if (half)
                ((uint16_t *)(void *)cache)[i] = tn_f32_to_f16(x);
            else
                ((float *)(void *)cache)[i] = x;
        }
        /* what lies behind the longest row of each slot was never written: the evaluator never looks, nor may
         * the code show it */
        for (int64_t s = 0; s < sym[TN_S]; s++) {
            int64_t most = 0;
            for (int64_t t = 0; t < sym[TN_T]; t++)
                if (slot[t] == s && pos[t] > most) most = pos[t];
            for (int64_t p = most + 1; p < sym[TN_P] * TN_PAGE; p++)
                for (int64_t i = 0; i < c->kv_heads * c->head; i++) {
                    int64_t page = table[s * sym[TN_P] + p / TN_PAGE], j = p % TN_PAGE, h = i / c->head,
                            d = i % c->head;
                    int64_t at = (page * c->kv_heads * c->head) * TN_PAGE +
                                 (which ? (h * TN_PAGE + j) * c->head + d : (h * c->head + d) * TN_PAGE + j);
                    if (half)
                        ((uint16_t *)(void *)cache)[at] = 0x7e01;
                    else
                        ((float *)(void *)cache)[at] = NAN;
                }
        }
    }
}

static TnGraph *graph(const Case *c, const char *level) {
    TnBuf b = {0};
    int cols = c->heads * c->head;
    tn_buf_printf(
        &b,
        "  %%q: f32[T,%d] = input {name=\"q\"}\n"
        "  %%k0: kc_%s[N,%d,%d] = input {name=\"k0\"}\n"
        "  %%v0: vc_%s[N,%d,%d] = input {name=\"v0\"}\n"
        "  %%pos: i32[T] = input {name=\"pos\"}\n"
        "  %%slot: i32[T] = input {name=\"slot\"}\n"
        "  %%table: i32[S,P] = input {name=\"table\"}\n"
        "  kernel @attend0 {root=attend, target=llvm, axis=rows, grain=1, units=%d, barrier=1}\n"
        "    %%y: f32[T,%d] = attend %%q, %%k0, %%v0, %%pos, %%slot, %%table {scale=%a, window=%d}\n"
        "  end\n"
        "  %%o: f32[T,%d] = output %%y {name=\"hidden\"}\n",
        cols, c->kv, c->kv_heads, c->head, c->kv, c->kv_heads, c->head, c->units, cols,
        (double)(1.0f / sqrtf((float)c->head)), c->window, cols);
    TnGraph *g = parity_graph(level, b.data);
    tn_buf_free(&b);
    return g;
}

static void check(const Case *c) {
    int64_t sym[TN_SYM_COUNT] = {
        [TN_T] = c->t, [TN_S] = 3, [TN_P] = 4, [TN_N] = 12, [TN_R] = 1, [TN_K] = 1, [TN_H] = 1};
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        TnGraph *g = graph(c, parity_levels[i]);
        Memory m = parity_memory(g, 0, sym);
        fill(g, &m, c, sym);
        char what[200];
        snprintf(what, sizeof what, "%s heads %d/%d x %d window %d kv %s", parity_levels[i], c->heads,
                 c->kv_heads, c->head, c->window, c->kv);
        parity_check(g, parity_levels[i], &m, sym, what);
        parity_memory_free(&m);
        tn_graph_destroy(g);
    }
}

static void matches_the_evaluator(void **state) {
    (void)state;
    static const Case cases[] = {
        {4, 1, 128, 0, 1, 7, "f16"}, {10, 5, 128, 0, 5, 5, "f16"}, {3, 1, 64, 0, 1, 6, "f32"},
        {3, 3, 48, 0, 3, 6, "f16"},  {6, 2, 80, 0, 2, 6, "f32"},   {5, 1, 96, 0, 1, 5, "f16"},
        {4, 2, 100, 0, 1, 6, "f16"}, {2, 1, 100, 0, 1, 6, "f32"},  {2, 2, 33, 0, 1, 5, "f16"},
        {4, 4, 16, 0, 4, 5, "f16"},  {9, 1, 20, 0, 1, 5, "f32"},   {4, 1, 64, 70, 1, 7, "f16"},
        {4, 2, 32, 1, 2, 7, "f32"},  {6, 2, 64, 64, 2, 7, "f16"},  {4, 2, 128, 200, 1, 7, "f32"},
        {1, 1, 2, 0, 1, 4, "f16"},   {4, 1, 64, 0, 2, 5, "f16"},   {8, 2, 96, 90, 8, 5, "f32"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) check(&cases[i]);
}

int main(int argc, char **argv) {
    if (argc == 3 &&
        !strcmp(argv[1], "--speed")) { /* by hand: GFLOP/s of one core over a prompt of 512 rows */
        Case c = {20, 5, 128, 0, 5, 512, "f16"};
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = 512, [TN_S] = 1, [TN_P] = 8, [TN_N] = 8};
        TnGraph *g = graph(&c, argv[2]);
        Memory m = parity_memory(g, 0, sym);
        fill(g, &m, &c, sym);
        double flop = 0;
        for (int t = 0; t < 512; t++)
            ((int32_t *)parity_named(g, &m, "pos"))[t] = t, flop += 4.0 * 20 * 128 * (t + 1);
        Compiled k = parity_compile(g, 0, argv[2]);
        void *scratch = parity_alloc((size_t)(k.job.scratch + k.job.scratch_page * 8), 0);
        for (int i = 0; i < 4; i++) {
            double start = tn_os_seconds();
            parity_call(&k, &m, sym, 0, 512 * 5, scratch);
            double s = tn_os_seconds() - start;
            printf("prefill 512: %.2f ms, %.1f GFLOP/s\n", s * 1e3, flop / s * 1e-9);
            start = tn_os_seconds();
            for (int r = 0; r < 100; r++) parity_call(&k, &m, sym, 511 * 5, 512 * 5, scratch);
            s = (tn_os_seconds() - start) / 100;
            printf("decode at 512: %.1f us, %.1f GB/s\n", s * 1e6, 2.0 * 512 * 5 * 128 * 2 / s * 1e-9);
        }
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches_the_evaluator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
