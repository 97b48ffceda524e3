/* tern serve from its start to its end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/serve/serve.h"

/* Also of models that are not loaded. */
static void make_views(TnServer *server) {
    const TnServeOptions *o = server->o;
    for (size_t i = 0; i < o->n_models; i++)
        if (o->models[i].texts) server->n_views += o->models[i].slots;
    server->views = tn_xcalloc(server->n_views + 1, sizeof *server->views);
    size_t at = 0;
    for (size_t i = 0; i < o->n_models; i++)
        for (uint32_t k = 0; o->models[i].texts && k < o->models[i].slots; k++)
            server->views[at++].model = &o->models[i];
    server->metrics.slots = (double)server->n_views;
}

void tn_server_open(TnServer *server, const TnServeOptions *o) {
    pthread_condattr_t attr;
    *server = (TnServer){.o = o, .fd = -1};
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&server->work, &attr);
    pthread_condattr_destroy(&attr);
    server->inbox_end = &server->inbox;
    server->started = tn_os_seconds();
    server->instance = tn_os_random_seed();
    tn_models_open(server);
    make_views(server);
    tn_engine_take_counts(server); /* how many pages there are, for who asks before the first round */
}

void tn_server_close(TnServer *server) {
    if (server->o->unix_socket && server->fd >= 0) (void)unlink(server->o->unix_socket);
    tn_keys_free(server->keys);
    pthread_cond_destroy(&server->work);
    pthread_mutex_destroy(&server->lock);
    free(server->models);
    free(server->views);
    free(server->turns);
}

static TernStatus start_helpers(TnServer *server, TernError *err) {
    TN_TRY(tn_log_start(server, err));
    TN_TRY(tn_loading_start(server, err));
    return tn_http_start(server, err);
}

/* The calling thread may be bound to the processor of a pool's worker. A thread begins where the one that starts it may run. */
static TernStatus start_helpers_apart(TnServer *server, TernError *err) {
    const cpu_set_t *set = server->o->helpers;
    cpu_set_t mine;
    if (!set) return start_helpers(server, err);
    int bad = pthread_getaffinity_np(pthread_self(), sizeof mine, &mine);
    if (!bad) bad = pthread_setaffinity_np(pthread_self(), sizeof *set, set);
    if (bad)
        return tn_fail(err, TERN_ERR_ENV, "cannot choose processors for the server's own threads: %s",
                       strerror(bad));
    TernStatus st = start_helpers(server, err);
    (void)pthread_setaffinity_np(pthread_self(), sizeof mine, &mine); /* what it had cannot be refused */
    return st;
}

static TernStatus serve(TnServer *server, TernError *err) {
    const TnServeOptions *o = server->o;
    char address[400];
    if (o->keys_file) TN_TRY(tn_keys_read(o->keys_file, &server->keys, err));
    TN_TRY(tn_listen(o, &server->fd, address, sizeof address, err));
    TernStatus st = start_helpers_apart(server, err);
    if (st != TERN_OK) {
        tn_loading_stop(server);
        tn_log_stop(server);
        close(server->fd);
        return st;
    }
    if (o->listening) o->listening(o->user, address);
    tn_engine_run(server);
    tn_loading_stop(server);
    tn_http_stop(server); /* closes the socket */
    tn_log_stop(server);
    return TERN_OK;
}

TernStatus tn_serve(const TnServeOptions *options, TernError *err) {
    TnServer server;
    tn_server_open(&server, options);
    TernStatus st = serve(&server, err);
    tn_server_close(&server);
    return st;
}
