/* Recognises a file by its first bytes, so that an error about the wrong file can say what the file is. */
#ifndef TN_BASE_FILEKIND_H
#define TN_BASE_FILEKIND_H

#include <stddef.h>
#include "runtime/base/status.h"

typedef enum TnKind {
    TN_KIND_UNKNOWN,
    TN_KIND_SHORT, /* empty, or too short to be a model */
    TN_KIND_GGUF,
    TN_KIND_TERN,
    TN_KIND_BINARY, /* another binary format; `what` names it */
    TN_KIND_MARKUP, /* text of a known kind: a page, a pointer, json */
    TN_KIND_TEXT    /* any other text */
} TnKind;

typedef struct TnFileKind {
    TnKind kind;
    const char *what; /* "an HTML page: ..."; NULL if unknown */
} TnFileKind;

/* Looks at no more than the first 4,096 bytes, and the last 64 (single.h). n is the size of the whole file. */
TnFileKind tn_file_kind(const void *bytes, size_t n);
/* Fails with "the file is an HTML page: ...; expected `expected`". Returns TERN_OK if the kind is unknown. */
TernStatus tn_file_kind_refuse(TnFileKind kind, const char *expected, TernError *err);

#endif
