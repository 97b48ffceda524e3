/* Strings: lengths, formats, patterns. One of these at a time. */
#include <string.h>
#include "runtime/text/grammar/schema.h"

/* Formats whose texts a grammar can say exactly. date-time is a date, a T and a time. */
static const struct {
    const char *name;
    TnCommonRule rule, then;
    bool both;
} formats[] = {
    {"date", TN_COMMON_DATE, 0, false},
    {"time", TN_COMMON_TIME, 0, false},
    {"date-time", TN_COMMON_DATE, TN_COMMON_TIME, true},
    {"uuid", TN_COMMON_UUID, 0, false},
    {"ipv4", TN_COMMON_IPV4, 0, false},
};

static TernStatus put_format(TnSchemas *s, const TnSchemaPath *path, const TnJsonNode *format, TnBuf *body) {
    if (format->kind != TN_JSON_STRING) return tn_schema_wrong(s, path, format, "a string");
    for (size_t i = 0; i < TN_COUNT(formats); i++) {
        if (!tn_json_is(format, formats[i].name)) continue;
        tn_buf_printf(body, "\"\\\"\" %s", tn_schema_common(s, formats[i].rule));
        if (formats[i].both) tn_buf_printf(body, " \"T\" %s", tn_schema_common(s, formats[i].then));
        tn_buf_puts(body, " \"\\\"\"");
        return TERN_OK;
    }
    TnBuf list = {0};
    for (size_t i = 0; i < TN_COUNT(formats); i++)
        tn_buf_printf(&list, "%s%s", i ? ", " : "", formats[i].name);
    TernStatus st = tn_schema_refuse(s, path, "got '%.80s', expected one of %s", format->text, list.data);
    tn_buf_free(&list);
    return st;
}

static TernStatus put_length(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body) {
    uint32_t least, most;
    TN_TRY(tn_schema_count(s, job, schema, "minLength", 0, &least));
    TN_TRY(tn_schema_count(s, job, schema, "maxLength", UINT32_MAX, &most));
    if (least > most)
        return tn_schema_refuse(s, job->path, "got at least %u and at most %u characters", least, most);
    const char *one = tn_schema_common(s, TN_COMMON_CHAR);
    tn_buf_printf(body, "\"\\\"\" %s{%u,", one, least);
    if (most != UINT32_MAX) tn_buf_printf(body, "%u", most);
    tn_buf_puts(body, "} \"\\\"\"");
    return TERN_OK;
}

TernStatus tn_schema_string(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, TnBuf *body) {
    const TnJsonNode *pattern = tn_json_member(schema, "pattern"), *format = tn_json_member(schema, "format");
    bool length = tn_json_member(schema, "minLength") || tn_json_member(schema, "maxLength");
    const char *word = pattern ? "pattern" : "format";
    const TnSchemaPath *path = tn_schema_path(s, job->path, word, NULL, 0);
    if ((pattern || format) && length)
        return tn_schema_refuse(s, path, "is not supported beside minLength or maxLength");
    if (pattern && format) return tn_schema_refuse(s, path, "is not supported beside format");
    if (length) return put_length(s, job, schema, body);
    if (format) return put_format(s, path, format, body);
    if (!pattern) {
        tn_buf_puts(body, tn_schema_common(s, TN_COMMON_STRING));
        return TERN_OK;
    }
    if (pattern->kind != TN_JSON_STRING) return tn_schema_wrong(s, path, pattern, "a string");
    tn_buf_puts(body, "\"\\\"\" ");
    TN_TRY(tn_schema_pattern(s, path, pattern->text, pattern->size, body));
    tn_buf_puts(body, " \"\\\"\"");
    return TERN_OK;
}
