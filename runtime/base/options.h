/* The arguments of the public calls (tern.h, text.h, ternc.h): structs of any version that begin with their size, and
 * pointers that must be there. Every such call clears the caller's error first; what it refuses is TERN_ERR_INPUT and names the field. */
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

/* Copies the first min(size, ours) bytes of a caller's struct over *out, which holds the defaults, and leaves our size in
 * it. given NULL: all defaults. Refused: a size of 0 or one that is no struct's (below a size_t, ending inside a field,
 * above 4,096), and set bytes behind our end, which would not be honoured. Not a byte beyond the size is read. */
TernStatus tn_options_take(const TnShape *shape, const void *given, void *out, TernError *err);

/* The other way: from *full, a struct of ours, into one that the caller has given its size; what it has beyond ours is
 * zero afterwards. Refuses sizes as tn_options_take does. */
TernStatus tn_options_give(const TnShape *shape, const void *full, void *given, TernError *err);

static inline void tn_error_clear(TernError *err) {
    if (!err) return;
    err->code = TERN_OK;
    err->text[0] = '\0';
}

TernStatus tn_fail_null(const char *name, TernError *err); /* "NAME is NULL, expected .." */
/* Returns from the calling function unless the argument or field is there. */
#define TN_NEED(argument, err)                                                                               \
    do {                                                                                                     \
        if (!(argument)) return tn_fail_null(#argument, err);                                                \
    } while (0)

#endif
