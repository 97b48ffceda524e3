/* tmatmul over b64 as code of every level: what is asked of p64, with strips that begin anywhere, and strips of whole blocks,
 * which go other ways. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else
#define CHECK   case_check
#define TERNARY "b64"
#include "codegen/cols_cases.h"

static void say_product(int m, int k, int grain, const char *more) {
    say("$w: b64[%d,%d] scale=0x1p-3%s = random {seed=5}\n", m, k, more);
    say_q8(k);
    say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, prefetch_l1=4096, "
        "barrier=1}\n"
        "%%a: i32[T,%d] = tmatmul %%q, $w {off=0}\nend\n",
        grain, units_of(m, grain), m);
}

/* Whole blocks: every number of rows that has code of its own; K with each rest of a line of p64, of 128 columns and of 16;
 * weights of 2; a last block that is not whole. */
static void test_blocks(void **state) {
    (void)state;
    static const int sizes[][3] = {{64, 256, 64},  {128, 16, 64},  {130, 100, 64}, {192, 129, 128},
                                   {70, 1, 64},    {256, 400, 64}, {64, 2560, 64}, {200, 255, 192},
                                   {64, 6912, 64}, {33, 500, 128}};
    static const int rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 96, 97, 98, 105, 13, 24, 31, 128};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        say_product(sizes[i][0], sizes[i][1], sizes[i][2], i % 3 == 2 ? " most=2" : "");
        CHECK(1, 1, 0, false, "blocks");
        for (size_t j = 0; j < TN_COUNT(rows) && (sizes[i][1] < 2000 || j < 10); j += 2)
            CHECK(rows[j + 1] > 8 ? 512 : 8, rows[j], rows[j + 1], false, "blocks");
        case_done();
    }
}

/* With norm and quantiser in front, scales of ranges of rows, and a sum after; slices that begin with a block. */
static void test_around(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        int k = i ? 448 : 300, n = i == 2 ? 100 : 128;
        say("$w: b64[256,%d] scale=[10:0x1p-3,241:0x1.8p-2,5:0x1.1p-1] = random {seed=5}\n", k);
        say("$g: f32[%d] = random {seed=9}\n%%x: f32[T,%d] = input {name=\"x\"}\n", k, k);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=64, units=2, barrier=1}\n");
        say("%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,%d] = quant %%n\n", k, k);
        say("%%a: i32[T,256] = tmatmul %%q, $w\n%%d: f32[T,256] = dequant %%a, %%q, $w\n"
            "%%u: f32[T,%d] = slice %%d {lo=0, n=%d}\n%%v: f32[T,%d] = slice %%d {lo=128, n=%d}\n"
            "%%s: f32[T,%d] = silu %%u\n%%y: f32[T,%d] = mul %%s, %%v {off=0}\nend\n",
            n, n, n, n, n, n);
        check_steps(true, "around");
    }
}

/* By columns where most codes are 0, by blocks where not. */
static void test_columns(void **state) {
    (void)state;
    say("$w: b64[512,320] scale=0x1p-3 = random {seed=5}\n$t: t8[640,256] scale=0x1p+0 = colmajor $w\n"
        "$c: p64[640,256] scale=0x1p+0 = pack $t\n$g: f32[320] = random {seed=9}\n"
        "%%x: f32[T,320] = input {name=\"x\"}\n"
        "kernel @main {root=tmatmul, target=llvm, axis=cols, grain=256, units=2, barrier=1}\n"
        "%%n: f32[T,320] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,320] = quant %%n\n"
        "%%a: i32[T,512] = tmatmul %%q, $w, $c\n%%y: f32[T,512] = dequant %%a, %%q, $w {off=0}\nend\n");
    for (int i = 0; i < 6; i++) CHECK(1, 1, 0, i % 2, "columns");
    CHECK(8, 2, 7, true, "columns");
    case_done();
}

/* Sums as large as they get, and so long that masked ones would not fit. */
static void test_largest(void **state) {
    (void)state;
    static const int ks[] = {512, 65536, 65552};
    static const struct {
        int rows, most;
        bool panels;
    } all[] = {{1, 1, false}, {3, 8, false}, {8, 8, false}, {13, 512, false}, {103, 512, true}};
    for (size_t i = 0; i < TN_COUNT(ks) * TN_COUNT(all) * 2; i++) {
        size_t of = i / 2 % TN_COUNT(all);
        int k = ks[i / 2 / TN_COUNT(all)], rows = all[of].rows;
        say_product(64, k, 64, " most=2");
        for (size_t l = 0; l < TN_COUNT(parity_levels); l++) {
            if (rows > 3 && !parity_runs(parity_levels[l])) continue;
            /* elsewhere there is no choice, and so many rows take long */
            if (all[of].panels && (strcmp(parity_levels[l], "avx512-vnni") != 0 || k == 65552)) continue;
            TnGraph *g = case_graph(parity_levels[l], all[of].most);
            g->kernels[1].panels = all[of].panels;
            int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows};
            Memory m = parity_memory(g, 1, sym);
            for (uint32_t n = 0; n < m.n_in; n++) {
                const TnType *t = &g->nodes[m.ref[n]].type;
                bool codes = t->enc == TN_ENC_q8;
                memset(m.p[n], codes ? 0 : 0xff, m.bytes[n]);
                for (int r = 0; codes && r < rows; r++) {
                    uint8_t *row = (uint8_t *)m.p[n] + (size_t)r * tn_row_bytes(t);
                    int32_t sum = (i % 2 ? -127 : 127) * k;
                    memset(row + TN_Q8_HEAD, i % 2 ? 0x81 : 0x7f, (size_t)k);
                    memcpy(row + 4, &sum, 4);
                }
            }
            parity_check(g, parity_levels[l], 1, &m, sym, "largest");
            parity_memory_free(&m);
            tn_graph_destroy(g);
        }
        case_done();
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_blocks, case_teardown),
        cmocka_unit_test_teardown(test_around, case_teardown),
        cmocka_unit_test_teardown(test_columns, case_teardown),
        cmocka_unit_test_teardown(test_largest, case_teardown),
    };
    return cmocka_run_group_tests(cols_tests, NULL, NULL) + cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
