/* $ref: the place in a schema that a reference names.
 *
 * A reference is a URI, of which only the part after the # is supported: a JSON pointer. It spells bytes as %NN, so
 * "#/$defs/a%20b" is the pointer "/$defs/a b"; a % without two digits stays, as it does for validators. The steps of a pointer
 * spell / as ~1 and ~ as ~0. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/hex.h"
#include "runtime/text/grammar/schema.h"

/* One step of a pointer: the member or item that the text up to the next '/' names. */
static const TnJsonNode *pointer_step(TnSchemas *s, const TnJsonNode *at, const char *text, size_t n) {
    TnBuf name = {0};
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '~' && i + 1 < n && (text[i + 1] == '0' || text[i + 1] == '1'))
            c = text[++i] == '0' ? '~' : '/';
        tn_buf_put(&name, &c, 1);
    }
    bool nul = name.len && memchr(name.data, 0, name.len);
    const char *key = tn_strndup(&s->arena, name.data ? name.data : "", name.len);
    tn_buf_free(&name);
    if (at->kind == TN_JSON_OBJECT && !nul) return tn_json_member(at, key); /* no key has a NUL */
    if (at->kind != TN_JSON_ARRAY || nul) return NULL;
    char *end;
    unsigned long index = strtoul(key, &end, 10);
    if (end == key || *end) return NULL;
    const TnJsonNode *v = at->first;
    while (v && index--) v = v->next;
    return v;
}

static TernText decode_percent(TnSchemas *s, TernText uri) {
    char *out = tn_alloc(&s->arena, uri.size + 1);
    size_t n = 0;
    for (size_t i = 0; i < uri.size; i++) {
        uint32_t byte;
        out[n] = uri.data[i];
        if (out[n] == '%' && tn_hex_read(uri.data + i + 1, uri.size - i - 1, 2, &byte) == 2)
            out[n] = (char)byte, i += 2;
        n++;
    }
    return (TernText){out, n};
}

TernStatus tn_schema_follow(TnSchemas *s, const TnJsonNode *ref, const TnSchemaPath **path,
                            const TnJsonNode **out) {
    const TnSchemaPath *from = tn_schema_path(s, *path, "$ref", NULL, 0), *to = NULL;
    if (ref->kind != TN_JSON_STRING) return tn_schema_wrong(s, from, ref, "a string");
    if (ref->size == 0 || ref->text[0] != '#' || (ref->size > 1 && ref->text[1] != '/'))
        return tn_schema_refuse(s, from, "got '%.200s', expected a place in this schema, like #/$defs/name",
                                ref->text);
    const TnJsonNode *at = s->root;
    TernText place = decode_percent(s, (TernText){ref->text, ref->size});
    for (size_t i = 1; i < place.size && at;) {
        size_t n = 0;
        i++;
        while (i + n < place.size && place.data[i + n] != '/') n++;
        at = pointer_step(s, at, place.data + i, n);
        if (to && !to->key)
            ((TnSchemaPath *)to)->key = place.data + i, ((TnSchemaPath *)to)->n_key = n;
        else
            to = tn_schema_path(s, to, tn_strndup(&s->arena, place.data + i, n), NULL, 0);
        i += n;
    }
    if (!at) return tn_schema_refuse(s, from, "got '%.200s', expected a place that exists", ref->text);
    *path = to;
    *out = at;
    return TERN_OK;
}
