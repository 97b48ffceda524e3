/* What /v1/responses is asked: its items become the messages of a chat, and its tools those of a chat.
 *
 *   a message                      a message
 *   function_call, one or more     a message of the assistant with calls
 *   function_call_output           a message of the role tool
 *   instructions                   a system message before all of them */
#include <stddef.h>
#include <string.h>
#include "frontends/serve/responses.h"

typedef struct Item {
    TernText type, role, call_id, name, arguments;
    const TnJsonNode *content, *output;
} Item;
#define AT(field) offsetof(Item, field)
#define COMMON                                                                                               \
    {"type", TN_PARAM_TEXT, AT(type), 0, 0, NULL}, {"id", TN_PARAM_ANY, 0, 0, 0, NULL}, {                    \
        "status", TN_PARAM_ANY, 0, 0, 0, NULL                                                                \
    }
#define END                                                                                                  \
    { NULL, TN_PARAM_ANY, 0, 0, 0, NULL }
static const TnParam message_params[] = {
    COMMON,
    {"role", TN_PARAM_TEXT, AT(role), 0, 0, NULL},
    {"content", TN_PARAM_NODE, AT(content), 0, 0, NULL},
    {"phase", TN_PARAM_ANY, 0, 0, 0, NULL},
    END,
};
static const TnParam call_params[] = {
    COMMON,
    {"call_id", TN_PARAM_TEXT, AT(call_id), 0, 0, NULL},
    {"name", TN_PARAM_TEXT, AT(name), 0, 0, NULL},
    {"arguments", TN_PARAM_TEXT, AT(arguments), 0, 0, NULL},
    END,
};
static const TnParam output_params[] = {
    COMMON,
    {"call_id", TN_PARAM_TEXT, AT(call_id), 0, 0, NULL},
    {"output", TN_PARAM_NODE, AT(output), 0, 0, NULL},
    END,
};

static bool missing(TnCall *call, const char *path, const char *member) {
    char param[80];
    snprintf(param, sizeof param, "%.40s%s", path, member);
    return tn_call_refuse(call, 400, "missing_parameter", param, "%s: is missing, expected a string", param);
}

static void put_member(TnBuf *out, const char *name, TernText value) {
    tn_buf_printf(out, "\"%s\": ", name);
    tn_json_print_string(value.data ? value.data : "", value.size, out);
}

/* ---- Items */

typedef struct Writer {
    TnCall *call;
    TnBuf *out;
    size_t n;     /* messages so far */
    bool calling; /* the last one is of calls and has no end yet */
} Writer;

static void end_calls(Writer *w) {
    if (w->calling) tn_buf_puts(w->out, "]}");
    w->calling = false;
}

static void begin_message(Writer *w, TernText role) {
    end_calls(w);
    tn_buf_puts(w->out, w->n++ ? ", {" : "{");
    put_member(w->out, "role", role);
    tn_buf_puts(w->out, ", ");
}

/* types: of the parts that a list of content may have */
static bool put_content(Writer *w, const char *path, const char *member, const TnJsonNode *v,
                        const char *types) {
    TnBuf text = {0};
    char place[60];
    snprintf(place, sizeof place, "%.40s%s", path, member);
    if (!v) return missing(w->call, path, member);
    bool ok = tn_chat_content(w->call, place, v, types, &text);
    if (ok) put_member(w->out, "content", (TernText){text.data, text.len});
    tn_buf_free(&text);
    return ok;
}

static bool is(TernText t, const char *word) {
    return t.data && t.size == strlen(word) && memcmp(t.data, word, t.size) == 0;
}

static bool put_message(Writer *w, const char *path, const TnJsonNode *v, const Item *i) {
    char place[60];
    snprintf(place, sizeof place, "%.40srole", path);
    if (!i->role.data) return missing(w->call, path, "role");
    if (!is(i->role, "user") && !is(i->role, "assistant") && !is(i->role, "system") &&
        !is(i->role, "developer"))
        return tn_param_wrong(w->call, place, tn_json_member(v, "role"),
                              "user, assistant, system or developer");
    begin_message(w, i->role);
    if (!put_content(w, path, "content", i->content, "input_text output_text text")) return false;
    tn_buf_puts(w->out, "}");
    return true;
}

static bool put_call(Writer *w, const char *path, const Item *i) {
    static const TernText assistant = {"assistant", 9};
    if (!i->call_id.data) return missing(w->call, path, "call_id");
    if (!i->name.data) return missing(w->call, path, "name");
    if (!i->arguments.data) return missing(w->call, path, "arguments");
    if (!w->calling) {
        begin_message(w, assistant);
        tn_buf_puts(w->out, "\"content\": \"\", \"tool_calls\": [");
    } else {
        tn_buf_puts(w->out, ", ");
    }
    w->calling = true;
    tn_buf_puts(w->out, "{\"type\": \"function\", ");
    put_member(w->out, "id", i->call_id);
    tn_buf_puts(w->out, ", \"function\": {");
    put_member(w->out, "name", i->name);
    tn_buf_puts(w->out, ", ");
    put_member(w->out, "arguments", i->arguments);
    tn_buf_puts(w->out, "}}");
    return true;
}

static bool put_output(Writer *w, const char *path, const Item *i) {
    static const TernText tool = {"tool", 4};
    if (!i->call_id.data) return missing(w->call, path, "call_id");
    begin_message(w, tool);
    put_member(w->out, "tool_call_id", i->call_id);
    tn_buf_puts(w->out, ", ");
    if (!put_content(w, path, "output", i->output, "input_text output_text text")) return false;
    tn_buf_puts(w->out, "}");
    return true;
}

static bool put_item(Writer *w, const TnJsonNode *v, size_t index) {
    char path[40], place[50];
    Item i = {.content = NULL};
    const TnJsonNode *type = tn_json_member(v, "type");
    bool call = tn_json_is(type, "function_call"), output = tn_json_is(type, "function_call_output");
    const TnParam *const table = call ? call_params : output ? output_params : message_params;
    snprintf(path, sizeof path, "input[%zu].", index);
    snprintf(place, sizeof place, "%stype", path);
    if (v->kind != TN_JSON_OBJECT) {
        path[strlen(path) - 1] = '\0';
        return tn_param_wrong(w->call, path, v, "an object: a message, a call, or the output of one");
    }
    if (type && !call && !output && !tn_json_is(type, "message"))
        return tn_param_wrong(w->call, place, type, "message, function_call or function_call_output");
    if (!tn_params_read(w->call, v, path, &table, 1, &i)) return false;
    return call ? put_call(w, path, &i) : output ? put_output(w, path, &i) : put_message(w, path, v, &i);
}

const TnJsonNode *tn_responses_messages(TnCall *call, const TnJsonNode *input, TernText instructions) {
    static const TernText system = {"system", 6}, user = {"user", 4};
    TnBuf out = {0};
    Writer w = {.call = call, .out = &out};
    size_t n = 0;
    bool list = input && input->kind == TN_JSON_ARRAY, ok = true;
    if (!input)
        ok = tn_call_refuse(call, 400, "missing_parameter", "input",
                            "input: is missing, expected a string or a list of items");
    else if (!list && input->kind != TN_JSON_STRING)
        ok = tn_param_wrong(call, "input", input, "a string or a list of items");
    else if (list && input->n == 0)
        ok = tn_param_wrong(call, "input", input, "a list with an item at least");
    tn_buf_puts(&out, "[");
    if (ok && instructions.data) {
        begin_message(&w, system);
        put_member(&out, "content", instructions);
        tn_buf_puts(&out, "}");
    }
    if (ok && input && !list) {
        begin_message(&w, user);
        put_member(&out, "content", (TernText){input->text, input->size});
        tn_buf_puts(&out, "}");
    }
    for (const TnJsonNode *v = ok && list ? input->first : NULL; v && ok; v = v->next)
        ok = put_item(&w, v, n++);
    end_calls(&w);
    tn_buf_puts(&out, "]");
    if (ok) return tn_chat_parse(call, &out);
    tn_buf_free(&out);
    return NULL;
}

/* ---- Tools */

typedef struct Tool {
    TernText type, name;
    const TnJsonNode *description, *parameters;
} Tool;
static const TnParam tool_params[] = {
    {"type", TN_PARAM_TEXT, offsetof(Tool, type), 0, 0, NULL},
    {"name", TN_PARAM_TEXT, offsetof(Tool, name), 0, 0, NULL},
    {"description", TN_PARAM_NODE, offsetof(Tool, description), 0, 0, NULL},
    {"parameters", TN_PARAM_NODE, offsetof(Tool, parameters), 0, 0, NULL},
    {"strict", TN_PARAM_ANY, 0, 0, 0, NULL}, /* a call that is required always is by its schema */
    END,
};

static void put_tool(TnBuf *out, const Tool *t) {
    tn_buf_puts(out, "{\"type\": \"function\", \"function\": {");
    put_member(out, "name", t->name);
    const TnJsonNode *const more[] = {t->description, t->parameters};
    static const char *const names[] = {"description", "parameters"};
    for (size_t i = 0; i < TN_COUNT(more); i++) {
        if (!more[i]) continue;
        tn_buf_printf(out, ", \"%s\": ", names[i]);
        tn_json_print(more[i], out);
    }
    tn_buf_puts(out, "}}");
}

static bool read_tool(TnCall *call, const TnJsonNode *v, size_t i, TnBuf *out) {
    char path[40], place[50];
    Tool t = {.description = NULL};
    const TnParam *const table = tool_params;
    const TnJsonNode *type = tn_json_member(v, "type");
    snprintf(path, sizeof path, "tools[%zu].", i);
    snprintf(place, sizeof place, "%stype", path);
    if (!tn_json_is(type, "function")) return tn_param_wrong(call, place, type ? type : v, "function");
    if (!tn_params_read(call, v, path, &table, 1, &t)) return false;
    if (!t.name.data) return missing(call, path, "name");
    put_tool(out, &t);
    return true;
}

bool tn_responses_tools(TnCall *call, const TnJsonNode *tools, const TnJsonNode **out_tools) {
    TnBuf out = {0};
    size_t i = 0;
    *out_tools = NULL;
    if (!tools) return true;
    if (tools->kind != TN_JSON_ARRAY) return tn_param_wrong(call, "tools", tools, "a list of tools");
    tn_buf_puts(&out, "[");
    for (const TnJsonNode *v = tools->first; v; v = v->next) {
        if (i) tn_buf_puts(&out, ", ");
        if (!read_tool(call, v, i++, &out)) {
            tn_buf_free(&out);
            return false;
        }
    }
    tn_buf_puts(&out, "]");
    *out_tools = tn_chat_parse(call, &out);
    return true;
}
