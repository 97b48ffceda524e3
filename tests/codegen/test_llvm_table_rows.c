/* Tables in the blocks in which files store them: code of every level against the evaluator, bit for bit, and which tables
 * the targets read so. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

static const char *const encs[] = {"q8_0", "q4_k", "q5_k", "q6_k"};

static void test_embed(void **state) {
    (void)state;
    for (size_t e = 0; e < TN_COUNT(encs); e++)
        for (int i = 1; i <= 3; i++) {
            int n = e ? 256 * i : 32 * (2 * i - 1);
            say("$e: %s[7,%d] = gguf {name=\"w\", hash=0x1}\n%%ids: i32[T] = input {name=\"ids\"}\n", encs[e],
                n);
            say("kernel @main {root=embed, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
                "%%y: f32[T,%d] = embed %%ids, $e {off=0}\nend\n",
                n);
            for (int wild = 0; wild < 2; wild++) {
                case_check(8, 1, 0, wild, encs[e]);
                case_check(512, 13, 0, wild, encs[e]);
            }
            case_done();
        }
}

/* One row, blocks of up to 8 rows, and several blocks, each with strips that do not divide the columns. */
static void test_matmul(void **state) {
    (void)state;
    static const int sizes[][3] = {{256, 33, 32}, {768, 97, 24}, {512, 5, 64}, {1280, 20, 20}};
    for (size_t e = 0; e < TN_COUNT(encs); e++)
        for (size_t i = 0; i < TN_COUNT(sizes); i++) {
            int k = e ? sizes[i][0] : sizes[i][0] / 8 * 3, m = sizes[i][1], grain = sizes[i][2];
            say("$w: %s[%d,%d] = gguf {name=\"w\", hash=0x1}\n%%x: f32[T,%d] = input {name=\"x\"}\n", encs[e],
                m, k, k);
            say("kernel @main {root=matmul, target=llvm, axis=cols, grain=%d, units=%d, prefetch_l1=4096, "
                "barrier=1}\n"
                "%%y: f32[T,%d] = matmul %%x, $w {off=0}\nend\n",
                grain, (m + grain - 1) / grain, m);
            case_check(1, 1, 0, i == 0, encs[e]);
            case_check(8, 1, 7, i == 0, encs[e]);
            case_check(512, 1, 31, i == 0, encs[e]);
            case_done();
        }
}

static bool reads(const TnTarget *t, TnEnc enc, int64_t columns, const char *level) {
    TnType type = tn_type(enc, 2, (TnDim)64, (TnDim)columns);
    TnEnc got = t->desc.prefer(&type, TN_OP_matmul, level);
    if (got != enc) assert_int_equal(got, TN_ENC_f32);
    return got == enc;
}

/* A table that a target does not read as it is becomes f32. */
static void test_which(void **state) {
    (void)state;
    static const TnEnc read[] = {TN_ENC_q8_0, TN_ENC_q4_k, TN_ENC_q5_k, TN_ENC_q6_k};
    static const TnEnc unpacked[] = {TN_ENC_q4_0, TN_ENC_q4_1,  TN_ENC_q5_0,
                                     TN_ENC_q5_1, TN_ENC_mxfp4, TN_ENC_i8s};
    const TnTarget *ptx = tn_target_find("ptx");
    for (size_t i = 0; i < TN_COUNT(read); i++) {
        assert_true(reads(&tn_target_llvm, read[i], 16384, "avx2"));
        assert_false(reads(&tn_target_llvm, read[i], 16384 + 256, "neon"));
        assert_false(ptx && reads(ptx, read[i], 256, "sm_80"));
    }
    for (size_t i = 0; i < TN_COUNT(unpacked); i++)
        assert_false(reads(&tn_target_llvm, unpacked[i], 256, "avx2"));
    assert_true(reads(&tn_target_llvm, TN_ENC_f16, 1 << 20, "avx2"));
}

/* A planned graph that leaves such a table as it is has no kernel. */
static void test_refused(void **state) {
    (void)state;
    say("$e: q4_0[7,64] = gguf {name=\"w\", hash=0x1}\n%%ids: i32[T] = input {name=\"ids\"}\n"
        "kernel @main {root=embed, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
        "%%y: f32[T,64] = embed %%ids, $e {off=0}\nend\n");
    TnGraph *g = case_graph("avx2", 8);
    assert_int_equal(tn_target_llvm.desc.can(g, 0, "avx2"), 0);
    tn_graph_destroy(g);
    case_done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_embed, case_teardown),
        cmocka_unit_test_teardown(test_matmul, case_teardown),
        cmocka_unit_test(test_which),
        cmocka_unit_test_teardown(test_refused, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
