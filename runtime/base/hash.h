/* xxHash, compiled in: XXH3-64 for tables and identities, XXH3-128 for integrity. A hash detects damage, not malice. */
#ifndef TN_BASE_HASH_H
#define TN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct TnHash128 {
    uint8_t bytes[16]; /* canonical big-endian form, as xxhsum -H2 prints it */
} TnHash128;

uint64_t tn_hash64(const void *p, size_t n);
uint64_t tn_hash64_seeded(const void *p, size_t n, uint64_t seed);
TnHash128 tn_hash128(const void *p, size_t n);

#endif
