/* Objects and arrays.
 *
 * The named members of an object come in the order of `properties`, each once, the optional ones or not. Two chains of
 * rules write that: `first` as long as no member has come, which has no comma to begin with, and `more` after it. Members
 * that are not named come last; their keys are spelled without escapes, and a tree of the names keeps them from being one
 * of those. */
#include <stdlib.h>
#include <string.h>
#include "runtime/text/grammar/schema.h"

typedef struct Property {
    const char *key;
    size_t n_key;
    const TnJsonNode *schema; /* NULL: not in properties; any value, or what additionalProperties says */
    bool required;
} Property;

typedef struct Object {
    TnSchemas *s;
    const TnSchemaJob *job;
    Property *v;
    size_t n, cap;
    TnMap index;
    const TnJsonNode *more; /* the schema of members that are not in properties */
    bool open;              /* there may be members that are not named */
    const char *more_rule;  /* such a member: key, colon, value; NULL: there are none */
} Object;

TernStatus tn_schema_count(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, const char *word,
                           uint32_t none, uint32_t *out) {
    enum { MOST = 1000000 };
    const TnJsonNode *v = tn_json_member(schema, word);
    *out = none;
    if (!v) return TERN_OK;
    const TnSchemaPath *path = tn_schema_path(s, job->path, word, NULL, 0);
    double x = v->kind == TN_JSON_INT || v->kind == TN_JSON_REAL ? strtod(v->text, NULL) : -1;
    if (x < 0 || tn_json_type(v) != TN_TYPE_INTEGER) return tn_schema_wrong(s, path, v, "a count");
    if (x > MOST) return tn_schema_refuse(s, path, "got %s, expected at most %d", v->text, MOST);
    *out = (uint32_t)x;
    return TERN_OK;
}

static TernStatus refuse_words(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema,
                               const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (tn_json_member(schema, words[i]))
            return tn_schema_refuse(s, tn_schema_path(s, job->path, words[i], NULL, 0), "is not supported");
    return TERN_OK;
}

/* ---- Which members */

static Property *property(Object *o, const char *key, size_t n_key) {
    uint32_t i = tn_map_get(&o->index, key, n_key);
    if (i != TN_MAP_NONE) return &o->v[i];
    tn_map_set(&o->index, key, n_key, (uint32_t)o->n);
    TN_PUSH(o->v, o->n, o->cap, ((Property){key, n_key, NULL, false}));
    return &o->v[o->n - 1];
}

static TernStatus list_properties(Object *o, const TnJsonNode *schema) {
    const TnJsonNode *named = tn_json_member(schema, "properties"),
                     *required = tn_json_member(schema, "required");
    const TnSchemaPath *path = o->job->path;
    if (named && named->kind != TN_JSON_OBJECT)
        return tn_schema_wrong(o->s, tn_schema_path(o->s, path, "properties", NULL, 0), named, "an object");
    if (required && required->kind != TN_JSON_ARRAY)
        return tn_schema_wrong(o->s, tn_schema_path(o->s, path, "required", NULL, 0), required, "an array");
    for (const TnJsonNode *m = named ? named->first : NULL; m; m = m->next)
        property(o, m->key, m->key_size)->schema = m;
    for (const TnJsonNode *m = required ? required->first : NULL; m; m = m->next) {
        if (m->kind != TN_JSON_STRING)
            return tn_schema_wrong(o->s, tn_schema_path(o->s, path, "required", NULL, 0), m, "a string");
        property(o, m->text, m->size)->required = true;
    }
    return TERN_OK;
}

/* Counts of members are not counted by the grammar: only those are taken that every object here keeps. */
static TernStatus check_counts(const Object *o, const TnJsonNode *schema) {
    uint32_t least, most, required = 0;
    TN_TRY(tn_schema_count(o->s, o->job, schema, "minProperties", 0, &least));
    TN_TRY(tn_schema_count(o->s, o->job, schema, "maxProperties", UINT32_MAX, &most));
    for (size_t i = 0; i < o->n; i++) required += o->v[i].required;
    const char *word = least > required ? "minProperties" : "maxProperties";
    if (least <= required && (most == UINT32_MAX || (o->n <= most && !o->open))) return TERN_OK;
    return tn_schema_refuse(o->s, tn_schema_path(o->s, o->job->path, word, NULL, 0),
                            "is not supported where it is more than a count of the named members");
}

/* ---- Keys that are not named: a tree of the names */

typedef struct Name {
    const char *key;
    size_t n;
} Name;

static int by_key(const void *pa, const void *pb) {
    const Name *a = pa, *b = pb;
    int c = memcmp(a->key, b->key, a->n < b->n ? a->n : b->n);
    return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

static size_t char_size(unsigned char lead) {
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

static void put_class_char(const char *c, size_t n, TnBuf *out) {
    if (n == 1 && strchr("]\\^-", *c))
        tn_buf_printf(out, "\\x%02X", (unsigned char)*c);
    else
        tn_buf_put(out, c, n);
}

/* Writes the rule for what may follow a beginning of `at` bytes that the names [from, to) share, so that the key is none
 * of them. The rules of a tree are as many as its nodes; a stack of ranges takes the place of recursion. */
typedef struct Branch {
    size_t from, to, at;
    const char *rule;
} Branch;

static void put_branch(Object *o, const Name *names, const Branch *b, Branch **todo, size_t *n, size_t *cap) {
    TnBuf rule = {0}, others = {0};
    size_t i = b->from;
    if (i < b->to && names[i].n == b->at)
        i++; /* ends here: it must go on */
    else
        tn_buf_puts(&rule, " | \"\"");
    while (i < b->to) {
        const char *c = names[i].key + b->at;
        size_t size = char_size((unsigned char)*c), end = i;
        while (end < b->to && names[end].n > b->at && memcmp(names[end].key + b->at, c, size) == 0) end++;
        Branch next = {i, end, b->at + size, tn_schema_name(o->s, o->job->rule, "not", 3)};
        put_class_char(c, size, &others);
        tn_buf_puts(&rule, " | ");
        tn_schema_literal(c, size, &rule);
        tn_buf_printf(&rule, " %s", next.rule);
        TN_PUSH(*todo, *n, *cap, next);
        i = end;
    }
    tn_buf_put(&rule, "", 1);
    tn_buf_put(&others, "", 1);
    tn_buf_printf(&o->s->out, "%s ::= [^\"\\\\\\x7F\\x00-\\x1F%s] [^\"\\\\\\x7F\\x00-\\x1F]*%s\n", b->rule,
                  others.data, rule.data);
    tn_buf_free(&rule);
    tn_buf_free(&others);
}

/* Names with a character that a key here cannot have need no branch. */
static bool plain(const char *key, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == '"' || key[i] == '\\' || key[i] == 0x7f) return false;
    return true;
}

static const char *other_key(Object *o) {
    Name *names = tn_xcalloc(o->n + 1, sizeof *names);
    Branch *todo = NULL;
    size_t n_names = 0, n = 0, cap = 0;
    for (size_t i = 0; i < o->n; i++)
        if (plain(o->v[i].key, o->v[i].n_key)) names[n_names++] = (Name){o->v[i].key, o->v[i].n_key};
    qsort(names, n_names, sizeof *names, by_key);
    const char *rule = tn_schema_name(o->s, o->job->rule, "other-key", 9);
    TN_PUSH(todo, n, cap, ((Branch){0, n_names, 0, rule}));
    while (n) {
        Branch b = todo[--n];
        put_branch(o, names, &b, &todo, &n, &cap);
    }
    free(todo);
    free(names);
    return rule;
}

/* ---- The object */

static void put_key(TnSchemas *s, const char *key, size_t n, TnBuf *out) {
    TnBuf json = {0};
    tn_json_print_string(key, n, &json);
    tn_buf_puts(&json, ":");
    tn_schema_literal(json.data, json.len, out);
    tn_buf_printf(out, " %s ", tn_schema_common(s, TN_COMMON_WS));
    tn_buf_free(&json);
}

/* The rule of a member: its key, a colon, its value. NULL if it cannot be there. */
static TernStatus member_rule(Object *o, const Property *p, const char **out) {
    TnSchemas *s = o->s;
    const TnSchemaPath *path =
        tn_schema_path(s, o->job->path, p->schema ? "properties" : "required", p->key, p->n_key);
    const TnJsonNode *schema = p->schema ? p->schema : o->more, *found;
    const TnSchemaPath *at = path;
    *out = NULL;
    TN_TRY(tn_schema_resolve(s, schema, &at, &found));
    if (found->kind == TN_JSON_FALSE)
        return p->required ? tn_schema_refuse(s, path, "is required, and no value matches") : TERN_OK;
    TnBuf rule = {0};
    *out = tn_schema_name(s, o->job->rule, "member", 6);
    put_key(s, p->key, p->n_key, &rule);
    tn_buf_puts(&rule, tn_schema_rule(s, schema, path, o->job->rule, p->key, p->n_key));
    tn_buf_put(&rule, "", 1);
    tn_buf_printf(&s->out, "%s ::= %s\n", *out, rule.data);
    tn_buf_free(&rule);
    return TERN_OK;
}

/* Writes a rule of two parts, of which each may be missing. */
static const char *put_rule(Object *o, const char *key, const char *one, const char *two) {
    const char *name = tn_schema_name(o->s, o->job->rule, key, strlen(key));
    tn_buf_printf(&o->s->out, "%s ::= %s%s%s\n", name, one, two ? " " : "", two ? two : "");
    return name;
}

/* From the last member to the first: `more` are the members from here on after another one, `first` those without one
 * before. An optional member that is left out leaves `first` to the next. */
static TernStatus put_chains(Object *o, TnBuf *body) {
    TnSchemas *s = o->s;
    const char *ws = tn_schema_common(s, TN_COMMON_WS), *more = NULL, *first = NULL;
    size_t n_first = 0; /* members that may be the first: up to the first that is required */
    while (n_first < o->n && !o->v[n_first].required) n_first++;
    bool may_be_empty = n_first == o->n;
    if (o->more_rule) {
        more = put_rule(o, "more", tn_sprintf(&s->arena, "(\",\" %s %s)*", ws, o->more_rule), NULL);
        if (may_be_empty) first = put_rule(o, "first", o->more_rule, more);
    }
    for (size_t i = o->n; i-- > 0;) {
        const char *member, *after = more;
        TN_TRY(member_rule(o, &o->v[i], &member));
        if (!member) continue;
        if (i > 0) {
            const char *optional = o->v[i].required ? "" : "?";
            more = put_rule(o, "more", tn_sprintf(&s->arena, "(\",\" %s %s)%s", ws, member, optional), after);
        }
        if (i > n_first) continue;
        const char *others = first ? tn_sprintf(&s->arena, " | %s", first) : "";
        first = put_rule(
            o, "first",
            tn_sprintf(&s->arena, "%s%s%s%s", member, after ? " " : "", after ? after : "", others), NULL);
    }
    if (!first)
        tn_buf_printf(body, "\"{\" %s \"}\"", ws);
    else if (may_be_empty)
        tn_buf_printf(body, "\"{\" %s (%s %s)? \"}\"", ws, first, ws);
    else
        tn_buf_printf(body, "\"{\" %s %s %s \"}\"", ws, first, ws);
    return TERN_OK;
}

/* The rule of members that are not named. */
static TernStatus put_other(Object *o) {
    TnSchemas *s = o->s;
    const TnSchemaPath *path = tn_schema_path(s, o->job->path, "additionalProperties", NULL, 0), *at = path;
    const TnJsonNode *found;
    TN_TRY(tn_schema_resolve(s, o->more, &at, &found));
    if (found->kind == TN_JSON_FALSE) return TERN_OK;
    const char *key = other_key(o), *value = tn_schema_rule(s, o->more, path, o->job->rule, "other", 5);
    o->more_rule = tn_schema_name(s, o->job->rule, "other-member", 12);
    tn_buf_printf(&s->out, "%s ::= \"\\\"\" %s \"\\\":\" %s %s\n", o->more_rule, key,
                  tn_schema_common(s, TN_COMMON_WS), value);
    return TERN_OK;
}

static TernStatus put_object(Object *o, const TnJsonNode *schema, TnBuf *body) {
    static const char *const words[] = {"patternProperties", "propertyNames", "unevaluatedProperties"};
    TnSchemas *s = o->s;
    const TnJsonNode *more = tn_json_member(schema, "additionalProperties");
    TN_TRY(refuse_words(s, o->job, schema, words, TN_COUNT(words)));
    TN_TRY(list_properties(o, schema));
    TnJsonNode *any = tn_alloc(&s->arena, sizeof *any);
    any->kind = TN_JSON_TRUE;
    o->open = more ? more->kind != TN_JSON_FALSE : !tn_json_member(schema, "properties");
    o->more = more ? more : any;
    TN_TRY(check_counts(o, schema));
    if (o->open) TN_TRY(put_other(o));
    return put_chains(o, body);
}

TernStatus tn_schema_object(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body) {
    Object o = {.s = s, .job = job};
    TernStatus st = put_object(&o, schema, body);
    free(o.v);
    tn_map_free(&o.index);
    return st;
}
