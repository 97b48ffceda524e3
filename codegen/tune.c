/* Chooses settings by measuring.
 *
 * A kernel is tuned in turns: first its distances, those of each stream that it has (TnPrefetch) in a turn of its own, then,
 * with the best of them, whether its weights are unpacked to panels, then its grain. A turn runs all settings in rounds, one
 * after the other, and begins each round with another setting. A setting is judged by the ratio of its time to that of the
 * present setting in the same round, which cancels slow changes. The median of these ratios, and the rule that three rounds of
 * four must be faster, filter out short disturbances. If all settings are equal, one of them still wins by luck. So the winner
 * must win again, alone against the present setting, in rounds of its own, and only the gain of that second time is reported.
 *
 * The time: kernels of one row come first, and of those the largest. Each kernel gets an equal share of the time that is
 * left; a kernel of one row gets two shares. */
#include "codegen/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/internal.h"
#include "runtime/base/os.h"

enum { SETTINGS = 10 };

/* Returns the kernel's shape, in *buf; NULL if there is nothing to tune. */
static const char *shape_of(const TnGraph *g, uint32_t kernel, TnBuf *buf) {
    if (!tn_tune_can(g, kernel)) return NULL;
    buf->len = 0;
    tn_tune_shape(g, kernel, buf);
    return buf->data;
}

static const TnTuneMachine any = {.cpu = "any", .version = "any", .threads = 1};

static void put(TnTuneTable *t, const TnTuneMachine *m, const char *shape, TnSetting s) {
    tn_tune_put(t, &(TnTuned){.kind = TN_TUNED_KERNEL, .shape = shape, .machine = *m, .s = s});
}

void tn_tune_take(TnTuneTable *t, const TnGraph *g) {
    TnBuf buf = {0};
    for (uint32_t k = 0; g->stage == TN_STAGE_PLANNED && k < g->n_kernels; k++) {
        const char *shape = shape_of(g, k, &buf);
        if (shape) put(t, &any, shape, tn_tune_get(g, k));
    }
    tn_buf_free(&buf);
}

void tn_tune_give(const TnTuneTable *t, TnGraph *g) {
    TnBuf buf = {0};
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        const char *shape = shape_of(g, k, &buf);
        const TnTuned *e = shape ? tn_tune_find(t, TN_TUNED_KERNEL, &any, shape) : NULL;
        if (e) tn_tune_set(g, k, e->s);
    }
    tn_buf_free(&buf);
}

/* ---- Judging */

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

double tn_tune_gain(const double *first, const double *other, uint32_t rounds) {
    double ratio[TN_TUNE_ROUNDS];
    if (rounds == 0) return 0;
    TN_CHECK(rounds <= TN_TUNE_ROUNDS);
    for (uint32_t i = 0; i < rounds; i++) ratio[i] = first[i] > 0 ? other[i] / first[i] : 1;
    qsort(ratio, rounds, sizeof *ratio, by_value);
    double median = rounds % 2 ? ratio[rounds / 2] : (ratio[rounds / 2 - 1] + ratio[rounds / 2]) / 2;
    return median <= 1 - TN_TUNE_LEAST && ratio[(rounds * 3 - 1) / 4] < 1 ? 1 - median : 0;
}

uint32_t tn_tune_rounds(const TnTuneRun *runs, uint32_t n, double end, double last,
                        double times[][TN_TUNE_ROUNDS]) {
    const TnTuneBench *clock = runs[0].bench;
    uint32_t r = 0;
    for (; r < TN_TUNE_ROUNDS; r++) {
        double now = clock->now(clock->user);
        if (now >= end && (r >= TN_TUNE_LEAST_ROUNDS || now >= last)) break;
        for (uint32_t i = 0; i < n; i++) {
            const TnTuneRun *run = &runs[(i + r) % n];
            times[(i + r) % n][r] = run->bench->sample(run->bench->user, run->setting);
        }
    }
    return r >= TN_TUNE_LEAST_ROUNDS ? r : 0;
}

/* ---- One shape */

typedef enum Outcome { NO_TIME, CACHED, MEASURED } Outcome;

typedef struct Kernel {
    char *shape;
    const TnGraph *g;
    uint32_t kernel, times; /* its first place in g, and its number of places in all graphs */
    uint64_t bytes;         /* of weights */
    TnSetting was, now;
    double gain;
    Outcome outcome;
} Kernel;

typedef struct Place {
    TnGraph *g;
    uint32_t kernel, of; /* of: index in Tuner.v */
} Place;

typedef struct Tuner {
    const TnTuneOptions *opt;
    TnTuneBench bench;
    Kernel *v;
    Place *places;
    size_t n, cap, n_places, cap_places;
    TnMap by_shape;
    TnArena arena;
    TnTuneTable table;
    TnBuf told;
    double start, opening; /* opening: the longest time that making code took */
    double seconds;        /* that the measuring took */
    TernError *err;
} Tuner;

static double now(const Tuner *t) {
    return t->bench.now(t->bench.user);
}

static bool equal(TnSetting a, TnSetting b) {
    return a.grain == b.grain && tn_prefetch_equal(&a.prefetch, &b.prefetch) && a.panels == b.panels;
}

/* Runs rounds over n of the open settings, from the first in steps of `step`. */
static uint32_t rounds(Tuner *t, uint32_t n, uint32_t step, double end, double times[][TN_TUNE_ROUNDS]) {
    TnTuneRun runs[SETTINGS];
    for (uint32_t i = 0; i < n; i++) runs[i] = (TnTuneRun){&t->bench, i * step};
    return tn_tune_rounds(runs, n, end, t->start + t->opt->seconds, times);
}

/* Runs one turn: the kernel's present setting, s[0], against the others, until `end`. */
static TernStatus turn(Tuner *t, Kernel *k, const TnSetting *s, uint32_t n, double end) {
    double times[SETTINGS][TN_TUNE_ROUNDS], begun = now(t), best_gain = 0;
    uint32_t best = 0;
    TN_TRY(t->bench.open(t->bench.user, k->g, k->kernel, s, n, t->err));
    if (now(t) - begun > t->opening) t->opening = now(t) - begun;
    uint32_t done = rounds(t, n, 1, now(t) + (end - now(t)) * 2 / 3, times);
    if (done) k->outcome = MEASURED;
    for (uint32_t i = 1; i < n; i++) {
        double gain = tn_tune_gain(times[0], times[i], done);
        if (gain > best_gain) {
            best_gain = gain;
            best = i;
        }
    }
    if (best) {
        done = rounds(t, 2, best, end, times);
        double gain = tn_tune_gain(times[0], times[1], done);
        if (gain > 0) {
            k->now = s[best];
            k->gain = 1 - (1 - k->gain) * (1 - gain);
        }
    }
    t->bench.close(t->bench.user);
    return TERN_OK;
}

/* Lists the distances of a stream to try: into L1, into L2, past the caches. */
static uint32_t distances(const Kernel *k, TnStream stream, TnSetting *out) {
    enum { TRIED = 9 };
    static const int64_t tried[TN_STREAM_COUNT][TRIED][TN_INTO_COUNT] = {
        [TN_STREAM_DENSE] = {{0, 0},
                             {512, 4096},
                             {1024, 12288},
                             {1024, 24576},
                             {2048, 16384},
                             {2048, 0},
                             {4096, 0},
                             {8192, 0},
                             {0, 16384}},
        [TN_STREAM_LISTED] = {{4}, {8}, {0, 4}, {0, 8}, {0, 12}, {0, 20}, {2, 12}, {0, 0, 4}, {0, 0, 12}},
        [TN_STREAM_COLUMNS] = {
            {32}, {0, 32}, {0, 48}, {0, 64}, {0, 96}, {16, 64}, {0, 0, 16}, {0, 0, 32}, {0, 0, 64}}};
    uint32_t n = 1;
    out[0] = k->now;
    if (!tn_prefetch_most(&k->now.prefetch, stream)) return n;
    for (size_t i = 0; i < TRIED; i++) {
        TnSetting s = k->now;
        memcpy(s.prefetch.ahead[stream], tried[stream][i], sizeof tried[stream][i]);
        if (!equal(s, k->now)) out[n++] = s;
    }
    TN_CHECK(n <= SETTINGS);
    return n;
}

/* Lists the grains to try. A grain must not give fewer units than there are workers, unless the present one does too: on a
 * busy machine one worker alone may look good. */
static uint32_t grains(const Kernel *k, uint32_t threads, TnSetting *out) {
    uint32_t n = 1;
    int64_t least = k->g->kernels[k->kernel].units < threads ? 1 : threads;
    out[0] = k->now;
    for (int64_t columns = 32; columns <= 256; columns *= 2) {
        TnCut cut = tn_cut_of(k->g, k->kernel, columns);
        bool known = cut.units < least;
        for (uint32_t i = 0; i < n; i++) known |= out[i].grain == cut.grain;
        if (!known) out[n++] = (TnSetting){cut.grain, k->now.prefetch, k->now.panels};
    }
    return n;
}

/* Lists both answers to whether weights are unpacked to panels, if its target has code for both. */
static uint32_t panels(const Kernel *k, TnSetting *out) {
    out[0] = out[1] = k->now;
    out[1].panels = !k->now.panels;
    return tn_tune_has_panels(k->g, k->kernel) ? 2 : 1;
}

/* Runs the turns, in `share` seconds: one for each stream that the kernel has, one for panels and one for the grain. */
static TernStatus tune_kernel(Tuner *t, Kernel *k, double share) {
    double begun = now(t), last = t->start + t->opt->seconds;
    TnSetting s[SETTINGS];
    int turns = 1, done = 0;
    for (TnStream i = 0; i < TN_STREAM_COUNT; i++) turns += tn_prefetch_most(&k->now.prefetch, i) > 0;
    turns += panels(k, s) > 1;
    for (int which = 0; which < TN_STREAM_COUNT + 2; which++) {
        uint32_t n = which < TN_STREAM_COUNT    ? distances(k, (TnStream)which, s)
                     : which == TN_STREAM_COUNT ? panels(k, s)
                                                : grains(k, t->opt->machine.threads, s);
        if (n < 2) continue;
        double end = begun + share * ++done / turns;
        if (now(t) + t->opening >= last) break;
        TN_TRY(turn(t, k, s, n, end < last ? end : last));
    }
    if (k->outcome == MEASURED) put(&t->table, &t->opt->machine, k->shape, k->now);
    return TERN_OK;
}

/* ---- All of them */

/* Finds the kernel that stands for those of a shape; adds it at the first place. */
static uint32_t kernel_of(Tuner *t, const TnGraph *g, uint32_t k, const char *shape, size_t len) {
    uint32_t at = tn_map_get(&t->by_shape, shape, len);
    if (at != TN_MAP_NONE) return at;
    const TnTuned *known = tn_tune_find(&t->table, TN_TUNED_KERNEL, &t->opt->machine, shape);
    Kernel new = {.shape = tn_strndup(&t->arena, shape, len), .g = g, .kernel = k};
    new.bytes = tn_type_bytes(&g->nodes[g->nodes[g->kernels[k].root].args[1]].type, NULL);
    new.was = tn_tune_get(g, k);
    new.now = known ? known->s : new.was;
    new.outcome = known ? CACHED : NO_TIME;
    tn_map_set(&t->by_shape, new.shape, len, (uint32_t)t->n);
    TN_PUSH(t->v, t->n, t->cap, new);
    return (uint32_t)t->n - 1;
}

static void collect(Tuner *t, TnGraph *const *gs, uint32_t n) {
    TnBuf shape = {0};
    for (uint32_t i = 0; i < n; i++) {
        TnGraph *g = gs[i];
        if (!t->opt->level || !g->level || strcmp(g->level, t->opt->level) != 0) continue;
        for (uint32_t k = 0; k < g->n_kernels; k++) {
            if (!shape_of(g, k, &shape)) continue;
            Place place = {g, k, kernel_of(t, g, k, shape.data, shape.len)};
            TN_CHECK(t->v);
            t->v[place.of].times++;
            TN_PUSH(t->places, t->n_places, t->cap_places, place);
        }
    }
    tn_buf_free(&shape);
}

static uint32_t count(const Tuner *t, Outcome outcome) {
    uint32_t n = 0;
    for (size_t i = 0; i < t->n; i++) n += t->v[i].outcome == outcome;
    return n;
}

/* The kernel's number of shares of the time. */
static uint32_t shares(const Kernel *k) {
    return k->g->rows_hi == 1 ? 2 : 1;
}

static int by_use(const void *a, const void *b) {
    const Kernel *x = *(Kernel *const *)a, *y = *(Kernel *const *)b;
    if (x->g->rows_lo != y->g->rows_lo) return x->g->rows_lo < y->g->rows_lo ? -1 : 1;
    uint64_t u = x->bytes * x->times, v = y->bytes * y->times;
    return u != v ? (u > v ? -1 : 1) : strcmp(x->shape, y->shape);
}

/* Measures the kernels that the cache does not have. */
static TernStatus measure(Tuner *t) {
    const TnTuneOptions *o = t->opt;
    Kernel **order = tn_xcalloc(t->n + 1, sizeof *order);
    uint32_t n = 0, all_shares = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->v[i].outcome != NO_TIME) continue;
        order[n++] = &t->v[i];
        all_shares += shares(&t->v[i]);
    }
    qsort(order, n, sizeof *order, by_use);
    t->start = now(t) - o->used;
    TernStatus s = TERN_OK;
    for (uint32_t i = 0; i < n && s == TERN_OK; i++) {
        double used = now(t) - t->start, left = o->seconds - used;
        uint64_t done = (uint64_t)(1000 * used), all = (uint64_t)(1000 * o->seconds);
        if (o->progress && o->progress(o->user, "tune", done < all ? done : all, all))
            s = tn_fail(t->err, TERN_ERR_CANCELLED, "compilation cancelled");
        else if (left > t->opening)
            s = tune_kernel(t, order[i], left * shares(order[i]) / all_shares);
        else
            break;
        all_shares -= shares(order[i]);
    }
    t->seconds = now(t) - t->start - o->used;
    free(order);
    return s;
}

/* ---- Reporting */

static void tell(Tuner *t) {
    if (t->opt->text && t->told.len) t->opt->text(t->opt->user, t->told.data, t->told.len);
    t->told.len = 0;
}

/* "64/1024/12288 0/12/0 0/0/32 panels": the grain and the distances into L1 and L2, then those of listed rows and of columns if
 * it has any, into L1, into L2 and past the caches. */
static const char *shown(TnSetting s, char out[96]) {
    const int64_t *dense = s.prefetch.ahead[TN_STREAM_DENSE];
    int n = snprintf(out, 96, "%lld/%lld/%lld", (long long)s.grain, (long long)dense[TN_INTO_L1],
                     (long long)dense[TN_INTO_L2]);
    for (TnStream i = TN_STREAM_LISTED; i < TN_STREAM_COUNT; i++) {
        const int64_t *a = s.prefetch.ahead[i];
        if (!tn_prefetch_most(&s.prefetch, i)) continue;
        n += snprintf(out + n, 96 - (size_t)n, " %lld/%lld/%lld", (long long)a[TN_INTO_L1],
                      (long long)a[TN_INTO_L2], (long long)a[TN_INTO_PAST]);
    }
    if (s.panels) snprintf(out + n, 96 - (size_t)n, " panels");
    return out;
}

static void put_table(const Tuner *t, TnBuf *out) {
    static const char *const words[] = {[NO_TIME] = "no time", [CACHED] = "cached"};
    const TnTuneOptions *o = t->opt;
    uint32_t better = 0;
    for (size_t i = 0; i < t->n; i++)
        better += t->v[i].outcome == MEASURED && !equal(t->v[i].was, t->v[i].now);
    tn_buf_printf(out, "tuned for %s, %u thread%s, %s: %zu kernels, ", o->level ? o->level : "no level",
                  o->machine.threads, o->machine.threads > 1 ? "s" : "", o->machine.cpu, t->n);
    tn_buf_printf(out, "%u measured in %.1f s, %u from the cache, %u better than before\n",
                  count(t, MEASURED), t->seconds, count(t, CACHED), better);
    if (t->n) tn_buf_printf(out, "  %-20s %-20s %6s  %s\n", "grain/L1/L2", "best", "gain", "kernel");
    for (size_t i = 0; i < t->n; i++) {
        const Kernel *k = &t->v[i];
        char a[96], b[96], gain[16] = "";
        const char *best = !equal(k->was, k->now)  ? shown(k->now, b)
                           : k->outcome == NO_TIME ? ""
                                                   : "the same";
        if (k->gain > 0) snprintf(gain, sizeof gain, "%.1f%%", 100 * k->gain);
        tn_buf_printf(out, "  %-20s %-20s %6s  %s\n", shown(k->was, a), best,
                      k->outcome == MEASURED ? gain : words[k->outcome], k->shape);
    }
}

/* Adds the caller's choices to the table. Returns their number. */
static uint32_t take_more(Tuner *t) {
    const TnTuneTable *more = t->opt->more;
    for (size_t i = 0; more && i < more->n; i++) tn_tune_put(&t->table, &more->v[i]);
    return more ? (uint32_t)more->n : 0;
}

static TernStatus tune(Tuner *t, TnGraph *const *gs, uint32_t n) {
    const TnTuneOptions *o = t->opt;
    TernError why;
    if (o->cache && tn_tune_read(o->cache, &t->table, &why) != TERN_OK)
        tn_buf_printf(&t->told, "%s; this tuning cache is ignored and will be replaced\n", why.text);
    tell(t);
    collect(t, gs, n);
    if (count(t, NO_TIME)) {
        if (o->bench)
            t->bench = *o->bench;
        else
            TN_TRY(tn_tune_bench_create(&o->machine, 0, &t->bench, t->err));
        TernStatus s = measure(t);
        if (!o->bench) tn_tune_bench_destroy(&t->bench);
        TN_TRY(s);
    }
    for (size_t i = 0; i < t->n_places; i++)
        tn_tune_set(t->places[i].g, t->places[i].kernel, t->v[t->places[i].of].now);
    uint32_t more = take_more(t);
    if (count(t, MEASURED) + more && o->cache && tn_tune_write(o->cache, &t->table, &why) != TERN_OK) {
        if (o->must_write) return tn_fail(t->err, TERN_ERR_ENV, "%s", why.text);
        tn_buf_printf(&t->told, "%s; the measurements are not saved\n", why.text);
    }
    put_table(t, &t->told);
    tell(t);
    return TERN_OK;
}

TernStatus tn_tune(TnGraph *const *gs, uint32_t n, const TnTuneOptions *options, TernError *err) {
    Tuner t = {.opt = options, .err = err};
    TernStatus s = tune(&t, gs, n);
    free(t.v);
    free(t.places);
    tn_map_free(&t.by_shape);
    tn_arena_free(&t.arena);
    tn_tune_free(&t.table);
    tn_buf_free(&t.told);
    return s;
}
