/* The loader thread. */
#include "frontends/serve/loading.h"
#include "frontends/serve/serve.h"

/* A failure leaves nothing behind, so that the next request may try again. */
static void work(const TnServeLoader *l, TnLoad *load) {
    double begun = tn_os_seconds();
    if (load->job == TN_LOAD_OPEN) load->status = l->open(l->user, load->model, &load->bytes, &load->error);
    if (load->job == TN_LOAD_MAKE)
        load->status =
            l->make(l->user, load->model, &load->bytes, &load->generator, &load->embedder, &load->error);
    if (load->job == TN_LOAD_CLOSE || load->status != TERN_OK) l->close(l->user, load->model);
    load->seconds = tn_os_seconds() - begun;
}

static void *run(void *user) {
    TnServer *server = user;
    TnLoading *t = &server->loading;
    pthread_mutex_lock(&server->lock);
    for (;;) {
        while (!t->ending && (t->now.job == TN_LOAD_NONE || t->done))
            pthread_cond_wait(&t->given, &server->lock);
        if (t->ending) break;
        TnLoad load = t->now;
        pthread_mutex_unlock(&server->lock);
        work(server->o->loader, &load);
        pthread_mutex_lock(&server->lock);
        t->now = load;
        t->done = true;
        pthread_cond_signal(&server->work);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

TernStatus tn_loading_start(TnServer *server, TernError *err) {
    TnLoading *t = &server->loading;
    if (!server->o->loader) return TERN_OK;
    pthread_cond_init(&t->given, NULL);
    t->started = pthread_create(&t->thread, NULL, run, server) == 0;
    if (t->started) return TERN_OK;
    pthread_cond_destroy(&t->given);
    return tn_fail(err, TERN_ERR_ENV, "no thread could be started that loads models");
}

void tn_loading_stop(TnServer *server) {
    TnLoading *t = &server->loading;
    if (!t->started) return;
    pthread_mutex_lock(&server->lock);
    t->ending = true;
    pthread_cond_signal(&t->given);
    pthread_mutex_unlock(&server->lock);
    server->o->loader->cancel(server->o->loader->user);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->given);
    t->started = false;
}

bool tn_loading_busy(TnServer *server) {
    pthread_mutex_lock(&server->lock);
    bool busy = server->loading.now.job != TN_LOAD_NONE;
    pthread_mutex_unlock(&server->lock);
    return busy;
}

void tn_loading_give(TnServer *server, TnLoadJob job, size_t model) {
    pthread_mutex_lock(&server->lock);
    TN_CHECK(server->loading.now.job == TN_LOAD_NONE && !server->loading.done);
    server->loading.now = (TnLoad){.job = job, .model = model};
    pthread_cond_signal(&server->loading.given);
    pthread_mutex_unlock(&server->lock);
}

bool tn_loading_take(TnServer *server, TnLoad *out) {
    pthread_mutex_lock(&server->lock);
    bool done = server->loading.done;
    if (done) {
        *out = server->loading.now;
        server->loading.now = (TnLoad){.job = TN_LOAD_NONE};
        server->loading.done = false;
    }
    pthread_mutex_unlock(&server->lock);
    return done;
}
