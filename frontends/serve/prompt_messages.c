/* From a chat's messages to the ids of a prompt, for all endpoints that have messages.
 *
 * Messages go to the template as they are, except for what OpenAI's clients write in a way that templates do not know: parts of
 * text become one string, the role developer becomes system, and arguments of calls, a string that holds JSON, become that
 * JSON, as templates of Hugging Face expect it. The endpoints whose messages have another shape write them in this one
 * first. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "frontends/serve/serve.h"

/* ---- Messages for the template */

static bool is_among(const TnJsonNode *type, const char *types) {
    for (const char *p = types; *p;) {
        size_t n = strcspn(p, " ");
        if (type && type->kind == TN_JSON_STRING && type->size == n && memcmp(type->text, p, n) == 0)
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

bool tn_chat_content(TnCall *call, const char *param, const TnJsonNode *v, const char *types, TnBuf *out) {
    size_t i = 0;
    if (v->kind == TN_JSON_STRING) {
        tn_buf_put(out, v->text, v->size);
        return true;
    }
    if (v->kind != TN_JSON_ARRAY) return tn_param_wrong(call, param, v, "a string or a list of parts");
    for (const TnJsonNode *part = v->first; part; part = part->next, i++) {
        char place[120], expected[80];
        const TnJsonNode *type = tn_json_member(part, "type"), *text = tn_json_member(part, "text");
        snprintf(place, sizeof place, "%.100s[%zu]", param, i);
        snprintf(expected, sizeof expected, "a part of type %.*s", (int)strcspn(types, " "), types);
        if (!is_among(type, types)) return tn_param_wrong(call, place, type ? type : part, expected);
        if (!text || text->kind != TN_JSON_STRING)
            return tn_param_wrong(call, place, text ? text : part, "a member text that is a string");
        tn_buf_put(out, text->text, text->size);
    }
    return true;
}

static bool put_parts(TnCall *call, const char *path, const TnJsonNode *parts, TnBuf *out) {
    TnBuf text = {0};
    char place[100];
    snprintf(place, sizeof place, "%s.content", path);
    bool ok = tn_chat_content(call, place, parts, "text", &text);
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

static TernText token_text(const TernVocab *vocab, int32_t id) {
    return id == TERN_NO_TOKEN ? (TernText){NULL, 0} : tern_token_get_bytes(vocab, id);
}

static bool check_tool(TnCall *call, const TnJsonNode *tool, size_t i) {
    char place[60];
    const TnJsonNode *type = tn_json_member(tool, "type"), *f = tn_json_member(tool, "function"),
                     *name = tn_json_member(f, "name"), *schema = tn_json_member(f, "parameters");
    snprintf(place, sizeof place, "tools[%zu]", i);
    if (!tn_json_is(type, "function"))
        return tn_param_wrong(call, place, type ? type : tool, "a tool of type function");
    snprintf(place, sizeof place, "tools[%zu].function.name", i);
    if (!name || name->kind != TN_JSON_STRING || name->size == 0)
        return tn_param_wrong(call, place, name ? name : tool, "the name of a function");
    snprintf(place, sizeof place, "tools[%zu].function.parameters", i);
    if (schema && schema->kind != TN_JSON_OBJECT && schema->kind != TN_JSON_NULL)
        return tn_param_wrong(call, place, schema, "a JSON schema: an object");
    return true;
}

static bool check_tools(TnCall *call, const TnChatParams *p) {
    const TnJsonNode *tools = p->tools;
    size_t i = 0;
    if (tools && tools->kind != TN_JSON_ARRAY) return tn_param_wrong(call, "tools", tools, "a list of tools");
    for (const TnJsonNode *tool = tools ? tools->first : NULL; tool; tool = tool->next)
        if (!check_tool(call, tool, i++)) return false;
    if (p->kwargs && p->kwargs->kind != TN_JSON_OBJECT)
        return tn_param_wrong(call, "chat_template_kwargs", p->kwargs, "an object");
    return true;
}

static bool has_tools(const TnChatParams *p) {
    return p->tools && p->tools->n && p->use != TN_TOOLS_NONE;
}

bool tn_chat_render(TnCall *call, const TnServeModel *model, const TnChatParams *p, TernChatText *out) {
    const TnServeOptions *o = call->server->o;
    TernVocabFacts facts;
    TernError err = {0};
    TnBuf messages = {0}, tools = {0}, extra = {0};
    TernChatInput in = TERN_CHAT_INPUT;
    if (!model->vocab || !model->chat)
        return tn_call_refuse(call, 400, "unsupported_model", "model", "model: '%s' has no chat template",
                              model->name);
    bool ok = check_tools(call, p) && put_messages(call, p->messages, &messages);
    if (ok && has_tools(p)) tn_json_print(p->tools, &tools);
    if (ok && p->kwargs) tn_json_print(p->kwargs, &extra);
    facts = tern_vocab_get_facts(model->vocab);
    in.messages = (TernText){messages.data, messages.len};
    in.tools = (TernText){tools.data, tools.len};
    in.extra = (TernText){extra.data, extra.len};
    in.bos = token_text(model->vocab, facts.bos);
    in.eos = token_text(model->vocab, facts.eos);
    in.now = o->now >= 0 ? o->now : (int64_t)time(NULL); /* clients of a server may be in any time zone */
    if (ok && tern_chat_render(model->chat, &in, out, &err) != TERN_OK)
        ok = tn_call_refuse(call, 400, "template_error", p->param, "%s: %s", p->param, err.text);
    tn_buf_free(&messages);
    tn_buf_free(&tools);
    tn_buf_free(&extra);
    return ok;
}

/* The ids of a rendered text, with the bos token that the model expects unless the template has put it there. */
static const int32_t *encode(TnCall *call, const char *param, const TernChatText *text, size_t *out_n) {
    const TernVocab *vocab = call->plan.model->vocab;
    TernVocabFacts facts = tern_vocab_get_facts(vocab);
    size_t most = tern_encode_most(vocab, text->size), n = 0;
    int32_t *ids = tn_alloc_array(&call->arena, most + 2, sizeof *ids);
    TernError err = {0};
    if (tern_chat_encode(vocab, text, ids + 1, most, &n, &err) != TERN_OK) {
        tn_call_refuse(call, 400, "invalid_value", param, "%s: %s", param, err.text);
        return NULL;
    }
    bool adds = facts.add_bos && facts.bos != TERN_NO_TOKEN && !(n && ids[1] == facts.bos);
    if (adds) ids[0] = facts.bos;
    *out_n = n + adds;
    return adds ? ids : ids + 1;
}

const int32_t *tn_chat_ids(TnCall *call, const TnChatParams *p, size_t *out_n) {
    TernChatText text = {0};
    const int32_t *ids = NULL;
    if (tn_chat_render(call, call->plan.model, p, &text)) ids = encode(call, p->param, &text, out_n);
    tern_chat_text_free(&text);
    return ids;
}

static void keep_names(TnCall *call, const TnJsonNode *tools) {
    TernText *names = tn_alloc_array(&call->arena, tools->n, sizeof *names);
    call->plan.tools = names;
    for (const TnJsonNode *tool = tools->first; tool; tool = tool->next) {
        const TnJsonNode *name = tn_json_member(tn_json_member(tool, "function"), "name");
        names[call->plan.n_tools++] =
            (TernText){tn_strndup(&call->arena, name->text, name->size), name->size};
    }
}

bool tn_chat_plan(TnCall *call, const TnChatParams *p) {
    size_t n = 0;
    if (!tn_plan_take(call, &p->text)) return false;
    const int32_t *ids = tn_chat_ids(call, p, &n);
    if (ids && has_tools(p)) keep_names(call, p->tools);
    return ids && tn_plan_prompt(call, ids, n, p->param) && tn_tools_force(call, p);
}

const TnJsonNode *tn_chat_parse(TnCall *call, TnBuf *json) {
    const TnJsonNode *v = NULL;
    TN_CHECK(tn_json_tree(json->data, json->len, &call->parsed, &v, NULL) == TERN_OK);
    tn_buf_free(json);
    return v;
}
