/* JSON of answers: what several endpoints write alike. */
#include <string.h>
#include "frontends/serve/serve.h"
#include "runtime/base/escape.h"

void tn_put_string(TnBuf *out, const char *bytes, size_t n) {
    TnBuf clean = {0};
    size_t at = 0, step = 0;
    while (at < n && (step = tn_utf8(bytes + at, n - at))) at += step;
    if (at == n) {
        tn_json_print_string(bytes, n, out);
        return;
    }
    for (at = 0; at < n; at += step) {
        step = tn_utf8(bytes + at, n - at);
        tn_buf_put(&clean, step ? bytes + at : "\xef\xbf\xbd", step ? step : 3);
        if (!step) step = 1;
    }
    tn_json_print_string(clean.data, clean.len, out);
    tn_buf_free(&clean);
}

/* ---- Errors */

static const char *error_type(unsigned status) {
    if (status == 429) return "rate_limit_error";
    if (status == 401) return "authentication_error";
    if (status == 403) return "permission_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

static void put_or_null(TnBuf *out, const char *key, const char *value) {
    tn_buf_printf(out, ", \"%s\": ", key);
    if (value)
        tn_put_string(out, value, strlen(value));
    else
        tn_buf_puts(out, "null");
}

static bool has_flag(const TnCall *call, unsigned flag) {
    return call->route && (call->route->flags & flag);
}

static const char *anthropic_type(unsigned status) {
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 503:
        return "overloaded_error";
    case 504:
        return "timeout_error";
    default:
        return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

void tn_put_error(TnBuf *out, const TnCall *call, unsigned status, const char *code, const char *param,
                  const char *message) {
    bool anthropic = has_flag(call, TN_ROUTE_ANTHROPIC);
    if (anthropic)
        tn_buf_printf(
            out, "{\"type\": \"error\", \"error\": {\"type\": \"%s\", \"message\": ", anthropic_type(status));
    else
        tn_buf_puts(out, "{\"error\": {\"message\": ");
    tn_put_string(out, message, strlen(message));
    if (!anthropic) {
        tn_buf_printf(out, ", \"type\": \"%s\"", error_type(status));
        put_or_null(out, "param", param);
        put_or_null(out, "code", code);
    }
    tn_buf_puts(out, "}}");
}

void tn_put_error_event(TnBuf *out, const TnCall *call, unsigned status, const char *code,
                        const char *message) {
    TnBuf json = {0};
    if (has_flag(call, TN_ROUTE_RESPONSES)) {
        tn_buf_printf(&json, "{\"type\": \"error\", \"sequence_number\": %zu", call->n_events);
        put_or_null(&json, "code", code);
        put_or_null(&json, "message", message);
        tn_buf_puts(&json, ", \"param\": null}");
    } else {
        tn_put_error(&json, call, status, code, NULL, message);
    }
    if (has_flag(call, TN_ROUTE_RESPONSES | TN_ROUTE_ANTHROPIC))
        tn_put_named_event(out, "error", &json);
    else
        tn_put_event(out, &json);
    tn_buf_free(&json);
}

/* ---- Answers */

void tn_put_head(TnBuf *out, const TnCall *call, const char *id_prefix, const char *object) {
    const char *name = call->plan.model->name;
    tn_buf_printf(out, "{\"id\": \"%s%s\", \"object\": \"%s\", \"created\": %lld, \"model\": ", id_prefix,
                  call->id, object, (long long)call->created);
    tn_put_string(out, name, strlen(name));
}

TnUsage tn_usage(const TnCall *call) {
    TnUsage u = {0, 0, 0};
    for (size_t i = 0; i < call->n_choices; i++) {
        const TnChoice *c = &call->choices[i];
        u.n_out += c->got.n_out;
        /* the choices of one prompt share it */
        if (i > 0 && c->ids == call->choices[i - 1].ids) continue;
        u.n_prompt += c->n_ids;
        u.n_cached += c->got.n_reused;
    }
    return u;
}

void tn_put_usage(TnBuf *out, const TnCall *call) {
    TnUsage u = tn_usage(call);
    tn_buf_printf(out,
                  "{\"prompt_tokens\": %zu, \"completion_tokens\": %zu, \"total_tokens\": %zu, "
                  "\"prompt_tokens_details\": {\"cached_tokens\": %zu}}",
                  u.n_prompt, u.n_out, u.n_prompt + u.n_out, u.n_cached);
}

static void put_rate(TnBuf *out, const char *name, size_t n, double seconds) {
    tn_buf_printf(out, "\"%s_n\": %zu, \"%s_ms\": %.3f, \"%s_per_token_ms\": %.3f, \"%s_per_second\": %.3f",
                  name, n, name, seconds * 1e3, name, n ? seconds * 1e3 / (double)n : 0, name,
                  seconds > 0 ? (double)n / seconds : 0);
}

void tn_put_timings(TnBuf *out, const TnCall *call) {
    size_t n_run = 0, n_cached = 0, n_out = 0, n_guessed = 0, n_right = 0;
    double prompt = 0, decode = 0;
    for (size_t i = 0; i < call->n_choices; i++) {
        const TernGenerated *g = &call->choices[i].got;
        n_run += g->n_prefilled;
        n_cached += g->n_reused;
        n_out += g->n_out;
        n_guessed += g->n_guessed;
        n_right += g->n_right;
        prompt += g->prompt_seconds;
        decode += g->decode_seconds;
    }
    tn_buf_printf(out, "{\"cache_n\": %zu, ", n_cached);
    put_rate(out, "prompt", n_run, prompt);
    tn_buf_puts(out, ", ");
    put_rate(out, "predicted", n_out, decode);
    if (n_guessed) tn_buf_printf(out, ", \"draft_n\": %zu, \"draft_n_accepted\": %zu", n_guessed, n_right);
    tn_buf_puts(out, "}");
}

const char *tn_finish_reason(TernEnd end) {
    return end == TERN_END_LENGTH || end == TERN_END_CONTEXT ? "length" : "stop";
}

/* ---- Events */

void tn_put_event(TnBuf *out, const TnBuf *json) {
    tn_buf_puts(out, "data: ");
    tn_buf_put(out, json->data, json->len);
    tn_buf_puts(out, "\n\n");
}

void tn_put_named_event(TnBuf *out, const char *name, const TnBuf *json) {
    tn_buf_printf(out, "event: %s\n", name);
    tn_put_event(out, json);
}

void tn_end_event(const char *name, TnBuf *json, TnBuf *out) {
    tn_buf_puts(json, "}");
    tn_put_named_event(out, name, json);
    tn_buf_free(json);
}

void tn_put_tail(TnBuf *out, const TnCall *call) {
    tn_buf_puts(out, ", \"usage\": ");
    tn_put_usage(out, call);
    tn_buf_puts(out, ", \"timings\": ");
    tn_put_timings(out, call);
    tn_buf_puts(out, "}");
}

void tn_put_end(TnBuf *out, const TnCall *call, const char *id_prefix, const char *object) {
    TnBuf json = {0};
    if (call->plan.include_usage) {
        tn_put_head(&json, call, id_prefix, object);
        tn_buf_puts(&json, ", \"choices\": []");
        tn_put_tail(&json, call);
        tn_put_event(out, &json);
    }
    tn_buf_puts(out, "data: [DONE]\n\n");
    tn_buf_free(&json);
}
