/* Hexadecimal digits: those of escapes are read, and hashes are shown as text. */
#ifndef TN_BASE_HEX_H
#define TN_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* The value of a digit of either case; -1 for any other byte. */
static inline int tn_hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Reads `digits` digits, at most 8, from the n bytes at s, and gives how many are there. Only if that is all of them, *out is
 * their number. */
size_t tn_hex_read(const char *s, size_t n, size_t digits, uint32_t *out);

/* A hash of 16 bytes in lower case, as an argument of printf. */
typedef struct TnHexText {
    char s[33];
} TnHexText;
TnHexText tn_hex(const uint8_t bytes[16]);

#endif
