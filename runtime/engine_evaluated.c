/* Runs kernels by callback (TernKernels). The caller's thread runs every launch, each in one piece. A watch callback also
 * gets the code of each launch, to compare the two. */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/base/reader.h"
#include "runtime/cpu.h"
#include "runtime/host.h"

typedef struct Evaluated {
    TnEngine engine;
    TernKernels kernels;
    TnHostCode code; /* loaded only for a watch */
} Evaluated;

static bool runs(const TnEngine *e, uint32_t level) {
    return !e->coded || tn_level_runs_here(level);
}

static TernStatus load(TnEngine *e, const TnCode *code, TnHandle *handles, TernError *err) {
    return tn_host_load(&((Evaluated *)e)->code, code, handles, err);
}

static uint32_t workers(const TnEngine *e, const TernPool *pool) {
    (void)e, (void)pool;
    return 1;
}

static bool scratch(const TnEngine *e, const TnVariant *v, const int64_t *sym_max, size_t *out_bytes,
                    size_t *out_code) {
    enum { LINE = 64 };
    const TernKernels *k = &((const Evaluated *)e)->kernels;
    size_t called = 0, code;
    for (uint32_t i = 0; i < v->prog.n_launches; i++) {
        size_t bytes = k->scratch(k->user, v->index, i, sym_max);
        if (bytes > called) called = bytes;
    }
    *out_bytes = *out_code = called;
    return !e->coded || (tn_align_up(called, LINE, out_code) && tn_host_code_scratch(v, sym_max, &code) &&
                         tn_add(*out_code, code, out_bytes));
}

static void call_back(const TernKernels *k, const TnProgram *p, uint32_t i) {
    const TnRunLaunch *l = &p->launches[i];
    uint8_t *scratch = (uint8_t *)p->memory->bases.scratch;
    if (!k->watch) {
        k->run(k->user, p->variant->index, i, &l->args, scratch);
        return;
    }
    TernWatch w = {.variant = p->variant->index,
                   .launch = i,
                   .args = &l->args,
                   .code = (void (*)(void))tn_host_kernel(l->kernel),
                   .units = tn_launch_units(l, p->memory->sym),
                   .scratch = scratch,
                   .code_scratch = scratch + p->code_scratch};
    k->watch(k->user, &w);
}

static TernStatus evaluate_program(TnEngine *e, TnProgram *p, const TnAsked *asked, TernError *err) {
    (void)asked, (void)err;
    const int64_t *sym = p->memory->sym;
    TnFloatEnv before = tn_floats_enter();
    for (uint32_t i = 0; i < p->n; i++) {
        const TnRunLaunch *l = &p->launches[i];
        bool open = tn_launch_open(l, sym) && tn_launch_units(l, sym) > 0;
        if (p->stamps) p->stamps[i].begin = open ? tn_clock_ns() : 0;
        if (open) call_back(&((Evaluated *)e)->kernels, p, i);
        if (p->stamps && open) p->stamps[i].end = tn_clock_ns();
    }
    tn_floats_leave(before);
    return TERN_OK;
}

static void destroy(TnEngine *e) {
    tn_host_unload(&((Evaluated *)e)->code);
    free(e);
}

TernStatus tn_engine_evaluated(const TernKernels *kernels, TnEngine **out, TernError *err) {
    if (!kernels->run || !kernels->scratch)
        return tn_fail(err, TERN_ERR_INPUT, "TernKernels.%s is NULL, expected a function",
                       kernels->run ? "scratch" : "run");
    Evaluated *v = tn_xcalloc(1, sizeof *v);
    v->kernels = *kernels;
    v->engine = (TnEngine){.name = "evaluated",
                           .levels = tern_cpu_levels(),
                           .arch = TN_ARCH_HERE,
                           .coded = kernels->watch != NULL,
                           .runs = runs,
                           .load = load,
                           .workers = workers,
                           .scratch = scratch,
                           .run = evaluate_program,
                           .close = destroy};
    tn_host_memory(&v->engine);
    *out = &v->engine;
    return TERN_OK;
}
