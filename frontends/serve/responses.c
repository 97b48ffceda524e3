/* POST /v1/responses: OpenAI's newer shape of a chat. Nothing is kept from one request to the next. */
#include "frontends/serve/responses.h"
#include <stddef.h>
#include <string.h>

typedef struct Params {
    TnChatParams chat;
    TernText instructions;
    const TnJsonNode *input, *format_of_text, *stream_options;
} Params;
#define AT(field) offsetof(Params, field)
#define END                                                                                                  \
    { NULL, TN_PARAM_ANY, 0, 0, 0, NULL }
static const TnParam params[] = {
    {"model", TN_PARAM_TEXT, AT(chat.text.model), 0, 0, NULL},
    {"input", TN_PARAM_NODE, AT(input), 0, 0, NULL},
    {"instructions", TN_PARAM_TEXT, AT(instructions), 0, 0, NULL},
    {"max_output_tokens", TN_PARAM_INT, AT(chat.text.max_tokens), 1, 1e9, NULL},
    {"stream", TN_PARAM_BOOL, AT(chat.text.stream), 0, 0, NULL},
    {"stream_options", TN_PARAM_NODE, AT(stream_options), 0, 0, NULL},
    {"temperature", TN_PARAM_REAL, AT(chat.text.temperature), 0, 100, NULL},
    {"top_p", TN_PARAM_REAL, AT(chat.text.top_p), 0, 1, NULL},
    {"text", TN_PARAM_NODE, AT(format_of_text), 0, 0, NULL},
    {"tools", TN_PARAM_NODE, AT(chat.tools), 0, 0, NULL},
    {"tool_choice", TN_PARAM_NODE, AT(chat.tool_choice), 0, 0, NULL},
    {"parallel_tool_calls", TN_PARAM_BOOL, AT(chat.parallel), 0, 0, NULL},
    {"store", TN_PARAM_ONLY, 0, 0, 0, "false"},
    {"background", TN_PARAM_ONLY, 0, 0, 0, "false"},
    {"previous_response_id", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"conversation", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"include", TN_PARAM_ONLY, 0, 0, 0, "[]"},
    {"prompt", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"reasoning", TN_PARAM_ONLY, 0, 0, 0, "{}"},
    {"truncation", TN_PARAM_ONLY, 0, 0, 0, "\"disabled\""},
    {"max_tool_calls", TN_PARAM_ONLY, 0, 0, 0, ""},
    {"top_logprobs", TN_PARAM_ONLY, 0, 0, 0, "0"},
    {"service_tier", TN_PARAM_ONLY, 0, 0, 0, "\"auto\" \"default\""},
    {"metadata", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"user", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"safety_identifier", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"prompt_cache_key", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"prompt_cache_retention", TN_PARAM_ANY, 0, 0, 0, NULL},
    /* not OpenAI's */
    {"seed", TN_PARAM_INT, AT(chat.text.seed), -1, TN_SEED_MOST, NULL},
    {"top_k", TN_PARAM_INT, AT(chat.text.top_k), -1, 1e9, NULL},
    {"min_p", TN_PARAM_REAL, AT(chat.text.min_p), 0, 1, NULL},
    {"chat_template_kwargs", TN_PARAM_NODE, AT(chat.kwargs), 0, 0, NULL},
    END,
};

/* ---- The answer's object */

static const char *reason_of(const TnCall *call) {
    return strcmp(tn_finish_reason(call->choices[0].got.end), "length") == 0 ? "max_output_tokens" : NULL;
}

static void put_part(TnBuf *out, const char *text, size_t n) {
    tn_buf_puts(out, "{\"type\": \"output_text\", \"text\": ");
    tn_put_string(out, text, n);
    tn_buf_puts(out, ", \"annotations\": [], \"logprobs\": []}");
}

/* text NULL: as it is before its first part. */
static void put_message(TnBuf *out, const TnCall *call, const char *text, size_t n) {
    const char *status = !text ? "in_progress" : reason_of(call) ? "incomplete" : "completed";
    tn_buf_printf(out,
                  "{\"type\": \"message\", \"id\": \"msg_%s\", \"status\": \"%s\", \"role\": "
                  "\"assistant\", \"content\": [",
                  call->id, status);
    if (text) put_part(out, text, n);
    tn_buf_puts(out, "]}");
}

static void put_call(TnBuf *out, const TnCall *call, const TnToolCall *c, size_t i, bool done) {
    tn_buf_printf(
        out,
        "{\"type\": \"function_call\", \"id\": \"fc_%s_%zu\", \"call_id\": \"call_%s_%zu\", \"status\": "
        "\"%s\", \"name\": ",
        call->id, i, call->id, i, done ? "completed" : "in_progress");
    tn_json_print_string(c->name.data, c->name.size, out);
    tn_buf_puts(out, ", \"arguments\": ");
    tn_put_string(out, c->arguments.data, done ? c->arguments.size : 0);
    tn_buf_puts(out, "}");
}

static bool has_message(const TnToolText *t) {
    return t->content.len || !t->n_calls;
}
static const char *text_of(const TnToolText *t) {
    return t->content.len ? t->content.data : "";
}

static void put_output(TnBuf *out, TnCall *call) {
    TnToolText t = {.n_calls = 0};
    tn_tools_parse(call, 0, &t);
    for (size_t i = 0; i <= t.n_calls; i++) {
        bool message = i == t.text_at && has_message(&t);
        if (message && i) tn_buf_puts(out, ", ");
        if (message) put_message(out, call, text_of(&t), t.content.len);
        if (i == t.n_calls) break;
        if (i || message) tn_buf_puts(out, ", ");
        put_call(out, call, &t.calls[i], i, true);
    }
    tn_tools_free(&t);
}

static const char *status_of(const TnCall *call) {
    return reason_of(call) ? "incomplete" : "completed";
}

static void put_response(TnBuf *out, TnCall *call, bool done) {
    tn_buf_printf(
        out, "{\"id\": \"resp_%s\", \"object\": \"response\", \"created_at\": %lld, \"status\": \"%s\", ",
        call->id, (long long)call->created, done ? status_of(call) : "in_progress");
    if (done && reason_of(call))
        tn_buf_printf(out, "\"incomplete_details\": {\"reason\": \"%s\"}, \"model\": ", reason_of(call));
    else
        tn_buf_puts(out, "\"incomplete_details\": null, \"model\": ");
    tn_put_string(out, call->plan.model->name, strlen(call->plan.model->name));
    tn_buf_puts(out, ", \"output\": [");
    if (done) put_output(out, call);
    tn_buf_printf(out, "]%s, \"usage\": ", call->plan.echo);
    if (!done) {
        tn_buf_puts(out, "null}");
        return;
    }
    TnUsage u = tn_usage(call);
    tn_buf_printf(out,
                  "{\"input_tokens\": %zu, \"input_tokens_details\": {\"cached_tokens\": %zu}, "
                  "\"output_tokens\": %zu, \"output_tokens_details\": {\"reasoning_tokens\": 0}, "
                  "\"total_tokens\": %zu}, \"timings\": ",
                  u.n_prompt, u.n_cached, u.n_out, u.n_prompt + u.n_out);
    tn_put_timings(out, call);
    tn_buf_puts(out, "}");
}

/* ---- Events */

static void begin_event(TnCall *call, const char *name, TnBuf *json) {
    tn_buf_printf(json, "{\"type\": \"%s\", \"sequence_number\": %zu", name, call->n_events++);
}

static void put_whole(TnCall *call, const char *name, bool done, TnBuf *out) {
    TnBuf json = {0};
    begin_event(call, name, &json);
    tn_buf_puts(&json, ", \"response\": ");
    put_response(&json, call, done);
    tn_end_event(name, &json, out);
}

/* Where the message stands among the items: calls may have come before it. */
static size_t message_index(const TnCall *call) {
    const TnToolText *t = tn_tools_so_far(&call->choices[0]);
    return t ? t->text_at : 0;
}

/* An event about the message's part; value: a member with a text, or NULL: the part itself. */
static void put_text_event(TnCall *call, const char *name, const char *value, const char *text, size_t n,
                           TnBuf *out) {
    TnBuf json = {0};
    begin_event(call, name, &json);
    tn_buf_printf(&json, ", \"item_id\": \"msg_%s\", \"output_index\": %zu, \"content_index\": 0, \"%s\": ",
                  call->id, message_index(call), value ? value : "part");
    if (value) {
        tn_put_string(&json, text, n);
        tn_buf_puts(&json, ", \"logprobs\": []");
    } else {
        put_part(&json, text, n);
    }
    tn_end_event(name, &json, out);
}

static void put_message_event(TnCall *call, const char *name, const char *text, size_t n, TnBuf *out) {
    TnBuf json = {0};
    begin_event(call, name, &json);
    tn_buf_printf(&json, ", \"output_index\": %zu, \"item\": ", message_index(call));
    put_message(&json, call, text, n);
    tn_end_event(name, &json, out);
}

static void begin_message(TnCall *call, TnBuf *out) {
    put_message_event(call, "response.output_item.added", NULL, 0, out);
    put_text_event(call, "response.content_part.added", NULL, "", 0, out);
}

static void end_message(TnCall *call, const char *text, size_t n, TnBuf *out) {
    put_text_event(call, "response.output_text.done", "text", text, n, out);
    put_text_event(call, "response.content_part.done", NULL, text, n, out);
    put_message_event(call, "response.output_item.done", text, n, out);
}

static void put_call_item(TnCall *call, const TnToolCall *c, size_t i, size_t index, bool done, TnBuf *out) {
    const char *name = done ? "response.output_item.done" : "response.output_item.added";
    TnBuf json = {0};
    begin_event(call, name, &json);
    tn_buf_printf(&json, ", \"output_index\": %zu, \"item\": ", index);
    put_call(&json, call, c, i, done);
    tn_end_event(name, &json, out);
}

static void put_arguments(TnCall *call, const TnToolCall *c, const char *bytes, size_t n, size_t index,
                          bool done, TnBuf *out) {
    const char *name =
        done ? "response.function_call_arguments.done" : "response.function_call_arguments.delta";
    size_t i = tn_tools_so_far(&call->choices[0])->n_calls - 1;
    TnBuf json = {0};
    begin_event(call, name, &json);
    tn_buf_printf(&json, ", \"item_id\": \"fc_%s_%zu\", \"output_index\": %zu", call->id, i, index);
    if (done) {
        tn_buf_puts(&json, ", \"name\": ");
        tn_json_print_string(c->name.data, c->name.size, &json);
    }
    tn_buf_printf(&json, ", \"%s\": ", done ? "arguments" : "delta");
    tn_put_string(&json, bytes, n);
    tn_end_event(name, &json, out);
}

/* What a part of a stream with tools becomes. The message stays open beside calls: text may go on after them. */
static void give(TnCall *call, size_t choice, TnToolPart part, const char *bytes, size_t n, TnBuf *out) {
    const TnToolText *t = tn_tools_so_far(&call->choices[choice]);
    if (part == TN_PART_TEXT) {
        if (!call->text_open) begin_message(call, out);
        call->text_open = true;
        put_text_event(call, "response.output_text.delta", "delta", bytes, n, out);
        return;
    }
    size_t i = t->n_calls - 1, index = i + call->text_open;
    if (part == TN_PART_CALL) put_call_item(call, &t->calls[i], i, index, false, out);
    if (part == TN_PART_CALL) return;
    put_arguments(call, &t->calls[i], bytes, n, index, part == TN_PART_END, out);
    if (part == TN_PART_END) put_call_item(call, &t->calls[i], i, index, true, out);
}

static void begin(TnCall *call, size_t index, TnBuf *out) {
    (void)index;
    put_whole(call, "response.created", false, out);
    put_whole(call, "response.in_progress", false, out);
    if (!call->plan.tools) begin_message(call, out);
}

static void piece(TnCall *call, size_t index, const TernPiece *p, TnBuf *out) {
    if (call->plan.tools)
        tn_tools_stream(call, index, p->text, p->size, give, out);
    else
        put_text_event(call, "response.output_text.delta", "delta", p->text, p->size, out);
}

static void end(TnCall *call, size_t index, TnBuf *out) {
    TnToolText t = {.n_calls = 0};
    if (call->plan.tools) tn_tools_stream_end(call, index, give, out);
    tn_tools_parse(call, index, &t);
    if (has_message(&t)) {
        if (call->plan.tools && !call->text_open) begin_message(call, out);
        end_message(call, text_of(&t), t.content.len, out);
    }
    tn_tools_free(&t);
}

static void finish(TnCall *call, TnBuf *out) {
    if (call->plan.stream) {
        put_whole(call, reason_of(call) ? "response.incomplete" : "response.completed", true, out);
        return;
    }
    put_response(out, call, true);
    tn_buf_puts(out, "\n");
}

static const TnShape shape = {.begin = begin, .piece = piece, .end = end, .finish = finish};

/* ---- The request */

/* What the answer repeats of it; `absent`: if it is not there. */
static void keep_echo(TnCall *call, const Params *p) {
    static const struct {
        const char *name, *absent;
    } members[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"metadata", "{}"},
        {"user", "null"},
        {"parallel_tool_calls", "true"},
        {"text", "{\"format\": {\"type\": \"text\"}}"},
        {"tools", "[]"},
        {"tool_choice", "\"auto\""},
    };
    TnBuf out = {0};
    for (size_t i = 0; i < TN_COUNT(members); i++) {
        const TnJsonNode *v = tn_json_member(call->json, members[i].name);
        tn_buf_printf(&out, ", \"%s\": ", members[i].name);
        if (v && v->kind != TN_JSON_NULL)
            tn_json_print(v, &out);
        else
            tn_buf_puts(&out, members[i].absent);
    }
    tn_buf_printf(&out,
                  ", \"temperature\": %g, \"top_p\": %g, \"error\": null, \"background\": false, "
                  "\"previous_response_id\": null, \"reasoning\": {\"effort\": null, \"summary\": null}, "
                  "\"store\": false, \"truncation\": \"disabled\", \"top_logprobs\": 0, \"service_tier\": "
                  "\"default\"",
                  p->chat.text.temperature, p->chat.text.top_p);
    call->plan.echo = tn_strndup(&call->arena, out.data, out.len);
    tn_buf_free(&out);
}

typedef struct Format {
    TernText type;
    const TnJsonNode *format, *schema;
} Format;

static bool take_format(TnCall *call, const TnJsonNode *v) {
    static const TnParam outer[] = {
        {"format", TN_PARAM_NODE, offsetof(Format, format), 0, 0, NULL},
        {"verbosity", TN_PARAM_ONLY, 0, 0, 0, "\"medium\""},
        END,
    };
    static const TnParam inner[] = {
        {"type", TN_PARAM_TEXT, offsetof(Format, type), 0, 0, NULL},
        {"schema", TN_PARAM_NODE, offsetof(Format, schema), 0, 0, NULL},
        {"name", TN_PARAM_ANY, 0, 0, 0, NULL},
        {"description", TN_PARAM_ANY, 0, 0, 0, NULL},
        {"strict", TN_PARAM_ANY, 0, 0, 0, NULL}, /* an answer always is by the schema */
        END,
    };
    const TnParam *const outers = outer, *const inners = inner;
    Format f = {.format = NULL};
    if (!v) return true;
    if (v->kind != TN_JSON_OBJECT) return tn_param_wrong(call, "text", v, "an object");
    if (!tn_params_read(call, v, "text.", &outers, 1, &f)) return false;
    if (!f.format) return true;
    if (f.format->kind != TN_JSON_OBJECT) return tn_param_wrong(call, "text.format", f.format, "an object");
    if (!tn_params_read(call, f.format, "text.format.", &inners, 1, &f)) return false;
    const TnJsonNode *type = tn_json_member(f.format, "type");
    if (tn_json_is(type, "text") && !f.schema) return true;
    if (tn_json_is(type, "json_object") && !f.schema)
        return tn_plan_schema(call, "text.format", "{\"type\": \"object\"}", 18);
    if (tn_json_is(type, "json_schema") && f.schema)
        return tn_plan_schema_node(call, "text.format.schema", f.schema);
    return tn_call_refuse(call, 400, "invalid_value", "text.format",
                          "text.format: expected the type text, json_object, or json_schema with a schema");
}

static bool take_stream_options(TnCall *call, const Params *p) {
    static const TnParam table[] = {{"include_obfuscation", TN_PARAM_ONLY, 0, 0, 0, "false"}, END};
    const TnParam *const tables = table;
    const TnJsonNode *v = p->stream_options;
    if (!v) return true;
    if (!p->chat.text.stream)
        return tn_call_refuse(call, 400, "invalid_value", "stream_options",
                              "stream_options: goes with stream true");
    if (v->kind != TN_JSON_OBJECT) return tn_param_wrong(call, "stream_options", v, "an object");
    return tn_params_read(call, v, "stream_options.", &tables, 1, &(Params){.input = NULL});
}

void tn_route_responses(TnCall *call) {
    const TnParam *const tables = params;
    Params p = {.chat = {.param = "input", .parallel = true}};
    tn_plan_defaults(call->server, &p.chat.text);
    call->plan.shape = &shape;
    if (!tn_params_read(call, call->json, "", &tables, 1, &p) || !take_stream_options(call, &p) ||
        !tn_chat_take_choice(call, &p.chat, p.chat.tool_choice) ||
        !tn_responses_tools(call, p.chat.tools, &p.chat.tools))
        return;
    p.chat.messages = tn_responses_messages(call, p.input, p.instructions);
    if (!p.chat.messages || !tn_chat_plan(call, &p.chat) || !take_format(call, p.format_of_text)) return;
    keep_echo(call, &p);
    tn_engine_submit(call);
}
