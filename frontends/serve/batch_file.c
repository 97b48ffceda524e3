/* The files of tern batch. */
#include "frontends/serve/batch_file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/base/arena.h"
#include "runtime/base/os.h"

static TernStatus refuse(const char *path, const char *what, TernError *err) {
    return tn_fail(err, TERN_ERR_ENV, "%s: %s: %s", path, what, strerror(errno));
}

/* ---- Lines */

TernStatus tn_lines_start(TnLines *l, const char *path, int fd, size_t most, TernError *err) {
    l->path = path;
    l->fd = fd;
    l->most = most;
    l->at = l->n = 0;
    l->number = l->end = 0;
    return lseek(fd, 0, SEEK_SET) == 0 ? TERN_OK : refuse(path, "cannot be read from its beginning", err);
}

static bool fill(TnLines *l, TernStatus *st, TernError *err) {
    ssize_t n;
    do n = read(l->fd, l->block, sizeof l->block);
    while (n < 0 && errno == EINTR);
    if (n < 0) *st = refuse(l->path, "cannot be read", err);
    l->at = 0;
    l->n = n > 0 ? (size_t)n : 0;
    return n > 0;
}

bool tn_lines_next(TnLines *l, TernStatus *st, TernError *err) {
    bool some = false;
    *st = TERN_OK;
    l->text.len = 0;
    l->too_long = l->whole = false;
    while (!l->whole && (l->at < l->n || fill(l, st, err))) {
        const char *from = l->block + l->at, *nl = memchr(from, '\n', l->n - l->at);
        size_t n = nl ? (size_t)(nl - from) : l->n - l->at, room = l->most - l->text.len;
        some = true;
        l->whole = nl != NULL;
        l->too_long |= n > room;
        tn_buf_put(&l->text, from, n < room ? n : room);
        l->at += n + l->whole;
        l->end += n + l->whole;
    }
    l->number += some;
    return some && *st == TERN_OK;
}

bool tn_lines_blank(const TnLines *l) {
    for (size_t i = 0; i < l->text.len; i++) {
        char c = l->text.data[i];
        if (c != ' ' && c != '\t' && c != '\r') return false;
    }
    return true;
}

void tn_lines_free(TnLines *l) {
    tn_buf_free(&l->text);
}

TernStatus tn_batch_open_in(const char *path, int *fd, TernError *err) {
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) return refuse(path, "cannot be opened", err);
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) return TERN_OK;
    close(*fd);
    *fd = -1;
    return tn_fail(err, TERN_ERR_INPUT,
                   "%s: got no regular file, expected one: its lines are read more than once", path);
}

bool tn_batch_has_grown(int fd, uint64_t bytes) {
    struct stat st;
    return fstat(fd, &st) == 0 && (uint64_t)st.st_size > bytes;
}

/* ---- Answers */

TernStatus tn_answers_open(TnAnswers *a, const char *path, TernError *err) {
    struct stat st;
    *a = (TnAnswers){.path = path, .fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)};
    if (a->fd < 0) return refuse(path, "cannot be written", err);
    if (fstat(a->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(a->fd);
        a->fd = -1;
        return tn_fail(err, TERN_ERR_INPUT, "%s: got no regular file, expected one: a batch goes on from it",
                       path);
    }
    struct stat now; /* another batch may have put a file in its place (tn_answers_drop) */
    bool locked = flock(a->fd, LOCK_EX | LOCK_NB) == 0;
    if (locked && stat(path, &now) == 0 && now.st_ino == st.st_ino && now.st_dev == st.st_dev) return TERN_OK;
    TernStatus bad = locked || errno == EWOULDBLOCK
                         ? tn_fail(err, TERN_ERR_ENV, "%s: another batch writes it", path)
                         : refuse(path, "cannot be locked", err);
    close(a->fd);
    a->fd = -1;
    return bad;
}

TernStatus tn_answers_cut(TnAnswers *a, TernError *err) {
    return ftruncate(a->fd, (off_t)a->end) == 0 ? TERN_OK : refuse(a->path, "cannot be cut", err);
}

TernStatus tn_answers_put(TnAnswers *a, const TnBuf *line, TernError *err) {
    for (size_t at = 0; at < line->len;) {
        ssize_t n = write(a->fd, line->data + at, line->len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            TernStatus st = refuse(a->path, "cannot be written", err);
            (void)tn_answers_cut(a, NULL);
            return st;
        }
        at += (size_t)n;
    }
    a->end += line->len;
    return TERN_OK;
}

static TernStatus copy_others(const TnAnswers *from, TnWriter *to, TnLines *l, const uint64_t *numbers,
                              size_t n, TernError *err) {
    TernStatus st;
    TN_TRY(tn_lines_start(l, from->path, from->fd, SIZE_MAX, err));
    for (size_t i = 0; tn_lines_next(l, &st, err);) {
        if (i < n && l->number == numbers[i]) {
            i++;
            continue;
        }
        tn_buf_put(&l->text, "\n", 1);
        TN_TRY(tn_writer_put(to, l->text.data, l->text.len, err));
    }
    return st;
}

/* The file has our lock before it gets the name, and keeps it when the writer lets go. */
TernStatus tn_answers_drop(TnAnswers *a, const uint64_t *numbers, size_t n, TernError *err) {
    char real[PATH_MAX];
    TnWriter to;
    int fd = -1;
    if (!realpath(a->path, real)) return refuse(a->path, "cannot be read", err);
    TN_TRY(tn_writer_open(real, &to, err));
    TnLines *l = tn_xcalloc(1, sizeof *l);
    TernStatus st = flock(to.fd, LOCK_EX | LOCK_NB) == 0 ? TERN_OK : refuse(a->path, "cannot be locked", err);
    if (st == TERN_OK) st = copy_others(a, &to, l, numbers, n, err);
    uint64_t end = to.pos;
    if (st == TERN_OK && ((fd = fcntl(to.fd, F_DUPFD_CLOEXEC, 3)) < 0 || fcntl(fd, F_SETFL, O_APPEND) != 0))
        st = refuse(a->path, "cannot be written", err);
    if (st == TERN_OK) st = tn_writer_commit(&to, err);
    if (st == TERN_OK) {
        close(a->fd);
        a->fd = fd;
        a->end = end;
    } else {
        tn_writer_abort(&to); /* also if it has ended */
        if (fd >= 0) close(fd);
    }
    tn_lines_free(l);
    free(l);
    return st;
}

TernStatus tn_answers_close(TnAnswers *a, TernError *err) {
    if (a->fd < 0) return TERN_OK;
    TernStatus st = fsync(a->fd) == 0 ? TERN_OK : refuse(a->path, "cannot be written", err);
    close(a->fd);
    a->fd = -1;
    return st;
}
