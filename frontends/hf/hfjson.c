/* Reads json as the folders of Hugging Face have it: one object, no member twice. */
#include "frontends/hf/hf.h"
#include "frontends/json.h"

#define FILE_MAX ((size_t)256 << 20) /* the largest tokenizer.json is about 35 MB */

static TernStatus load(const char *text, size_t n, const char *name, bool list, TnJson **out,
                       TernError *err) {
    json_error_t e;
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (!v)
        return tn_fail(err, TERN_ERR_INPUT, "%s: line %d, column %d of its json: '%s'", name, e.line,
                       e.column, e.text);
    if (list ? !json_is_array(v) : !json_is_object(v)) {
        json_decref(v);
        return tn_fail(err, TERN_ERR_INPUT, "%s: its json is not an %s", name, list ? "array" : "object");
    }
    *out = v;
    return TERN_OK;
}

static TernStatus load_file(const char *path, bool list, TnJson **out, TernError *err) {
    char *text;
    size_t n;
    TN_TRY(tn_file_read(path, FILE_MAX, &text, &n, err));
    TernStatus st = load(text, n, path, list, out, err);
    free(text);
    return st;
}

TernStatus tn_hf_json(const char *text, size_t n, const char *name, TnJson **out, TernError *err) {
    return load(text, n, name, false, out, err);
}

TernStatus tn_hf_json_file(const char *path, bool required, TnJson **out, TernError *err) {
    *out = NULL;
    if (!required && !tn_os_exists(path)) return TERN_OK;
    return load_file(path, false, out, err);
}

TernStatus tn_hf_json_list(const char *path, TnJson **out, TernError *err) {
    *out = NULL;
    return load_file(path, true, out, err);
}
