/* ternc_emit: compiles and shows the code instead of writing a blob. */
#include <string.h>
#include "frontends/api/call_options.h"
#include "frontends/api/source.h"

typedef struct Emit {
    TnGguf *file;
    TnGraph *graph;
    TnArena arena;
    TnTuneTable settings;
    TnBuf out;
} Emit;

/* The levels of the first target that prints the kind; they hold if the caller names neither levels nor target. */
static const char *levels_for(const char *kind, TnArena *arena) {
    const TnTargetRow *row;
    for (size_t i = 0; (row = tn_target_row(i)); i++)
        if (tn_row_lists(row, kind)) return tn_target_levels(row->name, tern_cpu_levels(), arena);
    return NULL;
}

static TernStatus emit_kernels(Emit *e, const TerncSource *source, const TerncOptions *o, const char *kind,
                               TernError *err) {
    TnCompileOptions co = {
        .context = o->context, .kvs = o->kvs, .target = o->target, .progress = o->progress, .user = o->user};
    const char **levels;
    TnFacts facts;
    if (!tn_target_lists(kind))
        return tn_fail(err, TERN_ERR_INPUT, "kind: got '%s', but this build has %s%s", kind,
                       *tn_target_listings() ? "" : "no code to show", tn_target_listings());
    TN_TRY(tn_head_parse("TerncOptions.head", o->head, &co.head, err));
    TerncOptions for_kind = *o;
    if (!o->levels && !o->target) for_kind.levels = levels_for(kind, &e->arena);
    TN_TRY(tn_levels_choose(&for_kind, false, &e->arena, &levels, &co.n_levels, err));
    co.levels = levels;
    co.family = tn_family_choose(o->family, o->levels);
    TN_TRY(tn_source_open(source, false, &e->file, err));
    TN_TRY(tn_source_graph(source, e->file, o->context, &e->graph, &facts, &e->settings, err));
    co.settings = &e->settings;
    TnWeights weights = tn_gguf_weights(e->file);
    return tn_compile_show(e->graph, &weights, &facts, &co, kind, &e->out, err);
}

TernStatus ternc_emit(const TerncSource *source, const TerncOptions *options, const char *kind,
                      TerncTextFn *text, void *user, TernError *err) {
    Emit e = {0};
    TerncSource own;
    TerncOptions o;
    TN_TRY(tn_source_take(source, &own, err));
    TN_TRY(tn_compile_take(options, &o, err));
    if (o.form) return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.form has no effect on code that is shown");
    TN_NEED(kind, err);
    TN_NEED(text, err);
    TernStatus st = emit_kernels(&e, &own, &o, kind, err);
    if (st == TERN_OK) text(user, "result", e.out.data, e.out.len);
    tn_buf_free(&e.out);
    tn_graph_destroy(e.graph);
    tn_gguf_close(e.file);
    tn_tune_free(&e.settings);
    tn_arena_free(&e.arena);
    return st;
}
