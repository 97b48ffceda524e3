/* The pipeline as a list, and the driver that runs it. Every pass gets a graph of the right stage and leaves one that
 * verifies. */
#include "passes/internal.h"
#include "runtime/base/os.h"
#include <string.h>

const TnPass tn_passes[] = {
    {"fold", pass_fold, TN_STAGE_MODEL, TN_STAGE_MODEL, false, 0,
     "compute what is constant, drop ops that change nothing"},
    {"cse", pass_cse, TN_STAGE_MODEL, TN_STAGE_MODEL, false, 0, "compute equal values once"},
    {"dce", pass_dce, TN_STAGE_MODEL, TN_STAGE_MODEL, false, 0, "drop what no output and no cache needs"},
    {"prune", pass_prune, TN_STAGE_MODEL, TN_STAGE_MODEL, false, 0,
     "leave out neurons whose weights are all zero"},
    {"merge", pass_merge, TN_STAGE_MODEL, TN_STAGE_MODEL, false, 0,
     "multiplications of one input become one"},
    {"shortlist", pass_shortlist, TN_STAGE_MODEL, TN_STAGE_MODEL, false, 0,
     "choose from the head with the help of a small copy of its table"},
    {"split", pass_split, TN_STAGE_MODEL, TN_STAGE_MODEL, true, TN_ROWS_FEW,
     "cut the attention of few rows into blocks"},
    {"fuse", pass_fuse, TN_STAGE_MODEL, TN_STAGE_FUSED, true, 0, "group nodes into kernels"},
    {"gate", pass_gate, TN_STAGE_FUSED, TN_STAGE_FUSED, true, 1, "let code skip what relu made zero"},
    {"colmajor", pass_colmajor, TN_STAGE_FUSED, TN_STAGE_FUSED, true, 1,
     "give products of mostly zeros a copy of their weights by columns"},
    {"layout", pass_layout, TN_STAGE_FUSED, TN_STAGE_FUSED, true, 0,
     "pack weights and type caches as the targets read them"},
    {"tile", pass_tile, TN_STAGE_FUSED, TN_STAGE_FUSED, true, 0,
     "choose each kernel's target, cut it into units"},
    {"plan", pass_plan, TN_STAGE_FUSED, TN_STAGE_PLANNED, true, 0, "place values in the arena, set barriers"},
};
const uint32_t tn_n_passes = TN_COUNT(tn_passes);

static const char *const stage_names[] = {"model", "fused", "planned"};

static TernStatus find_pass(const char *name, size_t n, const TnPass **out, TernError *err) {
    for (uint32_t i = 0; i < tn_n_passes; i++)
        if (strlen(tn_passes[i].name) == n && memcmp(tn_passes[i].name, name, n) == 0) {
            *out = &tn_passes[i];
            return TERN_OK;
        }
    TnBuf all = {0};
    for (uint32_t i = 0; i < tn_n_passes; i++) tn_buf_printf(&all, "%s%s", i ? " " : "", tn_passes[i].name);
    TernStatus status = tn_fail(err, TERN_ERR_INPUT, "pass \"%.*s\" is unknown, expected one of: %s",
                                n > 40 ? 40 : (int)n, name, all.data);
    tn_buf_free(&all);
    return status;
}

/* Verifies g; the error is the verifier's first line. */
static TernStatus verify(const TnGraph *g, TernError *err) {
    TnDiag d = {0};
    TernStatus status = tn_verify(g, &d);
    if (status != TERN_OK) tn_fail(err, status, "%.*s", (int)strcspn(d.text.data, "\n"), d.text.data);
    tn_diag_free(&d);
    return status;
}

/* Writes the variant into the graph. What the graph's text states stays; the rest comes from ctx. */
static TernStatus set_variant(TnGraph *g, const TnPass *pass, const TnPassCtx *ctx, TernError *err) {
    bool open = !g->rows_lo;
    if (!g->level && ctx->level) g->level = tn_strdup(&g->arena, ctx->level);
    if (!g->kv) g->kv = ctx->kv;
    if (!g->rows_lo) {
        g->rows_lo = ctx->rows_lo;
        g->rows_hi = ctx->rows_hi;
    }
    const char *missing = !g->level                                   ? "level"
                          : !g->kv                                    ? "kv"
                          : g->rows_lo < 1 || g->rows_hi < g->rows_lo ? "rows"
                                                                      : NULL;
    if (!missing) return open ? verify(g, err) : TERN_OK; /* ops may have room for fewer rows */
    return tn_fail(err, TERN_ERR_INPUT,
                   "pass %s: graph @%s has no %s, expected one in the text or as an option", pass->name,
                   g->name, missing);
}

static TernStatus run_pass(TnGraph *g, const TnPass *pass, const TnPassCtx *ctx, TernError *err) {
    if (g->stage != pass->needs)
        return tn_fail(err, TERN_ERR_INPUT, "pass %s: graph @%s is of stage %s, expected %s", pass->name,
                       g->name, stage_names[g->stage], stage_names[pass->needs]);
    if (pass->variant) TN_TRY(set_variant(g, pass, ctx, err));
    double start = tn_os_seconds();
    if (tn_pays(ctx, pass, g)) TN_TRY(pass->run(g, ctx, err));
    double seconds = tn_os_seconds() - start;
    TernError fault;
    if (verify(g, &fault) != TERN_OK) TN_BUG("pass %s broke the graph: %s", pass->name, fault.text);
    TN_CHECK(g->stage == pass->gives);
    if (ctx->after) ctx->after(ctx->user, pass->name, g, seconds);
    return TERN_OK;
}

TernStatus tn_passes_run(TnGraph *g, const char *list, const TnPassCtx *ctx, TernError *err) {
    if (!list) list = TN_PASSES_MODEL "," TN_PASSES_VARIANT;
    const TnPass *pass;
    for (const char *p = list; *p;) { /* check all names first, so that a wrong one changes nothing */
        size_t n = strcspn(p, ",");
        TN_TRY(find_pass(p, n, &pass, err));
        p += n + (p[n] == ',');
    }
    TN_TRY(verify(g, err));
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        TN_TRY(find_pass(p, n, &pass, err));
        TN_TRY(run_pass(g, pass, ctx, err));
        p += n + (p[n] == ',');
    }
    return TERN_OK;
}
