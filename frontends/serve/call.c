/* A request with its answer: its memory, and how the engine puts an answer into it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "frontends/serve/serve.h"

TnCall *tn_call_create(TnServer *server, struct MHD_Connection *connection) {
    TnCall *call = tn_xcalloc(1, sizeof *call);
    call->server = server;
    call->connection = connection;
    call->fd = -1;
    call->refs = 1;
    call->begun = tn_os_seconds();
    call->created = (int64_t)time(NULL);
    pthread_mutex_lock(&server->lock);
    uint64_t number = server->n_ids++;
    server->n_open++;
    pthread_mutex_unlock(&server->lock);
    snprintf(call->id, sizeof call->id, "%016llx%016llx", (unsigned long long)server->instance,
             (unsigned long long)number);
    return call;
}

static void free_call(TnCall *call) {
    for (size_t i = 0; i < call->n_choices; i++) {
        TN_CHECK(!call->choices[i].sequence);
        tn_buf_free(&call->choices[i].text);
        tn_buf_free(&call->choices[i].events);
        tn_odds_free(&call->choices[i].odds);
        tn_tools_stream_free(call->choices[i].stream);
    }
    tern_grammar_destroy(call->plan.grammar);
    free(call->choices);
    tn_buf_free(&call->body);
    tn_buf_free(&call->making);
    tn_buf_free(&call->out);
    tn_arena_free(&call->arena);
    tn_arena_free(&call->parsed);
    free(call);
}

void tn_call_release(TnCall *call) {
    TnServer *server = call->server;
    pthread_mutex_lock(&server->lock);
    unsigned left = --call->refs;
    pthread_mutex_unlock(&server->lock);
    if (left == 0) free_call(call);
}

/* ---- An answer at once, on the web thread */

void tn_call_answer(TnCall *call, unsigned status, const char *type, const char *bytes, size_t n) {
    TN_CHECK(!call->submitted && !call->status);
    call->status = status;
    call->type = type;
    tn_buf_put(&call->out, bytes, n);
    call->complete = true;
}

void tn_call_header(TnCall *call, const char *name, const char *value) {
    size_t i = 0;
    while (i < TN_COUNT(call->headers) && call->headers[i][0]) i++;
    TN_CHECK(i < TN_COUNT(call->headers));
    snprintf(call->headers[i], sizeof call->headers[i], "%s: %s", name, value);
}

bool tn_call_vrefuse(TnCall *call, unsigned status, const char *code, const char *param, const char *fmt,
                     va_list ap) {
    char text[500];
    TernError line;
    tn_message(text, sizeof text, fmt, ap);
    tn_fail(&line, TERN_ERR_INPUT, "%s", text); /* one printable line */
    TnBuf json = {0};
    tn_put_error(&json, call, status, code, param, line.text);
    tn_buf_puts(&json, "\n");
    tn_call_answer(call, status, "application/json", json.data, json.len);
    tn_buf_free(&json);
    return false;
}

bool tn_call_refuse(TnCall *call, unsigned status, const char *code, const char *param, const char *fmt,
                    ...) {
    va_list ap;
    va_start(ap, fmt);
    tn_call_vrefuse(call, status, code, param, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- The engine's */

/* Call it with the lock, and wake the connection after it if it returns true: nobody else will. */
static bool must_wake(TnCall *call) {
    bool asleep = call->asleep;
    call->asleep = false;
    return asleep;
}

void tn_call_put(TnCall *call, TnBuf *bytes) {
    if (bytes->len == 0) return;
    pthread_mutex_lock(&call->server->lock);
    call->status = call->status ? call->status : 200;
    if (!call->gone) tn_buf_put(&call->out, bytes->data, bytes->len);
    bool wake = must_wake(call);
    pthread_mutex_unlock(&call->server->lock);
    bytes->len = 0;
    if (wake) tn_http_wake(call);
}

void tn_call_complete(TnCall *call, unsigned status, const char *type) {
    pthread_mutex_lock(&call->server->lock);
    call->status = call->status ? call->status : status;
    if (!call->type) call->type = type;
    call->complete = true;
    bool wake = must_wake(call);
    pthread_mutex_unlock(&call->server->lock);
    if (wake) tn_http_wake(call);
}

void tn_call_fail(TnCall *call, unsigned status, const char *code, const char *fmt, ...) {
    char text[500];
    TernError line;
    va_list ap;
    TnBuf out = {0};
    va_start(ap, fmt);
    tn_message(text, sizeof text, fmt, ap);
    va_end(ap);
    tn_fail(&line, TERN_ERR_INPUT, "%s", text);
    pthread_mutex_lock(&call->server->lock);
    bool streams = call->status != 0;
    if (!streams) {
        call->status = status;
        call->type = "application/json";
    }
    pthread_mutex_unlock(&call->server->lock);
    if (streams) {
        tn_put_error_event(&out, call, status, code, line.text);
    } else {
        tn_put_error(&out, call, status, code, NULL, line.text);
        tn_buf_puts(&out, "\n");
    }
    tn_call_put(call, &out);
    tn_call_complete(call, status, "application/json");
    tn_buf_free(&out);
}
