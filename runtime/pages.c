#include "runtime/pages.h"

#include <string.h>
#include "runtime/base/status.h"

size_t tn_pages_bytes_a_page(const TnPages *p) {
    return (size_t)p->heads * TN_PAGE_POSITIONS * (p->head_dim * p->elem_bytes + p->scale_bytes);
}

static uint32_t pages_of(uint32_t positions) {
    return (positions + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS;
}

static uint8_t *page_at(const TnPages *p, uint8_t *base, uint32_t layer, int32_t page) {
    return base + ((size_t)layer * p->n + (size_t)page) * tn_pages_bytes_a_page(p);
}

static void clear(TnPages *p, int32_t page, uint32_t from, uint32_t to) {
    size_t elem = p->elem_bytes, row = TN_PAGE_POSITIONS * elem, column = p->head_dim * elem;
    size_t codes = p->head_dim * row, scale = p->scale_bytes, head = codes + TN_PAGE_POSITIONS * scale;
    for (uint32_t layer = 0; layer < p->layers; layer++) {
        uint8_t *k = page_at(p, p->keys, layer, page), *v = page_at(p, p->values, layer, page);
        for (uint32_t h = 0; h < p->heads; h++, k += head, v += head) {
            for (uint32_t d = 0; d < p->head_dim; d++)
                memset(k + d * row + from * elem, 0, (to - from) * elem);
            memset(v + from * column, 0, (to - from) * column);
            memset(k + codes + from * scale, 0, (to - from) * scale);
            memset(v + codes + from * scale, 0, (to - from) * scale);
        }
    }
}

/* How many of n halves are +-65504: four at a time, whose magnitudes' distance from it carries into no neighbour. */
static uint64_t saturated(const uint8_t *at, size_t n) {
    const uint64_t sign = 0x8000800080008000u, most = 0x7bff7bff7bff7bffu;
    uint64_t count = 0, w;
    for (; n >= 4; n -= 4, at += 8) {
        memcpy(&w, at, 8);
        w = (((w & ~sign) ^ most) + ~sign) & sign; /* set where it is another value */
        if (w != sign)
            for (uint64_t rest = ~w & sign; rest; rest &= rest - 1) count++;
    }
    for (; n; n--, at += 2) {
        uint16_t h;
        memcpy(&h, at, 2);
        count += (h & 0x7fff) == 0x7bff;
    }
    return count;
}

/* The same of n halves that lie 64 positions apart, as the keys of one position do. */
static uint64_t saturated_apart(const uint8_t *at, size_t n) {
    uint64_t count = 0;
    for (const uint8_t *end = at + n * TN_PAGE_POSITIONS * 2; at != end; at += TN_PAGE_POSITIONS * 2) {
        uint16_t h;
        memcpy(&h, at, 2);
        if (__builtin_expect((h & 0x7fff) == 0x7bff, 0)) count++;
    }
    return count;
}

uint64_t tn_pages_saturated(const TnPages *p, uint32_t slot, uint32_t from, uint32_t to) {
    TN_CHECK(p->elem_bytes == 2 && from / TN_PAGE_POSITIONS == (to - 1) / TN_PAGE_POSITIONS);
    int32_t page = p->table[(size_t)slot * p->per_slot + from / TN_PAGE_POSITIONS];
    size_t dims = p->head_dim, n = to - from, at = from % TN_PAGE_POSITIONS;
    uint64_t count = 0;
    for (uint32_t layer = 0; layer < p->layers; layer++) {
        const uint8_t *k = page_at(p, p->keys, layer, page), *v = page_at(p, p->values, layer, page);
        if (n == 1) count += saturated_apart(k + at * 2, p->heads * dims);
        for (size_t i = 0; n > 1 && i < p->heads * dims; i++)
            count += saturated(k + (i * TN_PAGE_POSITIONS + at) * 2, n);
        for (uint32_t h = 0; h < p->heads; h++)
            count += saturated(v + (h * TN_PAGE_POSITIONS + at) * dims * 2, n * dims);
    }
    return count;
}

static int32_t take(TnPages *p) {
    TN_CHECK(p->n_free > 0 || p->n_fresh < p->n);
    int32_t page = p->n_free ? p->free[--p->n_free] : (int32_t)p->n_fresh++;
    p->refs[page] = 1;
    return page;
}

static void let_go(TnPages *p, int32_t page) {
    if (--p->refs[page] == 0) p->free[p->n_free++] = page;
}

static int32_t copy(TnPages *p, int32_t shared) {
    int32_t page = take(p);
    size_t bytes = tn_pages_bytes_a_page(p);
    for (uint32_t layer = 0; layer < p->layers; layer++) {
        memcpy(page_at(p, p->keys, layer, page), page_at(p, p->keys, layer, shared), bytes);
        memcpy(page_at(p, p->values, layer, page), page_at(p, p->values, layer, shared), bytes);
    }
    p->used[page] = p->used[shared];
    let_go(p, shared);
    return page;
}

uint32_t tn_pages_append(TnPages *p, uint32_t slot) {
    uint32_t pos = p->length[slot]++, held = pos % TN_PAGE_POSITIONS;
    TN_CHECK(pos / TN_PAGE_POSITIONS < p->per_slot);
    int32_t *entry = &p->table[(size_t)slot * p->per_slot + pos / TN_PAGE_POSITIONS];
    if (held == 0)
        *entry = take(p);
    else if (p->refs[*entry] > 1)
        *entry = copy(p, *entry);
    uint8_t *used = &p->used[*entry];
    if (*used > held) clear(p, *entry, held, *used);
    *used = (uint8_t)(held + 1);
    return pos;
}

void tn_pages_truncate(TnPages *p, uint32_t slot, uint32_t n) {
    int32_t *table = p->table + (size_t)slot * p->per_slot;
    for (uint32_t j = pages_of(n); j < pages_of(p->length[slot]); j++) {
        let_go(p, table[j]);
        table[j] = 0;
    }
    p->length[slot] = n;
}

void tn_pages_fork(TnPages *p, uint32_t from, uint32_t to) {
    if (from == to) return;
    tn_pages_truncate(p, to, 0);
    const int32_t *source = p->table + (size_t)from * p->per_slot;
    int32_t *target = p->table + (size_t)to * p->per_slot;
    for (uint32_t j = 0; j < pages_of(p->length[from]); j++) {
        target[j] = source[j];
        p->refs[source[j]]++;
    }
    p->length[to] = p->length[from];
}
