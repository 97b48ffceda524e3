/* Which pages in a browser may ask. A page of any site may send a POST to a server on its reader's machine or network: it cannot
 * read the answer, but the work is done. So a POST that says its origin must come from this server's own page or from an origin
 * that --cors allows.
 *
 * And a site may let its own name stand for 127.0.0.1 (DNS rebinding): then its pages are of the server's origin as browsers see
 * it. What they cannot hide is that name, in the header Host. So a server that listens on loopback answers to localhost, to
 * addresses, and to the host that --cors names. One that listens elsewhere cannot know its names.
 *
 * Behind a unix socket there is no browser, only a proxy, whose task this is. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include "frontends/serve/serve.h"

TnPlace tn_place_of(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } at = {.room = {.ss_family = 0}};
    socklen_t n = sizeof at;
    (void)getsockname(fd, &at.any, &n);
    if (at.any.sa_family == AF_UNIX) return TN_PLACE_UNIX;
    if (at.any.sa_family == AF_INET && ntohl(at.v4.sin_addr.s_addr) >> 24 == 127) return TN_PLACE_LOOPBACK;
    if (at.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&at.v6.sin6_addr)) return TN_PLACE_LOOPBACK;
    return TN_PLACE_NETWORK;
}

bool tn_origin_allowed(const TnServer *server, const char *origin) {
    const char *allowed = server->o->cors;
    return allowed && origin && (strcmp(allowed, "*") == 0 || strcmp(allowed, origin) == 0);
}

/* http://HOST or https://HOST: a proxy may have taken TLS off. */
static bool is_of_host(const char *origin, const char *host) {
    size_t n = strncmp(origin, "http://", 7) == 0 ? 7 : strncmp(origin, "https://", 8) == 0 ? 8 : 0;
    return n && strcasecmp(origin + n, host) == 0;
}

bool tn_origin_may_ask(const TnServer *server, const char *origin, const char *host) {
    if (server->place == TN_PLACE_UNIX || !origin) return true;
    return tn_origin_allowed(server, origin) || (host && is_of_host(origin, host));
}

/* localhost or an address, with or without a port. */
static bool is_here(const char *host) {
    char name[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    bool v6 = *host == '[';
    size_t n = strcspn(host + v6, v6 ? "]" : ":");
    const char *after = host + v6 + n;
    if (n >= sizeof name || (v6 && *after++ != ']')) return false;
    if (*after && (*after != ':' || after[1 + strspn(after + 1, "0123456789")])) return false;
    memcpy(name, host + v6, n);
    name[n] = '\0';
    if (v6) return inet_pton(AF_INET6, name, address) == 1;
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, address) == 1;
}

bool tn_host_may_be(const TnServer *server, const char *host) {
    const char *allowed = server->o->cors;
    if (server->place != TN_PLACE_LOOPBACK || !host) return true;
    return is_here(host) || (allowed && (strcmp(allowed, "*") == 0 || is_of_host(allowed, host)));
}
