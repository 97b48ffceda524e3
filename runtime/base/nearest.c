/* Distances between words: Damerau's restricted edit distance, computed row by row. */
#include "runtime/base/nearest.h"
#include <string.h>

#define MOST      100
#define BEGINNING 6

static unsigned small(char c) {
    return c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A' + 'a') : (unsigned char)c;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t slips_between(const char *a, size_t n, const char *b, size_t m) {
    size_t row[3][MOST + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= m; j++) last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t other = small(a[i - 1]) != small(b[j - 1]);
            now[j] = least(least(now[j - 1], last[j]) + 1, last[j - 1] + other);
            if (i > 1 && j > 1 && small(a[i - 1]) == small(b[j - 2]) && small(a[i - 2]) == small(b[j - 1]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

void tn_nearest_try(TnNearest *n, const char *name, size_t len) {
    if (n->len > MOST || len > MOST) return;
    size_t slips = slips_between(n->word, n->len, name, len);
    if (n->len >= BEGINNING && len > n->len && slips == len - n->len && memcmp(n->word, name, n->len) == 0)
        slips = 1;
    if (slips > n->len / 3 || (n->best && slips >= n->slips)) return;
    n->best = name;
    n->best_len = len;
    n->slips = slips;
}
