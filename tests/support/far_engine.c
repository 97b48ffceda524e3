#include "support/far_engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCKS_MAX = 64, PAGE = 65536 /* of any machine */ };

typedef struct Far {
    TnEngine engine;
    TnEngine *inner;
    FarControl *control;
    pthread_mutex_t lock; /* protects all fields below, and the control */
    uint32_t open;        /* calls that use the memory now */
    struct {
        uint8_t *at;
        size_t bytes;
    } blocks[BLOCKS_MAX];
    uint32_t n;
} Far;

static size_t rounded(size_t bytes) {
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void protect(Far *f, int prot) {
    for (uint32_t i = 0; i < f->n; i++)
        if (mprotect(f->blocks[i].at, rounded(f->blocks[i].bytes), prot)) abort();
}

static void enter(Far *f) {
    pthread_mutex_lock(&f->lock);
    if (f->open++ == 0) protect(f, PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&f->lock);
}

static void leave(Far *f) {
    pthread_mutex_lock(&f->lock);
    if (--f->open == 0) protect(f, PROT_NONE);
    pthread_mutex_unlock(&f->lock);
}

/* Counts `what` up and `fails` down; true if this call must fail. */
static bool count(Far *f, uint32_t *what, uint32_t *fails) {
    pthread_mutex_lock(&f->lock);
    if (what) ++*what;
    bool now = fails && *fails && --*fails == 0;
    pthread_mutex_unlock(&f->lock);
    return now;
}

static bool runs(const TnEngine *e, uint32_t level) {
    const Far *f = (const Far *)e;
    if (f->control->only_level && level != f->control->only_level) return false;
    return f->inner->runs(f->inner, level);
}

static TernStatus load(TnEngine *e, const TnCode *code, TnHandle *handles, TernError *err) {
    Far *f = (Far *)e;
    return f->inner->load(f->inner, code, handles, err);
}

/* ---- memory */

static TernStatus allocate(TnEngine *e, size_t bytes, bool huge, TnAddress *out, TernError *err) {
    (void)huge;
    Far *f = (Far *)e;
    if (count(f, NULL, &f->control->fail_allocate))
        return tn_fail(err, TERN_ERR_MEMORY, "far: no memory for %zu bytes", bytes);
    pthread_mutex_lock(&f->lock);
    if (f->n == BLOCKS_MAX) abort();
    int prot = f->open ? PROT_READ | PROT_WRITE : PROT_NONE;
    void *at = mmap(NULL, rounded(bytes), prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) abort();
    f->blocks[f->n].at = at;
    f->blocks[f->n++].bytes = bytes;
    f->control->blocks = f->n;
    pthread_mutex_unlock(&f->lock);
    *out = (TnAddress)at;
    return TERN_OK;
}

static void release(TnEngine *e, TnAddress at, size_t bytes) {
    Far *f = (Far *)e;
    pthread_mutex_lock(&f->lock);
    uint32_t i = 0;
    while (i < f->n && (TnAddress)f->blocks[i].at != at) i++;
    if (i == f->n || f->blocks[i].bytes != bytes || munmap(f->blocks[i].at, rounded(bytes))) abort();
    f->blocks[i] = f->blocks[--f->n];
    f->control->blocks = f->n;
    pthread_mutex_unlock(&f->lock);
}

static TernStatus upload(TnEngine *e, TnAddress to, const void *from, size_t bytes, TernError *err) {
    Far *f = (Far *)e;
    if (count(f, &f->control->uploads, &f->control->fail_upload))
        return tn_fail(err, TERN_ERR_ENV, "far: cannot upload %zu bytes", bytes);
    enter(f);
    memcpy((void *)to, from, bytes);
    leave(f);
    return TERN_OK;
}

static void copy_page(TnEngine *e, TnMemory *m, int32_t to, int32_t from) {
    Far *f = (Far *)e;
    count(f, &f->control->copies, NULL);
    enter(f);
    f->inner->copy_page(f->inner, m, to, from);
    leave(f);
}

static void clear_page(TnEngine *e, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi) {
    Far *f = (Far *)e;
    count(f, &f->control->clears, NULL);
    enter(f);
    f->inner->clear_page(f->inner, m, page, lo, hi);
    leave(f);
}

static TernStatus read_page(TnEngine *e, TnMemory *m, int32_t page, void *to, TernError *err) {
    Far *f = (Far *)e;
    enter(f);
    TernStatus s = f->inner->read_page(f->inner, m, page, to, err);
    leave(f);
    return s;
}

static TernStatus write_page(TnEngine *e, TnMemory *m, int32_t page, const void *from, TernError *err) {
    Far *f = (Far *)e;
    if (count(f, &f->control->writes, &f->control->fail_write))
        return tn_fail(err, TERN_ERR_ENV, "far: cannot write a page");
    enter(f);
    TernStatus s = f->inner->write_page(f->inner, m, page, from, err);
    leave(f);
    return s;
}

static uint64_t saturated(TnEngine *e, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi) {
    Far *f = (Far *)e;
    enter(f);
    uint64_t n = f->inner->saturated(f->inner, m, page, lo, hi);
    leave(f);
    return n;
}

/* ---- programs */

static uint32_t workers(const TnEngine *e, const TernPool *pool) {
    const Far *f = (const Far *)e;
    return f->inner->workers(f->inner, pool);
}

static bool scratch(const TnEngine *e, const TnVariant *v, const int64_t *sym_max, size_t *out_bytes,
                    size_t *out_code) {
    const Far *f = (const Far *)e;
    return f->inner->scratch(f->inner, v, sym_max, out_bytes, out_code);
}

/* The lock is held. */
static bool holds(const Far *f, TnAddress at) {
    for (uint32_t i = 0; i < f->n; i++)
        if (at - (TnAddress)f->blocks[i].at < f->blocks[i].bytes) return true;
    return false;
}

/* The lock is held. */
static uint32_t count_strangers(const Far *f, const TnProgram *p) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const TnLaunch *args = &p->launches[i].args;
        n += !holds(f, (TnAddress)args->sym);
        for (uint32_t k = 0; k < p->variant->launches[i].n_operands; k++)
            n += !holds(f, (TnAddress)args->ptr[k]);
    }
    return n;
}

static TernStatus bind(TnEngine *e, TnMemory *m, TnProgram *programs, uint32_t n, TernError *err) {
    Far *f = (Far *)e;
    if (count(f, NULL, &f->control->fail_bind)) return tn_fail(err, TERN_ERR_ENV, "far: cannot bind");
    pthread_mutex_lock(&f->lock);
    for (uint32_t i = 0; i < n; i++) f->control->strangers += count_strangers(f, &programs[i]);
    f->control->sessions++;
    pthread_mutex_unlock(&f->lock);
    m->own = m; /* any value will do; see unbind */
    return TERN_OK;
}

static void unbind(TnEngine *e, TnMemory *m) {
    Far *f = (Far *)e;
    if (m->own != m) abort();
    pthread_mutex_lock(&f->lock);
    f->control->sessions--;
    pthread_mutex_unlock(&f->lock);
}

static TernStatus run(TnEngine *e, TnProgram *p, const TnAsked *asked, TernError *err) {
    Far *f = (Far *)e;
    const TnMemory *m = p->memory;
    if (count(f, &f->control->runs, &f->control->fail_run))
        return tn_fail(err, TERN_ERR_ENV, "far: the device has fallen off");
    enter(f);
    memcpy((void *)m->bases.inputs, m->sym, m->input_bytes);
    TernStatus s = f->inner->run(f->inner, p, asked, err);
    for (int k = 0; s == TERN_OK && k < TN_OUT_COUNT; k++) {
        const TnOutput *o = &p->out[k];
        size_t first = asked->rows[k].first * o->stride, n = asked->rows[k].n * o->stride;
        if (o->staged && n) memcpy(o->staged + first, (const uint8_t *)o->at + first, n);
    }
    leave(f);
    return s;
}

static void destroy(TnEngine *e) {
    Far *f = (Far *)e;
    f->inner->close(f->inner);
    if (f->n) abort(); /* memory is released before */
    f->control->closed++;
    pthread_mutex_destroy(&f->lock);
    free(f);
}

TnEngine *far_engine(TnEngine *inner, FarControl *control) {
    Far *f = calloc(1, sizeof *f);
    if (!f) abort();
    pthread_mutex_init(&f->lock, NULL);
    f->inner = inner;
    f->control = control;
    f->engine = (TnEngine){.name = "far",
                           .levels = inner->levels,
                           .arch = inner->arch,
                           .coded = inner->coded,
                           .apart = true,
                           .runs = runs,
                           .load = load,
                           .allocate = allocate,
                           .release = release,
                           .upload = upload,
                           .copy_page = copy_page,
                           .clear_page = clear_page,
                           .read_page = read_page,
                           .write_page = write_page,
                           .saturated = saturated,
                           .workers = workers,
                           .scratch = scratch,
                           .bind = bind,
                           .unbind = unbind,
                           .run = run,
                           .close = destroy};
    return &f->engine;
}
