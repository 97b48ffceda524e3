/* For tests of products: kernels over columns, tmatmul and matmul, with every fusion pattern and odd sizes. CHECK is case_check
 * or ptx_check, and must be defined before. TERNARY may be: the encoding of ternary weights; then there are no dense products.
 */
#ifndef TN_TEST_COLS_CASES_H
#define TN_TEST_COLS_CASES_H

#include "codegen/llvm_cases.h"

#ifndef TERNARY
#define TERNARY "p64"
#define DENSE_TOO
#endif

static void say_places(void) {
    say("%%pos: i32[T] = input {name=\"pos\"}\n%%slot: i32[T] = input {name=\"slot\"}\n"
        "%%table: i32[S,P] = input {name=\"table\"}\n");
}

static int units_of(int n, int grain) {
    return (n + grain - 1) / grain;
}

static void check_steps(bool wild, const char *what) {
    CHECK(1, 1, 0, wild, what);
    CHECK(8, 2, 7, wild, what);
    CHECK(512, 33, 4, wild, what);
    case_done();
}

static void test_tmatmul_alone(void **state) {
    (void)state;
    static const int sizes[][3] = {{192, 33, 32}, {448, 97, 32}, {100, 97, 20}, {2560, 40, 64}, {256, 16, 5}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int k = sizes[i][0], m = sizes[i][1], grain = sizes[i][2];
        say("$w: " TERNARY "[%d,%d] scale=0x1p-3 = random {seed=5}\n", m, k);
        say_q8(k);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n"
            "%%a: i32[T,%d] = tmatmul %%q, $w {off=0}\nend\n",
            grain, units_of(m, grain), m);
        check_steps(false, "tmatmul");
    }
}

/* Every number of rows that has code of its own, and blocks with every rest; K of one line to 27. */
static void test_tmatmul_rows(void **state) {
    (void)state;
    static const int rows[] = {2, 3, 4, 5, 6, 8, 9, 13, 16, 17, 32, 33, 37, 41, 24, 128},
                     ks[] = {192, 2560, 6912};
    for (size_t k = 0; k < TN_COUNT(ks); k++) {
        say("$w: " TERNARY "[37,%d] scale=0x1p-3 = random {seed=5}\n", ks[k]);
        say_q8(ks[k]);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=32, units=2, barrier=1}\n"
            "%%a: i32[T,37] = tmatmul %%q, $w {off=0}\nend\n");
        for (size_t i = k ? 4 : 0; i < TN_COUNT(rows) - (k ? 2 : 0); i += 2)
            CHECK(rows[i] > 8 || rows[i + 1] > 8 ? 512 : 8, rows[i], rows[i + 1], false, "rows");
        case_done();
    }
}

static void test_tmatmul_dequant_add(void **state) {
    (void)state;
    static const int sizes[][3] = {{192, 33, 32}, {448, 97, 48}, {100, 300, 100}, {512, 128, 64}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int k = sizes[i][0], m = sizes[i][1], grain = sizes[i][2];
        say("$w: " TERNARY "[%d,%d] scale=[10:0x1p-3,%d:0x1.8p-2,5:0x1.1p-1] = random {seed=5}\n", m, k,
            m - 15);
        say("%%r: f32[T,%d] = input {name=\"r\"}\n", m);
        say_q8(k);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n"
            "%%a: i32[T,%d] = tmatmul %%q, $w\n"
            "%%d: f32[T,%d] = dequant %%a, %%q, $w\n"
            "%%y: f32[T,%d] = add %%r, %%d {off=0}\nend\n",
            grain, units_of(m, grain), m, m, m);
        check_steps(false, "tmatmul dequant add");
    }
}

/* Norm and quant in front, recomputed by every tile. */
static void test_tmatmul_prologue(void **state) {
    (void)state;
    static const int ks[] = {192, 448, 100};
    for (size_t i = 0; i < TN_COUNT(ks); i++) {
        int k = ks[i], m = 97;
        say("$w: " TERNARY "[%d,%d] scale=0x1p-3 = random {seed=5}\n$g: %s[%d] = random {seed=9}\n", m, k,
            i ? "f32" : "f16", k);
        say("%%x: f32[T,%d] = input {name=\"x\"}\n", k);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=32, units=4, barrier=1}\n"
            "%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n"
            "%%q: q8[T,%d] = quant %%n\n"
            "%%a: i32[T,%d] = tmatmul %%q, $w\n"
            "%%y: f32[T,%d] = dequant %%a, %%q, $w {off=0}\nend\n",
            k, k, m, m);
        check_steps(true, "rmsnorm quant tmatmul dequant");
    }
}

/* q|k|v in one product: rope on q and k, k and v into the cache, q out. */
static void qkv(int hd, int heads, int kv_heads, int grain, const char *mode, const char *kv, bool merged) {
    int k = 192, q = heads * hd, v = kv_heads * hd, m = q + 2 * v;
    if (merged)
        say("$w: " TERNARY "[%d,%d] scale=[%d:0x1p-3,%d:0x1.4p-3,%d:0x1.8p-3] = random {seed=5}\n", m, k, q,
            v, v);
    else
        say("$w: " TERNARY "[%d,%d] scale=0x1p-3 = random {seed=5}\n", m, k);
    say_places();
    say("%%ang: f32[T,%d] = input {name=\"angle\"}\n", hd);
    say("%%kc: kc_%s[N,%d,%d] = input {name=\"k0\"}\n%%vc: vc_%s[N,%d,%d] = input {name=\"v0\"}\n", kv,
        kv_heads, hd, kv, kv_heads, hd);
    say_q8(k);
    say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n"
        "%%a: i32[T,%d] = tmatmul %%q, $w\n"
        "%%d: f32[T,%d] = dequant %%a, %%q, $w\n",
        grain, units_of(q, grain) + 2 * units_of(v, grain), m, m);
    say("%%sq: f32[T,%d] = slice %%d {lo=0, n=%d}\n%%sk: f32[T,%d] = slice %%d {lo=%d, n=%d}\n"
        "%%sv: f32[T,%d] = slice %%d {lo=%d, n=%d}\n",
        q, q, v, q, v, v, q + v, v);
    say("%%rq: f32[T,%d] = rope %%sq, %%ang {mode=%s, off=0}\n%%rk: f32[T,%d] = rope %%sk, %%ang {mode=%s}\n",
        q, mode, v, mode);
    say("%%k1: kc_%s[N,%d,%d] = kv_put %%kc, %%rk, %%pos, %%slot, %%table\n"
        "%%v1: vc_%s[N,%d,%d] = kv_put %%vc, %%sv, %%pos, %%slot, %%table\nend\n",
        kv, kv_heads, hd, kv, kv_heads, hd);
    check_steps(false, mode);
}

static void test_qkv(void **state) {
    (void)state;
    static const int shapes[][4] = {
        {48, 3, 1, 48}, {64, 4, 2, 128}, {80, 2, 2, 80}, {100, 3, 1, 200}, {128, 2, 1, 128}};
    for (size_t i = 0; i < TN_COUNT(shapes); i++) {
        const int *s = shapes[i];
        qkv(s[0], s[1], s[2], s[3], i % 2 ? "pair" : "half", i % 2 ? "f32" : "f16", true);
        qkv(s[0], s[1], s[2], s[3], i % 2 ? "half" : "pair", i % 2 ? "f16" : "f32", false);
    }
}

/* gate|up: one part of two slices. With mulz, where code may skip columns: with factors of either sign, zero, and
 * too large for skipping. */
static void test_gate_up(void **state) {
    (void)state;
    static const char *const scales[] = {"0x1p-6,%d:0x1.4p-6", "-0x1p-6,%d:0x1.4p-6", "0x0p+0,%d:0x1.4p-6",
                                         "0x1p-6,%d:0x1p+127", "0x1p+127,%d:0x1p-6",  "0x1p-6,%d:-0x1p+127"};
    for (int i = 0; i < 16; i++) {
        int n = i % 2 ? 97 : 128, grain = i % 2 ? 20 : 64;
        const char *act = i == 2 || i == 3 ? "silu" : "relu2", *mul = i < 4 ? "mul" : "mulz";
        say("$w: " TERNARY "[%d,192] scale=[%d:", 2 * n, n);
        say(scales[i < 4 ? 0 : (i - 4) / 2], n);
        say("] = random {seed=5}\n");
        say_q8(192);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n"
            "%%a: i32[T,%d] = tmatmul %%q, $w\n%%d: f32[T,%d] = dequant %%a, %%q, $w\n",
            grain, units_of(n, grain), 2 * n, 2 * n);
        say("%%g: f32[T,%d] = slice %%d {lo=0, n=%d}\n%%u: f32[T,%d] = slice %%d {lo=%d, n=%d}\n", n, n, n, n,
            n);
        say("%%r: f32[T,%d] = %s %%g\n", n, act);
        say("%%y: f32[T,%d] = %s %s {off=0}\nend\n", n, mul, i % 4 < 2 ? "%r, %u" : "%u, %r");
        check_steps(false, mul);
    }
}

/* A scale a row: the table is read like a row of floats. Two values leave, one of them is read again inside.
 */
static void test_scale_a_row(void **state) {
    (void)state;
    enum { M = 97 };
    say("$w: " TERNARY "[%d,192] scale=[", M);
    for (int i = 0; i < M; i++) say("%s1:%a", i ? "," : "", (double)(1 + i) / 256);
    say("] = random {seed=5}\n");
    say_q8(192);
    say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=33, units=3, barrier=1}\n"
        "%%a: i32[T,%d] = tmatmul %%q, $w\n%%d: f32[T,%d] = dequant %%a, %%q, $w {off=0}\n"
        "%%y: f32[T,%d] = relu2 %%d {off=64}\nend\n",
        M, M, M);
    check_steps(false, "scale a row");
}

#ifdef DENSE_TOO
static void test_matmul(void **state) {
    (void)state;
    static const int sizes[][3] = {{192, 33, 32}, {448, 97, 24}, {100, 97, 20},
                                   {33, 64, 64},  {31, 5, 5},    {1100, 20, 20}};
    static const char *const encs[] = {"f32", "f16", "bf16"};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int k = sizes[i][0], m = sizes[i][1], grain = sizes[i][2];
        for (int e = 0; e < 3; e++) {
            say("$w: %s[%d,%d] = random {seed=5}\n%%x: f32[T,%d] = input {name=\"x\"}\n", encs[e], m, k, k);
            say("kernel @main {root=matmul, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n"
                "%%y: f32[T,%d] = matmul %%x, $w {off=0}\nend\n",
                grain, units_of(m, grain), m);
            check_steps(false, encs[e]);
        }
    }
}

/* The head: rows that want logits, normed, against the table. */
static void test_head(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        int k = i ? 100 : 192, m = 97;
        say("$w: f16[%d,%d] = random {seed=5}\n$g: f32[%d] = random {seed=7}\n", m, k, k);
        say("%%x: f32[T,%d] = input {name=\"x\"}\n%%rows: i32[R] = input {name=\"slot\"}\n", k);
        say("kernel @main {root=matmul, target=llvm, axis=cols, grain=32, units=4, barrier=1}\n");
        if (i) say("%%r: f32[R,%d] = gather %%x, %%rows\n", k);
        say("%%n: f32[%s,%d] = rmsnorm %%%s, $g {eps=0x1p-17}\n", i ? "R" : "T", k, i ? "r" : "x");
        say("%%y: f32[%s,%d] = matmul %%n, $w {off=0}\nend\n", i ? "R" : "T", m);
        check_steps(false, "head");
    }
}

/* Dense projections with everything after them. */
static void test_matmul_epilogue(void **state) {
    (void)state;
    int hd = 48;
    say("$w: bf16[%d,100] = random {seed=5}\n%%x: f32[T,100] = input {name=\"x\"}\n", 2 * hd);
    say_places();
    say("%%ang: f32[T,%d] = input {name=\"angle\"}\n%%kc: kc_f16[N,2,%d] = input {name=\"k0\"}\n", hd, hd);
    say("kernel @main {root=matmul, target=llvm, axis=cols, grain=%d, units=2, barrier=1}\n"
        "%%y: f32[T,%d] = matmul %%x, $w\n%%r: f32[T,%d] = rope %%y, %%ang {mode=half, off=0}\n"
        "%%k1: kc_f16[N,2,%d] = kv_put %%kc, %%r, %%pos, %%slot, %%table\nend\n",
        hd, 2 * hd, 2 * hd, hd);
    check_steps(false, "dense rope kv_put");
}

#endif

static const struct CMUnitTest cols_tests[] = {
    cmocka_unit_test_teardown(test_tmatmul_alone, case_teardown),
    cmocka_unit_test_teardown(test_tmatmul_rows, case_teardown),
    cmocka_unit_test_teardown(test_tmatmul_dequant_add, case_teardown),
    cmocka_unit_test_teardown(test_tmatmul_prologue, case_teardown),
    cmocka_unit_test_teardown(test_qkv, case_teardown),
    cmocka_unit_test_teardown(test_gate_up, case_teardown),
    cmocka_unit_test_teardown(test_scale_a_row, case_teardown),
#ifdef DENSE_TOO
    cmocka_unit_test_teardown(test_matmul, case_teardown),
    cmocka_unit_test_teardown(test_head, case_teardown),
    cmocka_unit_test_teardown(test_matmul_epilogue, case_teardown),
#endif
};

#endif
