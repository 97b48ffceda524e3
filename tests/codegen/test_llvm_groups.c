/* Products by groups of columns as code of all levels, and embeddings, against the evaluator. */
#include "codegen/llvm_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else
#define CHECK case_check
#include "codegen/groups_cases.h"

#define ROWS "target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"

/* Sums as large as they get: codes of one sign against weights of 2. */
static void test_largest(void **state) {
    (void)state;
    for (int group = 64; group <= 256; group *= 2)
        for (int sign = 0; sign < 2; sign++)
            for (size_t l = 0; l < TN_COUNT(parity_levels); l++) {
                if (!parity_turn(parity_levels[l])) continue;
                say_product(512, group, 64, 64, true);
                TnGraph *g = case_graph(parity_levels[l], 8);
                int64_t sym[TN_SYM_COUNT] = {[TN_T] = 4};
                Memory m = parity_memory(g, 1, sym);
                TernError err;
                for (uint32_t i = 0; i < m.n_in; i++) {
                    const TnType *t = &g->nodes[m.ref[i]].type;
                    if (t->enc == TN_ENC_r64) {
                        assert_int_equal(tn_weight_all(g, m.ref[i], NULL, m.p[i], &err), TERN_OK);
                        for (size_t at = 0; at < m.bytes[i]; at += (size_t)group * 16 + 128)
                            memset((uint8_t *)m.p[i] + at, 0xff, (size_t)group * 16);
                        continue;
                    }
                    size_t part = tn_q8g_part(t);
                    memset(m.p[i], 0, m.bytes[i]);
                    for (int r = 0; r < 4; r++) {
                        uint8_t *row = (uint8_t *)m.p[i] + (size_t)r * tn_row_bytes(t);
                        memset(row + 2 * part, sign ? 0x81 : 0x7f, 512);
                        for (int j = 0; j < 512 / group; j++) {
                            ((float *)(void *)row)[j] = 0.5f;
                            ((int32_t *)(void *)(row + part))[j] = (sign ? -127 : 127) * group;
                        }
                    }
                }
                parity_check(g, parity_levels[l], g->n_kernels - 1, &m, sym, "largest");
                parity_memory_free(&m);
                tn_graph_destroy(g);
                case_done();
            }
}

static void test_embed(void **state) {
    (void)state;
    static const char *const tables[] = {
        "p64[7,300] scale=0x1.8p-3",  "p64[7,300] scale=[3:0x1p-3,4:0x1.4p+1] most=2",
        "p64[7,513] scale=row",       "r64[70,384] scale=group:64 most=2",
        "r64[7,256] scale=group:256", "r64[64,384] scale=group:128"};
    for (size_t i = 0; i < TN_COUNT(tables); i++) {
        int n = atoi(strchr(tables[i], ',') + 1);
        say("$e: %s = random {seed=2}\n%%ids: i32[T] = input {name=\"ids\"}\n", tables[i]);
        say("kernel @main {root=embed, " ROWS "%%y: f32[T,%d] = embed %%ids, $e {off=0}\nend\n", n);
        case_check(8, 1, 7, false, "embed");
        case_done();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        GROUPS_TESTS,
        cmocka_unit_test_teardown(test_largest, case_teardown),
        cmocka_unit_test_teardown(test_embed, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
