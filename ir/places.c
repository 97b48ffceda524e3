#include "ir/places.h"

#include <string.h>

static unsigned digit(char c) {
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

bool tn_mask_get(const char *mask, int64_t i) {
    int64_t at = i / 4;
    if (i < 0 || at >= (int64_t)strlen(mask)) return false;
    return digit(mask[at]) >> (3 - i % 4) & 1;
}

int64_t tn_mask_count(const char *mask) {
    int64_t n = 0;
    for (; *mask; mask++) n += __builtin_popcount(digit(*mask));
    return n;
}

int64_t tn_mask_end(const char *mask) {
    int64_t end = 0;
    for (int64_t i = 0; mask[i]; i++)
        if (digit(mask[i])) end = 4 * i + 4 - __builtin_ctz(digit(mask[i]));
    return end;
}

const char *tn_mask_new(TnArena *arena, const bool *kept, int64_t n) {
    int64_t digits = (n + 3) / 4;
    char *s = tn_alloc(arena, (size_t)digits + 1);
    for (int64_t i = 0; i < digits; i++) {
        unsigned v = 0;
        for (int64_t j = 0; j < 4; j++) v = 2 * v + (4 * i + j < n && kept[4 * i + j]);
        s[i] = "0123456789abcdef"[v];
    }
    s[digits] = '\0';
    return s;
}

int32_t *tn_mask_list(const char *mask) {
    int32_t *list = tn_xcalloc((size_t)tn_mask_count(mask) + 1, sizeof *list);
    int64_t n = 0;
    for (int32_t i = 0; mask[i / 4]; i++)
        if (digit(mask[i / 4]) >> (3 - i % 4) & 1) list[n++] = i;
    return list;
}
