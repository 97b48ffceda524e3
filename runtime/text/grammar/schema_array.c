/* Arrays: items in order (prefixItems), then items of one schema. */
#include <stdlib.h>
#include <string.h>
#include "runtime/text/grammar/schema.h"

typedef struct Array {
    TnSchemas *s;
    const TnSchemaJob *job;
    const TnJsonNode *tuple; /* NULL: no items of their own */
    const TnJsonNode *items; /* the schema of the others; NULL: any value */
    const char *tuple_word, *items_word;
    uint32_t least, most;
} Array;

/* `items` with an array is the older form of prefixItems, and then `additionalItems` is what `items` is now. */
static TernStatus read_keywords(Array *a, const TnJsonNode *schema) {
    a->tuple = tn_json_member(schema, "prefixItems");
    a->items = tn_json_member(schema, "items");
    a->tuple_word = "prefixItems";
    a->items_word = "items";
    if (!a->tuple && a->items && a->items->kind == TN_JSON_ARRAY) {
        a->tuple = a->items;
        a->tuple_word = "items";
        a->items = tn_json_member(schema, "additionalItems");
        a->items_word = "additionalItems";
    }
    if (a->tuple && a->tuple->kind != TN_JSON_ARRAY)
        return tn_schema_wrong(a->s, tn_schema_path(a->s, a->job->path, a->tuple_word, NULL, 0), a->tuple,
                               "an array of schemas");
    TN_TRY(tn_schema_count(a->s, a->job, schema, "minItems", 0, &a->least));
    TN_TRY(tn_schema_count(a->s, a->job, schema, "maxItems", UINT32_MAX, &a->most));
    return TERN_OK;
}

static TernStatus check_unique(const Array *a, const TnJsonNode *schema) {
    static const char *const words[] = {"contains", "unevaluatedItems"};
    const TnJsonNode *unique = tn_json_member(schema, "uniqueItems");
    for (size_t i = 0; i < TN_COUNT(words); i++)
        if (tn_json_member(schema, words[i]))
            return tn_schema_refuse(a->s, tn_schema_path(a->s, a->job->path, words[i], NULL, 0),
                                    "is not supported");
    if (unique && unique->kind != TN_JSON_FALSE && a->most > 1)
        return tn_schema_refuse(a->s, tn_schema_path(a->s, a->job->path, "uniqueItems", NULL, 0),
                                "is not supported for more than one item");
    return TERN_OK;
}

static TernStatus is_never(const Array *a, const TnJsonNode *schema, const TnSchemaPath *path, bool *out) {
    const TnJsonNode *found;
    TN_TRY(tn_schema_resolve(a->s, schema, &path, &found));
    *out = found->kind == TN_JSON_FALSE;
    return TERN_OK;
}

/* The items of the tuple, as many as there may be; sets *out_n to their number. */
static TernStatus put_tuple(const Array *a, uint32_t *out_n, TnBuf *body) {
    TnSchemas *s = a->s;
    const char *ws = tn_schema_common(s, TN_COMMON_WS);
    *out_n = 0;
    for (const TnJsonNode *v = a->tuple ? a->tuple->first : NULL; v && *out_n < a->most; v = v->next) {
        const char *index = tn_sprintf(&s->arena, "%u", *out_n);
        const TnSchemaPath *path = tn_schema_path(s, a->job->path, a->tuple_word, index, strlen(index));
        bool never;
        TN_TRY(is_never(a, v, path, &never));
        if (never && *out_n >= a->least) break;
        if (*out_n) tn_buf_printf(body, " \",\" %s ", ws);
        tn_buf_puts(body, tn_schema_rule(s, v, path, a->job->rule, index, strlen(index)));
        ++*out_n;
    }
    return TERN_OK;
}

/* How many items of the other schema follow the tuple: none unless they are asked for. */
static TernStatus put_items(const Array *a, uint32_t n_tuple, TnBuf *body) {
    TnSchemas *s = a->s;
    const TnSchemaPath *path = tn_schema_path(s, a->job->path, a->items_word, NULL, 0);
    const char *ws = tn_schema_common(s, TN_COMMON_WS);
    bool never = a->tuple && !a->items, cut = a->tuple && n_tuple < a->tuple->n;
    if (a->items) TN_TRY(is_never(a, a->items, path, &never));
    uint32_t least = a->least > n_tuple ? a->least - n_tuple : 0;
    uint32_t most = a->most == UINT32_MAX ? UINT32_MAX : a->most - n_tuple;
    if (cut) most = 0;
    if (never && !(a->tuple && !a->items && least > 0))
        most = 0;
    else if (never)
        most = least; /* nothing is said about them: no more than must be there */
    if (least > most)
        return tn_schema_refuse(s, path, "got at least %u and at most %u items", a->least, n_tuple + most);
    if (most == 0) return TERN_OK;
    TnJsonNode *any = tn_alloc(&s->arena, sizeof *any);
    any->kind = TN_JSON_TRUE;
    const char *item = tn_schema_rule(s, a->items ? a->items : any, path, a->job->rule, "item", 4);
    bool first = n_tuple == 0, optional = first && least == 0;
    if (first) { /* the first has no comma before it */
        tn_buf_printf(body, "%s%s", optional ? "(" : "", item);
        least -= least > 0;
        most -= most != UINT32_MAX;
    }
    if (most) {
        tn_buf_printf(body, " (\",\" %s %s)", ws, item);
        if (most == UINT32_MAX)
            tn_buf_printf(body, "{%u,}", least);
        else
            tn_buf_printf(body, "{%u,%u}", least, most);
    }
    if (optional)
        tn_buf_printf(body, " %s)?", ws);
    else
        tn_buf_printf(body, " %s", ws);
    return TERN_OK;
}

TernStatus tn_schema_array(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body) {
    Array a = {.s = s, .job = job};
    uint32_t n_tuple;
    TN_TRY(read_keywords(&a, schema));
    TN_TRY(check_unique(&a, schema));
    tn_buf_printf(body, "\"[\" %s ", tn_schema_common(s, TN_COMMON_WS));
    TN_TRY(put_tuple(&a, &n_tuple, body));
    size_t before = body->len;
    TN_TRY(put_items(&a, n_tuple, body));
    if (n_tuple && body->len == before) tn_buf_printf(body, " %s", tn_schema_common(s, TN_COMMON_WS));
    tn_buf_puts(body, " \"]\"");
    return TERN_OK;
}
