/* Messages as a list and as JSON. */
#include "runtime/generate/messages.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/escape.h"
#include "runtime/json/json_tree.h"

/* ---- The list */

static char *copy(const char *bytes, size_t n) {
    char *to = tn_xcalloc(n + 1, 1);
    if (n) memcpy(to, bytes, n);
    return to;
}

static TernStatus check_utf8(const char *what, const char *bytes, size_t n, TernError *err) {
    for (size_t at = 0, step; at < n; at += step)
        if (!(step = tn_utf8(bytes + at, n - at)))
            return tn_fail(err, TERN_ERR_INPUT, "the %s is not UTF-8: got 0x%02x at byte %zu", what,
                           (unsigned)(unsigned char)bytes[at], at);
    return TERN_OK;
}

TernStatus tn_messages_insert(TnMessages *m, size_t at, const char *role, TernText content, TernError *err) {
    if (!*role)
        return tn_fail(err, TERN_ERR_INPUT, "the role is empty, expected user or assistant or another");
    TN_TRY(check_utf8("role", role, strlen(role), err));
    TN_TRY(check_utf8("message", content.data, content.size, err));
    TnMessage new = {copy(role, strlen(role)), copy(content.data, content.size), content.size};
    TN_PUSH(m->v, m->n, m->cap, new);
    memmove(m->v + at + 1, m->v + at, (m->n - 1 - at) * sizeof *m->v);
    m->v[at] = new;
    return TERN_OK;
}

void tn_messages_remove(TnMessages *m, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) free(m->v[i].role), free(m->v[i].content);
    if (to < m->n) memmove(m->v + from, m->v + to, (m->n - to) * sizeof *m->v);
    m->n -= to - from;
}

void tn_messages_free(TnMessages *m) {
    tn_messages_remove(m, 0, m->n);
    free(m->v);
    *m = (TnMessages){0};
}

/* ---- Turns */

static bool of_user(const TnMessages *m, size_t i) {
    return strcmp(m->v[i].role, "user") == 0;
}

size_t tn_messages_first_turn(const TnMessages *m) {
    size_t i = 0;
    while (i < m->n && !of_user(m, i)) i++;
    return i;
}

size_t tn_messages_next_turn(const TnMessages *m, size_t at) {
    do at++;
    while (at < m->n && !of_user(m, at));
    return at < m->n ? at : m->n;
}

size_t tn_messages_last_turn(const TnMessages *m) {
    for (size_t i = m->n; i > 0; i--)
        if (of_user(m, i - 1)) return i - 1;
    return m->n;
}

/* ---- JSON */

void tn_messages_print(const TnMessages *m, size_t from, size_t to, TnBuf *out) {
    const char *between = "[\n  ";
    for (size_t i = 0; i < m->n; i++) {
        if (i >= from && i < to) continue;
        tn_buf_puts(out, between);
        tn_buf_puts(out, "{\"role\": ");
        tn_json_print_string(m->v[i].role, strlen(m->v[i].role), out);
        tn_buf_puts(out, ", \"content\": ");
        tn_json_print_string(m->v[i].content, m->v[i].n, out);
        tn_buf_puts(out, "}");
        between = ",\n  ";
    }
    tn_buf_puts(out, *between == '[' ? "[]\n" : "\n]\n");
}

static TernStatus wrong(const TnJsonNode *at, const char *expected, TernError *err) {
    bool text = at->kind == TN_JSON_STRING, member = at->key != NULL;
    return tn_fail(err, TERN_ERR_INPUT, "%s%sgot %s%s%s, expected %s", member ? at->key : "",
                   member ? ": " : "", text ? "'" : "", text ? at->text : tn_json_kind_name(at->kind),
                   text ? "'" : "", expected);
}

static TernStatus read_message(TnMessages *m, const TnJsonNode *node, TernError *err) {
    if (node->kind != TN_JSON_OBJECT) return wrong(node, "an object with role and content", err);
    const TnJsonNode *role = tn_json_member(node, "role"), *content = tn_json_member(node, "content");
    for (const TnJsonNode *part = node->first; part; part = part->next) {
        if (part != role && part != content)
            return tn_fail(err, TERN_ERR_INPUT, "got the key '%s', expected role and content", part->key);
        if (part->kind != TN_JSON_STRING) return wrong(part, "a string", err);
    }
    if (!role || !content) return wrong(node, role ? "a member content" : "a member role", err);
    if (memchr(role->text, 0, role->size)) return wrong(role, "a role without NUL", err);
    return tn_messages_insert(m, m->n, role->text, (TernText){content->text, content->size}, err);
}

static TernStatus read_list(TnMessages *m, const TnJsonNode *list, const char *name, TernError *err) {
    if (list->kind != TN_JSON_ARRAY)
        return tn_fail_in(err, wrong(list, "a list of messages", err), "%s", name);
    size_t i = 0;
    for (const TnJsonNode *node = list->first; node; node = node->next, i++) {
        TernStatus st = read_message(m, node, err);
        if (st != TERN_OK) return tn_fail_in(err, st, "%s: messages[%zu]", name, i);
    }
    return TERN_OK;
}

TernStatus tn_messages_read(TnMessages *m, const char *json, size_t size, const char *name, TernError *err) {
    TnArena arena = {0};
    const TnJsonNode *list = NULL;
    TernStatus st = tn_json_tree(json, size, &arena, &list, err);
    st = st == TERN_OK ? read_list(m, list, name, err) : tn_fail_in(err, st, "%s", name);
    tn_arena_free(&arena);
    if (st != TERN_OK) tn_messages_free(m);
    return st;
}

bool tn_put_utf8(const char *bytes, size_t n, TnBuf *out) {
    bool wrong_bytes = false;
    for (size_t at = 0, step; at < n; at += step) {
        step = tn_utf8(bytes + at, n - at);
        if (!step) wrong_bytes = true;
        tn_buf_put(out, step ? bytes + at : "\xef\xbf\xbd", step ? step : 3);
        if (!step) step = 1;
    }
    return wrong_bytes;
}
