/* The functions in which ptx.def states what its rows do. */
#ifndef TN_PTX_MEANING_H
#define TN_PTX_MEANING_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include "runtime/base/half.h"

/* A register: the member is chosen by the operand's letter (u and s: r, f: f, h: h, l and i: d, g: g, p: p). */
typedef union TnPtxWord {
    uint32_t u;
    int32_t s;
    float f;
    uint16_t h;
    uint64_t l;
    int64_t i;
    double g;
    bool p;
} TnPtxWord;

/* bfe: `len` bits of a from bit `pos` on; pos and len count modulo 256. */
static inline uint32_t tn_ptx_bfe(uint32_t a, uint32_t pos, uint32_t len) {
    pos &= 255, len &= 255;
    if (!len || pos > 31) return 0;
    a >>= pos;
    return len > 31 ? a : a & ((1u << len) - 1);
}
/* The same, filled up with the field's highest bit; a field that reaches beyond bit 31 is filled with that bit. */
static inline uint32_t tn_ptx_bfe_s(uint32_t a, uint32_t pos, uint32_t len) {
    pos &= 255, len &= 255;
    if (!len) return 0;
    uint32_t top = pos + len - 1 < 31 ? pos + len - 1 : 31;
    uint32_t fill = a >> top & 1 ? 0xffffffffu : 0;
    if (pos > 31) return fill;
    if (len > 31) len = 32;
    uint32_t mask = len == 32 ? 0xffffffffu : (1u << len) - 1, have = 32 - pos;
    if (have < 32) a = a >> pos | (fill << have);
    return (a & mask) | (fill & ~mask);
}
/* Four bytes out of the eight of a and b; each selector is 4 bits: the number, and bit 3 for its sign in all bits. */
static inline uint32_t tn_ptx_prmt(uint32_t a, uint32_t b, uint32_t selectors) {
    uint64_t both = (uint64_t)b << 32 | a;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t s = selectors >> 4 * i & 15, byte = (uint32_t)(both >> 8 * (s & 7)) & 255;
        if (s & 8) byte = byte & 128 ? 255 : 0;
        r |= byte << 8 * i;
    }
    return r;
}
/* Bit by bit: the table's bit number 4a + 2b + c. */
static inline uint32_t tn_ptx_lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
    uint32_t r = 0;
    for (int i = 0; i < 8; i++)
        if (table >> i & 1) r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return r;
}
static inline uint32_t tn_ptx_dp4a_us(uint32_t a, uint32_t b, uint32_t c) {
    for (int i = 0; i < 4; i++) c += (uint32_t)((int32_t)(uint8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i));
    return c;
}
static inline uint32_t tn_ptx_dp4a_ss(uint32_t a, uint32_t b, uint32_t c) {
    for (int i = 0; i < 4; i++) c += (uint32_t)((int32_t)(int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i));
    return c;
}
static inline int32_t tn_ptx_s32(float f) {
    if (f != f) return 0;
    if (f >= 0x1p31f) return INT32_MAX;
    return f < -0x1p31f ? INT32_MIN : (int32_t)f;
}

#endif
