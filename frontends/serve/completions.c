/* POST /v1/completions: a text or ids go on. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"

typedef struct Params {
    TnTextParams text;
    const TnJsonNode *prompt;
    bool echo;
    int64_t logprobs; /* -1: absent */
} Params;
static const TnParam params[] = {
    {"prompt", TN_PARAM_NODE, offsetof(Params, prompt), 0, 0, NULL},
    {"echo", TN_PARAM_BOOL, offsetof(Params, echo), 0, 0, NULL},
    {"logprobs", TN_PARAM_INT, offsetof(Params, logprobs), 0, TERN_LOGPROBS_MOST, NULL},
    {"best_of", TN_PARAM_ONLY, 0, 0, 0, "1"},
    {"suffix", TN_PARAM_ONLY, 0, 0, 0, "\"\""},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};

/* ---- The answer */

static void put_choice(TnBuf *out, TnCall *call, size_t index, TernText text, const char *reason) {
    tn_buf_puts(out, "{\"text\": ");
    tn_put_string(out, text.data, text.size);
    tn_buf_printf(out, ", \"index\": %zu, \"logprobs\": ", index);
    tn_put_odds(out, &call->choices[index]);
    tn_buf_puts(out, ", \"finish_reason\": ");
    if (reason)
        tn_buf_printf(out, "\"%s\"}", reason);
    else
        tn_buf_puts(out, "null}");
}

static void put_chunk(TnCall *call, size_t index, TernText text, const char *reason, TnBuf *out) {
    TnBuf json = {0};
    tn_put_head(&json, call, "cmpl-", "text_completion");
    tn_buf_puts(&json, ", \"choices\": [");
    put_choice(&json, call, index, text, reason);
    tn_buf_puts(&json, call->plan.include_usage ? "], \"usage\": null}" : "]}");
    tn_put_event(out, &json);
    tn_buf_free(&json);
}

static void begin(TnCall *call, size_t index, TnBuf *out) {
    if (call->choices[index].echo.data) put_chunk(call, index, call->choices[index].echo, NULL, out);
}

static void piece(TnCall *call, size_t index, const TernPiece *p, TnBuf *out) {
    put_chunk(call, index, (TernText){p->text, p->size}, NULL, out);
}

static void end(TnCall *call, size_t index, TnBuf *out) {
    put_chunk(call, index, (TernText){"", 0}, tn_finish_reason(call->choices[index].got.end), out);
}

static void finish(TnCall *call, TnBuf *out) {
    if (call->plan.stream) {
        tn_put_end(out, call, "cmpl-", "text_completion");
        return;
    }
    tn_put_head(out, call, "cmpl-", "text_completion");
    tn_buf_puts(out, ", \"choices\": [");
    for (size_t i = 0; i < call->n_choices; i++) {
        TnChoice *c = &call->choices[i];
        TnBuf text = {0};
        if (c->echo.data) tn_buf_put(&text, c->echo.data, c->echo.size);
        if (c->text.len) tn_buf_put(&text, c->text.data, c->text.len);
        if (i) tn_buf_puts(out, ", ");
        put_choice(out, call, i, (TernText){text.data, text.len}, tn_finish_reason(c->got.end));
        tn_buf_free(&text);
    }
    tn_buf_puts(out, "]");
    tn_put_tail(out, call);
    tn_buf_puts(out, "\n");
}

static const TnShape shape = {.begin = begin, .piece = piece, .end = end, .finish = finish};

/* ---- The prompt: a text, ids, or a list of either */

static bool add_ids(TnCall *call, const TnJsonNode *list, const char *param) {
    const int32_t *ids = tn_plan_ids(call, list, param, call->plan.model->info.n_vocab);
    return ids && tn_plan_prompt(call, ids, list->n, param);
}

static bool add_text(TnCall *call, const Params *p, TernText text, const char *param) {
    size_t n = 0, first = call->n_choices;
    const int32_t *ids = tn_plan_encode(call, text, true, false, &n);
    if (!ids || !tn_plan_prompt(call, ids, n, param)) return false;
    if (p->echo) text.data = tn_strndup(&call->arena, text.data, text.size);
    for (size_t i = first; p->echo && i < call->n_choices; i++) call->choices[i].echo = text;
    return true;
}

static bool add_prompt(TnCall *call, const Params *p, const TnJsonNode *v, const char *param) {
    if (v->kind == TN_JSON_STRING) return add_text(call, p, (TernText){v->text, v->size}, param);
    if (v->kind != TN_JSON_ARRAY) return tn_param_wrong(call, param, v, "a string or a list of token ids");
    if (p->echo)
        return tn_call_refuse(call, 400, "unsupported_value", "echo",
                              "echo: goes with a prompt that is text");
    return add_ids(call, v, param);
}

static bool add_prompts(TnCall *call, const Params *p) {
    const TnJsonNode *v = p->prompt;
    if (!v)
        return tn_call_refuse(call, 400, "missing_parameter", "prompt",
                              "prompt: is missing, expected a string");
    bool many = v->kind == TN_JSON_ARRAY && v->first && v->first->kind != TN_JSON_INT;
    if (!many) return add_prompt(call, p, v, "prompt");
    size_t i = 0;
    for (const TnJsonNode *one = v->first; one; one = one->next, i++) {
        char param[40];
        snprintf(param, sizeof param, "prompt[%zu]", i);
        if (!add_prompt(call, p, one, param)) return false;
    }
    return true;
}

static bool take_logprobs(TnCall *call, const Params *p) {
    if (p->logprobs < 0) return true;
    if (p->echo)
        return tn_call_refuse(call, 400, "unsupported_value", "logprobs",
                              "logprobs: goes with echo false: those of a prompt are not given");
    call->plan.logprobs = 1 + (uint32_t)p->logprobs;
    call->plan.logprob_lists = true;
    return true;
}

void tn_route_completions(TnCall *call) {
    static const TnParam *const tables[] = {params, tn_text_params};
    Params p = {.logprobs = -1};
    tn_plan_defaults(call->server, &p.text);
    call->plan.shape = &shape;
    if (tn_params_read(call, call->json, "", tables, 2, &p) && take_logprobs(call, &p) &&
        tn_plan_take(call, &p.text) && add_prompts(call, &p))
        tn_engine_submit(call);
}
