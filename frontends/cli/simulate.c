/* How a program would run on more cores, from a profile taken on a few.
 *
 * A launch has units, which workers take one after the other; all wait at its end. With W workers it takes the longer of
 *
 *   ceil(units / W) x what a unit took here      the worker that has one unit more than others ends last
 *   its bytes / what the memory gives W cores    W cores read W times as much as one did here, until their sockets give no more
 *
 * and then a barrier, which here took so long for w workers and takes log W / log w times that. With all weights in the memory of
 * one socket, that one's rate is all there is; with a copy in each, every socket reads its own. The pages of a mapped file lie
 * where they were touched first, so a process that does nothing about it has them in one.
 *
 * Left out: caches that more cores bring along, links between sockets, cores that run slower when all of them work, and what a finer
 * grain costs a unit. So a curve is what the program's own shape allows, not what a machine reaches: hold `tern bench -t 1,2,4,..`
 * against it. */
#include "frontends/cli/simulate.h"

#include <math.h>
#include <stdlib.h>
#include "runtime/base/escape.h"

enum { SHOWN = 8 };
static const double EVEN_ENOUGH = 0.9;

/* Bytes a second that so many cores read. */
static double memory_rate(const Test *t, const Sockets *s, Placed placed, uint32_t workers) {
    double cores = t->read_rate / t->workers * workers;
    double sockets = placed == PLACED_ONE ? 1 : ceil((double)workers / s->cores);
    return cores < sockets * s->rate ? cores : sockets * s->rate;
}

double sim_even(double units, uint32_t workers) {
    return units > 0 ? units / (ceil(units / workers) * workers) : 1;
}

SimLaunch sim_launch(const Test *t, const Cost *c, const Sockets *s, Placed placed, uint32_t workers) {
    if (c->calls == 0 || c->units == 0) return (SimLaunch){0};
    double calls = (double)c->calls, units = (double)c->units / calls;
    double unit = (double)c->busy_all_ns / (double)c->units, rate = memory_rate(t, s, placed, workers);
    double compute = ceil(units / workers) * unit, even = units / workers * unit;
    SimLaunch l = {.memory = rate > 0 ? c->bytes / calls / rate * 1e9 : 0};
    l.ns = compute > l.memory ? compute : l.memory;
    l.lost = l.ns - (even > l.memory ? even : l.memory);
    return l;
}

double sim_barrier(const Test *t, const Seen *s, uint32_t workers) {
    uint64_t calls = 0;
    for (uint32_t i = 0; i < s->n_launches; i++) calls += s->launches[i].calls;
    double here = calls ? (double)s->wait_ns / (double)calls : 0;
    return workers > 1 && t->workers > 1 ? here * log2(workers) / log2(t->workers) : 0;
}

double sim_step(const Test *t, const Seen *s, const Sockets *sockets, Placed placed, uint32_t workers) {
    double runs = (double)s->facts.runs, ns = (double)(s->facts.idle_ns + s->facts.rest_ns) / runs;
    double barrier = sim_barrier(t, s, workers);
    for (uint32_t i = 0; i < s->n_launches; i++) {
        const Cost *c = &s->launches[i];
        ns += (sim_launch(t, c, sockets, placed, workers).ns + barrier) * (double)c->calls / runs;
    }
    return ns;
}

int64_t sim_grain(double units, int64_t grain, int64_t least, uint32_t workers) {
    int64_t best = grain;
    double columns = units * (double)grain;
    if (least == 0 || sim_even(units, workers) >= EVEN_ENOUGH) return grain;
    for (int64_t g = (grain - 1) / least * least; g > 0; g -= least) {
        double now = sim_even(ceil(columns / (double)g), workers);
        if (now > sim_even(ceil(columns / (double)best), workers)) best = g;
        if (now >= EVEN_ENOUGH) break;
    }
    return best;
}

/* ---- the tables */

typedef struct Starved {
    const Cost *c;
    double lost; /* of a step */
} Starved;

static int by_loss(const void *a, const void *b) {
    const Starved *x = a, *y = b;
    if (x->lost != y->lost) return x->lost < y->lost ? 1 : -1;
    return x->c->launch < y->c->launch ? -1 : x->c->launch > y->c->launch;
}

static void print_starved(const Test *t, const Seen *s, const Sockets *sockets, uint32_t workers) {
    double step = sim_step(t, s, sockets, PLACED_EACH, workers);
    Starved *all = tn_xcalloc(s->n_groups ? s->n_groups : 1, sizeof *all);
    for (uint32_t i = 0; i < s->n_groups; i++) {
        const Cost *c = &s->groups[i];
        double lost = sim_launch(t, c, sockets, PLACED_EACH, workers).lost;
        all[i] = (Starved){c, lost * (double)c->calls / (double)s->facts.runs};
    }
    qsort(all, s->n_groups, sizeof *all, by_loss);
    fprintf(stderr,
            "  starving with %u workers: what of a step is lost because units do not divide among them\n",
            workers);
    fprintf(stderr, "  %6s %9s %6s %6s %6s %6s  kernels\n", "lost", "units", "busy", "grain", "better",
            "busy");
    for (uint32_t i = 0; i < s->n_groups && i < SHOWN && all[i].lost > 0; i++) {
        const Cost *c = all[i].c;
        double units = (double)c->units / (double)c->calls;
        int64_t grain = sim_grain(units, c->grain, c->least, workers);
        fprintf(stderr, "  %5.1f%% %9.1f %5.0f%%", 100 * all[i].lost / step, units,
                100 * sim_even(units, workers));
        if (grain && grain != c->grain)
            fprintf(stderr, " %6lld %6lld %5.0f%%", (long long)c->grain, (long long)grain,
                    100 * sim_even(ceil(units * (double)c->grain / (double)grain), workers));
        else
            fprintf(stderr, " %6s %6s %6s", "-", "-", "-");
        fprintf(stderr, "  %s", tn_listed(c->name).s);
        if (c->members > 1) fprintf(stderr, " x%u", c->members);
        fprintf(stderr, "%s%s\n", *c->what ? ": " : "", tn_listed(c->what).s);
    }
    free(all);
}

void sim_print(const Test *t, const Seen *s, const Sockets *sockets, const uint32_t *workers, uint32_t n) {
    double here = (double)(s->facts.ns + s->facts.rest_ns) / (double)s->facts.runs;
    uint32_t most = workers[0];
    fprintf(stderr, "\nsimulated: %s, rows %u..%u, from %u workers here, sockets of %u cores and %.1f GB/s\n",
            t->name, s->facts.rows_lo, s->facts.rows_hi, t->workers, sockets->cores, sockets->rate / 1e9);
    fprintf(stderr, "  %7s %10s %7s %10s %7s %9s\n", "workers", "ms a step", "faster", "each: ms", "faster",
            "barriers");
    for (uint32_t i = 0; i < n; i++) {
        double one = sim_step(t, s, sockets, PLACED_ONE, workers[i]),
               each = sim_step(t, s, sockets, PLACED_EACH, workers[i]);
        double barriers = 0;
        for (uint32_t k = 0; k < s->n_launches; k++)
            barriers += sim_barrier(t, s, workers[i]) * (double)s->launches[k].calls / (double)s->facts.runs;
        fprintf(stderr, "  %7u %10.3f %6.2fx %10.3f %6.2fx %8.1f%%\n", workers[i], one / 1e6, here / one,
                each / 1e6, here / each, 100 * barriers / each);
        if (workers[i] > most) most = workers[i];
    }
    fprintf(stderr, "  measured: %.3f ms with %u; each: a copy of the weights in the memory of each socket\n",
            here / 1e6, t->workers);
    print_starved(t, s, sockets, most);
}
