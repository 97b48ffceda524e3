/* tmatmul over b80 as code of the levels that have it: what is asked of p64, with strips that begin anywhere, and strips that
 * begin at blocks or planes, which go other ways. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else
/* Levels that do not run here have the class 1..8 alone, as in case_check. */
static void check_base3(int rows_hi, int rows, int more, bool wild, const char *what) {
    static const char *const levels[] = {"avx-vnni", "avx512-vnni"};
    for (size_t i = 0; i < TN_COUNT(levels); i++)
        if (parity_runs(levels[i]) || rows_hi == 8)
            case_check_level(levels[i], rows_hi, rows, more, wild, what);
}

#define CHECK   check_base3
#define TERNARY "b80"
#include "codegen/cols_cases.h"

static void say_product(int m, int k, int grain) {
    say("$w: b80[%d,%d] scale=0x1p-3 = random {seed=5}\n", m, k);
    say_q8(k);
    say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, prefetch_l1=4096, "
        "barrier=1}\n"
        "%%a: i32[T,%d] = tmatmul %%q, $w {off=0}\nend\n",
        grain, units_of(m, grain), m);
}

/* Whole blocks, and strips of many rows that begin at planes: every number of rows that has code of its own; K with each rest
 * of four lines, of 20 columns and of a line of p64; a last block that is not whole. */
static void test_blocks(void **state) {
    (void)state;
    static const int sizes[][3] = {{80, 256, 80},  {160, 16, 80},  {170, 100, 80}, {240, 129, 160},
                                   {70, 1, 80},    {320, 400, 64}, {80, 2560, 80}, {200, 255, 112},
                                   {80, 6912, 16}, {33, 500, 160}, {400, 38, 128}, {96, 271, 96}};
    static const int rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 24, 31, 128};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        say_product(sizes[i][0], sizes[i][1], sizes[i][2]);
        CHECK(1, 1, 0, false, "blocks");
        for (size_t j = 0; j < TN_COUNT(rows) && (sizes[i][1] < 2000 || j < 10); j += 2)
            CHECK(rows[j + 1] > 8 ? 512 : 8, rows[j], rows[j + 1], false, "blocks");
        case_done();
    }
}

/* With norm and quantiser in front, scales of ranges of rows, and a product after; slices that begin with a block, or with a
 * plane. */
static void test_around(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        int k = i ? 448 : 300, half = i == 1 ? 160 : 176, n = i == 2 ? 100 : half;
        say("$w: b80[%d,%d] scale=[10:0x1p-3,%d:0x1.8p-2,5:0x1.1p-1] = random {seed=5}\n", 2 * half, k,
            2 * half - 15);
        say("$g: f32[%d] = random {seed=9}\n%%x: f32[T,%d] = input {name=\"x\"}\n", k, k);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=80, units=%d, barrier=1}\n",
            units_of(n, 80));
        say("%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,%d] = quant %%n\n", k, k);
        say("%%a: i32[T,%d] = tmatmul %%q, $w\n%%d: f32[T,%d] = dequant %%a, %%q, $w\n"
            "%%u: f32[T,%d] = slice %%d {lo=0, n=%d}\n%%v: f32[T,%d] = slice %%d {lo=%d, n=%d}\n"
            "%%s: f32[T,%d] = silu %%u\n%%y: f32[T,%d] = mul %%s, %%v {off=0}\nend\n",
            2 * half, 2 * half, n, n, n, half, n, n, n);
        check_steps(true, "around");
    }
}

/* By columns where most codes are 0, by blocks where not. */
static void test_columns(void **state) {
    (void)state;
    say("$w: b80[512,320] scale=0x1p-3 = random {seed=5}\n$t: t8[640,256] scale=0x1p+0 = colmajor $w\n"
        "$c: p64[640,256] scale=0x1p+0 = pack $t\n$g: f32[320] = random {seed=9}\n"
        "%%x: f32[T,320] = input {name=\"x\"}\n"
        "kernel @main {root=tmatmul, target=llvm, axis=cols, grain=256, units=2, barrier=1}\n"
        "%%n: f32[T,320] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,320] = quant %%n\n"
        "%%a: i32[T,512] = tmatmul %%q, $w, $c\n%%y: f32[T,512] = dequant %%a, %%q, $w {off=0}\nend\n");
    for (int i = 0; i < 6; i++) CHECK(1, 1, 0, i % 2, "columns");
    CHECK(8, 2, 7, true, "columns");
    case_done();
}

/* Sums as large as they get: the longest rows, all weights 1 or all -1, all codes 127 or all -127. */
static void check_largest(const char *level, int rows, int weight, int code) {
    TnGraph *g = case_graph(level, rows == 1 ? 1 : 8);
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows};
    Memory m = parity_memory(g, 1, sym);
    for (uint32_t n = 0; n < m.n_in; n++) {
        const TnType *t = &g->nodes[m.ref[n]].type;
        bool codes = t->enc == TN_ENC_q8; /* bytes of weights: 242 or 0 in base 3 */
        memset(m.p[n], codes || weight < 0 ? 0 : 255, m.bytes[n]);
        for (int r = 0; codes && r < rows; r++) {
            uint8_t *row = (uint8_t *)m.p[n] + (size_t)r * tn_row_bytes(t);
            int32_t sum = code * TN_B80_MOST;
            memset(row + TN_Q8_HEAD, code, TN_B80_MOST);
            memcpy(row + 4, &sum, 4);
        }
    }
    parity_check(g, level, 1, &m, sym, "largest");
    parity_memory_free(&m);
    tn_graph_destroy(g);
}

static void test_largest(void **state) {
    (void)state;
    say_product(80, TN_B80_MOST, 80);
    for (int i = 0; i < 8; i++) {
        check_largest("avx-vnni", i & 1 ? 3 : 1, i & 2 ? -1 : 1, i & 4 ? -127 : 127);
        check_largest("avx512-vnni", i & 1 ? 3 : 1, i & 2 ? -1 : 1, i & 4 ? -127 : 127);
    }
    case_done();
}

/* Levels without products of unsigned and signed bytes have no code for it. */
static void test_levels(void **state) {
    (void)state;
    static const struct {
        const char *level;
        bool can;
    } cases[] = {{"avx2", false}, {"avx-vnni", true},      {"avx512-vnni", true}, {"amx", true},
                 {"neon", false}, {"neon-dotprod", false}, {"neon-i8mm", false}};
    say_product(80, 256, 80);
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TnGraph *g = case_graph(cases[i].level, 8);
        assert_int_equal(tn_target_llvm.desc.can(g, 1, cases[i].level) > 0, cases[i].can);
        tn_graph_destroy(g);
    }
    case_done();
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_blocks, case_teardown),
        cmocka_unit_test_teardown(test_around, case_teardown),
        cmocka_unit_test_teardown(test_columns, case_teardown),
        cmocka_unit_test_teardown(test_largest, case_teardown),
        cmocka_unit_test_teardown(test_levels, case_teardown),
    };
    return cmocka_run_group_tests(cols_tests, NULL, NULL) + cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
