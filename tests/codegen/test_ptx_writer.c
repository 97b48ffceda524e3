/* The writer of PTX: every row of ptx.def is written, and ptxas assembles it. */
#include "codegen/ptx/ptx_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>
#include "codegen/ptxas.h"

static const struct { const char *version, *target; } targets[] = {{"7.0", "sm_80"}, {"8.0", "sm_90a"}};

/* Some operand of a kind. Addresses are aligned to 16. */
static TnPxV some(TnPx *x, char kind, TnPxV global, TnPxV label, TnPxRow row) {
    switch (kind) {
    case 'G':
        return tn_px_at(global, 32);
    case 'S':
        return tn_px_shared_at(x, 16);
    case 'L':
        return label;
    case 'P':
        return tn_px_param(0);
    case 's':
        return (TnPxV){.kind = 's', .reg = TN_PX_laneid};
    case 'y':
        return (TnPxV){.kind = 'y'};
    case 'i':
        if (row == TN_PX_copy4 || row == TN_PX_copy16) return tn_px_i(row == TN_PX_copy4 ? 4 : 16);
        return tn_px_i(tn_px_rows[row].class == TN_PX_LANES ? 31 : 1);
    case 'r':
        return tn_px_var(x, tn_px_u(7));
    case 'f':
        return tn_px_var(x, tn_px_f(1.5f));
    case 'd':
        return tn_px_var(x, tn_px_l(-9));
    case 'g':
        return tn_px_var(x, tn_px_g(0.1));
    case 'h':
        return PX(x, low_half, tn_px_u(0x3c00));
    case 'p':
        return PX(x, eq, tn_px_u(1), tn_px_u(1));
    default:
        fail_msg("no operand of kind %c", kind);
        return (TnPxV){0};
    }
}

static void every_row(TnBuf *out, const char *version, const char *target) {
    tn_px_module(out, version, target);
    TnPx x = {.out = out, .threads = 32};
    tn_px_open(&x, "every_row", 2);
    tn_px_shared(&x, 64, 16);
    TnPxV global = PX(&x, ld_param, tn_px_param(1)), label = tn_px_label(&x);
    for (int row = 0; row < TN_PX_ROWS; row++) {
        if (row == TN_PX_ret) continue;
        TnPxV operands[16];
        uint32_t n = 0;
        for (const char *p = tn_px_rows[row].operands; *p; p++)
            if (*p != '{' && *p != '}') operands[n++] = some(&x, *p, global, label, (TnPxRow)row);
        TnPxV results[4];
        tn_px_many(&x, (TnPxRow)row, results, operands, n);
    }
    tn_px_place(&x, label);
    PX(&x, ret);
    tn_px_close(&x);
}

/* Numbers where the table allows them, guards, loops, an if with an else. */
static void control(TnBuf *out) {
    TnPx x = {.out = out};
    tn_px_open(&x, "control", 1);
    TnPxV p = PX(&x, ld_param, tn_px_param(0)), sum = tn_px_var(&x, tn_px_u(0));
    TnPxLoop l = tn_px_loop(&x, tn_px_special(&x, TN_PX_tid), tn_px_u(100), tn_px_u(32));
    TnPxIf i = tn_px_if(&x, PX(&x, lt, l.i, tn_px_u(50)));
    PX_TO(&x, sum, mad, l.i, tn_px_u(3), sum);
    tn_px_else(&x, &i);
    PX_TO(&x, sum, add, sum, tn_px_u(1));
    tn_px_if_end(&x, &i);
    tn_px_loop_end(&x, &l);
    TnPxV v[4];
    PX_MANY(&x, v, ld4, tn_px_at(p, 16));
    tn_px_unless(&x, PX(&x, eq_d, p, tn_px_l(-5)));
    PX(&x, st4, tn_px_at(p, -16), v[3], v[0], sum, v[2]);
    TnPxV f = PX(&x, fma_f, tn_px_f(0.1f), tn_px_f(-0.0f), tn_px_var(&x, tn_px_f(INFINITY)));
    PX(&x, st_f, tn_px_at(p, 0), f);
    tn_px_barrier(&x);
    PX(&x, ret);
    tn_px_close(&x);
}

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        TnBuf b = {0};
        every_row(&b, targets[i].version, targets[i].target);
        control(&b);
        if (ptxas_path()) {
            if (!ptxas_accepts(b.data, b.len, targets[i].target)) fail_msg("ptxas refuses the text");
        } else {
            puts("not assembled: no ptxas on PATH, in $CUDA_HOME/bin or /usr/local/cuda/bin");
        }
        tn_buf_free(&b);
    }
}

/* Rows that the table must not have: floats that may be contracted or flushed, loads that may sink. */
static void test_forms(void **state) {
    (void)state;
    for (int i = 0; i < TN_PX_ROWS; i++) {
        const char *t = tn_px_rows[i].text;
        assert_null(strstr(t, ".nc"));
        assert_null(strstr(t, ".ftz"));
        assert_null(strstr(t, "approx"));
        bool rounds = !strncmp(t, "add.", 4) || !strncmp(t, "sub.", 4) || !strncmp(t, "mul.", 4) ||
                      !strncmp(t, "fma.", 4) || !strncmp(t, "div.", 4) || !strncmp(t, "sqrt.", 5);
        if (rounds && (strstr(t, ".f32") || strstr(t, ".f64"))) assert_non_null(strstr(t, ".rn."));
        if (!strncmp(t, "min.", 4) || !strncmp(t, "max.", 4)) assert_null(strstr(t, ".f"));
        for (int j = 0; j < i; j++) /* a text and its operands mean one row */
            if (!strcmp(t, tn_px_rows[j].text) && !strcmp(tn_px_rows[i].result, tn_px_rows[j].result))
                assert_string_not_equal(tn_px_rows[i].operands, tn_px_rows[j].operands);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_forms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
