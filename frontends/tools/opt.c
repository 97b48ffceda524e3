/* ternc_opt: runs passes on a graph from a text, a model file or a blob. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/api/call_options.h"
#include "frontends/tools/graphs.h"

typedef struct Opt {
    const TerncOpt *o;
    TerncTextFn *text;
    void *user;
    TnBuf before; /* the text before the pass, for `changed` */
} Opt;

static bool listed(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, name, n) == 0) return true;
    return false;
}

static void print_one(const TnGraph *g, TnBuf *out) {
    TnGraph *one = (TnGraph *)g;
    tn_print_file(&one, 1, out);
}

static void send_graph(Opt *s, const char *what, const TnGraph *g) {
    TnBuf b = {0};
    print_one(g, &b);
    s->text(s->user, what, b.data, b.len);
    tn_buf_free(&b);
}

/* Checks that the text is complete: parsed again, it gives the same graph, which prints the same. */
static void read_back(Opt *s, const char *pass, const TnGraph *g) {
    TnBuf text = {0}, again = {0}, line = {0};
    TnGraph **gs;
    uint32_t n;
    TnDiag d = {0};
    print_one(g, &text);
    if (tn_parse(text.data, text.len, pass, &gs, &n, &d) != TERN_OK)
        TN_BUG("the text after pass %s does not parse: %.*s", pass, (int)strcspn(d.text.data, "\n"),
               d.text.data);
    print_one(gs[0], &again);
    if (n != 1 || !tn_graph_equal(g, gs[0]) || again.len != text.len ||
        memcmp(again.data, text.data, text.len))
        TN_BUG("the text after pass %s parses to a different graph", pass);
    tn_buf_printf(&line, "%-9s verified, and read back from %zu bytes of text\n", pass, text.len);
    s->text(s->user, "verify", line.data, line.len);
    tn_graphs_free(gs, n);
    tn_buf_free(&text);
    tn_buf_free(&again);
    tn_buf_free(&line);
}

static void dump(Opt *s, const char *pass, const TnGraph *g) {
    const char *list = s->o->dump_after;
    if (!list) return;
    bool changed = listed(list, "changed"), all = listed(list, "all") || strcmp(list, "changed") == 0;
    TnBuf b = {0};
    print_one(g, &b);
    bool same = b.len == s->before.len && memcmp(b.data, s->before.data, b.len) == 0;
    if ((all || listed(list, pass)) && !(changed && same)) s->text(s->user, pass, b.data, b.len);
    tn_buf_free(&s->before);
    s->before = b;
}

static void after(void *user, const char *pass, const TnGraph *g, double seconds) {
    Opt *s = user;
    dump(s, pass, g);
    if (s->o->verify_each) read_back(s, pass, g);
    if (s->o->times) {
        TnBuf b = {0};
        tn_buf_printf(&b, "%-9s %10.3f ms  %u nodes, %u kernels\n", pass, seconds * 1e3, g->n, g->n_kernels);
        s->text(s->user, "time", b.data, b.len);
        tn_buf_free(&b);
    }
}

/* ---- choosing a graph of an input with several */

static bool fits(const TerncOpt *o, const TnGraph *g) {
    int64_t lo = o->rows_lo, hi = o->rows_hi ? o->rows_hi : lo;
    if (o->level && *o->level && (!g->level || strcmp(o->level, g->level) != 0)) return false;
    if (o->kv && (int)o->kv != (int)g->kv) return false;
    return !lo || (g->rows_lo <= lo && hi <= g->rows_hi);
}

enum { OF_LEVEL, OF_KV, OF_ROWS, FACTS };

static void put_fact(const TnGraph *g, int fact, TnBuf *out) {
    if (fact == OF_LEVEL)
        tn_buf_puts(out, g->level ? g->level : "none");
    else if (fact == OF_KV)
        tn_buf_puts(out, tn_kv_names[g->kv]);
    else if (g->rows_lo == g->rows_hi)
        tn_buf_printf(out, "%lld", (long long)g->rows_lo);
    else
        tn_buf_printf(out, "%lld..%lld", (long long)g->rows_lo, (long long)g->rows_hi);
}

static bool alike(const TnGraph *a, const TnGraph *b, int fact) {
    if (fact == OF_LEVEL)
        return a->level == b->level || (a->level && b->level && !strcmp(a->level, b->level));
    return fact == OF_KV ? a->kv == b->kv : a->rows_lo == b->rows_lo && a->rows_hi == b->rows_hi;
}

/* "level avx2, kv f16 and f32": each value once, in the file's order. */
static TernStatus none_fits(const TnGraphs *s, TernError *err) {
    static const char *const names[FACTS] = {"level ", ", kv ", ", rows "};
    TnBuf has = {0};
    for (int fact = 0; fact < FACTS; fact++) {
        tn_buf_puts(&has, names[fact]);
        for (uint32_t i = 0, n = 0; i < s->n; i++) {
            bool seen = false;
            for (uint32_t k = 0; k < i; k++) seen |= alike(s->g[k], s->g[i], fact);
            if (!seen) tn_buf_puts(&has, n++ ? " and " : "");
            if (!seen) put_fact(s->g[i], fact, &has);
        }
    }
    TernStatus st = tn_fail(err, TERN_ERR_INPUT,
                            "%s: none of its %u graphs is for the level, kv and rows given: it has %s",
                            s->path, s->n, has.data);
    tn_buf_free(&has);
    return st;
}

static TernStatus choose(const TerncOpt *o, const TnGraphs *s, uint32_t *out, TernError *err) {
    bool blob = s->kind == TN_GRAPHS_BLOB;
    *out = 0;
    if (o->variant > s->n)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOpt.variant: %u, but %s has graphs 0 to %u", o->variant - 1,
                       s->path, s->n - 1);
    if (o->variant) *out = o->variant - 1;
    if (o->variant || (!blob && s->n == 1)) return TERN_OK;
    if (!blob)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: %u graphs in the file, expected one: TerncOpt.variant N selects one", s->path,
                       s->n);
    while (*out < s->n && !fits(o, s->g[*out])) ++*out;
    if (*out < s->n) return TERN_OK;
    return none_fits(s, err);
}

/* The passes that still apply to a graph of this stage. */
static const char *default_passes(TnStage stage, const char *effort) {
    switch (stage) {
    case TN_STAGE_MODEL:
        if (effort && strcmp(effort, "O0") == 0) return TN_PASSES_LEAST;
        if (effort && strcmp(effort, "O1") == 0) return "fold,cse,dce," TN_PASSES_LEAST;
        return TN_PASSES_MODEL "," TN_PASSES_VARIANT;
    case TN_STAGE_FUSED:
        return effort && effort[1] < '2' ? TN_PASSES_PLAN : TN_PASSES_FUSED "," TN_PASSES_PLAN;
    case TN_STAGE_PLANNED:
        return "";
    }
    return "";
}

static TernStatus check_lists(const TerncOpt *o, const char *passes, TernError *err) {
    TnArena arena = {0};
    const char **names;
    uint32_t n = 0;
    TernStatus st = TERN_OK;
    if (o->dump_after && *o->dump_after)
        st = tn_list_split(&arena, "TerncOpt.dump_after", o->dump_after, &names, &n, err);
    for (uint32_t i = 0; st == TERN_OK && i < n; i++) {
        bool any = strcmp(names[i], "all") == 0 || strcmp(names[i], "changed") == 0, known = any;
        for (uint32_t k = 0; k < tn_n_passes; k++) known |= strcmp(names[i], tn_passes[k].name) == 0;
        if (!known)
            st = tn_fail(err, TERN_ERR_INPUT, "TerncOpt.dump_after: no pass is called '%s'", names[i]);
        bool runs = any ? *passes != 0 : listed(passes, names[i]);
        if (known && !runs)
            st = tn_fail(err, TERN_ERR_INPUT, "TerncOpt.dump_after: '%s': %s", names[i],
                         *passes ? tn_sprintf(&arena, "that pass does not run; those that do are %s", passes)
                                 : "that pass does not run, nor does any other");
    }
    tn_arena_free(&arena);
    return st;
}

/* Returns whether a pass of the list has this name, or, without a name, depends on the variant. */
static bool runs(const char *list, const char *name) {
    bool found = false;
    for (uint32_t i = 0; i < tn_n_passes; i++)
        if (name ? strcmp(tn_passes[i].name, name) == 0 : tn_passes[i].variant)
            found |= listed(list, tn_passes[i].name);
    return found;
}

/* Options of a variant have an effect only if a pass uses them; a graph that already has them keeps its own.
 * Others are refused. */
static TernStatus check_variant(const TerncOpt *o, const TnGraph *g, bool fresh, TernError *err) {
    const char *level = o->level && *o->level ? o->level : NULL;
    if (level && tn_level_number(level) == UINT32_MAX)
        return tn_fail(err, TERN_ERR_INPUT, "level: got '%s', expected one of %s", level,
                       TN_LEVEL_NAMES_THEN(", " TN_LEVEL_REF_NAME));
    if (level && (g->level ? strcmp(g->level, level) != 0 : !fresh))
        return tn_fail(err, TERN_ERR_INPUT, "level: got '%s', but %s%s", level,
                       g->level ? "the graph is for " : "no pass of the list uses it",
                       g->level ? g->level : "");
    if (o->kv && (g->kv ? (int)g->kv != (int)o->kv : !fresh))
        return tn_fail(err, TERN_ERR_INPUT, "kv: got %s, but %s%s", tn_kv_names[o->kv],
                       g->kv ? "the graph is for " : "no pass of the list uses it",
                       g->kv ? tn_kv_names[g->kv] : "");
    long long lo = o->rows_lo, hi = o->rows_hi ? o->rows_hi : o->rows_lo;
    if (lo && g->rows_lo && (g->rows_lo != lo || g->rows_hi != hi))
        return tn_fail(err, TERN_ERR_INPUT, "rows: got %lld..%lld, but the graph is for %lld..%lld", lo, hi,
                       (long long)g->rows_lo, (long long)g->rows_hi);
    if (lo && !g->rows_lo && !fresh)
        return tn_fail(err, TERN_ERR_INPUT, "rows: got %lld..%lld, but no pass of the list uses it", lo, hi);
    return TERN_OK;
}

static TernStatus check_use(const TerncOpt *o, const TnGraph *g, const char *list, bool by_fit,
                            TernError *err) {
    TnEnc head;
    if (!by_fit) TN_TRY(check_variant(o, g, runs(list, NULL), err));
    TN_TRY(tn_head_parse("TerncOpt.head", o->head, &head, err));
    const char *taker = head != TN_ENC_COUNT && tn_encs[head].kind == TN_SHADOW ? "shortlist" : "layout";
    if (head != TN_ENC_COUNT && !runs(list, taker))
        return tn_fail(err, TERN_ERR_INPUT, "head: got '%s', but pass %s, which uses it, does not run",
                       o->head, taker);
    if (o->family && !runs(list, "layout") && !runs(list, "tile"))
        return tn_fail(err, TERN_ERR_INPUT,
                       "TerncOpt.family: got '%s', but passes layout and tile, which use it, do not run",
                       o->family);
    if (o->effort && g->stage == TN_STAGE_PLANNED)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOpt.effort %s: no pass is left for a planned graph",
                       o->effort);
    if (o->times && !*list)
        return tn_fail(err, TERN_ERR_INPUT, "no pass runs, so there are no times to print");
    return TERN_OK;
}

static TernStatus run_list(Opt *s, TnGraph *g, const TnGguf *from, bool by_fit, TernError *err) {
    const TerncOpt *o = s->o;
    const char *best = tern_cpu_levels();
    char level[32];
    snprintf(level, sizeof level, "%.*s", (int)strcspn(o->level && *o->level ? o->level : best, ","),
             o->level && *o->level ? o->level : best);
    if (!*level) strcpy(level, TN_LEVEL_REF_NAME);
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TnPassCtx ctx = {.level = level,
                     .kv = o->kv ? (TnKv)o->kv : TN_KV_F16,
                     .rows_lo = o->rows_lo ? o->rows_lo : 1,
                     .rows_hi = o->rows_hi   ? o->rows_hi
                                : o->rows_lo ? o->rows_lo
                                             : 1,
                     .targets = targets,
                     .family = tn_family_choose(o->family, o->level),
                     .after = after,
                     .user = s};
    ctx.n_targets = tn_targets_asked(level, targets);
    tn_levels_suit(&ctx, &ctx.level, 1);
    TN_TRY(tn_head_parse("TerncOpt.head", o->head, &ctx.head, err));
    const char *list = o->passes ? o->passes : default_passes(g->stage, o->effort);
    TN_TRY(check_lists(o, list, err));
    TN_TRY(check_use(o, g, list, by_fit, err));
    TnWeights weights = tn_gguf_weights(from);
    ctx.weights = &weights;
    /* the passes keep the level's name as long as the graph lives */
    ctx.level = tn_strdup(&g->arena, level);
    if (o->dump_after) print_one(g, &s->before);
    if (o->verify_each) read_back(s, "input", g);
    TN_TRY(tn_passes_run(g, list, &ctx, err));
    if (!o->ranges) {
        send_graph(s, "result", g);
        return TERN_OK;
    }
    TnBuf b = {0};
    tn_print_ranges(g, tn_target_dot, &b);
    s->text(s->user, "result", b.data, b.len);
    tn_buf_free(&b);
    return TERN_OK;
}

TernStatus ternc_opt(const TerncOpt *given, TerncTextFn *text, void *user, TernError *err) {
    TerncOpt taken, *opt = &taken;
    TerncSource source;
    TN_TRY(tn_opt_take(given, opt, err));
    TN_TRY(tn_source_take(opt->source, &source, err));
    TN_NEED(text, err);
    opt->source = &source;
    Opt s = {.o = opt, .text = text, .user = user};
    TnGraphs graphs;
    uint32_t i;
    TN_TRY(tn_graphs_open(opt->path, opt->source, text, user, &graphs, err));
    TernStatus st = choose(opt, &graphs, &i, err);
    bool by_fit = graphs.kind == TN_GRAPHS_BLOB && !opt->variant;
    if (st == TERN_OK) st = run_list(&s, graphs.g[i], graphs.gguf, by_fit, err);
    tn_buf_free(&s.before);
    tn_graphs_close(&graphs);
    return st;
}
