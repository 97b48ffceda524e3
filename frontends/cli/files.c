/* What a verb reads and writes, checked before it works (runtime/base/files.h). */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/cli/cli.h"

/* A descriptor below 3 that is closed would be given to the next file that is opened, and what is printed would go
 * into it: each is kept, in a way that fails. */
void keep_standard(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(EXIT_INPUT);
}

static const char *library_of(const char *(*function)(void)) {
    void *p;
    Dl_info at;
    memcpy(&p, &function, sizeof p);
    return dladdr(p, &at) && at.dli_fname ? at.dli_fname : NULL;
}

int check_files(const Verb *verb, const TnFileUse *files, size_t n) {
    enum { OWN = 3 };
    TnFileUse *all = tn_xcalloc(n + OWN, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = files[i];
        if (files[i].path && !*files[i].path && files[i].use >= TN_FILE_OUT)
            usage_error(verb, "%s: the name is empty, expected a file", files[i].what);
    }
    const char *libtern = library_of(tern_version);
    char *compiler = compiler_beside(libtern);
    all[n] = (TnFileUse){"the program itself", "/proc/self/exe", TN_FILE_LOADED};
    all[n + 1] = (TnFileUse){"a library of the program", libtern, TN_FILE_LOADED};
    all[n + 2] =
        (TnFileUse){"the compiler library, which holds the embedded model", compiler, TN_FILE_LOADED};
    TernError err = {0};
    int code = tn_files_check(all, n + OWN, &err) == TERN_OK ? EXIT_OK : fail(&err);
    free(compiler);
    free(all);
    return code;
}
