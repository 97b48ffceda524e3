/* Compiles a model in a process of its own, for a verb that has more to lose than the model. Where the compiler runs out of memory,
 * aborts, or is killed, that is an error of the call; and what memory it took is given back when it ends. Only what it compiles is apart:
 * load.c reads the model's facts and vocabulary before, in the verb's process.
 *
 * The process is this program again, started as `tern compile-kept --model=.. --output=..`, a verb that no help shows. Its words
 * are written from the table of the flags of models by which they are read there (MODEL_FLAGS), so a flag that is added to that
 * table travels too. It lives no longer than its starter: it ends when a pipe between them does. Its answers are lines on its
 * standard output; what a library says on standard error in its last moment becomes the error's text. */
#ifndef TN_CLI_COMPILE_APART_H
#define TN_CLI_COMPILE_APART_H

#include "frontends/cli/cli.h"

/* Writes the file that is kept, at `path`, of the model that load_model would compile by these flags; they have no --tune.
 * device: NULL is the cpu. progress: as in TerncOptions; it is also called again and again while nothing is to be reported, and a
 * nonzero return ends the process. Of *report only `refused` is set. TERN_ERR_MEMORY if there was no memory, nothing left to start it
 * with, or the process was killed; TERN_ERR_UNSUPPORTED if this process may start none; TERN_ERR_ENV if it could not write the file. */
TernStatus compile_apart(const ModelFlags *flags, const char *device, const char *path,
                         int (*progress)(void *user, const char *phase, uint64_t done, uint64_t total),
                         void *user, TerncReport *report, TernError *err);
/* The process' side: whether argv[1] is that verb's name, and the verb for the words after it. Returns an exit status. */
bool is_compile_apart(const char *word);
int compile_apart_here(int argc, char **argv);

#endif
