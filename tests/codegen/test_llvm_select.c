/* gather, argmax, topk and take: code against the evaluator, with ties, NaN, infinities and rows shorter than
 * k. */
#include "codegen/parity.h"
#include <math.h>
#include "ir/type_layout.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

enum { ROWS = 9 };
static const int64_t sym[TN_SYM_COUNT] = {[TN_T] = 13, [TN_R] = ROWS, [TN_K] = ROWS - 2, [TN_H] = 5};

/* Row by row: random; few different values; all equal; rising; falling; signed zeros; one NaN at the end; one
 * infinity in the middle; all -inf but one. */
static void fill_rows(float *x, int64_t n, size_t stride) {
    for (int r = 0; r < ROWS; r++, x += stride) {
        for (size_t i = (size_t)n; i < stride; i++) x[i] = i % 2 ? NAN : INFINITY; /* padding says nothing */
        for (int64_t i = 0; i < n; i++) {
            float v = parity_float();
            if (r == 1) v = floorf(v * 4);
            if (r == 2) v = 1.5f;
            if (r == 3) v = (float)i;
            if (r == 4) v = (float)-i;
            if (r == 5) v = i % 3 ? 0.0f : -0.0f;
            if (r == 6 && i == n - 1) v = NAN;
            if (r == 7 && i == n / 2) v = INFINITY;
            if (r == 8) v = i == n / 3 ? 2.0f : -INFINITY;
            x[i] = v;
        }
    }
}

/* A constant number of rows: a plain array too, and code and evaluator agree on its end. */
static const char fixed[] = "  %x: f32[9,33] = input {name=\"x\"}\n"
                            "  kernel @k {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
                            "    %y: i32[9] = argmax %x\n"
                            "  end\n"
                            "  %o: i32[9] = output %y {name=\"best\"}\n";

static void check(const char *body, int64_t n, const char *what) {
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        if (!parity_due(parity_levels[i])) continue;
        TnGraph *g = parity_graph(parity_levels[i], body);
        Memory m = parity_memory(g, 0, sym);
        for (uint32_t k = 0; k < m.n_in; k++) {
            const TnType *t = &g->nodes[m.ref[k]].type;
            if (t->enc == TN_ENC_f32) {
                memset(m.p[k], 0, m.bytes[k]);
                fill_rows(m.p[k], n, tn_row_bytes(t) / 4);
            } else if (t->rank == 1) {
                for (int64_t r = 0; r < tn_type_rows(t, sym); r++)
                    ((int32_t *)m.p[k])[r] = (int32_t)(parity_u32() % ROWS);
            } else {
                int64_t width = t->dim[1], stride = (int64_t)tn_row_bytes(t) / 4;
                for (int64_t r = 0; r < tn_type_rows(t, sym); r++)
                    for (int64_t j = 0; j < width; j++)
                        ((int32_t *)m.p[k])[r * stride + j] = (int32_t)(parity_u32() % (uint32_t)(n + 1)) - 1;
            }
        }
        char line[100];
        snprintf(line, sizeof line, "%s %s n=%lld", parity_levels[i], what, (long long)n);
        parity_check(g, parity_levels[i], 0, &m, sym, line);
        parity_memory_free(&m);
        tn_graph_destroy(g);
    }
}

static const int64_t lengths[] = {1, 5, 31, 32, 33, 64, 97, 1000};

static void argmax(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(lengths); i++) {
        char body[500];
        snprintf(body, sizeof body,
                 "  %%x: f32[R,%lld] = input {name=\"x\"}\n"
                 "  kernel @k {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
                 "    %%y: i32[R] = argmax %%x\n"
                 "  end\n"
                 "  %%o: i32[R] = output %%y {name=\"best\"}\n",
                 (long long)lengths[i]);
        check(body, lengths[i], "argmax");
    }
    check(fixed, 33, "argmax of constant rows");
}

static void topk_and_take(void **state) {
    (void)state;
    static const int ks[] = {1, 3, 32, 40, 256};
    for (size_t i = 0; i < TN_COUNT(lengths); i++)
        for (size_t j = 0; j < TN_COUNT(ks); j++) {
            char body[900];
            snprintf(body, sizeof body,
                     "  %%x: f32[R,%lld] = input {name=\"x\"}\n"
                     "  kernel @k {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
                     "    %%y: i32[K,%d] = topk %%x {k=%d}\n"
                     "    %%z: f32[K,%d] = take %%x, %%y\n"
                     "  end\n"
                     "  %%o: i32[K,%d] = output %%y {name=\"top\"}\n"
                     "  %%p: f32[K,%d] = output %%z {name=\"toplogit\"}\n",
                     (long long)lengths[i], ks[j], ks[j], ks[j], ks[j], ks[j]);
            check(body, lengths[i], "topk");
        }
}

static void take_alone(void **state) {
    (void)state;
    parity_everywhere = true;
    check("  %x: f32[R,97] = input {name=\"x\"}\n"
          "  %i: i32[K,5] = input {name=\"i\"}\n"
          "  kernel @k {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
          "    %z: f32[K,5] = take %x, %i\n"
          "  end\n"
          "  %p: f32[K,5] = output %z {name=\"toplogit\"}\n",
          97, "take");
}

static void gather(void **state) {
    (void)state;
    parity_everywhere = true;
    check("  %x: f32[R,100] = input {name=\"x\"}\n"
          "  %rows: i32[H] = input {name=\"hrows\"}\n"
          "  kernel @k {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n"
          "    %y: f32[H,100] = gather %x, %rows\n"
          "  end\n"
          "  %o: f32[H,100] = output %y {name=\"hidden\"}\n",
          100, "gather");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(argmax), cmocka_unit_test(topk_and_take),
                                       cmocka_unit_test(take_alone), cmocka_unit_test(gather)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
