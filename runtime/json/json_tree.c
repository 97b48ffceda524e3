/* jansson parses; a walk over its values makes the tree. */
#include "runtime/json/json_tree.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/status.h"

/* jansson's own bound on depth is 2048, so the walk is bounded too. NULL: deeper than TN_JSON_DEPTH_MOST. */
static TnJsonNode *copy(const json_t *value, uint32_t depth, TnArena *arena);

static void spell(TnJsonNode *v, TnArena *arena, const char *text) {
    v->size = strlen(text);
    v->text = tn_strndup(arena, text, v->size);
}

/* The fewest digits that read back as the same double, with a mark of a real. */
static void spell_real(TnJsonNode *v, TnArena *arena, double x) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text - 2, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    if (!strpbrk(text, ".e")) strcat(text, ".0");
    spell(v, arena, text);
}

static bool copy_items(TnJsonNode *v, const json_t *array, uint32_t depth, TnArena *arena) {
    TnJsonNode **end = &v->first;
    v->n = json_array_size(array);
    for (size_t i = 0; i < v->n; i++, end = &(*end)->next)
        if (!(*end = copy(json_array_get(array, i), depth, arena))) return false;
    return true;
}

static bool copy_members(TnJsonNode *v, json_t *object, uint32_t depth, TnArena *arena) {
    TnJsonNode **end = &v->first;
    v->n = json_object_size(object);
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        TnJsonNode *member = copy(json_object_iter_value(at), depth, arena);
        if (!member) return false;
        member->key_size = strlen(json_object_iter_key(at));
        member->key = tn_strndup(arena, json_object_iter_key(at), member->key_size);
        *end = member;
        end = &member->next;
    }
    return true;
}

static TnJsonNode *copy(const json_t *value, uint32_t depth, TnArena *arena) {
    TnJsonNode *v = tn_alloc(arena, sizeof *v);
    char digits[24];
    switch (json_typeof(value)) {
    case JSON_NULL:
        v->kind = TN_JSON_NULL;
        return v;
    case JSON_FALSE:
        v->kind = TN_JSON_FALSE;
        return v;
    case JSON_TRUE:
        v->kind = TN_JSON_TRUE;
        return v;
    case JSON_INTEGER:
        v->kind = TN_JSON_INT;
        snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        spell(v, arena, digits);
        return v;
    case JSON_REAL:
        v->kind = TN_JSON_REAL;
        spell_real(v, arena, json_real_value(value));
        return v;
    case JSON_STRING:
        v->kind = TN_JSON_STRING;
        v->size = json_string_length(value);
        v->text = tn_strndup(arena, json_string_value(value), v->size);
        return v;
    case JSON_ARRAY:
        v->kind = TN_JSON_ARRAY;
        return depth < TN_JSON_DEPTH_MOST && copy_items(v, value, depth + 1, arena) ? v : NULL;
    case JSON_OBJECT:
        v->kind = TN_JSON_OBJECT;
        return depth < TN_JSON_DEPTH_MOST && copy_members(v, (json_t *)value, depth + 1, arena) ? v : NULL;
    }
    TN_BUG("jansson gave a value of kind %d", (int)json_typeof(value));
}

TernStatus tn_json_tree(const char *text, size_t size, TnArena *arena, const TnJsonNode **out,
                        TernError *err) {
    json_error_t e;
    *out = NULL;
    if (err) *err = (TernError){0};
    json_t *value = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    if (!value && json_error_code(&e) == json_error_out_of_memory) tn_out_of_memory(size);
    if (!value) return tn_fail(err, TERN_ERR_INPUT, "line %d, column %d: %s", e.line, e.column, e.text);
    *out = copy(value, 0, arena);
    json_decref(value);
    if (*out) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "got more than %d arrays and objects in each other, expected at most that",
                   TN_JSON_DEPTH_MOST);
}

/* ---- looking and printing */

const TnJsonNode *tn_json_member(const TnJsonNode *node, const char *key) {
    if (!node || node->kind != TN_JSON_OBJECT) return NULL;
    size_t n = strlen(key);
    for (const TnJsonNode *m = node->first; m; m = m->next)
        if (m->key_size == n && memcmp(m->key, key, n) == 0) return m;
    return NULL;
}

bool tn_json_is(const TnJsonNode *node, const char *string) {
    return node && node->kind == TN_JSON_STRING && node->size == strlen(string) &&
           memcmp(node->text, string, node->size) == 0;
}

const char *tn_json_kind_name(TnJsonKind kind) {
    static const char *const names[] = {"null",     "false",    "true",     "an integer",
                                        "a number", "a string", "an array", "an object"};
    return names[kind];
}

void tn_json_print_string(const char *bytes, size_t n, TnBuf *out) {
    static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    tn_buf_put(out, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        const char *found = bytes[i] ? strchr(named, bytes[i]) : NULL;
        if (found)
            tn_buf_printf(out, "\\%c", names[found - named]);
        else if ((unsigned char)bytes[i] < 0x20)
            tn_buf_printf(out, "\\u%04x", (unsigned char)bytes[i]);
        else
            tn_buf_put(out, bytes + i, 1);
    }
    tn_buf_put(out, "\"", 1);
}

void tn_json_print(const TnJsonNode *v, TnBuf *out) {
    static const char *const words[] = {"null", "false", "true"};
    switch (v->kind) {
    case TN_JSON_NULL:
    case TN_JSON_FALSE:
    case TN_JSON_TRUE:
        tn_buf_puts(out, words[v->kind]);
        return;
    case TN_JSON_INT:
    case TN_JSON_REAL:
        tn_buf_put(out, v->text, v->size);
        return;
    case TN_JSON_STRING:
        tn_json_print_string(v->text, v->size, out);
        return;
    case TN_JSON_ARRAY:
    case TN_JSON_OBJECT:
        break;
    }
    bool object = v->kind == TN_JSON_OBJECT;
    tn_buf_puts(out, object ? "{" : "[");
    for (const TnJsonNode *m = v->first; m; m = m->next) {
        if (m != v->first) tn_buf_puts(out, ",");
        if (object) {
            tn_json_print_string(m->key, m->key_size, out);
            tn_buf_puts(out, ":");
        }
        tn_json_print(m, out);
    }
    tn_buf_puts(out, object ? "}" : "]");
}
