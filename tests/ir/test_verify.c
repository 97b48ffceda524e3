/* The verifier: good graphs of every stage, and every kind of fault with its message. */
#include "tests/ir/tir_text.h"

static TnGraph *parse(const char *text) {
    TnGraph **gs, *g;
    uint32_t n;
    TnDiag d = {0};
    if (tn_parse(text, strlen(text), "t.tir", &gs, &n, &d) != TERN_OK) fail_msg("%s", d.text.data);
    assert_int_equal(n, 1);
    g = gs[0];
    free(gs);
    return g;
}

/* Verifies the graph, which must give exactly `want` ("" for none), and destroys it. */
static void verifies(TnGraph *g, const char *want) {
    TnDiag d = {0};
    TernStatus s = tn_verify(g, &d);
    assert_string_equal(d.text.data ? d.text.data : "", want);
    assert_int_equal(s, *want ? TERN_ERR_INPUT : TERN_OK);
    tn_diag_free(&d);
    tn_graph_destroy(g);
}

static void text_gives(const char *head, const char *body, const char *want) {
    TnBuf b = {0};
    tn_buf_printf(&b, "tir 1\n%s\n%send\n", head, body);
    verifies(parse(b.data), want);
    tn_buf_free(&b);
}
static void model(const char *body, const char *want) {
    text_gives("graph @t stage=model", body, want);
}
static void fused(const char *body, const char *want) {
    text_gives("graph @t stage=fused", body, want);
}

#define X "%x: f32[T,8] = input {name=\"x\"}\n"
#define W "$w: t8[8,8] scale=1 = random {seed=1}\n"

/* ---- all stages */

static void test_model(void **state) {
    (void)state;
    model("", "");
    model(X "%y: f32[T,8] = silu %x\n%o: f32[T,8] = output %y {name=\"o\"}\n", "");
    model(X "kernel @k {root=none}\n%y: f32[T,8] = silu %x\nend\n",
          "t.tir:4: kernel @k: stage model has no kernels\n");
    model(X "%z: f32[T,8] = input {name=\"x\"}\n", "t.tir:4: %z: another input has the name \"x\"\n");
    model(X "%o: f32[T,8] = output %x {name=\"o\"}\n%p: f32[T,8] = output %x {name=\"o\"}\n",
          "t.tir:5: %p: another output has the name \"o\"\n");
}

/* Faults that a text cannot have but a pass might make. */
static void test_built(void **state) {
    (void)state;
    const char *text =
        "tir 1\ngraph @t stage=model\n" X "%y: f32[T,8] = silu %x\n%z: f32[T,8] = silu %y {off=0}\nend\n";
    TnGraph *g = parse(text);
    g->nodes[1].args[0] = 2;
    verifies(g, "t.tir:4: %y: operand 1 is not above it\n");
    g = parse(text);
    g->nodes[1].args[0] = 1;
    verifies(g, "t.tir:4: %y: operand 1 is not above it\n");
    g = parse(text);
    g->nodes[1].type.dim[1] = 9;
    verifies(g, "t.tir:4: %y: silu gives f32[T,8], but the type says f32[T,9]\n"
                "t.tir:5: %z: silu gives f32[T,9], but the type says f32[T,8]\n");
    g = parse(text);
    g->nodes[2].attrs[0].i = 3;
    verifies(g, "t.tir:5: %z: silu: off=3, expected a multiple of 64\n");
    g = parse(text);
    g->nodes[1].n_args = 0;
    verifies(g, "t.tir:4: %y: silu has 0 operands, expected 1\n");
    g = parse(text);
    g->nodes[2].name = "y";
    verifies(g, "t.tir:5: %y: not a name, or not its own\n");
    g = parse(text);
    g->nodes[2].kernel = 0;
    verifies(g, "t.tir:5: %z: is in no kernel's range, but names one\n");
    g = parse(text);
    g->stage = TN_STAGE_FUSED;
    tn_kernel_add(g, "k", TN_NONE, 1, 2);
    g->nodes[1].kernel = TN_NONE;
    verifies(g, "t.tir:4: %y: kernel @k is not a run of neighbouring values\n");
    g = parse(text);
    g->stage = TN_STAGE_FUSED;
    tn_kernel_add(g, "k", TN_NONE, 2, 1);
    tn_kernel_add(g, "l", TN_NONE, 1, 1);
    verifies(g, "t.tir:4: %y: kernel @k is not a run of neighbouring values\n"
                "t.tir: kernel @l: empty, or not after the kernel before it\n");
    g = parse(text);
    g->stage = TN_STAGE_FUSED;
    tn_kernel_add(g, "k", 1, 1, 1);
    tn_kernel_add(g, "k", TN_NONE, 2, 1);
    verifies(g, "t.tir: kernel @k: another kernel has this name\n"
                "t.tir: kernel @k: its root is none, not y\n");
}

/* Twenty faults are shown, all are counted; graphs that were built are called by their name. */
static void test_many_faults(void **state) {
    (void)state;
    TnGraph *g = tn_graph_create("built");
    TnAttr name = {.key = TN_ATTR_name, .s = "x"};
    TnType t = tn_type(TN_ENC_f32, 2, tn_sym_dim(TN_T), (TnDim)8);
    TnRef x = tn_node_add(g, TN_OP_input, "x", &t, NULL, 0, &name, 1);
    for (int i = 0; i < 30; i++) tn_node_add(g, TN_OP_silu, NULL, NULL, &x, 1, NULL, 0);
    for (int i = 1; i <= 30; i++) g->nodes[i].type.dim[1] = 9;
    TnDiag d = {0};
    assert_int_equal(tn_verify(g, &d), TERN_ERR_INPUT);
    assert_int_equal(d.n, 30);
    int lines = 0;
    for (size_t i = 0; i < d.text.len; i++) lines += d.text.data[i] == '\n';
    assert_int_equal(lines, 20);
    const char *first = "@built: %0: silu gives f32[T,8], but the type says f32[T,9]\n";
    assert_memory_equal(d.text.data, first, strlen(first));
    tn_diag_free(&d);
    tn_graph_destroy(g);
}

/* ---- caches */

#define KV                                                                                                   \
    "%pos: i32[T] = input {name=\"pos\"}\n%slot: i32[T] = input {name=\"slot\"}\n"                           \
    "%table: i32[S,P] = input {name=\"table\"}\n%k0: kc[N,2,4] = input {name=\"k0\"}\n"                      \
    "%v0: vc[N,2,4] = input {name=\"v0\"}\n" X
#define ATTEND(name, k, v)                                                                                   \
    "%" name ": f32[T,8] = attend %x, %" k ", %" v ", %pos, %slot, %table {scale=1, window=0}\n"
#define PUT_K(name, k) "%" name ": kc[N,2,4] = kv_put %" k ", %x, %pos, %slot, %table\n"

static void test_caches(void **state) {
    (void)state;
    model(KV PUT_K("k1", "k0") ATTEND("a", "k1", "v0") PUT_K("k2", "k1") ATTEND("b", "k2", "v0"), "");
    model(KV ATTEND("a", "k0", "v0") PUT_K("k1", "k0") ATTEND("b", "k1", "v0"), "");
    model(KV PUT_K("k1", "k0") ATTEND("a", "k0", "v0"),
          "t.tir:10: %a: reads the cache %k0, which %k1 has replaced\n");
    model(KV PUT_K("k1", "k0") PUT_K("k2", "k0"),
          "t.tir:10: %k2: reads the cache %k0, which %k1 has replaced\n");
    /* the threads of every kernel run at their own pace */
    fused(KV "kernel @k {root=attend}\n" ATTEND("a", "k0", "v0")
              PUT_K("k1", "k0") "end\nkernel @l {root=attend}\n" ATTEND("b", "k1", "v0") "end\n",
          "t.tir:10: %a: reads the cache %k0, which kernel @k writes\n");
}

/* ---- kernels */

#define NORM "$n: f32[8] = random {seed=1}\n"

static void test_kernels(void **state) {
    (void)state;
    fused(X W NORM
          "kernel @k {root=tmatmul}\n%h: f32[T,8] = rmsnorm %x, $n {eps=0}\n%q: q8[T,8] = quant %h\n"
          "%a: i32[T,8] = tmatmul %q, $w\n%d: f32[T,8] = dequant %a, %q, $w\n%y: f32[T,8] = add %d, %x\nend\n"
          "kernel @l {root=none}\n%m: f32[T,8] = rmsnorm %y, $n {eps=0}\n%s: f32[T,8] = silu %m\n"
          "%r: f32[T,8] = rmsnorm %s, $n {eps=0}\nend\n%o: f32[T,8] = output %r {name=\"o\"}\n",
          "");
    fused(X "%y: f32[T,8] = silu %x\n", "t.tir:4: %y: silu is in no kernel\n");
    fused(X W "kernel @k {root=tmatmul}\n%q: q8[T,8] = quant %x\n%a: i32[T,8] = tmatmul %q, $w\n%b: i32[T,8] "
              "= tmatmul %q, $w\nend\n",
          "t.tir:8: %b: tmatmul is a second root in kernel @k\n");
    fused(X W "kernel @k {root=tmatmul}\n%q: q8[T,8] = quant %x\n%a: i32[T,8] = tmatmul %q, $w\n"
              "%d: f32[T,8] = dequant %a, %q, $w\n%p: q8[T,8] = quant %d\nend\n",
          "t.tir:9: %p: quant after the root of kernel @k is not elementwise\n");
    fused(X W "kernel @k {root=tmatmul}\n%s: f32[T,8] = silu %x\n%q: q8[T,8] = quant %x\n%a: i32[T,8] = "
              "tmatmul %q, $w\nend\n",
          "t.tir:6: %s: stands before the root of kernel @k, but does not lead to it\n");
    fused(X W "kernel @k {root=tmatmul}\n%s: f32[T,8] = silu %x\n%q: q8[T,8] = quant %s\n%a: i32[T,8] = "
              "tmatmul %q, $w\n%d: f32[T,8] = dequant %a, %q, $w\n%y: f32[T,8] = add %d, %s\nend\n",
          "t.tir:10: %y: reads %s after the root of kernel @k, which only has it before\n");
    fused(X "$n: f32[8,8] = random {seed=1}\nkernel @k {root=matmul}\n%s: f32[T,8] = silu %x\n"
            "%a: f32[T,8] = matmul %s, $n\n%y: f32[T,8] = add %a, %s\nend\n",
          "t.tir:8: %y: reads %s after the root of kernel @k, which only has it before\n");
    fused("kernel @k {root=none}\n" X "%y: f32[T,8] = silu %x\n$n: f32[8] = random {seed=1}\n"
          "%o: f32[T,8] = output %y {name=\"o\"}\nend\n",
          "t.tir:4: %x: input has no place in kernel @k\n"
          "t.tir:6: $n: random has no place in kernel @k\n"
          "t.tir:7: %o: output has no place in kernel @k\n");
}

/* A launch gives a kernel at most 64 values. */
static void test_many_operands(void **state) {
    (void)state;
    for (int n = 63; n <= 64; n++) { /* n inputs and one output */
        TnBuf b = {0};
        for (int i = 0; i < n; i++) tn_buf_printf(&b, "%%x%d: f32[T,8] = input {name=\"x%d\"}\n", i, i);
        tn_buf_puts(&b, "kernel @k {root=none}\n%y0: f32[T,8] = add %x0, %x1\n");
        for (int i = 2; i < n; i++)
            tn_buf_printf(&b, "%%y%d: f32[T,8] = add %%y%d, %%x%d\n", i - 1, i - 2, i);
        tn_buf_printf(&b, "end\n%%o: f32[T,8] = output %%y%d {name=\"o\"}\n", n - 2);
        fused(b.data, n == 63 ? "" : "t.tir:67: kernel @k: reads and writes 65 values, at most 64\n");
        tn_buf_free(&b);
    }
}

/* ---- the plan */

#define PLANNED "graph @t stage=planned level=avx2 kv=f16 rows=1..1"
#define K(name) "kernel @" name " {root=none, target=ref, axis=rows, grain=1, units=1, barrier=1}\n"
#define OUT(v)  "%o: f32[T,8] = output %" v " {name=\"o\"}\n"

static void test_plan(void **state) {
    (void)state;
    text_gives(PLANNED,
               X K("a") "%y: f32[T,8] = silu %x {off=0}\nend\n" K(
                   "b") "%z: f32[T,8] = silu %y {off=256}\nend\n" OUT("z"),
               "");
    text_gives("graph @t stage=planned", X "kernel @a {root=none}\n%y: f32[T,8] = silu %x\nend\n" OUT("y"),
               "t.tir: graph @t is planned, but has no level\n"
               "t.tir: graph @t is planned, but has no kv\n"
               "t.tir: graph @t is planned, but has no rows\n"
               "t.tir:4: kernel @a has no target\n"
               "t.tir:4: kernel @a has no axis\n"
               "t.tir:4: kernel @a has no grain or no units\n"
               "t.tir:5: %y: leaves its kernel, but has no off\n");
    text_gives(PLANNED, "%k0: kc[N,2,4] = input {name=\"k0\"}\n",
               "t.tir:3: %k0: its cache type is not chosen yet\n");
    text_gives(PLANNED,
               "%k0: kc_f16[N,2,4] = input {name=\"k0\", off=0}\n%t: i32[S,P] = input {name=\"t\", off=0}\n",
               "t.tir:3: %k0: kc_f16 lies outside of the arena, so it has no off\n"
               "t.tir:4: %t: i32 lies outside of the arena, so it has no off\n");
}

static void test_overlap(void **state) {
    (void)state;
    /* %y dies in kernel b, where %z is made: they are alive together there */
    text_gives(PLANNED,
               X K("a") "%y: f32[T,8] = silu %x {off=0}\nend\n" K(
                   "b") "%z: f32[T,8] = silu %y {off=192}\nend\n" OUT("z"),
               "t.tir:8: %z: bytes 192 to 448 overlap %y at 0 to 256, which is alive too\n");
    /* in kernel c nothing needs %y any more */
    text_gives(
        PLANNED,
        X K("a") "%y: f32[T,8] = silu %x {off=0}\nend\n" K("b") "%z: f32[T,8] = silu %y {off=256}\nend\n" K(
            "c") "%u: f32[T,8] = silu %z {off=0}\nend\n" OUT("u"),
        "");
    /* an output lives to the end */
    text_gives(
        PLANNED,
        X K("a") "%y: f32[T,8] = silu %x {off=0}\nend\n" K("b") "%z: f32[T,8] = silu %y {off=256}\nend\n" K(
            "c") "%u: f32[T,8] = silu %z {off=0}\nend\n" OUT("y"),
        "t.tir:11: %u: bytes 0 to 256 overlap %y at 0 to 256, which is alive too\n");
    /* an input lives from the start, whenever it is read */
    text_gives(PLANNED,
               "%i: i32[T] = input {name=\"i\", off=0}\n" X K("a") "%y: f32[T,8] = silu %x {off=0}\nend\n" K(
                   "b") "%z: f32[T,8] = gather %y, %i {off=256}\nend\n" OUT("z"),
               "t.tir:6: %y: bytes 0 to 256 overlap %i at 0 to 64, which is alive too\n");
    /* regions of different symbols do not meet */
    text_gives(PLANNED,
               "%i: i32[R] = input {name=\"i\", off=0}\n" X K("a") "%y: f32[T,8] = silu %x {off=0}\nend\n" K(
                   "b") "%z: f32[R,8] = gather %y, %i {off=64}\nend\n%o: f32[R,8] = output %z {name=\"o\"}\n",
               "");
    /* without a symbol: bytes, all rows of them */
    text_gives(PLANNED,
               "%c: f32[3,8] = input {name=\"c\"}\n" K("a") "%y: f32[3,8] = silu %c {off=0}\nend\n" K(
                   "b") "%z: f32[3,8] = silu %y {off=704}\nend\n",
               "t.tir:8: %z: bytes 704 to 1472 overlap %y at 0 to 768, which is alive too\n");
}

/* The sweep for overlaps against the plain comparison, pair by pair, on random plans. */
static void test_overlap_random(void **state) {
    (void)state;
    int faulty = 0;
    for (int round = 0; round < 2000; round++) {
        int n = 1 + (int)(random_u32() % 12), last[14], off[14];
        TnBuf b = {0};
        tn_buf_puts(&b, X);
        for (int i = 1; i <= n; i++) { /* kernel i-1 makes %i, which reads one value before it */
            int from = (int)(random_u32() % (unsigned)i);
            off[i] = 64 * (int)(random_u32() % 40);
            last[i] = i;
            if (from) last[from] = i;
            tn_buf_printf(&b, "kernel @k%d {root=none, target=ref, axis=rows, grain=1, units=1, barrier=1}\n",
                          i);
            if (from)
                tn_buf_printf(&b, "%%%d: f32[T,8] = silu %%%d {off=%d}\nend\n", i, from, off[i]);
            else
                tn_buf_printf(&b, "%%%d: f32[T,8] = silu %%x {off=%d}\nend\n", i, off[i]);
        }
        last[n] = n + 1;
        tn_buf_printf(&b, "%%o: f32[T,8] = output %%%d {name=\"o\"}\n", n);
        bool bad = false;
        for (int i = 1; i <= n; i++)
            for (int j = 1; j < i; j++) bad |= last[j] >= i && off[i] < off[j] + 256 && off[j] < off[i] + 256;
        TnBuf text = {0};
        TnDiag d = {0};
        tn_buf_printf(&text, "tir 1\n" PLANNED "\n%send\n", b.data);
        TnGraph *g = parse(text.data);
        if ((tn_verify(g, &d) != TERN_OK) != bad)
            fail_msg("round %d, expected %s:\n%s", round, bad ? "a fault" : "none", text.data);
        faulty += bad;
        tn_diag_free(&d);
        tn_graph_destroy(g);
        tn_buf_free(&text);
        tn_buf_free(&b);
    }
    assert_true(faulty > 200 && faulty < 1800);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),  cmocka_unit_test(test_built),   cmocka_unit_test(test_many_faults),
        cmocka_unit_test(test_caches), cmocka_unit_test(test_kernels), cmocka_unit_test(test_many_operands),
        cmocka_unit_test(test_plan),   cmocka_unit_test(test_overlap), cmocka_unit_test(test_overlap_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
