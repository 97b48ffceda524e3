#include "runtime/base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/base/arena.h"
#include "runtime/base/os.h"

static bool is_output(const TnFileUse *f) {
    return f->use >= TN_FILE_OUT;
}
static bool is_dash(const TnFileUse *f) {
    return strcmp(f->path, "-") == 0;
}

/* The uses that write a file and also read it. */
static bool is_cache(const TnFileUse *f) {
    return f->use == TN_FILE_CACHE || f->use == TN_FILE_CACHE_MAYBE;
}

/* "-o out.tern", "standard output". A long path is shown by its end, so that two of them fit in a line. */
static char *shown(const TnFileUse *f) {
    enum { MOST = 160 };
    size_t n = strlen(f->path), cut = n > MOST ? n - MOST : 0, size = strlen(f->what) + MOST + 8;
    char *s = tn_xcalloc(1, size);
    if (is_dash(f))
        snprintf(s, size, "%s", is_output(f) ? "standard output" : "standard input");
    else if (f->use == TN_FILE_LOADED || f->use == TN_FILE_MESSAGES)
        snprintf(s, size, "%s", f->what);
    else
        snprintf(s, size, "%s %s%s", f->what, cut ? "..." : "", f->path + cut);
    return s;
}

/* ---- the same file */

/* For a file that exists, its own numbers and no name; for one that does not, its folder's numbers and the name. */
typedef struct Identity {
    bool known;
    dev_t device;
    ino_t inode;
    char name[256];
} Identity;

static Identity identity_of(const TnFileUse *f) {
    Identity id = {0};
    struct stat st;
    int fd = is_output(f) ? tn_os_standard(f->path) : is_dash(f) ? STDIN_FILENO : -1;
    if (fd >= 0 ? fstat(fd, &st) == 0 : stat(f->path, &st) == 0) {
        /* writing to a terminal or to /dev/null destroys no input */
        id.known = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISFIFO(st.st_mode);
        id.device = st.st_dev;
        id.inode = st.st_ino;
    } else if (fd < 0 && is_output(f)) {
        char *target = tn_os_target(f->path), *slash = strrchr(target, '/');
        const char *name = slash ? slash + 1 : target, *folder = slash == target ? "/" : slash ? target : ".";
        id.known = strlen(name) < sizeof id.name;
        if (id.known) strcpy(id.name, name);
        if (slash && slash != target) *slash = '\0';
        id.known = id.known && stat(folder, &st) == 0;
        id.device = st.st_dev;
        id.inode = st.st_ino;
        free(target);
    }
    return id;
}

static bool same(const Identity *a, const Identity *b) {
    return a->known && b->known && a->device == b->device && a->inode == b->inode &&
           strcmp(a->name, b->name) == 0;
}

/* An output may replace the text it was made from if the writer renames, but not if a shell has opened it. */
static bool replaces(const TnFileUse *in, const TnFileUse *out) {
    return in->use == TN_FILE_TEXT && out->use == TN_FILE_OUT && tn_os_standard(out->path) < 0;
}

static TernStatus check_pair(const TnFileUse *a, const TnFileUse *b, TernError *err) {
    const TnFileUse *out = is_output(b) ? b : a, *other = out == b ? a : b;
    if (a->use == TN_FILE_MESSAGES) out = a, other = b;
    bool messages = out->use == TN_FILE_MESSAGES;
    if (!is_output(out) || replaces(other, out)) return TERN_OK;
    if (messages && is_output(other) && !is_cache(other)) return TERN_OK;
    Identity x = identity_of(out), y = identity_of(other);
    if (!same(&x, &y)) return TERN_OK;
    char *s = shown(out), *t = shown(other);
    TernStatus st =
        messages
            ? tn_fail(err, TERN_ERR_INPUT,
                      "%s is the same file as %s, which is read: messages would be written into it", s, t)
        : is_output(other)
            ? tn_fail(err, TERN_ERR_INPUT, "%s is the same file as %s: give another", s, t)
            : tn_fail(err, TERN_ERR_INPUT,
                      "%s is the same file as %s, which is read and would be lost: give another", s, t);
    free(s);
    free(t);
    return st;
}

/* ---- each alone */

static TernStatus check_standard_input(TernError *err) {
    struct stat st;
    int mode = fcntl(STDIN_FILENO, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY)
        return tn_fail(err, TERN_ERR_ENV, "standard input: cannot read: %s", strerror(EBADF));
    if (fstat(STDIN_FILENO, &st) == 0 && S_ISDIR(st.st_mode))
        return tn_fail(err, TERN_ERR_INPUT, "standard input: is a directory, expected text");
    return TERN_OK;
}

/* Fails with the same messages as reading the file would. */
static TernStatus check_input(const TnFileUse *f, TernError *err) {
    struct stat st;
    if (f->use == TN_FILE_LOADED) return TERN_OK;
    if (is_dash(f)) return check_standard_input(err);
    if (!*f->path) return tn_fail(err, TERN_ERR_INPUT, "%s: the name is empty, expected a file", f->what);
    if (stat(f->path, &st) != 0 || access(f->path, R_OK) != 0)
        return tn_fail(err, TERN_ERR_ENV, "%s: cannot open: %s", f->path, strerror(errno));
    if (S_ISDIR(st.st_mode) && f->use != TN_FILE_MODEL)
        return tn_fail(err, TERN_ERR_INPUT, "%s: is a directory, expected a regular file", f->path);
    return TERN_OK;
}

static TernStatus check_name(const TnFileUse *f, TernError *err) {
    if (!*f->path) return tn_fail(err, TERN_ERR_INPUT, "%s: the name is empty, expected a file", f->what);
    if (is_dash(f) && f->use >= TN_FILE_NAMED)
        return tn_fail(err, TERN_ERR_INPUT, "%s: got '-', expected a file; for a file of that name write ./-",
                       f->what);
    return TERN_OK;
}

static TernStatus check_output(const TnFileUse *f, TernError *err) {
    int fd = tn_os_standard(f->path);
    if (f->use == TN_FILE_BINARY && fd >= 0 && isatty(fd))
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s is a terminal, expected a file or a pipe: the output is not text",
                       is_dash(f) ? "standard output" : f->path);
    return f->use >= TN_FILE_CACHE_MAYBE ? TERN_OK : tn_writer_probe(f->path, err);
}

TernStatus tn_files_check(const TnFileUse *files, size_t n, TernError *err) {
    const TnFileUse *first = NULL; /* the first that reads standard input */
    for (size_t i = 0; i < n; i++) {
        const TnFileUse *f = &files[i];
        if (!f->path || is_output(f)) continue;
        TN_TRY(check_input(f, err));
        if (!is_dash(f)) continue;
        if (first)
            return tn_fail(err, TERN_ERR_INPUT,
                           "standard input is given twice, as %s and as %s, but it can be read only once",
                           first->what, f->what);
        first = f;
    }
    for (size_t i = 0; i < n; i++)
        if (files[i].path && is_output(&files[i])) TN_TRY(check_name(&files[i], err));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; files[i].path && j < i; j++)
            if (files[j].path) TN_TRY(check_pair(&files[j], &files[i], err));
    for (size_t i = 0; i < n; i++)
        if (files[i].path && is_output(&files[i])) TN_TRY(check_output(&files[i], err));
    return TERN_OK;
}
