/* Sets of code points. */
#include <stdlib.h>
#include <string.h>
#include "runtime/text/grammar/rules.h"

enum { LAST_POINT = 0x10ffff, FIRST_SURROGATE = 0xd800, LAST_SURROGATE = 0xdfff };

static int by_low(const void *pa, const void *pb) {
    const struct TnPointRange *a = pa, *b = pb;
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* Only one range can have surrogates in its middle, once the ranges are joined: hence the room for one more. */
static void cut_surrogates(TnPoints *p) {
    uint32_t n = 0;
    struct TnPointRange more = {1, 0};
    for (uint32_t i = 0; i < p->n; i++) {
        struct TnPointRange x = p->ranges[i];
        if (x.lo < FIRST_SURROGATE && x.hi > LAST_SURROGATE) {
            more = (struct TnPointRange){LAST_SURROGATE + 1, x.hi};
            x.hi = FIRST_SURROGATE - 1;
        } else {
            if (x.lo >= FIRST_SURROGATE && x.lo <= LAST_SURROGATE) x.lo = LAST_SURROGATE + 1;
            if (x.hi >= FIRST_SURROGATE && x.hi <= LAST_SURROGATE) x.hi = FIRST_SURROGATE - 1;
        }
        if (x.lo <= x.hi) p->ranges[n++] = x;
    }
    p->n = n;
    if (more.lo > more.hi) return;
    uint32_t at = 0;
    while (at < n && p->ranges[at].lo < more.lo) at++;
    memmove(p->ranges + at + 1, p->ranges + at, (n - at) * sizeof *p->ranges);
    p->ranges[at] = more;
    p->n++;
}

void tn_points_tidy(TnPoints *p) {
    uint32_t n = 0;
    if (p->n == 0) return;
    qsort(p->ranges, p->n, sizeof *p->ranges, by_low);
    for (uint32_t i = 0; i < p->n; i++) {
        struct TnPointRange x = p->ranges[i];
        if (x.lo > LAST_POINT) continue;
        if (x.hi > LAST_POINT) x.hi = LAST_POINT;
        if (n && x.lo <= p->ranges[n - 1].hi + 1) {
            if (x.hi > p->ranges[n - 1].hi) p->ranges[n - 1].hi = x.hi;
        } else {
            p->ranges[n++] = x;
        }
    }
    p->n = n;
    cut_surrogates(p);
}

TnPoints tn_points_not(const TnPoints *p, TnArena *arena) {
    TnPoints out = {tn_alloc_array(arena, p->n + 2, sizeof *out.ranges), 0};
    uint32_t from = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->ranges[i].lo > from) out.ranges[out.n++] = (struct TnPointRange){from, p->ranges[i].lo - 1};
        from = p->ranges[i].hi + 1;
    }
    if (from <= LAST_POINT) out.ranges[out.n++] = (struct TnPointRange){from, LAST_POINT};
    tn_points_tidy(&out);
    return out;
}
