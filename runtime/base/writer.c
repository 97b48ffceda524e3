/* Files that appear whole or not at all (os.h).
 *
 * Where the file system can, the data grows in a file without a name (O_TMPFILE), so that not even SIGKILL
 * leaves something behind; elsewhere in a file named after the target. The name comes last: fsync, a link
 * under a temporary name if there was none, rename over the target, fsync of the folder. */
#include "runtime/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "runtime/base/arena.h"

static char *format(const char *fmt, const char *a, unsigned long long b)
    __attribute__((format(printf, 1, 0)));
static char *format(const char *fmt, const char *a, unsigned long long b) {
    int n = snprintf(NULL, 0, fmt, a, b);
    char *s = tn_xcalloc(1, (size_t)n + 1);
    snprintf(s, (size_t)n + 1, fmt, a, b);
    return s;
}

static void temp_name(TnWriter *w) {
    w->temp = format("%s.tmp-%016llx", w->path, tn_os_random_seed());
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return format("%s", ".", 0);
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    char *s = tn_xcalloc(1, n + 1);
    memcpy(s, path, n);
    return s;
}

/* Ends a writer whose call failed; errno is the reason. */
static TernStatus fail(TnWriter *w, const char *what, TernError *err) {
    TernStatus s =
        tn_fail(err, TERN_ERR_ENV, "%s: cannot %s: %s", w->path ? w->path : "file", what, strerror(errno));
    tn_writer_abort(w);
    return s;
}

TernStatus tn_writer_open(const char *path, TnWriter *out, TernError *err) {
    *out = (TnWriter){.fd = -1};
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return tn_fail(err, TERN_ERR_INPUT, "%s: is a directory, wanted a file to write", path);
    if (exists && !S_ISREG(st.st_mode)) {
        /* A pipe or device is written straight: renaming over /dev/null would be no favour. */
        out->path = format("%s", path, 0);
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
        out->direct = true;
        return out->fd < 0 ? fail(out, "open for writing", err) : TERN_OK;
    }
    char *real = exists ? realpath(path, NULL) : NULL; /* a symbolic link stays, its target is replaced */
    out->path = real ? real : format("%s", path, 0);
    char *folder = folder_of(out->path);
    if (access("/proc/self/fd", X_OK) == 0) out->fd = open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    free(folder);
    if (out->fd < 0) {
        temp_name(out);
        out->fd = open(out->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd < 0) {
            free(out->temp); /* not ours, if it exists at all */
            out->temp = NULL;
            return fail(out, "create", err);
        }
    }
    if (exists) (void)!fchmod(out->fd, st.st_mode & 0777);
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

TernStatus tn_writer_pad(TnWriter *w, uint64_t align, TernError *err) {
    static const uint8_t zeros[4096];
    uint64_t over = w->pos % align, left = over ? align - over : 0;
    while (left) {
        size_t n = left < sizeof zeros ? (size_t)left : sizeof zeros;
        TN_TRY(tn_writer_put(w, zeros, n, err));
        left -= n;
    }
    return TERN_OK;
}

TernStatus tn_writer_put_at(TnWriter *w, uint64_t offset, const void *bytes, size_t n, TernError *err) {
    const uint8_t *p = bytes;
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

/* NULL, or what failed. Between its two names a nameless file has one that tn_writer_clean_up() cannot see: no signal
 * of this thread's comes in between. */
static const char *take_name(TnWriter *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const char *failed = NULL;
    if (!w->temp) {
        char from[40];
        snprintf(from, sizeof from, "/proc/self/fd/%d", w->fd);
        temp_name(w);
        if (linkat(AT_FDCWD, from, AT_FDCWD, w->temp, AT_SYMLINK_FOLLOW) != 0) {
            free(w->temp);
            w->temp = NULL;
            failed = "name";
        }
    }
    if (!failed && rename(w->temp, w->path) != 0) {
        int e = errno;
        unlink(w->temp);
        errno = e;
        failed = "rename into place";
    }
    free(w->temp);
    w->temp = NULL;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
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
        char *folder = folder_of(w->path);
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        free(folder);
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
    if (w->temp) unlink(w->temp);
    if (w->fd >= 0) close(w->fd);
    free(w->temp);
    free(w->path);
    *w = (TnWriter){.fd = -1};
}

/* "PATH.tmp-" and 16 digits, open for writing and not inherited: what temp_name() makes, and nothing of anybody else's.
 * An open file's number says where it lies, so there is no list to keep. */
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
    char *real = realpath(path, NULL); /* the file behind a symbolic link is the one that is replaced */
    char *folder = folder_of(real ? real : path);
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
