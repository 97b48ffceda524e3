/* Checks the error bounds of fmath.h against libm in double, over dense grids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include "runtime/base/fmath.h"

static void exp_is_within_its_bound(void **state) {
    (void)state;
    double worst = 0;
    for (int i = 0; i <= 4000000; i++) {
        float x = (float)(-87.0 + 175.0 * i / 4000000);
        double want = exp((double)x), e = fabs(tn_exp(x) - want) / want;
        if (e > worst) worst = e;
    }
    print_message("tn_exp: worst relative error %.3g\n", worst);
    assert_true(worst < 1.5e-7);
    assert_true(tn_exp(0.0f) == 1.0f);
    assert_true(tn_exp(-87.001f) == 0.0f && !signbit(tn_exp(-1e30f)));
    assert_true(tn_exp(1e30f) == tn_exp(88.0f));
    assert_true(isnan(tn_exp(NAN)));
}

/* The absolute error beside |x|, which is what an epilogue adds up; of the left tail the relative one too. */
static void gelu_is_within_its_bound(void **state) {
    (void)state;
    double exact = 0, tail = 0, by_tanh = 0;
    for (int i = 0; i <= 2000000; i++) {
        float x = (float)(-16.0 + 32.0 * i / 2000000);
        double d = x, want = 0.5 * d * erfc(-d / sqrt(2)), e = fabs(tn_gelu(x) - want);
        double near = 0.5 * d * (1 + tanh(sqrt(2 / M_PI) * (d + 0.044715 * d * d * d)));
        exact = fmax(exact, e / fmax(fabs(d), 1e-9));
        if (x > -5 && x != 0) tail = fmax(tail, e / fabs(want));
        by_tanh = fmax(by_tanh, fabs(tn_gelu_tanh(x) - near) / fmax(fabs(d), 1e-9));
    }
    print_message("tn_gelu: worst error %.3g |x|, relative %.3g above -5; tn_gelu_tanh: %.3g |x|\n", exact,
                  tail, by_tanh);
    assert_true(exact < 2.5e-7 && tail < 1e-6 && by_tanh < 2e-7);
    assert_true(isnan(tn_gelu(NAN)) && isnan(tn_gelu_tanh(NAN)));
}

static void sincos_is_within_its_bound(void **state) {
    (void)state;
    double worst = 0;
    for (int i = -2000000; i <= 2000000; i++) {
        float f = (float)(0.5 * i / 2000000), s, c;
        tn_sincos_turn(f, &s, &c);
        double a = 2 * M_PI * (double)f;
        worst = fmax(worst, fmax(fabs(s - sin(a)), fabs(c - cos(a))));
    }
    print_message("tn_sincos_turn: worst absolute error %.3g\n", worst);
    assert_true(worst < 1e-7);
    static const float quarter[5][3] = {
        {0, 0, 1}, {0.25f, 1, 0}, {-0.25f, -1, 0}, {0.5f, 0, -1}, {-0.5f, 0, -1}};
    for (int i = 0; i < 5; i++) {
        float s, c;
        tn_sincos_turn(quarter[i][0], &s, &c);
        assert_true(s == quarter[i][1] && c == quarter[i][2]);
    }
}

static double relative(double got, double want) {
    return fabs(got - want) / fabs(want);
}

static void doubles_are_within_their_bound(void **state) {
    (void)state;
    double log_worst = 0, exp_worst = 0, pow_worst = 0;
    for (int i = 0; i < 1000000; i++) {
        /* from the least subnormal to the largest double, and close to 1 where logarithms cancel */
        double x = exp2(-1074.0 + 2097.9 * i / 1000000), y = 1.0 + (i - 500000.5) * 1e-9;
        log_worst = fmax(log_worst, fmax(relative(tn_log(x), log(x)), relative(tn_log(y), log(y))));
        double e = -708.0 + 1417.0 * i / 1000000;
        exp_worst = fmax(exp_worst, relative(tn_expd(e), exp(e)));
        double base = 0.5 + 700000.0 * i / 1000000, power = -1.0 + 2.0 * (i % 977) / 977 + 1e-3;
        pow_worst = fmax(pow_worst, relative(tn_pow(base, power), pow(base, power)));
        double large = -50.0 + 100.0 * (i % 991) / 991 + 1e-3;
        pow_worst = fmax(pow_worst, relative(tn_pow(base, large), pow(base, large)));
    }
    print_message("tn_log %.3g, tn_expd %.3g, tn_pow %.3g\n", log_worst, exp_worst, pow_worst);
    assert_true(log_worst < 1e-14 && exp_worst < 1e-14 && pow_worst < 1e-14);
    assert_true(tn_log(1.0) == 0.0 && tn_expd(0.0) == 1.0 && tn_pow(3.0, 0.0) == 1.0);
    assert_true(tn_expd(-800.0) == 0.0 && tn_expd(800.0) == INFINITY && isnan(tn_expd(NAN)));
    assert_true(tn_log(0.0) == -INFINITY && tn_log(INFINITY) == INFINITY && isnan(tn_log(-1.0)));
    assert_true(tn_expd(-745.0) > 0.0); /* a subnormal */
    assert_true(tn_pow(10.0, 400.0) == INFINITY && tn_pow(10.0, -400.0) == 0.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_its_bound),
        cmocka_unit_test(gelu_is_within_its_bound),
        cmocka_unit_test(sincos_is_within_its_bound),
        cmocka_unit_test(doubles_are_within_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
