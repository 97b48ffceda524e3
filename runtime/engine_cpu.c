/* The walker runs compiled code on the workers of a pool.
 *
 * Every worker walks the whole list of launches and does its share of the units of each. Seven eighths of the units are
 * dealt out in advance, the same share each time. A worker that has finished its share takes units from the last eighth,
 * a few at a time: cores that share memory and caches never run at the same speed, and a barrier waits for the slowest. Where
 * cores are unequal, or one has other work, more than an eighth is held back (see below). A launch of few units is dealt out
 * whole. Barriers are where the plan put them. Results do not depend on the split
 * (abi/kernel.h). */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"
#include "runtime/host.h"

/* ---- the last eighth
 *
 * TnRunLaunch.taken is run * 2^24 + how many of the last units have been taken. If the run in it is another one, none have
 * been taken; so nothing has to be reset. It hands over units and nothing else: other workers see what the units write
 * after the next barrier. */

enum { COUNT_BITS = 24 };

static inline int64_t last_units(int64_t units, int64_t n_workers, uint32_t held) {
    int64_t last = units / 8 * (1 + held);
    return n_workers > 1 && units >= 8 * n_workers && last < 1 << COUNT_BITS ? last : 0;
}

/* Takes a few of the `last` units from `first` on that no worker has taken; false if none are left. */
static inline bool claim_units(TnRunLaunch *l, uint64_t run, int64_t first, int64_t last, int64_t n_workers,
                               TnTile *tile) {
    int64_t most = last / (4 * n_workers) + 1, next, n;
    uint64_t seen = atomic_load_explicit(&l->taken, memory_order_relaxed);
    do {
        next = seen >> COUNT_BITS == run ? (int64_t)(seen & ((1 << COUNT_BITS) - 1)) : 0;
        n = last - next < most ? last - next : most;
        if (n <= 0) return false;
    } while (!atomic_compare_exchange_weak_explicit(&l->taken, &seen,
                                                    run << COUNT_BITS | (uint64_t)(next + n),
                                                    memory_order_relaxed, memory_order_relaxed));
    tile->lo = first + next;
    tile->hi = tile->lo + n;
    return true;
}

/* ---- unequal workers
 *
 * If the slowest worker takes hardly any of the last units, it came too late for them: what it was dealt is more than its
 * share. So another eighth is held back. If it takes nearly as many as the others, there is room to deal out more again. The
 * mean over some runs decides, as a single run may have been disturbed. */

enum { HELD_MOST = 6, LATE = 3 * TN_EVEN / 8, IN_TIME = -TN_EVEN / 8 };

typedef struct Claims {
    int64_t offered, taken; /* units, over a run */
} Claims;

static inline void note_claims(TnProgram *p, const Claims *c, int64_t n_workers) {
    if (!c->offered) return;
    int64_t part = c->taken * n_workers * TN_EVEN / c->offered;
    uint32_t mine = part < TN_EVEN ? (uint32_t)part : TN_EVEN;
    uint32_t seen = atomic_load_explicit(&p->least, memory_order_relaxed);
    while (mine < seen && !atomic_compare_exchange_weak_explicit(&p->least, &seen, mine, memory_order_relaxed,
                                                                 memory_order_relaxed)) {
    }
}

/* After a run. UINT32_MAX: nothing was left to take, so nothing is known. */
static void follow_speed(TnProgram *p) {
    uint32_t least = atomic_load_explicit(&p->least, memory_order_relaxed);
    if (least == UINT32_MAX) return;
    p->lag += (TN_EVEN / 2 - (int32_t)least - p->lag) / 4;
    if (p->lag >= LATE && p->held < HELD_MOST)
        p->held++, p->lag = 0;
    else if (p->lag <= IN_TIME && p->held > 0)
        p->held--, p->lag = 0;
}

/* Brings the rows of a list: from the file, which costs much less than a page fault for each. Where they are likely to be on the
 * disk, all are asked for first: they come together, not one after the other. */
static void bring(const TnProgram *p, TnRowList *list) {
    for (int64_t i = 0; p->scarce && i < list->n; i++)
        tn_os_advise_soon(list->row[i], (size_t)list->row_bytes);
    for (list->brought = 0; list->brought < list->n; list->brought++) {
        int64_t at = list->brought * list->row_bytes;
        if (at + list->row_bytes > list->room) break;
        if (!tn_file_read_at(p->file, list->row[list->brought], (size_t)list->row_bytes,
                             (uint8_t *)(list + 1) + at))
            break;
    }
}

/* Runs a tile unit by unit. Each is called again as long as it lists rows. */
static void run_listed(const TnProgram *p, const TnRunLaunch *l, TnTile *tile) {
    TnKernelFn *kernel = tn_host_kernel(l->kernel);
    TnRowList *list = tile->scratch;
    for (int64_t end = tile->hi; tile->lo < end; tile->lo++) {
        tile->hi = tile->lo + 1;
        tile->scratch_valid = TN_TILE_LISTS;
        do {
            list->n = 0;
            kernel(&l->args, tile);
            TN_CHECK(list->n >= 0 && list->n <= TN_ROWS_LISTED);
            bring(p, list);
            tile->scratch_valid = TN_TILE_LISTED;
        } while (list->n);
    }
}

static inline __attribute__((always_inline)) void run_share(const TnProgram *p, Claims *claims,
                                                            TnRunLaunch *l, const int64_t *sym,
                                                            uint32_t worker, int64_t n_workers, TnTile *tile,
                                                            TnStamp *stamp) {
    uint64_t run = p->run;
    int64_t units = tn_launch_units(l, sym), last = last_units(units, n_workers, p->held);
    int64_t dealt = units - last;
    tile->lo = dealt * worker / n_workers;
    tile->hi = dealt * (worker + 1) / n_workers;
    tile->scratch_valid = 0;
    claims->offered += last;
    bool any = tile->lo < tile->hi;
    if (!any && last) {
        any = claim_units(l, run, dealt, last, n_workers, tile);
        claims->taken += any ? tile->hi - tile->lo : 0;
    }
    if (stamp) stamp->begin = any ? tn_clock_ns() : 0;
    TnKernelFn *kernel = tn_host_kernel(l->kernel);
    while (any) {
        if (p->file && l->lists)
            run_listed(p, l, tile);
        else
            kernel(&l->args, tile);
        tile->scratch_valid = 1;
        any = last && claim_units(l, run, dealt, last, n_workers, tile);
        claims->taken += any ? tile->hi - tile->lo : 0;
        if (stamp && !any) stamp->end = tn_clock_ns();
    }
}

/* Does all of a worker's part. Whether a launch runs and whether a barrier is needed depend only on symbols, so all
 * workers decide alike. A barrier after a closed launch still ends the launches before it. If nothing ran since the last
 * barrier, there is no need for another. */
static inline __attribute__((always_inline)) void walk_with(TnProgram *p, uint32_t worker, TnStamp *stamps) {
    const TnMemory *m = p->memory;
    const int64_t *sym = m->sym, n_workers = tern_pool_threads(p->pool);
    TnTile tile = {.scratch = (void *)(m->bases.scratch + worker * m->scratch_bytes)};
    TnFloatEnv before = tn_floats_enter();
    Claims claims = {0};
    bool ran = false;
    for (TnRunLaunch *l = p->launches, *end = l + p->n; l < end; l++) {
        if (tn_launch_open(l, sym)) {
            run_share(p, &claims, l, sym, worker, n_workers, &tile, stamps ? &stamps[l - p->launches] : NULL);
            ran = true;
        } else if (stamps) {
            stamps[l - p->launches].begin = 0;
        }
        if (l->barrier && ran && l + 1 < end) { /* the end of the job is a barrier too */
            tn_pool_barrier(p->pool, worker);
            ran = false;
        }
    }
    tn_floats_leave(before);
    note_claims(p, &claims, n_workers);
}

static void walk(void *user, uint32_t worker) {
    walk_with(user, worker, NULL);
}

static void walk_timed(void *user, uint32_t worker) {
    TnProgram *p = user;
    walk_with(p, worker, p->stamps + (size_t)worker * tn_stamp_stride(p->n));
}

/* ---- the engine */

typedef struct Cpu {
    TnEngine engine;
    TnHostCode code;
} Cpu;

static bool runs(const TnEngine *e, uint32_t level) {
    (void)e;
    return tn_level_runs_here(level);
}

static TernStatus load(TnEngine *e, const TnCode *code, TnHandle *handles, TernError *err) {
    return tn_host_load(&((Cpu *)e)->code, code, handles, err);
}

static uint32_t workers(const TnEngine *e, const TernPool *pool) {
    (void)e;
    return tern_pool_threads(pool);
}

static bool scratch(const TnEngine *e, const TnVariant *v, const int64_t *sym_max, size_t *out_bytes,
                    size_t *out_code) {
    (void)e;
    *out_code = 0;
    return tn_host_code_scratch(v, sym_max, out_bytes);
}

static TernStatus run_program(TnEngine *e, TnProgram *p, const TnAsked *asked, TernError *err) {
    (void)e, (void)asked, (void)err;
    p->run++;
    atomic_store_explicit(&p->least, UINT32_MAX, memory_order_relaxed);
    tn_pool_run(p->pool, p->stamps ? walk_timed : walk, p);
    follow_speed(p);
    return TERN_OK;
}

static void destroy(TnEngine *e) {
    tn_host_unload(&((Cpu *)e)->code);
    free(e);
}

TernStatus tn_engine_cpu(TnEngine **out, TernError *err) {
    (void)err;
    Cpu *c = tn_xcalloc(1, sizeof *c);
    c->engine = (TnEngine){.name = "cpu",
                           .levels = tern_cpu_levels(),
                           .arch = TN_ARCH_HERE,
                           .coded = true,
                           .runs = runs,
                           .load = load,
                           .workers = workers,
                           .scratch = scratch,
                           .run = run_program,
                           .close = destroy};
    tn_host_memory(&c->engine);
    *out = &c->engine;
    return TERN_OK;
}
