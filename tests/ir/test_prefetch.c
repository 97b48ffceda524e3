/* How a kernel reads its weights, the distances of prefetches and panels, is printed, parsed, compared, and refused if it is
 * wrong. */
#include "ir/tir_text.h"

/* A planned graph with one kernel, whose line is given. */
static TernStatus parse(const char *kernel, TnGraph **out, TnDiag *diag) {
    static char text[2000]; /* the text in which the verifier's column is looked up */
    TnGraph **gs;
    uint32_t n;
    snprintf(text, sizeof text,
             "tir 1\n"
             "graph @t stage=planned level=avx2 kv=f16 rows=1..1\n"
             "  $w: f16[64,32] = random {seed=1}\n"
             "  %%x: f32[T,32] = input {name=\"x\"}\n"
             "  kernel @k {%s, barrier=0}\n"
             "    %%y: f32[T,64] = matmul %%x, $w {off=0}\n"
             "  end\n"
             "  %%o: f32[T,64] = output %%y {name=\"hidden\"}\n"
             "end\n",
             kernel);
    diag->source = text;
    diag->source_bytes = strlen(text);
    TernStatus s = tn_parse(text, strlen(text), "k.tir", &gs, &n, diag);
    if (s != TERN_OK) return s;
    *out = gs[0];
    free(gs);
    s = tn_verify(*out, diag);
    if (s == TERN_OK) {
        TnBuf printed = {0};
        tn_print_file((TnGraph *[]){*out}, 1, &printed);
        assert_string_equal(printed.data, text); /* one spelling */
        tn_buf_free(&printed);
    } else {
        tn_graph_destroy(*out);
    }
    return s;
}

#define COLS "root=matmul, target=llvm, axis=cols, grain=64, units=1"

static void printed_as_read(void **state) {
    (void)state;
    static const struct {
        const char *line;
        TnPrefetch want;
    } all[] = {{COLS, {{{0}}}},
               {COLS ", prefetch_l1=1024", {{{1024}}}},
               {COLS ", prefetch_l2=12288", {{{0, 12288}}}},
               {COLS ", prefetch_l1=64, prefetch_l2=1048576, prefetch_past=64", {{{64, 1 << 20, 64}}}},
               {COLS ", listed_l1=4, listed_l2=64, listed_past=1", {{{0}, {4, 64, 1}}}},
               {COLS ", prefetch_l2=64, columns_l1=1, columns_l2=60, columns_past=124",
                {{{0, 64}, {0}, {1, 60, 124}}}}};
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        TnDiag d = {0};
        TnGraph *g;
        if (parse(all[i].line, &g, &d) != TERN_OK) fail_msg("%s", d.text.data);
        assert_true(tn_prefetch_equal(&g->kernels[0].prefetch, &all[i].want));
        TnGraph *other = tn_graph_clone(g);
        assert_true(tn_graph_equal(g, other));
        for (TnStream s = 0; s < TN_STREAM_COUNT; s++)
            for (TnInto into = 0; into < TN_INTO_COUNT; into++) {
                other->kernels[0] = g->kernels[0];
                other->kernels[0].prefetch.ahead[s][into] += 64;
                assert_false(tn_graph_equal(g, other));
            }
        tn_graph_destroy(other);
        tn_graph_destroy(g);
        tn_diag_free(&d);
    }
}

static void panels_are_a_fact_of_the_plan(void **state) {
    (void)state;
    TnDiag d = {0};
    TnGraph *with, *without;
    if (parse(COLS ", prefetch_l1=64, panels=1", &with, &d) != TERN_OK) fail_msg("%s", d.text.data);
    assert_true(with->kernels[0].panels);
    if (parse(COLS ", prefetch_l1=64", &without, &d) != TERN_OK) fail_msg("%s", d.text.data);
    assert_false(without->kernels[0].panels);
    assert_false(tn_graph_equal(with, without));
    without->kernels[0].panels = true;
    assert_true(tn_graph_equal(with, without));
    tn_graph_destroy(with);
    tn_graph_destroy(without);
    tn_diag_free(&d);
}

static void wrong_ones_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *line, *want;
    } all[] = {
        {COLS ", prefetch_l1=100",
         "k.tir:5:82: prefetch_l1=100, expected a multiple of 64 from 0 to 1048576\n"},
        {COLS ", prefetch_l1=-64",
         "k.tir:5:82: prefetch_l1=-64, expected a multiple of 64 from 0 to 1048576\n"},
        {COLS ", prefetch_l1=0, prefetch_l2=1048640",
         "k.tir:5:97: prefetch_l2=1048640, expected a multiple of 64 from 0 to 1048576\n"},
        {COLS ", prefetch_l2=1e3", "k.tir:5:82: "},
        {COLS ", prefetch_l1=64, prefetch_l1=64", "k.tir:5:86: attribute 'prefetch_l1' is given twice\n"},
        {"root=matmul, target=llvm, axis=rows, grain=1, units=1, prefetch_l1=64",
         "k.tir:5:3: kernel @k: got prefetch_l1 with axis=rows, expected it with axis=cols alone\n"},
        {COLS ", panels=2", "k.tir:5:77: panels=2, expected 0 or 1\n"},
        {"root=matmul, target=llvm, axis=rows, grain=1, units=1, panels=1",
         "k.tir:5:3: kernel @k: got panels with axis=rows, expected it with axis=cols alone\n"},
        {COLS ", listed_l2=65", "k.tir:5:80: listed_l2=65, expected 0 to 64\n"},
        {COLS ", columns_past=-1", "k.tir:5:83: columns_past=-1, expected 0 to 124\n"},
    };
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        TnDiag d = {0};
        TnGraph *g;
        assert_int_equal(parse(all[i].line, &g, &d), TERN_ERR_INPUT);
        if (strncmp(d.text.data, all[i].want, strlen(all[i].want)) != 0)
            fail_msg("'%s', expected '%s'", d.text.data, all[i].want);
        tn_diag_free(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(printed_as_read),
                                       cmocka_unit_test(panels_are_a_fact_of_the_plan),
                                       cmocka_unit_test(wrong_ones_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
