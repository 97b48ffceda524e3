/* For tests: NVIDIA's assembler, where it is installed. */
#ifndef TN_TEST_PTXAS_H
#define TN_TEST_PTXAS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The program, from PATH, $CUDA_HOME/bin or /usr/local/cuda/bin; NULL if there is none. */
static inline const char *ptxas_path(void) {
    static char path[4096];
    const char *home = getenv("CUDA_HOME"), *dirs = getenv("PATH");
    if (*path) return path;
    char all[4096];
    snprintf(all, sizeof all, "%s:%s/bin:/usr/local/cuda/bin", dirs ? dirs : "", home ? home : "/nowhere");
    for (char *save = NULL, *d = strtok_r(all, ":", &save); d; d = strtok_r(NULL, ":", &save)) {
        snprintf(path, sizeof path, "%s/ptxas", d);
        if (access(path, X_OK) == 0) return path;
    }
    *path = 0;
    return NULL;
}

/* Assembles a text for a target such as "sm_80"; what ptxas says goes to stderr. */
static inline bool ptxas_accepts(const char *text, size_t n, const char *target) {
    char source[] = "/tmp/ptxas_XXXXXX", command[8192];
    int fd = mkstemp(source);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n) return false;
    close(fd);
    snprintf(command, sizeof command, "'%s' -arch=%s -o /dev/null '%s' >&2", ptxas_path(), target, source);
    bool ok = system(command) == 0;
    if (ok) unlink(source);
    return ok;
}

#endif
