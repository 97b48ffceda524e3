/* For tests: what each row of class ALU does, stated apart from ptx.def: floats by integers (support/soft_float.h), integers bit
 * by bit. */
#ifndef TN_TEST_PTX_STATED_H
#define TN_TEST_PTX_STATED_H

#include <string.h>
#include "codegen/ptx/ptx_writer.h"
#include "support/soft_float.h"

static inline int bit(uint64_t x, int i) {
    return i >= 0 && i < 64 ? (int)(x >> i & 1) : 0;
}

/* As the manual's pseudocode for bfe. */
static inline uint32_t field(uint32_t a, uint32_t b, uint32_t c, bool is_signed) {
    int pos = (int)(b & 0xff), len = (int)(c & 0xff), last = pos + len - 1 < 31 ? pos + len - 1 : 31;
    int fill = is_signed && len ? bit(a, last) : 0;
    uint32_t d = 0;
    for (int i = 0; i < 32; i++) d |= (uint32_t)(i < len && pos + i <= 31 ? bit(a, pos + i) : fill) << i;
    return d;
}

static inline uint32_t permuted(uint32_t a, uint32_t b, uint32_t c) {
    uint8_t bytes[8], d[4];
    memcpy(bytes, &a, 4);
    memcpy(bytes + 4, &b, 4);
    for (int i = 0; i < 4; i++) {
        uint32_t n = c >> 4 * i & 0xf;
        d[i] = n < 8 ? bytes[n] : bytes[n - 8] & 0x80 ? 0xff : 0;
    }
    memcpy(&a, d, 4);
    return a;
}

static inline uint32_t chosen_by_table(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
    uint32_t d = 0; /* the manual's way to a table: ta = 0xf0, tb = 0xcc, tc = 0xaa */
    for (int i = 0; i < 32; i++) {
        uint32_t line = 0xff;
        line &= bit(a, i) ? 0xf0 : 0x0f;
        line &= bit(b, i) ? 0xcc : 0x33;
        line &= bit(c, i) ? 0xaa : 0x55;
        d |= (uint32_t)((line & table) != 0) << i;
    }
    return d;
}

static inline uint32_t four_products(uint32_t a, uint32_t b, uint32_t c, bool a_signed) {
    int64_t sum = (int32_t)c;
    for (int i = 0; i < 4; i++) {
        int64_t x = (int64_t)(a >> 8 * i & 0xff), y = (int64_t)(b >> 8 * i & 0xff);
        if (a_signed && x > 127) x -= 256;
        if (y > 127) y -= 256;
        sum += x * y;
    }
    return (uint32_t)sum;
}

static inline uint64_t moved(uint64_t a, uint32_t n, int width, bool left, bool is_signed) {
    uint64_t d = 0;
    int by = n > (uint32_t)width ? width : (int)n;
    for (int i = 0; i < width; i++) {
        int from = left ? i - by : i + by;
        int b = from >= 0 && from < width ? bit(a, from) : !left && is_signed ? bit(a, width - 1) : 0;
        d |= (uint64_t)b << i;
    }
    return d;
}

/* The product of two magnitudes of 32 bits, by halves of 16. */
static inline uint64_t long_product(uint32_t a, uint32_t b) {
    uint64_t al = a & 0xffff, ah = a >> 16, bl = b & 0xffff, bh = b >> 16;
    return al * bl + ((al * bh + ah * bl) << 16) + (ah * bh << 32);
}
static inline uint64_t long_product_signed(uint32_t a, uint32_t b) {
    uint64_t p = long_product(a >> 31 ? 0 - a : a, b >> 31 ? 0 - b : b);
    return (a ^ b) >> 31 ? 0 - p : p;
}

static inline int sign_order(uint64_t a, uint64_t b, int width) { /* -1, 0, 1 of two's complement */
    uint64_t flip = (uint64_t)1 << (width - 1);
    a ^= flip;
    b ^= flip;
    return (a > b) - (a < b);
}

/* What row does with operands v; *out_known is false if this test has no statement of it. */
static inline uint64_t stated(TnPxRow row, const uint64_t *v, bool *out_known) {
    uint64_t l = v[0], m = v[1], n = v[2];
    uint32_t a = (uint32_t)l, b = (uint32_t)m, c = (uint32_t)n;
    SoftFormat s = soft_f32, d = soft_f64;
    *out_known = true;
    switch (row) {
    case TN_PX_mov:
    case TN_PX_mov_f:
    case TN_PX_bits:
    case TN_PX_floats:
    case TN_PX_halves:
    case TN_PX_widen:
    case TN_PX_low:
    case TN_PX_from_half:
        return a;
    case TN_PX_mov_d:
    case TN_PX_mov_g:
    case TN_PX_bits_g:
    case TN_PX_doubles:
    case TN_PX_words:
        return l;
    case TN_PX_low_half:
        return a & 0xffff;
    case TN_PX_join:
        return a + b * 0x10000;
    case TN_PX_join_d:
        return l + m * 0x100000000;
    case TN_PX_add:
        return (uint32_t)(l + m);
    case TN_PX_sub:
        return (uint32_t)(l + (b ^ 0xffffffff) + 1);
    case TN_PX_mul:
        return (uint32_t)long_product(a, b);
    case TN_PX_mad:
        return (uint32_t)(long_product(a, b) + c);
    case TN_PX_mul_hi:
        return long_product(a, b) >> 32;
    case TN_PX_div:
        return b ? (uint64_t)(((unsigned __int128)l << 64) / b >> 64) : 0xffffffff;
    case TN_PX_rem:
        return b ? l - l / b * b : 0xffffffff;
    case TN_PX_and:
        return chosen_by_table(a, b, 0, 0xc0);
    case TN_PX_or:
        return chosen_by_table(a, b, 0, 0xfc);
    case TN_PX_xor:
        return chosen_by_table(a, b, 0, 0x3c);
    case TN_PX_not:
        return 0xffffffff - a;
    case TN_PX_shl:
        return moved(a, b, 32, true, false);
    case TN_PX_shr:
        return moved(a, b, 32, false, false);
    case TN_PX_sar:
        return moved(a, b, 32, false, true);
    case TN_PX_bfe:
        return field(a, b, c, false);
    case TN_PX_bfe_s:
        return field(a, b, c, true);
    case TN_PX_prmt:
        return permuted(a, b, c);
    case TN_PX_lop3:
        return chosen_by_table(a, b, c, (uint32_t)v[3]);
    case TN_PX_popc: {
        uint64_t count = 0;
        for (int i = 0; i < 32; i++) count += (uint64_t)bit(a, i);
        return count;
    }
    case TN_PX_min:
        return a > b ? b : a;
    case TN_PX_max:
        return a > b ? a : b;
    case TN_PX_min_s:
        return sign_order(a, b, 32) > 0 ? b : a;
    case TN_PX_max_s:
        return sign_order(a, b, 32) > 0 ? a : b;
    case TN_PX_dp4a_us:
        return four_products(a, b, c, false);
    case TN_PX_dp4a_ss:
        return four_products(a, b, c, true);
    case TN_PX_add_d:
        return (uint64_t)((unsigned __int128)l + m);
    case TN_PX_sub_d:
        return l + ~m + 1;
    case TN_PX_mul_d:
        return (uint64_t)((unsigned __int128)l * m);
    case TN_PX_mad_d:
        return (uint64_t)((unsigned __int128)l * m + n);
    case TN_PX_div_d:
        return m ? (uint64_t)(((unsigned __int128)l << 32) / m >> 32) : UINT64_MAX;
    case TN_PX_rem_d:
        return m ? l - l / m * m : UINT64_MAX;
    case TN_PX_and_d:
        return ~(~l | ~m);
    case TN_PX_or_d:
        return ~(~l & ~m);
    case TN_PX_shl_d:
        return moved(l, b, 64, true, false);
    case TN_PX_shr_d:
        return moved(l, b, 64, false, false);
    case TN_PX_min_d:
        return sign_order(l, m, 64) > 0 ? m : l;
    case TN_PX_max_d:
        return sign_order(l, m, 64) > 0 ? l : m;
    case TN_PX_mul_wide:
        return long_product(a, b);
    case TN_PX_mul_wide_s:
        return long_product_signed(a, b);
    case TN_PX_mad_wide:
        return long_product(a, b) + n;
    case TN_PX_mad_wide_s:
        return long_product_signed(a, b) + n;
    case TN_PX_eq:
        return !(a ^ b);
    case TN_PX_ne:
        return !!(a ^ b);
    case TN_PX_lt:
        return !(a >= b);
    case TN_PX_le:
        return !(a > b);
    case TN_PX_gt:
        return b < a;
    case TN_PX_ge:
        return b <= a;
    case TN_PX_lt_s:
        return sign_order(a, b, 32) < 0;
    case TN_PX_le_s:
        return sign_order(a, b, 32) <= 0;
    case TN_PX_gt_s:
        return sign_order(a, b, 32) > 0;
    case TN_PX_ge_s:
        return sign_order(a, b, 32) >= 0;
    case TN_PX_eq_d:
        return !(l ^ m);
    case TN_PX_lt_d:
        return sign_order(l, m, 64) < 0;
    case TN_PX_le_d:
        return sign_order(l, m, 64) <= 0;
    case TN_PX_ge_d:
        return sign_order(l, m, 64) >= 0;
    case TN_PX_gt_d:
        return sign_order(l, m, 64) > 0;
    case TN_PX_eq_f:
        return soft_compare(s, l, m) == 0;
    case TN_PX_ne_f:
        return soft_compare(s, l, m) != 0;
    case TN_PX_lt_f:
        return soft_compare(s, l, m) == -1;
    case TN_PX_le_f:
        return soft_compare(s, l, m) <= 0;
    case TN_PX_gt_f:
        return soft_compare(s, l, m) == 1;
    case TN_PX_ge_f:
        return soft_compare(s, l, m) == 0 || soft_compare(s, l, m) == 1;
    case TN_PX_nan_f:
        return soft_compare(s, l, m) == 2;
    case TN_PX_lt_g:
        return soft_compare(d, l, m) == -1;
    case TN_PX_gt_g:
        return soft_compare(d, l, m) == 1;
    case TN_PX_both:
        return l * m;
    case TN_PX_either:
        return l + m > 0;
    case TN_PX_no:
        return 1 - l;
    case TN_PX_sel:
    case TN_PX_sel_f:
    case TN_PX_sel_d:
    case TN_PX_sel_g:
        return v[!n];
    case TN_PX_rint:
        return soft_rint(s, l);
    case TN_PX_to_s32:
        return (uint32_t)soft_to_s32(s, l);
    case TN_PX_from_s32:
        return soft_from_int(s, a >> 31 ? (int64_t)a - ((int64_t)1 << 32) : (int64_t)a);
    case TN_PX_from_u32:
        return soft_from_int(s, (int64_t)l);
    case TN_PX_from_f16:
        return soft_convert(soft_f16, s, l);
    case TN_PX_to_f16:
        return soft_convert(s, soft_f16, l);
    case TN_PX_sext8:
        return (a & 0xff) > 127 ? 0xffffff00 | (a & 0xff) : a & 0xff;
    case TN_PX_widen_s:
        return a >> 31 ? l | 0xffffffff00000000 : l;
    case TN_PX_to_f64:
        return soft_convert(s, d, l);
    case TN_PX_to_f32:
        return soft_convert(d, s, l);
    case TN_PX_s32_to_f64:
        return soft_from_int(d, a >> 31 ? (int64_t)a - ((int64_t)1 << 32) : (int64_t)a);
    case TN_PX_s64_to_f64:
        return soft_from_int(d, (int64_t)l);
    case TN_PX_add_f:
        return soft_add(s, l, m);
    case TN_PX_sub_f:
        return soft_add(s, l, soft_neg(s, m));
    case TN_PX_mul_f:
        return soft_mul(s, l, m);
    case TN_PX_fma_f:
        return soft_fma(s, l, m, n);
    case TN_PX_div_f:
        return soft_div(s, l, m);
    case TN_PX_sqrt_f:
        return soft_sqrt(s, l);
    case TN_PX_neg_f:
        return soft_neg(s, l);
    case TN_PX_add_g:
        return soft_add(d, l, m);
    case TN_PX_sub_g:
        return soft_add(d, l, soft_neg(d, m));
    case TN_PX_mul_g:
        return soft_mul(d, l, m);
    case TN_PX_fma_g:
        return soft_fma(d, l, m, n);
    case TN_PX_div_g:
        return soft_div(d, l, m);
    case TN_PX_sqrt_g:
        return soft_sqrt(d, l);
    case TN_PX_neg_g:
        return soft_neg(d, l);
    default:
        *out_known = false;
        return 0;
    }
}

#endif
