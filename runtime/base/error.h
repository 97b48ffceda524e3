/* Errors, for every layer and for the users of the public headers.
 *
 * Two kinds of failure exist and are never mixed. A bad file, argument or environment returns a
 * TernStatus other than TERN_OK and leaves one line of detail (what, value found, value expected) in the
 * caller's TernError. A bug of ours aborts through TN_BUG or TN_CHECK with file:line; no such check is
 * reachable from outside data. */
#ifndef TERN_BASE_ERROR_H
#define TERN_BASE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TERN_API             __attribute__((visibility("default")))
#define TN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TERN_API
#define TN_PRINTF(fmt, args)
#endif

typedef enum TernStatus {
    TERN_OK = 0,
    TERN_ERR_INPUT,       /* a file, text or argument is wrong; mend it and call again */
    TERN_ERR_ENV,         /* the system refused (open, map, thread, executable memory) */
    TERN_ERR_MEMORY,      /* memory could not be had; the line says how much was asked for */
    TERN_ERR_UNSUPPORTED, /* right, but not something this build or machine can do */
    TERN_ERR_CANCELLED,   /* the caller's callback asked to stop */
    TERN_ERR_NUMERIC,     /* a logits row holds NaN or infinity; the line names the row */
} TernStatus;

/* Owned by the caller; every function that takes one accepts NULL. `text` is one printable line without
 * a newline (control bytes from outside data are shown as \xNN) and is empty after success. */
typedef struct TernError {
    TernStatus code;
    char text[500];
} TernError;

#ifdef __cplusplus
}
#endif
#endif
