/* Chooses by measuring whether weights are packed in base 3.
 *
 * A packing is for the whole blob, since all batch classes and levels read the same copy of a weight. So it is chosen before the
 * blob's graphs are made, from two graphs made for this: the step of one row on the level to tune, without base 3 and with
 * it. Kernels whose weights differ between the two are compared, each shape in a turn of its own. Each packing has a bench
 * with its own memory and threads, of which one sleeps while the other works; they take samples in turn. The rules are those
 * of settings (tune.c): the packing that would be chosen anyway gives way only to one that is faster by more than the noise,
 * twice. Distances of prefetches and grains are those of the passes, for both.
 *
 * The pass tells weights apart by their dimensions, which are the same in all graphs of the blob. Weights get base 3 if that is
 * the choice of every shape that reads weights of such dimensions.
 *
 * Threads are part of the machine that is tuned for: base 3 has larger units than others, so it may gain with few threads
 * and lose with many. */
#include "codegen/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of the time that rounds may take. Opening kernels, of which there are few, takes more. */
#define PART_OF_TIME 0.25

typedef enum Outcome { NO_TIME, CACHED, MEASURED } Outcome;
enum { WITHOUT, WITH };

typedef struct Shape {
    char *text;
    uint32_t kernel; /* its first place, in both graphs */
    TnDims dims;
    bool now; /* in base 3 */
    double gain;
    Outcome outcome;
} Shape;

typedef struct Packing {
    const TnTuneOptions *opt;
    TnGraph *g[2];
    TnTuneBench bench[2];
    bool was; /* in base 3, where nothing else is faster */
    Shape *v;
    size_t n, cap;
    TnTuneTable table;
    double start, opening, in_rounds, seconds;
    TnArena arena;
    TernError *err;
} Packing;

static double now(const Packing *p) {
    return p->bench[0].now(p->bench[0].user);
}

/* ---- The two graphs, and what differs in them */

static TernStatus take_graph(void *user, TnGraph *g, TernError *err) {
    (void)err;
    *(TnGraph **)user = g;
    return TERN_OK;
}

static TernStatus lower(Packing *p, const TnGraph *model, const TnPassCtx *level) {
    static const TnBatchClass one = {1, 1};
    TnPassCtx ctx = *level;
    for (int i = WITHOUT; i <= WITH; i++) {
        ctx.base3 = i == WITH;
        ctx.base3_dims = NULL;
        TN_TRY(tn_lower_level(model, &ctx, &one, 1, 1u << TN_KV_F16, take_graph, &p->g[i], p->err));
    }
    return TERN_OK;
}

static const TnType *weight_of(const TnGraph *g, uint32_t kernel) {
    return &g->nodes[g->nodes[g->kernels[kernel].root].args[1]].type;
}

static void add_shape(Packing *p, uint32_t kernel, const char *text) {
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i].text, text) == 0) return;
    const TnTuned *known = tn_tune_find(&p->table, TN_TUNED_PACKING, &p->opt->machine, text);
    const TnType *t = weight_of(p->g[WITHOUT], kernel);
    TN_PUSH(p->v, p->n, p->cap,
            (Shape){.text = tn_strdup(&p->arena, text),
                    .kernel = kernel,
                    .dims = {t->dim[0], t->dim[1]},
                    .now = known ? known->base3 : p->was,
                    .outcome = known ? CACHED : NO_TIME});
}

static void collect(Packing *p) {
    const TnGraph *without = p->g[WITHOUT], *with = p->g[WITH];
    TnBuf text = {0};
    TN_CHECK(without->n_kernels == with->n_kernels);
    for (uint32_t k = 0; k < with->n_kernels; k++) {
        if (!tn_tune_can(with, k) || weight_of(with, k)->enc != TN_ENC_b80) continue;
        TN_CHECK(tn_tune_can(without, k));
        text.len = 0;
        tn_tune_shape(without, k, &text);
        add_shape(p, k, text.data);
    }
    tn_buf_free(&text);
}

/* ---- Measuring */

/* Runs the turn of a shape whose kernels both benches have open, until `end`. */
static void compare(Packing *p, Shape *s, double end) {
    const TnTuneRun runs[] = {{&p->bench[p->was], 0}, {&p->bench[!p->was], 0}};
    double times[2][TN_TUNE_ROUNDS], last = p->start + p->opt->seconds;
    for (int again = 0; again < 2; again++) {
        double until = again ? end : now(p) + (end - now(p)) / 2;
        uint32_t done = tn_tune_rounds(runs, 2, until, last, times);
        if (done) s->outcome = MEASURED;
        s->gain = tn_tune_gain(times[0], times[1], done);
        if (s->gain == 0) return;
    }
    s->now = !p->was;
}

/* Opens the kernels of a shape on both benches and runs its turn, in `share` seconds. */
static TernStatus measure_shape(Packing *p, Shape *s, double share) {
    double begun = now(p);
    uint32_t open = 0;
    TernStatus st = TERN_OK;
    for (; open < 2; open++) {
        TnTuneBench *b = &p->bench[open];
        TnSetting setting = tn_tune_get(p->g[open], s->kernel);
        st = b->open(b->user, p->g[open], s->kernel, &setting, 1, p->err);
        if (st != TERN_OK) break;
    }
    if (now(p) - begun > p->opening) p->opening = now(p) - begun;
    double opened = now(p);
    if (st == TERN_OK) compare(p, s, opened + share);
    p->in_rounds += now(p) - opened;
    while (open-- > 0) p->bench[open].close(p->bench[open].user);
    return st;
}

/* Measures the shapes that the cache does not have. Each has an equal share of the time that is left for rounds. */
static TernStatus measure(Packing *p, TnTuneTable *out) {
    const TnTuneOptions *o = p->opt;
    double limit = o->seconds * PART_OF_TIME;
    uint32_t left = 0;
    for (size_t i = 0; i < p->n; i++) left += p->v[i].outcome == NO_TIME;
    p->start = now(p);
    for (size_t i = 0; i < p->n; i++) {
        Shape *s = &p->v[i];
        if (s->outcome != NO_TIME) continue;
        double used = now(p) - p->start;
        double done = used < o->seconds ? used : o->seconds; /* the last shape may have taken too long */
        if (o->progress &&
            o->progress(o->user, "tune", (uint64_t)(1000 * done), (uint64_t)(1000 * o->seconds)))
            return tn_fail(p->err, TERN_ERR_CANCELLED, "compilation cancelled");
        if (p->in_rounds >= limit || used + p->opening >= o->seconds) break;
        TN_TRY(measure_shape(p, s, (limit - p->in_rounds) / left--));
        if (s->outcome == MEASURED)
            tn_tune_put(
                out, &(TnTuned){
                         .kind = TN_TUNED_PACKING, .shape = s->text, .machine = o->machine, .base3 = s->now});
    }
    p->seconds = now(p) - p->start;
    return TERN_OK;
}

static uint32_t count(const Packing *p, Outcome outcome) {
    uint32_t n = 0;
    for (size_t i = 0; i < p->n; i++) n += p->v[i].outcome == outcome;
    return n;
}

static TernStatus measure_on_benches(Packing *p, TnTuneTable *out) {
    const TnTuneOptions *o = p->opt;
    const TnTuneBench *given[] = {o->bench, o->other};
    uint32_t open = 0;
    TernStatus st = TERN_OK;
    TN_CHECK(!given[0] == !given[1]);
    for (; st == TERN_OK && open < 2; open += st == TERN_OK) {
        if (given[open])
            p->bench[open] = *given[open];
        else
            st = tn_tune_bench_create(&o->machine, 1, &p->bench[open], p->err);
    }
    if (st == TERN_OK) st = measure(p, out);
    while (open-- > 0)
        if (!given[open]) tn_tune_bench_destroy(&p->bench[open]);
    return st;
}

/* ---- The answer */

/* Whether every shape that reads weights of these dimensions chose base 3. */
static bool all_chose(const Packing *p, TnDims d) {
    bool all = true;
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].dims.rows == d.rows && p->v[i].dims.columns == d.columns) all &= p->v[i].now;
    return all;
}

static void answer(const Packing *p, TnPassCtx *ctx, TnArena *arena) {
    TnDims *dims = tn_alloc_array(arena, p->n, sizeof *dims);
    uint32_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (all_chose(p, p->v[i].dims)) dims[n++] = p->v[i].dims;
    ctx->base3 = n > 0;
    ctx->base3_dims = dims;
    ctx->n_base3_dims = n;
}

static void put_table(const Packing *p, TnBuf *out) {
    static const char *const words[] = {[NO_TIME] = "no time", [CACHED] = "cached"};
    const TnTuneOptions *o = p->opt;
    uint32_t better = 0;
    for (size_t i = 0; i < p->n; i++) better += p->v[i].outcome == MEASURED && p->v[i].now != p->was;
    tn_buf_printf(out,
                  "packed for %s, %u thread%s, %s: %zu shapes, %u measured in %.1f s, %u from the cache, ",
                  o->level, o->machine.threads, o->machine.threads > 1 ? "s" : "", o->machine.cpu, p->n,
                  count(p, MEASURED), p->seconds, count(p, CACHED));
    tn_buf_printf(out, "%u better than before\n  %-20s %-20s %6s  %s\n", better, "packed", "best", "gain",
                  "kernel");
    for (size_t i = 0; i < p->n; i++) {
        const Shape *s = &p->v[i];
        const char *other = tn_encs[weight_of(p->g[!p->was], s->kernel)->enc].name;
        char gain[16] = "";
        if (s->gain > 0) snprintf(gain, sizeof gain, "%.1f%%", 100 * s->gain);
        tn_buf_printf(out, "  %-20s %-20s %6s  %s\n", tn_encs[weight_of(p->g[p->was], s->kernel)->enc].name,
                      s->now != p->was        ? other
                      : s->outcome == NO_TIME ? ""
                                              : "the same",
                      s->outcome == MEASURED ? gain : words[s->outcome], s->text);
    }
}

static TernStatus choose(Packing *p, const TnGraph *model, TnPassCtx *ctx, TnArena *arena, TnTuneTable *out) {
    const TnTuneOptions *o = p->opt;
    TernError ignored; /* tn_tune reads the file too, and tells */
    if (o->cache) (void)tn_tune_read(o->cache, &p->table, &ignored);
    TN_TRY(lower(p, model, ctx));
    collect(p);
    if (p->n == 0) return TERN_OK;
    if (count(p, NO_TIME)) TN_TRY(measure_on_benches(p, out));
    answer(p, ctx, arena);
    if (!o->text) return TERN_OK;
    TnBuf text = {0};
    put_table(p, &text);
    o->text(o->user, text.data, text.len);
    tn_buf_free(&text);
    return TERN_OK;
}

TernStatus tn_tune_packing(const TnGraph *model, TnPassCtx *ctx, const TnTuneOptions *options, TnArena *arena,
                           TnTuneTable *out, double *seconds, TernError *err) {
    Packing p = {.opt = options, .was = ctx->base3, .err = err};
    TernStatus s = choose(&p, model, ctx, arena, out);
    *seconds = p.seconds;
    for (int i = WITHOUT; i <= WITH; i++) tn_graph_destroy(p.g[i]);
    free(p.v);
    tn_arena_free(&p.arena);
    tn_tune_free(&p.table);
    return s;
}
