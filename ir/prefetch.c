/* The distances at which a kernel prefetches its weights: their attributes, ranges and spelling. */
#include "ir/internal.h"

#include <stdio.h>
#include <string.h>

/* Of what is listed, lists have room for so many entries after their ends (skeletons/gated.h, ops/tmatmul_colmajor.c). */
const TnPrefetchRange tn_prefetch_ranges[TN_STREAM_COUNT] = {
    [TN_STREAM_DENSE] = {64, 1 << 20}, [TN_STREAM_LISTED] = {1, 64}, [TN_STREAM_COLUMNS] = {1, 124}};

_Static_assert((int)TN_ATTR_columns_past - (int)TN_ATTR_prefetch_l1 + 1 ==
                   (int)TN_STREAM_COUNT * (int)TN_INTO_COUNT,
               "attrs.def has the distances stream by stream");

bool tn_prefetch_ok(TnStream stream, int64_t distance) {
    const TnPrefetchRange *r = &tn_prefetch_ranges[stream];
    return distance >= 0 && distance <= r->most && distance % r->step == 0;
}

TnPrefetchText tn_prefetch_expected(TnStream stream) {
    const TnPrefetchRange *r = &tn_prefetch_ranges[stream];
    TnPrefetchText t;
    if (r->step == 1)
        snprintf(t.s, sizeof t.s, "expected 0 to %lld", (long long)r->most);
    else
        snprintf(t.s, sizeof t.s, "expected a multiple of %lld from 0 to %lld", (long long)r->step,
                 (long long)r->most);
    return t;
}

TnAttrKey tn_prefetch_key(TnStream stream, TnInto into) {
    return (TnAttrKey)((int)TN_ATTR_prefetch_l1 + (int)stream * TN_INTO_COUNT + (int)into);
}

bool tn_prefetch_find(TnAttrKey key, TnStream *stream, TnInto *into) {
    if (key < TN_ATTR_prefetch_l1 || key > TN_ATTR_columns_past) return false;
    int at = (int)key - (int)TN_ATTR_prefetch_l1;
    *stream = (TnStream)(at / TN_INTO_COUNT);
    *into = (TnInto)(at % TN_INTO_COUNT);
    return true;
}

bool tn_prefetch_equal(const TnPrefetch *a, const TnPrefetch *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

int64_t tn_prefetch_most(const TnPrefetch *p, TnStream stream) {
    int64_t most = 0;
    for (TnInto i = 0; i < TN_INTO_COUNT; i++)
        if (p->ahead[stream][i] > most) most = p->ahead[stream][i];
    return most;
}

void tn_prefetch_print(const TnPrefetch *p, TnBuf *out) {
    for (TnStream s = 0; s < TN_STREAM_COUNT; s++)
        for (TnInto i = 0; i < TN_INTO_COUNT; i++)
            if (p->ahead[s][i])
                tn_buf_printf(out, ", %s=%lld", tn_attrs[tn_prefetch_key(s, i)].name,
                              (long long)p->ahead[s][i]);
}
