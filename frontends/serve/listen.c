/* The socket that the server listens on: TCP, or a unix socket. */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "frontends/serve/serve.h"

enum { BACKLOG = 512 };

static TernStatus refuse(const char *where, TernError *err) {
    return tn_fail(err, TERN_ERR_ENV, "%s: cannot listen: %s", where, strerror(errno));
}

/* Whether a socket of this name is there that nobody listens on: what a server that was killed leaves. */
static bool is_left(const struct sockaddr_un *at) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    bool left = connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 && errno == ECONNREFUSED;
    close(fd);
    return left;
}

/* To connect to a file of another kind fails in the same way as to a socket that was left, so only a socket is removed. */
static TernStatus check_place(const char *path, TernError *err) {
    struct stat st;
    if (lstat(path, &st) != 0 || S_ISSOCK(st.st_mode)) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s: got a file that is no socket, expected a socket or nothing",
                   path);
}

static TernStatus listen_unix(const char *path, int *out_fd, TernError *err) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    TN_TRY(check_place(path, err));
    if (n >= sizeof at.sun_path)
        return tn_fail(err, TERN_ERR_INPUT, "%s: got %zu bytes, expected a path of a socket of at most %zu",
                       path, n, sizeof at.sun_path - 1);
    memcpy(at.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return refuse(path, err);
    int bad = bind(fd, (struct sockaddr *)&at, sizeof at);
    if (bad && errno == EADDRINUSE && is_left(&at)) {
        (void)unlink(path);
        bad = bind(fd, (struct sockaddr *)&at, sizeof at);
    }
    if (bad || listen(fd, BACKLOG)) {
        TernStatus st = refuse(path, err);
        close(fd);
        return st;
    }
    *out_fd = fd;
    return TERN_OK;
}

static int open_at(const struct addrinfo *a) {
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol), on = 1;
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* The port that a socket has got. */
static unsigned port_of(int fd) {
    struct sockaddr_storage at = {.ss_family = 0};
    socklen_t n = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0) return 0;
    char service[12] = "";
    if (getnameinfo((struct sockaddr *)&at, n, NULL, 0, service, sizeof service, NI_NUMERICSERV) != 0)
        return 0;
    return (unsigned)strtoul(service, NULL, 10);
}

static TernStatus listen_tcp(const char *host, uint32_t port, int *out_fd, TernError *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    char service[12], where[300];
    snprintf(service, sizeof service, "%u", port);
    snprintf(where, sizeof where, "%.256s, port %u", host, port);
    int bad = getaddrinfo(host, service, &hints, &found);
    if (bad) return tn_fail(err, TERN_ERR_INPUT, "%s: %s", where, gai_strerror(bad));
    *out_fd = -1;
    errno = EADDRNOTAVAIL;
    for (struct addrinfo *a = found; a && *out_fd < 0; a = a->ai_next) *out_fd = open_at(a);
    TernStatus st = *out_fd < 0 ? refuse(where, err) : TERN_OK;
    freeaddrinfo(found);
    return st;
}

/* The address of a socket that was given. */
static void name_given(int fd, char *address, size_t size) {
    struct sockaddr_storage at = {.ss_family = 0};
    socklen_t n = sizeof at;
    char host[INET6_ADDRSTRLEN] = "", port[12] = "";
    (void)getsockname(fd, (struct sockaddr *)&at, &n);
    bool v6 = at.ss_family == AF_INET6;
    if (at.ss_family == AF_UNIX)
        snprintf(address, size, "unix:%.107s", ((struct sockaddr_un *)&at)->sun_path);
    else if (getnameinfo((struct sockaddr *)&at, n, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(address, size, "http://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    else
        snprintf(address, size, "a socket that was given");
}

TernStatus tn_listen(const TnServeOptions *o, int *out_fd, char *address, size_t size, TernError *err) {
    if (o->listen_fd) {
        *out_fd = o->listen_fd;
        name_given(*out_fd, address, size);
        return TERN_OK;
    }
    if (o->unix_socket) {
        snprintf(address, size, "unix:%s", o->unix_socket);
        return listen_unix(o->unix_socket, out_fd, err);
    }
    TN_TRY(listen_tcp(o->host, o->port, out_fd, err));
    bool v6 = strchr(o->host, ':') != NULL;
    snprintf(address, size, "http://%s%s%s:%u", v6 ? "[" : "", o->host, v6 ? "]" : "", port_of(*out_fd));
    return TERN_OK;
}
