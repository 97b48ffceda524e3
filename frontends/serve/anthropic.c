/* POST /v1/messages and /v1/messages/count_tokens: a chat in Anthropic's shape. */
#include "frontends/serve/anthropic.h"
#include <stddef.h>
#include <string.h>

typedef struct Params {
    TnChatParams chat;
    const TnJsonNode *system, *stop;
} Params;
#define AT(field) offsetof(Params, field)
#define END                                                                                                  \
    { NULL, TN_PARAM_ANY, 0, 0, 0, NULL }
/* what both routes take */
static const TnParam prompt_params[] = {
    {"model", TN_PARAM_TEXT, AT(chat.text.model), 0, 0, NULL},
    {"messages", TN_PARAM_NODE, AT(chat.messages), 0, 0, NULL},
    {"system", TN_PARAM_NODE, AT(system), 0, 0, NULL},
    {"tools", TN_PARAM_NODE, AT(chat.tools), 0, 0, NULL},
    {"tool_choice", TN_PARAM_NODE, AT(chat.tool_choice), 0, 0, NULL},
    {"chat_template_kwargs", TN_PARAM_NODE, AT(chat.kwargs), 0, 0, NULL},
    {"thinking", TN_PARAM_ONLY, 0, 0, 0, "{\"type\":\"disabled\"}"},
    {"mcp_servers", TN_PARAM_ONLY, 0, 0, 0, "[]"},
    {"cache_control", TN_PARAM_ANY, 0, 0, 0, NULL}, /* an answer is the same with and without */
    END,
};
static const TnParam answer_params[] = {
    {"max_tokens", TN_PARAM_INT, AT(chat.text.max_tokens), 1, 1e9, NULL},
    {"stop_sequences", TN_PARAM_NODE, AT(stop), 0, 0, NULL},
    {"stream", TN_PARAM_BOOL, AT(chat.text.stream), 0, 0, NULL},
    {"temperature", TN_PARAM_REAL, AT(chat.text.temperature), 0, 100, NULL},
    {"top_p", TN_PARAM_REAL, AT(chat.text.top_p), 0, 1, NULL},
    {"top_k", TN_PARAM_INT, AT(chat.text.top_k), -1, 1e9, NULL},
    {"metadata", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"service_tier", TN_PARAM_ONLY, 0, 0, 0, "\"auto\" \"standard_only\""},
    {"container", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"context_management", TN_PARAM_ONLY, 0, 0, 0, ""},
    /* not Anthropic's */
    {"seed", TN_PARAM_INT, AT(chat.text.seed), -1, TN_SEED_MOST, NULL},
    {"min_p", TN_PARAM_REAL, AT(chat.text.min_p), 0, 1, NULL},
    END,
};

/* ---- The answer */

static void put_head(TnBuf *out, const TnCall *call) {
    tn_buf_printf(
        out, "{\"id\": \"msg_%s\", \"type\": \"message\", \"role\": \"assistant\", \"model\": ", call->id);
    tn_put_string(out, call->plan.model->name, strlen(call->plan.model->name));
}

static void put_use(TnBuf *out, const TnCall *call, const TnToolCall *c, size_t i, bool whole) {
    tn_buf_printf(out, "{\"type\": \"tool_use\", \"id\": \"toolu_%s_%zu\", \"name\": ", call->id, i);
    tn_json_print_string(c->name.data, c->name.size, out);
    tn_buf_printf(out, ", \"input\": %s}", whole ? c->arguments.data : "{}");
}

static void put_stop(TnBuf *out, const TnCall *call, bool calls) {
    const TernGenerated *g = &call->choices[0].got;
    const char *reason = g->end == TERN_END_LENGTH    ? "max_tokens"
                         : g->end == TERN_END_CONTEXT ? "model_context_window_exceeded"
                         : calls                      ? "tool_use"
                         : g->end == TERN_END_STOP    ? "stop_sequence"
                                                      : "end_turn";
    tn_buf_printf(out, "\"stop_reason\": \"%s\", \"stop_sequence\": ", reason);
    if (g->end == TERN_END_STOP)
        tn_put_string(out, call->plan.stops[g->stop].data, call->plan.stops[g->stop].size);
    else
        tn_buf_puts(out, "null");
}

/* Of the prompt's tokens, those from the cache count apart. */
static void put_usage(TnBuf *out, const TnCall *call) {
    TnUsage u = tn_usage(call);
    tn_buf_printf(out,
                  "{\"input_tokens\": %zu, \"cache_creation_input_tokens\": 0, \"cache_read_input_tokens\": "
                  "%zu, \"output_tokens\": %zu}",
                  u.n_prompt - u.n_cached, u.n_cached, u.n_out);
}

static void put_answer(TnCall *call, TnBuf *out) {
    TnToolText t = {.n_calls = 0};
    tn_tools_parse(call, 0, &t);
    put_head(out, call);
    tn_buf_puts(out, ", \"content\": [");
    if (t.content.len) {
        tn_buf_puts(out, "{\"type\": \"text\", \"text\": ");
        tn_put_string(out, t.content.data, t.content.len);
        tn_buf_puts(out, "}");
    }
    for (size_t i = 0; i < t.n_calls; i++) {
        if (i || t.content.len) tn_buf_puts(out, ", ");
        put_use(out, call, &t.calls[i], i, true);
    }
    tn_buf_puts(out, "], ");
    put_stop(out, call, t.n_calls > 0);
    tn_buf_puts(out, ", \"usage\": ");
    put_usage(out, call);
    tn_buf_puts(out, ", \"timings\": ");
    tn_put_timings(out, call);
    tn_buf_puts(out, "}\n");
    tn_tools_free(&t);
}

/* ---- Events */

static void begin_event(const char *name, TnBuf *json) {
    tn_buf_printf(json, "{\"type\": \"%s\"", name);
}

static void put_text_start(size_t index, TnBuf *out) {
    TnBuf json = {0};
    begin_event("content_block_start", &json);
    tn_buf_printf(&json, ", \"index\": %zu, \"content_block\": {\"type\": \"text\", \"text\": \"\"}", index);
    tn_end_event("content_block_start", &json, out);
}

/* kind: text_delta with text, or input_json_delta with partial_json */
static void put_delta(size_t index, const char *kind, const char *member, const char *text, size_t n,
                      TnBuf *out) {
    TnBuf json = {0};
    begin_event("content_block_delta", &json);
    tn_buf_printf(&json, ", \"index\": %zu, \"delta\": {\"type\": \"%s\", \"%s\": ", index, kind, member);
    tn_put_string(&json, text, n);
    tn_buf_puts(&json, "}");
    tn_end_event("content_block_delta", &json, out);
}

static void put_block_stop(size_t index, TnBuf *out) {
    TnBuf json = {0};
    begin_event("content_block_stop", &json);
    tn_buf_printf(&json, ", \"index\": %zu", index);
    tn_end_event("content_block_stop", &json, out);
}

/* How much of the prompt came from the cache is known only later, and the last event says it. */
static void begin(TnCall *call, size_t index, TnBuf *out) {
    TnBuf json = {0};
    (void)index;
    begin_event("message_start", &json);
    tn_buf_puts(&json, ", \"message\": ");
    put_head(&json, call);
    tn_buf_printf(&json,
                  ", \"content\": [], \"stop_reason\": null, \"stop_sequence\": null, \"usage\": "
                  "{\"input_tokens\": %zu, \"output_tokens\": 0}}",
                  call->choices[0].n_ids);
    tn_end_event("message_start", &json, out);
    if (!call->plan.tools) put_text_start(0, out);
}

static void put_use_start(TnCall *call, TnBuf *out) {
    const TnToolText *t = tn_tools_so_far(&call->choices[0]);
    TnBuf json = {0};
    begin_event("content_block_start", &json);
    tn_buf_printf(&json, ", \"index\": %zu, \"content_block\": ", call->n_blocks++);
    put_use(&json, call, &t->calls[t->n_calls - 1], t->n_calls - 1, false);
    tn_end_event("content_block_start", &json, out);
}

static void end_text(TnCall *call, TnBuf *out) {
    if (call->text_open) put_block_stop(call->n_blocks - 1, out);
    call->text_open = false;
}

/* What a part of a stream with tools becomes: a block of text or of a call after the other. */
static void give(TnCall *call, size_t index, TnToolPart part, const char *bytes, size_t n, TnBuf *out) {
    (void)index;
    switch (part) {
    case TN_PART_TEXT:
        if (!call->text_open) put_text_start(call->n_blocks++, out);
        call->text_open = true;
        put_delta(call->n_blocks - 1, "text_delta", "text", bytes, n, out);
        break;
    case TN_PART_CALL:
        end_text(call, out);
        put_use_start(call, out);
        break;
    case TN_PART_ARGUMENTS:
        put_delta(call->n_blocks - 1, "input_json_delta", "partial_json", bytes, n, out);
        break;
    case TN_PART_END:
        put_block_stop(call->n_blocks - 1, out);
        break;
    }
}

static void piece(TnCall *call, size_t index, const TernPiece *p, TnBuf *out) {
    if (call->plan.tools)
        tn_tools_stream(call, index, p->text, p->size, give, out);
    else
        put_delta(0, "text_delta", "text", p->text, p->size, out);
}

static void end(TnCall *call, size_t index, TnBuf *out) {
    TnBuf json = {0};
    if (call->plan.tools) {
        tn_tools_stream_end(call, index, give, out);
        end_text(call, out);
    } else {
        put_block_stop(0, out);
    }
    begin_event("message_delta", &json);
    tn_buf_puts(&json, ", \"delta\": {");
    put_stop(&json, call, call->plan.tools && tn_tools_so_far(&call->choices[0])->n_calls > 0);
    tn_buf_puts(&json, "}, \"usage\": ");
    put_usage(&json, call);
    tn_end_event("message_delta", &json, out);
    begin_event("message_stop", &json);
    tn_end_event("message_stop", &json, out);
}

static void finish(TnCall *call, TnBuf *out) {
    if (!call->plan.stream) put_answer(call, out);
}

static const TnShape shape = {.begin = begin, .piece = piece, .end = end, .finish = finish};

/* ---- The request */

typedef struct Choice {
    TernText type, name;
    bool single;
} Choice;

static bool take_tool_choice(TnCall *call, TnChatParams *p) {
    static const TnParam table[] = {
        {"type", TN_PARAM_TEXT, offsetof(Choice, type), 0, 0, NULL},
        {"name", TN_PARAM_TEXT, offsetof(Choice, name), 0, 0, NULL},
        {"disable_parallel_tool_use", TN_PARAM_BOOL, offsetof(Choice, single), 0, 0, NULL},
        END,
    };
    const TnParam *const tables = table;
    const TnJsonNode *v = p->tool_choice, *type = tn_json_member(v, "type");
    Choice c = {.single = false};
    if (!v) return true;
    if (v->kind != TN_JSON_OBJECT) return tn_param_wrong(call, "tool_choice", v, "an object with type");
    if (!tn_params_read(call, v, "tool_choice.", &tables, 1, &c)) return false;
    bool one = tn_json_is(type, "tool"), any = tn_json_is(type, "any");
    if (one && !c.name.data)
        return tn_call_refuse(call, 400, "missing_parameter", "tool_choice.name",
                              "tool_choice.name: is missing, expected the name of a tool");
    if (!one && !any && !tn_json_is(type, "auto") && !tn_json_is(type, "none"))
        return tn_param_wrong(call, "tool_choice.type", type ? type : v, "auto, any, tool or none");
    if (c.single && tn_json_is(type, "auto"))
        return tn_call_refuse(
            call, 400, "unsupported_value", "tool_choice.disable_parallel_tool_use",
            "tool_choice.disable_parallel_tool_use: got true, expected false unless a call is required");
    p->use = one || any ? TN_TOOLS_MUST : tn_json_is(type, "none") ? TN_TOOLS_NONE : TN_TOOLS_AUTO;
    if (one) p->only = c.name;
    return true;
}

/* The prompt's part of the request. False: refused. */
static bool take_prompt(TnCall *call, Params *p) {
    if (!take_tool_choice(call, &p->chat) || !tn_anthropic_tools(call, p->chat.tools, &p->chat.tools))
        return false;
    p->chat.messages = tn_anthropic_messages(call, p->system, p->chat.messages);
    return p->chat.messages != NULL;
}

void tn_route_messages(TnCall *call) {
    static const TnParam *const tables[] = {prompt_params, answer_params};
    Params p = {.chat = {.param = "messages", .parallel = true}};
    tn_plan_defaults(call->server, &p.chat.text);
    p.chat.text.max_tokens = 0;
    call->plan.shape = &shape;
    if (!tn_params_read(call, call->json, "", tables, 2, &p)) return;
    if (p.chat.text.max_tokens == 0) {
        tn_call_refuse(call, 400, "missing_parameter", "max_tokens",
                       "max_tokens: is missing, expected a whole number from 1");
        return;
    }
    if (p.stop && p.stop->kind != TN_JSON_ARRAY) {
        tn_param_wrong(call, "stop_sequences", p.stop, "a list of strings");
        return;
    }
    p.chat.text.stop = p.stop;
    p.chat.text.stop_name = "stop_sequences";
    if (take_prompt(call, &p) && tn_chat_plan(call, &p.chat)) tn_engine_submit(call);
}

void tn_route_count_tokens(TnCall *call) {
    const TnParam *const tables = prompt_params;
    Params p = {.chat = {.param = "messages", .parallel = true}};
    TnBuf out = {0};
    size_t n = 0;
    if (!tn_params_read(call, call->json, "", &tables, 1, &p) || !take_prompt(call, &p)) return;
    call->plan.model = tn_plan_model(call, p.chat.text.model);
    if (!call->plan.model || !tn_chat_ids(call, &p.chat, &n)) return;
    tn_buf_printf(&out, "{\"input_tokens\": %zu}\n", n);
    tn_call_answer(call, 200, "application/json", out.data, out.len);
    tn_buf_free(&out);
}
