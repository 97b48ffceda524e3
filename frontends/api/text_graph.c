/* Reads graphs from text, and gives such a graph the weights of a model file.
 *
 * A text may contain anything that verifies, but the runtime trusts a graph's inputs and indices: it supplies
 * `ids` below n_vocab, `rows` below T, and buffers of the sizes that the model file's own graph has. So the
 * file's graph is built too, and the text's inputs, outputs and tensors are compared with it. A text may
 * change everything between them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/api/source.h"
#include "ir/print.h"
#include "runtime/base/filekind.h"

TernStatus tn_text_read(const char *path, TnGraph ***out, uint32_t *out_n, TnDiag *diag, TernError *err) {
    char *text;
    size_t n;
    TN_TRY(tn_file_read(path, (size_t)1 << 31, &text, &n, err));
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    TnFileKind kind = tn_file_kind(text, n);
    if (kind.kind != TN_KIND_SHORT && kind.kind != TN_KIND_TEXT) {
        TernStatus bad = tn_file_kind_refuse(kind, "a graph as text (.tir)", err);
        if (bad != TERN_OK) {
            free(text);
            return tn_fail_in(err, bad, "%s", name);
        }
    }
    diag->source = text;
    diag->source_bytes = n;
    TernStatus st = tn_parse(text, n, name, out, out_n, diag);
    for (uint32_t i = 0; st == TERN_OK && i < *out_n; i++) tn_verify((*out)[i], diag);
    free(text);
    diag->source = NULL;
    if (st == TERN_OK && diag->n) {
        tn_graphs_free(*out, *out_n);
        *out = NULL;
    }
    return diag->n ? tn_diag_fail(diag, err) : TERN_OK;
}

TernStatus tn_diag_fail(const TnDiag *d, TernError *err) {
    int first = (int)strcspn(d->text.data, "\n");
    if (d->n < 2) return tn_fail(err, TERN_ERR_INPUT, "%.*s", first, d->text.data);
    return tn_fail(err, TERN_ERR_INPUT, "%.*s (and %u more)", first, d->text.data, d->n - 1);
}

void tn_graphs_free(TnGraph **gs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) tn_graph_destroy(gs[i]);
    free(gs);
}

bool tn_path_is_text(const char *path) {
    size_t n = path ? strlen(path) : 0;
    return (n >= 4 && strcmp(path + n - 4, ".tir") == 0) || (n == 1 && *path == '-');
}

typedef struct Edited {
    const char *path;
    const TnGraph *g, *file_graph;
    const TnGguf *file;
    const TnFacts *facts;
    TnMap tensors, inputs, outputs; /* of file_graph, by their attribute `name` */
    TernError *err;
} Edited;

static bool same_dims(const TnType *a, const TnType *b) {
    return a->enc == b->enc && a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

#define FAIL(e, n, ...) place((e), (n), tn_fail((e)->err, TERN_ERR_INPUT, __VA_ARGS__))
/* Puts "file:line: " before the message. */
static TernStatus place(const Edited *e, const TnNode *n, TernStatus st) {
    TernError what = {0};
    if (e->err) what = *e->err;
    return tn_fail(e->err, st, "%s:%u: %s", e->path, n->line, what.text);
}

static TernStatus check_tensor(const Edited *e, const TnNode *n) {
    const char *name = tn_attr_str(n, TN_ATTR_name);
    uint32_t at = tn_map_get(&e->tensors, name, strlen(name));
    if (at == TN_MAP_NONE)
        return FAIL(e, n, "tensor %s is not in %s: TerncSource.path names the model file it is in", name,
                    e->file->path);
    const TnNode *f = &e->file_graph->nodes[at];
    uint64_t hash = tn_node_attr(n, TN_ATTR_hash)->u, want = tn_node_attr(f, TN_ATTR_hash)->u;
    if (hash ? !tn_type_equal(&n->type, &f->type) : !same_dims(&n->type, &f->type))
        return FAIL(e, n, "tensor %s: type is %s, expected %s as in %s", name, tn_type_text(&n->type).s,
                    tn_type_text(&f->type).s, e->file->path);
    if (hash && hash != want)
        return FAIL(e, n, "tensor %s: hash is 0x%llx, expected 0x%llx as in %s, or 0 for any", name,
                    (unsigned long long)hash, (unsigned long long)want, e->file->path);
    return TERN_OK;
}

static TernStatus check_input(const Edited *e, const TnNode *n) {
    if (tn_encs[n->type.enc].kind == TN_CACHE) return TERN_OK; /* take_facts looks at them */
    const char *name = tn_attr_str(n, TN_ATTR_name);
    uint32_t at = tn_map_get(&e->inputs, name, strlen(name));
    TnType want = tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_L)); /* what pass shortlist adds */
    if (at == TN_MAP_NONE && strcmp(name, "lrows") != 0)
        return FAIL(e, n, "input \"%s\", expected one of ids pos slot rows hrows lrows table k<i> v<i>",
                    name);
    if (at != TN_MAP_NONE) want = e->file_graph->nodes[at].type;
    if (tn_type_equal(&n->type, &want)) return TERN_OK;
    return FAIL(e, n, "input \"%s\": type is %s, expected %s", name, tn_type_text(&n->type).s,
                tn_type_text(&want).s);
}

static TernStatus check_output(const Edited *e, const TnNode *n) {
    const char *name = tn_attr_str(n, TN_ATTR_name);
    uint32_t at = tn_map_get(&e->outputs, name, strlen(name));
    if (at == TN_MAP_NONE)
        return FAIL(e, n, "output \"%s\", expected one of best top toplogit logits hidden", name);
    TnType want = e->file_graph->nodes[at].type;
    bool top = strcmp(name, "top") == 0 || strcmp(name, "toplogit") == 0;
    /* the number of best ids is free */
    if (top && n->type.rank == 2 && n->type.dim[1] <= e->facts->n_vocab) want.dim[1] = n->type.dim[1];
    if (strcmp(name, "logits") == 0 && n->type.dim[0] == tn_sym_dim(TN_L)) want.dim[0] = n->type.dim[0];
    if (tn_type_equal(&n->type, &want)) return TERN_OK;
    return FAIL(e, n, "output \"%s\": type is %s, expected %s", name, tn_type_text(&n->type).s,
                tn_type_text(&want).s);
}

/* Operand i is used as an index: only these inputs (a list that ends with NULL) have valid values for it. */
static TernStatus check_index(const Edited *e, const TnNode *n, uint32_t i, const char *const *inputs) {
    const TnNode *from = &e->g->nodes[n->args[i]];
    const char *name = from->op == TN_OP_input ? tn_attr_str(from, TN_ATTR_name) : "";
    for (size_t j = 0; inputs[j]; j++)
        if (strcmp(name, inputs[j]) == 0) return TERN_OK;
    return FAIL(e, n, "%%%s: operand %u of %s is %%%s, expected the input \"%s\"", n->name, i + 1,
                tn_ops[n->op].name, from->name, inputs[0]);
}

static TernStatus check_indices(const Edited *e, const TnNode *n) {
    static const char *const ids[] = {"ids", NULL}, *const rows[] = {"rows", "hrows", "lrows", NULL},
                             *const places[][2] = {{"pos"}, {"slot"}, {"table"}};
    if (n->op == TN_OP_attend_blocks || n->op == TN_OP_attend_join)
        return FAIL(e, n, "%%%s: %s, expected attend, which pass split cuts", n->name, tn_ops[n->op].name);
    if (tn_op_is(n->op, TN_TRAIT_INDEX1)) TN_TRY(check_index(e, n, 0, ids));
    if (tn_op_is(n->op, TN_TRAIT_INDEX2)) TN_TRY(check_index(e, n, 1, rows));
    for (uint32_t i = 0, at = tn_op_places(n->op); at && i < TN_COUNT(places); i++)
        TN_TRY(check_index(e, n, at + i, places[i]));
    if (n->n_args < 2) return TERN_OK;
    const TnNode *a = &e->g->nodes[n->args[0]], *b = &e->g->nodes[n->args[1]];
    if (n->op == TN_OP_embed && b->type.dim[0] < e->facts->n_vocab)
        return FAIL(e, n, "%%%s: the table has %lld rows, but the vocabulary %u tokens", n->name,
                    (long long)b->type.dim[0], e->facts->n_vocab);
    if (n->op == TN_OP_gather && a->type.dim[0] != tn_sym_dim(TN_T))
        return FAIL(e, n, "%%%s: gather takes rows of %s, expected all T rows of the step", n->name,
                    tn_type_text(&a->type).s);
    if (n->op == TN_OP_take && (b->op != TN_OP_topk || b->args[0] != n->args[0]))
        return FAIL(e, n, "%%%s: operand 2 of take is %%%s, expected a topk of operand 1", n->name, b->name);
    if (n->op == TN_OP_pick && (b->op != TN_OP_rerank_top || b->args[4] != n->args[2]))
        return FAIL(e, n, "%%%s: operand 2 of pick is %%%s, expected a rerank_top over operand 3", n->name,
                    b->name);
    return TERN_OK;
}

/* Takes the facts that the graph defines instead of the file: layers, heads and their width. */
static TernStatus take_facts(Edited *e, TnFacts *f) {
    const TnNode *first = NULL;
    f->n_layers = 0;
    for (TnRef r = 0; r < e->g->n; r++) {
        const TnNode *n = &e->g->nodes[r];
        if (n->op == TN_OP_attend) {
            const TnType *k = &e->g->nodes[n->args[1]].type;
            f->n_heads = (uint32_t)(n->type.dim[1] / k->dim[2]);
        }
        if (n->op != TN_OP_input || tn_encs[n->type.enc].kind != TN_CACHE) continue;
        const char *name = tn_attr_str(n, TN_ATTR_name);
        char *end;
        unsigned long layer = strtoul(name + 1, &end, 10);
        char which = tn_enc_is_kcache(n->type.enc) ? 'k' : 'v';
        if (name[0] != which || name[1] < '0' || name[1] > '9' || *end || layer >= 1u << 16)
            return FAIL(e, n, "cache input \"%s\", expected %c<layer> with a layer below 65536", name, which);
        if (!first) first = n;
        if (memcmp(n->type.dim, first->type.dim, sizeof n->type.dim) != 0)
            return FAIL(e, n, "cache input \"%s\": type is %s, expected the heads of \"%s\", %s", name,
                        tn_type_text(&n->type).s, tn_attr_str(first, TN_ATTR_name),
                        tn_type_text(&first->type).s);
        if (layer >= f->n_layers) f->n_layers = (uint32_t)layer + 1;
    }
    if (!first)
        return tn_fail(e->err, TERN_ERR_INPUT,
                       "%s: graph @%s has no cache input, expected k0 and v0 at least", e->path, e->g->name);
    f->n_kv_heads = (uint32_t)first->type.dim[1];
    f->head_dim = (uint32_t)first->type.dim[2];
    return TERN_OK;
}

static void index_names(Edited *e) {
    for (TnRef r = 0; r < e->file_graph->n; r++) {
        const TnNode *n = &e->file_graph->nodes[r];
        TnMap *m = n->op == TN_OP_gguf     ? &e->tensors
                   : n->op == TN_OP_input  ? &e->inputs
                   : n->op == TN_OP_output ? &e->outputs
                                           : NULL;
        const char *name = m ? tn_attr_str(n, TN_ATTR_name) : NULL;
        if (m) tn_map_set(m, name, strlen(name), r);
    }
}

static TernStatus check(Edited *e, TnFacts *facts) {
    index_names(e);
    for (TnRef r = 0; r < e->g->n; r++) {
        const TnNode *n = &e->g->nodes[r];
        if (n->op == TN_OP_gguf) TN_TRY(check_tensor(e, n));
        if (n->op == TN_OP_input) TN_TRY(check_input(e, n));
        if (n->op == TN_OP_output) TN_TRY(check_output(e, n));
        TN_TRY(check_indices(e, n));
    }
    return take_facts(e, facts);
}

/* Turns y = attend_join (attend_blocks ..) back into the attend that pass split made it from, for a batch
 * class of few rows. */
static void join_attends(TnGraph *g) {
    TnRef *order = tn_xcalloc((size_t)g->n + 1, sizeof *order);
    uint32_t *uses = tn_xcalloc((size_t)g->n + 1, sizeof *uses), n = 0;
    tn_count_uses(g, uses);
    for (TnRef r = 0; r < g->n; r++) {
        TnNode *y = &g->nodes[r], *b = y->op == TN_OP_attend_join ? &g->nodes[y->args[0]] : NULL;
        bool whole = b && b->op == TN_OP_attend_blocks && uses[y->args[0]] == 1 && b->args[3] == y->args[1] &&
                     tn_attr_int(b, TN_ATTR_window) == tn_attr_int(y, TN_ATTR_window);
        if (!whole) {
            order[n++] = r;
            continue;
        }
        const char *name = b->name;
        uint32_t kept = 0;
        for (uint32_t i = 0; i < b->n_attrs; i++)
            if (b->attrs[i].key != TN_ATTR_n) b->attrs[kept++] = b->attrs[i];
        b->n_attrs = kept;
        b->op = TN_OP_attend;
        b->type = y->type;
        b->line = y->line;
        b->name = y->name;
        y->name = name;
        tn_graph_replace(g, r, y->args[0]);
    }
    tn_graph_reorder(g, order, n);
    free(order);
    free(uses);
}

/* Turns a graph of any stage back into stage=model: drops kernels, level and offsets, and makes the cache
 * types open again. No value changes, so a text that was dumped after any pass and edited runs; the passes
 * then group and place it again. */
static void forget_stages(TnGraph *g) {
    for (TnRef r = 0; r < g->n; r++) {
        TnNode *n = &g->nodes[r];
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n->n_attrs; i++)
            if (n->attrs[i].key != TN_ATTR_off) n->attrs[kept++] = n->attrs[i];
        n->n_attrs = kept;
        n->kernel = TN_NONE;
        if (tn_encs[n->type.enc].kind == TN_CACHE)
            n->type.enc = tn_enc_is_kcache(n->type.enc) ? TN_ENC_kc : TN_ENC_vc;
    }
    g->n_kernels = 0;
    g->stage = TN_STAGE_MODEL;
    g->level = NULL;
    g->kv = TN_KV_UNSET;
    g->rows_lo = g->rows_hi = 0;
    join_attends(g);
}

TernStatus tn_text_model(const char *path, TnGraph **out, TnTuneTable *settings, TernError *err) {
    TnGraph **gs = NULL;
    uint32_t n = 0;
    TnDiag d = {0};
    TernStatus st = tn_text_read(path, &gs, &n, &d, err);
    tn_diag_free(&d);
    if (st != TERN_OK) return st;
    if (n != 1) st = tn_fail(err, TERN_ERR_INPUT, "%s: %u graphs in the file, expected one", path, n);
    if (st == TERN_OK) {
        *out = gs[0];
        gs[0] = NULL;
        if (settings) tn_tune_take(settings, *out);
        forget_stages(*out);
    }
    tn_graphs_free(gs, n);
    return st;
}

/* Builds the file's own graph. Everything that the graph and the vocabulary need has been read then, so an
 * override that was not read is a mistake. */
static TernStatus file_graph_of(const TerncSource *source, TnGguf *file, const TnGgufOptions *o,
                                TnGraph **out, TnFacts *facts, TernError *err) {
    TnGraph *g;
    TN_TRY(tn_gguf_graph(file, o, &g, facts, err));
    TernStatus st = tn_source_settle(source, file, false, err);
    if (st == TERN_OK)
        *out = g;
    else
        tn_graph_destroy(g);
    return st;
}

TernStatus tn_source_graph(const TerncSource *source, TnGguf *file, uint32_t context, TnGraph **out,
                           TnFacts *facts, TnTuneTable *settings, TernError *err) {
    TnGgufOptions o = {.ternary_dense = source && source->ternary_dense, .context = context};
    if (!source || !source->tir) return file_graph_of(source, file, &o, out, facts, err);
    TnGraph *g = NULL, *file_graph = NULL;
    TN_TRY(tn_text_model(source->tir, &g, settings, err));
    o.no_hash = true; /* unless the text has a hash to compare */
    for (TnRef r = 0; r < g->n; r++)
        if (g->nodes[r].op == TN_OP_gguf && tn_node_attr(&g->nodes[r], TN_ATTR_hash)->u) o.no_hash = false;
    TernStatus st = file_graph_of(source, file, &o, &file_graph, facts, err);
    if (st == TERN_OK) {
        Edited e = {
            .path = source->tir, .g = g, .file_graph = file_graph, .file = file, .facts = facts, .err = err};
        st = check(&e, facts);
        tn_map_free(&e.tensors);
        tn_map_free(&e.inputs);
        tn_map_free(&e.outputs);
        tn_graph_destroy(file_graph);
    }
    if (st == TERN_OK)
        *out = g;
    else
        tn_graph_destroy(g);
    return st;
}
