#include "runtime/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/cpus.h"
#include "runtime/base/os.h"
#include "runtime/base/status.h"
#include "runtime/base/options.h"

enum { LINE = 128, THREADS_MAX = 1024, SPINS_A_LOOK = 32 };
/* In seconds. SPIN_MOST is longer than the usual imbalance of a launch and far shorter than a time slice.
 * SPIN_CROWDED is for more workers than processors: there, a spinning worker keeps another from running. */
#define SPIN_MOST    100e-6
#define SPIN_CROWDED 4e-6
#define SPIN_LEAST   1e-6

typedef struct Worker {
    TernPool *pool;
    uint32_t index;
    bool started;
    pthread_t thread;
    double spin; /* seconds this worker spins before it parks; no other thread reads it */
} __attribute__((aligned(LINE))) Worker;

/* Words that different threads write at different times have cache lines of their own. */
struct TernPool {
    _Atomic uint32_t arrived __attribute__((aligned(LINE)));    /* workers at the current barrier */
    _Atomic uint32_t generation __attribute__((aligned(LINE))); /* barriers passed */
    _Atomic uint32_t epoch __attribute__((aligned(LINE)));      /* jobs begun */
    _Atomic uint32_t parked
        __attribute__((aligned(LINE))); /* threads that wait for `moved` or are about to */
    pthread_mutex_t lock;
    pthread_cond_t moved; /* generation or epoch has changed */
    TnPoolFn *fn;         /* the job; NULL: the workers must end */
    void *user;
    uint32_t n;
    double spin_most;
    atomic_flag busy;
    bool bound; /* the creating thread is bound; `before` is what it could run on until then */
    pthread_t binder;
    cpu_set_t before;
    Worker workers[];
};

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* yield is a no-op on most cores */
#endif
}

/* Waits until *word is no longer `old`. The clock is read only after the first spins, so a short wait costs no system
 * call. */
static void wait_change(Worker *w, _Atomic uint32_t *word, uint32_t old) {
    TernPool *p = w->pool;
    double end = 0;
    for (;;) {
        for (int i = 0; i < SPINS_A_LOOK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != old) {
                if (end != 0 && w->spin < p->spin_most) w->spin *= 2;
                return;
            }
            pause_briefly();
        }
        double now = tn_os_seconds();
        if (end == 0) end = now + w->spin;
        if (now >= end) break;
    }
    if (w->spin > SPIN_LEAST) w->spin /= 2;
    /* Either the waker sees us in `parked`, or we see its change, because both sides are sequentially consistent. */
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->parked, 1);
    while (atomic_load(word) == old) pthread_cond_wait(&p->moved, &p->lock);
    atomic_fetch_sub(&p->parked, 1);
    pthread_mutex_unlock(&p->lock);
}

/* An exchange, not a store: under qemu a store-release may pass the load that follows (its barrier stands before the store),
 * and a worker that parked just then slept for ever. x86 has one instruction for both. */
static void change(TernPool *p, _Atomic uint32_t *word, uint32_t value) {
    (void)atomic_exchange(word, value);
    if (atomic_load(&p->parked) == 0) return;
    pthread_mutex_lock(&p->lock); /* a thread holds the lock between its look at the word and its wait */
    pthread_cond_broadcast(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

void tn_pool_barrier(TernPool *p, uint32_t worker) {
    if (p->n == 1) return;
    uint32_t generation = atomic_load_explicit(&p->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) + 1 < p->n) {
        wait_change(&p->workers[worker], &p->generation, generation);
        return;
    }
    /* The others all wait for the change below, so none arrives at the next barrier before it. */
    atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
    change(p, &p->generation, generation + 1);
}

static void *work(void *arg) {
    Worker *w = arg;
    TernPool *p = w->pool;
    for (uint32_t epoch = 0;;) {
        wait_change(w, &p->epoch, epoch);
        epoch++; /* worker 0 begins no job before all have ended the last one */
        if (!p->fn) return NULL;
        p->fn(p->user, w->index);
        tn_pool_barrier(p, w->index);
    }
}

bool tn_pool_acquire(TernPool *p) {
    return !atomic_flag_test_and_set_explicit(&p->busy, memory_order_acquire);
}

void tn_pool_release(TernPool *p) {
    atomic_flag_clear_explicit(&p->busy, memory_order_release);
}

void tn_pool_run(TernPool *p, TnPoolFn *fn, void *user) {
    p->fn = fn;
    p->user = user;
    if (p->n > 1) change(p, &p->epoch, atomic_load_explicit(&p->epoch, memory_order_relaxed) + 1);
    fn(user, 0);
    tn_pool_barrier(p, 0);
}

static int bind(pthread_t thread, uint32_t cpu) {
    if (cpu >= CPU_SETSIZE) return EINVAL;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return pthread_setaffinity_np(thread, sizeof set, &set);
}

/* Binds worker 0 too; tern_pool_destroy undoes that. */
static TernStatus bind_all(TernPool *p, const TernPoolOptions *o, TernError *err) {
    p->binder = pthread_self();
    int unknown = pthread_getaffinity_np(p->binder, sizeof p->before, &p->before);
    if (unknown) /* then tern_pool_destroy could not restore them */
        return tn_fail(err, TERN_ERR_ENV, "cannot ask which processors the calling thread may use: %s",
                       strerror(unknown));
    p->bound = true;
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t cpu = o->cpus[i % o->n_cpus];
        int e = bind(i ? p->workers[i].thread : p->binder, cpu);
        if (e)
            return tn_fail(err, TERN_ERR_ENV, "cannot bind worker %u to processor %u: %s", i, cpu,
                           strerror(e));
    }
    return TERN_OK;
}

/* Signals belong to the application, so workers block all of them except faults. A fault is delivered to the thread that
 * causes it; if it were blocked there, it would end the process without calling the application's handler. */
static TernStatus start(TernPool *p, TernError *err) {
    sigset_t all, before;
    sigfillset(&all);
    static const int faults[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
    for (size_t f = 0; f < TN_COUNT(faults); f++) sigdelset(&all, faults[f]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = 0;
    uint32_t i;
    for (i = 1; i < p->n && !e; i++) {
        e = pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i]);
        p->workers[i].started = e == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e ? tn_fail(err, TERN_ERR_ENV, "cannot start worker %u of %u: %s", i - 1, p->n, strerror(e))
             : TERN_OK;
}

static const TnField pool_fields[] = {TN_FIELD(TernPoolOptions, threads), TN_FIELD(TernPoolOptions, cpus),
                                      TN_FIELD(TernPoolOptions, n_cpus)};
static const TnShape pool_shape = TN_SHAPE(TernPoolOptions, pool_fields);

TernStatus tern_pool_create(const TernPoolOptions *options, TernPool **out, TernError *err) {
    TernPoolOptions o = {0};
    tn_error_clear(err);
    TN_NEED(out, err);
    TN_TRY(tn_options_take(&pool_shape, options, &o, err));
    uint32_t n = o.threads ? o.threads : tn_os_threads();
    if (n > THREADS_MAX) {
        if (o.threads)
            return tn_fail(err, TERN_ERR_INPUT, "TernPoolOptions.threads is %u, expected at most %d", n,
                           THREADS_MAX);
        n = THREADS_MAX;
    }
    if (!o.cpus != !o.n_cpus)
        return tn_fail(err, TERN_ERR_INPUT,
                       o.cpus ? "TernPoolOptions.n_cpus is 0 although cpus are given"
                              : "TernPoolOptions.cpus is NULL although n_cpus is not 0");
    void *memory;
    size_t bytes = sizeof(TernPool) + n * sizeof(Worker);
    if (posix_memalign(&memory, LINE, bytes) != 0)
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for a pool of %u workers, %zu bytes requested", n,
                       bytes);
    memset(memory, 0, bytes);
    TernPool *p = memory;
    p->n = n;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->moved, NULL);
    atomic_flag_clear(&p->busy);
    p->spin_most = n > tn_os_threads() ? SPIN_CROWDED : SPIN_MOST;
    for (uint32_t i = 0; i < n; i++) {
        p->workers[i].pool = p;
        p->workers[i].index = i;
        p->workers[i].spin = p->spin_most;
    }
    TernStatus s = start(p, err);
    if (s == TERN_OK && o.cpus) s = bind_all(p, &o, err);
    if (s != TERN_OK) {
        tern_pool_destroy(p);
        return s;
    }
    *out = p;
    return TERN_OK;
}

void tern_pool_destroy(TernPool *p) {
    if (!p) return;
    p->fn = NULL;
    change(p, &p->epoch, atomic_load(&p->epoch) + 1);
    for (uint32_t i = 1; i < p->n; i++)
        if (p->workers[i].started) pthread_join(p->workers[i].thread, NULL);
    if (p->bound && pthread_equal(p->binder, pthread_self()))
        pthread_setaffinity_np(p->binder, sizeof p->before, &p->before);
    pthread_cond_destroy(&p->moved);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

uint32_t tern_pool_threads(const TernPool *p) {
    return p ? p->n : 0;
}
