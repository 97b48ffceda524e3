/* The memory of one rendering, and strings that grow in it. */
#include <stdio.h>
#include <stdlib.h>
#include "jinja.h"

enum { ALIGN = 16, BLOCK_BYTES = 32 * 1024 };

typedef struct TnMemBlock {
    struct TnMemBlock *next;
    _Alignas(ALIGN) unsigned char data[];
} TnMemBlock;

static _Noreturn void no_memory(TnJinja *j, size_t bytes) {
    tn_fail(j->err, TERN_ERR_MEMORY, "line %d: no memory for a chat template (%zu bytes)", j->line, bytes);
    longjmp(j->leave, 1);
}
void *tn_j_alloc(TnJinja *j, size_t count, size_t each) {
    TnMem *mem = &j->mem;
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes) || mem->total > j->max_memory ||
        bytes > j->max_memory - mem->total)
        tn_j_fail(j, "the values take more than %llu bytes", (unsigned long long)j->max_memory);
    mem->total += bytes;
    bytes = (bytes + (bytes == 0) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (bytes <= mem->cap - mem->used) {
        void *p = mem->head->data + mem->used;
        mem->used += bytes;
        return p;
    }
    bool own = mem->head && bytes > BLOCK_BYTES / 4; /* goes after the head, the rest of which stays in use */
    size_t size = !own && bytes < BLOCK_BYTES ? BLOCK_BYTES : bytes;
    TnMemBlock *b = calloc(1, sizeof *b + size);
    if (!b) no_memory(j, size);
    if (own) {
        b->next = mem->head->next;
        mem->head->next = b;
        return b->data;
    }
    b->next = mem->head;
    mem->head = b, mem->cap = size, mem->used = bytes;
    return b->data;
}
void tn_mem_free(TnMem *mem) {
    for (TnMemBlock *b = mem->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *mem = (TnMem){0};
}

TnOut *tn_j_open(TnJinja *j) {
    TnOut *o = tn_j_alloc(j, 1, sizeof *o);
    o->j = j;
    return o;
}
/* Room for n more bytes; grows by half, so that appending costs time linear in the total. */
static void reserve(TnOut *o, size_t n) {
    if (n > o->j->max_output || o->n > o->j->max_output - n)
        tn_j_fail(o->j, "a text has more than %llu bytes", (unsigned long long)o->j->max_output);
    if (n <= o->cap - o->n) return;
    size_t cap = o->cap + o->cap / 2;
    if (cap < o->n + n) cap = o->n + n;
    if (cap < 32) cap = 32;
    char *p = tn_j_alloc(o->j, cap, 2);
    uint8_t *m = (uint8_t *)p + cap;
    if (o->n) memcpy(p, o->p, o->n), memcpy(m, o->m, o->n);
    o->p = p, o->m = m, o->cap = cap;
}
void tn_o_put(TnOut *o, TnStr s) {
    if (!s.n) return;
    reserve(o, s.n);
    memcpy(o->p + o->n, s.p, s.n);
    if (s.m) memcpy(o->m + o->n, s.m, s.n);
    o->n += s.n;
}
void tn_o_bytes(TnOut *o, const char *p, size_t n, uint8_t mark) {
    tn_o_put(o, (TnStr){p, n, NULL});
    if (mark && n) memset(o->m + o->n - n, mark, n);
}
void tn_o_puts(TnOut *o, const char *text) {
    tn_o_put(o, (TnStr){text, strlen(text), NULL});
}
void tn_o_printf(TnOut *o, const char *fmt, ...) {
    char text[100];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    TN_CHECK(n >= 0 && (size_t)n < sizeof text);
    tn_o_bytes(o, text, (size_t)n, 0);
}
TnVal tn_j_close(TnOut *o) {
    bool user = o->n && memchr(o->m, 1, o->n);
    return tn_j_of((TnStr){o->n ? o->p : "", o->n, user ? o->m : NULL});
}
TnStr tn_j_cut(TnStr s, size_t from, size_t to) {
    return (TnStr){s.p + from, to - from, s.m ? s.m + from : NULL};
}
