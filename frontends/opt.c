/* ternc_opt: passes on a graph from text or from a model file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/source.h"

typedef struct Opt {
    const TerncOpt *o;
    TerncTextFn *text;
    void *user;
} Opt;

static bool listed(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, name, n) == 0) return true;
    return false;
}

static void send_graph(Opt *s, const char *what, const TnGraph *g) {
    TnBuf b = {0};
    TnGraph *one = (TnGraph *)g;
    tn_print_file(&one, 1, &b);
    s->text(s->user, what, b.data, b.len);
    tn_buf_free(&b);
}

static void after(void *user, const char *pass, const TnGraph *g, double seconds) {
    Opt *s = user;
    if (listed(s->o->dump_after, pass)) send_graph(s, pass, g);
    if (s->o->times) {
        TnBuf b = {0};
        tn_buf_printf(&b, "%-8s %10.3f ms  %u nodes, %u kernels\n", pass, seconds * 1e3, g->n, g->n_kernels);
        s->text(s->user, "time", b.data, b.len);
        tn_buf_free(&b);
    }
}

static TernStatus faults(Opt *s, TnDiag *d, const char *path, TernError *err) {
    s->text(s->user, "faults", d->text.data, d->text.len);
    TernStatus st = tn_fail(err, TERN_ERR_INPUT, "%s: %u fault%s", path, d->n, d->n == 1 ? "" : "s");
    tn_diag_free(d);
    return st;
}

/* *out may be set on failure too; the caller destroys it. */
static TernStatus from_text(Opt *s, const char *path, TnGraph **out, TernError *err) {
    char *text;
    size_t n;
    TN_TRY(tn_file_read(path, (size_t)1 << 31, &text, &n, err));
    TnDiag d = {0};
    TnGraph **gs;
    uint32_t n_graphs;
    TernStatus st = tn_parse(text, n, path, &gs, &n_graphs, &d);
    free(text);
    if (st != TERN_OK) return faults(s, &d, path, err);
    for (uint32_t i = 1; i < n_graphs; i++) tn_graph_destroy(gs[i]);
    *out = gs[0];
    free(gs);
    if (n_graphs > 1)
        return tn_fail(err, TERN_ERR_INPUT, "%s: %u graphs in the file, wanted one", path, n_graphs);
    if (tn_verify(*out, &d) != TERN_OK) return faults(s, &d, path, err);
    return TERN_OK;
}

/* The passes that still apply to a graph of this stage. */
static const char *default_passes(TnStage stage) {
    switch (stage) {
    case TN_STAGE_MODEL:
        return TN_PASSES_MODEL "," TN_PASSES_VARIANT;
    case TN_STAGE_FUSED:
        return "layout,tile,plan";
    case TN_STAGE_PLANNED:
        return "";
    }
    return "";
}

static TernStatus check_lists(const TerncOpt *o, TernError *err) {
    TnArena arena = {0};
    const char **names;
    uint32_t n = 0;
    TernStatus st = TERN_OK;
    if (o->dump_after && *o->dump_after)
        st = tn_list_split(&arena, "--dump-after", o->dump_after, &names, &n, err);
    for (uint32_t i = 0; st == TERN_OK && i < n; i++) {
        bool known = false;
        for (uint32_t k = 0; k < tn_n_passes; k++) known |= strcmp(names[i], tn_passes[k].name) == 0;
        if (!known) st = tn_fail(err, TERN_ERR_INPUT, "--dump-after: no pass is called '%s'", names[i]);
    }
    tn_arena_free(&arena);
    return st;
}

static TernStatus run(Opt *s, TnGraph *g, TernError *err) {
    const TerncOpt *o = s->o;
    const char *best = tern_cpu_levels();
    char level[32];
    snprintf(level, sizeof level, "%.*s", (int)strcspn(o->level && *o->level ? o->level : best, ","),
             o->level && *o->level ? o->level : best);
    if (!*level) strcpy(level, "ref");
    const TnTargetDesc *targets[2];
    TnPassCtx ctx = {.level = level,
                     .kv = o->kv == TERN_KV_F32 ? TN_KV_F32 : TN_KV_F16,
                     .rows_lo = o->rows_lo ? o->rows_lo : 1,
                     .rows_hi = o->rows_hi   ? o->rows_hi
                                : o->rows_lo ? o->rows_lo
                                             : 1,
                     .targets = targets,
                     .after = after,
                     .user = s};
    if (ctx.rows_lo > ctx.rows_hi)
        return tn_fail(err, TERN_ERR_INPUT, "--rows: %lld..%lld, wanted a rising range",
                       (long long)ctx.rows_lo, (long long)ctx.rows_hi);
    const TnTarget *llvm = tn_target_find("llvm");
    if (llvm && strcmp(level, "ref") != 0) targets[ctx.n_targets++] = &llvm->desc;
    targets[ctx.n_targets++] = &tn_target_ref.desc;
    TN_TRY(tn_head_parse(o->head, &ctx.head, err));
    TN_TRY(check_lists(o, err));
    /* the passes see the level's name for as long as the graph lives */
    ctx.level = tn_strdup(&g->arena, level);
    TN_TRY(tn_passes_run(g, o->passes ? o->passes : default_passes(g->stage), &ctx, err));
    send_graph(s, "result", g);
    return TERN_OK;
}

TernStatus ternc_opt(const TerncOpt *opt, TerncTextFn *text, void *user, TernError *err) {
    Opt s = {.o = opt, .text = text, .user = user};
    size_t n = opt->path ? strlen(opt->path) : 0;
    bool is_text = (n >= 4 && strcmp(opt->path + n - 4, ".tir") == 0) || (n == 1 && *opt->path == '-');
    TnGraph *g = NULL;
    TnGguf *gg = NULL;
    TernStatus st;
    if (is_text) {
        st = from_text(&s, opt->path, &g, err);
    } else {
        TerncSource source = {.size = sizeof source};
        if (opt->source) source = *opt->source;
        source.path = opt->path;
        TnGgufOptions go = {.ternary_dense = source.ternary_dense};
        TnFacts facts;
        st = tn_source_open(&source, false, &gg, err);
        if (st == TERN_OK) st = tn_gguf_graph(gg, &go, &g, &facts, err);
    }
    if (st == TERN_OK) st = run(&s, g, err);
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    return st;
}
