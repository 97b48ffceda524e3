/* Where the texts of the compiler library's calls go. */
#ifndef TN_TEXT_OUT_H
#define TN_TEXT_OUT_H

#include "frontends/cli/cli.h"

typedef struct TextOut {
    const char *path; /* where the result goes; NULL or "-": standard output */
    TernStatus status;
    TernError err;
} TextOut;

/* The text callback; user is a TextOut. The result goes to its path. Dumps go to standard output before it, times and faults
 * to standard error. */
void take_text(void *user, const char *what, const char *text, size_t n);
/* The exit status after the call, which returned st: says what failed, in the call or in writing its result. */
int text_ended(TernStatus st, const TernError *err, const TextOut *out);

/* The help of --family. text: [200]; levels: the flag that names levels. */
const char *family_help(char *text, const char *levels);

#endif
