/* Answers that must be a call of a tool: a grammar in the format that the model's template shows it.
 *
 *   the template has    the answer
 *   <tool_call>         <tool_call>, {"name": "f", "arguments": {..}}, </tool_call>
 *   [TOOL_CALLS]        [TOOL_CALLS] and a list with one such object
 *   python_tag          {"name": "f", "parameters": {..}}
 *   none of them        {"name": "f", "arguments": {..}}
 *
 * The object is a JSON schema: one alternative a tool, with the tool's own schema inside. References of that schema begin at
 * its root, so they are written anew with the place where it stands now. */
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"

typedef struct Format {
    const char *sign, *key;
    const char *word, *after,
        *close; /* a word that may be a token of its own, or NULL; GBNF before and after the object */
} Format;
static const Format formats[] = {
    {"<tool_call>", "arguments", "<tool_call>", "\"\\n\"", "\"\\n</tool_call>\""},
    {"[TOOL_CALLS]", "arguments", "[TOOL_CALLS]", "\" \"? \"[\"", "\"]\""},
    {"python_tag", "parameters", NULL, "", ""},
    {"", "arguments", NULL, "", ""},
};

static const Format *find_format(TernText source) {
    const Format *f = formats;
    while (*f->sign && !(source.data && memmem(source.data, source.size, f->sign, strlen(f->sign)))) f++;
    return f;
}

/* ---- The schema */

static void put_schema(TnBuf *out, const TnJsonNode *v, const char *base) {
    bool list = v->kind == TN_JSON_ARRAY;
    if (!list && v->kind != TN_JSON_OBJECT) {
        tn_json_print(v, out);
        return;
    }
    tn_buf_puts(out, list ? "[" : "{");
    for (const TnJsonNode *m = v->first; m; m = m->next) {
        if (m != v->first) tn_buf_puts(out, ", ");
        if (!list) {
            tn_json_print_string(m->key, m->key_size, out);
            tn_buf_puts(out, ": ");
        }
        if (!list && strcmp(m->key, "$ref") == 0 && m->kind == TN_JSON_STRING && m->text[0] == '#') {
            TnBuf ref = {0};
            tn_buf_printf(&ref, "%s%s", base, m->text + 1);
            tn_json_print_string(ref.data, ref.len, out);
            tn_buf_free(&ref);
        } else {
            put_schema(out, m, base);
        }
    }
    tn_buf_puts(out, list ? "]" : "}");
}

static const TnJsonNode *name_of(const TnJsonNode *tool) {
    return tn_json_member(tn_json_member(tool, "function"), "name");
}

static bool is_meant(const TnJsonNode *tool, TernText only) {
    const TnJsonNode *name = name_of(tool);
    return !only.data || (name->size == only.size && memcmp(name->text, only.data, only.size) == 0);
}

static void put_tool(TnBuf *out, const TnJsonNode *tool, const char *key, size_t i) {
    const TnJsonNode *name = name_of(tool),
                     *schema = tn_json_member(tn_json_member(tool, "function"), "parameters");
    char base[80];
    snprintf(base, sizeof base, "#/anyOf/%zu/properties/%s", i, key);
    tn_buf_printf(out, "%s{\"type\": \"object\", \"properties\": {\"name\": {\"const\": ", i ? ", " : "");
    tn_json_print_string(name->text, name->size, out);
    tn_buf_printf(out, "}, \"%s\": ", key);
    if (schema && schema->kind == TN_JSON_OBJECT && schema->n)
        put_schema(out, schema, base);
    else
        tn_buf_puts(out, "{\"type\": \"object\", \"properties\": {}, \"additionalProperties\": false}");
    tn_buf_printf(out, "}, \"required\": [\"name\", \"%s\"], \"additionalProperties\": false}", key);
}

/* How many tools it is about. */
static size_t put_tools(TnBuf *out, const TnChatParams *p, const char *key) {
    size_t n = 0;
    tn_buf_puts(out, "{\"anyOf\": [");
    for (const TnJsonNode *tool = p->tools->first; tool; tool = tool->next)
        if (is_meant(tool, p->only)) put_tool(out, tool, key, n++);
    tn_buf_puts(out, "]}");
    return n;
}

/* ---- The grammar around it */

/* The text with its rule root under another name. */
static void put_renamed(TnBuf *out, const char *text) {
    for (const char *p = text; *p;) {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
        char close = *p == '"' ? '"' : *p == '[' ? ']' : 0;
        if (n == 4 && memcmp(p, "root", 4) == 0) {
            tn_buf_puts(out, "one-call");
        } else if (close) {
            n = 1;
            while (p[n] && p[n] != close) n += p[n] == '\\' && p[n + 1] ? 2 : 1;
            n += p[n] != 0;
            tn_buf_put(out, p, n);
        } else {
            n = n ? n : 1;
            tn_buf_put(out, p, n);
        }
        p += n;
    }
}

/* A word, or the token that is spelled like it: control tokens match only as themselves. */
static void put_word(TnBuf *out, const TernVocab *vocab, const char *word) {
    size_t n = strlen(word);
    tn_buf_printf(out, "(\"%s\"", word);
    for (uint32_t id = 0; id < tern_vocab_get_facts(vocab).n_tokens; id++) {
        TernText t = tern_token_get_bytes(vocab, (int32_t)id);
        if (t.size == n && memcmp(t.data, word, n) == 0) tn_buf_printf(out, " | <[%u]>", id);
    }
    tn_buf_puts(out, ") ");
}

static bool set_grammar(TnCall *call, const Format *f, const char *schema, size_t size) {
    TernError err = {0};
    char *text;
    TnBuf all = {0};
    TernStatus st = tern_grammar_of_schema(schema, size, &text, &size, &err);
    if (st != TERN_OK)
        return tn_call_refuse(call, 400, st == TERN_ERR_UNSUPPORTED ? "unsupported_value" : "invalid_value",
                              "tools", "tools: %s", err.text);
    tn_buf_puts(&all, "root ::= ");
    if (f->word) put_word(&all, call->plan.model->vocab, f->word);
    tn_buf_printf(&all, "%s one-call %s\n", f->after, f->close);
    put_renamed(&all, text);
    free(text);
    bool ok = tn_plan_grammar(call, "tool_choice", all.data, all.len);
    tn_buf_free(&all);
    return ok;
}

bool tn_tools_force(TnCall *call, const TnChatParams *p) {
    const Format *f = find_format(call->plan.model->chat_source);
    TnBuf schema = {0};
    bool some = p->tools && p->tools->n;
    if (p->use != TN_TOOLS_MUST && some && !p->parallel)
        return tn_call_refuse(call, 400, "unsupported_value", "parallel_tool_calls",
                              "parallel_tool_calls: got false, expected true unless a call is required");
    if (p->use != TN_TOOLS_MUST) return true;
    if (!some)
        return tn_call_refuse(call, 400, "invalid_value", "tool_choice", "tool_choice: goes with tools");
    if (p->text.ignore_eos)
        return tn_call_refuse(call, 400, "invalid_value", "ignore_eos",
                              "ignore_eos: goes with no grammar or schema");
    bool ok = put_tools(&schema, p, f->key) > 0;
    call->plan.must_call = ok;
    if (ok)
        ok = set_grammar(call, f, schema.data, schema.len);
    else
        tn_call_refuse(call, 400, "invalid_value", "tool_choice",
                       "tool_choice: got '%.*s', expected the name of one of the tools",
                       (int)(p->only.size < 80 ? p->only.size : 80), p->only.data);
    tn_buf_free(&schema);
    return ok;
}
