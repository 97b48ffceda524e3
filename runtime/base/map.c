#include "runtime/base/map.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/hash.h"
#include "runtime/base/os.h"

struct TnMapSlot {
    const char *key;
    size_t len;
    uint64_t hash;
    uint32_t value;
    bool used;
};

/* The slot of the key, or the empty slot where it belongs. Linear probing, with at most half of the slots full. */
static struct TnMapSlot *probe(const TnMap *m, const char *key, size_t len, uint64_t hash) {
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct TnMapSlot *s = &m->slots[i];
        if (!s->used) return s;
        if (s->hash == hash && s->len == len && (len == 0 || memcmp(s->key, key, len) == 0)) return s;
    }
}

static void grow(TnMap *m) {
    TnMap old = *m;
    if (m->cap == 0) m->seed = tn_os_random_seed();
    m->cap = old.cap ? old.cap * 2 : 16;
    m->slots = tn_xcalloc(m->cap, sizeof *m->slots);
    for (size_t i = 0; i < old.cap; i++) {
        const struct TnMapSlot *s = &old.slots[i];
        if (s->used) *probe(m, s->key, s->len, s->hash) = *s;
    }
    free(old.slots);
}

uint32_t tn_map_get(const TnMap *m, const char *key, size_t len) {
    if (m->cap == 0) return TN_MAP_NONE;
    const struct TnMapSlot *s = probe(m, key, len, tn_hash64_seeded(key, len, m->seed));
    return s->used ? s->value : TN_MAP_NONE;
}

uint32_t tn_map_set(TnMap *m, const char *key, size_t len, uint32_t value) {
    if (2 * (m->n + 1) > m->cap) grow(m);
    uint64_t hash = tn_hash64_seeded(key, len, m->seed);
    struct TnMapSlot *s = probe(m, key, len, hash);
    if (s->used) {
        uint32_t before = s->value;
        s->value = value;
        return before;
    }
    *s = (struct TnMapSlot){.key = key, .len = len, .hash = hash, .value = value, .used = true};
    m->n++;
    return TN_MAP_NONE;
}

void tn_map_free(TnMap *m) {
    free(m->slots);
    *m = (TnMap){0};
}
