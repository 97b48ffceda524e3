/* The protocols of sd_listen_fds(3) and sd_notify(3). */
#include "frontends/cli/systemd.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "frontends/cli/cli.h"
#include "runtime/base/status.h"

enum { FIRST_FD = 3 };

TernStatus systemd_socket(int *fd, TernError *err) {
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    int listens = 0;
    socklen_t size = sizeof listens;
    if (!pid || !n || strtol(pid, NULL, 10) != (long)getpid())
        return tn_fail(
            err, TERN_ERR_ENV,
            "--systemd-socket: got no socket, expected one of a .socket unit (LISTEN_FDS, LISTEN_PID)");
    if (strcmp(n, "1") != 0)
        return tn_fail(err, TERN_ERR_ENV, "--systemd-socket: got %s sockets (LISTEN_FDS), expected 1", n);
    if (getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens)
        return tn_fail(err, TERN_ERR_ENV, "--systemd-socket: descriptor %d is no socket that listens",
                       FIRST_FD);
    (void)ioctl(FIRST_FD, FIOCLEX);
    *fd = FIRST_FD;
    return TERN_OK;
}

/* Returns an errno value, or 0. */
static int send_state(const char *path, const char *state) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if ((*path != '/' && *path != '@') || n >= sizeof at.sun_path) return EINVAL;
    memcpy(at.sun_path, path, n);
    if (*path == '@') at.sun_path[0] = '\0'; /* a name without a file */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&at, size);
    int why = sent < 0 ? errno : 0;
    close(fd);
    return why;
}

void systemd_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    int why = path ? send_state(path, state) : 0;
    if (why) say_line("tern: NOTIFY_SOCKET: %s was not sent: %s\n", state, strerror(why));
}
