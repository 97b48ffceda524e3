/* JSON as values. The strings of the user's JSON are marked as the user's. */
#include <stdlib.h>
#include "jinja.h"
#include "runtime/json/json_tree.h"

enum { MOST_BYTES = 32 << 20 }; /* a tree takes up to 100 times as much */

static TnStr string(TnJinja *j, const char *p, size_t n, bool user) {
    TnOut *o = tn_j_open(j);
    tn_o_bytes(o, p, n, user);
    return tn_j_close(o).s;
}
static TnVal value(TnJinja *j, const TnJsonNode *v, bool user) {
    TnVal out = {.kind = JV_NONE};
    switch (v->kind) {
    case TN_JSON_NULL:
        return out;
    case TN_JSON_FALSE:
    case TN_JSON_TRUE:
        return tn_j_bool(v->kind == TN_JSON_TRUE);
    case TN_JSON_INT:
        return tn_j_int(strtoll(v->text, NULL, 10));
    case TN_JSON_REAL:
        return (TnVal){.kind = JV_FLOAT, .f = strtod(v->text, NULL)};
    case TN_JSON_STRING:
        return tn_j_of(string(j, v->text, v->size, user));
    case TN_JSON_ARRAY:
        out = tn_j_list(j, JV_LIST);
        for (const TnJsonNode *i = v->first; i; i = i->next) tn_j_add(j, out.list, value(j, i, user));
        return out;
    case TN_JSON_OBJECT:
        out = tn_j_map(j);
        for (const TnJsonNode *i = v->first; i; i = i->next)
            tn_j_put(j, out.map, tn_j_of(string(j, i->key, i->key_size, user)), value(j, i, user));
        return out;
    }
    TN_BUG("JSON of kind %d", v->kind);
}
TnVal tn_j_json(TnJinja *j, TernText text, bool user, const char *what) {
    const TnJsonNode *tree;
    TernError err;
    if (text.size > MOST_BYTES)
        tn_j_fail(j, "%s: got %zu bytes, expected at most %d", what, text.size, MOST_BYTES);
    if (tn_json_tree(text.data, text.size, &j->json, &tree, &err) != TERN_OK)
        tn_j_fail(j, "%s: %s", what, err.text);
    TnVal v = value(j, tree, user);
    tn_arena_free(&j->json);
    return v;
}
