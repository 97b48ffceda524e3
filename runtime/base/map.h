/* A hash map from byte strings to 32-bit values. Keys are borrowed: they must outlive the map.
 * Hashing is seeded per process-independent constant plus xxHash, lookup is O(1); zero-initialise to create. */
#ifndef TN_BASE_MAP_H
#define TN_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#define TN_MAP_NONE UINT32_MAX

typedef struct TnMap {
    struct TnMapSlot *slots;
    size_t n, cap;
} TnMap;

/* The value of the key, or TN_MAP_NONE. */
uint32_t tn_map_get(const TnMap *m, const char *key, size_t len);
/* Sets the key; returns the value it had before, or TN_MAP_NONE. */
uint32_t tn_map_set(TnMap *m, const char *key, size_t len, uint32_t value);
void tn_map_free(TnMap *m);

#endif
