/* The laws of diff: a graph equals itself under other names and in another order; one edit gives one line
 * that names the op; the edit is found whatever is above and below it; and a big graph does not hang. */
#include "tests/ir/tir_text.h"
#include "tests/support/hang.h"
#include "tests/support/randgraph.h"
#include "frontends/tools/diff_graphs.h"

/* Two layers like those of models: residual adds around a norm and a ternary matrix. */
static const char *const lines[] = {
    "%ids: i32[T] = input {name=\"ids\"}",
    "$emb: f16[10,64] = gguf {name=\"token_embd.weight\", hash=0x1}",
    "%x: f32[T,64] = embed %ids, $emb",
    "$n0: f32[64] = gguf {name=\"blk.0.ffn_norm.weight\", hash=0x2}",
    "%a0: f32[T,64] = rmsnorm %x, $n0 {eps=0x1p-17}",
    "%q0: q8[T,64] = quant %a0",
    "$w0: i2s[64,64] scale=0x1p-4 = gguf {name=\"blk.0.ffn_up.weight\", hash=0x3}",
    "%m0: i32[T,64] = tmatmul %q0, $w0",
    "%d0: f32[T,64] = dequant %m0, %q0, $w0",
    "%r0: f32[T,64] = relu2 %d0",
    "%y0: f32[T,64] = add %x, %r0",
    "$n1: f32[64] = gguf {name=\"blk.1.ffn_norm.weight\", hash=0x4}",
    "%a1: f32[T,64] = rmsnorm %y0, $n1 {eps=0x1p-17}",
    "%q1: q8[T,64] = quant %a1",
    "$w1: i2s[64,64] scale=0x1p-4 = gguf {name=\"blk.1.ffn_up.weight\", hash=0x5}",
    "%m1: i32[T,64] = tmatmul %q1, $w1",
    "%d1: f32[T,64] = dequant %m1, %q1, $w1",
    "%r1: f32[T,64] = relu2 %d1",
    "%y1: f32[T,64] = add %y0, %r1",
    "%out: f32[T,64] = output %y1 {name=\"logits\"}",
};

/* The body with line `at` replaced by `with` (which may be several lines; NULL: dropped). */
static TnGraph *edited(const char *at, const char *with) {
    TnBuf b = {0};
    bool found = !at;
    for (size_t i = 0; i < TN_COUNT(lines); i++) {
        bool here = at && strncmp(lines[i], at, strlen(at)) == 0;
        found |= here;
        if (here && !with) continue;
        tn_buf_printf(&b, "  %s\n", here ? with : lines[i]);
    }
    assert_true(found);
    TnGraph *g = graph_of(b.data);
    tn_buf_free(&b);
    return g;
}

static void check(TnGraph *a, TnGraph *b, const char *want) {
    TnDiff d;
    tn_diff(a, b, NULL, &d);
    assert_string_equal(d.text.data ? d.text.data : "", want);
    assert_int_equal(tn_diff_any(&d), *want != 0);
    tn_buf_free(&d.text);
    tn_graph_destroy(a);
    tn_graph_destroy(b);
}

static void test_same(void **state) {
    (void)state;
    check(edited(NULL, NULL), edited(NULL, NULL), "");
    /* other names are not a difference */
    TnGraph *a = edited(NULL, NULL), *b = edited(NULL, NULL);
    for (TnRef r = 0; r < b->n; r++) b->nodes[r].name = tn_sprintf(&b->arena, "%u", 1000 - r);
    TnDiff d;
    tn_diff(a, b, NULL, &d);
    assert_false(tn_diff_any(&d));
    assert_int_equal(d.renamed, a->n);
    tn_buf_free(&d.text);
    tn_graph_destroy(a);
    tn_graph_destroy(b);
}

static void test_one_op(void **state) {
    (void)state;
    check(edited(NULL, NULL), edited("%r0", "%r0: f32[T,64] = silu %d0"),
          "~ %r0 relu2 -> silu (l0.ffn, f32[T,64]) at test:12, test:12\n");
    check(edited(NULL, NULL), edited("%r1", "%s: f32[T,64] = silu %d1\n  %r1: f32[T,64] = relu2 %s"),
          "+ %s silu %d1 (l1.ffn, f32[T,64]) at test:20\n");
    check(edited("%r1", "%s: f32[T,64] = silu %d1\n  %r1: f32[T,64] = relu2 %s"), edited(NULL, NULL),
          "- %s silu %d1 (l1.ffn, f32[T,64]) at test:20\n");
    check(edited(NULL, NULL), edited("%a1", "%a1: f32[T,64] = rmsnorm %y0, $n1 {eps=0x1p-20}"),
          "~ %a1 rmsnorm eps 7.62939453e-06 -> 9.53674316e-07 (l1.ffn, f32[T,64]) at test:15, test:15\n");
    check(edited(NULL, NULL), edited("%y1", "%y1: f32[T,64] = add %x, %r1"),
          "~ %y1 add operand 0 %y0 -> %x (l1.ffn, f32[T,64]) at test:21, test:21\n");
    /* the same kind of op twice in a row: the second is the new one */
    check(edited(NULL, NULL), edited("%r0", "%r0: f32[T,64] = relu2 %d0\n  %rr: f32[T,64] = relu2 %r0"),
          "+ %rr relu2 %r0 (l0.ffn, f32[T,64]) at test:13\n");
}

/* A cache of any type has a name. */
static void test_cache_types(void **state) {
    (void)state;
    TnGraph *a = edited(NULL, NULL), *b = edited(NULL, NULL);
    b->kv = TN_KV_I8;
    check(a, b, "~ graph @t kv unset -> i8\n");
}

static void test_weights(void **state) {
    (void)state;
    check(edited(NULL, NULL),
          edited("$w1", "$w1: i2s[64,64] scale=0x1p-5 = gguf {name=\"blk.1.ffn_up.weight\", hash=0x99}"),
          "~ $w1 weights differ, scale 0.0625 -> 0.03125 (l1.ffn, i2s[64,64]) at test:17, test:17\n");
    check(edited(NULL, NULL), edited("$n0", "$n0: f16[64] = gguf {name=\"blk.0.ffn_norm.weight\", hash=0x2}"),
          "~ $n0 f32[64] -> f16[64] (l0.ffn) at test:6, test:6\n");
}

/* Two changes at once, far from each other, are two lines. */
static void test_two_edits(void **state) {
    (void)state;
    TnGraph *a = edited(NULL, NULL), *b = edited("%r0", "%r0: f32[T,64] = silu %d0");
    b->nodes[ref_of(b, "r1")].op = TN_OP_silu;
    check(a, b,
          "~ %r0 relu2 -> silu (l0.ffn, f32[T,64]) at test:12, test:12\n"
          "~ %r1 relu2 -> silu (l1.ffn, f32[T,64]) at test:20, test:20\n");
}

/* Any graph equals its copy in another order and with other names. */
static void test_random(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        TnGraph *a = rand_graph(seed), *b = tn_graph_clone(a);
        /* another topological order: every node as late as its readers allow, by a stack from the end */
        TnRef *order = tn_xcalloc(b->n, sizeof *order);
        uint32_t *left = tn_xcalloc(b->n, sizeof *left), n = b->n;
        tn_count_uses(b, left);
        TnRef *ready = tn_xcalloc(b->n, sizeof *ready);
        uint32_t top = 0, at = n;
        for (TnRef r = 0; r < n; r++)
            if (!left[r]) ready[top++] = r;
        while (top) {
            TnRef r = ready[--top];
            order[--at] = r;
            for (uint32_t i = 0; i < b->nodes[r].n_args; i++)
                if (--left[b->nodes[r].args[i]] == 0) ready[top++] = b->nodes[r].args[i];
        }
        assert_int_equal(at, 0);
        tn_graph_reorder(b, order, n);
        for (TnRef r = 0; r < b->n; r++) b->nodes[r].name = tn_sprintf(&b->arena, "n%u", r);
        TnDiff d;
        tn_diff(a, b, NULL, &d);
        if (tn_diff_any(&d)) fail_msg("seed %llu:\n%s", (unsigned long long)seed, d.text.data);
        tn_buf_free(&d.text);
        free(order);
        free(left);
        free(ready);
        tn_graph_destroy(a);
        tn_graph_destroy(b);
    }
}

/* 100,000 ops in one chain with a change at the top: everything below has another value, but diff reports one
 * line and does not hang. */
static TnGraph *chain(uint32_t n, TnOp first) {
    TnGraph *g = tn_graph_create("chain");
    TnType ids = tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_T)), table = tn_type(TN_ENC_f32, 2, (TnDim)4, (TnDim)3);
    TnRef in =
        tn_node_add(g, TN_OP_input, "ids", &ids, NULL, 0, &(TnAttr){.key = TN_ATTR_name, .s = "ids"}, 1);
    TnRef w = tn_node_add(g, TN_OP_random, "w", &table, NULL, 0, &(TnAttr){.key = TN_ATTR_seed, .i = 1}, 1);
    TnRef x = tn_node_add(g, TN_OP_embed, NULL, NULL, (TnRef[]){in, w}, 2, NULL, 0);
    for (uint32_t i = 0; i < n; i++)
        x = tn_node_add(g, i == 0 ? first : i % 3 ? TN_OP_relu2 : TN_OP_silu, NULL, NULL, &x, 1, NULL, 0);
    tn_node_add(g, TN_OP_output, "out", NULL, &x, 1, &(TnAttr){.key = TN_ATTR_name, .s = "logits"}, 1);
    return g;
}

static void test_large(void **state) {
    (void)state;
    TnGraph *a = chain(100000, TN_OP_silu), *b = chain(100000, TN_OP_relu2);
    TnDiff d;
    double start = tn_cpu_seconds();
    tn_diff(a, b, NULL, &d);
    assert_true(tn_cpu_seconds() - start < TN_HANG_SECONDS);
    assert_string_equal(d.text.data, "~ %1 silu -> relu2 (f32[T,3])\n");
    tn_buf_free(&d.text);
    tn_graph_destroy(a);
    tn_graph_destroy(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),    cmocka_unit_test(test_one_op),    cmocka_unit_test(test_cache_types),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_two_edits), cmocka_unit_test(test_random),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
