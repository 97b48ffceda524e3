/* The row ops as PTX, run by a machine in software, against the evaluator. With TERN_TEST_PTXAS set, ptxas assembles every
 * text too. */
#include "codegen/ptx_cases.h"

#define ROWS "target=ptx, axis=rows, grain=1, units=1, barrier=1}\n"
static const int sizes[] = {64, 100, 33, 192, 448, 1};

static void check_rows(bool wild, const char *what) {
    ptx_check(8, 1, 2, wild, what);
    ptx_check(512, 7, 33, wild, what);
    case_done();
}
static void input(const char *name, int n) {
    say("%%%s: f32[T,%d] = input {name=\"%s\"}\n", name, n, name);
}
static void begin(void) {
    say("kernel @main {root=none, " ROWS);
}

/* A kernel after @main that reads %q, q8[rows,k], so that it leaves @main. */
static void read_q8(char rows, int k) {
    say("$wa: p64[4,%d] scale=[4:0x1p+0] = random {seed=9}\n"
        "kernel @after {root=tmatmul, target=ptx, axis=cols, grain=4, units=1, barrier=1}\n"
        "%%after: i32[%c,4] = tmatmul %%q, $wa {off=4096}\nend\n",
        k, rows);
}

static void test_embed(void **state) {
    (void)state;
    static const char *const tables[] = {"f32[7,33]",
                                         "f16[7,100]",
                                         "bf16[7,64]",
                                         "p64[7,300] scale=[7:0x1.8p-3]",
                                         "p64[7,256] scale=[2:0x1p-3,3:0x1.1p-1,2:0x1p+0]",
                                         "p64[7,513] scale=row",
                                         "r64[70,384] scale=group:64 most=2",
                                         "r64[7,256] scale=group:256"};
    static const int cols[] = {33, 100, 64, 300, 256, 513, 384, 256};
    for (size_t i = 0; i < TN_COUNT(tables); i++) {
        say("$e: %s = random {seed=2}\n%%ids: i32[T] = input {name=\"ids\"}\n", tables[i]);
        say("kernel @main {root=embed, " ROWS "%%y: f32[T,%d] = embed %%ids, $e {off=0}\nend\n", cols[i]);
        check_rows(false, tables[i]);
    }
}

static void test_norms(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int n = sizes[i];
        say("$g: %s[%d] = random {seed=2}\n", i % 2 ? "f32" : "bf16", n);
        input("x", n);
        begin();
        say("%%y: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17%s}\n", n, i % 2 ? "" : ", off=0");
        say("%%q: q8[T,%d] = quant %%y {off=64}\nend\n", n);
        read_q8('T', n);
        check_rows(true, "rmsnorm quant");
        say("$g: f16[%d] = random {seed=2}\n", n);
        input("x", n);
        begin();
        say("%%y: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17, n=%d, off=0}\nend\n", n, 2 * n + 1);
        check_rows(true, "rmsnorm n");
    }
    say("$g: f32[128] = random {seed=2}\n"
        "$p: i32[2,64] = places {mask=\"ffffffffff07fffffffffffff0ffff3f\"}\n");
    input("x", 128);
    begin();
    say("%%y: f32[T,128] = rmsnorm %%x, $g, $p {eps=0x1p-17, n=128, off=0}\nend\n");
    check_rows(true, "rmsnorm places");
}

static void test_headnorm(void **state) {
    (void)state;
    static const int heads[] = {64, 33, 100, 128};
    for (size_t i = 0; i < TN_COUNT(heads); i++) {
        int n = 5 * heads[i];
        say("$g: f32[%d] = random {seed=2}\n", heads[i]);
        input("x", n);
        begin();
        say("%%y: f32[T,%d] = headnorm %%x, $g {eps=0x1p-17, off=0}\nend\n", n);
        check_rows(true, "headnorm");
    }
}

static void test_quant(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        input("x", sizes[i]);
        begin();
        say("%%q: q8[T,%d] = quant %%x {off=0}\nend\n", sizes[i]);
        read_q8('T', sizes[i]);
        check_rows(true, "quant");
    }
    static const int groups[][2] = {{64, 64}, {192, 64}, {256, 128}, {512, 256}, {768, 64}};
    for (size_t i = 0; i < TN_COUNT(groups); i++) {
        int n = groups[i][0], of = groups[i][1];
        input("x", n);
        begin();
        say("%%q: q8g[T,%d] scale=group:%d = quant_groups %%x {n=%d, off=0}\nend\n", n, of, of);
        say("$w: r64[64,%d] scale=group:%d = random {seed=9}\n"
            "kernel @after {root=tmatmul_groups, target=ptx, axis=cols, grain=64, units=1, barrier=1}\n"
            "%%after: f32[T,64] = tmatmul_groups %%q, $w {off=4096}\nend\n",
            n, of);
        check_rows(true, "quant_groups");
    }
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        input("x", sizes[i]);
        begin();
        say("%%q: q14[T,%d] = limbs %%x {off=0}\nend\n", sizes[i]);
        say("$w: f32[5,%d] = random {seed=9}\n$s: s8[5,%d] = pack $w\n"
            "kernel @after {root=estimate, target=ptx, axis=cols, grain=5, units=1, barrier=1}\n"
            "%%after: f32[T,5] = estimate %%q, $s {off=4096}\nend\n",
            sizes[i], sizes[i]);
        check_rows(true, "limbs");
    }
}

static void test_angles(void **state) {
    (void)state;
    static const int heads[] = {48, 64, 80, 100, 128};
    for (size_t i = 0; i < TN_COUNT(heads); i++) {
        say("$f: f32[2,%d] = rope_freq {base=0x1.388p+13}\n%%pos: i32[T] = input {name=\"pos\"}\n",
            heads[i] / 2);
        begin();
        say("%%a: f32[T,%d] = rope_angle %%pos, $f {off=0}\nend\n", heads[i]);
        check_rows(false, "rope_angle");
    }
}

static void test_maps(void **state) {
    (void)state;
    static const char *const unary[] = {"relu", "relu2", "silu", "gelu", "gelu_tanh"};
    static const char *const binary[] = {"add", "mul", "mulz"};
    for (size_t i = 0; i < TN_COUNT(unary); i++) {
        input("x", 100);
        begin();
        say("%%y: f32[T,100] = %s %%x {off=0}\nend\n", unary[i]);
        check_rows(true, unary[i]);
    }
    for (size_t i = 0; i < TN_COUNT(binary); i++) {
        input("x", 65);
        input("z", 65);
        begin();
        say("%%y: f32[T,65] = %s %%x, %%z {off=0}\nend\n", binary[i]);
        check_rows(true, binary[i]);
    }
    say("$b: f32[97] = random {seed=3}\n");
    input("x", 97);
    begin();
    say("%%y: f32[T,97] = bias %%x, $b\n%%z: f32[T,97] = times %%y {scale=0x1.99999ap-4, off=0}\n"
        "%%s: f32[T,40] = slice %%z {lo=33, n=40}\n%%u: f32[T,40] = mul %%s, %%s\n%%v: f32[T,40] = add %%u, "
        "%%s {off=64}\nend\n");
    check_rows(true, "bias times slice");
}

static void test_dequant(void **state) {
    (void)state;
    static const char *const scales[] = {"scale=[97:0x1.8p-3]", "scale=[10:0x1p-3,80:0x1.8p-2,7:0x1.1p-1]",
                                         "scale=row"};
    for (size_t i = 0; i < TN_COUNT(scales); i++) {
        say("$w: p64[97,64] %s = random {seed=5}\n%%acc: i32[T,97] = input {name=\"acc\"}\n", scales[i]);
        input("x", 64);
        say("kernel @before {root=none, " ROWS "%%q: q8[T,64] = quant %%x {off=0}\nend\n");
        begin();
        say("%%y: f32[T,97] = dequant %%acc, %%q, $w {off=0}\nend\n");
        check_rows(false, "dequant");
    }
}

/* A whole epilogue on rows. */
static void test_elementwise(void **state) {
    (void)state;
    static const char *const kvs[] = {"f16", "f32", "i8"};
    for (int i = 0; i < 6; i++) {
        int hd = i % 2 ? 48 : 64, m = 4 * hd;
        const char *kv = kvs[i / 2];
        input("x", m);
        input("r", m);
        say("%%pos: i32[T] = input {name=\"pos\"}\n%%slot: i32[T] = input {name=\"slot\"}\n"
            "%%table: i32[S,P] = input {name=\"table\"}\n%%angle: f32[T,%d] = input {name=\"angle\"}\n",
            hd);
        say("%%kc: kc_%s[N,2,%d] = input {name=\"k0\"}\n%%vc: vc_%s[N,4,%d] = input {name=\"v0\"}\n", kv, hd,
            kv, hd);
        begin();
        say("%%s: f32[T,%d] = add %%x, %%r\n", m);
        say("%%h: f32[T,%d] = slice %%s {lo=%d, n=%d}\n", 2 * hd, hd, 2 * hd);
        say("%%p: f32[T,%d] = rope %%h, %%angle {mode=%s, off=0}\n", 2 * hd, i % 2 ? "pair" : "half");
        say("%%k1: kc_%s[N,2,%d] = kv_put %%kc, %%p, %%pos, %%slot, %%table\n", kv, hd);
        say("%%v1: vc_%s[N,4,%d] = kv_put %%vc, %%s, %%pos, %%slot, %%table\n", kv, hd);
        say("%%u: f32[T,%d] = silu %%s\n%%y: f32[T,%d] = mul %%u, %%r {off=64}\nend\n", m, m);
        check_rows(true, kv);
    }
}

static void test_select(void **state) {
    (void)state;
    static const int lengths[] = {1, 31, 33, 64, 1000}, ks[] = {1, 3, 40};
    for (size_t i = 0; i < TN_COUNT(lengths); i++) {
        int n = lengths[i];
        say("%%x: f32[R,%d] = input {name=\"x\"}\n", n);
        begin();
        say("%%y: i32[R] = argmax %%x {off=0}\nend\n");
        check_rows(i % 2, "argmax");
        for (size_t j = 0; j < TN_COUNT(ks); j++) {
            say("%%x: f32[R,%d] = input {name=\"x\"}\n", n);
            begin();
            say("%%y: i32[K,%d] = topk %%x {k=%d, off=0}\n%%z: f32[K,%d] = take %%x, %%y {off=64}\nend\n",
                ks[j], ks[j], ks[j]);
            check_rows(true, "topk take");
        }
        input("x", n);
        say("%%rows: i32[R] = input {name=\"rows\"}\n");
        begin();
        say("%%y: f32[R,%d] = gather %%x, %%rows {off=0}\nend\n", n);
        check_rows(true, "gather");
    }
    say("$g: f32[100] = random {seed=2}\n");
    input("x", 100);
    say("%%rows: i32[R] = input {name=\"rows\"}\n");
    begin();
    say("%%h: f32[R,100] = gather %%x, %%rows\n%%y: f32[R,100] = rmsnorm %%h, $g {eps=0x1p-17}\n%%q: "
        "q8[R,100] = quant %%y "
        "{off=0}\nend\n");
    read_q8('R', 100);
    check_rows(true, "gather rmsnorm quant");
}

/* Rows that are longer than shared memory, in kernels of their own: those of which a stretch is left, and those of whole ones. */
static void test_long_rows(void **state) {
    (void)state;
    for (int n = 24576; n <= 28676; n += 4100) {
        for (int quant = 0; quant < 2; quant++) {
            say("$g: f32[%d] = random {seed=2}\n", n);
            input("x", n);
            begin();
            if (quant)
                say("%%q: q8[T,%d] = quant %%x {off=0}\nend\n", n);
            else
                say("%%y: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17, off=0}\nend\n", n);
            if (quant) read_q8('T', n);
            ptx_check(8, 1, 0, false, "long rows");
            case_done();
        }
    }
}

/* Rows that no CTA can hold are refused, and those that most GPUs can hold are not. */
static void test_room(void **state) {
    (void)state;
    for (int n = 20000; n <= 30000; n += 10000) {
        say("$g: f32[%d] = random {seed=2}\n", n);
        input("x", n);
        begin();
        say("%%y: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,%d] = quant %%y {off=0}\nend\n", n, n);
        read_q8('T', n);
        TnGraph *g = case_graph("ref", 8);
        const char *op = NULL;
        assert_int_equal(tn_ptx_can(g, 0, &op), n == 20000);
        if (n > 20000)
            assert_string_equal(op, "rows so long that a kernel needs more than 99 KB of shared memory");
        tn_graph_destroy(g);
        case_done();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_embed, case_teardown),
        cmocka_unit_test_teardown(test_norms, case_teardown),
        cmocka_unit_test_teardown(test_headnorm, case_teardown),
        cmocka_unit_test_teardown(test_quant, case_teardown),
        cmocka_unit_test_teardown(test_angles, case_teardown),
        cmocka_unit_test_teardown(test_maps, case_teardown),
        cmocka_unit_test_teardown(test_dequant, case_teardown),
        cmocka_unit_test_teardown(test_elementwise, case_teardown),
        cmocka_unit_test_teardown(test_select, case_teardown),
        cmocka_unit_test_teardown(test_long_rows, case_teardown),
        cmocka_unit_test_teardown(test_room, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
