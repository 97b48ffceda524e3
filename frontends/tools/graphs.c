/* Opens any file for its graphs. */
#include "frontends/tools/graphs.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/filekind.h"

static TernStatus send_faults(TnDiag *d, const char *path, const char *part, TerncTextFn *text, void *user,
                              TernError *err) {
    text(user, "faults", d->text.data, d->text.len);
    TernStatus st = tn_fail(err, TERN_ERR_INPUT, "%s: %s%u fault%s", path, part, d->n, d->n == 1 ? "" : "s");
    tn_diag_free(d);
    return st;
}

static TernStatus from_text(TnGraphs *s, TerncTextFn *text, void *user, TernError *err) {
    TnDiag d = {0};
    TernStatus st = tn_text_read(s->path, &s->g, &s->n, &d, err);
    if (st == TERN_OK) return st;
    s->g = NULL;
    s->n = 0;
    return d.n ? send_faults(&d, s->path, "", text, user, err) : st;
}

static TernStatus from_blob(TnGraphs *s, TerncTextFn *text, void *user, TernError *err) {
    size_t n;
    TnDiag d = {0};
    TN_TRY(tn_open_for_reading(s->path, &s->model, err));
    const char *tir = tern_model_section(s->model, TN_SECTION_TIR, 0, &n);
    if (!tir) return tn_fail(err, TERN_ERR_INPUT, "%s: the blob holds no graphs (section TIR)", s->path);
    if (tn_parse(tir, n, "section TIR", &s->g, &s->n, &d) == TERN_OK) {
        /* the user never saw this text, so line numbers would not help */
        for (uint32_t i = 0; i < s->n; i++) s->g[i]->file = NULL;
        return TERN_OK;
    }
    return send_faults(&d, s->path, "section TIR: ", text, user, err);
}

typedef struct Noted {
    TerncTextFn *text;
    void *user;
} Noted;
static void send_note(void *user, const char *line) {
    const Noted *n = user;
    n->text(n->user, "note", line, strlen(line));
}

static TernStatus from_gguf(TnGraphs *s, const TerncSource *given, TerncTextFn *text, void *user,
                            TernError *err) {
    Noted noted = {text, user};
    TerncSource source = {.size = sizeof source};
    TnFacts facts;
    if (given) source = *given;
    source.path = s->path;
    if (!source.note) source.note = send_note, source.note_user = &noted;
    TnGgufOptions go = {.ternary_dense = source.ternary_dense};
    TN_TRY(tn_source_open(&source, false, &s->gguf, err));
    s->g = tn_xcalloc(1, sizeof *s->g);
    TN_TRY(tn_gguf_graph(s->gguf, &go, &s->g[0], &facts, err));
    s->n = 1;
    return tn_source_settle(&source, s->gguf, false, err);
}

static TernStatus kind_of(const char *path, TnGraphsKind *out, TernError *err) {
    TnFile f;
    *out = TN_GRAPHS_GGUF;
    if (!path || tn_os_is_folder(path)) return TERN_OK;
    *out = TN_GRAPHS_TEXT;
    if (tn_path_is_text(path)) return TERN_OK;
    TN_TRY(tn_file_map(path, &f, err));
    if (f.size >= 4 && memcmp(f.data, "GGUF", 4) == 0)
        *out = TN_GRAPHS_GGUF;
    else if (tn_file_kind(f.data, f.size).kind == TN_KIND_TERN)
        *out = TN_GRAPHS_BLOB;
    tn_file_unmap(&f);
    return TERN_OK;
}

TernStatus tn_graphs_open(const char *path, const TerncSource *source, TerncTextFn *text, void *user,
                          TnGraphs *out, TernError *err) {
    TernStatus st;
    *out = (TnGraphs){.path = path};
    TN_TRY(kind_of(path, &out->kind, err));
    if (out->kind == TN_GRAPHS_TEXT)
        st = from_text(out, text, user, err);
    else if (out->kind == TN_GRAPHS_BLOB)
        st = from_blob(out, text, user, err);
    else
        st = from_gguf(out, source, text, user, err);
    if (!path) out->path = "the embedded model";
    if (st != TERN_OK) tn_graphs_close(out);
    return st;
}

void tn_graphs_close(TnGraphs *s) {
    for (uint32_t i = 0; i < s->n; i++) tn_graph_destroy(s->g[i]);
    free(s->g);
    tn_gguf_close(s->gguf);
    tern_model_close(s->model);
    *s = (TnGraphs){0};
}
