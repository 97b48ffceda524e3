/* f16 and bf16 to f32 and back, bit exact on every machine (round to nearest even). */
#ifndef TN_BASE_HALF_H
#define TN_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t tn_f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline float tn_bits_f32(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline float tn_bf16_to_f32(uint16_t h) {
    return tn_bits_f32((uint32_t)h << 16);
}
static inline uint16_t tn_f32_to_bf16(float f) {
    uint32_t u = tn_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
float tn_f16_to_f32(uint16_t h);
/* The f16 at p, which need not be aligned. */
static inline float tn_f16_at(const void *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return tn_f16_to_f32(h);
}
uint16_t tn_f32_to_f16(float f); /* overflow gives infinity */
/* As stores to the cache do it: finite values are clamped to +-65504; infinity and NaN stay. */
uint16_t tn_f32_to_f16_sat(float f);

#endif
