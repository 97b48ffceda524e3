/* JSON schemas as GBNF: what the files of the compiler share. docs/grammar.md says what is supported.
 *
 * Each schema becomes a rule. Rules are written one after the other from a list of jobs, so that schemas may refer to each
 * other and no recursion is deeper than one schema. The grammar matches a part of the JSON texts that the schema allows,
 * and no others: where a keyword leaves a choice (the order of members, members that are not named), the grammar takes the
 * simplest. */
#ifndef TN_GRAMMAR_SCHEMA_H
#define TN_GRAMMAR_SCHEMA_H

#include "runtime/json/json_tree.h"
#include "runtime/base/map.h"
#include "runtime/base/status.h"
#include "runtime/text/text.h"

/* Where a schema is: the path of the one around it, a keyword, and a key or index (NULL: none). */
typedef struct TnSchemaPath {
    const struct TnSchemaPath *up;
    const char *word, *key;
    size_t n_key;
} TnSchemaPath;

typedef struct TnSchemaJob {
    const TnJsonNode *schema;
    const TnSchemaPath *path;
    const char *rule;
} TnSchemaJob;

/* Rules that any schema may use; each is written once if it is used. */
typedef enum TnCommonRule {
    TN_COMMON_VALUE,
    TN_COMMON_OBJECT,
    TN_COMMON_ARRAY,
    TN_COMMON_STRING,
    TN_COMMON_NUMBER,
    TN_COMMON_INTEGER,
    TN_COMMON_BOOLEAN,
    TN_COMMON_NULL,
    TN_COMMON_DATE,
    TN_COMMON_TIME,
    TN_COMMON_UUID,
    TN_COMMON_IPV4,
    TN_COMMON_CHAR,
    TN_COMMON_WS,
    TN_COMMON_COUNT
} TnCommonRule;

typedef struct TnSchemas {
    const TnJsonNode *root;
    TnArena arena;
    TnBuf out; /* complete rules */
    TnMap names;
    uint32_t n_made; /* values copied to put schemas together */
    int depth;       /* of allOf in each other */
    bool common[TN_COMMON_COUNT];
    TnSchemaJob *jobs;
    size_t n_jobs, cap_jobs;
    TnMap by_schema; /* address of a schema -> its job */
    TnMap merged;    /* addresses of two schemas -> their merge */
    const TnJsonNode **merges;
    size_t n_merges, cap_merges;
    TernError *err;
} TnSchemas;

/* The types of JSON as bits. */
enum {
    TN_TYPE_NULL = 1,
    TN_TYPE_BOOLEAN = 2,
    TN_TYPE_INTEGER = 4,
    TN_TYPE_NUMBER = 8, /* with fraction; "number" is both bits */
    TN_TYPE_STRING = 16,
    TN_TYPE_ARRAY = 32,
    TN_TYPE_OBJECT = 64,
    TN_TYPE_ALL = 127,
};

const TnSchemaPath *tn_schema_path(TnSchemas *s, const TnSchemaPath *up, const char *word, const char *key,
                                   size_t n_key);
/* "#/properties/a: " and the message. TERN_ERR_UNSUPPORTED: it is a schema, but there is no grammar of it. */
TernStatus tn_schema_refuse(TnSchemas *s, const TnSchemaPath *path, const char *fmt, ...) TN_PRINTF(3, 4);
TernStatus tn_schema_wrong(TnSchemas *s, const TnSchemaPath *path, const TnJsonNode *got,
                           const char *expected);

/* A name that no rule has yet, like `base-key`. */
const char *tn_schema_name(TnSchemas *s, const char *base, const char *key, size_t n_key);
const char *tn_schema_common(TnSchemas *s, TnCommonRule rule);
/* What a schema and its copies have in common, and no other schema has. */
static inline const void *tn_schema_identity(const TnJsonNode *schema) {
    static const char values[2] = {0};
    return schema->kind == TN_JSON_OBJECT ? (const void *)schema->first
                                          : &values[schema->kind == TN_JSON_TRUE];
}
/* The rule of a schema; if it is new, a job. */
const char *tn_schema_rule(TnSchemas *s, const TnJsonNode *schema, const TnSchemaPath *path, const char *base,
                           const char *key, size_t n_key);

/* A literal of GBNF for bytes. */
void tn_schema_literal(const char *bytes, size_t n, TnBuf *out);

/* ---- schema_ref.c: the place that a $ref names, and its path */
TernStatus tn_schema_follow(TnSchemas *s, const TnJsonNode *ref, const TnSchemaPath **path,
                            const TnJsonNode **out);

/* ---- schema_merge.c */

/* Follows $ref and puts allOf together: a schema without these two. *path becomes that of the target of a $ref. */
TernStatus tn_schema_resolve(TnSchemas *s, const TnJsonNode *schema, const TnSchemaPath **path,
                             const TnJsonNode **out);
/* A schema that allows what both resolved schemas allow. */
TernStatus tn_schema_merge(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b, const TnSchemaPath *path,
                           const TnJsonNode **out);
/* A copy without one keyword; the same node each time. */
const TnJsonNode *tn_schema_without(TnSchemas *s, const TnJsonNode *schema, const char *word);
/* The first keyword that says something about values; NULL if there is none. */
const TnJsonNode *tn_schema_says(const TnJsonNode *schema);
/* Whether no text of the one's grammar is valid by the other. `depth` bounds the search. */
TernStatus tn_schema_apart(TnSchemas *s, const TnJsonNode *a, const TnJsonNode *b, const TnSchemaPath *path,
                           int depth, bool *out);
/* The types that `type` allows (all if absent); and those that the grammar of the schema has. */
TernStatus tn_schema_types(TnSchemas *s, const TnJsonNode *schema, const TnSchemaPath *path, uint32_t *out);
uint32_t tn_schema_types_made(const TnJsonNode *schema, uint32_t types);
uint32_t tn_json_type(const TnJsonNode *value);
bool tn_json_equal(const TnJsonNode *a, const TnJsonNode *b);

/* ---- Bodies of rules */

TernStatus tn_schema_object(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body);
TernStatus tn_schema_array(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body);
TernStatus tn_schema_string(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body);
/* `integer`: no fractions. */
TernStatus tn_schema_number(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, bool integer,
                            TnBuf *body);
/* A count such as minLength: 0 or more; `none` if it is absent. */
TernStatus tn_schema_count(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, const char *word,
                           uint32_t none, uint32_t *out);
/* The characters of a string that match a regular expression, as they stand in JSON. */
TernStatus tn_schema_pattern(TnSchemas *s, const TnSchemaPath *path, const char *pattern, size_t n,
                             TnBuf *body);

#endif
