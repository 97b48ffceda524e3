/* Tuning: what of a kernel has no closed form is measured on the machine that compiles.
 *
 * Three numbers of a kernel over columns are chosen so: its grain (columns a unit: the strip of a product of many rows
 * that is unpacked at once, and how evenly workers share), and how far ahead weights are fetched into the first and the
 * second cache (TnKernel.prefetch_l1, prefetch_l2). They stand in the planned text, and no bit of a result depends on them. Everything
 * else either follows from the machine's description or was measured to be the same everywhere.
 *
 * A kernel's `shape` is what its speed depends on: level, op, weight, batch class, parts and heads. Kernels of one shape
 * get the same setting. What was chosen is kept in a table by shape and machine, which is a text file between runs. */
#ifndef TN_TUNE_H
#define TN_TUNE_H

#include "codegen/codegen.h"

typedef struct TnSetting {
    int64_t grain, prefetch_l1, prefetch_l2;
} TnSetting;

/* ---- setting.c: whether a planned kernel has such a setting: units of columns, and code. */
bool tn_tune_can(const TnGraph *g, uint32_t kernel);
/* "avx2 tmatmul p64[3840,2560] rows=1..1 parts=2560,640,640 heads=128"; a part of several slices is "6912*2". */
void tn_tune_shape(const TnGraph *g, uint32_t kernel, TnBuf *out);
TnSetting tn_tune_get(const TnGraph *g, uint32_t kernel);
/* Units follow from the grain, which is rounded up to whole heads. */
void tn_tune_set(TnGraph *g, uint32_t kernel, TnSetting s);

/* ---- The machine that settings are for. Strings are borrowed. */
typedef struct TnTuneMachine {
    const char *cpu;     /* the processor's own name */
    const char *version; /* of the program and its code generator: other code is tuned anew */
    uint32_t threads;
    bool huge; /* weights lie in huge pages, as those of a model compiled at load do */
} TnTuneMachine;

/* ---- tune_table.c: settings by machine and shape.
 *
 *   tune 1
 *   kernel "avx2 tmatmul ..." {cpu="..", threads=2, pages=small, tern="..", grain=128, prefetch_l1=1024, prefetch_l2=8192}
 *
 * one line each, `;` begins a comment. Names and strings as in .tir. */
typedef struct TnTuned {
    const char *shape;
    TnTuneMachine machine;
    TnSetting s;
    bool fresh; /* put since the table was read */
} TnTuned;
typedef struct TnTuneTable {
    TnTuned *v; /* the newest last */
    size_t n, cap;
    TnArena arena;
} TnTuneTable;
enum { TN_TUNE_MOST = 4096 }; /* of a file: older ones give way */
/* NULL if there is none. */
const TnTuned *tn_tune_find(const TnTuneTable *t, const TnTuneMachine *m, const char *shape);
void tn_tune_put(TnTuneTable *t, const TnTuneMachine *m, const char *shape, TnSetting s);
void tn_tune_free(TnTuneTable *t);
void tn_tune_print(const TnTuneTable *t, TnBuf *out);
/* Adds what a text says. On failure nothing is added, and err is "FILE:LINE:COL: found .., expected ..". */
TernStatus tn_tune_parse(const char *text, size_t n, const char *file, TnTuneTable *t, TernError *err);
/* The same of a file; one that is not there is empty. */
TernStatus tn_tune_read(const char *path, TnTuneTable *t, TernError *err);
/* Refuses a file that is something else than a tuning cache: writing one anew would lose it. One that is faulty further
 * on, is empty or is not there is fine. */
TernStatus tn_tune_check(const char *path, TernError *err);
/* Writes the fresh ones and, as far as it can be read, what is in the file now: another process may have written since.
 * The file is replaced as a whole, and of those who write at the same time one waits for the other; but not for longer
 * than some seconds, nor where files cannot be locked: the last one's choices are then all that is kept. */
TernStatus tn_tune_write(const char *path, const TnTuneTable *t, TernError *err);

/* ---- tune.c: a planned text edited by hand: what it says goes for the kernels of the same shapes, whatever the machine. */
void tn_tune_take(TnTuneTable *t, const TnGraph *g); /* of a graph that is not planned nothing */
void tn_tune_give(const TnTuneTable *t, TnGraph *g);

/* ---- tune.c: choosing.
 *
 * Of a kernel and n settings of it, seconds are asked for one by one, in turns, so that what else the machine does falls
 * on all of them alike. */
typedef struct TnTuneBench {
    void *user;
    /* Makes ready to run the kernel with each of the settings. On failure nothing is left open. */
    TernStatus (*open)(void *user, const TnGraph *g, uint32_t kernel, const TnSetting *s, uint32_t n,
                       TernError *err);
    double (*sample)(void *user, uint32_t setting); /* seconds of the same work */
    void (*close)(void *user);
    double (*now)(void *user); /* the clock of the bound */
} TnTuneBench;
/* tune_run.c: the real one: threads of its own, weights that no cache holds. */
TernStatus tn_tune_bench_create(const TnTuneMachine *m, TnTuneBench *out, TernError *err);
void tn_tune_bench_destroy(TnTuneBench *b);

/* From times of two settings in the same rounds: how much less the other takes than the first, as a part of the first's
 * time; 0 unless it is at least TN_TUNE_LEAST by the median of the rounds and it was faster in three rounds of four. */
#define TN_TUNE_LEAST 0.03
double tn_tune_gain(const double *first, const double *other, uint32_t rounds);

typedef struct TnTuneOptions {
    double seconds;    /* the bound */
    const char *level; /* kernels of other levels stay as they are */
    TnTuneMachine machine;
    const char *cache;        /* a file; NULL: none */
    bool must_write;          /* that the file cannot be written is an error, else a line */
    const TnTuneBench *bench; /* NULL: the real one */
    /* Receives lines for people: faults of the cache, then the table. May be NULL. */
    void (*text)(void *user, const char *text, size_t n);
    TnProgressFn *progress; /* may be NULL; both get this user */
    void *user;
} TnTuneOptions;

/* Tunes the kernels of planned graphs: settings from the cache where it has them, the others by measuring, the most
 * often used first, until the bound. A kernel that is not reached keeps what it has, and so does one for which nothing
 * is faster by more than the noise. */
TernStatus tn_tune(TnGraph *const *gs, uint32_t n, const TnTuneOptions *options, TernError *err);

#endif
