/* Reading a template and rendering it: bounds, failure, variables in, text and spans out. */
#include <stdio.h>
#include <stdlib.h>
#include "jinja.h"
#include "runtime/base/options.h"
#include "runtime/text/utf8.h"

/* A level takes up to about 1 KiB of stack. */
enum { MOST_LEVELS = 1000 };

void tn_j_fail(TnJinja *j, const char *fmt, ...) {
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    tn_message(text, sizeof text, fmt, ap);
    va_end(ap);
    if (j->line)
        tn_fail(j->err, TERN_ERR_INPUT, "line %d: %s", j->line, text);
    else
        tn_fail(j->err, TERN_ERR_INPUT, "%s", text);
    longjmp(j->leave, 1);
}
void tn_j_step(TnJinja *j, uint64_t n) {
    j->steps += n;
    if (j->steps > j->max_steps || n > j->max_steps)
        tn_j_fail(j, "the template takes more than %llu steps", (unsigned long long)j->max_steps);
}
void tn_j_nest(TnJinja *j) {
    if (++j->depth > MOST_LEVELS) tn_j_fail(j, "nested too deep, expected at most %d levels", MOST_LEVELS);
}
TnStr tn_j_checked(TnJinja *j, TernText t, const char *what) {
    for (size_t i = 0; i < t.size;) {
        uint32_t point;
        int partial, n = tn_utf8_next((const uint8_t *)t.data + i, t.size - i, &point, &partial);
        if (!n) tn_j_fail(j, "%s is not UTF-8 at byte %zu", what, i);
        i += (size_t)n;
    }
    return tn_j_plain(t.data ? t.data : "", t.size);
}

/* ---- A template */

/* Apart from its caller, as fill below, so that no variable is live across setjmp. */
static void read_template(TnJinja *j, TernText source, TernChatTemplate *chat) {
    if (setjmp(j->leave)) return;
    tn_j_lex(j, tn_j_checked(j, source, "the template"));
    chat->tree = tn_j_parse(j);
    tn_j_check(j, chat->tree);
    chat->unset = tn_j_scopes(j, chat->tree);
}
TernStatus tern_chat_template_create(TernText source, TernChatTemplate **out_template, TernError *err) {
    TernError own;
    if (!err) err = &own;
    tn_error_clear(err);
    TN_NEED(out_template, err);
    *out_template = NULL;
    if (source.size) TN_NEED(source.data, err);
    if (source.size > (size_t)4 << 20)
        return tn_fail(err, TERN_ERR_INPUT, "a chat template has %zu bytes, expected at most %d", source.size,
                       4 << 20);
    TernChatTemplate *chat = calloc(1, sizeof *chat);
    TnJinja *j = calloc(1, sizeof *j);
    if (chat && j) {
        j->err = err, j->line = 1, j->max_steps = j->max_output = j->max_memory = UINT64_MAX;
        read_template(j, source, chat);
        chat->mem = j->mem;
    } else {
        tn_fail(err, TERN_ERR_MEMORY, "no memory for a chat template");
    }
    free(j);
    if (err->code == TERN_OK)
        *out_template = chat;
    else
        tern_chat_template_destroy(chat);
    return err->code;
}
void tern_chat_template_destroy(TernChatTemplate *chat) {
    if (!chat) return;
    tn_mem_free(&chat->mem);
    free(chat);
}

/* ---- A rendering */

static const TnField input_fields[] = {
    TN_FIELD(TernChatInput, messages),   TN_FIELD(TernChatInput, tools),
    TN_FIELD(TernChatInput, bos),        TN_FIELD(TernChatInput, eos),
    TN_FIELD(TernChatInput, extra),      TN_FIELD(TernChatInput, add_generation_prompt),
    TN_FIELD(TernChatInput, now),        TN_FIELD(TernChatInput, max_steps),
    TN_FIELD(TernChatInput, max_output), TN_FIELD(TernChatInput, max_memory),
};
static const TnShape input_shape = TN_SHAPE(TernChatInput, input_fields);

static void set(TnJinja *j, TnMap *vars, const char *name, TnVal v) {
    tn_j_put(j, vars, tn_j_of(tn_j_plain(name, strlen(name))), v);
}
/* Some templates make a control token around a role; see chat.h. */
static void trust_roles(TnList *messages) {
    static const char *const usual[] = {"system",   "developer", "user",  "assistant",  "tool",
                                        "function", "ipython",   "model", "observation"};
    for (size_t i = 0; i < messages->n; i++) {
        TnVal *role = messages->v[i].kind == JV_MAP ? tn_j_name(messages->v[i].map, "role") : NULL;
        for (size_t k = 0; role && role->kind == JV_STR && k < TN_COUNT(usual); k++)
            if (tn_j_same(role->s, usual[k])) role->s.m = NULL;
    }
}
static const char *shown(TnVal v) {
    static const char *const names[] = {"null", "a boolean", "an integer", "a number", "a string", "a list"};
    return v.kind == JV_MAP ? "an object" : names[v.kind - JV_NONE];
}
static void take_variables(TnJinja *j, const TernChatInput *in, TnMap *vars) {
    TnVal v = tn_j_list(j, JV_LIST);
    if (in->messages.data) v = tn_j_json(j, in->messages, true, "the messages");
    if (v.kind != JV_LIST) tn_j_fail(j, "the messages: got %s, expected a list", shown(v));
    for (size_t i = 0; i < v.list->n; i++)
        if (v.list->v[i].kind != JV_MAP)
            tn_j_fail(j, "the messages: item %zu is %s, expected an object", i, shown(v.list->v[i]));
    trust_roles(v.list);
    set(j, vars, "messages", v);
    v = (TnVal){.kind = JV_NONE};
    if (in->tools.data) v = tn_j_json(j, in->tools, true, "the tools");
    if (v.kind != JV_LIST && v.kind != JV_NONE) tn_j_fail(j, "the tools: got %s, expected a list", shown(v));
    set(j, vars, "tools", v);
    set(j, vars, "documents", (TnVal){.kind = JV_NONE});
    set(j, vars, "add_generation_prompt", tn_j_bool(in->add_generation_prompt));
    if (in->bos.data) set(j, vars, "bos_token", tn_j_of(tn_j_checked(j, in->bos, "bos")));
    if (in->eos.data) set(j, vars, "eos_token", tn_j_of(tn_j_checked(j, in->eos, "eos")));
    if (!in->extra.data) return;
    v = tn_j_json(j, in->extra, false, "the extra variables");
    if (v.kind != JV_MAP) tn_j_fail(j, "the extra variables: got %s, expected an object", shown(v));
    for (size_t i = 0; i < v.map->n; i++) tn_j_put(j, vars, v.map->k[i], v.map->v[i]);
}
static bool put_spans(const TnOut *o, TernChatText *out) {
    size_t n = 0;
    for (size_t i = 0; i < o->n; i++) n += i == 0 || o->m[i] != o->m[i - 1];
    out->spans = calloc(n ? n : 1, sizeof *out->spans);
    if (!out->spans) return false;
    for (size_t i = 0; i < o->n; i++) {
        if (i == 0 || o->m[i] != o->m[i - 1]) out->spans[out->n_spans++].user = o->m[i];
        out->spans[out->n_spans - 1].size++;
    }
    return true;
}
static void fill(TnJinja *j, const TernChatTemplate *chat, const TernChatInput *in, TernChatText *out) {
    if (setjmp(j->leave)) return;
    TnScope *globals = tn_j_alloc(j, 1, sizeof *globals);
    take_variables(j, in, &globals->vars);
    j->scope = globals;
    j->out = tn_j_open(j);
    j->line = 1;
    tn_j_run(j, chat);
    out->data = malloc(j->out->n + 1);
    if (!out->data || !put_spans(j->out, out)) {
        tn_fail(j->err, TERN_ERR_MEMORY, "no memory for a chat of %zu bytes", j->out->n);
        return;
    }
    if (j->out->n) memcpy(out->data, j->out->p, j->out->n);
    out->size = j->out->n;
    out->data[out->size] = 0;
}
TernStatus tern_chat_render(const TernChatTemplate *chat, const TernChatInput *input, TernChatText *out,
                            TernError *err) {
    TernChatInput in = TERN_CHAT_INPUT;
    TernError own;
    if (!err) err = &own;
    tn_error_clear(err);
    TN_NEED(out, err);
    *out = (TernChatText){0};
    TN_NEED(chat, err);
    TN_TRY(tn_options_take(&input_shape, input, &in, err));
    if (in.add_generation_prompt != 0 && in.add_generation_prompt != 1)
        return tn_fail(err, TERN_ERR_INPUT, "TernChatInput.add_generation_prompt is %d, expected 0 or 1",
                       in.add_generation_prompt);
    const struct {
        const char *name;
        TernText text;
    } texts[] = {{"messages", in.messages},
                 {"tools", in.tools},
                 {"bos", in.bos},
                 {"eos", in.eos},
                 {"extra", in.extra}};
    for (size_t i = 0; i < TN_COUNT(texts); i++)
        if (!texts[i].text.data && texts[i].text.size)
            return tn_fail(err, TERN_ERR_INPUT, "TernChatInput.%s is NULL although its size is %zu",
                           texts[i].name, texts[i].text.size);
    TnJinja *j = calloc(1, sizeof *j);
    if (!j) return tn_fail(err, TERN_ERR_MEMORY, "no memory to render a chat template");
    j->err = err, j->now = in.now;
    j->max_steps = in.max_steps ? in.max_steps : 20000000;
    j->max_output = in.max_output ? in.max_output : (uint64_t)64 << 20;
    j->max_memory = in.max_memory ? in.max_memory : (uint64_t)1 << 30;
    fill(j, chat, &in, out);
    tn_mem_free(&j->mem);
    tn_arena_free(&j->json);
    free(j);
    if (err->code != TERN_OK) tern_chat_text_free(out);
    return err->code;
}
void tern_chat_text_free(TernChatText *text) {
    if (!text) return;
    free(text->data);
    free(text->spans);
    *text = (TernChatText){0};
}
