/* Errors, for every layer and for the users of the public headers.
 *
 * There are two kinds of failure, and they are never mixed. For a bad file, argument or environment, a function
 * returns a TernStatus other than TERN_OK and writes one line (what, value found, value expected) to the caller's
 * TernError. For a bug of our own, TN_BUG or TN_CHECK aborts with file:line; outside data must never reach such a
 * check. */
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
    TERN_ERR_INPUT,       /* a file, text or argument is wrong; correct it and call again */
    TERN_ERR_ENV,         /* the system refused (open, map, thread, executable memory) */
    TERN_ERR_MEMORY,      /* out of memory; the line says how much was requested */
    TERN_ERR_UNSUPPORTED, /* valid, but this build or machine cannot do it */
    TERN_ERR_CANCELLED,   /* the caller's callback asked to stop */
    TERN_ERR_NUMERIC,     /* a logits row holds NaN or infinity; the line names the row */
} TernStatus;

/* Owned by the caller. Every function that takes one accepts NULL. `text` is one printable line without a newline;
 * control bytes from outside data are shown as \xNN. It is empty after success. */
typedef struct TernError {
    TernStatus code;
    char text[500];
} TernError;

#ifdef __cplusplus
}
#endif
#endif
