/* Keeps masks and tables up to a number. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/hash.h"
#include "runtime/base/status.h"
#include "runtime/text/grammar/masks.h"

#define NONE UINT32_MAX

void tn_keep_start(TnKeep *k, size_t most, size_t n_words) {
    *k = (TnKeep){.most = most, .n_words = n_words, .mask = 1};
    while (k->mask < most) k->mask = 2 * k->mask + 1;
    k->slots = tn_xcalloc((size_t)k->mask + 1, sizeof *k->slots);
    memset(k->slots, 0xff, ((size_t)k->mask + 1) * sizeof *k->slots);
}

void tn_keep_free(TnKeep *k) {
    for (size_t i = 0; i < k->n; i++) {
        free(k->v[i].key);
        free(k->v[i].words);
        free(k->v[i].exits);
    }
    free(k->v);
    free(k->slots);
    *k = (TnKeep){0};
}

static uint32_t *head(const TnKeep *k, const uint32_t *key, uint32_t n) {
    return &k->slots[(uint32_t)tn_hash64(key, n * sizeof *key) & k->mask];
}

TnKept *tn_keep_find(TnKeep *k, const uint32_t *key, uint32_t n) {
    for (uint32_t i = *head(k, key, n); i != NONE; i = k->v[i].chain) {
        TnKept *v = &k->v[i];
        if (v->n_key != n || memcmp(v->key, key, n * sizeof *key) != 0) continue;
        v->used = ++k->clock;
        return v;
    }
    return NULL;
}

/* Takes an entry out of its chain. */
static void unlink_kept(TnKeep *k, const TnKept *v) {
    uint32_t *at = head(k, v->key, v->n_key), i = (uint32_t)(v - k->v);
    while (*at != i) at = &k->v[*at].chain;
    *at = v->chain;
}

static TnKept *oldest(TnKeep *k) {
    TnKept *best = &k->v[0];
    for (size_t i = 1; i < k->n; i++)
        if (k->v[i].used < best->used) best = &k->v[i];
    unlink_kept(k, best);
    return best;
}

TnKept *tn_keep_new(TnKeep *k, const uint32_t *key, uint32_t n) {
    TnKept *v;
    if (k->n < k->most) {
        TN_PUSH(k->v, k->n, k->cap, ((TnKept){0}));
        v = &k->v[k->n - 1];
        v->words = tn_xcalloc(k->n_words, sizeof *v->words);
    } else {
        v = oldest(k);
        memset(v->words, 0, k->n_words * sizeof *v->words);
        free(v->key);
        free(v->exits);
    }
    uint32_t *slot = head(k, key, n);
    *v = (TnKept){.n_key = n, .chain = *slot, .words = v->words, .used = ++k->clock};
    v->key = tn_xrealloc(NULL, n * sizeof *key);
    memcpy(v->key, key, n * sizeof *key);
    *slot = (uint32_t)(v - k->v);
    return v;
}

/* The entry stays, with a key that nobody looks for and as the next to go. */
void tn_keep_drop(TnKeep *k, TnKept *v) {
    static const uint32_t nothing[2] = {NONE, NONE};
    unlink_kept(k, v);
    v->key = tn_xrealloc(v->key, sizeof nothing);
    memcpy(v->key, nothing, sizeof nothing);
    v->n_key = 2;
    v->used = 0;
    uint32_t *slot = head(k, nothing, 2);
    v->chain = *slot;
    *slot = (uint32_t)(v - k->v);
}
