/* The engine: the one thread that steps models.
 *
 * It goes round: takes what was submitted; ends calls whose client hung up or whose time is over; gives free slots to
 * choices that wait; steps each model that has sequences once; passes on what came out; makes vectors of a few texts.
 * Nothing of this waits for a client: what it does not read stays in the call's output, which the context bounds.
 *
 * Whose turn it is: of the clients that wait, the one that got a slot the longest ago, and of its calls the oldest. A client
 * is a key or, without keys, an address. So one that asks for much waits for itself alone.
 *
 * Where there are several models, each steps once a round, and they come and go (serve_models.h). With nothing to step, the
 * engine sleeps until something is submitted or loaded.
 *
 * Hang-ups: the library does not watch a connection that is suspended, so the engine polls the descriptors of all calls, in
 * one system call a round and without waiting. It does so under the lock, where a call that is not `gone` owns its
 * descriptor. A client that closes its sending side counts as one that hung up; if it still reads, it reads so. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"

enum { TURNS_MOST = 4096 };

/* ---- Submitting, on the web thread */

bool tn_engine_submit(TnCall *call) {
    TnServer *server = call->server;
    pthread_mutex_lock(&server->lock);
    bool full = tn_models_full(server, call->plan.model), draining = server->draining;
    bool loaded = tn_model_of(server, call->plan.model)->state == TN_MODEL_LOADED;
    if (full && !draining) server->metrics.requests_refused_total++;
    if (!full && !draining) {
        call->submitted = true;
        call->refs++;
        *server->inbox_end = call;
        server->inbox_end = &call->next;
        server->n_queued++;
        tn_model_of(server, call->plan.model)->n_queued++;
        pthread_cond_signal(&server->work);
    }
    pthread_mutex_unlock(&server->lock);
    if (!full && !draining) return true;
    tn_call_header(call, "Retry-After", draining ? "5" : "1");
    if (draining) return tn_call_refuse(call, 503, "draining", NULL, "the server is about to end");
    return tn_call_refuse(call, 429, "queue_full", NULL,
                          "%s and %u requests wait for a slot, expected at most that",
                          loaded ? "all slots are taken" : "the model is not loaded", server->o->queue);
}

/* ---- Ends of calls */

/* What all generators have counted, for /metrics. */
void tn_engine_take_counts(TnServer *server) {
    TnMetrics sum = server->retired;
    for (size_t i = 0; i < server->o->n_models; i++) {
        TernGeneratorCounts c = {.size = sizeof c};
        const TernGenerator *g = server->models[i].generator;
        if (g && tern_generator_counts(g, &c, NULL) == TERN_OK) tn_metrics_add(&sum, &c);
    }
    pthread_mutex_lock(&server->lock);
    tn_metrics_replace(&server->metrics, &sum);
    pthread_mutex_unlock(&server->lock);
}

/* Its cache is gone, what it has done is not. */
void tn_engine_retire(TnServer *server, const TnModel *model) {
    TernGeneratorCounts c = {.size = sizeof c};
    if (!model->generator || tern_generator_counts(model->generator, &c, NULL) != TERN_OK) return;
    c.stored = c.pages = c.pages_free = c.pages_shared = 0;
    tn_metrics_add(&server->retired, &c);
}

static void free_slot(TnServer *server, TnChoice *c) {
    tern_sequence_destroy(c->sequence);
    c->sequence = NULL;
    tn_engine_take_counts(server);
    pthread_mutex_lock(&server->lock);
    server->views[c->slot].busy = false;
    pthread_mutex_unlock(&server->lock);
}

/* Takes the call out of the list, and counts it: before its answer is complete, so that whoever has the answer finds it counted. What
 * is left to do is to complete it, and to release it. */
static void leave(TnServer *server, TnCall *call) {
    TnCall **at = &server->calls;
    if (server->embedding == call) {
        tern_embed_end(tn_model_of(server, call->plan.model)->embedder);
        server->embedding = NULL;
    }
    for (size_t i = 0; i < call->n_choices; i++)
        if (call->choices[i].sequence) free_slot(server, &call->choices[i]);
    while (*at != call) at = &(*at)->next;
    *at = call->next;
    bool begun = tn_call_has_begun(call);
    if (begun) tn_model_used(server, call->plan.model);
    pthread_mutex_lock(&server->lock);
    (*(begun ? &server->n_running : &server->n_queued))--;
    tn_model_of(server, call->plan.model)->n_queued -= !begun;
    tn_metrics_seconds(&server->metrics.request_seconds, tn_os_seconds() - call->begun);
    pthread_mutex_unlock(&server->lock);
}

static unsigned status_of(TernStatus st) {
    return st == TERN_ERR_INPUT || st == TERN_ERR_UNSUPPORTED ? 400 : st == TERN_ERR_MEMORY ? 503 : 500;
}

static void fail_call(TnServer *server, TnCall *call, TernStatus st, const TernError *err) {
    leave(server, call);
    tn_call_fail(call, status_of(st), status_of(st) == 400 ? "invalid_value" : "engine_error", "%s",
                 err->text);
    tn_call_release(call);
}

static void finish_call(TnServer *server, TnCall *call) {
    call->plan.shape->finish(call, &call->making);
    leave(server, call);
    tn_call_put(call, &call->making);
    tn_call_complete(call, 200, "application/json");
    tn_call_release(call);
}

/* ---- Choices */

static double now_since(double then) {
    return tn_os_seconds() - then;
}

static int on_piece(void *user, const TernPiece *piece) {
    TnChoice *c = user;
    TnCall *call = c->call;
    TnMetrics *m = &call->server->metrics;
    double now = tn_os_seconds();
    pthread_mutex_lock(&call->server->lock);
    if (c->last > 0)
        tn_metrics_seconds(&m->time_per_token_seconds, now - c->last);
    else if (!call->first_out) /* later choices of a call may have waited for its first ones */
        tn_metrics_seconds(&m->time_to_first_token_seconds, now - call->begun);
    m->tokens_predicted_total += piece->id != TERN_NO_TOKEN;
    pthread_mutex_unlock(&call->server->lock);
    c->last = now;
    call->first_out = true;
    tn_odds_add(c, piece);
    tn_buf_put(&c->text, piece->text, piece->size);
    if (call->plan.stream && call->plan.shape->piece && piece->size)
        call->plan.shape->piece(call, (size_t)(c - call->choices), piece, &c->events);
    return 0;
}

static TernStatus make_sequence(TnCall *call, TnChoice *c, TernError *err) {
    const TnPlan *plan = &call->plan;
    TernSamplerOptions sampler = plan->sampler;
    TernRequest r = TERN_REQUEST;
    sampler.seed = c->seed;
    r.ids = c->ids;
    r.n_ids = c->n_ids;
    r.max_tokens = plan->max_tokens > 0 ? (uint32_t)plan->max_tokens : 0;
    r.draft_max = call->server->o->draft_max;
    r.ignore_eog = plan->ignore_eos;
    r.stops = plan->stops;
    r.n_stops = plan->n_stops;
    r.sampler = &sampler;
    r.grammar = plan->grammar;
    r.logprobs = plan->logprobs;
    return tern_sequence_create(tn_model_of(call->server, plan->model)->generator, &r, on_piece, c,
                                &c->sequence, err);
}

static void mark_begun(TnServer *server, TnCall *call) {
    tn_model_used(server, call->plan.model);
    pthread_mutex_lock(&server->lock);
    server->n_queued--;
    tn_model_of(server, call->plan.model)->n_queued--;
    server->n_running++;
    tn_metrics_seconds(&server->metrics.queue_seconds, now_since(call->begun));
    pthread_mutex_unlock(&server->lock);
}

/* Begins the next choice of a call, in a slot that is free. */
static void begin_choice(TnServer *server, TnCall *call, size_t slot) {
    TnChoice *c = &call->choices[call->n_started];
    TernError err = {0};
    TernStatus st = make_sequence(call, c, &err);
    if (st != TERN_OK) {
        fail_call(server, call, st, &err);
        return;
    }
    c->slot = (uint32_t)slot;
    pthread_mutex_lock(&server->lock);
    TnSlotView *view = &server->views[slot];
    view->busy = true;
    memcpy(view->call, call->id, sizeof view->call);
    view->got = (TernGenerated){.n_prompt = c->n_ids};
    pthread_mutex_unlock(&server->lock);
    if (call->plan.stream && call->plan.shape->begin)
        call->plan.shape->begin(call, call->n_started, &c->events);
    if (call->n_started++ == 0) mark_begun(server, call);
}

static void count_end(TnServer *server, const TernGenerated *g) {
    TnMetrics *m = &server->metrics;
    double n = (double)(g->n_prompt + g->n_out);
    pthread_mutex_lock(&server->lock);
    m->prompt_seconds_total += g->prompt_seconds;
    m->tokens_predicted_seconds_total += g->decode_seconds;
    if (n > m->n_tokens_max) m->n_tokens_max = n;
    pthread_mutex_unlock(&server->lock);
}

/* Looks at a choice after a step. False: the call failed and is gone. */
static bool look_at(TnServer *server, TnCall *call, TnChoice *c) {
    TernError err = {0};
    c->got = (TernGenerated){.size = sizeof c->got};
    TernStatus st = tern_sequence_get(c->sequence, &c->got, &err);
    if (st == TERN_OK) st = tern_sequence_status(c->sequence, &err);
    if (st != TERN_OK) {
        fail_call(server, call, st, &err);
        return false;
    }
    pthread_mutex_lock(&server->lock);
    server->views[c->slot].got = c->got;
    pthread_mutex_unlock(&server->lock);
    if (c->got.end == TERN_END_NOT) return true;
    free_slot(server, c);
    count_end(server, &c->got);
    c->ended = true;
    call->n_ended++;
    if (call->plan.stream && call->plan.shape->end)
        call->plan.shape->end(call, (size_t)(c - call->choices), &c->events);
    return true;
}

/* Events go out a choice after the other. */
static void pass_on(TnCall *call) {
    while (call->front < call->n_choices) {
        TnChoice *c = &call->choices[call->front];
        tn_call_put(call, &c->events);
        if (!c->ended) return;
        call->front++;
    }
}

static void settle_call(TnServer *server, TnCall *call) {
    for (size_t i = 0; i < call->n_started; i++)
        if (call->choices[i].sequence && !look_at(server, call, &call->choices[i])) return;
    if (call->plan.stream) pass_on(call);
    if (call->n_ended < call->n_choices) return;
    finish_call(server, call);
}

/* ---- Turns */

static TnTurn *turn_of(TnServer *server, const char *client) {
    for (size_t i = 0; i < server->n_turns; i++)
        if (strcmp(server->turns[i].client, client) == 0) return &server->turns[i];
    if (server->n_turns == TURNS_MOST) server->n_turns = 0; /* all are new again */
    TnTurn turn = {.turn = 0};
    memcpy(turn.client, client, sizeof turn.client);
    TN_PUSH(server->turns, server->n_turns, server->cap_turns, turn);
    return &server->turns[server->n_turns - 1];
}

/* Whether the call waits for a slot of the model, and may have one; NULL: for vectors. */
static bool waits(const TnServer *server, const TnCall *call, const TnServeModel *model) {
    if (!tn_model_takes(server, call)) return false;
    if (!model || call->embed.texts) return !model && call->embed.texts;
    return call->plan.model == model && call->n_started < call->n_choices;
}

static TnCall *next_call(TnServer *server, const TnServeModel *model) {
    TnCall *best = NULL;
    uint64_t least = UINT64_MAX;
    for (TnCall *call = server->calls; call; call = call->next) {
        if (!waits(server, call, model)) continue;
        uint64_t turn = turn_of(server, call->client)->turn;
        if (turn >= least) continue;
        least = turn;
        best = call;
    }
    return best;
}

static void admit(TnServer *server) {
    for (size_t i = 0; i < server->n_views; i++) {
        if (server->views[i].busy) continue; /* only this thread writes it */
        TnCall *call = next_call(server, server->views[i].model);
        if (!call) continue;
        turn_of(server, call->client)->turn = ++server->turn;
        begin_choice(server, call, i);
    }
    if (!server->calls) server->n_turns = 0;
}

/* ---- Vectors: as many texts as run side by side, of one call, a step a round. While answers are made, a step is as long as a
 * prompt may keep them waiting. */

enum { ROWS_FIRST = 16 }; /* of a step before it is known how long rows take, and the least later */

static bool answers_run(const TnServer *server) {
    for (size_t i = 0; i < server->o->n_models; i++) {
        const TernGenerator *g = server->models[i].generator;
        if (g && tern_generator_running(g)) return true;
    }
    return false;
}

/* The rows of the model's next step, at most those that fit; 0: as many as fit. */
static size_t rows_of_step(const TnServer *server, const TnModel *m) {
    if (server->o->max_pause <= 0 || !answers_run(server)) return 0;
    double n = m->row_seconds > 0 ? server->o->max_pause / m->row_seconds : 0;
    size_t most = m->served->info.max_rows, least = most < ROWS_FIRST ? most : ROWS_FIRST;
    return n < (double)least ? least : n < (double)most ? (size_t)n : most;
}

static TnCall *begin_vectors(TnServer *server) {
    TnCall *call = next_call(server, NULL);
    TernError err = {0};
    if (!call) return NULL;
    turn_of(server, call->client)->turn = ++server->turn;
    const TnServeModel *model = call->plan.model;
    TnEmbedPlan *e = &call->embed;
    e->n_chunk = e->n - e->done < model->embed_slots ? e->n - e->done : model->embed_slots;
    TernStatus st = tern_embed_begin(tn_model_of(server, model)->embedder, e->texts + e->done, e->n_chunk,
                                     call->plan.shape->vector, call, &err);
    if (st == TERN_OK) return server->embedding = call;
    fail_call(server, call, st, &err);
    return NULL;
}

static void end_vectors(TnServer *server, TnCall *call) {
    TnEmbedPlan *e = &call->embed;
    bool first = e->done == 0;
    tern_embed_end(tn_model_of(server, call->plan.model)->embedder);
    server->embedding = NULL;
    e->done += e->n_chunk;
    if (first) mark_begun(server, call);
    pthread_mutex_lock(&server->lock);
    server->metrics.embeddings_total += (double)e->n_chunk;
    pthread_mutex_unlock(&server->lock);
    if (e->done < e->n) return;
    finish_call(server, call);
}

static void embed_some(TnServer *server) {
    TnCall *call = server->embedding ? server->embedding : begin_vectors(server);
    TernError err = {0};
    int more;
    if (!call) return;
    TnModel *m = tn_model_of(server, call->plan.model);
    size_t rows = rows_of_step(server, m);
    double begun = tn_os_seconds();
    TernStatus st = tern_embed_step(m->embedder, rows, &more, &err);
    double seconds = now_since(begun);
    if (rows && more) /* so the step had them all */
        m->row_seconds = (m->row_seconds + seconds / (double)rows) / (m->row_seconds > 0 ? 2 : 1);
    pthread_mutex_lock(&server->lock);
    server->metrics.embedding_steps_total++;
    pthread_mutex_unlock(&server->lock);
    if (st != TERN_OK)
        fail_call(server, call, st, &err);
    else if (!more)
        end_vectors(server, call);
}

/* ---- The round */

static void take_inbox(TnServer *server) {
    TnCall **end = &server->calls;
    while (*end) end = &(*end)->next;
    pthread_mutex_lock(&server->lock);
    *end = server->inbox;
    server->inbox = NULL;
    server->inbox_end = &server->inbox;
    pthread_mutex_unlock(&server->lock);
}

/* Marks the calls whose clients hung up. */
static void find_gone(TnServer *server) {
    size_t n = 0;
    for (TnCall *call = server->calls; call; call = call->next) n++;
    if (n == 0) return;
    struct pollfd *fds = tn_xcalloc(n, sizeof *fds);
    pthread_mutex_lock(&server->lock);
    TnCall *call = server->calls;
    for (size_t i = 0; i < n; i++, call = call->next)
        fds[i] = (struct pollfd){.fd = call->gone ? -1 : call->fd, .events = POLLRDHUP};
    if (poll(fds, n, 0) > 0) {
        call = server->calls;
        for (size_t i = 0; i < n; i++, call = call->next)
            if (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) call->hung_up = true;
    }
    pthread_mutex_unlock(&server->lock);
    free(fds);
}

static void end_some(TnServer *server) {
    double most = server->o->deadline;
    find_gone(server);
    for (TnCall *call = server->calls, *next; call; call = next) {
        next = call->next;
        pthread_mutex_lock(&server->lock);
        bool gone = call->gone || call->hung_up, late = !gone && now_since(call->begun) > most;
        server->metrics.requests_hung_up_total += gone;
        server->metrics.requests_late_total += late;
        pthread_mutex_unlock(&server->lock);
        if (!late && !gone) continue;
        leave(server, call);
        if (late)
            tn_call_fail(call, 504, "deadline", "the answer took longer than %g seconds, the server's limit",
                         most);
        else
            tn_call_fail(call, 499, "client_closed", "the client closed its side of the connection");
        tn_call_release(call);
    }
}

static void fail_model(TnServer *server, const TnServeModel *model, TernStatus st, const TernError *err) {
    for (TnCall *call = server->calls, *next; call; call = next) {
        next = call->next;
        if (call->plan.model == model && !call->embed.texts && call->n_started)
            fail_call(server, call, st, err);
    }
}

void tn_engine_fail_model(TnServer *server, const TnServeModel *model, unsigned status, const char *code,
                          const TernError *err) {
    for (TnCall *call = server->calls, *next; call; call = next) {
        next = call->next;
        if (call->plan.model != model) continue;
        leave(server, call);
        tn_call_fail(call, status, code, "the model '%.80s' cannot be loaded: %s", model->name, err->text);
        tn_call_release(call);
    }
}

static void step_model(TnServer *server, const TnModel *m) {
    TernError err = {0};
    size_t n = m->generator ? tern_generator_running(m->generator) : 0;
    if (n == 0) return;
    TernStatus st = tern_generator_step(m->generator, &err);
    if (st != TERN_OK) fail_model(server, m->served, st, &err);
}

static void round_trip(TnServer *server) {
    end_some(server);
    tn_models_tend(server);
    admit(server);
    for (size_t i = 0; i < server->o->n_models; i++) step_model(server, &server->models[i]);
    tn_engine_take_counts(server);
    for (TnCall *call = server->calls, *next; call; call = next) {
        next = call->next;
        if (!call->embed.texts) settle_call(server, call);
    }
    embed_some(server);
}

/* Whether not all calls wait for models that are not loaded. */
static bool may_go_on(const TnServer *server) {
    for (const TnCall *call = server->calls; call; call = call->next)
        if (tn_model_takes(server, call)) return true;
    return false;
}

/* Waits for work, a tenth of a second at most: `ending` is asked in between. */
static void wait_for_work(TnServer *server) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&server->lock);
    if (!server->inbox && !server->loading.done) pthread_cond_timedwait(&server->work, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
}

static void begin_drain(TnServer *server) {
    pthread_mutex_lock(&server->lock);
    server->draining = true;
    pthread_mutex_unlock(&server->lock);
}

void tn_engine_run(TnServer *server) {
    bool ending = false;
    for (;;) {
        if (!ending && server->o->ending()) {
            begin_drain(server);
            ending = true;
        }
        bool more = !server->feed || server->feed(server);
        take_inbox(server);
        if (server->calls) {
            round_trip(server);
            if (server->calls && !may_go_on(server)) wait_for_work(server);
        } else if (ending || !more) {
            return;
        } else {
            tn_models_tend(server); /* some may have been idle for long */
            wait_for_work(server);
        }
    }
}
