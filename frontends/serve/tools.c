/* Calls of tools in an answer's text, in the formats that models were trained on:
 *
 *   Hermes, Qwen   <tool_call>{"name": "f", "arguments": {..}}</tool_call>, any number of them, text around them
 *   Llama 3        the whole answer is {"name": "f", "parameters": {..}}, perhaps after <|python_tag|>
 *   Mistral        [TOOL_CALLS][{"name": "f", "arguments": {..}}, ..]
 *
 * What is not whole, not JSON, or names no tool of the request stays text: nothing that the model said is lost. An answer that
 * is bare JSON may well be data with a member "name", so it is a call only if it has arguments and nothing that calls do not
 * have. Arguments are passed on as the JSON that they are, without blanks, in a string as OpenAI's clients expect. Blanks around
 * calls are dropped, unless they are within the text. */
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"
#include "frontends/serve/tool_words.h"

static TernText keep(TnToolText *t, const char *bytes, size_t n) {
    return (TernText){tn_strndup(&t->arena, bytes, n), n};
}

bool tn_tools_has(const TnPlan *plan, TernText name) {
    for (size_t i = 0; i < plan->n_tools; i++)
        if (plan->tools[i].size == name.size && memcmp(plan->tools[i].data, name.data, name.size) == 0)
            return true;
    return false;
}

static bool is_tool(const TnPlan *plan, const TnJsonNode *name) {
    return name && name->kind == TN_JSON_STRING && tn_tools_has(plan, (TernText){name->text, name->size});
}

/* Whether the object has no other members than calls have. */
static bool is_only_call(const TnJsonNode *v) {
    static const char *const known[] = {"name", "arguments", "parameters", "id", "type"};
    for (const TnJsonNode *m = v->first; m; m = m->next) {
        size_t i = 0;
        while (i < TN_COUNT(known) && strcmp(known[i], m->key) != 0) i++;
        if (i == TN_COUNT(known)) return false;
    }
    return true;
}

/* Adds a call if the node is one. bare: no word around it says so. */
static bool add_call(const TnPlan *plan, TnToolText *t, const TnJsonNode *v, bool bare) {
    const TnJsonNode *name = tn_json_member(v, "name"), *arguments = tn_json_member(v, "arguments");
    if (!arguments) arguments = tn_json_member(v, "parameters");
    if (!is_tool(plan, name) || (arguments && arguments->kind != TN_JSON_OBJECT)) return false;
    if (bare && !(arguments && is_only_call(v))) return false;
    TnBuf text = {0};
    if (arguments)
        tn_json_print(arguments, &text);
    else
        tn_buf_puts(&text, "{}");
    TnToolCall call = {keep(t, name->text, name->size), keep(t, text.data, text.len)};
    TN_PUSH(t->calls, t->n_calls, t->cap_calls, call);
    tn_buf_free(&text);
    return true;
}

bool tn_tools_add(const TnPlan *plan, TnToolText *t, const char *text, size_t n, bool bare) {
    TnArena arena = {0};
    const TnJsonNode *v = NULL;
    size_t before = t->n_calls;
    bool ok = tn_json_tree(text, n, &arena, &v, NULL) == TERN_OK;
    if (ok && v->kind == TN_JSON_ARRAY && v->n) {
        for (const TnJsonNode *item = v->first; item && ok; item = item->next)
            ok = add_call(plan, t, item, bare);
        if (!ok) t->n_calls = before;
    } else {
        ok = ok && add_call(plan, t, v, bare);
    }
    tn_arena_free(&arena);
    return ok;
}

static const char *find(const char *text, size_t n, const char *word) {
    return memmem(text, n, word, strlen(word));
}

/* <tool_call>..</tool_call>: what is between and around calls is content, without blanks at its end, and at its beginning if that
 * is a call. */
static void read_tagged(const TnPlan *plan, TnToolText *t, const char *text, size_t n) {
    static const char open[] = TN_CALL_OPEN, close[] = TN_CALL_CLOSE;
    TnBuf *content = &t->content;
    bool text_first = false;
    for (const char *p = text, *end = text + n; p < end;) {
        size_t before = t->n_calls;
        const char *at = find(p, (size_t)(end - p), open);
        const char *body = at ? at + sizeof open - 1 : NULL;
        const char *stop = body ? find(body, (size_t)(end - body), close) : NULL;
        const char *next = stop ? stop + sizeof close - 1 : end;
        bool call = stop && tn_tools_add(plan, t, body, (size_t)(stop - body), false);
        size_t size = (size_t)((call ? at : next) - p);
        tn_buf_put(content, p, size);
        text_first |= before == 0 && tn_blanks(p, size) < size;
        p = next;
    }
    if (!t->n_calls || !content->data) return;
    size_t from = text_first ? 0 : tn_blanks(content->data, content->len);
    if (from) memmove(content->data, content->data + from, content->len - from);
    content->len -= from;
    while (content->len && tn_is_blank(content->data[content->len - 1])) content->len--;
}

void tn_tools_parse_whole(TnCall *call, size_t choice, TnToolText *out) {
    const TnBuf *text = &call->choices[choice].text;
    if (!call->plan.tools) {
        if (text->len) tn_buf_put(&out->content, text->data, text->len);
        return;
    }
    size_t at = text->len ? tn_blanks(text->data, text->len) : 0;
    const char *begin = text->len ? text->data + at : "";
    size_t n = text->len - at;
    for (size_t i = 0; i < TN_COUNT(tn_call_words) && n && !out->n_calls; i++) {
        size_t skip = strlen(tn_call_words[i]);
        if (n > skip && memcmp(begin, tn_call_words[i], skip) == 0)
            tn_tools_add(&call->plan, out, begin + skip, n - skip, skip == 0);
    }
    if (!out->n_calls && text->len) read_tagged(&call->plan, out, text->data, text->len);
}

void tn_tools_parse(TnCall *call, size_t choice, TnToolText *out) {
    const TnToolText *t = tn_tools_so_far(&call->choices[choice]);
    if (!t) {
        tn_tools_parse_whole(call, choice, out);
        return;
    }
    if (t->content.len) tn_buf_put(&out->content, t->content.data, t->content.len);
    for (size_t i = 0; i < t->n_calls; i++) {
        const TnToolCall *c = &t->calls[i];
        TnToolCall copy = {keep(out, c->name.data, c->name.size),
                           keep(out, c->arguments.data, c->arguments.size)};
        TN_PUSH(out->calls, out->n_calls, out->cap_calls, copy);
    }
    out->text_at = t->text_at;
}

void tn_tools_free(TnToolText *t) {
    tn_buf_free(&t->content);
    free(t->calls);
    tn_arena_free(&t->arena);
}
