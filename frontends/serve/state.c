/* What the server is and does: /health, /ready, /props, /slots, /metrics, /v1/models. */
#include <string.h>
#include "frontends/serve/serve.h"

static void answer(TnCall *call, const char *type, TnBuf *out) {
    tn_call_answer(call, 200, type, out->data, out->len);
    tn_buf_free(out);
}

static void put_text(TnBuf *out, const char *s) {
    tn_put_string(out, s, strlen(s));
}

void tn_route_health(TnCall *call) {
    TnBuf out = {0};
    tn_buf_puts(&out, "{\"status\": \"ok\"}\n");
    answer(call, "application/json", &out);
}

void tn_route_ready(TnCall *call) {
    pthread_mutex_lock(&call->server->lock);
    bool draining = call->server->draining;
    pthread_mutex_unlock(&call->server->lock);
    if (draining)
        tn_call_refuse(call, 503, "draining", NULL, "the server is about to end");
    else
        tn_route_health(call);
}

void tn_route_models(TnCall *call) {
    TnServer *server = call->server;
    const TnServeOptions *o = server->o;
    TnBuf out = {0};
    pthread_mutex_lock(&server->lock);
    tn_buf_puts(&out, "{\"object\": \"list\", \"data\": [");
    for (size_t i = 0; i < o->n_models; i++) {
        const TnServeModel *m = &o->models[i];
        tn_buf_printf(&out, "%s{\"id\": ", i ? ", " : "");
        put_text(&out, m->name);
        tn_buf_printf(
            &out,
            ", \"object\": \"model\", \"created\": %lld, \"owned_by\": \"tern\", \"meta\": {\"n_vocab\": %u, "
            "\"n_ctx_train\": %u, \"n_embd\": %u, \"n_params\": %llu, \"size\": %llu}, "
            "\"status\": {\"value\": \"%s\"}}",
            (long long)call->created, m->info.n_vocab, m->info.n_context, m->info.n_hidden,
            (unsigned long long)m->info.n_params, (unsigned long long)m->info.file_bytes,
            tn_model_state_name(server->models[i].state));
    }
    pthread_mutex_unlock(&server->lock);
    tn_buf_puts(&out, "]}\n");
    answer(call, "application/json", &out);
}

static void put_token(TnBuf *out, const TernVocab *vocab, const char *key, int32_t id) {
    if (!vocab || id == TERN_NO_TOKEN) return;
    TernText t = tern_token_get_bytes(vocab, id);
    tn_buf_printf(out, ", \"%s\": ", key);
    tn_put_string(out, t.data, t.size);
}

/* The model that ?model= names, else the first. NULL: refused. */
static const TnServeModel *model_of_query(TnCall *call) {
    const char *name = tn_http_query(call, "model");
    return tn_plan_model(call, (TernText){name, name ? strlen(name) : 0});
}

void tn_route_props(TnCall *call) {
    const TnServeOptions *o = call->server->o;
    const TnServeModel *m = model_of_query(call);
    const TernSamplerOptions *s = &o->sampler;
    TnBuf out = {0};
    if (!m) return;
    tn_buf_printf(&out,
                  "{\"default_generation_settings\": {\"n_ctx\": %u, \"params\": {\"temperature\": %g, "
                  "\"top_k\": %d, \"top_p\": %g, "
                  "\"min_p\": %g, \"repeat_penalty\": %g, \"repeat_last_n\": %d, "
                  "\"presence_penalty\": %g, \"frequency_penalty\": %g, \"max_tokens\": %d}}, "
                  "\"total_slots\": %u, "
                  "\"model_alias\": ",
                  m->context, (double)s->temp, s->top_k, (double)s->top_p, (double)s->min_p,
                  (double)s->repeat_penalty, s->repeat_last_n, (double)s->presence_penalty,
                  (double)s->frequency_penalty, o->max_tokens ? (int)o->max_tokens : -1, m->slots);
    put_text(&out, m->name);
    tn_buf_puts(&out, ", \"chat_template\": ");
    tn_put_string(&out, m->chat_source.data ? m->chat_source.data : "", m->chat_source.size);
    if (m->vocab) {
        TernVocabFacts facts = tern_vocab_get_facts(m->vocab);
        put_token(&out, m->vocab, "bos_token", facts.bos);
        put_token(&out, m->vocab, "eos_token", facts.eos);
    }
    tn_buf_puts(&out, ", \"build_info\": \"tern " TERN_VERSION "\"}\n");
    answer(call, "application/json", &out);
}

void tn_route_slots(TnCall *call) {
    TnServer *server = call->server;
    const TnServeModel *only = tn_http_query(call, "model") ? model_of_query(call) : NULL;
    TnBuf out = {0};
    if (call->status) return;
    tn_buf_puts(&out, "[");
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->n_views; i++) {
        const TnSlotView *v = &server->views[i];
        bool loaded = tn_model_of(server, v->model)->state == TN_MODEL_LOADED;
        if (!loaded || (only && v->model != only)) continue;
        tn_buf_printf(&out, "%s{\"id\": %zu, \"model\": ", out.len > 1 ? ", " : "", i);
        put_text(&out, v->model->name);
        tn_buf_printf(&out, ", \"n_ctx\": %u, \"is_processing\": %s", v->model->context,
                      v->busy ? "true" : "false");
        if (v->busy)
            tn_buf_printf(
                &out,
                ", \"request\": \"%s\", \"n_prompt_tokens\": %zu, \"n_prompt_done\": %zu, "
                "\"n_prompt_cached\": %zu, \"n_decoded\": %zu, \"draft_n\": %zu, \"draft_n_accepted\": %zu",
                v->call, v->got.n_prompt, v->got.n_prefilled + v->got.n_reused, v->got.n_reused, v->got.n_out,
                v->got.n_guessed, v->got.n_right);
        tn_buf_puts(&out, "}");
    }
    pthread_mutex_unlock(&server->lock);
    tn_buf_puts(&out, "]\n");
    answer(call, "application/json", &out);
}

void tn_route_metrics(TnCall *call) {
    TnServer *server = call->server;
    TnBuf out = {0};
    pthread_mutex_lock(&server->lock);
    TnMetrics m = server->metrics;
    m.requests_processing = (double)server->n_running;
    m.requests_deferred = (double)server->n_queued;
    pthread_mutex_unlock(&server->lock);
    m.n_busy_slots_per_decode = m.n_decode_total > 0 ? m.step_sequences_total / m.n_decode_total : 0;
    m.prompt_tokens_seconds = m.prompt_seconds_total > 0 ? m.prompt_tokens_total / m.prompt_seconds_total : 0;
    m.predicted_tokens_seconds = m.tokens_predicted_seconds_total > 0
                                     ? m.tokens_predicted_total / m.tokens_predicted_seconds_total
                                     : 0;
    m.resident_memory_peak_bytes = (double)tn_os_peak_rss();
    m.uptime_seconds = tn_os_seconds() - server->started;
    bool llama = tn_http_argument(call, "names", "llamacpp");
    tn_metrics_print(&m, llama, &out);
    if (!llama) tn_models_print(server, &out);
    answer(call, "text/plain; version=0.0.4; charset=utf-8", &out);
}
