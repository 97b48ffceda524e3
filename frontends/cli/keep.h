/* Kept blobs: what was compiled at load stays in a file, and the next start opens that.
 *
 *   keep_find    is there a place for blobs, and what is the name of this one?
 *   keep_hit     does it exist?
 *   keep_begin   may this process write it now? Only one does; others compile as if nothing were kept
 *   keep_end     it is written: make room, and let others write
 *
 * The folder is tern/kept in $XDG_CACHE_HOME or ~/.cache, beside the tuning cache. A blob holds machine code, so the folder
 * must be the user's, and nobody else may write to it. A file's name is the hash of everything on which its bytes depend
 * (keep_key.c), so a name never needs new contents; the time of the file is when it was last used. No failure here ends a
 * verb: it leaves a line that begins "not kept", and the model is compiled. */
#ifndef TN_CLI_KEEP_H
#define TN_CLI_KEEP_H

#include "frontends/cli/cli.h"

enum { KEEP_NAME = 32 }; /* hexadecimal digits */

/* What the bytes of a blob depend on, besides the model file and this build. */
typedef struct KeepKey {
    const TerncSource *source;
    const TerncOptions *options;
    uint64_t model_bytes;      /* of all files of the model; 0: the embedded one */
    char model[KEEP_NAME + 1]; /* hash of their bytes */
    char name[KEEP_NAME + 1];
    char stamp[KEEP_NAME + 1]; /* which files they were, and when each was last changed */
} KeepKey;
/* Fills in the rest of *key. `folder` is where the hashes of large files are remembered; it may be read-only. Fails if a file
 * cannot be read, or if the compiler library cannot be found. */
TernStatus keep_key(KeepKey *key, const char *folder, TernError *err);
/* These compute only key->name, from key->model, and only key->stamp. */
TernStatus keep_name(KeepKey *key, TernError *err);
TernStatus keep_stamp(KeepKey *key, TernError *err);

typedef struct Keep {
    KeepKey key;
    uint64_t most; /* bytes of all files in the folder */
    char folder[4096], path[4200];
    int lock;
} Keep;

/* False if nothing is kept: by a flag, or for a reason that a note gives. Exits if TERN_KEEP is not a number. */
bool keep_find(const Verb *verb, const ModelFlags *flags, const TerncSource *source,
               const TerncOptions *options, Keep *out);
bool keep_hit(Keep *k); /* also makes it the one that was used last */
/* Also makes the folder. */
bool keep_begin(Keep *k);
/* Ends what keep_begin began. `report`: of the compilation that wrote the file; NULL: nothing was written. Leaves a note that
 * names the file, or says why it was removed again; a process that has it open can still use it. */
void keep_end(Keep *k, const TerncReport *report);
/* Whether code was left out because this process had too little memory. The next start may have more. */
bool report_lacks_memory(const TerncReport *report);

#endif
