/* tern serve: models behind HTTP, in the shape of OpenAI's API (frontends/serve). */
#include <string.h>
#include "frontends/cli/cli.h"

#ifdef TERN_SERVE
#include "frontends/cli/serve_model.h"
#include "frontends/cli/systemd.h"
#include "runtime/base/escape.h"

#define MIB ((size_t)1 << 20)
enum { MODELS_MOST = 64 };

typedef struct ListenFlags {
    const char *host, *socket, *keys, *cors, *log_name;
    int64_t port, connections, queue, body;
    float deadline, idle;
    bool systemd;
    TnLog log;
} ListenFlags;

static void listening(void *user, const char *address) {
    const ServeModels *s = user;
    const char *plural = s->f->slots == 1 ? "" : "s";
    for (size_t i = 1; i < s->n; i++)
        fprintf(stderr, "tern: %s: loaded when it is asked for, %lld slot%s of %u positions\n",
                tn_shown(s->v[i].name).s, (long long)s->f->slots, plural, s->v[i].context);
    fprintf(stderr, "tern: %s at %s, %lld slot%s of %u positions\n", tn_shown(s->v[0].name).s, address,
            (long long)s->f->slots, plural, s->v[0].context);
    systemd_notify("READY=1");
    lines_may_be_lost(); /* from here on the lines of this thread are beside its work */
}

static bool draining(void) {
    static bool said;
    if (!signal_status()) return false;
    if (!said) systemd_notify("STOPPING=1");
    said = true;
    return true;
}

static int serve(ServeModels *s, const ListenFlags *f) {
    TernError err = {0};
    TnServeOptions o = serve_options(s);
    o.host = f->host;
    o.port = (uint32_t)f->port;
    o.unix_socket = f->socket;
    o.keys_file = f->keys;
    o.cors = f->cors;
    o.connections = (uint32_t)f->connections;
    o.queue = (uint32_t)f->queue;
    o.body_most = (size_t)f->body * MIB;
    o.body_seconds = (double)f->idle;
    o.deadline = (double)f->deadline;
    o.log = f->log;
    o.ending = draining;
    o.listening = listening;
    if (f->systemd && systemd_socket(&o.listen_fd, &err) != TERN_OK) return fail(&err);
    heed_signals(true);
    TernStatus st = tn_serve(&o, &err);
    heed_signals(false);
    return st == TERN_OK ? EXIT_OK : fail(&err);
}

static TnLog read_log(const Verb *verb, const char *name) {
    if (!name) return TN_LOG_NONE;
    if (strcmp(name, "text") == 0) return TN_LOG_TEXT;
    if (strcmp(name, "json") == 0) return TN_LOG_JSON;
    usage_error(verb, "--log: got '%s', expected text or json", name);
}

/* SCHEME://HOST with perhaps a port, as browsers write it. */
static void check_origin(const Verb *verb, const char *origin) {
    if (!origin || strcmp(origin, "*") == 0) return;
    const char *host = strstr(origin, "://");
    if (!host || host == origin || !host[3] || strpbrk(host + 3, "/ \t\r\n\"") || strchr(origin, ','))
        usage_error(verb, "--cors: got '%s', expected an origin such as https://example.org, or *", origin);
}

/* -m is the model if there are no words. */
static void take_model_flag(const Verb *verb, ServeFlags *f, const char **models, int *n) {
    const char *given = f->m.model;
    if (given && *n && (*n > 1 || strcmp(given, models[0]) != 0))
        usage_error(verb, "%s: got '%s' beside '%s', expected models as words or one by this flag",
                    flag_given(&f->m.model), given, models[0]);
    if (*n == 0) models[(*n)++] = given;
    f->m.model = models[0];
}

/* Returns how many models are named. */
static int read_flags(const Verb *verb, int argc, char **argv, ServeFlags *f, ListenFlags *l,
                      const char **models) {
    const Flag flags[] = {
        {"--host", "ADDRESS", FLAG_STR, &l->host, 0, 0, "the address to listen on (default: 127.0.0.1)"},
        {"--port", "N", FLAG_INT, &l->port, 0, 65535, "the port (default: 8080); 0: one that is free"},
        {"--socket", "FILE", FLAG_STR, &l->socket, 0, 0, "listen on a unix socket instead"},
        {"--systemd-socket", NULL, FLAG_BOOL, &l->systemd, 0, 0,
         "listen on the socket that systemd gives, from a .socket unit"},
        {"--api-key --api-key-file", "FILE", FLAG_STR, &l->keys, 0, 0,
         "a file of keys, one a line; requests must show one"},
        {"--cors", "ORIGIN", FLAG_STR, &l->cors, 0, 0,
         "the origin whose web pages may read answers, such as https://example.org; *: any (default: none)"},
        {"--queue", "N", FLAG_INT, &l->queue, 0, 100000, "requests that may wait for a slot (default: 64)"},
        {"--connections", "N", FLAG_INT, &l->connections, 1, 100000, "connections at once (default: 1000)"},
        {"--deadline", "SECONDS", FLAG_FLOAT, &l->deadline, 0.001, 1e6,
         "most seconds of a request, its wait included (default: 600)"},
        {"--idle", "SECONDS", FLAG_FLOAT, &l->idle, 1, 1e6,
         "most seconds in which a request must arrive, and in which nothing comes or goes (default: 60)"},
        {"--body-most", "MIB", FLAG_INT, &l->body, 1, 1024, "most MiB of a request's body (default: 4)"},
        {"--log", "text|json", FLAG_STR, &l->log_name, 0, 0,
         "a line on standard error for each request, without what was asked and answered"},
        {"--max-pause-ms", "N", FLAG_INT, &f->max_pause, 0, 3600000,
         "most milliseconds that a prompt of another keeps answers waiting at a time (default: 250); 0: no "
         "bound"},
        {"--idle-timeout", "SECONDS", FLAG_FLOAT, &f->idle, 0, 1e6,
         "unload a model that nobody has asked for so long; it is loaded again when it is asked for (0: "
         "never)"},
        SERVE_FLAGS(*f),
        FLAG_END,
    };
    int n_models;
    parse_args(verb, flags, argc, argv, models, MODELS_MOST, &n_models);
    take_model_flag(verb, f, models, &n_models);
    return n_models;
}

/* Refuses flags that do not go together. */
static void check_flags(const Verb *verb, ServeFlags *f, ListenFlags *l) {
    serve_check(verb, f);
    if (flag_given(&l->socket) && (flag_given(&l->host) || flag_given(&l->port)))
        usage_error(verb, "--socket excludes --host and --port");
    if (l->systemd && (flag_given(&l->socket) || flag_given(&l->host) || flag_given(&l->port)))
        usage_error(verb, "--systemd-socket excludes --host, --port and --socket");
    l->log = read_log(verb, l->log_name);
    check_origin(verb, l->cors);
}

static int check_paths(const Verb *verb, const ServeFlags *f, const ListenFlags *l, const char *const *models,
                       int n_models) {
    TnFileUse files[4 + MODELS_MOST] = {SERVE_FILES(*f),
                                        {"--api-key", l->keys, TN_FILE_IN},
                                        {"--socket", l->socket, TN_FILE_CACHE_MAYBE}}; /* no input */
    size_t n_files = 5;
    for (int i = 1; i < n_models; i++) files[n_files++] = (TnFileUse){"a model", models[i], TN_FILE_MODEL};
    return check_files(verb, files, n_files);
}

int verb_serve(const Verb *verb, int argc, char **argv) {
    ServeFlags f = SERVE_DEFAULTS;
    f.max_pause = 250;
    ListenFlags l = {.host = "127.0.0.1",
                     .port = 8080,
                     .connections = 1000,
                     .queue = 64,
                     .body = 4,
                     .deadline = 600,
                     .idle = 60};
    const char *models[MODELS_MOST] = {NULL};
    int n_models = read_flags(verb, argc, argv, &f, &l, models);
    check_flags(verb, &f, &l);
    ServeModels s = {.f = &f};
    int code = check_paths(verb, &f, &l, models, n_models);
    if (code == EXIT_OK) code = serve_open(verb, &f, models, (size_t)n_models, &s);
    if (code == EXIT_OK) code = serve(&s, &l);
    serve_close(&s);
    return code;
}

#endif
