/* How a folder of sentence-transformers makes one vector of a text: its modules, one after the other.
 *
 *   modules.json            [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}, ..]
 *   1_Pooling/config.json   {"pooling_mode_mean_tokens": true, ..}, or {"pooling_mode": "mean"}
 *
 * A transformer, a pooling and a normalisation are what `tern embed` does. Any other module is refused by name. */
#include <string.h>
#include "frontends/hf/internal.h"

/* As pooling_type numbers them. */
static const struct {
    const char *flag, *mode;
    uint32_t type; /* 0: not supported */
} modes[] = {
    {"pooling_mode_mean_tokens", "mean", 1},
    {"pooling_mode_cls_token", "cls", 2},
    {"pooling_mode_lasttoken", "lasttoken", 3},
    {"pooling_mode_max_tokens", "max", 0},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", 0},
    {"pooling_mode_weightedmean_tokens", "weightedmean", 0},
};

/* The path of the pooling, "" if there is none. */
static TernStatus read_modules(TnHfFolder *f, const char **out, TernError *err) {
    static const char *const known[] = {"Transformer", "Pooling", "Normalize"};
    const char *path = tn_hf_path(f, "modules.json");
    json_t *list;
    *out = "1_Pooling";
    if (!tn_os_exists(path)) return TERN_OK;
    *out = "";
    TN_TRY(tn_hf_json_list(path, &list, err));
    TernStatus st = TERN_OK;
    for (size_t i = 0; i < json_array_size(list) && st == TERN_OK; i++) {
        const json_t *module = json_array_get(list, i);
        const char *type = json_string_value(json_object_get(module, "type")),
                   *where = json_string_value(json_object_get(module, "path"));
        const char *name = type && strrchr(type, '.') ? strrchr(type, '.') + 1 : type ? type : "";
        size_t k = 0;
        while (k < TN_COUNT(known) && strcmp(name, known[k]) != 0) k++;
        if (k == TN_COUNT(known))
            st = tn_fail(err, TERN_ERR_UNSUPPORTED,
                         "%s: module %zu is of type '%s', expected Transformer, Pooling or Normalize", path,
                         i, name);
        else if (k == 1 && (!where || strchr(where, '/') || *where == '.' || !*where))
            st = tn_fail(err, TERN_ERR_INPUT, "%s: module %zu has no folder for its path", path, i);
        else if (k == 1)
            *out = tn_strdup(&f->arena, where);
    }
    json_decref(list);
    return st;
}

static TernStatus choose(const json_t *config, const char *path, uint32_t *out, TernError *err) {
    const char *mode = json_string_value(json_object_get(config, "pooling_mode")), *named = NULL;
    for (size_t i = 0; i < TN_COUNT(modes); i++) {
        bool on = json_is_true(json_object_get(config, modes[i].flag));
        if (mode) on = strcmp(mode, modes[i].mode) == 0;
        if (!on) continue;
        if (named)
            return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: both %s and %s, expected one way to pool", path,
                           named, modes[i].mode);
        named = modes[i].mode;
        *out = modes[i].type;
    }
    if (named && *out) return TERN_OK;
    if (!named) named = mode ? mode : "none";
    return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: pooling is '%s', expected mean, cls or lasttoken", path,
                   named);
}

TernStatus tn_hf_pooling(TnHfFolder *f, const TnHfConfig *c, TnGgufWriter *w, TernError *err) {
    const char *folder;
    json_t *config;
    uint32_t type = 0;
    TN_TRY(read_modules(f, &folder, err));
    if (!*folder) return TERN_OK;
    const char *path = tn_hf_path(f, tn_sprintf(&f->arena, "%s/config.json", folder));
    TN_TRY(tn_hf_json_file(path, false, &config, err));
    if (!config) return TERN_OK;
    TernStatus st = choose(config, path, &type, err);
    json_decref(config);
    TN_TRY(st);
    tn_gguf_put_u32(w, tn_sprintf(&f->arena, "%s.pooling_type", c->arch->name), type);
    return TERN_OK;
}
