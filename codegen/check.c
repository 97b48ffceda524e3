/* Compiles graphs for the differential check, as compile.c does, but without a blob.
 *
 * All planned graphs of a level share one image, in which each different kernel is once, since starting LLVM
 * costs more than a small kernel. check_run.c runs the code. */
#include "codegen/check_internal.h"
#include "codegen/tune.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/abi/levels.h"
#include "runtime/base/os.h"

TnCheck *tn_check_create(const TnWeights *w) {
    TnCheck *c = tn_xcalloc(1, sizeof *c);
    c->weights = w;
    return c;
}

void tn_check_destroy(TnCheck *c) {
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) {
        tn_graph_destroy(c->items[i].source);
        tn_graph_destroy(c->items[i].g);
        free(c->items[i].jobs);
    }
    for (uint32_t l = 0; l < c->n_levels; l++) {
        tn_map_free(&c->levels[l].by_signature);
        free(c->levels[l].jobs);
        if (c->levels[l].code) tn_os_unmap(c->levels[l].code, c->levels[l].bytes);
    }
    free(c->items);
    tn_arena_free(&c->arena);
    free(c);
}

static uint32_t find_level(TnCheck *c, const char *name) {
    for (uint32_t i = 0; i < c->n_levels; i++)
        if (!strcmp(c->levels[i].name, name)) return i;
    TN_CHECK(c->n_levels < TN_COUNT(c->levels));
    c->levels[c->n_levels].name = tn_strdup(&c->arena, name);
    return c->n_levels++;
}

/* Makes every op that does work a kernel of its own. */
static void set_apart(TnGraph *g) {
    g->stage = TN_STAGE_FUSED;
    for (TnRef r = 0; r < g->n; r++) {
        TnOp op = g->nodes[r].op;
        if (tn_op_computes(op))
            tn_kernel_add(g, tn_sprintf(&g->arena, "k%u", r), tn_ops[op].class == TN_ROOT ? r : TN_NONE, r,
                          1);
    }
}

/* Sets grains, distances and panels that a tuner might choose, and stranger ones. */
static void choose_settings(TnGraph *g, uint64_t seed) {
    static const int64_t grains[] = {16, 20, 32, 48, 96, 128, 256}, l1[] = {0, 64, 512, 4096},
                         l2[] = {0, 4096, 65536}, places[] = {0, 0, 1, 12, 60};
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        if (!tn_tune_can(g, k)) continue;
        uint64_t z = (seed + k) * 0x9e3779b97f4a7c15u >> 16;
        TnSetting s = {.grain = grains[z % TN_COUNT(grains)]};
        s.prefetch.ahead[TN_STREAM_DENSE][TN_INTO_L1] = l1[z / 8 % TN_COUNT(l1)];
        s.prefetch.ahead[TN_STREAM_DENSE][TN_INTO_L2] = l2[z / 64 % TN_COUNT(l2)];
        for (TnInto i = 0; i < TN_INTO_COUNT; i++) {
            s.prefetch.ahead[TN_STREAM_LISTED][i] = places[(z >> (10 + 3 * i)) % TN_COUNT(places)];
            s.prefetch.ahead[TN_STREAM_COLUMNS][i] = places[(z >> (20 + 3 * i)) % TN_COUNT(places)];
        }
        s.panels = z >> 40 & 1;
        tn_tune_set(g, k, s);
    }
}

static TernStatus plan(TnGraph *g, const TnCheckHow *how, TernError *err) {
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    uint32_t n = tn_targets_for(how->level, NULL, targets);
    if (!n)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "level %s: this build has no code generator", how->level);
    TnPassCtx ctx = {.level = how->level,
                     .family = how->family,
                     .kv = how->kv,
                     .rows_lo = how->rows_lo,
                     .rows_hi = how->rows_hi,
                     .head = TN_ENC_COUNT,
                     .targets = targets,
                     .n_targets = n};
    tn_levels_suit(&ctx, &how->level, 1);
    if (how->apart) set_apart(g);
    TN_TRY(tn_passes_run(g, how->passes, &ctx, err));
    if (g->stage != TN_STAGE_PLANNED)
        return tn_fail(err, TERN_ERR_INPUT, "passes %s do not end with a planned graph", how->passes);
    if (how->settings) choose_settings(g, how->settings);
    return TERN_OK;
}

/* A clone of the original graph with the cache types that the passes chose, also for caches that they removed. */
static TnGraph *with_caches(const TnGraph *from, const TnGraph *planned, TnKv kv) {
    TnGraph *g = tn_graph_clone(from);
    for (TnRef r = 0; r < g->n; r++) {
        TnNode *n = &g->nodes[r];
        if (tn_encs[n->type.enc].kind != TN_CACHE) continue;
        const TnNode *root = &g->nodes[tn_alias_root(g, r)];
        if (n->type.enc == TN_ENC_kc || n->type.enc == TN_ENC_vc)
            n->type.enc = tn_kv_enc(kv, n->type.enc == TN_ENC_kc);
        if (root->op != TN_OP_input) continue;
        TnRef p = tn_graph_find(planned, TN_OP_input, tn_attr_str(root, TN_ATTR_name));
        if (p != TN_NONE) n->type.enc = planned->nodes[p].type.enc;
    }
    return g;
}

/* Finds or adds the job of each kernel. Kernels of equal texts share one. */
static TernStatus add_jobs(TnCheck *c, TnCheckItem *item, TernError *err) {
    TnCheckLevel *level = &c->levels[item->level];
    item->jobs = tn_xcalloc(item->g->n_kernels + 1, sizeof *item->jobs);
    if (!tn_level_has_code(level->name)) return TERN_OK;
    for (uint32_t k = 0; k < item->g->n_kernels; k++) {
        const TnKernel *kernel = &item->g->kernels[k];
        const TnTarget *target = tn_target_find(kernel->target);
        if (!target || target->section != TN_SECTION_CODE)
            return tn_fail(err, TERN_ERR_UNSUPPORTED,
                           "kernel @%s: target %s makes no code that runs here for level %s", kernel->name,
                           kernel->target, level->name);
        TnBuf sig = {0};
        tn_kernel_signature(item->g, k, &sig);
        uint32_t job = tn_map_get(&level->by_signature, sig.data, sig.len);
        if (job == TN_MAP_NONE) {
            job = (uint32_t)level->n;
            tn_map_set(&level->by_signature, tn_strndup(&c->arena, sig.data, sig.len), sig.len, job);
            TN_PUSH(level->jobs, level->n, level->cap,
                    (TnEmitJob){.g = item->g, .kernel = k, .symbol = tn_sprintf(&c->arena, "k_%u", job)});
        }
        tn_buf_free(&sig);
        item->jobs[k] = job;
    }
    return TERN_OK;
}

TernStatus tn_check_add(TnCheck *c, const TnGraph *g, const TnCheckHow *how, uint32_t *item, TernError *err) {
    return tn_check_add_as(c, g, g, how, item, err);
}

TernStatus tn_check_add_as(TnCheck *c, const TnGraph *g, const TnGraph *want, const TnCheckHow *how,
                           uint32_t *item, TernError *err) {
    TnCheckItem it = {.g = tn_graph_clone(g), .how = *how};
    TernStatus s = plan(it.g, how, err);
    if (s == TERN_OK) {
        it.level = find_level(c, how->level);
        it.source = with_caches(want, it.g, how->kv);
        s = add_jobs(c, &it, err);
    }
    if (s != TERN_OK) {
        tn_graph_destroy(it.g);
        tn_graph_destroy(it.source);
        free(it.jobs);
        return s;
    }
    *item = (uint32_t)c->n;
    TN_PUSH(c->items, c->n, c->cap, it);
    return TERN_OK;
}

/* Makes the level's code. Each target gets all its jobs at once. */
static TernStatus emit(TnCheckLevel *level, TnBuf *image, TernError *err) {
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TnEmitJob *batch = tn_xcalloc(level->n, sizeof *batch);
    uint32_t n_targets = tn_targets_for(level->name, NULL, targets);
    TernStatus s = TERN_OK;
    for (uint32_t t = 0; s == TERN_OK && t < n_targets; t++) {
        uint32_t n = 0;
        for (size_t i = 0; i < level->n; i++)
            if (!strcmp(level->jobs[i].g->kernels[level->jobs[i].kernel].target, targets[t]->name))
                batch[n++] = level->jobs[i];
        if (n) s = tn_target_find(targets[t]->name)->emit(batch, n, level->name, image, NULL, NULL, err);
        n = 0;
        for (size_t i = 0; s == TERN_OK && i < level->n; i++)
            if (!strcmp(level->jobs[i].g->kernels[level->jobs[i].kernel].target, targets[t]->name))
                level->jobs[i] = batch[n++];
    }
    free(batch);
    return s;
}

TernStatus tn_check_build(TnCheck *c, TernError *err) {
    for (uint32_t i = 0; i < c->n_levels; i++) {
        TnCheckLevel *level = &c->levels[i];
        TN_CHECK(!level->code);
        if (!level->n) continue;
        TnBuf image = {0};
        TernStatus s = emit(level, &image, err);
        if (s == TERN_OK) s = tn_os_map_code(image.data, image.len, &level->code, err);
        level->bytes = image.len;
        tn_buf_free(&image);
        if (s != TERN_OK) return s;
    }
    return TERN_OK;
}

const TnGraph *tn_check_planned(const TnCheck *c, uint32_t item) {
    TN_CHECK(item < c->n);
    return c->items[item].g;
}

TernStatus tn_check_graph(const TnGraph *g, const TnWeights *w, const TnCheckHow *how,
                          const TnCheckSteps *steps, bool *same, TnDifference *out, TernError *err) {
    TnCheck *c = tn_check_create(w);
    uint32_t item;
    TernStatus s = tn_check_add(c, g, how, &item, err);
    if (s == TERN_OK) s = tn_check_build(c, err);
    if (s == TERN_OK) s = tn_check_run(c, &item, 1, steps, same, out, err);
    tn_check_destroy(c);
    return s;
}
