/* Choosing settings by measuring.
 *
 * A kernel is tuned in two turns, first its distances, then, with the best of them, its grain. In a turn all settings are
 * run in rounds, one after the other, beginning with another one each round. A setting is judged by its time over that
 * of the present setting in the same round, which takes out what changes slowly; the median of these and the least
 * quarter take out what comes and goes. The best of many is the best by luck, too, if all are equal: so the winner must
 * win once more, alone against the present setting, in rounds of its own, and the gain told is that of the second time.
 *
 * The time: kernels of one row come first, of those the largest; each gets an equal share of what is left, those of one
 * row two. */
#include "codegen/tune.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/internal.h"
#include "runtime/base/os.h"

enum { SETTINGS = 10, ROUNDS = 15, LEAST_ROUNDS = 5 };

/* ---- What a kernel is to tuning */

bool tn_tune_can(const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    const TnTarget *target = k->target ? tn_target_find(k->target) : NULL;
    TnPart parts[TN_PARTS_MAX];
    return target && target->emit && k->axis == TN_AXIS_COLS && tn_kernel_parts(g, kernel, parts);
}

void tn_tune_shape(const TnGraph *g, uint32_t kernel, TnBuf *out) {
    const TnKernel *k = &g->kernels[kernel];
    const TnNode *root = &g->nodes[k->root];
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(g, kernel, parts);
    tn_buf_printf(out, "%s %s ", g->level, tn_ops[root->op].name);
    tn_put_type(&g->nodes[root->args[1]].type, false, out);
    tn_buf_printf(out, " rows=%lld..%lld", (long long)g->rows_lo, (long long)g->rows_hi);
    for (uint32_t i = 0; i < n && (n > 1 || parts[0].n_bases > 1); i++) {
        tn_buf_printf(out, "%s%lld", i ? "," : " parts=", (long long)parts[i].n);
        if (parts[i].n_bases > 1) tn_buf_printf(out, "*%u", parts[i].n_bases);
    }
    int64_t heads = tn_head_columns(g, k);
    if (heads > 1) tn_buf_printf(out, " heads=%lld", (long long)heads);
    for (TnRef r = k->root + 1; r < k->first + k->n; r++)
        if (g->nodes[r].op == TN_OP_mulz) {
            tn_buf_puts(out, " gated");
            break;
        }
}

TnSetting tn_tune_get(const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    return (TnSetting){k->grain, k->near, k->far};
}

void tn_tune_set(TnGraph *g, uint32_t kernel, TnSetting s) {
    TN_CHECK(s.grain > 0 && tn_ahead_ok(s.near) && tn_ahead_ok(s.far));
    tn_cut_columns(g, kernel, s.grain);
    g->kernels[kernel].near = s.near;
    g->kernels[kernel].far = s.far;
}

static const TnTuneMachine any = {.cpu = "any", .version = "any", .threads = 1};

void tn_tune_take(TnTuneTable *t, const TnGraph *g) {
    TnBuf shape = {0};
    for (uint32_t k = 0; g->stage == TN_STAGE_PLANNED && k < g->n_kernels; k++) {
        if (!tn_tune_can(g, k)) continue;
        shape.len = 0;
        tn_tune_shape(g, k, &shape);
        tn_tune_put(t, &any, shape.data, tn_tune_get(g, k));
    }
    tn_buf_free(&shape);
}

void tn_tune_give(const TnTuneTable *t, TnGraph *g) {
    TnBuf shape = {0};
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        if (!tn_tune_can(g, k)) continue;
        shape.len = 0;
        tn_tune_shape(g, k, &shape);
        const TnTuned *e = tn_tune_find(t, &any, shape.data);
        if (e) tn_tune_set(g, k, e->s);
    }
    tn_buf_free(&shape);
}

/* ---- Judging */

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

double tn_tune_gain(const double *first, const double *other, uint32_t rounds) {
    double ratio[ROUNDS];
    if (rounds == 0) return 0;
    TN_CHECK(rounds <= ROUNDS);
    for (uint32_t i = 0; i < rounds; i++) ratio[i] = first[i] > 0 ? other[i] / first[i] : 1;
    qsort(ratio, rounds, sizeof *ratio, by_value);
    double median = rounds % 2 ? ratio[rounds / 2] : (ratio[rounds / 2 - 1] + ratio[rounds / 2]) / 2;
    return median <= 1 - TN_TUNE_LEAST && ratio[(rounds * 3 - 1) / 4] < 1 ? 1 - median : 0;
}

/* ---- One kernel */

typedef struct Kernel {
    char *shape;
    const TnGraph *g;
    uint32_t kernel, times; /* where it stands first, and how often in all graphs */
    uint64_t bytes;         /* of weights */
    TnSetting was, now;
    double gain;
    const char *how; /* "" measured */
} Kernel;

typedef struct Tuner {
    const TnTuneOptions *opt;
    TnTuneBench bench;
    Kernel *v;
    size_t n, cap;
    TnMap by_shape;
    TnArena arena;
    TnTuneTable table;
    double start, opening; /* the longest that making code took */
    uint32_t cached, measured, better;
    TernError *err;
} Tuner;

static double now(const Tuner *t) {
    return t->bench.now(t->bench.user);
}

static bool equal(TnSetting a, TnSetting b) {
    return a.grain == b.grain && a.near == b.near && a.far == b.far;
}

/* Rounds over the open settings until `end`: times[setting][round]. Returns how many. */
static uint32_t rounds(Tuner *t, const uint32_t *open, uint32_t n, double end, double times[][ROUNDS]) {
    uint32_t done = 0;
    for (uint32_t r = 0; r < ROUNDS; r++) {
        if (now(t) >= end && (r >= LEAST_ROUNDS || now(t) >= t->start + t->opt->seconds)) break;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = (i + r) % n;
            times[at][r] = t->bench.sample(t->bench.user, open[at]);
        }
        done++;
    }
    return done >= LEAST_ROUNDS ? done : 0;
}

/* One turn: the kernel's present setting, which is s[0], against the others, until `end`. */
static TernStatus turn(Tuner *t, Kernel *k, const TnSetting *s, uint32_t n, double end, bool *enough) {
    double times[SETTINGS][ROUNDS], begun = now(t), best_gain = 0;
    uint32_t all[SETTINGS], best = 0;
    *enough = false;
    TN_TRY(t->bench.open(t->bench.user, k->g, k->kernel, s, n, t->err));
    if (now(t) - begun > t->opening) t->opening = now(t) - begun;
    for (uint32_t i = 0; i < n; i++) all[i] = i;
    double middle = now(t) + (end - now(t)) * 2 / 3;
    uint32_t done = rounds(t, all, n, middle, times);
    for (uint32_t i = 1; i < n; i++) {
        double gain = tn_tune_gain(times[0], times[i], done);
        if (gain > best_gain) {
            best_gain = gain;
            best = i;
        }
    }
    *enough = done > 0;
    if (best) {
        uint32_t two[] = {0, best};
        done = rounds(t, two, 2, end, times);
        double gain = tn_tune_gain(times[0], times[1], done);
        if (gain > 0) {
            k->now = s[best];
            k->gain = 1 - (1 - k->gain) * (1 - gain);
        }
    }
    t->bench.close(t->bench.user);
    return TERN_OK;
}

static uint32_t distances(const Kernel *k, TnSetting *out) {
    static const int64_t pairs[][2] = {{0, 0},        {512, 4096}, {1024, 12288}, {1024, 24576},
                                       {2048, 16384}, {2048, 0},   {4096, 0},     {8192, 0}};
    uint32_t n = 1;
    out[0] = k->now;
    if (!k->now.near && !k->now.far) return n;
    for (size_t i = 0; i < TN_COUNT(pairs); i++) {
        TnSetting s = {k->now.grain, pairs[i][0], pairs[i][1]};
        if (!equal(s, k->now)) out[n++] = s;
    }
    TN_CHECK(n <= SETTINGS);
    return n;
}

/* No fewer units than there are workers, unless there are anyway: on a busy machine one worker alone may look good. */
static uint32_t grains(const Kernel *k, uint32_t threads, TnSetting *out) {
    uint32_t n = 1;
    int64_t least = k->g->kernels[k->kernel].units < threads ? 1 : threads;
    out[0] = k->now;
    for (int64_t grain = 32; grain <= 256; grain *= 2) {
        TnGraph *g = tn_graph_clone(k->g); /* whole heads */
        tn_cut_columns(g, k->kernel, grain);
        TnSetting s = {g->kernels[k->kernel].grain, k->now.near, k->now.far};
        bool known = g->kernels[k->kernel].units < least;
        tn_graph_destroy(g);
        for (uint32_t i = 0; i < n; i++) known |= out[i].grain == s.grain;
        if (!known) out[n++] = s;
    }
    return n;
}

/* Both turns, in `share` seconds. */
static TernStatus tune_kernel(Tuner *t, Kernel *k, double share) {
    double begun = now(t), last = t->start + t->opt->seconds;
    TnSetting s[SETTINGS];
    bool any = false, enough;
    for (int which = 0; which < 2; which++) {
        uint32_t n = which ? grains(k, t->opt->machine.threads, s) : distances(k, s);
        if (n < 2) continue;
        double end = begun + share * (which ? 1 : 0.55);
        if (end > last) end = last;
        if (now(t) + t->opening >= last) break;
        TN_TRY(turn(t, k, s, n, end, &enough));
        any |= enough;
    }
    k->how = any ? "" : "no time";
    if (!any) return TERN_OK;
    t->measured++;
    t->better += !equal(k->was, k->now);
    tn_tune_put(&t->table, &t->opt->machine, k->shape, k->now);
    return TERN_OK;
}

/* ---- All of them */

static bool collect(Tuner *t, TnGraph *const *gs, uint32_t n) {
    TnBuf shape = {0};
    for (uint32_t i = 0; i < n; i++) {
        const TnGraph *g = gs[i];
        if (!t->opt->level || !g->level || strcmp(g->level, t->opt->level) != 0) continue;
        for (uint32_t k = 0; k < g->n_kernels; k++) {
            if (!tn_tune_can(g, k)) continue;
            shape.len = 0;
            tn_tune_shape(g, k, &shape);
            uint32_t at = tn_map_get(&t->by_shape, shape.data, shape.len);
            if (at != TN_MAP_NONE) {
                TN_CHECK(at < t->n && t->v);
                t->v[at].times++;
                continue;
            }
            const TnTuned *known;
            const TnType *w = &g->nodes[g->nodes[g->kernels[k].root].args[1]].type;
            Kernel new = {.g = g, .kernel = k, .times = 1, .how = "no time"};
            new.shape = tn_strndup(&t->arena, shape.data, shape.len);
            new.bytes = tn_type_bytes(w, NULL);
            new.was = new.now = tn_tune_get(g, k);
            if ((known = tn_tune_find(&t->table, &t->opt->machine, new.shape))) {
                new.now = known->s;
                new.how = "cached";
                t->cached++;
            }
            tn_map_set(&t->by_shape, new.shape, shape.len, (uint32_t)t->n);
            TN_PUSH(t->v, t->n, t->cap, new);
        }
    }
    tn_buf_free(&shape);
    return t->n > t->cached;
}

static bool one_row(const Kernel *k) {
    return k->g->rows_hi == 1;
}

static int by_use(const void *a, const void *b) {
    const Kernel *x = *(Kernel *const *)a, *y = *(Kernel *const *)b;
    if (x->g->rows_lo != y->g->rows_lo) return x->g->rows_lo < y->g->rows_lo ? -1 : 1;
    uint64_t u = x->bytes * x->times, v = y->bytes * y->times;
    return u != v ? (u > v ? -1 : 1) : strcmp(x->shape, y->shape);
}

static TernStatus measure(Tuner *t, Kernel **order, uint32_t n) {
    t->start = now(t);
    for (uint32_t i = 0; i < n; i++) {
        double left = t->start + t->opt->seconds - now(t), parts = 0;
        uint64_t done = (uint64_t)(1000 * (t->opt->seconds - left)), all = (uint64_t)(1000 * t->opt->seconds);
        if (t->opt->progress && t->opt->progress(t->opt->user, "tune", done < all ? done : all, all))
            return tn_fail(t->err, TERN_ERR_CANCELLED, "compilation cancelled");
        if (left <= t->opening) break;
        for (uint32_t j = i; j < n; j++) parts += one_row(order[j]) ? 2 : 1;
        TN_TRY(tune_kernel(t, order[i], left * (one_row(order[i]) ? 2 : 1) / parts));
    }
    return TERN_OK;
}

static TernStatus measure_new(Tuner *t) {
    Kernel **order = tn_xcalloc(t->n + 1, sizeof *order);
    uint32_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (*t->v[i].how == 'n') order[n++] = &t->v[i];
    qsort(order, n, sizeof *order, by_use);
    bool own = !t->opt->bench;
    TernStatus s = TERN_OK;
    if (own)
        s = tn_tune_bench_create(&t->opt->machine, &t->bench, t->err);
    else
        t->bench = *t->opt->bench;
    if (s == TERN_OK) {
        s = measure(t, order, n);
        if (own) tn_tune_bench_destroy(&t->bench);
    }
    free(order);
    return s;
}

/* ---- Told */

static void tell(Tuner *t, const char *fmt, ...) TN_PRINTF(2, 3);
static void tell(Tuner *t, const char *fmt, ...) {
    TnBuf b = {0};
    va_list ap;
    va_start(ap, fmt);
    tn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    if (t->opt->text) t->opt->text(t->opt->user, b.data, b.len);
    tn_buf_free(&b);
}

static const char *shown(TnSetting s, char out[48]) {
    snprintf(out, 48, "%lld/%lld/%lld", (long long)s.grain, (long long)s.near, (long long)s.far);
    return out;
}

static void tell_all(Tuner *t, double seconds) {
    const TnTuneOptions *o = t->opt;
    tell(t,
         "tuned for %s, %u thread%s, %s: %zu kernels, %u measured in %.1f s, %u from the cache, %u better "
         "than before\n",
         o->level ? o->level : "no level", o->machine.threads, o->machine.threads > 1 ? "s" : "",
         o->machine.cpu, t->n, t->measured, seconds, t->cached, t->better);
    if (!t->n) return;
    tell(t, "  %-20s %-20s %6s  %s\n", "grain/near/far", "best", "gain", "kernel");
    for (size_t i = 0; i < t->n; i++) {
        const Kernel *k = &t->v[i];
        char a[48], b[48], gain[16] = "";
        if (k->gain > 0) snprintf(gain, sizeof gain, "%.1f%%", 100 * k->gain);
        bool changed = !equal(k->was, k->now);
        tell(t, "  %-20s %-20s %6s  %s\n", shown(k->was, a),
             changed          ? shown(k->now, b)
             : *k->how == 'n' ? ""
                              : "the same",
             *k->how ? k->how : gain, k->shape);
    }
}

static void apply(Tuner *t, TnGraph *const *gs, uint32_t n) {
    TnBuf shape = {0};
    for (uint32_t i = 0; i < n; i++) {
        if (!t->opt->level || !gs[i]->level || strcmp(gs[i]->level, t->opt->level) != 0) continue;
        for (uint32_t k = 0; k < gs[i]->n_kernels; k++) {
            if (!tn_tune_can(gs[i], k)) continue;
            shape.len = 0;
            tn_tune_shape(gs[i], k, &shape);
            uint32_t at = tn_map_get(&t->by_shape, shape.data, shape.len);
            TN_CHECK(at < t->n && t->v);
            tn_tune_set(gs[i], k, t->v[at].now);
        }
    }
    tn_buf_free(&shape);
}

static TernStatus tune(Tuner *t, TnGraph *const *gs, uint32_t n) {
    const TnTuneOptions *o = t->opt;
    TernError why;
    if (o->cache && tn_tune_read(o->cache, &t->table, &why) != TERN_OK)
        tell(t, "%s; this tuning cache is not used, and written anew\n", why.text);
    bool new = collect(t, gs, n);
    if (new) TN_TRY(measure_new(t));
    apply(t, gs, n);
    if (t->measured && o->cache && tn_tune_write(o->cache, &t->table, &why) != TERN_OK) {
        if (o->must_write) return tn_fail(t->err, TERN_ERR_ENV, "%s", why.text);
        tell(t, "%s; what was measured is not kept\n", why.text);
    }
    tell_all(t, new ? now(t) - t->start : 0);
    return TERN_OK;
}

TernStatus tn_tune(TnGraph *const *gs, uint32_t n, const TnTuneOptions *options, TernError *err) {
    Tuner t = {.opt = options, .err = err};
    TernStatus s = tune(&t, gs, n);
    free(t.v);
    tn_map_free(&t.by_shape);
    tn_arena_free(&t.arena);
    tn_tune_free(&t.table);
    return s;
}
