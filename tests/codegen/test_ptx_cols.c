/* Kernels over columns as PTX, run by a machine in software, against the evaluator. */
#include "codegen/ptx_cases.h"

#define CHECK ptx_check
#include "codegen/cols_cases.h"

/* Steps around blocks of rows, each with CTAs of its own, in all classes; one pair of slots to several; K of one line to four. */
static void test_blocks(void **state) {
    (void)state;
    static const int sizes[][3] = {{192, 16, 16}, {320, 97, 64}, {512, 40, 32}, {900, 150, 128}};
    static const int rows[] = {9, 16, 33, 63, 64, 65, 129};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int k = sizes[i][0], m = sizes[i][1], grain = sizes[i][2];
        say("$w: p64[%d,%d] scale=[10:0x1p-3,%d:0x1.8p-2] = random {seed=5}\n", m, k, m - 10);
        say("%%r: f32[T,%d] = input {name=\"r\"}\n", m);
        say_q8(k);
        say("kernel @main {root=tmatmul, target=ptx, axis=cols, grain=%d, units=%d, barrier=1}\n"
            "%%a: i32[T,%d] = tmatmul %%q, $w\n"
            "%%d: f32[T,%d] = dequant %%a, %%q, $w\n"
            "%%y: f32[T,%d] = add %%r, %%d {off=0}\nend\n",
            grain, units_of(m, grain), m, m, m);
        CHECK(1, 1, 0, false, "blocks");
        CHECK(8, 2, 7, false, "blocks");
        for (size_t j = i % 2; j < TN_COUNT(rows); j += 2) CHECK(200, rows[j], 0, false, "blocks");
        case_done();
    }
}

/* Strips so wide that shared memory does not have them once for each warp: the CTA goes row by row. */
static void test_wide_strips(void **state) {
    (void)state;
    say("$w: p64[1030,64] scale=0x1p-3 = random {seed=5}\n");
    say_q8(64);
    say("kernel @main {root=tmatmul, target=ptx, axis=cols, grain=1024, units=2, barrier=1}\n"
        "%%a: i32[T,1030] = tmatmul %%q, $w\n"
        "%%d: f32[T,1030] = dequant %%a, %%q, $w\n"
        "%%e: f32[T,1030] = mul %%d, %%d {off=0}\n"
        "%%f: f32[T,1030] = add %%e, %%d\n"
        "%%g: f32[T,1030] = mul %%f, %%f {off=1048576}\nend\n");
    CHECK(8, 3, 8, false, "wide strips");
    CHECK(20, 17, 0, false, "wide strips");
    case_done();
}

/* A dense product has blocks of eight rows. */
static void test_dense_blocks(void **state) {
    (void)state;
    say("$w: f16[70,100] = random {seed=5}\n%%x: f32[T,100] = input {name=\"x\"}\n");
    say("kernel @main {root=matmul, target=ptx, axis=cols, grain=32, units=3, barrier=1}\n"
        "%%y: f32[T,70] = matmul %%x, $w {off=0}\nend\n");
    CHECK(40, 7, 8, false, "dense blocks");
    CHECK(40, 9, 16, false, "dense blocks");
    CHECK(40, 33, 0, false, "dense blocks");
    case_done();
}

/* Rows of activations that are read where they are. */
static void test_dense_long(void **state) {
    (void)state;
    static const char *const encs[] = {"f16", "f32"};
    for (size_t i = 0; i < TN_COUNT(encs); i++) {
        say("$w: %s[20,16448] = random {seed=5}\n%%x: f32[T,16448] = input {name=\"x\"}\n", encs[i]);
        say("kernel @main {root=matmul, target=ptx, axis=cols, grain=16, units=2, barrier=1}\n"
            "%%y: f32[T,20] = matmul %%x, $w {off=0}\nend\n");
        CHECK(1, 1, 0, false, "long rows");
        CHECK(40, 7, 0, false, "long rows");
        case_done();
    }
}

int main(void) {
    const struct CMUnitTest blocks[] = {cmocka_unit_test_teardown(test_blocks, case_teardown),
                                        cmocka_unit_test_teardown(test_wide_strips, case_teardown),
                                        cmocka_unit_test_teardown(test_dense_blocks, case_teardown),
                                        cmocka_unit_test_teardown(test_dense_long, case_teardown)};
    int failed = cmocka_run_group_tests(cols_tests, NULL, NULL);
    return failed + cmocka_run_group_tests(blocks, NULL, NULL);
}
