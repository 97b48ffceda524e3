/* The level amx: its products of many rows against the evaluator, and a whole model from a file against the
 * other levels, byte for byte. On machines without AMX the tile instructions are emulated, on machines with it
 * they run. */
#include <unistd.h>
#include "codegen/llvm_cases.h"
#include "frontends/gguf/gguf.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"
#include "runtime/tern.h"
#include "support/amx_emulator.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

static bool emulated;

/* In place of the runtime's (features.c): a machine without tiles has them by emulation. */
uint32_t tn_cpu_features(uint32_t *refused) {
    *refused = 0;
    emulated = !tn_os_allow_amx();
    if (emulated && !amx_emulator_install()) return 0;
    return TN_CPU_X86_V3 | TN_CPU_AVX512 | TN_CPU_AVX512_VNNI | TN_CPU_AMX_INT8;
}

/* cmocka has a handler for SIGILL around every test. */
static void emulate_tiles(void) {
    if (emulated) assert_true(amx_emulator_install());
}

static void say_product(const char *enc, int k, int m, int grain, int seed) {
    say("$w: %s[%d,%d] scale=0x1p-3 = random {seed=%d}\n", enc, m, k, seed);
    say_q8(k);
    say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n"
        "%%a: i32[T,%d] = tmatmul %%q, $w\n%%d: f32[T,%d] = dequant %%a, %%q, $w {off=0}\nend\n",
        grain, (m + grain - 1) / grain, m, m);
}

/* Rows: less than a tile, one tile, pairs of tiles and a rest, more than a block; K: less than a chunk, whole
 * chunks, and not; columns: odd, less than a pair of panels. */
static void test_products(void **state) {
    (void)state;
    emulate_tiles();
    static const int sizes[][4] = {{192, 33, 32, 9},   {448, 97, 64, 33}, {100, 97, 20, 47},
                                   {2560, 40, 64, 64}, {256, 16, 5, 150}, {6912, 20, 64, 16},
                                   {576, 65, 128, 128}};
    static const char *const encs[] = {"p64", "b64", "b80"};
    for (size_t i = 0; i < TN_COUNT(sizes) * 3; i++) {
        const int *s = sizes[i / 3];
        say_product(encs[i % 3], s[0], s[1], s[2], 5);
        case_check_level("amx", 512, s[3], 1, false, "tmatmul");
        case_done();
    }
}

/* Up to eight rows: every number of them; K: less than a line, lines that are no whole chunk, one more than a chunk; columns:
 * less than a tile, odd, strips that end within one. */
static void test_few_rows(void **state) {
    (void)state;
    emulate_tiles();
    static const int sizes[][3] = {{100, 33, 32},  {192, 5, 32},   {2560, 50, 64},
                                   {1024, 16, 16}, {1280, 97, 20}, {6912, 20, 64}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        say_product("p64", sizes[i][0], sizes[i][1], sizes[i][2], 6);
        uint64_t before = amx_emulator_products();
        for (int rows = 1; rows <= 8; rows += 2) case_check_level("amx", 8, rows, rows + 1, false, "tmatmul");
        if (emulated) assert_true(amx_emulator_products() > before);
        case_done();
    }
}

/* b64 and b80 have no code on tiles for so few rows. */
static void test_few_rows_beside(void **state) {
    (void)state;
    emulate_tiles();
    static const int sizes[][3] = {{100, 33, 32}, {2560, 130, 64}, {1280, 97, 20}};
    for (size_t i = 0; i < TN_COUNT(sizes) * 2; i++) {
        const int *s = sizes[i / 2];
        say_product(i % 2 ? "b80" : "b64", s[0], s[1], s[2], 6);
        for (int rows = 1; rows <= 8; rows += 2) case_check_level("amx", 8, rows, rows + 1, false, "tmatmul");
        case_done();
    }
}

/* The quantiser inside the kernel: its rows are arranged once for all units of a worker. */
static void test_few_rows_fused(void **state) {
    (void)state;
    emulate_tiles();
    say("$w: p64[70,300] scale=0x1p-3 = random {seed=7}\n%%x: f32[T,300] = input {name=\"x\"}\n"
        "kernel @main {root=tmatmul, target=llvm, axis=cols, grain=20, units=4, barrier=1}\n"
        "%%q: q8[T,300] = quant %%x {off=0}\n%%a: i32[T,70] = tmatmul %%q, $w\n"
        "%%d: f32[T,70] = dequant %%a, %%q, $w {off=4096}\nend\n");
    for (int rows = 1; rows <= 8; rows += 2) case_check_level("amx", 8, rows, rows + 1, false, "tmatmul");
}

/* By groups of columns, with and without blocks of weights of their own for each strip. */
static void test_groups(void **state) {
    (void)state;
    emulate_tiles();
    static const int sizes[][4] = {
        {256, 64, 128, 64}, {384, 128, 97, 64}, {768, 256, 200, 128}, {256, 128, 70, 20}};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        int k = sizes[i][0], n = sizes[i][1], m = sizes[i][2], grain = sizes[i][3];
        say("$w: r64[%d,%d] scale=group:%d most=2 = random {seed=7}\n%%x: f32[T,%d] = input {name=\"x\"}\n",
            m, k, n, k);
        say("kernel @main {root=tmatmul_groups, target=llvm, axis=cols, grain=%d, units=%d, barrier=1}\n"
            "%%q: q8g[T,%d] scale=group:%d = quant_groups %%x {n=%d}\n"
            "%%y: f32[T,%d] = tmatmul_groups %%q, $w {off=0}\nend\n",
            grain, (m + grain - 1) / grain, k, n, n, m);
        case_check_level("amx", 8, 1, 7, true, "groups");
        uint64_t before = amx_emulator_products();
        case_check_level("amx", 512, 9, 33, true, "groups");
        if (emulated) assert_true(amx_emulator_products() > before);
        case_check_level("amx", 512, 16, 150, false, "groups");
        case_done();
    }
}

static void must(TernStatus s, const TernError *err) {
    if (s != TERN_OK) fail_msg("%s", err->text);
}

typedef struct Seen {
    float *logits; /* one row after the other */
    size_t n, vocab;
    int32_t best;
} Seen;

static void keep(void *user, const TernResult *r) {
    Seen *s = user;
    memcpy(s->logits + s->n * s->vocab, r->logits, s->vocab * sizeof(float));
    s->n++;
    s->best = 0;
    for (size_t i = 1; i < s->vocab; i++)
        if (r->logits[i] > r->logits[s->best]) s->best = (int32_t)i;
}

/* A prompt, single rows, and steps of few rows, as guesses or sequences would make. */
enum { PROMPT = 41, MORE = 5, FEW = 3 + 8 + 2 };

static Seen run_model(const char *path, const char *cpu, uint32_t threads) {
    TernError err = {0};
    TernModel *m;
    TernModelOptions mo = {.size = sizeof mo, .cpu = cpu};
    must(tern_model_open(path, &mo, &m, &err), &err);
    TernModelInfo info;
    tern_model_info(m, &info);
    TernPool *p;
    TernPoolOptions po = {.size = sizeof po, .threads = threads};
    must(tern_pool_create(&po, &p, &err), &err);
    TernSession *s;
    TernSessionOptions so = {.size = sizeof so, .context = 128};
    must(tern_session_create(m, p, &so, &s, &err), &err);
    Seen seen = {.vocab = info.n_vocab};
    seen.logits = calloc((size_t)(PROMPT + MORE + FEW) * seen.vocab, sizeof(float));
    TernRow rows[PROMPT];
    for (int i = 0; i < PROMPT; i++) rows[i] = (TernRow){(i * 37 + 5) % 1000, 0, TERN_WANT_LOGITS};
    must(tern_session_step(s, rows, PROMPT, keep, &seen, &err), &err);
    for (int i = 0; i < MORE; i++) {
        rows[0] = (TernRow){seen.best, 0, TERN_WANT_LOGITS};
        must(tern_session_step(s, rows, 1, keep, &seen, &err), &err);
    }
    static const int few[] = {3, 8, 2};
    for (size_t k = 0; k < TN_COUNT(few); k++) {
        for (int i = 0; i < few[k]; i++) rows[i] = (TernRow){(i * 91 + 7) % 1000, 0, TERN_WANT_LOGITS};
        must(tern_session_step(s, rows, (uint32_t)few[k], keep, &seen, &err), &err);
    }
    assert_int_equal(seen.n, PROMPT + MORE + FEW);
    tern_session_destroy(s);
    tern_pool_destroy(p);
    tern_model_close(m);
    return seen;
}

static void check_whole_model(const char *model) {
    emulate_tiles();
    TernError err = {0};
    TnGguf *gg;
    TnGraph *g;
    TnFacts facts;
    char path[400];
    const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(path, sizeof path, "%s/tern-test-amx-%d.tern", dir, (int)getpid());
    must(tn_gguf_open(model, false, &gg, &err), &err);
    must(tn_gguf_graph(gg, &(TnGgufOptions){0}, &g, &facts, &err), &err);
    TnWeights weights = tn_gguf_weights(gg);
    static const char *const levels[] = {"avx2", "avx512-vnni", "amx"};
    TnCompileOptions o = {.levels = levels, .n_levels = 3, .head = TN_ENC_COUNT, .kvs = 1u << TN_KV_F16};
    TnBlobDest dest = {.path = path};
    must(tn_compile(g, &weights, &facts, &o, &dest, NULL, &err), &err);
    uint64_t before = amx_emulator_products();
    Seen want = run_model(path, "avx512-vnni", 1), avx2 = run_model(path, "avx2", 2);
    assert_int_equal(amx_emulator_products(), before);
    assert_memory_equal(avx2.logits, want.logits, want.n * want.vocab * sizeof(float));
    for (uint32_t threads = 1; threads <= 2; threads++) {
        Seen got = run_model(path, NULL, threads);
        assert_memory_equal(got.logits, want.logits, want.n * want.vocab * sizeof(float));
        free(got.logits);
    }
    print_message("%llu tile products emulated\n", (unsigned long long)(amx_emulator_products() - before));
    free(want.logits);
    free(avx2.logits);
    unlink(path);
    tn_graph_destroy(g);
    tn_gguf_close(gg);
}

static void test_whole_model(void **state) {
    (void)state;
    check_whole_model(TERN_SOURCE_DIR "/models/verse-i2_s.gguf");
}

static void test_whole_grouped_model(void **state) {
    (void)state;
    check_whole_model(TERN_SOURCE_DIR "/models/psalm-pq2_0.gguf");
}

int main(void) {
    if (!tn_level_runs_here(TN_LEVEL_AMX)) {
        puts("skipped: no AVX-512 VNNI here, on which code of level amx stands");
        return 77;
    }
    printf("amx %s\n", emulated ? "is emulated" : "runs here");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_products, case_teardown),
        cmocka_unit_test_teardown(test_few_rows, case_teardown),
        cmocka_unit_test_teardown(test_few_rows_beside, case_teardown),
        cmocka_unit_test_teardown(test_few_rows_fused, case_teardown),
        cmocka_unit_test_teardown(test_groups, case_teardown),
        cmocka_unit_test(test_whole_model),
        cmocka_unit_test(test_whole_grouped_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
