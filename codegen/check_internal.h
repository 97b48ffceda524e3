/* What the files of the differential check share. */
#ifndef TN_CHECK_INTERNAL_H
#define TN_CHECK_INTERNAL_H

#include "codegen/check.h"
#include "runtime/base/arena.h"
#include "runtime/base/map.h"

/* One graph compiled one way. */
typedef struct TnCheckItem {
    TnGraph *source, *g; /* the original, with the cache types of the variant; the planned graph */
    TnCheckHow how;
    uint32_t level;
    uint32_t *jobs; /* for each kernel, the index of its job in the level */
} TnCheckItem;

typedef struct TnCheckLevel {
    const char *name;
    TnEmitJob *jobs;
    size_t n, cap;
    TnMap by_signature;
    void *code;
    size_t bytes;
} TnCheckLevel;

struct TnCheck {
    TnCheckItem *items;
    size_t n, cap;
    TnCheckLevel levels[8];
    uint32_t n_levels;
    TnArena arena;
    const TnWeights *weights;
};

#endif
