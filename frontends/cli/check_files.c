/* Checks the files that a verb reads and writes before it works (runtime/base/files.h). */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "frontends/cli/cli.h"

/* If a descriptor below 3 is closed, the next file that is opened gets it, and printed text would go into
 * that file. So each closed one is opened in a way that makes reads and writes fail. */
void keep_standard(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(EXIT_INPUT);
}

/* ---- messages that would be written into an input */

static int aside = -1; /* the original standard error, while messages go elsewhere */

static bool is_file(int fd, struct stat *st) {
    int mode = fcntl(fd, F_GETFL);
    return mode >= 0 && (mode & O_ACCMODE) != O_RDONLY && fstat(fd, st) == 0 && S_ISREG(st->st_mode);
}

static bool is_path(const struct stat *file, const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

/* Looks at each word whole, and at what follows a '=' in it, as in --flag=FILE. */
static bool is_named(const struct stat *file, int argc, char **argv) {
    struct stat in;
    bool named = fstat(STDIN_FILENO, &in) == 0 && in.st_dev == file->st_dev && in.st_ino == file->st_ino;
    for (int i = 1; i < argc && !named; i++) {
        const char *value = strchr(argv[i], '=');
        named = is_path(file, argv[i]) || (value && is_path(file, value + 1));
    }
    return named;
}

void keep_messages(int argc, char **argv) {
    struct stat err, out;
    if (!is_file(STDERR_FILENO, &err) || !is_named(&err, argc, argv)) return;
    aside = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    int to = STDOUT_FILENO, mode = fcntl(to, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY || (is_file(to, &out) && is_named(&out, argc, argv)))
        to = open("/dev/tty", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (to < 0) to = open("/dev/null", O_WRONLY | O_CLOEXEC); /* only the exit status remains */
    if (aside < 0 || to < 0 || dup2(to, STDERR_FILENO) < 0) _exit(EXIT_INPUT);
    if (to > STDERR_FILENO) close(to);
}

/* Standard error turned out not to be an input: messages go there again. */
static void give_messages_back(void) {
    if (aside < 0) return;
    if (dup2(aside, STDERR_FILENO) < 0) _exit(EXIT_INPUT);
    close(aside);
    aside = -1;
}

static const char *library_of(const char *(*function)(void)) {
    void *p;
    Dl_info at;
    memcpy(&p, &function, sizeof p);
    return dladdr(p, &at) && at.dli_fname ? at.dli_fname : NULL;
}

int check_files(const Verb *verb, const TnFileUse *files, size_t n) {
    enum { OWN = 4 };
    TnFileUse *all = tn_xcalloc(n + OWN, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = files[i];
        if (files[i].path && files[i].use < TN_FILE_OUT && is_tir(files[i].path)) known_text(files[i].path);
        if (files[i].path && !*files[i].path && files[i].use >= TN_FILE_OUT)
            usage_error(verb, "%s: the name is empty, expected a file", files[i].what);
    }
    const char *libtern = library_of(tern_version);
    char *compiler = compiler_beside(libtern);
    all[n] = (TnFileUse){"the program itself", "/proc/self/exe", TN_FILE_LOADED};
    all[n + 1] = (TnFileUse){"a library of the program", libtern, TN_FILE_LOADED};
    all[n + 2] =
        (TnFileUse){"the compiler library, which holds the embedded model", compiler, TN_FILE_LOADED};
    char messages[32];
    snprintf(messages, sizeof messages, "/dev/fd/%d", aside < 0 ? STDERR_FILENO : aside);
    all[n + 3] = (TnFileUse){"standard error", messages, TN_FILE_MESSAGES};
    TernError err = {0};
    int code = tn_files_check(all, n + OWN, &err) == TERN_OK ? EXIT_OK : fail(&err);
    if (code == EXIT_OK) give_messages_back();
    free(compiler);
    free(all);
    return code;
}
