/* A call declares which files it reads and writes before it does any work. So no input is overwritten, and an output that
 * cannot be written is refused before work is lost. */
#ifndef TN_BASE_FILES_H
#define TN_BASE_FILES_H

#include <stddef.h>
#include "runtime/base/status.h"

typedef enum TnUse {
    TN_FILE_IN,          /* read; "-" is standard input */
    TN_FILE_MODEL,       /* the same, or a folder */
    TN_FILE_TEXT,        /* read whole before anything is written, so one TN_FILE_OUT may replace it */
    TN_FILE_LOADED,      /* part of the running program; it may be missing */
    TN_FILE_OUT,         /* written by a TnWriter; "-" is standard output */
    TN_FILE_BINARY,      /* like TN_FILE_OUT, but must not be a terminal */
    TN_FILE_NAMED,       /* written by a TnWriter; never "-" */
    TN_FILE_CACHE,       /* read if it exists, and replaced; never "-" */
    TN_FILE_CACHE_MAYBE, /* like TN_FILE_CACHE, but a failure to write it does not matter */
    TN_FILE_MESSAGES     /* where standard error goes; checked only against the inputs */
} TnUse;

typedef struct TnFileUse {
    const char *what; /* how the caller knows it: "-o", "the model" */
    const char *path; /* NULL: not given; ignored */
    TnUse use;
} TnFileUse;

/* Refuses, in this order: an input that does not exist or is a folder, standard input read twice, an output that is the
 * same file (device and inode) as an input or another output, and an output that cannot be written. The line names both
 * files. Does not open pipes. A file that does not exist yet is compared by its folder and its name. */
TernStatus tn_files_check(const TnFileUse *files, size_t n, TernError *err);

#endif
