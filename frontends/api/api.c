/* ternc.h: compile, load, open_ref, vocab. Opens the source, builds the graph and hands both to codegen. */
#include "frontends/api/ternc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/families.h"
#include "frontends/api/call_options.h"
#include "frontends/api/form.h"
#include "frontends/api/source.h"
#include "frontends/hf/hf.h"
#include "runtime/base/cpus.h"
#include "runtime/base/files.h"

const char *ternc_version(void) {
#ifdef TERN_LLVM
    return "LLVM " TERN_LLVM;
#else
    return "no LLVM";
#endif
}

const char *ternc_targets(void) {
    return tn_target_names();
}

TernStatus tn_source_open(const TerncSource *source, bool vocab_only, TnGguf **out, TernError *err) {
    static const TerncSource embedded = {.size = sizeof embedded};
    if (!source) source = &embedded;
    TnGguf *g;
    if (source->path && tn_os_is_folder(source->path))
        TN_TRY(tn_source_folder(source, vocab_only, &g, err));
    else if (source->path)
        TN_TRY(tn_gguf_open(source->path, vocab_only, &g, err));
    else
        TN_TRY(tn_gguf_open_memory(tn_embedded_model, (size_t)(tn_embedded_model_end - tn_embedded_model),
                                   "the embedded model", vocab_only, &g, err));
    TernStatus st = TERN_OK;
    for (uint32_t i = 0; i < source->n_overrides && st == TERN_OK; i++)
        st = tn_gguf_override(g, source->overrides[i], err);
    if (st == TERN_OK && source->i2s_layout && !vocab_only)
        st = tn_gguf_i2s_layout(g, source->i2s_layout, err);
    if (st != TERN_OK) {
        tn_gguf_close(g);
        return st;
    }
    *out = g;
    return TERN_OK;
}

TernStatus tn_source_settle(const TerncSource *source, TnGguf *g, bool vocab_only, TernError *err) {
    TN_TRY(tn_gguf_overrides_read(g, err));
    TernError line;
    if (source && source->note && tn_gguf_note(g, vocab_only, &line))
        source->note(source->note_user, line.text);
    if (source && source->note && g->vocab_note) source->note(source->note_user, g->vocab_note);
    return TERN_OK;
}

TernStatus tn_head_parse(const char *field, const char *head, TnEnc *out, TernError *err) {
    *out = TN_ENC_COUNT;
    if (!head || !*head) return TERN_OK;
    if (strcmp(head, "f16") == 0)
        *out = TN_ENC_f16;
    else if (strcmp(head, "f32") == 0)
        *out = TN_ENC_f32;
    else if (strcmp(head, "q8") == 0)
        *out = TN_ENC_s8;
    else if (strcmp(head, "q6") == 0)
        *out = TN_ENC_s6;
    else if (strcmp(head, "q5") == 0)
        *out = TN_ENC_s5;
    else
        return tn_fail(err, TERN_ERR_INPUT, "%s: '%s', expected f32, f16, q8, q6 or q5", field, head);
    return TERN_OK;
}

TernStatus tn_target_check(const char *field, const char *target, TernError *err) {
    if (!target || tn_target_find(target)) return TERN_OK;
    return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: this build has no target '%s', it has %s", field, target,
                   tn_target_names());
}

TernStatus tn_list_split(TnArena *arena, const char *what, const char *list, const char ***out,
                         uint32_t *out_n, TernError *err) {
    uint32_t n = 1;
    for (const char *p = list; *p; p++) n += *p == ',';
    *out = tn_alloc_array(arena, n, sizeof **out);
    *out_n = n;
    for (uint32_t i = 0; i < n; i++) {
        size_t len = strcspn(list, ",");
        if (len == 0) return tn_fail(err, TERN_ERR_INPUT, "%s: an empty item in a list", what);
        (*out)[i] = tn_strndup(arena, list, len);
        list += len + 1;
    }
    return TERN_OK;
}

TernStatus tn_levels_split(TnArena *arena, const char *field, const char *list, const char ***out,
                           uint32_t *out_n, TernError *err) {
    TN_TRY(tn_list_split(arena, field, list, out, out_n, err));
    for (uint32_t i = 0; i < *out_n; i++) {
        const char *level = (*out)[i];
        if (tn_level_number(level) == UINT32_MAX)
            return tn_fail(err, TERN_ERR_INPUT, "%s: got '%s', expected one of %s", field, level,
                           TN_LEVEL_NAMES_THEN(", " TN_LEVEL_REF_NAME));
        for (uint32_t j = 0; j < i; j++)
            if (strcmp((*out)[j], level) == 0)
                return tn_fail(err, TERN_ERR_INPUT, "%s: %s is given twice", field, level);
    }
    return TERN_OK;
}

/* The levels that the machine or the device runs, best first. */
static TernStatus levels_here(const char *device, TnArena *arena, const char **out, TernError *err) {
    TernDevice d = {.size = sizeof d};
    *out = tern_cpu_levels();
    if (!device) return TERN_OK;
    TN_TRY(tern_device(device, &d, err));
    *out = tn_strdup(arena, d.levels);
    if (*d.levels || !d.major) return TERN_OK;
    return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %s has compute capability %u.%u, expected 8.0 or newer",
                   d.device, d.name, d.major, d.minor);
}

/* A cap must be of the architecture of the levels here. For evaluated kernels any level is accepted. */
static TernStatus check_cap(const char *cap, const char *here, bool evaluated, TnArena *arena,
                            TernError *err) {
    const TnLevelRow *row = tn_level_named(cap);
    if (!row)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.cap: '%s', expected one of %s", cap,
                       TN_LEVEL_NAMES);
    const TnLevelRow *best = tn_level_named(tn_strndup(arena, here, strcspn(here, ",")));
    if (evaluated || !best || row->arch == best->arch) return TERN_OK;
    return tn_fail(err, TERN_ERR_UNSUPPORTED,
                   "TerncOptions.cap: '%s' is of another architecture, expected a level of this machine's, "
                   "which runs %s",
                   cap, here);
}

static TernStatus check_device(const TerncOptions *o, bool jit, bool evaluated, TernError *err) {
    if (!o->device || (jit && !evaluated)) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.device has no effect %s",
                   jit ? "on evaluated kernels" : "where nothing is run, expected levels");
}

static bool is_above(const char *level, const TnLevelRow *cap) {
    const TnLevelRow *row = tn_level_named(level);
    return row && row->preference > cap->preference;
}

/* jit: the best level alone. */
TernStatus tn_levels_choose(const TerncOptions *o, bool jit, TnArena *arena, const char ***out,
                            uint32_t *out_n, TernError *err) {
    bool evaluated = tn_target_evaluates(o->target); /* then there is one level */
    const char *list = evaluated ? NULL : o->levels;
    const char *here;
    TN_TRY(tn_target_check("TerncOptions.target", o->target, err));
    TN_TRY(check_device(o, jit, evaluated, err));
    TN_TRY(levels_here(o->device, arena, &here, err));
    if (jit && o->cap && *o->cap) TN_TRY(check_cap(o->cap, here, evaluated, arena, err));
    if (!list) list = tn_target_levels(o->target, here, arena);
    if (!*list)
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "this machine has none of the feature levels %s; the target ref runs anywhere",
                       TN_LEVEL_CPU_NAMES);
    TN_TRY(tn_levels_split(arena, "TerncOptions.levels", list, out, out_n, err));
    if (!jit || *out_n == 1) return TERN_OK;
    /* Best first; a cap drops the levels above it. */
    const TnLevelRow *cap = o->cap && *o->cap ? tn_level_named(o->cap) : NULL;
    uint32_t i = 0;
    while (cap && i < *out_n && is_above((*out)[i], cap)) i++;
    if (i < *out_n) *out += i;
    *out_n = 1;
    return TERN_OK;
}

/* The best of the levels that this machine runs, or NULL. */
static const char *best_here(const char *const *levels, uint32_t n) {
    const char *here = tern_cpu_levels(); /* best first */
    while (*here) {
        size_t len = strcspn(here, ",");
        for (uint32_t i = 0; i < n; i++)
            if (strlen(levels[i]) == len && strncmp(levels[i], here, len) == 0) return levels[i];
        here += len + (here[len] == ',');
    }
    return NULL;
}

const char *tn_family_choose(const char *family, const char *levels) {
    const char *asked = family ? family : levels ? TN_FAMILY_ANY : TN_FAMILY_HERE;
    if (strcmp(asked, TN_FAMILY_HERE) == 0) return tn_family_here();
    const TnFamily *f = tn_family_named(asked);
    return f ? f->name : NULL;
}

typedef struct Tuning {
    TnTuneOptions o;
    char cpu[128], version[96];
} Tuning;

/* huge: the weights will lie in huge pages. */
static void set_tuning(Tuning *t, const TerncOptions *o, bool huge, const TnCompileOptions *co) {
    tn_os_cpu_name(t->cpu, sizeof t->cpu);
    snprintf(t->version, sizeof t->version, "%s %s", tern_version(), ternc_version());
    t->o = (TnTuneOptions){.seconds = o->tune_seconds,
                           .level = best_here(co->levels, co->n_levels),
                           .machine = {.cpu = t->cpu, .version = t->version, .huge = huge},
                           .cache = o->tune_cache,
                           .must_write = o->tune_write,
                           .text = o->tune_text,
                           .progress = o->progress,
                           .user = o->user};
    t->o.machine.threads = o->tune_threads ? o->tune_threads : tn_os_threads();
}

typedef struct Compiled {
    bool evaluated; /* whether the first level is; a model that is loaded has only that one */
    TnGguf *gg;
    TnGraph *graph;
    TnArena arena;
    TnTuneTable settings;
    TnForm form;
} Compiled;

static void free_compiled(Compiled *c) {
    tn_graph_destroy(c->graph);
    tn_gguf_close(c->gg);
    tn_tune_free(&c->settings);
    tn_form_free(&c->form);
    tn_arena_free(&c->arena);
}

/* The same values as tern_model_info gives later, except the sizes. */
static TernStatus tell_known(const TerncOptions *o, const TnFacts *f, const char *level, TernError *err) {
    TernModelInfo info = {.arch = f->arch,
                          .name = f->name,
                          .desc = f->desc,
                          .level = level,
                          .n_params = f->n_params,
                          .pooling = (TernPooling)f->pooling,
                          .max_rows = TN_ROWS_DEFAULT};
#define TAKE(count) info.count = f->count;
    TN_MODEL_COUNTS(TAKE)
#undef TAKE
    if (o->context) info.n_context = o->context;
    if (!o->known || !o->known(o->user, &info, f->vocab, f->vocab_bytes)) return TERN_OK;
    return tn_fail(err, TERN_ERR_CANCELLED, "cancelled by the caller, who does not take this model");
}

/* Something that the option `head` is about. */
static bool has_dense_table(const TnGraph *g) {
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        if (n->op != TN_OP_embed && n->op != TN_OP_matmul) continue;
        if (!tn_enc_is_ternary(g->nodes[n->args[1]].type.enc)) return true;
    }
    return false;
}

/* best: the one level that is best here. */
static TernStatus compile(Compiled *c, const TerncSource *source, const TerncOptions *o, bool best,
                          const TnBlobDest *dest, TerncReport *report, TernError *err) {
    TnCompileOptions co = {
        .context = o->context, .kvs = o->kvs, .target = o->target, .progress = o->progress, .user = o->user};
    const char **levels;
    TnFacts facts;
    TN_TRY(tn_head_parse("TerncOptions.head", o->head, &co.head, err));
    TN_TRY(tn_levels_choose(o, best, &c->arena, &levels, &co.n_levels, err));
    co.levels = levels;
    co.family = tn_family_choose(o->family, o->levels);
    TN_TRY(tn_form_take(o, levels, co.n_levels, &c->form, err));
    c->evaluated = !tn_level_has_code(levels[0]);
    TN_TRY(tn_source_open(source, false, &c->gg, err));
    TN_TRY(tn_source_graph(source, c->gg, o->context, &c->graph, &facts, &c->settings, err));
    if (co.head != TN_ENC_COUNT && !has_dense_table(c->graph))
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.head: got %s, but embedding and head are ternary",
                       o->head);
    if (co.head != TN_ENC_COUNT) /* another than the file's, which the description ends in */
        facts.desc =
            tn_sprintf(&c->arena, "%.*s %s head", (int)strcspn(facts.desc, ",") + 1, facts.desc, o->head);
    co.settings = &c->settings;
    if (o->context > facts.n_context)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.context: %u positions, but the model has %u",
                       o->context, facts.n_context);
    TN_TRY(tell_known(o, &facts, levels[0], err));
    Tuning tuning;
    if (o->tune_seconds > 0) {
        set_tuning(&tuning, o, !dest->path, &co);
        co.tune = &tuning.o;
    }
    TnBlobDest wrapped = *dest;
    if (c->form.wrap.around) wrapped.wrap = &c->form.wrap;
    double start = tn_os_seconds();
    TnWeights weights = tn_gguf_weights(c->gg);
    TnCompileReport r;
    TN_TRY(tn_compile(c->graph, &weights, &facts, &co, &wrapped, &r, err));
    if (!report) return TERN_OK;
    *report = (TerncReport){.file_bytes = r.file_bytes,
                            .weight_bytes = r.weight_bytes,
                            .code_bytes = r.code_bytes,
                            .meta_bytes = r.meta_bytes,
                            .tir_bytes = r.tir_bytes,
                            .n_variants = r.n_variants,
                            .n_kernels = r.n_kernels,
                            .n_unique = r.n_unique,
                            .seconds = tn_os_seconds() - start,
                            .seconds_passes = r.seconds_passes,
                            .seconds_tune = r.seconds_tune,
                            .seconds_codegen = r.seconds_codegen,
                            .seconds_weights = r.seconds_weights};
    snprintf(report->refused, sizeof report->refused, "%s", r.refused ? r.refused : "");
    for (uint32_t i = 0; i < co.n_levels; i++) {
        size_t used = strlen(report->levels);
        snprintf(report->levels + used, sizeof report->levels - used, "%s%s", i ? "," : "", levels[i]);
    }
    return TERN_OK;
}

/* path NULL: to memory. A cache that cannot be written is an error only if tune_write is set. */
static TernStatus check_files(const TerncSource *source, const TerncOptions *o, const char *path,
                              TernError *err) {
    const char *cache = o->tune_seconds > 0 ? o->tune_cache : NULL;
    const TnFileUse files[] = {
        {"the model", source->path, TN_FILE_MODEL},
        {"the graph", source->tir, TN_FILE_IN},
        {"the output", path, TN_FILE_BINARY},
        {"the program", o->program, TN_FILE_IN},
        {"the tuning cache", cache, o->tune_write ? TN_FILE_CACHE : TN_FILE_CACHE_MAYBE},
    };
    TN_TRY(tn_files_check(files, TN_COUNT(files), err));
    TN_TRY(tn_hf_check_output(source->path, path, err));
    return cache && o->tune_write ? tn_tune_check(cache, err) : TERN_OK;
}

TernStatus ternc_compile(const TerncSource *source, const TerncOptions *options, const char *path,
                         TerncReport *report, TernError *err) {
    Compiled c = {0};
    TnBlobDest dest = {.path = path};
    TerncSource own;
    TerncOptions o;
    TN_TRY(tn_source_take(source, &own, err));
    TN_TRY(tn_compile_take(options, &o, err));
    TN_NEED(path, err);
    TN_TRY(check_device(&o, o.best, tn_target_evaluates(o.target), err));
    TN_TRY(check_files(&own, &o, path, err));
    TernStatus st = compile(&c, &own, &o, o.best, &dest, report, err);
    free_compiled(&c);
    return st;
}

static void release(void *user, const void *bytes, size_t size) {
    (void)user;
    tn_os_unmap((void *)bytes, size);
}

/* Makes the evaluated kernels of a model, which owns them once it is open. */
static TernStatus make_ref(const void *tir, size_t n, TernKernels *out, TernError *err) {
    TnRefKernels *ref;
    TN_TRY(tn_ref_create(tir, n, &ref, err));
    *out = (TernKernels){.size = sizeof *out,
                         .user = ref,
                         .scratch = tn_ref_scratch,
                         .run = tn_ref_run,
                         .destroy = tn_ref_destroy};
    return TERN_OK;
}

/* ternc_open_ref opens the blob twice: its kernels are made from the embedded TIR, which only an open blob
 * can give. */
static void no_run(void *user, uint32_t variant, uint32_t launch, const void *args, void *scratch) {
    (void)user, (void)variant, (void)launch, (void)args, (void)scratch;
    TN_BUG("a kernel of a model opened for reading was run");
}
static size_t no_scratch(void *user, uint32_t variant, uint32_t launch, const int64_t *sym_max) {
    (void)user, (void)variant, (void)launch, (void)sym_max;
    return 0;
}
static const TernKernels no_kernels = {.size = sizeof no_kernels, .scratch = no_scratch, .run = no_run};

TernStatus tn_open_for_reading(const char *path, TernModel **out, TernError *err) {
    TernModelOptions o = {.size = sizeof o, .no_check = 1, .kernels = &no_kernels};
    return tern_model_open(path, &o, out, err);
}

TernStatus ternc_load(const TerncSource *source, const TerncOptions *options, TerncReport *report,
                      TernModel **out, TernError *err) {
    Compiled c = {0};
    void *memory = NULL;
    size_t bytes = 0;
    TnBlobDest dest = {.memory = &memory, .bytes = &bytes};
    TerncSource own;
    TerncOptions taken;
    const TerncOptions *o = &taken;
    TN_TRY(tn_source_take(source, &own, err));
    TN_TRY(tn_compile_take(options, &taken, err));
    if (o->form)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.form has no effect on a model that is loaded");
    TN_NEED(out, err);
    TN_TRY(check_files(&own, o, NULL, err));
    TernStatus st = compile(&c, &own, o, true, &dest, report, err);
    free_compiled(&c);
    if (st != TERN_OK) return st;
    /* just written by this process: nothing to verify */
    TernModelOptions mo = {.size = sizeof mo, .no_check = 1, .huge = 1, .device = o->device};
    TernKernels kernels;
    if (c.evaluated) {
        TernModel *reader;
        size_t n;
        mo.kernels = &no_kernels;
        st = tern_model_open_memory(memory, bytes, &mo, &reader, err);
        if (st == TERN_OK) {
            const void *tir = tern_model_section(reader, TN_SECTION_TIR, 0, &n);
            st = make_ref(tir, n, &kernels, err);
            tern_model_close(reader);
        }
        mo.kernels = &kernels;
    }
    if (st == TERN_OK) {
        mo.release = release;
        st = tern_model_open_memory(memory, bytes, &mo, out, err);
        if (st != TERN_OK && c.evaluated) tn_ref_destroy(kernels.user);
    }
    if (st != TERN_OK) tn_os_unmap(memory, bytes);
    return st;
}

TernStatus ternc_open_ref(const char *path, const TernModelOptions *options, TernModel **out,
                          TernError *err) {
    TernModel *reader;
    TernModelOptions mo;
    TN_TRY(tn_model_take(options, &mo, err));
    TN_NEED(path, err);
    TN_NEED(out, err);
    TN_TRY(tn_open_for_reading(path, &reader, err));
    size_t n = 0;
    const void *tir = tern_model_section(reader, TN_SECTION_TIR, 0, &n);
    TernKernels kernels;
    TernStatus st =
        tir ? make_ref(tir, n, &kernels, err)
            : tn_fail(err, TERN_ERR_INPUT, "%s: section TIR is missing, which the target ref needs", path);
    tern_model_close(reader);
    if (st != TERN_OK) return st;
    mo.kernels = &kernels;
    st = tern_model_open(path, &mo, out, err);
    if (st != TERN_OK) tn_ref_destroy(kernels.user);
    return st;
}

TernStatus ternc_vocab(const TerncSource *source, void **out, size_t *out_size, TernError *err) {
    TnGguf *g;
    TerncSource own;
    TN_TRY(tn_source_take(source, &own, err));
    TN_NEED(out, err);
    TN_NEED(out_size, err);
    TN_TRY(tn_source_open(&own, true, &g, err));
    const void *image;
    size_t n;
    TernStatus st = tn_gguf_vocab(g, &image, &n, err);
    if (st == TERN_OK) st = tn_source_settle(&own, g, true, err);
    if (st == TERN_OK && !image) st = tn_fail(err, TERN_ERR_INPUT, "%s: the file has no tokenizer", g->path);
    if (st == TERN_OK) {
        *out = tn_xcalloc(1, n);
        memcpy(*out, image, n);
        *out_size = n;
    }
    tn_gguf_close(g);
    return st;
}
