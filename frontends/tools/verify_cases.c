/* ternc_verify: compares code with the evaluator, a plan with its model, or two graphs. */
#include "frontends/api/call_options.h"
#include "frontends/tools/reduce.h"
#include "frontends/tools/verify.h"
#include "runtime/abi/levels.h"
#include "runtime/base/cpus.h"
#include "runtime/base/escape.h"
#include "runtime/base/filekind.h"
#include "runtime/base/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Verify {
    const TerncVerify *v;
    TerncOptions o;
    const TerncSource *source;
    TerncSource other; /* the model of `against`, if a compiled file runs */
    const char *blob;  /* the compiled file that runs; NULL: the source is compiled */
    TnKv kv;
    bool ref; /* --target ref: there is no code */
    uint32_t
        context; /* with which graphs are made (TnGgufOptions): the caller's wish, or the blob's context */
    TnGguf *file;
    TnGraph *graph; /* stage=model; NULL: unknown */
    TnFacts facts;
    TnWeights weights;
    TnArena arena;
    void *memory; /* the compiled blob, until a model owns it */
    size_t bytes;
    TernModel *model;
    TnWatch watch;
    TnLab lab;
    TnResults results;
    TnBuf text;
    bool differ;
} Verify;

/* ---- sources */

static TernStatus open_source(Verify *s, TernError *err) {
    TN_TRY(tn_source_open(s->source, false, &s->file, err));
    TN_TRY(tn_source_graph(s->source, s->file, s->context, &s->graph, &s->facts, NULL, err));
    s->weights = tn_gguf_weights(s->file);
    return TERN_OK;
}

/* A session would check the tokens, but steps are also evaluated outside any session. */
static TernStatus check_tokens(const Verify *s, uint32_t n_vocab, uint32_t n_context, TernError *err) {
    for (uint32_t i = 0; i < s->v->n_tokens; i++)
        if (s->v->tokens[i] < 0 || (uint32_t)s->v->tokens[i] >= n_vocab)
            return tn_fail(err, TERN_ERR_INPUT, "token %u is %d, expected 0 to %u", i, s->v->tokens[i],
                           n_vocab - 1);
    if (s->v->n_tokens <= n_context) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%u tokens, but the model has %u positions", s->v->n_tokens,
                   n_context);
}

static void release(void *user, const void *bytes, size_t size) {
    (void)user;
    tn_os_unmap((void *)bytes, size);
}

/* Compiles to memory, as a load does. */
static TernStatus open_compiled(Verify *s, TernModelOptions *mo, TernError *err) {
    TnCompileOptions co = {.context = s->context,
                           .kvs = 1u << s->kv,
                           .target = s->o.target,
                           .progress = s->o.progress,
                           .user = s->o.user};
    const char **levels;
    TN_TRY(tn_head_parse("TerncOptions.head", s->o.head, &co.head, err));
    TN_TRY(tn_levels_choose(&s->o, true, &s->arena, &levels, &co.n_levels, err));
    co.levels = levels;
    co.family = tn_family_choose(s->o.family, s->o.levels);
    TnBlobDest dest = {.memory = &s->memory, .bytes = &s->bytes};
    TN_TRY(tn_compile(s->graph, &s->weights, &s->facts, &co, &dest, NULL, err));
    mo->release = release;
    mo->no_check = 1;
    TN_TRY(tern_model_open_memory(s->memory, s->bytes, mo, &s->model, err));
    s->memory = NULL;
    return TERN_OK;
}

static TernStatus read_text(Verify *s, TernError *err) {
    size_t n;
    const char *tir = tern_model_section(s->model, TN_SECTION_TIR, 0, &n);
    const char *path = s->blob ? s->blob : "the compiled model";
    TnDiag d = {0};
    if (!tir) return tn_fail(err, TERN_ERR_INPUT, "%s: the blob holds no graphs (section TIR)", path);
    TernStatus st = tn_parse(tir, n, "section TIR", &s->watch.graphs, &s->watch.n_graphs, &d);
    for (uint32_t i = 0; st == TERN_OK && i < s->watch.n_graphs; i++) st = tn_verify(s->watch.graphs[i], &d);
    if (st != TERN_OK) {
        tn_diag_fail(&d, err);
        tn_fail_in(err, st, "%s", path);
    }
    tn_diag_free(&d);
    return st;
}

/* ---- against the evaluator */

/* Results of a compiled file and of another model's graph can be compared only if their shapes are equal. */
static TernStatus check_outputs(const TnGraph *a, const TnGraph *b, TernError *err) {
    for (TnRef r = 0; r < a->n; r++) {
        if (a->nodes[r].op != TN_OP_output) continue;
        const char *name = tn_attr_str(&a->nodes[r], TN_ATTR_name);
        TnRef q = tn_graph_find(b, TN_OP_output, name);
        const TnType *t = &a->nodes[r].type, *u = q == TN_NONE ? NULL : &b->nodes[q].type;
        if (!u || t->rank != u->rank || (t->rank >= 2 && t->dim[1] != u->dim[1]))
            return tn_fail(err, TERN_ERR_INPUT, "output \"%s\": its shapes in the two models differ", name);
    }
    return TERN_OK;
}

static TernStatus expect(Verify *s, TernError *err) {
    uint32_t n = s->v->n_tokens, last = n < TN_WHOLE_ROWS ? n : TN_WHOLE_ROWS;
    if (!s->graph) {
        tn_results_create(s->watch.graphs[0], n - last, last, &s->results);
        return TERN_OK;
    }
    if (s->blob) {
        TN_TRY(check_outputs(s->graph, s->watch.graphs[0], err));
        TN_TRY(check_outputs(s->watch.graphs[0], s->graph, err));
        TN_TRY(check_tokens(s, s->facts.n_vocab, s->facts.n_context, err));
    }
    TnGraph *g = tn_graph_clone(s->graph);
    TnWhole whole;
    tn_graph_set_caches(g, s->kv);
    tn_results_create(g, n - last, last, &s->results);
    TernStatus st = tn_whole_create(g, &s->weights, s->v->tokens, n, TN_WHOLE_ROWS, &whole, err);
    while (st == TERN_OK && tn_whole_step(&whole)) {
        if (s->o.progress && s->o.progress(s->o.user, "evaluate", whole.first + whole.rows, n))
            st = tn_fail(err, TERN_ERR_CANCELLED, "cancelled");
    }
    if (st == TERN_OK) tn_results_take(&s->results, &whole);
    tn_whole_destroy(&whole);
    tn_graph_destroy(g);
    return st;
}

/* On a device the session runs no code, so the model does not say the level. */
static const char *level_of(const Verify *s, const TernModelInfo *info) {
    const TnWatch *w = &s->watch;
    for (uint32_t i = 0; s->watch.lab && i < w->n_graphs; i++)
        if (w->seen && w->seen[i]) return w->graphs[i]->level;
    return info->level;
}

static void put_proof(const Verify *s, TnBuf *out) {
    const TnWatch *w = &s->watch;
    TernModelInfo info;
    uint32_t n_kernels = 0; /* of the variants that ran */
    for (uint32_t i = 0; i < w->n_graphs; i++)
        if (w->seen[i]) n_kernels += w->graphs[i]->n_kernels;
    tern_model_info(s->model, &info);
    tn_buf_printf(out, "%u kernels, %u launches", w->n_kernels, w->n_launches);
    if (w->n_kernels < n_kernels) tn_buf_printf(out, " (of %u kernels)", n_kernels);
    if (!s->ref)
        tn_buf_printf(out, ", %llu values (%llu bytes) equal", (unsigned long long)w->tally.values,
                      (unsigned long long)w->tally.bytes);
    tn_buf_printf(out, ", level %s, kv %s, rows ", level_of(s, &info), tn_kv_names[s->kv]);
    for (uint32_t lo = 0, n = 0; n < w->n_classes; n++) {
        uint32_t i = 0; /* the next larger class */
        for (uint32_t k = 0, least = UINT32_MAX; k < w->n_classes; k++)
            if (w->classes[k][0] > lo && w->classes[k][0] < least) least = w->classes[i = k][0];
        lo = w->classes[i][0];
        tn_buf_printf(out, n == 0 ? "%u" : n + 1 < w->n_classes ? ", %u" : " and %u", lo);
        if (w->classes[i][1] > lo) tn_buf_printf(out, "..%u", w->classes[i][1]);
    }
    tn_buf_printf(out, "; %u results as %s gives them\n", w->n_rows,
                  s->results.from_model ? "the model's graph" : "the first step");
}

/* The level that a model may have on the device: its best, or the cap if that is below. */
static TernStatus cap_of_device(const Verify *s, TnArena *arena, const char **out, TernError *err) {
    TernDevice d = {.size = sizeof d};
    TN_TRY(tern_device(s->o.device, &d, err));
    const char *best = tn_strndup(arena, d.levels, strcspn(d.levels, ","));
    const TnLevelRow *most = tn_level_named(best), *cap = s->o.cap ? tn_level_named(s->o.cap) : NULL;
    if (s->o.cap && (!cap || cap->arch != most->arch))
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "TerncOptions.cap: got '%s', expected a level of %s: %s",
                       s->o.cap, d.device, d.levels);
    *out = cap && cap->preference < most->preference ? s->o.cap : best;
    return TERN_OK;
}

static TernStatus open_lab(Verify *s, TernModelOptions *mo, TernError *err) {
    if (!s->o.device) return TERN_OK;
    TN_TRY(tn_lab_create(s->o.device, &s->lab, err)); /* which refuses a device without levels */
    s->watch.lab = &s->lab;
    return cap_of_device(s, &s->arena, &mo->cpu, err);
}

/* Opens the compiled file, or compiles the source. */
static TernStatus open_model(Verify *s, TernError *err) {
    TernKernels kernels;
    s->watch.ref = s->ref;
    s->watch.threads = s->v->threads ? s->v->threads : tn_os_threads();
    s->watch.results = &s->results;
    TernModelOptions mo = {.size = sizeof mo, .cpu = s->o.cap, .kernels = &kernels};
    TN_TRY(open_lab(s, &mo, err));
    tn_watch_kernels(&s->watch, &kernels);
    TN_TRY(s->blob ? tern_model_open(s->blob, &mo, &s->model, err) : open_compiled(s, &mo, err));
    s->watch.model = s->model;
    return TERN_OK;
}

static TernStatus against_evaluator(Verify *s, TernError *err) {
    TernModelInfo info;
    bool same = true;
    TN_TRY(read_text(s, err));
    TN_TRY(tn_blob_check_text(s->model, s->watch.graphs, s->watch.n_graphs, &same, &s->text, err));
    s->differ = !same;
    if (!same) return TERN_OK;
    tern_model_info(s->model, &info);
    TN_TRY(check_tokens(s, info.n_vocab, info.n_context, err));
    TN_TRY(expect(s, err));
    TN_TRY(tn_watch_steps(&s->watch, s->model, s->v->tokens, s->v->n_tokens, (TernKv)s->kv, s->o.progress,
                          s->o.user, err));
    s->differ = s->watch.differ;
    if (!s->differ) {
        put_proof(s, &s->text);
        return TERN_OK;
    }
    tn_buf_put(&s->text, s->watch.text.data, s->watch.text.len);
    if (!s->watch.g && s->results.from_model && !s->v->bisect && !s->blob)
        tn_buf_puts(&s->text,
                    "  every launch agrees with its graph, so a pass changed the graph: --bisect finds it\n");
    return TERN_OK;
}

/* ---- which pass */

static TernStatus bisect(Verify *s, TnBroken *broken, TernError *err) {
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TernModelInfo info;
    uint32_t n_stages;
    tern_model_info(s->model, &info);
    const char *level = level_of(s, &info);
    TnPassCtx ctx = {.level = level,
                     .kv = s->kv,
                     .targets = targets,
                     .n_targets = tn_targets_for(level, s->o.target, targets),
                     .first = s->o.target,
                     .family = tn_family_choose(s->o.family, s->o.levels),
                     .weights = &s->weights};
    tn_levels_suit(&ctx, &level, 1);
    TN_TRY(tn_head_parse("TerncOptions.head", s->o.head, &ctx.head, err));
    TernStatus st =
        tn_passes_bisect(s->graph, &s->weights, &ctx, (const uint32_t(*)[2])s->watch.classes,
                         s->watch.n_classes, s->v->tokens, s->v->n_tokens, &s->text, broken, &n_stages, err);
    if (st != TERN_OK) return st;
    if (broken->pass)
        s->differ = true;
    else if (s->watch.g)
        tn_buf_printf(&s->text, "no pass: emitter %s/%s\n", s->watch.g->kernels[s->watch.kernel].target,
                      tn_ops[s->watch.g->nodes[s->watch.op].op].name);
    else
        tn_buf_printf(&s->text, "no pass: %u stages of the pipeline give what the model's graph gives%s\n",
                      n_stages, s->differ ? ", so the plan or the runtime is at fault" : "");
    return TERN_OK;
}

/* ---- reducing */

static TernStatus write_reduced(Verify *s, const TnGraph *g, const TnRandom *how, TernError *err) {
    TnBuf text = {0};
    TnWriter w;
    TnGraph *one = (TnGraph *)g;
    tn_print_file(&one, 1, &text);
    TernStatus st = tn_writer_open(s->v->reduce, &w, err);
    if (st == TERN_OK && (st = tn_writer_put(&w, text.data, text.len, err)) == TERN_OK)
        st = tn_writer_commit(&w, err);
    tn_buf_free(&text);
    uint32_t n = tn_count_ops(g);
    if (st != TERN_OK) return st;
    tn_buf_printf(&s->text, "reduced: %u op%s, in %s\nagain: tern verify %s ", n, n == 1 ? "" : "s",
                  tn_listed(s->v->reduce).s, tn_listed(s->v->reduce).s);
    tn_random_put_flags(how, &s->text);
    tn_buf_puts(&s->text, "\n");
    return TERN_OK;
}

static TernStatus reduce(Verify *s, TernError *err) {
    TnBroken broken = {0};
    TnGraph *small = NULL;
    TnRandom how;
    TernStatus st = TERN_OK;
    if (!s->differ && !s->v->bisect) return TERN_OK;
    if (s->v->bisect || (!s->watch.g && s->graph)) st = bisect(s, &broken, err);
    TernModelInfo info;
    tern_model_info(s->model, &info);
    TnKv kv = s->kv;
    if (st == TERN_OK && s->v->reduce && broken.pass) {
        bool early = broken.before->stage == TN_STAGE_MODEL;
        small =
            tn_reduce_model(early ? broken.before : s->graph, broken.lost, info.level, kv,
                            broken.rows_lo ? broken.rows_lo : 1, broken.rows_lo ? broken.rows_hi : 1, &how);
    } else if (st == TERN_OK && s->v->reduce && s->watch.g) {
        small = tn_reduce_kernel(s->watch.g, s->watch.kernel, s->watch.op, &how);
    }
    if (small)
        st = write_reduced(s, small, &how, err);
    else if (st == TERN_OK && s->v->reduce && s->differ)
        tn_buf_puts(&s->text, "not reduced: on random inputs and weights nothing differs\n");
    tn_graph_destroy(small);
    tn_graph_destroy(broken.before);
    return st;
}

/* ---- on random inputs */

static TernStatus on_random(Verify *s, TernError *err) {
    const char **levels;
    uint32_t n_levels;
    TnRandom how, asked = {.kv = s->kv,
                           .rows_lo = s->v->rows_lo,
                           .rows_hi = s->v->rows_hi,
                           .seed = s->v->seed,
                           .seeded = s->v->seeded || s->v->seed};
    bool same = true;
    TN_TRY(tn_levels_choose(&s->o, true, &s->arena, &levels, &n_levels, err));
    if (s->source && s->source->tir) {
        TN_TRY(tn_text_model(s->source->tir, &s->graph, NULL, err));
        bool stored = false;
        for (TnRef r = 0; r < s->graph->n; r++) stored |= s->graph->nodes[r].op == TN_OP_gguf;
        if (stored) {
            TN_TRY(tn_source_open(s->source, false, &s->file, err));
            TN_TRY(tn_gguf_overrides_read(s->file, err));
        }
        const TerncSource *from = s->source;
        if (!stored && (from->path || from->n_overrides || from->ternary_dense || from->i2s_layout))
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: no node takes a tensor from a file: TerncSource.path has no effect",
                           from->tir);
        s->weights = tn_gguf_weights(s->file);
    } else {
        TN_TRY(open_source(s, err));
    }
    TN_TRY(tn_random_verify(s->graph, &s->weights, levels[0], &asked, &same, &how, &s->text, err));
    s->differ = !same;
    if (same || !s->v->reduce) return TERN_OK;
    TnGraph *small = tn_reduce_random(s->graph, &how);
    TernStatus st = TERN_OK;
    if (small)
        st = write_reduced(s, small, &how, err);
    else
        tn_buf_puts(&s->text, "not reduced: with random weights nothing differs\n");
    tn_graph_destroy(small);
    return st;
}

/* ---- against another graph or blob */

static void put_where(const TnGraph *g, TnRef r, const char *path, TnBuf *out) {
    tn_print_node(g, r, out);
    if (g->file && g->nodes[r].line)
        tn_buf_printf(out, " (%s:%u)\n", tn_listed(g->file).s, g->nodes[r].line);
    else
        tn_buf_printf(out, " (%s)\n", tn_listed(path).s);
}

static const char *name_of(const Verify *s) {
    const TerncSource *src = s->source;
    return src && src->tir ? src->tir : src && src->path ? src->path : "the embedded model";
}

/* Evaluates both graphs step by step and shows the first value that differs from its match. */
static TernStatus hold_graphs(Verify *s, TnGraph *b, const TnWeights *weights_b, TernError *err) {
    TnKv kv = s->kv;
    TnWhole wa = {0}, wb = {0};
    TnRef *match;
    TnTally tally = {0};
    TnPair p = {.a = TN_NONE};
    uint64_t zeros = 0;
    tn_graph_set_caches(s->graph, kv);
    tn_graph_set_caches(b, kv);
    tn_wholes_match(s->graph, b, false, &s->arena, &match);
    TernStatus st =
        tn_whole_create(s->graph, &s->weights, s->v->tokens, s->v->n_tokens, TN_WHOLE_ROWS, &wa, err);
    if (st == TERN_OK)
        st = tn_whole_create(b, weights_b, s->v->tokens, s->v->n_tokens, TN_WHOLE_ROWS, &wb, err);
    while (st == TERN_OK && !s->differ && tn_whole_step(&wa) && tn_whole_step(&wb)) {
        tn_wholes_compare(&wa, &wb, match, &tally, &p);
        s->differ = p.a != TN_NONE || p.leaves;
        zeros += p.zeros;
    }
    if (st == TERN_OK && s->differ && p.a != TN_NONE) {
        tn_buf_puts(&s->text, "different: ");
        put_where(s->graph, p.a, name_of(s), &s->text);
        tn_buf_puts(&s->text, "      and: ");
        put_where(b, p.b, s->v->against, &s->text);
        tn_buf_printf(&s->text, "  at %s", p.first.place);
        if (wa.g->nodes[p.a].type.dim[0] == tn_sym_dim(TN_T))
            tn_buf_printf(&s->text, " (position %lld, token %d)", (long long)(wa.first + p.first.row),
                          s->v->tokens[wa.first + p.first.row]);
        tn_buf_printf(&s->text, "\n  a  %s\n  b  %s, %s\n", p.first.a, p.first.b, p.first.apart);
    } else if (st == TERN_OK && s->differ) {
        tn_buf_puts(&s->text, "different: outputs; no matched values differ\n");
    } else if (st == TERN_OK) {
        tn_buf_printf(&s->text, "%u of %u nodes are matched: %llu values (%llu bytes) equal, kv %s", p.n,
                      s->graph->n, (unsigned long long)tally.values, (unsigned long long)tally.bytes,
                      tn_kv_names[kv]);
        if (zeros)
            tn_buf_printf(&s->text,
                          "; the sign of a zero differs in %llu, and in nothing that leaves the graph",
                          (unsigned long long)zeros);
        tn_buf_puts(&s->text, "\n");
    }
    tn_whole_destroy(&wa);
    tn_whole_destroy(&wb);
    return st;
}

static TernStatus against_graph(Verify *s, TernError *err) {
    TerncSource source = {.size = sizeof source};
    bool text = tn_path_is_text(s->v->against);
    if (s->source) source = *s->source;
    source.tir = text ? s->v->against : NULL;
    if (!text) source.path = s->v->against;
    TnGguf *file = NULL;
    TnGraph *b = NULL;
    TnFacts facts;
    TernStatus st = open_source(s, err);
    if (st == TERN_OK) st = check_tokens(s, s->facts.n_vocab, s->facts.n_context, err);
    if (st == TERN_OK) st = tn_source_open(&source, false, &file, err);
    if (st == TERN_OK) st = tn_source_graph(&source, file, s->context, &b, &facts, NULL, err);
    if (st == TERN_OK) st = check_tokens(s, facts.n_vocab, facts.n_context, err);
    if (st == TERN_OK) {
        TnWeights weights = tn_gguf_weights(file);
        st = hold_graphs(s, b, &weights, err);
    }
    tn_graph_destroy(b);
    tn_gguf_close(file);
    return st;
}

static bool is_blob(const char *path) {
    TnFile f;
    TernError ignored;
    if (tn_path_is_text(path) || tn_file_map(path, &f, &ignored) != TERN_OK) return false;
    bool yes = tn_file_kind(f.data, f.size).kind == TN_KIND_TERN;
    tn_file_unmap(&f);
    return yes;
}

/* A compiled file too is compared with the evaluator; if `other` is set, its results are compared with that
 * model's. */
static TernStatus against_evaluator_from(Verify *s, bool other, TernError *err) {
    s->other = (TerncSource){.size = sizeof s->other};
    if (s->source) s->other.note = s->source->note, s->other.note_user = s->source->note_user;
    s->blob = s->v->blob;
    if (other && !s->blob) {
        s->blob = s->v->against;
    } else if (other) {
        bool text = tn_path_is_text(s->v->against);
        s->other.tir = text ? s->v->against : NULL;
        s->other.path = text ? NULL : s->v->against;
        s->source = &s->other;
    }
    if (s->blob) {
        TernModelInfo info;
        TN_TRY(open_model(s, err));
        tern_model_info(s->model, &info);
        s->context = info.n_context; /* the model's graph takes the factors that this one was compiled with */
    }
    if (!s->blob || other) TN_TRY(open_source(s, err));
    if (!s->blob) {
        TN_TRY(check_tokens(s, s->facts.n_vocab, s->facts.n_context, err));
        TN_TRY(open_model(s, err));
    }
    TN_TRY(against_evaluator(s, err));
    return s->v->bisect || s->v->reduce ? reduce(s, err) : TERN_OK;
}

static TernStatus check_device(const Verify *s, bool other, TernError *err) {
    const TerncVerify *v = s->v;
    bool graphs = other && !v->blob && !is_blob(v->against);
    if (!s->o.device || (!s->ref && !v->random && !v->reduce && !graphs && !v->threads)) return TERN_OK;
    if (v->threads) return tn_fail(err, TERN_ERR_INPUT, "TerncVerify.threads has no effect on a device");
    return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.device has no effect on %s",
                   s->ref      ? "evaluated kernels"
                   : v->random ? "random inputs"
                   : v->reduce ? "reduced graphs: TerncVerify.reduce is for code of processors"
                               : "two graphs");
}

static TernStatus check_files(const TerncVerify *v, bool other, TernError *err) {
    const TnFileUse files[] = {
        {"the model", v->source ? v->source->path : NULL, TN_FILE_MODEL},
        {"the graph", v->source ? v->source->tir : NULL, TN_FILE_IN},
        {"the blob", v->blob, TN_FILE_IN},
        {"the model to compare with", other ? v->against : NULL, TN_FILE_IN},
        {"the reduced graph", v->reduce, TN_FILE_NAMED},
    };
    return tn_files_check(files, TN_COUNT(files), err);
}

/* Refuses what does not go together. */
static TernStatus check_call(const TerncVerify *v, bool other, TernError *err) {
    if (v->n_tokens == 0 && !v->random)
        return tn_fail(err, TERN_ERR_INPUT, "TerncVerify.n_tokens is 0, expected at least one");
    if (v->random && (v->n_tokens || other || v->bisect))
        return tn_fail(err, TERN_ERR_INPUT, "random inputs: got %s, expected none",
                       v->n_tokens ? "tokens"
                       : other     ? "TerncVerify.against"
                                   : "TerncVerify.bisect");
    if (v->random && v->blob)
        return tn_fail(err, TERN_ERR_INPUT, "%s is compiled: random inputs are for a graph", v->blob);
    if (v->random) return TERN_OK;
    if (v->reduce && other)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "TerncVerify.reduce is for code against the evaluator, TerncVerify.against names another graph");
    if (v->bisect && (v->blob || other))
        return tn_fail(err, TERN_ERR_INPUT,
                       "TerncVerify.bisect starts from a model's graph, before all passes; %s",
                       other ? "TerncVerify.against names another one"
                             : "a compiled file has only what came out of them");
    if (other && v->blob && is_blob(v->against))
        return tn_fail(err, TERN_ERR_INPUT, "%s and %s are both compiled: compare each with the model",
                       v->blob, v->against);
    return TERN_OK;
}

static TernStatus compare(Verify *s, TernError *err) {
    const TerncVerify *v = s->v;
    bool other = v->against && !tn_target_evaluates(v->against);
    TN_TRY(check_files(v, other, err));
    TN_TRY(check_device(s, other, err));
    TN_TRY(check_call(v, other, err));
    if (v->random) return on_random(s, err);
    if (other && !v->blob && !is_blob(v->against)) return against_graph(s, err);
    return against_evaluator_from(s, other, err);
}

static void give(const Verify *s, TerncTextFn *text, void *user, int *same) {
    if (s->watch.saturated) {
        char number[24];
        int n = snprintf(number, sizeof number, "%llu", (unsigned long long)s->watch.saturated);
        text(user, "saturated", number, (size_t)n);
    }
    text(user, "result", s->text.data, s->text.len);
    *same = !s->differ;
}

static void end(Verify *s) {
    tn_watch_free(&s->watch);
    tern_model_close(s->model);
    tn_lab_destroy(&s->lab);
    tn_graphs_free(s->watch.graphs, s->watch.n_graphs);
    tn_results_free(&s->results);
    if (s->memory) tn_os_unmap(s->memory, s->bytes);
    tn_graph_destroy(s->graph);
    tn_gguf_close(s->file);
    tn_arena_free(&s->arena);
    tn_buf_free(&s->text);
}

TernStatus ternc_verify(const TerncVerify *given, TerncTextFn *text, void *user, int *same, TernError *err) {
    TerncVerify taken, *v = &taken;
    TerncSource source;
    TerncOptions options;
    TN_TRY(tn_verify_take(given, v, err));
    TN_TRY(tn_source_take(v->source, &source, err));
    TN_TRY(tn_compile_take(v->options, &options, err));
    TN_NEED(text, err);
    TN_NEED(same, err);
    if (v->source) v->source = &source;
    Verify s = {.v = v,
                .o = options,
                .source = v->source,
                .ref = tn_target_evaluates(options.target),
                .kv = v->kv ? (TnKv)v->kv : TN_KV_F16,
                .context = options.context};
    TernStatus st = compare(&s, err);
    if (st == TERN_OK) give(&s, text, user, same);
    end(&s);
    return st;
}
