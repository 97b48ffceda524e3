/* A line for each request when its connection has let go of it, on standard error. Nothing of what was asked or answered is in
 * it: of a path only what the table of routes has. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "frontends/serve/serve.h"

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
    fwrite(line.data, 1, line.len, stderr);
    tn_buf_free(&line);
}
