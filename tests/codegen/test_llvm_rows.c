/* Kernels over rows: embed, norms, quant, angles, chains of them, and column ops on whole rows. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

static const int sizes[] = {64, 100, 33, 192, 448};
#define ROWS "target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"

static void check_rows(bool wild, const char *what) {
    case_check(8, 1, 0, wild, what);
    case_check(512, 13, 0, wild, what);
    case_done();
}

static void test_embed(void **state) {
    (void)state;
    static const char *const encs[] = {"f32", "f16", "bf16"};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int n = sizes[i];
        say("$e: %s[7,%d] = random {seed=2}\n%%ids: i32[T] = input {name=\"ids\"}\n", encs[i % 3], n);
        say("kernel @main {root=embed, " ROWS "%%y: f32[T,%d] = embed %%ids, $e {off=0}\nend\n", n);
        check_rows(false, "embed");
    }
}

static void test_norm_quant(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int n = sizes[i];
        say("$g: %s[%d] = random {seed=2}\n%%x: f32[T,%d] = input {name=\"x\"}\n", i % 2 ? "f32" : "bf16", n,
            n);
        say("kernel @main {root=none, " ROWS "%%y: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17%s}\n"
            "%%q: q8[T,%d] = quant %%y {off=64}\nend\n",
            n, i % 2 ? "" : ", off=0", n);
        check_rows(true, "rmsnorm quant");
    }
}

static void test_quant(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int n = sizes[i];
        say("%%x: f32[T,%d] = input {name=\"x\"}\nkernel @main {root=none, " ROWS
            "%%q: q8[T,%d] = quant %%x {off=0}\nend\n",
            n, n);
        check_rows(true, "quant");
    }
}

static void test_angles(void **state) {
    (void)state;
    static const int heads[] = {48, 64, 80, 100, 128};
    for (size_t i = 0; i < TN_COUNT(heads); i++) {
        say("$f: f32[2,%d] = rope_freq {base=0x1.388p+13}\n%%pos: i32[T] = input {name=\"pos\"}\n",
            heads[i] / 2);
        say("kernel @main {root=none, " ROWS "%%a: f32[T,%d] = rope_angle %%pos, $f {off=0}\nend\n",
            heads[i]);
        check_rows(false, "rope_angle");
    }
}

/* A whole epilogue on rows: what a target without column kernels would be given. */
static void test_elementwise(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        int hd = i ? 48 : 64, m = 4 * hd;
        say("%%x: f32[T,%d] = input {name=\"x\"}\n%%r: f32[T,%d] = input {name=\"r\"}\n", m, m);
        say("%%pos: i32[T] = input {name=\"pos\"}\n%%slot: i32[T] = input {name=\"slot\"}\n"
            "%%table: i32[S,P] = input {name=\"table\"}\n%%ang: f32[T,%d] = input {name=\"angle\"}\n",
            hd);
        say("%%kc: kc_f16[N,2,%d] = input {name=\"k0\"}\n%%vc: vc_f16[N,4,%d] = input {name=\"v0\"}\n", hd,
            hd);
        say("kernel @main {root=none, " ROWS "%%s: f32[T,%d] = add %%x, %%r\n", m);
        say("%%h: f32[T,%d] = slice %%s {lo=%d, n=%d}\n", 2 * hd, hd, 2 * hd);
        say("%%p: f32[T,%d] = rope %%h, %%ang {mode=%s, off=0}\n", 2 * hd, i ? "pair" : "half");
        say("%%k1: kc_f16[N,2,%d] = kv_put %%kc, %%p, %%pos, %%slot, %%table\n", hd);
        say("%%v1: vc_f16[N,4,%d] = kv_put %%vc, %%s, %%pos, %%slot, %%table\n", hd);
        say("%%u: f32[T,%d] = silu %%s\n%%y: f32[T,%d] = mul %%u, %%r {off=64}\nend\n", m, m);
        check_rows(true, "elementwise");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_embed, case_teardown),
        cmocka_unit_test_teardown(test_norm_quant, case_teardown),
        cmocka_unit_test_teardown(test_quant, case_teardown),
        cmocka_unit_test_teardown(test_angles, case_teardown),
        cmocka_unit_test_teardown(test_elementwise, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
