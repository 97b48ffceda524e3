/* A page of the cache as bytes: its size, and where a position lies in it (program.h). */
#include <string.h>
#include "runtime/program.h"

size_t tn_cache_page_bytes(const TnCache *c) {
    return (size_t)c->heads * TN_PAGE_POSITIONS * (c->head_dim * c->elem_bytes + c->scale_bytes);
}

void tn_cache_clear(const TnCache *c, uint8_t *k, uint8_t *v, uint32_t lo, uint32_t hi) {
    size_t elem = c->elem_bytes, row = TN_PAGE_POSITIONS * elem, column = c->head_dim * elem;
    size_t codes = c->head_dim * row, scale = c->scale_bytes, head = codes + TN_PAGE_POSITIONS * scale;
    for (uint32_t h = 0; h < c->heads; h++, k += head, v += head) {
        for (uint32_t d = 0; d < c->head_dim; d++) memset(k + d * row + lo * elem, 0, (hi - lo) * elem);
        memset(v + lo * column, 0, (hi - lo) * column);
        memset(k + codes + lo * scale, 0, (hi - lo) * scale);
        memset(v + codes + lo * scale, 0, (hi - lo) * scale);
    }
}
