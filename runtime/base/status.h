/* How Tern's own code makes the errors of error.h, and how it aborts on its own bugs. */
#ifndef TN_BASE_STATUS_H
#define TN_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>
#include "runtime/base/error.h"

/* Writes the line to *err (if not NULL), escaped (escape.h) and cut to fit, and returns `code`. Put text from a file or a
 * user between quotes: '%s' shows at most 80 bytes of it, followed by "..". */
TernStatus tn_fail(TernError *err, TernStatus code, const char *fmt, ...) TN_PRINTF(3, 4);

/* Puts "text: " before an error that was already made, for context such as a file name; returns err->code. */
TernStatus tn_fail_in(TernError *err, TernStatus code, const char *fmt, ...) TN_PRINTF(3, 4);

#ifdef __clang_analyzer__ /* it reads one file at a time: let it know that these never return TERN_OK */
#define tn_fail(err, code, ...)    (tn_fail(err, code, __VA_ARGS__), (code))
#define tn_fail_in(err, code, ...) (tn_fail_in(err, code, __VA_ARGS__), (code))
#endif

/* Makes the text of such a line, not escaped; for functions like these. */
void tn_message(char *out, size_t cap, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

_Noreturn void tn_bug(const char *file, int line, const char *fmt, ...) TN_PRINTF(3, 4);

#define TN_BUG(...) tn_bug(__FILE__, __LINE__, __VA_ARGS__)
#define TN_CHECK(cond)                                                                                       \
    do {                                                                                                     \
        if (!(cond)) tn_bug(__FILE__, __LINE__, "check failed: %s", #cond);                                  \
    } while (0)
/* Returns from the calling function when `expr` is not TERN_OK. */
#define TN_TRY(expr)                                                                                         \
    do {                                                                                                     \
        TernStatus tn_try_ = (expr);                                                                         \
        if (tn_try_ != TERN_OK) return tn_try_;                                                              \
    } while (0)

#define TN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
