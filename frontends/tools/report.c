/* ternc_import: the import report of a model file.
 *
 * Everything comes from what the import itself does. The graph shows which activation, rope and head were
 * chosen, the keys that were never read while it was made were ignored, and the planned graph shows what runs
 * where. A file with a tensor type that Tern does not read is opened again for its tables alone, so that the
 * report has at least its producer beside the refusal. */
#include "frontends/tools/report.h"
#include "ir/stored_tiles.h"
#include "frontends/api/call_options.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/arch.h"
#include "frontends/tools/graphs.h"
#include "runtime/text/text.h"

void tn_findings_add(TnFindings *f, TnArena *arena, const char *what, const char *value, const char *from) {
    TnFinding one = {tn_strdup(arena, what), tn_strdup(arena, value), tn_strdup(arena, from)};
    TN_PUSH(f->v, f->n, f->cap, one);
}

static void infer(TnReport *r, const char *what, const char *value, const char *from) {
    tn_findings_add(&r->inferred, &r->arena, what, value, from);
}

/* ---- What the import took */

static const TnNode *first_node(const TnGraph *g, TnOp op) {
    for (TnRef i = 0; i < g->n; i++)
        if (g->nodes[i].op == op) return &g->nodes[i];
    return NULL;
}

/* The activation of the feed-forward layers: their gate is the only op with that trait in a model. */
static const char *activation_of(const TnGraph *g) {
    for (TnRef r = 0; r < g->n; r++) {
        TnOp op = g->nodes[r].op;
        if (tn_op_is(op, TN_TRAIT_GATE)) return op == TN_OP_relu2 ? "relu squared" : tn_ops[op].name;
    }
    return "none";
}

static bool have_key(TnReport *r, const char *what) {
    return tn_gguf_key(r->gguf, tn_sprintf(&r->arena, "%s.%s", r->facts.arch, what)) != NULL;
}
static const char *key_or(TnReport *r, const char *what, const char *otherwise) {
    const char *name = tn_sprintf(&r->arena, "%s.%s", r->facts.arch, what);
    return have_key(r, what) ? tn_sprintf(&r->arena, "the key %s", name)
                             : tn_sprintf(&r->arena, "%s (no key %s)", otherwise, name);
}

/* Builds the vocabulary to see what it makes of the file's tokenizer keys. */
static TernStatus infer_tokens(TnReport *r, TernError *err) {
    const TnGgufKey *pre = tn_gguf_key(r->gguf, "tokenizer.ggml.pre");
    if (!r->facts.vocab) {
        infer(r, "tokenizer", "none: ids in, ids out", "no key tokenizer.ggml.tokens");
        return TERN_OK;
    }
    TernVocab *vocab;
    TN_TRY(tern_vocab_open(r->facts.vocab, r->facts.vocab_bytes, &vocab, err));
    TernVocabFacts facts = tern_vocab_get_facts(vocab);
    bool said = pre && pre->type == TN_GGUF_STRING, plain = strcmp(facts.pre, "default") == 0;
    const char *name = tn_strdup(&r->arena, facts.pre);
    tern_vocab_close(vocab);
    if (*name)
        infer(r, "pre-tokenizer", said ? tn_strndup(&r->arena, (const char *)pre->data, pre->n) : name,
              said    ? "the key tokenizer.ggml.pre"
              : plain ? "its default (no key tokenizer.ggml.pre)"
                      : tn_sprintf(&r->arena, "%u tokens: Llama 3's vocabulary (no key tokenizer.ggml.pre)",
                                   facts.n_tokens));
    else
        infer(r, "pre-tokenizer", "none: this kind of vocabulary has none", "the key tokenizer.ggml.model");
    infer(r, "begin of text", facts.add_bos ? "added" : "not added",
          tn_gguf_key(r->gguf, "tokenizer.ggml.add_bos_token") ? "the key tokenizer.ggml.add_bos_token"
          : *name                                              ? "the pre-tokenizer's custom"
                                                               : "the tokenizer's default");
    return TERN_OK;
}

/* Rope's factors that were computed from keys: the least and the largest. */
static void infer_scaling(TnReport *r, const TnNode *factors) {
    const TnAttr *v = tn_node_attr(factors, TN_ATTR_values);
    float lo = v->fs[0], hi = v->fs[0];
    for (uint32_t i = 1; i < v->n; i++) {
        lo = v->fs[i] < lo ? v->fs[i] : lo;
        hi = v->fs[i] > hi ? v->fs[i] : hi;
    }
    const char *type = "linear";
    TernError ignored;
    const char *key = tn_sprintf(&r->arena, "%s.rope.scaling.type", r->facts.arch);
    (void)tn_gguf_string(r->gguf, key, false, &type, &ignored);
    infer(r, "rope scaling",
          tn_sprintf(&r->arena, "%s: frequencies divided by %g to %g", type ? type : "linear", (double)lo,
                     (double)hi),
          key_or(r, "rope.scaling.type", "rope.scaling.factor without a type"));
}

/* Which factors which context takes. The graph is that of the first context. */
static void infer_longrope(TnReport *r) {
    const char *type = NULL;
    uint64_t most = 0;
    TernError ignored;
    const char *name = r->facts.arch;
    (void)tn_gguf_string(r->gguf, tn_sprintf(&r->arena, "%s.rope.scaling.type", name), false, &type,
                         &ignored);
    if (!type || strcmp(type, "longrope") != 0) return;
    (void)tn_gguf_uint(r->gguf, tn_sprintf(&r->arena, "%s.context_length", name), false, 1, 1 << 24, &most,
                       &ignored);
    const char *from = key_or(r, "rope.scaling.original_context_length", "context_length");
    infer(r, "short factors", tn_sprintf(&r->arena, "up to %u positions, the default", r->facts.n_context),
          from);
    infer(r, "long factors",
          most > r->facts.n_context
              ? tn_sprintf(&r->arena, "where more are asked for (-c of compile and run), up to %u",
                           (uint32_t)most)
              : "never: context_length is no more than that",
          from);
}

/* Whether the keys of rope change the attention's scale. */
static bool scaled_scores(const TnReport *r) {
    const TnNode *attend = first_node(r->graph, TN_OP_attend);
    return tn_attr_float(attend, TN_ATTR_scale) != (float)(1.0 / sqrt((double)r->facts.head_dim));
}

/* Of a ternary matrix; groups: "128 columns", or empty. */
static void infer_scale(TnReport *r, const TnGgufTensor *t, const char *groups) {
    bool by_row = false, whole = tn_encs[t->enc].block_elems == 0 && t->enc != TN_ENC_iq2bn4;
    for (TnRef i = 0; i < r->graph->n; i++) by_row |= r->graph->nodes[i].type.group == TN_GROUP_ROW;
    if (*groups)
        infer(r, "weight scale", tn_sprintf(&r->arena, "one for %s of a row", groups),
              "d of the blocks, which differ");
    else if (by_row)
        infer(r, "weight scale", "one a row", "the rows' own, which differ");
    else
        infer(r, "weight scale", "one a tensor",
              whole ? "the float after the codes" : "d of the blocks or rows, all equal");
    TnTlTiles tiles;
    bool tl = t->enc == TN_ENC_tl1 || t->enc == TN_ENC_tl2;
    if (tl && tn_tl_tiles(t->enc, (int64_t)t->ne[1], (int64_t)t->ne[0], &tiles))
        infer(r, "tiles",
              tn_sprintf(&r->arena,
                         "%lld rows by %lld columns, blocks of %lld rows, in blk.0.ffn_down.weight",
                         (long long)tiles.tile_rows, (long long)tiles.tile_cols, (long long)tiles.block_rows),
              tiles.known
                  ? "bitnet.cpp's table has the shape; text that is nonsense means others"
                  : "no table has the shape: the largest powers of two; text that is nonsense means others");
}

static void infer_rope(TnReport *r, const char *arch) {
    const TnGraph *g = r->graph;
    const TnNode *rope = first_node(g, TN_OP_rope), *table = first_node(g, TN_OP_rope_freq);
    if (rope)
        infer(r, "rope pairs",
              strcmp(tn_attr_str(rope, TN_ATTR_mode), "half") == 0
                  ? "column i with i + half the head"
                  : "columns 2i and 2i + 1 (weights are permuted)",
              arch);
    if (!table) return;
    const TnNode *by = table->n_args ? &g->nodes[table->args[0]] : NULL;
    bool stored = by && by->op == TN_OP_gguf;
    const char *divided =
        stored ? tn_sprintf(&r->arena, ", divided by %s", tn_attr_str(by, TN_ATTR_name)) : "";
    infer(r, "rope base", tn_sprintf(&r->arena, "%g%s", (double)tn_attr_float(table, TN_ATTR_base), divided),
          key_or(r, "rope.freq_base", "the default"));
    if (by && !stored) infer_scaling(r, by);
    infer_longrope(r);
}

static void infer_attention(TnReport *r) {
    static const char *const poolings[] = {"", "none", "mean", "cls", "last"}; /* as TnFacts counts them */
    const TnNode *attend = first_node(r->graph, TN_OP_attend);
    infer(r, "key/value heads", tn_sprintf(&r->arena, "%u of %u", r->facts.n_kv_heads, r->facts.n_heads),
          key_or(r, "attention.head_count_kv", "as many as heads"));
    infer(r, "columns a head", tn_sprintf(&r->arena, "%u", r->facts.head_dim),
          key_or(r, "attention.key_length", "embedding length / heads"));
    if (attend)
        infer(r, "attention scale", tn_sprintf(&r->arena, "%g", (double)tn_attr_float(attend, TN_ATTR_scale)),
              have_key(r, "attention.scale") ? key_or(r, "attention.scale", "")
              : scaled_scores(r)             ? "1 / sqrt(columns a head), times what rope.scaling asks for"
                                             : "1 / sqrt(columns a head)");
    if (r->facts.pooling) infer(r, "pooling", poolings[r->facts.pooling], key_or(r, "pooling_type", ""));
    if (attend && tn_attr_int(attend, TN_ATTR_window))
        infer(r, "window",
              tn_sprintf(&r->arena, "%lld positions", (long long)tn_attr_int(attend, TN_ATTR_window)),
              key_or(r, "attention.sliding_window", ""));
}

static void infer_weights(TnReport *r) {
    const TnGgufTensor *down = tn_gguf_tensor(r->gguf, "blk.0.ffn_down.weight");
    const TnNode *groups = first_node(r->graph, TN_OP_quant_groups);
    bool packed = down && tn_enc_is_ternary(down->enc), rows = first_node(r->graph, TN_OP_tmatmul) != NULL;
    bool trits = rows || groups;
    const char *by_groups =
        groups ? tn_sprintf(&r->arena, "%lld columns", (long long)tn_attr_int(groups, TN_ATTR_n)) : "";
    infer(r, "weights",
          !trits    ? "dense floats"
          : !groups ? "ternary, activations rounded to 8 bits a row"
                    : tn_sprintf(&r->arena, "ternary, activations rounded to 8 bits a%s group of %s",
                                 rows ? " row, and where scales differ a" : "", by_groups),
          packed  ? "their type"
          : trits ? "--ternary-dense: every value is -s, 0 or s"
                  : "their type");
    if (packed) infer_scale(r, down, by_groups);
    for (size_t i = 0; i < r->gguf->n_settled; i++) {
        const TnGgufSettled *s = &r->gguf->settled[i];
        infer(r, tn_sprintf(&r->arena, "tensor type %u", s->type), s->name, s->rule);
    }
    if (tn_gguf_tensor(r->gguf, "blk.0.attn_q.scale"))
        infer(r, "weight scale", "times the .scale tensor", "the tensor is there");
}

static void infer_model(TnReport *r) {
    const char *arch = tn_sprintf(&r->arena, "the architecture's name, %s (no key says it)", r->facts.arch);
    infer(r, "activation", activation_of(r->graph),
          have_key(r, "hidden_activation") ? key_or(r, "hidden_activation", "") : arch);
    const TnArch *row = tn_arch_find(r->facts.arch);
    for (uint32_t i = 0; i < row->n_traits; i++) infer(r, row->traits[i].what, row->traits[i].value, arch);
    infer_rope(r, arch);
    infer_attention(r);
    bool own = tn_gguf_tensor(r->gguf, "output.weight") != NULL;
    infer(r, "head", own ? "output.weight" : "tied: token_embd.weight",
          own ? "the tensor is there" : "no tensor output.weight");
    infer_weights(r);
}

/* ---- Statistics */

static bool is_block_matrix(const TnGgufTensor *t) {
    return strncmp(t->name, "blk.", 4) == 0 && t->rank == 2;
}

static const TnTrits *trits_of(const TnReport *r, uint32_t layer, const char *proj) {
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, proj);
    for (size_t i = 0; i < r->n_matrices; i++)
        if (strcmp(r->matrices[i].tensor->name, name) == 0) return &r->matrices[i].trits;
    return NULL;
}

static void read_ffn(TnReport *r) {
    r->ffn = tn_alloc_array(&r->arena, r->facts.n_layers + 1u, sizeof *r->ffn);
    for (uint32_t l = 0; l < r->facts.n_layers; l++) {
        const TnTrits *gate = trits_of(r, l, "ffn_gate"), *up = trits_of(r, l, "ffn_up");
        if (!gate || !up || gate->rows != up->rows) continue;
        TnReportFfn f = {.layer = l, .neurons = gate->rows, .gate = gate->dead_rows, .up = up->dead_rows};
        for (uint64_t i = 0; i < gate->rows; i++) f.dead += gate->dead[i] || up->dead[i];
        r->ffn[r->n_ffn++] = f;
    }
}

static TernStatus read_weights(TnReport *r, const TerncImport *o, TernError *err) {
    const TnGguf *g = r->gguf;
    uint64_t total = 0, done = 0;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (is_block_matrix(&g->tensors[i])) total += g->tensors[i].bytes;
    r->matrices = tn_alloc_array(&r->arena, g->n_tensors + 1, sizeof *r->matrices);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const TnGgufTensor *t = &g->tensors[i];
        uint64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        if (!is_block_matrix(t)) {
            if (t->rank == 1)
                r->n_norm += n;
            else
                r->n_table += n, r->table_bytes += t->bytes;
            continue;
        }
        TnReportMatrix m = {.tensor = t};
        if (tn_trits_read(t, &m.trits)) {
            r->matrices[r->n_matrices++] = m;
            r->n_ternary += n;
            r->packed_bytes += m.trits.rows * ((m.trits.cols + 255) / 256 * 64);
            r->stored_bytes += t->bytes;
            if (m.trits.dense && r->graph && !o->source->ternary_dense && r->n_matrices == 1)
                tn_findings_add(&r->notes, &r->arena, "dense weights", "hold only -s, 0 and s",
                                "with --ternary-dense they run as ternary");
        } else {
            r->other_bytes += t->bytes;
            r->n_other++;
        }
        done += t->bytes;
        if (o->progress && o->progress(o->user, "report", done, total))
            return tn_fail(err, TERN_ERR_CANCELLED, "report cancelled");
    }
    return TERN_OK;
}

/* ---- What would run */

static void add_kernel(TnReport *r, TnReportVariant *v, const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    TnReportKernels one = {.target = k->target, .axis = k->axis == TN_AXIS_COLS ? "cols" : "rows", .n = 1};
    tn_kernel_describe(g, kernel, one.what, sizeof one.what);
    for (size_t i = 0; i < v->n; i++)
        if (strcmp(v->v[i].what, one.what) == 0 && strcmp(v->v[i].target, one.target) == 0) {
            v->v[i].n++;
            return;
        }
    one.target = tn_strdup(&r->arena, one.target); /* the name is freed with the graph */
    TN_PUSH(v->v, v->n, v->cap, one);
}

static TernStatus plan(TnReport *r, TernError *err) {
    TnBatchClass rows[TN_BATCH_CLASSES];
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TerncOptions options = {.size = sizeof options};
    const char **levels;
    uint32_t n;
    r->level = TN_LEVEL_REF_NAME;
    if (*tern_cpu_levels()) {
        TN_TRY(tn_levels_choose(&options, true, &r->arena, &levels, &n, err));
        if (tn_targets_for(levels[0], NULL, targets) > 0) r->level = levels[0];
    }
    uint32_t n_targets = tn_targets_asked(r->level, targets),
             n_rows = tn_batch_classes(targets, n_targets, r->level, TN_ROWS_DEFAULT, rows);
    for (size_t i = 0; i < n_rows; i++) {
        TnGraph *g = tn_graph_clone(r->graph);
        TnReportVariant *v = &r->variants[r->n_variants++];
        v->rows_lo = rows[i].lo, v->rows_hi = rows[i].hi;
        TnWeights weights = tn_gguf_weights(r->gguf);
        TnPassCtx ctx = {.level = r->level,
                         .family = tn_family_choose(options.family, options.levels),
                         .kv = TN_KV_F16,
                         .rows_lo = rows[i].lo,
                         .rows_hi = rows[i].hi,
                         .head = TN_ENC_COUNT,
                         .weights = &weights};
        tn_levels_suit(&ctx, &r->level, 1);
        TernStatus st = tn_graph_lower(g, TN_STAGE_PLANNED, &ctx, err);
        if (st == TERN_OK) {
            for (uint32_t k = 0; k < g->n_kernels; k++) add_kernel(r, v, g, k);
            bool *read = tn_xcalloc(g->n + 1u, sizeof *read);
            for (TnRef j = 0; j < g->n; j++)
                for (uint32_t a = 0; g->nodes[j].kernel != TN_NONE && a < g->nodes[j].n_args; a++)
                    read[g->nodes[j].args[a]] = true;
            for (TnRef j = 0; i == 0 && j < g->n; j++)
                if (read[j] && tn_node_is_source(g, j))
                    r->planned_bytes += tn_type_bytes(&g->nodes[j].type, NULL);
            free(read);
        }
        tn_graph_destroy(g);
        TN_TRY(st);
    }
    return TERN_OK;
}

/* ---- All together */

static void list_ignored(TnReport *r) {
    const TnGguf *g = r->gguf;
    r->ignored_keys = tn_alloc_array(&r->arena, g->n_keys + 1, sizeof *r->ignored_keys);
    for (size_t i = 0; i < g->n_keys; i++)
        if (!g->keys[i].asked) r->ignored_keys[r->n_ignored_keys++] = g->keys[i].name;
    r->ignored_tensors = tn_alloc_array(&r->arena, g->n_tensors + 1, sizeof *r->ignored_tensors);
    TnMap used = {0};
    for (TnRef i = 0; i < r->graph->n; i++) {
        const TnNode *n = &r->graph->nodes[i];
        bool folded = n->op == TN_OP_rope_freq && n->n_args && r->graph->nodes[n->args[0]].op == TN_OP_const;
        if (folded) tn_map_set(&used, "rope_freqs.weight", strlen("rope_freqs.weight"), 0);
        if (n->op != TN_OP_gguf) continue;
        const char *name = tn_attr_str(n, TN_ATTR_name);
        tn_map_set(&used, name, strlen(name), 0);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        const char *name = g->tensors[i].name;
        size_t len = strlen(name);
        bool scale = len > 6 && strcmp(name + len - 6, ".scale") ==
                                    0; /* counted with the type of the tensor that it scales */
        if (!scale && tn_map_get(&used, name, len) == TN_MAP_NONE)
            r->ignored_tensors[r->n_ignored_tensors++] = name;
    }
    tn_map_free(&used);
}

static TernStatus gather(TnReport *r, const TerncImport *o, TernError *err) {
    TernStatus st = tn_source_open(o->source, false, &r->gguf, err);
    if (st == TERN_ERR_UNSUPPORTED) {
        TernError ignored;
        r->refused = *err;
        if (tn_source_open(o->source, true, &r->gguf, &ignored) != TERN_OK) return st;
        tn_report_producer(r);
        return TERN_OK;
    }
    TN_TRY(st);
    TnGgufOptions options = {.ternary_dense = o->source->ternary_dense, .no_hash = true};
    if (tn_gguf_graph(r->gguf, &options, &r->graph, &r->facts, &r->refused) != TERN_OK) {
        r->graph = NULL;
        tn_report_producer(r);
        return read_weights(r, o, err);
    }
    TN_TRY(tn_gguf_overrides_read(r->gguf, err));
    list_ignored(r);
    tn_report_producer(r);
    TN_TRY(infer_tokens(r, err));
    infer_model(r);
    r->kv_values = (uint64_t)r->facts.n_layers * 2 * r->facts.n_kv_heads * r->facts.head_dim;
    TN_TRY(read_weights(r, o, err));
    read_ffn(r);
    if (o->i2s_probe) TN_TRY(tn_report_i2s_probe(r, o->source, err));
    return plan(r, err);
}

TernStatus ternc_import(const TerncImport *import, TerncTextFn *text, void *user, TernError *err) {
    TerncImport o;
    TerncSource source;
    TN_TRY(tn_import_take(import, &o, err));
    TN_TRY(tn_source_take(o.source, &source, err));
    TN_NEED(text, err);
    o.source = &source;
    TnReport r = {0};
    TnBuf b = {0};
    TernStatus st = gather(&r, &o, err);
    if (st == TERN_OK && o.json)
        tn_report_json(&r, &b);
    else if (st == TERN_OK)
        tn_report_text(&r, &b);
    if (st == TERN_OK) text(user, "result", b.data, b.len);
    tn_buf_free(&b);
    for (size_t i = 0; i < r.n_matrices; i++) tn_trits_free(&r.matrices[i].trits);
    for (size_t i = 0; i < r.n_variants; i++) free(r.variants[i].v);
    free(r.producer.v);
    free(r.inferred.v);
    free(r.notes.v);
    tn_graph_destroy(r.graph);
    tn_gguf_close(r.gguf);
    tn_arena_free(&r.arena);
    return st;
}
