/* The list of jobs, rules that schemas share, and what all types have in common. */
#include "runtime/text/grammar/schema.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/text/grammar.h"
#include "runtime/text/grammar/rules.h"

enum {
    SCHEMA_MOST = 1 << 20, /* bytes of JSON */
    JOBS_MOST = 1 << 16,
};

/* ---- Paths and errors */

const TnSchemaPath *tn_schema_path(TnSchemas *s, const TnSchemaPath *up, const char *word, const char *key,
                                   size_t n_key) {
    TnSchemaPath *p = tn_alloc(&s->arena, sizeof *p);
    *p = (TnSchemaPath){up, word, key, n_key};
    return p;
}

static void put_path(const TnSchemaPath *path, TnBuf *out) {
    const TnSchemaPath *list[TN_JSON_DEPTH_MOST * 2];
    size_t n = 0;
    for (; path && n < TN_COUNT(list); path = path->up) list[n++] = path;
    tn_buf_puts(out, "#");
    while (n) {
        path = list[--n];
        tn_buf_printf(out, "/%s", path->word);
        if (path->key) tn_buf_printf(out, "/%.*s", (int)(path->n_key < 60 ? path->n_key : 60), path->key);
    }
}

TernStatus tn_schema_refuse(TnSchemas *s, const TnSchemaPath *path, const char *fmt, ...) {
    TnBuf b = {0};
    va_list ap;
    va_start(ap, fmt);
    put_path(path, &b);
    tn_buf_puts(&b, ": ");
    tn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    tn_buf_put(&b, "", 1);
    TernStatus st = tn_fail(s->err, TERN_ERR_UNSUPPORTED, "%s", b.data);
    tn_buf_free(&b);
    return st;
}

TernStatus tn_schema_wrong(TnSchemas *s, const TnSchemaPath *path, const TnJsonNode *got,
                           const char *expected) {
    TnBuf b = {0};
    bool empty = got->kind == TN_JSON_ARRAY && got->n == 0;
    put_path(path, &b);
    tn_buf_put(&b, "", 1);
    TernStatus st = tn_fail(s->err, TERN_ERR_INPUT, "%s: got %s, expected %s", b.data,
                            empty ? "an empty array" : tn_json_kind_name(got->kind), expected);
    tn_buf_free(&b);
    return st;
}

/* ---- Names and literals */

const char *tn_schema_name(TnSchemas *s, const char *base, const char *key, size_t n_key) {
    enum { BASE_MOST = 40, KEY_MOST = 24 };
    char name[BASE_MOST + KEY_MOST + 16];
    size_t n = 0;
    for (; base[n] && n < BASE_MOST; n++) name[n] = base[n];
    for (size_t i = 0; key && i < n_key && i < KEY_MOST; i++) {
        char c = key[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (i == 0 && n) name[n++] = '-';
        name[n++] = (char)(word ? c : '-');
    }
    const char *plain = tn_strndup(&s->arena, name, n);
    uint32_t next = tn_map_get(&s->names, plain, n);
    if (next == TN_MAP_NONE) {
        tn_map_set(&s->names, plain, n, 2);
        return plain;
    }
    size_t n_name;
    do n_name = n + (size_t)snprintf(name + n, sizeof name - n, "-%u", next++);
    while (tn_map_get(&s->names, name, n_name) != TN_MAP_NONE);
    const char *kept = tn_strndup(&s->arena, name, n_name);
    tn_map_set(&s->names, plain, n, next);
    tn_map_set(&s->names, kept, n_name, 2);
    return kept;
}

void tn_schema_literal(const char *bytes, size_t n, TnBuf *out) {
    tn_buf_puts(out, "\"");
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            tn_buf_printf(out, "\\%c", bytes[i]);
        else if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
            tn_buf_printf(out, "\\x%02X", (unsigned char)bytes[i]);
        else
            tn_buf_put(out, bytes + i, 1);
    }
    tn_buf_puts(out, "\"");
}

/* ---- Rules that schemas share */

/* A day of the calendar: years 0001 to 9999, and the 29th of February in leap years only. */
#define DATE                                                                                                 \
    "( ([0-9]{3} [1-9] | [0-9]{2} [1-9] \"0\" | [0-9] [1-9] \"00\" | [1-9] \"000\") \"-\" "                  \
    "( (\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01]) "                          \
    "| (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") "                                    \
    "| \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]) ) "                                                 \
    "| ([0-9]{2} (\"0\" [48] | [2468] [048] | [13579] [26]) "                                                \
    "| (\"0\" [48] | [2468] [048] | [13579] [26]) \"00\") \"-02-29\" )"
#define TIME                                                                                                 \
    "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? "                    \
    "(\"Z\" | [+-] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])"

static const struct {
    const char *name, *body;
    uint32_t uses; /* other rules: bits */
} commons[TN_COMMON_COUNT] = {
    [TN_COMMON_VALUE] = {"value", "object | array | string | number | boolean | null",
                         1u << TN_COMMON_OBJECT | 1u << TN_COMMON_ARRAY | 1u << TN_COMMON_STRING |
                             1u << TN_COMMON_NUMBER | 1u << TN_COMMON_BOOLEAN | 1u << TN_COMMON_NULL},
    [TN_COMMON_OBJECT] = {"object",
                          "\"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)* ws)? \"}\"",
                          1u << TN_COMMON_VALUE | 1u << TN_COMMON_STRING | 1u << TN_COMMON_WS},
    [TN_COMMON_ARRAY] = {"array", "\"[\" ws (value (\",\" ws value)* ws)? \"]\"",
                         1u << TN_COMMON_VALUE | 1u << TN_COMMON_WS},
    [TN_COMMON_STRING] = {"string", "\"\\\"\" char* \"\\\"\"", 1u << TN_COMMON_CHAR},
    [TN_COMMON_NUMBER] = {"number",
                          "\"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [+-]? [0-9]{1,2})?",
                          0},
    [TN_COMMON_INTEGER] = {"integer", "\"0\" | \"-\"? [1-9] [0-9]{0,15}", 0},
    [TN_COMMON_BOOLEAN] = {"boolean", "\"true\" | \"false\"", 0},
    [TN_COMMON_NULL] = {"null", "\"null\"", 0},
    [TN_COMMON_DATE] = {"date", DATE, 0},
    [TN_COMMON_TIME] = {"time", TIME, 0},
    [TN_COMMON_UUID] = {"uuid",
                        "[0-9a-fA-F]{8} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" "
                        "[0-9a-fA-F]{12}",
                        0},
    [TN_COMMON_IPV4] =
        {"ipv4",
         "(([0-9] | [1-9] [0-9] | \"1\" [0-9]{2} | \"2\" [0-4] [0-9] | \"25\" [0-5]) \".\"){3} "
         "([0-9] | [1-9] [0-9] | \"1\" [0-9]{2} | \"2\" [0-4] [0-9] | \"25\" [0-5])",
         0},
    /* No escape of half a surrogate pair: it would be half a character. */
    [TN_COMMON_CHAR] = {"char",
                        "[^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9A-Ca-cE-Fe-f] "
                        "[0-9a-fA-F]{3} | [Dd] [0-7] [0-9a-fA-F]{2}))",
                        0},
    [TN_COMMON_WS] = {"ws", "(\" \" | \"\\n\" [ \\t]{0,20})?", 0},
};

const char *tn_schema_common(TnSchemas *s, TnCommonRule rule) {
    s->common[rule] = true;
    return commons[rule].name;
}

static void put_commons(TnSchemas *s) {
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < TN_COMMON_COUNT; i++)
            for (int k = 0; s->common[i] && k < TN_COMMON_COUNT; k++)
                if (commons[i].uses >> k & 1 && !s->common[k]) s->common[k] = more = true;
    }
    for (int i = 0; i < TN_COMMON_COUNT; i++)
        if (s->common[i]) tn_buf_printf(&s->out, "%s ::= %s\n", commons[i].name, commons[i].body);
}

/* ---- Schemas */

const char *tn_schema_rule(TnSchemas *s, const TnJsonNode *schema, const TnSchemaPath *path, const char *base,
                           const char *key, size_t n_key) {
    const void **address = tn_alloc(&s->arena, sizeof(void *));
    *address = tn_schema_identity(schema);
    uint32_t i = tn_map_get(&s->by_schema, (const char *)address, sizeof *address);
    if (i != TN_MAP_NONE) return s->jobs[i].rule;
    TnSchemaJob job = {schema, path, tn_schema_name(s, base, key, n_key)};
    tn_map_set(&s->by_schema, (const char *)address, sizeof *address, (uint32_t)s->n_jobs);
    TN_PUSH(s->jobs, s->n_jobs, s->cap_jobs, job);
    return job.rule;
}

/* Keywords that no grammar here can express, whatever the type. */
static TernStatus check_keywords(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema) {
    static const char *const words[] = {
        "not",          "if",          "then",         "else", "dependentSchemas", "dependentRequired",
        "dependencies", "$dynamicRef", "$recursiveRef"};
    for (size_t i = 0; i < TN_COUNT(words); i++)
        if (tn_json_member(schema, words[i]))
            return tn_schema_refuse(s, tn_schema_path(s, job->path, words[i], NULL, 0), "is not supported");
    return TERN_OK;
}

/* enum and const list values. Other keywords beside them would have to be checked for each value; only type is. */
static TernStatus put_values(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body) {
    const TnJsonNode *list = tn_json_member(schema, "enum"), *value = tn_json_member(schema, "const");
    uint32_t types;
    TN_TRY(tn_schema_types(s, schema, job->path, &types));
    const char *word = list ? "enum" : "const";
    const TnJsonNode *rest = tn_schema_without(s, tn_schema_without(s, schema, word), "type");
    if (tn_schema_says(rest))
        return tn_schema_refuse(s, tn_schema_path(s, job->path, word, NULL, 0),
                                "is not supported beside '%s'", tn_schema_says(rest)->key);
    if (list && list->kind != TN_JSON_ARRAY)
        return tn_schema_wrong(s, tn_schema_path(s, job->path, "enum", NULL, 0), list, "an array");
    bool any = false;
    for (const TnJsonNode *v = list ? list->first : value; v; v = list ? v->next : NULL) {
        if (!(tn_json_type(v) & types)) continue;
        TnBuf json = {0};
        tn_json_print(v, &json);
        if (any) tn_buf_puts(body, " | ");
        tn_schema_literal(json.data, json.len, body);
        tn_buf_free(&json);
        any = true;
    }
    if (any) return TERN_OK;
    return tn_schema_refuse(s, tn_schema_path(s, job->path, word, NULL, 0), "has no value of the type");
}

/* Whether no value at all matches, as far as type and enum tell. */
static TernStatus is_void(TnSchemas *s, const TnJsonNode *schema, const TnSchemaPath *path, bool *out) {
    const TnJsonNode *list = tn_json_member(schema, "enum");
    uint32_t types;
    TN_TRY(tn_schema_types(s, schema, path, &types));
    *out = schema->kind == TN_JSON_FALSE || types == 0 || (list && list->kind == TN_JSON_ARRAY && !list->n);
    return TERN_OK;
}

/* anyOf and oneOf. What stands beside them holds for each alternative. */
static TernStatus put_choice(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, const char *word,
                             TnBuf *body) {
    enum { APART_DEPTH = 6 };
    const TnJsonNode *list = tn_json_member(schema, word), *rest = tn_schema_without(s, schema, word);
    const TnSchemaPath *at = tn_schema_path(s, job->path, word, NULL, 0);
    if (list->kind != TN_JSON_ARRAY || list->n == 0)
        return tn_schema_wrong(s, at, list, "an array of one or more schemas");
    bool says = tn_schema_says(rest) != NULL, exact = strcmp(word, "oneOf") == 0, any = false;
    const TnJsonNode **parts = tn_alloc_array(&s->arena, list->n, sizeof *parts);
    size_t n = 0;
    for (const TnJsonNode *v = list->first; v; v = v->next) {
        const char *index = tn_sprintf(&s->arena, "%zu", n);
        const TnSchemaPath *path = tn_schema_path(s, job->path, word, index, strlen(index)), *target = path;
        const TnJsonNode *part;
        TN_TRY(tn_schema_resolve(s, v, &target, &part));
        if (says) TN_TRY(tn_schema_merge(s, rest, part, path, &part));
        for (size_t k = 0; k < n && exact; k++) {
            bool apart;
            TN_TRY(tn_schema_apart(s, parts[k], part, path, APART_DEPTH, &apart));
            if (!apart)
                return tn_schema_refuse(
                    s, at, "alternatives %zu and %zu may both match, which is not supported", k, n);
        }
        parts[n++] = part;
        bool none;
        TN_TRY(is_void(s, part, path, &none));
        if (none) continue;
        if (any) tn_buf_puts(body, " | ");
        tn_buf_puts(body, tn_schema_rule(s, part, says ? path : target, job->rule, index, strlen(index)));
        any = true;
    }
    return any ? TERN_OK : tn_schema_refuse(s, at, "no value matches");
}

static TernStatus put_type(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, uint32_t type,
                           TnBuf *body) {
    switch (type) {
    case TN_TYPE_NULL:
        tn_buf_puts(body, tn_schema_common(s, TN_COMMON_NULL));
        return TERN_OK;
    case TN_TYPE_BOOLEAN:
        tn_buf_puts(body, tn_schema_common(s, TN_COMMON_BOOLEAN));
        return TERN_OK;
    case TN_TYPE_INTEGER:
        return tn_schema_number(s, job, schema, true, body);
    case TN_TYPE_NUMBER:
        return tn_schema_number(s, job, schema, false, body);
    case TN_TYPE_STRING:
        return tn_schema_string(s, job, schema, body);
    case TN_TYPE_ARRAY:
        return tn_schema_array(s, job, schema, body);
    default:
        return tn_schema_object(s, job, schema, body);
    }
}

static TernStatus put_types(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body) {
    uint32_t types, made;
    TN_TRY(tn_schema_types(s, schema, job->path, &types));
    made = tn_schema_types_made(schema, types);
    if (made == 0) return tn_schema_refuse(s, job->path, "no value matches");
    if (made == TN_TYPE_ALL && !tn_schema_says(schema)) {
        tn_buf_puts(body, tn_schema_common(s, TN_COMMON_VALUE));
        return TERN_OK;
    }
    if (made & TN_TYPE_NUMBER) made &= ~(uint32_t)TN_TYPE_INTEGER;
    bool any = false;
    for (uint32_t type = TN_TYPE_OBJECT; type; type >>= 1) {
        if (!(made & type)) continue;
        if (any) tn_buf_puts(body, " | ");
        TN_TRY(put_type(s, job, schema, type, body));
        any = true;
    }
    return TERN_OK;
}

static TernStatus put_body(TnSchemas *s, const TnSchemaJob *job, TnBuf *body) {
    TnSchemaJob at = *job;
    const TnJsonNode *schema;
    TN_TRY(tn_schema_resolve(s, job->schema, &at.path, &schema));
    if (schema->kind == TN_JSON_FALSE) return tn_schema_refuse(s, at.path, "no value matches");
    if (schema->kind == TN_JSON_TRUE) {
        tn_buf_puts(body, tn_schema_common(s, TN_COMMON_VALUE));
        return TERN_OK;
    }
    if (schema != job->schema && at.path != job->path) { /* the target of a $ref has a rule of its own */
        const TnSchemaPath *p = at.path ? at.path : job->path;
        tn_buf_puts(body, tn_schema_rule(s, schema, at.path, at.path && p->key ? "" : job->rule,
                                         p ? p->key : NULL, p ? p->n_key : 0));
        return TERN_OK;
    }
    TN_TRY(check_keywords(s, &at, schema));
    if (job->schema == s->root && !tn_schema_says(schema)) { /* as in llama.cpp */
        tn_buf_puts(body, tn_schema_common(s, TN_COMMON_OBJECT));
        return TERN_OK;
    }
    if (tn_json_member(schema, "oneOf")) return put_choice(s, &at, schema, "oneOf", body);
    if (tn_json_member(schema, "anyOf")) return put_choice(s, &at, schema, "anyOf", body);
    if (tn_json_member(schema, "enum") || tn_json_member(schema, "const"))
        return put_values(s, &at, schema, body);
    return put_types(s, &at, schema, body);
}

static TernStatus run_jobs(TnSchemas *s) {
    for (size_t i = 0; i < s->n_jobs; i++) {
        TnBuf body = {0};
        TnSchemaJob job = s->jobs[i];
        TernStatus st = put_body(s, &job, &body);
        tn_buf_put(&body, "", 1);
        if (st == TERN_OK) tn_buf_printf(&s->out, "%s ::= %s\n", job.rule, body.data);
        tn_buf_free(&body);
        if (st != TERN_OK) return st;
        if (s->n_jobs > JOBS_MOST)
            return tn_schema_refuse(s, job.path, "the schema needs more than %d rules", JOBS_MOST);
    }
    put_commons(s);
    return TERN_OK;
}

/* A schema that comes to itself by anyOf, oneOf or a list of types alone shows as left recursion. */
static TernStatus check_text(TnSchemas *s) {
    TnArena arena = {0};
    TnRules rules = {.arena = &arena};
    TernError err;
    TernStatus st = tn_gbnf_read(NULL, s->out.data, s->out.len, &rules, &err);
    if (st == TERN_OK) st = tn_rules_check(&rules, &err);
    tn_rules_free(&rules);
    tn_arena_free(&arena);
    if (st == TERN_OK) return TERN_OK;
    return tn_fail(s->err, TERN_ERR_UNSUPPORTED, "#: no grammar of this schema: %s", err.text);
}

TernStatus tern_grammar_of_schema(const char *json, size_t size, char **out_text, size_t *out_size,
                                  TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_text, err);
    TN_NEED(out_size, err);
    *out_text = NULL;
    *out_size = 0;
    TN_NEED(json, err);
    if (size > SCHEMA_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "the schema has %zu bytes, expected at most %d", size,
                       SCHEMA_MOST);
    TnSchemas s = {.err = err};
    TernStatus st = tn_json_tree(json, size, &s.arena, &s.root, err);
    if (st == TERN_OK) {
        for (int i = 0; i < TN_COMMON_COUNT; i++)
            tn_map_set(&s.names, commons[i].name, strlen(commons[i].name), 2);
        tn_schema_rule(&s, s.root, NULL, "root", NULL, 0);
        st = run_jobs(&s);
    }
    if (st == TERN_OK) st = check_text(&s);
    if (st == TERN_OK) {
        *out_size = s.out.len;
        tn_buf_put(&s.out, "", 1);
        *out_text = s.out.data;
        s.out = (TnBuf){0};
    }
    tn_buf_free(&s.out);
    tn_map_free(&s.names);
    tn_map_free(&s.by_schema);
    tn_map_free(&s.merged);
    free(s.jobs);
    free(s.merges);
    tn_arena_free(&s.arena);
    return st;
}
