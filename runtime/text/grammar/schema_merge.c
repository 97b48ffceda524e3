/* Schemas that are put together: allOf, and what stands beside anyOf and oneOf.
 *
 * The result is a schema again, made of new nodes over the old ones. Where two schemas have the same property, it gets the
 * schema {"allOf": [a, b]}, which is put together when it is its turn. A merge of two schemas is made once, so schemas that
 * refer to themselves come to an end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/text/grammar/schema.h"

enum { DEPTH_MOST = 64, MADE_MOST = 1 << 20 }; /* copied values */

/* ---- Keywords */

/* How two values of a keyword are put together. */
typedef enum Together {
    MINE,    /* handled by a function of its own */
    HIGHER,  /* the larger number */
    LOWER,   /* the smaller */
    ALL_OF,  /* both: a schema {"allOf": ..} */
    SAME,    /* they must be equal */
    CHOICES, /* each of one with all of the other */
} Together;

static const struct {
    const char *word;
    Together together;
} keywords[] = {
    {"$ref", MINE},
    {"allOf", MINE},
    {"type", MINE},
    {"properties", MINE},
    {"required", MINE},
    {"additionalProperties", MINE},
    {"enum", MINE},
    {"const", MINE},
    {"anyOf", CHOICES},
    {"oneOf", CHOICES},
    {"items", ALL_OF},
    {"minimum", HIGHER},
    {"exclusiveMinimum", HIGHER},
    {"minLength", HIGHER},
    {"minItems", HIGHER},
    {"minProperties", HIGHER},
    {"maximum", LOWER},
    {"exclusiveMaximum", LOWER},
    {"maxLength", LOWER},
    {"maxItems", LOWER},
    {"maxProperties", LOWER},
    {"prefixItems", SAME},
    {"additionalItems", SAME},
    {"pattern", SAME},
    {"format", SAME},
    {"multipleOf", SAME},
    {"uniqueItems", SAME},
    {"contains", SAME},
    {"minContains", SAME},
    {"maxContains", SAME},
    {"patternProperties", SAME},
    {"propertyNames", SAME},
    {"unevaluatedProperties", SAME},
    {"unevaluatedItems", SAME},
    {"not", SAME},
    {"if", SAME},
    {"then", SAME},
    {"else", SAME},
    {"dependentSchemas", SAME},
    {"dependentRequired", SAME},
    {"dependencies", SAME},
    {"$dynamicRef", SAME},
    {"$recursiveRef", SAME},
};

const TnJsonNode *tn_schema_says(const TnJsonNode *schema) {
    if (schema->kind != TN_JSON_OBJECT) return NULL;
    for (const TnJsonNode *m = schema->first; m; m = m->next)
        for (size_t i = 0; i < TN_COUNT(keywords); i++)
            if (strlen(keywords[i].word) == m->key_size && memcmp(keywords[i].word, m->key, m->key_size) == 0)
                return m;
    return NULL;
}

/* ---- New nodes */

/* A copy of a value without its place in a list. */
static TnJsonNode *copy_of(TnSchemas *s, const TnJsonNode *v) {
    TnJsonNode *n = tn_alloc(&s->arena, sizeof *n);
    s->n_made++;
    *n = *v;
    n->next = NULL;
    return n;
}

/* An array or object that grows. */
typedef struct Building {
    TnJsonNode *node, **end;
} Building;

static Building build(TnSchemas *s, TnJsonKind kind) {
    TnJsonNode *n = tn_alloc(&s->arena, sizeof *n);
    n->kind = kind;
    return (Building){n, &n->first};
}
static void append(Building *b, TnJsonNode *item) {
    *b->end = item;
    b->end = &item->next;
    b->node->n++;
}
static void set_word(Building *b, const char *word, TnJsonNode *value) {
    value->key = word, value->key_size = strlen(word);
    append(b, value);
}

static TnJsonNode *all_of(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b) {
    Building list = build(s, TN_JSON_ARRAY), schema = build(s, TN_JSON_OBJECT);
    append(&list, copy_of(s, a));
    append(&list, copy_of(s, b));
    set_word(&schema, "allOf", list.node);
    return schema.node;
}

/* Remembers what was made of two nodes, or of a node and a word. */
static const TnJsonNode *made_of(const TnSchemas *s, const void *const key[2]) {
    uint32_t i = tn_map_get(&s->merged, (const char *)key, 2 * sizeof *key);
    return i == TN_MAP_NONE ? NULL : s->merges[i];
}
static void remember(TnSchemas *s, const void *const key[2], const TnJsonNode *made) {
    const void **kept = tn_alloc(&s->arena, 2 * sizeof(void *));
    kept[0] = key[0], kept[1] = key[1];
    tn_map_set(&s->merged, (const char *)kept, 2 * sizeof *kept, (uint32_t)s->n_merges);
    TN_PUSH(s->merges, s->n_merges, s->cap_merges, made);
}

const TnJsonNode *tn_schema_without(TnSchemas *s, const TnJsonNode *schema, const char *word) {
    if (!tn_json_member(schema, word)) return schema;
    const void *key[2] = {tn_schema_identity(schema), NULL};
    for (size_t i = 0; i < TN_COUNT(keywords) && !key[1]; i++)
        if (strcmp(keywords[i].word, word) == 0) key[1] = &keywords[i];
    const TnJsonNode *old = made_of(s, key);
    if (old) return old;
    Building out = build(s, TN_JSON_OBJECT);
    for (const TnJsonNode *m = schema->first; m; m = m->next)
        if (m->key_size != strlen(word) || memcmp(m->key, word, m->key_size) != 0)
            append(&out, copy_of(s, m));
    remember(s, key, out.node);
    return out.node;
}

/* ---- Resolving */

/* The second half of the keys of what is made of one schema. Texts that no keyword has: a compiler may put equal constants in
 * one place. */
static const char all_made[] = "all of allOf", both_made[] = "$ref and what is beside it";

static TernStatus resolve_all(TnSchemas *s, const TnJsonNode *v, const TnJsonNode *all,
                              const TnSchemaPath *path, const TnJsonNode **out) {
    const void *key[2] = {tn_schema_identity(v), all_made};
    const TnSchemaPath *at = tn_schema_path(s, path, "allOf", NULL, 0);
    *out = made_of(s, key);
    if (*out) return TERN_OK;
    if (all->kind != TN_JSON_ARRAY || all->n == 0)
        return tn_schema_wrong(s, at, all, "an array of one or more schemas");
    *out = tn_schema_without(s, v, "allOf");
    for (const TnJsonNode *m = all->first; m; m = m->next) {
        const TnSchemaPath *from = at;
        const TnJsonNode *part;
        if (++s->depth > DEPTH_MOST)
            return tn_schema_refuse(s, path, "refers to itself, or has too many allOf in each other");
        TN_TRY(tn_schema_resolve(s, m, &from, &part));
        s->depth--;
        TN_TRY(tn_schema_merge(s, *out, part, path, out));
    }
    remember(s, key, *out);
    return TERN_OK;
}

TernStatus tn_schema_resolve(TnSchemas *s, const TnJsonNode *v, const TnSchemaPath **path,
                             const TnJsonNode **out) {
    enum { STEPS_MOST = 1000 };
    for (int step = 0; step < STEPS_MOST; step++) {
        *out = v;
        if (v->kind == TN_JSON_TRUE || v->kind == TN_JSON_FALSE) return TERN_OK;
        if (v->kind != TN_JSON_OBJECT) return tn_schema_wrong(s, *path, v, "a schema");
        const TnJsonNode *ref = tn_json_member(v, "$ref"), *all = tn_json_member(v, "allOf"), *target = NULL;
        if (!ref && !all) return TERN_OK;
        if (!ref) {
            TN_TRY(resolve_all(s, v, all, *path, &v));
            TN_CHECK(v);
            continue;
        }
        const TnSchemaPath *to = *path;
        const TnJsonNode *rest = tn_schema_without(s, v, "$ref");
        TN_TRY(tn_schema_follow(s, ref, &to, &target));
        TN_CHECK(target);
        if (!tn_schema_says(rest)) {
            *path = to;
            v = target;
            continue;
        }
        const void *key[2] = {tn_schema_identity(v), both_made};
        const TnJsonNode *both = made_of(s, key);
        if (!both) remember(s, key, (both = all_of(s, rest, target)));
        v = both;
    }
    return tn_schema_refuse(s, *path, "refers to itself without an array or object in between");
}

/* ---- Types and values */

uint32_t tn_json_type(const TnJsonNode *v) {
    static const uint8_t types[] = {TN_TYPE_NULL,   TN_TYPE_BOOLEAN, TN_TYPE_BOOLEAN, TN_TYPE_INTEGER,
                                    TN_TYPE_NUMBER, TN_TYPE_STRING,  TN_TYPE_ARRAY,   TN_TYPE_OBJECT};
    if (v->kind != TN_JSON_REAL) return types[v->kind];
    double d = strtod(v->text, NULL);
    return d == floor(d) && isfinite(d) ? TN_TYPE_INTEGER : TN_TYPE_NUMBER;
}

bool tn_json_equal(const TnJsonNode *a, const TnJsonNode *b) {
    bool number = a->kind == TN_JSON_INT || a->kind == TN_JSON_REAL;
    if (number && (b->kind == TN_JSON_INT || b->kind == TN_JSON_REAL))
        return strtod(a->text, NULL) == strtod(b->text, NULL);
    if (a->kind != b->kind) return false;
    if (a->kind == TN_JSON_STRING) return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
    if (a->kind != TN_JSON_ARRAY && a->kind != TN_JSON_OBJECT) return true;
    if (a->n != b->n) return false;
    const TnJsonNode *y = b->first;
    for (const TnJsonNode *x = a->first; x; x = x->next) {
        if (a->kind == TN_JSON_OBJECT)
            for (y = b->first; y && (y->key_size != x->key_size || memcmp(y->key, x->key, x->key_size) != 0);)
                y = y->next;
        if (!y || !tn_json_equal(x, y)) return false;
        y = y->next;
    }
    return true;
}

static const struct {
    const char *word;
    uint32_t type;
} type_names[] = {{"null", TN_TYPE_NULL},
                  {"boolean", TN_TYPE_BOOLEAN},
                  {"integer", TN_TYPE_INTEGER},
                  {"string", TN_TYPE_STRING},
                  {"array", TN_TYPE_ARRAY},
                  {"object", TN_TYPE_OBJECT},
                  {"number", TN_TYPE_NUMBER | TN_TYPE_INTEGER}};

static uint32_t type_of(const TnJsonNode *name) {
    for (size_t i = 0; i < TN_COUNT(type_names); i++)
        if (tn_json_is(name, type_names[i].word)) return type_names[i].type;
    return 0;
}

TernStatus tn_schema_types(TnSchemas *s, const TnJsonNode *schema, const TnSchemaPath *path, uint32_t *out) {
    const TnJsonNode *v = tn_json_member(schema, "type");
    *out = TN_TYPE_ALL;
    if (!v) return TERN_OK;
    *out = 0;
    for (const TnJsonNode *m = v->kind == TN_JSON_ARRAY ? v->first : v; m; m = m == v ? NULL : m->next) {
        uint32_t type = type_of(m);
        if (!type) {
            path = tn_schema_path(s, path, "type", NULL, 0);
            if (m->kind != TN_JSON_STRING) return tn_schema_wrong(s, path, m, "the name of a type");
            return tn_fail(s->err,
                           tn_schema_refuse(s, path, "got '%.100s', expected a type of JSON", m->text), "%s",
                           s->err ? s->err->text : "");
        }
        *out |= type;
    }
    return TERN_OK;
}

uint32_t tn_schema_types_made(const TnJsonNode *schema, uint32_t types) {
    static const struct {
        const char *word;
        uint32_t type;
    } hints[] = {{"properties", TN_TYPE_OBJECT}, {"additionalProperties", TN_TYPE_OBJECT},
                 {"required", TN_TYPE_OBJECT},   {"patternProperties", TN_TYPE_OBJECT},
                 {"items", TN_TYPE_ARRAY},       {"prefixItems", TN_TYPE_ARRAY},
                 {"minItems", TN_TYPE_ARRAY},    {"maxItems", TN_TYPE_ARRAY},
                 {"pattern", TN_TYPE_STRING},    {"format", TN_TYPE_STRING},
                 {"minLength", TN_TYPE_STRING},  {"maxLength", TN_TYPE_STRING},
                 {"minimum", TN_TYPE_NUMBER},    {"exclusiveMinimum", TN_TYPE_NUMBER},
                 {"maximum", TN_TYPE_NUMBER},    {"exclusiveMaximum", TN_TYPE_NUMBER}};
    if (tn_json_member(schema, "type")) return types;
    for (size_t i = 0; i < TN_COUNT(hints); i++)
        if (tn_json_member(schema, hints[i].word)) return hints[i].type;
    return types;
}

/* ---- Merges */

static double number_of(const TnJsonNode *v) {
    return v->kind == TN_JSON_INT || v->kind == TN_JSON_REAL ? strtod(v->text, NULL) : (double)NAN;
}

static TernStatus merge_types(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b,
                              const TnSchemaPath *path, Building *out) {
    uint32_t x, y;
    if (!tn_json_member(a, "type") && !tn_json_member(b, "type")) return TERN_OK;
    TN_TRY(tn_schema_types(s, a, path, &x));
    TN_TRY(tn_schema_types(s, b, path, &y));
    Building list = build(s, TN_JSON_ARRAY);
    x &= y;
    if (x & TN_TYPE_NUMBER) x &= ~(uint32_t)TN_TYPE_INTEGER; /* the name "number" has both */
    for (size_t i = 0; i < TN_COUNT(type_names); i++) {
        uint32_t type = type_names[i].type & TN_TYPE_NUMBER ? TN_TYPE_NUMBER : type_names[i].type;
        if (!(x & type)) continue;
        Building name = build(s, TN_JSON_STRING);
        name.node->text = type_names[i].word, name.node->size = strlen(type_names[i].word);
        append(&list, name.node);
    }
    set_word(out, "type", list.node);
    return TERN_OK;
}

/* enum and const as one enum: the values that are in both. */
static void merge_values(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b, Building *out) {
    const TnJsonNode *lists[4], *wrap;
    size_t n = 0;
    const TnJsonNode *both[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        const TnJsonNode *list = tn_json_member(both[i], "enum"), *value = tn_json_member(both[i], "const");
        if (list) lists[n++] = list;
        if (!value) continue;
        Building one = build(s, TN_JSON_ARRAY);
        append(&one, copy_of(s, value));
        wrap = one.node;
        lists[n++] = wrap;
    }
    if (n == 0) return;
    Building list = build(s, TN_JSON_ARRAY);
    for (const TnJsonNode *v = lists[0]->first; v; v = v->next) {
        bool in_all = true;
        for (size_t i = 1; i < n && in_all; i++) {
            const TnJsonNode *w = lists[i]->first;
            while (w && !tn_json_equal(v, w)) w = w->next;
            in_all = w != NULL;
        }
        if (in_all) append(&list, copy_of(s, v));
    }
    set_word(out, "enum", list.node);
}

/* Members of an object by name. */
typedef struct Index {
    TnMap map;
    const TnJsonNode **v;
    size_t n, cap;
} Index;

static void index_members(const TnJsonNode *object, Index *out) {
    *out = (Index){0};
    for (const TnJsonNode *m = object ? object->first : NULL; m; m = m->next) {
        tn_map_set(&out->map, m->key, m->key_size, (uint32_t)out->n);
        TN_PUSH(out->v, out->n, out->cap, m);
    }
}
static const TnJsonNode *index_find(const Index *i, const TnJsonNode *m) {
    uint32_t at = tn_map_get(&i->map, m->key, m->key_size);
    return at < i->n ? i->v[at] : NULL; /* TN_MAP_NONE is no index */
}
static void index_free(Index *i) {
    tn_map_free(&i->map);
    free(i->v);
}

/* Adds a property that one schema names, with what the other says about members that it does not name. */
static void add_property(TnSchemas *s, const TnJsonNode *mine, const TnJsonNode *others, Building *out) {
    bool says = others && others->kind != TN_JSON_TRUE;
    TnJsonNode *v = copy_of(s, mine);
    if (says && others->kind == TN_JSON_FALSE)
        v = copy_of(s, others);
    else if (says)
        v = all_of(s, mine, others);
    v->key = mine->key, v->key_size = mine->key_size;
    append(out, v);
}

static bool is_open(const TnJsonNode *schema) {
    const TnJsonNode *more = tn_json_member(schema, "additionalProperties");
    return more ? more->kind == TN_JSON_TRUE : !tn_json_member(schema, "properties");
}

static void merge_more(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b, Building *out) {
    const TnJsonNode *x = tn_json_member(a, "additionalProperties"),
                     *y = tn_json_member(b, "additionalProperties");
    TnJsonNode *v = NULL;
    if (x && x->kind == TN_JSON_TRUE) x = NULL;
    if (y && y->kind == TN_JSON_TRUE) y = NULL;
    if (x && x->kind == TN_JSON_FALSE)
        v = copy_of(s, x);
    else if (y && y->kind == TN_JSON_FALSE)
        v = copy_of(s, y);
    else if (x && y)
        v = all_of(s, x, y);
    else if ((x && is_open(b)) || (y && is_open(a)))
        v = copy_of(s, x ? x : y);
    else if (x || y)
        v = build(s, TN_JSON_FALSE).node; /* one names none: no member but those that are named */
    else if (is_open(a) && is_open(b))
        v = build(s, TN_JSON_TRUE).node;
    if (v) set_word(out, "additionalProperties", v);
}

static void merge_objects(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b, Building *out) {
    static const char *const words[] = {"properties", "required", "additionalProperties"};
    bool any = false;
    for (size_t i = 0; i < TN_COUNT(words); i++)
        any = any || tn_json_member(a, words[i]) || tn_json_member(b, words[i]);
    if (!any) return;
    const TnJsonNode *pa = tn_json_member(a, "properties"), *pb = tn_json_member(b, "properties");
    Building properties = build(s, TN_JSON_OBJECT), required = build(s, TN_JSON_ARRAY);
    Index in_a, in_b;
    index_members(pa, &in_a);
    index_members(pb, &in_b);
    for (const TnJsonNode *m = pa ? pa->first : NULL; m; m = m->next) {
        const TnJsonNode *other = index_find(&in_b, m);
        add_property(s, m, other ? other : tn_json_member(b, "additionalProperties"), &properties);
    }
    for (const TnJsonNode *m = pb ? pb->first : NULL; m; m = m->next)
        if (!index_find(&in_a, m)) add_property(s, m, tn_json_member(a, "additionalProperties"), &properties);
    index_free(&in_a);
    index_free(&in_b);
    const TnJsonNode *ra = tn_json_member(a, "required"), *rb = tn_json_member(b, "required");
    for (const TnJsonNode *m = ra ? ra->first : NULL; m; m = m->next) append(&required, copy_of(s, m));
    for (const TnJsonNode *m = rb ? rb->first : NULL; m; m = m->next) append(&required, copy_of(s, m));
    if (properties.node->n) set_word(out, "properties", properties.node);
    if (required.node->n) set_word(out, "required", required.node);
    merge_more(s, a, b, out);
}

/* {"anyOf": [{"allOf": [x, {"anyOf": b}]} for each x of a]} */
static TnJsonNode *merge_choices(TnSchemas *s, const char *word, const TnJsonNode *a, const TnJsonNode *b) {
    Building list = build(s, TN_JSON_ARRAY), other = build(s, TN_JSON_OBJECT);
    set_word(&other, word, copy_of(s, b));
    for (const TnJsonNode *x = a->first; x; x = x->next) append(&list, all_of(s, x, other.node));
    return list.node;
}

static TernStatus merge_word(TnSchemas *s, size_t i, const TnJsonNode *x, const TnJsonNode *y,
                             const TnSchemaPath *path, Building *out) {
    const char *word = keywords[i].word;
    TnJsonNode *v = copy_of(s, x ? x : y);
    if (x && y) {
        double dx = number_of(x), dy = number_of(y);
        switch (keywords[i].together) {
        case HIGHER:
            v = copy_of(s, dx >= dy ? x : y);
            break;
        case LOWER:
            v = copy_of(s, dx <= dy ? x : y);
            break;
        case ALL_OF:
            v = all_of(s, x, y);
            break;
        case CHOICES:
            v = merge_choices(s, word, x, y);
            break;
        default:
            if (!tn_json_equal(x, y))
                return tn_schema_refuse(s, path, "two different '%s' at once are not supported", word);
        }
    }
    set_word(out, word, v);
    return TERN_OK;
}

/* Whether b's items are also those that a has in prefixItems: one schema could not tell them from those after. */
static bool splits_items(const TnJsonNode *a, const TnJsonNode *b) {
    return tn_json_member(a, "prefixItems") && !tn_json_member(b, "prefixItems") &&
           tn_json_member(b, "items");
}

TernStatus tn_schema_merge(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b, const TnSchemaPath *path,
                           const TnJsonNode **out) {
    bool none = a->kind == TN_JSON_FALSE || (b->kind != TN_JSON_FALSE && !tn_schema_says(b));
    const void *key[2] = {tn_schema_identity(a), tn_schema_identity(b)};
    *out = none ? a : b;
    if (none || b->kind == TN_JSON_FALSE || !tn_schema_says(a)) return TERN_OK;
    *out = made_of(s, key);
    if (*out) return TERN_OK;
    if (s->n_made > MADE_MOST) return tn_schema_refuse(s, path, "takes too many schemas to put together");
    if (splits_items(a, b) || splits_items(b, a))
        return tn_schema_refuse(
            s, path, "'prefixItems' of one schema and 'items' of another at once are not supported");
    Building made = build(s, TN_JSON_OBJECT);
    TN_TRY(merge_types(s, a, b, path, &made));
    merge_values(s, a, b, &made);
    merge_objects(s, a, b, &made);
    for (size_t i = 0; i < TN_COUNT(keywords); i++) {
        const TnJsonNode *x = tn_json_member(a, keywords[i].word), *y = tn_json_member(b, keywords[i].word);
        if (keywords[i].together != MINE && (x || y)) TN_TRY(merge_word(s, i, x, y, path, &made));
    }
    remember(s, key, made.node);
    *out = made.node;
    return TERN_OK;
}

/* ---- Schemas that are apart */

/* Whether none of a's listed values is allowed by b's types and list. *out_known: a has a list. */
static bool values_apart(const TnJsonNode *a, const TnJsonNode *b, uint32_t b_types, bool *out_known) {
    const TnJsonNode *la = tn_json_member(a, "enum"), *va = tn_json_member(a, "const");
    const TnJsonNode *lb = tn_json_member(b, "enum"), *vb = tn_json_member(b, "const");
    *out_known = la || va;
    if (!*out_known || (la && la->kind != TN_JSON_ARRAY) || (lb && lb->kind != TN_JSON_ARRAY)) return false;
    for (const TnJsonNode *x = la ? la->first : va; x; x = la ? x->next : NULL) {
        if (!(tn_json_type(x) & b_types)) continue;
        if (!lb && !vb) return false;
        for (const TnJsonNode *y = lb ? lb->first : vb; y; y = lb ? y->next : NULL)
            if (tn_json_equal(x, y)) return false;
    }
    return true;
}

static bool requires(const TnJsonNode *schema, const TnJsonNode *property) {
    const TnJsonNode *list = tn_json_member(schema, "required");
    for (const TnJsonNode *v = list ? list->first : NULL; v; v = v->next)
        if (v->kind == TN_JSON_STRING && v->size == property->key_size &&
            memcmp(v->text, property->key, v->size) == 0)
            return true;
    return false;
}

/* Objects with a member that both require and whose schemas are apart. */
static TernStatus objects_apart(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b,
                                const TnSchemaPath *path, int depth, bool *out) {
    const TnJsonNode *pa = tn_json_member(a, "properties"), *pb = tn_json_member(b, "properties");
    for (const TnJsonNode *x = pa ? pa->first : NULL; x && !*out; x = x->next) {
        if (!requires(a, x) || !requires(b, x)) continue;
        for (const TnJsonNode *y = pb ? pb->first : NULL; y && !*out; y = y->next) {
            if (y->key_size != x->key_size || memcmp(y->key, x->key, x->key_size) != 0) continue;
            const TnSchemaPath *at = path;
            const TnJsonNode *rx, *ry;
            TN_TRY(tn_schema_resolve(s, x, &at, &rx));
            TN_TRY(tn_schema_resolve(s, y, &at, &ry));
            TN_TRY(tn_schema_apart(s, rx, ry, path, depth - 1, out));
        }
    }
    return TERN_OK;
}

TernStatus tn_schema_apart(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b, const TnSchemaPath *path,
                           int depth, bool *out) {
    uint32_t ta = TN_TYPE_ALL, tb = TN_TYPE_ALL;
    *out = a->kind == TN_JSON_FALSE || b->kind == TN_JSON_FALSE;
    if (*out || depth <= 0 || a->kind != TN_JSON_OBJECT || b->kind != TN_JSON_OBJECT) return TERN_OK;
    TN_TRY(tn_schema_types(s, a, path, &ta));
    TN_TRY(tn_schema_types(s, b, path, &tb));
    bool known_a, known_b, apart = values_apart(a, b, tb, &known_a);
    *out = apart || values_apart(b, a, ta, &known_b);
    if (*out || known_a) return TERN_OK;
    uint32_t common = (tn_schema_types_made(a, ta) & tb) | (tn_schema_types_made(b, tb) & ta);
    *out = common == 0;
    if (common != TN_TYPE_OBJECT) return TERN_OK;
    return objects_apart(s, a, b, path, depth, out);
}
