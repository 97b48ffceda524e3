/* Which models are loaded, which are to be, and which must go. */
#include "frontends/serve/serve_models.h"
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"

#define MB(bytes) ((double)(bytes) / 1e6)

void tn_models_open(TnServer *server) {
    const TnServeOptions *o = server->o;
    server->models = tn_xcalloc(o->n_models, sizeof *server->models);
    for (size_t i = 0; i < o->n_models; i++) {
        const TnServeModel *m = &o->models[i];
        bool loaded = m->generator || m->embedder;
        server->models[i] = (TnModel){.served = m,
                                      .generator = m->generator,
                                      .embedder = m->embedder,
                                      .used = tn_os_seconds(),
                                      .state = loaded ? TN_MODEL_LOADED : TN_MODEL_UNLOADED,
                                      .bytes = m->bytes,
                                      .n_loads = loaded};
    }
}

TnModel *tn_model_of(const TnServer *server, const TnServeModel *served) {
    return &server->models[served - server->o->models];
}

const char *tn_model_state_name(TnModelState state) {
    static const char *const names[] = {"unloaded", "loading", "loaded", "unloading"};
    return names[state];
}

/* A call that has not begun may be one that a free slot is for; of a model that is not loaded all slots are free. */
bool tn_models_full(const TnServer *server, const TnServeModel *served) {
    size_t n_over = 0;
    for (size_t i = 0; i < server->o->n_models; i++) {
        const TnModel *m = &server->models[i];
        size_t n_free = 0, n = m->n_queued + (m->served == served);
        for (size_t k = 0; k < server->n_views; k++)
            n_free += server->views[k].model == m->served && !server->views[k].busy;
        if (m->served == served && n <= n_free) return false;
        n_over += n > n_free ? n - n_free : 0;
    }
    return n_over > server->o->queue;
}

bool tn_model_takes(const TnServer *server, const TnCall *call) {
    const TnModel *m = tn_model_of(server, call->plan.model);
    if (m->state != TN_MODEL_LOADED) return false; /* only this thread writes it */
    bool begun = tn_call_has_begun(call) || call == server->embedding;
    return !m->drains || begun || call->begun <= server->since;
}

void tn_model_used(TnServer *server, const TnServeModel *served) {
    tn_model_of(server, served)->used = tn_os_seconds();
}

static void set_state(TnServer *server, TnModel *m, TnModelState state) {
    pthread_mutex_lock(&server->lock);
    m->state = state;
    pthread_mutex_unlock(&server->lock);
}

static void give(TnServer *server, TnLoadJob job, const TnModel *m) {
    tn_loading_give(server, job, (size_t)(m - server->models));
}

/* ---- Unloading */

static void unload(TnServer *server, TnModel *m) {
    tn_engine_retire(server, m);
    m->generator = NULL;
    m->embedder = NULL;
    tn_engine_take_counts(server);
    pthread_mutex_lock(&server->lock);
    m->state = TN_MODEL_UNLOADING;
    m->n_unloads++;
    pthread_mutex_unlock(&server->lock);
    give(server, TN_LOAD_CLOSE, m);
}

/* Whether the model has nothing to do but calls that came after `since`. */
static bool is_idle(const TnServer *server, const TnModel *m, double since) {
    for (const TnCall *call = server->calls; call; call = call->next)
        if (call->plan.model == m->served &&
            (tn_call_has_begun(call) || call == server->embedding || call->begun <= since))
            return false;
    return true;
}

/* The loaded model that was used least recently, of those that are idle or, with busy, do not drain yet. */
static TnModel *least_used(const TnServer *server, double since, bool busy) {
    TnModel *best = NULL;
    for (size_t i = 0; i < server->o->n_models; i++) {
        TnModel *m = &server->models[i];
        if (m->state != TN_MODEL_LOADED || (busy ? m->drains : !is_idle(server, m, since))) continue;
        if (!best || m->used < best->used) best = m;
    }
    return best;
}

static void unload_aged(TnServer *server) {
    double most = server->o->loader->idle, now = tn_os_seconds();
    TnModel *m = most > 0 ? least_used(server, now, false) : NULL;
    if (m && now - m->used > most) unload(server, m);
}

/* ---- Loading */

static const TnCall *first_call(const TnServer *server, const TnModel *m) {
    const TnCall *call = server->calls;
    while (call && call->plan.model != m->served) call = call->next;
    return call;
}

/* The model that is not loaded whose first call came before those of the others; NULL: nobody waits for one. */
static TnModel *next_wanted(const TnServer *server) {
    for (const TnCall *call = server->calls; call; call = call->next) {
        TnModel *m = tn_model_of(server, call->plan.model);
        if (m->state == TN_MODEL_UNLOADED) return m;
    }
    return NULL;
}

static void end_draining(TnServer *server) {
    for (size_t i = 0; i < server->o->n_models; i++) server->models[i].drains = false;
}

static void end_wanting(TnServer *server) {
    server->wanted->opened = false;
    server->wanted = NULL;
    end_draining(server);
}

/* Nobody waits for the model any more, or it is too large. */
static void give_up(TnServer *server) {
    TnModel *m = server->wanted;
    bool opened = m->opened;
    end_wanting(server);
    if (!opened) return;
    set_state(server, m, TN_MODEL_UNLOADING);
    give(server, TN_LOAD_CLOSE, m);
}

static uint64_t bytes_of_loaded(const TnServer *server) {
    uint64_t sum = 0;
    for (size_t i = 0; i < server->o->n_models; i++)
        if (server->models[i].state == TN_MODEL_LOADED) sum += server->models[i].bytes;
    return sum;
}

/* Unloads one model, or if none can be yet, lets as many end their work as have to go. `over`: bytes that are to become free. */
static void make_room(TnServer *server, uint64_t over) {
    TnModel *idle = least_used(server, server->since, false), *m;
    uint64_t sum = 0;
    if (idle) {
        unload(server, idle);
        return;
    }
    for (size_t i = 0; i < server->o->n_models; i++)
        if (server->models[i].drains) sum += server->models[i].bytes;
    while (sum < over && (m = least_used(server, 0, true))) {
        m->drains = true;
        sum += m->bytes;
    }
}

static void refuse_size(TnServer *server, const TnModel *m, uint64_t limit) {
    TernError err;
    tn_fail(&err, TERN_ERR_MEMORY,
            "needs %.1f MB of memory for weights, code and caches, expected at most the limit, %.1f MB",
            MB(m->bytes), MB(limit));
    tn_engine_fail_model(server, m->served, 503, "model_too_large", &err);
}

/* What was opened is made if it fits, also when its clients have gone: else a model that takes longer to compile than they wait
 * would never be loaded. A model of another file is refused, so one that was found too large stays it. */
static void go_on(TnServer *server) {
    TnModel *m = server->wanted;
    const TnCall *call = first_call(server, m);
    uint64_t limit = server->o->loader->limit, has = bytes_of_loaded(server);
    if (limit && m->bytes > limit) {
        refuse_size(server, m, limit);
        give_up(server);
    } else if (m->opened && (!limit || has + m->bytes <= limit)) {
        end_draining(server); /* the room is there */
        give(server, TN_LOAD_MAKE, m);
    } else if (!call) {
        give_up(server);
    } else if (!m->opened) {
        set_state(server, m, TN_MODEL_LOADING);
        give(server, TN_LOAD_OPEN, m);
    } else {
        server->since = call->begun;
        make_room(server, has + m->bytes - limit);
    }
}

/* ---- What the loader has done */

static void take_failure(TnServer *server, TnModel *m, const TnLoad *load) {
    pthread_mutex_lock(&server->lock);
    m->n_failures++;
    m->state = TN_MODEL_UNLOADED;
    pthread_mutex_unlock(&server->lock);
    tn_engine_fail_model(server, m->served, load->status == TERN_ERR_MEMORY ? 503 : 500, "model_not_loaded",
                         &load->error);
    end_wanting(server);
}

static void take_made(TnServer *server, TnModel *m, const TnLoad *load) {
    m->generator = load->generator;
    m->embedder = load->embedder;
    m->used = tn_os_seconds();
    pthread_mutex_lock(&server->lock);
    m->n_loads++;
    m->state = TN_MODEL_LOADED;
    pthread_mutex_unlock(&server->lock);
    end_wanting(server);
    tn_engine_take_counts(server);
}

static void take(TnServer *server, const TnLoad *load) {
    TnModel *m = &server->models[load->model];
    pthread_mutex_lock(&server->lock);
    if (load->job != TN_LOAD_CLOSE) m->load_seconds += load->seconds;
    if (load->job != TN_LOAD_CLOSE && load->status == TERN_OK) m->bytes = load->bytes;
    if (load->job == TN_LOAD_CLOSE) m->state = TN_MODEL_UNLOADED;
    pthread_mutex_unlock(&server->lock);
    if (load->status != TERN_OK)
        take_failure(server, m, load);
    else if (load->job == TN_LOAD_OPEN)
        m->opened = true;
    else if (load->job == TN_LOAD_MAKE && (load->generator || load->embedder))
        take_made(server, m, load);
}

void tn_models_tend(TnServer *server) {
    TnLoad load;
    if (!server->o->loader) return;
    if (tn_loading_take(server, &load)) take(server, &load);
    if (tn_loading_busy(server)) return;
    if (!server->wanted) server->wanted = next_wanted(server);
    if (server->wanted)
        go_on(server);
    else
        unload_aged(server);
}

/* ---- /metrics */

static void put_label(TnBuf *out, const char *name) {
    for (const char *p = name; *p; p++) {
        if (*p == '\\' || *p == '"') tn_buf_puts(out, "\\");
        tn_buf_put(out, *p == '\n' ? "\\n" : p, *p == '\n' ? 2 : 1);
    }
}

typedef struct Number {
    const char *name, *kind, *help;
    double (*of)(const TnModel *m);
} Number;

static double is_loaded(const TnModel *m) {
    return m->state == TN_MODEL_LOADED;
}
static double bytes(const TnModel *m) {
    return m->state == TN_MODEL_LOADED ? (double)m->bytes : 0;
}
static double queued(const TnModel *m) {
    return (double)m->n_queued;
}
static double loads(const TnModel *m) {
    return (double)m->n_loads;
}
static double unloads(const TnModel *m) {
    return (double)m->n_unloads;
}
static double failures(const TnModel *m) {
    return (double)m->n_failures;
}
static double seconds(const TnModel *m) {
    return m->load_seconds;
}

void tn_models_print(TnServer *server, TnBuf *out) {
    static const Number numbers[] = {
        {"model_loaded", "gauge", "1 if the model is loaded, else 0.", is_loaded},
        {"model_memory_bytes", "gauge", "Weights, code and caches of the model while it is loaded.", bytes},
        {"model_requests_deferred", "gauge", "Requests that wait for the model or for its slots.", queued},
        {"model_loads_total", "counter", "How often the model was loaded.", loads},
        {"model_unloads_total", "counter", "How often it was unloaded.", unloads},
        {"model_load_failures_total", "counter", "How often it could not be loaded.", failures},
        {"model_load_seconds_total", "counter", "Seconds that loading it took.", seconds},
    };
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < TN_COUNT(numbers); i++) {
        const Number *n = &numbers[i];
        tn_buf_printf(out, "# HELP tern_%s %s\n# TYPE tern_%s %s\n", n->name, n->help, n->name, n->kind);
        for (size_t k = 0; k < server->o->n_models; k++) {
            tn_buf_printf(out, "tern_%s{model=\"", n->name);
            put_label(out, server->models[k].served->name);
            tn_buf_printf(out, "\"} %.15g\n", n->of(&server->models[k]));
        }
    }
    pthread_mutex_unlock(&server->lock);
}
