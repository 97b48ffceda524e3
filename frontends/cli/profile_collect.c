/* --profile: collects what the runtime timed, joins it with what the compiler knows of each kernel, and
 * prints tables in order of falling cost. */
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/machine.h"
#include "frontends/cli/profile_collect.h"
#include "frontends/cli/simulate.h"
#include "runtime/base/escape.h"
#include "runtime/base/os.h"

#define EVENTS_MOST (1u << 20) /* 32 MiB */
#define SINGLES     16         /* launches that the second table shows one by one */

typedef TernStatus WriteFn(const char *, const Loaded *, const Test *, uint32_t, TernError *);
static const struct {
    const char *ending;
    WriteFn *write;
    bool events;
} writers[] = {
    {".trace.json", profile_write_trace, true},
    {".trace", profile_write_trace, true},
    {".json", profile_write_json, false},
    {".tir", profile_write_tir, false},
};

struct Profile {
    const char *path; /* NULL: tables only */
    WriteFn *write;
    bool events;
    TernProfile *attached;
    uint32_t sim_workers[64], n_sim; /* to simulate; none: n_sim is 0 */
    Sockets sockets;
    Test *tests;
    size_t n, cap;
    TnArena arena;
};

/* Bytes a second that `threads` threads read from a buffer too large for any cache; 0 if there is not enough
 * memory. */
static double read_rate(const Loaded *l, uint32_t threads) {
    long cache = tn_os_last_cache();
    size_t bytes = cache > 0 ? (size_t)cache * 4 : 0, least = (size_t)256 << 20, most = (size_t)1 << 30;
    Machine m = {.cpus = l->cpus, .n_cpus = l->n_cpus};
    return machine_read_rate(&m, threads,
                             bytes < least  ? least
                             : bytes > most ? most
                                            : bytes,
                             true)
               ? machine_read(&m)
               : 0;
}

/* ---- numbers */

double cost_rate(const Cost *c) {
    return c->ns ? c->bytes / (double)c->ns * 1e9 : 0;
}
double cost_ops(const Cost *c) {
    return c->ns ? 2 * c->macs / (double)c->ns * 1e9 : 0;
}
double cost_floor(const Cost *c, double rate) {
    return rate > 0 ? cost_rate(c) / rate : 0;
}
double cost_imbalance(const Cost *c, uint32_t workers) {
    return c->busy_all_ns ? (double)c->slowest_ns * workers / (double)c->busy_all_ns - 1 : 0;
}

/* ---- collecting */

Profile *profile_create(const Verb *verb, const char *value) {
    if (!value) return NULL;
    Profile *p = tn_xcalloc(1, sizeof *p);
    if (strcmp(value, "-") == 0) return p;
    size_t n = strlen(value);
    for (size_t i = 0; i < TN_COUNT(writers) && !p->write; i++) {
        size_t m = strlen(writers[i].ending);
        if (n <= m || strcmp(value + n - m, writers[i].ending) != 0) continue;
        p->path = value;
        p->write = writers[i].write;
        p->events = writers[i].events;
    }
    if (p->write) return p;
    profile_destroy(p);
    usage_error(verb, "--profile: '%s', expected a name that ends in .json, .trace, .trace.json or .tir",
                value);
}

void profile_destroy(Profile *p) {
    if (!p) return;
    tern_profile_destroy(p->attached);
    for (size_t i = 0; i < p->n; i++) free(p->tests[i].events);
    free(p->tests);
    tn_arena_free(&p->arena);
    free(p);
}

const char *profile_path(const Profile *p) {
    return p ? p->path : NULL;
}

int profile_check(const Profile *p, const Loaded *m) {
    size_t n;
    if (!p || p->write != profile_write_tir || tern_model_section(m->model, TERN_SECTION_TIR, 0, &n))
        return EXIT_OK;
    return fail_text("%s: the model has no section TIR to annotate", p->path);
}

TernStatus profile_attach(Profile *p, TernSession *session, TernError *err) {
    if (!p) return TERN_OK;
    TernProfileOptions o = {.size = sizeof o, .events = p->events ? EVENTS_MOST : 0};
    return tern_profile_create(session, &o, &p->attached, err);
}

void profile_detach(Profile *p) {
    if (!p) return;
    tern_profile_destroy(p->attached);
    p->attached = NULL;
}

void profile_reset(Profile *p) {
    if (p) tern_profile_reset(p->attached);
}

static void add_work(Cost *c, const TernProfileProgram *f, const TerncCost *w) {
    double attended = (double)f->attended, held = (double)f->held, most = (double)(f->sym[0] * w->window);
    if (w->window && attended > most) attended = most;
    if (w->window && held > attended) held = attended;
    c->weight_bytes = (double)w->weight_bytes * (double)c->calls;
    c->table_bytes = (double)w->table_bytes * (double)c->calls;
    c->bytes = c->weight_bytes + (double)w->held_bytes * held;
    c->macs = (double)w->attended_macs * attended;
    for (int s = 0; s < 8; s++) {
        c->bytes += (double)w->sym_bytes[s] * (double)f->sym[s];
        c->macs += (double)w->sym_macs[s] * (double)f->sym[s];
    }
}

static void add_to_group(Cost *g, const Cost *c, uint32_t workers) {
    g->members++;
    g->calls += c->calls;
    g->ns += c->ns;
    g->wait_ns += c->wait_ns;
    g->slowest_ns += c->slowest_ns;
    g->busy_all_ns += c->busy_all_ns;
    g->units += c->units;
    for (uint32_t w = 0; w < workers; w++) g->busy_ns[w] += c->busy_ns[w];
    g->bytes += c->bytes;
    g->weight_bytes += c->weight_bytes;
    g->table_bytes += c->table_bytes;
    g->macs += c->macs;
}

static int by_time(const void *a, const void *b) {
    const Cost *x = a, *y = b;
    if (x->ns != y->ns) return x->ns < y->ns ? 1 : -1;
    return x->launch < y->launch ? -1 : x->launch > y->launch;
}

static void group(Profile *p, Seen *s, uint32_t workers) {
    s->groups = tn_alloc_array(&p->arena, s->n_launches, sizeof(Cost));
    for (uint32_t i = 0; i < s->n_launches; i++) {
        const Cost *c = &s->launches[i];
        if (c->calls == 0) continue;
        uint32_t k = 0;
        while (k < s->n_groups && s->groups[k].group != c->group) k++;
        Cost *g = &s->groups[k];
        if (k == s->n_groups) {
            s->n_groups++;
            *g = (Cost){.name = c->name,
                        .what = c->what,
                        .launch = i,
                        .group = c->group,
                        .grain = c->grain,
                        .least = c->least};
            g->busy_ns = tn_alloc_array(&p->arena, workers, sizeof *g->busy_ns);
        }
        add_to_group(g, c, workers);
    }
    qsort(s->groups, s->n_groups, sizeof *s->groups, by_time);
}

static TernStatus see(Profile *p, const Loaded *m, uint32_t program, uint32_t workers, Seen *s,
                      TernError *err) {
    TerncCost *costs = NULL;
    uint32_t n_costs = 0, n = s->facts.n_launches;
    if (ternc_present()) TN_TRY(ternc()->cost(m->model, s->facts.variant, &costs, &n_costs, err));
    s->known = costs && n_costs == n;
    s->n_launches = n;
    s->launches = tn_alloc_array(&p->arena, n, sizeof(Cost));
    for (uint32_t i = 0; i < n; i++) {
        TernProfileLaunch l;
        tern_profile_launch(p->attached, program, i, &l);
        Cost *c = &s->launches[i];
        *c = (Cost){.name = tn_strdup(&p->arena, l.name),
                    .what = s->known ? tn_strdup(&p->arena, costs[i].what) : "",
                    .launch = i,
                    .group = s->known ? costs[i].group : i,
                    .members = 1,
                    .calls = l.calls,
                    .ns = l.ns,
                    .wait_ns = l.wait_ns,
                    .slowest_ns = l.slowest_ns,
                    .busy_all_ns = l.busy_all_ns,
                    .units = l.units,
                    .grain = s->known ? (int64_t)costs[i].grain : 0,
                    .least = s->known ? (int64_t)costs[i].least : 0,
                    .busy_ns = tn_alloc_array(&p->arena, workers, sizeof *l.busy_ns)};
        memcpy(c->busy_ns, l.busy_ns, workers * sizeof *l.busy_ns);
        if (s->known && c->calls) add_work(c, &s->facts, &costs[i]);
        s->kernel_ns += c->ns;
        s->wait_ns += c->wait_ns;
    }
    free(costs);
    group(p, s, workers);
    return TERN_OK;
}

TernStatus profile_take(Profile *p, const Loaded *m, const char *test, TernError *err) {
    if (!p || !p->attached) return TERN_OK;
    uint32_t n = tern_profile_programs(p->attached), workers = tern_profile_workers(p->attached);
    Test t = {.name = tn_strdup(&p->arena, test),
              .threads = tern_pool_threads(m->pool),
              .workers = workers,
              .seen = tn_alloc_array(&p->arena, n, sizeof(Seen)),
              .program_seen = tn_alloc_array(&p->arena, n, sizeof(uint32_t))};
    TernStatus st = TERN_OK;
    for (uint32_t i = 0; i < n && st == TERN_OK; i++) {
        Seen *s = &t.seen[t.n_seen];
        tern_profile_program(p->attached, i, &s->facts);
        t.program_seen[i] = t.n_seen;
        if (s->facts.runs == 0) continue;
        st = see(p, m, i, workers, s, err);
        t.n_seen++;
    }
    const TernProfileEvent *events = tern_profile_events(p->attached, &t.n_events, &t.dropped);
    if (t.n_events) {
        t.events = tn_xcalloc(t.n_events, sizeof *t.events);
        memcpy(t.events, events, t.n_events * sizeof *t.events);
    }
    profile_detach(p);
    for (size_t i = 0; i < p->n; i++)
        if (p->tests[i].threads == t.threads) t.read_rate = p->tests[i].read_rate;
    if (t.read_rate == 0) t.read_rate = read_rate(m, t.threads);
    TN_PUSH(p->tests, p->n, p->cap, t);
    return st;
}

/* ---- tables */

static void print_head(const char *last) {
    fprintf(stderr, "  %6s %10s %7s %10s %10s %8s %8s %7s %7s  %s\n", "share", "ms", "calls", "us/call",
            "KB/call", "GB/s", "GOPS", "floor", "imbal", last);
}

static void print_cost(const Test *t, const Seen *s, const Cost *c) {
    double calls = (double)c->calls;
    fprintf(stderr, "  %5.1f%% %10.3f %7llu %10.2f", 100 * (double)c->ns / (double)s->facts.ns,
            (double)c->ns / 1e6, (unsigned long long)c->calls, (double)c->ns / 1e3 / calls);
    if (s->known)
        fprintf(stderr, " %10.1f %8.2f %8.2f %6.0f%%", c->bytes / 1e3 / calls, cost_rate(c) / 1e9,
                cost_ops(c) / 1e9, 100 * cost_floor(c, t->read_rate));
    else
        fprintf(stderr, " %10s %8s %8s %7s", "-", "-", "-", "-");
    fprintf(stderr, " %6.0f%%  %s", 100 * cost_imbalance(c, t->workers), tn_listed(c->name).s);
    if (c->members > 1) fprintf(stderr, " x%u", c->members);
    fprintf(stderr, "%s%s\n", *c->what ? ": " : "", tn_listed(c->what).s);
}

static void print_singles(const Test *t, const Seen *s) {
    Cost *all = tn_xcalloc(s->n_launches ? s->n_launches : 1, sizeof *all);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_launches; i++)
        if (s->launches[i].calls) all[n++] = s->launches[i];
    qsort(all, n, sizeof *all, by_time);
    if (n > s->n_groups) {
        print_head("each alone");
        for (uint32_t i = 0; i < n && i < SINGLES; i++) print_cost(t, s, &all[i]);
        if (n > SINGLES) fprintf(stderr, "  and %u more\n", n - SINGLES);
    }
    free(all);
}

static void print_sum(const Seen *s, uint64_t ns, const char *what) {
    fprintf(stderr, "  %5.1f%% %10.3f  %s\n", 100 * (double)ns / (double)s->facts.ns, (double)ns / 1e6, what);
}

/* Prints what the kernels' times add up to, so that a reader can check it. */
static void print_sums(const Seen *s) {
    const TernProfileProgram *f = &s->facts;
    print_sum(s, s->kernel_ns, "kernels");
    print_sum(s, s->wait_ns, "barriers: from a kernel's end on all workers to the start of the next");
    print_sum(s, f->idle_ns, "start: before a run's first kernel");
    print_sum(s, f->ns, "runs: the sum of the three above");
    print_sum(s, f->rest_ns, "around the runs: filling in inputs, handing out results");
    print_sum(s, f->ns + f->rest_ns, "steps: the sum of the two above");
}

static void print_seen(const Test *t, const Seen *s) {
    const TernProfileProgram *f = &s->facts;
    double runs = (double)f->runs, ns = (double)f->ns, weights = 0;
    for (uint32_t i = 0; i < s->n_launches; i++) weights += s->launches[i].weight_bytes;
    fprintf(stderr, "\n%s, %u threads, rows %u..%u: %llu runs of %.1f rows, %.3f ms a run: kernels %.1f%%, ",
            t->name, t->threads, f->rows_lo, f->rows_hi, (unsigned long long)f->runs,
            (double)f->sym[0] / runs, ns / runs / 1e6, 100 * (double)s->kernel_ns / ns);
    fprintf(stderr, "barriers %.1f%%, start %.1f%%\n", 100 * (double)s->wait_ns / ns,
            100 * (double)f->idle_ns / ns);
    if (s->known)
        fprintf(stderr, "weights read: %.3f MB a run, %.3f MB in the plan\n", weights / runs / 1e6,
                (double)f->weight_bytes / 1e6);
    print_head("kernels of equal code together");
    for (uint32_t i = 0; i < s->n_groups; i++) print_cost(t, s, &s->groups[i]);
    print_sums(s);
    print_singles(t, s);
}

void profile_simulate(Profile *p, const uint32_t *workers, uint32_t n, uint32_t cores, double rate) {
    p->n_sim = n;
    memcpy(p->sim_workers, workers, n * sizeof *workers);
    p->sockets = (Sockets){cores, rate};
}

int profile_finish(Profile *p, const Loaded *m) {
    if (!p) return EXIT_OK;
    double shown = 0;
    for (size_t i = 0; i < p->n; i++) {
        const Test *t = &p->tests[i];
        if (t->read_rate != shown)
            fprintf(stderr, "\nprofile of %s, %s: %u threads read %.1f GB/s from memory: the floor\n",
                    tn_shown(m->info.name).s, m->info.level, t->threads, t->read_rate / 1e9);
        shown = t->read_rate;
        for (uint32_t k = 0; k < t->n_seen; k++) {
            print_seen(t, &t->seen[k]);
            if (p->n_sim && t->workers > 1) sim_print(t, &t->seen[k], &p->sockets, p->sim_workers, p->n_sim);
        }
        if (t->dropped)
            fprintf(stderr, "the trace of %s lacks its last %llu events\n", t->name,
                    (unsigned long long)t->dropped);
    }
    TernError err = {0};
    if (p->write && p->write(p->path, m, p->tests, (uint32_t)p->n, &err) != TERN_OK) return fail(&err);
    return EXIT_OK;
}
