/* Halves are compared with their definition, written with ldexp instead of bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <float.h>
#include <math.h>
#include "runtime/base/half.h"

static double meaning(uint16_t h) {
    int e = (h >> 10) & 31, m = h & 0x3ff;
    double v = e == 31 ? INFINITY : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static void every_f16_survives_the_round_trip(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = tn_f16_to_f32((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00) { /* NaN: stays one, turned quiet, as the hardware does it */
            assert_true(isnan(f));
            assert_int_equal(tn_f32_to_f16(f), h | 0x200);
            assert_true(isnan(tn_f16_to_f32(tn_f32_to_f16_sat(f))));
            continue;
        }
        assert_true((double)f == meaning((uint16_t)h));
        assert_int_equal(tn_f32_to_f16(f), h);
        assert_int_equal(tn_f32_to_f16_sat(f), h); /* infinities too */
    }
}

/* Between neighbours a and b, values below the middle round to a, those above to b, and the middle to the even one. */
static void rounding_is_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        double a = meaning((uint16_t)h), b = meaning((uint16_t)(h + 1));
        float middle = (float)((a + b) / 2); /* exact: one bit more than a half has */
        assert_int_equal(tn_f32_to_f16(middle), h & 1 ? h + 1 : h);
        assert_int_equal(tn_f32_to_f16(nextafterf(middle, 0.0f)), h);
        assert_int_equal(tn_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(tn_f32_to_f16(-middle), 0x8000 | (h & 1 ? h + 1 : h));
    }
    assert_int_equal(tn_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(tn_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(tn_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(tn_f32_to_f16_sat(1e30f), 0x7bff);
    assert_int_equal(tn_f32_to_f16_sat(-FLT_MAX), 0xfbff);
    assert_int_equal(tn_f32_to_f16_sat(INFINITY), 0x7c00);
    assert_int_equal(tn_f32_to_f16_sat(-INFINITY), 0xfc00);
    assert_int_equal(tn_f32_to_f16(1e-30f), 0);
    assert_int_equal(tn_f32_to_f16(-1e-45f), 0x8000);
}

static void bf16_is_the_upper_half_rounded(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = tn_bf16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(tn_bf16_to_f32(tn_f32_to_bf16(f))));
        else
            assert_int_equal(tn_f32_to_bf16(f), h);
    }
    assert_int_equal(tn_f32_to_bf16(tn_bits_f32(0x3f808000)), 0x3f80); /* ties to even */
    assert_int_equal(tn_f32_to_bf16(tn_bits_f32(0x3f818000)), 0x3f82);
    assert_int_equal(tn_f32_to_bf16(tn_bits_f32(0x3f808001)), 0x3f81);
    assert_true(isnan(tn_bf16_to_f32(tn_f32_to_bf16(tn_bits_f32(0x7f800001))))); /* not cut to infinity */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_survives_the_round_trip),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(bf16_is_the_upper_half_rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
