/* Pictures: layers are found by structure, any graph can be drawn, and no name can break the text. */
#include "tests/ir/tir_text.h"
#include "tests/support/randgraph.h"
#include "frontends/tools/dot.h"
#include "frontends/tools/repeat.h"

/* A chain of `layers` equal pieces without a telling name, with an op of its own at both ends. */
static TnGraph *stack(int layers) {
    TnBuf b = {0};
    tn_buf_puts(&b, "  %ids: i32[T] = input {name=\"ids\"}\n  $e: f32[5,3] = random {seed=1}\n"
                    "  %x0: f32[T,3] = embed %ids, $e\n");
    for (int i = 0; i < layers; i++)
        tn_buf_printf(
            &b,
            "  $w%d: f32[3] = random {seed=%d}\n  %%a%d: f32[T,3] = rmsnorm %%x%d, $w%d {eps=0x1p-17}\n"
            "  %%b%d: f32[T,3] = silu %%a%d\n  %%x%d: f32[T,3] = add %%x%d, %%b%d\n",
            i, i, i, i, i, i, i, i + 1, i, i);
    tn_buf_printf(&b, "  %%y: f32[T,3] = relu2 %%x%d\n  %%out: f32[T,3] = output %%y {name=\"a<b>&\\\"c\"}\n",
                  layers);
    TnGraph *g = graph_of(b.data);
    tn_buf_free(&b);
    return g;
}

static void test_repeat(void **state) {
    (void)state;
    for (int layers = 1; layers < 9; layers++) {
        TnGraph *g = stack(layers);
        TnArena arena = {0};
        TnRepeat r;
        tn_repeat_find(g, &arena, &r);
        assert_int_equal(r.count, layers < 2 ? 0 : layers);
        if (layers >= 2) {
            assert_int_equal(r.period, 3);
            assert_int_equal(r.first[ref_of(g, "b1")], ref_of(g, "b0"));
            assert_int_equal(r.piece[ref_of(g, "b1")], 1);
            assert_int_equal(r.piece[ref_of(g, "y")], TN_NONE);
        }
        tn_arena_free(&arena);
        tn_graph_destroy(g);
    }
}

static uint32_t occurrences(const char *text, const char *what) {
    uint32_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++) n++;
    return n;
}

static void test_fold(void **state) {
    (void)state;
    TnGraph *g = stack(7);
    TnBuf all = {0}, folded = {0};
    tn_dot(g, NULL, &all);
    tn_dot(g, &(TnDotOptions){.fold_layers = true}, &folded);
    assert_int_equal(occurrences(all.data, "<b>silu</b>"), 7);
    assert_int_equal(occurrences(folded.data, "<b>silu</b>"), 1);
    assert_int_equal(occurrences(folded.data, "&times; 7"), 1);
    assert_non_null(strstr(all.data, "a&lt;b&gt;&amp;&quot;c"));
    tn_buf_free(&all);
    tn_buf_free(&folded);
    tn_graph_destroy(g);
}

/* Any graph: braces close, and every edge has two boxes. */
static void test_random(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        TnGraph *g = rand_graph(seed);
        for (int mode = 0; mode < 3; mode++) {
            TnBuf b = {0};
            tn_dot(g, &(TnDotOptions){.fold_layers = mode == 1, .one_layer = mode == 2}, &b);
            int64_t depth = 0;
            for (size_t i = 0; i < b.len; i++) depth += b.data[i] == '{' ? 1 : b.data[i] == '}' ? -1 : 0;
            assert_int_equal(depth, 0);
            for (const char *p = b.data; (p = strstr(p, " -> n")); p++) {
                char box[32];
                snprintf(box, sizeof box, "\nn%lu [shape", strtoul(p + 5, NULL, 10));
                if (!strstr(b.data, box)) fail_msg("seed %llu: an edge to nothing", (unsigned long long)seed);
            }
            tn_buf_free(&b);
        }
        TnBuf j = {0};
        tn_json(g, &j);
        assert_int_equal(occurrences(j.data, "\"op\": "), g->n);
        tn_buf_free(&j);
        tn_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeat),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
