/* Files that appear whole or not at all (os.h).
 *
 * If the file system allows it, the data is written to a file without a name (O_TMPFILE), so that not even SIGKILL
 * leaves a file. Otherwise it is written to a temporary file named after the target. The target's name comes last:
 * fsync, a link under a temporary name if there was none, rename over the target, fsync of the folder. All names
 * are relative to the open folder, so the length of the path to it does not matter. */
#include "runtime/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "runtime/base/arena.h"

enum { LINKS_MOST = 40, NAME_MOST = 255 };

static char *format(const char *fmt, const char *a, unsigned long long b)
    __attribute__((format(printf, 1, 0)));
static char *format(const char *fmt, const char *a, unsigned long long b) {
    int n = snprintf(NULL, 0, fmt, a, b);
    char *s = tn_xcalloc(1, (size_t)n + 1);
    snprintf(s, (size_t)n + 1, fmt, a, b);
    return s;
}

/* Makes the temporary name: the target's, cut if the suffix would make it too long for the folder, and the suffix. */
static void temp_name(TnWriter *w) {
    enum { SUFFIX = sizeof ".tmp-0123456789abcdef" - 1 };
    long most = fpathconf(w->folder, _PC_NAME_MAX);
    size_t room = (size_t)(most > SUFFIX ? most : NAME_MOST) - SUFFIX;
    if (strlen(w->name) < room) room = strlen(w->name);
    w->temp = tn_xcalloc(1, room + SUFFIX + 1);
    memcpy(w->temp, w->name, room);
    snprintf(w->temp + room, SUFFIX + 1, ".tmp-%016llx", (unsigned long long)tn_os_random_seed());
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return format("%s", ".", 0);
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    char *s = tn_xcalloc(1, n + 1);
    memcpy(s, path, n);
    return s;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Ends a writer after a failed call; errno has the reason. */
static TernStatus fail(TnWriter *w, const char *what, TernError *err) {
    TernStatus s =
        tn_fail(err, TERN_ERR_ENV, "%s: cannot %s: %s", w->path ? w->path : "file", what, strerror(errno));
    tn_writer_abort(w);
    return s;
}

int tn_os_standard(const char *path) {
    static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "-") == 0) return STDOUT_FILENO;
    for (int i = 0; i < 3; i++)
        if (strcmp(path, names[i]) == 0) return i;
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(folders[i]);
        const char *digits = path + n;
        if (strncmp(path, folders[i], n) != 0) continue;
        size_t len = strspn(digits, "0123456789");
        if (len >= 1 && len <= 6 && !digits[len]) return atoi(digits);
    }
    return -1;
}

char *tn_os_target(const char *path) {
    char *at = format("%s", path, 0), to[PATH_MAX];
    for (int i = 0; i < LINKS_MOST; i++) {
        ssize_t n = readlink(at, to, sizeof to - 1);
        if (n <= 0) break;
        to[n] = '\0';
        char *folder = *to == '/' ? NULL : folder_of(at);
        char *next = tn_xcalloc(1, (folder ? strlen(folder) : 0) + (size_t)n + 2);
        sprintf(next, "%s%s%s", folder ? folder : "", folder ? "/" : "", to);
        free(folder);
        free(at);
        at = next;
    }
    return at;
}

/* A descriptor that is already open is written from its current position, as the shell that opened it expects. */
static TernStatus open_standard(int fd, TnWriter *out, TernError *err) {
    out->direct = true;
    int mode = fcntl(fd, F_GETFL);
    if (mode >= 0 && (mode & O_ACCMODE) == O_RDONLY) errno = EBADF;
    out->fd = mode < 0 || (mode & O_ACCMODE) == O_RDONLY ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return out->fd < 0 ? fail(out, "write", err) : TERN_OK;
}

static TernStatus open_folder(TnWriter *out, const char *target, TernError *err) {
    char *folder = folder_of(target);
    const char *why = NULL;
    out->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->folder < 0 && errno == ENOENT) why = "is not there";
    if (out->folder < 0 && errno == ENOTDIR) why = "is not a folder";
    TernStatus s = TERN_OK;
    if (why)
        s = tn_fail(err, TERN_ERR_ENV, "%s: cannot write: the folder %s %s", out->path, folder, why);
    else if (out->folder < 0)
        s = fail(out, "write", err);
    free(folder);
    if (s != TERN_OK) tn_writer_abort(out);
    return s;
}

static TernStatus check_lengths(const char *path, const char *name, TernError *err) {
    if (!*path) return tn_fail(err, TERN_ERR_INPUT, "the name of a file to write is empty");
    if (strlen(path) >= PATH_MAX)
        return tn_fail(err, TERN_ERR_INPUT, "%.60s...: the path is too long: %zu bytes, expected at most %d",
                       path, strlen(path), PATH_MAX - 1);
    if (strlen(name) > NAME_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "%.60s...: the name is too long: %zu bytes, expected at most %d",
                       name, strlen(name), NAME_MOST);
    return TERN_OK;
}

/* Whether a rename over the target could succeed, before there is anything to rename; errno has the reason. */
static bool can_replace(const TnWriter *w, const struct stat *target) {
    struct stat folder;
    uid_t me = geteuid();
    bool sticky = fstat(w->folder, &folder) == 0 && (folder.st_mode & S_ISVTX);
    if (sticky && me != 0 && me != target->st_uid && me != folder.st_uid) {
        errno = EPERM;
        return false;
    }
#ifdef STATX_ATTR_MOUNT_ROOT
    struct statx x;
    if (statx(w->folder, w->name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x) == 0 &&
        (x.stx_attributes & STATX_ATTR_MOUNT_ROOT)) { /* a file that is mounted into a container */
        errno = EBUSY;
        return false;
    }
#endif
    return true;
}

TernStatus tn_writer_open(const char *path, TnWriter *out, TernError *err) {
    struct stat st;
    int standard = tn_os_standard(path);
    *out = (TnWriter){.fd = -1, .folder = -1};
    TN_TRY(check_lengths(path, name_of(path), err));
    out->path = format("%s", strcmp(path, "-") == 0 ? "standard output" : path, 0);
    if (standard >= 0) return open_standard(standard, out, err);
    bool exists = stat(path, &st) == 0;
    if (!exists && errno == ELOOP) return fail(out, "write", err);
    if (exists && S_ISDIR(st.st_mode)) {
        TernStatus s = tn_fail(err, TERN_ERR_INPUT, "%s: is a directory, expected a file to write", path);
        tn_writer_abort(out);
        return s;
    }
    if (exists && !S_ISREG(st.st_mode)) {
        /* A pipe or device is written directly; a rename would replace /dev/null itself. */
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
        out->direct = true;
        return out->fd < 0 ? fail(out, "open for writing", err) : TERN_OK;
    }
    char *target = tn_os_target(path); /* a symbolic link stays, its target is replaced */
    out->name = format("%s", name_of(target), 0);
    TernStatus opened = open_folder(out, target, err);
    free(target);
    TN_TRY(opened);
    if (exists && !can_replace(out, &st)) return fail(out, "replace", err);
    if (access("/proc/self/fd", X_OK) == 0)
        out->fd = openat(out->folder, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    if (out->fd < 0) {
        temp_name(out);
        out->fd = openat(out->folder, out->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd < 0) {
            free(out->temp); /* if it exists, it is not ours */
            out->temp = NULL;
            return fail(out, "create", err);
        }
    }
    if (exists) (void)!fchmod(out->fd, st.st_mode & 0777);
    return TERN_OK;
}

TernStatus tn_writer_probe(const char *path, TernError *err) {
    struct stat st;
    TnWriter w;
    bool special =
        tn_os_standard(path) < 0 && stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    if (special && S_ISSOCK(st.st_mode))
        return tn_fail(err, TERN_ERR_INPUT, "%s: is a socket, expected a file to write", path);
    if (special && access(path, W_OK) != 0)
        return tn_fail(err, TERN_ERR_ENV, "%s: cannot open for writing: %s", path, strerror(errno));
    if (special) return TERN_OK; /* opening it may wait for a reader, or do something */
    TN_TRY(tn_writer_open(path, &w, err));
    tn_writer_abort(&w);
    return TERN_OK;
}

TernStatus tn_writer_put(TnWriter *w, const void *bytes, size_t n, TernError *err) {
    const uint8_t *p = bytes;
    while (n) {
        ssize_t k = write(w->fd, p, n < (1u << 30) ? n : 1u << 30);
        if (k < 0 && errno == EINTR) continue;
        if (k == 0) errno = EIO;
        if (k <= 0) return fail(w, "write", err);
        p += k;
        n -= (size_t)k;
        w->pos += (uint64_t)k;
    }
    return TERN_OK;
}

TernStatus tn_writer_put_at(TnWriter *w, uint64_t offset, const void *bytes, size_t n, TernError *err) {
    const uint8_t *p = bytes;
    TN_CHECK(!w->direct);
    while (n) {
        ssize_t k = pwrite(w->fd, p, n, (off_t)offset);
        if (k < 0 && errno == EINTR) continue;
        if (k == 0) errno = EIO;
        if (k <= 0) return fail(w, "write", err);
        p += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    return TERN_OK;
}

/* Gives the file its name. Returns NULL, or what failed. A file that had no name gets a temporary one first, which
 * tn_writer_clean_up cannot see; so this thread blocks signals until the rename. */
static const char *take_name(TnWriter *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const char *failed = NULL;
    if (!w->temp) {
        char from[40];
        snprintf(from, sizeof from, "/proc/self/fd/%d", w->fd);
        temp_name(w);
        if (linkat(AT_FDCWD, from, w->folder, w->temp, AT_SYMLINK_FOLLOW) != 0) {
            free(w->temp);
            w->temp = NULL;
            failed = "name";
        }
    }
    if (!failed && renameat(w->folder, w->temp, w->folder, w->name) != 0) {
        int e = errno;
        unlinkat(w->folder, w->temp, 0);
        errno = e;
        failed = "rename into place";
    }
    free(w->temp);
    w->temp = NULL;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

void tn_writer_executable(TnWriter *w) {
    struct stat st;
    if (w->direct || fstat(w->fd, &st) != 0) return;
    (void)!fchmod(w->fd, (st.st_mode & 0777) | (st.st_mode & 0444) >> 2);
}

TernStatus tn_writer_commit(TnWriter *w, TernError *err) {
    if (w->fd < 0) {
        errno = EBADF;
        return fail(w, "commit", err);
    }
    if (!w->direct) {
        if (fsync(w->fd) != 0) return fail(w, "write", err);
        const char *failed = take_name(w);
        if (failed) return fail(w, failed, err);
        /* The name is durable when its folder is; a folder that cannot be synced is not an error. */
        int fd = openat(w->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            fsync(fd);
            close(fd);
        }
    }
    int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0 && w->direct) return fail(w, "close", err);
    tn_writer_abort(w);
    return TERN_OK;
}

void tn_writer_abort(TnWriter *w) {
    if (w->temp) unlinkat(w->folder, w->temp, 0);
    if (w->fd >= 0) close(w->fd);
    if (w->folder >= 0) close(w->folder);
    free(w->temp);
    free(w->name);
    free(w->path);
    *w = (TnWriter){.fd = -1, .folder = -1};
}

/* Removes only files that temp_name has named ("PATH.tmp-" and 16 digits) and that are open for writing and not inherited.
 * /proc gives the path of every open descriptor, so we need not keep a list. */
void tn_writer_clean_up(void) {
    static const char tag[] = ".tmp-";
    enum { TAG = sizeof tag - 1, DIGITS = 16, MOST = 1024 };
    for (int fd = STDERR_FILENO + 1; fd < MOST; fd++) {
        int mode = fcntl(fd, F_GETFL), inherited = fcntl(fd, F_GETFD);
        if (mode < 0 || (mode & O_ACCMODE) != O_WRONLY || inherited < 0 || !(inherited & FD_CLOEXEC))
            continue;
        char link[] = "/proc/self/fd/0000", path[4097];
        char *digit = link + sizeof link - 1;
        for (int v = fd; v; v /= 10) *--digit = (char)('0' + v % 10);
        memmove(link + sizeof "/proc/self/fd/" - 1, digit, strlen(digit) + 1);
        ssize_t n = readlink(link, path, sizeof path - 1);
        if (n <= TAG + DIGITS) continue;
        path[n] = 0;
        const char *end = path + n - DIGITS;
        if (memcmp(end - TAG, tag, TAG) == 0 && strspn(end, "0123456789abcdef") == DIGITS) unlink(path);
    }
}

int tn_os_lock_folder(const char *path, double seconds) {
    char *real = tn_os_target(path); /* a writer replaces the file that a symbolic link names */
    char *folder = folder_of(real);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    free(real);
    double end = tn_os_seconds() + seconds;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno == EWOULDBLOCK && tn_os_seconds() < end) {
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
            continue;
        }
        close(fd);
        fd = -1;
    }
    return fd;
}

void tn_os_unlock(int lock) {
    if (lock >= 0) close(lock);
}
