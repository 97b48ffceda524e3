/* What a call reads and what it writes, declared before it does any work: nobody's input is written over, and an output
 * that cannot be written is refused while nothing is lost but a moment. */
#ifndef TN_BASE_FILES_H
#define TN_BASE_FILES_H

#include <stddef.h>
#include "runtime/base/status.h"

typedef enum TnUse {
    TN_FILE_IN,          /* read; "-" is standard input */
    TN_FILE_TEXT,        /* read whole before anything is written: one TN_FILE_OUT may replace it */
    TN_FILE_LOADED,      /* part of the running program; whether it is there does not matter */
    TN_FILE_OUT,         /* written by a TnWriter; "-" is standard output */
    TN_FILE_BINARY,      /* the same, and no terminal */
    TN_FILE_NAMED,       /* written by a TnWriter, and never "-" */
    TN_FILE_CACHE,       /* read if it is there, and replaced; never "-" */
    TN_FILE_CACHE_MAYBE, /* the same, and it does not matter if it cannot be written */
    TN_FILE_MESSAGES     /* what standard error is: not checked but against what is read */
} TnUse;

typedef struct TnFileUse {
    const char *what; /* as the caller knows it: "-o", "the model" */
    const char *path; /* NULL: not given, and passed over */
    TnUse use;
} TnFileUse;

/* Refuses, in this order: an input that is not there or is a folder, standard input read twice, an output that is the
 * same file (device and inode) as an input or another output, and an output that cannot be written. One line that names
 * both files. Pipes are opened by nobody here; what has no name yet is compared by its folder and name. */
TernStatus tn_files_check(const TnFileUse *files, size_t n, TernError *err);

#endif
