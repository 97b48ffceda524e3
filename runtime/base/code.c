/* Memory for code. It is filled while it is writable, and then made executable and read-only: never both at once.
 *
 * Hardened systems refuse that step. Under systemd's MemoryDenyWriteExecute, PR_SET_MDWE and SELinux no memory that was ever
 * writable may become executable. There the code goes to a file in memory that has no name (memfd). It is sealed before
 * it is mapped, so that no process can change it from then on, and mapped readable and executable. The code sections of
 * a blob could be mapped from the blob itself. But then whoever may write to that file could change code after its hash
 * was checked, a kept model would have no file to map, and sections would have to begin at pages of 64 KiB. */
#include "runtime/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif

/* The file cannot be run as a program, which vm.memfd_noexec=2 demands. Mapping it executable needs no such right. */
static int open_nameless(void) {
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create("tern-code", flags | MFD_NOEXEC_SEAL);
    return fd < 0 && errno == EINVAL ? memfd_create("tern-code", flags) : fd;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n) {
    while (n) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        bytes += put;
        n -= (size_t)put;
    }
    return true;
}

/* Returns NULL, and in *step what was refused; errno says why. */
static void *map_sealed(const void *code, size_t bytes, const char **step) {
    *step = "memfd_create";
    int fd = open_nameless();
    if (fd < 0) return NULL;
    void *p = NULL;
    *step = "write to a memfd";
    if (write_all(fd, code, bytes)) {
        *step = "seals on a memfd";
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
            *step = "executable mmap of a memfd";
            p = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
            if (p == MAP_FAILED) p = NULL;
        }
    }
    int why = errno;
    close(fd);
    errno = why;
    return p;
}

TernStatus tn_os_map_code(const void *code, size_t bytes, void **out, TernError *err) {
    void *p;
    *out = NULL;
    TN_TRY(tn_os_map(bytes, false, &p, err));
    if (bytes) memcpy(p, code, bytes);
    if (bytes && mprotect(p, bytes, PROT_READ | PROT_EXEC) != 0) {
        int why = errno;
        const char *step;
        tn_os_unmap(p, bytes);
        p = map_sealed(code, bytes, &step);
        if (!p)
            return tn_fail(err, TERN_ERR_ENV,
                           "the system refuses executable memory (mprotect of %zu bytes: %s; %s: %s)", bytes,
                           strerror(why), step, strerror(errno));
    }
    __builtin___clear_cache((char *)p, (char *)p + bytes);
    *out = p;
    return TERN_OK;
}
