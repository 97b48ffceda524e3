/* Checks the arguments of the public calls (tern.h, text.h, ternc.h): structs of any version, which begin with their size,
 * and pointers that must not be NULL. A refusal is TERN_ERR_INPUT, and the line names the field. Every public call clears
 * the caller's error first. */
#ifndef TN_BASE_OPTIONS_H
#define TN_BASE_OPTIONS_H

#include <stddef.h>
#include "runtime/base/status.h"

/* An option struct as this library knows it. It begins with its size; fields follow in order. */
typedef struct TnField {
    const char *name;
    size_t offset, bytes;
} TnField;
typedef struct TnShape {
    const char *name;
    size_t bytes;
    const TnField *fields; /* all but the size */
    size_t n;
} TnShape;
#define TN_FIELD(S, f)                                                                                       \
    { #f, offsetof(S, f), sizeof((S *)0)->f }
#define TN_SHAPE(S, fields)                                                                                  \
    { #S, sizeof(S), fields, TN_COUNT(fields) }

/* Copies the first min(size, our size) bytes of a caller's struct over *out, which holds the defaults, and sets out->size
 * to our size. given NULL: all defaults. Refuses a size that no version of the struct can have (0, below a size_t, inside
 * a field, above 4,096), and nonzero bytes beyond our struct, because they would have no effect. Reads no byte beyond the
 * given size. */
TernStatus tn_options_take(const TnShape *shape, const void *given, void *out, TernError *err);

/* The other direction: copies *full, a struct of ours, to a caller's struct whose size is set. Bytes beyond ours become
 * zero. Refuses sizes as tn_options_take does. */
TernStatus tn_options_give(const TnShape *shape, const void *full, void *given, TernError *err);

static inline void tn_error_clear(TernError *err) {
    if (!err) return;
    err->code = TERN_OK;
    err->text[0] = '\0';
}

TernStatus tn_fail_null(const char *name, TernError *err); /* "NAME is NULL, expected .." */
/* Returns from the calling function with an error if the argument or field is NULL. */
#define TN_NEED(argument, err)                                                                               \
    do {                                                                                                     \
        if (!(argument)) return tn_fail_null(#argument, err);                                                \
    } while (0)

#endif
