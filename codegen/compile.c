/* The driver: a model-stage graph in, a blob out.
 *
 * The first half of the pipeline runs once, the second half once a variant. The kernels of all variants of a level share
 * one image, in which each different kernel (by signature) is once. All variants of all levels share the weights. Then
 * the parts are laid out and written: everything but WGHT is small and in memory, and WGHT is made as it is written. The
 * bytes depend only on the model, the options and the version, not on times, addresses or the order of threads. Tuning is
 * the exception, and it is off by default. */
#include "codegen/internal.h"
#include "codegen/tune.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/os.h"

/* One (level, cache type, batch class), from clone to planned graph. */
typedef struct Variant {
    TnGraph *g;
    uint32_t level_index;
    uint32_t *exports; /* for each kernel, the index of its job in the level */
} Variant;

typedef struct Level {
    const char *name;
    uint32_t number;
    const TnTargetDesc *targets[TN_TARGETS_MAX]; /* those that may emit */
    uint32_t n_targets, n_classes;
    uint32_t kind; /* kind of the section for its image, 0: it has no image */
    TnBatchClass classes[TN_BATCH_CLASSES];
    TnEmitJob *jobs;         /* one for each different kernel; NULL without code */
    const TnTarget **job_of; /* for each job, the target that emits it */
    size_t n, cap, cap_job_of;
    TnMap by_signature;
    TnBuf image;
    uint32_t section;
} Level;

typedef struct Compiler {
    const TnCompileOptions *opt;
    const TnFacts *facts;
    TnProgress progress;
    TnGraph *model;
    Variant *variants;
    uint32_t n_variants;
    Level *levels;
    uint32_t n_levels;
    TnArena arena;
    TnWeightStore store;
    TnBlobParts parts;
    TnTuneTable packings; /* measured by this compilation */
    double tune_used;     /* seconds that measuring them took */
    TnCompileReport report;
    TernError *err;
} Compiler;

static TernStatus check_levels(Compiler *c) {
    if (c->opt->n_levels == 0)
        return tn_fail(c->err, TERN_ERR_INPUT, "compile: no feature level, expected at least one");
    c->levels = tn_xcalloc(c->opt->n_levels, sizeof *c->levels);
    for (uint32_t i = 0; i < c->opt->n_levels; i++) {
        const char *name = c->opt->levels[i];
        uint32_t number = tn_level_number(name);
        if (number == UINT32_MAX)
            return tn_fail(c->err, TERN_ERR_INPUT, "compile: unknown level %s, expected one of %s", name,
                           TN_LEVEL_NAMES_THEN(", " TN_LEVEL_REF_NAME));
        for (uint32_t j = 0; j < i; j++)
            if (c->levels[j].number == number)
                return tn_fail(c->err, TERN_ERR_INPUT, "compile: level %s is given twice", name);
        c->levels[i] = (Level){.name = tn_level_name(number), .number = number, .section = UINT32_MAX};
        c->n_levels++;
    }
    return TERN_OK;
}

/* Chooses the level's targets and batch classes. */
static TernStatus choose_targets(Compiler *c, Level *level) {
    const char *asked = c->opt->target;
    const TnTarget *t = tn_target_find(asked);
    if (asked && !t)
        return tn_fail(c->err, TERN_ERR_UNSUPPORTED, "compile: this build has no target %s, it has %s", asked,
                       tn_target_names());
    if (t && !t->has(level->name))
        return tn_fail(c->err, TERN_ERR_INPUT, "compile: target %s has no level %s", asked, level->name);
    level->n_targets = tn_targets_for(level->name, asked, level->targets);
    if (level->n_targets == 0)
        return tn_fail(c->err, TERN_ERR_UNSUPPORTED,
                       "compile: this build has no code generator for level %s: its targets are %s",
                       level->name, tn_target_names());
    level->kind = tn_target_find(level->targets[0]->name)->section;
    level->n_classes =
        tn_batch_classes(level->targets, level->n_targets, level->name,
                         c->opt->max_rows ? c->opt->max_rows : TN_ROWS_DEFAULT, level->classes);
    return TERN_OK;
}

/* Makes every check of the levels and the target that needs no work. */
static TernStatus set_levels(Compiler *c) {
    TN_TRY(check_levels(c));
    for (uint32_t l = 0; l < c->n_levels; l++) TN_TRY(choose_targets(c, &c->levels[l]));
    return TERN_OK;
}

/* Fails if the target that the caller named got no kernel. If it refused something, the message gives the reason. */
static TernStatus check_target(Compiler *c, const Level *level) {
    const char *want = c->opt->target;
    if (!want) return TERN_OK;
    const TnTarget *t = tn_target_find(want);
    for (uint32_t i = 0; i < c->n_variants; i++) {
        const TnGraph *g = c->variants[i].g;
        for (uint32_t k = 0; &c->levels[c->variants[i].level_index] == level && k < g->n_kernels; k++)
            if (g->kernels[k].target && strcmp(g->kernels[k].target, want) == 0) return TERN_OK;
    }
    const char *why = t->refused ? t->refused(level->name) : NULL;
    return tn_fail(c->err, TERN_ERR_UNSUPPORTED,
                   "compile: target %s cannot make any kernel of this model on level %s%s%s", want,
                   level->name, why ? ": " : "", why ? why : "");
}

/* The first refusal of any target and level, for the report. */
static void note_refused(Compiler *c) {
    for (uint32_t l = 0; l < c->n_levels; l++) {
        const Level *level = &c->levels[l];
        for (uint32_t i = 0; i < level->n_targets && !c->report.refused; i++) {
            const TnTarget *t = tn_target_find(level->targets[i]->name);
            if (t->refused) c->report.refused = t->refused(c->levels[l].name);
        }
    }
}

/* The state of take_variant. */
typedef struct Taking {
    Compiler *c;
    uint32_t level_index, total;
} Taking;

static TernStatus take_variant(void *user, TnGraph *g, TernError *err) {
    const Taking *t = user;
    Compiler *c = t->c;
    Variant *v = &c->variants[c->n_variants++];
    *v = (Variant){.g = g, .level_index = t->level_index};
    if (c->opt->settings) tn_tune_give(c->opt->settings, v->g);
    v->exports = tn_xcalloc(v->g->n_kernels + 1, sizeof *v->exports);
    return tn_progress(&c->progress, "passes", c->n_variants, t->total, err);
}

/* Lets measurements choose ctx->base3, if all levels have code for it, and one is tuned. */
static TernStatus tune_packing(Compiler *c, TnPassCtx *ctx, TnMerit least) {
    const TnTuneOptions *o = c->opt->tune;
    if (!o || !o->level || !ctx->beside || least == TN_MERIT_NONE) return TERN_OK;
    double start = tn_os_seconds();
    TernStatus s = TERN_OK;
    for (uint32_t l = 0; s == TERN_OK && l < c->n_levels; l++) {
        const Level *level = &c->levels[l];
        if (strcmp(level->name, o->level) != 0) continue;
        ctx->targets = level->targets;
        ctx->n_targets = level->n_targets;
        ctx->level = level->name;
        s = tn_tune_packing(c->model, ctx, o, &c->arena, &c->packings, &c->tune_used, c->err);
    }
    c->report.seconds_tune = tn_os_seconds() - start;
    return s;
}

static TernStatus run_passes(Compiler *c, const TnGraph *model, const TnWeights *weights) {
    const uint32_t known = (1u << TN_KV_COUNT) - 2, kvs = c->opt->kvs ? c->opt->kvs : known;
    if (kvs & ~known)
        return tn_fail(c->err, TERN_ERR_INPUT, "compile: cache types 0x%x, expected at most 0x%x", kvs,
                       known);
    double start = tn_os_seconds();
    TnPassCtx ctx = {
        .family = c->opt->family, .head = c->opt->head, .weights = weights, .first = c->opt->target};
    TnMerit least = tn_levels_suit(&ctx, c->opt->levels, c->n_levels);
    Taking taking = {.c = c};
    for (uint32_t l = 0; l < c->n_levels; l++)
        taking.total += (uint32_t)__builtin_popcount(kvs) * c->levels[l].n_classes;
    TN_TRY(tn_progress(&c->progress, "passes", 0, taking.total, c->err));
    c->model = tn_graph_clone(model);
    TN_TRY(tn_lower_model(c->model, weights, c->opt->head, c->err));
    TN_TRY(tune_packing(c, &ctx, least));
    c->variants = tn_xcalloc(taking.total, sizeof *c->variants);
    for (uint32_t l = 0; l < c->n_levels; l++) {
        const Level *level = &c->levels[l];
        ctx.targets = level->targets;
        ctx.n_targets = level->n_targets;
        ctx.level = level->name;
        taking.level_index = l;
        TN_TRY(tn_lower_level(c->model, &ctx, level->classes, level->n_classes, kvs, take_variant, &taking,
                              c->err));
    }
    c->report.n_variants = c->n_variants;
    c->report.seconds_passes = tn_os_seconds() - start - c->report.seconds_tune;
    for (uint32_t l = 0; l < c->n_levels; l++) TN_TRY(check_target(c, &c->levels[l]));
    return TERN_OK;
}

static TernStatus tune(Compiler *c) {
    if (!c->opt->tune) return TERN_OK;
    double start = tn_os_seconds();
    TnGraph **gs = tn_xcalloc(c->n_variants + 1, sizeof(TnGraph *));
    for (uint32_t i = 0; i < c->n_variants; i++) gs[i] = c->variants[i].g;
    TnTuneOptions o = *c->opt->tune;
    o.used = c->tune_used;
    o.more = &c->packings;
    TernStatus s = tn_tune(gs, c->n_variants, &o, c->err);
    free(gs);
    c->report.seconds_tune += tn_os_seconds() - start;
    return s;
}

/* "qkv_17": the kernel's name without its number, followed by the job's number, which makes it unique. */
static const char *job_symbol(Compiler *c, const char *name, size_t index) {
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] >= '0' && name[n - 1] <= '9') n--;
    char *s = tn_sprintf(&c->arena, "%.*s_%zu", (int)(n < 40 ? n : 40), name, index);
    for (char *p = s; *p; p++)
        if (*p == '.') *p = '_';
    return s;
}

static TernStatus add_jobs(Compiler *c, Variant *v) {
    Level *level = &c->levels[v->level_index];
    for (uint32_t k = 0; k < v->g->n_kernels; k++) {
        const TnKernel *kernel = &v->g->kernels[k];
        c->report.n_kernels++;
        if (!level->kind) {
            v->exports[k] = 0;
            continue;
        }
        const TnTarget *target = kernel->target ? tn_target_find(kernel->target) : NULL;
        if (!target || !target->emit)
            return tn_fail(c->err, TERN_ERR_UNSUPPORTED, "kernel %s: target %s makes no code for level %s",
                           kernel->name, kernel->target ? kernel->target : "(none)", level->name);
        TnBuf sig = {0};
        tn_kernel_signature(v->g, k, &sig);
        char *key = tn_strndup(&c->arena, sig.data, sig.len);
        size_t len = sig.len;
        tn_buf_free(&sig);
        uint32_t job = tn_map_get(&level->by_signature, key, len);
        if (job == TN_MAP_NONE) {
            job = (uint32_t)level->n;
            tn_map_set(&level->by_signature, key, len, job);
            size_t n = level->n;
            TN_PUSH(level->jobs, level->n, level->cap,
                    (TnEmitJob){.g = v->g, .kernel = k, .symbol = job_symbol(c, kernel->name, n)});
            TN_PUSH(level->job_of, n, level->cap_job_of, target);
            c->report.n_unique++;
        }
        v->exports[k] = job;
    }
    return TERN_OK;
}

/* Emits the level's jobs. Each target gets all its jobs at once, and the results are copied back to their places. */
static TernStatus emit_level(Compiler *c, Level *level) {
    TnEmitJob *batch = tn_xcalloc(level->n + 1, sizeof *batch);
    bool *done = tn_xcalloc(level->n + 1, sizeof *done);
    TernStatus s = TERN_OK;
    for (size_t i = 0; s == TERN_OK && i < level->n; i++) {
        if (done[i]) continue;
        uint32_t n = 0;
        for (size_t j = i; j < level->n; j++)
            if (level->job_of[j] == level->job_of[i]) batch[n++] = level->jobs[j];
        s = level->job_of[i]->emit(batch, n, level->name, &level->image, c->progress.fn, c->progress.user,
                                   c->err);
        n = 0;
        for (size_t j = i; s == TERN_OK && j < level->n; j++) {
            if (level->job_of[j] != level->job_of[i]) continue;
            level->jobs[j] = batch[n++];
            done[j] = true;
            TN_CHECK(level->jobs[j].entry < level->image.len);
        }
    }
    free(batch);
    free(done);
    return s;
}

/* The loader copies a section of code to a page boundary. Page-relative code (aarch64 adrp) needs the image to start at
 * one. */
enum { CODE_PAGE = 4096, TEXT_ALIGN = 64 };

static void put_code(Compiler *c, Level *level) {
    TnBuf out = {0}, names = {0};
    size_t names_at = sizeof(TnBlobCode) + level->n * sizeof(TnBlobExport);
    tn_buf_grow(&out, sizeof(TnBlobCode));
    for (size_t i = 0; i < level->n; i++) {
        const char *name = level->jobs[i].symbol;
        TnBlobExport e = {level->jobs[i].entry, {(uint32_t)(names_at + names.len), (uint32_t)strlen(name)}};
        tn_buf_put(&names, name, e.name.size);
        tn_buf_put(&out, &e, sizeof e);
    }
    tn_buf_put(&out, names.data, names.len);
    tn_buf_free(&names);
    tn_buf_align(&out, level->kind == TN_SECTION_CODE ? CODE_PAGE : TEXT_ALIGN);
    TnBlobCode head = {
        .n_exports = (uint32_t)level->n, .image_offset = out.len, .image_size = level->image.len};
    memcpy(out.data, &head, sizeof head);
    tn_buf_put(&out, level->image.data, level->image.len);
    c->report.code_bytes += level->image.len;
    tn_buf_free(&level->image);
    level->section = tn_blob_add(&c->parts, level->kind, TN_SECTION_REQUIRED, level->number, 64, &out);
}

static TernStatus make_code(Compiler *c) {
    double start = tn_os_seconds();
    for (uint32_t i = 0; i < c->n_variants; i++) TN_TRY(add_jobs(c, &c->variants[i]));
    for (uint32_t i = 0; i < c->n_levels; i++) {
        if (!c->levels[i].kind) continue;
        TN_TRY(emit_level(c, &c->levels[i]));
        put_code(c, &c->levels[i]);
    }
    c->report.seconds_codegen = tn_os_seconds() - start;
    return TERN_OK;
}

static TernStatus make_programs(Compiler *c) {
    for (uint32_t i = 0; i < c->n_variants; i++) {
        const Variant *v = &c->variants[i];
        const Level *level = &c->levels[v->level_index];
        TnBuf prog = {0}, plan = {0};
        TnProgramCode code = {level->number, level->section, level->jobs, v->exports};
        TernStatus s = tn_program_build(v->g, &code, &c->store, &prog, &plan, c->err);
        if (s != TERN_OK) {
            tn_buf_free(&prog);
            tn_buf_free(&plan);
            return s;
        }
        tn_blob_add(&c->parts, TN_SECTION_PROG, TN_SECTION_REQUIRED, level->number, 64, &prog);
        tn_blob_add(&c->parts, TN_SECTION_PLAN, TN_SECTION_REQUIRED, level->number, 64, &plan);
    }
    return TERN_OK;
}

static void put_text(Compiler *c) {
    TnBuf tir = {0}, wdir = {0};
    TnGraph **graphs = tn_xcalloc(c->n_variants + 1, sizeof(TnGraph *));
    for (uint32_t i = 0; i < c->n_variants; i++) graphs[i] = c->variants[i].g;
    tn_print_file(graphs, c->n_variants, &tir);
    free(graphs);
    c->report.tir_bytes = tir.len;
    tn_blob_add(&c->parts, TN_SECTION_TIR, 0, 0, 64, &tir);
    tn_store_directory(&c->store, &wdir);
    tn_blob_add(&c->parts, TN_SECTION_WDIR, 0, 0, 64, &wdir);
}

/* Fails before any work if the graph lacks an output that a session needs, or has one that no kernel makes. */
static TernStatus check_outputs(Compiler *c, const TnGraph *g) {
    const char *file = g->file ? g->file : "the model";
    bool best = false;
    for (TnRef r = 0; r < g->n; r++) {
        if (g->nodes[r].op != TN_OP_output) continue;
        const TnNode *n = &g->nodes[r], *of = &g->nodes[n->args[0]];
        const char *name = tn_attr_str(n, TN_ATTR_name);
        best |= strcmp(name, "best") == 0;
        if (of->op == TN_OP_input)
            return tn_fail(c->err, TERN_ERR_INPUT,
                           "%s:%u: output \"%s\" is the input %%%s, expected a result", file, n->line, name,
                           of->name);
    }
    if (best) return TERN_OK;
    return tn_fail(c->err, TERN_ERR_INPUT,
                   "%s: graph @%s has no output \"best\", expected the greedy id of each row: i32[R]", file,
                   g->name);
}

static TernStatus compile(Compiler *c, const TnGraph *model, const TnWeights *weights,
                          const TnBlobDest *dest) {
    uint32_t context = c->opt->context ? c->opt->context : c->facts->n_context;
    if (context > c->facts->n_context)
        return tn_fail(c->err, TERN_ERR_INPUT, "compile: context %u, expected at most the model's %u",
                       context, c->facts->n_context);
    if (c->opt->max_rows > 1u << 16)
        return tn_fail(c->err, TERN_ERR_INPUT, "compile: %u rows a step, expected at most %u",
                       c->opt->max_rows, 1u << 16);
    TN_TRY(set_levels(c));
    TN_TRY(check_outputs(c, model));
    TN_TRY(run_passes(c, model, weights));
    TN_TRY(tune(c));
    TnBuf meta = {0};
    tn_blob_meta(c->facts, context, &meta);
    c->report.meta_bytes = meta.len;
    tn_blob_add(&c->parts, TN_SECTION_META, TN_SECTION_REQUIRED, 0, 64, &meta);
    TN_TRY(make_code(c));
    TN_TRY(make_programs(c));
    put_text(c);
    c->report.weight_bytes = c->store.bytes;
    note_refused(c);
    double start = tn_os_seconds();
    TN_TRY(tn_blob_write(&c->parts, &c->store, weights, dest, &c->progress, &c->report.file_bytes, c->err));
    c->report.seconds_weights = tn_os_seconds() - start;
    return TERN_OK;
}

static void free_compiler(Compiler *c) {
    tn_blob_free(&c->parts);
    tn_store_free(&c->store);
    for (uint32_t i = 0; i < c->n_variants; i++) {
        tn_graph_destroy(c->variants[i].g);
        free(c->variants[i].exports);
    }
    for (uint32_t i = 0; i < c->n_levels; i++) {
        free(c->levels[i].jobs);
        free(c->levels[i].job_of);
        tn_map_free(&c->levels[i].by_signature);
        tn_buf_free(&c->levels[i].image);
    }
    free(c->variants);
    free(c->levels);
    tn_tune_free(&c->packings);
    tn_graph_destroy(c->model);
    tn_arena_free(&c->arena);
}

TernStatus tn_compile(const TnGraph *model, const TnWeights *weights, const TnFacts *facts,
                      const TnCompileOptions *options, const TnBlobDest *dest, TnCompileReport *report,
                      TernError *err) {
    Compiler c = {.opt = options, .facts = facts, .progress = {options->progress, options->user}, .err = err};
    TernStatus s = compile(&c, model, weights, dest);
    if (s == TERN_OK && report) *report = c.report;
    free_compiler(&c);
    return s;
}

/* ---- The same, but printed instead of written. */

/* Sets the note above each function: its kernel in the first variant that uses it. */
static void note_jobs(Compiler *c, Level *level) {
    TnBuf printed = {0};
    const TnGraph *of = NULL;
    for (size_t i = 0; i < level->n; i++) {
        TnEmitJob *job = &level->jobs[i];
        TnBuf note = {0};
        uint32_t times = 0;
        for (uint32_t v = 0; v < c->n_variants; v++)
            for (uint32_t k = 0; k < c->variants[v].g->n_kernels; k++)
                times += c->variants[v].exports[k] == i;
        if (of != job->g) {
            printed.len = 0;
            tn_print(job->g, &printed);
            of = job->g;
        }
        tn_listing_kernel(job->g, job->kernel, &printed, times, &note);
        job->note = tn_strndup(&c->arena, note.data, note.len);
        tn_buf_free(&note);
    }
    tn_buf_free(&printed);
}

/* Collects the code that the jobs call by name, so that objects and assembly refer to nothing outside. */
static TernStatus gather_given(const Level *level, TnBuf *image, TnFlat *given, TernError *err) {
    for (size_t i = 0; i < level->n; i++)
        if (level->job_of[i]->given)
            TN_TRY(level->job_of[i]->given(&level->jobs[i], 1, level->name, image, given, err));
    return TERN_OK;
}

static TernStatus show(Compiler *c, const TnGraph *model, const TnWeights *weights, const char *kind,
                       TnBuf *out) {
    TN_TRY(check_levels(c));
    Level *level = &c->levels[0];
    c->n_levels = 1;
    TN_TRY(choose_targets(c, level));
    if (!level->kind)
        return tn_fail(c->err, TERN_ERR_UNSUPPORTED, "level %s has no code: its kernels are evaluated",
                       level->name);
    TN_TRY(run_passes(c, model, weights));
    for (uint32_t i = 0; i < c->n_variants; i++) TN_TRY(add_jobs(c, &c->variants[i]));
    note_jobs(c, level);
    /* targets of one level have the same `show`, so there is one listing */
    for (size_t i = 1; i < level->n; i++) TN_CHECK(level->job_of[i]->show == level->job_of[0]->show);
    TN_CHECK(level->n > 0 && level->job_of[0]->show);
    TnBuf image = {0};
    TnFlat given = {0};
    TernStatus s = gather_given(level, &image, &given, c->err);
    if (s == TERN_OK)
        s = level->job_of[0]->show(level->jobs, (uint32_t)level->n, level->name, kind, &image, &given, out,
                                   c->err);
    tn_flat_free(&given);
    tn_buf_free(&image);
    return s;
}

TernStatus tn_compile_show(const TnGraph *model, const TnWeights *weights, const TnFacts *facts,
                           const TnCompileOptions *options, const char *kind, TnBuf *out, TernError *err) {
    Compiler c = {.opt = options, .facts = facts, .progress = {options->progress, options->user}, .err = err};
    TernStatus s = show(&c, model, weights, kind, out);
    free_compiler(&c);
    return s;
}
