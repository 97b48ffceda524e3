#include "runtime/base/hash.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t tn_hash64(const void *p, size_t n) {
    return XXH3_64bits(p, n);
}

uint64_t tn_hash64_seeded(const void *p, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(p, n, seed);
}

TnHash128 tn_hash128(const void *p, size_t n) {
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits(p, n));
    TnHash128 h;
    memcpy(h.bytes, c.digest, sizeof h.bytes);
    return h;
}
