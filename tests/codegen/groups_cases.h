/* For tests of products by groups of columns: every number of rows that has code of its own, strips that do not begin with a
 * block of weights, prologues, epilogues and the quantiser. CHECK is case_check or ptx_check, and must be defined before. */
#ifndef TN_TEST_GROUPS_CASES_H
#define TN_TEST_GROUPS_CASES_H

#include "codegen/llvm_cases.h"

static int units_of(int n, int grain) {
    return (n + grain - 1) / grain;
}

/* %q, rows of k codes in groups, from a kernel before the one that is run. */
static void say_q8g(int k, int group) {
    say("%%x: f32[T,%d] = input {name=\"x\"}\n", k);
    say("kernel @before {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
        "%%q: q8g[T,%d] scale=group:%d = quant_groups %%x {n=%d, off=0}\nend\n",
        k, group, group);
}

static void say_product(int k, int group, int m, int grain, bool two) {
    say("$w: r64[%d,%d] scale=group:%d%s = random {seed=5}\n", m, k, group, two ? " most=2" : "");
    say_q8g(k, group);
    say("kernel @main {root=tmatmul_groups, target=llvm, axis=cols, grain=%d, units=%d, prefetch_l1=4096, "
        "barrier=1}\n"
        "%%y: f32[T,%d] = tmatmul_groups %%q, $w {off=0}\nend\n",
        grain, units_of(m, grain), m);
}

/* K: one group, several, more than a stretch; columns: less than a block, whole blocks and odd ones; strips that begin in
 * the middle of one. */
static void test_products(void **state) {
    (void)state;
    static const int sizes[][4] = {{64, 64, 5, 64},     {192, 64, 128, 64},  {448, 64, 97, 20},
                                   {128, 128, 64, 128}, {384, 128, 130, 48}, {2560, 128, 65, 64},
                                   {256, 256, 33, 5},   {768, 256, 200, 128}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        say_product(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], i % 2);
        CHECK(1, 1, 0, false, "tmatmul_groups");
        CHECK(8, 2, 7, false, "tmatmul_groups");
        CHECK(512, 33, 3, false, "tmatmul_groups");
        case_done();
    }
}

static void test_rows(void **state) {
    (void)state;
    static const int rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 47, 48, 49, 63, 64, 65, 12};
    for (int group = 64; group <= 256; group *= 2) {
        say_product(512, group, 70, 64, true);
        for (size_t i = 0; i < TN_COUNT(rows); i += 2)
            CHECK(rows[i] > 8 || rows[i + 1] > 8 ? 512 : 8, rows[i], rows[i + 1], false, "rows");
        case_done();
    }
}

/* Norm and quantiser in front, a sum after. */
static void test_fused(void **state) {
    (void)state;
    static const int sizes[][3] = {{192, 64, 97}, {256, 128, 64}, {768, 256, 130}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int k = sizes[i][0], n = sizes[i][1], m = sizes[i][2];
        say("$w: r64[%d,%d] scale=group:%d = random {seed=5}\n$g: f32[%d] = random {seed=9}\n", m, k, n, k);
        say("%%x: f32[T,%d] = input {name=\"x\"}\n%%r: f32[T,%d] = input {name=\"r\"}\n", k, m);
        say("kernel @main {root=tmatmul_groups, target=llvm, axis=cols, grain=32, units=%d, barrier=1}\n"
            "%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n"
            "%%q: q8g[T,%d] scale=group:%d = quant_groups %%n {n=%d}\n"
            "%%p: f32[T,%d] = tmatmul_groups %%q, $w\n"
            "%%y: f32[T,%d] = add %%r, %%p {off=0}\nend\n",
            units_of(m, 32), k, k, n, n, m, m);
        CHECK(1, 1, 0, true, "fused");
        CHECK(8, 2, 7, true, "fused");
        CHECK(512, 33, 4, true, "fused");
        case_done();
    }
}

/* Gate and up of one product; parts that begin with a block of weights, and that do not. */
static void test_gate_up(void **state) {
    (void)state;
    static const int widths[] = {128, 96, 70};
    for (size_t i = 0; i < TN_COUNT(widths); i++) {
        int n = widths[i];
        say("$w: r64[%d,256] scale=group:128 = random {seed=5}\n", 2 * n);
        say_q8g(256, 128);
        say("kernel @main {root=tmatmul_groups, target=llvm, axis=cols, grain=64, units=%d, barrier=1}\n"
            "%%p: f32[T,%d] = tmatmul_groups %%q, $w\n"
            "%%g: f32[T,%d] = slice %%p {lo=0, n=%d}\n%%u: f32[T,%d] = slice %%p {lo=%d, n=%d}\n"
            "%%s: f32[T,%d] = silu %%g\n%%y: f32[T,%d] = mul %%s, %%u {off=0}\nend\n",
            units_of(n, 64), 2 * n, n, n, n, n, n, n, n);
        CHECK(1, 1, 0, false, "gate up");
        CHECK(8, 2, 7, false, "gate up");
        CHECK(512, 33, 4, false, "gate up");
        case_done();
    }
}

/* The quantiser of anything: as the product shows it. */
static void test_quant_groups(void **state) {
    (void)state;
    static const int sizes[][2] = {{64, 64}, {448, 64}, {1152, 128}, {512, 256}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int k = sizes[i][0], n = sizes[i][1];
        say("$w: r64[64,%d] scale=group:%d = random {seed=5}\n%%x: f32[T,%d] = input {name=\"x\"}\n", k, n,
            k);
        say("kernel @main {root=tmatmul_groups, target=llvm, axis=cols, grain=64, units=1, barrier=1}\n"
            "%%q: q8g[T,%d] scale=group:%d = quant_groups %%x {n=%d}\n"
            "%%y: f32[T,64] = tmatmul_groups %%q, $w {off=0}\nend\n",
            k, n, n);
        CHECK(8, 1, 5, true, "quant_groups");
        CHECK(512, 40, 0, true, "quant_groups");
        case_done();
    }
}

/* Plain products with a scale a row, which comes after the rows. */
static void test_scale_a_row(void **state) {
    (void)state;
    say("$w: p64[97,192] scale=row = random {seed=5}\n%%x: f32[T,192] = input {name=\"x\"}\n"
        "kernel @main {root=tmatmul, target=llvm, axis=cols, grain=32, units=4, barrier=1}\n"
        "%%q: q8[T,192] = quant %%x\n%%a: i32[T,97] = tmatmul %%q, $w\n"
        "%%y: f32[T,97] = dequant %%a, %%q, $w {off=0}\nend\n");
    CHECK(1, 1, 0, false, "a row");
    CHECK(8, 2, 7, false, "a row");
    CHECK(512, 33, 4, false, "a row");
    case_done();
}

#define GROUPS_TESTS                                                                                         \
    cmocka_unit_test_teardown(test_products, case_teardown),                                                 \
        cmocka_unit_test_teardown(test_rows, case_teardown),                                                 \
        cmocka_unit_test_teardown(test_fused, case_teardown),                                                \
        cmocka_unit_test_teardown(test_gate_up, case_teardown),                                              \
        cmocka_unit_test_teardown(test_quant_groups, case_teardown),                                         \
        cmocka_unit_test_teardown(test_scale_a_row, case_teardown)

#endif
