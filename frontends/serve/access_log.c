/* A line for each request when its connection has let go of it, on standard error. Nothing of what was asked or answered is in
 * it: of a path only what the table of routes has.
 *
 * Who reads standard error may be slow, or stand still, and must hold up nobody: a thread of its own writes the lines. Lines that
 * wait take a bounded space; those that find none are lost and counted (metrics.def). At the end the thread gets a while to write
 * the rest. If it is still blocked in a write after that, nobody waits for it: it frees its memory when the write returns, or ends
 * with the process. (It is not cancelled: that would unwind its stack, which sanitizers do not notice.) */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "frontends/serve/serve.h"

enum { WAITING_MOST = 256 << 10, LAST_SECONDS = 2 };

struct TnLogWriter {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    TnBuf lines;   /* that wait; under the lock */
    TnBuf writing; /* the thread's */
    bool ending, busy;
    bool left; /* the thread is the only one that has this */
};

/* ---- The thread */

static void write_all(const TnBuf *b) {
    for (size_t at = 0; at < b->len;) {
        ssize_t n = write(STDERR_FILENO, b->data + at, b->len - at);
        if (n < 0 && errno == EAGAIN)
            (void)poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, -1);
        else if (n < 0 && errno != EINTR)
            return; /* nobody reads it any more */
        at += n > 0 ? (size_t)n : 0;
    }
}

static void end_writer(TnLogWriter *w) {
    tn_buf_free(&w->lines);
    tn_buf_free(&w->writing);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void *write_lines(void *user) {
    TnLogWriter *w = user;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        w->busy = false;
        if (!w->lines.len) pthread_cond_signal(&w->idle);
        while (!w->lines.len && !w->ending) pthread_cond_wait(&w->work, &w->lock);
        if (!w->lines.len) break;
        TnBuf next = w->lines;
        w->lines = w->writing;
        w->lines.len = 0;
        w->writing = next;
        w->busy = true;
        pthread_mutex_unlock(&w->lock);
        write_all(&w->writing);
        pthread_mutex_lock(&w->lock);
    }
    bool left = w->left;
    pthread_mutex_unlock(&w->lock);
    if (left) end_writer(w);
    return NULL;
}

TernStatus tn_log_start(TnServer *server, TernError *err) {
    pthread_condattr_t attr;
    if (server->o->log == TN_LOG_NONE) return TERN_OK;
    TnLogWriter *w = tn_xcalloc(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->idle, &attr);
    pthread_condattr_destroy(&attr);
    server->log = w;
    int bad = pthread_create(&w->thread, NULL, write_lines, w);
    if (!bad) return TERN_OK;
    server->log = NULL;
    free(w);
    return tn_fail(err, TERN_ERR_ENV, "no thread for the log: %s", strerror(bad));
}

void tn_log_stop(TnServer *server) {
    TnLogWriter *w = server->log;
    struct timespec until;
    if (!w) return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LAST_SECONDS;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_signal(&w->work);
    int late = 0;
    while (!late && (w->lines.len || w->busy)) late = pthread_cond_timedwait(&w->idle, &w->lock, &until);
    bool stands = w->lines.len || w->busy;
    if (stands) {
        w->lines.len = 0;
        w->left = true;
        (void)pthread_detach(w->thread);
    }
    pthread_mutex_unlock(&w->lock);
    server->log = NULL;
    if (stands) return;
    (void)pthread_join(w->thread, NULL);
    end_writer(w);
}

/* False: there is no room. */
static bool pass_line(TnLogWriter *w, const TnBuf *line) {
    pthread_mutex_lock(&w->lock);
    bool room = w->lines.len + line->len <= WAITING_MOST;
    if (room) tn_buf_put(&w->lines, line->data, line->len);
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    return room;
}

/* ---- A line */

static void put_time(TnBuf *out) {
    char text[40];
    struct tm tm;
    time_t now = time(NULL);
    if (gmtime_r(&now, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm)) tn_buf_puts(out, text);
}

/* What the engine counted; only of a call that is complete, which it does not touch any more. */
static void count(const TnCall *call, size_t *prompt, size_t *out) {
    *prompt = call->embed.n_ids;
    *out = 0;
    for (size_t i = 0; call->complete && i < call->n_choices; i++) {
        if (i == 0 || call->choices[i].ids != call->choices[i - 1].ids) *prompt += call->choices[i].n_ids;
        *out += call->choices[i].got.n_out;
    }
    if (!call->complete) *prompt = 0;
}

void tn_log_call(TnCall *call) {
    TnLog form = call->server->o->log;
    TnBuf line = {0};
    size_t prompt, made;
    if (form == TN_LOG_NONE) return;
    pthread_mutex_lock(&call->server->lock);
    unsigned status = call->status;
    count(call, &prompt, &made);
    pthread_mutex_unlock(&call->server->lock);
    const char *method = call->route ? call->route->method : "-",
               *path = call->route ? call->route->path : "-";
    double seconds = tn_os_seconds() - call->begun;
    if (form == TN_LOG_JSON) tn_buf_puts(&line, "{\"time\": \"");
    put_time(&line);
    if (form == TN_LOG_JSON)
        tn_buf_printf(&line,
                      "\", \"client\": \"%s\", \"method\": \"%s\", \"path\": \"%s\", \"status\": %u, "
                      "\"seconds\": %.4f, "
                      "\"prompt_tokens\": %zu, \"completion_tokens\": %zu, \"request\": \"%s\"}\n",
                      call->client, method, path, status, seconds, prompt, made, call->id);
    else
        tn_buf_printf(&line, " %s %s %s %u %.4f %zu %zu %s\n", call->client, method, path, status, seconds,
                      prompt, made, call->id);
    if (!pass_line(call->server->log, &line)) {
        pthread_mutex_lock(&call->server->lock);
        call->server->metrics.log_lines_lost_total++;
        pthread_mutex_unlock(&call->server->lock);
    }
    tn_buf_free(&line);
}
