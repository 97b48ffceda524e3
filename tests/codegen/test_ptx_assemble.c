/* NVIDIA's assembler over the ptx target's kernels: those of the trained model, for each architecture, without spills; and a
 * table of what becomes of products in the shapes of published models: registers, and how many loads are issued before the
 * first product, which is what makes them fast. The table is tests/data/ptx_products.txt; TERN_REFRESH=1 writes it.
 *
 * It is for one version of ptxas. Another one is only asked whether it spills. */
#include "codegen/ptx_cases.h"
#include "codegen/ptx_assembled.h"
#include "frontends/gguf/gguf.h"

#define TABLE TERN_SOURCE_DIR "/tests/data/ptx_products.txt"

/* ---- the trained model */

static void trained_model(void **state) {
    (void)state;
    if (skipped()) skip();
    static const struct {
        const char *level, *target;
    } targets[] = {{"sm_80", "sm_80"},
                   {"sm_80", "sm_86"},
                   {"sm_80", "sm_89"},
                   {"sm_90a", "sm_90a"},
                   {"sm_80", "sm_100"}};
    TernError err = {0};
    TnGguf *gg;
    TnGraph *g;
    TnFacts facts;
    if (tn_gguf_open(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", false, &gg, &err)) fail_msg("%s", err.text);
    if (tn_gguf_graph(gg, &(TnGgufOptions){0}, &g, &facts, &err)) fail_msg("%s", err.text);
    TnWeights weights = tn_gguf_weights(gg);
    for (size_t i = 0; i < TN_COUNT(targets); i++) {
        TnCompileOptions o = {
            .levels = &targets[i].level, .n_levels = 1, .head = i % 2 ? TN_ENC_s6 : TN_ENC_COUNT};
        TnBuf text = {0};
        if (tn_compile_show(g, &weights, &facts, &o, "ptx", &text, &err)) fail_msg("%s", err.text);
        Assembled a = assemble(&text, targets[i].target, "");
        uint32_t n = check_spills(&a, targets[i].target);
        print_message("%s: %u kernels\n", targets[i].target, n);
        assert_true(n > 30);
        assembled_free(&a);
        tn_buf_free(&text);
    }
    tn_graph_destroy(g);
    tn_gguf_close(gg);
}

/* ---- products */

static TnBuf table;

/* @main of the text said so far, for steps of up to rows_hi rows. */
static void add_row(const char *name, int rows_hi) {
    for (size_t t = 0; t < TN_COUNT(ptx_targets); t++) {
        TnGraph *g = case_graph(ptx_targets[t].target, rows_hi);
        TnBuf text = {0};
        uint32_t kernel = 0;
        while (strcmp(g->kernels[kernel].name, "main")) kernel++;
        g->rows_lo = rows_hi == 1 ? 1 : 2;
        (void)ptx_emit(g, kernel, t, &text, name);
        Assembled a = assemble(&text, ptx_targets[t].target, "");
        check_spills(&a, name);
        Counts c = count(&a, "kernel_0");
        tn_buf_printf(&table, "%-24s %4d %-7s %9u %5u %6u %5u %5u %5u\n", name, rows_hi,
                      ptx_targets[t].target, c.registers, c.loads, c.before, c.idp, c.imma, c.ffma);
        assembled_free(&a);
        tn_buf_free(&text);
        tn_graph_destroy(g);
    }
}

static void say_main(const char *root, int grain, int m) {
    say("kernel @main {root=%s, target=ptx, axis=cols, grain=%d, units=%d, barrier=1}\n", root, grain,
        (m + grain - 1) / grain);
}

/* A ternary product with what the passes put around it: norm and quantiser before it in the class of one row. */
static void ternary(const char *name, int m, int k, int grain) {
    static const int classes[] = {1, 8, 512};
    for (size_t i = 0; i < TN_COUNT(classes); i++) {
        say("$w: p64[%d,%d] scale=0x1p-3 = random {seed=5}\n$g: f32[%d] = random {seed=9}\n", m, k, k);
        if (classes[i] == 1)
            say("%%x: f32[T,%d] = input {name=\"x\"}\n", k);
        else
            say_q8(k);
        say_main("tmatmul", classes[i] > 8 && grain < 64 ? 64 : grain, m);
        if (classes[i] == 1)
            say("%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,%d] = quant %%n\n", k, k);
        say("%%a: i32[T,%d] = tmatmul %%q, $w\n%%y: f32[T,%d] = dequant %%a, %%q, $w {off=1048576}\nend\n", m,
            m);
        add_row(name, classes[i]);
        case_done();
    }
}

static void by_groups(const char *name, int m, int k) {
    static const int classes[] = {1, 8, 512};
    for (size_t i = 0; i < TN_COUNT(classes); i++) {
        say("$w: r64[%d,%d] scale=group:128 = random {seed=5}\n%%x: f32[T,%d] = input {name=\"x\"}\n", m, k,
            k);
        say("kernel @before {root=none, target=ptx, axis=rows, grain=1, units=1, barrier=1}\n"
            "%%q: q8g[T,%d] scale=group:128 = quant_groups %%x {n=128, off=0}\nend\n",
            k);
        say_main("tmatmul_groups", 64, m);
        say("%%y: f32[T,%d] = tmatmul_groups %%q, $w {off=1048576}\nend\n", m);
        add_row(name, classes[i]);
        case_done();
    }
}

static void dense(const char *name, const char *enc, int m, int k) {
    say("$w: %s[%d,%d] = random {seed=5}\n%%x: f32[T,%d] = input {name=\"x\"}\n", enc, m, k, k);
    say_main("matmul", 64, m);
    say("%%y: f32[T,%d] = matmul %%x, $w {off=0}\nend\n", m);
    add_row(name, 1);
    add_row(name, 8);
    case_done();
}

static void products(void **state) {
    (void)state;
    if (skipped()) skip();
    tn_buf_printf(&table, "Products as ptxas " PTXAS_VERSION
                          " assembles them: loads in all, and before the first product\n");
    tn_buf_puts(&table, "kernel                   rows target  registers loads before   idp  imma  ffma\n");
    ternary("qkv 3840x2560", 3840, 2560, 128);
    ternary("o 2560x2560", 2560, 2560, 16);
    ternary("gate|up 13824x2560", 13824, 2560, 64);
    ternary("down 2560x6912", 2560, 6912, 16);
    by_groups("groups 4096x4096", 4096, 4096);
    by_groups("groups 4096x12288", 4096, 12288);
    dense("head f16 128256x2560", "f16", 128256, 2560);
    dense("head f32 151936x4096", "f32", 151936, 4096);
    compare_table(&table, TABLE);
    tn_buf_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(trained_model),
                                       cmocka_unit_test_teardown(products, case_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
