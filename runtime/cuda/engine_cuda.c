/* The engine of NVIDIA GPUs.
 *
 * Code is PTX text, which the driver compiles when a model is opened. An entry takes the addresses of its operands by value
 * and the address of the step's symbols; it returns at once if its gate is closed, and so does a CTA whose unit is not one
 * of this step. So a program is captured as one CUDA graph when a session is made, each launch with the largest grid that
 * it can need, and the same graph runs every step: a step is a copy of the inputs, a graph, copies of the rows asked for,
 * and one of the number of values that saturated.
 *
 * A graph has one launch after the other. With a profile attached, launches are started one by one between events. */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/cuda/cuda_engine.h"

/* ---- code */

static bool runs(const TnEngine *e, uint32_t level) {
    return tn_cuda_takes(&((const TnCudaEngine *)e)->device.facts, level);
}

static TernStatus find_entries(TnCudaDevice *d, void *module, const TnCode *code, TnHandle *handles,
                               TernError *err) {
    TnArena scratch = {0};
    TernStatus s = TERN_OK;
    for (uint32_t i = 0; i < code->n && s == TERN_OK; i++) {
        TnBlobRange name = code->exports[i].name;
        char *text = tn_strndup(&scratch, (const char *)code->section + name.offset, name.size);
        void *function = NULL;
        s = TN_CU(d, err, ModuleFunction, (&function, module, text));
        handles[i] = (TnHandle)function;
    }
    tn_arena_free(&scratch);
    return s;
}

/* Lets a function use as much shared memory as the device has: this is a limit, a launch says what it needs. */
static TernStatus allow_shared(TnCudaDevice *d, uint32_t n, const TnHandle *handles, TernError *err) {
    if (d->shared <= TN_CUDA_SHARED_PLAIN) return TERN_OK;
    for (uint32_t i = 0; i < n; i++)
        TN_TRY(TN_CU(d, err, FuncAttribute, ((void *)handles[i], TN_CUDA_FUNC_SHARED, (int)d->shared)));
    return TERN_OK;
}

static TernStatus load(TnEngine *engine, const TnCode *code, TnHandle *handles, TernError *err) {
    TnCudaEngine *e = (TnCudaEngine *)engine;
    TnCudaDevice *d = &e->device;
    void *module = NULL;
    TN_TRY(tn_cuda_enter(d, err));
    TernStatus s = tn_cuda_compile(d, (const char *)code->image, &module, err);
    if (s == TERN_OK) {
        TN_PUSH(e->modules, e->n_modules, e->cap_modules, module);
        s = find_entries(d, module, code, handles, err);
    }
    if (s == TERN_OK) s = allow_shared(d, code->n, handles, err);
    tn_cuda_leave(d);
    return s;
}

static uint32_t workers(const TnEngine *e, const TernPool *pool) {
    (void)e, (void)pool;
    return 1;
}

/* Kernels have shared memory in place of scratch. */
static bool scratch(const TnEngine *e, const TnVariant *v, const int64_t *sym_max, size_t *out_bytes,
                    size_t *out_code) {
    (void)e, (void)sym_max;
    *out_bytes = *out_code = 0;
    return v->plan.scratch == 0 && v->plan.scratch_page == 0;
}

/* ---- launches */

/* CTAs of a launch: units, and blocks of rows. */
typedef struct Grid {
    uint64_t x, y;
} Grid;

/* The largest value of a symbol in a step. */
static uint64_t largest(const TnProgram *p, uint32_t sym) {
    const TnMemory *m = p->memory;
    uint32_t most;
    switch (sym) {
    case TN_ABI_T:
        most = m->rows_most;
        break;
    case TN_ABI_H:
        most = m->hidden_most;
        break;
    case TN_ABI_R:
    case TN_ABI_K:
    case TN_ABI_L:
        most = m->wants_most;
        break;
    default: /* of the session */
        return (uint64_t)m->sym[sym];
    }
    return most < p->rows_hi ? most : p->rows_hi;
}

static uint64_t blocks_of(const TnProgram *p, uint32_t i, uint64_t rows) {
    uint32_t block = p->variant->launches[i].block;
    return block ? (rows + block - 1) / block : 1;
}

/* The most CTAs that launch i can need. */
static Grid largest_grid(const TnProgram *p, uint32_t i) {
    const TnRunLaunch *l = &p->launches[i];
    Grid g = {.x = (uint64_t)l->units, .y = 1};
    if (l->unit_sym != UINT32_MAX) g.x *= largest(p, l->unit_sym);
    if (l->gate_sym != UINT32_MAX) g.y = blocks_of(p, i, largest(p, l->gate_sym));
    return g;
}

/* What it needs in this step, or none. */
static Grid open_grid(const TnProgram *p, uint32_t i) {
    const TnRunLaunch *l = &p->launches[i];
    const int64_t *sym = p->memory->sym;
    if (!tn_launch_open(l, sym) || tn_launch_units(l, sym) <= 0) return (Grid){0};
    Grid g = {.x = (uint64_t)tn_launch_units(l, sym), .y = 1};
    if (l->gate_sym != UINT32_MAX) g.y = blocks_of(p, i, (uint64_t)sym[l->gate_sym]);
    return g;
}

static TernStatus check_launch(const TnCudaEngine *e, const TnProgram *p, uint32_t i, TernError *err) {
    enum { PARAMS_MOST = 4096 / 8 };
    const TnBlobLaunch *b = &p->variant->launches[i];
    const char *name = e->engine.name;
    Grid grid = largest_grid(p, i);
    if (grid.x == 0 || grid.x > INT32_MAX)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: launch %u has %llu units, expected 1 to 2^31 - 1",
                       name, i, (unsigned long long)grid.x);
    if (grid.y == 0 || grid.y > TN_CUDA_GRID_Y)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: launch %u has %llu blocks of rows, expected 1 to %d",
                       name, i, (unsigned long long)grid.y, TN_CUDA_GRID_Y);
    if (b->threads == 0 || b->shared > e->device.shared)
        return tn_fail(
            err, TERN_ERR_UNSUPPORTED,
            "%s: launch %u has %u threads that share %u bytes, expected some, and at most %u bytes", name, i,
            b->threads, b->shared, e->device.shared);
    if (b->n_operands >= PARAMS_MOST)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: launch %u has %u operands, expected fewer than %d",
                       name, i, b->n_operands, PARAMS_MOST);
    return TERN_OK;
}

static TernStatus start(TnCudaEngine *e, TnCudaSession *s, const TnProgram *p, uint32_t i, Grid grid,
                        TernError *err) {
    const TnRunLaunch *l = &p->launches[i];
    const TnBlobLaunch *b = &p->variant->launches[i];
    uint32_t n = 0;
    for (; n < b->n_operands; n++) s->params[n] = (void *)&l->args.ptr[n];
    s->params[n] = (void *)&l->args.sym;
    return TN_CU(&e->device, err, Launch,
                 ((void *)l->kernel, (unsigned)grid.x, (unsigned)grid.y, 1, b->threads, 1, 1, b->shared,
                  s->stream, s->params, NULL));
}

/* ---- graphs */

static TernStatus record(TnCudaEngine *e, TnCudaSession *s, const TnProgram *p, TernError *err) {
    for (uint32_t i = 0; i < p->n; i++) {
        TN_TRY(check_launch(e, p, i, err));
        TN_TRY(start(e, s, p, i, largest_grid(p, i), err));
    }
    return TERN_OK;
}

/* A capture that has begun must be ended, also after a failure. */
static TernStatus capture(TnCudaEngine *e, TnCudaSession *s, const TnProgram *p, void **out, TernError *err) {
    TnCudaDevice *d = &e->device;
    void *graph = NULL;
    TernError later;
    TN_TRY(TN_CU(d, err, CaptureBegin, (s->stream, TN_CUDA_CAPTURE_RELAXED)));
    TernStatus status = record(e, s, p, err);
    TernStatus ended = TN_CU(d, status == TERN_OK ? err : &later, CaptureEnd, (s->stream, &graph));
    if (status == TERN_OK) status = ended;
    if (status == TERN_OK) status = TN_CU(d, err, GraphInstantiate, (out, graph, 0));
    if (graph) d->cu.GraphDestroy(graph);
    return status;
}

/* ---- sessions */

static void free_session(TnCudaEngine *e, TnCudaSession *s) {
    const TnCuda *cu = &e->device.cu;
    if (tn_cuda_enter(&e->device, NULL) == TERN_OK) {
        if (s->stream) cu->StreamWait(s->stream); /* pages may still be under way */
        for (uint32_t i = 0; i < s->n; i++)
            if (s->graphs[i]) cu->GraphExecDestroy(s->graphs[i]);
        for (uint32_t i = 0; i < s->n_events; i++) cu->EventDestroy(s->events[i]);
        if (s->stream) cu->StreamDestroy(s->stream);
        tn_cuda_leave(&e->device);
    }
    free(s->graphs);
    free(s->params);
    free(s->events);
    free(s);
}

static TernStatus make_session(TnCudaEngine *e, TnCudaSession *s, TernError *err) {
    TN_TRY(tn_cuda_settle(e, err));
    TN_TRY(TN_CU(&e->device, err, StreamCreate, (&s->stream, TN_CUDA_STREAM_APART)));
    for (uint32_t i = 0; i < s->n; i++) TN_TRY(capture(e, s, &s->programs[i], &s->graphs[i], err));
    return TERN_OK;
}

static TernStatus bind(TnEngine *engine, TnMemory *m, TnProgram *programs, uint32_t n, TernError *err) {
    TnCudaEngine *e = (TnCudaEngine *)engine;
    uint32_t operands = 0;
    for (uint32_t i = 0; i < n; i++)
        if (programs[i].variant->prog.n_operands > operands) operands = programs[i].variant->prog.n_operands;
    TN_TRY(tn_cuda_enter(&e->device, err));
    TnCudaSession *s = tn_xcalloc(1, sizeof *s);
    *s = (TnCudaSession){.programs = programs,
                         .n = n,
                         .graphs = tn_xcalloc(n, sizeof *s->graphs),
                         .params = tn_xcalloc(operands + 1u, sizeof *s->params)};
    TernStatus status = make_session(e, s, err);
    tn_cuda_leave(&e->device);
    if (status == TERN_OK)
        m->own = s;
    else
        free_session(e, s);
    return status;
}

static void unbind(TnEngine *engine, TnMemory *m) {
    free_session((TnCudaEngine *)engine, m->own);
    m->own = NULL;
}

/* ---- runs */

static TernStatus make_events(TnCudaEngine *e, TnCudaSession *s, uint32_t n, TernError *err) {
    if (n <= s->n_events) return TERN_OK;
    s->events = tn_xrealloc(s->events, n * sizeof *s->events);
    for (; s->n_events < n; s->n_events++)
        TN_TRY(TN_CU(&e->device, err, EventCreate, (&s->events[s->n_events], 0)));
    return TERN_OK;
}

/* Runs the open launches with an event before the first and after each. */
static TernStatus run_timed(TnCudaEngine *e, TnCudaSession *s, TnProgram *p, TernError *err) {
    TnCudaDevice *d = &e->device;
    uint32_t n = 0;
    TN_TRY(make_events(e, s, p->n + 1, err));
    uint64_t begin = tn_clock_ns();
    TN_TRY(TN_CU(d, err, EventRecord, (s->events[n++], s->stream)));
    for (uint32_t i = 0; i < p->n; i++) {
        Grid grid = open_grid(p, i);
        p->stamps[i] = (TnStamp){0};
        if (grid.x == 0) continue;
        TN_TRY(start(e, s, p, i, grid, err));
        TN_TRY(TN_CU(d, err, EventRecord, (s->events[n++], s->stream)));
        p->stamps[i].begin = begin;
    }
    TN_TRY(TN_CU(d, err, StreamWait, (s->stream)));
    float ms = 0;
    for (uint32_t i = 0, at = 0; i < p->n; i++) {
        if (p->stamps[i].begin == 0) continue;
        p->stamps[i].begin = begin + (uint64_t)(ms * 1e6f);
        TN_TRY(TN_CU(d, err, EventElapsed, (&ms, s->events[0], s->events[++at])));
        p->stamps[i].end = begin + (uint64_t)(ms * 1e6f);
    }
    return TERN_OK;
}

static TernStatus run_on(TnCudaEngine *e, TnCudaSession *s, TnProgram *p, const TnAsked *asked,
                         TernError *err) {
    TnCudaDevice *d = &e->device;
    const TnMemory *m = p->memory;
    int64_t *saturated = &m->sym[TN_ABI_SATURATED];
    *saturated = 0;
    TN_TRY(TN_CU(d, err, ToDevice, (m->bases.inputs, m->sym, m->input_bytes, s->stream)));
    if (p->stamps)
        TN_TRY(run_timed(e, s, p, err));
    else
        TN_TRY(TN_CU(d, err, GraphLaunch, (s->graphs[p - s->programs], s->stream)));
    for (int k = 0; k < TN_OUT_COUNT; k++) {
        const TnOutput *o = &p->out[k];
        size_t first = asked->rows[k].first * o->stride, bytes = asked->rows[k].n * o->stride;
        if (o->staged && bytes)
            TN_TRY(TN_CU(d, err, ToHost, (o->staged + first, o->at + first, bytes, s->stream)));
    }
    if (m->cache.elem_bytes != 2) return TERN_OK; /* only values of f16 saturate */
    TnAddress counted = m->bases.inputs + TN_ABI_SATURATED * sizeof *saturated;
    return TN_CU(d, err, ToHost, (saturated, counted, sizeof *saturated, s->stream));
}

/* Waits also after a failure: what is still under way uses the session's memory. */
static TernStatus run(TnEngine *engine, TnProgram *p, const TnAsked *asked, TernError *err) {
    TnCudaEngine *e = (TnCudaEngine *)engine;
    TnCudaSession *s = p->memory->own;
    if (s->failed != TERN_OK) {
        TernStatus failed = s->failed;
        s->failed = TERN_OK;
        return tn_fail(err, failed, "%s", s->error.text);
    }
    TN_TRY(tn_cuda_enter(&e->device, err));
    TernError later;
    TernStatus status = run_on(e, s, p, asked, err);
    TernStatus ended = TN_CU(&e->device, status == TERN_OK ? err : &later, StreamWait, (s->stream));
    tn_cuda_leave(&e->device);
    return status == TERN_OK ? ended : status;
}

/* ---- the engine */

static void destroy(TnEngine *engine) {
    TnCudaEngine *e = (TnCudaEngine *)engine;
    if (tn_cuda_enter(&e->device, NULL) == TERN_OK) {
        for (size_t i = 0; i < e->n_modules; i++) e->device.cu.ModuleUnload(e->modules[i]);
        tn_cuda_leave(&e->device);
    }
    free(e->modules);
    tn_cuda_memory_close(e);
    tn_cuda_device_close(&e->device);
    free(e);
}

TernStatus tn_engine_cuda(const char *name, TnEngine **out, TernError *err) {
    TnCudaDevice device;
    TN_TRY(tn_cuda_device_open(name, &device, err));
    TnCudaEngine *e = tn_xcalloc(1, sizeof *e);
    e->device = device;
    e->engine = (TnEngine){.name = e->device.facts.device,
                           .levels = e->device.facts.levels,
                           .arch = TN_ARCH_PTX,
                           .coded = true,
                           .apart = true,
                           .runs = runs,
                           .load = load,
                           .workers = workers,
                           .scratch = scratch,
                           .bind = bind,
                           .unbind = unbind,
                           .run = run,
                           .close = destroy};
    tn_cuda_memory(e);
    *out = &e->engine;
    return TERN_OK;
}
