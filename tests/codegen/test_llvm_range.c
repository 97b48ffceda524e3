/* Ternary products at the largest K of each level: with all codes and activations at their extremes the code gives
 * the exact sum, also where it is summed in pieces. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

enum { M = 3, ROWS = 2 };

static size_t row_of(const TnGraph *g, const char *name) {
    return tn_row_bytes(&g->nodes[tn_map_get(&g->names, name, strlen(name))].type);
}

static TnGraph *product(const char *level, int64_t k, int rows, bool two) {
    case_done();
    say("$w: p64[%d,%lld] scale=0x1p+0%s = random {seed=5}\n%%x: f32[T,%lld] = input {name=\"x\"}\n"
        "kernel @in {root=none, target=ref, axis=rows, grain=1, units=1, barrier=1}\n%%q: q8[T,%lld] = quant "
        "%%x {off=0}\nend\n",
        M, (long long)k, two ? " most=2" : "", (long long)k, (long long)k);
    say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=1, barrier=1}\n"
        "%%a: i32[T,%d] = tmatmul %%q, $w {off=0}\nend\n"
        "%%out: i32[T,%d] = output %%a {name=\"best\"}\n",
        M, M, M);
    return case_graph(level, rows);
}

/* Whatever K, the sum is exact: of the largest K that the IR has, and where the ways of summing change. */
static void exact(const char *level, int64_t k, int rows_hi, bool two) {
    int rows = rows_hi < ROWS ? rows_hi : ROWS;
    TnGraph *g = product(level, k, rows_hi, two);
    assert_true(tn_target_llvm.desc.can(g, 1, level) > 0);
    Compiled c = parity_compile(g, 1, level);
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows};
    Memory m = parity_memory(g, 1, sym);
    uint8_t *q = parity_named(g, &m, "q"), *w = parity_named(g, &m, "w");
    size_t row = row_of(g, "q"), wide = row_of(g, "w");
    memset(q, 0, row * (size_t)rows);
    for (int r = 0; r < rows; r++) {
        int32_t sum = (int32_t)((r ? -127 : 127) * k);
        memcpy(q + row * (size_t)r + 4, &sum, 4);
        memset(q + row * (size_t)r + TN_Q8_HEAD, r ? -127 : 127, (size_t)k);
    }
    memset(w, two ? 0xff : 0xaa, wide); /* all +1, or +2 */
    memset(w + wide, 0x00, wide);       /* all -1 */
    memset(w + 2 * wide, 0x55, wide);   /* all 0 */
    uint8_t *room = parity_alloc(c.job.scratch, 0xff);
    if (parity_works(&c)) {
        parity_call(&c, &m, sym, 0, 1, room, false);
        const int32_t *a = parity_named(g, &m, "a");
        for (int r = 0; r < rows; r++) {
            int64_t most = (r ? -1 : 1) * tn_range_sum(k);
            assert_int_equal(a[r * TN_PAD], two ? 2 * most : most);
            assert_int_equal(a[r * TN_PAD + 1], -most);
            assert_int_equal(a[r * TN_PAD + 2], 0);
        }
    }
    free(room);
    parity_memory_free(&m);
    parity_free(&c);
    tn_graph_destroy(g);
}

static void at(const char *level, int64_t k, int rows_hi) {
    exact(level, k, rows_hi, false);
}

static TnDot dot_of(const char *level, int rows_hi, bool two) {
    TnDot d;
    TnGraph *small = product(level, 256, rows_hi, two);
    assert_true(tn_target_llvm.desc.dot_of(small, small->kernels[1].root, &d));
    tn_graph_destroy(small);
    return d;
}

static void test_limits(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        const char *level = parity_levels[i];
        int64_t most = tn_range_sum_most_k();
        TnDot d = dot_of(level, 1, false);
        int64_t split = tn_range_split(&d, most) * 256;
        for (int64_t k = split; split < most && k <= split + 1; k++) at(level, k, 1);
        at(level, most, 1);
        at(level, most, 8);
        at(level, most, 9); /* eight at a time: unpacked it would take too much */
    }
}

/* Weights of 2: half as many columns, other stretches. */
static void test_two(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        const char *level = parity_levels[i];
        int64_t most = tn_range_sum_most_k() / 2;
        TnDot d = dot_of(level, 1, true);
        int64_t split = tn_range_split(&d, most) * 256;
        for (int64_t k = split; split < most && k <= split + 1; k++) exact(level, k, 1, true);
        exact(level, most, 1, true);
        exact(level, most, 8, true);
        for (int64_t k = 256; k <= 2560; k += 256) {
            if (!parity_due(level)) continue;
            exact(level, k, 1, true);
            exact(level, k - 255, 2, true);
            exact(level, k, 9, true);
        }
    }
}

/* Around the lines after which an i16 is widened. */
static void test_widening(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++)
        for (int64_t k = 256; k <= 2560; k += 256) {
            if (!parity_due(parity_levels[i])) continue;
            at(parity_levels[i], k, 1);
            at(parity_levels[i], k - 255, 1);
            at(parity_levels[i], k, 2);
            at(parity_levels[i], k, 9);
        }
}

/* Many rows have their weights unpacked, which takes memory: of longer rows they are not. */
static void test_unpacked(void **state) {
    (void)state;
    for (int64_t k = 1 << 19; k <= (1 << 19) + 1; k++) {
        TnGraph *g = product("avx2", k, 9, false);
        Compiled c = parity_compile(g, 1, "avx2");
        assert_true(k == 1 << 19 ? c.job.scratch > 1u << 24 : c.job.scratch < 1u << 16);
        parity_free(&c);
        tn_graph_destroy(g);
        at("avx2", k, 9);
    }
}

static void expect_dot(const char *level, int64_t k, bool two, int code, int meets, bool exact32) {
    TnGraph *g = product(level, k, 9, two);
    TnDot d;
    assert_true(tn_target_llvm.desc.dot_of(g, g->kernels[1].root, &d));
    tn_graph_destroy(g);
    if (d.code != code || d.meets != meets || d.exact32 != exact32)
        fail_msg("%s, %lld columns: code %d meets %d exact %d", level, (long long)k, d.code, d.meets,
                 d.exact32);
}

/* Many rows: AVX-512 VNNI masks packed codes, or takes whole bytes, where their sums fit; others shift them down, and long rows go
 * a few at a time. */
static void test_many(void **state) {
    (void)state;
    for (int two = 0; two < 2; two++) {
        expect_dot("avx512-vnni", 256, two, 0x55 * (2 + two), 256, true);
        expect_dot("avx512-vnni", 65536, two, 0x55 * (2 + two), 256, true);
        expect_dot("avx512-vnni", 65537, two, 2 + two, 256, false);
        expect_dot("avx512-vnni", (1 << 19) + 1, two, 2 + two, 16, false);
        expect_dot("avx-vnni", 256, two, 2 + two, 256, false);
        expect_dot("avx2", 256, two, 2 + two, two ? 32 : 256, false);
        expect_dot("amx", 256, two, 2 + two, 256, false);
        expect_dot("amx", (1 << 19) + 1, two, 2 + two, 16, false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_limits, case_teardown),
                                       cmocka_unit_test_teardown(test_widening, case_teardown),
                                       cmocka_unit_test_teardown(test_two, case_teardown),
                                       cmocka_unit_test_teardown(test_many, case_teardown),
                                       cmocka_unit_test_teardown(test_unpacked, case_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
