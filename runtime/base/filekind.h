/* What a file is, by its first bytes: so that who was given the wrong one is told what it is. */
#ifndef TN_BASE_FILEKIND_H
#define TN_BASE_FILEKIND_H

#include <stddef.h>
#include "runtime/base/status.h"

typedef enum TnKind {
    TN_KIND_UNKNOWN,
    TN_KIND_SHORT, /* empty, or too short to be a model */
    TN_KIND_GGUF,
    TN_KIND_TERN,
    TN_KIND_BINARY, /* another format, named */
    TN_KIND_MARKUP, /* text that is something else: a page, a pointer, json */
    TN_KIND_TEXT    /* text like any other */
} TnKind;

typedef struct TnFileKind {
    TnKind kind;
    const char *what; /* "an HTML page: ..."; NULL if unknown */
} TnFileKind;

/* Looks at the first 4,096 bytes at most; n: those that the whole file has. */
TnFileKind tn_file_kind(const void *bytes, size_t n);
/* "the file is an HTML page: ..., expected `expected`" as an error, or TERN_OK where nothing can be said. */
TernStatus tn_file_kind_refuse(TnFileKind kind, const char *expected, TernError *err);

#endif
