#include "runtime/profile.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/options.h"

typedef struct Launch {
    char *name;
    uint64_t calls, time, wait, slowest, busy_all, units;
    uint64_t *busy; /* for each worker */
} Launch;

typedef struct Program {
    uint32_t variant, rows_lo, n;
    uint64_t weight_bytes, runs, time, idle, rest; /* idle: the part of `time` before the first launch */
    uint64_t sym[TN_ABI_SYMS], held, attended;
    Launch *launches;
} Program;

struct TernProfile {
    TernSession *session;
    TnArena arena;
    uint32_t workers, n;
    Program *programs;
    TnStamp *stamps; /* of the current run; all programs use them in turn */
    uint64_t *last;  /* [slots] the number of the last run with a row of that slot, from 1 */
    uint64_t run, run_start, run_time;
    TernProfileEvent *events;
    size_t n_events, cap_events;
    uint64_t dropped;
};

/* ---- making and ending */

static char *launch_name(TernProfile *p, const TernModel *m, const TnVariant *v, const TnBlobLaunch *l) {
    const TnBlobSection *s = tn_blob_section(&m->blob, TN_SECTION_PROG, v->index);
    return tn_strndup(&p->arena, (const char *)tn_blob_bytes(&m->blob, s) + l->name.offset, l->name.size);
}

static void make_program(TernProfile *p, uint32_t i, const TnVariant *v) {
    Program *g = &p->programs[i];
    *g = (Program){.variant = v->index,
                   .rows_lo = v->prog.rows_lo,
                   .n = v->prog.n_launches,
                   .weight_bytes = v->plan.weight_bytes,
                   .launches = tn_alloc_array(&p->arena, v->prog.n_launches, sizeof(Launch))};
    for (uint32_t k = 0; k < g->n; k++)
        g->launches[k] = (Launch){.name = launch_name(p, p->session->model, v, &v->launches[k]),
                                  .busy = tn_alloc_array(&p->arena, p->workers, sizeof(uint64_t))};
}

static void attach(TernProfile *p, TernSession *s) {
    for (uint32_t i = 0; i < s->n_programs; i++) s->programs[i].stamps = p ? p->stamps : NULL;
    s->profile = p;
}

static const TnField profile_fields[] = {TN_FIELD(TernProfileOptions, events)};
static const TnShape profile_shape = TN_SHAPE(TernProfileOptions, profile_fields);
enum { EVENTS_MOST = 1 << 24 };

TernStatus tern_profile_create(TernSession *s, const TernProfileOptions *options, TernProfile **out,
                               TernError *err) {
    TernProfileOptions o = {0};
    tn_error_clear(err);
    if (!s) return tn_fail(err, TERN_ERR_INPUT, "a profile needs a session, it is NULL");
    TN_NEED(out, err);
    TN_TRY(tn_options_take(&profile_shape, options, &o, err));
    if (o.events > EVENTS_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "TernProfileOptions.events is %u, expected at most %d", o.events,
                       EVENTS_MOST);
    if (s->stepping) return tn_fail(err, TERN_ERR_INPUT, "a step of this session is under way");
    if (s->profile) return tn_fail(err, TERN_ERR_INPUT, "the session already has a profile");
    const TernModel *m = s->model;
    TernProfile *p = tn_xcalloc(1, sizeof *p);
    *p = (TernProfile){.session = s,
                       .workers = m->engine->workers(m->engine, s->pool),
                       .n = s->n_programs,
                       .cap_events = o.events};
    p->programs = tn_alloc_array(&p->arena, p->n, sizeof *p->programs);
    uint32_t most = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        make_program(p, i, s->programs[i].variant);
        if (p->programs[i].n > most) most = p->programs[i].n;
    }
    p->stamps = tn_alloc(&p->arena, (size_t)p->workers * tn_stamp_stride(most) * sizeof *p->stamps + 64);
    p->stamps = (TnStamp *)(((uintptr_t)p->stamps + 63) & ~(uintptr_t)63);
    p->last = tn_alloc_array(&p->arena, s->slots, sizeof *p->last);
    if (p->cap_events && !(p->events = calloc(p->cap_events, sizeof *p->events))) {
        size_t needed = p->cap_events;
        tern_profile_destroy(p);
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for %zu events of a profile", needed);
    }
    attach(p, s);
    tern_profile_reset(p);
    *out = p;
    return TERN_OK;
}

void tern_profile_destroy(TernProfile *p) {
    if (!p) return;
    attach(NULL, p->session);
    free(p->events);
    tn_arena_free(&p->arena);
    free(p);
}

void tern_profile_reset(TernProfile *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        Program *g = &p->programs[i];
        g->runs = g->time = g->idle = g->rest = g->held = g->attended = 0;
        memset(g->sym, 0, sizeof g->sym);
        for (uint32_t k = 0; k < g->n; k++) {
            Launch *l = &g->launches[k];
            l->calls = l->time = l->wait = l->slowest = l->busy_all = l->units = 0;
            memset(l->busy, 0, p->workers * sizeof *l->busy);
        }
    }
    p->n_events = 0;
    p->dropped = 0;
}

/* ---- around a run */

/* Counts the positions that attention reads: `held` counts those of a slot once a run, `attended` once a row. */
static void count_positions(TernProfile *p, Program *g, uint32_t rows) {
    const TernSession *s = p->session;
    for (uint32_t t = rows; t-- > 0;) { /* from the back: a slot's last row has its largest position */
        uint64_t positions = (uint64_t)s->input[TN_IN_POS][t] + 1, *last = &p->last[s->input[TN_IN_SLOT][t]];
        g->attended += positions;
        if (*last != p->run) g->held += positions;
        *last = p->run;
    }
}

void tn_profile_begin(TernProfile *p) {
    p->run_start = tn_clock_ns();
}

static void add_event(TernProfile *p, TernProfileEvent e) {
    if (p->n_events < p->cap_events)
        p->events[p->n_events++] = e;
    else
        p->dropped++;
}

/* Adds one launch of a run. `front` is when the launches before it ended; returns when this and those have ended. *wait is
 * the sum that gets the time without work before it. */
static uint64_t add_launch(TernProfile *p, uint32_t program, uint32_t i, uint64_t front, uint64_t **wait) {
    Program *g = &p->programs[program];
    Launch *l = &g->launches[i];
    uint64_t first = UINT64_MAX, last = 0, slowest = 0;
    for (uint32_t w = 0; w < p->workers; w++) {
        const TnStamp *at = &p->stamps[(size_t)w * tn_stamp_stride(g->n) + i];
        if (at->begin == 0) continue; /* no share */
        uint64_t busy = at->end - at->begin;
        l->busy[w] += busy;
        l->busy_all += busy;
        if (busy > slowest) slowest = busy;
        if (at->begin < first) first = at->begin;
        if (at->end > last) last = at->end;
        if (p->cap_events)
            add_event(p, (TernProfileEvent){at->begin, at->end, program, i, w,
                                            (uint32_t)p->session->sym[TN_ABI_T]});
    }
    if (last == 0) return front; /* its gate was closed */
    l->calls++;
    l->units += (uint64_t)tn_launch_units(&p->session->programs[program].launches[i], p->session->sym);
    l->slowest += slowest;
    if (first > front) **wait += first - front;
    if (last > front) l->time += last - (first > front ? first : front);
    *wait = &l->wait;
    return last > front ? last : front;
}

void tn_profile_end(TernProfile *p, uint32_t program, uint32_t rows) {
    uint64_t end = tn_clock_ns(), front = p->run_start;
    Program *g = &p->programs[program];
    uint64_t *wait = &g->idle; /* the sum that gets the next time without work */
    p->run++;
    count_positions(p, g, rows);
    for (int i = 0; i < TN_ABI_SYMS; i++) g->sym[i] += (uint64_t)p->session->sym[i];
    for (uint32_t i = 0; i < g->n; i++) front = add_launch(p, program, i, front, &wait);
    if (end > front) *wait += end - front;
    g->runs++;
    g->time += p->run_time = end - p->run_start;
    if (p->cap_events)
        add_event(p, (TernProfileEvent){p->run_start, end, program, UINT32_MAX, 0,
                                        (uint32_t)p->session->sym[TN_ABI_T]});
}

void tn_profile_chunk(TernProfile *p, uint32_t program, uint64_t from) {
    p->programs[program].rest += tn_clock_ns() - from - p->run_time;
}

/* ---- what was seen */

uint32_t tern_profile_workers(const TernProfile *p) {
    return p->workers;
}

uint32_t tern_profile_programs(const TernProfile *p) {
    return p->n;
}

void tern_profile_program(const TernProfile *p, uint32_t program, TernProfileProgram *out) {
    const Program *g = &p->programs[program];
    *out = (TernProfileProgram){.variant = g->variant,
                                .rows_lo = g->rows_lo,
                                .rows_hi = p->session->programs[program].rows_hi,
                                .n_launches = g->n,
                                .runs = g->runs,
                                .ns = g->time,
                                .idle_ns = g->idle,
                                .rest_ns = g->rest,
                                .weight_bytes = g->weight_bytes,
                                .held = g->held,
                                .attended = g->attended};
    memcpy(out->sym, g->sym, sizeof g->sym);
}

void tern_profile_launch(const TernProfile *p, uint32_t program, uint32_t launch, TernProfileLaunch *out) {
    const Launch *l = &p->programs[program].launches[launch];
    *out = (TernProfileLaunch){.name = l->name,
                               .calls = l->calls,
                               .ns = l->time,
                               .wait_ns = l->wait,
                               .slowest_ns = l->slowest,
                               .busy_all_ns = l->busy_all,
                               .busy_ns = l->busy,
                               .units = l->units};
}

const TernProfileEvent *tern_profile_events(const TernProfile *p, size_t *out_n, uint64_t *out_dropped) {
    *out_n = p->n_events;
    *out_dropped = p->dropped;
    return p->events;
}
