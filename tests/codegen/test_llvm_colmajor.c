/* tmatmul of one row that also has its weights by columns: every share of zeros in a row, so that both ways are taken,
 * lists of every remainder, blocks that are not whole. The evaluator, which reads only by rows, gives the expected result. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

static void say_weights(int m, int k) {
    say("$w: p64[%d,%d] scale=0x1p-3 = random {seed=5}\n", m, k);
    say("$t: t8[%d,256] scale=0x1p+0 = colmajor $w\n", (m + 255) / 256 * k);
    say("$c: p64[%d,256] scale=0x1p+0 = pack $t\n", (m + 255) / 256 * k);
}

/* What the compiled kernel makes of a row of q8 with `some` codes that are not 0. */
static void check_row(const TnGraph *g, uint32_t kernel, const Compiled *c, int some, const char *what) {
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1, [TN_R] = 1, [TN_S] = 1, [TN_P] = 1, [TN_N] = 1};
    Memory m = parity_memory(g, kernel, sym), want;
    case_fill(g, &m, sym, false);
    for (uint32_t i = 0; i < m.n_in; i++) {
        const TnType *t = &g->nodes[m.ref[i]].type;
        if (t->enc != TN_ENC_q8) continue;
        int8_t *codes = (int8_t *)m.p[i] + TN_Q8_HEAD;
        int k = (int)t->dim[1], left = some;
        int32_t sum = 0;
        for (int j = 0; j < k; j++) { /* which: at random, but so many */
            bool on = (int)(parity_u32() % (uint32_t)(k - j)) < left;
            left -= on;
            codes[j] = (int8_t)(!on ? 0 : some > 200 ? 127 : (parity_u32() & 1) ? 1 + j % 127 : -1 - j % 127);
            sum += codes[j];
        }
        memcpy((char *)m.p[i] + 4, &sum, 4);
    }
    want = parity_copy(&m);
    void *scratch = parity_alloc(tn_eval_kernel_scratch(g, kernel, sym), 0xff);
    tn_eval_kernel(g, kernel, want.p, sym, scratch);
    free(scratch);
    uint8_t *room = parity_alloc((size_t)c->job.scratch, 0xff);
    Memory got = parity_copy(&m);
    int64_t units = g->kernels[kernel].units;
    for (int64_t u = units; u > 0; u--) parity_call(c, &got, sym, u - 1, u, room, u < units);
    parity_compare(g, &want, &got, sym, what);
    free(room);
    parity_memory_free(&got);
    parity_memory_free(&want);
    parity_memory_free(&m);
}

/* The text said so far on every level, with rows of so many codes as far as there are k. */
static void check_rows(const int *some, size_t n, int k, const char *what) {
    for (size_t l = 0; l < TN_COUNT(parity_levels); l++) {
        if (!parity_due(parity_levels[l])) continue;
        TnGraph *g = case_graph(parity_levels[l], 1);
        Compiled c = parity_compile(g, 1, parity_levels[l]);
        for (size_t i = 0; parity_works(&c) && i < n; i++) {
            char line[96];
            snprintf(line, sizeof line, "%s %s, %d of %d codes", parity_levels[l], what, some[i], k);
            if (some[i] <= k) check_row(g, 1, &c, some[i], line);
        }
        parity_free(&c);
        tn_graph_destroy(g);
    }
}

static void test_shares(void **state) {
    (void)state;
    static const int sizes[][2] = {{256, 64}, {1, 7}, {255, 100}, {300, 2049}, {513, 640}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int m = sizes[i][0], k = sizes[i][1];
        say_weights(m, k);
        say_q8(k);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=256, units=%d, barrier=1}\n"
            "%%a: i32[T,%d] = tmatmul %%q, $w, $c {off=0}\nend\n",
            (m + 255) / 256, m);
        int some[] = {0, 1, 2, 3, 4, 5, 31, 128, 129, k / 2, k / 2 + 1, k};
        char what[32];
        snprintf(what, sizeof what, "%d x %d", m, k);
        check_rows(some, TN_COUNT(some), k, what);
        case_done();
    }
}

/* With all that a layer has around it: few of the wild floats are not quantised to 0. A grain that is no block, and rows
 * of more than one, are done by rows. */
static void test_around(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        int k = i % 2 ? 448 : 300, m = 600, grain = i < 3 ? 256 : 64;
        say_weights(m, k);
        say("$g: f32[%d] = random {seed=9}\n%%r: f32[T,%d] = input {name=\"r\"}\n", k, m);
        say("%%x: f32[T,%d] = input {name=\"x\"}\n", k);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n", grain,
            (m + grain - 1) / grain);
        say("%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,%d] = quant %%n\n", k, k);
        say("%%a: i32[T,%d] = tmatmul %%q, $w, $c\n%%d: f32[T,%d] = dequant %%a, %%q, $w\n"
            "%%y: f32[T,%d] = add %%r, %%d {off=0}\nend\n",
            m, m, m);
        case_check(1, 1, 0, i % 2, "around");
        case_check(8, 2, 7, true, "around");
        case_done();
    }
}

/* Slices whose blocks are whole, and one whose are not. */
static void test_slices(void **state) {
    (void)state;
    parity_everywhere = true;
    for (int cut = 256; cut <= 300; cut += 44) {
        say_weights(2 * cut, 320);
        say_q8(320);
        say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=256, units=%d, barrier=1}\n"
            "%%a: i32[T,%d] = tmatmul %%q, $w, $c\n%%d: f32[T,%d] = dequant %%a, %%q, $w\n",
            (cut + 255) / 256, 2 * cut, 2 * cut);
        say("%%u: f32[T,%d] = slice %%d {lo=0, n=%d}\n%%v: f32[T,%d] = slice %%d {lo=%d, n=%d}\n", cut, cut,
            cut, cut, cut);
        say("%%y: f32[T,%d] = mul %%u, %%v {off=0}\nend\n", cut);
        int some[] = {0, 80, 160, 240, 320};
        check_rows(some, TN_COUNT(some), 320, "slices");
        case_done();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_shares, case_teardown),
        cmocka_unit_test_teardown(test_around, case_teardown),
        cmocka_unit_test_teardown(test_slices, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
