/* Reads the members of a request by tables. Every member has a row that says what becomes of it, or the request is refused: a
 * client never gets an answer to a question that it did not ask. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"
#include "runtime/base/nearest.h"

/* A value in a message: short, and in quotes if it is a string. */
static void show(const TnJsonNode *v, TnBuf *out) {
    if (v->kind == TN_JSON_ARRAY || v->kind == TN_JSON_OBJECT)
        tn_buf_puts(out, tn_json_kind_name(v->kind));
    else if (v->kind == TN_JSON_STRING)
        tn_buf_printf(out, "'%.*s%s'", (int)(v->size < 60 ? v->size : 60), v->text, v->size > 60 ? ".." : "");
    else
        tn_json_print(v, out);
    tn_buf_put(out, "", 1);
}

bool tn_param_wrong(TnCall *call, const char *param, const TnJsonNode *got, const char *expected) {
    TnBuf shown = {0};
    show(got, &shown);
    tn_call_refuse(call, 400, "invalid_value", param, "%s: got %s, expected %s", param, shown.data, expected);
    tn_buf_free(&shown);
    return false;
}

static bool number_of(const TnJsonNode *v, double *out) {
    if (v->kind != TN_JSON_INT && v->kind != TN_JSON_REAL) return false;
    *out = strtod(v->text, NULL);
    return true;
}

/* ---- Values that change nothing */

/* Whether one of the words of `only` is this value. */
static bool is_only(const TnJsonNode *v, const char *only) {
    TnBuf text = {0};
    double x = 0, y;
    bool found = false, number = number_of(v, &x);
    tn_json_print(v, &text);
    for (const char *p = only; *p && !found;) {
        size_t n = strcspn(p, " ");
        char *end;
        y = strtod(p, &end);
        found = number ? end == p + n && x == y : n == text.len && memcmp(p, text.data, n) == 0;
        p += n;
        p += *p == ' ';
    }
    tn_buf_free(&text);
    return found;
}

static bool refuse_only(TnCall *call, const char *param, const TnJsonNode *v, const char *only) {
    TnBuf shown = {0};
    show(v, &shown);
    if (*only)
        tn_call_refuse(call, 400, "unsupported_value", param,
                       "%s: got %s, which is not supported, expected %s", param, shown.data, only);
    else
        tn_call_refuse(call, 400, "unsupported_parameter", param, "%s: is not supported", param);
    tn_buf_free(&shown);
    return false;
}

/* ---- One member */

static bool take_int(TnCall *call, const char *param, const TnParam *p, const TnJsonNode *v, int64_t *out) {
    char expected[80];
    double x;
    snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", p->lo, p->hi);
    if (!number_of(v, &x) || x != floor(x) || !(x >= p->lo && x <= p->hi))
        return tn_param_wrong(call, param, v, expected);
    *out = v->kind == TN_JSON_INT ? strtoll(v->text, NULL, 10) : (int64_t)x;
    return true;
}

static bool take_real(TnCall *call, const char *param, const TnParam *p, const TnJsonNode *v, double *out) {
    char expected[80];
    snprintf(expected, sizeof expected, "a number from %g to %g", p->lo, p->hi);
    if (!number_of(v, out) || !(*out >= p->lo && *out <= p->hi))
        return tn_param_wrong(call, param, v, expected);
    return true;
}

static bool take(TnCall *call, const char *param, const TnParam *p, const TnJsonNode *v, char *out) {
    void *to = out + p->at;
    switch (p->kind) {
    case TN_PARAM_BOOL:
        if (v->kind != TN_JSON_TRUE && v->kind != TN_JSON_FALSE)
            return tn_param_wrong(call, param, v, "true or false");
        *(bool *)to = v->kind == TN_JSON_TRUE;
        return true;
    case TN_PARAM_INT:
        return take_int(call, param, p, v, to);
    case TN_PARAM_REAL:
        return take_real(call, param, p, v, to);
    case TN_PARAM_TEXT:
        if (v->kind != TN_JSON_STRING) return tn_param_wrong(call, param, v, "a string");
        *(TernText *)to = (TernText){v->text, v->size};
        return true;
    case TN_PARAM_NODE:
        *(const TnJsonNode **)to = v;
        return true;
    case TN_PARAM_ONLY:
        return is_only(v, p->only) || refuse_only(call, param, v, p->only);
    case TN_PARAM_ANY:
        return true;
    }
    TN_BUG("a parameter of kind %d", (int)p->kind);
}

/* ---- All of them */

static const TnParam *find(const TnJsonNode *member, const TnParam *const *tables, size_t n_tables) {
    for (size_t i = 0; i < n_tables; i++)
        for (const TnParam *p = tables[i]; p->name; p++)
            if (strlen(p->name) == member->key_size && memcmp(p->name, member->key, member->key_size) == 0)
                return p;
    return NULL;
}

static bool refuse_unknown(TnCall *call, const char *param, const TnJsonNode *member,
                           const TnParam *const *tables, size_t n_tables) {
    TnNearest near = {.word = member->key, .len = member->key_size};
    for (size_t i = 0; i < n_tables; i++)
        for (const TnParam *p = tables[i]; p->name; p++) tn_nearest_try(&near, p->name, strlen(p->name));
    return tn_call_refuse(call, 400, "unknown_parameter", param, "%s: is not known%s%s%s", param,
                          near.best ? ", did you mean " : "", near.best ? near.best : "",
                          near.best ? "?" : "");
}

bool tn_params_read(TnCall *call, const TnJsonNode *object, const char *path, const TnParam *const *tables,
                    size_t n_tables, void *out) {
    for (const TnJsonNode *m = object->first; m; m = m->next) {
        char param[160];
        snprintf(param, sizeof param, "%s%.100s", path, m->key);
        const TnParam *p = find(m, tables, n_tables);
        if (!p) return refuse_unknown(call, param, m, tables, n_tables);
        if (m->kind != TN_JSON_NULL && !take(call, param, p, m, out)) return false;
    }
    return true;
}
