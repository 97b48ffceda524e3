/* The llvm target as a whole: many kernels to one image by two threads, the same bytes every time;
 * cancelling; saying no. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

enum { KERNELS = 20 };

static TnGraph *many(const char *level) {
    case_done();
    say("%%y0: f32[T,192] = input {name=\"x\"}\n");
    for (int i = 0; i < KERNELS; i++)
        say("kernel @k%d {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
            "%%y%d: f32[T,192] = relu2 %%y%d {off=%d}\nend\n",
            i, i + 1, i, 768 * i);
    return case_graph(level, 8);
}

static void jobs_of(const TnGraph *g, TnEmitJob *jobs, char names[][16]) {
    for (int i = 0; i < KERNELS; i++) {
        snprintf(names[i], 16, "kernel_%d", i);
        jobs[i] = (TnEmitJob){.g = g, .kernel = (uint32_t)i, .symbol = names[i]};
    }
}

static void test_same_image(void **state) {
    (void)state;
    for (size_t l = 0; l < TN_COUNT(parity_levels); l++) {
        TnGraph *g = many(parity_levels[l]);
        TnEmitJob a[KERNELS], b[KERNELS];
        char names[KERNELS][16];
        TnBuf first = {0}, again = {0};
        TernError err;
        jobs_of(g, a, names);
        jobs_of(g, b, names);
        assert_int_equal(tn_target_llvm.emit(a, KERNELS, parity_levels[l], &first, NULL, NULL, &err),
                         TERN_OK);
        tn_buf_put(&again, "something before", 16);
        tn_buf_align(&again, 4096);
        assert_int_equal(tn_target_llvm.emit(b, KERNELS, parity_levels[l], &again, NULL, NULL, &err),
                         TERN_OK);
        assert_int_equal(again.len, first.len + 4096);
        assert_memory_equal(again.data + 4096, first.data, first.len);
        for (int i = 0; i < KERNELS; i++) {
            assert_int_equal(b[i].entry, a[i].entry + 4096);
            assert_true(i == 0 || a[i].entry > a[i - 1].entry);
        }
        tn_buf_free(&first);
        tn_buf_free(&again);
        tn_graph_destroy(g);
    }
}

static int stop(void *user, const char *phase, uint64_t done, uint64_t total) {
    assert_string_equal(phase, "codegen");
    assert_int_equal(total, KERNELS);
    assert_in_range(done, 1, total);
    ++*(int *)user;
    return 1;
}

static void test_cancel(void **state) {
    (void)state;
    TnGraph *g = many("avx2");
    TnEmitJob a[KERNELS];
    char names[KERNELS][16];
    TnBuf image = {0};
    TernError err;
    int calls = 0;
    jobs_of(g, a, names);
    assert_int_equal(tn_target_llvm.emit(a, KERNELS, "avx2", &image, stop, &calls, &err), TERN_ERR_CANCELLED);
    assert_int_equal(calls, 1);
    assert_int_equal(image.len, 0);
    tn_graph_destroy(g);
}

static void test_no(void **state) {
    (void)state;
    case_done();
    TernError err;
    TnBuf image = {0};
    assert_int_not_equal(tn_target_llvm.emit(NULL, 0, "avx9", &image, NULL, NULL, &err), TERN_OK);
    assert_non_null(strstr(err.text, "avx9"));
    /* ternary weights that nobody packed */
    say("$w: t8[33,64] scale=0x1p0 = random {seed=1}\n%%x: f32[T,64] = input {name=\"x\"}\n"
        "kernel @k {root=tmatmul, target=llvm, axis=cols, grain=33, units=1, barrier=1}\n"
        "%%q: q8[T,64] = quant %%x\n%%a: i32[T,33] = tmatmul %%q, $w {off=0}\nend\n");
    TnGraph *g = case_graph("avx2", 8);
    assert_int_equal(tn_target_llvm.desc.can(g, 0, "avx2"), 0);
    assert_int_equal(tn_target_llvm.desc.can(g, 0, "avx9"), 0);
    assert_int_equal(tn_target_llvm.desc.prefer(&g->nodes[0].type, TN_OP_tmatmul, "avx2"), TN_ENC_p64);
    tn_graph_destroy(g);
    case_done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_image),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
