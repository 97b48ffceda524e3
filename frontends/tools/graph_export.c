/* ternc_picture: writes graphs as dot, json and text. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/api/call_options.h"
#include "frontends/tools/dot.h"
#include "frontends/tools/graphs.h"
#include "frontends/tools/layer_label.h"
#include "ir/print.h"

static TernStatus check_variant(const TerncPicture *p, const char *path, size_t n, TernError *err) {
    if (p->variant < n || strcmp(p->format, "dot") != 0) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s: there is no variant %u, expected 0 to %zu", path, p->variant,
                   n - 1);
}

/* A level's batch classes, and the targets that make its kernels. */
typedef struct Level {
    TnBatchClass classes[TN_BATCH_CLASSES];
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    uint32_t n_classes, n_targets;
} Level;

typedef struct Variants {
    TnGraph **g;
    uint32_t n;
} Variants;

static TernStatus take_variant(void *user, TnGraph *g, TernError *err) {
    Variants *v = user;
    (void)err;
    v->g[v->n++] = g;
    return TERN_OK;
}

/* Makes the variants, as tn_compile does. */
static TernStatus compile_variants(TnGraphs *s, const TerncPicture *p, TernError *err) {
    const char *level_list = p->levels;
    TnArena arena = {0};
    const char **levels;
    uint32_t n_levels;
    TnEnc head_enc;
    TernStatus st = tn_head_parse("TerncPicture.head", p->head, &head_enc, err);
    if (st == TERN_OK)
        st = tn_levels_split(&arena, "TerncPicture.levels", level_list, &levels, &n_levels, err);
    if (st != TERN_OK) goto out;
    if (s->n != 1 || s->g[0]->stage != TN_STAGE_MODEL) goto out; /* planned already: shown as it is */
    Level *of = tn_alloc_array(&arena, n_levels, sizeof *of);
    uint32_t n_all = 0;
    for (uint32_t l = 0; l < n_levels; l++) {
        of[l].n_targets = tn_targets_asked(levels[l], of[l].targets);
        of[l].n_classes =
            tn_batch_classes(of[l].targets, of[l].n_targets, levels[l], TN_ROWS_DEFAULT, of[l].classes);
        n_all += (TN_KV_COUNT - 1) * of[l].n_classes;
    }
    st = check_variant(p, s->path, n_all, err);
    if (st != TERN_OK) goto out;
    TnWeights weights = tn_gguf_weights(s->gguf);
    TnPassCtx ctx = {.family = tn_family_choose(p->family, p->levels), .head = head_enc, .weights = &weights};
    tn_levels_suit(&ctx, levels, n_levels);
    st = tn_lower_model(s->g[0], &weights, head_enc, err);
    Variants all = {.g = tn_xcalloc(n_all, sizeof *all.g)};
    for (uint32_t l = 0; l < n_levels && st == TERN_OK; l++) {
        ctx.level = levels[l];
        ctx.targets = of[l].targets;
        ctx.n_targets = of[l].n_targets;
        st = tn_lower_level(s->g[0], &ctx, of[l].classes, of[l].n_classes, (1u << TN_KV_COUNT) - 2,
                            take_variant, &all, err);
    }
    tn_graph_destroy(s->g[0]);
    free(s->g);
    s->g = all.g;
    s->n = all.n;
out:
    tn_arena_free(&arena);
    return st;
}

/* Runs the passes on a model's graph for the level and the rows of the variant that the times belong to. */
static TernStatus lower_as_profiled(TnGraph *g, const TnWeights *weights, const json_t *root,
                                    TernError *err) {
    const char *level = json_string_value(json_object_get(root, "level"));
    const json_t *test, *variant;
    size_t i, j;
    double most = -1;
    json_int_t lo = 1, hi = 1;
    if (g->stage != TN_STAGE_MODEL || !level || !tn_word_ok(level, strlen(level))) return TERN_OK;
    json_array_foreach(json_object_get(root, "tests"), i, test)
        json_array_foreach(json_object_get(test, "variants"), j, variant) {
        json_int_t a = json_integer_value(json_object_get(variant, "rows_lo"));
        json_int_t b = json_integer_value(json_object_get(variant, "rows_hi"));
        double seconds = json_number_value(json_object_get(variant, "kernel_seconds"));
        if (seconds <= most || a < 1 || b < a || b > 65536) continue;
        most = seconds;
        lo = a;
        hi = b;
    }
    TnPassCtx ctx = {.level = level,
                     .family = tn_family_choose(NULL, NULL), /* as what runs here would be compiled */
                     .kv = TN_KV_F16,
                     .rows_lo = lo,
                     .rows_hi = hi,
                     .head = TN_ENC_COUNT,
                     .weights = weights};
    tn_levels_suit(&ctx, &level, 1);
    return tn_graph_lower(g, TN_STAGE_PLANNED, &ctx, err);
}

/* Reads times by kernel name; a kernel that the file does not name counts as not measured. */
static TernStatus read_profile(const char *path, TnGraph *g, const TnWeights *weights, double **out,
                               TernError *err) {
    char *text;
    size_t n;
    TN_TRY(tn_file_read(path, (size_t)1 << 28, &text, &n, err));
    json_error_t why;
    json_t *root = json_loadb(text, n, 0, &why), *kernel;
    free(text);
    if (!root) return tn_fail(err, TERN_ERR_INPUT, "%s:%d:%d: %s", path, why.line, why.column, why.text);
    TernStatus st = lower_as_profiled(g, weights, root, err);
    if (st != TERN_OK) {
        json_decref(root);
        return st;
    }
    json_t *kernels = json_object_get(root, "kernels");
    double *ms = tn_xcalloc(g->n_kernels + 1u, sizeof *ms);
    uint32_t found = 0;
    size_t i;
    TnMap by_name = {0};
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        ms[k] = -1;
        tn_map_set(&by_name, g->kernels[k].name, strlen(g->kernels[k].name), k);
    }
    json_array_foreach(kernels, i, kernel) {
        const char *name = json_string_value(json_object_get(kernel, "name"));
        const json_t *time = json_object_get(kernel, "ms");
        uint32_t k = name ? tn_map_get(&by_name, name, strlen(name)) : TN_MAP_NONE;
        if (k == TN_MAP_NONE || !json_is_number(time) || !(json_number_value(time) >= 0)) continue;
        ms[k] = (ms[k] < 0 ? 0 : ms[k]) + json_number_value(time);
        found++;
    }
    tn_map_free(&by_name);
    json_decref(root);
    *out = ms;
    if (found) return TERN_OK;
    free(ms);
    return tn_fail(err, TERN_ERR_INPUT,
                   "%s: no kernel of the graph in \"kernels\": [{\"name\", \"ms\"}]; its first is '%s'", path,
                   g->n_kernels ? g->kernels[0].name : "(none: the graph is not fused)");
}

static TernStatus check_layer(const TnGraph *g, const char *path, int layer, TernError *err) {
    TnArena arena = {0};
    const TnPlace *places = tn_places(g, &arena);
    int most = -1;
    for (TnRef r = 0; r < g->n; r++)
        if (places[r].layer != TN_PLACE_HEAD && (int)places[r].layer > most) most = (int)places[r].layer;
    tn_arena_free(&arena);
    if (layer >= 0 && layer <= most) return TERN_OK;
    if (most < 0)
        return tn_fail(err, TERN_ERR_INPUT, "%s: there is no layer %d: no name contains a layer", path,
                       layer);
    return tn_fail(err, TERN_ERR_INPUT, "%s: there is no layer %d, expected 0 to %d", path, layer, most);
}

static TernStatus draw(const TerncPicture *p, const TnGraphs *s, TnBuf *out, TernError *err) {
    TN_TRY(check_variant(p, s->path, s->n, err));
    TnGraph *g = s->g[p->variant];
    TnDotOptions o = {.fold_layers = p->fold_layers, .one_layer = p->one_layer, .layer = p->layer};
    double *ms = NULL;
    TnWeights weights = tn_gguf_weights(s->gguf);
    if (p->profile) TN_TRY(read_profile(p->profile, g, &weights, &ms, err));
    o.kernel_ms = ms;
    TernStatus st = p->one_layer ? check_layer(g, s->path, p->layer, err) : TERN_OK;
    if (st != TERN_OK) {
        free(ms);
        return st;
    }
    tn_dot(g, &o, out);
    free(ms);
    return TERN_OK;
}

static void as_json(const TnGraphs *s, TnBuf *out) {
    tn_buf_puts(out, "{\"tir\": 1, \"graphs\": [\n");
    for (uint32_t i = 0; i < s->n; i++) {
        if (i) tn_buf_puts(out, ",\n");
        tn_json(s->g[i], out);
    }
    tn_buf_puts(out, "]}\n");
}

TernStatus ternc_picture(const TerncPicture *given, TerncTextFn *text, void *user, TernError *err) {
    TerncPicture taken, *p = &taken;
    TerncSource source;
    TN_TRY(tn_picture_take(given, p, err));
    TN_TRY(tn_source_take(p->source, &source, err));
    TN_NEED(text, err);
    p->source = &source;
    TnGraphs s;
    TnBuf b = {0};
    TN_TRY(tn_graphs_open(p->path, p->source, text, user, &s, err));
    TernStatus st = p->levels ? compile_variants(&s, p, err) : TERN_OK;
    if (st != TERN_OK) {
    } else if (strcmp(p->format, "dot") == 0) {
        st = draw(p, &s, &b, err);
    } else if (strcmp(p->format, "json") == 0) {
        as_json(&s, &b);
    } else {
        tn_print_file(s.g, s.n, &b);
    }
    if (st == TERN_OK) text(user, "result", b.data, b.len);
    tn_buf_free(&b);
    tn_graphs_close(&s);
    return st;
}
