#include "runtime/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16, BLOCK_BYTES = 64 * 1024 };

struct TnArenaBlock {
    struct TnArenaBlock *next;
    size_t bytes;
    _Alignas(ALIGN) unsigned char data[];
};

void tn_out_of_memory(size_t bytes) {
    fprintf(stderr, "tern: out of memory: %zu bytes requested\n", bytes);
    exit(1);
}

void *tn_xcalloc(size_t count, size_t elem_bytes) {
    void *p = calloc(count ? count : 1, elem_bytes ? elem_bytes : 1);
    if (!p) tn_out_of_memory(elem_bytes && count > SIZE_MAX / elem_bytes ? SIZE_MAX : count * elem_bytes);
    return p;
}

void *tn_xrealloc(void *p, size_t bytes) {
    void *q = realloc(p, bytes ? bytes : 1);
    if (!q) tn_out_of_memory(bytes);
    return q;
}

static struct TnArenaBlock *new_block(size_t bytes) {
    if (bytes > SIZE_MAX - sizeof(struct TnArenaBlock)) tn_out_of_memory(bytes);
    struct TnArenaBlock *b = tn_xcalloc(1, sizeof *b + bytes);
    b->bytes = bytes;
    return b;
}

void *tn_alloc(TnArena *a, size_t bytes) {
    if (bytes > SIZE_MAX - ALIGN) tn_out_of_memory(bytes);
    size_t want = (bytes + (bytes == 0) + ALIGN - 1) & ~(size_t)(ALIGN - 1); /* distinct even for 0 bytes */
    a->total += bytes;
    if (want <= a->cap - a->used) {
        void *p = a->head->data + a->used;
        a->used += want;
        return p;
    }
    if (a->head && want > BLOCK_BYTES / 4) {
        /* A large piece gets a block of its own, after the head block, so that the rest of the head stays in use. */
        struct TnArenaBlock *b = new_block(want);
        b->next = a->head->next;
        a->head->next = b;
        return b->data;
    }
    struct TnArenaBlock *b = new_block(want > BLOCK_BYTES ? want : BLOCK_BYTES);
    b->next = a->head;
    a->head = b;
    a->cap = b->bytes;
    a->used = want;
    return b->data;
}

void *tn_alloc_array(TnArena *a, size_t count, size_t elem_bytes) {
    size_t bytes;
    if (__builtin_mul_overflow(count, elem_bytes, &bytes)) tn_out_of_memory(SIZE_MAX);
    return tn_alloc(a, bytes);
}

char *tn_strndup(TnArena *a, const char *s, size_t n) {
    if (n == SIZE_MAX) tn_out_of_memory(n);
    char *p = tn_alloc(a, n + 1);
    if (n) memcpy(p, s, n);
    return p;
}

char *tn_strdup(TnArena *a, const char *s) {
    return tn_strndup(a, s, strlen(s));
}

char *tn_sprintf(TnArena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) n = 0;
    char *p = tn_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void tn_arena_free(TnArena *a) {
    for (struct TnArenaBlock *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (TnArena){0};
}
