/* An arena: memory that is freed all at once. tn_alloc never returns NULL. If memory runs out while small
 * compile-time structures are built, no caller could go on, so tn_out_of_memory ends the process (one line, exit
 * 1). A size that comes from a file is checked against the size of the file before it is allocated. Everything
 * large (sessions, weights) goes through tn_os_map instead, which returns an error. */
#ifndef TN_BASE_ARENA_H
#define TN_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* For one thread at a time. Zero-initialise to create. */
typedef struct TnArena {
    struct TnArenaBlock *head;
    size_t used, cap; /* of the head block */
    size_t total;     /* bytes requested so far */
} TnArena;

void *tn_alloc(TnArena *a, size_t bytes);                          /* zeroed, 16-byte aligned */
void *tn_alloc_array(TnArena *a, size_t count, size_t elem_bytes); /* the product is checked */
char *tn_strndup(TnArena *a, const char *s, size_t n);             /* n bytes, then a NUL */
char *tn_strdup(TnArena *a, const char *s);
char *tn_sprintf(TnArena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tn_arena_free(TnArena *a); /* frees all; the arena may be used again */

/* The heap, for things that grow. Never NULL (see above); tn_xcalloc returns zeroed memory. */
void *tn_xcalloc(size_t count, size_t elem_bytes);
void *tn_xrealloc(void *p, size_t bytes);
_Noreturn void tn_out_of_memory(size_t bytes);

/* A growing array: declare `T *v; size_t n, cap;` and push with TN_PUSH(v, n, cap, value). free() it. */
#define TN_PUSH(v, n, cap, ...)                                                                              \
    do {                                                                                                     \
        if ((n) == (cap)) {                                                                                  \
            (cap) = (cap) ? (cap)*2 : 16;                                                                    \
            (v) = tn_xrealloc((v), (cap) * sizeof *(v));                                                     \
        }                                                                                                    \
        (v)[(n)++] = (__VA_ARGS__);                                                                          \
    } while (0)

#endif
