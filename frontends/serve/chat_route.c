/* POST /v1/chat/completions and /apply-template. */
#include <stddef.h>
#include <string.h>
#include "frontends/serve/serve.h"

#define AT(field) offsetof(TnChatParams, field)
static const TnParam params[] = {
    {"messages", TN_PARAM_NODE, AT(messages), 0, 0, NULL},
    {"tools", TN_PARAM_NODE, AT(tools), 0, 0, NULL},
    {"tool_choice", TN_PARAM_NODE, AT(tool_choice), 0, 0, NULL},
    {"parallel_tool_calls", TN_PARAM_BOOL, AT(parallel), 0, 0, NULL},
    {"chat_template_kwargs", TN_PARAM_NODE, AT(kwargs), 0, 0, NULL},
    {"max_completion_tokens", TN_PARAM_INT, AT(max_completion), -1, 1e9, NULL},
    {"logprobs", TN_PARAM_BOOL, AT(logprobs), 0, 0, NULL},
    {"top_logprobs", TN_PARAM_INT, AT(top_logprobs), 0, TERN_LOGPROBS_MOST, NULL},
    {"modalities", TN_PARAM_ONLY, 0, 0, 0, "[\"text\"]"},
    {"functions", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"function_call", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"reasoning_effort", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"audio", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"prediction", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"verbosity", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"web_search_options", TN_PARAM_ONLY, 0, 0, 0, ""},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};

/* ---- The answer */

static void put_reason(TnChoice *c, const char *reason, TnBuf *out) {
    tn_buf_puts(out, ", \"logprobs\": ");
    tn_put_odds(out, c);
    if (reason)
        tn_buf_printf(out, ", \"finish_reason\": \"%s\"}", reason);
    else
        tn_buf_puts(out, ", \"finish_reason\": null}");
}

/* delta: JSON of an object's members. */
static void put_chunk(TnCall *call, size_t index, const TnBuf *delta, const char *reason, TnBuf *out) {
    TnBuf json = {0};
    tn_put_head(&json, call, "chatcmpl-", "chat.completion.chunk");
    tn_buf_printf(&json, ", \"choices\": [{\"index\": %zu, \"delta\": {", index);
    if (delta->len) tn_buf_put(&json, delta->data, delta->len);
    tn_buf_puts(&json, "}");
    put_reason(&call->choices[index], reason, &json);
    tn_buf_puts(&json, call->plan.include_usage ? "], \"usage\": null}" : "]}");
    tn_put_event(out, &json);
    tn_buf_free(&json);
}

static void begin(TnCall *call, size_t index, TnBuf *out) {
    TnBuf delta = {0};
    tn_buf_puts(&delta, "\"role\": \"assistant\", \"content\": \"\"");
    put_chunk(call, index, &delta, NULL, out);
    tn_buf_free(&delta);
}

static void put_content(TnCall *call, size_t index, const char *text, size_t n, TnBuf *out) {
    TnBuf delta = {0};
    tn_buf_puts(&delta, "\"content\": ");
    tn_put_string(&delta, text, n);
    put_chunk(call, index, &delta, NULL, out);
    tn_buf_free(&delta);
}

/* What a part of a stream with tools becomes. */
static void give(TnCall *call, size_t index, TnToolPart part, const char *bytes, size_t n, TnBuf *out) {
    size_t at = tn_tools_so_far(&call->choices[index])->n_calls - 1;
    TnBuf delta = {0};
    if (part == TN_PART_TEXT) put_content(call, index, bytes, n, out);
    if (part != TN_PART_CALL && part != TN_PART_ARGUMENTS) return;
    tn_buf_printf(&delta, "\"tool_calls\": [{\"index\": %zu, ", at);
    if (part == TN_PART_CALL) {
        tn_buf_printf(&delta,
                      "\"id\": \"call_%s_%zu_%zu\", \"type\": \"function\", \"function\": {\"name\": ",
                      call->id, index, at);
        tn_put_string(&delta, bytes, n);
        tn_buf_puts(&delta, ", \"arguments\": \"\"}}]");
    } else {
        tn_buf_puts(&delta, "\"function\": {\"arguments\": ");
        tn_put_string(&delta, bytes, n);
        tn_buf_puts(&delta, "}}]");
    }
    put_chunk(call, index, &delta, NULL, out);
    tn_buf_free(&delta);
}

static void piece(TnCall *call, size_t index, const TernPiece *p, TnBuf *out) {
    if (call->plan.tools)
        tn_tools_stream(call, index, p->text, p->size, give, out);
    else
        put_content(call, index, p->text, p->size, out);
}

static const char *reason_of(const TnChoice *c, const TnToolText *t) {
    const char *reason = tn_finish_reason(c->got.end);
    return t->n_calls && strcmp(reason, "stop") == 0 ? "tool_calls" : reason;
}

static void put_calls(const TnCall *call, size_t index, const TnToolText *t, TnBuf *out) {
    tn_buf_puts(out, "\"tool_calls\": [");
    for (size_t i = 0; i < t->n_calls; i++) {
        const TnToolCall *c = &t->calls[i];
        tn_buf_printf(out,
                      "%s{\"index\": %zu, \"id\": \"call_%s_%zu_%zu\", \"type\": \"function\", "
                      "\"function\": {\"name\": ",
                      i ? ", " : "", i, call->id, index, i);
        tn_json_print_string(c->name.data, c->name.size, out);
        tn_buf_puts(out, ", \"arguments\": ");
        tn_json_print_string(c->arguments.data, c->arguments.size, out);
        tn_buf_puts(out, "}}");
    }
    tn_buf_puts(out, "]");
}

static void end(TnCall *call, size_t index, TnBuf *out) {
    TnChoice *c = &call->choices[index];
    const TnBuf none = {0};
    const TnToolText without = {.n_calls = 0};
    if (call->plan.tools) tn_tools_stream_end(call, index, give, out);
    put_chunk(call, index, &none, reason_of(c, call->plan.tools ? tn_tools_so_far(c) : &without), out);
}

static void put_message_of(TnCall *call, size_t index, TnBuf *out) {
    TnChoice *c = &call->choices[index];
    TnToolText t = {0};
    tn_buf_printf(out, "%s{\"index\": %zu, \"message\": {\"role\": \"assistant\", \"content\": ",
                  index ? ", " : "", index);
    tn_tools_parse(call, index, &t);
    if (t.content.len || !t.n_calls)
        tn_put_string(out, t.content.data, t.content.len);
    else
        tn_buf_puts(out, "null");
    tn_buf_puts(out, ", \"refusal\": null");
    if (t.n_calls) {
        tn_buf_puts(out, ", ");
        put_calls(call, index, &t, out);
    }
    tn_buf_puts(out, "}");
    put_reason(c, reason_of(c, &t), out);
    tn_tools_free(&t);
}

static void finish(TnCall *call, TnBuf *out) {
    if (call->plan.stream) {
        tn_put_end(out, call, "chatcmpl-", "chat.completion.chunk");
        return;
    }
    tn_put_head(out, call, "chatcmpl-", "chat.completion");
    tn_buf_puts(out, ", \"choices\": [");
    for (size_t i = 0; i < call->n_choices; i++) put_message_of(call, i, out);
    tn_buf_puts(out, "]");
    tn_put_tail(out, call);
    tn_buf_puts(out, "\n");
}

static const TnShape shape = {.begin = begin, .piece = piece, .end = end, .finish = finish};

static bool take_logprobs(TnCall *call, const TnChatParams *p) {
    if (p->top_logprobs >= 0 && !p->logprobs)
        return tn_call_refuse(call, 400, "invalid_value", "top_logprobs",
                              "top_logprobs: goes with logprobs true");
    if (p->logprobs) call->plan.logprobs = 1 + (uint32_t)(p->top_logprobs > 0 ? p->top_logprobs : 0);
    return true;
}

/* One bound under two names. */
static bool take_bound(TnCall *call, TnChatParams *p) {
    static const char name[] = "max_completion_tokens";
    const TnJsonNode *older = tn_json_member(call->json, "max_tokens");
    if (p->max_completion == TN_ABSENT) return true;
    if (older && older->kind != TN_JSON_NULL && p->text.max_tokens != p->max_completion)
        return tn_call_refuse(call, 400, "invalid_value", name,
                              "%s: got %lld beside max_tokens %lld, expected one of them, or the same", name,
                              (long long)p->max_completion, (long long)p->text.max_tokens);
    p->text.max_tokens = p->max_completion;
    p->text.max_name = name;
    return true;
}

bool tn_chat_take_choice(TnCall *call, TnChatParams *p, const TnJsonNode *named) {
    const TnJsonNode *v = p->tool_choice, *name = tn_json_member(named, "name");
    if (!v || tn_json_is(v, "auto")) return true;
    p->use = tn_json_is(v, "none") ? TN_TOOLS_NONE : TN_TOOLS_MUST;
    if (tn_json_is(v, "none") || tn_json_is(v, "required")) return true;
    if (!tn_json_is(tn_json_member(v, "type"), "function") || !name || name->kind != TN_JSON_STRING)
        return tn_param_wrong(call, "tool_choice", v,
                              "auto, none, required, or an object that names a function");
    p->only = (TernText){name->text, name->size};
    return true;
}

void tn_route_chat(TnCall *call) {
    static const TnParam *const tables[] = {params, tn_text_params};
    TnChatParams p = {.param = "messages", .parallel = true, .top_logprobs = -1, .max_completion = TN_ABSENT};
    tn_plan_defaults(call->server, &p.text);
    call->plan.shape = &shape;
    if (tn_params_read(call, call->json, "", tables, 2, &p) && take_logprobs(call, &p) &&
        take_bound(call, &p) && tn_chat_take_choice(call, &p, tn_json_member(p.tool_choice, "function")) &&
        tn_chat_plan(call, &p))
        tn_engine_submit(call);
}

/* ---- POST /apply-template */

void tn_route_apply_template(TnCall *call) {
    static const TnParam own[] = {
        {"model", TN_PARAM_TEXT, AT(text.model), 0, 0, NULL},
        {"messages", TN_PARAM_NODE, AT(messages), 0, 0, NULL},
        {"tools", TN_PARAM_NODE, AT(tools), 0, 0, NULL},
        {"chat_template_kwargs", TN_PARAM_NODE, AT(kwargs), 0, 0, NULL},
        {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
    };
    const TnParam *const table = own;
    TnChatParams p = {.param = "messages"};
    TernChatText text = {0};
    TnBuf out = {0};
    if (!tn_params_read(call, call->json, "", &table, 1, &p)) return;
    const TnServeModel *model = tn_plan_model(call, p.text.model);
    if (!model || !tn_chat_render(call, model, &p, &text)) return;
    tn_buf_puts(&out, "{\"prompt\": ");
    tn_put_string(&out, text.data, text.size);
    tn_buf_puts(&out, "}\n");
    tn_call_answer(call, 200, "application/json", out.data, out.len);
    tn_buf_free(&out);
    tern_chat_text_free(&text);
}
