/* Connections, by libmicrohttpd: one thread reads heads and bodies, and runs the handlers of routes.def.
 *
 * A connection that waits for the engine is suspended, so that it costs nothing. To suspend one and to say so in the call are
 * one act under the lock; who finds the mark takes it away and resumes the connection after the lock. So a connection is
 * resumed once for each time that it was suspended, and never while it is not.
 *
 * A suspended connection is not watched by the library, so the engine looks for clients that hung up (rounds.c).
 *
 * When more connections come than may be open, those that ask for nothing go first, the one that has been quiet the longest
 * before the others. So clients that only hold connections take them from each other, and from nobody who asks. If all are
 * at work, the new one gets 503. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "frontends/serve/serve.h"

enum { HEAD_MOST = 64 << 10, BLOCK = 16 << 10, OTHER_FILES = 64 };
enum { SPARE = 64 }; /* connections above the limit, which get 503 or wait for others to be closed */

/* ---- Connections: a list on the web thread, the one that has been quiet the longest first */

struct TnPeer {
    TnPeer *prev, *next;
    int fd;
    bool asks;   /* a whole request is here, and its answer has not gone out */
    bool ending; /* it was hung up to make room */
    bool excess; /* it is one too many */
};

static void peer_append(TnServer *server, TnPeer *p) {
    TnPeer *head = server->peers;
    p->next = head;
    p->prev = head->prev;
    head->prev->next = p;
    head->prev = p;
}

static void peer_remove(TnPeer *p) {
    p->prev->next = p->next;
    p->next->prev = p->prev;
}

static void make_room(TnServer *server, TnPeer *new) {
    while (server->n_peers > server->o->connections) {
        TnPeer *p = server->peers->next;
        while (p->asks || p->ending) p = p->next; /* the new one is none of them */
        new->excess = p == new;
        if (new->excess) return;
        p->ending = true;
        server->n_peers--;
        (void)shutdown(p->fd, SHUT_RDWR); /* the library finds it closed */
    }
}

static TnPeer *peer_of(struct MHD_Connection *c) {
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_connection(void *user, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    TnServer *server = user;
    TnPeer *p = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = p = tn_xcalloc(1, sizeof *p);
        p->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        peer_append(server, p);
        server->n_peers++;
        make_room(server, p);
    } else if (p) {
        *context = NULL;
        server->n_peers -= !p->ending;
        peer_remove(p);
        free(p);
    }
}

/* A request is whole, or its answer has gone out. */
static void peer_asks(TnServer *server, struct MHD_Connection *c, bool asks) {
    TnPeer *p = peer_of(c);
    p->asks = asks;
    if (asks) return;
    peer_remove(p);
    peer_append(server, p);
}

/* ---- The head of a request */

static void name_client(TnCall *call, size_t key) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *at = info ? info->client_addr : NULL;
    snprintf(call->client, sizeof call->client, "unix");
    if (at && at->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)at)->sin_addr, call->client, sizeof call->client);
    if (at && at->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)at)->sin6_addr, call->client, sizeof call->client);
    if (key) snprintf(call->client, sizeof call->client, "key %zu", key);
}

static const char *header(const TnCall *call, const char *name) {
    return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

const char *tn_http_query(const TnCall *call, const char *name) {
    return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, name);
}

bool tn_http_argument(const TnCall *call, const char *name, const char *value) {
    const char *got = tn_http_query(call, name);
    return got && strcmp(got, value) == 0;
}

static bool check_key(TnCall *call) {
    const char *bearer = header(call, "Authorization"), *plain = header(call, "x-api-key");
    const TnKeys *keys = call->server->keys;
    size_t key = 0;
    if (keys && bearer && strncasecmp(bearer, "Bearer ", 7) == 0)
        key = tn_keys_find(keys, bearer + 7, strlen(bearer + 7));
    if (keys && plain && !key) key = tn_keys_find(keys, plain, strlen(plain));
    name_client(call, key);
    if (!keys || key || (call->route->flags & TN_ROUTE_OPEN)) return true;
    tn_call_header(call, "WWW-Authenticate", "Bearer");
    return tn_call_refuse(call, 401, "invalid_api_key", NULL,
                          "got %s, expected one of the server's keys (Authorization: Bearer KEY)",
                          bearer || plain ? "another key" : "no key");
}

static bool too_large(TnCall *call) {
    tn_call_header(call, "Connection", "close");
    return tn_call_refuse(call, 413, "body_too_large", NULL,
                          "got a body of more than %zu bytes, expected at most that",
                          call->server->o->body_most);
}

static bool check_length(TnCall *call) {
    const char *length = header(call, "Content-Length");
    if (!length || strtoull(length, NULL, 10) <= call->server->o->body_most) return true;
    return too_large(call);
}

/* What the library parses may be somewhat more, so that it is answered here; what is more than that gets its own page. */
static bool check_head(TnCall *call) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (!info || info->header_size <= HEAD_MOST) return true;
    tn_call_header(call, "Connection", "close");
    return tn_call_refuse(call, 431, "head_too_large", NULL, "got a head of %zu bytes, expected at most %d",
                          info->header_size, HEAD_MOST);
}

/* Who sends it (origins.c). Only POST makes work. */
static bool check_page(TnCall *call) {
    const char *origin = header(call, "Origin"), *host = header(call, "Host");
    if (!tn_host_may_be(call->server, host))
        return tn_call_refuse(call, 403, "forbidden_host", NULL,
                              "got the header Host: %.80s, expected localhost or an address", host);
    if (strcmp(call->route->method, "POST") != 0 || tn_origin_may_ask(call->server, origin, host))
        return true;
    return tn_call_refuse(call, 403, "forbidden_origin", NULL,
                          "got the header Origin: %.80s, expected this server's own or that of --cors",
                          origin);
}

/* ---- Pages of other origins (CORS): only that of --cors may read answers. A browser asks first, without a key. */

static bool is_allowed_origin(const TnCall *call) {
    return tn_origin_allowed(call->server, header(call, "Origin"));
}

static bool is_preflight(const TnCall *call, const char *method) {
    return strcmp(method, "OPTIONS") == 0 && is_allowed_origin(call) &&
           header(call, "Access-Control-Request-Method");
}

static void add_cors(const TnCall *call, struct MHD_Response *r) {
    const char *headers = header(call, "Access-Control-Request-Headers");
    if (!call->server->o->cors) return;
    MHD_add_response_header(r, "Vary", "Origin");
    if (!is_allowed_origin(call)) return;
    MHD_add_response_header(r, "Access-Control-Allow-Origin", call->server->o->cors);
    if (call->route || call->status != 204) return;
    MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST");
    MHD_add_response_header(r, "Access-Control-Max-Age", "3600");
    if (headers) MHD_add_response_header(r, "Access-Control-Allow-Headers", headers);
}

/* ---- Answers */

static void add_headers(const TnCall *call, struct MHD_Response *response) {
    for (size_t i = 0; i < TN_COUNT(call->headers) && call->headers[i][0]; i++) {
        char name[96];
        const char *colon = strchr(call->headers[i], ':');
        size_t n = (size_t)(colon - call->headers[i]);
        memcpy(name, call->headers[i], n);
        name[n] = '\0';
        MHD_add_response_header(response, name, colon + 2);
    }
}

static ssize_t read_out(void *user, uint64_t at, char *to, size_t most) {
    TnCall *call = user;
    ssize_t got = 0;
    (void)at;
    pthread_mutex_lock(&call->server->lock);
    size_t n = call->out.len - call->taken;
    if (n > most) n = most;
    if (n) {
        memcpy(to, call->out.data + call->taken, n);
        call->taken += n;
        if (call->taken == call->out.len) call->taken = call->out.len = 0;
        got = (ssize_t)n;
    } else if (call->complete) {
        got = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        call->asleep = true;
        MHD_suspend_connection(call->connection);
    }
    pthread_mutex_unlock(&call->server->lock);
    return got;
}

static struct MHD_Response *make_response(TnCall *call, bool stream) {
    if (!stream) return MHD_create_response_from_buffer(call->out.len, call->out.data, MHD_RESPMEM_MUST_COPY);
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_out, call, NULL);
    if (r) MHD_add_response_header(r, "Cache-Control", "no-cache");
    if (r) MHD_add_response_header(r, "X-Accel-Buffering", "no"); /* nginx: pass events on as they come */
    return r;
}

/* Answers, or sleeps until there is something to answer. */
static enum MHD_Result reply(TnCall *call) {
    TnServer *server = call->server;
    pthread_mutex_lock(&server->lock);
    bool stream = call->plan.stream && call->status == 200;
    if (!call->complete && !stream) {
        call->asleep = true;
        MHD_suspend_connection(call->connection);
        pthread_mutex_unlock(&server->lock);
        return MHD_YES;
    }
    unsigned status = call->status;
    const char *type = stream ? "text/event-stream" : call->type;
    server->metrics.by_status[status < 600 ? status : 599]++;
    pthread_mutex_unlock(&server->lock);
    struct MHD_Response *r = make_response(call, stream);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    add_headers(call, r);
    add_cors(call, r);
    enum MHD_Result ok = MHD_queue_response(call->connection, status, r);
    MHD_destroy_response(r);
    return ok;
}

/* ---- Bodies */

static bool parse_body(TnCall *call) {
    TernError err = {0};
    if (call->body.len == 0)
        return tn_call_refuse(call, 400, "invalid_json", NULL, "got no body, expected a JSON object");
    TernStatus st = tn_json_tree(call->body.data, call->body.len, &call->parsed, &call->json, &err);
    tn_buf_free(&call->body);
    if (st != TERN_OK)
        return tn_call_refuse(call, 400, "invalid_json", NULL, "the body is not JSON: %s", err.text);
    if (call->json->kind != TN_JSON_OBJECT)
        return tn_call_refuse(call, 400, "invalid_json", NULL, "the body: got %s, expected an object",
                              tn_json_kind_name(call->json->kind));
    return true;
}

/* The rest of a body that was refused is thrown away, so that the client reads why: a client reads when it has sent all. False:
 * it is too much, or takes as long again, hang up. */
static bool take_body(TnCall *call, const char *data, size_t n) {
    const TnServeOptions *o = call->server->o;
    double seconds = tn_os_seconds() - call->begun;
    call->n_arrived += n;
    if (call->status) return seconds <= 2 * o->body_seconds && call->n_arrived <= 2 * o->body_most;
    if (seconds > o->body_seconds)
        tn_call_refuse(call, 408, "request_timeout", NULL,
                       "the body took longer than %g seconds, expected at most that", o->body_seconds);
    else if (call->n_arrived > o->body_most)
        too_large(call);
    else
        tn_buf_put(&call->body, data, n);
    return true;
}

static enum MHD_Result begin(TnServer *server, struct MHD_Connection *c, const char *path, const char *method,
                             TnCall **out) {
    TnCall *call = *out = tn_call_create(server, c);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info) call->fd = info->connect_fd;
    name_client(call, 0); /* for those that get no further */
    if (peer_of(c)->excess) {
        tn_call_header(call, "Retry-After", "1");
        tn_call_header(call, "Connection", "close");
        tn_call_refuse(call, 503, "too_many_connections", NULL,
                       "%u connections are open, expected at most that", server->o->connections);
    } else if (is_preflight(call, method))
        tn_call_answer(call, 204, "text/plain", "", 0);
    else if (check_head(call) && tn_route_find(call, method, path) && check_page(call) && check_key(call))
        check_length(call);
    return call->status == 413 ? reply(call) : MHD_YES; /* such a body is not even read */
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *path, const char *method,
                                  const char *version, const char *data, size_t *n, void **state) {
    TnCall *call = *state;
    (void)version;
    if (!call) return begin(user, c, path, method, (TnCall **)state);
    if (*n) {
        bool more = take_body(call, data, *n);
        *n = 0;
        return more ? MHD_YES : MHD_NO;
    }
    peer_asks(call->server, c, true);
    if (!call->submitted && !call->status) {
        bool body = strcmp(call->route->method, "POST") == 0;
        if (!body || parse_body(call)) tn_route_handle(call);
    }
    return reply(call);
}

static void on_completed(void *user, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode why) {
    TnServer *server = user;
    TnCall *call = *state;
    (void)why;
    peer_asks(server, c, false);
    if (!call) return;
    *state = NULL;
    tn_log_call(call);
    pthread_mutex_lock(&server->lock);
    call->gone = true; /* from here on the descriptor may be another's */
    server->n_open--;
    pthread_mutex_unlock(&server->lock);
    tn_call_release(call);
}

void tn_http_wake(TnCall *call) {
    MHD_resume_connection(call->connection);
}

/* ---- The daemon */

/* Each connection is an open file, and the usual limit is near what one server needs. */
static TernStatus allow_files(uint32_t connections, TernError *err) {
    struct rlimit limit;
    rlim_t need = (rlim_t)connections + SPARE + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need) return TERN_OK;
    if (limit.rlim_max < need)
        return tn_fail(err, TERN_ERR_ENV,
                       "--connections: got %u, but the system lets this process open %llu files (ulimit -n)",
                       connections, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = need;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return TERN_OK;
}

TernStatus tn_http_start(TnServer *server, TernError *err) {
    const TnServeOptions *o = server->o;
    TN_TRY(allow_files(o->connections, err));
    server->place = tn_place_of(server->fd);
    server->peers = tn_xcalloc(1, sizeof *server->peers);
    server->peers->next = server->peers->prev = server->peers;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->connections + SPARE, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(o->body_seconds + 0.5),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)2 * HEAD_MOST, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_END);
    if (server->daemon) return TERN_OK;
    free(server->peers);
    return tn_fail(err, TERN_ERR_ENV, "the web server could not be started");
}

/* Clients get a while to read the rest of their answers. */
void tn_http_stop(TnServer *server) {
    double until = tn_os_seconds() + 5;
    for (size_t open = 1; open && tn_os_seconds() < until;) {
        pthread_mutex_lock(&server->lock);
        open = server->n_open;
        pthread_mutex_unlock(&server->lock);
        struct timespec pause = {.tv_nsec = 5000000};
        if (open) nanosleep(&pause, NULL);
    }
    MHD_stop_daemon(server->daemon);
    free(server->peers);
}
