/* Launches: CTAs and warps in an order by seed, and barriers of CTAs. */
#include "support/ptx_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MOST = 1024, SHARED_MOST = 227 * 1024, SHARED_MOST_SM_80 = 163 * 1024, SLICE = 1 << 14 };

struct PtxMachine {
    struct PtxPieces *pieces;
    PtxCta *slots;
    uint32_t n_slots, launches;
    PtxCount count;
    uint32_t wrong; /* a row; TN_PX_ROWS: none */
    char line[PTX_LINE];
};

struct PtxPieces *ptx_pieces(PtxMachine *m) {
    return m->pieces;
}

PtxMachine *ptx_machine_new(uint64_t bytes) {
    PtxMachine *m = calloc(1, sizeof *m);
    if (!m) abort();
    m->wrong = TN_PX_ROWS;
    m->pieces = ptx_pieces_new(bytes);
    return m;
}

static void free_warps(PtxCta *c) {
    for (uint32_t i = 0; c->warps && i < THREADS_MOST / 32; i++) free(c->warps[i].late);
    free(c->warps);
}

void ptx_machine_free(PtxMachine *m) {
    if (!m) return;
    for (uint32_t i = 0; i < m->n_slots; i++) {
        PtxCta *c = &m->slots[i];
        free_warps(c);
        free(c->file);
        free(c->written);
        free(c->shared);
        free(c->reads);
        free(c->writes);
    }
    free(m->slots);
    ptx_pieces_free(m->pieces);
    free(m);
}

PtxCount ptx_machine_count(const PtxMachine *m) {
    return m->count;
}

/* ---- order */

static uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* 0 .. n-1 in an order that the seed decides; seed 0: rising. */
static void permute(uint32_t *order, uint32_t n, uint64_t *seed) {
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (uint32_t i = n; *seed && i > 1; i--) {
        uint32_t k = next_random(seed) % i, t = order[k];
        order[k] = order[i - 1];
        order[i - 1] = t;
    }
}

/* ---- CTAs */

static void *room(void *old, uint64_t have, uint64_t need, size_t size) {
    if (need <= have) return old;
    free(old);
    void *p = aligned_alloc(64, (need * size + 63) / 64 * 64);
    if (!p) abort();
    return p;
}

/* Gives a slot what CTAs of this launch need. */
static void prepare(PtxCta *c, const PtxRun *run) {
    const PtxBody *b = run->body;
    uint32_t warps = (run->launch->threads + 31) / 32;
    uint64_t words = (uint64_t)b->words * warps,
             rows = (b->words / PTX_ROW + 2 * (uint64_t)b->predicates) * warps;
    uint64_t shared = (uint64_t)run->launch->shared + 16;
    if (!c->warps && !(c->warps = calloc(THREADS_MOST / 32, sizeof *c->warps))) abort();
    c->file = room(c->file, c->room_words, words, 4);
    c->written = room(c->written, c->room_rows, rows + b->predicates * (uint64_t)warps, 4);
    if (c->room_words < words) c->room_words = words;
    if (c->room_rows < rows + b->predicates * (uint64_t)warps)
        c->room_rows = rows + b->predicates * (uint64_t)warps;
    if (shared > c->room_shared || c->serial >= PTX_ANY_CTA - 1) {
        uint64_t n = shared > c->room_shared ? shared : c->room_shared;
        c->shared = room(c->shared, 0, n, 1);
        c->reads = room(c->reads, 0, n / 4 + 1, 8);
        c->writes = room(c->writes, 0, n, 8);
        memset(c->shared, 0, n);
        memset(c->reads, 0, (n / 4 + 1) * 8);
        memset(c->writes, 0, n * 8);
        c->room_shared = n;
        c->serial = 0;
    }
}

static void fill_row(uint32_t *row, uint32_t value, uint32_t step) {
    for (uint32_t l = 0; l < PTX_ROW; l++) row[l] = value + step * l;
}

static void start_warp(PtxCta *c, PtxWarp *w, uint32_t i, const PtxRun *run) {
    const PtxBody *b = run->body;
    const PtxLaunch *l = run->launch;
    uint32_t rows = b->words / PTX_ROW;
    uint32_t left = l->threads - 32 * i, all = rows + 3 * b->predicates;
    PtxLate *late = w->late;
    uint32_t late_room = w->late_room;
    *w = (PtxWarp){.number = i, .lanes = left >= 32 ? UINT32_MAX : (1u << left) - 1, .parts = 1};
    w->late = late;
    w->late_room = late_room;
    w->file = c->file + (uint64_t)i * b->words;
    w->written = c->written + (uint64_t)i * all;
    w->predicate = w->written + rows;
    w->predicate_written = w->predicate + b->predicates;
    memset(w->written, 0, all * sizeof *w->written);
    for (uint32_t s = 0; s < TN_PX_SPECIALS; s++) w->written[s] = UINT32_MAX;
    w->part[0] = (PtxPart){0, w->lanes};
    w->since = c->since;
    fill_row(w->file + ptx_special_place(TN_PX_tid), 32 * i, 1);
    fill_row(w->file + ptx_special_place(TN_PX_ntid), l->threads, 0);
    fill_row(w->file + ptx_special_place(TN_PX_ctaid), c->id % l->grid, 0);
    fill_row(w->file + ptx_special_place(TN_PX_ctaid_y), c->id / l->grid, 0);
    fill_row(w->file + ptx_special_place(TN_PX_nctaid), l->grid, 0);
    fill_row(w->file + ptx_special_place(TN_PX_laneid), 0, 1);
}

static void start(PtxCta *c, uint32_t id, const PtxRun *run) {
    c->id = id;
    c->serial++;
    c->now = c->since = 1;
    c->n = (run->launch->threads + 31) / 32;
    c->alive = true;
    for (uint32_t i = 0; i < c->n; i++) start_warp(c, &c->warps[i], i, run);
}

static bool fails_at(PtxRun *run, uint32_t line, const PtxWarp *w, uint32_t *out_warp, const char *text) {
    run->fault_line = line;
    *out_warp = w->number;
    return ptx_fails(run, (uint32_t)__builtin_ctz(w->lanes), "%s", text);
}

/* Lets the warps go on if all of them are at a barrier. False: it is not one that all of them share. */
static bool meet(PtxRun *run, PtxCta *c, uint32_t *out_warp) {
    uint32_t at = 0, ended = 0;
    const PtxWarp *waits = NULL, *gone = NULL;
    for (uint32_t i = 0; i < c->n; i++) {
        at += c->warps[i].state == PTX_AT_BARRIER;
        ended += c->warps[i].state == PTX_ENDED;
        if (c->warps[i].state == PTX_AT_BARRIER) waits = &c->warps[i];
        if (c->warps[i].state == PTX_ENDED) gone = &c->warps[i];
    }
    if (ended == c->n) c->alive = false;
    if (!at || at + ended < c->n) return true;
    if (gone)
        return fails_at(run, waits->barrier_line, gone, out_warp,
                        "the thread ended, but others wait at a barrier");
    for (uint32_t i = 0; i < c->n; i++) {
        PtxWarp *w = &c->warps[i];
        if (w->barrier_line != waits->barrier_line)
            return fails_at(run, w->barrier_line, w, out_warp, "other threads wait at another barrier");
    }
    if (c->now >= PTX_MOMENTS - 64)
        return fails_at(run, waits->barrier_line, waits, out_warp, "too many barriers for the machine");
    c->since = ++c->now;
    for (uint32_t i = 0; i < c->n; i++) {
        c->warps[i].state = PTX_READY;
        c->warps[i].since = c->since;
    }
    return true;
}

/* Every warp of a CTA for a while, or until it waits. False: a fault, of a lane of *out_warp. */
static bool turn(PtxRun *run, PtxCta *c, uint64_t *seed, uint32_t *out_warp) {
    uint32_t order[THREADS_MOST / 32];
    permute(order, c->n, seed);
    for (uint32_t i = 0; i < c->n; i++) {
        PtxWarp *w = &c->warps[order[i]];
        if (w->state != PTX_READY) continue;
        *out_warp = w->number;
        ptx_warp_run(run, c, w, *seed ? 64 + next_random(seed) % SLICE : SLICE);
        if (w->state == PTX_FAULTY) return false;
        if (!run->left) return ptx_fails(run, 0, "the launch does not end");
    }
    return meet(run, c, out_warp);
}

/* ---- launches */

static const char *refuse(PtxMachine *m, const PtxLaunch *l, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static const char *refuse(PtxMachine *m, const PtxLaunch *l, const char *format, ...) {
    va_list ap;
    int n = snprintf(m->line, sizeof m->line, "%s: ", l->entry);
    va_start(ap, format);
    vsnprintf(m->line + n, sizeof m->line - (size_t)n, format, ap);
    va_end(ap);
    return m->line;
}

/* CTAs of a launch. */
static uint32_t ctas(const PtxLaunch *l) {
    return l->grid * (l->grid_y ? l->grid_y : 1);
}

static const char *check(PtxMachine *m, const PtxModule *module, const PtxLaunch *l) {
    const PtxBody *b = ptx_body_find(module, l->entry);
    uint32_t shared = module->target >= 90 ? SHARED_MOST : SHARED_MOST_SM_80;
    if (!b) return refuse(m, l, "the module has no such entry");
    if (!l->grid || l->grid > INT32_MAX || l->grid_y > 65535 || (uint64_t)l->grid * l->grid_y > INT32_MAX)
        return refuse(m, l, "a grid of %u CTAs by %u", l->grid, l->grid_y);
    if (!l->threads || l->threads > b->threads_most)
        return refuse(m, l, "%u threads, expected 1 to %u", l->threads, b->threads_most);
    if (l->shared > shared)
        return refuse(m, l, "%u bytes of shared memory, expected at most %u", l->shared, shared);
    if (l->param_bytes != b->param_bytes)
        return refuse(m, l, "%zu bytes of parameters, expected %u", l->param_bytes, b->param_bytes);
    return NULL;
}

static const char *describe(PtxMachine *m, const PtxRun *run, const PtxCta *c, uint32_t warp) {
    int len;
    const char *text = ptx_line_text(run->module, run->fault_line, &len);
    return refuse(m, run->launch, "CTA %u, thread %u, line %u (%.*s): %s", c->id, warp * 32 + run->fault.lane,
                  run->fault_line, len > 100 ? 100 : len, text, run->fault.text);
}

/* Runs all CTAs, `alive` at once. NULL or a line. */
static const char *run_ctas(PtxRun *run, const uint32_t *order, uint32_t alive, uint64_t *seed) {
    PtxMachine *m = run->m;
    uint32_t started = 0, living = 0, warp = 0;
    for (uint32_t i = 0; i < alive; i++) m->slots[i].alive = false;
    do {
        living = 0;
        for (uint32_t i = 0; i < alive; i++) {
            PtxCta *c = &m->slots[i];
            if (!c->alive && started < ctas(run->launch)) {
                prepare(c, run);
                start(c, order[started++], run);
            }
            if (c->alive && !turn(run, c, seed, &warp)) return describe(m, run, c, warp);
            living += c->alive;
        }
    } while (living || started < ctas(run->launch));
    return NULL;
}

bool ptx_machine_plant(PtxMachine *m, const char *row) {
    static const char *const names[] = {
#define PTX(name, ...) #name,
#include "codegen/ptx/ptx.def"
#undef PTX
    };
    m->wrong = 0;
    while (m->wrong < TN_PX_ROWS && strcmp(names[m->wrong], row) != 0) m->wrong++;
    return m->wrong < TN_PX_ROWS;
}

const char *ptx_launch(PtxMachine *m, const PtxModule *module, const PtxLaunch *launch) {
    const char *fault = check(m, module, launch);
    if (fault) return fault;
    uint64_t limit = launch->limit ? launch->limit : (uint64_t)1 << 36, seed = launch->seed;
    uint32_t alive = launch->alive ? launch->alive : 1;
    if (alive > ctas(launch)) alive = ctas(launch);
    if (alive > m->n_slots) {
        m->slots = realloc(m->slots, alive * sizeof *m->slots);
        if (!m->slots) abort();
        memset(m->slots + m->n_slots, 0, (alive - m->n_slots) * sizeof *m->slots);
        m->n_slots = alive;
    }
    PtxRun *run = calloc(1, sizeof *run);
    uint32_t *order = malloc(ctas(launch) * sizeof *order);
    if (!run || !order) abort();
    *run = (PtxRun){.m = m, .module = module, .launch = launch, .left = limit};
    run->body = ptx_body_find(module, launch->entry);
    run->wrong = m->wrong;
    run->number = ++m->launches;
    run->alone = alive > 1;
    permute(order, ctas(launch), &seed);
    fault = run_ctas(run, order, alive, &seed);
    m->count.launches++;
    m->count.warp_instructions += limit - run->left;
    m->count.lane_instructions += run->lane_instructions;
    free(order);
    free(run);
    return fault;
}
