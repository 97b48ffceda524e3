/* Times a planned kernel by itself, on memory like that of a step.
 *
 * Weights must come from memory, as they do if a model is larger than the caches. So copies of the kernel's matrix fill
 * a region of four last-level caches, and every launch takes the next copy. Where memory is slow to come, as in some virtual
 * machines, the region is what can be filled in fill_seconds, since the time of tuning is bounded, and grows with each kernel.
 * (Such a machine often has a part of the cache that it states.)
 *
 * A sample is a row of launches that fills some milliseconds. Each launch is cut into equal shares. (The runtime hands out the
 * last eighth as workers come; over many launches that makes no difference.) If one launch takes longer, a sample runs a window
 * of its units, and the window moves on from sample to sample. The time is that of one launch over all columns, so that two
 * benches can be compared.
 *
 * Values are made up: weights and activations have both signs, so that gates are open half of the time, as in a model. Where
 * settings differ in their distances of columns, three quarters of the activations are 0, or columns would not be read. The
 * inputs of a step (positions, slots, tables, caches) are those of the differential check.
 *
 * The bench has threads of its own, since the runtime's pool belongs to a layer that code generation does not know. The time
 * to wake them is not in a sample: they meet before its first launch and after its last one, without sleeping. */
#include "codegen/tune.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "codegen/check.h"
#include "runtime/base/os.h"
#include "runtime/base/reader.h"

enum {
    OPERANDS = 64,
    MANY_ROWS = TN_STEP_PAGES * TN_PAGE, /* a few dozen do not use panels, even where a kernel has them */
    WINDOW = 4096
};
static const double sample_seconds = 0.004, fill_seconds = 0.3;
static const size_t fill_least = (size_t)64 << 20, fill_piece = (size_t)8 << 20;

typedef struct Bench Bench;
typedef struct Worker {
    Bench *b;
    uint32_t index;
    pthread_t thread;
    uint64_t meetings; /* that it came to */
} Worker;

typedef struct Code {
    TnKernelFn *fn;
    int64_t units, grain;
} Code;

struct Bench {
    uint32_t threads;
    bool huge;
    Worker *workers;
    uint32_t started;
    pthread_mutex_t gate;   /* held until the number of workers is known */
    pthread_barrier_t turn; /* begins a sample */
    atomic_ullong met;      /* arrivals of all workers at all meetings */
    bool end;
    size_t region; /* bytes of weights that the launches go through, at most */

    uint8_t *weights;            /* the largest region of the kernels so far */
    size_t weights_bytes, ready; /* ready: bytes that are filled, for one encoding */
    TnEnc filled;

    /* the open kernel */
    int64_t sym[TN_SYM_COUNT];
    void *ptr[OPERANDS];
    size_t bytes[OPERANDS]; /* size of ptr[i]; 0: not owned */
    uint32_t n, weight;     /* number of operands; index of the matrix */
    size_t copy, copies;    /* bytes from one copy to the next; number of copies */
    int64_t columns;        /* that the units go over */
    int64_t window, wide;   /* columns of a launch, 0: all; columns over which the window moves */
    void *image;
    size_t image_bytes;
    Code *code;
    void **scratch; /* one for each worker */
    size_t scratch_bytes;

    /* the current sample */
    const Code *run;
    uint32_t launches;
    size_t next;      /* next copy */
    int64_t next_col; /* first column of the window */
};

/* ---- Workers */

static void launches(Bench *b, uint32_t index) {
    void *ptr[OPERANDS];
    memcpy(ptr, b->ptr, b->n * sizeof *ptr);
    TnLaunch launch = {ptr, b->sym};
    const Code *c = b->run;
    int64_t first = b->window ? b->next_col / c->grain : 0,
            units = b->window ? b->window / c->grain : c->units;
    for (uint32_t i = 0; i < b->launches; i++) {
        ptr[b->weight] = (uint8_t *)b->ptr[b->weight] + (b->next + i) % b->copies * b->copy;
        TnTile tile = {.lo = first + units * index / b->threads,
                       .hi = first + units * (index + 1) / b->threads,
                       .scratch = b->scratch[index]};
        if (tile.lo < tile.hi) c->fn(&launch, &tile);
    }
}

/* Waits until all workers have come. */
static void meet(Bench *b, Worker *w) {
    uint64_t all = ++w->meetings * b->threads;
    atomic_fetch_add(&b->met, 1);
    while (atomic_load(&b->met) < all) sched_yield();
}

static void *work(void *arg) {
    Worker *w = arg;
    pthread_mutex_lock(&w->b->gate);
    pthread_mutex_unlock(&w->b->gate);
    for (;;) {
        pthread_barrier_wait(&w->b->turn);
        if (w->b->end) return NULL;
        meet(w->b, w);
        launches(w->b, w->index);
        meet(w->b, w);
    }
}

static double sample(void *user, uint32_t setting) {
    Bench *b = user;
    b->run = &b->code[setting];
    pthread_barrier_wait(&b->turn);
    meet(b, b->workers);
    double start = tn_os_seconds();
    launches(b, 0);
    meet(b, b->workers);
    double seconds = tn_os_seconds() - start;
    b->next = (b->next + b->launches) % b->copies;
    seconds /= b->launches;
    if (!b->window) return seconds;
    b->next_col = b->next_col + 2 * b->window <= b->wide ? b->next_col + b->window : 0;
    int64_t done = b->window / b->run->grain * b->run->grain; /* columns of its whole units */
    return seconds * (double)b->columns / (double)done;
}

/* ---- Memory */

static void fill(const TnType *t, void *data, size_t bytes) {
    uint64_t *p = data, z = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < bytes / 8; i++) {
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        uint64_t v = z;
        switch (t->enc) {
        case TN_ENC_p64:
        case TN_ENC_b64: /* codes 0, 1 and 2 */
            v ^= v & v >> 1 & 0x5555555555555555u;
            break;
        case TN_ENC_f32: /* sizes of 1/32 to 1/16, either sign */
            v = (v & 0x807fffff807fffffu) | 0x3d0000003d000000u;
            break;
        case TN_ENC_bf16:
            v = (v & 0x807f807f807f807fu) | 0x3d003d003d003d00u;
            break;
        case TN_ENC_f16:
            v = (v & 0x83ff83ff83ff83ffu) | 0x2800280028002800u;
            break;
        case TN_ENC_i32:
            v = 0;
            break;
        default: /* codes of either sign; heads are set below */
            break;
        }
        p[i] = v;
    }
    memset(p + bytes / 8, 0, bytes % 8);
}

static void set_floats(void *data, size_t n, float f) {
    for (size_t i = 0; i < n; i++) memcpy((char *)data + 4 * i, &f, 4);
}

/* Makes the codes of q8g rows valid: scales, sums, and codes small enough for the sums. */
static void fill_groups(const TnType *t, const int64_t *sym, void *data) {
    size_t row = tn_row_bytes(t), part = tn_q8g_part(t), groups = (size_t)tn_type_row_scales(t);
    for (int64_t r = 0; r < tn_type_rows(t, sym); r++) {
        int8_t *at = (int8_t *)data + (size_t)r * row, *codes = at + 2 * part;
        int32_t *sum = (int32_t *)(void *)(at + part);
        memset(at, 0, 2 * part);
        set_floats(at, groups, 0x1p-7f);
        for (size_t i = 0; i < groups * t->group; i++) sum[i / t->group] += codes[i] = (int8_t)(codes[i] / 2);
    }
}

/* Leaves one of `every` elements, here and there, and makes the others 0. */
static void thin_out(void *data, size_t n, size_t size, uint32_t every) {
    uint64_t z = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < n; i++) {
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        if (z % every) memset((char *)data + i * size, 0, size);
    }
}

/* Fills a value that another kernel would have made. one_of: of that many elements of f32 or q8 rows one is not 0. */
static void fill_value(const TnType *t, const int64_t *sym, void *data, size_t bytes, uint32_t one_of) {
    fill(t, data, bytes);
    if (t->enc == TN_ENC_f32) thin_out(data, bytes / 4, 4, one_of);
    TnEncKind kind = tn_encs[t->enc].kind;
    if (kind == TN_Q8_GROUPS) {
        fill_groups(t, sym, data);
        return;
    }
    if (kind != TN_Q8 && kind != TN_LIMBS) return;
    size_t row = tn_row_bytes(t), codes = kind == TN_Q8 ? TN_Q8_HEAD : TN_Q14_HEAD;
    for (int64_t r = 0; r < tn_type_rows(t, sym); r++) {
        int8_t *at = (int8_t *)data + (size_t)r * row;
        int32_t sum = 0;
        thin_out(at + codes, row - codes, 1, one_of);
        for (size_t i = codes; i < row; i++) sum += at[i] = (int8_t)(at[i] / 2);
        memset(at, 0, codes);
        set_floats(at, 1, 0x1p-7f);
        memcpy(at + 4, &sum, 4);
        if (kind == TN_LIMBS) set_floats(at + 12, 2, 1.0f);
    }
}

/* Fills the region on to `bytes`, or less if that takes too long. */
static void fill_weights(Bench *b, const TnType *t, size_t bytes) {
    double start = tn_os_seconds();
    if (b->filled != t->enc) b->ready = 0;
    b->filled = t->enc;
    while (b->ready < bytes && (b->ready < fill_least || tn_os_seconds() - start < fill_seconds)) {
        size_t piece = bytes - b->ready < fill_piece ? bytes - b->ready : fill_piece;
        fill(t, b->weights + b->ready, piece);
        b->ready += piece;
    }
}

static TernStatus map_weights(Bench *b, const TnType *t, TernError *err) {
    size_t one = tn_type_bytes(t, NULL), tail = tn_tail_bytes(t);
    b->copy = tn_round_up(one, 64);
    TN_CHECK(b->copy > 0);
    b->copies = b->copy < b->region ? b->region / b->copy + 1 : 1;
    size_t bytes = b->copy * b->copies + 64;
    if (bytes > b->weights_bytes) {
        tn_os_unmap(b->weights, b->weights_bytes);
        b->weights = NULL;
        b->weights_bytes = 0;
        TN_TRY(tn_os_map(bytes, b->huge, (void **)&b->weights, err));
        b->weights_bytes = bytes;
        b->filled = TN_ENC_COUNT;
        if (!b->huge) tn_os_advise_small(b->weights, bytes);
    }
    /* of a matrix larger than the region, only a part as large as the region is ever read */
    fill_weights(b, t, b->copies > 1 ? b->copy * b->copies : b->region < one ? b->region : one);
    if (b->copies > b->ready / b->copy) b->copies = b->ready > b->copy ? b->ready / b->copy : 1;
    for (size_t i = 0; tail && i < b->copies; i++)
        set_floats(b->weights + i * b->copy + one - tail, tail / 4, 0x1p-7f);
    return TERN_OK;
}

static TernStatus map_operands(Bench *b, const TnGraph *g, uint32_t kernel, uint32_t one_of, TernError *err) {
    TnRef ops[OPERANDS], root = g->kernels[kernel].root;
    uint32_t n_in;
    TnStep step;
    int64_t rows = g->rows_hi < MANY_ROWS ? g->rows_hi : MANY_ROWS;
    tn_step_open(&step, 1, rows);
    tn_step_next(&step, rows);
    memcpy(b->sym, step.sym, sizeof b->sym);
    b->sym[TN_R] = b->sym[TN_K] = b->sym[TN_H] = b->sym[TN_L] = 1; /* one row of a prompt needs the head */
    memcpy(step.sym, b->sym, sizeof b->sym);
    for (uint32_t i = 0; i < TN_SYM_COUNT; i++) /* a step may have had no such rows */
        if (step.max[i] < b->sym[i]) step.max[i] = b->sym[i];
    b->n = tn_kernel_operands(g, kernel, ops, &n_in);
    TernStatus s = TERN_OK;
    for (uint32_t i = 0; s == TERN_OK && i < b->n; i++) {
        const TnNode *node = &g->nodes[ops[i]];
        if (ops[i] == g->nodes[root].args[1]) {
            b->weight = i;
            s = map_weights(b, &node->type, err);
            b->ptr[i] = b->weights;
            continue;
        }
        size_t bytes = tn_round_up(tn_type_bytes(&node->type, step.max), 64) + 64;
        if ((s = tn_os_map(bytes, false, &b->ptr[i], err)) != TERN_OK) break;
        b->bytes[i] = bytes;
        if (node->op == TN_OP_input) {
            tn_step_fill(&step, g, ops[i], true, b->ptr[i]);
            tn_step_fill(&step, g, ops[i], false, b->ptr[i]);
        } else {
            fill_value(&node->type, b->sym, b->ptr[i], bytes, one_of);
        }
    }
    tn_step_close(&step);
    return s;
}

static TernStatus make_code(Bench *b, const TnGraph *g, uint32_t kernel, const TnSetting *s, uint32_t n,
                            TernError *err) {
    const TnTarget *target = tn_target_find(g->kernels[kernel].target);
    TnEmitJob *jobs = tn_xcalloc(n, sizeof *jobs);
    TnGraph **gs = tn_xcalloc(n, sizeof *gs);
    TnArena arena = {0};
    TnBuf image = {0};
    for (uint32_t i = 0; i < n; i++) {
        gs[i] = tn_graph_clone(g);
        tn_tune_set(gs[i], kernel, s[i]);
        jobs[i] = (TnEmitJob){.g = gs[i], .kernel = kernel, .symbol = tn_sprintf(&arena, "k%u", i)};
    }
    TernStatus st = target->emit(jobs, n, g->level, &image, NULL, NULL, err);
    if (st == TERN_OK) st = tn_os_map_code(image.data, image.len, &b->image, err);
    b->image_bytes = image.len;
    b->code = tn_xcalloc(n, sizeof *b->code);
    for (uint32_t i = 0; i < n; i++) {
        const TnKernel *k = &gs[i]->kernels[kernel];
        b->code[i] =
            (Code){(TnKernelFn *)(uintptr_t)((uintptr_t)b->image + jobs[i].entry), k->units, k->grain};
        size_t need = (size_t)(jobs[i].scratch + jobs[i].scratch_page * (uint64_t)b->sym[TN_P]);
        if (need > b->scratch_bytes) b->scratch_bytes = need;
        tn_graph_destroy(gs[i]);
    }
    tn_arena_free(&arena);
    tn_buf_free(&image);
    free(gs);
    free(jobs);
    for (uint32_t i = 0; st == TERN_OK && i < b->threads; i++)
        st = tn_os_map(b->scratch_bytes + 64, false, &b->scratch[i], err);
    return st;
}

static void close_kernel(void *user) {
    Bench *b = user;
    for (uint32_t i = 0; i < OPERANDS; i++) {
        if (b->bytes[i]) tn_os_unmap(b->ptr[i], b->bytes[i]);
        b->ptr[i] = NULL;
        b->bytes[i] = 0;
    }
    for (uint32_t i = 0; i < b->threads; i++) {
        tn_os_unmap(b->scratch[i], b->scratch_bytes + 64);
        b->scratch[i] = NULL;
    }
    tn_os_unmap(b->image, b->image_bytes);
    free(b->code);
    b->image = NULL;
    b->code = NULL;
    b->scratch_bytes = 0;
}

/* The columns that the kernel's units go over. */
static int64_t columns_of(const TnGraph *g, uint32_t kernel) {
    TnPart parts[TN_PARTS_MAX];
    int64_t columns = 0;
    uint32_t n = tn_kernel_parts(g, kernel, parts);
    for (uint32_t i = 0; i < n; i++) columns += parts[i].n;
    TN_CHECK(columns > 0);
    return columns;
}

/* Sets the number of launches in a sample, or the window, so that a sample takes sample_seconds. Estimates the time from the
 * best of a few launches of the first setting. */
static void set_length(Bench *b, int64_t columns) {
    int64_t row = (int64_t)(b->copy / (size_t)columns) + 1;
    int64_t fits = (int64_t)b->ready / row / WINDOW * WINDOW;
    b->columns = columns;
    b->window = b->next_col = 0;
    b->next = 0;
    b->launches = 1;
    b->wide = columns / WINDOW * WINDOW;
    if (b->copies == 1 && fits > 0 && fits < b->wide) b->window = b->wide = fits;
    double t = sample(b, 0);
    for (int i = 0; i < 4; i++) t = fmin(t, sample(b, 0));
    t *= (double)(b->window ? b->window : columns) / (double)columns;
    if (t > 2 * sample_seconds && columns > 2 * WINDOW * (int64_t)b->threads) {
        int64_t all = b->window ? b->window : columns;
        b->window = (int64_t)((double)all * sample_seconds / t) / WINDOW * WINDOW;
        if (b->window < WINDOW) b->window = WINDOW;
    } else if (t < sample_seconds) {
        b->launches = (uint32_t)(sample_seconds / (t > 1e-6 ? t : 1e-6)) + 1;
    }
    b->next_col = 0;
}

static bool differ_in_columns(const TnSetting *s, uint32_t n) {
    const size_t bytes = sizeof s->prefetch.ahead[TN_STREAM_COLUMNS];
    for (uint32_t i = 1; i < n; i++)
        if (memcmp(s[i].prefetch.ahead[TN_STREAM_COLUMNS], s->prefetch.ahead[TN_STREAM_COLUMNS], bytes))
            return true;
    return false;
}

static TernStatus open_kernel(void *user, const TnGraph *g, uint32_t kernel, const TnSetting *s, uint32_t n,
                              TernError *err) {
    Bench *b = user;
    TernStatus st = map_operands(b, g, kernel, differ_in_columns(s, n) ? 4 : 1, err);
    if (st == TERN_OK) st = make_code(b, g, kernel, s, n, err);
    if (st != TERN_OK) {
        close_kernel(b);
        return st;
    }
    set_length(b, columns_of(g, kernel));
    return TERN_OK;
}

/* ---- Opening and closing the bench */

static double clock_now(void *user) {
    (void)user;
    return tn_os_seconds();
}

static size_t region_bytes(void) {
    long cache = tn_os_last_cache();
    size_t bytes = cache > 0 ? 4 * (size_t)cache : (size_t)128 << 20, free = (size_t)tn_os_free_memory() / 4;
    if (bytes < (size_t)64 << 20) bytes = (size_t)64 << 20;
    if (bytes > (size_t)1 << 30) bytes = (size_t)1 << 30;
    return free && bytes > free ? free : bytes;
}

TernStatus tn_tune_bench_create(const TnTuneMachine *m, uint32_t others, TnTuneBench *out, TernError *err) {
    Bench *b = tn_xcalloc(1, sizeof *b);
    b->threads = m->threads;
    b->huge = m->huge;
    b->region = region_bytes() / (1 + others);
    b->filled = TN_ENC_COUNT;
    b->scratch = tn_xcalloc(b->threads, sizeof *b->scratch);
    b->workers = tn_xcalloc(b->threads, sizeof *b->workers);
    pthread_mutex_init(&b->gate, NULL);
    pthread_mutex_lock(&b->gate);
    for (b->started = 1; b->started < b->threads; b->started++) {
        Worker *w = &b->workers[b->started];
        *w = (Worker){.b = b, .index = b->started};
        if (pthread_create(&w->thread, NULL, work, w)) break;
    }
    pthread_barrier_init(&b->turn, NULL, b->started);
    pthread_mutex_unlock(&b->gate);
    *out = (TnTuneBench){b, open_kernel, sample, close_kernel, clock_now};
    if (b->started == b->threads) return TERN_OK;
    TernStatus s =
        tn_fail(err, TERN_ERR_ENV, "TerncOptions.tune_threads: only %u of %u threads could be started",
                b->started, b->threads);
    tn_tune_bench_destroy(out);
    return s;
}

void tn_tune_bench_destroy(TnTuneBench *out) {
    Bench *b = out->user;
    b->end = true;
    pthread_barrier_wait(&b->turn);
    for (uint32_t i = 1; i < b->started; i++) pthread_join(b->workers[i].thread, NULL);
    pthread_barrier_destroy(&b->turn);
    pthread_mutex_destroy(&b->gate);
    tn_os_unmap(b->weights, b->weights_bytes);
    free(b->workers);
    free(b->scratch);
    free(b);
}
