#include "runtime/base/half.h"

#include <math.h>

/* Both directions do what F16C and NEON do, also for NaNs: the top bits of the payload stay and the quiet bit is set. */

float tn_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 0x3ff;
    if (e == 31) return tn_bits_f32(sign | 0x7f800000u | m << 13 | (m ? 0x400000u : 0));
    if (e) return tn_bits_f32(sign | (e + 112) << 23 | m << 13);
    /* m * 2^-24 is exact in f32 */
    return tn_bits_f32(sign | tn_f32_bits((float)m * 0x1p-24f));
}

uint16_t tn_f32_to_f16(float f) {
    uint32_t u = tn_f32_bits(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x47800000u) return (uint16_t)(sign | 0x7c00); /* 65536 and more, infinity */
    if (a >= 0x38800000u) { /* normal: rebias, round; 65520 carries into infinity */
        uint32_t r = a - (112u << 23);
        return (uint16_t)(sign | (r + 0xfff + (r >> 13 & 1)) >> 13);
    }
    if (a < 0x33000000u) return (uint16_t)sign; /* below half of the least subnormal */
    uint32_t m = (a & 0x7fffff) | 0x800000, shift = 126 - (a >> 23);
    uint32_t half = 1u << (shift - 1), rest = m & (2 * half - 1), q = m >> shift;
    return (uint16_t)(sign | (q + (rest > half || (rest == half && (q & 1)))));
}

uint16_t tn_f32_to_f16_sat(float f) {
    if (f > 65504.0f && f < INFINITY) f = 65504.0f;
    if (f < -65504.0f && f > -INFINITY) f = -65504.0f;
    return tn_f32_to_f16(f);
}
