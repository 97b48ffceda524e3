/* The head's choices as PTX: argmax, topk and the shortlisted ones, over rows long enough that several CTAs share one, and with
 * more ties than a CTA's list has room for. TERN_TEST_VOCAB=n is the length of the longest row, which the slow form has
 * of 128256. */
#include "codegen/ptx/ops/ptx_best.h"
#include "codegen/ptx_cases.h"

enum { PLAIN, TIED, FLAT, ZEROS, WILD, LOW, KINDS };

/* Row r of kind (r + from) % KINDS. */
static void fill(Memory *m, int64_t rows, int64_t n, size_t stride, int from) {
    float *x = m->p[0];
    for (int64_t r = 0; r < rows; r++, x += stride) {
        int kind = (int)((r + from) % KINDS);
        for (int64_t i = 0; i < n; i++) {
            x[i] = parity_float() * 3;
            if (kind == TIED) x[i] = (float)(parity_u32() % 7);
            if (kind == FLAT) x[i] = -2.5f;
            if (kind == ZEROS) x[i] = parity_u32() % 2 ? 0.0f : -0.0f;
            if (kind == WILD && parity_u32() % 64 == 0) x[i] = parity_u32() % 2 ? NAN : INFINITY;
            if (kind == LOW) x[i] = i == n / 2 || parity_u32() % 8 == 0 ? -INFINITY : NAN;
        }
        if (kind == PLAIN && r % 2 && n > 2) x[n - 1] = x[n / 2] = 100.0f;
    }
}

/* The kernel @main of the text over such rows, and how many units a row has. */
static void check(int rows_hi, int rows, int from, int64_t n, bool assemble, const char *what) {
    for (size_t t = 0; t < TN_COUNT(ptx_targets); t++) {
        TnGraph *g = case_graph("ref", rows_hi);
        TnBuf text = {0};
        char line[200];
        if (rows_hi == 1) g->kernels[0].units = tn_ptx_parts(g, 0);
        TnPtx b = ptx_emit(g, 0, t, &text, what);
        if (assemble && ptxas_path() && !ptxas_accepts(text.data, text.len, ptx_targets[t].target))
            fail_msg("%s: ptxas refuses the text", what);
        PtxModule *code = ptx_load(&text, t, what);
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows, [TN_R] = rows, [TN_K] = rows};
        Memory m = parity_memory(g, 0, sym);
        fill(&m, rows, n, (size_t)n, from);
        snprintf(line, sizeof line, "%s of %d, %d rows from kind %d, %d units", what, (int)n, rows, from,
                 (int)g->kernels[0].units);
        ptx_compare(g, 0, &b, code, &m, sym, line);
        parity_memory_free(&m);
        ptx_module_free(code);
        tn_buf_free(&text);
        tn_graph_destroy(g);
    }
}

static void say_argmax(int n) {
    say("%%x: f32[R,%d] = input {name=\"x\"}\n", n);
    say("kernel @main {root=none, target=ptx, axis=rows, grain=1, units=1, barrier=1}\n");
    say("%%y: i32[R] = argmax %%x {off=0}\nend\n");
}

static void say_topk(int n, int k) {
    say("%%x: f32[R,%d] = input {name=\"x\"}\n", n);
    say("kernel @main {root=none, target=ptx, axis=rows, grain=1, units=1, barrier=1}\n");
    say("%%y: i32[K,%d] = topk %%x {k=%d, off=0}\n%%z: f32[K,%d] = take %%x, %%y {off=8192}\nend\n", k, k, k);
}

static void lengths(void **state) {
    (void)state;
    static const int lengths[] = {257, 1000, 4099}, rows[] = {1, 2, 7}, ks[] = {1, 40, 256};
    for (size_t i = 0; i < TN_COUNT(lengths); i++) {
        for (int from = 0; from < KINDS; from++) {
            say_argmax(lengths[i]);
            check(1, 1, from, lengths[i], !i && !from, "argmax");
            case_done();
            say_topk(lengths[i], ks[from % 3]);
            check(1, 1, from, lengths[i], !i && !from, "topk take");
            case_done();
        }
        for (size_t j = 0; j < TN_COUNT(rows); j++) {
            say_argmax(lengths[i]);
            check(40, rows[j], (int)i, lengths[i], false, "argmax");
            case_done();
            say_topk(lengths[i], ks[j]);
            check(40, rows[j], (int)i, lengths[i], false, "topk take");
            case_done();
        }
    }
    say_argmax(257);
    check(40, 33, 0, 257, false, "argmax");
    case_done();
    say_topk(257, 40);
    check(40, 33, 0, 257, false, "topk take");
}

/* As many parts as there may be, the last of which is short. */
static void a_vocabulary(void **state) {
    (void)state;
    const char *size = getenv("TERN_TEST_VOCAB");
    int n = size ? atoi(size) : 17001;
    if (!size) print_message("  17001 columns; skipped: 128256 of them, which TERN_TEST_VOCAB=128256 runs\n");
    for (int from = 0; from < (size ? KINDS : 3); from++) {
        say_argmax(n);
        check(1, 1, from, n, false, "argmax");
        case_done();
        say_topk(n, 256);
        check(1, 1, from, n, false, "topk take");
        case_done();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lengths, case_teardown),
        cmocka_unit_test_teardown(a_vocabulary, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
