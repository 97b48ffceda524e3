/* serve_clients [options] HOST:PORT TEST: clients of a server in OpenAI's shape, and what they see by their own clock.
 *
 *   load CLIENTS PROMPT OUT         so many requests at once, of PROMPT ids each, for OUT tokens
 *   beside LONG SHORT TIMES         requests of SHORT ids while a prompt of LONG runs, at most TIMES of them
 *   alone SHORT TIMES               the same requests with nothing beside them
 *   prefix SHARED OWN               two requests that begin with the same SHARED ids and end with OWN others
 *   --vocab N   ids of prompts are below N (1000)
 *   --seed N    ids depend on it: a server that keeps prompts should see each one once
 *
 * All requests are streams of /v1/completions, greedy, with ignore_eos. Every test prints lines of a name and a number:
 *
 *   load     steady: tokens a second of all clients, from the moment when the last one got its first token to the moment when
 *            the first one got its last; whole: of the whole time, prompts included; p50, p99: seconds between two tokens of a
 *            client; first: seconds to the first token, the median
 *   beside, alone   first, worst: seconds to the first token, the median and the most; times: how many
 *   prefix   first, second: seconds to the first token of both; first_ran, second_ran: the ids that the server ran for them
 *   all      processor: seconds of a processor that these clients took, as they take them from the server
 *
 * beside hangs up the long prompt when it has had its times. A token counts when the event with its text arrives. One thread waits for all sockets, so that a client costs little. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MOST = 256, LINE_MOST = 1 << 16, PATIENCE_MS = 300000 };

typedef struct Client {
    int fd; /* -1: closed */
    char line[LINE_MOST];
    size_t n_line;
    double sent, first, last; /* seconds; first: 0 before it */
    double *times;            /* of events with text */
    size_t n_times, room;
    size_t n_out, n_prompt, n_cached; /* as the server counts them */
    int done;
} Client;

static struct addrinfo *server;
static const char *host;
static unsigned vocab = 1000;
static uint64_t seed = 1;

static void die(const char *what, const char *why) {
    fprintf(stderr, "serve_clients: %s: %s\n", what, why);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void rest(double s) {
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}

/* ---- Requests */

/* An id that depends on the run, a stream of ids, and a place in it. */
static unsigned id_at(uint64_t stream, uint64_t at) {
    uint64_t x = seed * 0x9e3779b97f4a7c15u + stream * 0xbf58476d1ce4e5b9u + at * 0x94d049bb133111ebu;
    x ^= x >> 31, x *= 0xbf58476d1ce4e5b9u, x ^= x >> 29;
    return (unsigned)(x % (vocab / 2)) + vocab / 2; /* the first ones may have a meaning */
}

static void send_all(int fd, const char *bytes, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t got = send(fd, bytes + at, n - at, MSG_NOSIGNAL);
        if (got < 0 && errno != EINTR) die("send", strerror(errno));
        if (got > 0) at += (size_t)got;
    }
}

/* Sends a prompt of n ids of one stream and then m of another. */
static void ask(Client *c, uint64_t stream, size_t n, uint64_t then, size_t m, size_t n_out) {
    size_t size = (n + m) * 12 + 512, at = 0;
    char *body = malloc(size), head[256];
    double *times = c->times;
    size_t room = c->room;
    if (!body) die("a request", "no memory");
    *c = (Client){.times = times, .room = room};
    at += (size_t)snprintf(body, size, "{\"prompt\": [");
    for (size_t i = 0; i < n + m; i++)
        at += (size_t)snprintf(body + at, size - at, "%s%u", i ? ", " : "",
                               i < n ? id_at(stream, i) : id_at(then, i));
    at += (size_t)snprintf(
        body + at, size - at,
        "], \"max_tokens\": %zu, \"temperature\": 0, \"ignore_eos\": true, \"stream\": true, "
        "\"stream_options\": {\"include_usage\": true}}",
        n_out);
    int n_head =
        snprintf(head, sizeof head,
                 "POST /v1/completions HTTP/1.1\r\nHost: %.100s\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                 host, at);
    c->fd = socket(server->ai_family, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, server->ai_addr, server->ai_addrlen)) die(host, strerror(errno));
    c->sent = now();
    send_all(c->fd, head, (size_t)n_head);
    send_all(c->fd, body, at);
    free(body);
}

static void hang_up(Client *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

/* ---- Answers */

/* The number after "name": in a line; 0: it has none. */
static size_t member(const char *line, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(line, key);
    return at ? (size_t)strtoull(at + strlen(key), NULL, 10) : 0;
}

static int has_text(const char *line) {
    const char *at = strstr(line, "\"text\":");
    if (!at) return 0;
    at += 7;
    while (*at == ' ') at++;
    return at[0] == '"' && at[1] != '"';
}

static void take_event(Client *c, const char *line, double at) {
    if (strstr(line, "\"error\"")) die("the server", line);
    if (strcmp(line, "[DONE]") == 0) c->done = 1;
    if (strstr(line, "\"usage\":{") || strstr(line, "\"usage\": {")) {
        c->n_out = member(line, "completion_tokens");
        c->n_prompt = member(line, "prompt_tokens");
        c->n_cached = member(line, "cached_tokens");
    }
    if (!has_text(line)) return;
    if (c->n_times == c->room) {
        c->room = c->room ? 2 * c->room : 256;
        c->times = realloc(c->times, c->room * sizeof *c->times);
        if (!c->times) die("times", "no memory");
    }
    if (c->n_times == 0) c->first = at;
    c->times[c->n_times++] = c->last = at;
}

/* An event is a line; sizes of chunks and heads are lines of their own, and both servers send whole events in a chunk. */
static void take_line(Client *c, double at) {
    c->line[c->n_line] = '\0';
    if (strncmp(c->line, "HTTP/1.1 ", 9) == 0 && strncmp(c->line + 9, "200", 3) != 0)
        die("the server", c->line);
    if (strncmp(c->line, "data: ", 6) == 0) take_event(c, c->line + 6, at);
    c->n_line = 0;
}

static void take_bytes(Client *c) {
    char bytes[1 << 16];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    double at = now();
    if (n < 0 && errno == EINTR) return;
    if (n < 0) die("recv", strerror(errno));
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] == '\n')
            take_line(c, at);
        else if (bytes[i] != '\r' && c->n_line + 1 < LINE_MOST)
            c->line[c->n_line++] = bytes[i];
    }
    if (n == 0 && !c->done) die("the server", "it closed the connection before the answer's end");
    if (c->done || n == 0) hang_up(c);
}

/* Waits for bytes of any client, and takes them. Returns how many clients are open. */
static size_t listen_to(Client *clients, size_t n) {
    struct pollfd fds[CLIENTS_MOST];
    size_t n_open = 0;
    for (size_t i = 0; i < n; i++) {
        fds[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        n_open += clients[i].fd >= 0;
    }
    if (n_open == 0) return 0;
    int got = poll(fds, (nfds_t)n, PATIENCE_MS);
    if (got == 0) die("the server", "it said nothing for five minutes");
    for (size_t i = 0; i < n && got > 0; i++)
        if (fds[i].revents) take_bytes(&clients[i]);
    return n_open;
}

/* ---- Numbers */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which so much of n values lies; sorts them. */
static double quantile(double *v, size_t n, double share) {
    if (n == 0) die("times", "there are none");
    qsort(v, n, sizeof *v, by_value);
    size_t at = (size_t)(share * (double)(n - 1) + 0.5);
    return v[at];
}

static void print(const char *name, double value) {
    printf("%s %.9g\n", name, value);
}

static double *numbers(size_t n) {
    double *v = calloc(n + 1, sizeof *v);
    if (!v) die("numbers", "no memory");
    return v;
}

/* ---- Tests */

static void print_load(const Client *clients, size_t n) {
    double from = clients[0].sent, until = 0, begin = 0, end = clients[0].last;
    size_t n_gaps = 0, n_steady = 0, n_out = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        const Client *c = &clients[i];
        if (c->n_times == 0) die("the server", "an answer without text");
        if (c->first > begin) begin = c->first;
        if (c->last < end) end = c->last;
        if (c->last > until) until = c->last;
        n_gaps += c->n_times - 1;
        n_out += c->n_out;
    }
    double *gaps = numbers(n_gaps), *firsts = numbers(n);
    for (size_t i = 0; i < n; i++) {
        const Client *c = &clients[i];
        firsts[i] = c->first - c->sent;
        for (size_t k = 0; k < c->n_times; k++) n_steady += c->times[k] > begin && c->times[k] <= end;
        for (size_t k = 1; k < c->n_times; k++) gaps[at++] = c->times[k] - c->times[k - 1];
    }
    print("steady", end > begin ? (double)n_steady / (end - begin) : 0);
    print("whole", (double)n_out / (until - from));
    print("p50", n_gaps ? quantile(gaps, n_gaps, 0.5) : 0);
    print("p99", n_gaps ? quantile(gaps, n_gaps, 0.99) : 0);
    print("first", quantile(firsts, n, 0.5));
    print("tokens", (double)n_out);
    free(gaps);
    free(firsts);
}

static void test_load(Client *clients, size_t n, size_t n_prompt, size_t n_out) {
    for (size_t i = 0; i < n; i++) ask(&clients[i], n * CLIENTS_MOST + i, n_prompt, 0, 0, n_out);
    while (listen_to(clients, n)) {
    }
    print_load(clients, n);
}

/* Requests of n ids, one after the other, while a prompt of n_long runs (0: none). They begin at times that have nothing to do
 * with the server's steps. */
static void test_beside(Client *clients, size_t n_long, size_t n, size_t times) {
    Client *a = &clients[0], *b = &clients[1];
    double *firsts = numbers(times);
    size_t got = 0;
    a->fd = -1;
    if (n_long) ask(a, 0, n_long, 0, 0, 1);
    rest(n_long ? 0.5 : 0);
    while (got < times) {
        rest(1e-3 * (id_at(1, got) % 500));
        ask(b, 2 + got, n, 0, 0, 1);
        while (b->fd >= 0) listen_to(clients, 2);
        if (n_long && (a->done || a->first > 0)) break; /* the long one ended first */
        if (b->n_times == 0) die("the server", "an answer without text");
        firsts[got++] = b->first - b->sent;
    }
    hang_up(a);
    if (got == 0) die("beside", "the long prompt ended too early: make it longer");
    double worst = quantile(firsts, got, 1), first = quantile(firsts, got, 0.5);
    print("first", first);
    print("worst", worst);
    print("times", (double)got);
    free(firsts);
}

static void test_prefix(Client *c, size_t n_shared, size_t n_own) {
    for (int i = 0; i < 2; i++) {
        ask(c, 0, n_shared, 1 + (uint64_t)i, n_own, 1);
        while (listen_to(c, 1)) {
        }
        if (c->n_times == 0) die("the server", "an answer without text");
        print(i ? "second" : "first", c->first - c->sent);
        print(i ? "second_ran" : "first_ran", (double)(c->n_prompt - c->n_cached));
    }
}

/* ---- The command line */

static size_t count(const char *word) {
    char *end;
    unsigned long long v = word ? strtoull(word, &end, 10) : 0;
    if (!word || !*word || *end || v > 1000000) die("usage", "see the head of bench/serve_clients.c");
    return (size_t)v;
}

static void find_server(char *where) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char *colon = strrchr(where, ':');
    if (!colon) die(where, "expected HOST:PORT");
    *colon = '\0';
    host = where;
    int rc = getaddrinfo(where, colon + 1, &hints, &server);
    if (rc) die(where, gai_strerror(rc));
}

int main(int argc, char **argv) {
    static Client clients[CLIENTS_MOST];
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--vocab") == 0)
            vocab = (unsigned)count(argv[at + 1]);
        else if (strcmp(argv[at], "--seed") == 0)
            seed = count(argv[at + 1]);
        else
            die(argv[at], "is not known");
    }
    if (argc < at + 4 || vocab < 4) die("usage", "see the head of bench/serve_clients.c");
    find_server(argv[at]);
    const char *test = argv[at + 1];
    for (const char *c = test; *c; c++)
        seed = seed * 31 + (unsigned char)*c; /* no two tests share a prompt */
    size_t a = count(argv[at + 2]), b = count(argv[at + 3]), c = argc > at + 4 ? count(argv[at + 4]) : 0;
    if (strcmp(test, "load") == 0 && a > 0 && a <= CLIENTS_MOST && c > 0)
        test_load(clients, a, b, c);
    else if (strcmp(test, "beside") == 0 && a > 0 && c > 0)
        test_beside(clients, a, b, c);
    else if (strcmp(test, "alone") == 0 && b > 0)
        test_beside(clients, 0, a, b);
    else if (strcmp(test, "prefix") == 0)
        test_prefix(clients, a, b);
    else
        die(test, "is no test, or its numbers are wrong");
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    print("processor", (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec));
    return 0;
}
