/* What /v1/messages is asked: its messages become those of a chat, and its tools those of a chat.
 *
 *   system                   a system message before all others
 *   tool_use blocks          calls of the assistant's message that they are in
 *   tool_result blocks       a message of the role tool each, before the text of the message that they are in
 *   text blocks              one text, the blocks' one after the other */
#include <stddef.h>
#include <string.h>
#include "frontends/serve/anthropic.h"

#define END                                                                                                  \
    { NULL, TN_PARAM_ANY, 0, 0, 0, NULL }

typedef struct Message {
    TernText role;
    const TnJsonNode *content;
} Message;
static const TnParam message_params[] = {
    {"role", TN_PARAM_TEXT, offsetof(Message, role), 0, 0, NULL},
    {"content", TN_PARAM_NODE, offsetof(Message, content), 0, 0, NULL},
    END,
};

typedef struct Block {
    TernText type, text, id, name, tool_use_id;
    const TnJsonNode *input, *content;
} Block;
#define AT(field) offsetof(Block, field)
#define COMMON                                                                                               \
    {"type", TN_PARAM_TEXT, AT(type), 0, 0, NULL}, {                                                         \
        "cache_control", TN_PARAM_ANY, 0, 0, 0, NULL                                                         \
    }
static const TnParam text_params[] = {
    COMMON,
    {"text", TN_PARAM_TEXT, AT(text), 0, 0, NULL},
    {"citations", TN_PARAM_ONLY, 0, 0, 0, "[]"},
    END,
};
static const TnParam use_params[] = {
    COMMON,
    {"id", TN_PARAM_TEXT, AT(id), 0, 0, NULL},
    {"name", TN_PARAM_TEXT, AT(name), 0, 0, NULL},
    {"input", TN_PARAM_NODE, AT(input), 0, 0, NULL},
    END,
};
static const TnParam result_params[] = {
    COMMON,
    {"tool_use_id", TN_PARAM_TEXT, AT(tool_use_id), 0, 0, NULL},
    {"content", TN_PARAM_NODE, AT(content), 0, 0, NULL},
    {"is_error", TN_PARAM_ANY, 0, 0, 0,
     NULL}, /* templates have no place for it; the content says what is wrong */
    END,
};

static bool missing(TnCall *call, const char *path, const char *member) {
    char param[100];
    snprintf(param, sizeof param, "%.60s%s", path, member);
    return tn_call_refuse(call, 400, "missing_parameter", param, "%s: is missing", param);
}

static void put_member(TnBuf *out, const char *name, const char *bytes, size_t n) {
    tn_buf_printf(out, "\"%s\": ", name);
    tn_json_print_string(n ? bytes : "", n, out);
}

/* ---- Messages: their blocks go into three texts, and then out in the order of a chat */

typedef struct Parts {
    TnCall *call;
    bool user;
    TnBuf text, calls, results; /* calls: a list without its brackets; results: messages, each after ", " */
} Parts;

static bool add_use(Parts *p, const char *path, const Block *b) {
    if (!b->id.data) return missing(p->call, path, "id");
    if (!b->name.data) return missing(p->call, path, "name");
    if (!b->input) return missing(p->call, path, "input");
    tn_buf_printf(&p->calls, "%s{\"type\": \"function\", ", p->calls.len ? ", " : "");
    put_member(&p->calls, "id", b->id.data, b->id.size);
    tn_buf_puts(&p->calls, ", \"function\": {");
    put_member(&p->calls, "name", b->name.data, b->name.size);
    tn_buf_puts(&p->calls, ", \"arguments\": ");
    tn_json_print(b->input, &p->calls);
    tn_buf_puts(&p->calls, "}}");
    return true;
}

static bool add_result(Parts *p, const char *path, const Block *b) {
    TnBuf text = {0};
    char place[100];
    snprintf(place, sizeof place, "%.60scontent", path);
    if (!b->tool_use_id.data) return missing(p->call, path, "tool_use_id");
    bool ok = !b->content || tn_chat_content(p->call, place, b->content, "text", &text);
    if (ok) {
        tn_buf_puts(&p->results, ", {\"role\": \"tool\", ");
        put_member(&p->results, "tool_call_id", b->tool_use_id.data, b->tool_use_id.size);
        tn_buf_puts(&p->results, ", ");
        put_member(&p->results, "content", text.data, text.len);
        tn_buf_puts(&p->results, "}");
    }
    tn_buf_free(&text);
    return ok;
}

static bool add_block(Parts *p, const TnJsonNode *v, const char *path) {
    char place[100];
    Block b = {.input = NULL};
    const TnJsonNode *type = tn_json_member(v, "type");
    bool use = !p->user && tn_json_is(type, "tool_use"), result = p->user && tn_json_is(type, "tool_result");
    const TnParam *const table = use ? use_params : result ? result_params : text_params;
    snprintf(place, sizeof place, "%.60stype", path);
    if (!use && !result && !tn_json_is(type, "text"))
        return tn_param_wrong(p->call, place, type ? type : v,
                              p->user ? "text or tool_result" : "text or tool_use");
    if (!tn_params_read(p->call, v, path, &table, 1, &b)) return false;
    if (use) return add_use(p, path, &b);
    if (result) return add_result(p, path, &b);
    if (!b.text.data) return missing(p->call, path, "text");
    tn_buf_put(&p->text, b.text.data, b.text.size);
    return true;
}

static bool add_blocks(Parts *p, const TnJsonNode *content, const char *path) {
    char place[80];
    size_t i = 0;
    if (content->kind == TN_JSON_STRING) {
        tn_buf_put(&p->text, content->text, content->size);
        return true;
    }
    snprintf(place, sizeof place, "%.40scontent", path);
    if (content->kind != TN_JSON_ARRAY)
        return tn_param_wrong(p->call, place, content, "a string or a list of blocks");
    for (const TnJsonNode *v = content->first; v; v = v->next, i++) {
        snprintf(place, sizeof place, "%.40scontent[%zu].", path, i);
        if (!add_block(p, v, place)) return false;
    }
    return true;
}

static void put_parts(TnBuf *out, const Parts *p) {
    bool text = p->text.len || (!p->results.len && !p->calls.len);
    if (p->results.len) tn_buf_put(out, p->results.data, p->results.len);
    if (!text && !p->calls.len) return;
    tn_buf_printf(out, ", {\"role\": \"%s\", ", p->user ? "user" : "assistant");
    put_member(out, "content", p->text.data, p->text.len);
    if (p->calls.len) {
        tn_buf_puts(out, ", \"tool_calls\": [");
        tn_buf_put(out, p->calls.data, p->calls.len);
        tn_buf_puts(out, "]");
    }
    tn_buf_puts(out, "}");
}

static bool put_message(TnCall *call, const TnJsonNode *v, size_t i, TnBuf *out) {
    char path[60], place[80];
    Message m = {.content = NULL};
    const TnParam *const table = message_params;
    snprintf(path, sizeof path, "messages[%zu]", i);
    if (v->kind != TN_JSON_OBJECT) return tn_param_wrong(call, path, v, "an object with role and content");
    snprintf(path, sizeof path, "messages[%zu].", i);
    if (!tn_params_read(call, v, path, &table, 1, &m)) return false;
    const TnJsonNode *role = tn_json_member(v, "role");
    Parts p = {.call = call, .user = tn_json_is(role, "user")};
    snprintf(place, sizeof place, "%srole", path);
    if (!m.role.data) return missing(call, path, "role");
    if (!p.user && !tn_json_is(role, "assistant"))
        return tn_param_wrong(call, place, role, "user or assistant");
    if (!p.user && !v->next)
        return tn_call_refuse(
            call, 400, "unsupported_value", place,
            "%s: got 'assistant' in the last message, which is not supported, expected user", place);
    if (!m.content) return missing(call, path, "content");
    bool ok = add_blocks(&p, m.content, path);
    if (ok) put_parts(out, &p);
    tn_buf_free(&p.text);
    tn_buf_free(&p.calls);
    tn_buf_free(&p.results);
    return ok;
}

static bool put_system(TnCall *call, const TnJsonNode *v, TnBuf *out) {
    TnBuf text = {0};
    bool ok = tn_chat_content(call, "system", v, "text", &text);
    if (ok && text.len) {
        tn_buf_puts(out, ", {\"role\": \"system\", ");
        put_member(out, "content", text.data, text.len);
        tn_buf_puts(out, "}");
    }
    tn_buf_free(&text);
    return ok;
}

const TnJsonNode *tn_anthropic_messages(TnCall *call, const TnJsonNode *system, const TnJsonNode *messages) {
    TnBuf out = {0};
    size_t i = 0;
    bool ok = messages && messages->kind == TN_JSON_ARRAY && messages->n;
    if (!messages)
        missing(call, "", "messages");
    else if (!ok)
        tn_param_wrong(call, "messages", messages, "a list with a message at least");
    ok = ok && (!system || put_system(call, system, &out));
    for (const TnJsonNode *v = ok ? messages->first : NULL; v && ok; v = v->next)
        ok = put_message(call, v, i++, &out);
    if (ok && out.data) {
        out.data[0] = '['; /* the first message's comma */
        tn_buf_puts(&out, "]");
        return tn_chat_parse(call, &out);
    }
    tn_buf_free(&out);
    return NULL;
}

/* ---- Tools */

typedef struct Tool {
    TernText type, name;
    const TnJsonNode *description, *schema;
} Tool;
static const TnParam tool_params[] = {
    {"type", TN_PARAM_TEXT, offsetof(Tool, type), 0, 0, NULL},
    {"name", TN_PARAM_TEXT, offsetof(Tool, name), 0, 0, NULL},
    {"description", TN_PARAM_NODE, offsetof(Tool, description), 0, 0, NULL},
    {"input_schema", TN_PARAM_NODE, offsetof(Tool, schema), 0, 0, NULL},
    {"strict", TN_PARAM_ANY, 0, 0, 0, NULL}, /* a call that is required always is by its schema */
    {"cache_control", TN_PARAM_ANY, 0, 0, 0, NULL},
    END,
};

static bool put_tool(TnCall *call, const TnJsonNode *v, size_t i, TnBuf *out) {
    char path[40], place[60];
    Tool t = {.schema = NULL};
    const TnParam *const table = tool_params;
    const TnJsonNode *type = tn_json_member(v, "type");
    snprintf(path, sizeof path, "tools[%zu].", i);
    snprintf(place, sizeof place, "%stype", path);
    if (v->kind != TN_JSON_OBJECT) return tn_param_wrong(call, "tools", v, "a list of objects");
    if (type && type->kind != TN_JSON_NULL && !tn_json_is(type, "custom"))
        return tn_param_wrong(call, place, type, "custom");
    if (!tn_params_read(call, v, path, &table, 1, &t)) return false;
    if (!t.name.data) return missing(call, path, "name");
    if (!t.schema) return missing(call, path, "input_schema");
    snprintf(place, sizeof place, "%sinput_schema", path);
    if (t.schema->kind != TN_JSON_OBJECT)
        return tn_param_wrong(call, place, t.schema, "a JSON schema: an object");
    tn_buf_printf(out, "%s{\"type\": \"function\", \"function\": {", i ? ", " : "");
    put_member(out, "name", t.name.data, t.name.size);
    if (t.description) {
        tn_buf_puts(out, ", \"description\": ");
        tn_json_print(t.description, out);
    }
    tn_buf_puts(out, ", \"parameters\": ");
    tn_json_print(t.schema, out);
    tn_buf_puts(out, "}}");
    return true;
}

bool tn_anthropic_tools(TnCall *call, const TnJsonNode *tools, const TnJsonNode **out_tools) {
    TnBuf out = {0};
    size_t i = 0;
    bool ok = true;
    *out_tools = NULL;
    if (!tools) return true;
    if (tools->kind != TN_JSON_ARRAY) return tn_param_wrong(call, "tools", tools, "a list of tools");
    tn_buf_puts(&out, "[");
    for (const TnJsonNode *v = tools->first; v && ok; v = v->next) ok = put_tool(call, v, i++, &out);
    tn_buf_puts(&out, "]");
    if (ok) *out_tools = tn_chat_parse(call, &out);
    tn_buf_free(&out);
    return ok;
}
