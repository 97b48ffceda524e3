#include "runtime/pages.h"

static uint32_t pages_of(uint32_t positions) {
    return (positions + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS;
}

static int32_t take_page(TnPages *p) {
    TN_CHECK(p->n_free > 0 || p->n_fresh < p->n);
    int32_t page = p->n_free ? p->free[--p->n_free] : (int32_t)p->n_fresh++;
    p->refs[page] = 1;
    return page;
}

static void let_go(TnPages *p, int32_t page) {
    p->n_shared -= p->refs[page] == 2;
    if (--p->refs[page] == 0) p->free[p->n_free++] = page;
}

/* The page in which a slot's last position is, if a position can follow in it; else NULL. */
static int32_t *open_page(const TnPages *p, uint32_t slot) {
    uint32_t n = p->length[slot];
    return n % TN_PAGE_POSITIONS ? &p->table[(size_t)slot * p->per_slot + n / TN_PAGE_POSITIONS] : NULL;
}

/* Of the slots that share a page and write into it, each but the last holder makes a copy. So the first pass takes refs away
 * as copies would, and marks the slots that did; the second gives them back. */
uint64_t tn_pages_needed(TnPages *p, uint32_t *growth) {
    const uint32_t copies = 1u << 31;
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->slots; i++) {
        if (growth[i] == 0) continue;
        TN_CHECK(growth[i] < copies);
        n += pages_of(p->length[i] + growth[i]) - pages_of(p->length[i]);
        const int32_t *open = open_page(p, i);
        if (!open || p->refs[*open] == 1) continue;
        p->refs[*open]--;
        growth[i] |= copies;
        n++;
    }
    for (uint32_t i = 0; i < p->slots; i++) {
        if (growth[i] & copies) p->refs[*open_page(p, i)]++;
        growth[i] &= ~copies;
    }
    return n;
}

static uint64_t not_counted(const TnPages *p, int32_t page) {
    if (!p->counts || p->counted[page] >= p->used[page]) return 0;
    return p->engine->saturated(p->engine, p->memory, page, p->counted[page], p->used[page]);
}

uint64_t tn_pages_saturated(const TnPages *p) {
    uint64_t n = p->saturated;
    for (uint32_t page = 0; page < p->n_fresh; page++) n += not_counted(p, (int32_t)page);
    return n;
}

static int32_t copy(TnPages *p, int32_t shared) {
    int32_t page = take_page(p);
    p->saturated += not_counted(p, page);
    p->engine->copy_page(p->engine, p->memory, page, shared);
    p->used[page] = p->counted[page] = p->used[shared];
    let_go(p, shared);
    return page;
}

uint32_t tn_pages_append(TnPages *p, uint32_t slot) {
    uint32_t pos = p->length[slot]++, held = pos % TN_PAGE_POSITIONS;
    TN_CHECK(pos / TN_PAGE_POSITIONS < p->per_slot);
    int32_t *entry = &p->table[(size_t)slot * p->per_slot + pos / TN_PAGE_POSITIONS];
    if (held == 0)
        *entry = take_page(p);
    else if (p->refs[*entry] > 1)
        *entry = copy(p, *entry);
    uint8_t *used = &p->used[*entry], *counted = &p->counted[*entry];
    if (*used > held) {
        p->saturated += not_counted(p, *entry);
        p->engine->clear_page(p->engine, p->memory, *entry, held, *used);
        *counted = (uint8_t)held;
    }
    *used = (uint8_t)(held + 1);
    return pos;
}

int32_t tn_pages_append_page(TnPages *p, uint32_t slot, uint32_t n) {
    uint32_t held = p->length[slot];
    TN_CHECK(held % TN_PAGE_POSITIONS == 0 && held / TN_PAGE_POSITIONS < p->per_slot);
    int32_t page = take_page(p);
    p->table[(size_t)slot * p->per_slot + held / TN_PAGE_POSITIONS] = page;
    p->length[slot] = held + n;
    p->saturated += not_counted(p, page);
    p->used[page] = p->counted[page] = TN_PAGE_POSITIONS;
    return page;
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
        p->n_shared += ++p->refs[source[j]] == 2;
    }
    p->length[to] = p->length[from];
}
