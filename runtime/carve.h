/* Memory layout with a cursor that only moves up. It remembers an overflow, so that one check at the end is enough. */
#ifndef TN_CARVE_H
#define TN_CARVE_H

#include "runtime/base/reader.h"
#include "runtime/variant.h"

enum { TN_LINE = 64 };

typedef struct TnCarve {
    size_t at;
    bool over;
} TnCarve;

static inline size_t tn_carve(TnCarve *c, size_t align, uint64_t count, uint64_t elem) {
    size_t bytes, start;
    if (!tn_align_up(c->at, align, &start) || !tn_mul(count, elem, &bytes) || !tn_add(start, bytes, &c->at)) {
        c->over = true;
        return 0;
    }
    return start;
}

/* Where the arena's part for symbol `until` begins; TN_ABI_SYMS: where the arena ends. The constant part comes first, then
 * one part for each symbol. */
static inline size_t tn_arena_part(const TnVariant *v, const int64_t sym_max[TN_ABI_SYMS], int until,
                                   TnCarve *c) {
    tn_carve(c, TN_LINE, v->plan.arena_const, 1);
    for (int s = 0; s < until; s++) tn_carve(c, TN_LINE, v->plan.arena[s], (uint64_t)sym_max[s]);
    return tn_carve(c, TN_LINE, 0, 0);
}

#endif
