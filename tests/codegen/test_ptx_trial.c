/* The trials of rows of ptx.def, which `tern devices --check` runs on a GPU, on the tests' machine: each row does what the table
 * says, and if the machine does one row wrongly, that row's trial finds it. */
#include "codegen/ptx/ptx_trial.h"
#include "codegen/ptxas.h"
#include "support/ptx_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/base/status.h"

/* Runs a trial. planted: a row that the machine does wrongly, or NULL. Returns whether all is as the table says; if not, *text
 * gets why. */
static bool holds(TnPxRow row, const char *level, const char *planted, TnBuf *text) {
    char line[PTX_LINE];
    TnPtxTrial t;
    tn_ptx_trial_make(row, level, &t);
    PtxModule *code = ptx_module_load(t.text.data, t.text.len, line);
    if (!code) fail_msg("%s: %s", tn_px_rows[row].name, line);
    if (!planted && getenv("TERN_TEST_PTXAS") && ptxas_path())
        assert_true(ptxas_accepts(t.text.data, t.text.len - 1, level));
    PtxMachine *m = ptx_machine_new(0);
    if (planted) assert_true(ptx_machine_plant(m, planted));
    uint64_t params[2] = {ptx_memory_new(m, t.in_bytes, PTX_READ_ONLY, "in"),
                          ptx_memory_new(m, t.out_bytes, PTX_ZEROED, "out")};
    ptx_memory_write(m, params[0], t.in, t.in_bytes);
    const char *fault = ptx_launch(m, code,
                                   &(PtxLaunch){.entry = TN_PTX_TRIAL_ENTRY,
                                                .grid = t.grid,
                                                .grid_y = t.grid_y,
                                                .threads = t.threads,
                                                .shared = t.shared,
                                                .params = params,
                                                .param_bytes = sizeof params,
                                                .seed = 5});
    ptx_memory_read(m, t.out, params[1], t.out_bytes);
    if (fault) tn_buf_puts(text, fault);
    bool same = !fault && tn_ptx_trial_judge(&t, text);
    ptx_machine_free(m);
    ptx_module_free(code);
    tn_ptx_trial_free(&t);
    return same;
}

static void test_all_hold(void **state) {
    (void)state;
    static const char *const levels[] = {"sm_80", "sm_90a"};
    for (int row = 0; row < TN_PX_ROWS; row++)
        for (size_t l = 0; l < TN_COUNT(levels); l++) {
            TnBuf text = {0};
            if (!holds((TnPxRow)row, levels[l], NULL, &text))
                fail_msg("%s: %.*s", tn_px_rows[row].name, (int)text.len, (const char *)text.data);
            assert_int_equal(text.len, 0);
            tn_buf_free(&text);
        }
}

/* What one launch cannot see, and what the machine does not do wrongly. */
static bool hidden(int row) {
    return row == TN_PX_bar_warp || row == TN_PX_fence || tn_px_rows[row].class == TN_PX_FLOW;
}

static void test_planted(void **state) {
    (void)state;
    for (int row = 0; row < TN_PX_ROWS; row++) {
        TnBuf text = {0};
        if (hidden(row)) continue;
        if (holds((TnPxRow)row, "sm_80", tn_px_rows[row].name, &text))
            fail_msg("%s is done wrongly, and its trial does not find it", tn_px_rows[row].name);
        assert_true(text.len > 0);
        tn_buf_free(&text);
    }
}

/* What the lines say. */
static void test_lines(void **state) {
    (void)state;
    TnBuf text = {0};
    assert_false(holds(TN_PX_not, "sm_80", "not", &text));
    tn_buf_put(&text, "", 1);
    assert_string_equal(text.data,
                        "of 0x0000000000000000: got 0x00000000fffffffe, expected 0x00000000ffffffff; "
                        "96 of 3072 differ");
    tn_buf_free(&text);
    assert_false(holds(TN_PX_sts2, "sm_80", "sts2", &text));
    tn_buf_put(&text, "", 1);
    assert_non_null(strstr(text.data, "byte 0 of thread 0: got 0x00000000, expected 0x"));
    tn_buf_free(&text);
}

/* NaN of any kind is NaN; a number, or another kind of zero, is not. */
static void test_nan(void **state) {
    (void)state;
    static const uint64_t values[] = {0x7fc00000, 0xffc00001, 0x7fffffff, 0x7f800000, 0, 0x80000000};
    uint64_t a, b;
    TnPtxTrial t = {.row = TN_PX_add_f,
                    .in = (uint8_t *)&(uint64_t[4]){0},
                    .out = (uint8_t *)&a,
                    .expected = (uint8_t *)&b,
                    .out_bytes = 8,
                    .record = 8,
                    .operands = 2,
                    .kind = 'f'};
    for (size_t i = 0; i < TN_COUNT(values); i++)
        for (size_t j = 0; j < TN_COUNT(values); j++) {
            TnBuf text = {0};
            a = values[i], b = values[j];
            assert_int_equal(tn_ptx_trial_judge(&t, &text), i == j || (i < 3 && j < 3));
            tn_buf_free(&text);
        }
}

/* -0, a subnormal, infinities, NaN and halves are among the inputs of every float row. */
static void test_inputs(void **state) {
    (void)state;
    static const uint32_t needed[] = {0x80000000, 1,          0x7f800000, 0xff800000,
                                      0x7fc00000, 0x3f000000, 0x3f801000};
    for (size_t i = 0; i < TN_COUNT(needed); i++) {
        bool found = false;
        for (uint32_t k = 0; k < tn_ptx_awkward_count('f'); k++) found |= tn_ptx_awkward('f', k) == needed[i];
        assert_true(found);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_hold), cmocka_unit_test(test_planted),
                                       cmocka_unit_test(test_lines), cmocka_unit_test(test_nan),
                                       cmocka_unit_test(test_inputs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
