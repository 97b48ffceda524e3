/* A file without a name: it is unlinked as soon as it exists, so nothing of it is left however the process ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "runtime/base/os.h"

static TernStatus fail_errno(TernError *err, const char *folder, const char *what) {
    return tn_fail(err, TERN_ERR_ENV, "%s: cannot %s a temporary file there: %s (TMPDIR names another place)",
                   folder, what, strerror(errno));
}

TernStatus tn_spare_open(TnSpareFile *out, TernError *err) {
    const char *folder = getenv("TMPDIR");
    char path[4096];
    if (!folder || !*folder) folder = "/tmp";
    *out = (TnSpareFile){.fd = -1};
    int n = snprintf(path, sizeof path, "%s/tern-XXXXXX", folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return tn_fail(err, TERN_ERR_ENV, "TMPDIR: has %zu characters, expected at most %zu", strlen(folder),
                       sizeof path - sizeof "/tern-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) return fail_errno(err, folder, "make");
    unlink(path);
    *out = (TnSpareFile){fd, folder, 0};
    return TERN_OK;
}

TernStatus tn_spare_put(TnSpareFile *f, const void *bytes, size_t n, TernError *err) {
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t done = write(f->fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail_errno(err, f->folder, "write to");
        p += done;
        n -= (size_t)done;
        f->size += (size_t)done;
    }
    return TERN_OK;
}

TernStatus tn_spare_map(TnSpareFile *f, TnFile *out, TernError *err) {
    *out = (TnFile){0};
    void *p = f->size ? mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, f->fd, 0) : NULL;
    if (p == MAP_FAILED) return fail_errno(err, f->folder, "map");
    if (p) *out = (TnFile){.data = p, .size = f->size};
    tn_spare_close(f);
    return TERN_OK;
}

void tn_spare_close(TnSpareFile *f) {
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}
