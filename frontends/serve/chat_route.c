/* POST /v1/chat/completions: messages are rendered by the model's template, and the answer is a message.
 *
 * Messages go to the template as they are, except for what OpenAI's clients write in a way that templates do not know: parts of
 * text become one string, the role developer becomes system, and arguments of calls, a string that holds JSON, become that
 * JSON, as templates of Hugging Face expect it. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "frontends/serve/serve.h"

#define AT(field) offsetof(TnChatParams, field)
static const TnParam params[] = {
    {"messages", TN_PARAM_NODE, AT(messages), 0, 0, NULL},
    {"tools", TN_PARAM_NODE, AT(tools), 0, 0, NULL},
    {"tool_choice", TN_PARAM_NODE, AT(tool_choice), 0, 0, NULL},
    {"parallel_tool_calls", TN_PARAM_ONLY, 0, 0, 0, "true"},
    {"chat_template_kwargs", TN_PARAM_NODE, AT(kwargs), 0, 0, NULL},
    {"max_completion_tokens", TN_PARAM_INT, AT(text.max_tokens), -1, 1e9, NULL},
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

/* ---- Messages for the template */

static bool put_parts(TnCall *call, const char *path, const TnJsonNode *parts, TnBuf *out) {
    TnBuf text = {0};
    bool ok = true;
    size_t i = 0;
    for (const TnJsonNode *part = parts->first; part && ok; part = part->next, i++) {
        char place[100];
        const TnJsonNode *type = tn_json_member(part, "type"), *value = tn_json_member(part, "text");
        snprintf(place, sizeof place, "%s.content[%zu]", path, i);
        if (!tn_json_is(type, "text"))
            ok = tn_param_wrong(call, place, type ? type : part, "a part of type text");
        else if (!value || value->kind != TN_JSON_STRING)
            ok = tn_param_wrong(call, place, value ? value : part, "a member text that is a string");
        else
            tn_buf_put(&text, value->text, value->size);
    }
    if (ok) tn_json_print_string(text.len ? text.data : "", text.len, out);
    tn_buf_free(&text);
    return ok;
}

static void put_key(const TnJsonNode *m, const TnJsonNode *first, TnBuf *out) {
    if (m != first) tn_buf_puts(out, ", ");
    tn_json_print_string(m->key, m->key_size, out);
    tn_buf_puts(out, ": ");
}

/* A value with the arguments of calls inside it unwrapped. */
static void put_calls(const TnJsonNode *v, TnBuf *out) {
    bool list = v->kind == TN_JSON_ARRAY;
    if (!list && v->kind != TN_JSON_OBJECT) {
        tn_json_print(v, out);
        return;
    }
    tn_buf_puts(out, list ? "[" : "{");
    for (const TnJsonNode *m = v->first; m; m = m->next) {
        TnArena arena = {0};
        const TnJsonNode *inner = NULL;
        if (list && m != v->first) tn_buf_puts(out, ", ");
        if (!list) put_key(m, v->first, out);
        if (!list && m->kind == TN_JSON_STRING && strcmp(m->key, "arguments") == 0 &&
            tn_json_tree(m->text, m->size, &arena, &inner, NULL) == TERN_OK && inner->kind == TN_JSON_OBJECT)
            tn_json_print(inner, out);
        else
            put_calls(m, out);
        tn_arena_free(&arena);
    }
    tn_buf_puts(out, list ? "]" : "}");
}

static bool put_message(TnCall *call, const char *path, const TnJsonNode *v, TnBuf *out) {
    if (v->kind != TN_JSON_OBJECT) return tn_param_wrong(call, path, v, "an object with role and content");
    const TnJsonNode *role = tn_json_member(v, "role"), *content = tn_json_member(v, "content");
    char place[100];
    snprintf(place, sizeof place, "%s.role", path);
    if (!role || role->kind != TN_JSON_STRING)
        return tn_param_wrong(call, place, role ? role : v, "a string");
    snprintf(place, sizeof place, "%s.content", path);
    if (!content && !tn_json_member(v, "tool_calls"))
        return tn_call_refuse(call, 400, "missing_parameter", place, "%s: is missing, expected a string",
                              place);
    if (content && content->kind != TN_JSON_STRING && content->kind != TN_JSON_NULL &&
        content->kind != TN_JSON_ARRAY)
        return tn_param_wrong(call, place, content, "a string or a list of parts");
    tn_buf_puts(out, "{");
    for (const TnJsonNode *m = v->first; m; m = m->next) {
        put_key(m, v->first, out);
        if (m == role && tn_json_is(role, "developer"))
            tn_buf_puts(out, "\"system\"");
        else if (m == content && m->kind == TN_JSON_ARRAY) {
            if (!put_parts(call, path, m, out)) return false;
        } else if (strcmp(m->key, "tool_calls") == 0)
            put_calls(m, out);
        else
            tn_json_print(m, out);
    }
    tn_buf_puts(out, "}");
    return true;
}

static bool put_messages(TnCall *call, const TnJsonNode *list, TnBuf *out) {
    size_t i = 0;
    if (!list)
        return tn_call_refuse(call, 400, "missing_parameter", "messages",
                              "messages: is missing, expected a list of messages");
    if (list->kind != TN_JSON_ARRAY || list->n == 0)
        return tn_param_wrong(call, "messages", list, "a list with a message at least");
    tn_buf_puts(out, "[");
    for (const TnJsonNode *v = list->first; v; v = v->next, i++) {
        char path[40];
        snprintf(path, sizeof path, "messages[%zu]", i);
        if (i) tn_buf_puts(out, ", ");
        if (!put_message(call, path, v, out)) return false;
    }
    tn_buf_puts(out, "]");
    return true;
}

/* ---- Rendering */

/* Local time: strftime_now of Hugging Face is. */
static int64_t clock_here(void) {
    struct tm tm;
    time_t now = time(NULL);
    return localtime_r(&now, &tm) ? (int64_t)now + tm.tm_gmtoff : (int64_t)now;
}

static TernText token_text(const TernVocab *vocab, int32_t id) {
    return id == TERN_NO_TOKEN ? (TernText){NULL, 0} : tern_token_get_bytes(vocab, id);
}

static bool check_tools(TnCall *call, const TnChatParams *p) {
    const TnJsonNode *tools = p->tools, *choice = p->tool_choice;
    if (tools && tools->kind != TN_JSON_ARRAY) return tn_param_wrong(call, "tools", tools, "a list of tools");
    if (choice && !tn_json_is(choice, "auto") && !tn_json_is(choice, "none"))
        return tn_param_wrong(call, "tool_choice", choice, "auto or none");
    if (p->kwargs && p->kwargs->kind != TN_JSON_OBJECT)
        return tn_param_wrong(call, "chat_template_kwargs", p->kwargs, "an object");
    return true;
}

bool tn_chat_render(TnCall *call, const TnServeModel *model, const TnChatParams *p, TernChatText *out) {
    TernVocabFacts facts;
    TernError err = {0};
    TnBuf messages = {0}, tools = {0}, extra = {0};
    TernChatInput in = TERN_CHAT_INPUT;
    if (!model->vocab || !model->chat)
        return tn_call_refuse(call, 400, "unsupported_model", "model", "model: '%s' has no chat template",
                              model->name);
    bool ok = check_tools(call, p) && put_messages(call, p->messages, &messages);
    if (ok && p->tools && p->tools->n && !(p->tool_choice && tn_json_is(p->tool_choice, "none")))
        tn_json_print(p->tools, &tools);
    if (ok && p->kwargs) tn_json_print(p->kwargs, &extra);
    facts = tern_vocab_get_facts(model->vocab);
    in.messages = (TernText){messages.data, messages.len};
    in.tools = (TernText){tools.data, tools.len};
    in.extra = (TernText){extra.data, extra.len};
    in.bos = token_text(model->vocab, facts.bos);
    in.eos = token_text(model->vocab, facts.eos);
    in.now = clock_here();
    if (ok && tern_chat_render(model->chat, &in, out, &err) != TERN_OK)
        ok = tn_call_refuse(call, 400, "template_error", "messages", "messages: %s", err.text);
    tn_buf_free(&messages);
    tn_buf_free(&tools);
    tn_buf_free(&extra);
    return ok;
}

/* The ids of a rendered text, with the bos token that the model expects unless the template has put it there. */
static bool add_prompt(TnCall *call, const TernChatText *text) {
    const TernVocab *vocab = call->plan.model->vocab;
    TernVocabFacts facts = tern_vocab_get_facts(vocab);
    size_t most = tern_encode_most(vocab, text->size), n = 0;
    int32_t *ids = tn_alloc_array(&call->arena, most + 2, sizeof *ids);
    TernError err = {0};
    if (tern_chat_encode(vocab, text, ids + 1, most, &n, &err) != TERN_OK)
        return tn_call_refuse(call, 400, "invalid_value", "messages", "messages: %s", err.text);
    bool adds = facts.add_bos && facts.bos != TERN_NO_TOKEN && !(n && ids[1] == facts.bos);
    if (adds) ids[0] = facts.bos;
    return tn_plan_prompt(call, adds ? ids : ids + 1, n + adds, "messages");
}

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

static void piece(TnCall *call, size_t index, const TernPiece *p, TnBuf *out) {
    if (!call->plan.tools) put_content(call, index, p->text, p->size, out);
}

static const char *reason_of(const TnChoice *c, const TnToolText *t) {
    const char *reason = tn_finish_reason(c->got.end);
    return t->n_calls && strcmp(reason, "stop") == 0 ? "tool_calls" : reason;
}

/* With tools an answer streams when it is whole: only then it is known which of it is a call. */
static void end(TnCall *call, size_t index, TnBuf *out) {
    TnChoice *c = &call->choices[index];
    TnBuf delta = {0}, none = {0};
    TnToolText t = {0};
    if (call->plan.tools) {
        tn_tools_parse(call, index, &t);
        if (t.content.len) put_content(call, index, t.content.data, t.content.len, out);
        if (t.n_calls) {
            tn_buf_puts(&delta, "\"tool_calls\": ");
            tn_buf_put(&delta, t.calls.data, t.calls.len);
            put_chunk(call, index, &delta, NULL, out);
        }
    }
    put_chunk(call, index, &none, reason_of(c, &t), out);
    tn_tools_free(&t);
    tn_buf_free(&delta);
}

static void put_message_of(TnCall *call, size_t index, TnBuf *out) {
    TnChoice *c = &call->choices[index];
    TnToolText t = {0};
    tn_buf_printf(out, "%s{\"index\": %zu, \"message\": {\"role\": \"assistant\", \"content\": ",
                  index ? ", " : "", index);
    if (call->plan.tools) {
        tn_tools_parse(call, index, &t);
        if (t.content.len || !t.n_calls)
            tn_put_string(out, t.content.data, t.content.len);
        else
            tn_buf_puts(out, "null");
    } else {
        tn_put_string(out, c->text.data, c->text.len);
    }
    tn_buf_puts(out, ", \"refusal\": null");
    if (t.n_calls) {
        tn_buf_puts(out, ", \"tool_calls\": ");
        tn_buf_put(out, t.calls.data, t.calls.len);
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

void tn_route_chat(TnCall *call) {
    static const TnParam *const tables[] = {params, tn_text_params};
    TnChatParams p = {.top_logprobs = -1};
    TernChatText text = {0};
    tn_plan_defaults(call->server, &p.text);
    call->plan.shape = &shape;
    bool ok = tn_params_read(call, call->json, "", tables, 2, &p) && take_logprobs(call, &p) &&
              tn_plan_take(call, &p.text) && tn_chat_render(call, call->plan.model, &p, &text) &&
              add_prompt(call, &text);
    call->plan.tools = p.tools && p.tools->n && !(p.tool_choice && tn_json_is(p.tool_choice, "none"));
    tern_chat_text_free(&text);
    if (ok) tn_engine_submit(call);
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
    TnChatParams p = {.messages = NULL};
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
