/* A hash map from byte strings to 32-bit values. Keys are borrowed: they must outlive the map.
 * Lookup is O(1) for any keys, even hostile ones, because each map hashes with a random seed of its own. The order
 * of the slots cannot be seen from outside, so results are the same in every run. Zero-initialise to create. Values
 * must be below TN_MAP_NONE. */
#ifndef TN_BASE_MAP_H
#define TN_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#define TN_MAP_NONE UINT32_MAX

typedef struct TnMap {
    struct TnMapSlot *slots;
    size_t n, cap; /* keys; slots, a power of two */
    uint64_t seed;
} TnMap;

/* The value of the key, or TN_MAP_NONE. */
uint32_t tn_map_get(const TnMap *m, const char *key, size_t len);
/* Sets the key; returns the value it had before, or TN_MAP_NONE. */
uint32_t tn_map_set(TnMap *m, const char *key, size_t len, uint32_t value);
void tn_map_free(TnMap *m);

#endif
