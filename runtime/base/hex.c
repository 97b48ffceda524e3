#include "runtime/base/hex.h"

size_t tn_hex_read(const char *s, size_t n, size_t digits, uint32_t *out) {
    uint32_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        int d = i < n ? tn_hex_digit(s[i]) : -1;
        if (d < 0) return i;
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return digits;
}

TnHexText tn_hex(const uint8_t bytes[16]) {
    static const char digits[] = "0123456789abcdef";
    TnHexText t = {{0}};
    for (int i = 0; i < 16; i++) {
        t.s[2 * i] = digits[bytes[i] >> 4];
        t.s[2 * i + 1] = digits[bytes[i] & 15];
    }
    return t;
}
